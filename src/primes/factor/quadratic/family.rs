//! A family of polynomials with one leading coefficient: sieved one after the other for relations.
//!
//! Knows nothing of other families. Start at [`Choice::next`] and [`Family::advance`].

use super::base::{BLOCK, Base, GROUP, SPECIAL};
use super::kernels::{self, Buckets, Bytes, Instructions, MOST_PRIMES, Setup, Stretch, Zeros, inverse};
use super::wide::Wide;
use crate::primes::factor::word;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// A value all of whose factors are known: `(a x + b)^2 = product of the columns' primes * large[0] * large[1] mod n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Which polynomial and which `x`: the family, the ordinal of the polynomial in it, and the offset of `x`.
    pub(super) family: u32,
    pub(super) polynomial: u32,
    pub(super) offset: u32,
    /// The primes beyond the base, ascending, or 1.
    pub(super) large: [u32; 2],
    /// The columns of the other prime factors, ascending, with repetition.
    pub(super) columns: Vec<u32>,
}

impl Relation {
    /// Which polynomial it is of: the family, and the ordinal of the polynomial in it.
    pub(crate) const fn polynomial(&self) -> (u32, u32) {
        (self.family, self.polynomial)
    }

    /// Whether its numbers are below what they count.
    pub(super) fn is_within(&self, base: &Base) -> bool {
        let columns = base.columns() as u32;
        (self.offset as usize) < base.length()
            && self.large.iter().all(|large| (1..base.large_limit).contains(large))
            && self.columns.iter().all(|column| *column < columns)
    }

    /// Whether it holds, in the last 128 bits of both sides. Some 200 ns.
    pub(super) fn holds(&self, base: &Base, coefficients: &Coefficients) -> bool {
        let root = coefficients.root(&coefficients.b(self.polynomial), self.offset);
        let value = root.mul(&root).sub(&base.multiple).low();
        let mut product = self
            .large
            .iter()
            .fold(1u128, |product, p| product.wrapping_mul((*p).into()));
        for column in &self.columns {
            product = match column {
                0 => product.wrapping_neg(),
                column => product.wrapping_mul(base.prime_of(*column as usize).into()),
            };
        }
        value == product
    }
}

/// Chooses leading coefficients: products of primes of the base close to `sqrt(2 k n)` by half the sieve's length, no
/// two the same.
#[derive(Debug)]
pub(crate) struct Choice {
    base: Arc<Base>,
    target: f64,
    /// How many primes a coefficient has.
    factors: usize,
    /// The part of the base they come from.
    pool: Range<usize>,
    /// All that were chosen, in order.
    chosen: Vec<Vec<u32>>,
    seen: HashSet<Vec<u32>>,
    random: u64,
}

/// The most primes of a coefficient.
pub(crate) const MOST_FACTORS: usize = 20;

/// Coefficients of long numbers are made of primes about this large: small ones take themselves out of the sieving,
/// large ones leave few polynomials to a coefficient.
const MEAN_FACTOR: f64 = 2000.0;

impl Choice {
    /// Begins, or goes on after these have been chosen.
    pub(crate) fn resume(base: Arc<Base>, chosen: Vec<Vec<u32>>) -> Self {
        let target = ((base.log_multiple + 1.0) / 2.0).exp2() / (base.length() / 2) as f64;
        let largest = f64::from(base.primes[base.primes.len() - 1]);
        let most = (largest / 2.5).min(MEAN_FACTOR);
        let mut factors = 2;
        while target.powf(1.0 / factors as f64) > most {
            factors += 1;
        }
        let mean = target.powf(1.0 / factors as f64);
        let middle = base.primes.partition_point(|p| f64::from(*p) < mean);
        let width = (base.primes.len() / 5).clamp(8, 60);
        let low = middle.saturating_sub(width).max(2);
        let pool = low..(middle + width).min(base.primes.len()).max(low + 2);
        Self {
            base,
            target,
            factors,
            pool,
            seen: chosen.iter().cloned().collect(),
            random: 0x9e37_79b9_7f4a_7c15 ^ (chosen.len() as u64) << 32,
            chosen,
        }
    }

