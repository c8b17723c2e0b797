//! The store against everything that ends a process or spoils a disk, and the commands that look after it.
//!
//! `PRIMED_ROUNDS=500` makes the rounds of the table of faults in docs/operations.md.

mod support;

use primed::internals::store::{
    Checkpoint, Contents, End, ErrorKind, JobId, KeptAnswer, Priority, Record, SqliteStore, State, Store, StoreError,
    Submission, Timestamp,
};
use primed::{Code, Failure};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;
use support::Directory;

/// Where the process that writes finds its directory.
const DIRECTORY: &str = "PRIMED_STORE_TEST_DIRECTORY";

fn rounds(usual: u64) -> u64 {
    let asked = std::env::var("PRIMED_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

const MOMENT: Timestamp = Timestamp::from_millis(1_700_000_000_123);

fn submission(job: u64) -> Submission {
    Submission {
        job: JobId(job),
        request: format!("pi {job}"),
        title: format!("pi {job}"),
        key: job.is_multiple_of(3).then(|| format!("key {job}")),
        owner: "127.0.0.1:40000".to_owned(),
        priority: Priority::Normal,
        submitted_at: MOMENT,
        not_before: None,
        deadline: None,
    }
}

/// Batch number `number` of a history that is the same in every run: what a daemon writes under load.
fn batch(number: u64) -> Vec<Record> {
    let mut random = fastrand::Rng::with_seed(number);
    let first = number * 10 + 1;
    let mut records: Vec<Record> = (first..first + 10)
        .map(|job| Record::Submitted(submission(job)))
        .collect();
    let mut earlier = || JobId(random.u64(1..=first + 9));
    let (saved, ended, failed, forgotten) = (earlier(), earlier(), earlier(), earlier());
    records.push(Record::Checkpoint(Checkpoint {
        job: saved,
        saved_at: MOMENT,
        progress: 0.25,
        cpu: Duration::from_micros(number),
        bytes: vec![number as u8; random.usize(..50_000)].into(),
    }));
    let end = |job, reply| {
        Record::Ended(End {
            job,
            ended_at: MOMENT,
            cpu: Duration::from_secs(number),
            reply,
        })
    };
    records.push(end(ended, Ok(number.into())));
    records.push(end(failed, Err(Failure::new(Code::Deadline, "the deadline passed"))));
    records.push(Record::Forgotten(forgotten));
    records.push(Record::Answer(KeptAnswer {
        title: format!("nth {}", number % 50),
        value: number.into(),
        cost: Duration::from_millis(number),
        found_at: MOMENT,
        version: "1".to_owned(),
        method: "sieve".to_owned(),
        is_refuted: false,
    }));
    records
}

/// How many batches are in a store, by its highest ID.
fn batches_in(contents: &Contents) -> u64 {
    assert!(contents.last_job.is_multiple_of(10), "half a batch is there");
    contents.last_job / 10
}

/// What the first batches come to, made as they are asked for in ascending order.
#[derive(Default)]
struct Model {
    contents: Contents,
    batches: u64,
}

impl Model {
    fn after(&mut self, batches: u64) -> &Contents {
        assert!(self.batches <= batches, "a batch that was there is gone");
        for number in self.batches..batches {
            batch(number).iter().for_each(|record| self.contents.apply(record));
        }
        self.batches = batches;
        &self.contents
    }
}

/// Not a test: the process that writes, until it is killed. Says the number of each batch that is committed.
#[test]
#[ignore = "is run by other tests, as a process of its own"]
fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let mut store = SqliteStore::open(Path::new(&directory)).expect("the store opens after any end");
    let contents = store.recover().expect("it can be read");
    // Not by println!, which the test harness takes.
    let mut out = std::io::stdout();
    for number in batches_in(&contents).. {
        store.commit(&batch(number)).expect("it is written");
        writeln!(out, "batch {number}").expect("the parent listens");
    }
}

struct WritingProcess {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl WritingProcess {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a test knows its file"))
            .args(["--exact", "writes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIRECTORY, directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a test can be run");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, out }
    }

    /// Waits for the next acknowledgement: how many batches are committed.
    fn next(&mut self) -> Option<u64> {
        let mut line = String::new();
        while self.out.read_line(&mut line).expect("a pipe") > 0 {
            if let Some(number) = line.trim().strip_prefix("batch ") {
                return Some(number.parse::<u64>().expect("a number") + 1);
            }
            line.clear();
        }
        None
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("it runs");
    }

    /// Stops it wherever it is, and waits until it stands.
    fn stop(&self) {
        use rustix::process::{Pid, WaitOptions, waitpid};
        self.signal(rustix::process::Signal::STOP);
        waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).expect("it stops");
    }

    /// Kills it; how many batches it has acknowledged, if any since the last one that was waited for.
    fn kill(mut self) -> Option<u64> {
        self.signal(rustix::process::Signal::KILL);
        let mut last = None;
        while let Some(number) = self.next() {
            last = Some(number);
        }
        last
    }
}

