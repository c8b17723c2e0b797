//! Short lines that are asked over and over, and their replies, byte for byte. Plain data; knows no socket and no verb.
//!
//! To read `nth 7`, look it up and encode the reply takes some 100 ns, to find the same bytes again takes 15: in a deep
//! pipeline that is what divides a session from a bare loop over a table. Only answers that never change come in here,
//! only untagged, and only as lines. One place a line, by its hash: what is asked more often is in there more often,
//! and there is nothing to tidy up.

use crate::metrics::VerbLabel;
use bytes::BytesMut;
use std::sync::{Arc, Weak};

/// Words that the longest line takes which is kept, with its line feed.
const WORDS: usize = 3;
const LONGEST_QUESTION: usize = WORDS * size_of::<u64>();
/// The longest reply that is kept.
const LONGEST_REPLY: usize = 38;
/// Places; a power of two. Together they take 32 KiB for each thread that serves connections.
const PLACES: usize = 512;

/// A line with its line feed, and zeros after it: compared and hashed as words, with no look at its length.
type Line = [u64; WORDS];

/// One line and its reply, in a line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Pair {
    question: Line,
    reply: [u8; LONGEST_REPLY],
    reply_len: u8,
    /// The verb, as the metrics name it.
    verb: u8,
}

/// No line is without a line feed.
const NOTHING: Pair = Pair {
    question: [0; WORDS],
    reply: [0; LONGEST_REPLY],
    reply_len: 0,
    verb: 0,
};

/// A line that is known, and its reply.
#[derive(Clone, Copy)]
pub(super) struct Repeat<'a> {
    /// Bytes of the line with its line feed.
    pub(super) length: usize,
    pair: &'a Pair,
}

impl Repeat<'_> {
    #[inline]
    pub(super) const fn verb(&self) -> VerbLabel {
        VerbLabel::from_byte(self.pair.verb)
    }

    /// Appends the reply. All of its place is copied first: a copy of a fixed size is two moves, one of another size is
    /// a call.
    #[inline]
    pub(super) fn append_to(&self, out: &mut BytesMut) {
        let end = out.len() + usize::from(self.pair.reply_len);
        out.extend_from_slice(&self.pair.reply);
        out.truncate(end);
    }
}

/// What the sessions of a thread were asked lately, all of them sessions of one `T`.
pub(super) struct Repeats<T> {
    owner: Weak<T>,
    pairs: Vec<Pair>,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        Self {
            owner: Weak::new(),
            pairs: Vec::new(),
        }
    }
}

impl<T> Repeats<T> {
    /// Forgets everything if it was said by another owner: its verbs may answer otherwise.
    pub(super) fn belong_to(&mut self, owner: &Arc<T>) {
        if !std::ptr::eq(self.owner.as_ptr(), Arc::as_ptr(owner)) {
            self.owner = Arc::downgrade(owner);
            self.pairs.clear();
        }
    }

    /// The line that the input begins with and its reply, if it is known.
    #[inline]
    pub(super) fn find(&self, input: &[u8]) -> Option<Repeat<'_>> {
        let (question, length) = first_line(input)?;
        let pair = self.pairs.get(place(&question))?;
        (pair.question == question).then_some(Repeat { length, pair })
    }

    /// Keeps a reply, if question and reply are short and the question is one line.
    pub(super) fn keep(&mut self, question: &[u8], verb: VerbLabel, reply: &[u8]) {
        let (Some(verb), Some((line, length))) = (verb.to_byte(), first_line(question)) else {
            return;
        };
        if length != question.len() || reply.len() > LONGEST_REPLY {
            return;
        }
        if self.pairs.is_empty() {
            self.pairs = vec![NOTHING; PLACES];
        }
        let pair = &mut self.pairs[place(&line)];
        pair.question = line;
        pair.reply[..reply.len()].copy_from_slice(reply);
        pair.reply_len = reply.len() as u8;
        pair.verb = verb;
    }
}

/// The first line and how long it is, both with its line feed, if it is short.
#[inline]
fn first_line(input: &[u8]) -> Option<(Line, usize)> {
    const EACH: usize = size_of::<u64>();
    let mut beginning = [0; LONGEST_QUESTION];
    match input.first_chunk() {
        Some(chunk) => beginning = *chunk,
        None => beginning[..input.len()].copy_from_slice(input),
    }
    let mut line = [0; WORDS];
    for (index, bytes) in beginning.as_chunks::<EACH>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let feeds = line_feeds(word);
        if feeds != 0 {
            let bits = feeds.trailing_zeros() + 1;
            line[index] = word & (u64::MAX >> (u64::BITS - bits));
            return Some((line, index * EACH + bits as usize / 8));
        }
        line[index] = word;
    }
    None
}