    /// The choices so far, in order.
    pub(crate) fn chosen(&self) -> &[Vec<u32>] {
        &self.chosen
    }

    /// The next family. `None` if no other coefficient is near: then the number is too small for this method. Some
    /// microseconds.
    pub(crate) fn next(&mut self) -> Option<Family> {
        let mut best: Option<(f64, Vec<u32>)> = None;
        // More tries the more coefficients of good size are taken already.
        for attempt in 0..400 {
            let Some((error, indices)) = self.attempt() else {
                continue;
            };
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, indices));
            }
            if attempt >= 7 && best.is_some() {
                break;
            }
        }
        let (_, indices) = best?;
        let id = self.chosen.len() as u32;
        self.seen.insert(indices.clone());
        self.chosen.push(indices.clone());
        let polynomials = 0..polynomials(&indices);
        Some(Family {
            base: Arc::clone(&self.base),
            id,
            indices,
            polynomials,
            started: None,
        })
    }

    /// Random primes but for the last, which is the one that brings the product closest to the target.
    fn attempt(&mut self) -> Option<(f64, Vec<u32>)> {
        let primes = &self.base.primes;
        let mut indices = Vec::with_capacity(self.factors);
        let mut left = self.target;
        while indices.len() + 1 < self.factors {
            // Xorshift (G. Marsaglia, 2003).
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let index = self.pool.start + (self.random % self.pool.len() as u64) as usize;
            if !indices.contains(&(index as u32)) {
                indices.push(index as u32);
                left /= f64::from(primes[index]);
            }
        }
        let last = primes.partition_point(|p| f64::from(*p) < left);
        let reach = 2..primes.len().min(self.base.first_large);
        let last = [last, last.saturating_sub(1)]
            .into_iter()
            .find(|i| reach.contains(i) && !indices.contains(&(*i as u32)))?;
        indices.push(last as u32);
        indices.sort_unstable();
        let error = (f64::from(primes[last]) / left).ln().abs();
        (error < 1.5 && !self.seen.contains(&indices)).then_some((error, indices))
    }
}

/// The coefficients of a family's polynomials `a x + b`, whose square less `k n` is a multiple of `a`.
#[derive(Debug)]
pub(super) struct Coefficients {
    pub(super) a: Wide,
    /// Changing the sign of a summand `B` of `b` gives another polynomial.
    summands: Vec<Wide>,
    setup: Setup,
}

impl Coefficients {
    pub(super) fn new(base: &Base, indices: &[u32]) -> Self {
        let factors: Vec<u32> = indices.iter().map(|i| base.primes[*i as usize]).collect();
        let product = |skipped: usize| {
            let others = factors.iter().enumerate().filter(|(i, _)| *i != skipped);
            others.fold(Wide::of(1), |product, (_, q)| product.mul(&Wide::of((*q).into())))
        };
        // B = (a / q) gamma, gamma = root (a / q)^-1 mod q: its square is k n modulo q and 0 modulo the others.
        let (mut summands, mut gammas) = (Vec::new(), Vec::new());
        for (i, q) in factors.iter().enumerate() {
            let (cofactor, modulus) = (product(i), u64::from(*q));
            let root = u64::from(base.roots[indices[i] as usize]);
            let gamma = root * inverse(cofactor.div_rem(*q).1.into(), modulus) % modulus;
            summands.push(cofactor.mul(&Wide::of(gamma)));
            gammas.push(gamma as u32);
        }
        Self {
            a: product(factors.len()),
            summands,
            setup: Setup {
                factors,
                gammas,
                half: (base.length() / 2) as u32,
            },
        }
    }

    /// `b` of the polynomial with this ordinal: in the order of a Gray code (Contini, section 3.2), a set bit is a
    /// changed sign.
    pub(super) fn b(&self, polynomial: u32) -> Wide {
        let code = polynomial ^ polynomial >> 1;
        let signed = self.summands.iter().enumerate();
        signed.fold(Wide::ZERO, |sum, (j, summand)| {
            if code >> j & 1 == 1 {
                sum.sub(summand)
            } else {
                sum.add(summand)
            }
        })
    }

