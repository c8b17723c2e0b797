//! One daemon a directory: a lock that the system releases when its process ends in any way, `kill -9` too.

use super::error::{ErrorKind, StoreError};
use super::file_id::FileId;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::system::uname;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fs, io, process};

const FILE: &str = "lock";

/// How long a lock may be held before that is an error: a process that was just forked holds a copy until it runs its
/// own program.
const HELD_LIMIT: Duration = Duration::from_millis(500);
/// The same if its holder ends. The system releases it when the last thread has, and those for long jobs wait for the
/// CPU where other programs want it, idle ones too: up to 20 s beside four to six busy programs on two cores.
const ENDING_LIMIT: Duration = Duration::from_secs(60);
const HELD_PAUSE: Duration = Duration::from_millis(10);

/// Held for as long as a process writes to the directory's store.
#[derive(Debug)]
pub struct DirectoryLock {
    path: PathBuf,
    id: FileId,
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory, which is made if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::InUse`], with the holder's process ID, if another process has it.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| {
            if let (io::ErrorKind::AlreadyExists, Ok(target)) = (error.kind(), fs::read_link(directory))
                && !directory.exists()
            {
                let what = format!(
                    "it is a link to {}, which is not there (is its disk mounted?)",
                    target.display()
                );
                return StoreError::new(ErrorKind::NotDirectory, directory, what);
            }
            let failure = StoreError::io(directory, "cannot make the directory", &error);
            match failure.kind {
                // In /proc nobody can make a directory, and the kernel says that it is not there.
                ErrorKind::Missing => StoreError {
                    kind: ErrorKind::ReadOnly,
                    ..failure
                },
                _ => failure,
            }
        })?;
        let path = directory.join(FILE);
        // Who can open it can take its lock: nobody else, whatever the mode of the directory. A link is not followed:
        // who may write to the directory could have another user write to any file of theirs.
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .clone();
        let opened = options.open(&path);
        let mut file = opened.map_err(|error| not_opened(&path, &error))?;
        let began = Instant::now();
        let mut limit = HELD_LIMIT;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if began.elapsed() < limit => sleep(HELD_PAUSE),
                Err(TryLockError::WouldBlock) if limit == HELD_LIMIT && holder(&mut file).is_ending() => {
                    tracing::warn!(directory = %directory.display(), "waiting for the end of the daemon that had it");
                    limit = ENDING_LIMIT;
                }
                locked => break locked,
            }
        };
        match locked {
            Ok(()) => share(&file, directory),
            Err(TryLockError::WouldBlock) => {
                let is_own = FileId::of(&file).is_ok_and(|id| held().contains(&id));
                let what = match is_own {
                    true => "this process uses this directory already".to_owned(),
                    false => holder(&mut file).what(),
                };
                return Err(StoreError::new(ErrorKind::InUse, directory, what));
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io(&path, "cannot lock it", &error)),
        }
        let noted = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{} {}", process::id(), host()));
        // The lock holds without them, which only makes an error clearer: a full disk is no reason not to start.
        drop(noted);
        let id = FileId::of(&file).map_err(|error| StoreError::io(&path, "cannot look at it", &error))?;
        held().insert(id);
        Ok(Self { path, id, _file: file })
    }

    /// Does something while no process writes to the store of a directory; `None` if one does, or may. Several may do
    /// so at once; a daemon that starts meanwhile waits for [half a second](HELD_LIMIT).
    ///
    /// # Errors
    /// If that cannot be found out.
    #[cfg(feature = "cli")]
    pub fn while_free<T>(directory: &Path, act: impl FnOnce() -> T) -> Result<Option<T>, StoreError> {
        let path = directory.join(FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            // A copy of a store has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(act())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(StoreError::io(&path, "cannot open it", &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(act())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&path, "cannot lock it", &error)),
        }
    }

    /// Makes sure that the directory still has this lock: where its file is another one, or none, so may be the daemon
    /// that uses the directory.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`] if it does not have it.
    pub fn check(&self) -> Result<(), StoreError> {
        self.id.check(&self.path)
    }
}

/// Why a lock cannot be opened.
fn not_opened(path: &Path, error: &io::Error) -> StoreError {
    let owner = fs::symlink_metadata(path).map(|file| file.uid());
    match owner {
        Ok(owner) if error.kind() == io::ErrorKind::PermissionDenied && owner != geteuid().as_raw() => {
            let what = "it belongs to another user: chown it to the user of the daemon";
            StoreError::new(ErrorKind::Denied, path, what)
        }
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            StoreError::new(ErrorKind::Foreign, path, "it is a link, which no daemon makes")
        }
        _ => StoreError::io(path, "cannot open it", error),
    }
}

/// Gives a lock that this user has made to the user of its directory, so that a daemon of theirs can start after root
/// has looked after the store. Only root can: for others it is their own, or stays as it is.
fn share(file: &File, directory: &Path) {
    if let (Ok(file_is), Ok(directory_is)) = (file.metadata(), fs::metadata(directory))
        && file_is.uid() == geteuid().as_raw()
        && file_is.uid() != directory_is.uid()
        && file_is.nlink() == 1
    {
        let _ = fchown(file, Some(directory_is.uid()), Some(directory_is.gid()));
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        held().remove(&self.id);
    }
}

