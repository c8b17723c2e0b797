//! A store from outside: checked, copied, counted and read beside the daemon that writes it, and pruned without one.

use super::failure::failure;
use super::{DATABASE, SqliteStore, damaged, log, read, schema};
use crate::store::contents::Contents;
use crate::store::error::{ErrorKind, StoreError};
use crate::store::lock::DirectoryLock;
use crate::store::record::{State, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A store that is only read.
#[derive(Debug)]
pub struct Survey {
    path: PathBuf,
    connection: Connection,
}

/// What a store comes to, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// The highest job ID ever given.
    pub last_job: u64,
    /// Jobs by their states, in the order of [`State::ALL`].
    pub jobs: [u64; State::ALL.len()],
    /// Checkpoints.
    pub checkpoints: u64,
    /// Bytes of checkpoints.
    pub checkpoint_bytes: u64,
    /// Answers.
    pub answers: u64,
    /// Answers that failed their verification.
    pub refuted: u64,
    /// The CPU time that finding all answers took.
    pub answers_cost: Duration,
    /// Bytes of the database.
    pub file_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
}

/// What is to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruning {
    /// Jobs that ended before.
    pub ended_before: Option<Timestamp>,
    /// Answers that cost less.
    pub cheaper_than: Option<Duration>,
    /// Answers that failed their verification.
    pub refuted: bool,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many jobs.
    pub jobs: usize,
    /// How many answers.
    pub answers: usize,
    /// By how many bytes the file is shorter.
    pub bytes: u64,
}

impl Survey {
    /// Opens the store of a directory, whether or not a daemon uses it.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_file(&directory.join(DATABASE))
    }

    fn open_file(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            connection: schema::open_read_only(path)?,
        })
    }

    fn of(&self) -> impl Fn(rusqlite::Error) -> StoreError {
        |error| failure(&self.path, &error)
    }

    /// Looks for commits that the log beside the database has lost, where SQLite takes what is left for the whole.
    /// False if a daemon uses the directory, which has the log open, or may do so: then it was not looked at.
    ///
    /// # Errors
    /// If there are some, or the log cannot be looked at.
    pub fn check_log(directory: &Path) -> Result<bool, StoreError> {
        let path = directory.join(DATABASE);
        match schema::look_for(&path) {
            // There may be a log alone.
            Err(error) if error.kind != ErrorKind::Missing => return Err(error),
            _ => {}
        }
        let looked = DirectoryLock::while_free(directory, || log::check(&path))?;
        looked.map_or(Ok(false), |checked| checked.map(|()| true))
    }

    /// Reads everything and compares it with its digests; all that is wrong, if anything is.
    ///
    /// # Errors
    /// If it cannot be read for a reason that says nothing about what it holds.
    pub fn check(&self) -> Result<Vec<StoreError>, StoreError> {
        let mut problems = Vec::new();
        let findings = || -> rusqlite::Result<Vec<String>> {
            let mut check = self.connection.prepare("PRAGMA integrity_check(100)")?;
            check.query_map([], |row| row.get(0))?.collect()
        };
        let mut note = |error: StoreError| {
            if error.kind == ErrorKind::Damaged {
                problems.push(error);
                Ok(())
            } else {
                Err(error)
            }
        };
        match findings() {
            Ok(lines) => {
                let lines = lines.iter().filter(|line| *line != "ok");
                lines.map(|line| damaged(&self.path, line)).try_for_each(&mut note)?;
            }
            Err(error) => note(failure(&self.path, &error))?,
        }
        if let Err(error) = self.contents() {
            note(error)?;
        }
        Ok(problems)
    }

    /// All that is there.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn contents(&self) -> Result<Contents, StoreError> {
        read(&self.connection, &self.path)
    }

    /// Writes a copy to a file that is not there yet: all of one moment, whatever is written meanwhile. The copy is on
    /// disk, and has been read again, when this returns.
    ///
    /// # Errors
    /// If there is a file of that name, it cannot be written, or what is copied is damaged.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        if to.try_exists().unwrap_or(true) {
            return Err(taken(to));
        }
        // Two backups at once have two.
        let mut partial = OsString::from(to);
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let written = self.copy(&partial).and_then(|()| put(&partial, to));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        // What a backup of this number left when it was killed.
        match fs::remove_file(to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io(to, "cannot write it", &error));
            }
            _ => {}
        }
        let name = to.to_str().ok_or_else(|| {
            StoreError::new(
                ErrorKind::Internal,
                to,
                "SQLite writes only to files whose names are UTF-8",
            )
        })?;
        // SQLite would make a file that everybody may read, and takes an empty one.
        schema::make(to);
        self.connection
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| StoreError {
                path: to.to_owned(),
                ..self.of()(error)
            })?;
        // VACUUM INTO does not sync its output (https://sqlite.org/lang_vacuum.html).
        let synced = File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| StoreError::io(to, "cannot write it", &error))?;
        Self::open_file(to)?.contents().map(drop)
    }

    /// Counts what is there.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn statistics(&self) -> Result<Statistics, StoreError> {
        let snapshot = self.connection.unchecked_transaction().map_err(self.of())?;
        let number = |sql: &str| -> Result<u64, StoreError> {
            let number: i64 = snapshot.query_row(sql, [], |row| row.get(0)).map_err(self.of())?;
            Ok(number.max(0).cast_unsigned())
        };
        let mut jobs = [0; State::ALL.len()];
        for (count, state) in jobs.iter_mut().zip(State::ALL) {
            let state = state.as_str();
            *count = number(&format!("SELECT count(*) FROM jobs WHERE state = '{state}'"))?;
        }
        let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        Ok(Statistics {
            last_job: super::last_job(&snapshot, &self.path)?,
            jobs,
            checkpoints: number("SELECT count(*) FROM checkpoints")?,
            checkpoint_bytes: number("SELECT coalesce(sum(length(bytes)), 0) FROM checkpoints")?,
            answers: number("SELECT count(*) FROM answers")?,
            refuted: number("SELECT count(*) FROM answers WHERE refuted = 1")?,
            answers_cost: Duration::from_micros(number("SELECT coalesce(sum(cost_us), 0) FROM answers")?),
            file_bytes: length(&self.path),
            log_bytes: length(&log::path_of(&self.path)),
        })
    }
}

