//! How conversations end: half-close, shutdown, and clients that do not read.

use crate::support::{Client, PATIENCE, Probe, ROWS_UNREAD, daemon, exchange, info, start, until};
use primed::{Blocking, Daemon, Limits, Policy, Step, Value, define};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
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
    let gate = Arc::new(Barrier::new(2));
    let (passed, lane) = (gate.clone(), Blocking::new("long", 1));
    let long = define("long", "waits until it is let go", move |call| {
        let passed = passed.clone();
        Ok(lane.run(call, move |_| {
            passed.wait();
            Ok(Value::from("done"))
        }))
    });
    let daemon = start(Daemon::new().verb(long));
    let mut client = Client::connect(&daemon);
    client.send("@long long\n@ready ping\n");
    assert_eq!(client.line().as_deref(), Some("@ready OK pong"));
    let stopping = std::thread::spawn(move || daemon.stop(Duration::from_secs(60)));
    // The daemon begins to drain at some moment; from then on it refuses what is new.
    until("new requests are refused", || {
        client.send("@new isprime 5\n");
        client
            .line()
            .is_some_and(|line| line.starts_with("@new ERR draining :"))
    });
    gate.wait();
    assert_eq!(client.line().as_deref(), Some("@long OK done"));
    assert_eq!(client.line(), None);
    drop(client);
    stopping.join().expect("the daemon stops");
}

#[test]
fn a_stopping_daemon_hears_also_who_is_connected_but_not_yet_accepted() {
    for _ in 0..5 {
        let gate = Arc::new(Barrier::new(2));
        let passed = gate.clone();
        let wait = define("wait", "holds up the thread that serves connections", move |_| {
            // Once to say that it is held up, and once to be let go.
            passed.wait();
            passed.wait();
            Ok(Step::Answer(Value::Nothing))
        });
        let daemon = start(Daemon::new().verb(wait));
        let mut first = Client::connect(&daemon);
        first.send("wait\n");
        gate.wait();
        let mut late: Vec<Client> = (0..5).map(|_| Client::connect(&daemon)).collect();
        for client in &mut late {
            client.send("nth 5\n");
        }
        let stopping = std::thread::spawn(move || daemon.stop(PATIENCE));
        gate.wait();
        for client in &mut late {
            let reply = client.line().unwrap_or_default();
            assert!(reply == "OK 11" || reply.starts_with("ERR draining :"), "{reply}");
        }
        stopping.join().expect("the daemon stops");
    }
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
fn a_client_that_does_not_read_delays_no_other() {
    let slices = Arc::new(AtomicU64::new(0));
    let daemon = start(Daemon::new().verb(Probe { slices: slices.clone() }));
    let mut greedy = Client::connect(&daemon);
    greedy.send("probe rows 1000000\n");
    let mut other = Client::connect(&daemon);
    for _ in 0..50 {
        assert_eq!(other.ask("isprime 1000000007"), "OK yes");
    }
    // The stream stands still once the client's and the daemon's buffers are full: one that is read, and takes turns
    // with it, passes it by.
    let read = 4 * ROWS_UNREAD;
    assert_eq!(other.ask(&format!("probe rows {read}")), format!("OK {read}"));
    let unread = slices.load(SeqCst) - read;
    assert!(unread <= ROWS_UNREAD, "{unread} rows for a client that does not read");
    drop(greedy);
    until("the work stops", || info(&daemon, "jobs") == 0);
}

#[test]
fn a_client_that_dribbles_or_rests_for_too_long_is_closed_and_a_busy_one_is_not() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        idle_timeout: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut dribbling = Client::connect(&daemon);
    dribbling.send("isprime 1");
    let mut resting = Client::connect(&daemon);
    assert_eq!(resting.ask("ping"), "OK pong");
    let mut waiting = Client::connect(&daemon);
    waiting.send("pi 1e18 deadline=1s\n");
    assert_eq!(
        dribbling.line().as_deref(),
        Some("ERR truncated :the rest of the request did not arrive within 300ms; closing the connection")
    );
    assert_eq!(dribbling.line(), None);
    assert_eq!(resting.line(), None);
    assert!(waiting.line().is_some_and(|line| line.starts_with("ERR deadline :")));
    assert_eq!(waiting.line(), None);
}

#[test]
fn bye_is_the_last_reply_also_after_tagged_questions() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("@a pi 31111111111111\n@b nth 1000\n@c quit\nping\n");
    let said: Vec<String> = std::iter::from_fn(|| client.line()).collect();
    assert_eq!(said, ["@b OK 7919", "@a OK 1035905650780", "@c OK bye"]);
}

