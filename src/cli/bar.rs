//! A progress bar in the last line of a terminal, on standard error. Knows `pct=41.3 eta=18s`, not who sent it.
//!
//! The time left is the daemon's own estimate, or none: it knows the cost of the work, which a bar does not.

use super::complain;
use crate::proto::progress_field;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::borrow::Cow;

/// The tenths of a percent.
const LENGTH: u64 = 1000;

/// Wide enough to see it move, and narrow enough for the text beside it on 80 columns.
const TEMPLATE: &str = "{prefix}[{bar:30.cyan}] {msg}";

/// A bar that is shown from the first progress to the next other output.
#[derive(Default)]
pub(super) struct Bar {
    shown: Option<ProgressBar>,
    /// What a terminal that cannot move its cursor has been shown last.
    plain: String,
}

impl Bar {
    /// Shows progress; a terminal that cannot move its cursor gets a line for each whole percent.
    pub(super) fn show(&mut self, label: &str, progress: &str) {
        let text = readable(progress);
        if console::is_dumb() {
            let whole = text.split(['.', ' ']).next().unwrap_or_default();
            if self.plain != whole {
                self.plain = whole.to_owned();
                complain(format_args!("{label}{text}"));
            }
            return;
        }
        let bar = self.shown.get_or_insert_with(new);
        bar.set_prefix(Cow::Owned(label.to_owned()));
        bar.set_message(text);
        if let Some(tenths) = tenths(progress) {
            bar.set_position(tenths);
        }
        bar.tick();
    }

    /// Erases the bar.
    pub(super) fn wipe(&mut self) {
        if let Some(bar) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

fn new() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(LENGTH), ProgressDrawTarget::stderr());
    // The template is a constant, and a test shows that it is one.
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// `pct=41.3 eta=18s` for people. Below a tenth of a percent the time left is left out: it is an extrapolation of more
/// than a thousandfold.
pub(super) fn readable(progress: &str) -> String {
    let value = |key: &str| progress_field(progress, key);
    match (value("pct"), value("eta"), value("stalled")) {
        (Some(percent), Some(left), _) if percent != "0.0" => format!("{percent} %, {left} left{}", stage(progress)),
        (Some(percent), _, _) => format!("{percent} %{}", stage(progress)),
        (_, _, Some(since)) => format!("waiting for {since}"),
        _ => progress.to_owned(),
    }
}

/// What the work is at, after a comma, if the progress says it.
fn stage(progress: &str) -> String {
    let stage = progress_field(progress, "stage").map(|stage| format!(", {stage}"));
    stage.unwrap_or_default()
}

fn tenths(progress: &str) -> Option<u64> {
    let percent = progress_field(progress, "pct")?.parse::<f64>().ok()?;
    Some((percent * 10.0).clamp(0.0, LENGTH as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn the_position_is_the_percentage() {
        assert_eq!(tenths("pct=41.3 eta=18s"), Some(413));
        assert_eq!(tenths("stalled=12s"), None);
        assert_eq!(tenths("pct=1e300"), Some(1000));
        assert_eq!(tenths("pct=NaN"), Some(0));
    }

    #[test]
    fn the_time_left_is_shown_once_it_means_something() {
        assert_eq!(readable("pct=41.3 eta=18s"), "41.3 %, 18s left");
        assert_eq!(readable("pct=0.0 eta=155d"), "0.0 %");
        assert_eq!(
            readable("pct=0.1 eta=3h stage=ecm curves=1/9"),
            "0.1 %, 3h left, ecm curves=1/9"
        );
        assert_eq!(readable("pct=5.0"), "5.0 %");
        assert_eq!(readable("pct=5.0 stage=ecm eta=9"), "5.0 %, ecm eta=9");
        assert_eq!(readable("stalled=12s"), "waiting for 12s");
    }
}
