//! The strong probable prime test to base 2 of eight numbers at once, a number a lane, by the instructions of AVX-512
//! IFMA.
//!
//! A residue is a row of limbs of 52 bits, least first, of eight numbers each: a register a limb. It is in Montgomery
//! form with `R = 2^(52 k) > 16 n`, so the square of one below `4 n` is below `2 n` after its reduction, and is below
//! `4 n` when it is doubled: nothing is subtracted before a residue is compared. All lanes go through the bits of the
//! longest exponent; a shorter one begins with zeros.
//!
//! The digits of the quotient follow one from the other, and one number alone fills registers badly; eight keep the
//! multipliers busy. Nanoseconds a squaring of one number with its reduction, measured on a Zen 5:
//!
//! | bits | 512 | 1024 | 4423 | 9941 | 20000 |
//! |---|---|---|---|---|---|
//! | one of eight | 11 | 29 | 360 | 1700 | 6700 |
//! | alone, the fastest way | 100 | 240 | 1000 | 2700 | 8500 |
//!
//! Does not know where numbers come from, nor the second half of the test; see [`super::candidates`]. Sources: P. L.
//! Montgomery, "Modular multiplication without trial division", Math. Comp. 44 (1985); C. D. Walter, "Montgomery
//! exponentiation needs no final subtractions", Electronics Letters 35 (1999); S. Gueron, V. Krasnov, "Software
//! implementation of modular exponentiation, using advanced vector instructions architectures", WAIFI 2012.
//!
//! Unsafe: loads and stores of whole rows, and calls of functions that need the instructions; a batch exists only where
//! the processor has them.
#![allow(unsafe_code)]

use super::limbs::{self, BITS, LANES};
use super::now_and_then;
use crate::primes::Natural;
use dashu_int::ops::BitTest;
use std::arch::x86_64::*;

/// No number has more limbs: beyond, eight at once save a fifth of the time or less, and nothing is known of any before
/// .6 s of work. There would be room for 511, for a column sums at most two halves of products a limb for the square
/// and two for its reduction, each below 2^52, and the square and the sum are doubled.
const MOST: usize = 320;

/// Rows whose products are summed at once.
const BLOCK: usize = 4;

const MASK: u64 = (1 << BITS) - 1;

/// A limb of each of the eight numbers.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Row([u64; LANES]);

