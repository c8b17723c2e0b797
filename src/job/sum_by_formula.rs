//! The plan of `sum A B` for ranges so long that it is faster to add up the primes up to both ends.
//!
//! Knows neither how primes are added up nor how they are sieved; it only compares what both are expected to cost.

use super::plan::LONG;
use super::sum_to::{self, SumTo};
use super::{Budget, Damaged, Plan, Reader, Shared, Writer};
use crate::primes::sieve::Sieve;
use crate::primes::sum::{Shape, Tables};
use crate::primes::{Natural, known};
use crate::proto::Value;
use std::sync::Arc;

const KIND: [u8; 4] = *b"sfo1";
const VERSION: u32 = 1;

/// Adds up the primes of `low..=last` by those up to both ends.
#[derive(Debug)]
pub struct SumByFormula {
    low: u64,
    last: u64,
    /// The sums up to both ends, that up to `last` first; or a part of one of them for another machine, alone.
    sides: Vec<Side>,
}

#[derive(Debug)]
struct Side {
    cost: f64,
    state: State,
}

#[derive(Debug)]
enum State {
    Summing(Box<SumTo>),
    Over(u128),
}

/// A slice of one of the sums.
#[derive(Debug)]
pub struct Slice(usize, sum_to::Slice);

/// What a slice brings back.
#[derive(Debug)]
pub struct Partial(usize, sum_to::Partial);

/// Below this a sum takes no time, and the formula may not be for it.
const SMALL: u64 = Shape::LEAST;

impl Side {
    fn new(x: u64) -> Self {
        let state = match x {
            SMALL.. => State::Summing(Box::new(SumTo::new(x))),
            _ => State::Over(small_sum(x)),
        };
        Self {
            cost: SumTo::cost(x),
            state,
        }
    }

    const fn sum(&self) -> Option<u128> {
        match self.state {
            State::Summing(_) => None,
            State::Over(sum) => Some(sum),
        }
    }
}

/// The sum of the primes up to a number of the table.
fn small_sum(x: u64) -> u128 {
    let primes = std::iter::successors(known::next(0), |p| known::next(*p));
    primes.take_while(|p| *p <= x).map(u128::from).sum()
}

impl SumByFormula {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        let last = last.max(low.saturating_sub(1));
        Self {
            low,
            last,
            sides: [last, low.saturating_sub(1)].map(Side::new).into(),
        }
    }

    /// The sums that are not known yet.
    fn sums(&self) -> impl Iterator<Item = &SumTo> {
        self.sides.iter().filter_map(|side| match &side.state {
            State::Summing(sum) => Some(&**sum),
            State::Over(_) => None,
        })
    }

    fn sums_mut(&mut self) -> impl Iterator<Item = &mut SumTo> {
        self.sides.iter_mut().filter_map(|side| match &mut side.state {
            State::Summing(sum) => Some(&mut **sum),
            State::Over(_) => None,
        })
    }

    /// The part of another machine's sum that this is, if it is one.
    fn part(&self) -> Option<&SumTo> {
        self.sums().find(|sum| sum.share().is_some())
    }

    /// True if this is expected to be faster than sieving the range with as many workers.
    pub fn is_cheaper(low: u64, last: u64) -> bool {
        if last < low.max(SMALL) {
            return false;
        }
        // A prime that is found is added up in half a nanosecond, and one in 20 to 40 numbers is one.
        let sieving = Sieve::new(low, last).cost();
        SumTo::cost(last) + SumTo::cost(low) < sieving.start + (sieving.per_number + 0.02) * (last - low) as f64
    }
}

