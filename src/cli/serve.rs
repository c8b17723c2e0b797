//! `primed serve`: runs the daemon until a signal ends it.

use crate::Daemon;
use crate::server::Limits;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Address to listen on; may be given several times
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_LISTEN", value_delimiter = ',', default_values_t = [super::DEFAULT_ADDRESS])]
    listen: Vec<SocketAddr>,
    /// Threads that compute [default: one a core]
    #[arg(long, value_name = "N", env = "PRIMED_WORKERS")]
    workers: Option<NonZeroUsize>,
    /// Threads that serve connections
    #[arg(long, value_name = "N", env = "PRIMED_IO_THREADS", default_value = "1")]
    io_threads: NonZeroUsize,
    /// Connections at once; one more is told 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_CONNECTIONS", default_value = "20000")]
    max_connections: usize,
    /// How long accepted work may go on after the first Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", env = "PRIMED_DRAIN_LIMIT", default_value = "10s", value_parser = humantime::parse_duration)]
    drain_limit: Duration,
    /// What to log on standard error, e.g. 'debug' or 'primed=trace' [default: $RUST_LOG or info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        start_logging(self.log.as_deref())?;
        let mut daemon = self
            .listen
            .iter()
            .fold(Daemon::new(), |daemon, address| daemon.listen(*address));
        if let Some(workers) = self.workers {
            daemon = daemon.workers(workers.get());
        }
        let daemon = daemon.io_threads(self.io_threads.get()).limits(Limits {
            max_connections: self.max_connections,
            ..Limits::default()
        });
        actix::System::new().block_on(serve(daemon, self.drain_limit))
    }
}

async fn serve(daemon: Daemon, drain_limit: Duration) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = daemon.start().await?;
    announce(running.addresses());
    tracing::info!(addresses = ?running.addresses(), workers = running.workers(), "listening");
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!(limit = %humantime::format_duration(drain_limit), "finishing what was accepted; a second signal ends at once");
    let finished = tokio::select! {
        finished = running.drain(drain_limit) => finished,
        _ = interrupt.recv() => std::process::exit(1),
        _ = terminate.recv() => std::process::exit(1),
    };
    match finished {
        true => tracing::info!("everything accepted is answered; goodbye"),
        false => tracing::warn!("the drain limit passed; the rest was cancelled"),
    }
    Ok(ExitCode::SUCCESS)
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

fn start_logging(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = match filter {
        Some(filter) => EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("--log {filter}: {error}"))?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Ok(())
}
