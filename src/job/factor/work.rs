//! What a slice does to a composite, and what comes of it: one step, or a bout of a search or of the sieve. Knows no
//! stage.

use crate::job::plan::Budget;
use crate::primes::Natural;
use crate::primes::factor::curves::{self, Batch, Bounds, Divisors};
use crate::primes::factor::quadratic::{
    Base, Building, Collector, Family, Relation, Restoring, Returned, Solved, Solving,
};
use crate::primes::factor::{Powers, Trial, close_factors, small_factors, word};
use crate::primes::primality::bpsw::Test;
use crate::primes::primality::is_prime_u128;
use crate::primes::primality::large::{Large, Residue};
use dashu_int::ops::BitTest;
use std::sync::Arc;

/// The most relations that a slice computes again: absorbing them takes microseconds.
const MOST_CHECKED: usize = 256;

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Work {
    /// Trial division of the number itself.
    Begin(Natural),
    Trial(Trial),
    /// What a part is.
    Split(Natural),
    Test(Natural, Box<(Large, Test<Residue>)>),
    /// Whether a part is a power, one that is composite or whose primality is tested after that.
    Power(Natural, Powers),
    /// The bounds of a level.
    Bounds(Bounds),
    /// The factor base for a part.
    Build(Box<Building>),
    /// Relations of a checkpoint are taken in.
    Restore(Box<Restoring>),
    /// A batch, with the parameter of its first curve if it is not of sequences.
    Search(Option<u32>, Box<dyn Batch>),
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

/// What came of it.
#[derive(Debug)]
pub(super) enum Found {
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
    Restored(Box<Collector>),
    /// Of the batch with this parameter.
    Searched(Option<u32>, Result<Divisors, Box<dyn Batch>>),
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

impl Work {
    pub(super) fn run(self, budget: Budget<'_>) -> Found {
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
                    Test::Done(false) => match close_factors(&n) {
                        Some(parts) => Found::Parts {
                            primes: vec![],
                            parts: parts.into(),
                        },
                        None => Found::Composite(n),
                    },
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
                // A short one is known to be composite.
                Some(None) if n.bit_len() <= 128 => Found::Composite(n),
                Some(None) => {
                    let large = Large::new(n.clone());
                    let test = large.start();
                    Found::Next(Self::Test(n, Box::new((large, test))))
                }
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
            Self::Restore(mut restoring) => {
                if restoring.advance(|| budget.over()) {
                    Found::Restored(Box::new(restoring.finish()))
                } else {
                    Found::Next(Self::Restore(restoring))
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
                    Ok(batch) => Self::Search(parameter, batch).run(budget),
                    Err(divisors) => Found::Searched(parameter, Ok(divisors)),
                }
            }
            Self::Search(parameter, mut batch) => {
                Found::Searched(parameter, batch.advance(&mut || budget.over()).ok_or(batch))
            }
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

/// What can be done to a part at once, and else the first bout of the search for a root: of a long number that takes
/// less than the test of its primality.
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
    Work::Power(n.clone(), Powers::new(n)).run(budget)
}

fn small(n: u64) -> Natural {
    Natural::from(n)
}
