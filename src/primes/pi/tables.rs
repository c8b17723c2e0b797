//! The tables every sum of one count shares, and how they are made in small steps.

use super::factor::FactorTable;
use super::hard_sieve::Sieves;
use super::level::Level;
use super::shape::Shape;
use super::table::{Filling, PiTable};
use crate::primes::phi::PhiTiny;
use crate::primes::sieve::{Sieve, Step};

/// What the sums look up. Read only once it is made; shared by all threads.
pub(crate) struct Tables {
    /// The parameters.
    pub(crate) shape: Shape,
    /// The instructions the kernels may use.
    pub(crate) level: Level,
    /// The primes below the table limit, 1-based: `primes[1] = 2`; `primes[0]` is a 1 that nobody uses.
    pub(crate) primes: Vec<u32>,
    /// The reciprocals of `primes`.
    pub(crate) reciprocals: Vec<f64>,
    /// `pi(n)` for every `n` below the table limit.
    pub(crate) pi: PiTable,
    /// The factor table up to `y`.
    pub(crate) factors: FactorTable,
    /// The masks of D's sieve.
    pub(super) sieves: Sieves,
    /// `phi(x, 8)`.
    pub(crate) phi: PhiTiny,
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

/// The making of [`Tables`].
pub(crate) struct Making {
    tables: Tables,
    stage: Stage,
}

/// What is being made.
enum Stage {
    Primes(Sieve),
    Pi(Filling),
    Factors,
}

impl Making {
    /// Begins.
    pub(crate) fn new(shape: Shape, level: Level) -> Self {
        let limit = shape.table_limit();
        let count = (1.25506 * limit as f64 / (limit as f64).ln()) as usize;
        let mut primes = Vec::with_capacity(count);
        primes.push(1);
        Self {
            tables: Tables {
                shape,
                level,
                primes,
                reciprocals: Vec::with_capacity(count),
                pi: PiTable::default(),
                factors: FactorTable::new(shape.y),
                sieves: Sieves::new(level),
                phi: PhiTiny::new(),
            },
            stage: Stage::Primes(Sieve::new(0, limit)),
        }
    }

    /// Works for at most a millisecond or so; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Tables {
            shape,
            primes,
            reciprocals,
            factors,
            ..
        } = &mut self.tables;
        match &mut self.stage {
            Stage::Primes(sieve) => match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    segment.for_each(|prime| primes.push(prime as u32));
                    let new = &primes[reciprocals.len()..];
                    reciprocals.extend(new.iter().map(|&prime| 1.0 / f64::from(prime)));
                }
                Step::Done => self.stage = Stage::Pi(Filling::new(0, shape.table_limit() + 1, 0)),
            },
            Stage::Pi(filling) => {
                if filling.step()
                    && let Stage::Pi(filling) = std::mem::replace(&mut self.stage, Stage::Factors)
                {
                    self.tables.pi = filling.finish();
                }
            }
            Stage::Factors => {
                factors.extend(primes);
                return factors.end() > shape.y;
            }
        }
        false
    }

    /// The tables, once [`Making::step`] said that all is done.
    pub(crate) fn finish(self) -> Tables {
        self.tables
    }
}
