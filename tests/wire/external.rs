//! Verbs answered by an actor, and verbs over blocking code: each has all that a built-in verb has.

use crate::support::{Client, PATIENCE, exchange, info, start, until};
use actix::prelude::*;
use primed::{Asked, Blocking, Code, Daemon, Failure, Handle, Host, Limits, Responder, RowError, Step, Value, define};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// What `info` says of a lane: nothing before its first call.
fn lane(daemon: &Handle, key: &str) -> u64 {
    let text = exchange(daemon, "info\n");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("= lane_{key}=")));
    value.map_or(0, |value| value.parse().expect("a figure is a number"))
}

/// Counts its calls, keeps some of them, and misbehaves as asked.
#[derive(Default)]
struct Keeper {
    calls: u64,
    kept: Vec<Responder>,
    let_go: Arc<AtomicU64>,
}

impl Actor for Keeper {
    type Context = Context<Self>;
}

impl Handler<Asked<String>> for Keeper {
    type Result = ();

    fn handle(&mut self, asked: Asked<String>, context: &mut Self::Context) {
        self.calls += 1;
        let Asked { question, responder } = asked;
        match question.as_str() {
            "count" => responder.answer(self.calls),
            "panic" => panic!("as asked"),
            "drop" => {}
            "stop" => context.stop(),
            "end-thread" => assert!(Arbiter::current().stop(), "it is there"),
            "fail" => responder.fail(Failure::new(Code::Denied, "as asked")),
            "keep" => {
                let let_go = self.let_go.clone();
                let cancelled = responder.cancelled().into_actor(self);
                self.kept.push(responder);
                context.spawn(cancelled.map(move |(), keeper, _| {
                    keeper.kept.retain(|kept| !kept.is_cancelled());
                    let_go.fetch_add(1, SeqCst);
                }));
            }
            "release" => {
                for kept in self.kept.drain(..) {
                    kept.answer("released");
                }
                responder.answer(());
            }
            "half" => {
                responder.progress(0.5);
                self.kept.push(responder);
            }
            _ => responder.fail(Failure::new(Code::BadArg, "what?")),
        }
    }
}

/// Sends N rows, waiting for room, and then N.
struct Rows(u64);
/// Sends rows until there is no room, and then how many there were.
struct Flood;

impl Handler<Asked<Rows>> for Keeper {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, asked: Asked<Rows>, _: &mut Self::Context) -> Self::Result {
        Box::pin(async move {
            for row in 0..asked.question.0 {
                if asked.responder.row(format!("row {row}")).await.is_err() {
                    return;
                }
            }
            asked.responder.answer(asked.question.0);
        })
    }
}

impl Handler<Asked<Flood>> for Keeper {
    type Result = ();

