//! What `--version` says: which sources, how they were compiled, and which instructions of this processor they use.

use crate::primes::features;

/// The version, and the commit if it is known.
pub(super) const SHORT: &str = env!("VERSION_OF_PRIMED");

/// With the profile of the build and the features of the processor.
pub(super) fn long() -> String {
    let features = features::in_use();
    let cpu = match features.is_empty() {
        true => "no more than every processor has".to_owned(),
        false => features.join(" "),
    };
    format!("{SHORT}\nprofile: {}\ncpu: {cpu}", env!("PROFILE_OF_PRIMED"))
}
