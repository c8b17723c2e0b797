//! The session of an HTTP connection: an actor that drives hyper until the connection ends or the daemon drains. Knows
//! no route.

use super::guard::{Caller, Hosts};
use super::routes::routes;
use super::timeout::{Deadline, Finishing, HeadTimer, Owed};
use crate::caught::{Panicked, caught_in};
use crate::server::{Abort, Accepted, Finish, Service, Shared};
use actix::prelude::*;
use axum::Router;
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval_at};

/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 << 10;
/// How often to look whether the client is still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down, and how long it then waits for the rest of a request.
const LOOK_WHILE_DRAINING: Duration = Duration::from_millis(300);
/// Bytes that a connection buffers.
const MAX_BUFFER: usize = 32 << 10;

/// The reply to a connection beyond the limit.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\
      Connection: close\r\n\r\n{\"error\":\"busy\",\"text\":\"too many connections\"}\n";

/// HTTP for the listener. Besides addresses and `localhost`, it answers to these names.
pub(crate) fn service(names: Vec<String>) -> Service {
    let (routes, hosts) = (routes(), Arc::new(Hosts::new(names)));
    Service::aborting(move |accepted| HttpSession {
        start: Some((accepted, routes.clone(), hosts.clone())),
        finish: None,
    })
    .refusing(REFUSAL)
}

/// One connection.
struct HttpSession {
    start: Option<(Accepted, Router, Arc<Hosts>)>,
    /// Dropped to finish: the request under way is answered, and then the connection is closed.
    finish: Option<oneshot::Sender<()>>,
}

impl Actor for HttpSession {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let Some((accepted, routes, hosts)) = self.start.take() else {
            return context.stop();
        };
        let (finish, finishing) = oneshot::channel();
        self.finish = Some(finish);
        let metrics = accepted.shared().facts.metrics.clone();
        let peer = accepted.peer();
        // A panic that reached the actor would end its thread.
        let served = caught_in(serve(accepted, routes, hosts, finishing.shared()));
        let ended = served.into_actor(self).map(move |ended, _, context| {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "closing"),
                Err(Panicked) => {
                    metrics.session_panics.fetch_add(1, Relaxed);
                    tracing::error!(%peer, "a session panicked; its connection is closed");
                }
            }
            context.stop();
        });
        context.spawn(ended);
    }
}

impl Handler<Finish> for HttpSession {
    type Result = ();

    fn handle(&mut self, _: Finish, _: &mut Self::Context) {
        self.finish = None;
    }
}

impl Handler<Abort> for HttpSession {
    type Result = ();

    /// With the actor the connection is dropped, and with that the question under way.
    fn handle(&mut self, _: Abort, context: &mut Self::Context) {
        context.stop();
    }
}

async fn serve(accepted: Accepted, routes: Router, hosts: Arc<Hosts>, finishing: Finishing) -> hyper::Result<()> {
    let (shared, owed) = (accepted.shared().clone(), Owed::default());
    let caller = Caller::of(&accepted, hosts, owed.clone(), finishing.clone());
    let service = tower_of(routes, caller);
    let socket = Rc::new(Socket {
        connection: RefCell::new(accepted),
        is_awaited: Cell::new(true),
    });
    let io = TokioIo::new(Patient::new(socket.clone(), shared.clone()));
    let connection = http1::Builder::new()
        .timer(HeadTimer::new(shared, owed.clone()))
        // The timer has the limit in force; a time has to be given for it to be used.
        .header_read_timeout(Duration::ZERO)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(io, TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    let mut finishing = finishing;
    let mut is_finishing = false;
    let mut looks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    loop {
        tokio::select! {
            ended = &mut connection => return ended,
            _ = &mut finishing, if !is_finishing => {
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
                looks = interval_at(Instant::now() + LOOK_WHILE_DRAINING, LOOK_WHILE_DRAINING);
            }
            _ = looks.tick() => if socket.is_gone() || is_finishing && owed.holds() {
                return Ok(());
            }
        }
    }
}

/// The routes, with the caller beside each request.
fn tower_of(routes: Router, caller: Caller) -> Router {
    routes.layer(axum::Extension(caller))
}

/// The connection, which hyper reads and writes, and of which the session looks whether its client is still there.
struct Socket {
    connection: RefCell<Accepted>,
    /// Whether hyper waits for more from the client.
    is_awaited: Cell<bool>,
}

impl Socket {
    /// Whether the client has left and hyper will not notice: while a reply is computed it reads on only if it has used
    /// all that came.
    fn is_gone(&self) -> bool {
        !self.is_awaited.get() && self.connection.borrow().is_gone()
    }
}

/// A connection that ends if its client takes nothing of a reply for too long.
struct Patient {
    socket: Rc<Socket>,
    shared: Arc<Shared>,
    /// Since bytes wait for the client.
    waiting: Option<Deadline>,
}

impl Patient {
    const fn new(socket: Rc<Socket>, shared: Arc<Shared>) -> Self {
        Self {
            socket,
            shared,
            waiting: None,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let mut connection = self.socket.connection.borrow_mut();
        let read = Pin::new(&mut *connection).poll_read(task, buffer);
        self.socket.is_awaited.set(read.is_pending());
        let count = buffer.filled().len() - before;
        let metrics = &connection.shared().facts.metrics;
        metrics.bytes_read.fetch_add(count as u64, Relaxed);
        if count > 0 {
            connection.state().has_read(count);
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut connection = this.socket.connection.borrow_mut();
        let written = Pin::new(&mut *connection).poll_write(task, bytes);
        match &written {
            Poll::Ready(Ok(count)) => {
                let metrics = &connection.shared().facts.metrics;
                metrics.bytes_written.fetch_add(*count as u64, Relaxed);
                connection.state().has_written(*count);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let waiting = this.waiting.get_or_insert_with(|| Deadline::new(this.shared.clone()));
                if Pin::new(waiting).poll(task).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Pending;
            }
        }
        this.waiting = None;
        written
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.connection.borrow_mut()).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.connection.borrow_mut()).poll_shutdown(task)
    }
}
