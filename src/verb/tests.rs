//! What the built-in verbs make of a line, without a session: above all of one that is wrong.

use super::{DaemonView, Registry, Step};
use crate::metrics::Metrics;
use crate::proto::{Code, ParsedLine, Value, parse_line};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

pub(super) fn daemon() -> DaemonView {
    DaemonView {
        metrics: Arc::new(Metrics::default()),
        clients: Arc::default(),
        started: Instant::now(),
        workers: 1,
    }
}

/// The step of a line: `=answer`, `job title`, or the error.
pub(super) fn said(line: &str) -> String {
    let Ok(ParsedLine::Request(request)) = parse_line(line.as_bytes()) else {
        panic!("{line} is no request");
    };
    match Registry::default().call(&request, &daemon(), None) {
        Ok((step, _)) => shown(step),
        Err(failure) => failure.to_string(),
    }
}

pub(super) fn shown(step: Step) -> String {
    match step {
        Step::Constant(Value::Number(number)) => format!("={number}"),
        Step::Constant(value) => format!("={value:?}"),
        Step::Job(job) => format!("job {}", job.title()),
        step => format!("{step:?}"),
    }
}

#[test]
fn an_unknown_verb_is_refused_with_what_may_have_been_meant() {
    for line in ["-5", "+5", ".5", "5 - 3"] {
        let word = line.split(' ').next().unwrap_or_default();
        let hint = "a number that asks for a prime stands alone, like 1000000, 1e6 or 2^61-1";
        assert_eq!(said(line), format!("unknown-verb :no verb '{word}'; {hint}"));
    }
    for (line, slip, meant) in [
        ("nht 5", "nht", "nth"),
        ("primse 5", "primse", "primes"),
        ("facotrs 5", "facotrs", "factor"),
        ("qit x", "qit", "quit"),
        ("phi 10", "phi", "totient"),
        ("primepi 10", "primepi", "pi"),
        ("PrimeQ 10", "PrimeQ", "isprime"),
        ("prime 10", "prime", "nth"),
        ("twins 0 10", "twins", "count A B kind=twins"),
    ] {
        assert_eq!(
            said(line),
            format!("unknown-verb :no verb '{slip}'; did you mean '{meant}'?")
        );
    }
    assert_eq!(
        said("primorial 10"),
        "unknown-verb :no verb 'primorial'; a number may be written 97#, the product of the primes up to 97"
    );
    for word in ["got", "evl", "frobnicate"] {
        assert_eq!(
            said(word),
            format!("unknown-verb :no verb '{word}'; 'help' lists them all")
        );
    }
    for command in ["get", "SET"] {
        let hint = "no keys are stored here; 'help' lists the verbs";
        assert_eq!(
            said(&format!("{command} x")),
            format!("unknown-verb :no verb '{command}'; {hint}")
        );
    }
    assert_eq!((said("exit").as_str(), said("BYE").as_str()), ("Quit", "Quit"));
}

#[test]
fn a_wrong_option_is_named_beside_what_would_be_right() {
    for (line, failure) in [
        (
            "primes 0 9 kind=red",
            "bad-arg :primes: kind is 'red', not one of twins, cousins, sexy, triplets, quadruplets, quintuplets, sextuplets; \
             usage: primes A B [kind=KIND]",
        ),
        (
            "pi 5 colour=red",
            "bad-arg :pi: there is no option 'colour='; usage: pi X",
        ),
        (
            "pi 5 deadline=soon",
            "bad-arg :pi: deadline is 'soon': write it like 500ms, 5s or 2min; usage: pi X",
        ),
        (
            "pi 5 deadline=1s Deadline=2s",
            "bad-arg :pi: deadline is given twice; usage: pi X",
        ),
        (
            "count 0 9 method=auto method=sieve",
            "bad-arg :count: method is given twice; usage: count A B [method=auto|sieve] [kind=KIND]",
        ),
        (
            "pi 5 deadline=367d",
            "bad-arg :pi: deadline may be from 1ms to 1year; usage: pi X",
        ),
        (
            "pi 5 progres=1s",
            "bad-arg :pi: there is no option 'progres='; did you mean 'progress='?",
        ),
        (
            "count 0 9 METHDO=sieve",
            "bad-arg :count: there is no option 'METHDO='; did you mean 'method='?",
        ),
    ] {
        assert_eq!(said(line), failure, "{line}");
    }
    assert_eq!(said("pi 5 deadline=1y"), "=3");
    assert_eq!(said("certify 7 form=PARI"), said("certify 7 form=pari"));
    assert!(said("certify 7 form=PARI").starts_with("job "));
}