#[test]
fn who_has_all_its_places_taken_can_still_cancel() {
    let limits = Limits {
        max_in_flight: 3,
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut client = Client::connect(&daemon);
    client.send("submit pi 1e19\n");
    assert_eq!(client.line().as_deref(), Some("OK job=1"));
    client.send("@a pi 1e18\n@b result 1\n@c pi 3e18\n");
    until("all places are taken", || info(&daemon, "jobs") == 3);
    client.send("@d cancel @a\n@e ping\n");
    let mut said: Vec<String> = (0..3).map(|_| client.line().expect("it goes on")).collect();
    said.sort();
    assert_eq!(said, ["@a ERR cancelled :cancelled as asked", "@d OK", "@e OK pong"]);
    client.send("@f pi 4e18\n@g cancel 1\n@h ping\n");
    let mut said: Vec<String> = (0..3).map(|_| client.line().expect("it goes on")).collect();
    said.sort();
    assert_eq!(said, ["@b ERR cancelled :job 1 was cancelled", "@g OK", "@h OK pong"]);
    drop(client);
    until("its work ends", || info(&daemon, "jobs") == 0);
}

#[test]
fn one_connection_too_many_is_refused_with_the_reason() {
    let limits = Limits {
        max_connections: 2,
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut clients: Vec<Client> = (0..2).map(|_| Client::connect(&daemon)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("ping"), "OK pong");
    }
    let mut third = Client::connect(&daemon);
    assert_eq!(
        third.line().as_deref(),
        Some("ERR busy :too many connections; retry-ms=1000")
    );
    assert_eq!(third.line(), None);
    clients.pop();
    until("there is room again", || {
        let mut again = Client::connect(&daemon);
        again.send_if_possible("ping\n");
        again.line_if_any().is_some_and(|line| line == "OK pong")
    });
}

#[test]
fn one_job_too_many_is_busy_and_the_others_are_answered() {
    let policy = Policy {
        max_jobs: 3,
        ..Policy::default()
    };
    let daemon = start(Daemon::new().policy(policy));
    let mut client = Client::connect(&daemon);
    client.send("@a pi 1e18\n@b pi 1e18+1\n@c pi 1e18+2\n@d pi 1e18+3\n");
    let refused = client.line().expect("the session goes on");
    assert!(
        refused.starts_with("@d ERR busy :") && refused.contains("retry-ms="),
        "{refused}"
    );
    let mut other = Client::connect_from(2, daemon.addresses()[0]);
    assert_eq!(
        other.ask("pi 1e8"),
        "OK 5761455",
        "an address that filled the table does not lock out another"
    );
    client.send("cancel @a\n");
    assert_eq!(client.line().as_deref(), Some("OK"));
    assert_eq!(client.line().as_deref(), Some("@a ERR cancelled :cancelled as asked"));
    assert_eq!(client.ask("@e pi 1e9"), "@e OK 50847534");
}

#[test]
fn absent_limits_delay_no_client() {
    let limits = Limits {
        max_connections: usize::MAX,
        max_line_bytes: usize::MAX,
        max_in_flight: usize::MAX,
        max_unsent_bytes: usize::MAX,
        idle_timeout: Some(Duration::MAX),
        stall_timeout: Duration::MAX,
    };
    let daemon = start(Daemon::new().limits(limits));
    assert_eq!(
        exchange(&daemon, "nth 1000\npi 1e11\n*1\r\n$4\r\nPING\r\n"),
        "OK 7919\nOK 4118054813\n+PONG\r\n"
    );
}

#[test]
fn limits_of_zero_are_refused() {
    type Change = fn(&mut Limits);
    let changes: [(&str, Change); 6] = [
        ("max_connections", |limits| limits.max_connections = 0),
        ("max_line_bytes", |limits| limits.max_line_bytes = 0),
        ("max_in_flight", |limits| limits.max_in_flight = 0),
        ("max_unsent_bytes", |limits| limits.max_unsent_bytes = 0),
        ("idle_timeout", |limits| limits.idle_timeout = Some(Duration::ZERO)),
        ("stall_timeout", |limits| limits.stall_timeout = Duration::ZERO),
    ];
    for (name, change) in changes {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = Daemon::new().limits(limits).spawn().expect_err(name);
        assert_eq!(error.to_string(), format!("with {name} of 0 nobody could be served"));
    }
}
