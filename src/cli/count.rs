//! Numbers in arguments and settings, with errors that say what is wanted.

use std::num::NonZeroUsize;

/// A whole number that may be 0.
pub(super) fn any(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number".into())
}

/// As many threads as a machine may sensibly be asked for: the system's own limits end a process in less kind ways.
const MOST_THREADS: usize = 1024;

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let count = positive(text).ok().filter(|count| count.get() <= MOST_THREADS);
    count.ok_or_else(|| format!("write a whole number from 1 to {MOST_THREADS}"))
}

/// A whole number from 1.
pub(super) fn positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "write a whole number from 1".into())
}
