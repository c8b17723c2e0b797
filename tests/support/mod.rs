//! What the tests over real sockets share: a daemon on a free port and a client that never waits for ever.
#![allow(dead_code, unreachable_pub, reason = "every test crate uses its own part of this")]

pub mod terminal;

use primed::{Budget, Call, Daemon, Failure, Handle, Job, Plan, Step, Value, Verb};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// No reply takes longer, on the slowest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon with two workers on a free port.
pub fn daemon() -> Handle {
    start(Daemon::new())
}

/// This daemon with two workers on a free port.
pub fn start(daemon: Daemon) -> Handle {
    daemon
        .workers(2)
        .listen(([127, 0, 0, 1], 0).into())
        .spawn()
        .expect("a free port can be had")
}

/// A client that reads whole lines.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(daemon: &Handle) -> Self {
        Self::connect_to(daemon.addresses()[0])
    }

    pub fn connect_to(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).expect("the daemon listens"))
    }

    /// A client that connects from 127.0.0.`last`: of another address than the others, to the daemon.
    pub fn connect_from(last: u8, address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
        socket
            .bind(&SocketAddr::from(([127, 0, 0, last], 0)).into())
            .expect("all of 127/8 is loopback");
        socket.connect(&address.into()).expect("it listens");
        Self::of(socket.into())
    }

    /// A client on a connection that is there.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket takes options");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a socket takes options");
        let reader = BufReader::new(stream.try_clone().expect("a socket can be shared"));
        Self { stream, reader }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the daemon reads");
    }

    /// The next line, without its line feed; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).expect("the daemon answers in time");
        (count > 0).then(|| line.strip_suffix('\n').expect("lines end with a line feed").to_owned())
    }

    /// Sends to a daemon that may have closed the connection.
    pub fn send_if_possible(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// The next line of a daemon that may have closed the connection.
    pub fn line_if_any(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).unwrap_or_default();
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Sends one line and reads its reply up to the final line.
    pub fn ask(&mut self, request: &str) -> String {
        self.send(format!("{request}\n"));
        loop {
            let line = self.line().expect("the session goes on");
            if !line.starts_with(['=', '*']) {
                return line;
            }
        }
    }

    /// No more questions; everything up to the end.
    pub fn finish(mut self) -> String {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut rest = String::new();
        self.reader
            .read_to_string(&mut rest)
            .expect("the daemon answers in time");
        rest
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

/// Everything that comes back for these bytes, sent at once and followed by the end of input.
pub fn exchange(daemon: &Handle, bytes: impl AsRef<[u8]>) -> String {
    let mut client = Client::connect(daemon);
    client.send(bytes);
    client.finish()
}

/// A request of RESP: an array of bulk strings, a word each.
pub fn resp<S: AsRef<str>>(words: &[S]) -> String {
    let bulk = |word: &S| format!("${}\r\n{}\r\n", word.as_ref().len(), word.as_ref());
    format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
}

/// A directory of a test's own, which goes with it.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("primed-test-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("the directory of temporary files can be written");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A row of `info`.
pub fn info(daemon: &Handle, key: &str) -> u64 {
    let text = exchange(daemon, "info\n");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("= ")?.strip_prefix(key)?.strip_prefix('='));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("info has no {key}: {text}"))
}

/// Starts a `primed serve` of this command, whose standard output is taken, and waits until it says where it listens.
pub fn spawn(command: &mut Command) -> (Child, SocketAddr) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary was built");
    let mut line = String::new();
    let out = child.stdout.take().expect("it is piped");
    BufReader::new(out)
        .read_line(&mut line)
        .expect("it says where it listens");
    let address = line
        .split(" listens on ")
        .nth(1)
        .and_then(|rest| rest.split([';', ' ']).next());
    let address = address.and_then(|text| text.parse().ok());
    (child, address.unwrap_or_else(|| panic!("no address in {line:?}")))
}

/// Waits until something holds; panics if it never does.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it never came");
        std::thread::yield_now();
    }
}

