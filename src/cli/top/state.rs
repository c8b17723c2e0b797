//! What `top` knows, and what keys do to it. Knows no terminal and no daemon.

use crate::cli::job_row::JobRow;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Samples that are remembered, one for each column of the chart: terminals that are wider leave some empty.
pub(super) const HISTORY: usize = 1_000;
/// The longest filter.
const MAX_FILTER: usize = 60;

/// What a daemon said at one moment.
pub(super) struct Sample {
    pub(super) at: Instant,
    /// How long `ping` took.
    pub(super) latency: Duration,
    pub(super) info: Vec<String>,
    pub(super) jobs: Vec<String>,
    /// `None`: the daemon does not say who is connected.
    pub(super) clients: Option<Vec<String>>,
}

/// What happened in a second, between the last two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) requests: f64,
    pub(super) errors: f64,
    pub(super) slices: f64,
    /// Workers that computed all the time would be this many.
    pub(super) busy: f64,
}

/// What the table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Jobs,
    Clients,
}

/// The order of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// As the daemon lists them.
    Listed,
    Progress,
    Cpu,
    Owner,
    State,
}

impl Sort {
    const ALL: [Self; 5] = [Self::Listed, Self::Progress, Self::Cpu, Self::Owner, Self::State];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Listed => "as listed",
            Self::Progress => "progress",
            Self::Cpu => "CPU",
            Self::Owner => "owner",
            Self::State => "state",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or_default();
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    /// Large figures first, words in their order.
    fn compare(self, a: &JobRow, b: &JobRow) -> Ordering {
        let cpu = |job: &JobRow| job.get("cpu").trim_end_matches('s').parse::<f64>().unwrap_or_default();
        match self {
            Self::Listed => Ordering::Equal,
            Self::Progress => b.percent().unwrap_or(-1.0).total_cmp(&a.percent().unwrap_or(-1.0)),
            Self::Cpu => cpu(b).total_cmp(&cpu(a)),
            Self::Owner => a.get("owner").cmp(b.get("owner")),
            Self::State => a.get("state").cmp(b.get("state")),
        }
    }
}

/// What keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    List,
    /// The filter is typed.
    Filter,
    /// Cancelling this job is to be confirmed.
    Confirm(u64),
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    None,
    Quit,
    /// Cancel this job.
    Cancel(u64),
}

/// All that the screen shows.
pub(super) struct State {
    pub(super) address: String,
    pub(super) has_colors: bool,
    /// Why there is no connection.
    pub(super) lost: Option<String>,
    pub(super) info: HashMap<String, String>,
    at: Option<Instant>,
    pub(super) rates: Rates,
    /// Requests a second, the latest last.
    pub(super) requests: VecDeque<u64>,
    /// Of `ping`, the latest last.
    pub(super) latencies: VecDeque<Duration>,
    jobs: Vec<JobRow>,
    pub(super) clients: Option<Vec<String>>,
    pub(super) tab: Tab,
    pub(super) sort: Sort,
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) selected: usize,
    pub(super) message: String,
}

impl State {
    pub(super) fn new(address: String, has_colors: bool) -> Self {
        Self {
            address,
            has_colors,
            lost: None,
            info: HashMap::new(),
            at: None,
            rates: Rates::default(),
            requests: VecDeque::new(),
            latencies: VecDeque::new(),
            jobs: Vec::new(),
            clients: None,
            tab: Tab::Jobs,
            sort: Sort::Listed,
            filter: String::new(),
            mode: Mode::List,
            selected: 0,
            message: String::new(),
        }
    }

    /// A counter of `info`.
    pub(super) fn figure(&self, key: &str) -> u64 {
        self.info
            .get(key)
            .and_then(|value| value.parse().ok())
            .unwrap_or_default()
    }

