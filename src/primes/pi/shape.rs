//! Gourdon's parameters for one `x`: where the sums are cut from each other. Pure arithmetic, no tables.

use super::quotient::{cube_root, divide, quotient, square_root};
use crate::primes::phi::TINY;

/// The parameters of Gourdon's algorithm, with `z = y` (his `c = 1`) and `k = 8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How far primes are counted.
    pub(crate) x: u128,
    /// The largest prime factor of a leaf; between the cube root and the square root of `x`.
    pub(crate) y: u64,
    /// `max(x^(1/4), x / y^2)`: above it a leaf's least prime belongs to the sum A, up to it to C and D.
    pub(crate) x_star: u64,
    /// The integer square root of `x`.
    pub(crate) sqrt_x: u64,
    /// The integer cube root of `x`.
    pub(crate) cbrt_x: u64,
}

/// The largest `y`: what is looked up in the tables fits 32 bits.
const MOST_Y: u64 = (1 << 32) - 2;

impl Shape {
    /// How many primes are sieved by formula and not by leaves: Gourdon's `k`.
    pub(crate) const K: usize = TINY;

    /// The smallest `x` the formulas are used for: all of `19 < x^(1/4) <= x^(1/3) < y < x^(1/2)` hold.
    pub(crate) const LEAST: u64 = 1_000_000;

    /// The largest `x`: up to it all primes that are looked up are below `2^32`.
    pub(crate) const MOST: u128 = 10_u128.pow(25);

    /// The parameters for `x`, which is at least [`Shape::LEAST`].
    pub(crate) fn new(x: u128) -> Self {
        Self::with_alpha(x, alpha(x))
    }

    /// Other parameters for `x`, for a count that verifies another: `y` is 0.7 times as large, which takes less memory.
    pub(crate) fn second(x: u128) -> Self {
        Self::with_alpha(x, 0.7 * alpha(x))
    }

    /// The parameters for `x` and `y = alpha * x^(1/3)`; any `alpha` gives the same count.
    pub(crate) fn with_alpha(x: u128, alpha: f64) -> Self {
        debug_assert!((Self::LEAST.into()..=Self::MOST).contains(&x));
        let y = (cube_root(x) as f64 * alpha) as u64;
        let (least, most) = Self::ys(x);
        Self::of(x, y.clamp(least, most))
    }

    /// The parameters for `x` and this `y`, if there are any: another machine may round `alpha` otherwise.
    pub(crate) fn with_y(x: u128, y: u64) -> Option<Self> {
        let is_count = (Self::LEAST.into()..=Self::MOST).contains(&x);
        let (least, most) = if is_count { Self::ys(x) } else { (1, 0) };
        (least..=most).contains(&y).then(|| Self::of(x, y))
    }

    /// The least and the largest `y`.
    fn ys(x: u128) -> (u64, u64) {
        (cube_root(x) + 1, (square_root(x) - 1).min(MOST_Y))
    }

    fn of(x: u128, y: u64) -> Self {
        let sqrt_x = square_root(x);
        let cbrt_x = cube_root(x);
        // Gourdon writes x / y^2; it has to be rounded up, and to stay below y and the square root of x / y.
        let x_star = sqrt_x
            .isqrt()
            .max(x.div_ceil(u128::from(y * y)) as u64)
            .min(y)
            .min(quotient(x, y).isqrt());
        Self {
            x,
            y,
            x_star,
            sqrt_x,
            cbrt_x,
        }
    }

    /// `x / y`: how far the sums B and D sieve.
    pub(crate) fn sieve_limit(&self) -> u64 {
        quotient(self.x, self.y)
    }

    /// How far the small tables go: every index of a prime that is looked up lies below.
    pub(crate) fn table_limit(&self) -> u64 {
        self.y.max(self.largest_of_a()) + 1
    }

    /// The largest prime of the leaves of A.
    fn largest_of_a(&self) -> u64 {
        square_root(divide(self.x, self.x_star))
    }

    /// Up to which number primes have reciprocals: what A needs, and C and D most often. Above `2^25`, the square root
    /// of the bound of [`near`](super::easy_sum::near), nothing is multiplied; up to `2^22` they are small.
    pub(crate) fn inverted(&self) -> u64 {
        self.largest_of_a().clamp(1 << 22, 1 << 25).min(self.table_limit())
    }
}

/// `y / x^(1/3)`. The optimum is flat, the best of timed whole computations from 10^10 to 10^17 with AVX-512 was close
/// to the first power of `x` here: 9 at 10^12, 12 at 10^13, 18 at 10^14, 25 at 10^15. The tables take some 0.7 bytes
/// for each number up to `y`: that bounds it from 10^17 on, so that a count takes no more memory than primecount's, 200
/// MB at 10^20, and less than 2 GiB, the limit by default, at 10^24.
fn alpha(x: u128) -> f64 {
    const LEAN: f64 = 24e6;
    const LARGE: f64 = 2.6e9;
    let (x, cbrt) = (x as f64, (x as f64).cbrt());
    let share = x / 1e20;
    let fast = 9.0 * (x / 1e12).powf(0.152);
    let lean = 50.0 * share.powf(if share < 1.0 { 0.16 } else { 0.11 });
    let most = (LARGE / cbrt).max(50.0 * share.powf(-0.07));
    fast.min(lean.min(most).max(LEAN / cbrt)).max(1.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_keep_their_order() {
        for exponent in 60..=250 {
            let x = 10_f64.powf(f64::from(exponent) / 10.0) as u128;
            let shape = Shape::new(x.clamp(Shape::LEAST.into(), Shape::MOST));
            assert!(shape.x_star > 19 && shape.x_star <= shape.y, "{shape:?}");
            assert!(shape.cbrt_x < shape.y && shape.y < shape.sqrt_x, "{shape:?}");
            assert!(shape.table_limit() <= shape.sqrt_x.min(1 << 32), "{shape:?}");
            assert!(shape.sieve_limit() < 1 << 61, "{shape:?}");
        }
    }
}
