//! `primed ask`: one question, the lines of standard input, or a prompt.

use super::connect::Connect;
use super::exchange::{self, Out, ask_one, read_replies, replies_to};
use super::prompt;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Stdin, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// The arguments of `ask`.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object a line, with 'value', 'row', 'progress', or 'error' and 'text', and the 'tag'; numbers are
    /// strings
    #[arg(long)]
    json: bool,
    /// The question, as one argument or several; none: standard input, or a prompt at a terminal
    #[arg(value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Ask {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let printer = exchange::printer(self.json);
        if !self.request.is_empty() {
            let request = self.request.join(" ");
            anyhow::ensure!(
                replies_to(request.as_bytes()) > 0,
                "there is no question; write one, such as 'primed ask pi 1e12' ('primed ask help' lists the verbs)"
            );
            return ask_one(&self.connect, &request, printer);
        }
        if io::stdin().is_terminal() && !self.json {
            return prompt::run(&self.connect);
        }
        ask_all(&self.connect, printer)
    }
}

/// All lines of standard input, without waiting for one answer before the next question.
fn ask_all(connect: &Connect, mut printer: Out) -> anyhow::Result<ExitCode> {
    let Some(stream) = exchange::open(connect, &mut printer)? else {
        return Ok(exchange::status(&printer));
    };
    let mut requests = BufWriter::new(stream.try_clone()?);
    let due = Arc::new(AtomicU64::new(0));
    let unread = Arc::new(OnceLock::new());
    let (counted, ended_by) = (due.clone(), unread.clone());
    std::thread::spawn(move || {
        let mut lines = BufReader::with_capacity(64 << 10, io::stdin());
        // A daemon that closes early is noticed where the replies are read.
        if let Ok(Err(error)) = send_all(&mut lines, &mut requests, &counted) {
            let _ = ended_by.set(error);
        }
        let _ = requests.get_ref().shutdown(Shutdown::Write);
    });
    let status = read_replies(connect, &stream, &due, printer)?;
    match unread.get() {
        Some(error) => anyhow::bail!("cannot read standard input: {error}"),
        None => Ok(status),
    }
}

/// Sends lines as they come, and counts the replies that are due for them. The inner result says why the lines could
/// not all be read.
fn send_all(
    lines: &mut BufReader<Stdin>,
    requests: &mut BufWriter<TcpStream>,
    due: &AtomicU64,
) -> io::Result<io::Result<()>> {
    let mut line = Vec::new();
    let read = loop {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Err(error) => break Err(error),
            Ok(_) => {}
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        due.fetch_add(replies_to(&line), Relaxed);
        requests.write_all(&line)?;
        line.clear();
        if lines.buffer().is_empty() {
            requests.flush()?;
        }
    };
    requests.flush()?;
    Ok(read)
}
