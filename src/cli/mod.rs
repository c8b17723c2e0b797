//! The command line: `serve`, what asks a running daemon (`ask jobs watch result cancel submit info top`),
//! `eval demo bench store user man completions`. Values go to standard output, everything else to standard error.
//!
//! Exit status: 0, or 1 for an error reply or a failure, or 2 for bad usage.

mod address;
mod ask;
mod bar;
mod bench;
mod color;
mod configure;
mod connect;
mod cpu;
mod data;
mod demo;
mod descriptors;
mod eval;
mod exchange;
mod job_row;
mod jobs;
mod lines;
mod manual;
mod modes;
mod pipeline;
mod print;
mod prompt;
mod quantity;
mod secret;
mod security;
mod serve;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod tls_client;
mod top;
mod user;
mod version;

use crate::daemon::hold_hang_ups;
use crate::verb::TOPICS;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser};
use rustix::process::{Resource, getrlimit};
use settings::{Refusal, Settings};
use std::ffi::OsString;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

/// The default address of the daemon and its clients: 7919 is the 1000th prime.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7919);

/// The least stack of the first thread for `serve`. A release takes 256 to 384 KiB to read its arguments.
const SERVE_STACK: u64 = 512 << 10;

/// The prime daemon: ask about primes over TCP and get the answer, whatever else is running.
#[derive(Debug, Parser)]
#[command(name = "primed", version = version::SHORT, long_version = version::long(), max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    /// When output has colours: auto (at a terminal, unless NO_COLOR is set or TERM is dumb), always, never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    color: color::Color,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  primed serve &                             start the daemon on 127.0.0.1:7919
  printf '100000\\n' | nc -N 127.0.0.1 7919   the 100000th prime
  primed ask pi 1e12                         ask the daemon
  primed ask                                 a prompt; 'help' explains it
  primed submit pi 1e20                      a job that goes on without you; prints its number
  primed watch 1                             its progress, then its answer
  primed eval factor 2^101-1                 the same engine without a daemon";

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the daemon
    Serve(Box<serve::Serve>),
    /// Ask a running daemon: one question, the lines of standard input, or at a prompt
    Ask(ask::Ask),
    /// List submitted jobs and long questions
    Jobs(jobs::Jobs),
    /// Submit a question as a job that outlives this command and the daemon; print the number of the job
    Submit(jobs::Submit),
    /// Show the progress of a job, then its answer; Ctrl-C stops watching, not the job
    Watch(jobs::OneJob),
    /// Wait for the answer to a job
    Result(jobs::OneJob),
    /// Stop jobs
    Cancel(jobs::Cancel),
    /// Show the counters of a running daemon
    Info(jobs::Info),
    /// Show what a daemon does, live: rates, latencies, jobs to sort, filter and cancel
    Top(top::Top),
    /// Answer one question in this process, without a daemon
    Eval(eval::Eval),
    /// Show that long questions do not delay short ones: a daemon, a client, a chart
    Demo(demo::Demo),
    /// Load a server and measure: requests a second, latencies, errors
    Bench(bench::Bench),
    /// Look after what a daemon keeps: check, back up, export, count, prune
    Store(store::Store),
    /// Print the manual page, or write all of them
    Man(manual::Man),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Write the file of users that 'serve --users' reads
    User(user::User),
}

impl Cli {
    /// Reads the arguments, with the settings of the environment and the file.
    fn read(arguments: &[OsString]) -> Result<(Self, Settings), Refusal> {
        let settings = Settings::read(Self::command(), arguments)?;
        if let Some((_, matches)) = settings.matches.subcommand() {
            connect::check(matches)?;
            tls_client::check(matches)?;
        }
        Ok((Self::from_arg_matches(&settings.matches)?, settings))
    }
}

