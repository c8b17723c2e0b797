//! How far a plan is, and what it has found: what `jobs` and `progress=` show, and the error of a deadline.

use super::{Factor, Stage};
use crate::primes::factor::schedule;

/// The share of all work that is done, as far as it is known.
pub(super) fn share(stage: &Stage) -> f64 {
    match stage {
        Stage::Done => 1.0,
        Stage::Searching(searching) => searching.progress(),
        Stage::Sieving(sieving) => {
            let before = schedule::SHARE / (1.0 + schedule::SHARE);
            before + (1.0 - before) * sieving.progress()
        }
        Stage::Part(part) => part.progress(),
        Stage::Alone(_) | Stage::Waiting => 0.0,
    }
}

/// The stage in words.
pub(super) fn stage(stage: &Stage) -> Option<String> {
    match stage {
        Stage::Searching(searching) => searching.stage(),
        Stage::Sieving(sieving) => Some(sieving.stage()),
        Stage::Alone(_) | Stage::Waiting | Stage::Part(_) | Stage::Done => None,
    }
}

/// The primes that are known, and the composites with their number of digits.
pub(super) fn found(plan: &Factor) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    let mut primes = plan.primes.clone();
    primes.sort_unstable();
    words.extend(primes.iter().map(ToString::to_string));
    // The first part is the number itself, of which nothing is known.
    let parts = plan.part.iter().chain(&plan.parts).filter(|part| **part != plan.n);
    words.extend(parts.map(|part| {
        let digits = part.to_string();
        format!("c{}={digits}", digits.len())
    }));
    (!words.is_empty()).then(|| words.join(" "))
}
