//! One daemon a directory: a lock that the system releases when its process ends in any way, `kill -9` too.

use super::error::{ErrorKind, StoreError};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process;
use std::thread::sleep;
use std::time::{Duration, Instant};

const FILE: &str = "lock";

/// How long a lock may be held before that is an error. The system releases it when the last thread of a killed daemon has ended, and a process that was
/// just forked holds a copy until it runs its own program.
const HELD_LIMIT: Duration = Duration::from_millis(500);
const HELD_PAUSE: Duration = Duration::from_millis(10);

/// Held for as long as a process writes to the directory's store.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory, which is made if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], with the holder's process ID, if another process has it.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| StoreError::io(directory, "cannot make the directory", &error))?;
        let path = directory.join(FILE);
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .clone();
        let opened = options.open(&path);
        let mut file = opened.map_err(|error| StoreError::io(&path, "cannot open it", &error))?;
        let deadline = Instant::now() + HELD_LIMIT;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(HELD_PAUSE),
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // The holder may be about to write its ID: then there is none to show yet.
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let what = if holder.is_empty() {
                    "another process uses this directory".to_owned()
                } else {
                    format!("process {holder} uses this directory")
                };
                return Err(StoreError::new(ErrorKind::InUse, directory, what));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&path, "cannot lock it", &error)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", process::id()));
        // The lock holds without the ID, which only makes an error clearer: a full disk is no reason not to start.
        drop(noted);
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Directory;

    #[test]
    fn a_second_holder_is_refused_by_the_first_ones_process_id() {
        let directory = Directory::new();
        let first = DirectoryLock::take(directory.path()).expect("nobody has it");
        let error = DirectoryLock::take(directory.path()).expect_err("it is taken");
        assert_eq!(error.kind, ErrorKind::InUse);
        assert!(
            error.to_string().contains(&format!("process {} ", process::id())),
            "{error}"
        );
        drop(first);
        DirectoryLock::take(directory.path()).expect("it is free again");
    }
}
