//! One conversation: which requests are under way, and in which order their replies may leave.
//!
//! Plain data: bytes of replies go to a buffer that the caller owns. Knows no socket, no clock and no verb.

use super::reply::{write_final, write_interim, write_rows};
use super::{Interim, Reply, Tag, Value};
use bytes::BytesMut;
use dashu_int::ops::BitTest;
use std::collections::{HashMap, VecDeque};

/// Names a request of this conversation; never used twice.
pub type Place = u64;

/// A request with this tag is still under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateTag;

/// The requests under way and the replies that have to wait for an earlier one.
///
/// Untagged replies leave in the order of their requests; tagged ones as soon as they are there.
#[derive(Debug, Default)]
pub struct Conversation {
    next: Place,
    /// Untagged requests in order; the first one's reply is not there yet.
    queue: VecDeque<Waiting>,
    tagged: HashMap<Place, Tag>,
    tags: HashMap<Tag, Place>,
    /// Bytes of replies that are there and wait for an earlier one, about.
    held: usize,
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    is_bare: bool,
    /// Rows that are known before the reply and wait with it.
    rows: Vec<String>,
    reply: Option<Reply>,
}

impl Conversation {
    /// Opens a request that will be answered later.
    ///
    /// # Errors
    /// [`DuplicateTag`] if a request with this tag is under way; nothing is opened then.
    pub fn open(&mut self, tag: Option<Tag>, is_bare: bool) -> Result<Place, DuplicateTag> {
        let place = self.next;
        match tag {
            Some(tag) if self.tags.contains_key(&tag) => return Err(DuplicateTag),
            Some(tag) => {
                self.tags.insert(tag, place);
                self.tagged.insert(place, tag);
            }
            None => self.queue.push_back(Waiting {
                place,
                is_bare,
                rows: Vec::new(),
                reply: None,
            }),
        }
        self.next += 1;
        Ok(place)
    }

    /// Answers a request at once, without opening it; its reply still waits for untagged ones before it.
    pub fn answer(&mut self, tag: Option<Tag>, is_bare: bool, reply: Reply, out: &mut BytesMut) {
        self.answer_rows(tag, is_bare, Vec::new(), reply, out);
    }

    /// Answers a request at once with rows and a final reply.
    pub fn answer_rows(
        &mut self,
        tag: Option<Tag>,
        is_bare: bool,
        rows: Vec<String>,
        reply: Reply,
        out: &mut BytesMut,
    ) {
        if tag.is_some() || self.queue.is_empty() {
            write_rows(out, tag.as_ref(), &rows);
            write_final(out, tag.as_ref(), is_bare, &reply);
        } else {
            self.held += weight(&rows, &reply);
            self.queue.push_back(Waiting {
                place: self.next,
                is_bare,
                rows,
                reply: Some(reply),
            });
            self.next += 1;
        }
    }

