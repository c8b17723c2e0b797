//! From the moments of the engine's clock to the time of day and back. Plain data: the scheduler says what time it is.

use crate::store::Timestamp;
use std::time::{Duration, Instant};

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    moment: Instant,
    time: Timestamp,
}

impl Wall {
    /// Until it is [set](Self::set), time begins in 1970.
    pub(super) const fn new(moment: Instant) -> Self {
        let time = Timestamp::from_millis(0);
        Self { moment, time }
    }

    /// The time of day is this at that moment. It may be set forwards and back.
    pub(super) const fn set(&mut self, moment: Instant, time: Timestamp) {
        *self = Self { moment, time };
    }

    /// When it was set.
    pub(super) const fn compared(&self) -> Instant {
        self.moment
    }

    /// The time of day at a moment.
    pub(super) fn at(&self, moment: Instant) -> Timestamp {
        let time = self.time.time();
        let earlier = self.moment.saturating_duration_since(moment);
        let time = time + moment.saturating_duration_since(self.moment);
        time.checked_sub(earlier).unwrap_or(time).into()
    }

    /// The moment of a time of day; `now` if the engine's clock does not reach there.
    pub(super) fn instant(&self, time: Timestamp, now: Instant) -> Instant {
        let later = Duration::from_millis(time.millis().saturating_sub(self.time.millis()));
        let earlier = Duration::from_millis(self.time.millis().saturating_sub(time.millis()));
        let moment = self.moment.checked_add(later);
        moment.and_then(|moment| moment.checked_sub(earlier)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_times_of_day_go_together() {
        let now = Instant::now();
        let mut wall = Wall::new(now);
        wall.set(now, Timestamp::from_millis(1_000_000));
        let later = now + Duration::from_millis(1_500);
        assert_eq!(wall.at(later).millis(), 1_001_500);
        assert_eq!(wall.instant(Timestamp::from_millis(1_001_500), now), later);
        assert_eq!(
            wall.instant(Timestamp::from_millis(999_000), later) + Duration::from_secs(1),
            now
        );
    }
}
