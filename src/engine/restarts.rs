//! How often an actor may be restarted before that is given up, as service managers do it. Plain data; knows no actor.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Panics within [`WINDOW`] that end the daemon: what fails again and again needs a fresh process.
const MOST: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);

/// The panics of an actor lately.
#[derive(Debug, Default)]
pub(crate) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Counts a panic. False if there were too many of them lately.
    pub(crate) fn may_go_on(&mut self, now: Instant) -> bool {
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.0.pop_front();
        }
        self.0.len() < MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_panics_in_a_minute_are_too_many_and_rare_ones_never_are() {
        let begun = Instant::now();
        let mut often = Restarts::default();
        let goes_on: Vec<bool> = (0..5)
            .map(|n| often.may_go_on(begun + Duration::from_secs(n)))
            .collect();
        assert_eq!(goes_on, [true, true, true, true, false]);
        let mut rarely = Restarts::default();
        assert!((0..100).all(|n| rarely.may_go_on(begun + Duration::from_secs(16 * n))));
    }
}
