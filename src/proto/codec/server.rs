//! The side of the server: decodes requests, encodes replies.

use super::Request;
use crate::proto::dialect::{Frame, lines, resp};
use crate::proto::format::ReplyFormat;
use crate::proto::reply::short_duration;
use crate::proto::{Code, Failure, Final, Interim, NumberRequest, Reply};
use bytes::{Buf, BytesMut};
use std::io;
use std::time::Duration;
use tokio_util::codec::{Decoder, Encoder};

/// The codec of a server. What begins with `*` is a request of RESP, anything else a line; both may be mixed on one
/// connection.
///
/// It holds no bytes itself. A request beyond the limit is answered once, as soon as the limit is passed, and then
/// skipped as it arrives, so that the caller holds no more than the limit and one read, whatever the peer sends.
///
/// As a [`Decoder`] it yields [`Incoming`]: what is wrong is an item with its error reply, and no error of the stream.
/// Replies are to be sent in the order of the requests, but for those whose request has a tag, in lines.
#[derive(Debug)]
pub struct ServerCodec {
    lines: lines::Framing,
    resp: resp::Framing,
    /// The connection is to be closed: the rest of the input is dropped.
    is_over: bool,
}

impl ServerCodec {
    /// A codec for requests of at most `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Self {
            lines: lines::Framing::new(limit),
            resp: resp::Framing::new(limit),
            is_over: false,
        }
    }

    /// The same codec for the client with this ID: what `CLIENT ID` answers in RESP.
    pub const fn with_id(mut self, id: u64) -> Self {
        self.resp.set_id(id);
        self
    }

    /// The longest request, in bytes.
    #[doc(hidden)]
    pub const fn limit(&self) -> usize {
        self.lines.limit()
    }

    /// True if it has seen nothing that what comes next depends on.
    #[doc(hidden)]
    pub const fn is_new(&self) -> bool {
        !self.is_over && self.lines.is_new() && self.resp.is_new()
    }

    /// The next frame of the input, and how many bytes are done with; the rest is to be given again, followed by more.
    /// `has_ended`: no more will come. The frame borrows from the input: [`Decoder`] is this with a copy.
    #[doc(hidden)]
    pub fn next<'a>(&mut self, input: &'a [u8], has_ended: bool) -> (usize, Option<Frame<'a>>) {
        let mut before = 0;
        loop {
            let (_, used, frame) = self.next_after(&input[before..], has_ended);
            before += used;
            if frame.is_some() || used < Self::MANY_SKIPPED {
                return (before, frame);
            }
        }
    }

    /// Bytes that ask nothing, of which [`next_after`](Self::next_after) looks at no more at once: some 10 µs of blank
    /// lines.
    #[doc(hidden)]
    pub const MANY_SKIPPED: usize = 1 << 10;

    /// The same, and before it how many of these bytes ask nothing: what is skipped, blank lines, comments. The frame
    /// that follows them may be left to be found again, and they may not: what was skipped would be a request. If there
    /// is no frame, but [`MANY_SKIPPED`](Self::MANY_SKIPPED) bytes or more are done with, the rest may have one.
    #[doc(hidden)]
    pub fn next_after<'a>(&mut self, input: &'a [u8], has_ended: bool) -> (usize, usize, Option<Frame<'a>>) {
        let mut used = 0;
        while let Some(first) = input.get(used) {
            let rest = &input[used..];
            let is_resp = self.resp.is_skipping() || *first == b'*' && !self.lines.is_skipping();
            let step = match is_resp {
                true => self.resp.next(rest, has_ended),
                false => self.lines.next(rest, has_ended),
            };
            let before = used;
            used += step.used;
            if step.frame.is_some() || step.used == 0 {
                return (before, used, step.frame);
            }
            if used >= Self::MANY_SKIPPED {
                break;
            }
        }
        (used, used, None)
    }

    /// The request that the input begins with, if it is one of the kind that is sent most: [`next`](Self::next) would
    /// find the same in four times the time. The input is to begin where `next` has left nothing unread.
    #[doc(hidden)]
    #[inline]
    pub fn number_request<'a>(&self, input: &'a [u8]) -> Option<NumberRequest<'a>> {
        match input.first()? {
            b'*' if !self.lines.is_skipping() => self.resp.number_request(input),
            _ if self.resp.is_skipping() => None,
            _ => self.lines.number_request(input),
        }
    }

    /// The password of the latest request `auth` was checked, before anything after it was decoded: the reply, if it is
    /// right and came with a `HELLO` of RESP.
    #[doc(hidden)]
    pub fn end_login(&mut self, is_granted: bool) -> Option<Final> {
        self.resp.end_login(is_granted)
    }

    /// The name that the client has given itself in RESP, if it is another one since this was last asked; empty: it has
    /// none.
    #[doc(hidden)]
    pub fn take_name(&mut self) -> Option<String> {
        self.resp.take_name()
    }

    /// True while the rest of a request that was too long is being skipped.
    #[doc(hidden)]
    pub const fn is_skipping(&self) -> bool {
        self.lines.is_skipping() || self.resp.is_skipping()
    }

    /// The error for a request whose rest has not arrived within `waited`, in its dialect and with its tag; the
    /// connection is to be closed after it. `unread` is the input that is left. `None` if it ends between two requests.
    #[doc(hidden)]
    pub fn stalled(&self, unread: &[u8], waited: Duration) -> Option<Frame<'static>> {
        let first = unread.first();
        if first.is_none() && !self.is_skipping() {
            return None;
        }
        let is_resp = self.resp.is_skipping() || first == Some(&b'*') && !self.lines.is_skipping();
        let format = match is_resp {
            true => self.resp.reply_format(),
            // What is skipped has had its reply with its tag.
            false => lines::format_of(if self.lines.is_skipping() { &[] } else { unread }),
        };
        let waited = short_duration(waited);
        let text = format!("the rest of the request did not arrive within {waited}; closing the connection");
        Some(Frame::broken(format, Failure::new(Code::Truncated, text)))
    }

    fn take(&mut self, input: &mut BytesMut, has_ended: bool) -> Option<Incoming> {
        if self.is_over {
            input.clear();
            return None;
        }
        let (used, frame) = self.next(input, has_ended);
        let incoming = frame.map(Incoming::from);
        input.advance(used);
        if let Some(Incoming::Answered(outgoing)) = &incoming {
            self.is_over = outgoing.is_last();
        }
        incoming
    }
}

