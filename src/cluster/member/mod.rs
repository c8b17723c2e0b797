//! What a node does about the submitted jobs of its cluster: which it owns, which others do, which it takes over. Plain
//! data: what is written and read elsewhere is a list of commands, and what came of them, like time, is an argument.
//! Knows no transport and no engine.
//!
//! Each job has two entries that all nodes see: the job itself, with its end once it has one, and its owner. Both are
//! written at the revision that was read, so that of two nodes that want the same one fails and looks again. A node
//! that acknowledged a job has it in its own store until its end; the entries are how others hear of it, and a second
//! copy.
//!
//! `next` decides what is done about one job, `known` is what is known of it, `message` what happens and what is to be
//! done.

mod known;
mod message;
mod next;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub(super) use self::message::{Command, EngineNotice, EntryKind, Input, NatsError, Written};

use self::known::{KnownJob, Location, Seen, Writing, is_further, is_same};
use self::next::Next;
use super::entry::{JobEntry, NodeEntry, OwnerEntry};
use crate::store::{Checkpoint, End, JobId, KeptAnswer, Record, StoredJob, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A node that was not heard of for this long is dead; nodes speak every two seconds.
pub(super) const DEAD: Duration = Duration::from_secs(8);

/// A clock that jumps by this much shows that this process stood still: what it has not heard meanwhile means nothing.
const STOOD_STILL: Duration = Duration::from_secs(4);

/// How long a command may take before it is given up.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// The same where a checkpoint is read, which may be long.
const TRANSFER_LIMIT: Duration = Duration::from_secs(70);

/// How long a job of another node may have no entry: NATS may have lost it, and the node that took it in writes it
/// again.
const ABSENT: Duration = Duration::from_secs(10);

/// After this many failures of a job's commands its entry is read again: what was not seen may have been removed
/// without a mark.
const READ_AGAIN: u32 = 2;

/// After this many failures to read a checkpoint the log says so.
const READ_WARN: u32 = 3;

/// How long another node is remembered that says nothing.
const FORGET_NODE: Duration = Duration::from_secs(600);

/// Other nodes at the most: far more than there can be.
const MAX_NEIGHBOURS: usize = 10_000;

/// Titles of answers that are remembered, so that none goes round.
const MAX_ANSWERS: usize = 100_000;

/// Another node.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) entry: NodeEntry,
    pub(super) heard: Instant,
}

/// A node of a cluster.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    /// In which the IDs of its jobs end; `None`: it only works.
    number: Option<u64>,
    jobs: BTreeMap<JobId, KnownJob>,
    nodes: BTreeMap<String, Neighbour>,
    answers: BTreeSet<u64>,
    /// Refuted ones that were seen before the jobs that had them.
    refuted: Vec<KeptAnswer>,
    now: Instant,
    /// The time of day, in which submissions say when their jobs begin.
    wall: Timestamp,
    is_connected: bool,
    /// It has seen what there was when it connected.
    is_current: bool,
    /// It has been in no cluster before: jobs of its store are not known there.
    is_new: bool,
    is_draining: bool,
    is_closing: bool,
    /// Jobs that it worked on lately.
    busy: usize,
    /// Jobs whose end the store has, of which the engine does not know that NATS has it.
    unshared: BTreeSet<JobId>,
    commands: Vec<Command>,
}

impl Member {
    pub(super) fn new(name: String, number: Option<u64>, now: Instant) -> Self {
        Self {
            name,
            number,
            jobs: BTreeMap::new(),
            nodes: BTreeMap::new(),
            answers: BTreeSet::new(),
            refuted: Vec::new(),
            now,
            wall: Timestamp::from_millis(0),
            is_connected: false,
            is_current: false,
            is_new: false,
            is_draining: false,
            is_closing: false,
            busy: 0,
            unshared: BTreeSet::new(),
            commands: Vec::new(),
        }
    }

    /// A node that has been in no cluster before.
    pub(super) const fn new_to_the_cluster(mut self, is_new: bool) -> Self {
        self.is_new = is_new;
        self
    }

