//! `next N COUNT` and `prev N COUNT`: the primes next to a number, of any size, nearest first, as rows; and then how
//! many.
//!
//! Knows nothing of how one neighbour is found ([`Neighbour`], and [`search`] for double words). Where 128 bits hold
//! the primes a slice finds many of them one after the other; beyond, one after the other is searched for on all
//! workers.

use super::listed::{Listed, packed};
use super::neighbour::{Down, Neighbour, Side, Up};
use super::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::search;
use crate::proto::Value;

/// The primes above a number.
pub type NextPrimes = Neighbours<Up>;
/// The primes below a number, as many as there are.
pub type PrevPrimes = Neighbours<Down>;

/// Primes in a slice at the most: one row.
const A_SLICE: u64 = 64;

/// The primes next to a number, on one side.
#[derive(Debug)]
pub struct Neighbours<S> {
    /// The last prime that was found; the number, before there is one.
    from: Natural,
    wanted: u64,
    found: u64,
    stage: Stage<S>,
    /// Searches so far. Slices of one before may still be under way when the next begins.
    round: u64,
    rows: Listed,
    /// The farthest that the plan has come.
    progress: f64,
}

#[derive(Debug)]
enum Stage<S> {
    /// The next run of double words is to be cut.
    Words,
    /// It is under way.
    Waiting,
    One(Box<Neighbour<S>>),
    Done,
}

/// A step of the search.
pub struct Slice<S: Side>(Work<S>);

enum Work<S: Side> {
    Words { from: u128, most: u64 },
    One(u64, <Neighbour<S> as Plan>::Slice),
}

/// What a step found.
pub struct Partial<S: Side>(Found<S>);

enum Found<S: Side> {
    /// Primes in order, and whether no double word is beyond them.
    Words {
        primes: Vec<u128>,
        is_end: bool,
    },
    One(u64, <Neighbour<S> as Plan>::Partial),
}

impl<S: Side> Neighbours<S> {
    /// Asks for `wanted` primes next to `n`.
    pub fn new(n: Natural, wanted: u64) -> Self {
        let mut plan = Self {
            from: n,
            wanted,
            found: 0,
            stage: Stage::Done,
            round: 0,
            rows: Listed::default(),
            progress: 0.0,
        };
        plan.go_on(false);
        plan
    }

    fn go_on(&mut self, is_end_of_words: bool) {
        self.stage = match u128::try_from(&self.from) {
            _ if self.found == self.wanted => Stage::Done,
            Ok(_) if !is_end_of_words => Stage::Words,
            // Below 2 there is nothing more.
            Ok(_) if !S::UP => Stage::Done,
            _ => Stage::One(Box::new(Neighbour::new(self.from.clone()))),
        };
    }
}

impl<S: Side> Plan for Neighbours<S> {
    type Slice = Slice<S>;
    type Partial = Partial<S>;

    fn cut(&mut self) -> Option<Slice<S>> {
        if self.rows.is_full() {
            return None;
        }
        Some(Slice(match &mut self.stage {
            Stage::Words => {
                self.stage = Stage::Waiting;
                Work::Words {
                    from: u128::try_from(&self.from).ok()?,
                    most: A_SLICE.min(self.wanted - self.found),
                }
            }
            Stage::One(one) => Work::One(self.round, one.cut()?),
            Stage::Waiting | Stage::Done => return None,
        }))
    }

    fn run(Slice(work): Slice<S>, budget: Budget<'_>) -> Partial<S> {
        Partial(match work {
            Work::Words { from, most } => {
                let step = if S::UP { search::next } else { search::prev };
                let mut primes: Vec<u128> = Vec::new();
                let mut is_end = false;
                while (primes.len() as u64) < most {
                    match step(*primes.last().unwrap_or(&from)) {
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
            Work::One(round, slice) => Found::One(round, Neighbour::<S>::run(slice, budget)),
        })
    }

    fn absorb(&mut self, Partial(found): Partial<S>) {
        match found {
            Found::Words { primes, is_end } => {
                if let Some(last) = primes.last() {
                    self.from = Natural::from(*last);
                }
                self.found += primes.len() as u64;
                self.rows.extend(packed(primes.iter().map(u128::to_string)));
                self.go_on(is_end);
            }
            Found::One(round, partial) => {
                let Stage::One(one) = &mut self.stage else {
                    return;
                };
                if round != self.round {
                    return;
                }
                one.absorb(partial);
                if let Some(Value::Number(prime)) = one.answer() {
                    self.rows.extend(vec![prime.to_string()]);
                    self.from = prime;
                    self.found += 1;
                    self.round += 1;
                    self.go_on(false);
                }
            }
        }
        let under_way = match &self.stage {
            Stage::One(one) => one.progress(),
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
        let one = Neighbour::<S>::new(self.from.clone());
        // Beside the rows there is always one that may be as long as the number.
        (256 << 10) + one.memory(workers)
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
                plan.absorb(Neighbours::run(slice, Budget::unlimited()));
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
    fn the_edge_of_double_words_is_crossed() {
        // A013603 and A013597: 2^128 - 159 and 2^128 + 51.
        let edge = Natural::ONE << 128;
        let up = words(NextPrimes::new(&edge - 240u8, 5));
        assert!(up[3] == &edge - 159u8 && up[4] == &edge + 51u8, "{up:?}");
        let mut down = words(PrevPrimes::new(&up[4] + 1u8, 5));
        down.reverse();
        assert_eq!(up, down);
    }

    #[test]
    fn rows_are_the_same_however_they_are_made() {
        let n = Natural::from(10u8).pow(60);
        assert_eq!(exercise(|| NextPrimes::new(n.clone(), 5)), 5.into());
        assert_eq!(exercise(|| PrevPrimes::new(n.clone(), 5)), 5.into());
    }
}
