//! Doubles that the processor calculates with at once, four or eight of them, for [`transform`](super::transform).
//!
//! Knows no residue. Unsafe: instructions of AVX2, FMA and AVX-512 in functions without the attribute that asks for
//! them, for a function that has it cannot be one that is always inlined. All of these are, into functions that have
//! it, and those are called where the processor has the instructions.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Four doubles, as they are kept.
pub(super) type Lanes = __m256d;

/// A number for each lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn lanes([a, b, c, d]: [f64; 4]) -> Lanes {
    _mm256_set_pd(d, c, b, a)
}

/// As many doubles as the processor calculates with at once: those of one register of four lanes, or of two that follow
/// each other.
///
/// All of it is inlined in functions that have the instructions: AVX2 and FMA for [`Lanes`], AVX-512 F and DQ for twice
/// as many.
pub(super) trait Vector: Copy {
    /// The registers of four lanes that hold the same residues.
    type Registers;

    /// The registers of a row, without one that may be left.
    fn chunks(row: &[Lanes]) -> &[Self::Registers];
    /// The same, to be changed, and that one.
    fn chunks_mut(row: &mut [Lanes]) -> (&mut [Self::Registers], &mut [Lanes]);
    fn load(from: &Self::Registers) -> Self;
    fn store(self, to: &mut Self::Registers);
    /// Coefficient `i` of leaf `part` of a pair, or of both.
    fn of_leaves<const LEAF: usize>(leaves: &[[Lanes; LEAF]; 2], part: usize, i: usize) -> Self;
    fn to_leaves<const LEAF: usize>(self, leaves: &mut [[Lanes; LEAF]; 2], part: usize, i: usize);
    /// What leaf `part` of a pair has, or both: the first has this, and the second the negative.
    fn of_leaf_pair(first: Lanes, part: usize) -> Self;
    /// The same number in all lanes.
    fn all(a: f64) -> Self;
    /// The same lanes in each register.
    fn each(lanes: Lanes) -> Self;
    /// `self + b`
    fn add(self, b: Self) -> Self;
    /// `self - b`
    fn sub(self, b: Self) -> Self;
    /// The double of `self b`.
    fn times(self, b: Self) -> Self;
    /// `self b - c`
    fn times_less(self, b: Self, c: Self) -> Self;
    /// `c - self b`
    fn times_from(self, b: Self, c: Self) -> Self;
    /// The nearest integers.
    fn rounded(self) -> Self;
    /// From vectors that follow each other those of the first, second, third and fourth lane of all registers.
    fn lanes_apart(vectors: [Self; 4]) -> [Self; 4];
    /// The same back.
    fn lanes_together(vectors: [Self; 4]) -> [Self; 4];
    /// For each register the one before, if `previous` comes before this.
    fn registers_before(self, previous: Self) -> Self;
    fn last_register(self) -> Lanes;
}

/// Functions of a [`Vector`] that are one instruction each.
macro_rules! instructions {
    ($all:ident, $add:ident, $sub:ident, $mul:ident, $fmsub:ident, $fnmadd:ident, $round:ident) => {
        #[inline(always)]
        fn all(a: f64) -> Self {
            // SAFETY: as the trait says.
            unsafe { $all(a) }
        }
        #[inline(always)]
        fn add(self, b: Self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $add(self, b) }
        }
        #[inline(always)]
        fn sub(self, b: Self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $sub(self, b) }
        }
        #[inline(always)]
        fn times(self, b: Self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $mul(self, b) }
        }
        #[inline(always)]
        fn times_less(self, b: Self, c: Self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $fmsub(self, b, c) }
        }
        #[inline(always)]
        fn times_from(self, b: Self, c: Self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $fnmadd(self, b, c) }
        }
        #[inline(always)]
        fn rounded(self) -> Self {
            // SAFETY: as the trait says.
            unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self) }
        }
    };
}

impl Vector for Lanes {
    type Registers = Lanes;

    #[inline(always)]
    fn chunks(row: &[Lanes]) -> &[Lanes] {
        row
    }
    #[inline(always)]
    fn chunks_mut(row: &mut [Lanes]) -> (&mut [Lanes], &mut [Lanes]) {
        (row, &mut [])
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        *from
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        *to = self;
    }
    #[inline(always)]
    fn of_leaves<const LEAF: usize>(leaves: &[[Lanes; LEAF]; 2], part: usize, i: usize) -> Self {
        leaves[part][i]
    }
    #[inline(always)]
    fn to_leaves<const LEAF: usize>(self, leaves: &mut [[Lanes; LEAF]; 2], part: usize, i: usize) {
        leaves[part][i] = self;
    }
    #[inline(always)]
    fn of_leaf_pair(first: Lanes, part: usize) -> Self {
        if part == 0 { first } else { Self::all(0.0).sub(first) }
    }
    #[inline(always)]
    fn each(lanes: Lanes) -> Self {
        lanes
    }
    instructions!(
        _mm256_set1_pd,
        _mm256_add_pd,
        _mm256_sub_pd,
        _mm256_mul_pd,
        _mm256_fmsub_pd,
        _mm256_fnmadd_pd,
        _mm256_round_pd
    );
    #[inline(always)]
    fn lanes_apart([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: as the trait says.
        unsafe {
            let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
            let (low_after, high_after) = (_mm256_unpacklo_pd(c, d), _mm256_unpackhi_pd(c, d));
            [
                _mm256_permute2f128_pd::<0x20>(low, low_after),
                _mm256_permute2f128_pd::<0x20>(high, high_after),
                _mm256_permute2f128_pd::<0x31>(low, low_after),
                _mm256_permute2f128_pd::<0x31>(high, high_after),
            ]
        }
    }
    #[inline(always)]
    fn lanes_together(vectors: [Self; 4]) -> [Self; 4] {
        Self::lanes_apart(vectors)
    }
    #[inline(always)]
    fn registers_before(self, previous: Self) -> Self {
        previous
    }
    #[inline(always)]
    fn last_register(self) -> Lanes {
        self
    }
}

impl Vector for __m512d {
    type Registers = [Lanes; 2];

