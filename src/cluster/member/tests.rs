//! One node, by what it is shown and what it does then.

use super::*;
use crate::store::{Priority, Submission, Timestamp};

/// A job of this ID.
fn submission(job: JobId) -> Submission {
    Submission {
        job,
        request: "pi 7".to_owned(),
        title: "pi 7".to_owned(),
        key: None,
        owner: "process".to_owned(),
        priority: Priority::Normal,
        submitted_at: Timestamp::from_millis(0),
        not_before: None,
        deadline: None,
    }
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

fn neighbour(name: &str) -> Input {
    Input::NodeSeen(NodeEntry {
        name: name.to_owned(),
        version: "1".to_owned(),
        workers: 1,
        free: 0,
        running: 0,
        owned: 0,
        parts_done: 0,
        is_worker_only: false,
    })
}

/// Node 1, which is connected and has seen that there is nothing.
fn connected(now: Instant) -> Member {
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
    commands.contains(&Command::Notify(Box::new(Notice::Forgotten(job))))
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
        matches!(&done[..], [Command::Notify(notice)] if matches!(**notice, Notice::Away(..))),
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
        let writing = |commands: &[Command], of: Entry| match commands {
            [Command::Put { serial, entry, .. }] if *entry == of => *serial,
            other => panic!("{other:?}"),
        };
        let serial = writing(&commands(&mut member, began, now), Entry::Owner);
        let serial = writing(
            &commands(&mut member, [Input::Written(job, serial, Ok(1))], now),
            Entry::Job,
        );
        let late = [Input::Written(job, serial, Ok(3)), Input::JobSeen(job, 2, None)];
        assert_eq!(
            commands(&mut member, late, now),
            [],
            "it was removed before it was written"
        );
        writing(&commands(&mut member, [Input::JobSeen(job, 4, None)], now), Entry::Job);
    }
}
