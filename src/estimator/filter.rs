//! One hypothesis about the leader: a filter for phase, rate and drift where delay is never negative.
//!
//! A Sync is late by a queueing delay that is nearly exponential, blurred by a nearly Gaussian stamp error,
//! and now and then by something else altogether. A Kalman filter takes the mean of that; the information,
//! however, sits at the lower edge. This filter carries the same Gaussian belief, but
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

/// The belief about phase, rate and drift, and about the noise.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Seconds on the filter's own axis, of the last update.
    pub time: f64,
    /// Raw minus leader, in ns, smallest delay included.
    pub phase: f64,
    /// Its rate in ns/s.
    pub rate: f64,
    /// The rate's drift in ns/s²: temperature.
    pub drift: f64,
    /// What is known of these three.
    pub known: Covariance,
    /// How the oscillators behave.
    pub wander: Wander,
    /// What is known of the delay.
    pub noise: Noise,
}

/// Covariance of phase (ns), rate (ns/s) and drift (ns/s²).
#[derive(Debug, Clone, Copy, Default)]
pub struct Covariance {
    /// Variance of the phase.
    pub phase: f64,
    /// Phase and rate.
    pub phase_rate: f64,
    /// Phase and drift.
    pub phase_drift: f64,
    /// Variance of the rate.
    pub rate: f64,
    /// Rate and drift.
    pub rate_drift: f64,
    /// Variance of the drift.
    pub drift: f64,
}

/// How the two oscillators wander against each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wander {
    /// Random walk of the rate: ns/s per √s.
    pub rate: f64,
    /// Random walk of the drift: ns/s² per √s; 0 where the rate has no drift.
    pub drift: f64,
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
    /// The part of a sample that is news: 1 where delays are independent.
    pub news: f64,
}

impl Noise {
    /// A guess: late by `deviation` (ns) on average, and blurred by a twentieth of it. What a queue does.
    pub fn one_sided(deviation: f64) -> Self {
        Self { sigma: deviation / 20.0, lambda: deviation, outliers: 0.02, weight: GUESSED, news: 1.0 }
            .limited()
    }

    /// A guess: late by `deviation` (ns) on average, and blurred by a third of it. What a queue behind a busy
    /// computer does.
    pub fn blurred(deviation: f64) -> Self {
        Self { sigma: deviation / 3.0, lambda: deviation, outliers: 0.02, weight: GUESSED, news: 1.0 }
            .limited()
    }

    /// A guess: early as often as late. What stamps do on a wire without a queue.
    pub fn symmetric(deviation: f64) -> Self {
        Self { sigma: deviation, lambda: deviation / 5.0, outliers: 0.02, weight: GUESSED, news: 1.0 }
            .limited()
    }

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

    /// Standard deviation of a sample around the line, outliers left out.
    pub fn deviation(&self) -> f64 {
        self.sigma.hypot(self.lambda)
    }

    /// How far off outliers are in the mean, ns.
    fn outlier_scale(&self) -> f64 {
        OUTLIER_SCALE.max(20.0 * self.deviation())
    }

    /// Density of an outlier at `innovation`: late by about twenty deviations, seldom early.
    fn outlier_density(&self, innovation: f64) -> f64 {
        let scale = self.outlier_scale();
        let side = if innovation >= 0.0 { OUTLIERS_LATE } else { 1.0 - OUTLIERS_LATE };
        side / scale * (-innovation.abs() / scale).exp()
    }

    /// The share of the law that lies below a sample which misses a belief of variance `prior` by `innovation`.
    fn share_below(&self, prior: f64, innovation: f64) -> f64 {
        let Self { sigma, lambda, outliers, .. } = *self;
        let blur = prior.max(PHASE_FLOOR) + sigma * sigma;
        let spread = blur.sqrt();
        let (_, log_late) = normal_tail((innovation - blur / lambda) / spread);
        let late = (blur / (2.0 * lambda * lambda) - innovation / lambda + log_late).exp();
        let (_, log_edge) = normal_tail(innovation / spread);
        let far = (-innovation.abs() / self.outlier_scale()).exp();
        let stray = if innovation >= 0.0 { 1.0 - OUTLIERS_LATE * far } else { (1.0 - OUTLIERS_LATE) * far };
        (1.0 - outliers) * (log_edge.exp() - late).max(0.0) + outliers * stray
    }

