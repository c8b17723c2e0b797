//! `monitor`: what others ask, as it comes.

use crate::support::{Client, daemon, exchange, info, start, until};
use primed::{Daemon, Drained, Handle};
use std::time::Duration;

/// A client that monitors already.
fn watcher(daemon: &Handle) -> Client {
    let mut client = Client::connect(daemon);
    client.send("@m monitor\n");
    assert_eq!(client.line().as_deref(), Some("@m = OK"));
    client
}

/// The next request that a watcher sees: who asked, and what.
fn seen(watcher: &mut Client) -> (String, String) {
    let row = watcher.line().expect("there is a row");
    let row = row.strip_prefix("@m = at=").unwrap_or_else(|| panic!("{row}"));
    let (_, row) = row.split_once(' ').expect("more than a time");
    let (who, request) = row.split_once(" request=").expect("a request");
    (who.to_owned(), request.to_owned())
}

#[test]
fn requests_of_all_dialects_are_seen_in_their_order_with_who_asked() {
    let daemon = daemon();
    // Answered byte for byte from what was asked before: that must not hide it.
    exchange(&daemon, "nth 7\nnth 7\n");
    let mut watcher = watcher(&daemon);
    let mut client = Client::connect(&daemon);
    client.send("nth 7\n100000\n@t pi 1e6 deadline=5s\nnht 5\n*2\r\n$3\r\nNTH\r\n$1\r\n9\r\n");
    let address = client.stream().local_addr().expect("it is connected");
    for request in ["nth 7", "nth 100000", "@t pi 1e6 deadline=5s", "nht (hidden)", "NTH 9"] {
        let (who, what) = seen(&mut watcher);
        assert!(who.ends_with(&format!(" address={address} user=-")), "{who}");
        assert_eq!(what, request);
    }
    // The program around the daemon is a client too.
    let engine = daemon.engine().clone();
    actix::System::new().block_on(async move {
        engine.request("isprime 91").await.expect("it answers");
        engine.ask(primed::Query::Pi(1_000_000_007)).await.expect("it answers");
        let long = primed::Natural::from(2u32).pow(8_000);
        engine.ask(primed::Query::IsPrime(long)).await.expect("it answers");
    });
    let process = "client=0 address=process user=-".to_owned();
    assert_eq!(seen(&mut watcher), (process.clone(), "isprime 91".into()));
    assert_eq!(seen(&mut watcher), (process.clone(), "pi 1000000007".into()));
    let (_, long) = seen(&mut watcher);
    assert!(
        long.starts_with("isprime 1737") && long.ends_with("...") && long.len() == 1_003,
        "{long}"
    );
}

#[test]
fn passwords_are_hidden() {
    let daemon = daemon();
    let mut watcher = watcher(&daemon);
    let resp = "*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nx\r\n"; // malformed: answered by the dialect
    let hello = "*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$6\r\nsecret\r\n";
    exchange(
        &daemon,
        format!("auth ann secret\nAUTH secret\nauht secret\nsubmit auth ann secret\n{resp}{hello}nth 1\n"),
    );
    let mut asked = Vec::new();
    while asked.last().is_none_or(|last| last != "nth 1") {
        asked.push(seen(&mut watcher).1);
    }
    assert_eq!(
        asked,
        [
            "auth (hidden)",
            "AUTH (hidden)",
            "auht (hidden)",
            "submit (hidden)",
            "auth (hidden)",
            "nth 1"
        ]
    );
}

#[test]
fn monitoring_ends_with_a_cancel_a_deadline_or_the_connection() {
    let daemon = daemon();
    let mut client = watcher(&daemon);
    assert_eq!(info(&daemon, "jobs"), 1);
    client.send("cancel @m\n");
    let mut rest = Vec::new();
    while rest.last() != Some(&"@m ERR cancelled :cancelled as asked".to_owned()) {
        rest.push(client.line().expect("it goes on"));
    }
    assert_eq!(client.ask("ping"), "OK pong");
    let ended = exchange(&daemon, "monitor deadline=1ms\n");
    assert!(ended.contains("ERR deadline :"), "{ended}");
    drop(watcher(&daemon));
    until("the one that left is gone", || info(&daemon, "jobs") == 0);
}

#[test]
fn a_watcher_that_does_not_read_loses_rows_and_holds_up_nobody() {
    const ASKED: usize = 60_000;
    let daemon = daemon();
    let mut slow = watcher(&daemon);
    let line = "ping\n";
    for _ in 0..ASKED / 1_000 {
        let said = exchange(&daemon, line.repeat(1_000));
        assert_eq!(said, "OK pong\n".repeat(1_000));
    }
    exchange(&daemon, "pi 1000\n");
    let (mut rows, mut lost) = (0, 0);
    loop {
        let row = slow.line().expect("it goes on");
        if let Some(count) = row.strip_prefix("@m = lost=") {
            lost += count.parse::<usize>().expect("a number");
            continue;
        }
        rows += 1;
        if row.ends_with(" request=pi 1000") {
            break;
        }
    }
    assert!(lost > 0, "{rows} rows");
    assert_eq!(rows + lost, ASKED + 1);
}

#[test]
fn at_most_sixteen_monitor_at_once() {
    let daemon = daemon();
    let watchers: Vec<Client> = (0..16).map(|_| watcher(&daemon)).collect();
    assert!(exchange(&daemon, "monitor\n").starts_with("ERR busy :"));
    drop(watchers);
    until("there is room again", || {
        let mut client = Client::connect(&daemon);
        client.send("monitor\n");
        client.line().as_deref() == Some("= OK")
    });
}

#[test]
fn a_drain_ends_it() {
    let daemon = start(Daemon::new());
    let mut client = watcher(&daemon);
    assert_eq!(daemon.stop(Duration::from_secs(60)), Drained::InTime);
    assert_eq!(
        client.line().as_deref(),
        Some("@m ERR draining :the daemon is shutting down; ask again when it is back")
    );
    assert_eq!(client.line(), None);
}

#[test]
fn a_client_of_redis_monitors_too() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("*1\r\n$7\r\nMONITOR\r\n");
    assert_eq!(client.line().as_deref(), Some("+OK\r"));
    exchange(&daemon, "nth 5\n");
    let row = client.line().expect("a row");
    assert!(
        row.contains(" [0 127.0.0.1:") && row.ends_with("] \"nth\" \"5\"\r"),
        "{row}"
    );
    daemon.stop(Duration::from_secs(60));
    assert!(client.line().is_some_and(|last| last.starts_with("-DRAINING ")));
}
