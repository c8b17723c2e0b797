//! Failpoints: panics that tests cause where no verb and no protocol could: in the code of a session or a listener.

use std::cell::Cell;

/// Where to panic next, on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// In a session's turn, after requests were taken in.
    Turn,
    /// In a session that takes news from the engine.
    News,
    /// In a listener that accepts.
    Accept,
    /// In a listener that takes the news of a closed session.
    Closed,
}

thread_local! {
    static ARMED: Cell<Option<Spot>> = const { Cell::new(None) };
}

/// Panics the next time this thread passes the spot.
pub(crate) fn arm(spot: Spot) {
    ARMED.set(Some(spot));
}

/// Panics if this spot is armed.
pub(super) fn hit(spot: Spot) {
    if ARMED.get() == Some(spot) {
        ARMED.set(None);
        panic!("failpoint: {spot:?}");
    }
}
