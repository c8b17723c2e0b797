//! The express lane: jobs and batches of plain questions that wait for their first slice, and batches that are under
//! way. Hands them to the workers, and finds those that wait for too long. Knows no plan, and nobody who waits for a
//! job.
//!
//! A batch has the name of its first question; the requests of one batch lie before the name of the client's next.

use super::backlog::Backlog;
use super::jobs::Jobs;
use super::outbox::Events;
use crate::engine::batch::{Batch, Plain, Unfinished};
use crate::engine::fairness::Fair;
use crate::engine::message::{ClientId, Payer, RequestId, WorkId};
use crate::engine::task::{Payload, Task};
use crate::job::Job;
use crate::metrics::VerbLabel;
use crate::proto::Value;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How many questions an express worker is handed at once, at the most.
const MAX_HANDOVER: usize = 128;

/// No question waits for longer, whatever the limit.
const LONGEST_AGE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Work for a worker at the least, if there is so much: waking one more costs five microseconds of CPU time on both
/// sides.
const WORTH_A_WORKER: Duration = Duration::from_micros(20);

/// The part of the time that questions may wait at which the queue of many clients is kept, and what a single one may
/// have in addition. Under a lasting overload nearly all that is answered waits that long, and a third more at the
/// most: half of the time for four clients.
const STANDING: f64 = 0.25;
const OF_SINGLE: f64 = 0.5;

/// What waits for an express worker: a job, or a batch by its name. Older ones come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct QueueEntry {
    work: WorkId,
    batch: Option<RequestId>,
}

impl QueueEntry {
    const fn of_job(work: WorkId) -> Self {
        Self { work, batch: None }
    }

    const fn of_batch(work: WorkId, name: RequestId) -> Self {
        Self {
            work,
            batch: Some(name),
        }
    }
}

/// First slices, and who is next.
#[derive(Default)]
pub(super) struct Express {
    queue: Fair<QueueEntry>,
    /// Jobs that wait for their first slice, some of them only until a moment.
    jobs: FxHashMap<WorkId, (Job, Option<Instant>)>,
    /// All batches, by client and name.
    batches: BTreeMap<(ClientId, RequestId), Batched>,
    /// Questions in all of them.
    questions: usize,
    /// Questions in batches that wait for a worker, and how many batches these are.
    waiting: (usize, usize),
    /// Bytes of the titles of all their questions.
    title_bytes: usize,
    backlog: Backlog,
    /// What a first slice took lately; nothing is known at first.
    cost: Duration,
    /// When those that wait are refused unless they are begun before, the earliest first. Some may have been begun or
    /// removed already.
    begin_by: VecDeque<(Instant, ClientId, QueueEntry)>,
    keeps_answers: bool,
}

struct Batched {
    /// Its rank among the jobs of the client.
    work: WorkId,
    payer: Payer,
    begin_by: Instant,
    queued_at: Instant,
    titles: usize,
    state: State,
}

enum State {
    Waiting(VecDeque<Plain>),
    UnderWay {
        /// Those that still want an answer.
        requests: Vec<RequestId>,
        cancel: Arc<AtomicBool>,
    },
}

/// What a batch has come to when it is back.
pub(super) struct BatchOutcome {
    pub(super) queued_at: Instant,
    pub(super) payer: Payer,
    /// Replies, for the client that the batch is of.
    pub(super) events: Events,
    pub(super) found: Vec<(String, Value)>,
    /// Whose the last of these is.
    pub(super) last_found: Option<RequestId>,
    /// The verbs of those that were begun.
    pub(super) verbs: Vec<VerbLabel>,
    /// The question that panicked.
    pub(super) panicked: Option<Plain>,
    /// Questions that become jobs.
    pub(super) unfinished: Vec<Unfinished>,
}

/// What has waited for too long.
pub(super) enum Late {
    Job(WorkId),
    Plain(ClientId, Vec<RequestId>),
}

impl Express {
    /// The lane without any work. `keeps_answers`: those of batches are wanted with their questions.
    pub(super) fn new(keeps_answers: bool) -> Self {
        Self {
            keeps_answers,
            ..Self::default()
        }
    }

