//! An accepted connection, with what its session needs of the daemon, and its place among those that are open.
//!
//! Knows no protocol and no session.

use super::connection::Connection;
use super::limits::LimitsCopy;
use super::{Limits, Shared};
use crate::clients::ClientState;
use crate::engine::ClientId;
use crate::verb::Engine;
use actix::prelude::*;
use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that the daemon has accepted, for a session of yours: bytes both ways, the engine, and the limits.
///
/// When dropped, it is closed and no longer counts towards the limit.
pub struct Accepted {
    pub(super) connection: Box<dyn Connection>,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: LimitsCopy,
    pub(super) permit: ConnectionPermit,
    peer: SocketAddr,
    engine: OnceCell<Engine>,
}

impl Accepted {
    pub(super) fn new(
        connection: Box<dyn Connection>,
        peer: SocketAddr,
        shared: Arc<Shared>,
        permit: ConnectionPermit,
    ) -> Self {
        let engine = OnceCell::new();
        let limits = LimitsCopy::of(&shared.limits);
        Self {
            connection,
            shared,
            limits,
            permit,
            peer,
            engine,
        }
    }

    /// Makes it ready to be taken up by another thread: what is returned is called there.
    pub(super) fn detach(self) -> io::Result<impl FnOnce() -> Self + Send + 'static> {
        let Self {
            connection,
            shared,
            permit,
            peer,
            ..
        } = self;
        let connection = connection.detach()?;
        Ok(move || Self::new(connection(), peer, shared, permit))
    }

    /// Who is at the other end; `0.0.0.0:0` is any client of a unix socket.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The engine, asked on behalf of this connection: it uses the share of the CPU and the limits of the peer's
    /// address.
    pub fn engine(&self) -> &Engine {
        self.engine
            .get_or_init(|| self.shared.engine.for_client(self.permit.client, self.peer.into()))
    }

    /// What all sessions share.
    #[cfg(feature = "http")]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What others see of the connection.
    #[cfg(feature = "http")]
    pub(crate) fn state(&self) -> &Arc<ClientState> {
        &self.permit.state
    }

    /// What a session may take of the machine, as it was when the connection was accepted. The listener enforces the
    /// number of connections, the session the rest.
    pub fn limits(&self) -> &Limits {
        self.limits.get()
    }

    /// True if bytes wait to be read also if the reactor has not reported them yet: a session that is to finish checks
    /// this before it closes.
    pub fn has_input(&self) -> bool {
        self.connection.has_input()
    }

    /// True if it is certain that nobody is at the other end, also after the end of input.
    pub fn is_gone(&self) -> bool {
        self.connection.is_gone()
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(task, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(task)
    }
}

/// The right to one of the listener's connections. The listener is notified when it is dropped.
pub(super) struct ConnectionPermit {
    pub(super) client: ClientId,
    /// What others see of the connection.
    pub(super) state: Arc<ClientState>,
    pub(super) listener: Arc<Recipient<Closed>>,
}

/// The news that a session is closed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Closed(pub(super) ClientId);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.listener.do_send(Closed(self.client));
    }
}
