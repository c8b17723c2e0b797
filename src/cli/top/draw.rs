//! The screen of `top`, a pure function of its state.

use super::state::{Mode, State, Tab};
use crate::cli::job_row::JobRow;
use crate::engine::shortened;
use ratatui::Frame;
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};
use std::time::Duration;

const HELP: &str = "q quit  up/down select  s sort  / filter  c cancel  Tab jobs or clients";
/// The digits of the largest ID.
const MAX_ID: usize = 20;
/// The characters of a job's bar.
const BAR: usize = 10;
/// The characters of a field of a client, at most.
const MAX_CELL: usize = 40;
/// Narrower screens have no bars, so that requests have room.
const NARROW: u16 = 100;

/// Draws everything. What does not fit is left out, from the bottom of the list.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let heights = [
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, figures, chart, list, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(title(state)), head);
    frame.render_widget(Paragraph::new(figures_of(state)), figures);
    draw_chart(frame, state, chart);
    match state.tab {
        Tab::Jobs => draw_jobs(frame, state, list),
        Tab::Clients => draw_clients(frame, state, list),
    }
    frame.render_widget(Paragraph::new(footer(state)), foot);
}

fn title(state: &State) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    match &state.lost {
        Some(why) => {
            let text = format!("primed at {}: connecting again ({why})", state.address);
            Line::styled(text, color(state, Color::Red).add_modifier(Modifier::BOLD))
        }
        None if state.info.is_empty() => Line::styled(format!("primed at {}", state.address), bold),
        None => {
            let version = state.info.get("version").map_or("", String::as_str);
            let uptime = humantime::format_duration(Duration::from_secs(state.figure("uptime_s")));
            Line::styled(format!("primed {version} at {}, up {uptime}", state.address), bold)
        }
    }
}

fn figures_of(state: &State) -> Vec<Line<'static>> {
    if state.info.is_empty() {
        return Vec::new();
    }
    let rates = state.rates;
    let mut latencies: Vec<Duration> = state.latencies.iter().copied().collect();
    latencies.sort();
    let median = latencies.get(latencies.len() / 2).copied().unwrap_or_default();
    let worst = latencies.last().copied().unwrap_or_default();
    let latest = state.latencies.back().copied().unwrap_or_default();
    let us = |time: Duration| format!("{} us", time.as_micros());
    vec![
        Line::raw(format!(
            "requests {:.0}/s  errors {:.0}/s  slices {:.0}/s  workers {:.1} of {} busy",
            rates.requests,
            rates.errors,
            rates.slices,
            rates.busy,
            state.figure("workers")
        )),
        Line::raw(format!(
            "ping {}  median {}  worst {} of {}",
            us(latest),
            us(median),
            us(worst),
            latencies.len()
        )),
        Line::raw(format!(
            "connections {}  jobs {}  cache hits {}  store {}{}",
            state.figure("connections"),
            state.figure("jobs"),
            state.figure("cache_hits_total"),
            state
                .info
                .get("store_state")
                .or(state.info.get("store"))
                .map_or("", String::as_str),
            cluster_of(state)
        )),
    ]
}

/// The daemon's cluster, if it is in one.
fn cluster_of(state: &State) -> String {
    match state.info.get("cluster_state") {
        Some(connection) => format!(
            "  nodes {} ({connection}), {} workers, {} parts",
            state.figure("cluster_nodes"),
            state.figure("cluster_workers"),
            state.figure("cluster_parts_total")
        ),
        None => String::new(),
    }
}

fn draw_chart(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let width = usize::from(area.width.saturating_sub(2));
    let skipped = state.requests.len().saturating_sub(width);
    let data: Vec<u64> = state.requests.iter().skip(skipped).copied().collect();
    let most = data.iter().max().copied().unwrap_or_default();
    let block = Block::bordered().title(format!("requests a second, up to {most}"));
    let chart = Sparkline::default()
        .block(block)
        .data(data)
        .style(color(state, Color::Cyan));
    frame.render_widget(chart, area);
}

