//! Submitted jobs in the table: kept, watched, cancelled, listed.

use super::admission::Beside;
use super::waiters::{Holder, Waiter};
use super::{Entry, Event, Stage, Table, eta};
use crate::engine::caught::caught;
use crate::engine::errand::Work;
use crate::engine::order::{JobId, TicketId};
use crate::engine::tickets::{State, Ticket, shortened};
use crate::proto::{Code, Failure, Interim, Value};
use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

/// How often a watched job says how far it is, unless it is asked for more or less often.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How many rows `jobs` shows: as many as fit what a connection may leave unsent, which bounds an array in RESP.
const MAX_LISTED: usize = 250;

/// What a row of a list is about.
#[derive(Clone, Copy)]
pub(super) enum Listed {
    Ticket(TicketId),
    /// A job that somebody waits for, and that nobody submitted.
    Asked(JobId),
}

impl Table {
    /// Submits a job: its ticket waits for it, and the client is told the ID at once.
    pub(super) fn keep(&mut self, asker: Waiter, work: Work) -> Result<(), Failure> {
        let title = work.title().into_owned();
        // The ticket is opened only once the job is taken in, so that a refused job leaves none behind.
        let provisional = Holder::Ticket(0);
        let reply_to = asker.holder;
        let waiter = Waiter {
            holder: provisional,
            due: None,
            progress: None,
            ..asker
        };
        let client = waiter.client;
        let id = self.hold(waiter, work)?;
        let ticket = self.tickets.open(&title, client, id);
        self.waiting.remove(&provisional);
        self.waiting.insert(Holder::Ticket(ticket), id);
        if let Some(waiter) = self.jobs.get_mut(&id).and_then(|entry| entry.waiters.last_mut()) {
            waiter.holder = Holder::Ticket(ticket);
            if let Some(at) = waiter.alarm() {
                self.alarms.remove(&(at, provisional));
                self.alarms.insert((at, Holder::Ticket(ticket)));
            }
        }
        self.tell(reply_to, Event::Final(Ok(job_id(ticket))));
        Ok(())
    }

    pub(super) fn watch(&mut self, mut waiter: Waiter, ticket: TicketId) -> Result<(), Failure> {
        let found = self.tickets.get(ticket, self.now).ok_or_else(|| no_job(ticket))?;
        match &found.state {
            State::Running(id) => {
                waiter.watched = Some(ticket);
                let id = *id;
                self.add_waiter(id, waiter);
            }
            State::Done { reply, .. } => {
                let reply = reply.clone();
                self.tell(waiter.holder, Event::Final(reply));
            }
        }
        Ok(())
    }

    /// Ends a submitted job because somebody wants it.
    pub(super) fn cancel_ticket(&mut self, ticket: TicketId) -> Result<(), Failure> {
        let found = self.tickets.get(ticket, self.now).ok_or_else(|| no_job(ticket))?;
        let State::Running(id) = found.state else {
            return Err(Failure::new(Code::NoJob, format!("job {ticket} has ended already")));
        };
        let failure = Failure::new(Code::Cancelled, format!("job {ticket} was cancelled"));
        self.refuse_all(ticket, id, &failure);
        Ok(())
    }

    /// Ends a submitted job and tells all who watch it; whoever asked the same question goes on.
    pub(super) fn refuse_all(&mut self, ticket: TicketId, job: JobId, failure: &Failure) {
        let waiters = self
            .jobs
            .get(&job)
            .map(|entry| entry.waiters.as_slice())
            .unwrap_or_default();
        let watchers = waiters.iter().filter(|waiter| waiter.watched == Some(ticket));
        let watchers: Vec<Holder> = watchers.map(|waiter| waiter.holder).collect();
        for holder in watchers.into_iter().chain([Holder::Ticket(ticket)]) {
            self.refuse(holder, failure.clone());
        }
    }

    /// Takes in the wish for a list of jobs. It waits in the table until its client takes its rows, however many lists that asks for.
    pub(super) fn open_list(&mut self, waiter: Waiter) -> Result<(), Failure> {
        self.admit(waiter.client, Some(0), Beside::default())?;
        let id = self.next_id;
        self.next_id += 1;
        let entry = Entry {
            title: String::new(),
            streams: true,
            is_kept: false,
            client: waiter.client,
            waiters: Vec::with_capacity(1),
            cancel: Arc::default(),
            stage: Stage::List(None),
            begun: self.now,
            cpu: Duration::ZERO,
            memory: 0,
        };
        self.jobs.insert(id, entry);
        self.add_waiter(id, waiter);
        self.list(id);
        Ok(())
    }

