//! What all units of a sum share: the primes up to `y` with their sums, and the least prime factor and sign of each
//! number up to `y`.
//!
//! Made in steps by [`Preparing`]. Knows nothing of leaves, but for the sums over whole ranges of them.

use super::{FIRST, Shape, Stretching, coprime_sum, wheel_index, wheel_number};
use crate::primes::sieve::{Sieve, Step};
use crate::primes::wheel::{NUMBERS_PER_BYTE, RESIDUES, bit};
use std::ops::Range;

/// The primes go a little beyond `y`: a row may end there (`x / p` by its rounded root is at most two more than the
/// root).
const BEYOND: u64 = 64;

/// Numbers between two entries of the index of the primes.
const INDEXED: u64 = 64;

/// Stands for every least prime factor above all that is compared with it.
const LARGE: u16 = 0x7fff;

/// Entries that are filled, or marked, between two calls of `over`.
const FILLED: usize = 1 << 16;
const MARKED: usize = 1 << 15;

/// The tables of a sum.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(super) shape: Shape,
    pub(super) primes: Vec<u32>,
    /// The sum of the primes before each one.
    pub(super) sums: Vec<u64>,
    /// How many primes are below each multiple of [`INDEXED`].
    starts: Vec<u32>,
    /// For the numbers coprime to 30 in order: 0, if a square divides it; else twice the least prime factor, and 1 if
    /// the number of its primes is odd.
    pub(super) factors: Vec<u16>,
    stretching: Stretching,
}

impl Tables {
    /// The parameters.
    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    /// The stretches.
    pub(crate) const fn stretching(&self) -> &Stretching {
        &self.stretching
    }

    /// How many primes are up to `n`, which is at most `y` and a little.
    #[inline]
    pub(super) fn count(&self, n: u64) -> usize {
        let mut count = self.starts[(n / INDEXED) as usize] as usize;
        while self.primes.get(count).is_some_and(|p| u64::from(*p) <= n) {
            count += 1;
        }
        count
    }

    /// The sum of the primes up to `n`.
    pub(super) fn sum(&self, n: u64) -> u64 {
        self.sums[self.count(n)]
    }

    /// How many units [`ordinary`](Self::ordinary) and [`constants`](Self::constants) have.
    pub(crate) fn lengths(&self) -> [u64; 2] {
        [self.factors.len() as u64, self.count(self.shape.y) as u64]
    }

    /// The part of the ordinary leaves with these indices.
    pub(crate) fn ordinary(&self, indices: Range<u64>) -> u128 {
        let leaf = |index: usize| {
            let n = wheel_number(index);
            let value = u128::from(n).wrapping_mul(coprime_sum(self.shape.x / n));
            match self.factors[index] {
                0 => 0,
                odd if odd & 1 == 1 => value.wrapping_neg(),
                _ => value,
            }
        };
        let leaves = (indices.start as usize..indices.end as usize).map(leaf);
        leaves.fold(0, u128::wrapping_add)
    }

    /// The trivial leaves of the primes with these indices, and what their easy leaves add without a look at other
    /// sums.
    pub(crate) fn constants(&self, indices: Range<u64>) -> u128 {
        let Shape { x, y, root_y, .. } = self.shape;
        let of_prime = |index: usize| {
            let p = u64::from(self.primes[index]);
            if p <= root_y {
                return 0;
            }
            let sum = |n| u128::from(self.sum(n));
            let trivial = sum(y) - sum(p.max((x / p / p).min(y)));
            let easy = match self.shape.easy(p) {
                None => 0,
                Some(easy) => {
                    let below = 1u128.wrapping_sub(u128::from(self.sums[index]));
                    let columns = below.wrapping_mul(sum(easy.high) - sum(easy.low));
                    match easy.turn < easy.high {
                        false => columns,
                        true => {
                            let first = sum(easy.over_p / easy.high);
                            let rows = sum(easy.over_p / easy.turn) - first;
                            let whole = (sum(easy.high) - sum(easy.turn)).wrapping_mul(first);
                            columns
                                .wrapping_add(whole)
                                .wrapping_sub(sum(easy.turn).wrapping_mul(rows))
                        }
                    }
                }
            };
            u128::from(p).wrapping_mul(trivial.wrapping_add(easy))
        };
        let parts = (indices.start as usize..indices.end as usize).map(of_prime);
        parts.fold(0, u128::wrapping_add)
    }

    /// The sum of the primes up to `y`.
    pub(crate) fn sum_to_y(&self) -> u128 {
        self.sum(self.shape.y).into()
    }

    /// How many primes hard leaves may have.
    pub(crate) fn hard_primes(&self) -> usize {
        self.count(self.shape.root4).max(FIRST)
    }
}

/// Tables that are being made.
#[derive(Debug)]
pub(crate) struct Preparing {
    tables: Tables,
    /// `None` once all primes are there.
    sieve: Option<Box<Sieve>>,
    /// The prime whose multiples are marked next, and how far that is.
    next: usize,
    marking: Marking,
}

/// Which multiples of a prime are marked: those by 1, 7, 11 .. of the turns of the wheel, and then those of its square.
#[derive(Clone, Copy, Debug, Default)]
struct Marking {
    /// `0..8`: of the prime by this residue; `8..16`: of its square.
    row: usize,
    /// The index of the next multiple; 0 if none of the row is marked.
    index: usize,
}

