//! Who may use the daemon that `serve` runs: TLS, users, and protected mode, in which a daemon that anybody may use
//! does not listen beyond this machine.

use super::address::{self, Address};
use crate::{Daemon, Tls, Users};
use anyhow::Context;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The flags of `serve` about it.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Security")]
pub(super) struct SecurityFlags {
    /// Address to listen on over TLS, beside those of --listen; may be repeated
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_TLS_LISTEN", value_parser = address::read, value_delimiter = ',')]
    tls_listen: Vec<Address>,
    /// The daemon's certificate and its chain, as PEM; read again at SIGHUP
    #[arg(long, value_name = "FILE", env = "PRIMED_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE", env = "PRIMED_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Authorities, as PEM: over TLS, only clients with a certificate of one of them are served
    #[arg(long, value_name = "FILE", env = "PRIMED_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// File of the users who may ask, as 'primed user' writes it; read again at SIGHUP
    #[arg(long, value_name = "FILE", env = "PRIMED_USERS")]
    users: Option<PathBuf>,
    /// Allow addresses beyond this machine without users: everybody who can connect may ask, list and cancel
    #[arg(long, value_name = "BOOL", env = "PRIMED_NO_AUTH", default_value = "false", num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    no_auth: bool,
}

/// What can be read again while the daemon runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    tls: Option<Tls>,
    users: Option<Users>,
}

impl SecurityFlags {
    /// Refuses addresses over TLS without a certificate and its key, and these files where no address speaks TLS,
    /// though somebody may rely on that: `is_https` says whether that of HTTP does. Clap cannot: what the configuration
    /// file sets are defaults, which it neither checks nor counts as given.
    ///
    /// # Errors
    /// Says what is missing.
    pub(super) fn check_tls(&self, is_https: bool) -> anyhow::Result<()> {
        let has_address = is_https || !self.tls_listen.is_empty();
        match self.tls_files().iter().find(|(_, file)| file.is_some()) {
            Some((flag, _)) if !has_address => anyhow::bail!(
                "{flag} has no effect, for no address speaks TLS: name one with --tls-listen ADDR:PORT, or add --http-tls to --http"
            ),
            _ => {}
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), Some(_)) => Ok(()),
            _ if !has_address => Ok(()),
            (Some(_), None) => anyhow::bail!("--tls-cert needs the private key of the certificate: --tls-key FILE"),
            (None, Some(_)) => anyhow::bail!("--tls-key needs the certificate of the key: --tls-cert FILE"),
            (None, None) => {
                let flag = if self.tls_listen.is_empty() {
                    "--http-tls"
                } else {
                    "--tls-listen"
                };
                anyhow::bail!("{flag} needs a certificate: --tls-cert and --tls-key")
            }
        }
    }

    /// The files that only addresses over TLS use, with their flags.
    fn tls_files(&self) -> [(&'static str, Option<&Path>); 3] {
        [
            ("--tls-cert", self.tls_cert.as_deref()),
            ("--tls-key", self.tls_key.as_deref()),
            ("--tls-ca", self.tls_ca.as_deref()),
        ]
    }

    /// How many addresses there are over TLS.
    pub(super) const fn listeners(&self) -> usize {
        self.tls_listen.len()
    }

    /// The addresses over TLS.
    pub(super) fn encrypted(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.tls_listen.iter().map(Address::resolve).collect()
    }

    /// The daemon with these addresses, and these over TLS, and its users.
    ///
    /// # Errors
    /// If a file cannot be used, or an address is open to everybody and that is not meant.
    pub(super) fn apply(
        &self,
        daemon: Daemon,
        plain: &[SocketAddr],
        encrypted: &[SocketAddr],
    ) -> anyhow::Result<(Daemon, Security)> {
        check_files(self.tls_files())?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::open(certificate, key, self.tls_ca.clone())?),
            _ => None,
        };
        let users = self.users.as_ref().map(Users::open).transpose()?;
        let is_meant = self.no_auth || users.is_some();
        check(plain, is_meant, "")?;
        check(encrypted, is_meant || self.tls_ca.is_some(), BY_CERTIFICATE)?;
        let mut daemon = plain.iter().copied().fold(daemon, Daemon::listen);
        for address in encrypted {
            if let Some(tls) = &tls {
                daemon = daemon.listen_tls(*address, tls.clone());
            }
        }
        if let Some(users) = &users {
            warn_of_nobody(users);
            daemon = daemon.users(users.clone());
        }
        for address in plain {
            self.warn(address, "--tls-listen has one that is");
        }
        Ok((daemon, Security { tls, users }))
    }

    /// Whether HTTP may listen there.
    ///
    /// # Errors
    /// If it is open to everybody, and that is not meant.
    pub(super) fn check_http(&self, address: SocketAddr, is_encrypted: bool) -> anyhow::Result<()> {
        let is_certified = is_encrypted && self.tls_ca.is_some();
        let is_meant = self.no_auth || self.users.is_some() || is_certified;
        check(&[address], is_meant, if is_encrypted { BY_CERTIFICATE } else { "" })?;
        if !is_encrypted {
            self.warn(&address, "--http-tls encrypts them");
        }
        Ok(())
    }

    /// Warns of a plain address that other machines may reach, and says how it would be encrypted.
    fn warn(&self, address: &SocketAddr, remedy: &str) {
        match (is_local(address), &self.users) {
            (true, _) => {}
            (false, Some(_)) => {
                tracing::warn!(%address, "passwords and answers pass this address unencrypted: {remedy}")
            }
            (false, None) => {
                tracing::warn!(%address, "other machines may be able to connect: everybody who can may ask, list and cancel, and nothing is encrypted");
            }
        }
    }
}

