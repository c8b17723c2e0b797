//! Who waits for which job, until when, and how many answers each client waits for. Alarms are deadlines and progress
//! that is due. Knows no queue and no plan: what becomes of a job that nobody waits for any more is decided elsewhere.

use super::wait_queue::WaitQueue;
use crate::engine::message::{Account, ClientId, JobId, Order, Payer, Priority, RequestId, WorkId};
use crate::proto::Interim;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// A job that has not advanced for this long is said to be stalled.
const STALLED: Duration = Duration::from_secs(1);

/// How often a watched job says how far it is, unless it is asked for more or less often.
const PROGRESS_OF_WATCHED: Duration = Duration::from_secs(1);

/// Identifies a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WaiterId {
    /// A request of a client.
    Request(ClientId, RequestId),
    /// A submitted job.
    Submitted(JobId),
}

/// A request, or a submitted job, that waits for a job, with its deadline and how often it wants progress.
pub(super) struct Waiter {
    id: WaiterId,
    /// Whose share of the CPU the job uses on its behalf.
    payer: Payer,
    /// When it was asked.
    since: Instant,
    /// What it counts as among the limits of the account.
    counted: Counted,
    /// How urgent the answer is to this one.
    priority: Priority,
    /// The submitted job that it watches.
    watched: Option<JobId>,
    deadline: Option<Instant>,
    progress: Option<Duration>,
    /// When progress is due.
    due: Option<Instant>,
    /// How far the job was when that was last sent, and the hash of its stage.
    sent: (f64, u64),
    rows: usize,
}

impl Waiter {
    /// A request of which nothing is wanted but its answer.
    pub(super) const fn plain(payer: Payer, request: RequestId, since: Instant) -> Self {
        Self {
            id: WaiterId::Request(payer.client, request),
            payer,
            since,
            counted: Counted::Question,
            priority: Priority::Normal,
            watched: None,
            deadline: None,
            progress: None,
            due: None,
            sent: (-1.0, 0),
            rows: 0,
        }
    }

    /// A request on the terms of its order.
    pub(super) fn of(payer: Payer, order: &Order, now: Instant) -> Self {
        Self {
            deadline: order.deadline,
            rows: order.rows,
            ..Self::plain(payer, order.request, now).with_progress(order.progress, now)
        }
    }

    /// The same, for no longer than this.
    pub(super) const fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same, to whom the answer is as urgent as this.
    pub(super) const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    fn with_progress(mut self, every: Option<Duration>, now: Instant) -> Self {
        self.progress = every;
        self.due = every.and_then(|every| now.checked_add(every));
        self
    }

    /// Waits on behalf of a submitted job, which nobody hears of.
    pub(super) const fn submitted(mut self, job: JobId) -> Self {
        self.id = WaiterId::Submitted(job);
        self.counted = Counted::Submitted;
        self.progress = None;
        self.due = None;
        self
    }

    /// Waits for the rows of a list.
    pub(super) const fn of_list(mut self) -> Self {
        self.counted = Counted::List;
        self
    }

    /// Waits for the answer of a submitted job, which is as urgent as it was submitted.
    pub(super) const fn of_result(mut self, job: JobId) -> Self {
        self.watched = Some(job);
        self.priority = Priority::Low;
        self
    }

    /// Waits for a submitted job and hears how far it is.
    pub(super) fn of_watch(self, job: JobId, now: Instant) -> Self {
        let every = self.progress.unwrap_or(PROGRESS_OF_WATCHED);
        self.with_progress(Some(every), now).of_result(job)
    }

    pub(super) const fn payer(&self) -> Payer {
        self.payer
    }

    /// When it was asked.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    pub(super) const fn is_submitted(&self) -> bool {
        matches!(self.counted, Counted::Submitted)
    }

    pub(super) const fn id(&self) -> WaiterId {
        self.id
    }

    /// The submitted job that it watches.
    pub(super) const fn watched(&self) -> Option<JobId> {
        self.watched
    }

    /// True if a client waits here that may not be sent rows yet.
    pub(super) const fn has_no_credit(&self) -> bool {
        self.rows == 0 && matches!(self.id, WaiterId::Request(..))
    }

    /// When something has to be said to this waiter, unless it is answered before.
    fn alarm(&self) -> Option<Instant> {
        [self.deadline, self.due].into_iter().flatten().min()
    }
}

