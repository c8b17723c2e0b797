//! More machines: this daemon as a node of a cluster, over NATS JetStream.
//!
//! Any node takes in submitted jobs, shows those of all, and does parts of long jobs of the others. What a node
//! acknowledges is in its own store; JetStream brings it to the others and is a second copy, never the only one.
//! `member` decides about jobs (plain data), `links` is the connection, [`Node`] the actor between engine, `member` and
//! `links`, `number` keeps the node's number, `part_worker` does the parts of others, which share `part_tables`. Knows
//! no session and no plan.

mod entry;
mod links;
mod member;
mod node;
mod number;
mod part_tables;
mod part_worker;
mod servers;

#[cfg(feature = "cli")]
pub(crate) use entry::is_of_name;
pub(crate) use servers::without_users;

use node::{CloseNode, Node};
use number::{NUMBER_FILE, Number, keep_number, read_number};

use crate::engine::{ClusterEvent, Scheduler};
use crate::metrics::{Metrics, NodeView};
use crate::proto::{Code, Failure};
use crate::verb::{DaemonView, Engine, Registry};
use actix::prelude::*;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How long the first connection of a node may take.
const FIRST_CONNECTION: Duration = Duration::from_secs(10);

/// How a daemon takes part in a cluster.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterSettings {
    /// Servers of NATS, separated by commas: `nats://host:4222`, or `tls://host:4222`; with a user as
    /// `nats://user:password@host`, or a token as `nats://token@host`, in which `%40` is `@`.
    pub url: String,
    /// What the node is called: 1 to 63 letters, digits, `-`, `_`; no two of a cluster may have one name.
    pub name: String,
    /// The file with the credentials of NATS.
    pub credentials: Option<PathBuf>,
    /// Certificates that the servers' certificates are checked by, besides those of the system; demands TLS.
    pub ca: Option<PathBuf>,
    /// It does parts of other nodes' jobs, and takes in none.
    pub is_worker_only: bool,
    /// The share of parts that are done again here, to find nodes that err; 0.0..=1.0.
    pub check: f64,
}

impl ClusterSettings {
    /// A node of this name (1 to 63 letters, digits, `-`, `_`) that takes in jobs and does parts of others', at these
    /// servers; it checks no part again.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            credentials: None,
            ca: None,
            is_worker_only: false,
            check: 0.0,
        }
    }

    /// Checks what the other nodes demand of it.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self) -> Result<(), ClusterError> {
        check_name(&self.name).map_err(|what| ClusterError::InvalidName(self.name.clone(), what))?;
        match (0.0..=1.0).contains(&self.check) {
            true => Ok(()),
            false => Err(ClusterError::InvalidCheck(self.check)),
        }
    }

    /// The servers, without users and passwords: for the connection, the log and errors.
    fn servers(&self) -> String {
        without_users(&self.url)
    }
}

/// Checks how servers are written.
///
/// # Errors
/// What is wrong, without users and passwords.
#[cfg(feature = "cli")]
pub(crate) fn check_servers(urls: &str) -> Result<(), String> {
    servers::Servers::read(urls).map(drop)
}

/// Checks the name of a node.
///
/// # Errors
/// What to write.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    match entry::is_node_name(name) {
        true => Ok(()),
        false => Err(format!("write 1 to {} letters, digits, - and _", entry::MAX_NAME)),
    }
}

/// Why a daemon cannot take part in a cluster.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The servers are not written as they must be.
    #[error("the servers of the cluster: {0}")]
    Servers(String),
    /// No node can have this name; with what to write.
    #[error("a node cannot be called {0:?}: {1}")]
    InvalidName(String, String),
    /// This is no share of parts.
    #[error("the share of parts to be computed again is {0}: it is 0.0 to 1.0")]
    InvalidCheck(f64),
    /// The servers cannot be used.
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    /// The credentials cannot be read.
    #[error("cannot read the credentials {0}: {1}")]
    Credentials(PathBuf, #[source] io::Error),
    /// The file with certificates cannot be used.
    #[error("cannot use the certificates {0} of --cluster-ca: {1}")]
    Certificates(PathBuf, String),
    /// A node that is new must be given a number, and there is no connection; with what to do about it.
    #[error("cannot connect to {0} ({1}), and this node has no number yet, which it needs at its first start: {2}")]
    Silent(String, String, &'static str),
    /// The server is too old.
    #[error("NATS {0} is too old: primed needs 2.10 or newer, with JetStream (nats-server -js)")]
    Version(String),
    /// The server refuses what is needed.
    #[error("NATS refuses what a cluster needs: {0}; is JetStream on (nats-server -js)?")]
    Refused(String),
    /// The server has too little room.
    #[error(
        "NATS has no room for what a cluster needs: {0} ({1}): raise the limit in the configuration of nats-server, or of its account"
    )]
    Room(String, String),
    /// Another node has the number of this one.
    #[error(
        "node number {0} of this data directory is that of the node {1}: use another --node-name only with a new data directory"
    )]
    Number(u64, String),
    /// Another node has the name of this one.
    #[error("another node of the cluster is called {0}: choose another --node-name")]
    Name(String),
    /// The name of this node is that of another data directory, and no node of that name answers.
    #[error(
        "the name {0} is that of another data directory, with the number {1}, and no node of that name answers: if its directory is lost, remove key {1} of primed_numbers (nats kv del primed_numbers {1}), or choose another --node-name"
    )]
    Lost(String, u64),
    /// The number cannot be kept.
    #[error("cannot keep the node's number in {0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// The number cannot be read.
    #[error("cannot read the node's number in {0}: {1}")]
    Unread(PathBuf, #[source] io::Error),
    /// The file of the number has something else.
    #[error(
        "{0} is empty or damaged: it has the number and the mark of this node; restore it from a copy, or remove it, and the node's key of primed_numbers in NATS"
    )]
    Damaged(PathBuf),
    /// There is no store.
    #[error("a node of a cluster needs a store (--data), unless it only works (--workers-only)")]
    NoStore,
    /// A thread cannot be had.
    #[error("cannot start the cluster's thread: {0}")]
    Thread(#[source] io::Error),
}

