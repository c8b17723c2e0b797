//! Points of a curve `y^2 = x^3 + a x + b` modulo a number that may not be prime, in Jacobian coordinates, and their
//! multiples.
//!
//! Source: Cohen and Frey, *Handbook of Elliptic and Hyperelliptic Curve Cryptography*, sections 9.1.4 (the scalar in
//! its non-adjacent form), 13.2.1.c and 13.2.1.d (doublings that keep `a z^4`). Modulo a prime at which an addition
//! meets one of its exceptions (a point and itself, or the point 0), the third coordinate becomes 0 and stays so: where
//! it is coprime to the number, no exception was met modulo any of its primes.

use crate::primes::Natural;
use crate::primes::primality::large::{Large, Residues, Work};
use crate::primes::primality::ring::Ring;
use dashu_int::ops::BitTest;

/// The point `(x / z^2, y / z^3)`.
#[derive(Clone, Debug)]
pub(super) struct Point<E> {
    pub(super) x: E,
    pub(super) y: E,
    pub(super) z: E,
}

/// A multiple of a point, under way.
#[derive(Debug)]
pub(super) struct Multiple {
    base: (Natural, Natural),
    scalar: Natural,
    /// Three times the scalar: bit `i + 1` of it less that of the scalar is digit `i` of the non-adjacent form.
    triple: Natural,
    /// The multiple by the digits from `next` up.
    point: Point<Natural>,
    next: usize,
}

impl Multiple {
    /// Begins that of `(x, y)` by a scalar that is not 0.
    pub(super) fn new(base: (Natural, Natural), scalar: Natural) -> Self {
        let (x, y) = base.clone();
        let triple = &scalar * 3u8;
        Self {
            point: Point { x, y, z: Natural::ONE },
            next: triple.bit_len().saturating_sub(2),
            base,
            scalar,
            triple,
        }
    }

    /// The point that the multiple is of.
    pub(super) fn base(&self) -> &(Natural, Natural) {
        &self.base
    }

    /// The multiple. `None` after `over`, which is asked after every digit.
    pub(super) fn advance(&mut self, large: &Large, a: &Natural, over: impl FnMut() -> bool) -> Option<Point<Natural>> {
        large.run(Bout { of: self, a, over });
        (self.next == 0).then(|| self.point.clone())
    }
}

struct Bout<'a, F> {
    of: &'a mut Multiple,
    a: &'a Natural,
    over: F,
}

impl<F: FnMut() -> bool> Work for Bout<'_, F> {
    type Output = ();

    fn work<R: Residues>(self, ring: &R) {
        let Self { of, a, mut over } = self;
        let enter = |natural: &Natural| ring.enter(natural.clone());
        let a = enter(a);
        let (x, y) = (enter(&of.base.0), enter(&of.base.1));
        let negative_y = ring.sub(&ring.zero(), &y);
        let mut point = Point {
            x: enter(&of.point.x),
            y: enter(&of.point.y),
            z: enter(&of.point.z),
        };
        let mut az4 = by_z4(ring, &a, &point.z);
        while of.next > 0 {
            of.next -= 1;
            (point, az4) = double(ring, &point, &az4);
            let y = match (of.triple.bit(of.next + 1), of.scalar.bit(of.next + 1)) {
                (true, false) => Some(&y),
                (false, true) => Some(&negative_y),
                _ => None,
            };
            if let Some(y) = y {
                point = add(ring, &point, &x, y);
                az4 = by_z4(ring, &a, &point.z);
            }
            if over() {
                break;
            }
        }
        let Point { x, y, z } = point;
        of.point = Point {
            x: ring.leave(x),
            y: ring.leave(y),
            z: ring.leave(z),
        };
    }
}

/// `a z^4`
fn by_z4<R: Ring>(ring: &R, a: &R::Element, z: &R::Element) -> R::Element {
    ring.mul(a, &ring.square(&ring.square(z)))
}

