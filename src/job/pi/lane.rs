//! Pieces that come back in any order and are put together in order. Knows nothing of what they are.

use std::collections::BTreeMap;

/// How far units may be ahead of the first one that is missing: bounds what waits.
pub(super) const WINDOW: u64 = 64;

/// The numbered pieces of one sum.
pub(super) struct Lane<T> {
    cut: u64,
    merged: u64,
    waiting: BTreeMap<u64, T>,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            cut: 0,
            merged: 0,
            waiting: BTreeMap::new(),
        }
    }
}

impl<T> Lane<T> {
    /// The index of the next unit, unless the lane is too far ahead.
    pub(super) fn take(&mut self) -> Option<u64> {
        let index = self.cut;
        (index < self.merged + WINDOW).then(|| {
            self.cut += 1;
            index
        })
    }

    /// Takes in a piece, and gives those whose turn it is to `merge`, in order.
    pub(super) fn absorb(&mut self, index: u64, piece: T, mut merge: impl FnMut(T)) {
        self.waiting.insert(index, piece);
        while let Some(piece) = self.waiting.remove(&self.merged) {
            self.merged += 1;
            merge(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_merged_in_order_and_the_window_is_kept() {
        let mut lane = Lane::default();
        let indices: Vec<u64> = std::iter::from_fn(|| lane.take()).collect();
        assert_eq!(indices.len() as u64, WINDOW);
        let mut merged = Vec::new();
        for index in indices.into_iter().rev() {
            assert!(merged.is_empty());
            lane.absorb(index, index, |piece| merged.push(piece));
        }
        assert!(merged.into_iter().eq(0..WINDOW));
        assert_eq!(lane.take(), Some(WINDOW));
    }
}
