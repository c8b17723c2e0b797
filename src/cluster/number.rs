//! The number of a node, in which the IDs of its jobs end, as a file of its data directory keeps it. Knows no
//! connection.

use super::ClusterError;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::{fs, io};

/// The file in a data directory that has the number of the node.
pub(super) const NUMBER_FILE: &str = "node";

/// The number of a node that takes in jobs.
#[derive(Clone)]
pub(super) struct Number {
    pub(super) number: u64,
    /// That of its data directory.
    pub(super) mark: String,
    /// It was given to the node at this start.
    pub(super) is_new: bool,
}

/// The number of a node, if it has one, and the mark of its data directory. `None`: the directory is new.
///
/// # Errors
/// If the file cannot be read, or has something else.
pub(super) fn read_number(file: &Path) -> Result<Option<(Option<u64>, String)>, ClusterError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ClusterError::Unread(file.to_owned(), error)),
    };
    let damaged = || ClusterError::Damaged(file.to_owned());
    let (number, mark) = text.trim().split_once(' ').ok_or_else(damaged)?;
    let number: u64 = number.parse().map_err(|_| damaged())?;
    // 0 is nobody's.
    Ok(Some(((number > 0).then_some(number), mark.to_owned())))
}

/// Writes it so that a crash leaves all of it or what was there before.
///
/// # Errors
/// If the directory cannot be written.
pub(super) fn keep_number(file: &Path, number: Option<u64>, mark: &str) -> Result<(), ClusterError> {
    let new = file.with_extension("new");
    let written = File::create(&new).and_then(|mut created| {
        created.write_all(format!("{} {mark}\n", number.unwrap_or(0)).as_bytes())?;
        created.sync_all()?;
        fs::rename(&new, file)?;
        let directory = file.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    });
    written.map_err(|error| ClusterError::File(file.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_whole_and_a_file_without_one_is_reported() {
        let directory = std::env::temp_dir().join(format!("primed-number-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a temporary directory can be made");
        let file = directory.join(NUMBER_FILE);
        let read = || read_number(&file);
        assert_eq!(read().expect("there is none"), None);
        keep_number(&file, None, "mark").expect("it can be written");
        assert_eq!(read().expect("it is whole"), Some((None, "mark".to_owned())));
        keep_number(&file, Some(457), "mark").expect("it can be written");
        assert_eq!(read().expect("it is whole"), Some((Some(457), "mark".to_owned())));
        assert_eq!(
            fs::read_dir(&directory).expect("it is there").count(),
            1,
            "nothing else is left"
        );
        for text in ["", "457", "x mark"] {
            fs::write(&file, text).expect("it can be written");
            assert!(matches!(read(), Err(ClusterError::Damaged(_))), "{text}");
        }
        fs::remove_file(&file).expect("it is there");
        fs::create_dir(&file).expect("it can be made");
        assert!(matches!(read(), Err(ClusterError::Unread(..))));
        assert!(matches!(keep_number(&file, None, "mark"), Err(ClusterError::File(..))));
        fs::remove_dir_all(directory).expect("it is there");
    }
}
