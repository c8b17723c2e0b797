//! What nodes write for each other: jobs, their owners, their checkpoints, answers and themselves; as JSON, each with
//! the version of its form. Knows no transport. What cannot be read is left to those who wrote it.

use crate::metrics::micros;
use crate::proto::{Code, Failure, Value};
use crate::store::{Checkpoint, End, JobId, KeptAnswer, Submission, Timestamp, read_value, write_value};
use serde_json::{Map, Value as Json, json};
use std::time::Duration;

/// The version of all forms. Entries of another one are left alone.
const FORM: u64 = 1;

/// The largest ID of a job that is taken in from others: no node gets there by counting, and the next one can be named.
const MAX_JOB: u64 = 1_000_000_000_000_000;

/// Characters of the words of a job at the most: more than a message of NATS has, by default, and `submit` takes.
const MAX_WORDS: usize = 1 << 20;

/// Characters of a node's name at the most.
pub(super) const MAX_NAME: usize = 63;

/// Workers of a node at the most, as it is believed.
const MAX_WORKERS: usize = 4_096;
/// More jobs or parts are no count of a node; those of all nodes have a sum.
const MAX_COUNT: u64 = 1 << 40;

/// A submitted job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobEntry {
    pub(super) submission: Submission,
    /// The node that took it in.
    pub(super) origin: String,
    pub(super) end: Option<End>,
}

/// Who works on a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnerEntry {
    /// The node; `None`: it was let go of, and any node may go on with it at once.
    pub(super) node: Option<String>,
    /// How often it was taken over since its last new checkpoint.
    pub(super) starts: u32,
}

/// A node, as it says itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeEntry {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) workers: usize,
    /// Workers that are free for parts of other nodes.
    pub(crate) free: usize,
    /// Long jobs of its own clients that are worked on: no parts of others.
    pub(crate) running: u64,
    /// Submitted jobs that it owns.
    pub(crate) owned: usize,
    pub(crate) parts_done: u64,
    pub(crate) is_worker_only: bool,
}

fn text(json: &Json, name: &str) -> Option<String> {
    Some(json.get(name)?.as_str()?.to_owned())
}

/// Text that may stand in a line, as all words of requests may: nothing in it begins another line.
fn words(json: &Json, name: &str) -> Option<String> {
    text(json, name).filter(|text| text.len() <= MAX_WORDS && is_line(text))
}

/// Whether text may stand in a line.
pub(super) fn is_line(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// An answer. Facts are lines of a reply, as they are.
fn value(json: &Json) -> Option<Value> {
    let value = read_value(&text(json, "kind")?, text(json, "value")?)?;
    let is_shown = match &value {
        Value::Facts(facts) => facts.iter().all(|(key, value)| is_line(key) && is_line(value)),
        _ => true,
    };
    is_shown.then_some(value)
}

/// The name of a node.
fn node_name(json: &Json, name: &str) -> Option<String> {
    text(json, name).filter(|name| is_node_name(name))
}

/// Whether a node may have this name: letters, digits, `-` and `_`.
pub(super) fn is_node_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_of_name)
}

/// Whether the name of a node may have this.
pub(crate) const fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

fn number(json: &Json, name: &str) -> Option<u64> {
    json.get(name)?.as_u64()
}

fn read(bytes: &[u8]) -> Option<Json> {
    let json: Json = serde_json::from_slice(bytes).ok()?;
    (number(&json, "form")? == FORM).then_some(json)
}

fn write(mut json: Json) -> Vec<u8> {
    if let Some(object) = json.as_object_mut() {
        object.insert("form".into(), FORM.into());
    }
    json.to_string().into_bytes()
}

fn end_json(end: &End) -> Json {
    let mut json = json!({"ended_at": end.ended_at.millis(), "cpu_us": micros(end.cpu)});
    match &end.reply {
        Ok(value) => {
            let (kind, words) = write_value(value);
            json["kind"] = kind.into();
            json["value"] = words.into();
        }
        Err(failure) => {
            json["code"] = failure.code.as_str().into();
            json["text"] = failure.text.as_ref().into();
        }
    }
    json
}

fn read_end(job: JobId, json: &Json) -> Option<End> {
    let reply = match json.get("kind") {
        Some(_) => Ok(value(json)?),
        None => Err(Failure::new(Code::parse(&text(json, "code")?)?, text(json, "text")?)),
    };
    Some(End {
        job,
        ended_at: Timestamp::from_millis(number(json, "ended_at")?),
        cpu: Duration::from_micros(number(json, "cpu_us")?),
        reply,
    })
}

