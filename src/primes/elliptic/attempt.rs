//! One discriminant for one number: is the number a norm, and which of the orders that this gives are a small number
//! times one that may be prime?
//!
//! Sources: Cohen, "A Course in Computational Algebraic Number Theory", algorithm 1.5.3 (the algorithm of G.
//! Cornacchia, modified) and section 9.2.3; the orders of the curves for -3 and -4 are those of Atkin and Morain,
//! section 4.

use super::discriminant::prime_discriminants;
use super::small_primes::{Removal, SmallPrimes, pieces_below};
use super::square_roots::{Field, RootSearch, Roots};
use super::step::{is_enough, order};
use crate::primes::Natural;
use crate::primes::primality::is_prime_u64;
use dashu_int::IBig;
use dashu_int::ops::{BitTest, SquareRoot};
use std::sync::Arc;

/// An order `s q`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) t: IBig,
    pub(crate) s: Natural,
    pub(crate) q: Natural,
}

/// The attempt under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    field: Arc<Field>,
    d: u32,
    /// The prime discriminants whose product is `-d`.
    parts: Vec<i64>,
    primes: Arc<SmallPrimes>,
    /// The roots of the parts that are known.
    roots: Roots,
    search: Option<RootSearch>,
    /// The traces of the orders that are left, once they are known.
    traces: Option<Vec<IBig>>,
    /// The trace and its order, whose small primes are taken out.
    at: Option<(IBig, Natural, Removal)>,
    /// Those that may serve.
    found: Vec<Order>,
}

impl Attempt {
    /// Begins with a probable prime, the roots that are known modulo it, and the discriminant `-d`.
    pub(crate) fn new(field: Arc<Field>, roots: &Roots, d: u32, primes: Arc<SmallPrimes>) -> Self {
        let parts = prime_discriminants(d);
        Self {
            field,
            d,
            roots: roots.for_parts(&parts),
            parts,
            search: None,
            primes,
            traces: None,
            at: None,
            found: Vec::new(),
        }
    }

    /// The roots of its parts, those that it was given and those that it has found.
    pub(crate) fn into_roots(self) -> Roots {
        self.roots
    }

    /// The orders whose `q` has no small factor. `None` after `over`, which is asked every few microseconds, but for
    /// the end of a root: as many squarings as half the square of the twos of `n - 1`.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Vec<Order>> {
        // As measured: to take more out costs more than the tests that it saves.
        let pieces = pieces_below((self.field.n().bit_len() as u64).pow(2));
        loop {
            let Some(traces) = &mut self.traces else {
                self.traces = Some(self.traces(&mut over)?);
                if over() {
                    return None;
                }
                continue;
            };
            let Some((t, order, mut removal)) = self.at.take() else {
                let Some(t) = traces.pop() else {
                    return Some(std::mem::take(&mut self.found));
                };
                if let Some(order) = order(self.field.n(), &t) {
                    let twos = order.trailing_zeros().unwrap_or(0);
                    let removal = Removal::new(&order >> twos);
                    self.at = Some((t, order, removal));
                }
                continue;
            };
            let Some(q) = removal.advance(&self.primes, pieces, &mut over) else {
                self.at = Some((t, order, removal));
                return None;
            };
            let serves = q != order && is_enough(&q, self.field.n());
            if serves && u64::try_from(&q).map_or(true, is_prime_u64) {
                let s = order / &q;
                self.found.push(Order { t, s, q });
            }
        }
    }

    /// The traces of the curves with complex multiplication by the discriminant: none unless `4 n = t^2 + d v^2`.
    /// `None` after `over`.
    fn traces(&mut self, over: impl FnMut() -> bool) -> Option<Vec<IBig>> {
        let (field, parts) = (&*self.field, &self.parts);
        if !RootSearch::all(&mut self.search, field, &mut self.roots, parts, over)? {
            return Some(Vec::new());
        }
        let Some((t, v)) = self
            .roots
            .of_product(field, parts)
            .and_then(|root| norm(field.n(), self.d, root))
        else {
            return Some(Vec::new());
        };
        let (t, v) = (IBig::from(t), IBig::from(v));
        let half = match self.d {
            3 => vec![t.clone(), (&t + &v * 3) / 2, (&t - &v * 3) / 2],
            4 => vec![t.clone(), v * 2],
            _ => vec![t],
        };
        Some(half.into_iter().flat_map(|t| [-t.clone(), t]).collect())
    }
}

/// `t` and `v` with `4 n = t^2 + d v^2`, by a root `b` of `-d` modulo `n`.
fn norm(n: &Natural, d: u32, mut b: Natural) -> Option<(Natural, Natural)> {
    if (&b % 2u8) != (d % 2) as u8 {
        b = n - b;
    }
    let (mut a, four) = (n << 1, n << 2);
    let end = four.sqrt();
    while b > end {
        (a, b) = (b.clone(), a % b);
    }
    let rest = four - b.sqr();
    if &rest % d != 0 {
        return None;
    }
    let square = rest / d;
    let v = square.sqrt();
    (v.sqr() == square).then_some((b, v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_are_norms() {
        // The least prime above 10^30.
        let n = Natural::from(10u8).pow(30) + 57u8;
        let (field, primes) = (Arc::new(Field::new(n.clone())), Arc::new(SmallPrimes::new()));
        let mut count = 0;
        for d in [3, 4, 7, 8, 11, 15, 19, 20, 23, 24, 43, 67, 163] {
            let mut attempt = Attempt::new(Arc::clone(&field), &Roots::default(), d, Arc::clone(&primes));
            for t in attempt.traces(|| false).expect("it does not pause") {
                let rest = (IBig::from(n.clone()) << 2) - &t * &t;
                let rest = Natural::try_from(rest).expect("a square is below 4 n");
                let v = (&rest / d).sqrt();
                assert_eq!(v.sqr() * d, rest, "{d}");
                count += 1;
            }
        }
        assert!(count > 0);
    }
}
