//! `primed top`: what a daemon does, every second, and its jobs to sort, filter and cancel.
//!
//! [`state`] is what is known and what keys do to it, [`draw`] makes a screen of it; neither does I/O. This module
//! reads keys on a thread, asks the daemon in a task, and draws after each of their news. A daemon that is gone is
//! connected to again for as long as it takes.

mod draw;
mod state;

use super::connect::Connect;
use super::modes::EndSignals;
use super::{quantity, with_causes};
use crate::client::{Client, Error, JobId};
use crate::proto::Code;
use anyhow::Context;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{Action, Sample, State};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A daemon answers `info` in microseconds; one that takes longer has a problem that is to be seen.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon the thread that reads keys notices that nothing takes them any more.
const KEY_INTERVAL: Duration = Duration::from_millis(100);

/// The arguments of `top`.
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    #[command(flatten)]
    connect: Connect,
    /// How often the daemon is asked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = quantity::time)]
    interval: Duration,
}

/// What the task that asks the daemon has to say.
enum News {
    Sample(Box<Sample>),
    Lost(String),
    Note(String),
}

impl Top {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            io::stdout().is_terminal() && io::stdin().is_terminal(),
            "top needs a terminal; 'primed info' and 'primed jobs' print the same once"
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            // Without a daemon at the start there is nothing to show.
            let connect = Arc::new(self.connect);
            let client = connect.clone().client().await?;
            let signals = EndSignals::take()?;
            // From here on a panic restores the terminal before it is reported.
            let terminal = ratatui::try_init().context("cannot take over the terminal")?;
            let result = show(terminal, signals, client, connect, self.interval).await;
            // It may be gone.
            let _ = ratatui::try_restore();
            result
        });
        // A connection that is being made is not waited for.
        runtime.shutdown_background();
        result.map(|()| ExitCode::SUCCESS)
    }
}

/// Draws until a key or a signal ends it.
async fn show(
    mut terminal: DefaultTerminal,
    mut signals: EndSignals,
    client: Client,
    connect: Arc<Connect>,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut state = State::new(connect.address().to_string(), console::colors_enabled());
    let (keys_sender, mut keys) = channel(64);
    std::thread::Builder::new()
        .name("keys".into())
        .spawn(move || read_keys(&keys_sender))?;
    let (news_sender, mut news) = channel(1);
    let (cancel, cancels) = channel(1);
    let asking = tokio::spawn(ask(client, connect, interval, news_sender, cancels));
    loop {
        terminal.draw(|frame| draw::draw(frame, &state))?;
        tokio::select! {
            event = keys.recv() => match event.context("the terminal is gone")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match state.press(key) {
                    Action::None => {}
                    Action::Quit => break,
                    // One is under way already: the key may be pressed again.
                    Action::Cancel(job) => drop(cancel.try_send(job)),
                },
                // A resize draws again, like everything else.
                _ => {}
            },
            news = news.recv() => match news.context("the task that asks the daemon is gone")? {
                News::Sample(sample) => state.take(*sample),
                News::Lost(why) => state.lose(why),
                News::Note(text) => state.note(text),
            },
            _ = signals.next() => break,
        }
    }
    asking.abort();
    Ok(())
}

/// Passes on what is typed, until nothing takes it or the terminal is gone.
fn read_keys(keys: &Sender<Event>) {
    while !keys.is_closed() {
        let event = match event::poll(KEY_INTERVAL) {
            Ok(false) => continue,
            Ok(true) => event::read(),
            Err(error) => Err(error),
        };
        // The loop that takes them notices where there will be no more.
        let Ok(event) = event else { return };
        if keys.blocking_send(event).is_err() {
            return;
        }
    }
}

/// Asks again and again; connects again where the connection is lost.
async fn ask(first: Client, connect: Arc<Connect>, interval: Duration, news: Sender<News>, mut cancels: Receiver<u64>) {
    let mut client = Some(first);
    loop {
        let connected = match client.take() {
            Some(client) => Ok(client),
            None => connect.clone().client().await,
        };
        // Numbers belong to the daemon that was there before.
        while cancels.try_recv().is_ok() {}
        let why = match connected {
            Ok(client) => {
                let error = watch(&client, interval, &news, &mut cancels).await;
                connect.reason().or(error.to_string()).to_string()
            }
            Err(error) => with_causes(&error),
        };
        if news.send(News::Lost(why)).await.is_err() {
            return;
        }
        tokio::time::sleep(interval).await;
    }
}

/// Asks over one connection, until that fails; returns why.
async fn watch(client: &Client, interval: Duration, news: &Sender<News>, cancels: &mut Receiver<u64>) -> anyhow::Error {
    let mut has_clients = true;
    loop {
        let sample = match tokio::time::timeout(PATIENCE, sample(client, &mut has_clients)).await {
            Ok(Ok(sample)) => sample,
            Ok(Err(error)) => return error.into(),
            Err(_) => return anyhow::anyhow!("no answer for {} s", PATIENCE.as_secs()),
        };
        if news.send(News::Sample(Box::new(sample))).await.is_err() {
            return anyhow::anyhow!("nobody watches");
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            Some(job) = cancels.recv() => {
                let text = match tokio::time::timeout(PATIENCE, client.cancel(JobId(job)).into_future()).await {
                    Ok(Ok(())) => format!("job {job} is cancelled"),
                    Ok(Err(error)) => format!("job {job}: {error}"),
                    Err(_) => format!("job {job}: no answer; the list shows whether it is cancelled"),
                };
                if news.send(News::Note(text)).await.is_err() {
                    return anyhow::anyhow!("nobody watches");
                }
            }
        }
    }
}

async fn sample(client: &Client, has_clients: &mut bool) -> Result<Sample, Error> {
    let asked = Instant::now();
    client.request::<String>("ping").await?;
    let latency = asked.elapsed();
    let info: Vec<String> = client.request("info").await?;
    let jobs = client.jobs().await?;
    let clients = match *has_clients {
        true => match client.request::<Vec<String>>("clients").await {
            Ok(rows) => Some(rows),
            Err(error) if matches!(error.code(), Some(Code::UnknownVerb | Code::Denied)) => {
                *has_clients = false;
                None
            }
            Err(error) => return Err(error),
        },
        false => None,
    };
    Ok(Sample {
        at: Instant::now(),
        latency,
        info,
        jobs,
        clients,
    })
}