impl Row {
    const ZERO: Self = Self([0; LANES]);

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn load(&self) -> __m512i {
        // SAFETY: a row is as large and as aligned as a register.
        unsafe { _mm512_load_si512(self.0.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn store(&mut self, register: __m512i) {
        // SAFETY: a row is as large and as aligned as a register.
        unsafe { _mm512_store_si512(self.0.as_mut_ptr().cast(), register) }
    }
}

/// Eight tests under way.
#[derive(Debug)]
pub(super) struct Lanes {
    n: Vec<Row>,
    /// `-1 / n mod 2^52`
    inverse: Row,
    /// `R mod n`
    one: Vec<Row>,
    /// 2 to the power of the bits of `n` from `next` up, below `4 n`.
    power: Vec<Row>,
    /// The bits of `n` that are still to come.
    next: u32,
    /// How often 2 divides `n - 1`.
    twos: [u32; LANES],
    /// The lanes whose number has passed.
    passed: u8,
    /// Scratch: the columns of a product.
    columns: Vec<Row>,
}

impl Lanes {
    /// Whether numbers of as many bits can be tested, and of one more, and take less time than one after the other.
    pub(super) fn suit(bits: usize) -> bool {
        bits + 5 <= MOST * BITS && limbs::available()
    }

    /// Begins the tests of one to eight odd numbers above 1 that are at most a bit longer than [suits](Self::suit).
    pub(super) fn new(numbers: &[Natural]) -> Self {
        let bits = numbers.iter().map(|n| n.bit_len()).max().unwrap_or(0);
        let limbs = (bits + 4).div_ceil(BITS);
        debug_assert!(limbs <= MOST && limbs::available() && (1..=LANES).contains(&numbers.len()));
        let mut lanes = Self {
            n: vec![Row::ZERO; limbs],
            inverse: Row::ZERO,
            one: vec![Row::ZERO; limbs],
            power: Vec::new(),
            next: bits as u32,
            twos: [0; LANES],
            passed: 0,
            columns: vec![Row::ZERO; 2 * limbs],
        };
        let mut split = vec![0; limbs];
        let mut put = |number: &Natural, rows: &mut [Row], lane: usize| {
            limbs::split(number.as_words(), 0, &mut split);
            for (row, limb) in rows.iter_mut().zip(&split) {
                row.0[lane] = *limb;
            }
        };
        let r = Natural::ONE << (limbs * BITS);
        // A lane that is left over repeats the first number.
        for lane in 0..LANES {
            let n = numbers.get(lane).unwrap_or(&numbers[0]);
            put(n, &mut lanes.n, lane);
            put(&(&r % n), &mut lanes.one, lane);
            let low = n.as_words()[0];
            // n n = 1 mod 8, and each Newton step doubles the correct bits.
            let newton = |inverse: u64, _| inverse.wrapping_mul(2u64.wrapping_sub(low.wrapping_mul(inverse)));
            lanes.inverse.0[lane] = (0..5).fold(low, newton).wrapping_neg() & MASK;
            lanes.twos[lane] = (n - 1u8).trailing_zeros().unwrap_or(0) as u32;
        }
        lanes.power = lanes.one.clone();
        lanes
    }

    /// Goes on until it is known which of the numbers pass, bit `i` for the number `i`, or until `over`, which is asked
    /// after every few squarings.
    pub(super) fn advance(&mut self, over: impl FnMut() -> bool) -> Option<u8> {
        let mut over = now_and_then(self.n.len() * BITS, over);
        let most = self.twos.into_iter().max().unwrap_or(0);
        loop {
            if self.next <= most {
                // SAFETY: the tests exist, so the processor has the instructions.
                unsafe { self.look() };
            }
            if self.next <= 1 {
                return Some(self.passed);
            }
            self.next -= 1;
            // SAFETY: the tests exist, so the processor has the instructions.
            unsafe { self.step() };
            if over() {
                return None;
            }
        }
    }

    /// A number passes whose power is 1 at the odd part of `n - 1`, or -1 there or later.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn look(&mut self) {
        // A residue below 4 n is below n after three subtractions.
        for _ in 1..4 {
            self.subtract_n();
        }
        let (mut is_one, mut is_minus_one, mut carry) = (0xff, 0xff, _mm512_setzero_si512());
        for ((power, one), n) in self.power.iter().zip(&self.one).zip(&self.n) {
            let (power, one) = (power.load(), one.load());
            is_one &= _mm512_cmpeq_epi64_mask(power, one);
            let sum = _mm512_add_epi64(_mm512_add_epi64(power, one), carry);
            is_minus_one &= _mm512_cmpeq_epi64_mask(_mm512_and_si512(sum, mask()), n.load());
            carry = _mm512_srli_epi64::<{ BITS as u32 }>(sum);
        }
        for (lane, twos) in self.twos.into_iter().enumerate() {
            let passes = if twos == self.next {
                is_one | is_minus_one
            } else {
                is_minus_one
            };
            if twos >= self.next {
                self.passed |= passes & 1 << lane;
            }
        }
    }

    /// Subtracts `n` in the lanes whose power is not below it.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn subtract_n(&mut self) {
        let mut borrow = _mm512_setzero_si512();
        for (difference, (power, n)) in self.columns.iter_mut().zip(self.power.iter().zip(&self.n)) {
            let limb = _mm512_sub_epi64(_mm512_sub_epi64(power.load(), n.load()), borrow);
            difference.store(_mm512_and_si512(limb, mask()));
            borrow = _mm512_srli_epi64::<63>(limb);
        }
        let is_above = _mm512_testn_epi64_mask(borrow, borrow);
        for (power, difference) in self.power.iter_mut().zip(&self.columns) {
            power.store(_mm512_mask_mov_epi64(power.load(), is_above, difference.load()));
        }
    }

    /// Squares the powers, and doubles those whose next bit is set.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn step(&mut self) {
        self.square();
        self.reduce();
        let (limb, bit) = (self.next as usize / BITS, self.next as usize % BITS);
        let doubles = _mm512_test_epi64_mask(self.n[limb].load(), _mm512_set1_epi64(1 << bit));
        let mut carry = _mm512_setzero_si512();
        for (power, column) in self.power.iter_mut().zip(&self.columns[self.n.len()..]) {
            let column = column.load();
            let sum = _mm512_add_epi64(_mm512_mask_add_epi64(column, doubles, column, column), carry);
            power.store(_mm512_and_si512(sum, mask()));
            carry = _mm512_srli_epi64::<{ BITS as u32 }>(sum);
        }
    }

