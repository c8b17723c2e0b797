//! `primed`, the prime daemon: answers questions about prime numbers over TCP, and is the engine for CPU work of your
//! own.
//!
//! Everything long is a [`Plan`]: plain data that cuts off slices of about 2 ms of work, absorbs their partial results
//! and in the end gives the answer. From that follow short answers beside long ones, cancelling, deadlines, progress
//! and checkpoints.
//!
//! | to | begin with |
//! |---|---|
//! | run a daemon, also inside a test | [`Daemon`], [`Handle`] |
//! | ask one from Rust | [`Client`], and in its own process [`Engine`] |
//! | add a verb | [`define`] or [`Verb`], which make a [`Step`] of a [`Call`] |
//! | serve CPU work in slices | [`Plan`], [`Pieces`], [`Job`]; [`exercise`] tests it |
//! | serve blocking code | [`Blocking`] |
//! | serve an actor with state | [`Host`], [`Asked`], [`Responder`] |
//! | speak another protocol | [`Protocol`], [`Answer`] |
//! | speak this one yourself | [`codec`], for `Framed` |
//!
//! The guide is docs/extending.md; ARCHITECTURE.md is the map of the inside.

// These macros panic where the output is closed or full.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

mod auth;
mod caught;
#[cfg(feature = "cli")]
mod cli;
pub mod client;
mod clients;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(feature = "cli")]
mod config;
mod daemon;
mod engine;
#[cfg(feature = "http")]
mod http;
mod job;
mod metrics;
mod primes;
mod priority;
mod proto;
mod server;
mod store;
mod verb;

pub use auth::Role;
#[cfg(feature = "users")]
pub use auth::{Users, UsersError};
pub use client::{Client, Connector};
#[cfg(feature = "cluster")]
pub use cluster::{ClusterError, ClusterSettings};
pub use daemon::{Daemon, Drained, Handle, RunError, Running, StartError};
pub use engine::{Asked, Event, Events, Policy, ReplyFuture, Responder, RowError, Token};
pub use job::{
    AnyPlan, Budget, Damaged, Function, Job, Method, Pieces, Plan, Query, Reader, Shared, Writer, exercise, run_to_end,
};
pub use primes::Natural;
pub use primes::constellation::Constellation;
pub use proto::codec;
pub use proto::{Code, Failure, Interim, Reply, Value};
pub use server::{Accepted, Answer, Finish, Limits, Protocol};
#[cfg(feature = "tls")]
pub use server::{Tls, TlsError};
pub use verb::{Blocking, Call, Defined, Engine, Host, Question, Step, Verb, define};

/// What the command, the benchmarks and the fuzz targets of this repository use beyond the interface. It may change
/// with any commit.
#[doc(hidden)]
pub mod internals {
    #[cfg(feature = "cli")]
    pub use crate::{cli::run, config::read as read_config};

    pub use crate::metrics::Metrics;
    pub use crate::proto::{Conversation, Final, Frame, MAX_DIGITS, ParsedLine, Request, parse_line, parse_number};
    pub use crate::verb::{DaemonView, Registry};

    /// The primes of the table.
    pub mod known {
        pub use crate::primes::known::{next, nth};
    }

    /// Counts at regular points, and what makes their data.
    pub mod nth_table {
        pub use crate::primes::nth_table::{COARSE, FINE, checksum, expected};

        /// The code of the data.
        pub mod rice {
            pub use crate::primes::nth_table::rice::encode;
        }
    }

    /// The test of primality, and the search by it.
    pub mod primality {
        pub use crate::primes::primality::{is_prime_u64, is_prime_u128, search::prev};
    }

    /// The sieve.
    pub mod sieve {
        pub use crate::primes::sieve::{Segment, Sieve, Step, primes_up_to};
    }

    /// The store, without a daemon.
    pub mod store {
        #[cfg(feature = "sqlite")]
        pub use crate::store::SqliteStore;
        pub use crate::store::{
            Checkpoint, Contents, End, ErrorKind, JobId, KeptAnswer, MemoryStore, Priority, Record, State, Store,
            StoreError, Submission, Timestamp,
        };
    }
}

/// Every Rust block of the guide is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../docs/extending.md")]
struct Extending;
