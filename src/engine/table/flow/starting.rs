//! A restored job that waits for its first slice after others is deferred: what ends the process meanwhile is not its
//! fault, so this start does not count. When its turn comes the store counts the start, and then it has slices.

use super::Flow;
use crate::engine::message::{JobId, WorkId};
use crate::engine::table::jobs::Entry;

impl Flow {
    /// A slice of a long job is handed out.
    pub(in crate::engine::table) fn slice_begun(&mut self, work: WorkId) {
        self.deferred.remove(work);
    }

    /// The starts of restored jobs that wait for their turn after others do not count.
    pub(in crate::engine::table) fn defer_unbegun(&mut self) {
        for work in self.deferred.due(self.now) {
            self.bulk.defer(work);
            for job in self.waiters.submitted(work) {
                self.submitted.defer(job);
            }
        }
    }

    /// It is the turn of a deferred job: it has slices again as soon as the store has counted its start.
    pub(in crate::engine::table) fn count_again(&mut self, work: WorkId) {
        let jobs = self.waiters.submitted(work);
        let again = jobs.filter_map(|job| Some((job, self.submitted.count_again(job)?)));
        if !self.deferred.awaits_count(work, again.collect()) {
            self.undefer(work);
        }
    }

    /// The store has this number of starts of a job, or has failed to write it.
    pub(in crate::engine::table) fn counted(&mut self, job: JobId, starts: u32) {
        for work in self.deferred.counted(job, starts) {
            self.undefer(work);
        }
    }

    /// One that waited for a job does not any more: if that was to wait until the store has counted its start, it has
    /// slices now.
    pub(super) fn undefer_unless_submitted(&mut self, work: WorkId) {
        if self.deferred.keep(work, self.waiters.submitted(work)) {
            self.undefer(work);
        }
    }

    fn undefer(&mut self, work: WorkId) {
        self.bulk.undefer(work);
        if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
            self.deliver_plan(work, payer);
        }
    }
}
