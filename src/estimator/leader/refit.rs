//! A line through the first samples after a start or a change, better than taking them one by one.
//!
//! Taken one by one, each sample leaves a Gaussian belief behind. As long as the belief is wider than the delays
//! that is a poor likeness of the wedge which one-sided delays cut out, and what is lost is lost for good: later
//! samples cannot mend it. So the first samples are kept, and the contribution of each is reckoned again and again
//! in the light of all the others (expectation propagation) until the line is known far better than a delay.
//!
//! The rate is taken as constant: a refit lasts for seconds only.

use std::collections::VecDeque;

use super::super::filter::{Covariance, Filter, Noise};

/// A belief is refitted for this long (s). By then the phase is known to a twentieth of a delay.
const LENGTH: f64 = 16.0;

/// Samples that are kept: 16 per second, the fastest that devices send. Those beyond are left to the filter.
pub(super) const SAMPLES: usize = 256;

/// Rounds over all samples for every new one. Contributions are kept from one to the next, so they converge.
const ROUNDS: usize = 2;

/// How far a contribution goes to its new value in one round; less than all the way keeps it from swinging.
const DAMPING: f64 = 0.7;

/// What is known before, the samples since, and what each contributes.
#[derive(Debug)]
pub(super) struct Refit {
    prior: Filter,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Seconds since the prior.
    dt: f64,
    /// Phase minus the prior's line, ns.
    phase: f64,
    /// Its contribution to the belief about the phase at its time: precision, and precision times mean.
    precision: f64,
    shift: f64,
}

/// A Gaussian belief about phase and rate at the prior's time, as precision and precision times mean.
#[derive(Debug, Clone, Copy)]
struct Belief {
    phase: f64,
    cross: f64,
    rate: f64,
    phase_shift: f64,
    rate_shift: f64,
}

impl Belief {
    fn prior(known: &Covariance) -> Self {
        let determinant = known.phase * known.rate - known.phase_rate * known.phase_rate;
        Self {
            phase: known.rate / determinant,
            cross: -known.phase_rate / determinant,
            rate: known.phase / determinant,
            phase_shift: 0.0,
            rate_shift: 0.0,
        }
    }

    fn add(&mut self, dt: f64, precision: f64, shift: f64) {
        self.phase += precision;
        self.cross += precision * dt;
        self.rate += precision * dt * dt;
        self.phase_shift += shift;
        self.rate_shift += shift * dt;
    }

    /// Mean of phase and rate, and their covariance.
    fn moments(&self) -> (f64, f64, Covariance) {
        let determinant = self.phase * self.rate - self.cross * self.cross;
        let known = Covariance {
            phase: self.rate / determinant,
            phase_rate: -self.cross / determinant,
            rate: self.phase / determinant,
            ..Covariance::default()
        };
        let phase = known.phase * self.phase_shift + known.phase_rate * self.rate_shift;
        let rate = known.phase_rate * self.phase_shift + known.rate * self.rate_shift;
        (phase, rate, known)
    }

    /// Mean and variance of the phase `dt` later.
    fn at(&self, dt: f64) -> (f64, f64) {
        let (phase, rate, known) = self.moments();
        (phase + rate * dt, known.phase + 2.0 * dt * known.phase_rate + dt * dt * known.rate)
    }
}

impl Refit {
    /// What was believed before the samples.
    pub(super) fn start(prior: Filter) -> Self {
        Self { prior, samples: Vec::with_capacity(SAMPLES) }
    }

    /// What was believed before a change, and the samples from then on.
    pub(super) fn since(prior: Filter, samples: &VecDeque<(f64, f64)>) -> Self {
        let mut refit = Self::start(prior);
        samples
            .iter()
            .filter(|(time, _)| *time >= prior.time)
            .for_each(|(time, phase)| refit.push(*time, *phase));
        refit
    }

    /// Whether a sample at `time` still belongs to it.
    pub(super) fn lasts(&self, time: f64) -> bool {
        time - self.prior.time <= LENGTH && self.samples.len() < SAMPLES
    }

    /// Takes a sample; one from before the prior says nothing new.
    pub(super) fn push(&mut self, time: f64, phase: f64) {
        let dt = time - self.prior.time;
        if dt >= 0.0 {
            let phase = phase - (self.prior.phase + self.prior.rate * dt);
            self.samples.push(Sample { dt, phase, precision: 0.0, shift: 0.0 });
        }
    }

    /// The belief after all samples, at the last one's time.
    pub(super) fn belief(&mut self, noise: &Noise) -> Filter {
        let mut belief = Belief::prior(&self.prior.known);
        for sample in &self.samples {
            belief.add(sample.dt, sample.precision, sample.shift);
        }
        for _ in 0..ROUNDS {
            for sample in &mut self.samples {
                let (precision, shift) = sample.again(&belief, noise);
                belief.add(sample.dt, precision - sample.precision, shift - sample.shift);
                (sample.precision, sample.shift) = (precision, shift);
            }
        }
        let (phase, rate, known) = belief.moments();
        let fitted = Filter {
            phase: self.prior.phase + phase,
            rate: self.prior.rate + rate,
            drift: 0.0,
            known,
            noise: *noise,
            ..self.prior
        };
        let last = self.samples.last().map_or(0.0, |sample| sample.dt);
        fitted.predicted(self.prior.time + last)
    }
}

