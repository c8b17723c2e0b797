//! Verification: a question that is answered again by a second way, and the comparison of both answers.
//!
//! | question | second way |
//! |---|---|
//! | `pi x` to 10^10 | every number is sieved, which shares no step with the formula |
//! | `pi x` above | the formula with another bound between its sums (`y` times 0.7): all leaves are cut anew |
//! | `nth n` | the answer is prime, and the count of primes up to it, by the second way, is n |
//! | `factor n` | the product is n, and every factor is prime |
//!
//! An answer that is known is verified; without one, the first way finds it. Knows nobody who keeps answers.

use super::{AnyPartial, AnyPlan, AnySlice, Budget, Count, Job, Pi, Plan, Query};
use crate::primes::primality::bpsw::Test;
use crate::primes::primality::is_prime_u128;
use crate::primes::primality::large::Large;
use crate::primes::{Natural, estimate};
use crate::proto::{ParsedLine, Value, parse_line};
use dashu_int::ops::BitTest;

/// Up to here a count is verified by sieving: some seconds of one core.
const SIEVED: u64 = 10_000_000_000;

/// How the answer of a verification that failed begins.
const REFUTED: &str = "refuted";

/// A plan that answers a question by two ways.
struct Verify {
    query: Query,
    /// The answer of the first way, once it is known.
    first: Option<Value>,
    /// Whether it was known from the start.
    is_given: bool,
    /// What is computed now.
    stage: Option<Box<dyn AnyPlan>>,
    verdict: Option<String>,
}

/// Why there is no second way for other questions. [`Query::Factor`] is asked of no longer number: those are read by
/// the worker that begins their job.
pub(crate) const UNVERIFIABLE: &str = "only pi, nth, and factor of up to 100 digits, have a second way";

/// Why an answer that stands in a table is not verified.
pub(crate) const FROM_TABLE: &str =
    "the answer is not computed, but read from a table of the primes below 2^20: there is nothing to verify";

/// True if a request that was answered at once asked a table of primes: `nth`, `pi`, or a number alone, which is `nth`.
pub(crate) fn is_of_table(request: &str) -> bool {
    let Ok(ParsedLine::Request(request)) = parse_line(request.as_bytes()) else {
        return false;
    };
    ["nth", "pi"].iter().any(|name| request.verb.eq_ignore_ascii_case(name))
}

/// True if there is a second way for this question.
pub(super) fn can_verify(query: &Query) -> bool {
    matches!(query, Query::Pi(_) | Query::Nth(_) | Query::Factor(_))
}

/// The job that verifies the answer to a question; `first` is the answer, if it is known.
pub(super) fn job(query: &Query, first: Option<Value>) -> Job {
    let (query, title) = (query.clone(), format!("verify {query}"));
    Job::new(title, move || Verify::new(query.clone(), first.clone()))
}

/// True if this is what a verification answers that failed.
pub(crate) fn is_refuted(answer: &Value) -> bool {
    matches!(answer, Value::Text(text) if text.starts_with(REFUTED))
}

impl Verify {
    fn new(query: Query, first: Option<Value>) -> Self {
        let stage = first.is_none().then(|| query.clone().plan());
        let mut verify = Self {
            query,
            is_given: first.is_some(),
            first: None,
            stage,
            verdict: None,
        };
        match first {
            Some(first) => verify.begin_second(first),
            None => verify.advance(),
        }
        verify
    }

    /// Goes on to what follows, as far as stages have their answers.
    fn advance(&mut self) {
        while let Some(answer) = self.stage.as_mut().and_then(|stage| stage.answer()) {
            if self.first.is_none() {
                self.begin_second(answer);
            } else {
                self.stage = None;
                let is_right = self.second_agrees(&answer);
                self.close(is_right);
            }
        }
    }

    fn begin_second(&mut self, first: Value) {
        self.stage = match (&self.query, &first) {
            (Query::Pi(x), _) => Some(second_count(*x)),
            (Query::Nth(_), Value::Number(prime)) => match u128::try_from(prime) {
                Ok(prime) if is_prime_u128(prime) => Some(second_count(prime)),
                _ => None,
            },
            _ => None,
        };
        let is_right =
            matches!((&self.query, &first), (Query::Factor(n), Value::Numbers(factors)) if is_factored(n, factors));
        self.first = Some(first);
        match self.stage {
            Some(_) => self.advance(),
            None => self.close(is_right),
        }
    }

