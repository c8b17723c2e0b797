//! The limit of open files, of which each connection is one. Raises it as far as the system allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a daemon or a client holds open beside its connections: standard streams, epolls, wakers, listeners, a reserve.
const BESIDE: u64 = 32;

/// The least limit with which anybody could be served.
pub(super) const LEAST: u64 = BESIDE + 1;

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

/// The number of connections that a limit allows.
pub(super) fn connections_within(limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(BESIDE)).unwrap_or(usize::MAX)
}
