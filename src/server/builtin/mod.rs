//! The built-in protocol, as sessions speak it: requests become replies, or ONE message to the engine with all jobs of
//! a read.
//!
//! Each part alone changes what it owns: [`Input`] the bytes read, [`Replies`] their order and the bytes unsent,
//! [`Streams`] the credit of rows, [`Sequence`] the order in which requests about submitted jobs take effect,
//! [`EngineLink`] what is sent to the engine. Here they are put together; `dispatcher` decides what a request comes to.
//! Knows no plan.

mod access;
mod dispatcher;
mod engine_link;
mod input;
mod repeats;
mod replies;
mod sequence;
mod streams;

use super::Shared;
use super::accepted::Accepted;
use super::pace::TurnTime;
use super::session::{Exchange, Link, ReplyTo, Session, release};
use crate::auth::{Identity, Verdict};
use crate::engine::{Event, News, RequestId, is_logged};
use crate::metrics::VerbLabel;
use crate::proto::codec::ServerCodec;
use crate::proto::{Failure, Final, Frame, Value};
use crate::verb::Registry;
use access::{Access, Login};
use bytes::{Buf, BytesMut};
use engine_link::{ClientGuard, EngineLink};
use input::{Input, Remembered};
use repeats::Repeats;
use replies::{Mark, Replies};
use sequence::Sequence;
use std::cell::RefCell;
use std::io;
use std::mem;
use std::task::{Context as Task, Poll};
use streams::Streams;

/// Requests beyond `max_in_flight` that a session still takes in, if they are to stop another.
const MAX_CANCELS: usize = 16;
/// Requests taken in between two looks at the clock, unless one of them is long or wrong, or is answered by rows or
/// facts.
const CLOCK_EVERY: usize = 32;
/// Repeated lines that count as one request until the next look at the clock: they take 15 ns.
const OF_REPEATS: usize = 4;
/// Searches for a prime that a session makes itself of those in one read, at the most.
const MAX_SEARCHES: usize = 16;
/// Other requests that a search counts as until the next look at the clock: where the gap is wide it takes as long as
/// twenty.
const OF_SEARCH: usize = 7;
/// Exchanges kept for sessions that wake: as many as are usually awake at once beyond a turn.
const MAX_SPARE: usize = 16;
/// Room for replies that such an exchange keeps, at the most.
const MOST_SPARE_BYTES: usize = 4 << 10;
/// More bytes make a long request.
const LONG_LINE: usize = 256;

thread_local! {
    /// What the sessions of a thread are asked over and over.
    static REPEATS: RefCell<Repeats<Shared>> = RefCell::default();
    /// Exchanges of sessions that rest, for those that wake.
    #[expect(clippy::vec_box, reason = "they are moved as boxes from one session to another")]
    static SPARE: RefCell<Vec<Box<BuiltIn>>> = const { RefCell::new(Vec::new()) };
}

/// The exchange of one connection in the built-in protocol.
pub(super) struct BuiltIn {
    input: Input,
    dispatcher: Dispatcher,
}

/// Takes in requests, and has what they come to: replies, rows, orders for the engine.
struct Dispatcher {
    replies: Replies,
    streams: Streams,
    sequence: Sequence,
    engine: EngineLink,
    login: Login,
    /// The `quit` request, which is answered last.
    quit: Option<RequestId>,
    /// Searches for a prime that it has made of this read.
    searches: usize,
    /// Other requests that the one being taken in counts as until the next look at the clock.
    extra: usize,
    /// The next request of the input waits for room.
    is_blocked: bool,
}

/// A session of the built-in protocol.
pub(super) fn session(accepted: Accepted) -> Session<BuiltIn> {
    let rest = Rest {
        next: RequestId::MIN,
        max_line_bytes: accepted.limits().max_line_bytes,
        codec: None,
        access: Access::of(&accepted.shared),
        asked: None,
    };
    Session::resting(rest, accepted)
}

impl Exchange for BuiltIn {
    #[inline]
    fn may_read(&self, link: &Link) -> bool {
        self.dispatcher.may_look(link) && !(self.dispatcher.is_full(link) && self.dispatcher.is_blocked)
    }

    #[inline]
    fn has_unread(&self) -> bool {
        self.input.has_unread()
    }

