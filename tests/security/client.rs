//! The Rust client of a daemon with users, over TLS.

use crate::daemon::{Daemon, Directory, add_user, certificate};
use primed::{Code, Connector};
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn daemon() -> Daemon {
    let directory = Directory::new();
    directory.install("server.pem", "cert");
    directory.install("server.key", "key");
    add_user(&directory, "ann", "ann-pw", &["--role", "ask"]);
    let (cert, key, users) = (directory.path("cert"), directory.path("key"), directory.path("users"));
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    Daemon::start(directory, &[&tls[..], &["--users", &users]].concat())
}

/// Connections over TLS to the second address of the daemon.
fn connector(daemon: &Daemon) -> Connector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(certificate("ca.pem")).expect("it is there");
    roots.add(ca).expect("it is an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("there are some");
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let (tls, address) = (TlsConnector::from(Arc::new(config)), daemon.addresses[1]);
    Connector::new(move || {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            tls.connect(ServerName::try_from("localhost").expect("a name"), stream)
                .await
        }
    })
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(test);
}

#[test]
fn it_asks_as_a_user_and_its_rows_are_encrypted_too() {
    let daemon = daemon();
    run(async {
        let connector = connector(&daemon).user("ann", "ann-pw").expect("they are words");
        let client = connector.connect().await.expect("it is let in");
        assert_eq!(client.nth(5).await.expect("an answer"), 11);
        let submit = client.submit("pi 100").await;
        assert_eq!(submit.err().and_then(|error| error.code()), Some(Code::Denied));
        let mut rows = client.rows("primes 0 30").await.expect("rows");
        let row = rows.next().await.expect("rows go on");
        assert_eq!(row.as_deref(), Some("2 3 5 7 11 13 17 19 23 29"));
        assert_eq!(rows.next().await.expect("they end"), None);
        assert_eq!(rows.value(), Some("10"));
    });
}

#[test]
fn without_a_user_or_with_a_wrong_password_it_is_refused() {
    let daemon = daemon();
    run(async {
        let client = connector(&daemon).connect().await.expect("it connects");
        let refused = client.nth(5).await;
        assert_eq!(
            refused.err().and_then(|error| error.code()),
            Some(Code::Unauthenticated)
        );
        let wrong = connector(&daemon).user("ann", "wrong").expect("they are words");
        let refused = wrong.connect().await;
        assert_eq!(
            refused.err().and_then(|error| error.code()),
            Some(Code::Unauthenticated)
        );
    });
}
