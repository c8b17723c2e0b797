//! The table driven by hand: no actor, no thread, and a clock that stands until it is moved.

use super::*;
use crate::engine::batch::{Batch, Begun};
use crate::engine::external::{ExternalLane, ExternalPayload, ExternalTask, Token};
use crate::engine::message::{Account, Ask, Event, Order, Priority, Selection, Subject, Submit, Work};
use crate::engine::task::{Done, Outcome, Payload, Task};
use crate::job::{Budget, Job, Plan};
use crate::metrics::{Metrics, Verbs};
use crate::proto::Interim;
use proptest::prelude::*;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

pub(super) const MS: Duration = Duration::from_millis(1);

/// What a plan of these tests does.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) slices: u64,
    pub(super) memory: u64,
    /// One row for each slice, else none.
    pub(super) has_rows: bool,
    pub(super) panics_in_absorb: bool,
    /// It has no answer, whatever was absorbed.
    pub(super) has_no_answer: bool,
    /// Bytes of a checkpoint, if it has one.
    pub(super) checkpoint: Option<usize>,
}

pub(super) const PLAIN: Script = Script {
    slices: 1,
    memory: 1,
    has_rows: false,
    panics_in_absorb: false,
    has_no_answer: false,
    checkpoint: None,
};

struct Scripted {
    script: Script,
    cut: u64,
    absorbed: u64,
    rows: Vec<String>,
}

impl Plan for Scripted {
    type Slice = u64;
    type Partial = u64;

    fn cut(&mut self) -> Option<u64> {
        let is_over = self.cut == self.script.slices || self.rows.len() >= 2;
        (!is_over).then(|| {
            self.cut += 1;
            self.cut
        })
    }

    fn run(slice: u64, _: Budget<'_>) -> u64 {
        slice
    }

    fn absorb(&mut self, slice: u64) {
        assert!(!self.script.panics_in_absorb, "as asked");
        self.absorbed += 1;
        if self.script.has_rows {
            self.rows.push(slice.to_string());
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let is_over = self.absorbed == self.script.slices && self.rows.is_empty() && !self.script.has_no_answer;
        is_over.then(|| self.absorbed.into())
    }

    fn progress(&self) -> f64 {
        self.absorbed as f64 / self.script.slices as f64
    }

    fn memory(&self, _: usize) -> u64 {
        self.script.memory
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.script.checkpoint.map(|bytes| vec![0; bytes])
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        self.rows.drain(..self.rows.len().min(most)).collect()
    }
}

pub(super) fn job(title: &str, script: Script) -> Work {
    let job = Job::new(title, move || Scripted {
        script,
        cut: 0,
        absorbed: 0,
        rows: Vec::new(),
    });
    Work::Plan(if script.has_rows { job.streaming() } else { job })
}

pub(super) fn long(title: &str, slices: u64) -> Work {
    job(title, Script { slices, ..PLAIN })
}

/// A job of normal priority that begins at once.
pub(super) fn new_submit(subject: impl Into<Subject>) -> Submit {
    Submit {
        subject: subject.into(),
        request: "as asked".to_owned(),
        key: None,
        priority: Priority::Normal,
        after: None,
    }
}

pub(super) fn submit(subject: impl Into<Subject>) -> Ask {
    Ask::Submit(Box::new(new_submit(subject)))
}

/// Each client has an account of its own, but for those from 100 on: of these, a hundred share one.
pub(super) fn payer(client: u64) -> Payer {
    let account = if client < 100 { client } else { client / 100 };
    Payer {
        account: Account::Address([10, 0, 0, account as u8].into()),
        client: ClientId(client),
    }
}

/// A table, and a clock.
pub(super) struct Play {
    pub(super) table: Table,
    pub(super) now: Instant,
}

impl Play {
    pub(super) fn new(policy: Policy) -> Self {
        let now = Instant::now();
        Self {
            table: Table::new(policy, 1, now),
            now,
        }
    }

    pub(super) fn order(&mut self, client: u64, request: u64, ask: Ask, change: impl FnOnce(&mut Order)) {
        let mut order = Order {
            request: RequestId(request),
            ask,
            is_confined: false,
            deadline: None,
            progress: None,
            rows: 0,
        };
        change(&mut order);
        self.table.take_in(payer(client), order, self.now);
    }

    pub(super) fn ask(&mut self, client: u64, request: u64, work: Work) {
        self.order(client, request, Ask::Answer(work), |_| {});
    }

    pub(super) fn cancel(&mut self, client: u64, request: u64) {
        self.table.cancel(ClientId(client), RequestId(request), self.now);
    }

    fn grant(&mut self, client: u64, request: u64, rows: usize) {
        self.table.grant(ClientId(client), RequestId(request), rows, self.now);
    }

    /// An external task for which there is a slot, and a worker.
    pub(super) fn next_external(&mut self) -> Option<HandedOut> {
        self.table.next_external(|_| true)
    }

    pub(super) fn leave(&mut self, client: u64) {
        self.table.leave(ClientId(client), self.now);
    }

    /// The long job of this title.
    pub(super) fn long(&self, title: &str) -> WorkId {
        self.table.flow.jobs.duplicate_of(title).expect("it turned out long")
    }

    /// Plays a task as a worker whose slices each take 2 ms.
    pub(super) fn play(&mut self, task: Task) {
        let over = || true;
        let outcome = match task.payload {
            Payload::Begin(job) => {
                let mut plan = job.plan().expect("the question is sound");
                match plan.advance(Budget::new(&over)) {
                    Some(value) => Outcome::Answered(value),
                    None => Outcome::Unfinished(plan, job),
                }
            }
            Payload::Batch(batch) => return self.play_batch(task.work, batch, usize::MAX),
            Payload::Slice(slice) => Outcome::Partial(slice(Budget::new(&over))),
            Payload::Blocking(..) => unreachable!("external tasks are handed out by themselves"),
        };
        self.done(task.work, outcome);
    }

    /// Asks plain questions, whose requests follow one another.
    pub(super) fn ask_plain(&mut self, client: u64, request: u64, works: Vec<Work>) {
        let jobs = works.into_iter().map(|work| match work {
            Work::Plan(job) => job,
            Work::External(_) => unreachable!("an external task is no plain question"),
        });
        let questions = (request..).map(RequestId).zip(jobs).collect();
        self.table.take_in_plain(payer(client), questions, self.now);
    }

    /// Plays a batch as a worker that has time for `most` of its questions.
    fn play_batch(&mut self, work: WorkId, batch: Batch, most: usize) {
        self.play_batch_in(work, batch, most, 2 * MS);
    }

    /// The same if a question takes so much CPU time.
    fn play_batch_in(&mut self, work: WorkId, mut batch: Batch, most: usize, each: Duration) {
        for _ in 0..most {
            let Some(question) = batch.begin() else {
                break;
            };
            let begun = Begun::of(question, Budget::new(&|| true));
            batch.record(begun, || each);
        }
        let cpu = each * batch.begun() as u32;
        let outcome = Outcome::Batch(batch);
        self.table.finished(Done { work, outcome, cpu }, self.now);
    }

