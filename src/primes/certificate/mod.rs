//! Proofs that a number `n` is prime by factors of `n - 1`, of `n + 1`, or of both.
//!
//! The theorems are those of H. C. Pocklington (1914), M. Morrison (1975), and J. Brillhart, D. H. Lehmer and J. L.
//! Selfridge, "New primality criteria and factorizations of 2^m +- 1", Math. Comp. 29 (1975); R. Crandall, C.
//! Pomerance, *Prime Numbers*, sections 4.1 and 4.2. With [witnesses](Witness) for all primes of a part `F1` of
//! `n - 1`, every prime that divides `n` is 1 modulo `F1`; with those of a part `F2` of `n + 1`, it is 1 or -1 modulo
//! `F2`. [`Parts::suffice`] says when no number but a prime has such divisors only; docs/numbers.md proves it.
//!
//! Knows no slice: a [`Witness`] is looked for until it is there or the caller has enough.

mod choice;
mod minus;
mod plus;
mod text;

pub(crate) use choice::Search;
pub(crate) use text::{read, written};

use super::Natural;
use dashu_int::ops::{BitTest, SquareRoot};
use std::cmp::max;
use std::sync::Arc;

/// Numbers that are tried as witnesses: for a prime `n` one fails once in p times.
const MOST_BASE: u64 = 10_000;

/// Certificates within certificates: each is for a number of at most half the length or so; no proof is deeper.
const DEEPEST: usize = 64;

/// A prime of a proof, and its witness, if it is known.
pub(crate) type Witnessed = (Natural, Option<u64>);

/// One number of a proof: that it is prime if the primes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) n: Natural,
    /// Primes that divide `n - 1`.
    pub(crate) minus: Vec<Witnessed>,
    /// The discriminant for primes that divide `n + 1`; 0 if there are none.
    pub(crate) d: u32,
    pub(crate) plus: Vec<Witnessed>,
}

impl Proof {
    /// A proof whose witnesses are to be found.
    pub(crate) fn new(n: Natural, minus: Vec<Natural>, d: u32, plus: Vec<Natural>) -> Self {
        let unknown = |primes: Vec<Natural>| primes.into_iter().map(|p| (p, None)).collect();
        let (minus, plus) = (unknown(minus), unknown(plus));
        Self { n, minus, d, plus }
    }

    /// The primes, those of `n - 1` first.
    pub(crate) fn primes(&self) -> impl Iterator<Item = &Witnessed> {
        self.minus.iter().chain(&self.plus)
    }

    /// True if each of the primes divides the number that it should.
    pub(crate) fn are_divisors(&self) -> bool {
        let divide = |number: &Natural, primes: &[Witnessed]| {
            let divides = |p: &Natural| !p.is_zero() && (number % p).is_zero();
            primes.iter().all(|(p, _)| divides(p))
        };
        self.n > Natural::ONE && divide(&(&self.n - 1u8), &self.minus) && divide(&(&self.n + 1u8), &self.plus)
    }

    /// What is to be shown, in the order of [`primes`](Self::primes). Those that are known are tried alone.
    pub(crate) fn witnesses(&self) -> Vec<Witness> {
        let n = Arc::new(self.n.clone());
        let minus = self.minus.iter().cloned();
        let minus = minus.map(|(p, base)| Witness::Minus(minus::Witness::new(Arc::clone(&n), p, base)));
        let plus = self.plus.iter().cloned();
        let plus = plus.map(|(p, x)| Witness::Plus(plus::Witness::new(Arc::clone(&n), self.d, p, x)));
        minus.chain(plus).collect()
    }
}

/// Looks for the witness of one prime.
#[derive(Clone, Debug)]
pub(crate) enum Witness {
    /// Of one that divides `n - 1`.
    Minus(minus::Witness),
    /// Of one that divides `n + 1`.
    Plus(plus::Witness),
}

impl Witness {
    /// The witness; or that there is none, so that `n` is composite. `None` after `over`, which is asked after every
    /// one or two multiplications.
    pub(crate) fn advance(&mut self, over: impl FnMut() -> bool) -> Option<Option<u64>> {
        match self {
            Self::Minus(witness) => witness.advance(over),
            Self::Plus(witness) => witness.advance(over),
        }
    }
}

/// True for numbers that need no proof but a test that is one.
pub(crate) fn is_small(n: &Natural) -> bool {
    n.bit_len() <= 64
}

