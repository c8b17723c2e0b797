//! Addresses as people write them: `127.0.0.1:7919`, `[::1]:7919`, `localhost:7919`, `unix:/run/primed/primed.sock`.

use anyhow::Context;
use socket2::{Domain, Socket, Type};
use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// An address and its port, perhaps by name. A name is resolved when it is used, so that one that does not resolve is a
/// failure at run time and not a wrong argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address(String);

impl Address {
    /// Resolves a name. Of several addresses the first of IPv4 is taken, because a daemon listens there by default.
    pub(super) fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let cannot = || format!("cannot resolve '{self}'; check the name, or write an address like 127.0.0.1:7919");
        let mut found: Vec<SocketAddr> = self.0.to_socket_addrs().with_context(cannot)?.collect();
        found.sort_by_key(SocketAddr::is_ipv6);
        found.first().copied().with_context(cannot)
    }
}

impl Address {
    /// The name or address without its port, and without brackets.
    pub(super) fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or(self.0.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

/// Where a daemon listens: an address, or a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Tcp(Address),
    Unix(PathBuf),
}

/// What the path of a unix socket is written after.
pub(super) const UNIX: &str = "unix:";

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Reads an address and its port, or the path of a unix socket.
pub(super) fn read_endpoint(text: &str) -> Result<Endpoint, String> {
    match text.strip_prefix(UNIX) {
        Some("") => Err("write a path after unix:, like unix:/run/primed/primed.sock".into()),
        Some(path) => Ok(Endpoint::Unix(path.into())),
        None if text.starts_with('/') => Err(format!("write {UNIX}{text} for a unix socket")),
        None => read(text)
            .map(Endpoint::Tcp)
            .map_err(|what| format!("{what}, or {UNIX}PATH")),
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an address, or a name, and its port.
pub(super) fn read(text: &str) -> Result<Address, String> {
    let port = text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
    let is_named = matches!(port, Some((host, Ok(_))) if !host.is_empty() && !host.contains(':'));
    if text.parse::<SocketAddr>().is_ok() || is_named {
        return Ok(Address(text.to_owned()));
    }
    Err("write an address and a port, like 127.0.0.1:7919 or localhost:7919".into())
}

/// Reads the name of a machine, as `Host` has it before its port: anything else would never match.
pub(super) fn read_name(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !part.is_empty() && part.bytes().all(is_known)
    };
    match text.strip_suffix('.').unwrap_or(text).split('.').all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("write a name alone, like primed.example: no scheme, no port, no path, no pattern".into()),
    }
}

/// Refuses an address that is named twice, by one flag or by two, or that another one includes: the daemon would wait
/// for itself to give it back. Each comes with its flag.
///
/// # Errors
/// Says which.
pub(super) fn check_repeated(named: &[(&str, String)]) -> anyhow::Result<()> {
    let is_apart = is_ipv6_apart();
    for (index, (flag, address)) in named.iter().enumerate() {
        let before = &named[..index];
        match before.iter().find(|(_, other)| other == address) {
            None => {}
            Some((other, _)) if other == flag => anyhow::bail!("{flag} names {address} twice: once is enough"),
            Some((other, _)) => anyhow::bail!("{other} and {flag} both name {address}: choose another for one of them"),
        }
        if let Some((other_flag, other)) = before.iter().find(|(_, other)| overlap(other, address, is_apart)) {
            anyhow::bail!(
                "{other_flag} names {other} and {flag} {address}, and the one includes the other: leave one out, or choose another port"
            );
        }
    }
    Ok(())
}

/// Whether one of these addresses, with the same port, has all connections to the other. `is_apart`: `[::]` is for IPv6
/// alone.
fn overlap(one: &str, other: &str, is_apart: bool) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) else {
        return false;
    };
    let includes = |wide: IpAddr, narrow: IpAddr| {
        let is_of_family = wide.is_ipv6() == narrow.is_ipv6() || (wide.is_ipv6() && !is_apart);
        wide == narrow || (wide.is_unspecified() && is_of_family)
    };
    let (is_same_port, one, other) = (
        one.port() == other.port(),
        one.ip().to_canonical(),
        other.ip().to_canonical(),
    );
    is_same_port && (includes(one, other) || includes(other, one))
}

