//! Smooth estimates of pi(x) and of the n-th prime: the logarithmic integral, Riemann's R and its inverse.
//!
//! Knows no prime: a caller that needs the exact count corrects the estimate.
//!
//! How far off they are: |pi(x) - li(x)| < sqrt(x) ln x / (8 pi) for x >= 2657 if the Riemann hypothesis holds (L.
//! Schoenfeld, Math. Comp. 30 (1976), corollary 1, 6.18), and J. Buethe (Math. Comp. 85 (2016), theorem 2) proved it up
//! to 1.4e25 with the zeros that are known. R(x) = li(x) - li(sqrt x)/2 - ... is closer in practice: within sqrt(x) /
//! ln x for nearly all x. Floating point adds a few units of the last place: less than 1000 at 2^64, some 10^9 at
//! 10^25, where sqrt(x) / ln x is 5 10^10.

/// `1 / zeta(k)` for `k = 2, 3, ...` until it is 1 in double precision (computed with PARI's zeta).
const INVERSE_ZETA: [f64; 52] = [
    0.6079271018540267,
    0.8319073725807075,
    0.9239384029215901,
    0.9643873404292624,
    0.9829525922645804,
    0.9917198558384444,
    0.9959392011255152,
    0.9979956327307622,
    0.9990064130690308,
    0.9995060554976247,
    0.9997539739903847,
    0.9998773017091395,
    0.9999387556160456,
    0.9999694126993045,
    0.9999847179741352,
    0.9999923628606885,
    0.9999961827213066,
    0.9999980917909247,
    0.9999990460388761,
    0.9999995230672407,
    0.9999997615495542,
    0.9999998807800883,
    0.9999999403918145,
    0.9999999701964973,
    0.9999999850984453,
    0.9999999925492883,
    0.999999996274666,
    0.9999999981373403,
    0.9999999990686725,
    0.999999999534337,
    0.9999999997671688,
    0.9999999998835845,
    0.9999999999417922,
    0.9999999999708962,
    0.9999999999854481,
    0.999999999992724,
    0.999999999996362,
    0.999999999998181,
    0.9999999999990905,
    0.9999999999995453,
    0.9999999999997726,
    0.9999999999998863,
    0.9999999999999432,
    0.9999999999999716,
    0.9999999999999858,
    0.9999999999999929,
    0.9999999999999964,
    0.9999999999999982,
    0.9999999999999991,
    0.9999999999999996,
    0.9999999999999998,
    0.9999999999999999,
];

/// `sum of L^k / (k k!) * weight(k)`, for `L >= 0`. All terms are positive: nothing cancels.
#[inline]
fn gram_sum(log: f64, weight: impl Fn(usize) -> f64) -> f64 {
    let (mut sum, mut power, mut k) = (0.0, 1.0, 1usize);
    loop {
        power *= log / k as f64;
        let term = power / k as f64;
        sum += term * weight(k);
        // Beyond k = L the terms fall at least geometrically with L/k.
        if k as f64 > log && term < sum * 1e-17 {
            return sum;
        }
        k += 1;
    }
}

/// The natural logarithm of a normal positive number, within two units of the last place. Only additions,
/// multiplications and divisions in a fixed order, so that every machine gets the same bits: the table of counts is
/// made of differences from [`riemann`].
fn ln(x: f64) -> f64 {
    const HALF_MANTISSA: u64 = 1 << 51;
    let bits = x.to_bits();
    // x = m 2^e with m in about 0.75..1.5.
    let exponent = ((bits + HALF_MANTISSA) >> 52) as i64 - 1023;
    let m = f64::from_bits(bits.wrapping_sub((exponent << 52) as u64));
    // ln m = 2 artanh((m - 1) / (m + 1)), and the argument is at most 1/5: s^2 is at most 1/25.
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = 0.0;
    for k in (1..=12).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let exponent = exponent as f64;
    exponent * LN_2_HIGH + (2.0 * s + (2.0 * s * square * series + exponent * LN_2_LOW))
}

/// The logarithmic integral from 0, `x > 1`: Euler's constant + ln ln x + sum of (ln x)^k / (k k!).
pub fn li(x: f64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    let log = ln(x);
    EULER + log.ln() + gram_sum(log, |_| 1.0)
}

/// Riemann's R, `x >= 1`, by the series of Gram (1884): 1 + sum of (ln x)^k / (k k! zeta(k + 1)).
pub fn riemann(x: f64) -> f64 {
    1.0 + gram_sum(ln(x), |k| *INVERSE_ZETA.get(k - 1).unwrap_or(&1.0))
}