/// The locks that this process has: another one may have the same ID, in another container.
fn held() -> MutexGuard<'static, BTreeSet<FileId>> {
    static HELD: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of this host, or of this container.
fn host() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// The process that has the lock.
struct Holder {
    /// Empty while it is about to write it.
    process: String,
    /// Empty if an earlier version of the program wrote it.
    host: String,
}

/// What a lock says of the process that has it.
fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let mut words = text.split_whitespace().map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    Holder {
        process: next(),
        host: next(),
    }
}

impl Holder {
    fn is_elsewhere(&self) -> bool {
        !self.host.is_empty() && self.host != host()
    }

    fn is_ending(&self) -> bool {
        !self.is_elsewhere() && is_ending(&self.process)
    }

    fn what(&self) -> String {
        let Self { process, host } = self;
        match process.as_str() {
            "" => "another process uses this directory".to_owned(),
            // Each container counts its processes from 1.
            own if own == process::id().to_string() => match host.as_str() {
                "" => "a process of another container uses this directory".to_owned(),
                host => format!("process {own} of another container, on {host}, uses this directory"),
            },
            other if self.is_elsewhere() => format!("process {other} on {host} uses this directory"),
            other => format!("process {other} uses this directory"),
        }
    }
}

/// Whether the first thread of a process has ended, so that others end too (Linux).
fn is_ending(process: &str) -> bool {
    // `ID (name) STATE ...`, and the name may be anything.
    let state = fs::read_to_string(format!("/proc/{process}/stat"));
    let state = state.as_deref().ok().and_then(|stat| stat.rsplit_once(')'));
    state.is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::Directory;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_ending_once_its_first_thread_is_gone() {
        assert!(!is_ending(&process::id().to_string()));
        assert!(!is_ending(""));
        let mut child = process::Command::new("true").spawn().expect("it is there");
        let id = child.id().to_string();
        while !is_ending(&id) {
            std::thread::yield_now();
        }
        child.wait().expect("it has ended");
        assert!(!is_ending(&id));
    }

    #[test]
    fn a_lock_that_root_makes_belongs_to_the_user_of_its_directory() {
        let directory = Directory::new();
        if std::os::unix::fs::chown(directory.path(), Some(4_321), Some(4_321)).is_err() {
            // Only root can do this.
            return;
        }
        drop(DirectoryLock::take(directory.path()).expect("nobody has it"));
        let lock = fs::metadata(directory.path().join(FILE)).expect("it is there");
        assert_eq!((lock.uid(), lock.gid()), (4_321, 4_321));
    }

    #[test]
    fn a_holder_in_another_container_is_named_by_its_host() {
        let directory = Directory::new();
        fs::write(directory.path().join(FILE), "").expect("it can be made");
        let options = OpenOptions::new().read(true).write(true).clone();
        let mut other = options.open(directory.path().join(FILE)).expect("it is there");
        other.lock().expect("nobody has it");
        let own = process::id();
        let mut said = |text: &str| {
            other.set_len(0).and_then(|()| other.rewind()).expect("it is open");
            other.write_all(text.as_bytes()).expect("there is room");
            DirectoryLock::take(directory.path()).expect_err("it is taken").what
        };
        assert_eq!(said(""), "another process uses this directory");
        assert_eq!(said("7\n"), "process 7 uses this directory");
        assert_eq!(said(&format!("7 {}\n", host())), "process 7 uses this directory");
        assert_eq!(said("7 box-2\n"), "process 7 on box-2 uses this directory");
        let container = "process of another container uses this directory";
        assert_eq!(said(&format!("{own}\n")), format!("a {container}"));
        assert_eq!(
            said(&format!("{own} box-2\n")),
            format!("process {own} of another container, on box-2, uses this directory")
        );
    }

    #[test]
    fn a_link_without_its_target_is_named_as_such() {
        let directory = Directory::new();
        let link = directory.path().join("data");
        std::os::unix::fs::symlink("/nowhere/data", &link).expect("it can be made");
        let error = DirectoryLock::take(&link)
            .expect_err("there is no directory")
            .to_string();
        let what = "data: it is a link to /nowhere/data, which is not there (is its disk mounted?); name a directory";
        assert!(error.ends_with(what), "{error}");
    }

    #[test]
    fn a_second_holder_within_one_process_is_refused_as_such() {
        let directory = Directory::new();
        let first = DirectoryLock::take(directory.path()).expect("nobody has it");
        let error = DirectoryLock::take(directory.path()).expect_err("it is taken");
        assert_eq!(error.kind, ErrorKind::InUse);
        assert!(
            error.to_string().contains("this process uses this directory already"),
            "{error}"
        );
        first.check().expect("it is there");
        std::fs::remove_file(directory.path().join(FILE)).expect("it is there");
        assert_eq!(
            first.check().map_err(|error| error.kind),
            Err(ErrorKind::Replaced),
            "anybody could take it"
        );
        drop(first);
        DirectoryLock::take(directory.path()).expect("it is free again");
    }
}
