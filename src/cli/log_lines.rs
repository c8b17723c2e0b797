//! Lines of the log on a descriptor that nobody may read, as a pipe whose reader has stopped or a terminal after
//! Ctrl-S: they are lost, and counted, before they hold the daemon up. Knows no event.

use super::logging::LogFormat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How long a line may wait for room; the next ones, if there was none, do not wait.
const PATIENCE: Duration = Duration::from_millis(100);
/// A pipe with any room takes so much without blocking (`PIPE_BUF`).
const CHUNK: usize = 4_096;

/// Where the lines go.
pub(super) struct LogLines<W> {
    output: Mutex<Output<W>>,
    format: LogFormat,
}

struct Output<W> {
    to: W,
    /// Lines that found no room since the last one that did.
    lost: u64,
}

impl<W: Write + AsFd> LogLines<W> {
    pub(super) const fn new(to: W, format: LogFormat) -> Self {
        let output = Mutex::new(Output { to, lost: 0 });
        Self { output, format }
    }

    fn lock(&self) -> MutexGuard<'_, Output<W>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notice(&self, lost: u64) -> String {
        let mut time = String::new();
        // A clock that cannot be read leaves the time out.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let text = format!("lines of the log are missing here, as nobody read them: {lost}");
        match self.format {
            LogFormat::Text => format!("{time}  WARN primed: {text}\n"),
            LogFormat::Json => {
                let line = serde_json::json!({"timestamp": time, "level": "WARN", "message": text, "target": "primed"});
                format!("{line}\n")
            }
        }
    }
}

impl<W: Write + AsFd> Output<W> {
    /// Writes a line if there is room for it. False if there was none.
    fn take(&mut self, line: &[u8], patience: Duration) -> io::Result<bool> {
        for chunk in line.chunks(CHUNK) {
            if !has_room(&self.to, patience) {
                return Ok(false);
            }
            self.to.write_all(chunk)?;
        }
        Ok(true)
    }
}

/// Whether a write would not block. Where that cannot be found out, it is taken for true.
fn has_room(to: impl AsFd, patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(&to, PollFlags::OUT)];
    !matches!(poll(&mut polled, patience.as_ref()), Ok(0))
}

/// One line.
pub(super) struct LogLine<'a, W>(&'a LogLines<W>);

impl<'a, W: Write + AsFd + 'a> MakeWriter<'a> for LogLines<W> {
    type Writer = LogLine<'a, W>;

    fn make_writer(&'a self) -> LogLine<'a, W> {
        LogLine(self)
    }
}

impl<W: Write + AsFd> Write for LogLine<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut output = self.0.lock();
        let lost = output.lost;
        let patience = if lost > 0 { Duration::ZERO } else { PATIENCE };
        let is_written = (lost == 0 || output.take(self.0.notice(lost).as_bytes(), patience)?) && {
            output.lost = 0;
            output.take(line, patience)?
        };
        if !is_written {
            output.lost += 1;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn lines_that_nobody_reads_are_counted_and_hold_nothing_up() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let (mut reader, writer) = io::pipe().expect("a pipe");
            let lines = LogLines::new(writer, format);
            let line = [vec![b'x'; 9_999], vec![b'\n']].concat();
            let mut written = 0;
            while lines.lock().lost == 0 {
                lines.make_writer().write_all(&line).expect("it is not blocked");
                written += 1;
            }
            for _ in 0..1_000 {
                lines.make_writer().write_all(b"lost\n").expect("it is not blocked");
            }
            let mut read = vec![0; 9_999 * (written - 1)];
            reader.read_exact(&mut read).expect("what was written");
            lines.make_writer().write_all(b"the next\n").expect("there is room");
            drop(lines);
            let mut rest = String::new();
            reader.read_to_string(&mut rest).expect("what was written");
            assert!(rest.contains("as nobody read them: 1001"), "{rest}");
            assert!(rest.ends_with("\nthe next\n") && !rest.contains("lost\n"), "{rest}");
        }
    }
}