    /// The time of day is this now.
    pub(super) const fn set_wall(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// What is to be done, since the last time.
    pub(super) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Other nodes that live.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = &Neighbour> {
        let now = self.now;
        self.nodes
            .values()
            .filter(move |node| now.saturating_duration_since(node.heard) < DEAD)
    }

    /// Jobs that this node works on.
    pub(super) fn owned(&self) -> usize {
        self.jobs.values().filter(|job| job.location == Location::Here).count()
    }

    /// Whether this other node works on a job, as far as is known.
    pub(super) fn is_worked_on_by(&self, job: JobId, node: &str) -> bool {
        let known = self.jobs.get(&job);
        known.is_some_and(|known| matches!(&known.location, Location::Away(owner) if owner == node))
    }

    /// Everything that it had to write is written, as far as it knows.
    pub(super) fn is_settled(&self) -> bool {
        self.jobs.values().all(|known| {
            let owner = known.owner_node();
            known.is_another
                // It is not this node's to let go of.
                || known.pending.is_none() && owner.is_some_and(|owner| owner != self.name)
                || known.pending.is_none()
                    && known.unsent.is_none()
                    && (known.location != Location::Here || owner.is_none())
        })
    }

    pub(super) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Takes in what has happened.
    pub(super) fn handle(&mut self, input: Input, now: Instant) {
        self.set_now(now);
        match input {
            Input::Connected => self.connected(),
            Input::Disconnected => self.disconnected(),
            Input::Current => {
                self.is_current = true;
                self.look_at_all();
                // The engine knows by now which jobs had them.
                for answer in std::mem::take(&mut self.refuted) {
                    self.commands.push(Command::notify(EngineNotice::Answer(answer)));
                }
            }
            Input::Began(jobs) => self.began(jobs),
            Input::Committed(records) => records.into_iter().for_each(|record| self.committed(record)),
            Input::Cancelled(end) => self.cancelled(end),
            Input::JobSeen(job, revision, entry) => self.job_seen(job, revision, entry),
            Input::OwnerSeen(job, revision, owner) => self.owner_seen(job, revision, owner),
            Input::Absent(job, entry) => self.absent(job, entry),
            Input::NodeSeen(entry) => {
                let is_known = self.nodes.contains_key(&entry.name);
                if entry.name != self.name && (is_known || self.nodes.len() < MAX_NEIGHBOURS) {
                    let name = entry.name.clone();
                    self.nodes.insert(name, Neighbour { entry, heard: now });
                }
            }
            Input::NodeLeft(name) => {
                if let (Some(node), Some(long_ago)) = (self.nodes.get_mut(&name), now.checked_sub(DEAD)) {
                    node.heard = long_ago;
                }
                self.look_at_all();
            }
            Input::AnswerSeen(answer) => match self.remember(&answer) {
                true if answer.is_refuted && !self.is_current => self.refuted.push(answer),
                true => {
                    // It was found since.
                    self.refuted.retain(|refuted| refuted.title != answer.title);
                    self.commands.push(Command::notify(EngineNotice::Answer(answer)));
                }
                false => {}
            },
            Input::Written(job, serial, result) => self.written(job, serial, result),
            Input::Saved(job, result) => {
                if let Some(known) = self.jobs.get_mut(&job) {
                    known.succeeded(result.is_ok(), now);
                    known.is_saved |= result.is_ok() && known.is_further;
                    // As it ends it lets go of the job all the same.
                    if result.is_err() && !self.is_draining {
                        known.send_again();
                    }
                }
                self.look_at(job);
            }
            Input::Removed(job, result) => {
                // Where it is removed, that is waited for until it is seen.
                if let (Some(known), Err(_)) = (self.jobs.get_mut(&job), result) {
                    known.succeeded(false, now);
                }
            }
            Input::Loaded(job, result) => self.loaded(job, result),
            Input::Drain => self.is_draining = true,
            Input::Close => {
                self.is_draining = true;
                self.is_closing = true;
                // What NATS refused before is tried once more: there is not time for the pauses.
                self.jobs.values_mut().for_each(KnownJob::changed);
                self.look_at_all();
            }
        }
    }

    /// Time passes: commands that are late are given up, and jobs of dead nodes taken over.
    pub(super) fn tick(&mut self, now: Instant) {
        self.set_now(now);
        self.nodes
            .retain(|_, node| now.saturating_duration_since(node.heard) < FORGET_NODE);
        self.look_at_all();
    }

    fn set_now(&mut self, now: Instant) {
        if now.saturating_duration_since(self.now) > STOOD_STILL {
            self.nodes.values_mut().for_each(|node| node.heard = now);
            self.jobs.values_mut().for_each(|job| job.unowned = None);
        }
        self.now = now;
    }

    /// Notes an answer; false if it was noted before.
    fn remember(&mut self, answer: &KeptAnswer) -> bool {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.clear();
        }
        let mut bytes = answer.title.clone().into_bytes();
        bytes.push(u8::from(answer.is_refuted));
        self.answers.insert(super::entry::digest(&bytes))
    }

