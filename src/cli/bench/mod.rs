//! `primed bench`: load and latency, of our own daemon or of any server that takes lines or RESP.
//!
//! [`mix`] makes requests, [`generator`] sends them, [`tally`] counts, [`summary`] prints. This module connects first,
//! then starts all threads at one moment, prints a line a second, and ends after the duration, after the number of
//! requests, or at Ctrl-C.

mod generator;
mod mix;
mod replies;
mod summary;
mod tally;
mod timer;

use super::address::{self, Address, UNIX};
use super::connect::{Login, SpeaksTls, connect};
use super::descriptors::{self, Reserve};
use super::modes::EndSignals;
use super::{complain, quantity};
use crate::Daemon;
use crate::daemon::Handle;
use crate::proto::parse_number;
use anyhow::Context;
use generator::{Generator, LoadError, Orders, Pace, Report, Usage};
use mix::{Encoding, Mix, Requests};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use summary::Summary;
use tally::Tally;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// The arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Bench {
    /// The server to load, instead of a daemon in this process; several addresses share the connections
    #[arg(long, value_name = "ADDR:PORT", value_parser = read_target, value_delimiter = ',')]
    connect: Vec<Address>,
    #[command(flatten)]
    login: Login,
    /// Number of connections
    #[arg(short, long, value_name = "N", default_value = "50", value_parser = quantity::positive)]
    connections: NonZeroUsize,
    /// Requests under way on each connection
    #[arg(short = 'p', long, value_name = "N", default_value = "1", value_parser = quantity::positive)]
    depth: NonZeroUsize,
    /// Requests a second, sent on time whatever the server does; latency counts from the time a request was due
    /// [default: as fast as replies arrive]
    #[arg(long, value_name = "N/s", value_parser = read_rate)]
    rate: Option<f64>,
    /// Duration [default: 10s, or until --requests are answered]
    #[arg(short, long, value_name = "TIME", value_parser = quantity::time)]
    duration: Option<Duration>,
    /// Stop after N requests
    #[arg(short = 'n', long, value_name = "N", value_parser = read_count)]
    requests: Option<u64>,
    /// The requests: REQUEST[=WEIGHT],...; a word A..B is a random number from A to B
    #[arg(short, long, value_name = "MIX", default_value = "nth 1..16")]
    mix: Mix,
    /// Send RESP, as Redis clients do, instead of lines
    #[arg(long)]
    resp: bool,
    /// Threads that send
    #[arg(long, value_name = "N", default_value = "1", value_parser = quantity::threads)]
    threads: NonZeroUsize,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  primed bench                               a daemon in this process
  primed bench --connect 127.0.0.1:7919      a daemon that runs
  primed bench --rate 20000/s -d 30s         latency at a fixed rate, with stalls
  primed bench --connect 127.0.0.1:6379 --mix ping     a Redis server
  primed bench -p 16 --mix 'nth 1..16=90,isprime 1e18..2e18=10'
  primed bench --connect 127.0.0.1:7919 -c 10000";

/// `20000/s`, or without the `/s`.
fn read_rate(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches("/s").trim_end();
    Ok(read_count(number)? as f64)
}

fn read_target(text: &str) -> Result<Address, String> {
    match text.starts_with(UNIX) {
        true => Err("bench loads addresses of TCP only; write one and its port, like 127.0.0.1:7919".into()),
        false => address::read(text),
    }
}

