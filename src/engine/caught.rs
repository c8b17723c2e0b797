//! Calls into code that users of the library have written: a panic there must cost one request and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// It panicked.
pub(crate) struct Panicked;

/// Runs code that may panic.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        // Dropping a payload may panic again, outside of the catch.
        std::mem::forget(payload);
        Panicked
    })
}
