//! The output of a run: a line for each second, a summary, or JSON.

use super::tally::Tally;
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// A generator that computes for more of the time than this is what limits the rate.
const SATURATED: f64 = 0.95;

/// A run, as it was ordered and as it went.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) server: String,
    pub(super) mix: String,
    pub(super) connections: usize,
    pub(super) depth: usize,
    pub(super) threads: usize,
    /// Requests a second that were ordered, in an open loop.
    pub(super) rate: Option<f64>,
    pub(super) elapsed: Duration,
    pub(super) tally: Tally,
    /// CPU time of all generators.
    pub(super) generator_cpu: Duration,
    /// CPU time of the daemon, if it is our own.
    pub(super) daemon_cpu: Option<Duration>,
}

/// The line above the lines of [`second`].
pub(super) fn header() -> String {
    format!(
        "{:>6} {:>12} {:>10} {:>10} {:>10} {:>8}",
        "second", "replies/s", "p50", "p99", "max", "errors"
    )
}

/// What was seen in one second.
pub(super) fn second(number: u64, tally: &Tally) -> String {
    format!(
        "{number:>6} {:>12} {:>10} {:>10} {:>10} {:>8}",
        tally.replies,
        Latency(tally.quantile(0.5)).to_string(),
        Latency(tally.quantile(0.99)).to_string(),
        Latency(tally.longest()).to_string(),
        tally.errors_total()
    )
}

impl Summary {
    fn replies_per_second(&self) -> f64 {
        self.tally.replies as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The share of their time in which the generators computed.
    fn generator_load(&self) -> f64 {
        self.generator_cpu.as_secs_f64() / (self.elapsed.as_secs_f64() * self.threads as f64).max(1e-9)
    }

    fn per_reply(&self, cpu: Duration) -> Duration {
        Duration::from_secs_f64(cpu.as_secs_f64() / (self.tally.replies as f64).max(1.0))
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let tally = &self.tally;
        let microseconds = |duration: Duration| rounded(duration.as_nanos() as f64 / 1000.0, 1);
        json!({
            "server": self.server,
            "mix": self.mix,
            "connections": self.connections,
            "depth": self.depth,
            "threads": self.threads,
            "rate": self.rate,
            "seconds": rounded(self.elapsed.as_secs_f64(), 6),
            "replies": tally.replies,
            "replies_per_second": rounded(self.replies_per_second(), 1),
            "unanswered": tally.unanswered,
            "latency_us": {
                "p50": microseconds(tally.quantile(0.5)),
                "p90": microseconds(tally.quantile(0.9)),
                "p99": microseconds(tally.quantile(0.99)),
                "p99.9": microseconds(tally.quantile(0.999)),
                "max": microseconds(tally.longest()),
                "mean": rounded(tally.latency_ns.mean() / 1000.0, 1),
            },
            "errors": tally.errors,
            "errors_total": tally.errors_total(),
            "first_error": tally.first_error,
            "bytes_sent": tally.sent,
            "bytes_received": tally.received,
            "generator_cpu_seconds": rounded(self.generator_cpu.as_secs_f64(), 6),
            "generator_load": rounded(self.generator_load(), 3),
            "daemon_cpu_seconds": self.daemon_cpu.map(|cpu| rounded(cpu.as_secs_f64(), 6)),
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        writeln!(
            f,
            "{} replies in {:.2} s: {:.0} a second{}",
            tally.replies,
            self.elapsed.as_secs_f64(),
            self.replies_per_second(),
            self.rate
                .map(|rate| format!(" of {rate:.0} wanted"))
                .unwrap_or_default()
        )?;
        writeln!(
            f,
            "latency    p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            Latency(tally.quantile(0.5)),
            Latency(tally.quantile(0.9)),
            Latency(tally.quantile(0.99)),
            Latency(tally.quantile(0.999)),
            Latency(tally.longest())
        )?;
        if tally.unanswered > 0 {
            writeln!(
                f,
                "unanswered {}; each counts above with the time it had waited",
                tally.unanswered
            )?;
        }
        match &tally.first_error {
            None => writeln!(f, "errors     none")?,
            Some(first) => {
                let counts: Vec<String> = tally
                    .errors
                    .iter()
                    .map(|(code, count)| format!("{code} {count}"))
                    .collect();
                writeln!(f, "errors     {}; the first: {first}", counts.join(", "))?;
            }
        }
        writeln!(
            f,
            "bytes      {} sent, {} received",
            Bytes(tally.sent),
            Bytes(tally.received)
        )?;
        let generator = self.generator_load() * 100.0;
        write!(f, "CPU        generator {generator:.0} % of {}", threads(self.threads))?;
        if let Some(cpu) = self.daemon_cpu {
            write!(
                f,
                ", daemon {:.0} % of a core, {} a reply",
                cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9) * 100.0,
                Latency(self.per_reply(cpu))
            )?;
        }
        if self.generator_load() > SATURATED {
            write!(
                f,
                "\nThe generator computed all the time: it may be what limits these figures. Try --threads {}.",
                self.threads + 1
            )?;
        }
        Ok(())
    }
}

/// Without the digits that the measurement does not bear.
fn rounded(figure: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (figure * scale).round() / scale
}

fn threads(count: usize) -> String {
    match count {
        1 => "1 thread".into(),
        _ => format!("{count} threads"),
    }
}

/// A duration with three digits and its unit.
struct Latency(Duration);

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos() as f64;
        let (figure, unit) = match ns {
            0.0..1e3 => return write!(f, "{ns} ns"),
            1e3..1e6 => (ns / 1e3, "us"),
            1e6..1e9 => (ns / 1e6, "ms"),
            _ => (ns / 1e9, "s"),
        };
        let digits = if figure < 10.0 { 2 } else { usize::from(figure < 100.0) };
        write!(f, "{figure:.digits$} {unit}")
    }
}

/// An amount of bytes with its unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 as f64 {
            bytes @ 1e9.. => write!(f, "{:.2} GB", bytes / 1e9),
            bytes @ 1e6.. => write!(f, "{:.1} MB", bytes / 1e6),
            bytes @ 1e3.. => write!(f, "{:.1} kB", bytes / 1e3),
            bytes => write!(f, "{bytes} B"),
        }
    }
}
