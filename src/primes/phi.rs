//! Legendre's partial sieve function `phi(x, a)`: how many numbers of `1..=x` have no prime factor among the first `a`
//! primes.
//!
//! Here only for `a <= 8`, where it takes constant time: with `P = 2 * 3 * .. * p_a`,
//! `phi(x, a) = (x / P) * totient(P) + phi(x mod P, a)` (Lehmer 1959), and the last term comes from a bitmap with
//! running counts.

use super::known::clear_multiples;

/// How many small primes [`phi_tiny`] sieves by: `phi(x, 8)`.
pub(crate) const TINY: usize = 8;

/// `2 * 3 * 5 * 7 * 11 * 13 * 17`: the bitmap's period.
const PERIOD: u64 = 510_510;

/// How many numbers of a period have no factor of it.
const TOTIENT: u64 = 92_160;

/// The largest prime of the first [`TINY`].
const LAST: u64 = 19;

/// How many words the bitmap has.
const WORDS: usize = PERIOD as usize / 64 + 1;

/// One bit for each odd number of a period, 64 numbers to a word: 32 bits, and above them how many bits are set in the
/// words before. Made by the compiler: a count of some milliseconds would spend a tenth of its time on it.
static BITMAP: [u64; WORDS] = {
    const PRIMES: [usize; 6] = [3, 5, 7, 11, 13, 17];
    let mut bits = [u32::MAX as u64; WORDS];
    let mut i = 0;
    while i < PRIMES.len() {
        clear_multiples(&mut bits, PRIMES[i], 64);
        i += 1;
    }
    let (mut word, mut before) = (0, 0);
    while word < WORDS {
        let here = bits[word].count_ones() as u64;
        bits[word] |= before << 32;
        before += here;
        word += 1;
    }
    bits
};

/// `phi(x, 7)`.
#[inline]
fn seven(x: u64) -> u64 {
    let rest = x % PERIOD;
    let word = BITMAP[(rest / 64) as usize];
    let mask = (1_u64 << ((rest % 64).div_ceil(2))) - 1;
    x / PERIOD * TOTIENT + (word >> 32) + u64::from((word & mask).count_ones())
}

/// `phi(x, 8)`: how many numbers of `1..=x` have no prime factor up to 19. Takes about 3 ns.
#[inline]
pub(crate) fn phi_tiny(x: u128) -> u128 {
    match u64::try_from(x) {
        Ok(x) => (seven(x) - seven(x / LAST)).into(),
        Err(_) => of_wide(x),
    }
}

/// The same above `2^64`: whole periods, and the rest.
#[cold]
fn of_wide(x: u128) -> u128 {
    const ALL: u128 = (PERIOD * LAST) as u128;
    x / ALL * u128::from(TOTIENT * (LAST - 1)) + phi_tiny(x % ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phi_of_eight_is_that_of_trial_division() {
        let mut count = 0;
        for x in 0..1_200_000 {
            count += u128::from([2, 3, 5, 7, 11, 13, 17, 19].iter().all(|p| x % p != 0) && x > 0);
            assert_eq!(phi_tiny(x), count, "x = {x}");
        }
    }

    #[test]
    fn phi_of_eight_is_periodic_beside_the_largest_word() {
        let period = u128::from(PERIOD * LAST);
        let word = u128::from(u64::MAX);
        for x in [
            word,
            word - 1,
            word - 12_345,
            word + 1,
            word + 12_345,
            10_u128.pow(19),
            10_u128.pow(25),
        ] {
            let expected = x / period * u128::from(TOTIENT * (LAST - 1)) + phi_tiny(x % period);
            assert_eq!(phi_tiny(x), expected, "x = {x}");
        }
    }
}
