//! Starts a server of a style, loads it, and reads what it took.

use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long each server is loaded.
const LOAD: &str = "3s";
/// A question that keeps a core busy for minutes.
const LONG: &[u8] = b"100000000000000000\n";

/// What a style did under one load.
pub(super) struct Measurement {
    pub(super) style: &'static str,
    pub(super) connections: usize,
    pub(super) is_beside_long: bool,
    pub(super) outcome: Result<Figures, String>,
}

pub(super) struct Figures {
    pub(super) requests_per_second: f64,
    pub(super) p99: Duration,
    /// Connections that were waiting for a reply to their first request when the load ended, or lost.
    pub(super) unanswered: u64,
    pub(super) memory_mib: f64,
    pub(super) threads: u64,
}

/// A child process that ends with its owner.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(style: &str) -> io::Result<Self> {
        let mut command = match style {
            "primed" => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
                command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data", "none"]);
                command
            }
            style => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["serve", style]);
                command
            }
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        BufReader::new(output).read_line(&mut line)?;
        let words = line.split([' ', ';', '\n']);
        let address = words.filter_map(|word| word.parse().ok()).next();
        let address = address.ok_or_else(|| io::Error::other(format!("no address in {line:?}")))?;
        Ok(Self { child, address })
    }

    /// Its resident memory in MiB and the number of its threads.
    fn size(&self) -> Option<(f64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Some((field("VmRSS:")? as f64 / 1024.0, field("Threads:")?))
    }

    /// The last output of a server that ended by itself.
    fn last_words(&mut self) -> Option<String> {
        self.child.try_wait().ok()??;
        let mut text = String::new();
        self.child.stderr.take()?.read_to_string(&mut text).ok()?;
        Some(text.lines().last().unwrap_or_default().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Loads a fresh server of this style.
pub(super) fn measure(style: &'static str, connections: usize, is_beside_long: bool) -> io::Result<Measurement> {
    let mut server = Server::start(style)?;
    let mut long = TcpStream::connect(server.address)?;
    if is_beside_long {
        long.write_all(LONG)?;
    } else {
        drop(long);
    }
    let mut load = Command::new(env!("CARGO_BIN_EXE_primed"))
        .args(["bench", "--json", "--duration", LOAD, "--mix", "1..16"])
        .args(["--connections", &connections.to_string()])
        .args(["--connect", &server.address.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut size = (0.0, 0);
    while load.try_wait()?.is_none() {
        if let Some((memory, threads)) = server.size() {
            size = (memory.max(size.0), threads.max(size.1));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = load.wait_with_output()?;
    let report = serde_json::from_slice::<Value>(&output.stdout).ok();
    let figures = report.as_ref().and_then(|report| {
        Some(Figures {
            requests_per_second: report["replies_per_second"].as_f64()?,
            p99: Duration::from_secs_f64(report["latency_us"]["p99"].as_f64()? / 1e6),
            unanswered: report["unanswered"].as_u64()?,
            memory_mib: size.0,
            threads: size.1,
        })
    });
    let outcome = figures.ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.lines().last().unwrap_or_default().to_owned();
        server
            .last_words()
            .filter(|words| !words.is_empty())
            .unwrap_or(complaint)
    });
    Ok(Measurement {
        style,
        connections,
        is_beside_long,
        outcome,
    })
}

/// As many descriptors as the system allows; children inherit it.
pub(super) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}
