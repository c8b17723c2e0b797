//! The plan of `count A B` for ranges so long that it is faster to count the primes up to both ends:
//! `pi(last) - pi(low - 1)`.
//!
//! Knows neither how primes are counted nor how they are sieved; it only compares what both are expected to cost.

use super::by_ends::{ByEnds, UpTo};
use super::{Damaged, Pi};
use crate::primes::sieve::{Sieve, WideSieve};

/// Counts the primes of a range by counting those up to both ends.
pub type CountByPi = ByEnds<Pi>;

impl UpTo for Pi {
    const RANGE: ([u8; 4], u32) = (*b"cpi1", 3);
    const MOST: u128 = Self::MOST;

    fn up_to(x: u128) -> Self {
        Self::new(x)
    }

    // A parabola in the logarithms through what was measured, 0.15 ms at 10^9, 5.6 ms at 10^12, 0.3 s at 10^15 and 21 s
    // at 10^18.
    fn cost(x: u128) -> f64 {
        let t = (x as f64).max(1e6).log10() - 15.0;
        10_f64.powf(8.477 + 0.597 * t + 0.0079 * t * t)
    }

    fn total(&self) -> Option<u128> {
        self.count()
    }

    fn restore_of(x: u128, bytes: &[u8]) -> Result<Self, Damaged> {
        Self::restore_of(x, bytes)
    }
}

impl CountByPi {
    /// True if this is expected to be faster than sieving the range with as many workers.
    pub fn is_cheaper(low: u128, last: u128) -> bool {
        if last < low {
            return false;
        }
        let sieving = match (u64::try_from(low), u64::try_from(last)) {
            (Ok(low), Ok(last)) => Sieve::new(low, last).cost(),
            _ => WideSieve::cost(low, last),
        };
        Pi::cost(last) + Pi::cost(low) < sieving.start + sieving.per_number * (last - low) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise::exercise_with_parts;
    use crate::job::{Budget, Count, Plan, Writer, run_to_end};
    use crate::proto::Value;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn counting_both_ends_gives_what_sieving_gives(low in 0_u64..100_000_000_000, length in 0_u64..3_000_000) {
            let expected = run_to_end(&mut Count::new(low, low + length));
            prop_assert_eq!(run_to_end(&mut CountByPi::new(low.into(), (low + length).into())), expected);
        }

        #[test]
        fn a_resumed_count_is_the_whole(low in 0_u64..10_000_000_000, length in 0_u64..100_000_000_000, stop in 0_u32..60) {
            let expected = run_to_end(&mut CountByPi::new(low.into(), (low + length).into()));
            let mut plan = CountByPi::new(low.into(), (low + length).into());
            for _ in 0..stop {
                let Some(slice) = plan.cut() else { break };
                plan.absorb(CountByPi::run(slice, Budget::new(&|| true)));
            }
            let mut resumed = CountByPi::restore(&plan.save().expect("can be saved")).expect("can be restored");
            prop_assert_eq!(run_to_end(&mut resumed), expected);
        }
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        let (low, last) = (20_000_000_001, 30_000_000_000);
        let answer = exercise_with_parts::<CountByPi, Pi>(|| CountByPi::new(low, last));
        // As sieving counts them.
        assert_eq!(answer, 417_799_210.into());
    }

    #[test]
    fn a_part_is_no_checkpoint_of_a_side() {
        let x = 1_000_000_000_000;
        let mut pi = Pi::new(x);
        let part = loop {
            match pi.cut_part(1e6) {
                Some(part) => break part,
                None => {
                    let slice = pi.cut().expect("nothing is under way");
                    pi.absorb(Pi::run(slice, Budget::unlimited()));
                }
            }
        };
        let restored = |side: &[u8]| {
            let (kind, version) = Pi::RANGE;
            let mut writer = Writer::new(kind, version);
            writer.u128(x).u64(0).bytes(side).u128(7).u64(1).u128(4);
            CountByPi::restore(&writer.finish()).map(|_| ())
        };
        assert_eq!(restored(&pi.save().expect("it is not over")), Ok(()));
        for side in [part, Pi::new(x - 1).save().expect("it has not begun")] {
            assert_eq!(restored(&side), Err(Damaged::Impossible("count")));
        }
    }

    #[test]
    fn empty_ranges_and_the_first_primes_are_counted() {
        let count = |low, last| run_to_end(&mut CountByPi::new(low, last));
        assert_eq!(count(0, 0), Value::from(0));
        assert_eq!(count(0, 2), Value::from(1));
        assert_eq!(count(2, 2), Value::from(1));
        assert_eq!(count(3, 2), Value::from(0));
        assert_eq!(count(1_000_000, 7), Value::from(0));
        assert_eq!(count(0, 1_000_000), Value::from(78_498));
    }

    #[test]
    fn long_ranges_are_counted_and_short_ones_sieved() {
        assert!(CountByPi::is_cheaper(0, 1_000_000_000));
        assert!(CountByPi::is_cheaper(1_000_000_000_000, 2_000_000_000_000));
        assert!(!CountByPi::is_cheaper(1_000_000_000_000, 1_000_010_000_000));
        assert!(!CountByPi::is_cheaper((1 << 64) - 1_000_000, 1 << 64));
        assert!(!CountByPi::is_cheaper(5, 4));
    }
}
