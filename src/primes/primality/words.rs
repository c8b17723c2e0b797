//! The integers modulo an odd number of some twenty to some thousands of digits, in Montgomery form on words.
//!
//! Knows no test, and multiplies by [`super::products`]. Source: P. L. Montgomery, "Modular multiplication without
//! trial division", Math. Comp. 44 (1985), section 2.

use super::large::{Residue, Residues, about_the_modulus};
use super::products::{self, add, add_word, subtract};
use super::ring::{Ring, radix_inverse};
use super::rows::Rows;
use crate::primes::Natural;
use dashu_int::ops::{BitTest, SquareRoot};
use std::cell::RefCell;

/// A residue.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Element(Box<[u64]>);

impl Element {
    fn new(n: &Natural, words: usize) -> Self {
        let mut padded = vec![0; words].into_boxed_slice();
        let own = n.as_words();
        padded[..own.len()].copy_from_slice(own);
        Self(padded)
    }
}

/// What the arithmetic modulo an odd number needs.
#[derive(Debug)]
pub(super) struct Prepared {
    rows: Rows,
    n: Element,
    /// `-1 / n` modulo a word.
    negative_inverse: u64,
    /// `R mod n`
    one: Element,
    /// `R^2 mod n`
    square: Element,
}

impl Prepared {
    /// Prepares the arithmetic modulo `n`, which must be odd; `None` if the processor lacks the instructions.
    pub(super) fn new(n: &Natural) -> Option<Self> {
        let rows = Rows::new()?;
        let words = n.as_words().len();
        Some(Self {
            rows,
            n: Element::new(n, words),
            negative_inverse: radix_inverse(n.as_words()[0]).wrapping_neg(),
            one: Element::new(&((Natural::ONE << (64 * words)) % n), words),
            square: Element::new(&((Natural::ONE << (2 * 64 * words)) % n), words),
        })
    }
}

/// The ring, with room for a product and for making it.
pub(super) struct Words<'a> {
    modulus: &'a Natural,
    prepared: &'a Prepared,
    rooms: RefCell<[Vec<u64>; 2]>,
}

impl<'a> Words<'a> {
    pub(super) fn new(modulus: &'a Natural, prepared: &'a Prepared) -> Self {
        let words = prepared.n.0.len();
        Self {
            modulus,
            prepared,
            rooms: RefCell::new([vec![0; 2 * words], vec![0; products::room(words)]]),
        }
    }

    /// `T / R`, `T` being what is put in the product.
    #[inline]
    fn reduced(&self, fill: impl FnOnce(Rows, &mut [u64], &mut [u64])) -> Element {
        let [product, room] = &mut *self.rooms.borrow_mut();
        fill(self.prepared.rows, product, room);
        let is_over = self.reduce(product);
        let n = &self.prepared.n.0;
        let mut result = Element(product[n.len()..].into());
        subtract_if(&mut result.0, n, is_over);
        result
    }

    /// Replaces the high half of `T` by `(T + m n) / R` with the `m` below `R` that makes it whole; whether that is
    /// longer by a bit.
    #[inline]
    fn reduce(&self, product: &mut [u64]) -> bool {
        let Prepared {
            rows,
            n,
            negative_inverse,
            ..
        } = self.prepared;
        let words = n.0.len();
        let mut is_over = false;
        for done in 0..words {
            let rest = &mut product[done..];
            let multiple = rest[0].wrapping_mul(*negative_inverse);
            let carry = rows.add(rest, &n.0, multiple);
            is_over |= add_word(&mut rest[words..], carry);
        }
        is_over
    }
}

/// Subtracts the modulus from a sum below twice of it; `is_over` if the sum is longer than the modulus by a bit.
#[inline]
fn subtract_if(sum: &mut [u64], modulus: &[u64], is_over: bool) {
    let is_less = || sum.iter().rev().lt(modulus.iter().rev());
    if is_over || !is_less() {
        subtract(sum, modulus);
    }
}

