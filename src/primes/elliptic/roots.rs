//! A zero, modulo a prime, of a polynomial that has all its zeros there.
//!
//! Source: D. G. Cantor and H. Zassenhaus, "A new algorithm for factoring polynomials over finite fields", Math. Comp.
//! 36 (1981); Cohen, "A Course in Computational Algebraic Number Theory", algorithm 1.6.1: `(X + c)^((n-1)/2) - 1` has
//! about half of the zeros. Here the polynomial is moved by `c` instead, so that what is raised is `X`.

use super::modulus::Modulus;
use super::square_roots::Field;
use crate::primes::Natural;
use crate::primes::primality::large::{Residues, Work};
use dashu_int::ops::BitTest;

/// Moves that are tried, each of which splits with probability of a half or more.
const MOST_MOVES: u64 = 200;

/// The search for a zero.
#[derive(Debug)]
pub(super) struct Search {
    /// Coefficients without the leading one, which is 1; the constant one first. The zeros are those of the polynomial
    /// that was given, or some of them, each plus `moved`.
    f: Vec<Natural>,
    moved: u64,
    /// `X` to the power of the bits of the exponent from `next` up.
    power: Vec<Natural>,
    next: usize,
}

impl Search {
    /// Begins with the coefficients, reduced, without the leading one, which is 1. There must be some.
    pub(super) fn new(field: &Field, f: Vec<Natural>) -> Self {
        let mut search = Self {
            f,
            moved: 0,
            power: Vec::new(),
            next: 0,
        };
        search.begin(field.modulus());
        search
    }

    fn begin(&mut self, modulus: &Modulus) {
        move_zeros(modulus, &mut self.f);
        self.moved += 1;
        self.power = vec![Natural::ONE];
        self.power.resize(self.f.len(), Natural::ZERO);
        self.next = (modulus.n() >> 1).bit_len();
    }

    /// A zero, or that none was found. `None` after `over`, which is asked after every squaring.
    pub(super) fn advance(&mut self, field: &Field, mut over: impl FnMut() -> bool) -> Option<Option<Natural>> {
        let modulus = field.modulus();
        while self.f.len() > 1 {
            if self.next > 0 {
                field.large().run(Bout {
                    search: self,
                    exponent: modulus.n() >> 1,
                    over: &mut over,
                });
                if self.next > 0 {
                    return None;
                }
            }
            let mut less = self.power.clone();
            less[0] = modulus.sub(&less[0], &Natural::ONE);
            let Some(part) = common(modulus, &self.f, less) else {
                return Some(None);
            };
            if !part.is_empty() && part.len() < self.f.len() {
                let other = quotient(modulus, &self.f, &part);
                self.f = if part.len() <= other.len() { part } else { other };
            }
            if self.moved == MOST_MOVES {
                return Some(None);
            }
            self.begin(modulus);
        }
        let sum = self.f.first()? + self.moved;
        Some(Some(modulus.negative(&modulus.reduce(sum))))
    }
}

/// Replaces a polynomial without its leading 1 by the one whose zeros are greater by 1.
fn move_zeros(modulus: &Modulus, f: &mut [Natural]) {
    // By the scheme of Horner at -1, again and again.
    for from in 0..f.len() {
        let mut above = Natural::ONE;
        for coefficient in f[from..].iter_mut().rev() {
            *coefficient = modulus.sub(coefficient, &above);
            above = coefficient.clone();
        }
    }
}

/// Goes on with the power.
struct Bout<'a, F> {
    search: &'a mut Search,
    exponent: Natural,
    over: F,
}

impl<F: FnMut() -> bool> Work for Bout<'_, F> {
    type Output = ();

    fn work<R: Residues>(mut self, ring: &R) {
        let Search { f, power, next, .. } = self.search;
        let enter = |coefficients: &[Natural]| -> Vec<R::Element> {
            coefficients
                .iter()
                .map(|coefficient| ring.enter(coefficient.clone()))
                .collect()
        };
        let zero = ring.zero();
        let negative: Vec<_> = enter(f)
            .iter()
            .map(|coefficient| ring.sub(&zero, coefficient))
            .collect();
        let mut residues = enter(power);
        while *next > 0 {
            *next -= 1;
            residues = square(ring, &residues, &negative);
            if self.exponent.bit(*next) {
                residues = times_x(ring, &residues, &negative);
            }
            if (self.over)() {
                break;
            }
        }
        *power = residues.into_iter().map(|residue| ring.leave(residue)).collect();
    }
}

