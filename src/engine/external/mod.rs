//! External tasks: work that is no plan, in lanes of its own: blocking code on threads, or calls of an actor.
//!
//! `channel` is what the table and the one that works share, `task` describes the work and its lane, `responder` is how
//! an actor answers, and `host` keeps such an actor alive. Each knows those before it only.

mod channel;
mod host;
mod responder;
mod task;

pub use channel::Token;
pub(super) use channel::{Channel, row_size};
pub use host::Asked;
pub(super) use responder::ActorReply;
pub use responder::{Responder, RowError};
pub(super) use task::{Blocking, Call, Calls, ExternalPayload};
pub use task::{ExternalLane, ExternalTask};
