//! `nodes`: the daemons of the cluster, from the metrics. Knows no transport.

use super::{Call, Registry, Step, define};
use crate::metrics::NodeView;
use crate::proto::{Code, Failure};

pub(super) fn register(registry: &mut Registry) {
    let what = "the daemons of the cluster, a row each";
    registry.add(define("nodes", what, nodes).details(&[
        "This one first. workers=N free=N: how many are free for parts of others' jobs;",
        "running: long jobs of its clients; jobs: submitted jobs that it works on;",
        "parts: parts of others' jobs that it has done; heard: time since its last",
        "message. state=errs: a result of it was wrong, and none is taken any more.",
    ]));
}

fn nodes(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(0, &[])?;
    match call.daemon.metrics.cluster.nodes() {
        Some((nodes, is_connected)) => {
            let rows = nodes.iter().enumerate();
            Ok(Step::Rows(
                rows.map(|(index, node)| row(node, index == 0 && !is_connected))
                    .collect(),
            ))
        }
        None => {
            let text = "this daemon is in no cluster; 'primed serve --cluster nats://HOST:4222' joins one";
            Err(Failure::new(Code::BadArg, text))
        }
    }
}

fn row(node: &NodeView, is_alone: bool) -> String {
    let state = match (node.errs, is_alone) {
        (true, _) => "errs",
        (false, true) => "alone",
        (false, false) => "up",
    };
    let role = if node.is_worker_only { "worker" } else { "all" };
    format!(
        "name={} state={state} role={role} workers={} free={} running={} jobs={} parts={} heard={:.1}s version={}",
        node.name,
        node.workers,
        node.free,
        node.running,
        node.owned,
        node.parts_done,
        node.heard.as_secs_f64(),
        node.version
    )
}
