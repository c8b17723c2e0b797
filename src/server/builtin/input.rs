//! Input: the bytes read and the framing of what they begin. A session at rest holds none. Knows no request.

use crate::proto::Frame;
use crate::proto::codec::ServerCodec;
use crate::server::pace::SCRATCH;
use crate::server::session::Link;
use bytes::BytesMut;
use std::task::{Context, Poll, ready};
use std::{io, mem};

/// What was read and not yet taken in.
pub(super) struct Input {
    codec: ServerCodec,
    /// The beginning of a line whose end has not come yet; or, if `has_unread`, lines that were not taken in.
    unread: BytesMut,
    /// A limit stopped the session before the last line that has arrived.
    has_unread: bool,
}

/// A framing of which something is remembered: most clients say nothing that lasts.
pub(super) type Remembered = Option<Box<ServerCodec>>;

impl Input {
    pub(super) fn new(codec: ServerCodec) -> Self {
        Self {
            codec,
            unread: BytesMut::new(),
            has_unread: false,
        }
    }

    pub(super) const fn codec(&mut self) -> &mut ServerCodec {
        &mut self.codec
    }

    #[inline]
    pub(super) const fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// True if it holds no bytes.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_unread && self.unread.is_empty()
    }

    /// What its framing remembers.
    pub(super) fn rest(&mut self) -> Remembered {
        let is_new = self.codec.is_new();
        (!is_new).then(|| Box::new(mem::replace(&mut self.codec, ServerCodec::new(0))))
    }

    /// Goes on with this framing.
    pub(super) fn go_on_with(&mut self, codec: ServerCodec) {
        self.codec = codec;
    }

    /// The error for a request whose rest has not arrived in time, if the client owes one.
    pub(super) fn stalled(&self, link: &Link) -> Option<Frame<'static>> {
        if self.has_unread || !link.lifecycle.is_open() {
            return None;
        }
        self.codec.stalled(&self.unread, link.limits().stall_timeout)
    }

    /// Reads once, unless lines are left from the last time. `take` takes the lines that are complete out of the bytes,
    /// is given whether these begin a line, and says whether it stopped before their end.
    #[inline]
    pub(super) fn poll(
        &mut self,
        link: &mut Link,
        task: &mut Context<'_>,
        take: impl FnOnce(&mut ServerCodec, &mut BytesMut, bool, &mut Link) -> bool,
    ) -> Poll<io::Result<()>> {
        if self.has_unread {
            let mut lines = std::mem::take(&mut self.unread);
            self.take_in(&mut lines, true, link, take);
            if link.lifecycle.is_open() && !lines.is_empty() {
                self.unread = lines;
            }
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&self.unread);
            ready!(link.poll_read(scratch, usize::MAX, task))?;
            let begins_a_line = self.unread.is_empty();
            self.take_in(scratch, begins_a_line, link, take);
            if !link.lifecycle.is_open() || (scratch.is_empty() && !self.unread.is_empty()) {
                self.unread = BytesMut::new();
            } else if !scratch.is_empty() {
                self.unread.clear();
                self.unread.extend_from_slice(scratch);
            }
            Poll::Ready(Ok(()))
        })
    }

    #[inline]
    fn take_in(
        &mut self,
        lines: &mut BytesMut,
        begins_a_line: bool,
        link: &mut Link,
        take: impl FnOnce(&mut ServerCodec, &mut BytesMut, bool, &mut Link) -> bool,
    ) {
        self.has_unread = take(&mut self.codec, lines, begins_a_line, link);
        if link.lifecycle.input_ended() && !self.has_unread {
            link.lifecycle.finish();
        }
        let is_within_line =
            link.lifecycle.is_open() && (self.codec.is_skipping() || !self.has_unread && !lines.is_empty());
        link.lifecycle.owes(is_within_line);
    }
}
