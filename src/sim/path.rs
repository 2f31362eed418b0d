//! What happens to a message on its way.

#![allow(clippy::as_conversions, reason = "delays of microseconds become whole nanoseconds")]

use super::load::Load;
use super::plan::{NoiseLaw, NtpPlan, PathPlan, ns_of_s, ns_of_us};
use super::random::Random;

/// The delays of one direction, at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct DelayLaw {
    base_us: f64,
    noise: NoiseLaw,
    spike_probability: f64,
    spike_us: f64,
}

impl DelayLaw {
    /// The delay of the next message, in ns; never negative. Takes the same number of draws for every law, so
    /// that changing a law keeps the rest of the stream. `elapsed` ns since the start, and the load of the
    /// network, matter to the laws whose delays depend on those before.
    pub(super) fn draw(&self, elapsed: i64, load: &mut Load, random: &mut Random) -> i64 {
        let drawn = Drawn {
            exponential: random.exponential(1.0),
            gaussian: random.gaussian(1.0),
            uniform: random.uniform(),
        };
        let noise = self.noise_us(drawn, elapsed, load);
        let spike = if random.chance(self.spike_probability) { self.spike_us } else { 0.0 };
        ns_of_us((self.base_us + noise + spike).max(0.0))
    }

    fn noise_us(&self, drawn: Drawn, elapsed: i64, load: &mut Load) -> f64 {
        let mut more = drawn.more();
        match self.noise {
            NoiseLaw::None => 0.0,
            NoiseLaw::Exponential { mean_us } => mean_us * drawn.exponential,
            NoiseLaw::Gaussian { sd_us } => self.not_too_early(sd_us, drawn.gaussian, &mut more),
            NoiseLaw::HalfGaussian { sd_us } => sd_us * drawn.gaussian.abs(),
            NoiseLaw::Bimodal { sd_us, apart_us, probability } => {
                let later = if drawn.uniform < probability { apart_us } else { 0.0 };
                self.not_too_early(sd_us, drawn.gaussian, &mut more) + later
            }
            NoiseLaw::Uniform { width_us } => width_us * drawn.uniform,
            NoiseLaw::Gamma { stages, mean_us } => {
                let stage_us = mean_us / f64::from(stages);
                (0..stages).map(|_| more.exponential(stage_us)).sum()
            }
            NoiseLaw::LogNormal { median_us, log_sd } => median_us * (log_sd * drawn.gaussian).exp(),
            NoiseLaw::SelfSimilar { mean_us, flows, hurst, shortest_s } => {
                let active = load.flows_at(elapsed, flows, hurst, shortest_s);
                (0..active).map(|_| more.exponential(mean_us / flows)).sum()
            }
            NoiseLaw::Beat { depth_us, period_s, mean_us } => {
                let phase = (elapsed as f64 / 1e9 / period_s).fract();
                depth_us * (1.0 - phase) + mean_us * drawn.exponential
            }
        }
    }

    /// A Gaussian, cut off where the message would arrive before it was sent.
    fn not_too_early(&self, sd_us: f64, first: f64, more: &mut Random) -> f64 {
        let arrives = |noise: &f64| self.base_us + noise >= 0.0;
        let tries = std::iter::once(first).chain((0..CUT_OFF_TRIES).map(|_| more.gaussian(1.0)));
        tries.map(|gaussian| sd_us * gaussian).find(arrives).unwrap_or(0.0)
    }
}

/// Half of the draws pass at worst; then 2^-60 of the messages take the base delay.
const CUT_OFF_TRIES: usize = 60;

/// What every message draws, whatever its law.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    /// Of mean 1.
    exponential: f64,
    /// Of standard deviation 1.
    gaussian: f64,
    /// In `[0, 1)`.
    uniform: f64,
}

impl Drawn {
    /// More chance for a law that needs it, which takes nothing from the stream.
    fn more(self) -> Random {
        Random::stream(self.exponential.to_bits(), "one message")
    }
}

impl PathPlan {
    /// The law that holds `elapsed` ns after the start.
    pub(super) fn law_at(&self, elapsed: i64) -> DelayLaw {
        let mut law = DelayLaw {
            base_us: self.base_us,
            noise: self.noise,
            spike_probability: self.spike_probability,
            spike_us: self.spike_us,
        };
        for change in self.change.iter().filter(|change| elapsed >= ns_of_s(change.at_s)) {
            law.base_us = change.base_us.unwrap_or(law.base_us);
            law.noise = change.noise.unwrap_or(law.noise);
        }
        law
    }

    /// The shortest delay `elapsed` ns after the start: what a listener takes for none.
    pub(super) fn base_ns(&self, elapsed: i64) -> i64 {
        ns_of_us(self.law_at(elapsed).base_us)
    }

    /// The delays of the copies of one message that arrive: none, one or two.
    pub(super) fn deliver(&self, elapsed: i64, load: &mut Load, random: &mut Random) -> [Option<i64>; 2] {
        let law = self.law_at(elapsed);
        let (lost, twice) = (random.chance(self.loss), random.chance(self.duplicate));
        let held = if random.chance(self.reorder) { self.reorder_us } else { 0.0 };
        let held = ns_of_us(random.uniform() * held);
        let first = law.draw(elapsed, load, random) + held;
        let second = if twice { Some(first + law.draw(elapsed, load, random)) } else { None };
        [(!lost).then_some(first), second.filter(|_| !lost)]
    }
}

