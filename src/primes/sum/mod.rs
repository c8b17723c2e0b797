//! The sum of the primes up to `x`, without finding them: the formula of Lagarias, Miller and Odlyzko for a completely
//! multiplicative function, here `f(n) = n`. docs/numbers.md has the formula and its sources.
//!
//! Knows no slice: every part of the sum is a unit that needs nothing of the others. Start at [`Shape`]; then
//! [`Tables`], which all units share, [`Stretch`] (easy leaves and semiprimes; [`Stretching`] has which there are) and
//! [`Block`] (hard leaves). All sums are modulo 2^128, and the result fits.

mod hard;
mod stretch;
mod stretching;
mod tables;

pub(crate) use hard::{Block, BlockSum};
pub(crate) use stretch::{Stretch, StretchSum};
pub(crate) use stretching::Stretching;
pub(crate) use tables::{Preparing, Tables};

use super::pi::quotient::cube_root;
use super::wheel::{BITS_BELOW, NUMBERS_PER_BYTE, RESIDUES};
use std::ops::RangeInclusive;

/// The primes 2, 3 and 5 are sieved by the wheel: the first prime that has leaves is the fourth.
pub(crate) const FIRST: usize = 3;

/// The parameters of one sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) x: u64,
    /// Between the cube root and the square root of `x`.
    pub(crate) y: u64,
    /// The square, cube and fourth roots of `x`, rounded down, and the square root of `y`.
    pub(crate) root2: u64,
    pub(crate) root3: u64,
    pub(crate) root4: u64,
    pub(crate) root_y: u64,
    /// What is summed up lies below: `x / y`.
    pub(crate) last: u64,
}

impl Shape {
    /// The least `x` that this is for.
    pub(crate) const LEAST: u64 = 1_000_000;

    pub(crate) fn new(x: u64) -> Self {
        debug_assert!(x >= Self::LEAST);
        // Larger y makes the hard part shorter and the easy part longer. The factor was found by timing 1e12 .. 1e17.
        let factor = 1.2 * (x as f64 / 1e6).powf(0.11);
        let (least, most) = Self::ys(x);
        Self::of(x, ((cube_root(x.into()) as f64 * factor) as u64).clamp(least, most))
    }

    /// The parameters for `x` and this `y`, if there are any: another machine may round the factor otherwise.
    pub(crate) fn with_y(x: u64, y: u64) -> Option<Self> {
        let (least, most) = Self::ys(x);
        (x >= Self::LEAST && (least..=most).contains(&y)).then(|| Self::of(x, y))
    }

    /// The least and the largest `y`.
    fn ys(x: u64) -> (u64, u64) {
        (cube_root(x.into()) + 1, x.isqrt())
    }

    fn of(x: u64, y: u64) -> Self {
        let root2 = x.isqrt();
        Self {
            x,
            y,
            root2,
            root3: cube_root(x.into()),
            root4: root2.isqrt(),
            root_y: y.isqrt(),
            last: x / y,
        }
    }

    /// The bounds of the second factor of an easy leaf of `p`, and where the sum turns from columns to rows.
    fn easy(&self, p: u64) -> Option<Easy> {
        let over_p = self.x / p;
        let low = p.max(over_p / p / p);
        let high = self.y.min(over_p / p);
        (low < high).then(|| Easy {
            over_p,
            low,
            turn: over_p.isqrt().clamp(low, high),
            high,
        })
    }
}

/// The easy leaves of a prime `p`: the primes `q` in `low < q <= high`. Up to `turn` they are added up one by one;
/// those above by rows, as pairs `q r <= x / p`, for there are fewer `r`.
#[derive(Clone, Copy, Debug)]
struct Easy {
    over_p: u64,
    low: u64,
    turn: u64,
    high: u64,
}

impl Easy {
    /// The bounds of what is gone through: of `q`, and of `r`. Each lies above the first and up to the second.
    fn ways(&self) -> [(u64, u64); 2] {
        let rows = if self.turn < self.high {
            (self.over_p / self.high, self.over_p / self.turn)
        } else {
            (0, 0)
        };
        [(self.low, self.turn), rows]
    }

    /// The same of those, of either kind, whose leaves are among these numbers.
    fn second_primes(&self, numbers: &RangeInclusive<u64>) -> (u64, u64) {
        let above = self.over_p / (numbers.end() + 1);
        (above, self.over_p.checked_div(*numbers.start()).unwrap_or(u64::MAX))
    }
}

/// The sum of the numbers up to `v` that are coprime to 30.
fn coprime_sum(v: u64) -> u128 {
    let (whole, rest) = (u128::from(v / NUMBERS_PER_BYTE), v % NUMBERS_PER_BYTE);
    // Eight numbers a turn, whose residues add up to 120.
    let turns = whole * 120 + 8 * 30 * (whole * whole.saturating_sub(1) / 2);
    let bits = BITS_BELOW[rest as usize + 1];
    turns + whole * 30 * u128::from(bits.count_ones()) + u128::from(sum_of_residues(bits))
}

/// For each byte of a sieve how many numbers it holds, and the sum of their residues.
const COUNTS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).count_ones() as u8;
        byte += 1;
    }
    table
};
const SUMS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte] += RESIDUES[bit];
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// How many numbers a byte of a sieve holds.
#[inline]
fn count_in(byte: u8) -> u64 {
    u64::from(COUNTS[byte as usize])
}

/// The sum of the residues of the numbers that a byte of a sieve holds: at most 120.
#[inline]
fn sum_of_residues(byte: u8) -> u64 {
    u64::from(SUMS[byte as usize])
}

/// How many numbers up to `n` are coprime to 30: their index among all of them.
fn wheel_index(n: u64) -> usize {
    8 * (n / NUMBERS_PER_BYTE) as usize + BITS_BELOW[(n % NUMBERS_PER_BYTE) as usize + 1].count_ones() as usize
}

/// The number of an index, counted from 0.
#[inline]
fn wheel_number(index: usize) -> u64 {
    NUMBERS_PER_BYTE * (index / 8) as u64 + u64::from(RESIDUES[index % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_indices_of_the_wheel() {
        let is_coprime = |n: u64| !n.is_multiple_of(2) && !n.is_multiple_of(3) && !n.is_multiple_of(5);
        let (mut sum, mut count) = (0, 0);
        for n in 0..1000 {
            if is_coprime(n) {
                assert_eq!(wheel_number(count), n);
                count += 1;
                sum += u128::from(n);
            }
            assert_eq!((coprime_sum(n), wheel_index(n)), (sum, count), "{n}");
        }
    }
}
