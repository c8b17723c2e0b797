//! The prime factors of a number of any size: one composite part after the other is split until all parts are prime.
//!
//! Does not know how a part is split; see [`crate::primes::factor`]. What one step after the other does is one slice at a time; searches on curves and
//! the quadratic sieve run on all workers at once, a batch of curves or a family of polynomials a slice.

mod part;

use self::part::{Part, Task};
use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan, Shared};
use crate::primes::Natural;
use crate::primes::factor::curves::{self, Batch, Bounds, Divisors, LANES};
use crate::primes::factor::quadratic::{
    self, Base, Building, Choice, Collector, Family, Relation, Returned, Solved, Solving,
};
use crate::primes::factor::schedule::{self, Level};
use crate::primes::factor::{Powers, Trial, small_factors, word};
use crate::primes::primality::bpsw::Test;
use crate::primes::primality::is_prime_u128;
use crate::primes::primality::large::Large;
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const KIND: [u8; 4] = *b"FACT";
const VERSION: u32 = 3;

/// The first curve's parameter: those up to 5 give none.
const FIRST_PARAMETER: u32 = 6;

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

/// The most that other machines do at once.
const MOST_ELSEWHERE: usize = 4096;

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

#[derive(Debug)]
enum Work {
    /// Trial division of the number itself.
    Begin(Natural),
    Trial(Trial),
    /// The primality of a part.
    Split(Natural),
    Test(Natural, Box<(Large, Test<Natural>)>),
    /// Whether a composite part is a power.
    Power(Natural, Powers),
    /// The bounds of a level.
    Bounds(Bounds),
    /// The factor base for a part.
    Build(Box<Building>),
    Search(Box<dyn Batch>),
    /// A batch that is still to be made: of curves from this parameter on, or of sequences.
    Open {
        n: Arc<Natural>,
        bounds: Arc<Bounds>,
        parameter: Option<u32>,
    },
    Sieve(Family),
    /// Relations from another machine are to be computed again.
    Check(Arc<Base>, Box<Returned>),
    Solve(Box<Solving>),
}

/// What a bout found.
#[derive(Debug)]
pub struct Partial {
    generation: u64,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// A part came apart into primes and other parts.
    Parts {
        primes: Vec<Natural>,
        parts: Vec<Natural>,
    },
    /// Something else has to be done to the part.
    Next(Work),
    /// The part is a composite that is no power.
    Composite(Natural),
    Bounds(Arc<Bounds>),
    Base(Arc<Base>),
    Searched(Result<Divisors, Box<dyn Batch>>),
    Sieved {
        relations: Vec<Relation>,
        /// How many polynomials were sieved.
        polynomials: u32,
        rest: Option<Family>,
    },
    Checked {
        relations: Vec<Relation>,
        rest: Option<Box<Returned>>,
    },
    Solving(Box<Solving>),
    Solved(Solved),
}

/// The searches of a part under way.
#[derive(Debug)]
struct Searching {
    n: Arc<Natural>,
    levels: Vec<Level>,
    level: usize,
    bounds: Option<Arc<Bounds>>,
    /// Bounds that are not yet finished; `None` if a slice is at them, or they are made.
    making: Option<Bounds>,
    /// Batches begun, and finished, of the level.
    begun: u32,
    done: u32,
    parameter: u32,
    paused: Vec<Box<dyn Batch>>,
}

/// The quadratic sieve of a part under way.
#[derive(Debug)]
struct Sieving {
    state: Sieve,
    /// What a checkpoint held: families, and relations as bytes.
    saved: Option<(Vec<Vec<u32>>, Vec<u8>)>,
}

#[derive(Debug)]
enum Sieve {
    /// The base is to be made, or being made.
    Base(Option<Box<Building>>),
    Collecting(Collecting),
    /// The relations are enough; what is to be done next, if that is not under way.
    Solving {
        collecting: Collecting,
        collector: Arc<Collector>,
        next: Option<Box<Solving>>,
        share: f64,
    },
}

#[derive(Debug)]
struct Collecting {
    base: Arc<Base>,
    choice: Choice,
    /// `None` while a solution holds it.
    collector: Option<Collector>,
    /// Families that were interrupted, or came back.
    paused: Vec<Family>,
    /// What other machines have found.
    returned: VecDeque<Box<Returned>>,
    /// Relations that came when enough had come.
    late: Vec<Relation>,
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

    /// The primes that are known so far, each as often as it was found.
    pub(super) fn primes(&self) -> Vec<Natural> {
        self.primes.clone()
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

    fn came_apart(&mut self, primes: Vec<Natural>, parts: Vec<Natural>) {
        self.primes.extend(primes);
        self.parts.extend(parts);
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
            return self.sieve(n, None);
        }
        self.stage = Stage::Searching(Searching::new(n, levels, 0));
        self.generation += 1;
    }

