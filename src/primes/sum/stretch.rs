//! A stretch of numbers `v` up to `x / y`: the easy leaves `x / (p q)` and the semiprimes' `x / p` that lie in it, by
//! the sums of primes there.
//!
//! Knows the stretch alone: sums are those from its beginning, and beside what they come to stands the weight of all
//! that lies before. Of a stretch that is cut by the first primes of its leaves every piece finds the sums anew, and
//! the last one has all that is no easy leaf; so pieces are put together as stretches are.

use super::stretching::Unit;
use super::{Easy, Tables, count_in, sum_of_residues};
use crate::primes::sieve::{Segment, Sieve, Step};
use crate::primes::wheel::{BITS_BELOW, NUMBERS_PER_BYTE};
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a segment at most: its sums, eight times as many, fit a second-level cache.
const SEGMENT: usize = 64 << 10;

/// Leaves between two calls of `over`.
const LEAVES: usize = 20_000;

/// What a stretch, or a piece of one, came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StretchSum {
    /// The sum over all leaves, with sums of primes from the beginning of the stretch.
    pub(crate) value: u128,
    /// What it grows by for each unit that the primes before the stretch add up to.
    pub(crate) weight: u128,
    /// The sum of the primes of the stretch; as what follows, 0 in a piece that is not the last of its stretch.
    pub(crate) total: u128,
    /// The sum of its primes above `y` and up to the root of `x`, and of their squares.
    pub(crate) middle: u128,
    pub(crate) squares: u128,
}

/// A stretch under way.
#[derive(Debug)]
pub(crate) struct Stretch {
    tables: Arc<Tables>,
    sieve: Box<Sieve>,
    /// The segment that was sieved last.
    low: u64,
    last: u64,
    /// For each byte of it the sum of its primes before, times 256, and the byte.
    sums: Vec<u64>,
    /// The easy leaves of this prime and of those after it are still to be added for that segment; `None`: sieve the
    /// next.
    next: Option<usize>,
    /// The first primes of the leaves, by index.
    primes: Range<usize>,
    is_last: bool,
    sum: StretchSum,
    /// The sums of the primes of the stretch before the segment, and up to its end.
    before: u128,
    total: u128,
}

impl Stretch {
    /// A stretch, or a piece of it; its numbers begin at a multiple of 240.
    pub(crate) fn new(tables: Arc<Tables>, unit: Unit) -> Self {
        let Unit {
            numbers,
            primes,
            is_last,
        } = unit;
        let (low, last) = numbers.into_inner();
        let below = |p: u64| tables.count(p.saturating_sub(1).min(tables.shape.root3));
        Self {
            sieve: Box::new(Sieve::with_segments(low, last, SEGMENT)),
            low,
            last: low,
            sums: Vec::new(),
            next: None,
            primes: below(primes.start)..below(primes.end),
            is_last,
            sum: StretchSum::default(),
            before: 0,
            total: 0,
            tables,
        }
    }

    /// Goes on until all is added up or until `over`, which is asked every 10 to 200 microseconds.
    pub(crate) fn advance(mut self: Box<Self>, mut over: impl FnMut() -> bool) -> Result<StretchSum, Box<Self>> {
        loop {
            match self.next {
                Some(index) => self.next = self.easy_leaves(index),
                None => {
                    let shape = self.tables.shape;
                    match self.sieve.step() {
                        Step::Busy => {}
                        Step::Done => return Ok(self.sum),
                        Step::Segment(segment) => {
                            (self.low, self.last) = (segment.low(), segment.last());
                            self.before = self.total;
                            self.total += sums_of(&segment, &mut self.sums);
                            if self.is_last && self.low <= shape.root2 && self.last > shape.y {
                                for p in segment.primes().filter(|p| shape.y < *p && *p <= shape.root2) {
                                    self.sum.middle += u128::from(p);
                                    self.sum.squares += u128::from(p) * u128::from(p);
                                }
                            }
                            if self.low <= shape.root2 {
                                // A leaf is below p^2, and at least the root of x / p but for its rounding: so p is not
                                // small.
                                let least = shape.root_y.max(self.low.isqrt().saturating_sub(1));
                                let least = least.max(shape.x / (self.last + 5).saturating_pow(2));
                                self.next = Some(self.primes.start.max(self.tables.count(least.min(shape.y))));
                            }
                            if self.is_last {
                                self.sum.total = self.total;
                                if self.last >= shape.root2 {
                                    self.semiprimes();
                                }
                            }
                        }
                    }
                }
            }
            if over() {
                return Err(self);
            }
        }
    }

    /// The sum of the primes of the segment up to `v`, which lies in it.
    #[inline]
    fn sum_to(&self, v: u64) -> u64 {
        let distance = v - self.low;
        let index = (distance / NUMBERS_PER_BYTE) as usize;
        let sum = self.sums[index];
        let byte = sum as u8 & BITS_BELOW[(distance % NUMBERS_PER_BYTE) as usize + 1];
        (sum >> 8) + (self.low + NUMBERS_PER_BYTE * index as u64) * count_in(byte) + sum_of_residues(byte)
    }

