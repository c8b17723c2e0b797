//! Lines: a request a line, for people at netcat and for scripts. Framing and spelling.

use super::{Dialect, Frame, Step, too_long, write_fmt, write_printable};
use crate::proto::reply::{Final, Interim};
use crate::proto::request::{Line, Manner, Request, is_comment};
use crate::proto::{Code, Failure, Tag, Value};
use bytes::BytesMut;
use std::fmt;

/// Cuts input into lines of bounded length.
#[derive(Debug)]
pub(super) struct Framing {
    limit: usize,
    /// How much of the input has been searched already, so that a line which dribbles in is not searched over again.
    searched: usize,
    skipping: bool,
}

impl Framing {
    /// A framing for lines of at most `limit` bytes, the line feed not counted.
    pub(super) const fn new(limit: usize) -> Self {
        Self {
            limit,
            searched: 0,
            skipping: false,
        }
    }

    /// True while the rest of a line that was too long is being skipped.
    pub(super) const fn is_skipping(&self) -> bool {
        self.skipping
    }

    /// The first line of the input.
    pub(super) fn next<'a>(&mut self, input: &'a [u8], has_ended: bool) -> Step<'a> {
        let found = memchr::memchr(b'\n', &input[self.searched..]).map(|at| self.searched + at);
        self.searched = 0;
        match found {
            Some(end) if self.skipping => {
                self.skipping = false;
                Step::skip(end + 1)
            }
            Some(end) => {
                let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
                Step {
                    used: end + 1,
                    frame: self.read(line, true),
                }
            }
            None if self.skipping => Step::skip(input.len()),
            // It waits for an answer, and need not have a line feed.
            None if looks_like_tls(input) => Step::found(input.len(), tls()),
            // One more than the limit may still be the CR of a line that fits.
            None if input.len() > self.limit.saturating_add(1) => {
                self.skipping = true;
                Step {
                    used: input.len(),
                    frame: self.too_long(input),
                }
            }
            None if has_ended => Step {
                used: input.len(),
                frame: self.read(input.strip_suffix(b"\r").unwrap_or(input), false),
            },
            None => {
                self.searched = input.len();
                Step::WAIT
            }
        }
    }

    /// The answer to a line that is longer than the limit; nothing for a comment. Its tag counts if it lies within the limit, which is
    /// all that is sure to be there: so the answer is the same however the line arrives.
    fn too_long(&self, line: &[u8]) -> Option<Frame<'static>> {
        let head = &line[..self.limit];
        (!is_comment(head)).then(|| Frame::refused(tagged(Tag::before(head)), too_long(self.limit)))
    }

    /// What a line comes to; nothing for a blank one or a comment.
    fn read<'a>(&self, line: &'a [u8], is_finished: bool) -> Option<Frame<'a>> {
        if line.len() > self.limit {
            return self.too_long(line);
        }
        Some(match Request::parse(line) {
            Ok(Line::Nothing) => return None,
            Err(_) if looks_like_tls(line) => tls(),
            Ok(Line::Http) => {
                let failure = Failure::new(Code::Denied, "this port does not speak HTTP; goodbye");
                Frame::broken(Manner::default(), failure)
            }
            // Half a number would be another number; but a client that sends one number and hangs up means it.
            Ok(Line::Request(request)) if is_finished || request.manner.is_bare => Frame::Request(request),
            Ok(Line::Request(request)) => {
                let text = "the input ended within a line; end every line with a line feed";
                Frame::refused(request.manner, Failure::new(Code::Truncated, text))
            }
            Err((tag, malformed)) => Frame::refused(tagged(tag), Failure::new(Code::Syntax, malformed.to_string())),
        })
    }
}

/// How a line with this tag is answered.
fn tagged(tag: Option<Tag>) -> Manner {
    Manner {
        tag,
        ..Manner::default()
    }
}

/// Whether a client of TLS greets us: a record of the kind 'handshake', and the major version, which is 3 (RFC 8446, section 5.1).
fn looks_like_tls(input: &[u8]) -> bool {
    input.starts_with(b"\x16\x03")
}

fn tls() -> Frame<'static> {
    let text = "this port speaks plain text; for TLS, put a proxy that ends it in front of the daemon; goodbye";
    Frame::broken(Manner::default(), Failure::new(Code::Denied, text))
}

/// A reply a line; those with tags may overtake, rows leave when they are there.
pub(in crate::proto) struct Lines;

impl Dialect for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn is_strict(&self) -> bool {
        false
    }

    fn write_final(&self, out: &mut BytesMut, manner: &Manner, rows: Option<&[String]>, reply: &Final) {
        let tag = manner.tag.as_ref();
        write_rows(out, tag, rows.unwrap_or_default());
        let reply = match reply {
            Final::Reply(reply) => reply,
            Final::Spelt(bytes) => return out.extend_from_slice(bytes),
        };
        if let Ok(Value::Facts(facts)) = reply {
            for (key, value) in facts {
                write_tag(out, tag);
                write_fmt(out, format_args!("= {key}={value}\n"));
            }
        }
        write_tag(out, tag);
        match reply {
            Ok(value) if manner.is_bare => write_value(out, value),
            Ok(Value::Nothing | Value::Facts(_)) => out.extend_from_slice(b"OK"),
            Ok(value) => {
                out.extend_from_slice(b"OK ");
                write_value(out, value);
            }
            Err(failure) => {
                out.extend_from_slice(b"ERR ");
                out.extend_from_slice(failure.code.as_str().as_bytes());
                out.extend_from_slice(b" :");
                write_printable(out, &failure.text);
            }
        }
        // `OK` with an empty list of factors leaves no space behind it.
        if out.last() == Some(&b' ') {
            out.truncate(out.len() - 1);
        }
        out.extend_from_slice(b"\n");
    }

    fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim) {
        match interim {
            Interim::Rows(rows) => write_rows(out, tag, rows),
            Interim::Progress { .. } | Interim::Stalled(_) => {
                write_tag(out, tag);
                write_fmt(out, format_args!("* {}\n", interim.words()));
            }
        }
    }
}

