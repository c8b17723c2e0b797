//! The engine asked without a socket: how long a question waits, and that a stopping daemon answers it.

use crate::support::{PATIENCE, daemon, info};
use primed::{Code, Daemon, Drained, Event, Query};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Waits for an answer on this thread, with a runtime of its own.
fn wait<T>(answer: impl Future<Output = T>) -> T {
    let in_time = async { tokio::time::timeout(PATIENCE, answer).await };
    actix::System::new().block_on(in_time).expect("it is answered in time")
}

#[test]
fn a_question_waits_within_the_bounds_of_the_wire_whatever_it_says() {
    let daemon = daemon();
    let engine = daemon.engine();
    let long = || engine.ask(Query::Pi(10u128.pow(18)));
    for forever in [Duration::MAX, Duration::from_secs(u64::MAX / 4)] {
        let short = engine.ask(Query::Pi(10u128.pow(9))).deadline(forever);
        assert_eq!(wait(short.into_future()), Ok(50_847_534u64.into()));
        let late = long().progress(forever).deadline(Duration::ZERO);
        assert_eq!(
            wait(late.into_future()).map_err(|failure| failure.code),
            Err(Code::Deadline)
        );
    }
    let mut events = long().progress(Duration::ZERO).events();
    for _ in 0..2 {
        assert!(matches!(wait(events.next()), Some(Event::Interim(_))));
    }
}

#[test]
fn an_answer_that_was_found_before_is_given_again_without_a_socket() {
    let daemon = daemon();
    let engine = daemon.engine();
    let first = wait(engine.ask(Query::Pi(20_000_000_019)).into_future());
    let hits = info(&daemon, "cache_hits_total");
    let again = wait(engine.request("pi 20000000019").into_future());
    assert_eq!((&again, info(&daemon, "cache_hits_total")), (&first, hits + 1));
    let mut events = engine.ask(Query::Pi(20_000_000_019)).progress(PATIENCE).events();
    assert_eq!(wait(events.next()), Some(Event::Final(first.clone())));
    assert_eq!(info(&daemon, "cache_hits_total"), hits + 2);
    let id = wait(engine.request("submit pi 20000000019").into_future()).expect("it is submitted");
    assert_eq!(info(&daemon, "cache_hits_total"), hits + 3);
    let id = id.to_string();
    let id = id.strip_prefix("job=").expect("it has an ID");
    assert_eq!(wait(engine.request(&format!("result {id}")).into_future()), first);
}

#[test]
fn a_stopping_daemon_answers_questions_that_were_asked_without_a_socket() {
    let daemon = daemon();
    // Polled once, it is asked.
    let mut answer = Box::pin(daemon.engine().ask(Query::Pi(10u128.pow(12))).into_future());
    let waiting = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(waiting, Poll::Pending));
    let engine = daemon.engine().clone();
    daemon.stop(PATIENCE);
    assert_eq!(wait(answer), Ok(37_607_912_018u64.into()));
    let new = wait(engine.ask(Query::Pi(10u128.pow(12))).into_future());
    assert_eq!(new.map_err(|failure| failure.code), Err(Code::Draining));
}

#[test]
fn what_was_asked_without_a_socket_is_cancelled_when_the_drain_limit_is_over_and_dropped_questions_hold_nothing_up() {
    for is_dropped in [true, false] {
        let drained = actix::System::new().block_on(async {
            let daemon = Daemon::new().workers(2).start().await.expect("it has no port");
            let mut answer = Box::pin(daemon.engine().ask(Query::Pi(10u128.pow(18))).into_future());
            let waiting = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(waiting, Poll::Pending));
            if is_dropped {
                drop(answer);
                return daemon.drain(PATIENCE).await;
            }
            let drained = daemon.drain(Duration::from_millis(1)).await;
            assert_eq!(answer.await.map_err(|failure| failure.code), Err(Code::Cancelled));
            drained
        });
        let expected = if is_dropped { Drained::InTime } else { Drained::Late };
        assert_eq!(drained, expected);
    }
}
