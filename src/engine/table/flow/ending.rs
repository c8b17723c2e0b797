//! A job ends, with one reply to each that waits for it, or one of them no longer waits.

use super::Flow;
use crate::engine::message::{JobId, WorkId};
use crate::engine::table::jobs::Entry;
use crate::engine::table::log;
use crate::engine::table::unwritten::Says;
use crate::engine::table::waiters::WaiterId;
use crate::engine::text::fault;
use crate::job::is_refuted;
use crate::proto::{Code, Failure, Reply, outcome};
use std::time::Duration;

impl Flow {
    /// Ends a job with one reply to all that wait.
    pub(in crate::engine::table) fn end(&mut self, work: WorkId, reply: Reply) {
        let Some(entry) = self.remove(work) else {
            return;
        };
        #[cfg(test)]
        crate::engine::failpoint::hit();
        if let Ok(value) = &reply
            && entry.is_kept()
        {
            let before = self.waiters.submitted(work).map(|job| self.submitted.cpu_before(job));
            let cpu = entry.cpu() + before.max().unwrap_or_default();
            self.outbox.keep(entry.title(), value, cpu);
        }
        if let (Ok(value), Some(title)) = (&reply, entry.verifies()) {
            let is_refuted = is_refuted(value);
            self.outbox.verify(title, !is_refuted);
            if is_refuted {
                self.submitted.refute(title, None);
            }
        }
        self.log_end(work, &reply, entry.cpu());
        let outcome = outcome(&reply);
        for waiter in self.waiters.of(work) {
            self.measured.ended(waiter, &entry, outcome, self.now);
        }
        let mut waiters = self.waiters.remove_all(work);
        let last = waiters.pop();
        for (waiter, watched) in waiters {
            self.answer(waiter, watched, reply.clone(), entry.cpu());
        }
        if let Some((last, watched)) = last {
            self.answer(last, watched, reply, entry.cpu());
        }
    }

    /// Gives one that waited, perhaps for a submitted job that it watched, the final reply of a job that took this CPU
    /// time.
    pub(in crate::engine::table) fn answer(
        &mut self,
        waiter: WaiterId,
        watched: Option<JobId>,
        reply: Reply,
        cpu: Duration,
    ) {
        match (waiter, watched) {
            (WaiterId::Request(client, request), Some(job)) => {
                self.reply_when_written(job, client, request, reply, Says::End)
            }
            (WaiterId::Request(client, request), None) => self.outbox.reply(client, request, reply),
            (WaiterId::Submitted(job), _) => {
                self.submitted.finish(job, reply, cpu, self.now);
                if self.submitted.keeps() {
                    self.unwritten.ended(job);
                }
            }
        }
    }

    /// Ends a job whose plan or external task panicked, or ended without an answer, as an actor does that drops its
    /// responder.
    pub(in crate::engine::table) fn end_by_fault(&mut self, work: WorkId) {
        if let Some(entry) = self.jobs.get(work) {
            for ids in self.ids(work) {
                log::failed(ids, entry.title());
            }
            let failure = fault(entry.title());
            self.end(work, Err(failure));
        }
    }

    /// Ends a submitted job, for all that watch it too; others that asked the same question go on waiting.
    pub(in crate::engine::table) fn end_submitted(&mut self, job: JobId, work: WorkId, failure: &Failure) {
        let watchers = self.waiters.watchers(job, work);
        for waiter in std::iter::once(WaiterId::Submitted(job)).chain(watchers) {
            self.refuse(waiter, failure.clone());
        }
    }

    /// Ends the waiting of one, and its job if it was the last. False if it did not wait.
    pub(in crate::engine::table) fn refuse(&mut self, id: WaiterId, failure: Failure) -> bool {
        if let Some(waiter) = self.waiters.get(id)
            && let Some(entry) = self.waiters.work_of(id).and_then(|work| self.jobs.get(work))
        {
            self.measured.ended(waiter, entry, failure.code.as_str(), self.now);
        }
        let watched = self.waiters.watched_by(id);
        if let Some(removed) = self.waiters.remove(id) {
            log::lets_go(id, failure.code.as_str());
            let failure = with_found(failure, self.bulk.found(removed.work));
            let cpu = self.jobs.get(removed.work).map_or(Duration::ZERO, Entry::cpu);
            self.removed(removed);
            self.answer(id, watched, Err(failure), cpu);
            true
        } else if let WaiterId::Request(client, request) = id
            && self.express.remove_plain(client, request)
        {
            log::lets_go(id, failure.code.as_str());
            self.waiters.uncount_questions(client, 1);
            self.outbox.reply(client, request, Err(failure));
            true
        } else {
            false
        }
    }
}

/// The failure of work that is stopped, with what it has found so far: that is not lost.
fn with_found(failure: Failure, found: Option<String>) -> Failure {
    match (failure.code, found) {
        (Code::Deadline | Code::Cancelled, Some(found)) => {
            Failure::new(failure.code, format!("{}; found {found}", failure.text))
        }
        _ => failure,
    }
}
