//! The session of an HTTP connection: an actor that drives hyper until the connection ends or the daemon drains. Knows
//! no route.

use super::guard::{Caller, Hosts};
use super::routes::routes;
use super::timeout::{Deadline, Finishing, Head, HeadTimer, Owed};
use crate::caught::{Panicked, caught_in};
use crate::server::{Abort, Accepted, Finish, Service, Shared};
use actix::prelude::*;
use axum::Router;
use bytes::Bytes;
use futures_util::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, interval_at};

/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 << 10;
/// How often to look whether the client is still there.
const PEER_INTERVAL: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down, and how long it then waits for the rest of a request.
const LOOK_WHILE_DRAINING: Duration = Duration::from_millis(300);
/// Bytes that a connection buffers.
const MAX_BUFFER: usize = 32 << 10;
/// Bytes of the first read: the head of most requests.
const FIRST_READ: usize = 1 << 10;

/// The reply to a connection beyond the limit.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Type: application/json\r\nContent-Length: 47\r\n\
      Connection: close\r\n\r\n{\"error\":\"busy\",\"text\":\"too many connections\"}\n";

/// What answers a request; a clone of it is one reference more.
type Routes = TowerToHyperService<Router>;

/// HTTP for the listener. Besides addresses and `localhost`, it answers to these names.
pub(crate) fn service(names: Vec<String>) -> Service {
    let (routes, hosts) = (TowerToHyperService::new(routes()), Arc::new(Hosts::new(names)));
    Service::aborting(move |accepted| HttpSession {
        start: Some((accepted, routes.clone(), hosts.clone())),
        finish: None,
    })
    .refusing(REFUSAL)
}

/// One connection.
struct HttpSession {
    start: Option<(Accepted, Routes, Arc<Hosts>)>,
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
        let metrics = accepted.shared().daemon.metrics.clone();
        let peer = accepted.peer();
        // A panic that reached the actor would end its thread.
        let served = caught_in(serve(accepted, routes, hosts, finishing.shared()));
        let ended = served.into_actor(self).map(move |ended, _, context| {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "closing"),
                Err(Panicked) => {
                    metrics.session_panics.add();
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

/// Waits for the first bytes, and then drives hyper, whose buffers take more than all else of a connection.
async fn serve(accepted: Accepted, routes: Routes, hosts: Arc<Hosts>, finishing: Finishing) -> io::Result<()> {
    let (shared, owed) = (accepted.shared().clone(), Owed::default());
    // From here on the client has its time for the head.
    let mut head = Head::new(shared.clone(), &owed);
    let socket = Rc::new(Socket {
        connection: RefCell::new(accepted),
        is_awaited: Cell::new(true),
    });
    let mut watch = Watch::new(socket.clone(), owed.clone(), finishing.clone());
    let mut patient = Patient::new(socket.clone(), shared.clone(), owed.clone());
    loop {
        tokio::select! {
            biased;
            is_open = patient.read_first() => match is_open? {
                true => break,
                false => return Ok(()),
            },
            () = &mut head => return Err(io::ErrorKind::TimedOut.into()),
            event = watch.next() => match event {
                WatchEvent::Finish => {}
                WatchEvent::Gone => return Ok(()),
            },
        }
    }
    let caller = Caller::of(&socket.connection.borrow(), hosts, owed.clone(), finishing);
    let timer = HeadTimer::new(shared, owed, head);
    Box::pin(drive(patient, timer, routes, caller, watch)).await
}

/// Answers the requests of a connection.
async fn drive(patient: Patient, timer: HeadTimer, routes: Routes, caller: Caller, mut watch: Watch) -> io::Result<()> {
    // The routes are those of all connections: with the caller as a layer each would have its own.
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        routes.call(request)
    });
    let connection = http1::Builder::new()
        .timer(timer)
        // The timer has the limit in force; a time has to be given for it to be used.
        .header_read_timeout(Duration::ZERO)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(patient), service);
    let mut connection = pin!(connection);
    if watch.is_finishing {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            ended = &mut connection => return ended.map_err(io::Error::other),
            event = watch.next() => match event {
                WatchEvent::Finish => connection.as_mut().graceful_shutdown(),
                WatchEvent::Gone => return Ok(()),
            },
        }
    }
}

/// What happens to a connection besides its bytes.
enum WatchEvent {
    /// The daemon drains.
    Finish,
    /// The client has left, or the rest of its request does not come while the daemon drains.
    Gone,
}

/// Looks whether the client is still there, and whether the daemon drains.
struct Watch {
    socket: Rc<Socket>,
    owed: Owed,
    finishing: Finishing,
    is_finishing: bool,
    looks: Interval,
}

impl Watch {
    fn new(socket: Rc<Socket>, owed: Owed, finishing: Finishing) -> Self {
        Self {
            socket,
            owed,
            finishing,
            is_finishing: false,
            looks: every(PEER_INTERVAL),
        }
    }

    /// The next event; `Finish` comes once. Nothing is lost if the future is dropped.
    async fn next(&mut self) -> WatchEvent {
        loop {
            tokio::select! {
                _ = &mut self.finishing, if !self.is_finishing => {
                    self.is_finishing = true;
                    self.looks = every(LOOK_WHILE_DRAINING);
                    return WatchEvent::Finish;
                }
                _ = self.looks.tick() => if self.socket.is_gone() || self.is_finishing && self.owed.holds() {
                    return WatchEvent::Gone;
                }
            }
        }
    }
}

fn every(time: Duration) -> Interval {
    interval_at(Instant::now() + time, time)
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
    owed: Owed,
    /// The first bytes, until hyper reads them.
    first: Bytes,
    /// Since bytes wait for the client, those of the closing of TLS among them.
    waiting: Option<Deadline>,
}

impl Patient {
    const fn new(socket: Rc<Socket>, shared: Arc<Shared>, owed: Owed) -> Self {
        Self {
            socket,
            shared,
            owed,
            first: Bytes::new(),
            waiting: None,
        }
    }

    /// What was written, unless it waits for the client for too long.
    fn in_time<T>(&mut self, written: Poll<io::Result<T>>, task: &mut Task<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = self.waiting.get_or_insert_with(|| Deadline::new(self.shared.clone()));
        ready!(Pin::new(waiting).poll(task));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Reads the first bytes. False if there are none: the client has closed the connection.
    async fn read_first(&mut self) -> io::Result<bool> {
        // On the stack, and not in the future: most connections wait here.
        let first = poll_fn(|task| {
            let mut bytes = [0; FIRST_READ];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *self).poll_read(task, &mut buffer))?;
            Poll::Ready(io::Result::Ok(Bytes::copy_from_slice(buffer.filled())))
        });
        self.first = first.await?;
        Ok(!self.first.is_empty())
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let mut connection = self.socket.connection.borrow_mut();
        let read = Pin::new(&mut *connection).poll_read(task, buffer);
        self.socket.is_awaited.set(read.is_pending());
        let count = buffer.filled().len() - before;
        let metrics = &connection.shared().daemon.metrics;
        metrics.bytes_read.fetch_add(count as u64, Relaxed);
        if count > 0 {
            self.owed.has_read();
            connection.state().has_read(count);
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut connection = self.socket.connection.borrow_mut();
        let written = Pin::new(&mut *connection).poll_write(task, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            let metrics = &connection.shared().daemon.metrics;
            metrics.bytes_written.fetch_add(*count as u64, Relaxed);
            connection.state().has_written(*count);
        }
        drop(connection);
        self.in_time(written, task)
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.connection.borrow_mut()).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut *self.socket.connection.borrow_mut()).poll_shutdown(task);
        self.in_time(closed, task)
    }
}
