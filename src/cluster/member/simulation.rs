//! Many nodes over a model of what NATS keeps and may lose, with crashes, partitions, and messages that come late or
//! twice: no acknowledged job is lost, none has two ends, and an end of which clients of a connected node heard stays,
//! unless NATS loses it. The seed decides everything.

use super::tests::{connected, node_entry, submission};
use super::*;
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{End, NODES, Submission, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

const STEP: Duration = Duration::from_millis(250);

/// Steps between two checkpoints of a job.
const SAVE_STEPS: u64 = 8;

/// What the nodes share: entries with revisions, and checkpoints.
#[derive(Default)]
struct Shared {
    revision: u64,
    jobs: BTreeMap<JobId, (u64, Vec<u8>)>,
    owners: BTreeMap<JobId, (u64, Vec<u8>)>,
    checkpoints: BTreeMap<JobId, Checkpoint>,
}

impl Shared {
    fn table(&mut self, kind: EntryKind) -> &mut BTreeMap<JobId, (u64, Vec<u8>)> {
        match kind {
            EntryKind::Job => &mut self.jobs,
            EntryKind::Owner => &mut self.owners,
        }
    }

    fn put(&mut self, job: JobId, kind: EntryKind, revision: u64, bytes: Vec<u8>) -> Result<u64, NatsError> {
        self.revision += 1;
        let next = self.revision;
        let table = self.table(kind);
        if table.get(&job).map_or(0, |(revision, _)| *revision) != revision {
            return Err(NatsError::Revision);
        }
        table.insert(job, (next, bytes));
        Ok(next)
    }

    fn seen(&mut self, job: JobId, kind: EntryKind) -> Input {
        let found = self.table(kind).get(&job).cloned();
        let revision = found.as_ref().map_or(self.revision, |(revision, _)| *revision);
        match kind {
            EntryKind::Job => Input::JobSeen(job, revision, found.and_then(|(_, bytes)| JobEntry::read(&bytes))),
            EntryKind::Owner => Input::OwnerSeen(job, revision, found.and_then(|(_, bytes)| OwnerEntry::read(&bytes))),
        }
    }
}

/// A node: its rules, and a model of its engine and its store.
struct Host {
    name: String,
    number: u64,
    member: Option<Member>,
    /// What outlives the process.
    store: BTreeMap<JobId, StoredJob>,
    /// Jobs that the engine works on, and how far each is.
    running: BTreeMap<JobId, f64>,
    ends: BTreeMap<JobId, End>,
    inbox: VecDeque<(u64, Input)>,
    is_cut: bool,
    submitted: u64,
    stopped_until: u64,
}

struct World {
    random: fastrand::Rng,
    start: Instant,
    step: u64,
    shared: Shared,
    hosts: Vec<Host>,
    acknowledged: BTreeSet<JobId>,
    cancelled: BTreeSet<JobId>,
    /// Ends of which clients of connected nodes may have heard, and that NATS has not lost.
    replied: BTreeMap<JobId, Reply>,
    is_shared_up: bool,
    /// No entry can be removed.
    is_full: bool,
}

/// What a job comes to that is cancelled.
fn stopped() -> Reply {
    Err(Failure::new(Code::Cancelled, "it was cancelled"))
}

/// What the answer of a job is.
fn right(job: JobId) -> Reply {
    Ok(Value::from(job.0 * 7))
}

impl World {
    fn new(seed: u64, nodes: u64) -> Self {
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            start: Instant::now(),
            step: 0,
            shared: Shared::default(),
            hosts: Vec::new(),
            acknowledged: BTreeSet::new(),
            cancelled: BTreeSet::new(),
            replied: BTreeMap::new(),
            is_shared_up: true,
            is_full: false,
        };
        for number in 1..=nodes {
            world.hosts.push(Host {
                name: format!("n{number}"),
                number,
                member: None,
                store: BTreeMap::new(),
                running: BTreeMap::new(),
                ends: BTreeMap::new(),
                inbox: VecDeque::new(),
                is_cut: false,
                submitted: 0,
                stopped_until: 0,
            });
            world.start(number as usize - 1);
        }
        world
    }

    fn now(&self) -> Instant {
        self.start + STEP * u32::try_from(self.step).expect("a simulation is short")
    }

    /// Starts the process of a node, which goes on with what its store has.
    fn start(&mut self, index: usize) {
        let now = self.now();
        let host = &mut self.hosts[index];
        let mut member = Member::new(host.name.clone(), Some(host.number), now);
        let stored: Vec<StoredJob> = host.store.values().cloned().collect();
        host.running.clear();
        for job in &stored {
            if job.end.is_none() {
                let done = job.checkpoint.as_ref().map_or(0.0, |saved| saved.progress);
                host.running.insert(job.submission.job, done);
            }
        }
        host.ends = stored
            .iter()
            .filter_map(|job| Some((job.submission.job, job.end.clone()?)))
            .collect();
        member.handle(Input::Began(stored), now);
        host.member = Some(member);
        self.connect(index);
    }

    /// Brings a node everything that there is.
    fn connect(&mut self, index: usize) {
        self.hosts[index].inbox.clear();
        if !self.is_shared_up || self.hosts[index].is_cut {
            return;
        }
        let now = self.now();
        let jobs: Vec<JobId> = self.shared.jobs.keys().copied().collect();
        let owners: Vec<JobId> = self.shared.owners.keys().copied().collect();
        let mut inputs: Vec<Input> = jobs
            .into_iter()
            .map(|job| self.shared.seen(job, EntryKind::Job))
            .collect();
        inputs.extend(owners.into_iter().map(|job| self.shared.seen(job, EntryKind::Owner)));
        let step = self.step;
        let host = &mut self.hosts[index];
        if let Some(member) = &mut host.member {
            member.handle(Input::Connected, now);
        }
        host.inbox
            .extend(inputs.into_iter().chain([Input::Current]).map(|input| (step, input)));
    }

    fn disconnect(&mut self, index: usize) {
        let now = self.now();
        let host = &mut self.hosts[index];
        host.inbox.clear();
        if let Some(member) = &mut host.member {
            member.handle(Input::Disconnected, now);
        }
        self.act(index);
    }

    /// Sends to all that watch, each after a delay of its own, and now and then twice.
    fn publish(&mut self, input: &Input) {
        for host in &mut self.hosts {
            if host.is_cut || host.member.is_none() {
                continue;
            }
            let last = host.inbox.back().map_or(0, |(at, _)| *at);
            let at = last.max(self.step + self.random.u64(0..4));
            host.inbox.push_back((at, input.clone()));
            if self.random.u8(0..10) == 0 {
                host.inbox.push_back((at + 1, input.clone()));
            }
        }
    }

    fn act(&mut self, index: usize) {
        let Some(member) = &mut self.hosts[index].member else {
            return;
        };
        for command in member.take_commands() {
            let reached = self.is_shared_up && !self.hosts[index].is_cut;
            let at = self.step + self.random.u64(0..3);
            // What is written may not be confirmed.
            let is_confirmed = self.random.u8(0..50) > 0;
            let mut answer = None;
            match command {
                Command::Put {
                    serial,
                    job,
                    kind,
                    revision,
                    bytes,
                } => {
                    let mut written = Err(NatsError::Unreachable);
                    if reached {
                        written = self.shared.put(job, kind, revision, bytes);
                        if written.is_ok() {
                            self.check_replied(job);
                            let seen = self.shared.seen(job, kind);
                            self.publish(&seen);
                        }
                        if !is_confirmed {
                            written = Err(NatsError::Unreachable);
                        }
                    }
                    answer = Some(Input::Written(job, serial, written));
                }
                Command::Save(checkpoint) => {
                    let job = checkpoint.job;
                    if reached {
                        self.shared.checkpoints.insert(job, checkpoint);
                    }
                    answer = Some(Input::Saved(job, reached.then_some(()).ok_or(NatsError::Unreachable)));
                }
                Command::Forget(job) => {
                    let mut removed = match (reached, self.is_full) {
                        (true, false) => Ok(()),
                        (true, true) => Err(NatsError::Refused),
                        (false, _) => Err(NatsError::Unreachable),
                    };
                    if removed.is_ok() && self.shared.jobs.remove(&job).is_some() {
                        self.shared.revision += 1;
                        let seen = self.shared.seen(job, EntryKind::Job);
                        self.publish(&seen);
                    }
                    if !is_confirmed {
                        removed = Err(NatsError::Unreachable);
                    }
                    answer = Some(Input::Removed(job, removed));
                }
                Command::Load(job) => {
                    let loaded = match reached {
                        true => Ok(self.shared.checkpoints.get(&job).cloned()),
                        false => Err(NatsError::Unreachable),
                    };
                    answer = Some(Input::Loaded(job, loaded));
                }
                Command::Clear(job) if reached => {
                    self.shared.checkpoints.remove(&job);
                    if self.shared.owners.remove(&job).is_some() {
                        self.shared.revision += 1;
                        let seen = self.shared.seen(job, EntryKind::Owner);
                        self.publish(&seen);
                    }
                }
                Command::Read(job, kind) if reached => {
                    answer = Some(match self.shared.table(kind).contains_key(&job) {
                        true => self.shared.seen(job, kind),
                        false => Input::Absent(job, kind),
                    });
                }
                Command::Notify(notice) => self.notify(index, *notice),
                Command::Read(..) | Command::Clear(_) | Command::Share(_) => {}
            }
            if let Some(answer) = answer {
                let host = &mut self.hosts[index];
                let at = host.inbox.back().map_or(at, |(last, _)| at.max(*last));
                host.inbox.push_back((at, answer));
            }
        }
    }

    fn notify(&mut self, index: usize, notice: EngineNotice) {
        let host = &mut self.hosts[index];
        match notice {
            EngineNotice::Away(job, _) => {
                host.running.remove(&job.submission.job);
            }
            EngineNotice::Ended(job, end) => {
                let id = job.submission.job;
                let is_cancelled = end.reply == stopped() && self.cancelled.contains(&id);
                assert!(is_cancelled || end.reply == right(id), "{id} on {}", host.name);
                host.running.remove(&id);
                if let Some(stored) = host.store.get_mut(&id) {
                    stored.end = Some(end.clone());
                }
                host.ends.insert(id, end);
            }
            EngineNotice::TakenOver(stored) => {
                let id = stored.submission.job;
                if host.ends.contains_key(&id) {
                    return;
                }
                host.running
                    .insert(id, stored.checkpoint.as_ref().map_or(0.0, |saved| saved.progress));
                host.store.insert(id, stored);
            }
            EngineNotice::EndShared(job) => {
                let is_connected = host.member.as_ref().is_some_and(Member::is_connected);
                let end = host.ends.get(&job).filter(|_| is_connected);
                if let Some(end) = end.map(|end| end.reply.clone()) {
                    self.replied.insert(job, end);
                    self.check_replied(job);
                }
            }
            EngineNotice::Forgotten(_) | EngineNotice::NotCancelled(_) | EngineNotice::Answer(_) => {}
        }
    }

    /// NATS has the end that clients heard of.
    fn check_replied(&self, job: JobId) {
        let entry = self.shared.jobs.get(&job).and_then(|(_, bytes)| JobEntry::read(bytes));
        let end = entry.and_then(|entry| entry.end).map(|end| end.reply);
        let replied = self.replied.get(&job);
        assert!(
            replied.is_none() || replied == end.as_ref(),
            "job {job}: {replied:?}, then {end:?}"
        );
    }

    /// A client submits a job to a node, which acknowledges it once its store has it.
    fn submit(&mut self, index: usize) {
        let (now, step) = (self.now(), self.step);
        let host = &mut self.hosts[index];
        let Some(member) = &mut host.member else { return };
        host.submitted += 1;
        let job = JobId(host.submitted * NODES + host.number);
        let submission = Submission {
            submitted_at: Timestamp::from_millis(step),
            ..Submission::of_request(job, format!("pi {job}"))
        };
        host.store.insert(job, StoredJob::unbegun(submission.clone()));
        host.running.insert(job, 0.0);
        member.handle(Input::Committed(vec![Record::Submitted(submission)]), now);
        self.acknowledged.insert(job);
    }

    /// A client cancels a job at some node, which may work on it, perhaps beside others.
    fn cancel(&mut self, index: usize) {
        let (now, step) = (self.now(), self.step);
        let host = &mut self.hosts[index];
        let jobs = self.acknowledged.iter().filter(|job| !host.ends.contains_key(job));
        let (Some(member), Some(&job)) = (&mut host.member, self.random.choice(jobs.collect::<Vec<_>>())) else {
            return;
        };
        self.cancelled.insert(job);
        let end = End {
            job,
            ended_at: Timestamp::from_millis(step),
            cpu: Duration::ZERO,
            reply: stopped(),
        };
        if host.running.remove(&job).is_none() {
            return member.handle(Input::Cancelled(end), now);
        }
        if let Some(stored) = host.store.get_mut(&job) {
            stored.end = Some(end.clone());
        }
        host.ends.insert(job, end.clone());
        member.handle(Input::Committed(vec![Record::Ended(end)]), now);
        // What it says of the end is of the connection that there is now.
        self.act(index);
    }

    /// A quarter of a second of every node.
    fn advance(&mut self) {
        self.step += 1;
        let now = self.now();
        for index in 0..self.hosts.len() {
            if self.hosts[index].member.is_none() || self.hosts[index].stopped_until > self.step {
                continue;
            }
            if self.step.is_multiple_of(8) && self.is_shared_up && !self.hosts[index].is_cut {
                let entry = node_entry(&self.hosts[index].name);
                self.publish(&Input::NodeSeen(entry));
            }
            let speed = self.random.f64() * 0.02;
            let host = &mut self.hosts[index];
            let Some(member) = &mut host.member else { continue };
            let mut records = Vec::new();
            for (job, done) in &mut host.running {
                *done += speed;
                let Some(stored) = host.store.get_mut(job) else {
                    continue;
                };
                if *done >= 1.0 {
                    let end = End {
                        job: *job,
                        ended_at: Timestamp::from_millis(self.step),
                        cpu: Duration::ZERO,
                        reply: right(*job),
                    };
                    stored.end = Some(end.clone());
                    host.ends.insert(*job, end.clone());
                    records.push(Record::Ended(end));
                } else if self.step.is_multiple_of(SAVE_STEPS) {
                    let checkpoint = Checkpoint {
                        job: *job,
                        saved_at: Timestamp::from_millis(self.step),
                        progress: *done,
                        cpu: Duration::ZERO,
                        bytes: Arc::from(&b"state"[..]),
                    };
                    stored.checkpoint = Some(checkpoint.clone());
                    records.push(Record::Checkpoint(checkpoint));
                }
            }
            host.running.retain(|_, done| *done < 1.0);
            if !records.is_empty() {
                member.handle(Input::Committed(records), now);
            }
            while let Some((at, _)) = host.inbox.front()
                && *at <= self.step
                && let Some((_, input)) = host.inbox.pop_front()
            {
                member.handle(input, now);
            }
            member.tick(now);
            self.act(index);
        }
    }

    /// Something goes wrong, or right again.
    fn disturb(&mut self) {
        let index = self.random.usize(..self.hosts.len());
        match self.random.u8(0..12) {
            0 | 1 => {
                let host = &mut self.hosts[index];
                host.member = None;
                host.inbox.clear();
            }
            2..=4 => {
                if self.hosts[index].member.is_none() {
                    self.start(index);
                }
            }
            5 => {
                self.hosts[index].is_cut = true;
                self.disconnect(index);
            }
            6 | 7 => {
                self.hosts[index].is_cut = false;
                self.connect(index);
            }
            8 => self.hosts[index].stopped_until = self.step + self.random.u64(0..240),
            9 if self.random.u8(0..4) == 0 => {
                self.is_shared_up = !self.is_shared_up;
                if self.is_shared_up && self.random.u8(0..3) == 0 {
                    self.shared = Shared::default();
                    self.replied.clear();
                }
                for index in 0..self.hosts.len() {
                    match self.is_shared_up {
                        true => self.connect(index),
                        false => self.disconnect(index),
                    }
                }
            }
            10 if self.random.bool() => self.cancel(index),
            _ => self.submit(index),
        }
    }

    /// Every node forgets the jobs that it took in, which have ended.
    fn forget_all(&mut self) {
        let now = self.now();
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            let jobs = host.ends.keys().filter(|job| job.node() == host.number);
            let jobs: Vec<JobId> = jobs.copied().collect();
            for job in &jobs {
                host.ends.remove(job);
                host.store.remove(job);
            }
            if let Some(member) = &mut host.member {
                member.handle(Input::Committed(jobs.into_iter().map(Record::Forgotten).collect()), now);
            }
            self.act(index);
        }
    }

    /// All is well again.
    fn heal(&mut self) {
        self.is_shared_up = true;
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            host.is_cut = false;
            host.stopped_until = 0;
            match host.member {
                None => self.start(index),
                Some(_) => self.connect(index),
            }
        }
    }
}