    #[inline(always)]
    fn chunks(row: &[Lanes]) -> &[[Lanes; 2]] {
        row.as_chunks().0
    }
    #[inline(always)]
    fn chunks_mut(row: &mut [Lanes]) -> (&mut [[Lanes; 2]], &mut [Lanes]) {
        row.as_chunks_mut()
    }
    #[inline(always)]
    fn load(from: &[Lanes; 2]) -> Self {
        // SAFETY: as the trait says; two registers are eight doubles.
        unsafe { _mm512_loadu_pd(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn store(self, to: &mut [Lanes; 2]) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_pd(to.as_mut_ptr().cast(), self) }
    }
    #[inline(always)]
    fn of_leaves<const LEAF: usize>(leaves: &[[Lanes; LEAF]; 2], _: usize, i: usize) -> Self {
        // SAFETY: as the trait says.
        unsafe { _mm512_insertf64x4::<1>(_mm512_castpd256_pd512(leaves[0][i]), leaves[1][i]) }
    }
    #[inline(always)]
    fn to_leaves<const LEAF: usize>(self, leaves: &mut [[Lanes; LEAF]; 2], _: usize, i: usize) {
        // SAFETY: as the trait says.
        leaves[0][i] = unsafe { _mm512_castpd512_pd256(self) };
        leaves[1][i] = self.last_register();
    }
    #[inline(always)]
    fn of_leaf_pair(first: Lanes, _: usize) -> Self {
        // SAFETY: as the trait says.
        unsafe {
            _mm512_xor_pd(
                Self::each(first),
                _mm512_set_pd(-0.0, -0.0, -0.0, -0.0, 0.0, 0.0, 0.0, 0.0),
            )
        }
    }
    #[inline(always)]
    fn each(lanes: Lanes) -> Self {
        // SAFETY: as the trait says.
        unsafe { _mm512_broadcast_f64x4(lanes) }
    }
    instructions!(
        _mm512_set1_pd,
        _mm512_add_pd,
        _mm512_sub_pd,
        _mm512_mul_pd,
        _mm512_fmsub_pd,
        _mm512_fnmadd_pd,
        _mm512_roundscale_pd
    );
    #[inline(always)]
    fn lanes_apart([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: as the trait says.
        unsafe {
            let (low, high) = (_mm512_unpacklo_pd(a, b), _mm512_unpackhi_pd(a, b));
            let (low_after, high_after) = (_mm512_unpacklo_pd(c, d), _mm512_unpackhi_pd(c, d));
            [
                _mm512_shuffle_f64x2::<0b10_00_10_00>(low, low_after),
                _mm512_shuffle_f64x2::<0b10_00_10_00>(high, high_after),
                _mm512_shuffle_f64x2::<0b11_01_11_01>(low, low_after),
                _mm512_shuffle_f64x2::<0b11_01_11_01>(high, high_after),
            ]
        }
    }
    #[inline(always)]
    fn lanes_together([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        // SAFETY: as the trait says.
        unsafe {
            let first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
            let second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
            let (low, low_after) = (
                _mm512_permutex2var_pd(a, first, c),
                _mm512_permutex2var_pd(a, second, c),
            );
            let (high, high_after) = (
                _mm512_permutex2var_pd(b, first, d),
                _mm512_permutex2var_pd(b, second, d),
            );
            [
                _mm512_unpacklo_pd(low, high),
                _mm512_unpackhi_pd(low, high),
                _mm512_unpacklo_pd(low_after, high_after),
                _mm512_unpackhi_pd(low_after, high_after),
            ]
        }
    }
    #[inline(always)]
    fn registers_before(self, previous: Self) -> Self {
        // SAFETY: as the trait says.
        unsafe { _mm512_shuffle_f64x2::<0b01_00_11_10>(previous, self) }
    }
    #[inline(always)]
    fn last_register(self) -> Lanes {
        // SAFETY: as the trait says.
        unsafe { _mm512_extractf64x4_pd::<1>(self) }
    }
}

/// Each lane in the place of the next one, the last one in that of the first, and that one negative if asked.
#[inline(always)]
pub(super) fn in_next_lane(lanes: Lanes, is_first_negative: bool) -> Lanes {
    let sign = if is_first_negative { -0.0 } else { 0.0 };
    // SAFETY: as `Vector` says.
    unsafe {
        _mm256_xor_pd(
            _mm256_permute4x64_pd::<0b10_01_00_11>(lanes),
            _mm256_set_pd(0.0, 0.0, 0.0, sign),
        )
    }
}
