//! `/metrics`: the counters as the text that Prometheus scrapes, OpenMetrics with examples of slow requests where the
//! scraper takes it. Names and units follow Prometheus's conventions. As many series as there are verbs that were
//! asked, codes and lanes, whatever clients do.

use super::answer::reply;
use super::guard::Caller;
use crate::metrics::{BOUNDS_US, ClassMetrics, ClusterMetrics, Exemplar, LaneMetrics, Metrics, NodeView, Snapshot};
use crate::verb::resident_bytes;
use axum::Extension;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::{Error, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The content type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How the lines begin that may have an example.
const REQUEST_BUCKET: &str = "primed_request_duration_seconds_bucket{";

type Labels = Vec<(&'static str, &'static str)>;
/// The values of a metric, each with its labels.
type Series<T> = Vec<(Labels, T)>;

/// Everything that a scrape shows, at one moment.
#[derive(Debug)]
struct Scrape {
    counters: Vec<Family<u64>>,
    seconds: Vec<Family<f64>>,
    gauges: Vec<Family<f64>>,
    latencies: Vec<(&'static str, Snapshot)>,
    first_slices: Vec<(&'static str, Snapshot)>,
}

/// A metric: name, help, unit, and its series.
#[derive(Debug)]
struct Family<T>(&'static str, &'static str, Option<Unit>, Series<T>);

pub(super) async fn metrics(Extension(caller): Extension<Caller>, headers: HeaderMap) -> Response {
    let accept = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let daemon = &caller.shared.daemon;
    let scrape = Scrape::of(&daemon.metrics, daemon.workers, daemon.started.elapsed());
    let is_open = accept.contains("application/openmetrics-text");
    match scrape.write(is_open) {
        Ok(text) if is_open => reply(StatusCode::OK, OPENMETRICS, text),
        Ok(text) => reply(StatusCode::OK, prometheus_text::CONTENT_TYPE, text),
        Err(Error) => reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "cannot be written\n"),
    }
}

impl Scrape {
    fn of(metrics: &Metrics, workers: usize, uptime: Duration) -> Self {
        let verbs = metrics.verbs();
        let asked: Vec<_> = verbs
            .into_iter()
            .flat_map(|verbs| verbs.asked().map(move |verb| (verbs, verb)))
            .collect();
        let requests = asked.iter().flat_map(|(verbs, verb)| {
            let series = move |(code, count)| (vec![("verb", verb.name), ("code", code)], count);
            verbs.outcomes(verb).map(series)
        });
        let lanes = metrics.lanes();
        let nodes = metrics.cluster.nodes();
        let mut counters = work_counters(metrics, requests.collect());
        counters.extend(connection_counters(metrics));
        counters.extend(answer_counters(metrics));
        counters.extend(fault_counters(metrics));
        if nodes.is_some() {
            counters.extend(cluster_counters(&metrics.cluster));
        }
        counters.extend(lane_calls(&lanes));
        let mut gauges = process_gauges(workers, uptime);
        gauges.extend(load_gauges(metrics));
        gauges.extend(condition_gauges(metrics));
        if let Some((nodes, is_connected)) = nodes {
            gauges.extend(cluster_gauges(&nodes, is_connected));
        }
        gauges.extend(resident_memory());
        gauges.extend(lane_gauges(&lanes));
        Self {
            counters,
            seconds: vec![cpu_seconds(metrics)],
            gauges,
            latencies: asked.iter().map(|(_, verb)| (verb.name, verb.latency())).collect(),
            first_slices: verbs
                .into_iter()
                .flat_map(|verbs| verbs.all().map(|verb| (verb.name, verb.until_first_slice())))
                .filter(|(_, first)| first.count() > 0)
                .collect(),
        }
    }

    fn write(self, is_open: bool) -> Result<String, Error> {
        let exemplars: Vec<Option<Exemplar>> = self
            .latencies
            .iter()
            .flat_map(|(_, latency)| latency.exemplars)
            .collect();
        let mut registry = Registry::with_prefix("primed");
        registry.register_collector(Box::new(self));
        let mut out = String::with_capacity(16 << 10);
        if !is_open {
            prometheus_text::encode(&mut out, &registry)?;
            return Ok(out);
        }
        text::encode(&mut out, &registry)?;
        with_exemplars(&out, exemplars)
    }
}

/// The crate makes no exemplars but those of its own histograms, so they are appended to the lines of the buckets,
/// which are in the same order.
fn with_exemplars(text: &str, exemplars: Vec<Option<Exemplar>>) -> Result<String, Error> {
    let mut exemplars = exemplars.into_iter();
    let mut out = String::with_capacity(text.len() + (4 << 10));
    for line in text.lines() {
        out.push_str(line);
        if line.starts_with(REQUEST_BUCKET)
            && let Some(Some(Exemplar {
                client,
                request,
                seconds,
            })) = exemplars.next()
        {
            match request {
                Some(request) => write!(out, " # {{client=\"{client}\",request=\"{request}\"}} {seconds}")?,
                None => write!(out, " # {{client=\"{client}\"}} {seconds}")?,
            }
        }
        out.push('\n');
    }
    Ok(out)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        encode_counters(&mut encoder, &self.counters)?;
        encode_counters(&mut encoder, &self.seconds)?;
        for Family(name, help, unit, series) in &self.gauges {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            for (labels, value) in series {
                family.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        let help =
            "From a request to its reply; those answered in the turn in which they were read are in the lowest bucket";
        encode_histograms(&mut encoder, "request_duration", help, &self.latencies)?;
        let help = "From a question's arrival in the engine to the end of its first slice";
        encode_histograms(&mut encoder, "first_slice_duration", help, &self.first_slices)
    }
}

fn encode_counters<T: EncodeCounterValue>(
    encoder: &mut DescriptorEncoder<'_>,
    families: &[Family<T>],
) -> Result<(), Error> {
    for Family(name, help, unit, series) in families {
        let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        for (labels, value) in series {
            family
                .encode_family(labels)?
                .encode_counter::<Labels, _, f64>(value, None)?;
        }
    }
    Ok(())
}

/// A histogram of seconds for each verb.
fn encode_histograms(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    verbs: &[(&'static str, Snapshot)],
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (verb, snapshot) in verbs {
        let labels = vec![("verb", *verb)];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_histogram::<Labels>(snapshot.sum, snapshot.count(), &buckets(snapshot), None)?;
    }
    Ok(())
}

/// Each bucket's upper bound in seconds, and how many it has.
fn buckets(latency: &Snapshot) -> Vec<(f64, u64)> {
    let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    bounds.zip(latency.buckets).collect()
}

/// Requests, of which the series are given, and slices.
fn work_counters(metrics: &Metrics, requests: Series<u64>) -> Vec<Family<u64>> {
    let slices = by_class(metrics, |class| &class.slices);
    vec![
        Family(
            "requests",
            "Requests answered, by verb and outcome: ok or an error code",
            None,
            requests,
        ),
        Family("slices", "Slices of work done, by class of workers", None, slices),
    ]
}

/// Connections and their bytes.
fn connection_counters(metrics: &Metrics) -> Vec<Family<u64>> {
    let bytes = |name, help, counter| Family(name, help, Some(Unit::Bytes), one(load(counter)));
    vec![
        counter(
            "connections_accepted",
            "Connections accepted",
            load(&metrics.connections_total),
        ),
        counter(
            "connections_refused",
            "Connections refused because of the limit",
            metrics.connections_refused.count(),
        ),
        bytes("received", "Bytes read from clients", &metrics.bytes_read),
        bytes("sent", "Bytes written to clients", &metrics.bytes_written),
    ]
}

/// Requests that were answered without work.
fn answer_counters(metrics: &Metrics) -> Vec<Family<u64>> {
    vec![
        counter(
            "cache_hits",
            "Requests answered from the cache of answers",
            load(&metrics.cache_hits),
        ),
        counter(
            "stored_answer_hits",
            "Requests answered by what the store keeps",
            load(&metrics.stored_answer_hits),
        ),
    ]
}

/// What has failed, in the daemon or at the client.
fn fault_counters(metrics: &Metrics) -> Vec<Family<u64>> {
    let threads = "Worker threads that died and were replaced";
    let actors = "Core actors that panicked and were rebuilt";
    let slices = "Slices that took far longer than their budget";
    let turns = "Turns of the scheduler that everybody had to wait for";
    let passwords = "Wrong users or passwords";
    let counts = [
        ("threads_replaced", threads, metrics.threads_replaced.count()),
        ("actors_rebuilt", actors, metrics.actors_rebuilt.count()),
        (
            "session_panics",
            "Sessions that panicked",
            metrics.session_panics.count(),
        ),
        ("late_slices", slices, metrics.late_slices.count()),
        ("late_turns", turns, metrics.late_turns.count()),
        ("wrong_passwords", passwords, metrics.wrong_passwords()),
    ];
    counts.map(|(name, help, count)| counter(name, help, count)).into()
}

/// Parts of jobs that other nodes do.
fn cluster_counters(cluster: &ClusterMetrics) -> Vec<Family<u64>> {
    let parts = [
        ("sent", &cluster.parts_sent),
        ("absorbed", &cluster.parts_absorbed),
        ("taken_back", &cluster.parts_lost),
        ("checked", &cluster.parts_checked),
    ];
    let bytes = [("sent", &cluster.bytes_sent), ("received", &cluster.bytes_received)];
    vec![
        Family(
            "cluster_parts",
            "Parts of this node's jobs that others do, by what became of them",
            None,
            labelled("event", parts),
        ),
        Family(
            "cluster",
            "Bytes of parts sent, and of their results received",
            Some(Unit::Bytes),
            labelled("direction", bytes),
        ),
    ]
}

/// Calls of plugged-in verbs; nothing where none was called.
fn lane_calls(lanes: &[Arc<LaneMetrics>]) -> Option<Family<u64>> {
    if lanes.is_empty() {
        return None;
    }
    let calls = by_lane(lanes, |lane| &lane.calls);
    Some(Family("lane_calls", "Calls of plugged-in verbs, by lane", None, calls))
}

fn cpu_seconds(metrics: &Metrics) -> Family<f64> {
    let cpu = by_class(metrics, |class| &class.cpu_us).into_iter();
    Family(
        "cpu",
        "CPU time of work, by class of workers",
        Some(Unit::Seconds),
        cpu.map(|(labels, us)| (labels, us as f64 / 1e6)).collect(),
    )
}

/// The program that runs, and since when.
fn process_gauges(workers: usize, uptime: Duration) -> Vec<Family<f64>> {
    vec![
        Family(
            "build_info",
            "1; the version is the label",
            None,
            vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
        Family(
            "uptime",
            "Time since the start",
            Some(Unit::Seconds),
            one(uptime.as_secs_f64()),
        ),
        gauge("workers", "Workers in each class", workers as u64),
    ]
}

/// What is open and under way.
fn load_gauges(metrics: &Metrics) -> Vec<Family<f64>> {
    let states = &metrics.states;
    let jobs = [
        ("queued", &states.queued),
        ("parked", &states.parked),
        ("running", &states.running),
    ];
    vec![
        gauge("connections", "Connections open", load(&metrics.connections)),
        Family(
            "jobs",
            "Jobs in the engine, by state",
            None,
            as_gauge(labelled("state", jobs)),
        ),
        gauge(
            "submitted_jobs",
            "Submitted jobs that have not ended",
            load(&states.submitted),
        ),
        Family(
            "plans_memory",
            "Memory set aside for long jobs",
            Some(Unit::Bytes),
            as_gauge(one(load(&states.memory))),
        ),
    ]
}

/// The store, if there is one, and whether the daemon ends.
fn condition_gauges(metrics: &Metrics) -> Vec<Family<f64>> {
    let mut gauges = vec![
        gauge(
            "stored_answers",
            "Answers that the store keeps",
            load(&metrics.stored_answers),
        ),
        gauge(
            "draining",
            "1 while the daemon ends",
            u64::from(metrics.draining.load(Relaxed)),
        ),
    ];
    let store = metrics.store();
    if !store.place.is_empty() {
        let works = u64::from(store.failure.is_empty());
        gauges.push(gauge("store_ok", "1 if the store can be written", works));
    }
    gauges
}

/// The nodes of the cluster.
fn cluster_gauges(nodes: &[NodeView], is_connected: bool) -> Vec<Family<f64>> {
    let workers: usize = nodes.iter().map(|node| node.workers).sum();
    let errs = nodes.iter().filter(|node| node.errs).count();
    vec![
        gauge(
            "cluster_connected",
            "1 while NATS can be reached",
            u64::from(is_connected),
        ),
        gauge("cluster_nodes", "Nodes of the cluster that live", nodes.len() as u64),
        gauge("cluster_workers", "Workers of all nodes", workers as u64),
        gauge("cluster_erring_nodes", "Nodes whose results were wrong", errs as u64),
    ]
}

/// The memory of the process, where the system says it.
fn resident_memory() -> Option<Family<f64>> {
    let series = as_gauge(one(resident_bytes()?));
    Some(Family(
        "resident_memory",
        "Memory of the process",
        Some(Unit::Bytes),
        series,
    ))
}

/// Calls of plugged-in verbs at present; nothing where none was called.
fn lane_gauges(lanes: &[Arc<LaneMetrics>]) -> Vec<Family<f64>> {
    if lanes.is_empty() {
        return Vec::new();
    }
    vec![
        Family(
            "lane_running",
            "Calls of plugged-in verbs under way, by lane",
            None,
            as_gauge(by_lane(lanes, |lane| &lane.running)),
        ),
        Family(
            "lane_waiting",
            "Calls of plugged-in verbs in the queue, by lane",
            None,
            as_gauge(by_lane(lanes, |lane| &lane.waiting)),
        ),
    ]
}

/// A counter without labels or unit.
fn counter(name: &'static str, help: &'static str, value: u64) -> Family<u64> {
    Family(name, help, None, one(value))
}

/// A gauge without labels or unit.
fn gauge(name: &'static str, help: &'static str, value: u64) -> Family<f64> {
    Family(name, help, None, as_gauge(one(value)))
}

/// A counter of each class of workers.
fn by_class(metrics: &Metrics, read: fn(&ClassMetrics) -> &AtomicU64) -> Series<u64> {
    let classes = [
        ("express", &metrics.express),
        ("bulk", &metrics.bulk),
        ("external", &metrics.external),
    ];
    labelled("class", classes.map(|(name, class)| (name, read(class))))
}

/// A counter of each lane of plugged-in verbs.
fn by_lane(lanes: &[Arc<LaneMetrics>], read: fn(&LaneMetrics) -> &AtomicU64) -> Series<u64> {
    labelled("lane", lanes.iter().map(|lane| (lane.name, read(lane))))
}

/// The series of these values of one label.
fn labelled<'a>(label: &'static str, counters: impl IntoIterator<Item = (&'static str, &'a AtomicU64)>) -> Series<u64> {
    let counters = counters.into_iter();
    counters
        .map(|(value, counter)| (vec![(label, value)], load(counter)))
        .collect()
}

/// The series of a metric without labels.
fn one<T>(value: T) -> Series<T> {
    vec![(Vec::new(), value)]
}

fn as_gauge(series: Series<u64>) -> Series<f64> {
    series.into_iter().map(|(labels, n)| (labels, n as f64)).collect()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Outcome, VerbLabel, Verbs};

    #[test]
    fn a_slow_bucket_names_its_request() {
        let metrics = Metrics::default();
        metrics.set_verbs(Verbs::new(["nth", "pi"].into_iter(), ["deadline"].into_iter()));
        let verbs = metrics.verbs().expect("they were set");
        verbs.count(VerbLabel::at(0), Outcome::OK, 3);
        verbs.count(VerbLabel::at(1), Outcome::failed(0), 1);
        let exemplar = || Exemplar {
            client: 5,
            request: Some(8),
            seconds: 0.5,
        };
        verbs.observe(VerbLabel::at(1), Duration::from_millis(500), 1, exemplar);
        let text = Scrape::of(&metrics, 2, Duration::from_secs(1))
            .write(true)
            .expect("it can be written");
        let named: Vec<&str> = text.lines().filter(|line| line.contains("request=")).collect();
        assert_eq!(named.len(), 1, "{named:?}");
        assert!(
            named[0].contains("verb=\"pi\"") && named[0].contains("le=\"1.0\""),
            "{named:?}"
        );
        assert!(named[0].ends_with(" 1 # {client=\"5\",request=\"8\"} 0.5"), "{named:?}");
        assert!(
            text.contains("primed_requests_total{verb=\"nth\",code=\"ok\"} 3\n"),
            "{text}"
        );
        assert!(text.ends_with("# EOF\n"));
        let plain = Scrape::of(&metrics, 2, Duration::from_secs(1))
            .write(false)
            .expect("it can be written");
        assert!(
            !plain.contains("request=") && plain.contains("# TYPE primed_requests_total counter\n"),
            "{plain}"
        );
    }
}
