//! The prompt of `primed ask`: history, a progress line, and Ctrl-C for the question, not for the client.

use super::connect::connect;
use super::print::Printer;
use crate::client::{ReplyLine, split_tag};
use crate::verb::{Registry, Verb};
use anyhow::Context;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Editor, Helper, Highlighter, Hinter, Validator};
use std::io::{self, Stdout};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// Reads questions until Ctrl-D or `quit`.
pub(super) fn run(address: SocketAddr) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut talk = Talk::new(&runtime, address)?;
    println!("primed at {address}; 'help' teaches how to ask, Ctrl-D ends.");
    let mut editor: Editor<Words, DefaultHistory> = Editor::new()?;
    editor.set_helper(Some(Words));
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    loop {
        let line = match editor.readline("primed> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let question = line.trim();
        if question.is_empty() || question.starts_with('#') {
            continue;
        }
        editor.add_history_entry(question)?;
        if question.eq_ignore_ascii_case("quit") || question.eq_ignore_ascii_case("exit") {
            break;
        }
        let mut result = runtime.block_on(talk.ask(question));
        if result.is_err() && !talk.was_heard {
            // The connection had ended before, and the daemon that may listen there now knows nothing of the question.
            result = Talk::new(&runtime, address).and_then(|again| {
                talk = again;
                runtime.block_on(talk.ask(question))
            });
        }
        if let Err(error) = result {
            talk.printer.wipe()?;
            eprintln!("{error:#}");
        }
    }
    if let Some(file) = &history {
        // Losing the history is no reason to fail.
        let _ = editor.save_history(file);
    }
    Ok(ExitCode::SUCCESS)
}

fn history_file() -> Option<PathBuf> {
    std::env::home_dir().map(|home| home.join(".primed_history"))
}

/// A connection on which one question at a time is asked.
struct Talk {
    stream: BufReader<TcpStream>,
    asked: u64,
    /// True once the daemon has said something to the last question.
    was_heard: bool,
    printer: Printer<Stdout>,
}

impl Talk {
    fn new(runtime: &Runtime, address: SocketAddr) -> anyhow::Result<Self> {
        let stream = connect(address)?;
        stream.set_nonblocking(true)?;
        let _inside = runtime.enter();
        Ok(Self {
            stream: BufReader::new(TcpStream::from_std(stream)?),
            asked: 0,
            was_heard: false,
            printer: Printer::new(io::stdout(), false),
        })
    }

    /// Asks and prints until the final line; Ctrl-C cancels the question and waits for its last word.
    async fn ask(&mut self, question: &str) -> anyhow::Result<()> {
        self.asked += 1;
        self.was_heard = false;
        let (own_tag, question) = split_tag(question);
        let tag = own_tag.map_or_else(|| format!("q{}", self.asked), str::to_owned);
        let progress = if question.contains("progress=") {
            ""
        } else {
            " progress=500ms"
        };
        self.send(&format!("@{tag} {question}{progress}\n")).await?;
        let mut line = Vec::new();
        loop {
            tokio::select! {
                read = self.stream.read_until(b'\n', &mut line) => {
                    if read.unwrap_or_default() == 0 || !line.ends_with(b"\n") {
                        anyhow::bail!("the daemon closed the connection before it answered; ask again");
                    }
                    self.was_heard = true;
                    let text = String::from_utf8_lossy(&line);
                    let (heard_tag, rest) = split_tag(text.trim_end());
                    let heard = ReplyLine::parse(rest);
                    if heard_tag.is_none_or(|heard_tag| heard_tag == tag) {
                        self.printer.print(None, heard)?;
                        self.printer.flush()?;
                        if heard.is_final() {
                            return Ok(());
                        }
                    }
                    line.clear();
                }
                interrupt = tokio::signal::ctrl_c() => {
                    interrupt.context("cannot listen for Ctrl-C")?;
                    self.send(&format!("@stop{} cancel @{tag}\n", self.asked)).await?;
                }
            }
        }
    }

    async fn send(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.stream.get_mut().write_all(line.as_bytes()).await?)
    }
}

/// Completes verbs.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Words;

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = &line[..position];
        if begun.contains(' ') {
            return Ok((position, Vec::new()));
        }
        let registry = Registry::default();
        let names = registry.verbs().map(Verb::name).filter(|name| name.starts_with(begun));
        Ok((0, names.map(|name| format!("{name} ")).collect()))
    }
}
