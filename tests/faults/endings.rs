//! Cancel and deadline races, and shutdown under load: exactly one reply each.

use crate::served::{Served, figure, scale};
use crate::support::Client;
use std::net::TcpStream;
use std::time::Instant;

#[test]
fn a_race_has_one_reply_whichever_side_wins() {
    let served = Served::start(&[]);
    let mut client = served.client();
    let count = scale(500, 10_000);
    let mut ends = std::collections::BTreeMap::<String, usize>::new();
    for n in 0..count {
        let range = [1e6, 1e8, 1e12][n % 3];
        client.send(format!("@r count 0 {range:e} method=sieve deadline={}ms\n", 1 + n % 4));
        if n % 5 != 0 {
            client.send("cancel @r\n");
        }
        let (mut raced, mut cancelled) = (0, usize::from(n % 5 == 0));
        while raced + cancelled < 2 {
            let line = client.line().expect("the session goes on");
            match line.strip_prefix("@r ") {
                Some(end) => {
                    raced += 1;
                    let kind: String = end
                        .split(' ')
                        .take(2)
                        .filter(|word| word.parse::<u64>().is_err())
                        .collect();
                    *ends.entry(kind).or_default() += 1;
                }
                None => {
                    assert!(line == "OK" || line.starts_with("ERR no-job :"), "{line}");
                    cancelled += 1;
                }
            }
        }
        assert_eq!((raced, cancelled), (1, 1));
        assert_eq!(client.ask("ping"), "OK pong", "no late reply");
    }
    figure(
        &format!("{count} cancel/deadline races"),
        "0 late replies",
        format!("0 late; {ends:?}"),
    );
}

#[test]
fn a_signal_under_load_loses_no_request() {
    let cycles = scale(6, 500);
    for cycle in 0..cycles {
        let mut served = Served::start(&["--io-threads", ["1", "2"][cycle % 2]]);
        let mut clients: Vec<_> = (0..4).map(|_| served.client()).collect();
        for client in &mut clients {
            client.send(
                (0..500)
                    .map(|n| format!("isprime {}\n", 1_000_000_000_000u64 + n))
                    .collect::<String>(),
            );
        }
        assert!(clients[cycle % 4].line().is_some_and(|line| line.starts_with("OK ")));
        served.signal();
        for (n, client) in clients.iter_mut().enumerate() {
            let mut replies = usize::from(n == cycle % 4);
            while let Some(line) = client.line() {
                assert!(line.starts_with("OK ") || line.starts_with("ERR draining :"), "{line}");
                replies += 1;
            }
            assert_eq!(replies, 500, "requests that had been sent before the signal");
        }
        drop(clients);
        assert!(served.ended().success());
    }
    figure(
        &format!("{cycles} SIGTERMs under load"),
        "0 requests dropped, exit 0",
        "0 dropped, exit 0",
    );
}

/// A daemon at work on a question of this client, after a signal.
fn ending(question: &str) -> (Served, Client) {
    let served = Served::start(&[]);
    let mut client = served.client();
    client.send(format!("{question}\n"));
    crate::support::until("the work begins", || served.info("jobs") == 1);
    served.signal();
    crate::support::until("it accepts nothing more", || {
        TcpStream::connect(served.address).is_err()
    });
    (served, client)
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (mut served, _client) = ending("pi 1e18");
    let begun = Instant::now();
    // Within half a second they are one signal with the first.
    assert!(!served.ended_while(Served::signal).success());
    figure("SIGTERM again and again", "<= 1 s", format!("{:.0?}", begun.elapsed()));
    assert!(begun.elapsed().as_secs() < 5);
}

/// As `timeout` of coreutils sends it, to the process and to its group.
#[test]
fn a_signal_that_is_sent_twice_is_one() {
    let (mut served, mut client) = ending("pi 1e18 deadline=3s");
    served.signal();
    let reply = client.line().expect("it is answered");
    assert!(reply.starts_with("ERR deadline :"), "{reply}");
    drop(client);
    assert!(served.ended().success());
}
