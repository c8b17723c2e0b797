//! Batches in the table: taken in, handed out, taken back. What is still unanswered then becomes a job, or waits for another turn.

use super::admission::Beside;
use super::lanes::Turn;
use super::waiters::{Holder, Waiter};
use super::{Ask, Entry, Event, Order, Place, Stage, Table};
use crate::engine::batch::{Batch, Plain, Unfinished};
use crate::engine::fairness::ClientId;
use crate::engine::order::JobId;
use crate::engine::task::{Load, Task};
use crate::job::Job;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The batches there are.
#[derive(Default)]
pub(super) struct Batches {
    /// By client, and by a name that is the place of the first question. The places of one batch lie before the name of the next.
    all: BTreeMap<(ClientId, Place), Batched>,
    /// Questions in all of them.
    questions: usize,
    /// Questions in batches that wait for a worker, and how many batches these are.
    waiting: (usize, usize),
}

struct Batched {
    /// Its rank among the jobs of the client.
    id: JobId,
    begun: Instant,
    /// Bytes of the titles of its questions.
    titles: usize,
    state: State,
}

enum State {
    Waiting(VecDeque<Plain>),
    UnderWay {
        /// Who still wants an answer.
        places: Vec<Place>,
        cancel: Arc<AtomicBool>,
    },
}

impl Batches {
    pub(super) const fn questions(&self) -> usize {
        self.questions
    }

    /// Questions that wait for a worker, beyond one a batch.
    pub(super) const fn crowd(&self) -> usize {
        self.waiting.0 - self.waiting.1
    }

    /// Those who wait for an answer.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let of = |(&(client, _), batched): (&(ClientId, Place), &Batched)| {
            let places: Vec<Place> = match &batched.state {
                State::Waiting(questions) => questions.iter().map(|(place, _)| *place).collect(),
                State::UnderWay { places, .. } => places.clone(),
            };
            places.into_iter().map(move |place| Holder::Client(client, place))
        };
        self.all.iter().flat_map(of).collect()
    }
}

impl Table {
    /// Takes in plain questions of a client, in the order of their places.
    pub(in crate::engine) fn submit_plain(&mut self, client: ClientId, questions: Vec<Plain>, now: Instant) {
        self.now = now;
        let (twins, questions) = self.without_twins(questions);
        for (place, job) in twins {
            let order = Order {
                place,
                ask: Ask::Answer(job.into()),
                deadline: None,
                progress: None,
                rows: 0,
            };
            self.submit(client, order, now);
        }
        let (mut all, mut refused) = (Beside::default(), Vec::new());
        let mut admitted = VecDeque::with_capacity(questions.len());
        for (place, job) in questions {
            let title = job.title_bytes();
            match self.admit(client, Some(title), all) {
                Ok(()) => {
                    all.questions += 1;
                    all.titles += title;
                    admitted.push_back((place, job));
                }
                Err(failure) => refused.push((place, Event::Final(Err(failure)))),
            }
        }
        self.outbox.push_all(client, refused);
        if !admitted.is_empty() {
            *self.held.entry(client).or_default() += all.questions;
            self.titles += all.titles;
            self.next_id += 1;
            self.wait_in_batch(client, self.next_id - 1, all.titles, now, admitted);
        }
    }

    /// Sorts out the questions that equal a long job.
    fn without_twins(&self, questions: Vec<Plain>) -> (Vec<Plain>, Vec<Plain>) {
        if self.long.is_empty() {
            return (Vec::new(), questions);
        }
        let has_twin = |job: &Job| !job.is_brief() && self.long.contains_key(&*job.title());
        questions.into_iter().partition(|(_, job)| has_twin(job))
    }

    /// Makes a batch of questions that are taken in already.
    fn wait_in_batch(
        &mut self,
        client: ClientId,
        id: JobId,
        titles: usize,
        begun: Instant,
        questions: VecDeque<Plain>,
    ) {
        let Some(&(name, _)) = questions.front() else {
            return;
        };
        self.batches.questions += questions.len();
        self.batches.waiting.0 += questions.len();
        self.batches.waiting.1 += 1;
        self.express.push(client, Turn::of_batch(id, name), 0);
        let state = State::Waiting(questions);
        self.batches.all.insert(
            (client, name),
            Batched {
                id,
                begun,
                titles,
                state,
            },
        );
    }

    /// Hands out a batch whose turn it is, at most so many of its questions; the others keep their turn.
    pub(super) fn next_batch(
        &mut self,
        client: ClientId,
        turn: Turn,
        name: Place,
        most: usize,
    ) -> Option<(Task, usize)> {
        let batched = self.batches.all.get_mut(&(client, name))?;
        let State::Waiting(questions) = &mut batched.state else {
            return None;
        };
        let mut questions = mem::take(questions);
        self.batches.waiting.0 -= questions.len();
        self.batches.waiting.1 -= 1;
        let cancel = Arc::new(AtomicBool::new(false));
        let rest = questions.split_off(most.min(questions.len()));
        let titles = titles_of(rest.iter());
        batched.titles -= titles;
        batched.state = State::UnderWay {
            places: questions.iter().map(|(place, _)| *place).collect(),
            cancel: cancel.clone(),
        };
        let begun = batched.begun;
        self.batches.questions -= rest.len();
        self.wait_in_batch(client, turn.id, titles, begun, rest);
        let count = questions.len();
        let task = Task {
            job: turn.id,
            cancel,
            load: Load::Batch(Batch::new(client, name, questions)),
        };
        Some((task, count))
    }

