//! Is the group joined, does anybody ask for memberships, and do the kernel's settings let multicast in?

use std::net::Ipv4Addr;

use super::finding::{Check, Finding, Problem};
use super::host::Host;
use super::traffic::Heard;
use crate::net::interface::Subnet;
use crate::ptp::GROUPS;
use crate::time::Span;

/// Reverse path filtering: a packet must come in by the interface by which its sender would be answered.
const STRICT: u8 = 1;
/// Queriers ask every 125 s (RFC 3376, 8.2); after two intervals without a question there is none.
const QUERIER_PATIENCE: Span = Span::from_secs(255);

/// One interface that was listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// Its name.
    pub name: String,
    /// The group of the leader is among the kernel's memberships.
    pub joined: bool,
    /// Why it could not be joined, in the system's words.
    pub refused: Option<String>,
    /// The version of IGMP that the kernel speaks there: that of the querier it heard, else 3.
    pub version: Option<String>,
    /// `force_igmp_version`; 0 lets the kernel choose.
    pub forced: u8,
    /// `rp_filter`, the stricter of this interface's and everybody's.
    pub filter: u8,
    /// Who asked for memberships; nothing where that could not be seen.
    pub queriers: Option<Vec<Ipv4Addr>>,
    /// Senders of PTP that belong to none of the interface's subnets.
    pub strangers: Vec<Ipv4Addr>,
    /// A leader was heard.
    pub leader: bool,
}

/// All of them, and how long they were listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// How long.
    pub length: Span,
    /// The interfaces.
    pub links: Vec<LinkFacts>,
}

/// The kernel's table of memberships (`/proc/net/igmp`); to be read while they last.
pub fn memberships(host: &Host) -> String {
    host.read("/proc/net/igmp").unwrap_or_default()
}

/// Puts together what the kernel, its settings and the wire say.
pub fn look(host: &Host, memberships: &str, heard: &Heard, subnets: &[Subnet], named: Option<&str>) -> Facts {
    let heard_links = heard.links.iter().map(|link| (&link.interface, None, !link.tallies.is_empty()));
    let deaf = heard.deaf.iter().map(|(interface, reason)| (interface, Some(reason.clone()), false));
    let wanted =
        heard_links.chain(deaf).filter(|(interface, ..)| named.is_none_or(|name| name == interface.name));
    let links = wanted.map(|(interface, refused, leader)| {
        let name = interface.name.as_str();
        let setting = |key: &str| -> u8 {
            let of = |whom: &str| host.number(format!("/proc/sys/net/ipv4/conf/{whom}/{key}")).unwrap_or(0);
            of("all").max(of(name))
        };
        let tapped = heard.tapped.as_ref().map(|all| all.get(&interface.index).cloned().unwrap_or_default());
        let own: Vec<&Subnet> = subnets.iter().filter(|subnet| subnet.interface == name).collect();
        let sources = tapped.as_ref().map(|tap| tap.sources.clone()).unwrap_or_default();
        let (joined, version) = membership(memberships, name);
        LinkFacts {
            name: name.to_owned(),
            joined,
            refused,
            version,
            forced: setting("force_igmp_version"),
            filter: setting("rp_filter"),
            queriers: tapped.map(|tap| tap.queriers),
            strangers: sources
                .into_iter()
                .filter(|source| !own.iter().any(|subnet| subnet.holds(*source)))
                .collect(),
            leader,
        }
    });
    Facts { length: heard.ended - heard.began, links: links.collect() }
}

