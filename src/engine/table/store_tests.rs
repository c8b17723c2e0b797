//! The table beside a store that is driven by hand: what is said once is true after a crash, and what was acknowledged
//! goes on.

use super::flow::MAX_CHECKPOINT;
use super::submitted::Location;
use super::tests::{MS, PLAIN, Play, Script, job, long, new_submit, submit};
use super::*;
use crate::engine::external::{ExternalLane, ExternalTask};
use crate::engine::message::{Ask, Order, Policy, Priority, Selection, Subject, Submit, Work};
use crate::engine::restored::Restored;
use crate::job::Job;
use crate::store::{Checkpoint, Record, Submission, Timestamp};

/// A table with a store that has these jobs, with their works and the number of their starts that count; all of them
/// may begin.
fn restored(policy: Policy, jobs: Vec<(StoredJob, Work)>) -> Play {
    let mut play = Play::new(policy);
    let now = play.now;
    let ids = jobs.iter().map(|(stored, _)| stored.submission.job).collect();
    let jobs = jobs.into_iter().map(|(stored, work)| Restored {
        stored,
        subject: Ok(Subject::Work(work)),
    });
    play.table.restore(jobs.collect(), 9, now);
    play.table.acknowledge(ids, now);
    play
}

pub(super) fn stored(id: u64, priority: Priority, checkpoint: Option<f64>) -> StoredJob {
    let job = JobId(id);
    let time = Timestamp::from_millis(1);
    let mut stored = StoredJob::unbegun(Submission {
        owner: "10.0.0.9".into(),
        priority,
        submitted_at: time,
        ..Submission::of_request(job, "as asked")
    });
    stored.checkpoint = checkpoint.map(|progress| Checkpoint {
        job,
        saved_at: time,
        progress,
        cpu: MS,
        bytes: (*b"bytes").into(),
    });
    stored
}

pub(super) fn with_store() -> Play {
    restored(Policy::default(), Vec::new())
}

/// What was to be written since the last time.
fn starts(play: &mut Play) -> Vec<Record> {
    let records = play.table.take_records().into_iter();
    let is_count = |record: &Record| matches!(record, Record::Starts(..) | Record::Resumed(_));
    records.filter(is_count).collect()
}

#[test]
fn a_start_counts_only_while_a_job_is_worked_on() {
    let jobs = vec![
        (stored(1, Priority::Normal, None), long("first", 2_000)),
        (stored(2, Priority::Low, None), long("second", 9)),
    ];
    let mut play = restored(Policy::default(), jobs);
    assert_eq!(
        starts(&mut play),
        [Record::Resumed(JobId(1)), Record::Resumed(JobId(2))]
    );
    play.express();
    let first = play.long("first");
    for _ in 0..9 {
        assert_eq!(play.bulk(), Some(first), "the other has low priority");
        play.wait(200 * MS);
    }
    assert_eq!(starts(&mut play), [Record::Starts(JobId(2), 0)], "it was not its fault");
    play.table.flow.end(first, Ok(1.into()));
    assert_eq!(play.bulk(), None, "the second begins when that is written");
    assert_eq!(starts(&mut play), [Record::Starts(JobId(2), 1)]);
    play.table.counted(vec![(JobId(2), 0)], play.now);
    assert_eq!(play.bulk(), None, "that was said before");
    play.table.counted(vec![(JobId(2), 1)], play.now);
    assert_eq!(play.bulk(), Some(play.long("second")));
}

#[test]
fn a_job_that_goes_on_is_not_given_up_for_an_equal_question_that_has_just_begun() {
    let ahead = Job::new("pi", || Ahead {
        absorbed: 50,
        has_tables: false,
    });
    let mut play = restored(
        Policy::default(),
        vec![(stored(1, Priority::Normal, Some(0.5)), Work::Plan(ahead))],
    );
    // The question turns out long first, and the plan of the job does not know yet how far it is.
    play.ask(
        1,
        1,
        Work::Plan(Job::new("pi", || Ahead {
            absorbed: 0,
            has_tables: false,
        })),
    );
    let mut tasks = play.table.next_express(2);
    tasks.extend(play.table.next_express(2));
    assert_eq!(tasks.len(), 2);
    for task in tasks.into_iter().rev() {
        play.play(task);
    }
    let running = play.long("pi");
    assert_eq!(play.table.len(), 1, "they are one");
    assert!(
        play.table
            .flow
            .bulk
            .progress(running)
            .is_some_and(|(done, _)| done >= 0.5)
    );
    assert!(matches!(play.table.flow.submitted.location(JobId(1)), Location::Running(work) if work == running));
    play.play_on();
    assert_eq!(play.heard(), ["1/1 ok 100"]);
}