    /// The moments of a belief about the phase, of variance `prior`, after a sample that misses it by `innovation`;
    /// see the module's text.
    pub(super) fn weigh(&self, prior: f64, innovation: f64) -> Posterior {
        let Self { sigma, lambda, outliers, news, .. } = *self;
        let prior = prior.max(PHASE_FLOOR);
        let blur = prior + sigma * sigma;
        let Edge { mean: edge, variance: edge_variance, log_fit } = Edge::of(blur, lambda, innovation);

        let fit = (1.0 - outliers) * log_fit.exp();
        let stray = outliers * self.outlier_density(innovation);
        let total = fit + stray;
        let fits = if total > 0.0 { fit / total } else { 0.0 };

        let gain = prior / blur;
        let mean = gain * edge;
        let variance = prior - gain * prior + gain * gain * edge_variance;
        let shift = fits * mean;
        let blurred = sigma * sigma / blur;
        let after = fits * (variance + mean * mean) + (1.0 - fits) * prior - shift * shift;
        Posterior {
            innovation,
            log_likelihood: news * total.max(f64::MIN_POSITIVE).ln(),
            fits,
            // Where delays hang together, only a part of the sample is news.
            shift: news * shift,
            variance: prior + news * (after - prior),
            excess: (innovation - edge).max(0.0),
            gauss_square: blurred * prior + blurred * blurred * (edge_variance + edge * edge),
        }
    }

    fn learn(&mut self, posterior: &Posterior) {
        self.weight = (self.weight + 1.0).min(Self::MEMORY);
        let gain = 1.0 / self.weight;
        let credit = gain * posterior.fits;
        let variance = self.sigma * self.sigma;
        self.sigma = (variance + credit * (posterior.gauss_square - variance)).max(0.0).sqrt();
        self.lambda += credit * (posterior.excess - self.lambda);
        self.outliers += gain * (1.0 - posterior.fits - self.outliers);
        *self = self.limited();
    }

    fn limited(self) -> Self {
        Self {
            sigma: self.sigma.clamp(Self::SIGMA_MIN, Self::LAMBDA_MAX),
            lambda: self.lambda.clamp(Self::LAMBDA_MIN, Self::LAMBDA_MAX),
            outliers: self.outliers.clamp(Self::OUTLIERS_MIN, Self::OUTLIERS_MAX),
            weight: self.weight,
            news: self.news,
        }
    }
}

/// A guess counts like this many samples.
const GUESSED: f64 = 4.0;

/// Spikes are late by about this much (ns) where the noise is small.
const OUTLIER_SCALE: f64 = 500e3;
/// This share of the outliers is late.
const OUTLIERS_LATE: f64 = 0.9;

/// A belief that is wider than the one-sided part by more than this sees nothing of the latter, and the terms of the
/// general formulae are so large that nothing is left of their differences.
const FAR_WIDER: f64 = 1e4;

/// The edge z = phase + gauss, given a sample: its moments, and the log density of the sample.
struct Edge {
    mean: f64,
    variance: f64,
    log_fit: f64,
}

impl Edge {
    /// For a belief of variance `blur` (with the symmetric part) that the sample misses by `innovation`.
    fn of(blur: f64, lambda: f64, innovation: f64) -> Self {
        let spread = blur.sqrt();
        if spread > FAR_WIDER * lambda {
            let off = innovation / spread;
            let log_fit = -spread.ln() - 0.5 * (off * off + std::f64::consts::TAU.ln());
            return Self { mean: innovation - lambda, variance: lambda * lambda, log_fit };
        }
        // Normal around blur/λ, cut off above at the innovation.
        let cut = (innovation - blur / lambda) / spread;
        let (hazard, log_cdf) = normal_tail(cut);
        Self {
            mean: blur / lambda - spread * hazard,
            variance: (blur * (1.0 - cut * hazard - hazard * hazard)).max(blur * 1e-6),
            log_fit: -lambda.ln() + blur / (2.0 * lambda * lambda) - innovation / lambda + log_cdf,
        }
    }
}

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
    pub(super) shift: f64,
    /// Variance of the phase afterwards, ns².
    pub(super) variance: f64,
    /// Expected one-sided part of the delay, ns.
    excess: f64,
    /// Expected square of the symmetric part, ns².
    gauss_square: f64,
}