    /// Tells as many rows of a list as its client has granted, and then its end.
    pub(super) fn list(&mut self, id: JobId) {
        let Some(entry) = self.jobs.get_mut(&id) else {
            return;
        };
        let (Stage::List(left), Some(waiter)) = (&mut entry.stage, entry.waiters.first()) else {
            return;
        };
        let (holder, allowed) = (waiter.holder, waiter.rows);
        if allowed == 0 {
            return;
        }
        let left = left.take();
        let mut left = left.unwrap_or_else(|| self.listed());
        let rows = iter::from_fn(|| left.pop_front()).filter_map(|listed| self.row(listed));
        let rows: Vec<String> = rows.take(allowed).collect();
        let is_over = left.is_empty();
        if let Some(entry) = self.jobs.get_mut(&id) {
            entry.stage = Stage::List(Some(left));
            entry.waiters[0].rows -= rows.len();
        }
        self.tell(holder, Event::Interim(Interim::Rows(rows)));
        if is_over {
            self.end(id, Ok(Value::Nothing));
        }
    }

    /// What a list shows: what is under way, that is submitted jobs and questions that turned out long, and then what has ended, the
    /// latest first.
    fn listed(&self) -> VecDeque<Listed> {
        let is_asked = |job: &JobId| {
            let entry = self.jobs.get(job);
            entry.is_some_and(|entry| {
                entry
                    .waiters
                    .iter()
                    .all(|waiter| matches!(waiter.holder, Holder::Client(..)))
            })
        };
        let asked = self.long.values().chain(self.slots.keys()).copied().filter(is_asked);
        let mut asked: Vec<JobId> = asked.collect();
        asked.sort_unstable();
        let is_running = |ticket: &(TicketId, &Ticket)| matches!(ticket.1.state, State::Running(_));
        let running = self.tickets.iter().filter(is_running);
        let ended = self.tickets.iter().rev().filter(|ticket| !is_running(ticket));
        let about = |(id, _)| Listed::Ticket(id);
        let listed = running.map(about).chain(asked.into_iter().map(Listed::Asked));
        let listed = listed.chain(ended.map(about));
        listed.take(MAX_LISTED).collect()
    }

    /// A row of a list; none if what it was to show is gone in the meantime.
    fn row(&self, listed: Listed) -> Option<String> {
        let (id, owner, title, state, cpu) = match listed {
            Listed::Ticket(id) => {
                let ticket = self.tickets.find(id)?;
                let (state, cpu) = match &ticket.state {
                    State::Running(job) => self.jobs.get(job).map(|entry| (self.state(entry), entry.cpu))?,
                    State::Done { reply, cpu, .. } => {
                        let state = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "done");
                        (state.to_owned(), *cpu)
                    }
                };
                (id.to_string(), ticket.owner, ticket.title.clone(), state, cpu)
            }
            Listed::Asked(job) => {
                let entry = self.jobs.get(&job)?;
                let owner = entry.waiters.first()?.client;
                (
                    "-".to_owned(),
                    owner,
                    shortened(&entry.title),
                    self.state(entry),
                    entry.cpu,
                )
            }
        };
        let cpu = cpu.as_secs_f64();
        Some(format!(
            "id={id} state={state} cpu={cpu:.1}s owner={owner} request={title}"
        ))
    }

    /// What a job is at, as a row shows it.
    fn state(&self, entry: &Entry) -> String {
        let (done, eta) = match &entry.stage {
            Stage::Bulk(bulk) => {
                let done = caught(|| bulk.plan.progress()).unwrap_or_default();
                (done, eta(self.now - entry.begun, done))
            }
            Stage::Errand(errand) if !errand.is_waiting() => (errand.line().progress(), None),
            Stage::Parked(_) => return "parked".to_owned(),
            _ => return "queued".to_owned(),
        };
        format!("running {}", Interim::Progress { done, eta }.words())
    }
}

/// What `submit` answers.
pub(super) fn job_id(ticket: TicketId) -> Value {
    Value::Text(format!("job={ticket}"))
}

pub(super) fn no_job(ticket: TicketId) -> Failure {
    Failure::new(
        Code::NoJob,
        format!("there is no job {ticket}, or it ended too long ago; 'jobs' lists them"),
    )
}
