//! Sigma, seven sums: four take only powers of a few counts, three one pass over the primes up to the cube root of `x`.
//!
//! Gourdon 2001, page 4; all modulo 2^64.

use super::tables::Tables;
use std::ops::Range;

/// Sigma 0 to 3, given `pi(sqrt x)`.
pub(crate) fn of_counts(tables: &Tables, pi_sqrt_x: u64) -> u64 {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as u64;
    let a = index(shape.y);
    let b = index(shape.cbrt_x);
    let c = index((shape.x / shape.y).isqrt());
    let d = index(shape.x_star);
    let zero = (a - 1).wrapping_add(pairs(pi_sqrt_x)).wrapping_sub(pairs(a));
    let one = pairs(a - b);
    let two = a.wrapping_mul(b.wrapping_sub(c).wrapping_sub(skewed(c)).wrapping_add(skewed(d)));
    let three = squares(b).wrapping_sub(squares(d));
    zero.wrapping_add(one).wrapping_add(two).wrapping_add(three)
}

/// The part of Sigma 4 to 6 from the primes with these indices; only those of `x* < p <= x^(1/3)` have one.
pub(crate) fn of_primes(tables: &Tables, primes: Range<usize>) -> u64 {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as u64;
    let pi_y = index(shape.y);
    let sqrt_xy = (shape.x / shape.y).isqrt();
    let mut sum = 0_u64;
    for b in primes.start.max(tables.index(shape.x_star) + 1)..primes.end {
        let prime = tables.prime(b);
        let xp = shape.x / prime;
        let four_or_five = if prime <= sqrt_xy {
            pi_y.wrapping_mul(index(xp / shape.y))
        } else {
            index(xp / prime)
        };
        let root = index(xp.isqrt());
        sum = sum.wrapping_add(four_or_five).wrapping_sub(root.wrapping_mul(root));
    }
    sum
}

/// `n (n - 1) / 2`.
fn pairs(n: u64) -> u64 {
    let n = u128::from(n);
    (n * n.saturating_sub(1) / 2) as u64
}

/// `n (n - 3) / 2`, modulo 2^64.
fn skewed(n: u64) -> u64 {
    pairs(n).wrapping_sub(n)
}

/// `n (n - 1) (2 n - 1) / 6 - n`, modulo 2^64.
fn squares(n: u64) -> u64 {
    let n = u128::from(n);
    (n * n.saturating_sub(1) * (2 * n).saturating_sub(1) / 6).wrapping_sub(n) as u64
}