    /// A batch of curves has come to an end, or back.
    fn searched(&mut self, searched: Result<Divisors, Box<dyn Batch>>) {
        let Stage::Searching(searching) = &mut self.stage else {
            return;
        };
        match searched {
            Err(batch) => searching.paused.push(batch),
            Ok(divisors) => {
                let divisor = curves::proper(&searching.n, &divisors);
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
            let n = Natural::clone(&searching.n);
            self.sieve(n, None);
        }
    }

    /// The share of all work that is done, as far as it is known.
    fn share(&self) -> f64 {
        match &self.stage {
            Stage::Done => 1.0,
            Stage::Searching(searching) => searching.progress(),
            Stage::Sieving(sieving) => {
                let before = schedule::SHARE / (1.0 + schedule::SHARE);
                before + (1.0 - before) * sieving.progress()
            }
            Stage::Part(part) => part.progress(),
            Stage::Alone(_) | Stage::Waiting => 0.0,
        }
    }

    /// What this part of the plan is to do, and whether that is still wanted.
    fn elsewhere(&self, part: &[u8]) -> Result<(Natural, Task, bool), Damaged> {
        let generation = self.elsewhere.get(part).ok_or(Damaged::Impossible("part"))?;
        let (n, task) = part::read(part)?;
        Ok((n, task, *generation == self.generation))
    }

    fn sieve(&mut self, n: Natural, saved: Option<(Vec<Vec<u32>>, Vec<u8>)>) {
        self.stage = Stage::Sieving(Box::new(Sieving {
            state: Sieve::Base(Some(Box::new(Building::new(n)))),
            saved,
        }));
        self.generation += 1;
    }
}

fn small(n: u64) -> Natural {
    Natural::from(n)
}

impl Work {
    fn run(self, budget: Budget<'_>) -> Found {
        match self {
            Self::Begin(n) => match u128::try_from(&n) {
                Ok(n) => {
                    let (primes, rest) = small_factors(n);
                    let primes = primes.into_iter().map(small).collect();
                    let parts = if rest > 1 { vec![Natural::from(rest)] } else { vec![] };
                    Found::Parts { primes, parts }
                }
                Err(_) => Self::Trial(Trial::new(n)).run(budget),
            },
            Self::Trial(mut trial) => {
                if !trial.advance(|| budget.over()) {
                    return Found::Next(Self::Trial(trial));
                }
                let rest = trial.rest;
                let parts = if rest > Natural::ONE { vec![rest] } else { vec![] };
                Found::Parts {
                    primes: trial.factors,
                    parts,
                }
            }
            Self::Split(n) => split(n, budget),
            Self::Test(n, mut test) => {
                let (large, state) = *test;
                let state = large.advance(state, || budget.over());
                match state {
                    Test::Done(true) => Found::Parts {
                        primes: vec![n],
                        parts: vec![],
                    },
                    Test::Done(false) => Found::Next(Self::Power(n.clone(), Powers::new(n))),
                    state => {
                        *test = (large, state);
                        Found::Next(Self::Test(n, test))
                    }
                }
            }
            Self::Power(n, mut powers) => match powers.advance(|| budget.over()) {
                None => Found::Next(Self::Power(n, powers)),
                Some(Some((root, exponent))) => Found::Parts {
                    primes: vec![],
                    parts: vec![root; exponent],
                },
                Some(None) => Found::Composite(n),
            },
            Self::Bounds(mut bounds) => {
                if bounds.advance(|| budget.over()) {
                    Found::Bounds(Arc::new(bounds))
                } else {
                    Found::Next(Self::Bounds(bounds))
                }
            }
            Self::Build(mut building) => {
                if building.advance(|| budget.over()) {
                    Found::Base(Arc::new(building.finish()))
                } else {
                    Found::Next(Self::Build(building))
                }
            }
            Self::Open { n, bounds, parameter } => {
                let batch = match parameter {
                    None => Ok(curves::on_sequences(&n, bounds)),
                    Some(first) => curves::on_curves(
                        std::array::from_fn(|_| Natural::clone(&n)),
                        std::array::from_fn(|lane| first.wrapping_add(lane as u32)),
                        bounds,
                    ),
                };
                match batch {
                    Ok(batch) => Self::Search(batch).run(budget),
                    Err(divisors) => Found::Searched(Ok(divisors)),
                }
            }
            Self::Search(mut batch) => Found::Searched(batch.advance(&mut || budget.over()).ok_or(batch)),
            Self::Sieve(mut family) => {
                let (mut relations, before) = (Vec::new(), family.left());
                let finished = family.advance(&mut relations, || budget.over());
                Found::Sieved {
                    relations,
                    polynomials: before - family.left(),
                    rest: (!finished).then_some(family),
                }
            }
            Self::Check(base, mut returned) => {
                let mut relations = Vec::new();
                let finished = returned.advance(&base, MOST_CHECKED, &mut relations, || budget.over());
                Found::Checked {
                    relations,
                    rest: (!finished).then_some(returned),
                }
            }
            Self::Solve(mut solving) => match solving.advance(|| budget.over()) {
                Some(solved) => Found::Solved(solved),
                None => Found::Solving(solving),
            },
        }
    }
}

/// The most relations that a slice computes again: absorbing them takes microseconds.
const MOST_CHECKED: usize = 256;

/// What can be done to a part at once, and else the first bout of its primality test.
fn split(n: Natural, budget: Budget<'_>) -> Found {
    if let Ok(short) = u128::try_from(&n) {
        if is_prime_u128(short) {
            return Found::Parts {
                primes: vec![n],
                parts: vec![],
            };
        }
        return match u64::try_from(short) {
            Ok(short) => {
                let divisor = word::split(short);
                Found::Parts {
                    primes: vec![],
                    parts: vec![small(divisor), small(short / divisor)],
                }
            }
            Err(_) => Work::Power(n.clone(), Powers::new(n)).run(budget),
        };
    }
    let large = Large::new(n.clone());
    let test = large.start();
    Work::Test(n, Box::new((large, test))).run(budget)
}

impl Searching {
    fn new(n: Natural, levels: Vec<Level>, level: usize) -> Self {
        let mut searching = Self {
            n: Arc::new(n),
            levels,
            level,
            bounds: None,
            making: None,
            begun: 0,
            done: 0,
            parameter: FIRST_PARAMETER,
            paused: Vec::new(),
        };
        searching.begin_level();
        searching
    }

