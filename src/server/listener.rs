//! The listener actor: accepts connections, starts a session for each, keeps their number within the limit, and drains
//! them.

use super::Shared;
use super::accept::Acceptor;
use super::accepted::{Accepted, Closed, ConnectionPermit};
use super::connection::{Accept, Connection};
use super::service::{Service, SessionHandle};
use super::sessions::{CloseSession, FinishAll, IoThread, WakeAll};
use crate::caught::{Panicked, caught};
use crate::clients::address;
use crate::engine::ClientId;
use actix::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;
use std::{io, iter};
use tokio::sync::oneshot;

/// Connections accepted in one go before other work of the thread gets its turn.
const MAX_ACCEPTS: usize = 64;
/// The same at the end: no more wait at a socket, but some may come while others are accepted.
const MAX_LAST_ACCEPTS: usize = 4096;

/// 0 is the program around the daemon, which asks without a connection.
const FIRST_CONNECTION: ClientId = ClientId(1);

/// Accepts connections on one or several sockets.
pub struct Listener {
    shared: Arc<Shared>,
    sockets: Vec<(Acceptor, Service)>,
    /// Sessions that have not ended.
    open: usize,
    /// Those of them that are actors.
    actors: BTreeMap<ClientId, SessionHandle>,
    next: ClientId,
    /// Where closed sessions report to; made with the first.
    closed: Option<Arc<Recipient<Closed>>>,
    /// The threads to start sessions on; none: they live beside the listener.
    arbiters: Vec<ArbiterHandle>,
    /// The threads that sessions are spread over, once it has started.
    threads: Vec<IoThread>,
    drained: Option<oneshot::Sender<()>>,
}

/// The order to accept nothing more and to let every session finish what it has accepted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain {
    /// Notified when the last session is closed.
    pub drained: oneshot::Sender<()>,
}

impl Listener {
    /// A listener on sockets that are bound already.
    pub fn new(shared: Arc<Shared>, sockets: Vec<(Box<dyn Accept>, Service)>, arbiters: Vec<ArbiterHandle>) -> Self {
        let accepting = sockets
            .into_iter()
            .map(|(socket, service)| (Acceptor::new(socket), service));
        Self {
            shared,
            sockets: accepting.collect(),
            open: 0,
            actors: BTreeMap::new(),
            next: FIRST_CONNECTION,
            closed: None,
            arbiters,
            threads: Vec::new(),
            drained: None,
        }
    }

    fn admit(&mut self, socket: Box<dyn Connection>, peer: SocketAddr, service: &Service, context: &mut Context<Self>) {
        let metrics = &self.shared.daemon.metrics;
        if self.open >= self.shared.limits.get().max_connections {
            metrics.connections_refused.add();
            tracing::debug!(peer = address(peer), "connection refused: there are too many");
            // Best effort: a fresh socket takes a line without waiting.
            socket.try_write(service.refusal);
            return;
        }
        metrics.connections.fetch_add(1, Relaxed);
        metrics.connections_total.fetch_add(1, Relaxed);
        let client = self.next;
        self.next = ClientId(client.0 + 1);
        let closed = self
            .closed
            .get_or_insert_with(|| Arc::new(context.address().recipient()));
        let listener = closed.clone();
        // `jobs` shows the same number as the owner. Logged first: the session may run at once, on another thread.
        tracing::debug!(client = client.0, peer = address(peer), "connected");
        let state = self.shared.daemon.clients.add(client.0, peer);
        let permit = ConnectionPermit {
            client,
            state,
            listener,
        };
        let accepted = Accepted::new(socket, peer, self.shared.clone(), permit);
        // A custom session may panic when it is made; that costs its connection, and `Closed` is sent as the permit is
        // dropped.
        let opened = caught(|| match self.thread_of(client) {
            Some(thread) => service.sessions.open(accepted, thread),
            None => Err(io::Error::other("there is no thread for it")),
        });
        let opened = opened.unwrap_or_else(|Panicked| Err(io::Error::other("its session panicked")));
        match opened {
            Ok(actor) => {
                self.open += 1;
                self.actors.extend(actor.map(|handle| (client, handle)));
            }
            Err(error) => {
                self.shared.daemon.clients.remove(client.0);
                metrics.connections.fetch_sub(1, Relaxed);
                tracing::warn!(client = client.0, peer = address(peer), %error, "a connection was lost while it was set up");
            }
        }
    }

    fn thread_of(&self, client: ClientId) -> Option<&IoThread> {
        let turn = usize::try_from(client.0)
            .unwrap_or_default()
            .checked_rem(self.threads.len())?;
        self.threads.get(turn)
    }

