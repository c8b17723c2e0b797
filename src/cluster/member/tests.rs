//! One node, by what it is shown and what it does then.

use super::*;
use crate::proto::{Code, Failure, Reply, Value};
use crate::store::{End, Submission};

/// A job of this ID.
pub(super) fn submission(job: JobId) -> Submission {
    Submission::of_request(job, "pi 7")
}

fn entry(job: JobId) -> Option<JobEntry> {
    Some(JobEntry {
        submission: submission(job),
        origin: "b".to_owned(),
        end: None,
    })
}

fn owned_by(node: &str, starts: u32) -> Option<OwnerEntry> {
    Some(OwnerEntry {
        node: Some(node.to_owned()),
        starts,
    })
}

pub(super) fn node_entry(name: &str) -> NodeEntry {
    NodeEntry {
        name: name.to_owned(),
        version: "1".to_owned(),
        workers: 1,
        free: 0,
        running: 0,
        owned: 0,
        parts_done: 0,
        is_worker_only: false,
    }
}

fn neighbour(name: &str) -> Input {
    Input::NodeSeen(node_entry(name))
}

/// Node 1, which is connected and has seen that there is nothing.
pub(super) fn connected(now: Instant) -> Member {
    let mut member = Member::new("a".to_owned(), Some(1), now);
    for input in [Input::Began(Vec::new()), Input::Connected, Input::Current] {
        member.handle(input, now);
    }
    member
}

/// What a node does about these.
fn commands(member: &mut Member, inputs: impl IntoIterator<Item = Input>, now: Instant) -> Vec<Command> {
    for input in inputs {
        member.handle(input, now);
    }
    member.take_commands()
}

/// Whether the engine learns that a job is forgotten.
fn is_forgotten(commands: &[Command], job: JobId) -> bool {
    commands.contains(&Command::notify(EngineNotice::Forgotten(job)))
}

#[test]
fn a_job_that_ended_and_was_forgotten_while_a_node_was_cut_off_is_forgotten_there_too() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("b", 0)),
    ];
    let done = commands(&mut member, seen, now);
    assert!(
        matches!(&done[..], [Command::Notify(notice)] if matches!(**notice, EngineNotice::Away(..))),
        "{done:?}"
    );
    let back = [
        Input::Disconnected,
        Input::Connected,
        Input::JobSeen(job, 9, None),
        Input::OwnerSeen(job, 8, None),
        Input::Current,
    ];
    assert!(is_forgotten(&commands(&mut member, back, now), job));
    assert!(member.jobs.is_empty(), "{:?}", member.jobs);
}

#[test]
fn an_entry_that_is_removed_while_its_job_is_worked_on_is_written_again() {
    let now = Instant::now();
    for job in [JobId(7_001), JobId(7_002)] {
        let mut member = connected(now);
        let began = [Input::Began(vec![StoredJob::unbegun(submission(job))])];
        let writing = |commands: &[Command], of: EntryKind| match commands {
            [Command::Put { serial, kind, .. }] if *kind == of => *serial,
            other => panic!("{other:?}"),
        };
        let serial = writing(&commands(&mut member, began, now), EntryKind::Owner);
        let serial = writing(
            &commands(&mut member, [Input::Written(job, serial, Ok(1))], now),
            EntryKind::Job,
        );
        let late = [
            Input::Written(job, serial, Ok(3)),
            Input::Loaded(job, Ok(None)),
            Input::JobSeen(job, 2, None),
        ];
        assert_eq!(
            commands(&mut member, late, now),
            [Command::Load(job)],
            "it was removed before it was written"
        );
        writing(
            &commands(&mut member, [Input::JobSeen(job, 4, None)], now),
            EntryKind::Job,
        );
    }
}

#[test]
fn a_job_that_was_taken_over_more_often_than_can_be_is_taken_over_again() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("b", u32::MAX)),
    ];
    commands(&mut member, seen, now);
    (1..=5).for_each(|step| member.tick(now + 2 * step * Duration::from_secs(1)));
    let taken = member.take_commands();
    assert!(
        matches!(
            taken[..],
            [Command::Put {
                kind: EntryKind::Owner,
                ..
            }]
        ),
        "nobody works on it: {taken:?}"
    );
}

#[test]
fn owners_of_jobs_that_are_gone_are_not_remembered() {
    let now = Instant::now();
    let mut member = connected(now);
    for number in 0..100 {
        member.handle(Input::OwnerSeen(JobId(number * 1_000 + 2), number, None), now);
    }
    assert!(member.jobs.is_empty());
}

