//! The store of a daemon: opened before the sockets are, read into the engine before anybody is heard, and closed after
//! all else.
//!
//! A job of an earlier process is made of its request again here, where the verbs are known, and given its checkpoint.

use crate::caught::{Panicked, caught};
use crate::engine::{Flush, Restored, Scheduler, Subject, Work};
use crate::metrics::{Metrics, StoreState};
use crate::proto::{Code, Failure};
use crate::store::{CloseWriter, Commit, Contents, Store, StoreError, StoredJob, Writer};
#[cfg(feature = "sqlite")]
use crate::store::{ErrorKind, SqliteStore};
use crate::verb::{DaemonView, Registry};
use actix::prelude::*;
use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the last records may take to be written.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long the store may take to be closed where it did not take them: it may be at a write that does not end, and a
/// service manager has some patience too.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// Where a daemon keeps what outlives it.
#[derive(Default)]
pub(super) enum StorePlace {
    #[default]
    None,
    #[cfg(feature = "sqlite")]
    Directory(PathBuf),
    Other(Box<dyn Store>),
}

impl fmt::Debug for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            #[cfg(feature = "sqlite")]
            Self::Directory(_) => "Directory",
            Self::Other(_) => "Other",
        })
    }
}

impl StorePlace {
    /// The directory, if it is one.
    #[cfg(feature = "cluster")]
    pub(super) fn directory(&self) -> Option<PathBuf> {
        match self {
            Self::Directory(directory) => Some(directory.clone()),
            Self::None | Self::Other(_) => None,
        }
    }

    /// Opens the store and reads it.
    ///
    /// # Errors
    /// What is wrong with it; nothing is changed then.
    pub(super) async fn open(self) -> Result<Option<Opened>, StoreError> {
        match self {
            Self::None => Ok(None),
            #[cfg(feature = "sqlite")]
            Self::Directory(directory) => open_directory(directory).await.map(Some),
            Self::Other(store) => Opened::read(store, "memory".to_owned()).map(Some),
        }
    }
}

/// Opens a directory on a thread of its own: the lock may be waited for, and a large store takes a while to read.
/// Signals are seen meanwhile, and a start that is given up does not wait for the thread.
#[cfg(feature = "sqlite")]
async fn open_directory(directory: PathBuf) -> Result<Opened, StoreError> {
    let (sender, opened) = oneshot::channel();
    let failed = StoreError::new(
        ErrorKind::Internal,
        &directory,
        "cannot be opened: its thread could not be started, or has panicked",
    );
    let open = move || {
        let store = SqliteStore::open(&directory)?;
        Opened::read(Box::new(store), directory.display().to_string())
    };
    let thread = std::thread::Builder::new().name("store-open".to_owned());
    match thread.spawn(move || drop(sender.send(open()))) {
        Ok(_) => opened.await.unwrap_or(Err(failed)),
        Err(_) => Err(failed),
    }
}

/// A store that was read.
pub(super) struct Opened {
    store: Box<dyn Store>,
    name: String,
    contents: Contents,
}

impl Opened {
    fn read(mut store: Box<dyn Store>, name: String) -> Result<Self, StoreError> {
        let contents = store.recover()?;
        Ok(Self { store, name, contents })
    }

    /// Starts the thread that writes, and gives the scheduler what there is.
    pub(super) fn start(
        self,
        scheduler: Scheduler,
        registry: &Registry,
        daemon: &DaemonView,
    ) -> (Scheduler, Option<StoreWriter>) {
        let writer = Writer::start(self.store);
        let scheduler = fill(
            scheduler,
            self.contents,
            &self.name,
            writer.clone().recipient(),
            registry,
            daemon,
        );
        (scheduler, Some(StoreWriter(writer)))
    }
}

/// Gives the scheduler what a store has, and the way to it.
pub(super) fn fill(
    scheduler: Scheduler,
    contents: Contents,
    name: &str,
    writer: Recipient<Commit>,
    registry: &Registry,
    daemon: &DaemonView,
) -> Scheduler {
    let Contents {
        last_job,
        jobs,
        answers,
    } = contents;
    daemon.metrics.set_store(|store| name.clone_into(&mut store.place));
    let jobs: Vec<Restored> = jobs
        .into_values()
        .map(|stored| restored(stored, registry, daemon))
        .collect();
    let unfinished = jobs.iter().filter(|job| job.stored.end.is_none()).count();
    let checkpoints = jobs.iter().filter(|job| job.stored.checkpoint.is_some()).count();
    tracing::info!(
        store = name,
        jobs = jobs.len(),
        unfinished,
        checkpoints,
        answers = answers.len(),
        "store opened"
    );
    let (registry, daemon) = (registry.clone(), daemon.clone());
    let rebuild = Box::new(move |stored| restored(stored, &registry, &daemon));
    scheduler.with_store(writer, jobs, last_job, answers, rebuild)
}

