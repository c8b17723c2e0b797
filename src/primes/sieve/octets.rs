//! What [`super::lanes`] does sixteen primes at a time, eight at a time with AVX2.
//!
//! A table of the wheel is three vectors of sixteen bytes; each is looked up where the state is one of its sixteen, and
//! gives 0 elsewhere. The hits within the segment are moved together by a permutation for each of the 256 sets of
//! lanes. No gather: some processors take as long for it as for eight loads, or longer.
#![allow(unsafe_code)] // Vector loads and stores, and clearing bits at places that were compared with the length.

use super::big::MAX_SEGMENT;
use super::lanes::{HITS, KEEP_BITS, STATE_BITS, STATES, Wheel, clear};
use crate::primes::features::has;
use crate::primes::wheel::COPRIME_TO_210;
use std::arch::x86_64::*;
use std::iter;

/// Primes in a vector.
const LANES: usize = 8;

/// For each set of lanes their numbers, ascending, a byte each.
static MOVES: [u64; 256] = {
    let mut moves = [0; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut count) = (0, 0);
        while lane < LANES {
            if set >> lane & 1 == 1 {
                moves[set] |= (lane as u64) << (8 * count);
                count += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    moves
};

/// The walk of a lane without a prime: beyond any segment.
const NO_WALK: u32 = u32::MAX;

/// Whether the processor has what this needs.
pub(super) fn are_possible() -> bool {
    has!("avx2", "popcnt")
}

/// Crosses off the multiples of primes of one residue modulo 30, and moves their walks on to the next segment.
///
/// # Safety
/// [`are_possible`] must have said so.
#[target_feature(enable = "avx2,popcnt")]
pub(super) unsafe fn cross_off(wheel: &Wheel, (thirtieths, walks): (&[u32], &mut [u32]), segment: &mut [u8]) {
    assert!(segment.len() <= MAX_SEGMENT && thirtieths.len() == walks.len());
    let thirds = |table: &[u8; 64]| {
        // SAFETY: sixteen bytes of 64 are loaded, the last from 32 on.
        [0, 16, 32].map(|from| unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().add(from).cast())) })
    };
    let [keeps, gaps, carries] = [&wheel.keeps, &wheel.gaps, &wheel.carries].map(thirds);
    let end = _mm256_set1_epi32(segment.len() as i32);
    let mut hits = [0_u32; HITS + LANES];
    let mut count = 0;
    let (thirtieths, last_thirtieths) = thirtieths.as_chunks::<LANES>();
    let (walks, last_walks) = walks.as_chunks_mut::<LANES>();
    // The last vector is filled up. Masks would do as well, but a masked store is microcode on AMD's processors, and
    // takes as long as a dozen others.
    let (mut filled_thirtieths, mut filled_walks) = ([0; LANES], [NO_WALK; LANES]);
    filled_thirtieths[..last_thirtieths.len()].copy_from_slice(last_thirtieths);
    filled_walks[..last_walks.len()].copy_from_slice(last_walks);
    let walks = walks.iter_mut().chain(iter::once(&mut filled_walks));
    for (thirtieths, walks) in thirtieths.iter().chain(iter::once(&filled_thirtieths)).zip(walks) {
        // SAFETY: arrays of eight words are loaded.
        let load = |from: &[u32; LANES]| unsafe { _mm256_loadu_si256(from.as_ptr().cast()) };
        let (thirtieths, walk) = (load(thirtieths), load(walks));
        let mut at = _mm256_srli_epi32::<{ STATE_BITS as i32 }>(walk);
        let mut state = _mm256_and_si256(walk, _mm256_set1_epi32(STATES as i32));
        let mut inside = _mm256_cmpgt_epi32(end, at);
        // As in `lanes`: all lanes go on, and where they left is kept.
        let (mut left_at, mut left_state) = (at, state);
        let mut set = _mm256_movemask_ps(_mm256_castsi256_ps(inside)) as usize;
        while set != 0 {
            // An index with its highest bit set gives 0: all but those of the sixteen, by saturation.
            let ones = _mm256_set1_epi32(0xffff_ff70_u32 as i32);
            let index = [0, 16, 32].map(|from| _mm256_adds_epu8(_mm256_sub_epi8(state, _mm256_set1_epi32(from)), ones));
            let look_up = |thirds: [__m256i; 3]| {
                let [a, b, c] = [0, 1, 2].map(|i: usize| _mm256_shuffle_epi8(thirds[i], index[i]));
                _mm256_or_si256(_mm256_or_si256(a, b), c)
            };
            let found = _mm256_or_si256(_mm256_slli_epi32::<{ KEEP_BITS as i32 }>(at), look_up(keeps));
            // SAFETY: there are 256 sets, and `count < HITS`, so there is room for a vector.
            unsafe {
                let moves = _mm_loadl_epi64(MOVES.as_ptr().add(set).cast());
                let together = _mm256_permutevar8x32_epi32(found, _mm256_cvtepu8_epi32(moves));
                _mm256_storeu_si256(hits.as_mut_ptr().add(count).cast(), together);
            }
            count += set.count_ones() as usize;
            let way = _mm256_mullo_epi32(thirtieths, look_up(gaps));
            at = _mm256_add_epi32(at, _mm256_add_epi32(way, look_up(carries)));
            // The states follow each other.
            let next = _mm256_add_epi32(state, _mm256_set1_epi32(1));
            state = _mm256_and_si256(next, _mm256_cmpgt_epi32(_mm256_set1_epi32(COPRIME_TO_210 as i32), next));
            left_at = _mm256_blendv_epi8(left_at, at, inside);
            left_state = _mm256_blendv_epi8(left_state, state, inside);
            inside = _mm256_and_si256(inside, _mm256_cmpgt_epi32(end, at));
            set = _mm256_movemask_ps(_mm256_castsi256_ps(inside)) as usize;
            if count >= HITS {
                // SAFETY: all hits were inside.
                unsafe { clear(&hits[..count], segment) };
                count = 0;
            }
        }
        let walk = _mm256_or_si256(
            _mm256_slli_epi32::<{ STATE_BITS as i32 }>(_mm256_sub_epi32(left_at, end)),
            left_state,
        );
        // SAFETY: eight words are stored where there are eight.
        unsafe { _mm256_storeu_si256(walks.as_mut_ptr().cast(), walk) };
    }
    last_walks.copy_from_slice(&filled_walks[..last_walks.len()]);
    // SAFETY: all hits were inside.
    unsafe { clear(&hits[..count], segment) };
}