impl JobEntry {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Submission {
            job,
            request,
            title,
            key,
            owner,
            priority,
            submitted_at,
            not_before,
            deadline,
        } = &self.submission;
        write(json!({
            "job": job.0,
            "request": request,
            "title": title,
            "key": key,
            "owner": owner,
            "priority": priority.as_str(),
            "submitted_at": submitted_at.millis(),
            "not_before": not_before.map(Timestamp::millis),
            "deadline": deadline.map(Timestamp::millis),
            "origin": self.origin,
            "end": self.end.as_ref().map(end_json),
        }))
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let json = read(bytes)?;
        let job = Some(number(&json, "job")?).filter(|job| *job <= MAX_JOB).map(JobId)?;
        let end = match json.get("end")? {
            Json::Null => None,
            end => Some(read_end(job, end)?),
        };
        let time = |name| number(&json, name).map(Timestamp::from_millis);
        Some(Self {
            submission: Submission {
                job,
                request: words(&json, "request")?,
                title: words(&json, "title")?,
                key: words(&json, "key"),
                owner: words(&json, "owner")?,
                priority: crate::store::Priority::parse(&text(&json, "priority")?)?,
                submitted_at: time("submitted_at")?,
                not_before: time("not_before"),
                deadline: time("deadline"),
            },
            origin: node_name(&json, "origin")?,
            end,
        })
    }
}

impl OwnerEntry {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        write(json!({"node": self.node, "starts": self.starts}))
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let json = read(bytes)?;
        let node = match json.get("node")? {
            Json::Null => None,
            _ => Some(node_name(&json, "node")?),
        };
        Some(Self {
            node,
            starts: u32::try_from(number(&json, "starts")?).ok()?,
        })
    }
}

impl NodeEntry {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        write(json!({
            "name": self.name,
            "version": self.version,
            "workers": self.workers,
            "free": self.free,
            "running": self.running,
            "owned": self.owned,
            "parts_done": self.parts_done,
            "worker_only": self.is_worker_only,
        }))
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let json = read(bytes)?;
        let size = |name| usize::try_from(number(&json, name)?).ok();
        let count = |name| Some(number(&json, name)?.min(MAX_COUNT));
        let workers = size("workers")?.min(MAX_WORKERS);
        Some(Self {
            name: node_name(&json, "name")?,
            version: words(&json, "version").filter(|version| version.len() <= MAX_NAME)?,
            workers,
            free: size("free")?.min(workers),
            running: count("running")?,
            owned: usize::try_from(count("owned")?).ok()?,
            parts_done: count("parts_done")?,
            is_worker_only: json.get("worker_only")?.as_bool()?,
        })
    }
}

/// A checkpoint: a line of JSON, and the bytes of the plan.
pub(super) fn checkpoint_to_bytes(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut bytes = write(json!({
        "job": checkpoint.job.0,
        "saved_at": checkpoint.saved_at.millis(),
        "progress": checkpoint.progress,
        "cpu_us": micros(checkpoint.cpu),
    }));
    bytes.push(b'\n');
    bytes.extend_from_slice(&checkpoint.bytes);
    bytes
}

pub(super) fn read_checkpoint(bytes: &[u8]) -> Option<Checkpoint> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
    let json = read(head)?;
    Some(Checkpoint {
        job: JobId(number(&json, "job")?),
        saved_at: Timestamp::from_millis(number(&json, "saved_at")?),
        progress: json.get("progress")?.as_f64()?.clamp(0.0, 1.0),
        cpu: Duration::from_micros(number(&json, "cpu_us")?),
        bytes: rest.into(),
    })
}

pub(super) fn answer_to_bytes(answer: &KeptAnswer) -> Vec<u8> {
    let (kind, words) = write_value(&answer.value);
    write(json!({
        "title": answer.title,
        "kind": kind,
        "value": words,
        "cost_us": micros(answer.cost),
        "found_at": answer.found_at.millis(),
        "version": answer.version,
        "method": answer.method,
        "refuted": answer.is_refuted,
    }))
}

pub(super) fn read_answer(bytes: &[u8]) -> Option<KeptAnswer> {
    let json = read(bytes)?;
    Some(KeptAnswer {
        title: words(&json, "title")?,
        value: value(&json)?,
        cost: Duration::from_micros(number(&json, "cost_us")?),
        found_at: Timestamp::from_millis(number(&json, "found_at")?),
        version: text(&json, "version")?,
        method: text(&json, "method")?,
        is_refuted: json.get("refuted")?.as_bool()?,
    })
}

