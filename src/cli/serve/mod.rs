//! `primed serve`: runs the daemon until a signal ends it.

mod allocator;
mod cluster;
mod log_lines;
mod logging;
#[cfg(feature = "otlp")]
mod otlp;
mod reload;

use super::address::{self, Address, Endpoint};
use super::configure::ConfigRequests;
use super::data::{self, Data, FLAG};
use super::descriptors::{self, Reserve};
use super::security::SecurityFlags;
use super::settings::Settings;
use super::{configure, quantity};
use crate::daemon::{Drained, Notice, RunError, Signals};
use crate::engine::Policy;
use crate::server::Limits;
use crate::store::StoreError;
use crate::verb::Memory;
use crate::{Daemon, Failure, StartError};
use cluster::ClusterFlags;
use logging::LogFormat;
use reload::Reload;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// Address to listen on, or unix:PATH; may be repeated
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_LISTEN", value_parser = address::read_endpoint, value_delimiter = ',', default_values_t = [Endpoint::from(super::DEFAULT_ADDRESS)])]
    listen: Vec<Endpoint>,
    /// Address for HTTP: health, metrics, a JSON interface and a dashboard [default: none]
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_HTTP", value_parser = address::read)]
    http: Option<Address>,
    /// Host name accepted in HTTP requests, besides addresses and 'localhost'; may be repeated
    #[arg(long, value_name = "NAME", env = "PRIMED_HTTP_NAME", value_parser = address::read_name, value_delimiter = ',')]
    http_name: Vec<String>,
    /// Speak HTTP over TLS, with the certificate of --tls-cert
    #[arg(long, value_name = "BOOL", env = "PRIMED_HTTP_TLS", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    http_tls: bool,
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", env = "PRIMED_WORKERS", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// Threads that serve connections
    #[arg(long, value_name = "N", env = "PRIMED_IO_THREADS", default_value = "1", value_parser = quantity::threads)]
    io_threads: NonZeroUsize,
    /// How long accepted requests may go on after the first Ctrl-C or SIGTERM
    #[arg(long, value_name = "TIME", env = "PRIMED_DRAIN_LIMIT", default_value = "10s", value_parser = quantity::any_time)]
    drain_limit: Duration,
    /// Directory for submitted jobs and expensive answers, which outlive the process; 'none' keeps nothing [default:
    /// $STATE_DIRECTORY, else $XDG_STATE_HOME/primed, else ~/.local/state/primed]
    #[arg(long, value_name = "DIR", env = "PRIMED_DATA", value_parser = data::name())]
    data: Option<OsString>,
    /// What to log on standard error, e.g. 'debug' or 'primed=trace'
    #[arg(long, value_name = "FILTER", env = "PRIMED_LOG", default_value = "info", value_parser = logging::read_filter)]
    log: String,
    /// How each line of the log is written
    #[arg(long, value_name = "FORMAT", env = "PRIMED_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Collector of OpenTelemetry that gets a span of each request and job, e.g. http://127.0.0.1:4318 [default: none]
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_parser = otlp::Collector::read)]
    otlp: Option<otlp::Collector>,
    /// File with settings, in the format that 'serve --show-config' prints
    #[arg(long, value_name = "FILE", env = "PRIMED_CONFIG")]
    config: Option<PathBuf>,
    /// Print every setting, its value if it has one, and its source, and do not start
    #[arg(long)]
    pub(super) show_config: bool,
    #[command(flatten)]
    security: SecurityFlags,
    #[command(flatten)]
    cluster: ClusterFlags,
    #[command(flatten)]
    limits: LimitFlags,
}

