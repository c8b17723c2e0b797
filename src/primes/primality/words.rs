//! The integers modulo an odd number of some twenty to thousands of digits, in Montgomery form on words.
//!
//! Knows no test, and multiplies by [`super::products`]. Sources: P. L. Montgomery, "Modular multiplication without
//! trial division", Math. Comp. 44 (1985), section 2; for long moduli the same with blocks of words in the place of
//! words, as in R. Brent, P. Zimmermann, "Modern Computer Arithmetic" (2010), section 2.4.2.

use super::large::{Residues, about_the_modulus, inverse_modulo};
use super::products::{self, add, add_word, subtract};
use super::ring::{Ring, radix_inverse};
use super::rows::Rows;
use crate::primes::Natural;
use dashu_int::ops::{BitTest, SquareRoot};
use std::cell::RefCell;

/// From this many words on the reduction takes two steps of half of them: with 184 both ways take the same time on a
/// Zen 2, with 208 this one takes .98 of it, with 520 .79.
const BLOCK_WORDS: usize = 192;

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
    /// `-1 / n` modulo the power of 2 that has as many words as a step of the reduction makes 0.
    negative_inverse: Element,
    /// `R^2 mod n`
    square: Element,
}

impl Prepared {
    /// Prepares the arithmetic modulo `n`, which must be odd; `None` if the processor lacks the instructions.
    pub(super) fn new(n: &Natural) -> Option<Self> {
        let rows = Rows::new()?;
        let words = n.as_words().len();
        let step = if words < BLOCK_WORDS { 1 } else { words / 2 };
        Some(Self {
            rows,
            n: Element::new(n, words),
            negative_inverse: Element::new(&negative_inverse(n, 64 * step), step),
            square: Element::new(&((Natural::ONE << (2 * 64 * words)) % n), words),
        })
    }
}

/// `-1 / n` modulo `2^bits`.
fn negative_inverse(n: &Natural, bits: usize) -> Natural {
    let low = |a: Natural, bits| a.split_bits(bits).0;
    // Each Newton step doubles the correct bits.
    let (mut inverse, mut correct) = (Natural::from(radix_inverse(n.as_words()[0])), 64);
    while correct < bits {
        correct = (2 * correct).min(bits);
        let power = Natural::ONE << correct;
        let error = low(&inverse * low(n.clone(), correct), correct);
        inverse = low(inverse * (power + 2u8 - error), correct);
    }
    (Natural::ONE << bits) - inverse
}

/// The ring, with room for a product and for making it.
pub(super) struct Words<'a> {
    modulus: &'a Natural,
    prepared: &'a Prepared,
    one: Element,
    rooms: RefCell<[Vec<u64>; 2]>,
}

impl<'a> Words<'a> {
    pub(super) fn new(modulus: &'a Natural, prepared: &'a Prepared) -> Self {
        let words = prepared.n.0.len();
        let step = prepared.negative_inverse.0.len();
        let room = products::room(words).max(3 * step + products::room(step));
        let mut ring = Self {
            modulus,
            prepared,
            one: Element::new(&Natural::ONE, words),
            rooms: RefCell::new([vec![0; 2 * words], vec![0; room]]),
        };
        ring.one = ring.mul(&ring.one, &prepared.square);
        ring
    }

    /// `T / R`, `T` being what is put in the product.
    #[inline]
    fn reduced(&self, fill: impl FnOnce(Rows, &mut [u64], &mut [u64])) -> Element {
        let [product, room] = &mut *self.rooms.borrow_mut();
        let Prepared {
            rows,
            n,
            negative_inverse,
            ..
        } = self.prepared;
        fill(*rows, product, room);
        let words = n.0.len();
        let mut done = 0;
        let mut is_over = false;
        while done < words {
            let rest = &mut product[done..];
            if (words - done).is_multiple_of(negative_inverse.0.len()) && negative_inverse.0.len() > 1 {
                is_over |= add_multiple(*rows, rest, &n.0, &negative_inverse.0, room);
                done += negative_inverse.0.len();
            } else {
                let multiple = rest[0].wrapping_mul(negative_inverse.0[0]);
                let carry = rows.add(rest, &n.0, multiple);
                is_over |= add_word(&mut rest[words..], carry);
                done += 1;
            }
        }
        let mut result = Element(product[words..].into());
        subtract_if(&mut result.0, &n.0, is_over);
        result
    }
}

/// Adds the multiple of the modulus that makes the lowest words 0, as many as the inverse has; whether it carries out
/// of all words.
fn add_multiple(rows: Rows, sum: &mut [u64], n: &[u64], negative_inverse: &[u64], room: &mut [u64]) -> bool {
    let step = negative_inverse.len();
    let (multiple, room) = room.split_at_mut(step);
    let (product, room) = room.split_at_mut(2 * step);
    products::mul_low(rows, multiple, &sum[..step], negative_inverse);
    let blocks = n.chunks_exact(step);
    let last = n.len() - blocks.remainder().len();
    let mut is_over = false;
    for (i, word) in blocks.remainder().iter().enumerate() {
        let carry = rows.add(&mut sum[last + i..], multiple, *word);
        is_over |= add_word(&mut sum[last + i + step..], carry);
    }
    for (i, block) in blocks.enumerate() {
        let place = &mut sum[i * step..];
        products::mul(rows, product, multiple, block, room);
        let carry = add(&mut place[..2 * step], product);
        is_over |= add_word(&mut place[2 * step..], carry.into());
    }
    is_over
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
        self.mul(&Element::new(&natural, self.one.0.len()), &self.prepared.square)
    }
    fn leave(&self, element: Element) -> Natural {
        let words = element.0.len();
        let product = self.reduced(|_, product, _| {
            product[..words].copy_from_slice(&element.0);
            product[words..].fill(0);
        });
        Natural::from_words(&product.0)
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
        self.reduced(|rows, product, room| products::mul(rows, product, &a.0, &b.0, room))
    }
    fn square(&self, a: &Element) -> Element {
        self.reduced(|rows, product, room| products::square(rows, product, &a.0, room))
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
        for words in [1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64, 187, 192, 193] {
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
        fn long_moduli_are_reduced_in_blocks(
            words in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>()), 190..230),
        ) {
            let [n, a, b] = [0, 1, 2].map(|i| {
                Natural::from_words(&words.iter().map(|word| [word.0, word.1, word.2][i]).collect::<Vec<_>>())
            });
            let n = n | Natural::ONE;
            check(&n, &(a % &n), &(b % &n));
        }

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
