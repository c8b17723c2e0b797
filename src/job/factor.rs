//! The prime factors of a number of up to 128 bits: one composite part after the other is split until all parts are prime.
//!
//! Does not know how a part is split; see [`crate::primes::factor`].

use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::factor::rho::Rho;
use crate::primes::factor::{power, small_factors};
use crate::primes::primality::is_prime_u128;
use crate::proto::Value;

/// The prime factors of a number, ascending, with multiplicity.
#[derive(Debug)]
pub struct Factor {
    primes: Vec<u128>,
    /// Parts that are not known to be prime.
    parts: Vec<u128>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The number itself is to be split, in the first slice.
    Fresh,
    /// A slice is under way.
    Waiting,
    /// The next part is to be split.
    Idle,
    /// Looking for a factor.
    Rho(Search),
}

#[derive(Debug)]
enum Search {
    Word(Rho<u64>),
    DoubleWord(Rho<u128>),
}

/// A bout of splitting.
#[derive(Debug)]
pub struct Slice(Work);

#[derive(Debug)]
enum Work {
    Begin(u128),
    Split(u128, Option<Search>),
}

/// What a bout found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    Parts { primes: Vec<u128>, parts: Vec<u128> },
    Unfinished(u128, Search),
}

impl Factor {
    /// Asks for the factors of `n`, which must not be 0.
    pub fn new(n: u128) -> Self {
        Self {
            primes: Vec::new(),
            parts: vec![n],
            stage: Stage::Fresh,
        }
    }
}

impl Search {
    fn new(n: u128) -> Self {
        match u64::try_from(n) {
            Ok(n) => Self::Word(Rho::new(n)),
            Err(_) => Self::DoubleWord(Rho::new(n)),
        }
    }

    fn advance(&mut self, over: impl FnMut() -> bool) -> Option<u128> {
        match self {
            Self::Word(rho) => rho.advance(over),
            Self::DoubleWord(rho) => rho.advance(over),
        }
    }
}

fn begin(n: u128) -> Found {
    let (primes, rest) = small_factors(n);
    Found::Parts {
        primes,
        parts: if rest > 1 { vec![rest] } else { vec![] },
    }
}

fn split(n: u128, search: Option<Search>, budget: Budget<'_>) -> Found {
    if search.is_none() {
        if is_prime_u128(n) {
            return Found::Parts {
                primes: vec![n],
                parts: vec![],
            };
        }
        if let Some((root, exponent)) = power(n) {
            return Found::Parts {
                primes: vec![],
                parts: vec![root; exponent as usize],
            };
        }
    }
    let mut search = search.unwrap_or_else(|| Search::new(n));
    match search.advance(|| budget.over()) {
        Some(factor) => Found::Parts {
            primes: vec![],
            parts: vec![factor, n / factor],
        },
        None => Found::Unfinished(n, search),
    }
}

impl Plan for Factor {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let work = match std::mem::replace(&mut self.stage, Stage::Waiting) {
            Stage::Fresh => Work::Begin(self.parts.pop()?),
            Stage::Waiting => return None,
            Stage::Idle => Work::Split(self.parts.pop()?, None),
            Stage::Rho(search) => Work::Split(self.parts.pop()?, Some(search)),
        };
        Some(Slice(work))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Begin(n) => begin(n),
            Work::Split(n, search) => split(n, search, budget),
        })
    }

    fn absorb(&mut self, partial: Partial) {
        self.stage = match partial.0 {
            Found::Parts { primes, parts } => {
                self.primes.extend(primes);
                self.parts.extend(parts);
                Stage::Idle
            }
            Found::Unfinished(n, search) => {
                self.parts.push(n);
                Stage::Rho(search)
            }
        };
    }

    fn answer(&mut self) -> Option<Value> {
        if !matches!(self.stage, Stage::Idle) || !self.parts.is_empty() {
            return None;
        }
        self.primes.sort_unstable();
        Some(Value::Numbers(self.primes.iter().map(|p| Natural::from(*p)).collect()))
    }

    fn progress(&self) -> f64 {
        0.0
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
