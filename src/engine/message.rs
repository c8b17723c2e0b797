//! What is asked of the engine and what it sends, the names that go with these, and the bounds it keeps. Plain data: no
//! actor's type.

use super::external::ExternalTask;
use crate::auth::UserName;
use crate::clients;
use crate::job::Job;
pub use crate::proto::RequestId;
use crate::proto::{Interim, Reply, Value};
pub use crate::store::{JobId, Priority};
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{AddrParseError, IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Rows that a streaming request may have under way before its client grants more. One row is at most 1.4 KiB,
/// or one number.
pub const ROWS_GRANTED: usize = 64;

/// Names a client of the engine: in the daemon, a connection, or the program around it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// Names a piece of work inside the engine. Never used twice, also not by a table that takes the place of a broken one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WorkId(pub(super) u64);

/// Whose shares of the machine and whose limits a client uses. All clients of a user, or of an address where there are
/// no users, have one account, however many connections they open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Account {
    /// The process itself: the program around the daemon.
    Process,
    /// All clients of unix sockets.
    Unix,
    /// An address. For IPv6 it is the network of 64 bits, because one machine has all addresses of it.
    Address(IpAddr),
    /// A user, from any address.
    User(UserName),
}

/// How the account of the process itself is written.
const PROCESS: &str = "process";
/// And that of unix sockets. No user may have either name.
const UNIX: &str = "unix";

/// As one number: the scheduler looks accounts up some twenty times for each message, and the derived hash is of bytes
/// and their count.
impl Hash for Account {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Process => state.write_u64(0),
            Self::Unix => state.write_u64(1),
            Self::Address(IpAddr::V4(address)) => state.write_u32(address.to_bits()),
            Self::Address(IpAddr::V6(address)) => state.write_u128(address.to_bits()),
            Self::User(name) => name.hash(state),
        }
    }
}

impl From<IpAddr> for Account {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address == clients::UNIX.ip() => Self::Unix,
            IpAddr::V6(address) if !address.is_loopback() => {
                Self::Address(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)))
            }
            address => Self::Address(address),
        }
    }
}

impl From<SocketAddr> for Account {
    fn from(peer: SocketAddr) -> Self {
        peer.ip().into()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process => f.write_str(PROCESS),
            Self::Unix => f.write_str(UNIX),
            Self::Address(address) => address.fmt(f),
            Self::User(name) => name.fmt(f),
        }
    }
}

impl FromStr for Account {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            PROCESS => return Ok(Self::Process),
            UNIX => return Ok(Self::Unix),
            _ => {}
        }
        match UserName::parse(text) {
            Some(name) => Ok(Self::User(name)),
            None => text.parse().map(|address: IpAddr| address.into()),
        }
    }
}

/// A client, and the account whose share its jobs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Payer {
    pub(super) account: Account,
    pub(super) client: ClientId,
}

/// Which submitted jobs to cancel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These.
    Jobs(Vec<JobId>),
    /// All that clients of the same account submitted.
    Own,
    /// All that clients of this account submitted.
    Of(Account),
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request to the engine.
#[derive(Debug)]
pub struct Order {
    /// Names the request among those of the client.
    pub request: RequestId,
    /// What is asked.
    pub ask: Ask,
    /// When the client no longer wants the answer.
    pub deadline: Option<Instant>,
    /// It sees and ends no submitted jobs but those of its own account.
    pub is_confined: bool,
    /// How often the client wants to hear how far it is.
    pub progress: Option<Duration>,
    /// How many rows may be sent before the client grants more.
    pub rows: usize,
}

/// What can be asked of the engine.
#[derive(Debug)]
pub enum Ask {
    /// The answer to some work, for as long as the client waits.
    Answer(Work),
    /// Work that goes on without its client; answered by its ID once the store has it.
    Submit(Box<Submit>),
    /// The progress of a submitted job, and then its answer.
    Watch(JobId),
    /// The answer of a submitted job.
    Result(JobId),
    /// The answer of a submitted job by a second way.
    Verify(JobId),
    /// The end of a submitted job.
    Cancel(JobId),
    /// The end of several; answered by their number.
    CancelMany(Selection),
    /// These submitted jobs as rows; if there are none, all jobs that are submitted or long.
    List(Vec<JobId>),
    /// The answer to the question of this title, or all answers, are to be forgotten.
    Forget(Option<String>),
}

impl Ask {
    /// True if the answer is preceded by rows, which are sent as they are granted.
    pub const fn streams(&self) -> bool {
        match self {
            Self::Answer(work) => work.streams(),
            Self::List(_) => true,
            _ => false,
        }
    }

