//! The plan of what is found by sieving every number of a range: how many primes there are, their sum, their
//! constellations, their longest gap. Knows nothing of the formulas that count without finding, and of what a [`Fold`]
//! makes of a segment.
//!
//! The range is cut into *stripes*, each with a sieve of its own that travels with the stripe's slices and comes back
//! with their partials. There is one stripe at first; whenever all are under way and another slice is asked for, the
//! one with the most work ahead is halved. A new stripe has to find its sieving primes again, so halves below a certain
//! length are not worth it: at 1e18 that is billions of numbers, at 1e10 less than a slice.
//!
//! What is found is put together in the order of the numbers, so a fold may look across the border of two segments.

use super::plan::LONG;
use super::{Budget, Damaged, Plan, Reader, Writer};
use crate::primes::sieve::{Segment, Sieve, Step};
use crate::proto::Value;
use std::fmt;

const VERSION: u32 = 2;

/// The most work a slice is given, in nanoseconds: well above a slice's budget, so that it is the budget that ends it.
const SLICE_COST: f64 = 20e6;

/// A new stripe must cost this many times what finding its sieving primes costs with AVX-512: then halving costs at
/// most 5 %, or 16 without. No more is asked there, for the time until the answer is there counts more than what all
/// take.
const WORTH_SPLITTING: f64 = 10.0;

/// A new stripe must cost this many nanoseconds: about a slice.
const MIN_STRIPE_COST: f64 = 2e6;

/// The most stripes at once, and the most memory for their sieves if there are several.
const MAX_STRIPES: usize = 256;
const MAX_MEMORY: u64 = 4 << 30;

/// The most parts on other machines at once.
const MAX_PARTS: usize = 4096;

