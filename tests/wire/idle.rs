//! Connections that rest between two requests, many of them on one thread: each is woken, closed and counted by itself.

use crate::support::{Client, PATIENCE, exchange, info, start, until};
use primed::{Daemon, Drained, Handle, Limits};
use std::time::Duration;

/// Connections that have asked once, on this number of threads.
fn crowd(threads: usize, count: usize) -> (Handle, Vec<Client>) {
    let daemon = start(Daemon::new().io_threads(threads));
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(&daemon)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("ping"), "OK pong");
    }
    (daemon, clients)
}

#[test]
fn each_of_a_crowd_that_wakes_at_once_gets_its_own_reply() {
    for threads in [1, 3] {
        let (_daemon, mut clients) = crowd(threads, 300);
        for round in 0..3 {
            for (n, client) in clients.iter_mut().enumerate() {
                // Known, brief, and a job, in one packet.
                let number = 1_000_000_000_000 + n + round;
                client.send(format!("@{n} nth 5\n@{n}b isprime {number}\n@{n}c isprime 2^64+13\n"));
            }
            for (n, client) in clients.iter_mut().enumerate() {
                let mut tags: Vec<String> = (0..3)
                    .map(|_| client.line().expect("it goes on"))
                    .map(|line| line.split(' ').next().expect("it has a tag").to_owned())
                    .collect();
                tags.sort();
                assert_eq!(tags, [format!("@{n}"), format!("@{n}b"), format!("@{n}c")]);
            }
        }
        // No reply is left over.
        for client in clients {
            assert_eq!(client.finish(), "");
        }
    }
}

#[test]
fn who_comes_after_one_that_hung_up_gets_none_of_its_replies() {
    let daemon = start(Daemon::new());
    for round in 0..200 {
        let mut gone = Client::connect(&daemon);
        gone.send("@gone isprime 2^64+13\n@gone2 next 2^64\n@gone3 pi 1e18\n");
        drop(gone);
        let text = exchange(&daemon, format!("@here isprime 2^64+13\n@{round} nth 5\n"));
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let mut wanted = vec!["@here OK yes".to_owned(), format!("@{round} OK 11")];
        wanted.sort();
        assert_eq!(lines, wanted);
    }
    until("what they asked is cancelled", || info(&daemon, "jobs") == 0);
    until("their connections are closed", || info(&daemon, "connections") == 1);
}

#[test]
fn one_of_a_crowd_at_rest_is_killed_and_the_others_stay() {
    let (daemon, mut clients) = crowd(2, 100);
    assert_eq!(clients[40].ask("client name=victim"), "OK");
    assert_eq!(clients[41].ask("client name=neighbour"), "OK");
    let number = |name: &str| {
        let rows = exchange(&daemon, "clients\n");
        let row = rows.lines().find(|row| row.contains(&format!(" name={name} ")));
        let id = row.and_then(|row| row.strip_prefix("= id=")?.split(' ').next().map(str::to_owned));
        id.unwrap_or_else(|| panic!("{name} is not listed: {rows}"))
    };
    assert_eq!(exchange(&daemon, format!("kill {}\n", number("victim"))), "OK\n");
    assert_eq!(clients.remove(40).line_if_any(), None);
    for client in &mut clients {
        assert_eq!(client.ask("nth 5"), "OK 11");
    }
    number("neighbour");
}

#[test]
fn a_stopping_daemon_ends_a_crowd_at_rest() {
    for threads in [1, 2] {
        let (daemon, clients) = crowd(threads, 200);
        let ends = std::thread::spawn(move || {
            for mut client in clients {
                assert_eq!(client.line_if_any(), None, "nothing but the end");
            }
        });
        assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
        ends.join().expect("each sees the end");
    }
}

#[test]
fn who_has_sent_all_is_not_closed_while_the_session_does_not_read() {
    let limits = Limits {
        stall_timeout: Duration::from_secs(1),
        max_unsent_bytes: 1_000,
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("client name=patient"), "OK");
    // Replies that wait for the first one are too many bytes for the session to read on, and it has half a line.
    let answered = 10;
    client.send(format!(
        "pi 1e18 deadline=4s\n{}nth ",
        "factor 2^1000\n".repeat(answered)
    ));
    until("all but the first are answered", || {
        let rows = exchange(&daemon, "clients\n");
        let row = rows.lines().find(|row| row.contains(" name=patient "));
        let count = row.and_then(|row| row.split(" requests=").nth(1)?.split(' ').next()?.parse().ok());
        count.is_some_and(|count: usize| count > answered)
    });
    client.send("7\n");
    assert!(client.line().is_some_and(|reply| reply.starts_with("ERR deadline")));
    for _ in 0..answered {
        assert!(client.line().is_some_and(|reply| reply.starts_with("OK 2 2 2 ")));
    }
    assert_eq!(client.line().as_deref(), Some("OK 17"));
}
