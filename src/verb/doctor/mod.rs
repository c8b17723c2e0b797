//! `doctor`: what is wrong with the daemon or its machine now, and what to do. Knows no job.

mod machine;

use super::memory::Scope;
use super::{Call, DaemonView, Registry, Step, define};
use crate::auth::Role;
use crate::metrics::{LATE_SLICE, LATE_TURN, Metrics, Trouble};
use crate::proto::Failure;
use machine::Machine;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How old a diagnosis may be: what it reads of the system takes a tenth of a millisecond, and before Linux 6.2 also a
/// microsecond or two for each open file, which a flood of questions must not take each time.
const FRESH: Duration = Duration::from_secs(1);

/// Jobs under way for each worker that make a backlog.
const CROWDED: u64 = 1_000;
/// The share of the open files that may be in use, in percent.
const FILES_PCT: u64 = 90;
/// The share of the CPU that others of the host may take, in percent.
const STOLEN_PCT: u64 = 10;
/// Memory that the machine should have left, in percent of all.
const MEMORY_PCT: u64 = 5;
/// Space that the store's disk should have left, in bytes.
const SPACE: u64 = 256 << 20;

/// How long an incident is shown.
const RECENT: Duration = Duration::from_secs(3600);

/// Something that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    is_urgent: bool,
    what: String,
    remedy: &'static str,
}

pub(super) fn register(registry: &mut Registry) {
    let latest = Latest::default();
    let read = move |call: &Call<'_>| {
        call.only(0, &[])?;
        let rows = latest.rows(Instant::now(), || diagnosis(call.daemon));
        Ok::<_, Failure>(Step::Rows(rows))
    };
    registry.add(
        define("doctor", "what is wrong now, and what to do about it", read)
            .details(&[
                "Looks at the store and its disk, open files, the backlog, memory, CPU that",
                "others of the host take, the nodes of its cluster, and what went wrong in the",
                "last hour: connections refused, panics, work that kept others waiting.",
                "A row each: urgent or warning, what it is, what to do. At most one new",
                "look a second.",
            ])
            .role(Role::Operate),
    );
}

/// The latest diagnosis, and when it was made.
#[derive(Default)]
struct Latest(Mutex<Option<(Instant, Vec<String>)>>);

impl Latest {
    /// Its rows if it is fresh, and else those of a new look.
    fn rows(&self, now: Instant, look: impl FnOnce() -> Vec<String>) -> Vec<String> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((at, rows)) if now.duration_since(*at) < FRESH => rows.clone(),
            _ => {
                let rows = look();
                *latest = Some((now, rows.clone()));
                rows
            }
        }
    }
}

fn diagnosis(daemon: &DaemonView) -> Vec<String> {
    let place = daemon.metrics.store().place;
    let machine = Machine::look(Path::new(&place), daemon.workers);
    let findings = findings(daemon, &machine);
    match findings.is_empty() {
        true => vec!["nothing is wrong".to_owned()],
        false => findings.iter().map(row).collect(),
    }
}

fn row(finding: &Finding) -> String {
    let Finding {
        is_urgent,
        what,
        remedy,
    } = finding;
    let severity = if *is_urgent { "urgent" } else { "warning" };
    format!("{severity}: {what}; {remedy}")
}

impl Finding {
    const fn urgent(what: String, remedy: &'static str) -> Self {
        let is_urgent = true;
        Self {
            is_urgent,
            what,
            remedy,
        }
    }

    const fn warning(what: String, remedy: &'static str) -> Self {
        let is_urgent = false;
        Self {
            is_urgent,
            what,
            remedy,
        }
    }
}

/// What is wrong, the urgent first.
fn findings(daemon: &DaemonView, machine: &Machine) -> Vec<Finding> {
    let metrics = &daemon.metrics;
    let mut found: Vec<Finding> = of_store(metrics)
        .into_iter()
        .chain(of_machine(daemon, machine))
        .chain(of_incidents(metrics))
        .chain(of_cluster(metrics))
        .collect();
    found.sort_by_key(|finding| !finding.is_urgent);
    found
}

fn of_store(metrics: &Metrics) -> Option<Finding> {
    let store = metrics.store();
    (!store.failure.is_empty()).then(|| {
        let what = format!("the store {} fails: {}", store.place, store.failure);
        Finding::urgent(what, "no job is taken in until it can be written")
    })
}

