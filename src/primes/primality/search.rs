//! The primes nearest to a number: at once for words and double words, by a window of candidates for numbers of any
//! size.
//!
//! Knows no slice: `Window::sieve` asks its caller when to pause. The candidates it leaves are tested elsewhere.

use super::bpsw::{Test, begin_together};
use super::candidates::Candidates;
use super::is_prime_u128;
use super::ring::Montgomery;
use crate::primes::{Natural, known};
use dashu_int::ops::BitTest;

/// Up or down the number line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Towards larger numbers.
    Up,
    /// Towards smaller numbers.
    Down,
}

/// The smallest prime above `n`, if it is below 2^128. Some 1.3 us for a word; ten times as long before the widest
/// gaps.
pub fn next(n: u128) -> Option<u128> {
    if n < 2 {
        return Some(2);
    }
    if let Some(prime) = of_word(n, Direction::Up) {
        return Some(prime.into());
    }
    let mut candidate = n.checked_add(1)? | 1;
    loop {
        if is_prime_u128(candidate) {
            return Some(candidate);
        }
        candidate = candidate.checked_add(2)?;
    }
}

/// The largest prime below `n`, if there is one. It takes as long as `next`.
pub fn prev(n: u128) -> Option<u128> {
    if n <= 3 {
        return (n == 3).then_some(2);
    }
    if let Some(prime) = of_word(n, Direction::Down) {
        return Some(prime.into());
    }
    // n > 3, so 3 stops the search.
    let mut candidate = (n - 2) | 1;
    while !is_prime_u128(candidate) {
        candidate -= 2;
    }
    Some(candidate)
}

/// Words below this are left to the search number by number: there a small prime would be crossed off as its own
/// multiple.
const LEAST: u64 = 1 << 10;

/// Candidates that are tested together. With 3, 4 and 5 a search takes .79, .77 and .80 of the time.
const TOGETHER: usize = 4;

/// The prime next to a word, if it is a word itself and [`LEAST`] or more; 64 odd numbers at a time, without those that
/// a small prime divides.
fn of_word(n: u128, direction: Direction) -> Option<u64> {
    let n = u64::try_from(n).ok().filter(|n| *n >= LEAST)?;
    let mut first = match direction {
        Direction::Up => n.checked_add(1)? | 1,
        Direction::Down => (n - 2) | 1,
    };
    loop {
        // Down, 128 numbers without a prime come a thousand times later than the smallest that is looked at here.
        let after = match direction {
            Direction::Up => first.checked_add(128)?,
            Direction::Down => first - 128,
        };
        let mut left = !multiples(first, direction);
        let mut candidates = std::iter::from_fn(|| {
            let distance = 2 * u64::from((left != 0).then(|| left.trailing_zeros())?);
            left &= left - 1;
            Some(match direction {
                Direction::Up => first + distance,
                Direction::Down => first - distance,
            })
        });
        let are_of_one_length = first.ilog2() == after.ilog2();
        while let Some(nearest) = candidates.next() {
            let found = if are_of_one_length {
                let mut numbers = [nearest; TOGETHER];
                numbers[1..].fill_with(|| candidates.next().unwrap_or(nearest));
                first_prime(numbers)
            } else {
                first_prime([nearest])
            };
            if found.is_some() {
                return found;
            }
        }
        first = after;
    }
}

/// The first of these that is prime; all are odd, above 2 and of as many bits.
fn first_prime<const N: usize>(numbers: [u64; N]) -> Option<u64> {
    let rings = numbers.map(Montgomery::new);
    let tests = begin_together(&rings);
    let mut all = rings.into_iter().zip(tests);
    all.find_map(|(ring, mut test)| {
        test.advance(&ring, || false);
        (test == Test::Done(true)).then(|| ring.modulus())
    })
}

/// Bit `i`: an odd prime up to 113 divides the odd number at distance `2 i` from `first`. With the primes up to 53 a
/// search tests 5.9 numbers on average, with these 4.9, and a test costs as much as forty divisions by constants.
fn multiples(first: u64, direction: Direction) -> u64 {
    let mut multiples = 0;
    // Unrolled, so that each prime is a constant: a division by it is a multiplication.
    macro_rules! cross {
        ($($p:literal)*) => {$(
            let residue = first % $p;
            let distance = match direction {
                Direction::Up if residue == 0 => 0,
                Direction::Up => $p - residue,
                Direction::Down => residue,
            };
            // The half of it modulo p.
            let index = if distance.is_multiple_of(2) { distance / 2 } else { (distance + $p) / 2 };
            multiples |= const { every($p) }.checked_shl(index as u32).unwrap_or(0);
        )*};
    }
    cross!(3 5 7 11 13 17 19 23 29 31 37 41 43 47 53 59 61 67 71 73 79 83 89 97 101 103 107 109 113);
    multiples
}

