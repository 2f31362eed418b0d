//! Beliefs side by side, and how much each is believed.
//!
//! How far back a filter should look depends on how the oscillators wander, which no constant knows. So several
//! filters look at the same samples, each with its own assumption, and are weighted by how well each predicted
//! the last ten minutes. At the very start it is the noise that is unknown: then they differ in that.

use super::super::filter::{Filter, Noise, Posterior, Wander};
use super::{BOUND_SIGMAS, RATE_PRIOR};

/// The assumptions: from a computer that shares the leader's crystal to a wild one, in ns/s per √s; and rates
/// that drift with the temperature, in ns/s² per √s.
pub(super) const WANDERS: [Wander; 9] = [
    Wander { rate: 0.1, drift: 0.0 },
    Wander { rate: 0.3, drift: 0.0 },
    Wander { rate: 1.0, drift: 0.0 },
    Wander { rate: 3.0, drift: 0.0 },
    Wander { rate: 10.0, drift: 0.0 },
    Wander { rate: 30.0, drift: 0.0 },
    Wander { rate: 1.0, drift: 0.1 },
    Wander { rate: 3.0, drift: 0.1 },
    Wander { rate: 3.0, drift: 0.4 },
];

/// What is assumed while only the noise is in question: an ordinary computer (0.003 ppm per √s).
const ORDINARY: Wander = Wander { rate: 3.0, drift: 0.0 };

/// At the very start these guesses of the delay's width (ns) compete, in three shapes: from a quiet wire to a
/// loaded computer.
const START_WIDTHS: [f64; 5] = [400.0, 3e3, 20e3, 100e3, 500e3];

/// The first guess of the width: a computer behind one switch (ns).
const ORDINARY_WIDTH: f64 = 20e3;

/// The noise is settled after this (s); then the assumptions about the oscillators begin to compete.
const START_LENGTH: f64 = 8.0;

/// How long a good or bad prediction is remembered (s).
pub(super) const MEMORY: f64 = 600.0;

/// Who lags by more log odds than this is hopeless, and starts again from the best one with some of the lag.
const HOPELESS: f64 = 30.0;
const SECOND_CHANCE: f64 = 15.0;

/// Log odds against an assumption before anything was predicted, which every forgotten prediction gives back: a few
/// calm minutes do not prove a calm oscillator. Ten times calmer or wilder than the ordinary one, …
const DOUBT_CALM: f64 = 2.5;
const DOUBT_WILD: f64 = 3.5;
/// … where delays hang together this instead: their mean wanders, and a bound must not be tight by a mere belief, …
pub(super) const DOUBT_WILD_RUNS: f64 = 2.0;
/// … a drift of the rate, and what a ten times faster one adds, …
const DOUBT_DRIFT: f64 = 3.0;
const DOUBT_FAST_DRIFT: f64 = 5.0;
const SLOW_DRIFT: f64 = 0.1;
/// … and another shape of the noise than the learned one.
const DOUBT_SHAPE: f64 = 6.0;

/// Log odds against a wander before anything was predicted; `wild` are those against one ten times wilder.
pub(super) fn doubt(wander: Wander, wild: f64) -> f64 {
    let drift = match wander.drift {
        0.0 => 0.0,
        drift => DOUBT_DRIFT + DOUBT_FAST_DRIFT * (drift / SLOW_DRIFT).log10(),
    };
    let decades = (wander.rate / ORDINARY.rate).log10();
    drift + decades * decades * if decades > 0.0 { wild } else { DOUBT_CALM }
}

/// Log odds for what an earlier run of the program believed.
const RESUMED: f64 = 4.0;

/// Scores are noted this often (s): the note before the last is older than any challenger that can win.
const NOTE_EVERY: f64 = 10.0;

#[derive(Debug, Clone, Copy)]
struct Member {
    shape: Shape,
    filter: Filter,
    /// Log odds against it before anything was predicted.
    doubt: f64,
    /// These and the remembered log likelihood; 0 is the best member's.
    score: f64,
}

/// What a member assumes of the noise when it starts. The learning stays near the shape it starts from, so both
/// are tried again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    AsLearned,
    OneSided,
    Blurred,
    Symmetric,
}

