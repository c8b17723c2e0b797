//! A batch: plain questions of one read, on their way to a worker and back. Plain data; knows no queue and no table.
//!
//! A question is plain if nothing is wanted of it but its answer: no rows, no progress, no deadline. Nearly all of
//! these are answered by their first slice, so they travel together, and only one that is not becomes a job of its own.

use super::message::{ClientId, Event, RequestId};
use crate::job::{AnyPlan, Budget, Job};
use crate::metrics::VerbLabel;
use crate::proto::{Failure, Value};
use std::collections::VecDeque;
use std::time::Duration;

/// A plain question, and the request that asks it.
pub type Plain = (RequestId, Job);

/// Plain questions, and what became of them so far.
pub(super) struct Batch {
    /// The client.
    pub(super) client: ClientId,
    /// Names the batch among those of the client.
    pub(super) name: RequestId,
    /// Not begun yet, in the order of their requests.
    pub(super) fresh: VecDeque<Plain>,
    /// The one that a worker is at; what comes back with it has panicked.
    pub(super) running: Option<Plain>,
    /// Replies to those that are answered.
    pub(super) news: Vec<(RequestId, Event)>,
    /// The verbs of those that were begun, in that order.
    pub(super) verbs: Vec<VerbLabel>,
    /// Whether answers are kept at all.
    keeps: bool,
    /// Answers that may be kept, with their questions.
    pub(super) found: Vec<(String, Value)>,
    /// Whose the last of them is.
    pub(super) last_found: Option<RequestId>,
    /// Those that take longer.
    pub(super) unfinished: Vec<Unfinished>,
}

/// A question whose first slice was not enough.
pub(super) struct Unfinished {
    pub(super) request: RequestId,
    pub(super) plan: Box<dyn AnyPlan>,
    pub(super) question: Job,
    /// What the slice took.
    pub(super) cpu: Duration,
}

/// What the first slice of a job came to.
pub(super) enum Begun {
    /// Answered without a plan: that takes microseconds.
    AtOnce(Value),
    Answered(Value),
    Unfinished(Box<dyn AnyPlan>),
}

impl Begun {
    /// Begins a job, and goes on within the budget, unless it is long: a slice of that on an express worker would
    /// answer nobody, keep slices of bulk workers from the CPU, and be lost if the job is parked.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub(super) fn of(question: &Job, budget: Budget<'_>) -> Result<Self, Failure> {
        if let Some(value) = question.at_once() {
            return Ok(Self::AtOnce(value));
        }
        let mut plan = question.plan()?;
        if plan.is_long() {
            return Ok(Self::Unfinished(plan));
        }
        Ok(match plan.advance(budget) {
            Some(value) => Self::Answered(value),
            None => Self::Unfinished(plan),
        })
    }
}

impl Batch {
    pub(super) fn new(client: ClientId, name: RequestId, fresh: VecDeque<Plain>, keeps: bool) -> Self {
        Self {
            client,
            name,
            running: None,
            news: Vec::with_capacity(fresh.len()),
            verbs: Vec::with_capacity(fresh.len()),
            keeps,
            found: Vec::new(),
            last_found: None,
            unfinished: Vec::new(),
            fresh,
        }
    }

    /// Begins the next question.
    pub(super) fn begin(&mut self) -> Option<&Job> {
        self.running = self.fresh.pop_front();
        self.running.as_ref().map(|(_, question)| question)
    }

    /// Notes what the one that is running came to; `cpu` measures what it took.
    pub(super) fn record(&mut self, begun: Result<Begun, Failure>, cpu: impl FnOnce() -> Duration) {
        let Some((request, question)) = self.running.take() else {
            return;
        };
        self.verbs.push(question.verb);
        let reply = match begun {
            Err(failure) => Err(failure),
            Ok(Begun::AtOnce(value) | Begun::Answered(value)) => {
                // The last one names the batch in the list of slow ones.
                if question.is_kept && (self.keeps || self.fresh.is_empty()) {
                    self.found.push((question.title().into_owned(), value.clone()));
                    self.last_found = Some(request);
                }
                Ok(value)
            }
            Ok(Begun::Unfinished(plan)) => {
                let cpu = cpu();
                return self.unfinished.push(Unfinished {
                    request,
                    plan,
                    question,
                    cpu,
                });
            }
        };
        self.news.push((request, Event::Final(reply)));
    }

    /// How many were begun.
    pub(super) fn begun(&self) -> usize {
        self.news.len() + self.unfinished.len() + usize::from(self.running.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Plan;

    /// A plan that may be known to be long.
    struct Work {
        is_long: bool,
    }

    impl Plan for Work {
        type Slice = ();
        type Partial = ();

        fn cut(&mut self) -> Option<()> {
            assert!(!self.is_long, "a long job is not begun here");
            Some(())
        }

        fn run((): (), _: Budget<'_>) {}

        fn absorb(&mut self, (): ()) {}

        fn answer(&mut self) -> Option<Value> {
            None
        }

        fn progress(&self) -> f64 {
            0.0
        }

        fn is_long(&self) -> bool {
            self.is_long
        }
    }

    #[test]
    fn a_job_that_is_known_to_be_long_is_not_begun() {
        let asked = std::cell::Cell::new(0);
        let over = || {
            asked.set(asked.get() + 1);
            true
        };
        for (is_long, slices) in [(true, 0), (false, 1)] {
            let job = Job::new("work", move || Work { is_long });
            let begun = Begun::of(&job, Budget::new(&over)).expect("the question is sound");
            assert!(matches!(begun, Begun::Unfinished(_)));
            assert_eq!(asked.get(), slices);
        }
    }
}
