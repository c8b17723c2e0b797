//! The tables, how a file comes to have them, and what a connection is set to. Knows no record.

use super::failure::failure;
use super::log;
use crate::store::error::{ErrorKind, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Stands in the file's header, so that it is recognised: "prmd".
const APPLICATION_ID: i32 = 0x7072_6d64;

/// One for each version, in order: number `i` makes version `i + 1` from version `i`. One that was released is never
/// changed.
pub(super) const MIGRATIONS: [&str; 3] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
];

/// How long a statement waits for a lock that another program holds, such as `sqlite3` at a prompt.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Before the first access to a file: the index of its log is in memory, and not in a file that programs share.
const EXCLUSIVE: &str = "PRAGMA locking_mode = EXCLUSIVE;";

/// A file that may be written.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    /// No other program can read it meanwhile.
    pub(super) is_exclusive: bool,
    /// The log stays as it is when the file is closed.
    keeps_log: bool,
}

impl Database {
    /// From now on the log is folded into the file when that is closed, as SQLite does by itself.
    ///
    /// # Errors
    /// Never, as far as SQLite's documentation says.
    pub(super) fn fold_when_closed(&mut self) -> rusqlite::Result<()> {
        if self.keeps_log {
            self.connection
                .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            self.keeps_log = false;
        }
        Ok(())
    }
}

/// Opens a file to be written, makes it if there is none, and brings it to this version. Where the disk has no room for
/// the index of the log, which programs share as the file `-shm`, the index is in memory and the file is for this
/// program alone.
///
/// The log is kept until its reader [lets it be folded](Database::fold_when_closed): what is refused as damaged stays
/// as it was.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let database = |is_exclusive| {
        open_as(path, is_exclusive).map(|connection| Database {
            connection,
            is_exclusive,
            keeps_log: true,
        })
    };
    match database(false) {
        Err(error) if error.kind == ErrorKind::Full => database(true),
        opened => opened,
    }
}

fn open_as(path: &Path, is_exclusive: bool) -> Result<Connection, StoreError> {
    make(path);
    if path.is_dir() {
        return Err(StoreError::new(ErrorKind::Foreign, path, "it is a directory"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let of = |error: rusqlite::Error| failure(path, &error);
    let mut connection = connect(path, flags).map_err(of)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(of)?;
    if is_exclusive {
        connection.execute_batch(EXCLUSIVE).map_err(of)?;
    }
    // Before anything is written, the journal mode included.
    let version = version(&connection, path)?;
    if connection.is_readonly("main").map_err(of)? {
        return Err(StoreError::new(
            ErrorKind::ReadOnly,
            path,
            "the file may not be written",
        ));
    }
    // FULL: a commit is on disk when it returns. The log is folded into the file at 4 MB, and cut to 16 MB if a reader
    // made it grow.
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 1000;
             PRAGMA journal_size_limit = 16777216;
             PRAGMA cell_size_check = ON;
             PRAGMA trusted_schema = OFF;",
        )
        .map_err(of)?;
    migrate(&mut connection, version).map_err(of)?;
    if version == 0 {
        // Where there should be one, as on a disk that is not mounted, this is the only sign of it.
        tracing::info!(path = %path.display(), "there was no store here: a new one was made");
    }
    compare(&connection, path)?;
    Ok(connection)
}

/// Makes an empty file, if there is none, that nobody else may read; the files beside it get its mode from SQLite. Why
/// it cannot, SQLite says.
pub(super) fn make(path: &Path) {
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// Opens a file of this version to be changed where the disk has no room for a log: in place, and what a failure would
/// undo is in memory. A crash while it is written leaves it damaged.
#[cfg(feature = "cli")]
pub(super) fn open_in_place(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let of = |error: rusqlite::Error| failure(path, &error);
    let connection = connect(path, flags).map_err(of)?;
    connection
        .execute_batch(EXCLUSIVE)
        .and_then(|()| {
            connection.execute_batch(
                "PRAGMA journal_mode = MEMORY;
                 PRAGMA temp_store = MEMORY;
                 PRAGMA synchronous = FULL;",
            )
        })
        .map_err(of)?;
    Ok(connection)
}

/// Opens a file to be read, beside a daemon that writes it or without one.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    look_for(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let of = |error: rusqlite::Error| failure(path, &error);
    // SQLite makes files beside the one that it reads.
    let may_make_files = may_write(path.parent().unwrap_or(path));
    let has_log = log::path_of(path).exists();
    if !may_make_files && !has_log {
        // A file without a log has no writer.
        let connection = connect(&immutable(path), flags | OpenFlags::SQLITE_OPEN_URI).map_err(of)?;
        return look(connection, path);
    }
    match connect(path, flags)
        .map_err(of)
        .and_then(|connection| look(connection, path))
    {
        Err(error) if error.kind == ErrorKind::Full => open_exclusive(path),
        Err(error)
            if !may_make_files && matches!(error.kind, ErrorKind::CannotOpen | ErrorKind::Io | ErrorKind::ReadOnly) =>
        {
            let what = "the last commits are in its log beside it, which is read only where files can be made in the directory";
            Err(StoreError::new(ErrorKind::ReadOnly, path, what))
        }
        opened => opened,
    }
}

/// Makes sure that there is a file that may be read. It is not opened: to close it would release SQLite's locks of it.
///
/// # Errors
/// Why it may not be.
pub(super) fn look_for(path: &Path) -> Result<(), StoreError> {
    let fault = |kind, path: &Path, what: &str| Err(StoreError::new(kind, path, what));
    match access(path, Access::READ_OK) {
        Ok(()) if path.is_dir() => fault(ErrorKind::Foreign, path, "it is a directory"),
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => fault(ErrorKind::Missing, path, "there is no store"),
        Err(Errno::NOTDIR) => {
            let directory = path.parent().unwrap_or(path);
            fault(
                ErrorKind::NotDirectory,
                directory,
                "it is a file, and not the directory of a store; a backup is checked in a directory of its own, under \
                 the name primed.db",
            )
        }
        Err(Errno::ACCESS) => fault(ErrorKind::Denied, path, "permission denied"),
        Err(error) => Err(StoreError::io(path, "cannot look at it", &error.into())),
    }
}

/// Opens a file to be read that no other program has open, where the disk has no room for the index of its log. SQLite
/// locks it as a writer does.
fn open_exclusive(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let of = |error: rusqlite::Error| failure(path, &error);
    let connection = connect(path, flags).map_err(of)?;
    connection
        .execute_batch(EXCLUSIVE)
        // The log stays as it is, whatever is wrong with it.
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true))
        .map_err(of)?;
    look(connection, path)
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    Ok(connection)
}

