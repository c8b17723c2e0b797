//! Replies: the order in which they leave, the bytes that the client has not taken, and how many there were. Knows no
//! request and no socket.

use super::repeats::Repeat;
use crate::engine::{ClientId, RequestId, is_logged};
use crate::metrics::{Exemplar, Metrics, Outcome, VerbLabel};
use crate::proto::{Burst, Conversation, Final, Interim, ReplyFormat, Tag};
use bytes::BytesMut;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

/// Room made for replies at first: a hundred short ones, so that it need not grow by and by.
const FIRST_REPLIES_BYTES: usize = 1 << 10;

/// The replies of one connection.
pub(super) struct Replies {
    /// The client, for the log.
    client: ClientId,
    conversation: Conversation,
    unsent: BytesMut,
    /// Requests answered and not counted yet, without those of the run, and how many of all with an error.
    answered: u64,
    failed: u64,
    /// The last of these that have one verb and one outcome; those before them are counted by verb already.
    run: Run,
    /// Requests that are answered later, in their order; the first of them has no reply yet.
    opened: Burst<Opened>,
    /// The last of these that are answered and not measured yet: of one verb, and of one duration.
    waited: Waited,
    /// The time of this turn, once it was needed.
    now: Option<Instant>,
    metrics: Arc<Metrics>,
}

/// Requests in a row with one verb and one outcome: a client asks for the same again and again, and counting in a
/// register costs nothing.
#[derive(Default)]
struct Run {
    verb: VerbLabel,
    outcome: Outcome,
    count: u64,
}

/// A request that is answered later.
struct Opened {
    id: RequestId,
    /// `None` once it is answered.
    verb: Option<VerbLabel>,
    begun: Instant,
}

/// Requests in a row that took equally long: those of one read are often answered in one turn.
struct Waited {
    verb: VerbLabel,
    wall: Duration,
    /// The first of them.
    first: RequestId,
    count: u64,
}

/// How many bytes were unsent, and requests failed, at some moment of a turn.
pub(super) struct Mark {
    unsent: usize,
    failed: u64,
}

