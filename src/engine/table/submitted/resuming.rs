//! Submitted jobs that go on after a restart, of the process or of the table: when each may, and which of them may be
//! why the process ended.

use super::opening::is_taken_back;
use super::{Job, State, Submitted};
use crate::engine::message::{JobId, WorkId};
use crate::engine::restored::Restored;
use crate::engine::table::wall::Wall;
use crate::proto::{Code, Failure};
use crate::store::{Record, StoredJob, Submission};
use std::time::{Duration, Instant};

/// A job that has gone on this often since its last new checkpoint, and was worked on each time when the process ended,
/// may be why: it is in quarantine, and goes on, on probation, when no other such job is at work, until it has a new
/// one.
const QUARANTINE_STARTS: u32 = 2;

/// A job that has gone on this often since its last new checkpoint does not go on again.
const MAX_STARTS: u32 = 5;

impl Submitted {
    /// Takes in a job of an earlier process: one that has ended, or that this work goes on with.
    pub(in crate::engine::table) fn restore(&mut self, restored: &Restored, work: Option<WorkId>, now: Instant) {
        let stored = &restored.stored;
        let submission = &stored.submission;
        let id = submission.job;
        let state = match (&stored.end, work) {
            (Some(end), _) => State::Done {
                reply: match stored.is_refuted {
                    true => Err(id.refuted()),
                    false => end.reply.clone(),
                },
                cpu: end.cpu,
                // By a clock that was ahead it has not ended yet, and none that came after it could be forgotten.
                ended: self.wall.instant(end.ended_at, now).min(now),
            },
            (None, Some(work)) => State::Running(work),
            (None, None) => return,
        };
        let is_done = matches!(state, State::Done { .. });
        let mut job = Job::new(submission, state);
        if stored.end.as_ref().is_some_and(|end| is_taken_back(&end.reply)) {
            job.key = None;
        }
        job.cpu_before = stored.cpu;
        job.resumed = stored.resumed;
        if !is_done {
            self.checkpoints.hold(stored);
            job.unfinished = Some(Box::new(stored.clone()));
            job.is_restored = true;
        }
        job.not_before = begins_at(&self.wall, submission, now).filter(|_| !stored.has_begun());
        if let Some((key, _)) = &job.key {
            // Two nodes may have been given one key at the same moment: here it stays that of the job known first.
            self.keys.entry(key.clone()).or_insert(id);
        }
        // One that only the others still know, as after this daemon's directory was put back from a copy, is not named
        // again.
        if self.node == Some(id.node()) {
            self.next = self.next.max(JobId(id.0.saturating_add(1)));
        }
        self.jobs.insert(id, job);
        if is_done {
            self.finished.push_back(id);
        }
    }

