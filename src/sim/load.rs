//! The other traffic on a path, where its delays depend on those before.

#![allow(clippy::as_conversions, reason = "seconds of a simulated world become whole nanoseconds")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::random::Random;

/// Transfers that begin at random and last for a time with a heavy tail. Their number is then correlated over
/// all scales of time: the queue M/G/∞, the usual model of self-similar traffic (Cox 1984; Leland, Taqqu,
/// Willinger, Wilson 1994).
#[derive(Debug)]
pub(super) struct Load {
    random: Random,
    /// When those under way end, in ns since the start.
    ends: BinaryHeap<Reverse<i64>>,
    /// When the next one begins; none before the load is first asked for.
    next: Option<f64>,
}

impl Load {
    /// The load called `name` of the world `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let random = Random::stream(seed, &format!("load of {name}"));
        Self { random, ends: BinaryHeap::new(), next: None }
    }

    /// How many transfers are under way `elapsed` ns after the start, when `flows` are so in the mean. Time
    /// must not run backward; where it does by a little, nothing has changed meanwhile.
    pub(super) fn flows_at(&mut self, elapsed: i64, flows: f64, hurst: f64, shortest_s: f64) -> usize {
        // The number's correlations fall like t^(1 - shape), so that H = (3 - shape) / 2.
        let shape = 3.0 - 2.0 * hurst;
        let mean_s = shortest_s * shape / (shape - 1.0);
        let now_s = elapsed as f64 / 1e9;
        let mut next = match self.next {
            Some(next) => next,
            None => {
                self.begin(now_s, flows, shape, shortest_s);
                now_s + self.random.exponential(mean_s / flows)
            }
        };
        while next <= now_s {
            let length_s = shortest_s * (1.0 - self.random.uniform()).powf(-1.0 / shape);
            self.ends.push(Reverse(end_ns(next + length_s)));
            next += self.random.exponential(mean_s / flows);
        }
        self.next = Some(next);
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= elapsed) {
            self.ends.pop();
        }
        self.ends.len()
    }

    /// As if it had gone on for ever: a Poisson number of transfers, each with what is left of its length.
    fn begin(&mut self, now_s: f64, flows: f64, shape: f64, shortest_s: f64) {
        let mut sum = self.random.exponential(1.0);
        while sum < flows {
            let (whole, tail) = (self.random.uniform(), 1.0 - self.random.uniform());
            let left_s = if whole < (shape - 1.0) / shape {
                shortest_s * (1.0 - tail)
            } else {
                shortest_s * tail.powf(-1.0 / (shape - 1.0))
            };
            self.ends.push(Reverse(end_ns(now_s + left_s)));
            sum += self.random.exponential(1.0);
        }
    }
}

/// The tail is so heavy that a length may exceed what ns can count; the cast saturates.
fn end_ns(seconds: f64) -> i64 {
    (seconds * 1e9) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_number_is_the_one_asked_for_from_the_start_on() {
        let mean = |elapsed_s: i64| {
            let count = |seed| Load::new(seed, "x").flows_at(elapsed_s * 1_000_000_000, 5.0, 0.8, 0.5);
            (0..2_000).map(|seed| count(seed) as f64).sum::<f64>() / 2_000.0
        };
        assert!((mean(0) - 5.0).abs() < 0.2, "{}", mean(0));
        let later = |seed| {
            let mut load = Load::new(seed, "x");
            load.flows_at(0, 5.0, 0.8, 0.5);
            load.flows_at(100_000_000_000, 5.0, 0.8, 0.5) as f64
        };
        let mean = (0..1_000).map(later).sum::<f64>() / 1_000.0;
        assert!((mean - 5.0).abs() < 0.3, "{mean}");
    }

    #[test]
    fn the_same_seed_gives_the_same_load() {
        let course = |seed| {
            let mut load = Load::new(seed, "x");
            (0..50).map(|s| load.flows_at(s * 1_000_000_000, 5.0, 0.8, 0.5)).collect::<Vec<_>>()
        };
        assert_eq!(course(1), course(1));
        assert_ne!(course(1), course(2));
    }
}
