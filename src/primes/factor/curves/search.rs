//! Eight searches in their stages, which pause where they are asked to: where residues are long, after a few additions.
//!
//! Knows neither curves nor sequences, only a [`Law`].

use super::bounds::{Bounds, Rule, start};
use super::law::Law;
use super::ring::Ring;
use super::{Batch, Divisors};
use dashu_int::ops::Gcd;
use std::sync::Arc;

/// Giant steps whose points are made affine together, of short residues.
pub(super) const GIANTS: usize = 64;

/// Products of differences that grow side by side, so that one need not wait for another.
const STREAMS: usize = 4;

/// Asked whether the search is to pause.
type Over<'a> = &'a mut dyn FnMut() -> bool;

/// Eight searches.
#[derive(Debug)]
pub(super) struct Search<R: Ring, L: Law<R>> {
    rings: R,
    law: L,
    bounds: Arc<Bounds>,
    /// `None` once the search is finished.
    stage: Option<Stage<R, L>>,
}

#[derive(Debug)]
enum Stage<R: Ring, L: Law<R>> {
    First(First<L::Point>),
    Points(Box<Points<R, L>>),
    Second(Box<Second<R, L>>),
}

/// A multiple of the point by all powers of 2 and of primes before the next one, and by one of its powers.
#[derive(Debug)]
struct First<P> {
    point: P,
    /// 0 is for 2, 1 for the first of the odd primes.
    next: usize,
    power: u64,
    /// A multiple by that prime on its way.
    chain: Option<Chain<P>>,
}

/// The points that all pairs of the second stage need, as far as they are made.
#[derive(Debug)]
struct Points<R: Ring, L: Law<R>> {
    point: L::Point,
    twice: L::Point,
    /// Odd multiples: 1, 3, 5, ..
    odd: Vec<L::Point>,
    babies: Vec<R::Element>,
    step: Option<L::Point>,
    /// The step, and then the giant points, on their way.
    ladder: Option<Ladder<L::Point>>,
}

#[derive(Debug)]
struct Second<R: Ring, L: Law<R>> {
    babies: Vec<R::Element>,
    /// The step, the next giant point and the one before it.
    step: L::Point,
    giant: L::Point,
    before: L::Point,
    /// The giant points of the next rows, the last one first, made affine.
    giants: Vec<R::Element>,
    /// The next row of pairs.
    row: usize,
    /// Where to go on in that row: a word, and the babies before this one in it are done.
    place: (usize, u32),
    products: [R::Element; STREAMS],
}

/// `k` times a point on its way by an addition chain: `d A + e B`, `C = A - B`.
#[derive(Debug)]
struct Chain<P> {
    d: u64,
    e: u64,
    a: P,
    b: P,
    c: P,
}

impl<P: Clone> Chain<P> {
    /// Begins with a doubling; `k` is above 2.
    #[inline(always)]
    fn new<R: Ring, L: Law<R, Point = P>>(rings: &R, law: &L, point: &P, k: u64, ratio: u8) -> Self {
        let (d, e) = start(k, ratio);
        Self {
            d,
            e,
            a: law.double(rings, point),
            b: point.clone(),
            c: point.clone(),
        }
    }

    #[inline(always)]
    const fn is_over(&self) -> bool {
        self.d == self.e
    }

