//! The primes nearest to a number: at once for words and double words, by a window of candidates for numbers of any size.
//!
//! Knows no slice: `Window::sieve` asks its caller when to pause. The candidates it leaves are tested elsewhere.

use super::is_prime_u128;
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

/// The smallest prime above `n`, if it is below 2^128.
pub fn next(n: u128) -> Option<u128> {
    if n < 2 {
        return Some(2);
    }
    let mut candidate = n.checked_add(1)? | 1;
    loop {
        if is_prime_u128(candidate) {
            return Some(candidate);
        }
        candidate = candidate.checked_add(2)?;
    }
}

/// The largest prime below `n`, if there is one.
pub fn prev(n: u128) -> Option<u128> {
    if n <= 3 {
        return (n == 3).then_some(2);
    }
    // n > 3, so 3 stops the search.
    let mut candidate = (n - 2) | 1;
    while !is_prime_u128(candidate) {
        candidate -= 2;
    }
    Some(candidate)
}

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
    /// The window beginning at the first odd number at a distance of at least `from` (at least 1), before any crossing off.
    pub(crate) fn new(n: &Natural, from: u64) -> Self {
        let bits = n.bit_len() as u64;
        let first = if n.bit(0) == (from % 2 == 1) { from + 1 } else { from };
        // 14 bits = 20 ln n: the primes up to e^36 have no gap of more than 20 times the mean. A wider one takes another window.
        let words = (14 * bits / 128 + 1) as usize;
        // One test of a number of b bits costs some b^3, crossing off a prime costs b.
        let limit = (32 * bits).min(known::LIMIT - 1);
        Self {
            first,
            crossed: vec![0; words],
            done: 2,
            limit,
        }
    }

    /// The first distance beyond the window.
    pub(crate) fn end(&self) -> u64 {
        self.first + 128 * self.crossed.len() as u64
    }

    /// Crosses off multiples of small primes until none are left to do or `over`; at least a word's worth of primes.
    /// True if it is finished.
    pub(crate) fn sieve(&mut self, n: &Natural, direction: Direction, mut over: impl FnMut() -> bool) -> bool {
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
            let remainder = n % product;
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

    /// Crosses off the multiples of `p`, given `n mod p`.
    fn cross(&mut self, p: u64, residue: u64, direction: Direction) {
        // n + d = 0 mod p for d = -n, n - d = 0 for d = n; and first + 2 i = d, where 1/2 is (p + 1) / 2.
        let distance = match direction {
            Direction::Up => p - residue,
            Direction::Down => residue,
        };
        let twice = (distance + p - self.first % p) % p;
        let first = if twice.is_multiple_of(2) {
            twice / 2
        } else {
            (twice + p) / 2
        };
        for i in (first as usize..64 * self.crossed.len()).step_by(p as usize) {
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

/// How many candidates of a window will be tested until one is prime, on average: Mertens' theorem against the density `1 / ln n`.
pub(crate) fn mean_tests(n: &Natural) -> f64 {
    let bits = n.bit_len() as f64;
    let limit = (32.0 * bits).min(known::LIMIT as f64);
    const E_TO_GAMMA: f64 = 1.781_072_417_990_198;
    (bits * std::f64::consts::LN_2 / (E_TO_GAMMA * limit.ln())).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
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

    proptest! {
        #[test]
        fn a_window_leaves_exactly_the_numbers_without_a_small_factor(n in 1u128 << 64.., from in 1u64..9999, up: bool) {
            let direction = if up { Direction::Up } else { Direction::Down };
            let natural = Natural::from(n >> 1);
            let n = n >> 1;
            let mut window = Window::new(&natural, from);
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
