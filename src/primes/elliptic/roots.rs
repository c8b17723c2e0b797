//! A zero, modulo a prime, of a polynomial that has all its zeros there.
//!
//! Source: D. G. Cantor and H. Zassenhaus, "A new algorithm for factoring polynomials over finite fields", Math. Comp.
//! 36 (1981); Cohen, "A Course in Computational Algebraic Number Theory", algorithm 1.6.1: `(X + c)^((n-1)/2) - 1` has
//! about half of the zeros.

use super::modulus::Modulus;
use crate::primes::Natural;
use dashu_int::ops::BitTest;

/// Shifts `c` that are tried, each of which splits with probability of a half or more.
const MOST_SHIFT: u64 = 200;

/// The search for a zero.
#[derive(Debug)]
pub(super) struct Search {
    /// Coefficients without the leading one, which is 1; the constant one first.
    f: Vec<Natural>,
    shift: u64,
    /// `X + c` to the power of the bits of the exponent from `next` up.
    power: Vec<Natural>,
    next: usize,
}

impl Search {
    /// Begins with the coefficients, reduced, without the leading one, which is 1. There must be some.
    pub(super) fn new(modulus: &Modulus, f: Vec<Natural>) -> Self {
        let mut search = Self {
            f,
            shift: 0,
            power: Vec::new(),
            next: 0,
        };
        search.begin(modulus);
        search
    }

    fn begin(&mut self, modulus: &Modulus) {
        self.shift += 1;
        self.power = vec![Natural::ONE];
        self.power.resize(self.f.len(), Natural::ZERO);
        self.next = (modulus.n() >> 1).bit_len();
    }

    /// A zero, or that none was found. `None` after `over`, which is asked after every squaring.
    pub(super) fn advance(&mut self, modulus: &Modulus, mut over: impl FnMut() -> bool) -> Option<Option<Natural>> {
        let exponent = modulus.n() >> 1;
        while self.f.len() > 1 {
            while self.next > 0 {
                self.next -= 1;
                self.power = remainder(modulus, square(&self.power), &self.f);
                if exponent.bit(self.next) {
                    self.times_shifted(modulus);
                }
                if over() {
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
            if self.shift == MOST_SHIFT {
                return Some(None);
            }
            self.begin(modulus);
        }
        Some(self.f.first().map(|constant| modulus.negative(constant)))
    }

    /// Multiplies the power by `X + c`.
    fn times_shifted(&mut self, modulus: &Modulus) {
        let top = self.power.last().cloned().unwrap_or_default();
        for i in (0..self.f.len()).rev() {
            let below = if i > 0 { &self.power[i - 1] } else { &Natural::ZERO };
            let sum = &self.power[i] * self.shift + below + &top * modulus.negative(&self.f[i]);
            self.power[i] = modulus.reduce(sum);
        }
    }
}

/// The square of a polynomial, its coefficients not reduced.
fn square(a: &[Natural]) -> Vec<Natural> {
    let mut product = vec![Natural::ZERO; 2 * a.len() - 1];
    for i in 0..a.len() {
        for k in 0..i {
            product[i + k] += &a[i] * &a[k];
        }
    }
    for coefficient in &mut product {
        *coefficient <<= 1;
    }
    for (i, coefficient) in a.iter().enumerate() {
        product[2 * i] += coefficient.sqr();
    }
    product
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
        let modulus = Modulus::new(n);
        let zeros: Vec<Natural> = (1..12u64).map(|k| modulus.reduce(Natural::from(k).pow(61))).collect();
        let mut product = vec![Natural::ONE];
        for zero in &zeros {
            product.insert(0, Natural::ZERO);
            for i in 0..product.len() - 1 {
                product[i] = modulus.sub(&product[i], &modulus.mul(zero, &product[i + 1]));
            }
        }
        product.pop();
        let mut search = Search::new(&modulus, product);
        let zero = loop {
            if let Some(zero) = search.advance(&modulus, || true) {
                break zero;
            }
        };
        assert!(zeros.contains(&zero.expect("it splits")));
        // X^2 + 1 has no zero, as -1 is no square: after every shift none is found.
        let none = Search::new(&modulus, vec![Natural::ONE, Natural::ZERO]).advance(&modulus, || false);
        assert_eq!(none, Some(None));
    }
}
