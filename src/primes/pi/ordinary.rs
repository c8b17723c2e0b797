//! Phi0, the ordinary leaves: the sum of `mu(n) phi(x / n, 8)` over the square-free `n <= y` without a prime factor up
//! to 19.
//!
//! Gourdon 2001, page 3. With `z = y` every such `n` has an entry in the factor table, so one pass over that finds them
//! all.

use super::factor::{index_after, number, threshold};
use super::quotient::divide;
use super::shape::Shape;
use super::tables::Tables;
use crate::primes::phi::phi_tiny;
use std::ops::Range;

/// The leaf `n = 1`.
pub(crate) fn root(tables: &Tables) -> i128 {
    phi_tiny(tables.shape.x) as i128
}

/// The indices of the factor table that hold the leaves `n > 1`: after the first [`Shape::K`] primes, whose entries say
/// only "prime".
pub(crate) fn indices(tables: &Tables) -> Range<usize> {
    index_after(tables.prime(Shape::K))..index_after(tables.shape.y)
}

/// The part of Phi0 from these indices.
pub(crate) fn sum(tables: &Tables, indices: Range<usize>) -> i128 {
    let least = threshold(Shape::K);
    let mut sum = 0;
    for (&entry, index) in tables.factors.entries()[indices.clone()].iter().zip(indices) {
        if entry > least {
            let phi = phi_tiny(divide(tables.shape.x, number(index))) as i128;
            sum += if entry & 1 == 0 { phi } else { -phi };
        }
    }
    sum
}
