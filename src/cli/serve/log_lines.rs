//! Lines of the log on a descriptor that nobody may read, as a pipe whose reader has stopped or is slow, or a terminal
//! after Ctrl-S, or in a file on a disk that is full: they are lost, and counted, before they hold the daemon up. Knows
//! no event.

use super::logging::LogFormat;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How long lines may wait for room, all together: threads that serve clients write them. Where each line had this
/// time, a reader of 4 KiB every 90 ms held all sessions up for 90 ms again and again.
const PATIENCE: Duration = Duration::from_millis(100);
/// Time that lines have waited is there again after this many times as long: 100 ms in 10 s.
const RECOVERY: u32 = 100;
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
    /// What was written last does not end a line.
    is_torn: bool,
    patience: Patience,
}

/// How long lines may still wait.
struct Patience {
    left: Duration,
    /// When that was so.
    at: Option<Instant>,
}

impl Patience {
    const fn new() -> Self {
        Self {
            left: PATIENCE,
            at: None,
        }
    }

    /// How long a line may wait now.
    fn at(&mut self, now: Instant) -> Duration {
        if let Some(before) = self.at.replace(now) {
            let recovered = now.saturating_duration_since(before) / RECOVERY;
            self.left = PATIENCE.min(self.left + recovered);
        }
        self.left
    }

    /// A line has waited until now.
    fn spend(&mut self, now: Instant) {
        if let Some(before) = self.at.replace(now) {
            self.left = self.left.saturating_sub(now.saturating_duration_since(before));
        }
    }
}

impl<W: Write + AsFd> LogLines<W> {
    pub(super) const fn new(to: W, format: LogFormat) -> Self {
        let patience = Patience::new();
        let output = Mutex::new(Output {
            to,
            lost: 0,
            is_torn: false,
            patience,
        });
        Self { output, format }
    }

    fn lock(&self) -> MutexGuard<'_, Output<W>> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is said of lines that are lost, on a line of its own.
    fn notice(&self, lost: u64, is_torn: bool) -> String {
        let begin = if is_torn { "\n" } else { "" };
        let mut time = String::new();
        // A clock that cannot be read leaves the time out.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        let text = format!("lines of the log are missing here, as nobody read them or the disk was full: {lost}");
        match self.format {
            LogFormat::Text => format!("{begin}{time}  WARN primed: {text}\n"),
            LogFormat::Json => {
                let line = serde_json::json!({"timestamp": time, "level": "WARN", "message": text, "target": "primed"});
                format!("{begin}{line}\n")
            }
        }
    }
}

impl<W: Write + AsFd> Output<W> {
    /// Writes a line if there is room for it, perhaps once it has waited. False if there was none, and the line is lost
    /// or torn.
    fn take(&mut self, line: &[u8], may_wait: bool) -> bool {
        line.chunks(CHUNK).all(|chunk| {
            let has_room = has_room(&self.to, Duration::ZERO) || may_wait && self.gets_room();
            has_room && self.put(chunk)
        })
    }

    /// Writes a part of a line. A full disk may take some of it, and no more.
    fn put(&mut self, mut chunk: &[u8]) -> bool {
        while !chunk.is_empty() {
            match self.to.write(chunk) {
                Ok(count @ 1..) => {
                    let (written, rest) = chunk.split_at(count);
                    self.is_torn = !written.ends_with(b"\n");
                    chunk = rest;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return false,
            }
        }
        true
    }

    /// Waits for room, as long as lines may wait.
    fn gets_room(&mut self) -> bool {
        let left = self.patience.at(Instant::now());
        let has_room = !left.is_zero() && has_room(&self.to, left);
        self.patience.spend(Instant::now());
        has_room
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
        // After one that found no room the next ones do not wait.
        let may_wait = lost == 0;
        let has_noticed = may_wait || {
            let notice = self.0.notice(lost, output.is_torn);
            output.take(notice.as_bytes(), may_wait)
        };
        let is_written = has_noticed && {
            output.lost = 0;
            output.take(line, may_wait)
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
    fn patience_that_was_spent_comes_back_a_hundred_times_as_slowly() {
        let (begun, mut patience) = (Instant::now(), Patience::new());
        let after = |ms| begun + Duration::from_millis(ms);
        let mut left = |spent_at: Option<u64>, at: u64| {
            if let Some(spent_at) = spent_at {
                patience.spend(after(spent_at));
            }
            patience.at(after(at))
        };
        assert_eq!(left(None, 0), PATIENCE);
        assert_eq!(left(Some(60), 60), Duration::from_millis(40));
        assert_eq!(left(Some(110), 110), Duration::ZERO);
        assert_eq!(left(None, 1_110), Duration::from_millis(10));
        assert_eq!(left(None, 100_000), PATIENCE);
    }

    #[test]
    fn a_reader_that_is_slow_holds_up_lines_once_and_not_each_time_that_it_has_read() {
        const ROUNDS: u32 = 20;
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let lines = LogLines::new(writer, LogFormat::Text);
        let line = [vec![b'x'; 99], vec![b'\n']].concat();
        let write = || lines.make_writer().write_all(&line).expect("it is not blocked");
        let mut text = Vec::new();
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            while lines.lock().lost == 0 {
                write();
            }
            // Room for some lines, of which the first is the notice.
            let mut some = [0; 8_192];
            let count = reader.read(&mut some).expect("there is much to read");
            text.extend_from_slice(&some[..count]);
            while lines.lock().lost > 0 {
                write();
            }
        }
        let took = begun.elapsed();
        assert!(took < PATIENCE * ROUNDS / 2, "{took:?}");
        drop(lines);
        reader.read_to_end(&mut text).expect("it is read to the end");
        let text = String::from_utf8_lossy(&text);
        assert_eq!(text.matches("or the disk was full: ").count(), ROUNDS as usize);
    }

    /// A file on a disk, and how many bytes have room there.
    struct Disk(io::PipeWriter, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.1);
            self.1 -= count;
            match count {
                0 => Err(io::ErrorKind::StorageFull.into()),
                count => self.0.write(&bytes[..count]),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl AsFd for Disk {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_are_counted_on_a_line_of_its_own() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let lines = LogLines::new(Disk(writer, 11), LogFormat::Text);
        let write = |line: &str| lines.make_writer().write_all(line.as_bytes()).expect("it goes on");
        write("written\n");
        write("torn here\n");
        write("lost\n");
        lines.lock().to.1 = 10_000;
        write("the next\n");
        drop(lines);
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("what was written");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["written", "tor"]);
        assert_eq!(lines[3..], ["the next"]);
        assert!(lines[2].ends_with("or the disk was full: 2"), "{text}");
    }

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
            assert!(rest.contains("or the disk was full: 1001"), "{rest}");
            assert!(rest.ends_with("\nthe next\n") && !rest.contains("lost\n"), "{rest}");
        }
    }
}
