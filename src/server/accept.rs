//! Accepting connections, also when descriptors run out. Knows no session.
//!
//! A naive loop spins when `accept` fails for want of a descriptor: the connection stays in the backlog and the socket
//! stays readable. So one descriptor is kept in reserve: it is given up, the connection accepted and closed at once, so
//! that its client knows, and the reserve taken again. What still fails waits, from 10 up to 500 ms.

use super::connection::{Accept, Connection};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A listening socket that survives errors of `accept`.
pub(super) struct Acceptor {
    socket: Box<dyn Accept>,
    reserve: Option<File>,
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
}

impl Acceptor {
    pub(super) fn new(socket: Box<dyn Accept>) -> Self {
        Self {
            socket,
            reserve: open_reserve(),
            pause: SHORTEST_PAUSE,
            pausing: None,
        }
    }

    /// Begins anew with the same socket, after a panic.
    pub(super) fn renew(&mut self) {
        self.reserve = self.reserve.take().or_else(open_reserve);
        self.pause = SHORTEST_PAUSE;
        self.pausing = None;
    }

    /// The next connection.
    pub(super) fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<(Box<dyn Connection>, SocketAddr)> {
        loop {
            if let Some(pausing) = &mut self.pausing {
                ready!(pausing.as_mut().poll(context));
                self.pausing = None;
            }
            match ready!(self.socket.poll_accept(context)) {
                Ok(connection) => {
                    self.pause = SHORTEST_PAUSE;
                    return Poll::Ready(connection);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, pause_ms = self.pause.as_millis(), "cannot accept connections; turning some away");
                    self.turn_away(context);
                    self.pausing = Some(Box::pin(sleep(self.pause)));
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// One that waits already, for a listener that is about to close.
    pub(super) fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        self.socket.accept_waiting()
    }

    /// Closes what waits in the backlog, as far as the reserve allows.
    fn turn_away(&mut self, context: &mut Context<'_>) {
        while self.reserve.take().is_some() {
            let turned_away = matches!(self.socket.poll_accept(context), Poll::Ready(Ok(_)));
            self.reserve = open_reserve();
            if !turned_away {
                break;
            }
        }
    }
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// The peer hung up before it was accepted: nothing to do with us.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
