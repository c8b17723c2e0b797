//! A bitmap of the numbers coprime to 30: eight bits for every 30 numbers, 240 numbers to a word. Knows no primes: it is told what to cross off.

/// How many numbers one word stands for.
pub(crate) const SPAN: u64 = 240;

/// The residues coprime to 30, in the order of the bits.
pub(crate) const RESIDUES: [u64; 8] = [1, 7, 11, 13, 17, 19, 23, 29];

/// For each residue modulo 30, how many of [`RESIDUES`] are below it.
const BITS: [u8; 30] = bits();

/// For each offset in a word, the bits of the numbers up to it.
pub(crate) static UP_TO: [u64; SPAN as usize] = up_to();

const fn bits() -> [u8; 30] {
    let mut bits = [0; 30];
    let (mut n, mut bit) = (0, 0);
    while n < 30 {
        bits[n] = bit;
        if bit < 8 && RESIDUES[bit as usize] == n as u64 {
            bit += 1;
        }
        n += 1;
    }
    bits
}

const fn up_to() -> [u64; SPAN as usize] {
    let mut masks = [0; SPAN as usize];
    let mut n = 0;
    let mut mask = 0;
    while n < SPAN {
        let bit = BITS[(n % 30) as usize];
        if bit < 8 && RESIDUES[bit as usize] == n % 30 {
            mask |= 1 << (n / 30 * 8 + bit as u64);
        }
        masks[n as usize] = mask;
        n += 1;
    }
    masks
}

/// For each of the eight runs of multiples of `prime` that keep to one bit: the first byte and the bit. A run goes on every `prime` bytes.
///
/// `low` is a multiple of 30; the multiples are `prime * q >= low` with `q >= least` coprime to 30.
#[inline]
pub(crate) fn runs(prime: u64, low: u64, least: u64) -> [(usize, u32); 8] {
    let first = low.div_ceil(prime).max(least);
    let turn = first / 30 * 30;
    RESIDUES.map(|residue| {
        let cofactor = turn + residue;
        let cofactor = if cofactor < first { cofactor + 30 } else { cofactor };
        let at = prime * cofactor - low;
        ((at / 30) as usize, u32::from(BITS[(at % 30) as usize]))
    })
}

/// The bytes of a bitmap, in the order of the numbers.
#[inline]
pub(crate) fn cross_off(bytes: &mut [u8], prime: u64, low: u64, least: u64) {
    for (first, bit) in runs(prime, low, least) {
        let mask = !(1_u8 << bit);
        if let Some(run) = bytes.get_mut(first..) {
            run.iter_mut().step_by(prime as usize).for_each(|byte| *byte &= mask);
        }
    }
}
