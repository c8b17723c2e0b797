//! The database against the model of what records do, against every kind of file that is none of ours, and against
//! damage.

use super::*;
use crate::proto::{Code, Failure, Value};
use crate::store::record::tests::{answer, checkpoint, end, submission};
use crate::store::record::{Checkpoint, End, KeptAnswer, Priority, Submission, Timestamp};
use crate::store::testing::Directory;
use crate::store::{MemoryStore, State};
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

fn reopened(directory: &Directory) -> Contents {
    let mut store = SqliteStore::open(directory.path()).expect("a store that was closed can be opened");
    store.recover().expect("what was written can be read")
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0_u64..4_000_000_000_000).prop_map(Timestamp::from_millis)
}

fn job() -> impl Strategy<Value = JobId> {
    (1_u64..8).prop_map(JobId)
}

fn cpu() -> impl Strategy<Value = Duration> {
    (0_u64..1 << 50).prop_map(Duration::from_micros)
}

fn submissions() -> impl Strategy<Value = Submission> {
    let times = (time(), prop::option::of(time()), prop::option::of(time()));
    let words = (".*", ".*", prop::option::of(".*"), ".*");
    (job(), words, times, prop::sample::select(&Priority::ALL[..])).prop_map(
        |(job, (request, title, key, owner), (submitted_at, not_before, deadline), priority)| Submission {
            job,
            request,
            title,
            key,
            owner,
            priority,
            submitted_at,
            not_before,
            deadline,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let title = || prop::sample::select(&["pi 1", "pi 2", "nth 3"][..]).prop_map(str::to_owned);
    let checkpoints = (
        job(),
        time(),
        0.0..=1.0,
        cpu(),
        prop_oneof![Just(vec![7]), prop::collection::vec(any::<u8>(), 0..6000)],
    )
        .prop_map(|(job, saved_at, progress, cpu, bytes)| Checkpoint {
            job,
            saved_at,
            progress,
            cpu,
            bytes: bytes.into(),
        });
    let replies = prop_oneof![
        rows::tests::value().prop_map(Ok),
        (prop::sample::select(Code::ALL), ".*").prop_map(|(code, text)| Err(Failure::new(code, text))),
    ];
    let ends = (job(), time(), cpu(), replies).prop_map(|(job, ended_at, cpu, reply)| End {
        job,
        ended_at,
        cpu,
        reply,
    });
    let answers = (title(), rows::tests::value(), cpu(), time(), ".*", ".*", any::<bool>()).prop_map(
        |(title, value, cost, found_at, version, method, is_refuted)| KeptAnswer {
            title,
            value,
            cost,
            found_at,
            version,
            method,
            is_refuted,
        },
    );
    prop_oneof![
        3 => submissions().prop_map(Record::Submitted),
        1 => job().prop_map(Record::Resumed),
        1 => (job(), 0..4_u32).prop_map(|(job, starts)| Record::Starts(job, starts)),
        1 => job().prop_map(Record::Refuted),
        3 => checkpoints.prop_map(Record::Checkpoint),
        2 => ends.prop_map(Record::Ended),
        1 => job().prop_map(Record::Forgotten),
        2 => answers.prop_map(Record::Answer),
        1 => title().prop_map(Record::AnswerRefuted),
        1 => title().prop_map(Record::AnswerForgotten),
        1 => Just(Record::AnswersForgotten),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_database_does_what_the_model_does(batches in prop::collection::vec(prop::collection::vec(record(), 0..12), 1..8)) {
        let directory = Directory::new();
        let mut model = MemoryStore::new();
        let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
        for batch in &batches {
            store.commit(batch).expect("it is written");
            model.commit(batch).expect("it is written");
            prop_assert_eq!(store.recover().expect("it is read"), model.contents());
        }
        drop(store);
        prop_assert_eq!(reopened(&directory), model.contents());
    }

    #[test]
    fn to_write_a_batch_again_does_no_harm(batch in prop::collection::vec(record(), 0..12)) {
        let directory = Directory::new();
        let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
        let mut model = Contents::default();
        for _ in 0..2 {
            store.commit(&batch).expect("it is written");
            batch.iter().for_each(|record| model.apply(record));
        }
        prop_assert_eq!(store.recover().expect("it is read"), model);
    }
}

#[test]
fn starts_count_until_there_is_another_checkpoint() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    store
        .commit(&[Record::Submitted(submission(1))])
        .expect("it is written");
    for (bytes, starts) in [
        (&b"old"[..], 0),
        (b"old", 1),
        (b"old", 2),
        (b"new", 0),
        (b"", 0),
        (b"", 1),
    ] {
        let batch = [Record::Resumed(JobId(1)), Record::Checkpoint(checkpoint(1, bytes))];
        store.commit(&batch).expect("it is written");
        let jobs = store.recover().expect("it is read").jobs;
        assert_eq!(jobs[&JobId(1)].starts, starts, "{bytes:?}");
    }
}

#[test]
fn ids_are_not_given_twice_whatever_was_forgotten() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    store
        .commit(&[Record::Submitted(submission(41)), Record::Submitted(submission(17))])
        .expect("written");
    store
        .commit(&[Record::Forgotten(JobId(41)), Record::Forgotten(JobId(17))])
        .expect("written");
    drop(store);
    let contents = reopened(&directory);
    assert_eq!((contents.last_job, contents.jobs.len()), (41, 0));
}

fn filled(directory: &Directory) -> Contents {
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    let mut batch: Vec<Record> = (1..=60).map(|job| Record::Submitted(submission(job))).collect();
    batch.extend((1..=20).map(|job| Record::Ended(end(job))));
    batch.extend((30..=40).map(|job| Record::Checkpoint(checkpoint(job, &[job as u8; 700]))));
    batch.extend((1..=40).map(|number| Record::Answer(answer(number))));
    batch.push(Record::AnswerRefuted("pi 7".to_owned()));
    batch.push(Record::Refuted(JobId(3)));
    store.commit(&batch).expect("written");
    store.recover().expect("read")
}

#[test]
fn a_flipped_bit_never_changes_what_is_read() {
    let directory = Directory::new();
    let whole = filled(&directory);
    let path = directory.path().join(DATABASE);
    let bytes = fs::read(&path).expect("the file is there");
    let mut random = fastrand::Rng::with_seed(7);
    let (mut refused, mut harmless) = (0, 0);
    for _ in 0..1_500 {
        let place = random.usize(..bytes.len());
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << random.u32(..8);
        fs::write(&path, &damaged).expect("the file can be written");
        match SqliteStore::open(directory.path()).and_then(|mut store| store.recover()) {
            Ok(contents) => {
                // What a person would read beside the digests: who was first, how often, how long.
                let same = |job: &crate::store::StoredJob| {
                    let reply = job.end.clone().map(|end| end.reply);
                    (job.submission.clone(), reply, job.is_refuted)
                };
                assert_eq!(contents.last_job, whole.last_job, "at {place}");
                assert!(
                    contents.jobs.values().map(same).eq(whole.jobs.values().map(same)),
                    "at {place}"
                );
                assert_eq!(contents.answers, whole.answers, "at {place}");
                let saved = |contents: &Contents| {
                    contents
                        .jobs
                        .values()
                        .filter_map(|job| Some(job.checkpoint.clone()?.bytes))
                        .collect::<Vec<_>>()
                };
                assert_eq!(saved(&contents), saved(&whole), "at {place}");
                harmless += 1;
            }
            Err(error) => {
                assert!(
                    matches!(error.kind, ErrorKind::Damaged | ErrorKind::Foreign | ErrorKind::Newer),
                    "at {place}: {error:?}"
                );
                assert!(error.to_string().contains(DATABASE), "{error}");
                assert_eq!(fs::read(&path).expect("it is still there").len(), damaged.len());
                refused += 1;
            }
        }
        let _ = fs::remove_file(directory.path().join("primed.db-wal"));
        let _ = fs::remove_file(directory.path().join("primed.db-shm"));
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 300, "{refused} refused, {harmless} harmless");
}

#[test]
fn a_mark_of_a_refuted_answer_that_is_lost_or_added_is_noticed() {
    for (statement, row) in [
        (
            "UPDATE answers SET refuted = 0 WHERE title = 'pi 7'",
            "'pi 7' of its table answers",
        ),
        (
            "UPDATE answers SET refuted = 1 WHERE title = 'pi 8'",
            "'pi 8' of its table answers",
        ),
        ("UPDATE jobs SET refuted = 0 WHERE id = 3", "3 of its table jobs"),
        ("UPDATE jobs SET refuted = 1 WHERE id = 4", "4 of its table jobs"),
        ("UPDATE jobs SET refuted = 1 WHERE id = 50", "50 of its table jobs"),
    ] {
        let directory = Directory::new();
        filled(&directory);
        sql(&directory.path().join(DATABASE), statement);
        let mut store = SqliteStore::open(directory.path()).expect("its pages are whole");
        let error = store.recover().expect_err(statement);
        assert!(
            error.kind == ErrorKind::Damaged && error.to_string().contains(row),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_store_of_ours_is_refused_and_left_as_it_was() {
    type Make = fn(&Path);
    let cases: [(&str, Make, ErrorKind, &str); 5] = [
        (
            "text",
            |path| fs::write(path, "a letter to Gauss".repeat(100)).expect("written"),
            ErrorKind::Damaged,
            "no database",
        ),
        (
            "a database of others",
            |path| sql(path, "CREATE TABLE songs (name TEXT)"),
            ErrorKind::Foreign,
            "another program",
        ),
        (
            "one that is newer",
            |path| {
                sql(
                    path,
                    "PRAGMA application_id = 1886547300; PRAGMA user_version = 99; CREATE TABLE t (x)",
                )
            },
            ErrorKind::Newer,
            "version 99",
        ),
        (
            "one of a version that never was",
            |path| {
                sql(
                    path,
                    "PRAGMA application_id = 1886547300; PRAGMA user_version = -3; CREATE TABLE t (x)",
                )
            },
            ErrorKind::Damaged,
            "version is -3",
        ),
        (
            "a directory",
            |path| fs::create_dir(path).expect("made"),
            ErrorKind::Foreign,
            "it is a directory",
        ),
    ];
    for (name, make, kind, words) in cases {
        let directory = Directory::new();
        let path = directory.path().join(DATABASE);
        make(&path);
        let before = fs::read(&path).ok();
        let error = SqliteStore::open(directory.path()).expect_err(name);
        assert!(
            error.kind == kind && error.to_string().contains(words),
            "{name}: {error:?}"
        );
        assert!(
            error.to_string().starts_with(&*path.display().to_string()),
            "{name}: {error}"
        );
        assert_eq!(fs::read(&path).ok(), before, "{name}");
    }
}

fn sql(path: &Path, statements: &str) {
    let connection = Connection::open(path).expect("opens");
    connection.execute_batch(statements).expect("runs");
}

#[test]
fn every_version_there_ever_was_is_brought_up_to_date() {
    for version in 1..=schema::MIGRATIONS.len() {
        let directory = Directory::new();
        let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/version_{version}.sql"));
        let dump = fs::read_to_string(&dump).expect("there is a dump of each version");
        sql(&directory.path().join(DATABASE), &dump);
        let contents = reopened(&directory);
        assert_eq!(
            (contents.last_job, contents.jobs.len(), contents.answers.len()),
            (5, 4, 2),
            "version {version}"
        );
        let job = |id| &contents.jobs[&JobId(id)];
        assert_eq!(
            job(1).end.as_ref().map(|end| end.reply.clone()),
            Some(Ok(Value::from(5_761_455)))
        );
        assert_eq!(job(2).state(), State::Failed);
        assert_eq!(job(3).state(), State::Cancelled);
        let unfinished = job(4);
        assert_eq!((unfinished.resumed, unfinished.cpu), (2, Duration::from_millis(1500)));
        assert_eq!(unfinished.submission.key.as_deref(), Some("tonight"));
        assert_eq!(
            unfinished
                .checkpoint
                .as_ref()
                .map(|checkpoint| checkpoint.bytes.as_ref()),
            Some(&b"four"[..])
        );
        assert!(contents.answers["nth 1000003"].is_refuted);
        assert_eq!(job(1).is_refuted, version > 1, "version {version}");
    }
}

/// Writes the dump of this version that the test above reads.
#[test]
#[ignore = "writes a file of the repository"]
fn dump_this_version() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    let ended = |job, reply| Record::Ended(End { reply, ..end(job) });
    let mut keyed = submission(4);
    keyed.key = Some("tonight".to_owned());
    let refuted = KeptAnswer {
        title: "nth 1000003".to_owned(),
        ..answer(15_485_927)
    };
    let mut saved = checkpoint(4, b"four");
    saved.cpu = Duration::from_millis(1500);
    store
        .commit(&[
            Record::Submitted(submission(1)),
            Record::Submitted(submission(2)),
            Record::Submitted(submission(3)),
            Record::Submitted(keyed),
            Record::Submitted(submission(5)),
            ended(1, Ok(5_761_455.into())),
            ended(2, Err(Failure::new(Code::Deadline, "the deadline passed"))),
            ended(3, Err(Failure::new(Code::Cancelled, "it was cancelled"))),
            Record::Resumed(JobId(4)),
            Record::Resumed(JobId(4)),
            Record::Checkpoint(saved),
            Record::Forgotten(JobId(5)),
            Record::Answer(answer(7)),
            Record::Answer(refuted),
            Record::AnswerRefuted("nth 1000003".to_owned()),
            Record::Refuted(JobId(1)),
        ])
        .expect("written");
    drop(store);
    let dump = std::process::Command::new("sqlite3")
        .arg(directory.path().join(DATABASE))
        .arg(".dump")
        .output()
        .expect("sqlite3 is installed");
    let version = schema::MIGRATIONS.len();
    let head = format!("PRAGMA application_id = 1886547300;\nPRAGMA user_version = {version};\n");
    let text = head + &String::from_utf8(dump.stdout).expect("UTF-8");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/store/version_{version}.sql"));
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[test]
fn the_log_stays_short_however_much_is_written() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    store.commit(&[Record::Submitted(submission(1))]).expect("written");
    let bytes = vec![7; 200_000];
    for _ in 0..300 {
        store
            .commit(&[Record::Checkpoint(checkpoint(1, &bytes))])
            .expect("written");
    }
    let log = fs::metadata(directory.path().join("primed.db-wal"))
        .expect("there is a log")
        .len();
    assert!(log < 16 << 20, "{log} bytes after 60 MB of checkpoints");
    let file = fs::metadata(directory.path().join(DATABASE))
        .expect("there is a file")
        .len();
    assert!(file < 2 << 20, "{file} bytes for one checkpoint of 200 KB");
}

#[test]
fn a_backup_is_of_one_moment_and_overwrites_nothing() {
    let directory = Directory::new();
    let whole = filled(&directory);
    let other = Directory::new();
    let copy = other.path().join(DATABASE);
    let survey = Survey::open(directory.path()).expect("there is a store");
    survey.backup(&copy).expect("a copy");
    assert_eq!(reopened(&other), whole);
    let error = survey.backup(&copy).expect_err("the file is there");
    assert!(error.to_string().contains("not overwritten"), "{error}");
    assert_eq!(
        fs::read_dir(other.path()).expect("read").count(),
        2,
        "a copy and a lock"
    );
}

#[test]
fn a_file_that_is_made_while_a_backup_is_written_is_not_overwritten() {
    let directory = Directory::new();
    let (partial, to) = (directory.path().join("partial"), directory.path().join("copy"));
    fs::write(&partial, "copy").expect("written");
    fs::write(&to, "another").expect("written");
    let error = survey::put(&partial, &to).expect_err("the file is there");
    assert!(error.to_string().contains("not overwritten"), "{error}");
    assert_eq!(fs::read(&to).expect("read"), b"another");
    fs::remove_file(&to).expect("removed");
    survey::put(&partial, &to).expect("the name is free");
    assert_eq!(fs::read(&to).expect("read"), b"copy");
    assert!(!partial.exists(), "it has one name");
    fs::remove_file(&to).expect("removed");
    survey::put(&partial, &to).expect_err("there is nothing to name");
    assert!(!to.exists(), "and no name is taken");
}

#[test]
fn a_store_is_read_beside_the_daemon_that_writes_it() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("an empty directory");
    store.commit(&[Record::Submitted(submission(1))]).expect("written");
    let survey = Survey::open(directory.path()).expect("it is there");
    store
        .commit(&[Record::Submitted(submission(2)), Record::Answer(answer(3))])
        .expect("written");
    let statistics = survey.statistics().expect("counted");
    assert_eq!(
        (statistics.jobs, statistics.answers, statistics.last_job),
        ([2, 0, 0, 0], 1, 2)
    );
    assert_eq!(survey.check().expect("read"), []);
    assert_eq!(survey.contents().expect("read"), store.recover().expect("read"));
    assert_eq!(
        Survey::open(&directory.path().join("other")).expect_err("none").kind,
        ErrorKind::Missing
    );
}

#[test]
fn pruning_deletes_what_is_asked_for_and_nothing_else() {
    let directory = Directory::new();
    let whole = filled(&directory);
    let mut store = SqliteStore::open(directory.path()).expect("opens");
    let none = store.prune(&Pruning::default(), || ()).expect("pruned");
    assert_eq!((none.jobs, none.answers), (0, 0));
    let pruning = Pruning {
        ended_before: Some(Timestamp::from_millis(u64::MAX)),
        cheaper_than: None,
        refuted: true,
    };
    let pruned = store.prune(&pruning, || ()).expect("pruned");
    assert_eq!((pruned.jobs, pruned.answers), (20, 1));
    let contents = store.recover().expect("read");
    assert_eq!(
        (contents.jobs.len(), contents.answers.len(), contents.last_job),
        (40, 39, whole.last_job)
    );
}

/// A store with a log of as many commits, as a killed daemon leaves it: a copy of its files while it is open.
fn killed(commits: u64) -> (Directory, PathBuf, PathBuf) {
    let (open, killed) = (Directory::new(), Directory::new());
    let mut store = SqliteStore::open(open.path()).expect("an empty directory");
    store.recover().expect("it is empty");
    for id in 1..=commits {
        store.commit(&[Record::Submitted(submission(id))]).expect("written");
    }
    let log = format!("{DATABASE}-wal");
    for name in [DATABASE, &log] {
        fs::copy(open.path().join(name), killed.path().join(name)).expect("copied");
    }
    let (database, log) = (killed.path().join(DATABASE), killed.path().join(log));
    (killed, database, log)
}

#[test]
fn a_log_that_has_lost_commits_in_its_midst_is_damaged_and_one_that_ends_early_is_not() {
    let (directory, _, _) = killed(20);
    assert_eq!(reopened(&directory).jobs.len(), 20, "what a kill leaves");
    let (directory, _, log) = killed(20);
    let bytes = fs::read(&log).expect("a log");
    let mut noticed = 0;
    for place in (100..bytes.len()).step_by(1_777) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 4;
        fs::write(&log, &damaged).expect("written");
        match log::check(&directory.path().join(DATABASE)) {
            Ok(()) => assert!(place + 3 * 4_120 > bytes.len(), "{place} of {}", bytes.len()),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Damaged);
                noticed += 1;
            }
        }
    }
    assert!(noticed > 10, "{noticed}");
    // As a crash leaves the commit that it interrupted: cut anywhere, or in pages of which the first is not there.
    for length in [bytes.len() - 1, bytes.len() / 2, 33] {
        fs::write(&log, &bytes[..length]).expect("written");
        assert_eq!(log::check(&directory.path().join(DATABASE)), Ok(()), "{length}");
    }
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_was_with_its_log() {
    let cut = |database: &Path| {
        let file = fs::File::options().write(true).open(database).expect("it is there");
        file.set_len(8_192).expect("cut");
    };
    let change = |database: &Path| {
        let connection = Connection::open(database).expect("opens");
        let keep_log = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection.set_db_config(keep_log, true).expect("set");
        let statement = "UPDATE jobs SET request = 'pi 1' WHERE id = 3";
        assert_eq!(connection.execute(statement, []), Ok(1));
    };
    for (damage, words) in [
        (&cut as &dyn Fn(&Path), "damaged"),
        (&change, "row 3 of its table jobs"),
    ] {
        let (directory, database, log) = killed(20);
        damage(&database);
        let read = || [&database, &log].map(|path| fs::read(path).expect("it is there"));
        let before = read();
        let opened = SqliteStore::open(directory.path()).and_then(|mut store| store.recover());
        let error = opened.expect_err(words);
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.to_string().contains(words), "{error}");
        assert!(read() == before, "{words}");
    }
    let (directory, _, log) = killed(20);
    assert_eq!(reopened(&directory).jobs.len(), 20);
    assert!(!log.exists(), "that of a whole one is folded into it");
}

