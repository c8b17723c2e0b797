//! Is the other end still there? Asks the kernel, without sending the peer a byte. Knows no session.
//!
//! A client that has sent its questions may half-close and wait (`nc -N`), or be gone: both look like the end of input.
//! When the client runs on this machine, the kernel knows: its socket still belongs to a process, or to nobody.
//! `sock_diag(7)` looks up exactly one socket, in a few microseconds. A socket that was closed is found for a minute
//! more, as nobody's. One that is not found may live all the same: its addresses are others where the kernel translates
//! them (`iptables -j REDIRECT`), and one that is bound to a device is found only by that. Then, on other machines, and
//! on other systems than Linux, keepalive finds out within two minutes.

use std::net::SocketAddr;

/// True if it is certain that the process at the other end has closed its socket.
pub(super) fn is_gone(local: SocketAddr, peer: SocketAddr) -> bool {
    let (here, there) = (local.ip().to_canonical(), peer.ip().to_canonical());
    let same_machine = there.is_loopback() || here == there;
    same_machine && is_nobodys(SocketAddr::new(there, peer.port()), SocketAddr::new(here, local.port()))
}

#[cfg(not(target_os = "linux"))]
fn is_nobodys(_: SocketAddr, _: SocketAddr) -> bool {
    false
}

#[cfg(target_os = "linux")]
use sock_diag::is_nobodys;

#[cfg(target_os = "linux")]
mod sock_diag {
    use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
    use std::cell::RefCell;
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::OwnedFd;

    thread_local! {
        /// The socket that this thread asks the kernel by: to open one for each question takes longer than the
        /// question.
        static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    }

    /// True if there is a socket with these two ends, and no process holds it.
    pub(super) fn is_nobodys(source: SocketAddr, destination: SocketAddr) -> bool {
        KERNEL.with_borrow_mut(|kernel| {
            if kernel.is_none() {
                *kernel = Kernel::open();
            }
            let owner = kernel.as_mut().and_then(|kernel| kernel.look_up(source, destination));
            if owner.is_none() {
                // Whatever went wrong, the next question begins anew.
                *kernel = None;
            }
            owner == Some(Owner::Nobody)
        })
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Owner {
        Process,
        Nobody,
        /// No socket was found, which says nothing of the peer.
        Unknown,
    }

    struct Kernel {
        socket: OwnedFd,
        /// Numbers the questions: an answer bears the number of its question.
        sequence: u32,
    }

    impl Kernel {
        fn open() -> Option<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG)).ok()?;
            Some(Self { socket, sequence: 0 })
        }

        fn look_up(&mut self, source: SocketAddr, destination: SocketAddr) -> Option<Owner> {
            self.sequence = self.sequence.wrapping_add(1);
            let request = encode(source, destination, self.sequence);
            sendto(
                &self.socket,
                &request,
                SendFlags::empty(),
                &SocketAddrNetlink::new(0, 0),
            )
            .ok()?;
            // The kernel answers while it takes the request, so there is nothing to wait for.
            let mut reply = [0; 512];
            let (length, _) = recv(&self.socket, &mut reply[..], RecvFlags::empty()).ok()?;
            decode(reply.get(..length)?, self.sequence)
        }
    }

    /// `nlmsghdr` and `inet_diag_req_v2`, linux/netlink.h and linux/inet_diag.h: one TCP socket by its two ends.
    fn encode(source: SocketAddr, destination: SocketAddr, sequence: u32) -> Vec<u8> {
        const SOCK_DIAG_BY_FAMILY: u16 = 20;
        const NLM_F_REQUEST: u16 = 1;
        const IPPROTO_TCP: u8 = 6;
        const LENGTH: u32 = 72;
        let family = match source.ip() {
            IpAddr::V4(_) => 2,
            IpAddr::V6(_) => 10,
        };
        let mut bytes = Vec::with_capacity(LENGTH as usize);
        bytes.extend(LENGTH.to_ne_bytes());
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend(NLM_F_REQUEST.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend([family, IPPROTO_TCP, 0, 0]);
        bytes.extend(u32::MAX.to_ne_bytes());
        bytes.extend(source.port().to_be_bytes());
        bytes.extend(destination.port().to_be_bytes());
        bytes.extend(padded(source.ip()));
        bytes.extend(padded(destination.ip()));
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend([0xff; 8]);
        bytes
    }

    fn padded(address: IpAddr) -> [u8; 16] {
        match address {
            IpAddr::V4(address) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&address.octets());
                bytes
            }
            IpAddr::V6(address) => address.octets(),
        }
    }

    /// Reads `inet_diag_msg`, or the error that says there is no such socket. Where no socket has both ends, the kernel
    /// gives one that listens at the first, which is another one.
    fn decode(reply: &[u8], sequence: u32) -> Option<Owner> {
        const NLMSG_ERROR: u16 = 2;
        const ENOENT: i32 = 2;
        const TCP_LISTEN: u8 = 10;
        if reply.get(8..12)? != sequence.to_ne_bytes() {
            return None;
        }
        let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
        if kind == NLMSG_ERROR {
            let error = i32::from_ne_bytes(reply.get(16..20)?.try_into().ok()?);
            return (error == -ENOENT).then_some(Owner::Unknown);
        }
        let (state, inode) = (*reply.get(17)?, u32::from_ne_bytes(reply.get(84..88)?.try_into().ok()?));
        Some(match (state, inode) {
            (TCP_LISTEN, _) => Owner::Unknown,
            (_, 0) => Owner::Nobody,
            _ => Owner::Process,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    #[test]
    fn a_half_closed_peer_is_there_and_a_closed_one_is_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        let (server, peer) = listener.accept().expect("a client connected");
        assert!(!is_gone(address, peer));
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert!(!is_gone(address, peer));
        drop(client);
        assert!(is_gone(address, peer));
        drop(server);
    }

    #[test]
    fn a_peer_that_bound_its_socket_to_a_device_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
        if client.bind_device(Some(b"lo")).is_err() {
            return eprintln!("skipped: not every system lets everybody bind a socket to a device");
        }
        client.connect(&address.into()).expect("it listens");
        let (_server, peer) = listener.accept().expect("a client connected");
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert!(!is_gone(address, peer));
    }

    #[test]
    fn a_listener_at_the_port_of_a_peer_says_nothing_of_the_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).expect("it listens");
        let (mut server, peer) = listener.accept().expect("a client connected");
        server.write_all(b"x").expect("it is connected");
        client.peek(&mut [0]).expect("a byte was sent");
        // Closed with a byte unread, a socket is reset and keeps nothing of its port.
        drop(client);
        let _other = TcpListener::bind(peer).expect("the port is free");
        assert!(!is_gone(address, peer));
        // The socket itself says that its peer is gone, as soon as it has heard it.
        while server.take_error().expect("a socket has options").is_none() {
            std::thread::yield_now();
        }
    }
}
