//! The prime factors of a number of up to 128 bits: one composite part after the other is split until all parts are prime.
//!
//! Does not know how a part is split; see [`crate::primes::factor`]. Small parts are split in one or a few slices one after the other; a part for
//! the quadratic sieve on all workers at once, a family of polynomials a slice.

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::factor::quadratic::{Base, Choice, Collector, Family, Relation, Whole, linear};
use crate::primes::factor::rho::Rho;
use crate::primes::factor::{power, small_factors};
use crate::primes::primality::is_prime_u128;
use crate::proto::Value;
use std::sync::Arc;

const KIND: [u8; 4] = *b"FACT";
const VERSION: u32 = 1;

/// Parts of up to so many bits are left to Pollard's method alone: 0.6 ms for two primes of 32 bits, and never a number too small for the sieve.
const RHO_BITS: u32 = 64;

/// Longer parts are given so many steps of it, 0.1 ms, enough for a factor of some 25 bits, before the sieve begins.
const RHO_STEPS: u64 = 8_000;

/// The prime factors of a number, ascending, with multiplicity.
#[derive(Debug)]
pub struct Factor {
    n: u128,
    primes: Vec<u128>,
    /// Parts that are not known to be prime.
    parts: Vec<u128>,
    stage: Stage,
    progress: f64,
}

#[derive(Debug)]
enum Stage {
    /// This is to be done next, by one slice alone.
    Alone(Work),
    /// The one slice is under way.
    Waiting,
    Sieving(Box<Sieving>),
    Done,
}

/// A bout of splitting.
#[derive(Debug)]
pub struct Slice(Work);

#[derive(Debug)]
enum Work {
    /// Trial division of the number itself.
    Begin(u128),
    /// Whatever can be done to a part without sieving.
    Split(u128),
    /// Pollard's method, for so many steps.
    Rho {
        n: u128,
        search: Search,
        most: u64,
    },
    /// The factor base for a part.
    Prepare(u128),
    Sieve(Arc<Base>, Family),
    Solve(Arc<Base>, Vec<Whole>),
}

/// What a bout found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    /// A part came apart into primes and other parts.
    Parts {
        primes: Vec<u128>,
        parts: Vec<u128>,
    },
    /// Something else has to be done to the part.
    Next(Work),
    Base(Arc<Base>),
    Sieved {
        base: Arc<Base>,
        relations: Vec<Relation>,
        rest: Option<Family>,
    },
    Unsolved(Vec<Whole>),
}

#[derive(Debug)]
enum Search {
    Word(Rho<u64>),
    DoubleWord(Rho<u128>),
}

/// The quadratic sieve of a part under way.
#[derive(Debug)]
struct Sieving {
    n: u128,
    base: Arc<Base>,
    choice: Choice,
    collector: Collector,
    /// Families that were interrupted.
    paused: Vec<Family>,
    under_way: usize,
    /// Enough relations, not yet handed out.
    enough: Option<Vec<Whole>>,
    solving: bool,
}

impl Factor {
    /// Asks for the factors of `n`, which must not be 0.
    pub fn new(n: u128) -> Self {
        Self {
            n,
            primes: Vec::new(),
            parts: Vec::new(),
            stage: Stage::Alone(Work::Begin(n)),
            progress: 0.0,
        }
    }

    /// The primes that are known so far, each as often as it was found.
    pub(super) fn primes(&self) -> Vec<Natural> {
        self.primes.iter().map(|p| Natural::from(*p)).collect()
    }

    /// Turns to the next part, if there is one.
    fn go_on(&mut self) {
        self.stage = match self.parts.pop() {
            Some(part) => Stage::Alone(Work::Split(part)),
            None => {
                self.primes.sort_unstable();
                Stage::Done
            }
        };
    }
}

impl Search {
    fn new(n: u128) -> Self {
        match u64::try_from(n) {
            Ok(n) => Self::Word(Rho::new(n)),
            Err(_) => Self::DoubleWord(Rho::new(n)),
        }
    }