fn play(seed: u64, nodes: u64) -> usize {
    let mut world = World::new(seed, nodes);
    for _ in 0..600 {
        if world.random.u8(0..4) == 0 {
            world.disturb();
        }
        world.advance();
    }
    world.heal();
    for _ in 0..600 {
        world.advance();
    }
    let jobs = world.acknowledged.clone();
    for job in &jobs {
        world.check_replied(*job);
        let entry = world.shared.jobs.get(job).and_then(|(_, bytes)| JobEntry::read(bytes));
        let end = entry.and_then(|entry| entry.end).map(|end| end.reply);
        let is_cancelled = end == Some(stopped()) && world.cancelled.contains(job);
        assert!(
            is_cancelled || end == Some(right(*job)),
            "seed {seed}: job {job} has no end"
        );
        for host in &world.hosts {
            assert_eq!(
                host.ends.get(job).map(|end| &end.reply),
                end.as_ref(),
                "seed {seed}: job {job} has another end at {}",
                host.name
            );
            assert!(
                !host.running.contains_key(job),
                "seed {seed}: {} still works on {job}",
                host.name
            );
        }
        assert!(
            !world.shared.owners.contains_key(job),
            "seed {seed}: job {job} has an owner after its end"
        );
    }
    world.is_full = true;
    world.forget_all();
    for _ in 0..60 {
        world.advance();
    }
    world.disconnect(0);
    world.is_full = false;
    world.connect(0);
    for _ in 0..240 {
        world.advance();
    }
    assert!(
        world.shared.jobs.is_empty(),
        "seed {seed}: {:?} are not forgotten",
        world.shared.jobs.keys()
    );
    jobs.len()
}

