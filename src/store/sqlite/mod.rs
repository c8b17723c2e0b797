//! The store of a daemon: an SQLite database in a directory of its own, which a person can read with `sqlite3`.
//!
//! Write-ahead log, one writer, one transaction a batch, `synchronous=FULL`. Every row has a digest, because SQLite
//! itself notices damage to its pages but not to what stands in them; that of a job leaves out how often it went on and
//! its CPU time. Nothing is deleted or overwritten to get going:
//! what cannot be read is an error.

mod failure;
mod log;
mod rows;
mod schema;
#[cfg(feature = "cli")]
mod survey;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub use survey::{Pruning, Survey};

use super::Store;
use super::contents::Contents;
use super::error::{ErrorKind, StoreError};
use super::file_id::FileId;
use super::lock::DirectoryLock;
use super::record::{Checkpoint, End, JobId, KeptAnswer, Record, Submission, Timestamp};
use super::value::write_value;
use failure::failure;
use rows::{EndRow, SubmissionRow, Unreadable, micros};
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, params};
use schema::Database;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the database in the directory.
pub const DATABASE: &str = "primed.db";

/// The name of the highest ID ever given, in the table `meta`.
const LAST_JOB: &str = "last_job";

/// The name of the time of the first batch written after a failure, in the table `meta`.
const RETRIED_AT: &str = "retried_at";

/// Writes what is in the log to the database. Its first column: whether another program reads the log.
const FOLD_LOG: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// The store of one directory.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    id: FileId,
    /// None after a failure of the disk, until the file is opened again.
    database: Option<Database>,
    /// The log of the database that is open, once there is one.
    log: Option<FileId>,
    last_job: u64,
    /// Whether the latest batch was not written.
    is_failing: bool,
    lock: DirectoryLock,
}

impl SqliteStore {
    /// Opens the store of a directory, and makes both if there is none; takes the directory's lock.
    ///
    /// # Errors
    /// If another process has the lock, or there is a file that cannot be read, is newer, of another program or
    /// damaged.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let lock = DirectoryLock::take(directory)?;
        let path = directory.join(DATABASE);
        log::check(&path)?;
        let database = schema::open(&path)?;
        let connection = &database.connection;
        quick_check(connection, &path)?;
        let last_job = last_job(connection, &path)?;
        let id = FileId::at(&path).map_err(|error| StoreError::io(&path, "cannot look at it", &error))?;
        let log = log_of(&path);
        Ok(Self {
            path,
            id,
            database: Some(database),
            log,
            last_job,
            is_failing: false,
            lock,
        })
    }

    /// Makes sure that what is written will be found: SQLite goes on writing to files that somebody has moved away or
    /// removed.
    fn check_files(&mut self) -> Result<(), StoreError> {
        self.lock.check()?;
        self.id.check(&self.path)?;
        let log = log::path_of(&self.path);
        if self.log.is_some_and(|id| id.check(&log).is_err()) {
            self.fold_log()?;
        }
        Ok(())
    }

    /// Writes what is in the log to the database, and opens that again with a log of its own. The log may have lost its
    /// name: it is still open.
    fn fold_log(&mut self) -> Result<(), StoreError> {
        if let Some(database) = &self.database {
            let of = |error: rusqlite::Error| failure(&self.path, &error);
            let is_read: bool = database
                .connection
                .query_row(FOLD_LOG, [], |row| row.get(0))
                .map_err(of)?;
            if is_read {
                let what = "its log was removed, and another program reads it";
                return Err(StoreError::new(ErrorKind::Locked, &self.path, what));
            }
            tracing::warn!(path = %self.path.display(), "the log of the store was removed or replaced; nothing is lost");
        }
        (self.database, self.log) = (None, None);
        Ok(())
    }

    fn write(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let path = &self.path;
        let database = match &mut self.database {
            Some(database) => database,
            none => {
                let database = none.insert(schema::open(path)?);
                self.log = log_of(path);
                database
            }
        };
        let of = |error: rusqlite::Error| failure(path, &error);
        let transaction = database
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(of)?;
        let mut last_job = self.last_job;
        for record in batch {
            if let Record::Submitted(submission) | Record::Adopted(submission) = record {
                last_job = last_job.max(submission.job.0);
            }
            apply(&transaction, record).map_err(of)?;
        }
        if last_job > self.last_job {
            note(&transaction, LAST_JOB, &last_job.to_string()).map_err(of)?;
        }
        // SQLite writes no page for a batch that changes nothing, as to forget a job that is not there: that would
        // succeed on a full disk.
        if self.is_failing {
            let time = Timestamp::from(SystemTime::now());
            note(&transaction, RETRIED_AT, &time.to_string()).map_err(of)?;
        }
        transaction.commit().map_err(of)?;
        self.last_job = last_job;
        database.fold_when_closed().map_err(of)?;
        if self.log.is_none() {
            self.log = log_of(path);
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn recover(&mut self) -> Result<Contents, StoreError> {
        let Some(database) = &mut self.database else {
            return read(&schema::open_read_only(&self.path)?, &self.path);
        };
        let contents = read(&database.connection, &self.path)?;
        // Nothing is damaged. The sooner what was committed is in the database, the less is lost with the log. A full
        // disk is no reason not to start.
        let folded = database.fold_when_closed();
        let _ = folded.and_then(|()| database.connection.query_row(FOLD_LOG, [], |_| Ok(())));
        Ok(contents)
    }

    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        // A log that lost its name and cannot be folded stays open: nothing else has what is in it.
        let checked = self.check_files().inspect_err(|_| self.is_failing = true);
        checked?;
        let result = self.write(batch);
        self.is_failing = result.is_err();
        let is_to_be_opened_again = match &result {
            // After a failed write or `fsync` nothing that SQLite remembers of the file is to be trusted: the next call
            // reads it again.
            Err(error) => matches!(error.kind, ErrorKind::CannotOpen | ErrorKind::Io),
            // The disk has room again: others may read the file beside this program.
            Ok(()) => self.database.as_ref().is_some_and(|database| database.is_exclusive),
        };
        if is_to_be_opened_again {
            (self.database, self.log) = (None, None);
        }
        result
    }
}

