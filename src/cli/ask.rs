//! `primed ask`: one question, the lines of standard input, or a prompt.

use super::address;
use super::connect::connect;
use super::print::Printer;
use super::prompt;
use crate::client::{Heard, split_tag};
use anyhow::Context;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::ExitCode;

/// The arguments of `ask`.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    /// Where the daemon listens
    #[arg(long, value_name = "ADDR:PORT", env = "PRIMED_CONNECT", value_parser = address::read, default_value_t = super::DEFAULT_ADDRESS)]
    connect: SocketAddr,
    /// The question, as one argument or several; none: standard input, or a prompt at a terminal
    #[arg(value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Ask {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if !self.request.is_empty() {
            return ask_one(self.connect, &self.request.join(" "));
        }
        if io::stdin().is_terminal() {
            return prompt::run(self.connect);
        }
        ask_all(self.connect)
    }
}

/// One question. It is answered by one final line; a comment by none.
fn ask_one(address: SocketAddr, request: &str) -> anyhow::Result<ExitCode> {
    let mut stream = connect(address)?;
    let at_terminal = io::stderr().is_terminal() && !request.contains("progress=") && request.contains(' ');
    let progress = if at_terminal { " progress=1s" } else { "" };
    writeln!(stream, "{request}{progress}")?;
    stream.shutdown(Shutdown::Write)?;
    read_replies(&stream)
}

/// All lines of standard input, without waiting for one answer before the next question.
fn ask_all(address: SocketAddr) -> anyhow::Result<ExitCode> {
    let stream = connect(address)?;
    let mut requests = stream.try_clone()?;
    std::thread::spawn(move || {
        // A daemon that closes early is noticed where the replies are read.
        let _ = io::copy(&mut io::stdin().lock(), &mut requests);
        let _ = requests.shutdown(Shutdown::Write);
    });
    read_replies(&stream)
}

fn read_replies(stream: &TcpStream) -> anyhow::Result<ExitCode> {
    let mut printer = Printer::new(BufWriter::new(io::stdout()));
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.buffer().is_empty() {
            printer.flush()?;
        }
        let count = reader
            .read_line(&mut line)
            .context("the daemon closed the connection")?;
        if count == 0 {
            break;
        }
        let (tag, rest) = split_tag(line.trim_end());
        printer.print(tag, Heard::parse(rest))?;
    }
    printer.flush()?;
    Ok(ExitCode::from(u8::from(printer.errors > 0)))
}
