//! What the allocator does with memory that long jobs have given back. The process decides that once, for all its
//! threads.

/// Blocks of this size and more go back to the system as soon as they are free: the tables of long jobs, and no buffer
/// of a short one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const GIVEN_BACK_BYTES: libc::c_int = 4 << 20;

/// Gives large blocks back at once. Left alone, glibc raises its threshold to the largest block that was ever freed, up
/// to 32 MiB, and keeps hundreds of megabytes after a crowd of long jobs. Of other allocators nothing is asked.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no safe call for it")]
pub(super) fn give_large_blocks_back() {
    // SAFETY: mallopt(3) takes two integers, keeps no pointer, and may be called at any time, by any thread.
    let accepted = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, GIVEN_BACK_BYTES) };
    if accepted == 0 {
        tracing::warn!("the allocator takes no threshold: memory of long jobs may stay with this process");
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn give_large_blocks_back() {}
