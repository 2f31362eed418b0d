//! Is a leader heard, where, and how well?

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use super::traffic::{Heard, Link, Tally, Tapped};
use crate::ptp::is_pulled;
use crate::snapshot::obstacle::{PULL_UP_CURE, STRANGE_CURE, is_strange};
use crate::time::{LeaderId, Raw, Span, Timestamp};

/// A leader that is there is heard so soon after joining its group.
const JOINED_MAX: Span = Span::from_secs(5);
/// A leader has stopped when its last Sync is older than this many intervals, and not before [`SILENT_MIN`].
const SILENT_INTERVALS: i64 = 10;
/// Ten intervals of Dante's 250 ms.
const SILENT_MIN: Span = Span::from_ms(2_500);
/// Dante sends every 250 ms; what is slower than about once a second or faster than 16 a second is no usual leader.
const INTERVAL_MIN: Span = Span::from_ms(55);
const INTERVAL_MAX: Span = Span::from_ms(1_100);

/// A leader that was started anew leaps once.
const LEAPS_MAX: u64 = 2;

const QUERIER: &str = "in the switch: switch on an IGMP querier where IGMP snooping is on, or switch both off; look \
                       whether the leader was restarted";

/// After a pause the leader's numbers go on, or begin anew: what that means, and what mends it.
const CUT_OFF: (&str, &str) = (
    "it went on counting meanwhile, so the switch (or this computer) cut the multicast off",
    "in the switch: switch on an IGMP querier where IGMP snooping is on, or switch both off",
);
const BEGAN_ANEW: (&str, &str) = (
    "then a leader began anew: it was restarted or unplugged, or another one took over",
    "look at the leader's power and cable, and in Dante Controller (Clock Status) whether it keeps the lead",
);

/// What the packets are judged by.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What was heard.
    pub heard: &'a Heard,
    /// `--interface`.
    pub named: Option<&'a str>,
    /// Strict reverse path filtering drops this leader's packets: interface and sender.
    pub filtered: Option<(String, String)>,
    /// The command that opens this computer's firewall, where the rule that shuts it is known.
    pub firewall: Option<String>,
    /// Packets of any kind that came in by each interface while listening, where that is counted.
    pub arrived: Vec<(String, u64)>,
    /// Whose words mend it.
    pub os: Os,
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let heard = facts.heard;
    if heard.links.is_empty() {
        return vec![facts.not_listened()];
    }
    let in_scope = |link: &&Link| facts.named.is_none_or(|name| name == link.interface.name);
    let scope: Vec<&Link> = heard.links.iter().filter(in_scope).collect();
    let best = scope.iter().copied().filter(|link| !link.tallies.is_empty()).max_by_key(|link| link.syncs());
    match best {
        Some(link) => facts.check_link(link),
        None => vec![facts.why_nothing(&scope)],
    }
}

