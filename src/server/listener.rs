//! The listener actor: accepts connections, starts a session for each, keeps their number within the limit, and drains them.

use super::Shared;
use super::accept::Acceptor;
use super::connection::{Accept, Connection};
use super::session::{Closed, DrainSession, Session};
use crate::engine::ClientId;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use tokio::sync::oneshot;

/// Connections accepted in one go before other work of the thread gets its turn.
const MAX_ACCEPTS: usize = 64;

/// Accepts connections on one or several sockets.
pub struct Listener {
    shared: Arc<Shared>,
    acceptors: Vec<Acceptor>,
    sessions: BTreeMap<ClientId, Addr<Session>>,
    next: ClientId,
    /// The threads that sessions are spread over; none: they live beside the listener.
    arbiters: Vec<ArbiterHandle>,
    drained: Option<oneshot::Sender<()>>,
}

/// The order to accept nothing more and to let every session finish what it has accepted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Told when the last session is closed.
    pub drained: oneshot::Sender<()>,
}

impl Listener {
    /// A listener on sockets that are bound already.
    pub fn new(shared: Arc<Shared>, sockets: Vec<Box<dyn Accept>>, arbiters: Vec<ArbiterHandle>) -> Self {
        Self {
            shared,
            acceptors: sockets.into_iter().map(Acceptor::new).collect(),
            sessions: BTreeMap::new(),
            next: 1,
            arbiters,
            drained: None,
        }
    }

    fn admit(&mut self, socket: Box<dyn Connection>, peer: SocketAddr, context: &mut Context<Self>) {
        let metrics = &self.shared.facts.metrics;
        if self.sessions.len() >= self.shared.limits.max_connections {
            metrics.connections_refused.fetch_add(1, Relaxed);
            // Best effort: a fresh socket takes a line without waiting.
            socket.try_write(b"ERR busy :too many connections; retry-ms=1000\n");
            return;
        }
        metrics.connections.fetch_add(1, Relaxed);
        metrics.connections_total.fetch_add(1, Relaxed);
        let id = self.next;
        self.next += 1;
        match self.begin(id, socket, context.address().recipient()) {
            Ok(session) => {
                self.sessions.insert(id, session);
            }
            Err(error) => {
                metrics.connections.fetch_sub(1, Relaxed);
                tracing::warn!(%error, %peer, "a connection was lost while it was set up");
            }
        }
    }

    fn begin(
        &self,
        id: ClientId,
        socket: Box<dyn Connection>,
        listener: Recipient<Closed>,
    ) -> std::io::Result<Addr<Session>> {
        let shared = self.shared.clone();
        if self.arbiters.is_empty() {
            return Ok(Session::new(id, socket, shared, listener).start());
        }
        let arbiter = &self.arbiters[usize::try_from(id).unwrap_or_default() % self.arbiters.len()];
        let socket = socket.detach()?;
        Ok(Session::start_in_arbiter(arbiter, move |_| {
            Session::new(id, socket(), shared, listener)
        }))
    }

    fn tell_if_drained(&mut self) {
        if self.sessions.is_empty()
            && let Some(drained) = self.drained.take()
        {
            // Whoever drains may have stopped waiting.
            let _ = drained.send(());
        }
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Accepting);
    }
}

/// Accepts for as long as the listener has sockets.
struct Accepting;

impl ActorFuture<Listener> for Accepting {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        listener: &mut Listener,
        context: &mut Context<Listener>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        for index in 0..listener.acceptors.len() {
            let mut left = MAX_ACCEPTS;
            while let Some(acceptor) = listener.acceptors.get_mut(index)
                && let Poll::Ready((socket, peer)) = acceptor.poll_accept(task)
            {
                listener.admit(socket, peer, context);
                left -= 1;
                if left == 0 {
                    task.waker().wake_by_ref();
                    break;
                }
            }
        }
        Poll::Pending
    }
}

impl Handler<Closed> for Listener {
    type Result = ();

    fn handle(&mut self, Closed(id): Closed, _: &mut Self::Context) {
        if self.sessions.remove(&id).is_some() {
            self.shared.facts.metrics.connections.fetch_sub(1, Relaxed);
        }
        self.tell_if_drained();
    }
}

impl Handler<Drain> for Listener {
    type Result = ();

    fn handle(&mut self, Drain { drained }: Drain, _: &mut Self::Context) {
        self.acceptors.clear();
        self.drained = Some(drained);
        for session in self.sessions.values() {
            session.do_send(DrainSession);
        }
        self.tell_if_drained();
    }
}
