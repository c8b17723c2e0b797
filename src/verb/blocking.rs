//! The entry point for blocking code: a verb over code that you have already. Knows how a call is made, not which
//! thread runs it.

use super::{Call, Step};
use crate::engine::{ExternalLane, ExternalTask, Token};
use crate::proto::{Failure, Value};
use std::sync::Arc;

/// Calls that may wait for a thread.
const MAX_WAITING: usize = 1_024;

/// Threads of their own for code that blocks: a library call that computes for seconds, a database, a file.
///
/// They run at the lowest priority, clients take turns by the time their calls took, and 1,024 calls may wait, with as
/// many submitted jobs beside them; beyond that, clients get `busy`, unless their account has less than an equal share.
/// Cancelling, a deadline and a client that leaves take effect at once: the reply is sent and the code's [`Token`] says
/// so. Its thread is free when the code returns: if it never does, its thread is lost to this lane, and
/// to no other.
///
/// The threads are started by the first call. Every daemon has its own.
///
/// ```
/// use primed::{Blocking, Daemon, Value, define};
/// let lane = Blocking::new("naps", 2);
/// let daemon = Daemon::new().verb(define("nap MS", "sleeps that long", move |call| {
///     let ms = call.at_most(0, "MS", 10_000u32, "10000")?;
///     Ok(lane.run(call, move |token| {
///         for slept in 0..ms {
///             if token.is_cancelled() {
///                 break;
///             }
///             std::thread::sleep(std::time::Duration::from_millis(1));
///             token.progress(f64::from(slept) / f64::from(ms));
///         }
///         Ok(Value::from("rested"))
///     }))
/// }));
/// ```
#[derive(Clone, Debug)]
pub struct Blocking {
    lane: Arc<ExternalLane>,
}

impl Blocking {
    /// A lane of `threads` threads; 0 is taken as 1. Its name is shown in `info`. Make it once, outside of the closure
    /// of the verb: each is a lane of its own as long as the daemon lives, and one made with each call is a thread more
    /// with each.
    pub fn new(name: &'static str, threads: usize) -> Self {
        Self {
            lane: Arc::new(ExternalLane::of_threads(name, threads, MAX_WAITING)),
        }
    }

    /// Runs code on a thread of this lane. A panic costs this request and nothing else.
    pub fn run(&self, call: &Call<'_>, code: impl FnOnce(&Token) -> Result<Value, Failure> + Send + 'static) -> Step {
        Step::External(ExternalTask::blocking(self.lane.clone(), call.title(), code))
    }
}