fn seeds(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// All of it: `PRIMED_CLUSTER_SEEDS=1000 PRIMED_CLUSTER_NODES=50 cargo test --release --lib
/// no_acknowledged_job_is_lost`.
#[test]
fn no_acknowledged_job_is_lost_whatever_fails() {
    let nodes = seeds("PRIMED_CLUSTER_NODES", 5);
    let jobs: usize = (0..seeds("PRIMED_CLUSTER_SEEDS", 40))
        .map(|seed| play(seed, nodes))
        .sum();
    assert!(jobs > 100, "{jobs} jobs show little");
}

/// A node with a job, whose commands all fail, and how many there are in this many steps.
fn commands_that_fail(with: NatsError, steps: u32) -> usize {
    let start = Instant::now();
    let mut member = connected(start);
    let submitted = Record::Submitted(submission(JobId(1_001)));
    member.handle(Input::Committed(vec![submitted]), start);
    let mut count = 0;
    for step in 0..steps {
        let now = start + STEP * step;
        member.tick(now);
        loop {
            let commands = member.take_commands();
            let mut serials = commands.iter().filter_map(|command| match command {
                Command::Put { serial, .. } => Some(*serial),
                _ => None,
            });
            let Some(serial) = serials.next() else { break };
            count += 1;
            assert!(count < 1_000, "it does not stop");
            member.handle(Input::Written(JobId(1_001), serial, Err(with)), now);
        }
    }
    count
}

#[test]
fn what_cannot_be_written_is_tried_again_ever_more_seldom() {
    for with in [NatsError::Revision, NatsError::Unreachable, NatsError::Refused] {
        let in_a_minute = commands_that_fail(with, 240);
        assert!((5..=10).contains(&in_a_minute), "{in_a_minute}");
    }
}

/// Three nodes, the first of which works on a job.
fn with_a_job() -> World {
    let mut world = World::new(1, 3);
    for _ in 0..40 {
        world.advance();
    }
    world.submit(0);
    for _ in 0..20 {
        world.advance();
    }
    world
}

#[test]
fn a_job_of_a_node_that_dies_goes_on_elsewhere_within_15_seconds() {
    let mut world = with_a_job();
    let is_elsewhere = |world: &World| world.hosts[1..].iter().any(|host| !host.running.is_empty());
    assert!(!is_elsewhere(&world), "its owner lives");
    world.hosts[0].member = None;
    let mut steps = 0;
    while !is_elsewhere(&world) {
        world.advance();
        steps += 1;
        assert!(steps <= 60, "it does not go on");
    }
}

#[test]
fn a_node_that_ends_in_good_order_hands_its_jobs_over_at_once() {
    let mut world = with_a_job();
    let now = world.now();
    let host = &mut world.hosts[0];
    host.running.clear();
    host.member.as_mut().expect("it runs").handle(Input::Close, now);
    for _ in 0..12 {
        world.advance();
    }
    assert!(world.hosts[0].member.as_ref().expect("it runs").is_settled());
    assert!(world.hosts[1..].iter().any(|host| !host.running.is_empty()));
}