    /// `a x + b`
    pub(super) fn root(&self, b: &Wide, offset: u32) -> Wide {
        let x = Wide::signed(i64::from(offset) - i64::from(self.setup.half));
        self.a.mul(&x).add(b)
    }
}

/// How many polynomials a coefficient of these primes has: the last sign never changes, since `-b` gives the mirror
/// images.
pub(super) fn polynomials(indices: &[u32]) -> u32 {
    1 << (indices.len() - 1)
}

/// Polynomials of one leading coefficient that are still to be sieved.
#[derive(Debug)]
pub(crate) struct Family {
    base: Arc<Base>,
    pub(super) id: u32,
    /// Which primes of the base make up the coefficient.
    pub(super) indices: Vec<u32>,
    /// The ordinals of the polynomials.
    pub(super) polynomials: Range<u32>,
    started: Option<Box<Started>>,
}

/// A family whose sieve is set up.
#[derive(Debug)]
struct Started {
    instructions: Instructions,
    coefficients: Coefficients,
    a_inverse: Wide,
    b: Wide,
    zeros: Zeros,
    /// Logarithms of the primes that are sieved block by block; 0 of those in the coefficient, which have one zero or
    /// none.
    logs: Vec<u8>,
    /// The next hits of these.
    first: Vec<u32>,
    second: Vec<u32>,
    stretches: Vec<Stretch>,
    buckets: Buckets,
    /// The ordinal of the polynomial.
    polynomial: u32,
    bytes: Box<Bytes>,
    limits: Limits,
    marked: Vec<u32>,
    hits: Vec<u32>,
}

/// What is worth a closer look.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// What a byte starts from: those that reach 128 are looked at.
    start: u8,
    /// Bits that may be missing from a value besides the primes that were not sieved by.
    missing: u32,
}

/// Bits that the primes not sieved by have in a value that is worth a look. Found by timing.
fn slack_bits(base: &Base) -> f64 {
    if base.primes[base.first_sieved] < 64 {
        6.0
    } else if base.has_two_large() {
        12.0
    } else {
        (14.0 + (base.log_multiple - 165.0) / 16.0).clamp(13.0, 18.0)
    }
}

impl Limits {
    fn new(base: &Base) -> Self {
        let size = base.log_multiple / 2.0 - 0.5 + ((base.length() / 2) as f64).log2();
        let left = if base.has_two_large() {
            base.two_large.1 as f64
        } else {
            f64::from(base.large_limit)
        };
        let missing = left.log2();
        Self {
            start: 128 - (size - missing - slack_bits(base)).clamp(1.0, 127.0) as u8,
            missing: missing as u32 + 2,
        }
    }
}

impl Family {
    /// These polynomials of a family. `None` if the base has no such family.
    pub(super) fn new(base: Arc<Base>, id: u32, indices: Vec<u32>, polynomials: Range<u32>) -> Option<Self> {
        let is_ascending = indices.is_sorted_by(|a, b| a < b);
        let end = base.primes.len().min(base.first_large);
        let is_within = indices.last().is_some_and(|last| (*last as usize) < end);
        (is_ascending && is_within).then_some(Self {
            base,
            id,
            indices,
            polynomials,
            started: None,
        })
    }

    /// How many polynomials are left.
    pub(crate) const fn left(&self) -> u32 {
        self.polynomials.end - self.polynomials.start
    }

    /// Cuts off the next `count` polynomials, if there are more.
    pub(super) fn split(&mut self, count: u32) -> Option<Self> {
        let middle = self.polynomials.start.checked_add(count)?;
        if self.started.is_some() || middle >= self.polynomials.end {
            return None;
        }
        let polynomials = self.polynomials.start..middle;
        self.polynomials.start = middle;
        Some(Self {
            base: Arc::clone(&self.base),
            id: self.id,
            indices: self.indices.clone(),
            polynomials,
            started: None,
        })
    }

    /// Whether nothing of it has been sieved.
    pub(super) const fn is_fresh(&self) -> bool {
        self.started.is_none()
    }

