//! The plan of `count A B` by sieving for ranges that end beyond 2^64. Knows nothing of how a stripe is sieved there.
//!
//! The range is cut into stripes of one length. Each finds its sieving primes anew, which costs seconds at 10^20, so
//! they are as long as memory allows; where what is left is tested instead, they are shorter, to be shared by workers.

use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::sieve::{Cost, WideSieve};
use crate::primes::walk::{Outcome, Stripe, Way};
use crate::proto::Value;
use std::collections::BTreeMap;
use std::ops::Range;

const KIND: [u8; 4] = *b"cntw";
const VERSION: u32 = 1;

/// A part for another machine, and its result.
const PART: [u8; 4] = *b"cnwp";
const PART_VERSION: u32 = 1;

/// The most stripes at once: each may hold 143 MB.
const MOST_STRIPES: usize = 4;

/// A range is cut into at most this many stripes if they are longer than [`SHORTEST`].
const STRIPES: u128 = 8;
const SHORTEST: u128 = 1 << 22;

/// Counts the primes of `low..=last` by sieving, `last` beyond 2^64.
#[derive(Debug)]
pub struct CountWide {
    low: u128,
    last: u128,
    /// How many numbers a stripe has; the last one may have fewer.
    length: u128,
    /// Primes in the stripes that are done, and how many these are.
    count: u64,
    done: u64,
    /// The stripes that this counts: all, or those of a part of another machine's count.
    stripes: Range<u64>,
    is_part: bool,
    /// The first stripe that was never cut.
    next: u64,
    /// Stripes that are to be cut again, by their number.
    again: BTreeMap<u64, Option<Box<Stripe>>>,
    /// Stripes under way.
    under_way: Vec<u64>,
    /// Stripes that other machines count: the first, and that after the last.
    parts: BTreeMap<u64, u64>,
    progress: f64,
}

/// A stripe at work.
#[derive(Debug)]
pub struct CountWideSlice {
    number: u64,
    stripe: Box<Stripe>,
}

/// What a slice brings back.
#[derive(Debug)]
pub struct CountWidePartial {
    number: u64,
    outcome: Outcome,
}

impl CountWide {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u128, last: u128) -> Self {
        let numbers = (last + 1).saturating_sub(low);
        let length = numbers.div_ceil(STRIPES).clamp(SHORTEST, WideSieve::LONGEST.into());
        Self {
            low,
            last,
            length,
            count: 0,
            done: 0,
            stripes: 0..numbers.div_ceil(length) as u64,
            is_part: false,
            next: 0,
            again: BTreeMap::new(),
            under_way: Vec::new(),
            parts: BTreeMap::new(),
            progress: 0.0,
        }
    }

    /// How many stripes this counts.
    const fn stripes(&self) -> u64 {
        self.stripes.end - self.stripes.start
    }

    /// The first and the last number of a stripe.
    fn ends(&self, number: u64) -> (u128, u128) {
        let low = self.low + u128::from(number) * self.length;
        (low, (low + self.length - 1).min(self.last))
    }

    fn stripe(&self, number: u64) -> Box<Stripe> {
        let (low, last) = self.ends(number);
        Box::new(Stripe::new(low, last, Way::Up, None))
    }

    /// The bytes of a part.
    fn part(&self, stripes: &Range<u64>) -> Vec<u8> {
        let mut writer = Writer::new(PART, PART_VERSION);
        writer
            .u128(self.low)
            .u128(self.last)
            .u64(stripes.start)
            .u64(stripes.end);
        writer.finish()
    }

    /// The plan of a part.
    fn restore_part(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, PART, PART_VERSION)?;
        let (low, last) = (reader.u128()?, reader.u128()?);
        let stripes = reader.u64()?..reader.u64()?;
        reader.finish()?;
        if last >= 1 << 100 || low > last {
            return Err(Damaged::Impossible("range"));
        }
        let whole = Self::new(low, last);
        if stripes.start >= stripes.end || stripes.end > whole.stripes.end {
            return Err(Damaged::Impossible("part"));
        }
        Ok(Self {
            next: stripes.start,
            stripes,
            is_part: true,
            ..whole
        })
    }

    /// The stripes that another machine counts as this part.
    fn elsewhere(&self, part: &[u8]) -> Result<Range<u64>, Damaged> {
        let Self { stripes, .. } = Self::restore_part(part)?;
        if self.parts.get(&stripes.start) == Some(&stripes.end) && self.part(&stripes) == part {
            Ok(stripes)
        } else {
            Err(Damaged::Impossible("part"))
        }
    }

    /// Goes on with what is done.
    fn advance(&mut self) {
        let paused = self.again.values().flatten();
        let done = self.done as f64 + paused.map(|stripe| stripe.progress()).sum::<f64>();
        self.progress = self.progress.max((done / self.stripes() as f64).min(1.0));
    }
}

impl Plan for CountWide {
    type Slice = CountWideSlice;
    type Partial = CountWidePartial;

    fn cut(&mut self) -> Option<CountWideSlice> {
        if self.under_way.len() >= MOST_STRIPES {
            return None;
        }
        let (number, stripe) = match self.again.pop_first() {
            Some(again) => again,
            // Only if none is paused: a paused stripe holds its bits.
            None if self.next < self.stripes.end => {
                self.next += 1;
                (self.next - 1, None)
            }
            None => return None,
        };
        self.under_way.push(number);
        let stripe = stripe.unwrap_or_else(|| self.stripe(number));
        Some(CountWideSlice { number, stripe })
    }

    fn run(slice: CountWideSlice, budget: Budget<'_>) -> CountWidePartial {
        CountWidePartial {
            number: slice.number,
            outcome: slice.stripe.advance(|| budget.over()),
        }
    }

