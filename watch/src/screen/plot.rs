//! Three plots side by side: offset, rate, jitter.

use dantetimesync::time::{Raw, Span, Timestamp};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Block, Borders, Chart, Dataset, GraphType};

use super::Palette;
use crate::course::{Course, Point};

/// A value, and where it has one, its bound.
type Read = fn(&Point) -> Option<(f64, f64)>;

/// What a plot shows; `least` is the least range that is drawn: noise below it is none to worry about.
struct Plot {
    name: &'static str,
    unit: &'static str,
    least: f64,
    read: Read,
}

const PLOTS: [Plot; 3] = [
    Plot { name: "offset", unit: "µs", least: 1.0, read: |point| point.offset },
    Plot { name: "rate", unit: "ppm", least: 0.1, read: |point| point.rate },
    Plot { name: "jitter", unit: "µs", least: 1.0, read: |point| point.jitter.map(|jitter| (jitter, 0.0)) },
];

/// Of the bounds and values, this share decides the range: a few seconds of searching at the start must not make
/// an hour of lock a flat line.
const DECIDING: f64 = 0.9;

/// Draws all three.
pub fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    palette: &Palette,
    course: &Course,
    now: Timestamp<Raw>,
    window: Span,
) {
    let areas: [Rect; 3] = Layout::horizontal([Constraint::Fill(1); 3]).spacing(1).areas(area);
    for (plot, area) in PLOTS.iter().zip(areas) {
        draw_one(frame, area, palette, plot, course, now, window);
    }
}

fn draw_one(
    frame: &mut Frame<'_>,
    area: Rect,
    palette: &Palette,
    plot: &Plot,
    course: &Course,
    now: Timestamp<Raw>,
    window: Span,
) {
    let points: Vec<(f64, f64, f64)> = course
        .since(now, window)
        .filter_map(|point| {
            (plot.read)(point).map(|(value, bound)| (-(now - point.at).as_secs_f64(), value, bound))
        })
        .collect();
    let bounded = points.iter().any(|(.., bound)| *bound > 0.0);
    let line = |of: fn(&(f64, f64, f64)) -> (f64, f64)| points.iter().map(of).collect::<Vec<_>>();
    let (values, above, below) =
        (line(|(x, y, _)| (*x, *y)), line(|(x, y, b)| (*x, y + b)), line(|(x, y, b)| (*x, y - b)));
    let range = range(&points, plot.least);
    let dots = |data, style| {
        Dataset::default().marker(Marker::Braille).graph_type(GraphType::Scatter).style(style).data(data)
    };
    let mut sets = Vec::new();
    if bounded {
        sets.extend([dots(&above, palette.faint()), dots(&below, palette.faint())]);
    }
    sets.push(dots(&values, palette.value()));
    let last = points.last().map_or_else(String::new, |(_, value, bound)| match bounded {
        true => format!(" {value:+.2} ± {:.2} {}", bound.min(999.0), plot.unit),
        false => format!(" {value:.2} {}", plot.unit),
    });
    let [low, high] = range;
    let label = |value: f64| format!("{value:+.*}", if high - low < 2.0 { 2 } else { 1 });
    let chart = Chart::new(sets)
        .block(
            Block::new()
                .borders(Borders::TOP)
                .border_style(palette.faint())
                .title(format!("{}{last}", plot.name)),
        )
        .legend_position(None)
        .x_axis(Axis::default().bounds([-window.as_secs_f64(), 0.0]).style(palette.faint()))
        .y_axis(Axis::default().bounds(range).labels([label(low), label(high)]).style(palette.faint()));
    frame.render_widget(chart, area);
}

/// The range that most values lie in with their bounds, a little wider.
fn range(points: &[(f64, f64, f64)], least: f64) -> [f64; 2] {
    let ends = |of: fn(&(f64, f64, f64)) -> f64| {
        let mut ends: Vec<f64> = points.iter().map(of).filter(|end| end.is_finite()).collect();
        ends.sort_by(f64::total_cmp);
        ends
    };
    let (lows, highs) = (ends(|(_, value, bound)| value - bound), ends(|(_, value, bound)| value + bound));
    let (Some(low), Some(high)) = (share(&lows, 1.0 - DECIDING), share(&highs, DECIDING)) else {
        return [-least, least];
    };
    let margin = ((high - low) * 0.1).max((least - (high - low)) / 2.0);
    [low - margin, high + margin]
}

fn share(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    // The index as a duration in ns: rounding without a cast.
    let index =
        std::time::Duration::try_from_secs_f64(part * 1e-9 * f64::from(u32::try_from(last).ok()?)).ok()?;
    sorted.get(usize::try_from(index.as_nanos()).ok()?.min(last)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_the_bounds_but_not_the_search_at_the_start() {
        let mut points = vec![(-100.0, 50.0, 900.0); 5];
        points.extend((0..95).map(|second| (-f64::from(second), 1.0, 3.0)));
        let [low, high] = range(&points, 1.0);
        assert!(low < -2.0 && low > -4.0 && high > 4.0 && high < 6.0, "{low} {high}");
        assert_eq!(range(&[], 1.0), [-1.0, 1.0]);
        assert_eq!(range(&[(0.0, 5.0, 0.0)], 1.0), [4.5, 5.5]);
        assert!(range(&[(0.0, f64::NAN, f64::INFINITY)], 1.0)[1].is_finite());
    }

    #[test]
    fn shares_are_picked_by_rank() {
        let sorted: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(
            (share(&sorted, 0.9), share(&sorted, 0.0), share(&[], 0.5)),
            (Some(90.0), Some(0.0), None)
        );
    }
}