    /// The batch that is handed out next, with the flag that says that nobody wants it any more.
    fn next_batch(&mut self, free: usize) -> (Batch, Arc<AtomicBool>) {
        let task = self.table.next_express(free).pop();
        match task.map(|task| (task.payload, task.cancel)) {
            Some((Payload::Batch(batch), cancel)) => (batch, cancel),
            _ => panic!("a batch waits"),
        }
    }

    /// Nothing is left over.
    pub(super) fn assert_empty(&self) {
        let flow = &self.table.flow;
        assert_eq!(
            (self.table.len(), flow.jobs.title_bytes(), flow.bulk.held()),
            (0, 0, (0, 0))
        );
        assert_eq!((flow.express.queue_len(), flow.express.title_bytes()), (0, 0));
        assert!(flow.waiters.is_empty() && !flow.express.has_backlog());
    }

    pub(super) fn done(&mut self, work: WorkId, outcome: Outcome) {
        let cpu = 2 * MS;
        self.table.finished(Done { work, outcome, cpu }, self.now);
    }

    /// Plays first slices until none waits.
    pub(super) fn express(&mut self) {
        loop {
            let tasks = self.table.next_express(1);
            if tasks.is_empty() {
                return;
            }
            for task in tasks {
                self.play(task);
            }
        }
    }

    /// Plays one slice of a long job, and says of which.
    pub(super) fn bulk(&mut self) -> Option<WorkId> {
        let task = self.table.next_bulk()?;
        let job = task.work;
        self.play(task);
        Some(job)
    }