    /// A job waits for its first slice, perhaps only for so long.
    pub(super) fn push(&mut self, payer: Payer, work: WorkId, question: Job, begin_by: Option<Instant>, now: Instant) {
        self.jobs.insert(work, (question, begin_by));
        self.backlog.add(payer, 1, now);
        self.queue.push(payer, QueueEntry::of_job(work), 0);
        if let Some(begin_by) = begin_by {
            self.watch(begin_by, payer.client, QueueEntry::of_job(work));
        }
    }

    /// Plain questions wait together, in the order of their requests. `titles` counts the bytes of their titles.
    pub(super) fn push_batch(
        &mut self,
        payer: Payer,
        work: WorkId,
        titles: usize,
        now: Instant,
        max_age: Duration,
        questions: VecDeque<Plain>,
    ) {
        self.backlog.add(payer, questions.len(), now);
        let batched = Batched {
            work,
            payer,
            queued_at: now,
            begin_by: now + max_age.min(LONGEST_AGE),
            titles,
            state: State::Waiting(questions),
        };
        self.enqueue(batched);
    }

    fn enqueue(&mut self, batched: Batched) {
        let State::Waiting(questions) = &batched.state else {
            return;
        };
        let Some(&(name, _)) = questions.front() else {
            return;
        };
        self.questions += questions.len();
        self.title_bytes += batched.titles;
        self.waiting.0 += questions.len();
        self.waiting.1 += 1;
        let queued = QueueEntry::of_batch(batched.work, name);
        let client = batched.payer.client;
        self.queue.push(batched.payer, queued, 0);
        let begin_by = batched.begin_by;
        self.batches.insert((client, name), batched);
        self.watch(begin_by, client, queued);
    }

    fn watch(&mut self, begin_by: Instant, client: ClientId, queued: QueueEntry) {
        let at = match self.begin_by.back() {
            Some((last, ..)) if *last > begin_by => self.begin_by.partition_point(|(other, ..)| *other <= begin_by),
            _ => self.begin_by.len(),
        };
        self.begin_by.insert(at, (begin_by, client, queued));
        if self.begin_by.len() > 2 * self.queue.len() + MAX_HANDOVER {
            let mut watched = mem::take(&mut self.begin_by);
            watched.retain(|(begin_by, client, queued)| self.waits(*begin_by, *client, *queued));
            self.begin_by = watched;
        }
    }

    /// Whether it waits until this moment. A job that was parked may wait once more, without such a limit.
    fn waits(&self, begin_by: Instant, client: ClientId, queued: QueueEntry) -> bool {
        let Some(name) = queued.batch else {
            let question = self.jobs.get(&queued.work);
            return question.is_some_and(|(_, until)| *until == Some(begin_by));
        };
        let batched = self.batches.get(&(client, name));
        batched.is_some_and(|batched| matches!(batched.state, State::Waiting(_)))
    }

    /// Forgets when those must begin that wait no more, as far as they are the earliest.
    fn unwatch(&mut self) {
        while let Some(&(begin_by, client, queued)) = self.begin_by.front()
            && !self.waits(begin_by, client, queued)
        {
            self.begin_by.pop_front();
        }
    }

