//! `root N`: the least primitive root modulo a number, by the prime factors of the number and of its totient.
//!
//! Knows nothing of how factors are found ([`Factor`]) or roots are tried ([`RootSearch`]).

use super::of_factors::{factor_of, primes};
use super::{Budget, Damaged, Factor, Plan, Reader, Writer};
use crate::primes::Natural;
use crate::primes::multiplicative::{self, PrimePower, RootSearch};
use crate::proto::Value;

const KIND: [u8; 4] = *b"ROOT";
const VERSION: u32 = 1;

/// The least primitive root modulo a number; the text `none` if there is no primitive root.
#[derive(Debug)]
pub struct Root {
    n: Natural,
    stage: Stage,
    progress: f64,
}

#[derive(Debug)]
enum Stage {
    /// Factoring the number.
    Number(Box<Factor>),
    /// Factoring `p - 1` for the only odd prime p that divides the number.
    Order {
        powers: Vec<PrimePower>,
        prime: Natural,
        factor: Box<Factor>,
    },
    /// Trying candidates; `None` while a slice does so.
    Search(Option<RootSearch>),
    Done(Option<u64>),
}

/// What is factored. Slices of the first may still be under way when its factors are known: they are of no use to the
/// second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Number,
    Order,
}

/// The share of the progress that factoring the number has: next to nothing, if it is prime.
const NUMBER_SHARE: f64 = 0.1;

/// A step towards the root.
pub struct Slice(Work);

enum Work {
    Factor(Of, <Factor as Plan>::Slice),
    Search(RootSearch),
}

/// What a step brought.
pub struct Partial(Found);

enum Found {
    Factors(Of, <Factor as Plan>::Partial),
    Searched(RootSearch),
    Root(u64),
}

impl Root {
    /// Asks for the least primitive root modulo `n`, which must not be 0.
    pub fn new(n: Natural) -> Self {
        Self {
            stage: Stage::Number(Box::new(factor_of(&n))),
            n,
            progress: 0.0,
        }
    }

    fn of_number(powers: Vec<PrimePower>) -> Stage {
        match multiplicative::cyclic(&powers) {
            None => Stage::Done(None),
            Some(prime) => Stage::Order {
                factor: Box::new(factor_of(&(&prime - 1u8))),
                powers,
                prime,
            },
        }
    }

    fn of_order(powers: &[PrimePower], prime: &Natural, below: &[Natural]) -> Stage {
        let mut primes: Vec<Natural> = multiplicative::powers(below).into_iter().map(|(q, _)| q).collect();
        // The order of the units of p^k is p^(k - 1) (p - 1), and that of 4 is 2.
        if powers.iter().any(|(p, k)| p == prime && *k > 1) {
            primes.push(prime.clone());
        }
        Stage::Search(Some(RootSearch::new(powers, &primes)))
    }

    fn raise(&mut self, progress: f64) {
        self.progress = self.progress.max(progress.min(1.0));
    }
}

/// True if it is known already that there is no primitive root modulo a number of which this much is known: there is
/// one only modulo 1, 2, 4, p^k and 2 p^k for an odd prime p.
fn has_none(n: &Natural, factor: &Factor) -> bool {
    if factor.has_two_primes() {
        // No part is even once small primes are divided out.
        return true;
    }
    let twos = n.trailing_zeros().unwrap_or(0);
    let mut odd = n >> twos;
    if twos > 1 {
        return twos > 2 || !odd.is_one();
    }
    let Some(prime) = factor.known().iter().find(|prime| **prime > Natural::from(2u8)) else {
        return false;
    };
    while (&odd % prime).is_zero() {
        odd /= prime;
    }
    !odd.is_one()
}

