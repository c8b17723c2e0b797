//! The factor base: the small primes that can divide a value of the polynomials, and what sieving by them needs.

use crate::primes::known;
use crate::primes::primality::bpsw::jacobi;
use crate::primes::primality::ring::Montgomery;

/// Odd squarefree multipliers to choose from.
const MULTIPLIERS: [u32; 30] = [
    1, 3, 5, 7, 11, 13, 15, 17, 19, 21, 23, 29, 31, 33, 35, 37, 39, 41, 43, 47, 51, 53, 55, 57, 59, 61, 65, 67, 71, 73,
];

/// How large things are for a number of so many bits: found by measuring with random semiprimes of every size.
#[derive(Clone, Copy, Debug)]
struct Size {
    bits: f64,
    /// How many primes.
    primes: f64,
    /// Large primes are allowed up to so many times the largest prime.
    large: f64,
}

const SIZES: [Size; 6] = [
    Size {
        bits: 50.0,
        primes: 30.0,
        large: 20.0,
    },
    Size {
        bits: 64.0,
        primes: 45.0,
        large: 20.0,
    },
    Size {
        bits: 80.0,
        primes: 80.0,
        large: 30.0,
    },
    Size {
        bits: 96.0,
        primes: 130.0,
        large: 40.0,
    },
    Size {
        bits: 112.0,
        primes: 230.0,
        large: 50.0,
    },
    Size {
        bits: 128.0,
        primes: 400.0,
        large: 60.0,
    },
];

impl Size {
    /// Between the lines of the table, logarithmically.
    fn of(bits: f64) -> Self {
        let i = SIZES.partition_point(|size| size.bits < bits).clamp(1, SIZES.len() - 1);
        let (below, above) = (SIZES[i - 1], SIZES[i]);
        let share = (bits - below.bits) / (above.bits - below.bits);
        let between = |a: f64, b: f64| a * (b / a).powf(share);
        Self {
            bits,
            primes: between(below.primes, above.primes),
            large: between(below.large, above.large),
        }
    }
}

/// The primes `p` with `k n` a square modulo `p`.
#[derive(Debug)]
pub(crate) struct Base {
    /// The number to be split; odd, composite, not a power.
    pub(super) n: u128,
    /// Residues modulo `n`.
    pub(super) ring: Montgomery<u128>,
    /// `k n mod 2^128`: all that exact divisions need, though `k n` may be longer.
    pub(super) multiple: u128,
    /// `log2 (k n)`
    pub(super) log_multiple: f64,
    /// The odd primes that divide `k`; values are divided by them, not sieved.
    pub(super) divisors: Vec<u32>,
    /// The other odd primes, ascending, all below 2^16.
    pub(super) primes: Vec<u32>,
    /// A square root of `k n` modulo each prime.
    pub(super) roots: Vec<u32>,
    /// `2^32 / p + 1`, for remainders of numbers below 2^16.
    pub(super) magic: Vec<u32>,
    /// `log2 p`, rounded.
    pub(super) logs: Vec<u8>,
    /// A value whose cofactor is a prime up to here is half a relation.
    pub(super) large_limit: u64,
    /// Sieving starts with this prime; the ones below are too small to be worth it.
    pub(super) first_sieved: usize,
}

/// Columns of the matrix that are no odd prime: the sign, and 2.
pub(super) const SPECIAL: usize = 2;

impl Base {
    /// The base for an odd composite `n` of 50 to 128 bits that has no factor below 1000 and is not a power. Takes up to a millisecond.
    pub(crate) fn new(n: u128) -> Self {
        let multiplier = multiplier(n);
        let log_multiple = (n as f64).log2() + f64::from(multiplier).log2();
        let size = Size::of((n as f64).log2());
        let residue = |p: u32| ((n % u128::from(p)) as u64 * u64::from(multiplier) % u64::from(p)) as u32;
        let mut base = Self {
            n,
            ring: Montgomery::new(n),
            multiple: n.wrapping_mul(multiplier.into()),
            log_multiple,
            divisors: Vec::new(),
            primes: Vec::new(),
            roots: Vec::new(),
            magic: Vec::new(),
            logs: Vec::new(),
            large_limit: 0,
            first_sieved: 0,
        };
        let mut p = 2;
        while base.primes.len() < size.primes as usize {
            p = known::next(p.into()).expect("the table holds more primes than any base needs") as u32;
            match residue(p) {
                0 => base.divisors.push(p),
                residue if jacobi(residue, p) == 1 => {
                    base.primes.push(p);
                    base.roots.push(square_root(residue, p));
                    base.magic.push(u32::MAX / p + 1);
                    base.logs.push(f64::from(p).log2().round() as u8);
                }
                _ => {}
            }
        }
        base.large_limit = (f64::from(p) * size.large) as u64;
        // The smallest primes cost most of the sieving and tell least.
        base.first_sieved = base.primes.partition_point(|p| *p < SMALLEST_SIEVED);
        base
    }

