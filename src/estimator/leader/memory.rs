//! What outlives a line: leaders' rates, the rhythm of their Syncs, and what an earlier run of the program left.

use super::super::filter::{Noise, Wander};
use super::{LEADER_SPREAD, TIMESCALE_JUMP};
use crate::ptp::SyncSample;
use crate::time::{Leader, LeaderId, Line, Rate, Raw, Span, Timestamp};

/// Leaders whose rates are kept; a network has a few that ever lead.
const RATES: usize = 8;

/// A rate that is known worse than this (ns/s) tells nothing that the spread of leaders does not tell.
const RATE_WORTH: f64 = 1e3;

/// What a rate is uncertain by when its leader comes back, at least (ns/s): crystals age and warm up.
const RATE_FLOOR: f64 = 50.0;

/// A pause shorter than this many Sync intervals cannot be told from a jump of the leader's time by its Syncs.
const PAUSE_INTERVALS: f64 = 4.0;

/// Syncs from which a leader's rhythm is known well enough.
const RHYTHM_SYNCS: u64 = 16;

/// Syncs by which a pause may differ from what the leader's time says it was, and as a share of it.
const PAUSE_SYNCS: f64 = 3.0;
const PAUSE_SHARE: f64 = 0.002;

/// Sequence ids have 16 bits. Where the allowance is a quarter of their range, they tell nothing any more.
const SEQUENCES: f64 = 65_536.0;

/// How far the length of a sleep, as the computer tells it, may be off: it comes from a clock of whole seconds
/// whose drift nobody knows.
const SLEEP_ERROR: Span = Span::from_secs(10);

/// By how much the leader's rate differs in the computer's sleep from what it was before, at most.
const SLEEP_DRIFT: Rate = Rate::from_ppm(100.0);

/// A rate of a leader that is not followed now, for the time when it leads again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownRate {
    /// Whose it is.
    pub leader: LeaderId,
    /// The leader's rate against the raw timeline.
    pub rate: Rate,
    /// Its standard deviation when it was last measured.
    pub sigma: Rate,
    /// When that was.
    pub at: Timestamp<Raw>,
}

/// What an earlier run of the program knew of the leader's line.
#[derive(Debug, Clone, Copy)]
pub struct Prior {
    /// The leader that was followed.
    pub leader: LeaderId,
    /// Its line, anchored when it was last known.
    pub line: Line<Leader, Raw>,
    /// The learned noise of the path.
    pub noise: Noise,
    /// How the oscillators wandered.
    pub wander: Wander,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Memory {
    rates: Vec<KnownRate>,
    rhythm: Option<Rhythm>,
    /// The computer has slept for so long, and the leader was not heard since.
    pub(super) slept: Option<Span>,
    /// What to begin the first line with.
    pub(super) start: Option<Start>,
}

/// What an earlier run knew, on another raw timeline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) leader: LeaderId,
    /// Phase rate in ns/s, and its standard deviation.
    pub(super) rate: f64,
    pub(super) rate_sigma: f64,
    pub(super) noise: Noise,
}

impl Start {
    /// Rate in ns/s and its standard deviation for a line of this leader.
    pub(super) fn rate_of(&self, leader: LeaderId) -> (f64, f64) {
        let spread = if leader == self.leader { 0.0 } else { LEADER_SPREAD };
        (self.rate, self.rate_sigma.hypot(spread))
    }
}

/// Sequence ids and leader time, from the first Sync of a line to its last.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    leader: LeaderId,
    first: Timestamp<Leader>,
    last: Timestamp<Leader>,
    sequence: u16,
    syncs: u64,
}

impl Rhythm {
    /// Mean distance of the Syncs in ns.
    fn interval(&self) -> f64 {
        (self.last - self.first).as_ns_f64() / f64::from(u32::try_from(self.syncs).unwrap_or(u32::MAX))
    }

    /// Whether a sample's sequence id still tells how many Syncs there were since the last one.
    fn goes_on_with(&self, sample: &SyncSample) -> bool {
        let missed = (sample.sent - self.last).as_ns_f64() / self.interval();
        self.leader == sample.leader && (self.syncs < RHYTHM_SYNCS || missed < SEQUENCES / 4.0)
    }
}

impl Memory {
    /// A line begins with this sample.
    pub(super) fn begin(&mut self, sample: &SyncSample) {
        self.slept = None;
        self.rhythm = Some(Rhythm {
            leader: sample.leader,
            first: sample.sent,
            last: sample.sent,
            sequence: sample.sequence,
            syncs: 0,
        });
    }

