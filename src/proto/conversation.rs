//! One conversation: which requests are under way, and in which order their replies may leave.
//!
//! Plain data: bytes of replies go to a buffer that the caller owns. Knows no socket, no clock, no verb and no dialect.

use super::Tag;
use super::burst::Burst;
use super::format::{Dialect, ReplyFormat};
use super::reply::{Final, Interim};
use bytes::BytesMut;
use rustc_hash::FxHashMap;
use std::collections::HashMap;

/// Names a request of a conversation, or of another client. Never used twice; a conversation counts its requests from
/// 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl RequestId {
    /// Before all others.
    pub const MIN: Self = Self(0);
    /// After all others.
    pub const MAX: Self = Self(u64::MAX);

    const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A request with this tag is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateTag;

/// The requests under way and the replies that have to wait for an earlier one.
///
/// Replies leave in the order of their requests, unless a tag lets them overtake: in a strict dialect it does not.
#[derive(Debug, Default)]
pub struct Conversation {
    next: RequestId,
    /// Requests whose replies keep their order; the first of them has no reply yet.
    queue: Burst<Waiting>,
    /// Requests with tags; made with the first of them, for most clients use none.
    tagged: Option<Box<Tagged>>,
    /// Bytes of replies that wait for an earlier one, about.
    held: usize,
}

#[derive(Debug, Default)]
struct Tagged {
    /// Those whose replies overtake.
    free: FxHashMap<RequestId, ReplyFormat>,
    /// The request of every tag, and the tag of every request in the queue that has one.
    requests: HashMap<Tag, RequestId>,
    tags: FxHashMap<RequestId, Tag>,
}

#[derive(Debug)]
struct Waiting {
    id: RequestId,
    dialect: &'static dyn Dialect,
    is_bare: bool,
    /// Rows that wait for the reply; `None` until there is one, unless the reply has rows in any case.
    rows: Option<Vec<String>>,
    reply: Option<Final>,
    /// The bytes of rows and reply.
    weight: usize,
}

impl Waiting {
    fn write(&self, reply: &Final, out: &mut BytesMut) {
        let format = ReplyFormat {
            dialect: self.dialect,
            tag: None,
            is_bare: self.is_bare,
        };
        self.dialect.write_final(out, &format, self.rows.as_deref(), reply);
    }
}

impl Conversation {
    /// Names its next request so from now on; nothing is under way.
    pub const fn go_on_from(&mut self, next: RequestId) {
        self.next = next;
    }

    /// Opens a request that will be answered later. `has_rows`: its reply has rows, be it none of them.
    ///
    /// # Errors
    /// `DuplicateTag` if a request with this tag is under way; nothing is opened then.
    pub fn open(&mut self, format: &ReplyFormat, has_rows: bool) -> Result<RequestId, DuplicateTag> {
        let id = self.next;
        if let Some(tag) = format.tag {
            let tagged = self.tagged.get_or_insert_default();
            if tagged.requests.contains_key(&tag) {
                return Err(DuplicateTag);
            }
            tagged.requests.insert(tag, id);
            if format.overtakes() {
                tagged.free.insert(id, *format);
            } else {
                tagged.tags.insert(id, tag);
            }
        }
        if !format.overtakes() {
            self.queue.push(Waiting {
                id,
                dialect: format.dialect,
                is_bare: format.is_bare,
                rows: has_rows.then(Vec::new),
                reply: None,
                weight: 0,
            });
        }
        self.next = self.next.next();
        Ok(id)
    }

    /// Answers a request at once, without opening it; its reply still waits for those before it.
    pub fn answer(&mut self, format: &ReplyFormat, reply: impl Into<Final>, out: &mut BytesMut) {
        self.answer_rows(format, None, reply, out);
    }

    /// Answers a request at once with rows, if it has any, and a final reply.
    pub fn answer_rows(
        &mut self,
        format: &ReplyFormat,
        rows: Option<Vec<String>>,
        reply: impl Into<Final>,
        out: &mut BytesMut,
    ) {
        let reply = reply.into();
        let id = self.skip();
        if format.overtakes() || self.queue.is_empty() {
            return format.dialect.write_final(out, format, rows.as_deref(), &reply);
        }
        let weight = weight_of_rows(rows.as_deref().unwrap_or_default()) + weight_of_reply(&reply);
        self.held += weight;
        self.queue.push(Waiting {
            id,
            dialect: format.dialect,
            is_bare: format.is_bare,
            rows,
            reply: Some(reply),
            weight,
        });
    }

