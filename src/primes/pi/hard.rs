//! D, the hard leaves: `-mu(m) phi(x / (p m), b - 1)` for `19 < p <= x*` and `m <= y`, where `phi` has to be counted in
//! a sieve.
//!
//! Gourdon 2001, page 4. A segment `low..high` of `[0, x / y]` counts from `low`: its leaves give a sum, and for each
//! prime `p_b` how often the count below `low` has to be added. With the counts of the segments before it that makes
//! the whole. So a segment must count for every prime that has leaves later, even if it has none itself.

use super::factor::{index_after, threshold};
use super::hard_kernels::{
    BLOCK, GROUPS, LIST, Leaves, Lists, Sums, View, Word, accumulate, clear, composite_leaves, count_groups, multiples,
    prime_leaves,
};
use super::quotient::{Dividend, divide, quotient};
use super::shape::Shape;
use super::tables::Tables;
use crate::primes::wheel::NUMBERS_PER_WORD;

/// Segments begin at multiples of this: a block of the running counts.
pub(crate) const ALIGNMENT: u64 = NUMBERS_PER_WORD * BLOCK as u64;

/// How many numbers the first segment has: leaves are dense there.
const LEAST: u64 = 16 * ALIGNMENT;

/// How many numbers a segment has at most: 128 KB of bits.
const MOST: u64 = 2048 * ALIGNMENT;

/// From this prime on only those multiples are crossed off that no smaller prime has: the factor table lists them.
const LISTED: u64 = 600;

/// If fewer cofactors come into question than this, their leaves are not worth a running count.
const FEW: u64 = 400;

/// What a prime takes in any case, in cofactors.
const LEAST_STEP: u64 = 500;

/// What passes over all words of a segment take, in cofactors.
const PASSES: u64 = 4000;

/// Upper bound of the bytes of a segment at work.
pub(crate) const MEMORY: u64 = 256 << 10;

/// Where the segment that begins at `low` ends.
pub(crate) fn end(shape: &Shape, low: u64) -> u64 {
    let length = (low / 6).clamp(LEAST, MOST) / ALIGNMENT * ALIGNMENT;
    (low + length).min(shape.sieve_limit() + 1)
}

/// What a segment costs, in nanoseconds on the machine where that was measured; good for shares.
///
/// A number costs about `0.12 + 0.005 sqrt(w)` where `w` primes are crossed off, and a leaf 3.3. How many leaves there
/// are is estimated from a few primes: `m` runs through an interval, and a share of about `1 / ln p` has no factor up
/// to `p`, `1 / ln m` if only primes have none.
pub(crate) fn cost(tables: &Tables, low: u64, high: u64) -> f64 {
    const SAMPLES: usize = 12;
    let width = width(tables, low);
    let bounds = Bounds::new(low, high);
    let mut leaves = 0.0;
    let mut from = 0;
    for sample in 1..=SAMPLES {
        // Primes are sampled more densely where they are small.
        let to = width * sample * sample / (SAMPLES * SAMPLES);
        if let Some((first, last)) = bounds.cofactors(tables, Shape::K + 1 + (from + to) / 2) {
            let prime = tables.prime(Shape::K + 1 + (from + to) / 2) as f64;
            let share = (0.56 / prime.ln()).max(1.0 / (last as f64).ln());
            leaves += (to - from) as f64 * (last - first) as f64 * share;
        }
        from = to;
    }
    (0.12 + 0.005 * (width as f64).sqrt()) * (high - low) as f64 + 3.3 * leaves
}

/// What a segment brings; for the primes after the first [`Shape::K`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The sum of the leaves, counted from `low`.
    pub(crate) sum: i128,
    /// For each prime, how many leaves there are with sign: how often what lies below `low` has to be added.
    pub(crate) weights: Vec<i64>,
    /// For each prime, how many numbers of the segment no prime before it divides. Of several segments together, only
    /// for the primes of the last.
    pub(crate) counts: Vec<u64>,
}