    /// Sieves polynomial after polynomial until none are left or `over`, asked after each (some 20 to 400
    /// microseconds). True if none are left.
    pub(crate) fn advance(&mut self, found: &mut Vec<Relation>, mut over: impl FnMut() -> bool) -> bool {
        let base = Arc::clone(&self.base);
        let mut started = match self.started.take() {
            Some(mut started) => {
                started.next_polynomial(&base, &self.indices);
                started
            }
            None => Box::new(Started::new(&base, &self.indices, self.polynomials.start)),
        };
        loop {
            started.sieve(&base, self.id, &self.indices, found);
            self.polynomials.start += 1;
            if self.polynomials.is_empty() {
                return true;
            }
            if over() {
                self.started = Some(started);
                return false;
            }
            started.next_polynomial(&base, &self.indices);
        }
    }
}

impl Started {
    /// Sets up the polynomial with this ordinal.
    fn new(base: &Base, indices: &[u32], polynomial: u32) -> Self {
        let instructions = Instructions::best();
        let coefficients = Coefficients::new(base, indices);
        let mut zeros = Zeros::new(instructions, &coefficients.setup, &base.padded, &base.roots);
        let code = polynomial ^ polynomial >> 1;
        for row in zeros
            .moves
            .iter()
            .enumerate()
            .filter(|(j, _)| code >> j & 1 == 1)
            .map(|(_, row)| row)
        {
            kernels::advance(
                instructions,
                &base.padded,
                &mut zeros.first,
                &mut zeros.second,
                row,
                true,
            );
        }
        if code != 0 {
            zeros.hide(indices);
        }
        let stretches = stretches(base);
        let mut buckets = Buckets::new(base.blocks, bucket_room(base));
        fill(instructions, base, &stretches, &mut buckets, &mut zeros, None);
        let mut logs = base.logs[..base.primes.len().min(base.first_large)].to_vec();
        for i in indices {
            logs[*i as usize] = 0;
        }
        let count = logs.len();
        Self {
            instructions,
            a_inverse: coefficients.a.inverse(),
            b: coefficients.b(polynomial),
            coefficients,
            zeros,
            logs,
            first: vec![0; count],
            second: vec![0; count],
            stretches,
            buckets,
            polynomial,
            bytes: Box::new([0; 1 << 16]),
            limits: Limits::new(base),
            marked: Vec::new(),
            hits: Vec::new(),
        }
    }

    /// The next `b`: one summand changes its sign.
    fn next_polynomial(&mut self, base: &Base, indices: &[u32]) {
        self.polynomial += 1;
        let which = self.polynomial.trailing_zeros() as usize;
        self.b = self.coefficients.b(self.polynomial);
        // A summand that becomes negative moves x = (+-root - b) / a forwards.
        let code = self.polynomial ^ self.polynomial >> 1;
        let forwards = code >> which & 1 == 1;
        fill(
            self.instructions,
            base,
            &self.stretches,
            &mut self.buckets,
            &mut self.zeros,
            Some((which, forwards)),
        );
        self.zeros.hide(indices);
    }

    fn sieve(&mut self, base: &Base, id: u32, indices: &[u32], found: &mut Vec<Relation>) {
        let count = self.logs.len();
        for (next, zeros) in [
            (&mut self.first, &self.zeros.first),
            (&mut self.second, &self.zeros.second),
        ] {
            next.copy_from_slice(&zeros[..count]);
            for i in indices {
                next[*i as usize] = 0;
            }
        }
        for block in 0..base.blocks {
            self.bytes[..BLOCK].fill(self.limits.start);
            sieve_block(
                &mut self.bytes,
                &base.primes[base.first_sieved..count],
                &self.logs[base.first_sieved..],
                &mut self.first[base.first_sieved..],
                &mut self.second[base.first_sieved..],
            );
            self.buckets.apply(block, &self.stretches, &mut self.bytes);
            let mut marked = std::mem::take(&mut self.marked);
            marked.clear();
            kernels::marked(self.instructions, &self.bytes[..BLOCK], &mut marked);
            for offset in &marked {
                let sieved = self.bytes[*offset as usize] - self.limits.start;
                let offset = (block * BLOCK) as u32 + offset;
                found.extend(self.relation(base, id, indices, offset, sieved.into()));
            }
            self.marked = marked;
        }
    }