/// Limits on what clients may use.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Connections at once; further ones get 'busy' [default: 20000, or as many as open files allow]
    #[arg(long, value_name = "N", env = "PRIMED_MAX_CONNECTIONS", value_parser = quantity::positive)]
    max_connections: Option<NonZeroUsize>,
    /// Requests in progress on one connection; beyond that, the daemon stops reading from it
    #[arg(long, value_name = "N", env = "PRIMED_MAX_IN_FLIGHT", default_value = "1024", value_parser = quantity::positive)]
    max_in_flight: NonZeroUsize,
    /// Jobs queued and running; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_JOBS", default_value = "20000", value_parser = quantity::positive)]
    max_jobs: NonZeroUsize,
    /// Jobs of one user, or of one address where there are no users; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_JOBS_PER_ACCOUNT", default_value = "10000", value_parser = quantity::positive)]
    max_jobs_per_account: NonZeroUsize,
    /// Submitted jobs that have not ended; further ones get 'busy'
    #[arg(long, value_name = "N", env = "PRIMED_MAX_SUBMITTED", default_value = "10000", value_parser = quantity::positive)]
    max_submitted: NonZeroUsize,
    /// How long a question without a deadline may wait until it is begun; then it gets 'busy'
    #[arg(long, value_name = "TIME", env = "PRIMED_MAX_QUEUE_AGE", default_value = "1s", value_parser = quantity::time)]
    max_queue_age: Duration,
    /// Memory of all long jobs; a job that needs more is 'too-big', one that must wait for it is parked [default: 2048,
    /// or two thirds of what there is]
    #[arg(long, value_name = "MIB", env = "PRIMED_MAX_MEMORY_MIB", value_parser = quantity::mib)]
    max_memory_mib: Option<u64>,
    /// Longest line, at least 64; a longer one is 'line-too-long'
    #[arg(long, value_name = "BYTES", env = "PRIMED_MAX_LINE", default_value = "16384", value_parser = quantity::line_bytes)]
    max_line: usize,
    /// Unread replies of a client; beyond that, the daemon stops reading from it until it catches up
    #[arg(long, value_name = "BYTES", env = "PRIMED_MAX_UNSENT", default_value = "65536", value_parser = quantity::positive)]
    max_unsent: NonZeroUsize,
    /// How long a client may take to complete a line, or to read any of its replies
    #[arg(long, value_name = "TIME", env = "PRIMED_STALL_TIMEOUT", default_value = "30s", value_parser = quantity::time)]
    stall_timeout: Duration,
    /// How long a connection may be idle; 'none': no limit
    #[arg(long, value_name = "TIME", env = "PRIMED_IDLE_TIMEOUT", default_value = "none", value_parser = quantity::time_or_none)]
    idle_timeout: quantity::MaybeTime,
    /// Submitted jobs that are kept after they have ended
    #[arg(long, value_name = "N", env = "PRIMED_KEEP_FINISHED", default_value = "1000", value_parser = quantity::any)]
    keep_finished: usize,
    /// How long submitted jobs are kept after they have ended
    #[arg(long, value_name = "TIME", env = "PRIMED_KEEP_FINISHED_FOR", default_value = "1h", value_parser = quantity::any_time)]
    keep_finished_for: Duration,
    /// Memory for cached answers; 0: no cache
    #[arg(long, value_name = "MIB", env = "PRIMED_KEEP_ANSWERS_MIB", default_value = "8", value_parser = quantity::any_mib)]
    keep_answers_mib: u64,
    /// Answers that the store keeps, of those that took more than 100 ms of CPU; the cheapest go first
    #[arg(long, value_name = "N", env = "PRIMED_STORE_ANSWERS", default_value = "100000", value_parser = quantity::any)]
    store_answers: usize,
    /// Memory for the answers that the store keeps
    #[arg(long, value_name = "MIB", env = "PRIMED_STORE_ANSWERS_MIB", default_value = "64", value_parser = quantity::any_mib)]
    store_answers_mib: u64,
}

impl LimitFlags {
    /// Makes room for as many connections as the system allows. Refuses to start where there is none, and logs how many
    /// there may be.
    fn check_descriptors(&self, reserve: Reserve) -> anyhow::Result<()> {
        let Some(files) = descriptors::raise_limit() else {
            return Ok(());
        };
        let connections = reserve.connections_within(files);
        if connections == 0 {
            let least = reserve.least();
            anyhow::bail!(
                "the limit of open files is {files}, and the daemon needs {least}: raise it (ulimit -n, LimitNOFILE=)"
            );
        }
        match self.max_connections {
            Some(most) if connections < most.get() => tracing::warn!(
                files,
                connections,
                max_connections = most,
                "the limit of open files allows fewer connections than max-connections; those beyond it are refused (ulimit -Hn, LimitNOFILE=)"
            ),
            _ => tracing::info!(
                files,
                max_connections = self.max_connections(reserve),
                "limit of connections"
            ),
        }
        Ok(())
    }

    /// The limit that was asked for, or else as many as there is room for, up to the default.
    fn max_connections(&self, reserve: Reserve) -> usize {
        let default = || {
            let most = Limits::default().max_connections;
            descriptors::limit().map_or(most, |files| most.min(reserve.connections_within(files)))
        };
        self.max_connections.map_or_else(default, NonZeroUsize::get)
    }

