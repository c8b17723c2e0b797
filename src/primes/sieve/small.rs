//! Crosses off the multiples of small primes: those whose periods fit a few times into the bytes that are crossed off
//! at once. Knows chunks of bytes, and nothing of segments or of where primes come from.
//!
//! The multiples of `p` form a pattern of `p` bytes with eight cleared bits, one for each cofactor residue, in places
//! that depend on `p / 30` and `p % 30` only. So a chunk is walked in whole periods of `p` bytes, eight clears each
//! with constant masks, and no state of a wheel is kept: only where the next period begins. The last period reaches out
//! of the chunk, into bytes that the caller has begun already, and the next chunk goes on after it: nothing is cleared
//! twice.

use crate::primes::wheel::{RESIDUES, TURNS_30, bit};

/// Primes must be below this bound. The buffer needs as many bytes before and after a chunk as the largest of them.
pub(super) const LIMIT: usize = 128 << 10;

#[derive(Clone, Copy, Debug)]
struct SmallPrime {
    prime: u32,
    /// Where its next period begins, in bytes after the place [`LIMIT`] before the chunk.
    next: u32,
}

/// How many residues primes have.
pub(super) const CLASSES: usize = RESIDUES.len();

/// The small primes, by their residue, and those that are to be added.
#[derive(Debug, Default)]
pub(super) struct SmallPrimes {
    classes: [Vec<SmallPrime>; CLASSES],
    next: &'static [u32],
}

impl SmallPrimes {
    /// None at first; then these, ascending.
    pub(super) fn of(next: &'static [u32]) -> Self {
        Self {
            next,
            ..Self::default()
        }
    }

    /// Adds the next ones up to `max` for chunks from `first_byte` on.
    pub(super) fn add_up_to(&mut self, max: u32, first_byte: u64) {
        while let [prime, next @ ..] = self.next
            && *prime <= max
        {
            self.add(*prime, first_byte);
            self.next = next;
        }
    }

    /// Adds a prime (coprime to 30, below [`LIMIT`]) for chunks from `first_byte` on.
    pub(super) fn add(&mut self, prime: u32, first_byte: u64) {
        let into = (first_byte % u64::from(prime)) as u32;
        let next = LIMIT as u32 - into;
        self.classes[bit(prime as usize % 30)].push(SmallPrime { prime, next });
    }

    /// Crosses off in `buffer[start..start + length]`; the next call is for the chunk after this one.
    ///
    /// Clears multiples after the chunk too, in the period that begins in it, and does not clear them again. In the
    /// first chunk of a prime it clears some before it.
    pub(super) fn cross_off(&mut self, buffer: &mut [u8], start: usize, length: usize) {
        for class in 0..CLASSES {
            self.cross_off_class(class, buffer, start, length);
        }
    }

    /// The same for the primes of one residue.
    pub(super) fn cross_off_class(&mut self, class: usize, buffer: &mut [u8], start: usize, length: usize) {
        let [p1, p7, p11, p13, p17, p19, p23, p29] = &mut self.classes;
        match class {
            0 => cross_off::<0>(p1, buffer, start, length),
            1 => cross_off::<1>(p7, buffer, start, length),
            2 => cross_off::<2>(p11, buffer, start, length),
            3 => cross_off::<3>(p13, buffer, start, length),
            4 => cross_off::<4>(p17, buffer, start, length),
            5 => cross_off::<5>(p19, buffer, start, length),
            6 => cross_off::<6>(p23, buffer, start, length),
            _ => cross_off::<7>(p29, buffer, start, length),
        }
    }
}

/// The same for the primes of the residue `RESIDUES[C]`.
fn cross_off<const C: usize>(primes: &mut [SmallPrime], buffer: &mut [u8], start: usize, length: usize) {
    let end = start + length;
    for SmallPrime { prime, next } in primes {
        let p = *prime as usize;
        let places = places::<C>(p);
        // Never so; said once a prime, so that the compiler need not check it once a multiple.
        if places.iter().any(|&place| place >= p) {
            continue;
        }
        // As many bytes as hold every period that begins in the chunk.
        let mut bytes = &mut buffer[start + *next as usize - LIMIT..end + p - 1];
        while bytes.len() >= p {
            let (period, rest) = bytes.split_at_mut(p);
            for (place, turn) in places.iter().zip(&TURNS_30[C]) {
                period[*place] &= turn.keep;
            }
            bytes = rest;
        }
        *next = (LIMIT + p - 1 - bytes.len()) as u32;
    }
}

/// In which bytes of its period the multiples of a prime of the residue `RESIDUES[C]` lie.
#[inline(always)]
fn places<const C: usize>(p: usize) -> [usize; 8] {
    let (a, r) = (p / 30, RESIDUES[C] as usize);
    RESIDUES.map(|s| a * s as usize + r * s as usize / 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lose_exactly_the_multiples() {
        for p in [7_u32, 31, 37, 101, 997, 1009, 4001, 8191, 16381, 65_537, 131_071] {
            let (chunk, first_byte) = (20_000, 987_654_321_u64);
            let mut buffer = vec![0xff; LIMIT + 3 * chunk + LIMIT];
            let mut primes = SmallPrimes::default();
            primes.add(p, first_byte);
            for i in 0..3 {
                primes.cross_off(&mut buffer, LIMIT + i * chunk, chunk);
            }
            for (byte, k) in buffer[LIMIT..LIMIT + 3 * chunk].iter().zip(first_byte..) {
                for (j, residue) in RESIDUES.iter().enumerate() {
                    let n = k * 30 + u64::from(*residue);
                    assert_eq!(byte >> j & 1 == 0, n % u64::from(p) == 0, "{n} and {p}");
                }
            }
        }
    }
}
