//! Which primes a proof takes, of those that are known; and those that trial division knows.

use super::plus::discriminant;
use super::{Natural, Parts, Proof};
use crate::primes::factor::Trial;
use crate::primes::primality::is_prime_u128;
use dashu_int::ops::BitTest;

/// Looks for a proof by primes that trial division finds beside a number, and by what it leaves, if that is a prime of
/// up to 128 bits.
#[derive(Debug)]
pub(crate) struct Search {
    n: Natural,
    below: Trial,
    above: Option<Trial>,
}

impl Search {
    /// For an odd number above 1; with the number above it, or by that below alone.
    pub(crate) fn new(n: Natural, with_above: bool) -> Self {
        let below = Trial::new(&n - 1u8);
        let above = with_above.then(|| Trial::new(&n + 1u8));
        Self { n, below, above }
    }

    /// The proof without its witnesses; or that there is none, which is final. `None` after `over`, which is asked
    /// after a few microseconds.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<Proof>> {
        if !self.below.advance(&mut over) || !self.above.as_mut().is_none_or(|above| above.advance(&mut over)) {
            return None;
        }
        let (below, above) = (primes(&self.below), self.above.as_ref().map(primes));
        let chosen = choose(&self.n, below, above.unwrap_or_default());
        Some(chosen.and_then(|(minus, plus)| {
            let d = if plus.is_empty() { 0 } else { discriminant(&self.n)? };
            Some(Proof::new(self.n.clone(), minus, d, plus))
        }))
    }
}

fn primes(trial: &Trial) -> Vec<Natural> {
    let mut primes = trial.factors.clone();
    if trial.rest.bit_len() <= 128 && u128::try_from(&trial.rest).is_ok_and(is_prime_u128) {
        primes.push(trial.rest.clone());
    }
    primes
}

/// A prime with its power in the number that it divides.
type Power = (Natural, Natural);

/// The primes of a list that may repeat them, each with the product of what is equal, the largest power first.
fn powers(mut primes: Vec<Natural>) -> Vec<Power> {
    primes.sort();
    let equal = primes.chunk_by(|a, b| a == b);
    let mut powers: Vec<Power> = equal
        .map(|equal| (equal[0].clone(), equal[0].pow(equal.len())))
        .collect();
    powers.sort_by(|a, b| b.1.cmp(&a.1));
    powers
}

/// Few primes of `n - 1`, or of `n + 1`, or of both, that prove the odd number `n` prime: those of `n - 1` alone if
/// they do, else those of `n + 1` alone. Both are given with multiplicity.
pub(super) fn choose(n: &Natural, minus: Vec<Natural>, plus: Vec<Natural>) -> Option<(Vec<Natural>, Vec<Natural>)> {
    let (minus, plus) = (powers(minus), powers(plus));
    let none = &[][..];
    let ways = [(&minus[..], none), (none, &plus[..]), (&minus[..], &plus[..])];
    ways.into_iter().find_map(|(minus, plus)| fewest(n, minus, plus))
}

fn fewest(n: &Natural, minus: &[Power], plus: &[Power]) -> Option<(Vec<Natural>, Vec<Natural>)> {
    let mut parts = Parts {
        minus: Natural::ONE,
        plus: Natural::ONE,
    };
    let (mut from_minus, mut from_plus) = (0, 0);
    while !parts.suffice(n) {
        match (minus.get(from_minus), plus.get(from_plus)) {
            (Some((_, power)), other) if other.is_none_or(|(_, other)| power >= other) => {
                parts.minus *= power;
                from_minus += 1;
            }
            (_, Some((_, power))) => {
                parts.plus *= power;
                from_plus += 1;
            }
            (_, None) => return None,
        }
    }
    let primes = |powers: &[Power]| powers.iter().map(|(p, _)| p.clone()).collect();
    Some((primes(&minus[..from_minus]), primes(&plus[..from_plus])))
}
