//! Numbers that are tested together, with their verdicts in order.
//!
//! Nearly all candidates for a prime are composite, and the first half of the test says so. Where the processor can it
//! is made for eight numbers at once ([`lanes`](super::lanes)), in a fraction of the time that they take one after the
//! other; the second half is made for each that passes.
//!
//! Knows no slice and no clock: the caller decides when to pause. Start at [`Candidates::advance`].

use super::bpsw::Test;
use super::is_prime_u128;
#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
use super::large::{Large, Residue};
use crate::primes::Natural;
use dashu_int::ops::BitTest;
use std::collections::VecDeque;

/// Odd numbers above 1 under test.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// Those without a verdict.
    numbers: VecDeque<Natural>,
    /// The first halves of their tests.
    #[cfg(target_arch = "x86_64")]
    first_halves: Option<Box<Lanes>>,
    /// Bit `i`: the number at `i` has passed its first half. `None` if each has it with the second.
    passed: Option<u8>,
    /// The test of the next number, once it has begun.
    test: Option<Box<(Large, Test<Residue>)>>,
}

impl Candidates {
    /// How many numbers of as many bits, or one more, are best tested at once.
    pub(crate) fn at_once(bits: usize) -> usize {
        #[cfg(target_arch = "x86_64")]
        if Lanes::suit(bits) {
            return super::limbs::LANES;
        }
        let _ = bits;
        1
    }

    /// Begins with some numbers, no more than are tested [at once](Self::at_once).
    pub(crate) fn new(numbers: Vec<Natural>) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            first_halves: (numbers.len() > 1).then(|| Box::new(Lanes::new(&numbers))),
            numbers: numbers.into(),
            passed: None,
            test: None,
        }
    }

    /// The next number without a verdict.
    pub(crate) fn next(&self) -> Option<&Natural> {
        self.numbers.front()
    }

    /// Whether the [next](Self::next) number is prime; it is dropped then. `None` after `over`, which is asked every
    /// few multiplications, or if there is none.
    pub(crate) fn advance(&mut self, over: impl FnMut() -> bool) -> Option<bool> {
        #[cfg(target_arch = "x86_64")]
        let mut over = over;
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = &mut self.first_halves {
            self.passed = Some(lanes.advance(&mut over)?);
            self.first_halves = None;
        }
        let n = self.numbers.front()?;
        let verdict = match self.passed {
            Some(passed) if passed & 1 == 0 => false,
            _ if n.bit_len() <= 128 => u128::try_from(n).is_ok_and(is_prime_u128),
            passed => {
                let (large, test) = self.test.take().map_or_else(
                    || {
                        let large = Large::new(n.clone());
                        let test = if passed.is_some() {
                            Test::LucasFirst
                        } else {
                            large.start()
                        };
                        (large, test)
                    },
                    |begun| *begun,
                );
                match large.advance(test, over) {
                    Test::Done(verdict) => verdict,
                    test => {
                        self.test = Some(Box::new((large, test)));
                        return None;
                    }
                }
            }
        };
        self.numbers.pop_front();
        if let Some(passed) = &mut self.passed {
            *passed >>= 1;
        }
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::primality::is_prime_u128;
    use proptest::prelude::*;

    fn verdicts(numbers: &[Natural], mut over: impl FnMut() -> bool) -> Vec<bool> {
        let at_once = Candidates::at_once(numbers.iter().map(|n| n.as_words().len() * 64).max().unwrap_or(0));
        let mut verdicts = Vec::new();
        for some in numbers.chunks(at_once) {
            let mut candidates = Candidates::new(some.to_vec());
            while candidates.next().is_some() {
                verdicts.extend(candidates.advance(&mut over));
            }
        }
        verdicts
    }

    fn alone(n: &Natural) -> bool {
        let large = Large::new(n.clone());
        large.advance(large.start(), || false) == Test::Done(true)
    }

    #[test]
    fn long_numbers_have_the_verdicts_that_they_have_alone() {
        // 10^100 + 267, + 949, + 1243, + 1293 are prime (PARI, forprime).
        let n = Natural::from(10u8).pow(100);
        let primes: Vec<usize> = vec![267, 949, 1243, 1293];
        let distances: Vec<usize> = (1..1300).step_by(2).collect();
        let numbers: Vec<Natural> = distances.iter().map(|distance| &n + *distance).collect();
        let verdicts = verdicts(&numbers, || false);
        let found = distances.iter().zip(&verdicts).filter(|(_, is_prime)| **is_prime);
        assert_eq!(found.map(|(distance, _)| *distance).collect::<Vec<_>>(), primes);
    }

    #[test]
    fn strong_pseudoprimes_need_the_second_half() {
        // Mersenne numbers with prime exponents pass the first, whether they are prime or not.
        let exponents = [67usize, 71, 89, 101, 103, 107, 109, 127, 131, 521];
        let numbers = exponents.map(Natural::ones);
        let primes = exponents.map(|exponent| [89, 107, 127, 521].contains(&exponent));
        assert_eq!(verdicts(&numbers, || false), primes);
    }

    #[test]
    fn a_number_may_be_a_bit_longer_than_was_asked() {
        let together = |bits: &usize| Candidates::at_once(*bits) > 1;
        if let Some(longest) = (1..20_000).rev().find(together) {
            let numbers = vec![(Natural::ONE << longest) + 1u8; Candidates::at_once(longest)];
            assert_eq!(Candidates::new(numbers).advance(|| true), None);
        }
    }

    proptest! {
        #[test]
        fn verdicts_are_those_of_double_words(numbers in prop::collection::vec(1u128 << 65.., 1..20), shift in 0u32..60, every in 1u32..9) {
            let odd = |n: &u128| (n >> shift).max(1 << 65) | 1;
            let numbers: Vec<u128> = numbers.iter().map(odd).collect();
            let mut calls = 0;
            let over = || { calls += 1; calls % every == 0 };
            let found = verdicts(&numbers.iter().map(|n| Natural::from(*n)).collect::<Vec<_>>(), over);
            prop_assert_eq!(found, numbers.iter().map(|n| is_prime_u128(*n)).collect::<Vec<_>>());
        }

        #[test]
        fn lengths_may_differ(words in prop::collection::vec(prop::collection::vec(any::<u64>(), 3..40), 1..9)) {
            let mut numbers: Vec<Natural> = words.iter().map(|words| Natural::from_words(words) | Natural::ONE | Natural::ONE << 100).collect();
            numbers.push(Natural::from(10u8).pow(60) + 7u8);
            let alone: Vec<bool> = numbers.iter().map(alone).collect();
            prop_assert_eq!(verdicts(&numbers, || false), alone);
        }
    }
}
