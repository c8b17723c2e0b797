//! Protected mode: a daemon that anybody may use does not listen beyond this machine, unless that is meant.

use std::net::SocketAddr;

/// Refuses an address that other machines may reach, unless `is_meant`.
///
/// # Errors
/// Says which address it is, and what to do.
pub(super) fn check(addresses: &[SocketAddr], is_meant: bool) -> anyhow::Result<()> {
    match addresses.iter().find(|address| !is_local(address)) {
        Some(address) if !is_meant => anyhow::bail!(
            "{address} may be reached by other machines, and everybody who reaches it could ask, list and cancel: \
             listen on 127.0.0.1, or say that this is meant with --no-auth"
        ),
        _ => Ok(()),
    }
}

/// Whether only this machine can reach it.
pub(super) fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on_without_a_word() {
        let check = |text: &str, is_meant| check(&[text.parse().expect("an address")], is_meant);
        for local in ["127.0.0.1:7919", "127.3.2.1:1", "[::1]:7919", "[::ffff:127.0.0.1]:1"] {
            assert!(check(local, false).is_ok(), "{local}");
        }
        for open in ["0.0.0.0:7919", "[::]:7919", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let refused = check(open, false).expect_err(open).to_string();
            assert!(refused.contains(open) && refused.contains("--no-auth"), "{refused}");
            assert!(check(open, true).is_ok(), "{open}");
        }
    }
}
