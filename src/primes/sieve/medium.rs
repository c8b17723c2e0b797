//! Crosses off the multiples of medium primes: those with a few multiples in a segment, or one in a few segments. Knows a
//! segment's bytes, and nothing of where primes come from.

use super::first_multiple::{FirstMultiples, Wheel};
#[cfg(target_arch = "x86_64")]
use super::lanes::Lanes;
use super::lists::Lists;

/// The medium primes of one sieve, kept in the way that is fastest on this machine.
#[derive(Debug)]
pub(super) enum MediumPrimes {
    /// Sixteen primes at a time.
    #[cfg(target_arch = "x86_64")]
    Lanes(Box<Lanes>),
    /// One after the other.
    Lists(Box<Lists>),
}

impl MediumPrimes {
    pub(super) fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(lanes) = Lanes::new() {
            return Self::Lanes(Box::new(lanes));
        }
        Self::Lists(Box::default())
    }

    /// The largest primes that cost less here than as big ones, for segments of `segment_bytes`.
    pub(super) fn max_prime(&self, segment_bytes: usize) -> u32 {
        let factor = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes(_) => 16,
            Self::Lists(_) => 3,
        };
        (factor * segment_bytes) as u32
    }

    /// The wheel on which the multiples must be that are added.
    pub(super) fn wheel(&self) -> Wheel {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes(_) => Wheel::Modulo210,
            Self::Lists(_) => Wheel::Modulo30,
        }
    }

    /// Adds primes, from the segment on that is crossed off next.
    pub(super) fn add(&mut self, primes: &FirstMultiples) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes(lanes) => lanes.add(primes),
            Self::Lists(lists) => lists.add(primes),
        }
    }

    /// Crosses off the multiples of some primes; false once the segment is done. Then the next segment's turn has come.
    pub(super) fn cross_off_some(&mut self, segment: &mut [u8]) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Lanes(lanes) => lanes.cross_off_some(segment),
            Self::Lists(lists) => lists.cross_off_some(segment),
        }
    }
}
