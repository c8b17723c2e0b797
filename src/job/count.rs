//! The plan of `count A B method=sieve`: how many primes lie in a range, by really finding each of them. Knows nothing of the
//! formulas that count without finding.
//!
//! The range is cut into *stripes*, each with a sieve of its own that travels with the stripe's slices and comes back with
//! their partials. There is one stripe at first; whenever all are under way and another slice is asked for, the one with the
//! most work ahead is halved. A new stripe has to find its sieving primes again, so halves below a certain length are not
//! worth it: at 1e18 that is billions of numbers, at 1e10 less than a slice.

use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::sieve::{Sieve, Step};
use crate::proto::Value;

const KIND: [u8; 4] = *b"cnt1";
const VERSION: u32 = 1;

/// The most work a slice is given, in nanoseconds: well above a slice's budget, so that it is the budget that ends it.
const SLICE_COST: f64 = 20e6;

/// A new stripe must cost so many times what finding its sieving primes costs: then halving costs at most 5 %.
const WORTH_SPLITTING: f64 = 10.0;

/// A new stripe must cost so many nanoseconds: about a slice.
const MIN_STRIPE_COST: f64 = 2e6;

/// The most stripes at once, and the most memory for their sieves if there are several.
const MAX_STRIPES: usize = 256;
const MAX_MEMORY: u64 = 4 << 30;

/// Counts the primes of `low..=last` by sieving.
#[derive(Debug)]
pub struct Count {
    low: u64,
    last: u64,
    /// Primes in what the stripes have left behind.
    count: u64,
    /// What is not counted yet, ascending and disjoint.
    stripes: Vec<Stripe>,
    /// What has been absorbed cost, in modelled nanoseconds; the sieving primes of stripes at work are not yet in it.
    spent: f64,
    progress: f64,
    memory_per_stripe: u64,
}

/// A part of the range that is counted from `next` upwards.
#[derive(Debug)]
struct Stripe {
    /// The first number not counted; a segment of the stripe's sieve begins here.
    next: u64,
    last: u64,
    /// How many numbers a segment of its sieve has.
    segment: u64,
    per_number: f64,
    start: f64,
    /// The share of the sieving primes that its sieve has found.
    prepared: f64,
    sieve: Place,
}

/// Where a stripe's sieve is.
#[derive(Debug)]
enum Place {
    Here(Box<Sieve>),
    /// With a slice that counts up to `until`, inclusive.
    Away {
        until: u64,
    },
}

/// The next numbers of a stripe.
#[derive(Debug)]
pub struct CountSlice {
    next: u64,
    until: u64,
    sieve: Box<Sieve>,
}

/// How far a slice came.
#[derive(Debug)]
pub struct CountPartial {
    /// Where the slice began.
    start: u64,
    /// How many numbers are counted.
    numbers: u64,
    count: u64,
    sieve: Box<Sieve>,
}

impl Count {
    /// The primes of `low..=last`; none if `last < low`.
    pub fn new(low: u64, last: u64) -> Self {
        let stripes = if low <= last {
            vec![Stripe::new(low, last)]
        } else {
            Vec::new()
        };
        let memory_per_stripe = Sieve::new(low, last).memory_bound();
        Self {
            low,
            last,
            count: 0,
            stripes,
            spent: 0.0,
            progress: 0.0,
            memory_per_stripe,
        }
    }

    /// Halves the stripe with the most numbers ahead, if that is worth it, and gives the index of the new half.
    fn split(&mut self) -> Option<usize> {
        let affordable = (MAX_MEMORY / self.memory_per_stripe.max(1)) as usize;
        if self.stripes.len() >= affordable.min(MAX_STRIPES) {
            return None;
        }
        let (index, ahead) = self
            .stripes
            .iter()
            .map(Stripe::ahead)
            .enumerate()
            .max_by_key(|&(_, ahead)| ahead)?;
        let old = &mut self.stripes[index];
        if ahead / 2 < 2 * old.segment {
            return None;
        }
        // The old half ends with one of its segments.
        let segments = (old.last - ahead / 2 - old.next) / old.segment;
        let middle = Sieve::align(old.next) + segments * old.segment;
        let half = Stripe::new(middle, old.last);
        if half.cost() - half.start < MIN_STRIPE_COST.max(WORTH_SPLITTING * half.start) {
            return None;
        }
        old.last = middle - 1;
        self.stripes.insert(index + 1, half);
        Some(index + 1)
    }

    fn raise_progress(&mut self) {
        let prepared: f64 = self.stripes.iter().map(|stripe| stripe.prepared * stripe.start).sum();
        let all: f64 = self.spent + self.stripes.iter().map(Stripe::cost).sum::<f64>();
        let progress = if self.stripes.is_empty() {
            1.0
        } else {
            (self.spent + prepared) / all
        };
        self.progress = self.progress.max(progress).min(1.0);
    }
}