#[test]
fn a_job_does_not_go_on_from_the_checkpoint_of_another() {
    for (of, is_used) in [(JobId(7_002), true), (JobId(8_002), false)] {
        let (now, job) = (Instant::now(), JobId(7_002));
        let mut member = connected(now);
        let seen = [
            Input::JobSeen(job, 1, entry(job)),
            Input::OwnerSeen(job, 2, owned_by("a", 1)),
        ];
        let asked = commands(&mut member, seen, now);
        assert_eq!(asked.last(), Some(&Command::Load(job)));
        let checkpoint = Checkpoint {
            job: of,
            saved_at: Timestamp::from_millis(0),
            progress: 0.5,
            cpu: Duration::ZERO,
            bytes: (*b"state").into(),
        };
        let loaded = commands(&mut member, [Input::Loaded(job, Ok(Some(checkpoint)))], now);
        let taken = loaded.iter().find_map(|command| match command {
            Command::Notify(notice) => match &**notice {
                EngineNotice::TakenOver(stored) => Some(stored.checkpoint.is_some()),
                _ => None,
            },
            _ => None,
        });
        assert_eq!(taken, Some(is_used), "{of}");
    }
}

/// A node with a job that stays alone: the cluster has another one under its ID.
fn with_another(job: JobId, now: Instant) -> Member {
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let mut other = submission(job);
    other.request = "pi 8".to_owned();
    let inputs = [
        Input::Began(vec![StoredJob::unbegun(other)]),
        Input::Connected,
        Input::JobSeen(job, 1, entry(job)),
        Input::Current,
    ];
    assert_eq!(commands(&mut member, inputs, now), [], "it is not of the cluster");
    member
}

#[test]
fn a_job_that_stays_alone_does_not_hold_up_the_end_of_its_node() {
    let now = Instant::now();
    let mut member = with_another(JobId(7_002), now);
    assert_eq!(commands(&mut member, [Input::Close], now), []);
    assert!(member.is_settled());
}

#[test]
fn names_of_nodes_that_cannot_all_be_are_not_all_remembered() {
    let now = Instant::now();
    let mut member = connected(now);
    for number in 0..=MAX_NEIGHBOURS {
        member.handle(neighbour(&format!("n{number}")), now);
    }
    assert_eq!(member.nodes.len(), MAX_NEIGHBOURS);
    let later = now + Duration::from_secs(1);
    member.handle(neighbour("n0"), later);
    assert_eq!(member.nodes["n0"].heard, later, "those that are known are heard");
}

/// An end of a job.
fn end(job: JobId, reply: Reply) -> End {
    End {
        job,
        ended_at: Timestamp::from_millis(9),
        cpu: Duration::ZERO,
        reply,
    }
}

#[test]
fn a_job_that_ended_here_in_another_way_than_in_the_cluster_ends_as_there() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [neighbour("b"), Input::JobSeen(job, 1, entry(job))];
    commands(&mut member, seen, now);
    let cancelled = end(job, Err(Failure::new(Code::Cancelled, "it was cancelled")));
    let written = end(job, Ok(Value::from(4)));
    let here = [Input::Committed(vec![Record::Ended(cancelled)])];
    let tried = commands(&mut member, here, now);
    assert!(
        matches!(
            tried[..],
            [Command::Put {
                kind: EntryKind::Job,
                ..
            }]
        ),
        "{tried:?}"
    );
    let mut ended = entry(job).expect("it is an entry");
    ended.end = Some(written.clone());
    let shown = commands(&mut member, [Input::JobSeen(job, 2, Some(ended))], now);
    assert!(shown.is_empty(), "what was tried is under way: {shown:?}");
    let late = commands(&mut member, [Input::Written(job, 1, Err(NatsError::Revision))], now);
    let is_shown = |command: &Command| match command {
        Command::Notify(notice) => matches!(&**notice, EngineNotice::Ended(_, end) if *end == written),
        _ => false,
    };
    let later = now + Duration::from_secs(1);
    member.tick(later);
    let all = [late, member.take_commands()].concat();
    assert_eq!(all.iter().filter(|command| is_shown(command)).count(), 1, "{all:?}");
    member.tick(later + Duration::from_secs(1));
    assert_eq!(member.take_commands(), [], "once is enough");
}

#[test]
fn a_job_of_another_node_that_nats_has_no_more_is_forgotten_after_a_while() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        Input::JobSeen(job, 1, entry(job)),
        Input::Disconnected,
        Input::Connected,
        Input::Current,
    ];
    assert!(
        !is_forgotten(&commands(&mut member, seen, now), job),
        "it may be written again"
    );
    (1..=4).for_each(|step| member.tick(now + 2 * step * Duration::from_secs(1)));
    assert!(!is_forgotten(&member.take_commands(), job), "it still may be");
    (5..=7).for_each(|step| member.tick(now + 2 * step * Duration::from_secs(1)));
    assert!(is_forgotten(&member.take_commands(), job));
    assert!(member.jobs.is_empty(), "{:?}", member.jobs);
}