fn read_count(text: &str) -> Result<u64, String> {
    let number = parse_number(text).map_err(|error| error.to_string())?;
    match u64::try_from(number).map_err(|_| "that is too many")? {
        0 => Err("0 asks nothing".into()),
        count => Ok(count),
    }
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.check_descriptors()?;
        let daemon = match self.connect.is_empty() {
            true => Some(own_daemon(self.connections.get())?),
            false => None,
        };
        let targets = match &daemon {
            Some(daemon) => daemon.addresses().to_vec(),
            None => self.connect.iter().map(Address::resolve).collect::<Result<_, _>>()?,
        };
        self.announce(daemon.is_some(), &targets);
        let sockets = self.open(&targets)?;
        let server = join(&targets);
        let stop = Arc::new(AtomicBool::new(false));
        let cpu_before = process_cpu();
        let (threads, reports) = self.begin(sockets, &stop)?;
        let tally = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(watch(reports, threads.len(), &stop))?;
        let thread_count = threads.len();
        let (usage, result) = end(threads);
        let summary = Summary {
            server,
            mix: self.mix.text().to_owned(),
            connections: self.connections.get(),
            depth: self.depth.get(),
            threads: thread_count,
            rate: self.rate,
            elapsed: usage.elapsed,
            generator_cpu: usage.cpu,
            daemon_cpu: daemon
                .is_some()
                .then(|| process_cpu().saturating_sub(cpu_before).saturating_sub(usage.cpu)),
            tally,
        };
        if self.json {
            writeln!(std::io::stdout(), "{:#}", summary.json())?;
        } else {
            writeln!(std::io::stdout(), "{summary}")?;
        }
        let said = summary.tally.first_error.as_deref();
        result.with_context(|| {
            let said = said
                .map(|line| format!(" (an error it sent: {line})"))
                .unwrap_or_default();
            format!("the run ended early{said}")
        })?;
        if let Some(daemon) = daemon {
            daemon.stop(Duration::ZERO);
        }
        // A run without replies has no figures.
        let replies = summary.tally.replies;
        anyhow::ensure!(
            replies > 0,
            "no request was answered; does the server take lines, and is --duration long enough?"
        );
        let is_all_errors = summary.tally.errors_total() == replies;
        Ok(ExitCode::from(u8::from(is_all_errors)))
    }

    /// Refuses a run that would fail for lack of descriptors.
    fn check_descriptors(&self) -> anyhow::Result<()> {
        let Some(limit) = descriptors::raise_limit() else {
            return Ok(());
        };
        let ends = if self.connect.is_empty() { 2 } else { 1 };
        let room = Reserve::LEAST.connections_within(limit) / ends;
        let hint = match ends {
            2 => {
                "the daemon in this process needs as many again: start 'primed serve' and use --connect, or raise the limit (ulimit -Hn)"
            }
            _ => "raise the limit (ulimit -Hn)",
        };
        anyhow::ensure!(
            self.connections.get() <= room,
            "{} connections are too many: this process may have {limit} files open, which is enough for {room}; {hint}",
            self.connections
        );
        Ok(())
    }

    fn announce(&self, is_own: bool, targets: &[SocketAddr]) {
        let what = if is_own { "a daemon in this process, on " } else { "" };
        let pace = match self.rate {
            Some(rate) => format!("{rate}/s"),
            None => "as fast as replies come".into(),
        };
        complain(format_args!(
            "{what}{}: '{}' over {} connections, {} at once on each,\n{pace}; Ctrl-C ends it early",
            join(targets),
            self.mix.text(),
            self.connections,
            self.depth
        ));
    }

    fn open(&self, targets: &[SocketAddr]) -> anyhow::Result<Vec<TcpStream>> {
        let open = |index: usize| {
            connect(targets[index % targets.len()]).map_err(|error| match error.downcast_ref::<std::io::Error>() {
                Some(cause) if cause.kind() == ErrorKind::AddrNotAvailable => anyhow::anyhow!(
                    "no local port is left after {index} connections; use several addresses (--connect ADDR1:PORT,ADDR2:PORT)"
                ),
                _ => error.context(format!("after {index} of {} connections", self.connections)),
            })
        };
        let open = |index| {
            let mut socket = open(index)?;
            // A daemon in this process has no users.
            if !self.connect.is_empty() {
                let said = self.login.say(&mut socket);
                said.map_err(|error| match error.is::<SpeaksTls>() {
                    true => anyhow::anyhow!(
                        "what answers there speaks TLS, and bench loads plain addresses: name one of --listen"
                    ),
                    false => error,
                })?;
            }
            Ok(socket)
        };
        (0..self.connections.get()).map(open).collect()
    }

    /// Starts the threads, each with its share of the connections, the requests and the rate.
    fn begin(
        &self,
        mut sockets: Vec<TcpStream>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<(Threads, UnboundedReceiver<Report>)> {
        let (sender, reports) = unbounded_channel();
        let count = self.threads.get().min(self.connections.get());
        let start = Instant::now();
        let encoding = if self.resp { Encoding::Resp } else { Encoding::Line };
        let duration = match (self.duration, self.requests) {
            (None, None) => Some(DEFAULT_DURATION),
            (duration, _) => duration,
        };
        let total = self.requests.unwrap_or(u64::MAX);
        let threads = (0..count)
            .map(|index| {
                let generator = Generator::new(Orders {
                    sockets: sockets.split_off(sockets.len() - sockets.len() / (count - index)),
                    depth: self.depth.get(),
                    requests: Requests::new(self.mix.clone(), encoding, index as u64),
                    encoding,
                    pace: match self.rate {
                        None => Pace::Closed,
                        Some(rate) => Pace::Open {
                            interval: 1e9 * count as f64 / rate,
                            offset: 1e9 * index as f64 / rate,
                        },
                    },
                    limit: total / count as u64 + u64::from((index as u64) < total % count as u64),
                    duration,
                    start,
                    stop: stop.clone(),
                    reports: sender.clone(),
                })?;
                let name = format!("generator {index}");
                Ok(std::thread::Builder::new().name(name).spawn(move || generator.run())?)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok((threads, reports))
    }
}

type Threads = Vec<JoinHandle<(Usage, Result<(), LoadError>)>>;

/// A daemon in this process on a free port, for this number of connections.
fn own_daemon(connections: usize) -> anyhow::Result<Handle> {
    let limits = crate::server::Limits {
        max_connections: connections,
        ..crate::server::Limits::default()
    };
    Ok(Daemon::new()
        .limits(limits)
        .listen(([127, 0, 0, 1], 0).into())
        .spawn()?)
}

fn join(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(" and ")
}

/// Shows a line for each second and adds everything up. A first signal ends the run early.
async fn watch(mut reports: UnboundedReceiver<Report>, threads: usize, stop: &AtomicBool) -> anyhow::Result<Tally> {
    let mut signals = EndSignals::take()?;
    let mut total = Tally::default();
    let mut seconds: BTreeMap<u64, (usize, Tally)> = BTreeMap::new();
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            _ = signals.next() => { stop.store(true, Relaxed); continue }
        };
        let Some(Report { second, tally }) = report else {
            return Ok(total);
        };
        total.add(&tally);
        let Some(second) = second else {
            continue;
        };
        let (heard, sum) = seconds.entry(second).or_default();
        *heard += 1;
        sum.add(&tally);
        if *heard == threads {
            if second == 0 {
                complain(format_args!("{}", summary::header()));
            }
            complain(format_args!("{}", summary::second(second + 1, sum)));
            seconds.remove(&second);
        }
    }
}

/// What all threads used together, and the first reason to end early.
fn end(threads: Threads) -> (Usage, Result<(), LoadError>) {
    let mut all = Usage {
        cpu: Duration::ZERO,
        elapsed: Duration::ZERO,
    };
    let mut result = Ok(());
    for thread in threads {
        match thread.join() {
            Ok((usage, outcome)) => {
                all.cpu += usage.cpu;
                all.elapsed = all.elapsed.max(usage.elapsed);
                result = result.and(outcome);
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    (all, result)
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
