//! What is counted of many seconds or many seeds.

#![allow(clippy::as_conversions, reason = "numbers of seconds")]

/// How often a bound holds, and how wide it is.
pub(super) struct Honesty {
    /// Share of the errors inside their bounds.
    pub(super) ok: f64,
    /// Median bound by median size of the error.
    pub(super) ratio: f64,
}

impl Honesty {
    /// From pairs of a true error and its printed bound.
    pub(super) fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let (errors, bounds): (Vec<f64>, Vec<f64>) = pairs.map(|(error, bound)| (error.abs(), bound)).unzip();
        let inside = errors.iter().zip(&bounds).filter(|(error, bound)| error <= bound).count();
        Self { ok: inside as f64 / errors.len() as f64, ratio: median(bounds) / median(errors) }
    }
}

/// Root mean square, NaN of none.
pub(super) fn rms(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value * value, count + 1.0));
    f64::sqrt(sum / count)
}

/// The largest size, NaN of none.
pub(super) fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(f64::NAN, f64::max)
}

/// From the lowest to the highest, NaN of none.
pub(super) fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.fold((f64::NAN, f64::NAN), ends);
    high - low
}

/// The middle of the values (the upper one of two), NaN of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
