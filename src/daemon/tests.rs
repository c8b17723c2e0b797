//! What a daemon survives of its own faults: failpoints in sessions and listeners, over real sockets.

use super::*;
use crate::engine::{Event, failpoint};
use crate::job::{Budget, Job, Plan, Query};
use crate::proto::{Code, Value};
use crate::server::failpoint::{Spot, arm};
use crate::store::{Contents, ErrorKind, MemoryStore, Record, State, Store, StoreError, StoredJob};
use crate::verb::{Step, define};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Waker};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon on a free port with the verb `plant WHERE`.
pub(super) fn with_failpoints() -> Daemon {
    let verb = define("plant", "panics elsewhere", |call| {
        arm(match call.arg(0) {
            Some("turn") => Spot::Turn,
            Some("news") => Spot::News,
            Some("accept") => Spot::Accept,
            _ => Spot::Closed,
        });
        Ok(Step::Answer(Value::Nothing))
    });
    let policy = Policy {
        // These tests are about panics: a machine that is busy otherwise is no reason to refuse what they ask.
        max_queue_age: PATIENCE,
        ..Policy::default()
    };
    Daemon::new()
        .workers(2)
        .policy(policy)
        .listen(([127, 0, 0, 1], 0).into())
        .verb(verb)
}

/// A client that reads lines.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes options");
        Self(BufReader::new(stream))
    }

    pub(super) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the daemon reads");
    }

    /// The next line; `None` once the daemon has closed the connection.
    pub(super) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end().to_owned()),
            Ok(0) => None,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the daemon neither answers nor closes: {error}"),
        }
    }

    fn ask(&mut self, request: &str) -> Option<String> {
        self.send(&format!("{request}\n"));
        self.line()
    }
}

/// A row of `info`.
fn info(address: SocketAddr, key: &str) -> u64 {
    let mut client = Client::connect(address);
    client.send("info\nquit\n");
    let rows = std::iter::from_fn(|| client.line());
    let value = rows
        .filter_map(|row| {
            row.strip_prefix("= ")?
                .strip_prefix(key)?
                .strip_prefix('=')?
                .parse()
                .ok()
        })
        .next();
    value.expect("info shows it")
}

pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it never came");
        std::thread::yield_now();
    }
}

/// Loads the daemon with jobs until `is_over`, over one connection that must get exactly one reply each.
fn load(address: SocketAddr, first: u64, is_over: &std::sync::atomic::AtomicBool) -> u64 {
    let mut client = Client::connect(address);
    let (mut next, mut replies) = (first, 0);
    while !is_over.load(Relaxed) || replies < 1_000 {
        let requests: String = (next..next + 50)
            .map(|n| format!("isprime 2^64+{n}\nnth {}\n", 1 + n % 1000))
            .collect();
        next += 50;
        client.send(&requests);
        for n in 0..100 {
            let line = client.line().expect("a session that did not panic goes on");
            let is_answer = match n % 2 {
                0 => line == "OK yes" || line == "OK no",
                _ => line.starts_with("OK ") && line[3..].bytes().all(|byte| byte.is_ascii_digit()),
            };
            assert!(is_answer, "{line}");
            replies += 1;
        }
    }
    replies
}

