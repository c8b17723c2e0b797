//! `primed store`: looks after what a daemon keeps. Everything but `prune` works beside a running daemon.

use super::data::{self, Data, FLAG};
use super::quantity;
use crate::proto::Value;
use crate::store::{
    Contents, ErrorKind, KeptAnswer, Pruning, SqliteStore, State, StoreError, StoredJob, Survey, Timestamp,
};
use rustix::fs::{Access, access};
use serde_json::{Map, json};
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// The arguments of `store`.
#[derive(Debug, clap::Args)]
pub(super) struct Store {
    /// Directory of the daemon's data [default: that of 'serve']
    #[arg(long, value_name = "DIR", env = "PRIMED_DATA", global = true, value_parser = data::name())]
    data: Option<OsString>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Read everything and compare it with its digests
    Check,
    /// Write a copy of one moment to a file that is not there yet
    Backup {
        /// The file
        file: PathBuf,
    },
    /// Print every job and answer, a line each
    Export {
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
    },
    /// Say how much there is
    Stats,
    /// Delete old jobs and cheap answers; no daemon may use the directory
    Prune {
        /// Delete jobs that ended more than TIME ago
        #[arg(long, value_name = "TIME", value_parser = quantity::any_time)]
        ended_before: Option<Duration>,
        /// Delete answers that took less than TIME of CPU
        #[arg(long, value_name = "TIME", value_parser = quantity::any_time)]
        cheaper_than: Option<Duration>,
        /// Delete answers that failed their verification
        #[arg(long)]
        refuted: bool,
    },
}

