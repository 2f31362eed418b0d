//! Beliefs side by side, and how much each is believed.
//!
//! How far back a filter should look depends on how the oscillators wander, which no constant knows. So several
//! filters look at the same samples, each with its own assumption, and are weighted by how well each predicted
//! the last ten minutes. At the very start it is the noise that is unknown: then they differ in that.

use super::super::filter::{Filter, Noise, Posterior, Wander};

/// The assumptions: from a computer that shares the leader's crystal to a wild one, in ns/s per √s; and rates
/// that drift with the temperature, in ns/s² per √s.
const WANDERS: [Wander; 10] = [
    Wander { rate: 0.1, drift: 0.0 },
    Wander { rate: 0.3, drift: 0.0 },
    Wander { rate: 1.0, drift: 0.0 },
    Wander { rate: 3.0, drift: 0.0 },
    Wander { rate: 10.0, drift: 0.0 },
    Wander { rate: 30.0, drift: 0.0 },
    Wander { rate: 100.0, drift: 0.0 },
    Wander { rate: 1.0, drift: 0.1 },
    Wander { rate: 3.0, drift: 0.1 },
    Wander { rate: 3.0, drift: 0.4 },
];

/// What is assumed while only the noise is in question: an ordinary computer (0.003 ppm per √s).
const ORDINARY: Wander = Wander { rate: 3.0, drift: 0.0 };

/// At the very start these guesses of the delay's width (ns) compete, in both shapes: from a quiet wire to a
/// loaded computer.
const START_WIDTHS: [f64; 5] = [400.0, 3e3, 20e3, 100e3, 500e3];

/// The first guess of the width: a computer behind one switch (ns).
const ORDINARY_WIDTH: f64 = 20e3;

/// The noise is settled after this (s); then the assumptions about the oscillators begin to compete.
const START_LENGTH: f64 = 8.0;

/// How long a good or bad prediction is remembered (s).
const MEMORY: f64 = 600.0;

/// Who lags by more log odds than this is hopeless, and starts again from the best one with some of the lag.
const HOPELESS: f64 = 30.0;
const SECOND_CHANCE: f64 = 15.0;

/// Log odds against an assumption for every factor of ten by which its wander differs from the ordinary one, and
/// against a drift or another shape of the noise, before anything was predicted: a few calm minutes do not prove
/// a calm oscillator.
const DOUBT_PER_DECADE: f64 = 6.0;
const DOUBT: f64 = 4.0;

fn doubt(wander: Wander) -> f64 {
    let drift = if wander.drift > 0.0 { DOUBT } else { 0.0 };
    drift + DOUBT_PER_DECADE * (wander.rate / ORDINARY.rate).log10().abs()
}

/// Scores are noted this often (s): the note before the last is older than any challenger that can win.
const NOTE_EVERY: f64 = 10.0;

#[derive(Debug, Clone, Copy)]
struct Member {
    shape: Shape,
    filter: Filter,
    /// Remembered log likelihood.
    score: f64,
}

/// What a member assumes of the noise when it starts. The learning stays near the shape it starts from, so both
/// are tried again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    AsLearned,
    OneSided,
    Symmetric,
}

impl Shape {
    fn of(self, learned: Noise) -> Noise {
        match self {
            Self::AsLearned => learned,
            Self::OneSided => Noise::one_sided(learned.deviation()),
            Self::Symmetric => Noise::symmetric(learned.deviation()),
        }
    }
}

impl Member {
    fn new(shape: Shape, wander: Wander, from: &Filter, score: f64) -> Self {
        let filter = Filter { noise: shape.of(from.noise), ..from.assuming(wander) };
        Self { shape, filter, score }
    }
}

/// Filters that differ in one assumption; see the module's text.
#[derive(Debug)]
pub(super) struct Bank {
    members: Vec<Member>,
    best: Filter,
    starting: bool,
    /// Scores as they stood one and two notes ago: see [`Bank::restart`].
    noted: [Vec<f64>; 2],
    noted_at: f64,
}

impl Bank {
    /// Begins at phase 0 and time 0. A noise that is known already is not put in question.
    pub(super) fn start(rate: f64, rate_sigma: f64, noise: Option<Noise>) -> Self {
        let begin = |noise| Filter::start(0.0, 0.0, rate, rate_sigma, ORDINARY, noise);
        let guesses =
            START_WIDTHS.into_iter().flat_map(|width| [Noise::one_sided(width), Noise::symmetric(width)]);
        let noises = match noise {
            Some(noise) => vec![noise],
            None => guesses.collect(),
        };
        let member = |noise: &Noise| Member { shape: Shape::AsLearned, filter: begin(*noise), score: 0.0 };
        let best = begin(noise.unwrap_or(Noise::one_sided(ORDINARY_WIDTH)));
        Self {
            members: noises.iter().map(member).collect(),
            best,
            starting: true,
            noted: [Vec::new(), Vec::new()],
            noted_at: 0.0,
        }
    }

