//! The map of all work that is a job of its own: its title, its state, whose share it uses. Finds the long job that an
//! equal question joins, and counts the bytes of titles. Knows no queue and nobody who waits.

use crate::engine::message::{Account, Payer, Priority, Work, WorkId};
use crate::job::{Job, Spent};
use crate::metrics::VerbLabel;
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Jobs that ended lately, of which a slice may be under way.
const MAX_ENDED: usize = 1_024;

/// All jobs that are not answered.
pub(super) struct Jobs {
    next: WorkId,
    all: FxHashMap<WorkId, Entry>,
    /// Long jobs by title.
    long: HashMap<String, WorkId>,
    /// The same in the order of their IDs.
    long_ids: BTreeSet<WorkId>,
    title_bytes: usize,
    /// How many of them submitted jobs wait for, and the bytes of their titles.
    submitted: usize,
    submitted_title_bytes: usize,
    /// The latest that ended, and who pays for the slices of them that are under way.
    ended: VecDeque<(WorkId, Account)>,
}

/// A job as the table knows it; what there is to compute of it is with the part that its state names.
pub(super) struct Entry {
    title: String,
    streams: bool,
    is_kept: bool,
    is_submitted: bool,
    /// When it is refused unless it is begun before.
    begin_by: Option<Instant>,
    /// Whose share of the CPU it uses.
    payer: Payer,
    /// Set when nobody waits any more.
    cancel: Arc<AtomicBool>,
    state: WorkState,
    priority: Priority,
    /// The title of the question whose answer it verifies.
    verifies: Option<String>,
    /// When it was queued; of a job that was held, when it could begin.
    queued_at: Instant,
    /// The verb that asked, for the metrics.
    verb: VerbLabel,
    /// How long it waited until it was begun.
    queue: Option<Duration>,
    cpu: Duration,
    /// Where that is counted too.
    spent: Option<Spent>,
}

/// Where a job is.
pub(super) enum WorkState {
    /// A stream that may not send rows yet: nothing is computed for it, so that a client cannot make it hold memory. Or
    /// a submitted job that the store does not have yet, or that is to begin later.
    Held(Work),
    /// It waits for its first slice, or that is under way.
    Express,
    /// A long job for which there is no memory yet.
    Parked,
    Bulk,
    External,
    /// Another daemon of the cluster works on it.
    Away,
    /// No work, but rows of a list that are not sent yet.
    List,
}

impl Entry {
    pub(super) fn new(title: String, payer: Payer, state: WorkState, queued_at: Instant) -> Self {
        Self {
            title,
            streams: false,
            is_kept: false,
            is_submitted: false,
            begin_by: None,
            payer,
            cancel: Arc::default(),
            state,
            priority: Priority::Normal,
            verifies: None,
            queued_at,
            verb: VerbLabel::default(),
            queue: None,
            cpu: Duration::ZERO,
            spent: None,
        }
    }

    /// The job of this work, which waits for its first slice.
    pub(super) fn of(work: &Work, title: String, payer: Payer, queued_at: Instant) -> Self {
        match work {
            Work::Plan(job) => Self::of_plan(job, title, payer, queued_at),
            Work::External(task) => Self {
                streams: task.streams,
                ..Self::new(title, payer, WorkState::Express, queued_at)
            },
        }
    }

    /// The same of work that is a plan.
    pub(super) fn of_plan(job: &Job, title: String, payer: Payer, queued_at: Instant) -> Self {
        Self {
            streams: job.streams,
            is_kept: job.is_kept && !job.streams,
            verb: job.verb,
            verifies: job.verifies(),
            spent: job.spent(),
            ..Self::new(title, payer, WorkState::Express, queued_at)
        }
    }

    /// The same job as if nothing had been done of it.
    pub(super) fn anew(&self, state: WorkState) -> Self {
        Self {
            is_kept: self.is_kept,
            is_submitted: self.is_submitted,
            priority: self.priority,
            verifies: self.verifies.clone(),
            verb: self.verb,
            ..Self::new(self.title.clone(), self.payer, state, self.queued_at)
        }
    }

    pub(super) fn verifies(&self) -> Option<&str> {
        self.verifies.as_deref()
    }

    /// The same job, as urgent as this.
    pub(super) const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same job, which a submitted job waits for.
    pub(super) fn with_submitted(mut self, is_submitted: bool) -> Self {
        self.is_submitted = is_submitted;
        self
    }

    /// The same job, which is refused unless it is begun by this time.
    pub(super) fn with_begin_by(mut self, begin_by: Option<Instant>) -> Self {
        self.begin_by = begin_by;
        self
    }

