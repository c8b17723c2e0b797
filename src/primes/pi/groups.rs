//! The entries of the factor table in vectors: aligned groups, with a bit for each entry that is in a range.

use super::factor::{ENTRIES, WHEEL};
use std::ops::Range;

/// Entries that vectors of `N` are loaded of: `N` divides [`ENTRIES`].
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// The index of the first.
    pub(super) start: usize,
    /// What their residues are added to.
    pub(super) base: u32,
    /// A bit for each that is in the range.
    pub(super) inside: u32,
}

/// The groups of `N` entries, at most 32, that a range has entries of.
///
/// # Panics
/// If `entries` has not all of them, or a list of `room` numbers not room for all of the range and a group more.
#[inline(always)]
pub(super) fn groups<const N: usize>(entries: &[i16], range: Range<usize>, room: usize) -> impl Iterator<Item = Group> {
    assert!(range.end <= entries.len() && entries.len().is_multiple_of(N));
    assert!(room >= range.len() + N);
    (range.start / N..range.end.div_ceil(N)).map(move |group| {
        let start = group * N;
        let before = u64::from(u32::MAX) << range.start.saturating_sub(start);
        let after = ((1_u64 << N) - 1) >> (start + N).saturating_sub(range.end);
        Group {
            start,
            base: (start / ENTRIES) as u32 * WHEEL as u32,
            inside: (before & after) as u32,
        }
    })
}
