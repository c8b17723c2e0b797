//! How many bytes the checkpoints take that are held for unfinished jobs. Jobs that wait for the same work share one.
//! Knows no job.

use crate::store::StoredJob;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The checkpoints that are held.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    bytes: u64,
    /// How many hold one, by where its bytes are.
    holders: FxHashMap<usize, u32>,
}

impl Checkpoints {
    /// The bytes of all of them, each counted once.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A job holds what it goes on from.
    pub(super) fn hold(&mut self, job: &StoredJob) {
        let Some(bytes) = bytes_of(job) else {
            return;
        };
        let holders = self.holders.entry(place(bytes)).or_default();
        *holders += 1;
        if *holders == 1 {
            self.bytes += bytes.len() as u64;
        }
    }

    /// It holds that no longer.
    pub(super) fn release(&mut self, job: &StoredJob) {
        let Some(bytes) = bytes_of(job) else {
            return;
        };
        if let Some(holders) = self.holders.get_mut(&place(bytes)) {
            *holders -= 1;
            if *holders == 0 {
                self.holders.remove(&place(bytes));
                self.bytes -= bytes.len() as u64;
            }
        }
    }
}

/// An empty one takes nothing, and has no place of its own.
fn bytes_of(job: &StoredJob) -> Option<&Arc<[u8]>> {
    let checkpoint = job.checkpoint.as_ref()?;
    (!checkpoint.bytes.is_empty()).then_some(&checkpoint.bytes)
}

fn place(bytes: &Arc<[u8]>) -> usize {
    bytes.as_ptr().addr()
}
