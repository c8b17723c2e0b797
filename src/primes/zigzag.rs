//! Whole numbers near zero, of either sign, as natural numbers near zero: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4. Knows
//! nothing of what codes these.

/// `2 n`, or `-2 n - 1` of a negative `n`.
#[inline]
pub(crate) const fn fold(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The number that [`fold`] made this of.
#[inline]
pub(crate) const fn unfold(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_near_zero_stay_near_it() {
        assert_eq!([0, -1, 1, -2, 2].map(fold), [0, 1, 2, 3, 4]);
        assert_eq!([i64::MAX, i64::MIN].map(fold), [u64::MAX - 1, u64::MAX]);
    }

    proptest! {
        #[test]
        fn folded_numbers_are_unfolded(n: i64) {
            prop_assert_eq!(unfold(fold(n)), n);
        }
    }
}
