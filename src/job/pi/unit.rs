//! What a slice of a count is: a unit of work of one of the sums, which runs until it is finished or the budget is
//! over.
//!
//! A unit holds all it needs, so units of all kinds run side by side; what its sum means is known to `schedule` alone.

use super::schedule::{EasyPlace, LEAVES_A_PRIME, Schedule};
use crate::job::plan::Budget;
use crate::primes::known;
use crate::primes::pi::easy::{Leaves, Piece};
use crate::primes::pi::table::{Filling, PiTable};
use crate::primes::pi::tables::{Making, Tables};
use crate::primes::pi::{easy, hard, ordinary, semiprimes, sigma};
use std::sync::Arc;

/// How many entries of the factor table Phi0 looks at between two questions for the budget.
const ORDINARY_STEP: usize = 1 << 13;

/// How many easy leaves are looked up between two questions, and how many cost as much as a pair of primes whose
/// products may be leaves.
const EASY_STEP: u64 = 1 << 17;
const LEAVES_A_PAIR: u64 = 1 << 8;

/// How many primes the closed forms take between two questions, and how many pairs with a second prime.
const CLOSED_STEP: usize = 512;
const CLOSED_PAIRS: usize = 1 << 12;

/// How many segments of D have their costs estimated between two questions.
const SEGMENT_STEP: usize = 64;

/// How many numbers D looks at between two questions.
const HARD_STEP: u64 = 1 << 16;

pub(super) enum Unit {
    /// A count so small that a table answers it.
    Small { x: u64, count: u64 },
    /// A whole count that is too short to be shared.
    Solo(Box<Schedule>),
    /// The tables of all sums.
    Make(Box<Making>),
    /// What is known without sieving: Sigma and the constants of C.
    Closed(Box<ClosedUnit>),
    /// A part of Phi0.
    Ordinary(OrdinaryUnit),
    /// A piece of the table of `pi` up to `sqrt x`.
    Table(Box<TableUnit>),
    /// A part of A + C.
    Easy(Box<EasyUnit>),
    /// A part of B.
    Semiprimes(Box<SemiprimesUnit>),
    /// A segment of D.
    Hard(Box<HardUnit>),
}

pub(super) struct ClosedUnit {
    tables: Arc<Tables>,
    at: usize,
    end: usize,
    /// Primes with an index below this may be the first of a pair.
    paired: usize,
    /// Where the next segment of D begins whose cost is to be estimated.
    segment: u64,
    /// Segments below this are over already.
    segments_over: u64,
    pub(super) sum: i128,
    /// How many leaves A and C have.
    pub(super) easy_leaves: u64,
    /// What D costs, and how much of that is over.
    pub(super) hard_cost: f64,
    pub(super) hard_cost_over: f64,
}

pub(super) struct OrdinaryUnit {
    /// Where it begins, counted from the first index.
    pub(super) start: u64,
    pub(super) tables: Arc<Tables>,
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) sum: i128,
}

pub(super) struct TableUnit {
    pub(super) filling: Filling,
}

pub(super) struct EasyUnit {
    pub(super) start: EasyPlace,
    pub(super) tables: Arc<Tables>,
    pub(super) segment: Arc<PiTable>,
    pub(super) at: usize,
    pub(super) end: usize,
    /// Where the unit after this one begins.
    pub(super) next: EasyPlace,
    pub(super) leaves: Leaves,
}

pub(super) struct SemiprimesUnit {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) work: semiprimes::Work,
}

pub(super) struct HardUnit {
    pub(super) tables: Arc<Tables>,
    pub(super) low: u64,
    pub(super) high: u64,
    /// Room of a segment that is over; then of this one.
    pub(super) work: hard::Work,
    pub(super) is_begun: bool,
}

