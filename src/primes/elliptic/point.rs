//! Points of a curve `y^2 = x^3 + a x + b` modulo a number that may not be prime, in Jacobian coordinates, and their
//! multiples.
//!
//! Source: Cohen and Frey, *Handbook of Elliptic and Hyperelliptic Curve Cryptography*, sections 9.1.4 (the scalar in
//! its non-adjacent form, here with windows), 13.2.1.c and 13.2.1.d (doublings that keep `a z^4`). Modulo a prime at
//! which an addition meets one of its exceptions (a point and itself, or the point 0), the third coordinate becomes 0
//! and stays so: where it is coprime to the number, no exception was met modulo any of its primes.

use super::modulus::Modulus;
use crate::primes::Natural;
use crate::primes::primality::large::{Large, Residues, Work};
use crate::primes::primality::ring::Ring;
use dashu_int::ops::BitTest;

/// The digits of a long scalar are odd numbers below a half of 2 to this power, or 0.
const WINDOW: usize = 5;

/// From this many bits on a scalar is long: odd multiples of the point pay.
const LONG: usize = 200;

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
    scalar: Natural,
    /// The point and its odd multiples as far as there are digits.
    odd: Vec<(Natural, Natural)>,
    /// The digits of the scalar below those that are done, the least first.
    digits: Vec<i8>,
    /// The multiple by the digits that are done. None before the odd multiples are made.
    point: Option<Point<Natural>>,
}

impl Multiple {
    /// Begins that of `(x, y)` by a scalar that is not 0.
    pub(super) fn new(base: (Natural, Natural), scalar: Natural) -> Self {
        Self {
            scalar,
            odd: vec![base],
            digits: Vec::new(),
            point: None,
        }
    }

    /// The point that the multiple is of.
    pub(super) fn base(&self) -> &(Natural, Natural) {
        &self.odd[0]
    }

    /// The multiple. `None` after `over`, which is asked after every digit.
    pub(super) fn advance(
        &mut self,
        modulus: &Modulus,
        large: &Large,
        a: &Natural,
        over: impl FnMut() -> bool,
    ) -> Option<Point<Natural>> {
        let point = match self.point.take() {
            Some(point) => point,
            None => self.begin(modulus, large, a),
        };
        let point = large.run(Bout {
            odd: &self.odd,
            digits: &mut self.digits,
            point,
            a,
            over,
        });
        self.point = Some(point.clone());
        self.digits.is_empty().then_some(point)
    }

    /// Makes the odd multiples and the digits, and takes the first digit.
    fn begin(&mut self, modulus: &Modulus, large: &Large, a: &Natural) -> Point<Natural> {
        let mut window = 2;
        if self.scalar.bit_len() >= LONG
            && let Some(odd) = affine(modulus, large.run(OddMultiples { base: self.base(), a }))
        {
            (self.odd, window) = (odd, WINDOW);
        }
        self.digits = digits(&self.scalar, window);
        let first = self.digits.pop().unwrap_or(1);
        let (x, y) = self.odd[usize::from(first.unsigned_abs() / 2)].clone();
        Point { x, y, z: Natural::ONE }
    }
}

/// The digits of a number, the least first and the last one above 0: of `window` in a row one at most is not 0, and it
/// is odd and below `2^(window - 1)` in absolute value.
fn digits(scalar: &Natural, window: usize) -> Vec<i8> {
    let mut digits = Vec::with_capacity(scalar.bit_len() + 1);
    let mut carry = false;
    while digits.len() < scalar.bit_len() || carry {
        let at = digits.len();
        if scalar.bit(at) == carry {
            digits.push(0);
            continue;
        }
        let bits = (at..at + window)
            .rev()
            .fold(0i8, |bits, i| 2 * bits + i8::from(scalar.bit(i)));
        let value = bits + i8::from(carry);
        carry = value >> (window - 1) == 1;
        digits.push(if carry { value - (1 << window) } else { value });
        if digits.len() < scalar.bit_len() {
            let rest = (scalar.bit_len() - digits.len()).min(window - 1);
            digits.resize(digits.len() + rest, 0);
        }
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    digits
}

/// The coordinates of points whose third one is not 1; `None` if that of one has no inverse.
fn affine(modulus: &Modulus, points: Vec<Point<Natural>>) -> Option<Vec<(Natural, Natural)>> {
    // One inverse, that of the product of all, serves for all, from the last one back.
    let mut products = vec![Natural::ONE];
    for point in &points {
        products.push(modulus.mul(&products[products.len() - 1], &point.z));
    }
    let mut inverse = modulus.inverse(&products[points.len()])?;
    let mut affine: Vec<_> = points
        .iter()
        .zip(&products)
        .rev()
        .map(|(Point { x, y, z }, before)| {
            let own = modulus.mul(&inverse, before);
            inverse = modulus.mul(&inverse, z);
            let square = modulus.square(&own);
            (modulus.mul(x, &square), modulus.mul(y, &modulus.mul(&square, &own)))
        })
        .collect();
    affine.reverse();
    Some(affine)
}

struct OddMultiples<'a> {
    base: &'a (Natural, Natural),
    a: &'a Natural,
}