/// All that wait.
#[derive(Default)]
pub(super) struct Waiters {
    /// What each waits for, and its place in the queue there.
    waiting: BTreeMap<WaiterId, (WorkId, u64)>,
    /// Those that wait for a job; the first one pays for it.
    of: FxHashMap<WorkId, WaitQueue>,
    alarms: BTreeSet<(Instant, WaiterId)>,
    /// Clients that hold anything: answers that they wait for, plain questions included, and submitted jobs.
    clients: FxHashMap<ClientId, Holding>,
    /// The same by account.
    accounts: FxHashMap<Account, Counts>,
    /// Submitted jobs of all.
    submitted: usize,
    /// Clients that have left while jobs which they submitted go on.
    gone: HashSet<ClientId>,
    /// Clients that have left and hold nothing any more.
    forgotten: Vec<ClientId>,
}

/// What one that waits counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Question,
    Submitted,
    List,
}

/// How much an account holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers that its clients wait for.
    pub(super) questions: usize,
    /// Submitted jobs that have not ended.
    pub(super) submitted: usize,
    /// Lists that are not sent yet.
    pub(super) lists: usize,
}

impl Counts {
    const fn of(&mut self, counted: Counted) -> &mut usize {
        match counted {
            Counted::Question => &mut self.questions,
            Counted::Submitted => &mut self.submitted,
            Counted::List => &mut self.lists,
        }
    }
}

/// How many things a client holds.
struct Holding {
    account: Account,
    all: usize,
}

/// A waiter that was removed from its job.
pub(super) struct Removed {
    pub(super) work: WorkId,
    pub(super) payer: Payer,
    /// The first of those that still wait; none if it was the last.
    pub(super) next_payer: Option<Payer>,
    /// How urgent the answer is to the most urgent of these.
    pub(super) priority: Priority,
}

/// An alarm that has gone off.
pub(super) enum Due {
    Deadline(WaiterId, Option<JobId>),
    Progress(WaiterId, WorkId),
}

impl Waiters {
    pub(super) fn add(&mut self, work: WorkId, waiter: Waiter) {
        let id = waiter.id;
        self.alarms.extend(waiter.alarm().map(|at| (at, id)));
        self.count(waiter.payer, waiter.counted, 1);
        let place = self.of.entry(work).or_default().push(waiter);
        self.waiting.insert(id, (work, place));
    }

    /// One has this deadline from now on.
    pub(super) fn set_deadline(&mut self, id: WaiterId, deadline: Option<Instant>) {
        let Some(waiter) = self.get_mut(id) else { return };
        let before = waiter.alarm();
        waiter.deadline = deadline;
        let after = waiter.alarm();
        if let Some(at) = before {
            self.alarms.remove(&(at, id));
        }
        self.alarms.extend(after.map(|at| (at, id)));
    }

    /// What one waits for.
    pub(super) fn work_of(&self, id: WaiterId) -> Option<WorkId> {
        self.waiting.get(&id).map(|(work, _)| *work)
    }