/// Twice a point, and `a z^4` of that.
fn double<R: Ring>(
    ring: &R,
    Point { x, y, z }: &Point<R::Element>,
    az4: &R::Element,
) -> (Point<R::Element>, R::Element) {
    let twice = |k: &R::Element| ring.add(k, k);
    let (x2, y2) = (ring.square(x), ring.square(y));
    let s = twice(&twice(&ring.mul(x, &y2)));
    let m = ring.add(&ring.add(&twice(&x2), &x2), az4);
    let new_x = ring.sub(&ring.square(&m), &twice(&s));
    let eight_y4 = twice(&twice(&twice(&ring.square(&y2))));
    let point = Point {
        y: ring.sub(&ring.mul(&m, &ring.sub(&s, &new_x)), &eight_y4),
        z: twice(&ring.mul(y, z)),
        x: new_x,
    };
    (point, twice(&ring.mul(&eight_y4, az4)))
}

/// The sum of a point and one whose third coordinate is 1.
fn add<R: Ring>(
    ring: &R,
    Point { x, y, z }: &Point<R::Element>,
    other_x: &R::Element,
    other_y: &R::Element,
) -> Point<R::Element> {
    let z2 = ring.square(z);
    let h = ring.sub(&ring.mul(other_x, &z2), x);
    let r = ring.sub(&ring.mul(other_y, &ring.mul(&z2, z)), y);
    let h2 = ring.square(&h);
    let h3 = ring.mul(&h2, &h);
    let v = ring.mul(x, &h2);
    let less = ring.add(&h3, &ring.add(&v, &v));
    let new_x = ring.sub(&ring.square(&r), &less);
    Point {
        y: ring.sub(&ring.mul(&r, &ring.sub(&v, &new_x)), &ring.mul(y, &h3)),
        z: ring.mul(z, &h),
        x: new_x,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::elliptic::modulus::Modulus;

    /// Multiples by the definition: sums of affine points, by inverses.
    #[test]
    fn multiples_are_sums_however_they_are_cut() {
        let n = Natural::from(10u8).pow(30) + 57u8;
        let (modulus, large) = (Modulus::new(n.clone()), Large::new(n));
        let (a, x, y) = (Natural::from(5u8), Natural::from(3u8), Natural::from(8u8));
        let affine = |Point { x, y, z }: Point<Natural>| {
            let inverse = modulus.inverse(&z).expect("the modulus is prime");
            let square = modulus.square(&inverse);
            (
                modulus.mul(&x, &square),
                modulus.mul(&modulus.mul(&y, &square), &inverse),
            )
        };
        let mut sum = (x.clone(), y.clone());
        for k in 1..200u64 {
            let mut multiple = Multiple::new((x.clone(), y.clone()), k.into());
            let point = loop {
                if let Some(point) = multiple.advance(&large, &a, || true) {
                    break point;
                }
            };
            assert_eq!(affine(point), sum, "{k}");
            let whole = Multiple::new((x.clone(), y.clone()), k.into()).advance(&large, &a, || false);
            assert_eq!(affine(whole.expect("it does not pause")), sum, "{k}");
            let slope = match k {
                1 => {
                    let top = modulus.add(&modulus.reduce(x.sqr() * 3u8), &a);
                    modulus.mul(&top, &modulus.inverse(&modulus.add(&y, &y)).expect("y is not 0"))
                }
                _ => {
                    let run = modulus.inverse(&modulus.sub(&sum.0, &x)).expect("k is below the order");
                    modulus.mul(&modulus.sub(&sum.1, &y), &run)
                }
            };
            let new_x = modulus.sub(&modulus.sub(&modulus.square(&slope), &sum.0), &x);
            let new_y = modulus.sub(&modulus.mul(&slope, &modulus.sub(&x, &new_x)), &y);
            sum = (new_x, new_y);
        }
    }
}