impl Decoder for ServerCodec {
    type Item = Incoming;
    type Error = io::Error;

    fn decode(&mut self, input: &mut BytesMut) -> io::Result<Option<Incoming>> {
        Ok(self.take(input, false))
    }

    fn decode_eof(&mut self, input: &mut BytesMut) -> io::Result<Option<Incoming>> {
        Ok(self.take(input, true))
    }
}

impl Encoder<Outgoing> for ServerCodec {
    type Error = io::Error;

    fn encode(&mut self, Outgoing { format, part, .. }: Outgoing, out: &mut BytesMut) -> io::Result<()> {
        match part {
            OutgoingPart::Interim(interim) => format.dialect.write_interim(out, format.tag.as_ref(), &interim),
            OutgoingPart::Final(rows, reply) => format.dialect.write_final(out, &format, rows.as_deref(), &reply),
        }
        Ok(())
    }
}

/// What a server decodes.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A request.
    Request {
        /// The request.
        request: Request,
        /// How its reply is to be encoded.
        format: ReplyFormat,
    },
    /// Input that has its reply already: the error for what is no request, or the answer to a handshake command of
    /// RESP.
    Answered(Outgoing),
}

impl From<Frame<'_>> for Incoming {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Request(request) => Self::Request {
                request: Request::from(&request),
                format: request.format,
            },
            Frame::Answer {
                format, reply, is_last, ..
            } => Self::Answered(Outgoing {
                format,
                part: OutgoingPart::Final(None, reply),
                is_last,
            }),
        }
    }
}

/// What a server encodes: a reply, or what comes before one.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    format: ReplyFormat,
    part: OutgoingPart,
    is_last: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum OutgoingPart {
    Interim(Interim),
    Final(Option<Vec<String>>, Final),
}

impl Outgoing {
    /// The final reply to the request with this format.
    pub const fn reply(format: ReplyFormat, reply: Reply) -> Self {
        Self::new(format, OutgoingPart::Final(None, Final::Reply(reply)))
    }

    /// Rows and the final reply.
    pub const fn rows(format: ReplyFormat, rows: Vec<String>, reply: Reply) -> Self {
        Self::new(format, OutgoingPart::Final(Some(rows), Final::Reply(reply)))
    }

    /// What comes before the final reply. `None` for rows in RESP, where all of them go with the final reply.
    pub fn interim(format: ReplyFormat, interim: Interim) -> Option<Self> {
        match interim {
            Interim::Rows(_) if format.dialect.is_strict() => None,
            interim => Some(Self::new(format, OutgoingPart::Interim(interim))),
        }
    }

    const fn new(format: ReplyFormat, part: OutgoingPart) -> Self {
        let is_last = false;
        Self { format, part, is_last }
    }

    /// True if the connection is to be closed after it.
    pub const fn is_last(&self) -> bool {
        self.is_last
    }
}
