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

use crate::primes::Natural;
pub(crate) use bounds::Bounds;
use bounds::{Rule, start};
use dashu_int::ops::{BitTest, ExtendedGcd, Gcd};
pub(crate) use lanes::LANES;
use lanes::{Element, Rings, words_for};
use std::fmt;
use std::sync::Arc;

/// What eight searches came to: for each lane a divisor of its number, perhaps a trivial one.
pub(crate) type Divisors = Box<[Natural; LANES]>;

/// Eight searches at once, whatever the size of the number.
pub(crate) trait Batch: Send + fmt::Debug {
    /// Goes on until the searches are finished or until `over`, asked every few hundred multiplications.
    fn advance(&mut self, over: &mut dyn FnMut() -> bool) -> Option<Divisors>;

    /// The share of the searches that is done, about.
    fn progress(&self) -> f64;
}

/// Numbers that a group's addition is made of.
trait Law<const W: usize>: Send + fmt::Debug {
    type Point: Clone + Send + fmt::Debug;

    fn double(&self, rings: &Rings<W>, p: &Self::Point) -> Self::Point;

    /// `p + q`, knowing `p - q`.
    fn add(&self, rings: &Rings<W>, p: &Self::Point, q: &Self::Point, difference: &Self::Point) -> Self::Point;

    /// One residue for each point, equal for opposite points and for no others modulo a prime; a divisor if there is
    /// none for some.
    fn affine(&self, rings: &Rings<W>, points: &[Self::Point], affine: &mut Vec<Element<W>>) -> Option<Divisors>;
}

/// `b y^2 = x^3 + a x^2 + x`
#[derive(Debug)]
struct Montgomery<const W: usize> {
    /// `(a + 2) / 4`
    a24: Element<W>,
}

/// A point without its `y`: `x : z`.
type Point<const W: usize> = [Element<W>; 2];

impl<const W: usize> Law<W> for Montgomery<W> {
    type Point = Point<W>;

    #[inline(always)]
    fn double(&self, rings: &Rings<W>, p: &Point<W>) -> Point<W> {
        rings.double(&self.a24, p)
    }

    #[inline(always)]
    fn add(&self, rings: &Rings<W>, p: &Point<W>, q: &Point<W>, difference: &Point<W>) -> Point<W> {
        rings.add_points(p, q, difference)
    }

    /// One inverse for all points (Montgomery, section 10.3.1).
    fn affine(&self, rings: &Rings<W>, points: &[Point<W>], affine: &mut Vec<Element<W>>) -> Option<Divisors> {
        let mut prefix = Vec::with_capacity(points.len());
        let mut product = rings.constant(1);
        for point in points {
            prefix.push(product);
            product = rings.mul(&product, &point[1]);
        }
        let mut inverse = match inverses(rings.moduli(), &rings.store(&product)) {
            Ok(inverses) => rings.load(&inverses),
            Err(divisors) => return Some(divisors),
        };
        let start = affine.len();
        for (point, prefix) in points.iter().zip(prefix).rev() {
            affine.push(rings.mul(&point[0], &rings.mul(&inverse, &prefix)));
            inverse = rings.mul(&inverse, &point[1]);
        }
        affine[start..].reverse();
        None
    }
}

/// The inverses of numbers modulo the moduli, or their common divisors if there is no inverse in some lane.
fn inverses(moduli: &[Natural; LANES], values: &[Natural; LANES]) -> Result<[Natural; LANES], Divisors> {
    let mut inverses = std::array::from_fn(|_| Natural::ZERO);
    let mut fails = false;
    for ((inverse, n), value) in inverses.iter_mut().zip(moduli).zip(values) {
        if let (Ok(value), Ok(n)) = (u64::try_from(value), u64::try_from(n)) {
            match inverse_of_word(value, n) {
                Some(word) => *inverse = Natural::from(word),
                None => {
                    fails = true;
                    break;
                }
            }
            continue;
        }
        if *value == Natural::ZERO {
            fails = true;
            break;
        }
        let (divisor, x, _) = value.gcd_ext(n);
        if divisor != Natural::ONE {
            fails = true;
            break;
        }
        *inverse = match x.into_parts() {
            (dashu_int::Sign::Positive, x) => x,
            (dashu_int::Sign::Negative, x) => n - x % n,
        };
    }
    if fails {
        return Err(Box::new(std::array::from_fn(|lane| (&values[lane]).gcd(&moduli[lane]))));
    }
    Ok(inverses)
}

