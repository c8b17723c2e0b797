//! The load generator: one thread, many connections, one epoll. Knows what to ask and when, not what comes of it.
//!
//! A closed loop keeps `depth` requests under way on each connection and asks again when a reply comes. An open loop
//! asks at moments that are fixed beforehand, whatever the server does; latency counts from the moment a request was
//! due, so that a stall of the server shows in every request it delayed and not only in those that happened to be under
//! way (G. Tene's "coordinated omission").
//!
//! Start reading at [`Generator::run`].

use super::mix::{Encoding, Requests};
use super::replies::Replies;
use super::tally::Tally;
use super::timer::Timer;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Connections handled between two looks at the clock and the schedule.
const EVENTS: usize = 256;
/// How often a generator that nothing wakes looks whether it is to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(50);
/// How long replies may still take when the time is over.
const GRACE: Duration = Duration::from_secs(1);

/// Why a run ended before its time.
#[derive(Debug, Error)]
pub(super) enum LoadError {
    /// The server closed a connection.
    #[error("the server closed a connection")]
    Closed,
    /// A connection broke.
    #[error("a connection broke: {0}")]
    Broken(io::Error),
    /// The server sent a reply without a request.
    #[error(
        "the server sent more replies than it was asked for: it does not answer one line a request (with --resp: one value)"
    )]
    Unasked,
    /// The generator cannot wait for events.
    #[error("cannot wait for replies: {0}")]
    Poll(io::Error),
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// As soon as there is room for one.
    Closed,
    /// One each `interval`, the first after `offset`.
    Open {
        /// Nanoseconds between two requests.
        interval: f64,
        /// Nanoseconds before the first.
        offset: f64,
    },
}

/// What one thread is to do.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) sockets: Vec<std::net::TcpStream>,
    pub(super) depth: usize,
    pub(super) requests: Requests,
    pub(super) encoding: Encoding,
    pub(super) pace: Pace,
    /// Requests at most.
    pub(super) limit: u64,
    /// How long requests are sent; `None`: until the limit is reached.
    pub(super) duration: Option<Duration>,
    /// When the run began, for all threads.
    pub(super) start: Instant,
    /// Somebody wants the run to end.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) reports: UnboundedSender<Report>,
}

/// What a thread measured within a second.
#[derive(Debug)]
pub(super) struct Report {
    /// The second, from 0; `None`: the rest, when the thread ends.
    pub(super) second: Option<u64>,
    pub(super) tally: Tally,
}

/// What a thread used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// CPU time of the thread.
    pub(super) cpu: Duration,
    /// From the start to the last reply.
    pub(super) elapsed: Duration,
}

struct Connection {
    socket: TcpStream,
    replies: Replies,
    /// When requests under way were due, in nanoseconds since the start, and how many at that moment.
    asked: VecDeque<(u64, u64)>,
    in_flight: usize,
    unsent: Vec<u8>,
    /// It stands in the queue of those with room for a request.
    is_queued: bool,
}

/// One thread's part of the load.
pub(super) struct Generator {
    poll: Poll,
    timer: Timer,
    connections: Vec<Connection>,
    /// In an open loop, connections with room for a request, the one that rested longest first.
    free: VecDeque<usize>,
    depth: usize,
    requests: Requests,
    pace: Pace,
    left: u64,
    /// Requests sent so far.
    sent: u64,
    in_flight: u64,
    /// Requests are sent until then, in nanoseconds since the start.
    end: Option<u64>,
    is_ending: bool,
    last_reply: u64,
    start: Instant,
    stop: Arc<AtomicBool>,
    reports: UnboundedSender<Report>,
    tally: Tally,
    buffer: Vec<u8>,
}