    fn advance(&mut self, most: u64, over: impl FnMut() -> bool) -> Option<u128> {
        match self {
            Self::Word(rho) => rho.advance(most, over),
            Self::DoubleWord(rho) => rho.advance(most, over),
        }
    }

    fn steps(&self) -> u64 {
        match self {
            Self::Word(rho) => rho.steps(),
            Self::DoubleWord(rho) => rho.steps(),
        }
    }
}

fn rho(n: u128, most: u64) -> Work {
    Work::Rho {
        n,
        search: Search::new(n),
        most,
    }
}

impl Work {
    fn run(self, budget: Budget<'_>) -> Found {
        match self {
            Self::Begin(n) => {
                let (primes, rest) = small_factors(n);
                Found::Parts {
                    primes,
                    parts: if rest > 1 { vec![rest] } else { vec![] },
                }
            }
            Self::Split(n) if is_prime_u128(n) => Found::Parts {
                primes: vec![n],
                parts: vec![],
            },
            Self::Split(n) => match power(n) {
                Some((root, exponent)) => Found::Parts {
                    primes: vec![],
                    parts: vec![root; exponent as usize],
                },
                None if u128::BITS - n.leading_zeros() <= RHO_BITS => rho(n, u64::MAX).run(budget),
                None => rho(n, RHO_STEPS).run(budget),
            },
            Self::Rho { n, mut search, most } => {
                let mut batches = 0;
                let factor = search.advance(most, || {
                    // A batch takes a few microseconds: the clock is asked after every sixteenth.
                    batches += 1;
                    batches % 16 == 0 && budget.over()
                });
                match factor {
                    Some(factor) => Found::Parts {
                        primes: vec![],
                        parts: vec![factor, n / factor],
                    },
                    None if search.steps() < most => Found::Next(Self::Rho { n, search, most }),
                    None => Found::Next(Self::Prepare(n)),
                }
            }
            Self::Prepare(n) => Found::Base(Arc::new(Base::new(n))),
            Self::Sieve(base, mut family) => {
                let mut relations = Vec::new();
                let finished = family.advance(&mut relations, || budget.over());
                Found::Sieved {
                    base,
                    relations,
                    rest: (!finished).then_some(family),
                }
            }
            Self::Solve(base, relations) => match linear::split(&base, &relations) {
                Some(factor) => Found::Parts {
                    primes: vec![],
                    parts: vec![factor, base.n() / factor],
                },
                None => Found::Unsolved(relations),
            },
        }
    }
}

impl Sieving {
    fn new(base: Arc<Base>) -> Self {
        Self {
            n: base.n(),
            choice: Choice::new(Arc::clone(&base)),
            collector: Collector::new(Arc::clone(&base)),
            base,
            paused: Vec::new(),
            under_way: 0,
            enough: None,
            solving: false,
        }
    }

    fn cut(&mut self) -> Option<Work> {
        if self.solving {
            return None;
        }
        if let Some(relations) = self.enough.take() {
            self.solving = true;
            return Some(Work::Solve(Arc::clone(&self.base), relations));
        }
        let family = self.paused.pop().or_else(|| self.choice.next());
        match family {
            Some(family) => {
                self.under_way += 1;
                Some(Work::Sieve(Arc::clone(&self.base), family))
            }
            // No other family is near: Pollard's method always ends.
            None if self.under_way == 0 => {
                self.solving = true;
                Some(rho(self.n, u64::MAX))
            }
            None => None,
        }
    }

    fn absorb(&mut self, relations: Vec<Relation>, rest: Option<Family>) {
        self.under_way -= 1;
        self.collector.extend(relations);
        self.paused.extend(rest);
        if self.enough.is_none() && !self.solving {
            self.enough = self.collector.take_enough();
        }
    }
}

