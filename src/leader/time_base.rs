//! The clock of a virtual leader: a pure function of the raw timeline.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use crate::time::{Leader, Rate, Raw, Span, Timestamp};

/// Leader time as a function of raw time. Serialises to one line of JSON, so that an observer in another
/// process can compute the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeBase {
    /// The raw clock at the anchor.
    raw_ns: i64,
    /// The leader's clock at the anchor.
    leader_ns: i64,
    /// Rate of the leader against the raw clock, without its wander; positive: the leader gains.
    ppm: f64,
    wander: Vec<Wander>,
    /// The raw clock when all swings began.
    wander_raw_ns: i64,
}

/// A sinusoidal swing of the leader's rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wander {
    /// Amplitude of the rate, in ppm.
    pub amplitude_ppm: f64,
    /// Period in s, above zero.
    pub period_s: f64,
    /// Phase at the start, in radians.
    pub phase_rad: f64,
}

impl TimeBase {
    /// A clock that reads `leader` when the raw clock reads `raw`, and runs at `rate` plus all of `wander`.
    pub fn new(raw: Timestamp<Raw>, leader: Timestamp<Leader>, rate: Rate, wander: Vec<Wander>) -> Self {
        let raw_ns = raw.as_ns();
        Self { raw_ns, leader_ns: leader.as_ns(), ppm: rate.ppm(), wander, wander_raw_ns: raw_ns }
    }

    /// The leader's clock when the raw clock reads `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Leader> {
        let anchor = Timestamp::<Raw>::from_ns(self.raw_ns);
        let elapsed = raw - anchor;
        let swung = self.swing_ns(raw) - self.swing_ns(anchor);
        let gained = Rate::from_ppm(self.ppm).gain_over(elapsed) + Span::from_ns_f64(swung);
        Timestamp::from_ns(self.leader_ns) + elapsed + gained
    }

    /// The leader's rate against the raw clock when that reads `raw`.
    pub fn rate_at(&self, raw: Timestamp<Raw>) -> Rate {
        let time_s = self.wander_time_s(raw);
        let swing = |wander: &Wander| {
            wander.amplitude_ppm * (TAU / wander.period_s * time_s + wander.phase_rad).sin()
        };
        Rate::from_ppm(self.ppm + self.wander.iter().map(swing).sum::<f64>())
    }

    /// The same clock with another rate from `raw` on, without a jump of its phase.
    pub fn with_rate(&self, raw: Timestamp<Raw>, rate: Rate) -> Self {
        Self { raw_ns: raw.as_ns(), leader_ns: self.at(raw).as_ns(), ppm: rate.ppm(), ..self.clone() }
    }

    /// The integral of all swings since they began; 1 ppm over 1 s is 1000 ns.
    fn swing_ns(&self, raw: Timestamp<Raw>) -> f64 {
        let time_s = self.wander_time_s(raw);
        let swing = |wander: &Wander| {
            let omega = TAU / wander.period_s;
            let turned = wander.phase_rad.cos() - (omega * time_s + wander.phase_rad).cos();
            wander.amplitude_ppm * 1e3 / omega * turned
        };
        self.wander.iter().map(swing).sum()
    }

    fn wander_time_s(&self, raw: Timestamp<Raw>) -> f64 {
        (raw - Timestamp::from_ns(self.wander_raw_ns)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);

    fn wandering() -> TimeBase {
        let wander = vec![
            Wander { amplitude_ppm: 0.1, period_s: 240.0, phase_rad: 0.0 },
            Wander { amplitude_ppm: 0.05, period_s: 60.0, phase_rad: 1.0 },
        ];
        TimeBase::new(START, Timestamp::from_ns(700_000_000_000), Rate::from_ppm(12.0), wander)
    }

    #[test]
    fn a_steady_leader_gains_its_rate() {
        let base = TimeBase::new(START, Timestamp::from_ns(7), Rate::from_ppm(40.0), Vec::new());
        assert_eq!(base.at(START + Span::from_secs(100)).as_ns(), 7 + 100_000_000_000 + 4_000_000);
        assert_eq!(base.at(START - Span::from_secs(1)).as_ns(), 7 - 1_000_000_000 - 40_000);
    }

    #[test]
    fn a_swing_gains_the_integral_of_its_rate() {
        // Half a period of 0.1 ppm over 240 s from zero: 0.1 ppm × 120 s × 2/π.
        let wander = vec![Wander { amplitude_ppm: 0.1, period_s: 240.0, phase_rad: 0.0 }];
        let base = TimeBase::new(START, Timestamp::EPOCH, Rate::ZERO, wander);
        let half = START + Span::from_secs(120);
        assert_eq!((base.at(half).as_ns() - 120_000_000_000), 7_639);
        assert!((base.rate_at(START + Span::from_secs(60)).ppm() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn the_rate_is_the_slope_of_the_clock() {
        let base = wandering();
        for second in [0, 17, 59, 100, 239] {
            let middle = START + Span::from_secs(second);
            let half = Span::from_ms(500);
            let gained = base.at(middle + half) - base.at(middle - half) - Span::from_secs(1);
            let expected_ns = base.rate_at(middle).ppm() * 1e3;
            assert!((gained.as_ns_f64() - expected_ns).abs() < 2.0, "{gained} at {second} s");
        }
    }

    #[test]
    fn a_change_of_rate_does_not_jump() {
        let base = wandering();
        let when = START + Span::from_secs(77);
        let changed = base.with_rate(when, Rate::from_ppm(-30.0));
        assert_eq!(changed.at(when), base.at(when));
        let gap = (changed.rate_at(when) - base.rate_at(when)).ppm();
        assert!((gap + 42.0).abs() < 1e-9, "{gap}");
        let later = when + Span::from_secs(10);
        assert!(((changed.at(later) - base.at(later)).as_ns() + 420_000).abs() <= 2);
    }

    #[test]
    fn an_observer_reads_back_the_same_clock() {
        let base = wandering();
        let line = serde_json::to_string(&base).unwrap();
        assert!(!line.contains('\n'));
        let read: TimeBase = serde_json::from_str(&line).unwrap();
        assert_eq!(read, base);
    }
}
