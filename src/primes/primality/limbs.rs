//! Products, sums and differences of long numbers in limbs of 52 bits, as the instructions AVX-512 IFMA multiply them.
//!
//! A number is a row of limbs below 2^52, least first, a multiple of eight of them. The second factor of a product lies
//! between [`PAD`] zeros on either side, so that a window of it can be loaded at any offset. A product is summed column
//! by column, eight columns a register: the low and the high halves of the limbs' products apart, without a carry
//! before the end. [`MOST`] limbs leave room for that.
//!
//! Does not know what a residue is; see [`super::long`], whose tests compare all of this with dashu.
//!
//! Unsafe: loads and stores of eight limbs of a slice. The functions are called where [`available`] says so.
#![allow(unsafe_code)]

use crate::primes::features::has;
use std::arch::x86_64::*;
use std::ops::Range;

/// Bits of a limb.
pub(super) const BITS: usize = 52;
const MASK: u64 = (1 << BITS) - 1;

/// Limbs in a register.
pub(super) const LANES: usize = 8;

/// Zeros on either side of a second factor: as many as the columns that are summed at once.
pub(super) const PAD: usize = 4 * LANES;

/// No number has more limbs: a column sums at most twice as many halves of products, each below 2^52.
pub(super) const MOST: usize = 2048;

/// Whether the processor multiplies words of 52 bits.
pub(super) fn available() -> bool {
    has!("avx512f", "avx512ifma")
}

/// The limbs of a number that is given by its words, from bit `from` on; beyond the number they are 0.
pub(super) fn split(words: &[u64], from: usize, limbs: &mut [u64]) {
    for (i, limb) in limbs.iter_mut().enumerate() {
        let (word, shift) = ((from + i * BITS) / 64, (from + i * BITS) % 64);
        let at = |word| u128::from(words.get(word).copied().unwrap_or(0));
        *limb = ((at(word) | at(word + 1) << 64) >> shift) as u64 & MASK;
    }
}

/// A product before its carries: the sums of the low halves by their column, and those of the high halves.
#[derive(Debug)]
pub(super) struct Columns {
    low: Vec<u64>,
    high: Vec<u64>,
}

impl Columns {
    /// Room for the product of two numbers of `limbs` limbs.
    pub(super) fn new(limbs: usize) -> Self {
        Self {
            low: vec![0; 2 * limbs],
            high: vec![0; 2 * limbs + 1],
        }
    }

    /// The columns from `from` on with the carries in their place, as many as `result` has room for; what is beyond is
    /// dropped.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn carry(&self, from: usize, result: &mut [u64]) {
        let mut below = _mm512_setzero_si512();
        let mut carry = 0;
        for (c, result) in (from..).step_by(LANES).zip(result.chunks_exact_mut(LANES)) {
            let sum = _mm512_add_epi64(load(&self.low[c..]), load(&self.high[c..]));
            let high = _mm512_srli_epi64::<{ BITS as u32 }>(sum);
            let limbs = _mm512_and_si512(sum, mask());
            let limbs = _mm512_add_epi64(limbs, _mm512_alignr_epi64::<7>(high, below));
            below = high;
            store(result, propagated(limbs, &mut carry));
        }
    }

    /// The columns `range` of `a b`, its bounds multiples of eight. The high halves from below the range are left out.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn multiply(&mut self, a: &[u64], b: &[u64], range: Range<usize>) {
        let (rest, mut c) = ((range.len() % PAD) / LANES, range.start);
        self.high[c] = 0;
        // What does not fill a block is where fewest limbs meet: at the low end, unless the range has the high end.
        if range.end < 2 * a.len() {
            self.rest(rest, c, |columns, c| columns.multiply_block::<1>(a, b, c));
            c += rest * LANES;
        }
        while c + PAD <= range.end {
            self.multiply_block::<4>(a, b, c);
            c += PAD;
        }
        if c < range.end {
            self.rest(rest, c, |columns, c| columns.multiply_block::<1>(a, b, c));
        }
    }

    /// All columns of the sum of the products of these pairs.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn sum_of_products<'a>(&mut self, pairs: impl Iterator<Item = [&'a [u64]; 2]> + Clone) {
        let (columns, mut c) = (self.low.len(), 0);
        self.high[0] = 0;
        while c + PAD <= columns {
            self.sum_block::<4>(pairs.clone(), c);
            c += PAD;
        }
        while c < columns {
            self.sum_block::<1>(pairs.clone(), c);
            c += LANES;
        }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn sum_block<'a, const U: usize>(&mut self, pairs: impl Iterator<Item = [&'a [u64]; 2]>, c: usize) {
        let mut sums = [[_mm512_setzero_si512(); U]; 2];
        for [a, b] in pairs {
            let first = (c + 1).saturating_sub(a.len());
            let last = (c + U * LANES).min(a.len());
            sums = rows::<U>(sums, &a[first..last], b, PAD + c - first);
        }
        self.put(c, sums);
    }

    /// All columns of `a a`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn square(&mut self, a: &[u64]) {
        let (limbs, mut c) = (a.len() - 2 * PAD, 0);
        self.high[0] = 0;
        while c + PAD <= 2 * limbs {
            self.square_block::<4>(a, c);
            c += PAD;
        }
        self.rest((2 * limbs - c) / LANES, c, |columns, c| columns.square_block::<1>(a, c));
    }

    fn rest(&mut self, blocks: usize, from: usize, block: impl Fn(&mut Self, usize)) {
        for i in 0..blocks {
            block(self, from + i * LANES);
        }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_block<const U: usize>(&mut self, a: &[u64], b: &[u64], c: usize) {
        self.sum_block::<U>(std::iter::once([a, b]), c);
    }

    /// Every product of two different limbs once, doubled in the end, and then the squares.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn square_block<const U: usize>(&mut self, padded: &[u64], c: usize) {
        let a = &padded[PAD..padded.len() - PAD];
        let first = (c + 1).saturating_sub(a.len());
        // Before the row c / 2 the other limb is a later one in all columns, in the rows after it only in some.
        let middle = c / 2;
        let zero = _mm512_setzero_si512();
        let mut sums = rows::<U>([[zero; U]; 2], &a[first..middle], padded, PAD + c - first);
        let end = a.len().min(middle + U * LANES / 2);
        for (limb, i) in a[middle..end].iter().zip(middle..) {
            let x = _mm512_set1_epi64(*limb as i64);
            let window = &padded[PAD + c - i..][..U * LANES];
            for u in 0..U {
                // In lane t the other limb is the one at c + 8 u + t - i, which must be above i.
                let mask = match (2 * i).checked_sub(c + u * LANES) {
                    None => 0xff,
                    Some(lane) => (0xfe_u32 << lane.min(LANES)) as u8,
                };
                let y = _mm512_maskz_mov_epi64(mask, load(&window[u * LANES..]));
                sums[0][u] = _mm512_madd52lo_epu64(sums[0][u], x, y);
                sums[1][u] = _mm512_madd52hi_epu64(sums[1][u], x, y);
            }
        }
        let pairs = _mm512_set_epi64(3, 3, 2, 2, 1, 1, 0, 0);
        for u in 0..U {
            let limbs = load(&padded[PAD + middle + u * LANES / 2..]);
            let even = _mm512_maskz_permutexvar_epi64(0x55, pairs, limbs);
            sums[0][u] = _mm512_madd52lo_epu64(_mm512_slli_epi64::<1>(sums[0][u]), even, even);
            sums[1][u] = _mm512_madd52hi_epu64(_mm512_slli_epi64::<1>(sums[1][u]), even, even);
        }
        self.put(c, sums);
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn put<const U: usize>(&mut self, c: usize, sums: [[__m512i; U]; 2]) {
        let [low, high] = sums;
        for (u, (low, high)) in low.into_iter().zip(high).enumerate() {
            store(&mut self.low[c + u * LANES..], low);
            store(&mut self.high[c + u * LANES + 1..], high);
        }
    }
}

