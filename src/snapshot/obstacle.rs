//! What stands between this computer and a leader: what is seen of it, and what mends it, for people who have never
//! heard of PTP.

use super::{LeaderRow, Snapshot, Standing, State};
use crate::ptp::{DropReason, is_pulled};
use crate::quoting::{in_shell, in_toml};
use crate::time::{LeaderId, Span, duration};

/// What mends a subdomain that is pulled up or down.
pub const PULL_UP_CURE: &str = "in Dante Controller: set Sample Rate Pull-up of one device at least to None";

/// What mends a subdomain with a strange name.
pub const STRANGE_CURE: &str = "see in Dante Controller which device sends it: its name has characters that are better not put into a command";

/// Whether a subdomain's name, as it is shown, has anything in it that a shell may take for more than a name, or octets
/// that are no text. No device of Dante gives itself such a name.
pub fn is_strange(shown: &str) -> bool {
    !shown.chars().all(|c| c.is_ascii_alphanumeric() || " _-.".contains(c))
}

/// The filter lets through 1 in 64 of what is not for us, which is one in 8 s of a lone leader: what was not heard for
/// this long is gone.
const STRAY_MEMORY: Span = Span::from_secs(60);

/// Until then a start has not seen all that there may be: other groups are joined after 10 s of silence, and of a lone
/// leader there one packet in 8 s gets through the filter.
const LOOKING: Span = Span::from_secs(60);

/// A leader is there as long as its last Sync is no older than so many intervals, within the limits below.
const HEARD_INTERVALS: i64 = 4;
const HEARD_MIN: Span = Span::from_secs(1);
const HEARD_MAX: Span = Span::from_ms(4_500);

/// Its Follow_Ups are missing when its Syncs went on for so many intervals without, within these limits.
const MISSING_INTERVALS: i64 = 8;
const MISSING_MIN: Span = Span::from_secs(2);

/// Pairs of the leader that is followed still come where the last is no older than so many intervals.
const PAIRED_INTERVALS: i64 = 2;

/// A leader that has not qualified by then is heard too irregularly.
const QUALIFYING: Span = Span::from_secs(5);

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing is listened on where the leader was, or nothing at all.
    InterfaceDown {
        /// The interface on which the leader was heard.
        of_leader: Option<String>,
    },
    /// A leader's Syncs come by port 319, but no Follow_Ups by port 320.
    NoFollowUps {
        /// Whose.
        leader: LeaderId,
        /// Where.
        interface: String,
        /// For how long, in ns.
        lasting_ns: i64,
    },
    /// Follow_Ups come by port 320, but no Syncs by port 319.
    NoSyncs {
        /// Where is listened.
        interfaces: String,
    },
    /// Pairs of a leader come, but far apart.
    Irregular {
        /// Whose.
        leader: LeaderId,
        /// Syncs heard.
        syncs: u64,
        /// Those with their Follow_Up.
        pairs: u64,
    },
    /// Pairs of the leader that is followed come, but do not fit its line: they come too unevenly, or its clock was set.
    Uneven {
        /// Whose.
        leader: LeaderId,
    },
    /// Syncs come, but nobody says when.
    NoStamps,
    /// All who are heard say that they must not lead.
    MustNotLead,
    /// Another subdomain is heard.
    OtherSubdomain {
        /// Its name.
        heard: String,
        /// Ours.
        own: String,
    },
    /// PTPv2 is heard, and no PTPv1.
    OnlyVersionTwo,
    /// PTP is heard, but nothing of a leader.
    NoLeader {
        /// Where is listened.
        interfaces: String,
    },
    /// Nothing of PTP is heard.
    Nothing {
        /// Where is listened.
        interfaces: String,
        /// So little time has passed that there may be more to hear.
        early: bool,
    },
}

