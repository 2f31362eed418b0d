//! Three ways to find the leader's line in the same samples: a least-squares line through the last minute, a
//! Kalman filter on the earliest samples, and the program's own estimator. Prints how far each is off in some of
//! the worlds of `scenarios/`; `docs/timekeeping.md` has the table and says what follows from it.
//!
//! Only estimators are compared: no clock is steered, no packet is parsed, and stamps are exact but for the delay.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use clap::Parser;
use dantetimesync::config::DEFAULT_SUBDOMAIN;
use dantetimesync::estimator::leader::{BOUND_SIGMAS, LeaderEstimator};
use dantetimesync::net::{Stamp, StampSource};
use dantetimesync::ptp::SyncSample;
use dantetimesync::time::{Leader, LeaderId, Offset, Raw, Span, Timestamp};

/// Compare three designs of an estimator on the same samples.
#[derive(Debug, Parser)]
struct Arguments {
    /// Worlds of each kind, an hour each
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// Length of the least-squares line, in s
    #[arg(long, default_value_t = 60.0)]
    window_s: f64,
}

fn main() {
    let arguments = Arguments::parse();
    let designs: [(&str, Begin); 3] = [
        ("a: least squares", &|| Box::new(LeastSquares::new(arguments.window_s))),
        ("b: earliest, Kalman", &|| Box::new(EarliestKalman::default())),
        ("c: the program's", &|| Box::new(LeaderEstimator::new())),
    ];
    let rows = designs.map(|(name, begin)| {
        let hours = |world: &World| {
            let mut figures = Figures::default();
            (1..=arguments.seeds).for_each(|seed| figures.play(world, seed, begin().as_mut()));
            figures
        };
        (name, WORLDS.each_ref().map(hours))
    });
    let all = |_: &World| true;
    print("rate, ppm rms", &rows, all, Figures::rate_rms_ppm);
    print("phase, µs rms", &rows, all, Figures::phase_rms_us);
    print("rate within 3.29 σ, %", &rows, all, Figures::within_percent);
    let turns = |world: &World| world.leader_turns != 0.0;
    print("s until the rate is right to 1 ppm", &rows, turns, |figures| figures.settle_s);
    let grows = |world: &World| world.path_grows != 0.0;
    print("largest error of the rate, ppm", &rows, grows, |figures| figures.kick_ppm);
    print("the same in its own σ", &rows, grows, |figures| figures.kick_sigmas);
}

/// Begins a design anew.
type Begin<'a> = &'a dyn Fn() -> Box<dyn Design>;

/// A table with a row for each design and a column for each of the worlds that are `shown`, for people and for
/// Markdown.
fn print(
    title: &str,
    rows: &[(&str, [Figures; WORLDS.len()])],
    shown: impl Fn(&World) -> bool,
    figure: impl Fn(&Figures) -> f64,
) {
    let columns = || WORLDS.iter().filter(|world| shown(world));
    let heads: String = columns().map(|world| format!(" {:>7} |", world.name)).collect();
    println!("| {title:<34} |{heads}");
    println!("|{}|{}", "-".repeat(36), "--------:|".repeat(columns().count()));
    for (name, worlds) in rows {
        let cells = WORLDS.iter().zip(worlds).filter(|(world, _)| shown(world));
        let cells: String = cells.map(|(_, figures)| format!(" {:>7} |", short(figure(figures)))).collect();
        println!("| {name:<34} |{cells}");
    }
    println!();
}

/// Three digits or so.
fn short(value: f64) -> String {
    match value {
        v if v.abs() < 1.0 => format!("{v:.3}"),
        v if v.abs() < 10.0 => format!("{v:.2}"),
        v => format!("{v:.1}"),
    }
}

/// What a design says at one moment: raw minus leader in ns, its rate in ns/s, and the rate's standard deviation.
struct Estimate {
    phase: f64,
    rate: f64,
    rate_sigma: f64,
}

/// An estimator under comparison.
trait Design {
    /// Takes the next sample.
    fn take(&mut self, sample: &SyncSample);
    /// What it says of `now`; `None` as long as it knows nothing.
    fn estimate(&self, now: Timestamp<Raw>) -> Option<Estimate>;
}

/// Raw time in s, and raw minus leader in ns.
fn point(sample: &SyncSample) -> (f64, f64) {
    let at = sample.received.at;
    (seconds(at), Offset::between(at, sample.sent).span().as_ns_f64())
}

