//! `primed eval`: the same engine in this process, no socket. For scripts, and for whole-process comparisons.

use super::print::Printer;
use super::quantity;
use crate::client::ReplyLine;
use crate::proto::{ParsedLine, Request, parse_line};
use crate::{Daemon, Event, Interim, Question, Value};
use std::io::{self, BufWriter, Stdout};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

/// Verbs that need a daemon, because they are about jobs that go on or about a connection.
const OF_A_DAEMON: [&str; 6] = ["submit", "watch", "result", "jobs", "cancel", "quit"];

/// How often progress is shown at a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// The arguments of `eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Eval {
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// Print JSON: an object a line, with 'value', 'row', 'progress', or 'error' and 'text'; numbers are strings
    #[arg(long)]
    json: bool,
    /// The question, as one argument or several: pi 1e12
    #[arg(required = true, value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Eval {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let line = self.request.join(" ");
        let parsed = parse_line(line.as_bytes());
        anyhow::ensure!(
            parsed != Ok(ParsedLine::Blank),
            "there is no question; write one, such as 'primed eval pi 1e12' ('primed eval help' lists the verbs)"
        );
        if let Ok(ParsedLine::Request(Request { verb, .. })) = parsed
            && OF_A_DAEMON.iter().any(|known| known.eq_ignore_ascii_case(verb))
        {
            anyhow::bail!("'{verb}' needs a daemon: start one with 'primed serve', and use 'primed ask'");
        }
        let workers = self.workers.or_else(|| std::thread::available_parallelism().ok());
        let daemon = Daemon::new().workers(workers.map_or(1, NonZeroUsize::get));
        let daemon = OF_A_DAEMON.iter().fold(daemon, |daemon, verb| daemon.without(verb));
        let mut printer = Printer::new(BufWriter::new(io::stdout()), self.json);
        actix::System::new().block_on(async {
            let running = daemon.start().await?;
            let mut question = running.engine().request(&line);
            if printer.shows_progress() && !line.contains("progress=") {
                question = question.progress(PROGRESS_INTERVAL);
            }
            print(question, &mut printer).await
        })?;
        printer.flush()?;
        Ok(ExitCode::from(u8::from(printer.errors > 0)))
    }
}

/// Prints all events of a question as a client prints the lines of its reply.
async fn print(question: Question, printer: &mut Printer<BufWriter<Stdout>>) -> anyhow::Result<()> {
    let mut events = question.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Interim(Interim::Rows(rows)) => {
                for row in rows {
                    printer.print(None, ReplyLine::Row(&row))?;
                }
            }
            Event::Interim(progress) => printer.print(None, ReplyLine::Progress(&progress.words()))?,
            Event::Final(Ok(Value::Facts(facts))) => {
                for (key, value) in facts {
                    printer.print(None, ReplyLine::Row(&format!("{key}={value}")))?;
                }
                printer.print(None, ReplyLine::Value(""))?;
            }
            Event::Final(Ok(value)) => printer.print(None, ReplyLine::Value(&value.to_string()))?,
            Event::Final(Err(failure)) => {
                let (code, text) = (failure.code.as_str(), &failure.text);
                printer.print(None, ReplyLine::Error { code, text })?;
            }
        }
    }
    Ok(())
}
