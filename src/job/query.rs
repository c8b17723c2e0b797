//! The built-in questions, with one canonical text each, and the plan that answers them.
//!
//! Knows which plan answers what; knows no client.

use super::{
    AnyPlan, ArePrime, Certify, Count, CountByPi, CountConstellations, CountWide, Divisors, Factor, Function, Gaps,
    IsPrime, Next, NextPrimes, Nth, NthRows, OfFactors, Pi, Prev, PrevPrimes, Root, Rows, SumByFormula, SumBySieve,
    neighbour,
};
use crate::primes::constellation::Constellation;
use crate::primes::primality::search::Direction;
use crate::primes::primality::{is_prime_u64, is_prime_u128};
use crate::primes::{Natural, known, rank};
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::fmt;

/// Words that are tested in two microseconds at the most, if all are prime.
const FEW: usize = 4;
/// Numbers of two words that are tested in a hundred.
const SOME: usize = 16;

/// How `count` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Whatever is expected to be fastest.
    Auto,
    /// By sieving every number of the range.
    Sieve,
}

/// A question about primes. [`check`](Query::check) says whether it has an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Query {
    /// The N-th prime; N is from 1 to pi(10^25) = 176846309399143769411680.
    Nth(u128),
    /// The first-th to the last-th prime as rows, and then how many; `1 <= first <= last <= 425656284035217743` =
    /// pi(2^64).
    NthRows {
        /// The number of the first prime.
        first: u64,
        /// The number of the last prime.
        last: u64,
    },
    /// How many primes are at most X, which is at most 10^25.
    Pi(u128),
    /// How many primes lie in `low..=last`.
    Count {
        /// The first number.
        low: u128,
        /// The last number, below 10^25; below `low` if the range is empty.
        last: u128,
        /// How to count.
        method: Method,
    },
    /// The primes in `low..=last`, as rows, and then how many.
    Primes {
        /// The first number.
        low: u64,
        /// The last number; below `low` if the range is empty.
        last: u64,
    },
    /// How many constellations of a kind have all their members in `low..=last`.
    CountOf {
        /// What is counted.
        kind: Constellation,
        /// The first number.
        low: u64,
        /// The last number; below `low` if the range is empty.
        last: u64,
    },
    /// The constellations of a kind with all members in `low..=last`, as rows, and then how many.
    PrimesOf {
        /// What is wanted.
        kind: Constellation,
        /// The first number.
        low: u64,
        /// The last number; below `low` if the range is empty.
        last: u64,
    },
    /// The sum of the primes in `low..=last`.
    Sum {
        /// The first number.
        low: u64,
        /// The last number; below `low` if the range is empty.
        last: u64,
    },
    /// The longest gap between consecutive primes in `low..=last`, and the primes on its two sides where it first
    /// occurs; nothing if there are fewer than two primes.
    Gaps {
        /// The first number.
        low: u64,
        /// The last number; below `low` if the range is empty.
        last: u64,
    },
    /// Whether N is prime.
    IsPrime(Natural),
    /// Which of the numbers are prime, as words.
    ArePrime(Vec<Natural>),
    /// The smallest prime above N.
    Next(Natural),
    /// COUNT primes above N as rows, ascending, and then how many.
    NextPrimes(Natural, u64),
    /// COUNT primes below N as rows, descending, or as many as there are; and then how many.
    PrevPrimes(Natural, u64),
    /// The largest prime below N; N is above 2.
    Prev(Natural),
    /// The prime factors of N, ascending, with multiplicity; N is at least 1.
    Factor(Natural),
    /// A function of N that its prime factors give; N is at least 1.
    Function(Function, Natural),
    /// The divisors of N as rows, ascending, and then how many; N is at least 1.
    Divisors(Natural),
    /// The least primitive root modulo N, or the text `none`; N is at least 1.
    Root(Natural),
    /// A proof that N is prime, in a form that `certify check=` reads, or the text `composite`.
    Certify(Natural),
    /// The same in a form that PARI/GP checks too: without factors of the number above, so it may be much longer.
    CertifyForPari(Natural),
}

impl Query {
    /// The answer, if it stands in the table of small answers: no work, tens of nanoseconds.
    pub fn known(&self) -> Option<Value> {
        let small = |number: &Natural| u64::try_from(number).ok();
        let word = |number: &u128| u64::try_from(*number).ok();
        match self {
            Self::Nth(n) => known::nth(word(n)?).map(Value::from),
            Self::Pi(x) => known::pi(word(x)?).map(Value::from),
            Self::IsPrime(n) => known::is_prime(small(n)?).map(Value::Truth),
            Self::Next(n) => known::next(small(n)?).map(Value::from),
            Self::Prev(n) => known::prev(small(n)?).map(Value::from),
            Self::Count { low, last, method } => match method {
                Method::Auto => count(*low, *last, known::pi).map(Value::from),
                Method::Sieve => None,
            },
            _ => None,
        }
    }

