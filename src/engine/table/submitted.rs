//! Submitted jobs in the table: kept, watched, cancelled, listed.

use super::waiters::{Holder, Waiter};
use super::{Event, Stage, Table, eta};
use crate::engine::caught::caught;
use crate::engine::errand::Work;
use crate::engine::fairness::ClientId;
use crate::engine::order::{JobId, TicketId};
use crate::engine::tickets::State;
use crate::proto::{Code, Failure, Interim, Value};
use std::time::Duration;

/// How often a watched job says how far it is, unless it is asked for more or less often.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How many rows `jobs` shows.
const MAX_LISTED: usize = 1_000;

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
        let ticket = self.tickets.open(title, client, id);
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

    /// Ends a submitted job: it and all who watch it are told; whoever asked the same question goes on.
    pub(super) fn cancel_ticket(&mut self, ticket: TicketId) -> Result<(), Failure> {
        let found = self.tickets.get(ticket, self.now).ok_or_else(|| no_job(ticket))?;
        let State::Running(id) = found.state else {
            return Err(Failure::new(Code::NoJob, format!("job {ticket} has ended already")));
        };
        let failure = || Failure::new(Code::Cancelled, format!("job {ticket} was cancelled"));
        let waiters = self
            .jobs
            .get(&id)
            .map(|entry| entry.waiters.as_slice())
            .unwrap_or_default();
        let watchers = waiters.iter().filter(|waiter| waiter.watched == Some(ticket));
        let watchers: Vec<Holder> = watchers.map(|waiter| waiter.holder).collect();
        for watcher in watchers {
            self.refuse(watcher, failure());
        }
        self.refuse(Holder::Ticket(ticket), failure());
        Ok(())
    }

    pub(super) fn list(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for (id, ticket) in self.tickets.iter() {
            rows.push(match &ticket.state {
                State::Running(job) => self.row(&id.to_string(), ticket.owner, *job),
                State::Done { reply, cpu, .. } => {
                    let state = reply.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "done");
                    format!(
                        "id={id} state={state} cpu={} owner={} request={}",
                        spelt(*cpu),
                        ticket.owner,
                        ticket.title
                    )
                }
            });
        }
        let mut asked: Vec<JobId> = self.long.values().copied().chain(self.slots.keys().copied()).collect();
        asked.sort_unstable();
        for job in asked {
            let waiters = self
                .jobs
                .get(&job)
                .map(|entry| entry.waiters.as_slice())
                .unwrap_or_default();
            let is_submitted = waiters.iter().any(|waiter| matches!(waiter.holder, Holder::Ticket(_)));
            if let Some(waiter) = waiters.first().filter(|_| !is_submitted) {
                rows.push(self.row("-", waiter.client, job));
            }
        }
        rows.truncate(MAX_LISTED);
        rows
    }

    pub(super) fn row(&self, id: &str, owner: ClientId, job: JobId) -> String {
        let Some(entry) = self.jobs.get(&job) else {
            return format!("id={id} state=ending owner={owner}");
        };
        let title = &entry.title;
        let cpu = spelt(entry.cpu);
        match &entry.stage {
            Stage::Bulk(bulk) => {
                let done = caught(|| bulk.plan.progress()).unwrap_or_default();
                let eta = eta(self.now - entry.begun, done);
                let progress = Interim::Progress { done, eta }.words();
                format!("id={id} state=running {progress} cpu={cpu} owner={owner} request={title}")
            }
            Stage::Errand(errand) if !errand.is_waiting() => {
                let done = errand.line().progress();
                let progress = Interim::Progress { done, eta: None }.words();
                format!("id={id} state=running {progress} cpu={cpu} owner={owner} request={title}")
            }
            Stage::Parked(_) => format!("id={id} state=parked cpu={cpu} owner={owner} request={title}"),
            Stage::Held(_) | Stage::Queued(_) | Stage::Express | Stage::Errand(_) => {
                format!("id={id} state=queued cpu={cpu} owner={owner} request={title}")
            }
        }
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

/// CPU time as a row shows it.
fn spelt(cpu: Duration) -> String {
    format!("{:.1}s", cpu.as_secs_f64())
}