    /// Accepts what waits, as far as other work of the thread allows.
    fn accept(&mut self, context: &mut Context<Self>, task: &mut std::task::Context<'_>) {
        #[cfg(test)]
        super::failpoint::hit(super::failpoint::Spot::Accept);
        for index in 0..self.sockets.len() {
            let mut left = MAX_ACCEPTS;
            while let Some((acceptor, service)) = self.sockets.get_mut(index)
                && let Poll::Ready((socket, peer)) =
                    acceptor.poll_accept(&self.shared.daemon.metrics.connections_refused, task)
            {
                let service = service.clone();
                self.admit(socket, peer, &service, context);
                left -= 1;
                if left == 0 {
                    task.waker().wake_by_ref();
                    break;
                }
            }
        }
    }

    /// Runs what changes the listener. After a panic it goes on with the sockets and sessions it has: there is nothing
    /// to rebuild, so no supervisor either, and no connection in the backlog is lost.
    fn guarded(&mut self, work: &str, run: impl FnOnce(&mut Self)) -> Result<(), Panicked> {
        caught(|| run(self)).inspect_err(|Panicked| {
            self.shared.health.panicked("listener", work, Instant::now());
            self.sockets.iter_mut().for_each(|(acceptor, _)| acceptor.renew());
        })
    }

    fn remove(&mut self, id: ClientId) {
        #[cfg(test)]
        super::failpoint::hit(super::failpoint::Spot::Closed);
        if self.shared.daemon.clients.remove(id.0) {
            tracing::debug!(client = id.0, "closed");
            self.open -= 1;
            self.actors.remove(&id);
            self.shared.daemon.metrics.connections.fetch_sub(1, Relaxed);
        }
        self.report_if_drained();
    }

    fn drain(&mut self, drained: oneshot::Sender<()>, context: &mut Context<Self>) {
        // A client that is connected may have sent requests already.
        for (mut acceptor, service) in std::mem::take(&mut self.sockets) {
            for (socket, peer) in iter::from_fn(|| acceptor.accept_waiting()).take(MAX_LAST_ACCEPTS) {
                self.admit(socket, peer, &service, context);
            }
        }
        self.drained = Some(drained);
        for thread in &self.threads {
            thread.sessions().do_send(FinishAll);
        }
        self.actors.values().for_each(SessionHandle::finish);
        self.report_if_drained();
    }

    fn report_if_drained(&mut self) {
        if self.open == 0
            && let Some(drained) = self.drained.take()
        {
            // The caller of the drain may have stopped waiting.
            let _ = drained.send(());
        }
    }
}

impl Drop for Listener {
    /// Without a listener no client can connect: the daemon's health hears of it.
    fn drop(&mut self) {
        self.shared.health.ended();
    }
}

impl Actor for Listener {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let threads = self.arbiters.drain(..).map(IoThread::there);
        self.threads = threads.collect();
        if self.threads.is_empty() {
            self.threads.push(IoThread::here());
        }
        let listener = context.address();
        let kill = move |id| listener.do_send(Kill(ClientId(id)));
        self.shared.daemon.clients.close_by(kill);
        let sessions: Vec<_> = self.threads.iter().map(|thread| thread.sessions().clone()).collect();
        let wake = move || sessions.iter().for_each(|sessions| sessions.do_send(WakeAll));
        self.shared.limits.wake_by(wake);
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
        if listener
            .guarded("accept", |listener| listener.accept(context, task))
            .is_err()
        {
            if listener.shared.health.has_given_up() {
                return Poll::Ready(());
            }
            // What was to be accepted still waits.
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Handler<Closed> for Listener {
    type Result = ();

    fn handle(&mut self, Closed(id): Closed, _: &mut Self::Context) {
        if self
            .guarded("a session that closed", |listener| listener.remove(id))
            .is_err()
        {
            // Once more: a session that stays on the list would keep the drain waiting.
            let _ = self.guarded("a session that closed", |listener| listener.remove(id));
        }
    }
}

/// The order to close a connection that was killed.
#[derive(Message)]
#[rtype(result = "()")]
struct Kill(ClientId);

impl Handler<Kill> for Listener {
    type Result = ();

    /// An actor of somebody's own finishes as in a drain.
    fn handle(&mut self, Kill(id): Kill, _: &mut Self::Context) {
        if self.shared.daemon.clients.get(id.0).is_none() {
            return;
        }
        tracing::info!(client = id.0, "killed");
        match (self.actors.get(&id), self.thread_of(id)) {
            (Some(handle), _) => handle.kill(),
            (None, Some(thread)) => thread.sessions().do_send(CloseSession(id)),
            (None, None) => {}
        }
    }
}

impl Handler<Drain> for Listener {
    type Result = ();

    fn handle(&mut self, Drain { drained }: Drain, context: &mut Self::Context) {
        // A panic drops the sender, which the caller takes for a failure.
        let _ = self.guarded("drain", |listener| listener.drain(drained, context));
    }
}