impl Security {
    /// The daemon's certificate.
    pub(super) const fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether clients have to log in.
    pub(super) const fn has_users(&self) -> bool {
        self.users.is_some()
    }

    /// Reads certificates and users again; what is wrong is logged, and stays as it was.
    pub(super) fn reload(&self) {
        if let Some(tls) = &self.tls {
            match tls.reload() {
                Ok(()) => tracing::info!("SIGHUP: the certificates were read again"),
                Err(error) => tracing::error!(%error, "SIGHUP: the certificates stay as they were"),
            }
        }
        if let Some(users) = &self.users {
            match users.reload() {
                Ok(()) => {
                    tracing::info!(users = users.count(), "SIGHUP: the users were read again");
                    warn_of_nobody(users);
                }
                Err(error) => tracing::error!(%error, "SIGHUP: the users stay as they were"),
            }
        }
    }
}

/// Checks that the files of these flags are there, for errors of TLS name the file and not its flag. They are not
/// opened: a named pipe can be read once.
///
/// # Errors
/// Says what is there instead.
pub(super) fn check_files(files: [(&str, Option<&Path>); 3]) -> anyhow::Result<()> {
    let named = files.into_iter().filter_map(|(flag, file)| Some((flag, file?)));
    for (flag, file) in named {
        let what = format!("cannot read the file of {flag}, {}", file.display());
        let is_directory = fs::metadata(file).with_context(|| what.clone())?.is_dir();
        anyhow::ensure!(!is_directory, "{what}: it is a directory");
    }
    Ok(())
}

/// Says that nobody can ask anything. It is no mistake: the last user may have been removed on purpose.
fn warn_of_nobody(users: &Users) {
    if users.count() == 0 {
        tracing::warn!(
            "the file of users has none, so nobody can log in: add one by 'primed user add', and send SIGHUP"
        );
    }
}

/// The way to name who may connect that addresses over TLS have beside users.
const BY_CERTIFICATE: &str = "serve only clients with a certificate by --tls-ca FILE, ";

/// Refuses an address that other machines may reach, unless `is_meant`. `or` is what it may be given beside users.
fn check(addresses: &[SocketAddr], is_meant: bool, or: &str) -> anyhow::Result<()> {
    match addresses.iter().find(|address| !is_local(address)) {
        Some(address) if !is_meant => anyhow::bail!(
            "{address} may be reached by other machines, and everybody who reaches it could ask, list and cancel: \
             listen on 127.0.0.1, name users with --users FILE, {or}or say that this is meant with --no-auth"
        ),
        _ => Ok(()),
    }
}

/// Whether only this machine can reach it.
fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_listened_on_without_a_word() {
        let check = |text: &str, is_meant| check(&[text.parse().expect("an address")], is_meant, "");
        for local in ["127.0.0.1:7919", "127.3.2.1:1", "[::1]:7919", "[::ffff:127.0.0.1]:1"] {
            assert!(check(local, false).is_ok(), "{local}");
        }
        for open in ["0.0.0.0:7919", "[::]:7919", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            let refused = check(open, false).expect_err(open).to_string();
            assert!(refused.contains(open) && refused.contains("--no-auth"), "{refused}");
            assert!(check(open, true).is_ok(), "{open}");
        }
        let open = super::check(&[([0, 0, 0, 0], 1).into()], false, BY_CERTIFICATE).expect_err("it is open");
        assert!(open.to_string().contains("--tls-ca FILE, or say"), "{open}");
    }
}
