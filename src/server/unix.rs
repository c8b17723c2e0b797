//! Connections over a unix socket, for clients on the same machine. Knows no session.
//!
//! The kernel reports at once when the other end is closed, so nothing has to be looked up.

use super::connection::{Accept, Connection, Detached, connection};
use crate::clients::UNIX;
use crate::store::FileId;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use std::fs::{Permissions, symlink_metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};
use tokio::net::{UnixListener, UnixStream};

/// Who may connect: the user that runs the daemon, and its group.
const MODE: u32 = 0o660;
/// Connections that wait to be accepted; the kernel takes its own limit if that is lower.
const BACKLOG: i32 = 1024;

/// A listening unix socket. Its file is removed when it is dropped, unless another has taken its place.
#[derive(Debug)]
pub struct UnixSocket {
    socket: UnixListener,
    path: PathBuf,
    file: FileId,
}

impl UnixSocket {
    /// Listens at this path. The file of a daemon that is gone is replaced; only the user that runs the daemon, and its
    /// group, may connect.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens there; `AlreadyExists` if there is a file that is no socket; what the
    /// system says.
    pub fn bind(path: PathBuf) -> io::Result<Self> {
        match symlink_metadata(&path) {
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
        let socket = bound(&path)?;
        let file = symlink_metadata(&path)?.into();
        std::fs::set_permissions(&path, Permissions::from_mode(MODE))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = UnixListener::from_std(socket.into())?;
        Ok(Self { socket, path, file })
    }
}

/// A socket with its file, which is never open to others: Linux makes the file with the mode of the socket, less what
/// the umask takes. Elsewhere a socket has no mode, and nobody is served before the file has its own, for nothing
/// listens.
fn bound(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(MODE))?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // Somebody may have removed it, and another daemon may listen there since.
        if symlink_metadata(&self.path).is_ok_and(|there| FileId::from(there) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

connection!(UnixStream, has_hung_up);

/// True once the other end is closed altogether, and not only the half that it writes.
fn has_hung_up(socket: &UnixStream) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0 && polled[0].revents().contains(PollFlags::HUP))
}

impl Accept for UnixSocket {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Connection>, SocketAddr)>> {
        let (socket, _) = ready!(self.socket.poll_accept(context))?;
        Poll::Ready(Ok((Box::new(socket), UNIX)))
    }

    fn accept_waiting(&mut self) -> Option<(Box<dyn Connection>, SocketAddr)> {
        let (socket, _) = SockRef::from(&self.socket).accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some((Box::new(UnixStream::from_std(socket.into()).ok()?), UNIX))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("primed-unix-{name}-{}", std::process::id()))
    }

    #[tokio::test]
    async fn only_its_own_file_is_removed() {
        let path = path("own");
        let first = UnixSocket::bind(path.clone()).expect("nobody listens there");
        std::fs::remove_file(&path).expect("it was made");
        let second = UnixSocket::bind(path.clone()).expect("its place is free");
        drop(first);
        assert!(path.exists(), "the second is still reached");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn the_file_is_made_for_the_user_and_the_group_alone() {
        let path = path("mode");
        let socket = bound(&path).expect("the directory can be written");
        let made = symlink_metadata(&path).map(|file| file.permissions().mode());
        std::fs::remove_file(&path).expect("it was made");
        drop(socket);
        assert_eq!(made.expect("it was made") & 0o117, 0);
    }
}
