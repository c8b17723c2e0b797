//! Listening sockets, and the options that their connections inherit. Knows no session.

use super::StartError;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket that listens on this address.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A daemon that restarts takes its port back at once.
        socket.set_reuseaddr(true)?;
        // Sessions inherit it: a client that vanished without a word is found out within two minutes. Linux alone would probe 9 times.
        let probes = TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15))
            .with_retries(4);
        SockRef::from(&socket).set_tcp_keepalive(&probes)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source| StartError::Listen { address, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix::System;

    #[test]
    fn a_client_that_vanished_is_found_out_within_two_minutes() {
        let longest = System::new().block_on(async {
            let listener = bind(([127, 0, 0, 1], 0).into()).expect("a free port can be had");
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
