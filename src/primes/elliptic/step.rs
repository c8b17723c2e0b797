//! One step of a proof: `n` is prime if `q` is. And its check.

use super::modulus::Modulus;
use super::point::Multiple;
use crate::primes::Natural;
use crate::primes::primality::is_prime_u64;
use crate::primes::primality::large::Large;
use dashu_int::IBig;
use dashu_int::ops::{Gcd, SquareRoot};

/// A number, a curve modulo it and a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) n: Natural,
    /// The order of the curve is `n + 1 - t`.
    pub(crate) t: IBig,
    /// What the order is a multiple of; the quotient is `q`.
    pub(crate) s: Natural,
    /// The curve is `y^2 = x^3 + a x + b`, with the `b` that the point has.
    pub(crate) a: Natural,
    pub(crate) x: Natural,
    pub(crate) y: Natural,
}

/// `n + 1 - t`; `None` if it is not above 0, or if no curve has that order.
pub(super) fn order(n: &Natural, t: &IBig) -> Option<Natural> {
    if t.clone().into_parts().1.sqr() >= n << 2 {
        return None;
    }
    Natural::try_from(IBig::from(n + 1u8) - t).ok()
}

/// True if a prime `q` as a factor of a point's order shows that `n` is prime: `q > (n^(1/4) + 1)^2`.
pub(super) fn is_enough(q: &Natural, n: &Natural) -> bool {
    // The root of n, rounded up, and its root, rounded up: at most by a little too strict.
    let root = (n.sqrt() + 1u8).sqrt() + 2u8;
    *q > root.sqr()
}

impl Step {
    /// The number that is to be prime; `None` if the orders do not fit.
    pub(crate) fn q(&self) -> Option<Natural> {
        let order = order(&self.n, &self.t)?;
        if self.s.is_zero() || !(&order % &self.s).is_zero() {
            return None;
        }
        let q = order / &self.s;
        (is_enough(&q, &self.n) && q < self.n).then_some(q)
    }
}

/// True if each step leads to the next one, down to a prime of a word. Whether the points are what they should be is
/// left to a [`Check`] of each.
pub(crate) fn is_chain(steps: &[Step]) -> bool {
    let is_fit = |step: &Step| {
        [2u8, 3].iter().all(|p| &step.n % *p != 0) && [&step.a, &step.x, &step.y].iter().all(|k| **k < step.n)
    };
    let is_last = |q: &Natural| u64::try_from(q).is_ok_and(is_prime_u64);
    let leads = |(i, step): (usize, &Step)| match (step.q(), steps.get(i + 1)) {
        (Some(q), Some(next)) => q == next.n,
        (Some(q), None) => is_last(&q),
        (None, _) => false,
    };
    !steps.is_empty() && steps.iter().all(is_fit) && steps.iter().enumerate().all(leads)
}

/// The check that the point of a step has an order that is a multiple of `q`, modulo every prime that divides `n`.
#[derive(Debug)]
pub(crate) struct Check {
    modulus: Modulus,
    large: Large,
    a: Natural,
    q: Natural,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The multiple by `s`.
    Begun(Multiple),
    /// The multiple of that by `q - 1`.
    Cofactor(Multiple),
}

impl Check {
    /// The check of a step; `None` if the orders do not fit or if the curve is singular.
    pub(crate) fn new(step: &Step) -> Option<Self> {
        let q = step.q()?;
        let modulus = Modulus::new(step.n.clone());
        let (x, y, a) = (&step.x, &step.y, &step.a);
        let cube = modulus.mul(&modulus.square(x), x);
        let b = modulus.sub(&modulus.square(y), &modulus.add(&cube, &modulus.mul(a, x)));
        let discriminant = modulus.reduce(((a.sqr() * a) << 2) + b.sqr() * 27u8);
        if discriminant.is_zero() || discriminant.gcd(&step.n) != Natural::ONE {
            return None;
        }
        Some(Self {
            stage: Stage::Begun(Multiple::new((x.clone(), y.clone()), step.s.clone())),
            a: a.clone(),
            large: Large::new(step.n.clone()),
            modulus,
            q,
        })
    }

    /// The verdict. `None` after `over`, which is asked every few multiplications.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<bool> {
        let modulus = &self.modulus;
        if let Stage::Begun(multiple) = &mut self.stage {
            let point = multiple.advance(modulus, &self.large, &self.a, &mut over)?;
            // Has an inverse: the multiple is right, and not 0, modulo every prime.
            let Some(inverse) = modulus.inverse(&point.z) else {
                return Some(false);
            };
            let square = modulus.square(&inverse);
            let x = modulus.mul(&point.x, &square);
            let y = modulus.mul(&point.y, &modulus.mul(&square, &inverse));
            self.stage = Stage::Cofactor(Multiple::new((x, y), &self.q - 1u8));
            if over() {
                return None;
            }
        }
        let Stage::Cofactor(multiple) = &mut self.stage else {
            return None;
        };
        let point = multiple.advance(modulus, &self.large, &self.a, over)?;
        let (x, y) = multiple.base();
        let square = modulus.square(&point.z);
        let is_unit = !point.z.is_zero() && (&point.z).gcd(modulus.n()) == Natural::ONE;
        // q - 1 times the point is its negative.
        let is_negative = point.x == modulus.mul(x, &square)
            && modulus
                .add(&point.y, &modulus.mul(y, &modulus.mul(&square, &point.z)))
                .is_zero();
        Some(is_unit && is_negative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks points and curves by the dozen, with every order that is enough: no composite has a step, and nearly
    /// every prime.
    #[test]
    fn only_primes_have_steps() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut without = 0;
        for n in (101..400u64).filter(|n| n % 2 != 0 && n % 3 != 0) {
            let mut count = 0;
            let widest = (4 * n).isqrt() as i64;
            for t in -widest..=widest {
                let order = n.checked_add_signed(1 - t).expect("an order is above 0");
                let Some(q) = (2..=order).rev().find(|q| order.is_multiple_of(*q) && is_prime_u64(*q)) else {
                    continue;
                };
                let mut below = || Natural::from(random.u64(0..n));
                for _ in 0..12 {
                    let (a, x, y) = (below(), below(), below());
                    let (n, t, s) = (n.into(), t.into(), (order / q).into());
                    let check = Check::new(&Step { n, t, s, a, x, y });
                    count += u32::from(check.is_some_and(|mut check| check.advance(|| false) == Some(true)));
                }
            }
            match is_prime_u64(n) {
                true => without += u32::from(count == 0),
                false => assert_eq!(count, 0, "{n}"),
            }
        }
        assert!(without < 5, "{without}");
    }

    #[test]
    fn a_singular_curve_proves_nothing() {
        // 10^20 + 39 is prime; on y^2 = x^3 the points are a group of order p.
        let n = Natural::from(10u8).pow(20) + 39u8;
        let step = |t: i64, s: u64| Step {
            n: n.clone(),
            t: t.into(),
            s: s.into(),
            a: Natural::ZERO,
            x: Natural::ONE,
            y: Natural::ONE,
        };
        let divisor = (1u64..500)
            .find(|s| step(2, *s).q().is_some())
            .expect("1 divides every order");
        assert!(Check::new(&step(2, divisor)).is_none_or(|mut check| check.advance(|| false) != Some(true)));
        assert!(Check::new(&step(1, 1)).is_none());
        assert_eq!(step(1 << 40, 1).q(), None);
    }
}