/// What a node says of a part to the node that it is of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PartNews {
    /// It is worked on.
    Begun,
    /// It is done: this is the result, whose slices took this CPU time.
    Done(Vec<u8>, Duration),
    /// It is not done here: nobody can read it, or it failed.
    Refused,
}

/// A message about a part: a line of JSON, and the result if there is one.
pub(super) fn part_news_to_bytes(work: u64, number: u64, node: &str, news: &PartNews) -> Vec<u8> {
    let (what, cpu, result) = match news {
        PartNews::Begun => ("begun", Duration::ZERO, &[][..]),
        PartNews::Done(result, cpu) => ("done", *cpu, result.as_slice()),
        PartNews::Refused => ("refused", Duration::ZERO, &[][..]),
    };
    let mut head = Map::new();
    head.insert("work".into(), work.into());
    head.insert("number".into(), number.into());
    head.insert("node".into(), node.into());
    head.insert("what".into(), what.into());
    head.insert("cpu_us".into(), micros(cpu).into());
    head.insert("digest".into(), digest_of_news(work, number, node, result).into());
    let mut bytes = write(Json::Object(head));
    bytes.push(b'\n');
    bytes.extend_from_slice(result);
    bytes
}

/// The work, the number, the node, and what it says. `None` also if the digest is wrong.
pub(super) fn read_part_news(bytes: &[u8]) -> Option<(u64, u64, String, PartNews)> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
    let json = read(head)?;
    let (work, part, node) = (
        number(&json, "work")?,
        number(&json, "number")?,
        node_name(&json, "node")?,
    );
    if number(&json, "digest")? != digest_of_news(work, part, &node, rest) {
        return None;
    }
    let news = match json.get("what")?.as_str()? {
        "begun" => PartNews::Begun,
        "done" => PartNews::Done(rest.to_vec(), Duration::from_micros(number(&json, "cpu_us")?)),
        "refused" => PartNews::Refused,
        _ => return None,
    };
    Some((work, part, node, news))
}

/// The digest of a result as that of this part, by this node: under another name it has another one.
fn digest_of_news(work: u64, number: u64, node: &str, result: &[u8]) -> u64 {
    let mut bytes = format!("{work} {number} {node} ").into_bytes();
    bytes.extend_from_slice(&digest(result).to_le_bytes());
    digest(&bytes)
}

