//! The table of a daemon in a cluster, where jobs of others are known, and taken over.

use super::store_tests::{keyed, stored, submit_stored, with_store};
use super::submitted::Location;
use super::tests::{MS, Play, long, submit};
use super::unwritten::SHARE_LIMIT;
use super::*;
use crate::engine::cluster::JobProgress;
use crate::engine::message::{Ask, Order, Priority, Selection, Subject, Work};
use crate::engine::restored::Restored;
use crate::store::{Contents, End, ErrorKind, Journal, Record, StoreError, Timestamp};

/// A job that another node has taken in, for this owner.
fn of_another(id: u64, owner: &str) -> StoredJob {
    let mut stored = stored(id, Priority::Normal, None);
    owner.clone_into(&mut stored.submission.owner);
    stored
}

fn submitted_by(play: &Play, owner: &str) -> usize {
    let account = owner.parse().expect("it is an account");
    play.table.flow.waiters.counts(account).submitted
}

/// The cluster has written what it was asked to.
fn end_as_asked(play: &mut Play) {
    for end in play.table.take_cancels() {
        let stored = of_another(end.job.0, "ann");
        play.table.end_away(stored, end, play.now);
    }
}

fn take_over(play: &mut Play, stored: StoredJob, work: Work) {
    let subject = Ok(Subject::Work(work));
    play.table.take_over(Restored { stored, subject }, play.now);
}

#[test]
fn jobs_of_other_nodes_count_for_their_owners() {
    let mut play = with_store();
    let (ann, bob) = (of_another(1_001, "ann"), of_another(2_001, "bob"));
    for stored in [&ann, &bob] {
        play.table.set_away(stored.clone(), "b".into(), play.now);
    }
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (1, 1));
    play.order(1, 1, Ask::Cancel(JobId(2_001)), |_| {});
    end_as_asked(&mut play);
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (1, 0));
    play.order(1, 2, Ask::Cancel(JobId(1_001)), |_| {});
    end_as_asked(&mut play);
    assert_eq!((submitted_by(&play, "ann"), submitted_by(&play, "bob")), (0, 0));
    play.assert_empty();
}

#[test]
fn a_submit_is_cancelled_by_its_tag_however_many_jobs_others_have() {
    let mut play = with_store();
    play.table.set_node(1);
    let job = play.table.flow.submitted.next();
    play.order(1, 1, submit(long("a", 9)), |_| {});
    for number in 0..2_100 {
        let stored = of_another((9_000 + number) * 1_000 + 2, "ann");
        play.table.set_away(stored, "b".into(), play.now);
    }
    play.cancel(1, 1);
    play.table.acknowledge(vec![job], play.now);
    assert!(matches!(play.table.flow.submitted.location(job), Location::Ended));
}

#[test]
fn jobs_of_two_owners_that_are_taken_over_take_turns_with_all_others() {
    let mut play = with_store();
    let (ann, bob) = (of_another(1_001, "ann"), of_another(2_001, "bob"));
    play.table.set_away(ann.clone(), "b".into(), play.now);
    take_over(&mut play, ann, long("of ann", 9));
    play.play_on();
    take_over(&mut play, bob, long("of bob", 900));
    play.express();
    assert_eq!(play.bulk(), Some(play.long("of bob")));
    play.ask(3, 1, long("a", 9));
    play.express();
    play.order(4, 1, Ask::Cancel(JobId(2_001)), |_| {});
    play.play_on();
    play.table
        .ends_settled(vec![JobId(1_001), JobId(2_001)], None, play.now);
    assert_eq!(play.heard(), ["3/1 ok 9", "4/1 ok"]);
    play.assert_empty();
}

/// A table in a cluster that works on its own jobs 10 to 12.
fn with_jobs_here() -> Play {
    let mut play = with_store();
    play.table.join(play.now);
    for id in 10..=12 {
        let job = submit_stored(&mut play, id, long(&format!("{id}"), 9));
        assert_eq!(job, JobId(id));
    }
    play
}

