//! Verbs: the requests that the daemon answers. The interface for new ones; the built-in verbs use it too.
//!
//! A [`Verb`] turns a [`Call`] into a [`Step`]: an answer that is known already, a job for the engine, or something the
//! session does itself. It runs on the thread of the session, so it only reads its arguments: work goes into a plan.
//!
//! To add a verb: 1. write a plan for its work, if it has any (`job`); 2. [`define`] the verb; 3. register it.
//! Knows requests, jobs and the engine's orders; knows no socket and no session.

mod arithmetic;
mod auth;
mod blocking;
mod call;
mod clients;
mod define;
mod doctor;
mod engine;
mod functions;
mod host;
mod jobs;
mod memory;
mod monitor;
mod nodes;
mod random;
mod ranges;
mod registry;
mod service;
mod slowlog;
#[cfg(test)]
mod tests;

#[cfg(feature = "cli")]
pub(crate) use arithmetic::question;
pub use blocking::Blocking;
pub use call::{Call, Caller, DaemonView, Terms, Usage};
pub use define::{Defined, define};
pub use engine::{Engine, Question};
pub use host::Host;
#[cfg(feature = "cli")]
pub(crate) use memory::Memory;
pub use memory::resident_bytes;
pub use monitor::shown;
pub use registry::Registry;
#[cfg(feature = "cli")]
pub(crate) use registry::of_alias;
#[cfg(feature = "cli")]
pub(crate) use service::TOPICS;

use crate::auth::{Credentials, Role};
use crate::engine::{Ask, ExternalTask};
use crate::job::{Job, Query};
use crate::proto::{Failure, Tag, Value};

/// A request of the protocol, by its first word.
pub trait Verb: Send + Sync + 'static {
    /// The word. Requests have it in any case of letters.
    fn name(&self) -> &'static str;

    /// How it is written, e.g. `pi X`.
    fn usage(&self) -> &'static str;

    /// What it answers, in a few words.
    fn about(&self) -> &'static str;

    /// More about it, a line each, for `help VERB`. May show examples.
    fn details(&self) -> &'static [&'static str] {
        &[]
    }

    /// The least role of a user who may ask it. Where there are no users, everybody may.
    fn role(&self) -> Role {
        Role::Ask
    }

    /// True for the built-in ones that a client may ask before it has said who it is. A verb that takes the name of one
    /// of them, or of another word for one, is none.
    #[doc(hidden)]
    fn is_free(&self) -> bool {
        false
    }

    /// Reads the arguments and returns what is to be done. Must not block: it runs on the thread of the session.
    ///
    /// # Errors
    /// A [`Failure`] that names the wrong argument, and what would be right.
    fn call(&self, call: &Call<'_>) -> Result<Step, Failure>;

    /// The question of a call whose only argument is this number; `None` if the verb does more than ask it. A session
    /// answers it without making a [`Call`].
    #[doc(hidden)]
    fn question_about(&self, _number: u64) -> Option<Query> {
        None
    }
}

/// What is to be done for a call.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// The answer is known.
    Answer(Value),
    /// The same; and the answer to this request never changes.
    Constant(Value),
    /// Rows, and then `OK`.
    Rows(Vec<String>),
    /// Work for the engine.
    Job(Job),
    /// Work for a lane of its own: made by [`Host`] and [`Blocking`].
    #[doc(hidden)]
    External(ExternalTask),
    /// Something else that the engine does, about submitted jobs.
    #[doc(hidden)]
    Ask(Ask),
    /// Stop the request of this session that bears the tag.
    #[doc(hidden)]
    Cancel(Tag),
    /// Give the connection a name.
    #[doc(hidden)]
    Name(Box<str>),
    /// Check who the client is.
    #[doc(hidden)]
    Login(Credentials),
    /// Answer `bye` and close, once all requests before it are answered.
    Quit,
}
