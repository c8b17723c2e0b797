//! Users over HTTP: who is let in, and what each may see and do; and HTTP over TLS.

use crate::daemon::{Daemon, Directory, certificate, run, text};
use crate::support::{Client, PATIENCE};
use crate::users::with_users;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

const NOBODY: &str = "";
/// `NAME:NAME-pw` as `Authorization: Basic` has it, by Python's base64.
const ANN: &str = "YW5uOmFubi1wdw==";
const SAM: &str = "c2FtOnNhbS1wdw==";
const SUE: &str = "c3VlOnN1ZS1wdw==";
const OLI: &str = "b2xpOm9saS1wdw==";
/// `ann:wrong`.
const WRONG: &str = "YW5uOndyb25n";

fn daemon() -> Daemon {
    with_users(&["--http", "127.0.0.1:0"])
}

/// A connection that stays open.
struct Http(TcpStream);

impl Http {
    fn connect(daemon: &Daemon) -> Self {
        let stream = TcpStream::connect(daemon.http.expect("it has an address for HTTP")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        Self(stream)
    }

    /// The status, the head and the body of the reply.
    fn ask(&mut self, user: &str, method: &str, path: &str, body: &str) -> (u16, String, String) {
        let authorization = match user {
            NOBODY => String::new(),
            user => format!("Authorization: Basic {user}\r\n"),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).expect("the daemon reads");
        let mut reply = Vec::new();
        let end = loop {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("the daemon answers in time");
            reply.push(byte[0]);
            if reply.ends_with(b"\r\n\r\n") {
                break reply.len();
            }
        };
        let head = text(&reply[..end]);
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse::<usize>().ok())
        };
        let mut body = vec![0; field("content-length:").unwrap_or_default()];
        self.0.read_exact(&mut body).expect("the body comes");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), head, text(&body))
    }

    fn status(&mut self, user: &str, method: &str, path: &str, body: &str) -> u16 {
        self.ask(user, method, path, body).0
    }
}

#[test]
fn nothing_is_shown_without_a_password_but_whether_it_lives() {
    let daemon = daemon();
    let mut http = Http::connect(&daemon);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(http.status(NOBODY, "GET", path, ""), 200, "{path}");
    }
    for path in ["/", "/metrics", "/v1/info", "/v1/jobs", "/openapi.json", "/nothing"] {
        let (status, head, body) = http.ask(NOBODY, "GET", path, "");
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("www-authenticate: Basic realm=\"primed\""), "{head}");
        assert!(body.contains("say who you are"), "{body}");
        assert_eq!(http.status(ANN, "GET", path, "") == 200, path != "/nothing", "{path}");
    }
    let (status, head, _) = http.ask(NOBODY, "POST", "/v1/ask", r#"{"request":"nth 5"}"#);
    assert_eq!(status, 401);
    // Nothing of it is read but its head.
    assert!(head.contains("connection: close"), "{head}");
    let mut http = Http::connect(&daemon);
    for odd in ["Bearer x", "====", "YW5u"] {
        assert_eq!(http.status(odd, "GET", "/v1/info", ""), 401, "{odd}");
    }
}

