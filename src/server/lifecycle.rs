//! The lifecycle of a connection, in any protocol: its phases, and how long its client may keep it waiting. Knows no request.

use super::Limits;
use super::pace::{MAX_READS, READ_BYTES, SCRATCH};
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

/// How long a client may take to close its half after the session has closed its own.
const LINGER: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down: long enough for a reply on its way, too short to delay a restart noticeably.
const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(300);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Reads requests.
    #[default]
    Open,
    /// Reads no more; answers what it has accepted.
    Finishing,
    /// Everything is answered and our half closed; waits for the client to close its own.
    Lingering,
    /// Over.
    Closed,
}

/// How far a connection has come, and since when its client keeps it waiting.
#[derive(Debug, Default)]
pub(super) struct Lifecycle {
    pub(super) phase: Phase,
    /// The client has said that it sends no more.
    pub(super) input_ended: bool,
    pub(super) is_draining: bool,
    /// Since when the client owes us the rest of a request.
    request_since: Option<Instant>,
    /// Since when the client takes nothing of what is written for it.
    unsent_since: Option<Instant>,
    /// Since when nothing is under way, or since when we wait for the client to close.
    resting_since: Option<Instant>,
}

// Both sessions pass here at every turn: a call for each, into another unit of code, costs 6 % of a short request.
impl Lifecycle {
    /// The client has completed a request.
    #[inline]
    pub(super) const fn has_asked(&mut self) {
        self.request_since = None;
        self.resting_since = None;
    }

    /// Whether the client owes us the rest of a request.
    #[inline]
    pub(super) fn owes(&mut self, holds: bool) {
        keep(&mut self.request_since, holds);
    }

    /// True while the client owes us the rest of a request.
    #[inline]
    pub(super) const fn is_owed(&self) -> bool {
        self.request_since.is_some()
    }

    /// Writes what is unsent, as far as the client takes it. True if it took any.
    #[inline]
    pub(super) fn write<C: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        connection: &mut C,
        unsent: &mut BytesMut,
        task: &mut Context<'_>,
    ) -> io::Result<bool> {
        let mut has_moved = false;
        while !unsent.is_empty() {
            match Pin::new(&mut *connection).poll_write(task, unsent)? {
                Poll::Pending => return Ok(has_moved),
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => unsent.advance(written),
            }
            has_moved = true;
            self.unsent_since = None;
            self.resting_since = None;
        }
        if unsent.capacity() > 0 {
            *unsent = BytesMut::new();
        }
        Ok(has_moved)
    }

    /// Closes our half once everything `is_answered`, and waits until the client has closed its own: closing both at once
    /// would let a byte that is still on its way destroy the last replies.
    #[inline]
    pub(super) fn close<C: AsyncRead + AsyncWrite + Unpin + ?Sized>(
        &mut self,
        connection: &mut C,
        is_answered: bool,
        task: &mut Context<'_>,
    ) -> io::Result<()> {
        if self.phase == Phase::Finishing && is_answered {
            let _ = Pin::new(&mut *connection).poll_shutdown(task)?;
            self.phase = match self.input_ended {
                true => Phase::Closed,
                false => Phase::Lingering,
            };
            self.resting_since = Some(Instant::now());
        }
        if self.phase != Phase::Lingering {
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..MAX_READS {
                scratch.clear();
                scratch.reserve(READ_BYTES);
                match poll_read_buf(Pin::new(&mut *connection), task, scratch) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0) | Err(_)) => {
                        self.phase = Phase::Closed;
                        return;
                    }
                }
            }
            task.waker().wake_by_ref();
        });
        Ok(())
    }

    /// Notes whether the client keeps us waiting to take what is unsent, and for a question. The clock is asked only if that is new.
    #[inline]
    pub(super) fn note(&mut self, has_unsent: bool, is_idle: bool, limits: &Limits) {
        keep(&mut self.unsent_since, has_unsent);
        let is_resting = is_idle && limits.idle_timeout.is_some();
        keep(&mut self.resting_since, is_resting || self.phase == Phase::Lingering);
    }

    /// When the client will have kept us waiting for too long: for the rest of a request (also while it takes replies to others), to take
    /// what is written, to close, or for a question.
    #[inline]
    pub(super) fn due(&self, limits: &Limits) -> Option<Instant> {
        let owed_since = [self.request_since, self.unsent_since].into_iter().flatten().min();
        let (since, patience) = match owed_since {
            _ if self.phase == Phase::Lingering && self.is_draining => (self.resting_since?, LINGER_WHILE_DRAINING),
            _ if self.phase == Phase::Lingering => (self.resting_since?, LINGER),
            Some(since) => (since, limits.stall_timeout),
            None => (self.resting_since?, limits.idle_timeout?),
        };
        since.checked_add(patience)
    }
}

#[inline]
fn keep(since: &mut Option<Instant>, holds: bool) {
    *since = holds.then(|| since.unwrap_or_else(Instant::now));
}
