//! `primed jobs watch result cancel submit info`: what operators ask most, as commands with output of their own. Each
//! is one request.

use super::connect::Connect;
use super::exchange::{ask_for, ask_one, printer};
use super::job_row::JobRow;
use crate::client::ReplyLine;
use crate::engine::JobId;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// The arguments of `jobs`.
#[derive(Debug, clap::Args)]
pub(super) struct Jobs {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object a job, with the fields of the verb 'jobs' as strings
    #[arg(long)]
    json: bool,
}

impl Jobs {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut has_header = false;
        ask_for(&self.connect, "jobs", printer(self.json), |heard| match heard {
            ReplyLine::Row(row) if self.json => Some(JobRow::parse(row).json().to_string()),
            ReplyLine::Row(row) => {
                let header = (!std::mem::replace(&mut has_header, true)).then(|| format!("{}\n", header()));
                Some(header.unwrap_or_default() + &line(&JobRow::parse(row)))
            }
            _ => None,
        })
    }
}

fn header() -> String {
    columns(["ID", "STATE", "DONE", "LEFT", "CPU", "OWNER", "REQUEST"])
}

fn line(job: &JobRow) -> String {
    let done = job
        .percent()
        .map(|percent| format!("{percent:.1} %"))
        .unwrap_or_default();
    let state = job.state();
    columns([
        job.get("id"),
        &state,
        &done,
        job.get("eta"),
        job.get("cpu"),
        job.get("owner"),
        job.get("request"),
    ])
}

fn columns([id, state, done, left, cpu, owner, request]: [&str; 7]) -> String {
    format!("{id:>7} {state:<10} {done:>7} {left:>6} {cpu:>10} {owner:<15} {request}")
}

/// The arguments of `watch` and `result`.
#[derive(Debug, clap::Args)]
pub(super) struct OneJob {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object a line, with 'progress' and in the end 'value', or 'error' and 'text'; numbers are strings
    #[arg(long)]
    json: bool,
    /// The number of the job, as 'submit' printed it
    #[arg(value_name = "JOB", value_parser = read_id)]
    job: JobId,
}

impl OneJob {
    /// Shows the progress, then the answer. Ctrl-C ends the command and not the job.
    pub(super) fn watch(self) -> anyhow::Result<ExitCode> {
        ask_one(&self.connect, &format!("watch {}", self.job), printer(self.json))
    }

    /// Waits for the answer.
    pub(super) fn result(self) -> anyhow::Result<ExitCode> {
        ask_one(&self.connect, &format!("result {}", self.job), printer(self.json))
    }
}

/// The arguments of `cancel`.
#[derive(Debug, clap::Args)]
pub(super) struct Cancel {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object with 'cancelled', the number of jobs as a string, or with 'error' and 'text'
    #[arg(long)]
    json: bool,
    /// The numbers of the jobs; 'all' for all of your account; or 'owner=OWNER' as 'jobs' shows it
    #[arg(value_name = "JOB", required = true, value_parser = read_selection)]
    jobs: Vec<String>,
}

impl Cancel {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = format!("cancel {}", self.jobs.join(" "));
        ask_for(&self.connect, &request, printer(self.json), |heard| match heard {
            ReplyLine::Value(value) => {
                // One job has no number in its answer.
                let cancelled = value.strip_prefix("cancelled=").unwrap_or("1");
                Some(match self.json {
                    true => json!({ "cancelled": cancelled }).to_string(),
                    false => format!("{cancelled} cancelled"),
                })
            }
            _ => None,
        })
    }
}

/// The arguments of `submit`.
#[derive(Debug, clap::Args)]
pub(super) struct Submit {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object with 'job', its number as a string, or with 'error' and 'text'
    #[arg(long)]
    json: bool,
    /// The question, with id=KEY, priority=low|normal|high, after=TIME or deadline=TIME if wanted
    #[arg(required = true, value_name = "QUESTION", allow_negative_numbers = true)]
    question: Vec<String>,
}

impl Submit {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let request = format!("submit {}", self.question.join(" "));
        ask_for(&self.connect, &request, printer(self.json), |heard| match heard {
            ReplyLine::Value(value) => {
                let job = value.strip_prefix("job=").unwrap_or(value);
                Some(match self.json {
                    true => json!({ "job": job }).to_string(),
                    false => job.to_owned(),
                })
            }
            _ => None,
        })
    }
}

/// The arguments of `info`.
#[derive(Debug, clap::Args)]
pub(super) struct Info {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: one object, whose values are strings
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut object = Map::new();
        ask_for(&self.connect, "info", printer(self.json), |heard| match heard {
            ReplyLine::Row(row) if self.json => {
                let (key, value) = row.split_once('=').unwrap_or((row, ""));
                object.insert(key.to_owned(), value.into());
                None
            }
            ReplyLine::Row(row) => Some(row.to_owned()),
            ReplyLine::Value(_) if self.json => Some(Value::Object(std::mem::take(&mut object)).to_string()),
            _ => None,
        })
    }
}

/// `7`, or `job=7` as the wire has it.
fn read_id(text: &str) -> Result<JobId, String> {
    let number = text.strip_prefix("job=").unwrap_or(text);
    let id = number.parse();
    id.map_err(|_| "write the number of a job, which 'primed jobs' shows".to_owned())
}

fn read_selection(text: &str) -> Result<String, String> {
    let is_group = text.eq_ignore_ascii_case("all") || text.starts_with("owner=");
    if is_group && !text.contains(char::is_whitespace) {
        return Ok(text.to_owned());
    }
    read_id(text).map(|id| id.to_string())
}
