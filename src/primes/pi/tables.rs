//! The tables every sum of one count shares, and how they are made in small steps.

use super::factor::FactorTable;
use super::hard::Common;
use super::hard_sieve::Sieves;
use super::level::Level;
use super::shape::Shape;
use super::table::{Filling, PiTable};
use crate::primes::known;
use crate::primes::sieve::{Sieve, Step};

/// What the sums look up. Read only once it is made; shared by all threads.
pub(crate) struct Tables {
    /// The parameters.
    pub(crate) shape: Shape,
    /// The instructions the kernels may use.
    pub(crate) level: Level,
    /// The primes below the table limit, 1-based: `primes[1] = 2`; `primes[0]` is a 1 that nobody uses.
    pub(crate) primes: Vec<u32>,
    /// The reciprocals of the `primes` below `2^25`: all that A and C divide an `x / p` below `2^50` by.
    pub(crate) reciprocals: Vec<f64>,
    /// An `x / p` below this is divided by reciprocals.
    pub(crate) near: u64,
    /// `pi(n)` for every `n` below the table limit.
    pub(crate) pi: PiTable,
    /// The factor table up to `y`.
    pub(crate) factors: FactorTable,
    /// What the leaves of each prime of D have in common.
    pub(super) hard: Vec<Common>,
    /// The masks of D's sieve.
    pub(super) sieves: Sieves,
}

impl Tables {
    /// The index of the largest prime `<= n`.
    #[inline]
    pub(crate) fn index(&self, n: u64) -> usize {
        self.pi.pi(n) as usize
    }

    /// The `b`-th prime.
    #[inline]
    pub(crate) fn prime(&self, b: usize) -> u64 {
        u64::from(self.primes[b])
    }
}

/// The primes below have reciprocals: the square root of the bound of [`near`](super::easy_sum::near).
const INVERTED: f64 = (1 << 25) as f64;

/// How many primes, and the 1 before them, are below that: pi(2^25), A007053.
const MOST_RECIPROCALS: usize = 2_063_690;

/// How many primes of D are prepared in a step.
const HARD_STEP: usize = 1 << 12;

/// The making of [`Tables`].
pub(crate) struct Making {
    tables: Tables,
    stage: Stage,
}

/// What is being made.
enum Stage {
    Primes(Sieve),
    Pi(Filling),
    Hard,
    Factors,
}

impl Making {
    /// Begins; an `x / p` below `near`, at most the bound of [`near`](super::easy_sum::near), will be divided by reciprocals.
    pub(crate) fn new(shape: Shape, level: Level, near: u64) -> Self {
        let limit = shape.table_limit();
        let count = (1.25506 * limit as f64 / (limit as f64).ln()) as usize;
        let mut primes = Vec::with_capacity(count);
        primes.push(1);
        primes.extend(known::PRIMES.iter().take_while(|&&prime| u64::from(prime) <= limit));
        Self {
            tables: Tables {
                shape,
                level,
                primes,
                reciprocals: Vec::with_capacity(count.min(MOST_RECIPROCALS)),
                near,
                pi: PiTable::default(),
                factors: FactorTable::new(shape.y, level),
                hard: Vec::new(),
                sieves: Sieves::new(level),
            },
            stage: Stage::Primes(Sieve::new(known::LIMIT, limit)),
        }
    }

    /// Works for at most a millisecond or so; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Tables {
            shape,
            primes,
            reciprocals,
            pi,
            factors,
            hard,
            ..
        } = &mut self.tables;
        match &mut self.stage {
            Stage::Primes(sieve) => {
                match sieve.step() {
                    Step::Busy => {}
                    Step::Segment(segment) => segment.for_each(|prime| primes.push(prime as u32)),
                    Step::Done => self.stage = Stage::Pi(Filling::new(0, shape.table_limit() + 1)),
                }
                let new = primes[reciprocals.len()..].iter().map(|&prime| f64::from(prime));
                reciprocals.extend(new.take_while(|&prime| prime < INVERTED).map(|prime| 1.0 / prime));
            }
            Stage::Pi(filling) => {
                if filling.step()
                    && let Stage::Pi(filling) = std::mem::replace(&mut self.stage, Stage::Hard)
                {
                    self.tables.pi = filling.finish();
                }
            }
            Stage::Hard => {
                let done = Shape::K + 1 + hard.len();
                let left = &primes[done..=pi.pi(shape.x_star) as usize];
                hard.extend(
                    left.iter()
                        .take(HARD_STEP)
                        .map(|&prime| Common::new(shape, prime.into())),
                );
                if left.len() <= HARD_STEP {
                    self.stage = Stage::Factors;
                }
            }
            Stage::Factors => {
                return factors.extend(primes);
            }
        }
        false
    }

    /// The tables, once [`Making::step`] said that all is done.
    pub(crate) fn finish(self) -> Tables {
        self.tables
    }
}