impl Plan for Factor {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        if let Stage::Sieving(sieving) = &mut self.stage {
            return sieving.cut().map(Slice);
        }
        match std::mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Alone(work) => Some(Slice(work)),
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(work.run(budget))
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match found {
            Found::Parts { primes, parts } => {
                self.primes.extend(primes);
                self.parts.extend(parts);
                self.go_on();
            }
            Found::Next(work) => self.stage = Stage::Alone(work),
            Found::Base(base) => self.stage = Stage::Sieving(Box::new(Sieving::new(base))),
            Found::Sieved { base, relations, rest } => {
                // Families that were cut before the part came apart may come back later.
                if let Stage::Sieving(sieving) = &mut self.stage
                    && Arc::ptr_eq(&sieving.base, &base)
                {
                    sieving.absorb(relations, rest);
                    self.progress = self.progress.max(0.95 * sieving.collector.progress());
                }
            }
            Found::Unsolved(relations) => {
                if let Stage::Sieving(sieving) = &mut self.stage {
                    sieving.solving = false;
                    sieving.collector.give_back(relations);
                }
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        match self.stage {
            Stage::Done => Some(Value::Numbers(self.primes.iter().map(|p| Natural::from(*p)).collect())),
            _ => None,
        }
    }

    /// Only sieving takes long, and no number of 128 bits needs it for more than one part.
    /// Only the question: all of it takes some 20 ms at most, less than it would take to write down the relations of a sieve.
    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.u128(self.n);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = reader.u128()?;
        reader.finish()?;
        if n == 0 {
            Err(Damaged::Impossible("number"))
        } else {
            Ok(Self::new(n))
        }
    }

    fn progress(&self) -> f64 {
        match self.stage {
            Stage::Done => 1.0,
            _ => self.progress,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        // A base, some ten thousand halves of relations, and a family with its sieve for every worker.
        (4 << 20) + (128 << 10) * workers as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
    use proptest::prelude::*;

    fn factors(n: u128) -> Vec<u128> {
        match run_to_end(&mut Factor::new(n)) {
            Value::Numbers(factors) => factors
                .into_iter()
                .map(|f| u128::try_from(f).expect("a factor of n"))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn edges() {
        assert_eq!(factors(1), []);
        assert_eq!(factors(2), [2]);
        assert_eq!(factors(1 << 127), [2; 127]);
        assert_eq!(factors(18_446_744_073_709_551_557), [18_446_744_073_709_551_557]);
        assert_eq!(factors(u128::MAX - 158), [u128::MAX - 158]);
        assert_eq!(factors((1 << 127) - 1), [(1 << 127) - 1]);
    }

    #[test]
    fn every_small_number_is_the_product_of_its_primes() {
        for n in 1..20_000 {
            let found = factors(n);
            assert_eq!(found.iter().product::<u128>(), n);
            assert!(found.is_sorted() && found.iter().all(|p| is_prime_u128(*p)), "{n}");
        }
    }

    /// Plays the plan with several slices out at once that come back in any order.
    fn factors_by_many_hands(n: u128, hands: usize, order: impl Fn(usize) -> usize, rest: u32) -> Vec<Natural> {
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

    fn prime_near(bits: u32, seed: u128) -> u128 {
        crate::primes::primality::search::prev((1 << bits) - (seed >> 2) % (1 << (bits - 1))).expect("above 2")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn semiprimes_of_every_size_come_apart_in_any_order(
            p: u128, q: u128, bits in 20u32..=64, other in 20u32..=64, hands in 1usize..5, order: prop::sample::Index, rest in 0u32..60,
        ) {
            let (p, q) = (prime_near(bits, p), prime_near(other, q));
            let found = factors_by_many_hands(p * q, hands, |n| order.index(n), rest);
            prop_assert_eq!(found, [Natural::from(p.min(q)), Natural::from(p.max(q))]);
        }
    }

    proptest! {
        #[test]
        fn products_of_primes_come_apart(seeds in prop::collection::vec((1u128.., 1u32..31), 1..8)) {
            let mut expected = vec![];
            let mut n = 1u128;
            for (seed, bits) in seeds {
                let p = crate::primes::primality::search::next(seed >> (128 - bits)).expect("small");
                if let Some(longer) = n.checked_mul(p) {
                    n = longer;
                    expected.push(p);
                }
            }
            expected.sort_unstable();
            prop_assert_eq!(factors(n), expected);
        }
    }
}
