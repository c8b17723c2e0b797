//! `pi(x)` for small `x`, by a table made once.

use super::shape::Shape;
use super::table::PiTable;
use crate::primes::sieve::primes_up_to;
use std::sync::OnceLock;

/// `pi(x)` for `x` below [`Shape::LEAST`]. The first call makes a table of 125 KB in about a millisecond.
pub(crate) fn pi(x: u64) -> u64 {
    static TABLE: OnceLock<PiTable> = OnceLock::new();
    TABLE
        .get_or_init(|| PiTable::sieve(0, Shape::LEAST, 0, &primes_up_to(Shape::LEAST.isqrt() as u32)))
        .pi(x)
}
