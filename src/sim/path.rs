//! What happens to a message on its way.

#![allow(clippy::as_conversions, reason = "delays of microseconds become whole nanoseconds")]

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
    /// that changing a law keeps the rest of the stream.
    pub(super) fn draw(&self, random: &mut Random) -> i64 {
        let exponential = random.exponential(1.0);
        let gaussian = random.gaussian(1.0);
        let later = random.uniform();
        let noise = match self.noise {
            NoiseLaw::None => 0.0,
            NoiseLaw::Exponential { mean_us } => mean_us * exponential,
            NoiseLaw::Gaussian { sd_us } => sd_us * gaussian,
            NoiseLaw::HalfGaussian { sd_us } => sd_us * gaussian.abs(),
            NoiseLaw::Bimodal { sd_us, apart_us, probability } => {
                sd_us * gaussian + if later < probability { apart_us } else { 0.0 }
            }
        };
        let spike = if random.chance(self.spike_probability) { self.spike_us } else { 0.0 };
        ns_of_us((self.base_us + noise + spike).max(0.0))
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
    pub(super) fn deliver(&self, elapsed: i64, random: &mut Random) -> [Option<i64>; 2] {
        let law = self.law_at(elapsed);
        let (lost, twice) = (random.chance(self.loss), random.chance(self.duplicate));
        let held = if random.chance(self.reorder) { self.reorder_us } else { 0.0 };
        let held = ns_of_us(random.uniform() * held);
        let first = law.draw(random) + held;
        let second = if twice { Some(first + law.draw(random)) } else { None };
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
        (0..50_000).flat_map(|_| plan.deliver(elapsed, &mut random)).flatten().collect()
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
        assert!(delays.iter().all(|delay| *delay >= 0) && delays.contains(&0));
    }
}
