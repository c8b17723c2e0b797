//! Which instructions the kernels may use; asked of the processor once a count, so that one binary runs everywhere.

#[cfg(target_arch = "x86_64")]
use crate::primes::features::has;

/// A set of instructions. Every kernel has a portable version that the tests compare it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    /// What every processor has.
    Portable,
    /// AVX2 with FMA, POPCNT, LZCNT, BMI1 and BMI2: x86-64-v3.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, BW, DQ, VL, VBMI2 and VPOPCNTDQ: Intel since Ice Lake, AMD since Zen 4.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// The best the processor has.
    pub(crate) fn best() -> Self {
        Self::all().last().copied().unwrap_or(Self::Portable)
    }

    /// All the processor has, from the slowest to the fastest.
    pub(crate) fn all() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = has!("avx2", "fma", "popcnt", "bmi1", "bmi2", "lzcnt");
            let avx512 = has!(
                "avx512f",
                "avx512bw",
                "avx512dq",
                "avx512vl",
                "avx512vbmi2",
                "avx512vpopcntdq"
            );
            match (avx2, avx512) {
                (true, true) => &[Self::Portable, Self::Avx2, Self::Avx512],
                (true, false) => &[Self::Portable, Self::Avx2],
                _ => &[Self::Portable],
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        &[Self::Portable]
    }
}