#[test]
fn a_user_may_do_what_his_role_allows_and_sees_his_own_jobs() {
    let daemon = daemon();
    // One connection, as of a proxy that passes on the requests of all.
    let mut http = Http::connect(&daemon);
    let (status, _, body) = http.ask(ANN, "POST", "/v1/ask", r#"{"request":"nth 5"}"#);
    assert_eq!((status, body.trim_end()), (200, r#"{"value":"11"}"#));
    let submit = r#"{"request":"pi 1e19"}"#;
    let (status, _, body) = http.ask(ANN, "POST", "/v1/jobs", submit);
    assert!(
        status == 403 && body.contains("this needs the role submit; ann has the role ask"),
        "{body}"
    );
    assert_eq!(http.status(ANN, "POST", "/v1/ask", r#"{"request":"clients"}"#), 403);
    let (status, _, body) = http.ask(SAM, "POST", "/v1/jobs", submit);
    assert_eq!((status, body.trim_end()), (201, r#"{"job":"1"}"#));
    assert!(http.ask(SUE, "GET", "/v1/jobs", "").2.contains(r#""jobs":[]"#));
    for (user, status) in [(SUE, 404), (SAM, 200), (OLI, 200)] {
        assert_eq!(http.status(user, "GET", "/v1/jobs/1", ""), status, "{user}");
    }
    assert!(http.ask(SAM, "GET", "/v1/jobs/1", "").2.contains(r#""owner":"sam""#));
    assert_eq!(http.status(SUE, "DELETE", "/v1/jobs/1", ""), 404);
    assert_eq!(http.status(SAM, "DELETE", "/v1/jobs/1", ""), 200);
    // It is the same user as on the other addresses.
    assert!(
        daemon
            .client_of("sam", "sam-pw")
            .ask("result 1")
            .starts_with("ERR cancelled")
    );
}

#[test]
fn what_a_connection_does_and_costs_is_shown_for_each_user_of_it() {
    let daemon = daemon();
    let mut http = Http::connect(&daemon);
    assert_eq!(http.status(ANN, "POST", "/v1/ask", r#"{"request":"pi 2^24+1"}"#), 200);
    let (status, _, body) = http.ask(SAM, "POST", "/v1/ask", r#"{"request":"pi 1e15"}"#);
    assert_eq!((status, body.trim_end()), (200, r#"{"value":"29844570422669"}"#));
    let mut oli = daemon.client_of("oli", "oli-pw");
    oli.send("clients\n");
    let rows: Vec<String> = std::iter::from_fn(|| oli.line().filter(|line| line != "OK")).collect();
    let row = rows
        .iter()
        .find(|row| row.contains(" user=sam "))
        .expect("it is connected");
    assert!(row.contains(" in_flight=0 requests=2 "), "{row}");
    assert!(!row.contains(" cpu_s=0.0 ") && !row.contains(" bytes_in=0 "), "{row}");
}

#[test]
fn the_log_has_a_question_under_the_number_of_its_connection() {
    let daemon = daemon();
    let mut http = Http::connect(&daemon);
    let address = http.0.local_addr().expect("it is connected");
    for (user, request) in [(ANN, "pi 1e10"), (SAM, "pi 2e10"), (ANN, "pi 3e10")] {
        let body = format!("{{\"request\":\"{request}\"}}");
        assert_eq!(http.status(user, "POST", "/v1/ask", &body), 200);
    }
    let log = daemon.directory.read("log");
    let client_of = |words: &str| {
        let line = log.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("no '{words}' in {log}"));
        let client = line.split(" client=").nth(1).and_then(|rest| rest.split(' ').next());
        client.unwrap_or_else(|| panic!("no client in {line}")).to_owned()
    };
    let connection = client_of(&format!("connected client=1 peer=\"{address}\""));
    assert_eq!(client_of("title=\"pi 10000000000\""), connection);
    // Further users of the connection, as of a proxy, have numbers of their own.
    let mut numbers = vec![connection.clone()];
    for (user, title) in [("sam", "pi 20000000000"), ("ann", "pi 30000000000")] {
        let client = client_of(&format!("title=\"{title}\""));
        let login = format!("authenticated client={client} connection={connection} user=\"{user}\"");
        assert!(log.contains(&login), "{login}: {log}");
        numbers.push(client);
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
}

#[test]
fn a_wrong_password_is_refused_late_and_a_user_who_is_gone_at_once() {
    let daemon = daemon();
    let mut http = Http::connect(&daemon);
    assert_eq!(http.status(ANN, "GET", "/v1/info", ""), 200);
    let begun = Instant::now();
    let (status, head, body) = http.ask(WRONG, "GET", "/v1/info", "");
    assert_eq!(status, 401, "{body}");
    assert!(head.contains("www-authenticate"), "{head}");
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
    assert_eq!(http.status(SUE, "GET", "/v1/info", ""), 200, "the connection goes on");
    let others = daemon.directory.read("users");
    let others: Vec<&str> = others.lines().filter(|line| !line.starts_with("sue ")).collect();
    daemon.directory.write("users", &others.join("\n"));
    daemon.hang_up("the users were read again");
    assert_eq!(http.status(SUE, "GET", "/v1/info", ""), 401);
    let log = daemon.directory.read("log");
    assert!(!log.contains("sue-pw") && !log.contains(SUE), "no password is logged");
}

#[test]
fn it_is_spoken_over_tls() {
    let directory = Directory::new();
    directory.install("server.pem", "cert");
    directory.install("server.key", "key");
    let (cert, key) = (directory.path("cert"), directory.path("key"));
    let flags = [
        "--http",
        "127.0.0.1:0",
        "--http-tls",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let daemon = Daemon::start(directory, &flags);
    let address = daemon.http.expect("it has an address for HTTP").to_string();
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address, "-CAfile", &certificate("ca.pem")]);
    openssl.args(["-verify_return_error", "-quiet"]);
    let output = run(
        &mut openssl,
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(text(&output.stdout).ends_with("ok\n"), "{}", text(&output.stderr));
}

#[test]
fn wrong_passwords_are_counted_wherever_they_come_from() {
    let daemon = daemon();
    let mut guess = Client::connect_from(9, daemon.addresses[0]);
    assert!(guess.ask("auth ann guess").starts_with("ERR unauthenticated"));
    let mut http = Http::connect(&daemon);
    assert_eq!(http.status(WRONG, "GET", "/v1/jobs", ""), 401);
    let mut oli = Client::connect_from(8, daemon.addresses[0]);
    assert_eq!(oli.ask("auth oli oli-pw"), "OK");
    oli.send("info\n");
    let rows: Vec<String> = std::iter::from_fn(|| oli.line().filter(|line| line != "OK")).collect();
    assert!(rows.contains(&"= wrong_passwords=2".to_owned()), "{rows:?}");
    let (status, _, metrics) = Http::connect(&daemon).ask(OLI, "GET", "/metrics", "");
    assert_eq!(status, 200);
    assert!(metrics.contains("\nprimed_wrong_passwords_total 2\n"), "{metrics}");
}

#[test]
fn an_operator_monitors_what_users_ask_over_http() {
    let daemon = daemon();
    let mut oli = daemon.client_of("oli", "oli-pw");
    oli.send("@m monitor\n");
    assert_eq!(oli.line().as_deref(), Some("@m = OK"));
    let mut http = Http::connect(&daemon);
    let ask = |request: &str| format!("{{\"request\": \"{request}\"}}");
    assert_eq!(http.status(ANN, "POST", "/v1/ask", &ask("nth 5")), 200);
    assert_eq!(http.status(ANN, "POST", "/v1/ask", &ask("monitor")), 403);
    assert_eq!(http.status(ANN, "POST", "/v1/ask", &ask("config get")), 403);
    for request in ["nth 5", "monitor", "config get"] {
        let row = oli.line().expect("a row");
        assert!(row.ends_with(&format!(" user=ann request={request}")), "{row}");
        assert!(row.contains(" address=127.0.0.1:"), "{row}");
    }
}