#[test]
fn an_entry_that_is_gone_without_a_mark_is_written_anew() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = connected(now);
    let mut revisions = Vec::new();
    member.handle(Input::OwnerSeen(job, 5, owned_by("b", 0)), now);
    member.handle(Input::Began(vec![StoredJob::unbegun(submission(job))]), now);
    for step in 0..80 {
        member.tick(now + Duration::from_millis(250) * step);
        for command in member.take_commands() {
            let answer = match command {
                Command::Put {
                    serial, revision: 0, ..
                } => Input::Written(job, serial, Ok(9)),
                Command::Put { serial, revision, .. } => {
                    revisions.push(revision);
                    Input::Written(job, serial, Err(NatsError::Revision))
                }
                Command::Read(job, kind) => Input::Absent(job, kind),
                _ => continue,
            };
            member.handle(answer, now + Duration::from_millis(250) * step);
        }
    }
    let known = &member.jobs[&job];
    assert_eq!(known.owner.as_ref().map(|seen| seen.revision), Some(9));
    assert_eq!(revisions, [5, 5, 5]);
}

#[test]
fn a_cancel_at_another_node_is_written_before_it_counts_and_refused_without_a_connection() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let cancelled = end(job, Err(Failure::new(Code::Cancelled, "it was cancelled")));
    let refused = Command::notify(EngineNotice::NotCancelled(job));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        Input::JobSeen(job, 4, entry(job)),
        Input::OwnerSeen(job, 5, owned_by("b", 0)),
    ];
    commands(&mut member, seen, now);
    let asked = commands(&mut member, [Input::Cancelled(cancelled.clone())], now);
    let [
        Command::Put {
            serial,
            kind: EntryKind::Job,
            revision: 4,
            bytes,
            ..
        },
    ] = &asked[..]
    else {
        panic!("{asked:?}");
    };
    let written = JobEntry::read(bytes).expect("it is an entry");
    assert_eq!(written.end.as_ref(), Some(&cancelled));
    let shown = commands(&mut member, [Input::Written(job, *serial, Ok(6))], now);
    let is_shown = |command: &Command| match command {
        Command::Notify(notice) => matches!(&**notice, EngineNotice::Ended(_, end) if *end == cancelled),
        _ => false,
    };
    assert!(shown.iter().any(is_shown), "{shown:?}");
    let mut member = connected(now);
    let cut = [
        Input::JobSeen(job, 4, entry(job)),
        Input::Cancelled(cancelled.clone()),
        Input::Disconnected,
    ];
    assert_eq!(commands(&mut member, cut, now).last(), Some(&refused));
    assert_eq!(commands(&mut member, [Input::Cancelled(cancelled)], now), [refused]);
}

#[test]
fn a_node_that_has_left_is_none_at_once_and_its_jobs_are_taken_over() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        neighbour("c"),
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("b", 0)),
    ];
    let is_take_over = |command: &Command| {
        matches!(
            command,
            Command::Put {
                kind: EntryKind::Owner,
                ..
            }
        )
    };
    assert!(!commands(&mut member, seen, now).iter().any(is_take_over), "b lives");
    let done = commands(&mut member, [Input::NodeLeft("b".to_owned())], now);
    assert!(done.iter().any(is_take_over), "{done:?}");
    assert!(member.neighbours().all(|node| node.entry.name == "c"));
    member.handle(neighbour("b"), now);
    assert_eq!(member.neighbours().count(), 2, "it is back");
}

#[test]
fn a_node_that_comes_back_keeps_the_jobs_that_it_writes() {
    let (start, job) = (Instant::now(), JobId(7_002));
    let is_take_over = |command: &Command| {
        let is_owner = |kind: &EntryKind| *kind == EntryKind::Owner;
        matches!(command, Command::Put { kind, .. } if is_owner(kind))
    };
    for has_left in [false, true] {
        let mut member = connected(start);
        member.handle(neighbour("b"), start);
        if has_left {
            member.handle(Input::NodeLeft("b".to_owned()), start);
        }
        (1..=6).for_each(|step| member.tick(start + 2 * step * Duration::from_secs(1)));
        let back = start + Duration::from_secs(12);
        let written = [
            Input::OwnerSeen(job, 1, owned_by("b", 0)),
            Input::JobSeen(job, 2, entry(job)),
        ];
        let done = commands(&mut member, written, back);
        assert!(!done.iter().any(is_take_over), "b has just written it: {done:?}");
        // Nothing more is heard.
        (1..=5).for_each(|step| member.tick(back + 2 * step * Duration::from_secs(1)));
        assert!(member.take_commands().iter().any(is_take_over), "b is dead");
    }
}

