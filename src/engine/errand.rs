//! Errands: work that is no plan, and runs in a lane of its own: blocking code on threads of its own, or calls of an actor.
//!
//! Knows how an errand is described and how its two ends talk; not who runs it, nor when. The ends are a [`Line`] apart: the table
//! holds one, a [`Token`] or a [`Responder`](super::Responder) the other.

use super::host::Delivery;
use crate::job::Job;
use crate::proto::Reply;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bytes of rows that an errand may have sent and its client not yet taken.
pub(super) const ROOM_FOR_ROWS: usize = 64 << 10;

/// Something to do for whoever asks.
#[derive(Debug)]
pub enum Work {
    /// A plan, in slices, by the workers that all plans share.
    Plan(Job),
    /// Something else, in a lane of its own.
    Errand(Errand),
}

impl Work {
    /// The question.
    pub(super) fn title(&self) -> Cow<'_, str> {
        match self {
            Self::Plan(job) => job.title(),
            Self::Errand(errand) => errand.title.as_str().into(),
        }
    }

    /// True if the answer may be kept and given to whoever asks the same.
    pub(super) const fn is_kept(&self) -> bool {
        match self {
            Self::Plan(job) => job.is_kept && !job.streams,
            Self::Errand(_) => false,
        }
    }

    /// True if the answer is preceded by rows.
    pub const fn streams(&self) -> bool {
        match self {
            Self::Plan(job) => job.streams,
            Self::Errand(errand) => errand.streams,
        }
    }
}

impl From<Job> for Work {
    fn from(job: Job) -> Self {
        Self::Plan(job)
    }
}

impl From<Errand> for Work {
    fn from(errand: Errand) -> Self {
        Self::Errand(errand)
    }
}

/// Work for a lane of its own. It is never shared between two who ask: it may have effects.
pub struct Errand {
    /// The question, as people may read it.
    pub title: String,
    /// True if the answer is preceded by rows.
    pub streams: bool,
    pub(super) lane: Arc<OwnLane>,
    pub(super) load: ErrandLoad,
}

/// What there is to do of an errand.
pub(super) enum ErrandLoad {
    Blocking(Blocking),
    Call(Delivery),
}

/// Code that blocks its thread until it has its reply.
pub(super) type Blocking = Box<dyn FnOnce(&Token) -> Reply + Send>;

impl Errand {
    /// Blocking code, on a thread of this lane.
    pub fn blocking(lane: Arc<OwnLane>, title: String, run: impl FnOnce(&Token) -> Reply + Send + 'static) -> Self {
        Self {
            title,
            streams: false,
            lane,
            load: ErrandLoad::Blocking(Box::new(run)),
        }
    }

    /// A call of the actor of this lane.
    pub(super) fn call(lane: Arc<OwnLane>, title: String, streams: bool, delivery: Delivery) -> Self {
        Self {
            title,
            streams,
            lane,
            load: ErrandLoad::Call(delivery),
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errand")
            .field("title", &self.title)
            .field("lane", &self.lane.name)
            .finish_non_exhaustive()
    }
}

/// A lane of plugged-in work: its bounds, and who does the work. Every daemon that meets it starts its own threads or its own actor.
pub struct OwnLane {
    /// Names it in `info`.
    pub(super) name: &'static str,
    /// Errands under way at once.
    pub(super) slots: usize,
    /// Errands that may wait for one of these.
    pub(super) max_waiting: usize,
    /// Starts the actor that answers; `None`: threads do, one a slot.
    pub(super) actor: Option<Box<dyn Fn() -> super::host::Calls + Send + Sync>>,
}

impl OwnLane {
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

impl fmt::Debug for OwnLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnLane")
            .field("name", &self.name)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// What the table and whoever works on an errand share.
#[derive(Debug)]
pub(super) struct Line {
    cancelled: CancellationToken,
    /// The share that is done, as the bits of an `f64`.
    progress: AtomicU64,
    /// Room for rows, in bytes.
    room: Semaphore,
}

impl Line {
    pub(super) fn new(streams: bool) -> Self {
        let line = Self {
            cancelled: CancellationToken::new(),
            progress: AtomicU64::new(0),
            room: Semaphore::new(ROOM_FOR_ROWS),
        };
        if !streams {
            line.room.close();
        }
        line
    }

    /// Nobody waits for the answer any more.
    pub(super) fn close(&self) {
        self.cancelled.cancel();
        self.room.close();
    }

    pub(super) const fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    pub(super) const fn room(&self) -> &Semaphore {
        &self.room
    }

    pub(super) fn progress(&self) -> f64 {
        f64::from_bits(self.progress.load(Relaxed))
    }

    pub(super) fn set_progress(&self, done: f64) {
        if (self.progress()..=1.0).contains(&done) {
            self.progress.store(done.to_bits(), Relaxed);
        }
    }
}

/// The bytes of room that a row takes.
pub(super) fn row_size(row: &str) -> u32 {
    u32::try_from((row.len() + size_of::<String>()).min(ROOM_FOR_ROWS)).unwrap_or(u32::MAX)
}

/// What blocking code is told while it works, and can tell.
#[derive(Clone, Debug)]
pub struct Token(pub(super) Arc<Line>);

impl Token {
    /// True once nobody waits for the answer any more: cancelled, past its deadline, or its client is gone. Ask every few
    /// milliseconds and return anything; nobody will read it.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Says how far the work is, 0.0..=1.0. What is below the last time is ignored.
    pub fn progress(&self, done: f64) {
        self.0.set_progress(done);
    }
}
