//! A job enters the bulk lane: it joins an equal one, runs, or is parked until there is memory.
//! Knows no reply but that there can never be enough memory.

use super::{Flow, entry_priority};
use crate::engine::message::{JobId, Payer, WorkId};
use crate::engine::table::bulk::Entered;
use crate::engine::table::jobs::{Entry, WorkState};
use crate::job::{AnyPlan, Job};
use crate::proto::Failure;

impl Flow {
    /// A job was not answered by its first slice: it joins an equal long job, or becomes one if there is room for it.
    pub(super) fn enter_bulk(&mut self, work: WorkId, payer: Payer, plan: Box<dyn AnyPlan>, question: Job) {
        self.log(work, "its first slice was not enough");
        let entry = self.jobs.get(work).filter(|entry| !entry.streams());
        let duplicate = entry.and_then(|entry| self.jobs.duplicate_of(entry.title()));
        let duplicate = duplicate.filter(|duplicate| *duplicate != work);
        let jobs = self.waiters.submitted(work);
        let before = jobs.map(|job| self.submitted.saved_progress(job)).fold(0.0, f64::max);
        let is_further = |than: WorkId| before > self.bulk.progress(than).map_or(0.0, |(done, _)| done);
        if let Some(duplicate) = duplicate.filter(|duplicate| is_further(*duplicate)) {
            // What an earlier process has done of it is not given up for work that a client has just begun.
            self.log(work, "takes the place of equal work");
            let priority = entry_priority(&self.jobs, duplicate);
            for job in self.waiters.join(duplicate, work) {
                self.submitted.join(job, work);
            }
            self.recount(work);
            self.raise(work, priority);
            self.remove(duplicate);
        } else if let Some(duplicate) = duplicate {
            let priority = entry_priority(&self.jobs, work);
            self.log(work, "joins equal work");
            for job in self.waiters.join(work, duplicate) {
                self.submitted.join(job, duplicate);
            }
            self.recount(duplicate);
            self.raise(duplicate, priority);
            self.remove(work);
            return;
        }
        let priority = entry_priority(&self.jobs, work);
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        match self.bulk.enter(work, payer, plan, question, priority, self.now) {
            Entered::Runs => {
                self.bulk.set_initial_progress(work, before);
                self.jobs.mark_long(work);
                self.jobs.set_state(work, WorkState::Bulk);
                if self
                    .waiters
                    .submitted(work)
                    .any(|job| self.submitted.has_no_new_checkpoint(job))
                {
                    self.bulk.save_soon(work);
                    self.deferred.add(work, self.now);
                }
                self.deliver_plan(work, payer);
            }
            Entered::Parked => {
                self.jobs.mark_long(work);
                self.jobs.set_state(work, WorkState::Parked);
                self.log(work, "parked until there is memory");
                for job in self.waiters.submitted(work) {
                    self.submitted.defer(job);
                }
                // It may be its turn at once.
                self.unpark();
            }
            Entered::TooBig(failure, question) => self.too_big(work, failure, question),
            Entered::Panicked => self.end_by_fault(work),
        }
    }

    /// A job needs more memory than there may ever be. One that was acknowledged under a larger limit waits for that to
    /// come back.
    fn too_big(&mut self, work: WorkId, failure: Failure, question: Job) {
        let restored: Vec<JobId> = self.waiters.submitted(work).collect();
        if !restored.iter().any(|job| self.submitted.is_restored(*job)) {
            return self.end(work, Err(failure));
        }
        for job in restored {
            tracing::warn!(%job, error = %failure.text, "a job of an earlier process waits for a daemon that may use more memory");
            self.submitted.defer(job);
        }
        self.hold(work, question.into());
    }

    /// Begins parked jobs for which there is memory now, after anything that may have changed that.
    pub(super) fn unpark(&mut self) {
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        while let Some((work, question)) = self.bulk.unpark() {
            if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
                self.jobs.set_state(work, WorkState::Express);
                self.log(work, "begins again: there is memory");
                // It was begun before: what it waits for now is no sign of overload.
                self.jobs.clear_begin_by(work);
                for job in self.waiters.submitted(work) {
                    self.submitted.count_again(job);
                }
                self.express.push(payer, work, question, None, self.now);
            }
        }
    }
}
