//! Timers that fire long after their moment: the process stood still, as at SIGSTOP or in a machine that is paused.
//! What clients sent meanwhile may not be noticed yet, for a look at the sockets may have ended just before. Knows no
//! session.

use std::time::Duration;
use tokio::time::Instant;

/// A timer that fires this much later than it should says that the process stood still.
const STOOD_STILL: Duration = Duration::from_millis(100);

/// A timer that is set now for this long fires after the next look at the sockets: the runtime looks at them first.
const NEXT_LOOK: Duration = Duration::from_millis(1);

/// What was found to be overdue after the process stood still.
#[derive(Debug, Default)]
pub(crate) struct Overdue(Option<Instant>);

impl Overdue {
    /// When to decide about a client whose time was over at `due`, if not now: once for each such moment.
    #[inline]
    pub(crate) fn postpone(&mut self, due: Instant, now: Instant) -> Option<Instant> {
        let is_new = !self.is_postponed(due) && now.saturating_duration_since(due) >= STOOD_STILL;
        is_new.then(|| {
            self.0 = Some(due);
            now + NEXT_LOOK
        })
    }

    /// Whether this moment was postponed.
    #[inline]
    pub(crate) fn is_postponed(&self, due: Instant) -> bool {
        self.0 == Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_standstill_the_sockets_are_looked_at_once_more() {
        let due = Instant::now();
        let mut overdue = Overdue::default();
        let in_time = due + Duration::from_millis(20);
        assert_eq!(overdue.postpone(due, in_time), None);
        let late = due + Duration::from_secs(40);
        assert_eq!(overdue.postpone(due, late), Some(late + NEXT_LOOK));
        assert!(overdue.is_postponed(due));
        assert_eq!(overdue.postpone(due, late + NEXT_LOOK), None);
        let next = late + Duration::from_secs(1);
        assert!(!overdue.is_postponed(next));
        assert!(overdue.postpone(next, next + Duration::from_secs(40)).is_some());
    }
}
