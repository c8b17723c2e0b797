//! `primed serve`: runs the daemon until a signal ends it.

use super::address::{self, Address};
use super::{allocator, descriptors, quantity};
use crate::daemon::{Drained, RunError, Signals};
use crate::engine::Policy;
use crate::server::Limits;
use crate::{Daemon, StartError};
use std::io::{ErrorKind, IsTerminal, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Address to listen on; may be repeated
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_LISTEN", value_parser = address::read, value_delimiter = ',', default_values_t = [Address::from(super::DEFAULT_ADDRESS)])]
    listen: Vec<Address>,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", env = "PRIMED_WORKERS", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// Threads that serve connections
    #[arg(long, value_name = "N", env = "PRIMED_IO_THREADS", default_value = "1", value_parser = quantity::threads)]
    io_threads: NonZeroUsize,
    /// How long accepted requests may go on after the first Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", env = "PRIMED_DRAIN_LIMIT", default_value = "10s", value_parser = quantity::any_time)]
    drain_limit: Duration,
    /// What to log on standard error, e.g. 'debug' or 'primed=trace'
    #[arg(long, value_name = "FILTER", env = "PRIMED_LOG", default_value = "info", value_parser = read_filter)]
    log: String,
    /// File with settings, in the format that 'serve --show-config' prints
    #[arg(long, value_name = "FILE", env = "PRIMED_CONFIG")]
    config: Option<PathBuf>,
    /// Print every setting, its value and its source, and do not start
    #[arg(long)]
    pub(super) show_config: bool,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Limits on what clients may use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Connections at once; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_CONNECTIONS", default_value = "20000", value_parser = quantity::positive)]
    max_connections: NonZeroUsize,
    /// Requests of one connection under way; beyond that it is not read until some are answered
    #[arg(long, value_name = "N", env = "PRIMED_MAX_IN_FLIGHT", default_value = "1024", value_parser = quantity::positive)]
    max_in_flight: NonZeroUsize,
    /// Jobs queued and running; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_JOBS", default_value = "20000", value_parser = quantity::positive)]
    max_jobs: NonZeroUsize,
    /// Jobs of one client; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_JOBS_PER_CLIENT", default_value = "2000", value_parser = quantity::positive)]
    max_jobs_per_client: NonZeroUsize,
    /// Memory of all long jobs; a job that needs more is 'too-big', one that must wait for it is parked
    #[arg(long, value_name = "MIB", env = "PRIMED_MAX_MEMORY_MIB", default_value = "2048", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    max_memory_mib: u64,
    /// Longest line, at least 64; a longer one is 'line-too-long'
    #[arg(long, value_name = "BYTES", env = "PRIMED_MAX_LINE", default_value = "16384", value_parser = quantity::line_bytes)]
    max_line: usize,
    /// Unread replies of a client; beyond that it is not read until it takes some
    #[arg(long, value_name = "BYTES", env = "PRIMED_MAX_UNSENT", default_value = "65536", value_parser = quantity::positive)]
    max_unsent: NonZeroUsize,
    /// How long a client may take to complete a line, or to read any of its replies
    #[arg(long, value_name = "TIME", env = "PRIMED_STALL_TIMEOUT", default_value = "30s", value_parser = quantity::time)]
    stall_timeout: Duration,
    /// How long a connection may be idle [default: no limit]
    #[arg(long, value_name = "TIME", env = "PRIMED_IDLE_TIMEOUT", value_parser = quantity::time)]
    idle_timeout: Option<Duration>,
    /// Submitted jobs that are kept after they have ended
    #[arg(long, value_name = "N", env = "PRIMED_KEEP_FINISHED", default_value = "1000", value_parser = quantity::any)]
    keep_finished: usize,
    /// How long they are kept
    #[arg(long, value_name = "TIME", env = "PRIMED_KEEP_FINISHED_FOR", default_value = "1h", value_parser = quantity::any_time)]
    keep_finished_for: Duration,
    /// Memory for cached answers; 0: no cache
    #[arg(long, value_name = "MIB", env = "PRIMED_KEEP_ANSWERS_MIB", default_value = "8", value_parser = clap::value_parser!(u64).range(0..=1 << 40))]
    keep_answers_mib: u64,
}