impl Unit {
    /// Works until the unit is finished or the budget is over; true if it is finished.
    pub(super) fn run(&mut self, budget: Budget<'_>) -> bool {
        match self {
            Self::Small { x, count } => {
                *count = known::pi(*x).expect("the table has all that is below the formulas");
                true
            }
            Self::Solo(schedule) => until_over(budget, || {
                schedule.play(budget);
                schedule.answer().is_some()
            }),
            Self::Make(making) => until_over(budget, || making.step()),
            Self::Closed(unit) => until_over(budget, || unit.step()),
            Self::Ordinary(unit) => until_over(budget, || unit.step()),
            Self::Table(unit) => until_over(budget, || unit.filling.step()),
            Self::Easy(unit) => until_over(budget, || unit.step()),
            Self::Semiprimes(unit) => until_over(budget, || unit.work.step()),
            Self::Hard(unit) => until_over(budget, || unit.step()),
        }
    }
}

/// Repeats a step until it says that all is done, or the budget is over; true if all is done.
fn until_over(budget: Budget<'_>, mut step: impl FnMut() -> bool) -> bool {
    loop {
        if step() {
            return true;
        }
        if budget.over() {
            return false;
        }
    }
}

impl ClosedUnit {
    /// Begins; the segments of D below `segments_over` are done already.
    pub(super) fn new(tables: Arc<Tables>, segments_over: u64) -> Self {
        let all = easy::all(&tables);
        Self {
            sum: ordinary::root(&tables),
            paired: tables.index(tables.shape.y.isqrt()),
            tables,
            at: all.start,
            end: all.end,
            segment: 0,
            segments_over,
            easy_leaves: 0,
            hard_cost: 0.0,
            hard_cost_over: 0.0,
        }
    }

    fn step(&mut self) -> bool {
        let tables = &*self.tables;
        if self.at < self.end {
            let pairs = self.paired.saturating_sub(self.at).max(1);
            let step = (CLOSED_PAIRS / pairs).clamp(1, CLOSED_STEP);
            let primes = self.at..self.end.min(self.at + step);
            self.at = primes.end;
            let constants = easy::constants(tables, primes.clone());
            self.easy_leaves += constants.count;
            self.sum += constants.sum + sigma::of_primes(tables, primes);
            return false;
        }
        for _ in 0..SEGMENT_STEP {
            if self.segment > tables.shape.sieve_limit() {
                return true;
            }
            let end = hard::end(&tables.shape, self.segment);
            let cost = hard::cost(tables, self.segment, end);
            self.hard_cost += cost;
            self.hard_cost_over += if end <= self.segments_over { cost } else { 0.0 };
            self.segment = end;
        }
        false
    }
}

impl OrdinaryUnit {
    fn step(&mut self) -> bool {
        let end = self.end.min(self.at + ORDINARY_STEP);
        self.sum += ordinary::sum(&self.tables, self.at..end);
        self.at = end;
        self.at == self.end
    }
}

impl EasyUnit {
    /// What the unit brings, once it is finished.
    pub(super) fn piece(&self) -> Piece {
        Piece {
            leaves: self.leaves,
            primes: if self.next.0 > self.start.0 {
                self.segment.count()
            } else {
                0
            },
        }
    }

    fn step(&mut self) -> bool {
        let mut looked_up = 0;
        while self.at < self.end && looked_up < EASY_STEP {
            let leaves = easy::leaves(&self.tables, &self.segment, self.at);
            let pairs = easy::pairs(&self.tables, &self.segment, self.at);
            self.leaves.add(leaves);
            looked_up += leaves.count + LEAVES_A_PRIME + LEAVES_A_PAIR * pairs;
            self.at += 1;
        }
        self.at == self.end
    }
}

impl HardUnit {
    fn step(&mut self) -> bool {
        if !std::mem::replace(&mut self.is_begun, true) {
            self.work.begin(&self.tables, self.low, self.high);
            return false;
        }
        let mut looked_at = 0;
        while looked_at < HARD_STEP {
            match self.work.step(&self.tables) {
                Some(numbers) => looked_at += numbers,
                None => return true,
            }
        }
        false
    }
}
