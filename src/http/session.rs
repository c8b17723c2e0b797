//! The session of an HTTP connection: an actor that drives hyper until the connection ends or the daemon drains. Knows no route.

use super::guard::{Caller, Hosts};
use super::routes::routes;
use crate::server::{Accepted, Finish, Service};
use actix::prelude::*;
use axum::Router;
use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as Task, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::Sleep;

/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of the head of a request.
const MAX_HEAD: usize = 16 << 10;
/// Bytes that a connection buffers.
const MAX_BUFFER: usize = 32 << 10;

/// The reply to a connection beyond the limit.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// HTTP for the listener. Besides addresses and `localhost`, it answers to these names.
pub(crate) fn service(names: Vec<String>) -> Service {
    let (routes, hosts) = (routes(), Arc::new(Hosts::new(names)));
    Service::new(move |accepted| HttpSession {
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
        let served = AssertUnwindSafe(serve(accepted, routes, hosts, finishing)).catch_unwind();
        let ended = served.into_actor(self).map(move |ended, _, context| {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%peer, %error, "closing"),
                Err(_) => {
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

async fn serve(
    accepted: Accepted,
    routes: Router,
    hosts: Arc<Hosts>,
    finishing: oneshot::Receiver<()>,
) -> hyper::Result<()> {
    let patience = accepted.limits().stall_timeout;
    let caller = Caller::of(&accepted, hosts);
    let service = tower_of(routes, caller);
    let socket = TokioIo::new(Patient::new(accepted, patience));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(socket, TowerToHyperService::new(service));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        _ = finishing => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// The routes, with the caller beside each request.
fn tower_of(routes: Router, caller: Caller) -> Router {
    routes.layer(axum::Extension(caller))
}

/// A connection that ends if its client takes nothing of a reply for too long.
struct Patient {
    connection: Accepted,
    patience: Duration,
    /// Since bytes wait for the client.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    const fn new(connection: Accepted, patience: Duration) -> Self {
        Self {
            connection,
            patience,
            waiting: None,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.connection).poll_read(task, buffer);
        let count = buffer.filled().len() - before;
        let metrics = &self.connection.shared().facts.metrics;
        metrics.bytes_read.fetch_add(count as u64, Relaxed);
        if count > 0 {
            self.connection.state().has_read(count);
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = Pin::new(&mut this.connection).poll_write(task, bytes);
        match &written {
            Poll::Ready(Ok(count)) => {
                let metrics = &this.connection.shared().facts.metrics;
                metrics.bytes_written.fetch_add(*count as u64, Relaxed);
                this.connection.state().has_written(*count);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                let patience = this.patience;
                let waiting = this
                    .waiting
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if waiting.as_mut().poll(task).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Pending;
            }
        }
        this.waiting = None;
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(task)
    }
}