    fn get_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        let (work, place) = self.waiting.get(&id)?;
        self.of.get_mut(work)?.get_mut(*place)
    }

    /// Those that wait for a job, the one whose client pays first.
    pub(super) fn of(&self, work: WorkId) -> impl Iterator<Item = &Waiter> {
        self.of.get(&work).into_iter().flat_map(WaitQueue::iter)
    }

    /// One that waits.
    pub(super) fn get(&self, id: WaiterId) -> Option<&Waiter> {
        let (work, place) = self.waiting.get(&id)?;
        self.of.get(work)?.get(*place)
    }

    /// The submitted job that one watches.
    pub(super) fn watched_by(&self, id: WaiterId) -> Option<JobId> {
        self.get(id)?.watched
    }

    /// Takes one off its job.
    pub(super) fn remove(&mut self, id: WaiterId) -> Option<Removed> {
        let (work, place) = self.waiting.get(&id).copied()?;
        let waiters = self.of.get_mut(&work)?;
        let waiter = waiters.remove(place)?;
        let next_payer = waiters.first().map(|waiter| waiter.payer);
        let priority = waiters.priority().unwrap_or_default();
        if next_payer.is_none() {
            self.of.remove(&work);
        }
        self.let_go(&waiter);
        Some(Removed {
            work,
            payer: waiter.payer,
            next_payer,
            priority,
        })
    }

    /// Takes all off a job, in the order in which they are answered: submitted jobs first, and each with the one that
    /// it watches.
    pub(super) fn remove_all(&mut self, work: WorkId) -> Vec<(WaiterId, Option<JobId>)> {
        let waiters = self.of.remove(&work).unwrap_or_default();
        waiters.iter().for_each(|waiter| self.let_go(waiter));
        let mut ids: Vec<_> = waiters.iter().map(|waiter| (waiter.id, waiter.watched)).collect();
        ids.sort_by_key(|(id, _)| matches!(id, WaiterId::Request(..)));
        ids
    }

    fn let_go(&mut self, waiter: &Waiter) {
        self.waiting.remove(&waiter.id);
        if let Some(at) = waiter.alarm() {
            self.alarms.remove(&(at, waiter.id));
        }
        self.uncount(waiter.payer.client, waiter.counted, 1);
    }

    /// Those that wait for a job wait for another one from now on. Says which submitted jobs are among them.
    pub(super) fn join(&mut self, from: WorkId, to: WorkId) -> Vec<JobId> {
        let waiters = self.of.remove(&from).unwrap_or_default();
        let queue = self.of.entry(to).or_default();
        let mut jobs = Vec::new();
        for waiter in waiters {
            let id = waiter.id;
            if let WaiterId::Submitted(job) = id {
                jobs.push(job);
            }
            self.waiting.insert(id, (to, queue.push(waiter)));
        }
        jobs
    }

    /// The submitted jobs that wait for a job.
    pub(super) fn submitted(&self, work: WorkId) -> impl Iterator<Item = JobId> {
        self.of(work).filter_map(|waiter| match waiter.id {
            WaiterId::Submitted(job) => Some(job),
            WaiterId::Request(..) => None,
        })
    }

    /// Whether a submitted job waits for a job.
    pub(super) fn has_submitted(&self, work: WorkId) -> bool {
        self.of.get(&work).is_some_and(WaitQueue::has_submitted)
    }

    /// Those that watch a submitted job.
    pub(super) fn watchers(&self, job: JobId, work: WorkId) -> Vec<WaiterId> {
        let watchers = self.of(work).filter(|waiter| waiter.watched == Some(job));
        watchers.map(|waiter| waiter.id).collect()
    }

    /// True if those that wait for a job are all clients: nobody submitted it.
    pub(super) fn is_only_asked(&self, work: WorkId) -> bool {
        let is_request = |waiter: &Waiter| matches!(waiter.id, WaiterId::Request(..));
        self.of(work).all(is_request)
    }

    pub(super) fn requests_of(&self, client: ClientId) -> Vec<WaiterId> {
        let all = WaiterId::Request(client, RequestId::MIN)..=WaiterId::Request(client, RequestId::MAX);
        self.waiting.range(all).map(|(id, _)| *id).collect()
    }

    pub(super) fn all(&self) -> Vec<WaiterId> {
        self.waiting.keys().copied().collect()
    }

    /// How many rows of a job may be sent. A job that streams has one waiter: it is never shared.
    pub(super) fn credit(&self, work: WorkId) -> usize {
        let queue = self.of.get(&work);
        queue.and_then(WaitQueue::first).map_or(0, |waiter| waiter.rows)
    }

    /// Rows of a job are sent, to the request that this gives.
    pub(super) fn spend(&mut self, work: WorkId, rows: usize) -> Option<(ClientId, RequestId)> {
        let waiter = self.of.get_mut(&work)?.first_mut()?;
        waiter.rows = waiter.rows.saturating_sub(rows);
        match waiter.id {
            WaiterId::Request(client, request) => Some((client, request)),
            WaiterId::Submitted(_) => None,
        }
    }

    /// More rows may be sent; says of which job.
    pub(super) fn grant(&mut self, id: WaiterId, rows: usize) -> Option<WorkId> {
        let waiter = self.get_mut(id)?;
        waiter.rows = waiter.rows.saturating_add(rows);
        self.work_of(id)
    }

    /// The next moment for [`due`](Self::due).
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// The next alarm that has gone off by now. An alarm for progress is set anew, one for a deadline is not.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        while let Some(&(at, id)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            let Some(work) = self.work_of(id) else {
                continue;
            };
            let Some(waiter) = self.get_mut(id) else {
                continue;
            };
            if waiter.deadline.is_some_and(|deadline| deadline <= now) {
                return Some(Due::Deadline(id, waiter.watched));
            }
            if let (Some(every), Some(due)) = (waiter.progress, waiter.due) {
                let next = due.checked_add(every).filter(|next| *next > now);
                waiter.due = next.or_else(|| now.checked_add(every));
            }
            let next = waiter.alarm();
            self.alarms.extend(next.map(|at| (at, id)));
            return Some(Due::Progress(id, work));
        }
        None
    }

    /// What one that wants to hear of progress is sent: how far the job is, or for how long it has not advanced. A job
    /// that waits, or is no further, is as far as before: silence would look like a daemon that is gone.
    pub(super) fn report(
        &mut self,
        id: WaiterId,
        done: f64,
        silent: Duration,
        eta: Option<Duration>,
        stage: Option<String>,
    ) -> Option<Interim> {
        let waiter = self.get_mut(id)?;
        let at = stage.as_deref().map_or(0, |stage| FxBuildHasher.hash_one(stage));
        if done <= waiter.sent.0 && at == waiter.sent.1 && silent >= STALLED {
            return Some(Interim::Stalled(silent));
        }
        let done = done.max(waiter.sent.0);
        waiter.sent = (done, at);
        Some(Interim::Progress { done, eta, stage })
    }

    /// How much an account holds.
    pub(super) fn counts(&self, account: Account) -> Counts {
        self.accounts.get(&account).copied().unwrap_or_default()
    }

    /// Accounts that hold anything.
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Submitted jobs that have not ended.
    pub(super) const fn submitted_by_all(&self) -> usize {
        self.submitted
    }

    /// A client waits for this many more answers.
    pub(super) fn count_questions(&mut self, payer: Payer, count: usize) {
        self.count(payer, Counted::Question, count);
    }

    /// A client waits for this many answers less.
    pub(super) fn uncount_questions(&mut self, client: ClientId, count: usize) {
        self.uncount(client, Counted::Question, count);
    }

    fn count(&mut self, payer: Payer, counted: Counted, count: usize) {
        let Payer { account, client } = payer;
        let holding = self.clients.entry(client).or_insert(Holding { account, all: 0 });
        debug_assert_eq!(holding.account, account, "a client has one account");
        holding.all += count;
        *self.accounts.entry(account).or_default().of(counted) += count;
        if counted == Counted::Submitted {
            self.submitted += count;
        }
    }

    fn uncount(&mut self, client: ClientId, counted: Counted, count: usize) {
        let Some(holding) = self.clients.get_mut(&client) else {
            return;
        };
        holding.all -= count;
        let account = holding.account;
        if holding.all == 0 {
            self.clients.remove(&client);
            if self.gone.remove(&client) {
                self.forgotten.push(client);
            }
        }
        if counted == Counted::Submitted {
            self.submitted -= count;
        }
        if let Some(counts) = self.accounts.get_mut(&account) {
            *counts.of(counted) -= count;
            if *counts == Counts::default() {
                self.accounts.remove(&account);
            }
        }
    }

    /// A client is gone; it is forgotten once it holds nothing.
    pub(super) fn leave(&mut self, client: ClientId) {
        if self.clients.contains_key(&client) {
            self.gone.insert(client);
        } else {
            self.forgotten.push(client);
        }
    }

    /// Clients that are gone and hold nothing, since the last time.
    pub(super) fn take_forgotten(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.forgotten)
    }

    /// Nothing is left of anybody.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.of.is_empty()
            && self.alarms.is_empty()
            && self.clients.is_empty()
            && self.accounts.is_empty()
            && self.submitted == 0
            && self.gone.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ClientId = ClientId(1);
    const TWO: ClientId = ClientId(2);
    const FIRST: Payer = payer(1);
    const SECOND: Payer = payer(2);
    const WORK: WorkId = WorkId(7);

    const fn payer(client: u64) -> Payer {
        Payer {
            account: Account::Process,
            client: ClientId(client),
        }
    }

    fn request(client: ClientId) -> WaiterId {
        WaiterId::Request(client, RequestId(1))
    }

    #[test]
    fn the_next_in_line_pays_for_a_job_and_the_last_one_ends_it() {
        let mut waiters = Waiters::default();
        waiters.add(WORK, Waiter::plain(FIRST, RequestId(1), Instant::now()));
        waiters.add(WORK, Waiter::plain(SECOND, RequestId(1), Instant::now()));
        let removed = waiters.remove(request(ONE)).expect("it waits");
        assert_eq!(
            (removed.work, removed.payer, removed.next_payer),
            (WORK, FIRST, Some(SECOND))
        );
        assert!(waiters.remove(request(ONE)).is_none(), "only once");
        assert_eq!(
            waiters.remove(request(TWO)).and_then(|removed| removed.next_payer),
            None
        );
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_client_that_left_is_forgotten_when_its_last_job_ends() {
        let mut waiters = Waiters::default();
        waiters.add(
            WORK,
            Waiter::plain(FIRST, RequestId(1), Instant::now()).submitted(JobId(3)),
        );
        waiters.leave(ONE);
        waiters.leave(TWO);
        assert_eq!(waiters.take_forgotten(), [TWO]);
        assert_eq!(waiters.remove_all(WORK), [(WaiterId::Submitted(JobId(3)), None)]);
        assert_eq!(waiters.take_forgotten(), [ONE]);
        assert!(waiters.is_empty());
    }

    #[test]
    fn progress_is_due_again_and_a_deadline_once() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut waiters = Waiters::default();
        let mut waiter = Waiter::plain(FIRST, RequestId(1), Instant::now()).of_watch(JobId(3), start);
        waiter.deadline = Some(start + 2 * second);
        waiters.add(WORK, waiter);
        assert!(waiters.due(start).is_none());
        assert!(matches!(waiters.due(start + second), Some(Due::Progress(_, WORK))));
        assert!(waiters.due(start + second).is_none());
        assert_eq!(waiters.next_alarm(), Some(start + 2 * second));
        let due = waiters.due(start + 2 * second);
        assert!(matches!(due, Some(Due::Deadline(_, Some(JobId(3))))));
        assert!(waiters.due(start + 9 * second).is_none());
    }

    #[test]
    fn what_has_not_advanced_is_stalled_after_a_second() {
        let mut waiters = Waiters::default();
        waiters.add(WORK, Waiter::plain(FIRST, RequestId(1), Instant::now()));
        let mut report = |done, silent| waiters.report(request(ONE), done, silent, None, None);
        assert!(matches!(report(0.5, STALLED), Some(Interim::Progress { .. })));
        let again = report(0.5, STALLED / 2);
        assert!(matches!(again, Some(Interim::Progress { done: 0.5, .. })), "it works");
        assert!(matches!(report(0.5, STALLED), Some(Interim::Stalled(_))));
    }

    #[test]
    fn another_stage_is_reported_and_what_is_done_never_falls() {
        let mut waiters = Waiters::default();
        waiters.add(WORK, Waiter::plain(FIRST, RequestId(1), Instant::now()));
        let mut report = |done, stage: &str| {
            let stage = Some(stage.to_owned());
            match waiters.report(request(ONE), done, Duration::ZERO, None, stage) {
                Some(Interim::Progress { done, stage, .. }) => Some((done, stage?)),
                _ => None,
            }
        };
        assert_eq!(report(0.5, "nodes=3"), Some((0.5, "nodes=3".to_owned())));
        assert_eq!(report(0.5, "nodes=3"), Some((0.5, "nodes=3".to_owned())));
        assert_eq!(report(0.25, "nodes=7"), Some((0.5, "nodes=7".to_owned())));
    }

    #[test]
    fn an_account_holds_what_its_clients_hold_each_in_its_kind() {
        let mut waiters = Waiters::default();
        waiters.count_questions(FIRST, 3);
        waiters.add(
            WORK,
            Waiter::plain(SECOND, RequestId(1), Instant::now()).submitted(JobId(3)),
        );
        waiters.add(WorkId(8), Waiter::plain(SECOND, RequestId(2), Instant::now()).of_list());
        let counts = Counts {
            questions: 3,
            submitted: 1,
            lists: 1,
        };
        assert_eq!(waiters.counts(Account::Process), counts);
        assert_eq!((waiters.accounts(), waiters.submitted_by_all()), (1, 1));
        waiters.uncount_questions(ONE, 3);
        waiters.remove_all(WORK);
        waiters.remove_all(WorkId(8));
        assert!(waiters.is_empty());
    }
}