    /// Whether the count of the second way is what the first one says.
    fn second_agrees(&self, count: &Value) -> bool {
        match &self.query {
            Query::Nth(n) => *count == Value::Number(Natural::from(*n)),
            _ => self.first.as_ref() == Some(count),
        }
    }

    fn close(&mut self, is_right: bool) {
        let verdict = if is_right { "verified" } else { REFUTED };
        let source = if self.is_given {
            "the kept answer"
        } else {
            "a new answer"
        };
        // 1 has no factors, and so no words.
        let answer = self.first.as_ref().map(words).filter(|words| !words.is_empty());
        let answer = answer.map_or_else(String::new, |words| format!("{words} "));
        let how = match &self.query {
            Query::Pi(x) => how_counted(*x).to_owned(),
            Query::Nth(_) => {
                let prime = match &self.first {
                    Some(Value::Number(prime)) => u128::try_from(prime).ok(),
                    _ => None,
                };
                format!(
                    "tested for primality, and the primes up to it {}",
                    how_counted(prime.unwrap_or_default())
                )
            }
            _ => "the factors are multiplied, and each is tested for primality".to_owned(),
        };
        self.verdict = Some(format!("{verdict} {} = {answer}({source}; {how})", self.query));
    }
}

/// Counts the primes up to x by the second way.
fn second_count(x: u128) -> Box<dyn AnyPlan> {
    match u64::try_from(x) {
        Ok(x) if x <= SIEVED => Box::new(Count::new(0, x)),
        _ => Box::new(Pi::second(x)),
    }
}

/// The share of the time that the first way takes. A sieve takes 0.6 s where the formula takes a millisecond; both
/// counts by the formula take as long; and nothing is as long as finding factors.
fn first_share(query: &Query) -> f64 {
    let is_sieved = |x: u128| x <= SIEVED.into();
    match query {
        Query::Pi(x) if is_sieved(*x) => 0.0,
        Query::Nth(n) if is_sieved(estimate::nth_prime(*n)) => 0.0,
        Query::Factor(_) => 1.0,
        _ => 0.5,
    }
}

fn how_counted(x: u128) -> &'static str {
    if x <= SIEVED.into() {
        "counted by sieving every number"
    } else {
        "counted by the formula with its sums cut at another bound"
    }
}

fn is_factored(n: &Natural, factors: &[Natural]) -> bool {
    factors.iter().product::<Natural>() == *n && factors.iter().all(is_prime)
}

fn is_prime(n: &Natural) -> bool {
    match u128::try_from(n) {
        Ok(n) => is_prime_u128(n),
        Err(_) if !n.bit(0) => false,
        Err(_) => {
            let large = Large::new(n.clone());
            matches!(large.advance(large.start(), || false), Test::Done(true))
        }
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        _ => "no number".to_owned(),
    }
}

impl Plan for Verify {
    type Slice = AnySlice;
    type Partial = AnyPartial;

    fn cut(&mut self) -> Option<AnySlice> {
        self.stage.as_mut()?.cut()
    }

    fn run(slice: AnySlice, budget: Budget<'_>) -> AnyPartial {
        slice(budget)
    }

    fn absorb(&mut self, partial: AnyPartial) {
        if let Some(stage) = &mut self.stage {
            stage.absorb(partial);
        }
        self.advance();
    }

    fn answer(&mut self) -> Option<Value> {
        self.verdict.clone().map(Value::Text)
    }

    fn progress(&self) -> f64 {
        let done = self.stage.as_ref().map_or(1.0, |stage| stage.progress());
        let first = if self.is_given { 0.0 } else { first_share(&self.query) };
        match &self.first {
            None => first * done,
            Some(_) => first + (1.0 - first) * done,
        }
    }

    fn stage(&self) -> Option<String> {
        self.stage.as_ref()?.stage()
    }

    fn found(&self) -> Option<String> {
        // Of a second count it would be nothing that the answer has.
        self.stage.as_ref().filter(|_| self.first.is_none())?.found()
    }

