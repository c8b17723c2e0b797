//! The latest requests that took long, for `slowlog`. Bounded; knows no request.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Slow requests that are remembered.
pub const MAX_REMEMBERED: usize = 512;

/// The characters that are remembered of a question.
const MAX_TITLE: usize = 100;

/// A request that took long.
#[derive(Clone, Debug)]
pub struct Slow {
    /// When it was answered.
    pub at: SystemTime,
    /// Who asked.
    pub client: u64,
    /// Which of its requests; none if it is a submitted job itself.
    pub request: Option<u64>,
    /// The submitted job that it waited for.
    pub job: Option<u64>,
    /// What it asked.
    pub title: String,
    /// How long it waited until it was begun.
    pub queue: Duration,
    /// The CPU time of its work so far, which others may have asked for too.
    pub cpu: Duration,
    /// From its arrival in the engine to its answer.
    pub wall: Duration,
    /// `ok`, or the code of the error.
    pub outcome: &'static str,
}

/// The latest requests that took long.
#[derive(Debug, Default)]
pub struct SlowRequests(Mutex<VecDeque<Slow>>);

impl SlowRequests {
    /// Remembers one more; the earliest is forgotten.
    pub fn push(&self, mut slow: Slow) {
        if let Some((end, _)) = slow.title.char_indices().nth(MAX_TITLE) {
            slow.title.truncate(end);
        }
        slow.title.shrink_to_fit();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == MAX_REMEMBERED {
            all.pop_front();
        }
        all.push_back(slow);
    }

    /// Those that took longest, the longest first.
    pub fn longest(&self, count: usize) -> Vec<Slow> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let order = |index: usize| (Reverse(all[index].wall), index);
        let mut longest: Vec<usize> = (0..all.len()).collect();
        // A session asks for these in its turn: what is not shown is neither sorted nor copied.
        if count < longest.len() {
            longest.select_nth_unstable_by_key(count, |&index| order(index));
            longest.truncate(count);
        }
        longest.sort_unstable_by_key(|&index| order(index));
        longest.into_iter().map(|index| all[index].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow(request: u64, ms: u64) -> Slow {
        Slow {
            at: SystemTime::UNIX_EPOCH,
            client: 1,
            request: Some(request),
            job: None,
            title: "é".repeat(1_000),
            queue: Duration::ZERO,
            cpu: Duration::ZERO,
            wall: Duration::from_millis(ms),
            outcome: "ok",
        }
    }

    #[test]
    fn the_longest_of_the_latest_come_first_and_the_rest_is_forgotten() {
        let all = SlowRequests::default();
        all.push(slow(0, 1_000_000));
        for request in 1..=512 {
            all.push(slow(request, 1_000 - request));
        }
        let longest = all.longest(2);
        assert_eq!(
            longest.iter().filter_map(|slow| slow.request).collect::<Vec<_>>(),
            [1, 2]
        );
        assert_eq!(longest[0].title.chars().count(), MAX_TITLE);
        assert_eq!(all.longest(usize::MAX).len(), MAX_REMEMBERED);
        assert_eq!(all.longest(0).len(), 0);
    }
}
