//! What a trace says of the clock.

use serde::Serialize;

use super::{Sample, Trace};
use crate::time::Rate;

/// After a command the clock may take this long to follow: Windows does so at its next tick, 15.6 ms.
const SETTLE_NS: i64 = 40_000_000;

/// A section needs so many looks, and so much time, to have a slope.
const LOOKS_MIN: usize = 8;
const SECTION_MIN_NS: i64 = 200_000_000;

/// No clock is further from its crystal than this: more is a jump, or a clock that runs away.
const SLOPE_MOST_PPM: f64 = 1_000.0;

/// A jump by less cannot be told from a look that was held up.
const JUMP_MIN_NS: f64 = 200_000.0;

/// Deviations of the gain up to this can be judged.
const GAIN_SIGMA_MOST: f64 = 0.05;

/// Below this the clock does not move, above it moves too little or too much to be one that obeys.
const GAIN_DEAD: f64 = 0.1;
const GAIN_RANGE: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// This close to what is documented, it is that.
const GAIN_AS_DOCUMENTED: f64 = 0.02;

/// Two sections with the same command may differ by this part of it, besides noise.
const UNSTEADY: f64 = 0.2;

/// The coarse clock is behind by up to a tick, 15.6 ms; by how much it is behind may change by two of them.
const COARSE_MOST_NS: i64 = 40_000_000;

/// The slope's noise is believed to be no less than that of readings to 50 ns.
const NOISE_MIN_NS: f64 = 50.0;

/// What a clock does that obeys.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it does of what it is told; 1 as documented, negative: the other way round.
    pub gain: f64,
    /// Standard deviation of the gain.
    pub gain_sigma: f64,
    /// Its rate against the raw timeline when it is told to run as it is.
    pub base_ppm: f64,
    /// Standard deviation of that.
    pub base_sigma_ppm: f64,
    /// Noise of a single look.
    pub noise_ns: f64,
    /// Every command and what it did.
    pub sections: Vec<SectionFinding>,
}

/// What one command did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SectionFinding {
    /// The rate that was commanded.
    pub commanded_ppm: f64,
    /// The rate that was seen.
    pub seen_ppm: f64,
}

/// Why a clock is not to be steered; every text says what was seen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The trace tells nothing.
    #[error(
        "the trace is too short: {looks} looks at the clock in section {section}, at least {LOOKS_MIN} and 0.2 s are needed"
    )]
    TooShort {
        /// The section.
        section: u32,
        /// Looks that count.
        looks: usize,
    },
    /// The commands were all the same.
    #[error("the trace commands nothing: {commanded_ppm:+.3} ppm throughout")]
    NoCommand {
        /// The command.
        commanded_ppm: f64,
    },
    /// Somebody set the clock meanwhile.
    #[error("the clock jumped by {by_us:+.0} µs during the trial: another program sets it")]
    Jumped {
        /// How far.
        by_us: f64,
    },
    /// The clock runs at an impossible rate, whatever it is told.
    #[error(
        "the clock runs away: {seen_ppm:+.0} ppm against the computer's counter, told {commanded_ppm:+.1} ppm"
    )]
    RunsAway {
        /// The rate seen.
        seen_ppm: f64,
        /// The rate commanded.
        commanded_ppm: f64,
    },
    /// The fine and the coarse clock of the system go apart.
    #[error(
        "the computer's precise clock and its coarse one differ by {by_ms:.0} ms: the precise one runs away"
    )]
    TwoClocks {
        /// The difference that should be less than two ticks.
        by_ms: f64,
    },
    /// Nothing can be said.
    #[error(
        "the clock's readings scatter by {noise_us:.1} µs: what a command does is known to ±{:.0} % only", 100.0 * gain_sigma
    )]
    Noisy {
        /// Noise of a look.
        noise_us: f64,
        /// Standard deviation of the gain.
        gain_sigma: f64,
    },
    /// The command has no effect.
    #[error(
        "the clock does not move: told to run {told_ppm:.1} ppm faster, it ran {seen_ppm:+.2} ppm faster"
    )]
    Dead {
        /// The difference commanded.
        told_ppm: f64,
        /// The difference seen.
        seen_ppm: f64,
    },
    /// The command had another effect each time.
    #[error(
        "the clock does not follow steadily: told {commanded_ppm:+.1} ppm, it ran {first_ppm:+.1} ppm and then {second_ppm:+.1} ppm"
    )]
    Unsteady {
        /// The command.
        commanded_ppm: f64,
        /// What it did first.
        first_ppm: f64,
        /// What it did the other time.
        second_ppm: f64,
    },
    /// The command works the other way round where that cannot be.
    #[error(
        "the clock moves the wrong way: told to run {told_ppm:.1} ppm faster, it ran {seen_ppm:+.1} ppm faster"
    )]
    Inverted {
        /// The difference commanded.
        told_ppm: f64,
        /// The difference seen.
        seen_ppm: f64,
    },
    /// The command does too little or too much.
    #[error(
        "the clock moves {gain:.2} times as far as it is told, and from {} to {} is believed: told to run {told_ppm:.1} ppm faster, it ran {seen_ppm:+.1} ppm faster",
        GAIN_RANGE.start(), GAIN_RANGE.end()
    )]
    WrongGain {
        /// Its gain.
        gain: f64,
        /// The difference commanded.
        told_ppm: f64,
        /// The difference seen.
        seen_ppm: f64,
    },
}

