//! What is to be written next, and what became of it: batches, one under way at a time, so that all records that come
//! while one is written share the next one and its `fsync`.
//!
//! Plain data of the scheduler; knows no thread and no file. A turn [pushes](Journal::push) its records and takes the
//! [next batch](Journal::next_batch), if there is one, to the writer; what the writer says goes to
//! [`settle`](Journal::settle), which gives the jobs whose IDs may be sent now, or must be refused.

use super::error::{ErrorKind, StoreError};
use super::record::{Checkpoint, JobId, Record};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Records of a batch at most, checkpoints not counted: 1,000 submits take 16 ms, of which 6 are the `fsync`, and a
/// submit waits for two batches at the most (tests/store.rs, `commits_a_second_by_the_size_of_a_group`).
const MAX_RECORDS: usize = 1024;

/// Bytes of checkpoints of a batch, unless one alone has more: submits of the same batch wait for them.
const MAX_CHECKPOINT_BYTES: usize = 4 << 20;

/// How long after a failure the store is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a batch may be with the writer until the store has failed: a busy disk takes some tenths of a second, and
/// one that hangs may take hours.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Answers that may wait for a store that fails; further ones are let go, for they can be found again.
const MAX_WAITING_ANSWERS: usize = 10_000;

/// The records that are not yet committed.
#[derive(Debug, Default)]
pub struct Journal {
    waiting: VecDeque<Record>,
    /// The latest of each job. They come after the other records of a batch, which does no harm: a checkpoint after the
    /// end is ignored.
    checkpoints: BTreeMap<JobId, Checkpoint>,
    waiting_answers: usize,
    /// When the batch that is being written was taken.
    writing_since: Option<Instant>,
    /// That batch is [overdue](Self::fail_overdue), and what was said of it.
    overdue: Option<StoreError>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    error: StoreError,
    retry_at: Instant,
}

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Jobs whose submission is on disk, so that their IDs may be sent, or of which it is there that they go on, so
    /// that they may begin.
    pub acknowledged: Vec<JobId>,
    /// Submitted jobs that are not: they are refused, and their IDs never used.
    pub refused: Vec<JobId>,
    /// Jobs whose end was to be written, after a failure also those that it would have held up.
    pub ended: Vec<JobId>,
    /// Jobs whose number of starts was to be written, and that.
    pub counted: Vec<(JobId, u32)>,
}

impl Journal {
    /// Nothing to be written.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether one more answer may wait. If not, the answer is not cached either: it would evict another,
    /// which is a record too.
    pub const fn takes_answers(&self) -> bool {
        self.waiting_answers < MAX_WAITING_ANSWERS
    }

    /// Adds a record to what is to be written.
    pub fn push(&mut self, record: Record) {
        match record {
            Record::Checkpoint(checkpoint) => {
                self.checkpoints.insert(checkpoint.job, checkpoint);
                return;
            }
            Record::Ended(ref end) => {
                self.checkpoints.remove(&end.job);
            }
            Record::Forgotten(ref job) => {
                self.checkpoints.remove(job);
            }
            Record::Answer(_) if !self.takes_answers() => return,
            _ => {}
        }
        self.waiting_answers += usize::from(matches!(record, Record::Answer(_)));
        self.waiting.push_back(record);
    }

    /// Whether a submit has a chance: none for a second after the store has failed, and while a batch is overdue.
    ///
    /// # Errors
    /// Why not.
    pub fn admits(&self, now: Instant) -> Result<(), &StoreError> {
        match (&self.overdue, &self.failure) {
            (Some(error), _) => Err(error),
            (None, Some(failure)) if now < failure.retry_at => Err(&failure.error),
            _ => Ok(()),
        }
    }

    /// True if nothing waits and nothing is being written: what was pushed is committed, or given up.
    pub fn is_settled(&self) -> bool {
        self.writing_since.is_none() && self.waiting.is_empty() && self.checkpoints.is_empty()
    }

