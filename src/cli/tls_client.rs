//! TLS for the commands that ask a daemon: they read and write a socket, and a thread encrypts what passes.

use super::connect::PATIENCE;
use crate::server::{read_authorities, read_certificates, read_key};
use anyhow::Context;
use clap::ArgMatches;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

/// Where Debian and others keep the certificates of the public authorities.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";

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
    /// Its key, as PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls", "tls_cert"])]
    tls_key: Option<PathBuf>,
}

/// Refuses authorities that were given without `--tls`: who names them expects that nothing passes unencrypted, the password least of all. The variable
/// may stay set.
pub(super) fn check(matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_plain = matches!(matches.try_get_one::<bool>("tls"), Ok(Some(false)));
    if is_plain && matches.value_source("tls_ca") == Some(ValueSource::CommandLine) {
        let what = "without --tls nothing is encrypted, and --tls-ca has no use: add --tls";
        return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, what));
    }
    Ok(())
}

impl TlsFlags {
    pub(super) const fn is_on(&self) -> bool {
        self.tls
    }

    /// A socket whose bytes go over this one, encrypted, once the daemon has shown its certificate for `host`.
    ///
    /// # Errors
    /// If the certificate is not to be trusted, or the daemon does not speak TLS.
    pub(super) fn wrap(&self, stream: TcpStream, host: &str) -> anyhow::Result<TcpStream> {
        let config = Arc::new(self.config()?);
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("'{host}' is no name for TLS"))?;
        let (ours, theirs) = UnixStream::pair()?;
        stream.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut plain, mut encrypted) = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let handshake = TlsConnector::from(config).connect(name, stream);
            let handshake = tokio::time::timeout(PATIENCE, handshake).await;
            let encrypted = handshake.context("the TLS handshake took too long")?;
            let encrypted = encrypted.with_context(|| format!("no TLS with the daemon at {host}"))?;
            anyhow::Ok((tokio::net::UnixStream::from_std(theirs)?, encrypted))
        })?;
        std::thread::Builder::new().name("tls".into()).spawn(move || {
            // However it ends, the end of `ours` is closed, which is what its reader sees.
            let _ = runtime.block_on(copy_bidirectional(&mut plain, &mut encrypted));
        })?;
        // Its readers and writers need a stream socket, of whatever kind.
        Ok(OwnedFd::from(ours).into())
    }

    fn config(&self) -> anyhow::Result<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(read_authorities(&self.tls_ca)?);
        Ok(match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                builder.with_client_auth_cert(read_certificates(certificate)?, read_key(key)?)?
            }
            _ => builder.with_no_client_auth(),
        })
    }
}