#[test]
fn a_wrong_argument_is_named_beside_what_would_be_right() {
    for (line, failure) in [
        ("nth", "bad-arg :nth: N is missing; usage: nth N [LAST]"),
        (
            "nth 0",
            "bad-arg :nth: N is 0, and primes are counted from 1; usage: nth N [LAST]",
        ),
        (
            "nth 5 6 7",
            "bad-arg :nth: '7' is one argument too many; usage: nth N [LAST]",
        ),
        ("nth 9 5", "bad-arg :nth: LAST is below N: 5 < 9; usage: nth N [LAST]"),
        (
            "prev 2",
            "bad-arg :prev: no prime is below 2; N must be at least 3; usage: prev N [COUNT]",
        ),
        (
            "next 5 x",
            "bad-arg :next: COUNT is 'x': not a number like 1000000, 1_000_000, 1e6, 10**6 or 2^61-1; usage: next N [COUNT]",
        ),
        (
            "sigma 0",
            "bad-arg :sigma: every number divides 0; N must be at least 1; usage: sigma N",
        ),
        (
            "count 9 5",
            "bad-arg :count: B is below A: 5 < 9; usage: count A B [method=auto|sieve] [kind=KIND]",
        ),
        (
            "cancel",
            "bad-arg :cancel: @TAG or ID is missing; usage: cancel @TAG|ID...|all|owner=OWNER",
        ),
    ] {
        assert_eq!(said(line), failure, "{line}");
    }
}

#[test]
fn what_has_no_second_way_is_not_verified() {
    assert_eq!(
        said("verify pi 1e6"),
        "bad-arg :verify: the answer is not computed, but read from a table of the primes below 2^20: there is nothing to verify"
    );
    let long = format!("factor {}", "9".repeat(101));
    for other in ["isprime 2^127-1", "isprime 7", "count 0 100", "ping", &long] {
        assert_eq!(
            said(&format!("verify {other}")),
            "bad-arg :verify: only pi, nth, and factor of up to 100 digits, have a second way; usage: verify REQUEST|JOB"
        );
    }
}

#[test]
fn what_is_not_the_clients_to_say_is_refused() {
    let tagged = "bad-arg :submit: a tag stands before 'submit': '@a submit pi 1e18'; usage: submit REQUEST \
         [id=KEY] [priority=LEVEL] [after=TIME]";
    assert_eq!(said("submit @a pi 5"), tagged);
    assert!(said("random 64 draw=5").starts_with("bad-arg :random: there is no option 'draw='"));
    for line in ["result +1", "cancel +1", "watch job=+1"] {
        assert!(said(line).contains("is no job ID"), "{line}: {}", said(line));
    }
}

#[test]
fn a_question_that_nodes_of_a_cluster_cannot_show_each_other_is_not_submitted_there() {
    let (alone, in_cluster) = (daemon(), daemon());
    in_cluster.metrics.cluster.set_nodes(Vec::new(), true);
    let is_taken = |digits: usize, daemon: &DaemonView| {
        let line = format!("submit certify check={}", "1".repeat(digits));
        let Ok(ParsedLine::Request(request)) = parse_line(line.as_bytes()) else {
            panic!("it is a request");
        };
        let taken = Registry::default().call(&request, daemon, None);
        match taken {
            Ok((step, _)) => matches!(step, Step::Ask(_)),
            Err(failure) => {
                assert_eq!(failure.code, Code::TooBig, "{failure}");
                false
            }
        }
    };
    assert!(is_taken(499_000, &in_cluster));
    assert!(!is_taken(500_000, &in_cluster));
    assert!(is_taken(500_000, &alone));
    // NATS may be set to take less than by default.
    in_cluster.metrics.cluster.max_message.store(64 << 10, Relaxed);
    assert!(is_taken(30_000, &in_cluster));
    assert!(!is_taken(31_000, &in_cluster));
    in_cluster.metrics.cluster.max_message.store(8 << 20, Relaxed);
    assert!(is_taken(499_000, &in_cluster) && !is_taken(500_000, &in_cluster));
}
