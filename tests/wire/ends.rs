//! How conversations end: half-close, shutdown, and clients that do not read.

use crate::support::{Client, daemon, exchange, info, until};
use std::time::Duration;

#[test]
fn what_was_asked_before_the_end_of_input_is_answered() {
    let daemon = daemon();
    let requests: String = (0..2000u64)
        .map(|n| format!("isprime {}\n", 1_000_000_000_000 + n))
        .collect();
    let text = exchange(&daemon, &requests);
    assert_eq!(text.lines().count(), 2000);
    assert!(text.lines().all(|line| line == "OK yes" || line == "OK no"));
}

#[test]
fn a_stopping_daemon_answers_what_it_accepted_and_refuses_what_is_new() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("@long pi 1e14\n@ready ping\n");
    assert_eq!(client.line().as_deref(), Some("@ready OK pong"));
    let stopping = std::thread::spawn(move || daemon.stop(Duration::from_secs(60)));
    // The daemon begins to drain at some moment; from then on it refuses what is new.
    until("new requests are refused", || {
        client.send("@new isprime 5\n");
        client
            .line()
            .is_some_and(|line| line.starts_with("@new ERR draining :"))
    });
    assert_eq!(client.line().as_deref(), Some("@long OK 3204941750802"));
    assert_eq!(client.line(), None);
    drop(client);
    stopping.join().expect("the daemon stops");
}

#[test]
fn a_stopping_daemon_cancels_what_takes_too_long() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("pi 1e18\n");
    until("the work begins", || info(&daemon, "jobs") == 1);
    daemon.stop(Duration::from_millis(1));
    assert!(client.line().is_some_and(|line| line.starts_with("ERR cancelled :")));
    assert_eq!(client.line(), None);
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let daemon = daemon();
    let mut greedy = Client::connect(&daemon);
    greedy.send("primes 0 2^64\n");
    let mut other = Client::connect(&daemon);
    for _ in 0..50 {
        assert_eq!(other.ask("isprime 1000000007"), "OK yes");
    }
    // The stream stands still once the client's and the daemon's buffers are full.
    until("the stream stands still", || {
        let before = info(&daemon, "slices_total");
        (0..20).all(|_| info(&daemon, "slices_total") == before)
    });
    drop(greedy);
    until("the work stops", || info(&daemon, "jobs") == 0);
}
