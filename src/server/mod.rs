//! The server: sockets become sessions. The actors `Listener` and `Sessions`, and the bounds they keep.
//!
//! A session moves bytes and keeps the limits (`session`), in the turns that the actor of its thread gives it
//! (`sessions`); what it speaks is the built-in protocol (`builtin`) or a custom one, a [`Protocol`]
//! (`protocol_session`). Any actor that takes an [`Accepted`] connection and the message [`Finish`] can be a session.
//! Knows the wire (`proto`), the verbs and the scheduler's messages; knows no plan.

mod accept;
mod accepted;
mod builtin;
mod connection;
#[cfg(test)]
pub(crate) mod failpoint;
mod limits;
mod listener;
mod overdue;
mod pace;
mod peer;
mod protocol;
mod protocol_session;
mod service;
mod session;
mod sessions;
#[cfg(feature = "tls")]
mod tls;
mod unix;

pub use accepted::Accepted;
pub use connection::Accept;
#[cfg(test)]
pub use connection::{Connection, Detached};
pub use limits::{Limits, LiveLimits};
pub use listener::{Drain, Listener};
#[cfg(feature = "http")]
pub(crate) use overdue::Overdue;
pub use protocol::{Answer, Protocol};
#[cfg(feature = "http")]
pub(crate) use service::Abort;
pub use service::{Finish, Service};
#[cfg(feature = "tls")]
pub(crate) use tls::TlsListener;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsError};
#[cfg(feature = "cli")]
pub(crate) use tls::{is_of_old_version, read_authorities, read_certificates, read_key, unusable};
pub use unix::UnixSocket;

use crate::auth::Authenticate;
use crate::engine::{Answers, Health, Scheduler};
use crate::verb::{DaemonView, Engine, Registry};
use actix::Addr;
use std::sync::Arc;

/// What all sessions of a daemon share.
#[derive(Debug)]
pub struct Shared {
    /// The verbs.
    pub registry: Registry,
    /// What verbs about the daemon may know.
    pub daemon: DaemonView,
    /// The entry point of the engine.
    pub scheduler: Addr<Scheduler>,
    /// What the engine has found lately.
    pub answers: Arc<Answers>,
    /// The health of the actors that the daemon cannot do without.
    pub health: Health,
    /// The engine for those who are no session of the built-in protocol.
    pub engine: Engine,
    /// The users; `None`: everybody may do everything.
    pub auth: Option<Arc<dyn Authenticate>>,
    /// The bounds of a session, which may change while it lives.
    pub limits: Arc<LiveLimits>,
}
