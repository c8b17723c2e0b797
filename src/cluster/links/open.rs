//! Opening what the nodes share in NATS: what is not there yet is made, as large as there is room for.

use super::connect::check_version;
use super::{LIMIT, Links};
use crate::cluster::ClusterError;
use async_nats::Client;
use async_nats::jetstream::context::Context as JetStream;
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{kv, object_store, stream};
use std::time::Duration;

/// How long a node is remembered that says nothing.
const NODE_AGE: Duration = Duration::from_secs(30);

/// How long a part waits for a node at most. Its owner takes it back before.
const PART_AGE: Duration = Duration::from_secs(120);

/// Bytes of what nodes say of themselves: 999 entries of some 300 bytes, and room to spare.
const NODES_BYTES: i64 = 4 << 20;

/// Bytes of answers that are shared, and of parts that wait: the first for which NATS has room.
const ANSWERS_BYTES: [i64; 2] = [64 << 20, 16 << 20];
const PARTS_BYTES: [i64; 4] = [1 << 30, 256 << 20, 64 << 20, 16 << 20];

impl Links {
    /// Opens what is shared, and makes what is not there yet.
    ///
    /// # Errors
    /// What the server refuses.
    pub(in crate::cluster) async fn open(client: Client) -> Result<Self, ClusterError> {
        check_version(&client.server_info().version)?;
        let mut jetstream = async_nats::jetstream::new(client.clone());
        jetstream.set_timeout(LIMIT);
        let bucket = |name: &str, description: &str| kv::Config {
            bucket: name.to_owned(),
            description: description.to_owned(),
            history: 1,
            storage: StorageType::File,
            num_replicas: 1,
            ..kv::Config::default()
        };
        let nodes = kv::Config {
            max_age: NODE_AGE,
            storage: StorageType::Memory,
            max_bytes: NODES_BYTES,
            ..bucket("primed_nodes", "nodes of primed, as they say themselves")
        };
        let answers = |max_bytes| kv::Config {
            max_bytes,
            ..bucket("primed_answers", "answers that were expensive")
        };
        let checkpoints = object_store::Config {
            bucket: "primed_checkpoints".to_owned(),
            storage: StorageType::File,
            num_replicas: 1,
            ..object_store::Config::default()
        };
        let checkpoints = match jetstream.get_object_store(&checkpoints.bucket).await {
            Ok(store) => store,
            Err(_) => jetstream
                .create_object_store(checkpoints)
                .await
                .map_err(|error| refusal("primed_checkpoints", &error))?,
        };
        // Parts are transport: their owner makes them again, so they are kept in memory.
        let parts = |max_bytes| stream::Config {
            name: "PRIMED_PARTS".to_owned(),
            subjects: vec!["primed.parts.>".to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::Memory,
            max_age: PART_AGE,
            max_messages: 100_000,
            max_bytes,
            discard: DiscardPolicy::New,
            ..stream::Config::default()
        };
        // Before the parts, which take what room there is.
        let nodes = open(&jetstream, nodes).await?;
        let mut size = Size::new("the stream PRIMED_PARTS, in memory (max_mem)", &PARTS_BYTES);
        let parts = loop {
            let made = jetstream.get_or_create_stream(parts(size.bytes)).await;
            if let Some(made) = size.fits(made.map_err(ClusterError::refused))? {
                break made;
            }
        };
        let mut size = Size::new("the bucket primed_answers, on disk (max_file)", &ANSWERS_BYTES);
        let answers = loop {
            if let Some(made) = size.fits(open(&jetstream, answers(size.bytes)).await)? {
                break made;
            }
        };
        Ok(Self {
            jobs: open(&jetstream, bucket("primed_jobs", "submitted jobs, and how they ended")).await?,
            owners: open(&jetstream, bucket("primed_owners", "which node works on a job")).await?,
            nodes,
            answers,
            numbers: open(
                &jetstream,
                bucket("primed_numbers", "the number of each node, in which its jobs end"),
            )
            .await?,
            checkpoints,
            parts,
            client,
            jetstream,
        })
    }
}

/// The size of something that is made as large as NATS has room for.
struct Size {
    what: &'static str,
    bytes: i64,
    smaller: &'static [i64],
}

impl Size {
    /// Begins with the first of these sizes, of which there is one.
    const fn new<const N: usize>(what: &'static str, sizes: &'static [i64; N]) -> Self {
        let [bytes, smaller @ ..] = sizes.as_slice() else {
            panic!("there is a size");
        };
        Self {
            what,
            bytes: *bytes,
            smaller,
        }
    }

