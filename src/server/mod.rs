//! The server: sockets become sessions. Two actors, [`Listener`] and [`Session`], and the bounds they keep.
//!
//! Knows the wire (`proto`), the verbs and the door of the engine; knows no plan.

mod accept;
mod connection;
mod listener;
mod peer;
mod repeats;
mod session;

pub use connection::{Accept, Connection, Detached};
pub use listener::{Drain, Listener};
pub use session::Session;

use crate::engine::Scheduler;
use crate::verb::{Facts, Registry};
use actix::Addr;
use std::time::Duration;

/// What a session may take of the machine. Every limit is enforced where it is named.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is told `busy` and closed.
    pub max_connections: usize,
    /// The longest line, in bytes. A number of 10000 digits fits.
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
    /// The bounds of a session.
    pub limits: Limits,
}