/// A job of an earlier process, made of its request again.
fn restored(mut stored: StoredJob, registry: &Registry, daemon: &DaemonView) -> Restored {
    let submission = &stored.submission;
    let subject = match stored.end {
        Some(_) => Ok(Subject::Known {
            title: String::new(),
            value: crate::proto::Value::Nothing,
        }),
        None => registry.read_again(&submission.request, daemon),
    };
    let subject = subject.map_err(|failure| {
        let text = format!("the job cannot go on after a restart: {}", failure.text);
        tracing::warn!(job = %submission.job, request = submission.request, "{text}");
        Failure::new(failure.code, text)
    });
    let mut subject = subject;
    if let (Ok(Subject::Work(Work::Plan(job))), Some(checkpoint)) = (&mut subject, &stored.checkpoint) {
        match caught(|| job.resume(checkpoint.bytes.clone())) {
            Ok(Ok(())) => {}
            Ok(Err(damaged)) => {
                tracing::warn!(job = %checkpoint.job, %damaged, "the job starts over");
                stored.checkpoint = None;
            }
            Err(Panicked) => {
                tracing::error!(job = %checkpoint.job, request = submission.request, "the plan panicked as it was restored");
                let text = "its plan panicked as it read its checkpoint; the log says more";
                subject = Err(Failure::new(Code::Internal, text));
            }
        }
    }
    Restored { stored, subject }
}

/// The thread that writes, until the store is closed.
#[derive(Debug)]
pub(super) struct StoreWriter(Addr<Writer>);

impl StoreWriter {
    /// Closes the store once everything is written.
    pub(super) async fn close(self, scheduler: &Addr<Scheduler>, metrics: &Metrics) {
        let (written, all_written) = oneshot::channel();
        scheduler.do_send(Flush { written });
        let is_complete = tokio::time::timeout(WRITE_LIMIT, all_written).await.is_ok();
        let limit = if is_complete { WRITE_LIMIT } else { CLOSE_LIMIT };
        if !is_complete {
            metrics.set_store(|store| store.is_incomplete = true);
            match metrics.store() {
                StoreState {
                    place,
                    is_replaced: true,
                    ..
                } => {
                    tracing::error!("the store did not take the last records: all is lost unless {place} is put back");
                }
                _ => tracing::error!(
                    "the store did not take the last records: work since the latest checkpoints is done again"
                ),
            }
        }
        let _ = tokio::time::timeout(limit, self.0.send(CloseWriter)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Budget, Damaged, Job, Plan};
    use crate::proto::Value;
    use crate::store::{Checkpoint, Timestamp};
    use crate::verb::{Step, define};
    use std::sync::Arc;
    use std::time::Instant;

    struct Fragile;

    impl Plan for Fragile {
        type Slice = ();
        type Partial = ();

        fn cut(&mut self) -> Option<()> {
            Some(())
        }

        fn run((): (), _: Budget<'_>) {}

        fn absorb(&mut self, (): ()) {}

        fn answer(&mut self) -> Option<Value> {
            None
        }

        fn progress(&self) -> f64 {
            0.0
        }

        fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
            match bytes {
                b"damaged" => Err(Damaged::Impossible("state")),
                _ => panic!("as asked"),
            }
        }
    }

    #[test]
    fn a_job_whose_plan_panics_at_its_checkpoint_has_failed_and_the_daemon_starts() {
        let mut registry = Registry::default();
        registry.add(define("fragile", "as asked", |_| {
            Ok(Step::from(Job::new("fragile", || Fragile)))
        }));
        let daemon = DaemonView {
            metrics: Arc::new(Metrics::default()),
            clients: Arc::default(),
            started: Instant::now(),
            workers: 1,
        };
        let (job, time) = (crate::store::JobId(1), Timestamp::from_millis(1));
        let stored = |bytes: &[u8]| {
            let mut stored = StoredJob::of_request("fragile".to_owned());
            stored.checkpoint = Some(Checkpoint {
                job,
                saved_at: time,
                progress: 0.5,
                cpu: Duration::ZERO,
                bytes: bytes.into(),
            });
            stored
        };
        let failed = restored(stored(b"whole"), &registry, &daemon);
        assert!(failed.subject.is_err_and(|failure| failure.code == Code::Internal));
        let again = restored(stored(b"damaged"), &registry, &daemon);
        assert!(again.subject.is_ok() && again.stored.checkpoint.is_none());
    }
}
