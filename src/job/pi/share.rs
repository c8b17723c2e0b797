//! Which share of a count another machine does: a stretch of A + C, B or D, cut off here or done here for that
//! machine's count.

use super::kept_tables;
use super::schedule::{COSTS, EasyPlace, LEAVES_A_PRIME, Preparation, Schedule, after, primes_at, semiprimes_cost};
use super::unit::Unit;
use crate::job::Damaged;
use crate::job::reorder::{Join, Reorder};
use crate::primes::pi::tables::Tables;
use crate::primes::pi::{easy, hard, semiprimes};
use std::ops::Range;
use std::sync::Arc;

/// A stretch of one of the sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Share {
    /// Of A + C.
    Easy(Range<EasyPlace>),
    /// Of B.
    Semiprimes(Range<u64>),
    /// Of D.
    Hard(Range<u64>),
}

/// What a share brings.
pub(super) enum Done {
    Easy(Range<EasyPlace>, easy::Piece),
    Semiprimes(Range<u64>, semiprimes::Piece),
    Hard(Arc<Tables>, Range<u64>, hard::Segment),
}

/// How many units of B or D may go by between two estimates of what they cost.
const ESTIMATED: u64 = 16;

/// The most units of B or D in a share.
pub(super) const MOST_UNITS: u64 = 1 << 14;

/// The most pieces of the table in a share of A + C: a second or so makes them.
pub(super) const MOST_PIECES: u64 = 1 << 10;

/// Primes of A + C are taken this many at once, or an eighth of those so far.
const STRIDE: usize = 64;

impl Schedule {
    /// A schedule for this share alone: what its units come to is never put together with what comes before.
    pub(super) fn begin_at(&mut self, share: &Share) {
        match share {
            Share::Easy(range) => {
                (self.next.easy, self.limits.easy) = (range.start, range.end);
                self.easy = Reorder::new((u64::MAX, 0));
            }
            Share::Semiprimes(range) => {
                (self.next.semiprimes, self.limits.semiprimes) = (range.start, range.end);
                self.semiprimes = Reorder::new(u64::MAX);
            }
            Share::Hard(range) => {
                (self.next.hard, self.limits.hard) = (range.start, range.end);
                self.hard = Reorder::new(u64::MAX);
            }
        }
    }

    /// The next unit of this share, or of the tables that it needs.
    pub(super) fn cut_alone(&mut self, share: &Share) -> Option<Unit> {
        if let Some(unit) = self.again.pop() {
            return Some(unit);
        }
        if let Share::Semiprimes(_) = share {
            return self.cut_semiprimes();
        }
        let tables = match self.prepare() {
            Ok(tables) => tables,
            Err(unit) => return unit,
        };
        match share {
            Share::Easy(_) => self.cut_table().or_else(|| self.cut_easy(&tables)),
            _ => self.cut_hard(&tables),
        }
    }

    /// Cuts off a share of about this cost, in nanoseconds.
    pub(super) fn cut_part(&mut self, cost: f64) -> Option<Share> {
        let shape = self.shape;
        if let Preparation::Done(tables) = &self.preparation {
            let tables = Arc::clone(tables);
            let segment_cost = |low, high| hard::cost(&tables, low, high);
            let ends = |low| hard::end(&shape, low);
            let next = &mut self.next.hard;
            if let Some(range) = walk(&mut self.hard, next, self.limits.hard, cost, ends, segment_cost) {
                return Some(Share::Hard(range));
            }
            if let Some(range) = self.walk_easy(&tables, cost) {
                return Some(Share::Easy(range));
            }
        }
        let piece_cost = |low, high| semiprimes_cost(&shape, low, high);
        let ends = |low| semiprimes::end(&shape, low);
        let next = &mut self.next.semiprimes;
        walk(
            &mut self.semiprimes,
            next,
            self.limits.semiprimes,
            cost,
            ends,
            piece_cost,
        )
        .map(Share::Semiprimes)
    }

    /// Cuts off as much of A + C as wanted, but not the last piece of the table: only its owner knows where B begins
    /// there.
    fn walk_easy(&mut self, tables: &Tables, wanted: f64) -> Option<Range<EasyPlace>> {
        let limit = (kept_tables::pieces(&self.shape) - 1, 0);
        let start = self.easy.next(self.next.easy, limit)?;
        let bound = self.easy.returned_end().unwrap_or(limit);
        let (mut place, mut cost) = (start, COSTS.table * kept_tables::STEP as f64);
        while place < bound && (place == start || cost < wanted) && place.0 - start.0 < MOST_PIECES {
            let numbers = kept_tables::numbers(&self.shape, place.0);
            let primes = primes_at(tables, numbers.start, place, bound);
            let end = primes.end.min(primes.start + STRIDE.max(primes.start / 8));
            let most_leaves = |at| easy::most_leaves(tables, &numbers, at).max(LEAVES_A_PRIME);
            let leaves = (end - primes.start) as u64 * most_leaves(primes.start).max(most_leaves(end));
            cost += leaves as f64 * COSTS.easy;
            if end == primes.end {
                cost += COSTS.table * kept_tables::STEP as f64;
            }
            place = after(place.0, end, primes.end, bound);
        }
        self.easy.cut(&mut self.next.easy, place);
        self.easy.begin_part(start..place);
        Some(start..place)
    }

    /// True if another machine does just this share.
    pub(super) fn has_part(&self, share: &Share) -> bool {
        match share {
            Share::Easy(range) => self.easy.has_part(range),
            Share::Semiprimes(range) => self.semiprimes.has_part(range),
            Share::Hard(range) => self.hard.has_part(range),
        }
    }

    /// Takes back what another machine was to do.
    ///
    /// # Errors
    /// If it was not.
    pub(super) fn take_back(&mut self, share: Share) -> Result<(), Damaged> {
        match share {
            Share::Easy(range) => self.easy.take_back(range),
            Share::Semiprimes(range) => self.semiprimes.take_back(range),
            Share::Hard(range) => self.hard.take_back(range),
        }
    }
}

/// Cuts off units until they cost as much as wanted.
fn walk<T: Join>(
    units: &mut Reorder<u64, T>,
    next: &mut u64,
    limit: u64,
    wanted: f64,
    end_of: impl Fn(u64) -> u64,
    cost_of: impl Fn(u64, u64) -> f64,
) -> Option<Range<u64>> {
    let low = units.next(*next, limit)?;
    let (mut high, mut cost, mut rate, mut bound) = (low, 0.0, 0.0, limit);
    if let Some(returned) = units.returned_end() {
        bound = returned;
    }
    for unit in 0..MOST_UNITS {
        if high >= bound || unit > 0 && cost >= wanted {
            break;
        }
        let end = end_of(high);
        if unit % ESTIMATED == 0 {
            rate = cost_of(high, end) / (end - high) as f64;
        }
        cost += rate * (end - high) as f64;
        high = end;
    }
    units.cut(next, high);
    units.begin_part(low..high);
    Some(low..high)
}