    #[inline(always)]
    fn step<R: Ring, L: Law<R, Point = P>>(&mut self, rings: &R, law: &L) {
        let Self { d, e, a, b, c } = self;
        let rule;
        (rule, *d, *e) = Rule::next(*d, *e);
        match rule {
            Rule::Swap => std::mem::swap(a, b),
            Rule::Thirds => {
                let sum = law.add(rings, a, b, c);
                let next = law.add(rings, &sum, a, b);
                *b = law.add(rings, &sum, b, a);
                *a = next;
            }
            Rule::HalfBoth => {
                *b = law.add(rings, a, b, c);
                *a = law.double(rings, a);
            }
            Rule::Less => {
                let sum = law.add(rings, a, b, c);
                *c = std::mem::replace(b, sum);
            }
            Rule::Half => {
                *c = law.add(rings, c, a, b);
                *a = law.double(rings, a);
            }
            Rule::ThirdLess => {
                let (twice, sum) = (law.double(rings, a), law.add(rings, a, b, c));
                *a = law.add(rings, &twice, a, a);
                let next = law.add(rings, &twice, &sum, c);
                *c = std::mem::replace(b, next);
            }
            Rule::ThirdSum => {
                let sum = law.add(rings, a, b, c);
                *b = law.add(rings, &sum, a, b);
                let twice = law.double(rings, a);
                *a = law.add(rings, &twice, a, a);
            }
            Rule::ThirdDifference => {
                let sum = law.add(rings, a, b, c);
                *c = law.add(rings, c, a, b);
                *b = sum;
                let twice = law.double(rings, a);
                *a = law.add(rings, &twice, a, a);
            }
            Rule::HalfOther => {
                *c = law.add(rings, c, b, a);
                *b = law.double(rings, b);
            }
        }
    }

    /// The multiple, once the chain is over.
    #[inline(always)]
    fn finish<R: Ring, L: Law<R, Point = P>>(&self, rings: &R, law: &L) -> P {
        law.add(rings, &self.a, &self.b, &self.c)
    }
}

/// `k` times a point on its way, and `k + 1` times.
#[derive(Debug)]
struct Ladder<P> {
    point: P,
    k: u64,
    /// Bits of `k` that are left.
    bits: u32,
    low: P,
    high: P,
}

impl<P: Clone> Ladder<P> {
    fn new<R: Ring, L: Law<R, Point = P>>(rings: &R, law: &L, point: &P, k: u64) -> Self {
        Self {
            k,
            bits: u64::BITS - 1 - k.leading_zeros(),
            low: point.clone(),
            high: law.double(rings, point),
            point: point.clone(),
        }
    }

    /// Takes in the next bit. False if none is left.
    fn step<R: Ring, L: Law<R, Point = P>>(&mut self, rings: &R, law: &L) -> bool {
        let Some(bits) = self.bits.checked_sub(1) else {
            return false;
        };
        self.bits = bits;
        let sum = law.add(rings, &self.high, &self.low, &self.point);
        if self.k >> bits & 1 == 1 {
            (self.low, self.high) = (sum, law.double(rings, &self.high));
        } else {
            (self.low, self.high) = (law.double(rings, &self.low), sum);
        }
        true
    }
}

impl<R: Ring, L: Law<R>> Search<R, L> {
    /// Additions or rows of short residues between two questions: a few hundred multiplications.
    const PATIENCE: usize = match 64 / (R::WORDS * R::WORDS) {
        0 => 1,
        additions => additions,
    };

    /// Points that are made affine together: they share an inverse, which costs as much as some of them.
    const LOT: usize = match 512 / R::WORDS {
        0 => 1,
        GIANTS.. => GIANTS,
        points if R::IS_LONG => points.div_ceil(2),
        points => points,
    };

    pub(super) fn new(rings: R, law: L, bounds: Arc<Bounds>, point: L::Point) -> Self {
        Self {
            rings,
            law,
            bounds,
            stage: Some(Stage::First(First {
                point,
                next: 0,
                power: 1,
                chain: None,
            })),
        }
    }

    /// Multiplies by the powers of the next prime. False if that is not finished: long residues are paused in between.
    fn first_step(&self, first: &mut First<L::Point>, over: Over<'_>) -> bool {
        let (rings, law) = (&self.rings, &self.law);
        let odd = first
            .next
            .checked_sub(1)
            .and_then(|index| self.bounds.primes.get(index));
        let p = odd.map_or(2, |(p, _)| u64::from(*p));
        while first.power * p <= self.bounds.first {
            match odd {
                None => first.point = law.double(rings, &first.point),
                Some((_, ratio)) if R::IS_LONG => {
                    let chain = first.chain.take();
                    let mut chain = chain.unwrap_or_else(|| Chain::new(rings, law, &first.point, p, *ratio));
                    while !chain.is_over() {
                        chain.step(rings, law);
                        if over() {
                            first.chain = Some(chain);
                            return false;
                        }
                    }
                    first.point = chain.finish(rings, law);
                }
                Some((_, ratio)) => {
                    let mut chain = Chain::new(rings, law, &first.point, p, *ratio);
                    while !chain.is_over() {
                        chain.step(rings, law);
                    }
                    first.point = chain.finish(rings, law);
                }
            }
            first.power *= p;
            if R::IS_LONG && over() {
                return false;
            }
        }
        first.next += 1;
        first.power = 1;
        true
    }

