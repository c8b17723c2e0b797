//! Which searches a composite gets before it is sieved, by its size. Knows costs, not how anything is done.
//!
//! A level has the bounds that are best for factors of one size, and as many curves as find one of that size in most
//! cases (P. Zimmermann and B. Dodson, "20 years of ECM", ANTS VII (2006), table 2 gives bounds and curves). A number
//! that can be sieved is searched for factors for a share of the time the sieve is expected to take; one that cannot be
//! is searched level after level.

use super::curves::{Bounds, has_ifma};
use std::sync::{Arc, LazyLock};

/// Searches with the same bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Level {
    /// Bits of the factors it is for.
    pub(crate) bits: usize,
    /// The bounds of the stages.
    pub(crate) first: u64,
    pub(crate) second: u64,
    /// Batches of eight curves.
    pub(crate) batches: u32,
}

const fn level(bits: usize, first: u64, second: u64, batches: u32) -> Level {
    Level {
        bits,
        first,
        second,
        batches,
    }
}

/// By size of factors; those from 66 bits on are 20, 25, 30, .. digits.
pub(crate) const LEVELS: [Level; 11] = [
    level(32, 120, 4_000, 2),
    level(40, 300, 12_000, 2),
    level(48, 700, 30_000, 2),
    level(56, 1_600, 90_000, 3),
    level(66, 11_000, 1_200_000, 12),
    level(83, 50_000, 7_000_000, 32),
    level(100, 250_000, 40_000_000, 70),
    level(116, 1_000_000, 200_000_000, 150),
    level(133, 3_000_000, 700_000_000, 400),
    level(150, 11_000_000, 2_000_000_000, 900),
    level(166, 43_000_000, 4_000_000_000, u32::MAX),
];

/// Levels for short factors, whose bounds are kept: making them would take as long as a batch.
static SHORT: [LazyLock<Arc<Bounds>>; 3] = [
    LazyLock::new(|| LEVELS[0].bounds()),
    LazyLock::new(|| LEVELS[1].bounds()),
    LazyLock::new(|| LEVELS[2].bounds()),
];

/// What the schedule goes by, which is not the same where curves have other instructions.
#[derive(Clone, Copy, Debug)]
struct Machine {
    /// Numbers of up to this many bits are searched until a factor is found: sieving would not be faster.
    searched_bits: usize,
    /// How long curves take, as a multiple of the model, on a machine whose sieve takes what the model says.
    slowness: f64,
}

/// With products of 52-bit words in vectors.
const WITH_IFMA: Machine = Machine {
    searched_bits: 118,
    slowness: 1.0,
};
/// Without. Measured on a Zen 2: docs/numbers.md.
const WITHOUT_IFMA: Machine = Machine {
    searched_bits: 84,
    slowness: 4.5,
};

/// Levels before the sieve of a number that would be searched until a factor is found with other instructions: most
/// such numbers that are not made to be hard have a short factor.
const SHORT_LEVELS: usize = 2;

fn machine() -> Machine {
    if has_ifma() { WITH_IFMA } else { WITHOUT_IFMA }
}

/// Bounds for factors of a number of a word.
pub(crate) fn short_bounds() -> Arc<Bounds> {
    Arc::clone(&SHORT[0])
}

/// Seconds that the sieve takes for numbers of some lengths in bits, on the machine of docs/numbers.md.
const SIEVE: [(f64, f64); 9] = [
    (128.0, 0.006),
    (160.0, 0.07),
    (192.0, 0.7),
    (220.0, 3.5),
    (240.0, 8.0),
    (256.0, 22.0),
    (280.0, 90.0),
    (300.0, 330.0),
    (330.0, 1_800.0),
];

/// Seconds that the sieve is expected to take.
pub(crate) fn sieve_seconds(bits: usize) -> f64 {
    let bits = bits as f64;
    let i = SIEVE
        .partition_point(|(size, _)| *size < bits)
        .clamp(1, SIEVE.len() - 1);
    let ((low, less), (high, more)) = (SIEVE[i - 1], SIEVE[i]);
    less * (more / less).powf((bits - low) / (high - low))
}

/// The share of that time that searches before it may take.
pub(crate) const SHARE: f64 = 0.12;

impl Level {
    fn bounds(&self) -> Arc<Bounds> {
        Arc::new(Bounds::at_once(self.first, self.second))
    }

    /// The bounds, if they are kept.
    pub(crate) fn kept(&self) -> Option<Arc<Bounds>> {
        let short = LEVELS.iter().zip(&SHORT).find(|(level, _)| level.first == self.first);
        short.map(|(_, bounds)| Arc::clone(bounds))
    }

    /// Seconds that a batch takes for a number of `bits` bits.
    pub(crate) fn seconds(&self, bits: usize) -> f64 {
        self.seconds_on(machine(), bits)
    }

    fn seconds_on(&self, machine: Machine, bits: usize) -> f64 {
        let words = (bits as f64 / 52.0).ceil() + 0.1;
        // Nine multiplications a bit of the first stage, and one for most primes of the second.
        let second = self.second as f64;
        let multiplications = 13.0 * self.first as f64 + 0.8 * second / second.ln();
        machine.slowness * multiplications * (4.0 + 2.2 * words + 0.55 * words * words) * 1e-9
    }
}

/// The levels for a composite, each with its number of batches. `can_sieve`: whether the sieve takes over then.
pub(crate) fn levels(bits: usize, can_sieve: bool) -> Vec<Level> {
    levels_on(machine(), bits, can_sieve)
}

fn levels_on(machine: Machine, bits: usize, can_sieve: bool) -> Vec<Level> {
    if bits <= machine.searched_bits {
        let last = LEVELS.iter().position(|level| 2 * level.bits + 8 >= bits).unwrap_or(3);
        let mut levels = LEVELS[..=last].to_vec();
        levels[last].batches = 100;
        return levels;
    }
    if !can_sieve {
        return LEVELS.to_vec();
    }
    if bits <= WITH_IFMA.searched_bits {
        return LEVELS[..SHORT_LEVELS].to_vec();
    }
    let mut left = SHARE * sieve_seconds(bits);
    let mut levels = Vec::new();
    for level in LEVELS.into_iter().take_while(|level| 2 * level.bits <= bits + 16) {
        let cost = level.seconds_on(machine, bits);
        let batches = ((left / cost) as u32).min(level.batches);
        if batches == 0 {
            break;
        }
        left -= cost * f64::from(batches);
        levels.push(Level { batches, ..level });
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_numbers_get_longer_searches_but_a_share_of_the_sieve() {
        for machine in [WITH_IFMA, WITHOUT_IFMA] {
            let mut before = 0.0;
            for bits in (130..340).step_by(10) {
                let cost: f64 = levels_on(machine, bits, true)
                    .iter()
                    .map(|level| f64::from(level.batches) * level.seconds_on(machine, bits))
                    .sum();
                assert!(cost > before && cost <= SHARE * sieve_seconds(bits), "{bits}: {cost}");
                before = cost;
            }
        }
        assert_eq!(levels(500, false), LEVELS);
        assert_eq!(
            levels_on(WITH_IFMA, 110, true).last().map(|level| level.batches),
            Some(100)
        );
        assert_eq!(levels_on(WITHOUT_IFMA, 110, true), LEVELS[..SHORT_LEVELS]);
        // One of 40 digits in a number of 150 is within its levels.
        assert!(LEVELS.iter().any(|level| level.bits >= 133));
    }
}
