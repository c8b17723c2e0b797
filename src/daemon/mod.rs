//! The daemon: starts the modules bottom-up and drains them top-down. Knows the interface of each module, and none from
//! the inside.

mod bind;
mod signals;
#[cfg(test)]
mod simulation;
mod store_place;
#[cfg(test)]
mod tests;
#[cfg(all(test, feature = "users"))]
mod users_tests;

#[cfg(feature = "cli")]
pub(crate) use signals::hold_hang_ups;
pub use signals::{Notice, Signals};

use crate::auth::Authenticate;
use crate::engine::{self, ClientId, Health, Local, LocalClient, Policy, Scheduler};
use crate::metrics::{Metrics, Verbs};
use crate::priority::{give_way, run_when_idle};
use crate::proto::Code;
#[cfg(feature = "tls")]
use crate::server::TlsListener;
use crate::server::{
    Accept, Accepted, Drain, Finish, Limits, Listener, LiveLimits, Protocol, Service, Shared, UnixSocket,
};
use crate::store;
use crate::verb::{DaemonView, Engine, Registry, Verb};
use actix::prelude::*;
use bind::bind;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use store_place::{Opened, StorePlace, StoreWriter};
use thiserror::Error;
use tokio::sync::oneshot;

/// The program around the daemon, as a client of the engine.
const EMBEDDING: ClientId = ClientId(0);

/// The client that does parts of other nodes' jobs.
#[cfg(feature = "cluster")]
const PARTS: ClientId = ClientId(u64::MAX / 4);

/// How long a node may take to let go of its jobs.
#[cfg(feature = "cluster")]
const LEAVE_LIMIT: Duration = Duration::from_secs(5);

/// How long [`Daemon::run`] finishes what was accepted.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// After the drain limit, how long the replies to what was cancelled may take to leave.
const LAST_REPLIES: Duration = Duration::from_millis(500);

/// Why a daemon did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listening address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A unix socket cannot be had.
    #[error("cannot listen on unix:{}", path.display())]
    ListenUnix {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One of the [`Limits`] is 0.
    #[error("with {0} of 0 nobody could be served")]
    Zero(&'static str),
    /// The store cannot be opened or read: what is wrong with it, and what to do.
    #[error("cannot use the store {0}")]
    Store(Box<dyn std::error::Error + Send + Sync>),
    /// The daemon cannot take part in its cluster.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Cluster(#[from] crate::cluster::ClusterError),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
    /// [`Daemon::start`] was called where no system of actix runs, as on a runtime of tokio alone.
    #[error("no system of actix runs here; Daemon::spawn starts a daemon from anywhere")]
    NoSystem,
}

/// Why [`Daemon::run`] did not start, or did not end in good order.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The daemon did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system refuses to report signals.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// A second signal arrived during the drain: some accepted requests have no reply.
    #[error("stopped by a second signal before all accepted requests were answered")]
    Interrupted,
    /// An actor that the daemon cannot do without panicked 5 times within a minute.
    #[error("the daemon panicked too often and has given up; the log says at what")]
    GaveUp,
}

/// A daemon that is being put together.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
/// let daemon = primed::Daemon::new().listen(([127, 0, 0, 1], 0).into()).spawn()?;
/// let mut client = std::net::TcpStream::connect(daemon.addresses()[0])?;
/// client.write_all(b"100000\n")?;
/// let mut line = String::new();
/// BufReader::new(client).read_line(&mut line)?;
/// assert_eq!(line, "1299709\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a daemon answers nothing until it is started"]
pub struct Daemon {
    listen: Vec<(SocketAddr, Transport, Service)>,
    listen_unix: Vec<PathBuf>,
    workers: usize,
    io_threads: usize,
    policy: Policy,
    limits: Arc<LiveLimits>,
    registry: Registry,
    auth: Option<Arc<dyn Authenticate>>,
    place: StorePlace,
    #[cfg(feature = "cluster")]
    cluster: Option<crate::cluster::ClusterSettings>,
}

/// How bytes pass an address.
#[derive(Debug)]
enum Transport {
    Plain,
    #[cfg(feature = "tls")]
    Tls(crate::server::Tls),
}

impl Default for Daemon {
    fn default() -> Self {
        Self::new()
    }
}

/// What is called once with the addresses that the daemon listens on.
type Started<'a> = Box<dyn FnOnce(&[SocketAddr]) + 'a>;

