//! An accepted connection on its way to its session, and the session as the listener knows it: a recipient of [`Finish`].
//!
//! Knows no protocol: built-in and custom sessions start in the same way.

use super::connection::Connection;
use super::limits::LimitsCopy;
use super::{Limits, Shared};
use crate::clients::ClientState;
use crate::engine::ClientId;
use crate::verb::Engine;
use actix::WeakRecipient;
use actix::prelude::*;
use std::cell::OnceCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The order to a session to finish: what is accepted is answered, nothing new is taken in, and then it closes.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Finish;

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

    /// Who is at the other end; `0.0.0.0:0` is any client of a unix socket.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The engine, asked on behalf of this connection: it uses the share of the CPU and the limits of the peer's address.
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

    /// What a session may take of the machine, as it was when the connection was accepted. The listener enforces the number of connections, the
    /// session the rest.
    pub fn limits(&self) -> &Limits {
        self.limits.get()
    }

    /// True if bytes wait to be read also if the reactor has not reported them yet: a session that is to finish checks this before it closes.
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

/// What becomes of a connection.
pub(crate) trait Open: Send + Sync {
    /// Starts a session, here or on another thread.
    fn open(&self, accepted: Accepted, thread: Option<&ArbiterHandle>) -> io::Result<Opened>;
}

/// A session, as the listener holds it.
pub(crate) enum Opened {
    /// An actor of somebody's own, which may live only as long as somebody has its address.
    Held(Recipient<Finish>),
    /// A session that lives until its connection ends. An address that keeps no actor alive takes 100 bytes less.
    Known(WeakRecipient<Finish>),
}

impl Opened {
    /// Has the session finish, if it has not ended.
    pub(super) fn finish(&self) {
        match self {
            Self::Held(session) => session.do_send(Finish),
            Self::Known(session) => session
                .upgrade()
                .into_iter()
                .for_each(|session| session.do_send(Finish)),
        }
    }
}

/// Starts a session of type `A` for each connection.
pub(super) struct Sessions<F> {
    pub(super) make: Arc<F>,
    /// Whether a session may need the listener to hold its address.
    pub(super) are_held: bool,
}

impl<A, F> Open for Sessions<F>
where
    A: Actor<Context = Context<A>> + Handler<Finish>,
    F: Fn(Accepted) -> A + Send + Sync + 'static,
{
    fn open(&self, accepted: Accepted, thread: Option<&ArbiterHandle>) -> io::Result<Opened> {
        let opened = |session: Addr<A>| match self.are_held {
            true => Opened::Held(session.recipient()),
            false => Opened::Known(session.downgrade().recipient()),
        };
        let Some(thread) = thread else {
            return Ok(opened((self.make)(accepted).start()));
        };
        let Accepted {
            connection,
            shared,
            permit,
            peer,
            ..
        } = accepted;
        let connection = connection.detach()?;
        let make = self.make.clone();
        let start = move |_: &mut Context<A>| make(Accepted::new(connection(), peer, shared, permit));
        Ok(opened(A::start_in_arbiter(thread, start)))
    }
}
