//! Addresses as people write them: `127.0.0.1:7919`, `[::1]:7919`, `localhost:7919`.

use std::net::{SocketAddr, ToSocketAddrs};

/// Reads an address and its port. Of a name that has several addresses the first of IPv4 is taken, because a daemon listens there
/// by default.
pub(super) fn read(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    if !matches!(port, Some((host, Ok(_))) if !host.is_empty() && !host.contains(':')) {
        return Err("write an address and a port, like 127.0.0.1:7919 or localhost:7919".into());
    }
    let found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(SocketAddr::is_ipv6);
    found.first().copied().ok_or_else(|| "that name has no address".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_good_as_an_address() {
        assert_eq!(read("localhost:7919"), Ok(([127, 0, 0, 1], 7919).into()));
        assert_eq!(read("[::1]:1"), Ok((std::net::Ipv6Addr::LOCALHOST, 1).into()));
    }

    #[test]
    fn half_an_address_is_told_what_is_missing() {
        for text in ["7919", ":7919", "localhost", "127.0.0.1", "127.0.0.1:x", "::1", ""] {
            let error = read(text).expect_err(text);
            assert!(error.contains("127.0.0.1:7919"), "{text}: {error}");
        }
    }
}
