//! What carries UTC on between the answers of the servers.

use crate::time::{Leader, Line, Rate, Raw, Span, TimescaleId, Timestamp};

/// Random walk of the leader's rate against UTC, in ns/s per √s: a crystal in a rack at constant temperature.
const LEADER_WANDER: f64 = 0.5;
/// The same for this computer's own oscillator, without a leader.
pub(super) const RAW_WANDER: f64 = 5.0;

/// Leader time carried on across changes of the leader; raw time before the first one.
#[derive(Debug)]
pub(super) struct Flywheel {
    timescale: Option<TimescaleId>,
    line: Line<Leader, Raw>,
    /// What is added to the leader's time so that nothing jumps where the timescale changes.
    shift: Span,
    /// The leader is not heard: it is this computer's oscillator that turns the flywheel.
    coasting: bool,
}

impl Default for Flywheel {
    fn default() -> Self {
        let line = Line::exact(Timestamp::EPOCH, Timestamp::EPOCH, Rate::ZERO);
        Self { timescale: None, line, shift: Span::ZERO, coasting: true }
    }
}

impl Flywheel {
    /// Its time.
    pub(super) fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Leader> {
        self.line.at(raw) + self.shift
    }

    /// Keeps it on the leader, or lets it coast on the last line. Returns whether another leader turns it now, or
    /// the same one again after a silence.
    pub(super) fn follow(
        &mut self,
        now: Timestamp<Raw>,
        leader: Option<(TimescaleId, Line<Leader, Raw>)>,
    ) -> bool {
        let Some((timescale, line)) = leader else {
            self.coasting = true;
            return false;
        };
        let changed = self.coasting || self.timescale != Some(timescale);
        if changed {
            self.shift = self.at(now) - line.at(now);
            self.timescale = Some(timescale);
            self.coasting = false;
        }
        self.line = line;
        changed
    }

    /// Random walk of its rate, in ns/s per √s.
    pub(super) fn wander(&self) -> f64 {
        if self.coasting { RAW_WANDER } else { LEADER_WANDER }
    }

    /// Whether no leader turns it now.
    pub(super) fn is_coasting(&self) -> bool {
        self.coasting
    }

    /// Whether a leader has ever turned it.
    pub(super) fn is_leaders(&self) -> bool {
        self.timescale.is_some()
    }
}
