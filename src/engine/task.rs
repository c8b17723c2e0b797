//! What travels between the table and the workers: a task, and what became of it. Plain data.

use super::batch::Batch;
use super::external::{Blocking, Token};
use super::message::WorkId;
use crate::job::{AnyPartial, AnyPlan, AnySlice, Job};
use crate::proto::{Failure, Reply, Value};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Something to run.
pub(super) struct Task {
    pub(super) work: WorkId,
    pub(super) cancel: Arc<AtomicBool>,
    pub(super) payload: Payload,
}

/// What there is to run of a job.
pub(super) enum Payload {
    /// All of it, from its beginning, as far as an express slice goes.
    Begin(Job),
    /// The same of several plain questions.
    Batch(Batch),
    /// One slice of its plan.
    Slice(AnySlice),
    /// Code that blocks its thread, in a lane of its own.
    Blocking(Blocking, Token),
}

/// What became of a task.
pub(super) struct Done {
    pub(super) work: WorkId,
    pub(super) outcome: Outcome,
    pub(super) cpu: Duration,
}

impl Done {
    /// How many slices were run.
    pub(super) fn slices(&self) -> u64 {
        match &self.outcome {
            Outcome::Batch(batch) => batch.begun() as u64,
            Outcome::Untouched(_) => 0,
            _ => 1,
        }
    }
}

/// What a run of a job came to.
pub(super) enum Outcome {
    /// The express slice was enough.
    Answered(Value),
    /// The question was wrong.
    Refused(Failure),
    /// The express slice was not enough; here is the plan.
    Unfinished(Box<dyn AnyPlan>, Job),
    /// The worker had no time to begin it.
    Untouched(Job),
    /// A slice of the plan.
    Partial(AnyPartial),
    /// What blocking code came to.
    Replied(Reply),
    /// What became of plain questions.
    Batch(Batch),
    /// It panicked.
    Panicked,
}
