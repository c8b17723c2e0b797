//! Listening sockets, and the options that their connections inherit. Knows no session.

use super::StartError;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{Instant, sleep};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Bytes in the kernel that were not sent yet: above it, a session does not write more, and asks the engine for no more
/// rows. Left alone, Linux lets the buffer of a client with a small window grow to 2.4 MiB.
#[cfg(target_os = "linux")]
const MAX_UNSENT_IN_KERNEL: u32 = 32 << 10;

/// How long an address may be in use before that is an error. The threads of a daemon that was killed run where no
/// other wants the core, and the system keeps its sockets until the last of them has had the CPU to end: some seconds
/// where other programs want all cores. With a store, its lock has been waited for before, which the system releases at
/// the same time. Who has the port is not known here, so the wait for one that does not end is short.
const IN_USE_LIMIT: Duration = Duration::from_secs(10);
/// How long it may be in use before that is logged.
const IN_USE_SILENT: Duration = Duration::from_millis(250);
const IN_USE_PAUSE: Duration = Duration::from_millis(10);

/// A socket that listens on this address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let began = Instant::now();
    let mut is_logged = false;
    loop {
        match open(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && began.elapsed() < IN_USE_LIMIT => {
                if !is_logged && began.elapsed() >= IN_USE_SILENT {
                    is_logged = true;
                    tracing::warn!(%address, "address in use: waiting up to 10 s for the daemon that holds it to end");
                }
                sleep(IN_USE_PAUSE).await;
            }
            opened => return opened.map_err(|source| StartError::Listen { address, source }),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A daemon that restarts takes its port back at once.
    socket.set_reuseaddr(true)?;
    // Sessions inherit it: a client that vanished without a word is found out within two minutes. Linux alone would
    // probe 9 times.
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(&socket).set_tcp_keepalive(&probes)?;
    bound_unsent(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(target_os = "linux")]
fn bound_unsent(socket: &TcpSocket) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(MAX_UNSENT_IN_KERNEL)
}

/// Elsewhere buffers are bounded by what the system allows a socket.
#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpSocket) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::System;

    #[test]
    fn a_client_that_vanished_is_found_out_within_two_minutes() {
        let longest = System::new().block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into()).await.expect("a free port can be had");
            let client = tokio::net::TcpStream::connect(listener.local_addr().expect("it is bound"));
            let (client, accepted) = tokio::join!(client, listener.accept());
            let (_client, (session, _)) = (client.expect("it listens"), accepted.expect("a client connects"));
            let socket = SockRef::from(&session);
            assert!(socket.keepalive().expect("a socket has options"));
            let time = socket.tcp_keepalive_time().expect("a socket has options");
            let interval = socket.tcp_keepalive_interval().expect("a socket has options");
            time + interval * socket.tcp_keepalive_retries().expect("a socket has options")
        });
        assert!(longest <= Duration::from_secs(120), "{longest:?}");
    }
}
