//! Verbs about submitted jobs: `submit watch result jobs cancel`.

use super::call::shortened;
use super::{Call, DaemonView, Registry, Step, define};
use crate::auth::Role;
use crate::engine::{Account, Ask, JobId, Priority, Selection, Subject, Submit};
use crate::job::{FROM_TABLE, UNVERIFIABLE, is_of_table};
use crate::metrics::ClusterMetrics;
use crate::proto::{Code, DEADLINES, Failure, ParsedLine, Tag, Value, parse_line};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// As many IDs as a line has words.
const MAX_IDS: usize = 64;

/// The verb that stops another request.
pub(super) const CANCEL: &str = "cancel";

pub(super) fn register(registry: &mut Registry) {
    let what = "runs it as a job: job=ID";
    registry.add(
        define("submit REQUEST [id=KEY] [priority=LEVEL] [after=TIME]", what, submit)
            .details(&[
                "The job goes on when you disconnect, and after a restart: once the ID is",
                "sent, the store has it. deadline= is the job's own. Its answer is kept",
                "for a while. id=KEY: the same KEY and request give the same job.",
                "priority=low|normal|high. after=5min begins it later; a question that needs",
                "no work, such as pi 1e5, still ends at once.",
                "submit pi 1e18 -> OK job=7",
                "watch 7, result 7, cancel 7, jobs",
            ])
            .role(Role::Submit),
    );
    let what = "a job's progress every second, then its answer";
    registry.add(
        define("watch ID", what, |call| Ok(Step::Ask(Ask::Watch(read_id(call, "ID")?))))
            .details(&["progress=10s sends progress less often. Disconnecting does not stop the job."]),
    );
    let what = "waits for the answer to a submitted job";
    registry.add(
        define("result ID", what, |call| {
            Ok(Step::Ask(Ask::Result(read_id(call, "ID")?)))
        })
        .details(&["deadline=5s waits no longer than that; the job goes on."]),
    );
    let what = "submitted jobs and long questions, a row each";
    registry.add(define("jobs [ID...]", what, jobs).details(&[
        "id=- is a question that was not submitted. owner is the user or the address",
        "that asked. state is queued, parked (waits for memory, or for a place of its",
        "owner), running, done, failed (and error=CODE) or cancelled. cpu is that of",
        "all runs, resumed counts the restarts it outlived. At most 250 rows, with",
        "100 characters of the question each: what is under way, then what has",
        "ended, the latest first. With IDs, these jobs and no others.",
    ]));
    let what = "the same answer by a second way";
    registry.add(define("verify REQUEST|JOB", what, verify).details(&[
        "pi: by sieving up to 1e10, above by the formula with other parameters; nth:",
        "primality and the count up to it; factor, of up to 100 digits: product and",
        "primality. Checks the answer that is kept, or else a new one; those of pi and",
        "nth that are read from a table are not verified. Says what was checked:",
        "'OK verified ...' or 'OK refuted ...'. What is refuted is never given again.",
        "submit verify pi 1e18",
        "verify 7: the answer of job 7, once it has ended",
    ]));
    let what = "removes a kept answer, or all of them";
    registry.add(
        define("forget REQUEST|all", what, forget)
            .details(&[
                "Answers that took more than 100 ms of CPU are kept by the store, across",
                "restarts; the latest others in memory. forget pi 1e12, forget all",
            ])
            .role(Role::Operate),
    );
    let what = "stops a question of yours, or submitted jobs";
    registry.add(define("cancel @TAG|ID...|all|owner=OWNER", what, cancel).details(&[
        "What is cancelled gets ERR cancelled; its CPU is free within milliseconds.",
        "@a pi 1e18",
        "cancel @a",
        "cancel 3 5 9 -> OK cancelled=3",
        "'cancel all' stops all jobs of your account (your user, or your address);",
        "'cancel owner=OWNER' those that 'jobs' shows with that owner.",
    ]));
}

/// The ID of a submitted job, written `7` or `job=7`.
fn read_id(call: &Call<'_>, wanted: &str) -> Result<JobId, Failure> {
    call.only(1, &["job"])?;
    let text = call.arg(0).or_else(|| call.option("job"));
    let text = text.ok_or_else(|| call.bad_arg(format_args!("{wanted} is missing")))?;
    parse_id(call, text)
}