    /// Takes back a batch. One whose client is gone is unknown here, and its replies are dropped.
    pub(super) fn batch_finished(&mut self, mut batch: Batch, cpu: Duration) {
        let client = batch.client;
        let Some(batched) = self.batches.all.remove(&(client, batch.name)) else {
            return;
        };
        let State::UnderWay { places, .. } = batched.state else {
            return;
        };
        self.express
            .charge(client, i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX));
        self.batches.questions -= places.len();
        self.titles -= batched.titles;
        if places.len() < batch.begun() + batch.fresh.len() {
            // Some were cancelled and told so.
            let is_wanted = |place: Place| places.contains(&place);
            batch.news.retain(|(place, _)| is_wanted(*place));
            batch.fresh.retain(|(place, _)| is_wanted(*place));
            batch.unfinished.retain(|unfinished| is_wanted(unfinished.place));
            batch.running = batch.running.filter(|(place, _)| is_wanted(*place));
        }
        self.found.append(&mut batch.found);
        self.release(client, batch.news.len());
        self.outbox.push_all(client, batch.news);
        if let Some((place, job)) = batch.running {
            self.release(client, 1);
            let failure = Self::fault(&job.title());
            self.tell(Holder::Client(client, place), Event::Final(Err(failure)));
        }
        let titles = titles_of(batch.fresh.iter());
        self.titles += titles;
        self.wait_in_batch(client, batched.id, titles, batched.begun, batch.fresh);
        for unfinished in batch.unfinished {
            self.becomes_job(client, unfinished, batched.begun);
        }
    }

    /// A question that was not answered in its batch is a job from now on.
    fn becomes_job(&mut self, client: ClientId, unfinished: Unfinished, begun: Instant) {
        let Unfinished { place, plan, job, cpu } = unfinished;
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry {
            title: job.title().into_owned(),
            streams: false,
            is_kept: job.is_kept,
            client,
            waiters: Vec::with_capacity(1),
            cancel: Arc::default(),
            stage: Stage::Express,
            begun,
            cpu,
            memory: 0,
        };
        self.titles += entry.title.len();
        self.jobs.insert(id, entry);
        // It is counted among what the client holds once more.
        self.add_waiter(id, Waiter::plain(client, place));
        self.release(client, 1);
        self.enter_bulk(id, plan, job);
    }

    /// Takes one who waits for an answer out of its batch. False if nobody waited there.
    pub(super) fn remove_from_batch(&mut self, client: ClientId, place: Place) -> bool {
        let before = (client, 0)..=(client, place);
        let Some((&key, batched)) = self.batches.all.range_mut(before).next_back() else {
            return false;
        };
        match &mut batched.state {
            State::Waiting(questions) => {
                let Ok(index) = questions.binary_search_by_key(&place, |(place, _)| *place) else {
                    return false;
                };
                let titles = questions.remove(index).map_or(0, |(_, job)| job.title_bytes());
                self.titles -= titles;
                batched.titles -= titles;
                self.batches.waiting.0 -= 1;
                if questions.is_empty() {
                    self.express.remove(client, Turn::of_batch(batched.id, key.1));
                    self.batches.waiting.1 -= 1;
                    self.batches.all.remove(&key);
                }
            }
            State::UnderWay { places, .. } => {
                let Some(index) = places.iter().position(|other| *other == place) else {
                    return false;
                };
                places.swap_remove(index);
            }
        }
        self.batches.questions -= 1;
        self.release(client, 1);
        true
    }

    /// Forgets all batches of a client that is gone.
    pub(super) fn remove_batches(&mut self, client: ClientId) {
        let of_client = (client, 0)..=(client, Place::MAX);
        let names: Vec<Place> = self.batches.all.range(of_client).map(|(key, _)| key.1).collect();
        for name in names {
            let Some(batched) = self.batches.all.remove(&(client, name)) else {
                continue;
            };
            self.titles -= batched.titles;
            let count = match batched.state {
                State::Waiting(questions) => {
                    self.express.remove(client, Turn::of_batch(batched.id, name));
                    self.batches.waiting.0 -= questions.len();
                    self.batches.waiting.1 -= 1;
                    questions.len()
                }
                State::UnderWay { places, cancel } => {
                    cancel.store(true, Relaxed);
                    places.len()
                }
            };
            self.batches.questions -= count;
            self.release(client, count);
        }
    }
}

fn titles_of<'a>(questions: impl Iterator<Item = &'a Plain>) -> usize {
    questions.map(|(_, job)| job.title_bytes()).sum()
}