fn seconds(at: Timestamp<Raw>) -> f64 {
    (at - Timestamp::EPOCH).as_secs_f64()
}

/// Design a: the least-squares line through a sliding window, without the samples that lie further from the
/// median of the residuals than three times their median deviation.
struct LeastSquares {
    window_s: f64,
    points: VecDeque<(f64, f64)>,
}

impl LeastSquares {
    fn new(window_s: f64) -> Self {
        Self { window_s, points: VecDeque::new() }
    }
}

impl Design for LeastSquares {
    fn take(&mut self, sample: &SyncSample) {
        let (time, phase) = point(sample);
        self.points.push_back((time, phase));
        self.points.retain(|(t, _)| time - t < self.window_s);
    }

    fn estimate(&self, now: Timestamp<Raw>) -> Option<Estimate> {
        let all = Fit::through(self.points.iter().copied())?;
        let residuals = self.points.iter().map(|point| all.residual(*point));
        let middle = median(residuals.clone().collect())?;
        let deviation = median(residuals.map(|residual| (residual - middle).abs()).collect())?;
        let near = |point: &(f64, f64)| (all.residual(*point) - middle).abs() <= 3.0 * deviation;
        let kept = self.points.iter().copied().filter(near);
        let line = Fit::through(kept.clone())?;
        let squares: f64 = kept.map(|point| line.residual(point).powi(2)).sum();
        Some(Estimate {
            phase: line.phase + line.rate * (seconds(now) - line.time),
            rate: line.rate,
            rate_sigma: (squares / (line.count - 2.0).max(1.0) / line.spread).sqrt(),
        })
    }
}

/// A least-squares line through its centre.
struct Fit {
    count: f64,
    time: f64,
    phase: f64,
    rate: f64,
    /// Sum of the squared distances from the centre, s².
    spread: f64,
}

impl Fit {
    fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
        let (count, time, phase) =
            points.clone().fold((0.0, 0.0, 0.0), |(n, time, phase), (t, y)| (n + 1.0, time + t, phase + y));
        let (time, phase) = (time / count, phase / count);
        let (spread, product) = points.fold((0.0, 0.0), |(spread, product), (t, y)| {
            (spread + (t - time).powi(2), product + (t - time) * (y - phase))
        });
        (spread > 0.0).then_some(Self { count, time, phase, rate: product / spread, spread })
    }

    fn residual(&self, (time, phase): (f64, f64)) -> f64 {
        phase - self.phase - self.rate * (time - self.time)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    values.sort_unstable_by(f64::total_cmp);
    values.get(middle).copied()
}

/// Design b: of each block of samples only the earliest against the prediction counts, and goes into a Kalman
/// filter with phase and rate.
#[derive(Default)]
struct EarliestKalman {
    /// Time of the state in s; none before the first block.
    time: Option<f64>,
    phase: f64,
    rate: f64,
    /// Covariance: phase, phase with rate, rate.
    known: (f64, f64, f64),
    /// Time and phase of the samples of this block.
    block: Vec<(f64, f64)>,
}

/// Two seconds at 4 Hz. Four seconds are 5 % better in S1 and worse wherever the noise has no edge.
const BLOCK: usize = 8;
/// Variance of the earliest of eight delays in S1, which is exponential with an eighth of 20 µs (ns²).
const BLOCK_VARIANCE: f64 = 2_500.0 * 2_500.0;
/// Variance by which the rate walks in S1, ns²/s² per s.
const WALK: f64 = 3.0 * 3.0;
/// Variance of the rate before anything is known, as the program assumes it: ±150 ppm.
const RATE_PRIOR: f64 = 150e3 * 150e3;

impl EarliestKalman {
    /// Phase and covariance after `elapsed` seconds.
    fn predicted(&self, elapsed: f64) -> (f64, (f64, f64, f64)) {
        let (phase, both, rate) = self.known;
        let walked = WALK * elapsed;
        let known = (
            phase + (2.0 * both + rate * elapsed + walked * elapsed / 3.0) * elapsed,
            both + (rate + walked / 2.0) * elapsed,
            rate + walked,
        );
        (self.phase + self.rate * elapsed, known)
    }