    /// Whether the answer is computed by a plan, which holds memory.
    pub const fn is_plan(&self) -> bool {
        matches!(self, Self::Answer(Work::Plan(_)))
    }
}

/// A job to be submitted.
#[derive(Debug)]
pub struct Submit {
    /// What is to be done.
    pub subject: Subject,
    /// The words of the request, from which the job is made again after a restart.
    pub request: String,
    /// What the client calls it: a second job of that name is the first one.
    pub key: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// How long it waits before it begins.
    pub after: Option<Duration>,
}

/// What a submitted job is to answer.
#[derive(Debug)]
pub enum Subject {
    /// Work that has to be done.
    Work(Work),
    /// A question whose answer is known.
    Known {
        /// The question.
        title: String,
        /// Its answer.
        value: Value,
    },
}

impl Subject {
    /// The question.
    pub(crate) fn title(&self) -> Cow<'_, str> {
        match self {
            Self::Work(work) => work.title(),
            Self::Known { title, .. } => title.as_str().into(),
        }
    }
}

impl<W: Into<Work>> From<W> for Subject {
    fn from(work: W) -> Self {
        Self::Work(work.into())
    }
}

/// Something to do for a client.
#[derive(Debug)]
pub enum Work {
    /// A plan, in slices, by the workers that all plans share.
    Plan(Job),
    /// Something else, in a lane of its own.
    External(ExternalTask),
}

impl Work {
    /// The question.
    pub(super) fn title(&self) -> Cow<'_, str> {
        match self {
            Self::Plan(job) => job.title(),
            Self::External(task) => task.title.as_str().into(),
        }
    }

    /// True if the answer is preceded by rows.
    pub const fn streams(&self) -> bool {
        match self {
            Self::Plan(job) => job.streams,
            Self::External(task) => task.streams,
        }
    }
}

impl From<Job> for Work {
    fn from(job: Job) -> Self {
        Self::Plan(job)
    }
}

impl From<ExternalTask> for Work {
    fn from(task: ExternalTask) -> Self {
        Self::External(task)
    }
}

/// What the engine sends to a client about a request.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// The final reply.
    Final(Reply),
    /// A line before it.
    Interim(Interim),
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Jobs held at once for clients that wait, queued and running. Beyond it, up to twice as many, only accounts with
    /// less than an equal share are served.
    pub max_jobs: usize,
    /// The same for one account: for all clients of a user, or of an address where there are no users.
    pub max_jobs_per_account: usize,
    /// Submitted jobs that have not ended, which take no room from those of clients that wait. Beyond it as with
    /// `max_jobs`.
    pub max_submitted: usize,
    /// How long a question may wait until it is begun, unless it has a deadline.
    pub max_queue_age: Duration,
    /// Bytes that all plans together may hold.
    pub max_memory: u64,
    /// Submitted jobs that are remembered after they have ended.
    pub max_finished: usize,
    /// How long they are remembered.
    pub max_finished_age: Duration,
    /// Bytes of answers that are kept for the next client that asks the same.
    pub max_answers: u64,
    /// Answers that the store keeps, of those that took more than 100 ms of CPU time.
    pub max_stored_answers: usize,
    /// Bytes of these.
    pub max_stored_answers_bytes: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_jobs: 20_000,
            max_jobs_per_account: 10_000,
            max_submitted: 10_000,
            max_queue_age: Duration::from_secs(1),
            max_memory: 2 << 30,
            max_finished: 1_000,
            max_finished_age: Duration::from_secs(3_600),
            max_answers: 8 << 20,
            max_stored_answers: 100_000,
            max_stored_answers_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_account_and_so_is_a_network_of_a_machine() {
        let account = |text: &str| text.parse::<Account>();
        assert_eq!(account("127.0.0.1"), account("::ffff:127.0.0.1"));
        assert_ne!(account("127.0.0.1"), account("127.0.0.2"));
        assert_eq!(account("2001:db8:1:2::7"), account("2001:db8:1:2:8::"));
        assert_ne!(account("2001:db8:1:2::7"), account("2001:db8:1:3::7"));
        for text in ["process", "unix", "127.0.0.1", "::1", "2001:db8:1:2::"] {
            assert_eq!(account(text).map(|account| account.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(account("bob").map(|account| account.to_string()), Ok("bob".to_owned()));
        assert!(account("1.2.3").is_err());
    }
}