/// A checkpoint of a job that is so far.
fn at(job: JobId, progress: f64) -> Checkpoint {
    Checkpoint {
        job,
        saved_at: Timestamp::from_millis(0),
        progress,
        cpu: Duration::ZERO,
        bytes: (*b"state").into(),
    }
}

/// A job whose store has this checkpoint.
fn restored(job: JobId, progress: f64) -> Input {
    Input::Began(vec![StoredJob {
        checkpoint: Some(at(job, progress)),
        ..StoredJob::unbegun(submission(job))
    }])
}

/// How far the jobs are that a node takes over, and the checkpoints that it saves.
fn progress_of(commands: &[Command]) -> (Vec<f64>, Vec<f64>) {
    let progress = |checkpoint: &Checkpoint| checkpoint.progress;
    let taken = commands.iter().filter_map(|command| match command {
        Command::Notify(notice) => match &**notice {
            EngineNotice::TakenOver(stored) => Some(stored.checkpoint.as_ref().map_or(0.0, progress)),
            _ => None,
        },
        _ => None,
    });
    let saved = commands.iter().filter_map(|command| match command {
        Command::Save(checkpoint) => Some(checkpoint.progress),
        _ => None,
    });
    (taken.collect(), saved.collect())
}

#[test]
fn a_job_goes_on_from_the_furthest_checkpoint_after_a_restart() {
    let (start, job) = (Instant::now(), JobId(7_001));
    // In NATS; whose job it is there; taken over, and saved.
    for (in_nats, owner, taken, saved) in [
        (Some(0.2), "b", vec![0.2], vec![]),
        (Some(0.2), "a", vec![0.2], vec![]),
        (Some(0.01), "b", vec![], vec![0.05]),
        (None, "b", vec![], vec![0.05]),
    ] {
        let mut member = Member::new("a".to_owned(), Some(1), start);
        let back = [
            restored(job, 0.05),
            Input::Connected,
            Input::JobSeen(job, 1, entry(job)),
            Input::OwnerSeen(job, 2, owned_by(owner, 0)),
            Input::Current,
        ];
        let mut all = commands(&mut member, back, start);
        if owner == "b" {
            assert_eq!(all, [], "b may live");
            (1..=4).for_each(|step| member.tick(start + 2 * step * Duration::from_secs(1)));
            let taking = member.take_commands();
            let [Command::Put { serial, kind, .. }] = &taking[..] else {
                panic!("{taking:?}");
            };
            assert_eq!(*kind, EntryKind::Owner);
            let now = start + Duration::from_secs(8);
            all = commands(&mut member, [Input::Written(job, *serial, Ok(3))], now);
        }
        assert_eq!(all, [Command::Load(job)], "it is saved before it is compared");
        let now = start + Duration::from_secs(8);
        let loaded = Input::Loaded(job, Ok(in_nats.map(|progress| at(job, progress))));
        let done = commands(&mut member, [loaded], now);
        assert_eq!(progress_of(&done), (taken, saved), "{in_nats:?} {owner}");
    }
}

#[test]
fn starts_of_a_job_count_until_it_has_come_further_than_where_it_was_taken_over() {
    let (mut now, job) = (Instant::now(), JobId(7_001));
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let back = [
        restored(job, 0.05),
        Input::Connected,
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("a", 3)),
        Input::Current,
        Input::Loaded(job, Ok(None)),
    ];
    let saved = commands(&mut member, back, now);
    assert_eq!(saved.last(), Some(&Command::Save(at(job, 0.05))));
    let further = Checkpoint {
        bytes: (*b"other").into(),
        ..at(job, 0.06)
    };
    for (checkpoint, is_written) in [(at(job, 0.05), false), (further, true)] {
        now += Duration::from_secs(3);
        let inputs = [
            Input::Saved(job, Ok(())),
            Input::Committed(vec![Record::Checkpoint(checkpoint)]),
            Input::Saved(job, Ok(())),
        ];
        let done = commands(&mut member, inputs, now);
        let owner = |command: &Command| {
            matches!(
                command,
                Command::Put {
                    kind: EntryKind::Owner,
                    ..
                }
            )
        };
        assert_eq!(done.iter().any(owner), is_written, "{done:?}");
    }
}

