//! The daemon over real sockets: bytes in, bytes out.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod clients;
mod doors;
mod ends;
mod engine;
mod idle;
mod jobs;
mod monitor;
mod resp;
mod rubbish;
mod slow;
mod unix;
