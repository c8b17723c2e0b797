//! `/healthz`: the process answers. `/readyz`: it takes in work, its store keeps it, and its cluster is there. Knows no
//! job.

use super::answer::reply;
use super::guard::Caller;
use axum::Extension;
use axum::http::StatusCode;
use axum::response::Response;
use std::sync::atomic::Ordering::Relaxed;

const TEXT: &str = "text/plain; charset=utf-8";

pub(super) async fn healthz() -> Response {
    reply(StatusCode::OK, TEXT, "ok\n")
}

pub(super) async fn readyz(Extension(caller): Extension<Caller>) -> Response {
    match why_not_ready(&caller) {
        None => reply(StatusCode::OK, TEXT, "ready\n"),
        Some(why) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    }
}

/// Why no work should be sent here now.
pub(super) fn why_not_ready(caller: &Caller) -> Option<&'static str> {
    let metrics = &caller.shared.daemon.metrics;
    if metrics.draining.load(Relaxed) {
        return Some("draining");
    }
    // What is wrong is in the log and in 'info', which this address does not show to everybody.
    if !metrics.store().failure.is_empty() {
        return Some("the store cannot be written");
    }
    let is_alone = metrics.cluster.nodes().is_some_and(|(_, is_connected)| !is_connected);
    is_alone.then_some("the cluster cannot be reached")
}
