//! The factor table: for each number coprime to 2310 its Moebius function and its least prime factor, in two bytes.
//!
//! Devised by Christian Bau (2003). The entry of `n` is above `2 b + 1` exactly if `n` is square-free and all its prime
//! factors come after the `b`-th prime, so that one comparison picks the leaves of that prime; its lowest bit is set if
//! `mu(n) = -1`. Entries of numbers that a square divides are negative; without the sign they too are above `2 b + 1`
//! exactly if all prime factors come after the `b`-th.

use super::hard_kernels::{FILTER_ROOM, LIST, filter};
use super::instructions::Instructions;

/// The wheel: entries exist for numbers coprime to it.
pub(super) const WHEEL: u64 = 2310;

/// How many numbers of one turn of the wheel have entries.
pub(super) const ENTRIES: usize = 480;

/// How many numbers are added at once at most: with half a MB of entries, which the second-level cache holds.
const MOST_STEP: u64 = WHEEL * 512;

/// How many numbers are added first, one by one.
const FIRST_STEP: u64 = WHEEL * 8;

/// No number that has an entry, but 1, has a smaller factor.
const LEAST_FACTOR: u64 = 13;

/// The index of that prime: `p_6 = 13`.
const LEAST_INDEX: usize = 6;

/// The residues that have entries.
pub(super) static RESIDUES: [u16; ENTRIES] = residues();

/// For each residue, how many residues that have entries are at most it.
static RANKS: [u16; WHEEL as usize] = ranks();

const fn coprime(n: usize) -> bool {
    !(n.is_multiple_of(2) || n.is_multiple_of(3) || n.is_multiple_of(5) || n.is_multiple_of(7) || n.is_multiple_of(11))
}

const fn residues() -> [u16; ENTRIES] {
    let mut residues = [0; ENTRIES];
    let (mut n, mut found) = (1, 0);
    while n < WHEEL as usize {
        if coprime(n) {
            residues[found] = n as u16;
            found += 1;
        }
        n += 1;
    }
    residues
}

const fn ranks() -> [u16; WHEEL as usize] {
    let mut ranks = [0; WHEEL as usize];
    let (mut n, mut found) = (1, 0);
    while n < WHEEL as usize {
        found += coprime(n) as u16;
        ranks[n] = found;
        n += 1;
    }
    ranks
}

/// How many numbers of `1..=n` have entries: the index after the last entry `<= n`.
#[inline]
pub(crate) fn index_after(n: u64) -> usize {
    (n / WHEEL) as usize * ENTRIES + usize::from(RANKS[(n % WHEEL) as usize])
}

/// The number an entry stands for.
#[inline]
pub(crate) fn number(index: usize) -> u64 {
    (index / ENTRIES) as u64 * WHEEL + u64::from(RESIDUES[index % ENTRIES])
}

/// How many primes are below 2^16: no composite number below 2^32 has a larger least prime factor than these.
const MOST_LEAST_FACTORS: usize = 6542;

/// What an entry must exceed for its number to be square-free with all prime factors after the `b`-th prime.
#[inline]
pub(crate) fn threshold(b: usize) -> i16 {
    2 * b.min(MOST_LEAST_FACTORS) as i16 + 1
}

/// The entry of a prime: it is above every threshold, and odd.
const PRIME: i16 = i16::MAX;

/// The sign of the entry of a number that a square divides.
const SQUARE: i16 = i16::MIN;

/// All but the sign of an entry: which prime factor is least.
pub(super) const LEAST_FACTOR_BITS: i16 = i16::MAX;

/// The entry of `p_b m`, given that of `m`, which is square-free and whose prime factors come after `p_b`.
#[inline]
fn product(b: usize, is_odd: bool) -> i16 {
    2 * b as i16 + i16::from(!is_odd)
}

/// The entry of a number that a square divides, whose least prime factor is `p_b`.
#[inline]
fn multiple_of_square(b: usize) -> i16 {
    SQUARE | (2 * b as i16)
}

/// The entries of the numbers up to some bound.
#[derive(Debug)]
pub(crate) struct FactorTable {
    entries: Vec<i16>,
    /// All numbers up to this one are to be covered.
    last: u64,
    instructions: Instructions,
    /// Room for the cofactors of one prime: those with an odd number of prime factors, and the others.
    cofactors: [Box<[u32]>; 2],
}

impl FactorTable {
    /// How many numbers are covered: all below.
    fn end(&self) -> u64 {
        (self.entries.len() / ENTRIES) as u64 * WHEEL
    }

    /// A table to be extended up to `last`.
    pub(crate) fn new(last: u64, instructions: Instructions) -> Self {
        let turns = (last / WHEEL + 1) as usize;
        Self {
            entries: Vec::with_capacity(turns * ENTRIES),
            last,
            instructions,
            cofactors: [(); 2].map(|()| vec![0; LIST + FILTER_ROOM].into_boxed_slice()),
        }
    }

