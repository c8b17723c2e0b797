//! Products of numbers of many words: by rows, and where they are longer by three products of halves (A. Karatsuba,
//! Yu. Ofman, "Multiplication of many-digital numbers by automatic computers", Doklady Akad. Nauk SSSR 145 (1962)).
//!
//! Knows no modulus: [`super::words`] reduces. A product of `n` words takes room for `2 n` more ([`room`]).

use super::rows::Rows;

/// From this many words on three products of halves are faster: one of 40 takes .94 of the time of rows on a Zen 2, one
/// of 104 .74, one of 520 .40.
const MUL_WORDS: usize = 32;

/// The same for squares, whose rows have half of the work: one of 80 takes .96 of the time, one of 104 .91, one of 520
/// .56.
const SQUARE_WORDS: usize = 72;

/// How many words a product of `words` words takes beside the result.
pub(super) fn room(words: usize) -> usize {
    2 * words
}

/// `a b`, both equally long.
pub(super) fn mul(rows: Rows, product: &mut [u64], a: &[u64], b: &[u64], room: &mut [u64]) {
    let words = a.len();
    if words < MUL_WORDS {
        return mul_by_rows(rows, product, a, b);
    }
    if !words.is_multiple_of(2) {
        let last = words - 1;
        mul(rows, &mut product[..2 * last], &a[..last], &b[..last], room);
        product[2 * last] = rows.add(&mut product[last..], &a[..last], b[last]);
        product[2 * last + 1] = rows.add(&mut product[last..], b, a[last]);
        return;
    }
    let half = words / 2;
    let ((a_low, a_high), (b_low, b_high)) = (a.split_at(half), b.split_at(half));
    let (middle, room) = room.split_at_mut(words);
    let (a_distance, b_distance) = product[..words].split_at_mut(half);
    let is_negative = distance(a_distance, a_low, a_high) != distance(b_distance, b_low, b_high);
    mul(rows, middle, a_distance, b_distance, room);
    mul(rows, &mut product[..words], a_low, b_low, room);
    mul(rows, &mut product[words..], a_high, b_high, room);
    add_middle(product, middle, !is_negative, room);
}

/// `a a`
pub(super) fn square(rows: Rows, product: &mut [u64], a: &[u64], room: &mut [u64]) {
    let words = a.len();
    if words < SQUARE_WORDS {
        return square_by_rows(rows, product, a);
    }
    if !words.is_multiple_of(2) {
        let last = words - 1;
        square(rows, &mut product[..2 * last], &a[..last], room);
        product[2 * last] = rows.add(&mut product[last..], &a[..last], a[last]);
        product[2 * last + 1] = rows.add(&mut product[last..], a, a[last]);
        return;
    }
    let half = words / 2;
    let (low, high) = a.split_at(half);
    let (middle, room) = room.split_at_mut(words);
    distance(&mut product[..half], low, high);
    square(rows, middle, &product[..half], room);
    square(rows, &mut product[..words], low, room);
    square(rows, &mut product[words..], high, room);
    add_middle(product, middle, true, room);
}

fn mul_by_rows(rows: Rows, product: &mut [u64], a: &[u64], b: &[u64]) {
    let words = a.len();
    product[..words].fill(0);
    for (i, word) in b.iter().enumerate() {
        product[i + words] = rows.add(&mut product[i..], a, *word);
    }
}

fn square_by_rows(rows: Rows, product: &mut [u64], a: &[u64]) {
    let words = a.len();
    product[..2 * words].fill(0);
    for (i, word) in a.iter().enumerate() {
        product[i + words] = rows.add(&mut product[2 * i + 1..], &a[i + 1..], *word);
    }
    // Twice that, and the squares of the words.
    let (mut bit, mut carry) = (0, false);
    for (pair, word) in product.chunks_exact_mut(2).zip(a) {
        let sum = u128::from(pair[1]) << 64 | u128::from(pair[0]);
        let (twice, next_bit) = (sum << 1 | bit, sum >> 127);
        let (sum, first) = twice.overflowing_add(u128::from(*word) * u128::from(*word));
        let (sum, second) = sum.overflowing_add(carry.into());
        (pair[0], pair[1]) = (sum as u64, (sum >> 64) as u64);
        (bit, carry) = (next_bit, first || second);
    }
}