impl Finding {
    /// Gain and base rate to steer by: what cannot be told from the documented values is these.
    pub fn law(&self) -> (f64, Rate) {
        let gain = if (self.gain.abs() - 1.0).abs() <= GAIN_AS_DOCUMENTED.max(3.0 * self.gain_sigma) {
            self.gain.signum()
        } else {
            self.gain
        };
        let base = if self.base_ppm.abs() <= 3.0 * self.base_sigma_ppm { 0.0 } else { self.base_ppm };
        (gain, Rate::from_ppm(base))
    }
}

/// The slope of one section, and its noise.
#[derive(Debug, Clone, Copy)]
struct Slope {
    commanded_ppm: f64,
    seen_ppm: f64,
    sigma_ppm: f64,
    noise_ns: f64,
}

impl Trace {
    /// What the clock does of what it is told.
    ///
    /// # Errors
    /// Why it is not to be steered.
    pub fn judge(&self) -> Result<Finding, Fault> {
        self.jumped()?;
        let slopes = self.slopes()?;
        if let Some(away) = slopes.iter().find(|slope| slope.seen_ppm.abs() > SLOPE_MOST_PPM) {
            return Err(Fault::RunsAway { seen_ppm: away.seen_ppm, commanded_ppm: away.commanded_ppm });
        }
        self.two_clocks()?;
        let finding = finding(&slopes)?;
        let told_ppm = spread(&slopes);
        let seen_ppm = finding.gain * told_ppm;
        if finding.gain_sigma > GAIN_SIGMA_MOST {
            let (noise_us, gain_sigma) = (finding.noise_ns / 1e3, finding.gain_sigma);
            return Err(Fault::Noisy { noise_us, gain_sigma });
        }
        unsteady(&slopes, told_ppm)?;
        if finding.gain.abs() < GAIN_DEAD {
            return Err(Fault::Dead { told_ppm, seen_ppm });
        }
        if !GAIN_RANGE.contains(&finding.gain.abs()) {
            return Err(Fault::WrongGain { gain: finding.gain, told_ppm, seen_ppm });
        }
        if self.sign_known && finding.gain < 0.0 {
            return Err(Fault::Inverted { told_ppm, seen_ppm });
        }
        Ok(finding)
    }

    /// Between two looks the clock gains no more than any clock can.
    fn jumped(&self) -> Result<(), Fault> {
        let mut steady = self.samples.iter();
        let Some(mut last) = steady.next() else { return Ok(()) };
        for sample in steady {
            let elapsed = float(sample.raw_ns.saturating_sub(last.raw_ns));
            let gained = float(sample.system_ns.saturating_sub(last.system_ns)) - elapsed;
            let noise = float(sample.uncertainty_ns.saturating_add(last.uncertainty_ns));
            // A clock that runs away is found by its slope; what it gains in 20 ms is no jump.
            if gained.abs() > JUMP_MIN_NS + noise + 10.0 * SLOPE_MOST_PPM * 1e-6 * elapsed.abs() {
                return Err(Fault::Jumped { by_us: gained / 1e3 });
            }
            last = sample;
        }
        Ok(())
    }

    fn slopes(&self) -> Result<Vec<Slope>, Fault> {
        let mut sections = self.samples.chunk_by(|a, b| a.section == b.section).peekable();
        if sections.peek().is_none() {
            return Err(Fault::TooShort { section: 0, looks: 0 });
        }
        sections.map(slope).collect()
    }

    fn two_clocks(&self) -> Result<(), Fault> {
        let apart = self.samples.iter().filter_map(|sample| {
            sample.coarse_ns.map(|coarse| sample.system_ns.saturating_sub(coarse).saturating_abs())
        });
        let mut too_far: Vec<i64> = apart.filter(|apart| *apart > COARSE_MOST_NS).collect();
        too_far.sort_unstable_by(|a, b| b.cmp(a));
        // One look may have been held up between the two readings; clocks that go apart stay apart.
        match too_far.get(1) {
            Some(apart) => Err(Fault::TwoClocks { by_ms: float(*apart) / 1e6 }),
            None => Ok(()),
        }
    }
}

