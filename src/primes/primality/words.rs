//! The integers modulo an odd number of some twenty to some thousands of digits, in Montgomery form on words, a row of
//! the product at a time ([`rows`]).
//!
//! Knows no test. Source: P. L. Montgomery, "Modular multiplication without trial division", Math. Comp. 44 (1985),
//! section 2.
//!
//! Unsafe: calls of the function of [`rows`], for which a modulus exists only where the processor has the instructions.
#![allow(unsafe_code)]

use super::large::{Residues, about_the_modulus, inverse_modulo};
use super::ring::Ring;
use super::rows;
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
    n: Element,
    /// `-1 / n` modulo `2^64`
    negative_inverse: u64,
    /// `R^2 mod n`
    square: Element,
}

impl Prepared {
    /// Prepares the arithmetic modulo `n`, which must be odd; `None` if the processor lacks the instructions.
    pub(super) fn new(n: &Natural) -> Option<Self> {
        if !rows::available() {
            return None;
        }
        let words = n.as_words().len();
        let low = n.as_words()[0];
        // n n = 1 mod 8, and each Newton step doubles the correct bits.
        let inverse = (0..5).fold(low, |inverse, _| {
            inverse.wrapping_mul(2u64.wrapping_sub(low.wrapping_mul(inverse)))
        });
        Some(Self {
            n: Element::new(n, words),
            negative_inverse: inverse.wrapping_neg(),
            square: Element::new(&((Natural::ONE << (2 * 64 * words)) % n), words),
        })
    }
}

/// The ring, with room for a product.
pub(super) struct Words<'a> {
    modulus: &'a Natural,
    prepared: &'a Prepared,
    one: Element,
    product: RefCell<Vec<u64>>,
}

impl<'a> Words<'a> {
    pub(super) fn new(modulus: &'a Natural, prepared: &'a Prepared) -> Self {
        let words = prepared.n.0.len();
        let mut ring = Self {
            modulus,
            prepared,
            one: Element::new(&Natural::ONE, words),
            product: RefCell::new(vec![0; 2 * words]),
        };
        ring.one = ring.mul(&ring.one, &prepared.square);
        ring
    }

    /// `T / R`, `T` being what is put in the product, which is 0 before.
    #[inline]
    fn reduced(&self, fill: impl FnOnce(&mut [u64])) -> Element {
        let product = &mut *self.product.borrow_mut();
        let Prepared {
            n, negative_inverse, ..
        } = self.prepared;
        let words = n.0.len();
        product.fill(0);
        fill(product);
        let mut is_over = false;
        for i in 0..words {
            let multiple = product[i].wrapping_mul(*negative_inverse);
            // SAFETY: `Prepared` exists, so the processor has the instructions.
            let carry = unsafe { rows::add(&mut product[i..], &n.0, multiple) };
            let (sum, first) = product[i + words].overflowing_add(carry);
            let (sum, second) = sum.overflowing_add(is_over.into());
            product[i + words] = sum;
            is_over = first || second;
        }
        let mut result = Element(product[words..].into());
        subtract_if(&mut result.0, &n.0, is_over);
        result
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

/// `a -= b`; whether it borrows.
#[inline]
fn subtract(a: &mut [u64], b: &[u64]) -> bool {
    a.iter_mut().zip(b).fold(false, |borrow, (a, b)| {
        let (difference, first) = a.overflowing_sub(*b);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        *a = difference;
        first || second
    })
}

/// `a += b`; whether it carries.
#[inline]
fn add(a: &mut [u64], b: &[u64]) -> bool {
    a.iter_mut().zip(b).fold(false, |carry, (a, b)| {
        let (sum, first) = a.overflowing_add(*b);
        let (sum, second) = sum.overflowing_add(carry.into());
        *a = sum;
        first || second
    })
}

impl Residues for Words<'_> {
    fn enter(&self, natural: Natural) -> Element {
        self.mul(&Element::new(&natural, self.one.0.len()), &self.prepared.square)
    }
    fn leave(&self, element: Element) -> Natural {
        let words = element.0.len();
        Natural::from_words(&self.reduced(|product| product[..words].copy_from_slice(&element.0)).0)
    }
}

impl Ring for Words<'_> {
    type Element = Element;

    fn zero(&self) -> Element {
        Element(vec![0; self.one.0.len()].into_boxed_slice())
    }
    fn one(&self) -> Element {
        self.one.clone()
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
        let words = a.0.len();
        self.reduced(|product| {
            for (i, word) in b.0.iter().enumerate() {
                // SAFETY: `Prepared` exists, so the processor has the instructions.
                product[i + words] = unsafe { rows::add(&mut product[i..], &a.0, *word) };
            }
        })
    }
    fn square(&self, a: &Element) -> Element {
        let words = a.0.len();
        self.reduced(|product| {
            for (i, word) in a.0.iter().enumerate() {
                // SAFETY: `Prepared` exists, so the processor has the instructions.
                product[i + words] = unsafe { rows::add(&mut product[2 * i + 1..], &a.0[i + 1..], *word) };
            }
            // Twice that, and the squares of the words.
            let (mut bit, mut carry) = (0, false);
            for (pair, word) in product.chunks_exact_mut(2).zip(&a.0) {
                let sum = u128::from(pair[1]) << 64 | u128::from(pair[0]);
                let (twice, next_bit) = (sum << 1 | bit, sum >> 127);
                let (sum, first) = twice.overflowing_add(u128::from(*word) * u128::from(*word));
                let (sum, second) = sum.overflowing_add(carry.into());
                (pair[0], pair[1]) = (sum as u64, (sum >> 64) as u64);
                (bit, carry) = (next_bit, first || second);
            }
        })
    }
    fn inverse(&self, k: i32) -> Option<Element> {
        inverse_modulo(self.modulus, k).map(|inverse| self.enter(inverse))
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