#[test]
fn what_is_said_of_an_end_waits_for_the_cluster_too() {
    let mut play = with_jobs_here();
    play.order(2, 1, Ask::Result(JobId(10)), |_| {});
    play.order(2, 2, Ask::Cancel(JobId(11)), |_| {});
    let jobs = vec![JobId(10), JobId(12)];
    play.order(2, 3, Ask::CancelMany(Selection::Jobs(jobs)), |_| {});
    play.order(4, 1, Ask::Result(JobId(10)), |_| {});
    play.leave(4);
    play.play_on();
    let jobs = || (10..=12).map(JobId).collect::<Vec<_>>();
    play.table.ends_settled(jobs(), None, play.now);
    play.order(3, 1, Ask::Result(JobId(11)), |_| {});
    assert_eq!(play.heard(), [""; 0], "another end may be there");
    for (job, heard) in jobs().into_iter().zip([
        &["2/1 cancelled"][..],
        &["3/1 cancelled", "2/2 ok"][..],
        &["2/3 ok cancelled=2"][..],
    ]) {
        play.table.end_shared(job, play.now);
        assert_eq!(play.heard(), heard);
        play.table.end_shared(job, play.now);
    }
    play.order(3, 2, Ask::Result(JobId(11)), |_| {});
    assert_eq!(play.heard(), ["3/2 cancelled"]);
    play.assert_empty();
}

#[test]
fn the_end_that_the_cluster_had_before_is_the_one_that_is_said() {
    let mut play = with_jobs_here();
    play.order(2, 1, Ask::Watch(JobId(10)), |_| {});
    play.order(2, 2, Ask::Cancel(JobId(11)), |_| {});
    let jobs = vec![JobId(12), JobId(11)];
    play.order(2, 3, Ask::CancelMany(Selection::Jobs(jobs)), |_| {});
    play.play_on();
    play.table.ends_settled(vec![JobId(10), JobId(11)], None, play.now);
    let cancelled = Err(Failure::new(Code::Cancelled, "elsewhere"));
    for (job, reply) in [(10, cancelled), (11, Ok(Value::from(9)))] {
        let end = ended(JobId(job), reply);
        play.table.end_away(of_another(job, "ann"), end, play.now);
        play.table.end_shared(JobId(job), play.now);
    }
    assert_eq!(play.heard(), [""; 0], "the store does not have these");
    play.table.ends_settled((10..=12).map(JobId).collect(), None, play.now);
    (10..=12).for_each(|job| play.table.end_shared(JobId(job), play.now));
    assert_eq!(play.heard(), ["2/1 cancelled", "2/2 no-job", "2/3 ok cancelled=1"]);
    play.assert_empty();
}

#[test]
fn a_cancel_that_is_refused_stays_so_if_the_end_is_brought_twice() {
    let mut play = with_jobs_here();
    play.order(2, 1, Ask::Cancel(JobId(11)), |_| {});
    let bring = |play: &mut Play| {
        let end = ended(JobId(11), Ok(Value::from(9)));
        play.table.end_away(of_another(11, "ann"), end, play.now);
    };
    bring(&mut play);
    play.table.ends_settled(vec![JobId(11)], None, play.now);
    bring(&mut play);
    play.table.ends_settled(vec![JobId(11)], None, play.now);
    play.table.end_shared(JobId(11), play.now);
    assert_eq!(play.heard(), ["2/1 no-job"]);
}