    fn absorb(&mut self, CountWidePartial { number, outcome }: CountWidePartial) {
        self.under_way.retain(|other| *other != number);
        match outcome {
            Outcome::Counted(parts) => {
                self.count += parts.iter().map(|part| part.primes).sum::<u64>();
                self.done += 1;
            }
            Outcome::Paused(stripe) => {
                self.again.insert(number, Some(stripe));
            }
            Outcome::Found(_) => unreachable!("no prime is looked for"),
        }
        self.advance();
    }

    fn answer(&mut self) -> Option<Value> {
        match self.done == self.stripes() {
            false => None,
            true if self.is_part => Some(Value::Nothing),
            true => Some(self.count.into()),
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        let last = self.last.min(self.low + self.length - 1);
        let stripe = WideSieve::new(self.low.min(last), last).memory_bound();
        let most = workers.clamp(1, MOST_STRIPES) as u64;
        (1 << 20) + stripe * most.min(self.stripes().max(1))
    }

    fn save(&self) -> Option<Vec<u8>> {
        if self.is_part {
            return Some(self.part(&self.stripes));
        }
        let mut writer = Writer::new(KIND, VERSION);
        let elsewhere = self.parts.iter().flat_map(|(start, end)| *start..*end);
        let here = self.again.keys().chain(&self.under_way).copied();
        let todo: Vec<u64> = here.chain(elsewhere).collect();
        writer
            .u128(self.low)
            .u128(self.last)
            .u64(self.count)
            .u64(self.next)
            .words(&todo);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        match Self::restore_part(bytes) {
            Err(Damaged::Kind) => {}
            part => return part,
        }
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (low, last) = (reader.u128()?, reader.u128()?);
        if last >= 1 << 100 || low > last {
            return Err(Damaged::Impossible("range"));
        }
        let mut plan = Self::new(low, last);
        plan.count = reader.u64()?;
        plan.next = reader.u64()?;
        let todo = reader.words()?;
        reader.finish()?;
        plan.again = todo.iter().map(|number| (*number, None)).collect();
        if plan.next > plan.stripes() || plan.again.len() < todo.len() || todo.iter().any(|number| *number >= plan.next)
        {
            return Err(Damaged::Impossible("list of stripes"));
        }
        plan.done = plan.next - todo.len() as u64;
        plan.progress = plan.done as f64 / plan.stripes() as f64;
        Ok(plan)
    }

    /// As few stripes as cost this much: one costs seconds from 10^20 on.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        if self.is_part {
            return None;
        }
        // A paused stripe holds its bits, and is finished here.
        let returned = self.again.iter().find(|(_, stripe)| stripe.is_none());
        let stripes = match returned.map(|(number, _)| *number) {
            Some(number) => {
                self.again.remove(&number);
                number..number + 1
            }
            None if self.next < self.stripes.end => {
                let (low, last) = self.ends(self.next);
                let Cost { start, per_number, .. } = WideSieve::cost(low, last);
                let one = start + per_number * self.length as f64;
                let left = self.stripes.end - self.next;
                let stripes = self.next..self.next + ((cost / one) as u64).clamp(1, left);
                self.next = stripes.end;
                stripes
            }
            None => return None,
        };
        self.parts.insert(stripes.start, stripes.end);
        Some(self.part(&stripes))
    }

    fn result(&self) -> Option<Vec<u8>> {
        let is_done = self.is_part && self.done == self.stripes();
        is_done.then(|| {
            let mut writer = Writer::new(PART, PART_VERSION);
            writer.u64(self.count);
            writer.finish()
        })
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let stripes = self.elsewhere(part)?;
        let mut reader = Reader::new(result, PART, PART_VERSION)?;
        let count = reader.u64()?;
        reader.finish()?;
        let number = stripes.end - stripes.start;
        let is_possible = u128::from(count) <= u128::from(number) * self.length;
        let sum = self
            .count
            .checked_add(count)
            .filter(|sum| is_possible && sum >> 63 == 0);
        self.count = sum.ok_or(Damaged::Impossible("count"))?;
        self.parts.remove(&stripes.start);
        self.done += number;
        self.advance();
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let stripes = self.elsewhere(part)?;
        self.parts.remove(&stripes.start);
        self.again.extend(stripes.map(|number| (number, None)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use crate::primes::primality::is_prime_u128;
    use proptest::prelude::*;

    #[test]
    fn a_range_across_2_to_the_64_is_the_sum_of_both_sides() {
        let middle = 1_u128 << 64;
        let (low, last) = (middle - 3_000_000, middle + 7_000_000);
        let below = run_to_end(&mut crate::job::Count::new(low as u64, u64::MAX));
        let above = run_to_end(&mut CountWide::new(middle, last));
        let (Value::Number(below), Value::Number(above)) = (below, above) else {
            panic!("counts are numbers");
        };
        assert_eq!(exercise(|| CountWide::new(low, last)), Value::Number(below + above));
    }

    #[test]
    fn damaged_checkpoints_are_refused() {
        let good = CountWide::new(1 << 70, 1 << 71).save().expect("saves");
        for cut in 0..good.len() {
            assert!(CountWide::restore(&good[..cut]).is_err());
        }
        assert!(CountWide::restore(&good).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn short_ranges_hold_what_tests_find(low in 1_u128 << 64..1 << 83, length in 0_u128..2000) {
            let expected = (low..=low + length).filter(|n| is_prime_u128(*n)).count() as u64;
            prop_assert_eq!(run_to_end(&mut CountWide::new(low, low + length)), Value::from(expected));
        }
    }
}
