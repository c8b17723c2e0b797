//! A job that can be handed over: a title and the way to make its plan. Knows nothing of who asks or who runs it.

use super::{AnyPlan, Damaged, Plan, restore};
use crate::proto::Failure;
use std::fmt;

/// Work that was asked for and is not begun.
pub struct Job {
    /// The question in its one canonical spelling, e.g. `pi 1000000`; or, if its numbers
    /// are too long to be read at once, as it was asked. Two jobs of one title have the same answer.
    pub title: String,
    /// True if the answer is preceded by rows. Such a job is never shared between two who ask.
    pub streams: bool,
    make: Box<MakePlan>,
    restore: Restore,
}

type MakePlan = dyn Fn() -> Result<Box<dyn AnyPlan>, Failure> + Send;

/// Reads the checkpoint of a plan.
type Restore = fn(&[u8]) -> Result<Box<dyn AnyPlan>, Damaged>;

impl Job {
    /// A job whose plan is made, where it will run, by `make`; again, if it had to make room for others before it was begun.
    pub fn new<P: Plan>(title: impl Into<String>, make: impl Fn() -> P + Send + 'static) -> Self {
        Self {
            title: title.into(),
            streams: false,
            make: Box::new(move || Ok(Box::new(make()))),
            restore: |bytes| Ok(Box::new(P::restore(bytes)?)),
        }
    }

    /// A job of a built-in question, which plans of several kinds may answer, and which may turn out to be wrong where it is worked
    /// on, because reading it takes long.
    pub(crate) fn of_any(title: String, make: impl Fn() -> Result<Box<dyn AnyPlan>, Failure> + Send + 'static) -> Self {
        Self {
            title,
            streams: false,
            make: Box::new(make),
            restore,
        }
    }

    /// The same job, marked as one that streams rows.
    pub fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn plan(&self) -> Result<Box<dyn AnyPlan>, Failure> {
        (self.make)()
    }

    /// Makes the plan from a checkpoint that a plan of this job has [saved](Plan::save).
    ///
    /// # Errors
    /// [`Damaged`] if no plan of this job wrote these bytes.
    pub fn restore(&self, checkpoint: &[u8]) -> Result<Box<dyn AnyPlan>, Damaged> {
        (self.restore)(checkpoint)
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}
