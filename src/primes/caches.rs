//! How large the processor's caches are, as it says itself.

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::share_of;

/// Bytes of the cache of this level for each of the threads that share it; `None` where the processor does not say.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn share_of(_level: u32) -> Option<usize> {
    None
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
    use std::sync::LazyLock;

    /// The leaves that describe caches in the same way: AMD's, and Intel's.
    const AMD: u32 = 0x8000_001d;
    const INTEL: u32 = 4;

    /// More than any processor has.
    const MOST_CACHES: u32 = 16;

    /// Bytes of the cache of this level for each of the threads that share it; `None` where the processor does not say.
    pub(crate) fn share_of(wanted: u32) -> Option<usize> {
        static CACHES: LazyLock<Vec<(u32, usize)>> = LazyLock::new(|| {
            let is_there = |leaf: u32| __cpuid(leaf & 0x8000_0000).eax >= leaf;
            let leaves = [AMD, INTEL].into_iter().filter(|leaf| is_there(*leaf));
            let caches = leaves.flat_map(|leaf| (0..MOST_CACHES).map(move |index| __cpuid_count(leaf, index)));
            caches.map(|cache| (level(&cache), share(&cache))).collect()
        });
        let cache = CACHES.iter().find(|(level, _)| *level == wanted);
        cache.map(|(_, share)| *share)
    }

    /// The level of a data or unified cache; 0 of others, and where there is none.
    pub(super) fn level(cache: &CpuidResult) -> u32 {
        match cache.eax & 31 {
            1 | 3 => cache.eax >> 5 & 7,
            _ => 0,
        }
    }

    /// Bytes for each of the threads that share the cache.
    pub(super) fn share(cache: &CpuidResult) -> usize {
        let field = |register: u32, low: u32, bits: u32| (register >> low & ((1 << bits) - 1)) as usize + 1;
        let (line, partitions, ways) = (
            field(cache.ebx, 0, 12),
            field(cache.ebx, 12, 10),
            field(cache.ebx, 22, 10),
        );
        let sets = cache.ecx as usize + 1;
        line * partitions * ways * sets / field(cache.eax, 14, 12)
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::x86_64::{level, share};
    use std::arch::x86_64::CpuidResult;

    #[test]
    fn a_shared_cache_counts_once() {
        // 1 MiB, eight ways of 2048 lines of 64 bytes, unified, of the second level.
        let cache = |threads: u32| CpuidResult {
            eax: 3 | 2 << 5 | (threads - 1) << 14,
            ebx: 63 | 7 << 22,
            ecx: 2047,
            edx: 0,
        };
        assert_eq!(level(&cache(1)), 2);
        assert_eq!([1, 2, 4].map(|threads| share(&cache(threads)) >> 10), [1024, 512, 256]);
        let instructions = CpuidResult {
            eax: 2 | 1 << 5,
            ..cache(1)
        };
        assert_eq!(level(&instructions), 0);
        assert_eq!(level(&CpuidResult { eax: 0, ..cache(1) }), 0);
    }
}
