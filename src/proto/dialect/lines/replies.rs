//! Lines as a client decodes them.

use crate::proto::response::{Data, Part, Response};
use crate::proto::{Failure, Tag};
use bytes::{Buf, BytesMut};
use std::io;

/// A line of a reply, without its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyLine<'a> {
    /// `OK value`, or the value alone after a number alone.
    Value(&'a str),
    /// `ERR code :text`.
    Error {
        /// For programs.
        code: &'a str,
        /// For people.
        text: &'a str,
    },
    /// `= data`.
    Row(&'a str),
    /// `* key=value ...`.
    Progress(&'a str),
}

impl<'a> ReplyLine<'a> {
    /// Reads a line.
    pub fn parse(line: &'a str) -> Self {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "OK" => Self::Value(rest),
            "ERR" => {
                let (code, text) = rest.split_once(" :").unwrap_or((rest, ""));
                Self::Error { code, text }
            }
            "=" => Self::Row(rest),
            "*" => Self::Progress(rest),
            _ => Self::Value(line),
        }
    }

    /// The line, as [`parse`](Self::parse) reads it.
    #[cfg(feature = "cli")]
    pub(crate) fn to_line(self) -> String {
        match self {
            Self::Value("") => "OK".to_owned(),
            Self::Value(text) => format!("OK {text}"),
            Self::Error { code, text } => format!("ERR {code} :{text}"),
            Self::Row(text) => format!("= {text}"),
            Self::Progress(text) => format!("* {text}"),
        }
    }

    /// True for the last line of a reply.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Error { .. })
    }
}

impl From<ReplyLine<'_>> for Part {
    fn from(line: ReplyLine<'_>) -> Self {
        match line {
            ReplyLine::Value("") => Self::Final(Ok(Data::Nothing)),
            ReplyLine::Value(text) => Self::Final(Ok(Data::Text(text.to_owned()))),
            ReplyLine::Error { code, text } => Self::Final(Err(Failure::received(code, text))),
            ReplyLine::Row(row) => Self::Row(row.to_owned()),
            ReplyLine::Progress(words) => Self::Progress(words.to_owned()),
        }
    }
}

/// Splits a line into its tag and the rest.
pub fn split_tag(line: &str) -> (Option<&str>, &str) {
    match line.strip_prefix('@') {
        Some(tagged) => {
            let (tag, rest) = tagged.split_once(' ').unwrap_or((tagged, ""));
            (Some(tag), rest)
        }
        None => (None, line),
    }
}

/// Decodes the lines of replies.
#[derive(Debug, Default)]
pub(in crate::proto) struct ReplyFraming {
    /// Bytes of the input without a line feed, so that a line that arrives in small pieces is not searched again.
    searched: usize,
}

impl ReplyFraming {
    /// The next line, if it has arrived whole.
    ///
    /// # Errors
    /// `InvalidData` for a line of more than `limit` bytes, or one that is no reply.
    pub(in crate::proto) fn next(&mut self, input: &mut BytesMut, limit: usize) -> io::Result<Option<Response>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let end = memchr::memchr(b'\n', &input[self.searched..]).map(|at| self.searched + at);
        self.searched = input.len();
        if end.unwrap_or(input.len()) > limit {
            return Err(invalid(&format!("a line of a reply is longer than {limit} bytes")));
        }
        let Some(end) = end else {
            return Ok(None);
        };
        self.searched = 0;
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        let line = std::str::from_utf8(line).map_err(|_| invalid("a line of a reply is not text"))?;
        let (tag, rest) = split_tag(line);
        let tag = match tag.map(Tag::parse) {
            Some(None) => return Err(invalid("a line of a reply begins with '@' and has no tag")),
            tag => tag.flatten(),
        };
        let part = ReplyLine::parse(rest).into();
        input.advance(end + 1);
        Ok(Some(Response { tag, part }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_understood() {
        assert_eq!(ReplyLine::parse("OK 15485863"), ReplyLine::Value("15485863"));
        assert_eq!(ReplyLine::parse("OK"), ReplyLine::Value(""));
        assert_eq!(ReplyLine::parse("1299709"), ReplyLine::Value("1299709"));
        assert_eq!(ReplyLine::parse("= 101 103"), ReplyLine::Row("101 103"));
        assert_eq!(ReplyLine::parse("* pct=1.0"), ReplyLine::Progress("pct=1.0"));
        let (code, text) = ("bad-arg", "nth: N is missing");
        assert_eq!(
            ReplyLine::parse("ERR bad-arg :nth: N is missing"),
            ReplyLine::Error { code, text }
        );
        assert_eq!(split_tag("@a OK 1"), (Some("a"), "OK 1"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_line_is_what_it_was_read_from() {
        for line in [
            "OK 15485863",
            "OK",
            "= 101 103",
            "* pct=1.0",
            "ERR bad-arg :nth: N is missing",
        ] {
            assert_eq!(ReplyLine::parse(line).to_line(), line);
        }
    }
}
