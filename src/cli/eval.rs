//! `primed eval`: the same engine in this process, no socket. For scripts, and for whole-process comparisons.

use super::print::Printer;
use super::quantity;
use crate::caught::caught;
use crate::client::ReplyLine;
use crate::job::{Budget, Job};
use crate::proto::{ParsedLine, Request, Tag, parse_line};
use crate::verb;
use crate::{Daemon, Event, Interim, Policy, Question, Value};
use std::ffi::OsString;
use std::io::{self, BufWriter, Stdout};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Verbs that need a daemon, because they are about jobs that go on, connections, users, or what others ask.
const OF_A_DAEMON: [&str; 14] = [
    "auth", "submit", "watch", "result", "jobs", "cancel", "config", "quit", "monitor", "clients", "client", "kill",
    "slowlog", "nodes",
];

/// How often progress is shown at a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long an answer may take that is computed before an engine is started; what is not done by then is begun anew.
const MOMENT: Duration = Duration::from_millis(5);

/// The arguments of `eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Eval {
    /// Threads that compute [default: one for each core]
    #[arg(long, value_name = "N", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// Print JSON: an object a line, with 'value', 'row', 'progress', or 'error' and 'text', and the 'tag'; numbers are
    /// strings
    #[arg(long)]
    json: bool,
    /// The question, as one argument or several: pi 1e12
    #[arg(required = true, value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Eval {
    /// The same from arguments that are written plainly: `eval`, perhaps `--workers N`, then the request. `None` is
    /// left to the parser of all commands and their flags, which takes longer than many an answer.
    pub(super) fn plain(arguments: &[OsString]) -> Option<Self> {
        let words: Option<Vec<&str>> = arguments.iter().skip(1).map(|word| word.to_str()).collect();
        let (workers, request) = match words?.as_slice() {
            ["eval", "--workers", count, request @ ..] => (Some(quantity::threads(count).ok()?), request.to_vec()),
            ["eval", request @ ..] => (None, request.to_vec()),
            _ => return None,
        };
        if request.is_empty() || request.iter().any(|word| word.starts_with('-')) {
            return None;
        }
        Some(Self {
            workers,
            json: false,
            request: request.into_iter().map(str::to_owned).collect(),
        })
    }

    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let line = self.request.join(" ");
        let parsed = parse_line(line.as_bytes());
        anyhow::ensure!(
            parsed != Ok(ParsedLine::Blank),
            "there is no question; write one, such as 'primed eval pi 1e12' ('primed eval help' lists the verbs)"
        );
        if let Ok(ParsedLine::Request(request)) = &parsed
            && let Some(verb) = of_a_daemon(request)
        {
            anyhow::bail!("'{verb}' needs a daemon: start one with 'primed serve', and use 'primed ask'");
        }
        let tag = match &parsed {
            Ok(ParsedLine::Request(request)) => request.format.tag,
            Err((tag, _)) => *tag,
            Ok(_) => None,
        };
        let mut printer = Printer::new(BufWriter::new(io::stdout()), self.json);
        // An engine of one worker would do nothing but hand slices to and fro, and report progress.
        let is_alone = self.workers == Some(NonZeroUsize::MIN) && !printer.shows_progress();
        if let Ok(ParsedLine::Request(request)) = &parsed
            && let Some(value) = answer_here(request, (!is_alone).then_some(MOMENT))
        {
            let tag = tag.as_ref().map(Tag::as_str);
            printer.print(tag, ReplyLine::Value(&value.to_string()))?;
            printer.flush()?;
            return Ok(ExitCode::SUCCESS);
        }
        by_engine(&line, tag, self.workers, printer)
    }
}

/// The verb that needs a daemon, if a request is of one or wants help on one.
fn of_a_daemon<'a>(request: &Request<'a>) -> Option<&'a str> {
    let topic = request
        .args
        .first()
        .filter(|_| request.verb.eq_ignore_ascii_case("help"));
    let verbs = topic.into_iter().chain([&request.verb]).copied();
    let is_known = |verb: &&str| {
        let name = verb::of_alias(verb).unwrap_or(verb);
        OF_A_DAEMON.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    verbs.into_iter().find(is_known)
}

/// The answer of an engine, which works for this question alone. Apart: what starts and runs it takes 70 KB of stack,
/// of which each page costs a start 2 us.
#[inline(never)]
fn by_engine(
    line: &str,
    tag: Option<Tag>,
    workers: Option<NonZeroUsize>,
    mut printer: Printer<BufWriter<Stdout>>,
) -> anyhow::Result<ExitCode> {
    let workers = workers.or_else(|| std::thread::available_parallelism().ok());
    let daemon = Daemon::new().workers(workers.map_or(1, NonZeroUsize::get));
    let daemon = OF_A_DAEMON.iter().fold(daemon, |daemon, verb| daemon.without(verb));
    actix::System::new().block_on(async {
        let running = daemon.start().await?;
        let mut question = running.engine().request(line);
        if printer.shows_progress() {
            question = question.progress_unless_set(PROGRESS_INTERVAL);
        }
        print(question, tag, &mut printer).await
    })?;
    printer.flush()?;
    Ok(ExitCode::from(u8::from(printer.errors > 0)))
}