    fn handle(&mut self, asked: Asked<Flood>, _: &mut Self::Context) {
        let mut rows = 0u64;
        let error = loop {
            match asked.responder.try_row("x".repeat(1000)) {
                Ok(()) => rows += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, RowError::Full);
        asked.responder.answer(rows);
    }
}

fn kept() -> (Handle, Arc<AtomicU64>) {
    let let_go = Arc::new(AtomicU64::new(0));
    let count = let_go.clone();
    let host = Host::with_limit("keeper", 8, move || Keeper {
        let_go: count.clone(),
        ..Keeper::default()
    });
    let (rows, flood) = (host.clone(), host.clone());
    let daemon = Daemon::new()
        .verb(define("keeper WHAT", "does as asked", move |call| {
            Ok(host.ask(call, call.arg(0).unwrap_or_default().to_owned()))
        }))
        .verb(define("rows N", "N rows", move |call| {
            Ok(rows.stream(call, Rows(call.number(0, "N")?)))
        }))
        .verb(define("flood", "rows while there is room", move |call| {
            Ok(flood.stream(call, Flood))
        }));
    (start(daemon), let_go)
}

#[test]
fn an_actor_keeps_its_state_between_calls_of_all_clients() {
    let (daemon, _) = kept();
    assert_eq!(
        exchange(&daemon, "keeper count\nkeeper count\n@t keeper count\n"),
        "OK 1\nOK 2\n@t OK 3\n"
    );
    assert_eq!(exchange(&daemon, "keeper count\n"), "OK 4\n");
    assert_eq!(lane(&daemon, "keeper_calls_total"), 4);
    until("nothing is under way", || lane(&daemon, "keeper_running") == 0);
}

#[test]
fn a_panic_in_an_actor_costs_one_request_and_who_waits_in_line_is_answered_by_the_next() {
    let (daemon, _) = kept();
    for _ in 0..20 {
        let text = exchange(
            &daemon,
            "keeper panic\nkeeper panic\nkeeper count\nkeeper count\nkeeper panic\nkeeper count\nisprime 7\n",
        );
        let lines: Vec<&str> = text.lines().collect();
        let internal = "ERR internal :'keeper panic' failed by a fault in the daemon, of which its log has more; other requests are not touched";
        assert_eq!(lines, [internal, internal, "OK 1", "OK 2", internal, "OK 1", "OK yes"]);
    }
}

#[test]
fn a_call_that_is_dropped_unanswered_is_an_internal_error_and_the_actor_goes_on() {
    let (daemon, _) = kept();
    let text = exchange(&daemon, "keeper count\nkeeper drop\nkeeper count\nkeeper fail\n");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[1].starts_with("ERR internal :"), "{text}");
    assert_eq!([lines[0], lines[2], lines[3]], ["OK 1", "OK 3", "ERR denied :as asked"]);
}

#[test]
fn an_actor_that_stops_is_started_anew() {
    let (daemon, _) = kept();
    let text = exchange(&daemon, "keeper count\nkeeper stop\nkeeper count\n");
    assert!(
        text.starts_with("OK 1\nERR internal :") && text.ends_with("\nOK 1\n"),
        "{text}"
    );
}

#[test]
fn an_actor_whose_thread_has_ended_is_started_on_another() {
    let (daemon, _) = kept();
    let text = exchange(&daemon, "keeper count\nkeeper end-thread\n");
    assert!(text.starts_with("OK 1\nERR internal :"), "{text}");
    // A call that comes before the thread is gone ends with it.
    until("a new actor answers", || {
        exchange(&daemon, "keeper count\n") == "OK 1\n"
    });
    assert_eq!(exchange(&daemon, "keeper count\n"), "OK 2\n");
}

#[test]
fn what_a_panicking_actor_had_kept_is_answered_too() {
    let (daemon, _) = kept();
    let text = exchange(
        &daemon,
        "@a keeper keep\n@b keeper keep\n@c keeper panic\n@d keeper count\n",
    );
    let mut lines: Vec<&str> = text
        .lines()
        .map(|line| line.split(" :").next().unwrap_or(line))
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["@a ERR internal", "@b ERR internal", "@c ERR internal", "@d OK 1"]
    );
}

#[test]
fn an_actor_learns_that_a_kept_call_is_cancelled_late_or_left_alone() {
    let (daemon, let_go) = kept();
    let mut client = Client::connect(&daemon);
    client.send("@a keeper keep\n@b keeper keep deadline=200ms\n@c keeper keep\n");
    let line = client.line().expect("the session goes on");
    assert!(line.starts_with("@b ERR deadline :"), "{line}");
    client.send("cancel @a\n");
    let lines = [client.line(), client.line()].map(|line| line.expect("the session goes on"));
    assert!(lines.iter().any(|line| line == "OK"), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.starts_with("@a ERR cancelled :")),
        "{lines:?}"
    );
    until("the actor hears of both", || let_go.load(SeqCst) == 2);
    until("only the third is under way", || lane(&daemon, "keeper_running") == 1);
    drop(client);
    until("the actor hears that the client has left", || let_go.load(SeqCst) == 3);
    until("nothing is under way", || lane(&daemon, "keeper_running") == 0);
}