/// The log of the database at a path, if there is one.
fn log_of(path: &Path) -> Option<FileId> {
    FileId::at(&log::path_of(path)).ok()
}

/// Does in the tables what [`Contents::apply`] does in memory.
fn apply(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn ToSql]| execute(transaction, sql, values).map(drop);
    match record {
        Record::Submitted(submission) | Record::Adopted(submission) => insert_job(transaction, submission),
        Record::Resumed(job) => run(
            "UPDATE jobs SET resumed = resumed + 1, starts = starts + 1 WHERE id = ?1 AND state = 'unfinished'",
            params![id(*job)],
        ),
        Record::Starts(job, starts) => run(
            "UPDATE jobs SET starts = ?2 WHERE id = ?1 AND state = 'unfinished'",
            params![id(*job), starts],
        ),
        Record::Checkpoint(checkpoint) => save_checkpoint(transaction, checkpoint),
        Record::Ended(end) => end_job(transaction, end),
        Record::Refuted(job) => run(
            "UPDATE jobs SET refuted = 1, end_digest = ~end_digest WHERE id = ?1 AND state = 'done' AND refuted = 0",
            params![id(*job)],
        ),
        Record::Forgotten(job) => delete_job(transaction, *job),
        Record::Answer(answer) => save_answer(transaction, answer),
        Record::AnswerRefuted(title) => run(
            "UPDATE answers SET refuted = 1, digest = ~digest WHERE title = ?1 AND refuted = 0",
            params![title],
        ),
        Record::AnswerForgotten(title) => run("DELETE FROM answers WHERE title = ?1", params![title]),
        Record::AnswersForgotten => run("DELETE FROM answers", params![]),
    }
}

