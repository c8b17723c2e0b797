//! Panics that tests plant where none should ever be: in the scheduler's turn, between one change of the table and the next, and in the
//! actor of the local clients.

use std::cell::RefCell;

thread_local! {
    static PLANTED: RefCell<Planted> = RefCell::default();
}

#[derive(Default)]
struct Planted {
    /// One passage of this many panics; 0: none does.
    one_of: u32,
    random: fastrand::Rng,
    /// The actor of the local clients panics at its next news.
    is_local: bool,
    count: usize,
}

/// From now on, one passage of `one_of` panics on this thread; 0: none does.
pub(crate) fn plant(one_of: u32, seed: u64) {
    PLANTED.with_borrow_mut(|planted| {
        planted.one_of = one_of;
        planted.random = fastrand::Rng::with_seed(seed);
    });
}

/// The next news for local clients panics, once, on this thread.
pub(crate) fn plant_local() {
    PLANTED.with_borrow_mut(|planted| planted.is_local = true);
}

/// How many have panicked on this thread.
pub(crate) fn count() -> usize {
    PLANTED.with_borrow(|planted| planted.count)
}

/// A place that panics if its turn has come.
pub(super) fn here() {
    let panics = PLANTED.with_borrow_mut(|planted| {
        let panics = planted.one_of > 0 && planted.random.u32(..planted.one_of) == 0;
        planted.count += usize::from(panics);
        panics
    });
    assert!(!panics, "a planted panic");
}

/// The place where local clients get their news.
pub(super) fn local() {
    let panics = PLANTED.with_borrow_mut(|planted| std::mem::take(&mut planted.is_local));
    assert!(!panics, "a planted panic");
    here();
}
