//! What the demo shows: a line per second (in place on a terminal), and a line per event.

use std::collections::VecDeque;

use crate::snapshot::{Snapshot, State};
use crate::terminal::{self, CLEAR_LINE};
use crate::time::Span;

/// Points of the sparkline.
const POINTS: usize = 40;

/// Without a terminal, a line this often (s).
const PLAIN_EVERY: u32 = 5;

/// The demo's output.
pub struct Screen {
    terminal: bool,
    shown: u32,
    offsets: VecDeque<f64>,
    squares: f64,
    count: f64,
}

impl Screen {
    /// On standard output.
    pub fn new() -> Self {
        say_line!(
            "{:>6}  {:<9} {:<22} {:>20} {:>21}  offset, last {POINTS} s",
            "t",
            "state",
            "leader",
            "offset ± bound",
            "rate ± bound"
        );
        Self {
            terminal: terminal::draws_on(&std::io::stdout()),
            shown: 0,
            offsets: VecDeque::with_capacity(POINTS),
            squares: 0.0,
            count: 0.0,
        }
    }

    /// An event, on a line of its own.
    pub fn note(&mut self, elapsed: Span, text: &str) {
        self.clear();
        say_line!("{:>5.1}s  {text}", elapsed.as_secs_f64());
    }

    /// The state of things.
    pub fn show(&mut self, elapsed: Span, snapshot: &Snapshot) {
        if let Some(offset) = snapshot.offset {
            if self.offsets.len() >= POINTS {
                self.offsets.pop_front();
            }
            self.offsets.push_back(offset.value_ns);
            if snapshot.state == State::Locked {
                self.squares += offset.value_ns * offset.value_ns;
                self.count += 1.0;
            }
        }
        self.shown = self.shown.saturating_add(1);
        if self.terminal {
            self.clear();
            say!("{}", self.line(elapsed, snapshot));
        } else if self.shown % PLAIN_EVERY == 1 {
            say_line!("{}", self.line(elapsed, snapshot));
        }
    }

    /// Ends the line that is written in place.
    pub fn end(&mut self) {
        if self.terminal {
            say_line!();
        }
    }

    /// Root mean square of the offsets shown while locked.
    pub fn offset_rms_ns(&self) -> Option<f64> {
        (self.count > 0.0).then(|| (self.squares / self.count).sqrt())
    }

    fn clear(&self) {
        if self.terminal {
            say!("{CLEAR_LINE}");
        }
    }

    fn line(&self, elapsed: Span, snapshot: &Snapshot) -> String {
        let leader = snapshot.leader.as_ref().map_or_else(|| "-".to_owned(), |leader| leader.id.to_string());
        let offset = snapshot.offset.map_or_else(
            || "-".to_owned(),
            |offset| format!("{:+.2} ± {:.2} µs", offset.value_ns / 1e3, offset.bound_ns / 1e3),
        );
        let rate = snapshot.leader_rate.map_or_else(
            || "-".to_owned(),
            |rate| format!("{:+.2} ± {:.2} ppm", rate.value_ppb / 1e3, (rate.bound_ppb / 1e3).min(999.0)),
        );
        let spark = sparkline(self.offsets.iter().copied());
        let state = snapshot.state;
        format!("{:>5.1}s  {state:<9} {leader:<22} {offset:>20} {rate:>21}  {spark}", elapsed.as_secs_f64())
    }
}

/// A bar per value, from the smallest to the largest.
fn sparkline(values: impl Iterator<Item = f64> + Clone) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.clone().fold(f64::NEG_INFINITY, f64::max);
    let step = (high - low).max(1.0) / 8.0;
    values
        .map(|value| {
            let above =
                BARS.iter().zip(1..8_u8).filter(|(_, bar)| value >= low + f64::from(*bar) * step).count();
            BARS.get(above).copied().unwrap_or('█')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_spans_its_values() {
        assert_eq!(sparkline([0.0, 7.0, 14.0, 28.0, 56.0].into_iter()), "▁▂▃▅█");
        assert_eq!(sparkline([3.0, 3.0].into_iter()), "▁▁");
        assert_eq!(sparkline(std::iter::empty()), "");
    }
}
