//! Waking up in time: an epoll rounds its timeout up to a millisecond, and an open loop at 20,000 requests a second
//! asks each 50 us.

use mio::{Registry, Token};
use std::io;
use std::time::Duration;

/// An alarm that wakes an epoll to the microsecond, where the system has one.
#[cfg(target_os = "linux")]
pub(super) struct Timer {
    alarm: rustix::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Timer {
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use rustix::fd::AsRawFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let alarm = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = mio::unix::SourceFd(&alarm.as_raw_fd());
        registry.register(&mut source, token, mio::Interest::READABLE)?;
        Ok(Self { alarm })
    }

    /// Arranges to be woken after `wait`; gives the timeout to poll with.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn set(&mut self, wait: Duration) -> io::Result<Duration> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        const COARSE: Duration = Duration::from_millis(20);
        if wait < COARSE {
            // Setting it anew takes back an expiry that was not looked at, so that nothing needs to be read.
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: 0,
                    tv_nsec: i64::from(wait.subsec_nanos().max(1)),
                },
            };
            timerfd_settime(&self.alarm, TimerfdTimerFlags::empty(), &once)?;
        }
        Ok(wait.max(COARSE))
    }
}

/// An alarm as exact as the poll is.
#[cfg(not(target_os = "linux"))]
pub(super) struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) fn set(&mut self, wait: Duration) -> io::Result<Duration> {
        Ok(wait)
    }
}
