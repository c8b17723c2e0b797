//! `nth A B`: the A-th to the B-th prime as rows, and then how many: both ends are found, then what lies between is
//! sieved.
//!
//! Knows nothing of how a prime is found by its number ([`Nth`]) or how primes become rows ([`Rows`]).

use super::{Budget, Nth, Plan, Rows};
use crate::proto::Value;

/// Streams the primes from one number of theirs to another.
pub struct NthRows {
    stage: Stage,
    /// The share that finding the ends has, as a sieve of what is between would cost the rest.
    ends_share: f64,
    progress: f64,
}

enum Stage {
    Ends([End; 2]),
    Rows(Box<Rows>),
}

/// One of both ends.
enum End {
    Looking(Box<Nth>),
    Found(u64),
}

/// A step.
pub struct Slice(Work);

enum Work {
    End(usize, Box<<Nth as Plan>::Slice>),
    Rows(<Rows as Plan>::Slice),
}

/// What a step brought.
pub struct Partial(Found);

enum Found {
    End(usize, Box<<Nth as Plan>::Partial>),
    Rows(<Rows as Plan>::Partial),
}

impl NthRows {
    /// The `first`-th to the `last`-th prime, counted from 1; `first` must not be above `last`.
    pub fn new(first: u64, last: u64) -> Self {
        let end = |n: u64| End::Looking(Box::new(Nth::new(n.into())));
        // An end takes some 1 ms at 10^10 and five times as long for every ten times as far; a prime of a row takes
        // some 20 ns.
        let ends = 1e6 * (last as f64 / 1e10).max(1.0).powf(0.65);
        let rows = 20.0 * (last - first) as f64;
        Self {
            stage: Stage::Ends([end(first), end(last)]),
            ends_share: ends / (ends + rows),
            progress: 0.0,
        }
    }
}

impl Plan for NthRows {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        Some(Slice(match &mut self.stage {
            Stage::Ends(ends) => {
                let mut ends = ends.iter_mut().enumerate();
                let (index, slice) = ends.find_map(|(index, end)| match end {
                    End::Looking(nth) => Some((index, Plan::cut(nth.as_mut())?)),
                    End::Found(_) => None,
                })?;
                Work::End(index, Box::new(slice))
            }
            Stage::Rows(rows) => Work::Rows(Plan::cut(rows.as_mut())?),
        }))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::End(index, slice) => Found::End(index, Box::new(Nth::run(*slice, budget))),
            Work::Rows(slice) => Found::Rows(Rows::run(slice, budget)),
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match (found, &mut self.stage) {
            (Found::End(index, partial), Stage::Ends(ends)) => {
                if let End::Looking(nth) = &mut ends[index] {
                    Plan::absorb(nth.as_mut(), *partial);
                    if let Some(prime) = Plan::answer(nth.as_mut()).and_then(|prime| u64::try_from(prime).ok()) {
                        ends[index] = End::Found(prime);
                    }
                }
                if let [End::Found(low), End::Found(last)] = *ends {
                    self.stage = Stage::Rows(Box::new(Rows::new(low, last)));
                }
            }
            (Found::Rows(partial), Stage::Rows(rows)) => Plan::absorb(rows.as_mut(), partial),
            // A slice towards an end that was found without it.
            _ => {}
        }
        let progress = match &self.stage {
            Stage::Ends(ends) => {
                let done = |end: &End| match end {
                    End::Looking(nth) => Plan::progress(nth.as_ref()),
                    End::Found(_) => 1.0,
                };
                self.ends_share * ends.iter().map(done).sum::<f64>() / 2.0
            }
            Stage::Rows(rows) => self.ends_share + (1.0 - self.ends_share) * Plan::progress(rows.as_ref()),
        };
        self.progress = self.progress.max(progress.min(1.0));
    }

    fn answer(&mut self) -> Option<Value> {
        match &mut self.stage {
            Stage::Ends(_) => None,
            Stage::Rows(rows) => Plan::answer(rows.as_mut()),
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        match &self.stage {
            Stage::Ends(ends) => {
                let memory = |end: &End| match end {
                    End::Looking(nth) => Plan::memory(nth.as_ref(), workers),
                    End::Found(_) => 0,
                };
                // What the rows hold is less than what sieves at the ends do, but for what waits to be taken.
                ends.iter().map(memory).sum::<u64>() + (4 << 20)
            }
            Stage::Rows(rows) => Plan::memory(rows.as_ref(), workers),
        }
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        match &mut self.stage {
            Stage::Ends(_) => Vec::new(),
            Stage::Rows(rows) => Plan::rows(rows.as_mut(), most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise;
    use crate::primes::known;

    #[test]
    fn the_primes_of_the_table_are_listed() {
        for (first, last) in [(1, 1), (1, 10), (1000, 3000), (82_000, 82_025)] {
            let mut plan = NthRows::new(first, last);
            let mut rows = Vec::new();
            let count = loop {
                rows.extend(plan.rows(2));
                if let Some(value) = plan.answer() {
                    break value;
                }
                if let Some(slice) = plan.cut() {
                    plan.absorb(NthRows::run(slice, Budget::unlimited()));
                }
            };
            let words = rows.iter().flat_map(|row| row.split(' ')).map(|word| word.parse().ok());
            assert!(words.eq((first..=last).map(known::nth)), "{first} {last}");
            assert_eq!(count, (last + 1 - first).into());
        }
    }

    #[test]
    fn rows_are_the_same_however_they_are_made() {
        assert_eq!(exercise(|| NthRows::new(1_000_000, 1_050_000)), 50_001.into());
    }
}
