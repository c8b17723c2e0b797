//! A store in memory whose writes can be lost and whose calls fail as they are asked to: for tests and the simulation.
//!
//! The [`MemoryStore`] is a handle; what it stands for outlives it, as a disk does a process.

use super::contents::Contents;
use super::error::{ErrorKind, StoreError};
use super::record::Record;
use super::{Store, StoreError as Error};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    /// What survives a crash.
    synced: Contents,
    /// Batches that are written and not yet synced.
    written: VecDeque<Vec<Record>>,
    /// What every call fails with, until it is taken back.
    broken: Option<ErrorKind>,
    commits: u64,
}

impl MemoryStore {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call fails so, until this is called with `None`.
    pub fn set_broken(&self, kind: Option<ErrorKind>) {
        self.disk().broken = kind;
    }

    /// Hands a batch to the disk. Until it is [synced](Self::sync) a crash may lose it.
    ///
    /// # Errors
    /// As it was asked to.
    pub fn write(&self, batch: &[Record]) -> Result<(), StoreError> {
        let mut disk = self.disk();
        if let Some(kind) = disk.broken {
            return Err(Error::new(kind, "memory", "a failure that was asked for"));
        }
        disk.written.push_back(batch.to_vec());
        Ok(())
    }

    /// Makes all that is written survive a crash.
    pub fn sync(&self) {
        let mut disk = self.disk();
        while let Some(batch) = disk.written.pop_front() {
            disk.apply(&batch);
        }
    }

    /// The machine crashes: of the batches that were not synced the first `survivors` survive by chance, the others are
    /// lost.
    #[cfg(test)]
    pub fn crash(&self, survivors: usize) {
        let mut disk = self.disk();
        for _ in 0..survivors {
            if let Some(batch) = disk.written.pop_front() {
                disk.apply(&batch);
            }
        }
        disk.written.clear();
    }

    /// How many batches are synced.
    pub fn commits(&self) -> u64 {
        self.disk().commits
    }

    /// What survives a crash.
    pub fn contents(&self) -> Contents {
        self.disk().synced.clone()
    }
}

impl Disk {
    fn apply(&mut self, batch: &[Record]) {
        self.commits += 1;
        for record in batch {
            self.synced.apply(record);
        }
    }
}

impl Store for MemoryStore {
    fn recover(&mut self) -> Result<Contents, StoreError> {
        Ok(self.contents())
    }

    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        self.write(batch)?;
        self.sync();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::JobId;
    use crate::store::record::tests::submission;

    #[test]
    fn a_crash_loses_what_was_not_synced_and_nothing_else() {
        let disk = MemoryStore::new();
        disk.write(&[Record::Submitted(submission(1))]).expect("written");
        disk.sync();
        for job in 2..5 {
            disk.write(&[Record::Submitted(submission(job))]).expect("written");
        }
        disk.crash(1);
        let jobs: Vec<JobId> = disk.contents().jobs.into_keys().collect();
        assert_eq!((jobs, disk.commits()), (vec![JobId(1), JobId(2)], 2));
    }

    #[test]
    fn calls_fail_as_they_are_asked_to() {
        let mut disk = MemoryStore::new();
        let commit = |disk: &mut MemoryStore| disk.commit(&[]).map_err(|error| error.kind);
        assert_eq!(commit(&mut disk), Ok(()));
        disk.set_broken(Some(ErrorKind::Io));
        assert_eq!(commit(&mut disk), Err(ErrorKind::Io));
        disk.set_broken(None);
        assert_eq!(commit(&mut disk), Ok(()));
    }
}