impl Store {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        self.work().map_err(|error| match error.downcast_ref::<StoreError>() {
            Some(error) => anyhow::Error::msg(error.text_with(FLAG)),
            None => error,
        })
    }

    fn work(self) -> anyhow::Result<ExitCode> {
        let Data::Directory(directory) = Data::resolve(self.data.as_deref()).map_err(anyhow::Error::msg)? else {
            anyhow::bail!("with '--data none' there is no store: name the directory of one with --data DIR");
        };
        let mut out = BufWriter::new(std::io::stdout().lock());
        match self.task {
            Task::Check => {
                // Before it is opened, which begins a new index of the log.
                let mut is_ok = true;
                let mut complain_of = |problem: StoreError| {
                    super::complain(format_args!("primed: {problem}"));
                    is_ok = false;
                };
                match Survey::check_log(&directory) {
                    Ok(is_checked) => say_if_not(is_checked),
                    Err(error) if error.kind == ErrorKind::Damaged => complain_of(error),
                    Err(error) => return Err(error.into()),
                }
                Survey::open(&directory)?.check()?.into_iter().for_each(complain_of);
                if !is_ok {
                    return Ok(ExitCode::from(1));
                }
                writeln!(out, "{}: ok", directory.display())?;
            }
            Task::Backup { file } => {
                check_copy(&file)?;
                say_if_not(Survey::check_log(&directory)?);
                Survey::open(&directory)?.backup(&file)?;
                writeln!(out, "{}: written and verified", file.display())?;
            }
            Task::Export { json } => {
                let contents = Survey::open(&directory)?.contents()?;
                if json {
                    export_json(&contents, &mut out)?
                } else {
                    export(&contents, &mut out)?
                }
            }
            Task::Stats => stats(&Survey::open(&directory)?, &mut out)?,
            Task::Prune {
                ended_before: None,
                cheaper_than: None,
                refuted: false,
            } => anyhow::bail!("name what to delete: --ended-before, --cheaper-than or --refuted"),
            Task::Prune {
                ended_before,
                cheaper_than,
                refuted,
            } => {
                // A directory without a store is a mistake here, and none is to be made of it.
                Survey::open(&directory)?;
                let pruning = Pruning {
                    ended_before: ended_before.map(ago),
                    cheaper_than,
                    refuted,
                };
                let pruned = SqliteStore::open(&directory)?.prune(&pruning, warn_of_change_in_place)?;
                writeln!(
                    out,
                    "{} jobs and {} answers are deleted; the file is {} bytes shorter",
                    pruned.jobs, pruned.answers, pruned.bytes
                )?;
            }
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn warn_of_change_in_place() {
    super::complain(format_args!(
        "primed: the disk is full: the store is changed in place; do not interrupt this"
    ));
}

fn ago(time: Duration) -> Timestamp {
    let then = SystemTime::now().checked_sub(time);
    then.map_or(Timestamp::from_millis(0), Timestamp::from)
}

fn stats(survey: &Survey, out: &mut impl Write) -> anyhow::Result<()> {
    let found = survey.statistics()?;
    for (state, count) in State::ALL.iter().zip(found.jobs) {
        writeln!(out, "jobs.{} {count}", state.as_str())?;
    }
    writeln!(out, "jobs.last-id {}", found.last_job)?;
    writeln!(out, "checkpoints {}", found.checkpoints)?;
    writeln!(out, "checkpoints.bytes {}", found.checkpoint_bytes)?;
    writeln!(out, "answers {}", found.answers)?;
    writeln!(out, "answers.refuted {}", found.refuted)?;
    writeln!(out, "answers.cpu {:.1}s", found.answers_cost.as_secs_f64())?;
    writeln!(out, "file.bytes {}", found.file_bytes)?;
    writeln!(out, "log.bytes {}", found.log_bytes)?;
    Ok(())
}

/// Lines as `jobs` shows them: words with their names. A request, an answer, an error and a question may have blanks in
/// them, so that only JSON can be taken apart in all cases.
fn export(contents: &Contents, out: &mut impl Write) -> anyhow::Result<()> {
    for (id, job) in &contents.jobs {
        let (submission, cpu) = (&job.submission, job.cpu.as_secs_f64());
        let state = job.state().as_str();
        let submitted = submission.submitted_at;
        write!(
            out,
            "job={id} state={state} submitted={submitted} cpu={cpu:.1}s resumed={}{} request={}",
            job.resumed,
            if job.is_refuted { " refuted=true" } else { "" },
            submission.request
        )?;
        match job.end.as_ref().map(|end| &end.reply) {
            Some(Ok(value)) => writeln!(out, " answer={}", words(value))?,
            Some(Err(failure)) => writeln!(out, " error={failure}")?,
            None => writeln!(out)?,
        }
    }
    for answer in contents.answers.values() {
        let (found, cost) = (answer.found_at, answer.cost.as_secs_f64());
        writeln!(
            out,
            "answer={} found={found} cpu={cost:.1}s refuted={} question={}",
            words(&answer.value),
            answer.is_refuted,
            answer.title
        )?;
    }
    Ok(())
}

/// Says that the log was not looked at, if it was not.
fn say_if_not(is_log_checked: bool) {
    if !is_log_checked {
        super::complain(format_args!(
            "primed: the log was not searched for lost commits, for a daemon may use the directory"
        ));
    }
}

/// Refuses a place where no copy can be put. What the store says of a file is about its own.
fn check_copy(file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !file.try_exists().unwrap_or_default(),
        "{}: there is a file of that name, and it is not overwritten; choose another",
        file.display()
    );
    anyhow::ensure!(
        file.to_str().is_some(),
        "{}: SQLite writes only to files whose names are UTF-8; choose another",
        file.display()
    );
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    anyhow::ensure!(
        directory.is_dir(),
        "{}: there is no directory {}; make it, or choose another",
        file.display(),
        directory.display()
    );
    if let Err(error) = access(directory, Access::WRITE_OK | Access::EXEC_OK) {
        let error = std::io::Error::from(error);
        anyhow::bail!(
            "{}: no file can be made in {}: {error}; choose another",
            file.display(),
            directory.display()
        );
    }
    Ok(())
}

fn export_json(contents: &Contents, out: &mut impl Write) -> anyhow::Result<()> {
    for job in contents.jobs.values() {
        writeln!(out, "{}", json_of_job(job))?;
    }
    for answer in contents.answers.values() {
        writeln!(out, "{}", json_of_answer(answer))?;
    }
    Ok(())
}

fn json_of_job(job: &StoredJob) -> serde_json::Value {
    let submission = &job.submission;
    let time = |time: Timestamp| json!(time.to_string());
    let mut object = Map::new();
    let mut set = |name: &str, value: serde_json::Value| {
        object.insert(name.to_owned(), value);
    };
    set("job", json!(submission.job.0));
    set("state", json!(job.state().as_str()));
    set("request", json!(submission.request));
    set("question", json!(submission.title));
    set("owner", json!(submission.owner));
    set("priority", json!(submission.priority.as_str()));
    set("submitted_at", time(submission.submitted_at));
    set("cpu_s", json!(job.cpu.as_secs_f64()));
    set("resumed", json!(job.resumed));
    if job.is_refuted {
        set("refuted", json!(true));
    }
    if let Some(key) = &submission.key {
        set("key", json!(key));
    }
    if let Some(moment) = submission.not_before {
        set("not_before", time(moment));
    }
    if let Some(moment) = submission.deadline {
        set("deadline", time(moment));
    }
    if let Some(checkpoint) = &job.checkpoint {
        set("progress", json!(checkpoint.progress));
        set("saved_at", time(checkpoint.saved_at));
    }
    if let Some(end) = &job.end {
        set("ended_at", time(end.ended_at));
        match &end.reply {
            Ok(value) => set("answer", json!(words(value))),
            Err(failure) => {
                set("code", json!(failure.code.as_str()));
                set("error", json!(failure.text));
            }
        }
    }
    serde_json::Value::Object(object)
}

/// Numbers are text in JSON: most readers lose digits above 2^53.
fn json_of_answer(answer: &KeptAnswer) -> serde_json::Value {
    json!({
        "question": answer.title,
        "answer": words(&answer.value),
        "cpu_s": answer.cost.as_secs_f64(),
        "found_at": answer.found_at.to_string(),
        "version": answer.version,
        "method": answer.method,
        "refuted": answer.is_refuted,
    })
}

/// A value as the wire shows it, in one line.
fn words(value: &Value) -> String {
    match value {
        Value::Facts(facts) => {
            let facts: Vec<String> = facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
            facts.join(" ")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{End, JobId, Submission};
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    /// A job with this answer.
    fn done(job: JobId, is_refuted: bool) -> StoredJob {
        let end = End {
            job,
            ended_at: Timestamp::from_millis(0),
            cpu: Duration::ZERO,
            reply: Ok(Value::from(5)),
        };
        StoredJob {
            end: Some(end),
            is_refuted,
            ..StoredJob::unbegun(Submission::of_request(job, "pi 7"))
        }
    }

    #[test]
    fn a_refuted_answer_of_a_job_is_exported_as_one() {
        let mut contents = Contents::default();
        for (job, is_refuted) in [(JobId(1), false), (JobId(2), true)] {
            contents.jobs.insert(job, done(job, is_refuted));
        }
        let (mut lines, mut objects) = (Vec::new(), Vec::new());
        export(&contents, &mut lines).expect("memory can be written");
        export_json(&contents, &mut objects).expect("memory can be written");
        let lines = String::from_utf8(lines).expect("it is text");
        let objects = String::from_utf8(objects).expect("it is text");
        let marked = |text: &str, mark: &str| text.lines().map(|line| line.contains(mark)).collect::<Vec<_>>();
        assert_eq!(marked(&lines, " refuted=true request=pi 7"), [false, true], "{lines}");
        assert_eq!(marked(&objects, "\"refuted\":true"), [false, true], "{objects}");
    }

    #[test]
    fn a_copy_whose_name_the_store_cannot_write_is_refused_with_what_to_do() {
        let refused = check_copy(Path::new(OsStr::from_bytes(b"\xff.db"))).expect_err("it is not UTF-8");
        assert!(refused.to_string().ends_with("UTF-8; choose another"), "{refused}");
    }
}