    fn points(&self, point: L::Point) -> Box<Points<R, L>> {
        let twice = self.law.double(&self.rings, &point);
        let thrice = self.law.add(&self.rings, &twice, &point, &point);
        Box::new(Points {
            odd: vec![point.clone(), thrice],
            twice,
            point,
            babies: Vec::with_capacity(self.bounds.babies.len()),
            step: None,
            ladder: None,
        })
    }

    /// Makes the points of the second stage. `None` if it is to pause before they are made.
    fn make_points(&self, points: &mut Points<R, L>, over: Over<'_>) -> Result<Option<Box<Second<R, L>>>, Divisors> {
        let (rings, law, bounds) = (&self.rings, &self.law, &self.bounds);
        let last = *bounds.babies.last().expect("1 is coprime to everything") as usize;
        while 2 * points.odd.len() <= last {
            let [.., before, latest] = points.odd.as_slice() else {
                unreachable!("there are two from the beginning");
            };
            let next = law.add(rings, latest, &points.twice, before);
            points.odd.push(next);
            if points.odd.len().is_multiple_of(Self::PATIENCE) && over() {
                return Ok(None);
            }
        }
        while points.babies.len() < bounds.babies.len() {
            let rest = bounds.babies.iter().skip(points.babies.len()).take(Self::LOT);
            let lot: Vec<L::Point> = rest.map(|j| points.odd[*j as usize / 2].clone()).collect();
            if let Some(divisors) = law.affine(rings, &lot, &mut points.babies) {
                return Err(divisors);
            }
            if over() {
                return Ok(None);
            }
        }
        let mut climb = |ladder: &mut Ladder<L::Point>| {
            while ladder.step(rings, law) {
                if R::IS_LONG && over() {
                    return false;
                }
            }
            true
        };
        let step = match &points.step {
            Some(step) => step,
            None => {
                let new = || Ladder::new(rings, law, &points.point, bounds.d);
                let mut ladder = points.ladder.take().unwrap_or_else(new);
                if !climb(&mut ladder) {
                    points.ladder = Some(ladder);
                    return Ok(None);
                }
                points.step.insert(ladder.low)
            }
        };
        let (before, giant) = match bounds.first_giant {
            0 | 1 => (step.clone(), law.double(rings, step)),
            first => {
                let mut ladder = points
                    .ladder
                    .take()
                    .unwrap_or_else(|| Ladder::new(rings, law, step, first - 1));
                if !climb(&mut ladder) {
                    points.ladder = Some(ladder);
                    return Ok(None);
                }
                (ladder.low, ladder.high)
            }
        };
        let one = rings.constant(1);
        Ok(Some(Box::new(Second {
            babies: std::mem::take(&mut points.babies),
            step: step.clone(),
            giant,
            before,
            giants: Vec::new(),
            row: 0,
            place: (0, 0),
            products: std::array::from_fn(|_| one.clone()),
        })))
    }

    /// The next giant points.
    fn make_giants(&self, second: &mut Second<R, L>, count: usize) -> Result<(), Divisors> {
        let (rings, law) = (&self.rings, &self.law);
        let mut lot = Vec::with_capacity(count);
        for _ in 0..count {
            let next = law.add(rings, &second.giant, &second.step, &second.before);
            second.before = std::mem::replace(&mut second.giant, next);
            lot.push(second.before.clone());
        }
        match law.affine(rings, &lot, &mut second.giants) {
            Some(divisors) => Err(divisors),
            None => {
                second.giants.reverse();
                Ok(())
            }
        }
    }

