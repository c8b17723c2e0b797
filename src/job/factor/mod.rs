//! The prime factors of a number of any size: one composite part after the other is split until all parts are prime.
//!
//! Does not know how a part is split; see [`crate::primes::factor`]. What one step after the other does is one slice at
//! a time; searches on curves and the quadratic sieve run on all workers at once, a batch of curves or a family of
//! polynomials a slice.
//!
//! Here are the plan and its stages. `work` is what a slice does, `searching` and `sieving` are the stages of many
//! slices, `elsewhere` the parts that other machines do, `part` such a part there, `task` what is sent both ways,
//! `checkpoint` the bytes of a plan, `progress` what is shown.

mod checkpoint;
mod elsewhere;
mod part;
mod progress;
mod searching;
mod sieving;
mod task;
#[cfg(test)]
mod tests;
mod work;

use self::part::Part;
use self::searching::Searching;
use self::sieving::Sieving;
use self::work::{Found, Work};
use super::checkpoint::Damaged;
use super::plan::{Budget, Plan, Shared};
use crate::primes::Natural;
use crate::primes::factor::curves::{self, Batch, Bounds, Divisors};
use crate::primes::factor::quadratic::{self, Solved};
use crate::primes::factor::schedule;
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The prime factors of a number, ascending, with multiplicity.
#[derive(Debug)]
pub struct Factor {
    n: Natural,
    primes: Vec<Natural>,
    /// Parts that are not known to be prime.
    parts: Vec<Natural>,
    /// The part under work.
    part: Option<Natural>,
    stage: Stage,
    progress: f64,
    /// Slices of searches and sieves that have ended may come back late: each has a number of its own.
    generation: u64,
    /// What other machines do, each with the generation that it was cut in.
    elsewhere: BTreeMap<Vec<u8>, u64>,
}

#[derive(Debug)]
enum Stage {
    /// This is to be done next, by one slice alone.
    Alone(Work),
    /// The one slice is under way.
    Waiting,
    Searching(Searching),
    Sieving(Box<Sieving>),
    /// The plan is a share of the work of a plan on another machine.
    Part(Box<Part>),
    Done,
}

/// A bout of splitting.
#[derive(Debug)]
pub struct Slice {
    generation: u64,
    work: Work,
}

/// What a bout found.
#[derive(Debug)]
pub struct Partial {
    generation: u64,
    found: Found,
}

impl Factor {
    /// Asks for the factors of `n`, which must not be 0.
    pub fn new(n: Natural) -> Self {
        Self {
            stage: Stage::Alone(Work::Begin(n.clone())),
            part: Some(n.clone()),
            n,
            primes: Vec::new(),
            parts: Vec::new(),
            progress: 0.0,
            generation: 0,
            elsewhere: BTreeMap::new(),
        }
    }

    /// The plan of a checkpoint of this number.
    ///
    /// # Errors
    /// [`Damaged`] if it is none, that of another number, or a part for another machine.
    pub(super) fn restore_of(n: &Natural, bytes: &[u8]) -> Result<Self, Damaged> {
        let is_it = |factor: &Self| factor.n == *n;
        let factor = Some(Self::restore_whole(bytes)?).filter(is_it);
        factor.ok_or(Damaged::Impossible("number to be factored"))
    }

    /// The plan of a checkpoint of any number.
    ///
    /// # Errors
    /// [`Damaged`] if it is none, or a part for another machine.
    pub(super) fn restore_whole(bytes: &[u8]) -> Result<Self, Damaged> {
        let is_whole = |factor: &Self| !matches!(factor.stage, Stage::Part(_));
        let factor = Some(checkpoint::restore(bytes)?).filter(is_whole);
        factor.ok_or(Damaged::Impossible("number to be factored"))
    }

    /// The primes that are known so far, each as often as it was found.
    pub(super) fn known(&self) -> &[Natural] {
        &self.primes
    }

