//! Medium primes sixteen at a time with AVX-512, or eight at a time with AVX2.
//!
//! The primes of one residue modulo 30 share the tables of the wheel modulo 210, and each table fits a vector register.
//! So a round finds the next multiple of each of sixteen primes in a dozen instructions, drops those beyond the segment
//! and appends the others to a list; no branch depends on a single prime. Only clearing the bits of the list is done
//! one by one, and as their places are known by then, many cache misses are under way at a time. The primes stay where
//! they are and take eight bytes each, four of which are written: what a prime costs that has no multiple in the
//! segment is little more than reading it, hence primes of up to many times the segment are medium.
#![allow(unsafe_code)] // Vector loads and stores, and clearing bits at places that were compared with the length.

use super::big::MAX_SEGMENT;
use super::first_multiple::FirstMultiples;
use super::octets;
use crate::primes::features::has;
use crate::primes::wheel::{COPRIME_TO_210, TURNS_210};
use std::arch::x86_64::*;

/// The low bits of a walk hold the state of the wheel: which residue coprime to 210 the cofactor has.
pub(super) const STATE_BITS: u32 = 6;
pub(super) const STATES: u32 = (1 << STATE_BITS) - 1;

/// Low bits of a hit: the byte to clear the bit with.
pub(super) const KEEP_BITS: u32 = 8;

/// Primes in a vector.
const LANES: usize = 16;

/// Hits that are found before their bits are cleared: 4 KiB.
pub(super) const HITS: usize = 1024;

/// Primes in a step, of a segment of at most these bytes; of a longer one fewer. With all their multiples they take
/// some 10 to 100 microseconds.
const STEP: usize = 8192;
const STEP_BYTES: usize = 512 << 10;

/// The medium primes, by their residue modulo 30.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Whether there are sixteen.
    is_wide: bool,
    classes: [Class; 8],
    /// The class that is crossed off next, and its first prime.
    class: usize,
    from: usize,
}

/// Primes of one residue modulo 30.
#[derive(Clone, Debug, Default, PartialEq)]
struct Class {
    /// Each prime divided by 30.
    thirtieths: Vec<u32>,
    /// For each prime the byte of its next multiple, relative to the segment that is crossed off next, above the state.
    walks: Vec<u32>,
}

/// The wheel for primes of one residue modulo 30, each field a table by state.
pub(super) struct Wheel {
    pub(super) keeps: [u8; 64],
    pub(super) gaps: [u8; 64],
    pub(super) carries: [u8; 64],
    nexts: [u8; 64],
}

static WHEELS: [Wheel; 8] = {
    const NONE: Wheel = Wheel {
        keeps: [0; 64],
        gaps: [0; 64],
        carries: [0; 64],
        nexts: [0; 64],
    };
    let mut wheels = [NONE; 8];
    let mut state = 0;
    while state < 8 * COPRIME_TO_210 {
        let (wheel, at) = (&mut wheels[state / COPRIME_TO_210], state % COPRIME_TO_210);
        let turn = TURNS_210[state];
        wheel.keeps[at] = turn.keep;
        wheel.gaps[at] = turn.gap;
        wheel.carries[at] = turn.carry;
        wheel.nexts[at] = (turn.next as usize % COPRIME_TO_210) as u8;
        state += 1;
    }
    wheels
};

const _: () = assert!(COPRIME_TO_210 <= 1 << STATE_BITS && MAX_SEGMENT <= 1 << (32 - KEEP_BITS));

fn has_sixteen() -> bool {
    has!("avx512f", "avx512bw", "avx512vbmi", "popcnt")
}

impl Lanes {
    /// `None` if the processor lacks an instruction.
    pub(super) fn new() -> Option<Self> {
        has_sixteen().then(|| Self::of(true)).or_else(Self::eight)
    }

    /// Eight lanes, also where sixteen are possible; `None` if the processor lacks an instruction.
    pub(super) fn eight() -> Option<Self> {
        octets::are_possible().then(|| Self::of(false))
    }

