//! The inner loops of the sieve: zeros of a family's first polynomial, their way to the next one, buckets of hits, and
//! who divides a value.
//!
//! Each is a portable function; where it pays there is an AVX-512 version beside it, and the tests compare the two.
//! Knows no relation.
//!
//! Arithmetic modulo `p < 2^25` in doubles: a product is below 2^50, so it and its difference to a near multiple of `p`
//! are exact, and the quotient rounded to the nearest integer is off by one at most, which leaves a residue between
//! `-p` and `p`.
//!
//! Unsafe: vector versions load and store through pointers; the slices they come from are cut to the same length before
//! each loop.
#![allow(unsafe_code)]
// Several arrays are walked side by side.
#![allow(clippy::needless_range_loop)]

use super::base::{BLOCK, GROUP};
#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;

/// Bits of a bucket's entry that are the offset of the hit; the others are the index of the prime in its stretch.
const OFFSET_BITS: u32 = 19;
const OFFSET_MASK: u32 = (1 << OFFSET_BITS) - 1;

/// The most blocks whose offsets fit an entry.
pub(super) const MOST_BLOCKS: usize = 1 << (OFFSET_BITS - BLOCK.trailing_zeros());

/// The most primes whose index fits an entry.
pub(super) const MOST_PRIMES: usize = 1 << (32 - OFFSET_BITS);

/// Primes whose hits are put into buckets between two looks at the room there is.
const CHUNK: usize = 1024;

/// Room for the hits of a chunk in a block: a prime is not below half a block, so each of its zeros hits at most twice.
/// The vector version writes whole vectors.
const CHUNK_ROOM: usize = 4 * CHUNK + GROUP;

/// Which instructions the kernels of the sieve may use; those of [`pi`](crate::primes::pi::instructions) need others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The best that this processor has.
    pub(crate) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if has!("avx512f", "avx512bw", "avx512dq", "avx512vl") {
            return Self::Avx512;
        }
        Self::Portable
    }
}

