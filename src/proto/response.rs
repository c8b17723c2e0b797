//! Replies as a client decodes them. Knows what a server can send, not how a dialect encodes it.

use super::{Code, Failure, Tag};
use crate::primes::Natural;
use std::fmt;

/// A part of a reply: what a client decodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The tag of the request. Without one it belongs to the first request that has no final reply yet; or it is an
    /// error that concerns the connection as a whole, which is closed after it.
    pub tag: Option<Tag>,
    /// The part.
    pub part: Part,
}

/// The parts of a reply: rows and progress come before the final part, which ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A row; only in lines: in RESP, rows are the list of the final part.
    Row(String),
    /// Progress, as words `key=value`.
    Progress(String),
    /// The end of the reply.
    Final(Result<Data, Failure>),
}

/// The value of a reply. Lines have no types but text; RESP has numbers and lists, and RESP3 truth.
///
/// [`Display`](fmt::Display) writes it as a line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Data {
    /// No value: `OK`, or null.
    Nothing,
    /// Words: in lines, any value.
    Text(String),
    /// A number.
    Number(Natural),
    /// Yes or no.
    Truth(bool),
    /// Several values. A map is the list of its keys and values, as in RESP2.
    List(Vec<Data>),
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Truth(true) => f.write_str("yes"),
            Self::Truth(false) => f.write_str("no"),
            Self::List(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                let space = if index > 0 { " " } else { "" };
                write!(f, "{space}{item}")
            }),
        }
    }
}

impl From<Data> for String {
    /// As a line has it.
    fn from(data: Data) -> Self {
        match data {
            Data::Text(text) => text,
            data => data.to_string(),
        }
    }
}

impl Failure {
    /// The error reply with this code and text. A code of a later version becomes `internal`, and the text names it.
    pub(crate) fn received(code: &str, text: &str) -> Self {
        match Code::parse(code) {
            Some(code) => Self::new(code, text.to_owned()),
            None => Self::new(Code::Internal, format!("{code}: {text}")),
        }
    }
}