    /// When to ask for the [next batch](Self::next_batch), or whether one is [overdue](Self::fail_overdue), even if
    /// nothing happens until then.
    pub fn wake_at(&self) -> Option<Instant> {
        if let Some(since) = self.writing_since {
            return (self.overdue.is_none()).then_some(since + WRITE_LIMIT);
        }
        let is_waiting = !self.waiting.is_empty() || !self.checkpoints.is_empty();
        let failure = self.failure.as_ref().filter(|_| is_waiting);
        failure.map(|failure| failure.retry_at)
    }

    /// The next batch for the store. None while one is being written, within a second of a failure, or if there is
    /// nothing to write.
    pub fn next_batch(&mut self, now: Instant) -> Option<Vec<Record>> {
        if self.writing_since.is_some() || self.admits(now).is_err() {
            return None;
        }
        let count = self.waiting.len().min(MAX_RECORDS);
        let mut batch: Vec<Record> = self.waiting.drain(..count).collect();
        self.waiting_answers -= batch
            .iter()
            .filter(|record| matches!(record, Record::Answer(_)))
            .count();
        let mut bytes = 0;
        while let Some(next) = self.checkpoints.first_entry() {
            bytes += next.get().bytes.len();
            if bytes > MAX_CHECKPOINT_BYTES && bytes > next.get().bytes.len() {
                break;
            }
            batch.push(Record::Checkpoint(next.remove()));
        }
        self.writing_since = (!batch.is_empty()).then_some(now);
        self.writing_since.map(|_| batch)
    }

    /// What was said of the batch that is being written, if it is [overdue](Self::fail_overdue).
    pub const fn overdue(&self) -> Option<&StoreError> {
        self.overdue.as_ref()
    }

    /// Finds once of a batch that it takes too long. The store, which is at this place, has failed then until the batch
    /// is [settled](Self::settle): the error, and the submissions that wait for it, which are refused. Those of the
    /// batch itself may reach the disk yet.
    pub fn fail_overdue(&mut self, place: impl FnOnce() -> String, now: Instant) -> Option<(StoreError, Vec<JobId>)> {
        let taken = now.saturating_duration_since(self.writing_since?);
        if taken < WRITE_LIMIT || self.overdue.is_some() {
            return None;
        }
        let what = format!("a write has taken {} s, and is not done", taken.as_secs());
        let error = StoreError::new(ErrorKind::Io, place(), what);
        self.overdue = Some(error.clone());
        Some((error, self.refuse_waiting()))
    }

    /// The submissions that wait, which do so no longer.
    fn refuse_waiting(&mut self) -> Vec<JobId> {
        let jobs = self.waiting.iter().filter_map(submission).collect();
        self.waiting.retain(|record| submission(record).is_none());
        jobs
    }

    /// Takes back a batch with what the store said. After a failure that may pass, all but submissions is kept for the
    /// next try.
    pub fn settle(&mut self, batch: Vec<Record>, result: Result<(), StoreError>, now: Instant) -> Settled {
        (self.writing_since, self.overdue) = (None, None);
        let resumed = |record: &Record| match record {
            Record::Resumed(job) => Some(*job),
            _ => None,
        };
        let ends = |record: &Record| match record {
            Record::Ended(end) => Some(end.job),
            _ => None,
        };
        let mut jobs: Vec<JobId> = batch.iter().filter_map(submission).collect();
        let counts = |record: &Record| match record {
            Record::Starts(job, starts) => Some((*job, *starts)),
            _ => None,
        };
        let mut ended: Vec<JobId> = batch.iter().filter_map(ends).collect();
        let mut counted: Vec<(JobId, u32)> = batch.iter().filter_map(counts).collect();
        let go_on = batch.iter().filter_map(resumed);
        let Err(error) = result else {
            self.failure = None;
            return Settled {
                acknowledged: go_on.chain(jobs.iter().copied()).collect(),
                refused: Vec::new(),
                ended,
                counted,
            };
        };
        // What can never be written is given up, and what goes on does so uncounted.
        let acknowledged = match error.kind.is_retriable() {
            true => Vec::new(),
            false => go_on.collect(),
        };
        if error.kind.is_retriable() {
            self.keep(batch);
            // Those that came meanwhile would wait as long as it fails, for the same records are tried first.
            ended.extend(self.waiting.iter().filter_map(ends));
            counted.extend(self.waiting.iter().filter_map(counts));
            jobs.extend(self.refuse_waiting());
        }
        self.failure = Some(Failure {
            error,
            retry_at: now + RETRY_AFTER,
        });
        Settled {
            acknowledged,
            refused: jobs,
            ended,
            counted,
        }
    }