impl Preparing {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            tables: Tables {
                shape,
                primes: Vec::new(),
                sums: vec![0],
                starts: vec![0],
                factors: Vec::new(),
                stretching: Stretching::uncut(shape),
            },
            sieve: Some(Box::new(Sieve::new(0, shape.y + BEYOND))),
            next: FIRST,
            marking: Marking::default(),
        }
    }

    /// Goes on until all is made or until `over`, which is asked every 10 to 200 microseconds.
    pub(crate) fn advance(mut self: Box<Self>, mut over: impl FnMut() -> bool) -> Result<Tables, Box<Self>> {
        while let Some(sieve) = &mut self.sieve {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    let tables = &mut self.tables;
                    segment.for_each(|prime| {
                        while tables.starts.len() as u64 * INDEXED <= prime {
                            tables.starts.push(tables.primes.len() as u32);
                        }
                        let sum = tables.sums[tables.primes.len()] + prime;
                        tables.sums.push(sum);
                        tables.primes.push(prime as u32);
                    });
                }
                Step::Done => {
                    let tables = &mut self.tables;
                    while tables.starts.len() as u64 * INDEXED <= tables.shape.y + BEYOND {
                        tables.starts.push(tables.primes.len() as u32);
                    }
                    tables.factors.reserve_exact(wheel_index(tables.shape.y));
                    self.sieve = None;
                }
            }
            if over() {
                return Err(self);
            }
        }
        let entries = wheel_index(self.tables.shape.y);
        while self.tables.factors.len() < entries {
            let factors = &mut self.tables.factors;
            factors.resize(entries.min(factors.len() + FILLED), LARGE << 1);
            if over() {
                return Err(self);
            }
        }
        let mut marked = 0;
        while let Some(p) = self.tables.primes.get(self.next).map(|p| u64::from(*p)) {
            if p > self.tables.shape.y {
                break;
            }
            let (more, is_done) = self.mark(p, MARKED);
            if is_done {
                self.next += 1;
                self.marking = Marking::default();
            }
            // A prime takes about as long as some entries.
            marked += more + 4;
            if marked >= MARKED {
                marked = 0;
                if over() {
                    return Err(self);
                }
            }
        }
        let Tables { shape, stretching, .. } = &mut self.tables;
        match stretching.advance(*shape, over) {
            true => Ok(self.tables),
            false => Err(self),
        }
    }

    /// Marks the next multiples of `p` that are coprime to 30: as those of their least prime factor, and those of its
    /// square as 0. How many, at most `most`, and whether these were the last ones.
    fn mark(&mut self, p: u64, most: usize) -> (usize, bool) {
        let (y, factors) = (self.tables.shape.y, &mut self.tables.factors);
        let Marking { row, index } = &mut self.marking;
        let mut marked = 0;
        while *row < 2 * RESIDUES.len() {
            let is_square = *row >= RESIDUES.len();
            if is_square && p > y / p {
                break;
            }
            let multiple = if is_square { p * p } else { p };
            let first = multiple * u64::from(RESIDUES[*row % RESIDUES.len()]);
            if first > y {
                // So are the others of these.
                *row = RESIDUES.len() * (1 + usize::from(is_square));
                continue;
            }
            if *index == 0 {
                *index = 8 * (first / NUMBERS_PER_BYTE) as usize + bit((first % NUMBERS_PER_BYTE) as usize);
            }
            // From one multiple to the next of the same residue the index moves by eight for each 30 of it.
            let step = 8 * multiple as usize;
            let end = factors.len().min(*index + (most - marked) * step);
            let entries = factors[*index..end].iter_mut().step_by(step);
            let count = entries.len();
            match is_square {
                true => entries.for_each(|entry| *entry = 0),
                false => entries.for_each(|entry| {
                    *entry = match *entry {
                        0 => 0,
                        fresh if fresh >> 1 == LARGE => (p.min(u64::from(LARGE)) as u16) << 1 | (!fresh & 1),
                        marked => marked ^ 1,
                    }
                }),
            }
            marked += count;
            *index += count * step;
            if *index < factors.len() {
                return (marked, false);
            }
            (*row, *index) = (*row + 1, 0);
        }
        (marked, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_marked_alike_in_any_bouts() {
        let shape = Shape::new(3_000_000_000);
        let made = || Box::new(Preparing::new(shape)).advance(|| false).expect("it is done");
        for most in [1, 2, 7, 100] {
            let expected = made().factors;
            let mut preparing = Preparing::new(shape);
            preparing.tables = made();
            preparing.tables.factors.fill(LARGE << 1);
            for index in FIRST..preparing.tables.primes.len() {
                let p = preparing.tables.primes[index].into();
                preparing.marking = Marking::default();
                while let (marked, false) = preparing.mark(p, most) {
                    assert!((1..=most).contains(&marked), "{p}");
                }
            }
            assert!(preparing.tables.factors == expected, "{most}");
        }
    }

    #[test]
    fn tables_hold_what_they_say() {
        let shape = Shape::new(30_000_000_000);
        let mut preparing = Box::new(Preparing::new(shape));
        let tables = loop {
            match preparing.advance(|| true) {
                Ok(tables) => break tables,
                Err(rest) => preparing = rest,
            }
        };
        let is_prime = |n: u64| n > 1 && (2..=n.isqrt()).all(|d| !n.is_multiple_of(d));
        let (mut count, mut sum) = (0, 0);
        for n in 0..=shape.y {
            if is_prime(n) {
                count += 1;
                sum += n;
            }
            assert_eq!((tables.count(n), tables.sum(n)), (count, sum), "{n}");
        }
        for (index, entry) in tables.factors.iter().enumerate() {
            let n = wheel_number(index);
            let divisors: Vec<u64> = (2..=n).filter(|d| n.is_multiple_of(*d) && is_prime(*d)).collect();
            let is_free = divisors.iter().product::<u64>() == n;
            let expected = match divisors.first() {
                _ if !is_free => 0,
                None => LARGE << 1,
                Some(least) => (*least as u16) << 1 | (divisors.len() % 2) as u16,
            };
            assert_eq!(*entry, expected, "{n}");
        }
    }
}
