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
        let waking = starts.into_iter().map(|(job, starts)| Waking { work, job, starts });
        self.waking.extend(waking);
        self.waking.iter().any(|waking| waking.work == work)
    }

    /// The store has counted a start, or has failed to: the jobs that waited for that.
    pub(super) fn counted(&mut self, job: JobId, starts: u32) -> Vec<WorkId> {
        let is_counted = |waking: &mut Waking| (waking.job, waking.starts) == (job, starts);
        let counted = self.waking.extract_if(.., is_counted);
        counted.map(|waking| waking.work).collect()
    }
}
