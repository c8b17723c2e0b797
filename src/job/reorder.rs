//! Pieces that come back in any order and are put together in order. Knows nothing of what they are.

use super::Damaged;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most units of a sum under way at once: bounds what waits.
pub(super) const WINDOW: u64 = 64;

/// What two neighbouring pieces come to together.
pub(super) trait Join {
    /// Appends the piece that begins where this one ends.
    fn join(&mut self, next: Self);
}

/// The pieces of one sum, by the places where they begin and end.
#[derive(Debug)]
pub(super) struct Reorder<K, T> {
    merged: K,
    under_way: u64,
    /// Where a piece begins, where it ends, and the piece; no two are neighbours.
    waiting: BTreeMap<K, (K, T)>,
    /// What other machines do: where it begins and ends.
    parts: BTreeMap<K, K>,
    /// What they did not do.
    returned: Vec<Range<K>>,
}

impl<K: Copy + Ord, T: Join> Reorder<K, T> {
    /// A sum that is put together up to here.
    pub(super) fn new(merged: K) -> Self {
        Self {
            merged,
            under_way: 0,
            waiting: BTreeMap::new(),
            parts: BTreeMap::new(),
            returned: Vec::new(),
        }
    }

    /// True if another unit may be begun, which is then under way.
    pub(super) fn begin(&mut self) -> bool {
        let is_open = self.under_way < WINDOW;
        self.under_way += u64::from(is_open);
        is_open
    }

    /// Where the next unit begins: in what came back undone, or at `next`. `None` if that is not below `limit`.
    pub(super) fn next(&self, next: K, limit: K) -> Option<K> {
        let returned = self.returned.last().map(|range| range.start);
        returned.or_else(|| (next < limit).then_some(next))
    }

    /// Where what came back undone, and comes first now, ends.
    pub(super) fn returned_end(&self) -> Option<K> {
        self.returned.last().map(|range| range.end)
    }

    /// The unit from [`next`](Self::next) ends here.
    pub(super) fn cut(&mut self, next: &mut K, end: K) {
        match self.returned.last_mut() {
            None => *next = end,
            Some(range) if end < range.end => range.start = end,
            Some(_) => drop(self.returned.pop()),
        }
    }

    /// Takes in a unit's piece, and gives what its turn it is to `merge`.
    pub(super) fn absorb(&mut self, range: Range<K>, piece: T, merge: impl FnMut(K, T)) {
        self.under_way -= 1;
        self.insert(range, piece, merge);
    }

    fn insert(&mut self, range: Range<K>, mut piece: T, mut merge: impl FnMut(K, T)) {
        let Range { mut start, mut end } = range;
        if start != self.merged {
            if let Some((&left, _)) = self
                .waiting
                .range(..start)
                .next_back()
                .filter(|(_, left)| left.0 == start)
                && let Some((_, mut before)) = self.waiting.remove(&left)
            {
                before.join(piece);
                (start, piece) = (left, before);
            }
            if let Some((right, after)) = self.waiting.remove(&end) {
                piece.join(after);
                end = right;
            }
            self.waiting.insert(start, (end, piece));
            return;
        }
        self.merged = end;
        merge(end, piece);
        while let Some((end, piece)) = self.waiting.remove(&self.merged) {
            self.merged = end;
            merge(end, piece);
        }
    }

    /// The piece of all of this range, if it has come.
    pub(super) fn whole(&self, range: &Range<K>) -> Option<&T> {
        self.waiting
            .get(&range.start)
            .filter(|(end, _)| *end == range.end)
            .map(|(_, piece)| piece)
    }

    /// The ranges whose pieces wait.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Range<K>> {
        self.waiting.iter().map(|(start, (end, _))| *start..*end)
    }

    /// Another machine does this range.
    pub(super) fn begin_part(&mut self, range: Range<K>) {
        self.parts.insert(range.start, range.end);
    }

    /// True if another machine does just this range.
    pub(super) fn has_part(&self, range: &Range<K>) -> bool {
        self.parts.get(&range.start) == Some(&range.end)
    }

    /// Takes in what another machine did.
    pub(super) fn absorb_part(&mut self, range: Range<K>, piece: T, merge: impl FnMut(K, T)) {
        self.parts.remove(&range.start);
        self.insert(range, piece, merge);
    }

    /// Takes back what another machine was to do.
    ///
    /// # Errors
    /// If it was not.
    pub(super) fn take_back(&mut self, range: Range<K>) -> Result<(), Damaged> {
        if !self.has_part(&range) {
            return Err(Damaged::Impossible("part"));
        }
        self.parts.remove(&range.start);
        self.returned.push(range);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Join for Vec<u64> {
        fn join(&mut self, next: Self) {
            self.extend(next);
        }
    }

    #[test]
    fn pieces_are_merged_in_order_and_neighbours_joined() {
        let mut order = Reorder::new(0_u64);
        let begun = std::iter::from_fn(|| order.begin().then_some(())).count() as u64;
        assert_eq!(begun, WINDOW);
        let mut merged = Vec::new();
        for index in (0..WINDOW).rev() {
            assert!(merged.is_empty() && order.waiting().count() <= 1);
            order.absorb(index..index + 1, vec![index], |_, piece| merged.extend(piece));
        }
        assert!(merged.into_iter().eq(0..WINDOW));
        assert!(order.begin());
    }

    #[test]
    fn parts_come_back_once_or_are_cut_again() {
        let mut order = Reorder::<u64, Vec<u64>>::new(0);
        let mut next = 30;
        order.begin_part(0..30);
        assert!(order.take_back(0..20).is_err());
        assert!(order.take_back(0..30).is_ok() && order.take_back(0..30).is_err());
        for expected in [0, 10, 20, 30] {
            assert_eq!(order.next(next, 40), Some(expected));
            order.cut(&mut next, expected + 10);
        }
        assert_eq!(order.next(next, 40), None);
    }
}
