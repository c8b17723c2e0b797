//! Sigma, seven sums: four take only powers of a few counts, three one pass over the primes up to the cube root of `x`.
//!
//! Gourdon 2001, page 4.

use super::quotient::{divide, quotient, square_root};
use super::tables::Tables;
use std::ops::Range;

/// Sigma 0 to 3, given `pi(sqrt x)`.
pub(crate) fn of_counts(tables: &Tables, pi_sqrt_x: u64) -> i128 {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as i128;
    let a = index(shape.y);
    let b = index(shape.cbrt_x);
    let c = index(shape.sieve_limit().isqrt());
    let d = index(shape.x_star);
    let zero = a - 1 + pairs(pi_sqrt_x.into()) - pairs(a);
    let one = pairs(a - b);
    let two = a * (b - c - skewed(c) + skewed(d));
    let three = squares(b) - squares(d);
    zero + one + two + three
}

/// The part of Sigma 4 to 6 from the primes with these indices; only those of `x* < p <= x^(1/3)` have one.
pub(crate) fn of_primes(tables: &Tables, primes: Range<usize>) -> i128 {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as i128;
    let pi_y = index(shape.y);
    let sqrt_xy = shape.sieve_limit().isqrt();
    let mut sum = 0;
    for b in primes.start.max(tables.index(shape.x_star) + 1)..primes.end {
        let prime = tables.prime(b);
        let xp = divide(shape.x, prime);
        let four_or_five = if prime <= sqrt_xy {
            pi_y * index(quotient(xp, shape.y))
        } else {
            index(quotient(xp, prime))
        };
        let root = index(square_root(xp));
        sum += four_or_five - root * root;
    }
    sum
}

/// `n (n - 1) / 2`.
fn pairs(n: i128) -> i128 {
    n * (n - 1) / 2
}

/// `n (n - 3) / 2`.
fn skewed(n: i128) -> i128 {
    pairs(n) - n
}

/// `n (n - 1) (2 n - 1) / 6 - n`.
fn squares(n: i128) -> i128 {
    n * (n - 1) * (2 * n - 1) / 6 - n
}
