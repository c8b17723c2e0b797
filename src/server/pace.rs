//! What sessions have in common, whatever they speak: how much they read at once, how long a turn takes.

use bytes::BytesMut;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Reads in one go before other sessions of the thread get their turn.
pub(super) const MAX_READS: usize = 4;
/// How long requests are taken in before other sessions of the thread get their turn: one read may hold thousands of them.
const LONGEST_TURN: Duration = Duration::from_micros(100);
/// The same when many sessions have more to do than a turn allows: what a turn costs besides is a few microseconds.
const SHORTEST_TURN: Duration = Duration::from_micros(20);
/// How long a turn of each of these may take in all.
const ROUND: Duration = Duration::from_millis(1);
/// How often a session that does not read checks whether its client is still there.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(40);
thread_local! {
    /// Sessions of this thread that have more to do than a turn allows.
    static BUSY: Cell<u32> = const { Cell::new(0) };
    /// What is read lands here first; all sessions of a thread share it, so that none holds a buffer of its own while it waits.
    pub(super) static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BYTES));
}

/// A session that has more to do than a turn allows. The more there are of them, the shorter are their turns, so that who asks little
/// hardly waits beside those who flood.
#[derive(Debug)]
pub(super) struct Busy(());

impl Busy {
    /// One more.
    pub(super) fn new() -> Self {
        BUSY.set(BUSY.get() + 1);
        Self(())
    }

    /// Wakes the session for its next turn once there has been a look for news of sockets, and those that have some had theirs.
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

/// How long a turn may take at present.
pub(super) fn turn_length() -> Duration {
    (ROUND / BUSY.get().max(1)).clamp(SHORTEST_TURN, LONGEST_TURN)
}
