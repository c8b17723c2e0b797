//! The session: one connection, from bytes to bytes, whatever is spoken on it.
//!
//! A session moves its bytes in turns, which the actor of its thread gives it (`sessions`): read what is there, take in
//! requests, take replies, write once, and set one timer. What is spoken is an [`Exchange`]: the built-in protocol
//! (`builtin`) or a custom one (`protocol_session`). Knows no request.

mod lifecycle;
mod link;

pub(super) use link::Link;

use super::accepted::Accepted;
use super::overdue::Overdue;
use super::pace::{Busy, MAX_READS, TurnTime, Watching};
use crate::auth::Verdict;
use crate::caught::{Panicked, caught};
use crate::engine::{ClientId, News};
use actix::{Message, Recipient};
use bytes::BytesMut;
use lifecycle::{Phase, Timer};
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::time::Instant;

/// The exchange of requests and replies over one connection.
pub(super) trait Exchange: Sized + Unpin + 'static {
    /// Whether it takes in requests now: not after the end, nor with too much under way or unsent.
    fn may_read(&self, link: &Link) -> bool;

    /// Whether input is left that a limit, or the length of a turn, kept from being taken in: it needs no read.
    fn has_unread(&self) -> bool;

    /// Reads once, unless input is left from the last time, and takes in the requests that are complete.
    fn poll_input(
        &mut self,
        link: &mut Link,
        time: &mut TurnTime,
        to: &ReplyTo,
        task: &mut Task<'_>,
    ) -> Poll<io::Result<()>>;

    /// What the engine says of requests that were sent to it; it sends nothing else.
    fn take_news(&mut self, news: News, link: &mut Link, to: &ReplyTo);

    /// What became of the password that was to be checked.
    fn take_verdict(&mut self, verdict: Verdict, link: &mut Link);

    /// Encodes the replies that are there. True if more of them can be taken once these are sent.
    fn take_replies(&mut self, link: &mut Link, time: &mut TurnTime, task: &mut Task<'_>) -> io::Result<bool>;

    /// The encoded replies that the client has not taken.
    fn unsent(&mut self) -> &mut BytesMut;

    /// Everything that was unsent is with the client.
    fn all_sent(&mut self, link: &Link);

    /// The client has kept the session waiting for too long, and the connection is closed next: a reply may say why.
    fn stalled(&mut self, link: &mut Link);

    /// Requests under way, or waiting for their turn to be answered.
    fn in_flight(&self) -> usize;

    /// What is left of it between two requests: nearly all connections are idle nearly always, and this is what each of
    /// them takes then.
    type Rest: Unpin + 'static;

    /// What is left of it, if nothing is under way.
    ///
    /// # Errors
    /// It itself, if there is more to it now.
    fn rest(self: Box<Self>, link: &Link) -> Result<Self::Rest, Box<Self>>;

    /// What it was before it rested.
    fn wake(rest: Self::Rest, link: &Link) -> Box<Self>;
}

/// Where the engine and the checker of passwords write to the sessions of a thread.
pub(super) struct ReplyTo {
    pub(super) news: Arc<Recipient<News>>,
    pub(super) verdicts: Recipient<Checked>,
}

/// The news that a password was checked, for the client that sent it.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Checked(pub(super) ClientId, pub(super) Verdict);

/// An exchange, or what is left of it between two requests.
enum State<E: Exchange> {
    Awake(Box<E>),
    Resting(E::Rest),
    /// Only while it goes from one to the other; what panics there ends the session.
    Between,
}

impl<E: Exchange> State<E> {
    #[inline]
    fn awake(&mut self, link: &Link) -> &mut E {
        if let Self::Resting(_) = self
            && let Self::Resting(rest) = mem::replace(self, Self::Between)
        {
            *self = Self::Awake(E::wake(rest, link));
        }
        match self {
            Self::Awake(exchange) => exchange,
            Self::Resting(_) | Self::Between => unreachable!("it was woken a moment ago"),
        }
    }

    #[inline]
    fn rest(&mut self, link: &Link) {
        if let Self::Awake(_) = self
            && let Self::Awake(exchange) = mem::replace(self, Self::Between)
        {
            *self = match exchange.rest(link) {
                Ok(rest) => Self::Resting(rest),
                Err(mut exchange) => {
                    // It may wait for long, and needs no room meanwhile.
                    release(exchange.unsent(), 0);
                    Self::Awake(exchange)
                }
            };
        }
    }
}

