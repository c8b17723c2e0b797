//! Gourdon's parameters for one `x`: where the sums are cut from each other. Pure arithmetic, no tables.

use crate::primes::phi::TINY;

/// The parameters of Gourdon's algorithm, with `z = y` (his `c = 1`) and `k = 8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How far primes are counted.
    pub(crate) x: u64,
    /// The largest prime factor of a leaf; between the cube root and the square root of `x`.
    pub(crate) y: u64,
    /// `max(x^(1/4), x / y^2)`: above it a leaf's least prime belongs to the sum A, up to it to C and D.
    pub(crate) x_star: u64,
    /// The integer square root of `x`.
    pub(crate) sqrt_x: u64,
    /// The integer cube root of `x`.
    pub(crate) cbrt_x: u64,
}

impl Shape {
    /// How many primes are sieved by formula and not by leaves: Gourdon's `k`.
    pub(crate) const K: usize = TINY;

    /// The smallest `x` the formulas are used for: all of `19 < x^(1/4) <= x^(1/3) < y < x^(1/2)` hold.
    pub(crate) const LEAST: u64 = 1_000_000;

    /// The parameters for `x`, which is at least [`Shape::LEAST`].
    pub(crate) fn new(x: u64) -> Self {
        Self::with_alpha(x, alpha(x))
    }

    /// Other parameters for `x`, for a count that verifies another: `y` is 0.7 times as large, near enough to the optimum to cost little.
    pub(crate) fn second(x: u64) -> Self {
        Self::with_alpha(x, 0.7 * alpha(x))
    }

    /// The parameters for `x` and `y = alpha * x^(1/3)`; any `alpha` gives the same count.
    pub(crate) fn with_alpha(x: u64, alpha: f64) -> Self {
        debug_assert!(x >= Self::LEAST);
        let sqrt_x = x.isqrt();
        let cbrt_x = cube_root(x);
        let y = (cbrt_x as f64 * alpha) as u64;
        let y = y.clamp(cbrt_x + 1, sqrt_x - 1);
        // Gourdon writes x / y^2; it has to be rounded up, and to stay below y and the square root of x / y.
        let x_star = sqrt_x.isqrt().max(x.div_ceil(y * y)).min(y).min((x / y).isqrt());
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
        self.x / self.y
    }

    /// How far the small tables go: every index of a prime that is looked up lies below.
    pub(crate) fn table_limit(&self) -> u64 {
        self.y.max((self.x / self.x_star).isqrt()) + 1
    }
}

/// `y / x^(1/3)`. The optimum is flat, the best of timed whole computations from 10^10 to 10^17 with AVX-512 was close to this power of `x`:
/// 9 at 10^12, 12 at 10^13, 18 at 10^14, 25 at 10^15. The tables take some 3 bytes for each number up to `y`, hence the bound.
fn alpha(x: u64) -> f64 {
    (9.0 * (x as f64 / 1e12).powf(0.152)).clamp(1.5, 60.0)
}

/// The largest `r` with `r^3 <= x`.
pub(crate) fn cube_root(x: u64) -> u64 {
    let mut root = (x as f64).cbrt() as u64;
    let cube = |r: u64| u128::from(r) * u128::from(r) * u128::from(r);
    while cube(root) > u128::from(x) {
        root -= 1;
    }
    while cube(root + 1) <= u128::from(x) {
        root += 1;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots_are_exact_beside_cubes() {
        for r in (1..2_642_245_u64).step_by(997).chain([2_642_245]) {
            let cube = r * r * r;
            assert_eq!(cube_root(cube), r);
            assert_eq!(cube_root(cube - 1), r - 1);
            assert_eq!(cube_root(cube + 1), r);
        }
        assert_eq!(cube_root(u64::MAX), 2_642_245);
    }

    #[test]
    fn parameters_keep_their_order() {
        for exponent in 60..=192 {
            let x = if exponent == 192 {
                u64::MAX
            } else {
                10_f64.powf(f64::from(exponent) / 10.0) as u64
            };
            let shape = Shape::new(x.max(Shape::LEAST));
            assert!(shape.x_star > 19 && shape.x_star <= shape.y, "{shape:?}");
            assert!(shape.cbrt_x < shape.y && shape.y < shape.sqrt_x, "{shape:?}");
            assert!(shape.table_limit() <= shape.sqrt_x, "{shape:?}");
        }
    }
}
