//! The Hilbert class polynomial of a discriminant over its genus field: the values of `j` at the classes of forms are
//! the zeros of a polynomial over the integers, and those at the classes of one genus the zeros of a factor of it.
//!
//! The coefficients of the factor are integers of the field of the roots of the prime discriminants, and real, so they
//! are combinations of the roots `r` of the positive products of these. An automorphism that takes some `r` to `-r`
//! takes the factor to that of the genus that has these characters (D. A. Cox, "Primes of the form x^2 + n y^2",
//! sections 6 and 11). So the trace of `c r`, an integer, is the sum of `c` over the genera, each with the character
//! of `r`, times `r`; and `c` is the sum of these traces over `r`, divided by the number of genera.
//!
//! Sources: Cohen, "A Course in Computational Algebraic Number Theory", section 7.6.2 (algorithm 7.6.1), with
//! `j = (256 f + 1)^3 / f` for `f(z) = Delta(2 z) / Delta(z)`, and Euler's pentagonal series for `Delta`. The precision
//! is that of A. Enge, "The complexity of class polynomial computation via floating point approximations", Math. Comp.
//! 78 (2009), section 5: `|j - 1/q| <= 2114` at a reduced form.

use super::complex::{Complex, Scale};
use super::discriminant::{self, Form};
use super::square_roots::{Field, Roots};
use crate::primes::Natural;
use dashu_int::IBig;
use std::f64::consts::{LN_2, PI};

/// Bits that rounding may spoil.
const GUARD: f64 = 96.0;

/// The polynomials under way, of each genus a product over the forms that are done.
#[derive(Debug)]
pub(super) struct ClassPolynomial {
    scale: Scale,
    /// The prime discriminants.
    parts: Vec<i64>,
    /// The forms that are left.
    forms: Vec<Form>,
    pi: IBig,
    /// The root of `d`.
    root: IBig,
    /// The coefficients of each genus, the constant one first, in fixed point.
    products: Vec<Vec<IBig>>,
}

/// The factor of the class polynomial that has the classes of one genus. Which one is left to the roots that it is
/// given.
#[derive(Debug)]
pub(super) struct Factor {
    /// The prime discriminants.
    parts: Vec<i64>,
    /// For each positive product, in the order of [`positive`], the traces of its root times each coefficient, the
    /// constant one first, without the leading one.
    traces: Vec<Vec<IBig>>,
}

impl ClassPolynomial {
    /// Begins that of the discriminant `-d`.
    pub(super) fn new(d: u32) -> Self {
        let parts = discriminant::prime_discriminants(d);
        let genera = 1 << (parts.len() - 1);
        let forms = discriminant::forms(d, &parts);
        let exponent = PI * f64::from(d).sqrt() / LN_2;
        let bits = |a: u32| match exponent / f64::from(a) {
            large if large > 60.0 => large + 1.0,
            small => (small.exp2() + 2115.0).log2(),
        };
        let mut of_products = vec![0.0f64; genera];
        for form in &forms {
            of_products[form.genus] += bits(form.a) * (1.0 + f64::from(u8::from(form.is_double)));
        }
        let of_product = of_products.into_iter().fold(0.0, f64::max);
        // `f` is as small as q, and 1/f has its relative precision.
        let bits = of_product + 2.0 * exponent + GUARD;
        let scale = Scale(bits as usize + Scale(bits as usize).exp_halvings());
        Self {
            pi: scale.pi(),
            root: scale.root(d),
            products: vec![vec![IBig::ONE << scale.0]; genera],
            scale,
            parts,
            forms,
        }
    }

    /// The factor. `None` after `over`, which is asked after every form; no factor if the traces are no
    /// integers, which the precision excludes.
    pub(super) fn advance(&mut self, mut over: impl FnMut() -> bool) -> Option<Option<Factor>> {
        while let Some(form) = self.forms.pop() {
            let j = self.j(form.a, form.b);
            let factor = if form.is_double {
                // (X - j) and the conjugate factor.
                let norm = (&j.re * &j.re + &j.im * &j.im) >> self.scale.0;
                vec![norm, j.re * -2]
            } else {
                vec![-j.re]
            };
            self.multiply(form.genus, &factor);
            if over() {
                return None;
            }
        }
        let traces: Option<_> = (0..self.products.len()).map(|subset| self.traces(subset)).collect();
        Some(traces.map(|traces| Factor {
            parts: std::mem::take(&mut self.parts),
            traces,
        }))
    }

    /// The traces of the coefficients times the root of a positive product.
    fn traces(&self, subset: usize) -> Option<Vec<IBig>> {
        let product: i64 = positive(&self.parts, subset).iter().product();
        let root = self.scale.root(product.unsigned_abs() as u32);
        let half = IBig::ONE << (self.scale.0 - 1);
        let tolerance = IBig::ONE << (self.scale.0 - 10);
        let whole = |fixed: IBig| {
            let rounded: IBig = (&fixed + &half) >> self.scale.0;
            let error = (&rounded << self.scale.0) - fixed;
            (-&tolerance < error && error < tolerance).then_some(rounded)
        };
        let degree = self.products.first()?.len() - 1;
        let trace = |i: usize| {
            let mut sum = IBig::ZERO;
            for (genus, product) in self.products.iter().enumerate() {
                match (genus & subset).count_ones() % 2 {
                    0 => sum += &product[i],
                    _ => sum -= &product[i],
                }
            }
            whole((sum * &root) >> self.scale.0)
        };
        (0..degree).map(trace).collect()
    }

