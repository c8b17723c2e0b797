//! Medium primes one after the other, for machines without the instructions that [`super::lanes`] needs.
//!
//! Which way a prime's walk enters and leaves a segment is random, and a wrong guess of the branch predictor costs more
//! than several multiples. So primes are kept in 64 lists, one for each residue of the prime and of its next cofactor:
//! all primes of a list enter the unrolled walk at the same place, and only the way out is a guess (primesieve's
//! EratMedium has the idea).

use super::first_multiple::FirstMultiples;
use crate::primes::wheel::TURNS_30;

/// A prime waiting for the next segment: `prime / 30` in the high half, the byte of its next multiple relative to that
/// segment in the low half.
type Waiting = u64;

/// The medium primes, by residue class and by state of the wheel.
#[derive(Debug)]
pub(super) struct Lists {
    waiting: [Vec<Waiting>; 64],
    /// The spare of the list that is being worked off, so that it keeps its memory.
    next: [Vec<Waiting>; 64],
    /// The residue class that is crossed off next.
    class: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self {
            waiting: std::array::from_fn(|_| Vec::new()),
            next: std::array::from_fn(|_| Vec::new()),
            class: 0,
        }
    }
}

impl Lists {
    /// Adds primes, from the segment on that is crossed off next; on the wheel modulo 30.
    pub(super) fn add(&mut self, primes: &FirstMultiples) {
        for (&tag, &byte) in primes.tags.iter().zip(&primes.bytes) {
            self.waiting[tag as usize % 64].push(tag >> 32 << 32 | u64::from(byte));
        }
    }

    /// Bytes that primes take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let all = self.waiting.iter().chain(&self.next);
        all.map(|list| list.capacity() * size_of::<Waiting>()).sum()
    }

    /// Crosses off the multiples of the primes of one residue class; false once the segment is done.
    pub(super) fn cross_off_some(&mut self, segment: &mut [u8]) -> bool {
        let class = self.class;
        self.class = (class + 1) % 8;
        let lists = 8 * class..8 * class + 8;
        let Some(waiting) = self.waiting[lists.clone()].as_mut_array() else {
            return false;
        };
        let Some(next) = self.next[lists].as_mut_array() else {
            return false;
        };
        match class {
            0 => cross_off_class::<0>(waiting, next, segment),
            1 => cross_off_class::<1>(waiting, next, segment),
            2 => cross_off_class::<2>(waiting, next, segment),
            3 => cross_off_class::<3>(waiting, next, segment),
            4 => cross_off_class::<4>(waiting, next, segment),
            5 => cross_off_class::<5>(waiting, next, segment),
            6 => cross_off_class::<6>(waiting, next, segment),
            _ => cross_off_class::<7>(waiting, next, segment),
        }
        class < 7
    }
}

type States = [Vec<Waiting>; 8];

fn cross_off_class<const C: usize>(waiting: &mut States, next: &mut States, segment: &mut [u8]) {
    cross_off_list::<C, 0>(&mut waiting[0], next, segment);
    cross_off_list::<C, 1>(&mut waiting[1], next, segment);
    cross_off_list::<C, 2>(&mut waiting[2], next, segment);
    cross_off_list::<C, 3>(&mut waiting[3], next, segment);
    cross_off_list::<C, 4>(&mut waiting[4], next, segment);
    cross_off_list::<C, 5>(&mut waiting[5], next, segment);
    cross_off_list::<C, 6>(&mut waiting[6], next, segment);
    cross_off_list::<C, 7>(&mut waiting[7], next, segment);
    std::mem::swap(waiting, next);
}

/// Walks the primes of one list through the segment, starting in the wheel's state `J`, and files them in `next`.
fn cross_off_list<const C: usize, const J: usize>(list: &mut Vec<Waiting>, next: &mut States, segment: &mut [u8]) {
    for &prime in list.iter() {
        let a = (prime >> 32) as usize;
        let mut at = prime as u32 as usize;
        let state = 'walk: loop {
            // Unrolled by the compiler: eight copies with constant masks and distances.
            for turn in 0..8 {
                let j = (J + turn) % 8;
                let Some(byte) = segment.get_mut(at) else { break 'walk j };
                *byte &= TURNS_30[C][j].keep;
                at += a * TURNS_30[C][j].gap as usize + TURNS_30[C][j].carry as usize;
            }
        };
        next[state].push(prime >> 32 << 32 | (at - segment.len()) as u64);
    }
    list.clear();
}