/// Log odds by which a shape must lead, beyond its doubt, to become everyone's.
const ADOPTED: f64 = 2.0;

/// A shape that is tried counts like so many samples: 16 s at 4 Hz.
const SHAPE_WEIGHT: f64 = 64.0;

impl Shape {
    fn of(self, learned: Noise) -> Noise {
        match self {
            Self::AsLearned => learned,
            Self::OneSided => Noise::one_sided(learned.deviation()),
            Self::Blurred => Noise::blurred(learned.deviation()),
            Self::Symmetric => Noise::symmetric(learned.deviation()),
        }
    }

    /// Log odds against it together with a wander, where this part of a sample is news.
    fn doubt(self, wander: Wander, news: f64) -> f64 {
        let wild = if news < 1.0 { DOUBT_WILD_RUNS } else { DOUBT_WILD };
        doubt(wander, wild) + if self == Self::AsLearned { 0.0 } else { DOUBT_SHAPE }
    }
}

impl Member {
    fn new(shape: Shape, wander: Wander, from: &Filter) -> Self {
        let mut filter = Filter { noise: shape.of(from.noise), ..from.assuming(wander) };
        if shape != Shape::AsLearned {
            // Another shape puts the edge elsewhere, and is not to be unlearned before that is found.
            filter.noise.weight = SHAPE_WEIGHT;
            filter.known.phase += from.noise.deviation().powi(2);
        }
        let doubt = shape.doubt(wander, from.noise.news);
        Self { shape, filter, doubt, score: -doubt }
    }

    /// Its second chance, from the line of the best.
    fn again(&self, best: &Filter) -> Self {
        Self { score: -SECOND_CHANCE, ..Self::new(self.shape, self.filter.wander, best) }
    }

    /// From now on this part of a sample is news.
    fn set_news(&mut self, news: f64) {
        self.filter.noise.news = news;
        let doubt = self.shape.doubt(self.filter.wander, news);
        self.score += self.doubt - doubt;
        self.doubt = doubt;
    }
}

