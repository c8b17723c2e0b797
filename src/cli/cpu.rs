//! `$PRIMED_CPU`: the instructions that the program uses at most, to test and measure what it does on another
//! processor.

use crate::primes::features::{self, Limit};

/// The variable.
pub(super) const VARIABLE: &str = "PRIMED_CPU";

/// Sets the limit that the variable names. Called before anything is computed.
///
/// # Errors
/// What is wrong with its value.
pub(super) fn apply() -> Result<(), String> {
    let Some(value) = std::env::var_os(VARIABLE) else {
        return Ok(());
    };
    let limit = match value.to_str() {
        Some("portable") => Limit::Portable,
        Some("avx2") => Limit::Avx2,
        Some("avx512") => Limit::Avx512,
        _ => {
            return Err(format!(
                "${VARIABLE} is one of portable, avx2 and avx512, not {value:?}"
            ));
        }
    };
    features::limit(limit);
    Ok(())
}