impl Generator {
    pub(super) fn new(orders: Orders) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), Token(usize::MAX))?;
        let mut connections = Vec::with_capacity(orders.sockets.len());
        for (index, socket) in orders.sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = TcpStream::from_std(socket);
            poll.registry()
                .register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            connections.push(Connection {
                socket,
                replies: Replies::new(orders.encoding),
                asked: VecDeque::new(),
                in_flight: 0,
                unsent: Vec::new(),
                is_queued: true,
            });
        }
        Ok(Self {
            poll,
            timer,
            free: (0..connections.len()).collect(),
            connections,
            depth: orders.depth,
            requests: orders.requests,
            pace: orders.pace,
            left: orders.limit,
            sent: 0,
            in_flight: 0,
            end: orders.duration.map(nanoseconds),
            is_ending: false,
            last_reply: 0,
            start: orders.start,
            stop: orders.stop,
            reports: orders.reports,
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Sends until the time is over, the limit is reached or it is stopped, and then waits a little for the last
    /// replies. It ends earlier if a connection does; what was measured has been reported all the same.
    pub(super) fn run(mut self) -> (Usage, Result<(), LoadError>) {
        let cpu_before = thread_cpu();
        let result = self.ask();
        if result.is_err() {
            self.stop.store(true, Relaxed);
        }
        let is_complete = self.left == 0 && self.in_flight == 0;
        let elapsed = if is_complete { self.last_reply } else { self.now() };
        self.note_unanswered();
        self.report(None);
        let usage = Usage {
            cpu: thread_cpu().saturating_sub(cpu_before),
            elapsed: Duration::from_nanos(elapsed),
        };
        (usage, result)
    }

    fn ask(&mut self) -> Result<(), LoadError> {
        let mut events = Events::with_capacity(EVENTS);
        let mut next_report = SECOND;
        if matches!(self.pace, Pace::Closed) {
            for index in 0..self.connections.len() {
                let now = self.now();
                self.fill(index, now);
                self.flush(index)?;
            }
        }
        loop {
            let now = self.now();
            while now >= next_report {
                self.report(Some(next_report / SECOND - 1));
                next_report += SECOND;
            }
            if self.stop.load(Relaxed) {
                self.end = Some(self.end.map_or(now, |end| end.min(now)));
            }
            self.is_ending |= self.left == 0 || self.end.is_some_and(|end| now >= end);
            let is_answered = self.is_ending && self.in_flight == 0;
            if is_answered
                || self
                    .end
                    .is_some_and(|end| now >= end.saturating_add(nanoseconds(GRACE)))
            {
                return Ok(());
            }
            let wait = self.send_due(now)?;
            self.wait(&mut events, wait.min(STOP_INTERVAL))?;
            for event in &events {
                let Token(index) = event.token();
                if index < self.connections.len() {
                    self.serve(index, event.is_read_closed())?;
                }
            }
        }
    }

    fn wait(&mut self, events: &mut Events, wait: Duration) -> Result<(), LoadError> {
        let timeout = self.timer.set(wait).map_err(LoadError::Poll)?;
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(LoadError::Poll(error)),
            _ => Ok(()),
        }
    }

    /// In an open loop, sends what is due. How long until the next request is.
    fn send_due(&mut self, now: u64) -> Result<Duration, LoadError> {
        let Pace::Open { interval, offset } = self.pace else {
            return Ok(Duration::MAX);
        };
        while self.left > 0 && !self.is_ending {
            let due = (self.sent as f64).mul_add(interval, offset) as u64;
            if due > now {
                return Ok(Duration::from_nanos(due - now));
            }
            let Some(index) = self.free.pop_front() else {
                break;
            };
            let connection = &mut self.connections[index];
            self.requests.write(&mut connection.unsent);
            connection.asked.push_back((due, 1));
            connection.in_flight += 1;
            connection.is_queued = connection.in_flight < self.depth;
            if connection.is_queued {
                self.free.push_back(index);
            }
            self.left -= 1;
            self.sent += 1;
            self.in_flight += 1;
            self.flush(index)?;
        }
        Ok(Duration::MAX)
    }

    /// In a closed loop, adds requests up to the depth.
    fn fill(&mut self, index: usize, now: u64) {
        let connection = &mut self.connections[index];
        let room = (self.depth - connection.in_flight) as u64;
        let count = room.min(self.left);
        if count == 0 || self.is_ending {
            return;
        }
        for _ in 0..count {
            self.requests.write(&mut connection.unsent);
        }
        connection.asked.push_back((now, count));
        connection.in_flight += count as usize;
        self.left -= count;
        self.sent += count;
        self.in_flight += count;
    }

    /// Everything that can be done on a connection now. If it was closed, that comes after the last bytes, and is no
    /// event of its own.
    fn serve(&mut self, index: usize, is_closed: bool) -> Result<(), LoadError> {
        let mut is_drained = false;
        while !is_drained {
            let connection = &mut self.connections[index];
            let count = match connection.socket.read(&mut self.buffer) {
                Ok(0) => return Err(LoadError::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(LoadError::Broken(error)),
            };
            // A read that did not fill the buffer has emptied the socket; what comes later is a new event.
            is_drained = count < self.buffer.len() && !is_closed;
            self.tally.received += count as u64;
            let tally = &mut self.tally;
            let ended = connection.replies.take(&self.buffer[..count], |line| tally.error(line));
            let now = self.now();
            self.answered(index, ended, now)?;
        }
        self.flush(index)
    }

    fn answered(&mut self, index: usize, ended: u64, now: u64) -> Result<(), LoadError> {
        if ended == 0 {
            return Ok(());
        }
        let connection = &mut self.connections[index];
        let mut left = ended;
        while left > 0 {
            let Some((due, count)) = connection.asked.front_mut() else {
                return Err(LoadError::Unasked);
            };
            let these = left.min(*count);
            self.tally.record(now.saturating_sub(*due), these);
            left -= these;
            *count -= these;
            if *count == 0 {
                connection.asked.pop_front();
            }
        }
        connection.in_flight -= ended as usize;
        self.in_flight -= ended;
        self.tally.replies += ended;
        self.last_reply = now;
        match self.pace {
            Pace::Closed => self.fill(index, now),
            Pace::Open { .. } if !connection.is_queued => {
                connection.is_queued = true;
                self.free.push_back(index);
            }
            Pace::Open { .. } => {}
        }
        Ok(())
    }

    fn flush(&mut self, index: usize) -> Result<(), LoadError> {
        let Connection { socket, unsent, .. } = &mut self.connections[index];
        while !unsent.is_empty() {
            match socket.write(unsent) {
                Ok(written) => {
                    self.tally.sent += written as u64;
                    unsent.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(LoadError::Broken(error)),
            }
        }
        Ok(())
    }

    /// What has no answer in the end counts with the time it has waited; else a server that stops answering would look
    /// fast.
    fn note_unanswered(&mut self) {
        let now = self.now();
        for (due, count) in self.connections.iter().flat_map(|connection| &connection.asked) {
            self.tally.record(now.saturating_sub(*due), *count);
            self.tally.unanswered += count;
        }
        if let Pace::Open { interval, offset } = self.pace {
            let until = self.end.unwrap_or(now).min(now);
            let due_by_then = ((until as f64 - offset) / interval).ceil().max(0.0) as u64;
            let missed = due_by_then.saturating_sub(self.sent).min(self.left);
            // At a rate far beyond what can be sent there are too many to note each.
            let step = missed.div_ceil(MOST_NOTED).max(1);
            for first in (0..missed).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
                let due = ((self.sent + first) as f64).mul_add(interval, offset) as u64;
                self.tally.record(now.saturating_sub(due), step.min(missed - first));
            }
            self.tally.unanswered += missed;
        }
    }

    fn report(&mut self, second: Option<u64>) {
        let tally = std::mem::take(&mut self.tally);
        // The receiver may be gone; the run ends by itself.
        let _ = self.reports.send(Report { second, tally });
    }

    fn now(&self) -> u64 {
        nanoseconds(self.start.elapsed())
    }
}

/// How many times of requests that were never sent are noted apart; those between are taken to have waited as long as
/// the one before.
const MOST_NOTED: u64 = 10_000;

const SECOND: u64 = 1_000_000_000;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}
