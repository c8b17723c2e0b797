//! The limit of open files, of which each connection is one. Raises it as far as the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What any daemon or client holds open beside its connections: standard streams, the first thread's epoll and wakers,
/// the store, a reserve.
const BESIDE: u64 = 30;

/// A listener, and the descriptor that it keeps to accept and close with when there is no other.
const LISTENER: u64 = 2;

/// A further thread with a runtime: its epoll, a copy of that, its waker and its end of the pipe of signals.
const RUNTIME: u64 = 4;

/// What a daemon holds open for as long as it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reserve {
    /// Its listeners.
    pub(super) listeners: usize,
    /// Its threads with a runtime, but for the first.
    pub(super) runtimes: usize,
    /// Connections that it makes itself.
    pub(super) outgoing: usize,
}

impl Reserve {
    /// Of a client, or a daemon with one listener.
    pub(super) const LEAST: Self = Self {
        listeners: 1,
        runtimes: 0,
        outgoing: 0,
    };

    fn files(self) -> u64 {
        let Self {
            listeners,
            runtimes,
            outgoing,
        } = self;
        BESIDE + LISTENER * listeners as u64 + RUNTIME * runtimes as u64 + outgoing as u64
    }

    /// The least limit with which anybody could be served.
    pub(super) fn least(self) -> u64 {
        self.files() + 1
    }

    /// The number of connections that a limit allows.
    pub(super) fn connections_within(self, limit: u64) -> usize {
        usize::try_from(limit.saturating_sub(self.files())).unwrap_or(usize::MAX)
    }
}

/// The limit in force, `None` for none.
pub(super) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit to the hard limit; returns the limit in force, `None` for no limit.
pub(super) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        // It may be forbidden where the process is confined; then the old limit holds.
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_and_listeners_take_descriptors_from_connections() {
        assert_eq!(Reserve::LEAST.least(), 33);
        assert_eq!(Reserve::LEAST.connections_within(32), 0);
        assert_eq!(Reserve::LEAST.connections_within(64), 32);
        let many = Reserve {
            listeners: 4,
            runtimes: 8,
            outgoing: 0,
        };
        assert_eq!((many.least(), many.connections_within(100)), (71, 30));
    }
}
