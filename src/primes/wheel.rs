//! The wheels: which residues modulo 30 and 210 a prime can have, and how far it is to the next multiple that is worth
//! crossing off. Pure constants; knows nothing of how a sieve stores them, except for the one rule below.
//!
//! A sieve keeps one byte for 30 numbers, one bit for each residue coprime to 30: bit `j` of byte `k` stands for
//! `30 k + RESIDUES[j]`. Write a prime as `p = 30 a + r` and its cofactor as `q = 30 b + s`; then the multiple `p q`
//! lies in byte `p q / 30 = a q + r b + r s / 30` (integer divisions) and has the residue `r s mod 30`. So going from
//! the cofactor `q` to `q + gap` moves `gap * a` bytes and a small carry that depends on `r` and `s` only.

/// The residues modulo 30 that are coprime to 30.
pub const RESIDUES: [u8; 8] = [1, 7, 11, 13, 17, 19, 23, 29];

/// `GAPS[j]` leads from `RESIDUES[j]` to the next residue (the last one to 31).
pub const GAPS: [u8; 8] = [6, 4, 2, 4, 2, 4, 6, 2];

/// How many numbers one byte stands for.
pub const NUMBERS_PER_BYTE: u64 = 30;

/// How many numbers one 64-bit word stands for.
pub const NUMBERS_PER_WORD: u64 = 240;

/// The bit that stands for `residue`, which must be coprime to 30 (0 for others).
///
/// # Panics
/// If `residue` is 32 or more.
#[inline]
pub const fn bit(residue: usize) -> usize {
    BITS[residue] as usize
}

/// Padded to a power of two.
const BITS: [u8; 32] = {
    let mut table = [0; 32];
    let mut j = 0;
    while j < 8 {
        table[RESIDUES[j] as usize] = j as u8;
        j += 1;
    }
    table
};

/// `BITS_BELOW[n]` has the bits of all residues `< n` set, for `n <= 30`.
pub const BITS_BELOW: [u8; 31] = {
    let mut table = [0; 31];
    let mut n = 0;
    while n < 31 {
        let mut j = 0;
        while j < 8 && (RESIDUES[j] as usize) < n {
            table[n] |= 1 << j;
            j += 1;
        }
        n += 1;
    }
    table
};

/// For each offset in a word, the bits of the numbers up to it. 256 of them, so that a byte is an index without a
/// check.
pub static UP_TO: [u64; 256] = {
    let mut masks = [u64::MAX; 256];
    let (mut offset, mut found) = (0, 0);
    while offset < NUMBERS_PER_WORD as usize {
        if found < 64 && found / 8 * 30 + RESIDUES[found % 8] as usize == offset {
            found += 1;
        }
        masks[offset] = if found == 64 { u64::MAX } else { (1 << found) - 1 };
        offset += 1;
    }
    masks
};

/// `NEXT_COPRIME_30[n]` leads from a cofactor `n` modulo 30 up to the next coprime to 30: the distance and the index of
/// the residue that is reached.
pub const NEXT_COPRIME_30: [(u8, u8); 30] = {
    let mut table = [(0, 0); 30];
    let mut n = 0;
    while n < 30 {
        let mut j = 0;
        while (RESIDUES[j] as usize) < n {
            j += 1;
        }
        table[n] = (RESIDUES[j] - n as u8, j as u8);
        n += 1;
    }
    table
};

/// One multiple of a sieving prime of a known residue, and the way to the next one.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The bit of the multiple, ready to clear it: all other bits are set.
    pub keep: u8,
    /// How far the cofactor moves to the next multiple.
    pub gap: u8,
    /// Bytes to move beside `gap * (p / 30)`.
    pub carry: u8,
    /// The state of the next multiple.
    pub next: u32,
}

/// The step for the prime residue `r` from the cofactor residue `s` over `gap`.
const fn turn(r: usize, s: usize, gap: usize, next: usize) -> Turn {
    Turn {
        keep: !(1 << bit(r * s % 30)),
        gap: gap as u8,
        carry: (r * (s + gap) / 30 - r * s / 30) as u8,
        next: next as u32,
    }
}

