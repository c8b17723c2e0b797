//! Lines: a request a line, for people at netcat and for scripts. Framing and parsing here; `number_line` is the short
//! way to most requests, and `encoding` says how replies look.

mod encoding;
mod http;
mod number_line;
mod replies;

pub use replies::{ReplyLine, split_tag};

pub(in crate::proto) use replies::ReplyFraming;

use super::{Decoded, Frame, too_long};
use crate::proto::format::ReplyFormat;
use crate::proto::request::{Malformed, Request};
use crate::proto::{Code, Failure, Tag};
use encoding::Lines;

/// Cuts input into lines of bounded length.
#[derive(Debug)]
pub(in crate::proto) struct Framing {
    limit: usize,
    /// How much of the input has been searched already, so that a line which dribbles in is not searched over again.
    searched: usize,
    skipping: bool,
}

impl Framing {
    /// A framing for lines of at most `limit` bytes, the line feed not counted.
    pub(in crate::proto) const fn new(limit: usize) -> Self {
        Self {
            limit,
            searched: 0,
            skipping: false,
        }
    }

    /// The longest line, in bytes.
    pub(in crate::proto) const fn limit(&self) -> usize {
        self.limit
    }

    /// True between two lines.
    pub(in crate::proto) const fn is_new(&self) -> bool {
        self.searched == 0 && !self.skipping
    }

    /// True while the rest of a line that was too long is being skipped.
    pub(in crate::proto) const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The first line of the input.
    pub(in crate::proto) fn next<'a>(&mut self, input: &'a [u8], has_ended: bool) -> Decoded<'a> {
        let found = memchr::memchr(b'\n', &input[self.searched..]).map(|at| self.searched + at);
        self.searched = 0;
        match found {
            Some(end) if self.skipping => {
                self.skipping = false;
                Decoded::skip(end + 1)
            }
            Some(end) => {
                let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
                Decoded {
                    used: end + 1,
                    frame: self.read(line, true),
                }
            }
            None if self.skipping => Decoded::skip(input.len()),
            // The client waits for an answer, and its record need not have a line feed.
            None if looks_like_tls(input) => Decoded::found(input.len(), tls()),
            // One more than the limit may still be the CR of a line that fits.
            None if input.len() > self.limit.saturating_add(1) => {
                self.skipping = true;
                Decoded {
                    used: input.len(),
                    frame: self.too_long(input),
                }
            }
            None if has_ended => Decoded {
                used: input.len(),
                frame: self.read(input.strip_suffix(b"\r").unwrap_or(input), false),
            },
            None => {
                self.searched = input.len();
                Decoded::WAIT
            }
        }
    }

    /// The answer to a line that is longer than the limit; nothing for a comment. Its tag counts if it lies within the
    /// limit, which is all that is sure to have arrived: so the answer is the same however the line arrives.
    fn too_long(&self, line: &[u8]) -> Option<Frame<'static>> {
        let head = &line[..self.limit];
        let format = format_of(head);
        // A line of text is skipped to its end. Other bytes are no line, and may have no end.
        let is_text = head.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\r'));
        match is_comment(head) {
            true => None,
            false if http::begins_http(head) => Some(no_http()),
            false if is_text => Some(Frame::refused(format, too_long(self.limit))),
            false => {
                let limit = self.limit;
                let text = format!("{limit} bytes without a line feed that are not text; closing the connection");
                Some(Frame::broken(format, Failure::new(Code::Syntax, text)))
            }
        }
    }

    /// What a line comes to; nothing for a blank one or a comment.
    #[inline]
    fn read<'a>(&self, line: &'a [u8], is_finished: bool) -> Option<Frame<'a>> {
        if line.len() > self.limit {
            // Also if it had arrived in pieces, its beginning would have been recognised first.
            return match looks_like_tls(line) {
                true => Some(tls()),
                false => self.too_long(line),
            };
        }
        Some(match parse_line(line) {
            Ok(ParsedLine::Blank) => return None,
            Err(_) if looks_like_tls(line) => tls(),
            Ok(ParsedLine::Http) => no_http(),
            // Half a number would be another number; but a client that sends one number and hangs up means it.
            Ok(ParsedLine::Request(request)) if is_finished || request.format.is_bare => Frame::Request(request),
            Ok(ParsedLine::Request(request)) => {
                let text = "the input ended within a line; end every line with a line feed";
                Frame::refused(request.format, Failure::new(Code::Truncated, text))
            }
            Err((tag, malformed)) => Frame::refused(tagged(tag), Failure::new(Code::Syntax, malformed.to_string())),
        })
    }
}

