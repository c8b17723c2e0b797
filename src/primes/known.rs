//! Answers about numbers below 2^20, from a bitmap with counts: tens of nanoseconds, so that the session that reads the question can answer it.
//!
//! Knows no larger number: `None` means "not in here", never "there is none". The tables (96 KB, and 328 KB of primes in order) are made on
//! the first question that they answer, in .4 and .2 ms.

use super::sieve::{Sieve, Step};
use std::sync::LazyLock;

/// The numbers below this are in the table.
pub const LIMIT: u64 = 1 << 20;

/// How many primes the table holds: pi(2^20), A007053.
pub const COUNT: u64 = 82_025;

/// A word holds 64 odd numbers.
const SPAN: usize = 128;
const WORDS: usize = LIMIT as usize / SPAN;

struct Table {
    /// Bit `i` of word `w`: whether `128 w + 2 i + 1` is prime. The first bit, of 1, stands for 2.
    bits: [u64; WORDS],
    /// How many primes are in the words before.
    before: [u32; WORDS],
}

static TABLE: LazyLock<Box<Table>> = LazyLock::new(|| {
    let mut table = Box::new(Table {
        bits: [0; WORDS],
        before: [0; WORDS],
    });
    let mut sieve = Sieve::new(0, LIMIT - 1);
    loop {
        match sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => segment.for_each(|prime| {
                let odd = if prime == 2 { 1 } else { prime as usize };
                table.bits[odd / SPAN] |= 1 << (odd % SPAN / 2);
            }),
            Step::Done => break,
        }
    }
    let mut sum = 0;
    for (word, before) in table.bits.iter().zip(&mut table.before) {
        *before = sum;
        sum += word.count_ones();
    }
    table
});

/// All primes of the table in order. Counting in the bitmap took 35 ns, a sixth of a request in a deep pipeline.
static PRIMES: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let mut primes = Vec::with_capacity(COUNT as usize);
    for (word, bits) in TABLE.bits.iter().enumerate() {
        let mut bits = *bits;
        while bits != 0 {
            primes.push(number(word, bits.trailing_zeros()) as u32);
            bits &= bits - 1;
        }
    }
    primes.into()
});

/// The `n`-th prime, `1 <= n <=` [`COUNT`].
pub fn nth(n: u64) -> Option<u64> {
    if n > COUNT {
        return None;
    }
    let index = usize::try_from(n.checked_sub(1)?).ok()?;
    PRIMES.get(index).copied().map(u64::from)
}

/// How many primes are `<= x`, for `x <` [`LIMIT`].
pub fn pi(x: u64) -> Option<u64> {
    if x >= LIMIT {
        return None;
    }
    if x < 2 {
        return Some(0);
    }
    let (word, up_to) = (x as usize / SPAN, (x as usize % SPAN).div_ceil(2));
    let bits = TABLE.bits[word] & !(!0u64).checked_shl(up_to as u32).unwrap_or(0);
    Some(u64::from(TABLE.before[word]) + u64::from(bits.count_ones()))
}

/// Whether `n` is prime, for `n <` [`LIMIT`].
pub fn is_prime(n: u64) -> Option<bool> {
    if n >= LIMIT {
        return None;
    }
    Some(n == 2 || (n % 2 == 1 && n > 1 && TABLE.bits[n as usize / SPAN] >> (n as usize % SPAN / 2) & 1 == 1))
}

/// The smallest prime above `n`, if the table holds it.
pub fn next(n: u64) -> Option<u64> {
    if n >= LIMIT {
        return None;
    }
    if n < 2 {
        return Some(2);
    }
    // The odd numbers above n begin at bit (n + 1) / 2.
    let first = usize::try_from(n).ok()?.checked_add(1)? / 2;
    let mut word = first / 64;
    let mut bits = *TABLE.bits.get(word)? & !0 << (first % 64);
    while bits == 0 {
        word += 1;
        bits = *TABLE.bits.get(word)?;
    }
    Some(number(word, bits.trailing_zeros()))
}

/// The largest prime below `n`, for `2 < n <=` [`LIMIT`].
pub fn prev(n: u64) -> Option<u64> {
    if n <= 2 || n > LIMIT {
        return None;
    }
    // The odd numbers below n end before bit n / 2; the first bit of all, 2, is always below n.
    let end = n as usize / 2;
    let mut word = (end - 1) / 64;
    let mut bits = TABLE.bits[word] & !0 >> (63 - (end - 1) % 64);
    while bits == 0 {
        word -= 1;
        bits = TABLE.bits[word];
    }
    Some(number(word, 63 - bits.leading_zeros()))
}

fn number(word: usize, bit: u32) -> u64 {
    match (word * SPAN) as u64 + 2 * u64::from(bit) + 1 {
        1 => 2,
        odd => odd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_in_the_table_agrees_with_a_plain_sieve() {
        let mut prime = vec![true; LIMIT as usize];
        prime[..2].fill(false);
        for p in 2..LIMIT as usize {
            if prime[p] {
                (p * p..LIMIT as usize)
                    .step_by(p)
                    .for_each(|multiple| prime[multiple] = false);
            }
        }
        let (mut count, mut last) = (0, None);
        for (n, n_is_prime) in (0..LIMIT).zip(&prime) {
            assert_eq!(prev(n), last, "prev {n}");
            if *n_is_prime {
                count += 1;
                assert_eq!(nth(count), Some(n));
                (last.unwrap_or(0)..n).for_each(|below| assert_eq!(next(below), Some(n), "next {below}"));
                last = Some(n);
            }
            assert_eq!((pi(n), is_prime(n)), (Some(count), Some(*n_is_prime)), "{n}");
        }
        assert_eq!(count, COUNT);
        assert_eq!(prev(LIMIT), last);
    }

    #[test]
    fn beyond_the_table_it_does_not_know() {
        let last = prev(LIMIT).expect("2^20 is at the table's edge");
        for far in [LIMIT, LIMIT + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(
                (pi(far), is_prime(far), next(far), prev(far + u64::from(far == LIMIT))),
                (None, None, None, None)
            );
        }
        assert_eq!(
            (nth(0), nth(COUNT + 1), next(last), prev(2), prev(0)),
            (None, None, None, None, None)
        );
    }
}