    /// The same job, which has used CPU time already.
    pub(super) fn with_cpu(mut self, cpu: Duration, now: Instant) -> Self {
        self.queue = Some((now - self.queued_at).saturating_sub(cpu));
        self.cpu = cpu;
        self
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) const fn streams(&self) -> bool {
        self.streams
    }

    pub(super) const fn is_kept(&self) -> bool {
        self.is_kept
    }

    pub(super) const fn is_submitted(&self) -> bool {
        self.is_submitted
    }

    pub(super) const fn payer(&self) -> Payer {
        self.payer
    }

    /// When it is refused unless it is begun before.
    pub(super) const fn begin_by(&self) -> Option<Instant> {
        self.begin_by
    }

    pub(super) const fn cancel(&self) -> &Arc<AtomicBool> {
        &self.cancel
    }

    pub(super) const fn state(&self) -> &WorkState {
        &self.state
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    pub(super) const fn queued_at(&self) -> Instant {
        self.queued_at
    }

    pub(super) const fn verb(&self) -> VerbLabel {
        self.verb
    }

    /// How long it waited until it was begun.
    pub(super) fn queue(&self) -> Duration {
        self.queue.unwrap_or_default()
    }

    pub(super) const fn cpu(&self) -> Duration {
        self.cpu
    }
}

impl Jobs {
    /// No jobs; the first one has this ID.
    pub(super) fn new(first: WorkId) -> Self {
        Self {
            next: first,
            all: FxHashMap::default(),
            long: HashMap::new(),
            long_ids: BTreeSet::new(),
            title_bytes: 0,
            submitted: 0,
            submitted_title_bytes: 0,
            ended: VecDeque::new(),
        }
    }

    /// The ID of one more piece of work.
    pub(super) const fn next_id(&mut self) -> WorkId {
        let work = self.next;
        self.next = WorkId(work.0 + 1);
        work
    }

    /// The ID that the next piece of work will have.
    pub(super) const fn peek_id(&self) -> WorkId {
        self.next
    }

    pub(super) fn insert(&mut self, work: WorkId, entry: Entry) {
        self.title_bytes += entry.title.len();
        if entry.is_submitted {
            self.submitted += 1;
            self.submitted_title_bytes += entry.title.len();
        }
        self.all.insert(work, entry);
    }

    pub(super) fn get(&self, work: WorkId) -> Option<&Entry> {
        self.all.get(&work)
    }