    /// Sends an answer to the others, unless it came from them.
    fn share(&mut self, answer: KeptAnswer) {
        if self.remember(&answer) {
            self.commands.push(Command::Share(answer));
        }
    }

    /// Whether a job was submitted here.
    fn is_own(&self, job: JobId) -> bool {
        self.number == Some(job.node())
    }

    fn connected(&mut self) {
        self.is_connected = true;
        self.is_current = false;
        self.nodes.values_mut().for_each(|node| node.heard = self.now);
        // What was seen may be gone: NATS may have lost its data, and counts its revisions from 1 again.
        self.jobs.values_mut().for_each(|job| {
            job.pending = None;
            job.writing = None;
            job.unowned = None;
            job.absent = None;
            job.entry = None;
            job.owner = None;
            job.is_cleared = false;
            job.changed();
        });
    }

    fn disconnected(&mut self) {
        self.is_connected = false;
        let wanted = self
            .jobs
            .iter_mut()
            .filter_map(|(job, known)| known.wanted.take().map(|_| *job));
        let refused = wanted.map(|job| Command::notify(EngineNotice::NotCancelled(job)));
        self.commands.extend(refused);
        let ends = std::mem::take(&mut self.unshared).into_iter();
        self.commands.extend(ends.map(shared));
    }

    fn began(&mut self, jobs: Vec<StoredJob>) {
        // What the engine knew before, it may have forgotten.
        for known in self.jobs.values_mut() {
            if known.location != Location::Ended {
                known.location = Location::Unknown;
            }
        }
        for stored in jobs {
            let job = stored.submission.job;
            let known = self.jobs.entry(job).or_default();
            known.end.clone_from(&stored.end);
            known.location = match stored.end {
                Some(_) => Location::Ended,
                None => Location::Here,
            };
            known.unsent.clone_from(&stored.checkpoint);
            known.is_to_compare = true;
            known.stored = Some(stored);
        }
        self.look_at_all();
    }