/// The part of a number that is made of these primes.
pub(crate) fn part_of(number: Natural, primes: impl IntoIterator<Item = Natural>) -> Natural {
    // Powers of 2 may be long, and need no division.
    let mut twos = number.trailing_zeros().unwrap_or(0);
    let mut rest = number >> twos;
    let mut part = Natural::ONE;
    for p in primes {
        if p == Natural::from(2u8) {
            part <<= std::mem::take(&mut twos);
        }
        while p > Natural::ONE && (&rest % &p) == Natural::ZERO {
            rest /= &p;
            part *= &p;
        }
    }
    part
}

/// The parts of `n - 1` and of `n + 1` whose primes have witnesses; 1 if there are none.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) minus: Natural,
    pub(crate) plus: Natural,
}

impl Parts {
    /// True if they prove that the odd number `n` is prime.
    pub(crate) fn suffice(&self, n: &Natural) -> bool {
        let is_one = |part: &Natural| *part == Natural::ONE;
        (!is_one(&self.minus) && minus_suffices(n, &self.minus))
            || (!is_one(&self.plus) && plus_suffices(n, &self.plus))
            || (!is_one(&self.minus) && !is_one(&self.plus) && self.suffice_together(n))
    }

    /// Every divisor is 1 or `n` modulo the least common multiple `F`; so if `n = d e`, then `d >= F + 1`, and `e` is
    /// `n mod F`, or that and `F` at least; and `e >= F1 + 1`, `e >= F2 - 1`.
    fn suffice_together(&self, n: &Natural) -> bool {
        let both = if self.minus.bit(0) || self.plus.bit(0) { 0 } else { 1 };
        let multiple: Natural = (&self.minus * &self.plus) >> both;
        let least: Natural = &multiple + 1u8;
        if &least * max(&self.minus + 1u8, &self.plus - 1u8) > *n {
            return true;
        }
        // Only if it may be enough: the remainder is below the multiple.
        if 2 * multiple.bit_len() + 1 < n.bit_len() {
            return false;
        }
        let rest = n % &multiple;
        let is_divisor = rest > Natural::ONE && rest < *n && (n % &rest).is_zero();
        !is_divisor && least * (multiple + rest) > *n
    }
}

fn minus_suffices(n: &Natural, part: &Natural) -> bool {
    let square = part * part;
    if square >= *n {
        return true;
    }
    if &square * part < *n {
        return false;
    }
    let quotient = (n - 1u8) / part;
    let (c, b) = (&quotient / part, &quotient % part);
    let (left, right) = (&b * &b, c * 4u8);
    left < right || !is_square(&(left - right))
}

/// With `n + 1 = F R`: if `n = (1 + u F)(v F - 1)`, then `R = u v F + v - u`, and for `2 (R - 1) < F (F - 1)` this is
/// its only form with a second summand that is nearer to 0 than `F / 2`. So `u v` and `v - u` are known, and
/// `(v - u)^2 + 4 u v` would have to be a square.
fn plus_suffices(n: &Natural, part: &Natural) -> bool {
    if 3 * part.bit_len() < n.bit_len() {
        return false;
    }
    let quotient: Natural = (n + 1u8) / part;
    if (&quotient - 1u8) * 2u8 >= part * (part - 1u8) {
        return false;
    }
    let (mut product, mut rest) = (&quotient / part, &quotient % part);
    if &rest * 2u8 > *part {
        product += 1u8;
        rest = part - rest;
    }
    product.is_zero() || !is_square(&(rest.sqr() + product * 4u8))
}

fn is_square(n: &Natural) -> bool {
    let root = n.sqrt();
    root.sqr() == *n
}

#[cfg(test)]
mod tests {
    use super::choice::choose;
    use super::plus::{discriminant, is_discriminant};
    use super::*;
    use crate::primes::primality::is_prime_u64;
    use proptest::prelude::*;

    fn has_all_witnesses(proof: &Proof) -> bool {
        proof.witnesses().into_iter().all(|mut witness| {
            loop {
                if let Some(found) = witness.advance(|| true) {
                    return found.is_some();
                }
            }
        })
    }

    fn primes_of(n: u64) -> Vec<u64> {
        (2..=n).filter(|p| n.is_multiple_of(*p) && is_prime_u64(*p)).collect()
    }

    fn naturals(primes: &[u64]) -> Vec<Natural> {
        primes.iter().map(|p| Natural::from(*p)).collect()
    }

    fn suffice(n: u64, minus: &[u64], plus: &[u64]) -> bool {
        let minus = part_of((n - 1).into(), naturals(minus));
        let plus = part_of((n + 1).into(), naturals(plus));
        Parts { minus, plus }.suffice(&n.into())
    }

    fn proof(n: u64, minus: &[u64], plus: &[u64]) -> Option<Proof> {
        let d = if plus.is_empty() { 0 } else { discriminant(&n.into())? };
        Some(Proof::new(n.into(), naturals(minus), d, naturals(plus)))
    }

