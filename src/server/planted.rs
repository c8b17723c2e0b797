//! Panics that tests plant where no verb and no protocol could: in the code of a session or a listener.

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
    static PLANTED: Cell<Option<Spot>> = const { Cell::new(None) };
}

/// Panics the next time this thread passes the spot.
pub(crate) fn plant(spot: Spot) {
    PLANTED.set(Some(spot));
}

/// This is the spot.
pub(super) fn pass(spot: Spot) {
    if PLANTED.get() == Some(spot) {
        PLANTED.set(None);
        panic!("planted: {spot:?}");
    }
}
