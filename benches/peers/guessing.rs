//! What a user notices while others guess passwords: for benches/guessing.sh, which runs it against builds of the
//! daemon in turns.
//!
//!     guessing ADDRESS PASSWORD SECONDS RATE HOLD_MS
//!
//! Prints in one line, for the questions of `ann` one by one: the p50 and p99 alone, the p99 beside RATE `ping` a
//! second, and beside as many wrong passwords, in microseconds; then how many a second there were of the two. They come
//! from 240 addresses in turn, each on a new connection that stays for HOLD_MS, or closes at once with 0; or, with
//! `kept`, on one connection an address.

use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use std::{env, thread};

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct User(BufReader<TcpStream>);

impl User {
    fn ask(&mut self, line: &str) -> Fallible<String> {
        self.0.get_mut().write_all(line.as_bytes())?;
        let mut reply = String::new();
        self.0.read_line(&mut reply)?;
        Ok(reply)
    }

    /// How long each question took, in order of length.
    fn latencies(&mut self, time: Duration) -> Fallible<Vec<Duration>> {
        let (begun, mut took) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let asked = Instant::now();
            if self.ask("nth 100\n")? != "OK 541\n" {
                return Err("a wrong reply".into());
            }
            took.push(asked.elapsed());
        }
        took.sort_unstable();
        Ok(took)
    }
}

fn microseconds(took: &[Duration], percent: usize) -> f64 {
    took[took.len() * percent / 100].as_secs_f64() * 1e6
}

const ADDRESSES: usize = 240;

/// The others, who send one request after another.
struct Others {
    daemon: SocketAddr,
    /// How long a connection stays; `None`: one for each address, kept.
    hold: Option<Duration>,
    open: VecDeque<(Instant, Socket)>,
    count: usize,
}

impl Others {
    fn connect(&self) -> Fallible<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        let last = u8::try_from(9 + self.count % ADDRESSES)?;
        socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, last], 0))))?;
        socket.connect(&self.daemon.into())?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }

    fn send(&mut self, request: &str) -> Fallible<()> {
        let socket = match self.hold {
            None if self.open.len() == ADDRESSES => self
                .open
                .pop_front()
                .map_or_else(|| self.connect(), |(_, socket)| Ok(socket))?,
            _ => self.connect()?,
        };
        // What it was answered before; a connection that does not take the request now is full of earlier ones.
        let _ = (&socket).read(&mut [0; 4096]);
        let _ = (&socket).write(request.as_bytes());
        let now = Instant::now();
        self.open.push_back((now + self.hold.unwrap_or_default(), socket));
        while self.hold.is_some() && self.open.front().is_some_and(|(until, _)| *until <= now) {
            self.open.pop_front();
        }
        self.count += 1;
        Ok(())
    }
}

/// The p99 beside others that send this, and how many came a second.
fn beside(
    user: &mut User,
    daemon: SocketAddr,
    request: &str,
    time: Duration,
    rate: u32,
    hold: Option<Duration>,
) -> Fallible<(f64, f64)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let others = scope.spawn(|| -> Fallible<u32> {
            let (open, count) = (VecDeque::new(), 0);
            let mut others = Others {
                daemon,
                hold,
                open,
                count,
            };
            let begun = Instant::now();
            while !stop.load(Relaxed) {
                others.send(request)?;
                let next = begun + Duration::from_secs(1) * u32::try_from(others.count)? / rate;
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            Ok(u32::try_from(others.count)?)
        });
        let took = user.latencies(time);
        stop.store(true, Relaxed);
        let count = others.join().map_err(|_| "the other connections panicked")??;
        Ok((microseconds(&took?, 99), f64::from(count) / time.as_secs_f64()))
    })
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [daemon, password, seconds, rate, hold] = &arguments[..] else {
        return Err("guessing ADDRESS PASSWORD SECONDS RATE HOLD_MS".into());
    };
    let daemon = daemon.parse()?;
    let (time, rate) = (Duration::from_secs_f64(seconds.parse()?), rate.parse()?);
    let hold = match hold.as_str() {
        "kept" => None,
        hold => Some(Duration::from_millis(hold.parse()?)),
    };
    let stream = TcpStream::connect(daemon)?;
    stream.set_nodelay(true)?;
    let mut user = User(BufReader::new(stream));
    if user.ask(&format!("auth ann {password}\n"))? != "OK\n" {
        return Err("the password is wrong".into());
    }
    let alone = user.latencies(time)?;
    let (connections, came) = beside(&mut user, daemon, "ping\n", time, rate, hold)?;
    let (guesses, guessed) = beside(&mut user, daemon, "auth ann guess\n", time, rate, hold)?;
    let (median, alone) = (microseconds(&alone, 50), microseconds(&alone, 99));
    println!("{median:.1} {alone:.1} {connections:.1} {guesses:.1} {came:.0} {guessed:.0}");
    Ok(())
}