/// What is used up, or nearly so.
fn of_machine(daemon: &DaemonView, machine: &Machine) -> Vec<Finding> {
    let metrics = &daemon.metrics;
    let mut found = Vec::new();
    let connections = metrics.connections.load(Relaxed);
    let open = machine.files_open.unwrap_or(connections);
    if let Some(files) = machine.files
        && open.saturating_mul(100) >= files.saturating_mul(FILES_PCT)
    {
        let what = format!("{open} files are open, of {files} that may be; {connections} are connections");
        let remedy = "raise LimitNOFILE= or ulimit -n, or set --idle-timeout";
        found.push(Finding::urgent(what, remedy));
    }
    if let Some(memory) = machine.memory.filter(|memory| memory.left_pct() < MEMORY_PCT) {
        let scope = match memory.scope {
            Scope::Machine => "the machine",
            Scope::ControlGroup => "the control group",
            Scope::Process => "this process (ulimit -v or -d, LimitAS=, LimitDATA=)",
        };
        let remedy = match memory.scope {
            Scope::Machine | Scope::ControlGroup => "lower --max-memory-mib, or stop what else uses memory",
            Scope::Process => "raise that limit, or lower --max-memory-mib or --workers",
        };
        let what = format!("{scope} has {} % of its memory left", memory.left_pct());
        found.push(Finding::urgent(what, remedy));
    }
    if let Some(space) = machine.store_space.filter(|space| *space < SPACE) {
        let what = format!("the disk of the store has {} MiB left", space >> 20);
        found.push(Finding::warning(what, "make room, or 'primed store prune'"));
    }
    // Not those that are to begin later.
    let states = &metrics.states;
    let jobs: u64 = [&states.queued, &states.parked, &states.running]
        .map(|state| state.load(Relaxed))
        .iter()
        .sum();
    if jobs > CROWDED.saturating_mul(daemon.workers as u64) {
        let what = format!("{jobs} jobs are under way on {} workers", daemon.workers);
        let remedy = "'jobs' and 'clients' show whose they are; add workers, or lower --max-jobs-per-account";
        found.push(Finding::warning(what, remedy));
    }
    if let Some(pct) = machine.stolen_pct.filter(|pct| *pct >= STOLEN_PCT) {
        let what = format!("other guests of the host have taken {pct} % of the CPU since the machine started");
        let remedy = "measure on a machine of your own, or ask the host for more";
        found.push(Finding::warning(what, remedy));
    }
    found
}

/// What went wrong lately: what is long past is over.
fn of_incidents(metrics: &Metrics) -> impl Iterator<Item = Finding> {
    let incidents = [
        (
            vec![&metrics.connections_refused],
            "connections refused".to_owned(),
            "raise --max-connections or the limit on open files, or set --idle-timeout",
        ),
        (
            vec![
                &metrics.threads_replaced,
                &metrics.actors_rebuilt,
                &metrics.session_panics,
            ],
            "panics of threads, actors and sessions".to_owned(),
            "the log says where; please report it",
        ),
        (
            vec![&metrics.late_slices],
            format!(
                "slices that took {} ms or more, for which other questions waited",
                LATE_SLICE.as_millis()
            ),
            "the log names a question; its plan should look at the budget more often",
        ),
        (
            vec![&metrics.late_turns],
            format!(
                "turns of the scheduler that took {} ms or more, for which everybody waited",
                LATE_TURN.as_millis()
            ),
            "the log says what it was at; a plan takes too long to cut or absorb, or the machine is crowded",
        ),
    ];
    incidents.into_iter().filter_map(|(kinds, name, remedy)| {
        let ago = kinds.iter().filter_map(|kind| kind.since_last()).min()?;
        (ago < RECENT).then(|| {
            let count: u64 = kinds.iter().map(|kind| kind.count()).sum();
            let ago = humantime::format_duration(Duration::from_secs(ago.as_secs()));
            Finding::warning(format!("{name} since the start: {count}, the last {ago} ago"), remedy)
        })
    })
}

