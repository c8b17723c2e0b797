//! `/v1/info`: how the daemon is doing, as the dashboard draws it. Knows no job.

use super::answer::{failed, json_reply, value_json};
use super::guard::Caller;
use super::health::why_not_ready;
use super::login::sees_others;
use crate::metrics::{BOUNDS_US, Slow};
use crate::verb::resident_bytes;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};
use std::sync::atomic::Ordering::Relaxed;

/// Slow requests that are shown.
const SLOW_SHOWN: usize = 16;

pub(super) async fn info(Extension(caller): Extension<Caller>) -> Response {
    // It is not counted as a request: the dashboard asks every second, and shows how many others ask.
    let facts = match caller.engine.request("info").await {
        Ok(value) => value_json(value),
        Err(failure) => return failed(&failure),
    };
    let metrics = &caller.shared.facts.metrics;
    let mut buckets = [0; BOUNDS_US.len() + 1];
    for verb in metrics.verbs().into_iter().flat_map(|verbs| verbs.asked()) {
        for (all, one) in buckets.iter_mut().zip(verb.latency().buckets) {
            *all += one;
        }
    }
    // They are what others have asked.
    let slow_shown = if sees_others(caller.role) { SLOW_SHOWN } else { 0 };
    let states = &metrics.states;
    let cpu = |class: &crate::metrics::ClassMetrics| class.cpu_us.load(Relaxed) as f64 / 1e6;
    let body = json!({
        "info": facts,
        "ready": why_not_ready(&caller).is_none(),
        "not_ready": why_not_ready(&caller),
        "resident_bytes": resident_bytes(),
        "jobs": {
            "queued": states.queued.load(Relaxed),
            "parked": states.parked.load(Relaxed),
            "running": states.running.load(Relaxed),
            "submitted": states.submitted.load(Relaxed),
        },
        "plans_bytes": states.memory.load(Relaxed),
        "cpu_seconds": {"express": cpu(&metrics.express), "bulk": cpu(&metrics.bulk), "external": cpu(&metrics.external)},
        "latency": {"bounds_seconds": BOUNDS_US.map(|us| us as f64 / 1e6), "counts": buckets},
        "slow": metrics.slow.longest(slow_shown).iter().map(slow).collect::<Vec<_>>(),
    });
    json_reply(StatusCode::OK, &body)
}

fn slow(slow: &Slow) -> Json {
    json!({
        "at": humantime::format_rfc3339_millis(slow.at).to_string(),
        "client": slow.client,
        "request_number": slow.request,
        "job": slow.job,
        "outcome": slow.outcome,
        "queue_seconds": slow.queue.as_secs_f64(),
        "cpu_seconds": slow.cpu.as_secs_f64(),
        "wall_seconds": slow.wall.as_secs_f64(),
        "request": slow.title,
    })
}
