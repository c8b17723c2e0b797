//! The error codes of the wire: all of them, and no other is ever sent after `ERR`.

use std::borrow::Cow;
use std::fmt;

/// Why a request failed. Programs decide by the code; the text beside it is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The line is not a request.
    Syntax,
    /// No verb of that name.
    UnknownVerb,
    /// An argument or option is missing, too many, or not what the verb takes.
    BadArg,
    /// The request is understood, but beyond a limit.
    TooBig,
    /// The line is longer than the limit; it was skipped up to its end.
    LineTooLong,
    /// The input ended in the middle of a line.
    Truncated,
    /// A request with this tag is still under way.
    DupTag,
    /// The daemon has too much to do; try again after `retry-ms`.
    Busy,
    /// The deadline passed.
    Deadline,
    /// It was cancelled.
    Cancelled,
    /// No job of that name.
    NoJob,
    /// The daemon is shutting down.
    Draining,
    /// Not allowed here.
    Denied,
    /// Users are asked for a password, and this connection has not given one, or a wrong one.
    Unauthenticated,
    /// The store cannot be written.
    Store,
    /// A fault in the daemon; the request was lost, the daemon goes on.
    Internal,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: &'static [Self] = &[
        Self::Syntax,
        Self::UnknownVerb,
        Self::BadArg,
        Self::TooBig,
        Self::LineTooLong,
        Self::Truncated,
        Self::DupTag,
        Self::Busy,
        Self::Deadline,
        Self::Cancelled,
        Self::NoJob,
        Self::Draining,
        Self::Denied,
        Self::Unauthenticated,
        Self::Store,
        Self::Internal,
    ];

    /// The names of all codes, where `code as usize` says.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let mut names = [""; Self::ALL.len()];
        for &code in Self::ALL {
            names[code as usize] = code.as_str();
        }
        names.into_iter()
    }

    /// The code as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownVerb => "unknown-verb",
            Self::BadArg => "bad-arg",
            Self::TooBig => "too-big",
            Self::LineTooLong => "line-too-long",
            Self::Truncated => "truncated",
            Self::DupTag => "dup-tag",
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::NoJob => "no-job",
            Self::Draining => "draining",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
            Self::Store => "store",
            Self::Internal => "internal",
        }
    }

    /// The code that is sent as `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// The meaning of the code, in one line for `help errors`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Syntax => "the line is not a request",
            Self::UnknownVerb => "no such verb",
            Self::BadArg => "an argument or option is missing, too many, or of a wrong kind",
            Self::TooBig => "beyond a limit, named in the text",
            Self::LineTooLong => "the request was longer than the limit and was skipped",
            Self::Truncated => "the input ended in the middle of a request",
            Self::DupTag => "a request with this tag is still under way",
            Self::Busy => "overload; try again after retry-ms",
            Self::Deadline => "its deadline= passed; the work was stopped",
            Self::Cancelled => "it was cancelled; the work was stopped",
            Self::NoJob => "no job with that ID, no request with that tag",
            Self::Draining => "the daemon is shutting down",
            Self::Denied => "not allowed here",
            Self::Unauthenticated => "'auth USER PASSWORD' comes first, or was wrong",
            Self::Store => "the store cannot be written: no job is taken in",
            Self::Internal => "a fault in the daemon: this request failed, the daemon goes on",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error reply: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub code: Code,
    /// What is wrong and what would be right, in one line.
    pub text: Cow<'static, str>,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }

    /// The failure of what is asked of a daemon that is shutting down.
    pub(crate) const fn draining() -> Self {
        Self {
            code: Code::Draining,
            text: Cow::Borrowed("the daemon is shutting down; ask again when it is back"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} :{}", self.code, self.text)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_as_help_says_it() {
        let text = include_str!("../../docs/protocol.md");
        let (_, table) = text
            .split_once("| code | meaning |\n|---|---|\n")
            .expect("there is a table");
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let documented: Vec<String> = rows.map(|row| row.replace('`', "")).collect();
        let codes = Code::ALL
            .iter()
            .map(|code| format!("| {code} | {} |", code.meaning()))
            .collect::<Vec<_>>();
        assert_eq!(documented, codes);
    }
}
