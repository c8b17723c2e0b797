//! Functions of a number by its prime factors: totient, sum of divisors, Moebius, radical, the divisors, primitive
//! roots.
//!
//! Knows nothing of how factors are found.

use super::Natural;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::ops::{BitTest, Gcd};

/// A prime and how often it divides the number.
pub(crate) type PrimePower = (Natural, usize);

/// Primes in ascending order with multiplicity, as powers.
pub(crate) fn powers(factors: &[Natural]) -> Vec<PrimePower> {
    debug_assert!(factors.is_sorted(), "equal ones would not be adjacent");
    factors
        .chunk_by(PartialEq::eq)
        .map(|equal| (equal[0].clone(), equal.len()))
        .collect()
}

/// How many numbers of `1..=n` are coprime to `n`.
pub(crate) fn totient(powers: &[PrimePower]) -> Natural {
    product(powers, |p, k| p.pow(k - 1) * (p - 1u8))
}

/// The sum of the divisors of `n`.
pub(crate) fn sigma(powers: &[PrimePower]) -> Natural {
    product(powers, |p, k| (p.pow(k + 1) - 1u8) / (p - 1u8))
}

/// The product of the different primes that divide `n`.
pub(crate) fn radical(powers: &[PrimePower]) -> Natural {
    product(powers, |p, _| p.clone())
}

/// 0 if a square of a prime divides `n`; else 1 or -1, as the number of its primes is even or odd.
pub(crate) fn moebius(powers: &[PrimePower]) -> i8 {
    match powers.iter().any(|(_, k)| *k > 1) {
        true => 0,
        false if powers.len().is_multiple_of(2) => 1,
        false => -1,
    }
}

/// How many divisors `n` has.
pub(crate) fn divisors(powers: &[PrimePower]) -> Natural {
    product(powers, |_, k| Natural::from(k + 1))
}

fn product(powers: &[PrimePower], of: impl Fn(&Natural, usize) -> Natural) -> Natural {
    powers.iter().map(|(p, k)| of(p, *k)).product()
}

/// The prime whose group of units decides about primitive roots: they exist modulo 1, 2, 4, `p^k` and `2 p^k` for odd
/// primes `p` (Gauss, *Disquisitiones*, article 92), and nowhere else. `None` if there are none; 2 stands for the first
/// three.
pub(crate) fn cyclic(powers: &[PrimePower]) -> Option<Natural> {
    let two = Natural::from(2u8);
    match powers {
        [] => Some(two),
        [(p, k)] if *p == two => (*k <= 2).then_some(two),
        [(p, _)] => Some(p.clone()),
        [(even, 1), (p, _)] if *even == two => Some(p.clone()),
        _ => None,
    }
}

/// Looks for the least primitive root modulo a number that has one.
#[derive(Clone, Debug)]
pub(crate) struct RootSearch {
    n: Natural,
    /// The order of the group of units divided by each of the primes in it.
    exponents: Vec<Natural>,
    /// What is tried next, and how many of its powers are known not to be 1.
    candidate: u64,
    tried: usize,
}

impl RootSearch {
    /// `powers` are those of `n`; `primes` are the primes that divide its totient.
    pub(crate) fn new(powers: &[PrimePower], primes: &[Natural]) -> Self {
        let order = totient(powers);
        let n = product(powers, |p, k| p.pow(k));
        // Modulo 1 and 2 every unit is 1, and 0 and 1 are their least roots: 0 is a unit modulo 1 only.
        let candidate = u64::from(n > Natural::ONE);
        let exponents = primes.iter().map(|q| &order / q).collect();
        Self {
            n,
            exponents,
            candidate,
            tried: 0,
        }
    }

    /// The root, once it is found; or `None` after `over`, which is asked after every power of a candidate.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<u64> {
        if self.n <= Natural::ONE {
            return Some(self.candidate);
        }
        let ring = ConstDivisor::new(self.n.clone());
        loop {
            let candidate = Natural::from(self.candidate);
            let may_be_root = match self.exponents.get(self.tried) {
                _ if self.tried == 0 && (&candidate).gcd(&self.n) != Natural::ONE => false,
                None => return Some(self.candidate),
                Some(exponent) => ring.reduce(candidate).pow(exponent).residue() != Natural::ONE,
            };
            if may_be_root {
                self.tried += 1;
            } else {
                (self.candidate, self.tried) = (self.candidate + 1, 0);
            }
            if over() {
                return None;
            }
        }
    }
}

