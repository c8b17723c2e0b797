//! Which instructions beyond the common ones the kernels use on this processor. Each kernel asks by [`has!`].

/// The instructions that kernels use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "only the command limits them"))]
pub enum Limit {
    /// Those that every processor of the family has.
    Portable,
    /// No AVX-512.
    Avx2,
    /// Of AVX-512 only what its first processors have: F, BW, DQ and VL.
    Avx512,
    /// Whatever the processor has.
    #[cfg(target_arch = "x86_64")]
    All,
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::has;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use super::Limit;
    use std::arch::x86_64::{__cpuid, CpuidResult};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU8, Ordering};

    pub(super) static LIMIT: AtomicU8 = AtomicU8::new(Limit::All as u8);

    /// True if kernels may use this feature, if the processor has it.
    #[inline(always)]
    pub(crate) fn is_within_limit(feature: &str) -> bool {
        let least = match feature {
            "avx512f" | "avx512bw" | "avx512dq" | "avx512vl" => Limit::Avx512,
            _ if feature.starts_with("avx512") => Limit::All,
            _ => Limit::Avx2,
        };
        least as u8 <= LIMIT.load(Ordering::Relaxed)
    }

    /// Whether the processor loads by index ("gather") in microcode, so that as many loads take less time: AMD's do, as
    /// measured on a Zen 5.
    pub(crate) fn gathers_slowly() -> bool {
        static VENDOR: LazyLock<CpuidResult> = LazyLock::new(|| __cpuid(0));
        [VENDOR.ebx, VENDOR.edx, VENDOR.ecx]
            .map(u32::to_le_bytes)
            .as_flattened()
            == b"AuthenticAMD"
    }

    /// True if the processor has all of these features, and kernels may use them.
    macro_rules! has {
        ($($feature:tt),+) => {
            $($crate::primes::features::is_within_limit($feature) && is_x86_feature_detected!($feature))&&+
        };
    }
    pub(crate) use has;
}
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{gathers_slowly, is_within_limit};

/// Keeps kernels that begin from now on from other instructions.
#[cfg(feature = "cli")]
pub fn limit(most: Limit) {
    #[cfg(target_arch = "x86_64")]
    x86_64::LIMIT.store(most as u8, std::sync::atomic::Ordering::Relaxed);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = most;
}

/// The features that some kernel asks for, this processor has, and the limit allows, by the names of the compiler.
/// Empty where there are no such kernels.
#[cfg(feature = "cli")]
pub fn in_use() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($feature:tt)*) => {
                [$(($feature, has!($feature))),*]
            };
        }
        let features = detected!(
            "popcnt" "lzcnt" "adx" "bmi1" "bmi2" "fma" "avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512ifma" "avx512vbmi" "avx512vbmi2" "avx512vpopcntdq"
        );
        let found = features.into_iter().filter(|(_, has)| *has);
        found.map(|(feature, _)| feature).collect()
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn files(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("src is readable").flatten() {
            match entry.path() {
                path if path.is_dir() => files(&path, found),
                path if path.extension().is_some_and(|extension| extension == "rs") => {
                    found.push(fs::read_to_string(path).expect("a source is text"));
                }
                _ => {}
            }
        }
    }

    #[test]
    fn kernels_ask_here_and_the_list_has_what_they_ask_for() {
        let mut sources = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/primes"), &mut sources);
        let list = include_str!("features.rs");
        sources.retain(|source| source != list);
        for source in &sources {
            assert!(
                !source.contains(concat!("is_x86_feature_", "detected")),
                "asks by itself:\n{source}"
            );
        }
        let asked = sources.iter().flat_map(|source| source.split("has!(").skip(1));
        let asked = asked.filter_map(|rest| rest.split(')').next());
        let mut count = 0;
        for feature in asked.flat_map(|features| features.split(',')).map(str::trim) {
            let is_listed = [' ', '\n']
                .iter()
                .any(|after| list.contains(&format!("{feature}{after}")));
            assert!(is_listed || feature.is_empty(), "{feature} is not in the list");
            count += 1;
        }
        assert!(count > 10, "{count} features");
    }
}
