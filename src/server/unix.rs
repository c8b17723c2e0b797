//! Connections over a unix socket, for clients on the same machine. Knows no session.
//!
//! The kernel reports at once when the other end is closed, so nothing has to be looked up.

use super::connection::{Accept, Connection, Detached};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use std::fs::Permissions;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use tokio::net::{UnixListener, UnixStream};

/// Whom the limits by address take every client of a unix socket for: this machine. Port 0 is no peer's over TCP.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listening unix socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct UnixDoor {
    socket: UnixListener,
    path: PathBuf,
}

impl UnixDoor {
    /// Listens at this path. The file of a daemon that is gone is replaced; only the user that runs the daemon, and its group, may connect.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there; `AlreadyExists` if there is a file that is no socket; what the system says.
    pub fn bind(path: PathBuf) -> io::Result<Self> {
        match std::fs::symlink_metadata(&path) {
            Ok(there) if !there.file_type().is_socket() => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            // After kill -9 the file is left, and nobody listens.
            Ok(_) => match std::os::unix::net::UnixStream::connect(&path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(&path)?,
                Err(error) => return Err(error),
                Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            },
            Err(_) => {}
        }
        let socket = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o660))?;
        Ok(Self { socket, path })
    }
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Connection for UnixStream {
    fn is_gone(&self) -> bool {
        !matches!(self.take_error(), Ok(None)) || has_hung_up(self)
    }

    fn has_input(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(self).peek(&mut byte).is_ok_and(|count| count > 0)
    }

    fn try_write(&self, bytes: &[u8]) {
        let _ = Self::try_write(self, bytes);
    }

    fn detach(self: Box<Self>) -> io::Result<Detached> {
        let socket = self.into_std()?;
        Ok(Box::new(move || {
            let socket = Self::from_std(socket).expect("the thread has a reactor, and the socket is nonblocking");
            Box::new(socket)
        }))
    }
}

/// True once the other end is closed altogether, and not only the half that it writes.
fn has_hung_up(socket: &UnixStream) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0 && polled[0].revents().contains(PollFlags::HUP))
}

impl Accept for UnixDoor {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
        let (socket, _) = ready!(self.socket.poll_accept(context))?;
        Poll::Ready(Ok((Box::new(socket), PEER)))
    }

    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        let (socket, _) = SockRef::from(&self.socket).accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some((Box::new(UnixStream::from_std(socket.into()).ok()?), PEER))
    }
}