#[test]
fn an_actor_holds_no_more_calls_than_it_may_and_the_others_wait() {
    let (daemon, _) = kept();
    let mut client = Client::connect(&daemon);
    let calls: String = (0..10).map(|n| format!("@k{n} keeper keep\n")).collect();
    client.send(calls);
    until("all are there", || lane(&daemon, "keeper_waiting") == 2);
    assert_eq!(lane(&daemon, "keeper_running"), 8);
    client.send("cancel @k0\n");
    until("one has moved up", || lane(&daemon, "keeper_waiting") == 1);
    assert_eq!(info(&daemon, "jobs"), 9);
}

#[test]
fn progress_of_a_call_is_sent() {
    let (daemon, _) = kept();
    let mut client = Client::connect(&daemon);
    client.send("@p keeper half progress=100ms\n");
    let mut lines = std::iter::from_fn(|| client.line());
    let line = lines
        .find(|line| !line.starts_with("@p * pct=0.0"))
        .expect("the session goes on");
    assert!(line.starts_with("@p * pct=50.0"), "{line}");
    client.send("@q keeper release\n");
    let mut replies = std::iter::from_fn(|| client.line());
    let reply = replies.find(|line| !line.starts_with("@p * "));
    assert_eq!(reply.as_deref(), Some("@p OK released"));
}

#[test]
fn a_call_can_be_submitted_and_watched() {
    let (daemon, _) = kept();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit keeper keep"), "OK job=1");
    assert_eq!(exchange(&daemon, "keeper release\n"), "OK\n");
    assert_eq!(client.ask("result 1"), "OK released");
    assert!(client.ask("submit rows 5").starts_with("ERR bad-arg :"));
}

#[test]
fn rows_of_an_actor_arrive_in_order_and_before_the_answer_however_slowly_they_are_read() {
    let (daemon, _) = kept();
    let text = exchange(&daemon, "rows 5000\nkeeper count\n");
    let mut lines = text.lines();
    for row in 0..5000 {
        assert_eq!(lines.next(), Some(format!("= row {row}").as_str()));
    }
    assert_eq!(lines.collect::<Vec<_>>(), ["OK 5000", "OK 1"]);
}

#[test]
fn who_does_not_read_rows_does_not_make_the_actor_hold_them() {
    let (daemon, _) = kept();
    let text = exchange(&daemon, "flood\n");
    let rows = text.lines().filter(|line| line.starts_with("= ")).count();
    assert!((10..=256).contains(&rows), "{rows} rows of 1000 bytes");
    assert!(text.ends_with(&format!("\nOK {rows}\n")));
    let mut never_reads = Client::connect(&daemon);
    never_reads.send("@r rows 100000000\n");
    let mut client = Client::connect(&daemon);
    for _ in 0..100 {
        assert!(client.ask("keeper count").starts_with("OK "));
    }
    drop(never_reads);
    until("its stream ends", || lane(&daemon, "keeper_running") == 0);
}

#[test]
fn kept_calls_are_cancelled_when_the_drain_limit_is_over() {
    let (daemon, _) = kept();
    let mut client = Client::connect(&daemon);
    client.send("keeper keep\n");
    until("it is kept", || lane(&daemon, "keeper_running") == 1);
    let begun = Instant::now();
    daemon.stop(Duration::from_millis(50));
    assert!(begun.elapsed() < PATIENCE);
    let line = client.line().expect("it is answered");
    assert!(line.starts_with("ERR cancelled :"), "{line}");
}

#[test]
fn an_actor_that_cannot_be_made_at_first_is_tried_again() {
    struct Late;
    impl Actor for Late {
        type Context = Context<Self>;
    }
    impl Handler<Asked<()>> for Late {
        type Result = ();
        fn handle(&mut self, asked: Asked<()>, _: &mut Self::Context) {
            asked.responder.answer("at last");
        }
    }
    let tries = Arc::new(AtomicU64::new(0));
    let count = tries.clone();
    let host = Host::new("late", move || {
        assert!(count.fetch_add(1, SeqCst) >= 3, "not yet");
        Late
    });
    let daemon = start(Daemon::new().verb(define("late", "comes late", move |call| Ok(host.ask(call, ())))));
    assert_eq!(exchange(&daemon, "late\n"), "OK at last\n");
    assert_eq!(tries.load(SeqCst), 4);
}

