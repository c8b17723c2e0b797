//! Crosses off the multiples of big primes: those with a multiple in few segments. Knows a segment's bytes, and nothing
//! of where primes come from.
//!
//! Every segment has a bucket of the primes with a multiple in it; crossing one off moves the prime to the bucket of
//! its next multiple, so that no segment looks at primes it does not need (Oliveira e Silva, "Fast implementation of
//! the segmented sieve of Eratosthenes", 2002). The wheel modulo 210 skips the multiples of 7 as well. A bucket is a
//! chain of blocks of one arena; a block that was worked off is used again at once, while it is still in the cache.

use super::first_multiple::FirstMultiples;
use crate::primes::wheel::TURNS_210;

/// Words in a block: 8 KiB. The first is the number of the block filled before it in the same bucket, or 0; entries
/// follow.
const BLOCK: usize = 1024;

/// The bits of a prime's entry: `prime / 30` above, then the state of the wheel, then the byte in its segment.
const STATE_SHIFT: u32 = 23;
const PRIME_SHIFT: u32 = 32;
const STATES: u64 = 511;

/// The largest segment: its bytes must fit the entry.
pub(super) const MAX_SEGMENT: usize = 1 << STATE_SHIFT;

/// The big primes of one sieve.
#[derive(Debug)]
pub(super) struct BigPrimes {
    /// log2 of the bytes of a segment.
    segment_shift: u32,
    /// The blocks. Block 0 is never used, so that a bucket's end 0 means "empty".
    arena: Vec<u64>,
    /// Scratch of `add`.
    picked: Vec<(u64, u32)>,
    /// Blocks to be used again.
    free: Vec<u32>,
    /// For each of the next segments, where the next entry of its bucket goes; a multiple of `BLOCK` if its block is
    /// full.
    ends: Vec<u32>,
    /// The segment that is crossed off next, as an index into `ends`.
    current: usize,
}

impl BigPrimes {
    /// For segments of `segment` bytes, a power of two up to [`MAX_SEGMENT`], and primes up to `max_prime`.
    pub(super) fn new(segment: usize, max_prime: u32) -> Self {
        debug_assert!(segment.is_power_of_two() && segment <= MAX_SEGMENT);
        let segment_shift = segment.trailing_zeros();
        // The widest gap of the wheel is 10; a prime moves at most so far from anywhere in the current segment.
        let reach = ((max_prime as usize / 30 + 1) * 10) >> segment_shift;
        Self {
            segment_shift,
            arena: vec![0; BLOCK],
            picked: Vec::new(),
            free: Vec::new(),
            ends: vec![0; (reach + 2).next_power_of_two()],
            current: 0,
        }
    }

    /// Bytes that primes take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        8 * self.arena.capacity()
    }

    /// Adds those primes whose multiple is at most `reach` bytes after the start of the segment that is crossed off
    /// next; on the wheel modulo 210.
    pub(super) fn add(&mut self, primes: &FirstMultiples, reach: u64) {
        // Which primes stay is random. Picking them first is cheaper than a branch that is often guessed wrong.
        self.picked.resize(primes.tags.len(), (0, 0));
        let mut count = 0;
        for (&tag, &byte) in primes.tags.iter().zip(&primes.bytes) {
            self.picked[count] = (tag, byte);
            count += usize::from(u64::from(byte) <= reach);
        }
        let (shift, current) = (self.segment_shift, self.current);
        let mut index = 0;
        while index < count {
            let (arena, ends) = (&mut self.arena[..], &mut self.ends[..]);
            let (in_segment, in_ends) = ((1 << shift) - 1, ends.len() - 1);
            let mut full = None;
            for &(tag, byte) in &self.picked[index..count] {
                let bucket = (current + (byte >> shift) as usize) & in_ends;
                let slot = ends[bucket];
                if (slot as usize).is_multiple_of(BLOCK) {
                    full = Some((bucket, slot));
                    break;
                }
                arena[slot as usize] =
                    tag >> PRIME_SHIFT << PRIME_SHIFT | (tag & STATES) << STATE_SHIFT | u64::from(byte & in_segment);
                ends[bucket] = slot + 1;
                index += 1;
            }
            if let Some((bucket, slot)) = full {
                self.ends[bucket] = self.new_block(slot);
            }
        }
    }

    /// The first slot of a fresh block after the full one that ends at `end` (0: there is none).
    #[cold]
    #[inline(never)]
    fn new_block(&mut self, end: u32) -> u32 {
        let block = self.free.pop().unwrap_or_else(|| {
            let block = self.arena.len() / BLOCK;
            if self.arena.len() == self.arena.capacity() {
                // Not twice as many, for this is most of what a sieve far up holds.
                self.arena.reserve_exact((self.arena.len() / 8).next_multiple_of(BLOCK));
            }
            self.arena.resize(self.arena.len() + BLOCK, 0);
            block as u32
        });
        let start = block * BLOCK as u32;
        self.arena[start as usize] = u64::from((end / BLOCK as u32).saturating_sub(1));
        start + 1
    }

    /// Crosses off about one block of primes; false once the segment is done. Then the next segment's turn has come.
    pub(super) fn cross_off_some(&mut self, segment: &mut [u8]) -> bool {
        let end = std::mem::take(&mut self.ends[self.current]);
        if end == 0 {
            self.current = (self.current + 1) & (self.ends.len() - 1);
            return false;
        }
        let block = (end - 1) / BLOCK as u32;
        let start = (block * BLOCK as u32) as usize;
        let previous = self.arena[start] as u32;
        if previous != 0 {
            // The rest of the bucket: its last block is full.
            self.ends[self.current] = (previous + 1) * BLOCK as u32;
        }
        self.cross_off_entries(start + 1, end as usize, segment);
        self.free.push(block);
        true
    }

    /// Crosses off the entries `start..end` of the arena and moves each to the bucket of its next multiple.
    fn cross_off_entries(&mut self, start: usize, end: usize, segment: &mut [u8]) {
        let mut index = start;
        while index < end {
            // Runs until a bucket needs a new block. Slices and bounds are held in registers that way.
            let (shift, current) = (self.segment_shift, self.current);
            let (arena, ends) = (&mut self.arena[..], &mut self.ends[..]);
            let (in_segment, in_ends) = ((1 << shift) - 1, ends.len() - 1);
            let full = loop {
                let entry = arena[index];
                let turn = &TURNS_210[(entry >> STATE_SHIFT & STATES) as usize];
                let at = entry as usize & (MAX_SEGMENT - 1);
                let a = entry >> PRIME_SHIFT;
                let next = at + a as usize * turn.gap as usize + turn.carry as usize;
                let bucket = (current + (next >> shift)) & in_ends;
                let slot = ends[bucket];
                if (slot as usize).is_multiple_of(BLOCK) {
                    break Some((bucket, slot));
                }
                if let Some(byte) = segment.get_mut(at) {
                    *byte &= turn.keep;
                }
                arena[slot as usize] =
                    a << PRIME_SHIFT | u64::from(turn.next) << STATE_SHIFT | (next & in_segment) as u64;
                ends[bucket] = slot + 1;
                index += 1;
                if index == end {
                    break None;
                }
            };
            if let Some((bucket, slot)) = full {
                self.ends[bucket] = self.new_block(slot);
            }
        }
    }
}