/// Filters that differ in one assumption; see the module's text.
#[derive(Debug, Clone)]
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
        let guesses = START_WIDTHS
            .into_iter()
            .flat_map(|width| [Noise::one_sided(width), Noise::blurred(width), Noise::symmetric(width)]);
        let noises = match noise {
            Some(noise) => vec![noise],
            None => guesses.collect(),
        };
        let member =
            |noise: &Noise| Member { shape: Shape::AsLearned, filter: begin(*noise), doubt: 0.0, score: 0.0 };
        let best = begin(noise.unwrap_or(Noise::one_sided(ORDINARY_WIDTH)));
        Self {
            members: noises.iter().map(member).collect(),
            best,
            starting: true,
            noted: [Vec::new(), Vec::new()],
            noted_at: 0.0,
        }
    }

    /// The same with a guess of the rate from before a boot, beside those of any start: the file may be another
    /// computer's, and whichever predicts better is believed.
    pub(super) fn expect(rate: f64, rate_sigma: f64, noise: Noise) -> Self {
        let mut bank = Self::start(0.0, RATE_PRIOR, None);
        let filter = Filter::start(0.0, 0.0, rate, rate_sigma, ORDINARY, noise);
        bank.members.push(Member { shape: Shape::AsLearned, filter, doubt: 0.0, score: 0.0 });
        bank.best = filter;
        bank
    }

    /// Goes on from what an earlier run believed.
    pub(super) fn resume(believed: &Filter) -> Self {
        let member = Member::new(Shape::AsLearned, believed.wander, believed);
        let mut bank = Self {
            members: vec![member],
            best: *believed,
            starting: false,
            noted: [Vec::new(), Vec::new()],
            noted_at: 0.0,
        };
        bank.compete();
        let same = |it: &&mut Member| it.shape == Shape::AsLearned && it.filter.wander == believed.wander;
        bank.members.iter_mut().find(same).into_iter().for_each(|member| member.score = RESUMED);
        bank.rank();
        bank
    }

    /// Begins anew from a belief: something has changed, the oscillators have not. What the change did to the
    /// scores until it was noticed (a wild oscillator predicts it best) is undone, and other shapes are tried again.
    pub(super) fn restart(&mut self, filter: &Filter) {
        let [_, older] = &self.noted;
        let scores = older.iter().map(Some).chain(std::iter::repeat(None));
        for (member, score) in self.members.iter_mut().zip(scores) {
            if member.shape == Shape::AsLearned {
                member.filter = Filter { noise: filter.noise, ..filter.assuming(member.filter.wander) };
                member.score = score.copied().unwrap_or(member.score);
            } else {
                *member = member.again(filter);
            }
        }
        self.rank();
    }

    /// From now on this part of a sample is news.
    pub(super) fn set_news(&mut self, news: f64) {
        self.best.noise.news = news;
        if self.starting {
            self.members.iter_mut().for_each(|member| member.filter.noise.news = news);
        } else {
            self.members.iter_mut().for_each(|member| member.set_news(news));
        }
    }

    /// Whether the members agree about the noise.
    pub(super) fn knows_noise(&self) -> bool {
        !self.starting || self.members.len() == 1
    }

    /// Replaces the line of all members, who keep their assumptions and their scores.
    pub(super) fn refit(&mut self, filter: &Filter) {
        for member in &mut self.members {
            let Filter { wander, noise, .. } = member.filter;
            member.filter = Filter { noise, ..filter.assuming(wander) };
        }
        self.rank();
    }

    /// After a long silence: all go on from the best line. What each would have predicted by itself says nothing of what
    /// it assumes.
    pub(super) fn awake(&mut self, time: f64) {
        let best = self.best.predicted(time);
        self.refit(&best);
    }

    /// Notes the scores now and then; they are kept in the members' order.
    fn note(&mut self, time: f64) {
        if time - self.noted_at >= NOTE_EVERY {
            self.noted_at = time;
            let [newer, older] = &mut self.noted;
            std::mem::swap(newer, older);
            newer.clear();
            newer.extend(self.members.iter().map(|member| member.score));
        }
    }

    /// Takes a sample; the posterior is that of the believed filter.
    pub(super) fn observe(&mut self, time: f64, phase: f64) -> Posterior {
        let believed = { self.best }.observe(time, phase);
        let forget = (-(time - self.best.time).max(0.0) / MEMORY).exp();
        for member in &mut self.members {
            let posterior = member.filter.observe(time, phase);
            member.score = (member.score + member.doubt) * forget - member.doubt + posterior.log_likelihood;
        }
        self.rank();
        self.adopt_shape();
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
        let wanders = WANDERS.map(|wander| Member::new(Shape::AsLearned, wander, &best));
        let shapes = [Shape::OneSided, Shape::Blurred, Shape::Symmetric]
            .map(|shape| Member::new(shape, ORDINARY, &best));
        self.members = wanders.into_iter().chain(shapes).collect();
        // The old ones belonged to other members.
        self.note_afresh();
    }

    /// Where another shape explains the noise better, all members take it over with its line and keep the odds that
    /// they have among each other: what was wrong is not what they assume of the oscillators.
    fn adopt_shape(&mut self) {
        let won = |it: &&Member| it.shape != Shape::AsLearned && it.score >= 0.0;
        let Some(winner) = self.members.iter().find(won).copied().filter(|_| !self.starting) else { return };
        let same = |it: &&Member| it.shape == Shape::AsLearned && it.filter.wander == winner.filter.wander;
        let lead = self.members.iter().find(same).map_or(0.0, |it| -it.score);
        if lead <= ADOPTED {
            return;
        }
        for member in &mut self.members {
            *member = if member.shape == Shape::AsLearned {
                let noise = winner.filter.noise;
                let filter = Filter { noise, ..winner.filter.assuming(member.filter.wander) };
                Member { filter, score: member.score + lead, ..*member }
            } else {
                member.again(&winner.filter)
            };
        }
        self.note_afresh();
        self.rank();
    }

    fn note_afresh(&mut self) {
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
                *member = member.again(&best.filter);
            }
        }
    }

    /// The filter that predicted best.
    pub(super) fn believed(&self) -> &Filter {
        &self.best
    }

    /// How likely it is that the oscillators wander more than ordinary ones do.
    pub(super) fn agile(&self) -> f64 {
        let (mut all, mut agile) = (0.0, 0.0);
        for member in &self.members {
            let (odds, wander) = (member.score.exp(), member.filter.wander);
            all += odds;
            agile += if wander.rate > ORDINARY.rate || wander.drift > 0.0 { odds } else { 0.0 };
        }
        agile / all
    }

    /// All beliefs together at `time`, each by its odds.
    pub(super) fn mixed(&self, time: f64) -> Filter {
        let mut mixed = mixture(&self.best, time, self.members.iter().map(|it| (it.score, &it.filter)));
        mixed.known.phase += (LAW_DOUBT * mixed.noise.deviation()).powi(2);
        mixed
    }
}

