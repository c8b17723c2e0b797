//! The factor base: the small primes that can divide a value of the polynomials, and how large everything is for a
//! number of some length.

use super::wide::{MAX_BITS, Wide};
use crate::primes::primality::bpsw::jacobi;
use crate::primes::sieve::primes_up_to;
use crate::primes::{Natural, known};
use dashu_int::ops::BitTest;

/// Odd squarefree multipliers to choose from.
const MULTIPLIERS: [u32; 30] = [
    1, 3, 5, 7, 11, 13, 15, 17, 19, 21, 23, 29, 31, 33, 35, 37, 39, 41, 43, 47, 51, 53, 55, 57, 59, 61, 65, 67, 71, 73,
];

/// Values of a block are sieved together: bytes that stay in a first-level cache.
pub(super) const BLOCK: usize = 1 << 15;

/// The primes that vector kernels take at once; lists of primes are padded to a multiple of it.
pub(super) const GROUP: usize = 16;

/// Longest number that is sieved: its multiple has at most six bits more.
pub(crate) const LONGEST: usize = MAX_BITS - 7;

/// How large things are for a number of this many bits. Found by timing whole factorizations of random semiprimes; see
/// docs/numbers.md.
#[derive(Clone, Copy, Debug)]
struct Size {
    bits: f64,
    /// How many primes.
    primes: f64,
    /// How many blocks a polynomial is sieved over.
    blocks: f64,
    /// Large primes are allowed up to this multiple of the largest prime.
    large: f64,
}

const fn size(bits: f64, primes: f64, blocks: f64, large: f64) -> Size {
    Size {
        bits,
        primes,
        blocks,
        large,
    }
}

const SIZES: [Size; 16] = [
    size(50.0, 30.0, 1.0, 20.0),
    size(64.0, 45.0, 1.0, 20.0),
    size(80.0, 80.0, 1.0, 30.0),
    size(96.0, 130.0, 1.0, 40.0),
    size(112.0, 230.0, 1.0, 50.0),
    size(128.0, 450.0, 1.0, 60.0),
    size(150.0, 1_400.0, 1.0, 80.0),
    size(160.0, 2_000.0, 1.0, 100.0),
    size(192.0, 6_200.0, 1.0, 100.0),
    size(220.0, 18_000.0, 1.0, 150.0),
    size(240.0, 17_000.0, 2.0, 90.0),
    size(260.0, 33_000.0, 2.0, 90.0),
    size(280.0, 56_000.0, 3.0, 100.0),
    size(300.0, 80_000.0, 4.0, 120.0),
    size(330.0, 140_000.0, 6.0, 150.0),
    size(373.0, 260_000.0, 10.0, 200.0),
];

/// From this many bits on, a value may have two large primes.
const TWO_LARGE_BITS: f64 = 230.0;

/// Two large primes have a product up to this power of the limit: larger ones rarely split into two below the limit.
const TWO_LARGE_EXPONENT: f64 = 1.8;

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
            blocks: between(below.blocks, above.blocks),
            large: between(below.large, above.large),
        }
    }
}

/// Bytes that a sieve of a number of this length takes on `workers` workers: the base, a family for every worker and
/// one in reserve, relations, and the matrix.
pub(crate) fn memory(bits: usize, workers: usize) -> u64 {
    let size = Size::of(bits as f64);
    let primes = size.primes as u64;
    // Sixteen moves and two zeros a prime; entries of buckets, of which there are at most three for every eight values.
    let family = primes * 4 * 20 + size.blocks as u64 * BLOCK as u64 * 2 + (128 << 10);
    (1 << 20) + primes * (40 + 100 * RELATIONS_A_PRIME) + family * (workers as u64 + 1)
}

/// Relations that are kept for every prime of the base.
const RELATIONS_A_PRIME: u64 = 16;

/// The primes `p` with `k n` a square modulo `p`.
#[derive(Debug)]
pub(crate) struct Base {
    /// The number to be split; odd, composite, not a power.
    pub(super) n: Natural,
    /// `k n`
    pub(super) multiple: Wide,
    /// `log2 (k n)`
    pub(super) log_multiple: f64,
    /// The odd primes that divide `k`; values are divided by them, not sieved.
    pub(super) divisors: Vec<u32>,
    /// The other odd primes, ascending, all below 2^25.
    pub(super) primes: Vec<u32>,
    /// The same, padded with 0 to whole groups.
    pub(super) padded: Vec<u32>,
    /// A square root of `k n` modulo each prime.
    pub(super) roots: Vec<u32>,
    /// `1 / p mod 2^32` of the primes before `first_large`: they show which numbers are multiples.
    pub(super) inverses: Vec<u32>,
    /// `floor ((2^32 - 1) / p)` of the same.
    pub(super) quotients: Vec<u32>,
    /// `log2 p`, rounded.
    pub(super) logs: Vec<u8>,
    /// Sieving starts with this prime; the ones below are too small to be worth it.
    pub(super) first_sieved: usize,
    /// From this prime on, a whole group, a block has at most one hit of a zero, and buckets take it.
    pub(super) first_large: usize,
    /// How many blocks a polynomial is sieved over.
    pub(super) blocks: usize,
    /// Large primes are below this.
    pub(super) large_limit: u32,
    /// What is left of a value and has two large primes lies between these; empty if there are to be none.
    pub(super) two_large: (u64, u64),
}

