//! The words that a client sends, and the progress that it receives. Knows no socket.

use super::Error;
use crate::proto::{Code, Failure, progress_field};
use std::time::Duration;

pub use crate::proto::{ReplyLine, split_tag};

/// Refuses words that are not one line. Their length is limited by the daemon.
pub(super) fn check(words: &str) -> Result<(), Error> {
    match words.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        true => Ok(()),
        false => Err(Failure::new(Code::Syntax, "a request is one line of printable ASCII").into()),
    }
}

/// The progress of a question.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// The percentage that is done; `None` while the work does not advance.
    pub percent: Option<f64>,
    /// How long the rest will take, once that can be estimated.
    pub eta: Option<Duration>,
    /// For how long the work has not advanced, from a second on.
    pub stalled: Option<Duration>,
    /// What the work is at, in words of its verb: `ecm curves=120/430`; of what may not begin yet `parked` or `queued`.
    pub stage: Option<String>,
}

impl Progress {
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| progress_field(text, key);
        let duration = |key: &str| value(key).and_then(|text| humantime::parse_duration(text).ok());
        Self {
            percent: value("pct").and_then(|percent| percent.parse().ok()),
            eta: duration("eta"),
            stalled: duration("stalled"),
            stage: value("stage").map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_percentage_and_the_time_left() {
        let progress = Progress::parse("pct=41.3 eta=12min stage=ecm curves=120/430");
        assert_eq!(
            (progress.percent, progress.eta),
            (Some(41.3), Some(Duration::from_secs(720)))
        );
        assert_eq!(progress.stage.as_deref(), Some("ecm curves=120/430"));
        assert_eq!(progress.stalled, None);
        let stalled = Progress::parse("stalled=12s");
        assert_eq!(
            (stalled.percent, stalled.stalled),
            (None, Some(Duration::from_secs(12)))
        );
        let eta = Duration::from_secs(11_205 * 31_557_600);
        assert_eq!(
            Progress::parse("pct=0.0 eta=11205y").eta,
            Some(eta),
            "years of 365.25 days"
        );
    }
}