impl Facts<'_> {
    /// Nobody could listen; a packet socket may know more.
    fn not_listened(&self) -> Finding {
        let reason = self.heard.deaf.first().map_or_else(
            || "no interface is up with an address".to_owned(),
            |(interface, reason)| format!("{}: {reason}", interface.name),
        );
        let seen = self.heard.deaf.iter().find_map(|(interface, _)| {
            let tapped = self.tapped(interface.index)?;
            (tapped.event > 0)
                .then(|| format!("; yet PTPv1 comes in by {}, so a leader is there", interface.name))
        });
        Problem::NotListened.seen(
            format!("could not listen ({reason}){}", seen.unwrap_or_default()),
            "mend what is said above about rights, ports and interfaces, then run the doctor again",
        )
    }

    fn tapped(&self, interface: u32) -> Option<&Tapped> {
        self.heard.tapped.as_ref()?.get(&interface)
    }

    fn listened(&self) -> String {
        format!("{:.0} s", (self.heard.ended - self.heard.began).as_secs_f64())
    }

    /// No Sync of our subdomain where the service listens: the likeliest reason.
    fn why_nothing(&self, scope: &[&Link]) -> Finding {
        let blocked = scope.iter().copied().find(|link| {
            link.version_one == 0
                && self.tapped(link.interface.index).is_some_and(|tap| tap.version_one() > 0)
        });
        if let Some(link) = blocked {
            return self.blocked(link, "PTPv1 comes in", "does not get through to programs");
        }
        if let Some(link) = scope.iter().copied().find(|link| link.follow_ups > 0) {
            return self.no_sync(link);
        }
        if let Some(link) = self.heard.links.iter().find(|link| !link.tallies.is_empty()) {
            let (named, name) = (self.named.unwrap_or_default(), &link.interface.name);
            let leader = link.tallies.first().map(|tally| tally.id.to_string()).unwrap_or_default();
            return Problem::OtherInterface.seen(
                format!("no leader on {named}, but {leader} is heard on {}", link.interface),
                self.os.setting("interface", name),
            );
        }
        let foreign = scope.iter().flat_map(|link| link.foreign.keys()).next();
        if let Some(subdomain) = foreign {
            return foreign_only(subdomain, scope, self.os);
        }
        let names: Vec<&str> = scope.iter().map(|link| link.interface.name.as_str()).collect();
        let names = if names.is_empty() {
            self.named.unwrap_or("any interface").to_owned()
        } else {
            names.join(", ")
        };
        let versions = scope.iter().map(|link| (link.version_one, link.version_two));
        let (one, two) = versions
            .fold((0_u64, 0_u64), |(a, b), (one, two)| (a.saturating_add(one), b.saturating_add(two)));
        match (one, two) {
            (0, 0) => self.nothing_at_all(&names, scope),
            (0, two) => Problem::OnlyVersionTwo.seen(
                format!("only PTPv2 on {names}: {two} messages in {}, none of PTPv1", self.listened()),
                "in Dante Controller: clear \"AES67 mode only\" or give one Dante device the PTPv1 leader's part; a \
                 network of AES67 devices alone has no PTPv1",
            ),
            (one, _) => Problem::NoLeader.seen(
                format!("{one} PTPv1 messages on {names}, but no Sync: followers are there, a leader is not"),
                "look for the leader in Dante Controller (Clock Status); a switch may block its multicast",
            ),
        }
    }

    fn nothing_at_all(&self, names: &str, scope: &[&Link]) -> Finding {
        let in_scope = |name: &str| scope.iter().any(|link| link.interface.name == name);
        let arrived = self.arrived.iter().filter(|(name, _)| in_scope(name));
        let any = arrived.clone().map(|(_, count)| *count).fold(0_u64, u64::saturating_add);
        let known = arrived.count() > 0;
        let (what, mend) = match (known, any) {
            (true, 0) => (
                "not a single packet came in",
                "connect this interface to the Dante network, and switch a Dante device on: look at cable, VLAN and \
                 the switch's port",
            ),
            _ => (
                "other packets came in",
                "look in Dante Controller (Clock Status) whether a device there is the leader; then let the switch pass \
                 multicast 224.0.1.129 to this port: give its IGMP snooping a querier",
            ),
        };
        Problem::NoPtp.seen(format!("no PTP on {names} in {}; {what}", self.listened()), mend)
    }

    fn blocked(&self, link: &Link, comes: &str, not: &str) -> Finding {
        let name = &link.interface.name;
        match &self.filtered {
            Some((interface, source)) if interface == name => Problem::BlockedHere.seen(
                format!("{comes} by {name} and {not}: its sender {source} is not reached by {name}, and the kernel's reverse path filter is strict"),
                format!("sudo sysctl -w net.ipv4.conf.{name}.rp_filter=2"),
            ),
            _ => Problem::BlockedHere.seen(
                format!("{comes} by {name} and {not}: this computer's own firewall drops it"),
                self.firewall.clone().unwrap_or_else(|| {
                    "find the rule that drops it: nft list ruleset, and iptables-save".to_owned()
                }),
            ),
        }
    }

    /// Follow_Ups speak of Syncs that do not come.
    fn no_sync(&self, link: &Link) -> Finding {
        if self.tapped(link.interface.index).is_some_and(|tap| tap.event > 0) {
            return self.blocked(
                link,
                "Sync (port 319) comes in",
                "does not get through, only Follow_Up does (port 320)",
            );
        }
        let name = &link.interface.name;
        Problem::NoSync.seen(
            format!("{} Follow_Ups (port 320) came by {name}, but no Sync (port 319)", link.follow_ups),
            "let UDP port 319 pass to 224.0.1.129, in the switches as well as in this computer's firewall",
        )
    }

    /// A leader is there.
    fn check_link(&self, link: &Link) -> Vec<Finding> {
        let mut found = Vec::new();
        let Some(tally) = link.tallies.iter().max_by_key(|tally| tally.syncs) else { return found };
        let (name, id) = (&link.interface.name, tally.id);
        let qualified = link.qualified();
        if link.follow_ups == 0 && qualified.is_empty() {
            let general = self.tapped(link.interface.index).is_some_and(|tap| tap.general > 0);
            found.push(if general {
                self.blocked(link, "Follow_Up (port 320) comes in", "does not get through, only Sync does (port 319)")
            } else {
                Problem::NoFollowUp.seen(
                    format!("{id} sends Sync (port 319), but no Follow_Up (port 320) comes by {name}"),
                    "let UDP port 320 pass to 224.0.1.129, in the switches as well as in this computer's firewall",
                )
            });
        }
        found.extend(self.silence(link, tally));
        if tally.loses() {
            found.push(Problem::SyncsLost.seen(
                format!(
                    "{} of {} Syncs of {id} did not come by {name} ({:.0} %)",
                    tally.missing(),
                    tally.expected,
                    tally.lost() * 100.0
                ),
                self.os.either(
                    format!(
                        "look for errors of cable, card and switch port (ethtool -S {name}), and for a rule of the \
                         firewall that limits (sudo nft list ruleset)"
                    ),
                    format!(
                        "look for errors of cable, card and switch port: Get-NetAdapterStatistics -Name \"{name}\" \
                         (PowerShell)"
                    ),
                ),
            ));
        }
        if let Some(interval) = tally.interval().filter(|span| *span < INTERVAL_MIN || *span > INTERVAL_MAX) {
            found.push(Problem::SyncInterval.seen(
                format!(
                    "{id} sends a Sync every {:.0} ms; Dante devices send one every 250 ms",
                    ms(interval)
                ),
                "find out what that device is: its MAC address begins the name; a Dante leader is better",
            ));
        }
        if qualified.len() > 1 {
            found.push(several(name, &qualified));
        }
        if tally.leaps > LEAPS_MAX {
            found.push(Problem::SameIdentity.seen(
                format!(
                    "the numbers of {id} leapt {} times on {name}: two senders use its name, or old packets come back",
                    tally.leaps
                ),
                self.os.either(
                    format!("find the second one by its address: tcpdump -eni {name} udp port 319"),
                    format!("find the second one by its address: Wireshark on {name}, filter udp.port == 319"),
                ),
            ));
        }
        Check::Packets.found(found, || self.describe(link, tally))
    }

    /// A time in which no Sync came: at the end, between, or before the first one.
    fn silence(&self, link: &Link, tally: &Tally) -> Option<Finding> {
        let name = &link.interface.name;
        let allowed =
            tally.interval().map_or(SILENT_MIN, |interval| interval.times(SILENT_INTERVALS).max(SILENT_MIN));
        let first = link.tallies.iter().map(|tally| tally.first).min()?;
        let last = link.tallies.iter().map(|tally| tally.last).max()?;
        let since_start = |at: Timestamp<Raw>| (at - self.heard.began).as_secs_f64();
        let after = self.heard.ended - last;
        let (seen, mend) = if after > allowed {
            let seen = format!(
                "{} came by {name} for {:.1} s and then stopped, {:.1} s before the end: the leader left, or the \
                 switch cut the multicast off",
                tally.id,
                (last - first).as_secs_f64(),
                after.as_secs_f64()
            );
            (seen, QUERIER)
        } else if let Some(pause) = link.pause.filter(|pause| pause.length > allowed) {
            let (why, mend) = if pause.went_on { CUT_OFF } else { BEGAN_ANEW };
            let (length, from) = (pause.length.as_secs_f64(), since_start(pause.from));
            (
                format!(
                    "no Sync came by {name} for {length:.1} s, {from:.1} s after the start of this look; {why}"
                ),
                mend,
            )
        } else if first - self.heard.began > JOINED_MAX.max(allowed) {
            let seen = format!(
                "the first Sync of {} came by {name} only {:.1} s after the group was joined: the leader has just \
                 appeared, or the switch takes long to let multicast through",
                tally.id,
                since_start(first)
            );
            (seen, QUERIER)
        } else {
            return None;
        };
        Some(Problem::SyncsStopped.seen(seen, mend))
    }

    fn describe(&self, link: &Link, tally: &Tally) -> String {
        let interval =
            tally.interval().map_or(String::new(), |span| format!(", one every {:.0} ms", ms(span)));
        let missing = tally.expected.saturating_sub(tally.syncs);
        let lost = if missing == 0 { "none lost".to_owned() } else { format!("{missing} lost") };
        let mut text =
            format!("leader {} on {}: {} Syncs{interval}, {lost}", tally.id, link.interface, tally.syncs);
        let others = self.heard.links.iter().filter(|other| other.interface.index != link.interface.index);
        for other in others.filter(|other| !other.tallies.is_empty()) {
            text.push_str(&format!("; also on {}", other.interface));
        }
        if link.version_two > 0 {
            text.push_str(&format!("; besides {} messages of PTPv2", link.version_two));
        }
        for (subdomain, count) in &link.foreign {
            text.push_str(&format!("; besides {count} of subdomain {}", printable(subdomain)));
        }
        text
    }
}

