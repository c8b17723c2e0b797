//! The engine asked without a socket: how long a question waits.

use crate::support::{PATIENCE, daemon};
use primed::{Code, Event, Query};
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
    let long = || engine.ask(Query::Pi(10u64.pow(18)));
    for forever in [Duration::MAX, Duration::from_secs(u64::MAX / 4)] {
        let short = engine.ask(Query::Pi(10u64.pow(9))).deadline(forever);
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
