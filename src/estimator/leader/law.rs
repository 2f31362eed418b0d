//! How well the assumed law of the delay describes the samples.
//!
//! The filter knows delays that are normal, exponential, or a sum of both. Where they follow another law (two routes, a
//! queue that is empty or full), the edge that the line marks lies here or there as the fit turns out, and no number of
//! samples tells where. How wrong the law is can be measured: the share of it that lies below a sample is any number
//! from 0 to 1 alike if it is right. The largest distance between the two distributions (Kolmogorov's) says which part
//! of the delays is elsewhere than assumed.

/// Shares are counted in classes of a tenth, which end here.
const EDGES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Samples that are remembered: two minutes at 4 Hz.
const MEMORY: f64 = 512.0;

/// Chance alone makes 95 % of the distances smaller than this by the root of the number of samples.
const CHANCE: f64 = 1.36;

/// What every fit of a queue is wrong by, and what the beliefs' own odds cover.
const TOLERATED: f64 = 0.04;

/// By this part of the delay's deviation the edge is in doubt (one deviation) for each part that lies elsewhere: two
/// routes of the same share, 40 µs apart, are off by 0.25, and the line may lie between them or at the shorter.
const DOUBT: f64 = 0.5;

/// See the module's text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Law {
    counts: [f64; EDGES.len() + 1],
}

impl Law {
    /// Takes the share of the assumed law that lies below a sample.
    pub(super) fn take(&mut self, share: f64) {
        self.counts.iter_mut().for_each(|count| *count *= 1.0 - 1.0 / MEMORY);
        let class = EDGES.iter().take_while(|edge| share >= **edge).count();
        self.counts.iter_mut().skip(class).take(1).for_each(|count| *count += 1.0);
    }

    /// How far the edge is in doubt for it, by the delay's deviation.
    pub(super) fn doubt(&self) -> f64 {
        let total: f64 = self.counts.iter().sum();
        if total <= 0.0 {
            return 0.0;
        }
        let (mut below, mut largest) = (0.0, 0.0_f64);
        for (edge, count) in EDGES.iter().zip(&self.counts) {
            below += count / total;
            largest = largest.max((below - edge).abs());
        }
        // What is half forgotten counts half, and its square a quarter: the sum of squares follows from the sum.
        let filled = total / MEMORY;
        let squares = filled * (2.0 - filled) * MEMORY / (2.0 - 1.0 / MEMORY);
        let chance = CHANCE * squares.sqrt() / total;
        DOUBT * (largest - chance - TOLERATED).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After 2000 samples whose shares are these numbers, in an order without a trend.
    fn after(share: impl Fn(f64) -> f64) -> f64 {
        let mut law = Law::default();
        (0..2_000).for_each(|k| law.take(share((f64::from(k) * 0.618_033_988_75).fract())));
        law.doubt()
    }

    #[test]
    fn the_right_law_leaves_no_doubt() {
        assert_eq!(after(|share| share), 0.0);
        assert_eq!(Law::default().doubt(), 0.0);
    }

    #[test]
    fn two_routes_leave_as_much_as_lies_elsewhere() {
        // Half of them are above 0.5, and none between 0.2 and 0.8: 0.2 of them are elsewhere, less what chance does.
        let doubt = after(|share| if share < 0.5 { 0.21 } else { 0.79 });
        assert!((0.05..0.07).contains(&doubt), "{doubt}");
    }

    #[test]
    fn a_few_samples_prove_nothing() {
        let mut law = Law::default();
        (0..8).for_each(|_| law.take(0.55));
        assert!(law.doubt() < 0.1, "{}", law.doubt());
        [f64::NAN, f64::INFINITY, -1.0, 2.0].into_iter().for_each(|share| law.take(share));
        assert!(law.doubt().is_finite());
    }
}