#[test]
fn nobody_waits_long_for_the_cluster_or_for_one_that_has_begun_anew() {
    for is_late in [true, false] {
        let mut play = with_jobs_here();
        play.order(2, 1, Ask::Result(JobId(10)), |_| {});
        play.order(2, 2, Ask::Cancel(JobId(11)), |_| {});
        play.play_on();
        play.table.ends_settled(vec![JobId(10), JobId(11)], None, play.now);
        assert_eq!(play.heard(), [""; 0]);
        if is_late {
            let limit = play
                .table
                .flow
                .unwritten
                .next_alarm()
                .expect("the cluster is waited for");
            assert_eq!(limit, play.now + SHARE_LIMIT);
            play.table.tick(limit - MS);
            assert_eq!(play.heard(), [""; 0]);
            play.table.tick(limit);
        } else {
            play.table.join(play.now);
        }
        let mut heard = play.heard();
        heard.sort();
        assert_eq!(heard, ["2/1 ok 9", "2/2 ok"], "late: {is_late}");
        assert_eq!(play.table.flow.unwritten.next_alarm(), None);
        play.table.ends_settled(vec![JobId(12)], None, play.now);
        play.assert_empty();
    }
}

#[test]
fn a_store_that_fails_is_reported_at_once_in_a_cluster_too() {
    let mut play = with_jobs_here();
    play.order(2, 1, Ask::Cancel(JobId(10)), |_| {});
    play.order(2, 2, Ask::CancelMany(Selection::Jobs(vec![JobId(11)])), |_| {});
    let failure = Failure::new(Code::Store, "full");
    let jobs = vec![JobId(10), JobId(11)];
    play.table.ends_settled(jobs.clone(), Some(&failure), play.now);
    assert_eq!(play.heard(), ["2/1 store", "2/2 store"]);
    play.table.ends_settled(jobs, None, play.now);
    play.table.end_shared(JobId(10), play.now);
    assert_eq!(play.heard(), [""; 0], "each has one reply");
}

#[test]
fn a_cancel_of_jobs_here_and_elsewhere_waits_for_both() {
    let mut play = with_jobs_here();
    play.table.set_away(of_another(1_001, "ann"), "b".into(), play.now);
    let jobs = vec![JobId(10), JobId(1_001)];
    play.order(2, 1, Ask::CancelMany(Selection::Jobs(jobs)), |_| {});
    end_as_asked(&mut play);
    play.table.ends_settled(vec![JobId(10), JobId(1_001)], None, play.now);
    play.table.end_shared(JobId(1_001), play.now);
    assert_eq!(play.heard(), [""; 0], "job 10 may have another end");
    play.table.end_shared(JobId(10), play.now);
    assert_eq!(play.heard(), ["2/1 ok cancelled=2"]);
}

fn ended(job: JobId, reply: Reply) -> End {
    End {
        job,
        ended_at: Timestamp::from_millis(9),
        cpu: MS,
        reply,
    }
}

/// A table that knows jobs 1001, 2001 and 3001 of another node.
fn with_jobs_elsewhere() -> Play {
    let mut play = with_store();
    play.table.join(play.now);
    for id in [1_001, 2_001, 3_001] {
        play.table.set_away(of_another(id, "ann"), "b".into(), play.now);
    }
    play
}

/// What is said once the store and the cluster have the ends of these jobs.
fn heard_when_written(play: &mut Play) -> Vec<String> {
    let jobs = [1_001, 2_001, 3_001].map(JobId);
    play.table.ends_settled(jobs.into(), None, play.now);
    jobs.into_iter().for_each(|job| play.table.end_shared(job, play.now));
    play.heard()
}

#[test]
fn a_cancel_of_a_job_elsewhere_is_answered_by_the_end_that_the_cluster_has() {
    let mut play = with_jobs_elsewhere();
    for (request, job) in [(1, 1_001), (2, 2_001), (3, 3_001)] {
        play.order(1, request, Ask::Cancel(JobId(job)), |_| {});
    }
    assert_eq!(heard_when_written(&mut play), [""; 0], "nobody has written that");
    let first = play.table.take_cancels().remove(0);
    play.table.end_away(of_another(1_001, "ann"), first, play.now);
    let won = ended(JobId(2_001), Ok(Value::from(4)));
    play.table.end_away(of_another(2_001, "ann"), won, play.now);
    play.table.not_cancelled(JobId(3_001), play.now);
    let mut heard = heard_when_written(&mut play);
    heard.sort();
    assert_eq!(heard, ["1/1 ok", "1/2 no-job", "1/3 store"]);
}

