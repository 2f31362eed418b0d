//! What is drawn: a function of what was told, and of nothing else.

mod plot;

use dantetimesync::snapshot::{LeaderRow, Standing, State};
use dantetimesync::status::{Status, words};
use dantetimesync::time::{Raw, Span, Timestamp, duration};
use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap};

use crate::course::Course;
use crate::feed::Told;

/// What the plots can show.
const WINDOWS: [Span; 3] = [Span::from_secs(120), Span::from_secs(600), Span::from_secs(3_600)];

/// Below this many lines, or columns, only the answer is shown.
const LINES_MIN: u16 = 18;
const COLUMNS_MIN: u16 = 50;

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// As the user wishes: <https://no-color.org>.
    pub fn from_environment() -> Self {
        Self { colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Without colours.
    #[cfg(test)]
    pub fn plain() -> Self {
        Self { colours: false }
    }

    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }

    fn state(self, state: Option<State>) -> Style {
        let style = match state {
            Some(State::Locked) => self.colour(Color::Green),
            Some(State::Starting | State::Acquiring | State::Holdover | State::Unknown) => {
                self.colour(Color::Yellow)
            }
            Some(State::NoLeader | State::Lost | State::Conflict) | None => self.colour(Color::Red),
        };
        style.add_modifier(Modifier::BOLD)
    }

    fn faint(self) -> Style {
        if self.colours { Style::new().fg(Color::DarkGray) } else { Style::new().add_modifier(Modifier::DIM) }
    }

    fn value(self) -> Style {
        self.colour(Color::Cyan)
    }
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    palette: Palette,
    /// The last status, also when none has come since.
    status: Option<Box<Status>>,
    /// When there was one, also one that was not shown.
    told_at: Option<Timestamp<Raw>>,
    /// Why there is none now, and since when.
    silence: Option<(Timestamp<Raw>, String)>,
    window: usize,
    paused: bool,
    /// Something else than the status has changed.
    pub redraw: bool,
}

impl View {
    /// Nothing was told yet.
    pub fn new(palette: Palette) -> Self {
        Self { palette, status: None, told_at: None, silence: None, window: 0, paused: false, redraw: true }
    }

    /// Takes what was told.
    pub fn take(&mut self, told: Told) {
        if told.status.is_ok() {
            self.told_at = Some(told.at);
        }
        if self.paused {
            return;
        }
        match told.status {
            Ok(status) => (self.status, self.silence) = (Some(status), None),
            Err(error) => {
                // Somebody may have been asked in vain for seconds before there is a word of it.
                let since = self.told_at.or(self.silence.as_ref().map(|(since, _)| *since));
                self.silence = Some((since.unwrap_or(told.at), error));
            }
        }
    }

    /// Whether what is shown changes by itself: how long there was no status.
    pub fn ticks(&self) -> bool {
        self.silence.is_some() && !self.paused
    }

    /// Obeys a key.
    pub fn press(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char('w') => self.window = (self.window + 1) % WINDOWS.len(),
            KeyCode::Char('p') => self.paused = !self.paused,
            _ => return,
        }
        self.redraw = true;
    }

    fn window(&self) -> Span {
        WINDOWS.get(self.window).copied().unwrap_or(Span::from_secs(120))
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, view: &View, course: &Course, now: Timestamp<Raw>) {
    let area = frame.area();
    let small = area.height < LINES_MIN || area.width < COLUMNS_MIN;
    let [title, answer, rest] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(4), Constraint::Min(0)]).areas(area);
    draw_title(frame, title, view);
    draw_answer(frame, if small { answer.union(rest) } else { answer }, view, now);
    let Some(status) = view.status.as_deref().filter(|_| !small) else { return };
    let leaders = u16::try_from(status.snapshot.leaders.len()).unwrap_or(u16::MAX).clamp(1, 4);
    let servers = u16::try_from(status.snapshot.ntp_servers.len()).unwrap_or(u16::MAX).clamp(1, 4);
    let [plots, leader, counts, events] = Layout::vertical([
        Constraint::Fill(2),
        Constraint::Length(leaders + 1),
        Constraint::Length(servers + 3 + u16::from(status.snapshot.fault.is_some())),
        Constraint::Fill(1),
    ])
    .areas(rest);
    plot::draw(frame, plots, &view.palette, course, now, view.window());
    draw_leaders(frame, leader, view, status);
    draw_counts(frame, counts, view, status);
    draw_events(frame, events, view, status);
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let mut left = match &view.status {
        Some(status) => {
            let up = duration(status.snapshot.uptime_ns);
            let dry = if status.dry_run { ", dry run" } else { "" };
            format!("dantetimesync {}, pid {}, up {up}{dry}", status.version, status.pid)
        }
        None => "dantetimesync".to_owned(),
    };
    if view.paused {
        // First: at the end the keys may cover it.
        left.insert_str(0, "PAUSED  ");
    }
    let keys = format!("w {}  p pause  q quit ", duration(view.window().as_ns()));
    frame.render_widget(Paragraph::new(left).style(view.palette.faint()), area);
    frame.render_widget(Paragraph::new(keys).style(view.palette.faint()).right_aligned(), area);
}

