//! The priority of threads whose work may wait. Knows no work.

/// How long a slice of such a thread is. Linux protects the thread that runs from those that wake and ask for slices as long, whatever
/// its nice value; most ask for nothing and get 1.4 ms or so.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 10_000_000;

/// From now on this thread has the lowest priority that still has a share of the cores, and any other that wakes takes its core at once.
///
/// Priority belongs to a thread on Linux; elsewhere to the process, which must keep its own.
#[cfg(target_os = "linux")]
pub fn give_way() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), 19) {
        tracing::warn!(%error, "a thread keeps its normal priority: short requests may wait longer beside what it does");
        return;
    }
    if !ask_for_long_slices() {
        tracing::debug!("the system takes no length of slices");
    }
}

/// Asks for slices longer than those of others, which makes others that wake go first (Linux 6.12; earlier ones take it and do nothing).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe crate offers sched_setattr(2)")]
fn ask_for_long_slices() -> bool {
    let attributes = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: 0,
        sched_flags: libc::SCHED_FLAG_KEEP_POLICY as u64,
        sched_nice: 19,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: sched_setattr(2) reads as many bytes of the structure as its first field says, keeps no pointer, and changes this thread
    // alone.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0 }
}

#[cfg(not(target_os = "linux"))]
pub fn give_way() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gives_way_has_the_lowest_priority() {
        let nice = std::thread::spawn(|| {
            give_way();
            rustix::process::getpriority_process(Some(rustix::thread::gettid()))
        });
        assert_eq!(nice.join().expect("it does not panic").ok(), Some(19));
    }
}
