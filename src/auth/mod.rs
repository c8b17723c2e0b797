//! Users: who a client is, what he may do, and whether his password is right. Knows no session and no verb.
//!
//! A front end hands [`Credentials`] to [`Authenticate::check`], which answers later, from a thread of its own: a
//! password takes some 15 ms of CPU and 19 MiB to check. The [`Identity`] it answers with goes with every request of
//! the client.

#[cfg(feature = "users")]
mod checker;
#[cfg(feature = "users")]
mod delays;
#[cfg(feature = "users")]
mod file;
mod name;
#[cfg(feature = "users")]
mod password;
mod role;
#[cfg(feature = "users")]
mod users;

#[cfg(feature = "cli")]
pub use file::{Entry, UserFile};
pub use name::UserName;
#[cfg(feature = "cli")]
pub use password::hash;
pub use role::Role;
#[cfg(feature = "users")]
pub use users::{Users, UsersError};

use crate::proto::{Code, Failure};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A user whose password was right, and what he may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub name: UserName,
    /// What he may do.
    pub role: Role,
    /// How much he may use.
    pub limits: UserLimits,
    /// Another value where the password is another.
    stamp: u64,
}

/// How much a user may use, on all his connections together; `None`: as much as the limits of the daemon allow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimits {
    /// Requests that wait for their answers.
    pub requests: Option<u32>,
    /// Submitted jobs that have not ended.
    pub jobs: Option<u32>,
    /// Seconds of CPU time a minute, in the mean.
    pub cpu: Option<u32>,
}

/// What a client says who it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, as it was sent.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    /// Without the password, and without the name, which may be a password in the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "users"),
    expect(
        dead_code,
        reason = "only users give verdicts, and sessions know them without the feature"
    )
)]
pub enum Verdict {
    /// The password is right.
    Granted(Identity),
    /// The user or the password is wrong. The client is to be answered only after this time.
    Refused(Duration),
    /// The password was not looked at: too many wrong ones came from this address, or too many wait to be checked.
    /// Again after this time.
    Later(Duration),
}

impl Verdict {
    /// The error for a password that is wrong, or was not looked at; and when it is to be sent. `None` if it is right.
    pub fn refusal(&self) -> Option<(Failure, Duration)> {
        match self {
            Self::Granted(_) => None,
            Self::Refused(delay) => Some((wrong(), *delay)),
            Self::Later(wait) => {
                let retry = wait.as_millis().max(100);
                let text =
                    format!("wrong passwords came from your address, or too many wait to be checked; retry-ms={retry}");
                Some((Failure::new(Code::Busy, text), Duration::ZERO))
            }
        }
    }
}

/// The failure for a wrong user or password.
pub fn wrong() -> Failure {
    Failure::new(Code::Unauthenticated, "the user or the password is wrong")
}

/// What is done with a verdict; on another thread.
pub type Notify = Box<dyn FnOnce(Verdict) + Send>;

/// Says whether credentials are right.
pub trait Authenticate: fmt::Debug + Send + Sync {
    /// Checks credentials that came from this address, and notifies exactly once, at once or later. Does not block.
    fn check(&self, from: IpAddr, credentials: Credentials, notify: Notify);

    /// The count of wrong users and passwords.
    fn wrong_passwords(&self) -> Arc<AtomicU64>;

    /// Another value whenever users have changed.
    fn version(&self) -> u64;

    /// The same user as he is now; `None` if he is gone, or has another password.
    fn refresh(&self, identity: &Identity) -> Option<Identity>;
}
