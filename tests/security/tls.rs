//! TLS: which clients get through, and what those that do not cost.

use crate::daemon::{Daemon, Directory, certificate, primed, run, text};
use crate::support::{Client, PATIENCE};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

/// A daemon on a plain address and on one over TLS.
fn daemon(flags: &[&str]) -> Daemon {
    let directory = Directory::new();
    directory.install("server.pem", "cert");
    directory.install("server.key", "key");
    let (cert, key) = (directory.path("cert"), directory.path("key"));
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    Daemon::start(directory, &[&tls, flags].concat())
}

/// Asks over TLS: standard output and standard error.
fn ask(daemon: &Daemon, flags: &[&str], input: &str) -> (String, String) {
    let address = format!("localhost:{}", daemon.addresses[1].port());
    let ca = certificate("ca.pem");
    let arguments = [&["ask", "--connect", &address, "--tls", "--tls-ca", &ca], flags].concat();
    let output = primed(&arguments, input);
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn plain_and_encrypted_clients_are_served_side_by_side() {
    let daemon = daemon(&[]);
    assert_eq!(daemon.client().ask("nth 5"), "OK 11");
    assert_eq!(ask(&daemon, &["nth", "5"], ""), ("11\n".into(), String::new()));
    let (answers, errors) = ask(&daemon, &[], &"nth 5\n".repeat(20_000));
    assert_eq!((answers.lines().count(), errors.as_str()), (20_000, ""));
    assert!(answers.lines().all(|line| line == "11"));
    let (rows, _) = ask(&daemon, &["primes 0 3e6"], "");
    assert_eq!(
        (rows.split_whitespace().count(), rows.lines().last()),
        (216_817, Some("216816"))
    );
}

#[test]
fn sessions_on_other_threads_speak_it_too() {
    let daemon = daemon(&["--io-threads", "2"]);
    for _ in 0..4 {
        assert_eq!(ask(&daemon, &["nth", "5"], "").0, "11\n");
    }
}

#[test]
fn openssl_speaks_to_it() {
    let daemon = daemon(&[]);
    let address = daemon.addresses[1].to_string();
    let ca = certificate("ca.pem");
    let ask = |flags: &[&str], requests| {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address, "-CAfile", &ca, "-quiet"]);
        run(openssl.args(flags), requests)
    };
    let output = ask(&["-verify_return_error"], "nth 5\nquit\n");
    assert!(text(&output.stdout).contains("OK 11\n"), "{}", text(&output.stderr));
    for version in ["-tls1_2", "-tls1_3"] {
        let output = ask(&[version], "nth 6\nquit\n");
        assert!(text(&output.stdout).contains("OK 13\n"), "{version}");
    }
    assert!(!ask(&["-tls1_1"], "nth 6\nquit\n").status.success());
}

#[test]
#[ignore = "needs redis-cli"]
fn redis_cli_speaks_to_it() {
    let daemon = daemon(&[]);
    let port = daemon.addresses[1].port().to_string();
    let mut redis = Command::new("redis-cli");
    redis.args(["--tls", "--cacert", &certificate("ca.pem"), "-h", "127.0.0.1"]);
    let output = run(redis.args(["-p", &port, "nth", "5"]), "");
    assert_eq!(text(&output.stdout).trim(), "11", "{}", text(&output.stderr));
}

#[test]
fn only_clients_with_a_certificate_are_served_where_one_is_asked_for() {
    let ca = certificate("ca.pem");
    let daemon = daemon(&["--tls-ca", &ca]);
    let (answers, errors) = ask(&daemon, &["nth", "5"], "");
    let expected =
        "primed: the daemon at localhost serves only clients with a certificate: --tls-cert FILE and --tls-key FILE\n";
    assert_eq!((answers.as_str(), errors.as_str()), ("", expected));
    let (cert, key) = (certificate("client.pem"), certificate("client.key"));
    assert_eq!(
        ask(&daemon, &["--tls-cert", &cert, "--tls-key", &key, "nth", "5"], "").0,
        "11\n"
    );
}