    fn memory(&self, workers: usize) -> u64 {
        let first = self.query.clone().plan().memory(workers);
        let second = match &self.query {
            Query::Pi(x) => second_count(*x).memory(workers),
            // The prime is not known yet.
            Query::Nth(n) => second_count(estimate::nth_prime(*n).min(Pi::MOST)).memory(workers),
            _ => first,
        };
        first.max(second)
    }

    fn is_long(&self) -> bool {
        self.stage.as_ref().is_some_and(|stage| stage.is_long())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;

    fn verdict(query: Query, first: Option<Value>) -> String {
        let mut plan = job(&query, first).plan().expect("the question is sound");
        match run_to_end(plan.as_mut()) {
            Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_number_alone_asks_the_table_of_primes() {
        for (request, is_it) in [
            ("5", true),
            ("NTH 5", true),
            ("pi 5", true),
            ("5 7", false),
            ("factor 6", false),
        ] {
            assert_eq!(is_of_table(request), is_it, "{request}");
        }
    }

    #[test]
    fn one_has_no_factors_and_is_verified() {
        let verdict = verdict(Query::Factor(Natural::from(1u8)), None);
        assert!(verdict.starts_with("verified factor 1 = (a new answer"), "{verdict}");
    }

    /// How far a plan is after each of its slices, which are as short as can be.
    fn shares(plan: &mut dyn AnyPlan) -> Vec<f64> {
        let mut shares = Vec::new();
        while plan.answer().is_none() {
            let slice = plan.cut().expect("a plan cuts until it has its answer");
            plan.absorb(slice(Budget::new(&|| true)));
            shares.push(plan.progress());
        }
        shares
    }

    fn verification(query: Query) -> Vec<f64> {
        shares(job(&query, None).plan().expect("the question is sound").as_mut())
    }

    #[test]
    fn progress_is_that_of_the_way_that_takes_longer() {
        let n = Natural::from(1_000_000_000_039u64) * Natural::from(10_000_000_000_037u64);
        let query = Query::Factor(n);
        let alone = shares(query.clone().plan().as_mut());
        let both = verification(query);
        assert_eq!(both[..both.len() - 1], alone[..alone.len() - 1]);
        assert!(alone.len() > 10);

        for query in [Query::Pi(100_000_000), Query::Nth(5_761_455)] {
            let alone = shares(&mut Count::new(0, 100_000_000));
            let both = verification(query.clone());
            assert!(alone.len() > 10);
            for share in alone {
                let is_near = |other: &f64| (share - other).abs() < 0.02;
                assert!(both.iter().any(is_near), "{query} is never at {share}");
            }
        }
    }

    #[test]
    fn the_stage_of_a_factorization_is_that_of_its_verification() {
        let query = Query::Factor(Natural::from(2u8).pow(64) * (Natural::from(2u8).pow(257) - 1u8));
        let (mut alone, mut verify) = (query.clone().plan(), Verify::new(query, None));
        while alone.found().is_none() || alone.stage().is_none() {
            for plan in [alone.as_mut(), &mut verify as &mut dyn AnyPlan] {
                let slice = plan.cut().expect("it is not done");
                plan.absorb(slice(Budget::new(&|| true)));
            }
        }
        assert_eq!(Plan::stage(&verify), alone.stage());
        assert_eq!(Plan::found(&verify), alone.found());
    }

    #[test]
    fn right_answers_are_verified_and_wrong_ones_refuted() {
        for (query, right, wrong) in [
            (Query::Pi(1_000_000), Value::from(78_498), Value::from(78_499)),
            (
                Query::Pi(100_000_000_000),
                Value::from(4_118_054_813),
                Value::from(4_118_054_814),
            ),
            (Query::Nth(1_000_000), Value::from(15_485_863), Value::from(15_485_867)),
            (
                Query::Factor(Natural::from(360u16)),
                Value::Numbers([2u8, 2, 2, 3, 3, 5].map(Natural::from).to_vec()),
                Value::Numbers([2u8, 2, 2, 9, 5].map(Natural::from).to_vec()),
            ),
        ] {
            assert!(can_verify(&query));
            for first in [None, Some(right)] {
                let verdict = verdict(query.clone(), first);
                assert!(verdict.starts_with("verified "), "{verdict}");
            }
            let verdict = verdict(query, Some(wrong));
            assert!(is_refuted(&Value::Text(verdict.clone())), "{verdict}");
        }
    }
}
