//! RESP2 and RESP3, the protocol of Redis, for any client of Redis. Framing here; `encoding` says how replies look,
//! `handshake` answers the commands that such clients send on connecting.
//!
//! A request is an array of bulk strings: `*2\r\n$3\r\nnth\r\n$1\r\n5\r\n`. After input that breaks this form it is not
//! known where the next request begins: it gets one error reply, and the connection is closed, as Redis does. An array
//! of a right form with a wrong content, or too much of it, gets an error reply and nothing else.
//!
//! The crate redis-protocol (6.0) was measured first: 279 ns and two allocations to read and answer a request of a
//! pipeline with its `Bytes`, 160 ns and one with its ranges, before the words are looked at; this takes 153 ns and
//! none, and includes that. Also, it cannot skip a bulk string that is too long, reports nothing before an array is
//! complete, and sets no limit to nesting.

mod encoding;
mod feed;
mod handshake;
mod replies;

use super::{Decoded, Frame, too_long};
use crate::proto::format::{Dialect, ReplyFormat};
use crate::proto::request::{Malformed, NumberRequest, Request};
use crate::proto::{Code, Failure, Few, Final, parse_word};
use encoding::{ClientList, Pairs, Resp2, Resp3};
use feed::Feed;
use handshake::{Client, Handshake, HandshakeReply};

pub(in crate::proto) use encoding::{write_bulk, write_length};
pub(in crate::proto) use replies::ReplyFraming;

/// The verb whose rows leave one by one.
const MONITOR: &[u8] = b"monitor";
/// The verb whose facts are a map.
const CONFIG: &[u8] = b"config";
/// Digits of the longest length that is read: fewer than those of 2^64.
const MAX_LENGTH_DIGITS: usize = 19;
/// The most words that an array may announce, and the most bytes of a bulk string. More is not skipped: it breaks the
/// form. Both are the limits of Valkey 8 (`processMultibulkBuffer` in networking.c: `INT_MAX`, and
/// `proto-max-bulk-len`, by default 512 MiB).
const MAX_ARRAY: u64 = i32::MAX as u64;
const MAX_BULK: u64 = 512 << 20;

/// The words of one request, as they came.
type Words<'a> = Few<&'a [u8], 4>;

/// Decodes arrays of bulk strings.
#[derive(Debug)]
pub(in crate::proto) struct Framing {
    limit: usize,
    skipping: Option<Skip>,
    client: Client,
}

/// The rest of a request that is skipped.
#[derive(Clone, Copy, Debug)]
struct Skip {
    /// Bytes left of the current word.
    bytes: u64,
    /// Words after it.
    words: u64,
}

/// Why a request cannot be read.
enum Stop {
    /// It has not arrived whole.
    Wait,
    /// It is no RESP.
    Broken(&'static str),
    /// It is larger than the limits allow: the error, and what is to be skipped from `at`.
    Refused { at: usize, failure: Failure, rest: Skip },
}

type Read<T> = Result<T, Stop>;

impl Framing {
    /// A framing for requests whose words have at most `limit` bytes together.
    pub(in crate::proto) const fn new(limit: usize) -> Self {
        Self {
            limit,
            skipping: None,
            client: Client::new(),
        }
    }

    /// Sets the answer to `CLIENT ID`, which is 0 before.
    pub(in crate::proto) const fn set_id(&mut self, id: u64) {
        self.client.id = id;
    }

    /// True between two requests of a client of which nothing is remembered.
    pub(in crate::proto) const fn is_new(&self) -> bool {
        self.skipping.is_none() && self.client.is_new()
    }

    /// True while the rest of a request is being skipped.
    pub(in crate::proto) const fn is_skipping(&self) -> bool {
        self.skipping.is_some()
    }