/// Frees the allocation of an empty buffer whose capacity, what was read of it included, is above `most`.
#[inline]
pub(super) fn release(buffer: &mut BytesMut, most: usize) {
    if buffer.is_empty() && buffer.try_reclaim(most + 1) {
        *buffer = BytesMut::new();
    }
}

/// One connection that speaks `E`.
pub(super) struct Session<E: Exchange> {
    exchange: State<E>,
    pub(super) link: Link,
    /// There is more to do than a turn allows.
    busy: Option<Busy>,
    timer: Timer,
    overdue: Overdue,
    /// When to check next whether the client is still there, if reading would not show it.
    watching: Option<(Watching, Instant)>,
}

impl<E: Exchange> Session<E> {
    pub(super) fn new(exchange: E, accepted: Accepted) -> Self {
        Self::of(State::Awake(Box::new(exchange)), accepted)
    }

    fn of(exchange: State<E>, accepted: Accepted) -> Self {
        Self {
            exchange,
            link: Link::new(accepted),
            busy: None,
            timer: Timer::default(),
            overdue: Overdue::default(),
            watching: None,
        }
    }

    /// A session whose exchange begins with its first turn.
    pub(super) fn resting(rest: E::Rest, accepted: Accepted) -> Self {
        Self::of(State::Resting(rest), accepted)
    }

    /// The exchange and the link, for a message that has come.
    fn parts(&mut self) -> (&mut E, &mut Link) {
        (self.exchange.awake(&self.link), &mut self.link)
    }

    /// Everything that can be done now: read, take in, answer, write.
    fn move_bytes(&mut self, to: &ReplyTo, task: &mut Task<'_>) -> io::Result<()> {
        let Self { exchange, link, .. } = self;
        link.refresh_limits();
        let exchange = exchange.awake(link);
        let mut time = TurnTime::default();
        let mut reads = 0;
        let mut waits_for_input = false;
        let mut has_more = false;
        while exchange.may_read(link) {
            // The clock is not read for a lone request, which takes two reads.
            let is_over = (exchange.has_unread() && reads > 0) || (reads > 1 && time.is_over());
            if reads == MAX_READS || is_over {
                has_more = true;
                break;
            }
            reads += 1;
            match exchange.poll_input(link, &mut time, to, task) {
                Poll::Pending => {
                    waits_for_input = true;
                    break;
                }
                Poll::Ready(result) => result?,
            }
        }
        #[cfg(test)]
        crate::server::failpoint::hit(crate::server::failpoint::Spot::Turn);
        let has_replies = exchange.take_replies(link, &mut time, task)?;
        if waits_for_input {
            link.finish_if_drained(exchange.in_flight() == 0);
        }
        link.write(exchange.unsent(), task)?;
        if exchange.unsent().is_empty() {
            exchange.all_sent(link);
            // Reading had stopped because too much was unsent or under way: the socket would not wake the session.
            has_more |= has_replies || (!waits_for_input && exchange.may_read(link));
        }
        if has_more {
            self.busy.get_or_insert_with(Busy::new).wait(task);
        } else {
            self.busy = None;
        }
        let is_answered = exchange.in_flight() == 0;
        let has_unsent = !exchange.unsent().is_empty();
        link.close(is_answered && !has_unsent, task)?;
        if link.lifecycle.owes_request() {
            link.lifecycle.reads(exchange.may_read(link));
        }
        link.note(has_unsent, exchange.in_flight());
        self.keep_time(task)?;
        self.exchange.rest(&self.link);
        Ok(())
    }

