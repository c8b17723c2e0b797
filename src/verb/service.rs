//! Verbs about the daemon itself: `ping help info quit`.

use super::call::{nearest, shortened};
use super::{Call, Registry, Step, Verb, define, resident_bytes};
use crate::proto::{Code, Failure, MAX_DIGITS, MAX_OPERANDS, Value};
use std::borrow::Cow;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn register(registry: &mut Registry) {
    let ping = define("ping", "answers pong", |call| {
        call.only(0, &[])?;
        Ok(Step::Constant(Value::Text("pong".into())))
    });
    registry.add(ping.free());
    let help = define("help [VERB]", "the list of verbs, or more about one", help);
    let topics = &["help numbers says how numbers are written, help errors what the codes mean."];
    registry.add(help.details(topics).free());
    let info = define("info", "how the daemon is doing, as rows of key=value", info);
    registry.add(info.details(&[
        "jobs, connections: how many there are now. *_total: counted since the start.",
        "slices_cpu_ms: CPU time of all work. resident_bytes: memory of the process.",
        "stored_answers: answers that the store keeps; store_state: ok, or its failure.",
        "threads_replaced, actors_rebuilt, session_panics: faults that were survived.",
        "late_slices, late_turns: how often others had to wait for 50 or 100 ms.",
        "cluster_*: of a node; cluster_state is up, or alone without NATS. lane_NAME_*:",
        "calls of a plugged-in verb. docs/operations.md has them all.",
    ]));
    let quit = define("quit", "answers what is under way, then closes", |call| {
        call.only(0, &[])?;
        Ok(Step::Quit)
    });
    registry.add(quit.details(&["exit and bye do the same."]).free());
}

/// What there is help on beside verbs.
pub(crate) const TOPICS: [&str; 2] = ["numbers", "errors"];

fn help(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(1, &[])?;
    let rows = match call.arg(0) {
        None => overview(call.registry),
        Some(topic) if topic.eq_ignore_ascii_case("errors") => errors(),
        Some(topic) if topic.eq_ignore_ascii_case("numbers") => numbers(),
        Some(topic) => match call.registry.find(topic) {
            Some(verb) => about(verb),
            None => return Err(no_help(call.registry, topic)),
        },
    };
    Ok(Step::Rows(rows))
}

fn no_help(registry: &Registry, topic: &str) -> Failure {
    match nearest(&topic.to_ascii_lowercase(), TOPICS.into_iter()) {
        Some(known) => {
            let text = format!("no help on '{}'; did you mean 'help {known}'?", shortened(topic));
            Failure::new(Code::UnknownVerb, text)
        }
        None => registry.unknown(topic),
    }
}

fn row(left: &str, right: &str) -> String {
    format!("{left:<29} {right}")
}

fn overview(registry: &Registry) -> Vec<String> {
    let mut rows = vec![
        concat!(
            "primed ",
            env!("CARGO_PKG_VERSION"),
            ", the prime daemon. A request is a line; OK or ERR ends its reply."
        )
        .into(),
        row("100000", "the 100000th prime, answered by a bare number"),
    ];
    rows.extend(registry.verbs().map(|verb| row(verb.usage(), verb.about())));
    rows.extend(
        [
            "A..B includes A, and not B.",
            "Numbers are written 1000000, 1_000_000, 1e6, 10**6, 2^127-1, 0xff, 20! or 97#.",
            "Every question takes deadline=5s (stops it), progress=1s (reports progress).",
            "@NAME before a question names it, as '@a pi 1e16': its reply bears the name",
            "and may overtake others.",
            "Lines of a reply that begin with '*' are progress, those with '=' are rows.",
            "Clients of Redis may ask on this port too: docs/protocol.md says how.",
            "'help pi' says more about pi; there are 'help numbers' and 'help errors' too.",
        ]
        .map(String::from),
    );
    rows
}

fn about(verb: &dyn Verb) -> Vec<String> {
    let mut rows = vec![row(verb.usage(), verb.about())];
    rows.extend(verb.details().iter().map(|line| (*line).to_owned()));
    rows
}

fn errors() -> Vec<String> {
    Code::ALL
        .iter()
        .map(|code| format!("{:<14} {}", code.as_str(), code.meaning()))
        .collect()
}

