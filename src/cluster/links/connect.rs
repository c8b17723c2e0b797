//! Connecting to NATS: with which certificates and which login, why it fails, and what to do about that. Knows nothing
//! of what is kept there.

use super::LIMIT;
use crate::cluster::servers::{Login, Servers};
use crate::cluster::{ClusterError, ClusterSettings};
use async_nats::rustls::RootCertStore;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::{Client, ConnectOptions, Event};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The oldest server with what is needed here.
const LEAST_VERSION: (i64, i64, i64) = (2, 10, 0);

/// Connects, and goes on connecting for as long as the process lives. `events` is called at each change.
pub(in crate::cluster) async fn connect(
    settings: &ClusterSettings,
    events: impl Fn(Event) + Send + Sync + 'static,
    failing: Arc<watch::Sender<String>>,
) -> Result<Client, ClusterError> {
    let mut options = ConnectOptions::new()
        .name(format!("primed {}", settings.name))
        .retry_on_initial_connect()
        .connection_timeout(LIMIT)
        .request_timeout(Some(LIMIT))
        .ping_interval(Duration::from_secs(3))
        .reconnect_delay_callback(|attempts| Duration::from_millis(100) * u32::try_from(attempts.min(20)).unwrap_or(20))
        // It is asked before each attempt, and selects no server: it sees why the last one failed.
        .reconnect_to_server_callback(move |servers, _| {
            if let Some(reason) = servers.into_iter().find_map(|server| server.last_error) {
                note_failure(&failing, reason);
            }
            std::future::ready(None)
        })
        .event_callback(move |event| {
            events(event);
            std::future::ready(())
        });
    if let Some(file) = &settings.credentials {
        let read = options.credentials_file(file).await;
        options = read.map_err(|error| ClusterError::Credentials(file.clone(), error))?;
    }
    if let Some(file) = &settings.ca {
        check_certificates(file).map_err(|what| ClusterError::Certificates(file.clone(), what))?;
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    // Not in the addresses, which the client logs.
    let Servers { addresses, login } = Servers::read(&settings.url).map_err(ClusterError::Servers)?;
    options = match login {
        Some(Login::User(user, password)) => options.user_and_password(user, password),
        Some(Login::Token(token)) => options.token(token),
        None => options,
    };
    let connected = options.connect(addresses).await;
    connected.map_err(|error| ClusterError::Connect(settings.servers(), error.to_string()))
}

/// Checks that a file has certificates: the client reads it at each connection, and says neither which it was nor that
/// it has none.
///
/// # Errors
/// Why it cannot be used.
fn check_certificates(file: &Path) -> Result<(), String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate in PEM".to_owned()),
        false => Ok(()),
    }
}

/// What to do about NATS that cannot be reached for this reason, which is the client's.
pub(in crate::cluster) fn remedy(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["authorization", "authentication", "nonce"]) {
        "check the user, password or token in --cluster, or --cluster-credentials"
    } else if has(&["TLS", "certificate", "corrupt message", "fatal alert"]) {
        "check --cluster-ca, the names in the certificate of NATS, and whether it speaks TLS"
    } else {
        "check --cluster, and that NATS runs and this machine can reach it"
    }
}

/// Why no connection is made, where the client does not say: it reports no name that cannot be resolved.
pub(in crate::cluster) async fn unresolved(settings: &ClusterSettings) -> Option<String> {
    for server in Servers::read(&settings.url).ok()?.addresses {
        let resolved = tokio::time::timeout(LIMIT, server.socket_addrs()).await;
        let what = match resolved {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no reply".to_owned(),
        };
        return Some(format!("the name {} is not resolved: {what}", server.host()));
    }
    None
}

/// Notes why NATS cannot be reached, and says so once for each time that it is gone.
fn note_failure(failing: &watch::Sender<String>, reason: String) {
    failing.send_if_modified(|last| {
        let is_new = *last != reason;
        if is_new {
            tracing::warn!(reason, remedy = remedy(&reason), "NATS cannot be reached; trying again");
            *last = reason;
        }
        is_new
    });
}

/// Whether this server has what is needed.
///
/// # Errors
/// What it is, and what is needed.
pub(super) fn check_version(version: &str) -> Result<(), ClusterError> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0_i64));
    let mut next = || numbers.next().unwrap_or(0);
    let version_numbers = (next(), next(), next());
    match version_numbers < LEAST_VERSION {
        true => Err(ClusterError::Version(version.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_before_it_is_used() {
        let file = std::env::temp_dir().join(format!("primed-ca-{}", std::process::id()));
        assert!(check_certificates(&file).is_err(), "there is none");
        for text in [
            "",
            "garbage",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&file, text).expect("a temporary file can be written");
            assert!(check_certificates(&file).is_err(), "{text}");
        }
        fs::remove_file(file).expect("it is there");
    }

    #[test]
    fn each_reason_has_its_remedy() {
        for (reason, word) in [
            ("authorization violation: nats: authorization violation", "password"),
            ("IO error: invalid peer certificate: UnknownIssuer", "--cluster-ca"),
            ("TLS error", "--cluster-ca"),
            ("IO error: Connection refused (os error 111)", "NATS runs"),
        ] {
            assert!(remedy(reason).contains(word), "{reason}");
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_by_its_version() {
        for old in ["2.9.10", "1.4.1", "", "nonsense"] {
            assert!(check_version(old).is_err(), "{old}");
        }
        for new in ["2.10.0", "2.12.3-RC.1", "3.0.0"] {
            assert!(check_version(new).is_ok(), "{new}");
        }
    }
}