    /// Gives an opened request its final reply. A place that is not open is ignored: its reply has been given already.
    pub fn close(&mut self, place: Place, reply: Reply, out: &mut BytesMut) {
        if let Some(tag) = self.tagged.remove(&place) {
            self.tags.remove(&tag);
            write_final(out, Some(&tag), false, &reply);
            return;
        }
        let Some(waiting) = self.waiting(place).filter(|waiting| waiting.reply.is_none()) else {
            return;
        };
        let weight_of_this = weight(&waiting.rows, &reply);
        waiting.reply = Some(reply);
        self.held += weight_of_this;
        while let Some(Waiting {
            is_bare,
            rows,
            reply: Some(reply),
            ..
        }) = self.queue.front()
        {
            write_rows(out, None, rows);
            write_final(out, None, *is_bare, reply);
            self.held -= weight(rows, reply);
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Writes interim lines of an opened request, if they may leave now: it is tagged, or the first in the queue. Else rows
    /// wait with their reply, and progress is forgotten.
    pub fn interim(&mut self, place: Place, interim: Interim, out: &mut BytesMut) {
        match (self.tagged.get(&place), interim) {
            (Some(tag), interim) => write_interim(out, Some(tag), &interim),
            (None, interim) if self.may_stream(place) => write_interim(out, None, &interim),
            (None, Interim::Rows(rows)) => {
                if let Some(waiting) = self.waiting(place) {
                    waiting.rows.extend(rows);
                }
            }
            (None, _) => {}
        }
    }

    /// True if interim lines of this request may leave now.
    pub fn may_stream(&self, place: Place) -> bool {
        self.queue.front().is_some_and(|first| first.place == place) || self.tagged.contains_key(&place)
    }

    /// The request under way that bears this tag.
    pub fn tagged(&self, tag: &Tag) -> Option<Place> {
        self.tags.get(tag).copied()
    }

    /// How many requests are under way or wait for their turn to be answered.
    pub fn in_flight(&self) -> usize {
        self.queue.len() + self.tagged.len()
    }

    /// Bytes of replies that are there and wait for an earlier one, about. They count like bytes that the client has not taken.
    pub const fn held_bytes(&self) -> usize {
        self.held
    }

    fn waiting(&mut self, place: Place) -> Option<&mut Waiting> {
        let index = self.queue.binary_search_by_key(&place, |waiting| waiting.place).ok()?;
        self.queue.get_mut(index)
    }
}

/// What a reply that waits takes, about: what its request determines, and not the few words that each has.
fn weight(rows: &[String], reply: &Reply) -> usize {
    let value = match reply {
        Ok(Value::Number(number)) => number.bit_len() / 8,
        Ok(Value::Text(text)) => text.len(),
        Ok(_) | Err(_) => 0,
    };
    rows.iter().map(|row| row.len() + size_of::<String>()).sum::<usize>() + value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Value;

    #[derive(Default)]
    struct Talk {
        conversation: Conversation,
        out: BytesMut,
    }

    impl Talk {
        fn open(&mut self, tag: &str) -> Place {
            self.conversation.open(Tag::parse(tag), false).expect("the tag is free")
        }

        fn close(&mut self, place: Place, value: u64) {
            self.conversation.close(place, Ok(Value::from(value)), &mut self.out);
        }

        fn said(&mut self) -> String {
            String::from_utf8(self.out.split().to_vec()).expect("replies are ASCII")
        }
    }

    #[test]
    fn untagged_replies_keep_their_order_and_tagged_ones_overtake() {
        let mut talk = Talk::default();
        let (first, tagged, second) = (talk.open(""), talk.open("t"), talk.open(""));
        talk.conversation.answer(None, false, Ok(Value::from(3)), &mut talk.out);
        talk.close(second, 2);
        assert_eq!(talk.said(), "");
        talk.close(tagged, 9);
        assert_eq!(talk.said(), "@t OK 9\n");
        talk.close(first, 1);
        assert_eq!(talk.said(), "OK 1\nOK 2\nOK 3\n");
        assert_eq!(talk.conversation.in_flight(), 0);
    }

    #[test]
    fn replies_that_wait_are_counted_until_they_leave() {
        let mut talk = Talk::default();
        let first = talk.open("");
        let rows = vec!["x".repeat(1000); 3];
        talk.conversation
            .answer_rows(None, false, rows, Ok(Value::Nothing), &mut talk.out);
        assert!((3000..4000).contains(&talk.conversation.held_bytes()));
        talk.close(first, 1);
        assert_eq!(talk.conversation.held_bytes(), 0);
        assert!(talk.said().len() > 3000);
    }

    #[test]
    fn a_tag_is_free_again_once_it_is_answered() {
        let mut talk = Talk::default();
        let place = talk.open("t");
        assert_eq!(talk.conversation.open(Tag::parse("t"), false), Err(DuplicateTag));
        talk.close(place, 1);
        talk.open("t");
    }

    #[test]
    fn a_second_reply_to_the_same_request_is_ignored() {
        let mut talk = Talk::default();
        let (first, second) = (talk.open(""), talk.open(""));
        talk.close(second, 2);
        talk.close(second, 7);
        talk.close(first, 1);
        talk.close(first, 8);
        assert_eq!(talk.said(), "OK 1\nOK 2\n");
    }

    #[test]
    fn only_the_first_untagged_request_streams() {
        let mut talk = Talk::default();
        let (first, second, tagged) = (talk.open(""), talk.open(""), talk.open("t"));
        let may: Vec<bool> = [first, second, tagged]
            .map(|place| talk.conversation.may_stream(place))
            .into();
        assert_eq!(may, [true, false, true]);
        talk.close(first, 1);
        assert!(talk.conversation.may_stream(second));
    }
}