fn draw_answer(frame: &mut Frame<'_>, area: Rect, view: &View, now: Timestamp<Raw>) {
    let text = match (&view.silence, &view.status) {
        (Some((since, error)), last) => {
            let told = if last.is_some() {
                "what is shown below is the last that was told"
            } else {
                "waiting for it"
            };
            let since = duration((now - *since).as_ns());
            let style = view.palette.state(None);
            Text::from(vec![Line::styled(format!("No status for {since}: {error}"), style), Line::raw(told)])
        }
        (None, Some(status)) => {
            let age = now - Timestamp::from_ns(status.snapshot.raw_ns);
            let age = if view.paused { Span::ZERO } else { age };
            let advice = words::advice(status, age).map(|advice| Line::raw(format!("To do: {advice}")));
            let style = view.palette.state(Some(status.snapshot.state));
            let headline = Line::styled(words::headline(status, age), style);
            Text::from(std::iter::once(headline).chain(advice).collect::<Vec<_>>())
        }
        (None, None) => Text::raw("asking …"),
    };
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

fn draw_leaders(frame: &mut Frame<'_>, area: Rect, view: &View, status: &Status) {
    let rows = status.snapshot.leaders.iter().map(|leader| {
        let style = if leader.standing == Standing::Followed { Style::new() } else { view.palette.faint() };
        Row::new(leader_cells(leader)).style(style)
    });
    let widths = [
        Constraint::Length(21),
        Constraint::Length(8),
        Constraint::Length(3),
        Constraint::Length(4),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Fill(1),
    ];
    let head = Row::new(["leader", "on", "str", "pref", "every", "age", "pairs", "standing"]);
    let table = Table::new(rows, widths).header(head.style(view.palette.faint()));
    frame.render_widget(table, area);
    if status.snapshot.leaders.is_empty() {
        let [_, below] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
        frame.render_widget(Paragraph::new("none is heard").style(view.palette.faint()), below);
    }
}

fn leader_cells(leader: &LeaderRow) -> [Cell<'static>; 8] {
    let preferred = if leader.preferred { "yes" } else { "no" };
    let age = leader.pair_age_ns.map_or_else(|| "-".to_owned(), duration);
    [
        leader.id.to_string(),
        leader.interface.clone(),
        leader.stratum.to_string(),
        preferred.to_owned(),
        format!("{:.0} ms", Span::from_ns(leader.interval_ns).as_secs_f64() * 1e3),
        age,
        leader.pairs.to_string(),
        words::standing(leader),
    ]
    .map(Cell::from)
}

fn draw_counts(frame: &mut Frame<'_>, area: Rect, view: &View, status: &Status) {
    let shown = ["fault", "ntp", "counts", "packets"];
    let facts = words::facts(status);
    let mut lines: Vec<Line<'_>> = facts
        .iter()
        .filter(|(name, _)| shown.contains(name))
        .map(|(name, text)| Line::raw(format!("{name:<8}{text}")))
        .collect();
    if status.snapshot.ntp_servers.is_empty() {
        lines.insert(0, Line::raw("ntp     none is asked: the date is left alone"));
    }
    let block = Block::new().borders(Borders::TOP).border_style(view.palette.faint());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, view: &View, status: &Status) {
    let fit = usize::from(area.height.saturating_sub(1));
    let events = status.snapshot.events.iter();
    let skipped = status.snapshot.events.len().saturating_sub(fit);
    let lines: Vec<Line<'_>> = events.skip(skipped).map(|event| Line::raw(event.to_string())).collect();
    let block = Block::new().borders(Borders::TOP).border_style(view.palette.faint()).title("events");
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests;
