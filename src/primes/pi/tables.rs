//! The tables every sum of one count shares, and how they are made in small steps.

use super::factor::FactorTable;
use super::hard::Common;
use super::hard_sieve::Sieves;
use super::index::Index;
use super::instructions::Instructions;
use super::shape::Shape;
use crate::primes::estimate::most_primes;
use crate::primes::known;
use crate::primes::sieve::{Sieve, Step};

/// What the sums look up. Read only once it is made; shared by all threads.
pub(crate) struct Tables {
    /// The parameters.
    pub(crate) shape: Shape,
    /// The instructions the kernels may use.
    pub(crate) instructions: Instructions,
    /// The primes below the table limit, 1-based: `primes[1] = 2`; `primes[0]` is a 1 that nobody uses.
    pub(crate) primes: Vec<u32>,
    /// The reciprocals of the first of the `primes`, see [`Shape::inverted`].
    pub(crate) reciprocals: Vec<f64>,
    /// An `x / p` below this is divided by reciprocals, where there are any.
    pub(crate) near: u64,
    /// Where in the list the primes are.
    index: Index,
    /// The factor table up to `y`.
    pub(crate) factors: FactorTable,
    /// What the leaves of each prime of D have in common.
    pub(super) hard: Vec<Common>,
    /// The masks of D's sieve.
    pub(super) sieves: Sieves,
}

impl Tables {
    /// The index of the largest prime `<= n`, which is `pi(n)`.
    ///
    /// # Panics
    /// If `n` is above the table limit.
    #[inline]
    pub(crate) fn index(&self, n: u64) -> usize {
        self.index.pi(n)
    }

    /// The `b`-th prime.
    #[inline]
    pub(crate) fn prime(&self, b: usize) -> u64 {
        u64::from(self.primes[b])
    }
}

/// How many primes are indexed in a step.
const INDEX_STEP: usize = 1 << 17;

/// How many primes of D are prepared in a step.
const HARD_STEP: usize = 1 << 12;

/// The making of [`Tables`].
pub(crate) struct Making {
    tables: Tables,
    stage: Stage,
}

/// What is being made.
enum Stage {
    Primes(Box<Sieve>),
    /// With the place of the next prime.
    Index(usize),
    Hard,
    Factors,
}

impl Making {
    /// Begins; an `x / p` below `near`, at most the bound of [`near`](super::easy_sum::near), will be divided by
    /// reciprocals.
    pub(crate) fn new(shape: Shape, instructions: Instructions, near: u64) -> Self {
        let limit = shape.table_limit();
        let mut primes = Vec::with_capacity(most_primes(limit as f64) as usize + 1);
        primes.push(1);
        primes.extend(known::PRIMES.iter().take_while(|&&prime| u64::from(prime) <= limit));
        Self {
            tables: Tables {
                shape,
                instructions,
                primes,
                reciprocals: Vec::with_capacity(most_primes(shape.inverted() as f64) as usize + 1),
                near,
                index: Index::up_to(limit),
                factors: FactorTable::new(shape.y, instructions),
                hard: Vec::new(),
                sieves: Sieves::new(instructions),
            },
            stage: Stage::Primes(Box::new(Sieve::new(known::LIMIT, limit))),
        }
    }

    /// Works for at most a millisecond or so; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Tables {
            shape,
            primes,
            reciprocals,
            index,
            factors,
            hard,
            ..
        } = &mut self.tables;
        match &mut self.stage {
            Stage::Primes(sieve) => match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => segment.for_each(|prime| primes.push(prime as u32)),
                Step::Done => self.stage = Stage::Index(1),
            },
            Stage::Index(next) => {
                let end = primes.len().min(*next + INDEX_STEP);
                index.extend(*next, &primes[*next..end]);
                let inverted = shape.inverted();
                let new = primes[reciprocals.len()..end].iter();
                reciprocals.extend(
                    new.take_while(|&&prime| u64::from(prime) <= inverted)
                        .map(|&prime| 1.0 / f64::from(prime)),
                );
                *next = end;
                if end == primes.len() {
                    index.finish(end - 1);
                    self.stage = Stage::Hard;
                }
            }
            Stage::Hard => {
                let done = Shape::K + 1 + hard.len();
                hard.extend(
                    primes[done..]
                        .iter()
                        .map(|&prime| u64::from(prime))
                        .take_while(|&prime| prime <= shape.x_star)
                        .take(HARD_STEP)
                        .map(|prime| Common::new(shape, prime)),
                );
                if hard.len() + Shape::K + 1 < done + HARD_STEP {
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
