//! Clients that ask more than there is time for: whoever asks little must not notice.

use crate::served::{Served, figure, percentile, scale};
use crate::support::Client;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Clients that write this text over and over, and drop what they are answered, until they are dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn start(served: &Served, clients: usize, text: String) -> Self {
        let connect = |_| {
            let client = TcpStream::connect(served.address).expect("it listens");
            client.set_nonblocking(true).expect("a socket takes options");
            (client, 0)
        };
        let mut clients: Vec<_> = (0..clients).map(connect).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut sink = vec![0; 1 << 16];
            while !stopped.load(Relaxed) {
                let mut moved = 0;
                for (client, sent) in &mut clients {
                    moved += count(client.write(&text.as_bytes()[*sent % text.len()..]), sent);
                    moved += count(client.read(&mut sink), &mut 0);
                }
                if moved == 0 {
                    // All wait for the daemon; spinning would take its core.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let thread = Some(thread);
        Self { stop, thread }
    }
}

fn count(moved: std::io::Result<usize>, sum: &mut usize) -> usize {
    let moved = match moved {
        Ok(moved) => moved,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("the daemon goes on: {error}"),
    };
    *sum += moved;
    moved
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let flooded = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(matches!(flooded, Some(Ok(()))) || std::thread::panicking());
    }
}

/// How long each of these questions takes, asked one after the other for so long.
fn times(client: &mut Client, question: &str, expected: &str, span: Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < span {
        let asked = Instant::now();
        assert_eq!(client.ask(question), expected);
        times.push(asked.elapsed());
    }
    times
}

#[test]
fn floods_of_huge_numbers_do_not_delay_others() {
    let span = Duration::from_secs(scale(1, 5) as u64);
    for (kind, text) in [
        ("isprime 1e9999", "isprime 1e9999\n".repeat(4_000)),
        ("isprime 9^10000", "isprime 9^10000\n".repeat(4_000)),
        ("10,000 digits", format!("isprime {}\n", "7".repeat(9_999)).repeat(20)),
        (
            "rubbish behind 10,000 digits",
            format!("isprime {}x\n", "7".repeat(9_999)).repeat(20),
        ),
        ("1e9999-1e9998 for a word", "nth 1e9999-1e9998\n".repeat(4_000)),
    ] {
        let served = Served::start(&[]);
        let mut client = served.client();
        let alone = percentile(&mut times(&mut client, "ping", "OK pong", span / 5), 0.99);
        let flood = Flood::start(&served, 50, text);
        let beside = percentile(&mut times(&mut client, "ping", "OK pong", span), 0.99);
        drop(flood);
        figure(
            &format!("50 clients flood with {kind}"),
            "p99 of ping <= 5 ms",
            format!("{beside:.1?} (alone {alone:.1?})"),
        );
        assert!(beside < Duration::from_millis(200), "{kind}: {beside:?}");
    }
}
