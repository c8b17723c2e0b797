//! The engine: requests in, events out. Actors without sockets.
//!
//! [`Scheduler`] is the entry point: it takes [`Requests`], hands slices to the workers of its pool, and sends events
//! to the recipient that came with the requests. Decisions are plain data: `table` (what happens to a job), `fairness`
//! (whose turn it is). `external` is work that is no plan, [`LocalClient`] asks from inside the process. Knows plans,
//! not what they compute; knows failures, not how they are encoded.

mod answers;
mod batch;
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "nobody joins"))]
mod cluster;
mod external;
#[cfg(test)]
pub(crate) mod failpoint;
mod fairness;
mod health;
mod lanes;
mod local;
mod message;
mod pool;
mod restored;
mod scheduler;
#[cfg(test)]
pub(crate) mod simulated;
mod table;
mod task;
mod text;
mod threads;
mod worker;

pub use answers::Answers;
pub use batch::Plain;
#[cfg(feature = "cluster")]
pub use cluster::{AskProgress, ClusterEvent, EngineEvent, EngineEvents, JobProgress, Part, PartId};
pub use external::{Asked, ExternalLane, ExternalTask, Responder, RowError, Token};
pub use health::Health;
pub use local::{Close, Events, Local, LocalClient, ReplyFuture};
pub use message::{
    Account, Ask, ClientId, Event, JobId, Order, Policy, Priority, ROWS_GRANTED, RequestId, Selection, Subject, Submit,
    Work,
};
pub use restored::Restored;
pub use scheduler::{Cancel, Flush, Grant, Leave, News, Requests, Scheduler, Shutdown};
pub(crate) use table::is_logged;
pub(crate) use text::{fault, shortened};
pub(crate) use threads::{start_arbiter, system_here};
