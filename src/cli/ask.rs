//! `primed ask`: one question, the lines of standard input, or a prompt.

use super::address::{self, Address};
use super::connect::connect;
use super::print::Printer;
use super::prompt;
use crate::client::{ReplyLine, split_tag};
use crate::proto::{ParsedLine, parse_line};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Stdin, Stdout, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Replies are buffered until the next read waits.
type Out = Printer<BufWriter<Stdout>>;

/// The arguments of `ask`.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// Where the daemon listens
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_CONNECT", value_parser = address::read, default_value_t = Address::from(super::DEFAULT_ADDRESS))]
    connect: Address,
    /// Print JSON: an object a line, with 'value', 'row', 'progress', or 'error' and 'text', and the 'tag'; numbers are strings
    #[arg(long)]
    json: bool,
    /// The question, as one argument or several; none: standard input, or a prompt at a terminal
    #[arg(value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Ask {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let address = self.connect.resolve()?;
        let printer = Printer::new(BufWriter::new(io::stdout()), self.json);
        if !self.request.is_empty() {
            return ask_one(address, &self.request.join(" "), printer);
        }
        if io::stdin().is_terminal() && !self.json {
            return prompt::run(address);
        }
        ask_all(address, printer)
    }
}

/// One question.
fn ask_one(address: SocketAddr, request: &str, printer: Out) -> anyhow::Result<ExitCode> {
    let mut stream = connect(address)?;
    let wants_progress = printer.shows_progress() && !request.contains("progress=") && request.contains(' ');
    let progress = if wants_progress { " progress=1s" } else { "" };
    // A daemon that closes at once may have sent an error, which is read below.
    let _ = stream.write_all(format!("{request}{progress}\n").as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    read_replies(&stream, &AtomicU64::new(replies_to(request.as_bytes())), printer)
}

/// All lines of standard input, without waiting for one answer before the next question.
fn ask_all(address: SocketAddr, printer: Out) -> anyhow::Result<ExitCode> {
    let stream = connect(address)?;
    let mut requests = BufWriter::new(stream.try_clone()?);
    let due = Arc::new(AtomicU64::new(0));
    let counted = due.clone();
    std::thread::spawn(move || {
        // A daemon that closes early is noticed where the replies are read.
        let _ = send_all(
            &mut BufReader::with_capacity(64 << 10, io::stdin()),
            &mut requests,
            &counted,
        );
        let _ = requests.get_ref().shutdown(Shutdown::Write);
    });
    read_replies(&stream, &due, printer)
}

/// Sends lines as they come, and counts the replies that are due for them.
fn send_all(lines: &mut BufReader<Stdin>, requests: &mut BufWriter<TcpStream>, due: &AtomicU64) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        due.fetch_add(replies_to(&line), Relaxed);
        requests.write_all(&line)?;
        line.clear();
        if lines.buffer().is_empty() {
            requests.flush()?;
        }
    }
    requests.flush()
}

/// How many final lines answer a line: none, if it is blank or a comment.
fn replies_to(line: &[u8]) -> u64 {
    u64::from(parse_line(line.trim_ascii_end()) != Ok(ParsedLine::Blank))
}

fn read_replies(stream: &TcpStream, due: &AtomicU64, mut printer: Out) -> anyhow::Result<ExitCode> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut line = String::new();
    let mut answered = 0;
    loop {
        line.clear();
        if reader.buffer().is_empty() {
            printer.flush()?;
        }
        // A connection that breaks ends like one that is closed: unanswered requests stay unanswered.
        let whole = reader.read_line(&mut line).is_ok() && line.ends_with('\n');
        if !whole {
            break;
        }
        let (tag, rest) = split_tag(line.trim_end());
        let heard = ReplyLine::parse(rest);
        if heard == ReplyLine::Value(rest) && !rest.bytes().all(|byte| byte.is_ascii_digit()) {
            printer.flush()?;
            anyhow::bail!(
                "the server there is not a prime daemon: it sent '{}'",
                rest.escape_default()
            );
        }
        answered += u64::from(heard.is_final());
        printer.print(tag, heard)?;
    }
    printer.flush()?;
    match due.load(Relaxed).saturating_sub(answered) {
        0 => Ok(ExitCode::from(u8::from(printer.errors > 0))),
        1 => anyhow::bail!("the daemon closed the connection before it answered; ask again"),
        lost => anyhow::bail!("the daemon closed the connection with {lost} questions unanswered; ask them again"),
    }
}