/// The answer, if this thread has it within a moment, or without one in whatever time: to start an engine would take
/// longer.
fn answer_here(request: &Request<'_>, moment: Option<Duration>) -> Option<Value> {
    let query = verb::question(request)?;
    if let Some(known) = query.known() {
        return Some(known);
    }
    let job = Job::from(query);
    let mut plan = job.plan().ok()?;
    if job.streams || plan.memory(1) > Policy::default().max_memory || moment.is_some() && plan.is_long() {
        return None;
    }
    let began = Instant::now();
    let is_over = || moment.is_some_and(|moment| began.elapsed() > moment);
    // A panic is one of the engine too, which answers with an error.
    caught(|| plan.advance(Budget::new(&is_over))).ok()?
}

/// Prints all events of a question as a client prints the lines of its reply.
async fn print(question: Question, tag: Option<Tag>, printer: &mut Printer<BufWriter<Stdout>>) -> anyhow::Result<()> {
    let tag = tag.as_ref().map(Tag::as_str);
    let mut events = question.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Interim(Interim::Rows(rows)) => {
                for row in rows {
                    printer.print(tag, ReplyLine::Row(&row))?;
                }
            }
            Event::Interim(progress) => printer.print(tag, ReplyLine::Progress(&progress.words()))?,
            Event::Final(Ok(Value::Facts(facts))) => {
                for (key, value) in facts {
                    printer.print(tag, ReplyLine::Row(&format!("{key}={value}")))?;
                }
                printer.print(tag, ReplyLine::Value(""))?;
            }
            Event::Final(Ok(value)) => printer.print(tag, ReplyLine::Value(&value.to_string()))?,
            Event::Final(Err(failure)) => {
                let (code, text) = (failure.code.as_str(), &failure.text);
                printer.print(tag, ReplyLine::Error { code, text })?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn read(words: &[&str]) -> (Option<Eval>, Option<Eval>) {
        let arguments: Vec<OsString> = ["primed"].iter().chain(words).map(OsString::from).collect();
        let parsed = match Cli::try_parse_from(&arguments).map(|cli| cli.command) {
            Ok(Command::Eval(eval)) => Some(eval),
            _ => None,
        };
        (Eval::plain(&arguments), parsed)
    }

    #[test]
    fn plain_arguments_are_read_as_the_parser_reads_them() {
        for words in [
            &["eval", "nth 5"][..],
            &["eval", "nth", "5"],
            &["eval", "--workers", "2", "pi", "1e9"],
            &["eval", "pi", "1e9", "deadline=1s"],
            &["eval", "help"],
        ] {
            let (plain, parsed) = read(words);
            let (plain, parsed) = (plain.expect("plain"), parsed.expect("right"));
            assert_eq!(
                (plain.workers, plain.json, plain.request),
                (parsed.workers, parsed.json, parsed.request)
            );
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_parser() {
        for words in [
            &["eval"][..],
            &["eval", "--workers"],
            &["eval", "--workers", "0", "nth", "5"],
            &["eval", "--workers", "2"],
            &["eval", "--json", "nth", "5"],
            &["eval", "nth", "5", "--json"],
            &["eval", "factor", "-5"],
            &["eval", "--help"],
            &["serve"],
            &[],
        ] {
            assert!(read(words).0.is_none(), "{words:?}");
        }
    }

    #[test]
    fn what_takes_a_moment_is_answered_at_once() {
        let answer = |line: &str| match parse_line(line.as_bytes()) {
            Ok(ParsedLine::Request(request)) => {
                answer_here(&request, Some(Duration::from_secs(60))).map(|value| value.to_string())
            }
            _ => None,
        };
        for (line, expected) in [
            ("nth 1e9", Some("22801763489")),
            ("pi 1000", Some("168")),
            ("isprime 97", Some("yes")),
            ("factor 360", Some("2 2 2 3 3 5")),
            ("count 1 100 method=sieve", Some("25")),
            // A refusal, rows, a deadline, long work and what is no question are the engine's.
            ("nth 0", None),
            ("primes 1 10", None),
            ("nth 5 deadline=1s", None),
            ("count 1 100 method=magic", None),
            ("count 1 100 methid=sieve", None),
            ("pi 1e20", None),
            ("info", None),
        ] {
            assert_eq!(answer(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn an_answer_that_needs_no_engine_may_take_long() {
        let answer = |line: &str| match parse_line(line.as_bytes()) {
            Ok(ParsedLine::Request(request)) => answer_here(&request, None).map(|value| value.to_string()),
            _ => None,
        };
        assert_eq!(answer("pi 1e12").as_deref(), Some("37607912018"));
        // What needs too much memory is refused by the engine.
        assert_eq!(answer("pi 1e25"), None);
    }
}