/// `1 / a mod n`, by Euclid's algorithm.
fn inverse_of_word(a: u64, n: u64) -> Option<u64> {
    let (mut r0, mut r1) = (n, a);
    let (mut t0, mut t1) = (0i128, 1i128);
    while r1 != 0 {
        let quotient = r0 / r1;
        (r0, r1) = (r1, r0 - quotient * r1);
        (t0, t1) = (t1, t0 - i128::from(quotient) * t1);
    }
    (r0 == 1).then(|| t0.rem_euclid(i128::from(n)) as u64)
}

/// `V_k` of a Lucas sequence with `Q = 1`: the trace of a power, in the field of `p` or of `p^2` elements.
#[derive(Debug)]
struct Lucas<const W: usize> {
    two: Element<W>,
}

impl<const W: usize> Law<W> for Lucas<W> {
    type Point = Element<W>;

    #[inline(always)]
    fn double(&self, rings: &Rings<W>, p: &Element<W>) -> Element<W> {
        rings.minus(&rings.mul(p, p), &self.two)
    }

    #[inline(always)]
    fn add(&self, rings: &Rings<W>, p: &Element<W>, q: &Element<W>, difference: &Element<W>) -> Element<W> {
        rings.minus(&rings.mul(p, q), difference)
    }

    fn affine(&self, _: &Rings<W>, points: &[Element<W>], affine: &mut Vec<Element<W>>) -> Option<Divisors> {
        affine.extend_from_slice(points);
        None
    }
}

/// Giant steps whose points are made affine together.
const GIANTS: usize = 64;

/// Products of differences that grow side by side, so that one need not wait for another.
const STREAMS: usize = 4;

/// Eight searches in their stages.
#[derive(Debug)]
struct Search<const W: usize, L: Law<W>> {
    rings: Rings<W>,
    law: L,
    bounds: Arc<Bounds>,
    /// `None` once the search is finished.
    stage: Option<Stage<W, L>>,
}

#[derive(Debug)]
enum Stage<const W: usize, L: Law<W>> {
    /// A multiple of the point by the primes before this one, and by the powers of this one before the exponent.
    First {
        point: L::Point,
        next: usize,
    },
    Second(Box<Second<W, L>>),
}

#[derive(Debug)]
struct Second<const W: usize, L: Law<W>> {
    babies: Vec<Element<W>>,
    /// The step, the next giant point and the one before it.
    step: L::Point,
    giant: L::Point,
    before: L::Point,
    /// The row of the next giant point that is not yet made, of how many.
    row: usize,
    products: [Element<W>; STREAMS],
}

impl<const W: usize, L: Law<W>> Search<W, L> {
    fn new(rings: Rings<W>, law: L, bounds: Arc<Bounds>, point: L::Point) -> Self {
        Self {
            rings,
            law,
            bounds,
            stage: Some(Stage::First { point, next: 0 }),
        }
    }