    /// True if the answer is preceded by rows.
    pub(super) const fn streams(&self) -> bool {
        matches!(
            self,
            Self::Primes { .. }
                | Self::PrimesOf { .. }
                | Self::NthRows { .. }
                | Self::NextPrimes(..)
                | Self::PrevPrimes(..)
                | Self::Divisors(_)
        )
    }

    /// True if the answer takes a microsecond, two at the most: [`brief`](Self::brief) has it, and no plan is worth
    /// making. A [search](Self::is_search) takes as long on average.
    pub(crate) fn is_brief(&self) -> bool {
        match self {
            Self::Nth(n) => *n <= rank::COUNT.into(),
            Self::Pi(x) => *x < rank::LIMIT.into(),
            Self::Count { last, method, .. } => *method == Method::Auto && *last < rank::LIMIT.into(),
            Self::IsPrime(n) | Self::Next(n) | Self::Prev(n) => n.bit_len() <= 64,
            Self::ArePrime(numbers) => numbers.len() <= FEW && numbers.iter().all(|n| n.bit_len() <= 64),
            _ => false,
        }
    }

    /// The answer, if it is [brief](Self::is_brief).
    pub(crate) fn brief(&self) -> Option<Value> {
        let word = |number: &u128| u64::try_from(*number).ok();
        match self {
            Self::Nth(n) => rank::nth(word(n)?).map(Value::from),
            Self::Pi(x) => rank::pi(word(x)?).map(Value::from),
            Self::Count { low, last, method } if *method == Method::Auto => {
                count(*low, *last, rank::pi).map(Value::from)
            }
            Self::IsPrime(n) => u64::try_from(n).ok().map(|n| Value::Truth(is_prime_u64(n))),
            Self::ArePrime(_) | Self::Next(_) | Self::Prev(_) if self.is_brief() => self.at_once(),
            _ => None,
        }
    }

    /// The answer, if it needs no plan on the worker that begins the question: brief ones, and what a plan would do in
    /// its first slice.
    pub(super) fn at_once(&self) -> Option<Value> {
        match self {
            Self::IsPrime(n) => is_prime(n).map(Value::Truth),
            Self::ArePrime(numbers) if numbers.len() <= SOME => are_prime(numbers),
            Self::Next(n) => neighbour::at_once(n, Direction::Up).map(Value::Number),
            Self::Prev(n) => {
                self.check().ok()?;
                neighbour::at_once(n, Direction::Down).map(Value::Number)
            }
            _ => self.brief(),
        }
    }

    /// True if it looks for a prime: the time that takes varies twentyfold with the gap there.
    pub(crate) const fn is_search(&self) -> bool {
        matches!(self, Self::Next(_) | Self::Prev(_))
    }

    /// True if [`brief`](Self::brief) makes no table first.
    pub(crate) fn is_prepared(&self) -> bool {
        !matches!(self, Self::Nth(_) | Self::Pi(_) | Self::Count { .. }) || rank::is_made()
    }

    /// Bytes of its text, about.
    pub(super) fn title_bytes(&self) -> usize {
        const WORDS: usize = 48;
        match self {
            // Three bits make nearly a digit.
            Self::IsPrime(n)
            | Self::Next(n)
            | Self::Prev(n)
            | Self::Factor(n)
            | Self::NextPrimes(n, _)
            | Self::PrevPrimes(n, _)
            | Self::Function(_, n)
            | Self::Divisors(n)
            | Self::Root(n)
            | Self::Certify(n)
            | Self::CertifyForPari(n) => WORDS + n.bit_len() / 3,
            Self::ArePrime(numbers) => WORDS + numbers.iter().map(|n| 2 + n.bit_len() / 3).sum::<usize>(),
            _ => WORDS,
        }
    }

    /// The plan that answers the question.
    ///
    /// # Panics
    /// If the question has no answer: [`check`](Self::check) says so before.
    pub fn plan(self) -> Box<dyn AnyPlan> {
        if let Err(failure) = self.check() {
            panic!("{}", failure.text);
        }
        self.checked_plan()
    }