    fn poll_input(
        &mut self,
        link: &mut Link,
        time: &mut TurnTime,
        to: &ReplyTo,
        task: &mut Task<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { input, dispatcher } = self;
        if !input.has_unread() {
            dispatcher.searches = 0;
        }
        let read = input.poll(link, task, |codec, lines, begins_a_line, link| {
            REPEATS.with_borrow_mut(|repeats| dispatcher.decode(codec, lines, begins_a_line, repeats, link, time))
        });
        dispatcher.engine.send(&dispatcher.login, &link.shared, to);
        dispatcher.login.send(link.permit.client, &link.shared, to);
        read
    }

    fn take_news(&mut self, news: News, link: &mut Link, to: &ReplyTo) {
        let dispatcher = &mut self.dispatcher;
        dispatcher.take_news(news, link);
        // What waited for one of these replies.
        dispatcher.engine.send(&dispatcher.login, &link.shared, to);
    }

    fn take_verdict(&mut self, verdict: Verdict, link: &mut Link) {
        let Self { input, dispatcher } = self;
        let checked = match (verdict, verdict.refusal()) {
            (Verdict::Granted(identity), _) => Ok(identity),
            (_, Some((failure, _))) => Err(failure),
            (_, None) => return,
        };
        dispatcher.end_login(checked, input.codec(), link);
    }

    fn take_replies(&mut self, link: &mut Link, _: &mut TurnTime, _: &mut Task<'_>) -> io::Result<bool> {
        self.dispatcher.answer_quit();
        // Before the replies leave: a client that has read them finds them counted.
        link.permit.state.add_answered(self.dispatcher.replies.report());
        Ok(false)
    }

    #[inline]
    fn unsent(&mut self) -> &mut BytesMut {
        self.dispatcher.replies.unsent()
    }

    fn all_sent(&mut self, link: &Link) {
        let Dispatcher {
            replies,
            streams,
            engine,
            ..
        } = &mut self.dispatcher;
        streams.grant(replies, engine, &link.shared);
    }

    fn stalled(&mut self, link: &mut Link) {
        let Self { input, dispatcher } = self;
        if let Some(frame) = input.stalled(link) {
            dispatcher.take_frame(frame, link);
            link.permit.state.add_answered(dispatcher.replies.report());
        }
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.dispatcher.replies.in_flight()
    }

    type Rest = Rest;

    fn rest(mut self: Box<Self>, link: &Link) -> Result<Rest, Box<Self>> {
        let Some(rest) = self.take_rest(link) else {
            return Err(self);
        };
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                release(self.dispatcher.replies.unsent(), MOST_SPARE_BYTES);
                spare.push(self);
            }
        });
        Ok(rest)
    }

    fn wake(rest: Rest, link: &Link) -> Box<Self> {
        let (client, metrics) = (link.permit.client, &link.shared.daemon.metrics);
        let codec = rest.codec.map(|codec| *codec);
        let codec = codec.unwrap_or_else(|| ServerCodec::new(rest.max_line_bytes).with_id(client.0));
        let login = Login::new(rest.access, link.permit.state.peer.ip());
        let Some(mut exchange) = SPARE.with_borrow_mut(Vec::pop) else {
            let mut replies = Replies::new(client, metrics.clone());
            replies.go_on_as(client, rest.next, metrics);
            return Box::new(Self {
                input: Input::new(codec),
                dispatcher: Dispatcher {
                    replies,
                    streams: Streams::default(),
                    sequence: Sequence::default(),
                    engine: EngineLink::new(client, rest.asked),
                    login,
                    quit: None,
                    searches: 0,
                    extra: 0,
                    is_blocked: false,
                },
            });
        };
        exchange.input.go_on_with(codec);
        let dispatcher = &mut exchange.dispatcher;
        dispatcher.replies.go_on_as(client, rest.next, metrics);
        dispatcher.engine.go_on_as(client, rest.asked);
        dispatcher.login = login;
        exchange
    }
}

impl BuiltIn {
    /// What is left of it, if nothing is under way.
    fn take_rest(&mut self, link: &Link) -> Option<Rest> {
        let Self { input, dispatcher } = self;
        let is_over = link.lifecycle.is_open()
            && dispatcher.replies.are_done()
            && dispatcher.streams.is_empty()
            && dispatcher.sequence.is_empty()
            && dispatcher.engine.is_empty()
            && dispatcher.quit.is_none()
            && input.is_empty();
        if !is_over {
            return None;
        }
        Some(Rest {
            access: dispatcher.login.rest()?,
            next: dispatcher.replies.next(),
            max_line_bytes: input.codec().limit(),
            codec: input.rest(),
            asked: dispatcher.engine.rest(),
        })
    }
}