    /// `k` times a point, for a `k` above 2.
    fn times(&self, point: &L::Point, k: u64, ratio: u8) -> L::Point {
        let (rings, law) = (&self.rings, &self.law);
        let (mut d, mut e) = start(k, ratio);
        let (mut a, mut b, mut c) = (law.double(rings, point), point.clone(), point.clone());
        while d != e {
            let rule;
            (rule, d, e) = Rule::next(d, e);
            match rule {
                Rule::Swap => std::mem::swap(&mut a, &mut b),
                Rule::Thirds => {
                    let sum = law.add(rings, &a, &b, &c);
                    let next = law.add(rings, &sum, &a, &b);
                    b = law.add(rings, &sum, &b, &a);
                    a = next;
                }
                Rule::HalfBoth => {
                    b = law.add(rings, &a, &b, &c);
                    a = law.double(rings, &a);
                }
                Rule::Less => {
                    let sum = law.add(rings, &a, &b, &c);
                    c = std::mem::replace(&mut b, sum);
                }
                Rule::Half => {
                    c = law.add(rings, &c, &a, &b);
                    a = law.double(rings, &a);
                }
                Rule::ThirdLess => {
                    let (twice, sum) = (law.double(rings, &a), law.add(rings, &a, &b, &c));
                    a = law.add(rings, &twice, &a, &a);
                    let next = law.add(rings, &twice, &sum, &c);
                    c = std::mem::replace(&mut b, next);
                }
                Rule::ThirdSum => {
                    let sum = law.add(rings, &a, &b, &c);
                    b = law.add(rings, &sum, &a, &b);
                    let twice = law.double(rings, &a);
                    a = law.add(rings, &twice, &a, &a);
                }
                Rule::ThirdDifference => {
                    let sum = law.add(rings, &a, &b, &c);
                    c = law.add(rings, &c, &a, &b);
                    b = sum;
                    let twice = law.double(rings, &a);
                    a = law.add(rings, &twice, &a, &a);
                }
                Rule::HalfOther => {
                    c = law.add(rings, &c, &b, &a);
                    b = law.double(rings, &b);
                }
            }
        }
        law.add(rings, &a, &b, &c)
    }

    /// `k` times a point by a ladder, and `k + 1` times.
    fn ladder(&self, point: &L::Point, k: u64) -> (L::Point, L::Point) {
        let (rings, law) = (&self.rings, &self.law);
        let (mut low, mut high) = (point.clone(), law.double(rings, point));
        for i in (0..u64::BITS - 1 - k.leading_zeros()).rev() {
            let sum = law.add(rings, &high, &low, point);
            if k >> i & 1 == 1 {
                (low, high) = (sum, law.double(rings, &high));
            } else {
                (low, high) = (law.double(rings, &low), sum);
            }
        }
        (low, high)
    }

    /// Multiplies by the powers of the next prime. True if that was the last.
    fn first_step(&self, point: &mut L::Point, next: &mut usize) -> bool {
        let limit = self.bounds.first;
        if *next == 0 {
            let mut power = 2;
            while power <= limit {
                *point = self.law.double(&self.rings, point);
                power *= 2;
            }
        }
        let Some(&(p, ratio)) = self.bounds.primes.get(*next) else {
            return true;
        };
        let p = u64::from(p);
        let mut power = p;
        while power <= limit {
            *point = self.times(point, p, ratio);
            power *= p;
        }
        *next += 1;
        *next == self.bounds.primes.len()
    }

    /// The points of the second stage that all pairs need.
    fn second(&self, point: &L::Point) -> Result<Box<Second<W, L>>, Divisors> {
        let (rings, law, bounds) = (&self.rings, &self.law, &self.bounds);
        let twice = law.double(rings, point);
        // Odd multiples: 1, 3, 5, ..
        let mut odd = vec![point.clone(), law.add(rings, &twice, point, point)];
        let last = *bounds.babies.last().expect("1 is coprime to everything") as usize;
        while 2 * odd.len() <= last {
            let [before, latest] = [&odd[odd.len() - 2], &odd[odd.len() - 1]];
            odd.push(law.add(rings, latest, &twice, before));
        }
        let points: Vec<L::Point> = bounds.babies.iter().map(|j| odd[*j as usize / 2].clone()).collect();
        let mut babies = Vec::with_capacity(points.len());
        if let Some(divisors) = law.affine(rings, &points, &mut babies) {
            return Err(divisors);
        }
        let (step, _) = self.ladder(point, bounds.d);
        let (before, giant) = match bounds.first_giant {
            0 | 1 => (step.clone(), self.law.double(rings, &step)),
            first => self.ladder(&step, first - 1),
        };
        let one = rings.constant(1);
        Ok(Box::new(Second {
            babies,
            step,
            giant,
            before,
            row: 0,
            products: [one; STREAMS],
        }))
    }