    /// Takes what the daemon said. Rates need two samples of the same process.
    pub(super) fn take(&mut self, sample: Sample) {
        let selected = self.selected_job();
        let before = std::mem::take(&mut self.info);
        let rows = sample.info.iter().filter_map(|row| row.split_once('='));
        self.info = rows.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let old = |key: &str| before.get(key).and_then(|value| value.parse::<u64>().ok());
        let elapsed = self.at.map_or(0.0, |at| (sample.at - at).as_secs_f64());
        let is_same_process = old("uptime_s").is_some_and(|uptime| uptime <= self.figure("uptime_s"));
        if is_same_process && elapsed > 0.0 {
            let rate = |key: &str| self.figure(key).saturating_sub(old(key).unwrap_or_default()) as f64 / elapsed;
            self.rates = Rates {
                requests: rate("requests_total"),
                errors: rate("errors_total"),
                slices: rate("slices_total"),
                busy: rate("slices_cpu_ms") / 1000.0,
            };
            remember(&mut self.requests, self.rates.requests.round() as u64);
        } else {
            self.rates = Rates::default();
        }
        self.at = Some(sample.at);
        self.lost = None;
        remember(&mut self.latencies, sample.latency);
        self.jobs = sample.jobs.iter().map(|row| JobRow::parse(row)).collect();
        self.clients = sample.clients;
        self.select(selected);
    }

    /// There is no connection any more.
    pub(super) fn lose(&mut self, why: String) {
        self.lost = Some(why);
        self.rates = Rates::default();
    }

    /// Shows a text until the next key.
    pub(super) fn note(&mut self, text: String) {
        self.message = text;
    }

    /// The jobs that pass the filter, in their order.
    pub(super) fn visible(&self) -> Vec<&JobRow> {
        let passes = |job: &&JobRow| {
            let fields = ["id", "state", "owner", "request"];
            fields.iter().any(|field| job.get(field).contains(&self.filter))
        };
        let mut jobs: Vec<&JobRow> = self.jobs.iter().filter(passes).collect();
        jobs.sort_by(|a, b| self.sort.compare(a, b));
        jobs
    }

    fn selected_job(&self) -> Option<u64> {
        self.visible().get(self.selected)?.get("id").parse().ok()
    }

    /// Keeps the cursor on a job, wherever it is now, and within the list.
    fn select(&mut self, job: Option<u64>) {
        let visible = self.visible();
        let at = job.and_then(|job| visible.iter().position(|row| row.get("id").parse() == Ok(job)));
        self.selected = at.unwrap_or(self.selected).min(visible.len().saturating_sub(1));
    }

    /// A key was pressed.
    pub(super) fn press(&mut self, key: KeyEvent) -> Action {
        self.message.clear();
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Action::Quit,
                _ => Action::None,
            };
        }
        match self.mode {
            Mode::List => self.press_in_list(key.code),
            Mode::Filter => {
                self.press_in_filter(key.code);
                Action::None
            }
            Mode::Confirm(job) => {
                self.mode = Mode::List;
                match key.code {
                    KeyCode::Char('y' | 'Y') => Action::Cancel(job),
                    _ => {
                        "not cancelled".clone_into(&mut self.message);
                        Action::None
                    }
                }
            }
        }
    }

    fn press_in_list(&mut self, code: KeyCode) -> Action {
        let selected = self.selected_job();
        let rows = self.visible().len();
        match code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Down | KeyCode::Char('j') => self.selected = (self.selected + 1).min(rows.saturating_sub(1)),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = rows.saturating_sub(1),
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                self.select(selected);
            }
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Tab => {
                self.tab = match self.tab {
                    Tab::Jobs => Tab::Clients,
                    Tab::Clients => Tab::Jobs,
                }
            }
            KeyCode::Char('c') if self.tab == Tab::Jobs && rows > 0 => match selected {
                Some(job) => self.mode = Mode::Confirm(job),
                None => "only submitted jobs can be cancelled here; others end with their client"
                    .clone_into(&mut self.message),
            },
            _ => {}
        }
        Action::None
    }

    fn press_in_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.mode = Mode::List,
            KeyCode::Esc => {
                self.mode = Mode::List;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.len() < MAX_FILTER => self.filter.push(c),
            _ => {}
        }
        self.select(None);
    }
}

fn remember<T>(history: &mut VecDeque<T>, value: T) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}
