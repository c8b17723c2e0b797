//! What can go wrong with a store: the file, what is wrong with it, and what to do. Knows no SQL.

use std::fmt;
use std::path::PathBuf;
#[cfg(feature = "sqlite")]
use std::{io, path::Path};

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The disk, or what the user may use of it, is full.
    Full,
    /// Nothing may be written there.
    ReadOnly,
    /// This user may not read it.
    Denied,
    /// There is a file where a directory was named.
    NotDirectory,
    /// SQLite could not open the file, or one beside it.
    CannotOpen,
    /// The disk failed to read or write.
    Io,
    /// Another program holds the file's lock, such as `sqlite3` in a transaction.
    Locked,
    /// Another daemon uses the directory.
    InUse,
    /// The file that was opened is not there any more, or another one is in its place.
    Replaced,
    /// There is no store where one was to be read.
    Missing,
    /// A newer version of the program wrote it.
    Newer,
    /// An older version of the program wrote it, and it is to be read only.
    Older,
    /// It is a file of another program.
    Foreign,
    /// What it holds cannot have been written so.
    Damaged,
    /// A fault in the program.
    Internal,
}

impl ErrorKind {
    /// True if the cause may go away while the daemon runs, and writing is worth another try.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self,
            Self::Full | Self::ReadOnly | Self::CannotOpen | Self::Io | Self::Locked | Self::Replaced
        )
    }

    /// What to do about it. `flag` names a directory; empty: nothing is said of a flag.
    fn remedy(self, flag: &str) -> String {
        let with = match flag {
            "" => String::new(),
            flag => format!(" with {flag}"),
        };
        let remedy = match self {
            Self::Full => "free space on that disk",
            Self::ReadOnly => {
                return format!("make the directory writable for this user, or name another directory{with}");
            }
            Self::Denied => "run it as the user of the daemon, or with sudo",
            Self::NotDirectory => return format!("name a directory{with}"),
            Self::CannotOpen => "see whether this user may open the files there and make others, and how many are open",
            Self::Io => "see the system's log about that disk",
            Self::Locked => "end the program that has it open",
            Self::InUse => return format!("end the daemon that has it, or name another directory{with}"),
            Self::Replaced => {
                "put it back if it was moved; otherwise end this daemon, whose latest work is lost, and start it again"
            }
            Self::Missing => return format!("name the directory of a daemon{with}"),
            Self::Newer => return format!("run the newer version of primed, or name another directory{with}"),
            Self::Older => "start primed serve on the directory once: it brings the store to this version",
            Self::Foreign => return format!("move it away, or name another directory{with}"),
            Self::Damaged => {
                "nothing was changed: move the directory away and put a backup in its place, or save what can be read \
                 with 'sqlite3 FILE .recover'"
            }
            Self::Internal => "please report this",
        };
        remedy.to_owned()
    }
}

/// Why the store could not be opened, read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl StoreError {
    /// A failure of this kind at this file.
    pub fn new(kind: ErrorKind, path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.into(),
            what: what.into(),
        }
    }

    /// The same with the flag that names the directory, where another one is advised.
    pub fn text_with(&self, flag: &str) -> String {
        format!("{}: {}; {}", self.path.display(), self.what, self.kind.remedy(flag))
    }

    /// A failure of the file system.
    #[cfg(feature = "sqlite")]
    pub(super) fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::ReadOnly,
            io::ErrorKind::NotFound => ErrorKind::Missing,
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ErrorKind::NotDirectory,
            io::ErrorKind::IsADirectory => ErrorKind::Foreign,
            _ => ErrorKind::Io,
        };
        Self::new(kind, path, format!("{doing}: {error}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text_with(""))
    }
}

impl std::error::Error for StoreError {}