#[test]
fn a_job_that_is_taken_back_goes_on_from_what_this_node_has_if_that_is_further() {
    for (in_nats, taken) in [(Some(0.5), 0.5), (Some(0.01), 0.05), (None, 0.05)] {
        let (now, job) = (Instant::now(), JobId(7_001));
        let mut member = Member::new("a".to_owned(), Some(1), now);
        let inputs = [
            restored(job, 0.05),
            Input::Connected,
            neighbour("b"),
            Input::JobSeen(job, 1, entry(job)),
            Input::OwnerSeen(job, 2, owned_by("b", 0)),
            Input::Current,
            Input::OwnerSeen(job, 3, owned_by("a", 1)),
        ];
        let asked = commands(&mut member, inputs, now);
        assert_eq!(asked.last(), Some(&Command::Load(job)));
        let loaded = Input::Loaded(job, Ok(in_nats.map(|progress| at(job, progress))));
        let done = commands(&mut member, [loaded], now);
        assert_eq!(progress_of(&done).0, [taken], "{in_nats:?}");
    }
}

#[test]
fn a_job_that_was_forgotten_while_the_node_that_had_it_was_down_is_not_begun_again() {
    // Whose job it is; whether the node joins for the first time; whether it lets go of the job.
    for (job, is_new, is_let_go) in [
        (JobId(7_002), false, true),
        (JobId(7_001), false, false),
        (JobId(7_002), true, false),
    ] {
        let now = Instant::now();
        let mut member = Member::new("a".to_owned(), Some(1), now).new_to_the_cluster(is_new);
        let back = [
            restored(job, 0.5),
            Input::Connected,
            Input::JobSeen(job, 9, None),
            Input::Current,
        ];
        let done = commands(&mut member, back, now);
        assert_eq!(is_forgotten(&done, job), is_let_go, "{job} {is_new} {done:?}");
        let is_put = done.iter().any(|command| matches!(command, Command::Put { .. }));
        assert_eq!(is_put, !is_let_go, "{job} {is_new} {done:?}");
    }
}

#[test]
fn a_job_that_begins_later_is_not_given_up_because_its_nodes_were_cut_off() {
    for (begins, starts) in [(None, 5), (Some(100), 5), (Some(300), 4)] {
        let (start, job) = (Instant::now(), JobId(7_002));
        let mut member = connected(start);
        member.set_wall(Timestamp::from_millis(200));
        let mut later = entry(job).expect("it is an entry");
        later.submission.not_before = begins.map(Timestamp::from_millis);
        let seen = [
            Input::JobSeen(job, 1, Some(later)),
            Input::OwnerSeen(job, 2, owned_by("b", 4)),
        ];
        commands(&mut member, seen, start);
        (1..=5).for_each(|step| member.tick(start + 2 * step * Duration::from_secs(1)));
        let taken = member.take_commands();
        let [Command::Put { bytes, .. }] = &taken[..] else {
            panic!("{taken:?}");
        };
        assert_eq!(OwnerEntry::read(bytes), owned_by("a", starts), "{begins:?}");
    }
}

#[test]
fn a_job_whose_id_was_given_before_has_no_other_jobs_end() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let mut before = entry(job).expect("it is an entry");
    before.submission.request = "pi 8".to_owned();
    before.end = Some(end(job, Ok(Value::from(4))));
    let inputs = [
        Input::Began(Vec::new()),
        Input::Connected,
        Input::JobSeen(job, 1, Some(before)),
        Input::Committed(vec![Record::Submitted(submission(job))]),
        Input::Current,
    ];
    assert_eq!(commands(&mut member, inputs, now), [], "it stays alone");
}

#[test]
fn a_job_is_left_to_the_node_that_works_on_it_when_nats_has_lost_its_data() {
    let (start, job) = (Instant::now(), JobId(7_001));
    let mut member = connected(start);
    let lost = [
        neighbour("b"),
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("b", 0)),
        Input::Disconnected,
        Input::Connected,
        Input::Current,
    ];
    let written = commands(&mut member, lost, start);
    let Some(Command::Put { serial, kind, .. }) = written.last() else {
        panic!("{written:?}");
    };
    assert_eq!(*kind, EntryKind::Job);
    let written = Input::Written(job, *serial, Ok(1));
    let at = |seconds| start + Duration::from_secs(seconds);
    member.handle(written, at(1));
    (2..=8).for_each(|second| member.tick(at(second)));
    assert_eq!(member.take_commands(), [], "b may be about to be back");
    let back = [neighbour("b"), Input::OwnerSeen(job, 2, owned_by("b", 0))];
    assert_eq!(commands(&mut member, back, at(8)), []);
    (9..=12).for_each(|second| member.tick(at(second)));
    assert_eq!(member.take_commands(), [], "b works on it");
}

