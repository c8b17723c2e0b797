//! What is written: one record for each change of what is kept. Plain data; knows no file.

use crate::proto::{Code, Failure, Reply, Value, parse_id};
use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The numbers of nodes that there are, and 0. In a cluster the IDs of jobs end in that of the node which took them in.
pub const NODES: u64 = 1_000;

/// The ID of a submitted job, as the wire shows it. No ID is given twice, whatever was forgotten or restarted in
/// between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

impl JobId {
    /// The number of the node of a cluster that took the job in.
    #[must_use]
    pub const fn node(self) -> u64 {
        self.0 % NODES
    }

    /// What is said in place of the answer of this job where a verification came to another.
    pub(crate) fn refuted(self) -> Failure {
        let text = format!("a verification came to another answer than job {self}; submit it again");
        Failure::new(Code::Internal, text)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = ParseIntError;

    /// Reads digits alone.
    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        parse_id(text).map(Self)
    }
}

/// A moment, in milliseconds since 1970, which is what the store keeps of it. Shown and read as
/// `2026-01-31T23:59:59.999Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last millisecond of the year 9999, the last that has a date of four digits.
const LAST_MILLISECOND: u64 = 253_402_300_799_999;

impl Timestamp {
    /// A number of milliseconds after 1970 began; at most the end of the year 9999.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LAST_MILLISECOND {
            LAST_MILLISECOND
        } else {
            millis
        })
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// The same as a time of the system.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(self.time()).fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = humantime::TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_rfc3339(text).map(Self::from)
    }
}

/// How urgent a submitted job is beside the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Works when nothing else does.
    Low,
    /// As any other.
    #[default]
    Normal,
    /// Before any other.
    High,
}

impl Priority {
    /// Every priority, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Its word on the wire and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// The priority of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == text)
    }
}

/// A change of what is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A job was submitted. Its ID must not be sent before the record is committed. Does nothing if the job is there.
    Submitted(Submission),
    /// A job that another node of a cluster acknowledged is worked on here. Does nothing if the job is there.
    Adopted(Submission),
    /// A job that was left unfinished goes on. It must not begin before the record is committed: if it ends the
    /// process, the next one counts.
    Resumed(JobId),
    /// This many starts of a job since its last new checkpoint count: one in which it is not worked on does not, for
    /// what ends the process then is not its fault.
    Starts(JobId, u32),
    /// A job has come so far. Replaces the checkpoint before; ignored after the end. If it is another one than that, no
    /// start of the job counts any more.
    Checkpoint(Checkpoint),
    /// A job ended. Its checkpoint is not needed any more. Replaces the end before, as where another node of a cluster
    /// ended it first.
    Ended(End),
    /// The answer of a job has failed a verification: it is kept to be looked at, and not given again.
    Refuted(JobId),
    /// A job and all about it is forgotten; its ID remains used.
    Forgotten(JobId),
    /// An answer was found. Replaces one of the same title.
    Answer(KeptAnswer),
    /// The answer of this title has failed its verification: it is kept to be looked at, and never given again.
    AnswerRefuted(String),
    /// The answer of this title is forgotten.
    AnswerForgotten(String),
    /// All answers are forgotten.
    AnswersForgotten,
}

/// What was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The ID it was given.
    pub job: JobId,
    /// The words of the request, from which the job is made again.
    pub request: String,
    /// The question in its canonical form, by which equal ones are recognised.
    pub title: String,
    /// What the client called it, if it wants to submit it at most once.
    pub key: Option<String>,
    /// Who submitted it, for people to read.
    pub owner: String,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// It begins no earlier.
    pub not_before: Option<Timestamp>,
    /// It ends no later.
    pub deadline: Option<Timestamp>,
}

impl Submission {
    /// A request of the process itself, of normal priority, with its words as its title.
    pub(crate) fn of_request(job: JobId, request: impl Into<String>) -> Self {
        let request = request.into();
        Self {
            job,
            title: request.clone(),
            request,
            key: None,
            owner: "process".to_owned(),
            priority: Priority::Normal,
            submitted_at: Timestamp::from_millis(0),
            not_before: None,
            deadline: None,
        }
    }
}

