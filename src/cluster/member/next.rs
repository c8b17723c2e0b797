//! The next step of a job: what this node writes, reads, sends or takes over, by what is known of it.

use super::known::{KnownJob, Location, Seen, Writing};
use super::message::{Command, EngineNotice, EntryKind};
use super::{COMMAND_LIMIT, DEAD, TRANSFER_LIMIT};
use crate::cluster::entry::{JobEntry, OwnerEntry};
use crate::store::{JobId, StoredJob, Timestamp};
use std::time::{Duration, Instant};

/// How often the checkpoint of a job is sent at most.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);

/// What there is to know when the next step of a job is decided.
pub(super) struct Next<'a> {
    pub(super) job: JobId,
    pub(super) me: &'a str,
    pub(super) number: Option<u64>,
    pub(super) now: Instant,
    pub(super) wall: Timestamp,
    pub(super) is_draining: bool,
    pub(super) is_closing: bool,
    /// Jobs that this node works on.
    pub(super) busy: usize,
    /// Its owner was heard of since this node began.
    pub(super) was_heard: bool,
    pub(super) commands: &'a mut Vec<Command>,
}

impl Next<'_> {
    /// `lives`: its owner is another node, which was heard of lately.
    pub(super) fn decide(&mut self, known: &mut KnownJob, lives: bool) {
        let Some(stored) = known.stored.clone() else { return };
        if let Some(end) = known.ended_elsewhere().cloned() {
            known.wanted = None;
            if known.is_refuted()
                && end.reply.is_ok()
                && let Some(Seen { value: entry, .. }) = &known.entry
            {
                // What was written first stays, except where it was found to be wrong.
                let entry = JobEntry {
                    end: known.end.clone(),
                    ..entry.clone()
                };
                return self.put(known, Writing::Job(Box::new(entry)));
            }
            if !known.knows_its_end() {
                // Also if it has ended here in another way: the end that was written first stays.
                known.location = Location::Ended;
                known.end = Some(end.clone());
                known.drop_checkpoints();
                self.commands.push(Command::notify(EngineNotice::Ended(stored, end)));
            }
            let is_to_clear = self.is_own() || self.is_owner(known);
            if is_to_clear && !known.is_cleared && known.owner.is_some() {
                known.is_cleared = true;
                self.commands.push(Command::Clear(self.job));
            }
        } else if known.location == Location::Ended {
            if known.entry.is_none() && !self.is_own() {
                // It is forgotten where it was submitted.
                return;
            }
            let origin = known
                .entry
                .as_ref()
                .map_or(self.me, |seen| &seen.value.origin)
                .to_owned();
            let entry = JobEntry {
                submission: stored.submission,
                origin,
                end: known.end.clone(),
            };
            self.put(known, Writing::Job(Box::new(entry)));
        } else if let (Location::Away(_), Some(end), Some(Seen { value: entry, .. })) =
            (&known.location, &known.wanted, &known.entry)
        {
            let entry = JobEntry {
                end: Some(end.clone()),
                ..entry.clone()
            };
            self.put(known, Writing::Job(Box::new(entry)));
        } else if known.location == Location::Here {
            self.decide_own(known, &stored, lives);
        } else if known.entry.is_some() {
            self.decide_of_others(known, &stored, lives);
        } else if self.is_own() {
            // NATS lost it, and so may have the node that worked on it.
            let entry = JobEntry {
                submission: stored.submission,
                origin: self.me.to_owned(),
                end: None,
            };
            self.put(known, Writing::Job(Box::new(entry)));
        }
    }

    /// The engine works on it.
    fn decide_own(&mut self, known: &mut KnownJob, stored: &StoredJob, lives: bool) {
        let owner = known.owner.as_ref().map(|seen| seen.value.clone());
        match owner {
            Some(OwnerEntry { node: Some(node), .. }) if node != self.me && lives => {
                known.location = Location::Away(node.clone());
                known.unsent = None;
                self.away(stored, node);
            }
            Some(OwnerEntry {
                node: Some(node),
                starts,
            }) if node == self.me => {
                if known.entry.is_none() {
                    let entry = JobEntry {
                        submission: stored.submission.clone(),
                        origin: self.me.to_owned(),
                        end: None,
                    };
                    return self.put(known, Writing::Job(Box::new(entry)));
                }
                if known.is_to_compare {
                    known.pending = Some(self.now + TRANSFER_LIMIT);
                    return self.commands.push(Command::Load(self.job));
                }
                let is_due = |at: Instant| self.now.saturating_duration_since(at) >= CHECKPOINT_EVERY;
                if (self.is_closing || known.sent_at.is_none_or(is_due))
                    && let Some(checkpoint) = known.unsent.take()
                {
                    known.sent_at = Some(self.now);
                    known.pending = Some(self.now + COMMAND_LIMIT);
                    return self.commands.push(Command::Save(checkpoint));
                }
                if self.is_closing {
                    self.put(known, Writing::Owner(OwnerEntry { node: None, starts: 0 }));
                } else if known.is_saved && starts > 0 {
                    let node = Some(self.me.to_owned());
                    self.put(known, Writing::Owner(OwnerEntry { node, starts: 0 }));
                }
            }
            _ if self.is_closing => {}
            owner => {
                // Another node may be about to say that it still works on it, and is further.
                if owner.as_ref().is_some_and(|owner| owner.node.is_some()) && !self.has_waited(known, DEAD) {
                    return;
                }
                known.is_to_compare |= owner.is_some();
                let node = Some(self.me.to_owned());
                self.put(known, Writing::Owner(OwnerEntry { node, starts: 0 }));
            }
        }
    }

    /// The engine does not work on it.
    fn decide_of_others(&mut self, known: &mut KnownJob, stored: &StoredJob, lives: bool) {
        if self.is_owner(known) {
            // What it had of the job is lost, or it has just become the owner.
            if self.number.is_some() && !self.is_draining {
                known.pending = Some(self.now + TRANSFER_LIMIT);
                self.commands.push(Command::Load(self.job));
            }
            return;
        }
        let owner = known.owner.as_ref().map(|seen| seen.value.clone());
        let named = owner.as_ref().and_then(|owner| owner.node.clone());
        let node = named
            .clone()
            .or_else(|| Some(known.entry.as_ref()?.value.origin.clone()));
        let node = node.unwrap_or_default();
        if known.location == Location::Unknown || (lives && known.location != Location::Away(node.clone())) {
            known.location = Location::Away(node.clone());
            self.away(stored, node);
        }
        if lives {
            known.unowned = None;
            return;
        }
        let wait = match &owner {
            Some(OwnerEntry { node: None, .. }) => Duration::ZERO,
            // Where NATS has lost its data, the node that works on it writes that again when it is back.
            Some(_) | None => DEAD,
        };
        // Those that do little are the first.
        let wait = wait + Duration::from_millis(50) * u32::try_from(self.busy.min(20)).unwrap_or(20);
        if self.has_waited(known, wait) && self.number.is_some() && !self.is_draining {
            // A job that begins later is not what ended its node.
            let is_begun = stored.submission.not_before.is_none_or(|at| at <= self.wall);
            let starts = owner
                .map_or(0, |owner| owner.starts)
                .saturating_add(u32::from(named.is_some() && is_begun));
            let node = Some(self.me.to_owned());
            self.put(known, Writing::Owner(OwnerEntry { node, starts }));
        }
    }

    /// It has had no owner that lives for this long. One that was not heard of for long enough is known to be dead.
    fn has_waited(&self, known: &mut KnownJob, wait: Duration) -> bool {
        let since = *known.unowned.get_or_insert(self.now);
        let wait = if self.was_heard {
            wait.saturating_sub(DEAD)
        } else {
            wait
        };
        self.now.saturating_duration_since(since) >= wait
    }

    /// Informs the engine that another node works on it. What this one has saved of it stays here.
    fn away(&mut self, stored: &StoredJob, node: String) {
        let away = EngineNotice::Away(stored.without_checkpoint(), node);
        self.commands.push(Command::notify(away));
    }

    /// It was submitted here.
    fn is_own(&self) -> bool {
        self.number == Some(self.job.node())
    }

    fn is_owner(&self, known: &KnownJob) -> bool {
        known.owner_node() == Some(self.me)
    }

    fn put(&mut self, known: &mut KnownJob, writing: Writing) {
        let (kind, revision, bytes) = match &writing {
            Writing::Job(entry) => (
                EntryKind::Job,
                known.entry.as_ref().map_or(0, |seen| seen.revision),
                entry.to_bytes(),
            ),
            Writing::Owner(owner) => (
                EntryKind::Owner,
                known.owner.as_ref().map_or(0, |seen| seen.revision),
                owner.to_bytes(),
            ),
        };
        known.pending = Some(self.now + COMMAND_LIMIT);
        known.writing = Some(writing);
        known.serial += 1;
        self.commands.push(Command::Put {
            serial: known.serial,
            job: self.job,
            kind,
            revision,
            bytes,
        });
    }
}