    fn begin_level(&mut self) {
        let level = self.levels.get(self.level);
        self.bounds = level.and_then(Level::kept);
        let is_long = self.n.bit_len() > curves::LONG;
        self.making = match (level, &self.bounds) {
            (Some(level), None) => Some(Bounds::new(level.first, level.second, is_long)),
            _ => None,
        };
        (self.begun, self.done) = (0, 0);
    }

    fn cut(&mut self) -> Option<Work> {
        let level = self.levels.get(self.level)?;
        let Some(bounds) = &self.bounds else {
            return self.making.take().map(Work::Bounds);
        };
        let work = match self.paused.pop() {
            Some(batch) => Work::Search(batch),
            None if self.begun < level.batches => {
                // Sequences are cheap beside curves; a short number is not worth them.
                let parameter = (self.begun > 0 || self.n.bit_len() <= 128).then_some(self.parameter);
                if parameter.is_some() {
                    self.parameter = self.parameter.wrapping_add(LANES as u32).max(FIRST_PARAMETER);
                }
                self.begun += 1;
                Work::Open {
                    n: Arc::clone(&self.n),
                    bounds: Arc::clone(bounds),
                    parameter,
                }
            }
            None => return None,
        };
        Some(work)
    }

    /// Curves for another machine, about `cost` nanoseconds of work and at most a share of what is left, so that no machine waits long for the
    /// last ones.
    fn cut_part(&mut self, cost: f64) -> Option<Task> {
        let (level, bits) = (self.levels.get(self.level)?, self.n.bit_len());
        let batch = 1e9 * level.seconds(bits);
        let left = level.batches.saturating_sub(self.begun);
        // Sequences are the first batch.
        if self.begun == 0 && bits > 128 || f64::from(left) * batch < WORTH_SENDING {
            return None;
        }
        let batches = ((cost / batch) as u32).clamp(1, left.div_ceil(4));
        let next = self.parameter.checked_add(batches.checked_mul(LANES as u32)?)?;
        let parameter = std::mem::replace(&mut self.parameter, next);
        self.begun += batches;
        Some(Task::Curves {
            level: Level { batches, ..*level },
            parameter,
        })
    }

    /// Counts finished batches. True if they were the last of the last level.
    fn finished(&mut self, batches: u32) -> bool {
        self.done += batches;
        let Some(level) = self.levels.get(self.level) else {
            return true;
        };
        if self.done >= level.batches {
            self.level += 1;
            self.begin_level();
        }
        self.level >= self.levels.len()
    }

    /// Seconds of all levels and seconds of what is done, by the model of the schedule.
    fn seconds(&self) -> (f64, f64) {
        let bits = self.n.bit_len();
        let cost = |level: &Level| level.seconds(bits) * f64::from(level.batches);
        let all = self.levels.iter().map(cost).sum();
        let before: f64 = self.levels[..self.level].iter().map(cost).sum();
        let now = self.levels.get(self.level).map_or(0.0, |level| level.seconds(bits));
        (all, before + now * f64::from(self.done))
    }

    /// The share of all the work at the part that is done.
    fn progress(&self) -> f64 {
        let bits = self.n.bit_len();
        let (all, done) = self.seconds();
        let sieve = if bits <= quadratic::LONGEST {
            schedule::sieve_seconds(bits)
        } else {
            0.0
        };
        (done / (all + sieve)).min(1.0)
    }
}

/// What is left of a stage must take this many nanoseconds to be worth the way to another machine.
const WORTH_SENDING: f64 = 5e6;

/// A part of the sieve is at most this share of what is left of it, so that little is under way when the relations are enough.
const LARGEST_PART: f64 = 0.1;

/// The most relations from other machines that wait, in lots as they came.
const MOST_RETURNED: usize = 64;

impl Sieving {
    fn cut(&mut self) -> Option<Work> {
        match &mut self.state {
            Sieve::Base(building) => building.take().map(Work::Build),
            Sieve::Collecting(collecting) => {
                if let Some(returned) = collecting.returned.pop_front() {
                    return Some(Work::Check(Arc::clone(&collecting.base), returned));
                }
                let family = collecting.paused.pop().or_else(|| collecting.choice.next());
                family.map(Work::Sieve)
            }
            Sieve::Solving { next, .. } => next.take().map(Work::Solve),
        }
    }

    /// Polynomials of a number of `bits` bits for another machine.
    fn cut_part(&mut self, bits: usize, cost: f64) -> Option<Task> {
        let Sieve::Collecting(collecting) = &mut self.state else {
            return None;
        };
        let left = 1e9 * schedule::sieve_seconds(bits) * (1.0 - collecting.collector.as_ref()?.progress());
        if left < WORTH_SENDING || collecting.returned.len() >= MOST_RETURNED {
            return None;
        }
        let count = cost.min(LARGEST_PART * left) / collecting.base.polynomial_cost();
        let pieces = quadratic::cut(&mut collecting.paused, &mut collecting.choice, count as u32);
        (!pieces.is_empty()).then_some(Task::Polynomials(pieces))
    }

