//! Who is taken in: a client that asks for one more than there is room for is refused at once. What was submitted has
//! limits of its own, because it may stay for weeks: it must not take the room of those that wait. Knows the limits,
//! and is given the numbers that they are compared with.

use crate::engine::fairness::has_room;
use crate::engine::message::{Account, Policy};
use crate::proto::{Code, Failure};

/// Bytes that the titles of all jobs may have. A question takes about three times its title, and one about a number of
/// 10000 digits has a title as long: by their number alone, jobs would not be bounded.
const MAX_TITLE_BYTES: usize = 8 << 20;

/// Titles up to this length are bounded by the number of jobs: a few huge questions do not keep out the ordinary ones.
const SHORT_TITLE_BYTES: usize = 128;

/// Lists that all clients of an account may have under way: as many as one connection may have requests.
const MAX_LISTS: usize = 1_024;

/// The limits, and whether anything is taken in at all.
pub(super) struct Admission {
    max_jobs: usize,
    max_jobs_per_account: usize,
    max_submitted: usize,
    is_draining: bool,
    /// Why nothing can be worked on for now.
    outage: Option<Failure>,
}

/// What is counted: each kind has limits of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers that clients wait for.
    Questions,
    /// Submitted jobs.
    Submitted,
}

/// What is there already.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) kind: Kind,
    /// How much of this kind the account has.
    pub(super) held: usize,
    /// Accounts that have anything.
    pub(super) accounts: usize,
    /// Jobs of this kind of all accounts, and plain questions.
    pub(super) jobs: usize,
    /// Bytes of their titles.
    pub(super) title_bytes: usize,
}

impl Standing {
    /// The same with this many more plain questions of the account.
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
            max_jobs_per_account: policy.max_jobs_per_account,
            max_submitted: policy.max_submitted,
            is_draining: false,
            outage: None,
        }
    }

    /// From now on nothing new is taken in.
    pub(super) const fn drain(&mut self) {
        self.is_draining = true;
    }

    pub(super) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// For now nothing is taken in, and this is said; `None`: it is again.
    pub(super) fn set_outage(&mut self, outage: Option<Failure>) {
        self.outage = outage;
    }

    fn check_drain(&self) -> Result<(), Failure> {
        if self.is_draining {
            return Err(Failure::draining());
        }
        Ok(())
    }

    /// Whether one more list may be under way beside those that the account has.
    ///
    /// # Errors
    /// `draining`, or `busy`.
    pub(super) fn check_list(&self, account: Account, lists: usize) -> Result<(), Failure> {
        self.check_drain()?;
        if lists >= MAX_LISTS {
            let text = format!("{account} has {lists} lists that are not read yet; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }

    /// Whether one more of the account may wait beside those that it has.
    ///
    /// # Errors
    /// `busy`.
    pub(super) fn check_held(&self, account: Account, held: usize) -> Result<(), Failure> {
        if held >= self.max_jobs_per_account {
            let text = format!("{account} has {held} jobs waiting already; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }

    /// Whether one more of the account may wait, and there is room for one more job with a title of `new` bytes, if it
    /// needs one of its own.
    ///
    /// # Errors
    /// `draining`, or `busy` with the limit that is reached.
    pub(super) fn check(&self, account: Account, standing: Standing, new: Option<usize>) -> Result<(), Failure> {
        self.check_drain()?;
        if let Some(outage) = &self.outage {
            return Err(outage.clone());
        }
        let Standing {
            kind,
            held,
            accounts,
            jobs,
            title_bytes,
        } = standing;
        let (max, what) = match kind {
            Kind::Questions => (self.max_jobs, "jobs"),
            Kind::Submitted => (self.max_submitted, "submitted jobs"),
        };
        if kind == Kind::Questions {
            self.check_held(account, held)?;
        }
        // A submitted job that joins an equal one is remembered too.
        if (new.is_some() || kind == Kind::Submitted) && !has_room(held, jobs, accounts, max) {
            let text = format!("{jobs} {what} are waiting already; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        let Some(title) = new else {
            return Ok(());
        };
        if title > MAX_TITLE_BYTES {
            let text = format!("the question has {title} characters, and may have {MAX_TITLE_BYTES}");
            return Err(Failure::new(Code::TooBig, text));
        }
        if title > SHORT_TITLE_BYTES && title_bytes + title > MAX_TITLE_BYTES {
            let text = "too many long questions are waiting; retry-ms=1000";
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Standing = Standing {
        kind: Kind::Questions,
        held: 0,
        accounts: 1,
        jobs: 0,
        title_bytes: 0,
    };

    fn code(admission: &Admission, standing: Standing, new: Option<usize>) -> Option<Code> {
        admission
            .check(Account::Unix, standing, new)
            .err()
            .map(|failure| failure.code)
    }

    #[test]
    fn each_limit_refuses_and_an_account_with_little_is_taken_in_by_a_full_table() {
        let policy = Policy {
            max_jobs: 10,
            max_jobs_per_account: 5,
            max_submitted: 2,
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
        assert_eq!(code(&admission, NONE, Some(MAX_TITLE_BYTES + 1)), Some(Code::TooBig));
        let full_of_titles = Standing {
            title_bytes: MAX_TITLE_BYTES,
            ..NONE
        };
        assert_eq!(code(&admission, full_of_titles, Some(10_000)), Some(Code::Busy));
        assert_eq!(code(&admission, full_of_titles, Some(20)), None);
        let submitted = Standing {
            kind: Kind::Submitted,
            held: 2,
            jobs: 2,
            ..NONE
        };
        assert_eq!(code(&admission, submitted, Some(1)), Some(Code::Busy));
        assert_eq!(code(&admission, submitted, None), Some(Code::Busy));
        assert_eq!(code(&admission, Standing { held: 0, ..submitted }, Some(1)), None);
        assert_eq!(admission.check_list(Account::Unix, MAX_LISTS - 1), Ok(()));
        assert!(admission.check_list(Account::Unix, MAX_LISTS).is_err());
        admission.set_outage(Some(Failure::new(Code::Busy, "no threads")));
        assert_eq!(code(&admission, NONE, Some(1)), Some(Code::Busy));
        admission.drain();
        assert_eq!(code(&admission, NONE, Some(1)), Some(Code::Draining));
    }
}