    /// Proves small numbers by the theorems alone, with all or some of the primes of `n - 1` and `n + 1`. `d` is below
    /// `n` then.
    #[test]
    fn exactly_the_primes_are_proved() {
        let mut counts = [0; 3];
        for n in (7..6000u64).step_by(2) {
            let (minus, plus) = (primes_of(n - 1), primes_of(n + 1));
            for from_minus in 0..=minus.len() {
                for from_plus in 0..=plus.len() {
                    let (minus, plus) = (&minus[from_minus..], &plus[from_plus..]);
                    if !suffice(n, minus, plus) {
                        continue;
                    }
                    let is_proved = proof(n, minus, plus).is_some_and(|proof| has_all_witnesses(&proof));
                    assert_eq!(is_proved, is_prime_u64(n), "{n} {minus:?} {plus:?}");
                    let needs_both = !suffice(n, minus, &[]) && !suffice(n, &[], plus);
                    counts[if needs_both { 2 } else { usize::from(!plus.is_empty()) }] += 1;
                }
            }
        }
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    /// Where neither side would do alone, with factors below 30.
    #[test]
    fn exactly_the_primes_are_proved_by_both_sides() {
        let small = |n: u64| (2..30).filter(move |p| n.is_multiple_of(*p) && is_prime_u64(*p));
        let mut counts = [0; 2];
        for n in (20_001..40_000u64).step_by(2) {
            let (minus, plus): (Vec<u64>, Vec<u64>) = (small(n - 1).collect(), small(n + 1).collect());
            if !suffice(n, &minus, &plus) || suffice(n, &minus, &[]) || suffice(n, &[], &plus) {
                continue;
            }
            let is_proved = proof(n, &minus, &plus).is_some_and(|proof| has_all_witnesses(&proof));
            assert_eq!(is_proved, is_prime_u64(n), "{n} {minus:?} {plus:?}");
            counts[usize::from(is_proved)] += 1;
        }
        assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    }

    /// No composite gets through, whatever the discriminant and the witness.
    #[test]
    fn composites_have_no_witness_for_any_discriminant() {
        for n in (9..700u64).step_by(2).filter(|n| !is_prime_u64(*n)) {
            let plus = primes_of(n + 1);
            if !suffice(n, &[], &plus) {
                continue;
            }
            for d in (3..100).filter(|d| is_discriminant(*d, &n.into())) {
                let has_witness = |p: &u64| {
                    (0..n.min(60)).any(|x| {
                        let mut proof = Proof::new(n.into(), Vec::new(), d, naturals(&[*p]));
                        proof.plus[0].1 = Some(x);
                        has_all_witnesses(&proof)
                    })
                };
                assert!(!plus.iter().all(has_witness), "{n} {d}");
            }
        }
    }

    #[test]
    fn a_discriminant_is_no_square_modulo_the_number() {
        for n in [7u64, 11, 13, 10_007, 1_000_003] {
            let d = discriminant(&n.into()).expect("it is no square");
            let residues: Vec<u64> = (0..n.min(100_000)).map(|x| x * x % n).collect();
            assert!(!residues.contains(&(u64::from(d) % n)) || n > 100_000, "{n}");
        }
        assert_eq!(discriminant(&(1_000_003u64 * 1_000_003).into()), None);
    }

    proptest! {
        /// What is chosen suffices, and is of the primes that were given.
        #[test]
        fn what_is_chosen_suffices(n in 1u64 << 20..1 << 40) {
            let n = n | 1;
            let divisors = |mut number: u64| {
                let mut primes = Vec::new();
                for p in (2..200).filter(|p| is_prime_u64(*p)) {
                    while number.is_multiple_of(p) {
                        primes.push(p);
                        number /= p;
                    }
                }
                primes
            };
            let (minus, plus) = (divisors(n - 1), divisors(n + 1));
            match choose(&n.into(), naturals(&minus), naturals(&plus)) {
                None => prop_assert!(!suffice(n, &minus, &plus)),
                Some((from_minus, from_plus)) => {
                    let words = |primes: &[Natural]| primes.iter().map(|p| u64::try_from(p).unwrap_or(0)).collect::<Vec<_>>();
                    let (from_minus, from_plus) = (words(&from_minus), words(&from_plus));
                    prop_assert!(from_minus.iter().all(|p| minus.contains(p)) && from_plus.iter().all(|p| plus.contains(p)));
                    prop_assert!(suffice(n, &from_minus, &from_plus));
                }
            }
        }
    }
}