/// A line, taken apart.
#[derive(Debug, PartialEq)]
pub enum ParsedLine<'a> {
    /// Blank, or a `#` comment: it asks nothing and gets no reply.
    Blank,
    /// A request.
    Request(Request<'a>),
    /// The beginning of an HTTP request: a web page tries to drive the daemon, and must not.
    Http,
}

/// Takes a line apart.
///
/// # Errors
/// What is malformed, with the tag if one could be read, so that the error reply can bear it.
#[inline]
pub fn parse_line(line: &[u8]) -> Result<ParsedLine<'_>, (Option<Tag>, Malformed)> {
    if http::is_http(line) {
        return Ok(ParsedLine::Http);
    }
    let Some(text) = printable(line) else {
        return match is_comment(line) {
            true => Ok(ParsedLine::Blank),
            false => Err((Tag::before(line), Malformed::NotText)),
        };
    };
    let text = text.trim_ascii_start();
    if matches!(text.as_bytes().first(), None | Some(b'#')) {
        return Ok(ParsedLine::Blank);
    }
    Request::from_words(&Lines, Words(text)).map(ParsedLine::Request)
}

/// The words of a printable text, in which a byte up to the space is a space or a tab.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let is_of_word = |byte: &u8| *byte > b' ';
        let bytes = self.0.as_bytes();
        let begin = bytes.iter().position(is_of_word)?;
        let length = bytes[begin..].iter().position(|byte| !is_of_word(byte));
        let (word, rest) = self.0[begin..].split_at(length.unwrap_or(bytes.len() - begin));
        self.0 = rest;
        Some(word)
    }
}

/// The text of a line, if it is printable ASCII and tabs.
#[inline]
fn printable(line: &[u8]) -> Option<&str> {
    let (eights, rest) = line.as_chunks();
    let is_printable = |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let all = eights.iter().all(|eight| has_no_control(*eight) || is_printable(eight)) && is_printable(rest);
    all.then(|| std::str::from_utf8(line).ok()).flatten()
}

/// True if all are printable. A control character, DEL or a byte beyond ASCII may make others look so too.
#[inline]
const fn has_no_control(eight: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_ne_bytes(eight);
    (word | word.wrapping_sub(b' ' as u64 * EACH) | word.wrapping_add(EACH)) & (0x80 * EACH) == 0
}

/// True if a line is a comment, whatever bytes it holds.
fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"#")
}

/// The reply format of a line of which this is the beginning.
pub(in crate::proto) fn format_of(line: &[u8]) -> ReplyFormat {
    tagged(Tag::before(line))
}

/// The reply format of a line with this tag.
fn tagged(tag: Option<Tag>) -> ReplyFormat {
    ReplyFormat {
        tag,
        ..ReplyFormat::default()
    }
}

/// Whether this is the greeting of a client of TLS: a record of the kind 'handshake', and the major version, which is 3
/// (RFC 8446, section 5.1).
fn looks_like_tls(input: &[u8]) -> bool {
    input.starts_with(b"\x16\x03")
}

fn tls() -> Frame<'static> {
    let text = "this port speaks plain text; 'primed serve --tls-listen ADDR:PORT' opens one that speaks TLS; closing the connection";
    Frame::broken(ReplyFormat::default(), Failure::new(Code::Denied, text))
}

