//! How every command that asks a running daemon reaches it, or what to do if there is none. The one place that opens connections to daemons.

use super::address::{self, Address};
use crate::Client;
use anyhow::Context;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A server whose backlog is full does not answer at all; the system would try for minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which daemon is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connect {
    /// Where the daemon listens
    #[arg(long = "connect", value_name = "ADDR:PORT", env = "PRIMED_CONNECT", value_parser = address::read, default_value_t = Address::from(super::DEFAULT_ADDRESS))]
    address: Address,
}

impl Connect {
    /// Where the daemon listens, as it was written.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects.
    ///
    /// # Errors
    /// Says how to start a daemon if none can be reached.
    pub(super) fn open(&self) -> anyhow::Result<TcpStream> {
        connect(self.address.resolve()?)
    }

    /// Connects in the same way, with the typed client, for many requests at once.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(super) async fn client(self: Arc<Self>) -> anyhow::Result<Client> {
        // A name is resolved, which may take as long as it likes, and must not stop who draws the screen.
        let stream = tokio::task::spawn_blocking(move || self.open()).await??;
        stream.set_nonblocking(true)?;
        Ok(Client::over(tokio::net::TcpStream::from_std(stream)?)?)
    }
}

/// Connects to an address.
///
/// # Errors
/// Says how to start a daemon if none can be reached.
pub(super) fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(|| refused(address))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn refused(address: SocketAddr) -> String {
    format!("cannot reach a daemon at {address} (start one with 'primed serve')")
}