impl Plan for SumByFormula {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let mut sides = self.sides.iter_mut().enumerate();
        sides.find_map(|(which, side)| match &mut side.state {
            State::Summing(sum) => Some(Slice(which, sum.cut()?)),
            State::Over(_) => None,
        })
    }

    fn run(Slice(which, slice): Slice, budget: Budget<'_>) -> Partial {
        Partial(which, SumTo::run(slice, budget))
    }

    fn absorb(&mut self, Partial(which, partial): Partial) {
        let side = &mut self.sides[which];
        if let State::Summing(sum) = &mut side.state {
            sum.absorb(partial);
            if let Some(sum) = sum.sum() {
                side.state = State::Over(sum);
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let [up_to, below] = self.sides.as_slice() else {
            return self.part()?.is_part_done().then_some(Value::Nothing);
        };
        let sum = up_to.sum()?.wrapping_sub(below.sum()?);
        Some(Value::Number(Natural::from(sum)))
    }

    fn progress(&self) -> f64 {
        let all: f64 = self.sides.iter().map(|side| side.cost).sum();
        let done = |side: &Side| match &side.state {
            State::Summing(sum) => sum.progress(),
            State::Over(_) => 1.0,
        };
        self.sides.iter().map(|side| done(side) * side.cost).sum::<f64>() / all
    }

    fn memory(&self, workers: usize) -> u64 {
        // Slices of the second sum are cut while the last ones of the first are under way.
        let memory = |side: &Side| match &side.state {
            State::Summing(sum) => sum.memory(workers),
            State::Over(_) => 0,
        };
        self.sides.iter().map(memory).sum()
    }

    fn is_long(&self) -> bool {
        SumTo::cost(self.last) > LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        if let Some(part) = self.part() {
            // It is about a second of work, and starts over.
            return part.save_part();
        }
        let mut writer = Writer::new(KIND, VERSION);
        writer.u64(self.low).u64(self.last);
        for side in &self.sides {
            match &side.state {
                State::Summing(sum) => writer.u64(0).bytes(&sum.save()),
                State::Over(sum) => writer.u64(1).u128(*sum),
            };
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        match SumTo::restore_part(bytes) {
            Err(Damaged::Kind) => {}
            Err(damaged) => return Err(damaged),
            Ok(part) => {
                return Ok(Self {
                    low: 0,
                    last: part.x(),
                    sides: vec![Side {
                        cost: SumTo::cost(part.x()),
                        state: State::Summing(Box::new(part)),
                    }],
                });
            }
        }
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (low, last) = (reader.u64()?, reader.u64()?);
        let mut plan = Self::new(low, last);
        if plan.last != last {
            return Err(Damaged::Impossible("range"));
        }
        for (side, x) in plan.sides.iter_mut().zip([last, low.saturating_sub(1)]) {
            side.state = match reader.u64()? {
                0 => {
                    let sum = SumTo::restore(reader.bytes()?)?;
                    if sum.x() != x {
                        return Err(Damaged::Impossible("end of the range"));
                    }
                    State::Summing(Box::new(sum))
                }
                _ => State::Over(reader.u128()?),
            };
        }
        reader.finish()?;
        Ok(plan)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        let is_part = self.part().is_some();
        let mut sums = self.sums_mut().filter(|_| !is_part);
        sums.find_map(|sum| sum.cut_part(cost))
    }

    fn result(&self) -> Option<Vec<u8>> {
        self.part()?.result()
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let mut outcome = Err(Damaged::Impossible("part"));
        for side in &mut self.sides {
            if let State::Summing(sum) = &mut side.state
                && outcome.is_err()
            {
                outcome = sum.absorb_part(part, result);
                if let Some(sum) = sum.sum() {
                    side.state = State::Over(sum);
                }
            }
        }
        outcome
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let outcomes = self.sums_mut().map(|sum| sum.take_back(part));
        outcomes.fold(Err(Damaged::Impossible("part")), Result::or)
    }

    fn needs_shared(&self) -> bool {
        self.sums().any(|sum| sum.tables().is_none())
    }

    fn shared(&self) -> Option<Shared> {
        let tables: Made = self.sums().filter_map(SumTo::tables).cloned().collect();
        (!tables.is_empty()).then(|| Arc::new(tables) as Shared)
    }

    fn use_shared(&mut self, shared: &Shared) {
        if let Some(made) = shared.downcast_ref::<Made>() {
            for sum in self.sums_mut() {
                made.iter().for_each(|tables| sum.use_tables(tables));
            }
        }
    }
}

/// The tables of the sums up to both ends.
type Made = Vec<Arc<Tables>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{SumBySieve, exercise, run_to_end};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn the_formula_gives_what_sieving_gives(low in 0_u64..1 << 37, bits in 0_u32..22, length in 0_u64..3_000_000) {
            let (low, last) = (low >> bits, (low >> bits) + length);
            let expected = run_to_end(&mut SumBySieve::new(low, last));
            prop_assert_eq!(run_to_end(&mut SumByFormula::new(low, last)), expected);
        }
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        // A046731(10) less A046731(8).
        let expected = 2_220_822_432_581_729_238u64 - 279_209_790_387_276;
        let answer = exercise(|| SumByFormula::new(100_000_000, 10_000_000_000));
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