/// Adds `low + high - difference` (`+` if not `is_less`) in the middle of a product that has `low` and `high`.
fn add_middle(product: &mut [u64], difference: &[u64], is_less: bool, room: &mut [u64]) {
    let words = difference.len();
    let middle = &mut room[..words];
    middle.copy_from_slice(&product[..words]);
    let mut top = u64::from(add(middle, &product[words..]));
    // The middle is a product of halves or two of them, so it is not negative.
    if is_less {
        top -= u64::from(subtract(middle, difference));
    } else {
        top += u64::from(add(middle, difference));
    }
    let half = words / 2;
    top += u64::from(add(&mut product[half..half + words], middle));
    add_word(&mut product[half + words..], top);
}

/// `|a - b|`; whether `a` is less.
fn distance(difference: &mut [u64], a: &[u64], b: &[u64]) -> bool {
    let is_less = a.iter().rev().lt(b.iter().rev());
    let (larger, smaller) = if is_less { (b, a) } else { (a, b) };
    difference.copy_from_slice(larger);
    subtract(difference, smaller);
    is_less
}

/// `a -= b`, both equally long; whether it borrows.
#[inline]
pub(super) fn subtract(a: &mut [u64], b: &[u64]) -> bool {
    word_by_word(a, b, u64::borrowing_sub)
}

/// `a += b`, both equally long; whether it carries.
#[inline]
pub(super) fn add(a: &mut [u64], b: &[u64]) -> bool {
    word_by_word(a, b, u64::carrying_add)
}

/// Eight words at a time: only so does the compiler keep the carry in its flag, which takes two thirds of the time.
#[inline]
fn word_by_word(a: &mut [u64], b: &[u64], step: impl Fn(u64, u64, bool) -> (u64, bool)) -> bool {
    debug_assert_eq!(a.len(), b.len());
    let mut carry = false;
    let (eights, rest) = a.as_chunks_mut::<8>();
    let (eights_of_b, rest_of_b) = b.as_chunks::<8>();
    for (a, b) in eights.iter_mut().zip(eights_of_b) {
        for (a, b) in a.iter_mut().zip(b) {
            (*a, carry) = step(*a, *b, carry);
        }
    }
    for (a, b) in rest.iter_mut().zip(rest_of_b) {
        (*a, carry) = step(*a, *b, carry);
    }
    carry
}

/// `a += word`; whether it carries.
#[inline]
pub(super) fn add_word(a: &mut [u64], word: u64) -> bool {
    let mut carry = word;
    for a in a {
        if carry == 0 {
            return false;
        }
        let (sum, is_over) = a.overflowing_add(carry);
        (*a, carry) = (sum, is_over.into());
    }
    carry != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::Natural;
    use proptest::prelude::*;

    /// Checks all products against dashu; nothing where the processor lacks the instructions.
    fn check(a: &[u64], b: &[u64]) {
        let Some(rows) = Rows::new() else { return };
        let words = a.len();
        let (x, y) = (Natural::from_words(a), Natural::from_words(b));
        // What is there before does not matter.
        let (mut product, mut room) = (vec![7; 2 * words], vec![9; room(words)]);
        mul(rows, &mut product, a, b, &mut room);
        assert_eq!(Natural::from_words(&product), &x * &y);
        square(rows, &mut product, a, &mut room);
        assert_eq!(Natural::from_words(&product), &x * &x);
    }

    #[test]
    fn the_edges_of_words_and_lengths() {
        for words in (1..12).chain([31, 32, 33, 64, 67, 71, 72, 73, 144, 161, 322]) {
            let [zeros, ones] = [0, u64::MAX].map(|word| vec![word; words]);
            let (mut low, mut high) = (zeros.clone(), zeros.clone());
            low[..words / 2].fill(u64::MAX);
            high[words / 2..].fill(u64::MAX);
            for a in [&zeros, &ones, &low, &high] {
                for b in [&zeros, &ones, &low, &high] {
                    check(a, b);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn products_agree_with_dashu(words in prop::collection::vec((any::<u64>(), any::<u64>()), 1..200)) {
            let (a, b): (Vec<u64>, Vec<u64>) = words.into_iter().unzip();
            check(&a, &b);
        }
    }
}
