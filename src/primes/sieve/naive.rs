//! The slow reference that every fast path is compared with: trial division, in tests only.

/// True if `n` is prime; takes up to `sqrt(n) / 2` divisions.
pub(crate) fn is_prime(n: u64) -> bool {
    if n < 4 {
        return n >= 2;
    }
    !n.is_multiple_of(2)
        && (3..)
            .step_by(2)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// The primes of `low..=last`, ascending.
pub(crate) fn primes(low: u64, last: u64) -> Vec<u64> {
    (low..=last).filter(|&n| is_prime(n)).collect()
}
