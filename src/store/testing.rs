//! For tests: directories that go when they are let go.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory of a test's own.
#[derive(Debug)]
pub(in crate::store) struct Directory(PathBuf);

impl Directory {
    pub(in crate::store) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("primed-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the directory of temporary files can be written");
        Self(path)
    }

    pub(in crate::store) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