fn parse_id(call: &Call<'_>, text: &str) -> Result<JobId, Failure> {
    let bad = |_| call.bad_arg(format_args!("'{}' is no job ID; 'jobs' lists them", shortened(text)));
    text.parse().map_err(bad)
}

/// The longest name that a client may give a job.
const MAX_KEY_BYTES: usize = 128;

/// Bytes of a submitted request and its question, together, in a cluster, whose nodes show them to each other. NATS
/// takes no longer ones by default.
const MAX_SHARED: usize = 1_000_000;

/// Bytes of a message that are left to the other fields of a job.
const FIELDS: usize = 4 << 10;

/// Bytes that a submitted request may have beyond the question that it comes to.
const MAX_BESIDE: usize = 4 << 10;

fn submit(call: &Call<'_>) -> Result<Step, Failure> {
    let request = call.inner_request(&["id", "priority", "after", "deadline", "progress"])?;
    if request.starts_with('@') {
        return Err(call.bad_arg("a tag stands before 'submit': '@a submit pi 1e18'"));
    }
    let key = call.option("id").map(str::to_owned);
    if key
        .as_ref()
        .is_some_and(|key| key.is_empty() || key.len() > MAX_KEY_BYTES)
    {
        return Err(call.bad_arg(format_args!("id may have 1 to {MAX_KEY_BYTES} bytes")));
    }
    let priority = match call.option("priority") {
        None => Priority::Normal,
        Some(text) => Priority::parse(&text.to_ascii_lowercase()).ok_or_else(|| {
            call.bad_arg(format_args!(
                "priority is '{}', not low, normal or high",
                shortened(text)
            ))
        })?,
    };
    let after = call.duration("after", Duration::ZERO..=*DEADLINES.end())?;
    let subject = subject(call, &request)?;
    // Jobs are bounded in number and by the bytes of their questions.
    if request.len() > subject.title().len() + MAX_BESIDE {
        return Err(call.bad_arg(format_args!(
            "REQUEST has {} bytes, which is over {MAX_BESIDE} more than its question; write it without leading zeros",
            request.len()
        )));
    }
    let shared = request.len() + subject.title().len();
    let most = max_shared(&call.daemon.metrics.cluster);
    if shared > most && call.daemon.metrics.cluster.is_there() {
        let text = format!(
            "submit: REQUEST and its question have {shared} bytes, and nodes of a cluster show each other {most}; \
             ask without submit"
        );
        return Err(Failure::new(Code::TooBig, text));
    }
    Ok(Step::Ask(Ask::Submit(Box::new(Submit {
        subject,
        request,
        key,
        priority,
        after: after.filter(|after| !after.is_zero()),
    }))))
}

/// The most bytes of a request and its question that nodes of a cluster can show each other.
fn max_shared(cluster: &ClusterMetrics) -> usize {
    match cluster.max_message.load(Relaxed) {
        0 => MAX_SHARED,
        bytes => bytes.saturating_sub(FIELDS).min(MAX_SHARED),
    }
}

/// What a request asks that is submitted, by these words.
fn subject(call: &Call<'_>, words: &str) -> Result<Subject, Failure> {
    call.registry
        .subject(words, call.daemon)
        .map_err(|refused| match refused {
            Refused::Failure(failure) => failure,
            Refused::Rows => call.refused("rows are not kept; ask for them directly"),
            // Its other words may be a password.
            Refused::Other => {
                let verb = words.split(' ').next().unwrap_or_default();
                call.bad_arg(format_args!("'{}' cannot be submitted", shortened(verb)))
            }
        })
}

/// Why a request cannot be submitted.
pub(super) enum Refused {
    Failure(Failure),
    /// It answers with rows.
    Rows,
    /// It is done by the session, or at once.
    Other,
}

impl Refused {
    /// Why a job of an earlier process cannot go on.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Rows | Self::Other => Failure::new(Code::BadArg, "this request cannot be submitted any more"),
        }
    }
}

