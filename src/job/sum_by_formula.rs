//! The plan of `sum A B` for ranges so long that it is faster to add up the primes up to both ends.
//!
//! Knows neither how primes are added up nor how they are sieved; it only compares what both are expected to cost.

use super::by_ends::{ByEnds, UpTo};
use super::sum_to::SumTo;
use crate::primes::sieve::Sieve;
use crate::primes::sum::Shape;

/// Adds up the primes of a range by those up to both ends.
pub type SumByFormula = ByEnds<SumTo>;

impl SumByFormula {
    /// True if this is expected to be faster than sieving the range with as many workers.
    pub fn is_cheaper(low: u64, last: u64) -> bool {
        // Below a sum takes no time, and the formula may not be for it.
        if last < low.max(Shape::LEAST) {
            return false;
        }
        // A prime that is found is added up in half a nanosecond, and one in 20 to 40 numbers is one.
        let sieving = Sieve::new(low, last).cost();
        let formula = SumTo::cost(last.into()) + SumTo::cost(low.into());
        formula < sieving.start + (sieving.per_number + 0.02) * (last - low) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise::exercise_with_parts;
    use crate::job::{SumBySieve, run_to_end};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_formula_gives_what_sieving_gives(low in 0_u64..1 << 37, bits in 0_u32..22, length in 0_u64..3_000_000) {
            let (low, last) = (low >> bits, (low >> bits) + length);
            let expected = run_to_end(&mut SumBySieve::new(low, last));
            prop_assert_eq!(run_to_end(&mut SumByFormula::new(low.into(), last.into())), expected);
        }
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        // A046731(10) less A046731(8).
        let expected = 2_220_822_432_581_729_238u64 - 279_209_790_387_276;
        let answer = exercise_with_parts::<SumByFormula, SumTo>(|| SumByFormula::new(100_000_000, 10_000_000_000));
        assert_eq!(answer, expected.into());
    }

    #[test]
    fn empty_ranges_and_the_first_primes_are_added_up() {
        let sum = |low, last| run_to_end(&mut SumByFormula::new(low, last));
        for (low, last, expected) in [
            (0, 0, 0u64),
            (0, 2, 2),
            (2, 2, 2),
            (3, 2, 0),
            (1_000_000, 7, 0),
            (0, 1_000_000, 37_550_402_023),
        ] {
            assert_eq!(sum(low, last), expected.into(), "{low} {last}");
        }
    }

    #[test]
    fn long_ranges_are_summed_by_the_formula_and_short_ones_sieved() {
        assert!(SumByFormula::is_cheaper(0, 10_000_000_000));
        assert!(SumByFormula::is_cheaper(1_000_000_000_000, 2_000_000_000_000));
        assert!(!SumByFormula::is_cheaper(1_000_000_000_000, 1_000_010_000_000));
        assert!(!SumByFormula::is_cheaper(u64::MAX - 1_000_000, u64::MAX));
        assert!(!SumByFormula::is_cheaper(5, 4));
    }
}
