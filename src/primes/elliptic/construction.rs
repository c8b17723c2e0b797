//! The curve and the point for an order that was found: a zero of the class polynomial is the curve's `j`.
//!
//! Source: Cohen, "A Course in Computational Algebraic Number Theory", section 9.2.3. A point needs no root:
//! `(w x, w^2)` is on the curve `y^2 = z^3 + a w^2 z + b w^3` for `w = x^3 + a x + b`, which is the first one or its
//! twist as `w` is a square or not.

use super::attempt::Order;
use super::class_polynomial::ClassPolynomial;
use super::modulus::Modulus;
use super::roots::Search;
use super::step::{Check, Step};
use crate::primes::Natural;

/// Curves that are tried: each is of the right order with probability of a half, a quarter or a sixth.
const MOST_CURVES: u64 = 200;

/// The construction under way.
#[derive(Debug)]
pub(crate) struct Construction {
    n: Natural,
    order: Order,
    d: u32,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Class(ClassPolynomial),
    Root(Modulus, Search),
    /// `j / (1728 - j)` (1 where it is not needed), the curve that is tried, and its check.
    Curve(Natural, u64, Option<Box<(Step, Check)>>),
}

impl Construction {
    /// Begins that of the curve modulo `n` with complex multiplication by the discriminant `-d`, of this order.
    pub(crate) fn new(n: Natural, d: u32, order: Order) -> Self {
        let stage = match d {
            3 | 4 => Stage::Curve(Natural::ONE, 1, None),
            _ => Stage::Class(ClassPolynomial::new(d)),
        };
        Self { n, order, d, stage }
    }

    /// The step, which holds; or that there is none, which excludes that `n` is prime. `None` after `over`, which is
    /// asked after every few multiplications and after every value of `j`.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<Step>> {
        loop {
            match &mut self.stage {
                Stage::Class(polynomial) => {
                    let Some(coefficients) = polynomial.advance(&mut over)? else {
                        return Some(None);
                    };
                    let modulus = Modulus::new(self.n.clone());
                    let f = coefficients
                        .iter()
                        .map(|coefficient| modulus.residue(coefficient))
                        .collect();
                    let search = Search::new(&modulus, f);
                    self.stage = Stage::Root(modulus, search);
                }
                Stage::Root(modulus, search) => {
                    let j = search.advance(modulus, &mut over)?;
                    let inverse = |j: &Natural| modulus.inverse(&modulus.sub(&Natural::from(1728u16), j));
                    let Some(k) = j.and_then(|j| Some(modulus.mul(&j, &inverse(&j)?))) else {
                        return Some(None);
                    };
                    self.stage = Stage::Curve(k, 1, None);
                }
                Stage::Curve(_, _, Some(at)) => {
                    let (step, check) = at.as_mut();
                    let is_right = check.advance(&mut over)?;
                    if is_right {
                        return Some(Some(step.clone()));
                    }
                    self.next_curve();
                }
                Stage::Curve(_, MOST_CURVES, None) => return Some(None),
                Stage::Curve(k, number, at) => {
                    let (a, x, y) = curve(&self.n, self.d, k, *number);
                    let step = Step {
                        n: self.n.clone(),
                        t: self.order.t.clone(),
                        s: self.order.s.clone(),
                        a,
                        x,
                        y,
                    };
                    match Check::new(&step) {
                        Some(check) => *at = Some(Box::new((step, check))),
                        None => self.next_curve(),
                    }
                }
            }
        }
    }

    fn next_curve(&mut self) {
        if let Stage::Curve(_, number, at) = &mut self.stage {
            *number += 1;
            *at = None;
        }
    }
}

/// The curve of this number, and a point: `a`, `x`, `y`.
fn curve(n: &Natural, d: u32, k: &Natural, number: u64) -> (Natural, Natural, Natural) {
    let modulus = Modulus::new(n.clone());
    let y = Natural::from(number + 1);
    match d {
        // y^2 = x^3 + b at x = 1, and y^2 = x^3 + a x.
        3 => (Natural::ZERO, Natural::ONE, y),
        4 => (modulus.reduce(y.sqr() - 1u8), Natural::ONE, y),
        _ => {
            let (a, b) = (modulus.reduce(k * 3u8), modulus.reduce(k * 2u8));
            let x = Natural::from(number);
            let w = modulus.reduce(x.sqr() * &x + &a * &x + b);
            let square = modulus.square(&w);
            (modulus.mul(&a, &square), modulus.mul(&w, &x), square)
        }
    }
}
