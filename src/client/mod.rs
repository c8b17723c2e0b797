//! A client of a running daemon: typed calls, many at once over one connection.
//!
//! ```
//! use primed::{Client, Daemon};
//! use std::time::Duration;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let daemon = Daemon::new().listen(([127, 0, 0, 1], 0).into()).spawn()?;
//! let client = Client::connect(daemon.addresses()[0]).await?;
//! assert_eq!(client.nth(1_000_000).await?, 15_485_863);
//! let (pi, factors) = tokio::join!(client.pi(1_000_000_000_000), client.factor(91u8));
//! assert_eq!((pi?, factors?), (37_607_912_018, vec![7u8.into(), 13u8.into()]));
//!
//! // Whatever is dropped unanswered is cancelled: this one is stopped after 10 ms, and so is the work.
//! let late = tokio::time::timeout(Duration::from_millis(10), client.pi(u64::MAX.into())).await;
//! assert!(late.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! Knows the wire; knows nothing of how a daemon works.

mod call;
mod connection;
mod connector;
mod line;
mod reply;
mod stream;

pub use call::Call;
pub use connector::Connector;
pub use line::{Progress, ReplyLine, split_tag};
pub use reply::{FromReply, JobId, Reply};
pub use stream::{Primes, Rows};

use crate::primes::Natural;
use crate::primes::constellation::Constellation;
use crate::proto::{Code, Failure};
use connection::Connection;
use connector::connect;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::ToSocketAddrs;

/// Why a call has no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The daemon refused, and says why; or what was to be asked is no line of printable ASCII, and was not sent.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The connection is closed: by the daemon, or because its runtime has ended.
    #[error("the connection to the daemon is closed")]
    Closed,
    /// The connection failed, or what came over it is no response of a daemon, or one of more than 1 MiB.
    #[error("the connection to the daemon failed: {0}")]
    Io(#[from] io::Error),
    /// The reply is not of the kind that was asked for: the daemon speaks another version, or is none.
    #[error("unexpected reply '{0}'")]
    Unexpected(String),
    /// The reply has more rows than may be held at once: take them as a stream.
    #[error("too many rows for one reply; ask for them with Client::rows")]
    TooManyRows,
}

impl Error {
    /// The daemon's error code, if it is the daemon that refused.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Failure(failure) => Some(failure.code),
            _ => None,
        }
    }
}

/// A connection to a daemon. Clones share it; it is closed when the last of them and of their calls is dropped.
///
/// What the daemon says to the connection as a whole, as `busy` when it has too many, ends it: every call fails with
/// that error from then on.
///
/// Up to 512 calls are under way at once; the next waits for one of them. A call has no time limit of its own: wrap it
/// into a timeout, or give it a [`deadline`](Call::deadline).
///
/// A daemon that runs with a `--max-in-flight` below 512 reads that many requests and then nothing until one of them is
/// answered: it reads the cancellation of a dropped call late, and works on it until then. Have fewer calls at once
/// with such a daemon.
#[derive(Clone)]
pub struct Client {
    connector: Connector,
    connection: Arc<Connection>,
}