    /// The relation at an offset, if there is one: the value is divided by all primes that have a zero there.
    fn relation(&mut self, base: &Base, id: u32, indices: &[u32], offset: u32, sieved: u32) -> Option<Relation> {
        let root = self.coefficients.root(&self.b, offset);
        // a v = root^2 - k n. The division is exact and its result short, so the low words determine it.
        let value = root.mul(&root).sub(&base.multiple).mul(&self.a_inverse);
        let mut left = value.abs();
        if left.is_zero() {
            return None;
        }
        let mut columns: Vec<u32> = Vec::with_capacity(40);
        if value.is_negative() {
            columns.push(0);
        }
        let bits = left.bits();
        let twos = left.trailing_zeros();
        columns.extend(std::iter::repeat_n(1, twos as usize));
        left = left.shr(twos);
        for (i, divisor) in base.divisors.iter().enumerate() {
            divide(&mut left, *divisor, SPECIAL + i, &mut columns);
        }
        let (first, second) = (&self.zeros.first, &self.zeros.second);
        for (i, p) in base.primes[..base.first_sieved].iter().enumerate() {
            let residue = offset % p;
            if residue == first[i] || residue == second[i] {
                divide(&mut left, *p, base.column_of(i), &mut columns);
            }
        }
        // What the primes that were not sieved by have contributed is known now.
        let unsieved = bits - left.bits();
        if bits > unsieved + sieved + self.limits.missing {
            return None;
        }
        for i in indices {
            columns.push(base.column_of(*i as usize) as u32);
            divide(
                &mut left,
                base.primes[*i as usize],
                base.column_of(*i as usize),
                &mut columns,
            );
        }
        self.hits.clear();
        let range = base.first_sieved / GROUP * GROUP..base.first_large;
        kernels::divisors(
            self.instructions,
            offset,
            &base.inverses[range.clone()],
            &base.quotients[range.clone()],
            &first[range.clone()],
            &second[range.clone()],
            &mut self.hits,
        );
        for hit in &mut self.hits {
            *hit += range.start as u32;
        }
        self.buckets
            .find(self.instructions, offset, &self.stretches, &mut self.hits);
        for hit in &self.hits {
            let hit = *hit as usize;
            if hit >= base.first_sieved && hit < base.primes.len() {
                divide(&mut left, base.primes[hit], base.column_of(hit), &mut columns);
            }
        }
        let left = left.to_u64()?;
        let large = if left < u64::from(base.large_limit) {
            [1, left as u32]
        } else {
            let (least, most) = base.two_large;
            if left <= least || left >= most || word::is_probable_prime(left) {
                return None;
            }
            let p = word::split(left);
            let q = left / p;
            let (p, q) = (p.min(q), p.max(q));
            (q < u64::from(base.large_limit)).then_some([p as u32, q as u32])?
        };
        columns.sort_unstable();
        Some(Relation {
            family: id,
            polynomial: self.polynomial,
            offset,
            large,
            columns,
        })
    }
}

/// The large primes in stretches that buckets take together.
fn stretches(base: &Base) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for from in (base.first_large..base.padded.len()).step_by(GROUP) {
        let to = from + GROUP;
        let log = base.logs[from];
        match stretches.last_mut() {
            Some(last) if last.log == log && to - last.primes.start <= MOST_PRIMES => last.primes.end = to,
            _ => stretches.push(Stretch { primes: from..to, log }),
        }
    }
    stretches
}

/// Room for the hits of a block: the mean and six standard deviations.
fn bucket_room(base: &Base) -> usize {
    let large = base.primes.get(base.first_large..).unwrap_or_default();
    let mean: f64 = large.iter().map(|p| 2.0 * BLOCK as f64 / f64::from(*p)).sum();
    (mean + 6.0 * mean.sqrt()) as usize + 64
}

