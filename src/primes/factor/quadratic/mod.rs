//! The self-initialising quadratic sieve: splits numbers of up to some 110 digits, in pieces that run anywhere.
//!
//! Knows no slice, thread or clock. The way of the data: [`Building`] makes a [`Base`], the primes that count;
//! [`Choice`] gives [`Family`] after family of polynomials; each is sieved alone, on any thread, for [`Relation`]s;
//! [`Collector`] gathers them and finds those whose large primes cancel ([`Restoring`] gives it those of a checkpoint);
//! [`Solving`] combines enough of them to a congruence of squares.
//!
//! For `a = q_1 ... q_s` and `b^2 = k n mod a`, every value `(a x + b)^2 - k n = a v(x)`, `v(x) = a x^2 + 2 b x + c`,
//! whose factors are all in the base is a relation: a square modulo `n` that equals a known product of primes. With
//! more relations than primes, some product of them has only even exponents: `X^2 = Y^2 mod n`, and `gcd(X - Y, n)` is
//! a proper factor half of the time.
//!
//! Sources: C. Pomerance, "The quadratic sieve factoring algorithm" (1984); R. D. Silverman, "The multiple polynomial
//! quadratic sieve", Math. Comp. 48 (1987), sections 2 to 5; S. P. Contini, "Factoring integers with the
//! self-initializing quadratic sieve" (1997), chapter 3.

mod base;
mod bits;
mod collector;
mod family;
mod kernels;
mod lanczos;
mod matrix;
mod part;
mod restoring;
mod solving;
mod store;
mod wide;

pub(crate) use base::{Base, Building, LONGEST, memory};
pub(crate) use collector::Collector;
pub(crate) use family::{Choice, Family, MOST_FACTORS, Relation};
pub(crate) use part::{Piece, Returned, cut, write};
pub(crate) use restoring::{Restoring, Saved};
pub(crate) use solving::{Solved, Solving};
