//! The table, in Markdown.

use super::measure::{Figures, Measurement};
use std::time::Duration;

pub(super) const HEADER: &str = "\
| style | connections | beside a long question | requests/s | p99 | unanswered | memory | threads |
|---|---|---|---|---|---|---|---|";

pub(super) fn row(measurement: &Measurement) -> String {
    let Measurement {
        style,
        connections,
        is_beside_long,
        outcome,
    } = measurement;
    let beside = if *is_beside_long { "yes" } else { "no" };
    let figures = match outcome {
        Ok(figures) => cells(figures),
        Err(why) => format!("breaks: {why} | | | | "),
    };
    format!("| {style} | {connections} | {beside} | {figures} |")
}

fn cells(figures: &Figures) -> String {
    let Figures {
        requests_per_second,
        p99,
        unanswered,
        memory_mib,
        threads,
    } = figures;
    format!(
        "{requests_per_second:.0} | {} | {unanswered} | {memory_mib:.1} MiB | {threads}",
        short(*p99)
    )
}

fn short(duration: Duration) -> String {
    match duration.as_micros() {
        us @ 0..1_000 => format!("{us} us"),
        us @ 1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        us => format!("{:.1} s", us as f64 / 1e6),
    }
}