    /// The limit that was asked for, or else the default, but not more than two thirds of the memory there is: the rest
    /// is for small plans, connections and answers, and the system would end a daemon that takes more.
    fn max_memory_mib(&self, workers: usize) -> u64 {
        let default = || {
            let most = Policy::default().max_memory;
            let memory = Memory::smallest(workers).map_or(most, |memory| most.min(memory.total / 3 * 2));
            (memory >> 20).max(1)
        };
        self.max_memory_mib.unwrap_or_else(default)
    }

    /// Logs if jobs may take more memory than there is. Small ones have an eighth in addition.
    fn check_memory(&self, workers: usize) {
        let most = self.max_memory_mib(workers);
        if let Some(memory) =
            Memory::smallest(workers).filter(|memory| memory.total >> 20 < most.saturating_add(most / 8))
        {
            tracing::warn!(
                max_memory_mib = most,
                memory_mib = memory.total >> 20,
                "jobs may take more memory than there is: the system may end the daemon"
            );
        }
    }

    fn limits(&self, reserve: Reserve) -> Limits {
        Limits {
            max_connections: self.max_connections(reserve),
            max_line_bytes: self.max_line,
            max_in_flight: self.max_in_flight.get(),
            max_unsent_bytes: self.max_unsent.get(),
            idle_timeout: self.idle_timeout,
            stall_timeout: self.stall_timeout,
        }
    }

    fn policy(&self, workers: usize) -> Policy {
        Policy {
            max_jobs: self.max_jobs.get(),
            max_jobs_per_account: self.max_jobs_per_account.get(),
            max_submitted: self.max_submitted.get(),
            max_queue_age: self.max_queue_age,
            max_memory: self.max_memory_mib(workers) << 20,
            max_finished: self.keep_finished,
            max_finished_age: self.keep_finished_for,
            max_answers: self.keep_answers_mib << 20,
            max_stored_answers: self.store_answers,
            max_stored_answers_bytes: self.store_answers_mib << 20,
        }
    }
}

impl Serve {
    pub(super) fn run(self, arguments: Vec<OsString>, settings: Settings) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            !self.http_tls || self.http.is_some(),
            "--http-tls needs an address: --http ADDR:PORT"
        );
        self.security.check_tls(self.http_tls)?;
        #[cfg(feature = "otlp")]
        let export = self.otlp.clone().map(otlp::Export::start).transpose()?;
        #[cfg(feature = "otlp")]
        let spans = export.as_ref().map(otlp::Export::layer);
        #[cfg(not(feature = "otlp"))]
        let spans = None;
        let set_filter = logging::start(&self.log, self.log_format, spans);
        allocator::give_large_blocks_back();
        self.limits.check_descriptors(self.reserve())?;
        self.limits.check_memory(self.worker_count());
        let daemon = Daemon::new()
            .workers(self.worker_count())
            .policy(self.limits.policy(self.worker_count()))
            .limits(self.limits())
            .io_threads(self.io_threads.get());
        let daemon = match Data::resolve(self.data.as_deref()).map_err(anyhow::Error::msg)? {
            Data::Directory(directory) => daemon.data(directory),
            Data::None => daemon,
        };
        let daemon = self.cluster.apply(daemon)?;
        let (mut addresses, mut paths, mut daemon) = (Vec::new(), Vec::new(), daemon);
        for endpoint in &self.listen {
            match endpoint {
                Endpoint::Tcp(address) => addresses.push(address.resolve()?),
                Endpoint::Unix(path) => {
                    daemon = daemon.listen_unix(path);
                    paths.push(path.clone());
                }
            }
        }
        let encrypted = self.security.encrypted()?;
        let http = self.http.as_ref().map(Address::resolve).transpose()?;
        check_repeated(&addresses, &encrypted, http, &paths)?;
        let (daemon, security) = self.security.apply(daemon, &addresses, &encrypted)?;
        let daemon = match http {
            Some(address) => {
                self.security.check_http(address, self.http_tls)?;
                let names = self.http_name.clone();
                match (self.http_tls, security.tls()) {
                    (false, _) => daemon.http(address, names),
                    (true, Some(tls)) => daemon.https(address, names, tls.clone()),
                    (true, None) => anyhow::bail!("--http-tls needs a certificate: --tls-cert and --tls-key"),
                }
            }
            None => daemon,
        };
        let http = self
            .http
            .is_some()
            .then_some(if self.http_tls { "https" } else { "http" });
        let greeting = Greeting {
            plain: addresses.len(),
            paths: &paths,
            http,
            has_users: security.has_users(),
        };
        let reload = Reload::new(arguments, settings, set_filter, &self, security);
        let (config, requests) = configure::verb();
        let ended = actix::System::new().block_on(serve(daemon.verb(config), greeting, reload, requests));
        #[cfg(feature = "otlp")]
        if let Some(export) = export {
            export.finish();
        }
        ended
    }

    fn worker_count(&self) -> usize {
        let workers = self.workers.or_else(|| std::thread::available_parallelism().ok());
        workers.map_or(1, NonZeroUsize::get)
    }

    /// The descriptors that are no connections of clients.
    fn reserve(&self) -> Reserve {
        // One thread for connections is the first, which the others are beside.
        let io_threads = match self.io_threads.get() {
            1 => 0,
            count => count,
        };
        let links = usize::from(self.cluster.is_on());
        #[cfg(feature = "otlp")]
        let links = links + usize::from(self.otlp.is_some());
        Reserve {
            listeners: self.listen.len() + self.security.listeners() + usize::from(self.http.is_some()),
            runtimes: io_threads + links,
            outgoing: links,
        }
    }

    /// The settings whose defaults follow from the machine, and their values.
    pub(super) fn effective(&self) -> Vec<(&'static str, String)> {
        let mut values = vec![
            (
                "max-connections",
                self.limits.max_connections(self.reserve()).to_string(),
            ),
            (
                "max-memory-mib",
                self.limits.max_memory_mib(self.worker_count()).to_string(),
            ),
            ("workers", self.worker_count().to_string()),
        ];
        if let Ok(Data::Directory(directory)) = Data::resolve(self.data.as_deref()) {
            values.push(("data", directory.display().to_string()));
        }
        values.extend(self.cluster.node().map(|name| ("node-name", name)));
        values
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits.limits(self.reserve())
    }

    pub(super) fn log_filter(&self) -> Targets {
        logging::filter(&self.log)
    }

    pub(super) const fn drain_limit(&self) -> Duration {
        self.drain_limit
    }
}

