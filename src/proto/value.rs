//! What an answer can be, before it is spelt for a dialect.

use crate::primes::Natural;
use std::borrow::Cow;

/// The value of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Done; there is nothing to say.
    Nothing,
    /// A natural number of any size.
    Number(Natural),
    /// Yes or no.
    Truth(bool),
    /// Several numbers, in order.
    Numbers(Vec<Natural>),
    /// Words; without line breaks.
    Text(String),
    /// What is known about something, as keys and values.
    Facts(Vec<(Cow<'static, str>, String)>),
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Number(Natural::from(n))
    }
}