impl Segment {
    /// Appends the next segment to this one.
    pub(crate) fn append(&mut self, next: &Self) {
        self.sum += next.sum;
        let both = next.weights.iter().zip(&self.counts);
        self.sum += both
            .map(|(weight, count)| i128::from(*weight) * i128::from(*count))
            .sum::<i128>();
        for (weight, more) in self.weights.iter_mut().zip(&next.weights) {
            *weight += more;
        }
        self.counts.truncate(next.counts.len());
        for (count, more) in self.counts.iter_mut().zip(&next.counts) {
            *count += more;
        }
    }
}

/// Room for a segment, used again and again.
#[derive(Debug, Default)]
struct Room {
    /// See [`aligned`].
    words: Vec<Word>,
    /// For each word, how many of its bits are set.
    counts: Vec<u8>,
    /// For each block, how many bits are set before it.
    before: Vec<u32>,
    /// From the first prime on whose multiples are listed: how many bits are set in each group.
    groups: Option<[u32; GROUPS]>,
    lists: Lists,
}

/// All but one of the blocks of these words, from an address on that is a multiple of 64 bytes: a block loaded at once
/// then lies in one line of the cache.
fn aligned(words: &mut [Word]) -> &mut [Word] {
    let first = words.as_ptr().align_offset(64).min(BLOCK);
    let length = words.len() - BLOCK;
    &mut words[first..first + length]
}

/// A segment at work, prime after prime.
#[derive(Debug, Default)]
pub(crate) struct Work {
    bounds: Bounds,
    room: Room,
    width: usize,
    result: Segment,
}

/// How many primes, after the first [`Shape::K`], have leaves at `low` or above.
pub(crate) fn width(tables: &Tables, low: u64) -> usize {
    let shape = &tables.shape;
    let last = shape.x_star.min(quotient(shape.x, low.max(1)).isqrt());
    tables.index(last).saturating_sub(Shape::K)
}

/// What the leaves of one prime have in common: made once, because a division of double words for each segment would
/// take a tenth of the time.
#[derive(Debug)]
pub(super) struct Common {
    /// `x / p`.
    xp: Dividend,
    /// Every `m` is above this.
    least: u32,
    /// Every `m` is at most this.
    most: u32,
}

impl Common {
    pub(super) fn new(shape: &Shape, prime: u64) -> Self {
        let xp = divide(shape.x, prime);
        // Both are at most y, which fits.
        Self {
            xp: Dividend::new(xp),
            least: (shape.y / prime).max(prime) as u32,
            most: shape.y.min(quotient(xp, prime * prime)) as u32,
        }
    }
}

/// The numbers of a segment.
#[derive(Debug, Default)]
struct Bounds {
    low: u64,
    high: u64,
    one_by_low: f64,
    one_by_high: f64,
}

impl Bounds {
    fn new(low: u64, high: u64) -> Self {
        Self {
            low,
            high,
            one_by_low: 1.0 / low.max(1) as f64,
            one_by_high: 1.0 / high as f64,
        }
    }

    /// The `m` of the leaves of the `b`-th prime in the segment: above the first, up to the last.
    fn cofactors(&self, tables: &Tables, b: usize) -> Option<(u64, u64)> {
        let Common { xp, least, most } = &tables.hard[b - Shape::K - 1];
        let (least, most) = (u64::from(*least), u64::from(*most));
        if least >= most {
            return None;
        }
        let last = xp.at_most(self.low.max(1), self.one_by_low, most);
        let first = xp.at_most(self.high, self.one_by_high, most).max(least);
        (first < last).then_some((first, last))
    }

    /// Whether the factor table lists the multiples of this prime that no smaller one has: their cofactors are at least
    /// the prime, and in the table.
    fn are_listed(&self, tables: &Tables, prime: u64) -> bool {
        let is_short = self.high - self.low <= MOST;
        is_short && prime >= LISTED && self.low >= prime * prime && (self.high - 1) / prime <= tables.shape.y
    }
}

impl Work {
    /// Begins the segment `low..high`, in the room of a segment that is over; `low` is a multiple of [`ALIGNMENT`].
    pub(crate) fn begin(&mut self, tables: &Tables, low: u64, high: u64) {
        debug_assert!(low.is_multiple_of(ALIGNMENT));
        self.bounds = Bounds::new(low, high);
        self.width = width(tables, low);
        self.result = Segment {
            sum: 0,
            weights: Vec::with_capacity(self.width),
            counts: Vec::with_capacity(self.width),
        };
        let Room {
            words, counts, before, ..
        } = &mut self.room;
        let blocks = (high - low).div_ceil(ALIGNMENT) as usize;
        words.resize((blocks + 1) * BLOCK, Word::default());
        counts.resize(blocks * BLOCK, 0);
        before.resize(blocks, 0);
        tables.sieves.start(tables.instructions, aligned(words), counts, low);
        self.room.groups = None;
    }

