//! What sessions have in common, whatever they speak: how much they read at once, how long a turn takes, how long they wait.

use super::Limits;
use bytes::BytesMut;
use std::cell::RefCell;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 64 << 10;
/// Reads in one go before other sessions of the thread get their turn.
pub(super) const MAX_READS: usize = 4;
/// How long requests are taken in before other sessions of the thread get their turn: one read may hold thousands of them. Some 60
/// turns pass before the runtime looks for news of sockets, so that who asks little waits so many times this long beside those who flood.
pub(super) const LONGEST_TURN: Duration = Duration::from_micros(100);
/// How often a session that cannot tell by reading looks whether its client is still there.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_millis(40);
/// How long a client may take to close its half after the session has closed its own.
const LINGER: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down: long enough for a reply on its way, too short to be noticed by whoever restarts it.
const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(300);

thread_local! {
    /// What is read lands here first; all sessions of a thread share it, so that none holds a buffer of its own while it waits.
    pub(super) static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BYTES));
}

/// Since when a client keeps its session waiting, and for what.
pub(super) struct Waiting {
    /// For the rest of what it has begun to say.
    pub(super) request: Option<Instant>,
    /// To take what is written for it.
    pub(super) unsent: Option<Instant>,
    /// For a question, or to close.
    pub(super) resting: Option<Instant>,
    /// Everything is said, and the client is to close.
    pub(super) is_lingering: bool,
    pub(super) is_draining: bool,
}

impl Waiting {
    /// When that will have been too long.
    pub(super) fn due(&self, limits: &Limits) -> Option<Instant> {
        let owed_since = [self.request, self.unsent].into_iter().flatten().min();
        let (since, patience) = match owed_since {
            _ if self.is_lingering && self.is_draining => (self.resting?, LINGER_WHILE_DRAINING),
            _ if self.is_lingering => (self.resting?, LINGER),
            Some(since) => (since, limits.stall_timeout),
            None => (self.resting?, limits.idle_timeout?),
        };
        since.checked_add(patience)
    }
}