    fn update(&mut self, time: f64, phase: f64) {
        let elapsed = time - self.time.unwrap_or(time);
        let (predicted, (pp, pr, rr)) = self.predicted(elapsed);
        let (miss, total) = (phase - predicted, pp + BLOCK_VARIANCE);
        self.phase = predicted + pp / total * miss;
        self.rate += pr / total * miss;
        self.known = (pp - pp * pp / total, pr - pp * pr / total, rr - pr * pr / total);
        self.time = Some(time);
    }
}

impl Design for EarliestKalman {
    fn take(&mut self, sample: &SyncSample) {
        let (time, phase) = point(sample);
        let Some(last) = self.time else {
            (self.time, self.phase, self.known) = (Some(time), phase, (1e12, 0.0, RATE_PRIOR));
            return;
        };
        self.block.push((time, phase));
        if self.block.len() == BLOCK {
            let late = |(time, phase): &(f64, f64)| phase - self.predicted(time - last).0;
            let earliest = self.block.iter().copied().min_by(|a, b| late(a).total_cmp(&late(b)));
            if let Some((time, phase)) = earliest {
                self.update(time, phase);
            }
            self.block.clear();
        }
    }

    fn estimate(&self, now: Timestamp<Raw>) -> Option<Estimate> {
        let (phase, (_, _, variance)) = self.predicted(seconds(now) - self.time?);
        Some(Estimate { phase, rate: self.rate, rate_sigma: variance.sqrt() })
    }
}

/// Design c: what the program uses.
impl Design for LeaderEstimator {
    fn take(&mut self, sample: &SyncSample) {
        self.observe(sample);
    }

    fn estimate(&self, now: Timestamp<Raw>) -> Option<Estimate> {
        let line = self.line(now)?;
        Some(Estimate {
            phase: Offset::between(now, line.a).span().as_ns_f64(),
            rate: -line.rate.ppb(),
            rate_sigma: line.rate_sigma.ppb(),
        })
    }
}

/// An oscillator, a leader and a path, as the scenario of the same name has them.
struct World {
    name: &'static str,
    /// Draws the wait in queues, ns.
    delay: fn(&mut Random) -> f64,
    /// Share of the samples that are late by another 500 µs.
    spikes: f64,
    /// Amplitude of a rate that follows the temperature in 20 minutes, ns/s.
    wave: f64,
    /// By how much the leader turns faster at [`CHANGE`], ns/s.
    leader_turns: f64,
    /// By how much the path grows at [`CHANGE`], ns.
    path_grows: f64,
}

const S1: World = World {
    name: "S1",
    delay: |random| random.exponential(20e3),
    spikes: 0.005,
    wave: 0.0,
    leader_turns: 0.0,
    path_grows: 0.0,
};

const WORLDS: [World; 8] = [
    S1,
    World { name: "S1-2us", delay: |random| random.exponential(2e3), spikes: 0.0, ..S1 },
    World { name: "S1-50us", delay: |random| random.exponential(50e3), ..S1 },
    // As noisy as S1, but with no edge.
    World { name: "gauss", delay: |random| 20e3 * random.gauss(), ..S1 },
    World { name: "S3", delay: |random| 400e3 * random.gauss().abs(), ..S1 },
    World { name: "S4", wave: 1e3, ..S1 },
    World { name: "S7m", leader_turns: -25e3, ..S1 },
    World { name: "S12", path_grows: 36e3, ..S1 },
];

/// Length of a world in Syncs: an hour at 4 Hz.
const SYNCS: u16 = 14_400;
/// Time between Syncs, s.
const INTERVAL: f64 = 0.25;
/// Rate of the raw clock against the leader at the start, and its walk: ns/s, and ns/s per √s.
const RATE: f64 = 23e3;
const RATE_WALK: f64 = 3.0;
/// When leader or path change (s).
const CHANGE: f64 = 1_800.0;

/// What is heard at one moment, and the truth about it.
struct Moment {
    /// Seconds since the start.
    time: f64,
    sample: SyncSample,
    /// Raw minus leader (ns), and its rate (ns/s).
    phase: f64,
    rate: f64,
}

impl World {
    fn changes(&self) -> bool {
        self.leader_turns != 0.0 || self.path_grows != 0.0
    }

