//! What came of submitted jobs: it is remembered for a while, given to clients that ask, and taken back if it is
//! refuted.

use super::opening::is_taken_back;
use super::{Job, State, Submitted, hash, no_job};
use crate::engine::message::{JobId, WorkId};
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{End, Record, StoredJob, Submission, Timestamp};
use std::time::{Duration, Instant};

/// What a client finds that asks for a submitted job.
pub(in crate::engine::table) enum Found<'a> {
    Running(WorkId),
    Done(&'a Reply),
}

/// How many old jobs are forgotten at a time, and the pause until the next ones: each is written, and what clients
/// submit is written between them.
const MAX_FORGOTTEN: usize = 1_024;
const FORGET_PAUSE: Duration = Duration::from_millis(50);
/// The same where a job ends or is asked for: more than come.
const MAX_FORGOTTEN_BESIDE: usize = 4;

impl Submitted {
    /// Notes what came of a submitted job.
    pub(in crate::engine::table) fn finish(&mut self, id: JobId, reply: Reply, cpu: Duration, now: Instant) {
        if let Some(job) = self.jobs.get_mut(&id)
            && matches!(job.state, State::Running(_))
        {
            let cpu = job.cpu_before + cpu;
            let end = self.records.is_some().then(|| End {
                job: id,
                ended_at: self.wall.at(now),
                cpu,
                reply: reply.clone(),
            });
            self.ended_unacknowledged += usize::from(job.unacknowledged.is_some());
            let not_before = job.not_before;
            let freed = job.key.take_if(|_| is_taken_back(&reply));
            job.state = State::Done { reply, cpu, ended: now };
            if let Some(stored) = job.unfinished.take() {
                self.checkpoints.release(&stored);
            }
            self.finished.push_back(id);
            if let (Some(end), Some(records)) = (end, &mut self.records) {
                records.push(Record::Ended(end));
            }
            self.free_key(id, freed.as_ref());
            self.not_delayed(id, not_before);
            self.end_probation(id);
        }
        self.forget_old(now);
    }

    /// A job that has ended came to this instead, also in the store. False if that was so, or if its answer was
    /// refuted: the store keeps one that was refuted elsewhere beside its mark.
    pub(in crate::engine::table) fn replace_end(&mut self, end: End) -> bool {
        let Some(State::Done { reply, cpu, .. }) = self.jobs.get_mut(&end.job).map(|job| &mut job.state) else {
            return false;
        };
        let refuted = Err(end.job.refuted());
        if *reply == end.reply || *reply == refuted {
            return false;
        }
        if end.reply == refuted && reply.is_ok() {
            *reply = refuted;
            self.record(|| Record::Refuted(end.job));
            return false;
        }
        (*reply, *cpu) = (end.reply.clone(), end.cpu);
        self.record(|| Record::Ended(end));
        true
    }

    /// Forgets a few of those that ended too long ago, or that are too many.
    pub(super) fn forget_old(&mut self, now: Instant) {
        self.forget_at_most(MAX_FORGOTTEN_BESIDE, now);
    }

    /// When there is one to forget, if no job ends or is asked for until then.
    pub(super) fn next_forgotten(&self) -> Option<Instant> {
        let oldest = self.jobs.get(self.finished.front()?)?;
        let State::Done { ended, .. } = oldest.state else {
            return None;
        };
        if oldest.unacknowledged.is_some() {
            // It is looked at again when the store has it.
            return None;
        }
        let old = match self.finished.len() > self.max_finished {
            true => ended,
            false => ended.checked_add(self.max_age)? + Duration::from_millis(1),
        };
        Some(old.max(self.forget_again))
    }

    /// Forgets those whose time has come, as many as the store takes meanwhile.
    pub(in crate::engine::table) fn forget_due(&mut self, now: Instant) {
        if self.next_forgotten().is_some_and(|at| at <= now) {
            self.forget_at_most(MAX_FORGOTTEN, now);
            self.forget_again = now + FORGET_PAUSE;
        }
    }

