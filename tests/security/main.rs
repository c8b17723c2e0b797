//! Who may use a daemon: users, roles and passwords; TLS; and that no secret is shown. Against the binary, over real
//! sockets.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod configure;
mod daemon;
mod guessing;
mod http;
mod idle;
mod secrets;
mod tls;
mod users;