impl Obstacle {
    /// What a whole snapshot says; `None` where a leader is heard, or is not what is missing.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let concerned = !matches!(snapshot.state, State::Locked | State::Conflict | State::Unknown);
        let followed = snapshot.leaders.iter().find(|leader| leader.standing == Standing::Followed);
        if !concerned || followed.is_some() {
            return followed.and_then(|leader| uneven(leader, snapshot.state));
        }
        interface_down(snapshot)
            .or_else(|| half_heard(snapshot))
            .or_else(|| not_for_us(snapshot))
            .or_else(|| unheard(snapshot))
    }

    /// Why there is no lock; `reason` is what it is said to be otherwise.
    pub fn explain(&self, reason: &str, state: State) -> String {
        let was_followed = matches!(state, State::Holdover | State::Lost);
        match self {
            // That the leader has fallen silent says more.
            Self::MustNotLead | Self::Irregular { .. } if was_followed => reason.to_owned(),
            // This may have been there before.
            Self::OtherSubdomain { .. } | Self::OnlyVersionTwo if was_followed => {
                format!("{reason}; {self}")
            }
            _ => self.to_string(),
        }
    }

    /// What to do about it, as a sentence without its end.
    pub fn cure(&self) -> String {
        let ports = "in this computer's firewall and in the switches";
        match self {
            Self::InterfaceDown { of_leader: Some(name) } => {
                format!("plug the cable of {name} in, and see that it has an IPv4 address")
            }
            Self::InterfaceDown { of_leader: None } => {
                "connect a network interface to the Dante network, and give it an IPv4 address".to_owned()
            }
            Self::NoFollowUps { .. } => format!(
                "let UDP port 320 in, {ports}: it is blocked, or another program has taken it. dantetimesync doctor \
                 says which"
            ),
            Self::NoSyncs { .. } => format!(
                "let UDP port 319 in, {ports}: it is blocked, or another program has taken it. dantetimesync doctor \
                 says which"
            ),
            Self::Irregular { .. } => {
                "look for what loses packets: a wireless link, a cable, an overloaded switch. \
                                       dantetimesync monitor counts what is lost"
                    .to_owned()
            }
            Self::Uneven { .. } => {
                "if this lasts for more than some seconds, join the Dante switch by cable, without radio, power line \
                 or a busy link in between. dantetimesync monitor shows how its packets scatter"
                    .to_owned()
            }
            Self::NoStamps => {
                "dantetimesync doctor says which network card does not stamp, and what mends that".to_owned()
            }
            Self::MustNotLead => {
                "in Dante Controller (Clock Status), see that one device leads; make one the Preferred Leader"
                    .to_owned()
            }
            Self::OtherSubdomain { heard, .. } if is_pulled(heard) => PULL_UP_CURE.to_owned(),
            Self::OtherSubdomain { heard, .. } if is_strange(heard) => STRANGE_CURE.to_owned(),
            Self::OtherSubdomain { heard, .. } => format!(
                "if these are your devices, choose it: --subdomain {} (in the configuration file: subdomain = {})",
                in_shell(heard),
                in_toml(heard)
            ),
            Self::OnlyVersionTwo => {
                "in Dante Controller: give a device Dante's own clocking (PTPv1), not AES67 or \
                                     ST 2110 alone"
                    .to_owned()
            }
            Self::NoLeader { .. } => {
                "look for the leader in Dante Controller (Clock Status): is it on this network? \
                                      dantetimesync monitor shows what arrives"
                    .to_owned()
            }
            Self::Nothing { early: true, .. } => {
                "wait: after a minute it is known whether anything of PTP is there".to_owned()
            }
            Self::Nothing { interfaces, .. } => format!(
                "is {interfaces} on the Dante network (--interface chooses another), does the firewall let UDP ports \
                 319 and 320 in, does a switch with IGMP snooping have a querier?"
            ),
        }
    }
}

/// What is seen, in one line.
impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InterfaceDown { of_leader: Some(name) } => {
                write!(f, "{name}, on which the leader was heard, is down or has no address any more")
            }
            Self::InterfaceDown { of_leader: None } => {
                f.write_str("no network interface is up with an IPv4 address")
            }
            Self::NoFollowUps { leader, interface, lasting_ns } => write!(
                f,
                "Syncs of {leader} arrive on {interface} (UDP port 319), but no Follow_Ups (UDP port 320) for {}",
                duration(*lasting_ns)
            ),
            Self::NoSyncs { interfaces } => write!(
                f,
                "Follow_Ups of a leader arrive on {interfaces} (UDP port 320), but no Syncs (UDP port 319)"
            ),
            Self::Irregular { leader, syncs, pairs } => write!(
                f,
                "the leader {leader} is heard too irregularly: of its {syncs} Syncs {pairs} were completed by a \
                 Follow_Up, and those not close enough together"
            ),
            Self::Uneven { leader } => write!(
                f,
                "packets of the leader {leader} arrive, but they do not fit its line: they come too unevenly, or its \
                 clock was set"
            ),
            Self::NoStamps => f.write_str("Syncs of a leader arrive, but without the time of their arrival"),
            Self::MustNotLead => {
                f.write_str("devices are heard, but all say that they must not lead (stratum 255)")
            }
            Self::OtherSubdomain { heard, own } => {
                let pulled = if is_pulled(heard) { " (a Dante pull-up or pull-down)" } else { "" };
                write!(f, "a leader is heard in the subdomain {heard}{pulled}, which is not ours ({own})")
            }
            Self::OnlyVersionTwo => {
                f.write_str("only PTPv2 is heard (AES67 or ST 2110), not Dante's own PTPv1")
            }
            Self::NoLeader { interfaces } => {
                write!(f, "PTP arrives on {interfaces}, but nothing of a leader")
            }
            Self::Nothing { interfaces, .. } => {
                write!(f, "no PTP, and so no Dante leader, is heard on {interfaces}")
            }
        }
    }
}

/// Where the leader was heard, or anywhere at all.
fn interface_down(snapshot: &Snapshot) -> Option<Obstacle> {
    let of_leader = snapshot.leader.as_ref().map(|leader| leader.interface.clone());
    let is_up = |name: &String| snapshot.interfaces.iter().any(|interface| interface.name == *name);
    let down = snapshot.interfaces.is_empty() || of_leader.as_ref().is_some_and(|name| !is_up(name));
    down.then_some(Obstacle::InterfaceDown { of_leader })
}