    /// The first request of the input.
    pub(in crate::proto) fn next<'a>(&mut self, input: &'a [u8], has_ended: bool) -> Decoded<'a> {
        let mut words = Words::default();
        let read = match self.skipping {
            Some(skip) => self.skip(input, skip),
            None => self.read(input, &mut words),
        };
        match read {
            Ok(used) if words.is_empty() => Decoded::skip(used),
            Ok(used) => Decoded::found(used, self.frame(&words)),
            Err(Stop::Wait) if has_ended => {
                let text = "the input ended within a request";
                let refused = Frame::refused(self.reply_format(), Failure::new(Code::Truncated, text));
                let is_answered = self.skipping.take().is_some();
                Decoded {
                    used: input.len(),
                    frame: (!is_answered).then_some(refused),
                }
            }
            Err(Stop::Wait) => Decoded::WAIT,
            Err(Stop::Refused { at, failure, rest }) => {
                self.skipping = Some(rest);
                Decoded::found(at, Frame::refused(self.reply_format(), failure))
            }
            Err(Stop::Broken(what)) => {
                let failure = Failure::new(Code::Syntax, format!("protocol error: {what}; closing the connection"));
                Decoded::found(input.len(), Frame::broken(self.reply_format(), failure))
            }
        }
    }

    /// The request that the input begins with, if it is a verb in lower case and up to 19 digits and no handshake
    /// command: the one that
    /// [`next`](Self::next) would find.
    #[inline]
    pub(in crate::proto) fn number_request<'a>(&self, input: &'a [u8]) -> Option<NumberRequest<'a>> {
        if self.is_skipping() || !input.starts_with(b"*2\r\n") {
            return None;
        }
        let mut words = Words::default();
        let used = self.read(input, &mut words).ok()?;
        let verb = words[0];
        let is_verb = !verb.is_empty() && verb.iter().all(u8::is_ascii_lowercase) && !handshake::is_command(verb);
        is_verb.then_some(NumberRequest {
            format: ReplyFormat {
                dialect: self.dialect_for(verb),
                ..ReplyFormat::default()
            },
            verb,
            number: parse_word(words[1])?,
            used,
        })
    }

    /// The words of one request, and how many bytes it took.
    fn read<'a>(&self, input: &'a [u8], words: &mut Words<'a>) -> Read<usize> {
        let (count, mut at) = length(input, b'*', MAX_ARRAY)?;
        if count > Request::MAX_WORDS as u64 {
            let failure = Failure::new(Code::Syntax, Malformed::TooManyWords.to_string());
            let rest = Skip { bytes: 0, words: count };
            return Err(Stop::Refused { at, failure, rest });
        }
        let mut left = self.limit as u64;
        for before in 0..count {
            let (bytes, header) = length(&input[at..], b'$', MAX_BULK)?;
            at += header;
            if bytes > left {
                let rest = Skip {
                    bytes: bytes + 2,
                    words: count - before - 1,
                };
                let failure = too_long(self.limit);
                return Err(Stop::Refused { at, failure, rest });
            }
            left -= bytes;
            // A length within the limit is an index.
            let end = at + bytes as usize;
            match input.get(end..end + 2) {
                Some(b"\r\n") => words.push(&input[at..end]),
                Some(_) => return Err(Stop::Broken("no line end after a bulk string")),
                None => return Err(Stop::Wait),
            }
            at = end + 2;
        }
        Ok(at)
    }

    /// Skips the rest of a request as far as it has come; how many bytes that were.
    fn skip(&mut self, input: &[u8], mut rest: Skip) -> Read<usize> {
        let mut at = 0;
        loop {
            let here = rest.bytes.min((input.len() - at) as u64);
            at += here as usize;
            rest.bytes -= here;
            if rest.words == 0 && rest.bytes == 0 {
                self.skipping = None;
                return Ok(at);
            }
            self.skipping = Some(rest);
            if rest.bytes > 0 {
                return Ok(at);
            }
            match length(&input[at..], b'$', MAX_BULK) {
                Ok((bytes, header)) => {
                    at += header;
                    rest = Skip {
                        bytes: bytes + 2,
                        words: rest.words - 1,
                    };
                }
                // What was skipped on the way is done with.
                Err(Stop::Wait) if at > 0 => return Ok(at),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// A password was checked: the reply, if it came with a `HELLO` and is right.
    pub(in crate::proto) fn end_login(&mut self, is_granted: bool) -> Option<Final> {
        self.client.end_login(is_granted)
    }

    /// The name of the client, if it is another one since this was last asked; empty: it has none.
    pub(in crate::proto) fn take_name(&mut self) -> Option<String> {
        self.client.take_name()
    }

    /// How the next reply is encoded.
    pub(in crate::proto) fn reply_format(&self) -> ReplyFormat {
        ReplyFormat {
            dialect: self.dialect(),
            ..ReplyFormat::default()
        }
    }

    fn dialect(&self) -> &'static dyn Dialect {
        if self.client.speaks_resp3 { &Resp3 } else { &Resp2 }
    }

    /// The frame for the words of a request.
    fn frame<'a>(&mut self, words: &[&'a [u8]]) -> Frame<'a> {
        match self.client.answer(words) {
            None => self.request(words, self.dialect_for(words[0])),
            Some(Handshake::Reply(HandshakeReply {
                reply,
                is_last,
                logs_out,
            })) => Frame::Answer {
                format: self.reply_format(),
                reply,
                is_last,
                logs_out,
            },
            Some(Handshake::Request(words)) => {
                let frame = self.request(&words, self.dialect());
                if !matches!(frame, Frame::Request(_)) {
                    // No password is checked, so nothing will greet.
                    self.client.end_login(false);
                }
                frame
            }
            Some(Handshake::List) => self.request(&[b"clients"], &ClientList),
        }
    }

    /// How the reply to a verb is encoded.
    fn dialect_for(&self, verb: &[u8]) -> &'static dyn Dialect {
        match self.client.speaks_resp3 {
            // With a tag it would overtake, which no reply in RESP may.
            _ if verb.eq_ignore_ascii_case(MONITOR) => &Feed,
            true if verb.eq_ignore_ascii_case(CONFIG) => &Pairs { is_resp3: true },
            false if verb.eq_ignore_ascii_case(CONFIG) => &Pairs { is_resp3: false },
            _ => self.dialect(),
        }
    }

    fn request<'a>(&self, words: &[&'a [u8]], dialect: &'static dyn Dialect) -> Frame<'a> {
        let texts: Option<Few<&'a str, 4>> = words.iter().map(|word| as_word(word)).collect();
        let Some(texts) = texts else {
            let text = "a word of a request is printable ASCII without spaces, and not empty; try 'help'";
            return Frame::refused(self.reply_format(), Failure::new(Code::Syntax, text));
        };
        match Request::from_words(dialect, texts.iter().copied()) {
            Ok(request) => Frame::Request(request),
            Err((_, malformed)) => {
                Frame::refused(self.reply_format(), Failure::new(Code::Syntax, malformed.to_string()))
            }
        }
    }
}