#[test]
fn a_plain_client_of_an_address_over_tls_is_sent_to_its_flag() {
    let daemon = daemon(&[]);
    let address = daemon.addresses[1].to_string();
    for (flags, input) in [
        (&["nth", "5"][..], ""),
        (&[], "nth 5\nnth 6\n"),
        (&["--user", "ann"], "nth 5\n"),
    ] {
        let arguments = [&["ask", "--connect", &address], flags].concat();
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let output = run(command.args(arguments).env("PRIMED_PASSWORD", "ann-pw"), input);
        assert_eq!(
            text(&output.stderr),
            "primed: what answers there speaks TLS: add --tls\n",
            "{flags:?}"
        );
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_is_refused_by_the_command() {
    let daemon = daemon(&[]);
    let address = format!("localhost:{}", daemon.addresses[1].port());
    let other = certificate("client.pem");
    let output = primed(
        &["ask", "--connect", &address, "--tls", "--tls-ca", &other, "nth", "5"],
        "",
    );
    assert!(
        text(&output.stderr).starts_with(
            "primed: no TLS with the daemon at localhost: its certificate is signed by no authority that is trusted here: name that authority with --tls-ca"
        ),
        "{}",
        text(&output.stderr)
    );
    let plain = format!("localhost:{}", daemon.addresses[0].port());
    let ca = certificate("ca.pem");
    let output = primed(&["ask", "--connect", &plain, "--tls", "--tls-ca", &ca, "nth", "5"], "");
    assert!(
        text(&output.stderr)
            .starts_with("primed: no TLS with the daemon at localhost: what answers there does not speak TLS: "),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn the_command_says_what_is_wrong_with_a_certificate_and_what_to_do() {
    let directory = Directory::new();
    let (cert, key) = (directory.path("cert"), directory.path("key"));
    let made = |subject: &str, is_authority: &str| {
        let mut openssl = Command::new("openssl");
        let alternative = format!("subjectAltName=DNS:{subject}");
        let constraint = format!("basicConstraints=critical,CA:{is_authority}");
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "9",
            ])
            .args(["-subj", "/CN=x", "-addext", &alternative, "-addext", &constraint])
            .args(["-keyout", &key, "-out", &cert]);
        assert!(run(&mut openssl, "").status.success(), "a certificate can be made");
    };
    made("localhost", "TRUE");
    let tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let daemon = Daemon::start(Directory::new(), &tls);
    let address = format!("localhost:{}", daemon.addresses[1].port());
    let error = || {
        let ask = ["ask", "--connect", &address, "--tls", "--tls-ca", &cert, "nth", "5"];
        text(&primed(&ask, "").stderr)
    };
    assert!(error().contains("one of an authority (CA:TRUE)"), "{}", error());
    made("other.test", "FALSE");
    daemon.hang_up("the certificates were read again");
    assert!(error().contains("a certificate for 'localhost'"), "{}", error());
}

#[test]
fn authorities_without_tls_are_refused_before_anything_is_sent() {
    let daemon = daemon(&[]);
    let address = daemon.addresses[0].to_string();
    let ca = certificate("ca.pem");
    let flags = ["ask", "--connect", &address, "--user", "ann", "nth", "5"];
    let output = primed(&[&flags[..], &["--tls-ca", &ca]].concat(), "");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("nothing is encrypted") && said.contains("add --tls"),
        "{said}"
    );
    // The variable is for all commands, some of which may ask in plain.
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    let ask = command.args(["ask", "--connect", &address, "nth", "5"]);
    let output = run(ask.env("PRIMED_CLIENT_TLS_CA", &ca), "");
    assert_eq!(text(&output.stdout), "11\n");
}

#[test]
fn who_does_not_speak_it_is_closed_and_who_says_nothing_has_a_deadline() {
    let daemon = daemon(&["--stall-timeout", "400ms", "--max-connections", "3"]);
    let mut plain = Client::connect_to(daemon.addresses[1]);
    plain.send("nth 5\nnth 6\n");
    let mut rest = Vec::new();
    plain
        .stream()
        .set_read_timeout(Some(PATIENCE))
        .expect("a socket takes options");
    let _ = plain.stream().read_to_end(&mut rest);
    assert!(!text(&rest).contains("OK"), "{rest:?}");
    let begun = Instant::now();
    let silent: Vec<TcpStream> = (0..3)
        .map(|_| TcpStream::connect(daemon.addresses[1]).expect("it listens"))
        .collect();
    // They take the permits of the listener, and are given up together.
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(begun.elapsed().as_millis() >= 400, "{:?}", begun.elapsed());
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(ask(&daemon, &["nth", "5"], "").0, "11\n");
}

#[test]
fn certificates_are_read_again_and_bad_ones_change_nothing() {
    let daemon = daemon(&[]);
    let name = |name: &str| {
        let mut openssl = Command::new("openssl");
        let (address, ca) = (daemon.addresses[1].to_string(), certificate("ca.pem"));
        openssl.args([
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            &ca,
            "-verify_hostname",
            name,
            "-verify_return_error",
        ]);
        text(&run(&mut openssl, "quit\n").stdout).contains("Verification: OK")
    };
    assert!(name("server.primed.test"));
    daemon.directory.write("cert", "-----BEGIN NONSENSE-----\n");
    daemon.hang_up("the certificates stay as they were");
    assert!(name("server.primed.test"));
    daemon.directory.install("second.pem", "cert");
    daemon.hang_up("the certificates stay as they were");
    daemon.directory.install("second.key", "key");
    daemon.hang_up("the certificates were read again");
    assert!(name("second.primed.test") && !name("server.primed.test"));
}

#[test]
fn addresses_and_certificates_come_from_the_file_and_from_flags_alike() {
    let listen = "tls-listen = \"127.0.0.1:0\"\n";
    let files = format!(
        "tls-cert = {:?}\ntls-key = {:?}\n",
        certificate("server.pem"),
        certificate("server.key")
    );
    for (configuration, flags) in [
        (format!("{listen}{files}"), &[][..]),
        (files, &["--tls-listen", "127.0.0.1:0"]),
    ] {
        let directory = Directory::new();
        directory.write("primed.toml", &configuration);
        let file = directory.path("primed.toml");
        let daemon = Daemon::start(directory, &[&["--config", &file], flags].concat());
        assert_eq!(daemon.addresses.len(), 2, "{configuration}");
    }
    let directory = Directory::new();
    directory.write("primed.toml", listen);
    let output = primed(
        &["serve", "--data", "none", "--config", &directory.path("primed.toml")],
        "",
    );
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("--tls-listen needs a certificate: "), "{said}");
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let (cert, key) = (certificate("server.pem"), certificate("second.key"));
    let serve = |cert: &str, key: &str| {
        let flags = [
            "serve",
            "--data",
            "none",
            "--tls-listen",
            "127.0.0.1:0",
            "--tls-cert",
            cert,
            "--tls-key",
            key,
        ];
        let output = primed(&flags, "");
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        said.lines().last().unwrap_or_default().to_owned()
    };
    assert!(serve(&cert, &key).starts_with(&format!("primed: {key}: ")));
    assert!(serve("/nowhere.pem", &key).starts_with("primed: cannot read the file of --tls-cert, /nowhere.pem: "));
    assert!(serve(&key, &key).contains("there is no certificate in it"));
    let (old, its_key) = (certificate("version_1.pem"), certificate("client.key"));
    let directory = Directory::new();
    let (whole, cut) = (std::fs::read_to_string(&cert), directory.path("cut"));
    let whole = whole.expect("it is there");
    directory.write("cut", &whole[..whole.len() / 2]);
    // The certificate is read when somebody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound").to_string();
    let of_client = |cert: &str| {
        let flags = [
            "ask",
            "--connect",
            &address,
            "--tls",
            "--tls-ca",
            &certificate("ca.pem"),
        ];
        let show = ["--tls-cert", cert, "--tls-key", &its_key, "nth", "5"];
        text(&primed(&[&flags[..], &show].concat(), "").stderr)
    };
    let of_version_1 = format!("primed: {old}: its certificate is of version 1 of X.509");
    assert!(serve(&old, &its_key).starts_with(&of_version_1));
    assert!(serve(&cut, &key).starts_with(&format!("primed: {cut}: it is cut off")));
    assert!(of_client(&old).starts_with(&of_version_1), "{}", of_client(&old));
    assert!(
        of_client(&cut).starts_with(&format!("primed: {cut}: it is cut off")),
        "{}",
        of_client(&cut)
    );
    let ca = certificate("ca.pem");
    for (flags, expected) in [
        (
            &["--tls-cert", cert.as_str(), "--tls-key", key.as_str()][..],
            "primed: --tls-cert has no effect, ",
        ),
        (
            &["--tls-ca", &ca, "--http", "127.0.0.1:0"],
            "primed: --tls-ca has no effect, ",
        ),
        (&["--http-tls"], "primed: --http-tls needs an address: --http"),
        (
            &["--tls-listen", "127.0.0.1:0"],
            "primed: --tls-listen needs a certificate: ",
        ),
        (
            &["--tls-listen", "127.0.0.1:0", "--tls-ca", &ca],
            "primed: --tls-listen needs a certificate: ",
        ),
        (
            &["--tls-listen", "127.0.0.1:0", "--tls-cert", &cert],
            "primed: --tls-cert needs the private key ",
        ),
        (
            &["--tls-listen", "127.0.0.1:0", "--tls-key", &key],
            "primed: --tls-key needs the certificate ",
        ),
        (
            &["--http", "127.0.0.1:0", "--http-tls"],
            "primed: --http-tls needs a certificate: ",
        ),
    ] {
        let output = primed(&[&["serve", "--data", "none"], flags].concat(), "");
        assert_eq!(output.status.code(), Some(1));
        assert!(
            text(&output.stderr).starts_with(expected),
            "{flags:?}: {}",
            text(&output.stderr)
        );
    }
}
