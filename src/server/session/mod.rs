//! The session actor: one connection, from bytes to bytes.
//!
//! It owns its socket in one hand-polled future, [`Io`]: read what is there, answer what is known, send ONE message with all jobs of the
//! read, write once. Replies come back as [`News`] and leave in the order that the conversation keeps. A session at rest holds no buffer.
//! Here are its state, its turn and its end; `intake` reads, `requests` answers or orders, `rows` and `time` do what they say.
//! Knows no plan.

mod intake;
mod requests;
mod rows;
mod time;

use super::Shared;
use super::accepted::{Accepted, ConnectionPermit, Finish};
use super::connection::Connection;
use super::lifecycle::{Lifecycle, Phase};
use super::pace::{Busy, MAX_READS};
use crate::engine::{ClientId, Event, Leave, News, Order, Place, Plain};
use crate::proto::{Codec, Conversation, Final, Value};
use actix::prelude::*;
use bytes::BytesMut;
use intake::TurnTime;
use rows::Stream;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use tokio::time::Instant;

/// One connection.
pub struct Session {
    id: ClientId,
    socket: Box<dyn Connection>,
    shared: Arc<Shared>,
    /// Given up when the session is dropped.
    _permit: ConnectionPermit,
    /// Where the engine sends news; made with the first job.
    me: Option<Arc<Recipient<News>>>,
    codec: Codec,
    conversation: Conversation,
    /// The beginning of a line whose end has not come yet; or, if `has_unread`, lines that a limit kept from being taken in.
    unread: BytesMut,
    /// It stopped taking in requests because of a limit, before the last line that has arrived.
    has_unread: bool,
    unsent: BytesMut,
    /// What was answered last is the same for ever.
    said_a_constant: bool,
    /// Plain questions and other orders that the engine has not been sent yet.
    questions: Vec<Plain>,
    orders: Vec<Order>,
    streams: Vec<Stream>,
    /// Requests answered and not counted yet, and how many of them with an error.
    answered: u64,
    failed: u64,
    lifecycle: Lifecycle,
    /// The `quit` request, which is answered last.
    quit: Option<Place>,
    /// There is more to do than a turn allows.
    busy: Option<Busy>,
    is_watching: bool,
    /// When we look whether it has kept us waiting for too long.
    timer: Option<(Instant, SpawnHandle)>,
}

impl Session {
    pub(super) fn new(accepted: Accepted) -> Self {
        let Accepted {
            connection,
            shared,
            permit,
            ..
        } = accepted;
        Self {
            codec: Codec::new(shared.limits.max_line_bytes, permit.client),
            id: permit.client,
            socket: connection,
            shared,
            _permit: permit,
            me: None,
            conversation: Conversation::default(),
            unread: BytesMut::new(),
            has_unread: false,
            unsent: BytesMut::new(),
            said_a_constant: false,
            questions: Vec::new(),
            orders: Vec::new(),
            streams: Vec::new(),
            answered: 0,
            failed: 0,
            lifecycle: Lifecycle::default(),
            quit: None,
            busy: None,
            is_watching: false,
            timer: None,
        }
    }

    /// Everything that can be done now: read, decode, answer, order, write.
    fn turn(&mut self, context: &mut Context<Self>, task: &mut std::task::Context<'_>) -> io::Result<()> {
        let mut time = TurnTime::default();
        let mut reads = 0;
        let mut waits_for_input = false;
        let mut has_more = false;
        while self.may_read() {
            // The clock is not asked for a lone request, which takes two reads.
            let is_over = (self.has_unread && reads > 0) || (reads > 1 && time.is_over());
            if reads == MAX_READS || is_over {
                has_more = true;
                break;
            }
            reads += 1;
            match self.poll_read(&mut time, context, task) {
                Poll::Pending => {
                    waits_for_input = true;
                    self.finish_if_drained();
                    break;
                }
                Poll::Ready(result) => result?,
            }
            self.send_orders(context);
        }
        self.answer_quit();
        // Before the replies leave: who has read them finds them counted.
        self.report_metrics();
        self.lifecycle.write(&mut *self.socket, &mut self.unsent, task)?;
        if self.unsent.is_empty() {
            self.grant_rows();
            // Reading had stopped because too much was unsent: no news of the socket would wake us.
            has_more |= self.may_read() && !waits_for_input;
        }
        if has_more {
            self.busy.get_or_insert_with(Busy::new).wait(task);
        } else {
            self.busy = None;
        }
        let is_answered = self.conversation.in_flight() == 0 && self.unsent.is_empty();
        self.lifecycle.close(&mut *self.socket, is_answered, task)?;
        self.keep_time(context);
        Ok(())
    }

    /// Adds what was answered since the last time to the counters that all sessions share, which costs more than a reply.
    fn report_metrics(&mut self) {
        let metrics = &self.shared.facts.metrics;
        if self.answered > 0 {
            metrics.requests.fetch_add(std::mem::take(&mut self.answered), Relaxed);
        }
        if self.failed > 0 {
            metrics.errors.fetch_add(std::mem::take(&mut self.failed), Relaxed);
        }
    }

    /// Replies with tags overtake others, but not the reply to `quit`.
    fn answer_quit(&mut self) {
        if self.conversation.in_flight() == 1
            && let Some(place) = self.quit.take()
        {
            let bye = Final::Reply(Ok(Value::Text("bye".into())));
            self.make_room();
            self.conversation.close(place, bye, &mut self.unsent);
            self.count(true);
        }
    }

    /// While draining, a session is finished once nothing is under way and nothing more has arrived.
    fn finish_if_drained(&mut self) {
        let is_at_rest = self.lifecycle.phase == Phase::Open && self.conversation.in_flight() == 0;
        // The reactor reports next what has just arrived.
        if self.lifecycle.is_draining && is_at_rest && !self.socket.has_input() {
            self.lifecycle.phase = Phase::Finishing;
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Io);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.report_metrics();
        if self.me.is_some() {
            self.shared.scheduler.do_send(Leave(self.id));
        }
    }
}

/// The future that moves the bytes: polled whenever the socket, a timer or news has woken the session.
struct Io;

impl ActorFuture<Session> for Io {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        context: &mut Context<Session>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        match session.turn(context, task) {
            Ok(()) if session.lifecycle.phase != Phase::Closed => Poll::Pending,
            _ => {
                context.stop();
                Poll::Ready(())
            }
        }
    }
}

impl Handler<News> for Session {
    type Result = ();

    fn handle(&mut self, News(events): News, _: &mut Self::Context) {
        for (place, event) in events {
            match event {
                Event::Final(reply) => {
                    let is_ok = reply.is_ok();
                    self.streams.retain(|stream| stream.place != place);
                    if self.conversation.close(place, reply, &mut self.unsent) {
                        self.count(is_ok);
                    }
                }
                Event::Interim(interim) => self.take_interim(place, interim),
            }
        }
    }
}

impl Handler<Finish> for Session {
    type Result = ();

    fn handle(&mut self, _: Finish, _: &mut Self::Context) {
        self.lifecycle.is_draining = true;
    }
}
