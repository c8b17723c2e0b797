//! An external task as plain data: its question, its lane, and what there is to do. Knows not who works on it, nor
//! when.

use super::channel::Token;
use super::responder::Responder;
use crate::caught::Guarded;
use crate::proto::Reply;
use std::any::Any;
use std::sync::Arc;
use std::{fmt, io};
use tokio::sync::mpsc::UnboundedSender;

/// Work for a lane of its own. It is never shared between two clients: it may have effects.
pub struct ExternalTask {
    /// The question, as people may read it.
    pub title: String,
    /// True if the answer is preceded by rows.
    pub streams: bool,
    pub(in crate::engine) lane: Arc<ExternalLane>,
    pub(in crate::engine) payload: ExternalPayload,
}

/// What there is to do of an external task.
pub(in crate::engine) enum ExternalPayload {
    Blocking(Blocking),
    Call(DeliverCall),
}

/// Code that blocks its thread until it has its reply. It is of others, and may be dropped where it is not run.
pub(in crate::engine) type Blocking = Guarded<Box<dyn FnOnce(&Token) -> Reply + Send>>;

/// Hands a call, with the question of others, to the actor whose address it is given.
pub(in crate::engine) type DeliverCall = Guarded<Box<dyn FnOnce(&dyn Any, Responder) + Send>>;

/// A call on its way to an actor, and how that answers it.
pub(in crate::engine) type Call = (DeliverCall, Responder);

/// The way to the host of an actor. As long as its lane bounds the calls under way, it is bounded too.
pub(in crate::engine) type Calls = UnboundedSender<Call>;

/// Starts the host of an actor.
pub(super) type StartHost = Box<dyn Fn() -> io::Result<Calls> + Send + Sync>;

impl ExternalTask {
    /// Blocking code, on a thread of this lane.
    pub fn blocking(
        lane: Arc<ExternalLane>,
        title: String,
        run: impl FnOnce(&Token) -> Reply + Send + 'static,
    ) -> Self {
        Self {
            title,
            streams: false,
            lane,
            payload: ExternalPayload::Blocking(Guarded::new(Box::new(run))),
        }
    }

    /// A call of the actor of this lane.
    pub(super) fn call(lane: Arc<ExternalLane>, title: String, streams: bool, deliver: DeliverCall) -> Self {
        Self {
            title,
            streams,
            lane,
            payload: ExternalPayload::Call(deliver),
        }
    }
}

impl fmt::Debug for ExternalTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalTask")
            .field("title", &self.title)
            .field("lane", &self.lane.name)
            .finish_non_exhaustive()
    }
}

/// A lane of plugged-in work: its bounds, and who does the work. Every daemon that meets it starts its own threads or
/// its own actor.
pub struct ExternalLane {
    /// Names it in `info`.
    pub(in crate::engine) name: &'static str,
    /// Tasks under way at once.
    pub(in crate::engine) slots: usize,
    /// Tasks that may wait for one of these.
    pub(in crate::engine) max_waiting: usize,
    /// Starts the actor that answers; `None`: threads do, one a slot.
    pub(in crate::engine) actor: Option<StartHost>,
}

impl ExternalLane {
    /// A lane of threads for blocking code.
    pub fn of_threads(name: &'static str, threads: usize, max_waiting: usize) -> Self {
        Self {
            name,
            slots: threads.max(1),
            max_waiting,
            actor: None,
        }
    }
}

impl fmt::Debug for ExternalLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalLane")
            .field("name", &self.name)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