    /// Who pays for a slice: of a job that is there, or that ended while the slice was under way.
    pub(super) fn account_of(&self, work: WorkId) -> Option<Account> {
        let ended = || self.ended.iter().rev().find(|(other, _)| *other == work);
        match self.all.get(&work) {
            Some(entry) => Some(entry.payer.account),
            None => ended().map(|(_, account)| *account),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Jobs that no submitted job waits for.
    pub(super) fn asked(&self) -> usize {
        self.all.len() - self.submitted
    }

    /// Bytes of the titles of jobs that submitted jobs wait for.
    pub(super) const fn submitted_title_bytes(&self) -> usize {
        self.submitted_title_bytes
    }

    /// Bytes of the titles of all jobs.
    pub(super) const fn title_bytes(&self) -> usize {
        self.title_bytes
    }

    /// The long job that an equal question joins.
    pub(super) fn duplicate_of(&self, title: &str) -> Option<WorkId> {
        self.long.get(title).copied()
    }

    pub(super) fn has_long(&self) -> bool {
        !self.long.is_empty()
    }

    /// Long jobs, in the order of their IDs.
    pub(super) fn long(&self) -> impl Iterator<Item = WorkId> {
        self.long_ids.iter().copied()
    }

    /// A job turned out long: equal questions join it from now on, unless it streams.
    pub(super) fn mark_long(&mut self, work: WorkId) {
        if let Some(entry) = self.all.get(&work) {
            self.long_ids.insert(work);
            if !entry.streams {
                self.long.insert(entry.title.clone(), work);
            }
        }
    }

    /// Others wait for a job now: among them is a submitted job, or there is none.
    pub(super) fn set_submitted(&mut self, work: WorkId, is_submitted: bool) {
        let Some(entry) = self
            .all
            .get_mut(&work)
            .filter(|entry| entry.is_submitted != is_submitted)
        else {
            return;
        };
        entry.is_submitted = is_submitted;
        if is_submitted {
            self.submitted += 1;
            self.submitted_title_bytes += entry.title.len();
        } else {
            self.submitted -= 1;
            self.submitted_title_bytes -= entry.title.len();
        }
    }

    pub(super) fn set_state(&mut self, work: WorkId, state: WorkState) {
        if let Some(entry) = self.all.get_mut(&work) {
            entry.state = state;
        }
    }

    /// A job is as urgent as this from now on. True if it was not.
    pub(super) fn set_priority(&mut self, work: WorkId, priority: Priority) -> bool {
        let Some(entry) = self.all.get_mut(&work).filter(|entry| entry.priority != priority) else {
            return false;
        };
        entry.priority = priority;
        true
    }

    /// A job that was held waits from now on, until this moment if it may not wait for ever.
    pub(super) fn set_begin_by(&mut self, work: WorkId, begin_by: Option<Instant>) {
        if let Some(entry) = self.all.get_mut(&work) {
            entry.begin_by = entry.begin_by.and(begin_by);
        }
    }

    /// A job may wait from now on until it is begun.
    pub(super) fn clear_begin_by(&mut self, work: WorkId) {
        if let Some(entry) = self.all.get_mut(&work) {
            entry.begin_by = None;
        }
    }

    /// The work of a job that was held and may begin now: until then it has not waited for a worker.
    pub(super) fn begin_held(&mut self, work: WorkId, now: Instant) -> Option<Work> {
        let entry = self.all.get_mut(&work)?;
        match std::mem::replace(&mut entry.state, WorkState::Express) {
            WorkState::Held(question) => {
                entry.queued_at = now;
                Some(question)
            }
            other => {
                entry.state = other;
                None
            }
        }
    }

    /// A slice of a job that took this CPU time has just ended. Gives the job, and whether nothing was known of it
    /// before: one that was parked has a first slice once more.
    pub(super) fn used(&mut self, work: WorkId, cpu: Duration, now: Instant) -> Option<(&Entry, bool)> {
        let entry = self.all.get_mut(&work)?;
        let is_first = entry.queue.is_none();
        entry
            .queue
            .get_or_insert_with(|| (now - entry.queued_at).saturating_sub(cpu));
        entry.cpu += cpu;
        if let Some(spent) = &entry.spent {
            spent.fetch_add(u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        }
        Some((entry, is_first))
    }

    /// Another client's share is used from now on.
    pub(super) fn change_payer(&mut self, work: WorkId, next_payer: Payer) {
        if let Some(entry) = self.all.get_mut(&work) {
            entry.payer = next_payer;
        }
    }

    /// Stops the slices of all jobs that are under way.
    pub(super) fn stop_all(&self) {
        self.all.values().for_each(|entry| entry.cancel.store(true, Relaxed));
    }

    /// Takes a job out, and stops the slices of it that are under way.
    pub(super) fn remove(&mut self, work: WorkId) -> Option<Entry> {
        let entry = self.all.remove(&work)?;
        entry.cancel.store(true, Relaxed);
        if self.ended.len() == MAX_ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back((work, entry.payer.account));
        self.title_bytes -= entry.title.len();
        if entry.is_submitted {
            self.submitted -= 1;
            self.submitted_title_bytes -= entry.title.len();
        }
        self.long_ids.remove(&work);
        if self.duplicate_of(&entry.title) == Some(work) {
            self.long.remove(&entry.title);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::{Account, ClientId};
    use crate::job::Query;

    const ONE: Payer = Payer {
        account: Account::Process,
        client: ClientId(1),
    };

    fn insert(jobs: &mut Jobs, title: &str) -> WorkId {
        let work = jobs.next_id();
        let entry = Entry::new(title.into(), ONE, WorkState::Express, Instant::now());
        jobs.insert(work, entry);
        work
    }

    #[test]
    fn an_equal_question_finds_the_long_job_until_that_ends() {
        let mut jobs = Jobs::new(WorkId(1));
        let (first, second) = (insert(&mut jobs, "pi 1"), insert(&mut jobs, "pi 1"));
        assert_eq!(jobs.duplicate_of("pi 1"), None, "neither turned out long");
        jobs.mark_long(first);
        jobs.remove(second);
        assert_eq!(jobs.duplicate_of("pi 1"), Some(first));
        let cancel = jobs.get(first).map(|entry| entry.cancel().clone()).unwrap_or_default();
        jobs.remove(first);
        assert!(cancel.load(Relaxed), "its slices stop");
        assert_eq!(
            (jobs.duplicate_of("pi 1"), jobs.len(), jobs.title_bytes()),
            (None, 0, 0)
        );
    }

    #[test]
    fn held_work_begins_once() {
        let mut jobs = Jobs::new(WorkId(1));
        let work = insert(&mut jobs, "primes 1 2");
        let now = Instant::now();
        assert!(jobs.begin_held(work, now).is_none());
        jobs.set_state(work, WorkState::Held(Work::Plan(Query::Pi(7).into())));
        assert!(jobs.begin_held(work, now).is_some());
        assert!(jobs.begin_held(work, now).is_none());
        assert_eq!(jobs.get(work).map(Entry::queued_at), Some(now));
        assert!(matches!(jobs.get(work).map(Entry::state), Some(WorkState::Express)));
    }
}