/// The square of a polynomial modulo one that is given by its coefficients without the leading 1, negated.
fn square<R: Residues>(ring: &R, a: &[R::Element], negative: &[R::Element]) -> Vec<R::Element> {
    let degree = a.len();
    let twice: Vec<_> = a.iter().map(|coefficient| ring.add(coefficient, coefficient)).collect();
    // From the top down, those of the quotient and then those of the remainder, each as one sum of products.
    let mut coefficients = vec![ring.zero(); 2 * degree - 1];
    for place in (0..2 * degree - 1).rev() {
        let first = (place + 1).saturating_sub(degree);
        let pairs = (first..place.div_ceil(2)).map(|low| [&twice[low], &a[place - low]]);
        let middle = (place % 2 == 0).then(|| [&a[place / 2]; 2]);
        let quotient = (first..degree - 1)
            .take_while(|i| *i <= place)
            .map(|i| [&coefficients[degree + i], &negative[place - i]]);
        let all: Vec<_> = pairs.chain(middle).chain(quotient).collect();
        coefficients[place] = ring.sum_of_products(&all);
    }
    coefficients.truncate(degree);
    coefficients
}

/// The product of a polynomial and `X`, modulo one that is given as for [`square`].
fn times_x<R: Residues>(ring: &R, a: &[R::Element], negative: &[R::Element]) -> Vec<R::Element> {
    let Some((top, others)) = a.split_last() else {
        return Vec::new();
    };
    let zero = ring.zero();
    std::iter::once(&zero)
        .chain(others)
        .zip(negative)
        .map(|(below, negative)| ring.add(below, &ring.mul(top, negative)))
        .collect()
}

/// The remainder by a polynomial given without its leading 1; as many coefficients as that.
fn remainder(modulus: &Modulus, mut a: Vec<Natural>, f: &[Natural]) -> Vec<Natural> {
    let degree = f.len();
    let negative: Vec<Natural> = f.iter().map(|coefficient| modulus.negative(coefficient)).collect();
    while a.len() > degree {
        let top = modulus.reduce(a.pop().unwrap_or_default());
        let low = a.len() - degree;
        if !top.is_zero() {
            for (coefficient, factor) in a[low..].iter_mut().zip(&negative) {
                *coefficient += &top * factor;
            }
        }
    }
    let mut rest: Vec<Natural> = a.into_iter().map(|coefficient| modulus.reduce(coefficient)).collect();
    rest.resize(degree, Natural::ZERO);
    rest
}

/// The exact quotient of two polynomials, all without their leading 1.
fn quotient(modulus: &Modulus, f: &[Natural], part: &[Natural]) -> Vec<Natural> {
    let mut rest = f.to_vec();
    let mut top = Natural::ONE;
    let mut coefficients = Vec::new();
    while rest.len() >= part.len() {
        let low = rest.len() - part.len();
        for (coefficient, factor) in rest[low..].iter_mut().zip(part) {
            *coefficient = modulus.sub(coefficient, &modulus.mul(&top, factor));
        }
        if low == 0 {
            break;
        }
        top = rest.pop().unwrap_or_default();
        coefficients.push(top.clone());
    }
    coefficients.reverse();
    coefficients
}

/// The greatest common divisor of a polynomial without its leading 1 and another one, without its leading 1. `None` if
/// a coefficient has no inverse.
fn common(modulus: &Modulus, f: &[Natural], mut b: Vec<Natural>) -> Option<Vec<Natural>> {
    let mut a = f.to_vec();
    loop {
        while b.last().is_some_and(Natural::is_zero) {
            b.pop();
        }
        let Some(top) = b.pop() else {
            return Some(a);
        };
        let inverse = modulus.inverse(&top)?;
        for coefficient in &mut b {
            *coefficient = modulus.mul(coefficient, &inverse);
        }
        if b.is_empty() {
            return Some(b);
        }
        a.push(Natural::ONE);
        let rest = remainder(modulus, a, &b);
        (a, b) = (b, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_of_a_product_of_linear_factors_is_found() {
        let n: Natural = "618970019642690137449562111".parse().expect("a number");
        let field = Field::new(n);
        let modulus = field.modulus();
        let zeros: Vec<Natural> = (1..12u64).map(|k| modulus.reduce(Natural::from(k).pow(61))).collect();
        let mut product = vec![Natural::ONE];
        for zero in &zeros {
            product.insert(0, Natural::ZERO);
            for i in 0..product.len() - 1 {
                product[i] = modulus.sub(&product[i], &modulus.mul(zero, &product[i + 1]));
            }
        }
        product.pop();
        let mut search = Search::new(&field, product);
        let zero = loop {
            if let Some(zero) = search.advance(&field, || true) {
                break zero;
            }
        };
        assert!(zeros.contains(&zero.expect("it splits")));
        // X^2 + 1 has no zero, as -1 is no square: after every move none is found.
        let none = Search::new(&field, vec![Natural::ONE, Natural::ZERO]).advance(&field, || false);
        assert_eq!(none, Some(None));
    }
}