fn no_http() -> Frame<'static> {
    let text =
        "this port does not speak HTTP; 'primed serve --http ADDR:PORT' opens one that does; closing the connection";
    Frame::broken(ReplyFormat::default(), Failure::new(Code::Denied, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Final;

    /// What is found in these lines: the words of requests, the codes of refusals.
    fn found(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut framing = Framing::new(limit);
        let (mut held, mut found) = (Vec::new(), Vec::new());
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            held.extend_from_slice(piece);
            while !held.is_empty() {
                let Decoded { used, frame } = framing.next(&held, index == last);
                found.extend(frame.map(|frame| match frame {
                    Frame::Request(request) => format!("{} {}", request.verb, request.args.join(" ")),
                    Frame::Answer {
                        format,
                        reply: Final::Reply(Err(failure)),
                        ..
                    } => {
                        let tag = format.tag.map(|tag| format!("@{tag} "));
                        format!("{}{}", tag.unwrap_or_default(), failure.code)
                    }
                    answer => format!("{answer:?}"),
                }));
                held.drain(..used);
                if used == 0 {
                    break;
                }
            }
        }
        found
    }

    #[test]
    fn lines_end_with_lf_or_crlf() {
        assert_eq!(found(9, &[b"a b\r\n\nc d\n"]), ["a b", "c d"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_the_next_is_read() {
        assert_eq!(found(3, &[b"12345678", b"90", b"12\na b\n"]), ["line-too-long", "a b"]);
        assert_eq!(found(3, &[b"1234\na b\n"]), ["line-too-long", "a b"]);
        assert_eq!(found(3, &[b"1 2\r\na b\n"]), ["1 2", "a b"]);
        assert_eq!(found(3, &[b"1234"]), ["line-too-long"]);
        assert_eq!(found(usize::MAX, &[b"a ", b"b\n"]), ["a b"], "there is no limit");
    }

    #[test]
    fn a_line_that_is_too_long_or_no_text_keeps_its_tag_however_it_is_cut() {
        let limit = 12;
        for (line, answer) in [
            ("@a pi 1234567890\n", "@a line-too-long"),
            (" \t@a\tpi 1234567890\r\n", "@a line-too-long"),
            ("@a 234567890\r\n", "nth 234567890"),
            ("@a 2345678901\r\n", "@a line-too-long"),
            ("@a 2345678901", "@a line-too-long"),
            // The whole of the tag lies within the limit, or it is none.
            ("@1234567890 5\n", "@1234567890 line-too-long"),
            ("@12345678901 5\n", "line-too-long"),
            ("@a/b 1234567890\n", "line-too-long"),
            ("@ a 1234567890\n", "line-too-long"),
            ("x @a 1234567890\n", "line-too-long"),
            ("@a pi \u{e9}\n", "@a syntax"),
            ("\t@a\tpi \0\n", "@a syntax"),
            ("@a\u{e9} pi 5\n", "syntax"),
            ("@a \0 pi 1234567890\n", "@a syntax"),
            ("\0\0\0\0\0\0\0\0\0\0\0\0\0\n", "syntax"),
            ("$\0\0\0\0\0\0\0\0\0\0\0\0\0", "syntax"),
        ] {
            let line = line.as_bytes();
            for at in 0..=line.len() {
                let (head, tail) = line.split_at(at);
                assert_eq!(found(limit, &[head, tail]), [answer], "{line:?} at {at}");
            }
            let bytes: Vec<&[u8]> = line.chunks(1).collect();
            assert_eq!(found(limit, &bytes), [answer], "{line:?}");
        }
    }

    #[test]
    fn a_web_page_is_refused_also_if_its_line_is_too_long_or_no_text() {
        for line in ["GET /3456789012345 HTTP/1.1\n", "QUERY / HTTP/1.1\n", "GET /\u{e9}\n"] {
            for at in 0..=line.len() {
                let (head, tail) = line.as_bytes().split_at(at);
                let answers = found(12, &[head, tail]);
                assert_eq!(answers.first().map(String::as_str), Some("denied"), "{line:?} at {at}");
            }
        }
    }

    #[test]
    fn a_comment_asks_nothing_whatever_it_says_and_however_long_it_is() {
        for comment in ["# a comment that is too long\n", " #\u{e9}\0\n", "#\n"] {
            let input = [comment.as_bytes(), b"pi 5\n"].concat();
            for at in 0..=input.len() {
                let (head, tail) = input.split_at(at);
                assert_eq!(found(12, &[head, tail]), ["pi 5"], "{comment:?} at {at}");
            }
        }
    }

    #[test]
    fn input_that_ends_in_a_line_is_truncated_unless_it_is_a_bare_number() {
        assert_eq!(found(9, &[b"a b\npi 5"]), ["a b", "truncated"]);
        assert_eq!(found(9, &[b"pi 5\r"]), ["truncated"], "half a line end is none");
        assert_eq!(found(9, &[b"100"]), ["nth 100"]);
    }

    fn request(line: &str) -> Request<'_> {
        match parse_line(line.as_bytes()) {
            Ok(ParsedLine::Request(request)) => request,
            other => panic!("{line:?} gave {other:?}"),
        }
    }

    #[test]
    fn a_request_is_tag_verb_args_and_options() {
        let request = request("@a.1 pi  1e16\tdeadline=60s progress=1s ");
        assert_eq!(request.format.tag, Tag::parse("a.1"));
        assert_eq!(request.verb, "pi");
        assert_eq!(*request.args, ["1e16"]);
        assert_eq!(request.option("DEADLINE"), Some("60s"));
        assert!(!request.format.is_bare);
    }

    #[test]
    fn a_line_that_is_only_a_number_means_nth() {
        for (line, is_bare) in [
            ("100000", true),
            (" 10**6 ", true),
            ("@t 5", false),
            ("5 deadline=1s", false),
        ] {
            let request = request(line);
            assert_eq!(
                (request.verb, request.args.len(), request.format.is_bare),
                ("nth", 1, is_bare),
                "{line}"
            );
        }
        assert_eq!(request("5 6").verb, "5");
    }

    #[test]
    fn blank_lines_and_comments_ask_nothing() {
        for line in ["", "   ", "# pi 5", "\t"] {
            assert_eq!(parse_line(line.as_bytes()), Ok(ParsedLine::Blank));
        }
    }

    #[test]
    fn what_is_no_request_is_malformed() {
        let malformed = |line: &[u8]| parse_line(line).map(|_| ());
        assert_eq!(malformed(b"pi \0"), Err((None, Malformed::NotText)));
        assert_eq!(malformed("pi é".as_bytes()), Err((None, Malformed::NotText)));
        assert_eq!(
            malformed("@a pi é".as_bytes()),
            Err((Tag::parse("a"), Malformed::NotText))
        );
        assert_eq!(malformed("@é pi 5".as_bytes()), Err((None, Malformed::NotText)));
        assert_eq!(malformed(b"@ pi 5"), Err((None, Malformed::Tag)));
        assert_eq!(malformed(b"@a/b pi 5"), Err((None, Malformed::Tag)));
        assert_eq!(malformed(b"@a"), Err((Tag::parse("a"), Malformed::OnlyTag)));
        assert_eq!(
            malformed("x ".repeat(65).as_bytes()),
            Err((None, Malformed::TooManyWords))
        );
        assert_eq!(
            malformed(format!("@a {}", "x ".repeat(65)).as_bytes()),
            Err((Tag::parse("a"), Malformed::TooManyWords))
        );
        assert_eq!(malformed("x ".repeat(64).as_bytes()), Ok(()));
    }

    #[test]
    fn what_is_printable_and_its_words_are_found_as_byte_by_byte() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut line = *b"pi  12345 \tdeadline=1s";
                line[at] = byte;
                let is_printable = line.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
                assert_eq!(printable(&line).is_some(), is_printable, "{byte} at {at}");
                if let Some(text) = printable(&line) {
                    assert!(Words(text).eq(text.split_ascii_whitespace()), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_web_page_is_recognised() {
        for line in [
            "POST / HTTP/1.1",
            "GET /x",
            "Host: localhost:7919",
            "OPTIONS * HTTP/1.1",
        ] {
            assert_eq!(parse_line(line.as_bytes()), Ok(ParsedLine::Http), "{line}");
            assert_eq!(request(&format!("@a {line}")).format.tag, Tag::parse("a"), "{line}");
        }
    }
}