async fn serve(
    daemon: Daemon,
    greeting: Greeting<'_>,
    mut reload: Reload,
    mut requests: ConfigRequests,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        running = daemon.start() => running.map_err(advise)?,
        // It may wait for a port.
        () = signals.end() => return Ok(ExitCode::SUCCESS),
    };
    greeting.print(running.addresses());
    tracing::info!(addresses = ?running.addresses(), paths = ?greeting.paths, workers = running.workers(), "listening");
    loop {
        tokio::select! {
            notice = signals.next(&running) => match notice {
                Notice::Reload => reload.begin(),
                Notice::End => break,
            },
            read = reload.read() => reload.end(read, &running),
            Some((request, responder)) = requests.recv() => {
                let client = responder.client();
                responder.finish(reload.answer(request, client, &running));
            }
        }
    }
    // The verb answers later ones itself.
    requests.close();
    while let Ok((_, responder)) = requests.try_recv() {
        responder.fail(Failure::draining());
    }
    let metrics = running.metrics().clone();
    let has_store = !metrics.store().place.is_empty();
    // With a store, a drain stops them at once; without one, it cancels them if it is late.
    let submitted = metrics.states.submitted.load(Relaxed);
    match signals.drain(running, reload.drain_limit).await {
        Drained::InTime => tracing::info!("every accepted request is answered"),
        Drained::Late => {
            tracing::warn!("the drain limit passed; what was not answered, or not read by its client, is cancelled")
        }
        Drained::Interrupted => {
            tracing::warn!("a second signal: accepted requests are left unanswered");
            return Ok(ExitCode::from(1));
        }
        Drained::GaveUp => return Err(RunError::GaveUp.into()),
    }
    let store = metrics.store();
    let unstored = match store.is_incomplete {
        true => metrics.states.unstored.load(Relaxed),
        false => 0,
    };
    if has_store && unstored > 0 {
        tracing::warn!(
            jobs = unstored,
            "submitted jobs were not confirmed by the store, and may or may not go on at the next start"
        );
    }
    let jobs = match has_store {
        true => submitted.saturating_sub(unstored),
        false => metrics.states.submitted.load(Relaxed),
    };
    match (has_store, store.is_replaced) {
        _ if jobs == 0 => {}
        (true, false) => tracing::info!(jobs, "submitted jobs have not ended, and go on at the next start"),
        (true, true) => tracing::warn!(
            jobs,
            "submitted jobs have not ended, and are lost unless {} is put back",
            store.place
        ),
        (false, _) => tracing::warn!(
            jobs,
            "submitted jobs have not ended, and are lost: --data DIR keeps them"
        ),
    }
    Ok(ExitCode::from(u8::from(store.is_incomplete)))
}

