//! The plan of `count A B` for ranges so long that it is faster to count the primes up to both ends:
//! `pi(last) - pi(low - 1)`.
//!
//! Knows neither how primes are counted nor how they are sieved; it only compares what both are expected to cost.

use super::pi::{self, Pi};
use super::plan::LONG;
use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::sieve::{Sieve, WideSieve};
use crate::proto::Value;

const KIND: [u8; 4] = *b"cpi1";
const VERSION: u32 = 2;

/// What counting up to `x` costs, in nanoseconds: a parabola in the logarithms through what was measured, 0.15 ms at
/// 10^9, 5.6 ms at 10^12, 0.3 s at 10^15 and 21 s at 10^18.
fn cost(x: u128) -> f64 {
    let t = (x as f64).max(1e6).log10() - 15.0;
    10_f64.powf(8.477 + 0.597 * t + 0.0079 * t * t)
}

/// Counts the primes of `low..=last` by counting those up to both ends.
pub struct CountByPi {
    low: u128,
    last: u128,
    /// Both counts, the longer one first: that up to `last`.
    sides: [Side; 2],
}

struct Side {
    cost: f64,
    state: State,
}

enum State {
    Counting(Box<Pi>),
    Over(u128),
}

/// Which of the two counts a slice or partial belongs to.
type Which = usize;

/// A slice of one of the counts.
pub struct Slice(Which, pi::Slice);

/// What a slice brings back.
pub struct Partial(Which, pi::Partial);

impl Side {
    fn new(x: u128) -> Self {
        Self {
            cost: cost(x),
            state: State::Counting(Box::new(Pi::new(x))),
        }
    }

    fn count(&self) -> Option<u128> {
        match self.state {
            State::Counting(_) => None,
            State::Over(count) => Some(count),
        }
    }
}

impl CountByPi {
    /// Counts the primes of `low..=last`; none if `last < low`.
    pub fn new(low: u128, last: u128) -> Self {
        let last = last.max(low.saturating_sub(1));
        Self {
            low,
            last,
            sides: [Side::new(last), Side::new(low.saturating_sub(1))],
        }
    }

    /// The counts that are not over.
    fn counting(&mut self) -> impl Iterator<Item = (Which, &mut Pi)> {
        let sides = self.sides.iter_mut().enumerate();
        sides.filter_map(|(which, side)| match &mut side.state {
            State::Counting(pi) => Some((which, &mut **pi)),
            State::Over(_) => None,
        })
    }

    /// True if this is expected to be faster than sieving the range with as many workers.
    pub fn is_cheaper(low: u128, last: u128) -> bool {
        if last < low {
            return false;
        }
        let sieving = match (u64::try_from(low), u64::try_from(last)) {
            (Ok(low), Ok(last)) => Sieve::new(low, last).cost(),
            _ => WideSieve::cost(low, last),
        };
        cost(last) + cost(low) < sieving.start + sieving.per_number * (last - low) as f64
    }
}

impl Plan for CountByPi {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        self.sides
            .iter_mut()
            .enumerate()
            .find_map(|(which, side)| match &mut side.state {
                State::Counting(pi) => Some(Slice(which, pi.cut()?)),
                State::Over(_) => None,
            })
    }

    fn run(slice: Slice, budget: Budget<'_>) -> Partial {
        Partial(slice.0, Pi::run(slice.1, budget))
    }

    fn absorb(&mut self, partial: Partial) {
        let side = &mut self.sides[partial.0];
        if let State::Counting(pi) = &mut side.state {
            pi.absorb(partial.1);
            if let Some(count) = pi.count() {
                side.state = State::Over(count);
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let [up_to, below] = &self.sides;
        Some(Value::Number((up_to.count()?.saturating_sub(below.count()?)).into()))
    }

    fn progress(&self) -> f64 {
        let all: f64 = self.sides.iter().map(|side| side.cost).sum();
        let done = |side: &Side| match &side.state {
            State::Counting(pi) => pi.progress(),
            State::Over(_) => 1.0,
        };
        self.sides.iter().map(|side| done(side) * side.cost).sum::<f64>() / all
    }

    fn memory(&self, workers: usize) -> u64 {
        // Slices of the second count are cut while the last ones of the first are under way.
        let memory = |side: &Side| match &side.state {
            State::Counting(pi) => pi.memory(workers),
            State::Over(_) => 0,
        };
        self.sides.iter().map(memory).sum()
    }

    fn is_long(&self) -> bool {
        self.sides.iter().map(|side| side.cost).sum::<f64>() > LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.u128(self.low).u128(self.last);
        for side in &self.sides {
            match &side.state {
                State::Counting(pi) => writer.u64(0).bytes(&pi.save()?),
                State::Over(count) => writer.u64(1).u128(*count),
            };
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (low, last) = (reader.u128()?, reader.u128()?);
        if low > Pi::MOST || last > Pi::MOST {
            return Err(Damaged::Impossible("range"));
        }
        let mut plan = Self::new(low, last);
        if plan.last != last {
            return Err(Damaged::Impossible("range"));
        }
        for side in &mut plan.sides {
            if reader.u64()? == 0 {
                let State::Counting(fresh) = &side.state else {
                    unreachable!("a new plan knows no count");
                };
                let pi = Pi::restore_of(fresh.x(), reader.bytes()?)?;
                side.state = State::Counting(Box::new(pi));
            } else {
                side.state = State::Over(reader.u128()?);
            }
        }
        reader.finish()?;
        Ok(plan)
    }

    // Its parts are parts of the two counts: another machine needs to know no more.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.counting().find_map(|(_, pi)| pi.cut_part(cost))
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let mut refused = Damaged::Impossible("part");
        let taken = self
            .counting()
            .find_map(|(which, pi)| match pi.absorb_part(part, result) {
                Ok(()) => Some((which, pi.count())),
                Err(damaged) => {
                    refused = damaged;
                    None
                }
            });
        let (which, count) = taken.ok_or(refused)?;
        if let Some(count) = count {
            self.sides[which].state = State::Over(count);
        }
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let is_taken = self.counting().any(|(_, pi)| pi.take_back(part).is_ok());
        is_taken.then_some(()).ok_or(Damaged::Impossible("part"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Count, run_to_end};
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
            let mut writer = Writer::new(KIND, VERSION);
            writer.u128(8).u128(x).u64(0).bytes(side).u64(1).u128(4);
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
