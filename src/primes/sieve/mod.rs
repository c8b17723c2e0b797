//! The sieve of Eratosthenes. Knows no job, thread or clock: the caller takes one step at a time.
//!
//! Start at [`Sieve`]; a list of small primes is at [`primes_up_to`].

mod big;
mod bits;
mod feed;
mod first_multiple;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod list;
mod lists;
mod medium;
#[cfg(target_arch = "x86_64")]
mod octets;
mod popcount;
mod presieve;
mod segment;
mod short;
#[allow(clippy::module_inception)] // The module and its main type have the same name.
mod sieve;
mod small;
mod wide;

pub use list::primes_up_to;
pub use segment::{OwnedSegment, Segment};
pub(crate) use short::ShortSieve;
pub use sieve::{Cost, Sieve, Step};
pub use wide::WideSieve;

#[cfg(test)]
pub(crate) mod naive;