#[test]
fn a_thousand_sessions_panic_under_load_and_each_costs_its_connection_only() {
    let daemon = with_failpoints().spawn().expect("a free port can be had");
    let address = daemon.addresses()[0];
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let replies = std::thread::scope(|scope| {
        let is_over = &is_over;
        let loads: Vec<_> = (0..3)
            .map(|n| scope.spawn(move || load(address, 1_000_000_000 * (n + 1), is_over)))
            .collect();
        for n in 0..1_000 {
            let mut client = Client::connect(address);
            // Work is under way, and a request follows the one that panics.
            client.send(&format!("@a pi {}\n@b nth 4\n", 10u64.pow(17) + n));
            assert_eq!(client.line().as_deref(), Some("@b OK 7"));
            client.send("plant turn\nnth 4\n");
            assert_eq!(client.line(), None, "the session panicked before its replies left");
        }
        is_over.store(true, Relaxed);
        loads
            .into_iter()
            .map(|load| load.join().expect("exactly one reply each"))
            .sum::<u64>()
    });
    assert!(replies >= 3_000);
    assert_eq!(info(address, "session_panics"), 1_000);
    until("what they asked is cancelled", || info(address, "jobs") == 0);
    until("their connections are closed", || info(address, "connections") == 1);
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn a_flood_of_rows_keeps_no_other_connection_waiting() {
    let asked = Arc::new(AtomicU64::default());
    let other = Arc::new(Mutex::new(None::<TcpStream>));
    let (counted, asking) = (asked.clone(), other.clone());
    let rows = define("rows", "takes half a millisecond", move |_| {
        if asked.fetch_add(1, Relaxed) == 0
            && let Some(other) = &mut *asking.lock().expect("nobody panics")
        {
            // The turn of the flood has begun.
            other.write_all(b"asked\n").expect("the daemon reads");
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_micros(500) {}
        Ok(Step::Rows(vec!["a row".into()]))
    });
    let asked = define("asked", "how many rows there were", move |_| {
        Ok(Step::Answer(counted.load(Relaxed).into()))
    });
    let daemon = with_failpoints().verb(rows).verb(asked);
    let daemon = daemon.spawn().expect("a free port can be had");
    let mut waiting = Client::connect(daemon.addresses()[0]);
    assert_eq!(waiting.ask("ping").as_deref(), Some("OK pong"));
    let stream = waiting.0.get_ref().try_clone().expect("a socket can be shared");
    *other.lock().expect("nobody panics") = Some(stream);
    let mut flooding = Client::connect(daemon.addresses()[0]);
    flooding.send(&"rows\n".repeat(200));
    let reply = waiting.line().unwrap_or_default();
    let before = reply.strip_prefix("OK ").and_then(|count| count.parse::<u64>().ok());
    assert!(before.is_some_and(|before| before <= 8), "{reply}");
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn a_session_that_panics_at_news_is_closed_and_its_work_ends() {
    let daemon = with_failpoints().spawn().expect("a free port can be had");
    let address = daemon.addresses()[0];
    let mut client = Client::connect(address);
    client.send("@a pi 1e17\nplant news\nisprime 2^64+13\n");
    assert_eq!(client.line().as_deref(), Some("OK"));
    assert_eq!(client.line(), None);
    until("its work ends", || info(address, "jobs") == 0);
    assert_eq!(info(address, "session_panics"), 1);
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn a_daemon_whose_scheduler_panics_at_everything_answers_and_then_gives_up() {
    System::new().block_on(async {
        let running = Daemon::new().workers(1).start().await.expect("it needs no address");
        failpoint::arm(1, 0);
        for _ in 0..5 {
            let reply = running.engine().ask(Query::Pi(1 << 40)).await;
            assert_eq!(reply.map_err(|failure| failure.code), Err(Code::Internal));
        }
        running.gave_up().await;
        failpoint::arm(0, 0);
        let reply = running.engine().ask(Query::Pi(1 << 30)).await;
        assert_eq!(reply, Ok(Value::from(54_400_028)), "until its end it still answers");
        assert!(running.metrics.actors_rebuilt.count() >= 5);
        assert_eq!(running.drain(Duration::ZERO).await, Drained::GaveUp);
    });
}

#[test]
fn submitted_jobs_go_on_after_the_scheduler_has_panicked() {
    System::new().block_on(async {
        let disk = MemoryStore::new();
        let daemon = Daemon::new().workers(2).store(disk.clone());
        let running = daemon.start().await.expect("it needs no address");
        let ask = |words: &str| running.engine().request(words);
        assert_eq!(ask("submit pi 1e14").await, Ok(Value::Text("job=1".to_owned())));
        assert_eq!(
            ask("submit after=1h nth 1e9").await,
            Ok(Value::Text("job=2".to_owned()))
        );
        failpoint::arm(1, 0);
        let waiting = ask("result 1").await;
        failpoint::arm(0, 0);
        assert_eq!(waiting.map_err(|failure| failure.code), Err(Code::Internal));
        assert!(running.metrics.actors_rebuilt.count() >= 1);
        // pi(10^14): OEIS A006880.
        assert_eq!(ask("result 1").await, Ok(Value::from(3_204_941_750_802)));
        assert_eq!(ask("cancel 2").await, Ok(Value::Nothing));
        running.drain(Duration::ZERO).await;
        let jobs = disk.contents().jobs;
        let states: Vec<State> = jobs.values().map(StoredJob::state).collect();
        assert_eq!(states, [State::Done, State::Cancelled]);
    });
}

/// A disk whose writes come back when they are let go.
struct Hanging(MemoryStore, std::sync::mpsc::Receiver<()>);

impl Store for Hanging {
    fn recover(&mut self) -> Result<Contents, StoreError> {
        self.0.recover()
    }

    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let _ = self.1.recv();
        self.0.commit(batch)
    }
}

#[test]
fn a_write_that_does_not_come_back_is_a_failure_of_the_store_until_it_does() {
    System::new().block_on(async {
        let (go, hangs) = std::sync::mpsc::channel();
        let daemon = Daemon::new().workers(2).store(Hanging(MemoryStore::new(), hangs));
        let running = daemon.start().await.expect("it needs no address");
        let ask = |words: &str| running.engine().request(words);
        // Time passes where there is nothing else to do.
        tokio::time::pause();
        let mut first = Box::pin(ask("submit nth 1e9").into_future());
        assert!(
            first
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        let mut asked = Vec::new();
        let refusal = loop {
            match tokio::time::timeout(Duration::from_millis(100), ask("submit nth 2e9")).await {
                Err(_) => asked.push(()),
                Ok(reply) => break reply.expect_err("it cannot be written"),
            }
        };
        assert_eq!(refusal.code, Code::Store, "{refusal:?}");
        assert!(refusal.text.contains("a write has taken 5 s"), "{refusal:?}");
        assert!(asked.len() >= 40, "{}", asked.len());
        assert!(running.metrics.store().failure.contains("a write has taken 5 s"));
        tokio::time::resume();
        drop(go);
        assert_eq!(first.await, Ok(Value::Text("job=1".to_owned())));
        assert_eq!(running.metrics.store().failure, "");
        assert!(ask("submit nth 3e9").await.is_ok());
        running.drain(Duration::ZERO).await;
    });
}

#[test]
fn jobs_whose_store_is_gone_are_not_promised_to_go_on() {
    System::new().block_on(async {
        let disk = MemoryStore::new();
        let daemon = Daemon::new().workers(2).store(disk.clone());
        let running = daemon.start().await.expect("it needs no address");
        let engine = running.engine().clone();
        let ask = |words: &str| engine.request(words);
        assert!(ask("submit after=1h pi 1e15").await.is_ok());
        let mut waiting = Box::pin(ask("result 1").into_future());
        assert!(
            waiting
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        disk.set_broken(Some(ErrorKind::Replaced));
        let refusal = ask("submit after=1h pi 1e14").await.expect_err("it cannot be written");
        assert_eq!(refusal.code, Code::Store);
        let metrics = running.metrics.clone();
        assert!(metrics.store().is_replaced);
        tokio::time::pause();
        let (_, reply) = tokio::join!(running.drain(Duration::from_secs(1)), waiting);
        let failure = reply.expect_err("it has not ended");
        assert_eq!(failure.code, Code::Draining);
        assert!(
            failure.text.contains("job 1 is lost unless memory is put back"),
            "{failure:?}"
        );
        assert!(metrics.store().is_incomplete);
    });
}

#[test]
fn a_submitted_job_whose_id_nobody_has_read_is_cancelled() {
    System::new().block_on(async {
        let running = Daemon::new().workers(1).start().await.expect("it needs no address");
        let engine = running.engine();
        let mut submit = Box::pin(engine.request("submit after=1h pi 1e17").into_future());
        let asked = submit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(asked.is_pending());
        // It is answered before a later question.
        assert_eq!(engine.ask(Query::Pi(1 << 30)).await, Ok(Value::from(54_400_028)));
        drop(submit);
        let result = engine.request("result 1").await;
        assert_eq!(result.map_err(|failure| failure.code), Err(Code::Cancelled));
        assert_eq!(running.drain(PATIENCE).await, Drained::InTime);
    });
}

#[test]
fn a_panic_of_the_local_clients_fails_each_that_waits_once_and_the_next_is_answered() {
    const WAITING: u128 = 20;
    System::new().block_on(async {
        let running = Daemon::new().workers(1).start().await.expect("it needs no address");
        let engine = running.engine();
        let long = |n: u128| Query::Pi(10u128.pow(17) + n);
        let answers: Vec<_> = (0..WAITING).map(|n| engine.ask(long(n)).into_future()).collect();
        let mut events = engine.ask(long(WAITING)).events();
        failpoint::arm_local();
        // Its answer is the news that panics.
        let reply = engine.ask(Query::Pi(1 << 30)).await;
        assert_eq!(reply.map_err(|failure| failure.code), Err(Code::Internal));
        for answer in answers {
            assert_eq!(answer.await.map_err(|failure| failure.code), Err(Code::Internal));
        }
        let failure = events.next().await.map(|event| match event {
            Event::Final(reply) => reply.map_err(|failure| failure.code),
            other @ Event::Interim(_) => panic!("{other:?}"),
        });
        assert_eq!(failure, Some(Err(Code::Internal)));
        assert!(events.next().await.is_none(), "one final reply each");
        assert_eq!(engine.ask(Query::Pi(1 << 30)).await, Ok(Value::from(54_400_028)));
        assert_eq!(running.metrics.jobs.load(Relaxed), 0, "what they asked is cancelled");
        assert_eq!(running.metrics.actors_rebuilt.count(), 1);
        assert_eq!(running.drain(PATIENCE).await, Drained::InTime);
    });
}

#[test]
fn a_listener_that_panics_goes_on_accepting_on_its_socket() {
    let daemon = with_failpoints().spawn().expect("a free port can be had");
    let address = daemon.addresses()[0];
    let mut client = Client::connect(address);
    assert_eq!(client.ask("plant accept").as_deref(), Some("OK"));
    let mut late = Client::connect(address);
    assert_eq!(
        late.ask("nth 4").as_deref(),
        Some("OK 7"),
        "it was accepted after the panic"
    );
    assert_eq!(client.ask("plant closed").as_deref(), Some("OK"));
    drop(late);
    until("the closed connection is noticed", || {
        info(address, "actors_rebuilt") == 2
    });
    until("it is forgotten", || info(address, "connections") == 2);
    drop(client);
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}

#[test]
fn a_listener_that_panics_again_and_again_ends_the_daemon_with_an_error() {
    let (address, ended) = std::sync::mpsc::channel();
    let running = std::thread::spawn(move || {
        System::new().block_on(async move {
            let running = with_failpoints().start().await.expect("a free port can be had");
            let _ = address.send(running.addresses()[0]);
            running.gave_up().await;
            running.drain(PATIENCE).await
        })
    });
    let mut client = Client::connect(ended.recv().expect("it starts"));
    let address = client.0.get_ref().peer_addr().expect("it is connected");
    for _ in 0..4 {
        assert_eq!(client.ask("plant accept").as_deref(), Some("OK"));
        // It wakes the listener, and is answered after the panic: the next is armed then.
        assert_eq!(Client::connect(address).ask("ping").as_deref(), Some("OK pong"));
    }
    assert_eq!(client.ask("plant accept").as_deref(), Some("OK"));
    // It may be refused: the listener may have given up already.
    let _ = TcpStream::connect(address);
    drop(client);
    assert_eq!(running.join().expect("it ends"), Drained::GaveUp);
}

/// A plan of one slice, which ignores its budget, and whose absorbing takes long.
#[derive(Default)]
struct Stubborn {
    is_cut: bool,
    is_done: bool,
}

impl Plan for Stubborn {
    type Slice = ();
    type Partial = ();

    fn cut(&mut self) -> Option<()> {
        (!std::mem::replace(&mut self.is_cut, true)).then_some(())
    }

    fn run((): (), _: Budget<'_>) {
        let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let millis = || cpu().tv_sec * 1_000 + cpu().tv_nsec / 1_000_000;
        let begun = millis();
        while millis() < begun + 60 {}
    }

    fn absorb(&mut self, (): ()) {
        std::thread::sleep(Duration::from_millis(120));
        self.is_done = true;
    }

    fn answer(&mut self) -> Option<Value> {
        self.is_done.then_some(Value::Nothing)
    }

    fn progress(&self) -> f64 {
        f64::from(u8::from(self.is_done))
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[test]
fn a_plan_that_keeps_others_waiting_is_counted_and_doctor_names_it() {
    let stubborn = define("stubborn", "takes its time", |_| {
        Ok(Step::Job(Job::new("stubborn", Stubborn::default)))
    });
    let free = ([127, 0, 0, 1], 0).into();
    let daemon = Daemon::new().workers(1).verb(stubborn).listen(free).spawn();
    let daemon = daemon.expect("a free port can be had");
    let address = daemon.addresses()[0];
    let mut client = Client::connect(address);
    assert_eq!(client.ask("pi 1e12").as_deref(), Some("OK 37607912018"));
    // A turn is measured by the clock, and may be late on a crowded machine too.
    let turns = info(address, "late_turns");
    assert_eq!(info(address, "late_slices"), 0);
    assert_eq!(client.ask("stubborn").as_deref(), Some("OK"));
    assert_eq!(info(address, "late_slices"), 1);
    assert!(info(address, "late_turns") > turns);
    client.send("doctor\n");
    let rows: Vec<_> = std::iter::from_fn(|| client.line().filter(|line| line != "OK")).collect();
    let is_named = |what: &str| rows.iter().any(|row| row.starts_with(&format!("= warning: {what}")));
    assert!(is_named("slices that took 50 ms or more"), "{rows:?}");
    assert!(is_named("turns of the scheduler that took 100 ms or more"), "{rows:?}");
    assert_eq!(daemon.stop(PATIENCE), Drained::InTime);
}
