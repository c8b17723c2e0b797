//! How every command that asks a running daemon reaches it, or what to do if there is none. The one place that opens connections to daemons.

use super::address::{self, Address};
use crate::Client;
use anyhow::Context;
use std::net::{SocketAddr, TcpStream};
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

    /// Connects with the typed client, for many requests at once.
    ///
    /// # Errors
    /// Says how to start a daemon if none can be reached.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let address = self.address.resolve()?;
        let connecting = tokio::time::timeout(PATIENCE, Client::connect(address)).await;
        connecting
            .map_err(anyhow::Error::from)
            .and_then(|connected| Ok(connected?))
            .with_context(|| refused(address))
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
