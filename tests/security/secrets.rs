//! No secret is shown: neither in the log, nor by a verb, nor by `ps`.

use crate::daemon::{Daemon, Directory, add_user, certificate, primed, text};
use std::fs;

const PASSWORD: &str = "Xyzzy-1729=plugh";

#[test]
fn no_password_reaches_the_log_a_verb_or_the_list_of_processes() {
    let directory = Directory::new();
    add_user(&directory, "oli", PASSWORD, &["--role", "operate"]);
    let file = directory.path("users");
    assert!(!directory.read("users").contains(PASSWORD));
    directory.install("server.pem", "cert");
    directory.install("server.key", "key");
    let (cert, key) = (directory.path("cert"), directory.path("key"));
    let flags = [
        "--users",
        &file,
        "--tls-listen",
        "127.0.0.1:0",
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let daemon = Daemon::start(directory, &flags);
    let mut watcher = daemon.client_of("oli", PASSWORD);
    watcher.send("@m monitor\n");
    assert_eq!(watcher.line().as_deref(), Some("@m = OK"));
    let mut client = daemon.client();
    let mut heard = Vec::new();
    for request in [
        format!("auth oli {PASSWORD}"),
        format!("AUTH oli wrong-{PASSWORD}"),
        format!("@t auth oli {PASSWORD} {PASSWORD}"),
        format!("auth {PASSWORD} oli progress={PASSWORD}"),
        format!("auth oli {PASSWORD} deadline=5s"),
        format!("submit auth oli {PASSWORD}"),
        format!("verify auth oli {PASSWORD}"),
        format!("forget auth oli {PASSWORD}"),
    ] {
        heard.push(client.ask(&request));
    }
    client.send(format!(
        "*3\r\n$4\r\nAUTH\r\n$3\r\noli\r\n${}\r\n{PASSWORD}\r\n",
        PASSWORD.len()
    ));
    heard.extend(client.line());
    for request in ["info", "jobs", "help auth", "nth 5"] {
        client.send(format!("{request}\n"));
        while let Some(line) = client.line() {
            let is_last = line.starts_with("OK") || line.starts_with("ERR");
            heard.push(line);
            if is_last {
                break;
            }
        }
    }
    assert_eq!(heard[0], "OK");
    // A password in the place of the user's name, among what is wrong.
    let mut stranger = daemon.client();
    stranger.send(format!("auth {PASSWORD} {PASSWORD}\n"));
    heard.extend(stranger.line());
    stranger.send(format!("{PASSWORD}\nnth {PASSWORD}\nhelp auth {PASSWORD}\nping\n"));
    while heard.last().is_none_or(|row| !row.ends_with(" user=- request=ping")) {
        heard.extend(watcher.line());
    }
    assert!(
        heard.iter().any(|row| row.ends_with(" user=oli request=nth 5")),
        "{heard:?}"
    );
    let command = fs::read(format!("/proc/{}/cmdline", daemon.id())).expect("it runs");
    let environment = fs::read(format!("/proc/{}/environ", daemon.id())).expect("it is ours");
    let log = daemon.directory.read("log");
    assert!(
        log.contains("verb=\"auth\"") && log.contains("wrong user or password"),
        "{log}"
    );
    let secret_line = fs::read_to_string(certificate("server.key")).expect("it is there");
    let secret_line = secret_line.lines().nth(1).expect("a key has lines");
    for place in [text(&command), text(&environment), log, heard.join("\n")] {
        assert!(!place.contains(PASSWORD) && !place.contains(secret_line), "{place}");
        assert!(!place.contains("argon2id$"), "{place}");
    }
}

#[test]
fn a_password_is_never_an_argument() {
    for arguments in [
        &["user", "add", "f", "bob", "secret"][..],
        &["ask", "--password", "secret", "nth", "5"],
    ] {
        assert_eq!(primed(arguments, "").status.code(), Some(2), "{arguments:?}");
    }
    let directory = Directory::new();
    let file = directory.path("users");
    let refused = primed(&["user", "add", &file, "bob"], "two words\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(!text(&refused.stderr).contains("two words"));
    let directory_is_empty = fs::read_dir(&directory.0).expect("it is there").next().is_none();
    assert!(directory_is_empty, "nothing was written");
}
