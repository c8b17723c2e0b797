//! The priority of threads whose work may wait. Knows no work.

/// How long a slice of such a thread is. Linux protects the thread that runs from those that wake and ask for slices as
/// long, whatever its nice value; most ask for nothing and get 1.4 ms or so.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 10_000_000;

/// From now on this thread has the lowest priority that still has a share of the cores (nice 19, a 70th of one that
/// others want too), and any other that wakes takes its core at once.
///
/// Priority belongs to a thread on Linux; elsewhere to the process, which must keep its own.
#[cfg(target_os = "linux")]
pub fn give_way() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), 19) {
        tracing::warn!(%error, "a thread keeps its normal priority: short requests may wait longer beside what it does");
        return;
    }
    if !schedule(libc::SCHED_FLAG_KEEP_POLICY, libc::SCHED_OTHER, SLICE_NS) {
        tracing::debug!("the system takes no length of slices");
    }
}

/// From now on this thread runs where no other wants the core (`SCHED_IDLE`), and the system treats its core as free
/// for others: one that wakes is not put beside a busy thread for its sake. Beside threads that never rest it has a
/// 340th of a core: who calls this sees to it that the work does not starve.
#[cfg(target_os = "linux")]
pub fn run_when_idle() {
    give_way();
    if !schedule(0, libc::SCHED_IDLE, 0) {
        tracing::debug!("the system does not run threads only when it is idle");
    }
}

/// Sets how this thread is scheduled, of the lowest nice value, in slices of this length, if its policy has any (Linux
/// 6.12; earlier ones take it and do nothing). False if the system refuses.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe crate offers sched_setattr(2)")]
fn schedule(flags: libc::c_int, policy: libc::c_int, slice_ns: u64) -> bool {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy as u32,
        sched_flags: flags as u64,
        sched_nice: 19,
        sched_priority: 0,
        sched_runtime: slice_ns,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: sched_setattr(2) reads as many bytes of the structure as its first field says, keeps no pointer, and
    // changes this thread alone.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
pub fn give_way() {}

#[cfg(not(target_os = "linux"))]
pub fn run_when_idle() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// The nice value and the policy of a thread that has done this, as the system shows them.
    fn shown_after(act: fn()) -> (Option<i32>, Option<String>) {
        let thread = std::thread::spawn(move || {
            act();
            let thread = rustix::thread::gettid();
            let nice = rustix::process::getpriority_process(Some(thread)).ok();
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
            // The 41st value; the second is a name in parentheses.
            let policy = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(38).map(str::to_owned));
            (nice, policy)
        });
        thread.join().expect("it does not panic")
    }

    #[test]
    fn a_thread_that_gives_way_has_the_lowest_priority() {
        assert_eq!(shown_after(give_way), (Some(19), Some("0".into())));
    }

    #[test]
    fn a_thread_that_runs_when_the_system_is_idle_has_that_policy() {
        let (nice, policy) = shown_after(run_when_idle);
        assert_eq!((nice, policy.as_deref()), (Some(19), Some("5")));
    }
}
