//! Dialects: how requests are framed and replies are encoded. Lines for people, RESP for the clients of Redis, on one connection.
//!
//! [`Codec`] decides request by request: what begins with `*` is RESP, anything else a line. A reply is encoded in the dialect of its
//! request, by the [`Dialect`](super::Dialect) in the request's format; no room above distinguishes dialects.

mod lines;
mod resp;

pub use lines::{ParsedLine, parse_line};

use super::format::ReplyFormat;
use super::reply::Final;
use super::request::Request;
use super::{Code, Failure};
use bytes::BytesMut;
use std::fmt;

/// What was found in the input.
#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// A request.
    Request(Request<'a>),
    /// Input that the dialect answers itself: what is no request, and the handshake commands of RESP.
    Answer {
        /// How the reply is encoded.
        format: ReplyFormat,
        /// The reply.
        reply: Final,
        /// The connection is to be closed after it; no more is read.
        is_last: bool,
    },
}

impl Frame<'_> {
    /// An error reply, after which the session goes on.
    fn refused(format: ReplyFormat, failure: Failure) -> Self {
        Self::Answer {
            format,
            reply: Final::Reply(Err(failure)),
            is_last: false,
        }
    }

    /// An error reply, after which the connection is closed.
    fn broken(format: ReplyFormat, failure: Failure) -> Self {
        Self::Answer {
            format,
            reply: Final::Reply(Err(failure)),
            is_last: true,
        }
    }
}

/// What a framing made of the beginning of its input.
struct Decoded<'a> {
    /// How many bytes are done with. None, and no frame: more input is needed.
    used: usize,
    frame: Option<Frame<'a>>,
}

impl<'a> Decoded<'a> {
    /// The input is no whole request yet.
    const WAIT: Self = Self { used: 0, frame: None };

    /// These bytes need no reply.
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

/// Decodes the requests of one connection.
///
/// Holds no bytes itself. A request beyond the limit is answered once, as soon as the limit is passed, and then skipped as it
/// arrives, so that the caller holds no more than the limit and one read, whatever the peer sends.
#[derive(Debug)]
pub struct Codec {
    lines: lines::Framing,
    resp: resp::Framing,
}

impl Codec {
    /// A codec for requests of at most `limit` bytes. `id` is the answer to `CLIENT ID`.
    pub const fn new(limit: usize, id: u64) -> Self {
        Self {
            lines: lines::Framing::new(limit),
            resp: resp::Framing::new(limit, id),
        }
    }

    /// The next frame of the input, and how many bytes are done with; the rest is to be given again, followed by more.
    /// `has_ended`: no more will come.
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

/// Writes text as printable ASCII: every other character becomes `?`.
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