/// Half of the samples each have a partner half the section later: the median of these slopes is immune to looks that
/// were held up. Looks that say themselves that they were do not count.
fn slope(section: &[Sample]) -> Result<Slope, Fault> {
    let (number, commanded_ppm, start) = match section.first() {
        Some(first) => (first.section, first.commanded_ppm, first.raw_ns),
        None => (0, 0.0, 0),
    };
    let usual = median(section.iter().map(|sample| float(sample.uncertainty_ns)).collect());
    let counts = |sample: &&Sample| {
        sample.raw_ns.saturating_sub(start) >= SETTLE_NS
            && float(sample.uncertainty_ns) <= 3.0 * usual + 100.0
    };
    // From here on relative to the first look: i64 ns of a date do not fit into the mantissa of an f64.
    let base = section.first().map_or(0, |first| first.system_ns.saturating_sub(first.raw_ns));
    let points: Vec<(f64, f64)> = section
        .iter()
        .filter(counts)
        .map(|sample| {
            let ahead = sample.system_ns.saturating_sub(sample.raw_ns).saturating_sub(base);
            (float(sample.raw_ns.saturating_sub(start)), float(ahead))
        })
        .collect();
    let looks = points.len();
    let too_short = Fault::TooShort { section: number, looks };
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Err(too_short) };
    if looks < LOOKS_MIN || last.0 - first.0 < float(SECTION_MIN_NS) {
        return Err(too_short);
    }
    let length = last.0 - first.0;
    let half = looks / 2;
    let pairs = points.iter().zip(points.iter().skip(half));
    let slope = median(pairs.map(|(a, b)| (b.1 - a.1) / (b.0 - a.0).max(1.0)).collect());
    let middle = median(points.iter().map(|(at, ahead)| ahead - slope * at).collect());
    let off = points.iter().map(|(at, ahead)| (ahead - slope * at - middle).abs()).collect();
    let noise_ns = (1.4826 * median(off)).max(NOISE_MIN_NS);
    // A straight line's slope through n points is known to noise · √12 / (length · √n); the median, to 1.6 times that.
    let count = f64::from(u32::try_from(looks).unwrap_or(u32::MAX));
    let sigma = 1.6 * noise_ns * (12.0 / count).sqrt() / length;
    Ok(Slope { commanded_ppm, seen_ppm: slope * 1e6, sigma_ppm: sigma * 1e6, noise_ns })
}

/// The straight line through what was commanded and what was seen.
fn finding(slopes: &[Slope]) -> Result<Finding, Fault> {
    let count = f64::from(u32::try_from(slopes.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = |of: fn(&Slope) -> f64| slopes.iter().map(of).sum::<f64>() / count;
    let commanded = mean(|slope| slope.commanded_ppm);
    let seen = mean(|slope| slope.seen_ppm);
    let away = |slope: &Slope| slope.commanded_ppm - commanded;
    let square: f64 = slopes.iter().map(|slope| away(slope).powi(2)).sum();
    // A command of less than a ppb is none.
    if square.is_nan() || square <= 1e-6 {
        return Err(Fault::NoCommand { commanded_ppm: commanded });
    }
    let gain = slopes.iter().map(|slope| away(slope) * (slope.seen_ppm - seen)).sum::<f64>() / square;
    let variance = mean(|slope| slope.sigma_ppm.powi(2));
    let gain_variance = variance / square;
    Ok(Finding {
        gain,
        gain_sigma: gain_variance.sqrt(),
        base_ppm: seen - gain * commanded,
        base_sigma_ppm: (variance / count + gain_variance * commanded.powi(2)).sqrt(),
        noise_ns: mean(|slope| slope.noise_ns),
        sections: slopes
            .iter()
            .map(|slope| SectionFinding { commanded_ppm: slope.commanded_ppm, seen_ppm: slope.seen_ppm })
            .collect(),
    })
}

/// The same command must do the same whenever it is given.
fn unsteady(slopes: &[Slope], told_ppm: f64) -> Result<(), Fault> {
    for (index, first) in slopes.iter().enumerate() {
        for second in slopes.iter().skip(index).filter(|slope| slope.commanded_ppm == first.commanded_ppm) {
            let allowed = UNSTEADY * told_ppm.abs() + 4.0 * first.sigma_ppm.hypot(second.sigma_ppm);
            if (first.seen_ppm - second.seen_ppm).abs() > allowed {
                return Err(Fault::Unsteady {
                    commanded_ppm: first.commanded_ppm,
                    first_ppm: first.seen_ppm,
                    second_ppm: second.seen_ppm,
                });
            }
        }
    }
    Ok(())
}

/// From the slowest to the fastest command.
fn spread(slopes: &[Slope]) -> f64 {
    let commands = || slopes.iter().map(|slope| slope.commanded_ppm);
    commands().fold(f64::MIN, f64::max) - commands().fold(f64::MAX, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[allow(clippy::as_conversions, reason = "differences of less than 2^53 ns, or nonsense that is refused")]
fn float(ns: i64) -> f64 {
    ns as f64
}