impl Sample {
    /// What it contributes in the light of all others.
    fn again(&self, belief: &Belief, noise: &Noise) -> (f64, f64) {
        let (mean, variance) = belief.at(self.dt);
        let precision = 1.0 / variance - self.precision;
        if precision <= 0.0 || !variance.is_finite() {
            return (self.precision, self.shift);
        }
        let without = (mean / variance - self.shift) / precision;
        let posterior = noise.weigh(1.0 / precision, self.phase - without);
        let (mean, variance) = (without + posterior.shift, posterior.variance);
        // An outlier can leave the belief wider than before; it then contributes nothing.
        let new_precision = (1.0 / variance - precision).max(0.0);
        let new_shift = if new_precision > 0.0 { mean / variance - without * precision } else { 0.0 };
        let blend = |old: f64, new: f64| old + DAMPING * (new - old);
        (blend(self.precision, new_precision), blend(self.shift, new_shift))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::as_conversions, reason = "tests")]

    use super::super::super::filter::Wander;
    use super::*;

    const WANDER: Wander = Wander { rate: 3.0, drift: 0.0 };

    fn noise(sigma: f64, lambda: f64) -> Noise {
        Noise { sigma, lambda, outliers: 0.005, weight: 200.0, news: 1.0 }
    }

    fn prior(noise: Noise) -> Filter {
        let known = Covariance { phase: 50e3 * 50e3, rate: 20e3 * 20e3, ..Covariance::default() };
        Filter { known, ..Filter::start(100.0, 0.0, 0.0, 1.0, WANDER, noise) }
    }

    /// Delays that follow an exponential law exactly: its quantiles, in an order that shows no trend.
    fn delays(count: usize, lambda: f64) -> Vec<f64> {
        let quantile = |k: usize| -lambda * (1.0 - (k as f64 + 0.5) / count as f64).ln();
        (0..count).map(|k| quantile(k * 29 % count)).collect()
    }

    fn line(rate: f64, delays: &[f64]) -> Vec<(f64, f64)> {
        let at = |k: usize| 100.0 + 0.25 * k as f64;
        delays.iter().enumerate().map(|(k, delay)| (at(k), rate * (at(k) - 100.0) + delay)).collect()
    }

    fn fitted(noise: Noise, samples: &[(f64, f64)]) -> Filter {
        let mut refit = Refit::start(prior(noise));
        let mut belief = prior(noise);
        for (time, phase) in samples {
            refit.push(*time, *phase);
            belief = refit.belief(&noise);
        }
        belief
    }

    #[test]
    fn without_one_sided_delay_it_is_least_squares() {
        let samples = [(100.0, 0.0), (101.0, 30_100.0), (102.0, 59_900.0), (103.0, 90_000.0)];
        let noise = Noise { outliers: 1e-9, ..noise(100.0, 0.01) };
        let belief = fitted(noise, &samples);
        // By hand: slope 29 980, mean 45 000 at 101.5 s.
        assert!((belief.rate - 29_980.0).abs() < 2.0, "{belief:?}");
        assert!((belief.phase - 89_970.0).abs() < 3.0, "{belief:?}");
        let variance = 100.0 * 100.0 / 5.0;
        // The last contributions are not all the way there yet.
        assert!((belief.known.rate / variance - 1.0).abs() < 0.1, "{belief:?}");
    }

    #[test]
    fn ten_seconds_of_queueing_tell_a_turn_to_a_few_hundred_ppb() {
        let noise = noise(300.0, 20e3);
        let samples = line(25e3, &delays(40, 20e3));
        let belief = fitted(noise, &samples);
        let (rate, phase) = (belief.rate - 25e3, belief.phase - 25e3 * 9.75);
        assert!(rate.abs() < 300.0 && rate.abs() < 3.3 * belief.known.rate.sqrt(), "{rate} {belief:?}");
        assert!(phase.abs() < 2e3 && phase.abs() < 3.3 * belief.known.phase.sqrt(), "{phase} {belief:?}");
        // One by one the same samples leave more uncertainty.
        let mut filter = prior(noise);
        for (time, phase) in &samples {
            filter.observe(*time, *phase);
        }
        assert!(filter.known.rate > belief.known.rate, "{} {}", filter.known.rate, belief.known.rate);
    }

    #[test]
    fn the_order_of_the_samples_hardly_matters() {
        let noise = noise(300.0, 20e3);
        let forward = delays(40, 20e3);
        let mut refit = Refit::start(prior(noise));
        line(0.0, &forward).iter().rev().for_each(|(time, phase)| refit.push(*time, *phase));
        let settled = (0..20).map(|_| refit.belief(&noise)).last();
        let (backward, forward) = (settled.unwrap(), fitted(noise, &line(0.0, &forward)));
        assert!((backward.rate - forward.rate).abs() < 0.2 * forward.known.rate.sqrt());
    }

    #[test]
    fn a_spike_changes_nothing() {
        let noise = noise(300.0, 20e3);
        let clean = delays(40, 20e3);
        let mut spiked = clean.clone();
        spiked[20] += 500e3;
        let (clean, spiked) = (fitted(noise, &line(0.0, &clean)), fitted(noise, &line(0.0, &spiked)));
        assert!((clean.rate - spiked.rate).abs() < 100.0, "{} {}", clean.rate, spiked.rate);
    }

    #[test]
    fn it_ends_after_its_time_and_takes_nothing_from_before_it() {
        let mut refit = Refit::start(prior(noise(300.0, 20e3)));
        assert!(refit.lasts(100.0 + LENGTH) && !refit.lasts(100.1 + LENGTH));
        refit.push(99.0, 1e6);
        assert!(refit.samples.is_empty());
        let recent: VecDeque<(f64, f64)> = [(98.0, 1e6), (100.0, 1.0), (101.0, 2.0)].into();
        assert_eq!(Refit::since(prior(noise(300.0, 20e3)), &recent).samples.len(), 2);
    }
}
