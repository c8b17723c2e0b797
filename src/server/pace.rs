//! What sessions have in common, whatever they speak: how much they read at once, how long a turn takes.

use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::Context;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Reads in one go before other sessions of the thread get their turn.
pub(super) const MAX_READS: usize = 4;
/// How long requests are taken in before other sessions of the thread get their turn: one read may hold thousands of
/// them.
const LONGEST_TURN: Duration = Duration::from_micros(100);
/// The same when many sessions have more to do than a turn allows: what a turn costs besides is a few microseconds.
const SHORTEST_TURN: Duration = Duration::from_micros(20);
/// How long a turn of each of these may take in all.
const ROUND: Duration = Duration::from_millis(1);
/// How often a session that does not read checks whether its client is still there, if there are few of them.
const WATCH_INTERVAL: Duration = Duration::from_millis(40);
/// With many of them, a thread makes one check in this time, so that all together take a bounded part of a core,
/// however many they are: 12 % of system time was measured with 5,000 of them and checks twice as often.
const TIME_A_CHECK: Duration = Duration::from_micros(400);

thread_local! {
    /// Sessions of this thread that have more to do than a turn allows.
    static BUSY: Cell<u32> = const { Cell::new(0) };
    /// Sessions of this thread that check whether their clients are still there.
    static WATCHING: Cell<u32> = const { Cell::new(0) };
    /// What is read lands here first; all sessions of a thread share it, so that none holds a buffer of its own while
    /// it waits.
    pub(super) static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BYTES));
}

/// A session that has more to do than a turn allows. The more there are of them, the shorter are their turns, so that
/// light clients stay fast beside those that flood.
#[derive(Debug)]
pub(super) struct Busy(());

impl Busy {
    /// One more.
    pub(super) fn new() -> Self {
        BUSY.set(BUSY.get() + 1);
        Self(())
    }

    /// Wakes the session for its next turn after the reactor has been polled and the sessions it woke have had theirs.
    pub(super) fn wait(&self, task: &mut Context<'_>) {
        // At its first poll it leaves the waker with the runtime, and that is all there is to it.
        let _ = pin!(tokio::task::yield_now()).poll(task);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(BUSY.get() - 1);
    }
}

/// How long a turn takes. It begins with the first look at the clock: a few requests are taken in without one.
#[derive(Default)]
pub(super) struct TurnTime(Option<Instant>);

impl TurnTime {
    /// True if the turn has taken as long as it may.
    pub(super) fn is_over(&mut self) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() >= turn_length()
    }
}

/// A session that cannot see by reading whether its client is still there. The more there are of them, the less often
/// each checks.
#[derive(Debug)]
pub(super) struct Watching(());

impl Watching {
    /// One more, and when its check is due.
    pub(super) fn begin() -> (Self, Instant) {
        let count = WATCHING.get() + 1;
        WATCHING.set(count);
        (Self(()), Instant::now() + WATCH_INTERVAL.max(TIME_A_CHECK * count))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        WATCHING.set(WATCHING.get() - 1);
    }
}

/// How long a turn may take at present.
fn turn_length() -> Duration {
    (ROUND / BUSY.get().max(1)).clamp(SHORTEST_TURN, LONGEST_TURN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_sessions_that_watch_check_less_often() {
        let wait = |(_, at): &(Watching, Instant)| at.saturating_duration_since(Instant::now());
        let few = Watching::begin();
        assert!(wait(&few) <= WATCH_INTERVAL);
        let crowd: Vec<_> = (0..5_000).map(|_| Watching::begin()).collect();
        let longest = wait(crowd.last().expect("there are many"));
        assert!((1_900..=2_001).contains(&longest.as_millis()), "{longest:?}");
        drop(crowd);
        assert!(wait(&Watching::begin()) <= WATCH_INTERVAL);
    }
}