    /// The leaves of the next prime, then crosses it off. Gives how long that took, in numbers that were looked at;
    /// `None` if there was no prime left.
    pub(crate) fn step(&mut self, tables: &Tables) -> Option<u64> {
        if self.result.counts.len() == self.width {
            return None;
        }
        let b = Shape::K + 1 + self.result.counts.len();
        let Room {
            counts, before, groups, ..
        } = &mut self.room;
        let total = match groups {
            Some(groups) => groups.iter().sum(),
            None if self.bounds.are_listed(tables, tables.prime(b)) => groups.insert(count_groups(counts)).iter().sum(),
            None => accumulate(tables.instructions, counts, before),
        };
        self.result.counts.push(total.into());
        let cofactors = self.bounds.cofactors(tables, b);
        let leaves = cofactors.map_or_else(Leaves::default, |(first, last)| self.leaves(tables, b, first, last));
        self.result.sum += i128::from(leaves.sum);
        self.result.weights.push(leaves.weight);
        self.cross_off(tables, b);
        let passes = if self.room.groups.is_some() { 0 } else { PASSES };
        Some(LEAST_STEP + passes + cofactors.map_or(0, |(first, last)| last - first))
    }

    /// Crosses off the `b`-th prime; if its multiples are listed, only those that no smaller prime has.
    fn cross_off(&mut self, tables: &Tables, b: usize) {
        let Self { bounds, room, .. } = self;
        let (instructions, prime) = (tables.instructions, tables.prime(b));
        let words = aligned(&mut room.words);
        let Some(groups) = room.groups.as_mut().filter(|_| bounds.are_listed(tables, prime)) else {
            room.groups = None;
            return tables
                .sieves
                .cross_off(instructions, words, &mut room.counts, bounds.low, prime);
        };
        let marks = &mut room.lists.places;
        let mut range = index_after((bounds.low - 1) / prime)..index_after((bounds.high - 1) / prime);
        while !range.is_empty() {
            let part = range.start..range.end.min(range.start + LIST);
            range.start = part.end;
            let entries = tables.factors.entries();
            let found = multiples(instructions, entries, part, threshold(b - 1), prime, bounds.low, marks);
            clear(words, &mut room.counts, groups, &marks[..found]);
        }
    }

    /// What the segment brings, once there is no step left.
    pub(crate) fn finish(&mut self) -> Segment {
        std::mem::take(&mut self.result)
    }

    /// The leaves of the `b`-th prime, whose cofactors are above `first` and at most `last`.
    fn leaves(&mut self, tables: &Tables, b: usize, first: u64, last: u64) -> Leaves {
        let Self { bounds, room, .. } = self;
        let prime = tables.prime(b);
        let xp = tables.hard[b - Shape::K - 1].xp;
        let sums = match &room.groups {
            Some(groups) if last - first < FEW => Sums::Groups(groups),
            Some(_) => {
                accumulate(tables.instructions, &room.counts, &mut room.before);
                Sums::Before(&room.before)
            }
            None => Sums::Before(&room.before),
        };
        let view = View {
            words: aligned(&mut room.words),
            counts: &room.counts,
            sums,
            low: bounds.low,
        };
        if prime * prime < tables.shape.y {
            let range = index_after(first)..index_after(last);
            let entries = tables.factors.entries();
            composite_leaves(
                tables.instructions,
                view,
                &mut room.lists,
                xp,
                tables.near,
                entries,
                range,
                threshold(b),
            )
        } else {
            let range = tables.index(first) + 1..tables.index(last) + 1;
            let primes = &tables.primes[range.clone()];
            let reciprocals = tables.reciprocals.get(range).filter(|_| xp.value < tables.near.into());
            prime_leaves(tables.instructions, view, &mut room.lists, xp, primes, reciprocals)
        }
    }
}
