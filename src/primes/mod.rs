//! The mathematics of primes: sieving, counting, the n-th prime, primality, factoring.
//!
//! Pure functions and plain data. Knows no jobs, no actors, no sockets, no clock and no threads: the caller decides
//! when to stop, by taking one small step at a time or by passing a closure that says "enough".

/// A natural number of any size.
pub use dashu_int::UBig as Natural;

mod caches;
pub(crate) mod certificate;
pub mod constellation;
pub(crate) mod elliptic;
pub mod estimate;
pub(crate) mod factor;
pub(crate) mod features;
pub mod known;
pub(crate) mod multiplicative;
pub mod nth_table;
mod phi;
pub mod pi;
pub mod primality;
pub mod rank;
pub mod sieve;
pub(crate) mod sum;
pub(crate) mod walk;
pub mod wheel;
pub(crate) mod zigzag;

/// How many primes are below 10^25 (A006880): the largest `n` whose prime can be found.
pub const MAX_NTH: u128 = 176_846_309_399_143_769_411_680;

/// How many primes are below 2^64 (A007053): the last of them is 18446744073709551557.
pub const WORD_PRIMES: u64 = 425_656_284_035_217_743;
