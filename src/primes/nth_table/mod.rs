//! Exact counts of primes at regular points, in a byte each: what an estimate needs to become exact after a short
//! sieve.
//!
//! The data of a [`Grid`] holds pi(x) - R(x) at its points x in the code of [`rice`]; R, rounded to a whole number,
//! comes from `estimate::riemann`, whose operations give the same bits on every machine. The example `nth_table` makes
//! the data anew and verifies it; a test compares its checksums, and points with sieved and known counts.

pub mod rice;

use super::estimate;

/// Points at equal distances.
#[derive(Debug)]
pub struct Grid {
    /// How far points are apart.
    pub step: u64,
    /// The first point, in steps.
    pub first: u64,
    /// The last point, in steps.
    pub last: u64,
    /// How many bits of a step of the residuals are coded as they are.
    pub low_bits: u32,
    /// [`checksum`] of the data.
    pub checksum: u64,
    data: &'static [u8],
}

/// Beyond the 10^9-th prime, 22801763489 (A006988).
pub static FINE: Grid = Grid {
    step: 1 << 17,
    first: 0,
    last: 174_000,
    low_bits: 6,
    checksum: 0xc79a_fb3a_01d8_554c,
    data: include_bytes!("fine.bin"),
};

/// From there beyond the 10^10-th prime, 252097800623.
pub static COARSE: Grid = Grid {
    step: 2_400_000,
    first: 9_500,
    last: 105_050,
    low_bits: 8,
    checksum: 0x8251_24ba_4f75_d6f2,
    data: include_bytes!("coarse.bin"),
};

/// FNV-1a of 64 bits (Fowler, Noll, Vo; RFC 9923).
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// R of `x`, as a whole number; 0 at 0.
pub fn expected(x: u64) -> i64 {
    if x == 0 {
        0
    } else {
        estimate::riemann(x as f64).round() as i64
    }
}

impl Grid {
    /// The data, as [`rice::encode`] made it.
    pub fn data(&self) -> &'static [u8] {
        self.data
    }

    /// pi - R at `point` steps, for a point of the grid.
    fn residual(&self, point: u64) -> Option<i64> {
        if point > self.last {
            return None;
        }
        let at = usize::try_from(point.checked_sub(self.first)?).ok()?;
        rice::decode(self.data, self.low_bits, at)
    }

    /// How many primes are `<= point * step`, for a point of the grid.
    pub fn count(&self, point: u64) -> Option<u64> {
        u64::try_from(self.residual(point)? + expected(point * self.step)).ok()
    }

    /// A point close to the `n`-th prime and the count there, if the grid reaches so far; `estimate` is about where the
    /// prime is.
    fn near(&self, n: u64, estimate: f64) -> Option<(u64, u64)> {
        let nearest = |x: f64| ((x / self.step as f64 + 0.5) as u64).clamp(self.first, self.last);
        // R is off at the prime by what it is off at the point beside: that many primes earlier.
        let residual = self.residual(nearest(estimate))?;
        let point = nearest(estimate - residual as f64 * estimate.ln());
        let count = self.count(point)?;
        (point < self.last || n <= count).then_some((point * self.step, count))
    }
}

/// A point close to the `n`-th prime and the count there, if the table reaches so far.
pub fn near_nth(n: u64) -> Option<(u64, u64)> {
    let estimate = estimate::inverse_riemann(n as f64);
    FINE.near(n, estimate).or_else(|| COARSE.near(n, estimate))
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
        for grid in [&FINE, &COARSE] {
            assert_eq!(checksum(grid.data), grid.checksum, "{}", grid.step);
            assert_eq!((grid.count(grid.last + 1), grid.count(u64::MAX)), (None, None));
        }
        assert_eq!((FINE.count(0), COARSE.count(COARSE.first - 1)), (Some(0), None));
    }

    #[test]
    fn counts_between_points_are_those_of_the_sieve() {
        let mut seed = 1u64;
        for grid in [&FINE, &COARSE] {
            let (step, points) = (grid.step, grid.last - grid.first);
            for _ in 0..200 {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let point = grid.first + (seed >> 33) % points;
                let between = count_between(point * step + 1, (point + 1) * step);
                let expected = grid.count(point).map(|before| before + between);
                assert_eq!(grid.count(point + 1), expected, "{step} {point}");
            }
        }
    }

    #[test]
    fn counts_agree_with_known_ones() {
        // pi(10^k) and pi(2^k), A006880 and A007053, brought to the next point.
        for (grid, x, pi) in [
            (&FINE, 1_000_000, 78_498),
            (&FINE, 10_000_000, 664_579),
            (&FINE, 100_000_000, 5_761_455),
            (&FINE, 1_000_000_000, 50_847_534),
            (&FINE, 10_000_000_000, 455_052_511),
            (&FINE, 1 << 34, 762_939_111),
            (&COARSE, 1 << 35, 1_480_206_279),
            (&COARSE, 100_000_000_000, 4_118_054_813u64),
            (&COARSE, 1 << 37, 5_586_502_348),
        ] {
            let point = x / grid.step + 1;
            assert_eq!(
                grid.count(point),
                Some(pi + count_between(x + 1, point * grid.step)),
                "{x}"
            );
        }
    }

    #[test]
    fn the_grids_meet_where_both_count() {
        let (low, last) = (COARSE.first * COARSE.step, FINE.last * FINE.step);
        assert!(low < last);
        let between = count_between(low + 1, last);
        assert_eq!(
            FINE.count(FINE.last),
            COARSE.count(COARSE.first).map(|count| count + between)
        );
    }

    #[test]
    fn the_table_reaches_the_ten_billionth_prime() {
        assert!(near_nth(10_000_000_000).is_some());
        assert_eq!(near_nth(u64::MAX), None);
        assert!(near_nth(1).is_some_and(|(x, _)| x <= FINE.step));
        // A006988: within half a step, but for the few primes that R moves by from one point to the next.
        for (n, prime, grid) in [
            (10_000_000, 179_424_673, &FINE),
            (1_000_000_000, 22_801_763_489_u64, &FINE),
            (10_000_000_000, 252_097_800_623, &COARSE),
        ] {
            let (point, _) = near_nth(n).expect("in the table");
            assert!(point.abs_diff(prime) < grid.step * 6 / 10, "{n} {point}");
        }
    }
}
