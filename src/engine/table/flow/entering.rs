//! A job enters the bulk lane: it joins an equal one, runs, or is parked until there is memory.
//! Knows no reply but that there can never be enough memory.

use super::{Flow, entry_priority};
use crate::engine::message::{JobId, Payer, WorkId};
use crate::engine::table::bulk::Entered;
use crate::engine::table::jobs::{Entry, Stage};
use crate::job::{AnyPlan, Job};
use crate::proto::Failure;

impl Flow {
    /// A job was not answered by its first slice: it joins an equal long job, or becomes one if there is room for it.
    pub(super) fn enter_bulk(&mut self, id: WorkId, payer: Payer, plan: Box<dyn AnyPlan>, job: Job) {
        self.log(id, "its first slice was not enough");
        let entry = self.jobs.get(id).filter(|entry| !entry.streams());
        let duplicate = entry.and_then(|entry| self.jobs.duplicate_of(entry.title()));
        let duplicate = duplicate.filter(|duplicate| *duplicate != id);
        let jobs = self.waiters.submitted(id);
        let before = jobs.map(|job| self.submitted.saved_progress(job)).fold(0.0, f64::max);
        let is_further = |than: WorkId| before > self.bulk.progress(than).map_or(0.0, |(done, _)| done);
        if let Some(duplicate) = duplicate.filter(|duplicate| is_further(*duplicate)) {
            // What an earlier process has done of it is not given up for work that a client has just begun.
            self.log(id, "takes the place of equal work");
            let priority = entry_priority(&self.jobs, duplicate);
            for job in self.waiters.join(duplicate, id) {
                self.submitted.join(job, id);
            }
            self.recount(id);
            self.raise(id, priority);
            self.remove(duplicate);
        } else if let Some(duplicate) = duplicate {
            let priority = entry_priority(&self.jobs, id);
            self.log(id, "joins equal work");
            for job in self.waiters.join(id, duplicate) {
                self.submitted.join(job, duplicate);
            }
            self.recount(duplicate);
            self.raise(duplicate, priority);
            self.remove(id);
            return;
        }
        let priority = entry_priority(&self.jobs, id);
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        match self.bulk.enter(id, payer, plan, job, priority, self.now) {
            Entered::Runs => {
                self.bulk.set_initial_progress(id, before);
                self.jobs.mark_long(id);
                self.jobs.set_stage(id, Stage::Bulk);
                if self.waiters.submitted(id).any(|job| self.submitted.is_unproven(job)) {
                    self.bulk.save_soon(id);
                    self.deferred.add(id, self.now);
                }
                self.deliver_plan(id, payer);
            }
            Entered::Parked => {
                self.jobs.mark_long(id);
                self.jobs.set_stage(id, Stage::Parked);
                self.log(id, "parked until there is memory");
                for job in self.waiters.submitted(id) {
                    self.submitted.defer(job);
                }
                // It may be its turn at once.
                self.unpark();
            }
            Entered::TooBig(failure, job) => self.too_big(id, failure, job),
            Entered::Panicked => self.end_by_fault(id),
        }
    }

    /// A job needs more memory than there may ever be. One that was acknowledged under a larger limit waits for that to
    /// come back.
    fn too_big(&mut self, id: WorkId, failure: Failure, job: Job) {
        let restored: Vec<JobId> = self.waiters.submitted(id).collect();
        if !restored.iter().any(|job| self.submitted.is_restored(*job)) {
            return self.end(id, Err(failure));
        }
        for job in restored {
            tracing::warn!(%job, error = %failure.text, "a job of an earlier process waits for a daemon that may use more memory");
            self.submitted.defer(job);
        }
        self.hold(id, job.into());
    }

    /// Begins parked jobs for which there is memory now, after anything that may have changed that.
    pub(super) fn unpark(&mut self) {
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        while let Some((id, job)) = self.bulk.unpark() {
            if let Some(payer) = self.jobs.get(id).map(Entry::payer) {
                self.jobs.set_stage(id, Stage::Express);
                self.log(id, "begins again: there is memory");
                // It was begun before: what it waits for now is no sign of overload.
                self.jobs.clear_begin_by(id);
                for job in self.waiters.submitted(id) {
                    self.submitted.count_again(job);
                }
                self.express.push(payer, id, job, None, self.now);
            }
        }
    }
}