impl Filter {
    /// Starts at a first sample `phase`, knowing only that rates are within ± `rate_sigma` of `rate` (ns/s).
    pub fn start(time: f64, phase: f64, rate: f64, rate_sigma: f64, wander: Wander, noise: Noise) -> Self {
        // The first sample is late by its own delay; its phase is known no better than the delay's law.
        let spread = 4.0 * noise.deviation();
        let known =
            Covariance { phase: spread * spread, rate: rate_sigma * rate_sigma, ..Covariance::default() };
        Self { time, phase: phase - noise.lambda, rate, drift: 0.0, known, wander, noise }
    }

    /// The same belief under another assumption about the oscillators.
    pub fn assuming(&self, wander: Wander) -> Self {
        if wander.drift > 0.0 {
            let known = Covariance { drift: self.known.drift.max(DRIFT_PRIOR * DRIFT_PRIOR), ..self.known };
            return Self { wander, known, ..*self };
        }
        let known = Covariance { phase_drift: 0.0, rate_drift: 0.0, drift: 0.0, ..self.known };
        Self { wander, drift: 0.0, known, ..*self }
    }

    /// The same belief at a later time.
    pub fn predicted(&self, time: f64) -> Self {
        let dt = (time - self.time).max(0.0);
        let half = dt * dt / 2.0;
        let (walk, swing) = (self.wander.rate.powi(2), self.wander.drift.powi(2));
        let it = &self.known;
        // F P Fᵀ with F = [1 dt dt²/2; 0 1 dt; 0 0 1], row by row.
        let phase_drift = it.phase_drift + dt * it.rate_drift + half * it.drift;
        let rate_drift = it.rate_drift + dt * it.drift;
        let phase_rate = it.phase_rate + dt * it.rate + half * it.rate_drift + dt * phase_drift;
        let phase = it.phase
            + dt * it.phase_rate
            + half * it.phase_drift
            + dt * (it.phase_rate + dt * it.rate + half * it.rate_drift)
            + half * phase_drift;
        let known = Covariance {
            phase: phase + walk * dt.powi(3) / 3.0 + swing * dt.powi(5) / 20.0,
            phase_rate: phase_rate + walk * half + swing * dt.powi(4) / 8.0,
            phase_drift: phase_drift + swing * dt.powi(3) / 6.0,
            rate: it.rate + dt * it.rate_drift + dt * rate_drift + walk * dt + swing * dt.powi(3) / 3.0,
            rate_drift: rate_drift + swing * half,
            drift: it.drift + swing * dt,
        };
        Self {
            time: self.time.max(time),
            phase: self.phase + self.rate * dt + self.drift * half,
            rate: self.rate + self.drift * dt,
            known,
            ..*self
        }
    }

    /// Takes a sample `phase` (raw minus leader, ns) at `time`.
    pub fn observe(&mut self, time: f64, phase: f64) -> Posterior {
        *self = self.predicted(time);
        let posterior = self.weigh(phase - self.phase);
        self.apply(posterior.shift, posterior.variance);
        self.noise.learn(&posterior);
        posterior
    }

    /// What a sample says, which is not taken.
    pub fn judged(&self, time: f64, phase: f64) -> Posterior {
        let predicted = self.predicted(time);
        predicted.weigh(phase - predicted.phase)
    }

    /// The share of what is expected at `time` that lies below `phase`: any number from 0 to 1 alike, if the law is right.
    pub(super) fn share_below(&self, time: f64, phase: f64) -> f64 {
        let predicted = self.predicted(time);
        predicted.noise.share_below(predicted.known.phase, phase - predicted.phase)
    }

    /// The moments of the belief after an innovation.
    fn weigh(&self, innovation: f64) -> Posterior {
        self.noise.weigh(self.known.phase, innovation)
    }

