//! What travels between the table and the workers: a task, and what became of it. Plain data.

use crate::job::{AnyPartial, AnyPlan, AnySlice, Job};
use crate::proto::{Failure, Value};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Names a job; never used twice.
pub(super) type JobId = u64;

/// A job as the table and a worker share it.
pub(super) struct Work {
    pub(super) job: Job,
    /// Nobody waits for it any more.
    pub(super) is_cancelled: AtomicBool,
}

/// Something to run.
pub(super) struct Task {
    pub(super) job: JobId,
    pub(super) work: Arc<Work>,
    pub(super) load: Load,
}

/// What there is to run of a job.
pub(super) enum Load {
    /// All of it, from its beginning, as far as an express slice goes.
    Begin,
    /// One slice of its plan.
    Slice(AnySlice),
}

/// What became of a task.
pub(super) struct Done {
    pub(super) job: JobId,
    pub(super) outcome: Outcome,
    pub(super) cpu: Duration,
}

/// What a run of a job came to.
pub(super) enum Outcome {
    /// The express slice was enough.
    Answered(Value),
    /// The question was wrong.
    Refused(Failure),
    /// The express slice was not enough; here is the plan.
    Unfinished(Box<dyn AnyPlan>),
    /// The worker had no time to begin it.
    Untouched,
    /// A slice of the plan.
    Partial(AnyPartial),
    /// It panicked.
    Panicked,
}