    fn committed(&mut self, record: Record) {
        let job = match record {
            Record::Submitted(submission) | Record::Adopted(submission) => {
                let job = submission.job;
                let known = self.jobs.entry(job).or_default();
                if known.location == Location::Unknown {
                    // A store that was restored from a backup may give an ID again, whose entry has been seen.
                    known.is_another = known
                        .entry
                        .as_ref()
                        .is_some_and(|seen| !is_same(&seen.value.submission, &submission));
                    known.stored = Some(StoredJob::unbegun(submission));
                    known.location = Location::Here;
                }
                job
            }
            Record::Checkpoint(checkpoint) => {
                let job = checkpoint.job;
                let Some(known) = self.jobs.get_mut(&job).filter(|known| known.location == Location::Here) else {
                    return;
                };
                known.keep_checkpoint(checkpoint);
                job
            }
            Record::Ended(end) => {
                let job = end.job;
                self.unshared.insert(job);
                if let Some(known) = self.jobs.get_mut(&job) {
                    known.location = Location::Ended;
                    known.end = Some(end);
                    known.drop_checkpoints();
                    // Somebody may wait for it to be written.
                    known.changed();
                }
                job
            }
            Record::Forgotten(job) => {
                let is_own = self.is_own(job);
                // A submission that the store did not take is forgotten there too: the job that the cluster has under
                // that ID is another one.
                let known = self.jobs.get_mut(&job);
                let Some(known) = known.filter(|known| known.location == Location::Ended) else {
                    return;
                };
                if known.is_another {
                    known.forget_own();
                    return self.look_at(job);
                }
                // Also one from before this node joined, whose ID may end in any number.
                let entry = known.entry.as_ref();
                let is_origin = entry.is_some_and(|seen| seen.value.origin == self.name);
                if is_own || is_origin {
                    if !self.is_connected {
                        // Seen again at the next connection, it is shown, and forgotten again.
                        self.jobs.remove(&job);
                        return;
                    }
                    known.is_forgotten = true;
                    known.changed();
                }
                job
            }
            Record::Answer(answer) => return self.share(answer),
            Record::AnswerRefuted(title) => return self.share(KeptAnswer::refuted(title, self.wall)),
            Record::Refuted(job) => {
                let Some(known) = self.jobs.get_mut(&job) else { return };
                if let Some(end) = known.end.as_mut().filter(|end| end.reply.is_ok()) {
                    end.reply = Err(job.refuted());
                    known.changed();
                }
                job
            }
            Record::Resumed(_) | Record::Starts(..) | Record::AnswerForgotten(_) | Record::AnswersForgotten => return,
        };
        self.look_at(job);
    }

    /// A client cancels a job that another node works on: it has ended so when that is written.
    fn cancelled(&mut self, end: End) {
        let (job, is_current) = (end.job, self.is_connected && self.is_current);
        let known = self.jobs.get_mut(&job);
        match known.filter(|known| is_current && known.entry.is_some() && !known.is_another) {
            Some(known) => {
                known.wanted = Some(end);
                known.changed();
                self.look_at(job);
            }
            None => self.commands.push(Command::notify(EngineNotice::NotCancelled(job))),
        }
    }

    fn job_seen(&mut self, job: JobId, revision: u64, entry: Option<JobEntry>) {
        let Some(entry) = entry else {
            return self.job_gone(job, revision);
        };
        let known = self.jobs.entry(job).or_default();
        let stored = known.stored.as_ref();
        known.is_another = stored.is_some_and(|stored| !is_same(&stored.submission, &entry.submission));
        if known.entry.as_ref().is_none_or(|seen| seen.revision <= revision) {
            known
                .stored
                .get_or_insert_with(|| StoredJob::unbegun(entry.submission.clone()));
            known.entry = Some(Seen { revision, value: entry });
            known.changed();
        }
        self.look_at(job);
    }

    /// The entry of a job was removed: where it was submitted it is forgotten, or somebody else has removed what is
    /// still needed.
    fn job_gone(&mut self, job: JobId, revision: u64) {
        let is_own = self.is_own(job);
        let Some(known) = self.jobs.get_mut(&job) else { return };
        if known.entry.as_ref().is_some_and(|seen| seen.revision > revision) {
            return;
        }
        // The node that took it in has removed the entry while this one had no connection. Jobs from before a node
        // joined may have the ID of any.
        let is_forgotten = !is_own && !self.is_current && !self.is_new && !known.is_another && known.entry.is_none();
        if is_forgotten
            && known.location == Location::Here
            && let Some(stored) = &known.stored
        {
            // The engine forgets no job that it works on.
            let away = EngineNotice::Away(stored.without_checkpoint(), "another".to_owned());
            self.commands.push(Command::notify(away));
            known.location = Location::Unknown;
        }
        let is_needed = match known.location {
            Location::Here => true,
            Location::Away(_) => is_own,
            Location::Unknown | Location::Ended => false,
        };
        if is_needed {
            // It is written again.
            known.entry = None;
            known.changed();
            return self.look_at(job);
        }
        // The engine has another job of this ID, which has ended.
        let is_kept = known.is_another && known.location == Location::Ended;
        self.jobs.remove(&job);
        if !is_own && !is_kept {
            self.commands.push(Command::notify(EngineNotice::Forgotten(job)));
        }
        self.confirm_end(job);
    }