/// Columns of the matrix that are no odd prime: the sign, and 2.
pub(super) const SPECIAL: usize = 2;

/// A factor base that is being made.
#[derive(Debug)]
pub(crate) struct Building {
    n: Natural,
    /// Takes milliseconds to begin, so the first bout does.
    begun: Option<Box<Begun>>,
}

#[derive(Debug)]
struct Begun {
    base: Base,
    candidates: Vec<u32>,
    next: usize,
    wanted: usize,
    size: Size,
}

impl Building {
    /// The base for an odd composite `n` of 50 to [`LONGEST`] bits that has no factor below 1000 and is not a power.
    pub(crate) const fn new(n: Natural) -> Self {
        Self { n, begun: None }
    }

    /// Goes on until the base is complete or until `over`, asked after every few hundred primes (some 50 microseconds);
    /// to begin takes some milliseconds.
    pub(crate) fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        match &mut self.begun {
            Some(begun) => begun.advance(over),
            None => {
                let begun = self.begun.insert(Box::new(Begun::new(self.n.clone())));
                !over() && begun.advance(over)
            }
        }
    }

    /// The finished base.
    pub(crate) fn finish(self) -> Base {
        self.begun.expect("it was advanced to its end").finish()
    }
}

impl Begun {
    fn new(n: Natural) -> Self {
        let multiplier = multiplier(&n);
        let multiple = Wide::from_natural(&(&n * multiplier)).expect("n has at most LONGEST bits");
        let (bits, exponent) = (n.bit_len(), n.bit_len().saturating_sub(64));
        let top = u64::try_from(&(&n >> exponent)).expect("64 bits are left") as f64;
        let log = top.log2() + exponent as f64;
        let size = Size::of(if bits < 50 { 50.0 } else { log });
        let wanted = size.primes as usize;
        // Half of all primes are in the base: the one before the last is about 2 w ln (2 w), rounded up generously.
        let twice = 2.0 * size.primes + 100.0;
        let bound = 1.3 * twice * (twice.ln() + 1.0);
        Self {
            base: Base {
                multiple,
                log_multiple: log + f64::from(multiplier).log2(),
                divisors: Vec::new(),
                primes: Vec::with_capacity(wanted),
                padded: Vec::new(),
                roots: Vec::with_capacity(wanted),
                inverses: Vec::new(),
                quotients: Vec::new(),
                logs: Vec::with_capacity(wanted),
                first_sieved: 0,
                first_large: 0,
                blocks: (size.blocks.round() as usize).clamp(1, 16),
                large_limit: 0,
                two_large: (1, 0),
                n,
            },
            candidates: primes_up_to(bound as u32),
            next: 1,
            wanted,
            size,
        }
    }

    fn advance(&mut self, mut over: impl FnMut() -> bool) -> bool {
        while self.base.primes.len() < self.wanted {
            // Never at the end of the list: the bound is generous.
            let Some(p) = self.candidates.get(self.next) else {
                break;
            };
            self.try_candidate(*p);
            self.next += 1;
            if self.next.is_multiple_of(256) && over() {
                return false;
            }
        }
        true
    }

    fn try_candidate(&mut self, p: u32) {
        let base = &mut self.base;
        let residue = base.multiple.div_rem(p).1;
        if residue == 0 {
            base.divisors.push(p);
        } else if let Some(root) = square_root(residue, p) {
            base.primes.push(p);
            base.roots.push(root);
            base.logs.push(f64::from(p).log2().round() as u8);
        }
    }

    fn finish(self) -> Base {
        let mut base = self.base;
        base.padded = base.primes.clone();
        base.padded.resize(base.primes.len().next_multiple_of(GROUP), 0);
        let largest = *base.primes.last().expect("a base has primes");
        let small = base.primes.partition_point(|p| (*p as usize) < BLOCK);
        base.first_large = if small == base.primes.len() {
            base.padded.len()
        } else {
            small / GROUP * GROUP
        };
        let inverse = |p: u32| (0..5).fold(p, |i, _| i.wrapping_mul(2u32.wrapping_sub(p.wrapping_mul(i))));
        base.inverses = base.padded[..base.first_large].iter().map(|p| inverse(*p)).collect();
        base.quotients = base.padded[..base.first_large]
            .iter()
            .map(|p| u32::MAX.checked_div(*p).unwrap_or(0))
            .collect();
        let limit = f64::from(largest) * self.size.large;
        base.large_limit = limit.min(f64::from(u32::MAX)) as u32;
        if self.size.bits >= TWO_LARGE_BITS {
            let most = f64::from(base.large_limit).powf(TWO_LARGE_EXPONENT);
            base.two_large = (u64::from(largest).pow(2), most as u64);
        }
        // The smallest primes cost most of the sieving and distinguish least.
        let smallest = if self.size.bits < 140.0 {
            SMALLEST_SIEVED.0
        } else {
            SMALLEST_SIEVED.1
        };
        base.first_sieved = base.primes.partition_point(|p| *p < smallest);
        base
    }
}