/// The `x` with `R(x) = n`, `n >= 1`, by Newton's method: `R'(x)` is about `1 / ln x`. A few microseconds.
pub fn inverse_riemann(n: f64) -> f64 {
    if n < 2.0 {
        return 2.0;
    }
    // Cesaro's first terms of the n-th prime: within a few percent, so that the error's square is gone after three or
    // four steps.
    let log = n.ln();
    let mut x = (n * (log + log.max(1.5).ln() - 1.0)).max(2.0);
    for _ in 0..12 {
        let step = (n - riemann(x)) * x.ln();
        x = (x + step).max(1.5);
        if step.abs() <= x * 1e-15 {
            break;
        }
    }
    x
}

/// [`inverse_riemann`] as a whole number.
pub fn nth_prime(n: u128) -> u128 {
    inverse_riemann(n as f64) as u128
}

/// At least `pi(x)`, for any `x`: a few percent more where `x` is large (P. Dusart, "Inégalités explicites pour psi,
/// theta, pi et les nombres premiers", 1999, theorem 10, for `x > 1`).
pub fn most_primes(x: f64) -> f64 {
    let ln = x.max(3.0).ln();
    x / ln * (1.0 + 1.2762 / ln)
}

/// Schoenfeld's bound of `|pi(x) - li(x)|`, for `x >= 2657`.
pub fn error_bound(x: f64) -> f64 {
    x.sqrt() * x.ln() / (8.0 * std::f64::consts::PI)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::known;
    use proptest::prelude::*;

    /// pi(10^k), A006880.
    const PI_OF_POWERS_OF_TEN: [(i32, f64); 10] = [
        (4, 1229.0),
        (5, 9592.0),
        (6, 78_498.0),
        (8, 5_761_455.0),
        (10, 455_052_511.0),
        (12, 37_607_912_018.0),
        (14, 3_204_941_750_802.0),
        (16, 279_238_341_033_925.0),
        (18, 24_739_954_287_740_860.0),
        (19, 234_057_667_276_344_607.0),
    ];

    #[test]
    fn estimates_stay_within_their_bounds() {
        for (k, pi) in PI_OF_POWERS_OF_TEN {
            let x = 10f64.powi(k);
            assert!((li(x) - pi).abs() < error_bound(x), "li(10^{k})");
            assert!((riemann(x) - pi).abs() < x.sqrt() / x.ln(), "R(10^{k})");
        }
    }

    #[test]
    fn there_are_no_more_primes_than_the_most() {
        for (k, pi) in PI_OF_POWERS_OF_TEN {
            let most = most_primes(10f64.powi(k));
            assert!((pi..1.05 * pi).contains(&most), "10^{k}: {most}");
        }
        let mut count = 0.0;
        for x in 0..=u64::from(known::PRIMES[known::PRIMES.len() - 1]) {
            count += f64::from(u8::from(known::is_prime(x) == Some(true)));
            assert!(most_primes(x as f64) >= count, "{x}");
        }
    }

    #[test]
    fn differences_from_pi_are_those_of_the_oeis() {
        // A057752: the nearest whole number to li(10^k) - pi(10^k); A057794: to R(10^k) - pi(10^k).
        for (k, pi, from_li, from_riemann) in [
            (6, 78_498.0, 130.0, 29.0),
            (8, 5_761_455.0, 754.0, 97.0),
            (10, 455_052_511.0, 3104.0, -1828.0),
            (12, 37_607_912_018.0, 38_263.0, -1476.0),
        ] {
            let x = 10f64.powi(k);
            assert!((li(x) - pi - from_li).abs() <= 1.0, "li(10^{k})");
            assert!((riemann(x) - pi - from_riemann).abs() <= 1.0, "R(10^{k})");
        }
    }

    proptest! {
        #[test]
        fn logarithm_agrees_with_that_of_the_system(bits in 0.0f64..64.0) {
            let x = bits.exp2();
            prop_assert!((ln(x) - x.ln()).abs() <= 4.5e-16 * x.ln().max(0.3), "{} {} {}", x, ln(x), x.ln());
        }

        #[test]
        fn inverse_undoes_riemann(bits in 10.0f64..58.6) {
            let n = bits.exp2();
            let back = riemann(inverse_riemann(n));
            prop_assert!((back - n).abs() <= n * 1e-14 + 1e-9, "{} {}", n, back);
        }
    }
}