fn foreign_only(subdomain: &[u8; 16], scope: &[&Link], os: Os) -> Finding {
    let name = printable(subdomain);
    let interfaces: Vec<&str> = scope
        .iter()
        .filter(|link| link.foreign.contains_key(subdomain))
        .map(|link| link.interface.name.as_str())
        .collect();
    let interfaces = interfaces.join(", ");
    if is_pulled(&name) {
        return Problem::PullUp.seen(
            format!(
                "only subdomain {name} on {interfaces}: all devices there are pulled up or down, and their time runs \
                 up to 4 % off"
            ),
            PULL_UP_CURE,
        );
    }
    Problem::OtherSubdomain.seen(
        format!("PTPv1 on {interfaces}, but only in the subdomain {name}"),
        if is_strange(&name) { STRANGE_CURE.to_owned() } else { os.setting("subdomain", &name) },
    )
}

fn several(name: &str, leaders: &[LeaderId]) -> Finding {
    let mut names: Vec<String> = leaders.iter().map(ToString::to_string).collect();
    names.sort_unstable();
    Problem::SeveralLeaders.seen(
        format!(
            "{} leaders at once on {name}: {}. Devices should agree on one; a network that is cut in two for \
             multicast, or a test program, has more",
            names.len(),
            names.join(", ")
        ),
        "in Dante Controller: see which devices do not follow (Clock Status), and mend the way between them",
    )
}

