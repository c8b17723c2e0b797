//! The session actor: one connection, from bytes to bytes.
//!
//! It owns its socket in one hand-polled future, [`Io`]: read what is there, answer what is known, send ONE message with all jobs of the
//! read, write once. Replies come back as [`News`] and leave in the order that the conversation keeps. A session at rest holds no buffer.
//! Knows no plan; what a request means is the registry's business.

use super::Shared;
use super::accepted::{Accepted, Finish, Seat};
use super::connection::Connection;
use super::pace::{Busy, MAX_READS, READ_BYTES, SCRATCH, WATCH_INTERVAL, Waiting, turn_length};
use super::repeats::Repeats;
use crate::engine::{Ask, Cancel, ClientId, Event, Grant, Leave, News, Order, Place, Plain, Submit, Work};
use crate::job::Job;
use crate::proto::{Code, Codec, Conversation, Failure, Final, Frame, Interim, Manner, Request, Tag, Value};
use crate::verb::{Step, Terms};
use actix::prelude::*;
use bytes::{Buf, BytesMut};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, ready};
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

/// Room made for replies at first.
const FIRST_REPLIES_BYTES: usize = 1 << 10;
/// Rows that a streaming request may have under way. One row is at most 1.4 KiB.
const ROWS_GRANTED: usize = 64;
/// Streaming requests of a session that may send rows, and so hold memory, at once. The others wait for one of them to end.
const MAX_STREAMS: usize = 2;
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

/// One connection.
pub struct Session {
    id: ClientId,
    socket: Box<dyn Connection>,
    shared: Arc<Shared>,
    /// Given up when the session is dropped.
    _seat: Seat,
    /// Where the engine sends news; made with the first job.
    me: Option<Arc<Recipient<News>>>,
    codec: Codec,
    conversation: Conversation,
    /// The beginning of a line whose end has not come yet; or, if the session is behind, lines it has not taken in yet.
    unread: BytesMut,
    /// It stopped taking in requests because of a limit, before the last line that has arrived.
    is_behind: bool,
    /// The client has said that it sends no more.
    input_ended: bool,
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
    phase: Phase,
    /// The request to say goodbye, which is answered last.
    goodbye: Option<Place>,
    /// There is more to do than a turn allows.
    busy: Option<Busy>,
    is_draining: bool,
    is_watching: bool,
    /// Since when the client owes us the rest of a line.
    line_since: Option<Instant>,
    /// Since when the client takes nothing of what is written for it.
    unsent_since: Option<Instant>,
    /// Since when nothing is under way, or since when we wait for the client to close.
    resting_since: Option<Instant>,
    /// When we look whether it has kept us waiting for too long.
    timer: Option<(Instant, SpawnHandle)>,
}

/// A request that sends rows, and how many it may send before it is granted more.
struct Stream {
    place: Place,
    granted: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Reads requests.
    Open,
    /// Reads no more; answers what it has accepted.
    Finishing {
        /// The client has said that it sends no more.
        input_ended: bool,
    },
    /// Everything is answered and our half closed; waits for the client to close its own.
    Lingering,
    /// Over.
    Closed,
}