/// Refuses an address that is named twice. Each port 0 is another one.
fn check_repeated(
    plain: &[SocketAddr],
    encrypted: &[SocketAddr],
    http: Option<SocketAddr>,
    paths: &[PathBuf],
) -> anyhow::Result<()> {
    let of_flag = |flag, addresses: &[SocketAddr]| {
        let chosen = addresses.iter().filter(|address| address.port() != 0);
        chosen.map(|address| (flag, address.to_string())).collect::<Vec<_>>()
    };
    let mut named = of_flag("--listen", plain);
    named.extend(of_flag("--tls-listen", encrypted));
    named.extend(of_flag("--http", http.as_slice()));
    named.extend(
        paths
            .iter()
            .map(|path| ("--listen", Endpoint::Unix(path.clone()).to_string())),
    );
    address::check_repeated(&named)
}

/// Adds advice to an address that cannot be bound, or to a directory that cannot be used.
fn advise(error: StartError) -> anyhow::Error {
    let (address, source) = match error {
        StartError::Listen { address, source } => (address, source),
        StartError::ListenUnix { path, source } => {
            let advice = match source.kind() {
                ErrorKind::AddrInUse => "another daemon is listening there: stop it, or choose another path",
                ErrorKind::AlreadyExists => "remove it if it is not needed, or choose another path",
                _ => "choose another path",
            };
            return anyhow::anyhow!("cannot listen on unix:{}: {source}; {advice}", path.display());
        }
        StartError::Store(error) => {
            return match error.downcast_ref::<StoreError>() {
                Some(of_store) => StartError::Store(of_store.text_with(FLAG).into()).into(),
                None => StartError::Store(error).into(),
            };
        }
        other => return other.into(),
    };
    let advice = match source.kind() {
        ErrorKind::AddrInUse => "another daemon may be using it: stop it, or choose another address with --listen",
        ErrorKind::AddrNotAvailable => "this machine has no such address: choose another with --listen",
        _ => "choose another address with --listen",
    };
    anyhow::anyhow!("cannot listen on {address}: {source}; {advice}")
}

/// What `serve` prints once it listens.
struct Greeting<'a> {
    /// How many addresses are plain: the first ones.
    plain: usize,
    /// Unix sockets.
    paths: &'a [PathBuf],
    /// The scheme of HTTP, whose address is the last.
    http: Option<&'a str>,
    has_users: bool,
}

impl Greeting<'_> {
    /// How to ask at one of these addresses.
    fn how(&self, addresses: &[SocketAddr]) -> String {
        let ask = if self.has_users {
            "primed ask --user NAME"
        } else {
            "primed ask"
        };
        match (addresses.first(), self.paths.first()) {
            (Some(first), _) if self.plain > 0 && !self.has_users => {
                format!("printf '100000\\n' | nc -N {} {}", first.ip(), first.port())
            }
            (Some(first), _) if self.plain > 0 => format!("{ask} --connect {first} 100000"),
            (_, Some(path)) if !self.has_users => format!("printf '100000\\n' | nc -NU {}", path.display()),
            (_, Some(path)) => format!("{ask} --connect unix:{} 100000", path.display()),
            (Some(first), None) => format!("{ask} --tls --connect {first} 100000"),
            (None, None) => String::new(),
        }
    }

    /// One line: where it listens, and how to ask; and one for HTTP.
    fn print(&self, addresses: &[SocketAddr]) {
        let (http, addresses) = match (self.http, addresses.split_last()) {
            (Some(scheme), Some((address, others))) => (Some((scheme, address)), others),
            _ => (None, addresses),
        };
        let by_path = self.paths.iter().map(|path| format!("unix:{}", path.display()));
        let all: Vec<String> = addresses.iter().map(ToString::to_string).chain(by_path).collect();
        let how = self.how(addresses);
        let mut out = std::io::stdout();
        // A daemon whose standard output is closed serves all the same.
        let _ = writeln!(
            out,
            "primed {} listens on {}; ask with: {how}",
            env!("CARGO_PKG_VERSION"),
            all.join(" and ")
        );
        if let Some((scheme, address)) = http {
            let _ = writeln!(out, "dashboard, metrics and JSON: {scheme}://{address}/");
        }
        let _ = out.flush();
    }
}
