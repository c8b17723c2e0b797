//! SQLite's log beside the database: whether what follows its first damaged frame was committed later. SQLite itself
//! takes the first frame that is not whole for the end, as after a crash, and goes on without all that follows.
//!
//! The format: <https://www.sqlite.org/fileformat.html#walformat>. Every frame has the checksum of all before it, so a
//! frame that follows the one before it is recognised wherever it stands.

use crate::store::error::{ErrorKind, StoreError};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first four bytes; the last bit says that checksums are of words with the first byte high.
const MAGIC: u32 = 0x377f_0682;

/// Where the log of a database is.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Checks the log of a database that nobody has open.
///
/// # Errors
/// [`ErrorKind::Damaged`] if it has lost commits that were on disk: there is a log but no database, or a damaged frame
/// before later commits.
pub(super) fn check(database: &Path) -> Result<(), StoreError> {
    let path = path_of(database);
    let Ok(file) = File::open(&path) else {
        return Ok(());
    };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length <= HEADER as u64 {
        return Ok(());
    }
    let is_empty = std::fs::metadata(database).map_or(true, |metadata| metadata.len() == 0);
    if is_empty {
        let text =
            "it is empty or missing, and its log beside it is not, which must go too before a backup takes its place";
        return Err(StoreError::new(ErrorKind::Damaged, database, text));
    }
    match lost_commits(&mut BufReader::new(file)) {
        0 => Ok(()),
        lost => {
            let text = format!("the log is damaged in its midst: {lost} later commits could not be read");
            Err(StoreError::new(ErrorKind::Damaged, &path, text))
        }
    }
}

/// How many commits follow the one that the first damaged frame belongs to: a crash leaves none, for a commit is begun
/// when the one before it is on disk.
fn lost_commits(log: &mut impl Read) -> usize {
    let mut header = [0; HEADER];
    if log.read_exact(&mut header).is_err() || word(&header, 0) & !1 != MAGIC {
        return 0;
    }
    let is_high_first = word(&header, 0) & 1 == 1;
    let salts = [word(&header, 16), word(&header, 20)];
    let page = match word(&header, 8) {
        size @ 512..=65_536 => size as usize,
        _ => return 0,
    };
    let mut sum = [word(&header, 24), word(&header, 28)];
    if checksum([0, 0], &header[..24], is_high_first) != sum {
        return 0;
    }
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut commits: Option<i32> = None;
    while log.read_exact(&mut frame).is_ok() {
        let own = [word(&frame, 16), word(&frame, 20)];
        let is_of_this_log = [word(&frame, 8), word(&frame, 12)] == salts;
        let after = checksum(sum, &frame[..8], is_high_first);
        let follows = is_of_this_log && checksum(after, &frame[FRAME_HEADER..], is_high_first) == own;
        let is_commit = is_of_this_log && word(&frame, 4) != 0;
        commits = match commits {
            None if follows => None,
            // The commit that this frame belongs to ends here, or with the first that follows: a crash may have
            // interrupted that one.
            None if is_commit => Some(0),
            None => Some(-1),
            Some(commits) => Some(commits + i32::from(follows && is_commit)),
        };
        sum = own;
    }
    commits.map_or(0, |commits| usize::try_from(commits).unwrap_or(0))
}

/// SQLite's checksum of whole pairs of words.
fn checksum([mut first, mut second]: [u32; 2], bytes: &[u8], is_high_first: bool) -> [u32; 2] {
    for pair in bytes.chunks_exact(8) {
        let [one, two] = [0, 4].map(|at| match is_high_first {
            true => word(pair, at),
            false => word(pair, at).swap_bytes(),
        });
        first = first.wrapping_add(one).wrapping_add(second);
        second = second.wrapping_add(two).wrapping_add(first);
    }
    [first, second]
}

/// The word at a place, its first byte high.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |word, byte| word << 8 | u32::from(*byte))
}
