//! Knows the truth: reads the system and the raw clock, and computes the leader's.

use std::fmt;
use std::thread;
use std::time::Duration;

use dantetimesync::leader::TimeBase;
use dantetimesync::time::Offset;

use crate::clock;

/// Readings a second.
const HERTZ: usize = 20;

/// What was seen of the system clock against the leader's.
#[derive(Debug, Clone)]
pub struct Observation {
    /// System clock minus leader, in ns, relative to the first reading.
    errors_ns: Vec<f64>,
    /// That minus what a follower without knowledge of the epoch cannot have: the first reading itself.
    first_ns: i64,
}

impl Observation {
    /// Watches for `seconds`.
    pub fn of(leader: &TimeBase, seconds: usize) -> Self {
        let mut first_ns = None;
        let mut errors_ns = Vec::with_capacity(seconds * HERTZ);
        for _ in 0..seconds * HERTZ {
            let reading = clock::read().unwrap();
            let error_ns = Offset::between(reading.system, leader.at(reading.raw)).span().as_ns();
            let first_ns = *first_ns.get_or_insert(error_ns);
            errors_ns.push((error_ns - first_ns) as f64);
            thread::sleep(Duration::from_millis(1_000 / HERTZ as u64));
        }
        Self { errors_ns, first_ns: first_ns.unwrap_or_default() }
    }

    /// System clock minus leader, averaged over the run, in ns: date minus uptime, plus the path delay.
    pub fn constant_ns(&self) -> i64 {
        self.first_ns.saturating_add(self.mean_ns().round() as i64)
    }

    /// Of the phase error around its mean.
    pub fn rms_ns(&self) -> f64 {
        let mean = self.mean_ns();
        rms(self.errors_ns.iter().map(|error| error - mean))
    }

    /// Of the phase error around its mean.
    pub fn max_ns(&self) -> f64 {
        let mean = self.mean_ns();
        self.errors_ns.iter().map(|error| (error - mean).abs()).fold(0.0, f64::max)
    }

    /// Of the rate error, averaged over 1 s. The pace of the readings is good enough to be the time between
    /// them: 1 % of it is 1 % of the rate error.
    pub fn rate_rms_ppm(&self) -> f64 {
        rms(self.errors_ns.windows(HERTZ + 1).map(|second| (second[HERTZ] - second[0]) / 1e3))
    }

    /// When the rate error, averaged over 1 s, was last beyond `limit_ppm`, in s from the first reading; 0 if
    /// never.
    pub fn rate_settled_s(&self, limit_ppm: f64) -> f64 {
        let beyond = |second: &[f64]| ((second[HERTZ] - second[0]) / 1e3).abs() > limit_ppm;
        let last = self.errors_ns.windows(HERTZ + 1).rposition(beyond);
        last.map_or(0.0, |at| (at + HERTZ) as f64 / HERTZ as f64)
    }

    /// How far the phase went from where it was at first.
    pub fn excursion_ns(&self) -> f64 {
        self.errors_ns.iter().fold(0.0, |most, error| f64::max(most, error.abs()))
    }

    fn mean_ns(&self) -> f64 {
        self.errors_ns.iter().sum::<f64>() / self.errors_ns.len() as f64
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "phase {:.0} ns rms, {:.0} ns max; rate {:.4} ppm rms; constant {} ns",
            self.rms_ns(),
            self.max_ns(),
            self.rate_rms_ppm(),
            self.constant_ns()
        )
    }
}

fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value * value));
    (sum / f64::max(count, 1.0)).sqrt()
}

#[test]
fn figures_of_a_known_series_are_right() {
    // ±100 ns around 500 ns, and a drift of 2 ns per reading in the second half only for the rate.
    let square = (0..200).map(|i| if i % 2 == 0 { 400.0 } else { 600.0 }).collect();
    let observation = Observation { errors_ns: square, first_ns: 1_000 };
    assert_eq!(observation.constant_ns(), 1_500);
    assert_eq!((observation.rms_ns(), observation.max_ns()), (100.0, 100.0));
    assert_eq!(observation.rate_rms_ppm(), 0.0, "20 readings apart the square repeats");
    let ramp = Observation { errors_ns: (0..200).map(|i| f64::from(i) * 50.0).collect(), first_ns: 0 };
    assert!((ramp.rate_rms_ppm() - 1.0).abs() < 1e-9, "1000 ns in 20 readings, 1 s");
    assert_eq!((ramp.rate_settled_s(1.5), ramp.excursion_ns()), (0.0, 9_950.0));
    // 100 ns a reading until reading 100, then nothing.
    let turn = (0..200).map(|i| f64::from(i.min(100)) * 100.0).collect();
    let turn = Observation { errors_ns: turn, first_ns: 0 };
    // A second that begins at reading 89 holds 11 readings of 100 ns each: the last above 1 ppm.
    assert_eq!(turn.rate_settled_s(1.0), f64::from(89 + 20) / 20.0);
}
