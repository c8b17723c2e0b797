//! Lines of the protocol as a client sees them. Knows no socket.

use super::Error;
use crate::proto::{Code, Failure};
use std::time::Duration;

/// A line from which the tag has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// `OK value`, or the bare value of a bare number.
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

impl<'a> Heard<'a> {
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

    /// True for the last line of a reply.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Error { .. })
    }
}

/// Takes the tag off a line.
pub fn split_tag(line: &str) -> (Option<&str>, &str) {
    match line.strip_prefix('@') {
        Some(tagged) => {
            let (tag, rest) = tagged.split_once(' ').unwrap_or((tagged, ""));
            (Some(tag), rest)
        }
        None => (None, line),
    }
}

/// Refuses words that no daemon could take for one request. How long a request may be, the daemon says.
pub(super) fn check(words: &str) -> Result<(), Error> {
    match words.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        true => Ok(()),
        false => Err(Failure::new(Code::Syntax, "a request is one line of printable ASCII").into()),
    }
}

/// How far a question is, as a line of the protocol tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The percentage that is done; `None`: nothing has moved for a while.
    pub percent: Option<f64>,
    /// How long the rest will take, once that can be told.
    pub eta: Option<Duration>,
}

impl Progress {
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key));
        Self {
            percent: value("pct=").and_then(|percent| percent.parse().ok()),
            eta: value("eta=").and_then(|eta| humantime::parse_duration(eta).ok()),
        }
    }
}

/// An error line as a failure. A code that is not known yet is a fault to us, and the text tells it.
pub(super) fn failure(code: &str, text: &str) -> Failure {
    match Code::parse(code) {
        Some(code) => Failure::new(code, text.to_owned()),
        None => Failure::new(Code::Internal, format!("{code}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_understood() {
        assert_eq!(Heard::parse("OK 15485863"), Heard::Value("15485863"));
        assert_eq!(Heard::parse("OK"), Heard::Value(""));
        assert_eq!(Heard::parse("1299709"), Heard::Value("1299709"));
        assert_eq!(Heard::parse("= 101 103"), Heard::Row("101 103"));
        assert_eq!(Heard::parse("* pct=1.0"), Heard::Progress("pct=1.0"));
        let (code, text) = ("bad-arg", "nth: N is missing");
        assert_eq!(
            Heard::parse("ERR bad-arg :nth: N is missing"),
            Heard::Error { code, text }
        );
        assert_eq!(split_tag("@a OK 1"), (Some("a"), "OK 1"));
        let (percent, eta) = (Some(41.3), Some(Duration::from_secs(720)));
        assert_eq!(Progress::parse("pct=41.3 eta=12min"), Progress { percent, eta });
        assert_eq!(Progress::parse("stalled=12s").percent, None);
    }
}