/// Blocks threads until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().expect("no test panics here") = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let is_open = self.0.0.lock().expect("no test panics here");
        drop(
            self.0
                .1
                .wait_while(is_open, |is_open| !*is_open)
                .expect("no test panics here"),
        );
    }
}

/// A daemon with `block WHAT` on a lane of two threads and `other` on a lane of its own.
fn blocking() -> (Handle, Gate, Arc<AtomicBool>) {
    let (gate, saw_cancel) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (theirs, saw) = (gate.clone(), saw_cancel.clone());
    let (lane, other) = (Blocking::new("block", 2), Blocking::new("other", 1));
    let daemon = Daemon::new()
        .verb(define("block WHAT", "blocks as asked", move |call| {
            let what = call.arg(0).unwrap_or_default().to_owned();
            let (gate, saw) = (theirs.clone(), saw.clone());
            Ok(lane.run(call, move |token| match what.as_str() {
                "panic" => panic!("as asked"),
                "wait" => {
                    token.progress(0.25);
                    gate.pass();
                    Ok("waited".into())
                }
                "until-cancelled" => {
                    while !token.is_cancelled() {
                        std::thread::yield_now();
                    }
                    saw.store(true, SeqCst);
                    Ok(Value::Nothing)
                }
                "fail" => Err(Failure::new(Code::Denied, "as asked")),
                _ => Ok(what.len().to_string().into()),
            }))
        }))
        .verb(define("other", "is not touched", move |call| {
            Ok(other.run(call, |_| Ok("fine".into())))
        }));
    (start(daemon), gate, saw_cancel)
}

#[test]
fn blocking_code_answers_and_its_panic_costs_one_request() {
    let (daemon, ..) = blocking();
    let mut requests = String::new();
    for n in 0..200 {
        requests += if n % 10 == 0 { "block panic\n" } else { "block abc\n" };
    }
    let text = exchange(&daemon, requests);
    assert_eq!(text.matches("OK 3\n").count(), 180);
    assert_eq!(text.matches("ERR internal :").count(), 20);
    assert_eq!(exchange(&daemon, "block fail\n"), "ERR denied :as asked\n");
    until("nothing is under way", || lane(&daemon, "block_running") == 0);
    assert_eq!(info(&daemon, "threads_replaced"), 0);
}

#[test]
fn who_waits_for_blocking_code_is_answered_at_its_deadline_though_the_code_goes_on() {
    let (daemon, gate, _) = blocking();
    let mut client = Client::connect(&daemon);
    assert!(client.ask("block wait deadline=20ms").starts_with("ERR deadline :"));
    assert_eq!(info(&daemon, "jobs"), 0);
    assert_eq!(lane(&daemon, "block_running"), 1, "the thread is not free yet");
    assert_eq!(client.ask("block abc"), "OK 3", "the other thread is");
    gate.open();
    until("the thread is free", || lane(&daemon, "block_running") == 0);
}

#[test]
fn blocking_code_sees_that_its_request_has_ended() {
    let (daemon, _, saw_cancel) = blocking();
    let mut client = Client::connect(&daemon);
    client.send("@a block until-cancelled\n");
    until("it runs", || lane(&daemon, "block_running") == 1);
    drop(client);
    until("it has seen that", || saw_cancel.load(SeqCst));
    until("the thread is free", || lane(&daemon, "block_running") == 0);
}

#[test]
fn a_lane_whose_threads_are_all_blocked_delays_only_its_own_callers() {
    let (daemon, gate, _) = blocking();
    let mut stuck = Client::connect(&daemon);
    stuck.send("block wait\nblock wait\nblock abc\n");
    until("both threads are blocked", || lane(&daemon, "block_running") == 2);
    assert_eq!(
        exchange(&daemon, "other\npi 1e10\nisprime 1000000000000000003\n"),
        "OK fine\nOK 455052511\nOK yes\n"
    );
    let mut late = Client::connect(&daemon);
    assert!(late.ask("block abc deadline=20ms").starts_with("ERR deadline :"));
    gate.open();
    assert_eq!(stuck.finish(), "OK waited\nOK waited\nOK 3\n");
}

