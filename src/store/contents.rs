//! What records come to: the jobs and answers that are kept. Plain data, and the one definition of what each record
//! does; knows no file.

use super::record::{Checkpoint, End, JobId, KeptAnswer, Record, State, Submission};
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// No job up to this ID may be given again; 0 if there was none.
    pub last_job: u64,
    /// The jobs.
    pub jobs: BTreeMap<JobId, StoredJob>,
    /// The answers, by the titles of their questions.
    pub answers: BTreeMap<String, KeptAnswer>,
}

/// A job as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredJob {
    /// What was submitted.
    pub submission: Submission,
    /// How often it went on in another process.
    pub resumed: u32,
    /// How often it went on since its last new checkpoint. After an orderly end of the process it is 0.
    pub starts: u32,
    /// The CPU time it took as far as is known.
    pub cpu: Duration,
    /// How far it has come.
    pub checkpoint: Option<Checkpoint>,
    /// How it ended.
    pub end: Option<End>,
    /// True if its answer has failed a verification.
    pub is_refuted: bool,
}

impl StoredJob {
    /// Whether it was worked on.
    pub fn has_begun(&self) -> bool {
        self.checkpoint.is_some() || self.cpu > Duration::ZERO
    }

    /// A job that has done nothing yet.
    pub const fn unbegun(submission: Submission) -> Self {
        Self {
            submission,
            resumed: 0,
            starts: 0,
            cpu: Duration::ZERO,
            checkpoint: None,
            end: None,
            is_refuted: false,
        }
    }

    /// The same job without its checkpoint, for those who do not go on with it.
    #[cfg(feature = "cluster")]
    pub(crate) fn without_checkpoint(&self) -> Self {
        Self {
            checkpoint: None,
            ..self.clone()
        }
    }

    /// A job that nobody submitted, with the words of a request: what a question comes to again is found by it.
    pub fn of_request(request: String) -> Self {
        Self::unbegun(Submission::of_request(JobId(0), request))
    }

    /// It goes on in another process.
    pub(crate) const fn resume(&mut self) {
        self.resumed += 1;
        self.starts += 1;
    }

    /// It has come this far. True if that is new: the bytes that it had before are no progress, and its starts count
    /// on.
    pub(crate) fn take_checkpoint(&mut self, checkpoint: Checkpoint) -> bool {
        let before = self.checkpoint.as_ref();
        let is_new = before.is_none_or(|before| before.bytes != checkpoint.bytes);
        if is_new {
            self.starts = 0;
        }
        self.cpu = checkpoint.cpu;
        self.checkpoint = Some(checkpoint);
        is_new
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.end.as_ref().map_or(State::Unfinished, End::state)
    }
}

impl Contents {
    /// Does what a record says. One about a job or answer that is not there does nothing.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Submitted(submission) | Record::Adopted(submission) => {
                let id = submission.job;
                self.last_job = self.last_job.max(id.0);
                self.jobs
                    .entry(id)
                    .or_insert_with(|| StoredJob::unbegun(submission.clone()));
            }
            Record::Resumed(id) => {
                if let Some(job) = self.unfinished(*id) {
                    job.resume();
                }
            }
            Record::Starts(id, starts) => {
                if let Some(job) = self.unfinished(*id) {
                    job.starts = *starts;
                }
            }
            Record::Checkpoint(checkpoint) => {
                if let Some(job) = self.unfinished(checkpoint.job) {
                    job.take_checkpoint(checkpoint.clone());
                }
            }
            Record::Ended(end) => {
                if let Some(job) = self.jobs.get_mut(&end.job) {
                    job.cpu = end.cpu;
                    job.checkpoint = None;
                    job.is_refuted = false;
                    job.end = Some(end.clone());
                }
            }
            Record::Refuted(id) => {
                if let Some(job) = self.jobs.get_mut(id).filter(|job| job.state() == State::Done) {
                    job.is_refuted = true;
                }
            }
            Record::Forgotten(id) => {
                self.jobs.remove(id);
            }
            Record::Answer(answer) => {
                self.answers.insert(answer.title.clone(), answer.clone());
            }
            Record::AnswerRefuted(title) => {
                if let Some(answer) = self.answers.get_mut(title) {
                    answer.is_refuted = true;
                }
            }
            Record::AnswerForgotten(title) => {
                self.answers.remove(title);
            }
            Record::AnswersForgotten => self.answers.clear(),
        }
    }

    fn unfinished(&mut self, id: JobId) -> Option<&mut StoredJob> {
        self.jobs.get_mut(&id).filter(|job| job.end.is_none())
    }
}