    /// Begins anew from a belief: something has changed, the oscillators have not. What the change did to the
    /// scores until it was noticed (a wild oscillator predicts it best) is undone.
    pub(super) fn restart(&mut self, filter: &Filter) {
        for member in &mut self.members {
            member.filter = Filter { noise: filter.noise, ..filter.assuming(member.filter.wander) };
        }
        let [_, older] = &self.noted;
        for (member, score) in self.members.iter_mut().zip(older) {
            member.score = *score;
        }
        self.rank();
    }

    /// Notes the scores now and then; they are kept in the members' order.
    fn note(&mut self, time: f64) {
        if time - self.noted_at >= NOTE_EVERY {
            self.noted_at = time;
            let [newer, older] = &mut self.noted;
            std::mem::swap(newer, older);
            *newer = self.members.iter().map(|member| member.score).collect();
        }
    }

    /// Takes a sample; the posterior is that of the believed filter.
    pub(super) fn observe(&mut self, time: f64, phase: f64) -> Posterior {
        let believed = { self.best }.observe(time, phase);
        let forget = (-(time - self.best.time).max(0.0) / MEMORY).exp();
        for member in &mut self.members {
            let posterior = member.filter.observe(time, phase);
            member.score = member.score * forget + posterior.log_likelihood;
        }
        self.rank();
        self.note(time);
        if self.starting && time >= START_LENGTH {
            self.starting = false;
            self.compete();
        }
        believed
    }

    /// From now on it is the assumptions about the oscillators that compete, and the noise's shape.
    fn compete(&mut self) {
        let best = self.best;
        let wanders = WANDERS.map(|wander| Member::new(Shape::AsLearned, wander, &best, -doubt(wander)));
        let shapes =
            [Shape::OneSided, Shape::Symmetric].map(|shape| Member::new(shape, ORDINARY, &best, -DOUBT));
        self.members = wanders.into_iter().chain(shapes).collect();
        // The old ones belonged to other members.
        let scores: Vec<f64> = self.members.iter().map(|member| member.score).collect();
        self.noted = [scores.clone(), scores];
    }

    /// Finds the best, and gives the hopeless a second chance.
    fn rank(&mut self) {
        let Some(best) = self.members.iter().max_by(|a, b| a.score.total_cmp(&b.score)).copied() else {
            return;
        };
        self.best = best.filter;
        for member in &mut self.members {
            // Scores are relative: the best one's is zero.
            member.score -= best.score;
            if member.score < -HOPELESS && !self.starting {
                *member = Member::new(member.shape, member.filter.wander, &best.filter, -SECOND_CHANCE);
            }
        }
    }

    /// The filter that predicted best.
    pub(super) fn believed(&self) -> &Filter {
        &self.best
    }

    /// All beliefs together at `time`, each by its odds; the spread between them counts as uncertainty.
    pub(super) fn mixed(&self, time: f64) -> Filter {
        let mut mixed = extrapolated(&self.best, time);
        let beliefs =
            || self.members.iter().map(|member| (member.score.exp(), extrapolated(&member.filter, time)));
        let total: f64 = beliefs().map(|(odds, _)| odds).sum();
        if total <= 0.0 {
            return mixed;
        }
        let mean = |of: fn(&Filter) -> f64| beliefs().map(|(odds, it)| odds * of(&it)).sum::<f64>() / total;
        let (phase, rate) = (mean(|it| it.phase), mean(|it| it.rate));
        let around =
            |of: &dyn Fn(&Filter) -> f64| beliefs().map(|(odds, it)| odds * of(&it)).sum::<f64>() / total;
        mixed.known.phase = around(&|it| it.known.phase + (it.phase - phase).powi(2));
        mixed.known.rate = around(&|it| it.known.rate + (it.rate - rate).powi(2));
        (mixed.phase, mixed.rate) = (phase, rate);
        mixed
    }
}

/// A belief at `time`; a little backwards too, where a sample was stamped after it was asked for.
fn extrapolated(filter: &Filter, time: f64) -> Filter {
    let mut at = filter.predicted(time);
    at.phase += at.rate * (time - at.time);
    at
}
