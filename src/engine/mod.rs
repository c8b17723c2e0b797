//! The engine: jobs in, news out. Actors without sockets.
//!
//! [`Scheduler`] is the door: it takes [`Submit`], hands slices to the workers of its pool, and tells whoever asked through the
//! recipient that came with the request. Decisions are plain data: `table` (what happens to a job), `fairness` (whose turn it is).
//! Knows plans, not what they compute; knows failures, not how they are spelt.

mod answers;
mod batch;
mod caught;
mod desk;
mod errand;
mod fairness;
mod host;
mod order;
mod pool;
mod responder;
mod restarts;
mod scheduler;
#[cfg(test)]
pub(crate) mod simulated;
mod table;
mod task;
mod tickets;
mod worker;

pub use answers::Answers;
pub use batch::Plain;
pub(crate) use caught::{Panicked, caught};
pub use desk::{Answer, Asker, Close, Desk, Events};
pub use errand::{Errand, OwnLane, Token, Work};
pub use fairness::ClientId;
pub use host::Asked;
pub use order::{Ask, Event, Order, Place, Policy, TicketId};
pub use responder::{Responder, RowError};
pub(crate) use restarts::Restarts;
pub use scheduler::{Cancel, Drain, Grant, Leave, News, Scheduler, Submit};
