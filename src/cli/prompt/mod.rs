//! The prompt of `primed ask`: history, completion, a progress line, and Ctrl-C for the question, not for the client.
//!
//! A question without a tag is waited for. One with a tag is not: its reply is printed above the prompt when it
//! arrives. So a thread reads replies all the time, and [`Sink`] says where they go.

mod complete;
mod screen;

use super::bar::readable;
use super::configure;
use super::connect::{Connect, Reason};
use super::exchange::{is_login, takes_progress};
use super::lines::Lines;
use super::modes::KeptModes;
use super::print::{Printer, is_broken_pipe};
use super::{complain, with_causes};
use crate::Role;
use crate::client::{ReplyLine, split_tag};
use anyhow::Context;
use complete::Words;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use screen::{PROMPT, Screen};
use std::io::{self, Stdout, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep};

/// How long a daemon may say nothing after Ctrl-C. One that lives answers within milliseconds.
const MAX_SILENCE: Duration = Duration::from_secs(2);

/// Lines that were read and are not printed. With more of them the daemon waits, as for any client that does not read.
const MAX_UNPRINTED: usize = 1_024;

/// What `help` prints here, after the verbs: the prompt hides the protocol that the daemon's own `help` explains.
const HELP: &str = "\
Numbers are written 1000000, 1_000_000, 1e6, 10**6 or 2^127-1 ('help numbers').
'pi 1e18 deadline=5s' gives up after 5 s; Ctrl-C cancels a question.
'@big pi 1e18' runs in the background, and '@big' labels its answer;
'cancel @big' stops it.
Tab completes verbs and options; Ctrl-D leaves.
'help pi' explains pi, 'help errors' the error codes.";

/// Reads questions until Ctrl-D or `quit`.
pub(super) fn run(connect: &Connect) -> anyhow::Result<ExitCode> {
    // Whether a line is edited or a question waited for.
    let _modes = KeptModes::of(io::stdin())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config)?;
    let screen = Screen::default();
    editor.set_helper(Some(Words::new(screen.clone())));
    let mut connection = Connection::open(connect, screen.clone())?;
    let greeting = format!(
        "primed at {}; 'help' explains how to ask, Ctrl-D leaves.",
        connect.address()
    );
    connection.printer.line(&greeting)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    loop {
        screen.begin();
        let line = editor.readline(PROMPT);
        screen.end();
        let line = match line {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            // What it draws goes to standard output too.
            Err(ReadlineError::Errno(error)) => return Err(io::Error::from_raw_os_error(error as i32).into()),
            Err(error) => return Err(error.into()),
        };
        let question = line.trim();
        if question.is_empty() || question.starts_with('#') {
            continue;
        }
        // The history is a file.
        if !is_login(question) {
            editor.add_history_entry(question)?;
            if let Some(file) = &history {
                // At once, for a signal may end the process. Losing the history is no reason to fail.
                let _ = editor.append_history(file).or_else(|_| editor.save_history(file));
            }
        }
        match question.to_ascii_lowercase().as_str() {
            "quit" | "exit" | "bye" => break,
            "help" => {
                print_help()?;
                continue;
            }
            _ => {}
        }
        let mut result = connection.ask(&runtime, question);
        if result.is_err() && connection.may_ask_again(question) {
            // The connection had ended, as where the daemon was started anew.
            result = Connection::open(connect, screen.clone()).and_then(|again| {
                connection = again;
                connection.ask(&runtime, question)
            });
        }
        if let Err(error) = result {
            // The reader of the output has gone, and not the daemon.
            if is_broken_pipe(&error) && connection.was_heard && lock(&connection.sink).others().is_some() {
                return Err(error);
            }
            connection.printer.wipe();
            complain(format_args!("{}", with_causes(&error)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn history_file() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".primed_history"))
}

fn print_help() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for verb in configure::verbs().verbs() {
        writeln!(out, "{:<29} {}", verb.usage(), verb.about())?;
    }
    writeln!(out, "{HELP}")
}

/// Where the lines of replies go.
enum Sink {
    /// Above the prompt, for questions that are not waited for; this many of them have no answer yet.
    Prompt(usize),
    /// To the question that is waited for, with the number of the others.
    Question(Sender<String>, usize),
    /// The connection has ended.
    Closed,
}

impl Sink {
    fn others(&mut self) -> Option<&mut usize> {
        match self {
            Self::Prompt(others) | Self::Question(_, others) => Some(others),
            Self::Closed => None,
        }
    }
}

/// A connection to a daemon. Dropped, it ends, and so does the thread that reads it.
struct Connection {
    stream: TcpStream,
    sink: Arc<Mutex<Sink>>,
    asked: u64,
    /// True once the last question was written to the daemon, which may have taken it in.
    was_sent: bool,
    /// True once the daemon has replied to it.
    was_heard: bool,
    printer: Printer<Stdout>,
    /// Why it was closed.
    reason: Reason,
}

