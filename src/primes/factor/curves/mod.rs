//! Searches for factors whose size decides, not that of the number: elliptic curves, and Lucas sequences (`p - 1` and
//! `p + 1`).
//!
//! Eight searches run at once, each in a lane of its own; a [`Batch`] goes on until it is to pause. The number is a
//! composite without small factors.
//!
//! Sources: P. L. Montgomery, "Speeding the Pollard and elliptic curve methods of factorization", Math. Comp. 48
//! (1987), sections 4, 7 and 10; H. C. Williams, "A p + 1 method of factoring", Math. Comp. 39 (1982); H. Suyama's
//! curves with a group order divisible by 12.

mod bounds;
mod lanes;
mod law;
mod naturals;
mod ring;
mod search;

use crate::primes::Natural;
pub(crate) use bounds::Bounds;
use dashu_int::ops::BitTest;
pub(crate) use lanes::has_ifma;
use lanes::{Boxed, Rings, words_for};
use law::{Lucas, Montgomery};
use naturals::Naturals;
pub(crate) use ring::LANES;
use ring::Ring;
use search::Search;
use std::fmt;
use std::sync::Arc;

/// What eight searches came to: for each lane a divisor of its number, perhaps a trivial one.
pub(crate) type Divisors = Box<[Natural; LANES]>;

/// Eight searches at once, whatever the size of the number.
pub(crate) trait Batch: Send + fmt::Debug {
    /// Goes on until the searches are finished or until `over`, asked every few hundred multiplications, or after each
    /// few if they are long.
    fn advance(&mut self, over: &mut dyn FnMut() -> bool) -> Option<Divisors>;

    /// The share of the searches that is done, about.
    fn progress(&self) -> f64;
}

/// One of H. Suyama's curves, with a group order that is a multiple of 12, and a point of it.
struct Start {
    x: Natural,
    z: Natural,
    /// `-(a + 2) / 4` is one number over the other.
    numerator: Natural,
    denominator: Natural,
}

impl Start {
    /// That of a parameter above 5.
    fn new(sigma: u32) -> Self {
        let sigma = Natural::from(sigma);
        let (u, v) = (&sigma * &sigma - 5u8, 4u8 * sigma);
        let (x, z) = (u.pow(3), v.pow(3));
        // (a + 2) / 4 = (v - u)^3 (3 u + v) / (16 u^3 v), and u is above v.
        Self {
            numerator: (&u - &v).pow(3) * (3u8 * u + &v),
            denominator: 16u8 * &x * v,
            x,
            z,
        }
    }
}

/// Searches on eight curves, one modulo each number, by their parameters above 5. A divisor if one is seen at once.
#[inline(never)]
fn curves<R: Ring + 'static>(
    n: [Natural; LANES],
    parameters: [u32; LANES],
    bounds: Arc<Bounds>,
) -> Result<Box<dyn Batch>, Divisors> {
    let starts = parameters.map(Start::new);
    let of = |value: &dyn Fn(&Start) -> &Natural| std::array::from_fn(|lane| value(&starts[lane]) % &n[lane]);
    let (x, z) = (of(&|start| &start.x), of(&|start| &start.z));
    let inverses = law::inverses(&n, &of(&|start| &start.denominator))?;
    let less: [Natural; LANES] = of(&|start| &start.numerator);
    let a24 = std::array::from_fn(|lane| (&n[lane] - &less[lane]) * &inverses[lane] % &n[lane]);
    let rings = R::modulo(n);
    let law = Montgomery { a24: rings.load(&a24) };
    let point = [rings.load(&x), rings.load(&z)];
    Ok(Box::new(Search::new(rings, law, bounds, point)))
}

/// Eight Lucas sequences modulo `n`: each has a chance of a half to look at `p - 1`, and at `p + 1` if not.
#[inline(never)]
fn sequences<R: Ring + 'static>(n: &Natural, bounds: Arc<Bounds>) -> Box<dyn Batch> {
    let rings = R::modulo(std::array::from_fn(|_| n.clone()));
    let law = Lucas { two: rings.constant(2) };
    let start = rings.load(&std::array::from_fn(|lane| Natural::from(lane as u32 + 3)));
    Box::new(Search::new(rings, law, bounds, start))
}

/// Calls a function with the fastest rings for residues modulo a number of this length: of a number of words that is
/// rounded up to one of those there is code for, or of naturals.
macro_rules! with_rings {
    ($bits:expr, $function:ident $arguments:tt, $($short:literal)*; $($long:literal)*) => {
        match words_for($bits) {
            $(..=$short => $function::<Rings<$short>> $arguments,)*
            $(..=$long if has_ifma() => $function::<Boxed<$long>> $arguments,)*
            _ => $function::<Naturals> $arguments,
        }
    };
    ($bits:expr, $function:ident $arguments:tt) => {
        with_rings!($bits, $function $arguments, 2 3 4 5 6 7 8 10 12 16 24; 64 128 256)
    };
}

/// Numbers of more bits are long: their searches have fewer points in memory.
pub(crate) const LONG: usize = 24 * 52 - 6;

/// The longest number that is searched: one of 10,000 digits.
pub(crate) const LONGEST: usize = 33_220;

