//! The groups that searches calculate in: points of a curve, and terms of a Lucas sequence.
//!
//! Knows no bounds.

use super::Divisors;
use super::ring::{LANES, Ring};
use crate::primes::Natural;
use dashu_int::Sign;
use dashu_int::ops::{BitTest, ExtendedGcd, Gcd};
use std::fmt;

/// Numbers that a group's addition is made of.
pub(super) trait Law<R: Ring>: Send + fmt::Debug {
    type Point: Clone + Send + fmt::Debug;

    fn double(&self, rings: &R, p: &Self::Point) -> Self::Point;

    /// `p + q`, knowing `p - q`.
    fn add(&self, rings: &R, p: &Self::Point, q: &Self::Point, difference: &Self::Point) -> Self::Point;

    /// One residue for each point, equal for opposite points and for no others modulo a prime; a divisor if there is
    /// none for some.
    fn affine(&self, rings: &R, points: &[Self::Point], affine: &mut Vec<R::Element>) -> Option<Divisors>;
}

/// `b y^2 = x^3 + a x^2 + x`
#[derive(Debug)]
pub(super) struct Montgomery<R: Ring> {
    /// `(a + 2) / 4`
    pub(super) a24: R::Element,
}

/// A point without its `y`: `x : z`.
type Point<R> = [<R as Ring>::Element; 2];

impl<R: Ring> Law<R> for Montgomery<R> {
    type Point = Point<R>;

    #[inline(always)]
    fn double(&self, rings: &R, p: &Point<R>) -> Point<R> {
        rings.double(&self.a24, p)
    }

    #[inline(always)]
    fn add(&self, rings: &R, p: &Point<R>, q: &Point<R>, difference: &Point<R>) -> Point<R> {
        rings.add_points(p, q, difference)
    }

    /// One inverse for all points (Montgomery, section 10.3.1).
    fn affine(&self, rings: &R, points: &[Point<R>], affine: &mut Vec<R::Element>) -> Option<Divisors> {
        let mut prefix = Vec::with_capacity(points.len());
        let mut product = rings.constant(1);
        for point in points {
            let next = rings.mul(&product, &point[1]);
            prefix.push(std::mem::replace(&mut product, next));
        }
        let mut inverse = match inverses(rings.moduli(), &rings.store(&product)) {
            Ok(inverses) => rings.load(&inverses),
            Err(divisors) => return Some(divisors),
        };
        let start = affine.len();
        for (point, prefix) in points.iter().zip(prefix).rev() {
            affine.push(rings.mul(&point[0], &rings.mul(&inverse, &prefix)));
            inverse = rings.mul(&inverse, &point[1]);
        }
        affine[start..].reverse();
        None
    }
}

/// `V_k` of a Lucas sequence with `Q = 1`: the trace of a power, in the field of `p` or of `p^2` elements.
#[derive(Debug)]
pub(super) struct Lucas<R: Ring> {
    pub(super) two: R::Element,
}

impl<R: Ring> Law<R> for Lucas<R> {
    type Point = R::Element;

    #[inline(always)]
    fn double(&self, rings: &R, p: &R::Element) -> R::Element {
        rings.minus(&rings.mul(p, p), &self.two)
    }

    #[inline(always)]
    fn add(&self, rings: &R, p: &R::Element, q: &R::Element, difference: &R::Element) -> R::Element {
        rings.minus(&rings.mul(p, q), difference)
    }

    fn affine(&self, _: &R, points: &[R::Element], affine: &mut Vec<R::Element>) -> Option<Divisors> {
        affine.extend_from_slice(points);
        None
    }
}

/// The inverses of numbers modulo the moduli, or their common divisors if there is no inverse in some lane.
pub(super) fn inverses(moduli: &[Natural; LANES], values: &[Natural; LANES]) -> Result<[Natural; LANES], Divisors> {
    let one_by_one = || -> Option<[Natural; LANES]> {
        let mut inverses = std::array::from_fn(|_| Natural::ZERO);
        for ((to, n), value) in inverses.iter_mut().zip(moduli).zip(values) {
            *to = inverse(value, n)?;
        }
        Some(inverses)
    };
    let [n, others @ ..] = moduli;
    let inverses = match n.bit_len() > 128 && others.iter().all(|other| other == n) {
        true => together(n, values),
        false => one_by_one(),
    };
    inverses.ok_or_else(|| Box::new(std::array::from_fn(|lane| (&values[lane]).gcd(&moduli[lane]))))
}

/// The inverses modulo one number by that of their product, which takes as long as a hundred multiplications.
fn together(n: &Natural, values: &[Natural; LANES]) -> Option<[Natural; LANES]> {
    let mut product = Natural::ONE;
    let before = values.each_ref().map(|value| {
        let next = &product * value % n;
        std::mem::replace(&mut product, next)
    });
    let mut rest = inverse(&product, n)?;
    let mut inverses = before;
    for (to, value) in inverses.iter_mut().zip(values).rev() {
        *to = &rest * &*to % n;
        rest = rest * value % n;
    }
    Some(inverses)
}

fn inverse(value: &Natural, n: &Natural) -> Option<Natural> {
    if let (Ok(value), Ok(n)) = (u64::try_from(value), u64::try_from(n)) {
        return inverse_of_word(value, n).map(Natural::from);
    }
    if *value == Natural::ZERO {
        return None;
    }
    let (divisor, x, _) = value.gcd_ext(n);
    (divisor == Natural::ONE).then(|| match x.into_parts() {
        (Sign::Positive, x) => x,
        (Sign::Negative, x) => n - x % n,
    })
}

/// `1 / a mod n`, by Euclid's algorithm.
fn inverse_of_word(a: u64, n: u64) -> Option<u64> {
    let (mut r0, mut r1) = (n, a);
    let (mut t0, mut t1) = (0i128, 1i128);
    while r1 != 0 {
        let quotient = r0 / r1;
        (r0, r1) = (r1, r0 - quotient * r1);
        (t0, t1) = (t1, t0 - i128::from(quotient) * t1);
    }
    (r0 == 1).then(|| t0.rem_euclid(i128::from(n)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn inverses_of_one_modulus_and_of_eight_are_inverses(
            moduli in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..6), LANES),
            words in prop::collection::vec(prop::collection::vec(any::<u64>(), 1..6), LANES),
            is_one in any::<bool>(),
        ) {
            let of = |words: &[u64]| Natural::from_le_bytes(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
            let n: [Natural; LANES] = std::array::from_fn(|lane| of(&moduli[if is_one { 0 } else { lane }]) | Natural::from(3u8));
            let values: [Natural; LANES] = std::array::from_fn(|lane| of(&words[lane]) % &n[lane]);
            let divisors = std::array::from_fn(|lane| (&values[lane]).gcd(&n[lane]));
            match inverses(&n, &values) {
                Ok(inverses) => for lane in 0..LANES {
                    prop_assert_eq!(&inverses[lane] * &values[lane] % &n[lane], Natural::ONE);
                },
                Err(found) => {
                    prop_assert!(divisors.iter().any(|divisor| *divisor != Natural::ONE));
                    prop_assert_eq!(*found, divisors);
                }
            }
        }
    }
}