    /// The number that is to be split.
    pub(crate) fn n(&self) -> u128 {
        self.n
    }

    /// How many columns the matrix has.
    pub(crate) fn columns(&self) -> usize {
        SPECIAL + self.divisors.len() + self.primes.len()
    }

    /// The prime of a column; of the sign's, -1.
    pub(super) fn prime_of(&self, column: usize) -> i32 {
        let prime = match column {
            0 => return -1,
            1 => 2,
            _ => match self.divisors.get(column - SPECIAL) {
                Some(divisor) => *divisor,
                None => self.primes[column - SPECIAL - self.divisors.len()],
            },
        };
        prime as i32
    }

    /// The column of `primes[i]`.
    pub(super) fn column_of(&self, i: usize) -> usize {
        SPECIAL + self.divisors.len() + i
    }
}

/// Sieving leaves out the primes below this.
pub(super) const SMALLEST_SIEVED: u32 = 20;

/// The multiplier `k` with the most small primes in the base of `k n` (Silverman, section 5, after Knuth and Schroeppel): the expected share of
/// a value's logarithm that is small primes, less what `k` adds to it.
fn multiplier(n: u128) -> u32 {
    let small: Vec<(u32, u32)> = std::iter::successors(Some(3), |p| known::next(*p))
        .take_while(|p| *p < 300)
        .map(|p| (p as u32, (n % u128::from(p)) as u32))
        .collect();
    let score = |k: u32| {
        let two = match (n as u32 & 7) * k % 8 {
            1 => 2.0,
            5 => 1.0,
            _ => 0.5,
        };
        let odd = |(p, residue): &(u32, u32)| {
            let log = f64::from(*p).ln();
            match jacobi(residue * (k % p) % p, *p) {
                1 => 2.0 * log / f64::from(p - 1),
                0 => log / f64::from(*p),
                _ => 0.0,
            }
        };
        two * std::f64::consts::LN_2 - 0.5 * f64::from(k).ln() + small.iter().map(odd).sum::<f64>()
    };
    MULTIPLIERS
        .into_iter()
        .max_by(|a, b| score(*a).total_cmp(&score(*b)))
        .unwrap_or(1)
}

fn power(a: u32, exponent: u32, p: u32) -> u32 {
    let (mut power, mut square, p) = (1, u64::from(a), u64::from(p));
    for i in 0..u32::BITS - exponent.leading_zeros() {
        if exponent >> i & 1 == 1 {
            power = power * square % p;
        }
        square = square * square % p;
    }
    power as u32
}

/// A square root of the square `a` modulo the odd prime `p`, by the algorithm of Tonelli and Shanks (H. Cohen, "A Course in
/// Computational Algebraic Number Theory", algorithm 1.5.1).
fn square_root(a: u32, p: u32) -> u32 {
    let twos = (p - 1).trailing_zeros();
    let odd = (p - 1) >> twos;
    let mul = |a: u32, b: u32| (u64::from(a) * u64::from(b) % u64::from(p)) as u32;
    let non_square = (2..p)
        .find(|z| jacobi(*z, p) == -1)
        .expect("half of the residues are none");
    let mut generator = power(non_square, odd, p);
    let mut root = power(a, odd.div_ceil(2), p);
    let mut rest = power(a, odd, p);
    let mut order = twos;
    while rest != 1 {
        let mut square = rest;
        let mut below = 0;
        while square != 1 {
            square = mul(square, square);
            below += 1;
        }
        let factor = (0..order - below - 1).fold(generator, |g, _| mul(g, g));
        root = mul(root, factor);
        generator = mul(factor, factor);
        rest = mul(rest, generator);
        order = below;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_roots() {
        for p in std::iter::successors(Some(3u64), |p| known::next(*p)).take_while(|p| *p < 2000) {
            for a in (1..p as u32).step_by(7) {
                if jacobi(a, p as u32) == 1 {
                    let root = u64::from(square_root(a, p as u32));
                    assert_eq!(root * root % p, u64::from(a), "{a} mod {p}");
                }
            }
        }
    }

    #[test]
    fn multiple_is_a_square_modulo_every_prime() {
        for n in [(1u128 << 64) + 13, u128::MAX - 158, (1 << 67) - 1] {
            let base = Base::new(n);
            let k = base.multiple.wrapping_mul(inverse(n));
            assert!(
                k < 74 && (base.divisors.iter().product::<u32>() as u128 == k),
                "{n} {k}"
            );
            for (p, root) in base.primes.iter().zip(&base.roots) {
                assert_eq!(
                    n % u128::from(*p) * k % u128::from(*p),
                    u128::from(*root).pow(2) % u128::from(*p)
                );
            }
        }
    }

    /// `n^-1 mod 2^128`
    fn inverse(n: u128) -> u128 {
        (0..7).fold(n, |inverse, _| {
            inverse.wrapping_mul(2u128.wrapping_sub(n.wrapping_mul(inverse)))
        })
    }
}