#[test]
fn who_waits_for_a_job_that_is_forgotten_elsewhere_learns_that() {
    let mut play = with_store();
    let (job, now) = (JobId(1_002), play.now);
    play.table
        .set_away(stored(1_002, Priority::Normal, None), "b".into(), now);
    play.order(2, 1, Ask::Result(job), |_| {});
    play.order(2, 2, Ask::Watch(job), |_| {});
    assert_eq!(play.heard(), [""; 0], "another node works on it");
    play.table.forget_away(job, now);
    let mut heard = play.heard();
    heard.sort();
    assert_eq!(heard, ["2/1 no-job", "2/2 no-job"]);
    play.table.ends_settled(vec![job], None, now);
    play.order(2, 3, Ask::Result(job), |_| {});
    assert_eq!(play.heard(), ["2/3 no-job"]);
    play.assert_empty();
    play.table.forget_away(job, now);
    assert!(matches!(play.table.flow.submitted.location(job), Location::Unknown));
}

#[test]
fn a_job_that_is_worked_on_here_goes_on_when_it_is_forgotten_elsewhere() {
    let mut play = with_store();
    let job = submit_stored(&mut play, 1, long("a", 9));
    play.table.forget_away(job, play.now);
    play.order(2, 1, Ask::Result(job), |_| {});
    play.play_on();
    play.table.ends_settled(vec![job], None, play.now);
    assert_eq!(play.heard(), ["2/1 ok 9"]);
}

/// A plan of a hundred slices that goes on from some, and knows how many when it has made its tables.
struct Ahead {
    absorbed: u64,
    has_tables: bool,
}

impl crate::job::Plan for Ahead {
    type Slice = ();
    type Partial = ();

    fn cut(&mut self) -> Option<()> {
        (self.absorbed < 100).then_some(())
    }