impl Connection {
    fn open(connect: &Connect, screen: Screen) -> anyhow::Result<Self> {
        let stream = connect.open()?;
        let sink = Arc::new(Mutex::new(Sink::Prompt(0)));
        let (lines, reading) = (Lines::new(stream.try_clone()?), sink.clone());
        let (reason, reads) = (connect.reason().clone(), connect.reason().clone());
        std::thread::Builder::new()
            .name("replies".into())
            .spawn(move || read(lines, &reading, &screen, &reads))?;
        Ok(Self {
            stream,
            sink,
            asked: 0,
            was_sent: false,
            was_heard: false,
            printer: Printer::new(io::stdout(), false),
            reason,
        })
    }

    /// Sends a question, and prints its reply if it has no tag.
    fn ask(&mut self, runtime: &Runtime, question: &str) -> anyhow::Result<()> {
        (self.was_sent, self.was_heard) = (false, false);
        if split_tag(question).0.is_none() {
            let _silence = Silence::begin();
            return runtime.block_on(self.wait(question));
        }
        match lock(&self.sink).others() {
            Some(others) => *others += 1,
            None => anyhow::bail!("the daemon has closed the connection: leave, and start this again when it is back"),
        }
        self.send(&format!("{question}\n"))?;
        self.was_sent = true;
        Ok(())
    }

    /// Whether the last question, which failed, may be asked over another connection: the daemon has not taken it in,
    /// or has done nothing that a second time would be too often, as `submit` is.
    fn may_ask_again(&self, question: &str) -> bool {
        !self.was_heard && (!self.was_sent || only_asks(question))
    }

    /// Asks and prints until the final line. Ctrl-C cancels the question and waits for the reply to that; a second one,
    /// or a daemon that then says nothing, ends the connection.
    async fn wait(&mut self, question: &str) -> anyhow::Result<()> {
        self.asked += 1;
        // No person begins a tag with a hyphen.
        let tag = format!("-{}", self.asked);
        let (sender, mut lines) = channel(MAX_UNPRINTED);
        {
            let mut sink = lock(&self.sink);
            let others = *sink
                .others()
                .context("the daemon has closed the connection: leave, and start this again when it is back")?;
            *sink = Sink::Question(sender, others);
        }
        let result = self.print_reply(&tag, question, &mut lines).await;
        {
            let mut sink = lock(&self.sink);
            if let Some(others) = sink.others() {
                *sink = Sink::Prompt(*others);
            }
        }
        // A line that is on its way comes too, and any other goes above the prompt.
        lines.close();
        while let Some(line) = lines.recv().await {
            self.print(&line, &tag)?;
        }
        result
    }