    /// Plays until nothing is left to do.
    pub(super) fn play_on(&mut self) {
        loop {
            self.express();
            if self.bulk().is_none() && self.table.flow.express.queue_len() == 0 {
                return;
            }
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.table.tick(self.now);
    }

    /// What has been sent since the last time, in short: `client/request what`.
    pub(super) fn heard(&mut self) -> Vec<String> {
        let said = |(client, request, event): (u64, u64, Event)| match event {
            Event::Final(Ok(Value::Number(number))) => format!("{client}/{request} ok {number}"),
            Event::Final(Ok(Value::Text(text))) => format!("{client}/{request} ok {text}"),
            Event::Final(Ok(_)) => format!("{client}/{request} ok"),
            Event::Final(Err(failure)) => format!("{client}/{request} {}", failure.code),
            Event::Interim(Interim::Progress { done, stage, .. }) => {
                let stage = stage.map(|stage| format!(" {stage}")).unwrap_or_default();
                format!("{client}/{request} {:.0}%{stage}", done * 100.0)
            }
            Event::Interim(Interim::Stalled(_)) => format!("{client}/{request} stalled"),
            Event::Interim(Interim::Rows(rows)) => format!("{client}/{request} rows {}", rows.join(" ")),
        };
        let news = self.table.take_events().into_iter();
        let news = news.flat_map(|(client, events)| {
            events
                .into_iter()
                .map(move |(request, event)| (client.0, request.0, event))
        });
        news.map(said).collect()
    }
}

pub(super) fn roomy() -> Play {
    Play::new(Policy::default())
}

#[test]
fn a_short_job_is_answered_by_its_first_slice_and_a_long_one_by_all_of_them() {
    let mut play = roomy();
    play.ask(1, 1, long("short", 1));
    play.ask(1, 2, long("long", 9));
    play.express();
    assert_eq!(play.heard(), ["1/1 ok 1"]);
    for _ in 0..8 {
        assert!(play.bulk().is_some());
    }
    assert_eq!(play.heard(), ["1/2 ok 9"]);
    assert_eq!(play.table.len(), 0);
}

#[test]
fn a_client_has_a_limit_of_jobs_and_so_have_all_clients() {
    let mut play = Play::new(Policy {
        max_jobs: 4,
        max_jobs_per_account: 3,
        ..Policy::default()
    });
    for request in 1..=4 {
        play.ask(1, request, long("a", 9));
    }
    assert_eq!(play.heard(), ["1/4 busy"], "its own limit");
    play.ask(2, 1, long("b", 9));
    play.ask(2, 2, long("b", 9));
    assert_eq!(play.heard(), ["2/2 busy"], "the table is full, and it has its share");
    play.ask(3, 1, long("c", 9));
    assert_eq!(
        play.heard(),
        [""; 0],
        "who has nothing is taken in though the table is full"
    );
    play.play_on();
    play.ask(1, 5, long("a", 1));
    play.play_on();
    assert!(play.heard().contains(&"1/5 ok 1".to_owned()));
}

#[test]
fn clients_take_turns_by_slices_whatever_the_number_of_their_jobs() {
    let mut play = roomy();
    for request in 0..12 {
        play.ask(1, request, long(&format!("one of many {request}"), 1_000));
    }
    play.ask(2, 0, long("the only one", 1_000));
    play.express();
    let only = play.long("the only one");
    let turns = (0..200).filter(|_| play.bulk() == Some(only)).count();
    assert!((98..=102).contains(&turns), "{turns} of 200");
}

#[test]
fn equal_long_questions_are_computed_once_and_each_is_answered() {
    let mut play = roomy();
    play.ask(1, 1, long("same", 5));
    play.express();
    play.ask(2, 1, long("same", 5));
    play.ask(3, 1, long("same", 5));
    assert_eq!(play.table.len(), 1);
    play.cancel(1, 1);
    play.play_on();
    let mut heard = play.heard();
    heard.sort();
    assert_eq!(heard, ["1/1 cancelled", "2/1 ok 5", "3/1 ok 5"]);
}

#[test]
fn equal_questions_that_turn_out_long_at_the_same_time_become_one() {
    let mut play = roomy();
    play.ask(1, 1, long("same", 5));
    play.order(2, 1, submit(long("same", 5)), |_| {});
    play.express();
    assert_eq!(play.table.len(), 1);
    play.order(2, 2, Ask::Result(JobId(1)), |_| {});
    play.play_on();
    assert_eq!(play.heard(), ["2/1 ok job=1", "1/1 ok 5", "2/2 ok 5"]);
}

#[test]
fn what_is_cancelled_is_not_cut_any_more_and_what_comes_back_late_is_dropped() {
    let mut play = roomy();
    play.ask(1, 1, long("a", 9));
    play.express();
    let task = play.table.next_bulk().expect("there is more to do");
    let cancel = task.cancel.clone();
    play.cancel(1, 1);
    assert!(cancel.load(Relaxed), "the slice under way is notified");
    assert!(play.table.next_bulk().is_none());
    play.play(task);
    play.cancel(1, 1);
    assert_eq!(play.heard(), ["1/1 cancelled"]);
}

#[test]
fn a_deadline_strikes_at_its_moment_and_not_before() {
    let mut play = roomy();
    let deadline = Some(play.now + 100 * MS);
    play.order(1, 1, Ask::Answer(long("a", 9)), |order| order.deadline = deadline);
    assert_eq!(play.table.next_alarm(), deadline);
    play.express();
    play.wait(99 * MS);
    assert_eq!(play.heard(), [""; 0]);
    play.wait(MS);
    assert_eq!(play.heard(), ["1/1 deadline"]);
    assert_eq!((play.table.len(), play.table.next_alarm()), (0, None));
}

#[test]
fn progress_is_sent_while_the_work_advances_and_else_that_it_stalls() {
    let mut play = roomy();
    play.order(1, 1, Ask::Answer(long("a", 10)), |order| {
        order.progress = Some(1_000 * MS)
    });
    play.express();
    for percent in [20, 30] {
        play.bulk();
        play.wait(1_000 * MS);
        assert_eq!(play.heard(), [format!("1/1 {percent}%")]);
    }
    play.wait(1_000 * MS);
    assert_eq!(play.heard(), ["1/1 stalled"]);
}

/// The second of two questions, for which there is no memory yet; its progress is sent every second.
fn a_parked_question() -> Play {
    let mut play = Play::new(Policy {
        max_memory: 100,
        ..Policy::default()
    });
    play.ask(1, 1, sized("a", 60));
    play.order(1, 2, Ask::Answer(sized("b", 60)), |order| {
        order.progress = Some(1_000 * MS)
    });
    play.express();
    play
}

#[test]
fn a_parked_job_says_so_as_long_as_it_waits() {
    let mut play = a_parked_question();
    for _ in 0..3 {
        play.wait(1_000 * MS);
        assert_eq!(play.heard(), ["1/2 0% parked"]);
    }
    play.play_on();
    assert_eq!(play.heard().len(), 2);
}

#[test]
fn what_is_left_is_estimated_from_when_a_parked_job_began() {
    let mut play = a_parked_question();
    play.wait(100_000 * MS);
    while play.heard().iter().all(|said| !said.starts_with("1/1 ok")) {
        play.bulk().expect("the first runs");
    }
    play.express();
    play.bulk().expect("the second runs");
    play.wait(1_000 * MS);
    let events = play.table.take_events().into_iter().flat_map(|(_, events)| events);
    let left = events.filter_map(|(_, event)| match event {
        Event::Interim(Interim::Progress { eta, .. }) => eta,
        _ => None,
    });
    let left = Vec::from_iter(left);
    assert!(left.len() == 1 && left[0] <= 2_000 * MS, "{left:?}");
}

#[test]
fn long_jobs_wait_for_memory_and_what_is_too_large_is_refused() {
    let mut play = Play::new(Policy {
        max_memory: 100,
        ..Policy::default()
    });
    let sized = |title: &str, memory| {
        let slices = 3;
        job(
            title,
            Script {
                slices,
                memory,
                ..PLAIN
            },
        )
    };
    play.ask(1, 1, sized("a", 60));
    play.ask(1, 2, sized("b", 60));
    play.ask(2, 1, sized("c", 60));
    play.ask(2, 2, sized("d", 101));
    play.express();
    assert_eq!(play.heard(), ["2/2 too-big"]);
    assert_eq!(play.table.flow.bulk.held(), (60, 2));
    play.play_on();
    assert_eq!(play.heard().len(), 3, "all are answered in the end");
    assert_eq!(play.table.flow.bulk.held(), (0, 0));
}

/// A long job that needs this much memory.
fn sized(title: &str, memory: u64) -> Work {
    let script = Script {
        slices: 3,
        memory,
        ..PLAIN
    };
    job(title, script)
}

/// Plays first slices, and says which of these long jobs have memory then.
fn with_memory(play: &mut Play, titles: &str) -> String {
    play.express();
    let has_memory = |title: &str| play.table.flow.bulk.is_running(play.long(title));
    let titles = titles.split(' ').filter(|title| has_memory(title));
    titles.collect::<Vec<_>>().join(" ")
}

fn with_a_hundred_bytes() -> Play {
    Play::new(Policy {
        max_memory: 100,
        ..Policy::default()
    })
}

#[test]
fn a_parked_job_that_leaves_lets_those_after_it_begin() {
    let mut play = with_a_hundred_bytes();
    play.ask(1, 1, sized("first", 40));
    play.ask(2, 1, sized("second", 50));
    play.express();
    play.ask(3, 1, sized("large", 90));
    play.express();
    play.ask(4, 1, sized("after", 50));
    assert_eq!(with_memory(&mut play, "first second large after"), "first second");
    play.cancel(2, 1);
    assert_eq!(
        with_memory(&mut play, "first large after"),
        "first",
        "the large one is waited for"
    );
    play.cancel(3, 1);
    assert_eq!(with_memory(&mut play, "first after"), "first after");
    play.play_on();
    play.assert_empty();
}

#[test]
fn a_job_has_one_first_slice_in_the_metrics_also_if_it_was_parked() {
    let metrics = Metrics::default();
    metrics.set_verbs(Verbs::new(std::iter::once("pi"), std::iter::empty()));
    let mut play = with_a_hundred_bytes();
    let of_pi = |title| {
        let mut work = sized(title, 60);
        if let Work::Plan(job) = &mut work {
            job.verb = VerbLabel::at(0);
        }
        work
    };
    play.ask_plain(1, 1, vec![of_pi("a"), of_pi("b")]);
    play.ask(1, 3, of_pi("c"));
    play.express();
    assert_eq!(
        play.table.flow.bulk.held(),
        (60, 2),
        "one has memory, and two are parked"
    );
    play.wait(500 * MS);
    play.play_on();
    assert_eq!(play.heard().len(), 3);
    play.table.measured().report(&metrics);
    let verbs = metrics.verbs().expect("they are set");
    let first_slices = verbs.all().map(|verb| (verb.name, verb.until_first_slice().count()));
    assert_eq!(first_slices.collect::<Vec<_>>(), [("unknown", 0), ("pi", 3)]);
}

#[test]
fn who_comes_later_takes_no_memory_that_a_parked_job_waits_for() {
    let mut play = with_a_hundred_bytes();
    play.ask(1, 1, sized("before", 30));
    play.express();
    play.ask(2, 1, sized("parked", 80));
    play.express();
    play.ask(3, 1, sized("beside", 15));
    assert_eq!(
        with_memory(&mut play, "before parked beside"),
        "before beside",
        "there is room for it beside the parked one"
    );
    play.ask(4, 1, sized("instead", 15));
    assert_eq!(with_memory(&mut play, "before parked beside instead"), "before beside");
    play.cancel(1, 1);
    assert_eq!(with_memory(&mut play, "parked beside instead"), "parked beside");
    play.cancel(3, 1);
    assert_eq!(with_memory(&mut play, "parked instead"), "parked instead");
    play.play_on();
    play.assert_empty();
}

#[test]
fn rows_flow_by_credit_and_a_stream_that_has_none_is_not_begun() {
    let mut play = roomy();
    let rows = Script {
        slices: 6,
        has_rows: true,
        ..PLAIN
    };
    play.ask(1, 1, job("rows", rows));
    assert!(play.table.next_express(1).is_empty(), "nothing is computed for it yet");
    play.grant(1, 1, 3);
    play.play_on();
    let heard = play.heard().join(" ").replace("1/1 rows ", "");
    assert_eq!(heard, "1 2 3");
    assert!(
        play.table.next_bulk().is_none(),
        "it holds the rows that nobody took, and stops"
    );
    play.grant(1, 1, 10);
    play.play_on();
    assert_eq!(play.heard().last().map(String::as_str), Some("1/1 ok 6"));
}

#[test]
fn a_stream_that_ends_without_an_answer_has_failed() {
    for slices in [0, 1, 6] {
        let mut play = roomy();
        let rows = Script {
            slices,
            has_rows: true,
            has_no_answer: true,
            ..PLAIN
        };
        play.ask(1, 1, job("rows", rows));
        play.grant(1, 1, 9);
        play.play_on();
        assert_eq!(
            play.heard().last().map(String::as_str),
            Some("1/1 internal"),
            "{slices}"
        );
        play.assert_empty();
    }
}

#[test]
fn a_stream_that_is_granted_rows_late_has_waited_for_its_client_and_not_for_a_worker() {
    let mut play = roomy();
    let rows = Script {
        slices: 6,
        has_rows: true,
        ..PLAIN
    };
    play.ask(1, 1, job("rows", rows));
    play.wait(5_000 * MS);
    play.grant(1, 1, 9);
    play.wait(MS);
    play.play_on();
    assert_eq!(play.heard().last().map(String::as_str), Some("1/1 ok 6"));
}

/// Submits `count` questions whose answers were known.
fn submit_known(play: &mut Play, count: usize, title: &str) {
    for request in 0..count as u64 {
        let (title, value) = (title.to_owned(), Value::Nothing);
        play.order(9, request, submit(Subject::Known { title, value }), |_| {});
    }
    play.heard();
}

/// How many rows were sent since the last time, and whether the end of the list was.
fn listed(play: &mut Play) -> (usize, bool) {
    let heard = play.heard().join(" ");
    (heard.matches("id=").count(), heard.ends_with(" ok"))
}

#[test]
fn a_list_has_no_more_rows_than_its_client_has_granted_and_250_in_all() {
    let mut play = roomy();
    submit_known(&mut play, 300, "known");
    play.ask(2, 1, long("asked", 9));
    play.express();
    play.order(1, 1, Ask::List(Vec::new()), |_| {});
    assert_eq!(listed(&mut play), (0, false));
    play.grant(1, 1, 100);
    assert_eq!(listed(&mut play), (100, false));
    play.grant(1, 1, 50);
    assert_eq!(listed(&mut play), (50, false));
    // The question under way and the latest 149 are sent, and of the 100 that are left the first 49 forgotten now.
    submit_known(&mut play, 800, "known");
    play.grant(1, 1, 100);
    assert_eq!(listed(&mut play), (51, true));
    play.leave(2);
    play.assert_empty();
}

#[test]
fn a_list_of_some_jobs_has_these_however_many_there_are() {
    let mut play = roomy();
    submit_known(&mut play, 300, "known");
    play.order(1, 1, Ask::List(vec![JobId(300), JobId(1)]), |order| order.rows = 64);
    let heard = play.heard().join(" ");
    assert!(heard.contains("rows id=300 ") && heard.contains(" id=1 "), "{heard}");
    assert!(heard.ends_with(" ok") && heard.matches("id=").count() == 2, "{heard}");
    play.order(1, 2, Ask::List(vec![JobId(1), JobId(301)]), |order| order.rows = 64);
    // Another account's is as good as none.
    play.order(1, 3, Ask::List(vec![JobId(1)]), |order| {
        order.rows = 64;
        order.is_confined = true;
    });
    assert_eq!(play.heard(), ["1/2 no-job", "1/3 no-job"]);
    play.assert_empty();
}

#[test]
fn a_list_begins_with_what_is_under_way() {
    let mut play = roomy();
    submit_known(&mut play, 2, "known");
    play.ask(2, 1, long("asked", 9));
    play.order(2, 2, submit(long("submitted", 9)), |_| {});
    play.express();
    play.heard();
    play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 64);
    let heard = play.heard().join(" ");
    let ids: Vec<&str> = heard
        .split("id=")
        .skip(1)
        .filter_map(|row| row.split(' ').next())
        .collect();
    assert_eq!(ids, ["3", "-", "2", "1"]);
}

#[test]
fn a_late_job_ends_for_all_who_watch_it_and_a_late_watcher_only_for_itself() {
    let mut play = roomy();
    let deadline = |at: Instant| move |order: &mut Order| order.deadline = Some(at);
    play.order(1, 1, submit(long("job", 100)), deadline(play.now + 2 * MS));
    play.express();
    play.order(2, 1, Ask::Result(JobId(1)), |_| {});
    play.order(2, 2, Ask::Watch(JobId(1)), |_| {});
    play.order(3, 1, Ask::Result(JobId(1)), deadline(play.now + MS));
    play.heard();
    play.wait(MS);
    assert_eq!(play.heard(), ["3/1 deadline"]);
    play.wait(MS);
    assert_eq!(play.heard(), ["2/1 deadline", "2/2 deadline"]);
    play.order(2, 3, Ask::Result(JobId(1)), |_| {});
    assert_eq!(play.heard(), ["2/3 deadline"]);
    play.assert_empty();
}

#[test]
fn a_list_can_be_cancelled_and_late_and_left_alone_and_needs_no_room_for_jobs() {
    let mut play = Play::new(Policy {
        max_jobs: 1,
        max_jobs_per_account: 1,
        ..Policy::default()
    });
    submit_known(&mut play, 10, "known");
    play.ask(1, 9, long("asked", 9));
    let deadline = Some(play.now + MS);
    play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 4);
    play.order(1, 2, Ask::List(Vec::new()), |_| {});
    play.order(1, 3, Ask::List(Vec::new()), |order| order.deadline = deadline);
    assert_eq!(listed(&mut play), (4, false));
    play.order(1, 4, Ask::List(Vec::new()), |order| order.rows = 64);
    assert_eq!(listed(&mut play), (10, true));
    play.cancel(1, 1);
    play.wait(MS);
    assert_eq!(play.heard(), ["1/1 cancelled", "1/3 deadline"]);
    play.leave(1);
    play.assert_empty();
}