impl Work for OddMultiples<'_> {
    /// The point times 1, 3, 5 and so on, as many as digits of a [`WINDOW`] take.
    type Output = Vec<Point<Natural>>;

    fn work<R: Residues>(self, ring: &R) -> Vec<Point<Natural>> {
        let enter = |natural: &Natural| ring.enter(natural.clone());
        let base = Point {
            x: enter(&self.base.0),
            y: enter(&self.base.1),
            z: ring.one(),
        };
        let (twice, _) = double(ring, &base, &enter(self.a));
        // On the curve that is moved by the third coordinate of the double, that of the double is 1.
        let square = ring.square(&twice.z);
        let mut point = Point {
            x: ring.mul(&base.x, &square),
            y: ring.mul(&base.y, &ring.mul(&square, &twice.z)),
            z: base.z,
        };
        let mut multiples = Vec::new();
        for i in 0..1 << (WINDOW - 2) {
            if i > 0 {
                point = add(ring, &point, &twice.x, &twice.y);
            }
            multiples.push(Point {
                x: ring.leave(point.x.clone()),
                y: ring.leave(point.y.clone()),
                z: ring.leave(ring.mul(&point.z, &twice.z)),
            });
        }
        multiples
    }
}

struct Bout<'a, F> {
    odd: &'a [(Natural, Natural)],
    digits: &'a mut Vec<i8>,
    point: Point<Natural>,
    a: &'a Natural,
    over: F,
}

impl<F: FnMut() -> bool> Work for Bout<'_, F> {
    type Output = Point<Natural>;

    fn work<R: Residues>(self, ring: &R) -> Point<Natural> {
        let Self {
            odd,
            digits,
            point,
            a,
            mut over,
        } = self;
        let enter = |natural: &Natural| ring.enter(natural.clone());
        let a = enter(a);
        let odd: Vec<_> = odd.iter().map(|(x, y)| (enter(x), enter(y))).collect();
        let zero = ring.zero();
        let mut point = Point {
            x: enter(&point.x),
            y: enter(&point.y),
            z: enter(&point.z),
        };
        let mut az4 = by_z4(ring, &a, &point.z);
        while let Some(digit) = digits.pop() {
            (point, az4) = double(ring, &point, &az4);
            if digit != 0 {
                let (x, y) = &odd[usize::from(digit.unsigned_abs() / 2)];
                point = match digit {
                    1.. => add(ring, &point, x, y),
                    _ => add(ring, &point, x, &ring.sub(&zero, y)),
                };
                az4 = by_z4(ring, &a, &point.z);
            }
            if over() {
                break;
            }
        }
        let Point { x, y, z } = point;
        Point {
            x: ring.leave(x),
            y: ring.leave(y),
            z: ring.leave(z),
        }
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
                if let Some(point) = multiple.advance(&modulus, &large, &a, || true) {
                    break point;
                }
            };
            assert_eq!(affine(point), sum, "{k}");
            let whole = Multiple::new((x.clone(), y.clone()), k.into()).advance(&modulus, &large, &a, || false);
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

    #[test]
    fn digits_are_those_of_the_scalar() {
        let mut random = fastrand::Rng::with_seed(3);
        for window in 2..=6 {
            for bits in (1..40).chain([64, 200, 513]) {
                let scalar =
                    Natural::from_words(&std::iter::repeat_with(|| random.u64(..)).take(9).collect::<Vec<_>>());
                for scalar in [
                    (scalar >> (576 - bits)) | Natural::ONE,
                    Natural::ones(bits),
                    Natural::ONE << (bits - 1),
                ] {
                    let digits = digits(&scalar, window);
                    let value = digits
                        .iter()
                        .rev()
                        .fold(dashu_int::IBig::ZERO, |sum, digit| sum * 2 + *digit);
                    assert_eq!(value, scalar.into());
                    assert!(
                        digits
                            .iter()
                            .all(|digit| *digit == 0 || digit % 2 != 0 && digit.unsigned_abs() < 1 << (window - 1))
                    );
                    assert!(
                        digits
                            .windows(window)
                            .all(|row| row.iter().filter(|digit| **digit != 0).count() <= 1)
                    );
                    assert!(digits.last() > Some(&0));
                }
            }
        }
    }

    /// A long scalar is a sum of short ones; the order of a point of a curve modulo a composite number need not be
    /// known for that.
    #[test]
    fn long_multiples_are_multiples_of_multiples() {
        let n = Natural::from(10u8).pow(90) + 289u16;
        let (modulus, large) = (Modulus::new(n.clone()), Large::new(n));
        let a = Natural::from(5u8);
        let of = |base: &(Natural, Natural), scalar: &Natural| {
            let mut multiple = Multiple::new(base.clone(), scalar.clone());
            let point = loop {
                if let Some(point) = multiple.advance(&modulus, &large, &a, || true) {
                    break point;
                }
            };
            affine(&modulus, vec![point]).expect("no factor is met").remove(0)
        };
        let base = (Natural::from(3u8), Natural::from(8u8));
        let (short, other) = (Natural::ones(190), Natural::from(3u8).pow(110));
        let in_steps = of(&of(&base, &short), &other);
        assert_eq!(of(&base, &(&short * &other)), in_steps);
        assert_eq!(of(&of(&base, &other), &short), in_steps);
    }
}