/// Every `p`-th bit, from the first on.
const fn every(p: u32) -> u64 {
    let (mut bits, mut at) = (0, 0);
    while at < u64::BITS {
        bits |= 1 << at;
        at += p;
    }
    bits
}

/// A window is made for no more primes than this: then its sieving takes little of the time of its tests.
const MOST_OF_A_WINDOW: u64 = 64;

/// The odd numbers at distances `first..` from a number, those with a small factor crossed off prime after prime.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// The distance of the first candidate.
    first: u64,
    /// Bit `i`: the number at distance `first + 2 i` has a small factor.
    crossed: Vec<u64>,
    /// Every odd prime up to here has been crossed off.
    done: u64,
    /// Primes up to here are to be.
    limit: u64,
}

impl Window {
    /// The window for `wanted` primes, beginning at the first odd number at a distance of at least `from` (at least 1),
    /// before any crossing off. The numbers of the window are far above the primes that are crossed off.
    pub(crate) fn new(n: &Natural, wanted: u64, from: u64) -> Self {
        let first = if n.bit(0) == (from % 2 == 1) { from + 1 } else { from };
        let words = Self::width(n.bit_len(), wanted) / 128 + 1;
        Self {
            first,
            crossed: vec![0; words as usize],
            done: 2,
            limit: limit(n.bit_len(), wanted),
        }
    }

    /// How many numbers the window for `wanted` primes next to a number of as many bits has, about.
    pub(crate) fn width(bits: usize, wanted: u64) -> u64 {
        // The primes up to e^36 have no gap of more than 20 times the mean, `ln n`. A wider one takes another window,
        // as more primes do.
        (19 + wanted.clamp(1, MOST_OF_A_WINDOW)) * (bits as u64 * 7 / 10)
    }

    /// The first distance beyond the window.
    pub(crate) fn end(&self) -> u64 {
        self.first + 128 * self.crossed.len() as u64
    }

    /// Crosses off multiples of small primes until none are left to do or `over`; at least a word's worth of primes.
    /// True if it is finished.
    pub(crate) fn sieve(&mut self, n: &Natural, direction: Direction, mut over: impl FnMut() -> bool) -> bool {
        let first = match direction {
            Direction::Up => n + self.first,
            Direction::Down => n - self.first,
        };
        while self.done < self.limit {
            // As many primes at once as a word holds: one pass over a long n for all of them.
            let before = self.done;
            let mut product = 1u64;
            while let Some((next, longer)) =
                known::next(self.done).and_then(|next| Some((next, product.checked_mul(next)?)))
            {
                (self.done, product) = (next, longer);
            }
            if self.done == before {
                self.done = self.limit;
                break;
            }
            let remainder = &first % product;
            let mut p = before;
            while p < self.done {
                p = known::next(p).expect("the table holds every prime up to the last one done");
                self.cross(p, remainder % p, direction);
            }
            if over() {
                break;
            }
        }
        self.done >= self.limit
    }

    /// Crosses off the multiples of `p`, given the remainder of the first number.
    fn cross(&mut self, p: u64, remainder: u64, direction: Direction) {
        let distance = match direction {
            Direction::Up if remainder == 0 => 0,
            Direction::Up => p - remainder,
            Direction::Down => remainder,
        };
        // The half of it modulo p.
        let index = if distance.is_multiple_of(2) {
            distance / 2
        } else {
            (distance + p) / 2
        };
        for i in (index as usize..64 * self.crossed.len()).step_by(p as usize) {
            self.crossed[i / 64] |= 1 << (i % 64);
        }
    }

    /// The distances that are left, ascending.
    pub(crate) fn candidates(&self) -> Vec<u64> {
        let word = |(w, crossed): (usize, &u64)| {
            let mut left = !crossed;
            std::iter::from_fn(move || {
                let i = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(64 * w as u64 + u64::from(i))
            })
        };
        self.crossed
            .iter()
            .enumerate()
            .flat_map(word)
            .map(|i| self.first + 2 * i)
            .collect()
    }
}

/// Primes up to here are crossed off a window for `wanted` primes.
fn limit(bits: usize, wanted: u64) -> u64 {
    // A test of a number of b bits costs some b^3 and crossing off a prime b; the primes that are wanted share it. Half
    // or twice as much takes some 5 % longer at the most, as measured at 25 to 1000 digits.
    let share = (wanted.clamp(1, MOST_OF_A_WINDOW) as f64).sqrt();
    let test = if Candidates::at_once(bits) > 1 { 1.0 } else { 4.0 };
    ((bits as f64).powi(2) * share * test / 24.0).min(known::LIMIT as f64 - 1.0) as u64
}