    /// A sample on the line. Another leader that carries the time on counts its Syncs anew, and after a silence in which
    /// the ids went a quarter round, nobody knows how many there were.
    pub(super) fn note(&mut self, sample: &SyncSample) {
        self.slept = None;
        let Some(rhythm) = self.rhythm.as_mut().filter(|rhythm| rhythm.goes_on_with(sample)) else {
            return self.begin(sample);
        };
        let steps = sample.sequence.wrapping_sub(rhythm.sequence);
        if sample.sent > rhythm.last && steps < u16::MAX / 2 {
            rhythm.syncs = rhythm.syncs.saturating_add(u64::from(steps));
            (rhythm.sequence, rhythm.last) = (sample.sequence, sample.sent);
        }
    }

    /// Whether any sample was on a line yet.
    pub(super) fn has_heard(&self) -> bool {
        self.rhythm.is_some()
    }

    /// How long this computer stood still, if that is why `sample` is `ahead` of the line.
    ///
    /// A leader that reboots begins its time anew, and one whose time is set forward goes on counting its Syncs
    /// one by one. After a pause both have gone on, by the same length of time.
    pub(super) fn pause(&self, sample: &SyncSample, ahead: Span) -> Option<Span> {
        if let Some(slept) = self.slept {
            let drift = SLEEP_DRIFT.gain_over(slept) + TIMESCALE_JUMP;
            return (ahead > -drift && ahead < slept + SLEEP_ERROR).then_some(ahead);
        }
        let rhythm = self.rhythm.filter(|rhythm| rhythm.syncs >= RHYTHM_SYNCS)?;
        let interval = rhythm.interval();
        let missed = (sample.sent - rhythm.last).as_ns_f64() / interval;
        let allowed = PAUSE_SYNCS + PAUSE_SHARE * missed;
        if ahead.as_ns_f64() < PAUSE_INTERVALS * interval || allowed > SEQUENCES / 4.0 {
            return None;
        }
        let steps = f64::from(sample.sequence.wrapping_sub(rhythm.sequence));
        let apart = (steps - missed).rem_euclid(SEQUENCES);
        (apart.min(SEQUENCES - apart) <= allowed).then_some(ahead)
    }

    /// Keeps the rate in ns/s that a leader had when it was last heard.
    pub(super) fn keep(&mut self, leader: LeaderId, rate: f64, sigma: f64, at: Timestamp<Raw>) {
        if sigma <= RATE_WORTH {
            let rate = Rate::from_ratio(-rate * 1e-9);
            self.keep_known(KnownRate { leader, rate, sigma: Rate::from_ratio(sigma * 1e-9), at });
        }
    }

    pub(super) fn keep_known(&mut self, known: KnownRate) {
        self.rates.retain(|other| other.leader != known.leader);
        if self.rates.len() >= RATES {
            self.rates.remove(0);
        }
        self.rates.push(known);
    }

    /// The raw timeline runs at another rate, which may differ by this (one deviation).
    pub(super) fn doubt_rates(&mut self, spread: Rate) {
        let spread = spread.ratio();
        self.rates.iter_mut().for_each(|known| {
            known.sigma = Rate::from_ratio(known.sigma.ratio().hypot(spread));
        });
    }

    /// The rate in ns/s with which a leader comes back, and its standard deviation: both oscillators have walked
    /// on meanwhile.
    pub(super) fn rate_of(
        &self,
        leader: LeaderId,
        now: Timestamp<Raw>,
        wander: Wander,
    ) -> Option<(f64, f64)> {
        let known = self.rates.iter().find(|known| known.leader == leader)?;
        let walked = wander.rate * (now - known.at).as_secs_f64().max(0.0).sqrt();
        Some((-known.rate.ppb(), known.sigma.ppb().hypot(walked).hypot(RATE_FLOOR)))
    }

