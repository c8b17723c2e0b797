//! The whole daemon on a simulated network: clients that are slow, hang up and send rubbish, workers that die, links
//! that stand still or tear, a daemon that drains or crashes. Every reply that arrives is checked, and a seed repeats
//! everything.
//!
//! `cargo test --lib simulat` plays some seeds, `PRIMED_SEEDS=1000` as many, `PRIMED_SEED=7` that one, with its trace.

mod client;
mod disk;
mod network;
mod work;

use super::{Daemon, store_place};
use crate::engine::{Policy, failpoint, simulated};
use crate::metrics::Metrics;
use crate::server::{Limits, Service};
use crate::store::MemoryStore;
use crate::verb::{DaemonView, Registry};
use actix::Actor;
use disk::Disk;
use network::Port;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::Notify;
use work::Work;

const SEEDS: u64 = 60;
const PORT: u16 = 7919;
/// How long a session may rest, or keep the daemon waiting: what a torn link leaves is gone soon after.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the daemon finishes what it has accepted.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// What the daemon, the clients and the network know of one another's fate.
#[derive(Default)]
struct Fate {
    trace: RefCell<Vec<String>>,
    /// What went wrong.
    faults: RefCell<Vec<String>>,
    /// The daemon drains, or has crashed: replies may say so, or not come.
    is_ending: Cell<bool>,
    /// Links have lost something: replies may not come.
    is_torn: Cell<bool>,
    /// The daemon takes few jobs: replies may be `busy`.
    is_crowded: Cell<bool>,
    /// Workers die: what they were computing is `internal`.
    is_deadly: Cell<bool>,
    /// The scheduler panics now and then: all that wait get `internal`.
    has_failpoints: Cell<bool>,
    drain: Notify,
    /// What outlives a crash of the daemon.
    disk: MemoryStore,
    metrics: RefCell<Arc<Metrics>>,
}

impl Fate {
    fn note(&self, who: &str, what: impl std::fmt::Display) {
        let now = turmoil::sim_elapsed().unwrap_or_default().as_micros();
        self.trace.borrow_mut().push(format!("{now:>10} {who}: {what}"));
    }

    fn fault(&self, what: String) {
        self.faults.borrow_mut().push(what);
    }
}

async fn serve(fate: Rc<Fate>, seed: u64) -> turmoil::Result {
    let metrics = Arc::new(Metrics::default());
    *fate.metrics.borrow_mut() = metrics.clone();
    let mut random = fastrand::Rng::with_seed(seed);
    let workers = random.usize(1..4);
    let policy = Policy {
        max_jobs: if fate.is_crowded.get() { 4 } else { 10_000 },
        ..Policy::default()
    };
    let limits = Limits {
        // With one only, a client that asks for something endless could not cancel it: the cancel would not be read.
        max_in_flight: random.usize(2..40),
        max_unsent_bytes: 1 << random.u32(6..16),
        idle_timeout: Some(PATIENCE),
        stall_timeout: PATIENCE,
        ..Limits::default()
    };
    fate.disk.crash(random.usize(..3));
    let disk = Disk::new(fate.disk.clone(), random.fork()).start();
    let mut registry = Registry::default();
    registry.add(Work);
    let daemon = DaemonView {
        metrics: metrics.clone(),
        clients: Arc::default(),
        started: std::time::Instant::now(),
        workers,
    };
    let scheduler = simulated::scheduler(policy, workers, metrics, seed, fate.is_deadly.get());
    let contents = fate.disk.contents();
    let scheduler = store_place::fill(scheduler, contents, "memory", disk.recipient(), &registry, &daemon);
    let running = Daemon::new()
        .workers(workers)
        .policy(policy)
        .limits(limits)
        .verb(Work)
        .open(
            vec![(Box::new(Port::open(PORT).await?), Service::built_in())],
            Vec::new(),
            scheduler,
            fate.metrics.borrow().clone(),
            None,
        )?;
    fate.drain.notified().await;
    fate.note("daemon", "drains");
    let drained = running.drain(DRAIN_LIMIT).await;
    fate.note("daemon", format!("drained: {drained:?}"));
    std::future::pending().await
}

/// Plays one seed and gives its trace. One passage of `one_of` in the scheduler's turn panics; 0: none does.
fn play(seed: u64, one_of: u32) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let fate = Rc::new(Fate::default());
    failpoint::arm(one_of, seed);
    fate.has_failpoints.set(one_of > 0);
    fate.is_crowded.set(random.u32(..5) == 0);
    fate.is_deadly.set(random.u32(..5) == 0);
    let mut simulation = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(3_600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_micros(100))
        .max_message_latency(Duration::from_millis(random.u64(1..60)))
        .tcp_capacity(1 << 16)
        .build();
    let daemon_seed = random.u64(..);
    simulation.host("daemon", {
        let fate = fate.clone();
        move || serve(fate.clone(), daemon_seed)
    });
    let names: Vec<String> = (0..random.usize(1..5)).map(|index| format!("client{index}")).collect();
    for name in &names {
        simulation.client(name.as_str(), client::live(name.clone(), random.fork(), fate.clone()));
    }
    let mut troubles = network::Troubles::new(random.fork(), names);
    loop {
        troubles.pass(&mut simulation, &fate);
        if simulation.step().expect("clients never fail and never go on for ever") {
            break;
        }
    }
    troubles.end(&mut simulation);
    if fate.is_torn.get() {
        // The daemon does not know that its client is gone: the kernel would find out, within two minutes.
        fate.drain.notify_one();
    }
    let is_left = || {
        let metrics = fate.metrics.borrow();
        metrics.jobs.load(Relaxed) + metrics.connections.load(Relaxed) > 0
    };
    for _ in 0..3 * PATIENCE.as_millis() {
        if !is_left() {
            break;
        }
        simulation.step().expect("the daemon goes on");
    }
    if is_left() {
        fate.fault(format!("jobs or sessions are left: {:?}", fate.metrics.borrow()));
    }
    drop(simulation);
    let trace = fate.trace.take();
    let faults = fate.faults.take();
    assert!(
        faults.is_empty(),
        "seed {seed}: {faults:#?}\n{}\nreplay with PRIMED_SEED={seed}",
        trace.join("\n")
    );
    trace
}

#[test]
fn simulated_clients_get_one_right_reply_each_and_every_seed_repeats() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("PRIMED_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PRIMED_SEEDS").unwrap_or(SEEDS),
    };
    let (mut events, count) = (0, seeds.end - seeds.start);
    for seed in seeds {
        let trace = play(seed, 0);
        if count == 1 {
            println!("{}", trace.join("\n"));
        }
        assert_eq!(trace, play(seed, 0), "seed {seed} does not repeat");
        events += trace.len();
    }
    println!("{count} seeds, each twice with the same trace, {events} events");
}

#[test]
fn a_thousand_panics_of_the_scheduler_leave_every_request_one_reply() {
    const PANICS: usize = 1_000;
    assert_eq!(play(0, 40), play(0, 40), "it does not repeat");
    let mut seed = 0;
    while failpoint::count() < PANICS {
        seed += 1;
        play(seed, 40);
    }
    failpoint::arm(0, 0);
    println!("{} panics in {seed} seeds", failpoint::count());
}
