//! `slowlog`: the requests that took longest lately, from the metrics. Knows no job.

use super::{Call, Registry, Step, define};
use crate::auth::Role;
use crate::metrics::{MAX_REMEMBERED, Slow};
use crate::proto::Failure;
use std::time::Duration;

/// Rows unless more are asked for.
const ROWS: u64 = 16;

pub(super) fn register(registry: &mut Registry) {
    let what = "what took longest lately, a row each";
    registry.add(
        define("slowlog [N]", what, slowlog)
            .details(&[
                "The longest first, 16 of them or N, of the latest 512 that took 10 ms or",
                "more. queue is the time until it was begun, cpu that of its work, which",
                "others may have asked for too, wall the time until its answer or end,",
                "including 'after=' and waiting for earlier replies.",
                "job=ID: it waited for this submitted job; request=- is the job itself.",
                "client and request are those of the log and of the examples in /metrics.",
            ])
            .role(Role::Operate),
    );
}

fn slowlog(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(1, &[])?;
    let count = match call.arg(0) {
        None => ROWS,
        Some(_) => call.number(0, "N")?.min(MAX_REMEMBERED as u64),
    };
    let slow = call.daemon.metrics.slow.longest(count as usize);
    Ok(Step::Rows(slow.iter().map(row).collect()))
}

fn row(slow: &Slow) -> String {
    let or_dash = |id: Option<u64>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let ms = |time: Duration| format!("{:.1}ms", time.as_secs_f64() * 1e3);
    format!(
        "at={} client={} request={} job={} outcome={} queue={} cpu={} wall={} question={}",
        humantime::format_rfc3339_millis(slow.at),
        slow.client,
        or_dash(slow.request),
        or_dash(slow.job),
        slow.outcome,
        ms(slow.queue),
        ms(slow.cpu),
        ms(slow.wall),
        slow.title
    )
}
