//! Replies as a person or a script wants them: the value alone, errors and progress on standard error.

use std::io::{self, IsTerminal, Write};

/// A line of the protocol, as a client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// `OK value`, or the bare value of a bare number.
    Value(&'a str),
    /// `ERR code :text`.
    Error {
        /// For programs.
        code: &'a str,
        /// For people.
        text: &'a str,
    },
    /// `= data`.
    Row(&'a str),
    /// `* key=value ...`.
    Progress(&'a str),
}

impl<'a> Heard<'a> {
    /// Reads a line from which the tag has been taken.
    pub(super) fn parse(line: &'a str) -> Self {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "OK" => Self::Value(rest),
            "ERR" => {
                let (code, text) = rest.split_once(" :").unwrap_or((rest, ""));
                Self::Error { code, text }
            }
            "=" => Self::Row(rest),
            "*" => Self::Progress(rest),
            _ => Self::Value(line),
        }
    }

    /// True for the last line of a reply.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Error { .. })
    }
}

/// Takes the tag off a line.
pub(super) fn split_tag(line: &str) -> (Option<&str>, &str) {
    match line.strip_prefix('@') {
        Some(tagged) => {
            let (tag, rest) = tagged.split_once(' ').unwrap_or((tagged, ""));
            (Some(tag), rest)
        }
        None => (None, line),
    }
}

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
    pub(super) fn print(&mut self, label: Option<&str>, heard: Heard<'_>) -> io::Result<()> {
        self.wipe()?;
        let label = label.map(|tag| format!("@{tag} ")).unwrap_or_default();
        match heard {
            Heard::Value("") => Ok(()),
            Heard::Value(text) | Heard::Row(text) => writeln!(self.out, "{label}{text}"),
            Heard::Error { code, text } => {
                self.errors += 1;
                self.out.flush()?;
                writeln!(io::stderr(), "{label}{code}: {text}")
            }
            Heard::Progress(text) => self.progress(text),
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

    fn wipe(&mut self) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_understood() {
        assert_eq!(Heard::parse("OK 15485863"), Heard::Value("15485863"));
        assert_eq!(Heard::parse("OK"), Heard::Value(""));
        assert_eq!(Heard::parse("1299709"), Heard::Value("1299709"));
        assert_eq!(Heard::parse("= 101 103"), Heard::Row("101 103"));
        assert_eq!(Heard::parse("* pct=1.0"), Heard::Progress("pct=1.0"));
        let (code, text) = ("bad-arg", "nth: N is missing");
        assert_eq!(
            Heard::parse("ERR bad-arg :nth: N is missing"),
            Heard::Error { code, text }
        );
        assert_eq!(split_tag("@a OK 1"), (Some("a"), "OK 1"));
    }
}
