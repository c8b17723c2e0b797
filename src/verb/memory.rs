//! Memory: what this process has, and what there is for it, on the machine, in its control groups and within its own
//! limits. Where the system does not say, `None`.

use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;

/// Where the system mounts the control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// What sets the least limit on a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All memory of the machine.
    Machine,
    /// That of a control group, as of a container or a unit of systemd.
    ControlGroup,
    /// The process's own limit, of its addresses or of its data, getrlimit(2).
    Process,
}

/// Addresses of a worker, which has two threads: each with a stack, and an arena of glibc of 64 MiB. And of the program
/// with its other threads: `serve` with two workers has 287 MiB before the first question, with eight 1,015.
const ADDRESSES_OF_WORKER: u64 = 132 << 20;
const ADDRESSES_OF_PROGRAM: u64 = 256 << 20;
/// The same of data: 9 MiB with two workers, 35 with eight.
const DATA_OF_WORKER: u64 = 5 << 20;
const DATA_OF_PROGRAM: u64 = 32 << 20;

/// Memory in bytes: all there is in a scope, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whose it is.
    pub scope: Scope,
    /// All there is.
    pub total: u64,
    /// What is left, with what the kernel gives back at once.
    pub left: u64,
}

impl Memory {
    /// What is left, in percent.
    pub fn left_pct(self) -> u64 {
        self.left.saturating_mul(100) / self.total.max(1)
    }

    /// That of the machine, of the control groups that limit this process, and within its own limits, for a
    /// daemon with this number of workers.
    fn all(workers: usize) -> Vec<Self> {
        let machine = fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| of_machine(&text));
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        machine
            .into_iter()
            .chain(of_groups(Path::new(GROUPS), &groups))
            .chain(of_limits(workers as u64))
            .collect()
    }

    /// Where a daemon with this number of workers can have the least for jobs.
    #[cfg(feature = "cli")]
    pub fn smallest(workers: usize) -> Option<Self> {
        Self::all(workers).into_iter().min_by_key(|memory| memory.total)
    }

    /// Where the smallest share is left to a daemon with this number of workers.
    pub fn scarcest(workers: usize) -> Option<Self> {
        Self::all(workers).into_iter().min_by_key(|memory| memory.left_pct())
    }
}

/// Memory of the process in bytes: the second number.
pub fn resident_bytes() -> Option<u64> {
    statm(1)
}

/// A number of proc_pid_statm(5), which counts pages, in bytes.
fn statm(index: usize) -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(index)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// What jobs may have by the process's own limits: the first number of statm counts against that of addresses, the
/// sixth against that of data.
fn of_limits(workers: u64) -> impl Iterator<Item = Memory> {
    let limits = [
        (Resource::As, 0, ADDRESSES_OF_PROGRAM + workers * ADDRESSES_OF_WORKER),
        (Resource::Data, 5, DATA_OF_PROGRAM + workers * DATA_OF_WORKER),
    ];
    limits.into_iter().filter_map(|(resource, index, kept)| {
        let limit = getrlimit(resource).current?;
        Some(of_limit(limit, statm(index).unwrap_or(0), kept))
    })
}

/// Of a limit, with what is used of it and what is kept for all but jobs.
fn of_limit(limit: u64, used: u64, kept: u64) -> Memory {
    let total = limit.saturating_sub(kept);
    Memory {
        scope: Scope::Process,
        total,
        left: limit.saturating_sub(used).min(total),
    }
}

/// `MemTotal` and `MemAvailable` of /proc/meminfo.
fn of_machine(text: &str) -> Option<Memory> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line?.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let total = value("MemTotal:").filter(|total| *total > 0)?;
    Some(Memory {
        scope: Scope::Machine,
        total,
        left: value("MemAvailable:")?.min(total),
    })
}

/// Names of the files of a control group: its limit, its use, and in its statistics what it can be given back.
struct Files {
    limit: &'static str,
    used: &'static str,
    inactive: &'static str,
}

/// Of the second version of control groups, cgroups(7).
const SECOND: Files = Files {
    limit: "memory.max",
    used: "memory.current",
    inactive: "inactive_file ",
};
/// Of the first.
const FIRST: Files = Files {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    inactive: "total_inactive_file ",
};