impl Drop for WritingProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn recover(directory: &Path) -> Result<Contents, StoreError> {
    SqliteStore::open(directory)?.recover()
}

#[test]
fn after_kill_9_all_that_was_acknowledged_is_there_and_nothing_by_halves() {
    let directory = Directory::new();
    let mut model = Model::default();
    let mut random = fastrand::Rng::new();
    let mut acknowledged = 0;
    for round in 0..rounds(25) {
        let mut process = WritingProcess::start(&directory.0);
        let first = process.next().expect("it writes");
        std::thread::sleep(Duration::from_micros(random.u64(..20_000)));
        acknowledged = process.kill().unwrap_or(first).max(acknowledged);
        let contents = recover(&directory.0).expect("it opens at once: the lock went with its holder");
        let batches = batches_in(&contents);
        assert!(
            batches >= acknowledged,
            "round {round}: {acknowledged} acknowledged, {batches} there"
        );
        assert!(
            batches <= acknowledged + 1,
            "round {round}: {acknowledged} acknowledged, {batches} there"
        );
        assert!(
            contents == *model.after(batches),
            "round {round}: other contents after {batches} batches"
        );
    }
}

#[test]
fn every_image_of_a_crash_is_whole() {
    let (directory, copy) = (Directory::new(), Directory::new());
    let mut model = Model::default();
    let mut random = fastrand::Rng::new();
    let mut process = WritingProcess::start(&directory.0);
    for round in 0..rounds(25) {
        let committed = process.next().expect("it writes");
        std::thread::sleep(Duration::from_micros(random.u64(..5_000)));
        process.stop();
        for file in fs::read_dir(&directory.0).expect("it is there").flatten() {
            fs::copy(file.path(), copy.0.join(file.file_name())).expect("copied");
        }
        let contents = recover(&copy.0).expect("the image opens");
        let batches = batches_in(&contents);
        assert!(
            batches >= committed,
            "round {round}: {committed} acknowledged, {batches} there"
        );
        assert!(
            contents == *model.after(batches),
            "round {round}: other contents after {batches} batches"
        );
        for file in fs::read_dir(&copy.0).expect("it is there").flatten() {
            fs::remove_file(file.path()).expect("removed");
        }
        process.signal(rustix::process::Signal::CONT);
    }
    process.kill();
}

