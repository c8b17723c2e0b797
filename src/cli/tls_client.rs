//! TLS for the commands that ask a daemon: they read and write a socket, and a thread encrypts what passes.

use super::address::Endpoint;
use super::connect::{PATIENCE, Reason};
use super::security::check_files;
use crate::server::{is_of_old_version, read_authorities, read_certificates, read_key, unusable};
use anyhow::Context;
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig};

/// Where Debian and others keep the certificates of the public authorities.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long to wait for the reason of a daemon that has closed the connection.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What to look at if there is no answer in TLS.
const NO_TLS: &str = "is it an address of --tls-listen? Those of --listen are for clients without --tls";

/// Whether and how a connection is encrypted.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TlsFlags {
    /// Connect over TLS
    #[arg(long)]
    tls: bool,
    /// Authorities that may have signed the daemon's certificate, as PEM; only with --tls
    #[arg(long, value_name = "FILE", env = "PRIMED_CLIENT_TLS_CA", default_value = SYSTEM)]
    tls_ca: PathBuf,
    /// A certificate to show to the daemon, as PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls", "tls_cert"])]
    tls_key: Option<PathBuf>,
}

/// Refuses `--tls` with a unix socket, and authorities that were given without `--tls`: a user who names either expects
/// that nothing passes unencrypted, the password least of all. The variable of the authorities may stay set.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let Ok(Some(&is_on)) = matches.try_get_one::<bool>("tls") else {
        return Ok(());
    };
    let to = matches.try_get_one::<Endpoint>("address");
    if is_on && matches!(to, Ok(Some(Endpoint::Unix(_)))) {
        let what = "a unix socket is not encrypted: leave --tls out, or connect to an address of --tls-listen";
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, what));
    }
    if !is_on && matches.value_source("tls_ca") == Some(ValueSource::CommandLine) {
        let what = "without --tls nothing is encrypted, and --tls-ca has no effect: add --tls";
        return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, what));
    }
    Ok(())
}

impl TlsFlags {
    pub(super) const fn is_on(&self) -> bool {
        self.tls
    }

    /// A socket whose bytes go over this one, encrypted, once the daemon has shown its certificate for `host`. Why the
    /// daemon then refuses the client is in `reason` before that socket is closed.
    ///
    /// # Errors
    /// If the certificate is not to be trusted, or the daemon does not speak TLS.
    pub(super) fn wrap(&self, stream: TcpStream, host: &str, reason: &Reason) -> anyhow::Result<TcpStream> {
        let config = Arc::new(self.config()?);
        let name = ServerName::try_from(host.to_owned()).with_context(|| {
            format!(
                "'{host}' is no name that a certificate can have: connect to the daemon by its host name or address"
            )
        })?;
        let (ours, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut plain, mut encrypted) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let handshake = TlsConnector::from(config).connect(name, stream);
            let handshake = tokio::time::timeout(PATIENCE, handshake).await;
            let encrypted = handshake.with_context(|| {
                let seconds = PATIENCE.as_secs();
                format!("the TLS handshake with {host} took longer than {seconds} s: {NO_TLS}")
            })?;
            let encrypted = encrypted.map_err(|error| match advice(&error, host) {
                Some(advice) => anyhow::Error::msg(advice),
                None => error.into(),
            });
            let encrypted = encrypted.with_context(|| format!("no TLS with the daemon at {host}"))?;
            anyhow::Ok((tokio::net::UnixStream::from_std(theirs)?, encrypted))
        })?;
        let (host, reason) = (host.to_owned(), reason.clone());
        std::thread::Builder::new().name("tls".into()).spawn(move || {
            // However it ends, the end of `ours` is closed, which is what its reader sees. A daemon that refuses the
            // certificate of its client says so after the handshake only.
            let ended = runtime.block_on(async {
                match copy_bidirectional(&mut plain, &mut encrypted).await {
                    // The question may have found the connection closed before the reason was read.
                    Err(error) if advice(&error, &host).is_none() => {
                        let mut nowhere = tokio::io::sink();
                        let rest = tokio::io::copy(&mut encrypted, &mut nowhere);
                        tokio::time::timeout(LAST_WORD, rest).await?.map(|_| ())
                    }
                    ended => ended.map(|_| ()),
                }
            });
            if let Err(Some(advice)) = ended.map_err(|error| advice(&error, &host)) {
                reason.set(advice);
            }
        })?;
        // Its readers and writers need a stream socket, of whatever kind.
        Ok(OwnedFd::from(ours).into())
    }

    fn config(&self) -> anyhow::Result<ClientConfig> {
        check_files([
            ("--tls-ca", Some(&self.tls_ca)),
            ("--tls-cert", self.tls_cert.as_deref()),
            ("--tls-key", self.tls_key.as_deref()),
        ])?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(read_authorities(&self.tls_ca)?);
        Ok(match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let config = builder.with_client_auth_cert(read_certificates(certificate)?, read_key(key)?);
                config.map_err(|error| unusable(error, certificate, key))?
            }
            _ => builder.with_no_client_auth(),
        })
    }
}

/// What is wrong between the two ends, and what to do about it; `None` where the error says it best.
fn advice(error: &io::Error, host: &str) -> Option<String> {
    use CertificateError as Bad;
    let text = match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::UnknownIssuer => {
                "its certificate is signed by no authority that is trusted here: name that authority with --tls-ca FILE".to_owned()
            }
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => format!(
                "its certificate is for other names: connect to one of these, or give the daemon a certificate for '{host}'"
            ),
            Bad::Expired | Bad::ExpiredContext { .. } => {
                "its certificate has expired: give the daemon a new one, or set the clock of this machine right".to_owned()
            }
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                "its certificate is not valid yet: set the clock of this machine right, or that of the one that made it".to_owned()
            }
            bad if is_of_old_version(bad) => {
                "its certificate is of version 1 of X.509, and TLS takes version 3: give the daemon one of that".to_owned()
            }
            // rustls has no variant for it.
            Bad::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is one of an authority (CA:TRUE), which may only sign others: give the daemon one with CA:FALSE".to_owned()
            }
            _ => return None,
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("the daemon at {host} serves only clients with a certificate: --tls-cert FILE and --tls-key FILE")
        }
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            format!("the daemon at {host} does not trust the authority of this client's certificate: --tls-cert takes one of its --tls-ca")
        }
        rustls::Error::InvalidMessage(_) => format!("what answers there does not speak TLS: {NO_TLS}"),
        _ => return None,
    };
    Some(text)
}
