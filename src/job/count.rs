//! `count A B method=sieve`: how many primes lie in a range, by really finding each of them.
//!
//! Knows nothing of how the range is cut; that is [`Sieved`]'s.

use super::sieved::{Fold, Sieved};
use super::{Damaged, Reader, Writer};
use crate::primes::sieve::Segment;
use crate::proto::Value;

/// Counts primes by sieving.
pub type Count = Sieved<Number>;

/// How many primes there are.
#[derive(Clone, Debug)]
pub struct Number;

impl Count {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        Self::by(Number, low, last)
    }
}

impl Fold for Number {
    const KIND: [u8; 4] = *b"cnt1";
    /// To count the bits takes a hundredth of what sieving them takes.
    const MOST_BYTES: usize = 2 << 20;
    type Run = u64;

    fn of_segment(&self, segment: &Segment<'_>) -> u64 {
        segment.count()
    }

    fn is_possible(run: &u64, low: u64, last: u64) -> bool {
        *run <= (last - low).saturating_add(1)
    }

    fn join(&self, left: u64, right: u64) -> u64 {
        left.wrapping_add(right)
    }

    fn answer(&self, whole: &u64) -> Value {
        Value::from(*whole)
    }

    fn restore(_: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self)
    }

    fn save_run(run: &u64, writer: &mut Writer) {
        writer.u64(*run);
    }

    fn restore_run(reader: &mut Reader<'_>) -> Result<u64, Damaged> {
        reader.u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Budget, Plan, run_to_end};
    use crate::primes::sieve::naive;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn count(low: u64, last: u64) -> u64 {
        number(run_to_end(&mut Count::new(low, last)))
    }

    fn number(value: Value) -> u64 {
        match value {
            Value::Number(n) => u64::try_from(n).expect("a count of words fits a word"),
            other => panic!("a count is a number, not {other:?}"),
        }
    }

    /// Plays a plan with several slices out at once, tiny budgets, partials in random order and restarts from
    /// checkpoints.
    fn play(low: u64, last: u64, mut dice: impl FnMut() -> usize) -> u64 {
        let mut plan = Count::new(low, last);
        let mut out = Vec::new();
        let mut progress = 0.0;
        loop {
            if let Some(value) = plan.answer() {
                assert!(plan.cut().is_none());
                return number(value);
            }
            let dice = dice();
            if dice.is_multiple_of(97) {
                plan = Count::restore(&plan.save().expect("saves")).expect("restores what was saved");
                out.clear();
                // Sieving primes that were found are lost.
                progress = 0.0;
            }
            for _ in 0..dice % 4 {
                out.extend(plan.cut());
            }
            if out.is_empty() {
                out.extend(plan.cut());
            }
            if !out.is_empty() {
                let slice = out.swap_remove(dice % out.len());
                let polls = Cell::new(dice % 50);
                let over = || polls.replace(polls.get().saturating_sub(1)) == 0;
                plan.absorb(Count::run(slice, Budget::new(&over)));
            }
            assert!(plan.progress() >= progress && plan.progress() <= 1.0);
            progress = plan.progress();
        }
    }

    #[test]
    fn empty_ranges_hold_nothing() {
        assert_eq!(count(1, 0), 0);
        assert_eq!(count(u64::MAX, 5), 0);
        assert_eq!(count(0, 1), 0);
        assert_eq!(count(24, 28), 0);
    }

    #[test]
    fn small_ranges_are_right() {
        for low in 0..20 {
            for last in low..60 {
                assert_eq!(
                    count(low, last),
                    naive::primes(low, last).len() as u64,
                    "{low}..={last}"
                );
            }
        }
    }

    #[test]
    fn the_last_primes_are_counted() {
        assert_eq!(count(18_446_744_073_709_551_557, u64::MAX), 1);
        assert_eq!(count(18_446_744_073_709_551_558, u64::MAX), 0);
        assert_eq!(count(u64::MAX, u64::MAX), 0);
        assert_eq!(count(u64::MAX - 278, u64::MAX), 7);
    }

    #[test]
    fn long_ranges_agree_with_oeis_a006880() {
        assert_eq!(count(0, 1_000_000_000), 50_847_534);
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        let good = Count::new(0, 1 << 40).save().expect("saves");
        for cut in 0..good.len() {
            assert!(Count::restore(&good[..cut]).is_err());
        }
        // The last number of the only stripe is the seventh word.
        let mut beyond = good.clone();
        beyond[55] = 0xff;
        assert!(Count::restore(&beyond).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_cut_and_any_restart_give_the_whole(
            low in 0_u64..1 << 42,
            length in 0_u64..60_000_000,
            seed in 0_u64..,
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let dice = || random.usize(..);
            prop_assert_eq!(play(low, low + length, dice), count(low, low + length));
        }
    }
}