impl Replies {
    pub(super) fn new(client: ClientId, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            conversation: Conversation::default(),
            unsent: BytesMut::new(),
            answered: 0,
            failed: 0,
            run: Run::default(),
            opened: Burst::default(),
            waited: Waited {
                verb: VerbLabel::default(),
                wall: Duration::ZERO,
                first: RequestId::MIN,
                count: 0,
            },
            now: None,
            metrics,
        }
    }

    /// True if nothing is under way, unsent or uncounted.
    pub(super) fn are_done(&self) -> bool {
        self.in_flight() == 0
            && self.backlog() == 0
            && (self.answered, self.failed, self.run.count, self.waited.count) == (0, 0, 0, 0)
    }

    /// Goes on as those of another client, whose next request has this name.
    pub(super) fn go_on_as(&mut self, client: ClientId, next: RequestId, metrics: &Arc<Metrics>) {
        self.client = client;
        self.now = None;
        self.conversation.go_on_from(next);
        if !Arc::ptr_eq(&self.metrics, metrics) {
            self.metrics = metrics.clone();
        }
    }

    /// The name of the request that comes next.
    #[inline]
    pub(super) const fn next(&self) -> RequestId {
        self.conversation.next()
    }

    /// Answers a request at once.
    #[inline]
    pub(super) fn answer(&mut self, verb: VerbLabel, format: &ReplyFormat, reply: Final) {
        if is_logged() {
            self.log(self.next(), reply.outcome());
        }
        self.count(verb, outcome_of(&reply));
        self.make_room();
        self.conversation.answer(format, reply, &mut self.unsent);
    }

    /// Answers a request at once, by rows and a final reply.
    pub(super) fn answer_rows(&mut self, verb: VerbLabel, format: &ReplyFormat, rows: Vec<String>, reply: Final) {
        if is_logged() {
            self.log(self.next(), reply.outcome());
        }
        self.count(verb, outcome_of(&reply));
        self.make_room();
        self.conversation
            .answer_rows(format, Some(rows), reply, &mut self.unsent);
    }

    /// Sends the encoded reply to a request that nothing was before.
    #[inline]
    pub(super) fn repeat(&mut self, repeat: Repeat<'_>) {
        self.conversation.skip();
        self.count(repeat.verb(), Outcome::OK);
        self.make_room();
        repeat.append_to(&mut self.unsent);
    }

    /// Opens a request that is answered later; its tag is free.
    #[inline]
    pub(super) fn open(&mut self, verb: VerbLabel, format: &ReplyFormat, has_rows: bool) -> RequestId {
        let Ok(id) = self.conversation.open(format, has_rows) else {
            unreachable!("the tag was free a moment ago");
        };
        let begun = self.now();
        let verb = Some(verb);
        self.opened.push(Opened { id, verb, begun });
        id
    }

    /// Gives an opened request its final reply; a second one is ignored.
    #[inline]
    pub(super) fn close(&mut self, id: RequestId, reply: impl Into<Final>) {
        let reply = reply.into();
        let outcome_now = outcome_of(&reply);
        let logged = is_logged().then(|| reply.outcome());
        self.make_room();
        if self.conversation.close(id, reply, &mut self.unsent) {
            let verb = self.observe(id);
            self.count(verb, outcome_now);
            if let Some(outcome) = logged {
                self.log(id, outcome);
            }
        }
    }

    /// Sends what comes before the final reply of an opened request.
    pub(super) fn interim(&mut self, id: RequestId, interim: Interim) {
        self.conversation.interim(id, interim, &mut self.unsent);
    }

    /// The request under way with this tag.
    pub(super) fn tagged(&self, tag: &Tag) -> Option<RequestId> {
        self.conversation.tagged(tag)
    }

    /// Requests up to this one that have no reply yet.
    pub(super) fn unanswered(&self, last: RequestId) -> Vec<RequestId> {
        self.conversation.unanswered(last)
    }

    /// True if the rows of this request may leave now.
    pub(super) fn may_stream(&self, id: RequestId) -> bool {
        self.conversation.may_stream(id)
    }

    /// Bytes of rows of this request that wait for its reply.
    pub(super) fn rows_held(&mut self, id: RequestId) -> usize {
        self.conversation.rows_held(id)
    }

    #[inline]
    pub(super) fn in_flight(&self) -> usize {
        self.conversation.in_flight()
    }

    /// Bytes that wait for the client, or for an earlier reply.
    #[inline]
    pub(super) fn backlog(&self) -> usize {
        self.unsent.len() + self.conversation.held_bytes()
    }

    #[inline]
    pub(super) fn unsent(&mut self) -> &mut BytesMut {
        &mut self.unsent
    }

    #[inline]
    pub(super) fn mark(&self) -> Mark {
        Mark {
            unsent: self.unsent.len(),
            failed: self.failed,
        }
    }

    /// What was encoded since then, in the same turn.
    pub(super) fn since(&self, mark: &Mark) -> &[u8] {
        &self.unsent[mark.unsent..]
    }

    #[inline]
    pub(super) const fn has_failed_since(&self, mark: &Mark) -> bool {
        self.failed > mark.failed
    }

    /// Adds what was answered since the last time to the counters that all sessions share, which costs more than a
    /// reply. Returns how much it was.
    #[inline]
    pub(super) fn report(&mut self) -> u64 {
        self.now = None;
        self.measure();
        let metrics = &*self.metrics;
        let count = std::mem::take(&mut self.run.count);
        self.answered += count;
        if self.answered > 0 {
            if let Some(verbs) = metrics.verbs() {
                verbs.count(self.run.verb, self.run.outcome, count);
            }
            metrics.requests.fetch_add(self.answered, Relaxed);
        }
        if self.failed > 0 {
            metrics.errors.fetch_add(std::mem::take(&mut self.failed), Relaxed);
        }
        std::mem::take(&mut self.answered)
    }

    #[inline]
    fn make_room(&mut self) {
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(FIRST_REPLIES_BYTES);
        }
    }

    #[inline]
    fn count(&mut self, verb: VerbLabel, outcome: Outcome) {
        self.failed += u64::from(outcome.is_error());
        if self.run.verb == verb && self.run.outcome == outcome {
            self.run.count += 1;
        } else {
            self.begin_run(verb, outcome);
        }
    }

    fn begin_run(&mut self, verb: VerbLabel, outcome: Outcome) {
        let last = std::mem::replace(
            &mut self.run,
            Run {
                verb,
                outcome,
                count: 1,
            },
        );
        self.answered += last.count;
        if last.count > 0
            && let Some(verbs) = self.metrics.verbs()
        {
            verbs.count(last.verb, last.outcome, last.count);
        }
    }

    /// Notes how long an opened request took, and gives its verb.
    #[inline]
    fn observe(&mut self, id: RequestId) -> VerbLabel {
        let now = self.now();
        // Most are answered in their order.
        let (verb, begun) = match self.opened.pop_front_if(|first| first.id == id) {
            Some(Opened { verb, begun, .. }) => (verb, begun),
            None => {
                let Ok(index) = self.opened.binary_search_by_key(&id, |opened| opened.id) else {
                    return VerbLabel::default();
                };
                let opened = &mut self.opened[index];
                (opened.verb.take(), opened.begun)
            }
        };
        while self.opened.pop_front_if(|first| first.verb.is_none()).is_some() {}
        self.opened.shrink();
        let (verb, wall) = (verb.unwrap_or_default(), now - begun);
        if (self.waited.verb, self.waited.wall) != (verb, wall) {
            self.measure();
            let first = id;
            self.waited = Waited {
                verb,
                wall,
                first,
                count: 0,
            };
        }
        self.waited.count += 1;
        verb
    }

    /// Adds to the metrics how long requests took.
    fn measure(&mut self) {
        let Waited {
            verb,
            wall,
            first,
            count,
        } = self.waited;
        self.waited.count = 0;
        if count > 0
            && let Some(verbs) = self.metrics.verbs()
        {
            let (client, request) = (self.client.0, Some(first.0));
            verbs.observe(verb, wall, count, || Exemplar {
                client,
                request,
                seconds: wall.as_secs_f64(),
            });
        }
    }

    /// One look at the clock a turn.
    #[inline]
    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    #[cold]
    fn log(&self, request: RequestId, outcome: &'static str) {
        tracing::debug!(client = self.client.0, request = request.0, outcome, "reply");
    }
}