    fn forget_at_most(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            let Some(&oldest) = self.finished.front() else {
                break;
            };
            let age = match self.jobs.get(&oldest).map(|job| &job.state) {
                Some(State::Done { ended, .. }) => now.saturating_duration_since(*ended),
                _ => Duration::MAX,
            };
            let is_within = self.finished.len() <= self.max_finished && age <= self.max_age;
            let is_awaited = |job: &Job| job.unacknowledged.is_some();
            if is_within || self.jobs.get(&oldest).is_some_and(is_awaited) {
                break;
            }
            self.finished.pop_front();
            self.remove(oldest);
            self.record(|| Record::Forgotten(oldest));
        }
    }

    /// A submitted job that is not forgotten.
    ///
    /// # Errors
    /// `no-job` if there is none.
    pub(in crate::engine::table) fn find(&mut self, id: JobId, now: Instant) -> Result<Found<'_>, Failure> {
        self.forget_old(now);
        match self.jobs.get(&id).map(|job| &job.state) {
            Some(State::Running(work)) => Ok(Found::Running(*work)),
            Some(State::Done { reply, .. }) => Ok(Found::Done(reply)),
            None => Err(no_job(id)),
        }
    }

    /// A job that has its answer, as it was before it began, and the answer.
    ///
    /// # Errors
    /// `no-job` if there is none, or it has no answer.
    pub(in crate::engine::table) fn answered(
        &mut self,
        id: JobId,
        now: Instant,
    ) -> Result<(StoredJob, Value), Failure> {
        let value = match self.find(id, now)? {
            Found::Done(Ok(value)) => value.clone(),
            Found::Done(Err(failure)) => {
                let text = format!("no answer to verify: {}", failure.text);
                return Err(Failure::new(Code::NoJob, text));
            }
            Found::Running(_) => {
                let text = format!("job {id} has not ended; 'result {id}' waits for it");
                return Err(Failure::new(Code::NoJob, text));
            }
        };
        let submission = Self::submission(id, &self.jobs[&id]);
        Ok((StoredJob::unbegun(submission), value))
    }

    pub(super) fn submission(id: JobId, job: &Job) -> Submission {
        // The whole question of a job without a key is not kept: a row shows less of it.
        let (key, title) = match &job.key {
            Some((key, question)) => (Some(key.clone()), question),
            None => (None, &job.title),
        };
        Submission {
            job: id,
            request: job.request.clone(),
            title: title.clone(),
            key,
            owner: job.owner.to_string(),
            priority: job.priority,
            submitted_at: job.submitted_at,
            not_before: None,
            deadline: None,
        }
    }

    /// The answer to this question was refuted, perhaps some time ago: jobs that had one by then give it no more.
    pub(in crate::engine::table) fn refute(&mut self, title: &str, at: Option<Timestamp>) {
        let question = hash(title);
        let mut found = Vec::new();
        for (id, job) in &mut self.jobs {
            if job.question == question
                && let State::Done { reply, ended, .. } = &mut job.state
                && reply.is_ok()
                && at.is_none_or(|at| self.wall.at(*ended) <= at)
            {
                *reply = Err(id.refuted());
                found.push(*id);
            }
        }
        for id in found {
            self.record(|| Record::Refuted(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{Policy, RequestId};
    use crate::engine::table::submitted::samples::{CLIENT, open, submission};

    #[test]
    fn finished_jobs_are_forgotten_by_number_and_by_age_and_running_ones_never() {
        let start = Instant::now();
        let policy = Policy {
            max_finished: 2,
            max_finished_age: Duration::from_secs(60),
            ..Policy::default()
        };
        let mut submitted = Submitted::new(JobId(1), &policy, false, start);
        let running = open(&mut submitted, "pi 1", WorkId(1));
        let done: Vec<JobId> = (0..3)
            .map(|n| open(&mut submitted, &format!("pi {n}"), WorkId(n)))
            .collect();
        for id in &done {
            submitted.finish(*id, Ok(Value::from(0)), Duration::ZERO, start);
        }
        assert!(submitted.find(done[0], start).is_err());
        assert!(submitted.find(done[1], start).is_ok());
        let later = start + Duration::from_secs(61);
        assert!(submitted.find(done[2], later).is_err());
        assert!(submitted.find(running, later).is_ok());
    }

    #[test]
    fn old_jobs_are_forgotten_at_their_time_and_not_all_at_once() {
        let start = Instant::now();
        let (age, count) = (Duration::from_secs(60), MAX_FORGOTTEN as u64 + 1);
        let policy = Policy {
            max_finished: 2 * MAX_FORGOTTEN,
            max_finished_age: age,
            ..Policy::default()
        };
        let mut submitted = Submitted::new(JobId(1), &policy, true, start);
        for work in 0..count {
            let id = open(&mut submitted, "pi 1", WorkId(work));
            submitted.finish(id, Ok(Value::from(0)), Duration::ZERO, start);
        }
        submitted.take_records();
        let later = submitted.next_alarm().expect("they are forgotten");
        assert!(later > start + age && later < start + age + Duration::from_secs(1));
        submitted.forget_due(later);
        assert_eq!(submitted.take_records().len(), MAX_FORGOTTEN);
        submitted.forget_due(later);
        assert_eq!(submitted.take_records(), [], "the store has a pause");
        assert_eq!(submitted.next_alarm(), Some(later + FORGET_PAUSE));
        submitted.forget_due(later + FORGET_PAUSE);
        assert_eq!(submitted.take_records().len(), 1);
        assert_eq!(submitted.next_alarm(), None);
    }

    #[test]
    fn an_answer_that_is_refuted_is_not_given_again() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        submitted.wall().set(now, Timestamp::from_millis(7_000));
        let job = open(&mut submitted, "pi 1", WorkId(1));
        assert!(submitted.answered(job, now).is_err(), "it has not ended");
        submitted.finish(job, Ok(Value::from(7)), Duration::ZERO, now);
        assert!(matches!(submitted.answered(job, now), Ok((_, value)) if value == Value::from(7)));
        submitted.refute("pi 2", None);
        assert!(matches!(submitted.find(job, now), Ok(Found::Done(Ok(_)))));
        submitted.take_records();
        submitted.refute("pi 1", Some(Timestamp::from_millis(6_999)));
        assert_eq!(submitted.take_records(), [], "it was found since");
        submitted.refute("pi 1", None);
        assert!(matches!(submitted.find(job, now), Ok(Found::Done(Err(_)))));
        assert_eq!(submitted.take_records(), [Record::Refuted(job)]);
        assert!(submitted.answered(job, now).is_err());
    }

    #[test]
    fn a_job_that_has_ended_keeps_its_key_and_the_question_that_it_stands_for() {
        let now = Instant::now();
        let mut submitted = Submitted::new(JobId(1), &Policy::default(), true, now);
        let job = submitted.next();
        let question = format!("is {}", "7".repeat(200));
        let keyed = Submission {
            key: Some("mine".to_owned()),
            ..submission(&question, job)
        };
        submitted.open(keyed.clone(), CLIENT, WorkId(1), None, RequestId(1));
        submitted.acknowledge(job, now);
        submitted.finish(job, Ok(Value::from(1)), Duration::ZERO, now);
        let here: Vec<Submission> = submitted.here().into_iter().map(|stored| stored.submission).collect();
        assert_eq!(here, [keyed]);
    }
}
