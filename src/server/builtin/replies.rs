//! Replies: the order in which they leave, the bytes that the client has not taken, and how many there were. Knows no request and no socket.

use crate::engine::{ClientId, RequestId};
use crate::metrics::Metrics;
use crate::proto::{Conversation, Final, Interim, ReplyFormat, Tag};
use bytes::BytesMut;
use std::sync::atomic::Ordering::Relaxed;
use tracing::Level;

/// Room made for replies at first: a hundred short ones, so that it need not grow by and by.
const FIRST_REPLIES_BYTES: usize = 1 << 10;

/// The replies of one connection.
pub(super) struct Replies {
    /// The client, for the log.
    client: ClientId,
    conversation: Conversation,
    unsent: BytesMut,
    /// Requests answered and not counted yet, and how many of them with an error.
    answered: u64,
    failed: u64,
}

/// How many bytes were unsent, and requests failed, at some moment of a turn.
pub(super) struct Mark {
    unsent: usize,
    failed: u64,
}

impl Replies {
    pub(super) fn new(client: ClientId) -> Self {
        Self {
            client,
            conversation: Conversation::default(),
            unsent: BytesMut::new(),
            answered: 0,
            failed: 0,
        }
    }

    /// The name of the request that comes next.
    #[inline]
    pub(super) const fn next(&self) -> RequestId {
        self.conversation.next()
    }

    /// Answers a request at once.
    #[inline]
    pub(super) fn answer(&mut self, format: &ReplyFormat, reply: Final) {
        if is_logged() {
            self.log(self.next(), outcome(&reply));
        }
        self.count(reply.is_ok());
        self.make_room();
        self.conversation.answer(format, reply, &mut self.unsent);
    }

    /// Answers a request at once, by rows and a final reply.
    pub(super) fn answer_rows(&mut self, format: &ReplyFormat, rows: Vec<String>, reply: Final) {
        if is_logged() {
            self.log(self.next(), outcome(&reply));
        }
        self.count(reply.is_ok());
        self.make_room();
        self.conversation
            .answer_rows(format, Some(rows), reply, &mut self.unsent);
    }

    /// Sends the encoded reply to a request that nothing was before.
    #[inline]
    pub(super) fn repeat(&mut self, reply: &[u8]) {
        self.conversation.skip();
        self.count(true);
        self.make_room();
        self.unsent.extend_from_slice(reply);
    }

    /// Opens a request that is answered later; its tag is free.
    #[inline]
    pub(super) fn open(&mut self, format: &ReplyFormat, has_rows: bool) -> RequestId {
        let Ok(place) = self.conversation.open(format, has_rows) else {
            unreachable!("the tag was free a moment ago");
        };
        place
    }

    /// Gives an opened request its final reply; a second one is ignored.
    #[inline]
    pub(super) fn close(&mut self, place: RequestId, reply: impl Into<Final>) {
        let reply = reply.into();
        let is_ok = reply.is_ok();
        let logged = is_logged().then(|| outcome(&reply));
        self.make_room();
        if self.conversation.close(place, reply, &mut self.unsent) {
            self.count(is_ok);
            if let Some(outcome) = logged {
                self.log(place, outcome);
            }
        }
    }

    /// Sends what comes before the final reply of an opened request.
    pub(super) fn interim(&mut self, place: RequestId, interim: Interim) {
        self.conversation.interim(place, interim, &mut self.unsent);
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
    pub(super) fn may_stream(&self, place: RequestId) -> bool {
        self.conversation.may_stream(place)
    }

    /// Bytes of rows of this request that wait for its reply.
    pub(super) fn rows_held(&mut self, place: RequestId) -> usize {
        self.conversation.rows_held(place)
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

    /// Adds what was answered since the last time to the counters that all sessions share, which costs more than a reply.
    #[inline]
    pub(super) fn report(&mut self, metrics: &Metrics) {
        if self.answered > 0 {
            metrics.requests.fetch_add(std::mem::take(&mut self.answered), Relaxed);
        }
        if self.failed > 0 {
            metrics.errors.fetch_add(std::mem::take(&mut self.failed), Relaxed);
        }
    }

    #[inline]
    fn make_room(&mut self) {
        if self.unsent.capacity() == 0 {
            self.unsent.reserve(FIRST_REPLIES_BYTES);
        }
    }

    #[inline]
    const fn count(&mut self, is_ok: bool) {
        self.answered += 1;
        self.failed += !is_ok as u64;
    }

    #[cold]
    fn log(&self, request: RequestId, outcome: &'static str) {
        tracing::debug!(client = self.client.0, request = request.0, outcome, "reply");
    }
}

/// Whether final replies are logged. Where they are not, this is one comparison.
#[inline]
pub(super) fn is_logged() -> bool {
    tracing::enabled!(Level::DEBUG)
}

/// `ok`, or the code of the error.
fn outcome(reply: &Final) -> &'static str {
    match reply {
        Final::Reply(Err(failure)) => failure.code.as_str(),
        Final::Reply(Ok(_)) | Final::Encoded(_) => "ok",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Code, Failure, Value};

    fn text(replies: &mut Replies) -> String {
        String::from_utf8(replies.unsent().split().to_vec()).expect("replies are text")
    }

    fn number(n: u64) -> Final {
        Final::Reply(Ok(Value::from(n)))
    }

    #[test]
    fn replies_keep_their_order_and_are_counted_once() {
        let (mut replies, metrics) = (Replies::new(ClientId(1)), Metrics::default());
        let first = replies.open(&ReplyFormat::default(), false);
        replies.answer(&ReplyFormat::default(), number(2));
        assert_eq!((replies.in_flight(), text(&mut replies).as_str()), (2, ""));
        replies.close(first, Err(Failure::new(Code::Internal, "x")));
        replies.close(first, number(1));
        assert_eq!(text(&mut replies), "ERR internal :x\nOK 2\n");
        assert_eq!((replies.in_flight(), replies.backlog()), (0, 0));
        for _ in 0..2 {
            replies.report(&metrics);
            assert_eq!((metrics.requests.load(Relaxed), metrics.errors.load(Relaxed)), (2, 1));
        }
    }

    #[test]
    fn what_was_encoded_since_a_mark_is_found_again() {
        let mut replies = Replies::new(ClientId(1));
        replies.answer(&ReplyFormat::default(), number(1));
        let mark = replies.mark();
        replies.answer(&ReplyFormat::default(), number(2));
        assert_eq!(replies.since(&mark), b"OK 2\n");
        assert!(!replies.has_failed_since(&mark));
        replies.answer(
            &ReplyFormat::default(),
            Final::Reply(Err(Failure::new(Code::Syntax, "x"))),
        );
        assert!(replies.has_failed_since(&mark));
        let again = replies.since(&mark).to_vec();
        replies.repeat(&again);
        assert!(text(&mut replies).ends_with("OK 2\nERR syntax :x\n"));
    }
}