#[test]
fn a_cancel_of_many_counts_those_that_the_cluster_has_cancelled() {
    let mut play = with_jobs_elsewhere();
    let jobs = [1_001, 2_001, 3_001].map(JobId).into();
    play.order(1, 1, Ask::CancelMany(Selection::Jobs(jobs)), |_| {});
    for end in play.table.take_cancels() {
        let reply = match end.job {
            JobId(2_001) => Ok(Value::from(4)),
            _ => end.reply,
        };
        play.table
            .end_away(of_another(end.job.0, "ann"), ended(end.job, reply), play.now);
    }
    assert_eq!(heard_when_written(&mut play), ["1/1 ok cancelled=2"]);
}

#[test]
fn the_answer_of_a_job_that_is_taken_over_is_kept_if_its_question_says_so() {
    let mut play = with_jobs_elsewhere();
    let Work::Plan(question) = long("of ann", 9) else {
        panic!("it is a plan");
    };
    take_over(&mut play, of_another(1_001, "ann"), Work::Plan(question.kept()));
    let Location::Running(work) = play.table.flow.submitted.location(JobId(1_001)) else {
        panic!("it goes on");
    };
    assert!(play.table.flow.jobs.get(work).is_some_and(Entry::is_kept));
}

#[test]
fn a_job_that_is_taken_over_while_it_is_cancelled_does_not_begin() {
    let mut play = with_jobs_elsewhere();
    play.order(1, 1, Ask::Cancel(JobId(1_001)), |_| {});
    take_over(&mut play, of_another(1_001, "ann"), long("of ann", 9));
    play.play_on();
    assert_eq!(heard_when_written(&mut play), ["1/1 ok"]);
}

#[test]
fn the_end_that_the_cluster_has_replaces_another_one_also_in_the_store() {
    let mut play = with_jobs_elsewhere();
    let job = JobId(1_001);
    for reply in [Ok(Value::from(5)), Ok(Value::from(4))] {
        play.table
            .end_away(of_another(1_001, "ann"), ended(job, reply), play.now);
    }
    let again = ended(job, Ok(Value::from(4)));
    play.table.end_away(of_another(1_001, "ann"), again.clone(), play.now);
    let records = play.table.take_records();
    let ends: Vec<&Record> = records
        .iter()
        .filter(|record| matches!(record, Record::Ended(_)))
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!(ends.last(), Some(&&Record::Ended(again)));
    play.order(1, 1, Ask::Result(job), |_| {});
    assert_eq!(heard_when_written(&mut play), ["1/1 ok 4"]);
}

#[test]
fn cpu_time_that_a_job_took_here_before_is_not_added_to_what_its_node_says() {
    let mut play = with_store();
    let mut stored = of_another(1_001, "ann");
    take_over(&mut play, stored.clone(), long("of ann", 900));
    stored.cpu = 50 * MS;
    play.table.set_away(stored.clone(), "b".into(), play.now);
    play.table.flow.submitted.set_cpu(JobId(1_001), 50 * MS);
    let progress = JobProgress {
        job: JobId(1_001),
        done: 0.5,
        cpu: 80 * MS,
        stage: None,
    };
    play.table.advance_away(progress, play.now);
    let Location::Running(work) = play.table.flow.submitted.location(JobId(1_001)) else {
        panic!("it has not ended");
    };
    assert_eq!(play.table.flow.jobs.get(work).map(Entry::cpu), Some(30 * MS));
}

