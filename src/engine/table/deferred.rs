//! Restored jobs that wait for their first slice in the bulk lane, and those whose slices wait until the store has
//! counted a start. Knows no lane.

use crate::engine::message::{JobId, WorkId};
use std::time::{Duration, Instant};

/// How long a restored job may wait in the bulk lane for its first slice until its start does not count.
const DEFERRED_AFTER: Duration = Duration::from_millis(100);

/// A restored job that has no slice yet in the bulk lane.
struct Unbegun {
    work: WorkId,
    since: Instant,
}

/// A deferred job, which has slices when the store has its number of starts.
struct Uncounted {
    work: WorkId,
    job: JobId,
    starts: u32,
}

/// Which jobs wait for a slice, and since when.
#[derive(Default)]
pub(super) struct Deferred {
    unbegun: Vec<Unbegun>,
    uncounted: Vec<Uncounted>,
}

impl Deferred {
    /// A restored job waits for its first slice.
    pub(super) fn add(&mut self, work: WorkId, since: Instant) {
        self.unbegun.push(Unbegun { work, since });
    }

    /// A slice of a job is handed out.
    pub(super) fn remove(&mut self, work: WorkId) {
        self.unbegun.retain(|unbegun| unbegun.work != work);
    }

    /// Jobs that have waited for so long that they are deferred from now on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<WorkId> {
        let is_over = |unbegun: &mut Unbegun| now.saturating_duration_since(unbegun.since) >= DEFERRED_AFTER;
        let over = self.unbegun.extract_if(.., is_over);
        over.map(|unbegun| unbegun.work).collect()
    }

    /// When [`due`](Self::due) has some.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let since = self.unbegun.iter().map(|unbegun| unbegun.since).min();
        since.map(|since| since + DEFERRED_AFTER)
    }

    /// It is the turn of a deferred job, and the store is asked to count these starts of submitted jobs that wait for
    /// it. False if it does not wait for the store at all.
    pub(super) fn awaits_count(&mut self, work: WorkId, starts: Vec<(JobId, u32)>) -> bool {
        for (job, starts) in starts {
            self.uncounted
                .retain(|uncounted| (uncounted.work, uncounted.job) != (work, job));
            self.uncounted.push(Uncounted { work, job, starts });
        }
        self.uncounted.iter().any(|uncounted| uncounted.work == work)
    }

    /// Only these submitted jobs still wait for a job. True if it waited for the store because of others alone, and
    /// does not any more.
    pub(super) fn keep(&mut self, work: WorkId, submitted: impl Iterator<Item = JobId>) -> bool {
        let waits = |all: &[Uncounted]| all.iter().any(|uncounted| uncounted.work == work);
        if !waits(&self.uncounted) {
            return false;
        }
        let submitted: Vec<JobId> = submitted.collect();
        self.uncounted
            .retain(|uncounted| uncounted.work != work || submitted.contains(&uncounted.job));
        !waits(&self.uncounted)
    }

    /// A job has ended.
    pub(super) fn forget(&mut self, work: WorkId) {
        self.remove(work);
        self.uncounted.retain(|uncounted| uncounted.work != work);
    }

    /// The store has counted a start, or has failed to: the jobs that waited for that.
    pub(super) fn counted(&mut self, job: JobId, starts: u32) -> Vec<WorkId> {
        let is_counted = |uncounted: &mut Uncounted| (uncounted.job, uncounted.starts) == (job, starts);
        let counted = self.uncounted.extract_if(.., is_counted);
        counted.map(|uncounted| uncounted.work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_due_unless_it_begins_in_time() {
        let (mut deferred, start) = (Deferred::default(), Instant::now());
        deferred.add(WorkId(1), start);
        deferred.add(WorkId(2), start);
        deferred.remove(WorkId(1));
        let alarm = deferred.next_alarm().expect("one waits");
        assert!(deferred.due(alarm - Duration::from_millis(1)).is_empty());
        assert_eq!(deferred.due(alarm), [WorkId(2)]);
        assert!(deferred.due(alarm).is_empty() && deferred.next_alarm().is_none());
    }

    #[test]
    fn a_job_is_released_when_its_own_start_is_counted() {
        let mut deferred = Deferred::default();
        assert!(!deferred.awaits_count(WorkId(1), Vec::new()), "it waits for nothing");
        for _ in 0..2 {
            assert!(deferred.awaits_count(WorkId(1), vec![(JobId(7), 3)]));
        }
        assert!(deferred.counted(JobId(7), 2).is_empty());
        assert_eq!(
            deferred.counted(JobId(7), 3),
            [WorkId(1)],
            "once, though it was asked for twice"
        );
        assert!(deferred.counted(JobId(7), 3).is_empty());
    }

    #[test]
    fn a_job_that_is_not_submitted_any_more_waits_for_no_store() {
        let mut deferred = Deferred::default();
        deferred.awaits_count(WorkId(1), vec![(JobId(7), 3), (JobId(8), 1)]);
        assert!(!deferred.keep(WorkId(1), [JobId(7)].into_iter()), "one is left");
        assert!(!deferred.keep(WorkId(2), std::iter::empty()), "it did not wait");
        assert!(deferred.keep(WorkId(1), std::iter::empty()));
        assert!(!deferred.keep(WorkId(1), std::iter::empty()));
    }
}
