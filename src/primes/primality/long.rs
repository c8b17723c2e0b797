//! The integers modulo an odd number of hundreds to tens of thousands of digits, in Montgomery form on [`limbs`].
//!
//! With `R = 2^(52 k)` and `T = a b`, the reduction is `T_high - floor(m n / R)` for `m = T_low n^-1 mod R`, where the
//! low half of `m n` is that of `T`: of `T_low n^-1` only the low columns are summed, of `m n` only the high ones and
//! eight below. What is missing below those is less than 2^65 of the lowest of them, so the carry out of the eight
//! follows from the highest of them and of `T_low`.
//!
//! Knows no test. Sources: P. L. Montgomery, "Modular multiplication without trial division", Math. Comp. 44 (1985),
//! section 2, with the inverse taken positive; S. Gueron, V. Krasnov, "Software implementation of modular
//! exponentiation, using advanced vector instructions architectures", WAIFI 2012, for limbs shorter than a word.
//!
//! Unsafe: calls of the functions of [`limbs`], for which a modulus exists only where the processor has the
//! instructions.
#![allow(unsafe_code)]

use super::large::{Residue, Residues, about_the_modulus};
use super::limbs::{self, BITS, Columns, LANES, MOST, PAD};
use super::ring::Ring;
use crate::primes::Natural;
use dashu_int::ops::{BitTest, SquareRoot};
use std::cell::RefCell;

/// A residue: its limbs between zeros.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element(Box<[u64]>);

impl Element {
    fn new(n: &Natural, limbs: usize) -> Self {
        let mut padded = vec![0; limbs + 2 * PAD].into_boxed_slice();
        limbs::split(n.as_words(), 0, &mut padded[PAD..PAD + limbs]);
        Self(padded)
    }

    fn limbs(&self) -> &[u64] {
        &self.0[PAD..self.0.len() - PAD]
    }

    fn limbs_mut(&mut self) -> &mut [u64] {
        let end = self.0.len() - PAD;
        &mut self.0[PAD..end]
    }

    fn natural(&self) -> Natural {
        let mut words = vec![0u64; (self.limbs().len() * BITS).div_ceil(64) + 1];
        for (i, limb) in self.limbs().iter().enumerate() {
            let (word, shift) = (i * BITS / 64, i * BITS % 64);
            let bits = u128::from(*limb) << shift;
            words[word] |= bits as u64;
            words[word + 1] |= (bits >> 64) as u64;
        }
        Natural::from_words(&words)
    }
}

/// What the arithmetic modulo an odd number needs.
#[derive(Debug)]
pub(super) struct Prepared {
    n: Element,
    /// `n^-1 mod R`
    inverse: Element,
    /// `R mod n`
    one: Element,
    /// `R^2 mod n`
    square: Element,
}

impl Prepared {
    /// Prepares the arithmetic modulo `n`, which must be odd; `None` if the processor lacks the instructions or `n` is
    /// too long.
    pub(super) fn new(n: &Natural) -> Option<Self> {
        // One bit to spare, for sums.
        let limbs = (n.bit_len() + 1).div_ceil(BITS).next_multiple_of(LANES);
        if limbs > MOST || !limbs::available() {
            return None;
        }
        let bits = limbs * BITS;
        // n n = 1 mod 8, and each Newton step doubles the correct bits.
        let (mut inverse, mut correct) = (n.clone(), 3);
        while correct < bits {
            correct = (2 * correct).min(bits);
            let modulus = Natural::ONE << correct;
            let product = &inverse * n % &modulus;
            inverse *= modulus + 2u8 - product;
            inverse.clear_high_bits(correct);
        }
        inverse.clear_high_bits(bits);
        Some(Self {
            n: Element::new(n, limbs),
            inverse: Element::new(&inverse, limbs),
            one: Element::new(&((Natural::ONE << bits) % n), limbs),
            square: Element::new(&((Natural::ONE << (2 * bits)) % n), limbs),
        })
    }
}

/// The ring, with its scratch.
pub(super) struct Long<'a> {
    modulus: &'a Natural,
    prepared: &'a Prepared,
    /// New residues are copies of it: memory that is asked for as zeros comes from a slower part of the allocator.
    zero: Element,
    scratch: RefCell<Scratch>,
}

struct Scratch {
    columns: Columns,
    /// The product, twice as long as a residue.
    product: Vec<u64>,
    /// `m`
    multiple: Vec<u64>,
    /// The high half of `m n` with eight limbs below.
    high: Vec<u64>,
}

impl<'a> Long<'a> {
    pub(super) fn new(modulus: &'a Natural, prepared: &'a Prepared) -> Self {
        let limbs = prepared.n.limbs().len();
        let scratch = Scratch {
            columns: Columns::new(limbs),
            product: vec![0; 2 * limbs],
            multiple: vec![0; limbs],
            high: vec![0; LANES + limbs],
        };
        Self {
            modulus,
            prepared,
            zero: Element(vec![0; prepared.n.0.len()].into_boxed_slice()),
            scratch: RefCell::new(scratch),
        }
    }

    /// The residue of a product by its columns.
    fn reduced(&self, fill: impl FnOnce(&mut Columns)) -> Element {
        let scratch = &mut *self.scratch.borrow_mut();
        fill(&mut scratch.columns);
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe { scratch.columns.carry(0, &mut scratch.product) };
        let mut result = self.zero();
        self.reduce(scratch, &mut result);
        result
    }

