//! `primed demo`: the classic experiment, live. One client asks a short question over and over; then long ones start.
//!
//! On a single event loop the short answers stop when the first long question arrives. Here they must not stop.

use super::quantity;
use crate::Daemon;
use crate::engine::Policy;
use crate::proto::{ParsedLine, parse_line};
use hdrhistogram::Histogram;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Seconds before the long questions.
const QUIET_SECONDS: usize = 3;
/// The bar of the first second; the others are drawn to its scale.
const FIRST_BAR: f64 = 15.0;
/// The widest bar that fits beside the figures.
const LONGEST_BAR: usize = 46;

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Threads that compute [default: one a core]
    #[arg(long, value_name = "N", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// Seconds with long questions
    #[arg(long, value_name = "N", default_value = "7", value_parser = quantity::positive)]
    seconds: NonZeroUsize,
    /// The short question
    #[arg(value_name = "REQUEST", default_value = "1", allow_negative_numbers = true)]
    request: Vec<String>,
}

/// What the client saw in one second.
struct Second {
    requests: u64,
    latency_us: Histogram<u64>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let workers = self.workers.or_else(|| std::thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);
        let question = self.request.join(" ");
        anyhow::ensure!(
            parse_line(question.as_bytes()) != Ok(ParsedLine::Blank) && !question.contains('\n'),
            "'{question}' is not a question; write one, such as 'isprime 2^61-1'"
        );
        // Workers are to compute the answer each time.
        let policy = Policy {
            max_answers: 0,
            ..Policy::default()
        };
        let daemon = Daemon::new()
            .workers(workers)
            .policy(policy)
            .listen(([127, 0, 0, 1], 0).into())
            .spawn()?;
        let address = daemon.addresses()[0];
        let mut client = Client::connect(address)?;
        if let Some(error) = client.ask(&question)?.strip_prefix("ERR ") {
            anyhow::bail!("the daemon refuses '{question}': {error}");
        }
        let mut out = std::io::stdout();
        writeln!(
            out,
            "a daemon on {address} with {workers} workers;\none client asks '{question}', waits for the answer, asks again"
        )?;
        writeln!(out, "{:>6} {:>12} {:>10}", "second", "requests/s", "p99")?;
        let seconds = QUIET_SECONDS + self.seconds.get();
        let mut long = Vec::new();
        let mut rates = Vec::new();
        for second in 0..seconds {
            if second == QUIET_SECONDS {
                long = begin_long(address, 2 * workers)?;
                writeln!(
                    out,
                    "{:-<76}",
                    format!("-- from here on with {} questions like 'pi 10^18' ", long.len())
                )?;
            }
            let seen = client.ask_for_a_second(&question)?;
            rates.push(seen.requests);
            let length = seen.requests as f64 / rates[0] as f64 * FIRST_BAR;
            let bar = "#".repeat((length.round() as usize).min(LONGEST_BAR));
            let p99 = seen.latency_us.value_at_quantile(0.99);
            writeln!(out, "{:>6} {:>12} {:>7} us {bar}", second + 1, seen.requests, p99)?;
        }
        let before = mean(&rates[..QUIET_SECONDS]);
        let beside = mean(&rates[QUIET_SECONDS..]);
        let share = |rate: f64| 100.0 * rate / before;
        let (least, most) = range(&rates[QUIET_SECONDS..]);
        writeln!(
            out,
            "the rate stayed at {:.0} to {:.0} % of {before:.0} requests a second beside {} long questions, {:.0} % on average",
            share(least),
            share(most),
            long.len(),
            share(beside)
        )?;
        writeln!(out, "(the asyncio service this is modelled on goes from 7300 to 0)")?;
        drop(long);
        daemon.stop(Duration::ZERO);
        Ok(ExitCode::SUCCESS)
    }
}

fn mean(rates: &[u64]) -> f64 {
    rates.iter().sum::<u64>() as f64 / rates.len() as f64
}

/// The lowest and the highest rate.
fn range(rates: &[u64]) -> (f64, f64) {
    let least = rates.iter().min().copied().unwrap_or_default();
    let most = rates.iter().max().copied().unwrap_or_default();
    (least as f64, most as f64)
}

/// Asks questions that take hours, each on a connection of its own and none equal to another.
fn begin_long(address: SocketAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let ask = |index| {
        let mut stream = TcpStream::connect(address)?;
        writeln!(stream, "pi {}", 1_000_000_000_000_000_000u64 + index as u64)?;
        Ok(stream)
    };
    (0..count).map(ask).collect()
}

struct Client {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
    /// The request, then the lines of its reply.
    line: String,
}

impl Client {
    fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let replies = BufReader::new(stream.try_clone()?);
        Ok(Self {
            stream,
            replies,
            line: String::new(),
        })
    }

    /// Asks once; returns the final line of the reply.
    fn ask(&mut self, question: &str) -> anyhow::Result<&str> {
        self.line.clear();
        self.line.extend([question, "\n"]);
        self.stream.write_all(self.line.as_bytes())?;
        loop {
            self.line.clear();
            let count = self.replies.read_line(&mut self.line)?;
            anyhow::ensure!(
                count > 0,
                "the daemon closed the connection: start it again, and then the demo"
            );
            if !self.line.starts_with(['=', '*']) {
                return Ok(self.line.trim_end());
            }
        }
    }

    /// Asks for one second.
    fn ask_for_a_second(&mut self, question: &str) -> anyhow::Result<Second> {
        let mut latency_us = Histogram::new(3)?;
        let mut requests = 0;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let asked = Instant::now();
            self.ask(question)?;
            latency_us.record(u64::try_from(asked.elapsed().as_micros())?)?;
            requests += 1;
        }
        Ok(Second { requests, latency_us })
    }
}
