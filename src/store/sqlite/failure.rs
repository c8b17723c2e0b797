//! From the errors of SQLite to those of a store.

use crate::store::error::{ErrorKind, StoreError};
use rusqlite::{Error, ErrorCode, ffi};
use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// What an error of SQLite means for this file.
pub(super) fn failure(path: &Path, error: &Error) -> StoreError {
    let (kind, what) = match error {
        Error::SqliteFailure(cause, message) => {
            let message = message.clone().unwrap_or_else(|| cause.to_string());
            let code = cause.extended_code;
            match cause.code {
                // The file of the index of the log cannot grow, which SQLite takes for any failure of the disk.
                _ if matches!(code, ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMOPEN) => {
                    (ErrorKind::Full, "the disk is full".to_owned())
                }
                ErrorCode::DiskFull => (ErrorKind::Full, "the disk is full".to_owned()),
                ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                    (ErrorKind::ReadOnly, format!("it may not be written: {message}"))
                }
                // The message has the name as SQLite was given it.
                ErrorCode::CannotOpen => (
                    ErrorKind::CannotOpen,
                    format!("SQLite cannot open it (SQLite's code {code})"),
                ),
                ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory => {
                    let limit = getrlimit(Resource::Fsize).current;
                    (ErrorKind::Io, io_failure(&message, code, limit))
                }
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                    (ErrorKind::Locked, "another program holds its lock".to_owned())
                }
                ErrorCode::NotADatabase => (
                    ErrorKind::Damaged,
                    "it is no database, or its head is damaged".to_owned(),
                ),
                ErrorCode::DatabaseCorrupt => (ErrorKind::Damaged, format!("it is damaged: {message}")),
                _ => (ErrorKind::Internal, format!("{message} (SQLite's code {code})")),
            }
        }
        // A value of another type than this program writes.
        Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..) | Error::Utf8Error(..) => {
            (ErrorKind::Damaged, format!("it is damaged: {error}"))
        }
        _ => (ErrorKind::Internal, error.to_string()),
    };
    StoreError::new(kind, path, what)
}

/// What is said of a failure to read or write. SQLite does not say that a file may not grow, so the limit is named
/// wherever there is one.
fn io_failure(message: &str, code: i32, limit: Option<u64>) -> String {
    let limit = limit.map_or_else(String::new, |bytes| {
        format!(", and no file may have more than {bytes} bytes: ulimit -f, LimitFSIZE=")
    });
    format!("{message} (SQLite's code {code}){limit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_to_write_names_the_limit_of_files_if_there_is_one() {
        assert_eq!(
            io_failure("disk I/O error", 778, None),
            "disk I/O error (SQLite's code 778)"
        );
        assert_eq!(
            io_failure("disk I/O error", 778, Some(1024)),
            "disk I/O error (SQLite's code 778), and no file may have more than 1024 bytes: ulimit -f, LimitFSIZE="
        );
    }

    #[test]
    fn no_room_for_the_index_of_the_log_is_a_full_disk() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_SHMOPEN] {
            let error = Error::SqliteFailure(ffi::Error::new(code), Some("disk I/O error".to_owned()));
            let failure = failure(Path::new("primed.db"), &error);
            assert_eq!(
                (failure.kind, failure.what.as_str()),
                (ErrorKind::Full, "the disk is full")
            );
        }
    }
}
