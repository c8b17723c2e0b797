//! Who is taken in: an equal long job is joined, and whoever asks for one more than there is room for is told so at once.

use super::lanes::Turn;
use super::waiters::{Holder, Waiter};
use super::{Entry, Stage, Table};
use crate::engine::errand::Work;
use crate::engine::fairness::ClientId;
use crate::engine::order::JobId;
use crate::proto::{Code, Failure};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that the titles of all jobs may have. A question takes about three times its title, and one about a number of 10000
/// digits has a title as long: by their number alone, jobs would not be bounded.
const MAX_TITLE_BYTES: usize = 8 << 20;

impl Table {
    /// Lets a holder wait for a job: an equal long one that is there, or this one from now on.
    pub(super) fn hold(&mut self, waiter: Waiter, work: Work) -> Result<JobId, Failure> {
        let client = waiter.client;
        let title = work.title().into_owned();
        let twin = match &work {
            Work::Plan(job) if !job.streams => self.long.get(&title).copied(),
            _ => None,
        };
        let new = twin.is_none().then_some(title.len());
        self.admit(client, new, Beside::default())?;
        if let Work::Errand(errand) = &work {
            self.admit_errand(errand)?;
        }
        let is_held = work.streams() && waiter.rows == 0 && matches!(waiter.holder, Holder::Client(..));
        let id = twin.unwrap_or(self.next_id);
        if twin.is_none() {
            self.next_id += 1;
            let entry = Entry {
                title,
                streams: work.streams(),
                is_kept: work.is_kept(),
                client,
                waiters: Vec::with_capacity(1),
                cancel: Arc::default(),
                stage: match is_held {
                    true => Stage::Held(work),
                    false => self.enqueue(id, client, work),
                },
                begun: self.now,
                cpu: Duration::ZERO,
                memory: 0,
            };
            self.titles += entry.title.len();
            self.jobs.insert(id, entry);
        }
        self.add_waiter(id, waiter);
        Ok(id)
    }

    /// Puts work into the queue where it begins.
    pub(super) fn enqueue(&mut self, id: JobId, client: ClientId, work: Work) -> Stage {
        match work {
            Work::Plan(job) => {
                self.express.push(client, Turn::of_job(id), 0);
                Stage::Queued(job)
            }
            Work::Errand(errand) => self.enqueue_errand(id, client, errand),
        }
    }

    /// Whether one more may wait, and there is room for one more job with a title of so many bytes, if it needs one of its own. What
    /// is taken in beside it is not counted in the table yet.
    pub(super) fn admit(&self, client: ClientId, new: Option<usize>, beside: Beside) -> Result<(), Failure> {
        if self.is_draining {
            let text = "the daemon is shutting down; ask again when it is back";
            return Err(Failure::new(Code::Draining, text));
        }
        let held = self.held.get(&client).copied().unwrap_or_default() + beside.questions;
        if held >= self.policy.max_jobs_per_client {
            let text = format!("{held} jobs of yours are waiting already; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        let Some(title) = new else {
            return Ok(());
        };
        let jobs = self.len() + beside.questions;
        if jobs >= self.policy.max_jobs {
            // Those who filled the table must not lock out the others: who holds less than an equal share is still taken in.
            let share = self.policy.max_jobs / (self.held.len() + 1);
            if held >= share || jobs >= 2 * self.policy.max_jobs {
                let text = format!("{jobs} jobs are waiting already; retry-ms=1000");
                return Err(Failure::new(Code::Busy, text));
            }
        }
        if self.titles + beside.titles + title > MAX_TITLE_BYTES {
            let text = "too many questions about huge numbers are waiting; retry-ms=1000";
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }
}

/// What is taken in together.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside {
    pub(super) questions: usize,
    /// Bytes of their titles.
    pub(super) titles: usize,
}
