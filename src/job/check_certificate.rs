//! `certify check=`: whether a certificate proves what it says, by factors or by curves.
//!
//! Knows nothing of why a proof holds ([`certificate`], [`elliptic`](crate::primes::elliptic)).

use super::{Budget, Plan};
use crate::primes::certificate::{self, Witness};
use crate::primes::elliptic::step::{Check, Step};
use crate::primes::elliptic::text as by_curves;
use crate::proto::Value;

/// Whether a certificate proves what it says.
#[derive(Debug)]
pub struct CheckCertificate {
    /// What is still to be shown and not under way.
    claims: Vec<Claim>,
    missing: usize,
    count: usize,
    verdict: Option<bool>,
    bytes: u64,
}

#[derive(Debug)]
enum Claim {
    /// A number is the witness of a prime.
    Witness(Witness),
    /// The point of a step has the order that it should have. The check takes more memory than the step, so it begins
    /// with the first bout.
    Step(Step),
    Point(Box<Check>),
}

/// A bout of one claim.
pub struct CheckSlice(Claim);

/// The verdict on it, or what is left.
pub struct CheckPartial(Result<bool, Claim>);

impl CheckCertificate {
    /// Asks whether the text is a certificate, with numbers of at most `longest` digits.
    pub fn new(text: &str, longest: usize) -> Self {
        let claims = match text.starts_with("[[") {
            true => by_curves::read(text, longest).map(|steps| steps.into_iter().map(Claim::Step).collect()),
            false => certificate::read(text, longest).map(|(_, proofs)| {
                let witnesses = proofs.iter().flat_map(certificate::Proof::witnesses);
                witnesses.map(Claim::Witness).collect::<Vec<_>>()
            }),
        };
        let count = claims.as_ref().map_or(0, Vec::len);
        Self {
            verdict: match &claims {
                None => Some(false),
                Some(claims) => claims.is_empty().then_some(true),
            },
            claims: claims.unwrap_or_default(),
            missing: count,
            count,
            bytes: text.len() as u64,
        }
    }
}

impl Plan for CheckCertificate {
    type Slice = CheckSlice;
    type Partial = CheckPartial;

    fn cut(&mut self) -> Option<CheckSlice> {
        match self.verdict {
            None => self.claims.pop().map(CheckSlice),
            Some(_) => None,
        }
    }

    fn run(CheckSlice(claim): CheckSlice, budget: Budget<'_>) -> CheckPartial {
        let over = || budget.over();
        CheckPartial(match claim {
            Claim::Witness(mut witness) => match witness.advance(over) {
                Some(found) => Ok(found.is_some()),
                None => Err(Claim::Witness(witness)),
            },
            Claim::Step(step) => match Check::new(&step) {
                Some(check) => Err(Claim::Point(Box::new(check))),
                None => Ok(false),
            },
            Claim::Point(mut check) => match check.advance(over) {
                Some(verdict) => Ok(verdict),
                None => Err(Claim::Point(check)),
            },
        })
    }

    fn absorb(&mut self, CheckPartial(result): CheckPartial) {
        match result {
            Err(rest) => self.claims.push(rest),
            Ok(false) => self.verdict = Some(false),
            Ok(true) => {
                self.missing -= 1;
                if self.missing == 0 {
                    self.verdict = Some(true);
                }
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        self.verdict.map(Value::Truth)
    }

    fn progress(&self) -> f64 {
        match self.verdict {
            Some(_) => 1.0,
            None => (self.count - self.missing) as f64 / self.count.max(1) as f64,
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        (64 << 10) + (16 + workers as u64) * self.bytes
    }
}
