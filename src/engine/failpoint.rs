//! Failpoints: panics that tests cause where none should ever be: in the scheduler's turn, between one change of the
//! table and the next, and in the actor of the local clients.

use std::cell::RefCell;

thread_local! {
    static FAILPOINTS: RefCell<Failpoints> = RefCell::default();
}

#[derive(Default)]
struct Failpoints {
    /// One passage of this many panics; 0: none does.
    one_of: u32,
    random: fastrand::Rng,
    /// The actor of the local clients panics at its next news.
    is_local: bool,
    count: usize,
}

/// From now on, one passage of `one_of` panics on this thread; 0: none does.
pub(crate) fn arm(one_of: u32, seed: u64) {
    FAILPOINTS.with_borrow_mut(|points| {
        points.one_of = one_of;
        points.random = fastrand::Rng::with_seed(seed);
    });
}

/// The next news for local clients panics, once, on this thread.
pub(crate) fn arm_local() {
    FAILPOINTS.with_borrow_mut(|points| points.is_local = true);
}

/// How many have panicked on this thread.
pub(crate) fn count() -> usize {
    FAILPOINTS.with_borrow(|points| points.count)
}

/// A place that panics if its turn has come.
pub(super) fn hit() {
    let panics = FAILPOINTS.with_borrow_mut(|points| {
        let panics = points.one_of > 0 && points.random.u32(..points.one_of) == 0;
        points.count += usize::from(panics);
        panics
    });
    assert!(!panics, "a failpoint");
}

/// The place where local clients get their news.
pub(super) fn hit_local() {
    let panics = FAILPOINTS.with_borrow_mut(|points| std::mem::take(&mut points.is_local));
    assert!(!panics, "a failpoint");
    hit();
}