/// Searches for factors of an odd number, or of eight numbers of about the same size, on one curve each. A divisor if
/// one is seen at once.
pub(crate) fn on_curves(
    n: [Natural; LANES],
    parameters: [u32; LANES],
    bounds: Arc<Bounds>,
) -> Result<Box<dyn Batch>, Divisors> {
    let bits = n.iter().map(BitTest::bit_len).max().unwrap_or(0);
    with_rings!(bits, curves(n, parameters, bounds))
}

/// Searches for a factor `p` of an odd number with a smooth `p - 1` or `p + 1`.
pub(crate) fn on_sequences(n: &Natural, bounds: Arc<Bounds>) -> Box<dyn Batch> {
    with_rings!(n.bit_len(), sequences(n, bounds))
}

/// Bytes that a batch with this second bound takes at most, for a number of `bits` bits.
pub(crate) fn bytes(bits: usize, second: u64) -> u64 {
    let words = match words_for(bits) {
        0..=24 => 24,
        25..=64 => 64,
        65..=128 => 128,
        129..=256 => 256,
        words => words,
    };
    // Odd multiples as points while babies are made, and babies as points and affine; giants twice.
    let babies = if bits > LONG || second < 400_000 { 210 } else { 2310 };
    (words * LANES * 8) as u64 * (2 * babies + 4 * search::GIANTS as u64 + 100)
}

/// The proper divisor among those of a batch, if there is one.
pub(crate) fn proper(n: &Natural, divisors: &Divisors) -> Option<Natural> {
    let is_proper = |divisor: &&Natural| **divisor > Natural::ONE && **divisor < *n;
    divisors.iter().find(is_proper).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A power of the prime 2^521 - 1.
    fn mersenne(power: usize) -> Natural {
        ((Natural::ONE << 521) - 1u8).pow(power)
    }

    fn on_all(n: &Natural, first: u32, bounds: &Arc<Bounds>) -> Box<dyn Batch> {
        let parameters = std::array::from_fn(|lane| first + lane as u32);
        let batch = on_curves(std::array::from_fn(|_| n.clone()), parameters, Arc::clone(bounds));
        batch.expect("no divisor is seen at once")
    }

    #[test]
    fn curves_that_pause_wherever_they_may_find_what_others_find() {
        let bounds = Arc::new(Bounds::at_once(200, 8_000));
        let factor = Natural::from(1_000_000_007u32);
        for power in [1, 3] {
            let n = mersenne(power) * &factor;
            let (mut whole, mut paused) = (on_all(&n, 6, &bounds), on_all(&n, 6, &bounds));
            let found = whole.advance(&mut || false).expect("it is not paused");
            let mut progress = paused.progress();
            let same = loop {
                if let Some(divisors) = paused.advance(&mut || true) {
                    break divisors;
                }
                assert!((progress..=1.0).contains(&paused.progress()), "{progress}");
                progress = paused.progress();
            };
            assert_eq!(found, same);
            assert_eq!(proper(&n, &found).as_ref(), Some(&factor), "{found:?}");
        }
    }

    #[test]
    fn long_residues_are_the_same_in_lanes_and_as_naturals() {
        let bounds = Arc::new(Bounds::at_once(100, 2_000));
        let n = mersenne(3) * 10_007u32;
        let all = || std::array::from_fn(|_| n.clone());
        let parameters = std::array::from_fn(|lane| 6 + lane as u32);
        let [lanes, naturals] = [curves::<Boxed<64>>, curves::<Naturals>].map(|curves| {
            let mut batch = curves(all(), parameters, Arc::clone(&bounds)).expect("no divisor is seen at once");
            batch.advance(&mut || false)
        });
        assert!(lanes.is_some() && lanes == naturals, "{lanes:?} {naturals:?}");
        let [lanes, naturals] = [sequences::<Boxed<64>>, sequences::<Naturals>]
            .map(|sequences| sequences(&n, Arc::clone(&bounds)).advance(&mut || false));
        assert!(lanes.is_some() && lanes == naturals, "{lanes:?} {naturals:?}");
    }

    #[test]
    fn the_longest_numbers_need_no_more_stack_than_a_thread_has() {
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
            let bounds = Arc::new(Bounds::at_once(40, 100));
            let parameters = std::array::from_fn(|lane| 6 + lane as u32);
            let n = mersenne((256 * 52 - 6) / 521);
            let all = || std::array::from_fn(|_| n.clone());
            let in_lanes = curves::<Boxed<256>>(all(), parameters, Arc::clone(&bounds));
            let mut whole = in_lanes.expect("no divisor is seen at once");
            assert!(whole.advance(&mut || false).is_some());
            let longest = mersenne(LONGEST / 521);
            for mut batch in [
                sequences::<Boxed<256>>(&n, Arc::clone(&bounds)),
                on_all(&longest, 6, &bounds),
                on_sequences(&longest, Arc::clone(&bounds)),
            ] {
                for _ in 0..3 {
                    assert!(batch.advance(&mut || true).is_none());
                }
            }
        });
        thread.expect("there is a thread").join().expect("no panic");
    }
}