/// Beliefs together at `time`, each with its log odds against the `best` one. The variances are such that
/// [`BOUND_SIGMAS`] deviations hold 99.9 % of the mixture: an unlikely belief far from the others widens them.
pub(super) fn mixture<'a>(
    best: &Filter,
    time: f64,
    beliefs: impl Iterator<Item = (f64, &'a Filter)> + Clone,
) -> Filter {
    let beliefs = beliefs.map(|(score, it)| (score.exp(), extrapolated(it, time)));
    let mut mixed = extrapolated(best, time);
    let (mut total, mut phase, mut rate) = (0.0, 0.0, 0.0);
    for (odds, it) in beliefs.clone() {
        total += odds;
        phase += odds * (it.phase - mixed.phase);
        rate += odds * (it.rate - mixed.rate);
    }
    mixed.phase += phase / total;
    mixed.rate += rate / total;
    let (mut phase, mut rate) = (0.0, 0.0);
    for (odds, it) in beliefs {
        phase = reach(odds / total, it.phase - mixed.phase, it.known.phase).max(phase);
        rate = reach(odds / total, it.rate - mixed.rate, it.known.rate).max(rate);
    }
    mixed.known.phase = phase * phase;
    mixed.known.rate = rate * rate;
    mixed
}
/// How far a belief of this `weight` reaches from the middle of the mixture, in deviations of a normal distribution
/// of its own: beyond [`BOUND_SIGMAS`] of them lies less than 0.1 % of the mixture. 0 for a belief that is itself
/// less likely than that.
fn reach(weight: f64, distance: f64, variance: f64) -> f64 {
    // The quantile of a part of the distribution goes nearly with the root of its log odds, from all to none of it.
    let part = 1.0 - weight.ln() / BEYOND.ln();
    if part > 0.0 { distance.abs() / BOUND_SIGMAS + (variance * part).sqrt() } else { 0.0 }
}

/// No delay follows the assumed law exactly. Where its edge really is, is in doubt by this part of its width.
const LAW_DOUBT: f64 = 0.005;

/// A belief of no more than this share reaches nowhere. Less than the 0.001 that lies beyond [`BOUND_SIGMAS`]: several
/// beliefs may share the doubt.
const BEYOND: f64 = 0.000_7;

