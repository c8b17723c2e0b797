//! What is asked of the engine and what it tells, how things are named on the way, and the bounds it keeps. Plain data.

use super::errand::Work;
use crate::proto::{Interim, Reply, Value};
use std::time::{Duration, Instant};

/// Names a request among those of its client.
pub type Place = u64;

/// Names a job; never used twice.
pub(super) type JobId = u64;

/// Names a submitted job: the ID of the wire. Never used twice.
pub type TicketId = u64;

/// Something that is asked of the engine.
#[derive(Debug)]
pub struct Order {
    /// Names the request among those of the client.
    pub place: Place,
    /// What is asked.
    pub ask: Ask,
    /// When the client no longer wants the answer.
    pub deadline: Option<Instant>,
    /// How often the client wants to hear how far it is.
    pub progress: Option<Duration>,
    /// How many rows may be sent before the client grants more.
    pub rows: usize,
}

/// What can be asked of the engine.
#[derive(Debug)]
pub enum Ask {
    /// The answer to some work, for as long as the client waits.
    Answer(Work),
    /// Work that goes on without its client; answered by its ID at once.
    Keep(Work),
    /// A submitted job whose answer was known.
    KeepKnown {
        /// The question.
        title: String,
        /// Its answer.
        value: Value,
    },
    /// The progress of a submitted job, and then its answer.
    Watch(TicketId),
    /// The answer of a submitted job.
    Result(TicketId),
    /// The end of a submitted job.
    Cancel(TicketId),
    /// All jobs that are submitted or long, as rows.
    List,
}

impl Ask {
    /// True if the answer is preceded by rows, which are told as they are granted.
    pub const fn streams(&self) -> bool {
        match self {
            Self::Answer(work) => work.streams(),
            Self::List => true,
            _ => false,
        }
    }
}

/// What the engine tells whoever asked.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The final reply.
    Final(Reply),
    /// A line before it.
    Interim(Interim),
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs held at once, queued and running. Beyond it, up to twice as many, only clients with less than an equal share are served.
    pub max_jobs: usize,
    /// The same for one client.
    pub max_jobs_per_client: usize,
    /// Bytes that all plans together may hold.
    pub max_memory: u64,
    /// Submitted jobs that are remembered after they have ended.
    pub max_finished: usize,
    /// How long they are remembered.
    pub max_finished_age: Duration,
    /// Bytes of answers that are kept for whoever asks the same.
    pub max_answers: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_jobs: 20_000,
            max_jobs_per_client: 2_000,
            max_memory: 2 << 30,
            max_finished: 1_000,
            max_finished_age: Duration::from_secs(3_600),
            max_answers: 8 << 20,
        }
    }
}
