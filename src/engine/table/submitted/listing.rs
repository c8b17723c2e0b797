//! The lists that show submitted jobs, and what else is under way.

use super::{Job, State, Submitted};
use crate::engine::message::{Account, JobId, Payer, WorkId};
use crate::engine::text::shortened;
use crate::proto::{Code, Reply};
use std::collections::VecDeque;
use std::time::Duration;

/// The characters that a row shows of a question: one about a number of 10000 digits would fill a screen, and a
/// thousand of these too much memory. With the dots there are 100.
pub(super) const MAX_TITLE: usize = 97;

/// How many rows `jobs` shows: as many as fit what a connection may leave unsent, which bounds an array in RESP.
pub(in crate::engine::table) const MAX_LISTED: usize = 250;

/// What a row of a list is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Listed {
    Submitted(JobId),
    /// A job that clients wait for, and that nobody submitted.
    Asked(WorkId),
}

/// A job that is not finished, as a row shows it.
pub(in crate::engine::table) struct Shown<'a> {
    pub(in crate::engine::table) title: &'a str,
    pub(in crate::engine::table) payer: Payer,
    pub(in crate::engine::table) state: String,
    pub(in crate::engine::table) cpu: Duration,
}

impl Submitted {
    /// A list that is to show the jobs of this account only, if of one, or only these if there are any.
    pub(in crate::engine::table) fn begin_list(&mut self, list: WorkId, scope: Option<Account>, only: Vec<JobId>) {
        if only.is_empty() {
            self.confined.extend(scope.map(|own| (list, own)));
        } else {
            self.lists
                .insert(list, only.into_iter().map(Listed::Submitted).collect());
        }
    }

    /// The rows of a list that may be sent now, at most `credit`, and whether they are the last. `asked` are the jobs
    /// that nobody submitted, `show` shows one that is not finished.
    pub(in crate::engine::table) fn rows<'a>(
        &mut self,
        list: WorkId,
        credit: usize,
        asked: impl FnOnce() -> Vec<WorkId>,
        show: impl Fn(WorkId) -> Option<Shown<'a>>,
    ) -> (Vec<String>, bool) {
        let scope = self.confined.remove(&list);
        let mut left = self.lists.remove(&list).unwrap_or_else(|| {
            let is_shown =
                |work: &WorkId| scope.is_none_or(|own| show(*work).is_some_and(|job| job.payer.account == own));
            self.listed(scope, || asked().into_iter().filter(is_shown).collect())
        });
        let next = std::iter::from_fn(|| left.pop_front());
        let rows: Vec<String> = next.filter_map(|listed| self.row(listed, &show)).take(credit).collect();
        let is_over = left.is_empty();
        if !is_over {
            self.lists.insert(list, left);
        }
        (rows, is_over)
    }

    /// What a list shows: what is under way, that is submitted jobs and questions that turned out long, and then what
    /// has ended, the latest first. A list costs what its rows cost, however many jobs there are: who is asked for is
    /// looked for only if there are rows left.
    fn listed(&self, scope: Option<Account>, asked: impl FnOnce() -> Vec<WorkId>) -> VecDeque<Listed> {
        let is_shown = |job: &(&JobId, &Job)| scope.is_none_or(|own| job.1.owner == own);
        let is_running = |job: &(&JobId, &Job)| matches!(job.1.state, State::Running(_));
        let about = |(id, _): (&JobId, &Job)| Listed::Submitted(*id);
        let running = self.jobs.iter().filter(is_shown).filter(is_running).map(about);
        let mut listed: VecDeque<Listed> = running.take(MAX_LISTED).collect();
        if listed.len() < MAX_LISTED {
            let mut asked = asked();
            asked.sort_unstable();
            listed.extend(asked.into_iter().map(Listed::Asked));
            let ended = self.jobs.iter().rev().filter(is_shown);
            let ended = ended.filter(|job| !is_running(job)).map(about);
            listed.extend(ended.take(MAX_LISTED.saturating_sub(listed.len())));
            listed.truncate(MAX_LISTED);
        }
        listed
    }

    /// A row of a list; none if what it was to show is gone in the meantime.
    fn row<'a>(&self, listed: Listed, show: impl Fn(WorkId) -> Option<Shown<'a>>) -> Option<String> {
        match listed {
            Listed::Submitted(id) => {
                let job = self.jobs.get(&id)?;
                let (state, cpu) = match &job.state {
                    State::Running(work) => {
                        let shown = show(*work)?;
                        let state = match job.not_before {
                            Some(at) if self.delayed.contains(&(at, id)) => "queued".to_owned(),
                            _ => shown.state,
                        };
                        (state, job.cpu_before + shown.cpu)
                    }
                    State::Done { reply, cpu, .. } => (ended_as(reply), *cpu),
                };
                let (cpu, priority) = (cpu.as_secs_f64(), job.priority.as_str());
                let Job {
                    owner,
                    submitted_at,
                    resumed,
                    title,
                    ..
                } = job;
                Some(format!(
                    "id={id} state={state} cpu={cpu:.1}s owner={owner} submitted={submitted_at} resumed={resumed} \
                     priority={priority} request={title}"
                ))
            }
            Listed::Asked(work) => {
                let shown = show(work)?;
                let title = shortened(shown.title, MAX_TITLE);
                let (state, cpu) = (shown.state, shown.cpu.as_secs_f64());
                let Payer { account, client } = shown.payer;
                Some(format!(
                    "id=- state={state} cpu={cpu:.1}s owner={account} client={client} request={title}"
                ))
            }
        }
    }

    /// A list is not sent any further.
    pub(in crate::engine::table) fn remove_list(&mut self, list: WorkId) {
        self.lists.remove(&list);
        self.confined.remove(&list);
    }
}

/// How a row shows what came of a job.
fn ended_as(reply: &Reply) -> String {
    match reply {
        Ok(_) => "done".to_owned(),
        Err(failure) if failure.code == Code::Cancelled => "cancelled".to_owned(),
        Err(failure) => format!("failed error={}", failure.code),
    }
}