    /// Adds the entries of the next numbers, for half a millisecond or so; true when all are there. `primes` (1-based:
    /// `primes[1] = 2`) reach the square root of the last number.
    pub(crate) fn extend(&mut self, primes: &[u32]) -> bool {
        let low = self.end();
        let step = match low {
            0 => FIRST_STEP,
            // The cofactors have entries already.
            _ => MOST_STEP.min(low * (LEAST_FACTOR - 1)),
        };
        let high = (low + step).min((self.last / WHEEL + 1) * WHEEL);
        if low == 0 {
            self.begin(high, primes);
        } else {
            self.add(low, high, primes);
        }
        self.end() > self.last
    }

    /// The entries of the first numbers, by trial division.
    fn begin(&mut self, high: u64, primes: &[u32]) {
        self.entries.push(PRIME - 1);
        for index in 1..index_after(high) {
            let n = number(index);
            let least = (LEAST_INDEX..)
                .zip(&primes[LEAST_INDEX.min(primes.len())..])
                .map(|(b, &prime)| (b, u64::from(prime)))
                .take_while(|(_, prime)| prime * prime <= n)
                .find(|(_, prime)| n.is_multiple_of(*prime));
            let entry = least.map_or(PRIME, |(b, prime)| {
                let cofactor = self.entries[index_after(n / prime) - 1];
                match cofactor > threshold(b) && n / prime > prime {
                    true => product(b, cofactor & 1 == 1),
                    false => multiple_of_square(b),
                }
            });
            self.entries.push(entry);
        }
    }

    /// The entries of `low..high`: of each product of a prime and a square-free number whose prime factors come after
    /// it, and of multiples of squares. All others are prime.
    fn add(&mut self, low: u64, high: u64, primes: &[u32]) {
        let start = self.entries.len();
        self.entries.resize(index_after(high), PRIME);
        let (known, added) = self.entries.split_at_mut(start);
        for (b, &prime) in primes.iter().enumerate().skip(LEAST_INDEX) {
            let prime = u64::from(prime);
            let square = prime * prime;
            if square >= high {
                break;
            }
            let mut range = index_after((low / prime).max(prime))..index_after((high - 1) / prime);
            while !range.is_empty() {
                let part = range.start..range.end.min(range.start + LIST);
                range.start = part.end;
                let [odd, even] = &mut self.cofactors;
                let (odds, evens) = filter(self.instructions, known, part, threshold(b), odd, even);
                for (list, is_odd) in [(&odd[..odds], true), (&even[..evens], false)] {
                    for &cofactor in list {
                        added[index_after(prime * u64::from(cofactor)) - 1 - start] = product(b, is_odd);
                    }
                }
            }
            let cofactors = index_after(low.saturating_sub(1) / square)..index_after((high - 1) / square);
            for (&entry, index) in known[cofactors.clone()].iter().zip(cofactors) {
                let n = number(index);
                let least = match entry {
                    // A prime, or 1.
                    entry if entry & LEAST_FACTOR_BITS >= PRIME - 1 => match n < prime && n > 1 {
                        true => primes.partition_point(|&p| u64::from(p) < n),
                        false => b,
                    },
                    entry => b.min(((entry & LEAST_FACTOR_BITS) / 2) as usize),
                };
                added[index_after(square * n) - 1 - start] = multiple_of_square(least);
            }
        }
    }

    /// The entries, see [`index_after`] and [`number`].
    #[inline]
    pub(crate) fn entries(&self) -> &[i16] {
        &self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;

    #[test]
    fn entries_are_those_of_trial_division() {
        let primes: Vec<u32> = [0].into_iter().chain(primes_up_to(100_000)).collect();
        const LAST: u64 = 3_000_000;
        for &instructions in Instructions::all() {
            let mut table = FactorTable::new(LAST, instructions);
            while !table.extend(&primes) {}
            check(&table, &primes, LAST);
        }
    }

    fn check(table: &FactorTable, primes: &[u32], last: u64) {
        assert_eq!(table.entries()[0], PRIME - 1);
        for index in 1..index_after(last) {
            let n = number(index);
            assert_eq!(index_after(n), index + 1);
            assert_eq!(index_after(n - 1), index);
            let (mut rest, mut least, mut mu, mut divisor) = (n, 0, 1, 2);
            while divisor * divisor <= rest {
                if rest % divisor == 0 {
                    least = if least == 0 { divisor } else { least };
                    rest /= divisor;
                    mu = if rest % divisor == 0 { 0 } else { -mu };
                    if mu == 0 {
                        break;
                    }
                }
                divisor += 1;
            }
            let b = || primes.iter().position(|&p| u64::from(p) == least).unwrap() as i16;
            let expected = match (least, mu) {
                (0, _) => i16::MAX,
                (_, 0) => i16::MIN + 2 * b(),
                (_, mu) => 2 * b() + i16::from(mu > 0),
            };
            assert_eq!(table.entries()[index], expected, "n = {n}");
        }
    }
}
