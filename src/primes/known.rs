//! Answers about numbers below 2^20, from a bitmap with counts: tens of nanoseconds, so that the session that reads the
//! question can answer it.
//!
//! Knows no larger number: `None` means "not in here", never "there is none". The compiler makes the tables (96 KB, and
//! 328 KB of primes in order): a process that answers one question has no time for them.

/// The numbers below this are in the table.
pub const LIMIT: u64 = 1 << 20;

/// How many primes the table holds: pi(2^20), A007053.
pub const COUNT: u64 = 82_025;

/// A word holds 64 odd numbers.
pub(crate) const SPAN: usize = 128;
const WORDS: usize = LIMIT as usize / SPAN;

/// How many odd primes are below 64, as many as a word has bits: each has multiples in every word.
const DENSE: usize = 17;

/// The odd primes that are below 64.
const DENSE_PRIMES: [usize; DENSE] = [3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61];

/// Clears the multiples of an odd prime below 64, and the prime itself, in a bitmap of odd numbers with `span` numbers
/// to a word: they repeat after as many words.
pub(super) const fn clear_multiples(bits: &mut [u64], prime: usize, span: usize) {
    let mut masks = [u64::MAX; 64];
    let mut multiple = prime;
    while multiple < span * prime {
        masks[multiple / span] &= !(1 << (multiple % span / 2));
        multiple += 2 * prime;
    }
    let mut word = 0;
    while word < bits.len() {
        bits[word] &= masks[word % prime];
        word += 1;
    }
}

/// [`BITS`] before the multiples of primes above 64 are cleared: apart, for the compiler warns of one that takes it
/// long.
static SIEVED_BY_DENSE: [u64; WORDS] = {
    let mut bits = [u64::MAX; WORDS];
    let mut i = 0;
    while i < DENSE {
        clear_multiples(&mut bits, DENSE_PRIMES[i], SPAN);
        i += 1;
    }
    i = 0;
    while i < DENSE {
        bits[0] |= 1 << (DENSE_PRIMES[i] / 2);
        i += 1;
    }
    bits
};

/// Bit `i` of word `w`: whether `128 w + 2 i + 1` is prime. The first bit, of 1, stands for 2.
pub(crate) static BITS: [u64; WORDS] = {
    let mut bits = SIEVED_BY_DENSE;
    let mut prime = 67;
    while prime * prime < LIMIT as usize {
        if bits[prime / SPAN] >> (prime % SPAN / 2) & 1 == 1 {
            let mut multiple = prime * prime;
            while multiple < LIMIT as usize {
                bits[multiple / SPAN] &= !(1 << (multiple % SPAN / 2));
                multiple += 2 * prime;
            }
        }
        prime += 2;
    }
    bits
};

/// How many primes are in the words before.
static BEFORE: [u32; WORDS] = {
    let mut before = [0; WORDS];
    let mut word = 1;
    while word < WORDS {
        before[word] = before[word - 1] + BITS[word - 1].count_ones();
        word += 1;
    }
    before
};

/// All primes of the table in order. Counting in the bitmap took 35 ns, a sixth of a request in a deep pipeline.
pub(crate) static PRIMES: [u32; COUNT as usize] = {
    let mut primes = [0; COUNT as usize];
    let (mut word, mut found) = (0, 0);
    while word < WORDS {
        let mut bits = BITS[word];
        while bits != 0 {
            primes[found] = number(word, bits.trailing_zeros()) as u32;
            found += 1;
            bits &= bits - 1;
        }
        word += 1;
    }
    assert!(found == COUNT as usize);
    primes
};

/// The `n`-th prime, `1 <= n <= COUNT`.
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
    let bits = BITS[word] & !(!0u64).checked_shl(up_to as u32).unwrap_or(0);
    Some(u64::from(BEFORE[word]) + u64::from(bits.count_ones()))
}

/// Whether `n` is prime, for `n <` [`LIMIT`].
pub fn is_prime(n: u64) -> Option<bool> {
    if n >= LIMIT {
        return None;
    }
    Some(n == 2 || (n % 2 == 1 && n > 1 && BITS[n as usize / SPAN] >> (n as usize % SPAN / 2) & 1 == 1))
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
    let mut bits = *BITS.get(word)? & !0 << (first % 64);
    while bits == 0 {
        word += 1;
        bits = *BITS.get(word)?;
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
    let mut bits = BITS[word] & !0 >> (63 - (end - 1) % 64);
    while bits == 0 {
        word -= 1;
        bits = BITS[word];
    }
    Some(number(word, 63 - bits.leading_zeros()))
}

const fn number(word: usize, bit: u32) -> u64 {
    match (word * SPAN) as u64 + 2 * bit as u64 + 1 {
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