/// A file system of a few megabytes. None if this user may not mount one.
struct SmallDisk(Directory);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = Directory::new();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&directory.0)
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            eprintln!("not tested: this user may not mount a file system");
            return None;
        }
        Some(Self(directory))
    }

    fn remount(&self, options: &str) {
        let output = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0.0)
            .output();
        assert!(output.expect("mount runs").status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_is_an_error_that_passes() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let data = disk.0.0.join("data");
    let mut store = SqliteStore::open(&data).expect("there is space");
    store.commit(&batch(0)).expect("there is space");
    // Somebody else fills the disk.
    let filler = disk.0.0.join("filler");
    let mut file = fs::File::create(&filler).expect("there is space");
    while file.write_all(&[0; 4096]).is_ok() {}
    let mut next = 1;
    let error = loop {
        match store.commit(&batch(next)) {
            Ok(()) => next += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.to_string().contains("free space"), "{error}");
    for _ in 0..3 {
        assert_eq!(
            store.commit(&batch(next)).expect_err("it is still full").kind,
            ErrorKind::Full
        );
    }
    // The failed batch may have left room in the log; once that is used, what changes nothing is refused too.
    let nothing = [Record::Forgotten(JobId(u64::MAX >> 1))];
    let refused = (0..1_000).find_map(|_| store.commit(&nothing).err());
    assert_eq!(refused.map(|error| error.kind), Some(ErrorKind::Full));
    let again = store.commit(&nothing).expect_err("it is still full");
    assert_eq!(again.kind, ErrorKind::Full);
    let mut model = Model::default();
    assert!(store.recover().expect("it can still be read") == *model.after(next));
    drop(file);
    fs::remove_file(&filler).expect("removed");
    // A process that another test has just forked holds the removed file until it runs its own program.
    let begun = std::time::Instant::now();
    while let Err(error) = store.commit(&batch(next)) {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "there is space again: {error}"
        );
        std::thread::yield_now();
    }
    drop(store);
    assert!(recover(&data).expect("it opens") == *model.after(next + 1));
}

#[test]
fn a_disk_that_was_full_at_the_start_lets_the_daemon_say_so() {
    let Some(disk) = SmallDisk::mount("64k") else { return };
    let mut file = fs::File::create(disk.0.0.join("filler")).expect("there is space");
    while file.write_all(&[0; 4096]).is_ok() {}
    let error = SqliteStore::open(&disk.0.0.join("data")).expect_err("there is no space");
    assert_eq!(error.kind, ErrorKind::Full, "{error:?}");
}

#[test]
fn a_disk_that_may_only_be_read_is_an_error_that_passes() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let data = disk.0.0.join("data");
    recover(&data).expect("it may be written");
    disk.remount("ro");
    let error = SqliteStore::open(&data).expect_err("nothing may be written");
    assert_eq!(error.kind, ErrorKind::ReadOnly, "{error:?}");
    assert!(error.to_string().contains("name another directory"), "{error}");
    disk.remount("rw");
    let mut store = SqliteStore::open(&data).expect("it may be written again");
    store.commit(&batch(0)).expect("it may be written");
}

#[test]
fn a_store_on_a_full_disk_is_checked_opened_and_pruned() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let data = disk.0.0.join("data");
    let mut store = SqliteStore::open(&data).expect("there is space");
    store.commit(&batch(0)).expect("there is space");
    let large = Failure::new(Code::Internal, "x".repeat(300_000));
    let end = End {
        job: JobId(11),
        ended_at: MOMENT,
        cpu: Duration::ZERO,
        reply: Err(large),
    };
    store
        .commit(&[Record::Submitted(submission(11)), Record::Ended(end)])
        .expect("there is space");
    let whole = store.recover().expect("it is read");
    drop(store);
    let mut filler = fs::File::create(disk.0.0.join("filler")).expect("there is space");
    while filler.write_all(&[0; 4096]).is_ok() {}

    assert!(printed(&data, &["check"]).ends_with(": ok\n"));
    let mut store = SqliteStore::open(&data).expect("nothing is to be written");
    assert!(store.recover().expect("it is read") == whole);
    assert_eq!(store.commit(&batch(2)).expect_err("it is full").kind, ErrorKind::Full);
    drop(store);
    let output = primed(&data, &["prune", "--ended-before", "1s"]);
    let (said, warned) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && warned.contains("changed in place"),
        "{warned}"
    );
    assert!(!said.starts_with("0 jobs"), "{said}");

    let mut store = SqliteStore::open(&data).expect("it opens");
    store.commit(&batch(2)).expect("there is space again");
    assert!(printed(&data, &["check"]).ends_with(": ok\n"), "beside its writer");
    let contents = store.recover().expect("it is read");
    assert!(!contents.jobs.contains_key(&JobId(11)), "it is deleted");
}