#[test]
fn a_log_that_has_lost_commits_is_found_from_outside_unless_a_daemon_has_it_open() {
    let (directory, _, log) = killed(20);
    assert_eq!(Survey::check_log(directory.path()), Ok(true));
    let mut bytes = fs::read(&log).expect("a log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&log, &bytes).expect("written");
    let found = Survey::check_log(directory.path()).map_err(|error| error.kind);
    assert_eq!(found, Err(ErrorKind::Damaged));
    let used = Directory::new();
    let _store = SqliteStore::open(used.path()).expect("an empty directory");
    assert_eq!(Survey::check_log(used.path()), Ok(false));
}

#[test]
fn a_log_without_its_database_is_no_new_store() {
    for is_there in [true, false] {
        let (directory, database, log) = killed(3);
        match is_there {
            true => fs::write(&database, b"").expect("emptied"),
            false => fs::remove_file(&database).expect("removed"),
        }
        let before = fs::read(&log).expect("a log");
        let error = SqliteStore::open(directory.path()).expect_err("jobs are missing");
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert_eq!(fs::read(&log).expect("a log"), before, "nothing was changed");
    }
}

/// The kind of failure of one more commit.
fn commit_one(store: &mut SqliteStore, job: u64) -> Result<(), ErrorKind> {
    let batch = [Record::Submitted(submission(job))];
    store.commit(&batch).map_err(|error| error.kind)
}

#[test]
fn a_directory_that_is_moved_away_takes_nothing_until_it_is_back() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("it can be made");
    assert_eq!(commit_one(&mut store, 1), Ok(()));
    let away = directory.path().with_extension("away");
    fs::rename(directory.path(), &away).expect("it is there");
    assert_eq!(commit_one(&mut store, 2), Err(ErrorKind::Replaced));
    fs::create_dir(directory.path()).expect("the name is free");
    assert_eq!(commit_one(&mut store, 2), Err(ErrorKind::Replaced));
    fs::remove_dir(directory.path()).expect("nothing was put into it");
    fs::rename(&away, directory.path()).expect("the name is free");
    assert_eq!(commit_one(&mut store, 2), Ok(()));
    drop(store);
    assert_eq!(reopened(&directory).jobs.len(), 2);
}

