//! The log of `serve` on standard error, beside what else wants its events. Knows no event.

use super::log_lines::LogLines;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt, registry, reload};

/// Puts another filter into force.
pub(super) type SetFilter = Box<dyn Fn(Targets) -> Result<(), reload::Error>>;

/// Something beside the log that events go to.
pub(super) type Beside = Box<dyn Layer<Registry> + Send + Sync>;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people, in colours on a terminal.
    Text,
    /// An object a line, for programs.
    Json,
}

/// A filter is kept as it is written, so that it can be shown.
pub(super) fn read_filter(text: &str) -> Result<String, String> {
    // A word that is not a level would be taken for a module of some program, and silence everything else.
    let is_meant = |part: &str| {
        let part = part.trim();
        part.contains('=') || part.starts_with("primed") || part.parse::<LevelFilter>().is_ok()
    };
    match parse(text) {
        Ok(_) if text.split(',').all(is_meant) => Ok(text.to_owned()),
        _ => Err("write off, error, warn, info, debug or trace, or a level for a module, like primed=trace".into()),
    }
}

/// The filter that was written. At `info` the client of NATS reports every attempt to connect, of which the cluster
/// says the first.
pub(super) fn filter(text: &str) -> Targets {
    let is_info = text.split(',').any(|part| part.trim().eq_ignore_ascii_case("info"));
    let targets = parse(text).unwrap_or_default();
    match is_info && !text.contains("async_nats") {
        true => targets.with_target("async_nats", LevelFilter::WARN),
        false => targets,
    }
}

/// `LEVEL` or `MODULE=LEVEL`, with commas and perhaps spaces between them.
fn parse(text: &str) -> Result<Targets, ParseError> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    parts.join(",").parse()
}

/// Starts the log, and what is beside it, which the filter does not concern.
pub(super) fn start(text: &str, format: LogFormat, beside: Option<Beside>) -> SetFilter {
    let lines = fmt::layer().with_writer(LogLines::new(std::io::stderr(), format));
    let lines = match format {
        LogFormat::Text => lines.with_ansi(console::colors_enabled_stderr()).boxed(),
        // There are no spans: events have their ids as fields.
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter(text));
    registry().with(beside).with(lines.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    Box::new(move |filter| handle.reload(filter))
}
