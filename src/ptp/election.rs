//! Best-master election: which of several leaders a Dante network follows.
//!
//! The order is that of IEEE 1588-2002 as Dante devices apply it: a Preferred Leader wins over everything else.
//! We only ever choose among others and never lead, so the cases about our own place in the tree are left out.

use std::cmp::Ordering;

use super::wire::SyncBody;
use crate::time::LeaderId;

/// What an election looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who says so.
    pub id: LeaderId,
    /// What it says.
    pub data: DataSet,
}

/// What a leader says of its grandmaster (itself, in a Dante subnet) and of its way there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct DataSet {
    /// MAC address of the grandmaster.
    pub grandmaster_uuid: [u8; 6],
    /// Port of the grandmaster; 0 is the clock itself.
    pub grandmaster_port: u16,
    /// Lower leads; 255 never leads.
    pub stratum: u8,
    /// Where the grandmaster has its time from: `DFLT` with Dante.
    pub identifier: [u8; 4],
    /// log2 of the variance in s², times 256; lower is better.
    pub variance: i16,
    /// Configured as Preferred Leader.
    pub preferred: bool,
    /// A boundary clock.
    pub boundary: bool,
    /// Boundary clocks between the grandmaster and the sender.
    pub steps_removed: u16,
}

impl DataSet {
    /// Says of itself that it must not lead.
    pub const fn never_leads(&self) -> bool {
        self.stratum == STRATUM_NEVER
    }

    const fn grandmaster(&self) -> ([u8; 6], u16) {
        (self.grandmaster_uuid, self.grandmaster_port)
    }
}

impl From<&SyncBody> for DataSet {
    fn from(sync: &SyncBody) -> Self {
        Self {
            grandmaster_uuid: sync.grandmaster.uuid,
            grandmaster_port: sync.grandmaster.port,
            stratum: sync.grandmaster_clock_stratum,
            identifier: sync.grandmaster_clock_identifier,
            variance: sync.grandmaster_clock_variance,
            preferred: sync.grandmaster_preferred,
            boundary: sync.grandmaster_is_boundary_clock,
            steps_removed: sync.local_steps_removed,
        }
    }
}

/// Whose stratum is this must not lead (slave-only clocks say so).
const STRATUM_NEVER: u8 = 255;

/// Up to here a clock has its time from a primary reference: the quality of its own oscillator means nothing.
const STRATUM_REFERENCED: u8 = 2;

/// Variances that differ by no more than this (a factor of two) count as alike.
const VARIANCE_ALIKE: u16 = 256;

/// The candidate that should lead. It does not depend on the order of the candidates.
pub fn best<I>(candidates: I) -> Option<Candidate>
where
    I: Iterator<Item = Candidate> + Clone,
{
    let candidates = candidates.filter(|candidate| !candidate.data.never_leads());
    // "Alike" is not transitive, so three candidates can beat each other in a circle. Who beats most of the
    // others leads; whoever beats all of them does so in any case. At most 32 candidates: 1024 comparisons.
    let wins = |one: &Candidate| candidates.clone().filter(|other| compare(one, other).is_lt()).count();
    candidates.clone().max_by(|a, b| wins(a).cmp(&wins(b)).then(b.id.cmp(&a.id)))
}

/// Which of two leads: `Less` if it is `a`, so that sorting puts the best in front; `Equal` only for the same
/// sender. Antisymmetric, but not transitive where variances are alike: [`best`] chooses among many.
pub fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let (ours, theirs) = (&a.data, &b.data);
    let near = || ours.steps_removed.cmp(&theirs.steps_removed).then(a.id.cmp(&b.id));
    let preferred = first(ours.preferred, theirs.preferred);
    if ours.grandmaster() == theirs.grandmaster() {
        return preferred.then_with(near);
    }
    let class = preferred
        .then(ours.stratum.cmp(&theirs.stratum))
        .then(rank(ours.identifier).cmp(&rank(theirs.identifier)));
    if ours.stratum <= STRATUM_REFERENCED {
        return class.then_with(near);
    }
    class
        .then(compare_variance(ours.variance, theirs.variance))
        .then(first(ours.boundary, theirs.boundary))
        .then(ours.grandmaster().cmp(&theirs.grandmaster()))
}

/// The side that has the property comes first.
fn first(a: bool, b: bool) -> Ordering {
    b.cmp(&a)
}

/// How good the source of a clock's time is; lower is better.
fn rank(identifier: [u8; 4]) -> u8 {
    match &identifier {
        b"ATOM" | b"GPS\0" => 1,
        b"NTP\0" => 2,
        b"HAND" => 3,
        b"INIT" => 4,
        b"DFLT" => 5,
        _ => 6,
    }
}

