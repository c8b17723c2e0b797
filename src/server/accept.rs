//! Accepting connections, also when descriptors run out. Knows no session.
//!
//! A naive loop spins when `accept` fails for want of a descriptor or memory: the connection stays in the backlog, and
//! the socket stays readable. So one descriptor is kept in reserve: it is given up, the connection accepted and closed
//! at once, so that its client knows, and the reserve taken again. What still fails waits, from 10 up to 500 ms. Errors
//! of one connection close no other.

use super::connection::{Accept, Connection};
use crate::metrics::Incidents;
use rustix::io::Errno;
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

    /// The next connection. Those that are turned away count as `refused`.
    pub(super) fn poll_accept(
        &mut self,
        refused: &Incidents,
        context: &mut Context<'_>,
    ) -> Poll<(Box<dyn Connection>, SocketAddr)> {
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
                    let pause_ms = self.pause.as_millis();
                    if is_want(&error) {
                        tracing::warn!(%error, pause_ms, "cannot accept connections; turning some away");
                        self.turn_away(refused, context);
                    } else {
                        tracing::warn!(%error, pause_ms, "cannot accept a connection");
                    }
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
    fn turn_away(&mut self, refused: &Incidents, context: &mut Context<'_>) {
        while self.reserve.take().is_some() {
            let turned_away = matches!(self.socket.poll_accept(context), Poll::Ready(Ok(_)));
            self.reserve = open_reserve();
            if !turned_away {
                break;
            }
            refused.add();
        }
    }
}

fn open_reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// The system has no descriptor, or no memory, for one more.
fn is_want(error: &io::Error) -> bool {
    let want = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| want.contains(&error))
}

/// The peer hung up before it was accepted: nothing to do with us.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::future::poll_fn;
    use tokio::net::{TcpListener, TcpStream};

    /// A socket whose first connections fail with these errors.
    struct Failing {
        errors: VecDeque<Errno>,
        waiting: VecDeque<TcpStream>,
    }

    impl Failing {
        /// With this number of connections after them.
        async fn new(errors: &[Errno], waiting: usize) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let mut connected = VecDeque::new();
            for _ in 0..waiting {
                connected.push_back(TcpStream::connect(address).await.expect("it listens"));
            }
            Self {
                errors: errors.iter().copied().collect(),
                waiting: connected,
            }
        }
    }

    impl Accept for Failing {
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
            if let Some(error) = self.errors.pop_front() {
                return Poll::Ready(Err(error.into()));
            }
            self.accept_waiting().map_or(Poll::Pending, |it| Poll::Ready(Ok(it)))
        }

        fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
            let socket = self.waiting.pop_front()?;
            let peer = socket.local_addr().expect("it is connected");
            Some((Box::new(socket), peer))
        }
    }

    /// How many of two connections are accepted, and how many refused, after these errors.
    async fn after(errors: &[Errno]) -> (usize, u64) {
        let mut acceptor = Acceptor::new(Box::new(Failing::new(errors, 2).await));
        let (refused, mut accepted) = (Incidents::default(), 0);
        poll_fn(|task| {
            while acceptor.poll_accept(&refused, task).is_ready() {
                accepted += 1;
            }
            match acceptor.pausing {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        })
        .await;
        (accepted, refused.count())
    }

    #[tokio::test]
    async fn only_a_want_of_descriptors_or_memory_turns_the_backlog_away() {
        assert_eq!(after(&[Errno::CONNABORTED, Errno::PERM, Errno::PROTO]).await, (2, 0));
        for want in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(after(&[want]).await, (0, 2), "{want}");
        }
    }
}