#[test]
fn progress_of_blocking_code_is_reported_and_then_that_it_stalls() {
    let (daemon, gate, _) = blocking();
    let mut client = Client::connect(&daemon);
    client.send("@p block wait progress=100ms\n");
    let mut lines = std::iter::from_fn(|| client.line());
    let mut line = lines
        .find(|line| !line.starts_with("@p * pct=0.0"))
        .expect("the session goes on");
    assert!(line.starts_with("@p * pct=25.0"), "{line}");
    while line.starts_with("@p * pct=25.0") {
        line = client.line().expect("the session goes on");
    }
    assert!(line.starts_with("@p * stalled="), "{line}");
    gate.open();
    while client.line().expect("the session goes on") != "@p OK waited" {}
}

#[test]
fn the_queue_of_a_lane_has_a_limit_and_all_who_are_in_it_are_answered() {
    let (daemon, gate, _) = blocking();
    let mut many = Client::connect(&daemon);
    let calls: String = (0..1000).map(|n| format!("@w{n} block wait\n")).collect();
    many.send(calls);
    until("they are all there", || lane(&daemon, "block_waiting") == 998);
    let mut second = Client::connect(&daemon);
    let calls: String = (0..26).map(|n| format!("@v{n} block wait\n")).collect();
    second.send(calls);
    until("the queue is full", || lane(&daemon, "block_waiting") == 1024);
    let mut third = Client::connect(&daemon);
    let reply = third.ask("block abc");
    assert!(
        reply.starts_with("ERR busy :") && reply.ends_with("retry-ms=1000"),
        "{reply}"
    );
    gate.open();
    let replies = |client: &mut Client, count: usize| (0..count).all(|_| client.line().is_some());
    assert!(replies(&mut second, 26) && replies(&mut many, 1000));
}

/// A daemon with `closure WHAT`, which is answered where the session runs.
fn closure() -> Handle {
    let closure = define("closure WHAT", "does as asked", |call| match call.arg(0) {
        Some("panic") => panic!("as asked"),
        Some(what) => Ok(Step::Answer(what.len().to_string().into())),
        None => Err(call.bad_arg("WHAT is missing")),
    });
    start(Daemon::new().verb(closure))
}

#[test]
fn a_panic_in_a_verbs_closure_costs_one_request() {
    let daemon = closure();
    for _ in 0..20 {
        let text = exchange(
            &daemon,
            "@a pi 1e11\nclosure panic\n@b closure panic\nclosure abc\nsubmit closure panic\nisprime 2^89-1\n",
        );
        let internal = "ERR internal :'closure panic' failed by a fault in the daemon, of which its log has more; other requests are not touched";
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let tagged = format!("@b {internal}");
        assert_eq!(
            lines,
            ["@a OK 4118054813", &tagged, internal, internal, "OK 3", "OK yes"]
        );
    }
    assert_eq!(
        exchange(&daemon, "*2\r\n$7\r\nclosure\r\n$5\r\npanic\r\n*1\r\n$4\r\nPING\r\n")
            .lines()
            .count(),
        2
    );
    assert_eq!(info(&daemon, "errors_total"), 61);
}

#[test]
fn a_panic_in_a_verbs_closure_is_an_internal_error_for_who_asks_the_engine() {
    let daemon = closure();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be had");
    let engine = daemon.engine();
    let failure = runtime.block_on(async { engine.request("closure panic").await });
    assert_eq!(failure.expect_err("it panics").code, Code::Internal);
    let answer = runtime.block_on(async { engine.request("closure abc").await });
    assert_eq!(answer, Ok("3".into()));
}

#[test]
fn a_verb_is_called_once_for_a_request_that_has_to_wait_for_others() {
    let calls = Arc::new(AtomicU64::new(0));
    let counting = define("counting", "how often it was called", move |_| {
        Ok(Step::Answer((calls.fetch_add(1, SeqCst) + 1).into()))
    });
    let limits = Limits {
        max_in_flight: 1,
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits).verb(counting));
    assert_eq!(
        exchange(&daemon, "pi 1e12\ncounting\npi 1e11\ncounting\n"),
        "OK 37607912018\nOK 1\nOK 4118054813\nOK 2\n"
    );
}

