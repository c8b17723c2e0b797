//! Which file a name stands for, so that it is noticed when another one takes its place.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
#[cfg(feature = "sqlite")]
use {
    super::error::{ErrorKind, StoreError},
    std::fs::{self, File},
    std::io,
    std::path::Path,
};

/// A file, by its device and its number there, which no other file has while this one is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    device: u64,
    number: u64,
}

#[cfg(feature = "sqlite")]
impl FileId {
    /// The file that is open.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(Self::from)
    }

    /// The file of this name.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(Self::from)
    }

    /// Makes sure that a name stands for this file.
    ///
    /// # Errors
    /// [`ErrorKind::Replaced`] if there is none of this name, or another one.
    pub(super) fn check(self, path: &Path) -> Result<(), StoreError> {
        let what = match Self::at(path) {
            Ok(id) if id == self => return Ok(()),
            Ok(_) => "another file was put in its place",
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                "it was removed or moved"
            }
            Err(error) => return Err(StoreError::io(path, "cannot look at it", &error)),
        };
        Err(StoreError::new(ErrorKind::Replaced, path, what))
    }
}

impl From<Metadata> for FileId {
    fn from(metadata: Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }
}
