//! How much of a sample is news.
//!
//! The filters take delays for independent. Behind a queue that stays full, or in traffic that comes in bursts of all
//! lengths, they are not: sixteen late samples in a row are one congestion, not sixteen witnesses. So it is measured
//! how much more the mean of a block of samples scatters than that of independent ones, and each sample counts for less
//! by that factor.

/// Samples in a block: 16 s at 4 Hz.
const BLOCK: u32 = 64;

/// Blocks over which the scatter is learned: 9 min at 4 Hz.
const MEMORY: f64 = 32.0;

/// A sample counts as at most this many deviations, a block as so many of those of independent samples: a spike or a
/// change says nothing about the rest.
const SAMPLE_LIMIT: f64 = 4.0;
const BLOCK_LIMIT: f64 = 5.0;

/// The variance of fewer samples than this is no measure of them.
const FEW: f64 = 32.0;

/// Up to this factor the scatter may be chance.
const CHANCE: f64 = 2.0;

/// No sample counts for less than this.
const LEAST: f64 = 0.02;

/// Measures it from what samples miss the believed line by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct News {
    mean: f64,
    variance: f64,
    /// Variance of the sum of a block, per sample.
    scatter: f64,
    sum: f64,
    count: u32,
    samples: f64,
    blocks: f64,
}

impl News {
    /// Takes what a sample missed the line by, ns.
    pub(super) fn take(&mut self, innovation: f64) {
        self.samples = (self.samples + 1.0).min(MEMORY * f64::from(BLOCK));
        let limit = SAMPLE_LIMIT * self.variance.sqrt();
        let off = innovation - self.mean;
        let off = if self.samples > FEW { off.clamp(-limit, limit) } else { off };
        self.mean += off / self.samples;
        self.variance += (off * off - self.variance) / self.samples;
        self.sum += off;
        self.count += 1;
        if self.count >= BLOCK {
            self.end_block();
        }
    }

    /// The line has changed: what was begun belongs to the old one.
    pub(super) fn interrupt(&mut self) {
        (self.sum, self.count) = (0.0, 0);
    }

    fn end_block(&mut self) {
        let limit = BLOCK_LIMIT * BLOCK_LIMIT * self.variance;
        let scatter = (self.sum * self.sum / f64::from(BLOCK)).min(limit);
        // It begins as independent samples would scatter, and that counts like a few blocks.
        self.blocks = (self.blocks + 1.0).min(MEMORY);
        let before = if self.scatter > 0.0 { self.scatter } else { self.variance };
        self.scatter = before + (scatter - before) / (self.blocks + 4.0).min(MEMORY);
        self.interrupt();
    }

    /// The part of a sample that is news: 1 for independent ones.
    pub(super) fn share(&self) -> f64 {
        if self.scatter <= 0.0 || self.variance <= 0.0 {
            return 1.0;
        }
        (CHANCE * self.variance / self.scatter).clamp(LEAST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform numbers from −0.5 to 0.5 (a linear congruence: any will do).
    fn draws(count: usize) -> impl Iterator<Item = f64> {
        let step = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some(f64::from(*state) / f64::from(u32::MAX) - 0.5)
        };
        std::iter::repeat_n((), count).scan(7_u32, move |state, ()| step(state))
    }

    fn after(samples: impl Iterator<Item = f64>) -> f64 {
        let mut news = News::default();
        samples.for_each(|sample| news.take(sample));
        news.share()
    }

    #[test]
    fn before_anything_is_known_a_sample_is_all_news() {
        assert_eq!(News::default().share(), 1.0);
    }

    #[test]
    fn independent_samples_are_all_news_whatever_their_mean() {
        assert_eq!(after(draws(20_000).map(|draw| 20e3 + 20e3 * draw)), 1.0);
    }

    #[test]
    fn samples_that_come_in_runs_are_news_by_their_number_of_runs() {
        // Runs of 32: a block's mean scatters 32 times as much.
        let mut draws = draws(20_000);
        let runs = std::iter::from_fn(move || draws.next()).flat_map(|draw| std::iter::repeat_n(draw, 32));
        let share = after(runs.take(20_000));
        assert!((0.03..0.15).contains(&share), "{share}");
    }

    #[test]
    fn a_spike_and_a_step_that_was_noticed_change_nothing() {
        let mut news = News::default();
        draws(10_000).for_each(|draw| news.take(draw));
        news.take(1e6);
        (0..12).for_each(|_| news.take(2.0));
        news.interrupt();
        draws(200).for_each(|draw| news.take(draw));
        assert_eq!(news.share(), 1.0);
    }

    #[test]
    fn what_was_learned_is_forgotten() {
        let mut news = News::default();
        let mut draws = draws(60_000);
        for draw in draws.by_ref().take(500) {
            (0..32).for_each(|_| news.take(draw));
        }
        assert!(news.share() < 0.5);
        draws.for_each(|draw| news.take(draw));
        assert_eq!(news.share(), 1.0);
    }
}