fn compare_variance(a: i16, b: i16) -> Ordering {
    if a.abs_diff(b) <= VARIANCE_ALIKE { Ordering::Equal } else { a.cmp(&b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(uuid: u8) -> Candidate {
        let uuid = [0x02, 0, 0x5e, 0x10, 0, uuid];
        Candidate {
            id: LeaderId::V1 { technology: 1, uuid, port: 1, subdomain: crate::config::DEFAULT_SUBDOMAIN },
            data: DataSet {
                grandmaster_uuid: uuid,
                grandmaster_port: 0,
                stratum: 123,
                identifier: *b"DFLT",
                variance: -4000,
                preferred: false,
                boundary: true,
                steps_removed: 0,
            },
        }
    }

    fn with(uuid: u8, change: impl FnOnce(&mut DataSet)) -> Candidate {
        let mut candidate = candidate(uuid);
        change(&mut candidate.data);
        candidate
    }

    #[track_caller]
    fn leads(a: Candidate, b: Candidate) {
        assert_eq!(compare(&a, &b), Ordering::Less);
        assert_eq!(compare(&b, &a), Ordering::Greater);
        assert_eq!(best([a, b].into_iter()), Some(a));
        assert_eq!(best([b, a].into_iter()), Some(a));
    }

    #[test]
    fn the_lower_stratum_leads() {
        leads(with(2, |data| data.stratum = 121), candidate(1));
    }

    #[test]
    fn a_preferred_leader_wins_over_a_better_stratum() {
        let preferred = with(2, |data| (data.stratum, data.preferred) = (153, true));
        leads(preferred, with(1, |data| data.stratum = 121));
    }

    #[test]
    fn of_two_preferred_leaders_the_lower_address_leads() {
        let preferred = |uuid| with(uuid, |data| (data.stratum, data.preferred) = (121, true));
        leads(preferred(1), preferred(2));
    }

    #[test]
    fn a_clearly_lower_variance_leads() {
        leads(candidate(2), with(1, |data| data.variance = 28768));
        leads(with(2, |data| data.variance = i16::MIN), with(1, |data| data.variance = i16::MAX));
    }

    #[test]
    fn a_boundary_clock_leads_when_variances_are_alike() {
        leads(with(2, |data| data.variance = -3800), with(1, |data| data.boundary = false));
    }

    #[test]
    fn variances_are_alike_up_to_256() {
        leads(with(1, |data| data.variance = -4000 + 256), candidate(2));
        leads(candidate(2), with(1, |data| data.variance = -4000 + 257));
    }

    #[test]
    fn a_better_source_leads_over_a_lower_variance() {
        leads(with(2, |data| data.identifier = *b"GPS\0"), with(1, |data| data.variance = -20000));
    }

    #[test]
    fn sources_of_time_have_their_order() {
        let order: [&[[u8; 4]]; 6] =
            [&[*b"ATOM", *b"GPS\0"], &[*b"NTP\0"], &[*b"HAND"], &[*b"INIT"], &[*b"DFLT"], &[*b"What"]];
        for pair in order.windows(2) {
            for (better, worse) in pair[0].iter().flat_map(|a| pair[1].iter().map(move |b| (*a, *b))) {
                leads(with(2, |data| data.identifier = better), with(1, |data| data.identifier = worse));
            }
        }
        leads(with(1, |data| data.identifier = *b"GPS\0"), with(2, |data| data.identifier = *b"ATOM"));
    }

    #[test]
    fn a_preferred_leader_wins_among_referenced_ones() {
        let referenced = |uuid, preferred| {
            with(uuid, |data| (data.stratum, data.identifier, data.preferred) = (2, *b"NTP\0", preferred))
        };
        leads(referenced(2, true), referenced(1, false));
    }

    #[test]
    fn of_two_ways_to_one_grandmaster_the_shorter_leads() {
        let way =
            |uuid, steps| with(uuid, |data| (data.grandmaster_uuid, data.steps_removed) = ([9; 6], steps));
        leads(way(2, 0), way(1, 2));
        leads(way(2, 0), way(1, 1));
        leads(way(1, 1), way(2, 1));
    }

    #[test]
    fn referenced_clocks_are_not_compared_by_variance() {
        let referenced = |uuid, variance| with(uuid, |data| (data.stratum, data.variance) = (2, variance));
        leads(referenced(1, 20000), referenced(2, -20000));
    }

    #[test]
    fn stratum_255_never_leads() {
        let never = with(1, |data| (data.stratum, data.preferred) = (255, true));
        assert_eq!(best([never].into_iter()), None);
        assert_eq!(best([never, candidate(2)].into_iter()), Some(candidate(2)));
    }

    #[test]
    fn a_circle_has_one_winner_whatever_the_order() {
        // Each is alike to the next and has the lower address; the last has the clearly lowest variance.
        let [a, b, c] = [(1, 400), (2, 200), (3, 0)].map(|(uuid, v)| with(uuid, |data| data.variance = v));
        assert_eq!([compare(&a, &b), compare(&b, &c), compare(&c, &a)], [Ordering::Less; 3]);
        for order in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
            assert_eq!(best(order.into_iter()), Some(a));
        }
    }

    fn any_candidate() -> impl Strategy<Value = Candidate> {
        // Few values, so that every field is often equal.
        let identifier = prop::sample::select(vec![*b"GPS\0", *b"DFLT", *b"What"]);
        let data = (prop::sample::select(vec![1_u8, 2, 121, 153]), identifier, 0..3_i16, 0..3_u16);
        (0..3_u8, 0..3_u8, data, any::<(bool, bool)>()).prop_map(
            |(uuid, grandmaster, (stratum, identifier, variance, steps), (preferred, boundary))| {
                with(uuid, |data| {
                    *data = DataSet {
                        grandmaster_uuid: [grandmaster; 6],
                        grandmaster_port: 0,
                        stratum,
                        identifier,
                        variance: variance * 200,
                        preferred,
                        boundary,
                        steps_removed: steps,
                    };
                })
            },
        )
    }

    proptest! {
        #[test]
        fn comparing_the_other_way_round_turns_the_answer_round(a in any_candidate(), b in any_candidate()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
        }

        #[test]
        fn who_beats_everybody_leads(candidates in prop::collection::vec(any_candidate(), 1..8)) {
            let chosen = best(candidates.iter().copied()).unwrap();
            let beats_all = |a: &&Candidate| candidates.iter().all(|b| *a == b || compare(a, b).is_lt());
            if let Some(winner) = candidates.iter().find(beats_all) {
                prop_assert_eq!(chosen, *winner);
            }
        }
    }
}