/// Whether `[::]` is for IPv6 alone on this system. True also where that is not known.
fn is_ipv6_apart() -> bool {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None);
    socket.and_then(|socket| socket.only_v6()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_good_as_an_address() {
        let resolved = |text| read(text).map(|address| address.resolve().map_err(|error| error.to_string()));
        assert_eq!(resolved("localhost:7919"), Ok(Ok(([127, 0, 0, 1], 7919).into())));
        assert_eq!(resolved("[::1]:1"), Ok(Ok((std::net::Ipv6Addr::LOCALHOST, 1).into())));
    }

    #[test]
    fn a_unix_socket_is_an_endpoint_too() {
        let endpoint = read_endpoint("unix:/run/primed.sock").expect("a path");
        assert_eq!(endpoint, Endpoint::Unix("/run/primed.sock".into()));
        assert_eq!(endpoint.to_string(), "unix:/run/primed.sock");
        assert!(read_endpoint("unix:").is_err());
        assert_eq!(
            read_endpoint("localhost:7919").map(|endpoint| endpoint.to_string()),
            Ok("localhost:7919".into())
        );
    }

    #[test]
    fn an_address_that_is_named_twice_is_refused_with_its_flags() {
        let check = |named: &[(&str, &str)]| {
            let named = named.iter().map(|(flag, address)| (*flag, (*address).to_owned()));
            check_repeated(&named.collect::<Vec<_>>()).map_err(|error| error.to_string())
        };
        assert_eq!(check(&[("--listen", "127.0.0.1:1"), ("--http", "127.0.0.1:2")]), Ok(()));
        let twice = check(&[
            ("--listen", "unix:/a"),
            ("--listen", "unix:/b"),
            ("--listen", "unix:/a"),
        ]);
        assert_eq!(twice, Err("--listen names unix:/a twice: once is enough".to_owned()));
        let both = check(&[("--listen", "127.0.0.1:1"), ("--http", "127.0.0.1:1")]);
        assert!(both.is_err_and(|error| error.starts_with("--listen and --http both name 127.0.0.1:1")));
    }

    #[test]
    fn an_address_that_includes_another_is_refused_with_both() {
        let check = |one: &str, other: &str| {
            let named = [("--listen", one.to_owned()), ("--http", other.to_owned())];
            check_repeated(&named).map_err(|error| error.to_string())
        };
        for (one, other) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "0.0.0.0:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
            ("[::ffff:127.0.0.1]:1", "0.0.0.0:1"),
        ] {
            let error = check(one, other).expect_err(one);
            let both = format!("--listen names {one} and --http {other}, and the one includes the other: ");
            assert!(error.starts_with(&both), "{error}");
        }
        assert!(overlap("[::]:1", "0.0.0.0:1", false) && overlap("127.0.0.1:1", "[::]:1", false));
        assert!(!overlap("[::]:1", "0.0.0.0:1", true) && overlap("[::]:1", "[::1]:1", true));
        for (one, other) in [
            ("0.0.0.0:1", "127.0.0.1:2"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("0.0.0.0:1", "[::1]:1"),
            ("unix:/a", "0.0.0.0:1"),
        ] {
            assert_eq!(check(one, other), Ok(()), "{one} {other}");
        }
    }

    #[test]
    fn half_an_address_is_refused_with_an_example() {
        for text in ["7919", ":7919", "localhost", "127.0.0.1", "127.0.0.1:x", "::1", ""] {
            let error = read(text).expect_err(text);
            assert!(error.contains("127.0.0.1:7919"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_refused_where_no_host_could_match_it() {
        for name in ["primed.example", "primed", "PRIMED-1.example.", "192.0.2.7", "a_b"] {
            assert_eq!(read_name(name).as_deref(), Ok(name));
        }
        for text in [
            "primed.example:7920",
            "https://primed.example",
            "primed.example/",
            "*.example",
            "a b",
            "a..b",
            ".",
            "",
            "*",
            "pr\u{ed}med.example",
        ] {
            let error = read_name(text).expect_err(text);
            assert!(error.contains("like primed.example"), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_that_does_not_resolve_is_named() {
        // The top-level domain `invalid` never resolves (RFC 2606).
        let address = read("primed.invalid:7919").expect("it is well formed");
        let error = address.resolve().expect_err("it does not exist");
        assert!(
            error.to_string().starts_with("cannot resolve 'primed.invalid:7919'"),
            "{error}"
        );
    }
}
