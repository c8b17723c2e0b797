//! The verb `random`: draws a prime. Knows where random bytes come from: the system's generator.

use super::call::shortened;
use super::{Call, Registry, Step, define};
use crate::job::{Job, PrimeKind, RandomPrime};
use crate::proto::{Code, Failure};

/// The most bits: those of the longest number that may be asked about.
const MOST_BITS: usize = 33_219;

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        define("random BITS [kind=KIND]", "a random prime of BITS bits", random).details(&[
            "Numbers are drawn from the system's generator until one is prime, so every",
            "prime of the length is as likely as every other. BITS is at most 33219.",
            "kind=prime (the default): from 2 bits on. kind=safe: (p-1)/2 is a prime too;",
            "from 3 bits on, and slow above 1024. kind=strong: p-1 has a large prime factor",
            "r, p+1 one too, and r-1 one too; from 128 bits on.",
            "The answer is not kept, and no other client gets it. In 'jobs' each has a",
            "number of its own, draw=.",
            "random 16 -> OK 48271",
        ]),
    );
}

fn random(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(1, &["kind"])?;
    let bits = call.at_most(0, "BITS", MOST_BITS as u64, "33219")? as usize;
    let kind = match call.option("kind") {
        None => PrimeKind::Prime,
        Some(text) => {
            let mut kinds = PrimeKind::ALL.into_iter();
            let kind = kinds.find(|kind| kind.name().eq_ignore_ascii_case(text));
            kind.ok_or_else(|| call.bad_arg(format_args!("kind is '{}', not prime, safe or strong", shortened(text))))?
        }
    };
    if bits < kind.least_bits() {
        let (least, name) = (kind.least_bits(), kind.name());
        return Err(call.bad_arg(format_args!("BITS must be at least {least} with kind={name}")));
    }
    // Jobs of one title have one answer, which two draws must not have.
    let Ok(draw) = getrandom::u64() else {
        return Err(Failure::new(
            Code::Internal,
            "the system's random generator does not answer",
        ));
    };
    let title = format!("random {bits} kind={} draw={draw:016x}", kind.name());
    Ok(Step::Job(Job::new(title, move || RandomPrime::new(bits, kind, system))))
}

/// The system's generator. It has answered before the job began; should it fail later, the job ends by a fault.
fn system(_: u64, bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system's random generator answers");
}
