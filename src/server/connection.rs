//! What a session needs of a connection, and a listener of a listening socket: TCP is one kind of both. Knows no
//! session.
//!
//! The other kind lives in the tests, where a simulated network loses, delays and tears connections on purpose.

use super::peer;
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Bytes both ways.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + 'static {
    /// True if it is certain that nobody is at the other end, also when there is nothing to read.
    fn is_gone(&self) -> bool;

    /// True if bytes wait to be read, whether the reactor knows of them or not: checked before a draining session
    /// closes.
    fn has_input(&self) -> bool;

    /// Writes what fits at once, if anything does.
    fn try_write(&self, bytes: &[u8]);

    /// Makes it ready to be taken up by another thread, which has a reactor of its own.
    ///
    /// # Errors
    /// What the system says; the connection is closed then.
    fn detach(self: Box<Self>) -> io::Result<Detached>;
}

/// A connection on its way to another thread: call it there.
pub type Detached = Box<dyn FnOnce() -> Box<dyn Connection> + Send>;

/// Where connections come from.
pub trait Accept: 'static {
    /// The next connection, and who opened it.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>>;

    /// One that waits already, whether the reactor knows of it or not: asked for before the socket is closed, which
    /// would reset it.
    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)>;
}

/// A socket of tokio as a connection; the second finds out whether its other end is gone.
macro_rules! connection {
    ($socket:ty, $is_gone:expr) => {
        impl Connection for $socket {
            fn is_gone(&self) -> bool {
                !matches!(self.take_error(), Ok(None)) || $is_gone(self)
            }

            fn has_input(&self) -> bool {
                let mut byte = [std::mem::MaybeUninit::uninit()];
                SockRef::from(self).peek(&mut byte).is_ok_and(|count| count > 0)
            }

            fn try_write(&self, bytes: &[u8]) {
                let _ = Self::try_write(self, bytes);
            }

            fn detach(self: Box<Self>) -> io::Result<Detached> {
                let socket = self.into_std()?;
                Ok(Box::new(move || {
                    let socket =
                        Self::from_std(socket).expect("the thread has a reactor, and the socket is nonblocking");
                    Box::new(socket)
                }))
            }
        }
    };
}
pub(super) use connection;

connection!(TcpStream, has_left);

/// True if it is certain that nobody is at the other end.
fn has_left(socket: &TcpStream) -> bool {
    match (socket.local_addr(), socket.peer_addr()) {
        (Ok(local), Ok(other)) => peer::is_gone(local, other),
        _ => true,
    }
}

impl Accept for TcpListener {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
        let (socket, peer) = ready!(Self::poll_accept(self, context))?;
        Poll::Ready(Ok((prompt(socket), peer)))
    }

    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        let (socket, peer) = accept_now(self)?;
        Some((prompt(socket), peer))
    }
}

/// A connection that waits already, whether the reactor knows of it or not.
pub(super) fn accept_now(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    let (socket, peer) = SockRef::from(listener).accept().ok()?;
    socket.set_nonblocking(true).ok()?;
    let socket = TcpStream::from_std(socket.into()).ok()?;
    Some((socket, peer.as_socket()?))
}

/// Without this a small reply would wait for the acknowledgement of the one before. Where it fails, replies are late.
fn prompt(socket: TcpStream) -> Box<dyn Connection> {
    let _ = socket.set_nodelay(true);
    Box::new(socket)
}
