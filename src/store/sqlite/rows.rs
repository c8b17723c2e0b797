//! Records as rows and back: text that a person can read, and a digest by which a damaged row is recognised.

use crate::proto::{Code, Failure};
use crate::store::contents::StoredJob;
use crate::store::record::{Checkpoint, End, JobId, KeptAnswer, Priority, State, Submission, Timestamp};
use crate::store::value::{read_value, write_value};
use rusqlite::Row;
use std::time::Duration;

/// Why a row is not what was written.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// SQLite cannot read it.
    Sqlite(rusqlite::Error),
    /// A column holds what no record has, or the digest is of another row.
    Damaged(&'static str),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// 64-bit FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv, section 5) over fields with their lengths, so that none runs
/// into the next.
pub(super) struct Digest(u64);

impl Digest {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn option(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text("1").text(text),
            None => self.text("0"),
        }
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }

    /// As SQLite stores it.
    pub(super) const fn finish(self) -> i64 {
        self.0.cast_signed()
    }
}

/// A time as SQLite stores it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).cast_unsigned())
}

/// A submission's columns.
pub(super) struct SubmissionRow {
    pub(super) submitted_at: String,
    pub(super) not_before: Option<String>,
    pub(super) deadline: Option<String>,
    pub(super) digest: i64,
}

impl SubmissionRow {
    pub(super) fn new(submission: &Submission) -> Self {
        let words = |time: Option<Timestamp>| time.map(|time| time.to_string());
        let mut row = Self {
            submitted_at: submission.submitted_at.to_string(),
            not_before: words(submission.not_before),
            deadline: words(submission.deadline),
            digest: 0,
        };
        row.digest = Digest::new()
            .number(submission.job.0)
            .text(&submission.request)
            .text(&submission.title)
            .option(submission.key.as_deref())
            .text(&submission.owner)
            .text(submission.priority.as_str())
            .text(&row.submitted_at)
            .option(row.not_before.as_deref())
            .option(row.deadline.as_deref())
            .finish();
        row
    }
}

/// The columns of an end.
pub(super) struct EndRow {
    pub(super) ended_at: String,
    pub(super) kind: Option<&'static str>,
    pub(super) value: Option<String>,
    pub(super) code: Option<&'static str>,
    pub(super) message: Option<String>,
    pub(super) digest: i64,
}

impl EndRow {
    pub(super) fn new(end: &End) -> Self {
        let (kind, value) = end.reply.as_ref().ok().map(write_value).unzip();
        let failure = end.reply.as_ref().err();
        let mut row = Self {
            ended_at: end.ended_at.to_string(),
            kind,
            value,
            code: failure.map(|failure| failure.code.as_str()),
            message: failure.map(|failure| failure.text.to_string()),
            digest: 0,
        };
        row.digest = Digest::new()
            .number(end.job.0)
            .text(end.state().as_str())
            .text(&row.ended_at)
            .option(row.kind)
            .option(row.value.as_deref())
            .option(row.code)
            .option(row.message.as_deref())
            .finish();
        row
    }
}

pub(super) fn checkpoint_digest(checkpoint: &Checkpoint) -> i64 {
    Digest::new()
        .number(checkpoint.job.0)
        .text(&checkpoint.saved_at.to_string())
        .number(checkpoint.progress.to_bits())
        .bytes(&checkpoint.bytes)
        .finish()
}

/// The digest of a row as it stands there if its answer was refuted: the complement, which SQL can make of it too.
const fn marked(digest: i64, is_refuted: bool) -> i64 {
    if is_refuted { !digest } else { digest }
}

pub(super) fn answer_digest(answer: &KeptAnswer) -> i64 {
    let (kind, value) = write_value(&answer.value);
    let digest = Digest::new()
        .text(&answer.title)
        .text(kind)
        .text(&value)
        .number(micros(answer.cost).cast_unsigned())
        .text(&answer.found_at.to_string())
        .text(&answer.version)
        .text(&answer.method)
        .finish();
    marked(digest, answer.is_refuted)
}

pub(super) fn meta_digest(name: &str, value: &str) -> i64 {
    Digest::new().text(name).text(value).finish()
}

/// The columns of a job, in the order in which [`read_job`] takes them.
pub(super) const JOB: &str = "SELECT id, request, title, key, owner, priority, submitted_at, not_before, deadline, digest, \
     state, resumed, cpu_us, ended_at, kind, value, code, message, end_digest, starts, refuted FROM jobs ORDER BY id";

pub(super) fn read_job(row: &Row<'_>) -> Result<StoredJob, Unreadable> {
    let job = JobId(row.get::<_, i64>(0)?.cast_unsigned());
    let priority: String = row.get(5)?;
    let submission = Submission {
        job,
        request: row.get(1)?,
        title: row.get(2)?,
        key: row.get(3)?,
        owner: row.get(4)?,
        priority: Priority::parse(&priority).ok_or(Unreadable::Damaged("priority"))?,
        submitted_at: time(&row.get::<_, String>(6)?)?,
        not_before: optional_time(row.get(7)?)?,
        deadline: optional_time(row.get(8)?)?,
    };
    if row.get::<_, i64>(9)? != SubmissionRow::new(&submission).digest {
        return Err(Unreadable::Damaged("digest"));
    }
    let cpu = duration(row.get(12)?);
    let state: String = row.get(10)?;
    let state = State::parse(&state).ok_or(Unreadable::Damaged("state"))?;
    let is_refuted = mark(row.get(20)?)?;
    let end = read_end(row, job, cpu, is_refuted)?;
    if end.as_ref().map_or(State::Unfinished, End::state) != state {
        return Err(Unreadable::Damaged("state"));
    }
    if is_refuted && state != State::Done {
        return Err(Unreadable::Damaged("mark"));
    }
    Ok(StoredJob {
        submission,
        resumed: u32::try_from(row.get::<_, i64>(11)?)
            .map_err(|_| Unreadable::Damaged("number of times it was resumed"))?,
        starts: u32::try_from(row.get::<_, i64>(19)?).map_err(|_| Unreadable::Damaged("number of its starts"))?,
        cpu,
        checkpoint: None,
        end,
        is_refuted,
    })
}

