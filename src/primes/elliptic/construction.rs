//! The curve and the point for an order that was found: a zero of the class polynomial is the curve's `j`.
//!
//! Source: Cohen, "A Course in Computational Algebraic Number Theory", section 9.2.3. A point needs no root:
//! `(w x, w^2)` is on the curve `y^2 = z^3 + a w^2 z + b w^3` for `w = x^3 + a x + b`, which is the first one or its
//! twist as `w` is a square or not. Where one of them is of another order, the other is tried.

use super::attempt::Order;
use super::class_polynomial::{ClassPolynomial, Factor};
use super::modulus::jacobi_of_long;
use super::roots::Search;
use super::square_roots::{Field, RootSearch, Roots};
use super::step::{Check, Step};
use crate::primes::Natural;
use std::sync::Arc;

/// Curves that are tried or passed over: each is of the right order with probability of a half, a quarter or a sixth.
const MOST_CURVES: u64 = 200;

/// The construction under way.
#[derive(Debug)]
pub(crate) struct Construction {
    n: Natural,
    order: Order,
    d: u32,
    /// The roots of its prime discriminants that are known.
    roots: Roots,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Class(ClassPolynomial),
    /// The roots that are not known are looked for.
    Roots(Arc<Field>, Factor, Option<RootSearch>),
    Zero(Arc<Field>, Search),
    Curve(Curve),
}

/// The curve that is tried.
#[derive(Debug)]
struct Curve {
    /// `j / (1728 - j)`; 1 where there are more twists than two.
    k: Natural,
    number: u64,
    at: Option<Box<(Step, Check)>>,
    /// The symbol of `w` for the curve that had another order.
    failed: Option<i32>,
}

impl Construction {
    /// Begins that of the curve modulo `n` with complex multiplication by the discriminant `-d`, of this order. The
    /// roots are those that are known of the prime discriminants.
    pub(crate) fn new(n: Natural, d: u32, order: Order, roots: Roots) -> Self {
        let stage = match d {
            3 | 4 => Stage::Curve(Curve::new(Natural::ONE)),
            _ => Stage::Class(ClassPolynomial::new(d)),
        };
        Self {
            n,
            order,
            d,
            roots,
            stage,
        }
    }

    /// The step, which holds; or that there is none, which excludes that `n` is prime. `None` after `over`, which is
    /// asked after every few multiplications and after every value of `j`.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<Step>> {
        loop {
            match &mut self.stage {
                Stage::Class(polynomial) => {
                    let Some(factor) = polynomial.advance(&mut over)? else {
                        return Some(None);
                    };
                    self.stage = Stage::Roots(Arc::new(Field::new(self.n.clone())), factor, None);
                }
                Stage::Roots(field, factor, search) => {
                    if !RootSearch::all(search, field, &mut self.roots, factor.parts(), &mut over)? {
                        return Some(None);
                    }
                    let Some(f) = factor.modulo(field, &self.roots) else {
                        return Some(None);
                    };
                    let search = Search::new(field, f);
                    self.stage = Stage::Zero(Arc::clone(field), search);
                }
                Stage::Zero(field, search) => {
                    let j = search.advance(field, &mut over)?;
                    let modulus = field.modulus();
                    let inverse = |j: &Natural| modulus.inverse(&modulus.sub(&Natural::from(1728u16), j));
                    let Some(k) = j.and_then(|j| Some(modulus.mul(&j, &inverse(&j)?))) else {
                        return Some(None);
                    };
                    self.stage = Stage::Curve(Curve::new(k));
                }
                Stage::Curve(curve) => {
                    if let Some(at) = &mut curve.at {
                        let (step, check) = at.as_mut();
                        if check.advance(&mut over)? {
                            return Some(Some(step.clone()));
                        }
                        curve.failed = curve.symbol(&self.n, self.d);
                        curve.next();
                    }
                    if curve.number == MOST_CURVES {
                        return Some(None);
                    }
                    if curve.failed.is_some() && curve.failed == curve.symbol(&self.n, self.d) {
                        curve.next();
                        continue;
                    }
                    let (a, x, y) = curve.with_point(&self.n, self.d);
                    let step = Step {
                        n: self.n.clone(),
                        t: self.order.t.clone(),
                        s: self.order.s.clone(),
                        a,
                        x,
                        y,
                    };
                    match Check::new(&step) {
                        Some(check) => curve.at = Some(Box::new((step, check))),
                        None => curve.next(),
                    }
                }
            }
        }
    }
}

impl Curve {
    fn new(k: Natural) -> Self {
        Self {
            k,
            number: 1,
            at: None,
            failed: None,
        }
    }

    fn next(&mut self) {
        self.number += 1;
        self.at = None;
    }

    /// The symbol of `w` where there are two twists.
    fn symbol(&self, n: &Natural, d: u32) -> Option<i32> {
        (d > 4).then(|| jacobi_of_long(self.w(n), n.clone()))
    }

    /// `w` for the number as `x`.
    fn w(&self, n: &Natural) -> Natural {
        let x = Natural::from(self.number);
        (x.pow(3) + &self.k * (3 * self.number + 2)) % n
    }

    /// The curve and a point: `a`, `x`, `y`.
    fn with_point(&self, n: &Natural, d: u32) -> (Natural, Natural, Natural) {
        let y = Natural::from(self.number + 1);
        match d {
            // y^2 = x^3 + b at x = 1, and y^2 = x^3 + a x.
            3 => (Natural::ZERO, Natural::ONE, y),
            4 => ((y.sqr() - 1u8) % n, Natural::ONE, y),
            _ => {
                let w = self.w(n);
                let square = w.sqr() % n;
                (&self.k * 3u8 * &square % n, w * self.number % n, square)
            }
        }
    }
}
