//! The connection to NATS: where entries, checkpoints and parts are kept there, and how each is written and read. Knows
//! no job.
//!
//! `connect` makes the connection, `open` what the nodes share over it.

mod connect;
mod open;

pub(super) use self::connect::{connect, remedy, unresolved};

use super::ClusterError;
use super::entry::{checkpoint_to_bytes, digest, read_checkpoint};
use super::member::NatsError;
use crate::store::{Checkpoint, JobId, NODES};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::Context as JetStream;
use async_nats::jetstream::{kv, object_store, stream};
use bytes::Bytes;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How many numbers there are for nodes, from 1 on.
const NUMBERS: u64 = NODES - 1;

/// How long one operation may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// How long a checkpoint may be on its way from NATS, of which each piece has [`LIMIT`]. On its way there it has that
/// alone: its job may end or be cancelled meanwhile, and another node may have become its owner.
const CHECKPOINT_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of a checkpoint that are read at a time, at the most.
const PIECE: usize = 128 << 10;

/// How long a node of the same name has to say that it lives. Without one NATS answers at once.
const NAME_LIMIT: Duration = Duration::from_secs(1);

/// How long a part may be worked on without a sign of life, until its owner takes it back.
pub(super) const PART_SILENT: Duration = Duration::from_secs(8);

/// How long until NATS gives it to another node. Its owner, who looks for it now and then, is to be first: the part may
/// be why the node is silent.
const ACK_WAIT: Duration = Duration::from_secs(12);

/// Bytes of a checkpoint at the most: the store of a node takes none that is larger (`SQLITE_MAX_LENGTH`).
const MAX_CHECKPOINT: usize = 1_000_000_000;

/// Everything that the nodes of a cluster share.
#[derive(Clone)]
pub(super) struct Links {
    pub(super) client: Client,
    jetstream: JetStream,
    pub(super) jobs: kv::Store,
    pub(super) owners: kv::Store,
    pub(super) nodes: kv::Store,
    pub(super) answers: kv::Store,
    numbers: kv::Store,
    checkpoints: object_store::ObjectStore,
    parts: stream::Stream,
}

impl Links {
    /// The number of the node of this name and mark: the one that it has, or one that is free.
    ///
    /// # Errors
    /// If nobody answers, another data directory has its name or its number, or there are 999 nodes.
    pub(super) async fn number_of(&self, name: &str, mark: &str, known: Option<u64>) -> Result<u64, ClusterError> {
        let (mine, same_name) = (format!("{name} {mark}"), format!("{name} "));
        let (first, count) = match known {
            Some(number) => (number, 1),
            // The same for a name each time, so that a new node seldom takes what NATS has lost, and another is about
            // to say again.
            None => (digest(name.as_bytes()) % NUMBERS + 1, NUMBERS),
        };
        for step in 0..count {
            let number = (first - 1 + step) % NUMBERS + 1;
            let key = number.to_string();
            let entry = self.numbers.entry(key.clone()).await.map_err(ClusterError::refused)?;
            let entry = entry.filter(|entry| entry.operation == kv::Operation::Put);
            let taken_by = entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
            match taken_by {
                Some(other) if other == mine => return Ok(number),
                // Nobody of this name answers: that was asked before.
                Some(other) if other.starts_with(&same_name) => {
                    return Err(ClusterError::Lost(name.to_owned(), number));
                }
                Some(other) if known.is_some() => {
                    let name = other.split(' ').next().unwrap_or_default();
                    return Err(ClusterError::Number(number, name.to_owned()));
                }
                Some(_) => {}
                None => match self.numbers.create(&key, Bytes::from(mine.clone())).await {
                    Ok(_) => return Ok(number),
                    Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => {}
                    Err(error) => return Err(ClusterError::refused(error)),
                },
            }
        }
        Err(ClusterError::Refused(format!(
            "there are {NUMBERS} nodes with numbers already"
        )))
    }

