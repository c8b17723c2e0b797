//! Replies as a person or a program reads them: the value alone, with errors and progress on standard error; or a JSON
//! object a line.

use super::bar::Bar;
use super::{color, complain};
use crate::client::ReplyLine;
use crate::proto::progress_fields;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

/// Prints replies.
pub(super) struct Printer<W> {
    out: W,
    is_json: bool,
    shows_progress: bool,
    bar: Bar,
    /// Error replies so far.
    pub(super) errors: usize,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, is_json: bool) -> Self {
        Self {
            out,
            is_json,
            shows_progress: !is_json && io::stderr().is_terminal(),
            bar: Bar::default(),
            errors: 0,
        }
    }

    /// True if progress has a line of the terminal to itself, so that it may be requested for a question that does not
    /// mention it.
    pub(super) fn shows_progress(&self) -> bool {
        self.shows_progress
    }

    /// Prints one line of a reply. `label` is the tag of its request. Only standard output can fail: an answer does not
    /// depend on whether somebody reads errors and progress.
    pub(super) fn print(&mut self, label: Option<&str>, heard: ReplyLine<'_>) -> io::Result<()> {
        self.print_reply(None, label, heard)
    }

    /// Prints one line of a reply to the line of the input that has this number.
    pub(super) fn print_reply(
        &mut self,
        line: Option<u64>,
        label: Option<&str>,
        heard: ReplyLine<'_>,
    ) -> io::Result<()> {
        if !matches!(heard, ReplyLine::Progress(_)) {
            self.wipe();
        }
        self.errors += usize::from(matches!(heard, ReplyLine::Error { .. }));
        if self.is_json {
            return writeln!(self.out, "{}", json(line, label, heard));
        }
        let label = label.map(|tag| format!("@{tag} ")).unwrap_or_default();
        match heard {
            ReplyLine::Value("") => Ok(()),
            ReplyLine::Value(text) | ReplyLine::Row(text) => writeln!(self.out, "{label}{text}"),
            ReplyLine::Error { code, text } => {
                self.out.flush()?;
                let line = line.map(|number| format!("line {number}: ")).unwrap_or_default();
                complain(format_args!("{line}{label}{}: {text}", color::error(code)));
                Ok(())
            }
            ReplyLine::Progress(text) => self.progress(&label, text),
        }
    }

    /// Flushes what has been printed.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Prints a line that is no line of a reply.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        self.wipe();
        writeln!(self.out, "{text}")
    }

    /// Keeps a bar in the last line of the terminal.
    fn progress(&mut self, label: &str, text: &str) -> io::Result<()> {
        if !self.shows_progress {
            complain(format_args!("{label}* {text}"));
            return Ok(());
        }
        self.out.flush()?;
        self.bar.show(label, text);
        Ok(())
    }

    /// Erases the bar, so that other output may take its line.
    pub(super) fn wipe(&mut self) {
        self.bar.wipe();
    }
}

/// A line of a reply as an object. Numbers stay strings, because many readers of JSON round them beyond 2^53.
fn json(line: Option<u64>, tag: Option<&str>, heard: ReplyLine<'_>) -> Value {
    let fields = match heard {
        ReplyLine::Value("") => vec![("value", Value::Null)],
        ReplyLine::Value(text) => vec![("value", text.into())],
        ReplyLine::Row(text) => vec![("row", text.into())],
        ReplyLine::Error { code, text } => vec![("error", code.into()), ("text", text.into())],
        ReplyLine::Progress(text) => {
            let fields = progress_fields(text).map(|(key, value)| (key.to_owned(), value.into()));
            vec![("progress", Value::Object(fields.collect()))]
        }
    };
    let tag = tag.map(|tag| ("tag", tag.into()));
    let line = line.map(|number| ("line", number.to_string().into()));
    let fields = fields.into_iter().chain(tag).chain(line);
    Value::Object(
        fields
            .map(|(key, value)| (key.to_owned(), value))
            .collect::<Map<_, _>>(),
    )
}

/// A line that a server sent, as a terminal may show it. A daemon sends printable ASCII; what else there is could move
/// the cursor, or ask the terminal for something.
pub(super) fn printable(line: &str) -> Cow<'_, str> {
    escaped(line, |c| matches!(c, ' '..='~'))
}

/// A text that may quote a server and names files, as a terminal may show it.
pub(super) fn without_controls(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c == '\n' || !c.is_control())
}

fn escaped(text: &str, is_plain: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&is_plain) {
        return text.into();
    }
    let mut escaped = String::new();
    for c in text.chars() {
        match is_plain(c) {
            true => escaped.push(c),
            false => escaped.extend(c.escape_default()),
        }
    }
    escaped.into()
}

/// True if the reader of the output has closed it.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_is_escaped() {
        assert_eq!(printable("OK 13 a\\b"), "OK 13 a\\b");
        let hostile = "OK \x1b]0;x\x07\r\t\u{9b}2J\u{202e}é";
        let shown = r"OK \u{1b}]0;x\u{7}\r\t\u{9b}2J\u{202e}\u{e9}";
        assert_eq!(printable(hostile), shown);
        assert_eq!(without_controls("/é: no\n\x1b[2J\u{9b}"), "/é: no\n\\u{1b}[2J\\u{9b}");
    }
}