    /// What the number is known to be the product of: primes, and parts that may be none.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Natural> {
        self.primes.iter().chain(&self.parts).chain(&self.part)
    }

    /// True if the number is known to be divided by two different primes: the part under work is composite and no
    /// power.
    pub(super) const fn has_two_primes(&self) -> bool {
        matches!(self.stage, Stage::Searching(_) | Stage::Sieving(_))
    }

    /// Turns to the next part, if there is one.
    fn go_on(&mut self) {
        self.generation += 1;
        self.part = self.parts.pop();
        self.stage = match &self.part {
            Some(part) => Stage::Alone(Work::Split(part.clone())),
            None => {
                self.primes.sort_unstable();
                Stage::Done
            }
        };
    }

    /// The part under work is the product of these, and so is each part that equals it.
    fn came_apart(&mut self, primes: Vec<Natural>, mut parts: Vec<Natural>) {
        let others = self.parts.len();
        let part = self.part.take();
        self.parts.retain(|other| Some(other) != part.as_ref());
        let equal = 1 + others - self.parts.len();
        // The smallest is the next, whichever was found: which primes are known first does not depend on how the plan
        // was cut.
        parts.sort_unstable_by(|a, b| b.cmp(a));
        self.parts.extend(repeated(parts, equal));
        self.primes.extend(repeated(primes, equal));
        self.go_on();
    }

    /// The part under work has this proper divisor.
    fn divided(&mut self, divisor: Natural) {
        if let Some(part) = &self.part {
            let other = part / &divisor;
            self.came_apart(Vec::new(), vec![other, divisor]);
        }
    }

    /// A composite part that is no power is searched, and then sieved if it is not too long.
    fn search(&mut self, n: Natural) {
        let bits = n.bit_len();
        let levels = schedule::levels(bits, bits <= quadratic::LONGEST);
        if levels.is_empty() {
            return self.sieve(n);
        }
        self.stage = Stage::Searching(Searching::new(n, levels, 0));
        self.generation += 1;
    }

    /// A batch of curves has come to an end, or back.
    fn searched(&mut self, parameter: Option<u32>, searched: Result<Divisors, Box<dyn Batch>>) {
        let Stage::Searching(searching) = &mut self.stage else {
            return;
        };
        match searched {
            Err(batch) => searching.pause(parameter, batch),
            Ok(divisors) => {
                let divisor = curves::proper(searching.number(), &divisors);
                self.finished(divisor, 1);
            }
        }
    }

    /// Batches have come to an end, here or elsewhere.
    fn finished(&mut self, divisor: Option<Natural>, batches: u32) {
        let Stage::Searching(searching) = &mut self.stage else {
            return;
        };
        if let Some(divisor) = divisor {
            self.divided(divisor);
        } else if searching.finished(batches) {
            let n = searching.number().clone();
            self.sieve(n);
        }
    }

    fn sieve(&mut self, n: Natural) {
        self.stage = Stage::Sieving(Box::new(Sieving::new(n)));
        self.generation += 1;
    }
}

/// Each of these numbers as many times.
fn repeated(numbers: Vec<Natural>, times: usize) -> impl Iterator<Item = Natural> {
    numbers
        .into_iter()
        .flat_map(move |number| std::iter::repeat_n(number, times))
}

