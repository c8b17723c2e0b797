//! Which instructions beyond the common ones the kernels use on this processor. Each kernel asks for itself; this is for people.

/// The features that some kernel asks for and this processor has, by the names of the compiler. Empty where there are no such kernels.
pub fn in_use() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($feature:tt)*) => {
                [$(($feature, is_x86_feature_detected!($feature))),*]
            };
        }
        let features = detected!(
            "popcnt" "bmi2" "fma" "avx2" "avx512f" "avx512bw" "avx512dq" "avx512vl" "avx512ifma" "avx512vbmi2" "avx512vpopcntdq"
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
    fn the_list_has_what_the_kernels_ask_for() {
        let mut sources = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/primes"), &mut sources);
        let question = "is_x86_feature_detected!(\"";
        let asked = sources.iter().flat_map(|source| source.split(question).skip(1));
        let list = include_str!("features.rs");
        for feature in asked.filter_map(|rest| rest.split('"').next()) {
            assert!(list.contains(&format!("\"{feature}\"")), "{feature} is not in the list");
        }
    }
}