impl Residues for Words<'_> {
    fn enter(&self, natural: Natural) -> Element {
        let Prepared { n, square, .. } = self.prepared;
        self.mul(&Element::new(&natural, n.0.len()), square)
    }
    fn leave(&self, element: Element) -> Natural {
        let words = element.0.len();
        let product = self.reduced(|_, product, _| {
            product[..words].copy_from_slice(&element.0);
            product[words..].fill(0);
        });
        Natural::from_words(&product.0)
    }
    fn keep(&self, element: Element) -> Residue {
        Residue(element.0)
    }
    fn take(&self, residue: Residue) -> Element {
        Element(residue.0)
    }
    fn sum_of_products(&self, pairs: &[[&Element; 2]]) -> Element {
        let n = &self.prepared.n.0;
        let mut sum = vec![0; 2 * n.len() + 1];
        let [product, room] = &mut *self.rooms.borrow_mut();
        for [a, b] in pairs {
            products::mul(self.prepared.rows, product, &a.0, &b.0, room);
            let (low, high) = sum.split_at_mut(2 * n.len());
            high[0] += u64::from(add(low, product));
        }
        // One word more than a product has, so nothing is over: it is at most n for each pair and one.
        self.reduce(&mut sum);
        let (result, top) = sum[n.len()..].split_at_mut(n.len());
        while top[0] > 0 {
            top[0] -= u64::from(subtract(result, n));
        }
        while !result.iter().rev().lt(n.iter().rev()) {
            subtract(result, n);
        }
        Element((*result).into())
    }
    fn up_to_a_unit(&self, number: &Natural) -> Element {
        // From the low end on, as many words as the modulus has are added and the sum is divided by R.
        let add_words = |sum: Element, chunk: &[u64]| {
            self.reduced(|_, product, _| {
                let (low, high) = product.split_at_mut(sum.0.len());
                let (own, rest) = low.split_at_mut(chunk.len());
                own.copy_from_slice(chunk);
                rest.fill(0);
                high.fill(0);
                high[0] = add(low, &sum.0).into();
            })
        };
        number
            .as_words()
            .chunks(self.prepared.n.0.len())
            .fold(self.zero(), add_words)
    }
}

impl Ring for Words<'_> {
    type Element = Element;

    fn zero(&self) -> Element {
        Element(vec![0; self.prepared.n.0.len()].into_boxed_slice())
    }
    fn one(&self) -> Element {
        self.prepared.one.clone()
    }
    fn equal(&self, a: &Element, b: &Element) -> bool {
        a == b
    }
    fn add(&self, a: &Element, b: &Element) -> Element {
        let mut sum = a.clone();
        let is_over = add(&mut sum.0, &b.0);
        subtract_if(&mut sum.0, &self.prepared.n.0, is_over);
        sum
    }
    fn sub(&self, a: &Element, b: &Element) -> Element {
        let mut difference = a.clone();
        if subtract(&mut difference.0, &b.0) {
            add(&mut difference.0, &self.prepared.n.0);
        }
        difference
    }
    fn mul(&self, a: &Element, b: &Element) -> Element {
        self.reduced(|rows, product, room| products::mul(rows, product, &a.0, &b.0, room))
    }
    fn square(&self, a: &Element) -> Element {
        self.reduced(|rows, product, room| products::square(rows, product, &a.0, room))
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
            assert_agrees(&Words::new(n, &prepared), n, [a, b]);
        }
    }

    #[test]
    fn edges_of_words_and_residues() {
        for words in [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 187] {
            let bits = 64 * words;
            let all = Natural::ones(bits);
            for n in [
                all.clone(),
                &all - 2u8,
                &all - (Natural::ONE << (bits - 1)),
                (Natural::ONE << (bits - 1)) + 1u8,
                (Natural::ONE << (bits - 64)) + 1u8 + (Natural::ONE << (bits - 64)),
            ] {
                let edges = [0u8.into(), 1u8.into(), &n - 1u8, &n - 2u8, &n >> 1, (&n >> 1) + 1u8];
                for a in &edges {
                    for b in &edges {
                        if a < &n && b < &n {
                            check(&n, a, b);
                        }
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn products_agree_with_dashu(
            n in prop::collection::vec(any::<u64>(), 2..70),
            a in prop::collection::vec(any::<u64>(), 2..70),
            b in prop::collection::vec(any::<u64>(), 2..70),
        ) {
            let n = Natural::from_words(&n) | Natural::ONE;
            if n > Natural::ONE {
                check(&n, &(Natural::from_words(&a) % &n), &(Natural::from_words(&b) % &n));
            }
        }
    }
}