/// What is left of an exchange while nothing is under way.
pub(super) struct Rest {
    /// The name of its next request.
    next: RequestId,
    /// That of the time when it was accepted.
    max_line_bytes: usize,
    codec: Remembered,
    access: Access,
    asked: Option<Box<ClientGuard>>,
}

impl Dispatcher {
    /// Whether the session may look at what comes next. With as many requests under way as it may have, it takes only
    /// what stops one of them.
    #[inline]
    fn may_look(&self, link: &Link) -> bool {
        let limits = link.limits();
        link.lifecycle.is_open()
            && !self.login.is_checking()
            && self.replies.backlog() < limits.max_unsent_bytes
            && self.replies.in_flight() < limits.max_in_flight.saturating_add(MAX_CANCELS)
    }

    #[inline]
    fn is_full(&self, link: &Link) -> bool {
        let limits = link.limits();
        self.replies.in_flight() >= limits.max_in_flight || self.sequence.bytes() >= limits.max_unsent_bytes
    }

    /// Takes in requests as far as the limits allow. True if it stopped before it had looked at all there is.
    fn decode(
        &mut self,
        codec: &mut ServerCodec,
        lines: &mut BytesMut,
        begins_a_line: bool,
        repeats: &mut Repeats<Shared>,
        link: &mut Link,
        time: &mut TurnTime,
    ) -> bool {
        repeats.belong_to(&link.shared);
        // Not in the middle of a request that began in an earlier read, which only the codec can end.
        let may_be_short = begins_a_line && !link.lifecycle.is_draining();
        let mut quota = Quota::of(time);
        let mut used = 0;
        self.is_blocked = false;
        let has_unread = loop {
            if !self.may_look(link) {
                break link.lifecycle.is_open() && used < lines.len();
            }
            if quota.is_spent() {
                break true;
            }
            let may_be_short = may_be_short && self.may_be_short(link);
            // Replies wait for those before them; and what is skipped is no question, whatever it looks like.
            let may_repeat = may_be_short && self.replies.in_flight() == 0 && !codec.is_skipping();
            if may_repeat {
                let repeated = self.repeat(&lines[used..], repeats, &mut quota, link.limits().max_unsent_bytes);
                used += repeated;
                if repeated > 0 {
                    continue;
                }
            }
            let mark = self.replies.mark();
            match self.next_request(codec, &lines[used..], may_be_short, link) {
                Next::Taken { begin, end, constant } => {
                    let request = &lines[used + begin..used + end];
                    used += end;
                    link.lifecycle.record_request();
                    quota.charge(self.cost(request, &mark));
                    if may_repeat && let Some(verb) = constant {
                        repeats.keep(request, verb, self.replies.since(&mark));
                    }
                }
                Next::Blocked { begin } => {
                    used += begin;
                    self.is_blocked = true;
                    break true;
                }
                Next::Skipped { end } => {
                    used += end;
                    quota.charge(CLOCK_EVERY);
                }
                Next::Incomplete { end } => {
                    used += end;
                    break false;
                }
            }
        };
        lines.advance(used);
        has_unread
    }

    /// Whether a request may be taken in without being taken apart into words: not if each is logged or shown, or if it
    /// is to be seen first whether the client may ask.
    #[inline]
    fn may_be_short(&self, link: &Link) -> bool {
        let is_watched = is_logged() || link.shared.daemon.clients.monitor.is_on();
        !is_watched && self.login.may_ask(&link.shared)
    }

    /// Answers lines that are known byte for byte, as many as the quota has room for, while fewer than
    /// `max_unsent_bytes` are unsent. How many bytes they had.
    #[inline]
    fn repeat(
        &mut self,
        lines: &[u8],
        repeats: &Repeats<Shared>,
        quota: &mut Quota<'_>,
        max_unsent_bytes: usize,
    ) -> usize {
        let most = quota.left() * OF_REPEATS;
        let (mut used, mut count) = (0, 0);
        while count < most
            && self.replies.backlog() < max_unsent_bytes
            && let Some(repeat) = repeats.find(&lines[used..])
        {
            used += repeat.length;
            count += 1;
            self.replies.repeat(repeat);
        }
        quota.charge(count.div_ceil(OF_REPEATS));
        used
    }