/// Sieving leaves out the primes below this, in short numbers and in others.
const SMALLEST_SIEVED: (u32, u32) = (20, 256);

impl Base {
    /// Whether it is the base for this number.
    pub(crate) fn is_of(&self, n: &Natural) -> bool {
        self.n == *n
    }

    /// Nanoseconds that sieving a polynomial takes, about, on the machine of docs/numbers.md.
    pub(crate) fn polynomial_cost(&self) -> f64 {
        self.primes.len() as f64 + 14_000.0 * self.blocks as f64
    }

    /// The most relations that are kept at once.
    pub(crate) fn most_relations(&self) -> u64 {
        RELATIONS_A_PRIME * self.primes.len() as u64
    }

    /// How many columns the matrix has.
    pub(crate) fn columns(&self) -> usize {
        SPECIAL + self.divisors.len() + self.primes.len()
    }

    /// The prime of a column that is not the sign's.
    pub(super) fn prime_of(&self, column: usize) -> u32 {
        match column {
            0 | 1 => 2,
            _ => match self.divisors.get(column - SPECIAL) {
                Some(divisor) => *divisor,
                None => self.primes[column - SPECIAL - self.divisors.len()],
            },
        }
    }

    /// The column of `primes[i]`.
    pub(super) fn column_of(&self, i: usize) -> usize {
        SPECIAL + self.divisors.len() + i
    }

    /// Whether a value may have two large primes.
    pub(super) const fn has_two_large(&self) -> bool {
        self.two_large.0 < self.two_large.1
    }

    /// How many values a polynomial is sieved over.
    pub(super) fn length(&self) -> usize {
        self.blocks * BLOCK
    }
}

/// The multiplier `k` with the most small primes in the base of `k n` (Silverman, section 5, after Knuth and
/// Schroeppel): the expected share of a value's logarithm that is small primes, less what `k` adds to it.
fn multiplier(n: &Natural) -> u32 {
    let small: Vec<(u32, u32)> = std::iter::successors(Some(3), |p| known::next(*p))
        .take_while(|p| *p < 300)
        .map(|p| (p as u32, n % p as u32))
        .collect();
    let n8 = n % 8u32;
    let score = |k: u32| {
        let two = match n8 * k % 8 {
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

/// A square root of `a` modulo the odd prime `p`, if it is a square: by the algorithm of Tonelli and Shanks (H. Cohen,
/// "A Course in Computational Algebraic Number Theory", algorithm 1.5.1).
fn square_root(a: u32, p: u32) -> Option<u32> {
    let twos = (p - 1).trailing_zeros();
    let odd = (p - 1) >> twos;
    let mul = |a: u32, b: u32| (u64::from(a) * u64::from(b) % u64::from(p)) as u32;
    if twos == 1 {
        let root = power(a, odd.div_ceil(2), p);
        return (mul(root, root) == a).then_some(root);
    }
    if jacobi(a, p) != 1 {
        return None;
    }
    let non_square = (2..p)
        .find(|z| jacobi(*z, p) == -1)
        .expect("half of the residues are none");
    let mut generator = power(non_square, odd, p);
    let start = power(a, odd / 2, p);
    let mut root = mul(start, a);
    let mut rest = mul(start, root);
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
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_roots() {
        for p in std::iter::successors(Some(3u64), |p| known::next(*p)).take_while(|p| *p < 2000) {
            for a in (1..p as u32).step_by(7) {
                let root = square_root(a, p as u32);
                assert_eq!(root.is_some(), jacobi(a, p as u32) == 1, "{a} mod {p}");
                let square = root.map(|root| u64::from(root).pow(2) % p);
                assert!(square.is_none_or(|square| square == u64::from(a)), "{a} mod {p}");
            }
        }
    }

    #[test]
    fn multiple_is_a_square_modulo_every_prime() {
        for n in [
            Natural::from((1u128 << 64) + 13),
            Natural::from(u128::MAX - 158),
            ((Natural::ONE << 127usize) - 1u8) * ((Natural::ONE << 61usize) - 1u8),
        ] {
            let mut building = Building::new(n.clone());
            while !building.advance(|| true) {}
            let base = building.finish();
            let k = base.multiple.to_natural() / &n;
            assert_eq!(k, Natural::from(base.divisors.iter().product::<u32>()));
            for (p, root) in base.primes.iter().zip(&base.roots) {
                assert_eq!(
                    base.multiple.div_rem(*p).1,
                    (u64::from(*root).pow(2) % u64::from(*p)) as u32
                );
            }
        }
    }
}
