//! Submitted jobs beside a cluster of daemons: which are worked on here, and what is known of the others.

use super::{Job, State, Submitted};
use crate::engine::message::JobId;
use crate::store::{End, Record, StoredJob};
use std::time::Duration;

impl Submitted {
    /// The jobs that the store has and that are worked on here, and those that have ended.
    pub(in crate::engine::table) fn here(&self) -> Vec<StoredJob> {
        let stored = |(id, job): (&JobId, &Job)| match &job.state {
            State::Running(_) => job.unfinished.as_deref().cloned(),
            State::Done { reply, cpu, ended } => Some(StoredJob {
                end: Some(End {
                    job: *id,
                    ended_at: self.wall.at(*ended),
                    cpu: *cpu,
                    reply: reply.clone(),
                }),
                ..StoredJob::unbegun(Self::submission(*id, job))
            }),
        };
        self.jobs
            .iter()
            .filter(|(_, job)| job.is_stored())
            .filter_map(stored)
            .collect()
    }

    /// Another daemon works on a job: nothing of it is to be gone on with here.
    pub(in crate::engine::table) fn set_away(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.is_deferred = false;
            let not_before = job.not_before;
            if let Some(stored) = job.unfinished.take() {
                self.checkpoints.release(&stored);
            }
            self.not_delayed(id, not_before);
        }
        self.end_probation(id);
    }

    /// A job is worked on here from now on, from this on: the store is to know it.
    pub(in crate::engine::table) fn adopt(&mut self, stored: StoredJob) {
        let id = stored.submission.job;
        let Some(job) = self
            .jobs
            .get_mut(&id)
            .filter(|job| matches!(job.state, State::Running(_)))
        else {
            return;
        };
        job.cpu_before = stored.cpu;
        job.resumed = stored.resumed;
        job.is_deferred = false;
        let not_before = job.not_before.take_if(|_| stored.has_begun());
        self.checkpoints.hold(&stored);
        if let Some(before) = job.unfinished.replace(Box::new(stored.clone())) {
            self.checkpoints.release(&before);
        }
        self.not_delayed(id, not_before);
        self.record(|| Record::Adopted(stored.submission));
        if let Some(checkpoint) = stored.checkpoint {
            self.record(|| Record::Checkpoint(checkpoint));
        }
    }

    /// The CPU time that a job took elsewhere.
    pub(in crate::engine::table) fn set_cpu(&mut self, id: JobId, cpu: Duration) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.cpu_before = cpu;
        }
    }

    /// A job that has ended is forgotten where it was submitted.
    pub(in crate::engine::table) fn forget(&mut self, id: JobId) {
        self.finished.retain(|other| *other != id);
        self.remove(id);
    }
}