    /// The clock was set: the moments at which restored jobs may begin follow from it anew, and so do their deadlines,
    /// which this gives.
    pub(in crate::engine::table) fn clock_was_set(&mut self, now: Instant) -> Vec<(JobId, Instant)> {
        let mut deadlines = Vec::new();
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.is_restored) {
            let Some(submission) = job.unfinished.as_ref().map(|stored| &stored.submission) else {
                continue;
            };
            deadlines.extend(submission.deadline.map(|at| (*id, self.wall.instant(at, now))));
            if let (Some(before), Some(not_before)) = (job.not_before, begins_at(&self.wall, submission, now)) {
                job.not_before = Some(not_before);
                if self.delayed.remove(&(before, *id)) {
                    self.delayed.insert((not_before, *id));
                }
            }
        }
        deadlines
    }

    /// After all jobs of an earlier process are taken in.
    pub(in crate::engine::table) fn restored(&mut self, now: Instant) {
        let ended = |id: &JobId| match self.jobs.get(id).map(|job| &job.state) {
            Some(State::Done { ended, .. }) => Some(*ended),
            _ => None,
        };
        let mut finished: Vec<JobId> = self.finished.drain(..).collect();
        finished.sort_by_key(ended);
        self.finished = finished.into();
        self.forget_old(now);
    }

    /// Lets a restored job go on when it may. It begins when it is [acknowledged](Self::acknowledge), that is when the
    /// store has counted this start.
    pub(in crate::engine::table) fn go_on(&mut self, id: JobId, now: Instant) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        if let Some(at) = job.not_before.filter(|at| *at > now) {
            self.delayed.insert((at, id));
        } else if job.starts() >= QUARANTINE_STARTS {
            self.quarantined.push_back(id);
            self.release_next();
        } else {
            self.start(id);
        }
    }

    fn start(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.resumed += 1;
        job.unacknowledged.get_or_insert_default();
        if let Some(stored) = &mut job.unfinished {
            stored.resume();
        }
        self.record(|| Record::Resumed(id));
    }

    fn release_next(&mut self) {
        while self.on_probation.is_none()
            && let Some(id) = self.quarantined.pop_front()
        {
            if self.jobs.get(&id).is_some_and(|job| job.unfinished.is_some()) {
                self.on_probation = Some(id);
                match self.jobs.get(&id).is_some_and(|job| job.is_deferred) {
                    true => self.start_again(id),
                    false => self.start(id),
                }
            }
        }
    }

    /// The next job of those in quarantine may go on, if this one is on probation: it has a new checkpoint, cannot have
    /// one, or is not at work.
    pub(in crate::engine::table) fn end_probation(&mut self, id: JobId) {
        if self.on_probation == Some(id) {
            self.on_probation = None;
            self.release_next();
        }
    }

    /// A job stops for good in this process, which it has not ended; unless it is in quarantine.
    pub(in crate::engine::table) fn pause(&mut self, id: JobId) {
        if !self.quarantined.contains(&id) {
            self.set_starts(id, |_| 0);
        }
    }

    /// A job is not worked on for now, so that this start does not count: it cannot be what ends the process.
    pub(in crate::engine::table) fn defer(&mut self, id: JobId) {
        if let Some(job) = self
            .jobs
            .get_mut(&id)
            .filter(|job| job.starts() > 0 && !job.is_deferred)
        {
            job.is_deferred = true;
            self.set_starts(id, |starts| starts - 1);
        }
        self.end_probation(id);
    }

    /// A deferred job is to be worked on: the number of starts that counts then. One that may have ended earlier
    /// processes waits until no other such job is at work.
    pub(in crate::engine::table) fn count_again(&mut self, id: JobId) -> Option<u32> {
        let job = self
            .jobs
            .get(&id)
            .filter(|job| job.is_deferred && job.unfinished.is_some())?;
        let starts = job.starts() + 1;
        if job.starts() < QUARANTINE_STARTS {
            self.start_again(id);
        } else if !self.quarantined.contains(&id) {
            self.quarantined.push_back(id);
            self.release_next();
        }
        Some(starts)
    }

    fn start_again(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.is_deferred = false;
        }
        self.set_starts(id, |starts| starts + 1);
    }

    fn set_starts(&mut self, id: JobId, change: impl FnOnce(u32) -> u32) {
        let stored = self.jobs.get_mut(&id).and_then(|job| job.unfinished.as_mut());
        if let Some(stored) = stored {
            let starts = change(stored.starts);
            if starts != stored.starts {
                stored.starts = starts;
                self.record(|| Record::Starts(id, starts));
            }
        }
    }

    /// How far a job was at its latest checkpoint.
    pub(in crate::engine::table) fn saved_progress(&self, id: JobId) -> f64 {
        let stored = self.jobs.get(&id).and_then(|job| job.unfinished.as_ref());
        let checkpoint = stored.and_then(|stored| stored.checkpoint.as_ref());
        checkpoint.map_or(0.0, |checkpoint| checkpoint.progress)
    }

    /// Whether a job was taken in by an earlier process.
    pub(in crate::engine::table) fn is_restored(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.is_restored)
    }

    /// Whether a job goes on that has no new checkpoint since.
    pub(in crate::engine::table) fn has_no_new_checkpoint(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.starts() > 0)
    }

    /// Why a job does not go on that has ended every process it was in since its last new checkpoint; none if
    /// it may.
    pub(in crate::engine::table) fn given_up(stored: &StoredJob) -> Option<Failure> {
        (stored.starts >= MAX_STARTS).then(|| {
            let text = format!(
                "the daemon ended {} times while it worked on job {}, each time before that came further than its last checkpoint, so \
                 it does not go on; the log says why the daemon ended; submit it again to try once more",
                stored.starts, stored.submission.job
            );
            Failure::new(Code::Internal, text)
        })
    }

    /// The same jobs for a new table. With a store, those that run in the old one are taken out, to be
    /// [restored](Self::restore); without one they have failed.
    pub(in crate::engine::table) fn rebuilt(mut self, failure: &Failure, now: Instant) -> (Self, Vec<StoredJob>) {
        self.lists.clear();
        self.confined.clear();
        self.delayed.clear();
        self.quarantined.clear();
        self.on_probation = None;
        let mut unfinished = Vec::new();
        for (id, _) in self.running() {
            if !self.keeps() {
                self.finish(id, Err(failure.clone()), Duration::ZERO, now);
            } else if let Some(stored) = self.remove(id).and_then(|job| job.unfinished) {
                unfinished.push(*stored);
            }
        }
        (self, unfinished)
    }
}