/// Modulo 30: `TURNS_30[c][j]` is for primes of the residue `RESIDUES[c]` and cofactors of the residue `RESIDUES[j]`.
pub const TURNS_30: [[Turn; 8]; 8] = {
    let mut table = [[turn(1, 1, 0, 0); 8]; 8];
    let mut c = 0;
    while c < 8 {
        let mut j = 0;
        while j < 8 {
            table[c][j] = turn(
                RESIDUES[c] as usize,
                RESIDUES[j] as usize,
                GAPS[j] as usize,
                (j + 1) % 8,
            );
            j += 1;
        }
        c += 1;
    }
    table
};

/// How many residues modulo 210 are coprime to 210.
pub const COPRIME_TO_210: usize = 48;

const fn is_coprime_to_210(n: usize) -> bool {
    !n.is_multiple_of(2) && !n.is_multiple_of(3) && !n.is_multiple_of(5) && !n.is_multiple_of(7)
}

/// `NEXT_COPRIME_210[n]`: as [`NEXT_COPRIME_30`], modulo 210.
pub const NEXT_COPRIME_210: [(u8, u8); 210] = {
    let mut table = [(0, 0); 210];
    // 211 is 1 on the next turn.
    let (mut above, mut index) = (211, COPRIME_TO_210);
    let mut n = 210;
    while n > 0 {
        n -= 1;
        if is_coprime_to_210(n) {
            above = n;
            index -= 1;
        }
        table[n] = ((above - n) as u8, (index % COPRIME_TO_210) as u8);
    }
    table
};

/// Modulo 210: the state `48 c + j` is for primes of the residue `RESIDUES[c]` modulo 30 and cofactors of the `j`-th
/// residue coprime to 210. Padded to a power of two, so that an index needs a mask and no check.
pub static TURNS_210: [Turn; 512] = {
    let mut table = [turn(1, 1, 0, 0); 512];
    let mut c = 0;
    while c < 8 {
        let mut s = 1;
        while s < 210 {
            let (up, next) = NEXT_COPRIME_210[(s + 1) % 210];
            let gap = up as usize + 1;
            let j = NEXT_COPRIME_210[s].1 as usize;
            // Modulo 30 the cofactor s is as good as s mod 30: 30 more move the multiple by whole bytes on both sides.
            table[48 * c + j] = turn(RESIDUES[c] as usize, s % 30, gap, 48 * c + next as usize);
            s += gap;
        }
        c += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the multiples of `p` with a wheel and compares each with plain arithmetic.
    fn walk(p: u64, modulus: u64, mut state: usize, turn: impl Fn(usize) -> Turn) {
        let mut q = 1;
        let mut byte = p / 30;
        for _ in 0..200 {
            let turn = turn(state);
            assert_eq!(byte, p * q / 30, "{p} * {q}");
            assert_eq!(!turn.keep, 1 << bit((p * q % 30) as usize), "{p} * {q}");
            byte += u64::from(turn.gap) * (p / 30) + u64::from(turn.carry);
            q = (q + 1..)
                .find(|&q| (2..8).all(|d| !modulus.is_multiple_of(d) || !q.is_multiple_of(d)))
                .expect("endless");
            state = turn.next as usize;
        }
    }

    #[test]
    fn every_turn_leads_to_the_next_multiple() {
        for p in (7..1000).filter(|p| p % 2 != 0 && p % 3 != 0 && p % 5 != 0) {
            let class = bit(p as usize % 30);
            walk(p, 30, 0, |state| TURNS_30[class][state]);
            walk(p, 210, 48 * class, |state| TURNS_210[state]);
        }
    }

    #[test]
    fn next_coprime_is_the_next_coprime() {
        for n in 0..210_u64 {
            let coprime = |q: u64, modulus: u64| (2..8).all(|d| !modulus.is_multiple_of(d) || !q.is_multiple_of(d));
            let up = u64::from(NEXT_COPRIME_30[n as usize % 30].0);
            assert_eq!(Some(n + up), (n..).find(|&q| coprime(q, 30)));
            let up = u64::from(NEXT_COPRIME_210[n as usize].0);
            assert_eq!(Some(n + up), (n..).find(|&q| coprime(q, 210)));
        }
    }
}
