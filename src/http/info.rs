//! `/v1/info`: how the daemon is doing, and what the dashboard lists beside its charts. Nothing of it is counted as a
//! request: the dashboard asks every second, and shows how many others ask.

use super::answer::{failed, json_reply, value_json};
use super::ask::rows_and_value;
use super::guard::Caller;
use super::health::why_not_ready;
use super::jobs::job;
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
    let facts = match caller.engine.request("info").await {
        Ok(value) => value_json(value),
        Err(failure) => return failed(&failure),
    };
    let lists = lists(&caller, facts.get("cluster_state").is_some()).await;
    let metrics = &caller.shared.daemon.metrics;
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
        "lists": lists,
    });
    json_reply(StatusCode::OK, &body)
}

/// The jobs as objects, and the rows of `nodes` and `clients`; null where there is no cluster, the caller may not see
/// them, or the request fails.
async fn lists(caller: &Caller, is_clustered: bool) -> Json {
    let jobs = rows(caller, "jobs").await;
    let nodes = match is_clustered {
        true => rows(caller, "nodes").await,
        false => None,
    };
    let clients = match sees_others(caller.role) {
        true => rows(caller, "clients").await,
        false => None,
    };
    let jobs = jobs.map(|rows| rows.iter().map(|row| job(row)).collect::<Vec<_>>());
    json!({"jobs": jobs, "nodes": nodes, "clients": clients})
}

async fn rows(caller: &Caller, words: &str) -> Option<Vec<String>> {
    let events = caller.engine.request(words).events();
    rows_and_value(events).await.ok().map(|(rows, _)| rows)
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