#[test]
fn after_a_failure_a_batch_that_changes_nothing_is_written_too() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("it can be made");
    assert_eq!(commit_one(&mut store, 1), Ok(()));
    let log = log::path_of(&directory.path().join(DATABASE));
    let is_written_by = |store: &mut SqliteStore, batch: &[Record]| {
        let length = || fs::metadata(&log).expect("there is a log").len();
        let before = length();
        store
            .commit(batch)
            .map(|()| length() > before)
            .map_err(|error| error.kind)
    };
    let nothing = [Record::Forgotten(JobId(9))];
    assert_eq!(is_written_by(&mut store, &nothing), Ok(false));
    let (lock, away) = (directory.path().join("lock"), directory.path().join("away"));
    fs::rename(&lock, &away).expect("it is there");
    assert_eq!(commit_one(&mut store, 2), Err(ErrorKind::Replaced));
    fs::rename(&away, &lock).expect("the name is free");
    assert_eq!(
        is_written_by(&mut store, &nothing),
        Ok(true),
        "only that shows that it can be"
    );
    assert_eq!(is_written_by(&mut store, &nothing), Ok(false));
    drop(store);
    let contents = reopened(&directory);
    assert_eq!((contents.last_job, contents.jobs.len()), (1, 1));
}

#[test]
fn a_database_that_is_replaced_or_a_lock_that_is_removed_takes_nothing() {
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("it can be made");
    let path = directory.path().join(DATABASE);
    fs::remove_file(&path).expect("it is there");
    assert_eq!(commit_one(&mut store, 1), Err(ErrorKind::Replaced));
    assert!(!path.exists(), "no other is made");
    fs::write(&path, "").expect("it can be made");
    assert_eq!(commit_one(&mut store, 1), Err(ErrorKind::Replaced));
    drop(store);
    let directory = Directory::new();
    let mut store = SqliteStore::open(directory.path()).expect("it can be made");
    fs::remove_file(directory.path().join("lock")).expect("it is there");
    let mut other = SqliteStore::open(directory.path()).expect("nobody has the new lock");
    assert_eq!(commit_one(&mut other, 1), Ok(()));
    assert_eq!(commit_one(&mut store, 1), Err(ErrorKind::Replaced));
}

#[test]
fn what_was_in_a_log_that_is_removed_is_kept() {
    for before in [0, 1] {
        let directory = Directory::new();
        let mut store = SqliteStore::open(directory.path()).expect("it can be made");
        for job in 0..before {
            assert_eq!(commit_one(&mut store, 1 + job), Ok(()));
        }
        fs::remove_file(log::path_of(&directory.path().join(DATABASE))).expect("there is a log");
        assert_eq!(commit_one(&mut store, 8), Ok(()));
        // As a crash leaves them.
        let copy = Directory::new();
        for file in ["primed.db", "primed.db-wal"] {
            fs::copy(directory.path().join(file), copy.path().join(file)).expect("it is there");
        }
        assert_eq!(reopened(&copy).jobs.len() as u64, before + 1);
    }
}