impl Stripe {
    fn new(next: u64, last: u64) -> Self {
        let sieve = Sieve::new(next, last);
        let cost = sieve.cost();
        Self {
            next,
            last,
            segment: sieve.segment_numbers(),
            per_number: cost.per_number,
            start: cost.start,
            prepared: 0.0,
            sieve: Place::Here(Box::new(sieve)),
        }
    }

    /// How many numbers are neither counted nor under way.
    fn ahead(&self) -> u64 {
        match self.sieve {
            Place::Here(_) => self.last - self.next,
            Place::Away { until } => self.last - until,
        }
    }

    /// What is left to do, in modelled nanoseconds; the sieving primes included, found or not.
    fn cost(&self) -> f64 {
        self.start + (self.last - self.next) as f64 * self.per_number
    }

    fn cut(&mut self) -> Option<CountSlice> {
        let segments = ((SLICE_COST + self.start) / (self.per_number * self.segment as f64)) as u64 + 1;
        let numbers = (segments * self.segment).saturating_sub(self.next - Sieve::align(self.next) + 1);
        let until = self.next.saturating_add(numbers).min(self.last);
        match std::mem::replace(&mut self.sieve, Place::Away { until }) {
            Place::Here(sieve) => Some(CountSlice {
                next: self.next,
                until,
                sieve,
            }),
            away => {
                self.sieve = away;
                None
            }
        }
    }
}

impl Plan for Count {
    type Slice = CountSlice;
    type Partial = CountPartial;

    fn cut(&mut self) -> Option<CountSlice> {
        let here = self
            .stripes
            .iter()
            .position(|stripe| matches!(stripe.sieve, Place::Here(_)));
        let index = here.or_else(|| self.split())?;
        self.stripes[index].cut()
    }

    fn run(slice: CountSlice, budget: Budget<'_>) -> CountPartial {
        let CountSlice {
            next: start,
            until,
            mut sieve,
        } = slice;
        let (mut count, mut numbers) = (0, 0);
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    count += segment.count();
                    // Wraps only for the whole of 0..=u64::MAX, which no slice is long enough for.
                    numbers = segment.last() - start + 1;
                    if segment.last() >= until {
                        break;
                    }
                }
                Step::Done => break,
            }
            if budget.over() {
                break;
            }
        }
        CountPartial {
            start,
            numbers,
            count,
            sieve,
        }
    }

    fn absorb(&mut self, partial: CountPartial) {
        let CountPartial {
            start,
            numbers,
            count,
            sieve,
        } = partial;
        let Some(index) = self.stripes.iter().position(|stripe| stripe.next == start) else {
            return;
        };
        self.count += count;
        let stripe = &mut self.stripes[index];
        self.spent += numbers as f64 * stripe.per_number;
        match stripe.next.checked_add(numbers) {
            Some(next) if next <= stripe.last => {
                stripe.next = next;
                stripe.prepared = sieve.prepared();
                stripe.sieve = Place::Here(sieve);
            }
            _ => self.spent += self.stripes.remove(index).start,
        }
        self.raise_progress();
    }

    fn answer(&mut self) -> Option<Value> {
        self.stripes.is_empty().then(|| self.count.into())
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        let affordable = (MAX_MEMORY / self.memory_per_stripe.max(1)).clamp(1, MAX_STRIPES as u64);
        self.memory_per_stripe * affordable.min(workers.max(1) as u64)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        let bounds: Vec<u64> = self
            .stripes
            .iter()
            .flat_map(|stripe| [stripe.next, stripe.last])
            .collect();
        writer
            .u64(self.low)
            .u64(self.last)
            .u64(self.count)
            .u64(self.spent.to_bits())
            .words(&bounds);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let (low, last, count, spent) = (
            reader.u64()?,
            reader.u64()?,
            reader.u64()?,
            f64::from_bits(reader.u64()?),
        );
        let bounds = reader.words()?;
        reader.finish()?;
        let (pairs, []) = bounds.as_chunks::<2>() else {
            return Err(Damaged::Impossible("list of stripes"));
        };
        let ascending =
            pairs.iter().all(|[next, last]| next <= last) && pairs.windows(2).all(|two| two[0][1] < two[1][0]);
        let within = pairs
            .iter()
            .all(|[next, stripe_last]| low <= *next && *stripe_last <= last);
        if !ascending || !within || pairs.len() > MAX_STRIPES {
            return Err(Damaged::Impossible("list of stripes"));
        }
        if !(0.0..1e30).contains(&spent) {
            return Err(Damaged::Impossible("cost"));
        }
        let mut plan = Self::new(low, last);
        plan.stripes = pairs.iter().map(|[next, last]| Stripe::new(*next, *last)).collect();
        (plan.count, plan.spent) = (count, spent);
        plan.raise_progress();
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
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

    /// Plays a plan with several slices out at once, tiny budgets, partials in random order and restarts from checkpoints.
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
        let mut beyond = good.clone();
        let last = beyond.len() - 1;
        beyond[last] = 0xff;
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