    fn of(is_wide: bool) -> Self {
        Self {
            is_wide,
            classes: Default::default(),
            class: 0,
            from: 0,
        }
    }

    /// Whether there are sixteen lanes, and not eight.
    pub(super) fn are_sixteen(&self) -> bool {
        self.is_wide
    }

    /// Adds primes, from the segment on that is crossed off next; on the wheel modulo 210.
    pub(super) fn add(&mut self, primes: &FirstMultiples) {
        for (&tag, &byte) in primes.tags.iter().zip(&primes.bytes) {
            let (class, state) = (tag as u32 / COPRIME_TO_210 as u32, tag as u32 % COPRIME_TO_210 as u32);
            let class = &mut self.classes[class as usize % 8];
            class.thirtieths.push((tag >> 32) as u32);
            class.walks.push(byte << STATE_BITS | state);
        }
    }

    /// Bytes that primes take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let all = self.classes.iter();
        all.map(|class| 4 * (class.thirtieths.capacity() + class.walks.capacity()))
            .sum()
    }

    /// Crosses off the multiples of some primes; false once the segment, of at most [`MAX_SEGMENT`] bytes, is done.
    pub(super) fn cross_off_some(&mut self, segment: &mut [u8]) -> bool {
        let class = &mut self.classes[self.class];
        let step = STEP / segment.len().div_ceil(STEP_BYTES).max(1);
        let to = class.walks.len().min(self.from + step);
        let primes = (&class.thirtieths[self.from..to], &mut class.walks[self.from..to]);
        let wheel = &WHEELS[self.class];
        // SAFETY: `new` has detected the features of the one or the other.
        unsafe {
            if self.is_wide {
                cross_off(wheel, primes, segment);
            } else {
                octets::cross_off(wheel, primes, segment);
            }
        }
        self.from = to;
        if to == class.walks.len() {
            (self.class, self.from) = ((self.class + 1) % 8, 0);
        }
        (self.class, self.from) != (0, 0)
    }
}

/// Crosses off the multiples of these primes, given as in [`Class`], and moves their walks on to the next segment.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
fn cross_off(wheel: &Wheel, (thirtieths, walks): (&[u32], &mut [u32]), segment: &mut [u8]) {
    assert!(segment.len() <= MAX_SEGMENT && thirtieths.len() == walks.len());
    // SAFETY: tables of 64 bytes are loaded.
    let table = |table: &[u8; 64]| unsafe { _mm512_loadu_si512(table.as_ptr().cast()) };
    let [keeps, gaps, carries, nexts] = [&wheel.keeps, &wheel.gaps, &wheel.carries, &wheel.nexts].map(table);
    // A table is looked up by the lowest byte of each lane.
    let look_up = |table, state| _mm512_maskz_permutexvar_epi8(0x1111_1111_1111_1111, state, table);
    let end = _mm512_set1_epi32(segment.len() as i32);
    let mut hits = [0_u32; HITS + LANES];
    let mut count = 0;
    for (thirtieths, walks) in thirtieths.chunks(LANES).zip(walks.chunks_mut(LANES)) {
        let present = (u32::from(u16::MAX) >> (LANES - walks.len())) as __mmask16;
        // SAFETY: as many lanes are loaded as the chunks have.
        let load = |from: &[u32]| unsafe { _mm512_maskz_loadu_epi32(present, from.as_ptr().cast()) };
        let (thirtieths, walk) = (load(thirtieths), load(walks));
        let mut at = _mm512_srli_epi32::<STATE_BITS>(walk);
        let mut state = _mm512_and_si512(walk, _mm512_set1_epi32(STATES as i32));
        let mut inside = _mm512_mask_cmplt_epu32_mask(present, at, end);
        // Lanes beyond the segment go on with the others, so that nothing waits for the comparison; where they left is
        // kept.
        let (mut left_at, mut left_state) = (at, state);
        while inside != 0 {
            let found = _mm512_or_si512(_mm512_slli_epi32::<KEEP_BITS>(at), look_up(keeps, state));
            // SAFETY: `count < HITS`, so there is room for a vector.
            unsafe {
                let to = hits.as_mut_ptr().add(count);
                _mm512_storeu_si512(to.cast(), _mm512_maskz_compress_epi32(inside, found));
            }
            count += inside.count_ones() as usize;
            let way = _mm512_mullo_epi32(thirtieths, look_up(gaps, state));
            at = _mm512_add_epi32(at, _mm512_add_epi32(way, look_up(carries, state)));
            state = look_up(nexts, state);
            left_at = _mm512_mask_mov_epi32(left_at, inside, at);
            left_state = _mm512_mask_mov_epi32(left_state, inside, state);
            inside = _mm512_mask_cmplt_epu32_mask(inside, at, end);
            if count >= HITS {
                // SAFETY: all hits were inside.
                unsafe { clear(&hits[..count], segment) };
                count = 0;
            }
        }
        let walk = _mm512_or_si512(
            _mm512_slli_epi32::<STATE_BITS>(_mm512_sub_epi32(left_at, end)),
            left_state,
        );
        // SAFETY: as many lanes are stored as the chunk has.
        unsafe { _mm512_mask_storeu_epi32(walks.as_mut_ptr().cast(), present, walk) };
    }
    // SAFETY: all hits were inside.
    unsafe { clear(&hits[..count], segment) };
}