    /// What was made with this size. `None`: it did not fit, and the next size may.
    ///
    /// # Errors
    /// What else NATS refuses, or what it has no room for.
    fn fits<T>(&mut self, made: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
        let (what, mib) = (self.what, self.bytes >> 20);
        match (made, self.smaller) {
            (Err(ClusterError::Refused(error) | ClusterError::Room(_, error)), [next, rest @ ..])
                if is_for_room(&error) =>
            {
                tracing::info!(error, mib, next_mib = next >> 20, "NATS has no room for {what}");
                (self.bytes, self.smaller) = (*next, rest);
                Ok(None)
            }
            (Err(ClusterError::Refused(error) | ClusterError::Room(_, error)), []) if is_for_room(&error) => {
                Err(ClusterError::Room(format!("{mib} MiB for {what}"), error))
            }
            (made, _) => made.map(Some),
        }
    }
}

/// Whether this is what JetStream says where it has no room for what is reserved.
pub(super) fn is_for_room(error: &str) -> bool {
    ["insufficient", "exceeded"].iter().any(|word| error.contains(word))
}

/// Why a bucket is not made.
fn refusal(bucket: &str, error: &dyn std::error::Error) -> ClusterError {
    match error.to_string() {
        error if is_for_room(&error) => ClusterError::Room(format!("the bucket {bucket}"), error),
        error => ClusterError::Refused(format!("bucket {bucket}: {error}")),
    }
}

async fn open(jetstream: &JetStream, config: kv::Config) -> Result<kv::Store, ClusterError> {
    let bucket = config.bucket.clone();
    // One that is there may have been given replicas by its operator.
    match jetstream.get_key_value(&bucket).await {
        Ok(store) => Ok(store),
        Err(_) => {
            let made = jetstream.create_key_value(config).await;
            made.map_err(|error| refusal(&bucket, &error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nats_has_no_room_for_is_made_smaller_and_named_if_none_fits() {
        let no_room = || {
            Err::<(), _>(ClusterError::Refused(
                "insufficient memory resources available".to_owned(),
            ))
        };
        let mut size = Size::new("parts", &[64 << 20, 16 << 20]);
        assert!(matches!(size.fits(no_room()), Ok(None)));
        assert_eq!(size.bytes, 16 << 20);
        assert!(matches!(size.fits(Ok(())), Ok(Some(()))));
        let error = size.fits(no_room()).expect_err("no size fits").to_string();
        assert!(
            error.contains("16 MiB for parts") && error.contains("insufficient memory"),
            "{error}"
        );
        let error = std::io::Error::other("insufficient memory resources available");
        let bucket = refusal("primed_nodes", &error).to_string();
        assert!(
            bucket.contains("no room") && bucket.contains("primed_nodes"),
            "{bucket}"
        );
        let mut size = Size::new("answers", &ANSWERS_BYTES);
        assert!(matches!(size.fits(Err::<(), _>(refusal("a", &error))), Ok(None)));
        let other = ClusterError::Refused("jetstream is not enabled".to_owned());
        let refused = Size::new("parts", &PARTS_BYTES).fits(Err::<(), _>(other));
        assert!(
            matches!(refused, Err(ClusterError::Refused(_))),
            "another size does not help"
        );
    }
}
