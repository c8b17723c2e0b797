//! Numbers in arguments and settings, with errors that say what is wanted.

use std::num::NonZeroUsize;

/// A whole number that may be 0.
pub(super) fn any(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number".into())
}

/// A whole number from 1.
pub(super) fn positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "write a whole number from 1".into())
}
