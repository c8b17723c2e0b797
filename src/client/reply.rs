//! What a daemon replied, as words, and as the types they stand for. Knows no socket.

use super::Error;
use crate::primes::Natural;
use std::str::FromStr;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The rows before it.
    pub rows: Vec<String>,
    /// The value after `OK`.
    pub value: String,
}

/// A type that a reply can stand for.
pub trait FromReply: Sized {
    /// Reads the reply.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if it is none of these.
    fn from_reply(reply: Reply) -> Result<Self, Error>;
}

impl FromReply for Reply {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        Ok(reply)
    }
}

impl FromReply for () {
    fn from_reply(_: Reply) -> Result<Self, Error> {
        Ok(())
    }
}

impl FromReply for String {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        Ok(reply.value)
    }
}

impl FromReply for Vec<String> {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        Ok(reply.rows)
    }
}

impl FromReply for bool {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        match reply.value.as_str() {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err(Error::Unexpected(reply.value)),
        }
    }
}

impl FromReply for u64 {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        reply.value.parse().map_err(|_| Error::Unexpected(reply.value))
    }
}

impl FromReply for u128 {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        reply.value.parse().map_err(|_| Error::Unexpected(reply.value))
    }
}

impl FromReply for Natural {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        reply.value.parse().map_err(|_| Error::Unexpected(reply.value))
    }
}

impl FromReply for Vec<Natural> {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        numbers(reply)
    }
}

impl FromReply for Vec<u128> {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        numbers(reply)
    }
}

fn numbers<T: FromStr>(reply: Reply) -> Result<Vec<T>, Error> {
    let numbers = reply.value.split_ascii_whitespace().map(str::parse);
    numbers
        .collect::<Result<_, _>>()
        .map_err(|_| Error::Unexpected(reply.value))
}

/// Names a submitted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(pub u64);

impl FromReply for JobId {
    fn from_reply(reply: Reply) -> Result<Self, Error> {
        let id = reply.value.strip_prefix("job=").and_then(|id| id.parse().ok());
        id.map(Self).ok_or(Error::Unexpected(reply.value))
    }
}
