//! Verbs about the arithmetic of one number: `totient sigma moebius radical divisors root certify`.

use super::arithmetic::{Arithmetic, Read, about_number};
use super::call::shortened;
use super::{Call, Registry, Step, Usage, define};
use crate::job::{CheckCertificate, Function, Job, Query};
use crate::primes::Natural;
use crate::proto::{Code, Failure, MAX_DIGITS};
use dashu_int::ops::BitTest;

/// Longer numbers have no roots sought: a candidate takes a power for each prime of the totient, a millisecond each,
/// without a pause.
const MOST_ROOT_BITS: usize = 1024;

/// Longer numbers are not certified: the proof of one of 1,200 digits takes a minute and a half of CPU, and its text
/// 520 KB.
const MOST_CERTIFIED_BITS: usize = 4096;

pub(super) const VERBS: [Arithmetic; 6] = [
    Arithmetic {
        name: "totient",
        usage: "totient N",
        about: "how many numbers of 1..=N are coprime to N",
        details: &["N is at least 1, as long as for 'factor'.", "totient 100 -> OK 40"],
        read: Read::Number(|usage, n| Ok(Query::Function(Function::Totient, factorable(usage, n)?))),
    },
    Arithmetic {
        name: "sigma",
        usage: "sigma N",
        about: "the sum of the divisors of N, N included",
        details: &["N is at least 1, as long as for 'factor'.", "sigma 28 -> OK 56"],
        read: Read::Number(|usage, n| Ok(Query::Function(Function::Sigma, factorable(usage, n)?))),
    },
    Arithmetic {
        name: "moebius",
        usage: "moebius N",
        about: "0 if a square divides N, else 1 or -1",
        details: &[
            "1 if N is a product of an even number of different primes (1 is), -1 if of an",
            "odd number, 0 otherwise. N is at least 1. The answer is a word, for numbers",
            "here are not negative.",
            "moebius 30 -> OK -1",
        ],
        read: Read::Number(|usage, n| Ok(Query::Function(Function::Moebius, factorable(usage, n)?))),
    },
    Arithmetic {
        name: "radical",
        usage: "radical N",
        about: "the product of the primes that divide N",
        details: &["N is at least 1, as long as for 'factor'.", "radical 360 -> OK 30"],
        read: Read::Number(|usage, n| Ok(Query::Function(Function::Radical, factorable(usage, n)?))),
    },
    Arithmetic {
        name: "divisors",
        usage: "divisors N",
        about: "the divisors of N as rows, then how many",
        details: &[
            "They ascend. N is at least 1. More divisors than 8 MiB hold (some",
            "200000) are not listed, only counted.",
            "divisors 28 -> = 1 2 4 7 14 28",
            "               OK 6",
        ],
        read: Read::NumberForRows(|usage, n| Ok(Query::Divisors(factorable(usage, n)?))),
    },
    Arithmetic {
        name: "root",
        usage: "root N",
        about: "the least primitive root modulo N, or none",
        details: &[
            "The least G whose powers are all residues coprime to N, modulo N. There is one",
            "for N = 1, 2, 4, odd prime powers, and twice these. N is from 1 to 2^1024-1.",
            "root 41 -> OK 6",
        ],
        read: Read::Number(|usage, n| Ok(Query::Root(at_most(MOST_ROOT_BITS, usage, factorable(usage, n)?)?))),
    },
];

pub(super) fn register(registry: &mut Registry) {
    registry.add(
        define(
            "certify N [form=pari]|check=PROOF",
            "a proof that N is prime; or checks a proof",
            certify,
        )
        .details(&[
            "A number below 2^64 is its own certificate. Up to 2^128-1 the proof is by",
            "factors of N-1: [N,[P,..]], with P a prime below 2^64 or [P,witness,",
            "certificate of P]. Longer numbers are proved so if trial division of N-1",
            "finds enough; else by factors of N+1 or of both, if it finds enough there:",
            "[N,[P,..],D,[Q,..]]; else by elliptic curves: steps [N,t,s,a,[x,y]], each for",
            "the number that the one before leads to. The first and the last are forms of",
            "PARI/GP, where primecertisvalid checks them; it has none for N+1, so with",
            "form=pari only these are used. If N is not prime, the answer is 'composite'.",
            "N is from 2 to 2^4096-1. check= answers yes or no; a proof by curves of 300",
            "digits has 30 KB: a line may be as long with 'serve --max-line', HTTP takes",
            "32 KiB.",
            "certify 10^30+57 -> OK [1000000000000000000000000000057,[..]]",
            "certify 2^521-1 -> OK [68..51,[],3,[2]]",
            "certify check=[13,[2,3]] -> OK yes",
        ]),
    );
}

fn certify(call: &Call<'_>) -> Result<Step, Failure> {
    if let Some(text) = call.option("check") {
        call.only(0, &["check"])?;
        let (title, text) = (format!("certify check={text}"), text.to_owned());
        return Ok(Step::Job(
            Job::new(title, move || CheckCertificate::new(&text, MAX_DIGITS)).kept(),
        ));
    }
    call.only(1, &["form"])?;
    match call.option("form") {
        None => about_number(call, |usage, n| Ok(Query::Certify(certifiable(usage, n)?))),
        Some(form) if form.eq_ignore_ascii_case("pari") => {
            about_number(call, |usage, n| Ok(Query::CertifyForPari(certifiable(usage, n)?)))
        }
        Some(text) => Err(call.bad_arg(format_args!("form is '{}', not pari", shortened(text)))),
    }
}

/// A number that is prime or composite.
fn certifiable(usage: Usage, n: Natural) -> Result<Natural, Failure> {
    match n.bit_len() {
        0 | 1 => Err(usage.bad_arg("0 and 1 are neither prime nor composite; N must be at least 2")),
        _ => at_most(MOST_CERTIFIED_BITS, usage, n),
    }
}

/// A number that has prime factors. How long it may be is what the limits of numbers say, as for `factor`.
fn factorable(usage: Usage, n: Natural) -> Result<Natural, Failure> {
    match n.bit_len() {
        0 => Err(usage.bad_arg("every number divides 0; N must be at least 1")),
        _ => Ok(n),
    }
}

/// A number of at most this many bits.
fn at_most(bits: usize, usage: Usage, n: Natural) -> Result<Natural, Failure> {
    match n.bit_len() <= bits {
        true => Ok(n),
        false => Err(Failure::new(
            Code::TooBig,
            format!("{}: N may be at most 2^{bits}-1", usage.name),
        )),
    }
}
