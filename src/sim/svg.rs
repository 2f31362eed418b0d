//! One run as a picture: what was true, what was printed, and which state was claimed.
//!
//! The axes of the errors are linear in the middle and logarithmic outside, so that a disturbance and the noise
//! before it can be read from the same picture.

#![allow(clippy::as_conversions, reason = "places in a picture: small numbers, and none of them is measured")]

use std::fmt::Write as _;

use super::oracle::{RunResult, Second};
use super::scenario::Scenario;
use super::statistics::median;
use crate::snapshot::State;

/// Draws a run whose seconds were kept.
pub fn draw(scenario: &Scenario, run: &RunResult) -> String {
    let frame = Frame { duration_s: scenario.duration_s };
    let panels = panels(&run.seconds);
    let bottom = TOP + panels.len() as f64 * (PANEL + GAP);
    let mut svg = String::new();
    head(&mut svg, scenario, run, bottom + 44.0);
    for (panel, index) in panels.iter().zip(0_u8..) {
        panel.draw(&mut svg, frame, TOP + f64::from(index) * (PANEL + GAP));
    }
    ribbon(&mut svg, frame, run);
    marks(&mut svg, frame, scenario, bottom - GAP);
    time_axis(&mut svg, frame, bottom - GAP);
    svg.push_str("</svg>\n");
    svg
}

const WIDTH: f64 = 1_000.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
/// Of the ribbon of states, and of the first panel.
const RIBBON: f64 = 62.0;
const RIBBON_HEIGHT: f64 = 16.0;
const TOP: f64 = 116.0;
const PANEL: f64 = 190.0;
const GAP: f64 = 34.0;