    /// An hour of this world.
    fn moments(&self, seed: u64) -> impl Iterator<Item = Moment> {
        let mut random = Random(seed);
        let (mut walked, mut phase) = (0.0, 0.0);
        (1..=SYNCS).map(move |sequence| {
            let time = f64::from(sequence) * INTERVAL;
            let changed = f64::from(u8::from(time > CHANGE));
            walked += RATE_WALK * INTERVAL.sqrt() * random.gauss();
            let wave = self.wave * (TAU * time / 1_200.0).sin();
            let rate = RATE + walked + wave - self.leader_turns * changed;
            phase += rate * INTERVAL;
            let spike = if random.uniform() < self.spikes { 500e3 } else { 0.0 };
            let delay = (self.delay)(&mut random) + spike + self.path_grows * changed;
            let received = raw(time) + Span::from_ns_f64(delay);
            let sent = Timestamp::EPOCH + Span::from_ns_f64(time * 1e9 - phase);
            Moment { time, sample: sample(sequence, sent, received), phase, rate }
        })
    }
}

fn raw(time: f64) -> Timestamp<Raw> {
    Timestamp::EPOCH + Span::from_secs_f64(time)
}

fn sample(sequence: u16, sent: Timestamp<Leader>, at: Timestamp<Raw>) -> SyncSample {
    let leader = LeaderId::V1 { technology: 1, uuid: [2; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };
    let received = Stamp { at, uncertainty: Span::ZERO, source: StampSource::Kernel };
    SyncSample { leader, sequence, sent, received }
}

/// A world is steady from here on (s) ...
const STEADY: f64 = 600.0;
/// ... but for so long after a change.
const RECOVERY: f64 = 180.0;

/// What is told of a design in a world, over all seeds.
#[derive(Default)]
struct Figures {
    /// Steady moments, the sum of their squared rate errors, how many had an error within the bound, and the sum
    /// of their squared phase errors.
    count: f64,
    rate: f64,
    within: f64,
    phase: f64,
    /// The longest time after the change until the rate was right to 1 ppm and stayed so, s.
    settle_s: f64,
    /// The largest error of the rate in the time after the change, in ppm and in standard deviations.
    kick_ppm: f64,
    kick_sigmas: f64,
}

impl Figures {
    fn play(&mut self, world: &World, seed: u64, design: &mut dyn Design) {
        let mut stretch = Stretch::default();
        for moment in world.moments(seed) {
            design.take(&moment.sample);
            let Some(estimate) = design.estimate(raw(moment.time)) else { continue };
            let error = estimate.rate - moment.rate;
            let since = moment.time - CHANGE;
            if world.changes() && since > 0.0 && since <= RECOVERY {
                self.change(since, error.abs(), estimate.rate_sigma);
                self.phase += std::mem::take(&mut stretch).squares;
            } else if moment.time > STEADY {
                self.count += 1.0;
                self.rate += error * error;
                self.within += f64::from(u8::from(error.abs() < BOUND_SIGMAS * estimate.rate_sigma));
                stretch.add(estimate.phase - moment.phase);
            }
        }
        self.phase += stretch.squares;
    }

    fn change(&mut self, since_s: f64, error: f64, sigma: f64) {
        self.kick_ppm = self.kick_ppm.max(error / 1e3);
        self.kick_sigmas = self.kick_sigmas.max(error / sigma);
        if error >= 1e3 {
            self.settle_s = self.settle_s.max(since_s);
        }
    }

    fn rate_rms_ppm(&self) -> f64 {
        (self.rate / self.count).sqrt() / 1e3
    }

    fn phase_rms_us(&self) -> f64 {
        (self.phase / self.count).sqrt() / 1e3
    }

    fn within_percent(&self) -> f64 {
        100.0 * self.within / self.count
    }
}

/// Phase errors of a time in which nothing changed; what they have in common is the path, which nobody can see.
#[derive(Default)]
struct Stretch {
    count: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl Stretch {
    fn add(&mut self, error: f64) {
        self.count += 1.0;
        let before = error - self.mean;
        self.mean += before / self.count;
        self.squares += before * (error - self.mean);
    }
}

/// Reproducible noise (splitmix64).
struct Random(u64);

impl Random {
    /// Between 0 and 1, neither of them.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((z ^ (z >> 31)) >> 32).expect("32 bits are left");
        (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }

    /// Of standard deviation 1.
    fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }
}
