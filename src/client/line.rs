//! The words that a client sends, and the progress that it receives. Knows no socket.

use super::Error;
use crate::proto::{Code, Failure};
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The percentage that is done; `None`: nothing has moved for a while.
    pub percent: Option<f64>,
    /// How long the rest will take, once that can be estimated.
    pub eta: Option<Duration>,
}

impl Progress {
    pub(super) fn parse(text: &str) -> Self {
        let value = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key));
        Self {
            percent: value("pct=").and_then(|percent| percent.parse().ok()),
            eta: value("eta=").and_then(|eta| humantime::parse_duration(eta).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_a_percentage_and_the_time_left() {
        let (percent, eta) = (Some(41.3), Some(Duration::from_secs(720)));
        assert_eq!(Progress::parse("pct=41.3 eta=12min"), Progress { percent, eta });
        assert_eq!(Progress::parse("stalled=12s").percent, None);
        let eta = Duration::from_secs(11_205 * 31_557_600);
        assert_eq!(
            Progress::parse("pct=0.0 eta=11205y").eta,
            Some(eta),
            "years of 365.25 days"
        );
    }
}