impl LimitFlags {
    /// Raises the limit of open files as far as the system allows, and logs if that allows fewer connections than the limit.
    fn check_descriptors(&self) {
        let Some(files) = descriptors::raise_limit() else {
            return;
        };
        let connections = descriptors::connections_within(files);
        if connections < self.max_connections.get() {
            tracing::warn!(
                files,
                connections,
                max_connections = self.max_connections,
                "the limit of open files allows fewer connections than max-connections; further ones are refused (ulimit -Hn, LimitNOFILE=)"
            );
        } else {
            tracing::info!(files, max_connections = self.max_connections, "room for connections");
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            max_connections: self.max_connections.get(),
            max_line_bytes: self.max_line,
            max_in_flight: self.max_in_flight.get(),
            max_unsent_bytes: self.max_unsent.get(),
            idle_timeout: self.idle_timeout,
            stall_timeout: self.stall_timeout,
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            max_jobs: self.max_jobs.get(),
            max_jobs_per_client: self.max_jobs_per_client.get(),
            max_memory: self.max_memory_mib << 20,
            max_finished: self.keep_finished,
            max_finished_age: self.keep_finished_for,
            max_answers: self.keep_answers_mib << 20,
        }
    }
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        start_logging(&self.log);
        allocator::give_large_blocks_back();
        self.limits.check_descriptors();
        let workers = self.workers.or_else(|| std::thread::available_parallelism().ok());
        let daemon = Daemon::new()
            .workers(workers.map_or(1, NonZeroUsize::get))
            .policy(self.limits.policy())
            .limits(self.limits.limits())
            .io_threads(self.io_threads.get());
        let daemon = self.listen.iter().try_fold(daemon, |daemon, address| {
            Ok::<_, anyhow::Error>(daemon.listen(address.resolve()?))
        })?;
        actix::System::new().block_on(serve(daemon, self.drain_limit))
    }
}

async fn serve(daemon: Daemon, drain_limit: Duration) -> anyhow::Result<ExitCode> {
    let signals = Signals::new()?;
    let running = daemon.start().await.map_err(advise)?;
    announce(running.addresses());
    tracing::info!(addresses = ?running.addresses(), workers = running.workers(), "listening");
    match signals.drain(running, drain_limit).await {
        Drained::InTime => tracing::info!("every accepted request is answered"),
        Drained::Late => tracing::warn!("the drain limit passed; the remaining requests were cancelled"),
        Drained::Interrupted => {
            tracing::warn!("a second signal: accepted requests are left unanswered");
            return Ok(ExitCode::from(1));
        }
        Drained::GaveUp => return Err(RunError::GaveUp.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds advice to an address that cannot be bound.
fn advise(error: StartError) -> anyhow::Error {
    let StartError::Listen { address, source } = error else {
        return error.into();
    };
    let advice = match source.kind() {
        ErrorKind::AddrInUse => "another daemon may be using it: stop it, or choose another address with --listen",
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose another with --listen",
        _ => "choose another address with --listen",
    };
    anyhow::anyhow!("cannot listen on {address}: {source}; {advice}")
}

/// One line: where it listens, and how to ask.
fn announce(addresses: &[SocketAddr]) {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let first = addresses.first().copied().unwrap_or(super::DEFAULT_ADDRESS);
    let mut out = std::io::stdout();
    // A daemon whose standard output is closed serves all the same.
    let _ = writeln!(
        out,
        "primed {} listens on {}; ask with: printf '100000\\n' | nc -N {} {}",
        env!("CARGO_PKG_VERSION"),
        all.join(" and "),
        first.ip(),
        first.port()
    );
    let _ = out.flush();
}

/// A filter is kept as it is written, so that it can be shown.
fn read_filter(text: &str) -> Result<String, String> {
    // A word that is not a level would be taken for a module of some program, and silence everything else.
    let is_meant = |part: &str| {
        let part = part.trim();
        part.contains('=') || part.starts_with("primed") || part.parse::<LevelFilter>().is_ok()
    };
    match EnvFilter::try_new(text) {
        Ok(_) if text.split(',').all(is_meant) => Ok(text.to_owned()),
        _ => Err("write off, error, warn, info, debug or trace, or a level for a module, like primed=trace".into()),
    }
}

fn start_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}