#[test]
fn a_row_shows_what_a_job_took_however_it_ended() {
    let mut play = roomy();
    let deadline = Some(play.now + MS);
    play.order(2, 1, submit(long("cancelled", 100)), |_| {});
    play.order(2, 2, submit(long("late", 100)), |order| order.deadline = deadline);
    play.express();
    for _ in 0..100 {
        play.bulk();
    }
    play.order(2, 3, Ask::Cancel(JobId(1)), |_| {});
    play.wait(MS);
    play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 64);
    let heard = play.heard().join(" ");
    assert!(heard.contains("id=1 state=cancelled cpu=0.1s"), "{heard}");
    assert!(heard.contains("id=2 state=failed error=deadline cpu=0.1s"), "{heard}");
}

#[test]
fn a_row_shows_the_beginning_of_a_long_question() {
    let mut play = roomy();
    submit_known(&mut play, 1, &"1".repeat(10_000));
    play.ask(2, 1, long(&"2".repeat(10_000), 9));
    play.express();
    play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 64);
    let heard = play.heard().join(" ");
    assert!(heard.contains(&format!("request={}... ", "1".repeat(97))), "{heard}");
    assert!(heard.contains(&format!("request={}... ", "2".repeat(97))), "{heard}");
}

#[test]
fn who_leaves_gets_nothing_and_what_it_submitted_goes_on() {
    let mut play = roomy();
    play.ask(1, 1, long("asked", 9));
    play.order(1, 2, submit(long("submitted", 9)), |_| {});
    play.express();
    play.heard();
    play.leave(1);
    assert_eq!(play.table.len(), 1);
    play.play_on();
    play.order(2, 1, Ask::Result(JobId(1)), |_| {});
    assert_eq!(play.heard(), ["2/1 ok 9"]);
    assert!(play.table.flow.waiters.is_empty(), "the client is forgotten");
}

