//! Replies before they are encoded. Knows what they can hold, not how a dialect encodes it or when it may be sent.

use super::{Failure, Value};
use bytes::Bytes;
use std::time::Duration;

/// What a request comes to.
pub type Reply = Result<Value, Failure>;

/// How a request ended, in a word: `ok`, or the code of the error.
pub fn outcome(reply: &Reply) -> &'static str {
    reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok")
}

/// The final reply to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Final {
    /// To be encoded.
    Reply(Reply),
    /// Encoded already, by the dialect that answers a handshake command.
    Encoded(Bytes),
}

impl Final {
    /// False for an error reply.
    pub const fn is_ok(&self) -> bool {
        !matches!(self, Self::Reply(Err(_)))
    }

    /// How the request ended, in a word.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Reply(reply) => outcome(reply),
            Self::Encoded(_) => "ok",
        }
    }
}

impl From<Reply> for Final {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// What comes before the final reply.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Interim {
    /// The progress of the work.
    Progress {
        /// The share of the cost that is done, 0.0..=1.0.
        done: f64,
        /// How long the rest will take, once that can be estimated.
        eta: Option<Duration>,
        /// What the work is at, if there is more to say than the share.
        stage: Option<String>,
    },
    /// There has been no progress for this time.
    Stalled(Duration),
    /// Rows of data, each without its line feed.
    Rows(Vec<String>),
}

impl Interim {
    /// Progress as words `key=value`; nothing for rows.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Rows(_) => String::new(),
            Self::Stalled(since) => format!("stalled={}", short_duration(*since)),
            Self::Progress { done, eta, stage } => {
                // Never "100.0" before the reply, nor "-0.0": that is the sum of no floats, and `clamp` keeps the sign.
                let percent = (done * 1000.0).floor().clamp(0.0, 999.0) / 10.0 + 0.0;
                let eta = eta
                    .map(|eta| format!(" eta={}", short_duration(eta)))
                    .unwrap_or_default();
                let stage = stage
                    .as_ref()
                    .map(|stage| format!(" stage={}", printable(stage)))
                    .unwrap_or_default();
                format!("pct={percent:.1}{eta}{stage}")
            }
        }
    }
}

/// The fields of progress as [`Interim::words`] writes them, `key=value`. The stage has the rest of the words.
pub(crate) fn progress_fields(words: &str) -> impl Iterator<Item = (&str, &str)> {
    let (words, stage) = match words.split_once("stage=") {
        Some((words, stage)) => (words, Some(("stage", stage))),
        None => (words, None),
    };
    words.split(' ').filter_map(|word| word.split_once('=')).chain(stage)
}

/// The value of this field of progress.
pub(crate) fn progress_field<'a>(words: &'a str, key: &str) -> Option<&'a str> {
    progress_fields(words).find_map(|(field, value)| (field == key).then_some(value))
}

/// The fields of a row of `jobs`, `key=value`: the state and progress, whose stage goes up to the CPU time, what
/// follows it, and the request, which has the rest of the row.
#[cfg(feature = "http")]
pub(crate) fn job_fields(row: &str) -> impl Iterator<Item = (&str, &str)> {
    let (state, words) = row.split_at(row.find(" cpu=").unwrap_or(0));
    let (words, request) = match words.split_once(" request=") {
        Some((words, request)) => (words, Some(("request", request))),
        None => (words, None),
    };
    let words = words.split(' ').filter_map(|word| word.split_once('='));
    progress_fields(state).chain(words).chain(request)
}

/// The beginning of what a plan calls its stage, which is a word or some of one line.
fn printable(stage: &str) -> String {
    const MOST: usize = 80;
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    stage.chars().take(MOST).map(printable).collect()
}

/// A duration in one unit, rounded down: `85ms`, `18s`, `12min`, `3h`, `40d`, `11205y`; up to a thousand years it has
/// three digits at most. Years are of 365.25 days, as `deadline=` and the client of `primed` read them.
pub(super) fn short_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds @ 172_800..63_115_200 => format!("{}d", seconds / 86_400),
        seconds => format!("{}y", seconds / 31_557_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_largest_unit_of_which_there_are_two() {
        let day = 86_400;
        for (seconds, shown) in [
            (0, "0ms"),
            (119, "119s"),
            (120, "2min"),
            (7_199, "119min"),
            (7_200, "2h"),
            (2 * day - 1, "47h"),
            (2 * day, "2d"),
            (730 * day, "730d"),
            (731 * day, "2y"),
            (4_092_860 * day, "11205y"),
            (u64::MAX, "584542046090y"),
        ] {
            assert_eq!(short_duration(Duration::from_secs(seconds)), shown, "{seconds} s");
        }
    }

    #[test]
    fn a_percentage_has_no_sign_and_is_below_a_hundred() {
        let words = |done| {
            Interim::Progress {
                done,
                eta: None,
                stage: None,
            }
            .words()
        };
        for (done, shown) in [
            (-0.0, "pct=0.0"),
            (-1.0, "pct=0.0"),
            (0.1239, "pct=12.3"),
            (1.0, "pct=99.9"),
        ] {
            assert_eq!(words(done), shown, "{done}");
        }
    }

    #[test]
    fn a_stage_has_the_rest_of_the_words() {
        let fields: Vec<_> = progress_fields("pct=0.0 eta=3h stage=ecm curves=1/9 pct=7").collect();
        assert_eq!(
            fields,
            [("pct", "0.0"), ("eta", "3h"), ("stage", "ecm curves=1/9 pct=7")]
        );
        assert_eq!(progress_fields("stalled=12s").collect::<Vec<_>>(), [("stalled", "12s")]);
        assert_eq!(progress_fields("").count(), 0);
    }

    #[cfg(feature = "http")]
    #[test]
    fn the_request_of_a_job_is_the_rest_of_its_row_and_the_stage_goes_up_to_the_cpu_time() {
        let row = "id=7 state=running pct=0.0 stage=ecm curves=1/9 id=8 request=x cpu=1.5s owner=x request=sum 1 2 a=b";
        assert_eq!(
            job_fields(row).collect::<Vec<_>>(),
            [
                ("id", "7"),
                ("state", "running"),
                ("pct", "0.0"),
                ("stage", "ecm curves=1/9 id=8 request=x"),
                ("cpu", "1.5s"),
                ("owner", "x"),
                ("request", "sum 1 2 a=b")
            ]
        );
        let without_time: Vec<_> = job_fields("id=7 state=failed error=too-big request=pi 5").collect();
        assert_eq!(
            without_time,
            [
                ("id", "7"),
                ("state", "failed"),
                ("error", "too-big"),
                ("request", "pi 5")
            ]
        );
    }

    #[test]
    fn a_stage_is_one_line_of_bounded_length() {
        let stage = |text: &str| Interim::Progress {
            done: 0.5,
            eta: None,
            stage: Some(text.to_owned()),
        };
        assert_eq!(stage("a\nOK forged").words(), "pct=50.0 stage=a?OK forged");
        assert_eq!(stage(&"x".repeat(1_000)).words().len(), "pct=50.0 stage=".len() + 80);
    }
}
