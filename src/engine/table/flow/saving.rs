//! What happens between the parts and the store: submitted jobs are acknowledged or refused, saved and suspended, and
//! replies about their ends wait until those are written, there and in the cluster.

use super::Flow;
use crate::engine::message::{ClientId, JobId, RequestId, WorkId};
use crate::engine::table::cancels::Cancel;
use crate::engine::table::jobs::Entry;
use crate::engine::table::submitted::{Acknowledged, Withdrawn, job_id};
use crate::engine::table::unwritten::{DelayedReply, Says};
use crate::engine::table::waiters::WaiterId;
use crate::proto::{Code, Failure, Reply, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The largest checkpoint in bytes that is kept.
pub(in crate::engine::table) const MAX_CHECKPOINT: usize = 256 << 20;

impl Flow {
    /// The store has a submitted job: its ID is sent, and it begins, unless it is to begin later.
    pub(in crate::engine::table) fn acknowledge(&mut self, job: JobId) {
        let Some(Acknowledged { requests, begins }) = self.submitted.acknowledge(job, self.now) else {
            return;
        };
        for (client, request) in requests {
            self.outbox.reply(client, request, Ok(job_id(job)));
        }
        if let Some(work) = begins {
            self.begin_submitted(work);
        }
    }

    /// Begins the work of a submitted job, if it is held.
    pub(in crate::engine::table) fn begin_submitted(&mut self, work: WorkId) {
        if let Some(question) = self.jobs.begin_held(work, self.now)
            && let Some(payer) = self.jobs.get(work).map(Entry::payer)
        {
            self.begin(work, payer, question);
        }
    }

    /// The store does not take a submitted job, which is refused.
    pub(in crate::engine::table) fn withdraw(&mut self, job: JobId, failure: &Failure) {
        let Some(Withdrawn { requests, work }) = self.submitted.withdraw(job) else {
            return;
        };
        for waiter in work.map_or_else(Vec::new, |work| self.waiters.watchers(job, work)) {
            self.refuse(waiter, failure.clone());
        }
        if let Some(removed) = self.waiters.remove(WaiterId::Submitted(job)) {
            self.removed(removed);
        }
        for (client, request) in requests {
            self.outbox.reply(client, request, Err(failure.clone()));
        }
    }

    /// Saves a plan that submitted jobs wait for, if enough has been done since the last time.
    pub(in crate::engine::table) fn save_if_due(&mut self, work: WorkId) {
        if self.submitted.keeps()
            && let Some(cpu) = self.jobs.get(work).map(Entry::cpu)
            && self.bulk.is_unsaved(work, cpu)
            && !self.save(work)
        {
            for job in self.waiters.submitted(work) {
                self.submitted.end_probation(job);
            }
        }
    }

    /// Saves a plan for the submitted jobs that wait for it. False if there are none, or it cannot be saved.
    fn save(&mut self, work: WorkId) -> bool {
        let jobs: Vec<JobId> = self.waiters.submitted(work).collect();
        let Some(cpu) = self.jobs.get(work).map(Entry::cpu).filter(|_| !jobs.is_empty()) else {
            return false;
        };
        let Some((bytes, progress)) = self.bulk.save(work, cpu) else {
            return false;
        };
        if bytes.len() > MAX_CHECKPOINT {
            let mib = bytes.len() >> 20;
            for JobId(job) in jobs {
                tracing::warn!(
                    job,
                    mib,
                    "its checkpoint is too large: after a restart it goes on from an earlier one, if there is one"
                );
            }
            self.bulk.save_no_more(work);
            return false;
        }
        let bytes: Arc<[u8]> = bytes.into();
        for job in jobs {
            self.submitted.checkpoint(job, bytes.clone(), progress, cpu, self.now);
        }
        self.bulk.set_beside(self.submitted.checkpoint_bytes());
        true
    }

    /// Stops all submitted jobs after a last checkpoint: the next process goes on with them.
    pub(in crate::engine::table) fn suspend(&mut self) {
        let running = self.submitted.running();
        let stored: BTreeSet<JobId> = self.submitted.stored().collect();
        let works: BTreeSet<WorkId> = running.iter().map(|(_, work)| *work).collect();
        let saved = works.into_iter().filter(|work| self.save(*work)).count();
        let mut suspended = 0;
        for (job, work) in running {
            for waiter in self.waiters.watchers(job, work) {
                self.refuse(waiter, self.suspended(job));
            }
            if let Some(removed) = self.waiters.remove(WaiterId::Submitted(job)) {
                self.removed(removed);
                self.submitted.pause(job);
                // A job that the store does not have yet may never be there.
                suspended += usize::from(stored.contains(&job));
            }
        }
        match &self.lost_store {
            _ if suspended == 0 => {}
            None => tracing::info!(
                jobs = suspended,
                checkpoints = saved,
                "submitted jobs stop here; they go on at the next start"
            ),
            Some(place) => tracing::warn!(
                jobs = suspended,
                "submitted jobs stop here; they are lost unless {place} is put back"
            ),
        }
    }

    /// The answer about a job that has stopped here, because the daemon ends, and has not ended.
    pub(in crate::engine::table) fn suspended(&self, job: JobId) -> Failure {
        let then = match &self.lost_store {
            None => format!("job {job} goes on when it is back, and 'result {job}' waits for it"),
            Some(place) => format!("job {job} is lost unless {place} is put back"),
        };
        Failure::new(Code::Draining, format!("the daemon is shutting down; {then}"))
    }

    /// Whether a submitted job that has not ended has [stopped](Self::suspend): it does not wait for its work any more.
    /// The work may go on for clients that asked the same question.
    pub(in crate::engine::table) fn is_suspended(&self, job: JobId) -> bool {
        self.waiters.work_of(WaiterId::Submitted(job)).is_none()
    }

    /// Replies that a submitted job has ended, as soon as that is written.
    pub(in crate::engine::table) fn reply_when_written(
        &mut self,
        job: JobId,
        client: ClientId,
        request: RequestId,
        reply: Reply,
        says: Says,
    ) {
        let delayed = DelayedReply {
            client,
            request,
            reply,
            says,
        };
        if let Some(delayed) = self.unwritten.delay(job, delayed) {
            self.outbox.reply(client, request, delayed.reply);
        }
    }

    /// Replies that these submitted jobs, which worked here, are cancelled, as soon as that is written: by their number
    /// if they are `counted`.
    pub(in crate::engine::table) fn reply_when_cancelled(
        &mut self,
        client: ClientId,
        request: RequestId,
        jobs: Vec<JobId>,
        is_counted: bool,
    ) {
        if self.unwritten.is_shared() {
            let cancelled = is_counted.then_some(0);
            let jobs = jobs.into_iter().collect();
            let cancel = Cancel {
                client,
                request,
                jobs,
                cancelled,
            };
            return self.cancels.ask(cancel, Vec::new());
        }
        let value = match is_counted {
            true => Value::Text(format!("cancelled={}", jobs.len())),
            false => Value::Nothing,
        };
        // The store writes them in this order.
        if let Some(last) = jobs.last() {
            self.reply_when_written(*last, client, request, Ok(value), Says::Cancelled);
        }
    }

    /// A job is cancelled for the whole cluster, or not: those that asked for it are answered, once the store has that
    /// too.
    pub(in crate::engine::table) fn settle_cancels(&mut self, job: JobId, outcome: &Result<(), Failure>) {
        for (client, request, reply) in self.cancels.settled(job, outcome) {
            let says = match &reply {
                Ok(_) => Says::Cancelled,
                Err(_) => Says::NotCancelled,
            };
            self.reply_when_written(job, client, request, reply, says);
        }
    }

    /// The store has the end of a submitted job, or has failed to write it.
    pub(in crate::engine::table) fn end_settled(&mut self, job: JobId, failure: Option<&Failure>) {
        let held = match failure {
            None => self.unwritten.stored(job, self.now),
            Some(failure) => {
                self.settle_cancels(job, &Err(failure.clone()));
                self.unwritten.settled(job)
            }
        };
        for held in held {
            let reply = match failure.filter(|_| held.says == Says::Cancelled) {
                Some(failure) => Err(failure.clone()),
                None => held.reply,
            };
            self.outbox.reply(held.client, held.request, reply);
        }
    }

    /// The cluster has the end of a submitted job too, or it is not waited for any longer.
    pub(in crate::engine::table) fn end_shared(&mut self, job: JobId) {
        if !self.unwritten.is_being_shared(job) {
            // It came to another end meanwhile, which is not written yet.
            return;
        }
        // Where the cluster had another end, they were answered by that.
        self.settle_cancels(job, &Ok(()));
        for held in self.unwritten.settled(job) {
            self.outbox.reply(held.client, held.request, held.reply);
        }
    }
}
