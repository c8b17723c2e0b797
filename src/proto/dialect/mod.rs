//! Dialects: how requests are framed and replies are spelt. Lines for people, RESP for the clients of Redis, on one connection.
//!
//! [`Codec`] decides request by request: what begins with `*` is RESP, anything else a line. A reply is spelt in the dialect of its
//! request, by the [`Dialect`] that the request brings along; nobody above this room asks which one it is.

mod lines;
mod resp;

pub(super) use lines::Lines;

use super::reply::{Final, Interim};
use super::request::{Manner, Request};
use super::{Code, Failure, Tag};
use bytes::BytesMut;
use std::fmt;

/// How replies are spelt.
pub trait Dialect: Sync {
    /// Tells dialects apart, for people.
    fn name(&self) -> &'static str;

    /// True if replies leave in the order of their requests and each in one piece: a tag does not let a reply overtake, and rows wait
    /// for the reply they belong to.
    fn is_strict(&self) -> bool;

    /// Writes all that is left to say of a request. `rows`: those that waited for the reply; `None` if such a request has none.
    fn write_final(&self, out: &mut BytesMut, manner: &Manner, rows: Option<&[String]>, reply: &Final);

    /// Writes what is told before the final reply. A strict dialect is never given rows.
    fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim);
}

impl fmt::Debug for dyn Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Default for &'static dyn Dialect {
    /// Lines.
    fn default() -> Self {
        &lines::Lines
    }
}

/// What was found in the input.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// A request.
    Request(Request<'a>),
    /// Something that the dialect answers itself: what is no request, and the courtesies of RESP.
    Answer {
        /// How it is answered.
        manner: Manner,
        /// The answer.
        reply: Final,
        /// Nothing more is to be read behind it.
        is_last: bool,
    },
}

impl Frame<'_> {
    /// An error reply, after which the session goes on.
    fn refused(manner: Manner, failure: Failure) -> Self {
        Self::Answer {
            manner,
            reply: Final::Reply(Err(failure)),
            is_last: false,
        }
    }

    /// An error reply, and the end.
    fn broken(manner: Manner, failure: Failure) -> Self {
        Self::Answer {
            manner,
            reply: Final::Reply(Err(failure)),
            is_last: true,
        }
    }
}

/// What a framing made of the beginning of its input.
struct Step<'a> {
    /// How many bytes are done with. None, and no frame: more input is needed.
    used: usize,
    frame: Option<Frame<'a>>,
}

impl<'a> Step<'a> {
    /// What there is, is no whole request.
    const WAIT: Self = Self { used: 0, frame: None };

    /// Nothing is asked in these bytes.
    const fn skip(used: usize) -> Self {
        Self { used, frame: None }
    }

    const fn found(used: usize, frame: Frame<'a>) -> Self {
        Self {
            used,
            frame: Some(frame),
        }
    }
}

/// Takes requests off the input of one connection.
///
/// Holds no bytes itself. A request beyond the limit is answered once, as soon as the limit is passed, and then skipped as it
/// arrives, so that a peer cannot make anybody hold more than the limit and one read.
#[derive(Debug)]
pub struct Codec {
    lines: lines::Framing,
    resp: resp::Framing,
}

impl Codec {
    /// A codec for requests of at most `limit` bytes. `id` is what a client of RESP is told when it asks who it is.
    pub const fn new(limit: usize, id: u64) -> Self {
        Self {
            lines: lines::Framing::new(limit),
            resp: resp::Framing::new(limit, id),
        }
    }

    /// The next frame of the input, and how many bytes are done with; what is left is to be shown again, with more behind it.
    /// `has_ended`: nothing more will come.
    pub fn next<'a>(&mut self, input: &'a [u8], has_ended: bool) -> (usize, Option<Frame<'a>>) {
        let mut used = 0;
        while let Some(first) = input.get(used) {
            let rest = &input[used..];
            let is_resp = self.resp.is_skipping() || *first == b'*' && !self.lines.is_skipping();
            let step = match is_resp {
                true => self.resp.next(rest, has_ended),
                false => self.lines.next(rest, has_ended),
            };
            used += step.used;
            if step.frame.is_some() || step.used == 0 {
                return (used, step.frame);
            }
        }
        (used, None)
    }

    /// True while the rest of a request that was too long is being skipped.
    pub const fn is_skipping(&self) -> bool {
        self.lines.is_skipping() || self.resp.is_skipping()
    }
}

/// Text from anywhere, as printable ASCII: what else it holds becomes `?`.
fn write_printable(out: &mut BytesMut, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(text.chars().map(as_printable));
    }
}

fn as_printable(c: char) -> u8 {
    match c {
        ' '..='~' => c as u8,
        _ => b'?',
    }
}

fn write_fmt(out: &mut BytesMut, arguments: fmt::Arguments<'_>) {
    fmt::Write::write_fmt(out, arguments).expect("a BytesMut grows, so writing to it cannot fail");
}

/// The failure for a request beyond the limit.
fn too_long(limit: usize) -> Failure {
    let text = format!("the request is longer than {limit} bytes and was skipped");
    Failure::new(Code::LineTooLong, text)
}
