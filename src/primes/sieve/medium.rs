//! Crosses off the multiples of medium primes: those with a few multiples in a segment, or one in a few segments. Knows
//! a segment's bytes, and nothing of where primes come from.

use super::first_multiple::{FirstMultiples, Wheel};
#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
use super::lists::Lists;

/// The medium primes of one sieve, kept in the ways that are fastest on this machine.
#[derive(Debug)]
pub(super) struct MediumPrimes {
    /// One after the other: those up to `max_listed`.
    lists: Box<Lists>,
    max_listed: u32,
    /// Many at a time: the others.
    #[cfg(target_arch = "x86_64")]
    lanes: Option<Box<Lanes>>,
    /// Whether the lists are done with the segment, and the lanes are not.
    is_listed_done: bool,
}

/// Up to this prime lists are faster than eight lanes.
#[cfg(target_arch = "x86_64")]
const MAX_LISTED: u32 = 1 << 18;

impl MediumPrimes {
    pub(super) fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = Lanes::new() {
            return Self::in_lanes(lanes);
        }
        Self::in_lists()
    }

    /// All in lists.
    pub(super) fn in_lists() -> Self {
        Self {
            lists: Box::default(),
            max_listed: u32::MAX,
            #[cfg(target_arch = "x86_64")]
            lanes: None,
            is_listed_done: false,
        }
    }

    /// As many in lanes as is worth it.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn in_lanes(lanes: Lanes) -> Self {
        Self {
            max_listed: if lanes.are_sixteen() { 0 } else { MAX_LISTED },
            lanes: Some(Box::new(lanes)),
            ..Self::in_lists()
        }
    }

    /// The largest primes that cost less here than as big ones, for segments of `segment_bytes`.
    pub(super) fn max_prime(&self, segment_bytes: usize) -> u32 {
        let segments = match self.max_listed {
            _ if self.are_sixteen() => 32,
            u32::MAX => 3,
            _ => 16,
        };
        (segments * segment_bytes) as u32
    }

    /// Whether it takes sixteen at a time.
    pub(super) fn are_sixteen(&self) -> bool {
        self.max_listed == 0
    }

    /// Bytes that primes take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        let in_lanes = self.lanes.as_ref().map_or(0, |lanes| lanes.bytes());
        #[cfg(not(target_arch = "x86_64"))]
        let in_lanes = 0;
        self.lists.bytes() + in_lanes
    }

    /// Adds primes, ascending, from the segment on that begins with the number `low` and is crossed off next.
    pub(super) fn add(&mut self, primes: &[u32], low: u64, found: &mut FirstMultiples) {
        let (listed, others) = primes.split_at(primes.partition_point(|&p| p <= self.max_listed));
        if !listed.is_empty() {
            found.find(listed, low, Wheel::Modulo30);
            self.lists.add(found);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = &mut self.lanes
            && !others.is_empty()
        {
            found.find(others, low, Wheel::Modulo210);
            lanes.add(found);
        }
        #[cfg(not(target_arch = "x86_64"))]
        debug_assert!(others.is_empty());
    }

    /// Crosses off the multiples of some primes; false once the segment is done. Then the next segment's turn has come.
    pub(super) fn cross_off_some(&mut self, segment: &mut [u8]) -> bool {
        if self.max_listed > 0 && !self.is_listed_done {
            self.is_listed_done = !self.lists.cross_off_some(segment);
            if !self.is_listed_done {
                return true;
            }
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = &mut self.lanes
            && lanes.cross_off_some(segment)
        {
            return true;
        }
        self.is_listed_done = false;
        false
    }
}