impl Plan for Root {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        Some(Slice(match &mut self.stage {
            Stage::Number(factor) => Work::Factor(Of::Number, Plan::cut(factor.as_mut())?),
            Stage::Order { factor, .. } => Work::Factor(Of::Order, Plan::cut(factor.as_mut())?),
            Stage::Search(search) => Work::Search(search.take()?),
            Stage::Done(_) => return None,
        }))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Factor(of, slice) => Found::Factors(of, Factor::run(slice, budget)),
            Work::Search(mut search) => match search.advance(|| budget.over()) {
                Some(root) => Found::Root(root),
                None => Found::Searched(search),
            },
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match found {
            Found::Factors(of, partial) => match (of, &mut self.stage) {
                (Of::Number, Stage::Number(factor)) => {
                    Plan::absorb(factor.as_mut(), partial);
                    let share = Plan::progress(factor.as_ref());
                    if has_none(&self.n, factor) {
                        self.stage = Stage::Done(None);
                    } else if let Some(value) = Plan::answer(factor.as_mut()) {
                        self.stage = Self::of_number(multiplicative::powers(&primes(value)));
                    }
                    self.raise(NUMBER_SHARE * share);
                }
                (Of::Order, Stage::Order { powers, prime, factor }) => {
                    Plan::absorb(factor.as_mut(), partial);
                    let share = Plan::progress(factor.as_ref());
                    if let Some(value) = Plan::answer(factor.as_mut()) {
                        self.stage = Self::of_order(powers, prime, &primes(value));
                    }
                    self.raise(NUMBER_SHARE + (1.0 - NUMBER_SHARE) * share);
                }
                _ => {}
            },
            Found::Searched(search) => self.stage = Stage::Search(Some(search)),
            Found::Root(root) => self.stage = Stage::Done(Some(root)),
        }
    }

    fn answer(&mut self) -> Option<Value> {
        match self.stage {
            Stage::Done(Some(root)) => Some(root.into()),
            Stage::Done(None) => Some("none".into()),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn stage(&self) -> Option<String> {
        match &self.stage {
            Stage::Number(factor) | Stage::Order { factor, .. } => Plan::stage(factor.as_ref()),
            Stage::Search(_) | Stage::Done(_) => None,
        }
    }

    fn found(&self) -> Option<String> {
        match &self.stage {
            Stage::Number(factor) => Plan::found(factor.as_ref()),
            _ => None,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        Plan::memory(&factor_of(&self.n), workers) + (64 << 10)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.natural(&self.n).u64(self.progress.to_bits());
        match &self.stage {
            Stage::Number(factor) => writer.u64(0).bytes(&Plan::save(factor.as_ref())?),
            Stage::Order { prime, factor, .. } => writer.u64(1).natural(prime).bytes(&Plan::save(factor.as_ref())?),
            // What is left takes less than it takes to write it down.
            Stage::Search(_) | Stage::Done(_) => return None,
        };
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = reader.natural()?;
        if n == Natural::ZERO {
            return Err(Damaged::Impossible("number"));
        }
        let progress = reader.share()?;
        let stage = match reader.u64()? {
            0 => Stage::Number(Box::new(Factor::restore_of(&n, reader.bytes()?)?)),
            1 => {
                let prime = reader.natural()?;
                let powers = powers_of(&n, &prime).ok_or(Damaged::Impossible("prime"))?;
                let factor = Box::new(Factor::restore_of(&(&prime - 1u8), reader.bytes()?)?);
                Stage::Order { powers, prime, factor }
            }
            _ => return Err(Damaged::Impossible("stage")),
        };
        reader.finish()?;
        Ok(Self { n, stage, progress })
    }
}

/// The powers of primes of a number that has primitive roots, by the only odd prime that divides it, or by 2.
fn powers_of(n: &Natural, prime: &Natural) -> Option<Vec<PrimePower>> {
    let two = Natural::from(2u8);
    if *prime < two {
        return None;
    }
    let (mut times, mut rest) = (0, n.clone());
    while (&rest % prime) == Natural::ZERO {
        rest /= prime;
        times += 1;
    }
    let power = (times > 0).then(|| (prime.clone(), times));
    let even = (rest == two).then_some((two, 1));
    let powers: Vec<PrimePower> = even.into_iter().chain(power).collect();
    let is_all = rest <= Natural::from(2u8) && multiplicative::cyclic(&powers).as_ref() == Some(prime);
    is_all.then_some(powers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};

    fn root(n: u128) -> Value {
        run_to_end(&mut Root::new(Natural::from(n)))
    }

    #[test]
    fn least_roots_are_those_on_record() {
        // OEIS A001918: of the first primes; A002230 and A029932: 111 of 110881, 73 of 5881; 7, 6, 23, 19, 21, 31 of
        // 71, 41, 191 ..
        for (p, least) in [
            (2u128, 1u64),
            (3, 2),
            (5, 2),
            (7, 3),
            (11, 2),
            (23, 5),
            (41, 6),
            (71, 7),
            (191, 19),
            (409, 21),
            (2161, 23),
            (5881, 31),
        ] {
            assert_eq!(root(p), least.into(), "{p}");
        }
        for (n, least) in [
            (1u128, 0u64),
            (4, 3),
            (9, 2),
            (18, 5),
            (54, 5),
            (1_000_000_007 * 1_000_000_007, 5),
        ] {
            assert_eq!(root(n), least.into(), "{n}");
        }
        for n in [8, 12, 15, 16, 1_000_000_007 * 998_244_353] {
            assert_eq!(root(n), "none".into(), "{n}");
        }
        for n in [6u128, 10, 50, 2 * 1_000_000_007] {
            assert_ne!(root(n), "none".into(), "{n}");
        }
    }

    #[test]
    fn a_small_factor_decides_that_there_is_none() {
        // RSA-768 times 4 or 15: its factors are not found here.
        let hard = "1230186684530117755130494958384962720772853569595334792197322452151726400507263657518745202199786469389956474942774063845925192557326303453731548268507917026122142913461670429214311602221240479274737794080665351419597459856902143413";
        let hard: Natural = hard.parse().expect("digits");
        for small in [4u8, 8, 15] {
            assert_eq!(run_to_end(&mut Root::new(&hard * small)), "none".into(), "{small}");
        }
        // Composite and no power, and the square of such a number.
        for n in [&hard * 2u8, &hard * &hard, hard] {
            assert_eq!(run_to_end(&mut Root::new(n.clone())), "none".into(), "{n}");
        }
    }

    #[test]
    fn factors_of_another_number_are_no_checkpoint() {
        let saved = |n: &Natural| Plan::save(&factor_of(n)).expect("it can be saved");
        let n = Natural::ones(89);
        let (other, order) = (Natural::ones(107), &n - 1u8);
        for (stage, of, is_taken) in [(0, &n, true), (0, &other, false), (1, &order, true), (1, &other, false)] {
            let mut writer = Writer::new(KIND, VERSION);
            writer.bytes(&n.to_le_bytes()).u64(0).u64(stage);
            if stage == 1 {
                writer.bytes(&n.to_le_bytes());
            }
            writer.bytes(&saved(of));
            assert_eq!(Root::restore(&writer.finish()).is_ok(), is_taken, "{stage} {of}");
        }
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        // 2^89 - 1 is prime, and 2^88 - 1 has small factors.
        let mersenne = Natural::from((1u128 << 89) - 1);
        assert_eq!(exercise(|| Root::new(mersenne.clone())), 3.into());
    }
}
