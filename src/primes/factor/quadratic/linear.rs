//! From relations to a factor: which products of relations are squares (linear algebra over two elements), and what they tell.
//!
//! The matrix has a few hundred columns, so plain elimination on words takes a millisecond or two.

use super::base::Base;
use super::collector::Whole;
use crate::primes::factor::gcd;
use crate::primes::primality::ring::Ring;

/// An integer as an element of the base's ring, by doublings.
pub(super) fn element(base: &Base, a: i128) -> u128 {
    let ring = &base.ring;
    let size = a.unsigned_abs();
    let mut element = ring.zero();
    for i in (0..u128::BITS - size.leading_zeros()).rev() {
        element = ring.add(&element, &element);
        if size >> i & 1 == 1 {
            element = ring.add(&element, &ring.one());
        }
    }
    if a < 0 {
        ring.sub(&ring.zero(), &element)
    } else {
        element
    }
}

/// A proper factor, unless every square product of these relations is a trivial one.
pub(crate) fn split(base: &Base, relations: &[Whole]) -> Option<u128> {
    dependencies(base.columns(), relations).iter().find_map(|set| {
        let members = set_bits(set).map(|i| &relations[i]);
        let factor = factor_of(base, members);
        (factor > 1 && factor < base.n).then_some(factor)
    })
}

fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words
        .iter()
        .enumerate()
        .flat_map(|(w, word)| (0..64).filter(move |i| word >> i & 1 == 1).map(move |i| 64 * w + i))
}

/// Sets of relations in whose product every column's exponent is even, as bitmaps.
fn dependencies(columns: usize, relations: &[Whole]) -> Vec<Vec<u64>> {
    // A row: the parities of its exponents, then the relations that were added up to it.
    let width = columns.div_ceil(64);
    let mut rows: Vec<Vec<u64>> = relations
        .iter()
        .enumerate()
        .map(|(i, relation)| {
            let mut row = vec![0u64; width + relations.len().div_ceil(64)];
            for column in &relation.columns {
                row[usize::from(*column) / 64] ^= 1 << (column % 64);
            }
            row[width + i / 64] |= 1 << (i % 64);
            row
        })
        .collect();
    let mut pivots = 0;
    for column in 0..columns {
        let (word, bit) = (column / 64, column % 64);
        let Some(pivot) = (pivots..rows.len()).find(|r| rows[*r][word] >> bit & 1 == 1) else {
            continue;
        };
        rows.swap(pivots, pivot);
        let (above, below) = rows.split_at_mut(pivots + 1);
        let pivot = &above[pivots];
        for row in below.iter_mut().filter(|row| row[word] >> bit & 1 == 1) {
            for (a, b) in row[word..].iter_mut().zip(&pivot[word..]) {
                *a ^= b;
            }
        }
        pivots += 1;
    }
    rows.drain(pivots..).map(|row| row[width..].to_vec()).collect()
}

/// `gcd(X - Y, n)` for a set of relations whose product is a square.
fn factor_of<'a>(base: &Base, members: impl Iterator<Item = &'a Whole>) -> u128 {
    let ring = &base.ring;
    let mut exponents = vec![0u32; base.columns()];
    let (mut x, mut y) = (ring.one(), ring.one());
    for relation in members {
        x = ring.mul(&x, &relation.root);
        y = ring.mul(&y, &element(base, relation.large.into()));
        for column in &relation.columns {
            exponents[usize::from(*column)] += 1;
        }
    }
    for (column, exponent) in exponents.iter().enumerate().skip(1) {
        for _ in 0..exponent / 2 {
            y = ring.scale(&y, base.prime_of(column));
        }
    }
    // Both are in Montgomery form, which has no factor in common with n.
    gcd(ring.sub(&x, &y), base.n)
}
