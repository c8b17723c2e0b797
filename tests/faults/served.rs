//! A `primed serve` of our own, and what the kernel says of it. Ends with its handle.

use crate::support::{Client, spawn, until};
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// The long form is asked for.
pub(crate) fn is_long() -> bool {
    std::env::var("PRIMED_FAULTS").is_ok_and(|form| form == "long")
}

/// A number for the short form, and one for the long form.
pub(crate) fn scale(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// One line: the fault, the figure wanted, the figure reached.
pub(crate) fn figure(fault: &str, wanted: &str, reached: impl std::fmt::Display) {
    println!("fault: {fault} | wanted: {wanted} | reached: {reached}");
}

pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Served {
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", flags)
    }

    /// At this address.
    pub(crate) fn start_at(address: &str, flags: &[&str]) -> Self {
        Self::run(Command::new(env!("CARGO_BIN_EXE_primed")), address, flags)
    }

    /// With a limit of descriptors.
    pub(crate) fn start_with_descriptors(count: usize, flags: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {count}; exec \"$0\" \"$@\"")]);
        shell.arg(env!("CARGO_BIN_EXE_primed"));
        Self::run(shell, "127.0.0.1:0", flags)
    }

    fn run(mut command: Command, address: &str, flags: &[&str]) -> Self {
        command
            .args(["serve", "--listen", address, "--workers", "2", "--log", "off"])
            .args(["--data", "none"])
            .args(flags);
        let (child, address) = spawn(&mut command);
        Self { child, address }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_to(self.address)
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it lives")
    }

    pub(crate) fn memory_kib(&self) -> u64 {
        let status = self.proc("status");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("the kernel knows");
        line.trim()
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number")
    }

    /// CPU time of all its threads so far; the kernel counts hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn has_thread(&self, name: &str) -> bool {
        has_thread(self.child.id(), name)
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// A row of `info`.
    pub(crate) fn info(&self, key: &str) -> u64 {
        let mut client = self.client();
        client.send("info\n");
        let text = client.finish();
        let row = text
            .lines()
            .find_map(|line| line.strip_prefix("= ")?.strip_prefix(key)?.strip_prefix('='));
        row.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("info has no {key}: {text}"))
    }

    /// Time its threads have spent in the kernel; the kernel counts hundredths of a second.
    pub(crate) fn system_time(&self) -> Duration {
        let stat = self.proc("stat");
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        Duration::from_millis(10 * fields[12].parse::<u64>().expect("a number"))
    }

    pub(crate) fn signal(&self) {
        self.send(Signal::TERM);
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }

    /// Its exit status, once it has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.ended_while(|_| {})
    }

    /// The same while this is done again and again.
    pub(crate) fn ended_while(&mut self, again: impl Fn(&Self)) -> ExitStatus {
        let mut status = None;
        until("the daemon ends", || {
            again(self);
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process has a thread of this name.
pub(crate) fn has_thread(process: u32, name: &str) -> bool {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it lives");
    let mut names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")));
    names.any(|known| known.is_ok_and(|known| known.trim_end() == name))
}

/// How long it takes until something holds.
pub(crate) fn time_until(what: &str, holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    until(what, holds);
    begun.elapsed()
}

/// The time that this share of all times does not exceed.
pub(crate) fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times[rank.clamp(1, times.len()) - 1]
}

/// How long each of these questions takes, asked one after the other for so long.
pub(crate) fn times(client: &mut Client, question: &str, expected: &str, span: Duration) -> Vec<Duration> {
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < span {
        let asked = Instant::now();
        assert_eq!(client.ask(question), expected);
        times.push(asked.elapsed());
    }
    times
}