/// Gives a copy its name, unless there is a file of that name by now.
///
/// # Errors
/// If there is one, or it cannot be written.
pub(super) fn put(partial: &Path, to: &Path) -> Result<(), StoreError> {
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    name(partial, to)
        .and_then(|()| File::open(directory.unwrap_or(Path::new(".")))?.sync_all())
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => taken(to),
            _ => StoreError::io(to, "cannot write it", &error),
        })
}

/// Renames a file, unless there is one of the new name: with a link, so that the name never stands for less than the
/// whole.
fn name(partial: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(partial, to) {
        Ok(()) => fs::remove_file(partial),
        // A file system without links: the name is taken first, for to rename replaces what has it.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::Unsupported
            ) =>
        {
            File::create_new(to)?;
            fs::rename(partial, to).inspect_err(|_| drop(fs::remove_file(to)))
        }
        Err(error) => Err(error),
    }
}

fn taken(to: &Path) -> StoreError {
    StoreError::new(
        ErrorKind::Foreign,
        to,
        "there is a file of that name, and it is not overwritten",
    )
}

impl SqliteStore {
    /// Deletes what is to go and shortens the file. Not for the store of a running daemon, which has its contents in
    /// memory.
    ///
    /// Where the disk has no room for what this would write first, the file is changed in place, which must not be
    /// interrupted: `before_in_place` is called then.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prune(&mut self, pruning: &Pruning, before_in_place: impl FnOnce()) -> Result<Pruned, StoreError> {
        let path = self.path.clone();
        let length = || fs::metadata(&path).map_or(0, |file| file.len());
        let before = length();
        let mut pruned = Pruned::default();
        let mut database = match self.database.take() {
            Some(database) => database,
            None => schema::open(&path)?,
        };
        database.fold_when_closed().map_err(|error| failure(&path, &error))?;
        match prune(database.connection, &path, pruning, &mut pruned) {
            Err(error) if error.kind == ErrorKind::Full => {
                before_in_place();
                prune(schema::open_in_place(&path)?, &path, pruning, &mut pruned)?;
            }
            result => result?,
        }
        pruned.bytes = before.saturating_sub(length());
        Ok(pruned)
    }
}

/// Deletes what is to go, adds what went to `pruned`, and shortens the file.
fn prune(connection: Connection, path: &Path, pruning: &Pruning, pruned: &mut Pruned) -> Result<(), StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate).map_err(of)?;
    let (mut jobs, mut answers) = (0, 0);
    if let Some(time) = pruning.ended_before {
        // Times of one form and length are ordered as words are.
        jobs = transaction
            .execute("DELETE FROM jobs WHERE ended_at < ?1", [time.to_string()])
            .map_err(of)?;
    }
    if let Some(cost) = pruning.cheaper_than {
        answers += transaction
            .execute("DELETE FROM answers WHERE cost_us < ?1", params![super::micros(cost)])
            .map_err(of)?;
    }
    if pruning.refuted {
        answers += transaction
            .execute("DELETE FROM answers WHERE refuted = 1", [])
            .map_err(of)?;
    }
    transaction.commit().map_err(of)?;
    pruned.jobs += jobs;
    pruned.answers += answers;
    connection
        .execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")
        .map_err(of)
}
