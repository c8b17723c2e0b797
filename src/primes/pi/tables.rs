//! The tables every sum of one count shares, and how they are made in small steps.

use super::factor::FactorTable;
use super::hard_sieve::Sieves;
use super::level::Level;
use super::shape::Shape;
use super::table::PiTable;
use crate::primes::phi::PhiTiny;
use crate::primes::sieve::primes_up_to;

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
}

impl Making {
    /// Starts.
    pub(crate) fn new(shape: Shape, level: Level) -> Self {
        Self {
            tables: Tables {
                shape,
                level,
                primes: Vec::new(),
                reciprocals: Vec::new(),
                pi: PiTable::default(),
                factors: FactorTable::default(),
                sieves: Sieves::new(level),
                phi: PhiTiny::new(),
            },
        }
    }

    /// Does a piece of the work; true when all is done.
    pub(crate) fn step(&mut self) -> bool {
        let Tables {
            shape,
            primes,
            reciprocals,
            pi,
            factors,
            ..
        } = &mut self.tables;
        let limit = shape.table_limit();
        if primes.is_empty() {
            *primes = [1].into_iter().chain(primes_up_to(limit as u32)).collect();
            *reciprocals = primes.iter().map(|&p| 1.0 / f64::from(p)).collect();
        } else if pi.high() == 0 {
            *pi = PiTable::sieve(0, limit + 1, 0, &primes[1..]);
        } else {
            factors.extend(primes);
        }
        factors.end() > shape.y
    }

    /// The tables, once [`Making::step`] said that all is done.
    pub(crate) fn finish(self) -> Tables {
        self.tables
    }
}