#[inline]
const fn outcome_of(reply: &Final) -> Outcome {
    match reply {
        Final::Reply(Err(failure)) => Outcome::failed(failure.code as u8),
        Final::Reply(Ok(_)) | Final::Encoded(_) => Outcome::OK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERB: VerbLabel = VerbLabel::from_byte(1);
    use crate::proto::{Code, Failure, Value};

    fn text(replies: &mut Replies) -> String {
        String::from_utf8(replies.unsent().split().to_vec()).expect("replies are text")
    }

    fn number(n: u64) -> Final {
        Final::Reply(Ok(Value::from(n)))
    }

    #[test]
    fn replies_keep_their_order_and_are_counted_once() {
        let metrics = Arc::<Metrics>::default();
        let mut replies = Replies::new(ClientId(1), metrics.clone());
        let first = replies.open(VERB, &ReplyFormat::default(), false);
        replies.answer(VERB, &ReplyFormat::default(), number(2));
        assert_eq!((replies.in_flight(), text(&mut replies).as_str()), (2, ""));
        replies.close(first, Err(Failure::new(Code::Internal, "x")));
        replies.close(first, number(1));
        assert_eq!(text(&mut replies), "ERR internal :x\nOK 2\n");
        assert_eq!((replies.in_flight(), replies.backlog()), (0, 0));
        for _ in 0..2 {
            replies.report();
            assert_eq!((metrics.requests.load(Relaxed), metrics.errors.load(Relaxed)), (2, 1));
        }
    }

    #[test]
    fn what_was_encoded_since_a_mark_is_found_again() {
        let mut replies = Replies::new(ClientId(1), Arc::default());
        replies.answer(VERB, &ReplyFormat::default(), number(1));
        let mark = replies.mark();
        replies.answer(VERB, &ReplyFormat::default(), number(2));
        assert_eq!(replies.since(&mark), b"OK 2\n");
        assert!(!replies.has_failed_since(&mark));
        replies.answer(
            VERB,
            &ReplyFormat::default(),
            Final::Reply(Err(Failure::new(Code::Syntax, "x"))),
        );
        assert!(replies.has_failed_since(&mark));
    }
}