/// Whether the first group of [`GROUPS`] is joined on an interface, and the version of IGMP there. The table has a
/// line per interface (`2  eth0  :  3  V3`) and below it, indented, one per group: the bytes of the address as one
/// number of this processor.
fn membership(table: &str, name: &str) -> (bool, Option<String>) {
    let mut lines = table.lines().skip_while(|line| {
        let mut words = line.split_whitespace();
        line.starts_with(char::is_whitespace) || words.nth(1) != Some(name)
    });
    let Some(head) = lines.next() else { return (false, None) };
    let version = head.split_whitespace().last().filter(|word| word.starts_with('V')).map(str::to_owned);
    let group = |line: &str| {
        let number = u32::from_str_radix(line.split_whitespace().next()?, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let mut groups = lines.take_while(|line| line.starts_with(char::is_whitespace)).filter_map(group);
    (groups.any(|group| GROUPS.first() == Some(&group)), version)
}

impl Facts {
    /// An interface and a sender whose packets strict filtering drops there.
    pub fn filtered(&self) -> Option<(String, String)> {
        let link = self.links.iter().find(|link| link.filter == STRICT && !link.strangers.is_empty())?;
        Some((link.name.clone(), link.strangers.first()?.to_string()))
    }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let found: Vec<Finding> = facts.links.iter().flat_map(|link| check_link(link, facts.length)).collect();
    Check::Multicast.found(found, || {
        let told: Vec<String> = facts.links.iter().map(|link| describe(link, facts.length)).collect();
        if told.is_empty() { "no interface to join a group on".to_owned() } else { told.join("; ") }
    })
}

fn check_link(link: &LinkFacts, length: Span) -> Vec<Finding> {
    let mut found = Vec::new();
    let name = &link.name;
    match link.refused.as_deref() {
        Some(reason) if reason.contains("in use") || reason.contains("ermi") => {
            found.push(Problem::GroupUntried.seen(
                format!("the group 224.0.1.129 was not joined on {name}: the ports could not be opened"),
                "mend what is said about rights and ports",
            ));
        }
        Some(reason) => {
            let mend = if reason.contains("No buffer space") {
                "sudo sysctl -w net.ipv4.igmp_max_memberships=100".to_owned()
            } else {
                format!("give the interface multicast and an address: sudo ip link set {name} multicast on")
            };
            let seen = format!("the group 224.0.1.129 cannot be joined on {name}: {reason}");
            found.push(Problem::GroupNotJoined.seen(seen, mend));
        }
        None if !link.joined => found.push(Problem::GroupNotJoined.seen(
            format!(
                "the group 224.0.1.129 was joined on {name}, and the kernel does not list it (/proc/net/igmp)"
            ),
            format!("ip maddress show dev {name}; another run of the doctor"),
        )),
        None => {}
    }
    if link.forced == 1 {
        found.push(Problem::IgmpVersionForced.seen(
            format!("the kernel is made to speak IGMPv1 on {name}: switches take long to notice it, or do not at all"),
            format!("sudo sysctl -w net.ipv4.conf.{name}.force_igmp_version=0 net.ipv4.conf.all.force_igmp_version=0"),
        ));
    }
    if link.filter == STRICT
        && let Some(stranger) = link.strangers.first()
    {
        found.push(Problem::ReversePathFilter.seen(
            format!("PTP comes from {stranger}, which is in no subnet of {name}, and the reverse path filter is strict: unless a route to {stranger} leads by {name} its packets are dropped"),
            format!("sudo sysctl -w net.ipv4.conf.{name}.rp_filter=2"),
        ));
    }
    let asked = link.queriers.as_ref().map(|queriers| !queriers.is_empty());
    if asked == Some(false)
        && link.version.as_deref() != Some("V2")
        && link.leader
        && length >= QUERIER_PATIENCE
    {
        found.push(Problem::NoQuerier.seen(
            format!("nobody asked for memberships on {name} in {:.0} s: a switch that snoops IGMP will cut the leader off", length.as_secs_f64()),
            "in the switch: switch on an IGMP querier where IGMP snooping is on",
        ));
    }
    found
}

fn describe(link: &LinkFacts, length: Span) -> String {
    let name = &link.name;
    let version =
        link.version.as_deref().map_or(String::new(), |version| format!(", IGMP{}", version.to_lowercase()));
    let querier = match link.queriers.as_deref() {
        Some([first, ..]) => format!(", querier {first}"),
        Some([]) if length < QUERIER_PATIENCE => {
            format!(
                ", no querier heard in {:.0} s (they ask every 125 s; --seconds 260 would tell)",
                length.as_secs_f64()
            )
        }
        Some([]) => ", no querier".to_owned(),
        None => String::new(),
    };
    format!("{name}: 224.0.1.129 joined{version}{querier}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::doctor::host::made_up::World;
    use crate::doctor::interfaces::linux::tests::subnet;
    use crate::doctor::traffic::Tapped;
    use crate::doctor::traffic::tests::{Speaker, link, packet};
    use crate::time::Timestamp;

    const JOINED: &str = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                          1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                          2\teth0      :     2      V2\n\t\t\t\t810100E0     1 0:00000000\t\t1\n\
                          \t\t\t\t010000E0     1 0:00000000\t\t0\n";
    const NOT_JOINED: &str = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                              2\teth0      :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
                              3\teth1      :     1      V3\n\t\t\t\t810100E0     1 0:00000000\t\t0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn memberships_are_read_per_interface() {
        assert_eq!(membership(JOINED, "eth0"), (true, Some("V2".to_owned())));
        assert_eq!(membership(JOINED, "lo"), (false, Some("V3".to_owned())));
        assert_eq!(membership(NOT_JOINED, "eth0"), (false, Some("V3".to_owned())));
        assert_eq!(membership(NOT_JOINED, "eth2"), (false, None));
        assert_eq!(membership("", "eth0"), (false, None));
    }

    fn heard(seconds: i64, tapped: Option<Tapped>) -> Heard {
        Heard {
            began: Timestamp::EPOCH,
            way: crate::net::Way::Udp,
            ended: Timestamp::from_ns(seconds * 1_000_000_000),
            links: vec![link(&[Speaker::PLAIN], |_| false)],
            deaf: Vec::new(),
            tapped: tapped.map(|tapped| BTreeMap::from([(2, tapped)])),
            servers: Vec::new(),
            looks: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    fn problems(world: &World, table: &str, heard: &Heard) -> Vec<Problem> {
        let facts = look(&world.host(), table, heard, &[subnet("eth0", [10, 0, 0, 5])], None);
        check(&facts).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_joined_group_is_fine_and_a_missing_one_is_not() {
        assert_eq!(problems(&World::new(), JOINED, &heard(10, None)), []);
        assert_eq!(problems(&World::new(), NOT_JOINED, &heard(10, None)), [Problem::GroupNotJoined]);
        let mut deaf = heard(10, None);
        let interface = deaf.links.remove(0).interface;
        deaf.deaf = vec![(interface, "No buffer space available".to_owned())];
        let facts = look(&World::new().host(), "", &deaf, &[], None);
        assert!(check(&facts)[0].mend.as_deref().unwrap().contains("igmp_max_memberships"));
        deaf.deaf[0].1 = "Address already in use (os error 98)".to_owned();
        let facts = look(&World::new().host(), "", &deaf, &[], None);
        assert_eq!(check(&facts)[0].problem, Some(Problem::GroupUntried));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn forced_versions_and_strict_filters_are_told() {
        let world = World::new().file("/proc/sys/net/ipv4/conf/all/force_igmp_version", "1\n");
        assert_eq!(problems(&world, JOINED, &heard(10, None)), [Problem::IgmpVersionForced]);
        let world = World::new().file("/proc/sys/net/ipv4/conf/eth0/rp_filter", "1\n");
        let mut far = Tapped::default();
        far.handle(&packet(17, [169, 254, 7, 7], 319, &[0, 1, 0, 1]));
        assert_eq!(problems(&world, JOINED, &heard(10, Some(far.clone()))), [Problem::ReversePathFilter]);
        let facts =
            look(&world.host(), JOINED, &heard(10, Some(far)), &[subnet("eth0", [10, 0, 0, 5])], None);
        assert_eq!(facts.filtered(), Some(("eth0".to_owned(), "169.254.7.7".to_owned())));
        let mut near = Tapped::default();
        near.handle(&packet(17, [10, 0, 0, 7], 319, &[0, 1, 0, 1]));
        assert_eq!(problems(&world, JOINED, &heard(10, Some(near))), []);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_missing_querier_is_told_only_after_long_enough() {
        let table = JOINED.replace("V2", "V3");
        assert_eq!(problems(&World::new(), &table, &heard(10, Some(Tapped::default()))), []);
        assert_eq!(
            problems(&World::new(), &table, &heard(260, Some(Tapped::default()))),
            [Problem::NoQuerier]
        );
        assert_eq!(problems(&World::new(), &table, &heard(260, None)), []);
        let mut asked = Tapped::default();
        asked.handle(&packet(2, [10, 0, 0, 254], 0, &[0x11, 0, 0, 0]));
        assert_eq!(problems(&World::new(), &table, &heard(260, Some(asked))), []);
    }
}
