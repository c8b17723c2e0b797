//! Replies as a person or a script wants them: the value alone, errors and progress on standard error.

use crate::client::ReplyLine;
use std::io::{self, IsTerminal, Write};

/// Prints replies.
pub(super) struct Printer<W> {
    out: W,
    shows_progress: bool,
    has_progress_line: bool,
    /// Error replies so far.
    pub(super) errors: usize,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            shows_progress: io::stderr().is_terminal(),
            has_progress_line: false,
            errors: 0,
        }
    }

    /// Prints one line of a reply. `label` is a tag that the reader of the output asked for.
    pub(super) fn print(&mut self, label: Option<&str>, heard: ReplyLine<'_>) -> io::Result<()> {
        self.wipe()?;
        let label = label.map(|tag| format!("@{tag} ")).unwrap_or_default();
        match heard {
            ReplyLine::Value("") => Ok(()),
            ReplyLine::Value(text) | ReplyLine::Row(text) => writeln!(self.out, "{label}{text}"),
            ReplyLine::Error { code, text } => {
                self.errors += 1;
                self.out.flush()?;
                writeln!(io::stderr(), "{label}{code}: {text}")
            }
            ReplyLine::Progress(text) => self.progress(text),
        }
    }

    /// Passes on what has been printed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Keeps one line at the bottom of the terminal.
    fn progress(&mut self, text: &str) -> io::Result<()> {
        if !self.shows_progress {
            return writeln!(io::stderr(), "* {text}");
        }
        self.out.flush()?;
        self.has_progress_line = true;
        write!(io::stderr(), "\r\x1b[2K  {}", spoken(text))?;
        io::stderr().flush()
    }

    /// Takes the progress line away, so that something else may be written in its place.
    pub(super) fn wipe(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.has_progress_line) {
            write!(io::stderr(), "\r\x1b[2K")?;
        }
        Ok(())
    }
}

/// `pct=41.3 eta=18s` as a person says it.
fn spoken(progress: &str) -> String {
    let value = |key: &str| progress.split(' ').find_map(|word| word.strip_prefix(key));
    match (value("pct="), value("eta="), value("stalled=")) {
        (Some(percent), Some(left), _) => format!("{percent} %, {left} left"),
        (Some(percent), None, _) => format!("{percent} %"),
        (_, _, Some(since)) => format!("waiting for {since}"),
        _ => progress.to_owned(),
    }
}

/// True if the reader of our output has gone away.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}
