//! The sieve of Eratosthenes. Knows no job, thread or clock: whoever calls takes one segment at a time.

mod small;

pub use small::primes_up_to;

#[cfg(test)]
pub(crate) mod naive;
