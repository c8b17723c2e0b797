//! From bytes to requests: what is read, how far it is taken in, and when it has to wait.

use super::{Phase, Session};
use crate::proto::Frame;
use crate::server::Shared;
use crate::server::connection::Connection;
use crate::server::pace::{READ_BYTES, SCRATCH, turn_length};
use crate::server::repeats::Repeats;
use crate::verb::Registry;
use actix::prelude::*;
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

/// Requests that a session with all its places taken still hears, if they are to stop another.
const MAX_CANCELS: usize = 16;
/// Requests taken in between two looks at the clock, unless one of them is long or wrong.
const LOOK_EVERY: usize = 32;
/// More bytes make a long request.
const LONG_LINE: usize = 256;

thread_local! {
    /// What the sessions of a thread are asked over and over.
    static REPEATS: RefCell<Repeats<Shared>> = RefCell::default();
}

impl Session {
    /// Whether it may look at what comes next. With as many requests under way as it may have, it takes only what stops one of them.
    fn may_look(&self) -> bool {
        self.lifecycle.phase == Phase::Open
            && self.unsent.len() + self.conversation.held_bytes() < self.shared.limits.max_unsent_bytes
            && self.conversation.in_flight() < self.shared.limits.max_in_flight.saturating_add(MAX_CANCELS)
    }

    fn is_full(&self) -> bool {
        self.conversation.in_flight() >= self.shared.limits.max_in_flight
    }

    pub(super) fn may_read(&self) -> bool {
        self.may_look() && !(self.is_full() && self.has_unread)
    }

    /// Reads once, unless lines are left from the last time, and takes in the lines that are complete.
    pub(super) fn poll_read(
        &mut self,
        time: &mut TurnTime,
        context: &mut Context<Self>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_unread {
            let mut lines = std::mem::take(&mut self.unread);
            self.take_in(&mut lines, true, time, context);
            if self.lifecycle.phase == Phase::Open && !lines.is_empty() {
                self.unread = lines;
            }
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&self.unread);
            self.lifecycle.input_ended |= ready!(read_into(&mut *self.socket, scratch, task))?;
            let begins_a_line = self.unread.is_empty();
            self.take_in(scratch, begins_a_line, time, context);
            if self.lifecycle.phase != Phase::Open || (scratch.is_empty() && !self.unread.is_empty()) {
                self.unread = BytesMut::new();
            } else if !scratch.is_empty() {
                self.unread.clear();
                self.unread.extend_from_slice(scratch);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Takes in the lines that are complete, as far as there is time, and notes how the session stands then.
    fn take_in(&mut self, lines: &mut BytesMut, begins_a_line: bool, time: &mut TurnTime, context: &mut Context<Self>) {
        self.has_unread = REPEATS.with_borrow_mut(|repeats| self.decode(lines, begins_a_line, repeats, time, context));
        if self.lifecycle.input_ended && !self.has_unread {
            self.lifecycle.phase = Phase::Finishing;
        }
        let is_within_line =
            self.lifecycle.phase == Phase::Open && !self.has_unread && (!lines.is_empty() || self.codec.is_skipping());
        self.lifecycle.owes(is_within_line);
    }

    /// Takes in requests as far as the limits allow. True if it stopped before it had looked at all there is.
    fn decode(
        &mut self,
        lines: &mut BytesMut,
        begins_a_line: bool,
        repeats: &mut Repeats<Shared>,
        time: &mut TurnTime,
        context: &mut Context<Self>,
    ) -> bool {
        repeats.belong_to(&self.shared);
        // Not in the middle of a request that began in an earlier read, which only the codec can end.
        let may_repeat = begins_a_line && !self.lifecycle.is_draining;
        let mut taken = 0;
        let mut used = 0;
        let has_unread = loop {
            if !self.may_look() {
                break self.lifecycle.phase == Phase::Open && used < lines.len();
            }
            if taken == LOOK_EVERY {
                if time.is_over() {
                    break true;
                }
                taken = 0;
            }
            taken += 1;
            // Replies wait for those before them; and what is skipped is no question, whatever it looks like.
            let may_repeat = may_repeat && self.conversation.in_flight() == 0 && !self.codec.is_skipping();
            if may_repeat && let Some((length, reply)) = repeats.find(&lines[used..]) {
                used += length;
                self.make_room();
                self.unsent.extend_from_slice(reply);
                self.count(true);
                continue;
            }
            let (begins, unsent_before, failed_before) = (used, self.unsent.len(), self.failed);
            self.said_a_constant = false;
            let (more, frame) = self.codec.next(&lines[used..], self.lifecycle.input_ended);
            used += more;
            let Some(frame) = frame else {
                break false;
            };
            if self.is_full()
                && let Frame::Request(request) = &frame
                && !Registry::stops_another(request)
            {
                // It waits for room.
                used = begins;
                break true;
            }
            self.lifecycle.has_asked();
            self.take_frame(frame, context);
            if more > LONG_LINE || self.failed > failed_before {
                // It may have cost as much as many others.
                taken = LOOK_EVERY;
            }
            if may_repeat && self.said_a_constant {
                repeats.keep(&lines[begins..used], &self.unsent[unsent_before..]);
            }
        };
        lines.advance(used);
        has_unread
    }
}

/// How long a turn takes. It begins with the first look: a few requests are taken in without one.
#[derive(Default)]
pub(super) struct TurnTime(Option<Instant>);

impl TurnTime {
    pub(super) fn is_over(&mut self) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() >= turn_length()
    }
}

/// Appends what the socket has; true at the end of input.
fn read_into(
    socket: &mut dyn Connection,
    buffer: &mut BytesMut,
    task: &mut std::task::Context<'_>,
) -> Poll<io::Result<bool>> {
    buffer.reserve(READ_BYTES);
    let count = ready!(poll_read_buf(Pin::new(socket), task, buffer))?;
    Poll::Ready(Ok(count == 0))
}
