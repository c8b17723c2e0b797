//! What nodes say to all others and nobody keeps: how far their jobs are, and which parts are of no use any more. Knows no connection.

use crate::cluster::entry::MAX_NAME;
use crate::engine::{JobProgress, PartId};
use crate::store::JobId;
use std::time::Duration;

/// Where nodes say how far their jobs are.
pub(super) const PROGRESS_SUBJECT: &str = "primed.progress";

/// Where they say that a part is of no use any more.
pub(super) const RECALLED_SUBJECT: &str = "primed.recalled";

/// Characters that are kept of what a job elsewhere is at.
const MAX_STAGE: usize = 200;

/// How far a job of this node is.
pub(super) fn progress_to_bytes(node: &str, progress: &JobProgress) -> Vec<u8> {
    let json = serde_json::json!({
        "node": node,
        "job": progress.job.0,
        "done": progress.done,
        "cpu_us": u64::try_from(progress.cpu.as_micros()).unwrap_or(u64::MAX),
        "stage": progress.stage,
    });
    json.to_string().into_bytes()
}

/// The node that says it, and how far its job is.
pub(super) fn read_progress(bytes: &[u8]) -> Option<(String, JobProgress)> {
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let progress = JobProgress {
        job: JobId(json.get("job")?.as_u64()?),
        done: json.get("done")?.as_f64()?,
        cpu: Duration::from_micros(json.get("cpu_us")?.as_u64()?),
        stage: json
            .get("stage")
            .and_then(|stage| Some(stage.as_str()?.chars().take(MAX_STAGE).collect())),
    };
    Some((json.get("node")?.as_str()?.to_owned(), progress))
}

/// Names a part that is of no use any more.
pub(super) fn recalled_to_bytes(owner: &str, id: PartId) -> Vec<u8> {
    format!("{owner} {} {}", id.work, id.number).into_bytes()
}

/// The process that is its owner, and the part.
pub(super) fn read_recalled(bytes: &[u8]) -> Option<(String, PartId)> {
    let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
    // The name of a node, and 16 digits.
    let owner = words.next().filter(|owner| owner.len() <= MAX_NAME + 17)?;
    let (work, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((owner.to_owned(), PartId { work, number }))
}