/// FNV-1a of 64 bits: finds what a faulty memory or cable changes.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Priority;

    fn submission() -> Submission {
        Submission {
            job: JobId(12_003),
            request: "pi 1e18".to_owned(),
            title: "pi 1000000000000000000".to_owned(),
            key: Some("mine".to_owned()),
            owner: "127.0.0.1".to_owned(),
            priority: Priority::Low,
            submitted_at: Timestamp::from_millis(7),
            not_before: None,
            deadline: Some(Timestamp::from_millis(9)),
        }
    }

    #[test]
    fn every_entry_is_read_as_it_was_written() {
        for reply in [
            None,
            Some(Ok(Value::from(24_739_954_287_740_860_u64))),
            Some(Err(Failure::new(Code::Deadline, "too late\nby far"))),
        ] {
            let end = reply.map(|reply| End {
                job: JobId(12_003),
                ended_at: Timestamp::from_millis(8),
                cpu: Duration::from_micros(5),
                reply,
            });
            let entry = JobEntry {
                submission: submission(),
                origin: "a".to_owned(),
                end,
            };
            assert_eq!(JobEntry::read(&entry.to_bytes()), Some(entry));
        }
        for node in [None, Some("b".to_owned())] {
            let owner = OwnerEntry { node, starts: 3 };
            assert_eq!(OwnerEntry::read(&owner.to_bytes()), Some(owner));
        }
        let checkpoint = Checkpoint {
            job: JobId(3),
            saved_at: Timestamp::from_millis(4),
            progress: 0.25,
            cpu: Duration::from_micros(9),
            bytes: (&b"a\nb"[..]).into(),
        };
        assert_eq!(read_checkpoint(&checkpoint_to_bytes(&checkpoint)), Some(checkpoint));
        let news = PartNews::Done(b"1\n2".to_vec(), Duration::from_micros(3));
        let bytes = part_news_to_bytes(7, 8, "c", &news);
        assert_eq!(read_part_news(&bytes), Some((7, 8, "c".to_owned(), news)));
    }

    #[test]
    fn what_was_changed_on_the_way_or_is_of_another_form_is_not_read() {
        let news = PartNews::Done(b"result".to_vec(), Duration::ZERO);
        let mut bytes = part_news_to_bytes(7, 8, "c", &news);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(read_part_news(&bytes), None);
        for (name, value) in [("work", 9.into()), ("number", 9.into()), ("node", "d".into())] {
            let bytes = part_news_to_bytes(7, 8, "c", &news);
            let end = memchr::memchr(b'\n', &bytes).expect("it has a line");
            let mut json: Json = serde_json::from_slice(&bytes[..end]).expect("it is JSON");
            json[name] = value;
            let renamed = [json.to_string().as_bytes(), &bytes[end..]].concat();
            assert_eq!(read_part_news(&renamed), None, "it is of another {name}");
        }
        assert_eq!(OwnerEntry::read(br#"{"form":2,"node":"a","starts":0}"#), None);
        for bytes in [&b""[..], b"{}", b"\n", b"[1]", b"{\"form\":1}"] {
            assert!(JobEntry::read(bytes).is_none() && read_checkpoint(bytes).is_none());
            assert!(NodeEntry::read(bytes).is_none() && read_part_news(bytes).is_none());
            assert!(read_answer(bytes).is_none());
        }
    }

    #[test]
    fn facts_that_would_begin_lines_are_not_read() {
        for (fact, is_read) in [("17 digits", true), ("17\nOK 5", false), ("\r", false)] {
            let facts = Value::Facts(vec![("size".into(), fact.to_owned())]);
            let entry = JobEntry {
                submission: submission(),
                origin: "a".to_owned(),
                end: Some(End {
                    job: JobId(12_003),
                    ended_at: Timestamp::from_millis(8),
                    cpu: Duration::ZERO,
                    reply: Ok(facts.clone()),
                }),
            };
            assert_eq!(JobEntry::read(&entry.to_bytes()).is_some(), is_read, "{fact:?}");
            let answer = KeptAnswer {
                title: "pi 7".to_owned(),
                value: facts,
                cost: Duration::ZERO,
                found_at: Timestamp::from_millis(8),
                version: "1".to_owned(),
                method: "computed".to_owned(),
                is_refuted: false,
            };
            assert_eq!(read_answer(&answer_to_bytes(&answer)).is_some(), is_read, "{fact:?}");
        }
    }

    #[test]
    fn what_no_node_can_have_written_is_not_read() {
        let entry = JobEntry {
            submission: submission(),
            origin: "a".to_owned(),
            end: None,
        };
        let with = |bytes: Vec<u8>, name: &str, value: Json| {
            let mut json: Json = serde_json::from_slice(&bytes).expect("it is JSON");
            json[name] = value;
            json.to_string().into_bytes()
        };
        for (name, value) in [
            ("title", "pi 7\n= id=9 state=done".into()),
            ("request", "pi 7\r\nquit".into()),
            ("request", "\u{e9}".into()),
            ("key", "\t".into()),
            ("title", "x".repeat(MAX_WORDS + 1).into()),
            ("origin", "a b".into()),
            ("origin", "".into()),
            ("job", u64::MAX.into()),
        ] {
            let read = JobEntry::read(&with(entry.to_bytes(), name, value));
            assert!(read.is_none_or(|read| read.submission.key.is_none()), "{name}");
        }
        let node = NodeEntry {
            name: "a".to_owned(),
            version: "1".to_owned(),
            workers: 8,
            free: 8,
            running: 0,
            owned: 0,
            parts_done: 0,
            is_worker_only: false,
        };
        for (name, value) in [("name", "a\n"), ("name", ""), ("version", "1\n2")] {
            assert_eq!(NodeEntry::read(&with(node.to_bytes(), name, value.into())), None);
        }
        let parts = with(node.to_bytes(), "parts_done", u64::MAX.into());
        let parts = NodeEntry::read(&parts).expect("it is a node").parts_done;
        assert!(parts.checked_mul(10_000).is_some(), "the sum of all nodes is a number");
        let boasts = with(
            with(node.to_bytes(), "workers", u64::MAX.into()),
            "free",
            u64::MAX.into(),
        );
        let read = NodeEntry::read(&boasts).expect("it is a node");
        assert_eq!((read.workers, read.free), (MAX_WORKERS, MAX_WORKERS));
        let owner = OwnerEntry { node: None, starts: 0 };
        assert_eq!(OwnerEntry::read(&with(owner.to_bytes(), "node", "a\n".into())), None);
        let long = part_news_to_bytes(7, 8, &"c".repeat(MAX_NAME + 1), &PartNews::Begun);
        assert_eq!(read_part_news(&long), None);
    }
}