impl ClusterError {
    /// NATS refuses what is needed, for this reason.
    fn refused(error: impl std::error::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

/// A connection that has been made, before the engine is there.
pub(crate) struct Joined {
    settings: ClusterSettings,
    /// `None`: it only works.
    number: Option<Number>,
    client: async_nats::Client,
    connected: watch::Receiver<bool>,
    /// Why there is no connection.
    reason: watch::Receiver<String>,
}

/// Connects, and finds the number of this node: at its first start NATS must answer.
///
/// # Errors
/// Why it cannot take part.
pub(crate) async fn join(settings: ClusterSettings, directory: Option<&Path>) -> Result<Joined, ClusterError> {
    settings.check()?;
    let (is_connected, connected) = watch::channel(false);
    let (failing, reason) = watch::channel(String::new());
    let failing = Arc::new(failing);
    let failed = failing.clone();
    let events = move |event| match event {
        async_nats::Event::Connected => {
            failed.send_replace(String::new());
            is_connected.send_replace(true);
        }
        async_nats::Event::Disconnected => drop(is_connected.send(false)),
        other => tracing::debug!(%other, "NATS"),
    };
    let client = links::connect(&settings, events, failing.clone()).await?;
    let mut joined = Joined {
        settings,
        number: None,
        client,
        connected,
        reason,
    };
    let failure = first_connection_failure(joined.connected.clone(), joined.settings.clone(), failing);
    if joined.settings.is_worker_only {
        let servers = joined.settings.servers();
        tokio::spawn(async move {
            if let Some(reason) = failure.await {
                say_alone(&servers, &reason);
            }
        });
        return Ok(joined);
    }
    let file = directory.ok_or(ClusterError::NoStore)?.join(NUMBER_FILE);
    joined.number = Some(claim_number(&joined, &file, failure).await?);
    Ok(joined)
}

/// The number of this node: the one in its file, as far as NATS does not say that it is another node's, or the one
/// that NATS gives to a new node. `failure`: why there is no first connection.
///
/// # Errors
/// If the file cannot be read or written, NATS gives no number, or it does not answer and there is none.
async fn claim_number(
    joined: &Joined,
    file: &Path,
    failure: impl Future<Output = Option<String>>,
) -> Result<Number, ClusterError> {
    let (known, mark) = match read_number(file)? {
        Some((number, mark)) => (number, mark),
        None => {
            let mark = format!("{:016x}", fastrand::u64(..));
            // Before the number is claimed: a claim whose mark is lost is nobody's for good.
            keep_number(file, None, &mark)?;
            (None, mark)
        }
    };
    let first = async {
        let _ = joined.connected.clone().wait_for(|is_connected| *is_connected).await;
        let links = links::Links::open(joined.client.clone()).await?;
        links.check_name_is_free(&joined.settings.name, None).await?;
        links.number_of(&joined.settings.name, &mark, known).await
    };
    let (found, reason) = tokio::join!(tokio::time::timeout(FIRST_CONNECTION, first), failure);
    let number = match (found, known) {
        (Ok(Ok(number)), _) => number,
        (Ok(Err(error @ (ClusterError::Refused(_) | ClusterError::Room(..)))), Some(number)) => {
            tracing::warn!(
                %error,
                "the cluster cannot be used yet: this node goes on alone until it can"
            );
            number
        }
        (Ok(Err(error)), _) => return Err(error),
        (Err(_), known) => {
            let servers = joined.settings.servers();
            // It may have been connected, and heard nothing more.
            let reason = reason.unwrap_or_else(|| "no reply".to_owned());
            let Some(number) = known else {
                let remedy = links::remedy(&reason);
                return Err(ClusterError::Silent(servers, reason, remedy));
            };
            say_alone(&servers, &reason);
            number
        }
    };
    let is_new = known.is_none();
    if is_new {
        keep_number(file, Some(number), &mark)?;
    }
    Ok(Number { number, mark, is_new })
}

/// Waits for the first connection. After [`FIRST_CONNECTION`] without one: why there is none, which `failing` has from
/// then on, too.
async fn first_connection_failure(
    mut connected: watch::Receiver<bool>,
    settings: ClusterSettings,
    failing: Arc<watch::Sender<String>>,
) -> Option<String> {
    let first = connected.wait_for(|is_connected| *is_connected);
    if tokio::time::timeout(FIRST_CONNECTION, first).await.is_ok() {
        return None;
    }
    if failing.borrow().is_empty() {
        let reason = links::unresolved(&settings).await;
        let reason = reason.unwrap_or_else(|| "no reply".to_owned());
        // The client may have found another one meanwhile.
        failing.send_if_modified(|last| last.is_empty().then(|| *last = reason).is_some());
    }
    let reason = failing.borrow().clone();
    Some(reason)
}

/// Says that this node goes on without the others.
fn say_alone(servers: &str, reason: &str) {
    tracing::warn!(
        servers,
        reason,
        remedy = links::remedy(reason),
        "NATS does not answer: this node goes on alone until it does"
    );
}

/// The cluster, once it is joined, until the daemon ends.
#[derive(Debug)]
pub(crate) struct Cluster {
    node: Addr<Node>,
    arbiter: Arbiter,
}

/// What a node that only works answers to a submit.
pub(crate) fn only_works() -> Failure {
    Failure::new(
        Code::Denied,
        "this node of the cluster only works; submit at another one, 'nodes' lists them",
    )
}

impl Joined {
    /// Whether this node takes in no jobs.
    pub(crate) const fn is_worker_only(&self) -> bool {
        self.settings.is_worker_only
    }

    /// Shows this node as long as it is the only one that is known.
    pub(crate) fn show(&self, metrics: &Metrics, workers: usize) {
        let me = NodeView {
            name: self.settings.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            workers,
            free: workers,
            running: 0,
            owned: 0,
            parts_done: 0,
            is_worker_only: self.settings.is_worker_only,
            errs: false,
            heard: Duration::ZERO,
        };
        metrics.cluster.set_nodes(vec![me], false);
    }

    /// Starts the actor on a thread of its own, and gives the engine its way to it.
    ///
    /// # Errors
    /// If there is no thread.
    pub(crate) fn start(
        self,
        scheduler: &Addr<Scheduler>,
        engine: Engine,
        registry: Registry,
        daemon: DaemonView,
    ) -> Result<Cluster, ClusterError> {
        let arbiter = crate::engine::start_arbiter().map_err(ClusterError::Thread)?;
        let (mut reason, metrics) = (self.reason, daemon.metrics.clone());
        arbiter.spawn(async move {
            loop {
                let latest = reason.borrow_and_update().clone();
                let remedy = links::remedy(&latest);
                metrics.cluster.set_trouble(latest, remedy);
                if reason.changed().await.is_err() {
                    return;
                }
            }
        });
        if let Some(Number { number, .. }) = &self.number {
            scheduler.do_send(ClusterEvent::Numbered(*number));
        }
        let parts = part_worker::PartWorker::new(engine, registry, daemon.clone(), self.settings.name.clone());
        let node = Node::new(
            self.settings,
            self.number,
            self.client,
            self.connected,
            scheduler.clone(),
            Arc::new(parts),
            daemon,
        );
        let node = Node::start_in_arbiter(&arbiter.handle(), |_| node);
        scheduler.do_send(ClusterEvent::Joined {
            to: node.clone().recipient(),
        });
        Ok(Cluster { node, arbiter })
    }
}

impl Cluster {
    /// No job is taken over from now on, and no part taken.
    pub(crate) fn drain(&self) {
        self.node.do_send(node::Drain);
    }

    /// Lets go of the jobs of this node, so that others go on with them, and ends.
    pub(crate) async fn close(self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.node.send(CloseNode)).await;
        self.arbiter.stop();
        let _ = self.arbiter.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_the_others_would_not_hear_does_not_join() {
        let of = |name: &str| ClusterSettings::new("nats://127.0.0.1:1", name);
        for name in ["host.example.org", "", "a b", &"x".repeat(64)] {
            let joined = join(of(name), None).await.err();
            assert!(
                matches!(&joined, Some(ClusterError::InvalidName(said, _)) if said == name),
                "{name}: {joined:?}"
            );
        }
        for check in [-0.1, 1.1, f64::NAN] {
            let mut settings = of("host");
            settings.check = check;
            let joined = join(settings, None).await.err();
            assert!(
                matches!(joined, Some(ClusterError::InvalidCheck(_))),
                "{check}: {joined:?}"
            );
        }
        assert!(of("host-1_a").check().is_ok());
    }
}