    /// Takes in the request that the input begins with, by the shorter way if it may and can be.
    #[inline]
    fn next_request(&mut self, codec: &mut ServerCodec, input: &[u8], may_be_short: bool, link: &mut Link) -> Next {
        if may_be_short
            && !self.is_full(link)
            && let Some(number) = codec.number_request(input)
            && let Some(constant) = self.take_number(&number, link)
        {
            let (begin, end) = (0, number.used);
            return Next::Taken { begin, end, constant };
        }
        let (begin, end, frame) = codec.next_after(input, link.lifecycle.input_ended());
        let Some(frame) = frame else {
            return match end < ServerCodec::MANY_SKIPPED {
                true => Next::Incomplete { end },
                false => Next::Skipped { end },
            };
        };
        if self.is_full(link)
            && let Frame::Request(request) = &frame
            && !Registry::stops_another(request)
        {
            return Next::Blocked { begin };
        }
        let constant = self.take_frame(frame, link);
        if let Some(name) = codec.take_name() {
            link.permit.state.set_name(&name);
        }
        Next::Taken { begin, end, constant }
    }

    /// How many requests one that was just taken in counts as until the next look at the clock. The mark is that before
    /// it.
    #[inline]
    fn cost(&mut self, request: &[u8], mark: &Mark) -> usize {
        let extra = mem::take(&mut self.extra);
        if request.len() > LONG_LINE || self.replies.has_failed_since(mark) {
            // It may have cost as much as many others.
            return CLOCK_EVERY;
        }
        1 + extra
    }

    /// A password was checked: the reply, and who the client is from now on.
    fn end_login(&mut self, checked: Result<Identity, Failure>, codec: &mut ServerCodec, link: &Link) {
        let Some(id) = self.login.end() else {
            return;
        };
        let asked_for = self.engine.asked_for();
        let granted = checked.and_then(|identity| self.login.grant(identity, &link.shared, asked_for));
        let greeting = codec.end_login(granted.is_ok());
        if let Some(name) = codec.take_name() {
            link.permit.state.set_name(&name);
        }
        let reply = match granted {
            Ok(account) => {
                link.permit.state.set_user(&account.to_string());
                tracing::debug!(client = link.permit.client.0, user = %account, "authenticated");
                greeting.unwrap_or(Final::Reply(Ok(Value::Nothing)))
            }
            Err(failure) => Final::Reply(Err(failure)),
        };
        self.replies.close(id, reply);
    }

    /// Replies with tags overtake others, but not the reply to `quit`.
    fn answer_quit(&mut self) {
        if self.replies.in_flight() == 1
            && let Some(id) = self.quit.take()
        {
            let bye = Final::Reply(Ok(Value::Text("bye".into())));
            self.replies.close(id, bye);
        }
    }

    fn take_news(&mut self, news: News, link: &Link) {
        #[cfg(test)]
        super::failpoint::hit(super::failpoint::Spot::News);
        match news {
            News::Events { events, .. } => {
                for (id, event) in events {
                    match event {
                        Event::Final(reply) => self.end(id, reply),
                        Event::Interim(interim) => self.take_interim(id, interim, link),
                    }
                }
            }
            News::Lost { last, failure, .. } => {
                for id in self.replies.unanswered(last) {
                    if self.quit != Some(id) {
                        self.end(id, Err(failure.clone()));
                    }
                }
            }
        }
    }
}

/// What the input begins with. Positions are from its beginning.
enum Next {
    /// A request, which was taken in: its bytes are `begin..end`. The verb, if the answer to the same bytes is the same
    /// for ever.
    Taken {
        begin: usize,
        end: usize,
        constant: Option<VerbLabel>,
    },
    /// A request that waits for room. It was not taken in, and begins here.
    Blocked { begin: usize },
    /// Many bytes that ask nothing; there may be a request after them.
    Skipped { end: usize },
    /// No complete request. What comes before the end asks nothing.
    Incomplete { end: usize },
}

/// How many requests a turn takes in before it looks at the clock again.
struct Quota<'a> {
    time: &'a mut TurnTime,
    /// Requests since the last look, some of them counted as several.
    taken: usize,
}

impl<'a> Quota<'a> {
    #[inline]
    const fn of(time: &'a mut TurnTime) -> Self {
        Self { time, taken: 0 }
    }

    /// Requests that may be taken in before the next look, after [`is_spent`](Self::is_spent) was false.
    #[inline]
    const fn left(&self) -> usize {
        CLOCK_EVERY - self.taken
    }

    #[inline]
    const fn charge(&mut self, requests: usize) {
        self.taken += requests;
    }

    /// True if the turn is over, which it looks at the clock for once as many requests as it may were taken in.
    #[inline]
    fn is_spent(&mut self) -> bool {
        if self.taken < CLOCK_EVERY {
            return false;
        }
        self.taken = 0;
        self.time.is_over()
    }
}