    /// The pairs of the next giant points. True if they were the last.
    fn second_step(&self, second: &mut Second<W, L>) -> Result<bool, Divisors> {
        let (rings, law, bounds) = (&self.rings, &self.law, &self.bounds);
        // Fewer of long numbers, so that it takes milliseconds.
        let count = (1024 / W).clamp(1, GIANTS);
        let rows = bounds.pairs.chunks_exact(bounds.words).skip(second.row).take(count);
        let mut giants = Vec::with_capacity(rows.len());
        for _ in 0..rows.len() {
            let next = law.add(rings, &second.giant, &second.step, &second.before);
            second.before = std::mem::replace(&mut second.giant, next);
            giants.push(second.before.clone());
        }
        let mut affine = Vec::with_capacity(giants.len());
        if let Some(divisors) = law.affine(rings, &giants, &mut affine) {
            return Err(divisors);
        }
        second.row += giants.len();
        let mut stream = 0;
        for (giant, row) in affine.iter().zip(rows) {
            for (word, babies) in row.iter().zip(second.babies.chunks(64)) {
                let mut bits = *word;
                while bits != 0 {
                    let baby = &babies[bits.trailing_zeros() as usize];
                    bits &= bits - 1;
                    let product = &mut second.products[stream % STREAMS];
                    rings.mul_difference(product, giant, baby);
                    stream += 1;
                }
            }
        }
        Ok(second.row * bounds.words == bounds.pairs.len())
    }

    fn divisors(&self, second: &Second<W, L>) -> Divisors {
        let [first, rest @ ..] = &second.products;
        let product = rest.iter().fold(*first, |product, next| self.rings.mul(&product, next));
        let values = self.rings.store(&product);
        Box::new(std::array::from_fn(|lane| {
            (&values[lane]).gcd(&self.rings.moduli()[lane])
        }))
    }
}

impl<const W: usize, L: Law<W>> Batch for Search<W, L> {
    fn progress(&self) -> f64 {
        let share = |done: usize, all: usize| done as f64 / all.max(1) as f64;
        // The second stage takes about half of the time.
        match &self.stage {
            Some(Stage::First { next, .. }) => 0.5 * share(*next, self.bounds.primes.len()),
            Some(Stage::Second(second)) => 0.5 + 0.5 * share(second.row * self.bounds.words, self.bounds.pairs.len()),
            None => 1.0,
        }
    }

    fn advance(&mut self, over: &mut dyn FnMut() -> bool) -> Option<Divisors> {
        // A question for every few hundred multiplications of a few words; long numbers are asked about after every
        // prime.
        let patience = (64 / (W * W)).max(1);
        let mut steps = 0;
        loop {
            match self.stage.take()? {
                Stage::First { mut point, mut next } => {
                    let is_last = self.first_step(&mut point, &mut next);
                    self.stage = Some(if is_last {
                        match self.second(&point) {
                            Ok(second) => Stage::Second(second),
                            Err(divisors) => return Some(divisors),
                        }
                    } else {
                        Stage::First { point, next }
                    });
                }
                Stage::Second(mut second) => match self.second_step(&mut second) {
                    Err(divisors) => return Some(divisors),
                    Ok(true) => return Some(self.divisors(&second)),
                    Ok(false) => {
                        self.stage = Some(Stage::Second(second));
                        // That was thousands of multiplications.
                        steps = patience - 1;
                    }
                },
            }
            steps += 1;
            if steps >= patience {
                steps = 0;
                if over() {
                    return None;
                }
            }
        }
    }
}