/// A connection that reads, if the file is one of this version.
fn look(connection: Connection, path: &Path) -> Result<Connection, StoreError> {
    match version(&connection, path)? {
        0 => Err(StoreError::new(ErrorKind::Missing, path, "the file is empty")),
        older if older < MIGRATIONS.len() => Err(StoreError::new(
            ErrorKind::Older,
            path,
            format!("it is of version {older}, and this program reads {}", MIGRATIONS.len()),
        )),
        _ => compare(&connection, path).map(|()| connection),
    }
}

/// Whether files can be made in a directory.
fn may_write(directory: &Path) -> bool {
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    access(directory, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

/// The name of a file as SQLite takes it for one that nobody changes (<https://www.sqlite.org/uri.html>).
fn immutable(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut name = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => name.push(char::from(*byte)),
            _ => name += &format!("%{byte:02X}"),
        }
    }
    PathBuf::from(name + "?immutable=1")
}

/// The version of a file; 0 if nothing is in it.
fn version(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(of);
    let objects = number("SELECT count(*) FROM sqlite_schema")?;
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    if (objects, application, version) == (0, 0, 0) {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(StoreError::new(
            ErrorKind::Foreign,
            path,
            "it is a database of another program",
        ));
    }
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(version @ 1..) if version <= known => Ok(version),
        Ok(version) if version > known => Err(StoreError::new(
            ErrorKind::Newer,
            path,
            format!("it is of version {version}, and this program knows up to {known}"),
        )),
        _ => Err(StoreError::new(
            ErrorKind::Damaged,
            path,
            format!("its version is {version}"),
        )),
    }
}

fn migrate(connection: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(from) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", index as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Whether the tables are as this program makes them; others may stand beside them. SQLite reads a definition in which
/// a letter is damaged as another definition.
fn compare(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let tables = |connection: &Connection| -> rusqlite::Result<Vec<(String, String)>> {
        let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'table'")?;
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let mut fresh = Connection::open_in_memory().map_err(of)?;
    migrate(&mut fresh, 0).map_err(of)?;
    let found = tables(connection).map_err(of)?;
    let missing = tables(&fresh)
        .map_err(of)?
        .into_iter()
        .find(|table| !found.contains(table));
    match missing {
        Some((name, _)) => Err(StoreError::new(
            ErrorKind::Damaged,
            path,
            format!("it is damaged: its table {name} is not there, or has other columns"),
        )),
        None => Ok(()),
    }
}