impl Plan for Factor {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let work = match &mut self.stage {
            Stage::Searching(searching) => searching.cut()?,
            Stage::Sieving(sieving) => sieving.cut()?,
            Stage::Part(part) => part.cut()?,
            Stage::Waiting | Stage::Done => return None,
            Stage::Alone(_) => match std::mem::replace(&mut self.stage, Stage::Waiting) {
                Stage::Alone(work) => work,
                _ => return None,
            },
        };
        Some(Slice {
            generation: self.generation,
            work,
        })
    }

    fn run(slice: Slice, budget: Budget<'_>) -> Partial {
        Partial {
            generation: slice.generation,
            found: slice.work.run(budget),
        }
    }

    fn absorb(&mut self, partial: Partial) {
        // What was cut for a part that has come apart since is of no use.
        if partial.generation != self.generation {
            return;
        }
        if let Stage::Part(part) = &mut self.stage {
            part.absorb(partial.found);
            self.progress = self.progress.max(part.progress());
            return;
        }
        match partial.found {
            Found::Parts { primes, parts } => self.came_apart(primes, parts),
            Found::Composite(n) => self.search(n),
            Found::Next(work) => match (&mut self.stage, work) {
                (Stage::Searching(searching), Work::Bounds(bounds)) => searching.put_back(bounds),
                (Stage::Sieving(sieving), Work::Build(building)) => sieving.put_back(building),
                (Stage::Sieving(sieving), Work::Restore(restoring)) => sieving.go_on_restoring(restoring),
                (_, work) => self.stage = Stage::Alone(work),
            },
            Found::Bounds(bounds) => {
                if let Stage::Searching(searching) = &mut self.stage {
                    searching.bounded(bounds);
                }
            }
            Found::Searched(parameter, searched) => self.searched(parameter, searched),
            Found::Base(base) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.based(base);
                }
            }
            Found::Restored(collector) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.restored(*collector);
                }
            }
            Found::Sieved { relations, rest, .. } => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.sieved(relations, rest);
                }
            }
            Found::Checked { relations, rest } => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.checked(relations, rest);
                }
            }
            Found::Solving(solving) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.solving(solving);
                }
            }
            Found::Solved(Solved::Factor(divisor)) => self.divided(divisor),
            Found::Solved(Solved::Nothing) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.unsolved();
                }
            }
        }
        self.progress = self.progress.max(progress::share(&self.stage));
    }

    fn answer(&mut self) -> Option<Value> {
        match &self.stage {
            Stage::Done => Some(Value::Numbers(self.primes.clone())),
            Stage::Part(part) if part.is_done() => Some(Value::Nothing),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn stage(&self) -> Option<String> {
        progress::stage(&self.stage)
    }

    fn found(&self) -> Option<String> {
        progress::found(self)
    }

    fn memory(&self, workers: usize) -> u64 {
        let bits = self.n.bit_len();
        if bits <= 128 {
            return (8 << 20).max(quadratic::memory(bits.max(64), workers));
        }
        // The number, its parts and the elements of a test or of a search; the sieve of as long a part as can be
        // sieved.
        let sieve = quadratic::memory(bits.min(quadratic::LONGEST), workers);
        let levels = schedule::levels(bits, bits <= quadratic::LONGEST);
        let searches = levels.iter().map(|level| {
            let batch = curves::bytes(bits, level.second) * (workers as u64 + 1);
            Bounds::bytes(level.first, level.second) + batch
        });
        (1 << 20) + 64 * bits as u64 + sieve.max(searches.max().unwrap_or(0))
    }

    fn save(&self) -> Option<Vec<u8>> {
        Some(checkpoint::save(self))
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        checkpoint::restore(bytes)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        elsewhere::cut(self, cost)
    }

    fn result(&self) -> Option<Vec<u8>> {
        match &self.stage {
            Stage::Part(part) => part.result(),
            _ => None,
        }
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        elsewhere::absorb(self, part, result)?;
        self.progress = self.progress.max(progress::share(&self.stage));
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        elsewhere::take_back(self, part)
    }

    fn needs_shared(&self) -> bool {
        matches!(&self.stage, Stage::Part(part) if !part.is_done() && part.shared().is_none())
    }

    fn shared(&self) -> Option<Shared> {
        match &self.stage {
            Stage::Searching(searching) => Some(Arc::clone(searching.bounds()?) as Shared),
            Stage::Sieving(sieving) => Some(Arc::clone(sieving.base()?) as Shared),
            Stage::Part(part) => part.shared(),
            _ => None,
        }
    }

    fn use_shared(&mut self, shared: &Shared) {
        if let Stage::Part(part) = &mut self.stage {
            part.use_shared(shared);
        }
    }
}
