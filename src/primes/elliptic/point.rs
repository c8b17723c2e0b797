//! Points of a curve `y^2 = x^3 + a x + b` modulo a number that may not be prime, in Jacobian coordinates, and their
//! multiples.
//!
//! Source: Cohen and Frey, *Handbook of Elliptic and Hyperelliptic Curve Cryptography*, section 13.2.1.c. Modulo a
//! prime at which an addition meets one of its exceptions (a point and itself, or the point 0), the third coordinate
//! becomes 0 and stays so: where it is coprime to the number, no exception was met modulo any of its primes.

use super::modulus::Modulus;
use crate::primes::Natural;
use dashu_int::ops::BitTest;

/// The point `(x / z^2, y / z^3)`.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) x: Natural,
    pub(super) y: Natural,
    pub(super) z: Natural,
}

/// A multiple of a point, under way.
#[derive(Debug)]
pub(super) struct Multiple {
    base: (Natural, Natural),
    scalar: Natural,
    /// The multiple by the bits of the scalar from `next` up.
    point: Point,
    next: usize,
}

impl Multiple {
    /// Begins that of `(x, y)` by a scalar that is not 0.
    pub(super) fn new(base: (Natural, Natural), scalar: Natural) -> Self {
        let (x, y) = base.clone();
        Self {
            point: Point { x, y, z: Natural::ONE },
            next: scalar.bit_len().saturating_sub(1),
            base,
            scalar,
        }
    }

    /// The point that the multiple is of.
    pub(super) fn base(&self) -> &(Natural, Natural) {
        &self.base
    }

    /// The multiple. `None` after `over`, which is asked after every bit.
    pub(super) fn advance(&mut self, modulus: &Modulus, a: &Natural, mut over: impl FnMut() -> bool) -> Option<Point> {
        while self.next > 0 {
            self.next -= 1;
            self.point = double(modulus, a, &self.point);
            if self.scalar.bit(self.next) {
                self.point = add(modulus, &self.point, &self.base);
            }
            if over() && self.next > 0 {
                return None;
            }
        }
        Some(self.point.clone())
    }
}

fn double(modulus: &Modulus, a: &Natural, Point { x, y, z }: &Point) -> Point {
    let y2 = modulus.square(y);
    let s = modulus.reduce((x * &y2) << 2);
    let z4 = modulus.square(&modulus.square(z));
    let m = modulus.reduce(x.sqr() * 3u8 + a * z4);
    let new_x = modulus.sub(&modulus.square(&m), &modulus.add(&s, &s));
    let y4 = modulus.reduce(y2.sqr() << 3);
    Point {
        y: modulus.sub(&modulus.mul(&m, &modulus.sub(&s, &new_x)), &y4),
        z: modulus.reduce((y * z) << 1),
        x: new_x,
    }
}

fn add(modulus: &Modulus, Point { x, y, z }: &Point, (other_x, other_y): &(Natural, Natural)) -> Point {
    let z2 = modulus.square(z);
    let h = modulus.sub(&modulus.mul(other_x, &z2), x);
    let r = modulus.sub(&modulus.mul(other_y, &modulus.mul(&z2, z)), y);
    let h2 = modulus.square(&h);
    let h3 = modulus.mul(&h2, &h);
    let v = modulus.mul(x, &h2);
    let less = modulus.add(&h3, &modulus.add(&v, &v));
    let new_x = modulus.sub(&modulus.square(&r), &less);
    Point {
        y: modulus.sub(&modulus.mul(&r, &modulus.sub(&v, &new_x)), &modulus.mul(y, &h3)),
        z: modulus.mul(z, &h),
        x: new_x,
    }
}