/// When a job of an earlier process may begin: at its moment, but no longer from now than it was to wait when it was
/// submitted, for the clock may have been ahead then.
fn begins_at(wall: &Wall, submission: &Submission, now: Instant) -> Option<Instant> {
    let at = submission.not_before?;
    let wait = at.millis().saturating_sub(submission.submitted_at.millis());
    let latest = now.checked_add(Duration::from_millis(wait));
    let moment = wall.instant(at, now);
    Some(latest.map_or(moment, |latest| moment.min(latest)))
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::*;
    use crate::engine::message::{Policy, RequestId};
    use crate::engine::table::submitted::samples::{CLIENT, open, stored, submission};
    use crate::proto::Value;
    use crate::store::Timestamp;
    use std::sync::Arc;

    #[test]
    fn a_job_that_may_have_ended_the_process_goes_on_alone_until_it_has_a_checkpoint() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        for (job, starts) in [
            (1, 0),
            (2, QUARANTINE_STARTS),
            (3, QUARANTINE_STARTS),
            (4, 1),
            (5, QUARANTINE_STARTS),
        ] {
            submitted.restore(&stored(job, starts), Some(WorkId(job)), now);
            submitted.go_on(JobId(job), now);
        }
        let resumed = |jobs: &[u64]| -> Vec<Record> { jobs.iter().map(|job| Record::Resumed(JobId(*job))).collect() };
        assert_eq!(submitted.take_records(), resumed(&[1, 2, 4]));
        let acknowledged = submitted.acknowledge(JobId(2), now);
        assert_eq!(acknowledged.and_then(|job| job.begins), Some(WorkId(2)));
        assert!(submitted.has_no_new_checkpoint(JobId(2)));
        submitted.checkpoint(JobId(2), Arc::from(&b"bytes"[..]), 0.1, Duration::ZERO, now);
        assert!(!submitted.has_no_new_checkpoint(JobId(2)));
        assert_eq!(submitted.take_records()[1..], resumed(&[3]));
        submitted.pause(JobId(3));
        submitted.pause(JobId(5));
        // The daemon ends: the next one does not begin, and what is known of it stays.
        assert_eq!(submitted.take_records(), [Record::Starts(JobId(3), 0)]);
    }

    #[test]
    fn a_job_that_ends_every_process_is_given_up_and_the_reason_says_what_to_do() {
        assert!(Submitted::given_up(&stored(1, MAX_STARTS - 1).stored).is_none());
        let failure = Submitted::given_up(&stored(1, MAX_STARTS).stored).expect("it went on too often");
        assert!(failure.text.contains("submit it again"), "{failure:?}");
    }

    #[test]
    fn a_deferred_job_in_quarantine_is_worked_on_when_no_other_is() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        for job in [2, 3] {
            submitted.restore(&stored(job, QUARANTINE_STARTS), Some(WorkId(job)), now);
            submitted.go_on(JobId(job), now);
        }
        assert_eq!(submitted.take_records(), [Record::Resumed(JobId(2))]);
        submitted.defer(JobId(2));
        let next = [Record::Starts(JobId(2), QUARANTINE_STARTS), Record::Resumed(JobId(3))];
        assert_eq!(submitted.take_records(), next, "the other is not held up");
        for _ in 0..2 {
            assert_eq!(submitted.count_again(JobId(2)), Some(QUARANTINE_STARTS + 1));
            assert!(submitted.take_records().is_empty(), "it waits for the other");
        }
        submitted.checkpoint(JobId(3), Arc::from(&b"bytes"[..]), 0.1, Duration::ZERO, now);
        assert_eq!(
            submitted.take_records()[1..],
            [Record::Starts(JobId(2), QUARANTINE_STARTS + 1)]
        );
        assert_eq!(submitted.count_again(JobId(2)), None, "it is not deferred");
    }

    #[test]
    fn a_clock_that_was_late_at_the_start_delays_nothing_once_it_is_right() {
        let now = Instant::now();
        let (second, noon) = (Duration::from_secs(1), 1_700_000_000_000);
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        submitted.wall().set(now, Timestamp::from_millis(0));
        let mut later = stored(2, 0);
        later.stored.submission.not_before = Some(Timestamp::from_millis(noon + 10_000));
        later.stored.submission.deadline = Some(Timestamp::from_millis(noon + 20_000));
        let mut begun = stored(3, 0);
        begun.stored.submission = Submission {
            job: JobId(3),
            ..later.stored.submission.clone()
        };
        begun.stored.cpu = second;
        for restored in [&later, &begun] {
            let id = restored.stored.submission.job;
            submitted.restore(restored, Some(WorkId(id.0)), now);
            submitted.go_on(id, now);
        }
        let begins = Record::Resumed(JobId(3));
        assert_eq!(submitted.take_records(), [begins], "it had begun before");
        let soon = submitted.next_alarm().is_some_and(|at| at <= now + 60 * second);
        assert!(soon, "the clocks are compared");
        submitted.wall().set(now + second, Timestamp::from_millis(noon));
        let deadlines = submitted.clock_was_set(now + second);
        assert_eq!(deadlines, [2, 3].map(|id| (JobId(id), now + 21 * second)));
        assert_eq!(submitted.next_alarm(), Some(now + 11 * second));
        assert_eq!(submitted.due(now + 11 * second), None);
        assert_eq!(submitted.take_records(), [Record::Resumed(JobId(2))]);
    }

    #[test]
    fn a_job_that_was_submitted_while_the_clock_was_ahead_waits_no_longer_than_it_was_to() {
        let now = Instant::now();
        let (second, noon, ahead) = (Duration::from_secs(1), 1_700_000_000_000, 1_000_000_000_000);
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        submitted.wall().set(now, Timestamp::from_millis(noon));
        let mut later = stored(2, 0);
        later.stored.submission.submitted_at = Timestamp::from_millis(noon + ahead);
        later.stored.submission.not_before = Some(Timestamp::from_millis(noon + ahead + 5_000));
        submitted.restore(&later, Some(WorkId(2)), now);
        submitted.go_on(JobId(2), now);
        assert_eq!(submitted.next_alarm(), Some(now + 5 * second));
        submitted.wall().set(now + second, Timestamp::from_millis(noon + 1_500));
        submitted.clock_was_set(now + second);
        assert_eq!(submitted.next_alarm(), Some(now + 6 * second));
        assert_eq!(submitted.due(now + 6 * second), None);
        assert_eq!(submitted.take_records(), [Record::Resumed(JobId(2))]);
    }

    #[test]
    fn in_a_new_table_what_ran_has_failed_and_what_was_done_stays() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), false, now);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        let done = submitted.next();
        submitted.open_known(submission("nth 1", done), CLIENT, Ok(Value::from(2)), RequestId(1), now);
        let failure = Failure::new(Code::Internal, "as asked");
        let (mut submitted, unfinished) = submitted.rebuilt(&failure, now);
        assert!(unfinished.is_empty(), "there is no store to go on from");
        assert!(matches!(submitted.find(running, now), Ok(Found::Done(Err(found))) if *found == failure));
        assert!(matches!(submitted.find(done, now), Ok(Found::Done(Ok(_)))));
        assert_eq!(submitted.next(), JobId(3));
        let (rows, is_over) = submitted.rows(WorkId(9), 10, Vec::new, |_| None);
        assert!(rows[1].starts_with("id=1 state=failed error=internal"), "{rows:?}");
        assert_eq!((rows.len(), is_over), (2, true));
    }

    #[test]
    fn with_a_store_what_ran_in_a_broken_table_is_given_back_with_its_checkpoint() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        submitted.checkpoint(running, Arc::from(&b"bytes"[..]), 0.5, Duration::from_secs(3), now);
        let (mut submitted, unfinished) = submitted.rebuilt(&Failure::new(Code::Internal, "as asked"), now);
        assert!(submitted.find(running, now).is_err());
        let [stored] = unfinished.as_slice() else {
            panic!("{unfinished:?}");
        };
        assert_eq!((stored.submission.job, stored.cpu), (running, Duration::from_secs(3)));
        assert_eq!(
            stored.checkpoint.as_ref().map(|saved| saved.bytes.as_ref()),
            Some(&b"bytes"[..])
        );
        assert_eq!(submitted.next(), JobId(2));
    }
}