/// What is made of the primes of a range.
pub trait Fold: Clone + fmt::Debug + Send + Sized + 'static {
    /// The kind of its checkpoints.
    const KIND: [u8; 4];
    /// The most bytes of a segment, which is folded in one go: a slice is to end within some 2 ms.
    const MOST_BYTES: usize = 1 << 20;
    /// What is known of a run of numbers; the default is that of no numbers.
    type Run: Clone + Default + fmt::Debug + Send;

    /// What a segment holds.
    fn of_segment(&self, segment: &Segment<'_>) -> Self::Run;
    /// Whether the numbers `low..=last` can hold this, as another machine says.
    fn is_possible(run: &Self::Run, low: u64, last: u64) -> bool;
    /// What two runs hold, of which the right one begins where the left one ends.
    fn join(&self, left: Self::Run, right: Self::Run) -> Self::Run;
    /// The answer for the whole range.
    fn answer(&self, whole: &Self::Run) -> Value;
    /// Adds the fold to a checkpoint.
    fn save(&self, _writer: &mut Writer) {}
    /// Reads what [`save`](Self::save) wrote.
    fn restore(reader: &mut Reader<'_>) -> Result<Self, Damaged>;
    /// Adds a run to a checkpoint.
    fn save_run(run: &Self::Run, writer: &mut Writer);
    /// Reads what [`save_run`](Self::save_run) wrote.
    fn restore_run(reader: &mut Reader<'_>) -> Result<Self::Run, Damaged>;
}

/// Folds the primes of `low..=last`.
#[derive(Debug)]
pub struct Sieved<F: Fold> {
    fold: F,
    low: u64,
    last: u64,
    /// What is not sieved yet, ascending, and what was found before each stripe.
    stripes: Vec<Stripe<F>>,
    /// What was found after the last stripe.
    rest: F::Run,
    /// What has been absorbed cost, in modelled nanoseconds; the sieving primes of stripes at work are not yet in it.
    spent: f64,
    progress: f64,
    memory_per_stripe: u64,
}

/// A part of the range that is sieved from `next` upwards.
#[derive(Debug)]
struct Stripe<F: Fold> {
    /// What was found between the stripe before and `next`.
    found: F::Run,
    /// The first number not sieved; a segment of the stripe's sieve begins here.
    next: u64,
    last: u64,
    /// How many numbers a segment of its sieve has.
    segment: u64,
    per_number: f64,
    start: f64,
    /// The first as it is weighed where the stripe is shared.
    shared_start: f64,
    /// The share of the sieving primes that its sieve has found.
    prepared: f64,
    sieve: SieveSlot,
}

/// Where a stripe's sieve is.
#[derive(Debug)]
enum SieveSlot {
    Here(Box<Sieve>),
    /// With a slice that sieves up to `until`, inclusive.
    UnderWay {
        until: u64,
    },
    /// On another machine, which has a sieve of its own.
    Elsewhere,
}

/// The next numbers of a stripe.
#[derive(Debug)]
pub struct Slice<F> {
    fold: F,
    next: u64,
    until: u64,
    sieve: Box<Sieve>,
}

/// How far a slice came.
#[derive(Debug)]
pub struct Partial<P> {
    /// Where the slice began.
    start: u64,
    /// How many numbers are sieved.
    numbers: u64,
    run: P,
    sieve: Box<Sieve>,
}

impl<F: Fold> Sieved<F> {
    /// Folds the primes of `low..=last`; none if `last < low`.
    pub fn by(fold: F, low: u64, last: u64) -> Self {
        let stripes = if low <= last {
            vec![Stripe::new(low, last)]
        } else {
            Vec::new()
        };
        let memory_per_stripe = Sieve::with_segments(low, last, F::MOST_BYTES).memory_bound();
        Self {
            fold,
            low,
            last,
            stripes,
            rest: F::Run::default(),
            spent: 0.0,
            progress: 0.0,
            memory_per_stripe,
        }
    }

    /// Halves the stripe with the most numbers ahead, if that is worth it, and gives the index of the new half.
    fn split(&mut self) -> Option<usize> {
        let affordable = (MAX_MEMORY / self.memory_per_stripe.max(1)) as usize;
        let elsewhere = |stripe: &&Stripe<F>| matches!(stripe.sieve, SieveSlot::Elsewhere);
        let here = self.stripes.len() - self.stripes.iter().filter(elsewhere).count();
        if here >= affordable.min(MAX_STRIPES) {
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
        if half.cost() - half.start < MIN_STRIPE_COST.max(WORTH_SPLITTING * half.shared_start) {
            return None;
        }
        old.last = middle - 1;
        self.stripes.insert(index + 1, half);
        Some(index + 1)
    }

    /// The stripe at `index` is sieved to its end.
    fn finish_stripe(&mut self, index: usize) {
        let stripe = self.stripes.remove(index);
        self.spent += stripe.start;
        let after = match self.stripes.get_mut(index) {
            Some(next) => &mut next.found,
            None => &mut self.rest,
        };
        *after = self.fold.join(stripe.found, std::mem::take(after));
    }

    /// The checkpoint of a plan for `low..=last` alone, which has done nothing.
    fn part(&self, low: u64, last: u64) -> Vec<u8> {
        let mut writer = Writer::new(F::KIND, VERSION);
        self.fold.save(&mut writer);
        writer.u64(low).u64(last).u64(0_f64.to_bits()).words(&[low, last]);
        for _ in 0..2 {
            F::save_run(&F::Run::default(), &mut writer);
        }
        writer.finish()
    }

    /// The index of the stripe that is on another machine as this part.
    fn elsewhere(&self, part: &[u8]) -> Result<usize, Damaged> {
        let mut reader = Reader::new(part, F::KIND, VERSION)?;
        F::restore(&mut reader)?;
        let (low, last) = (reader.u64()?, reader.u64()?);
        let is_it = |stripe: &Stripe<F>| {
            matches!(stripe.sieve, SieveSlot::Elsewhere) && (stripe.next, stripe.last) == (low, last)
        };
        let index = self.stripes.iter().position(is_it);
        index
            .filter(|_| self.part(low, last) == part)
            .ok_or(Damaged::Impossible("part"))
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

impl<F: Fold> Stripe<F> {
    fn new(next: u64, last: u64) -> Self {
        let sieve = Sieve::with_segments(next, last, F::MOST_BYTES);
        let cost = sieve.cost();
        Self {
            found: F::Run::default(),
            next,
            last,
            segment: sieve.segment_numbers(),
            per_number: cost.per_number,
            start: cost.start,
            shared_start: cost.start_with_avx512,
            prepared: 0.0,
            sieve: SieveSlot::Here(Box::new(sieve)),
        }
    }

    /// How many numbers are neither sieved nor under way.
    fn ahead(&self) -> u64 {
        match self.sieve {
            SieveSlot::Here(_) => self.last - self.next,
            SieveSlot::UnderWay { until } => self.last - until,
            SieveSlot::Elsewhere => 0,
        }
    }

    /// What is left to do, in modelled nanoseconds; the sieving primes included, found or not.
    fn cost(&self) -> f64 {
        self.start + (self.last - self.next) as f64 * self.per_number
    }

    fn cut(&mut self, fold: F) -> Option<Slice<F>> {
        let segments = ((SLICE_COST + self.start) / (self.per_number * self.segment as f64)) as u64 + 1;
        let numbers = (segments * self.segment).saturating_sub(self.next - Sieve::align(self.next) + 1);
        let until = self.next.saturating_add(numbers).min(self.last);
        match std::mem::replace(&mut self.sieve, SieveSlot::UnderWay { until }) {
            SieveSlot::Here(sieve) => Some(Slice {
                fold,
                next: self.next,
                until,
                sieve,
            }),
            other => {
                self.sieve = other;
                None
            }
        }
    }
}

impl<F: Fold> Plan for Sieved<F> {
    type Slice = Slice<F>;
    type Partial = Partial<F::Run>;

    fn cut(&mut self) -> Option<Slice<F>> {
        let here = self
            .stripes
            .iter()
            .position(|stripe| matches!(stripe.sieve, SieveSlot::Here(_)));
        let index = here.or_else(|| self.split())?;
        self.stripes[index].cut(self.fold.clone())
    }

    fn run(slice: Slice<F>, budget: Budget<'_>) -> Partial<F::Run> {
        let Slice {
            fold,
            next: start,
            until,
            mut sieve,
        } = slice;
        let (mut run, mut numbers) = (F::Run::default(), 0);
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    run = fold.join(run, fold.of_segment(&segment));
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
        Partial {
            start,
            numbers,
            run,
            sieve,
        }
    }

    fn absorb(&mut self, partial: Partial<F::Run>) {
        let Partial {
            start,
            numbers,
            run,
            sieve,
        } = partial;
        let Some(index) = self.stripes.iter().position(|stripe| stripe.next == start) else {
            return;
        };
        let stripe = &mut self.stripes[index];
        stripe.found = self.fold.join(std::mem::take(&mut stripe.found), run);
        self.spent += numbers as f64 * stripe.per_number;
        match stripe.next.checked_add(numbers) {
            Some(next) if next <= stripe.last => {
                stripe.next = next;
                stripe.prepared = sieve.prepared();
                stripe.sieve = SieveSlot::Here(sieve);
            }
            _ => self.finish_stripe(index),
        }
        self.raise_progress();
    }

    fn answer(&mut self) -> Option<Value> {
        self.stripes.is_empty().then(|| self.fold.answer(&self.rest))
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        let affordable = (MAX_MEMORY / self.memory_per_stripe.max(1)).clamp(1, MAX_STRIPES as u64);
        self.memory_per_stripe * affordable.min(workers.max(1) as u64)
    }

    fn is_long(&self) -> bool {
        self.stripes.iter().map(Stripe::cost).sum::<f64>() > LONG
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(F::KIND, VERSION);
        self.fold.save(&mut writer);
        let bounds: Vec<u64> = self
            .stripes
            .iter()
            .flat_map(|stripe| [stripe.next, stripe.last])
            .collect();
        writer
            .u64(self.low)
            .u64(self.last)
            .u64(self.spent.to_bits())
            .words(&bounds);
        let found = self.stripes.iter().map(|stripe| &stripe.found);
        for run in found.chain([&self.rest]) {
            F::save_run(run, &mut writer);
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, F::KIND, VERSION)?;
        let fold = F::restore(&mut reader)?;
        let (low, last, spent) = (reader.u64()?, reader.u64()?, f64::from_bits(reader.u64()?));
        let bounds = reader.words()?;
        let (pairs, []) = bounds.as_chunks::<2>() else {
            return Err(Damaged::Impossible("list of stripes"));
        };
        let ascending =
            pairs.iter().all(|[next, last]| next <= last) && pairs.windows(2).all(|two| two[0][1] < two[1][0]);
        let within = pairs
            .iter()
            .all(|[next, stripe_last]| low <= *next && *stripe_last <= last);
        if !ascending || !within || pairs.len() > MAX_STRIPES + MAX_PARTS {
            return Err(Damaged::Impossible("list of stripes"));
        }
        if !(0.0..1e30).contains(&spent) {
            return Err(Damaged::Impossible("cost"));
        }
        let mut plan = Self::by(fold, low, last);
        plan.stripes = pairs.iter().map(|[next, last]| Stripe::new(*next, *last)).collect();
        for stripe in &mut plan.stripes {
            stripe.found = F::restore_run(&mut reader)?;
        }
        plan.rest = F::restore_run(&mut reader)?;
        reader.finish()?;
        plan.spent = spent;
        plan.raise_progress();
        Ok(plan)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        let elsewhere = |stripe: &&Stripe<F>| matches!(stripe.sieve, SieveSlot::Elsewhere);
        if self.stripes.iter().filter(elsewhere).count() >= MAX_PARTS {
            return None;
        }
        let index = (0..self.stripes.len()).max_by_key(|index| self.stripes[*index].ahead())?;
        let old = &mut self.stripes[index];
        // The other machine has to find the sieving primes too.
        let cost = cost.max(MIN_STRIPE_COST).max(WORTH_SPLITTING * old.shared_start);
        let numbers = (cost / old.per_number) as u64;
        if old.ahead() / 2 < old.segment || old.ahead() - 2 * old.segment < numbers {
            return None;
        }
        // What stays ends with a segment.
        let segments = (old.last - numbers - old.next) / old.segment;
        let low = Sieve::align(old.next) + segments * old.segment;
        let last = std::mem::replace(&mut old.last, low - 1);
        let mut stripe = Stripe::new(low, last);
        stripe.sieve = SieveSlot::Elsewhere;
        self.stripes.insert(index + 1, stripe);
        Some(self.part(low, last))
    }

    fn result(&self) -> Option<Vec<u8>> {
        if !self.stripes.is_empty() {
            return None;
        }
        let mut writer = Writer::new(F::KIND, VERSION);
        F::save_run(&self.rest, &mut writer);
        Some(writer.finish())
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let index = self.elsewhere(part)?;
        let mut reader = Reader::new(result, F::KIND, VERSION)?;
        let found = F::restore_run(&mut reader)?;
        reader.finish()?;
        let stripe = &mut self.stripes[index];
        if !F::is_possible(&found, stripe.next, stripe.last) {
            return Err(Damaged::Impossible("result"));
        }
        stripe.found = self.fold.join(std::mem::take(&mut stripe.found), found);
        self.spent += (stripe.last - stripe.next) as f64 * stripe.per_number;
        self.finish_stripe(index);
        self.raise_progress();
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let index = self.elsewhere(part)?;
        let stripe = &mut self.stripes[index];
        stripe.sieve = SieveSlot::Here(Box::new(Sieve::with_segments(stripe.next, stripe.last, F::MOST_BYTES)));
        Ok(())
    }
}