/// Runs the command that the arguments name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Err(what) = cpu::apply() {
        complain(format_args!("primed: {what}"));
        return ExitCode::from(2);
    }
    if is_serve(&arguments) {
        if let Err(what) = check_stack() {
            complain(format_args!("primed: {what}"));
            return ExitCode::from(1);
        }
        // It fails with too few open files, which is said later, with how many there must be.
        let _ = hold_hang_ups();
    }
    if let Some(eval) = eval::Eval::plain(&arguments) {
        return ended(eval.run());
    }
    let (cli, settings) = match Cli::read(&arguments) {
        Ok(read) => read,
        Err(Refusal::Arguments(error)) => return refuse(&error, &arguments),
        Err(Refusal::Setting(what)) => {
            complain(format_args!("primed: {what}"));
            return ExitCode::from(2);
        }
    };
    cli.color.apply();
    let result = match cli.command {
        Command::Serve(serve) if serve.show_config => settings.print(),
        Command::Serve(serve) => {
            for warning in settings.unknown_variables() {
                complain(format_args!("primed: {warning}"));
            }
            serve.run(arguments, settings)
        }
        Command::Ask(ask) => ask.run(),
        Command::Jobs(jobs) => jobs.run(),
        Command::Submit(submit) => submit.run(),
        Command::Watch(job) => job.watch(),
        Command::Result(job) => job.result(),
        Command::Cancel(cancel) => cancel.run(),
        Command::Info(info) => info.run(),
        Command::Top(top) => top.run(),
        Command::Eval(eval) => eval.run(),
        Command::Demo(demo) => demo.run(),
        Command::Bench(bench) => bench.run(),
        Command::Store(store) => store.run(),
        Command::Man(man) => man.run(Cli::command()),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::User(user) => user.run(),
    };
    ended(result)
}

/// Makes sure that the first thread can read the arguments of `serve`: else it would overflow its stack, and the
/// process end without a word.
fn check_stack() -> Result<(), String> {
    match getrlimit(Resource::Stack).current {
        Some(stack) if stack < SERVE_STACK => Err(format!(
            "the limit of the stack is {} KiB, and the daemon needs {}: raise it (ulimit -s, LimitSTACK=)",
            stack >> 10,
            SERVE_STACK >> 10
        )),
        _ => Ok(()),
    }
}

/// Whether the subcommand is `serve`, seen before the arguments are read: that takes milliseconds, and longer with a
/// file of settings.
fn is_serve(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).map(|word| word.to_str());
    loop {
        match words.next().flatten() {
            Some("--color") => drop(words.next()),
            Some(word) if word.starts_with("--color=") => {}
            word => return word == Some("serve"),
        }
    }
}

/// The exit code of a command, after a complaint about its failure.
fn ended(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        // The reader of the output has closed it, which is not a failure.
        if print::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        complain(format_args!("primed: {}", with_causes(&error)));
        ExitCode::from(1)
    })
}

/// An error and its causes, but for those that are in it already: many an error has the words of its cause in its own.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    print::without_controls(&text).into_owned()
}

/// Help and version go to standard output; a mistake is one line with a hint.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let next = match verb(error, arguments).or_else(|| suggestion(error)) {
                Some(word) => format!("did you mean '{word}'?"),
                None => format!("try '{} --help'", command_line(arguments)),
            };
            complain(format_args!("primed: {}; {next}", settings::in_one_line(error)));
            ExitCode::from(2)
        }
    }
}

/// What asks a daemon for a verb that was taken for a subcommand, or for help on a verb or topic that was.
fn verb(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    let word = |index: usize| arguments.get(index)?.to_str();
    let is_verb = |word: &str| configure::verbs().find(word).is_some();
    let is_topic = |word: &str| TOPICS.iter().any(|topic| topic.eq_ignore_ascii_case(word));
    match (word(1)?, word(2)) {
        _ if error.kind() != ErrorKind::InvalidSubcommand => None,
        ("help", Some(about)) => (is_verb(about) || is_topic(about)).then(|| format!("primed ask help {about}")),
        (verb, _) => is_verb(verb).then(|| format!("primed ask {verb}")),
    }
}

/// The likely intention.
fn suggestion(error: &clap::Error) -> Option<String> {
    let kinds = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.clone()),
        // The most similar is the last.
        ContextValue::Strings(words) => words.last().cloned(),
        _ => None,
    })
}

/// `primed`, with the subcommand if it exists.
fn command_line(arguments: &[OsString]) -> String {
    let named = arguments.get(1).and_then(|word| word.to_str());
    match named.filter(|name| Cli::command().find_subcommand(name).is_some()) {
        Some(name) => format!("primed {name}"),
        None => "primed".into(),
    }
}

fn complain(what: std::fmt::Arguments<'_>) {
    // Standard error may be closed.
    let _ = writeln!(std::io::stderr(), "{what}");
}
