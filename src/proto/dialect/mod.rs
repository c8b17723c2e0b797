//! Dialects: how requests are framed and replies are encoded. Lines for people, RESP for the clients of Redis, on one
//! connection.
//!
//! A reply is encoded in the dialect of its request, by the [`Dialect`](super::format::Dialect) in the request's
//! format; no module above distinguishes dialects.

pub(super) mod lines;
pub(super) mod resp;

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
        /// Its client is nobody from here on, where there are users.
        logs_out: bool,
    },
}

impl Frame<'_> {
    /// An error reply, after which the session goes on.
    fn refused(format: ReplyFormat, failure: Failure) -> Self {
        Self::Answer {
            format,
            reply: Final::Reply(Err(failure)),
            is_last: false,
            logs_out: false,
        }
    }

    /// An error reply, after which the connection is closed.
    pub(super) fn broken(format: ReplyFormat, failure: Failure) -> Self {
        Self::Answer {
            format,
            reply: Final::Reply(Err(failure)),
            is_last: true,
            logs_out: false,
        }
    }
}

/// What a framing made of the beginning of its input.
pub(super) struct Decoded<'a> {
    /// How many bytes are done with. None, and no frame: more input is needed.
    pub(super) used: usize,
    pub(super) frame: Option<Frame<'a>>,
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