    fn owner_seen(&mut self, job: JobId, revision: u64, owner: Option<OwnerEntry>) {
        // All jobs that there ever were leave this mark.
        if owner.is_none() && !self.jobs.contains_key(&job) {
            return;
        }
        let known = self.jobs.entry(job).or_default();
        // The node that has written it now lives, also if its first heartbeat comes later. What was there at the
        // connection may be old.
        let is_new = self.is_current && known.owner.as_ref().is_none_or(|seen| seen.revision < revision);
        let writer = owner.as_ref().and_then(|owner| owner.node.as_deref());
        if let Some(node) = writer.filter(|_| is_new).and_then(|node| self.nodes.get_mut(node)) {
            node.heard = self.now;
        }
        if known.owner.as_ref().is_none_or(|seen| seen.revision <= revision) {
            known.unowned = None;
            known.is_cleared &= owner.is_none();
            known.owner = owner.map(|value| Seen { revision, value });
            known.changed();
        }
        self.look_at(job);
    }

    /// An entry that was seen is gone without a mark, as when its stream was purged.
    fn absent(&mut self, job: JobId, kind: EntryKind) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        match kind {
            EntryKind::Job => known.entry = None,
            EntryKind::Owner => known.owner = None,
        }
        known.changed();
        self.look_at(job);
    }

    fn written(&mut self, job: JobId, serial: u64, result: Result<u64, NatsError>) {
        let Some(known) = self.jobs.get_mut(&job).filter(|known| known.serial == serial) else {
            return;
        };
        known.succeeded(result.is_ok(), self.now);
        if result == Err(NatsError::Refused) && self.unshared.remove(&job) {
            self.commands.push(shared(job));
        }
        // If it was not written, what is there instead will be seen; if nobody knows, it is tried again.
        match (known.writing.take(), result) {
            (Some(Writing::Job(entry)), Err(NatsError::Refused))
                if known.wanted.is_some() && known.wanted == entry.end =>
            {
                known.wanted = None;
                self.commands.push(Command::notify(EngineNotice::NotCancelled(job)));
            }
            (Some(writing), Err(NatsError::Revision)) if known.failures > READ_AGAIN => {
                let kind = match writing {
                    Writing::Job(_) => EntryKind::Job,
                    Writing::Owner(_) => EntryKind::Owner,
                };
                self.commands.push(Command::Read(job, kind));
            }
            (Some(Writing::Job(entry)), Ok(revision)) => {
                known.entry = Some(Seen {
                    revision,
                    value: *entry,
                })
            }
            (Some(Writing::Owner(owner)), Ok(revision)) => {
                known.owner = Some(Seen { revision, value: owner });
                known.unowned = None;
            }
            _ => {}
        }
        self.look_at(job);
    }

    fn loaded(&mut self, job: JobId, result: Result<Option<Checkpoint>, NatsError>) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        known.succeeded(result.is_ok(), self.now);
        if result.is_err() && known.failures == READ_WARN {
            tracing::warn!(
                %job,
                "the checkpoint of a job cannot be read from NATS, and until it can the job does not go on here; it is read again and again: \
                 look at the connection to NATS, or cancel the job and submit it again"
            );
        }
        let owner = known.owner.as_ref().map(|seen| &seen.value);
        let owner = owner.filter(|owner| owner.node.as_deref() == Some(&*self.name));
        if let (Ok(checkpoint), Some(owner), Some(stored)) = (result, owner, &mut known.stored)
            && known.location != Location::Ended
        {
            known.is_to_compare = false;
            let own = stored.checkpoint.as_ref();
            let further = checkpoint
                .filter(|checkpoint| checkpoint.job == job && own.is_none_or(|own| is_further(checkpoint, own)));
            if known.location == Location::Here {
                if further.is_none() {
                    return self.look_at(job);
                }
                // What the engine does now is of no use.
                let away = EngineNotice::Away(stored.without_checkpoint(), self.name.clone());
                self.commands.push(Command::notify(away));
                known.unsent = None;
            }
            if let Some(checkpoint) = further {
                stored.cpu = checkpoint.cpu;
                stored.checkpoint = Some(checkpoint);
            }
            stored.starts = owner.starts;
            stored.resumed += 1;
            known.location = Location::Here;
            // The engine cancels it then by itself.
            known.wanted = None;
            (known.is_further, known.is_saved) = (false, false);
            self.commands
                .push(Command::notify(EngineNotice::TakenOver(stored.clone())));
        }
        self.look_at(job);
    }

    fn look_at_all(&mut self) {
        self.busy = self.owned();
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        for job in jobs {
            self.look_at(job);
        }
    }

    /// Does what is to be done next about a job, and informs the engine of its end once NATS has that.
    fn look_at(&mut self, job: JobId) {
        self.act_on(job);
        self.confirm_end(job);
    }

    /// Informs the engine that NATS has the end of a job, or that it is not to be waited for.
    fn confirm_end(&mut self, job: JobId) {
        if !self.unshared.contains(&job) {
            return;
        }
        // Of a job of another node without an entry nothing is written.
        let is_written = |known: &KnownJob| known.entry.is_some() || self.is_own(job) || !self.is_current;
        let is_to_come = |known: &KnownJob| !known.is_another && !known.knows_its_end() && is_written(known);
        if self.is_connected && self.jobs.get(&job).is_some_and(is_to_come) {
            return;
        }
        self.unshared.remove(&job);
        self.commands.push(shared(job));
    }

    /// Does what is to be done next about a job: one thing, whose outcome is waited for.
    fn act_on(&mut self, job: JobId) {
        if !self.is_connected || !self.is_current {
            return;
        }
        let is_over =
            |known: &KnownJob| !known.is_forgotten && known.ended_elsewhere().is_some() && known.is_seen_to_its_end();
        let known = self.jobs.get_mut(&job);
        let Some(known) = known.filter(|known| !known.is_another && !is_over(known)) else {
            return;
        };
        // NATS has no entry of it, and the node that took it in writes none: nothing more is heard of it.
        if known.entry.is_none() && matches!(known.location, Location::Away(_)) && self.number != Some(job.node()) {
            let since = *known.absent.get_or_insert(self.now);
            if self.now.saturating_duration_since(since) >= ABSENT {
                self.jobs.remove(&job);
                self.commands.push(Command::notify(EngineNotice::Forgotten(job)));
            }
            return;
        }
        known.absent = None;
        let owner = known.owner_node().and_then(|node| self.nodes.get(node));
        let was_heard = owner.is_some();
        let lives = owner.is_some_and(|node| self.now.saturating_duration_since(node.heard) < DEAD);
        if known.pending.is_some_and(|until| self.now < until) || known.wait_until.is_some_and(|at| self.now < at) {
            return;
        }
        if known.is_forgotten {
            if known.owner.is_some() && !known.is_cleared {
                known.is_cleared = true;
                self.commands.push(Command::Clear(job));
            }
            match known.entry {
                Some(_) => {
                    known.pending = Some(self.now + COMMAND_LIMIT);
                    self.commands.push(Command::Forget(job));
                }
                None => drop(self.jobs.remove(&job)),
            }
            return;
        }
        let mut next = Next {
            job,
            me: &self.name,
            number: self.number,
            now: self.now,
            wall: self.wall,
            is_draining: self.is_draining,
            is_closing: self.is_closing,
            busy: self.busy,
            was_heard,
            commands: &mut self.commands,
        };
        next.decide(known, lives);
    }
}

/// Informs the engine that the end of a job is waited for no longer.
fn shared(job: JobId) -> Command {
    Command::notify(EngineNotice::EndShared(job))
}
