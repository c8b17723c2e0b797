//! The connection to NATS: where entries, checkpoints and parts are kept there, and how each is written and read. Knows
//! no job.

use super::entry::{checkpoint_to_bytes, digest, read_checkpoint};
use super::member::NatsError;
use super::servers::{Login, Servers};
use super::{ClusterError, ClusterSettings};
use crate::store::{Checkpoint, JobId, NODES};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::Context as JetStream;
use async_nats::jetstream::stream::{DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{kv, object_store, stream};
use async_nats::rustls::RootCertStore;
use async_nats::rustls::pki_types::CertificateDer;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::{Client, ConnectOptions, Event};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

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

/// How long a node is remembered that says nothing.
const NODE_AGE: Duration = Duration::from_secs(30);

/// How long a part waits for a node at most. Its owner takes it back before.
const PART_AGE: Duration = Duration::from_secs(120);

/// Bytes of a checkpoint at the most: the store of a node takes none that is larger (`SQLITE_MAX_LENGTH`).
const MAX_CHECKPOINT: usize = 1_000_000_000;

/// Bytes of what nodes say of themselves: 999 entries of some 300 bytes, and room to spare.
const NODES_BYTES: i64 = 4 << 20;

/// Bytes of answers that are shared, and of parts that wait: the first for which NATS has room.
const ANSWERS_BYTES: [i64; 2] = [64 << 20, 16 << 20];
const PARTS_BYTES: [i64; 4] = [1 << 30, 256 << 20, 64 << 20, 16 << 20];

/// The oldest server with what is needed here.
const LEAST_VERSION: (i64, i64, i64) = (2, 10, 0);

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

/// Connects, and goes on connecting for as long as the process lives. `events` is called at each change.
pub(super) async fn connect(
    settings: &ClusterSettings,
    events: impl Fn(Event) + Send + Sync + 'static,
    failing: Arc<watch::Sender<String>>,
) -> Result<Client, ClusterError> {
    let mut options = ConnectOptions::new()
        .name(format!("primed {}", settings.name))
        .retry_on_initial_connect()
        .connection_timeout(LIMIT)
        .request_timeout(Some(LIMIT))
        .ping_interval(Duration::from_secs(3))
        .reconnect_delay_callback(|attempts| Duration::from_millis(100) * u32::try_from(attempts.min(20)).unwrap_or(20))
        // It is asked before each attempt, and selects no server: it sees why the last one failed.
        .reconnect_to_server_callback(move |servers, _| {
            if let Some(reason) = servers.into_iter().find_map(|server| server.last_error) {
                note_failure(&failing, reason);
            }
            std::future::ready(None)
        })
        .event_callback(move |event| {
            events(event);
            std::future::ready(())
        });
    if let Some(file) = &settings.credentials {
        let read = options.credentials_file(file).await;
        options = read.map_err(|error| ClusterError::Credentials(file.clone(), error))?;
    }
    if let Some(file) = &settings.ca {
        check_certificates(file).map_err(|what| ClusterError::Certificates(file.clone(), what))?;
        options = options.add_root_certificates(file.clone()).require_tls(true);
    }
    // Not in the addresses, which the client logs.
    let Servers { addresses, login } = Servers::read(&settings.url).map_err(ClusterError::Servers)?;
    options = match login {
        Some(Login::User(user, password)) => options.user_and_password(user, password),
        Some(Login::Token(token)) => options.token(token),
        None => options,
    };
    let connected = options.connect(addresses).await;
    connected.map_err(|error| ClusterError::Connect(settings.servers(), error.to_string()))
}

/// Checks that a file has certificates: the client reads it at each connection, and says neither which it was nor that
/// it has none.
///
/// # Errors
/// Why it cannot be used.
fn check_certificates(file: &Path) -> Result<(), String> {
    let text = fs::read(file).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("it has no certificate in PEM".to_owned()),
        false => Ok(()),
    }
}

