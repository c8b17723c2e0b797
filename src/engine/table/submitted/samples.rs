//! Submitted jobs for tests.

use super::Submitted;
use crate::engine::message::{ClientId, JobId, RequestId, WorkId};
use crate::engine::restored::Restored;
use crate::proto::{Code, Failure};
use crate::store::{StoredJob, Submission};
use std::time::Instant;

pub(super) const CLIENT: ClientId = ClientId(1);

pub(super) fn submission(title: &str, job: JobId) -> Submission {
    Submission::of_request(job, title)
}

pub(super) fn open(submitted: &mut Submitted, title: &str, work: WorkId) -> JobId {
    let job = submitted.next();
    submitted.open(submission(title, job), CLIENT, work, None, RequestId(1));
    submitted.acknowledge(job, Instant::now());
    job
}

pub(super) fn stored(job: u64, starts: u32) -> Restored {
    Restored {
        stored: StoredJob {
            resumed: 7,
            starts,
            ..StoredJob::unbegun(submission("pi 1", JobId(job)))
        },
        subject: Err(Failure::new(Code::Internal, "not looked at")),
    }
}