    async fn print_reply(&mut self, tag: &str, question: &str, lines: &mut Receiver<String>) -> anyhow::Result<()> {
        let progress = if takes_progress(question) {
            " progress=500ms"
        } else {
            ""
        };
        // Before the question is sent: a Ctrl-C from then on stops it, however soon it comes.
        let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        self.send(&format!("@{tag} {question}{progress}\n"))?;
        self.was_sent = true;
        let mut is_cancelled = false;
        let silence = sleep(Duration::MAX);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                line = lines.recv() => {
                    if is_cancelled {
                        silence.as_mut().reset(Instant::now() + MAX_SILENCE);
                    }
                    let closed = "the daemon closed the connection before it answered; ask again";
                    let line = line.ok_or_else(|| self.reason.or(closed))?;
                    self.was_heard = true;
                    let (of, rest) = split_tag(&line);
                    let is_final = ReplyLine::parse(rest).is_final() && of.is_none_or(|of| of == tag);
                    match watched_job(question).filter(|_| is_final && is_cancelled && rest.starts_with("ERR cancelled")) {
                        Some(job) => {
                            let text = format!("no longer watching job {job}, which goes on; 'cancel {job}' stops it");
                            self.printer.line(&text)?;
                        }
                        None => self.print(&line, tag)?,
                    }
                    if is_final {
                        return Ok(());
                    }
                }
                _ = interrupts.recv() => {
                    if is_cancelled {
                        return Err(self.abandon());
                    }
                    is_cancelled = true;
                    silence.as_mut().reset(Instant::now() + MAX_SILENCE);
                    self.send(&format!("@-stop{} cancel @{tag}\n", self.asked))?;
                }
                () = &mut silence, if is_cancelled => return Err(self.abandon()),
            }
        }
    }

    /// Ends the connection to a daemon that does not answer, and says so.
    fn abandon(&mut self) -> anyhow::Error {
        // It is not asked again.
        self.was_heard = true;
        let others = lock(&self.sink).others().map_or(0, |others| *others);
        *lock(&self.sink) = Sink::Closed;
        let _ = self.stream.shutdown(Shutdown::Both);
        let lost = match others {
            0 => "",
            _ => ", and what was asked with a tag is cancelled with it",
        };
        anyhow::anyhow!("the daemon does not answer: the connection was closed{lost}; the next question opens another")
    }

    /// Prints a line of a reply; a line of another question than `tag` with its label.
    fn print(&mut self, line: &str, tag: &str) -> io::Result<()> {
        match split_tag(line) {
            (Some(of), rest) if of != tag => match above_text(of, ReplyLine::parse(rest)) {
                Some(text) => self.printer.line(text.trim_end_matches('\n'))?,
                None => return Ok(()),
            },
            (_, rest) => self.printer.print(None, ReplyLine::parse(rest))?,
        }
        self.printer.flush()
    }

    fn send(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.stream.write_all(line.as_bytes())?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn lock(sink: &Mutex<Sink>) -> MutexGuard<'_, Sink> {
    sink.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The job that a question only watches, so that the question may be cancelled while the job goes on.
fn watched_job(question: &str) -> Option<&str> {
    let (verb, rest) = question.split_once(' ')?;
    let watches = verb.eq_ignore_ascii_case("watch") || verb.eq_ignore_ascii_case("result");
    rest.split_whitespace().next().filter(|_| watches)
}

/// Whether a question changes nothing at the daemon: its verb is known, and takes no role but that to ask.
fn only_asks(question: &str) -> bool {
    let verb = split_tag(question).1.split_whitespace().next().unwrap_or_default();
    let verbs = configure::verbs();
    verbs.find(verb).is_some_and(|verb| verb.role() == Role::Ask)
}

/// Reads replies until the connection ends.
fn read(mut lines: Lines<TcpStream>, sink: &Mutex<Sink>, screen: &Screen, reason: &Reason) {
    loop {
        let shown = match lines.next() {
            Ok(Some(shown)) => shown,
            Ok(None) => break,
            Err(error) => {
                reason.set(error.to_string());
                break;
            }
        };
        let (tag, rest) = split_tag(&shown);
        let heard = ReplyLine::parse(rest);
        let mut sink_now = lock(sink);
        let is_others = tag.is_some_and(|tag| !tag.starts_with('-'));
        if let Some(others) = sink_now.others().filter(|_| is_others && heard.is_final()) {
            *others = others.saturating_sub(1);
        }
        drop(sink_now);
        if !show(shown.into_owned(), sink, screen) {
            return;
        }
    }
    let ended = std::mem::replace(&mut *lock(sink), Sink::Closed);
    if matches!(ended, Sink::Prompt(others) if others > 0) {
        screen.print("the daemon closed the connection; ask again\n");
    }
}

/// Puts a line where it belongs. False once the connection has ended.
fn show(mut line: String, sink: &Mutex<Sink>, screen: &Screen) -> bool {
    loop {
        let sink = lock(sink);
        let sender = match &*sink {
            Sink::Closed => return false,
            Sink::Question(sender, _) => sender.clone(),
            Sink::Prompt(_) => {
                let (tag, rest) = split_tag(&line);
                if let Some(text) = above_text(tag.unwrap_or("-"), ReplyLine::parse(rest)) {
                    screen.print(&text);
                }
                return true;
            }
        };
        // It waits until the question has printed some, which must be able to end meanwhile.
        drop(sink);
        match sender.blocking_send(line) {
            Ok(()) => return true,
            Err(SendError(unsent)) => line = unsent,
        }
    }
}

/// A line of a reply to a question that is not waited for. Replies to the prompt's own cancels, whose tags begin with a
/// hyphen, have none.
fn above_text(tag: &str, heard: ReplyLine<'_>) -> Option<String> {
    if tag.starts_with("-stop") {
        return None;
    }
    let label = if tag == "-" { String::new() } else { format!("@{tag} ") };
    Some(match heard {
        ReplyLine::Value("") => format!("{label}done\n"),
        ReplyLine::Value(text) | ReplyLine::Row(text) => format!("{label}{text}\n"),
        ReplyLine::Error { code, text } => format!("{label}{code}: {text}\n"),
        ReplyLine::Progress(text) => format!("{label}{}\n", readable(text)),
    })
}

/// While this lives, what is typed is kept for the next line but not shown, because it would mix with the progress
/// line; and Ctrl-C does not throw it away.
struct Silence(Option<Termios>);

impl Silence {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut silent) = before.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            silent.local_modes.insert(LocalModes::NOFLSH);
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &silent);
        }
        Self(before)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_daemon_is_not_asked_twice() {
        for (question, is_so) in [
            ("pi 1e9", true),
            ("@a pi 1e9", true),
            ("RESULT 7", true),
            ("submit pi 1e18", false),
            ("@a SUBMIT pi 1e18 id=x", false),
            ("config set log debug", false),
            ("forget all", false),
            ("anything", false),
        ] {
            assert_eq!(only_asks(question), is_so, "{question}");
        }
    }
}