#[test]
fn a_job_elsewhere_is_queued_until_its_node_says_how_far_it_is() {
    let mut play = with_store();
    let stored = of_another(1_001, "10.0.0.1");
    let row = |play: &mut Play| {
        play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 64);
        play.heard().join(" ")
    };
    let progress = JobProgress {
        job: JobId(1_001),
        done: 0.5,
        cpu: 80 * MS,
        stage: None,
    };
    play.table.set_away(stored.clone(), "b".into(), play.now);
    assert!(row(&mut play).contains("id=1001 state=queued node=b "));
    play.order(1, 2, Ask::Result(JobId(1_001)), |order| {
        order.progress = Some(1_000 * MS)
    });
    for _ in 0..2 {
        play.wait(1_000 * MS);
        assert_eq!(play.heard(), ["1/2 0% queued"]);
    }
    play.table.advance_away(progress, play.now);
    assert!(row(&mut play).contains("id=1001 state=running node=b pct=50.0 "));
    play.table.set_away(stored, "c".into(), play.now);
    assert!(row(&mut play).contains("id=1001 state=queued node=c "));
}

#[test]
fn an_answer_that_was_refuted_elsewhere_is_marked_and_kept_in_the_store() {
    let mut play = with_jobs_elsewhere();
    let job = JobId(1_001);
    for reply in [Ok(Value::from(5)), Err(job.refuted()), Ok(Value::from(5))] {
        play.table
            .end_away(of_another(1_001, "ann"), ended(job, reply), play.now);
    }
    let records = play.table.take_records();
    assert!(
        matches!(&records[..], [Record::Ended(_), Record::Refuted(refuted)] if *refuted == job),
        "{records:?}"
    );
    play.order(1, 1, Ask::Result(job), |_| {});
    assert_eq!(heard_when_written(&mut play), ["1/1 internal"]);
}

#[test]
fn a_job_that_is_taken_over_while_the_store_fails_is_kept_with_its_end() {
    // Before the restart it was worked on here.
    for was_here in [false, true] {
        let mut play = with_store();
        let (job, stored) = (JobId(1_001), of_another(1_001, "ann"));
        let (mut journal, mut contents) = (Journal::new(), Contents::default());
        if was_here {
            contents.apply(&Record::Submitted(stored.submission.clone()));
            let subject = Ok(Subject::Work(long("of ann", 9)));
            let restored = Restored {
                stored: stored.clone(),
                subject,
            };
            play.table.restore(vec![restored], 9, play.now);
        }
        play.table.set_away(stored.clone(), "b".into(), play.now);
        take_over(&mut play, stored, long("of ann", 9));
        let records = play.table.take_records();
        records.into_iter().for_each(|record| journal.push(record));
        let batch = journal.next_batch(play.now).expect("it is to be written");
        let full = Err(StoreError::new(ErrorKind::Full, "store", "full"));
        let settled = journal.settle(batch, full, play.now);
        let failure = Failure::new(Code::Store, "full");
        play.table.withdraw(settled.refused, &failure, play.now);
        play.play_on();
        let records = play.table.take_records();
        records.into_iter().for_each(|record| journal.push(record));
        let later = journal.wake_at().expect("records wait");
        let batch = journal.next_batch(later).expect("records wait");
        batch.iter().for_each(|record| contents.apply(record));
        let end = contents.jobs.get(&job).and_then(|stored| stored.end.clone());
        assert_eq!(end.map(|end| end.reply), Some(Ok(Value::from(9))), "{was_here}");
    }
}

#[test]
fn a_key_that_two_nodes_were_given_at_once_stays_that_of_the_job_known_first() {
    let of_key = |job| {
        let mut stored = of_another(job, "ann");
        (stored.submission.title, stored.submission.request) = ("a".into(), "a".into());
        stored.submission.key = Some("mine".into());
        stored
    };
    let mut play = with_store();
    play.order(1, 1, keyed("a", "a"), |_| {});
    play.table.acknowledge(vec![JobId(10)], play.now);
    play.table.set_away(of_key(1_001), "b".into(), play.now);
    play.order(1, 2, keyed("a", "a"), |_| {});
    assert_eq!(play.heard(), ["1/1 ok job=10", "1/2 ok job=10"]);
    // A node that hears of a job before it is given its key makes none.
    let mut play = with_store();
    play.table.set_away(of_key(1_001), "b".into(), play.now);
    play.order(1, 1, keyed("a", "a"), |_| {});
    assert_eq!(play.heard(), ["1/1 ok job=1001"]);
}