/// Adds or replaces a row of the table `meta`.
fn note(transaction: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<()> {
    execute(
        transaction,
        "INSERT OR REPLACE INTO meta (name, value, digest) VALUES (?1, ?2, ?3)",
        params![name, value, rows::meta_digest(name, value)],
    )?;
    Ok(())
}

/// Adds a job, unless it is there.
fn insert_job(transaction: &Transaction<'_>, submission: &Submission) -> rusqlite::Result<()> {
    let row = SubmissionRow::new(submission);
    execute(
        transaction,
        "INSERT INTO jobs \
         (id, request, title, key, owner, priority, submitted_at, not_before, deadline, digest, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'unfinished') ON CONFLICT (id) DO NOTHING",
        params![
            id(submission.job),
            submission.request,
            submission.title,
            submission.key,
            submission.owner,
            submission.priority.as_str(),
            row.submitted_at,
            row.not_before,
            row.deadline,
            row.digest,
        ],
    )?;
    Ok(())
}

/// Replaces the checkpoint of a job, unless the job has ended. Its starts count on if the bytes are the same.
fn save_checkpoint(transaction: &Transaction<'_>, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
    let job = id(checkpoint.job);
    let unfinished = execute(
        transaction,
        "UPDATE jobs SET cpu_us = ?2, \
         starts = CASE WHEN EXISTS (SELECT 1 FROM checkpoints WHERE job = ?1 AND bytes = ?3) THEN starts ELSE 0 END \
         WHERE id = ?1 AND state = 'unfinished'",
        params![job, micros(checkpoint.cpu), checkpoint.bytes.as_ref()],
    )?;
    if unfinished > 0 {
        execute(
            transaction,
            "INSERT OR REPLACE INTO checkpoints (job, saved_at, progress, bytes, digest) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                job,
                checkpoint.saved_at.to_string(),
                checkpoint.progress,
                checkpoint.bytes.as_ref(),
                rows::checkpoint_digest(checkpoint),
            ],
        )?;
    }
    Ok(())
}

/// Sets or replaces how a job ended, and deletes its checkpoint.
fn end_job(transaction: &Transaction<'_>, end: &End) -> rusqlite::Result<()> {
    let row = EndRow::new(end);
    let known = execute(
        transaction,
        "UPDATE jobs SET state = ?2, cpu_us = ?3, ended_at = ?4, kind = ?5, value = ?6, code = ?7, message = ?8, \
         end_digest = ?9, refuted = 0 WHERE id = ?1",
        params![
            id(end.job),
            end.state().as_str(),
            micros(end.cpu),
            row.ended_at,
            row.kind,
            row.value,
            row.code,
            row.message,
            row.digest,
        ],
    )?;
    if known > 0 {
        delete_checkpoint(transaction, end.job)?;
    }
    Ok(())
}

/// Deletes a job and its checkpoint.
fn delete_job(transaction: &Transaction<'_>, job: JobId) -> rusqlite::Result<()> {
    delete_checkpoint(transaction, job)?;
    execute(transaction, "DELETE FROM jobs WHERE id = ?1", params![id(job)])?;
    Ok(())
}

fn delete_checkpoint(transaction: &Transaction<'_>, job: JobId) -> rusqlite::Result<()> {
    execute(transaction, "DELETE FROM checkpoints WHERE job = ?1", params![id(job)])?;
    Ok(())
}

/// Adds an answer, or replaces that of the same title.
fn save_answer(transaction: &Transaction<'_>, answer: &KeptAnswer) -> rusqlite::Result<()> {
    let (kind, value) = write_value(&answer.value);
    execute(
        transaction,
        "INSERT OR REPLACE INTO answers (title, kind, value, cost_us, found_at, version, method, refuted, digest) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            answer.title,
            kind,
            value,
            micros(answer.cost),
            answer.found_at.to_string(),
            answer.version,
            answer.method,
            i64::from(answer.is_refuted),
            rows::answer_digest(answer),
        ],
    )?;
    Ok(())
}

/// Executes a statement, which is prepared once. How many rows it changed.
fn execute(transaction: &Transaction<'_>, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<usize> {
    transaction.prepare_cached(sql)?.execute(values)
}

