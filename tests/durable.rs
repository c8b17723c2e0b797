//! What outlives the daemon, over real sockets and real kills: submitted jobs, their checkpoints and ends, and
//! expensive answers.

mod support;

use primed::Daemon;
use primed::internals::store::{ErrorKind, MemoryStore, Record, Store};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use support::{Client, PATIENCE, spawn, until};

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        Self(std::env::temp_dir().join(format!("primed-durable-{}-{number}", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A `primed serve` on a directory.
struct Served {
    child: Child,
    address: SocketAddr,
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--workers",
            "2",
            "--keep-finished",
            "1000000",
            "--data",
        ])
        .arg(directory)
        .env_remove("PRIMED_KILLS");
    command
}

impl Served {
    fn start(directory: &Path) -> Self {
        Self::run(command(directory).args(["--log", "warn"]))
    }

    fn run(command: &mut Command) -> Self {
        let (child, address) = spawn(command);
        Self { child, address }
    }

    fn client(&self) -> Client {
        Client::connect_to(self.address)
    }

    fn rows(&self, request: &str) -> Vec<String> {
        let mut client = self.client();
        client.send(format!("{request}\n"));
        let text = client.finish();
        text.lines()
            .filter_map(|line| line.strip_prefix("= "))
            .map(str::to_owned)
            .collect()
    }

    /// What a row of `jobs` says of a job.
    fn field(&self, job: &str, name: &str) -> String {
        let rows = self.rows("jobs");
        let row = rows.iter().find(|row| row.starts_with(&format!("id={job} ")));
        let field = row.and_then(|row| row.split(' ').find_map(|field| field.strip_prefix(&format!("{name}="))));
        field
            .unwrap_or_else(|| panic!("no {name} of job {job} in {rows:?}"))
            .to_owned()
    }

    fn kill(mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it is our child");
    }

    /// Ends it by SIGTERM; what it wrote on standard error, if that is piped.
    fn terminate(mut self) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it lives");
        let status = self.child.wait().expect("it is our child");
        assert!(status.success(), "{status}");
        let mut log = String::new();
        if let Some(errors) = &mut self.child.stderr {
            errors.read_to_string(&mut log).expect("it writes text");
        }
        log
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn submit(client: &mut Client, words: &str) -> String {
    let reply = client.ask(&format!("submit {words}"));
    let job = reply.strip_prefix("OK job=");
    job.unwrap_or_else(|| panic!("submit {words}: {reply}")).to_owned()
}

#[test]
fn a_signal_ends_a_start_that_waits_for_the_end_of_an_earlier_daemon() {
    let directory = Directory::new();
    // A process that has ended, and that nobody has waited for, is said to have the lock.
    let mut ended = Command::new("true").spawn().expect("it is there");
    let stat = format!("/proc/{}/stat", ended.id());
    while !std::fs::read_to_string(&stat).expect("it is there").contains(") Z") {
        std::thread::yield_now();
    }
    std::fs::create_dir_all(directory.path()).expect("it is made");
    let mut lock = File::create(directory.path().join("lock")).expect("it is made");
    lock.lock().expect("nobody has it");
    write!(lock, "{}", ended.id()).expect("written");
    let mut child = command(directory.path())
        .args(["--log", "warn"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    let errors = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut lines = errors.lines().map(|line| line.expect("it writes text"));
    assert!(lines.any(|line| line.contains("waiting for the end of the daemon that had it")));
    let began = Instant::now();
    let served = Served {
        child,
        address: ([127, 0, 0, 1], 0).into(),
    };
    served.terminate();
    assert!(began.elapsed() < Duration::from_secs(8), "it waited for the lock");
    ended.wait().expect("it is our child");
}

#[test]
fn a_job_that_was_acknowledged_is_answered_after_kill_9() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let mut client = served.client();
    let done = submit(&mut client, "pi 1000000");
    assert_eq!(client.ask(&format!("result {done}")), "OK 78498");
    let long = submit(&mut client, "id=long priority=high pi 1e15");
    let later = submit(&mut client, "after=1h pi 1e9");
    served.kill();

    let served = Served::start(directory.path());
    let mut client = served.client();
    assert_eq!(client.ask(&format!("result {done}")), "OK 78498");
    assert_eq!(served.field(&long, "resumed"), "1");
    assert_eq!(served.field(&long, "priority"), "high");
    assert_eq!(served.field(&later, "state"), "queued");
    assert_eq!(
        submit(&mut client, "id=long pi 1e15"),
        long,
        "the same key and question"
    );
    let reply = client.ask("submit id=long pi 1e14");
    assert!(reply.starts_with("ERR bad-arg"), "{reply}");
    let next: u64 = submit(&mut client, "pi 10").parse().expect("a number");
    assert!(next > later.parse().expect("a number"), "no ID is given twice");
    // pi(10^15): OEIS A006880.
    assert_eq!(client.ask(&format!("result {long}")), "OK 29844570422669");
}

/// How many rounds of kills: `PRIMED_KILLS=500` for the long form.
fn kills(usual: u64) -> u64 {
    let asked = std::env::var("PRIMED_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Sends submits, cancels and questions about finished jobs until the daemon is gone, and gives what it acknowledged.
fn load(address: SocketAddr, round: u64, acknowledged: &mpsc::Sender<(u64, String, &'static str)>) {
    // Known answers: OEIS A006880.
    const QUESTIONS: [(&str, &str); 4] = [
        ("pi 1e9", "50847534"),
        ("pi 1e10", "455052511"),
        ("pi 1e11", "4118054813"),
        ("pi 1e12", "37607912018"),
    ];
    // On a crowded machine it may be killed before.
    let Ok(stream) = TcpStream::connect(address) else {
        return;
    };
    let mut client = Client::of(stream);
    for number in 0.. {
        let (question, answer) = QUESTIONS[number % QUESTIONS.len()];
        // A key of its own keeps equal questions from being one.
        client.send_if_possible(format!("submit id={round}-{number} {question}\n"));
        let Some(reply) = client.line_if_any() else { return };
        let Some(job) = reply.strip_prefix("OK job=").and_then(|job| job.parse().ok()) else {
            assert!(!reply.starts_with("ERR"), "{reply}");
            return;
        };
        let is_cancelled = number % 7 == 3;
        let sent = acknowledged.send((job, question.to_owned(), if is_cancelled { "" } else { answer }));
        sent.expect("somebody counts");
        if is_cancelled {
            client.send_if_possible(format!("cancel {job}\n"));
            let Some(_) = client.line_if_any() else { return };
        }
        if number % 3 == 0 {
            client.send_if_possible(format!("result {job} deadline=1ms\n"));
            let Some(_) = client.line_if_any() else { return };
        }
    }
}

#[test]
fn kills_at_random_moments_lose_no_acknowledged_job() {
    let directory = Directory::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut jobs: BTreeMap<u64, &'static str> = BTreeMap::new();
    let (mut slowest, rounds) = (Duration::ZERO, kills(8));
    for round in 0..rounds {
        let begun = Instant::now();
        let served = Served::start(directory.path());
        slowest = slowest.max(begun.elapsed());
        let (sender, acknowledged) = mpsc::channel();
        let clients: Vec<_> = (0..3)
            .map(|client| {
                let (address, sender) = (served.address, sender.clone());
                std::thread::spawn(move || load(address, round * 3 + client, &sender))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(random.u64(20..400)));
        served.kill();
        clients
            .into_iter()
            .for_each(|client| client.join().expect("no ID was refused"));
        drop(sender);
        for (job, question, answer) in acknowledged {
            assert_eq!(
                jobs.insert(job, answer),
                None,
                "ID {job} was given twice, to {question}"
            );
        }
    }
    let served = Served::start(directory.path());
    let mut client = served.client();
    let mut lost = 0;
    for (job, answer) in &jobs {
        let reply = client.ask(&format!("result {job}"));
        // One that was to be cancelled may have ended before.
        let is_right = reply == format!("OK {answer}") || answer.is_empty();
        assert!(
            is_right || reply.starts_with("ERR no-job"),
            "job {job}: {reply}, not {answer}"
        );
        lost += usize::from(reply.starts_with("ERR no-job"));
    }
    println!(
        "{rounds} kills, {} jobs acknowledged, {lost} lost, slowest start {slowest:?}",
        jobs.len()
    );
    assert_eq!(lost, 0);
}

/// `PRIMED_KILLS=10 cargo test --release --test durable -- --ignored killed`
#[test]
#[ignore = "takes half a minute of CPU time"]
fn a_count_that_is_killed_again_and_again_goes_on_from_its_checkpoints() {
    let directory = Directory::new();
    let job = {
        let served = Served::start(directory.path());
        submit(&mut served.client(), "pi 1e18")
    };
    // Together less than the whole count takes.
    let (kills, seconds) = (kills(2), 15.0 / kills(2) as f64);
    // The last start was ended as a kill is.
    for kill in 0..kills {
        let served = Served::start(directory.path());
        assert_eq!(served.field(&job, "resumed"), (kill + 1).to_string());
        let before = cpu(&served, &job);
        until("it works for some seconds of CPU time", || {
            std::thread::sleep(Duration::from_millis(100));
            cpu(&served, &job) >= before + seconds
        });
        served.kill();
    }
    let served = Served::start(directory.path());
    assert!(cpu(&served, &job) >= 5.0, "it goes on from a checkpoint");
    // pi(10^18): OEIS A006880.
    assert_eq!(served.client().ask(&format!("result {job}")), "OK 24739954287740860");
}

fn cpu(served: &Served, job: &str) -> f64 {
    let cpu = served.field(job, "cpu");
    cpu.trim_end_matches('s').parse().expect("a number of seconds")
}

#[test]
fn a_drain_stops_submitted_jobs_at_once_and_the_next_process_goes_on() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let mut client = served.client();
    let job = submit(&mut client, "pi 1e16");
    until("it has begun", || cpu(&served, &job) > 0.5);
    client.send(format!("result {job}\n"));
    let begun = Instant::now();
    served.terminate();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let reply = client.line().expect("it is answered");
    assert!(reply.starts_with("ERR draining"), "{reply}");
    let served = Served::start(directory.path());
    assert!(cpu(&served, &job) > 0.4, "it goes on from the checkpoint of the drain");
    // pi(10^16): OEIS A006880.
    assert_eq!(served.client().ask(&format!("result {job}")), "OK 279238341033925");
}

#[test]
fn the_log_of_a_drain_says_what_has_not_ended() {
    for (has_store, submits, said) in [
        (true, 0, "every accepted request is answered"),
        (
            true,
            2,
            "submitted jobs have not ended, and go on at the next start jobs=2",
        ),
        (
            false,
            2,
            "submitted jobs have not ended, and are lost: --data DIR keeps them jobs=2",
        ),
    ] {
        let directory = Directory::new();
        let place = if has_store { directory.path() } else { Path::new("none") };
        let served = Served::run(command(place).env("PRIMED_LOG", "info").stderr(Stdio::piped()));
        let mut client = served.client();
        for _ in 0..submits {
            submit(&mut client, "pi 1e20");
        }
        client.send("info\n");
        let metrics = client.finish();
        // Two equal ones are one, or not yet.
        assert_eq!(metrics.contains("= jobs=0\n"), submits == 0, "{metrics}");
        let log = served.terminate();
        assert!(log.trim_end().ends_with(said), "{log}");
    }
}

#[test]
fn expensive_answers_come_from_the_store_after_a_restart_until_they_are_forgotten() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    assert_eq!(served.client().ask("pi 1e15"), "OK 29844570422669");
    until("the answer is kept", || {
        served.rows("info").contains(&"stored_answers=1".to_owned())
    });
    served.terminate();
    let served = Served::start(directory.path());
    let mut client = served.client();
    assert_eq!(client.ask("pi 1e15 deadline=50ms"), "OK 29844570422669");
    assert!(served.rows("info").contains(&"stored_answer_hits_total=1".to_owned()));
    assert_eq!(client.ask("forget pi 1e15"), "OK");
    assert!(client.ask("pi 1e15 deadline=2ms").starts_with("ERR deadline"));
    served.terminate();
    let served = Served::start(directory.path());
    assert!(served.rows("info").contains(&"stored_answers=0".to_owned()));
}

#[test]
fn the_answer_of_a_job_is_verified_by_its_id_also_after_a_restart() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let mut client = served.client();
    let job = submit(&mut client, "pi 1e14");
    let later = submit(&mut client, "after=1h pi 1e12");
    assert_eq!(client.ask(&format!("result {job}")), "OK 3204941750802");
    let verified = "OK verified pi 100000000000000 = 3204941750802";
    let reply = client.ask(&format!("verify {job}"));
    assert!(reply.starts_with(verified), "{reply}");
    for (job, reason) in [(later, "has not ended"), ("99".to_owned(), "there is no job 99")] {
        let reply = client.ask(&format!("verify {job}"));
        assert!(reply.starts_with("ERR no-job") && reply.contains(reason), "{reply}");
    }
    for (request, reason) in [
        ("pi 1e6", "the answer is not computed, but read from a table"),
        ("PI 1e6", "the answer is not computed, but read from a table"),
        ("1000", "the answer is not computed, but read from a table"),
        ("ping", "only pi, nth, and factor"),
    ] {
        let known = submit(&mut client, request);
        let reply = client.ask(&format!("verify {known}"));
        assert!(reply.starts_with(&format!("ERR bad-arg :{reason}")), "{reply}");
    }
    served.kill();
    let served = Served::start(directory.path());
    let reply = served.client().ask(&format!("verify {job}"));
    assert!(reply.starts_with(verified), "{reply}");
}

#[test]
fn an_answer_that_was_refuted_is_not_the_result_of_its_job_after_a_restart() {
    let mut disk = MemoryStore::new();
    let daemon = support::start(Daemon::new().store(disk.clone()));
    let job = submit(&mut Client::connect(&daemon), "pi 1e11");
    assert_eq!(Client::connect(&daemon).ask(&format!("result {job}")), "OK 4118054813");
    daemon.stop(PATIENCE);
    let refuted = Record::Refuted(job.parse().expect("an ID"));
    disk.commit(&[refuted]).expect("it is written");
    let daemon = support::start(Daemon::new().store(disk));
    let reply = Client::connect(&daemon).ask(&format!("result {job}"));
    assert!(
        reply.starts_with("ERR internal :a verification came to another answer"),
        "{reply}"
    );
}

#[test]
fn a_second_daemon_on_a_directory_does_not_start_and_says_why() {
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let output = command(directory.path())
        .stderr(Stdio::piped())
        .output()
        .expect("the binary was built");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    let holder = served.child.id().to_string();
    assert!(said.contains(&holder) && said.contains("--data"), "{said}");
}

#[test]
fn while_the_store_fails_submits_are_refused_and_all_else_is_answered() {
    let disk = MemoryStore::new();
    let daemon = support::start(Daemon::new().store(disk.clone()));
    let mut client = Client::connect(&daemon);
    let first = submit(&mut client, "pi 1e9");
    disk.set_broken(Some(ErrorKind::Full));
    let refused = client.ask("submit pi 1e10");
    assert!(
        refused.starts_with("ERR store :") && refused.contains("free space"),
        "{refused}"
    );
    assert_eq!(client.ask(&format!("result {first}")), "OK 50847534");
    assert_eq!(client.ask("pi 1e10"), "OK 455052511");
    disk.set_broken(None);
    until("it is written again", || {
        client.ask("submit pi 1e11").starts_with("OK job=")
    });
    daemon.stop(PATIENCE);
    let contents = disk.contents();
    let titles: Vec<&str> = contents
        .jobs
        .values()
        .map(|job| job.submission.title.as_str())
        .collect();
    assert_eq!(titles, ["pi 1000000000", "pi 100000000000"]);
}

/// A plan without an end.
struct Ponder;

impl primed::Plan for Ponder {
    type Slice = ();
    type Partial = ();

    fn cut(&mut self) -> Option<()> {
        Some(())
    }

    fn run((): (), budget: primed::Budget<'_>) {
        while !budget.over() {}
    }

    fn absorb(&mut self, (): ()) {}

    fn answer(&mut self) -> Option<primed::Value> {
        None
    }

    fn progress(&self) -> f64 {
        0.0
    }
}

#[test]
fn a_job_whose_verb_is_gone_has_failed_and_says_so() {
    let disk = MemoryStore::new();
    let verb = primed::define("ponder", "thinks for ever", |_| {
        Ok(primed::Job::new("ponder", || Ponder).into())
    });
    let daemon = support::start(Daemon::new().store(disk.clone()).verb(verb));
    let job = submit(&mut Client::connect(&daemon), "ponder");
    daemon.stop(PATIENCE);
    let daemon = support::start(Daemon::new().store(disk));
    let reply = Client::connect(&daemon).ask(&format!("result {job}"));
    assert!(
        reply.starts_with("ERR unknown-verb :the job cannot go on after a restart"),
        "{reply}"
    );
}

/// Where the process that ends by itself finds its directory.
const DIRECTORY: &str = "PRIMED_DURABLE_TEST_DIRECTORY";

#[test]
#[ignore = "is run by another test, as a process of its own"]
fn serves_a_verb_that_ends_the_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let verb = primed::define("abort", "ends the process", |_| {
        Ok(primed::Job::new("abort", || -> Ponder { std::process::abort() }).into())
    });
    let daemon = support::start(Daemon::new().data(directory).verb(verb));
    println!("\n listens on {};", daemon.addresses()[0]);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the end of the input");
    daemon.stop(PATIENCE);
}

/// Starts that process, unless it ends before it listens.
fn serve_abort(directory: &Path) -> Option<Served> {
    let mut child = Command::new(std::env::current_exe().expect("it runs"))
        .args([
            "--exact",
            "serves_a_verb_that_ends_the_process",
            "--ignored",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started again");
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    let address = out.lines().map_while(Result::ok).find_map(|line| {
        let address = line.strip_prefix(" listens on ")?.strip_suffix(';')?;
        address.parse().ok()
    });
    match address {
        Some(address) => Some(Served { child, address }),
        None => {
            child.wait().expect("it is our child");
            None
        }
    }
}

#[test]
fn a_job_that_ends_the_process_is_given_up_and_others_go_on() {
    let directory = Directory::new();
    let served = serve_abort(directory.path()).expect("it has no job");
    let mut client = served.client();
    let other = submit(&mut client, "pi 1e15");
    let later = submit(&mut client, "after=1h pi 1e14");
    client.send_if_possible("submit id=bad abort\n");
    while client.line_if_any().is_some() {}
    let given_up = (0..12).find_map(|_| {
        let served = serve_abort(directory.path())?;
        let mut client = Client::of(TcpStream::connect(served.address).ok()?);
        client.send_if_possible("result 3\n");
        client.line_if_any().map(|reply| (served, reply))
    });
    let (served, reply) = given_up.expect("it goes on a few times only");
    assert!(
        reply.starts_with("ERR internal :the daemon ended 5 times") && reply.contains("submit it again"),
        "{reply}"
    );
    assert_eq!(served.field(&later, "state"), "queued");
    // pi(10^15): OEIS A006880.
    assert_eq!(served.client().ask(&format!("result {other}")), "OK 29844570422669");
}

#[test]
fn a_store_that_fails_while_jobs_run_costs_none_of_them() {
    let disk = MemoryStore::new();
    let daemon = support::start(Daemon::new().store(disk.clone()));
    let mut client = Client::connect(&daemon);
    let long = submit(&mut client, "pi 1e15");
    let short = submit(&mut client, "pi 1e11");
    // Some of these are under way when the store fails, and some come after.
    let lines: String = (0..500)
        .map(|n| format!("submit after=1h nth {n}000000000\n"))
        .collect();
    client.send(lines);
    let mut acknowledged = vec![long.clone(), short.clone()];
    for number in 0..500 {
        if number == 20 {
            disk.set_broken(Some(ErrorKind::Full));
        }
        let reply = client.line().expect("each is answered");
        match reply.strip_prefix("OK job=") {
            Some(job) => acknowledged.push(job.to_owned()),
            None => assert!(
                reply.starts_with("ERR store :") || reply.starts_with("ERR bad-arg"),
                "{reply}"
            ),
        }
    }
    // pi(10^15), pi(10^12): OEIS A006880.
    assert!(client.ask("submit pi 7").starts_with("ERR store :"));
    assert_eq!(client.ask("pi 1e12"), "OK 37607912018");
    assert_eq!(client.ask(&format!("result {short}")), "OK 4118054813");
    assert_eq!(client.ask(&format!("result {long}")), "OK 29844570422669");
    disk.set_broken(None);
    until("it is written again", || {
        client.ask("submit pi 8").starts_with("OK job=")
    });
    let ended = |job: &str| {
        let contents = disk.contents();
        let id = contents.jobs.keys().find(|id| id.to_string() == job);
        id.is_some_and(|id| contents.jobs[id].end.is_some())
    };
    until("the ends of what ran meanwhile are written", || {
        ended(&long) && ended(&short)
    });
    daemon.stop(PATIENCE);
    let jobs = disk.contents().jobs;
    for job in acknowledged {
        assert!(jobs.keys().any(|id| id.to_string() == job), "job {job} is lost");
    }
}

/// Half of them are unfinished. On a machine that is free it listens within a second; the bound here is for one that is
/// not.
#[test]
fn a_daemon_with_10000_jobs_in_its_store_listens_soon() {
    let directory = Directory::new();
    {
        let served = Served::start(directory.path());
        let mut client = served.client();
        for (when, first) in [("after=1d ", 1_000_000_000_000_u64), ("", 100_000)] {
            for thousand in 0..5 {
                let lines = (0..1_000).map(|n| format!("submit {when}pi {}\n", first + 1_000 * thousand + n));
                client.send(lines.collect::<String>());
                for _ in 0..1_000 {
                    let reply = client.line().expect("it is answered");
                    assert!(reply.starts_with("OK job="), "{reply}");
                }
            }
        }
        served.kill();
    }
    let begun = Instant::now();
    let served = Served::start(directory.path());
    let taken = begun.elapsed();
    println!("it listens after {taken:?} with 10,000 jobs");
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    assert_eq!(served.field("1", "state"), "queued");
}

/// `cargo test --release --test durable -- --ignored --nocapture submits_a_second`
#[test]
#[ignore = "measures"]
fn submits_a_second_at_depth_100() {
    const SUBMITS: usize = 50_000;
    let directory = Directory::new();
    let served = Served::start(directory.path());
    let mut client = served.client();
    let mut sent: VecDeque<Instant> = VecDeque::new();
    let mut times = Vec::with_capacity(SUBMITS);
    let begun = Instant::now();
    let mut number = 0;
    while times.len() < SUBMITS {
        let more = (100 - sent.len()).min(SUBMITS - number);
        let lines: String = (0..more).map(|n| format!("submit pi {}\n", number + n)).collect();
        number += more;
        client.send(lines);
        sent.extend(std::iter::repeat_n(Instant::now(), more));
        let reply = client.line().expect("it is answered");
        assert!(reply.starts_with("OK job="), "{reply}");
        times.push(sent.pop_front().expect("it was sent").elapsed());
    }
    let rate = SUBMITS as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    println!(
        "{rate:.0} submits a second at depth 100, p99 {:?}",
        times[SUBMITS * 99 / 100]
    );
}
