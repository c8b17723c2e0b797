//! Verbs about the primes of a range: `sum gaps`, and the `kind=` of `count` and `primes`.

use super::Call;
use super::arithmetic::{Arithmetic, Read, read_range};
use super::call::shortened;
use crate::job::Query;
use crate::primes::constellation::Constellation;
use crate::proto::Failure;

pub(super) const VERBS: [Arithmetic; 2] = [
    Arithmetic {
        name: "sum",
        usage: "sum A B",
        about: "the sum of the primes in A..B",
        details: &["A and B are at most 2^64; B is not included.", "sum 0 100 -> OK 1060"],
        read: Read::AtOnce(|call| {
            call.only(2, &[])?;
            let (low, last) = read_range(call)?;
            Ok(Query::Sum { low, last })
        }),
    },
    Arithmetic {
        name: "gaps",
        usage: "gaps A B",
        about: "the longest gap between primes of A..B",
        details: &[
            "The answer is the gap (the difference of two consecutive primes that both lie",
            "in A..B) and these primes, where it first occurs; nothing, if there is none.",
            "A and B are at most 2^64; B is not included.",
            "gaps 0 100 -> OK 8 89 97",
        ],
        read: Read::AtOnce(|call| {
            call.only(2, &[])?;
            let (low, last) = read_range(call)?;
            Ok(Query::Gaps { low, last })
        }),
    },
];

/// The constellations that `kind=` names, if it is there.
pub(super) fn read_kind(call: &Call<'_>) -> Result<Option<Constellation>, Failure> {
    let Some(text) = call.option("kind") else {
        return Ok(None);
    };
    let mut kinds = Constellation::ALL.iter().copied();
    match kinds.find(|kind| kind.name().eq_ignore_ascii_case(text)) {
        Some(kind) => Ok(Some(kind)),
        None => {
            let names = Vec::from_iter(Constellation::ALL.iter().map(|kind| kind.name())).join(", ");
            Err(call.bad_arg(format_args!("kind is '{}', not one of {names}", shortened(text))))
        }
    }
}