    /// When the first of those that wait has waited for too long.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.begin_by.front().map(|(at, ..)| *at)
    }

    /// Takes out what should have begun by now. A job is left to [`remove`](Self::remove).
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Late> {
        self.unwatch();
        let &(_, client, queued) = self.begin_by.front().filter(|(at, ..)| *at <= now)?;
        self.begin_by.pop_front();
        let Some(name) = queued.batch else {
            return Some(Late::Job(queued.work));
        };
        let batched = self.batches.remove(&(client, name))?;
        self.leave_queue(&batched, queued);
        let State::Waiting(questions) = batched.state else {
            return None;
        };
        let requests = questions.into_iter().map(|(request, _)| request);
        Some(Late::Plain(client, requests.collect()))
    }

    /// Counts a batch out that is removed while it waits.
    fn leave_queue(&mut self, batched: &Batched, queued: QueueEntry) {
        let State::Waiting(questions) = &batched.state else {
            return;
        };
        self.queue.remove(batched.payer.client, queued);
        self.title_bytes -= batched.titles;
        self.questions -= questions.len();
        self.waiting.0 -= questions.len();
        self.waiting.1 -= 1;
        self.backlog.remove(batched.payer, questions.len());
    }

    /// How many more questions of a client would be begun in time. The queue of an account is kept short, or under a
    /// lasting overload nearly all that is answered would have waited for as long as it may. A single client may fill
    /// it further: the number of its requests under way bounds it, and a long pipeline of work is no overload.
    pub(super) fn room(&self, payer: Payer, max_age: Duration) -> usize {
        let clients = self.backlog.clients_with(payer) as f64;
        self.backlog
            .room(payer, max_age.mul_f64(STANDING + OF_SINGLE / clients))
    }

    /// Whether one more would be begun within its deadline.
    pub(super) fn has_room_within(&self, payer: Payer, patience: Duration) -> bool {
        self.backlog.room(payer, patience) > 0
    }

    /// Work for a hand-over to a worker, several first slices if more wait than there are `free` workers.
    pub(super) fn next(&mut self, free: usize, jobs: &Jobs) -> Vec<Task> {
        let crowd = self.queue.len() + self.waiting.0 - self.waiting.1;
        let most = crowd.div_ceil(free.max(1)).max(self.worth_a_worker()).min(MAX_HANDOVER);
        let mut tasks = Vec::new();
        let mut taken = 0;
        while taken < most {
            let Some((payer, queued, _)) = self.queue.next() else {
                break;
            };
            if let Some(name) = queued.batch {
                if let Some((task, count)) = self.next_batch(payer.client, name, most - taken) {
                    tasks.push(task);
                    taken += count;
                }
            } else if let (Some((question, _)), Some(entry)) = (self.jobs.remove(&queued.work), jobs.get(queued.work)) {
                self.backlog.remove(payer, 1);
                tasks.push(Task {
                    work: queued.work,
                    cancel: entry.cancel().clone(),
                    payload: Payload::Begin(question),
                });
                taken += 1;
            }
        }
        self.unwatch();
        tasks
    }

    /// How many questions are worth to wake a worker for, by what they took lately.
    fn worth_a_worker(&self) -> usize {
        let count = WORTH_A_WORKER.as_nanos().checked_div(self.cost.as_nanos());
        count.and_then(|count| usize::try_from(count).ok()).unwrap_or(1)
    }

    /// First slices were run: this many, in this CPU time.
    fn record_cost(&mut self, cpu: Duration, count: usize) {
        if let Ok(count @ 1..) = u32::try_from(count) {
            self.cost = (self.cost * 3 + cpu / count) / 4;
        }
    }

    /// Hands out at most `most` questions of a batch; the others stay in the queue.
    fn next_batch(&mut self, client: ClientId, name: RequestId, most: usize) -> Option<(Task, usize)> {
        let batched = self.batches.get_mut(&(client, name))?;
        let State::Waiting(questions) = &mut batched.state else {
            return None;
        };
        let mut questions = mem::take(questions);
        self.waiting.0 -= questions.len();
        self.waiting.1 -= 1;
        let cancel = Arc::new(AtomicBool::new(false));
        let rest = questions.split_off(most.min(questions.len()));
        batched.state = State::UnderWay {
            requests: questions.iter().map(|(request, _)| *request).collect(),
            cancel: cancel.clone(),
        };
        let work = batched.work;
        if !rest.is_empty() {
            let titles = titles_of(rest.iter());
            batched.titles -= titles;
            self.title_bytes -= titles;
            self.questions -= rest.len();
            let rest = Batched {
                titles,
                state: State::Waiting(rest),
                ..*batched
            };
            self.enqueue(rest);
        }
        let count = questions.len();
        let payload = Payload::Batch(Batch::new(client, name, questions, self.keeps_answers));
        Some((Task { work, cancel, payload }, count))
    }

    /// Takes back a batch; what a worker had no time to begin waits once more. One whose client is gone, or that
    /// was handed out by another table, is unknown here.
    pub(super) fn finished(&mut self, mut batch: Batch, cpu: Duration, now: Instant) -> Option<BatchOutcome> {
        let client = batch.client;
        let batched = self.batches.remove(&(client, batch.name))?;
        let State::UnderWay { requests, .. } = batched.state else {
            return None;
        };
        #[cfg(test)]
        crate::engine::failpoint::hit();
        self.charge(client, cpu);
        self.record_cost(cpu, batch.begun());
        self.questions -= requests.len();
        self.title_bytes -= batched.titles;
        self.backlog.begun(batched.payer.account, batch.begun(), now);
        if requests.len() < batch.begun() + batch.fresh.len() {
            // Some were cancelled, and answered then.
            let is_wanted = |request: RequestId| requests.contains(&request);
            batch.news.retain(|(request, _)| is_wanted(*request));
            batch.fresh.retain(|(request, _)| is_wanted(*request));
            batch.unfinished.retain(|unfinished| is_wanted(unfinished.request));
            batch.running = batch.running.filter(|(request, _)| is_wanted(*request));
        }
        self.backlog.remove(batched.payer, requests.len() - batch.fresh.len());
        let rest = Batched {
            titles: titles_of(batch.fresh.iter()),
            state: State::Waiting(batch.fresh),
            ..batched
        };
        let (queued_at, payer) = (rest.queued_at, rest.payer);
        self.enqueue(rest);
        Some(BatchOutcome {
            queued_at,
            payer,
            events: batch.news,
            found: batch.found,
            last_found: batch.last_found,
            verbs: batch.verbs,
            panicked: batch.running,
            unfinished: batch.unfinished,
        })
    }

    /// Takes a plain question out. False if it is not here.
    pub(super) fn remove_plain(&mut self, client: ClientId, request: RequestId) -> bool {
        let before = (client, RequestId::MIN)..=(client, request);
        let Some((&key, batched)) = self.batches.range_mut(before).next_back() else {
            return false;
        };
        let payer = batched.payer;
        match &mut batched.state {
            State::Waiting(questions) => {
                let Ok(index) = questions.binary_search_by_key(&request, |(request, _)| *request) else {
                    return false;
                };
                let titles = questions
                    .remove(index)
                    .map_or(0, |(_, question)| question.title_bytes());
                self.title_bytes -= titles;
                batched.titles -= titles;
                self.waiting.0 -= 1;
                if questions.is_empty() {
                    self.queue.remove(client, QueueEntry::of_batch(batched.work, key.1));
                    self.waiting.1 -= 1;
                    self.batches.remove(&key);
                }
            }
            State::UnderWay { requests, .. } => {
                let Some(index) = requests.iter().position(|other| *other == request) else {
                    return false;
                };
                requests.swap_remove(index);
            }
        }
        self.questions -= 1;
        self.backlog.remove(payer, 1);
        true
    }

    /// Takes out all plain questions of a client that is gone, and says how many there were.
    pub(super) fn remove_all_plain(&mut self, client: ClientId) -> usize {
        let all = (client, RequestId::MIN)..=(client, RequestId::MAX);
        let names: Vec<RequestId> = self.batches.range(all).map(|(key, _)| key.1).collect();
        let before = self.questions;
        for name in names {
            let Some(batched) = self.batches.remove(&(client, name)) else {
                continue;
            };
            self.leave_queue(&batched, QueueEntry::of_batch(batched.work, name));
            if let State::UnderWay { requests, cancel } = batched.state {
                cancel.store(true, Relaxed);
                self.title_bytes -= batched.titles;
                self.questions -= requests.len();
                self.backlog.remove(batched.payer, requests.len());
            }
        }
        before - self.questions
    }

    /// Stops all batches that are under way.
    pub(super) fn stop_all(&self) {
        for batched in self.batches.values() {
            if let State::UnderWay { cancel, .. } = &batched.state {
                cancel.store(true, Relaxed);
            }
        }
    }

    /// Takes a job out, if it waits here.
    pub(super) fn remove(&mut self, payer: Payer, work: WorkId) {
        if self.jobs.remove(&work).is_some() {
            self.backlog.remove(payer, 1);
            self.queue.remove(payer.client, QueueEntry::of_job(work));
        }
    }

    /// A job uses another client's share from now on.
    pub(super) fn change_payer(&mut self, work: WorkId, from: Payer, next_payer: Payer, now: Instant) {
        if self.jobs.contains_key(&work) {
            self.backlog.remove(from, 1);
            self.backlog.add(next_payer, 1, now);
            self.queue.remove(from.client, QueueEntry::of_job(work));
            self.queue.push(next_payer, QueueEntry::of_job(work), 0);
        }
    }

    /// All plain questions.
    pub(super) fn plain(&self) -> Vec<(ClientId, RequestId)> {
        let of = |(&(client, _), batched): (&(ClientId, RequestId), &Batched)| {
            let requests: Vec<RequestId> = match &batched.state {
                State::Waiting(questions) => questions.iter().map(|(request, _)| *request).collect(),
                State::UnderWay { requests, .. } => requests.clone(),
            };
            requests.into_iter().map(move |request| (client, request))
        };
        self.batches.iter().flat_map(of).collect()
    }

    /// The first slice of a job is over.
    pub(super) fn first_slice_done(&mut self, payer: Payer, cpu: Duration, now: Instant) {
        self.backlog.begun(payer.account, 1, now);
        self.record_cost(cpu, 1);
        self.charge(payer.client, cpu);
    }

    fn charge(&mut self, client: ClientId, cpu: Duration) {
        let cost = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX);
        self.queue.charge(client, cost);
    }

    pub(super) fn forget(&mut self, client: ClientId) {
        self.queue.forget(client);
    }

    /// How many plain questions there are.
    pub(super) const fn questions(&self) -> usize {
        self.questions
    }

    pub(super) const fn title_bytes(&self) -> usize {
        self.title_bytes
    }

    /// Questions that wait for their first slice, or are at it.
    pub(super) fn queued(&self) -> usize {
        self.questions + self.jobs.len()
    }

    /// How many jobs and batches wait.
    #[cfg(test)]
    pub(super) const fn queue_len(&self) -> usize {
        self.queue.len()
    }

    #[cfg(test)]
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

