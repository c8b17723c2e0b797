//! Verbs about submitted jobs: `submit watch result jobs cancel`.

use super::call::shortened;
use super::{Call, Registry, Step, define};
use crate::engine::{Ask, JobId};
use crate::proto::{Failure, Tag, Value};

/// The verb that stops another request.
pub(super) const CANCEL: &str = "cancel";

pub(super) fn register(registry: &mut Registry) {
    let what = "does it without waiting: answers job=ID at once";
    registry.add(define("submit REQUEST", what, submit).details(&[
        "The job goes on when you hang up. deadline= is the job's own.",
        "Its answer is kept for a while.",
        "submit pi 1e18 -> OK job=7",
        "watch 7, result 7, cancel 7, jobs",
    ]));
    let what = "a job's progress every second, then its answer";
    registry.add(
        define("watch ID", what, |call| Ok(Step::Ask(Ask::Watch(read_id(call, "ID")?))))
            .details(&["progress=10s asks less often. Hanging up does not stop the job."]),
    );
    let what = "waits for the answer of a submitted job";
    registry.add(
        define("result ID", what, |call| {
            Ok(Step::Ask(Ask::Result(read_id(call, "ID")?)))
        })
        .details(&["deadline=5s waits no longer than that; the job goes on."]),
    );
    let what = "submitted jobs and long questions, a row each";
    registry.add(define("jobs", what, jobs).details(&[
        "id=- is a question that was not submitted. owner is a connection. state is",
        "queued, parked (waits for memory), running, done, or the code of the error",
        "that ended it. At most 250 rows, with 100 characters of the question each:",
        "what is under way, then what has ended, the latest first.",
    ]));
    let what = "stops a question of yours, or a submitted job";
    registry.add(define("cancel @TAG|ID", what, cancel).details(&[
        "What is cancelled gets ERR cancelled; its CPU is free within milliseconds.",
        "@a pi 1e18",
        "cancel @a",
    ]));
}

/// The ID of a submitted job, written `7` or `job=7`.
fn read_id(call: &Call<'_>, wanted: &str) -> Result<JobId, Failure> {
    call.only(1, &["job"])?;
    let text = call.arg(0).or_else(|| call.option("job"));
    let text = text.ok_or_else(|| call.bad_arg(format_args!("{wanted} is missing")))?;
    text.parse()
        .map(JobId)
        .map_err(|_| call.bad_arg(format_args!("'{}' is no job ID; 'jobs' lists them", shortened(text))))
}

fn submit(call: &Call<'_>) -> Result<Step, Failure> {
    let title = call.words();
    match call.inner()? {
        Step::Job(job) if job.streams => Err(call.bad_arg("rows are not kept; ask for them directly")),
        Step::Job(job) => Ok(Step::Ask(Ask::Submit(job.into()))),
        Step::External(task) if task.streams => Err(call.bad_arg("rows are not kept; ask for them directly")),
        Step::External(task) => Ok(Step::Ask(Ask::Submit(task.into()))),
        Step::Constant(value) => Ok(Step::Ask(Ask::SubmitKnown { title, value })),
        Step::Answer(value) if !matches!(value, Value::Facts(_)) => Ok(Step::Ask(Ask::SubmitKnown { title, value })),
        _ => Err(call.bad_arg(format_args!("'{}' cannot be submitted", shortened(&title)))),
    }
}

fn jobs(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(0, &[])?;
    Ok(Step::Ask(Ask::List))
}

fn cancel(call: &Call<'_>) -> Result<Step, Failure> {
    let Some(tagged) = call.arg(0).and_then(|target| target.strip_prefix('@')) else {
        return Ok(Step::Ask(Ask::Cancel(read_id(call, "@TAG or ID")?)));
    };
    call.only(1, &[])?;
    let tag = Tag::parse(tagged);
    let tag = tag.ok_or_else(|| call.bad_arg(format_args!("'@{}' is no tag", shortened(tagged))))?;
    Ok(Step::Cancel(tag))
}