fn read_end(row: &Row<'_>, job: JobId, cpu: Duration, is_refuted: bool) -> Result<Option<End>, Unreadable> {
    let Some(digest) = row.get::<_, Option<i64>>(18)? else {
        return Ok(None);
    };
    let (kind, value): (Option<String>, Option<String>) = (row.get(14)?, row.get(15)?);
    let (code, message): (Option<String>, Option<String>) = (row.get(16)?, row.get(17)?);
    let reply = match (kind, value, code, message) {
        (Some(kind), Some(value), None, None) => Ok(read_value(&kind, value).ok_or(Unreadable::Damaged("answer"))?),
        (None, None, Some(code), Some(text)) => {
            let code = Code::parse(&code).ok_or(Unreadable::Damaged("error code"))?;
            Err(Failure::new(code, text))
        }
        _ => return Err(Unreadable::Damaged("end")),
    };
    let end = End {
        job,
        ended_at: time(&row.get::<_, String>(13)?)?,
        cpu,
        reply,
    };
    if marked(EndRow::new(&end).digest, is_refuted) != digest {
        return Err(Unreadable::Damaged("digest of its end"));
    }
    Ok(Some(end))
}

/// The columns of a checkpoint, in the order in which [`read_checkpoint`] takes them.
pub(super) const CHECKPOINT: &str = "SELECT job, saved_at, progress, bytes, digest FROM checkpoints ORDER BY job";

/// Reads a checkpoint; its CPU time stands with the job.
pub(super) fn read_checkpoint(row: &Row<'_>) -> Result<Checkpoint, Unreadable> {
    let checkpoint = Checkpoint {
        job: JobId(row.get::<_, i64>(0)?.cast_unsigned()),
        saved_at: time(&row.get::<_, String>(1)?)?,
        progress: row.get(2)?,
        cpu: Duration::ZERO,
        bytes: row.get::<_, Vec<u8>>(3)?.into(),
    };
    if row.get::<_, i64>(4)? != checkpoint_digest(&checkpoint) {
        return Err(Unreadable::Damaged("digest"));
    }
    Ok(checkpoint)
}

/// The columns of an answer, in the order in which [`read_answer`] takes them.
pub(super) const ANSWER: &str =
    "SELECT title, kind, value, cost_us, found_at, version, method, refuted, digest FROM answers ORDER BY title";

pub(super) fn read_answer(row: &Row<'_>) -> Result<KeptAnswer, Unreadable> {
    let kind: String = row.get(1)?;
    let answer = KeptAnswer {
        title: row.get(0)?,
        value: read_value(&kind, row.get(2)?).ok_or(Unreadable::Damaged("answer"))?,
        cost: duration(row.get(3)?),
        found_at: time(&row.get::<_, String>(4)?)?,
        version: row.get(5)?,
        method: row.get(6)?,
        is_refuted: mark(row.get(7)?)?,
    };
    if row.get::<_, i64>(8)? != answer_digest(&answer) {
        return Err(Unreadable::Damaged("digest"));
    }
    Ok(answer)
}

fn mark(number: i64) -> Result<bool, Unreadable> {
    match number {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Unreadable::Damaged("mark")),
    }
}

fn time(text: &str) -> Result<Timestamp, Unreadable> {
    text.parse().map_err(|_| Unreadable::Damaged("time"))
}

fn optional_time(text: Option<String>) -> Result<Option<Timestamp>, Unreadable> {
    text.as_deref().map(time).transpose()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::primes::Natural;
    use crate::proto::Value;
    use proptest::prelude::*;
    use std::borrow::Cow;

    #[test]
    fn digests_are_those_of_fnv_1a() {
        // Test vectors of draft-eastlake-fnv, appendix C.
        let plain = |text: &str| {
            let mut digest = Digest::new();
            digest.add(text.as_bytes());
            digest.0
        };
        assert_eq!(plain(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(plain("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(plain("foobar"), 0x8594_4171_f739_67e8);
    }

    pub(in crate::store) fn value() -> impl Strategy<Value = Value> {
        let natural = || any::<u128>().prop_map(|n| Natural::from(n).pow(3));
        prop_oneof![
            Just(Value::Nothing),
            natural().prop_map(Value::Number),
            any::<bool>().prop_map(Value::Truth),
            prop::collection::vec(natural(), 0..5).prop_map(Value::Numbers),
            ".*".prop_map(Value::Text),
            prop::collection::vec((".*".prop_map(Cow::Owned), ".*"), 0..4).prop_map(Value::Facts),
        ]
    }

    proptest! {
        #[test]
        fn every_value_is_read_as_it_was_written(value in value()) {
            let (kind, words) = write_value(&value);
            prop_assert_eq!(read_value(kind, words), Some(value));
        }

        #[test]
        fn no_words_make_reading_a_value_panic(words in ".*") {
            for kind in ["nothing", "number", "truth", "numbers", "text", "facts", "other"] {
                let _ = read_value(kind, words.clone());
            }
        }
    }
}