    /// The name of the request that comes next.
    pub const fn next(&self) -> RequestId {
        self.next
    }

    /// Counts a request that is answered without this conversation, and gives its name.
    pub const fn skip(&mut self) -> RequestId {
        let name = self.next;
        self.next = name.next();
        name
    }

    /// Gives an opened request its final reply. False, and nothing else, if it is not open: its reply has been given
    /// already.
    pub fn close(&mut self, id: RequestId, reply: impl Into<Final>, out: &mut BytesMut) -> bool {
        let reply = reply.into();
        if let Some(tagged) = &mut self.tagged
            && let Some(format) = tagged.free.remove(&id)
        {
            if let Some(tag) = format.tag {
                tagged.requests.remove(&tag);
            }
            format.dialect.write_final(out, &format, None, &reply);
            return true;
        }
        if let Some(first) = self.queue.pop_front_if(|first| first.id == id) {
            // Nearly always.
            self.held -= first.weight;
            first.write(&reply, out);
        } else {
            let Some(waiting) = self.waiting(id).filter(|waiting| waiting.reply.is_none()) else {
                return false;
            };
            let weight = weight_of_reply(&reply);
            waiting.reply = Some(reply);
            waiting.weight += weight;
            self.held += weight;
        }
        if let Some(tagged) = &mut self.tagged
            && let Some(tag) = tagged.tags.remove(&id)
        {
            tagged.requests.remove(&tag);
        }
        while let Some(first) = self.queue.pop_front_if(|first| first.reply.is_some()) {
            if let Some(reply) = &first.reply {
                first.write(reply, out);
            }
            self.held -= first.weight;
        }
        self.queue.shrink();
        true
    }

    /// Encodes what comes before the final reply of an opened request, if it may leave now: its reply may overtake, or
    /// is the next to leave. Otherwise rows wait for their reply, and progress is dropped. Rows for a strict dialect
    /// always wait.
    pub fn interim(&mut self, id: RequestId, interim: Interim, out: &mut BytesMut) {
        if let Some(format) = self.free(id) {
            return format.dialect.write_interim(out, format.tag.as_ref(), &interim);
        }
        let tag = self.tagged.as_ref().and_then(|tagged| tagged.tags.get(&id).copied());
        let is_next = self.may_stream(id);
        let Some(waiting) = self.waiting(id) else {
            return;
        };
        match interim {
            Interim::Rows(rows) if !is_next || waiting.dialect.is_strict() => {
                let weight = weight_of_rows(&rows);
                waiting.rows.get_or_insert_default().extend(rows);
                waiting.weight += weight;
                self.held += weight;
            }
            interim if is_next || tag.is_some() => waiting.dialect.write_interim(out, tag.as_ref(), &interim),
            _ => {}
        }
    }

    /// True if it is the turn of this request's rows.
    pub fn may_stream(&self, id: RequestId) -> bool {
        self.queue.front().is_some_and(|first| first.id == id) || self.free(id).is_some()
    }

    /// Bytes of rows of this request that wait for its reply, about.
    pub fn rows_held(&mut self, id: RequestId) -> usize {
        self.waiting(id).map_or(0, |waiting| waiting.weight)
    }

    /// The request under way that bears this tag.
    pub fn tagged(&self, tag: &Tag) -> Option<RequestId> {
        self.tagged.as_ref()?.requests.get(tag).copied()
    }

    /// Requests up to this one that have no reply yet, in their order.
    pub fn unanswered(&self, last: RequestId) -> Vec<RequestId> {
        let waiting = self.queue.iter().filter(|waiting| waiting.reply.is_none());
        let waiting = waiting.map(|waiting| waiting.id);
        let mut all: Vec<RequestId> = waiting
            .chain(self.tagged.iter().flat_map(|tagged| tagged.free.keys().copied()))
            .filter(|id| *id <= last)
            .collect();
        all.sort_unstable();
        all
    }