fn titles_of<'a>(questions: impl Iterator<Item = &'a Plain>) -> usize {
    questions.map(|(_, question)| question.title_bytes()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::message::Account;
    use crate::job::Query;

    const ONE: ClientId = ClientId(1);
    const PAYER: Payer = Payer {
        account: Account::Process,
        client: ONE,
    };

    fn push(express: &mut Express, requests: std::ops::Range<u64>) {
        let questions = requests.map(|request| (RequestId(request), Query::Pi(request.into()).into()));
        let questions: VecDeque<Plain> = questions.collect();
        let titles = titles_of(questions.iter());
        express.push_batch(
            PAYER,
            WorkId(5),
            titles,
            Instant::now(),
            Duration::from_secs(1),
            questions,
        );
    }

    fn is_empty(express: &Express) -> bool {
        (express.questions, express.waiting, express.title_bytes) == (0, (0, 0), 0)
            && express.queue.len() == 0
            && express.batches.is_empty()
            && express.backlog.is_empty()
    }

    #[test]
    fn questions_are_counted_until_each_is_taken_out() {
        let mut express = Express::default();
        push(&mut express, 10..14);
        assert_eq!(express.questions(), 4);
        assert!(!express.remove_plain(ONE, RequestId(14)));
        assert!(express.remove_plain(ONE, RequestId(11)));
        assert!(!express.remove_plain(ONE, RequestId(11)));
        let tasks = express.next(3, &Jobs::new(WorkId(9)));
        assert_eq!(tasks.len(), 1, "three questions for three free workers: one each");
        assert!(express.remove_plain(ONE, RequestId(10)), "it is under way");
        assert_eq!(express.plain(), [(ONE, RequestId(12)), (ONE, RequestId(13))]);
        assert_eq!(express.remove_all_plain(ONE), 2);
        assert!(is_empty(&express));
        assert!(tasks[0].cancel.load(Relaxed));
    }

    #[test]
    fn a_batch_of_another_table_is_unknown() {
        let mut express = Express::default();
        push(&mut express, 1..3);
        let task = express.next(1, &Jobs::new(WorkId(9))).pop().expect("a batch waits");
        let Payload::Batch(batch) = task.payload else {
            unreachable!("a batch waits");
        };
        assert!(
            Express::default()
                .finished(batch, Duration::ZERO, Instant::now())
                .is_none()
        );
    }
}
