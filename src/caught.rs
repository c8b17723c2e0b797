//! Calls into code that may panic, as that of users of the library: a panic there costs one request, one connection or
//! one batch, and nothing else. Knows nothing of what it calls.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

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

/// Waits for a future that may panic; it is not polled again after that.
pub(crate) async fn caught_in<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|task| match caught(|| future.as_mut().poll(task)) {
        Ok(poll) => poll.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    /// A payload that panics as it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload of a panic was dropped");
        }
    }

    #[test]
    fn a_payload_that_panics_as_it_is_dropped_is_caught_too() {
        assert!(caught(|| panic_any(Bomb)).is_err());
        assert!(matches!(caught(|| 7), Ok(7)));
    }

    #[tokio::test]
    async fn a_future_that_panics_has_no_output_and_others_have_theirs() {
        let panics = caught_in(async {
            tokio::task::yield_now().await;
            panic_any(Bomb)
        });
        assert!(panics.await.is_err());
        assert!(matches!(caught_in(async { 7 }).await, Ok(7)));
    }
}