#[test]
fn a_cancel_that_nats_refuses_to_write_is_refused() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let cancelled = end(job, Err(Failure::new(Code::Cancelled, "it was cancelled")));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        Input::JobSeen(job, 4, entry(job)),
        Input::OwnerSeen(job, 5, owned_by("b", 0)),
    ];
    commands(&mut member, seen, now);
    let asked = commands(&mut member, [Input::Cancelled(cancelled)], now);
    let [Command::Put { serial, .. }] = &asked[..] else {
        panic!("{asked:?}");
    };
    let full = [Input::Written(job, *serial, Err(NatsError::Refused))];
    let refused = Command::notify(EngineNotice::NotCancelled(job));
    assert_eq!(commands(&mut member, full, now), [refused]);
    (1..=60).for_each(|second| member.tick(now + Duration::from_secs(second % 4)));
    assert_eq!(member.take_commands(), [], "nothing is cancelled later");
}

#[test]
fn a_job_from_before_a_node_joined_is_removed_from_nats_when_it_is_forgotten() {
    for (origin, is_removed) in [("a", true), ("b", false)] {
        let (now, job) = (Instant::now(), JobId(2));
        let mut member = connected(now);
        let mut ended = entry(job).expect("it is an entry");
        ended.origin = origin.to_owned();
        ended.end = Some(end(job, Ok(Value::from(4))));
        let inputs = [
            Input::JobSeen(job, 1, Some(ended)),
            Input::Committed(vec![Record::Forgotten(job)]),
        ];
        let done = commands(&mut member, inputs, now);
        assert_eq!(done.contains(&Command::Forget(job)), is_removed, "{origin}: {done:?}");
    }
}

#[test]
fn a_job_whose_entry_cannot_be_removed_is_forgotten_as_soon_as_it_can() {
    let (mut now, job) = (Instant::now(), JobId(7_001));
    let shown = Input::JobSeen(job, 1, Some(ended_entry(job, Ok(Value::from(5)))));
    let mut member = connected(now);
    let inputs = [shown.clone(), Input::Committed(vec![Record::Forgotten(job)])];
    let done = commands(&mut member, inputs, now);
    assert_eq!(done.last(), Some(&Command::Forget(job)));
    let full = [Input::Removed(job, Err(NatsError::Refused))];
    assert_eq!(commands(&mut member, full, now), []);
    now += Duration::from_secs(1);
    member.tick(now);
    assert_eq!(member.take_commands(), [Command::Forget(job)], "it is tried again");
    // NATS lost that it is removed, or never heard of it.
    let inputs = [
        Input::Removed(job, Ok(())),
        Input::Disconnected,
        Input::Connected,
        shown,
        Input::Current,
    ];
    assert_eq!(commands(&mut member, inputs, now), [Command::Forget(job)]);
    let inputs = [Input::Removed(job, Ok(())), Input::JobSeen(job, 3, None)];
    assert_eq!(commands(&mut member, inputs, now), []);
    assert!(member.jobs.is_empty(), "{:?}", member.jobs);
}

#[test]
fn a_job_that_nats_has_no_entry_of_is_forgotten_at_once() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = connected(now);
    let inputs = [
        Input::Committed(vec![Record::Submitted(submission(job))]),
        Input::Committed(vec![Record::Ended(end(job, Ok(Value::from(5))))]),
        Input::Written(job, 1, Err(NatsError::Refused)),
    ];
    commands(&mut member, inputs, now);
    let done = commands(&mut member, [Input::Committed(vec![Record::Forgotten(job)])], now);
    assert_eq!(done, []);
    assert!(member.jobs.is_empty(), "{:?}", member.jobs);
    // The other way round it has an owner, who is removed.
    let mut member = connected(now);
    let inputs = [
        Input::Committed(vec![Record::Submitted(submission(job))]),
        Input::Written(job, 1, Ok(1)),
        Input::OwnerSeen(job, 1, owned_by("a", 0)),
        Input::Committed(vec![Record::Ended(end(job, Ok(Value::from(5))))]),
        Input::Written(job, 2, Err(NatsError::Refused)),
        Input::Committed(vec![Record::Forgotten(job)]),
    ];
    let done = commands(&mut member, inputs, now);
    assert!(done.contains(&Command::Clear(job)), "{done:?}");
}

