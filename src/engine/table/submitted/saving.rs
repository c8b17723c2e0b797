//! How far submitted jobs are that have not ended: their checkpoints, and the CPU time of earlier processes.

use super::Submitted;
use crate::engine::message::JobId;
use crate::store::{Checkpoint, Record};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Submitted {
    /// Notes how far a job has come, whose work took this CPU time in this process. The bytes that it had before are no
    /// progress: its starts count on, and it still [has no new checkpoint](Self::has_no_new_checkpoint).
    pub(in crate::engine::table) fn checkpoint(
        &mut self,
        id: JobId,
        bytes: Arc<[u8]>,
        progress: f64,
        cpu: Duration,
        now: Instant,
    ) {
        let saved_at = self.wall.at(now);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let checkpoint = Checkpoint {
            job: id,
            saved_at,
            progress,
            cpu: job.cpu_before + cpu,
            bytes,
        };
        let is_new = job.unfinished.as_mut().is_none_or(|stored| {
            self.checkpoints.release(stored);
            let is_new = stored.take_checkpoint(checkpoint.clone());
            self.checkpoints.hold(stored);
            is_new
        });
        if is_new {
            job.is_deferred = false;
        }
        self.record(|| Record::Checkpoint(checkpoint));
        if is_new {
            self.end_probation(id);
        }
    }

    /// A job starts over: its checkpoint is replaced, also in the store, by one that no plan goes on from.
    pub(in crate::engine::table) fn forget_checkpoint(&mut self, id: JobId, now: Instant) {
        self.checkpoint(id, Arc::default(), 0.0, Duration::ZERO, now);
    }

    /// The bytes of the checkpoints that unfinished jobs hold.
    pub(in crate::engine::table) const fn checkpoint_bytes(&self) -> u64 {
        self.checkpoints.bytes()
    }

    /// The CPU time that a job took in earlier processes.
    pub(in crate::engine::table) fn cpu_before(&self, id: JobId) -> Duration {
        self.jobs.get(&id).map_or(Duration::ZERO, |job| job.cpu_before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{Policy, WorkId};
    use crate::engine::table::submitted::samples::stored;
    use crate::proto::{Code, Failure, Value};

    #[test]
    fn the_same_checkpoint_once_more_is_no_progress() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let (job, other) = (JobId(1), JobId(2));
        let mut restored = stored(1, 4);
        restored.stored.checkpoint = Some(Checkpoint {
            job,
            saved_at: submitted.wall.at(now),
            progress: 0.1,
            cpu: Duration::ZERO,
            bytes: (*b"bytes").into(),
        });
        for restored in [restored, stored(2, 4)] {
            let id = restored.stored.submission.job;
            submitted.restore(&restored, Some(WorkId(id.0)), now);
            submitted.go_on(id, now);
        }
        submitted.take_records();
        for (bytes, begun) in [(b"bytes", None), (b"other", Some(Record::Resumed(other)))] {
            submitted.checkpoint(job, Arc::from(&bytes[..]), 0.1, Duration::ZERO, now);
            assert_eq!(submitted.has_no_new_checkpoint(job), begun.is_none());
            assert_eq!(submitted.take_records().into_iter().nth(1), begun);
        }
    }

    #[test]
    fn checkpoints_are_counted_once_and_until_their_jobs_end() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let jobs = [1, 2, 3].map(|job| {
            submitted.restore(&stored(job, 0), Some(WorkId(7)), now);
            JobId(job)
        });
        let bytes: Arc<[u8]> = vec![0; 100].into();
        for job in jobs {
            submitted.checkpoint(job, bytes.clone(), 0.1, Duration::ZERO, now);
        }
        assert_eq!(submitted.checkpoint_bytes(), 100);
        submitted.checkpoint(jobs[0], vec![0; 30].into(), 0.2, Duration::ZERO, now);
        assert_eq!(submitted.checkpoint_bytes(), 130);
        submitted.finish(jobs[0], Ok(Value::from(7)), Duration::ZERO, now);
        submitted.forget_checkpoint(jobs[1], now);
        assert_eq!(submitted.checkpoint_bytes(), 100);
        let (submitted, unfinished) = submitted.rebuilt(&Failure::new(Code::Internal, "as asked"), now);
        assert_eq!((submitted.checkpoint_bytes(), unfinished.len()), (0, 2));
    }
}
