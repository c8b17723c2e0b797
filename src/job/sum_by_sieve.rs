//! `sum A B` of a short range: the sum of its primes, by finding each of them.
//!
//! Knows nothing of the formula for long ranges ([`super::SumByFormula`]) and of how the range is cut ([`Sieved`]).

use super::sieved::{Fold, Sieved};
use super::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::sieve::Segment;
use crate::proto::Value;

/// Adds up primes by sieving.
pub type SumBySieve = Sieved<Total>;

/// The sum of primes. Those below 2^64 add up to less than 2^123.
#[derive(Clone, Debug)]
pub struct Total;

impl SumBySieve {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        Self::by(Total, low, last)
    }
}

impl Fold for Total {
    const KIND: [u8; 4] = *b"sums";
    type Run = u128;

    fn of_segment(&self, segment: &Segment<'_>) -> u128 {
        segment.sum()
    }

    fn is_possible(run: &u128, low: u64, last: u64) -> bool {
        *run <= (u128::from(last - low) + 1) * u128::from(last)
    }

    fn join(&self, left: u128, right: u128) -> u128 {
        left.wrapping_add(right)
    }

    fn answer(&self, whole: &u128) -> Value {
        Value::Number(Natural::from(*whole))
    }

    fn restore(_: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self)
    }

    fn save_run(run: &u128, writer: &mut Writer) {
        writer.u128(*run);
    }

    fn restore_run(reader: &mut Reader<'_>) -> Result<u128, Damaged> {
        reader.u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use crate::primes::sieve::naive;
    use proptest::prelude::*;

    fn sum(low: u64, last: u64) -> Value {
        run_to_end(&mut SumBySieve::new(low, last))
    }

    #[test]
    fn sums_below_powers_of_ten_are_those_of_a046731() {
        for (exponent, expected) in (1..).zip([
            17u128,
            1060,
            76127,
            5_736_396,
            454_396_537,
            37_550_402_023,
            3_203_324_994_356,
            279_209_790_387_276,
        ]) {
            assert_eq!(sum(0, 10u64.pow(exponent) - 1), Value::Number(expected.into()));
        }
        assert_eq!(
            exercise(|| SumBySieve::new(0, 99_999_999)),
            Value::Number(279_209_790_387_276u64.into())
        );
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_primes(low in 0u64..1 << 30, length in 0u64..9000) {
            let expected: u64 = naive::primes(low, low + length).iter().sum();
            prop_assert_eq!(sum(low, low + length), Value::from(expected));
        }
    }

    #[test]
    fn the_last_primes_are_added_up_in_double_words() {
        let primes = [59u64, 83, 95, 179, 189, 257, 279].map(|below| u128::from(u64::MAX - below + 1));
        let expected: u128 = primes.iter().sum();
        assert_eq!(sum(u64::MAX - 278, u64::MAX), Value::Number(expected.into()));
    }
}