/// How many candidates are tested until one is prime, on average, if `wanted` primes are looked for: Mertens' theorem
/// against the density `1 / ln n`.
pub(crate) fn mean_tests(n: &Natural, wanted: u64) -> f64 {
    let bits = n.bit_len();
    const E_TO_GAMMA: f64 = 1.781_072_417_990_198;
    (bits as f64 * std::f64::consts::LN_2 / (E_TO_GAMMA * (limit(bits, wanted) as f64).ln())).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::is_prime_u64;
    use proptest::prelude::*;

    #[test]
    fn neighbours_of_small_numbers_are_those_of_the_table() {
        for n in 0..10_000 {
            assert_eq!(next(n.into()), known::next(n).map(u128::from), "{n}");
            assert_eq!(prev(n.into()), known::prev(n).map(u128::from), "{n}");
        }
    }

    #[test]
    fn at_the_edges_of_words() {
        let last = u128::MAX - 158;
        assert_eq!(next(last - 1), Some(last));
        assert_eq!((next(last), next(u128::MAX)), (None, None));
        assert_eq!(prev(u128::MAX), Some(last));
        assert_eq!(prev(1 << 64), Some((1 << 64) - 59));
        assert_eq!(next((1 << 64) - 59), Some((1 << 64) + 13));
    }

    #[test]
    fn the_first_gap_of_1132_is_crossed() {
        // A005250, A002386: the maximal gap 1132 follows 1693182318746371.
        assert_eq!(next(1_693_182_318_746_371), Some(1_693_182_318_746_371 + 1132));
        assert_eq!(prev(1_693_182_318_746_371 + 1132), Some(1_693_182_318_746_371));
    }

    fn step_by_step(mut numbers: impl Iterator<Item = u64>) -> Option<u128> {
        numbers.find(|n| is_prime_u64(*n)).map(u128::from)
    }

    #[test]
    fn from_the_smallest_numbers_on_no_prime_is_left_out() {
        for n in (LEAST - 130..LEAST + 5_000).chain(1 << 20..(1 << 20) + 2_000) {
            assert_eq!(next(n.into()), step_by_step(n + 1..), "{n}");
            assert_eq!(prev(n.into()), step_by_step((2..n).rev()), "{n}");
        }
    }

    #[test]
    fn numbers_of_different_lengths_are_not_tested_together() {
        for bits in 11..64 {
            for n in (0..300).step_by(7).map(|distance| (1u64 << bits) - 150 + distance) {
                assert_eq!(next(n.into()), step_by_step(n + 1..), "{n}");
                assert_eq!(prev(n.into()), step_by_step((2..n).rev()), "{n}");
            }
        }
    }

    #[test]
    fn the_last_prime_of_a_word_is_found_from_near_and_far() {
        // A013603: 2^64 - 59, and none between it and 2^64; A013597: 2^64 + 13 is the next one.
        for n in u64::MAX - 400..=u64::MAX {
            let up = if n < u64::MAX - 58 {
                step_by_step(n + 1..=u64::MAX)
            } else {
                Some((1 << 64) + 13)
            };
            assert_eq!(next(n.into()), up, "{n}");
            assert_eq!(prev(n.into()), step_by_step((2..n).rev()), "{n}");
        }
    }

    proptest! {
        #[test]
        fn the_neighbours_of_a_word_are_those_found_number_by_number(n in LEAST..u64::MAX - 58, shift in 0u32..50) {
            let n = (n >> shift).max(LEAST);
            prop_assert_eq!(next(n.into()), step_by_step(n + 1..));
            prop_assert_eq!(prev(n.into()), step_by_step((2..n).rev()));
        }

        #[test]
        fn a_window_leaves_exactly_the_numbers_without_a_small_factor(n in 1u128 << 66.., from in 1u64..9999, wanted in 1u64..30, up: bool) {
            let direction = if up { Direction::Up } else { Direction::Down };
            let natural = Natural::from(n >> 1);
            let n = n >> 1;
            let mut window = Window::new(&natural, wanted, from);
            let mut calls = 0;
            while !window.sieve(&natural, direction, || { calls += 1; calls % 3 == 0 }) {}
            let at = |distance: u64| if up { n + u128::from(distance) } else { n - u128::from(distance) };
            let factor = |m: u128| (2..window.limit).any(|p| m.is_multiple_of(p.into()));
            let left: Vec<u64> = (from..window.end()).filter(|d| !factor(at(*d))).collect();
            let candidates = window.candidates();
            // The last batch of primes may go beyond the limit.
            prop_assert!(candidates.iter().all(|d| left.contains(d)));
            prop_assert!(left.iter().all(|d| candidates.contains(d) || (2..=window.done).any(|p| at(*d).is_multiple_of(p.into()))));
        }
    }
}