    fn run((): (), _: crate::job::Budget<'_>) {}

    fn absorb(&mut self, (): ()) {
        self.has_tables = true;
        self.absorbed += 1;
    }

    fn answer(&mut self) -> Option<Value> {
        (self.absorbed >= 100).then(|| self.absorbed.into())
    }

    fn progress(&self) -> f64 {
        match self.has_tables {
            true => self.absorbed as f64 / 100.0,
            false => 0.0,
        }
    }
}

/// Submits a job, which the store takes at once.
pub(super) fn submit_stored(play: &mut Play, request: u64, work: Work) -> JobId {
    let job = play.table.flow.submitted.next();
    play.order(1, request, submit(work), |_| {});
    play.table.acknowledge(vec![job], play.now);
    play.heard();
    job
}

#[test]
fn a_result_is_sent_when_the_store_has_it() {
    let mut play = with_store();
    let job = submit_stored(&mut play, 1, long("a", 9));
    play.order(2, 1, Ask::Result(job), |_| {});
    play.play_on();
    play.order(3, 1, Ask::Result(job), |_| {});
    assert_eq!(play.heard(), [""; 0], "a crash would forget it");
    play.table.ends_settled(vec![job], None, play.now);
    assert_eq!(play.heard(), ["2/1 ok 9", "3/1 ok 9"]);
    play.order(3, 2, Ask::Result(job), |_| {});
    assert_eq!(play.heard(), ["3/2 ok 9"]);
    play.assert_empty();
}

#[test]
fn a_cancel_is_confirmed_when_the_store_has_it_and_a_store_that_fails_says_so() {
    let failure = Failure::new(Code::Store, "full");
    for (outcome, expected) in [(None, "2/2 ok"), (Some(&failure), "2/2 store")] {
        let mut play = with_store();
        let job = submit_stored(&mut play, 1, long("a", 9));
        play.order(2, 1, Ask::Watch(job), |_| {});
        play.order(2, 2, Ask::Cancel(job), |_| {});
        play.order(4, 1, Ask::Result(job), |_| {});
        play.leave(4);
        assert_eq!(play.heard(), [""; 0]);
        play.table.ends_settled(vec![job], outcome, play.now);
        assert_eq!(play.heard(), ["2/1 cancelled", expected]);
        play.assert_empty();
    }
    let mut play = with_store();
    let jobs: Vec<JobId> = (1..=2)
        .map(|request| submit_stored(&mut play, request, long("a", 9)))
        .collect();
    play.order(1, 3, Ask::CancelMany(Selection::Own), |_| {});
    assert_eq!(play.heard(), [""; 0]);
    play.table.ends_settled(jobs, None, play.now);
    assert_eq!(play.heard(), ["1/3 ok cancelled=2"]);
}

#[test]
fn at_the_end_nobody_waits_for_a_store_that_does_not_answer() {
    let mut play = with_store();
    let job = submit_stored(&mut play, 1, long("a", 9));
    play.play_on();
    play.order(2, 1, Ask::Result(job), |_| {});
    let other = submit_stored(&mut play, 2, long("b", 9));
    play.order(2, 2, Ask::Cancel(other), |_| {});
    assert_eq!(play.heard(), [""; 0]);
    play.table.refuse_all(&Failure::new(Code::Draining, "as asked"));
    let mut heard = play.heard();
    heard.sort();
    assert_eq!(heard, ["2/1 ok 9", "2/2 draining"]);
    play.table.ends_settled(vec![job, other], None, play.now);
    assert_eq!(play.heard(), [""; 0], "each has one reply");
}

#[test]
fn at_the_end_a_submit_that_the_store_has_not_confirmed_is_not_promised_to_go_on() {
    let mut play = with_store();
    submit_stored(&mut play, 1, long("a", 9));
    let other = play.table.flow.submitted.next();
    play.order(1, 2, submit(long("b", 9)), |_| {});
    play.table.drain(play.now);
    assert_eq!(play.heard(), [""; 0]);
    play.table.refuse_all(&Failure::new(Code::Cancelled, "as asked"));
    assert_eq!((play.heard(), play.table.unstored()), (vec!["1/2 store".to_owned()], 1));
    play.table.acknowledge(vec![other], play.now);
    assert_eq!(play.heard(), [""; 0], "it has one reply");
}

#[test]
fn a_submit_that_is_cancelled_before_its_id_is_known_leaves_no_job() {
    let mut play = with_store();
    play.order(1, 1, submit(long("a", 9)), |_| {});
    play.cancel(1, 1);
    play.table.acknowledge(vec![JobId(10)], play.now);
    play.play_on();
    assert!(matches!(play.table.flow.submitted.location(JobId(10)), Location::Ended));
    play.assert_empty();
}

#[test]
fn submits_whose_answer_is_known_are_bounded_while_the_store_does_not_take_them() {
    let mut play = Play::new(Policy {
        max_submitted: 5,
        ..Policy::default()
    });
    play.table.restore(Vec::new(), 0, play.now);
    let known = || {
        submit(Subject::Known {
            title: "nth 5".into(),
            value: 11.into(),
        })
    };
    for request in 1..=20 {
        play.order(1, request, known(), |_| {});
    }
    assert_eq!(play.heard().len(), 10, "the others wait for the store");
    play.table.acknowledge((1..=10).map(JobId).collect(), play.now);
    assert_eq!(play.heard().len(), 10);
    play.order(1, 21, known(), |_| {});
    assert_eq!(play.heard(), [""; 0], "there is room again");
}

#[test]
fn a_job_that_was_taken_in_under_a_larger_limit_waits_for_it() {
    let policy = Policy {
        max_memory: 100,
        ..Policy::default()
    };
    let huge = || {
        job(
            "huge",
            Script {
                slices: 9,
                memory: 101,
                ..PLAIN
            },
        )
    };
    let mut play = restored(policy, vec![(stored(1, Priority::Normal, None), huge())]);
    play.ask(1, 1, huge());
    play.play_on();
    assert_eq!(play.heard(), ["1/1 too-big"]);
    assert!(matches!(
        play.table.flow.submitted.location(JobId(1)),
        Location::Running(_)
    ));
    let ends = |record: &Record| matches!(record, Record::Ended(_));
    assert!(!play.table.take_records().iter().any(ends));
    play.order(1, 2, Ask::Cancel(JobId(1)), |_| {});
    play.table.ends_settled(vec![JobId(1)], None, play.now);
    assert_eq!(play.heard(), ["1/2 ok"]);
    play.assert_empty();
}

#[test]
fn a_key_is_free_when_its_job_is_forgotten() {
    let mut play = Play::new(Policy {
        max_finished_age: 1_000 * MS,
        ..Policy::default()
    });
    let keyed = || {
        let mut submit = new_submit(long("a", 1));
        submit.key = Some("mine".into());
        Ask::Submit(Box::new(submit))
    };
    let ask = |play: &mut Play, request| {
        play.order(1, request, keyed(), |_: &mut Order| {});
        play.play_on();
        play.heard()
    };
    assert_eq!(ask(&mut play, 1), ["1/1 ok job=1"]);
    assert_eq!(ask(&mut play, 2), ["1/2 ok job=1"]);
    play.wait(3_000 * MS);
    assert_eq!(ask(&mut play, 3), ["1/3 ok job=2"]);
}

#[test]
fn all_cpu_time_of_a_user_is_charged() {
    let limits = UserLimits {
        cpu: Some(1),
        ..UserLimits::default()
    };
    let user = Payer {
        account: Account::User(crate::auth::UserName::parse("ann").expect("a name")),
        client: ClientId(7),
    };
    let charged = |play: &mut Play| {
        let question = vec![(RequestId(99), crate::job::Query::Pi(7).into())];
        play.table.take_in_plain(user, question, play.now);
        play.heard().iter().any(|heard| heard == "7/99 busy")
    };
    // A plain question whose first slice was not enough, and a job of an earlier process.
    let mut job = stored(1, Priority::Normal, None);
    job.submission.owner = user.account.to_string();
    for is_restored in [false, true] {
        let mut play = match is_restored {
            true => restored(Policy::default(), vec![(job.clone(), long("a", 900))]),
            false => with_store(),
        };
        play.table.set_limits(user, limits, play.now);
        if !is_restored {
            let Work::Plan(question) = long("a", 900) else { continue };
            play.table.take_in_plain(user, vec![(RequestId(1), question)], play.now);
        }
        play.express();
        // Many others meanwhile.
        for request in 0..300 {
            play.ask(1, request, long("b", 1));
        }
        play.express();
        for _ in 0..700 {
            assert!(play.bulk().is_some());
        }
        play.heard();
        assert!(charged(&mut play), "{is_restored}");
    }
}

#[test]
fn a_deferred_job_is_worked_on_for_others_when_it_is_cancelled() {
    let quarantined = |id, priority, title: &str| {
        let mut stored = stored(id, priority, None);
        stored.starts = 2;
        (stored, long(title, 300))
    };
    let mut play = restored(
        Policy::default(),
        vec![
            quarantined(1, Priority::Low, "first"),
            quarantined(2, Priority::Normal, "second"),
            (stored(3, Priority::Normal, None), long("third", 300)),
        ],
    );
    let next = Record::Resumed(JobId(2));
    assert!(!starts(&mut play).contains(&next), "they go on one at a time");
    play.express();
    for _ in 0..9 {
        assert_eq!(play.bulk(), Some(play.long("third")));
        play.wait(20 * MS);
    }
    assert!(starts(&mut play).contains(&next), "the first is deferred");
    play.table.acknowledge(vec![JobId(2)], play.now);
    play.express();
    play.ask(4, 1, long("first", 300));
    let first = play.long("first");
    let slices: Vec<Task> = (0..9).filter_map(|_| play.table.next_bulk()).collect();
    assert!(
        slices.iter().all(|slice| slice.work != first),
        "the second is in quarantine too"
    );
    assert_eq!(starts(&mut play), []);
    play.order(5, 1, Ask::Cancel(JobId(1)), |_| {});
    slices.into_iter().for_each(|slice| play.play(slice));
    play.play_on();
    assert_eq!(play.heard(), ["4/1 ok 300"]);
}

#[test]
fn jobs_that_are_cancelled_before_they_begin_leave_nothing() {
    let mut play = with_store();
    for request in 0..3 {
        let job = play.table.flow.submitted.next();
        let mut later = new_submit(long("a", 9));
        later.after = Some(Duration::from_secs(86_400));
        play.order(1, request, Ask::Submit(Box::new(later)), |_| {});
        play.table.acknowledge(vec![job], play.now);
        let hour = Duration::from_secs(3_600);
        let soon = play.table.next_alarm().is_some_and(|at| at < play.now + hour);
        assert!(soon, "the clocks are compared");
        play.order(1, 10 + request, Ask::Cancel(job), |_| {});
        assert!(play.table.next_alarm() > Some(play.now + hour), "it is forgotten then");
    }
    play.assert_empty();
}

#[test]
fn a_job_is_as_urgent_as_it_is_to_those_who_wait_for_it() {
    let low = (stored(1, Priority::Low, None), long("low", 300));
    let mut play = restored(Policy::default(), vec![low]);
    play.express();
    let low = play.long("low");
    assert_eq!(play.bulk(), Some(low));
    play.ask(2, 1, long("other", 300));
    play.express();
    let other = play.long("other");
    let of_low = |play: &mut Play| (0..10).filter(|_| play.bulk() == Some(low)).count();
    assert_eq!(of_low(&mut play), 0);
    play.ask(3, 1, long("low", 300));
    assert!(of_low(&mut play) > 0, "a client waits for it");
    play.order(4, 1, Ask::Watch(JobId(1)), |_| {});
    play.cancel(3, 1);
    assert_eq!(
        of_low(&mut play),
        0,
        "who watches it is content with what it was submitted for"
    );
    assert_eq!(play.bulk(), Some(other));
}

#[test]
fn a_cancel_of_a_job_that_has_stopped_for_the_next_process_is_refused() {
    let mut play = with_store();
    play.order(1, 1, submit(long("a", 90)), |_| {});
    play.table.acknowledge(vec![JobId(10)], play.now);
    assert_eq!(play.heard(), ["1/1 ok job=10"]);
    play.table.drain(play.now);
    let jobs = Selection::Jobs(vec![JobId(10), JobId(99)]);
    for (request, ask) in [
        (2, Ask::Cancel(JobId(10))),
        (3, Ask::CancelMany(Selection::Own)),
        (4, Ask::CancelMany(jobs)),
        (5, Ask::Result(JobId(10))),
    ] {
        play.order(1, request, ask, |_| {});
        assert_eq!(play.heard(), [format!("1/{request} draining")]);
    }
}

/// A submit with a key.
pub(super) fn keyed(title: &str, words: &str) -> Ask {
    Ask::Submit(Box::new(Submit {
        request: words.to_owned(),
        key: Some("mine".to_owned()),
        ..new_submit(long(title, 90))
    }))
}

/// Whether the end of job 10 is to be written.
fn has_ended(play: &mut Play) -> bool {
    let records = play.table.take_records();
    records
        .iter()
        .any(|record| matches!(record, Record::Ended(end) if end.job == JobId(10)))
}

#[test]
fn the_same_words_with_the_same_key_are_the_same_job() {
    let mut play = with_store();
    let titles = [("random 64 draw=1", "random 64"), ("random 64 draw=2", "random 64")];
    for (request, (title, words)) in (1..).zip(titles) {
        play.order(1, request, keyed(title, words), |_| {});
    }
    play.table.acknowledge(vec![JobId(10)], play.now);
    assert_eq!(play.heard(), ["1/1 ok job=10", "1/2 ok job=10"]);
    play.order(1, 3, keyed("random 65 draw=3", "random 65"), |_| {});
    assert_eq!(play.heard(), ["1/3 bad-arg"]);
}

#[test]
fn a_job_ends_when_all_who_submitted_it_have_cancelled_that() {
    for is_late in [false, true] {
        let mut play = with_store();
        for (client, request) in [(1, 1), (1, 2)] {
            play.order(client, request, keyed("a", "a"), |_| {});
        }
        if is_late {
            // The ID is on its way to clients that have cancelled.
            play.table.acknowledge(vec![JobId(10)], play.now);
        }
        play.cancel(1, 1);
        assert!(!has_ended(&mut play));
        play.cancel(1, 2);
        assert!(has_ended(&mut play));
    }
}

#[test]
fn those_who_wait_for_a_submitted_job_count_as_all_who_wait() {
    let policy = Policy {
        max_jobs_per_account: 2,
        ..Policy::default()
    };
    let mut play = restored(policy, Vec::new());
    play.order(1, 1, submit(long("a", 90)), |_| {});
    play.table.acknowledge(vec![JobId(10)], play.now);
    for (request, ask) in [(2, Ask::Result(JobId(10))), (3, Ask::Watch(JobId(10)))] {
        play.order(1, request, ask, |_| {});
    }
    play.heard();
    for (request, ask) in [(4, Ask::Result(JobId(10))), (5, Ask::Watch(JobId(10)))] {
        play.order(1, request, ask, |_| {});
    }
    assert_eq!(play.heard(), ["1/4 busy", "1/5 busy"]);
}

#[test]
fn a_job_whose_id_somebody_has_goes_on_when_other_submits_are_cancelled() {
    let mut play = with_store();
    play.order(1, 1, keyed("a", "a"), |_| {});
    play.table.acknowledge(vec![JobId(10)], play.now);
    for request in 2..100 {
        play.order(2, request, keyed("a", "a"), |_| {});
    }
    play.cancel(1, 1);
    play.cancel(2, 50);
    assert!(!has_ended(&mut play));
    let mut stored = stored(1, Priority::Normal, None);
    stored.submission.key = Some("mine".into());
    stored.submission.request = "first".into();
    stored.submission.title = "first".into();
    let mut play = restored(Policy::default(), vec![(stored, long("first", 900))]);
    play.order(1, 1, keyed("first", "first"), |_| {});
    play.cancel(1, 1);
    let is_end = |record: &Record| matches!(record, Record::Ended(_));
    assert!(
        !play.table.take_records().iter().any(is_end),
        "its ID was given before the restart"
    );
}

#[test]
fn a_checkpoint_that_is_too_large_is_not_kept() {
    for (bytes, kept) in [(9, 1), (MAX_CHECKPOINT + 1, 0)] {
        let mut play = with_store();
        let script = Script {
            slices: 9,
            checkpoint: Some(bytes),
            ..PLAIN
        };
        let id = play.table.flow.submitted.next();
        play.order(1, 1, submit(job("a", script)), |_| {});
        play.table.acknowledge(vec![id], play.now);
        play.express();
        play.table.drain(play.now);
        let records = play.table.take_records().into_iter();
        let checkpoints = records.filter(|record| matches!(record, Record::Checkpoint(_)));
        assert_eq!(checkpoints.count(), kept, "{bytes} bytes");
    }
}

#[test]
fn a_job_that_has_stopped_is_not_cancelled_while_a_client_waits_for_equal_work() {
    let mut play = with_store();
    let job = submit_stored(&mut play, 1, long("a", 90));
    play.express();
    play.ask(2, 1, long("a", 90));
    play.table.drain(play.now);
    for (request, ask) in [
        (2, Ask::Cancel(job)),
        (3, Ask::CancelMany(Selection::Own)),
        (4, Ask::Result(job)),
    ] {
        play.order(1, request, ask, |_| {});
        assert_eq!(play.heard(), [format!("1/{request} draining")]);
    }
    assert!(!has_ended(&mut play));
    play.play_on();
    assert_eq!(play.heard(), ["2/1 ok 90"]);
}

#[test]
fn the_key_of_a_submit_that_was_cancelled_before_its_id_was_known_is_free_also_after_a_restart() {
    for is_late in [false, true] {
        let mut play = with_store();
        play.order(1, 1, keyed("a", "a"), |_| {});
        if is_late {
            play.table.acknowledge(vec![JobId(10)], play.now);
        }
        play.cancel(1, 1);
        play.heard();
        let records = play.table.take_records();
        let end = records.into_iter().find_map(|record| match record {
            Record::Ended(end) => Some(end),
            _ => None,
        });
        play.order(1, 2, keyed("a", "a"), |_| {});
        play.table.acknowledge(vec![JobId(10), JobId(11)], play.now);
        assert_eq!(play.heard(), ["1/2 ok job=11"]);

        let mut cancelled = stored(9, Priority::Normal, None);
        cancelled.submission.key = Some("mine".into());
        cancelled.end = end;
        let mut play = restored(Policy::default(), vec![(cancelled, long("a", 90))]);
        play.order(1, 1, keyed("a", "a"), |_| {});
        play.table.acknowledge(vec![JobId(10)], play.now);
        assert_eq!(play.heard(), ["1/1 ok job=10"]);
    }
}

#[test]
fn a_job_that_was_cancelled_by_its_id_keeps_its_key() {
    let mut play = with_store();
    play.order(1, 1, keyed("a", "a"), |_| {});
    play.table.acknowledge(vec![JobId(10)], play.now);
    play.order(1, 2, Ask::Cancel(JobId(10)), |_| {});
    play.order(1, 3, keyed("a", "a"), |_| {});
    assert_eq!(play.heard(), ["1/1 ok job=10", "1/3 ok job=10"]);
}

#[test]
fn jobs_that_have_stopped_stay_so_in_a_new_table() {
    let mut play = with_store();
    let job = submit_stored(&mut play, 1, long("a", 90));
    play.express();
    play.table.drain(play.now);
    let now = play.now;
    let broken = std::mem::replace(&mut play.table, Table::new(Policy::default(), 1, now));
    let (table, unfinished) = broken.rebuilt(Policy::default(), 1, now);
    play.table = table;
    let unfinished = unfinished.into_iter().map(|stored| Restored {
        stored,
        subject: Ok(Subject::Work(long("a", 90))),
    });
    play.table.resume(unfinished.collect(), now);
    assert!(play.table.next_express(1).is_empty());
    play.order(1, 2, Ask::Cancel(job), |_| {});
    assert_eq!(play.heard(), ["1/2 draining"]);
    play.assert_empty();
}

#[test]
fn a_lack_of_threads_ends_plans_and_nothing_else() {
    let mut play = with_store();
    let cancelled = submit_stored(&mut play, 1, long("a", 90));
    play.order(1, 2, Ask::Cancel(cancelled), |_| {});
    play.table
        .set_away(stored(1_002, Priority::Normal, None), "b".into(), play.now);
    play.order(1, 3, Ask::Result(JobId(1_002)), |_| {});
    play.order(1, 4, Ask::Cancel(JobId(1_002)), |_| {});
    let lane = std::sync::Arc::new(ExternalLane::of_threads("a", 1, 9));
    let nap = ExternalTask::blocking(lane, "nap".into(), |_| Ok(Value::Nothing));
    play.ask(1, 5, nap.into());
    play.ask(2, 1, long("b", 90));
    play.express();
    play.ask(2, 2, long("c", 1));
    play.ask_plain(2, 3, vec![long("d", 1)]);
    play.table.refuse_plans(&Failure::new(Code::Busy, "as asked"));
    let mut heard = play.heard();
    heard.sort();
    assert_eq!(heard, ["2/1 busy", "2/2 busy", "2/3 busy"]);
    play.table.ends_settled(vec![cancelled], None, play.now);
    assert_eq!(play.heard(), ["1/2 ok"]);
    let nap = play.next_external().expect("there is a slot");
    play.table
        .said(nap.work, ActorReply::Reply(Ok(Value::Nothing)), play.now);
    assert_eq!(play.heard(), ["1/5 ok"]);
}
