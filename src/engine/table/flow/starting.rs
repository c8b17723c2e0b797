//! A restored job that waits for its first slice after others rests: what ends the process meanwhile is not its fault, so this start does
//! not count. When its turn comes the store counts the start, and then it has slices.

use super::Flow;
use crate::engine::message::{JobId, WorkId};
use crate::engine::table::jobs::Entry;

impl Flow {
    /// A slice of a long job is handed out.
    pub(in crate::engine::table) fn begins_slice(&mut self, id: WorkId) {
        self.resting.begins(id);
    }

    /// The starts of restored jobs that wait for their turn after others do not count.
    pub(in crate::engine::table) fn let_rest(&mut self) {
        for work in self.resting.due(self.now) {
            self.bulk.rest(work);
            for job in self.waiters.submitted(work) {
                self.submitted.rest(job);
            }
        }
    }

    /// It is the turn of a job that rests: it has slices again as soon as the store has counted its start.
    pub(in crate::engine::table) fn work_again(&mut self, work: WorkId) {
        let jobs = self.waiters.submitted(work);
        let again = jobs.filter_map(|job| Some((job, self.submitted.work_again(job)?)));
        if !self.resting.wakes(work, again.collect()) {
            self.wake(work);
        }
    }

    /// The store has this number of starts of a job, or has failed to write it.
    pub(in crate::engine::table) fn counted(&mut self, job: JobId, starts: u32) {
        for work in self.resting.counted(job, starts) {
            self.wake(work);
        }
    }

    /// One that waited for a job does not any more: if that was to wait until the store has counted its start, it has slices now.
    pub(super) fn wake_unless_submitted(&mut self, work: WorkId) {
        if self.resting.keep(work, self.waiters.submitted(work)) {
            self.wake(work);
        }
    }

    fn wake(&mut self, work: WorkId) {
        self.bulk.wake(work);
        if let Some(payer) = self.jobs.get(work).map(Entry::payer) {
            self.deliver_plan(work, payer);
        }
    }
}
