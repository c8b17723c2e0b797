//! The daemon over real sockets: bytes in, bytes out.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod clients;
mod ends;
mod engine;
mod external;
mod idle;
mod jobs;
mod malformed;
mod monitor;
mod resp;
mod slow;
mod unix;
