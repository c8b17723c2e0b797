//! The bits of a segment, and of the numbers on both sides of it that whole periods of small primes reach into. Knows
//! no primes.
//!
//! Small primes clear bits of numbers after the segment, and do not come back to them. So these are kept, and are the
//! first of the next segment.

use super::presieve;

/// The bits of a segment.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bytes before the segment, and after it.
    slack: usize,
    /// How many bytes, from the first of the segment on, hold their pattern.
    begun: usize,
}

impl Bits {
    /// For segments of at most `segment` bytes, and periods of at most `period`.
    pub(super) fn new(segment: usize, period: usize) -> Self {
        let slack = period.next_multiple_of(presieve::BLOCK);
        let bytes = vec![0; slack + segment.next_multiple_of(presieve::BLOCK) + slack];
        Self { bytes, slack, begun: 0 }
    }

    /// Starts bytes from the patterns, up to `to` bytes after the first of the segment at least; that one is
    /// `first_byte` of the number line.
    pub(super) fn begin(&mut self, to: usize, first_byte: u64) {
        let to = to.next_multiple_of(presieve::BLOCK);
        if to > self.begun {
            let bytes = &mut self.bytes[self.slack + self.begun..self.slack + to];
            presieve::fill(bytes, first_byte + self.begun as u64);
            self.begun = to;
        }
    }

    /// Goes on to the next segment. This one has `segment` bytes, all of which have been begun.
    pub(super) fn advance(&mut self, segment: usize) {
        let after = self.slack + segment..self.slack + self.begun;
        self.bytes.copy_within(after, self.slack);
        self.begun -= segment;
    }

    /// The first bytes of the segment.
    pub(super) fn segment(&self, bytes: usize) -> &[u8] {
        &self.bytes[self.slack..][..bytes]
    }

    pub(super) fn segment_mut(&mut self, bytes: usize) -> &mut [u8] {
        &mut self.bytes[self.slack..][..bytes]
    }

    /// All bytes, and where among them the segment begins.
    pub(super) fn with_slack(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes, self.slack)
    }
}
