//! Units of work in a row that are done in any order and put together in order.
//!
//! Knows which are cut, interrupted and done; not what they are.

use std::collections::BTreeMap;

/// How far units may be ahead of the first that is not done: what they came to waits.
const WINDOW: u64 = 64;

/// Units `0..count`.
#[derive(Debug)]
pub(super) struct Units<U, R> {
    count: u64,
    /// The first that was never cut.
    next: u64,
    /// All before are put together.
    done: u64,
    paused: Vec<(u64, U)>,
    early: BTreeMap<u64, R>,
}

impl<U, R> Units<U, R> {
    /// All units from `done` on.
    pub(super) fn new(count: u64, done: u64) -> Self {
        Self {
            count,
            next: done,
            done,
            paused: Vec::new(),
            early: BTreeMap::new(),
        }
    }

    /// An interrupted unit, or the next one. `None`: all are cut, or too many wait for one.
    pub(super) fn cut(&mut self, make: impl FnOnce(u64) -> U) -> Option<(u64, U)> {
        if let Some(paused) = self.paused.pop() {
            return Some(paused);
        }
        if self.next >= self.count || self.next >= self.done + WINDOW {
            return None;
        }
        self.next += 1;
        Some((self.next - 1, make(self.next - 1)))
    }

    /// Takes back a unit: what it came to, or what is left of it.
    pub(super) fn absorb(&mut self, index: u64, result: Result<R, U>) {
        match result {
            Ok(result) => {
                self.early.insert(index, result);
            }
            Err(rest) => self.paused.push((index, rest)),
        }
    }

    /// What the next unit in order came to, if it is done.
    pub(super) fn take(&mut self) -> Option<R> {
        let result = self.early.remove(&self.done)?;
        self.done += 1;
        Some(result)
    }

    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    pub(super) const fn is_done(&self) -> bool {
        self.done >= self.count
    }
}
