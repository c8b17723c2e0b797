//! The link to a client: its socket, read, written and closed as the lifecycle says. Knows no request.

use super::lifecycle::{Lifecycle, Phase};
use crate::server::Shared;
use crate::server::accepted::{Accepted, ConnectionPermit};
use crate::server::connection::Connection;
use crate::server::limits::{Limits, LimitsCopy};
use crate::server::pace::{MAX_READS, READ_BYTES, SCRATCH};
use bytes::{Buf, BufMut, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio_util::io::poll_read_buf;

/// What a session has, whatever it speaks.
pub(in crate::server) struct Link {
    socket: Box<dyn Connection>,
    pub(in crate::server) lifecycle: Lifecycle,
    pub(in crate::server) shared: Arc<Shared>,
    limits: LimitsCopy,
    /// Returned when the session is dropped.
    pub(in crate::server) permit: ConnectionPermit,
}

impl Link {
    pub(super) fn new(accepted: Accepted) -> Self {
        let Accepted {
            connection,
            shared,
            limits,
            permit,
            ..
        } = accepted;
        Self {
            socket: connection,
            lifecycle: Lifecycle::default(),
            shared,
            limits,
            permit,
        }
    }

    /// The limits in force when the turn began.
    #[inline]
    pub(in crate::server) fn limits(&self) -> &Limits {
        self.limits.get()
    }

    /// Takes up the limits in force.
    #[inline]
    pub(super) fn refresh_limits(&mut self) {
        self.limits.refresh(&self.shared.limits);
    }

    /// Notes how the session stands at the end of a turn.
    #[inline]
    pub(super) fn note(&mut self, has_unsent: bool, in_flight: usize) {
        self.permit.state.set_in_flight(in_flight);
        self.lifecycle.note(has_unsent, in_flight == 0, self.limits.get());
    }

    /// Appends what the socket has, at most `limit` bytes, and notes the end of input.
    #[inline]
    pub(in crate::server) fn poll_read(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.reserve(READ_BYTES);
        let count = ready!(poll_read_buf(
            Pin::new(&mut *self.socket),
            task,
            &mut buffer.limit(limit)
        ))?;
        match count {
            0 => self.lifecycle.end_input(),
            count => self.permit.state.has_read(count),
        }
        self.shared.daemon.metrics.bytes_read.fetch_add(count as u64, Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Writes what is unsent, as far as the client takes it.
    #[inline]
    pub(super) fn write(&mut self, unsent: &mut BytesMut, task: &mut Context<'_>) -> io::Result<()> {
        while !unsent.is_empty() {
            match Pin::new(&mut *self.socket).poll_write(task, unsent)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.permit.state.has_written(written);
                    if written == unsent.len() {
                        // Its room is used again.
                        unsent.clear();
                    } else {
                        unsent.advance(written);
                    }
                    let metrics = &self.shared.daemon.metrics;
                    metrics.bytes_written.fetch_add(written as u64, Relaxed);
                }
            }
            self.lifecycle.record_write();
        }
        Ok(())
    }

    /// Closes the session's half once everything `is_answered`, and waits until the client has closed its own: closing
    /// both at once would let a byte that is still on its way destroy the last replies.
    #[inline]
    pub(super) fn close(&mut self, is_answered: bool, task: &mut Context<'_>) -> io::Result<()> {
        if self.lifecycle.phase() == Phase::Finishing && is_answered {
            let _ = Pin::new(&mut *self.socket).poll_shutdown(task)?;
            self.lifecycle.linger();
        }
        if self.lifecycle.phase() == Phase::Lingering {
            self.discard_input(task);
        }
        Ok(())
    }

    fn discard_input(&mut self, task: &mut Context<'_>) {
        SCRATCH.with_borrow_mut(|scratch| {
            for _ in 0..MAX_READS {
                scratch.clear();
                scratch.reserve(READ_BYTES);
                match poll_read_buf(Pin::new(&mut *self.socket), task, scratch) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0) | Err(_)) => return self.lifecycle.close(),
                }
            }
            task.waker().wake_by_ref();
        });
    }

    /// While the daemon drains, a session is finished once it `is_answered` and nothing more has arrived.
    #[inline]
    pub(super) fn finish_if_drained(&mut self, is_answered: bool) {
        // The reactor reports next what has just arrived.
        if self.lifecycle.is_draining() && is_answered && !self.socket.has_input() {
            self.lifecycle.finish();
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.socket.is_gone()
    }
}
