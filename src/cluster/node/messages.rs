//! What nodes say to all others and nobody keeps: how far their jobs are, and which parts are of no use any more. Knows
//! no connection.

use crate::cluster::entry::{MAX_NAME, is_line};
use crate::engine::{JobProgress, PartId};
use crate::metrics::micros;
use crate::store::JobId;
use std::time::Duration;

/// Where nodes say how far their jobs are.
pub(super) const PROGRESS_SUBJECT: &str = "primed.progress";

/// Where they say that a part is of no use any more.
pub(super) const RECALLED_SUBJECT: &str = "primed.recalled";

/// Characters of what a job elsewhere is at: more are not shown.
const MAX_STAGE: usize = 200;

/// The CPU time of a job at the most, as it is believed: a hundred years.
const MAX_CPU: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How far a job of this node is.
pub(super) fn progress_to_bytes(node: &str, progress: &JobProgress) -> Vec<u8> {
    let json = serde_json::json!({
        "node": node,
        "job": progress.job.0,
        "done": progress.done,
        "cpu_us": micros(progress.cpu),
        "stage": progress.stage,
    });
    json.to_string().into_bytes()
}

/// The node that says it, and how far its job is.
pub(super) fn read_progress(bytes: &[u8]) -> Option<(String, JobProgress)> {
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    // It is shown in a line: nothing in it may begin another.
    let stage = json.get("stage").and_then(serde_json::Value::as_str);
    let stage = stage.filter(|stage| stage.len() <= MAX_STAGE && is_line(stage));
    let progress = JobProgress {
        job: JobId(json.get("job")?.as_u64()?),
        done: json.get("done")?.as_f64().filter(|done| (0.0..=1.0).contains(done))?,
        cpu: Some(Duration::from_micros(json.get("cpu_us")?.as_u64()?)).filter(|cpu| *cpu <= MAX_CPU)?,
        stage: stage.map(str::to_owned),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(stage: &str) -> JobProgress {
        JobProgress {
            job: JobId(12_003),
            done: 0.5,
            cpu: Duration::from_secs(3),
            stage: Some(stage.to_owned()),
        }
    }

    #[test]
    fn progress_is_read_as_it_was_written_and_a_stage_that_is_no_line_is_not_shown() {
        let read = |stage: &str| read_progress(&progress_to_bytes("a", &progress(stage)));
        let (node, shown) = read("curve 3 of 9").expect("it is progress");
        assert_eq!((node.as_str(), shown.job, shown.done), ("a", JobId(12_003), 0.5));
        assert_eq!(shown.stage.as_deref(), Some("curve 3 of 9"));
        for stage in ["x\nOK 7", "x\r", "\u{e9}", &"x".repeat(MAX_STAGE + 1)] {
            let (_, shown) = read(stage).expect("it is progress");
            assert_eq!(shown.stage, None, "{stage:?}");
        }
    }

    #[test]
    fn progress_that_no_job_can_have_is_not_read() {
        for (done, cpu, is_read) in [
            (1.0, MAX_CPU, true),
            (1.01, Duration::ZERO, false),
            (-0.01, Duration::ZERO, false),
            (0.5, MAX_CPU + Duration::from_secs(1), false),
        ] {
            let progress = JobProgress {
                done,
                cpu,
                ..progress("curve 3 of 9")
            };
            assert_eq!(read_progress(&progress_to_bytes("a", &progress)).is_some(), is_read);
        }
    }
}