#[test]
fn draining_takes_in_nothing_and_finishes_what_there_is_or_cancels_it() {
    let mut play = roomy();
    play.ask(1, 1, long("a", 3));
    play.ask(1, 2, long("b", 1_000));
    play.table.drain(play.now);
    play.ask(1, 3, long("c", 1));
    assert_eq!(play.heard(), ["1/3 draining"]);
    play.express();
    while play.heard() != ["1/1 ok 3"] {
        play.bulk();
    }
    play.table.refuse_all(&Failure::new(Code::Cancelled, "as asked"));
    assert_eq!(play.heard(), ["1/2 cancelled"]);
    assert_eq!(play.table.len(), 0);
}

#[test]
fn a_panic_costs_one_job_wherever_it_happens() {
    let mut play = roomy();
    let broken = Script {
        slices: 3,
        panics_in_absorb: true,
        ..PLAIN
    };
    play.ask(1, 1, long("in its first slice", 9));
    let task = play.table.next_express(1).remove(0);
    play.done(task.work, Outcome::Panicked);
    play.ask(1, 2, long("in a later slice", 9));
    play.express();
    let task = play.table.next_bulk().expect("there is more to do");
    play.done(task.work, Outcome::Panicked);
    play.ask(1, 3, job("in absorb", broken));
    let task = play.table.next_express(1).remove(0);
    let Payload::Begin(begun) = task.payload else {
        unreachable!("it is a first slice")
    };
    play.done(
        task.work,
        Outcome::Unfinished(begun.plan().expect("the question is sound"), begun),
    );
    play.bulk();
    play.ask(1, 4, long("sound", 3));
    play.play_on();
    assert_eq!(
        play.heard(),
        ["1/1 internal", "1/2 internal", "1/3 internal", "1/4 ok 3"]
    );
}

fn external(lane: &Arc<ExternalLane>, title: &str) -> Work {
    ExternalTask::blocking(lane.clone(), title.to_owned(), |_| Ok(Value::Nothing)).into()
}

#[test]
fn external_tasks_of_a_lane_take_turns_by_client_and_hold_no_other_lane_up() {
    let (lane, other) = (
        ExternalLane::of_threads("a", 1, 100),
        ExternalLane::of_threads("b", 1, 100),
    );
    let (lane, other) = (Arc::new(lane), Arc::new(other));
    let mut play = roomy();
    for request in 0..10 {
        play.ask(1, request, external(&lane, "of many"));
    }
    play.ask(2, 0, external(&lane, "of few"));
    play.ask(2, 1, external(&lane, "of few"));
    let mut order = Vec::new();
    while let Some(handed) = play.next_external() {
        order.push(handed.client.0);
        if order.len() == 1 {
            play.ask(3, 0, external(&other, "elsewhere"));
            assert_eq!(play.next_external().map(|handed| handed.client.0), Some(3));
        }
        assert!(play.next_external().is_none(), "its lane has one slot");
        play.now += 10 * MS;
        play.table.free_slot(handed.work, play.now);
        play.table
            .said(handed.work, ActorReply::Reply(Ok(Value::Nothing)), play.now);
    }
    assert_eq!(order, [1, 2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_cancelled_external_task_is_answered_at_once_and_keeps_its_slot_until_it_ends() {
    let lane = Arc::new(ExternalLane::of_threads("a", 1, 1));
    let mut play = roomy();
    play.ask(1, 1, external(&lane, "first"));
    let first = play.next_external().expect("there is a slot");
    assert!(matches!(first.payload, ExternalPayload::Blocking(_)));
    play.cancel(1, 1);
    assert!(first.channel.cancelled().is_cancelled());
    play.ask(1, 2, external(&lane, "second"));
    play.ask(1, 3, external(&lane, "third"));
    assert_eq!(play.heard(), ["1/1 cancelled", "1/3 busy"]);
    assert!(play.next_external().is_none());
    play.table.free_slot(first.work, play.now);
    let second = play.next_external().expect("the slot is free");
    play.table.said(first.work, ActorReply::Reply(Ok(1.into())), play.now);
    play.table.said(second.work, ActorReply::Reply(Ok(2.into())), play.now);
    assert_eq!(play.heard(), ["1/2 ok 2"]);
}

#[test]
fn an_external_task_advances_by_what_it_says_of_its_progress() {
    let lane = Arc::new(ExternalLane::of_threads("a", 1, 1));
    let mut play = roomy();
    play.order(1, 1, Ask::Answer(external(&lane, "task")), |order| {
        order.progress = Some(900 * MS)
    });
    let token = Token(play.next_external().expect("there is a slot").channel);
    let mut reports = String::new();
    for done in [0.2, 0.2, 0.2, 0.4, 0.4, 0.4] {
        token.progress(done);
        play.wait(900 * MS);
        reports += &play.heard().join(" ");
        reports.push(',');
    }
    assert_eq!(reports, "1/1 20%,1/1 20%,1/1 stalled,1/1 40%,1/1 40%,1/1 stalled,");
}

#[test]
fn an_external_task_that_waits_can_be_cancelled_and_late_and_left_alone() {
    let lane = Arc::new(ExternalLane::of_threads("a", 1, 10));
    let mut play = roomy();
    play.ask(1, 1, external(&lane, "runs"));
    assert!(play.next_external().is_some());
    let deadline = Some(play.now + MS);
    play.order(1, 2, Ask::Answer(external(&lane, "late")), |order| {
        order.deadline = deadline
    });
    play.ask(1, 3, external(&lane, "cancelled"));
    play.ask(2, 1, external(&lane, "left"));
    play.wait(MS);
    play.cancel(1, 3);
    play.leave(2);
    assert_eq!(play.heard(), ["1/2 deadline", "1/3 cancelled"]);
    assert_eq!(play.table.flow.external.waiting(), 0);
}

/// A value that panics as it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as asked");
    }
}

#[test]
fn an_external_task_that_panics_as_it_is_dropped_costs_nobody_else() {
    let lane = Arc::new(ExternalLane::of_threads("a", 1, 2));
    let bomb = || {
        let bomb = Bomb;
        let code = move |_: &_| {
            let _bomb = &bomb;
            Ok(Value::Nothing)
        };
        Work::from(ExternalTask::blocking(lane.clone(), "bomb".into(), code))
    };
    let mut play = roomy();
    play.ask(1, 1, bomb());
    play.cancel(1, 1);
    play.ask(1, 2, bomb());
    play.ask(1, 3, bomb());
    play.ask(1, 4, bomb());
    assert_eq!(play.heard(), ["1/1 cancelled", "1/4 busy"]);
    let broken = std::mem::replace(&mut play.table, Table::new(Policy::default(), 1, play.now));
    let (table, _) = broken.rebuilt(Policy::default(), 1, play.now);
    assert_eq!(table.lane_spec(0).name, "a", "lanes keep their numbers");
}

#[test]
fn an_external_task_waits_while_its_lane_takes_none() {
    let (lane, other) = (ExternalLane::of_threads("a", 1, 9), ExternalLane::of_threads("b", 1, 9));
    let mut play = roomy();
    play.ask(1, 1, external(&Arc::new(lane), "waits"));
    play.ask(1, 2, external(&Arc::new(other), "goes"));
    let handed = play.table.next_external(|lane| lane == 1);
    assert_eq!(handed.map(|handed| handed.lane), Some(1));
    assert!(play.table.next_external(|lane| lane == 1).is_none());
    assert_eq!(play.next_external().map(|handed| handed.lane), Some(0));
}

#[test]
fn submitted_tasks_that_may_not_begin_yet_are_bounded_by_their_lane_and_leave_room_for_questions() {
    let lane = Arc::new(ExternalLane::of_threads("a", 1, 4));
    let mut play = roomy();
    for request in 0..6 {
        let mut later = new_submit(external(&lane, "nap"));
        later.after = Some(1_000 * MS);
        play.order(1, request, Ask::Submit(Box::new(later)), |_| {});
    }
    let heard = play.heard();
    assert_eq!(heard[4..], ["1/4 busy", "1/5 busy"], "{heard:?}");
    play.order(2, 1, submit(external(&lane, "nap")), |_| {});
    assert_eq!(play.heard(), ["2/1 ok job=5"], "another account has its share");
    play.wait(1_000 * MS);
    for request in 10..15 {
        play.ask(1, request, external(&lane, "nap"));
    }
    assert_eq!(
        play.heard(),
        ["1/14 busy"],
        "what was submitted takes no room of questions"
    );
    play.ask(2, 2, external(&lane, "nap"));
    assert_eq!(play.heard(), [""; 0]);
    play.order(1, 20, Ask::CancelMany(Selection::Own), |_| {});
    play.order(1, 21, submit(external(&lane, "nap")), |_| {});
    assert_eq!(play.heard(), ["1/20 ok cancelled=4", "1/21 ok job=6"]);
}

#[test]
fn plain_questions_are_answered_together_and_a_long_one_among_them_becomes_a_job() {
    let mut play = roomy();
    play.ask_plain(1, 1, vec![long("a", 1), long("long", 9), long("b", 1)]);
    assert_eq!(play.table.len(), 3);
    play.express();
    assert_eq!(play.heard(), ["1/1 ok 1", "1/3 ok 1"]);
    assert!(play.table.flow.jobs.duplicate_of("long").is_some());
    play.play_on();
    assert_eq!(play.heard(), ["1/2 ok 9"]);
    play.assert_empty();
}

#[test]
fn what_a_worker_had_no_time_to_begin_waits_for_its_next_turn() {
    let mut play = roomy();
    play.ask_plain(1, 1, (0..5).map(|_| long("short", 1)).collect());
    let (batch, _) = play.next_batch(1);
    play.play_batch(WorkId(1), batch, 2);
    assert_eq!(play.heard(), ["1/1 ok 1", "1/2 ok 1"]);
    assert_eq!(play.table.len(), 3);
    play.express();
    assert_eq!(play.heard(), ["1/3 ok 1", "1/4 ok 1", "1/5 ok 1"]);
    play.assert_empty();
}

#[test]
fn a_slow_batch_is_named_after_its_last_question_only_where_that_is_known() {
    let kept = |title| match long(title, 1) {
        Work::Plan(mut job) => {
            job.is_kept = true;
            Work::Plan(job)
        }
        other => other,
    };
    let mut play = roomy();
    let metrics = Metrics::default();
    for (request, titles) in [(1, ["a", "b"]), (3, ["c", "not kept"])] {
        let works = titles.map(|title| {
            if title == "not kept" {
                long(title, 1)
            } else {
                kept(title)
            }
        });
        play.ask_plain(1, request, works.into());
        play.now += 30 * MS;
        play.express();
        play.table.measured().report(&metrics);
    }
    let rows = metrics.slow.longest(9).into_iter();
    let rows = rows.map(|slow| (slow.request, slow.title, slow.queue, slow.cpu, slow.wall));
    let (queue, cpu, wall) = (26 * MS, 4 * MS, 30 * MS);
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            (Some(2), "b".to_owned(), queue, cpu, wall),
            (Some(4), "-".to_owned(), queue, cpu, wall)
        ]
    );
}