    /// The same of a question that has an answer.
    pub(super) fn checked_plan(self) -> Box<dyn AnyPlan> {
        match self {
            Self::Nth(n) => Box::new(Nth::new(n)),
            Self::NthRows { first, last } => Box::new(NthRows::new(first, last)),
            Self::Pi(x) => Box::new(Pi::new(x)),
            Self::Count { low, last, method } => match method {
                Method::Auto if CountByPi::is_cheaper(low, last) => Box::new(CountByPi::new(low, last)),
                _ => match (u64::try_from(low), u64::try_from(last)) {
                    (Ok(low), Ok(last)) => Box::new(Count::new(low, last)),
                    _ => Box::new(CountWide::new(low, last)),
                },
            },
            Self::Primes { low, last } => Box::new(Rows::new(low, last)),
            Self::CountOf { kind, low, last } => Box::new(CountConstellations::new(kind, low, last)),
            Self::PrimesOf { kind, low, last } => Box::new(Rows::of_kind(kind, low, last)),
            Self::Sum { low, last } if SumByFormula::is_cheaper(low, last) => {
                Box::new(SumByFormula::new(low.into(), last.into()))
            }
            Self::Sum { low, last } => Box::new(SumBySieve::new(low, last)),
            Self::Gaps { low, last } => Box::new(Gaps::new(low, last)),
            Self::IsPrime(n) => Box::new(IsPrime::new(n)),
            Self::Next(n) => Box::new(Next::new(n)),
            Self::Prev(n) => Box::new(Prev::new(n)),
            Self::Factor(n) => Box::new(Factor::new(n)),
            Self::ArePrime(numbers) => Box::new(ArePrime::new(numbers)),
            Self::NextPrimes(n, count) => Box::new(NextPrimes::new(n, count)),
            Self::PrevPrimes(n, count) => Box::new(PrevPrimes::new(n, count)),
            Self::Function(function, n) => Box::new(OfFactors::new(function, &n)),
            Self::Divisors(n) => Box::new(Divisors::new(&n)),
            Self::Root(n) => Box::new(Root::new(n)),
            Self::Certify(n) => Box::new(Certify::new(n)),
            Self::CertifyForPari(n) => Box::new(Certify::for_pari(n)),
        }
    }
}

/// How many primes lie in `low..=last`, by a function that counts those up to a number if it can.
fn count(low: u128, last: u128, pi: fn(u64) -> Option<u64>) -> Option<u64> {
    if low > last {
        return Some(0);
    }
    let (low, last) = (u64::try_from(low).ok()?, u64::try_from(last).ok()?);
    let below = low.checked_sub(1).map_or(Some(0), pi)?;
    pi(last).map(|up_to| up_to - below)
}

/// Whether a number of at most two words is prime.
fn is_prime(n: &Natural) -> Option<bool> {
    u128::try_from(n).ok().map(is_prime_u128)
}

/// Which of these numbers are prime, if all have at most two words.
fn are_prime(numbers: &[Natural]) -> Option<Value> {
    let mut words = String::with_capacity(4 * numbers.len());
    for (index, n) in numbers.iter().enumerate() {
        if index > 0 {
            words.push(' ');
        }
        words.push_str(if is_prime(n)? { "yes" } else { "no" });
    }
    Some(words.into())
}

/// A number in decimal. Nearly all fit two words, whose digits are written several times as fast as those of a number
/// of any length.
struct Digits<'a>(&'a Natural);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (u64::try_from(self.0), u128::try_from(self.0)) {
            (Ok(word), _) => word.fmt(f),
            (_, Ok(words)) => words.fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

impl fmt::Display for Query {
    /// The canonical text: that of the wire, ranges half-open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nth(n) => write!(f, "nth {n}"),
            Self::NthRows { first, last } => write!(f, "nth {first} {last}"),
            Self::Pi(x) => write!(f, "pi {x}"),
            Self::Count { low, last, method } => {
                write!(f, "count {low} {}", last.saturating_add(1))?;
                if *method == Method::Sieve {
                    f.write_str(" method=sieve")
                } else {
                    Ok(())
                }
            }
            Self::Primes { low, last } => write!(f, "primes {low} {}", u128::from(*last) + 1),
            Self::CountOf { kind, low, last } => {
                write!(f, "count {low} {} kind={}", u128::from(*last) + 1, kind.name())
            }
            Self::PrimesOf { kind, low, last } => {
                write!(f, "primes {low} {} kind={}", u128::from(*last) + 1, kind.name())
            }
            Self::Sum { low, last } => write!(f, "sum {low} {}", u128::from(*last) + 1),
            Self::Gaps { low, last } => write!(f, "gaps {low} {}", u128::from(*last) + 1),
            Self::IsPrime(n) => write!(f, "isprime {}", Digits(n)),
            Self::Next(n) => write!(f, "next {}", Digits(n)),
            Self::Prev(n) => write!(f, "prev {}", Digits(n)),
            Self::Factor(n) => write!(f, "factor {}", Digits(n)),
            Self::ArePrime(numbers) => {
                f.write_str("isprime")?;
                numbers.iter().try_for_each(|n| write!(f, " {}", Digits(n)))
            }
            Self::NextPrimes(n, count) => write!(f, "next {n} {count}"),
            Self::PrevPrimes(n, count) => write!(f, "prev {n} {count}"),
            Self::Function(function, n) => write!(f, "{} {}", function.name(), Digits(n)),
            Self::Divisors(n) => write!(f, "divisors {n}"),
            Self::Root(n) => write!(f, "root {n}"),
            Self::Certify(n) => write!(f, "certify {n}"),
            Self::CertifyForPari(n) => write!(f, "certify {n} form=pari"),
        }
    }
}