/// Searches on eight curves (H. Suyama's, with a group order that is a multiple of 12), one modulo each number, by
/// their parameters above 5. A divisor if one is seen at once.
fn curves<const W: usize>(
    n: [Natural; LANES],
    parameters: [u32; LANES],
    bounds: Arc<Bounds>,
) -> Result<Box<dyn Batch>, Divisors> {
    let rings = Rings::<W>::new(n);
    let sigma = rings.load(&parameters.map(Natural::from));
    let constant = |k: u32| rings.constant(k);
    let u = rings.sub(&rings.mul(&sigma, &sigma), &constant(5));
    // Products again, below 2 n.
    let u = rings.mul(&u, &constant(1));
    let v = rings.mul(&sigma, &constant(4));
    let cube = |a: &Element<W>| rings.mul(&rings.mul(a, a), a);
    let (x, z) = (cube(&u), cube(&v));
    // (a + 2) / 4 = (v - u)^3 (3 u + v) / (16 u^3 v)
    let sum = rings.add(&rings.mul(&u, &constant(3)), &v);
    let numerator = rings.mul(&cube(&rings.sub(&v, &u)), &sum);
    let denominator = rings.mul(&rings.mul(&x, &v), &constant(16));
    let inverse = rings.load(&inverses(rings.moduli(), &rings.store(&denominator))?);
    let law = Montgomery {
        a24: rings.mul(&numerator, &inverse),
    };
    Ok(Box::new(Search::new(rings, law, bounds, [x, z])))
}

/// Eight Lucas sequences modulo `n`: each has a chance of a half to look at `p - 1`, and at `p + 1` if not.
fn sequences<const W: usize>(n: &Natural, bounds: Arc<Bounds>) -> Box<dyn Batch> {
    let rings = Rings::<W>::new(std::array::from_fn(|_| n.clone()));
    let law = Lucas { two: rings.constant(2) };
    let start = rings.load(&std::array::from_fn(|lane| Natural::from(lane as u32 + 3)));
    Box::new(Search::new(rings, law, bounds, start))
}

/// Calls a function with the number of words that residues modulo a number of this length have, rounded up to one of
/// those there is code for.
macro_rules! with_words {
    ($bits:expr, $function:ident $arguments:tt, $($words:literal)*) => {
        match words_for($bits) {
            $(..=$words => Some($function::<$words> $arguments),)*
            _ => None,
        }
    };
    ($bits:expr, $function:ident $arguments:tt) => {
        with_words!($bits, $function $arguments, 2 3 4 5 6 7 8 10 12 16 24 64 128 256 640)
    };
}

/// Numbers of more bits are long: their searches have fewer points in memory.
pub(crate) const LONG: usize = 24 * 52 - 6;

/// The longest number that is searched.
pub(crate) const LONGEST: usize = 640 * 52 - 6;

/// Searches for factors of an odd number, or of eight numbers of about the same size, on one curve each. A divisor if
/// one is seen at once.
///
/// # Panics
/// If a number has more than [`LONGEST`] bits.
pub(crate) fn on_curves(
    n: [Natural; LANES],
    parameters: [u32; LANES],
    bounds: Arc<Bounds>,
) -> Result<Box<dyn Batch>, Divisors> {
    let bits = n.iter().map(BitTest::bit_len).max().unwrap_or(0);
    with_words!(bits, curves(n, parameters, bounds)).expect("n has at most LONGEST bits")
}

/// Searches for a factor `p` of an odd number with a smooth `p - 1` or `p + 1`.
///
/// # Panics
/// If the number has more than [`LONGEST`] bits.
pub(crate) fn on_sequences(n: &Natural, bounds: Arc<Bounds>) -> Box<dyn Batch> {
    with_words!(n.bit_len(), sequences(n, bounds)).expect("n has at most LONGEST bits")
}

/// Bytes that a batch with this second bound takes at most, for a number of `bits` bits.
pub(crate) fn bytes(bits: usize, second: u64) -> u64 {
    let words = match words_for(bits) {
        0..=24 => 24,
        25..=64 => 64,
        65..=128 => 128,
        129..=256 => 256,
        _ => 640,
    };
    // Odd multiples as points while babies are made, and babies as points and affine; giants twice.
    let babies = if bits > LONG || second < 400_000 { 210 } else { 2310 };
    (words * LANES * 8) as u64 * (2 * babies + 4 * GIANTS as u64 + 100)
}

/// The proper divisor among those of a batch, if there is one.
pub(crate) fn proper(n: &Natural, divisors: &Divisors) -> Option<Natural> {
    let is_proper = |divisor: &&Natural| **divisor > Natural::ONE && **divisor < *n;
    divisors.iter().find(is_proper).cloned()
}