#[test]
fn free_workers_share_the_questions_of_one_read() {
    let mut play = roomy();
    play.ask_plain(1, 0, (0..16).map(|_| long("short", 1)).collect());
    let (first, _) = play.next_batch(2);
    let (second, _) = play.next_batch(1);
    assert_eq!((first.fresh.len(), second.fresh.len()), (8, 8));
    play.play_batch(WorkId(1), second, 8);
    play.play_batch(WorkId(1), first, 8);
    assert_eq!(play.heard().len(), 16);
    play.assert_empty();
}

#[test]
fn a_plain_question_can_be_cancelled_whether_it_waits_or_is_under_way() {
    let mut play = roomy();
    let questions = || vec![long("a", 1), long("b", 9), long("c", 1)];
    for (cancelled, answered) in [(1, ["1/3 ok 1", "1/2 ok 9"]), (2, ["1/1 ok 1", "1/3 ok 1"])] {
        play.ask_plain(1, 1, questions());
        play.cancel(1, cancelled);
        assert_eq!(play.heard(), [format!("1/{cancelled} cancelled")]);
        play.play_on();
        assert_eq!(play.heard(), &answered[..]);
        play.ask_plain(1, 1, questions());
        let (batch, _) = play.next_batch(1);
        play.cancel(1, cancelled);
        play.cancel(1, cancelled);
        play.play_batch(WorkId(1), batch, 3);
        play.play_on();
        assert_eq!(play.heard()[0], format!("1/{cancelled} cancelled"));
        play.assert_empty();
    }
}

#[test]
fn who_leaves_takes_plain_questions_along() {
    let mut play = roomy();
    play.ask_plain(1, 1, vec![long("a", 1), long("b", 9)]);
    play.ask_plain(2, 1, vec![long("a", 1)]);
    let (batch, cancel) = play.next_batch(2);
    play.ask_plain(1, 5, vec![long("c", 9)]);
    play.leave(1);
    assert!(cancel.load(Relaxed), "its worker is notified");
    play.play_batch(WorkId(1), batch, 1);
    play.play_on();
    assert_eq!(play.heard(), ["2/1 ok 1"]);
    play.assert_empty();
}

#[test]
fn plain_questions_beyond_a_limit_are_refused_each_for_itself() {
    let mut play = Play::new(Policy {
        max_jobs_per_account: 3,
        ..Policy::default()
    });
    play.ask_plain(1, 1, (0..5).map(|_| long("short", 1)).collect());
    play.play_on();
    assert_eq!(
        play.heard(),
        ["1/4 busy", "1/5 busy", "1/1 ok 1", "1/2 ok 1", "1/3 ok 1"]
    );
    play.table.drain(play.now);
    play.ask_plain(1, 6, vec![long("short", 1)]);
    assert_eq!(play.heard(), ["1/6 draining"]);
    play.assert_empty();
}