/// A belief at `time`; a little backwards too, where a sample was stamped after it was asked for.
fn extrapolated(filter: &Filter, time: f64) -> Filter {
    let mut at = filter.predicted(time);
    at.phase += at.rate * (time - at.time);
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_belief_alone_reaches_as_far_as_it_is_uncertain_and_an_unlikely_one_less() {
        assert!((reach(1.0, 0.0, 100.0) - 10.0).abs() < 1e-9);
        assert_eq!(reach(BEYOND / 2.0, 1e6, 1e6), 0.0);
        // At 1 % of the mixture it is the 93 % quantile that counts: 1.81 deviations of 3.29.
        let part = reach(0.01, 0.0, 100.0) / 10.0;
        assert!((0.5..0.65).contains(&part), "{part}");
        assert!((reach(1.0, -32.9, 0.0) - 10.0).abs() < 1e-9, "a distance counts on either side");
    }

    #[test]
    fn a_likely_belief_elsewhere_is_inside_the_bound_of_the_mixture() {
        let mut bank = Bank::start(0.0, 1e3, Some(Noise::one_sided(20e3)));
        bank.compete();
        bank.members.truncate(2);
        for (member, rate) in bank.members.iter_mut().zip([0.0, 500.0]) {
            (member.filter.rate, member.filter.known.rate, member.score) = (rate, 1.0, 0.0);
        }
        bank.rank();
        let mixed = bank.mixed(0.0);
        assert!((mixed.rate - 250.0).abs() < 1e-6);
        assert!(BOUND_SIGMAS * mixed.known.rate.sqrt() >= 250.0, "{mixed:?}");
    }

    #[test]
    fn doubts_come_back_as_predictions_are_forgotten() {
        let mut bank = Bank::start(0.0, 1e3, Some(Noise::one_sided(20e3)));
        bank.compete();
        let wild = bank.members.iter().position(|it| it.filter.wander.rate == 30.0).unwrap();
        bank.members[wild].score = 0.0;
        bank.members[3].score = 0.0;
        // An hour of silence, and a sample that surprises nobody.
        bank.observe(3_600.0, bank.best.predicted(3_600.0).phase);
        let ordinary = bank.members[3].score;
        assert!(bank.members[wild].score < ordinary - 1.0, "{} {ordinary}", bank.members[wild].score);
    }

    fn competing() -> Bank {
        let mut bank = Bank::start(0.0, 1e3, Some(Noise::one_sided(20e3)));
        bank.compete();
        bank.starting = false;
        bank
    }

    fn score(bank: &Bank, shape: Shape, rate: f64) -> f64 {
        let same = |it: &&Member| it.shape == shape && it.filter.wander == Wander { rate, drift: 0.0 };
        bank.members.iter().find(same).unwrap().score
    }

    #[test]
    fn a_better_shape_becomes_everyones_and_leaves_the_odds_of_the_oscillators() {
        let mut bank = competing();
        for member in &mut bank.members {
            member.score = if member.shape == Shape::Symmetric { 0.0 } else { member.score - 5.0 };
        }
        bank.rank();
        let before = score(&bank, Shape::AsLearned, 30.0) - score(&bank, Shape::AsLearned, 3.0);
        bank.adopt_shape();
        assert_eq!(score(&bank, Shape::AsLearned, 3.0), 0.0);
        assert!((score(&bank, Shape::AsLearned, 30.0) - before).abs() < 1e-9);
        assert_eq!(score(&bank, Shape::Symmetric, 3.0), -SECOND_CHANCE);
        let symmetric = |it: &Member| it.filter.noise.sigma > it.filter.noise.lambda;
        assert!(bank.members.iter().filter(|it| it.shape == Shape::AsLearned).all(symmetric));
    }

    #[test]
    fn after_a_change_every_shape_is_tried_again_whatever_the_noise_was_taken_for() {
        let mut bank = competing();
        let taken = Filter { noise: Noise::symmetric(20e3), rate: 25e3, ..*bank.believed() };
        bank.restart(&taken);
        assert!(bank.members.iter().all(|it| it.filter.rate == 25e3));
        let one_sided = |it: &&Member| it.filter.noise.lambda > it.filter.noise.sigma;
        assert_eq!(bank.members.iter().filter(one_sided).count(), 2, "one-sided and blurred");
    }

    #[test]
    fn a_change_in_the_first_seconds_reaches_the_only_member() {
        let mut bank = Bank::start(0.0, 1e3, Some(Noise::one_sided(20e3)));
        bank.restart(&Filter { rate: 25e3, ..*bank.believed() });
        assert_eq!(bank.believed().rate, 25e3);
    }

    #[test]
    fn a_shape_that_leads_by_little_is_not_everyones() {
        let mut bank = competing();
        for member in &mut bank.members {
            member.score = if member.shape == Shape::Symmetric { 0.0 } else { member.score - 0.9 * ADOPTED };
        }
        bank.rank();
        bank.adopt_shape();
        assert_eq!(score(&bank, Shape::Symmetric, 3.0), 0.0);
    }

    #[test]
    fn a_wild_oscillator_is_doubted_less_where_delays_hang_together() {
        let mut bank = competing();
        let alone = score(&bank, Shape::AsLearned, 30.0);
        bank.set_news(0.5);
        let runs = score(&bank, Shape::AsLearned, 30.0);
        assert!((runs - alone - (DOUBT_WILD - DOUBT_WILD_RUNS)).abs() < 1e-9, "{runs} {alone}");
        bank.set_news(1.0);
        assert!((score(&bank, Shape::AsLearned, 30.0) - alone).abs() < 1e-9);
    }
}
