//! The table of a daemon whose long job has nothing left but parts that others may be at.

use super::tests::{MS, Play};
use super::*;
use crate::engine::cluster::Part;
use crate::engine::message::Work;
use crate::job::{Method, Query, restore, run_to_end};

fn question() -> Query {
    Query::Count {
        low: 1 << 40,
        last: (1 << 40) + 3_000_000_000,
        method: Method::Sieve,
    }
}

/// A long job, of which one part is offered to the one worker that is free, and all else is done.
fn with_one_part() -> (Play, Part) {
    let mut play = Play::new(Policy::default());
    play.ask(1, 1, Work::Plan(question().into()));
    play.express();
    // How long it takes, and so what a part is, is known once some of it is done.
    let part = (0..100).find_map(|_| {
        play.bulk();
        play.table.next_part(1, play.now)
    });
    let part = part.expect("there is enough to cut");
    play.play_on();
    assert_eq!(play.heard(), [""; 0]);
    assert_eq!(play.table.parts(), 1);
    (play, part)
}

fn answer() -> String {
    let Value::Number(number) = run_to_end(&mut *question().plan()) else {
        panic!("a count is a number");
    };
    format!("1/1 ok {number}")
}

/// Moves the clock to the moment that the table asks for, and says how long that took.
fn wait(play: &mut Play) -> Duration {
    let alarm = play.table.next_alarm().expect("it looks again");
    let waited = alarm.saturating_duration_since(play.now);
    play.now = alarm;
    play.table.tick(play.now);
    play.play_on();
    waited
}

#[test]
fn a_question_waits_less_than_a_second_for_a_part_that_nobody_begins() {
    let (mut play, part) = with_one_part();
    assert!(wait(&mut play) < 1_000 * MS);
    assert_eq!(play.heard(), [answer()]);
    assert_eq!(play.table.take_recalled(), [part.id]);
    assert_eq!(play.table.next_alarm(), None);
    play.assert_empty();
}

#[test]
fn a_question_waits_for_a_part_that_was_begun_a_few_times_as_long_as_it_takes() {
    let (mut play, part) = with_one_part();
    play.table.part_begun(part.id, play.now);
    let first = wait(&mut play);
    assert_eq!(play.heard(), [""; 0], "it is worked on");
    assert!(first + wait(&mut play) < 5_000 * MS);
    assert_eq!(play.heard(), [answer()]);
    assert_eq!(play.table.take_recalled(), [part.id]);
    play.assert_empty();
}

#[test]
fn a_part_that_comes_in_time_is_not_done_again() {
    let (mut play, part) = with_one_part();
    play.table.part_begun(part.id, play.now);
    let mut elsewhere = restore(&part.bytes).expect("it was cut from a plan of this question");
    run_to_end(&mut *elsewhere);
    let result = elsewhere.result().expect("it has its answer");
    play.table.absorb_part(part.id, &result, MS, "b", play.now);
    assert_eq!(play.heard(), [answer()]);
    assert_eq!(play.table.take_recalled(), []);
    assert_eq!(play.table.next_alarm(), None);
    play.assert_empty();
}