    /// The columns of the squares: every product of two different limbs once, doubled, and then the squares of limbs.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn square(&mut self) {
        let (limbs, columns) = (&self.power[..], &mut self.columns[..]);
        columns.fill(Row::ZERO);
        let mut at = 0;
        while let Some((block, after)) = limbs[at..].split_first_chunk::<BLOCK>() {
            add_triangle(&mut columns[2 * at..], block);
            let columns = &mut columns[2 * at + BLOCK..];
            match after {
                [] => {}
                [a] => add_product(columns, &[*a], block),
                [a, b] => add_product(columns, &[*a, *b], block),
                [a, b, c] => add_product(columns, &[*a, *b, *c], block),
                _ => add_product(columns, block, after),
            }
            at += BLOCK;
        }
        match limbs[at..] {
            [a, b] => add_triangle(&mut columns[2 * at..], &[a, b]),
            [a, b, c] => add_triangle(&mut columns[2 * at..], &[a, b, c]),
            _ => {}
        }
        for (pair, limb) in columns.chunks_exact_mut(2).zip(limbs) {
            let ([low, high], limb) = (pair, limb.load()) else {
                unreachable!("two columns a limb")
            };
            low.store(_mm512_madd52lo_epu64(_mm512_slli_epi64::<1>(low.load()), limb, limb));
            high.store(_mm512_madd52hi_epu64(_mm512_slli_epi64::<1>(high.load()), limb, limb));
        }
    }

    /// Adds the multiples of `n` that leave the columns of the higher half, which are the quotient by `R`.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce(&mut self) {
        let (n, inverse, mut columns) = (&self.n[..], self.inverse.load(), &mut self.columns[..]);
        for _ in 0..n.len() / BLOCK {
            add_multiple::<BLOCK>(columns, n, inverse);
            columns = &mut columns[BLOCK..];
        }
        match n.len() % BLOCK {
            1 => add_multiple::<1>(columns, n, inverse),
            2 => add_multiple::<2>(columns, n, inverse),
            3 => add_multiple::<3>(columns, n, inverse),
            _ => {}
        }
    }
}

/// Adds the multiple of `n` that leaves the first columns multiples of `2^52`, and carries what they have to the next.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_multiple<const U: usize>(columns: &mut [Row], n: &[Row], inverse: __m512i) {
    let zero = _mm512_setzero_si512();
    let (mut digits, mut carry) = ([zero; U], zero);
    for c in 0..U {
        let (mut low, mut high) = (columns[c].load(), zero);
        for s in 0..c {
            low = _mm512_madd52lo_epu64(low, digits[s], n[c - s].load());
            high = _mm512_madd52hi_epu64(high, digits[s], n[c - 1 - s].load());
        }
        let sum = _mm512_add_epi64(low, _mm512_add_epi64(high, carry));
        digits[c] = _mm512_madd52lo_epu64(zero, sum, inverse);
        let sum = _mm512_madd52lo_epu64(sum, digits[c], n[0].load());
        carry = _mm512_srli_epi64::<{ BITS as u32 }>(sum);
    }
    columns[U].store(_mm512_add_epi64(columns[U].load(), carry));
    add_rest(&mut columns[U..], digits, n);
}

/// Adds the products of all pairs of limbs of a block.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_triangle<const U: usize>(columns: &mut [Row], x: &[Row; U]) {
    let x = registers(x);
    for c in 1..2 * U - 1 {
        let mut sum = columns[c].load();
        for s in 0..U {
            if c > 2 * s && c - s < U {
                sum = _mm512_madd52lo_epu64(sum, x[s], x[c - s]);
            }
            if c > 2 * s + 1 && c - 1 - s < U {
                sum = _mm512_madd52hi_epu64(sum, x[s], x[c - 1 - s]);
            }
        }
        columns[c].store(sum);
    }
}

/// Adds the products of a block of limbs with a row of at least as many.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_product<const U: usize>(columns: &mut [Row], x: &[Row; U], y: &[Row]) {
    let x = registers(x);
    for c in 0..U {
        let mut sum = columns[c].load();
        for s in 0..=c {
            sum = _mm512_madd52lo_epu64(sum, x[s], y[c - s].load());
            if s < c {
                sum = _mm512_madd52hi_epu64(sum, x[s], y[c - 1 - s].load());
            }
        }
        columns[c].store(sum);
    }
    add_rest(&mut columns[U..], x, y);
}

/// Adds the products of a block of limbs with a row of at least as many, but for what belongs to the columns before
/// these, as many as the block has limbs.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_rest<const U: usize>(columns: &mut [Row], x: [__m512i; U], y: &[Row]) {
    let (middle, end) = columns.split_at_mut(y.len() - U);
    for (column, y) in middle.iter_mut().zip(y.windows(U + 1)) {
        let (mut low, mut high) = (column.load(), _mm512_setzero_si512());
        for s in 0..U {
            low = _mm512_madd52lo_epu64(low, x[s], y[U - s].load());
            high = _mm512_madd52hi_epu64(high, x[s], y[U - 1 - s].load());
        }
        column.store(_mm512_add_epi64(low, high));
    }
    let (y, end) = (&y[y.len() - U..], &mut end[..U]);
    for t in 0..U {
        let mut sum = end[t].load();
        for s in t..U {
            sum = _mm512_madd52hi_epu64(sum, x[s], y[U + t - 1 - s].load());
            if s > t {
                sum = _mm512_madd52lo_epu64(sum, x[s], y[U + t - s].load());
            }
        }
        end[t].store(sum);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn registers<const U: usize>(rows: &[Row; U]) -> [__m512i; U] {
    let mut registers = [_mm512_setzero_si512(); U];
    for (register, row) in registers.iter_mut().zip(rows) {
        *register = row.load();
    }
    registers
}

#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn mask() -> __m512i {
    _mm512_set1_epi64(MASK as i64)
}
