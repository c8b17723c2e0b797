//! D's own view of a sieve by the wheel of 30: where the multiples of a prime stand.
//!
//! Unlike a sieve of primes this one also crosses off the primes themselves, and does not wait for their squares.

use crate::primes::wheel::{NUMBERS_PER_BYTE, RESIDUES, bit};

/// For each residue coprime to 30, its bit.
const BITS: [u8; NUMBERS_PER_BYTE as usize] = {
    let mut bits = [0; NUMBERS_PER_BYTE as usize];
    let mut at = 0;
    while at < RESIDUES.len() {
        bits[RESIDUES[at] as usize] = bit(RESIDUES[at] as usize) as u8;
        at += 1;
    }
    bits
};

/// For each residue modulo 30, the bits of a byte without its own. Two more, so that a vector can be loaded.
pub(super) static KEEPS: [u8; 32] = {
    let mut keeps = [u8::MAX; 32];
    let mut at = 0;
    while at < RESIDUES.len() {
        keeps[RESIDUES[at] as usize] = !(1 << at);
        at += 1;
    }
    keeps
};

/// The bits of the multiples of a prime, of which only the residue modulo 30 counts, by cofactors of each residue.
pub(super) const fn bits(prime: usize) -> [u8; 8] {
    let mut bits = [0; 8];
    let mut at = 0;
    while at < bits.len() {
        bits[at] = BITS[prime * RESIDUES[at] as usize % NUMBERS_PER_BYTE as usize];
        at += 1;
    }
    bits
}

/// The multiples of `prime` from `low` on, which is a multiple of 30, as eight runs that each keep to one bit: the
/// first byte and the bit. A run goes on every `prime` bytes.
#[inline]
fn runs(prime: u64, low: u64) -> [(usize, u32); 8] {
    let first = low.div_ceil(prime).max(1);
    let turn = first / NUMBERS_PER_BYTE * NUMBERS_PER_BYTE;
    RESIDUES.map(|residue| {
        let cofactor = turn + u64::from(residue);
        let cofactor = if cofactor < first {
            cofactor + NUMBERS_PER_BYTE
        } else {
            cofactor
        };
        let at = prime * cofactor - low;
        let bit = BITS[(at % NUMBERS_PER_BYTE) as usize];
        ((at / NUMBERS_PER_BYTE) as usize, u32::from(bit))
    })
}

/// Crosses off the multiples of `prime` in the bytes from `low` on.
#[inline]
pub(super) fn cross_off(bytes: &mut [u8], prime: u64, low: u64) {
    for (first, bit) in runs(prime, low) {
        let keep = !(1_u8 << bit);
        if let Some(run) = bytes.get_mut(first..) {
            run.iter_mut().step_by(prime as usize).for_each(|byte| *byte &= keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::wheel::UP_TO;

    #[test]
    fn multiples_of_a_prime_are_crossed_off_and_no_others() {
        for prime in [7, 23, 31, 97, 1009] {
            for low in [0, 240, 6000, 24_000] {
                let mut bytes = [u8::MAX; 400];
                cross_off(&mut bytes, prime, low);
                let mut count = 0;
                for (offset, mask) in (0..400 * 30).map(|offset| (offset, UP_TO[offset as usize % 240])) {
                    if RESIDUES.contains(&((offset % 30) as u8)) {
                        let is_left = bytes[offset as usize / 30] >> BITS[offset as usize % 30] & 1 == 1;
                        assert_eq!(
                            is_left,
                            !(low + offset).is_multiple_of(prime),
                            "{prime} {}",
                            low + offset
                        );
                        count += 1;
                    }
                    assert_eq!(u64::from(mask.count_ones()), count - offset / 240 * 64);
                }
            }
        }
    }
}
