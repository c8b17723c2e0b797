//! `primed`, the prime daemon: answers questions about prime numbers over TCP, and is the engine for CPU work of your own.
//!
//! Everything long is a [`job::Plan`]: plain data that cuts off slices of about 2 ms of work, absorbs their partial results and in
//! the end gives the answer. From that follow short answers beside long ones, cancelling, deadlines, progress and checkpoints.
//!
//! The rooms, from the roof down; imports go down only:
//!
//! | room | its job |
//! |---|---|
//! | [`cli`] | the command: `serve ask eval demo bench` |
//! | [`client`] | [`Client`] asks a running daemon |
//! | [`daemon`] | starts the rooms bottom-up, drains them top-down; [`Daemon`] puts one together |
//! | [`server`] | the listener and session actors |
//! | [`verb`] | the door for new verbs, and the built-in ones |
//! | [`engine`] | the scheduler and worker actors: jobs in, news out |
//! | [`job`] | pure: a plan, its slices, its checkpoint; the built-in plans |
//! | [`proto`] | pure: the wire: values, requests, replies |
//! | [`primes`] | pure: the mathematics |
//! | [`metrics`] | counters that every room adds to |

pub mod cli;
pub mod client;
pub mod daemon;
pub mod engine;
pub mod job;
pub mod metrics;
pub mod primes;
pub mod proto;
pub mod server;
pub mod verb;

pub use client::Client;
pub use daemon::{Daemon, Handle, Running, StartError};
pub use engine::{Asked, Policy, Responder, RowError, Token};
pub use job::{AnyPlan, Budget, Damaged, Job, Pieces, Plan, Reader, Writer, exercise, run_to_end};
pub use proto::{Code, Failure, Value};
pub use server::Limits;
pub use verb::{Blocking, Call, Engine, Host, Step, Verb, define};
