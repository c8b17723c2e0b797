//! Who is taken in: a client that asks for one more than there is room for is refused at once. Knows the limits, and is given the
//! numbers that they are compared with.

use crate::engine::message::Policy;
use crate::proto::{Code, Failure};

/// Bytes that the titles of all jobs may have. A question takes about three times its title, and one about a number of 10000
/// digits has a title as long: by their number alone, jobs would not be bounded.
const MAX_TITLE_BYTES: usize = 8 << 20;

/// The limits, and whether anything is taken in at all.
pub(super) struct Admission {
    max_jobs: usize,
    max_jobs_per_client: usize,
    is_draining: bool,
    /// Why nothing can be worked on for now.
    outage: Option<Failure>,
}

/// What is there already.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    /// Answers that the client waits for.
    pub(super) held: usize,
    /// Clients that wait for answers.
    pub(super) clients: usize,
    /// Jobs and plain questions of all clients.
    pub(super) jobs: usize,
    /// Bytes of their titles.
    pub(super) title_bytes: usize,
}

impl Standing {
    /// The same with this many more plain questions of the client.
    pub(super) const fn with(mut self, questions: usize, title_bytes: usize) -> Self {
        self.held += questions;
        self.jobs += questions;
        self.title_bytes += title_bytes;
        self
    }
}

impl Admission {
    pub(super) const fn new(policy: &Policy) -> Self {
        Self {
            max_jobs: policy.max_jobs,
            max_jobs_per_client: policy.max_jobs_per_client,
            is_draining: false,
            outage: None,
        }
    }

    /// From now on nothing new is taken in.
    pub(super) const fn drain(&mut self) {
        self.is_draining = true;
    }

    /// For now nothing is taken in, and this is said; `None`: it is again.
    pub(super) fn set_outage(&mut self, outage: Option<Failure>) {
        self.outage = outage;
    }

    /// Whether one more may wait, and there is room for one more job with a title of `new` bytes, if it needs one of its own.
    ///
    /// # Errors
    /// `draining`, or `busy` with the limit that is reached.
    pub(super) fn check(&self, standing: Standing, new: Option<usize>) -> Result<(), Failure> {
        if self.is_draining {
            let text = "the daemon is shutting down; ask again when it is back";
            return Err(Failure::new(Code::Draining, text));
        }
        if let Some(outage) = &self.outage {
            return Err(outage.clone());
        }
        let Standing {
            held,
            clients,
            jobs,
            title_bytes,
        } = standing;
        if held >= self.max_jobs_per_client {
            let text = format!("{held} jobs of yours are waiting already; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        let Some(title) = new else {
            return Ok(());
        };
        if jobs >= self.max_jobs {
            // Those who filled the table must not lock out the others: a client that holds less than an equal share is still taken in.
            let share = self.max_jobs / (clients + 1);
            if held >= share || jobs >= 2 * self.max_jobs {
                let text = format!("{jobs} jobs are waiting already; retry-ms=1000");
                return Err(Failure::new(Code::Busy, text));
            }
        }
        if title_bytes + title > MAX_TITLE_BYTES {
            let text = "too many questions about huge numbers are waiting; retry-ms=1000";
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Standing = Standing {
        held: 0,
        clients: 1,
        jobs: 0,
        title_bytes: 0,
    };

    fn code(admission: &Admission, standing: Standing, new: Option<usize>) -> Option<Code> {
        admission.check(standing, new).err().map(|failure| failure.code)
    }

    #[test]
    fn each_limit_refuses_and_a_client_with_little_is_taken_in_by_a_full_table() {
        let policy = Policy {
            max_jobs: 10,
            max_jobs_per_client: 5,
            ..Policy::default()
        };
        let mut admission = Admission::new(&policy);
        assert_eq!(code(&admission, NONE.with(4, 0), Some(1)), None);
        assert_eq!(code(&admission, NONE.with(5, 0), Some(1)), Some(Code::Busy));
        let full = Standing { jobs: 10, ..NONE };
        assert_eq!(code(&admission, full, Some(1)), None);
        assert_eq!(
            code(&admission, Standing { held: 5, ..full }, Some(1)),
            Some(Code::Busy)
        );
        assert_eq!(
            code(&admission, Standing { jobs: 20, ..NONE }, Some(1)),
            Some(Code::Busy)
        );
        assert_eq!(
            code(&admission, Standing { jobs: 20, ..NONE }, None),
            None,
            "it joins a duplicate"
        );
        assert_eq!(code(&admission, NONE, Some(MAX_TITLE_BYTES + 1)), Some(Code::Busy));
        admission.set_outage(Some(Failure::new(Code::Busy, "no threads")));
        assert_eq!(code(&admission, NONE, Some(1)), Some(Code::Busy));
        admission.drain();
        assert_eq!(code(&admission, NONE, Some(1)), Some(Code::Draining));
    }
}
