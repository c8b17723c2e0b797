//! What outlives the process: submitted jobs, their checkpoints and ends, and answers that were expensive.
//!
//! A [`Store`] takes batches of [`Record`]s, each batch as a whole, and gives back at the start what they came to. Two
//! keep that promise:
//! [`SqliteStore`] in a directory, [`MemoryStore`] for tests and the simulation. Between the scheduler and its store
//! stands a [`Journal`], which says what is to be written next; [`Writer`] is the thread that writes.
//!
//! Knows no plan, queue, session or verb: a question is text here, and a checkpoint is bytes.

mod answers;
mod contents;
mod error;
mod file_id;
mod journal;
#[cfg(feature = "sqlite")]
mod lock;
mod memory;
mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(test, feature = "sqlite"))]
mod testing;
#[cfg(feature = "sqlite")]
mod value;
mod writer;

pub use answers::{COMPUTED, KeptAnswers};
pub use contents::{Contents, StoredJob};
pub use error::{ErrorKind, StoreError};
pub(crate) use file_id::FileId;
pub use journal::Journal;
pub use memory::MemoryStore;
pub use record::{Checkpoint, End, JobId, KeptAnswer, NODES, Priority, Record, State, Submission, Timestamp};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
#[cfg(feature = "cli")]
pub use sqlite::{Pruning, Survey};
#[cfg(feature = "cluster")]
pub use value::{read_value, write_value};
pub use writer::{CloseWriter, Commit, Committed, Writer};

/// Keeps records. What [`commit`](Store::commit) has confirmed is there after any end of the process and of the
/// machine.
pub trait Store: Send + 'static {
    /// What the records committed so far come to.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    fn recover(&mut self) -> Result<Contents, StoreError>;

    /// Writes all records of a batch, or none. After an error none is confirmed, though they may turn out to be there;
    /// to write them again does no harm.
    ///
    /// # Errors
    /// If they could not be written. A [retriable](ErrorKind::is_retriable) cause may be gone at the next call.
    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError>;
}