    /// Adds the easy leaves of some primes from this index on; the index after them, if there are more.
    fn easy_leaves(&mut self, first: usize) -> Option<usize> {
        let shape = self.tables.shape;
        let tables = Arc::clone(&self.tables);
        let mut leaves = 0;
        for index in first..self.primes.end {
            let p = u64::from(tables.primes[index]);
            leaves += 20;
            if let Some(easy) = shape.easy(p) {
                leaves += self.easy_leaves_of(&tables, p, easy);
            }
            if leaves >= LEAVES {
                return Some(index + 1);
            }
        }
        None
    }

    fn easy_leaves_of(&mut self, tables: &Tables, p: u64, easy: Easy) -> usize {
        let over_p = easy.over_p;
        let (above, up_to) = easy.second_primes(&(self.low..=self.last));
        let mut leaves = 0;
        for (from, to) in easy.ways() {
            let (from, to) = (from.max(above), to.min(up_to));
            if from >= to {
                continue;
            }
            let (from, to) = (tables.count(from), tables.count(to));
            let mut sum = 0u128;
            if over_p < 1 << 53 {
                // Exact: the quotient is at least 1 / t below the next integer, and rounded by less (docs/numbers.md).
                let over_p = over_p as f64;
                for t in &tables.primes[from..to] {
                    let v = (over_p / f64::from(*t)) as u64;
                    sum += u128::from(*t) * u128::from(self.sum_to(v));
                }
            } else {
                for t in &tables.primes[from..to] {
                    sum += u128::from(*t) * u128::from(self.sum_to(over_p / u64::from(*t)));
                }
            }
            let weight = u128::from(tables.sums[to] - tables.sums[from]);
            let value = sum.wrapping_add(weight.wrapping_mul(self.before));
            self.add(u128::from(p).wrapping_mul(value), u128::from(p).wrapping_mul(weight));
            leaves += to - from;
        }
        leaves
    }

    /// Takes away `p` times the sum of the primes up to `x / p`, for the primes above `y` with `x / p` in the segment.
    fn semiprimes(&mut self) {
        let shape = self.tables.shape;
        let from = shape.y.max(shape.x / (self.last + 1)) + 1;
        let to = shape.root2.min(shape.x.checked_div(self.low).unwrap_or(u64::MAX));
        if from > to {
            return;
        }
        let mut sieve = Sieve::with_segments(from, to, SEGMENT);
        let (mut value, mut weight) = (0u128, 0u128);
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Done => break,
                Step::Segment(segment) => segment.for_each(|p| {
                    let sum = u128::from(self.sum_to(shape.x / p)) + self.before;
                    value = value.wrapping_add(u128::from(p).wrapping_mul(sum));
                    weight += u128::from(p);
                }),
            }
        }
        self.add(value.wrapping_neg(), weight.wrapping_neg());
    }

    fn add(&mut self, value: u128, weight: u128) {
        self.sum.value = self.sum.value.wrapping_add(value);
        self.sum.weight = self.sum.weight.wrapping_add(weight);
    }
}

/// Lists the sums before each byte of a segment; the sum of all. Up to 2 * 10^6 numbers of 2^38 hold primes that add up
/// to less than 2^56.
fn sums_of(segment: &Segment<'_>, sums: &mut Vec<u64>) -> u128 {
    let mut sum: u64 = segment.wheel_primes().iter().sum();
    let mut low = segment.low();
    sums.clear();
    sums.extend(segment.bytes().iter().map(|byte| {
        let entry = sum << 8 | u64::from(*byte);
        sum += low * count_in(*byte) + sum_of_residues(*byte);
        low = low.wrapping_add(NUMBERS_PER_BYTE);
        entry
    }));
    u128::from(sum)
}

#[cfg(test)]
mod tests {
    use super::super::stretching::Stretching;
    use super::super::{Preparing, Shape};
    use super::*;

    /// The stretches of a sum, from pieces of about `most` leaves, and how many units there are.
    fn stretches(tables: &Arc<Tables>, most: f64) -> (Vec<StretchSum>, u64) {
        let stretching = Stretching::with_pieces(tables.shape, most);
        let (mut stretches, mut sum) = (Vec::new(), StretchSum::default());
        for unit in (0..stretching.units()).map(|index| stretching.unit(index)) {
            let is_last = unit.is_last;
            let stretch = Box::new(Stretch::new(Arc::clone(tables), unit));
            let piece = stretch.advance(|| false).expect("nothing stops it");
            assert!(is_last || (piece.total, piece.middle, piece.squares) == (0, 0, 0));
            sum = StretchSum {
                value: sum.value.wrapping_add(piece.value),
                weight: sum.weight.wrapping_add(piece.weight),
                ..piece
            };
            if is_last {
                stretches.push(std::mem::take(&mut sum));
            }
        }
        (stretches, stretching.units())
    }

    #[test]
    fn pieces_come_to_their_stretches() {
        for x in [1_000_000, 20_000_000_011, 3_000_000_000_000] {
            let preparing = Box::new(Preparing::new(Shape::new(x)));
            let tables = Arc::new(preparing.advance(|| false).expect("nothing stops it"));
            let (whole, units) = stretches(&tables, f64::INFINITY);
            assert_eq!(whole.len() as u64, units);
            for most in [300.0, 10_000.0, 1e6]
                .into_iter()
                .filter(|most| x < 100_000_000_000 || *most > 1e3)
            {
                let (cut, units) = stretches(&tables, most);
                assert_eq!(cut, whole, "{x} {most}");
                assert!(
                    x < 10_000_000_000 || most > 1e5 || units > whole.len() as u64,
                    "{x} {most}"
                );
            }
        }
    }
}