#[test]
fn a_store_that_may_only_be_read_is_looked_at() {
    let Some(disk) = SmallDisk::mount("3m") else { return };
    let other = Directory::new();
    let (data, killed) = (disk.0.0.join("a b%41?é#"), disk.0.0.join("killed"));
    let mut store = SqliteStore::open(&data).expect("there is space");
    store.commit(&batch(0)).expect("there is space");
    fs::create_dir(&killed).expect("made");
    for name in ["primed.db", "primed.db-wal"] {
        fs::copy(data.join(name), killed.join(name)).expect("copied");
    }
    drop(store);
    disk.remount("ro");
    assert!(printed(&data, &["check"]).ends_with(": ok\n"));
    assert!(printed(&data, &["stats"]).contains("jobs.last-id 10\n"));
    let copy = other.0.join("primed.db");
    printed(&data, &["backup", copy.to_str().expect("UTF-8")]);
    assert!(recover(&other.0).expect("a backup is a store") == *Model::default().after(1));
    let error = refused(&killed, &["check"]);
    assert!(error.contains("in its log") && error.contains("writable"), "{error}");
    let error = refused(&data, &["backup", killed.join("copy").to_str().expect("UTF-8")]);
    assert!(
        error.contains("no file can be made in") && error.contains("choose another"),
        "{error}"
    );
    disk.remount("rw");
    assert!(printed(&killed, &["check"]).ends_with(": ok\n"));
}

#[test]
fn a_log_that_has_lost_commits_is_no_store_to_check_or_copy() {
    let (directory, killed) = (Directory::new(), Directory::new());
    let mut store = SqliteStore::open(&directory.0).expect("an empty directory");
    for turn in 0..4 {
        store.commit(&batch(turn)).expect("written");
    }
    for name in ["primed.db", "primed.db-wal"] {
        fs::copy(directory.0.join(name), killed.0.join(name)).expect("copied");
    }
    let log = killed.0.join("primed.db-wal");
    let mut bytes = fs::read(&log).expect("a log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&log, &bytes).expect("written");
    let copy = killed.0.join("copy");
    for arguments in [&["check"][..], &["backup", copy.to_str().expect("UTF-8")]] {
        let error = refused(&killed.0, arguments);
        assert!(error.contains("later commits could not be read"), "{error}");
    }
    assert!(!copy.exists());
}

#[test]
fn the_files_of_a_store_are_for_its_user_alone() {
    let (directory, other) = (Directory::new(), Directory::new());
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).expect("it is this user's");
    let mut store = SqliteStore::open(&directory.0).expect("an empty directory");
    store.commit(&batch(0)).expect("written");
    let copy = other.0.join("copy");
    printed(&directory.0, &["backup", copy.to_str().expect("UTF-8")]);
    let mut names = Vec::new();
    for file in [&directory.0, &other.0]
        .into_iter()
        .flat_map(fs::read_dir)
        .flatten()
        .flatten()
    {
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has the mode {mode:o}", file.path());
        names.extend(file.file_name().into_string());
    }
    names.sort_unstable();
    assert_eq!(names, ["copy", "lock", "primed.db", "primed.db-shm", "primed.db-wal"]);
}

#[test]
fn a_second_daemon_is_refused_with_the_first_ones_process_id() {
    let directory = Directory::new();
    let mut process = WritingProcess::start(&directory.0);
    process.next().expect("it writes");
    let error = SqliteStore::open(&directory.0).expect_err("it is in use");
    let words = format!("process {} uses this directory", process.child.id());
    assert!(
        error.kind == ErrorKind::InUse && error.to_string().contains(&words),
        "{error}"
    );
    process.kill();
}

fn primed(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command.args(["store", "--data"]).arg(directory).args(arguments);
    command.output().expect("the binary was built")
}

