//! Clients that ask and do not read, ask too much in one breath, or never finish a line.

use crate::served::{Served, figure, percentile, scale, time_until, times};
use crate::support::{Client, PATIENCE};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Writes to all of them until none takes any more, or for long enough. The most memory that the daemon had meanwhile,
/// in KiB.
fn flood(served: &Served, clients: &mut [TcpStream], line: impl Fn(usize) -> String) -> u64 {
    let mut most = 0;
    let texts: Vec<Vec<u8>> = (0..clients.len()).map(|n| line(n).into_bytes()).collect();
    let mut sent = vec![0; clients.len()];
    let begun = Instant::now();
    let mut quiet_since = Instant::now();
    // What the kernel buffers for a client may take minutes to fill with answers; it is not the daemon's memory.
    let longest = Duration::from_secs(scale(10, 60) as u64);
    while quiet_since.elapsed() < Duration::from_millis(500) && begun.elapsed() < longest {
        most = most.max(served.memory_kib());
        for ((client, text), sent) in clients.iter_mut().zip(&texts).zip(&mut sent) {
            match client.write(&text[*sent % text.len()..]) {
                Ok(count) => (*sent, quiet_since) = (*sent + count, Instant::now()),
                // Who takes nothing for the stall timeout is closed, and that is as good as held.
                Err(error) => assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                    ),
                    "{error}"
                ),
            }
        }
        // A client of another address, which reads, is answered meanwhile.
        let asked = Instant::now();
        let mut other = Client::connect_from(2, served.address);
        assert_eq!(other.ask("isprime 1000000007"), "OK yes");
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "another client waits for those who do not read"
        );
    }
    most.max(served.memory_kib())
}

fn crowd(served: &Served, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let client = TcpStream::connect(served.address).expect("it listens");
        client.set_nonblocking(true).expect("a socket takes options");
        client
    };
    (0..count).map(connect).collect()
}

#[test]
fn clients_that_never_read_are_held_to_their_bounds() {
    let served = Served::start(&[]);
    let mut reader = served.client();
    let mut p99 = || {
        percentile(
            &mut times(&mut reader, "isprime 1000000007", "OK yes", Duration::from_secs(1)),
            0.99,
        )
    };
    let alone = p99();
    let before = served.memory_kib();
    let descriptors = served.descriptors();
    let count = scale(40, 100);
    let mut clients = crowd(&served, count);
    let most = flood(&served, &mut clients, |n| match n % 4 {
        0 => "ping\n".repeat(10_000),
        1 => "help\n".repeat(10_000),
        2 => format!("isprime 1000000007\nnth {n}00000\n").repeat(5_000),
        // A question that takes long and little memory: the requests after it are measured.
        _ => format!("isprime 10^9999+33603\n{}", "help\n".repeat(10_000)),
    });
    let growth = most.saturating_sub(before) >> 10;
    figure(
        &format!("{count} clients that never read"),
        "<= 32 MiB",
        format!("{growth} MiB"),
    );
    assert!(growth <= 48, "{growth} MiB for {count} clients that do not read");
    let beside = p99();
    figure(
        &format!("another beside {count} that never read"),
        "p99 <= 2x",
        format!("{beside:.1?} (before {alone:.1?})"),
    );
    drop(clients);
    // The thread keeps the socket by which it asked the kernel about them.
    let time = time_until("their sessions end", || served.descriptors() <= descriptors + 1);
    figure("they leave", "descriptors back", format!("after {time:.0?}"));
}

#[test]
fn streams_that_are_not_read_are_held_to_their_bounds() {
    let served = Served::start(&[]);
    let before = served.memory_kib();
    let mut clients = crowd(&served, 40);
    let most = flood(&served, &mut clients, |_| {
        (0..300).map(|n| format!("@t{n} primes 0 1e15\n")).collect()
    });
    let growth = most.saturating_sub(before) >> 10;
    figure(
        "40 clients with 300 streams each, unread",
        "<= 48 MiB",
        format!("{growth} MiB"),
    );
    assert!(growth <= 192, "{growth} MiB for streams that are not read");
}

#[test]
fn a_hundred_thousand_requests_in_one_breath_are_all_answered() {
    let served = Served::start(&[]);
    for request in ["ping\n", "isprime 1000000007\n"] {
        let mut client = TcpStream::connect(served.address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        let mut writer = client.try_clone().expect("a socket can be shared");
        let count = scale(100_000, 1_000_000);
        let writing = std::thread::spawn(move || {
            writer.write_all(request.repeat(count).as_bytes()).expect("it reads");
            writer.shutdown(Shutdown::Write).expect("it is connected");
        });
        let mut text = Vec::new();
        client.read_to_end(&mut text).expect("it answers in time");
        writing.join().expect("all is written");
        let replies = text.iter().filter(|byte| **byte == b'\n').count();
        figure(
            &format!("{count} pipelined {}", request.trim()),
            "as many replies",
            replies,
        );
        assert_eq!(replies, count);
    }
}

#[test]
fn who_never_finishes_a_line_is_closed_in_time() {
    let served = Served::start(&["--stall-timeout", "1s"]);
    let descriptors = served.descriptors();
    let mut clients = crowd(&served, scale(60, 1000));
    time_until("all are accepted", || {
        served.descriptors() >= descriptors + clients.len()
    });
    let begun = Instant::now();
    for (n, client) in clients.iter_mut().enumerate() {
        // Some are within a line that is too long, some take progress of other work meanwhile.
        let opening = match n % 3 {
            0 => "p".to_owned(),
            1 => "7".repeat(20_000),
            _ => "@a pi 1e18 progress=100ms\np".to_owned(),
        };
        client.write_all(opening.as_bytes()).expect("it reads");
    }
    let mut dribbled = Instant::now();
    while served.descriptors() > descriptors {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "who dribbles is never closed"
        );
        if dribbled.elapsed() >= Duration::from_millis(200) {
            dribbled = Instant::now();
            for client in &mut clients {
                let _ = client.write(b"1");
                let _ = client.read(&mut [0; 4096]);
            }
        }
        std::thread::yield_now();
    }
    figure(
        &format!("slowloris, {} connections", clients.len()),
        "the limit (1 s) + 1 s",
        format!("{:.1?}", begun.elapsed()),
    );
}
