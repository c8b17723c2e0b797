//! Witnesses for primes of `n - 1`: an `a` with `a^(n-1) = 1` and `gcd(a^((n-1)/p) - 1, n) = 1`, so that every prime
//! that divides `n` is 1 modulo the power of `p` in `n - 1`.

use super::{MOST_BASE, Natural};
use crate::primes::known;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::ops::{BitTest, Gcd};
use std::sync::Arc;

/// Looks for a witness of one prime.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    n: Arc<Natural>,
    prime: Natural,
    base: u64,
    /// No other base is tried.
    is_fixed: bool,
    /// The base to the power of the bits of the exponent from `next` up; then that to the power of the prime.
    power: Natural,
    next: usize,
    last: Option<(Natural, usize)>,
}

impl Witness {
    /// For a prime that divides `n - 1`; `base` is the only one that is tried, if it is given.
    pub(crate) fn new(n: Arc<Natural>, prime: Natural, base: Option<u64>) -> Self {
        let mut witness = Self {
            n,
            prime,
            base: base.unwrap_or(2),
            is_fixed: base.is_some(),
            power: Natural::ONE,
            next: 0,
            last: None,
        };
        witness.begin();
        witness
    }

    fn begin(&mut self) {
        self.power = Natural::ONE;
        self.next = self.exponent().bit_len();
        self.last = None;
    }

    fn exponent(&self) -> Natural {
        (&*self.n - 1u8) / &self.prime
    }

    /// The witness; or that there is none, so that `n` is composite. `None` after `over`, which is asked after every
    /// multiplication.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<u64>> {
        let ring = ConstDivisor::new(Natural::clone(&self.n));
        let exponent = self.exponent();
        loop {
            if self.last.is_none() {
                let base = ring.reduce(self.base);
                let mut power = ring.reduce(std::mem::take(&mut self.power));
                while self.next > 0 {
                    self.next -= 1;
                    power = power.sqr();
                    if exponent.bit(self.next) {
                        power *= &base;
                    }
                    if over() {
                        self.power = power.residue();
                        return None;
                    }
                }
                self.power = power.residue();
                if self.power == Natural::ONE {
                    // This base is a power of the prime's exponent. Another one may not be.
                    match known::next(self.base).filter(|base| !self.is_fixed && *base < MOST_BASE) {
                        None => return Some(None),
                        Some(base) => self.base = base,
                    }
                    self.begin();
                    continue;
                }
                if self.power.is_zero() || (&self.power - 1u8).gcd(&*self.n) != Natural::ONE {
                    return Some(None);
                }
                self.last = Some((Natural::ONE, self.prime.bit_len()));
            }
            let (power, next) = self.last.take()?;
            let (base, mut power, mut next) = (ring.reduce(self.power.clone()), ring.reduce(power), next);
            while next > 0 {
                next -= 1;
                power = power.sqr();
                if self.prime.bit(next) {
                    power *= &base;
                }
                if next > 0 && over() {
                    self.last = Some((power.residue(), next));
                    return None;
                }
            }
            return Some((power.residue() == Natural::ONE).then_some(self.base));
        }
    }
}
