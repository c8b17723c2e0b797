//! The factor table: for each number coprime to 2310 its Moebius function and its least prime factor, in two bytes.
//!
//! Devised by Christian Bau (2003). The entry of `n` is above `2 b + 1` exactly if `n` is square-free and all its prime factors come
//! after the `b`-th prime, so that one comparison picks the leaves of that prime; its lowest bit is set if `mu(n) = -1`.

/// The wheel: entries exist for numbers coprime to it.
pub(super) const WHEEL: u64 = 2310;

/// How many numbers of one turn of the wheel have entries.
pub(super) const ENTRIES: usize = 480;

/// How many numbers are added at least; their entries fill whole vectors.
const LEAST_STEP: u64 = WHEEL * 16;

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

/// What an entry must exceed for its number to be square-free with all prime factors after the `b`-th prime.
#[inline]
pub(crate) fn threshold(b: usize) -> u16 {
    2 * b as u16 + 1
}

/// The entries of the numbers up to some bound.
#[derive(Debug)]
pub(crate) struct FactorTable {
    entries: Vec<u16>,
    /// How many numbers are added at once.
    step: u64,
}

impl FactorTable {
    /// How many numbers are covered: all below.
    pub(crate) fn end(&self) -> u64 {
        (self.entries.len() / ENTRIES) as u64 * WHEEL
    }

    /// A table to be extended up to `end`, in at most 64 steps or so: each goes over all primes up to a 13th of where it ends.
    pub(crate) fn new(end: u64) -> Self {
        Self {
            entries: Vec::new(),
            step: (end / 64).next_multiple_of(LEAST_STEP).max(LEAST_STEP),
        }
    }

    /// Adds the entries of the next numbers. `primes` (1-based: `primes[1] = 2`) reach a 13th of the new end.
    pub(crate) fn extend(&mut self, primes: &[u32]) {
        let low = self.end();
        let high = low + self.step;
        let start = self.entries.len();
        self.entries.resize(index_after(high), u16::MAX);
        let added = &mut self.entries[start..];
        if low == 0 {
            added[0] = u16::MAX - 1;
        }
        for (index, &prime) in primes.iter().enumerate().skip(6) {
            let prime = u64::from(prime);
            if prime * 13 > high {
                break;
            }
            // prime * 1 is the prime itself and keeps its entry.
            let mut cofactor = index_after((low / prime).max(1));
            let mut multiple = prime * number(cofactor);
            while multiple < high {
                let entry = &mut added[index_after(multiple) - 1 - start];
                match *entry {
                    u16::MAX => *entry = 2 * index as u16 + 1,
                    0 => {}
                    _ => *entry ^= 1,
                }
                cofactor += 1;
                multiple = prime * number(cofactor);
            }
            let square = prime * prime;
            let mut cofactor = if low < square { 0 } else { index_after(low / square) };
            let mut multiple = square.saturating_mul(number(cofactor));
            while multiple < high {
                if multiple >= low {
                    added[index_after(multiple) - 1 - start] = 0;
                }
                cofactor += 1;
                multiple = square * number(cofactor);
            }
        }
    }

    /// The entries, see [`index_after`] and [`number`].
    #[inline]
    pub(crate) fn entries(&self) -> &[u16] {
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
        let mut table = FactorTable::new(800_000);
        while table.end() < 800_000 {
            table.extend(&primes);
        }
        assert_eq!(table.entries()[0], u16::MAX - 1);
        for index in 1..index_after(800_000) {
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
            let expected = match (least, mu) {
                (0, _) => u16::MAX,
                (_, 0) => 0,
                (least, mu) => {
                    let b = primes.iter().position(|&p| u64::from(p) == least).unwrap() as u16;
                    2 * b + u16::from(mu > 0)
                }
            };
            assert_eq!(table.entries()[index], expected, "n = {n}");
        }
    }
}
