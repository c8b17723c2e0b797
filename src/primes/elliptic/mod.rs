//! Proofs that a number is prime by elliptic curves over the integers modulo it, in the form that PARI/GP prints and
//! checks.
//!
//! The theorem is that of S. Goldwasser and J. Kilian (Crandall and Pomerance, *Prime Numbers*, theorem 7.6.1; H.
//! Cohen, "A Course in Computational Algebraic Number Theory", proposition 9.2.1): let `P` be a point of a curve modulo
//! `n`, `m = s q`, `q > (n^(1/4) + 1)^2`, `m P = 0`, and `s P` not 0 modulo any prime that divides `n`. Then `n` is
//! prime if `q` is. A. O. L. Atkin and F. Morain, "Elliptic curves and primality proving", Math. Comp. 61 (1993), take
//! curves with complex multiplication, whose orders are known without counting.
//!
//! A [`Step`](step::Step) is one application of it. [`attempt`] looks for a discriminant with a good order, by
//! [`square_roots`]; a [`Trial`](trial::Trial) tests orders; [`construction`] makes the curve and the point, by a
//! [`class_polynomial`] and one of its [`roots`]; [`step`] checks. None of these knows a slice: each goes on until it
//! is to pause.

pub(crate) mod attempt;
mod class_polynomial;
mod complex;
pub(crate) mod construction;
pub(crate) mod discriminant;
mod modulus;
mod point;
mod roots;
pub(crate) mod small_primes;
pub(crate) mod square_roots;
pub(crate) mod step;
pub(crate) mod text;
pub(crate) mod trial;