    /// Multiplies the polynomial of a genus by a factor whose leading coefficient is 1, the others given.
    fn multiply(&mut self, genus: usize, factor: &[IBig]) {
        let before = &self.products[genus];
        let mut product = vec![IBig::ZERO; factor.len()];
        product.extend_from_slice(before);
        for (i, coefficient) in before.iter().enumerate() {
            for (k, other) in factor.iter().enumerate() {
                product[i + k] += (coefficient * other) >> self.scale.0;
            }
        }
        self.products[genus] = product;
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

impl Factor {
    /// The prime discriminants, whose roots it takes.
    pub(super) fn parts(&self) -> &[i64] {
        &self.parts
    }

    /// The coefficients modulo a prime without the leading one, which is 1, the constant one first: with these roots of
    /// the prime discriminants. `None` if a root is missing or has no inverse.
    pub(super) fn modulo(&self, field: &Field, roots: &Roots) -> Option<Vec<Natural>> {
        let modulus = field.modulus();
        let mut sums = vec![Natural::ZERO; self.traces.first()?.len()];
        for (subset, traces) in self.traces.iter().enumerate() {
            let product = positive(&self.parts, subset);
            let root = roots.of_product(field, &product)?;
            let mut weight = modulus.inverse(&modulus.reduce(root * self.traces.len()))?;
            // The root of each negative one of k has a factor i that the positive root of the product lacks: i^k.
            if product.iter().filter(|part| **part < 0).count() % 4 == 2 {
                weight = modulus.negative(&weight);
            }
            for (sum, trace) in sums.iter_mut().zip(traces) {
                *sum = modulus.add(sum, &modulus.mul(&modulus.residue(trace), &weight));
            }
        }
        Some(sums)
    }
}

/// The prime discriminants of a subset of all but the last one, or all others: whichever have a positive product. The
/// characters of both are the same.
fn positive(parts: &[i64], subset: usize) -> Vec<i64> {
    let of = |is_in: bool| -> Vec<i64> {
        let in_subset = |i: &usize| (subset >> i & 1 == 1) == is_in;
        (0..parts.len()).filter(in_subset).map(|i| parts[i]).collect()
    };
    let chosen = of(true);
    if chosen.iter().product::<i64>() > 0 {
        chosen
    } else {
        of(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::elliptic::square_roots::RootSearch;

    fn factor(d: u32) -> Factor {
        let mut polynomial = ClassPolynomial::new(d);
        loop {
            if let Some(factor) = polynomial.advance(|| true) {
                return factor.expect("traces are integers");
            }
        }
    }

    /// Cohen, section 7.6.2, and PARI's `polclass`.
    #[test]
    fn known_polynomials() {
        let traces = |d| -> Vec<Vec<String>> {
            let traces = factor(d).traces;
            let written = |traces: &Vec<IBig>| traces.iter().map(ToString::to_string).collect();
            traces.iter().map(written).collect()
        };
        assert_eq!(traces(163), [["262537412640768000"]]);
        assert_eq!(traces(23), [["12771880859375", "-5151296875", "3491750"]]);
        // X + (191025 + 85995 r) / 2 with the root r of 5, and with -r.
        assert_eq!(traces(15), [["191025"], ["429975"]]);
    }

    /// The polynomials of `-84` and `-39` by PARI's `polclass`, without the leading coefficient.
    #[test]
    fn the_factors_of_all_genera_are_the_whole() {
        // The least prime above 10^30 modulo which all these discriminants are squares.
        let field = Field::new(Natural::from(10u8).pow(30) + 6177u16);
        let modulus = field.modulus();
        for (d, whole) in [
            (
                84,
                [
                    "-5133201653210986057826304",
                    "88821246589810089394176",
                    "-5663679223085309952",
                    "-3196800946944",
                ],
            ),
            (
                39,
                [
                    "20919104368024767633",
                    "109873509788637459",
                    "-429878960946",
                    "331531596",
                ],
            ),
        ] {
            let factor = factor(d);
            let mut roots = Roots::default();
            assert_eq!(
                RootSearch::all(&mut None, &field, &mut roots, factor.parts(), || false),
                Some(true)
            );
            let mut product = vec![Natural::ONE];
            for genus in 0..factor.traces.len() {
                // The product of all characters is 1.
                let last = usize::from(genus.count_ones() % 2 == 1) << (factor.parts.len() - 1);
                let mut roots = roots.clone();
                for (i, part) in factor.parts.iter().enumerate() {
                    if (genus | last) >> i & 1 == 1 {
                        roots.negate(&field, *part);
                    }
                }
                let mut one = factor.modulo(&field, &roots).expect("all have roots");
                one.push(Natural::ONE);
                let mut next = vec![Natural::ZERO; product.len() + one.len() - 1];
                for (i, a) in product.iter().enumerate() {
                    for (k, b) in one.iter().enumerate() {
                        next[i + k] = modulus.add(&next[i + k], &modulus.mul(a, b));
                    }
                }
                product = next;
            }
            let whole = whole.map(|coefficient| modulus.residue(&coefficient.parse().expect("a number")));
            assert_eq!(product[..4], whole, "{d}");
        }
    }

    #[test]
    fn the_precision_suffices_for_every_discriminant_of_few_classes() {
        for one in discriminant::table(0).iter().filter(|one| one.h <= 8).step_by(7) {
            let factor = factor(one.d);
            let in_all = factor.traces.iter().map(Vec::len).sum::<usize>();
            assert_eq!(in_all, usize::from(one.h), "{one:?}");
        }
    }
}