    /// Checks that no other process that lives has the name of this one, as where two were started with copies of one
    /// data directory.
    ///
    /// # Errors
    /// If there is one.
    pub(super) async fn check_name_is_free(&self, name: &str, incarnation: Option<u64>) -> Result<(), ClusterError> {
        let asked = self.client.request(name_subject(name), Bytes::new());
        let own = incarnation.map(|incarnation| format!("{name}.{incarnation:x}"));
        match tokio::time::timeout(NAME_LIMIT, asked).await {
            Ok(Ok(reply)) if own.is_none_or(|own| reply.payload != own.as_bytes()) => {
                Err(ClusterError::Name(name.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Writes an entry that has this revision; 0: that is not there.
    pub(super) async fn put(store: &kv::Store, key: &str, revision: u64, bytes: Vec<u8>) -> Result<u64, NatsError> {
        let written = async {
            match revision {
                0 => store
                    .create(key, bytes.into())
                    .await
                    .map_err(|error| match error.kind() {
                        kv::CreateErrorKind::AlreadyExists => NatsError::Revision,
                        _ => unwritten(&error),
                    }),
                _ => store
                    .update(key, bytes.into(), revision)
                    .await
                    .map_err(|error| match error.kind() {
                        kv::UpdateErrorKind::WrongLastRevision => NatsError::Revision,
                        _ => unwritten(&error),
                    }),
            }
        };
        tokio::time::timeout(LIMIT, written)
            .await
            .unwrap_or(Err(NatsError::Unreachable))
    }

    /// Removes the entry of a job.
    pub(super) async fn forget(&self, job: JobId) -> Result<(), NatsError> {
        let removed = tokio::time::timeout(LIMIT, self.jobs.purge(job.to_string())).await;
        removed
            .map_err(|_| NatsError::Unreachable)?
            .map_err(|error| unwritten(&error))
    }

    /// Keeps a checkpoint, in place of an earlier one of the job.
    pub(super) async fn save(&self, checkpoint: &Checkpoint) -> Result<(), NatsError> {
        let bytes = checkpoint_to_bytes(checkpoint);
        let name = checkpoint.job.to_string();
        let mut bytes = bytes.as_slice();
        let put = self.checkpoints.put(name.as_str(), &mut bytes);
        let put = tokio::time::timeout(LIMIT, put).await;
        put.map_err(|_| NatsError::Unreachable)?
            .map(drop)
            .map_err(|error| unsaved(&error.to_string()))
    }

    /// The checkpoint of a job, if there is one that can be used.
    pub(super) async fn load(&self, job: JobId) -> Result<Option<Checkpoint>, NatsError> {
        let read = async {
            let found = tokio::time::timeout(LIMIT, self.checkpoints.get(job.to_string())).await;
            match found.map_err(|_| NatsError::Unreachable)? {
                Ok(object) => match read_object(object, MAX_CHECKPOINT).await {
                    Ok(bytes) => Ok(read_checkpoint(&bytes)),
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        tracing::error!(%job, %error, "the checkpoint of a job in NATS cannot be used: the job starts over");
                        Ok(None)
                    }
                    Err(_) => Err(NatsError::Unreachable),
                },
                Err(error) if error.kind() == object_store::GetErrorKind::NotFound => Ok(None),
                Err(_) => Err(NatsError::Unreachable),
            }
        };
        tokio::time::timeout(CHECKPOINT_LIMIT, read)
            .await
            .unwrap_or(Err(NatsError::Unreachable))
    }

    /// A job has ended: nobody owns it, and its checkpoint is of no use.
    pub(super) async fn clear(&self, job: JobId) {
        let name = job.to_string();
        // The checkpoint first: while the owner is there, both are cleared again at the next connection.
        match tokio::time::timeout(LIMIT, self.checkpoints.delete(&name)).await {
            Ok(Err(error)) if error.kind() != object_store::DeleteErrorKind::NotFound => return,
            Ok(_) => {}
            Err(_) => return,
        }
        let _ = tokio::time::timeout(LIMIT, self.owners.purge(&name)).await;
    }

    /// Sends a part to whichever node is free.
    pub(super) async fn send_part(&self, headers: async_nats::HeaderMap, bytes: Bytes) -> bool {
        let sent = async {
            let acknowledged = self
                .jetstream
                .publish_with_headers(part_subject(), headers, bytes)
                .await
                .ok()?;
            acknowledged.await.ok()
        };
        matches!(tokio::time::timeout(LIMIT, sent).await, Ok(Some(_)))
    }

    /// Where the parts come from that this version of the program can do.
    pub(super) async fn parts(&self) -> Option<PullConsumer> {
        let name = format!("primed_{}", VERSION.replace('.', "_"));
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            filter_subject: part_subject(),
            max_ack_pending: 20_000,
            ..pull::Config::default()
        };
        self.parts.get_or_create_consumer(&name, config).await.ok()
    }
}

/// Where the node of a name says which process it is.
pub(super) fn name_subject(name: &str) -> String {
    format!("primed.name.{name}")
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of parts of this version: only plans of the same version are sure to have the same parts.
fn part_subject() -> String {
    format!("primed.parts.{}", VERSION.replace('.', "_"))
}

/// All of an object, if it has no more than this many bytes.
///
/// # Errors
/// `InvalidData` if it has more, or its digest is wrong: it will be no better the next time. Any other kind may pass,
/// as where nothing comes for [`LIMIT`].
async fn read_object(object: impl AsyncRead + Unpin, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut object = object.take(most as u64 + 1);
    loop {
        bytes.reserve(PIECE);
        let read = tokio::time::timeout(LIMIT, object.read_buf(&mut bytes)).await;
        if read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? == 0 {
            break;
        }
    }
    if bytes.len() > most {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than {most} bytes"),
        ));
    }
    Ok(bytes)
}

/// Why an entry or a checkpoint is not written: JetStream says so, or nobody says anything.
fn unwritten(error: &(dyn std::error::Error + 'static)) -> NatsError {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    match causes.find_map(|error| error.downcast_ref::<async_nats::jetstream::Error>()) {
        Some(error) => {
            tracing::debug!(%error, "NATS refuses an entry");
            NatsError::Refused
        }
        None => NatsError::Unreachable,
    }
}

/// Why a checkpoint is not written, of which the client has the server's words alone.
fn unsaved(error: &str) -> NatsError {
    tracing::debug!(error, "a checkpoint is not written to NATS");
    // A piece that is too large is not sent, and nothing is full.
    match open::is_for_room(error) && !error.contains("payload") {
        true => NatsError::Refused,
        false => NatsError::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    #[test]
    fn a_checkpoint_that_nats_has_no_room_for_is_refused() {
        for (error, is_refused) in [
            ("failed chunk: failed getting chunk ack: insufficient resources", true),
            ("failed metadata: maximum bytes exceeded", true),
            ("failed chunk publish: max payload size exceeded", false),
            ("failed getting chunk ack: timed out", false),
        ] {
            assert_eq!(unsaved(error) == NatsError::Refused, is_refused, "{error}");
        }
    }

    #[tokio::test]
    async fn a_checkpoint_that_is_too_large_is_not_read_to_its_end() {
        let all = read_object(&b"12345"[..], 5).await;
        assert_eq!(all.expect("it is as large as may be"), b"12345");
        let endless = read_object(tokio::io::repeat(7), 5).await;
        assert_eq!(endless.map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }

    /// Bytes that come one by one, each after a pause.
    fn bytes_with_pauses(count: u8, pause: Duration) -> impl AsyncRead + Unpin {
        let bytes = futures_util::stream::iter(0..count).then(move |byte| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, io::Error>(Bytes::from(vec![byte]))
        });
        tokio_util::io::StreamReader::new(Box::pin(bytes))
    }

    #[tokio::test(start_paused = true)]
    async fn a_checkpoint_may_come_slowly_but_not_stop() {
        let slow = read_object(bytes_with_pauses(9, LIMIT / 2), 9).await;
        assert_eq!(slow.expect("it goes on").len(), 9);
        let stopped = read_object(bytes_with_pauses(9, 2 * LIMIT), 9).await;
        assert_eq!(stopped.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
    }
}