/// Writes rows, a line each.
fn write_rows(out: &mut BytesMut, tag: Option<&Tag>, rows: &[String]) {
    for row in rows {
        write_tag(out, tag);
        out.extend_from_slice(b"= ");
        write_printable(out, row);
        out.extend_from_slice(b"\n");
    }
}

fn write_tag(out: &mut BytesMut, tag: Option<&Tag>) {
    if let Some(tag) = tag {
        out.extend_from_slice(b"@");
        out.extend_from_slice(tag.as_bytes());
        out.extend_from_slice(b" ");
    }
}

fn write_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Nothing | Value::Facts(_) => {}
        Value::Truth(yes) => out.extend_from_slice(if *yes { b"yes" } else { b"no" }),
        Value::Number(number) => match u64::try_from(number) {
            Ok(word) => out.extend_from_slice(itoa::Buffer::new().format(word).as_bytes()),
            Err(_) => write_fmt(out, format_args!("{number}")),
        },
        Value::Numbers(numbers) => {
            for (index, number) in numbers.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b" ");
                }
                write_fmt(out, format_args!("{number}"));
            }
        }
        Value::Text(text) => write_printable(out, text),
    }
}

impl fmt::Display for Value {
    /// As a line spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = BytesMut::new();
        write_value(&mut out, self);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What is found in these lines: the words of requests, the codes of refusals.
    fn found(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut framing = Framing::new(limit);
        let (mut held, mut found) = (Vec::new(), Vec::new());
        let last = pieces.len() - 1;
        for (index, piece) in pieces.iter().enumerate() {
            held.extend_from_slice(piece);
            while !held.is_empty() {
                let Step { used, frame } = framing.next(&held, index == last);
                found.extend(frame.map(|frame| match frame {
                    Frame::Request(request) => format!("{} {}", request.verb, request.args.join(" ")),
                    Frame::Answer {
                        manner,
                        reply: Final::Reply(Err(failure)),
                        ..
                    } => {
                        let tag = manner.tag.map(|tag| format!("@{tag} "));
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

    fn spelt(tag: Option<&str>, is_bare: bool, reply: Result<Value, Failure>) -> String {
        let mut out = BytesMut::new();
        let manner = Manner {
            tag: tag.and_then(Tag::parse),
            is_bare,
            ..Manner::default()
        };
        Lines.write_final(&mut out, &manner, None, &Final::Reply(reply));
        String::from_utf8(out.to_vec()).expect("replies are ASCII")
    }

    #[test]
    fn final_lines_are_spelt_as_documented() {
        assert_eq!(spelt(None, false, Ok(Value::from(15_485_863))), "OK 15485863\n");
        assert_eq!(spelt(None, true, Ok(Value::from(1_299_709))), "1299709\n");
        assert_eq!(spelt(Some("b"), false, Ok(Value::Truth(false))), "@b OK no\n");
        assert_eq!(spelt(None, false, Ok(Value::Nothing)), "OK\n");
        assert_eq!(spelt(None, false, Ok(Value::Numbers(vec![]))), "OK\n");
        assert_eq!(
            spelt(None, false, Ok(Value::Numbers(vec![2u8.into(), 3u8.into()]))),
            "OK 2 3\n"
        );
        assert_eq!(
            spelt(Some("a"), false, Ok(Value::Facts(vec![("jobs".into(), "3".into())]))),
            "@a = jobs=3\n@a OK\n"
        );
        assert_eq!(
            spelt(Some("a"), false, Err(Failure::new(Code::Internal, "two\nlines"))),
            "@a ERR internal :two?lines\n"
        );
    }

    #[test]
    fn interim_lines_are_spelt_as_documented() {
        let spelt = |interim| {
            let mut out = BytesMut::new();
            Lines.write_interim(&mut out, Tag::parse("a").as_ref(), &interim);
            String::from_utf8(out.to_vec()).expect("interim lines are ASCII")
        };
        let eta = Some(Duration::from_secs(18));
        assert_eq!(
            spelt(Interim::Progress { done: 0.4139, eta }),
            "@a * pct=41.3 eta=18s\n"
        );
        assert_eq!(spelt(Interim::Progress { done: 1.0, eta: None }), "@a * pct=99.9\n");
        assert_eq!(spelt(Interim::Stalled(Duration::from_secs(12))), "@a * stalled=12s\n");
        assert_eq!(
            spelt(Interim::Rows(vec!["101 103".into(), "107".into()])),
            "@a = 101 103\n@a = 107\n"
        );
    }
}