/// A plan that has a slice left, and panics when a part is cut from it.
struct Indivisible;

impl crate::job::Plan for Indivisible {
    type Slice = ();
    type Partial = ();

    fn cut(&mut self) -> Option<()> {
        Some(())
    }

    fn run((): (), _: crate::job::Budget<'_>) {}

    fn absorb(&mut self, (): ()) {}

    fn answer(&mut self) -> Option<Value> {
        None
    }

    fn progress(&self) -> f64 {
        0.5
    }

    fn cut_part(&mut self, _: f64) -> Option<Vec<u8>> {
        panic!("as asked")
    }
}

#[test]
fn a_plan_that_panics_as_a_part_is_cut_costs_its_job() {
    let mut play = with_store();
    play.ask(1, 1, Work::Plan(crate::job::Job::new("broken", || Indivisible)));
    play.express();
    assert!(play.table.next_part(1, play.now).is_none());
    assert_eq!(play.heard(), ["1/1 internal"], "a share may be missing from its answer");
    play.assert_empty();
}

/// A plan that has a slice under way, and parts beside it.
struct Divisible(bool);

impl crate::job::Plan for Divisible {
    type Slice = ();
    type Partial = ();

    fn cut(&mut self) -> Option<()> {
        (!std::mem::replace(&mut self.0, true)).then_some(())
    }

    fn run((): (), _: crate::job::Budget<'_>) {}

    fn absorb(&mut self, (): ()) {}

    fn answer(&mut self) -> Option<Value> {
        None
    }

    fn progress(&self) -> f64 {
        0.5
    }

    fn is_long(&self) -> bool {
        true
    }

    fn cut_part(&mut self, _: f64) -> Option<Vec<u8>> {
        Some(vec![7])
    }

    fn absorb_part(&mut self, _: &[u8], _: &[u8]) -> Result<(), crate::job::Damaged> {
        Ok(())
    }
}

#[test]
fn the_cpu_time_of_parts_is_charged_to_the_account_of_their_job_and_counted_where_they_are_done() {
    let mut play = with_store();
    let user = Payer {
        account: Account::User(crate::auth::UserName::parse("ann").expect("a name")),
        client: ClientId(7),
    };
    let limits = UserLimits {
        cpu: Some(1),
        ..UserLimits::default()
    };
    play.table.set_limits(user, limits, play.now);
    let spent = crate::job::Spent::default();
    let job = crate::job::Job::new("divisible", || Divisible(false)).counted(spent.clone());
    let order = Order {
        request: RequestId(1),
        ask: Ask::Answer(Work::Plan(job)),
        is_confined: false,
        deadline: None,
        progress: None,
        rows: 0,
    };
    play.table.take_in(user, order, play.now);
    play.express();
    assert!(spent.load(Relaxed) > 0, "its first slice is over");
    let part = play.table.next_part(1, play.now).expect("it can be cut");
    let is_busy = |play: &mut Play, request: u64| {
        let question = vec![(RequestId(request), crate::job::Query::Pi(7).into())];
        play.table.take_in_plain(user, question, play.now);
        play.heard().contains(&format!("7/{request} busy"))
    };
    assert!(!is_busy(&mut play, 2));
    play.table
        .absorb_part(part.id, &[], Duration::from_secs(900), "b", play.now);
    assert!(is_busy(&mut play, 3), "the part has cost more than there was");
    assert!(spent.load(Relaxed) > 900_000_000_000);
}