#[test]
fn a_checkpoint_that_nats_does_not_take_is_sent_again_unless_there_is_a_later_one() {
    let (mut now, job) = (Instant::now(), JobId(7_001));
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let back = [
        restored(job, 0.05),
        Input::Connected,
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("a", 0)),
        Input::Current,
        Input::Loaded(job, Ok(None)),
    ];
    commands(&mut member, back, now);
    for later in [None, Some(at(job, 0.06))] {
        let expected = later.clone().unwrap_or_else(|| at(job, 0.05));
        let inputs = [
            Input::Committed(later.into_iter().map(Record::Checkpoint).collect()),
            Input::Saved(job, Err(NatsError::Refused)),
        ];
        assert_eq!(commands(&mut member, inputs, now), []);
        now += Duration::from_secs(3);
        member.tick(now);
        assert_eq!(member.take_commands(), [Command::Save(expected)]);
    }
    // A node that ends does not wait for room.
    let inputs = [Input::Close, Input::Saved(job, Err(NatsError::Refused))];
    assert_eq!(commands(&mut member, inputs, now), []);
    member.tick(now + Duration::from_secs(3));
    let left = OwnerEntry { node: None, starts: 0 };
    let done = member.take_commands();
    assert!(
        matches!(&done[..], [Command::Put { kind: EntryKind::Owner, bytes, .. }] if *bytes == left.to_bytes()),
        "{done:?}"
    );
}

/// A job that has ended with this, as its entry shows it.
fn ended_entry(job: JobId, reply: Reply) -> JobEntry {
    JobEntry {
        end: Some(end(job, reply)),
        ..entry(job).expect("it is an entry")
    }
}

#[test]
fn a_refuted_answer_is_taken_in_after_the_jobs_that_had_it() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let refuted = KeptAnswer::refuted("pi 7".to_owned(), Timestamp::from_millis(9));
    let inputs = [
        Input::Began(Vec::new()),
        Input::Connected,
        Input::AnswerSeen(refuted.clone()),
        Input::JobSeen(job, 1, Some(ended_entry(job, Ok(Value::from(5))))),
        Input::Current,
    ];
    let done = commands(&mut member, inputs, now);
    let [Command::Notify(first), Command::Notify(second)] = &done[..] else {
        panic!("{done:?}");
    };
    assert!(matches!(**first, EngineNotice::Ended(..)), "{first:?}");
    assert_eq!(**second, EngineNotice::Answer(refuted));
}

#[test]
fn that_the_answer_of_a_job_was_refuted_is_written_for_the_other_nodes() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let refuted = end(job, Err(job.refuted()));
    let is_written = |commands: &[Command]| match commands {
        [
            Command::Put {
                kind: EntryKind::Job,
                revision: 1,
                bytes,
                ..
            },
        ] => JobEntry::read(bytes).is_some_and(|entry| entry.end == Some(refuted.clone()) && entry.origin == "b"),
        _ => false,
    };
    let shown = Input::JobSeen(job, 1, Some(ended_entry(job, Ok(Value::from(5)))));
    let mut member = connected(now);
    commands(&mut member, [shown.clone()], now);
    let done = commands(&mut member, [Input::Committed(vec![Record::Refuted(job)])], now);
    assert!(is_written(&done), "{done:?}");
    let rest = commands(&mut member, [Input::Written(job, 1, Ok(2))], now);
    assert_eq!(rest, [], "all is said");
    // The same after a restart, if it was not written before.
    let mut member = Member::new("a".to_owned(), Some(1), now);
    let stored = StoredJob {
        end: Some(refuted.clone()),
        ..StoredJob::unbegun(submission(job))
    };
    let inputs = [Input::Began(vec![stored]), Input::Connected, shown, Input::Current];
    let done = commands(&mut member, inputs, now);
    assert!(is_written(&done), "{done:?}");
}

#[test]
fn a_node_that_is_shown_that_an_answer_was_refuted_gives_it_no_more() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let mut member = connected(now);
    let seen = [
        Input::JobSeen(job, 1, Some(ended_entry(job, Ok(Value::from(5))))),
        Input::JobSeen(job, 2, Some(ended_entry(job, Err(job.refuted())))),
    ];
    let done = commands(&mut member, seen, now);
    let Some(Command::Notify(notice)) = done.last() else {
        panic!("{done:?}");
    };
    assert!(
        matches!(&**notice, EngineNotice::Ended(_, end) if end.reply == Err(job.refuted())),
        "{notice:?}"
    );
}

#[test]
fn a_job_that_stays_alone_is_forgotten_without_the_job_of_the_cluster() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = with_another(job, now);
    let inputs = [
        Input::OwnerSeen(job, 2, owned_by("b", 0)),
        Input::Committed(vec![Record::Ended(end(job, Ok(Value::from(4))))]),
    ];
    assert_eq!(commands(&mut member, inputs, now), [shared(job)]);
    let done = commands(&mut member, [Input::Committed(vec![Record::Forgotten(job)])], now);
    let shown = EngineNotice::Away(StoredJob::unbegun(submission(job)), "b".to_owned());
    assert_eq!(done, [Command::Notify(Box::new(shown))]);
}

