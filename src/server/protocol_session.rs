//! The session actor for protocols of others: it keeps order, limits, timeouts and the drain, so that a [`Protocol`] need not.
//!
//! Like the built-in session it moves its bytes in one hand-polled future. Requests become futures that are polled side by side
//! and give their replies in order. Knows no protocol and no plan.

use super::accepted::{Accepted, Finish};
use super::lifecycle::{Lifecycle, Phase};
use super::pace::{Busy, READ_BYTES, SCRATCH, WATCH_INTERVAL, turn_length};
use super::protocol::{Answer, Protocol};
use actix::prelude::*;
use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesOrdered;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::codec::{Decoder, Encoder};
use tokio_util::io::poll_read_buf;

/// What a request comes to, and whether all went well: not if the codec could not read it, or the protocol panicked.
type Answering<P> = LocalBoxFuture<'static, (Answer<<P as Protocol>::Reply>, bool)>;

/// One connection that speaks `P`.
pub struct ProtocolSession<P: Protocol> {
    protocol: Rc<P>,
    codec: P::Codec,
    accepted: Accepted,
    incoming: BytesMut,
    /// There may be a whole frame in `incoming` that a limit kept from being taken in.
    has_unread: bool,
    /// There is more to do than a turn allows.
    busy: Option<Busy>,
    answers: FuturesOrdered<Answering<P>>,
    unsent: BytesMut,
    lifecycle: Lifecycle,
    /// When we look again whether all is well.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<P: Protocol> ProtocolSession<P> {
    /// A session that answers this connection as `protocol` says.
    pub fn new(protocol: P, accepted: Accepted) -> Self {
        Self {
            codec: protocol.codec(),
            protocol: Rc::new(protocol),
            accepted,
            incoming: BytesMut::new(),
            has_unread: false,
            answers: FuturesOrdered::new(),
            unsent: BytesMut::new(),
            lifecycle: Lifecycle::default(),
            busy: None,
            timer: None,
        }
    }

    /// Everything that can be done now: answer, write, read, until nothing moves.
    fn turn(&mut self, task: &mut Task<'_>) -> io::Result<()> {
        let end = Instant::now() + turn_length();
        let mut is_over = false;
        loop {
            let mut has_moved = self.take_answers(task, end)?;
            has_moved |= self.lifecycle.write(&mut self.accepted, &mut self.unsent, task)?;
            has_moved |= self.read(task, end)?;
            if !has_moved {
                break;
            }
            if Instant::now() >= end {
                is_over = true;
                self.busy.get_or_insert_with(Busy::new).wait(task);
                break;
            }
        }
        if !is_over {
            self.busy = None;
        }
        let is_answered = self.answers.is_empty() && self.unsent.is_empty();
        self.lifecycle.close(&mut self.accepted, is_answered, task)?;
        self.keep_time(task)
    }

    fn may_read(&self) -> bool {
        let limits = self.accepted.limits();
        self.lifecycle.phase == Phase::Open
            && self.unsent.len() < limits.max_unsent_bytes
            && self.answers.len() < limits.max_in_flight
    }

    /// Encodes the answers that are there, in order, as far as the client takes them.
    fn take_answers(&mut self, task: &mut Task<'_>, end: Instant) -> io::Result<bool> {
        let mut has_moved = false;
        while self.unsent.len() < self.accepted.limits().max_unsent_bytes
            && !(has_moved && Instant::now() >= end)
            && let Poll::Ready(Some((answer, is_ok))) = self.answers.poll_next_unpin(task)
        {
            has_moved = true;
            let metrics = &self.accepted.shared.facts.metrics;
            metrics.requests.fetch_add(1, Relaxed);
            if !is_ok {
                metrics.errors.fetch_add(1, Relaxed);
            }
            let (reply, is_last) = answer.into_parts();
            if let Some(reply) = reply {
                let encoded = self.codec.encode(reply, &mut self.unsent);
                encoded.map_err(|_| io::Error::other("the codec cannot encode a reply"))?;
            }
            if is_last {
                // Requests after the last reply are dropped, and so cancelled.
                self.answers = FuturesOrdered::new();
                self.incoming = BytesMut::new();
                self.lifecycle.phase = Phase::Finishing;
            }
        }
        Ok(has_moved)
    }