    fn keep(&mut self, batch: Vec<Record>) {
        for record in batch.into_iter().rev() {
            match record {
                // The write may have reached the disk before it failed; then the job nobody knows of must go.
                Record::Submitted(submission) => self.waiting.push_front(Record::Forgotten(submission.job)),
                Record::Checkpoint(checkpoint) => {
                    self.checkpoints.entry(checkpoint.job).or_insert(checkpoint);
                }
                record => {
                    self.waiting_answers += usize::from(matches!(record, Record::Answer(_)));
                    self.waiting.push_front(record);
                }
            }
        }
    }
}

/// The job that a record submits.
const fn submission(record: &Record) -> Option<JobId> {
    match record {
        Record::Submitted(submission) => Some(submission.job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::{answer, checkpoint, end, submission};
    use crate::store::{KeptAnswer, KeptAnswers};

    fn full() -> Result<(), StoreError> {
        Err(StoreError::new(ErrorKind::Full, "store", "full"))
    }

    #[test]
    fn what_comes_while_a_batch_is_written_shares_the_next_one() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        assert_eq!(journal.next_batch(now), None);
        journal.push(Record::Submitted(submission(1)));
        let first = journal.next_batch(now).expect("a record waits");
        journal.push(Record::Submitted(submission(2)));
        journal.push(Record::Submitted(submission(3)));
        assert_eq!(journal.next_batch(now), None, "one is under way");
        let settled = journal.settle(first, Ok(()), now);
        assert_eq!(settled.acknowledged, [JobId(1)]);
        let second = journal.next_batch(now).expect("two records wait");
        assert!(!journal.is_settled());
        assert_eq!(journal.settle(second, Ok(()), now).acknowledged, [JobId(2), JobId(3)]);
        assert!(journal.is_settled());
    }

    #[test]
    fn a_batch_that_takes_too_long_is_a_failure_until_it_is_settled() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Submitted(submission(1)));
        let batch = journal.next_batch(now).expect("a record waits");
        journal.push(Record::Submitted(submission(2)));
        journal.push(Record::Ended(end(3)));
        let place = || "store".to_owned();
        let late = journal.wake_at().expect("it may take too long");
        assert!(journal.fail_overdue(place, late - Duration::from_millis(1)).is_none());
        assert!(journal.admits(now).is_ok());
        let (error, refused) = journal.fail_overdue(place, late).expect("it is late");
        assert_eq!(
            (error.kind, error.what.as_str()),
            (ErrorKind::Io, "a write has taken 5 s, and is not done")
        );
        assert_eq!(refused, [JobId(2)], "the other may reach the disk yet");
        assert!(journal.admits(late + 9 * WRITE_LIMIT).is_err());
        assert_eq!(journal.wake_at(), None, "that was said");
        assert!(journal.fail_overdue(place, late + WRITE_LIMIT).is_none());
        assert_eq!(journal.settle(batch, Ok(()), late).acknowledged, [JobId(1)]);
        assert!(journal.admits(late).is_ok());
        assert_eq!(journal.next_batch(late), Some(vec![Record::Ended(end(3))]));
    }

    #[test]
    fn of_the_checkpoints_of_a_job_only_the_latest_is_written_and_none_after_its_end() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Checkpoint(checkpoint(1, b"old")));
        journal.push(Record::Checkpoint(checkpoint(1, b"new")));
        journal.push(Record::Checkpoint(checkpoint(2, b"two")));
        journal.push(Record::Ended(end(2)));
        let batch = journal.next_batch(now);
        assert_eq!(
            batch,
            Some(vec![Record::Ended(end(2)), Record::Checkpoint(checkpoint(1, b"new"))])
        );
    }

    #[test]
    fn after_a_failure_submits_are_refused_and_all_else_is_tried_again() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Submitted(submission(7)));
        journal.push(Record::Ended(end(3)));
        journal.push(Record::Checkpoint(checkpoint(5, b"old")));
        let batch = journal.next_batch(now).expect("a batch");
        journal.push(Record::Checkpoint(checkpoint(5, b"new")));
        let settled = journal.settle(batch, full(), now);
        assert_eq!((settled.acknowledged, settled.refused), (vec![], vec![JobId(7)]));
        assert_eq!(journal.admits(now).expect_err("it has failed").kind, ErrorKind::Full);
        assert_eq!(journal.next_batch(now), None);
        let later = journal.wake_at().expect("records wait");
        assert!(journal.admits(later).is_ok() && later > now);
        let batch = journal.next_batch(later).expect("what was kept");
        let kept = [
            Record::Forgotten(JobId(7)),
            Record::Ended(end(3)),
            Record::Checkpoint(checkpoint(5, b"new")),
        ];
        assert_eq!(batch, kept);
        journal.settle(batch, Ok(()), later);
        assert!(journal.is_settled() && journal.failure.is_none() && journal.wake_at().is_none());
    }

    #[test]
    fn a_job_of_another_node_is_neither_refused_nor_forgotten_after_a_failure() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Adopted(submission(7)));
        let batch = journal.next_batch(now).expect("a batch");
        journal.push(Record::Ended(end(7)));
        assert_eq!(journal.settle(batch, full(), now).refused, []);
        let later = journal.wake_at().expect("records wait");
        let kept = [Record::Adopted(submission(7)), Record::Ended(end(7))];
        assert_eq!(journal.next_batch(later), Some(kept.into()));
    }

    #[test]
    fn a_store_that_goes_on_failing_keeps_no_submit_waiting() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        let submissions = |jobs: std::ops::Range<u64>| jobs.map(|job| Record::Submitted(submission(job)));
        submissions(0..1_500).for_each(|record| journal.push(record));
        journal.push(Record::Ended(end(3_000)));
        let batch = journal.next_batch(now).expect("a batch");
        submissions(1_500..1_600).for_each(|record| journal.push(record));
        let settled = journal.settle(batch, full(), now);
        assert_eq!(settled.refused, (0..1_600).map(JobId).collect::<Vec<_>>());
        assert_eq!(settled.ended, [JobId(3_000)], "who waits for it hears of the failure");
        // What was tried is to be forgotten, which is a batch by itself; what comes after it fares no worse.
        let later = journal.wake_at().expect("records wait");
        let batch = journal.next_batch(later).expect("a batch");
        assert_eq!(batch.len(), MAX_RECORDS);
        journal.push(Record::Submitted(submission(1_600)));
        journal.push(Record::Starts(JobId(3_001), 2));
        let settled = journal.settle(batch, full(), later);
        assert_eq!(
            (settled.refused, settled.ended, settled.counted),
            (vec![JobId(1_600)], vec![JobId(3_000)], vec![(JobId(3_001), 2)])
        );
        let later = journal.wake_at().expect("records wait");
        let batch = journal.next_batch(later).expect("a batch");
        assert!(journal.settle(batch, Ok(()), later).ended.is_empty());
        let batch = journal.next_batch(later).expect("a batch");
        assert_eq!(journal.settle(batch, Ok(()), later).ended, [JobId(3_000)]);
        assert!(journal.is_settled());
    }

    #[test]
    fn a_job_goes_on_when_that_is_written_or_never_can_be() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Resumed(JobId(3)));
        let batch = journal.next_batch(now).expect("a batch");
        assert!(journal.settle(batch, full(), now).acknowledged.is_empty());
        let later = journal.wake_at().expect("it is tried again");
        let batch = journal.next_batch(later).expect("a batch");
        assert_eq!(journal.settle(batch, Ok(()), later).acknowledged, [JobId(3)]);
        journal.push(Record::Resumed(JobId(4)));
        let batch = journal.next_batch(later).expect("a batch");
        let fault = Err(StoreError::new(ErrorKind::Internal, "store", "fault"));
        assert_eq!(journal.settle(batch, fault, later).acknowledged, [JobId(4)]);
    }

    #[test]
    fn a_batch_that_can_never_be_written_does_not_hold_up_others() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        journal.push(Record::Ended(end(3)));
        let batch = journal.next_batch(now).expect("a batch");
        journal.settle(batch, Err(StoreError::new(ErrorKind::Internal, "store", "fault")), now);
        assert!(journal.is_settled() && journal.failure.is_some());
    }

    #[test]
    fn what_waits_for_a_store_that_fails_is_bounded() {
        let (mut journal, mut now) = (Journal::new(), Instant::now());
        for turn in 0..30 {
            for number in 0..1_000 {
                journal.push(Record::Answer(answer(turn * 1_000 + number)));
                journal.push(Record::Checkpoint(checkpoint(number % 10, b"bytes")));
            }
            if let Some(batch) = journal.next_batch(now) {
                journal.settle(batch, full(), now);
            }
            now += RETRY_AFTER;
        }
        assert!(
            journal.waiting.len() <= MAX_WAITING_ANSWERS + MAX_RECORDS,
            "{}",
            journal.waiting.len()
        );
        assert_eq!(journal.checkpoints.len(), 10);
    }

    #[test]
    fn answers_that_are_found_while_a_store_fails_evict_a_bounded_number() {
        let (mut journal, mut now) = (Journal::new(), Instant::now());
        let mut kept = KeptAnswers::new(100, u64::MAX);
        for number in 0..30_000 {
            // Each costs more than those before, and takes the place of one of them.
            let cost = Duration::from_millis(number);
            let found = KeptAnswer { cost, ..answer(number) };
            if journal.takes_answers() {
                kept.keep(found).into_iter().for_each(|record| journal.push(record));
            }
            if number % 1_000 == 0
                && let Some(batch) = journal.next_batch(now)
            {
                journal.settle(batch, full(), now);
                now += RETRY_AFTER;
            }
        }
        let waiting = journal.waiting.len();
        assert!(waiting <= 2 * (MAX_WAITING_ANSWERS + MAX_RECORDS), "{waiting}");
    }

    #[test]
    fn a_batch_has_a_limit_on_records_and_on_bytes_of_checkpoints() {
        let (mut journal, now) = (Journal::new(), Instant::now());
        let long = vec![0; MAX_CHECKPOINT_BYTES + 1];
        for job in 0..3 * MAX_RECORDS as u64 {
            journal.push(Record::Ended(end(job)));
        }
        journal.push(Record::Checkpoint(checkpoint(20_000, &long)));
        journal.push(Record::Checkpoint(checkpoint(20_001, &long)));
        let mut batches = Vec::new();
        while let Some(batch) = journal.next_batch(now) {
            batches.push(batch.len());
            journal.settle(batch, Ok(()), now);
        }
        assert_eq!(batches, [MAX_RECORDS + 1, MAX_RECORDS + 1, MAX_RECORDS]);
    }
}