/// All divisors in ascending order, put together prime by prime.
#[derive(Clone, Debug)]
pub(crate) struct DivisorList {
    divisors: Vec<Natural>,
    /// Divisors of which the prime at work divides the highest power yet, and the prime and how often it is still to be
    /// multiplied by.
    layer: Vec<Natural>,
    prime: Natural,
    times: usize,
    left: Vec<PrimePower>,
}

impl DivisorList {
    pub(crate) fn new(powers: Vec<PrimePower>) -> Self {
        Self {
            divisors: vec![Natural::ONE],
            layer: Vec::new(),
            prime: Natural::ONE,
            times: 0,
            left: powers,
        }
    }

    /// True once all are there, or false after `over`, which is asked after every factor: at most a pass over all
    /// divisors.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        loop {
            if self.times == 0 {
                let Some((prime, times)) = self.left.pop() else {
                    return true;
                };
                (self.prime, self.times) = (prime, times);
                self.layer.clone_from(&self.divisors);
            }
            self.times -= 1;
            for divisor in &mut self.layer {
                *divisor *= &self.prime;
            }
            let (old, new) = (std::mem::take(&mut self.divisors), &self.layer);
            self.divisors = merged(old, new);
            if over() {
                return false;
            }
        }
    }

    pub(crate) fn into_divisors(self) -> Vec<Natural> {
        self.divisors
    }
}

/// Two ascending lists as one.
fn merged(left: Vec<Natural>, right: &[Natural]) -> Vec<Natural> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut right = right.iter().peekable();
    for number in left {
        while let Some(smaller) = right.next_if(|other| **other < number) {
            merged.push(smaller.clone());
        }
        merged.push(number);
    }
    merged.extend(right.cloned());
    merged
}

/// The bytes of a number, about.
pub(crate) fn bytes(n: &Natural) -> u64 {
    (size_of::<Natural>() + n.bit_len() / 8) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(mut n: u64) -> Vec<PrimePower> {
        let mut factors = Vec::new();
        for p in 2.. {
            if n == 1 {
                break;
            }
            while n.is_multiple_of(p) {
                factors.push(Natural::from(p));
                n /= p;
            }
        }
        powers(&factors)
    }

    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }

    #[test]
    fn functions_are_what_they_are_defined_as() {
        for n in 1..=600u64 {
            let powers = factors(n);
            let slow: Vec<u64> = (1..=n).filter(|d| n.is_multiple_of(*d)).collect();
            assert_eq!(
                totient(&powers),
                Natural::from((1..=n).filter(|k| gcd(*k, n) == 1).count()),
                "{n}"
            );
            assert_eq!(sigma(&powers), Natural::from(slow.iter().sum::<u64>()), "{n}");
            assert_eq!(divisors(&powers), Natural::from(slow.len()), "{n}");
            let mut list = DivisorList::new(powers.clone());
            while !list.advance(|| true) {}
            assert!(
                list.into_divisors()
                    .into_iter()
                    .eq(slow.iter().map(|d| Natural::from(*d))),
                "{n}"
            );
            // The sum of the Moebius function over all divisors is 0, but for 1.
            let sum: i64 = slow.iter().map(|d| i64::from(moebius(&factors(*d)))).sum();
            assert_eq!(sum, i64::from(n == 1), "{n}");
            let largest = slow.iter().filter(|d| moebius(&factors(**d)) != 0).max();
            assert_eq!(largest.map(|d| Natural::from(*d)), Some(radical(&powers)), "{n}");
        }
    }

    /// The least number of `0..n` whose powers are all units, by trying.
    fn root(n: u64) -> Option<u64> {
        let units = (0..n).filter(|k| gcd(*k, n) == 1).count();
        (0..n).find(|g| {
            let mut seen = std::collections::BTreeSet::new();
            let mut power = 1 % n;
            while gcd(power, n) == 1 && seen.insert(power) {
                power = power * g % n;
            }
            gcd(*g, n) == 1 && seen.len() == units
        })
    }

    #[test]
    fn the_least_primitive_root_is_found_where_there_is_one() {
        for n in 1..=400u64 {
            let powers = factors(n);
            assert_eq!(cyclic(&powers).is_some(), root(n).is_some(), "{n}");
            if cyclic(&powers).is_some() {
                let order = u64::try_from(totient(&powers)).expect("small");
                let primes: Vec<Natural> = factors(order).into_iter().map(|(p, _)| p).collect();
                let mut search = RootSearch::new(&powers, &primes);
                let found = (0..n + 2).find_map(|_| search.advance(|| true));
                assert_eq!(found, root(n), "{n}");
            }
        }
    }
}