/// What the words of a request ask, as a submitted job.
pub(super) fn read_subject(registry: &Registry, daemon: &DaemonView, words: &str) -> Result<Subject, Refused> {
    let request = match parse_line(words.as_bytes()) {
        Ok(ParsedLine::Request(request)) if registry.role_of(&request) > Role::Submit => return Err(Refused::Other),
        Ok(ParsedLine::Request(request)) => request,
        Ok(ParsedLine::Blank | ParsedLine::Http) => return Err(Refused::Other),
        Err((_, malformed)) => return Err(Refused::Failure(Failure::new(Code::Syntax, malformed.to_string()))),
    };
    let (step, _) = registry.call(&request, daemon, None).map_err(Refused::Failure)?;
    let title = || words.to_owned();
    match step {
        Step::Job(job) if job.streams => Err(Refused::Rows),
        Step::Job(job) => Ok(job.into()),
        Step::External(task) if task.streams => Err(Refused::Rows),
        Step::External(task) => Ok(task.into()),
        Step::Constant(value) => Ok(Subject::Known { title: title(), value }),
        Step::Answer(value) if !matches!(value, Value::Facts(_)) => Ok(Subject::Known { title: title(), value }),
        _ => Err(Refused::Other),
    }
}

fn verify(call: &Call<'_>) -> Result<Step, Failure> {
    let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if call.arg(0).is_some_and(is_id) || call.option("job").is_some() {
        return Ok(Step::Ask(Ask::Verify(read_id(call, "ID")?)));
    }
    match call.inner()? {
        Step::Job(job) => match job.verification() {
            Some(verification) => Ok(Step::Job(verification)),
            None => Err(call.bad_arg(UNVERIFIABLE)),
        },
        Step::Constant(_) if call.arg(0).is_some_and(is_of_table) => Err(call.refused(FROM_TABLE)),
        _ => Err(call.bad_arg(UNVERIFIABLE)),
    }
}

fn forget(call: &Call<'_>) -> Result<Step, Failure> {
    if call.arg(0).is_some_and(|arg| arg.eq_ignore_ascii_case("all")) {
        call.only(1, &[])?;
        return Ok(Step::Ask(Ask::Forget(None)));
    }
    match call.inner()? {
        Step::Job(job) => Ok(Step::Ask(Ask::Forget(Some(job.title().into_owned())))),
        _ => Err(call.refused("answers like this are not kept")),
    }
}

fn jobs(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(MAX_IDS, &[])?;
    let ids = (0..).map_while(|index| call.arg(index));
    let ids = ids.map(|id| parse_id(call, id)).collect::<Result<_, _>>()?;
    Ok(Step::Ask(Ask::List(ids)))
}

fn cancel(call: &Call<'_>) -> Result<Step, Failure> {
    let Some(tagged) = call.arg(0).and_then(|target| target.strip_prefix('@')) else {
        return cancel_jobs(call);
    };
    call.only(1, &[])?;
    let tag = Tag::parse(tagged);
    let tag = tag.ok_or_else(|| call.bad_arg(format_args!("'@{}' is no tag", shortened(tagged))))?;
    Ok(Step::Cancel(tag))
}

fn cancel_jobs(call: &Call<'_>) -> Result<Step, Failure> {
    let many = |selection| Ok(Step::Ask(Ask::CancelMany(selection)));
    if let Some(owner) = call.option("owner") {
        call.only(0, &["owner"])?;
        let unknown = |_| call.bad_arg(format_args!("'{}' is no user and no address", shortened(owner)));
        return many(Selection::Of(owner.parse::<Account>().map_err(unknown)?));
    }
    match (call.arg(0), call.arg(1)) {
        (Some(all), None) if all.eq_ignore_ascii_case("all") => {
            call.only(1, &[])?;
            many(Selection::Own)
        }
        (_, None) => Ok(Step::Ask(Ask::Cancel(read_id(call, "@TAG or ID")?))),
        _ => {
            call.only(MAX_IDS, &[])?;
            let ids = (0..).map_while(|index| call.arg(index));
            let ids = ids.map(|id| parse_id(call, id)).collect::<Result<_, _>>()?;
            many(Selection::Jobs(ids))
        }
    }
}