/// A job's ID as SQLite keeps it: its integers are signed.
const fn id(job: JobId) -> i64 {
    job.0.cast_signed()
}

/// Looks at the pages, not at what stands in them: [`read`] does that.
fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(of)?;
    if found == "ok" {
        return Ok(());
    }
    Err(damaged(path, &found))
}

fn damaged(path: &Path, what: &str) -> StoreError {
    // SQLite's finding may have several lines.
    let what = what.lines().collect::<Vec<_>>().join(" ");
    StoreError::new(ErrorKind::Damaged, path, format!("it is damaged: {what}"))
}

fn last_job(connection: &Connection, path: &Path) -> Result<u64, StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let mut select = connection
        .prepare("SELECT value, digest FROM meta WHERE name = ?1")
        .map_err(of)?;
    let mut rows = select.query([LAST_JOB]).map_err(of)?;
    let noted = match rows.next().map_err(of)? {
        Some(row) => {
            let value: String = row.get(0).map_err(of)?;
            let number = value.parse().ok();
            let number = number.filter(|_| {
                row.get(1)
                    .is_ok_and(|digest: i64| digest == rows::meta_digest(LAST_JOB, &value))
            });
            number.ok_or_else(|| damaged(path, "the highest job ID in its table meta"))?
        }
        None => 0,
    };
    let highest: i64 = connection
        .query_row("SELECT coalesce(max(id), 0) FROM jobs", [], |row| row.get(0))
        .map_err(of)?;
    if highest < 0 || highest.cast_unsigned() > noted {
        return Err(damaged(path, "it has a job above the highest ID in its table meta"));
    }
    Ok(noted)
}

/// Reads all that is there, in one snapshot.
fn read(connection: &Connection, path: &Path) -> Result<Contents, StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let snapshot = connection.unchecked_transaction().map_err(of)?;
    let mut contents = Contents {
        last_job: last_job(&snapshot, path)?,
        ..Contents::default()
    };
    each(&snapshot, path, rows::JOB, "jobs", rows::read_job, |job| {
        contents.jobs.insert(job.submission.job, job);
        Ok(())
    })?;
    each(
        &snapshot,
        path,
        rows::CHECKPOINT,
        "checkpoints",
        rows::read_checkpoint,
        |mut checkpoint| {
            let job = contents.jobs.get_mut(&checkpoint.job).filter(|job| job.end.is_none());
            let job = job.ok_or("it is of no unfinished job")?;
            checkpoint.cpu = job.cpu;
            job.checkpoint = Some(checkpoint);
            Ok(())
        },
    )?;
    each(&snapshot, path, rows::ANSWER, "answers", rows::read_answer, |answer| {
        contents.answers.insert(answer.title.clone(), answer);
        Ok(())
    })?;
    Ok(contents)
}

/// Reads every row of a table.
fn each<T>(
    connection: &Connection,
    path: &Path,
    sql: &str,
    table: &str,
    read: fn(&rusqlite::Row<'_>) -> Result<T, Unreadable>,
    mut take: impl FnMut(T) -> Result<(), &'static str>,
) -> Result<(), StoreError> {
    let of = |error: rusqlite::Error| failure(path, &error);
    let mut select = connection.prepare(sql).map_err(of)?;
    let mut found = select.query([]).map_err(of)?;
    while let Some(row) = found.next().map_err(of)? {
        let name = || match row.get_ref(0) {
            Ok(rusqlite::types::ValueRef::Integer(id)) => id.to_string(),
            Ok(rusqlite::types::ValueRef::Text(text)) => format!("'{}'", String::from_utf8_lossy(text)),
            _ => "without a name".to_owned(),
        };
        let about = |what: &str| damaged(path, &format!("{what} in row {} of its table {table}", name()));
        match read(row) {
            Ok(value) => take(value).map_err(about)?,
            Err(Unreadable::Damaged(what)) => return Err(about(&format!("a wrong {what}"))),
            Err(Unreadable::Sqlite(error)) => return Err(of(error)),
        }
    }
    Ok(())
}