fn of_cluster(metrics: &Metrics) -> Vec<Finding> {
    let Some((nodes, is_connected)) = metrics.cluster.nodes() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let Trouble { what, remedy } = metrics.cluster.trouble();
    if is_connected && !what.is_empty() {
        found.push(Finding::warning(what, remedy));
    } else if !is_connected {
        let (what, remedy) = match what.is_empty() {
            true => ("no reply of NATS yet", "look again in some seconds; the log has more"),
            false => (what.as_str(), remedy),
        };
        let what = format!("this node is alone in its cluster: {what}");
        found.push(Finding::warning(what, remedy));
    }
    let erring = nodes.iter().filter(|node| node.errs);
    found.extend(erring.map(|node| {
        let what = format!("results of node {} are wrong, and none are taken any more", node.name);
        Finding::warning(what, "check its memory and CPU, or take it out of the cluster")
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::NodeView;
    use crate::verb::memory::Memory;
    use std::sync::Arc;

    fn daemon() -> DaemonView {
        DaemonView {
            metrics: Arc::default(),
            clients: Arc::default(),
            started: Instant::now(),
            workers: 2,
        }
    }

    fn memory(left: u64) -> Option<Memory> {
        Some(Memory {
            scope: Scope::ControlGroup,
            total: 100,
            left,
        })
    }

    fn whats(daemon: &DaemonView, machine: &Machine) -> Vec<String> {
        findings(daemon, machine).iter().map(row).collect()
    }

    #[test]
    fn nothing_is_wrong_with_a_healthy_daemon() {
        let machine = Machine {
            files: Some(20_000),
            files_open: Some(20),
            memory: memory(50),
            store_space: Some(1 << 40),
            stolen_pct: Some(1),
        };
        assert_eq!(whats(&daemon(), &machine), [""; 0]);
        assert_eq!(
            whats(&daemon(), &Machine::default()),
            [""; 0],
            "what is not known is not wrong"
        );
    }

    #[test]
    fn each_trouble_is_named_with_its_remedy_and_the_urgent_come_first() {
        let daemon = daemon();
        daemon.metrics.states.queued.store(2_001, Relaxed);
        daemon.metrics.connections.store(18_000, Relaxed);
        daemon.metrics.session_panics.add();
        daemon.metrics.late_slices.add();
        daemon.metrics.set_store(|store| {
            store.place = "/var/lib/primed".into();
            store.failure = "disk full".into();
        });
        let machine = Machine {
            files: Some(20_000),
            files_open: Some(18_010),
            memory: memory(4),
            store_space: Some(1 << 20),
            stolen_pct: Some(10),
        };
        let rows = whats(&daemon, &machine);
        let urgent = rows.iter().take_while(|row| row.starts_with("urgent: ")).count();
        assert_eq!((urgent, rows.len()), (3, 8), "{rows:#?}");
        let panics = "warning: panics of threads, actors and sessions since the start: 1, the last 0s ago; the log says where; please report it";
        assert!(rows.contains(&panics.to_owned()), "{rows:#?}");
        assert!(rows[0].starts_with("urgent: the store /var/lib/primed fails: disk full; "));
        let memory = "urgent: the control group has 4 % of its memory left; lower --max-memory-mib, or stop what else uses memory";
        assert!(rows.contains(&memory.to_owned()));
        assert!(
            rows.contains(
                &"warning: the disk of the store has 1 MiB left; make room, or 'primed store prune'".to_owned()
            )
        );
    }

    #[test]
    fn a_node_without_its_cluster_says_why_and_names_those_that_err() {
        let daemon = daemon();
        let cluster = &daemon.metrics.cluster;
        let node = |name: &str, errs| NodeView {
            name: name.to_owned(),
            version: "1".to_owned(),
            workers: 1,
            free: 1,
            running: 0,
            owned: 0,
            parts_done: 0,
            is_worker_only: false,
            errs,
            heard: Duration::ZERO,
        };
        let rows = || whats(&daemon, &Machine::default());
        cluster.set_nodes(vec![node("a", false), node("b", false)], true);
        assert_eq!(rows(), [""; 0]);
        cluster.set_nodes(vec![node("a", false), node("b", true)], true);
        assert_eq!(
            rows(),
            [
                "warning: results of node b are wrong, and none are taken any more; check its memory and CPU, or take it out of the cluster"
            ]
        );
        cluster.set_nodes(vec![node("a", false)], false);
        assert!(rows()[0].starts_with("warning: this node is alone in its cluster: no reply"));
        cluster.set_trouble("authorization violation".to_owned(), "check the user");
        assert_eq!(
            rows(),
            ["warning: this node is alone in its cluster: authorization violation; check the user"]
        );
        cluster.set_nodes(vec![node("a", false)], true);
        cluster.set_trouble("NATS is full".to_owned(), "make room");
        assert_eq!(rows(), ["warning: NATS is full; make room"]);
    }

    #[test]
    fn files_that_are_open_count_also_if_they_are_no_connections() {
        let machine = |open| Machine {
            files: Some(100),
            files_open: Some(open),
            ..Machine::default()
        };
        let daemon = daemon();
        daemon.metrics.connections.store(50, Relaxed);
        assert_eq!(whats(&daemon, &machine(89)), [""; 0]);
        let row = "urgent: 90 files are open, of 100 that may be; 50 are connections; ";
        assert!(whats(&daemon, &machine(90))[0].starts_with(row));
    }

    #[test]
    fn a_flood_of_calls_costs_one_look_a_second() {
        let (latest, begun) = (Latest::default(), Instant::now());
        let mut looks = 0;
        let mut ask = |after_ms| {
            latest.rows(begun + Duration::from_millis(after_ms), || {
                looks += 1;
                vec![format!("look {looks}")]
            })
        };
        for after_ms in 0..1_000 {
            assert_eq!(ask(after_ms), ["look 1"], "after {after_ms} ms");
        }
        for after_ms in 1_000..2_000 {
            assert_eq!(ask(after_ms), ["look 2"], "after {after_ms} ms");
        }
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let machine = Machine::look(Path::new("."), 2);
        assert!(machine.files != Some(0));
        assert!(machine.store_space.is_some());
        assert_eq!(Machine::look(Path::new(""), 2).store_space, None, "there is no store");
    }
}