/// One colour scheme for a light and one for a dark background, as the reader's system prefers.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#222}.h{font-size:16px;font-weight:600}.s{fill:#666}.a{text-anchor:middle}
.r{text-anchor:end}.bg{fill:#fff}.grid{stroke:#ddd}.zero{stroke:#999}.box{fill:none;stroke:#999}
.band{fill:#3b7dd8;fill-opacity:.2}.true{fill:none;stroke:#14509e;stroke-width:1.1;stroke-linejoin:round}
.mark{stroke:#b3261e;stroke-dasharray:4 3}.m{fill:#b3261e}.in{fill:#fff;font-size:11px}
.Locked{fill:#24824a}.Acquiring{fill:#a86f00}.Holdover{fill:#b4551f}.Lost{fill:#b3261e}.Conflict{fill:#7b3fa0}
.Starting,.NoLeader{fill:#6b6b6b}
@media (prefers-color-scheme:dark){text{fill:#ddd}.s{fill:#9aa}.bg{fill:#15171c}.grid{stroke:#2c3038}
.zero,.box{stroke:#666}.box{fill:none}.band{fill:#5b9cf5;fill-opacity:.25}.true{stroke:#a9cdff}
.mark{stroke:#ff8a80}.m{fill:#ff8a80}.in{fill:#fff}}";

fn head(svg: &mut String, scenario: &Scenario, run: &RunResult, height: f64) {
    let (id, title) = (escaped(scenario.id()), escaped(scenario.title()));
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         role=\"img\" aria-label=\"{id}: {title}\">\n<style>{STYLE}</style>\n\
         <rect class=\"bg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\"/>\n\
         <text class=\"h\" x=\"{LEFT}\" y=\"26\">{id}: {title}</text>\n\
         <text class=\"s\" x=\"{LEFT}\" y=\"46\">world {}; line: the truth; band: what was printed, with its \
         99.9 % bound, so the line belongs inside</text>",
        run.seed
    );
}

/// Time from left to right.
#[derive(Debug, Clone, Copy)]
struct Frame {
    duration_s: f64,
}

impl Frame {
    fn x(self, t_s: f64) -> f64 {
        LEFT + (t_s / self.duration_s).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn column(self, t_s: f64) -> i64 {
        self.x(t_s) as i64
    }
}

/// One error over time.
struct Panel {
    title: &'static str,
    unit: &'static str,
    points: Vec<Point>,
    scale: Scale,
}

/// The error at one second, in the panel's unit.
#[derive(Debug, Clone, Copy)]
struct Point {
    t_s: f64,
    truth: f64,
    /// Middle and half width of what was printed.
    printed: Option<(f64, f64)>,
}

fn panels(seconds: &[Second]) -> Vec<Panel> {
    let phase = |it: &Second| Point {
        t_s: it.t_s,
        truth: it.error_ns / 1e3,
        // The constant that nobody can know is taken out of both.
        printed: it
            .print_error_ns
            .zip(it.shown_offset)
            .map(|(error, shown)| ((it.error_ns - error) / 1e3, shown.bound_ns / 1e3)),
    };
    let rate = |it: &Second| Point {
        t_s: it.t_s,
        truth: it.rate_now_ppb / 1e3,
        printed: it.shown_rate.map(|shown| (shown.value_ppb / 1e3, shown.bound_ppb / 1e3)),
    };
    let knows_utc = || seconds.iter().filter(|it| it.shown_utc.is_some());
    let largest = knows_utc().map(|it| it.utc_ns.abs()).fold(0.0, f64::max);
    let (unit, ns) = match largest {
        large if large > 3e9 => ("s", 1e9),
        large if large > 3e6 => ("ms", 1e6),
        _ => ("µs", 1e3),
    };
    let utc = |it: &Second| Point {
        t_s: it.t_s,
        truth: it.utc_ns / ns,
        printed: it.shown_utc.map(|shown| (shown.value_ns / ns, shown.bound_ns / ns)),
    };
    let panels = [
        Panel::new("phase error", "µs", seconds.iter().map(phase).collect()),
        Panel::new("rate error", "ppm", seconds.iter().map(rate).collect()),
        Panel::new("error against UTC", unit, knows_utc().map(utc).collect()),
    ];
    panels.into_iter().filter(|panel| !panel.points.is_empty()).collect()
}

impl Panel {
    fn new(title: &'static str, unit: &'static str, mut points: Vec<Point>) -> Self {
        points.retain(|point| point.truth.is_finite());
        let scale = Scale::of(&points);
        Self { title, unit, points, scale }
    }

    fn draw(&self, svg: &mut String, frame: Frame, top: f64) {
        let (right, middle) = (WIDTH - RIGHT, top + PANEL / 2.0);
        for tick in self.scale.ticks() {
            let y = self.scale.y(tick, top);
            let class = if tick == 0.0 { "zero" } else { "grid" };
            let _ = writeln!(
                svg,
                "<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"r s\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                signed(tick)
            );
        }
        let columns = self.columns(frame);
        self.draw_band(svg, &columns, top);
        self.draw_truth(svg, &columns, top);
        let _ = writeln!(
            svg,
            "<rect class=\"box\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{:.0}\" height=\"{PANEL}\"/>\
             <text class=\"a\" transform=\"translate(16 {middle:.1}) rotate(-90)\">{}, {}</text>",
            right - LEFT,
            self.title,
            self.unit
        );
    }

    /// What falls into each column of pixels.
    fn columns(&self, frame: Frame) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for point in &self.points {
            let x = frame.column(point.t_s);
            match columns.last_mut() {
                Some(column) if column.x == x => column.take(point),
                _ => columns.push(Column::new(x, point)),
            }
        }
        columns
    }

    fn draw_truth(&self, svg: &mut String, columns: &[Column], top: f64) {
        let mut path = String::new();
        let mut last: Option<i64> = None;
        for column in columns {
            let (low, high) = (self.scale.y(column.low, top), self.scale.y(column.high, top));
            // A gap in time is a gap in the line.
            let goes_on = last.is_some_and(|last| column.x - last <= GAP_COLUMNS);
            let command = if goes_on { 'L' } else { 'M' };
            let _ = write!(path, "{command}{} {low:.1}V{high:.1}", column.x);
            last = Some(column.x);
        }
        let _ = writeln!(svg, "<path class=\"true\" d=\"{path}\"/>");
    }

    fn draw_band(&self, svg: &mut String, columns: &[Column], top: f64) {
        let printed: Vec<_> =
            columns.iter().filter_map(|column| column.printed.map(|ends| (column.x, ends))).collect();
        let mut path = String::new();
        for run in printed.chunk_by(|(x, _), (next, _)| next - x <= GAP_COLUMNS) {
            let upper = run.iter().map(|(x, (_, high))| (*x, *high));
            let lower = run.iter().rev().map(|(x, (low, _))| (*x, *low));
            for ((x, value), index) in upper.chain(lower).zip(0_u32..) {
                let command = if index == 0 { 'M' } else { 'L' };
                let _ = write!(path, "{command}{x} {:.1}", self.scale.y(value, top));
            }
            path.push('Z');
        }
        let _ = writeln!(svg, "<path class=\"band\" d=\"{path}\"/>");
    }
}

/// In a run of 100 s there are 9 columns to a second.
const GAP_COLUMNS: i64 = 12;

/// One column of pixels.
#[derive(Debug, Clone, Copy)]
struct Column {
    x: i64,
    low: f64,
    high: f64,
    /// The band's ends.
    printed: Option<(f64, f64)>,
}

impl Column {
    fn new(x: i64, point: &Point) -> Self {
        let printed = point.printed.map(|(middle, half)| (middle - half, middle + half));
        Self { x, low: point.truth, high: point.truth, printed }
    }

    fn take(&mut self, point: &Point) {
        let other = Self::new(self.x, point);
        (self.low, self.high) = (self.low.min(other.low), self.high.max(other.high));
        self.printed = match (self.printed, other.printed) {
            (Some((low, high)), Some((other_low, other_high))) => {
                Some((low.min(other_low), high.max(other_high)))
            }
            (one, other) => one.or(other),
        };
    }
}

/// Linear up to `linear`, logarithmic beyond, symmetric, up to `end`.
#[derive(Debug, Clone, Copy)]
struct Scale {
    linear: f64,
    end: f64,
}

impl Scale {
    fn of(points: &[Point]) -> Self {
        let bounds: Vec<f64> =
            points.iter().filter_map(|point| point.printed.map(|(_, half)| half)).collect();
        let truths = || points.iter().map(|point| point.truth.abs());
        let usual = if bounds.is_empty() { median(truths().collect()) } else { median(bounds) };
        let largest = truths().fold(usual, f64::max);
        if !(usual > 0.0 && largest.is_finite()) {
            return Self { linear: 1.0, end: 1.0 };
        }
        // The first bounds may be a thousand times as wide as all others: they leave the picture.
        Self { linear: 10_f64.powf(usual.log10().floor()), end: 1.5 * largest.max(2.0 * usual) }
    }

    fn y(self, value: f64, top: f64) -> f64 {
        let place = (value / self.linear).asinh() / (self.end / self.linear).asinh();
        top + PANEL / 2.0 * (1.0 - place.clamp(-1.0, 1.0))
    }

    /// Where lines are drawn: zero, and ones and tens as far as they are apart.
    fn ticks(self) -> Vec<f64> {
        let steps: &[f64] = if self.end < 20.0 * self.linear { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut ticks = vec![0.0];
        let mut last = self.y(0.0, 0.0);
        let decades = (0..18).flat_map(|decade| steps.iter().map(move |step| step * 10_f64.powi(decade)));
        for tick in decades.map(|multiple| multiple * self.linear).filter(|tick| *tick < self.end) {
            let y = self.y(tick, 0.0);
            if last - y >= TICK_HEIGHT {
                ticks.extend([tick, -tick]);
                last = y;
            }
        }
        ticks
    }
}

/// Numbers this close would touch.
const TICK_HEIGHT: f64 = 13.0;

fn signed(value: f64) -> String {
    let size = value.abs();
    let text = if size == 0.0 || size >= 1.0 {
        format!("{size:.0}")
    } else {
        let decimals = (-size.log10()).ceil().max(0.0) as usize;
        format!("{size:.decimals$}")
    };
    let sign = if value < 0.0 {
        "−"
    } else if value > 0.0 {
        "+"
    } else {
        ""
    };
    format!("{sign}{text}")
}

/// Which state was claimed when, and what the colours mean.
fn ribbon(svg: &mut String, frame: Frame, run: &RunResult) {
    let ends = run.states.iter().skip(1).map(|(at, _)| *at).chain([frame.duration_s]);
    let mut seen: Vec<State> = Vec::new();
    for ((from, state), until) in run.states.iter().zip(ends) {
        let (x, width) = (frame.x(*from), frame.x(until) - frame.x(*from));
        let _ = writeln!(
            svg,
            "<rect class=\"{state}\" x=\"{x:.1}\" y=\"{RIBBON}\" width=\"{width:.2}\" height=\"{RIBBON_HEIGHT}\">\
             <title>{state} from {from:.1} s</title></rect>"
        );
        if width > 80.0 {
            let _ = writeln!(
                svg,
                "<text class=\"in a\" x=\"{:.1}\" y=\"{}\">{state}</text>",
                x + width / 2.0,
                RIBBON + 12.0
            );
        }
        if !seen.contains(state) {
            seen.push(*state);
        }
    }
    let _ = writeln!(svg, "<text class=\"r\" x=\"{:.0}\" y=\"{}\">state</text>", LEFT - 6.0, RIBBON + 12.0);
    for (state, place) in seen.iter().rev().zip(0_u8..) {
        let x = WIDTH - RIGHT - 84.0 * f64::from(place + 1);
        let _ = writeln!(
            svg,
            "<rect class=\"{state}\" x=\"{x:.0}\" y=\"17\" width=\"10\" height=\"10\"/>\
             <text x=\"{:.0}\" y=\"26\">{state}</text>",
            x + 14.0
        );
    }
}

/// What happened when.
fn marks(svg: &mut String, frame: Frame, scenario: &Scenario, bottom: f64) {
    for plan in &scenario.disturbance {
        let x = frame.x(plan.at_s);
        // Words near the right edge stand to the left of their line.
        let (class, at) = if x > WIDTH * 0.8 { ("m r", x - 4.0) } else { ("m", x + 4.0) };
        let _ = writeln!(
            svg,
            "<path class=\"mark\" d=\"M{x:.1} {}V{bottom:.1}\"/>\
             <text class=\"{class}\" x=\"{at:.1}\" y=\"{}\">{}</text>",
            RIBBON + RIBBON_HEIGHT,
            TOP - 10.0,
            escaped(&plan.what)
        );
    }
}

fn time_axis(svg: &mut String, frame: Frame, y: f64) {
    let (unit, seconds) = match frame.duration_s {
        short if short <= 600.0 => ("s", 1.0),
        usual if usual <= 3.0 * 3_600.0 => ("min", 60.0),
        _ => ("h", 3_600.0),
    };
    let whole = frame.duration_s / seconds;
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0].into_iter().find(|step| whole / step <= 12.0);
    let step = step.unwrap_or(240.0);
    let count = (whole / step).floor() as u32;
    for tick in (0..=count).map(|index| f64::from(index) * step) {
        let x = frame.x(tick * seconds);
        let _ = writeln!(
            svg,
            "<path class=\"zero\" d=\"M{x:.1} {y:.1}v5\"/><text class=\"a s\" x=\"{x:.1}\" y=\"{:.1}\">{tick}</text>",
            y + 19.0
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"a\" x=\"{:.1}\" y=\"{:.1}\">time since the start, {unit}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        y + 38.0
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::run;
    use super::*;

    fn picture(text: &str) -> (String, RunResult) {
        let scenario = Scenario::from_toml(text).unwrap();
        let run = run(&scenario, 1);
        (draw(&scenario, &run), run)
    }

    /// The numbers of the paths of this class.
    fn places(svg: &str, class: &str) -> Vec<f64> {
        let start = format!("<path class=\"{class}\" d=\"");
        let paths = svg.split(start.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
        let numbers =
            paths.flat_map(|path| path.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')));
        numbers.filter(|number| !number.is_empty()).map(|number| number.parse().unwrap()).collect()
    }

    const TURN: &str = "id = 'T'\ntitle = 'a < b & c'\nduration_s = 200.0\nsteady_from_s = 60.0\n\
        [[leader]]\nrate_step = [{ at_s = 100.0, ppm = 25.0 }]\n\
        [[disturbance]]\nat_s = 100.0\nwhat = 'turn'";

    #[test]
    fn a_picture_has_three_errors_their_bounds_states_and_marks_all_inside_it() {
        let (svg, run) = picture(TURN);
        for part in ["phase error, µs", "rate error, ppm", "error against UTC, ", "time since the start, s"]
        {
            assert!(svg.contains(part), "{part}");
        }
        assert!(svg.contains("T: a &lt; b &amp; c") && svg.contains(">turn</text>"));
        assert!(svg.matches("class=\"true\"").count() == 3 && svg.matches("class=\"band\"").count() == 3);
        let states = run.states.len();
        assert!(states >= 4 && svg.matches("height=\"16\"").count() == states, "{:?}", run.states);
        for class in ["true", "band", "mark"] {
            let places = places(&svg, class);
            assert!(places.len() > 2, "{class}");
            assert!(places.iter().all(|place| (0.0..=WIDTH).contains(place)), "{class}");
        }
    }

    #[test]
    fn the_line_lies_in_its_band_while_the_bounds_hold_and_leaves_it_where_they_do_not() {
        let (_, run) = picture(TURN);
        let [phase, ..] = &panels(&run.seconds)[..] else { panic!("no panels") };
        let inside = |point: &Point| {
            let (middle, half) = point.printed.unwrap();
            (point.truth - middle).abs() <= half
        };
        assert!(phase.points.iter().filter(|point| point.t_s < 100.0).all(inside));
        let wrong = Point { t_s: 0.0, truth: 5.0, printed: Some((0.0, 4.0)) };
        let column = Column::new(0, &wrong);
        assert!(column.low > column.printed.unwrap().1);
    }

    #[test]
    fn a_world_without_any_lock_is_drawn_too() {
        let (svg, _) = picture("duration_s = 30.0\nsteady_from_s = 0.0\nleader = []\nntp = []");
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn ticks_do_not_touch_and_read_as_numbers() {
        for (linear, end) in [(1.0, 6.0), (0.01, 30.0), (1.0, 1.0), (100.0, 1e9)] {
            let scale = Scale { linear, end };
            let mut places: Vec<f64> = scale.ticks().into_iter().map(|tick| scale.y(tick, 0.0)).collect();
            places.sort_by(f64::total_cmp);
            assert!(places.windows(2).all(|two| two[1] - two[0] >= TICK_HEIGHT), "{linear} {end}");
        }
        assert_eq!([0.0, -0.05, 200.0].map(signed), ["0", "−0.05", "+200"]);
    }
}