/// The highest bit of each byte that is a line feed; perhaps of some after the first of them, too.
#[inline]
const fn line_feeds(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let others = word ^ (ONES * b'\n' as u64);
    others.wrapping_sub(ONES) & !others & (ONES << 7)
}

/// By multiplication, whose highest bits depend on all characters.
#[inline]
fn place(question: &Line) -> usize {
    /// 2^64 divided by the golden ratio.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = question
        .iter()
        .fold(0_u64, |mixed, word| (mixed.rotate_left(5) ^ word).wrapping_mul(FACTOR));
    (mixed >> (u64::BITS - PLACES.ilog2())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTH: VerbLabel = VerbLabel::from_byte(1);

    /// What the line that the input begins with comes to: its length, its verb and its reply.
    fn found(repeats: &Repeats<()>, input: &[u8]) -> Option<(usize, VerbLabel, Vec<u8>)> {
        repeats.find(input).map(|repeat| {
            let mut out = BytesMut::new();
            repeat.append_to(&mut out);
            (repeat.length, repeat.verb(), out.to_vec())
        })
    }

    #[test]
    fn a_line_is_found_again_whatever_follows_it() {
        let mut repeats = Repeats::default();
        assert_eq!(found(&repeats, b"nth 5\n"), None);
        repeats.keep(b"nth 5\n", NTH, b"OK 11\n");
        let expected = Some((6, NTH, b"OK 11\n".to_vec()));
        for followed in [
            "",
            "n",
            "nth 6\n",
            "nth 6\nnth 7\nnth 8\nnth 9\n",
            "\n\x0b\n\n\x0b\n\n",
            "\0\0",
        ] {
            let input = format!("nth 5\n{followed}");
            assert_eq!(found(&repeats, input.as_bytes()), expected, "{input:?}");
        }
        for other in ["nth 5", "nth 5\r\n", "nth 55\n", "nth 5\0\n", "nth 5\x0b\n", ""] {
            assert_eq!(found(&repeats, other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn a_line_of_any_length_that_is_short_is_found_again() {
        for length in 1..=LONGEST_QUESTION {
            let mut repeats = Repeats::default();
            let question = format!("{:x<1$}\n", "", length - 1);
            repeats.keep(question.as_bytes(), NTH, b"OK\n");
            for followed in ["", "y", "\n", "nth 6\nnth 7\nnth 8\nnth 9\n"] {
                let input = format!("{question}{followed}");
                let expected = Some((length, NTH, b"OK\n".to_vec()));
                assert_eq!(found(&repeats, input.as_bytes()), expected, "{input:?}");
            }
            assert_eq!(found(&repeats, format!("x{question}").as_bytes()), None);
        }
    }

    #[test]
    fn many_lines_never_get_the_reply_of_another() {
        let mut repeats = Repeats::default();
        for n in 0..10_000 {
            repeats.keep(format!("nth {n}\n").as_bytes(), NTH, format!("OK {n}\n").as_bytes());
        }
        let known = (0..10_000).filter(|n| {
            let question = format!("nth {n}\n");
            let found = found(&repeats, question.as_bytes());
            let is_known = found.is_some();
            assert!(
                found.is_none_or(|(_, _, reply)| reply == format!("OK {n}\n").as_bytes()),
                "{n}"
            );
            is_known
        });
        assert!(known.count() > PLACES / 2);
    }

    #[test]
    fn what_is_long_or_no_single_line_is_not_kept() {
        let mut repeats = Repeats::default();
        for question in [
            "isprime 1000000000000000003\n",
            "\nnth 5\n",
            "*2\r\n$3\r\nnth\r\n$1\r\n5\r\n",
            "nth 5",
            "",
        ] {
            repeats.keep(question.as_bytes(), NTH, b"OK\n");
            assert_eq!(found(&repeats, question.as_bytes()), None, "{question:?}");
        }
        repeats.keep(b"nth 5\n", NTH, &[b'x'; LONGEST_REPLY + 1]);
        assert_eq!(found(&repeats, b"nth 5\n"), None);
    }

    #[test]
    fn another_owner_finds_nothing() {
        let (one, other) = (Arc::new(1), Arc::new(2));
        let mut repeats = Repeats::default();
        repeats.belong_to(&one);
        repeats.keep(b"nth 5\n", NTH, b"OK 11\n");
        repeats.belong_to(&one);
        assert!(repeats.find(b"nth 5\n").is_some());
        repeats.belong_to(&other);
        assert!(repeats.find(b"nth 5\n").is_none());
    }
}