/// Moves the zeros to the next polynomial and puts the hits of large primes into buckets.
fn fill(
    instructions: Instructions,
    base: &Base,
    stretches: &[Stretch],
    buckets: &mut Buckets,
    zeros: &mut Zeros,
    step: Option<(usize, bool)>,
) {
    let Zeros { first, second, moves } = zeros;
    let steps = step.map(|(which, forwards)| (&moves[which], forwards));
    if let Some((steps, forwards)) = steps {
        let medium = ..base.first_large;
        kernels::advance(
            instructions,
            &base.padded[medium],
            &mut first[medium],
            &mut second[medium],
            &steps[medium],
            forwards,
        );
    }
    buckets.clear();
    for stretch in stretches {
        let range = stretch.primes.clone();
        buckets.fill(
            instructions,
            &base.padded[range.clone()],
            &mut first[range.clone()],
            &mut second[range.clone()],
            steps.map(|(steps, forwards)| (&steps[range], forwards)),
        );
    }
}

/// Adds the logarithms of all hits in a block, and leaves the zeros where they enter the next one.
fn sieve_block(bytes: &mut Bytes, primes: &[u32], logs: &[u8], first: &mut [u32], second: &mut [u32]) {
    let mut from = 0;
    let many = primes.partition_point(|p| (*p as usize) < BLOCK / 8);
    sieve_often(
        bytes,
        &primes[..many],
        &logs[..many],
        &mut first[..many],
        &mut second[..many],
    );
    from += many;
    macro_rules! times {
        ($($times:literal)*) => {$(
            // Primes that have this many hits in a block, or one more.
            let to = from + primes[from..].partition_point(|p| BLOCK / *p as usize >= $times);
            sieve_times::<$times>(bytes, &primes[from..to], &logs[from..to], &mut first[from..to], &mut second[from..to]);
            from = to;
        )*};
    }
    times!(8 7 6 5 4 3 2 1);
    debug_assert!(from == primes.len());
}

fn sieve_often(bytes: &mut Bytes, primes: &[u32], logs: &[u8], first: &mut [u32], second: &mut [u32]) {
    const END: u32 = BLOCK as u32;
    let zeros = first.iter_mut().zip(second);
    for ((first, second), (p, log)) in zeros.zip(primes.iter().zip(logs)) {
        let (p, log) = (*p, *log);
        let (mut near, mut far) = ((*first).min(*second), (*first).max(*second));
        let mut add = |at: u32| {
            let byte = &mut bytes[usize::from(at as u16)];
            *byte = byte.wrapping_add(log);
        };
        while far < END - p {
            add(near);
            add(far);
            add(near + p);
            add(far + p);
            near += 2 * p;
            far += 2 * p;
        }
        if far < END {
            add(near);
            add(far);
            near += p;
            far += p;
        }
        if near < END {
            add(near);
            near += p;
        }
        (*first, *second) = (near - END, far - END);
    }
}

fn sieve_times<const TIMES: usize>(
    bytes: &mut Bytes,
    primes: &[u32],
    logs: &[u8],
    first: &mut [u32],
    second: &mut [u32],
) {
    const END: u32 = BLOCK as u32;
    let zeros = first.iter_mut().zip(second);
    for ((first, second), (p, log)) in zeros.zip(primes.iter().zip(logs)) {
        let (p, log) = (*p, *log);
        let (mut a, mut b) = (*first, *second);
        let mut add = |at: u32| {
            let byte = &mut bytes[usize::from(at as u16)];
            *byte = byte.wrapping_add(log);
        };
        for _ in 0..TIMES {
            add(a);
            add(b);
            a += p;
            b += p;
        }
        // Beyond the block there is one byte for all hits that are none.
        add(a.min(END));
        add(b.min(END));
        a += if a < END { p } else { 0 };
        b += if b < END { p } else { 0 };
        (*first, *second) = (a - END, b - END);
    }
}

fn divide(left: &mut Wide, p: u32, column: usize, columns: &mut Vec<u32>) {
    loop {
        let (quotient, remainder) = left.div_rem(p);
        if remainder != 0 {
            return;
        }
        *left = quotient;
        columns.push(column as u32);
    }
}
