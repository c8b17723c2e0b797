//! Threads that may not be had: a system at its limit is an error here, and no panic. Knows not what the threads are
//! for.

use crate::caught::{Panicked, caught};
use actix::{Arbiter, System};
use std::{io, thread};

/// Pipes that have as many descriptors as a thread with a runtime takes: its epoll, a copy of that, its waker and its
/// end of the pipe of signals.
const RUNTIME: usize = 2;

/// The system of actix whose actors this thread runs, if it runs any. A thread for blocking code belongs to a system,
/// and runs none.
pub fn system_here() -> Option<usize> {
    Arbiter::try_current()?;
    System::try_current().map(|system| system.id())
}

/// Starts a thread with a runtime. actix panics where there are no descriptors for it, too: so as many are opened
/// first, which gives the system's own error. They are pipes, for these need no file: /dev may be empty.
pub(crate) fn start_arbiter() -> io::Result<Arbiter> {
    let probes: Vec<_> = (0..RUNTIME).map(|_| io::pipe()).collect::<io::Result<_>>()?;
    drop(probes);
    start_thread(Arbiter::new)
}

/// Starts what runs on a thread of its own. actix panics where a thread cannot be had: so one that does nothing is
/// asked for first, which gives the system's own error, and a panic all the same (another process may have taken the
/// last one) is an error too.
pub(crate) fn start_thread<T>(start: impl FnOnce() -> T) -> io::Result<T> {
    let probe = thread::Builder::new().spawn(|| {})?;
    // It must be gone before the next, or it would itself be the one too many.
    let _ = probe.join();
    caught(start).map_err(|Panicked| io::Error::other("the system refuses one more thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_for_want_of_a_thread_is_an_error() {
        assert_eq!(start_thread(|| 7).ok(), Some(7));
        let refused = start_thread(|| -> u8 { panic!("as asked: there is no thread") });
        assert_eq!(refused.map_err(|error| error.kind()), Err(io::ErrorKind::Other));
    }
}