impl NtpPlan {
    /// The law of each direction.
    pub(super) fn law(&self) -> DelayLaw {
        DelayLaw {
            base_us: self.base_us,
            noise: self.noise,
            spike_probability: self.spike_probability,
            spike_us: self.spike_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::PathChange;
    use super::*;

    fn delays(plan: &PathPlan, elapsed: i64) -> Vec<i64> {
        let mut random = Random::stream(3, "path");
        let mut load = Load::new(3, "path");
        (0..50_000).flat_map(|_| plan.deliver(elapsed, &mut load, &mut random)).flatten().collect()
    }

    /// Delays without base and spikes, 250 ms apart, in µs.
    fn noise_us(noise: NoiseLaw, count: i64) -> Vec<f64> {
        let plan = PathPlan { noise, spike_probability: 0.0, base_us: 1_000.0, ..PathPlan::default() };
        let (mut random, mut load) = (Random::stream(3, "path"), Load::new(3, "path"));
        let mut delay = |k: i64| plan.deliver(k * 250_000_000, &mut load, &mut random)[0].unwrap();
        (0..count).map(|k| delay(k) as f64 / 1e3 - 1_000.0).collect()
    }

    fn mean_and_sd(values: &[f64]) -> (f64, f64) {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        (mean, (values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / count).sqrt())
    }

    /// As the formulas in every textbook say; the scenarios' limits follow from these deviations.
    #[test]
    fn every_law_has_its_mean_and_its_deviation() {
        for (law, mean, sd) in [
            (NoiseLaw::Exponential { mean_us: 20.0 }, 20.0, 20.0),
            (NoiseLaw::Gaussian { sd_us: 20.0 }, 0.0, 20.0),
            (NoiseLaw::HalfGaussian { sd_us: 20.0 }, 15.96, 12.06),
            (NoiseLaw::Bimodal { sd_us: 3.0, apart_us: 40.0, probability: 0.5 }, 20.0, 20.22),
            (NoiseLaw::Uniform { width_us: 69.3 }, 34.65, 20.0),
            (NoiseLaw::Gamma { stages: 4, mean_us: 40.0 }, 40.0, 20.0),
            (NoiseLaw::LogNormal { median_us: 15.0, log_sd: 0.8 }, 20.66, 19.6),
            (NoiseLaw::Beat { depth_us: 60.0, period_s: 37.0, mean_us: 5.0 }, 35.0, 18.03),
        ] {
            let (is_mean, is_sd) = mean_and_sd(&noise_us(law, 50_000));
            assert!(
                (is_mean - mean).abs() < 0.6 && (is_sd / sd - 1.0).abs() < 0.04,
                "{law:?} {is_mean} {is_sd}"
            );
        }
    }

    #[test]
    fn self_similar_delays_stay_noisy_however_long_the_average_is() {
        let law = NoiseLaw::SelfSimilar { mean_us: 20.0, flows: 5.0, hurst: 0.85, shortest_s: 0.5 };
        let self_similar = noise_us(law, 400_000);
        let (mean, _) = mean_and_sd(&self_similar);
        assert!((mean - 20.0).abs() < 2.5, "{mean}");
        // The spread of averages over 100 s and over 10 s: independent delays lose 10^0.5 = 3.2, these 10^0.15.
        let spread = |delays: &[f64], of: usize| {
            mean_and_sd(&delays.chunks(of).map(|part| mean_and_sd(part).0).collect::<Vec<_>>()).1
        };
        let loss = |delays: &[f64]| spread(delays, 40) / spread(delays, 400);
        assert!((1.2..2.2).contains(&loss(&self_similar)), "{}", loss(&self_similar));
        let independent = noise_us(NoiseLaw::Exponential { mean_us: 20.0 }, 400_000);
        assert!((2.8..3.6).contains(&loss(&independent)), "{}", loss(&independent));
    }

    fn mean(delays: &[i64]) -> f64 {
        delays.iter().sum::<i64>() as f64 / delays.len() as f64
    }

    #[test]
    fn the_base_path_has_its_floor_its_mean_and_its_spikes() {
        let delays = delays(&PathPlan::default(), 0);
        assert!(delays.iter().all(|delay| *delay >= 30_000));
        // 30 µs + 20 µs + 0.5 % of 500 µs.
        assert!((mean(&delays) - 52_500.0).abs() < 500.0, "{}", mean(&delays));
        let spikes = delays.iter().filter(|delay| **delay > 500_000).count();
        assert!((200..300).contains(&spikes), "{spikes}");
    }

    #[test]
    fn a_law_that_changes_does_so_at_its_time() {
        let noise = Some(NoiseLaw::HalfGaussian { sd_us: 400.0 });
        let change = vec![PathChange { at_s: 10.0, base_us: Some(66.0), noise }];
        let plan = PathPlan { change, spike_probability: 0.0, ..PathPlan::default() };
        assert_eq!((plan.base_ns(9_999_999_999), plan.base_ns(10_000_000_000)), (30_000, 66_000));
        // The mean of a half Gaussian is sd × √(2/π).
        let late = mean(&delays(&plan, 10_000_000_000));
        assert!((late - 66_000.0 - 319_154.0).abs() < 4_000.0, "{late}");
    }

    #[test]
    fn messages_are_lost_and_doubled_as_often_as_told() {
        let lossy = PathPlan { loss: 0.2, ..PathPlan::default() };
        assert!((38_500..41_500).contains(&delays(&lossy, 0).len()));
        let doubling = PathPlan { duplicate: 0.1, ..PathPlan::default() };
        assert!((54_000..56_000).contains(&delays(&doubling, 0).len()));
    }

    #[test]
    fn a_wide_gaussian_never_arrives_before_it_was_sent() {
        let noise = NoiseLaw::Gaussian { sd_us: 100.0 };
        let plan = PathPlan { noise, ..PathPlan::default() };
        let delays = delays(&plan, 0);
        assert!(delays.iter().all(|delay| *delay >= 0));
        // Cut off, and not heaped up at the edge.
        assert!(delays.iter().filter(|delay| **delay == 0).count() < 3);
    }
}
