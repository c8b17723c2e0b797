//! The mathematics of primes: sieving, counting, the n-th prime, primality, factoring.
//!
//! Pure functions and plain data. This room knows no jobs, no actors, no sockets, no clock and no threads: whoever calls it
//! decides when to stop, by taking one small step at a time or by passing a closure that says "enough".

/// A natural number of any size.
pub use dashu_int::UBig as Natural;

pub mod known;
mod phi;
pub mod pi;
pub mod primality;
pub mod sieve;
pub mod wheel;
