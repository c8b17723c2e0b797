//! Exact counts of primes at regular points, in two bytes each: what an estimate needs to become exact after a short sieve.
//!
//! The data, `nth_table.bin`, holds pi(k [`STEP`]) - R(k [`STEP`]) for k = 1, 2, ... as little-endian `i16`; R, rounded to
//! a whole number, comes from `estimate::riemann`, whose operations give the same bits on every machine. The example
//! `nth_table` makes the data anew and verifies it; a test compares its checksum with [`CHECKSUM`] and points with sieved and known counts.

use super::estimate;

static DATA: &[u8] = include_bytes!("nth_table.bin");

/// How far points are apart.
pub const STEP: u64 = 2_400_000;

/// How many points there are. The last is above the 10^10-th prime, 252097800623 (A006988).
pub const POINTS: u64 = 105_050;

/// [`checksum`] of the data.
pub const CHECKSUM: u64 = 0x073f_4149_c939_1d36;

/// FNV-1a of 64 bits (Fowler, Noll, Vo; RFC 9923).
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// R at a point, as a whole number.
pub fn expected(point: u64) -> i64 {
    estimate::riemann((point * STEP) as f64).round() as i64
}

/// How many primes are `<= point * STEP`, for `point <=` [`POINTS`].
pub fn count(point: u64) -> Option<u64> {
    if point == 0 {
        return Some(0);
    }
    let start = usize::try_from(point - 1).ok()?.checked_mul(2)?;
    let bytes = DATA.get(start..)?.first_chunk()?;
    u64::try_from(expected(point) + i64::from(i16::from_le_bytes(*bytes))).ok()
}

/// A point close to the `n`-th prime and the count there, if the table reaches so far.
pub fn near_nth(n: u64) -> Option<(u64, u64)> {
    if n > count(POINTS)? {
        return None;
    }
    let nearest = |estimate: u64| (estimate + STEP / 2) / STEP;
    let point = nearest(estimate::nth_prime(n.into()) as u64).min(POINTS);
    let error = count(point)? as i64 - if point == 0 { 0 } else { expected(point) };
    // R is off here by what it is off at the point beside: the estimate for that many fewer primes is closer.
    let point = nearest(estimate::nth_prime(n.saturating_add_signed(-error).into()) as u64).min(POINTS);
    Some((point * STEP, count(point)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::{Sieve, Step};

    fn count_between(low: u64, last: u64) -> u64 {
        let mut sieve = Sieve::new(low, last);
        let mut count = 0;
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => count += segment.count(),
                Step::Done => return count,
            }
        }
    }

    #[test]
    fn data_is_what_the_generator_made() {
        assert_eq!(DATA.len() as u64, 2 * POINTS);
        assert_eq!(checksum(DATA), CHECKSUM);
        assert_eq!(count(POINTS + 1), None);
        assert_eq!(count(u64::MAX), None);
    }

    #[test]
    fn counts_between_points_are_those_of_the_sieve() {
        let mut seed = 1u64;
        for _ in 0..200 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let point = (seed >> 33) % POINTS;
            let between = count_between(point * STEP + 1, (point + 1) * STEP);
            assert_eq!(count(point + 1), count(point).map(|before| before + between), "{point}");
        }
    }

    #[test]
    fn counts_agree_with_known_ones() {
        // pi(10^k) and pi(2^k), A006880 and A007053, brought to the next point.
        for (x, pi) in [
            (10_000_000, 664_579),
            (1_000_000_000, 50_847_534),
            (10_000_000_000, 455_052_511),
            (1 << 35, 1_480_206_279),
            (100_000_000_000, 4_118_054_813u64),
            (1 << 37, 5_586_502_348),
        ] {
            let point = x / STEP + 1;
            assert_eq!(count(point), Some(pi + count_between(x + 1, point * STEP)), "{x}");
        }
    }

    #[test]
    fn the_table_reaches_the_ten_billionth_prime() {
        assert!(near_nth(10_000_000_000).is_some());
        assert_eq!(near_nth(u64::MAX), None);
        assert!(near_nth(1).is_some_and(|(x, _)| x <= STEP));
    }
}
