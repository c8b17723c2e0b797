//! The daemon: starts the rooms bottom-up and drains them top-down. Knows every room's door and no room's inside.

mod bind;
mod signals;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use signals::{Notice, Signals};

use crate::engine::{self, Asker, Desk, Policy, Scheduler};
use crate::metrics::Metrics;
use crate::server::{Accept, Accepted, Drain, Finish, Limits, Listener, LiveLimits, Protocol, Service, Shared};
use crate::verb::{Engine, Facts, Registry, Verb};
use actix::prelude::*;
use bind::bind;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

/// The program around the daemon, as a client of the engine.
const EMBEDDING: engine::ClientId = 0;

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
    /// One of the [`Limits`] is 0.
    #[error("with {0} of 0 nobody could be served")]
    Zero(&'static str),
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] io::Error),
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
    /// A part of the daemon panicked again and again: accepted requests may have no reply.
    #[error("the {0} failed; the daemon must be started again")]
    Broken(&'static str),
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
pub struct Daemon {
    listen: Vec<(SocketAddr, Service)>,
    workers: usize,
    io_threads: usize,
    policy: Policy,
    limits: Limits,
    registry: Registry,
}

impl Default for Daemon {
    fn default() -> Self {
        Self::new()
    }
}

impl Daemon {
    /// A daemon with the built-in verbs and the default limits, as many workers as the machine has cores, and no address yet.
    pub fn new() -> Self {
        Self {
            listen: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            io_threads: 1,
            policy: Policy::default(),
            limits: Limits::default(),
            registry: Registry::default(),
        }
    }

    /// Listens on this address too. Port 0 is a free port of the system's choice.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.on(address, Service::built_in())
    }

    /// Speaks a protocol of yours on this address: `protocol` makes the value for each connection.
    ///
    /// [`Protocol`] shows one. The daemon keeps the limits, the order of replies, the timeouts and the drain.
    pub fn serve<P: Protocol>(self, address: SocketAddr, protocol: impl Fn() -> P + Send + Sync + 'static) -> Self {
        self.on(address, Service::protocol(protocol))
    }

    /// Gives each connection on this address to an actor of yours, for protocols that are more than questions and answers. The daemon
    /// accepts, counts, and sends the actor [`Finish`]; the actor enforces the limits on what a client may send and leave unread.
    pub fn serve_with<A>(self, address: SocketAddr, session: impl Fn(Accepted) -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Finish>,
    {
        self.on(address, Service::new(session))
    }

    fn on(mut self, address: SocketAddr, service: Service) -> Self {
        self.listen.push((address, service));
        self
    }

    /// How many threads do the work; at least 1.
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count.max(1);
        self
    }

    /// How many threads serve connections; with 1, they live beside the scheduler.
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
        self.limits = limits;
        self
    }

    /// One more verb, or another one in the place of a built-in one.
    pub fn verb(mut self, verb: impl Verb) -> Self {
        self.registry.add(verb);
        self
    }

    /// Removes a verb, so that clients cannot use it, and `help` does not list it.
    pub fn without(mut self, verb: &str) -> Self {
        self.registry.remove(verb);
        self
    }

    /// Starts within a running actix system.
    ///
    /// # Errors
    /// [`StartError`] if an address cannot be had, or a limit is 0.
    pub async fn start(mut self) -> Result<Running, StartError> {
        if let Some(limit) = self.limits.zero() {
            return Err(StartError::Zero(limit));
        }
        let mut sockets = Vec::new();
        for (address, service) in std::mem::take(&mut self.listen) {
            sockets.push((bind(address).await?, service));
        }
        let addresses = sockets
            .iter()
            .map(|(socket, _)| socket.local_addr())
            .collect::<Result<Vec<_>, _>>()?;
        let sockets = sockets
            .into_iter()
            .map(|(socket, service)| (Box::new(socket) as Box<dyn Accept>, service));
        let metrics = Arc::new(Metrics::default());
        let scheduler = Scheduler::new(self.policy, self.workers, metrics.clone());
        Ok(self.open(sockets.collect(), addresses, scheduler, metrics))
    }

    /// Opens the rooms, from the engine up.
    fn open(
        self,
        sockets: Vec<(Box<dyn Accept>, Service)>,
        addresses: Vec<SocketAddr>,
        scheduler: Scheduler,
        metrics: Arc<Metrics>,
    ) -> Running {
        let answers = scheduler.answers();
        let scheduler = scheduler.start();
        let facts = Facts {
            metrics: metrics.clone(),
            started: Instant::now(),
            workers: self.workers,
        };
        let desk = Desk::new(scheduler.clone()).start();
        let asker = Asker::new(EMBEDDING, desk.clone(), scheduler.clone());
        let engine = Engine::new(asker, self.registry.clone(), facts.clone());
        let shared = Arc::new(Shared {
            registry: self.registry,
            facts,
            scheduler: scheduler.clone(),
            answers,
            engine: engine.clone(),
            limits: LiveLimits::new(self.limits),
        });
        let arbiters: Vec<Arbiter> = match self.io_threads {
            1 => Vec::new(),
            count => (0..count).map(|_| Arbiter::new()).collect(),
        };
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        let (failed, listener_failed) = oneshot::channel();
        let listener = Listener::new(shared.clone(), sockets, handles, failed).start();
        Running {
            addresses,
            workers: self.workers,
            metrics,
            scheduler,
            desk,
            engine,
            shared,
            listener,
            core: vec![("listener", listener_failed)],
            broken: None,
            arbiters,
        }
    }

    /// Runs on this thread until Ctrl-C or SIGTERM, and then finishes what was accepted within 10 s. `started` is called once with the
    /// addresses the daemon listens on.
    ///
    /// # Errors
    /// [`RunError`] if the daemon does not start, or a second signal ends it before it has finished.
    pub fn run(self, started: impl FnOnce(&[SocketAddr])) -> Result<(), RunError> {
        System::new().block_on(async move {
            // Before the addresses are known to anybody: a client may send the signal as soon as it can connect.
            let mut signals = Signals::new().map_err(RunError::Signals)?;
            let mut running = self.start().await?;
            started(running.addresses());
            while signals.next(&mut running).await == Notice::Reload {
                tracing::info!("SIGHUP: there is no configuration to read again");
            }
            match signals.drain(running, DRAIN_LIMIT).await {
                Drained::InTime | Drained::Late => Ok(()),
                Drained::Interrupted => Err(RunError::Interrupted),
                Drained::Broken(part) => Err(RunError::Broken(part)),
            }
        })
    }

    /// Starts on a thread of its own, and returns once it listens.
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
                    Ok(mut running) => {
                        drop(started.send(Ok((running.addresses.clone(), running.engine.clone()))));
                        let limit = tokio::select! {
                            limit = stopping => limit.unwrap_or_default(),
                            _ = running.broken() => DRAIN_LIMIT,
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
pub enum Drained {
    /// Everything accepted was answered.
    InTime,
    /// The limit passed, and the rest was cancelled.
    Late,
    /// A second signal arrived.
    Interrupted,
    /// This part of the daemon failed, before the drain or in it: accepted requests may have no reply.
    Broken(&'static str),
}

/// A daemon that runs in this actix system.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    workers: usize,
    metrics: Arc<Metrics>,
    scheduler: Addr<Scheduler>,
    desk: Addr<Desk>,
    engine: Engine,
    shared: Arc<Shared>,
    listener: Addr<Listener>,
    /// The parts that end the daemon if they fail, and where they say so.
    core: Vec<(&'static str, oneshot::Receiver<()>)>,
    broken: Option<&'static str>,
    arbiters: Vec<Arbiter>,
}

impl Running {
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

    /// Changes the limits of sessions. Those that are open take them up at their next turn; `max_line_bytes` holds for connections accepted from now on.
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

    /// Waits until a part of the daemon can go on no longer, and names it. That part has logged why.
    pub async fn broken(&mut self) -> &'static str {
        poll_fn(|task| {
            self.poll_broken(task);
            self.broken.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn poll_broken(&mut self, task: &mut Task<'_>) {
        // A part that ended without saying so has failed too.
        let is_broken = |(_, failed): &mut (_, oneshot::Receiver<()>)| Pin::new(failed).poll(task).is_ready();
        if self.broken.is_none() {
            self.broken = self.core.extract_if(.., is_broken).map(|(part, _)| part).next();
        }
    }

    /// Accepts nothing more, finishes what was accepted within `limit`, also from an [`Engine`], cancels what is left, and closes.
    pub async fn drain(mut self, limit: Duration) -> Drained {
        let (drained, all_closed) = oneshot::channel();
        let (answered, all_answered) = oneshot::channel();
        self.desk.do_send(engine::Close { drained: answered });
        self.listener.do_send(Drain { drained });
        let mut all_done = pin!(async { tokio::join!(all_closed, all_answered) });
        let in_time = tokio::time::timeout(limit, &mut all_done).await;
        let left = self.metrics.jobs.load(Relaxed);
        let mut result = match in_time {
            Ok((Ok(()), Ok(()))) => Drained::InTime,
            Ok((Err(_), _)) => Drained::Broken("listener"),
            Ok((_, Err(_))) => Drained::Broken("local client"),
            Err(_) => {
                self.scheduler.do_send(engine::Drain::Finish);
                let _ = tokio::time::timeout(LAST_REPLIES, all_done).await;
                if left == 0 { Drained::InTime } else { Drained::Late }
            }
        };
        if !self.scheduler.connected() {
            result = Drained::Broken("scheduler");
        }
        self.poll_broken(&mut Task::from_waker(Waker::noop()));
        if let Some(part) = self.broken {
            result = Drained::Broken(part);
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
        ended.and_then(Result::ok).unwrap_or(Drained::Broken("daemon's thread"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.join(Duration::ZERO);
        }
    }
}
