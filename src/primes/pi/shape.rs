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

    /// Other parameters for `x`, for a count that verifies another: `y` is 0.7 times as large, near enough to the optimum to cost little.
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
        self.y.max(square_root(divide(self.x, self.x_star))) + 1
    }
}

/// `y / x^(1/3)`. The optimum is flat, the best of timed whole computations from 10^10 to 10^17 with AVX-512 was close to this power of `x`:
/// 9 at 10^12, 12 at 10^13, 18 at 10^14, 25 at 10^15. The tables take some 0.8 bytes for each number up to `y`, hence the bounds: above
/// `2^64` they are nearly all of the memory. It stays below 220 MB at 10^20 and below 2 GiB, the limit by default, at 10^24.
fn alpha(x: u128) -> f64 {
    let most = 50.0 * (1e20 / x as f64).powf(0.07).min(1.0);
    (9.0 * (x as f64 / 1e12).powf(0.152)).clamp(1.5, most)
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