#[test]
fn a_submission_that_the_store_did_not_take_is_forgotten_without_the_job_of_the_cluster() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = connected(now);
    let seen = [
        neighbour("b"),
        Input::JobSeen(job, 1, entry(job)),
        Input::OwnerSeen(job, 2, owned_by("b", 0)),
    ];
    commands(&mut member, seen, now);
    let forgotten = Input::Committed(vec![Record::Forgotten(job)]);
    assert_eq!(commands(&mut member, [forgotten], now), []);
}

#[test]
fn a_job_that_nats_has_no_room_for_does_not_hold_up_the_end_of_its_node() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let mut member = connected(now);
    let submitted = [Input::Committed(vec![Record::Submitted(submission(job))])];
    let done = commands(&mut member, submitted, now);
    let [Command::Put { serial, .. }] = &done[..] else {
        panic!("{done:?}");
    };
    let full = [Input::Written(job, *serial, Err(NatsError::Refused)), Input::Close];
    assert_eq!(commands(&mut member, full, now), []);
    assert!(member.is_settled());
}

/// Whether the engine learns that the end of a job is waited for no longer.
fn is_shared(commands: &[Command], job: JobId) -> bool {
    commands.contains(&shared(job))
}

/// Node 1, which works on a job that NATS has, and its end, which the store has.
fn with_an_end(job: JobId, now: Instant) -> (Member, End, Vec<Command>) {
    let mut member = connected(now);
    let end = end(job, Ok(Value::from(4)));
    let inputs = [
        Input::Committed(vec![Record::Submitted(submission(job))]),
        Input::JobSeen(job, 1, entry(job)),
        Input::Written(job, 1, Ok(2)),
        Input::Committed(vec![Record::Ended(end.clone())]),
    ];
    let done = commands(&mut member, inputs, now);
    (member, end, done)
}

#[test]
fn the_engine_learns_that_an_end_is_in_nats_or_cannot_be() {
    let (now, job) = (Instant::now(), JobId(7_001));
    let other = JobEntry {
        end: Some(end(job, Err(Failure::new(Code::Cancelled, "it was cancelled")))),
        ..entry(job).expect("there is one")
    };
    let first_elsewhere = vec![
        Input::Written(job, 2, Err(NatsError::Revision)),
        Input::JobSeen(job, 3, Some(other.clone())),
    ];
    let outcomes = [
        (vec![Input::Written(job, 2, Ok(3))], true),
        (vec![Input::Written(job, 2, Err(NatsError::Unreachable))], false),
        (vec![Input::Written(job, 2, Err(NatsError::Refused))], true),
        (vec![Input::Disconnected], true),
        (vec![Input::Written(job, 2, Err(NatsError::Revision))], false),
        (first_elsewhere.clone(), true),
        (vec![Input::JobSeen(job, 3, None)], true),
    ];
    for (inputs, is_known) in outcomes {
        let (mut member, _, done) = with_an_end(job, now);
        assert!(
            matches!(
                done.last(),
                Some(Command::Put {
                    serial: 2,
                    kind: EntryKind::Job,
                    ..
                })
            ),
            "{done:?}"
        );
        assert!(!is_shared(&done, job));
        let done = commands(&mut member, inputs.clone(), now);
        assert_eq!(is_shared(&done, job), is_known, "{inputs:?}: {done:?}");
    }
    // The end of the cluster is known before it is said that there is one.
    let (mut member, ..) = with_an_end(job, now);
    let done = commands(&mut member, first_elsewhere, now);
    assert!(
        matches!(&done[..], [Command::Notify(first), .., Command::Notify(last)]
            if matches!(**first, EngineNotice::Ended(..)) && **last == EngineNotice::EndShared(job)),
        "{done:?}"
    );
    // The store has that end, too.
    let replaced = Record::Ended(other.end.expect("it has one"));
    let done = commands(&mut member, [Input::Committed(vec![replaced])], now);
    assert!(is_shared(&done, job), "{done:?}");
}

#[test]
fn an_end_that_nats_does_not_have_to_know_is_waited_for_by_nobody() {
    let (now, job) = (Instant::now(), JobId(7_002));
    let ended = || Input::Committed(vec![Record::Ended(end(job, Ok(Value::from(4))))]);
    let alone = Member::new("a".to_owned(), Some(1), now);
    for mut member in [alone, connected(now), with_another(job, now)] {
        let done = commands(&mut member, [ended()], now);
        assert!(is_shared(&done, job), "{done:?}");
    }
}