    /// The rates that are kept.
    pub(super) fn rates(&self) -> &[KnownRate] {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::net::{Stamp, StampSource};

    const LEADER: LeaderId =
        LeaderId::V1 { technology: 1, uuid: [2; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };

    fn sample(sequence: u64, sent_s: f64) -> SyncSample {
        let at = Timestamp::EPOCH;
        SyncSample {
            leader: LEADER,
            sequence: u16::try_from(sequence % 65_536).unwrap(),
            sent: Timestamp::EPOCH + Span::from_secs_f64(sent_s),
            received: Stamp { at, uncertainty: Span::ZERO, source: StampSource::Kernel },
        }
    }

    /// 100 Syncs at 4 Hz, the last one at 25 s with the sequence id 65 500.
    fn after_a_while() -> Memory {
        let mut memory = Memory::default();
        for k in 1..=100 {
            memory.note(&sample(65_400 + k, 0.25 * f64::from(u32::try_from(k).unwrap())));
        }
        memory
    }

    #[test]
    fn a_pause_lets_time_and_sequence_go_on_alike() {
        let memory = after_a_while();
        let ahead = Span::from_secs(600);
        assert_eq!(memory.pause(&sample(65_500 + 2_401, 625.25), ahead), Some(ahead));
        // Two days: the ids have gone round several times, and still tell.
        let two_days = Span::from_secs(172_800);
        assert_eq!(memory.pause(&sample(65_500 + 691_201, 172_825.25), two_days), Some(two_days));
    }

    #[test]
    fn another_leader_and_a_silence_of_hours_begin_the_counting_anew() {
        let mut memory = after_a_while();
        // A warm takeover: it carries the time on, and counts its own Syncs.
        let other = LeaderId::V1 { technology: 1, uuid: [3; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };
        let of_other = |sequence, sent| SyncSample { leader: other, ..sample(sequence, sent) };
        for k in 0..=100 {
            memory.note(&of_other(20_000 + k, 26.0 + 0.25 * f64::from(u32::try_from(k).unwrap())));
        }
        let ahead = Span::from_secs(600);
        assert_eq!(memory.pause(&of_other(20_100 + 2_401, 51.0 + 600.25), ahead), Some(ahead));
        // Silent for five hours, that is 72 000 Syncs: the ids have gone round once.
        for k in 0..=100 {
            let sent = 18_051.0 + 0.25 * f64::from(u32::try_from(k).unwrap());
            memory.note(&of_other(20_100 + 72_000 + k, sent));
        }
        let paused = of_other(20_100 + 72_000 + 100 + 2_401, 18_076.0 + 600.25);
        assert_eq!(memory.pause(&paused, ahead), Some(ahead));
    }

    #[test]
    fn of_another_counter_the_rates_are_known_less_well() {
        let mut memory = Memory::default();
        memory.keep(LEADER, 700.0, 10.0, Timestamp::EPOCH);
        memory.doubt_rates(Rate::from_ppm(3.0));
        let wander = Wander { rate: 3.0, drift: 0.0 };
        let (rate, sigma) = memory.rate_of(LEADER, Timestamp::EPOCH, wander).unwrap();
        assert!((rate - 700.0).abs() < 1e-6 && (2.9e3..3.1e3).contains(&sigma), "{rate} {sigma}");
    }

    #[test]
    fn a_leader_whose_time_is_set_forward_is_not_taken_for_a_pause() {
        let memory = after_a_while();
        assert_eq!(memory.pause(&sample(65_501, 625.25), Span::from_secs(600)), None);
        // Shorter than the Syncs can tell.
        assert_eq!(memory.pause(&sample(65_503, 25.75), Span::from_ms(500)), None);
        // Longer than they can tell.
        let year = Span::from_secs(86_400 * 365);
        assert_eq!(memory.pause(&sample(65_500, 25.0 + year.as_secs_f64()), year), None);
    }

    #[test]
    fn after_a_sleep_the_leader_is_ahead_by_no_more_than_its_length() {
        let mut memory = after_a_while();
        memory.slept = Some(Span::from_secs(2));
        assert_eq!(memory.pause(&sample(1, 28.0), Span::from_secs(2)), Some(Span::from_secs(2)));
        // Where the raw timeline contains the sleep, the leader is where it was expected, or nearly.
        let nearly = Span::from_us(-150);
        assert_eq!(memory.pause(&sample(1, 28.0), nearly), Some(nearly));
        assert_eq!(memory.pause(&sample(1, 60.0), Span::from_secs(30)), None);
        assert_eq!(memory.pause(&sample(1, 0.0), Span::from_secs(-25)), None);
    }

    #[test]
    fn rates_are_kept_for_the_last_leaders_and_fade() {
        let mut memory = Memory::default();
        let leader =
            |k: u8| LeaderId::V1 { technology: 1, uuid: [k; 6], port: 1, subdomain: DEFAULT_SUBDOMAIN };
        for k in 0..10 {
            memory.keep(leader(k), f64::from(k) * 100.0, 10.0, Timestamp::EPOCH);
        }
        let wander = Wander { rate: 3.0, drift: 0.0 };
        assert_eq!(memory.rate_of(leader(1), Timestamp::EPOCH, wander), None);
        let (rate, sigma) = memory.rate_of(leader(9), Timestamp::EPOCH, wander).unwrap();
        assert!((rate - 900.0).abs() < 1e-6 && sigma < 60.0, "{rate} {sigma}");
        let later = Timestamp::EPOCH + Span::from_secs(10_000);
        assert!(memory.rate_of(leader(9), later, wander).unwrap().1 > 300.0);
        // What is hardly known is not worth keeping.
        memory.keep(leader(20), 0.0, 5e3, Timestamp::EPOCH);
        assert_eq!(memory.rate_of(leader(20), Timestamp::EPOCH, wander), None);
    }
}
