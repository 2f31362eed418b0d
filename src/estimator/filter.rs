//! One hypothesis about the leader: a two-state filter for delay that is never negative.
//!
//! A Sync is late by a queueing delay that is nearly exponential, blurred by a nearly Gaussian stamp error,
//! and now and then by something else altogether. A Kalman filter takes the mean of that; the information,
//! however, sits at the lower edge. This filter carries the same Gaussian belief about phase and rate, but
//! updates it with the real likelihood
//!
//! ```text
//! y = phase + gauss(σ) + exponential(λ)   with probability 1 − ε
//! y = phase + anything                     with probability ε
//! ```
//!
//! whose posterior has closed moments (a normal distribution cut off above, assumed-density filtering). With
//! λ → 0 it is a Kalman filter with outlier rejection, with σ → 0 it follows the lower envelope: the shape of
//! the measured delay decides, not a flag. σ, λ and ε are learned from the same posterior (online EM).
//!
//! Units: ns and s; phase is raw minus leader in ns, rate in ns/s (ppb).

/// The belief about phase and rate, and about the noise.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Seconds on the filter's own axis, of the last update.
    pub time: f64,
    /// Raw minus leader, in ns, smallest delay included.
    pub phase: f64,
    /// Its drift in ns/s.
    pub rate: f64,
    /// Variance of the phase, ns².
    pub var_phase: f64,
    /// Covariance, ns²/s.
    pub covariance: f64,
    /// Variance of the rate, ns²/s².
    pub var_rate: f64,
    /// The oscillators' random walk: ns/s per √s.
    pub wander: f64,
    /// What is known of the delay.
    pub noise: Noise,
}

/// The learned law of the delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of the symmetric part, ns.
    pub sigma: f64,
    /// Mean of the one-sided part, ns.
    pub lambda: f64,
    /// Share of samples that follow neither.
    pub outliers: f64,
    /// Samples this was learned from, up to the memory.
    pub weight: f64,
}

impl Noise {
    /// Before the first sample: what a computer behind one switch sees.
    pub const UNKNOWN: Self = Self { sigma: 2_000.0, lambda: 20_000.0, outliers: 0.02, weight: 4.0 };

    /// Samples that the noise is learned over: a minute at 4 Hz, so that a mean is known to 6 %.
    const MEMORY: f64 = 256.0;
    /// No stamp is better than this (ns): the read noise of the clocks.
    const SIGMA_MIN: f64 = 30.0;
    /// The one-sided part never vanishes altogether: it must be able to come back.
    const LAMBDA_MIN: f64 = 30.0;
    /// Far beyond any path on which a lock makes sense (ns).
    const LAMBDA_MAX: f64 = 20e6;
    const OUTLIERS_MIN: f64 = 0.002;
    const OUTLIERS_MAX: f64 = 0.25;

    /// The same law, `scale` times as wide.
    pub fn scaled(self, scale: f64) -> Self {
        Self { sigma: self.sigma * scale, lambda: self.lambda * scale, ..self }
    }

    /// Standard deviation of a sample around the line, outliers left out.
    pub fn deviation(&self) -> f64 {
        self.sigma.hypot(self.lambda)
    }

    /// Density of an outlier at `innovation`: late by about ten deviations, seldom early.
    fn outlier_density(&self, innovation: f64) -> f64 {
        let scale = OUTLIER_SCALE.max(20.0 * self.deviation());
        let side = if innovation >= 0.0 { 0.9 } else { 0.1 };
        side / scale * (-innovation.abs() / scale).exp()
    }

    fn learn(&mut self, posterior: &Posterior) {
        self.weight = (self.weight + 1.0).min(Self::MEMORY);
        let gain = 1.0 / self.weight;
        let credit = gain * posterior.fits;
        let variance = self.sigma * self.sigma;
        self.sigma = (variance + credit * (posterior.gauss_square - variance)).max(0.0).sqrt();
        self.lambda += credit * (posterior.excess - self.lambda);
        self.outliers += gain * (1.0 - posterior.fits - self.outliers);
        self.sigma = self.sigma.clamp(Self::SIGMA_MIN, Self::LAMBDA_MAX);
        self.lambda = self.lambda.clamp(Self::LAMBDA_MIN, Self::LAMBDA_MAX);
        self.outliers = self.outliers.clamp(Self::OUTLIERS_MIN, Self::OUTLIERS_MAX);
    }
}

/// Spikes are late by about this much (ns) where the noise is small.
const OUTLIER_SCALE: f64 = 500e3;

/// What one sample said.
#[derive(Debug, Clone, Copy)]
pub struct Posterior {
    /// Sample minus prediction, ns.
    pub innovation: f64,
    /// Log of the density the filter had given to this sample.
    pub log_likelihood: f64,
    /// Probability that the sample is no outlier.
    pub fits: f64,
    /// Shift of the phase, ns.
    shift: f64,
    /// Variance of the phase afterwards, ns².
    variance: f64,
    /// Expected one-sided part of the delay, ns.
    excess: f64,
    /// Expected square of the symmetric part, ns².
    gauss_square: f64,
}

impl Filter {
    /// Starts at a first sample `phase`, knowing only that rates are within ± `rate_sigma` of `rate` (ns/s).
    pub fn start(time: f64, phase: f64, rate: f64, rate_sigma: f64, wander: f64, noise: Noise) -> Self {
        // The first sample is late by its own delay; its phase is known no better than the delay's law.
        let spread = 4.0 * noise.deviation();
        Self {
            time,
            phase: phase - noise.lambda,
            rate,
            var_phase: spread * spread,
            covariance: 0.0,
            var_rate: rate_sigma * rate_sigma,
            wander,
            noise,
        }
    }