/// A daemon with a verb of blocking code that makes the request it is given, for whom it is called.
fn asking() -> Daemon {
    let lane = Blocking::new("asking", 4);
    Daemon::new().verb(define("asking REQUEST", "what the engine answers", move |call| {
        let question = call.engine()?.request(&call.words());
        Ok(lane.run(call, move |token| token.wait(question)))
    }))
}

#[test]
fn a_verb_asks_the_engine_for_its_caller_and_has_the_answer() {
    let daemon = start(asking());
    let text = exchange(&daemon, "asking pi 1e12\nasking nth x\nasking isprime 91\n");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "OK 37607912018");
    assert!(lines[1].starts_with("ERR bad-arg :nth: N is 'x'"), "{text}");
    assert_eq!(lines[2], "OK no");
    until("what it asked is over", || info(&daemon, "jobs") == 0);
    let engine = daemon.engine();
    assert_eq!(engine.request("asking pi 1e11").wait(), Ok(4_118_054_813_u64.into()));
}

#[test]
fn what_a_verb_asks_is_cancelled_with_its_request() {
    let daemon = start(asking());
    let mut client = Client::connect(&daemon);
    client.send("@a asking pi 1e19\n");
    until("the call and its question are under way", || info(&daemon, "jobs") == 2);
    assert_eq!(client.ask("cancel @a"), "OK");
    assert_eq!(client.line().as_deref(), Some("@a ERR cancelled :cancelled as asked"));
    until("both are over", || info(&daemon, "jobs") == 0);
    let late = client.ask("asking pi 1e19 deadline=100ms");
    assert!(late.starts_with("ERR deadline :"), "{late}");
    until("both are over", || info(&daemon, "jobs") == 0);
    client.send("asking pi 1e19\n");
    until("the call and its question are under way", || info(&daemon, "jobs") == 2);
    drop(client);
    until("both are over", || info(&daemon, "jobs") == 0);
    until("its thread is free", || lane(&daemon, "asking_running") == 0);
}

#[test]
fn a_verb_cannot_ask_one_that_might_wait_for_its_own_thread() {
    let daemon = start(asking());
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit after=1h pi 1e12"), "OK job=1");
    let denied =
        "ERR denied :a verb cannot wait for a submitted job, nor for a verb that has threads or an actor of its own";
    for request in ["asking asking isprime 91", "asking watch 1", "asking result 1"] {
        assert_eq!(client.ask(request), denied, "{request}");
    }
    assert_eq!(client.ask("asking submit after=1h pi 1e13"), "OK job=2");
    let engine = daemon.engine();
    let failure = engine
        .request("asking asking isprime 91")
        .wait()
        .expect_err("it would wait");
    assert_eq!(failure.code, Code::Denied);
}

#[test]
fn a_verb_cannot_block_the_thread_of_its_session() {
    let waiting = define("waiting REQUEST", "what the engine answers", |call| {
        call.engine()?.request(&call.words()).wait().map(Step::Answer)
    });
    let daemon = start(Daemon::new().verb(waiting));
    let text = exchange(&daemon, "waiting pi 1e12\nwaiting nth 5\nnth 5\n");
    let lines: Vec<_> = text.lines().collect();
    for line in &lines[..2] {
        assert!(
            line.starts_with("ERR denied :this thread runs sessions or actors"),
            "{text}"
        );
    }
    assert_eq!(lines[2], "OK 11");
    // Called by the program, the closure has the program's thread.
    assert_eq!(daemon.engine().request("waiting nth 5").wait(), Ok(11.into()));
}

#[test]
fn a_verb_that_asks_for_its_caller_cannot_be_submitted() {
    let daemon = start(asking());
    let reply = Client::connect(&daemon).ask("submit asking pi 1e12");
    let why = "ERR bad-arg :asking: it asks the engine for its client, and a submitted job has none";
    assert_eq!(reply, why);
}
