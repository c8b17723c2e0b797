//! The table beside a store: jobs of an earlier process, what is to be written, and what the store has taken.

use super::Table;
use super::jobs::Entry;
use super::submitted::Submitted;
use super::waiters::{Waiter, WaiterId};
use crate::engine::message::{JobId, Payer, RequestId, Subject};
use crate::engine::restored::Restored;
use crate::proto::Failure;
use crate::store::{Record, Submission, Timestamp};
use std::time::{Duration, Instant};

/// Two clocks that differ by more milliseconds than they did: somebody has set that of the day.
const CLOCK_WAS_SET: u64 = 2_000;

impl Table {
    /// Takes in the jobs of an earlier process, which a store has, and names no job up to `last` again.
    pub(in crate::engine) fn restore(&mut self, jobs: Vec<Restored>, last: u64, now: Instant) {
        self.flow.now = now;
        self.flow.submitted.keep(last);
        for job in self.take_back(jobs) {
            self.flow.submitted.go_on(job, now);
        }
        self.flow.submitted.restored(now);
    }

    /// Goes on with the jobs of a table that broke. That is no start which the store counts: a plan that panics is
    /// caught, so it was not their fault; if it is, the process ends of it, and the next one counts.
    pub(in crate::engine) fn resume(&mut self, jobs: Vec<Restored>, now: Instant) {
        self.flow.now = now;
        let unfinished = self.take_back(jobs);
        if self.admission.is_draining() {
            // The next process goes on with them.
            return self.flow.suspend();
        }
        for job in unfinished {
            if let Some(work) = self.flow.submitted.begins(job, now) {
                self.flow.begin_submitted(work);
            }
        }
    }

    /// Takes in jobs with their work, which is held, and gives those that are to go on.
    fn take_back(&mut self, jobs: Vec<Restored>) -> Vec<JobId> {
        let mut unfinished = Vec::new();
        for restored in jobs {
            if restored.stored.end.is_some() {
                self.flow.submitted.restore(&restored, None, self.flow.now);
                continue;
            }
            let payer = self.flow.owners.payer(&restored.stored.submission.owner);
            unfinished.extend(self.take_back_unfinished(payer, restored));
        }
        unfinished
    }

    /// Takes in a job that has not ended; its name, unless it ends here.
    pub(super) fn take_back_unfinished(&mut self, payer: Payer, restored: Restored) -> Option<JobId> {
        let now = self.flow.now;
        let work = self.flow.jobs.next_id();
        self.flow.submitted.restore(&restored, Some(work), now);
        let Submission {
            job,
            deadline,
            priority,
            ..
        } = restored.stored.submission;
        let subject = match Submitted::given_up(&restored.stored) {
            Some(failure) => Err(failure),
            None => restored.subject,
        };
        let question = match subject {
            Ok(Subject::Work(question)) => question,
            Ok(Subject::Known { value, .. }) => {
                self.flow.submitted.finish(job, Ok(value), Duration::ZERO, now);
                return None;
            }
            Err(failure) => {
                self.flow.submitted.finish(job, Err(failure), Duration::ZERO, now);
                return None;
            }
        };
        let wall = *self.flow.submitted.wall();
        let deadline = deadline.map(|at| wall.instant(at, now));
        let entry = Entry::of(&question, question.title().into_owned(), payer, now)
            .with_priority(priority)
            .with_submitted(true);
        self.flow.jobs.insert(work, entry);
        self.flow.hold(work, question);
        let waiter = Waiter::plain(payer, RequestId::MIN, now)
            .submitted(job)
            .with_priority(priority);
        self.flow.waiters.add(work, waiter.with_deadline(deadline));
        // No connection has this name: it is forgotten with the last of its jobs.
        self.flow.waiters.leave(payer.client);
        Some(job)
    }

    /// The store has these submitted jobs.
    pub(in crate::engine) fn acknowledge(&mut self, jobs: Vec<JobId>, now: Instant) {
        self.flow.now = now;
        jobs.into_iter().for_each(|job| self.flow.acknowledge(job));
    }

    /// The store does not take these submitted jobs.
    pub(in crate::engine) fn withdraw(&mut self, jobs: Vec<JobId>, failure: &Failure, now: Instant) {
        self.flow.now = now;
        jobs.into_iter().for_each(|job| self.flow.withdraw(job, failure));
    }

    /// The store was asked to write that these submitted jobs have ended, and has done so or failed.
    pub(in crate::engine) fn ends_settled(&mut self, jobs: Vec<JobId>, failure: Option<&Failure>, now: Instant) {
        self.flow.now = now;
        jobs.into_iter().for_each(|job| self.flow.end_settled(job, failure));
    }

    /// The store was asked to write how submitted jobs have ended, and does not come to it: nobody waits for that.
    /// False if there are none.
    pub(in crate::engine) fn fail_ends(&mut self, failure: &Failure, now: Instant) -> bool {
        let jobs = self.flow.unwritten.not_stored();
        let are_there = !jobs.is_empty();
        self.ends_settled(jobs, Some(failure), now);
        are_there
    }

    /// The store was asked to write these numbers of starts.
    pub(in crate::engine) fn counted(&mut self, jobs: Vec<(JobId, u32)>, now: Instant) {
        self.flow.now = now;
        jobs.into_iter()
            .for_each(|(job, starts)| self.flow.counted(job, starts));
    }

    /// For now the store takes nothing, and submits are answered so; `None`: it does again.
    pub(in crate::engine) fn set_store_outage(&mut self, outage: Option<Failure>) {
        self.store_outage = outage;
    }

    /// Where the store was that is not there any more, so that jobs do not go on unless it is put back.
    pub(in crate::engine) fn set_lost_store(&mut self, place: Option<String>) {
        self.flow.lost_store = place;
    }

    /// It is this time of day. If the clock was set meanwhile, what is to happen to restored jobs at a time of day
    /// happens at another moment: a machine may start with a clock that is years late.
    pub(in crate::engine) fn set_time(&mut self, now: Instant, time: Timestamp) {
        let expected = self.flow.submitted.wall().at(now);
        self.flow.submitted.wall().set(now, time);
        if expected.millis().abs_diff(time.millis()) > CLOCK_WAS_SET {
            for (job, deadline) in self.flow.submitted.clock_was_set(now) {
                self.flow.waiters.set_deadline(WaiterId::Submitted(job), Some(deadline));
            }
        }
    }

    /// What the store is to write, since the last time.
    pub(in crate::engine) fn take_records(&mut self) -> Vec<Record> {
        self.flow.submitted.take_records()
    }
}
