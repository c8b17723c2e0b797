//! `next N COUNT` and `prev N COUNT`: the primes next to a number, of any size, nearest first, as rows; and then how
//! many.
//!
//! Knows nothing of how they are found: where a word holds the primes a slice finds many of them one after the other
//! ([`search`]); beyond, a [`Search`](super::nearest::Search) does.

use super::listed::{Listed, packed};
use super::nearest::{self, Down, Search, Side, Up};
use super::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::search;
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::sync::Arc;

/// The primes above a number.
pub type NextPrimes = Neighbours<Up>;
/// The primes below a number, as many as there are.
pub type PrevPrimes = Neighbours<Down>;

/// Primes in a row at the most, and in a slice of words.
const ROW: usize = 64;

/// The primes next to a number, on one side.
#[derive(Debug)]
pub struct Neighbours<S> {
    /// The last prime that was found; the number, before there is one.
    from: Natural,
    wanted: u64,
    found: u64,
    stage: Stage<S>,
    /// Primes that do not fill a row yet.
    in_row: Vec<String>,
    rows: Listed,
    /// The farthest that the plan has come.
    progress: f64,
}

#[derive(Debug)]
enum Stage<S> {
    /// The next run of words is to be cut.
    Words,
    /// It is under way.
    Waiting,
    Long(Search<S>),
    Done,
}

/// A step of the search.
pub struct Slice(Work);

enum Work {
    Words { from: u64, most: u64 },
    Long(nearest::Slice),
}

/// What a step found.
pub struct Partial(Found);

enum Found {
    /// Primes in order, and whether there are no more.
    Words {
        primes: Vec<u128>,
        is_end: bool,
    },
    Long(nearest::Partial),
}

impl<S: Side> Neighbours<S> {
    /// Asks for `wanted` primes next to `n`.
    pub fn new(n: Natural, wanted: u64) -> Self {
        Self {
            stage: Stage::from(&n, wanted),
            from: n,
            wanted,
            found: 0,
            in_row: Vec::new(),
            rows: Listed::default(),
            progress: 0.0,
        }
    }

    /// Puts primes into rows, those of more than 128 bits into one each: they may take long.
    fn put(&mut self, primes: &[Natural]) {
        self.found += primes.len() as u64;
        for prime in primes {
            self.in_row.push(prime.to_string());
            if self.in_row.len() == ROW || prime.bit_len() > 128 {
                self.rows.extend(packed(self.in_row.drain(..)));
            }
        }
    }
}

impl<S: Side> Stage<S> {
    fn from(n: &Natural, wanted: u64) -> Self {
        match u64::try_from(n) {
            _ if wanted == 0 => Self::Done,
            Ok(_) => Self::Words,
            Err(_) => Self::Long(Search::new(Arc::new(n.clone()), wanted, 1)),
        }
    }
}

