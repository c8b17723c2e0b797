//! Is a number prime? Baillie-PSW: proved for everything below 2^64, without a known exception above.
//!
//! [`is_prime_u64`] and [`is_prime_u128`] answer at once; numbers beyond go through `large`, step by step. `bpsw` is
//! the one test that all of them use, `ring` the arithmetic of one and two words; that of more is `words` (by
//! `products` and `rows`), `long` (by `limbs`) and `digits` (by `transform` and `field`). Many numbers are tested
//! together by `candidates` (by `lanes`).

pub(crate) mod bpsw;
pub(crate) mod candidates;
#[cfg(target_arch = "x86_64")]
mod digits;
#[cfg(target_arch = "x86_64")]
mod field;
#[cfg(target_arch = "x86_64")]
mod lanes;
pub(crate) mod large;
#[cfg(target_arch = "x86_64")]
mod limbs;
#[cfg(target_arch = "x86_64")]
mod long;
#[cfg(target_arch = "x86_64")]
mod products;
pub(crate) mod ring;
#[cfg(target_arch = "x86_64")]
mod rows;
pub mod search;
#[cfg(target_arch = "x86_64")]
mod transform;
#[cfg(target_arch = "x86_64")]
mod vector;
#[cfg(target_arch = "x86_64")]
mod words;

use bpsw::Test;
use ring::{Montgomery, Ring};

/// The primes below 64, as a bitmap.
const SMALL: u64 = 0x28208a20a08a28ac;

/// The odd primes whose product is the largest that a word holds.
const DIVISORS: [u64; 15] = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];

/// The product of these.
const PRODUCT: u64 = 16_294_579_238_595_022_365;

/// Whether `n` is prime. Proved: no composite below 2^64 passes the Baillie-PSW test. A microsecond or less.
pub fn is_prime_u64(n: u64) -> bool {
    if n < 64 {
        return SMALL >> n & 1 == 1;
    }
    if n.is_multiple_of(2) || has_divisor(n) {
        return false;
    }
    n < 59 * 59 || passes(&Montgomery::new(n))
}

/// Whether `n` passes the Baillie-PSW test: exactly the primes below 2^64, and no composite above is known to pass. A
/// few microseconds.
pub fn is_prime_u128(n: u128) -> bool {
    match u64::try_from(n) {
        Ok(n) => is_prime_u64(n),
        Err(_) => {
            // The remainder is below the product, so it fits a word.
            n % 2 == 1 && !has_divisor((n % u128::from(PRODUCT)) as u64) && passes(&Montgomery::new(n))
        }
    }
}

fn passes<R: Ring>(ring: &R) -> bool {
    let mut test = Test::new(ring);
    test.advance(ring, || false);
    matches!(test, Test::Done(true))
}

/// Asks `over` after every few squarings modulo a number of as many bits: a squaring may be as fast as the answer.
fn now_and_then(bits: usize, mut over: impl FnMut() -> bool) -> impl FnMut() -> bool {
    let every = (8192 / bits).max(1);
    let mut left = every;
    move || {
        left -= 1;
        left == 0 && {
            left = every;
            over()
        }
    }
}

/// Whether one of [`DIVISORS`] divides `n`. They are constants: each division is a multiplication.
fn has_divisor(n: u64) -> bool {
    DIVISORS.iter().any(|p| n.is_multiple_of(*p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_trial_division(n: u64) -> bool {
        n > 1 && (2..=n.isqrt()).all(|d| !n.is_multiple_of(d))
    }

    #[test]
    fn small_numbers_and_squares_of_wieferich_primes() {
        for n in 0..20_000 {
            assert_eq!(is_prime_u64(n), by_trial_division(n), "{n}");
        }
        // 1093 and 3511 are the Wieferich primes (A001220): their squares pass base 2.
        assert!(!is_prime_u64(1093 * 1093));
        assert!(!is_prime_u64(3511 * 3511));
        assert!(!is_prime_u128(1093 * 1093));
    }

    #[test]
    fn edges_of_words_and_double_words() {
        // A013603: the largest primes below 2^63, 2^64; A013597: 2^64 + 13 is the first above; 2^128 - 159 the largest
        // below 2^128.
        assert!(is_prime_u64(u64::MAX - 58));
        assert!((u64::MAX - 57..=u64::MAX).all(|n| !is_prime_u64(n)));
        assert!(is_prime_u64((1 << 63) - 25));
        let edge = u128::from(u64::MAX) + 1;
        assert!((edge..edge + 13).all(|n| !is_prime_u128(n)));
        assert!(is_prime_u128(edge + 13));
        assert!((u128::MAX - 157..=u128::MAX).all(|n| !is_prime_u128(n)));
        assert!(is_prime_u128(u128::MAX - 158));
        assert!(is_prime_u128((1 << 127) - 1));
        assert!(is_prime_u128((1 << 89) - 1) && is_prime_u128((1 << 107) - 1));
        assert!(!is_prime_u128((1 << 67) - 1));
    }

    #[test]
    fn pseudoprimes_on_record_are_composite() {
        // A002997: Carmichael numbers.
        for n in [
            561, 1105, 1729, 2465, 2821, 6601, 8911, 10585, 15841, 29341, 41041, 46657, 52633, 62745, 63973, 75361,
        ] {
            assert!(!is_prime_u64(n), "{n}");
        }
        // A014233: the smallest composites that pass Miller-Rabin for the first k prime bases.
        for n in [
            2047,
            1_373_653,
            25_326_001,
            3_215_031_751,
            2_152_302_898_747,
            3_474_749_660_383,
            341_550_071_728_321,
            3_825_123_056_546_413_051,
            318_665_857_834_031_151_167_461,
            3_317_044_064_679_887_385_961_981,
        ] {
            assert!(!is_prime_u128(n), "{n}");
        }
    }

    proptest! {
        #[test]
        fn products_are_composite(a in 2u64.., b in 2u64.., shift in 0u32..62) {
            prop_assert!(!is_prime_u128(u128::from((a >> shift).max(2)) * u128::from(b)));
        }

        #[test]
        fn agrees_with_trial_division(n in 0u64..1 << 34) {
            prop_assert_eq!(is_prime_u64(n), by_trial_division(n));
            prop_assert_eq!(is_prime_u128(n.into()), by_trial_division(n));
        }

        #[test]
        fn both_widths_agree(n: u64) {
            prop_assert_eq!(n > 3 && n % 2 == 1 && passes(&Montgomery::new(u128::from(n))), n > 3 && is_prime_u64(n));
        }
    }
}
