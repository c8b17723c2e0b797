//! Which questions have answers here: the bounds of what programs ask, who make questions of any numbers. Verbs say it
//! in the words of the request before.

use super::Query;
use crate::primes::{MAX_NTH, Natural, WORD_PRIMES};
use crate::proto::{Code, Failure};

/// 10^25: what is counted lies below it.
const MOST: u128 = 10_u128.pow(25);

impl Query {
    /// Checks that the question has an answer, and is not too large.
    ///
    /// # Errors
    /// `bad-arg` if it has none; `too-big` if a number is beyond the bound that its variant names.
    pub fn check(&self) -> Result<(), Failure> {
        let at_least = |least: u64, n: &Natural| match *n >= Natural::from(least) {
            true => Ok(()),
            false => Err(Failure::new(
                Code::BadArg,
                format!("{self}: the number must be at least {least}"),
            )),
        };
        let at_most = |most: u128, n: u128| match n <= most {
            true => Ok(()),
            false => Err(Failure::new(
                Code::TooBig,
                format!("{self}: the number may be at most {most}"),
            )),
        };
        match self {
            Self::Nth(n) => at_least(1, &(*n).into()).and_then(|()| at_most(MAX_NTH, *n)),
            Self::NthRows { first, last } if first > last => {
                let text = format!("nth: the last number is below the first: {last} < {first}");
                Err(Failure::new(Code::BadArg, text))
            }
            Self::NthRows { first, last } => {
                at_least(1, &(*first).into()).and_then(|()| at_most(WORD_PRIMES.into(), (*last).into()))
            }
            Self::Pi(x) => at_most(MOST, *x),
            Self::Count { last, .. } => at_most(MOST - 1, *last),
            Self::Prev(n) => at_least(3, n),
            Self::Factor(n) | Self::Function(_, n) | Self::Divisors(n) | Self::Root(n) => at_least(1, n),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Function, Job, Method};

    fn count(low: u128, last: u128) -> Query {
        let method = Method::Auto;
        Query::Count { low, last, method }
    }

    #[test]
    fn questions_without_an_answer_are_refused_and_no_plan_is_made() {
        let zero = || Natural::from(0u8);
        let none = [
            Query::Nth(0),
            Query::NthRows { first: 10, last: 3 },
            Query::NthRows { first: 0, last: 3 },
            Query::Prev(zero()),
            Query::Prev(2u8.into()),
            Query::Factor(zero()),
            Query::Function(Function::Sigma, zero()),
            Query::Divisors(zero()),
            Query::Root(zero()),
        ];
        let too_big = [
            Query::Nth(u128::MAX),
            Query::NthRows {
                first: 1,
                last: u64::MAX,
            },
            Query::Pi(u128::MAX),
            count(u128::MAX - 5, u128::MAX),
        ];
        let all = none.map(|query| (query, Code::BadArg)).into_iter();
        for (query, code) in all.chain(too_big.map(|query| (query, Code::TooBig))) {
            let job = Job::from(query.clone());
            assert_eq!(query.check().map_err(|failure| failure.code), Err(code), "{query}");
            assert!(job.at_once().is_none() && job.brief().is_none(), "{query}");
            assert!(job.plan().is_err_and(|failure| failure.code == code), "{query}");
        }
    }

    #[test]
    fn questions_at_the_bounds_have_answers() {
        let last = MOST - 1;
        for query in [
            Query::Nth(1),
            Query::Nth(MAX_NTH),
            Query::Pi(MOST),
            count(5, 3),
            count(0, last),
            Query::Prev(3u8.into()),
            Query::Factor(1u8.into()),
            Query::NthRows {
                first: WORD_PRIMES,
                last: WORD_PRIMES,
            },
        ] {
            assert!(query.check().is_ok(), "{query}");
        }
    }
}