fn draw_jobs(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let jobs = state.visible();
    // A job is cancelled by its ID, which is shown whole.
    let longest = jobs.iter().map(|job| job.get("id").len()).max().unwrap_or_default();
    let id = Constraint::Length(longest.clamp(6, MAX_ID) as u16);
    let is_narrow = area.width < NARROW;
    let (state_width, done_width) = if is_narrow { (9, 7) } else { (18, BAR as u16 + 8) };
    let widths = [
        Constraint::Length(state_width),
        Constraint::Length(done_width),
        Constraint::Length(6),
        Constraint::Length(if is_narrow { 8 } else { 10 }),
        Constraint::Length(if is_narrow { 12 } else { 15 }),
        Constraint::Min(10),
    ];
    let [id, rest] = Layout::horizontal([id, Constraint::Min(0)])
        .spacing(1)
        .areas(Block::bordered().inner(area));
    let rest: [Rect; 6] = Layout::horizontal(widths).spacing(1).areas(rest);
    let [second, third, fourth, fifth, sixth, last] = rest;
    let columns = [id, second, third, fourth, fifth, sixth, last];
    let widths = columns.map(|column| usize::from(column.width));
    let rows = jobs.iter().map(|job| row(job, state, widths));
    let header = Row::new(["ID", "STATE", "DONE", "LEFT", "CPU", "OWNER", "REQUEST"]);
    let filter = match (state.filter.as_str(), &state.mode) {
        ("", Mode::List | Mode::Confirm(_)) => String::new(),
        (filter, _) => format!(", with '{filter}'"),
    };
    let title = format!("{} jobs{filter}, order: {}", jobs.len(), state.sort.name());
    let table = Table::new(rows, columns.map(|column| Constraint::Length(column.width)))
        .header(header.style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title(title));
    let selected = (!jobs.is_empty()).then_some(state.selected);
    let mut cursor = TableState::default().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut cursor);
}

fn row<'a>(job: &JobRow, state: &State, widths: [usize; 7]) -> Row<'a> {
    let tint = match job.get("state") {
        "running" => color(state, Color::Green),
        "failed" => color(state, Color::Red),
        "queued" | "parked" => color(state, Color::Yellow),
        _ => Style::new(),
    };
    let texts = [
        job.get("id").to_owned(),
        job.state(),
        job.percent()
            .map(|percent| done(percent, widths[2]))
            .unwrap_or_default(),
        job.get("eta").to_owned(),
        job.get("cpu").to_owned(),
        job.get("owner").to_owned(),
        fitted(job.get("request"), widths[6]),
    ];
    let cells = texts
        .iter()
        .zip(widths)
        .map(|(text, width)| Cell::from(cut(text, width)));
    let tints = [Style::new(), tint].into_iter().chain(std::iter::repeat(Style::new()));
    Row::new(cells.zip(tints).map(|(cell, tint)| cell.style(tint)))
}

/// A text that ends with `...` if it has no room.
fn cut(text: &str, width: usize) -> String {
    match text.chars().count() <= width {
        true => text.to_owned(),
        false => shortened(text, width.saturating_sub(3)),
    }
}