    /// Sets the timer for what this state of affairs waits for, if for anything.
    #[inline]
    fn keep_time(&mut self, task: &mut Task<'_>) -> io::Result<()> {
        let exchange = self.exchange.awake(&self.link);
        loop {
            // Not reading, a session does not notice that its client is gone; and after the end of input there is
            // nothing to read.
            let is_blind = exchange.in_flight() > 0 && !exchange.may_read(&self.link);
            if !is_blind {
                self.watching = None;
            }
            let watch = is_blind.then(|| self.watching.get_or_insert_with(Watching::begin).1);
            let due = self.link.lifecycle.due(self.link.limits());
            let Some(next) = due.into_iter().chain(watch).min() else {
                self.timer.drop_if_fired();
                return Ok(());
            };
            let is_postponed = due.is_some_and(|due| self.overdue.is_postponed(due));
            if is_postponed && self.timer.is_waiting() || self.timer.poll(next, task).is_pending() {
                return Ok(());
            }
            let now = Instant::now();
            if let Some(due) = due.filter(|due| *due <= now) {
                if let Some(later) = self.overdue.postpone(due, now)
                    && self.timer.poll(later, task).is_pending()
                {
                    return Ok(());
                }
                // As much as the client takes at once: it has been waited for long enough.
                exchange.stalled(&mut self.link);
                self.link.write(exchange.unsent(), task)?;
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client kept it waiting for too long",
                ));
            }
            if watch.is_some_and(|watch| watch <= now) {
                if self.link.is_gone() {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                self.watching = None;
            }
        }
    }

    /// Runs what changes the session. A panic there costs the connection and nothing else: the socket is closed and the
    /// requests under way are cancelled when the session is dropped.
    #[inline]
    fn guarded<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match caught(|| run(self)) {
            Ok(result) => Some(result),
            Err(Panicked) => {
                self.link.shared.daemon.metrics.session_panics.add();
                let (client, peer, phase) = (
                    self.link.permit.client.0,
                    self.link.permit.state.address(),
                    self.link.lifecycle.phase(),
                );
                tracing::error!(client, peer, ?phase, "a session panicked; its connection is closed");
                None
            }
        }
    }
}

/// A session, for the actor that has it: whatever it speaks. One that has ended is dropped, which closes its socket and
/// cancels what is under way.
pub(super) trait RunSession {
    /// Whose it is.
    fn client(&self) -> ClientId;

    /// Does all that can be done now; the task is woken when there is more. False once the session has ended.
    fn turn(&mut self, to: &ReplyTo, task: &mut Task<'_>) -> bool;

    /// Takes what the engine says, before its next turn. False if the session has ended.
    fn take_news(&mut self, news: News, to: &ReplyTo) -> bool;

    /// Takes what became of a password, before its next turn. False if the session has ended.
    fn take_verdict(&mut self, verdict: Verdict) -> bool;

    /// The daemon drains: what is accepted is answered, before and after its next turn, and then the session ends.
    fn finish(&mut self);
}

impl<E: Exchange> RunSession for Session<E> {
    fn client(&self) -> ClientId {
        self.link.permit.client
    }

    fn turn(&mut self, to: &ReplyTo, task: &mut Task<'_>) -> bool {
        match self.guarded(|session| session.move_bytes(to, task)) {
            Some(Ok(())) => self.link.lifecycle.phase() != Phase::Closed,
            Some(Err(error)) => {
                tracing::debug!(client = self.link.permit.client.0, %error, phase = ?self.link.lifecycle.phase(), "closing");
                false
            }
            None => false,
        }
    }

    fn take_news(&mut self, news: News, to: &ReplyTo) -> bool {
        let taken = self.guarded(|session| {
            let (exchange, link) = session.parts();
            exchange.take_news(news, link, to);
        });
        taken.is_some()
    }

    fn take_verdict(&mut self, verdict: Verdict) -> bool {
        let taken = self.guarded(|session| {
            let (exchange, link) = session.parts();
            exchange.take_verdict(verdict, link);
        });
        taken.is_some()
    }

    fn finish(&mut self) {
        self.link.lifecycle.drain();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Buf;

    #[test]
    fn the_room_of_an_empty_buffer_is_kept_as_far_as_it_is_small() {
        let mut buffer = BytesMut::with_capacity(1_000);
        release(&mut buffer, 1_000);
        assert!(buffer.capacity() >= 1_000);
        buffer.extend_from_slice(b"x");
        release(&mut buffer, 0);
        assert_eq!(&buffer[..], b"x");
        buffer.clear();
        release(&mut buffer, 0);
        assert_eq!(buffer.capacity(), 0);
        // Most of its room lies before its beginning.
        let mut buffer = BytesMut::with_capacity(100_000);
        buffer.extend_from_slice(&[0; 99_500]);
        buffer.advance(99_500);
        release(&mut buffer, 1_000);
        assert_eq!(buffer.capacity(), 0);
    }
}