    /// Reads once, unless frames are left from the last time, and takes in those that are complete.
    fn read(&mut self, task: &mut Task<'_>, end: Instant) -> io::Result<bool> {
        if !self.may_read() {
            return Ok(false);
        }
        if !self.has_unread {
            match self.poll_read(task)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    if self.lifecycle.is_draining && !self.accepted.has_input() {
                        self.lifecycle.phase = Phase::Finishing;
                    }
                    return Ok(false);
                }
            }
        }
        self.decode(end);
        Ok(true)
    }

    /// Reads no more than the longest frame has: a longer one is found out the same way, whether it comes at once or in pieces.
    fn poll_read(&mut self, task: &mut Task<'_>) -> io::Result<Poll<()>> {
        let room = self
            .accepted
            .limits()
            .max_line_bytes
            .saturating_sub(self.incoming.len());
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.reserve(READ_BYTES);
            match poll_read_buf(Pin::new(&mut self.accepted), task, &mut scratch.limit(room))? {
                Poll::Pending => Ok(Poll::Pending),
                Poll::Ready(count) => {
                    self.lifecycle.input_ended = count == 0;
                    self.incoming.extend_from_slice(scratch);
                    Ok(Poll::Ready(()))
                }
            }
        })
    }

    /// Takes in frames as far as the limits and the time allow.
    fn decode(&mut self, end: Instant) {
        self.has_unread = false;
        let limit = self.accepted.limits().max_line_bytes;
        while !self.has_unread && self.lifecycle.phase == Phase::Open {
            let frame = match self.lifecycle.input_ended {
                false => self.codec.decode(&mut self.incoming),
                true => self.codec.decode_eof(&mut self.incoming),
            };
            match frame {
                Ok(Some(request)) => {
                    self.lifecycle.has_asked();
                    self.begin(request);
                    self.has_unread = !self.may_read() || Instant::now() >= end;
                }
                Ok(None) if self.lifecycle.input_ended => self.lifecycle.phase = Phase::Finishing,
                Ok(None) if self.incoming.len() >= limit => {
                    let text = format!("a frame may have {limit} bytes");
                    self.refuse(io::Error::new(io::ErrorKind::InvalidData, text).into());
                }
                Ok(None) => break,
                Err(error) => self.refuse(error),
            }
        }
        if self.incoming.is_empty() || self.lifecycle.phase != Phase::Open {
            self.incoming = BytesMut::new();
        }
    }

    fn begin(&mut self, request: <P::Codec as Decoder>::Item) {
        let (protocol, engine) = (self.protocol.clone(), self.accepted.engine().clone());
        let answer = async move { protocol.answer(request, &engine).await };
        let caught = AssertUnwindSafe(answer).catch_unwind().map(|answer| {
            let is_ok = answer.is_ok();
            let answer = answer.unwrap_or_else(|payload| {
                // Dropping a payload may panic again, outside of the catch.
                std::mem::forget(payload);
                tracing::error!("a protocol panicked; its connection is closed");
                Answer::Close
            });
            (answer, is_ok)
        });
        self.answers.push_back(caught.boxed_local());
    }

    /// Queues the protocol's answer to a malformed frame as the last reply; nothing more is read.
    fn refuse(&mut self, error: <P::Codec as Decoder>::Error) {
        let answer = match self.protocol.malformed(error).into_parts() {
            (Some(reply), _) => Answer::Last(reply),
            (None, _) => Answer::Close,
        };
        self.answers
            .push_back(std::future::ready((answer, false)).boxed_local());
        self.lifecycle.phase = Phase::Finishing;
    }

    /// Waits no longer than the limits say.
    fn keep_time(&mut self, task: &mut Task<'_>) -> io::Result<()> {
        let is_reading = self.may_read();
        self.lifecycle.owes(is_reading && !self.incoming.is_empty());
        let is_idle = self.unsent.is_empty() && self.incoming.is_empty() && self.answers.is_empty();
        self.lifecycle
            .note(!self.unsent.is_empty(), is_idle, self.accepted.limits());
        loop {
            let now = Instant::now();
            let due = self.lifecycle.due(self.accepted.limits());
            if due.is_some_and(|due| due <= now) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // After the end of input, or not reading, it must be asked for.
            let is_watching = !is_reading && !self.answers.is_empty();
            let watch = is_watching.then(|| now + WATCH_INTERVAL);
            let Some(next) = due.into_iter().chain(watch).min() else {
                self.timer = None;
                return Ok(());
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if timer.deadline() > next {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(task).is_pending() {
                return Ok(());
            }
            self.timer = None;
            if is_watching && self.accepted.is_gone() {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
}

impl<P: Protocol> Actor for ProtocolSession<P> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Io);
    }
}

/// The future that moves the bytes: polled whenever the socket, a timer or an answer has woken the session.
struct Io;

impl<P: Protocol> ActorFuture<ProtocolSession<P>> for Io {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut ProtocolSession<P>,
        context: &mut Context<ProtocolSession<P>>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        // A codec may panic too, and its connection must be given up then.
        let turn = catch_unwind(AssertUnwindSafe(|| session.turn(task))).unwrap_or_else(|payload| {
            std::mem::forget(payload);
            Err(io::Error::other("the codec panicked"))
        });
        match turn {
            Ok(()) if session.lifecycle.phase != Phase::Closed => return Poll::Pending,
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, peer = %session.accepted.peer(), "closing"),
        }
        context.stop();
        Poll::Ready(())
    }
}

impl<P: Protocol> Handler<Finish> for ProtocolSession<P> {
    type Result = ();

    fn handle(&mut self, _: Finish, _: &mut Self::Context) {
        self.lifecycle.is_draining = true;
    }
}
