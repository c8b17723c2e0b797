//! The table of a daemon whose long job has nothing left but parts that others may be at.

use super::tests::{MS, Play};
use super::*;
use crate::engine::cluster::Part;
use crate::engine::message::Work;
use crate::job::{Budget, Damaged, Job, Pieces, Plan};
use std::ops::Range;

/// Counts numbers, of which each takes a fifth of a millisecond here.
struct Numbers {
    pieces: Pieces,
    found: u64,
}

fn bytes_of(part: &Range<u64>) -> Vec<u8> {
    [part.start, part.end].map(u64::to_le_bytes).concat()
}

fn part_of(bytes: &[u8]) -> Range<u64> {
    let word = |at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    word(0)..word(8)
}

impl Plan for Numbers {
    type Slice = Range<u64>;
    type Partial = Range<u64>;

    fn cut(&mut self) -> Option<Range<u64>> {
        self.pieces.cut()
    }

    fn run(piece: Range<u64>, _: Budget<'_>) -> Range<u64> {
        piece
    }

    fn absorb(&mut self, piece: Range<u64>) {
        self.found += piece.end - piece.start;
        self.pieces.absorb(piece.clone(), piece.end);
    }

    fn answer(&mut self) -> Option<Value> {
        self.pieces.is_done().then(|| self.found.into())
    }

    fn progress(&self) -> f64 {
        self.pieces.progress()
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        let part = self.pieces.cut_part((cost / 200e3) as u64)?;
        Some(bytes_of(&part))
    }

    fn absorb_part(&mut self, part: &[u8], _: &[u8]) -> Result<(), Damaged> {
        let part = part_of(part);
        self.found += part.end - part.start;
        self.pieces.absorb_part(part)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        self.pieces.take_back(part_of(part))
    }
}

const NUMBERS: u64 = 5_000;

/// A long job, of which one part is offered to the one worker that is free, and all else is done.
fn with_one_part() -> (Play, Part) {
    let mut play = Play::new(Policy::default());
    let job = Job::new("numbers", || Numbers {
        pieces: Pieces::new(0..NUMBERS, 10),
        found: 0,
    });
    play.ask(1, 1, Work::Plan(job));
    play.express();
    // How long it takes, and so what a part is, is known once some of it is done.
    play.bulk();
    let part = play.table.next_part(1, play.now).expect("there is enough to cut");
    play.play_on();
    assert_eq!(play.heard(), [""; 0]);
    assert_eq!(play.table.parts(), 1);
    (play, part)
}

fn answer() -> String {
    format!("1/1 ok {NUMBERS}")
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
    play.table.absorb_part(part.id, b"", MS, "b", play.now);
    assert_eq!(play.heard(), [answer()]);
    assert_eq!(play.table.take_recalled(), []);
    assert_eq!(play.table.next_alarm(), None);
    play.assert_empty();
}