/// A loop of plain Rust, compiled for each set of instructions: `kernel!(name, name_avx512, body, (arguments))`.
macro_rules! kernel {
    ($(#[$meta:meta])* fn $name:ident, $vector:ident, $body:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        $(#[$meta])*
        pub(super) fn $name(instructions: Instructions, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            fn $vector($($argument: $type),*) $(-> $result)? {
                $body($($argument),*)
            }
            match instructions {
                Instructions::Portable => $body($($argument),*),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the processor has these instructions, as `Instructions::best` has asked it.
                Instructions::Avx512 => unsafe { $vector($($argument),*) },
            }
        }
    };
}

/// How the zeros of a family's first polynomial come about, modulo any prime.
#[derive(Debug)]
pub(super) struct Setup {
    /// The primes of the leading coefficient `a`.
    pub(super) factors: Vec<u32>,
    /// For each of them the `gamma` of its summand `gamma a / q` of `b`.
    pub(super) gammas: Vec<u32>,
    /// `x` is an offset less this.
    pub(super) half: u32,
}

/// The zeros of a polynomial modulo each prime, as offsets, and by how much each summand of `b` moves them.
#[derive(Debug)]
pub(super) struct Zeros {
    pub(super) first: Vec<u32>,
    pub(super) second: Vec<u32>,
    /// A row for each summand but the last, whose sign never changes.
    pub(super) moves: Vec<Vec<u32>>,
}

impl Zeros {
    /// The zeros of the first polynomial modulo each of the primes, which are padded with 0 to whole groups. Modulo a
    /// prime that divides `a`, and a 0, they are beyond every offset.
    pub(super) fn new(instructions: Instructions, setup: &Setup, primes: &[u32], roots: &[u32]) -> Self {
        let count = primes.len();
        let mut zeros = Self {
            first: vec![u32::MAX; count],
            second: vec![u32::MAX; count],
            moves: vec![vec![0; count]; setup.factors.len() - 1],
        };
        let whole = match instructions {
            Instructions::Portable => 0,
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => {
                let whole = roots.len() / 8 * 8;
                // SAFETY: the processor has these instructions, as `Instructions::best` has asked it.
                unsafe { vector::zeros(setup, &primes[..whole], &roots[..whole], &mut zeros) };
                whole
            }
        };
        let mut prefix = Vec::with_capacity(setup.factors.len());
        for i in whole..roots.len() {
            zeros.set(setup, i, primes[i], roots[i], &mut prefix);
        }
        zeros
    }

    /// Puts the zeros of these primes beyond every offset: they divide `a`, and what moves all zeros moves theirs as
    /// well.
    pub(super) fn hide(&mut self, indices: &[u32]) {
        for i in indices {
            (self.first[*i as usize], self.second[*i as usize]) = (u32::MAX, u32::MAX);
        }
    }

    /// The same for one prime.
    fn set(&mut self, setup: &Setup, i: usize, p: u32, root: u32, prefix: &mut Vec<u64>) {
        let modulus = u64::from(p);
        prefix.clear();
        let mut product = 1;
        for q in &setup.factors {
            prefix.push(product);
            product = product * u64::from(*q) % modulus;
        }
        if product == 0 {
            return;
        }
        // One inverse for all: that of a product of some factors, times the last, is that of the product of the others.
        let a_inverse = inverse(product, modulus);
        let (mut left, mut b) = (a_inverse, 0);
        for j in (0..setup.factors.len()).rev() {
            let inverse = left * prefix[j] % modulus;
            left = left * u64::from(setup.factors[j]) % modulus;
            let summand = u64::from(setup.gammas[j]) * inverse % modulus;
            b += summand;
            if let Some(row) = self.moves.get_mut(j) {
                row[i] = (2 * summand % modulus) as u32;
            }
        }
        // a x + b = +-root
        let root = u64::from(root) * a_inverse % modulus;
        let middle = u64::from(setup.half) + modulus - b % modulus;
        self.first[i] = ((middle + root) % modulus) as u32;
        self.second[i] = ((middle + modulus - root) % modulus) as u32;
    }
}

/// `a^-1 mod p` for a prime `p` that does not divide `a`.
pub(super) fn inverse(a: u64, p: u64) -> u64 {
    let (mut r0, mut r1) = (p as i64, (a % p) as i64);
    let (mut t0, mut t1) = (0, 1);
    while r1 != 0 {
        let quotient = r0 / r1;
        (r0, r1) = (r1, r0 - quotient * r1);
        (t0, t1) = (t1, t0 - quotient * t1);
    }
    t0.rem_euclid(p as i64) as u64
}

kernel! {
    /// Moves zeros by a step each, forwards or backwards.
    fn advance, advance_avx512, advance_body(primes: &[u32], first: &mut [u32], second: &mut [u32], steps: &[u32], forwards: bool)
}

#[inline(always)]
fn advance_body(primes: &[u32], first: &mut [u32], second: &mut [u32], steps: &[u32], forwards: bool) {
    let zeros = first.iter_mut().zip(second).zip(primes.iter().zip(steps));
    // Of a sum and the sum less p, the one in range is the smaller as unsigned numbers.
    if forwards {
        for ((first, second), (p, step)) in zeros {
            let moved = |zero: u32| zero.wrapping_add(*step).min(zero.wrapping_add(*step).wrapping_sub(*p));
            (*first, *second) = (moved(*first), moved(*second));
        }
    } else {
        for ((first, second), (p, step)) in zeros {
            let moved = |zero: u32| zero.wrapping_sub(*step).min(zero.wrapping_sub(*step).wrapping_add(*p));
            (*first, *second) = (moved(*first), moved(*second));
        }
    }
}

/// A block of values, of which only the first [`BLOCK`] bytes count: any 16 bits are an index.
pub(super) type Bytes = [u8; 1 << 16];

/// Primes whose hits are put into buckets together: they have nearly the same logarithm.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) primes: std::ops::Range<usize>,
    pub(super) log: u8,
}

