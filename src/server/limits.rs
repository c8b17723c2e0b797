//! Limits: what a session may take of the machine, and how they change while the daemon runs. Knows no session.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What a session may take of the machine. Every limit is enforced where it is named.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once. One more is closed: in the built-in protocol after `ERR busy`, over HTTP after a 503, over
    /// TLS and in a [`Protocol`](crate::Protocol) of yours without a reply.
    pub max_connections: usize,
    /// The longest line, or frame of a [`Protocol`](crate::Protocol), in bytes. A number of 10000 digits fits.
    pub max_line_bytes: usize,
    /// Requests of one session under way; then the session stops reading until some are answered.
    pub max_in_flight: usize,
    /// Bytes written for a client and not yet taken by it; then the session stops reading until it takes some.
    pub max_unsent_bytes: usize,
    /// A connection with nothing under way is closed after this time without a request; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long a client may take to complete a line it has begun, or to take any of what is written for it.
    pub stall_timeout: Duration,
}

impl Limits {
    /// The name of a limit of 0, with which nobody could be served, if there is one.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let limits = [
            ("max_connections", self.max_connections == 0),
            ("max_line_bytes", self.max_line_bytes == 0),
            ("max_in_flight", self.max_in_flight == 0),
            ("max_unsent_bytes", self.max_unsent_bytes == 0),
            ("idle_timeout", self.idle_timeout.is_some_and(|time| time.is_zero())),
            ("stall_timeout", self.stall_timeout.is_zero()),
        ];
        let zero = limits.into_iter().find(|(_, is_zero)| *is_zero);
        zero.map(|(name, _)| name)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_line_bytes: 16 << 10,
            max_in_flight: 1024,
            max_unsent_bytes: 64 << 10,
            idle_timeout: None,
            stall_timeout: Duration::from_secs(30),
        }
    }
}

/// The limits in force. Sessions keep those that they know, and look for others at each turn: that costs one load.
pub struct LiveLimits {
    version: AtomicU64,
    current: Mutex<Arc<Version>>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

/// Limits that are or were in force.
#[derive(Debug)]
struct Version {
    number: u64,
    limits: Limits,
}

impl LiveLimits {
    /// Starts with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            version: AtomicU64::new(0),
            current: Mutex::new(Arc::new(Version { number: 0, limits })),
            wake: OnceLock::new(),
        }
    }

    /// Replaces the limits; sessions take them up at their next turn, which comes at once if a timeout is another: an
    /// idle session would have none.
    pub fn set(&self, limits: Limits) {
        let mut current = self.current();
        let number = current.number + 1;
        let before = std::mem::replace(&mut *current, Arc::new(Version { number, limits })).limits;
        self.version.store(number, Release);
        drop(current);
        if (before.idle_timeout, before.stall_timeout) != (limits.idle_timeout, limits.stall_timeout)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// What gives every session a turn; the first call counts.
    pub(super) fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    pub(crate) fn get(&self) -> Limits {
        self.current().limits
    }

    fn current(&self) -> MutexGuard<'_, Arc<Version>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveLimits")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

/// The limits that were in force at the last look. Sessions share them, and an idle one is as much smaller.
#[derive(Debug)]
pub(super) struct LimitsCopy(Arc<Version>);

impl LimitsCopy {
    pub(super) fn of(live: &LiveLimits) -> Self {
        Self(live.current().clone())
    }

    /// Looks the limits up again if they have changed.
    #[inline]
    pub(super) fn refresh(&mut self, live: &LiveLimits) {
        if live.version.load(Acquire) != self.0.number {
            *self = Self::of(live);
        }
    }

    #[inline]
    pub(super) fn get(&self) -> &Limits {
        &self.0.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_the_limits_in_force() {
        let live = LiveLimits::new(Limits::default());
        let mut copy = LimitsCopy::of(&live);
        live.set(Limits {
            max_in_flight: 7,
            ..Limits::default()
        });
        assert_eq!(copy.get().max_in_flight, 1024);
        copy.refresh(&live);
        assert_eq!(copy.get().max_in_flight, 7);
    }

    #[test]
    fn sessions_are_woken_by_another_timeout_only() {
        let (live, woken) = (LiveLimits::new(Limits::default()), Arc::new(AtomicU64::default()));
        let counted = woken.clone();
        live.wake_by(move || {
            counted.fetch_add(1, Release);
        });
        let mut limits = Limits {
            max_in_flight: 7,
            ..Limits::default()
        };
        live.set(limits);
        assert_eq!(woken.load(Acquire), 0);
        limits.idle_timeout = Some(Duration::from_secs(9));
        live.set(limits);
        live.set(limits);
        assert_eq!(woken.load(Acquire), 1);
        limits.stall_timeout = Duration::from_secs(9);
        live.set(limits);
        assert_eq!(woken.load(Acquire), 2);
    }
}
