//! `pi(x)` for small `x`, by a table made once.

use super::shape::Shape;
use super::table::PiTable;
use std::sync::OnceLock;

/// `pi(x)` for `x` below [`Shape::LEAST`]. The first call makes a table of 125 KB in about a millisecond.
pub(crate) fn pi(x: u64) -> u64 {
    static TABLE: OnceLock<PiTable> = OnceLock::new();
    TABLE.get_or_init(|| PiTable::new(0, Shape::LEAST)).pi(x)
}
