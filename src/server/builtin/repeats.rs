//! Short lines that are asked over and over, and their replies, byte for byte. Plain data; knows no socket and no verb.
//!
//! To read `nth 7`, look it up and encode the reply takes some 100 ns, to find the same bytes again takes 15: in a deep pipeline that is what
//! divides a session from a bare loop over a table. Only answers that never change come in here, only untagged, and only as lines.
//! One place a line, by its hash: what is asked more often is in there more often, and there is nothing to tidy up.

use crate::metrics::VerbLabel;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::sync::{Arc, Weak};

/// The longest line that is kept, with its line feed.
const LONGEST_QUESTION: usize = 24;
/// The longest reply that is kept.
const LONGEST_REPLY: usize = 37;
/// Places; a power of two. Together they take 32 KiB for each thread that serves connections.
const PLACES: usize = 512;

/// One line and its reply, in a line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Pair {
    question: [u8; LONGEST_QUESTION],
    reply: [u8; LONGEST_REPLY],
    question_len: u8,
    reply_len: u8,
    /// The verb, as the metrics name it.
    verb: u8,
}

const NOTHING: Pair = Pair {
    question: [0; LONGEST_QUESTION],
    reply: [0; LONGEST_REPLY],
    question_len: 0,
    reply_len: 0,
    verb: 0,
};

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

    /// If the input begins with a line that is known: how long the line is with its line feed, its verb, and the reply.
    pub(super) fn find(&self, input: &[u8]) -> Option<(usize, VerbLabel, &[u8])> {
        let question = first_line(input)?;
        let pair = self.pairs.get(place(question))?;
        let is_known = pair.question[..usize::from(pair.question_len)] == *question;
        is_known.then(|| {
            let verb = VerbLabel::from_byte(pair.verb);
            (question.len(), verb, &pair.reply[..usize::from(pair.reply_len)])
        })
    }

    /// Keeps a reply, if question and reply are short and the question is one line.
    pub(super) fn keep(&mut self, question: &[u8], verb: VerbLabel, reply: &[u8]) {
        let Some(verb) = verb.to_byte() else {
            return;
        };
        if first_line(question) != Some(question) || reply.len() > LONGEST_REPLY {
            return;
        }
        if self.pairs.is_empty() {
            self.pairs = vec![NOTHING; PLACES];
        }
        let pair = &mut self.pairs[place(question)];
        pair.question[..question.len()].copy_from_slice(question);
        pair.reply[..reply.len()].copy_from_slice(reply);
        pair.question_len = question.len() as u8;
        pair.reply_len = reply.len() as u8;
        pair.verb = verb;
    }
}

/// The first line, with its line feed, if it is short.
fn first_line(input: &[u8]) -> Option<&[u8]> {
    let beginning = &input[..input.len().min(LONGEST_QUESTION)];
    let end = beginning.iter().position(|byte| *byte == b'\n')?;
    Some(&beginning[..=end])
}

fn place(question: &[u8]) -> usize {
    let mut hasher = FxHasher::default();
    hasher.write(question);
    hasher.finish() as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    const NTH: VerbLabel = VerbLabel::from_byte(1);

    #[test]
    fn a_line_is_found_again_whatever_follows_it() {
        let mut repeats = Repeats::<()>::default();
        assert_eq!(repeats.find(b"nth 5\n"), None);
        repeats.keep(b"nth 5\n", NTH, b"OK 11\n");
        assert_eq!(repeats.find(b"nth 5\nnth 6\n"), Some((6, NTH, &b"OK 11\n"[..])));
        assert_eq!(repeats.find(b"nth 5"), None);
        assert_eq!(repeats.find(b"nth 5\r\n"), None);
        assert_eq!(repeats.find(b"nth 55\n"), None);
        assert_eq!(repeats.find(b""), None);
    }

    #[test]
    fn many_lines_never_get_the_reply_of_another() {
        let mut repeats = Repeats::<()>::default();
        for n in 0..10_000 {
            repeats.keep(format!("nth {n}\n").as_bytes(), NTH, format!("OK {n}\n").as_bytes());
        }
        let known = (0..10_000).filter(|n| {
            let question = format!("nth {n}\n");
            let found = repeats.find(question.as_bytes());
            assert!(
                found.is_none_or(|(_, _, reply)| reply == format!("OK {n}\n").as_bytes()),
                "{n}"
            );
            found.is_some()
        });
        assert!(known.count() > PLACES / 2);
    }

    #[test]
    fn what_is_long_or_no_single_line_is_not_kept() {
        let mut repeats = Repeats::<()>::default();
        for question in [
            "isprime 1000000000000000003\n",
            "\nnth 5\n",
            "*2\r\n$3\r\nnth\r\n$1\r\n5\r\n",
            "nth 5",
            "",
        ] {
            repeats.keep(question.as_bytes(), NTH, b"OK\n");
            assert_eq!(repeats.find(question.as_bytes()), None, "{question:?}");
        }
        repeats.keep(b"nth 5\n", NTH, &[b'x'; LONGEST_REPLY + 1]);
        assert_eq!(repeats.find(b"nth 5\n"), None);
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
        assert_eq!(repeats.find(b"nth 5\n"), None);
    }
}
