//! Calls into code that may panic, as that of users of the library, and values whose drop may: a panic there costs one
//! request, one connection or one batch, and nothing else. Knows nothing of what it calls.

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

/// A value whose drop may panic. That is caught, as the thread that drops it has no part in it.
pub(crate) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(crate) fn get(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is dropped")
    }

    pub(crate) fn into_inner(mut self) -> T {
        self.0.take().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            // It is gone, one way or the other.
            let _ = caught(|| drop(value));
        }
    }
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