/// What the command prints; it must succeed.
fn printed(directory: &Path, arguments: &[&str]) -> String {
    let output = primed(directory, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The one line of a refusal.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = primed(directory, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn the_commands_work_beside_a_process_that_writes() {
    let (directory, other) = (Directory::new(), Directory::new());
    let mut process = WritingProcess::start(&directory.0);
    process.next().expect("it writes");
    let mut model = Model::default();
    for round in 0..5 {
        assert!(printed(&directory.0, &["check"]).ends_with(": ok\n"));
        let copy = other.0.join(format!("{round}/primed.db"));
        fs::create_dir(copy.parent().expect("a folder")).expect("made");
        let said = printed(&directory.0, &["backup", copy.to_str().expect("UTF-8")]);
        assert!(said.contains("written and verified"), "{said}");
        let contents = recover(copy.parent().expect("a folder")).expect("a backup is a store");
        assert!(
            contents == *model.after(batches_in(&contents)),
            "a backup is of one moment"
        );
    }
    let error = refused(&directory.0, &["prune", "--refuted"]);
    assert!(
        error.contains(&format!("process {} uses", process.child.id())),
        "{error}"
    );
    process.kill();
}

#[test]
fn what_is_kept_is_exported_counted_and_pruned() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(&directory.0).expect("an empty directory");
    for number in 0..20 {
        store.commit(&batch(number)).expect("written");
    }
    let contents = store.recover().expect("read");
    drop(store);
    let count = |state: State| contents.jobs.values().filter(|job| job.state() == state).count();
    let stats = printed(&directory.0, &["stats"]);
    for line in [
        format!("jobs.unfinished {}\n", count(State::Unfinished)),
        format!("jobs.done {}\n", count(State::Done)),
        format!("jobs.failed {}\n", count(State::Failed)),
        "jobs.last-id 200\n".to_owned(),
        "answers 20\n".to_owned(),
    ] {
        assert!(stats.contains(&line), "{line} is not in\n{stats}");
    }
    let export = printed(&directory.0, &["export"]);
    assert_eq!(export.lines().count(), contents.jobs.len() + contents.answers.len());
    let json = printed(&directory.0, &["export", "--json"]);
    let objects: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let states = |word: &str| objects.iter().filter(|object| object["state"] == word).count();
    assert_eq!(states("unfinished"), count(State::Unfinished));
    assert_eq!(states("done"), count(State::Done));
    assert!(
        objects
            .iter()
            .any(|object| object["question"] == "nth 7" && object["answer"] == "7")
    );

    let ended = count(State::Done) + count(State::Failed);
    let said = printed(
        &directory.0,
        &["prune", "--ended-before", "1h", "--cheaper-than", "10ms"],
    );
    assert!(
        said.starts_with(&format!("{ended} jobs and 10 answers are deleted")),
        "{said}"
    );
    let pruned = recover(&directory.0).expect("read");
    assert_eq!(
        (pruned.jobs.len(), pruned.answers.len(), pruned.last_job),
        (count(State::Unfinished), 10, 200)
    );
    assert!(refused(&directory.0, &["prune"]).contains("--ended-before"));
}

#[test]
fn a_mistake_names_the_file_and_what_to_do() {
    let directory = Directory::new();
    for arguments in [&["check"][..], &["stats"], &["export"], &["prune", "--refuted"]] {
        let error = refused(&directory.0, arguments);
        assert!(
            error.contains("primed.db: there is no store") && error.contains("--data"),
            "{error}"
        );
    }
    assert_eq!(
        fs::read_dir(&directory.0).expect("it is there").count(),
        0,
        "nothing is made of a mistake"
    );
    fs::write(directory.0.join("primed.db"), "a letter to Gauss".repeat(1000)).expect("written");
    let error = refused(&directory.0, &["stats"]);
    assert!(
        error.contains("primed.db: it is no database") && error.contains("backup"),
        "{error}"
    );
    assert!(refused(Path::new("none"), &["check"]).contains("there is no store"));
}

#[test]
fn a_file_in_place_of_a_directory_and_the_reverse_are_no_fault_of_the_disk() {
    let directory = Directory::new();
    let (store, copy) = (directory.0.join("store"), directory.0.join("copy"));
    recover(&store).expect("a new store");
    printed(&store, &["backup", copy.to_str().expect("UTF-8")]);
    for task in ["check", "stats", "export"] {
        let error = refused(&copy, &[task]);
        assert!(
            error.contains("copy: it is a file")
                && error.contains("; name a directory with --data")
                && error.contains("under the name primed.db"),
            "{error}"
        );
    }
    for place in [copy.clone(), copy.join("data")] {
        let error = recover(&place).expect_err("a file is there");
        assert_eq!(error.kind, ErrorKind::NotDirectory, "{error}");
    }
    let error = recover(Path::new("/proc/primed")).expect_err("nobody makes a directory there");
    assert!(error.to_string().contains("or name another directory"), "{error}");
    for name in ["lock", "primed.db"] {
        let data = directory.0.join(name).with_extension("data");
        fs::create_dir_all(data.join(name)).expect("made");
        let error = recover(&data).expect_err("a directory is there");
        assert_eq!(error.kind, ErrorKind::Foreign, "{error}");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
    assert!(refused(&directory.0.join("primed.data"), &["check"]).contains("it is a directory"));
}

#[test]
fn a_store_of_another_user_is_not_said_to_be_missing() {
    let directory = Directory::new();
    recover(&directory.0).expect("a new store");
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o700)).expect("it is this user's");
    // Root may read everything.
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let binary = directory.0.with_extension("primed");
    fs::copy(env!("CARGO_BIN_EXE_primed"), &binary).expect("copied");
    let output = command
        .arg(&binary)
        .args(["store", "--data"])
        .arg(&directory.0)
        .arg("check")
        .output();
    fs::remove_file(&binary).expect("it was made");
    let Ok(output) = output else {
        return eprintln!("not tested: there is no setpriv");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if said.starts_with("setpriv") {
        return eprintln!("not tested: this user may not become another");
    }
    assert!(
        said.contains("primed.db: permission denied; run it as the user of the daemon"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// `cargo test --test store commits -- --ignored --nocapture`: the cost of an `fsync` here, and the submits
/// acknowledged a second by how many share one.
#[test]
#[ignore = "measures, and needs the disk for itself"]
fn commits_a_second_by_the_size_of_a_group() {
    use std::time::Instant;
    let directory = Directory::new();
    let mut file = fs::File::create(directory.0.join("appended")).expect("made");
    let begun = Instant::now();
    for _ in 0..500 {
        file.write_all(&[1; 4096])
            .and_then(|()| file.sync_data())
            .expect("written");
    }
    println!("an append of 4 KiB and its fdatasync: {:?}", begun.elapsed() / 500);
    let mut store = SqliteStore::open(&directory.0.join("data")).expect("an empty directory");
    let mut job = 0;
    for size in [1, 3, 10, 30, 100, 300, 1000] {
        let (begun, mut longest, mut commits) = (Instant::now(), Duration::ZERO, 0_u32);
        while begun.elapsed() < Duration::from_secs(2) {
            let records: Vec<Record> = (job + 1..=job + size)
                .map(|job| Record::Submitted(submission(job)))
                .collect();
            job += size;
            let one = Instant::now();
            store.commit(&records).expect("written");
            longest = longest.max(one.elapsed());
            commits += 1;
        }
        let took = begun.elapsed();
        println!(
            "groups of {size}: {:.0} submits a second, {:?} a commit, {longest:?} at most",
            f64::from(commits) * size as f64 / took.as_secs_f64(),
            took / commits
        );
    }
    drop(store);
    let data = directory.0.join("full");
    let mut store = SqliteStore::open(&data).expect("an empty directory");
    let submissions: Vec<Record> = (1..=10_000).map(|job| Record::Submitted(submission(job))).collect();
    let ends = (1..=9_000).map(|job| {
        Record::Ended(End {
            job: JobId(job),
            ended_at: MOMENT,
            cpu: Duration::ZERO,
            reply: Ok(job.into()),
        })
    });
    let checkpoints = (9_001..=10_000).map(|job| {
        Record::Checkpoint(Checkpoint {
            job: JobId(job),
            saved_at: MOMENT,
            progress: 0.5,
            cpu: Duration::ZERO,
            bytes: vec![7; 40_000].into(),
        })
    });
    store.commit(&submissions).expect("written");
    store.commit(&ends.collect::<Vec<_>>()).expect("written");
    store.commit(&checkpoints.collect::<Vec<_>>()).expect("written");
    drop(store);
    let begun = Instant::now();
    let mut store = SqliteStore::open(&data).expect("it opens");
    let opened = begun.elapsed();
    let jobs = store.recover().expect("it is read").jobs.len();
    println!(
        "{jobs} jobs, 1000 of them with checkpoints of 40 KB: opened in {opened:?}, read after {:?}",
        begun.elapsed()
    );
}
