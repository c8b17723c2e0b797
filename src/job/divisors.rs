//! `divisors N`: all divisors of a number, ascending, as rows, and then how many there are.
//!
//! Knows nothing of how factors are found ([`Factor`]) or how divisors are put together ([`DivisorList`]).

use super::listed::{Listed, packed};
use super::of_factors::{factor_of, primes};
use super::{Budget, Factor, Plan};
use crate::primes::Natural;
use crate::primes::multiplicative::{self, DivisorList, PrimePower};
use crate::proto::Value;
use std::sync::Arc;

/// Bytes that all divisors may take to be listed: enough for every number below 2^64, the most divided of which has
/// 161,280 (A002182, 9200527969062830400); and a pass over them takes a few milliseconds.
const MOST_BYTES: u64 = 8 << 20;

/// Divisors that a slice writes, and the bytes of them: a few ten microseconds, or some hundred for long ones.
const A_SLICE: usize = 512;
const A_SLICE_BYTES: u64 = 32 << 10;

/// Lists the divisors of a number.
#[derive(Debug)]
pub struct Divisors {
    stage: Stage,
    rows: Listed,
    count: Natural,
    progress: f64,
}

#[derive(Debug)]
enum Stage {
    Factoring(Box<Factor>),
    /// Putting the divisors together; `None` while a slice is at it.
    Joining(Option<Box<DivisorList>>),
    /// Writing them from this one on.
    Writing {
        divisors: Arc<Vec<Natural>>,
        next: usize,
        is_out: bool,
    },
    Done,
}

/// A step towards the rows.
pub struct Slice(Work);

enum Work {
    Factor(<Factor as Plan>::Slice),
    Join(Box<DivisorList>),
    Write(Arc<Vec<Natural>>, usize),
}

/// What a step brought.
pub struct Partial(Found);

enum Found {
    Factors(<Factor as Plan>::Partial),
    Joined(Box<DivisorList>, bool),
    Written(Vec<String>, usize),
}

impl Divisors {
    /// Asks for the divisors of `n`, which must not be 0.
    pub fn new(n: &Natural) -> Self {
        Self {
            stage: Stage::Factoring(Box::new(factor_of(n))),
            rows: Listed::default(),
            count: Natural::ZERO,
            progress: 0.0,
        }
    }

    fn begin(&mut self, powers: Vec<PrimePower>) {
        self.count = multiplicative::divisors(&powers);
        let n: Natural = powers.iter().map(|(p, k)| p.pow(*k)).product();
        let room = MOST_BYTES / multiplicative::bytes(&n);
        self.stage = match self.count <= Natural::from(room) {
            true => Stage::Joining(Some(Box::new(DivisorList::new(powers)))),
            false => Stage::Done,
        };
    }
}

impl Plan for Divisors {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        Some(Slice(match &mut self.stage {
            Stage::Factoring(factor) => Work::Factor(Plan::cut(factor.as_mut())?),
            Stage::Joining(list) => Work::Join(list.take()?),
            Stage::Writing { divisors, next, is_out } => {
                if *is_out || self.rows.is_full() {
                    return None;
                }
                *is_out = true;
                Work::Write(Arc::clone(divisors), *next)
            }
            Stage::Done => return None,
        }))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Factor(slice) => Found::Factors(Factor::run(slice, budget)),
            Work::Join(mut list) => {
                let is_done = list.advance(|| budget.over());
                Found::Joined(list, is_done)
            }
            Work::Write(divisors, next) => {
                let longest = divisors.last().map_or(1, multiplicative::bytes);
                let most = (A_SLICE_BYTES / longest).clamp(1, A_SLICE as u64) as usize;
                let end = divisors.len().min(next + most);
                Found::Written(packed(divisors[next..end].iter().map(Natural::to_string)), end)
            }
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::Factors(partial), Stage::Factoring(factor)) => {
                Plan::absorb(factor.as_mut(), partial);
                self.progress = self.progress.max(Plan::progress(factor.as_ref()).min(1.0));
                if let Some(value) = Plan::answer(factor.as_mut()) {
                    self.begin(multiplicative::powers(&primes(value)));
                }
            }
            (Found::Joined(list, false), Stage::Joining(here)) => *here = Some(list),
            (Found::Joined(list, true), _) => {
                let divisors = Arc::new(list.into_divisors());
                self.stage = Stage::Writing {
                    divisors,
                    next: 0,
                    is_out: false,
                };
            }
            (Found::Written(rows, end), Stage::Writing { divisors, next, is_out }) => {
                (*next, *is_out) = (end, false);
                if end == divisors.len() {
                    self.stage = Stage::Done;
                }
                self.rows.extend(rows);
            }
            // A slice of the factors that was under way when they were found.
            _ => {}
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let is_done = matches!(self.stage, Stage::Done) && self.rows.is_empty();
        is_done.then(|| Value::Number(self.count.clone()))
    }

    fn progress(&self) -> f64 {
        // Putting together and writing takes milliseconds.
        self.progress
    }

    fn stage(&self) -> Option<String> {
        match &self.stage {
            Stage::Factoring(factor) => Plan::stage(factor.as_ref()),
            _ => None,
        }
    }

    fn found(&self) -> Option<String> {
        match &self.stage {
            Stage::Factoring(factor) => Plan::found(factor.as_ref()),
            _ => None,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        let factoring = match &self.stage {
            Stage::Factoring(factor) => Plan::memory(factor.as_ref(), workers),
            _ => 0,
        };
        // The list, its last layer and the list that is made of both.
        factoring + 3 * MOST_BYTES + (1 << 20)
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        self.rows.take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise;

    fn listed(n: u128) -> (Vec<u128>, Value) {
        let mut plan = Divisors::new(&n.into());
        let mut rows = Vec::new();
        loop {
            rows.extend(plan.rows(2));
            if let Some(value) = Plan::answer(&mut plan) {
                let words = rows.iter().flat_map(|row| row.split(' '));
                return (words.map(|word| word.parse().expect("a number")).collect(), value);
            }
            if let Some(slice) = Plan::cut(&mut plan) {
                Plan::absorb(&mut plan, Divisors::run(slice, Budget::unlimited()));
            }
        }
    }

    #[test]
    fn all_divisors_are_listed_in_order() {
        for n in 1..500u128 {
            let (divisors, count) = listed(n);
            assert!(
                (1..=n).filter(|d| n.is_multiple_of(*d)).eq(divisors.iter().copied()),
                "{n}"
            );
            assert_eq!(count, Value::from(divisors.len() as u64));
        }
        // A066150: no number below 10^18 has more divisors than this one, which has 103,680.
        let n = 897_612_484_786_617_600;
        let (divisors, count) = listed(n);
        assert_eq!((divisors.len(), count), (103_680, 103_680.into()));
        assert!(divisors.is_sorted() && divisors.iter().all(|d| n.is_multiple_of(*d)));
    }

    #[test]
    fn what_has_too_many_is_answered_by_their_number() {
        // The product of the primes up to 97 has 2^25 divisors.
        let n = 2_305_567_963_945_518_424_753_102_147_331_756_070;
        assert_eq!(listed(n), (vec![], (1u64 << 25).into()));
    }

    #[test]
    fn rows_are_the_same_however_they_are_made() {
        assert_eq!(
            exercise(|| Divisors::new(&Natural::from(5040 * 5040 * 1_000_003u128))),
            810.into()
        );
    }
}
