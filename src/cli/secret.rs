//! Passwords as people give them: in a file, on standard input, or at a terminal without an echo. Never as an argument.

use super::modes::KeptModes;
use anyhow::Context;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

/// A longer line is no password.
const MAX_LINE: u64 = 4_096;

/// What Ctrl-C types where it is no signal.
const CTRL_C: u8 = 3;

/// A password. It is not shown.
#[derive(Clone)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The first line of a file.
    pub(super) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read the password in {}", path.display());
        let file = File::open(path).with_context(cannot)?;
        first_line(file).with_context(cannot)
    }

    /// What is typed at the terminal, without an echo; `None` if there is no terminal.
    ///
    /// # Errors
    /// If it is cancelled, or nothing is typed.
    pub(super) fn ask(prompt: &str) -> anyhow::Result<Option<Self>> {
        let Ok(mut terminal) = File::options().read(true).write(true).open("/dev/tty") else {
            return Ok(None);
        };
        let _modes = KeptModes::of(&terminal)?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        // Ctrl-C ends the line, so that the echo is turned on again before the command ends.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        let asked = terminal.write_all(prompt.as_bytes());
        let typed = asked.and_then(|()| typed_line(&terminal));
        tcsetattr(&terminal, OptionalActions::Flush, &before)?;
        terminal.write_all(b"\n")?;
        let typed = typed?;
        anyhow::ensure!(!typed.ends_with(&[CTRL_C]), "cancelled");
        anyhow::ensure!(
            !typed.trim_ascii().is_empty(),
            "there is no password: an empty line was typed"
        );
        first_line(typed.as_slice()).map(Some)
    }

    /// A new password: typed twice at a terminal, or the first line of standard input.
    pub(super) fn choose() -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return first_line(std::io::stdin().lock());
        }
        let ask = |prompt| Self::ask(prompt)?.context("there is no terminal: write the password to standard input");
        let secret = ask("new password: ")?;
        anyhow::ensure!(
            secret.0 == ask("again: ")?.0,
            "the two are not the same, and nothing has changed: run the command again"
        );
        Ok(secret)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The bytes up to the end of a line, or to Ctrl-C.
fn typed_line(terminal: &File) -> std::io::Result<Vec<u8>> {
    let mut typed = Vec::new();
    // Through a buffer: a terminal gives what was typed up to the end of the line, which Ctrl-C is, too.
    for byte in BufReader::new(terminal.take(MAX_LINE)).bytes() {
        typed.push(byte?);
        if let Some(b'\n' | &CTRL_C) = typed.last() {
            break;
        }
    }
    Ok(typed)
}

fn first_line(input: impl Read) -> anyhow::Result<Secret> {
    let mut line = String::new();
    BufReader::new(input.take(MAX_LINE)).read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(
        !line.is_empty(),
        "there is no password: it is to be the first line, and that is empty"
    );
    Ok(Secret(line.to_owned()))
}
