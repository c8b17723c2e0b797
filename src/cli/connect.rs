//! A connection to a running daemon, or what to do if there is none.

use anyhow::Context;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server whose backlog is full does not answer at all; the system would try for minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects.
///
/// # Errors
/// Says how to start a daemon if none can be reached.
pub(super) fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let refused = || format!("cannot reach a daemon at {address} (start one with 'primed serve')");
    let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(refused)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
