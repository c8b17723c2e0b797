//! The users of a daemon: those of a file, which can be read again while it runs.

use super::checker::Checker;
use super::file::{Entry, UserFile};
use super::password::{MAX_PASSWORD, Scratch, hash};
use super::{Authenticate, Credentials, Identity, Notify, UserName};
use rustc_hash::FxHasher;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::{fs, io};
use thiserror::Error;

/// Why users cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UsersError {
    /// The file cannot be read.
    #[error("cannot read the users file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A line is wrong.
    #[error("{path}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, and what is wrong with it.
        what: String,
    },
    /// The thread that checks passwords cannot be started.
    #[error("cannot start the thread that checks passwords: {0}")]
    Thread(#[source] io::Error),
}

/// The users of a file, and the thread that checks their passwords.
#[derive(Clone, Debug)]
pub struct Users(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: Arc<RwLock<UserFile>>,
    version: AtomicU64,
    checker: Checker,
}

impl Users {
    /// Reads the users of a file: a line each, `NAME ROLE HASH [requests=N] [jobs=N] [cpu=N]`, as `primed user add`
    /// writes it.
    ///
    /// # Errors
    /// [`UsersError`] if the file cannot be read, a line is wrong, or there is no thread.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, UsersError> {
        let path = path.into();
        let file = Arc::new(RwLock::new(read(&path)?));
        // A name that does not exist is checked against this one: the answer takes as long.
        let decoy = hash("decoy").unwrap_or_default();
        let users = file.clone();
        let verify = move |credentials: &Credentials, scratch: &mut Scratch| {
            let entry = UserName::parse(&credentials.user).and_then(|name| find(&users, name));
            let hash = entry.as_ref().map_or(decoy.as_str(), |entry| entry.hash.as_str());
            let is_right = credentials.password.len() <= MAX_PASSWORD && scratch.is_right(&credentials.password, hash);
            entry.filter(|_| is_right).map(|entry| identity(&entry))
        };
        let checker = Checker::start(Box::new(verify)).map_err(UsersError::Thread)?;
        Ok(Self(Arc::new(Inner {
            path,
            file,
            version: AtomicU64::new(0),
            checker,
        })))
    }

    /// Reads the file again. A connection whose user is gone, or has another password, is unauthenticated from its next
    /// request on.
    ///
    /// # Errors
    /// [`UsersError`]; the users stay as they were then.
    pub fn reload(&self) -> Result<(), UsersError> {
        let file = read(&self.0.path)?;
        *self.0.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        self.0.version.fetch_add(1, SeqCst);
        Ok(())
    }

    /// How many there are.
    #[cfg(feature = "cli")]
    pub(crate) fn count(&self) -> usize {
        let file = self.0.file.read().unwrap_or_else(PoisonError::into_inner);
        file.entries.len()
    }

    /// Wrong passwords since the start.
    pub fn wrong_passwords(&self) -> u64 {
        self.0.checker.wrong().load(Relaxed)
    }
}

impl Authenticate for Users {
    fn check(&self, from: IpAddr, credentials: Credentials, notify: Notify) {
        self.0.checker.check(from, credentials, notify);
    }

    fn wrong_passwords(&self) -> Arc<AtomicU64> {
        self.0.checker.wrong().clone()
    }

    fn version(&self) -> u64 {
        self.0.version.load(SeqCst)
    }

    fn refresh(&self, before: &Identity) -> Option<Identity> {
        let now = identity(&find(&self.0.file, before.name)?);
        (now.stamp == before.stamp).then_some(now)
    }
}

fn read(path: &Path) -> Result<UserFile, UsersError> {
    let owned = || path.to_owned();
    let text = fs::read_to_string(path).map_err(|source| UsersError::Read { path: owned(), source })?;
    UserFile::parse(&text).map_err(|what| UsersError::Line { path: owned(), what })
}

fn find(file: &RwLock<UserFile>, name: UserName) -> Option<Entry> {
    file.read().unwrap_or_else(PoisonError::into_inner).find(name).cloned()
}

fn identity(entry: &Entry) -> Identity {
    let mut hasher = FxHasher::default();
    entry.hash.hash(&mut hasher);
    Identity {
        name: entry.name,
        role: entry.role,
        limits: entry.limits,
        stamp: hasher.finish(),
    }
}
