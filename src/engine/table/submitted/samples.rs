//! Submitted jobs for tests.

use super::Submitted;
use crate::engine::message::{Account, ClientId, JobId, Priority, RequestId, WorkId};
use crate::engine::restored::Restored;
use crate::proto::{Code, Failure};
use crate::store::{StoredJob, Submission, Timestamp};
use std::time::{Duration, Instant};

const OWNER: Account = Account::Process;
pub(super) const CLIENT: ClientId = ClientId(1);

pub(super) fn submission(title: &str, job: JobId) -> Submission {
    Submission {
        job,
        request: title.to_owned(),
        title: title.to_owned(),
        key: None,
        owner: OWNER.to_string(),
        priority: Priority::Normal,
        submitted_at: Timestamp::from_millis(0),
        not_before: None,
        deadline: None,
    }
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
            submission: submission("pi 1", JobId(job)),
            resumed: 7,
            starts,
            cpu: Duration::ZERO,
            checkpoint: None,
            end: None,
            is_refuted: false,
        },
        subject: Err(Failure::new(Code::Internal, "not looked at")),
    }
}
