//! Challengers: what if something has just changed?

use super::super::filter::{Filter, Posterior};

/// A set of challengers is forked this often, and lives this long (s).
const FORK_EVERY: f64 = 0.9;
const LIFE: f64 = 10.0;
const LIMIT: usize = 36;

/// Leaders were seen to turn by ±25 ppm (ns/s).
const RATE_CHANGE: f64 = 20e3;
/// Audio starting on the same link adds 36 µs; other routes differ by more (ns).
const PHASE_CHANGE: f64 = 50e3;
/// The noise may rise twentyfold at once (a loaded switch, a busy computer).
const NOISE_CHANGE: f64 = 8.0;

/// Log odds at which a challenger takes over. Were nothing changed, a challenger's likelihood ratio would pass
/// e^16 at any time of its life with a probability below e^-16 (Ville's inequality); 1.9e5 challengers a day make
/// that 0.02 false alarms a day, where the noise follows its law.
const ODDS: f64 = 16.0;

/// What a single sample can gain at most. Late samples come in runs where a path has two lengths or a queue stays
/// full, and noise that breaks its law must not pass for a change within a second; early ones have no such excuse.
pub(super) const GAIN_LATE: f64 = 1.5;
pub(super) const GAIN_EARLY: f64 = 4.0;

/// Of challengers that explain a change nearly as well as the best, up to these log odds, the latest is taken: a
/// sample from before the change would bend the new line, one that is left out only makes it less certain.
const NEARLY: f64 = 4.0;

/// Noise that was learned from fewer samples than this cannot be doubted yet.
const NOISE_LEARNED: f64 = 16.0;

/// What changed, as the data say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The leader's rate, its phase, or the path: in the first seconds they look alike, and which it was shows in
    /// the line that follows.
    Line,
    /// The noise.
    Noise,
}

impl Change {
    const ALL: [Self; 2] = [Self::Line, Self::Noise];

    /// The belief that assumes this change just happened.
    fn applied_to(self, mut filter: Filter) -> Filter {
        match self {
            Self::Line => {
                filter.known.rate += RATE_CHANGE * RATE_CHANGE;
                filter.known.phase += PHASE_CHANGE * PHASE_CHANGE;
            }
            Self::Noise => {
                filter.noise.lambda *= NOISE_CHANGE;
                filter.noise.sigma *= 2.0;
                filter.noise.weight = 4.0;
            }
        }
        filter
    }
}

#[derive(Debug, Clone, Copy)]
struct Challenger {
    change: Change,
    filter: Filter,
    /// What it began with.
    prior: Filter,
    born: f64,
    /// Log likelihood since the fork, relative to the believed filter's.
    lead: f64,
}

impl Challenger {
    /// Where two explain the samples nearly as well, the less harmful mistake is made: to take another line for mere
    /// noise hides it.
    fn favoured(&self) -> f64 {
        self.lead
            + match self.change {
                Change::Line => 0.0,
                Change::Noise => -FAVOUR,
            }
    }
}

/// Log odds by which one is preferred to the next.
const FAVOUR: f64 = 6.0;

/// A challenger that takes over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Winner {
    /// What changed.
    pub(super) change: Change,
    /// The belief now.
    pub(super) filter: Filter,
    /// The belief that it began with, at the time of the change.
    pub(super) prior: Filter,
}

/// All that run at present.
#[derive(Debug, Default)]
pub(super) struct Challengers {
    running: Vec<Challenger>,
    last_fork: f64,
}

impl Challengers {
    /// Takes a sample that the believed filter has seen too: `before` it, and with this `posterior`. Returns the
    /// challenger that takes over, if one does.
    pub(super) fn observe(
        &mut self,
        time: f64,
        phase: f64,
        before: &Filter,
        posterior: &Posterior,
        (late_gain, early_gain): (f64, f64),
    ) -> Option<Winner> {
        if time - self.last_fork >= FORK_EVERY {
            self.last_fork = time;
            self.fork(time, before);
        }
        for challenger in &mut self.running {
            let told = challenger.filter.observe(time, phase);
            let most = match challenger.change {
                _ if posterior.innovation <= 0.0 => early_gain,
                Change::Line => late_gain,
                Change::Noise => GAIN_LATE,
            };
            challenger.lead += (told.log_likelihood - posterior.log_likelihood).min(most);
        }
        let winner = self
            .running
            .iter()
            .max_by(|a, b| a.favoured().total_cmp(&b.favoured()))
            .filter(|it| it.lead > ODDS)
            .map(|best| self.latest_like(best));
        if let Some(winner) = winner {
            // The others go on against the new belief: what won first need not be the best explanation.
            self.running.retain(|it| it.change != winner.change);
            for challenger in &mut self.running {
                challenger.lead -= winner.lead;
            }
        }
        self.running.retain(|it| time - it.born < LIFE && it.lead > -ODDS);
        winner.map(|Challenger { change, filter, prior, .. }| {
            // Only a noise challenger was forked to learn another noise; the others saw it through a change.
            let noise = if change == Change::Noise { filter.noise } else { prior.noise };
            Winner { change, filter: Filter { noise, ..filter }, prior }
        })
    }

    /// The latest-born that says the same as `best` and nearly as well.
    fn latest_like(&self, best: &Challenger) -> Challenger {
        let alike = self.running.iter().filter(|it| it.change == best.change && it.lead > best.lead - NEARLY);
        alike.max_by(|a, b| a.born.total_cmp(&b.born)).copied().unwrap_or(*best)
    }

    /// From now on this part of a sample is news.
    pub(super) fn set_news(&mut self, news: f64) {
        self.running.iter_mut().for_each(|it| it.filter.noise.news = news);
    }

    /// Forks one challenger of each kind from the belief before the sample at `time`.
    fn fork(&mut self, time: f64, before: &Filter) {
        let known = before.predicted(time);
        // While the belief is still wide there is nothing to challenge.
        if known.known.rate.sqrt() > RATE_CHANGE || known.noise.weight < NOISE_LEARNED {
            return;
        }
        for change in Change::ALL {
            if self.running.len() < LIMIT {
                let filter = change.applied_to(known);
                self.running.push(Challenger { change, filter, prior: filter, born: time, lead: 0.0 });
            }
        }
    }
}