    /// Reduces the product.
    fn reduce(&self, scratch: &mut Scratch, result: &mut Element) {
        let Scratch {
            columns,
            product,
            multiple,
            high,
        } = scratch;
        let Prepared { n, inverse, .. } = self.prepared;
        let limbs = multiple.len();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe {
            columns.multiply(&product[..limbs], &inverse.0, 0..limbs);
            columns.carry(0, multiple);
            columns.multiply(multiple, &n.0, limbs - LANES..2 * limbs);
            columns.carry(limbs - LANES, high);
            let carry = high[LANES - 1] > product[limbs - 1];
            result.limbs_mut().copy_from_slice(&product[limbs..]);
            if limbs::sub(result.limbs_mut(), &high[LANES..], carry) {
                limbs::add(result.limbs_mut(), n.limbs());
            }
        }
    }
}

impl Residues for Long<'_> {
    fn enter(&self, natural: Natural) -> Element {
        let Prepared { n, square, .. } = self.prepared;
        self.mul(&Element::new(&natural, n.limbs().len()), square)
    }
    fn leave(&self, element: Element) -> Natural {
        let one = Element::new(&Natural::ONE, element.limbs().len());
        self.mul(&element, &one).natural()
    }
    fn keep(&self, element: Element) -> Residue {
        Residue(element.0)
    }
    fn take(&self, residue: Residue) -> Element {
        Element(residue.0)
    }
    fn sum_of_products(&self, pairs: &[[&Element; 2]]) -> Element {
        // A sum below n R / 2 is reduced as a product is, and a column has room for the halves of products of `MOST`
        // limbs.
        let limbs = self.zero.limbs().len();
        let spare = limbs * BITS - self.modulus.bit_len();
        let most = (MOST / limbs).min(1 << (spare - 1).min(10));
        let sum = |pairs: &[[&Element; 2]]| {
            // SAFETY: `Prepared` exists, so the processor has the instructions.
            self.reduced(|columns| unsafe { columns.sum_of_products(pairs.iter().map(|[a, b]| [a.limbs(), &b.0])) })
        };
        let sums = pairs.chunks(most).map(sum);
        sums.reduce(|a, b| self.add(&a, &b)).unwrap_or_else(|| self.zero())
    }
    fn up_to_a_unit(&self, number: &Natural) -> Element {
        let scratch = &mut *self.scratch.borrow_mut();
        let limbs = scratch.multiple.len();
        let mut sum = self.zero();
        // From the low end on, as many limbs as the modulus has are added and the sum is divided by R.
        for from in (0..number.bit_len()).step_by(limbs * BITS) {
            let (low, high) = scratch.product.split_at_mut(limbs);
            limbs::split(number.as_words(), from, low);
            high.fill(0);
            // SAFETY: `Prepared` exists, so the processor has the instructions.
            high[0] = unsafe { limbs::add(low, sum.limbs()) }.into();
            self.reduce(scratch, &mut sum);
        }
        sum
    }
}

impl Ring for Long<'_> {
    type Element = Element;

    fn zero(&self) -> Element {
        self.zero.clone()
    }
    fn one(&self) -> Element {
        self.prepared.one.clone()
    }
    fn equal(&self, a: &Element, b: &Element) -> bool {
        a == b
    }
    fn add(&self, a: &Element, b: &Element) -> Element {
        let mut sum = a.clone();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe {
            limbs::add(sum.limbs_mut(), b.limbs());
            if limbs::sub(sum.limbs_mut(), self.prepared.n.limbs(), false) {
                limbs::add(sum.limbs_mut(), self.prepared.n.limbs());
            }
        }
        sum
    }
    fn sub(&self, a: &Element, b: &Element) -> Element {
        let mut difference = a.clone();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        unsafe {
            if limbs::sub(difference.limbs_mut(), b.limbs(), false) {
                limbs::add(difference.limbs_mut(), self.prepared.n.limbs());
            }
        }
        difference
    }
    fn mul(&self, a: &Element, b: &Element) -> Element {
        let range = 0..2 * a.limbs().len();
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        self.reduced(|columns| unsafe { columns.multiply(a.limbs(), &b.0, range) })
    }
    fn square(&self, a: &Element) -> Element {
        // SAFETY: `Prepared` exists, so the processor has the instructions.
        self.reduced(|columns| unsafe { columns.square(&a.0) })
    }
    about_the_modulus!();
}

#[cfg(test)]
mod tests {
    use super::super::large::assert_agrees;
    use super::*;
    use proptest::prelude::*;

    /// Checks everything modulo `n` against dashu; nothing where the processor lacks the instructions.
    fn check(n: &Natural, a: &Natural, b: &Natural) {
        if let Some(prepared) = Prepared::new(n) {
            assert_agrees(&Long::new(n, &prepared), n, [a, b]);
        }
    }

    #[test]
    fn edges_of_limbs_blocks_and_residues() {
        for limbs in [8, 16, 24, 32, 40, 56, 64, 72, 136, 640] {
            for bits in [limbs * BITS - 1, ((limbs - LANES) * BITS + 1).max(65)] {
                let top = Natural::ONE << (bits - 1);
                for n in [
                    Natural::ones(bits),
                    &top + 1u8,
                    Natural::ones(bits) - (Natural::ONE << (bits / 2)),
                ] {
                    let last = &n - 1u8;
                    for (a, b) in [(&last, &last), (&Natural::ZERO, &last), (&Natural::ONE, &last)] {
                        check(&n, a, b);
                    }
                    let half = Natural::ones(bits / 2) << (bits / 2 - 1);
                    check(&n, &(half % &n), &last);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_dashu(words in prop::collection::vec(any::<u64>(), 3..90), a: Vec<u64>, b: Vec<u64>, full: bool) {
            let n = Natural::from_words(&words) | Natural::ONE;
            let long = |words: &[u64]| Natural::from_words(&words.iter().map(|w| if full { w | !(w >> 9) } else { *w }).collect::<Vec<_>>());
            check(&n, &(long(&a) % &n), &(long(&b) % &n));
        }
    }
}
