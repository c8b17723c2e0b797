//! What `doctor` reads of the machine. Where the system does not say, a field is `None`.

use crate::verb::memory::Memory;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// The state of the machine and of this process.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// The limit of open files.
    pub(super) files: Option<u64>,
    /// Those that this process has open.
    pub(super) files_open: Option<u64>,
    /// Memory where the smallest share is left.
    pub(super) memory: Option<Memory>,
    /// Bytes that are left where the store is.
    pub(super) store_space: Option<u64>,
    /// CPU time that other guests of the host have taken, in percent.
    pub(super) stolen_pct: Option<u64>,
}

impl Machine {
    /// Looks at it, for a daemon with this number of workers. An empty path: there is no store.
    pub(super) fn look(store: &Path, workers: usize) -> Self {
        Self {
            files: getrlimit(Resource::Nofile).current,
            files_open: files_open(),
            memory: Memory::scarcest(workers),
            store_space: rustix::fs::statvfs(store)
                .ok()
                .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            stolen_pct: fs::read_to_string("/proc/stat").ok().and_then(|text| stolen_pct(&text)),
        }
    }
}

/// How many files this process has open. Since Linux 6.2 that is the size of this directory, which is known in 6 us
/// where 18,000 are open; before, the size is 0, and the entries are counted, which takes 20 to 60 ms then.
fn files_open() -> Option<u64> {
    let directory = Path::new("/proc/self/fd");
    match fs::metadata(directory).ok()?.len() {
        0 => entries(directory),
        count => Some(count),
    }
}

/// How many files this process has open, counted in its directory of them: to read that, one more is open.
fn entries(directory: &Path) -> Option<u64> {
    let files = fs::read_dir(directory).ok()?;
    Some((files.count() as u64).saturating_sub(1))
}

/// The eighth figure of the first line of /proc/stat, in percent of their sum; the last two are part of the first two.
fn stolen_pct(text: &str) -> Option<u64> {
    let figures = text.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let figures: Vec<u64> = figures.map_while(|figure| figure.parse().ok()).take(8).collect();
    figures.get(7)?.saturating_mul(100).checked_div(figures.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_open_are_counted_in_either_way() {
        // Other tests open and close files meanwhile.
        let held: Vec<_> = (0..200).filter_map(|_| fs::File::open("/dev/null").ok()).collect();
        let least = held.len() as u64;
        for count in [files_open(), entries(Path::new("/proc/self/fd"))] {
            assert!(
                count.is_none_or(|count| (least..least + 2_000).contains(&count)),
                "{count:?}"
            );
        }
    }

    #[test]
    fn figures_of_the_kernel_are_read() {
        assert_eq!(stolen_pct("cpu  50 0 20 10 0 0 0 20 5 5\ncpu0 1\n"), Some(20));
        for strange in ["", "cpu", "cpu  1 2"] {
            assert_eq!(stolen_pct(strange), None, "{strange}");
        }
    }
}