/// How far a job has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The job.
    pub job: JobId,
    /// When its plan was saved.
    pub saved_at: Timestamp,
    /// The share that is done, 0.0..=1.0.
    pub progress: f64,
    /// The CPU time it took so far, in this process and those before.
    pub cpu: Duration,
    /// What the plan saved.
    pub bytes: Arc<[u8]>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The job.
    pub job: JobId,
    /// When.
    pub ended_at: Timestamp,
    /// The CPU time it took in all, in this process and those before.
    pub cpu: Duration,
    /// Its answer, or why there is none.
    pub reply: Reply,
}

/// The state of a submitted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Waits or works.
    Unfinished,
    /// Has its answer.
    Done,
    /// Ended with an error.
    Failed,
    /// Was cancelled.
    Cancelled,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Unfinished, Self::Done, Self::Failed, Self::Cancelled];

    /// Its word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl End {
    /// What the job's state is after it.
    pub fn state(&self) -> State {
        match &self.reply {
            Ok(_) => State::Done,
            Err(failure) if failure.code == Code::Cancelled => State::Cancelled,
            Err(_) => State::Failed,
        }
    }
}

/// An answer that is kept because it was expensive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The question in its canonical form.
    pub title: String,
    /// The answer.
    pub value: Value,
    /// The CPU time that finding it took.
    pub cost: Duration,
    /// When it was found.
    pub found_at: Timestamp,
    /// The version of the program that found it.
    pub version: String,
    /// How it was found: `computed`, or `computed, verified`.
    pub method: String,
    /// True if a verification came to another answer: it is never given again.
    pub is_refuted: bool,
}

impl KeptAnswer {
    /// That the answer to this question was refuted at this time, whatever it was.
    #[cfg(feature = "cluster")]
    pub(crate) fn refuted(title: String, at: Timestamp) -> Self {
        Self {
            title,
            value: Value::Nothing,
            cost: Duration::ZERO,
            found_at: at,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            method: "refuted".to_owned(),
            is_refuted: true,
        }
    }
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOMENT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

    pub(in crate::store) fn submission(job: u64) -> Submission {
        Submission {
            owner: "127.0.0.1:40000".to_owned(),
            submitted_at: MOMENT,
            ..Submission::of_request(JobId(job), format!("pi {job}"))
        }
    }

    pub(in crate::store) fn checkpoint(job: u64, bytes: &[u8]) -> Checkpoint {
        Checkpoint {
            job: JobId(job),
            saved_at: MOMENT,
            progress: 0.5,
            cpu: Duration::from_millis(1234),
            bytes: bytes.into(),
        }
    }

    pub(in crate::store) fn end(job: u64) -> End {
        End {
            job: JobId(job),
            ended_at: MOMENT,
            cpu: Duration::from_secs(2),
            reply: Ok(job.into()),
        }
    }

    pub(in crate::store) fn answer(number: u64) -> KeptAnswer {
        KeptAnswer {
            title: format!("pi {number}"),
            value: number.into(),
            cost: Duration::from_millis(150),
            found_at: MOMENT,
            version: "1.2.3".to_owned(),
            method: "gourdon".to_owned(),
            is_refuted: false,
        }
    }

    proptest! {
        #[test]
        fn a_timestamp_is_read_as_it_is_shown(millis in 0..=LAST_MILLISECOND) {
            let stamp = Timestamp::from_millis(millis);
            prop_assert_eq!(stamp.to_string().parse::<Timestamp>().ok(), Some(stamp));
        }
    }

    #[test]
    fn words_of_states_and_priorities_are_read_back() {
        assert!(
            State::ALL
                .into_iter()
                .all(|state| State::parse(state.as_str()) == Some(state))
        );
        assert!(
            Priority::ALL
                .into_iter()
                .all(|p| Priority::parse(p.as_str()) == Some(p))
        );
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }
}