/// The sums with the products of the limbs `a` and the windows of `b` from `at` down, one place a limb.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn rows<const U: usize>(mut sums: [[__m512i; U]; 2], a: &[u64], b: &[u64], at: usize) -> [[__m512i; U]; 2] {
    for (i, limb) in a.iter().enumerate() {
        let x = _mm512_set1_epi64(*limb as i64);
        let window = &b[at - i..][..U * LANES];
        for u in 0..U {
            let y = load(&window[u * LANES..]);
            sums[0][u] = _mm512_madd52lo_epu64(sums[0][u], x, y);
            sums[1][u] = _mm512_madd52hi_epu64(sums[1][u], x, y);
        }
    }
    sums
}

/// `a += b`; whether there is a carry out of the last limb, which is dropped.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn add(a: &mut [u64], b: &[u64]) -> bool {
    let mut carry = 0;
    for (a, b) in a.chunks_exact_mut(LANES).zip(b.chunks_exact(LANES)) {
        let sum = _mm512_add_epi64(load(a), load(b));
        store(a, propagated(sum, &mut carry));
    }
    carry == 1
}

/// `a -= b`, and one more if `borrow`; whether the result is negative and stands as its complement.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn sub(a: &mut [u64], b: &[u64], borrow: bool) -> bool {
    let mut borrow = u32::from(borrow);
    for (a, b) in a.chunks_exact_mut(LANES).zip(b.chunks_exact(LANES)) {
        let (x, y) = (load(a), load(b));
        let less = _mm512_cmplt_epu64_mask(x, y);
        let equal = _mm512_cmpeq_epu64_mask(x, y);
        let taken = into_lanes(less, equal, &mut borrow);
        let difference = _mm512_sub_epi64(x, y);
        let difference = _mm512_mask_sub_epi64(difference, taken, difference, _mm512_set1_epi64(1));
        store(a, _mm512_and_si512(difference, mask()));
    }
    borrow == 1
}

/// Limbs of up to 53 bits with `carry` and their own carries in place.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn propagated(limbs: __m512i, carry: &mut u32) -> __m512i {
    let over = _mm512_cmpgt_epu64_mask(limbs, mask());
    let full = _mm512_cmpeq_epu64_mask(limbs, mask());
    let lanes = into_lanes(over, full, carry);
    let limbs = _mm512_mask_add_epi64(limbs, lanes, limbs, _mm512_set1_epi64(1));
    _mm512_and_si512(limbs, mask())
}

/// The lanes that a carry comes into, from those that give one and those that hand one on: an addition of bits does the
/// chain.
#[inline]
fn into_lanes(give: u8, hand_on: u8, carry: &mut u32) -> u8 {
    let sum = u32::from(hand_on) + 2 * u32::from(give) + *carry;
    *carry = sum >> LANES;
    sum as u8 ^ hand_on
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn mask() -> __m512i {
    _mm512_set1_epi64(MASK as i64)
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn load(limbs: &[u64]) -> __m512i {
    let limbs = &limbs[..LANES];
    // SAFETY: the slice has eight limbs, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(limbs.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn store(limbs: &mut [u64], register: __m512i) {
    let limbs = &mut limbs[..LANES];
    // SAFETY: the slice has eight limbs, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(limbs.as_mut_ptr().cast(), register) }
}