/// A request, its numbers with many noughts as `1e22` if it has no room otherwise.
fn fitted(request: &str, width: usize) -> String {
    if request.chars().count() <= width {
        return request.to_owned();
    }
    let words = request.split(' ').map(|word| {
        let digits = word.trim_end_matches('0');
        match word.len() - digits.len() {
            noughts @ 6.. if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                format!("{digits}e{noughts}")
            }
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `####......  41.3 %`, or the figure alone where there is no room.
fn done(percent: f64, width: usize) -> String {
    if width < BAR {
        return format!("{percent:>5.1} %");
    }
    let full = (percent.clamp(0.0, 100.0) / 100.0 * BAR as f64) as usize;
    format!("{:.<BAR$} {percent:>5.1} %", "#".repeat(full))
}

fn draw_clients(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let Some(clients) = &state.clients else {
        let text = match state.info.is_empty() {
            true => "",
            false => "this daemon does not list its clients",
        };
        frame.render_widget(Paragraph::new(text).block(Block::bordered().title("clients")), area);
        return;
    };
    // The columns are the fields of the first; all have the same.
    let fields = |row: &String| -> Vec<(String, String)> {
        let words = row.split(' ').filter_map(|word| word.split_once('='));
        words
            .map(|(key, value)| (key.to_uppercase(), value.to_owned()))
            .collect()
    };
    let rows: Vec<Vec<(String, String)>> = clients.iter().map(fields).collect();
    let header: Vec<&str> = rows
        .first()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    let mut room = usize::from(area.width.saturating_sub(2));
    let widths = header.iter().enumerate().map(|(column, key)| {
        let values = rows.iter().filter_map(|row| row.get(column));
        let longest = values.map(|(_, value)| value.chars().count()).max().unwrap_or_default();
        longest.max(key.len()).min(MAX_CELL)
    });
    // Columns without room are left out whole.
    let widths = widths.take_while(|width| {
        let fits = *width <= room;
        room = room.saturating_sub(width + 1);
        fits
    });
    let widths: Vec<usize> = widths.collect();
    let header = Row::new(header).style(Style::new().add_modifier(Modifier::BOLD));
    let cells = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths);
        Row::new(cells.map(|((_, value), width)| Cell::from(cut(value, *width))))
    });
    let columns = widths.iter().map(|width| Constraint::Length(*width as u16));
    let table = Table::new(cells, columns)
        .header(header)
        .flex(Flex::Start)
        .block(Block::bordered().title(format!("{} clients", clients.len())));
    frame.render_widget(table, area);
}

fn footer(state: &State) -> Line<'static> {
    match &state.mode {
        Mode::Confirm(job) => {
            let text = format!("cancel job {job}? y cancels it, any other key does not");
            Line::styled(text, color(state, Color::Yellow).add_modifier(Modifier::BOLD))
        }
        Mode::Filter => Line::raw(format!("filter: {}_  Enter keeps it, Esc clears it", state.filter)),
        Mode::List if !state.message.is_empty() => Line::raw(state.message.clone()),
        Mode::List => Line::raw(HELP),
    }
}

