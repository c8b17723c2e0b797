//! Sessions of custom protocols: they keep order, limits, timeouts and the drain, so that a [`Protocol`] need not.
//!
//! Requests become futures that are polled side by side and give their replies in order. Knows no protocol and no plan.

use super::accepted::Accepted;
use super::pace::{SCRATCH, TurnTime};
use super::protocol::{Answer, Protocol};
use super::session::{Exchange, Link, ReplyTo, Session};
use crate::auth::Verdict;
use crate::caught::{Panicked, caught_in};
use crate::engine::{ClientId, News};
use crate::verb::Engine;
use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesOrdered;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll, ready};
use tokio_util::codec::{Decoder, Encoder};

/// What a request comes to, and whether all went well: not if the codec could not read it, or the protocol panicked.
type Answering<P> = LocalBoxFuture<'static, (Answer<<P as Protocol>::Reply>, bool)>;

/// A session that speaks `P`.
pub(super) type ProtocolSession<P> = Session<Custom<P>>;

/// The exchange of one connection in the protocol `P`.
pub(super) struct Custom<P: Protocol> {
    protocol: Rc<P>,
    codec: P::Codec,
    /// The longest frame, in bytes: that of the time when the connection was accepted. A longer one may be half read
    /// when the limit changes.
    max_frame_bytes: usize,
    engine: Engine,
    incoming: BytesMut,
    /// There may be a whole frame in `incoming` that a limit kept from being taken in.
    has_unread: bool,
    answers: FuturesOrdered<Answering<P>>,
    unsent: BytesMut,
}

impl<P: Protocol> ProtocolSession<P> {
    /// A session that answers this connection as `protocol` says.
    pub(super) fn with(protocol: P, accepted: Accepted) -> Self {
        let exchange = Custom {
            codec: protocol.codec(),
            max_frame_bytes: accepted.limits().max_line_bytes,
            protocol: Rc::new(protocol),
            engine: accepted.engine().clone(),
            incoming: BytesMut::new(),
            has_unread: false,
            answers: FuturesOrdered::new(),
            unsent: BytesMut::new(),
        };
        Self::new(exchange, accepted)
    }
}

impl<P: Protocol> Exchange for Custom<P> {
    fn may_read(&self, link: &Link) -> bool {
        let limits = link.limits();
        link.lifecycle.is_open()
            && self.unsent.len() < limits.max_unsent_bytes
            && self.answers.len() < limits.max_in_flight
    }

    fn has_unread(&self) -> bool {
        self.has_unread
    }

    /// Reads no more than the longest frame has: a longer one is found out the same way, whether it comes at once or in
    /// pieces.
    fn poll_input(
        &mut self,
        link: &mut Link,
        time: &mut TurnTime,
        _: &ReplyTo,
        task: &mut Task<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.has_unread {
            let room = self.max_frame_bytes.saturating_sub(self.incoming.len());
            ready!(SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                let read = link.poll_read(scratch, room, task);
                self.incoming.extend_from_slice(scratch);
                read
            }))?;
        }
        self.decode(link, time);
        let is_within_frame = link.lifecycle.is_open() && !self.has_unread && !self.incoming.is_empty();
        link.lifecycle.owes(is_within_frame);
        Poll::Ready(Ok(()))
    }

    /// It asks by an [`Engine`], whose futures bring the answers.
    fn take_news(&mut self, _: News, _: &mut Link, _: &ReplyTo) {}

    fn take_verdict(&mut self, _: Verdict, _: &mut Link) {}

    /// Encodes the answers that are there, in order, as far as the client takes them.
    fn take_replies(&mut self, link: &mut Link, time: &mut TurnTime, task: &mut Task<'_>) -> io::Result<bool> {
        let mut has_moved = false;
        loop {
            if self.unsent.len() >= link.limits().max_unsent_bytes || (has_moved && time.is_over()) {
                return Ok(true);
            }
            let Poll::Ready(Some((answer, is_ok))) = self.answers.poll_next_unpin(task) else {
                return Ok(false);
            };
            has_moved = true;
            let metrics = &link.shared.daemon.metrics;
            metrics.requests.fetch_add(1, Relaxed);
            link.permit.state.add_answered(1);
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
                link.lifecycle.finish();
            }
        }
    }

    fn unsent(&mut self) -> &mut BytesMut {
        &mut self.unsent
    }

    fn all_sent(&mut self, _: &Link) {}

    /// A custom protocol has no reply for this.
    fn stalled(&mut self, _: &mut Link) {}

    fn in_flight(&self) -> usize {
        self.answers.len()
    }

    type Rest = Infallible;

    /// The protocol and its codec may remember anything.
    fn rest(self: Box<Self>, _: &Link) -> Result<Infallible, Box<Self>> {
        Err(self)
    }

    fn wake(rest: Infallible, _: &Link) -> Box<Self> {
        match rest {}
    }
}

impl<P: Protocol> Custom<P> {
    /// Takes in frames as far as the limits and the time allow.
    fn decode(&mut self, link: &mut Link, time: &mut TurnTime) {
        self.has_unread = false;
        let limit = self.max_frame_bytes;
        while !self.has_unread && link.lifecycle.is_open() {
            let frame = match link.lifecycle.input_ended() {
                false => self.codec.decode(&mut self.incoming),
                true => self.codec.decode_eof(&mut self.incoming),
            };
            match frame {
                Ok(Some(request)) => {
                    link.lifecycle.record_request();
                    self.begin(request, link.permit.client);
                    self.has_unread = !self.may_read(link) || time.is_over();
                }
                Ok(None) if link.lifecycle.input_ended() => link.lifecycle.finish(),
                Ok(None) if self.incoming.len() >= limit => {
                    let text = format!("a frame may have {limit} bytes");
                    self.refuse(io::Error::new(io::ErrorKind::InvalidData, text).into(), link);
                }
                Ok(None) => break,
                Err(error) => self.refuse(error, link),
            }
        }
        if self.incoming.is_empty() || !link.lifecycle.is_open() {
            self.incoming = BytesMut::new();
        }
    }

    fn begin(&mut self, request: <P::Codec as Decoder>::Item, client: ClientId) {
        let (protocol, engine) = (self.protocol.clone(), self.engine.clone());
        let answer = async move { protocol.answer(request, &engine).await };
        let caught = caught_in(answer).map(move |answer| {
            let is_ok = answer.is_ok();
            let answer = answer.unwrap_or_else(|Panicked| {
                tracing::error!(
                    client = client.0,
                    "a protocol panicked at a request; its connection is closed"
                );
                Answer::Close
            });
            (answer, is_ok)
        });
        self.answers.push_back(caught.boxed_local());
    }

    /// Queues the protocol's answer to a malformed frame as the last reply; nothing more is read.
    fn refuse(&mut self, error: <P::Codec as Decoder>::Error, link: &mut Link) {
        let answer = match self.protocol.malformed(error).into_parts() {
            (Some(reply), _) => Answer::Last(reply),
            (None, _) => Answer::Close,
        };
        self.answers
            .push_back(std::future::ready((answer, false)).boxed_local());
        link.lifecycle.finish();
    }
}