#[test]
fn a_plain_question_joins_an_equal_long_job() {
    let mut play = roomy();
    play.ask_plain(1, 1, vec![long("same", 5)]);
    play.ask_plain(2, 1, vec![long("same", 5)]);
    play.express();
    play.ask_plain(3, 1, vec![long("short", 1), long("same", 5)]);
    assert_eq!(play.table.len(), 2, "one long job, and one that waits");
    play.play_on();
    let mut heard = play.heard();
    heard.sort();
    assert_eq!(heard, ["1/1 ok 5", "2/1 ok 5", "3/1 ok 1", "3/2 ok 5"]);
    play.assert_empty();
}

#[test]
fn a_plain_question_that_panics_costs_nobody_else_an_answer() {
    let mut play = roomy();
    play.ask_plain(1, 1, (0..3).map(|_| long("short", 1)).collect());
    let (mut batch, _) = play.next_batch(1);
    assert!(batch.begin().is_some());
    play.done(WorkId(1), Outcome::Batch(batch));
    play.play_on();
    assert_eq!(play.heard(), ["1/1 internal", "1/2 ok 1", "1/3 ok 1"]);
    play.assert_empty();
}

/// Submits long jobs as clients that leave at once: `count` by each of these.
fn submit_and_leave(play: &mut Play, clients: std::ops::Range<u64>, count: u64) {
    for client in clients {
        for request in 0..count {
            let work = long(&format!("submitted {client} {request}"), 1_000);
            play.order(client, request, submit(work), |_| {});
        }
        play.express();
        play.heard();
        play.leave(client);
    }
}

#[test]
fn submitted_jobs_lock_out_nobody_who_waits() {
    let mut play = Play::new(Policy {
        max_jobs: 10,
        max_jobs_per_account: 10,
        max_submitted: 20,
        ..Policy::default()
    });
    submit_and_leave(&mut play, 101..104, 30);
    assert_eq!(play.table.flow.waiters.submitted_by_all(), 20);
    play.order(104, 1, submit(long("one more", 9)), |_| {});
    play.order(2, 1, submit(long("of another", 9)), |_| {});
    assert_eq!(play.heard(), ["104/1 busy", "2/1 ok job=21"]);
    for request in 2..12 {
        play.ask(105, request, long("short", 1));
    }
    play.order(105, 12, Ask::List(Vec::new()), |order| order.rows = 64);
    assert_eq!(listed(&mut play), (21, true));
    play.express();
    assert_eq!(play.heard().iter().filter(|line| line.ends_with("ok 1")).count(), 10);
    play.leave(2);
    play.leave(104);
    play.leave(105);
    play.order(3, 1, Ask::CancelMany(Selection::Own), |_| {});
    play.order(3, 2, Ask::CancelMany(Selection::Of(payer(101).account)), |_| {});
    play.order(
        3,
        3,
        Ask::CancelMany(Selection::Jobs(vec![JobId(21), JobId(1), JobId(99)])),
        |_| {},
    );
    assert_eq!(
        play.heard(),
        ["3/1 no-job", "3/2 ok cancelled=20", "3/3 ok cancelled=1"]
    );
    play.assert_empty();
}

#[test]
fn titles_of_submitted_jobs_take_no_room_of_questions() {
    let mut play = roomy();
    for request in 0..1_000 {
        let title = format!("{request} {}", "1".repeat(10_000));
        play.order(1, request, submit(long(&title, 9)), |_| {});
    }
    assert!(play.heard().iter().any(|line| line.ends_with(" busy")));
    play.ask(2, 1, long(&"2".repeat(10_000), 1));
    play.express();
    assert_eq!(play.heard(), ["2/1 ok 1"]);
}

#[test]
fn a_list_of_many_jobs_is_as_long_as_one_of_few() {
    let mut play = roomy();
    submit_and_leave(&mut play, 101..141, 500);
    play.order(1, 1, Ask::List(Vec::new()), |order| order.rows = 1_000);
    assert_eq!(listed(&mut play), (250, true));
    play.order(150, 2, Ask::CancelMany(Selection::Own), |_| {});
    assert_eq!(play.heard(), ["150/2 ok cancelled=10000"]);
}

#[test]
fn fifty_clients_of_an_address_take_as_many_turns_as_one_of_another() {
    let mut play = roomy();
    for client in 101..151 {
        play.ask(client, 0, long(&format!("one of many {client}"), 1_000));
    }
    play.ask(2, 0, long("the only one", 1_000));
    play.express();
    let only = play.long("the only one");
    let turns = (0..200).filter(|_| play.bulk() == Some(only)).count();
    assert!((98..=102).contains(&turns), "{turns} of 200");
}

#[test]
fn giants_of_a_client_do_not_keep_others_from_memory_and_take_turns_with_smaller_plans() {
    let mut play = roomy();
    let giant = |title: &str, mib: u64| {
        let script = Script {
            slices: 1_000,
            memory: mib << 20,
            ..PLAIN
        };
        job(title, script)
    };
    for request in 0..90 {
        play.ask(1, request, giant(&format!("giant {request}"), 27));
    }
    play.express();
    assert_eq!(play.table.flow.bulk.held(), ((2 * 27) << 20, 88), "there is one worker");
    play.ask(2, 0, giant("of another", 27));
    play.ask(1, 90, giant("smaller", 6));
    play.express();
    let (other, smaller) = (play.long("of another"), play.long("smaller"));
    let mut turns = (0, 0);
    for _ in 0..300 {
        let turn = play.bulk();
        turns.0 += usize::from(turn == Some(other));
        turns.1 += usize::from(turn == Some(smaller));
    }
    assert!((148..=152).contains(&turns.0), "{turns:?} of 300");
    assert!((48..=52).contains(&turns.1), "{turns:?} of 300");
    play.leave(1);
    play.leave(2);
    play.assert_empty();
}

#[test]
fn what_is_not_begun_in_time_is_refused_unless_it_has_a_deadline_or_was_submitted() {
    let mut play = roomy();
    let deadline = Some(play.now + 3_000 * MS);
    play.ask_plain(1, 1, vec![long("a", 1), long("b", 1)]);
    play.ask(1, 3, long("c", 1));
    play.order(1, 4, Ask::Answer(long("d", 1)), |order| order.deadline = deadline);
    play.order(1, 5, submit(long("e", 1)), |_| {});
    play.heard();
    play.now += 500 * MS;
    play.ask_plain(2, 1, vec![long("f", 1)]);
    assert_eq!(play.table.next_alarm(), Some(play.now + 500 * MS));
    play.wait(499 * MS);
    assert_eq!(play.heard(), [""; 0]);
    play.wait(MS);
    assert_eq!(play.heard(), ["1/1 busy", "1/2 busy", "1/3 busy"]);
    play.express();
    play.order(1, 6, Ask::Result(JobId(1)), |_| {});
    assert_eq!(play.heard(), ["1/4 ok 1", "2/1 ok 1", "1/6 ok 1"]);
    play.assert_empty();
    let hour = Duration::from_secs(3_600);
    assert!(
        play.table.next_alarm() > Some(play.now + hour),
        "the job is forgotten then"
    );
}

