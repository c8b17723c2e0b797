//! Restored jobs that wait for their first slice in the bulk lane, and those whose slices wait until the store has counted a start.
//! Knows no lane.

use crate::engine::message::{JobId, WorkId};
use std::time::{Duration, Instant};

/// How long a restored job may wait in the bulk lane for its first slice until its start does not count.
const RESTS_AFTER: Duration = Duration::from_millis(100);

/// A restored job that has no slice yet in the bulk lane.
struct Unbegun {
    work: WorkId,
    since: Instant,
}

/// A job that rested, and has slices again when the store has its number of starts.
struct Waking {
    work: WorkId,
    job: JobId,
    starts: u32,
}

/// Which jobs wait for a slice, and since when.
#[derive(Default)]
pub(super) struct Resting {
    unbegun: Vec<Unbegun>,
    waking: Vec<Waking>,
}

impl Resting {
    /// A restored job waits for its first slice.
    pub(super) fn waits(&mut self, work: WorkId, since: Instant) {
        self.unbegun.push(Unbegun { work, since });
    }

    /// A slice of a job is handed out.
    pub(super) fn begins(&mut self, work: WorkId) {
        self.unbegun.retain(|unbegun| unbegun.work != work);
    }

    /// Jobs that have waited for so long that they rest from now on.
    pub(super) fn due(&mut self, now: Instant) -> Vec<WorkId> {
        let is_over = |unbegun: &mut Unbegun| now.saturating_duration_since(unbegun.since) >= RESTS_AFTER;
        let over = self.unbegun.extract_if(.., is_over);
        over.map(|unbegun| unbegun.work).collect()
    }

    /// When [`due`](Self::due) has some.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let since = self.unbegun.iter().map(|unbegun| unbegun.since).min();
        since.map(|since| since + RESTS_AFTER)
    }

    /// It is the turn of a job that rests, and the store is asked to count these starts of submitted jobs that wait for it. False if it does
    /// not wait for the store at all.
    pub(super) fn wakes(&mut self, work: WorkId, starts: Vec<(JobId, u32)>) -> bool {
        for (job, starts) in starts {
            self.waking.retain(|waking| (waking.work, waking.job) != (work, job));
            self.waking.push(Waking { work, job, starts });
        }
        self.waking.iter().any(|waking| waking.work == work)
    }

    /// Only these submitted jobs still wait for a job. True if it waited for the store because of others alone, and does not any more.
    pub(super) fn keep(&mut self, work: WorkId, submitted: impl Iterator<Item = JobId>) -> bool {
        let waits = |all: &[Waking]| all.iter().any(|waking| waking.work == work);
        if !waits(&self.waking) {
            return false;
        }
        let submitted: Vec<JobId> = submitted.collect();
        self.waking
            .retain(|waking| waking.work != work || submitted.contains(&waking.job));
        !waits(&self.waking)
    }

    /// A job has ended.
    pub(super) fn forget(&mut self, work: WorkId) {
        self.begins(work);
        self.waking.retain(|waking| waking.work != work);
    }

    /// The store has counted a start, or has failed to: the jobs that waited for that.
    pub(super) fn counted(&mut self, job: JobId, starts: u32) -> Vec<WorkId> {
        let is_counted = |waking: &mut Waking| (waking.job, waking.starts) == (job, starts);
        let counted = self.waking.extract_if(.., is_counted);
        counted.map(|waking| waking.work).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_due_unless_it_begins_in_time() {
        let (mut resting, start) = (Resting::default(), Instant::now());
        resting.waits(WorkId(1), start);
        resting.waits(WorkId(2), start);
        resting.begins(WorkId(1));
        let alarm = resting.next_alarm().expect("one waits");
        assert!(resting.due(alarm - Duration::from_millis(1)).is_empty());
        assert_eq!(resting.due(alarm), [WorkId(2)]);
        assert!(resting.due(alarm).is_empty() && resting.next_alarm().is_none());
    }

    #[test]
    fn a_job_wakes_when_its_own_start_is_counted() {
        let mut resting = Resting::default();
        assert!(!resting.wakes(WorkId(1), Vec::new()), "it waits for nothing");
        for _ in 0..2 {
            assert!(resting.wakes(WorkId(1), vec![(JobId(7), 3)]));
        }
        assert!(resting.counted(JobId(7), 2).is_empty());
        assert_eq!(
            resting.counted(JobId(7), 3),
            [WorkId(1)],
            "once, though it was asked for twice"
        );
        assert!(resting.counted(JobId(7), 3).is_empty());
    }

    #[test]
    fn a_job_that_is_not_submitted_any_more_waits_for_no_store() {
        let mut resting = Resting::default();
        resting.wakes(WorkId(1), vec![(JobId(7), 3), (JobId(8), 1)]);
        assert!(!resting.keep(WorkId(1), [JobId(7)].into_iter()), "one is left");
        assert!(!resting.keep(WorkId(2), std::iter::empty()), "it did not wait");
        assert!(resting.keep(WorkId(1), std::iter::empty()));
        assert!(!resting.keep(WorkId(1), std::iter::empty()));
    }
}
