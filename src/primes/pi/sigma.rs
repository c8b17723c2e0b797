//! The sums Sigma 0 to 6: what takes only powers of a few counts, and one pass over the primes up to the cube root of `x`.
//!
//! Gourdon 2001, page 4; all modulo 2^64.

use super::tables::Tables;

/// `Sigma(x, y)`, given `pi(sqrt x)`.
pub(crate) fn sigma(tables: &Tables, pi_sqrt_x: u64) -> u64 {
    let shape = &tables.shape;
    let index = |n: u64| tables.index(n) as u64;
    let a = index(shape.y);
    let b = index(shape.cbrt_x);
    let sqrt_xy = (shape.x / shape.y).isqrt();
    let c = index(sqrt_xy);
    let d = index(shape.x_star);

    let zero = (a.wrapping_sub(1))
        .wrapping_add(pairs(pi_sqrt_x))
        .wrapping_sub(pairs(a));
    let one = pairs(a - b);
    // n (n - 3) / 2, which is an integer for every n.
    let skewed = |n: u64| (u128::from(n) * u128::from(n) / 2) as i64 - (3 * n as i64 - (n as i64 & 1)) / 2;
    let two = a.wrapping_mul((b as i64 - c as i64 - skewed(c) + skewed(d)) as u64);
    // n (n - 1) (2 n - 1) / 6 - n
    let squares = |n: u64| ((u128::from(n) * u128::from(n - 1) * u128::from(2 * n - 1) / 6) as u64).wrapping_sub(n);
    let three = squares(b).wrapping_sub(squares(d));

    let (mut four, mut five, mut six) = (0_u64, 0_u64, 0_u64);
    for &prime in &tables.primes[d as usize + 1..=b as usize] {
        let prime = u64::from(prime);
        let xp = shape.x / prime;
        if prime <= sqrt_xy {
            four += index(xp / shape.y);
        } else {
            five += index(xp / prime);
        }
        let root = index(xp.isqrt());
        six = six.wrapping_add(root * root);
    }
    zero.wrapping_add(one)
        .wrapping_add(two)
        .wrapping_add(three)
        .wrapping_add(a.wrapping_mul(four))
        .wrapping_add(five)
        .wrapping_sub(six)
}

/// `n (n - 1) / 2`.
fn pairs(n: u64) -> u64 {
    (u128::from(n) * u128::from(n.wrapping_sub(1)) / 2) as u64
}
