//! Which part of a number is made of small primes: by the greatest common divisor with their product, which is far
//! longer than the number.
//!
//! Knows nothing of what the number is. One remainder of the product costs a tenth of the remainders by its primes, a
//! word at a time.

use crate::primes::primality::large::{Large, Residues, Work};
use crate::primes::{Natural, known};
use dashu_int::ops::{BitTest, Gcd};

/// Odd primes of a piece.
const PIECE: usize = 2048;

/// The products of the odd primes below [`known::LIMIT`], a piece after the other. Makes some milliseconds of work;
/// takes 200 KB.
#[derive(Debug)]
pub(crate) struct SmallPrimes(Vec<Natural>);

/// The removal of small primes from a number, under way.
#[derive(Debug)]
pub(super) struct Removal {
    n: Natural,
    /// None for a word, for which rings of long numbers are not made.
    large: Option<Large>,
    /// The product, modulo the number and but for a unit, of the pieces before `next`.
    product: Natural,
    next: usize,
}

impl SmallPrimes {
    pub(crate) fn new() -> Self {
        let primes: Vec<u64> = std::iter::successors(known::next(2), |p| known::next(*p)).collect();
        Self(primes.chunks(PIECE).map(product).collect())
    }
}

fn product(primes: &[u64]) -> Natural {
    match primes {
        [] => Natural::ONE,
        [p] => (*p).into(),
        _ => {
            let (low, high) = primes.split_at(primes.len() / 2);
            product(low) * product(high)
        }
    }
}

impl Removal {
    /// Begins with an odd number.
    pub(super) fn new(n: Natural) -> Self {
        Self {
            product: Natural::ONE,
            large: (n.bit_len() > 64).then(|| Large::new(n.clone())),
            n,
            next: 0,
        }
    }

    /// What is left without the primes of the first `pieces` pieces. `None` after `over`, which is asked after every
    /// piece.
    pub(super) fn advance(
        &mut self,
        primes: &SmallPrimes,
        pieces: usize,
        over: impl FnMut() -> bool,
    ) -> Option<Natural> {
        let pieces = primes.0.get(self.next..pieces.min(primes.0.len())).unwrap_or_default();
        let product = std::mem::take(&mut self.product);
        if let Some(large) = &self.large {
            let (product, done) = large.run(Bout { product, pieces, over });
            self.product = product;
            self.next += done;
            if done < pieces.len() {
                return None;
            }
        } else {
            self.product = pieces
                .iter()
                .fold(product, |product, piece| product * (piece % &self.n) % &self.n);
            self.next += pieces.len();
        }
        let mut rest = self.n.clone();
        let mut common = self.product.clone();
        loop {
            // The number itself, if it is made of these primes alone.
            common = if common.is_zero() {
                rest.clone()
            } else {
                (&common).gcd(&rest)
            };
            if common == Natural::ONE {
                return Some(rest);
            }
            rest /= &common;
        }
    }
}

/// Goes on with a product.
struct Bout<'a, F> {
    product: Natural,
    pieces: &'a [Natural],
    over: F,
}

impl<F: FnMut() -> bool> Work for Bout<'_, F> {
    /// The product, and how many pieces it went through.
    type Output = (Natural, usize);

    fn work<R: Residues>(mut self, ring: &R) -> (Natural, usize) {
        let mut product = ring.enter(self.product);
        let mut done = 0;
        for piece in self.pieces {
            product = ring.mul(&product, &ring.up_to_a_unit(piece));
            done += 1;
            if (self.over)() {
                break;
            }
        }
        (ring.leave(product), done)
    }
}

/// How many pieces hold the primes below a limit.
pub(super) fn pieces_below(limit: u64) -> usize {
    // There are fewer than 1.26 x / ln x primes below x (Rosser and Schoenfeld, corollary 1 of theorem 2).
    let count = 1.26 * limit as f64 / (limit as f64).ln();
    1 + count as usize / PIECE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_primes_are_taken_out_with_their_powers() {
        let primes = SmallPrimes::new();
        let rest = Natural::from((1u128 << 107) - 1);
        for part in [1u64, 3, 81, 3 * 65_537, 1_048_573 * 7 * 7, 40_009 * 40_009] {
            let mut removal = Removal::new(&rest * part);
            let left = loop {
                if let Some(left) = removal.advance(&primes, usize::MAX, || true) {
                    break left;
                }
            };
            assert_eq!(left, rest, "{part}");
        }
        let smooth = Natural::from(3u8).pow(50) * Natural::from(1009u16).pow(3);
        assert_eq!(
            Removal::new(smooth).advance(&primes, usize::MAX, || false),
            Some(Natural::ONE)
        );
        // Orders of the last steps of a proof are words.
        for (n, rest) in [(1u64, 1u64), (15, 1), (3 * ((1 << 61) - 1), (1 << 61) - 1)] {
            let mut removal = Removal::new(n.into());
            assert_eq!(removal.advance(&primes, usize::MAX, || false), Some(rest.into()), "{n}");
        }
    }
}
