//! `primed ask`: one question, the lines of standard input, or a prompt.

use super::connect::Connect;
use super::exchange::{self, Out, ask_one, read_lines, replies_to};
use super::pipeline::{Line, Next, Pipeline};
use super::prompt;
use crate::client::{ReplyLine, split_tag};
use std::collections::{BTreeSet, VecDeque};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Stdin, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// The arguments of `ask`.
#[derive(Debug, clap::Args)]
pub(super) struct Ask {
    #[command(flatten)]
    connect: Connect,
    /// Print JSON: an object a line, with 'value', 'row', 'progress', or 'error' and 'text', the 'tag', and the number
    /// of the 'line' of standard input; numbers are strings
    #[arg(long)]
    json: bool,
    /// The question, as one argument or several; none: standard input, a question a line, or a prompt at a terminal.
    /// An error names its line; a line that finds the daemon busy is sent again for a minute, or until its deadline,
    /// and takes effect after those that were sent meanwhile
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
    let link = Arc::new(Link::new(&stream)?);
    let (retries, due) = mpsc::channel();
    let unread = Arc::new(OnceLock::new());
    let (sending, ended_by) = (link.clone(), unread.clone());
    spawn("requests", move || {
        let mut lines = BufReader::with_capacity(64 << 10, io::stdin());
        // A daemon that closes early is noticed where the replies are read.
        if let Ok(Err(error)) = sending.send_all(&mut lines) {
            let _ = ended_by.set(error);
        }
        sending.end();
    })?;
    let resending = link.clone();
    spawn("retries", move || resending.send_again(&due))?;
    read_lines(connect, &stream, &mut printer, |printer, tag, heard| {
        let (next, released) = link.receive(tag, heard);
        match next {
            Next::Print(number) => printer.print_reply(number, tag, heard)?,
            Next::Retry(number, after) => {
                let _ = retries.send((Instant::now() + after, number));
            }
            Next::Hold => {}
        }
        print_released(printer, released)
    })?;
    let (lost, first, released) = {
        let mut state = link.state();
        let (lost, first) = state.pipeline.close();
        (lost, first, state.pipeline.take_released())
    };
    print_released(&mut printer, released)?;
    printer.flush()?;
    exchange::check_lost(connect, lost as u64, first)?;
    match unread.get() {
        Some(error) => anyhow::bail!("cannot read standard input: {error}"),
        None => Ok(exchange::status(&printer)),
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(|_| ())
}

fn print_released(printer: &mut Out, released: impl IntoIterator<Item = (u64, String)>) -> io::Result<()> {
    released.into_iter().try_for_each(|(number, line)| {
        let (tag, rest) = split_tag(&line);
        printer.print_reply(Some(number), tag, ReplyLine::parse(rest))
    })
}

/// The connection, as those who read and write it share it.
struct Link {
    stream: TcpStream,
    /// Locked before the state, so that lines are sent in the order in which the pipeline has them.
    requests: Mutex<BufWriter<TcpStream>>,
    state: Mutex<State>,
    has_room: Condvar,
}

#[derive(Default)]
struct State {
    pipeline: Pipeline,
    /// The input waits for room for a line: whether that has a tag.
    waits: Option<bool>,
    /// The input has ended.
    has_ended: bool,
}

impl Link {
    fn new(stream: &TcpStream) -> io::Result<Self> {
        Ok(Self {
            stream: stream.try_clone()?,
            requests: Mutex::new(BufWriter::new(stream.try_clone()?)),
            state: Mutex::default(),
            has_room: Condvar::new(),
        })
    }

    fn requests(&self) -> MutexGuard<'_, BufWriter<TcpStream>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends lines as they come. The inner result says why they could not all be read.
    fn send_all(&self, lines: &mut BufReader<Stdin>) -> io::Result<io::Result<()>> {
        let mut words = Vec::new();
        for number in 1.. {
            if lines.buffer().is_empty() {
                self.requests().flush()?;
            }
            words.clear();
            match lines.read_until(b'\n', &mut words) {
                Ok(0) => break,
                Err(error) => return self.requests().flush().map(|()| Err(error)),
                Ok(_) => {}
            }
            if words.last() != Some(&b'\n') {
                words.push(b'\n');
            }
            // To the daemon a line that begins with it is a request in RESP, which may go on in the next lines.
            if words.first() == Some(&b'*') {
                words.insert(0, b' ');
            }
            let Some(line) = Line::new(&words) else { continue };
            if !self.state().pipeline.has_room(&line) {
                self.wait_for_room(line.is_tagged())?;
            }
            let mut requests = self.requests();
            // Before its reply can be there.
            self.state().pipeline.add(number, line);
            requests.write_all(&words)?;
        }
        self.requests().flush().map(Ok)
    }

    /// Waits until there is room for a line with or without a tag. All before it are sent.
    fn wait_for_room(&self, is_tagged: bool) -> io::Result<()> {
        if !is_tagged {
            self.state().pipeline.fill();
        }
        self.requests().flush()?;
        let mut state = self.state();
        state.waits = Some(is_tagged);
        while !state.pipeline.has_much_room(is_tagged) {
            state = self.has_room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waits = None;
        if !is_tagged {
            state.pipeline.widen(Instant::now());
        }
        Ok(())
    }

    /// Sends lines again, each at its time.
    fn send_again(&self, due: &mpsc::Receiver<(Instant, u64)>) {
        let mut later = BTreeSet::new();
        loop {
            let came = match later.first() {
                Some((at, _)) => due.recv_timeout(Instant::saturating_duration_since(at, Instant::now())),
                None => due.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match came {
                Ok(one) => {
                    later.insert(one);
                }
                Err(RecvTimeoutError::Timeout) => later
                    .pop_first()
                    .into_iter()
                    .for_each(|(_, number)| self.resend(number)),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn resend(&self, number: u64) {
        let mut requests = self.requests();
        let words = self.state().pipeline.send_again(number).map(<[u8]>::to_vec);
        if let Some(words) = words {
            // A daemon that has closed is noticed where the replies are read.
            let _ = requests.write_all(&words).and_then(|()| requests.flush());
        }
    }

    /// What is to be done with a line of a reply, and the lines that were held back until now.
    fn receive(&self, tag: Option<&str>, heard: ReplyLine<'_>) -> (Next, VecDeque<(u64, String)>) {
        let mut state = self.state();
        let next = state.pipeline.receive(tag, heard, Instant::now());
        if let Some(is_tagged) = state.waits
            && state.pipeline.has_much_room(is_tagged)
        {
            self.has_room.notify_one();
        }
        if heard.is_final() {
            self.close_if_done(&state);
        }
        (next, state.pipeline.take_released())
    }

    /// The input has ended.
    fn end(&self) {
        let mut state = self.state();
        state.has_ended = true;
        self.close_if_done(&state);
    }

    /// Once no line has to be sent any more, nor again, the daemon may close.
    fn close_if_done(&self, state: &State) {
        if state.has_ended && state.pipeline.is_empty() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}