/// Samples that fit are missing, and the packets that they are made of are not.
fn uneven(leader: &LeaderRow, state: State) -> Option<Obstacle> {
    let patience = intervals(leader, PAIRED_INTERVALS).clamp(HEARD_MIN, HEARD_MAX);
    let paired = leader.pair_age_ns.is_some_and(|age| Span::from_ns(age) <= patience);
    (matches!(state, State::Holdover | State::Lost) && paired)
        .then_some(Obstacle::Uneven { leader: leader.id })
}

/// Of a leader in our subdomain one half is heard, or both too rarely.
fn half_heard(snapshot: &Snapshot) -> Option<Obstacle> {
    let present = |leader: &&LeaderRow| {
        let patience = intervals(leader, HEARD_INTERVALS).clamp(HEARD_MIN, HEARD_MAX);
        Span::from_ns(leader.heard_age_ns) <= patience
    };
    let Some(leader) = snapshot.leaders.iter().filter(|leader| !leader.qualified).find(present) else {
        let complete = snapshot.leaders.iter().any(|leader| leader.qualified);
        let follow_ups =
            !complete && snapshot.follow_up_age_ns.is_some_and(|age| Span::from_ns(age) <= HEARD_MIN);
        let stampless = snapshot.drops.of(DropReason::NoStamp) > 0 && lately(snapshot.no_stamp_age_ns);
        if follow_ups && stampless {
            return Some(Obstacle::NoStamps);
        }
        // The Follow_Ups are those of devices whose Syncs do arrive.
        if follow_ups && must_not_lead(snapshot) {
            return Some(Obstacle::MustNotLead);
        }
        return follow_ups.then(|| Obstacle::NoSyncs { interfaces: interfaces(snapshot) });
    };
    if no_follow_ups(leader) {
        return Some(Obstacle::NoFollowUps {
            leader: leader.id,
            interface: leader.interface.clone(),
            lasting_ns: lasting(leader).as_ns(),
        });
    }
    (Span::from_ns(leader.first_heard_age_ns) >= QUALIFYING).then_some(Obstacle::Irregular {
        leader: leader.id,
        syncs: leader.syncs,
        pairs: leader.pairs,
    })
}

/// Whether Syncs of a leader went on when its Follow_Ups did not come any more, or never came.
pub fn no_follow_ups(leader: &LeaderRow) -> bool {
    let patience = intervals(leader, MISSING_INTERVALS).clamp(MISSING_MIN, HEARD_MAX);
    lasting(leader) - Span::from_ns(leader.heard_age_ns) >= patience
}

/// What was counted so long ago is there now. A program that does not tell when is believed.
fn lately(age_ns: Option<i64>) -> bool {
    age_ns.is_none_or(|age| Span::from_ns(age) <= STRAY_MEMORY)
}

/// For how long no pair of it has come.
fn lasting(leader: &LeaderRow) -> Span {
    Span::from_ns(leader.pair_age_ns.unwrap_or(leader.first_heard_age_ns))
}

/// So many of its Sync intervals.
fn intervals(leader: &LeaderRow, count: i64) -> Span {
    Span::from_ns(leader.interval_ns).times(count)
}

/// Somebody is heard whom we must not follow.
fn not_for_us(snapshot: &Snapshot) -> Option<Obstacle> {
    let heard = snapshot.other_subdomain_age_ns.is_some() && lately(snapshot.other_subdomain_age_ns);
    if let Some(heard) = snapshot.other_subdomain.as_ref().filter(|_| heard) {
        return Some(Obstacle::OtherSubdomain { heard: heard.clone(), own: snapshot.subdomain.clone() });
    }
    if snapshot.only_ptp_v2 {
        return Some(Obstacle::OnlyVersionTwo);
    }
    must_not_lead(snapshot).then_some(Obstacle::MustNotLead)
}

/// Nobody is heard but devices that say that they must not lead.
fn must_not_lead(snapshot: &Snapshot) -> bool {
    let heard = snapshot.drops.of(DropReason::NeverLeads) > 0 && lately(snapshot.never_leads_age_ns);
    snapshot.leaders.is_empty() && heard
}

/// Nobody is heard.
fn unheard(snapshot: &Snapshot) -> Option<Obstacle> {
    // Before, it is a matter of seconds; after a lock, that the leader has fallen silent says more.
    if snapshot.state != State::NoLeader || snapshot.leaders.iter().any(|leader| leader.qualified) {
        return None;
    }
    let interfaces = interfaces(snapshot);
    Some(if snapshot.network.received > 0 && lately(snapshot.received_age_ns) {
        Obstacle::NoLeader { interfaces }
    } else {
        Obstacle::Nothing { interfaces, early: Span::from_ns(snapshot.uptime_ns) < LOOKING }
    })
}

fn interfaces(snapshot: &Snapshot) -> String {
    snapshot.interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ")
}