/// Clears the bits of the hits, whose places must be inside of the segment.
#[inline(always)]
pub(super) unsafe fn clear(hits: &[u32], segment: &mut [u8]) {
    for hit in hits {
        // SAFETY: so says the caller.
        unsafe { *segment.get_unchecked_mut((hit >> KEEP_BITS) as usize) &= *hit as u8 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, a prime after the other.
    fn cross_off_portable(class: usize, primes: &mut Class, segment: &mut [u8]) {
        for (&a, walk) in primes.thirtieths.iter().zip(&mut primes.walks) {
            let mut at = (*walk >> STATE_BITS) as usize;
            let mut state = 48 * class + (*walk & STATES) as usize;
            while let Some(byte) = segment.get_mut(at) {
                let turn = TURNS_210[state];
                *byte &= turn.keep;
                at += a as usize * turn.gap as usize + turn.carry as usize;
                state = turn.next as usize;
            }
            *walk = ((at - segment.len()) as u32) << STATE_BITS | (state % 48) as u32;
        }
    }

    type CrossOff = unsafe fn(&Wheel, (&[u32], &mut [u32]), &mut [u8]);

    proptest! {
        #[test]
        fn many_at_a_time_clear_what_one_after_the_other_clears(
            class in 0_usize..8,
            primes in prop::collection::vec((1_u32..300_000, 0_u32..1 << 20, 0_u32..48), 0..70),
            lengths in prop::collection::vec(1_usize..60_000, 1..4),
        ) {
            let mut ways: Vec<CrossOff> = Vec::new();
            if has_sixteen() {
                ways.push(cross_off);
            }
            if octets::are_possible() {
                ways.push(octets::cross_off);
            }
            for way in ways {
                let mut expected = Class {
                    thirtieths: primes.iter().map(|prime| prime.0).collect(),
                    walks: primes.iter().map(|prime| prime.1 << STATE_BITS | prime.2).collect(),
                };
                let mut found = expected.clone();
                for &length in &lengths {
                    let (mut bits, mut same) = (vec![0xff; length], vec![0xff; length]);
                    cross_off_portable(class, &mut expected, &mut bits);
                    // SAFETY: the features were just detected.
                    unsafe { way(&WHEELS[class], (&found.thirtieths, &mut found.walks), &mut same) };
                    prop_assert!(bits == same);
                    prop_assert_eq!(&expected, &found);
                }
            }
        }
    }
}
