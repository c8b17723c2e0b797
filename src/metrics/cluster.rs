//! What is known of a cluster: its nodes, and parts that went out and came back.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A node of the cluster, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Its workers.
    pub workers: usize,
    /// Those that are free for parts of other nodes.
    pub free: usize,
    /// Long jobs that it works on for its own clients.
    pub running: u64,
    /// Submitted jobs that it owns.
    pub owned: usize,
    /// Parts of other nodes that it has done.
    pub parts_done: u64,
    /// It takes in no jobs.
    pub is_worker_only: bool,
    /// It was found to err, and nothing of it is taken any more.
    pub errs: bool,
    /// For how long nothing was heard of it.
    pub heard: Duration,
}

/// What a daemon knows of its cluster.
#[derive(Debug, Default)]
pub struct ClusterMetrics {
    /// Parts sent to other nodes.
    pub parts_sent: AtomicU64,
    /// Of these, results that came back.
    pub parts_absorbed: AtomicU64,
    /// And those that were taken back.
    pub parts_lost: AtomicU64,
    /// Results that were computed again here.
    pub parts_checked: AtomicU64,
    /// Bytes of a message that NATS takes; 0 if that is not known.
    pub max_message: AtomicUsize,
    /// Bytes of parts sent.
    pub bytes_sent: AtomicU64,
    /// Bytes of results received.
    pub bytes_received: AtomicU64,
    /// None without a cluster.
    nodes: Mutex<Option<(Vec<NodeView>, bool)>>,
    trouble: Mutex<Trouble>,
}

/// Why a node is alone; empty while that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: &'static str,
}

impl ClusterMetrics {
    /// Whether this daemon is in a cluster.
    pub fn is_there(&self) -> bool {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The nodes, this one first, and whether the others can be reached. `None`: this daemon is in no cluster.
    pub fn nodes(&self) -> Option<(Vec<NodeView>, bool)> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are the nodes.
    pub fn set_nodes(&self, nodes: Vec<NodeView>, is_connected: bool) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = Some((nodes, is_connected));
    }

    /// Why the others cannot be reached, if they cannot.
    pub fn trouble(&self) -> Trouble {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This is why, and what to do about it.
    pub fn set_trouble(&self, what: String, remedy: &'static str) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Trouble { what, remedy };
    }
}
