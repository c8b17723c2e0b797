//! `primed eval`: the same engine in this process, no socket. For scripts, and for whole-process comparisons.

use super::print::Printer;
use super::quantity;
use crate::client::ReplyLine;
use crate::engine::{ClientId, Event, Local, LocalClient, Policy, Scheduler};
use crate::metrics::Metrics;
use crate::proto::{Code, Conversation, Failure, ParsedLine, ReplyFormat, parse_line};
use crate::verb::{Engine, Facts, Registry, Step, Terms};
use actix::prelude::*;
use bytes::BytesMut;
use std::io::{BufWriter, Stdout};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// The only client.
const CLIENT: ClientId = ClientId(0);

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
        let (registry, facts) = (Registry::default(), facts(workers));
        match call(&line, &registry, &facts) {
            Err(failure) => print(&mut printer, Event::Final(Err(failure)))?,
            Ok(None | Some((Step::Quit, _))) => {}
            Ok(Some((Step::Ask(_) | Step::Cancel(_), _))) => {
                anyhow::bail!("only a daemon keeps jobs; start one with 'primed serve'");
            }
            Ok(Some((step, terms))) => System::new().block_on(hear(step, terms, registry, facts, &mut printer))?,
        }
        printer.flush()?;
        Ok(ExitCode::from(u8::from(printer.errors > 0)))
    }
}

fn facts(workers: usize) -> Facts {
    Facts {
        metrics: Arc::new(Metrics::default()),
        started: Instant::now(),
        workers,
    }
}

fn call(line: &str, registry: &Registry, facts: &Facts) -> Result<Option<(Step, Terms)>, Failure> {
    match parse_line(line.as_bytes()) {
        Ok(ParsedLine::Request(request)) => registry.call(&request, facts).map(Some),
        Ok(ParsedLine::Blank) => Ok(None),
        Ok(ParsedLine::Http) => Err(Failure::new(Code::Syntax, "this is HTTP, and no question about primes")),
        Err((_, malformed)) => Err(Failure::new(Code::Syntax, malformed.to_string())),
    }
}

async fn hear(
    step: Step,
    terms: Terms,
    registry: Registry,
    facts: Facts,
    printer: &mut Printer<BufWriter<Stdout>>,
) -> anyhow::Result<()> {
    let scheduler = Scheduler::new(Policy::default(), facts.workers, facts.metrics.clone())?;
    let health = scheduler.health().clone();
    let scheduler = scheduler.supervised();
    let local = Local::new(scheduler.clone(), health).supervised();
    let engine = Engine::new(LocalClient::new(CLIENT, local, scheduler), registry, facts);
    let mut question = engine.ask(step);
    if let Some(wait) = terms.deadline {
        question = question.deadline(wait);
    }
    if let Some(every) = terms.progress {
        question = question.progress(every);
    }
    let mut events = question.events();
    while let Some(event) = events.next().await {
        print(printer, event)?;
    }
    Ok(())
}

/// Spells an event as the wire would, and prints it as every client does.
fn print(printer: &mut Printer<BufWriter<Stdout>>, event: Event) -> anyhow::Result<()> {
    let mut conversation = Conversation::default();
    let mut out = BytesMut::new();
    match event {
        Event::Final(reply) => conversation.answer(&ReplyFormat::default(), reply, &mut out),
        Event::Interim(interim) => {
            let place = conversation.open(&ReplyFormat::default(), false).unwrap_or_default();
            conversation.interim(place, interim, &mut out);
        }
    }
    for line in String::from_utf8_lossy(&out).lines() {
        printer.print(None, ReplyLine::parse(line))?;
    }
    Ok(())
}
