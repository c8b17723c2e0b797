//! What `doctor` reads of the machine. Where the system does not say, a field is `None`.

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
    /// Memory that is left, in percent of all.
    pub(super) memory_left_pct: Option<u64>,
    /// Bytes that are left where the store is.
    pub(super) store_space: Option<u64>,
    /// CPU time that other guests of the host have taken, in percent.
    pub(super) stolen_pct: Option<u64>,
}

impl Machine {
    /// Looks at it. An empty path: there is no store.
    pub(super) fn look(store: &Path) -> Self {
        Self {
            files: getrlimit(Resource::Nofile).current,
            // The directory that is read is one.
            files_open: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| (files.count() as u64).saturating_sub(1)),
            memory_left_pct: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| memory_left_pct(&text)),
            store_space: rustix::fs::statvfs(store)
                .ok()
                .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            stolen_pct: fs::read_to_string("/proc/stat").ok().and_then(|text| stolen_pct(&text)),
        }
    }
}

/// Memory of the process in bytes, where the system says it: proc_pid_statm(5), the second number, in pages.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// `MemAvailable` in percent of `MemTotal`, of /proc/meminfo.
fn memory_left_pct(text: &str) -> Option<u64> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line?.split_whitespace().next()?.parse::<u64>().ok()
    };
    value("MemAvailable:")?
        .saturating_mul(100)
        .checked_div(value("MemTotal:")?)
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
    fn figures_of_the_kernel_are_read() {
        let text = "MemTotal:       24000000 kB\nMemFree:         1 kB\nMemAvailable:    6000000 kB\n";
        assert_eq!(memory_left_pct(text), Some(25));
        assert_eq!(stolen_pct("cpu  50 0 20 10 0 0 0 20 5 5\ncpu0 1\n"), Some(20));
        for strange in ["", "cpu", "cpu  1 2", "MemTotal: x"] {
            assert_eq!(
                (memory_left_pct(strange), stolen_pct(strange)),
                (None, None),
                "{strange}"
            );
        }
    }
}