impl Client {
    /// Connects over plain TCP; a [`Connector`] does over TLS, and for a user. Must be called within a tokio runtime,
    /// which moves the bytes from then on.
    ///
    /// # Errors
    /// If no daemon can be reached.
    pub async fn connect(address: impl ToSocketAddrs) -> Result<Self, Error> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host(address).await?.collect();
        let addresses: Arc<[SocketAddr]> = addresses.into();
        let open = move || {
            let addresses = addresses.clone();
            async move { connect(&addresses[..]).await }
        };
        Connector::new(open).connect().await
    }

    /// Asks what a line of the protocol asks, without its tag: `pi 1e12 deadline=5s`, `info`, or a verb of your own. It
    /// is read as the type that is asked for: a number, `bool`, `String`, rows (`Vec<String>`), or as it came, a
    /// [`Reply`].
    pub fn request<T: FromReply>(&self, words: impl Into<String>) -> Call<T> {
        self.call(words.into())
    }

    /// The `n`-th prime, counted from 1. It must lie below 10^25, so `n` is at most 176846309399143769411680.
    ///
    /// # Errors
    /// [`Code::TooBig`] beyond that, or if the daemon has not the memory for it; [`Code::BadArg`] for 0.
    pub fn nth(&self, n: u128) -> Call<u128> {
        self.call(format!("nth {n}"))
    }

    /// How many primes there are up to `x`, which is at most 10^25.
    ///
    /// # Errors
    /// [`Code::TooBig`] beyond that, or if the daemon has not the memory for it.
    pub fn pi(&self, x: u128) -> Call<u128> {
        self.call(format!("pi {x}"))
    }

    /// How many primes lie in the range, whose end is at most 10^25 and not included.
    ///
    /// # Errors
    /// As [`pi`](Self::pi).
    pub fn count(&self, range: Range<u128>) -> Call<u128> {
        self.call(format!("count {} {}", range.start, range.end))
    }

    /// Whether `n`, of up to 10,000 digits, is prime: proven below 2^64, beyond by the Baillie-PSW test, to which no
    /// exception is known.
    ///
    /// # Errors
    /// [`Code::TooBig`] for more digits; or [`Code::LineTooLong`], if the request is longer than the daemon's
    /// `--max-line`.
    pub fn is_prime(&self, n: impl Into<Natural>) -> Call<bool> {
        self.call(format!("isprime {}", n.into()))
    }

    /// The smallest prime above `n`.
    ///
    /// # Errors
    /// As [`is_prime`](Self::is_prime).
    pub fn next(&self, n: impl Into<Natural>) -> Call<Natural> {
        self.call(format!("next {}", n.into()))
    }

    /// The largest prime below `n`.
    ///
    /// # Errors
    /// As [`is_prime`](Self::is_prime); [`Code::BadArg`] below 3.
    pub fn prev(&self, n: impl Into<Natural>) -> Call<Natural> {
        self.call(format!("prev {}", n.into()))
    }

    /// The prime factors of `n`, ascending, each as often as it divides `n`. The larger the second-largest of them, the
    /// longer it takes: give it a [`deadline`](Call::deadline).
    ///
    /// # Errors
    /// As [`is_prime`](Self::is_prime); [`Code::BadArg`] for 0.
    pub fn factor(&self, n: impl Into<Natural>) -> Call<Vec<Natural>> {
        self.call(format!("factor {}", n.into()))
    }

    /// How many constellations of a kind lie in the range, whose end is not included, with all their members.
    ///
    /// # Errors
    /// [`Code::BadArg`] if the range ends before it begins.
    pub fn count_of(&self, kind: Constellation, range: Range<u64>) -> Call<u64> {
        let Range { start, end } = range;
        self.call(format!("count {start} {end} kind={}", kind.name()))
    }

    /// The sum of the primes in the range, whose end is not included.
    ///
    /// # Errors
    /// [`Code::BadArg`] if the range ends before it begins; [`Code::TooBig`] if the daemon has not the memory for it.
    pub fn sum(&self, range: Range<u64>) -> Call<Natural> {
        self.call(format!("sum {} {}", range.start, range.end))
    }

    /// The longest gap between consecutive primes in the range, whose end is not included, and the primes on its two
    /// sides where it first occurs; nothing, if there are fewer than two primes.
    ///
    /// # Errors
    /// [`Code::BadArg`] if the range ends before it begins.
    pub fn gaps(&self, range: Range<u64>) -> Call<Vec<u128>> {
        self.call(format!("gaps {} {}", range.start, range.end))
    }

    /// A random prime with exactly this number of bits, from 2 to 33,219.
    ///
    /// # Errors
    /// [`Code::TooBig`] or [`Code::BadArg`] for others.
    pub fn random(&self, bits: u32) -> Call<Natural> {
        self.call(format!("random {bits}"))
    }

    /// The primes in the range, whose end is not included, as they are found; on a connection of their own.
    ///
    /// # Errors
    /// If no further connection can be had.
    pub async fn primes(&self, range: Range<u64>) -> Result<Primes, Error> {
        let rows = self.rows(&format!("primes {} {}", range.start, range.end)).await?;
        Ok(Primes::new(rows))
    }

    /// The rows of any request as they come, on a connection of their own.
    ///
    /// # Errors
    /// If no further connection can be had, or the words are no line of printable ASCII.
    pub async fn rows(&self, words: &str) -> Result<Rows, Error> {
        Rows::ask(&self.connector, words).await
    }

    /// Lets the daemon do a request without anybody waiting: it goes on when the client is gone.
    ///
    /// # Errors
    /// [`Code::Store`] if the daemon's store cannot be written, [`Code::Denied`] where this user may not submit, or
    /// this node only works, [`Code::BadArg`] for a request that answers with rows or whose words are wrong. What the
    /// job comes to is the reply to [`result`](Self::result).
    pub fn submit(&self, words: &str) -> Call<JobId> {
        self.call(format!("submit {words}"))
    }

    /// Waits for the answer of a submitted job. Dropped, it stops waiting; the job goes on.
    ///
    /// # Errors
    /// What the job came to, if it has failed or was cancelled; [`Code::NoJob`] if there is none of this ID, or it
    /// ended too long ago; [`Code::Draining`] if the daemon ends before the job, which goes on in the next process.
    pub fn result(&self, job: JobId) -> Call<String> {
        self.call(format!("result {}", job.0))
    }

    /// Waits for the answer of a submitted job, and passes on its progress every second, or at the interval of
    /// [`Call::progress`].
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn watch(&self, job: JobId) -> Call<String> {
        self.call(format!("watch {}", job.0))
    }

    /// Stops a submitted job.
    ///
    /// # Errors
    /// [`Code::NoJob`] if there is none of this ID, it has ended, or it is not this user's; [`Code::Store`] if the
    /// daemon's store does not take it: the job is stopped, and goes on if the daemon ends before the store does. Or in
    /// a cluster that does not take the cancel of a job that another node works on.
    pub fn cancel(&self, job: JobId) -> Call<()> {
        self.call(format!("cancel {}", job.0))
    }

    /// The submitted jobs and the long questions, a row each.
    ///
    /// # Errors
    /// None of its own: those of any [`Call`].
    pub fn jobs(&self) -> Call<Vec<String>> {
        self.call("jobs".into())
    }

    fn call<T>(&self, words: String) -> Call<T> {
        Call::new(self.connection.clone(), words)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