/// What to do about NATS that cannot be reached for this reason, which is the client's.
pub(super) fn remedy(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["authorization", "authentication", "nonce"]) {
        "check the user, password or token in --cluster, or --cluster-credentials"
    } else if has(&["TLS", "certificate", "corrupt message", "fatal alert"]) {
        "check --cluster-ca, the names in the certificate of NATS, and whether it speaks TLS"
    } else {
        "check --cluster, and that NATS runs and this machine can reach it"
    }
}

/// Why no connection is made, where the client does not say: it reports no name that cannot be resolved.
pub(super) async fn unresolved(settings: &ClusterSettings) -> Option<String> {
    for server in Servers::read(&settings.url).ok()?.addresses {
        let resolved = tokio::time::timeout(LIMIT, server.socket_addrs()).await;
        let what = match resolved {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no reply".to_owned(),
        };
        return Some(format!("the name {} is not resolved: {what}", server.host()));
    }
    None
}

/// Notes why NATS cannot be reached, and says so once for each time that it is gone.
fn note_failure(failing: &watch::Sender<String>, reason: String) {
    failing.send_if_modified(|last| {
        let is_new = *last != reason;
        if is_new {
            tracing::warn!(reason, remedy = remedy(&reason), "NATS cannot be reached; trying again");
            *last = reason;
        }
        is_new
    });
}

/// Whether this server has what is needed.
///
/// # Errors
/// What it is, and what is needed.
fn check_version(version: &str) -> Result<(), ClusterError> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0_i64));
    let mut next = || numbers.next().unwrap_or(0);
    let version_numbers = (next(), next(), next());
    match version_numbers < LEAST_VERSION {
        true => Err(ClusterError::Version(version.to_owned())),
        false => Ok(()),
    }
}

impl Links {
    /// Opens what is shared, and makes what is not there yet.
    ///
    /// # Errors
    /// What the server refuses.
    pub(super) async fn open(client: Client) -> Result<Self, ClusterError> {
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

    /// Whether another process that lives has the name of this one, as two have that were started with copies of one
    /// data directory.
    ///
    /// # Errors
    /// If there is one.
    pub(super) async fn check_name(&self, name: &str, incarnation: Option<u64>) -> Result<(), ClusterError> {
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

    /// Keeps a checkpoint, in place of an earlier one of the job.
    pub(super) async fn save(&self, checkpoint: &Checkpoint) -> bool {
        let bytes = checkpoint_to_bytes(checkpoint);
        let name = checkpoint.job.to_string();
        let mut bytes = bytes.as_slice();
        let put = self.checkpoints.put(name.as_str(), &mut bytes);
        matches!(tokio::time::timeout(LIMIT, put).await, Ok(Ok(_)))
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
fn is_for_room(error: &str) -> bool {
    ["insufficient", "exceeded"].iter().any(|word| error.contains(word))
}

/// Why an entry is not written: JetStream says so, or nobody says anything.
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
    use futures_util::StreamExt;

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

    #[test]
    fn a_file_without_certificates_is_refused_before_it_is_used() {
        let file = std::env::temp_dir().join(format!("primed-ca-{}", std::process::id()));
        assert!(check_certificates(&file).is_err(), "there is none");
        for text in [
            "",
            "garbage",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            fs::write(&file, text).expect("a temporary file can be written");
            assert!(check_certificates(&file).is_err(), "{text}");
        }
        fs::remove_file(file).expect("it is there");
    }

    #[test]
    fn each_reason_has_its_remedy() {
        for (reason, word) in [
            ("authorization violation: nats: authorization violation", "password"),
            ("IO error: invalid peer certificate: UnknownIssuer", "--cluster-ca"),
            ("TLS error", "--cluster-ca"),
            ("IO error: Connection refused (os error 111)", "NATS runs"),
        ] {
            assert!(remedy(reason).contains(word), "{reason}");
        }
    }

    #[test]
    fn a_server_that_is_too_old_is_refused_by_its_version() {
        for old in ["2.9.10", "1.4.1", "", "nonsense"] {
            assert!(check_version(old).is_err(), "{old}");
        }
        for new in ["2.10.0", "2.12.3-RC.1", "3.0.0"] {
            assert!(check_version(new).is_ok(), "{new}");
        }
    }
}