impl Session {
    pub(super) fn new(accepted: Accepted) -> Self {
        let Accepted {
            connection,
            shared,
            seat,
            ..
        } = accepted;
        Self {
            codec: Codec::new(shared.limits.max_line_bytes, seat.client),
            id: seat.client,
            socket: connection,
            shared,
            _seat: seat,
            me: None,
            conversation: Conversation::default(),
            unread: BytesMut::new(),
            is_behind: false,
            input_ended: false,
            unsent: BytesMut::new(),
            said_a_constant: false,
            questions: Vec::new(),
            orders: Vec::new(),
            streams: Vec::new(),
            answered: 0,
            failed: 0,
            phase: Phase::Open,
            goodbye: None,
            busy: None,
            is_draining: false,
            is_watching: false,
            line_since: None,
            unsent_since: None,
            resting_since: None,
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
            let is_over = (self.is_behind && reads > 0) || (reads > 1 && time.is_over());
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
        self.say_goodbye();
        // Before the replies leave: who has read them finds them counted.
        self.tell_metrics();
        if let Poll::Ready(result) = self.poll_write(task) {
            result?;
            self.grant_rows();
            // Reading had stopped because too much was unsent: no news of the socket would wake us.
            has_more |= self.may_read() && !waits_for_input;
        }
        if has_more {
            self.busy.get_or_insert_with(Busy::new).wait(task);
        } else {
            self.busy = None;
        }
        self.poll_close(task)?;
        self.keep_time(context);
        Ok(())
    }

    /// Whether it may look at what comes next. With as many requests under way as it may have, it takes only what stops one of them.
    fn may_look(&self) -> bool {
        self.phase == Phase::Open
            && self.unsent.len() + self.conversation.held_bytes() < self.shared.limits.max_unsent_bytes
            && self.conversation.in_flight() < self.shared.limits.max_in_flight + MAX_CANCELS
    }

    fn is_full(&self) -> bool {
        self.conversation.in_flight() >= self.shared.limits.max_in_flight
    }

    fn may_read(&self) -> bool {
        self.may_look() && !(self.is_full() && self.is_behind)
    }

    /// Reads once, unless lines are left from the last time, and takes in the lines that are complete.
    fn poll_read(
        &mut self,
        time: &mut TurnTime,
        context: &mut Context<Self>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_behind {
            let mut lines = std::mem::take(&mut self.unread);
            self.take_in(&mut lines, true, time, context);
            if self.phase == Phase::Open && !lines.is_empty() {
                self.unread = lines;
            }
            return Poll::Ready(Ok(()));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&self.unread);
            self.input_ended |= ready!(read_into(&mut *self.socket, scratch, task))?;
            let begins_a_line = self.unread.is_empty();
            self.take_in(scratch, begins_a_line, time, context);
            if self.phase != Phase::Open || (scratch.is_empty() && !self.unread.is_empty()) {
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
        self.is_behind = REPEATS.with_borrow_mut(|repeats| self.decode(lines, begins_a_line, repeats, time, context));
        if self.input_ended && !self.is_behind {
            self.phase = Phase::Finishing { input_ended: true };
        }
        let is_within_line =
            self.phase == Phase::Open && !self.is_behind && (!lines.is_empty() || self.codec.is_skipping());
        self.line_since = is_within_line.then(|| self.line_since.unwrap_or_else(Instant::now));
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
        let may_repeat = begins_a_line && !self.is_draining;
        let mut taken = 0;
        let mut used = 0;
        let is_behind = loop {
            if !self.may_look() {
                break self.phase == Phase::Open && used < lines.len();
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
            let (more, frame) = self.codec.next(&lines[used..], self.input_ended);
            used += more;
            let Some(frame) = frame else {
                break false;
            };
            if self.is_full()
                && let Frame::Request(request) = &frame
                && !self.is_to_stop_another(request)
            {
                // It waits for room.
                used = begins;
                break true;
            }
            self.line_since = None;
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
        is_behind
    }

    fn is_to_stop_another(&self, request: &Request<'_>) -> bool {
        let called = self.shared.registry.call(request, &self.shared.facts);
        matches!(called, Ok((Step::Cancel(_) | Step::Ask(Ask::Cancel(_)), _)))
    }

    fn take_frame(&mut self, frame: Frame<'_>, context: &mut Context<Self>) {
        self.resting_since = None;
        match frame {
            Frame::Request(request) => self.take_request(&request, context),
            Frame::Answer { manner, reply, is_last } => {
                self.answer(&manner, reply);
                if is_last {
                    self.phase = Phase::Finishing { input_ended: false };
                }
            }
        }
    }

    fn take_request(&mut self, request: &Request<'_>, context: &mut Context<Self>) {
        let manner = &request.manner;
        if manner.tag.is_some_and(|tag| self.conversation.tagged(&tag).is_some()) {
            let text = "a request with this tag is under way; use another";
            return self.refuse(manner, Failure::new(Code::DupTag, text));
        }
        if self.is_draining {
            let text = "the daemon is shutting down; ask again when it is back";
            return self.refuse(manner, Failure::new(Code::Draining, text));
        }
        match self.shared.registry.call(request, &self.shared.facts) {
            Err(failure) => self.refuse(manner, failure),
            Ok((Step::Answer(value), _)) => self.answer(manner, Final::Reply(Ok(value))),
            Ok((Step::Constant(value), _)) => {
                // With a tag, the request may have to be refused the next time.
                self.said_a_constant = manner.tag.is_none();
                self.answer(manner, Final::Reply(Ok(value)));
            }
            Ok((Step::Rows(rows), _)) => {
                let reply = Final::Reply(Ok(Value::Nothing));
                self.conversation
                    .answer_rows(manner, Some(rows), reply, &mut self.unsent);
                self.count(true);
            }
            Ok((Step::Job(job), terms)) => match self.found(&job) {
                Some(value) => self.answer(manner, Final::Reply(Ok(value))),
                None if terms == Terms::default() && !job.streams => {
                    let place = self.open(manner, false);
                    self.questions.push((place, job));
                }
                None => self.order(manner, Ask::Answer(job.into()), terms),
            },
            Ok((Step::Ask(Ask::Keep(Work::Plan(job))), terms)) => {
                let ask = match self.found(&job) {
                    Some(value) => Ask::KeepKnown {
                        title: job.title().into_owned(),
                        value,
                    },
                    None => Ask::Keep(job.into()),
                };
                self.order(manner, ask, terms);
            }
            Ok((Step::Errand(errand), terms)) => self.order(manner, Ask::Answer(errand.into()), terms),
            Ok((Step::Ask(ask), terms)) => self.order(manner, ask, terms),
            Ok((Step::Cancel(target), _)) => self.cancel(manner, &target, context),
            Ok((Step::Quit, _)) => {
                self.goodbye = Some(self.open(manner, false));
                self.phase = Phase::Finishing { input_ended: false };
            }
        }
    }

    /// The answer, if it was found for somebody lately.
    fn found(&self, job: &Job) -> Option<Value> {
        let value = job.is_kept.then(|| self.shared.answers.get(&job.title()))??;
        self.shared.facts.metrics.cache_hits.fetch_add(1, Relaxed);
        Some(value)
    }

    fn open(&mut self, manner: &Manner, has_rows: bool) -> Place {
        let Ok(place) = self.conversation.open(manner, has_rows) else {
            unreachable!("the tag was free a moment ago");
        };
        place
    }

    fn order(&mut self, manner: &Manner, ask: Ask, terms: Terms) {
        let streams = matches!(&ask, Ask::Answer(work) if work.streams());
        let place = self.open(manner, streams || matches!(ask, Ask::List));
        let mut rows = 0;
        if streams {
            let may_stream = |stream: &&Stream| self.conversation.may_stream(stream.place);
            if self.conversation.may_stream(place) && self.streams.iter().filter(may_stream).count() < MAX_STREAMS {
                rows = ROWS_GRANTED;
            }
            self.streams.push(Stream { place, granted: rows });
        }
        self.orders.push(Order {
            place,
            ask,
            deadline: terms.deadline.map(|wait| (Instant::now() + wait).into_std()),
            progress: terms.progress,
            rows,
        });
    }

    fn cancel(&mut self, manner: &Manner, target: &Tag, context: &mut Context<Self>) {
        match self.conversation.tagged(target) {
            Some(place) => {
                self.send_orders(context);
                self.shared.scheduler.do_send(Cancel { client: self.id, place });
                self.answer(manner, Final::Reply(Ok(Value::Nothing)));
            }
            None => {
                let text = format!("no request @{target} is under way here");
                self.refuse(manner, Failure::new(Code::NoJob, text));
            }
        }
    }

    fn refuse(&mut self, manner: &Manner, failure: Failure) {
        self.answer(manner, Final::Reply(Err(failure)));
    }

    fn answer(&mut self, manner: &Manner, reply: Final) {
        self.count(reply.is_ok());
        self.make_room();
        self.conversation.answer(manner, reply, &mut self.unsent);
    }

    /// Room for a hundred short replies, so that it need not grow by and by.
    fn make_room(&mut self) {
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(FIRST_REPLIES_BYTES);
        }
    }

    fn count(&mut self, is_ok: bool) {
        self.answered += 1;
        self.failed += u64::from(!is_ok);
    }

    /// Adds what was answered since the last time to the counters that all sessions share, which costs more than a reply.
    fn tell_metrics(&mut self) {
        let metrics = &self.shared.facts.metrics;
        if self.answered > 0 {
            metrics.requests.fetch_add(std::mem::take(&mut self.answered), Relaxed);
        }
        if self.failed > 0 {
            metrics.errors.fetch_add(std::mem::take(&mut self.failed), Relaxed);
        }
    }

    /// Sends the engine all jobs that were asked for since the last time, in one message.
    fn send_orders(&mut self, context: &mut Context<Self>) {
        if self.orders.is_empty() && self.questions.is_empty() {
            return;
        }
        let to = self
            .me
            .get_or_insert_with(|| Arc::new(context.address().recipient()))
            .clone();
        self.shared.scheduler.do_send(Submit {
            client: self.id,
            questions: std::mem::take(&mut self.questions),
            orders: std::mem::take(&mut self.orders),
            to,
        });
    }

    fn take_interim(&mut self, place: Place, interim: Interim) {
        let limit = self.shared.limits.max_unsent_bytes;
        let Interim::Rows(rows) = &interim else {
            // Progress is told to who listens: for one who does not read it would pile up as long as the work goes on.
            if self.unsent.len() < limit {
                self.conversation.interim(place, interim, &mut self.unsent);
            }
            return;
        };
        let stream = self.streams.iter().position(|stream| stream.place == place);
        if let Some(index) = stream {
            let granted = &mut self.streams[index].granted;
            *granted = granted.saturating_sub(rows.len());
        }
        self.conversation.interim(place, interim, &mut self.unsent);
        if let Some(index) = stream
            && self.conversation.rows_held(place) > limit
        {
            // Its dialect needs all rows at once.
            self.streams.remove(index);
            self.shared.scheduler.do_send(Cancel { client: self.id, place });
            self.count(false);
            let text = format!(
                "these rows take more than {limit} bytes, and an array tells its length first: ask for less, or in lines"
            );
            let reply = Final::Reply(Err(Failure::new(Code::TooBig, text)));
            self.conversation.close(place, reply, &mut self.unsent);
        }
    }

    /// Everything written is with the client: those who stream may send more.
    fn grant_rows(&mut self) {
        let conversation = &self.conversation;
        let streams = self.streams.iter_mut();
        let turns = streams
            .filter(|stream| conversation.may_stream(stream.place))
            .take(MAX_STREAMS);
        for stream in turns.filter(|stream| stream.granted == 0) {
            stream.granted = ROWS_GRANTED;
            self.shared.scheduler.do_send(Grant {
                client: self.id,
                place: stream.place,
                rows: ROWS_GRANTED,
            });
        }
    }

    /// Writes what is unsent. Pending while the client does not take it.
    fn poll_write(&mut self, task: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(task, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
            self.unsent_since = None;
            self.resting_since = None;
        }
        if self.unsent.capacity() > 0 {
            self.unsent = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Replies with tags overtake others, but not the last word.
    fn say_goodbye(&mut self) {
        if self.conversation.in_flight() == 1
            && let Some(place) = self.goodbye.take()
        {
            let bye = Final::Reply(Ok(Value::Text("bye".into())));
            self.make_room();
            self.conversation.close(place, bye, &mut self.unsent);
            self.count(true);
        }
    }

    /// While draining, a session is finished once nothing is under way and nothing more has arrived.
    fn finish_if_drained(&mut self) {
        if self.is_draining && self.phase == Phase::Open && self.conversation.in_flight() == 0 {
            self.phase = Phase::Finishing { input_ended: false };
        }
    }

    /// Closes our half once everything is answered, and waits until the client has closed its own: closing both at once
    /// would let a byte that is still on its way destroy the last replies.
    fn poll_close(&mut self, task: &mut std::task::Context<'_>) -> io::Result<()> {
        if let Phase::Finishing { input_ended } = self.phase
            && self.conversation.in_flight() == 0
            && self.unsent.is_empty()
        {
            let _ = Pin::new(&mut self.socket).poll_shutdown(task)?;
            self.phase = if input_ended { Phase::Closed } else { Phase::Lingering };
            self.resting_since = Some(Instant::now());
        }
        if self.phase == Phase::Lingering {
            SCRATCH.with_borrow_mut(|scratch| {
                for _ in 0..MAX_READS {
                    scratch.clear();
                    match read_into(&mut *self.socket, scratch, task) {
                        Poll::Ready(Ok(false)) => {}
                        Poll::Ready(Ok(true) | Err(_)) => {
                            self.phase = Phase::Closed;
                            return;
                        }
                        Poll::Pending => return,
                    }
                }
                task.waker().wake_by_ref();
            });
        }
        Ok(())
    }

    /// Keeps the timers that this state of affairs needs, and no others.
    fn keep_time(&mut self, context: &mut Context<Self>) {
        let keep =
            |since: &mut Option<Instant>, holds: bool| *since = holds.then(|| since.unwrap_or_else(Instant::now));
        keep(&mut self.unsent_since, !self.unsent.is_empty());
        let is_idle = self.unsent.is_empty() && self.line_since.is_none() && self.conversation.in_flight() == 0;
        let is_resting = is_idle && self.shared.limits.idle_timeout.is_some();
        keep(&mut self.resting_since, is_resting || self.phase == Phase::Lingering);
        if let Some(due) = self.due()
            && self.timer.as_ref().is_none_or(|(at, _)| due < *at)
        {
            self.set_timer(due, context);
        }
        let cannot_tell = !self.may_read() && self.conversation.in_flight() > 0;
        if cannot_tell && !self.is_watching {
            self.is_watching = true;
            context.run_later(WATCH_INTERVAL, Self::look_for_client);
        }
    }

    /// When the client will have kept us waiting for too long: for the rest of a line (also while it takes replies to others), to take
    /// what is written, to close, or for a question.
    fn due(&self) -> Option<Instant> {
        let waiting = Waiting {
            request: self.line_since,
            unsent: self.unsent_since,
            resting: self.resting_since,
            is_lingering: self.phase == Phase::Lingering,
            is_draining: self.is_draining,
        };
        waiting.due(&self.shared.limits)
    }

    fn set_timer(&mut self, due: Instant, context: &mut Context<Self>) {
        if let Some((_, handle)) = self.timer.take() {
            context.cancel_future(handle);
        }
        let handle = context.run_later(due.saturating_duration_since(Instant::now()), Self::look_for_stall);
        self.timer = Some((due, handle));
    }

    fn look_for_stall(&mut self, context: &mut Context<Self>) {
        self.timer = None;
        if self.due().is_some_and(|due| due <= Instant::now()) {
            tracing::debug!(session = self.id, phase = ?self.phase, "the client kept us waiting for too long; closing");
            return context.stop();
        }
        self.keep_time(context);
    }

    /// Not reading, a session does not notice that its client is gone; and after the end of input there is nothing to read.
    fn look_for_client(&mut self, context: &mut Context<Self>) {
        self.is_watching = false;
        if self.socket.is_gone() {
            return context.stop();
        }
        self.keep_time(context);
    }
}

/// How long a turn takes. It begins with the first look: a few requests are taken in without one.
#[derive(Default)]
struct TurnTime(Option<Instant>);

impl TurnTime {
    fn is_over(&mut self) -> bool {
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

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Io);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.tell_metrics();
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
            Ok(()) if session.phase != Phase::Closed => Poll::Pending,
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
        self.is_draining = true;
    }
}
