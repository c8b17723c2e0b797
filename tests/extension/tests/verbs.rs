//! Each interface for verbs, from outside: it answers, it is as short as promised, and a panic costs one request.

use extension::{Squarefree, sleep, squarefree, tally};
use primed::{Budget, Daemon, Failure, Handle, Job, Pieces, Plan, Step, Value, define, exercise};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

fn daemon() -> Handle {
    let daemon = Daemon::new()
        .verb(squarefree())
        .verb(sleep())
        .verb(tally())
        .verb(fragile());
    daemon
        .listen(([127, 0, 0, 1], 0).into())
        .spawn()
        .expect("a free port can be had")
}

/// A plan that panics, as a fourth verb: the counting one has no bug to show.
fn fragile() -> impl primed::Verb {
    define("fragile", "breaks", |call| -> Result<Step, Failure> {
        Ok(Step::Job(Job::new(call.title(), || Fragile)))
    })
}

struct Fragile;

impl Plan for Fragile {
    type Slice = ();
    type Partial = ();
    fn cut(&mut self) -> Option<()> {
        Some(())
    }
    fn run((): (), _: Budget<'_>) {
        panic!("as its name says")
    }
    fn absorb(&mut self, (): ()) {}
    fn answer(&mut self) -> Option<Value> {
        None
    }
    fn progress(&self) -> f64 {
        0.0
    }
}

fn exchange(daemon: &Handle, requests: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(daemon.addresses()[0]).expect("it listens");
    stream.write_all(requests.as_bytes()).expect("it reads");
    stream.shutdown(Shutdown::Write).expect("it is connected");
    let mut replies = String::new();
    stream.read_to_string(&mut replies).expect("it answers");
    let code = |line: &str| line.split(" :").next().unwrap_or(line).to_owned();
    replies.lines().map(code).collect()
}

#[test]
fn every_interface_answers_and_a_panic_costs_one_request() {
    let daemon = daemon();
    assert_eq!(
        exchange(&daemon, "squarefree 1e6\nsquarefree 10\nfragile\nsquarefree 4\n"),
        ["OK 607926", "OK 7", "ERR internal", "OK 3"]
    );
    assert_eq!(
        exchange(&daemon, "sleep 5\nsleep 13\nsleep 5000 deadline=20ms\nsleep 0\n"),
        ["OK 5", "ERR internal", "ERR deadline", "OK 0"]
    );
    assert_eq!(
        exchange(&daemon, "tally a\ntally a\ntally candlejack\ntally b\ntally\n"),
        ["OK 1", "OK 2", "ERR internal", "OK 1", "ERR bad-arg"]
    );
    assert_eq!(exchange(&daemon, "isprime 2^61-1\n"), ["OK yes"]);
}

#[test]
fn the_plan_keeps_what_plans_promise() {
    assert_eq!(exercise(|| Squarefree(Pieces::new(1..100_001, 4096), 0)), 60_794.into());
}

#[test]
fn each_door_takes_less_than_forty_lines() {
    for (file, text) in [
        ("plan.rs", include_str!("../src/plan.rs")),
        ("sleep.rs", include_str!("../src/sleep.rs")),
        ("tally.rs", include_str!("../src/tally.rs")),
    ] {
        assert!(text.lines().count() < 40, "{file} has {} lines", text.lines().count());
    }
}
