//! Quotients and roots of `x` and of what a prime leaves of it: up to 128 bits, but words wherever they fit one.
//!
//! Knows no sum. A [`Dividend`] is an `x / p` that is divided by many numbers.

/// `n / d`.
#[inline]
pub(crate) fn divide(n: u128, d: u64) -> u128 {
    match u64::try_from(n) {
        Ok(n) => u128::from(n / d),
        Err(_) => n / u128::from(d),
    }
}

/// `n / d`, or the largest word if that is less: where quotients are only compared with smaller numbers, or known to be
/// words.
#[inline]
pub(crate) fn quotient(n: u128, d: u64) -> u64 {
    match u64::try_from(n) {
        Ok(n) => n / d,
        Err(_) => u64::try_from(n / u128::from(d)).unwrap_or(u64::MAX),
    }
}

/// The largest `r` with `r^2 <= n`.
#[inline]
pub(crate) fn square_root(n: u128) -> u64 {
    match u64::try_from(n) {
        Ok(n) => n.isqrt(),
        Err(_) => corrected((n as f64).sqrt(), |root| root * root <= n),
    }
}

/// The largest `r` with `r^3 <= n`, for `n` below `2^120`.
pub(crate) fn cube_root(n: u128) -> u64 {
    corrected((n as f64).cbrt(), |root| root * root * root <= n)
}

/// The largest number that is `low` enough, from one close to it.
fn corrected(close: f64, low: impl Fn(u128) -> bool) -> u64 {
    let mut root = close as u128;
    while !low(root) {
        root -= 1;
    }
    while low(root + 1) {
        root += 1;
    }
    root as u64
}

/// A number below `2^100` as an integer and as the sum of two doubles.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Dividend {
    pub(crate) value: u128,
    /// The nearest double.
    pub(crate) high: f64,
    /// What that leaves: an integer of at most `2^46`.
    pub(crate) low: f64,
}

impl Dividend {
    /// What is less than this in absolute value, together with [`Dividend::low`], is exact: `2^53 - 2^46`.
    pub(crate) const EXACT: u64 = (1 << 53) - (1 << 46);

    pub(crate) fn new(value: u128) -> Self {
        debug_assert!(value < 1 << 100);
        let high = value as f64;
        Self {
            value,
            high,
            low: value.wrapping_sub(high as u128) as i128 as f64,
        }
    }

    /// The lowest 64 bits.
    #[inline]
    pub(crate) fn word(&self) -> u64 {
        self.value as u64
    }

    /// `self / d`, but no more than `most`, which is below `2^50`; given `1.0 / d`, `d` below `2^61`.
    ///
    /// The product of doubles is wrong by less than a `2^51`th of the quotient. Where that is not far above `most` it
    /// is off by one at the worst, which the rest says, and the rest is between `-2 d` and `2 d`, so its lowest 64 bits
    /// suffice.
    #[inline]
    pub(crate) fn at_most(&self, d: u64, reciprocal: f64, most: u64) -> u64 {
        let estimate = self.high * reciprocal;
        if estimate >= 2.0 * most as f64 {
            return most;
        }
        let close = estimate as u64;
        let rest = self.word().wrapping_sub(close.wrapping_mul(d)) as i64;
        let exact = if rest < 0 {
            close - 1
        } else {
            close + u64::from(rest as u64 >= d)
        };
        exact.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cube_roots_are_exact_beside_cubes() {
        for r in (1..2_642_245_u128)
            .step_by(997)
            .chain([2_642_245, 1 << 28, 0x1f_ffff_ffff])
        {
            let cube = r * r * r;
            assert_eq!(u128::from(cube_root(cube)), r);
            assert_eq!(u128::from(cube_root(cube - 1)), r - 1);
            assert_eq!(u128::from(cube_root(cube + 1)), r);
        }
        assert_eq!(cube_root(u64::MAX.into()), 2_642_245);
    }

    proptest! {
        #[test]
        fn square_roots_are_exact_beside_squares(root in 1_u64.., shift in 0_u32..60) {
            let root = (root >> shift).max(1);
            let square = u128::from(root) * u128::from(root);
            prop_assert_eq!(square_root(square), root);
            prop_assert_eq!(square_root(square - 1), root - 1);
        }

        #[test]
        fn a_dividend_is_divided_exactly(n in 0_u128..1 << 100, shift in 0_u32..90, d in 1_u64..1 << 61, d_shift in 0_u32..61, most in 0_u64..1 << 40) {
            let (n, d) = (n >> shift, (d >> d_shift).max(1));
            let dividend = Dividend::new(n);
            prop_assert!(dividend.low.abs() <= (1_u64 << 46) as f64);
            prop_assert_eq!((dividend.high as i128 + dividend.low as i128) as u128, n);
            let expected = (n / u128::from(d)).min(most.into()) as u64;
            prop_assert_eq!(dividend.at_most(d, 1.0 / d as f64, most), expected);
            prop_assert_eq!(divide(n, d), n / u128::from(d));
            prop_assert_eq!(quotient(n, d), u64::try_from(n / u128::from(d)).unwrap_or(u64::MAX));
        }

        #[test]
        fn a_dividend_is_divided_exactly_beside_multiples(q in 0_u64..1 << 40, d in 1_u64..1 << 60, off in 0_u128..3) {
            let n = (u128::from(q) * u128::from(d) + off).saturating_sub(1);
            prop_assert_eq!(Dividend::new(n).at_most(d, 1.0 / d as f64, 1 << 41), (n / u128::from(d)) as u64);
        }
    }
}