    fn based(&mut self, base: Arc<Base>) {
        let (families, bytes) = self.saved.take().unwrap_or_default();
        let mut collector = Collector::new(Arc::clone(&base));
        collector.restore(&bytes, &families);
        self.state = Sieve::Collecting(Collecting {
            choice: Choice::resume(Arc::clone(&base), families),
            base,
            collector: Some(collector),
            paused: Vec::new(),
            returned: VecDeque::new(),
            late: Vec::new(),
        });
        self.solve_if_enough();
    }

    fn sieved(&mut self, relations: Vec<Relation>, rest: Option<Family>) {
        match &mut self.state {
            Sieve::Collecting(collecting) => {
                if let Some(collector) = &mut collecting.collector {
                    collector.extend(relations);
                }
                collecting.paused.extend(rest);
                self.solve_if_enough();
            }
            Sieve::Solving { collecting, .. } => {
                collecting.late.extend(relations);
                collecting.paused.extend(rest);
            }
            Sieve::Base(_) => {}
        }
    }

    /// Relations from another machine have been computed again.
    fn checked(&mut self, relations: Vec<Relation>, rest: Option<Box<Returned>>) {
        if let Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } = &mut self.state {
            collecting.returned.extend(rest);
        }
        self.sieved(relations, None);
    }

    fn solve_if_enough(&mut self) {
        let state = std::mem::replace(&mut self.state, Sieve::Base(None));
        self.state = match state {
            Sieve::Collecting(mut collecting) => match collecting.collector.take_if(|it| it.is_enough()) {
                Some(collector) => {
                    let collector = Arc::new(collector);
                    let families = Arc::new(collecting.choice.chosen().to_vec());
                    Sieve::Solving {
                        next: Some(Box::new(Solving::new(Arc::clone(&collector), families))),
                        collecting,
                        collector,
                        share: 0.0,
                    }
                }
                None => Sieve::Collecting(collecting),
            },
            other => other,
        };
    }

    /// The relations did not split the number: more are needed.
    fn unsolved(&mut self) {
        let state = std::mem::replace(&mut self.state, Sieve::Base(None));
        self.state = match state {
            Sieve::Solving {
                mut collecting,
                collector,
                ..
            } => {
                let mut collector = Arc::into_inner(collector).expect("the solution that shared it is gone");
                collector.want_more();
                collector.extend(std::mem::take(&mut collecting.late));
                collecting.collector = Some(collector);
                Sieve::Collecting(collecting)
            }
            other => other,
        };
        self.solve_if_enough();
    }