/// The length after `mark`, up to its line end, and how many bytes all of it takes. As Valkey reads it (`string2ll` in
/// util.c): no leading zeros, no plus sign; an array of a negative length is one without words, a bulk string of a
/// negative length breaks the form.
fn length(input: &[u8], mark: u8, most: u64) -> Read<(u64, usize)> {
    // Nearly all have one digit.
    if let [first, digit @ b'1'..=b'9', b'\r', b'\n', ..] = input
        && *first == mark
    {
        return Ok((u64::from(*digit - b'0'), 4));
    }
    match input.first() {
        None => return Err(Stop::Wait),
        Some(first) if *first == mark => {}
        Some(_) if mark == b'*' => return Err(Stop::Broken("expected '*'")),
        Some(_) => return Err(Stop::Broken("expected '$': a request is an array of bulk strings")),
    }
    let is_negative = input.get(1) == Some(&b'-');
    let begins = if is_negative { 2 } else { 1 };
    let invalid = match mark {
        b'*' => Stop::Broken("invalid array length"),
        _ => Stop::Broken("invalid bulk string length"),
    };
    let mut number = 0u64;
    for (index, byte) in input[begins..].iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        let is_after_zero = index == 1 && number == 0;
        if digit < 10 && index < MAX_LENGTH_DIGITS && !is_after_zero {
            // 19 nines are below 2^64.
            number = number * 10 + u64::from(digit);
        } else if *byte == b'\r' && index > 0 {
            let end = begins + index + 2;
            return match (input.get(end - 1), is_negative) {
                (None, _) => Err(Stop::Wait),
                (Some(b'\n'), false) if number <= most => Ok((number, end)),
                (Some(b'\n'), true) if number > 0 && mark == b'*' => Ok((0, end)),
                _ => Err(invalid),
            };
        } else {
            return Err(invalid);
        }
    }
    Err(Stop::Wait)
}

/// A word that a line could hold too.
fn as_word(word: &[u8]) -> Option<&str> {
    let is_word = !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    is_word.then(|| std::str::from_utf8(word).ok()).flatten()
}

#[cfg(test)]
mod tests;
