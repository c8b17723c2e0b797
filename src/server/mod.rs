//! The server: sockets become sessions. The actors `Listener` and `Session`, and the bounds they keep.
//!
//! A session moves bytes and keeps the limits (`session`); what it speaks is the built-in protocol (`builtin`) or a custom one, a [`Protocol`]
//! (`protocol_session`). Any actor that takes an [`Accepted`] connection and the
//! message [`Finish`] can be a session; the built-in one is no exception.
//! Knows the wire (`proto`), the verbs and the door of the engine; knows no plan.

mod accept;
mod accepted;
mod builtin;
mod connection;
mod listener;
mod pace;
mod peer;
#[cfg(test)]
pub(crate) mod planted;
mod protocol;
mod protocol_session;
mod session;

pub use accepted::{Accepted, Finish};
pub use connection::{Accept, Connection, Detached};
pub use listener::{Drain, Listener, Service};
pub use protocol::{Answer, Protocol};

use crate::engine::{Answers, Scheduler};
use crate::verb::{Engine, Facts, Registry};
use actix::Addr;
use std::sync::Arc;
use std::time::Duration;

/// What a session may take of the machine. Every limit is enforced where it is named.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more gets `ERR busy` and is closed.
    pub max_connections: usize,
    /// The longest line, or frame of a [`Protocol`], in bytes. A number of 10000 digits fits.
    pub max_line_bytes: usize,
    /// Requests of one session under way; then the session stops reading until some are answered.
    pub max_in_flight: usize,
    /// Bytes written for a client and not yet taken by it; then the session stops reading until it takes some.
    pub max_unsent_bytes: usize,
    /// How long a session may rest without a question; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to complete a line it has begun, or to take any of what is written for it.
    pub stall_timeout: Duration,
}

impl Limits {
    /// The name of a limit of 0, with which nobody could be served, if there is one.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let limits = [
            ("max_connections", self.max_connections == 0),
            ("max_line_bytes", self.max_line_bytes == 0),
            ("max_in_flight", self.max_in_flight == 0),
            ("max_unsent_bytes", self.max_unsent_bytes == 0),
            ("idle_timeout", self.idle_timeout.is_some_and(|time| time.is_zero())),
            ("stall_timeout", self.stall_timeout.is_zero()),
        ];
        let zero = limits.into_iter().find(|(_, is_zero)| *is_zero);
        zero.map(|(name, _)| name)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_line_bytes: 16 << 10,
            max_in_flight: 1024,
            max_unsent_bytes: 64 << 10,
            idle_timeout: None,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// What all sessions of a daemon share.
#[derive(Debug)]
pub struct Shared {
    /// The verbs.
    pub registry: Registry,
    /// What verbs about the daemon may know.
    pub facts: Facts,
    /// The door of the engine.
    pub scheduler: Addr<Scheduler>,
    /// What the engine has found lately.
    pub answers: Arc<Answers>,
    /// The engine for those who are no session of the built-in protocol.
    pub engine: Engine,
    /// The bounds of a session.
    pub limits: Limits,
}