    /// The same belief at a later time.
    pub fn predicted(&self, time: f64) -> Self {
        let dt = (time - self.time).max(0.0);
        let walk = self.wander * self.wander;
        Self {
            time: self.time.max(time),
            phase: self.phase + self.rate * dt,
            var_phase: self.var_phase
                + 2.0 * self.covariance * dt
                + self.var_rate * dt * dt
                + walk * dt * dt * dt / 3.0,
            covariance: self.covariance + self.var_rate * dt + walk * dt * dt / 2.0,
            var_rate: self.var_rate + walk * dt,
            ..*self
        }
    }

    /// Takes a sample `phase` (raw minus leader, ns) at `time`.
    pub fn observe(&mut self, time: f64, phase: f64) -> Posterior {
        *self = self.predicted(time);
        let posterior = self.weigh(phase - self.phase);
        self.apply(&posterior);
        self.noise.learn(&posterior);
        posterior
    }

    /// The moments of the belief after an innovation; see the module's text.
    fn weigh(&self, innovation: f64) -> Posterior {
        let Noise { sigma, lambda, outliers, .. } = self.noise;
        let prior = self.var_phase.max(1e-6);
        let blur = prior + sigma * sigma;
        let spread = blur.sqrt();
        // The edge z = phase + gauss is normal around blur/λ, cut off above at the innovation.
        let cut = (innovation - blur / lambda) / spread;
        let (hazard, log_cdf) = normal_tail(cut);
        let edge = blur / lambda - spread * hazard;
        let edge_variance = (blur * (1.0 - cut * hazard - hazard * hazard)).max(blur * 1e-6);
        let log_fit = -lambda.ln() + blur / (2.0 * lambda * lambda) - innovation / lambda + log_cdf;

        let fit = (1.0 - outliers) * log_fit.exp();
        let stray = outliers * self.noise.outlier_density(innovation);
        let total = fit + stray;
        let fits = if total > 0.0 { fit / total } else { 0.0 };

        let gain = prior / blur;
        let mean = gain * edge;
        let variance = prior - gain * prior + gain * gain * edge_variance;
        let shift = fits * mean;
        let blurred = sigma * sigma / blur;
        Posterior {
            innovation,
            log_likelihood: total.max(f64::MIN_POSITIVE).ln(),
            fits,
            shift,
            variance: fits * (variance + mean * mean) + (1.0 - fits) * prior - shift * shift,
            excess: (innovation - edge).max(0.0),
            gauss_square: blurred * prior + blurred * blurred * (edge_variance + edge * edge),
        }
    }

    /// Moves the belief to the posterior of the phase; the rate follows through the covariance.
    fn apply(&mut self, posterior: &Posterior) {
        let prior = self.var_phase.max(1e-6);
        let along = self.covariance / prior;
        let shrink = posterior.variance - prior;
        self.phase += posterior.shift;
        self.rate += along * posterior.shift;
        self.var_rate = (self.var_rate + along * along * shrink).max(1e-9);
        self.covariance += along * shrink;
        self.var_phase = posterior.variance.max(1e-3);
    }
}

/// For the standard normal distribution at `x`: φ(x)/Φ(x), and ln Φ(x).
fn normal_tail(x: f64) -> (f64, f64) {
    const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_7;
    if x > -6.0 {
        let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        let density = (-0.5 * x * x - LOG_SQRT_TAU).exp();
        (density / cdf, cdf.ln())
    } else {
        // Continued fraction of Mills' ratio; exact to 1e-9 from here on.
        let y = -x;
        let hazard = y + 1.0 / (y + 2.0 / (y + 3.0 / (y + 4.0 / (y + 5.0 / (y + 6.0 / y)))));
        (hazard, -0.5 * x * x - LOG_SQRT_TAU - hazard.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_branches_of_the_normal_tail_meet() {
        let (above, log_above) = normal_tail(-5.999_999_9);
        let (below, log_below) = normal_tail(-6.000_000_1);
        assert!((above - below).abs() < 1e-6, "{above} {below}");
        assert!((log_above - log_below).abs() < 1e-5);
        assert!((normal_tail(0.0).0 - 0.797_884_56).abs() < 1e-8);
    }

    fn settled(sigma: f64, lambda: f64) -> Filter {
        let noise = Noise { sigma, lambda, outliers: 0.005, weight: 200.0 };
        Filter { var_phase: 1e6, var_rate: 400.0, ..Filter::start(0.0, 0.0, 0.0, 20.0, 3.0, noise) }
    }

    #[test]
    fn an_early_sample_weighs_more_than_a_late_one() {
        let filter = settled(100.0, 20_000.0);
        let early = filter.weigh(filter.phase - 2_000.0 - filter.phase);
        let late = filter.weigh(20_000.0);
        assert!(early.shift < -1_500.0, "{early:?}");
        assert!(late.shift.abs() < 200.0, "{late:?}");
        assert!(early.variance < late.variance);
    }

    #[test]
    fn without_one_sided_delay_it_is_a_kalman_filter() {
        let filter = settled(1_000.0, 0.01);
        let posterior = filter.weigh(500.0);
        assert!((posterior.shift - 250.0).abs() < 1.0, "{posterior:?}");
        assert!((posterior.variance - 5e5).abs() < 1e3);
    }

    #[test]
    fn a_spike_changes_nothing() {
        let filter = settled(100.0, 20_000.0);
        let posterior = filter.weigh(520_000.0);
        assert!(posterior.fits < 1e-3);
        assert!(posterior.shift.abs() < 5.0, "{posterior:?}");
    }
}