/// The hits of large primes, by block.
#[derive(Debug)]
pub(super) struct Buckets {
    blocks: usize,
    entries: Vec<u32>,
    /// The end of each block's entries.
    next: [usize; MOST_BLOCKS],
    /// How many entries there is room for in a block.
    room: usize,
    /// Where the entries of each stretch end.
    ends: Vec<[usize; MOST_BLOCKS]>,
}

impl Buckets {
    /// Buckets for about `hits` hits in each of `blocks` blocks.
    pub(super) fn new(blocks: usize, hits: usize) -> Self {
        let room = hits + CHUNK_ROOM;
        Self {
            blocks,
            entries: vec![0; blocks * room],
            next: [0; MOST_BLOCKS],
            room,
            ends: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.ends.clear();
        for (block, next) in self.next.iter_mut().enumerate().take(self.blocks) {
            *next = block * self.room;
        }
    }

    /// Puts in the hits of the zeros of a stretch, after moving them by a step each. Hits for which there is no room
    /// are lost.
    pub(super) fn fill(
        &mut self,
        instructions: Instructions,
        primes: &[u32],
        first: &mut [u32],
        second: &mut [u32],
        steps: Option<(&[u32], bool)>,
    ) {
        for from in (0..primes.len()).step_by(CHUNK) {
            let range = from..(from + CHUNK).min(primes.len());
            let steps = steps.map(|(steps, forwards)| (&steps[range.clone()], forwards));
            let (primes, first, second) = (
                &primes[range.clone()],
                &mut first[range.clone()],
                &mut second[range.clone()],
            );
            #[cfg(target_arch = "x86_64")]
            let has_room = (0..self.blocks).all(|b| (b + 1) * self.room - self.next[b] >= CHUNK_ROOM);
            match instructions {
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 if has_room => {
                    // SAFETY: the processor has these instructions, as `Instructions::best` has asked it.
                    unsafe { vector::fill(self, from, primes, first, second, steps) };
                }
                _ => {
                    if let Some((steps, forwards)) = steps {
                        advance(instructions, primes, first, second, steps, forwards);
                    }
                    self.fill_one_by_one(from, primes, first, second);
                }
            }
        }
        self.ends.push(self.next);
    }

    fn fill_one_by_one(&mut self, from: usize, primes: &[u32], first: &[u32], second: &[u32]) {
        let length = (self.blocks * BLOCK) as u32;
        for (i, (p, (first, second))) in primes.iter().zip(first.iter().zip(second)).enumerate() {
            for mut zero in [*first, *second] {
                while zero < length {
                    let block = zero as usize / BLOCK;
                    if self.next[block] < (block + 1) * self.room {
                        self.entries[self.next[block]] = ((from + i) as u32) << OFFSET_BITS | zero;
                        self.next[block] += 1;
                    }
                    zero += p;
                }
            }
        }
    }

    /// The entries of a block, by stretch.
    fn of_block(&self, block: usize) -> impl Iterator<Item = &[u32]> {
        let mut from = block * self.room;
        self.ends.iter().map(move |ends| {
            let entries = &self.entries[from..ends[block]];
            from = ends[block];
            entries
        })
    }

    /// Adds the logarithms of the hits in a block.
    pub(super) fn apply(&self, block: usize, stretches: &[Stretch], bytes: &mut Bytes) {
        for (entries, stretch) in self.of_block(block).zip(stretches) {
            for entry in entries {
                let byte = &mut bytes[(entry % BLOCK as u32) as usize];
                *byte = byte.wrapping_add(stretch.log);
            }
        }
    }

    /// Appends the primes, by index, that hit an offset.
    pub(super) fn find(&self, instructions: Instructions, offset: u32, stretches: &[Stretch], found: &mut Vec<u32>) {
        let block = offset as usize / BLOCK;
        for (entries, stretch) in self.of_block(block).zip(stretches) {
            let before = found.len();
            find_entries(instructions, entries, offset, found);
            for index in &mut found[before..] {
                *index += stretch.primes.start as u32;
            }
        }
    }
}

kernel! {
    /// Appends the indices of the entries with this offset.
    fn find_entries, find_entries_avx512, find_entries_body(entries: &[u32], offset: u32, found: &mut Vec<u32>)
}

#[inline(always)]
fn find_entries_body(entries: &[u32], offset: u32, found: &mut Vec<u32>) {
    let (chunks, rest) = entries.as_chunks::<64>();
    let is_hit = |entry: &u32| entry & OFFSET_MASK == offset;
    for chunk in chunks {
        if chunk.iter().fold(false, |any, entry| any | is_hit(entry)) {
            found.extend(
                chunk
                    .iter()
                    .filter(|entry| is_hit(entry))
                    .map(|entry| entry >> OFFSET_BITS),
            );
        }
    }
    found.extend(
        rest.iter()
            .filter(|entry| is_hit(entry))
            .map(|entry| entry >> OFFSET_BITS),
    );
}

kernel! {
    /// Appends the indices of the primes whose multiple, or none at all in rare cases, lies between an offset and a
    /// zero. Lengths are equal, and multiples of [`GROUP`].
    fn divisors, divisors_avx512, divisors_body(
        offset: u32, inverses: &[u32], quotients: &[u32], first: &[u32], second: &[u32], found: &mut Vec<u32>)
}

#[inline(always)]
fn divisors_body(
    offset: u32,
    inverses: &[u32],
    quotients: &[u32],
    first: &[u32],
    second: &[u32],
    found: &mut Vec<u32>,
) {
    let zeros = first.as_chunks::<GROUP>().0.iter().zip(second.as_chunks::<GROUP>().0);
    let primes = inverses
        .as_chunks::<GROUP>()
        .0
        .iter()
        .zip(quotients.as_chunks::<GROUP>().0);
    for (group, ((first, second), (inverses, quotients))) in zeros.zip(primes).enumerate() {
        // An integer times 1/p modulo 2^32 is its quotient if p divides it, and above every quotient if not (T.
        // Granlund, P. L. Montgomery, "Division by invariant integers using multiplication" (1994), section 9).
        let is_hit = |i: usize| {
            let near = offset.wrapping_sub(first[i]).wrapping_mul(inverses[i]) <= quotients[i];
            let far = offset.wrapping_sub(second[i]).wrapping_mul(inverses[i]) <= quotients[i];
            near | far
        };
        let mut any = false;
        for i in 0..GROUP {
            any |= is_hit(i);
        }
        if any {
            found.extend((0..GROUP).filter(|i| is_hit(*i)).map(|i| (group * GROUP + i) as u32));
        }
    }
}

kernel! {
    /// Appends the offsets of the bytes from 128 on.
    fn marked, marked_avx512, marked_body(bytes: &[u8], found: &mut Vec<u32>)
}

#[inline(always)]
fn marked_body(bytes: &[u8], found: &mut Vec<u32>) {
    for (chunk, bytes) in bytes.as_chunks::<64>().0.iter().enumerate() {
        if bytes.iter().fold(0, |all, byte| all | byte) >= 128 {
            let marked = bytes.iter().enumerate().filter(|(_, byte)| **byte >= 128);
            found.extend(marked.map(|(i, _)| (64 * chunk + i) as u32));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{BLOCK, Buckets, CHUNK, CHUNK_ROOM, GROUP, OFFSET_BITS, Setup, Zeros};
    use std::arch::x86_64::*;

    /// Residues modulo eight primes.
    #[derive(Clone, Copy)]
    struct Modulus {
        p: __m512d,
        reciprocal: __m512d,
    }

    impl Modulus {
        /// `a b`, between `-p` and `p`, of such.
        #[inline]
        #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
        fn mul(self, a: __m512d, b: __m512d) -> __m512d {
            let product = _mm512_mul_pd(a, b);
            let quotient = _mm512_roundscale_pd::<0>(_mm512_mul_pd(product, self.reciprocal));
            _mm512_fnmadd_pd(quotient, self.p, product)
        }

        /// The residue from 0 on of a sum of a few products.
        #[inline]
        #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
        fn reduce(self, a: __m512d) -> __m256i {
            let quotient = _mm512_roundscale_pd::<1>(_mm512_mul_pd(a, self.reciprocal));
            let r = _mm512_fnmadd_pd(quotient, self.p, a);
            let zero = _mm512_setzero_pd();
            let r = _mm512_mask_add_pd(r, _mm512_cmp_pd_mask::<_CMP_LT_OQ>(r, zero), r, self.p);
            let r = _mm512_mask_sub_pd(r, _mm512_cmp_pd_mask::<_CMP_GE_OQ>(r, self.p), r, self.p);
            _mm512_cvtpd_epu32(r)
        }
    }

    /// See [`Zeros::new`]; the lengths of `primes` and `roots` are equal and a multiple of 8, and not above that of the
    /// zeros.
    #[target_feature(enable = "avx512f,avx512dq,avx512vl")]
    pub(super) fn zeros(setup: &Setup, primes: &[u32], roots: &[u32], zeros: &mut Zeros) {
        let half = _mm512_set1_pd(f64::from(setup.half));
        let count = setup.factors.len();
        let mut prefix = [_mm512_setzero_pd(); 32];
        let constants = |values: &[u32]| {
            let mut all = [_mm512_setzero_pd(); 32];
            for (constant, value) in all.iter_mut().zip(values) {
                *constant = _mm512_set1_pd(f64::from(*value));
            }
            all
        };
        let (factors, gammas) = (constants(&setup.factors), constants(&setup.gammas));
        let largest = primes.iter().copied().max().unwrap_or(0);
        let bits = u32::BITS - largest.leading_zeros();
        for from in (0..primes.len()).step_by(8) {
            let load = |words: &[u32]| {
                // SAFETY: the slice has eight words.
                unsafe { _mm256_loadu_si256(words[from..from + 8].as_ptr().cast()) }
            };
            let integers = load(primes);
            let p = _mm512_cvtepu32_pd(integers);
            let one = _mm512_set1_pd(1.0);
            let modulus = Modulus {
                p,
                reciprocal: _mm512_div_pd(one, p),
            };
            let mut product = one;
            for j in 0..count {
                prefix[j] = product;
                product = modulus.mul(product, factors[j]);
            }
            // The inverse is the power p - 2 (Fermat).
            let exponent = _mm512_cvtepu32_epi64(_mm256_sub_epi32(integers, _mm256_set1_epi32(2)));
            let (mut a_inverse, mut square) = (one, product);
            for bit in 0..bits {
                let is_set = _mm512_test_epi64_mask(exponent, _mm512_set1_epi64(1 << bit));
                a_inverse = _mm512_mask_mov_pd(a_inverse, is_set, modulus.mul(a_inverse, square));
                square = modulus.mul(square, square);
            }
            let (mut left, mut b) = (a_inverse, _mm512_setzero_pd());
            for j in (0..count).rev() {
                let inverse = modulus.mul(left, prefix[j]);
                left = modulus.mul(left, factors[j]);
                let summand = modulus.mul(gammas[j], inverse);
                b = _mm512_add_pd(b, summand);
                if let Some(row) = zeros.moves.get_mut(j) {
                    let twice = modulus.reduce(_mm512_add_pd(summand, summand));
                    // SAFETY: the slice has eight words.
                    unsafe { _mm256_storeu_si256(row[from..from + 8].as_mut_ptr().cast(), twice) };
                }
            }
            let root = modulus.mul(_mm512_cvtepu32_pd(load(roots)), a_inverse);
            let middle = _mm512_sub_pd(half, b);
            let divides = _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(product, _mm512_setzero_pd());
            let silent = |zeros: __m256i| _mm256_mask_mov_epi32(zeros, divides, _mm256_set1_epi32(-1));
            let first = silent(modulus.reduce(_mm512_add_pd(middle, root)));
            let second = silent(modulus.reduce(_mm512_sub_pd(middle, root)));
            // SAFETY: the slices have eight words each.
            unsafe {
                _mm256_storeu_si256(zeros.first[from..from + 8].as_mut_ptr().cast(), first);
                _mm256_storeu_si256(zeros.second[from..from + 8].as_mut_ptr().cast(), second);
            }
        }
    }

    /// See [`Buckets::fill`]: for a chunk of primes that begins with this one of its stretch, and room for its hits in
    /// every block.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn fill(
        buckets: &mut Buckets,
        from: usize,
        primes: &[u32],
        first: &mut [u32],
        second: &mut [u32],
        steps: Option<(&[u32], bool)>,
    ) {
        let count = primes.len();
        assert!(count <= CHUNK && count.is_multiple_of(GROUP));
        // Of smaller primes a chunk would have more hits in a block than `CHUNK_ROOM`. The 0 of padding counts as
        // large: its zeros are beyond every offset.
        let least = primes.iter().fold(u32::MAX, |least, p| least.min(p.wrapping_sub(1)));
        assert!(least >= BLOCK as u32 / 2 - 1);
        let (first, second) = (&mut first[..count], &mut second[..count]);
        let forwards = steps.is_some_and(|(_, forwards)| forwards);
        let steps = steps.map(|(steps, _)| &steps[..count]);
        let blocks = buckets.blocks;
        for block in 0..blocks {
            assert!(buckets.next[block] + CHUNK_ROOM <= buckets.entries.len());
        }
        let end = _mm512_set1_epi32((blocks * BLOCK) as i32);
        let ordinals = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        for at in (0..count).step_by(GROUP) {
            // SAFETY: the slices have `count` words, a multiple of a group.
            let (p, mut a, mut b) = unsafe {
                (
                    _mm512_loadu_epi32(primes.as_ptr().add(at).cast()),
                    _mm512_loadu_epi32(first.as_ptr().add(at).cast()),
                    _mm512_loadu_epi32(second.as_ptr().add(at).cast()),
                )
            };
            if let Some(steps) = steps {
                // SAFETY: as above.
                let step = unsafe { _mm512_loadu_epi32(steps.as_ptr().add(at).cast()) };
                if forwards {
                    (a, b) = (_mm512_add_epi32(a, step), _mm512_add_epi32(b, step));
                    a = _mm512_min_epu32(a, _mm512_sub_epi32(a, p));
                    b = _mm512_min_epu32(b, _mm512_sub_epi32(b, p));
                } else {
                    (a, b) = (_mm512_sub_epi32(a, step), _mm512_sub_epi32(b, step));
                    a = _mm512_min_epu32(a, _mm512_add_epi32(a, p));
                    b = _mm512_min_epu32(b, _mm512_add_epi32(b, p));
                }
                // SAFETY: as above.
                unsafe {
                    _mm512_storeu_epi32(first.as_mut_ptr().add(at).cast(), a);
                    _mm512_storeu_epi32(second.as_mut_ptr().add(at).cast(), b);
                }
            }
            let index = _mm512_add_epi32(ordinals, _mm512_set1_epi32((from + at) as i32));
            let index = _mm512_slli_epi32::<OFFSET_BITS>(index);
            for mut zero in [a, b] {
                loop {
                    let mut hits = _mm512_cmplt_epu32_mask(zero, end);
                    if hits == 0 {
                        break;
                    }
                    let all = hits;
                    let entries = _mm512_or_si512(index, zero);
                    for block in 0..blocks {
                        let limit = _mm512_set1_epi32(((block + 1) * BLOCK) as i32);
                        let here = _mm512_mask_cmplt_epu32_mask(hits, zero, limit);
                        hits &= !here;
                        let packed = _mm512_maskz_compress_epi32(here, entries);
                        let next = &mut buckets.next[block];
                        // SAFETY: a chunk has no more hits in a block than there was room for, and a vector more.
                        unsafe { _mm512_storeu_epi32(buckets.entries.as_mut_ptr().add(*next).cast(), packed) };
                        *next += here.count_ones() as usize;
                    }
                    // No prime is so large that this overflows; zeros beyond the end stay there.
                    zero = _mm512_mask_add_epi32(_mm512_set1_epi32(-1), all, zero, p);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primes::sieve::primes_up_to;
    use proptest::prelude::*;

    fn sets_of_instructions() -> Vec<Instructions> {
        let best = Instructions::best();
        if best == Instructions::Portable {
            vec![best]
        } else {
            vec![Instructions::Portable, best]
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn all_instructions_give_the_same(seed in 1u64.., blocks in 1usize..=MOST_BLOCKS, steps in 0usize..6) {
            let mut state = seed;
            let mut random = |end: u32| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u32 % end
            };
            let mut primes = primes_up_to(3_000_000);
            primes.retain(|p| *p > 2 && (*p < 40_000 || random(9) == 0));
            let roots: Vec<u32> = primes.iter().map(|p| random(*p)).collect();
            let factors: Vec<u32> = (0..6).map(|_| primes[300 + random(200) as usize]).collect();
            let gammas = factors.iter().map(|q| random(*q)).collect();
            let length = (blocks * BLOCK) as u32;
            let setup = Setup { factors, gammas, half: length / 2 };
            let mut padded = primes.clone();
            padded.resize(primes.len().next_multiple_of(GROUP), 0);
            let large = padded.partition_point(|p| (1..BLOCK as u32).contains(p)) / GROUP * GROUP;
            let stretches: Vec<Stretch> = (large..padded.len())
                .step_by(1024)
                .map(|start| Stretch { primes: start..(start + 1024).min(padded.len()), log: 15 })
                .collect();
            let outcome = |instructions: Instructions| {
                let mut zeros = Zeros::new(instructions, &setup, &padded, &roots);
                let mut buckets = Buckets::new(blocks, 1 << 14);
                for step in 0..=steps {
                    buckets.clear();
                    let moves = (step > 0).then(|| (&zeros.moves[step % 5], step % 2 == 0));
                    if let Some((moves, forwards)) = moves {
                        let (first, second) = (&mut zeros.first[..large], &mut zeros.second[..large]);
                        advance(instructions, &padded[..large], first, second, &moves[..large], forwards);
                    }
                    for stretch in &stretches {
                        let range = stretch.primes.clone();
                        buckets.fill(
                            instructions, &padded[range.clone()], &mut zeros.first[range.clone()], &mut zeros.second[range.clone()],
                            moves.map(|(moves, forwards)| (&moves[range], forwards)),
                        );
                    }
                }
                let hits: Vec<Vec<u32>> = (0..blocks)
                    .flat_map(|block| buckets.of_block(block).map(|entries| {
                        let mut entries = entries.to_vec();
                        entries.sort_unstable();
                        entries
                    }).collect::<Vec<_>>())
                    .collect();
                let mut found = Vec::new();
                let mut bytes = Box::new([0; 1 << 16]);
                buckets.apply(0, &stretches, &mut bytes);
                for offset in (0..length).step_by(997) {
                    let before = found.len();
                    buckets.find(instructions, offset, &stretches, &mut found);
                    found[before..].sort_unstable();
                    let inverses: Vec<u32> = padded[..large].iter().map(|p| p.wrapping_mul(3) ^ 2).collect();
                    divisors(instructions, offset, &inverses, &padded[..large], &zeros.first[..large], &zeros.second[..large], &mut found);
                }
                marked(instructions, &bytes[..BLOCK], &mut found);
                (zeros.first, zeros.second, hits, found)
            };
            let all: Vec<_> = sets_of_instructions().into_iter().map(outcome).collect();
            prop_assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
            // Every zero is where it should be: a x + b is a square root, up to its sign.
            let (first, second, hits, _) = &all[0];
            for (i, p) in primes.iter().enumerate().skip(large).step_by(50) {
                let expected = [first[i], second[i]].into_iter().filter(|zero| *zero < length).count();
                let stretch = (i - large) / 1024;
                let found: usize = (0..blocks)
                    .map(|block| hits[block * stretches.len() + stretch].iter()
                        .filter(|entry| *entry >> OFFSET_BITS == ((i - large) % 1024) as u32).count())
                    .sum();
                prop_assert!(found >= expected, "{p}");
            }
        }
    }
}
