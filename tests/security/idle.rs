//! What an idle connection over TLS, or over HTTP, costs. The long form: `PRIMED_FAULTS=long cargo test --release
//! --test security idle -- --nocapture`.

use crate::daemon::{Daemon, Directory, certificate};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

/// A client over TLS, which blocks.
struct Client(StreamOwned<ClientConnection, TcpStream>);

fn config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(certificate("ca.pem")).expect("it is there");
    roots.add(authority).expect("it is one");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has them");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Client {
    fn connect(daemon: &Daemon, config: &Arc<ClientConfig>) -> Self {
        let name = "localhost".try_into().expect("a name");
        let session = ClientConnection::new(config.clone(), name).expect("it is configured");
        let stream = TcpStream::connect(daemon.addresses[1]).expect("it listens");
        Self(StreamOwned::new(session, stream))
    }

    fn ask(&mut self, request: &str) -> String {
        self.0
            .write_all(format!("{request}\n").as_bytes())
            .expect("the daemon reads");
        let mut reply = [0; 100];
        let count = self.0.read(&mut reply).expect("the daemon answers");
        String::from_utf8_lossy(&reply[..count]).trim_end().to_owned()
    }
}

/// Kilobytes in memory.
fn resident(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("Linux says so")
}

/// How many connections are measured.
fn count() -> usize {
    let is_long = std::env::var("PRIMED_FAULTS").is_ok_and(|form| form == "long");
    if is_long { 10_000 } else { 300 }
}

#[test]
fn an_http_connection_that_has_sent_nothing_takes_at_most_8_kib() {
    let count = count();
    let daemon = Daemon::logging("warn", Directory::new(), &["--http", "127.0.0.1:0"]);
    let address = daemon.http.expect("it has an address for HTTP");
    let connect = || TcpStream::connect(address).expect("it listens");
    let answered = || {
        let mut stream = connect();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("the daemon reads");
        stream.read_to_string(&mut String::new()).expect("the daemon answers");
    };
    (0..20).for_each(|_| answered());
    let before = resident(&daemon);
    let idle: Vec<TcpStream> = (0..count).map(|_| connect()).collect();
    // Connections are accepted in turn.
    answered();
    let each = resident(&daemon).saturating_sub(before) as f64 / idle.len() as f64;
    println!("fault: {count} idle HTTP connections | wanted: 8 KiB each | reached: {each:.1} KiB");
    assert!(each <= 8.0, "{each}");
}

#[test]
fn an_idle_connection_takes_at_most_24_kib() {
    let count = count();
    let directory = Directory::new();
    let (cert, key) = (certificate("server.pem"), certificate("server.key"));
    let flags = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let daemon = Daemon::logging("warn", directory, &flags);
    let config = config();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&daemon, &config)).collect();
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.ask("nth 5"), "OK 11"));
    let before = resident(&daemon);
    for _ in 0..count {
        let mut client = Client::connect(&daemon, &config);
        assert_eq!(client.ask("nth 5"), "OK 11");
        clients.push(client);
    }
    let each = (resident(&daemon) - before) as f64 / count as f64;
    println!("fault: {count} idle TLS connections | wanted: 24 KiB each | reached: {each:.1} KiB");
    assert!(each <= 24.0, "{each}");
}
