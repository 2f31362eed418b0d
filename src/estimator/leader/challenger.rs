//! Challengers: what if something has just changed?

use super::super::filter::{Filter, Posterior};

/// A set of challengers is forked this often, and lives this long (s).
const FORK_EVERY: f64 = 0.9;
const LIFE: f64 = 10.0;
const LIMIT: usize = 36;

/// Leaders were seen to turn by ±25 ppm (ns/s).
const RATE_CHANGE: f64 = 20e3;
/// Audio starting on the same link adds 36 µs; other routes differ by more (ns).
const PATH_CHANGE: f64 = 50e3;
/// Doubt about the rate after a change of the path (ns/s).
const PATH_RATE_DOUBT: f64 = 3e3;
/// The noise may rise twentyfold at once (a loaded switch, a busy computer).
const NOISE_CHANGE: f64 = 8.0;

/// Log odds at which a challenger takes over. Were nothing changed, a challenger's likelihood ratio would pass
/// e^16 at any time of its life with a probability below e^-16 (Ville's inequality); 2.9e5 challengers a day make
/// that 0.03 false alarms a day, where the noise follows its law.
const ODDS: f64 = 16.0;

/// Noise that was learned from fewer samples than this cannot be doubted yet.
const NOISE_LEARNED: f64 = 16.0;

/// What changed, as the data say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The leader's rate.
    Rate,
    /// The path, or the leader's phase: a listener cannot tell them apart.
    Path,
    /// The noise.
    Noise,
}

impl Change {
    const ALL: [Self; 3] = [Self::Rate, Self::Path, Self::Noise];

    /// The belief that assumes this change just happened.
    fn applied_to(self, mut filter: Filter) -> Filter {
        match self {
            Self::Rate => {
                // It changed at any time since the last fork; by then the phase has moved too.
                filter.known.rate += RATE_CHANGE * RATE_CHANGE;
                filter.known.phase += (RATE_CHANGE * FORK_EVERY / 2.0).powi(2);
            }
            Self::Path => {
                // Seconds after it, a slower leader still looks like a longer path: the rate is in doubt too.
                filter.known.phase += PATH_CHANGE * PATH_CHANGE;
                filter.known.rate += PATH_RATE_DOUBT * PATH_RATE_DOUBT;
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
    born: f64,
    /// Log likelihood since the fork, relative to the believed filter's.
    lead: f64,
}

impl Challenger {
    /// Where two explain the samples nearly as well, the less harmful mistake is made: to take a longer path for
    /// another rate kicks the clock, to take either for mere noise hides it.
    fn favoured(&self) -> f64 {
        self.lead
            + match self.change {
                Change::Path => FAVOUR,
                Change::Rate => 0.0,
                Change::Noise => -FAVOUR,
            }
    }
}

/// Log odds by which one is preferred to the next.
const FAVOUR: f64 = 6.0;

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
    ) -> Option<(Change, Filter)> {
        if time - self.last_fork >= FORK_EVERY {
            self.last_fork = time;
            self.fork(time, before);
        }
        for challenger in &mut self.running {
            let told = challenger.filter.observe(time, phase);
            challenger.lead += told.log_likelihood - posterior.log_likelihood;
        }
        let winner = self
            .running
            .iter()
            .filter(|it| it.lead > ODDS)
            .max_by(|a, b| a.favoured().total_cmp(&b.favoured()))
            .copied();
        if let Some(winner) = winner {
            // The others go on against the new belief: what won first need not be the best explanation.
            self.running.retain(|it| it.change != winner.change);
            for challenger in &mut self.running {
                challenger.lead -= winner.lead;
            }
        }
        self.running.retain(|it| time - it.born < LIFE && it.lead > -ODDS);
        winner.map(|Challenger { change, filter, .. }| {
            // Only a noise challenger was forked to learn another noise; the others saw it through a change.
            let noise = if change == Change::Noise { filter.noise } else { before.noise };
            (change, Filter { noise, ..filter })
        })
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
                self.running.push(Challenger { change, filter, born: time, lead: 0.0 });
            }
        }
    }
}
