//! `primed eval`: the same engine in this process, no socket. For scripts, and for whole-process comparisons.

use super::print::Printer;
use super::quantity;
use crate::client::Heard;
use crate::engine::{Ask, Event, Grant, News, Order, Policy, Scheduler, Submit, Work};
use crate::metrics::Metrics;
use crate::proto::{Conversation, Failure, Interim, Line, Manner, Request};
use crate::verb::{Facts, Registry, Step, Terms};
use actix::prelude::*;
use bytes::BytesMut;
use std::io::{BufWriter, Stdout};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// The only client, and its only request.
const CLIENT: u64 = 0;
const PLACE: u64 = 0;
/// Rows that may be under way.
const ROWS: usize = 256;

/// The arguments of `eval`.
#[derive(Debug, clap::Args)]
pub(super) struct Eval {
    /// Threads that compute [default: one a core]
    #[arg(long, value_name = "N", value_parser = quantity::threads)]
    workers: Option<NonZeroUsize>,
    /// The question, as one argument or several: pi 1e12
    #[arg(required = true, value_name = "REQUEST", allow_negative_numbers = true)]
    request: Vec<String>,
}

impl Eval {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let workers = self.workers.or_else(|| std::thread::available_parallelism().ok());
        let workers = workers.map_or(1, NonZeroUsize::get);
        let line = self.request.join(" ");
        let mut printer = Printer::new(BufWriter::new(std::io::stdout()));
        match call(&line, workers) {
            Err(failure) => print(&mut printer, Event::Final(Err(failure)))?,
            Ok(None) => {}
            Ok(Some((Step::Answer(value) | Step::Constant(value), _))) => print(&mut printer, Event::Final(Ok(value)))?,
            Ok(Some((Step::Rows(rows), _))) => print(&mut printer, Event::Interim(Interim::Rows(rows)))?,
            Ok(Some((Step::Job(job), terms))) => play(job.into(), terms, workers, &mut printer)?,
            Ok(Some((Step::Errand(errand), terms))) => play(errand.into(), terms, workers, &mut printer)?,
            Ok(Some((Step::Ask(_) | Step::Cancel(_), _))) => {
                anyhow::bail!("only a daemon keeps jobs; start one with 'primed serve'");
            }
            Ok(Some((Step::Quit, _))) => {}
        }
        printer.flush()?;
        Ok(ExitCode::from(u8::from(printer.errors > 0)))
    }
}

fn call(line: &str, workers: usize) -> Result<Option<(Step, Terms)>, Failure> {
    let facts = Facts {
        metrics: Arc::new(Metrics::default()),
        started: Instant::now(),
        workers,
    };
    let malformed =
        |(_, malformed): (_, crate::proto::Malformed)| Failure::new(crate::proto::Code::Syntax, malformed.to_string());
    match Request::parse(line.as_bytes()).map_err(malformed)? {
        Line::Request(request) => Registry::default().call(&request, &facts).map(Some),
        Line::Nothing | Line::Http => Ok(None),
    }
}

/// Hears news and passes them on to whoever waits.
struct Ear(mpsc::UnboundedSender<Event>);

impl Actor for Ear {
    type Context = Context<Self>;
}

impl Handler<News> for Ear {
    type Result = ();

    fn handle(&mut self, News(events): News, _: &mut Self::Context) {
        for (_, event) in events {
            // Nobody listens any more once the final reply is there.
            let _ = self.0.send(event);
        }
    }
}

fn play(work: Work, terms: Terms, workers: usize, printer: &mut Printer<BufWriter<Stdout>>) -> anyhow::Result<()> {
    let order = Order {
        place: PLACE,
        ask: Ask::Answer(work),
        deadline: terms.deadline.map(|wait| Instant::now() + wait),
        progress: terms.progress,
        rows: ROWS,
    };
    System::new().block_on(hear(order, workers, printer))
}

async fn hear(order: Order, workers: usize, printer: &mut Printer<BufWriter<Stdout>>) -> anyhow::Result<()> {
    let policy = Policy {
        workers,
        ..Policy::default()
    };
    let scheduler = Scheduler::new(policy, Arc::default()).start();
    let (sender, mut events) = mpsc::unbounded_channel();
    scheduler.do_send(Submit {
        questions: Vec::new(),
        client: CLIENT,
        orders: vec![order],
        to: Arc::new(Ear(sender).start().recipient()),
    });
    while let Some(event) = events.recv().await {
        if let Event::Interim(Interim::Rows(rows)) = &event {
            let rows = rows.len();
            scheduler.do_send(Grant {
                client: CLIENT,
                place: PLACE,
                rows,
            });
        }
        let is_final = matches!(event, Event::Final(_));
        print(printer, event)?;
        if is_final {
            break;
        }
    }
    Ok(())
}

/// Spells an event as the wire would, and prints it as every client does.
fn print(printer: &mut Printer<BufWriter<Stdout>>, event: Event) -> anyhow::Result<()> {
    let mut conversation = Conversation::default();
    let mut out = BytesMut::new();
    match event {
        Event::Final(reply) => conversation.answer(&Manner::default(), reply, &mut out),
        Event::Interim(interim) => {
            let place = conversation.open(&Manner::default(), false).unwrap_or_default();
            conversation.interim(place, interim, &mut out);
        }
    }
    for line in String::from_utf8_lossy(&out).lines() {
        printer.print(None, Heard::parse(line))?;
    }
    Ok(())
}
