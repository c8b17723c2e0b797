//! Witnesses for primes of `n + 1`: powers of an `r` of norm 1 in the integers modulo `n` with a root of `d`.
//!
//! For `g = x + sqrt(d)` and its conjugate `h` let `r = g / h`. Then `r^k = 1` modulo a prime says that the Lucas
//! number `U_k` of `g` and `h` is 0 there, and `W_k = r^k + r^-k` is a Lucas sequence itself, with
//! `W_1 = 2 (x^2 + d) / (x^2 - d)`, `W_2k = W_k^2 - 2`, `W_(2k+1) = W_k W_(k+1) - W_1`. As
//! `W_k - 2 = (r^k - 1)^2 / r^k`, all that is asked about `r` is read off `W`.

use super::{MOST_BASE, Natural};
use crate::primes::primality::bpsw::jacobi;
use dashu_int::fast_div::ConstDivisor;
use dashu_int::modular::Reduced;
use dashu_int::ops::{BitTest, Gcd};
use std::sync::Arc;

/// A prime has a non-residue far below this; squares, which have none, stop here.
const MOST_DISCRIMINANT: u32 = 10_000;

/// The Jacobi symbol `(d/n)`, for odd `d` and `n`.
fn symbol(d: u32, n: &Natural) -> i32 {
    let sign = if d % 4 == 3 && n % 4u8 == 3 { -1 } else { 1 };
    sign * jacobi(n % d, d)
}

/// True if a root of `d` is to be adjoined: `d` is odd and `(d/n) = -1`.
pub(crate) fn is_discriminant(d: u32, n: &Natural) -> bool {
    d % 2 == 1 && d > 1 && symbol(d, n) == -1
}

/// The least discriminant for an odd `n`; `None` if it is a square, or has none that is small.
pub(crate) fn discriminant(n: &Natural) -> Option<u32> {
    (3..MOST_DISCRIMINANT).step_by(2).find(|d| symbol(*d, n) == -1)
}

/// Looks for a witness of one prime: an `x` for which `r^(n+1) = 1`, and `r^((n+1)/p)` is not 1 modulo any prime that
/// divides `n`. If there is one for each prime of a part `F` of `n + 1`, all with the same `d`, then every prime that
/// divides `n` is 1 or -1 modulo `F` (M. Morrison 1975; Crandall and Pomerance, *Prime Numbers*, theorem 4.2.3 and
/// before).
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    n: Arc<Natural>,
    d: u32,
    prime: Natural,
    x: u64,
    /// No other `x` is tried.
    is_fixed: bool,
    climb: Climb,
    /// The exponent is `prime` now, and no longer `(n + 1) / prime`.
    is_last: bool,
}

/// The way to `W_m`.
#[derive(Clone, Debug)]
struct Climb {
    first: Natural,
    /// `W_k` and `W_(k+1)`, where `k` has the bits of `m` from `next` up.
    w: Natural,
    w_after: Natural,
    next: usize,
}

impl Climb {
    fn new(ring: &ConstDivisor, first: &Reduced<'_>, m: &Natural) -> Self {
        Self {
            first: first.residue(),
            w: first.residue(),
            w_after: (first.sqr() - ring.reduce(2u8)).residue(),
            next: m.bit_len() - 1,
        }
    }

    /// True at the end; false after `over`.
    fn advance(&mut self, ring: &ConstDivisor, m: &Natural, over: &mut impl FnMut() -> bool) -> bool {
        let (two, first) = (ring.reduce(2u8), ring.reduce(self.first.clone()));
        let mut w = ring.reduce(std::mem::take(&mut self.w));
        let mut w_after = ring.reduce(std::mem::take(&mut self.w_after));
        let mut is_over = false;
        while self.next > 0 && !is_over {
            self.next -= 1;
            let between = &w * &w_after - &first;
            if m.bit(self.next) {
                (w, w_after) = (between, w_after.sqr() - &two);
            } else {
                (w, w_after) = (w.sqr() - &two, between);
            }
            is_over = over();
        }
        (self.w, self.w_after) = (w.residue(), w_after.residue());
        self.next == 0
    }
}

impl Witness {
    /// For a prime that divides `n + 1`, and a discriminant; `x` is the only one that is tried, if it is given.
    pub(crate) fn new(n: Arc<Natural>, d: u32, prime: Natural, x: Option<u64>) -> Self {
        let nothing = Climb {
            first: Natural::ZERO,
            w: Natural::ZERO,
            w_after: Natural::ZERO,
            next: usize::MAX,
        };
        Self {
            n,
            d,
            prime,
            x: x.unwrap_or(1),
            is_fixed: x.is_some(),
            climb: nothing,
            is_last: false,
        }
    }

    /// `W_1`; `None` if `x^2 - d` has a factor in common with `n`.
    fn first<'a>(&self, ring: &'a ConstDivisor) -> Option<Reduced<'a>> {
        let (square, d) = (ring.reduce(self.x).sqr(), ring.reduce(self.d));
        let inverse = (&square - &d).inv()?;
        Some((square + d) * inverse * ring.reduce(2u8))
    }

    /// The witness; or that there is none, so that `n` is composite. `None` after `over`, which is asked after every
    /// two multiplications.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<u64>> {
        let ring = ConstDivisor::new(Natural::clone(&self.n));
        let two = Natural::from(2u8);
        let exponent = (&*self.n + 1u8) / &self.prime;
        loop {
            if self.climb.next == usize::MAX {
                let Some(first) = self.first(&ring) else {
                    return Some(None);
                };
                self.climb = Climb::new(&ring, &first, &exponent);
            }
            let m = if self.is_last { &self.prime } else { &exponent };
            if !self.climb.advance(&ring, m, &mut over) {
                return None;
            }
            if self.is_last {
                return Some((self.climb.w == two).then_some(self.x));
            }
            if self.climb.w == two {
                // This r is a power of the prime's exponent. Another one may not be.
                self.x += 1;
                if self.is_fixed || self.x > MOST_BASE {
                    return Some(None);
                }
                self.climb.next = usize::MAX;
                continue;
            }
            let difference = (ring.reduce(self.climb.w.clone()) - ring.reduce(2u8)).residue();
            if difference.gcd(&*self.n) != Natural::ONE {
                return Some(None);
            }
            let power = ring.reduce(self.climb.w.clone());
            self.climb = Climb::new(&ring, &power, &self.prime);
            self.is_last = true;
        }
    }
}