    /// How many requests are under way or wait for their turn to be answered.
    pub fn in_flight(&self) -> usize {
        self.queue.len() + self.tagged.as_ref().map_or(0, |tagged| tagged.free.len())
    }

    /// Bytes of replies that wait for an earlier one, about. They count like bytes that the client has not read.
    pub const fn held_bytes(&self) -> usize {
        self.held
    }

    /// How the reply to a request is written that overtakes.
    fn free(&self, id: RequestId) -> Option<&ReplyFormat> {
        self.tagged.as_ref()?.free.get(&id)
    }

    fn waiting(&mut self, id: RequestId) -> Option<&mut Waiting> {
        // Most replies come in the order of the requests.
        if self.queue.front()?.id == id {
            return self.queue.front_mut();
        }
        let index = self.queue.binary_search_by_key(&id, |waiting| waiting.id).ok()?;
        self.queue.get_mut(index)
    }
}

fn weight_of_rows(rows: &[String]) -> usize {
    rows.iter().map(|row| row.len() + size_of::<String>()).sum()
}

/// The bytes of a reply that waits, about: those that depend on the request, without the constant part.
fn weight_of_reply(reply: &Final) -> usize {
    match reply {
        Final::Reply(Ok(value)) => value.weight(),
        Final::Reply(Err(failure)) => failure.text.len(),
        Final::Encoded(bytes) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Code, Failure, Reply, Value};

    /// Lines, with a tag or none.
    fn format(tag: &str) -> ReplyFormat {
        ReplyFormat {
            tag: Tag::parse(tag),
            ..ReplyFormat::default()
        }
    }

    /// A dialect that lets nothing overtake and keeps rows with their reply.
    struct Strict;

    impl Dialect for Strict {
        fn name(&self) -> &'static str {
            "strict"
        }

        fn is_strict(&self) -> bool {
            true
        }

        fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
            let text = format!("{rows:?} {};", reply.is_ok());
            out.extend_from_slice(text.as_bytes());
        }

        fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, _: &Interim) {
            out.extend_from_slice(format!("{tag:?} goes on;").as_bytes());
        }
    }

    #[derive(Default)]
    struct Fixture {
        conversation: Conversation,
        out: BytesMut,
    }

    impl Fixture {
        fn open(&mut self, tag: &str) -> RequestId {
            self.conversation.open(&format(tag), false).expect("the tag is free")
        }

        fn close(&mut self, id: RequestId, value: u64) {
            let reply: Reply = Ok(Value::from(value));
            self.conversation.close(id, reply, &mut self.out);
        }

        fn sent(&mut self) -> String {
            String::from_utf8(self.out.split().to_vec()).expect("replies are ASCII")
        }
    }

    #[test]
    fn untagged_replies_keep_their_order_and_tagged_ones_overtake() {
        let mut fixture = Fixture::default();
        let (first, tagged, second) = (fixture.open(""), fixture.open("t"), fixture.open(""));
        let third: Reply = Ok(Value::from(3));
        fixture.conversation.answer(&format(""), third, &mut fixture.out);
        fixture.close(second, 2);
        assert_eq!(fixture.sent(), "");
        fixture.close(tagged, 9);
        assert_eq!(fixture.sent(), "@t OK 9\n");
        fixture.close(first, 1);
        assert_eq!(fixture.sent(), "OK 1\nOK 2\nOK 3\n");
        assert_eq!(fixture.conversation.in_flight(), 0);
    }

    #[test]
    fn requests_are_counted_however_they_are_answered() {
        let mut fixture = Fixture::default();
        assert_eq!(fixture.open(""), RequestId(0));
        let now: Reply = Ok(Value::from(1));
        for tag in ["", "t"] {
            fixture.conversation.answer(&format(tag), now.clone(), &mut fixture.out);
        }
        assert_eq!(fixture.conversation.skip(), RequestId(3));
        assert_eq!(fixture.open(""), RequestId(4));
        assert_eq!(fixture.conversation.next(), RequestId(5));
    }

    #[test]
    fn replies_that_wait_are_counted_until_they_leave() {
        let mut fixture = Fixture::default();
        let first = fixture.open("");
        let rows = vec!["x".repeat(1000); 3];
        fixture
            .conversation
            .answer_rows(&format(""), Some(rows), Reply::Ok(Value::Nothing), &mut fixture.out);
        assert!((3000..4000).contains(&fixture.conversation.held_bytes()));
        fixture.close(first, 1);
        assert_eq!(fixture.conversation.held_bytes(), 0);
        assert!(fixture.sent().len() > 3000);
    }

    #[test]
    fn a_reply_of_any_kind_counts_while_it_waits() {
        let long = "x".repeat(1000);
        let number = crate::primes::Natural::from(2u8).pow(8_000);
        let replies: [Reply; 5] = [
            Ok(Value::Text(long.clone())),
            Ok(Value::Number(number)),
            Ok(Value::Numbers(vec![7u8.into(); 40])),
            Ok(Value::Facts(vec![("key".into(), long.clone())])),
            Err(Failure::new(Code::Internal, long)),
        ];
        for reply in replies {
            let mut fixture = Fixture::default();
            let (first, second) = (fixture.open(""), fixture.open(""));
            fixture
                .conversation
                .answer(&format(""), reply.clone(), &mut fixture.out);
            let held = fixture.conversation.held_bytes();
            assert!((500..2000).contains(&held), "{held}: {reply:?}");
            fixture.conversation.close(second, reply.clone(), &mut fixture.out);
            assert_eq!(fixture.conversation.held_bytes(), 2 * held, "{reply:?}");
            fixture.close(first, 1);
            assert_eq!(fixture.conversation.held_bytes(), 0, "{reply:?}");
        }
    }

    #[test]
    fn a_tag_is_free_again_once_it_is_answered() {
        let mut fixture = Fixture::default();
        let id = fixture.open("t");
        assert_eq!(fixture.conversation.open(&format("t"), false), Err(DuplicateTag));
        fixture.close(id, 1);
        fixture.open("t");
    }

    #[test]
    fn a_second_reply_to_the_same_request_is_ignored() {
        let mut fixture = Fixture::default();
        let (first, second) = (fixture.open(""), fixture.open(""));
        fixture.close(second, 2);
        fixture.close(second, 7);
        fixture.close(first, 1);
        fixture.close(first, 8);
        assert_eq!(fixture.sent(), "OK 1\nOK 2\n");
    }

    #[test]
    fn only_the_first_untagged_request_streams() {
        let mut fixture = Fixture::default();
        let (first, second, tagged) = (fixture.open(""), fixture.open(""), fixture.open("t"));
        let may: Vec<bool> = [first, second, tagged]
            .map(|id| fixture.conversation.may_stream(id))
            .into();
        assert_eq!(may, [true, false, true]);
        fixture.close(first, 1);
        assert!(fixture.conversation.may_stream(second));
    }

    #[test]
    fn in_a_strict_dialect_tags_name_but_do_not_overtake_and_rows_come_with_their_reply() {
        let mut fixture = Fixture::default();
        let strict = |tag| ReplyFormat {
            dialect: &Strict,
            tag: Tag::parse(tag),
            is_bare: false,
        };
        let first = fixture.conversation.open(&strict(""), true).expect("it has no tag");
        let second = fixture.conversation.open(&strict("t"), false).expect("the tag is free");
        assert_eq!(fixture.conversation.open(&strict("t"), false), Err(DuplicateTag));
        assert_eq!(
            fixture.conversation.tagged(&Tag::parse("t").expect("a tag")),
            Some(second)
        );
        let progress = Interim::Stalled(std::time::Duration::ZERO);
        fixture.conversation.interim(second, progress.clone(), &mut fixture.out);
        fixture.close(second, 2);
        assert_eq!(fixture.sent(), "Some(@t) goes on;");
        fixture
            .conversation
            .interim(first, Interim::Rows(vec!["x".into()]), &mut fixture.out);
        assert!(fixture.conversation.rows_held(first) > 0);
        fixture.conversation.interim(first, progress, &mut fixture.out);
        fixture.close(first, 1);
        assert_eq!(fixture.sent(), "None goes on;Some([\"x\"]) true;None true;");
        assert_eq!(
            (fixture.conversation.held_bytes(), fixture.conversation.in_flight()),
            (0, 0)
        );
        assert_eq!(fixture.conversation.tagged(&Tag::parse("t").expect("a tag")), None);
    }
}