    /// Goes through the pairs. False if it is to pause before the last.
    fn pair(&self, second: &mut Second<R, L>, over: Over<'_>) -> Result<bool, Divisors> {
        let rows = self.bounds.pairs.len() / self.bounds.words;
        let mut stream = 0;
        while second.row < rows {
            if second.giants.is_empty() {
                self.make_giants(second, Self::LOT.min(rows - second.row))?;
                if over() {
                    return Ok(false);
                }
            }
            let Some(giant) = second.giants.last() else {
                unreachable!("some were made");
            };
            let row = &self.bounds.pairs[second.row * self.bounds.words..][..self.bounds.words];
            let (word, baby) = second.place;
            for (at, (bits, babies)) in row.iter().zip(second.babies.chunks(64)).enumerate().skip(word) {
                let first = if at == word { baby } else { 0 };
                let mut bits = bits.unbounded_shr(first).unbounded_shl(first);
                while bits != 0 {
                    let bit = bits.trailing_zeros();
                    bits &= bits - 1;
                    let product = &mut second.products[stream % STREAMS];
                    self.rings.mul_difference(product, giant, &babies[bit as usize]);
                    stream += 1;
                    if R::IS_LONG && over() {
                        second.place = (at, bit + 1);
                        return Ok(false);
                    }
                }
            }
            second.place = (0, 0);
            second.giants.pop();
            second.row += 1;
            if second.row.is_multiple_of(Self::PATIENCE) && over() {
                return Ok(second.row == rows);
            }
        }
        Ok(true)
    }

    fn divisors(&self, second: &Second<R, L>) -> Divisors {
        let [first, rest @ ..] = &second.products;
        let product = rest
            .iter()
            .fold(first.clone(), |product, next| self.rings.mul(&product, next));
        let values = self.rings.store(&product);
        Box::new(std::array::from_fn(|lane: usize| {
            (&values[lane]).gcd(&self.rings.moduli()[lane])
        }))
    }

    /// Goes on with a stage: to itself and false where it is to pause, to the next one and true, or to the end of the
    /// search.
    fn go_on(&self, stage: Stage<R, L>, over: Over<'_>) -> Result<(Stage<R, L>, bool), Divisors> {
        match stage {
            Stage::First(mut first) => {
                let mut steps = 0;
                while first.next <= self.bounds.primes.len() {
                    let is_finished = self.first_step(&mut first, over);
                    steps += 1;
                    if !is_finished || steps % Self::PATIENCE == 0 && over() {
                        return Ok((Stage::First(first), false));
                    }
                }
                Ok((Stage::Points(self.points(first.point)), true))
            }
            Stage::Points(mut points) => Ok(match self.make_points(&mut points, over)? {
                Some(second) => (Stage::Second(second), true),
                None => (Stage::Points(points), false),
            }),
            Stage::Second(mut second) => match self.pair(&mut second, over)? {
                true => Err(self.divisors(&second)),
                false => Ok((Stage::Second(second), false)),
            },
        }
    }
}

impl<R: Ring, L: Law<R>> Batch for Search<R, L> {
    fn progress(&self) -> f64 {
        let share = |done: usize, all: usize| done as f64 / all.max(1) as f64;
        // The second stage takes about half of the time.
        match &self.stage {
            Some(Stage::First(first)) => 0.5 * share(first.next, self.bounds.primes.len() + 1),
            Some(Stage::Points(_)) => 0.5,
            Some(Stage::Second(second)) => 0.5 + 0.5 * share(second.row * self.bounds.words, self.bounds.pairs.len()),
            None => 1.0,
        }
    }

    fn advance(&mut self, over: &mut dyn FnMut() -> bool) -> Option<Divisors> {
        loop {
            let stage = self.stage.take()?;
            match self.go_on(stage, over) {
                Err(divisors) => return Some(divisors),
                Ok((stage, goes_on)) => {
                    self.stage = Some(stage);
                    if !goes_on {
                        return None;
                    }
                }
            }
        }
    }
}