    /// Moves the belief to the posterior of the phase; rate and drift follow through the covariance.
    pub(super) fn apply(&mut self, shift: f64, variance: f64) {
        let it = &mut self.known;
        let prior = it.phase.max(PHASE_FLOOR);
        let (rate, drift) = (it.phase_rate / prior, it.phase_drift / prior);
        let shrink = variance - prior;
        self.phase += shift;
        self.rate += rate * shift;
        self.drift += drift * shift;
        it.rate = (it.rate + rate * rate * shrink).max(RATE_FLOOR);
        it.rate_drift += rate * drift * shrink;
        it.drift = (it.drift + drift * drift * shrink).max(0.0);
        it.phase_rate += rate * shrink;
        it.phase_drift += drift * shrink;
        it.phase = variance.max(PHASE_FLOOR);
    }
}

/// What rounding must not push a variance below: (0.03 ns)² and (0.03 ppt)².
const PHASE_FLOOR: f64 = 1e-3;
const RATE_FLOOR: f64 = 1e-9;

/// Temperature moves a crystal by up to 1 ppm a minute (17 ns/s²), most of the time by less than an eighth of that.
const DRIFT_PRIOR: f64 = 2.0;

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

    #[test]
    fn a_belief_far_wider_than_the_delays_takes_the_sample_for_the_edge() {
        let noise = Noise { sigma: 100.0, lambda: 50.0, outliers: 0.005, weight: 200.0, news: 1.0 };
        let told = |spread: f64, miss: f64| noise.weigh(spread * spread, miss * spread);
        let limit = FAR_WIDER * noise.lambda;
        for miss in [-3.0, 0.0, 2.0] {
            let (below, above) = (told(0.999 * limit, miss), told(1.001 * limit, miss));
            assert!((above.shift - below.shift).abs() < 0.01 * limit, "{below:?} {above:?}");
            assert!((above.log_likelihood - below.log_likelihood).abs() < 0.02, "{below:?} {above:?}");
        }
        for decades in 5..20 {
            let posterior = told(10_f64.powi(decades), 1.0);
            let all = [posterior.log_likelihood, posterior.fits, posterior.shift, posterior.variance];
            assert!(all.iter().all(|it| it.is_finite()) && posterior.fits <= 1.0, "{decades}: {posterior:?}");
        }
    }

    fn settled(sigma: f64, lambda: f64) -> Filter {
        let noise = Noise { sigma, lambda, outliers: 0.005, weight: 200.0, news: 1.0 };
        let known = Covariance { phase: 1e6, rate: 400.0, ..Covariance::default() };
        Filter { known, ..Filter::start(0.0, 0.0, 0.0, 20.0, Wander { rate: 3.0, drift: 0.0 }, noise) }
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
    fn what_is_half_news_moves_the_belief_half_as_far() {
        let filter = settled(100.0, 20_000.0);
        let whole = filter.weigh(-2_000.0);
        let half = Noise { news: 0.5, ..filter.noise }.weigh(filter.known.phase, -2_000.0);
        assert!((half.shift / whole.shift - 0.5).abs() < 1e-9);
        let shrinks = |it: &Posterior| filter.known.phase - it.variance;
        assert!((shrinks(&half) / shrinks(&whole) - 0.5).abs() < 1e-9);
        assert!((half.log_likelihood / whole.log_likelihood - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_share_below_is_the_law_added_up() {
        let noise = Noise { sigma: 3_000.0, lambda: 8_000.0, outliers: 0.05, weight: 200.0, news: 1.0 };
        let (prior, step) = (1e6, 100.0);
        let mut sum = noise.share_below(prior, -60_000.0);
        let mut at = -60_000.0;
        while at < 150_000.0 {
            sum += step * noise.weigh(prior, at + step / 2.0).log_likelihood.exp();
            at += step;
            let share = noise.share_below(prior, at);
            assert!((share - sum).abs() < 1e-4, "{share} {sum} at {at}");
        }
        assert!(sum > 0.95, "{sum}");
    }

    #[test]
    fn a_spike_changes_nothing() {
        let filter = settled(100.0, 20_000.0);
        let posterior = filter.weigh(520_000.0);
        assert!(posterior.fits < 1e-3);
        assert!(posterior.shift.abs() < 5.0, "{posterior:?}");
    }
}