fn ms(span: Span) -> f64 {
    span.as_ns_f64() / 1e6
}

/// A subdomain without its NULs, in characters that a terminal takes.
fn printable(subdomain: &[u8; 16]) -> String {
    let end = subdomain.iter().position(|octet| *octet == 0).unwrap_or(subdomain.len());
    subdomain.get(..end).unwrap_or_default().escape_ascii().to_string()
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::doctor::traffic::tests::{PULL_UP, Speaker, end, interface, link, packet};
    use crate::net::{Datagram, Payload, Port};

    pub fn heard(links: Vec<Link>) -> Heard {
        Heard {
            began: Timestamp::EPOCH,
            ended: end(),
            way: crate::net::Way::Udp,
            links,
            deaf: Vec::new(),
            tapped: None,
            servers: Vec::new(),
            looks: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    fn facts<'a>(heard: &'a Heard, named: Option<&'a str>) -> Facts<'a> {
        Facts { heard, named, filtered: None, firewall: None, arrived: Vec::new(), os: Os::Linux }
    }

    fn found(links: Vec<Link>, named: Option<&str>) -> Vec<Finding> {
        check(&facts(&heard(links), named))
    }

    fn problem(links: Vec<Link>, named: Option<&str>) -> Option<Problem> {
        let found = found(links, named);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].problem
    }

    fn silent(name: &str, index: u32) -> Link {
        Link::new(interface(name, index), DEFAULT_SUBDOMAIN)
    }

    fn hears(mut link: Link, bytes: &[u8]) -> Link {
        let datagram = Datagram {
            interface: link.interface.index,
            port: Port::Event,
            source: "10.0.0.9:319".parse().unwrap(),
            stamp: Err(crate::clock::StampFault::Missing),
            payload: Payload::new(bytes),
        };
        link.handle(&datagram, Timestamp::EPOCH);
        link
    }

    #[test]
    fn a_good_leader_is_described() {
        let found = found(vec![link(&[Speaker::PLAIN], |_| false), silent("eth1", 3)], None);
        assert_eq!(found[0].problem, None);
        assert_eq!(
            found[0].seen,
            "leader 00:1d:c1:00:00:01/1 on eth0 (10.0.0.5): 40 Syncs, one every 250 ms, none lost"
        );
    }

    #[test]
    fn silence_is_told_with_what_else_came_in() {
        let heard = heard(vec![silent("eth0", 2)]);
        let with = |count| Facts { arrived: vec![("eth0".to_owned(), count)], ..facts(&heard, None) };
        let nothing = check(&with(0));
        assert_eq!(nothing[0].problem, Some(Problem::NoPtp));
        assert!(nothing[0].seen.contains("not a single packet"));
        let others = check(&with(7));
        assert!(
            others[0].seen.contains("other packets")
                && others[0].mend.as_deref().unwrap().contains("querier")
        );
    }

    #[test]
    fn a_leader_on_another_interface_is_pointed_to() {
        let found = found(vec![link(&[Speaker::PLAIN], |_| false), silent("eth1", 3)], Some("eth1"));
        assert_eq!(found[0].problem, Some(Problem::OtherInterface));
        assert_eq!(found[0].mend.as_deref(), Some(Os::Linux.setting("interface", "eth0").as_str()));
    }

    #[test]
    fn only_version_two_only_pull_up_and_only_followers() {
        assert_eq!(
            problem(vec![hears(silent("eth0", 2), &[0, 2, 0, 44])], None),
            Some(Problem::OnlyVersionTwo)
        );
        let up = Speaker { subdomain: PULL_UP, ..Speaker::PLAIN };
        assert_eq!(problem(vec![link(&[up], |_| false)], None), Some(Problem::PullUp));
        // Whoever sends a name does not choose a command that somebody pastes.
        for name in ["$(reboot)", "\x1b[31mRED", "A;B"] {
            let mut subdomain = [0; 16];
            subdomain[..name.len()].copy_from_slice(name.as_bytes());
            let strange = Speaker { subdomain, ..Speaker::PLAIN };
            let told = found(vec![link(&[strange], |_| false)], None);
            assert_eq!(told[0].mend.as_deref(), Some(STRANGE_CURE), "{}", told[0].seen);
        }
        let other = Speaker { subdomain: *b"STUDIO\0\0\0\0\0\0\0\0\0\0", ..Speaker::PLAIN };
        let found = found(vec![link(&[other], |_| false)], None);
        assert_eq!(found[0].problem, Some(Problem::OtherSubdomain));
        assert_eq!(found[0].mend.as_deref(), Some(Os::Linux.setting("subdomain", "STUDIO").as_str()));
        // A Delay_Req: laid out as a Sync, with another control octet.
        let mut request = [0_u8; 124];
        request[..4].copy_from_slice(&[0, 1, 0, 1]);
        request[4..20].copy_from_slice(&DEFAULT_SUBDOMAIN);
        (request[20], request[32]) = (1, 1);
        assert_eq!(problem(vec![hears(silent("eth0", 2), &request)], None), Some(Problem::NoLeader));
    }

    #[test]
    fn what_comes_in_and_is_not_heard_is_blocked_here() {
        let mut tapped = Tapped::default();
        tapped.handle(&packet(17, [169, 254, 1, 1], 319, &[0, 1, 0, 1]));
        let mut heard = heard(vec![silent("eth0", 2)]);
        heard.tapped = Some(BTreeMap::from([(2, tapped)]));
        let found = check(&facts(&heard, None));
        assert_eq!(found[0].problem, Some(Problem::BlockedHere));
        assert!(found[0].mend.as_deref().unwrap().contains("nft list ruleset"));
        let found = check(&Facts { firewall: Some("nft delete rule x".to_owned()), ..facts(&heard, None) });
        assert_eq!(found[0].mend.as_deref(), Some("nft delete rule x"));
        let filtered = Some(("eth0".to_owned(), "169.254.1.1".to_owned()));
        let found = check(&Facts { filtered, ..facts(&heard, None) });
        assert_eq!(found[0].mend.as_deref(), Some("sudo sysctl -w net.ipv4.conf.eth0.rp_filter=2"));
    }

    #[test]
    fn syncs_without_follow_ups_are_told() {
        let mute = Speaker { follow_ups: false, ..Speaker::PLAIN };
        assert_eq!(problem(vec![link(&[mute], |_| false)], None), Some(Problem::NoFollowUp));
        let mut tapped = Tapped::default();
        tapped.handle(&packet(17, [10, 0, 0, 1], 320, &[0, 1, 0, 1]));
        let mut heard = heard(vec![link(&[mute], |_| false)]);
        heard.tapped = Some(BTreeMap::from([(2, tapped)]));
        assert_eq!(check(&facts(&heard, None))[0].problem, Some(Problem::BlockedHere));
    }

    #[test]
    fn follow_ups_without_syncs_are_told() {
        let mut deaf = silent("eth0", 2);
        deaf.follow_ups = 40;
        deaf.version_one = 40;
        let mut heard = heard(vec![deaf]);
        assert_eq!(check(&facts(&heard, None))[0].problem, Some(Problem::NoSync));
        let mut tapped = Tapped::default();
        tapped.handle(&packet(17, [10, 0, 0, 1], 319, &[0, 1, 0, 1]));
        heard.tapped = Some(BTreeMap::from([(2, tapped)]));
        assert_eq!(check(&facts(&heard, None))[0].problem, Some(Problem::BlockedHere));
    }

    #[test]
    fn two_under_one_name_are_told() {
        let mut link = silent("eth0", 2);
        for number in 0..20_u16 {
            Speaker::PLAIN.speak(&mut link, number);
            Speaker::PLAIN.speak_at(
                &mut link,
                number + 1000,
                Timestamp::from_ns(i64::from(number) * 250_000_000),
            );
        }
        let mut heard = heard(vec![link]);
        heard.ended = Timestamp::from_ns(5_000_000_000);
        let problems: Vec<_> =
            check(&facts(&heard, None)).iter().filter_map(|finding| finding.problem).collect();
        assert!(problems.contains(&Problem::SameIdentity), "{problems:?}");
    }

    #[test]
    fn stops_losses_odd_intervals_and_second_leaders_are_told() {
        assert_eq!(
            problem(vec![link(&[Speaker::PLAIN], |number| number > 20)], None),
            Some(Problem::SyncsStopped)
        );
        let lossy = found(vec![link(&[Speaker::PLAIN], |number| number % 10 == 5)], None);
        assert_eq!(lossy[0].problem, Some(Problem::SyncsLost));
        assert!(lossy[0].seen.contains("4 of 40") && lossy[0].seen.contains("10 %"), "{}", lossy[0].seen);
        let mut slow = silent("eth0", 2);
        for number in 0..5_u16 {
            Speaker::PLAIN.speak_at(&mut slow, number, Timestamp::from_ns(i64::from(number) * 2_000_000_000));
        }
        assert_eq!(problem(vec![slow], None), Some(Problem::SyncInterval));
        let second = Speaker { last_octet: 2, ..Speaker::PLAIN };
        let two = found(vec![link(&[Speaker::PLAIN, second], |_| false)], None);
        assert_eq!(two[0].problem, Some(Problem::SeveralLeaders));
        assert!(two[0].seen.contains("00:1d:c1:00:00:01/1, 00:1d:c1:00:00:02/1"));
    }

    #[test]
    fn a_hole_of_any_length_and_place_is_a_stop_and_no_loss() {
        let after = |missing: std::ops::Range<u16>, restart: bool| {
            let mut link = link(&[Speaker::PLAIN], |number| missing.contains(&number));
            for number in missing.end.max(40)..missing.end + 40 {
                let at = Timestamp::from_ns(i64::from(number) * 250_000_000);
                Speaker::PLAIN.speak_at(&mut link, if restart { number - missing.end } else { number }, at);
            }
            let mut heard = heard(vec![link]);
            heard.ended = Timestamp::from_ns(i64::from(missing.end + 40) * 250_000_000);
            check(&facts(&heard, None))
        };
        // 5 s, 12 s and three minutes.
        for length in [20, 48, 720] {
            let found = after(20..20 + length, false);
            assert_eq!((found.len(), found[0].problem), (1, Some(Problem::SyncsStopped)), "{found:?}");
            assert!(found[0].seen.contains("went on counting"), "{}", found[0].seen);
        }
        let restarted = after(20..200, true);
        assert_eq!(
            (restarted.len(), restarted[0].problem),
            (1, Some(Problem::SyncsStopped)),
            "{restarted:?}"
        );
        assert!(restarted[0].seen.contains("began anew"), "{}", restarted[0].seen);
        let late = after(0..48, false);
        assert!(late[0].seen.contains("only 12.0 s after the group was joined"), "{}", late[0].seen);
        assert_eq!(after(20..30, false)[0].problem, Some(Problem::SyncsLost));
    }

    #[test]
    fn who_could_not_listen_says_why_and_what_the_tap_saw() {
        let mut heard = heard(Vec::new());
        heard.deaf = vec![(interface("eth0", 2), "Address already in use".to_owned())];
        assert_eq!(check(&facts(&heard, None))[0].problem, Some(Problem::NotListened));
        let mut tapped = Tapped::default();
        tapped.handle(&packet(17, [10, 0, 0, 1], 319, &[0, 1, 0, 1]));
        heard.tapped = Some(BTreeMap::from([(2, tapped)]));
        assert!(check(&facts(&heard, None))[0].seen.contains("a leader is there"));
    }
}