impl<S: Side> Plan for Neighbours<S> {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        if self.rows.is_full() {
            return None;
        }
        Some(Slice(match &mut self.stage {
            Stage::Words => {
                self.stage = Stage::Waiting;
                Work::Words {
                    from: u64::try_from(&self.from).ok()?,
                    most: (ROW as u64).min(self.wanted - self.found),
                }
            }
            Stage::Long(search) => Work::Long(search.cut()?),
            Stage::Waiting | Stage::Done => return None,
        }))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Words { from, most } => {
                let step = if S::UP { search::next } else { search::prev };
                let mut primes: Vec<u128> = Vec::new();
                let mut is_end = false;
                while (primes.len() as u64) < most {
                    match step(primes.last().copied().unwrap_or(from.into())) {
                        Some(prime) => primes.push(prime),
                        None => {
                            is_end = true;
                            break;
                        }
                    }
                    if budget.over() {
                        break;
                    }
                }
                Found::Words { primes, is_end }
            }
            Work::Long(slice) => Found::Long(Search::<S>::run(slice, budget)),
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        let (mut primes, is_end) = match (found, &mut self.stage) {
            (Found::Words { primes, is_end }, _) => (primes.into_iter().map(Natural::from).collect(), is_end),
            (Found::Long(partial), Stage::Long(search)) => (search.absorb(partial), false),
            // Bouts that began before the search was over.
            _ => return,
        };
        self.put(&primes);
        if is_end || self.found == self.wanted {
            self.rows.extend(packed(self.in_row.drain(..)));
            self.stage = Stage::Done;
        } else if let Some(last) = primes.pop()
            && (matches!(self.stage, Stage::Waiting) || last.bit_len() <= 64)
        {
            self.stage = Stage::from(&last, self.wanted - self.found);
            self.from = last;
        }
        let under_way = match &self.stage {
            Stage::Long(search) => search.progress(),
            _ => 0.0,
        };
        let progress = (self.found as f64 + under_way) / (self.wanted as f64).max(1.0);
        self.progress = self.progress.max(progress.min(1.0));
    }

    fn answer(&mut self) -> Option<Value> {
        let is_done = matches!(self.stage, Stage::Done) && self.rows.is_empty();
        is_done.then(|| self.found.into())
    }

    fn progress(&self) -> f64 {
        match self.stage {
            Stage::Done => 1.0,
            _ => self.progress,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        // Beside the rows there is always one that may be as long as the number.
        (256 << 10) + Search::<S>::memory(&self.from, self.wanted, workers)
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        self.rows.take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise;

    fn words<S: Side>(mut plan: Neighbours<S>) -> Vec<Natural> {
        let mut words = Vec::new();
        loop {
            let rows = plan.rows(3);
            words.extend(
                rows.iter()
                    .flat_map(|row| row.split(' '))
                    .map(|word| word.parse().expect("a number")),
            );
            if let Some(value) = plan.answer() {
                assert_eq!(value, (words.len() as u64).into());
                return words;
            }
            if let Some(slice) = plan.cut() {
                plan.absorb(Neighbours::<S>::run(slice, Budget::unlimited()));
            }
        }
    }

    fn small(numbers: &[u64]) -> Vec<Natural> {
        numbers.iter().map(|n| Natural::from(*n)).collect()
    }

    #[test]
    fn neighbours_come_nearest_first() {
        assert_eq!(words(NextPrimes::new(100u8.into(), 4)), small(&[101, 103, 107, 109]));
        assert_eq!(words(PrevPrimes::new(100u8.into(), 4)), small(&[97, 89, 83, 79]));
        assert_eq!(words(NextPrimes::new(7u8.into(), 0)), small(&[]));
        assert_eq!(words(NextPrimes::new(0u8.into(), 1000)).last(), Some(&7919u64.into()));
    }

    #[test]
    fn the_primes_below_a_number_end_at_two() {
        assert_eq!(words(PrevPrimes::new(8u8.into(), 100)), small(&[7, 5, 3, 2]));
        assert_eq!(words(PrevPrimes::new(2u8.into(), 1)), small(&[]));
    }

    #[test]
    fn edges_of_words_are_crossed() {
        // A013603 and A013597: 2^64 - 59 and + 13, 2^128 - 159 and + 51.
        for (bits, below, above, reach) in [(64, 59u8, 13u8, 400u32), (128, 159, 51, 240)] {
            let edge = Natural::ONE << bits;
            let up = words(NextPrimes::new(&edge - reach, 12));
            let at = up.iter().position(|p| *p == &edge - below).expect("it is among them");
            assert_eq!(up[at + 1], &edge + above, "{up:?}");
            let mut down = words(PrevPrimes::new(&up[11] + 1u8, 12));
            down.reverse();
            assert_eq!(up, down);
        }
    }

    #[test]
    fn one_after_the_other_and_together_are_the_same() {
        for n in [Natural::ONE << 70, Natural::from(10u8).pow(45)] {
            let together = words(NextPrimes::new(n.clone(), 150));
            let mut before = n;
            for prime in together {
                assert_eq!(words(NextPrimes::new(before, 1)), std::slice::from_ref(&prime));
                before = prime;
            }
        }
    }

    #[test]
    fn rows_are_the_same_however_they_are_made() {
        let n = Natural::from(10u8).pow(60);
        assert_eq!(exercise(|| NextPrimes::new(n.clone(), 60)), 60.into());
        assert_eq!(exercise(|| PrevPrimes::new(n.clone(), 5)), 5.into());
    }
}
