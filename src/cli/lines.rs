//! The lines that a server sends, each up to a limit. Knows nothing of what they say.

use super::connect::{SpeaksTls, is_tls};
use super::print::printable;
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read};

/// No reply of a daemon with the usual limits is longer. A server that sends no line feed would fill the memory.
const MAX_LINE: usize = 64 << 20;

/// Reads lines from a connection.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    is_begun: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(connection: R) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, connection),
            line: Vec::new(),
            is_begun: false,
        }
    }

    /// Whether the next line is to be waited for.
    pub(super) fn is_empty(&self) -> bool {
        self.reader.buffer().is_empty()
    }

    /// The next line without its end, as a terminal may show it. A connection that breaks ends like one that is closed:
    /// with `None`.
    ///
    /// # Errors
    /// If the server answers in TLS, or a line is longer than those of a daemon.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Cow<'_, str>>> {
        if !std::mem::replace(&mut self.is_begun, true) {
            // An error is one again as the line is read.
            anyhow::ensure!(!is_tls(self.reader.fill_buf().unwrap_or_default()), SpeaksTls);
        }
        self.line.clear();
        let mut limited = self.reader.by_ref().take(MAX_LINE as u64);
        let read = limited.read_until(b'\n', &mut self.line);
        if read.is_err() || !self.line.ends_with(b"\n") {
            anyhow::ensure!(
                self.line.len() < MAX_LINE,
                "the server there is not a prime daemon: it sent a line of more than {} MiB",
                MAX_LINE >> 20
            );
            return Ok(None);
        }
        Ok(Some(match String::from_utf8_lossy(self.line.trim_ascii_end()) {
            Cow::Borrowed(line) => printable(line),
            Cow::Owned(line) => printable(&line).into_owned().into(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_have_any_bytes_and_has_a_limit() {
        let mut lines = Lines::new(&b"OK caf\xe9\r\n\nOK 13"[..]);
        assert_eq!(lines.next().expect("it is short"), Some(r"OK caf\u{fffd}".into()));
        assert_eq!(lines.next().expect("it is short"), Some("".into()));
        assert_eq!(lines.next().expect("it is short"), None);
        let error = Lines::new(std::io::repeat(b'7')).next().expect_err("it has no end");
        assert!(error.to_string().ends_with("a line of more than 64 MiB"), "{error}");
    }
}