    /// The share of sieving and solving that is done: a twentieth is for the matrix.
    fn progress(&self) -> f64 {
        match &self.state {
            Sieve::Base(_) => 0.0,
            Sieve::Collecting(collecting) => 0.95 * collecting.collector.as_ref().map_or(0.0, Collector::progress),
            Sieve::Solving { share, .. } => 0.95 + 0.05 * share,
        }
    }
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
                (Stage::Searching(searching), Work::Bounds(bounds)) => searching.making = Some(bounds),
                (Stage::Sieving(sieving), Work::Build(building)) => sieving.state = Sieve::Base(Some(building)),
                (_, work) => self.stage = Stage::Alone(work),
            },
            Found::Bounds(bounds) => {
                if let Stage::Searching(searching) = &mut self.stage {
                    searching.bounds = Some(bounds);
                }
            }
            Found::Searched(searched) => self.searched(searched),
            Found::Base(base) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.based(base);
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
                if let Stage::Sieving(sieving) = &mut self.stage
                    && let Sieve::Solving { next, share, .. } = &mut sieving.state
                {
                    *share = share.max(solving.progress());
                    *next = Some(solving);
                }
            }
            Found::Solved(Solved::Factor(divisor)) => self.divided(divisor),
            Found::Solved(Solved::Nothing) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.unsolved();
                }
            }
        }
        self.progress = self.progress.max(self.share());
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
        match &self.stage {
            Stage::Searching(searching) => {
                let level = searching.levels.get(searching.level)?;
                let curves = |batches: u32| u64::from(batches) * LANES as u64;
                Some(format!(
                    "ecm curves={}/{}",
                    curves(searching.done),
                    curves(level.batches)
                ))
            }
            Stage::Sieving(sieving) => Some(match &sieving.state {
                Sieve::Base(_) => "sieve relations=0%".to_owned(),
                Sieve::Collecting(collecting) => {
                    let share = collecting.collector.as_ref().map_or(0.0, Collector::progress);
                    format!("sieve relations={:.0}%", (100.0 * share).floor())
                }
                Sieve::Solving { share, .. } => format!("matrix done={:.0}%", (100.0 * share).floor()),
            }),
            Stage::Alone(_) | Stage::Waiting | Stage::Part(_) | Stage::Done => None,
        }
    }

    fn found(&self) -> Option<String> {
        let mut words: Vec<String> = Vec::new();
        let mut primes = self.primes.clone();
        primes.sort_unstable();
        words.extend(primes.iter().map(ToString::to_string));
        // The first part is the number itself, of which nothing is known.
        let parts = self.part.iter().chain(&self.parts).filter(|part| **part != self.n);
        words.extend(parts.map(|part| {
            let digits = part.to_string();
            format!("c{}={digits}", digits.len())
        }));
        (!words.is_empty()).then(|| words.join(" "))
    }

    fn memory(&self, workers: usize) -> u64 {
        let bits = self.n.bit_len();
        if bits <= 128 {
            return 8 << 20;
        }
        // The number, its parts and the elements of a test or of a search; the sieve of as long a part as can be sieved.
        let sieve = quadratic::memory(bits.min(quadratic::LONGEST), workers);
        let levels = schedule::levels(bits, bits <= quadratic::LONGEST);
        let searches = levels.iter().map(|level| {
            let batch = curves::bytes(bits, level.second) * (workers as u64 + 1);
            Bounds::bytes(level.first, level.second) + batch
        });
        (1 << 20) + 64 * bits as u64 + sieve.max(searches.max().unwrap_or(0))
    }

    /// Families and batches under way count as not done, as does the solution of a matrix, which takes a twentieth of the time.
    fn save(&self) -> Option<Vec<u8>> {
        if let Stage::Part(part) = &self.stage {
            // It is about a second of work, and starts over.
            return Some(part.save());
        }
        let mut writer = Writer::new(KIND, VERSION);
        writer.bytes(&self.n.to_le_bytes());
        let part = self.part.iter();
        for list in [
            self.primes.iter().collect::<Vec<_>>(),
            self.parts.iter().chain(part).collect(),
        ] {
            writer.u64(list.len() as u64);
            for number in list {
                writer.bytes(&number.to_le_bytes());
            }
        }
        writer.u64(self.progress.to_bits());
        match &self.stage {
            Stage::Searching(searching) => {
                let done = u64::from(searching.done);
                writer
                    .u64(SEARCHING)
                    .u64(searching.level as u64)
                    .u64(done)
                    .u64(searching.parameter.into());
            }
            Stage::Sieving(sieving) => {
                let (families, bytes) = sieving.saved();
                writer.u64(SIEVING).u64(families.len() as u64);
                for family in families {
                    let words: Vec<u64> = family.iter().map(|index| u64::from(*index)).collect();
                    writer.words(&words);
                }
                writer.bytes(bytes);
            }
            Stage::Alone(_) | Stage::Waiting | Stage::Part(_) | Stage::Done => {
                writer.u64(0);
            }
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        match Part::restore(bytes) {
            Err(Damaged::Kind) => {}
            Err(damaged) => return Err(damaged),
            Ok(part) => {
                let mut plan = Self::new(part.number().clone());
                plan.part = None;
                plan.stage = Stage::Part(Box::new(part));
                return Ok(plan);
            }
        }
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = read_number(&mut reader)?;
        let (mut primes, mut parts) = (Vec::new(), Vec::new());
        for list in [&mut primes, &mut parts] {
            for _ in 0..reader.u64()? {
                list.push(read_number(&mut reader)?);
            }
        }
        let product = primes.iter().chain(&parts).try_fold(Natural::ONE, |product, factor| {
            (product.bit_len() <= n.bit_len()).then(|| product * factor)
        });
        if product.as_ref() != Some(&n) {
            return Err(Damaged::Impossible("factor"));
        }
        let progress = f64::from_bits(reader.u64()?);
        let mut plan = Self {
            stage: Stage::Waiting,
            part: None,
            n,
            primes,
            parts,
            // Not of a number that is none.
            progress: if (0.0..=1.0).contains(&progress) { progress } else { 0.0 },
            generation: 0,
            elsewhere: BTreeMap::new(),
        };
        let stage = reader.u64()?;
        if stage == 0 {
            plan.go_on();
            // Trial division comes before anything that counts on it.
            if plan.primes.is_empty() && plan.part.as_ref() == Some(&plan.n) {
                plan = Self::new(plan.n);
            }
            reader.finish()?;
            return Ok(plan);
        }
        let part = plan.parts.pop().filter(|part| part.bit_len() > 64 && part.bit(0));
        let part = part.ok_or(Damaged::Impossible("part"))?;
        plan.part = Some(part.clone());
        let bits = part.bit_len();
        match stage {
            SEARCHING => {
                let levels = schedule::levels(bits, bits <= quadratic::LONGEST);
                let (level, done, parameter) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let level = usize::try_from(level).unwrap_or(usize::MAX);
                let most = levels.get(level).ok_or(Damaged::Impossible("level"))?.batches;
                let mut searching = Searching::new(part, levels, level);
                searching.done = u32::try_from(done)
                    .ok()
                    .filter(|done| *done < most)
                    .ok_or(Damaged::Impossible("count of curves"))?;
                searching.begun = searching.done;
                searching.parameter = u32::try_from(parameter).unwrap_or(0).max(FIRST_PARAMETER);
                plan.stage = Stage::Searching(searching);
            }
            SIEVING if bits <= quadratic::LONGEST => {
                let mut families = Vec::new();
                for _ in 0..reader.u64()? {
                    let family: Vec<u32> = reader.words()?.into_iter().map(|index| index as u32).collect();
                    if !(2..=quadratic::MOST_FACTORS).contains(&family.len()) {
                        return Err(Damaged::Impossible("family"));
                    }
                    families.push(family);
                }
                let relations = reader.bytes()?.to_vec();
                plan.sieve(part, Some((families, relations)));
            }
            _ => return Err(Damaged::Impossible("stage")),
        }
        reader.finish()?;
        Ok(plan)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        if self.elsewhere.len() >= MOST_ELSEWHERE {
            return None;
        }
        let n = self.part.as_ref()?;
        let task = match &mut self.stage {
            Stage::Searching(searching) => searching.cut_part(cost)?,
            Stage::Sieving(sieving) => sieving.cut_part(n.bit_len(), cost)?,
            _ => return None,
        };
        let bytes = part::bytes(n, &task);
        self.elsewhere.insert(bytes.clone(), self.generation);
        Some(bytes)
    }

    fn result(&self) -> Option<Vec<u8>> {
        match &self.stage {
            Stage::Part(part) => part.result(),
            _ => None,
        }
    }

    // What comes back after a divisor was found, or after the relations were enough, is of no use, and no error.
    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let (n, task, is_wanted) = self.elsewhere(part)?;
        match task {
            Task::Curves { level, .. } => {
                let divisor = part::read_divisor(result, &n)?;
                if is_wanted {
                    self.finished(divisor, level.batches);
                }
            }
            Task::Polynomials(pieces) => {
                let (count, relations) = part::read_relations(result)?;
                if let Stage::Sieving(sieving) = &mut self.stage
                    && let Sieve::Collecting(collecting) = &mut sieving.state
                    && is_wanted
                {
                    let returned = Returned::new(&collecting.base, pieces, count, relations.to_vec());
                    let returned = returned.ok_or(Damaged::Impossible("relation"))?;
                    collecting.returned.push_back(Box::new(returned));
                }
            }
        }
        self.elsewhere.remove(part);
        self.progress = self.progress.max(self.share());
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let (_, task, is_wanted) = self.elsewhere(part)?;
        self.elsewhere.remove(part);
        match (task, &mut self.stage) {
            // Curves are as good as any others.
            (Task::Curves { level, .. }, Stage::Searching(searching)) if is_wanted => searching.begun -= level.batches,
            (Task::Polynomials(pieces), Stage::Sieving(sieving)) if is_wanted => {
                if let Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } = &mut sieving.state {
                    let families = pieces.iter().filter_map(|piece| piece.family(&collecting.base));
                    collecting.paused.extend(families);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn needs_shared(&self) -> bool {
        matches!(&self.stage, Stage::Part(part) if !part.is_done() && part.shared().is_none())
    }

    fn shared(&self) -> Option<Shared> {
        match &self.stage {
            Stage::Searching(searching) => Some(Arc::clone(searching.bounds.as_ref()?) as Shared),
            Stage::Sieving(sieving) => match &sieving.state {
                Sieve::Collecting(collecting) | Sieve::Solving { collecting, .. } => {
                    Some(Arc::clone(&collecting.base) as Shared)
                }
                Sieve::Base(_) => None,
            },
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

const SEARCHING: u64 = 1;
const SIEVING: u64 = 2;

fn read_number(reader: &mut Reader<'_>) -> Result<Natural, Damaged> {
    let number = Natural::from_le_bytes(reader.bytes()?);
    // Longer ones are not asked about.
    (number > Natural::ZERO && number.bit_len() <= curves::LONGEST)
        .then_some(number)
        .ok_or(Damaged::Impossible("number"))
}

impl Sieving {
    /// The families and relations that a checkpoint holds.
    fn saved(&self) -> (&[Vec<u32>], &[u8]) {
        match &self.state {
            Sieve::Base(_) => match &self.saved {
                Some((families, bytes)) => (families, bytes),
                None => (&[], &[]),
            },
            Sieve::Collecting(collecting) => {
                let bytes = collecting
                    .collector
                    .as_ref()
                    .map_or(&[][..], |collector| collector.bytes());
                (collecting.choice.chosen(), bytes)
            }
            Sieve::Solving {
                collecting, collector, ..
            } => (collecting.choice.chosen(), collector.bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use crate::primes::primality::search::prev;
    use proptest::prelude::*;

    fn factors(n: impl Into<Natural>) -> Vec<Natural> {
        match run_to_end(&mut Factor::new(n.into())) {
            Value::Numbers(factors) => factors,
            other => panic!("{other:?}"),
        }
    }

    fn naturals(factors: &[u128]) -> Vec<Natural> {
        factors.iter().map(|factor| Natural::from(*factor)).collect()
    }

    fn mersenne(exponent: usize) -> Natural {
        (Natural::ONE << exponent) - 1u8
    }

    #[test]
    fn edges() {
        assert_eq!(factors(1u8), []);
        assert_eq!(factors(2u8), naturals(&[2]));
        assert_eq!(factors(1u128 << 127), naturals(&[2; 127]));
        for prime in [18_446_744_073_709_551_557, u128::MAX - 158, (1 << 127) - 1] {
            assert_eq!(factors(prime), naturals(&[prime]));
        }
        assert_eq!(factors(mersenne(521)), [mersenne(521)]);
        assert_eq!(factors(Natural::ONE << 30_000usize).len(), 30_000);
    }

    #[test]
    fn every_small_number_is_the_product_of_its_primes() {
        for n in 1..20_000u32 {
            let found = factors(n);
            assert_eq!(found.iter().product::<Natural>(), Natural::from(n));
            let is_prime = |p: &Natural| u128::try_from(p).is_ok_and(is_prime_u128);
            assert!(found.is_sorted() && found.iter().all(is_prime), "{n}");
        }
    }

    #[test]
    fn numbers_of_history_come_apart() {
        // F. N. Cole, 1903.
        assert_eq!(factors(mersenne(67)), naturals(&[193_707_721, 761_838_257_287]));
        // The fifth Fermat number (L. Euler, 1732), the sixth (F. Landry, 1880), the seventh (M. A. Morrison and J. Brillhart, 1970).
        let fermat = |k: usize| (Natural::ONE << (1 << k)) + 1u8;
        assert_eq!(factors(fermat(5)), naturals(&[641, 6_700_417]));
        assert_eq!(factors(fermat(6)), naturals(&[274_177, 67_280_421_310_721]));
        assert_eq!(
            factors(fermat(7)),
            naturals(&[59_649_589_127_497_217, 5_704_689_200_685_129_054_721])
        );
    }

    #[test]
    fn numbers_with_algebraic_factors_come_apart() {
        for n in [
            mersenne(96),
            mersenne(180),
            mersenne(252),
            mersenne(360),
            (Natural::ONE << 210usize) + 1u8,
        ] {
            let found = factors(n.clone());
            assert_eq!(found.iter().product::<Natural>(), n);
            for p in found {
                assert_eq!(run_to_end(&mut crate::job::IsPrime::new(p)), true.into());
            }
        }
    }

    #[test]
    fn powers_come_apart() {
        let prime = mersenne(89);
        assert_eq!(factors(prime.pow(5)), vec![prime.clone(); 5]);
        assert_eq!(factors(prime.pow(2)), vec![prime.clone(); 2]);
        let mixed = mersenne(61).pow(3) * Natural::from(65_537u32).pow(4) * 49u8;
        let mut expected = naturals(&[7, 7, 65_537, 65_537, 65_537, 65_537]);
        expected.extend(vec![mersenne(61); 3]);
        assert_eq!(factors(mixed), expected);
    }

    #[test]
    fn a_factor_of_fifteen_digits_of_a_long_number_is_found_by_curves() {
        // The largest primes below 10^15 and 2^521 is one.
        let small = Natural::from(999_999_999_999_989u64);
        assert_eq!(factors(&small * mersenne(521)), [small, mersenne(521)]);
    }

    fn prime_near(bits: u32, seed: u128) -> u128 {
        prev((1 << bits) - (seed >> 2) % (1 << (bits - 1))).expect("above 2")
    }

    #[test]
    fn the_sieve_splits_what_curves_do_not() {
        let (p, q) = (prime_near(82, 1 << 100), prime_near(83, 1 << 99));
        let mut plan = Factor::new(Natural::from(p) * Natural::from(q));
        let mut stages = Vec::new();
        let answer = loop {
            if let Some(answer) = Plan::answer(&mut plan) {
                break answer;
            }
            let stage = Plan::stage(&plan).unwrap_or_default();
            stages.push(stage.split(' ').next().unwrap_or_default().to_owned());
            let slice = Plan::cut(&mut plan).expect("one hand is never idle");
            Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
        };
        assert_eq!(answer, Value::Numbers(naturals(&[p.min(q), p.max(q)])));
        stages.dedup();
        assert_eq!(stages, ["", "ecm", "sieve", "matrix", ""]);
    }

    #[test]
    fn every_stage_passes_the_exercise() {
        let (p, q) = (prime_near(61, 1 << 100), prime_near(62, 1 << 99));
        let sieved = exercise(|| Factor::new(Natural::from(p) * Natural::from(q)));
        assert_eq!(sieved, Value::Numbers(naturals(&[p.min(q), p.max(q)])));
        let (p, q) = (prime_near(40, 1 << 100), prime_near(44, 1 << 99));
        let n = Natural::from(p) * Natural::from(q) * mersenne(89) * mersenne(13);
        let searched = exercise(|| Factor::new(n.clone()));
        let mut expected = naturals(&[8191, p.min(q), p.max(q)]);
        expected.push(mersenne(89));
        assert_eq!(searched, Value::Numbers(expected));
    }

    /// Plays a plan with parts of this cost alone: what they came to, in bytes, and how many there were.
    fn by_parts(n: Natural, cost: f64) -> (Value, usize, usize) {
        let mut plan = Factor::new(n);
        let (mut parts, mut bytes, mut shared) = (0, 0, None);
        loop {
            if let Some(answer) = Plan::answer(&mut plan) {
                return (answer, parts, bytes);
            }
            if let Some(part) = plan.cut_part(cost) {
                let mut there = Factor::restore(&part).expect("a part");
                shared.iter().for_each(|shared| there.use_shared(shared));
                assert_eq!(run_to_end(&mut there), Value::Nothing);
                assert!((there.progress() - 1.0).abs() < 1e-9);
                let result = there.result().expect("it is done");
                bytes += part.len() + result.len();
                parts += 1;
                plan.absorb_part(&part, &result).expect("its result");
                shared = plan.shared();
            }
            if let Some(slice) = Plan::cut(&mut plan) {
                Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&|| true)));
            }
        }
    }

    #[test]
    fn parts_of_curves_and_of_the_sieve_are_done_elsewhere() {
        let (p, q) = (prime_near(64, 1 << 100), prime_near(65, 1 << 99));
        let n = Natural::from(p) * Natural::from(q);
        let expected = Value::Numbers(naturals(&[p.min(q), p.max(q)]));
        assert_eq!(exercise(|| Factor::new(n.clone())), expected);
        let (answer, parts, _) = by_parts(n, 1e6);
        assert_eq!(answer, expected);
        assert!(parts > 4, "{parts}");
        // Curves find the factor of 15 digits.
        let small = Natural::from(999_999_999_999_989u64);
        let n = &small * mersenne(521);
        let (answer, parts, _) = by_parts(n.clone(), 1e7);
        assert_eq!(answer, Value::Numbers(vec![small, mersenne(521)]));
        assert!(parts > 0);
    }

    /// How long parts, checks and everything else take: `cargo test --release --lib shares_of_a_factor -- --ignored --nocapture`.
    #[test]
    #[ignore = "slow: a minute on one core; prints what it measures"]
    fn shares_of_a_factor() {
        for bits in [200, 220, 240] {
            let (p, q) = (prime_near(bits / 2, 1 << 99), prime_near(bits / 2, 1 << 98));
            let n = Natural::from(p) * Natural::from(q);
            let mut plan = Factor::new(n);
            let now = std::time::Instant::now;
            let (mut elsewhere, mut here, mut absorbing, mut checking, mut bytes, mut parts) =
                (0.0, 0.0, 0.0f64, 0.0, 0, 0);
            let mut shared = None;
            let mut stages: Vec<(String, f64)> = Vec::new();
            while Plan::answer(&mut plan).is_none() {
                if let Some(part) = plan.cut_part(1e9) {
                    let begun = now();
                    let mut there = Factor::restore(&part).expect("a part");
                    shared.iter().for_each(|shared| there.use_shared(shared));
                    run_to_end(&mut there);
                    let result = there.result().expect("it is done");
                    elsewhere += begun.elapsed().as_secs_f64();
                    (bytes, parts) = (bytes + part.len() + result.len(), parts + 1);
                    let begun = now();
                    plan.absorb_part(&part, &result).expect("its result");
                    absorbing = absorbing.max(begun.elapsed().as_secs_f64());
                    shared = plan.shared();
                }
                while let Stage::Sieving(sieving) = &plan.stage
                    && let Sieve::Collecting(collecting) = &sieving.state
                    && !collecting.returned.is_empty()
                {
                    let begun = now();
                    let slice = Plan::cut(&mut plan).expect("there is something to check");
                    Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
                    checking += begun.elapsed().as_secs_f64();
                }
                if plan.cut_part(1.0).map(|part| plan.take_back(&part)).is_none() {
                    let stage = Plan::stage(&plan).unwrap_or_default();
                    let stage = stage.split(' ').next().unwrap_or_default().to_owned();
                    let begun = now();
                    let slice = Plan::cut(&mut plan).expect("one hand is never idle");
                    Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
                    let took = begun.elapsed().as_secs_f64();
                    here += took;
                    match stages.last_mut() {
                        Some(last) if last.0 == stage => last.1 += took,
                        _ => stages.push((stage, took)),
                    }
                }
            }
            println!(
                "{bits} bits: {parts} parts took {elsewhere:.2} s and {bytes} bytes, all else {here:.3} s {stages:?}; relations were checked in {checking:.3} s, the longest absorbed in {absorbing:.4} s",
            );
        }
    }

    #[test]
    fn what_is_found_is_named_before_the_end() {
        let n = mersenne(1061);
        let mut plan = Factor::new(&n * 15u8);
        assert_eq!(Plan::found(&plan), None);
        for _ in 0..4000 {
            if Plan::found(&plan).is_some() {
                break;
            }
            let slice = Plan::cut(&mut plan).expect("there is much to do");
            Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&|| true)));
        }
        assert_eq!(Plan::found(&plan), Some(format!("3 5 c320={n}")));
    }

    /// Plays the plan with several slices out at once that come back in any order.
    fn factors_by_many_hands(n: Natural, hands: usize, order: impl Fn(usize) -> usize, rest: u32) -> Vec<Natural> {
        let mut plan = Factor::new(n);
        let (mut out, mut before) = (Vec::new(), 0.0);
        loop {
            if let Some(Value::Numbers(factors)) = Plan::answer(&mut plan) {
                return factors;
            }
            while out.len() < hands {
                let Some(slice) = Plan::cut(&mut plan) else { break };
                out.push(slice);
            }
            let asked = std::cell::Cell::new(0);
            let over = || {
                asked.set(asked.get() + 1);
                asked.get() > rest
            };
            let slice = out.swap_remove(order(out.len()));
            Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&over)));
            assert!(plan.progress() >= before && plan.progress() <= 1.0);
            before = plan.progress();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn semiprimes_of_every_size_come_apart_in_any_order(
            p: u128, q: u128, bits in 20u32..=66, other in 20u32..=66, hands in 1usize..5, order: prop::sample::Index, rest in 0u32..60,
        ) {
            let (p, q) = (prime_near(bits, p), prime_near(other, q));
            let found = factors_by_many_hands(Natural::from(p) * Natural::from(q), hands, |n| order.index(n), rest);
            prop_assert_eq!(found, naturals(&[p.min(q), p.max(q)]));
        }

        #[test]
        fn products_of_primes_come_apart(seeds in prop::collection::vec((1u128.., 1u32..40), 1..12)) {
            let primes = seeds.iter().map(|(seed, bits)| crate::primes::primality::search::next(seed >> (128 - bits)).expect("small"));
            let mut expected: Vec<Natural> = primes.map(Natural::from).collect();
            expected.sort_unstable();
            prop_assert_eq!(factors(expected.iter().product::<Natural>()), expected);
        }

        #[test]
        fn broken_checkpoints_are_refused_or_answered(polls in 0usize..3000, at in 0usize..4000, bit in 0u8..8) {
            let (p, q) = (prime_near(61, 1 << 90), prime_near(62, 1 << 91));
            let mut plan = Factor::new(Natural::from(p) * Natural::from(q));
            let left = std::cell::Cell::new(polls);
            let over = || left.replace(left.get().saturating_sub(1)) == 0;
            if crate::job::AnyPlan::advance(&mut plan, Budget::new(&over)).is_none() {
                let mut bytes = Plan::save(&plan).expect("it has a checkpoint");
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
                if let Ok(mut plan) = Factor::restore(&bytes) {
                    prop_assert!(run_to_end(&mut plan) != Value::Nothing);
                }
            }
        }
    }
}