/// Two workers that each begin a question in 100 us, with time for five of a hand-over, as questions of `clients`
/// arrive at this rate a second. How long those that were answered took, how many were refused at once, and how many
/// later.
fn overloaded(
    play: &mut Play,
    clients: std::ops::Range<u64>,
    rate: u64,
    span: Duration,
) -> (Vec<Duration>, usize, usize) {
    let start = play.now;
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let (mut at_once, mut later) = (0, 0);
    let count = clients.end - clients.start;
    while play.now - start < span {
        for _ in 0..rate / 2_000 {
            let request = asked.len() as u64;
            asked.push(play.now);
            play.ask_plain(clients.start + request % count, request, vec![long("short", 1)]);
        }
        for free in [2, 1] {
            let mut left = 5;
            for task in play.table.next_express(free) {
                let Payload::Batch(batch) = task.payload else {
                    unreachable!("all questions are plain");
                };
                let most = left.min(batch.fresh.len());
                left -= most;
                play.play_batch_in(task.work, batch, most, MS / 10);
            }
        }
        for (_, events) in play.table.take_events() {
            for (request, event) in events {
                let took = play.now - asked[request.0 as usize];
                match event {
                    Event::Final(Ok(_)) => answered.push(took),
                    _ if took < MS => at_once += 1,
                    _ => later += 1,
                }
            }
        }
        play.wait(MS / 2);
    }
    (answered, at_once, later)
}

#[test]
fn under_four_times_the_load_what_is_answered_is_answered_fast_and_the_rest_refused_at_once() {
    let mut play = roomy();
    let span = 3_000 * MS;
    let (mut answered, at_once, later) = overloaded(&mut play, 101..151, 80_000, span);
    answered.sort_unstable();
    let p99 = answered[answered.len() * 99 / 100];
    let share = answered.len() as f64 / (20_000.0 * span.as_secs_f64());
    println!("{share:.3} of the peak, p99 {p99:?}, refused {at_once} at once and {later} later");
    assert!(share >= 0.9 && p99 < 500 * MS, "{share} of the peak, p99 {p99:?}");
    assert!(later * 100 < at_once, "{at_once} were refused at once, {later} later");
    // Another address is served as if it were alone.
    play.ask_plain(2, 0, vec![long("short", 1)]);
    let next = play.table.next_express(1).remove(0);
    assert!(matches!(next.payload, Payload::Batch(batch) if batch.client == ClientId(2)));
}

#[test]
fn one_connection_may_fill_its_pipeline_with_work_of_less_than_the_limit() {
    let mut play = roomy();
    let (answered, at_once, later) = overloaded(&mut play, 1..2, 20_000, 500 * MS);
    assert_eq!((at_once, later), (0, 0));
    assert!(answered.len() > 9_000, "{} of 10,000", answered.len());
}

/// What may happen to a table.
#[derive(Clone, Debug)]
enum Happens {
    Asks {
        client: u64,
        slices: Vec<u64>,
        is_plain: bool,
    },
    IsCancelled {
        client: u64,
        request: u64,
    },
    Leaves(u64),
    IsHandedOut {
        free: usize,
    },
    ComesBack {
        which: usize,
        most: usize,
    },
}

fn happens() -> impl Strategy<Value = Happens> {
    let client = 1u64..4;
    prop_oneof![
        (client.clone(), prop::collection::vec(1u64..3, 1..6), any::<bool>()).prop_map(|(client, slices, is_plain)| {
            Happens::Asks {
                client,
                slices,
                is_plain,
            }
        }),
        (client.clone(), 0u64..30).prop_map(|(client, request)| Happens::IsCancelled { client, request }),
        client.prop_map(Happens::Leaves),
        (1usize..4).prop_map(|free| Happens::IsHandedOut { free }),
        (any::<usize>(), 0usize..6).prop_map(|(which, most)| Happens::ComesBack { which, most }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: one final reply to each question of a client that stays, none to others,
    /// nothing left over.
    #[test]
    fn every_question_has_one_final_reply(happenings in prop::collection::vec(happens(), 1..60)) {
        let mut play = Play::new(Policy { max_jobs: 12, max_jobs_per_account: 8, ..Policy::default() });
        let (mut asked, mut left) = (Vec::new(), HashSet::new());
        let mut under_way: Vec<Task> = Vec::new();
        let mut request = 0;
        for happens in happenings {
            match happens {
                Happens::Asks { client, slices, is_plain } if !left.contains(&client) => {
                    let first = request;
                    request += slices.len() as u64;
                    asked.extend((first..request).map(|request| (client, request)));
                    let works = slices.iter().map(|slices| long(&format!("of {slices}"), *slices));
                    if is_plain {
                        play.ask_plain(client, first, works.collect());
                    } else {
                        works.zip(first..).for_each(|(work, request)| play.ask(client, request, work));
                    }
                }
                Happens::IsCancelled { client, request } => play.cancel(client, request),
                Happens::Leaves(client) => {
                    left.insert(client);
                    play.leave(client);
                }
                Happens::IsHandedOut { free } => under_way.extend(play.table.next_express(free)),
                Happens::ComesBack { which, most } if !under_way.is_empty() => {
                    let task = under_way.swap_remove(which % under_way.len());
                    match task.payload {
                        Payload::Batch(batch) => play.play_batch(task.work, batch, most),
                        _ => play.play(task),
                    }
                }
                Happens::Asks { .. } | Happens::ComesBack { .. } => {}
            }
        }
        under_way.into_iter().for_each(|task| play.play(task));
        play.play_on();
        let mut heard: Vec<(u64, u64)> = Vec::new();
        for (client, events) in play.table.take_events() {
            heard.extend(events.into_iter().filter(|(_, event)| matches!(event, Event::Final(_))).map(|(request, _)| (client.0, request.0)));
        }
        heard.retain(|(client, _)| !left.contains(client));
        heard.sort_unstable();
        asked.retain(|(client, _)| !left.contains(client));
        asked.sort_unstable();
        prop_assert_eq!(heard, asked);
        play.assert_empty();
    }
}

#[test]
fn a_job_waits_until_it_is_begun_also_if_a_worker_gave_it_back() {
    let mut play = roomy();
    play.ask(1, 1, long("a", 9));
    let task = play.table.next_express(1).remove(0);
    let Payload::Begin(job) = task.payload else {
        unreachable!("it is a first slice")
    };
    play.done(task.work, Outcome::Untouched(job));
    play.now += 500 * MS;
    play.express();
    let queue = play.table.flow.jobs.get(task.work).map(Entry::queue);
    assert_eq!(queue, Some(498 * MS));
}

#[test]
fn a_job_counts_as_asked_as_long_as_nobody_has_submitted_it() {
    let mut play = roomy();
    play.ask(1, 1, long("a", 90));
    play.express();
    let asked = |play: &Play| play.table.flow.jobs.asked();
    assert_eq!(asked(&play), 1);
    play.order(2, 1, submit(long("a", 90)), |_| {});
    play.cancel(1, 1);
    assert_eq!(asked(&play), 0, "it goes on for the submitted job alone");
    play.ask(1, 2, long("a", 90));
    play.order(2, 2, Ask::CancelMany(Selection::Own), |_| {});
    assert_eq!(asked(&play), 1, "it goes on for the question alone");
    play.cancel(1, 2);
    assert_eq!(asked(&play), 0);
    play.assert_empty();
    assert_eq!(play.table.flow.jobs.submitted_title_bytes(), 0);
}