/// Control groups with a limit among those of /proc/self/cgroup and all above them. In a container the paths may be
/// those outside of it, and then its own group is at the top.
fn of_groups(mount: &Path, text: &str) -> Vec<Memory> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, files) = match controllers {
            "" => (mount.to_owned(), SECOND),
            _ if controllers.split(',').any(|name| name == "memory") => (mount.join("memory"), FIRST),
            _ => continue,
        };
        let folder = root.join(path.trim_start_matches('/'));
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(&root));
        found.extend(folders.filter_map(|folder| of_group(folder, &files)));
    }
    found
}

fn of_group(folder: &Path, files: &Files) -> Option<Memory> {
    let number = |name| -> Option<u64> { fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok() };
    // Without a limit it is a word, or in the first version more than any machine has.
    let total = number(files.limit).filter(|total| (1..1 << 60).contains(total))?;
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let inactive = statistics.lines().find_map(|line| line.strip_prefix(files.inactive));
    let inactive = inactive.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
    let used = number(files.used).unwrap_or(0).saturating_sub(inactive);
    Some(Memory {
        scope: Scope::ControlGroup,
        total,
        left: total.saturating_sub(used),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn figures_of_the_kernel_are_read() {
        let text = "MemTotal:       24000000 kB\nMemFree:         1 kB\nMemAvailable:    6000000 kB\n";
        let memory = of_machine(text).expect("it says both");
        assert_eq!(
            (memory.total, memory.left, memory.left_pct()),
            (24_576_000_000, 6_144_000_000, 25)
        );
        for strange in ["", "cpu", "MemTotal: x", "MemTotal: 0 kB\nMemAvailable: 0 kB"] {
            assert_eq!(of_machine(strange), None, "{strange}");
        }
    }

    #[test]
    fn the_limit_of_a_process_is_also_for_its_threads() {
        let memory = of_limit(1_000 << 20, 300 << 20, 200 << 20);
        assert_eq!((memory.total >> 20, memory.left >> 20), (800, 700));
        let memory = of_limit(1_000 << 20, 100 << 20, 200 << 20);
        assert_eq!((memory.total >> 20, memory.left_pct()), (800, 100));
        assert_eq!(of_limit(100 << 20, 300 << 20, 200 << 20).left_pct(), 0);
    }

    /// A tree of control groups, which goes when it is dropped.
    struct Mount(PathBuf);

    impl Mount {
        /// Files by their paths.
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let mount = std::env::temp_dir().join(format!("primed-groups-{name}-{}", std::process::id()));
            for (path, text) in files {
                let path = mount.join(path);
                fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
                fs::write(path, text).expect("it can be written");
            }
            Self(mount)
        }

        fn memory(&self, groups: &str) -> Vec<Memory> {
            of_groups(&self.0, groups)
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn group(total: u64, left: u64) -> Memory {
        Memory {
            scope: Scope::ControlGroup,
            total,
            left,
        }
    }

    #[test]
    fn each_limit_on_the_way_up_counts_and_what_the_kernel_gives_back_is_left() {
        let mount = Mount::new(
            "second",
            &[
                ("a/b/memory.max", "1000\n"),
                ("a/b/memory.current", "700\n"),
                ("a/b/memory.stat", "anon 500\ninactive_file 200\n"),
                ("a/memory.max", "max\n"),
                ("memory.max", "800\n"),
                ("memory.current", "900\n"),
                ("memory.stat", "nonsense\n"),
            ],
        );
        assert_eq!(mount.memory("0::/a/b\n"), [group(1000, 500), group(800, 0)]);
        for strange in ["", "0", "0:", "0::/../..", "3:cpu:/a/b"] {
            let found = mount.memory(strange);
            assert!(found.iter().all(|memory| memory.total == 800), "{strange}: {found:?}");
        }
    }

    #[test]
    fn the_first_version_has_other_files_and_a_container_its_group_at_the_top() {
        let mount = Mount::new(
            "first",
            &[
                ("memory/memory.limit_in_bytes", "1000\n"),
                ("memory/memory.usage_in_bytes", "600\n"),
                ("memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n"),
                ("memory/huge/memory.limit_in_bytes", "9223372036854771712\n"),
            ],
        );
        let text = "4:cpu,memory:/docker/0123\n3:cpuset:/\n";
        assert_eq!(mount.memory(text), [group(1000, 500)]);
        assert_eq!(mount.memory("4:memory:/huge\n"), [group(1000, 500)]);
    }
}
