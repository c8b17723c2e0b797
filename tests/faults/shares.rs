//! Addresses that take all they can: what others of another address notice. Sources are addresses of the loopback
//! network.

use crate::served::{Served, figure, scale};
use crate::support::{Client, until};
use std::time::{Duration, Instant};

/// How long a question of some .1 s takes from another address; `number` makes it a new one.
fn short_job(served: &Served, number: u64) -> Duration {
    let mut other = Client::connect_from(2, served.address);
    let asked = Instant::now();
    let reply = other.ask(&format!("pi {}", 3_000_000_000_000 + number));
    assert!(reply.starts_with("OK "), "{reply}");
    asked.elapsed()
}

#[test]
fn submitted_jobs_of_an_address_lock_out_nobody() {
    let served = Served::start(&["--max-submitted", "1000"]);
    let connections = scale(3, 31);
    let each = 2_000;
    for connection in 0..connections {
        let mut client = Client::connect_from(1, served.address);
        let first = 1_000_000_000_000_000_000 + (connection * each) as u64;
        let requests: String = (0..each as u64).map(|n| format!("submit pi {}\n", first + n)).collect();
        let replies = {
            client.send(&requests);
            client.finish()
        };
        assert_eq!(replies.lines().count(), each);
    }
    let mut client = Client::connect_from(1, served.address);
    assert_eq!(client.ask("isprime 10^18+3"), "OK yes");
    let asked = Instant::now();
    client.send("jobs\n");
    let mut rows = 0;
    while client.line().is_some_and(|line| line.starts_with("= id=")) {
        rows += 1;
    }
    let list = asked.elapsed();
    let mut other = Client::connect_from(2, served.address);
    assert_eq!(other.ask("isprime 10^18+9"), "OK yes");
    assert_eq!(other.ask("submit pi 1e19"), "OK job=1001");
    assert!(other.ask("cancel 1 1001").starts_with("OK cancelled=2"));
    let asked = Instant::now();
    assert_eq!(client.ask("cancel all"), "OK cancelled=999");
    let cancel = asked.elapsed();
    until("all is cancelled", || served.info("jobs") == 0);
    figure(
        &format!("{} submitted `pi 1e18`", connections * each),
        "others are answered, 250 rows",
        format!("answered; {rows} rows in {list:.1?}; `cancel all` in {cancel:.1?}"),
    );
    assert_eq!(rows, 250);
}

#[test]
fn what_an_address_asks_at_once_does_not_take_the_share_of_another() {
    let served = Served::start(&[]);
    let alone = short_job(&served, 0);
    for (number, (connections, jobs, what)) in [
        (50, 1, "50 connections, `pi 1e17` each"),
        (1, 1_000, "1,000 `pi 1e17` of one connection"),
    ]
    .into_iter()
    .enumerate()
    {
        let crowd: Vec<Client> = (0..connections)
            .map(|connection| {
                let mut client = Client::connect_from(1, served.address);
                let first = 100_000_000_000_000_000 + (number * 10_000 + connection * jobs) as u64;
                let requests: String = (0..jobs as u64).map(|n| format!("pi {}\n", first + n)).collect();
                client.send(requests);
                client
            })
            .collect();
        until("they are long", || {
            served.info("jobs") as usize >= connections * jobs * 9 / 10
        });
        let took = short_job(&served, 1 + number as u64);
        figure(
            &format!("{what}; a job of .1 s of another address"),
            "<= .3 s",
            format!("{took:.1?} (alone {alone:.1?})"),
        );
        assert!(took < Duration::from_secs(20), "{what}: {took:?}");
        drop(crowd);
        until("they are gone", || served.info("jobs") == 0);
    }
}

#[test]
fn giants_of_an_address_do_not_take_all_memory() {
    let served = Served::start(&[]);
    let mut giants = Client::connect_from(1, served.address);
    let requests: String = (0..90u64)
        .map(|n| format!("pi {}\n", 10_000_000_000_000_000 + n))
        .collect();
    giants.send(requests);
    until("they are long", || served.info("jobs") == 90);
    let before = served.info("slices_total");
    until("they run", || served.info("slices_total") > before + 200);
    let took = short_job(&served, 9);
    figure(
        "90 `pi 1e16` of one connection; a job of .1 s of another address",
        "<= .3 s",
        format!("{took:.1?}, {} MiB resident", served.memory_kib() >> 10),
    );
    assert!(took < Duration::from_secs(20), "{took:?}");
}
