//! Faults: what the daemon survives, each with its figure beside the figure wanted.
//!
//! The short form runs with `cargo test`; the long form is `PRIMED_FAULTS=long cargo test --release --test faults --
//! --nocapture --test-threads=1`. Memory, CPU and descriptors are those of a `primed serve` of its own, read from
//! `/proc`. What holds on any machine is asserted; times are printed, and asserted only with wide margins.

#[path = "../support/mod.rs"]
mod support;

mod crowds;
mod endings;
mod floods;
mod hostile;
mod kernel;
mod served;
mod shares;
mod signals;
mod unread;