impl Daemon {
    /// A daemon with the built-in verbs and the default limits, as many workers as the machine has cores, and no
    /// address yet.
    pub fn new() -> Self {
        Self {
            listen: Vec::new(),
            listen_unix: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            io_threads: 1,
            policy: Policy::default(),
            limits: Arc::new(LiveLimits::new(Limits::default())),
            registry: Registry::default(),
            auth: None,
            place: StorePlace::None,
            #[cfg(feature = "cluster")]
            cluster: None,
        }
    }

    /// Listens on this address too. Port 0 is a free port of the system's choice.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.on(address, Service::built_in())
    }

    /// Listens on a unix socket at this path too, for the daemon's own user and group. The file of a daemon that is
    /// gone is replaced; it is removed at the end. For limits and shares, all clients of unix sockets are one account,
    /// `unix`.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.listen_unix.push(path.into());
        self
    }

    /// Listens on this address too, over TLS.
    #[cfg(feature = "tls")]
    pub fn listen_tls(mut self, address: SocketAddr, tls: crate::server::Tls) -> Self {
        self.listen.push((address, Transport::Tls(tls), Service::built_in()));
        self
    }

    /// Speaks a protocol of yours on this address: `protocol` makes the value for each connection.
    ///
    /// [`Protocol`] shows one. The daemon keeps the limits, the order of replies, the timeouts and the drain.
    pub fn serve<P: Protocol>(self, address: SocketAddr, protocol: impl Fn() -> P + Send + Sync + 'static) -> Self {
        self.on(address, Service::protocol(protocol))
    }

    /// Speaks HTTP on this address too: health, metrics, a JSON interface and the dashboard. Besides addresses and
    /// `localhost`, requests may call it by these names.
    #[cfg(feature = "http")]
    pub fn http(self, address: SocketAddr, names: Vec<String>) -> Self {
        self.on(address, crate::http::service(names))
    }

    /// The same over TLS.
    #[cfg(all(feature = "http", feature = "tls"))]
    pub fn https(mut self, address: SocketAddr, names: Vec<String>, tls: crate::server::Tls) -> Self {
        self.listen
            .push((address, Transport::Tls(tls), crate::http::service(names)));
        self
    }

    /// Gives each connection on this address to an actor of yours, for protocols that are more than questions and
    /// answers. The daemon accepts, counts, and sends the actor [`Finish`]; the actor enforces the limits on what a
    /// client may send and leave unread.
    pub fn serve_with<A>(self, address: SocketAddr, session: impl Fn(Accepted) -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish>,
    {
        self.on(address, Service::new(session))
    }

    fn on(mut self, address: SocketAddr, service: Service) -> Self {
        self.listen.push((address, Transport::Plain, service));
        self
    }

    /// How many threads do the work; 0 counts as 1.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count.max(1);
        self
    }

    /// How many threads serve connections; with 1, they live beside the scheduler. 0 counts as 1.
    pub fn io_threads(mut self, count: usize) -> Self {
        self.io_threads = count.max(1);
        self
    }

    /// Other bounds for the engine.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Other limits for sessions; none of them 0.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(LiveLimits::new(limits));
        self
    }

    /// Keeps submitted jobs and expensive answers in this directory, where they outlive the process: the next daemon on
    /// it goes on with the jobs. By default nothing is kept. One daemon can use a directory at a time.
    #[cfg(feature = "sqlite")]
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = StorePlace::Directory(directory.into());
        self
    }

    /// Keeps submitted jobs and expensive answers in this store, instead of in a directory.
    #[doc(hidden)]
    pub fn store(mut self, store: impl store::Store) -> Self {
        self.place = StorePlace::Other(Box::new(store));
        self
    }

    /// Takes part in a cluster over NATS JetStream: submitted jobs are those of all nodes, and each does parts of the
    /// others' long jobs. A node that takes in jobs needs a directory ([`data`](Self::data)).
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, settings: crate::cluster::ClusterSettings) -> Self {
        self.cluster = Some(settings);
        self
    }

    /// One more verb, or another one in the place of a built-in one.
    ///
    /// # Panics
    /// If its name is not a letter followed by letters, digits, `-` and `_`, or a line of its help has control
    /// characters.
    pub fn verb(mut self, verb: impl Verb) -> Self {
        self.registry.add(verb);
        self
    }

    /// Removes a verb, so that clients cannot use it, and `help` does not list it.
    pub fn without(mut self, verb: &str) -> Self {
        self.registry.remove(verb);
        self
    }

    /// Only these users may ask, on every address with the built-in protocol, where `auth USER PASSWORD` comes first,
    /// and over HTTP. A protocol of yours serves everybody who can connect, and may ask everything: listen for it on an
    /// address that others do not reach, or have it ask for a password itself. An actor of
    /// [`serve_with`](Self::serve_with) knows the address of its client. The program around the daemon may ask
    /// everything too.
    ///
    /// Without users everybody who can connect may do everything, whatever the address: `primed serve` refuses one
    /// beyond this machine then, and a daemon of yours does not.
    #[cfg(feature = "users")]
    pub fn users(mut self, users: crate::auth::Users) -> Self {
        self.auth = Some(Arc::new(users));
        self
    }

    /// Starts within a running actix system. An address that is taken is waited for, 10 s at the most: the daemon that
    /// has it may be about to end.
    ///
    /// # Errors
    /// [`StartError`] if an address cannot be had, a limit is 0, or no system of actix runs on this thread:
    /// [`spawn`](Self::spawn) needs none.
    pub async fn start(self) -> Result<Running, StartError> {
        self.starting().await
    }

    /// [`start`](Self::start), compiled here and not in each program that calls it.
    fn starting(self) -> LocalBoxFuture<'static, Result<Running, StartError>> {
        Box::pin(self.start_here())
    }

    async fn start_here(mut self) -> Result<Running, StartError> {
        if System::try_current().is_none() {
            return Err(StartError::NoSystem);
        }
        if let Some(limit) = self.limits.get().zero() {
            return Err(StartError::Zero(limit));
        }
        #[cfg(feature = "cluster")]
        let directory = self.place.directory();
        let store = std::mem::take(&mut self.place).open().await;
        let store = store.map_err(|error| StartError::Store(error.into()))?;
        #[cfg(feature = "cluster")]
        let joined = match self.cluster.take() {
            Some(settings) => Some(crate::cluster::join(settings, directory.as_deref()).await?),
            None => None,
        };
        let mut sockets = Vec::new();
        let mut addresses = Vec::new();
        for (address, transport, service) in std::mem::take(&mut self.listen) {
            let socket = bind(address).await?;
            addresses.push(socket.local_addr()?);
            let socket: Box<dyn Accept> = match transport {
                Transport::Plain => Box::new(socket),
                #[cfg(feature = "tls")]
                Transport::Tls(tls) => Box::new(TlsListener::new(socket, tls, self.limits.clone())),
            };
            sockets.push((socket, service));
        }
        for path in std::mem::take(&mut self.listen_unix) {
            let socket = UnixSocket::bind(path.clone()).map_err(|source| StartError::ListenUnix { path, source })?;
            sockets.push((Box::new(socket), Service::built_in()));
        }
        let metrics = Arc::new(Metrics::default());
        // Without clients long work has nobody to make room for, and has the share of the cores that other programs
        // leave it.
        let long_work = if sockets.is_empty() { give_way } else { run_when_idle };
        let scheduler = Scheduler::new(self.policy, self.workers, long_work, metrics.clone())?;
        scheduler.ready().await?;
        #[cfg(feature = "cluster")]
        let scheduler = match &joined {
            Some(joined) if joined.is_worker_only() => scheduler.only_working(crate::cluster::only_works()),
            _ => scheduler,
        };
        #[cfg(feature = "cluster")]
        if let Some(joined) = &joined {
            joined.show(&metrics, self.workers);
        }
        let running = self.open(sockets, addresses, scheduler, metrics, store)?;
        #[cfg(feature = "cluster")]
        let running = match joined {
            Some(joined) => running.joined(joined)?,
            None => running,
        };
        Ok(running)
    }

    /// Starts the engine, then the listener.
    fn open(
        self,
        sockets: Vec<(Box<dyn Accept>, Service)>,
        addresses: Vec<SocketAddr>,
        scheduler: Scheduler,
        metrics: Arc<Metrics>,
        store: Option<Opened>,
    ) -> Result<Running, StartError> {
        let arbiters: Vec<Arbiter> = match self.io_threads {
            1 => Vec::new(),
            count => (0..count).map(|_| engine::start_arbiter()).collect::<io::Result<_>>()?,
        };
        if let Some(auth) = &self.auth {
            metrics.set_wrong_passwords(auth.wrong_passwords());
        }
        metrics.set_verbs(Verbs::new(self.registry.names(), Code::names()));
        let answers = scheduler.answers();
        let health = scheduler.health().clone();
        let daemon = DaemonView {
            metrics: metrics.clone(),
            clients: scheduler.connected(),
            started: Instant::now(),
            workers: self.workers,
        };
        if let Some(auth) = self.auth.clone() {
            daemon.clients.monitor.follow_users(move || auth.version());
        }
        let (scheduler, writer) = match store {
            None => (scheduler, None),
            Some(store) => store.start(scheduler, &self.registry, &daemon),
        };
        let scheduler = scheduler.supervised();
        let local = Local::new(scheduler.clone(), health.clone()).supervised();
        let client = LocalClient::new(EMBEDDING, local.clone(), scheduler.clone());
        let engine = Engine::new(client, self.registry.clone(), daemon.clone(), answers.clone());
        let shared = Arc::new(Shared {
            registry: self.registry,
            daemon,
            scheduler: scheduler.clone(),
            answers,
            engine: engine.clone(),
            health: health.clone(),
            auth: self.auth,
            limits: self.limits,
        });
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        let listener = Listener::new(shared.clone(), sockets, handles).start();
        Ok(Running {
            addresses,
            workers: self.workers,
            metrics,
            health,
            scheduler,
            local,
            engine,
            shared,
            listener,
            arbiters,
            writer,
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }

    /// Runs on this thread until Ctrl-C or SIGTERM, and then finishes what was accepted within 10 s. `started` is
    /// called once with the addresses the daemon listens on.
    ///
    /// # Errors
    /// [`RunError`] if the daemon does not start, a second signal ends it before it has finished, or it has given up.
    ///
    /// # Panics
    /// Within an asynchronous runtime, whose thread it would block: [`spawn`](Self::spawn) is for that.
    pub fn run(self, started: impl FnOnce(&[SocketAddr])) -> Result<(), RunError> {
        self.run_until_signal(Box::new(started))
    }

    fn run_until_signal(self, started: Started<'_>) -> Result<(), RunError> {
        System::new().block_on(async move {
            // Before the addresses are known to anybody: a client may send the signal as soon as it can connect.
            let mut signals = Signals::new().map_err(RunError::Signals)?;
            let running = self.start().await?;
            started(running.addresses());
            while signals.next(&running).await == Notice::Reload {
                tracing::info!("SIGHUP: there is no configuration to read again");
            }
            match signals.drain(running, DRAIN_LIMIT).await {
                Drained::InTime | Drained::Late => Ok(()),
                Drained::Interrupted => Err(RunError::Interrupted),
                Drained::GaveUp => Err(RunError::GaveUp),
            }
        })
    }

    /// Starts on a thread of its own, and returns once it listens. An address that is taken is waited for, 10 s at the
    /// most, as by [`start`](Self::start).
    ///
    /// # Errors
    /// [`StartError`] if an address or a thread cannot be had, or a limit is 0.
    pub fn spawn(self) -> Result<Handle, StartError> {
        let (started, starting) = std::sync::mpsc::channel();
        let (stop, stopping) = oneshot::channel::<Duration>();
        let thread = std::thread::Builder::new().name("primed".into()).spawn(move || {
            System::new().block_on(async move {
                match self.start().await {
                    Err(error) => drop(started.send(Err(error))),
                    Ok(running) => {
                        drop(started.send(Ok((running.addresses.clone(), running.engine.clone()))));
                        let limit = tokio::select! {
                            limit = stopping => limit.unwrap_or_default(),
                            () = running.gave_up() => DRAIN_LIMIT,
                        };
                        return running.drain(limit).await;
                    }
                }
                Drained::InTime
            })
        })?;
        let gone = |_| io::Error::other("the daemon's thread ended while it started");
        let (addresses, engine) = starting.recv().map_err(gone)??;
        Ok(Handle {
            addresses,
            engine,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drained {
    /// Everything accepted was answered.
    InTime,
    /// The limit passed. The rest was cancelled, and replies that their clients had not taken by then may be lost.
    Late,
    /// A second signal arrived.
    Interrupted,
    /// The daemon has given up: accepted requests may have no reply.
    GaveUp,
}

/// A daemon that runs in this actix system.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    workers: usize,
    metrics: Arc<Metrics>,
    health: Health,
    scheduler: Addr<Scheduler>,
    local: Addr<Local>,
    engine: Engine,
    shared: Arc<Shared>,
    listener: Addr<Listener>,
    arbiters: Vec<Arbiter>,
    writer: Option<StoreWriter>,
    #[cfg(feature = "cluster")]
    cluster: Option<crate::cluster::Cluster>,
}

impl Running {
    /// The same daemon as a node of its cluster.
    #[cfg(feature = "cluster")]
    fn joined(mut self, joined: crate::cluster::Joined) -> Result<Self, StartError> {
        let engine = self.engine.for_client(PARTS, engine::Account::Process);
        let (registry, daemon) = (self.shared.registry.clone(), self.shared.daemon.clone());
        self.cluster = Some(joined.start(&self.scheduler, engine, registry, daemon)?);
        Ok(self)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Workers in each lane.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The engine, asked without a socket.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it has done since it started; also once it has ended.
    #[cfg(feature = "cli")]
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until the daemon has given up: an actor that it cannot do without has panicked 5 times within a minute,
    /// and was rebuilt each time. It still answers then, but a new process may do better.
    pub async fn gave_up(&self) {
        self.health.gave_up().await;
    }

    /// Changes the limits of sessions. Those that are open take them up at their next turn, which comes at once if a
    /// timeout changes; where there was no `idle_timeout`, a connection is idle from then on. `max_line_bytes` holds
    /// for connections accepted from now on.
    ///
    /// # Errors
    /// [`StartError::Zero`] if a limit is 0; nothing changes then.
    pub fn set_limits(&self, limits: Limits) -> Result<(), StartError> {
        match limits.zero() {
            Some(limit) => Err(StartError::Zero(limit)),
            None => {
                self.shared.limits.set(limits);
                Ok(())
            }
        }
    }

    /// Accepts nothing more, finishes what was accepted within `limit`, also from an [`Engine`], cancels what is left,
    /// and closes.
    pub async fn drain(self, limit: Duration) -> Drained {
        self.draining(limit).await
    }

    /// [`drain`](Self::drain), compiled here and not in each program that calls it.
    fn draining(self, limit: Duration) -> BoxFuture<'static, Drained> {
        Box::pin(self.drain_here(limit))
    }

    async fn drain_here(self, limit: Duration) -> Drained {
        self.metrics.draining.store(true, Relaxed);
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            cluster.drain();
        }
        self.shared.daemon.clients.monitor.close();
        let (drained, all_closed) = oneshot::channel();
        let (answered, all_answered) = oneshot::channel();
        self.local.do_send(engine::Close { drained: answered });
        self.listener.do_send(Drain { drained });
        let mut all_done = pin!(async { tokio::join!(all_closed, all_answered) });
        let in_time = tokio::time::timeout(limit, &mut all_done).await;
        let mut result = match in_time {
            Ok((Ok(()), Ok(()))) => Drained::InTime,
            // An actor that drops its reply cannot say that everything is answered.
            Ok((closed, answered)) => {
                tracing::error!(
                    listener = closed.is_ok(),
                    local_client = answered.is_ok(),
                    "the drain failed"
                );
                Drained::GaveUp
            }
            Err(_) => {
                self.scheduler.do_send(engine::Shutdown::Cancel);
                let _ = tokio::time::timeout(LAST_REPLIES, all_done).await;
                Drained::Late
            }
        };
        if self.health.has_given_up() {
            result = Drained::GaveUp;
        }
        if let Some(writer) = self.writer {
            writer.close(&self.scheduler, &self.metrics).await;
        }
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster {
            cluster.close(LEAVE_LIMIT).await;
        }
        for arbiter in self.arbiters {
            arbiter.stop();
            let _ = arbiter.join();
        }
        result
    }
}

/// A daemon that runs on a thread of its own. Dropped, it stops.
#[derive(Debug)]
#[must_use = "the daemon stops when its handle is dropped"]
pub struct Handle {
    addresses: Vec<SocketAddr>,
    engine: Engine,
    stop: Option<oneshot::Sender<Duration>>,
    thread: Option<std::thread::JoinHandle<Drained>>,
}

impl Handle {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The engine, asked without a socket, from any thread and any runtime.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Finishes what was accepted within `limit`, also from an [`Engine`], and stops.
    pub fn stop(mut self, limit: Duration) -> Drained {
        self.join(limit)
    }

    fn join(&mut self, limit: Duration) -> Drained {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(limit);
        }
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        ended.and_then(Result::ok).unwrap_or(Drained::GaveUp)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.join(Duration::ZERO);
        }
    }
}
