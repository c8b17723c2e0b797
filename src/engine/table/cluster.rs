//! The table beside a cluster: parts that go out and come back, jobs that other daemons work on, and jobs that are
//! taken over from them.

use super::Table;
use super::asking::{cancelled, has_ended};
use super::cancels::Cancel;
use super::jobs::{Entry, WorkState};
use super::parts::PartFault;
use super::submitted::{Found, Location, Submitted};
use super::waiters::{Waiter, WaiterId};
use crate::engine::cluster::{JobProgress, Part, PartId};
use crate::engine::message::{JobId, Payer, RequestId, Subject, WorkId};
use crate::engine::restored::Restored;
use crate::proto::{Code, Failure, Reply, outcome};
use crate::store::{End, StoredJob, Timestamp};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Table {
    /// Cuts the next part, where `workers` of other daemons are free for them.
    pub(in crate::engine) fn next_part(&mut self, workers: usize, now: Instant) -> Option<Part> {
        self.flow.now = now;
        let (work, offer) = loop {
            match self.flow.bulk.next_part(&self.flow.jobs, workers, now)? {
                Ok(cut) => break cut,
                Err(work) => self.flow.end_by_fault(work),
            }
        };
        Some(Part {
            id: PartId {
                work: work.0,
                number: offer.number,
            },
            question: self.flow.jobs.get(work)?.title().to_owned(),
            bytes: offer.bytes,
        })
    }

    /// Parts that are under way.
    pub(in crate::engine) fn parts(&self) -> usize {
        self.flow.bulk.parts()
    }

    /// Parts that are of no use any more, since the last time.
    pub(in crate::engine) fn take_recalled(&mut self) -> Vec<PartId> {
        let recalled = self.flow.bulk.take_recalled().into_iter();
        recalled.map(|(work, number)| PartId { work: work.0, number }).collect()
    }

    /// Takes in what a part came to. One that comes twice, or late, does nothing.
    pub(in crate::engine) fn absorb_part(
        &mut self,
        id: PartId,
        result: &[u8],
        cpu: Duration,
        node: &str,
        now: Instant,
    ) {
        self.flow.now = now;
        let work = WorkId(id.work);
        let absorbed = self.flow.bulk.absorb_part(work, id.number, result, node, now);
        match absorbed {
            Ok(()) => {
                if let Some(account) = self.flow.jobs.account_of(work) {
                    self.allowances.spend(account, cpu, now);
                }
                if let Some(payer) = self.flow.jobs.used(work, cpu, now).map(|(entry, _)| entry.payer()) {
                    self.flow.deliver_plan(work, payer);
                    self.flow.save_if_due(work);
                }
            }
            Err(PartFault::Unknown) => {}
            Err(PartFault::Damaged(damaged)) => {
                tracing::error!(work = work.0, part = id.number, node, %damaged, "the result of a part cannot be right; it is done again");
                self.cut_again(work);
            }
            Err(PartFault::Unusable) => self.flow.end_by_fault(work),
        }
    }

    /// A node works on a part.
    pub(in crate::engine) fn part_begun(&mut self, id: PartId, now: Instant) {
        self.flow.bulk.part_begun(WorkId(id.work), id.number, now);
    }

    /// Takes back a part that is not done elsewhere.
    pub(in crate::engine) fn part_lost(&mut self, id: PartId, now: Instant) {
        self.flow.now = now;
        let work = WorkId(id.work);
        match self.flow.bulk.take_back_part(work, id.number) {
            Ok(()) => self.cut_again(work),
            Err(PartFault::Unknown) => {}
            Err(PartFault::Damaged(_) | PartFault::Unusable) => self.flow.end_by_fault(work),
        }
    }

    /// A plan may have slices again.
    pub(super) fn cut_again(&mut self, work: WorkId) {
        if let Some(payer) = self.flow.jobs.get(work).map(Entry::payer) {
            self.flow.deliver_plan(work, payer);
        }
    }

    /// Jobs with parts that a node has done, with the words of their questions.
    pub(in crate::engine) fn contributed_to(&self, node: &str) -> Vec<(WorkId, String)> {
        let plans = self.flow.bulk.contributed_to(node).into_iter();
        let named = plans.filter_map(|work| Some((work, self.flow.jobs.get(work)?.title().to_owned())));
        named.collect()
    }

    /// A job starts over with this work: what was absorbed of it is not trusted.
    pub(in crate::engine) fn start_over(&mut self, old: WorkId, subject: Result<Subject, Failure>, now: Instant) {
        self.flow.now = now;
        match subject {
            Ok(Subject::Work(question)) => {
                let Some(entry) = self.flow.jobs.get(old) else { return };
                let payer = entry.payer();
                let new = self.flow.replace(old, entry.anew(WorkState::Express));
                for job in self.flow.waiters.submitted(new) {
                    self.flow.submitted.forget_checkpoint(job, now);
                }
                self.flow.begin(new, payer, question);
            }
            Ok(Subject::Known { value, .. }) => self.flow.end(old, Ok(value)),
            Err(_) => {
                let text = "a node of the cluster gave a wrong result for a part of this; ask again";
                self.flow.end(old, Err(Failure::new(Code::Internal, text)));
            }
        }
    }

    /// The answer to a question was refuted elsewhere, at this time if that is known: submitted jobs that had it by
    /// then give it no more.
    pub(in crate::engine) fn refute(&mut self, title: &str, at: Option<Timestamp>) {
        self.flow.submitted.refute(title, at);
    }

    /// From now on the IDs of submitted jobs end in this number, of three digits.
    pub(in crate::engine) fn set_node(&mut self, number: u64) {
        self.flow.submitted.set_node(number);
    }

    /// The submitted jobs that are worked on here, and those that have ended.
    pub(in crate::engine) fn submitted_here(&self) -> Vec<StoredJob> {
        self.flow.submitted.here()
    }

    /// How far the submitted jobs are that are worked on here.
    pub(in crate::engine) fn progress_here(&self) -> Vec<JobProgress> {
        let running = self.flow.submitted.running().into_iter();
        let progress = running.filter_map(|(job, work)| {
            let entry = self.flow.jobs.get(work)?;
            let done = match entry.state() {
                WorkState::Bulk => self.flow.bulk.progress(work)?.0,
                WorkState::External => self.flow.external.progress(work, self.flow.now)?.0,
                _ => return None,
            };
            Some(JobProgress {
                job,
                done,
                cpu: self.flow.submitted.cpu_before(job) + entry.cpu(),
                stage: self.flow.bulk.stage(work),
            })
        });
        progress.collect()
    }

    /// Another node works on a job: what is done of it here stops, unless another job needs it.
    pub(in crate::engine) fn set_away(&mut self, stored: StoredJob, node: String, now: Instant) {
        self.flow.now = now;
        let job = stored.submission.job;
        let work = match self.flow.submitted.location(job) {
            Location::Ended => return,
            Location::Unknown => {
                let payer = self.flow.owners.payer(&stored.submission.owner);
                let work = self.flow.jobs.next_id();
                let (title, priority) = (stored.submission.title.clone(), stored.submission.priority);
                let restored = Restored {
                    stored,
                    subject: Err(Failure::new(Code::Internal, "another node works on it")),
                };
                self.flow.submitted.restore(&restored, Some(work), now);
                let entry = Entry::new(title, payer, WorkState::Away, now).with_priority(priority);
                self.flow.jobs.insert(work, entry.with_submitted(true));
                let waiter = Waiter::plain(payer, RequestId::MIN, now)
                    .submitted(job)
                    .with_priority(priority);
                self.flow.waiters.add(work, waiter);
                self.flow.waiters.leave(payer.client);
                work
            }
            Location::Running(work) => {
                let is_alone = self.flow.waiters.submitted(work).eq([job]);
                match self.flow.jobs.get(work) {
                    Some(entry) if !matches!(entry.state(), WorkState::Away) && is_alone => {
                        let entry = entry.anew(WorkState::Away);
                        self.flow.replace(work, entry)
                    }
                    _ => work,
                }
            }
        };
        self.flow.submitted.set_away(job);
        if let Some(WorkState::Away) = self.flow.jobs.get(work).map(Entry::state) {
            self.flow.away.set(work, node, now);
        }
    }

    /// A job that another node works on has come so far.
    pub(in crate::engine) fn advance_away(&mut self, progress: JobProgress, now: Instant) {
        let Location::Running(work) = self.flow.submitted.location(progress.job) else {
            return;
        };
        if let Some(WorkState::Away) = self.flow.jobs.get(work).map(Entry::state) {
            // What its node says is all of it, also what it took here before.
            let before = self.flow.submitted.cpu_before(progress.job);
            let shown = before + self.flow.jobs.get(work).map_or(Duration::ZERO, Entry::cpu);
            let more = progress.cpu.saturating_sub(shown);
            self.flow.jobs.used(work, more, now);
            self.flow.away.advance(work, progress.done, progress.stage, now);
        }
    }

    /// Whether another node works on this.
    pub(super) fn is_away(&self, work: WorkId) -> bool {
        matches!(self.flow.jobs.get(work).map(Entry::state), Some(WorkState::Away))
    }

    /// Asks the cluster to end jobs that other nodes work on. Answered when that is written there: two ends that were
    /// said would be one too many. `counted`: by the number of jobs that are cancelled, of which these have ended here.
    pub(super) fn cancel_away(
        &mut self,
        payer: Payer,
        request: RequestId,
        away: BTreeMap<JobId, WorkId>,
        counted: Option<Vec<JobId>>,
    ) {
        let wall = *self.flow.submitted.wall();
        let ends = away.iter().map(|(job, work)| End {
            job: *job,
            ended_at: wall.at(self.flow.now),
            cpu: self.flow.submitted.cpu_before(*job) + self.flow.jobs.get(*work).map_or(Duration::ZERO, Entry::cpu),
            reply: Err(cancelled(*job)),
        });
        let ends = ends.collect();
        let cancel = Cancel {
            client: payer.client,
            request,
            cancelled: counted.is_some().then_some(0),
            jobs: away.into_keys().chain(counted.into_iter().flatten()).collect(),
        };
        self.flow.cancels.ask(cancel, ends);
    }

    /// Ends that the cluster is to write, since the last time.
    pub(in crate::engine) fn take_cancels(&mut self) -> Vec<End> {
        self.flow.cancels.take_asked()
    }

    /// The cluster cannot be reached: a job that another node works on is not cancelled.
    pub(in crate::engine) fn not_cancelled(&mut self, job: JobId, now: Instant) {
        self.flow.now = now;
        let node = match self.flow.submitted.location(job) {
            Location::Running(work) => self.flow.away.get(work).map(|away| away.node.clone()),
            Location::Unknown => None,
            // It was taken over, and is cancelled here.
            Location::Ended => return,
        };
        let node = node.map_or_else(|| "another node".to_owned(), |node| format!("node {node}"));
        let text = format!("{node} works on job {job}, and NATS does not take the cancel; 'doctor' says why");
        self.flow.settle_cancels(job, &Err(Failure::new(Code::Store, text)));
    }

    /// There is a cluster, which begins, perhaps anew: it knows of no cancel, and says nothing of ends before this.
    pub(in crate::engine) fn join(&mut self, now: Instant) {
        self.flow.now = now;
        self.flow.unwritten.share();
        for job in self.flow.unwritten.being_shared() {
            self.flow.end_shared(job);
        }
        for job in self.flow.cancels.jobs() {
            self.not_cancelled(job, now);
        }
    }

    /// The cluster has the end of a job too, or does not take it for now.
    pub(in crate::engine) fn end_shared(&mut self, job: JobId, now: Instant) {
        self.flow.now = now;
        self.flow.end_shared(job);
    }

    /// A job has ended so for the whole cluster: all that wait for it are answered so, and another end that it had here
    /// is replaced.
    pub(in crate::engine) fn end_away(&mut self, stored: StoredJob, end: End, now: Instant) {
        self.flow.now = now;
        let job = end.job;
        let of_cancels = match &end.reply {
            Err(failure) if failure.code == Code::Cancelled => Ok(()),
            _ => Err(has_ended(job)),
        };
        match self.flow.submitted.location(job) {
            Location::Ended => {
                let ended_as = outcome(&end.reply);
                if self.flow.submitted.replace_end(end) {
                    tracing::warn!(%job, ended_as, "a job that has ended here had ended otherwise elsewhere before: that end stays");
                    if self.flow.submitted.keeps() {
                        self.flow.unwritten.ended(job);
                    }
                }
                if let Ok(Found::Done(reply)) = self.flow.submitted.find(job, now) {
                    self.flow.unwritten.correct(job, reply);
                }
            }
            Location::Unknown => {
                let mut stored = stored;
                stored.end = Some(end);
                let subject = Err(Failure::new(Code::Internal, "it has ended"));
                self.flow.submitted.restore(&Restored { stored, subject }, None, now);
            }
            Location::Running(work) => {
                self.flow.submitted.set_cpu(job, end.cpu);
                self.end_running(job, work, end.reply);
            }
        }
        self.flow.settle_cancels(job, &of_cancels);
    }

    /// A job of this work has ended elsewhere, for all that watch it too.
    fn end_running(&mut self, job: JobId, work: WorkId, reply: Reply) {
        for waiter in self.flow.waiters.watchers(job, work) {
            self.answer_away(waiter, reply.clone());
        }
        self.answer_away(WaiterId::Submitted(job), reply);
    }

    fn answer_away(&mut self, waiter: WaiterId, reply: Reply) {
        if let Some(removed) = self.flow.waiters.remove(waiter) {
            self.flow.removed(removed);
            self.flow.answer(waiter, None, reply, Duration::ZERO);
        }
    }

    /// This node goes on with a job of another one.
    pub(in crate::engine) fn take_over(&mut self, restored: Restored, now: Instant) {
        self.flow.now = now;
        let stored = restored.stored.clone();
        let job = stored.submission.job;
        match self.flow.submitted.location(job) {
            Location::Ended => return,
            Location::Unknown => {
                let payer = self.flow.owners.payer(&stored.submission.owner);
                self.take_back_unfinished(payer, restored);
            }
            Location::Running(old) => {
                let Some(WorkState::Away) = self.flow.jobs.get(old).map(Entry::state) else {
                    return;
                };
                let subject = match Submitted::given_up(&stored) {
                    Some(failure) => Err(failure),
                    None => restored.subject,
                };
                let Some(entry) = self.flow.jobs.get(old) else { return };
                match subject {
                    Ok(Subject::Work(question)) => {
                        // What the job's entry was here before says nothing of its question.
                        let (title, payer) = (entry.title().to_owned(), entry.payer());
                        let entry = Entry::of(&question, title, payer, entry.queued_at())
                            .with_priority(entry.priority())
                            .with_submitted(entry.is_submitted());
                        let new = self.flow.replace(old, entry);
                        self.flow.hold(new, question);
                        // Its deadline was a matter of the node that worked on it.
                        let wall = *self.flow.submitted.wall();
                        let deadline = stored.submission.deadline.map(|at| wall.instant(at, now));
                        self.flow.waiters.set_deadline(WaiterId::Submitted(job), deadline);
                    }
                    Ok(Subject::Known { value, .. }) => self.flow.end(old, Ok(value)),
                    Err(failure) => self.flow.end(old, Err(failure)),
                }
            }
        }
        self.flow.submitted.adopt(stored);
        if self.flow.cancels.has(job) {
            return match self.flow.submitted.location(job) {
                // Answered when the cluster has that.
                Location::Running(work) => self.flow.end_submitted(job, work, &cancelled(job)),
                Location::Unknown | Location::Ended => self.flow.settle_cancels(job, &Err(has_ended(job))),
            };
        }
        if let Some(work) = self.flow.submitted.begins(job, now) {
            self.flow.begin_submitted(work);
        }
    }

    /// A job of another node is forgotten there. If nothing was heard of its end, as by a node that had no connection,
    /// then what it came to is not to be had any more: all that wait for it learn that.
    pub(in crate::engine) fn forget_away(&mut self, job: JobId, now: Instant) {
        self.flow.now = now;
        match self.flow.submitted.location(job) {
            Location::Unknown => {}
            Location::Ended => self.flow.submitted.forget(job),
            Location::Running(work) => {
                if let Some(WorkState::Away) = self.flow.jobs.get(work).map(Entry::state) {
                    let text = format!("job {job} ended on another node, and is forgotten there; submit it again");
                    self.end_running(job, work, Err(Failure::new(Code::NoJob, text)));
                }
            }
        }
        self.flow.settle_cancels(job, &Err(has_ended(job)));
    }
}
