//! A unix socket answers as TCP does, and its file comes and goes with the daemon.

use crate::support::{Client, Directory, PATIENCE, start};
use primed::{Daemon, Handle, StartError};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

fn exchange(path: &Path, bytes: &str) -> String {
    let mut client = UnixStream::connect(path).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
    client.write_all(bytes.as_bytes()).expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let mut reply = String::new();
    client.read_to_string(&mut reply).expect("it answers in time");
    reply
}

fn on(path: &Path) -> Handle {
    start(Daemon::new().listen_unix(path))
}

fn refused(path: &Path) -> ErrorKind {
    match Daemon::new().listen_unix(path).spawn() {
        Err(StartError::ListenUnix { path: named, source }) if named == path => source.kind(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn questions_are_answered_and_the_file_is_removed_at_the_end() {
    let folder = Directory::new();
    let path = folder.0.join("primed.sock");
    let daemon = on(&path);
    // After the client has closed its half, and work goes on.
    assert_eq!(exchange(&path, "100000\npi 1e11\n"), "1299709\nOK 4118054813\n");
    assert_eq!(exchange(&path, "*1\r\n$4\r\nPING\r\n"), "+PONG\r\n");
    let listed = exchange(&path, "clients\n");
    assert!(listed.contains(" address=unix name=- "), "{listed}");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    daemon.stop(PATIENCE);
    assert!(!path.exists());
}

#[test]
fn clients_of_unix_sockets_are_an_account_of_their_own() {
    let folder = Directory::new();
    let path = folder.0.join("primed.sock");
    let daemon = start(Daemon::new().listen(([127, 0, 0, 1], 0).into()).listen_unix(&path));
    assert_eq!(exchange(&path, "submit pi 1e20\n"), "OK job=1\n");
    let listed = exchange(&path, "jobs\n");
    assert!(listed.contains(" owner=unix "), "{listed}");
    let local = || Client::connect(&daemon);
    let none = "ERR no-job :127.0.0.1 has no submitted job under way";
    assert_eq!(local().ask("cancel all"), none);
    assert_eq!(local().ask("cancel owner=127.0.0.1"), none);
    assert_eq!(local().ask("cancel owner=unix"), "OK cancelled=1");
    drop(daemon);
}

#[test]
fn work_stops_when_a_client_hangs_up() {
    let folder = Directory::new();
    let path = folder.0.join("primed.sock");
    let daemon = on(&path);
    let mut client = UnixStream::connect(&path).expect("it listens");
    client.write_all(b"pi 1e18\n").expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    crate::support::until("it is under way", || crate::support::info(&daemon, "jobs") == 1);
    drop(client);
    crate::support::until("it is stopped", || crate::support::info(&daemon, "jobs") == 0);
    drop(daemon);
}

#[test]
fn only_the_file_of_a_daemon_that_is_gone_is_replaced() {
    let folder = Directory::new();
    let path = folder.0.join("primed.sock");
    // As after kill -9: a file, and nobody who listens.
    drop(UnixListener::bind(&path).expect("the folder is ours"));
    assert!(path.exists());
    let daemon = on(&path);
    assert_eq!(refused(&path), ErrorKind::AddrInUse);
    assert_eq!(exchange(&path, "5\n"), "11\n", "the first is as it was");
    daemon.stop(PATIENCE);
    std::fs::write(&path, "a letter").expect("the folder is ours");
    assert_eq!(refused(&path), ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).expect("it is there"), "a letter");
}