fn color(state: &State, color: Color) -> Style {
    match state.has_colors {
        true => Style::new().fg(color),
        false => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::{Action, Sample};
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use std::time::Instant;

    const JOBS: [&str; 4] = [
        "id=1 state=running pct=41.3 eta=18s cpu=12.5s owner=127.0.0.1 request=pi 1000",
        "id=2 state=parked cpu=0.0s owner=10.0.0.1 request=nth 5",
        "id=3 state=running pct=90.0 eta=1s cpu=99.0s owner=10.0.0.1 request=factor 91",
        "id=- state=running pct=10.0 cpu=1.0s owner=127.0.0.1 request=pi 2000",
    ];

    fn state() -> State {
        State::new("127.0.0.1:7919".into(), true)
    }

    fn sample(at: Instant, requests: u64, uptime: u64) -> Sample {
        let info = ["version=0.1.0".into(), "workers=2".into(), format!("uptime_s={uptime}")];
        let counters = [
            format!("requests_total={requests}"),
            format!("slices_cpu_ms={}", requests * 2),
        ];
        Sample {
            at,
            latency: Duration::from_micros(80),
            info: info.into_iter().chain(counters).collect(),
            jobs: JOBS.map(String::from).to_vec(),
            clients: None,
        }
    }

    fn press(state: &mut State, keys: &str) -> Action {
        let press = |c| match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\x1b' => KeyCode::Esc,
            'v' => KeyCode::Down,
            c => KeyCode::Char(c),
        };
        let keys = keys.chars().map(|c| KeyEvent::new(press(c), KeyModifiers::NONE));
        keys.map(|key| state.press(key)).last().unwrap_or(Action::None)
    }

    fn screen(state: &State, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("it is in memory");
        terminal.draw(|frame| draw(frame, state)).expect("it is in memory");
        terminal.backend().to_string()
    }

    /// The first words of the rows of the table.
    fn order(state: &State) -> Vec<String> {
        let shown = screen(state, 120, 30);
        let rows = shown
            .lines()
            .skip_while(|line| !line.contains(" ID ") && !line.contains("│ID"));
        let words = rows
            .skip(1)
            .filter_map(|line| line.split('│').nth(1)?.split_whitespace().next());
        words.map(String::from).collect()
    }

    #[test]
    fn rates_are_of_the_time_between_two_samples_of_one_process() {
        let mut state = state();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        state.take(sample(now, 1000, 10));
        assert_eq!(state.rates.requests, 0.0);
        state.take(sample(now + 2 * second, 2000, 12));
        let shown = screen(&state, 120, 30);
        assert!(
            shown.contains("requests 500/s") && shown.contains("workers 1.0 of 2 busy"),
            "{shown}"
        );
        assert!(shown.contains("primed 0.1.0 at 127.0.0.1:7919, up 12s"), "{shown}");
        assert!(shown.contains("ping 80 us"), "{shown}");
        // It was restarted: its counters began again.
        state.take(sample(now + 3 * second, 5, 0));
        assert!(screen(&state, 120, 30).contains("requests 0/s"));
    }

    #[test]
    fn jobs_have_bars_an_order_and_a_filter() {
        let mut state = state();
        state.take(sample(Instant::now(), 0, 0));
        let shown = screen(&state, 120, 30);
        assert!(
            shown.contains("####......  41.3 %") && shown.contains("#########.  90.0 %"),
            "{shown}"
        );
        assert_eq!(order(&state), ["1", "2", "3", "-"]);
        press(&mut state, "s");
        assert_eq!(order(&state), ["3", "1", "-", "2"], "by progress");
        press(&mut state, "s");
        assert_eq!(order(&state), ["3", "1", "-", "2"], "by CPU");
        press(&mut state, "/10.0.\n");
        assert_eq!(order(&state), ["3", "2"]);
        assert!(screen(&state, 120, 30).contains("2 jobs, with '10.0.', order: CPU"));
        press(&mut state, "\x1b");
        assert_eq!(order(&state).len(), 4);
    }

    #[test]
    fn a_request_without_room_ends_with_dots() {
        let mut state = state();
        let mut sample = sample(Instant::now(), 0, 0);
        sample.jobs = vec![
            format!(
                "id=1 state=running cpu=1.0s owner=127.0.0.1 request=pi {}",
                "7".repeat(21)
            ),
            "id=2 state=running cpu=1.0s owner=127.0.0.1 request=pi 1000".to_owned(),
        ];
        state.take(sample);
        let shown = screen(&state, 100, 30);
        assert!(shown.contains("77777...") && shown.contains(" pi 1000 "), "{shown}");
        assert!(!screen(&state, 120, 30).contains("..."), "there is room");
    }

    #[test]
    fn a_narrow_screen_shows_what_is_asked_instead_of_bars() {
        let mut state = state();
        let mut sample = sample(Instant::now(), 0, 0);
        sample.jobs = [22, 23]
            .map(|noughts| {
                let x = format!("1{}", "0".repeat(noughts));
                format!("id=1 state=running pct=41.3 eta=18s cpu=1.0s owner=127.0.0.1 request=pi {x}")
            })
            .to_vec();
        state.take(sample);
        let shown = screen(&state, 80, 30);
        for words in [" pi 1e22 ", " pi 1e23 ", " 41.3 % "] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }

    #[test]
    fn long_ids_are_shown_whole() {
        let mut state = state();
        let mut sample = sample(Instant::now(), 0, 0);
        sample.jobs = vec![
            "id=1000457 state=running cpu=1.0s owner=127.0.0.1 request=pi 1000".to_owned(),
            "id=18446744073709551615 state=running cpu=1.0s owner=127.0.0.1 request=pi 2000".to_owned(),
        ];
        state.take(sample);
        for width in [80, 120] {
            assert_eq!(screen(&state, width, 30).matches("18446744073709551615 ").count(), 1);
        }
        assert_eq!(order(&state), ["1000457", "18446744073709551615"]);
    }

    #[test]
    fn a_job_is_cancelled_after_a_yes_and_not_after_anything_else() {
        let mut state = state();
        state.take(sample(Instant::now(), 0, 0));
        press(&mut state, "vv");
        assert_eq!(press(&mut state, "c"), Action::None);
        assert!(screen(&state, 120, 30).contains("cancel job 3? y cancels it"));
        assert_eq!(press(&mut state, "n"), Action::None);
        assert!(screen(&state, 120, 30).contains("not cancelled"));
        assert_eq!(press(&mut state, "cy"), Action::Cancel(3));
        // The question is not answered by the next `y`.
        assert_eq!(press(&mut state, "y"), Action::None);
        // The cursor stays on its job when the order changes.
        press(&mut state, "s");
        assert_eq!(press(&mut state, "cy"), Action::Cancel(3));
        press(&mut state, "vv");
        assert_eq!(press(&mut state, "cy"), Action::None);
        assert!(screen(&state, 120, 30).contains("q quit"));
        press(&mut state, "c");
        assert!(
            screen(&state, 120, 30).contains("only submitted jobs"),
            "it has no number"
        );
    }

    #[test]
    fn a_lost_daemon_is_shown_until_it_answers_again() {
        let mut state = state();
        state.take(sample(Instant::now(), 0, 0));
        state.lose("the connection to the daemon is closed".into());
        let shown = screen(&state, 120, 30);
        assert!(
            shown.contains("connecting again (the connection to the daemon is closed)"),
            "{shown}"
        );
        state.take(sample(Instant::now(), 0, 0));
        assert!(!screen(&state, 120, 30).contains("connecting again"));
    }

    #[test]
    fn clients_are_shown_where_the_daemon_lists_them() {
        let mut state = state();
        let mut sample = sample(Instant::now(), 0, 0);
        press(&mut state, "\t");
        state.take(self::sample(Instant::now(), 0, 0));
        assert!(screen(&state, 120, 30).contains("does not list its clients"));
        sample.clients = Some(vec![
            "id=4 address=127.0.0.1:5 name=batch requests=0".into(),
            "id=5 address=127.0.0.1:54321 name=- requests=712".into(),
        ]);
        state.take(sample);
        let shown = screen(&state, 120, 30);
        for words in [
            "2 clients",
            "│ID ADDRESS         NAME  REQUESTS ",
            "│4  127.0.0.1:5     batch 0 ",
            "│5  127.0.0.1:54321 -     712 ",
        ] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
        let narrow = screen(&state, 30, 30);
        assert!(
            narrow.contains("127.0.0.1:54321 -") && !narrow.contains("REQ"),
            "a column is shown whole or not: {narrow}"
        );
    }

    #[test]
    fn any_size_of_terminal_and_any_text_can_be_drawn() {
        let mut state = state();
        let mut hostile = sample(Instant::now(), u64::MAX / 2, u64::MAX);
        hostile.jobs = vec!["id=9 pct=NaN state=\u{1b}[31m".into(), String::new(), "=".repeat(5000)];
        hostile.clients = Some(vec!["\u{7}".into()]);
        state.take(hostile);
        for (width, height) in [(1, 1), (2, 5), (20, 3), (80, 24), (400, 100)] {
            let shown = screen(&state, width, height);
            assert!(!shown.contains('\u{1b}'), "{}", shown.escape_debug());
        }
    }

    #[test]
    fn control_c_quits_in_every_mode() {
        for before in ["", "/x", "c"] {
            let mut state = state();
            state.take(sample(Instant::now(), 0, 0));
            press(&mut state, before);
            let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(state.press(key), Action::Quit);
        }
        assert_eq!(press(&mut state(), "q"), Action::Quit);
    }
}
