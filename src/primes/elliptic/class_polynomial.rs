//! The Hilbert class polynomial of a discriminant: the values of `j` at the classes of forms are its zeros, and it is a
//! polynomial over the integers.
//!
//! Source: Cohen, "A Course in Computational Algebraic Number Theory", section 7.6.2 (algorithm 7.6.1), with
//! `j = (256 f + 1)^3 / f` for `f(z) = Delta(2 z) / Delta(z)`, and Euler's pentagonal series for `Delta`. The precision
//! is that of A. Enge, "The complexity of class polynomial computation via floating point approximations", Math. Comp.
//! 78 (2009), section 5: `|j - 1/q| <= 2114` at a reduced form.

use super::complex::{Complex, Scale};
use super::discriminant;
use dashu_int::IBig;
use dashu_int::ops::SquareRoot;
use std::f64::consts::{LN_2, PI};

/// Bits that rounding may spoil.
const GUARD: f64 = 96.0;

/// The polynomial under way, a product over the forms that are done.
#[derive(Debug)]
pub(super) struct ClassPolynomial {
    scale: Scale,
    /// The forms that are left.
    forms: Vec<(u32, u32, bool)>,
    pi: IBig,
    /// The root of `d`.
    root: IBig,
    /// The coefficients, the constant one first, in fixed point.
    product: Vec<IBig>,
}

impl ClassPolynomial {
    /// Begins that of the discriminant `-d`.
    pub(super) fn new(d: u32) -> Self {
        let forms = discriminant::forms(d);
        let exponent = PI * f64::from(d).sqrt() / LN_2;
        let bits = |a: u32| match exponent / f64::from(a) {
            large if large > 60.0 => large + 1.0,
            small => (small.exp2() + 2115.0).log2(),
        };
        let of_product: f64 = forms
            .iter()
            .map(|(a, _, is_double)| bits(*a) * (1.0 + f64::from(u8::from(*is_double))))
            .sum();
        // `f` is as small as q, and 1/f has its relative precision.
        let bits = of_product + 2.0 * exponent + GUARD;
        let scale = Scale(bits as usize + Scale(bits as usize).exp_halvings());
        let square = dashu_int::UBig::from(d) << (2 * scale.0);
        Self {
            pi: scale.pi(),
            root: square.sqrt().into(),
            product: vec![IBig::ONE << scale.0],
            scale,
            forms,
        }
    }

    /// The coefficients without the leading one, which is 1, the constant one first. `None` after `over`, which is
    /// asked after every form; no coefficients if they are no integers, which the precision excludes.
    pub(super) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<Vec<IBig>>> {
        while let Some((a, b, is_double)) = self.forms.pop() {
            let j = self.j(a, b);
            if is_double {
                // (X - j) and the conjugate factor.
                let norm = (&j.re * &j.re + &j.im * &j.im) >> self.scale.0;
                self.multiply(&[norm, j.re * -2]);
            } else {
                self.multiply(&[-j.re]);
            }
            if over() {
                return None;
            }
        }
        let half = IBig::ONE << (self.scale.0 - 1);
        let tolerance = IBig::ONE << (self.scale.0 - 10);
        let whole = |fixed: &IBig| {
            let rounded: IBig = (fixed + &half) >> self.scale.0;
            let error = (&rounded << self.scale.0) - fixed;
            (-&tolerance < error && error < tolerance).then_some(rounded)
        };
        let degree = self.product.len() - 1;
        Some(self.product[..degree].iter().map(whole).collect())
    }

    /// Multiplies by a factor whose leading coefficient is 1, the others given.
    fn multiply(&mut self, factor: &[IBig]) {
        let mut product = vec![IBig::ZERO; factor.len()];
        product.append(&mut self.product.clone());
        for (i, coefficient) in self.product.iter().enumerate() {
            for (k, other) in factor.iter().enumerate() {
                product[i + k] += (coefficient * other) >> self.scale.0;
            }
        }
        self.product = product;
    }

    /// `j` at the root of the form, but for the sign of the imaginary part.
    fn j(&self, a: u32, b: u32) -> Complex {
        let scale = self.scale;
        let q = scale.exp(&Complex {
            re: -((&self.pi * &self.root) >> scale.0) / a,
            im: &self.pi * b / a,
        });
        let quotient = scale.div(&self.euler(&scale.square(&q)), &self.euler(&q));
        let f = scale.mul(&q, &scale.power_24(&quotient));
        let mut sum = Complex {
            re: f.re.clone() << 8,
            im: f.im.clone() << 8,
        };
        sum.re += IBig::ONE << scale.0;
        let cube = scale.mul(&scale.square(&sum), &sum);
        scale.div(&cube, &f)
    }

    /// The product of all `1 - q^k`: the sum of `(-1)^k (q^(k (3 k - 1) / 2) + q^(k (3 k + 1) / 2))`.
    fn euler(&self, q: &Complex) -> Complex {
        let scale = self.scale;
        let cube = scale.mul(&scale.square(q), q);
        // q^k, q^(3 k + 1) and q^(k (3 k - 1) / 2) for k = 1.
        let (mut power, mut step, mut term) = (q.clone(), scale.mul(&cube, q), q.clone());
        let mut sum = scale.whole(1);
        let mut is_negative = true;
        let is_tiny = |z: &Complex| {
            [&z.re, &z.im]
                .iter()
                .all(|part| (-2..=2).any(|k| **part == IBig::from(k)))
        };
        while !is_tiny(&term) {
            let other = scale.mul(&term, &power);
            let (re, im) = (&term.re + &other.re, &term.im + &other.im);
            if is_negative {
                sum.re -= re;
                sum.im -= im;
            } else {
                sum.re += re;
                sum.im += im;
            }
            is_negative = !is_negative;
            term = scale.mul(&term, &step);
            step = scale.mul(&step, &cube);
            power = scale.mul(&power, q);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polynomial(d: u32) -> Vec<String> {
        let mut polynomial = ClassPolynomial::new(d);
        loop {
            if let Some(coefficients) = polynomial.advance(|| true) {
                let coefficients = coefficients.expect("they are integers");
                return coefficients.iter().map(ToString::to_string).collect();
            }
        }
    }

    /// Cohen, section 7.6.2, and PARI's `polclass`.
    #[test]
    fn known_polynomials() {
        assert_eq!(polynomial(163), ["262537412640768000"]);
        assert_eq!(polynomial(15), ["-121287375", "191025"]);
        assert_eq!(polynomial(23), ["12771880859375", "-5151296875", "3491750"]);
    }

    #[test]
    fn the_precision_suffices_for_every_discriminant_of_few_classes() {
        for one in discriminant::table().iter().filter(|one| one.h <= 8).step_by(7) {
            assert_eq!(polynomial(one.d).len(), usize::from(one.h), "{one:?}");
        }
    }
}