fn numbers() -> Vec<String> {
    let mut rows: Vec<String> = NUMBERS.iter().map(|(left, right)| row(left, right)).collect();
    rows.push(format!(
        "Up to {MAX_OPERANDS} of them are joined by *, + and -, products first, no parentheses:"
    ));
    rows.push("isprime 2^127-1, factor 2^64+1, pi 3*10^12, next 100!+1.".into());
    rows.push(format!("None may be negative, or have more than {MAX_DIGITS} digits."));
    rows
}

/// How an operand is written, and what it means.
const NUMBERS: [(&str, &str); 6] = [
    ("1000000, 1_000_000", "digits, with _ between any of them"),
    ("1e6, 1.5e3", "1000000 and 1500: what it comes to must be whole"),
    ("2^127, 10**6", "a power"),
    ("0xff", "hexadecimal: 255"),
    ("20!", "a factorial: the product of 1..=20"),
    ("97#", "a primorial: the product of the primes up to 97"),
];

fn info(call: &Call<'_>) -> Result<Step, Failure> {
    call.only(0, &[])?;
    let daemon = call.daemon;
    let metrics = &daemon.metrics;
    let counters = [
        ("uptime_s", daemon.started.elapsed().as_secs()),
        ("workers", daemon.workers as u64),
        ("connections", metrics.connections.load(Relaxed)),
        ("connections_total", metrics.connections_total.load(Relaxed)),
        ("connections_refused", metrics.connections_refused.count()),
        ("requests_total", metrics.requests.load(Relaxed)),
        ("errors_total", metrics.errors.load(Relaxed)),
        ("cache_hits_total", metrics.cache_hits.load(Relaxed)),
        ("stored_answers", metrics.stored_answers.load(Relaxed)),
        ("stored_answer_hits_total", metrics.stored_answer_hits.load(Relaxed)),
        ("jobs", metrics.jobs.load(Relaxed)),
        ("slices_total", metrics.slices()),
        ("slices_cpu_ms", metrics.cpu_us() / 1000),
        ("threads_replaced", metrics.threads_replaced.count()),
        ("actors_rebuilt", metrics.actors_rebuilt.count()),
        ("session_panics", metrics.session_panics.count()),
        ("late_slices", metrics.late_slices.count()),
        ("late_turns", metrics.late_turns.count()),
        ("wrong_passwords", metrics.wrong_passwords()),
    ];
    let fact = |key: &'static str, value: String| (Cow::from(key), value);
    let mut facts = vec![fact("version", env!("CARGO_PKG_VERSION").to_owned())];
    facts.extend(counters.map(|(key, value)| fact(key, value.to_string())));
    facts.extend(resident_bytes().map(|bytes| fact("resident_bytes", bytes.to_string())));
    let store = metrics.store();
    let or = |text: String, other: &str| if text.is_empty() { other.to_owned() } else { text };
    if store.place.is_empty() {
        facts.push(fact("store", "none".to_owned()));
    } else {
        facts.push(fact("store", store.place));
        facts.push(fact("store_state", or(store.failure, "ok")));
    }
    if let Some((nodes, is_connected)) = metrics.cluster.nodes() {
        let workers: usize = nodes.iter().map(|node| node.workers).sum();
        let parts: u64 = nodes.iter().map(|node| node.parts_done).sum();
        let state = if is_connected { "up" } else { "alone" };
        facts.push(fact("cluster_state", state.to_owned()));
        facts.push(fact("cluster_nodes", nodes.len().to_string()));
        facts.push(fact("cluster_workers", workers.to_string()));
        facts.push(fact("cluster_parts_total", parts.to_string()));
    }
    for lane in metrics.lanes() {
        let figures = [
            ("calls_total", &lane.calls),
            ("running", &lane.running),
            ("waiting", &lane.waiting),
        ];
        let name = |key| Cow::from(format!("lane_{}_{key}", lane.name));
        facts.extend(figures.map(|(key, figure)| (name(key), figure.load(Relaxed).to_string())));
    }
    Ok(Step::Answer(Value::Facts(facts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_help_fits_a_terminal() {
        let registry = Registry::default();
        let mut rows = overview(&registry);
        rows.extend(registry.verbs().flat_map(about));
        rows.extend(errors().into_iter().chain(numbers()));
        for row in rows {
            assert!("= ".len() + row.len() <= 80, "{} characters: {row}", row.len());
        }
    }
}
