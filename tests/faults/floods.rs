//! Clients that ask for more work than there is time for: light clients stay fast.

use crate::served::{Served, figure, percentile, scale, times};
use std::collections::HashMap;
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

#[test]
fn floods_of_huge_numbers_do_not_delay_others() {
    let span = Duration::from_secs(scale(1, 5) as u64);
    for (kind, text) in [
        ("isprime 1e9999", "isprime 1e9999\n".repeat(4_000)),
        ("isprime 9^10000", "isprime 9^10000\n".repeat(4_000)),
        ("10,000 digits", format!("isprime {}\n", "7".repeat(9_999)).repeat(20)),
        (
            "garbage after 10,000 digits",
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
        assert!(beside < Duration::from_secs(1), "{kind}: {beside:?}");
    }
}

/// Questions that each take a worker some tenths of a millisecond, none of them twice.
struct Load {
    clients: Vec<LoadClient>,
    asked: u64,
    done: u64,
    answered: Vec<Duration>,
    refused: Vec<Duration>,
}

struct LoadClient {
    stream: TcpStream,
    pending: HashMap<u64, Instant>,
    unsent: Vec<u8>,
    unread: Vec<u8>,
}

impl Load {
    const CLIENTS: usize = 4;
    /// What a client has under way while there is no hurry.
    const AT_ONCE: usize = 4;

    fn start(served: &Served) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(served.address).expect("it listens");
            stream.set_nonblocking(true).expect("a socket takes options");
            LoadClient {
                stream,
                pending: HashMap::new(),
                unsent: Vec::new(),
                unread: Vec::new(),
            }
        };
        Self {
            clients: (0..Self::CLIENTS).map(connect).collect(),
            asked: 0,
            done: 0,
            answered: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Asks for so long: as many a second as the rate says, or else as many as are answered. How many a second were.
    fn run(&mut self, rate: Option<f64>, span: Duration) -> f64 {
        let (begun, asked, done) = (Instant::now(), self.asked, self.done);
        while begun.elapsed() < span {
            let mut moved = 0;
            for index in 0..self.clients.len() {
                let wanted = match rate {
                    Some(rate) => {
                        let due = asked + (begun.elapsed().as_secs_f64() * rate) as u64;
                        due.saturating_sub(self.asked) as usize / (Self::CLIENTS - index)
                    }
                    None => Self::AT_ONCE.saturating_sub(self.clients[index].pending.len()),
                };
                for _ in 0..wanted {
                    self.clients[index].ask(self.asked);
                    self.asked += 1;
                }
                moved += wanted + self.clients[index].exchange(&mut self.done, &mut self.answered, &mut self.refused);
            }
            if moved == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        (self.done - done) as f64 / begun.elapsed().as_secs_f64()
    }
}

impl LoadClient {
    fn ask(&mut self, number: u64) {
        // None is asked twice, and all cost the same: far up, ranges would hold more primes to sieve by.
        let low = 1_000_000_000 + number;
        let high = low + 5_000_000;
        self.pending.insert(number, Instant::now());
        self.unsent
            .extend(format!("@{number} count {low} {high} method=sieve\n").into_bytes());
    }

    /// Writes and reads what can be; how much that was.
    fn exchange(&mut self, done: &mut u64, answered: &mut Vec<Duration>, refused: &mut Vec<Duration>) -> usize {
        let mut piece = [0; 1 << 16];
        let sent = count(self.stream.write(&self.unsent), &mut 0);
        self.unsent.drain(..sent);
        let got = count(self.stream.read(&mut piece), &mut 0);
        self.unread.extend_from_slice(&piece[..got]);
        let whole = self
            .unread
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        for line in String::from_utf8_lossy(&self.unread[..whole]).lines() {
            let (tag, reply) = line.split_once(' ').expect("a tag and a reply");
            let number = tag.trim_start_matches('@').parse().expect("our tag");
            let asked: Instant = self.pending.remove(&number).expect("one reply each");
            if reply.starts_with("OK ") {
                *done += 1;
                answered.push(asked.elapsed());
            } else {
                assert!(reply.starts_with("ERR busy :"), "{line}");
                refused.push(asked.elapsed());
            }
        }
        self.unread.drain(..whole);
        sent + got
    }
}

#[test]
fn overload_is_refused_at_once_and_costs_little_of_what_is_done() {
    let served = Served::start(&["--max-jobs", "64"]);
    let mut load = Load::start(&served);
    let span = Duration::from_secs(scale(1, 5) as u64);
    load.run(None, span / 5);
    let peak = load.run(None, span);
    assert!(load.refused.is_empty(), "the peak is measured without overload");
    let good = load.run(Some(10.0 * peak), span);
    let (share, refused) = (100.0 * good / peak, load.refused.len());
    let busy = percentile(&mut load.refused, 0.99);
    figure(
        &format!("10 times {peak:.0} questions a second, {refused} refused"),
        "busy in <= 10 ms (p99), >= 90 % of the peak done",
        format!("{busy:.1?}, {share:.0} %"),
    );
    assert!(share > 30.0 && busy < Duration::from_secs(1));
    assert_eq!(served.client().ask("ping"), "OK pong");
}

#[test]
fn under_overload_what_is_answered_is_answered_fast() {
    let served = Served::start(&[]);
    let mut load = Load::start(&served);
    let span = Duration::from_secs(scale(2, 10) as u64);
    load.run(None, span / 5);
    let peak = load.run(None, span / 2);
    // The queue fills first: what is measured is what goes on.
    load.run(Some(4.0 * peak), span / 2);
    load.answered.clear();
    load.refused.clear();
    let good = load.run(Some(4.0 * peak), span);
    let share = 100.0 * good / peak;
    let (refused, fast) = (load.refused.len(), percentile(&mut load.answered, 0.99));
    let half = percentile(&mut load.answered, 0.5);
    figure(
        &format!("4 times {peak:.0} questions a second, {refused} refused"),
        "p99 of the answers <= .5 s, >= 90 % of the peak done",
        format!("{fast:.1?} (median {half:.1?}), {share:.0} %"),
    );
    assert!(refused > 0 && share > 30.0 && fast < Duration::from_secs(5));
}
