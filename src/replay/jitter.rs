//! How arrivals scatter around the leader's line, judged afterwards.

use serde::Serialize;

use crate::ptp::SyncSample;

/// Residuals are taken from straight lines over this long (s): long against the scatter, short against the
/// oscillators' wander.
const WINDOW: f64 = 60.0;

/// A line needs a few samples before its residuals mean anything.
const SAMPLES_MIN: usize = 8;

/// Residual jitter of a capture; negative: early.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Jitter {
    /// Standard deviation.
    pub sd_ns: f64,
    /// The earliest.
    pub min_ns: f64,
    /// 1 % are earlier.
    pub p1_ns: f64,
    /// The median.
    pub p50_ns: f64,
    /// 1 % are later.
    pub p99_ns: f64,
    /// The latest.
    pub max_ns: f64,
}

impl Jitter {
    /// Of samples in the order of their arrival; None with too few of them.
    pub fn of(samples: &[SyncSample]) -> Option<Self> {
        let mut residuals = Vec::with_capacity(samples.len());
        for window in windows(samples) {
            residuals.extend(residuals_of(window));
        }
        if residuals.len() < SAMPLES_MIN {
            return None;
        }
        residuals.sort_by(f64::total_cmp);
        let count: f64 = residuals.iter().map(|_| 1.0).sum();
        let variance = residuals.iter().map(|residual| residual * residual).sum::<f64>() / count;
        Some(Self {
            sd_ns: variance.sqrt(),
            min_ns: *residuals.first()?,
            p1_ns: quantile(&residuals, 1)?,
            p50_ns: quantile(&residuals, 50)?,
            p99_ns: quantile(&residuals, 99)?,
            max_ns: *residuals.last()?,
        })
    }
}

fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get((sorted.len() - 1) * percent / 100).copied()
}

/// Pieces of at most [`WINDOW`], none across a change of the leader or a jump of its time.
fn windows(samples: &[SyncSample]) -> impl Iterator<Item = &[SyncSample]> {
    let mut start: Option<SyncSample> = None;
    samples.chunk_by(move |before, sample| {
        let first = *start.get_or_insert(*before);
        let elapsed = (sample.received.at - first.received.at).as_secs_f64();
        let jump = (sample.received.at - before.received.at) - (sample.sent - before.sent);
        let joined = elapsed < WINDOW && sample.leader == before.leader && jump.abs().as_ns() < 10_000_000;
        if !joined {
            start = Some(*sample);
        }
        joined
    })
}

/// Residuals of the least-squares line of raw minus leader over leader time.
fn residuals_of(samples: &[SyncSample]) -> Vec<f64> {
    let (Some(first), true) = (samples.first(), samples.len() >= SAMPLES_MIN) else { return Vec::new() };
    let points: Vec<(f64, f64)> = samples
        .iter()
        .map(|sample| {
            let (raw, sent) = (sample.received.at - first.received.at, sample.sent - first.sent);
            (sent.as_secs_f64(), (raw - sent).as_ns_f64())
        })
        .collect();
    let count: f64 = points.iter().map(|_| 1.0).sum();
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let square: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let product: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = if square > 0.0 { product / square } else { 0.0 };
    points.iter().map(|(x, y)| y - mean_y - slope * (x - mean_x)).collect()
}
