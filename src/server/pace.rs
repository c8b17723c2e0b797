//! What sessions have in common, whatever they speak: how much they read at once, how long a turn takes, how long they wait.

use bytes::BytesMut;
use std::cell::RefCell;
use std::time::Duration;

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
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down: long enough for a reply on its way, too short to be noticed by whoever restarts it.
pub(super) const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(300);

thread_local! {
    /// What is read lands here first; all sessions of a thread share it, so that none holds a buffer of its own while it waits.
    pub(super) static SCRATCH: RefCell<BytesMut> = RefCell::new(BytesMut::with_capacity(READ_BYTES));
}