/// What a [`Probe`] does in its slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers its number.
    Echo,
    /// Panics in its slice.
    Panic,
    /// Panics in `absorb`, where the scheduler lives.
    PanicInAbsorb,
    /// Runs as many full slices as its number says.
    Slices,
    /// Cuts nothing and has no answer.
    Stuck,
    /// Sends as many [rows](ROW_BYTES) as its number says, each made in a slice of its own.
    Rows,
}

/// The length of a row of a probe.
pub const ROW_BYTES: usize = 32 << 10;

/// How many slices a probe that sends rows runs at the most for a client that does not read: all buffers between them
/// hold less than 24 MiB, at their largest.
pub const ROWS_UNREAD: u64 = (24 << 20) / ROW_BYTES as u64;

/// A verb whose plan misbehaves as asked: `probe echo 5`, `probe panic 1`.
pub struct Probe {
    /// Slices run of all probes.
    pub slices: Arc<AtomicU64>,
}

impl Verb for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn usage(&self) -> &'static str {
        "probe WHAT N"
    }

    fn about(&self) -> &'static str {
        "behaves as asked"
    }

    fn call(&self, call: &Call<'_>) -> Result<Step, Failure> {
        let behaviour = match call.arg(0) {
            Some("echo") => Behaviour::Echo,
            Some("panic") => Behaviour::Panic,
            Some("absorb") => Behaviour::PanicInAbsorb,
            Some("slices") => Behaviour::Slices,
            Some("stuck") => Behaviour::Stuck,
            Some("rows") => Behaviour::Rows,
            _ => return Err(call.bad_arg("WHAT is echo, panic, absorb, slices, stuck or rows")),
        };
        let number = call.at_most(1, "N", u64::MAX, "2^64-1")?;
        let slices = self.slices.clone();
        let job = Job::new(format!("probe {behaviour:?} {number}"), move || ProbePlan {
            behaviour,
            number,
            cut: 0,
            absorbed: 0,
            taken: 0,
            slices: slices.clone(),
        });
        Ok(Step::Job(match behaviour {
            Behaviour::Rows => job.streaming(),
            _ => job,
        }))
    }
}

struct ProbePlan {
    behaviour: Behaviour,
    number: u64,
    cut: u64,
    absorbed: u64,
    /// Rows taken.
    taken: u64,
    slices: Arc<AtomicU64>,
}

impl ProbePlan {
    fn total(&self) -> u64 {
        match self.behaviour {
            Behaviour::Slices | Behaviour::Rows => self.number,
            _ => 1,
        }
    }
}

impl Plan for ProbePlan {
    type Slice = (Behaviour, Arc<AtomicU64>);
    type Partial = ();

    fn cut(&mut self) -> Option<Self::Slice> {
        let is_full = self.behaviour == Behaviour::Rows && self.cut - self.taken == 4;
        if self.behaviour == Behaviour::Stuck || self.cut == self.total() || is_full {
            return None;
        }
        self.cut += 1;
        Some((self.behaviour, self.slices.clone()))
    }

    fn run((behaviour, slices): Self::Slice, budget: Budget<'_>) {
        slices.fetch_add(1, SeqCst);
        match behaviour {
            Behaviour::Panic => panic!("as asked"),
            Behaviour::Slices => while !budget.over() {},
            _ => {}
        }
    }

    fn absorb(&mut self, (): ()) {
        assert!(self.behaviour != Behaviour::PanicInAbsorb, "as asked");
        self.absorbed += 1;
    }

    fn answer(&mut self) -> Option<Value> {
        let is_taken = self.behaviour != Behaviour::Rows || self.taken == self.number;
        (self.absorbed == self.total() && is_taken).then(|| Value::from(self.number))
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        if self.behaviour != Behaviour::Rows {
            return Vec::new();
        }
        let count = (self.absorbed - self.taken).min(most as u64);
        self.taken += count;
        (0..count).map(|_| "7".repeat(ROW_BYTES)).collect()
    }

    fn progress(&self) -> f64 {
        self.absorbed as f64 / self.total() as f64
    }
}
