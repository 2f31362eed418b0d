//! The network interfaces: is there one that can hear Dante, and only one way to it?

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(any(windows, test))]
pub mod windows;

use super::finding::{Check, Finding, Problem};
use super::os::Os;
use crate::net::interface::Subnet;

/// What an interface is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A card, or what a virtual machine has for one.
    Card,
    /// A card with a radio.
    Wireless,
    /// A tunnel.
    Vpn,
    /// A network of containers or virtual machines inside this computer.
    Inside,
    /// A bridge, a VLAN, one end of a virtual cable: it may well lead to Dante.
    Other,
}

/// One interface, the loopback left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Switched on.
    pub up: bool,
    /// It can send to many.
    pub multicast: bool,
    /// A cable is plugged in, and somebody is at its other end; unknown while it is down.
    pub carrier: Option<bool>,
    /// In Mbit/s, where it is told.
    pub speed: Option<u32>,
    /// One direction at a time.
    pub half_duplex: bool,
    /// Its addresses.
    pub subnets: Vec<Subnet>,
}

/// All of them, and the one that was named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// `--interface`.
    pub named: Option<String>,
    /// What there is.
    pub cards: Vec<Card>,
    /// Whose words mend it.
    pub os: Os,
}

impl Card {
    /// It is on, has an address, and can hear multicast.
    pub fn is_usable(&self) -> bool {
        self.up && self.multicast && !self.subnets.is_empty()
    }

    fn may_be_dante(&self) -> bool {
        matches!(self.kind, Kind::Card | Kind::Other | Kind::Wireless)
    }

    fn describe(&self) -> String {
        let address = self.subnets.first().map_or_else(|| "no address".to_owned(), ToString::to_string);
        let speed = match self.speed {
            Some(speed) if speed % 1000 == 0 => format!(", {} Gbit/s", speed / 1000),
            Some(speed) => format!(", {speed} Mbit/s"),
            None => String::new(),
        };
        let kind = match self.kind {
            Kind::Card | Kind::Other => "",
            Kind::Wireless => ", wireless",
            Kind::Vpn => ", VPN",
            Kind::Inside => ", inside this computer",
        };
        let off = match (self.up, self.carrier) {
            (false, _) => ", down",
            (true, Some(false)) => ", no cable",
            _ => "",
        };
        format!("{} ({address}{speed}{kind}{off})", self.name)
    }
}

impl Facts {
    /// Those that the service listens on.
    pub fn listening(&self) -> impl Iterator<Item = &Card> {
        let wanted = |card: &&Card| self.named.as_deref().is_none_or(|name| name == card.name);
        self.cards.iter().filter(move |card| wanted(card) && card.is_usable())
    }

    /// The names of those that could hear Dante.
    fn candidates(&self) -> Vec<&str> {
        let usable = self.cards.iter().filter(|card| card.is_usable() && card.may_be_dante());
        usable.map(|card| card.name.as_str()).collect()
    }
}

/// More are not listened on by the service.
const LISTENED_MAX: usize = 8;
/// Dante needs this much, in Mbit/s.
const SPEED_MIN: u32 = 100;

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.named {
        Some(name) => found.extend(check_named(facts, name)),
        None => found.extend(check_unnamed(facts)),
    }
    found.extend(check_subnets(facts));
    let several = facts.named.is_none() && facts.candidates().len() > 1;
    Check::Interfaces.found(found, || {
        let listed: Vec<String> = facts.listening().map(Card::describe).collect();
        let hint = if several { "; the service follows the one on which a leader is heard" } else { "" };
        format!("{}{hint}", listed.join(", "))
    })
}

fn check_named(facts: &Facts, name: &str) -> Option<Finding> {
    let Some(card) = facts.cards.iter().find(|card| card.name == name) else {
        let others = facts.candidates();
        let (there, mend) = match others.first() {
            Some(first) => (format!("there are {}", others.join(", ")), facts.os.setting("interface", first)),
            None => {
                let list = facts.os.either("ip link", "ipconfig");
                ("and no other that could be used".to_owned(), format!("{list}, to see what there is"))
            }
        };
        return Some(Problem::InterfaceMissing.seen(format!("there is no interface {name}; {there}"), mend));
    };
    check_card(card, facts.os)
}

/// What is wrong with the only interface that counts.
fn check_card(card: &Card, os: Os) -> Option<Finding> {
    let name = &card.name;
    let described = card.describe();
    if !card.up {
        let mend = os.either(
            format!("sudo ip link set {name} up"),
            format!("netsh interface set interface \"{name}\" admin=enabled"),
        );
        return Some(Problem::InterfaceDown.seen(format!("{name} is switched off"), mend));
    }
    if card.carrier == Some(false) {
        return Some(Problem::NoCarrier.seen(
            format!("{name} has no link: no cable, or nobody at its other end"),
            format!("plug {name} into the Dante network's switch"),
        ));
    }
    if card.subnets.is_empty() {
        return Some(Problem::NoAddress.seen(
            format!("{name} has no IPv4 address"),
            os.either(
                format!(
                    "nmcli device connect {name} (or another way to an address: DHCP, or 169.254.0.0/16)"
                ),
                format!("netsh interface ipv4 set address \"{name}\" dhcp"),
            ),
        ));
    }
    match card.kind {
        Kind::Wireless => Some(Problem::Wireless.seen(
            format!("{described}: a radio delays packets by milliseconds, and unevenly"),
            "use a cable to the Dante network",
        )),
        Kind::Vpn | Kind::Inside => Some(Problem::VirtualInterface.seen(
            format!("{described} leads to no Dante network"),
            format!("name the card that does: {}", os.setting("interface", "NAME")),
        )),
        _ if card.half_duplex || card.speed.is_some_and(|speed| speed < SPEED_MIN) => Some(
            Problem::SlowLink.seen(
                format!("{described}{}", if card.half_duplex { ", one direction at a time" } else { "" }),
                os.either(
                    format!("look at the cable and the switch's port: ethtool {name}"),
                    "change the cable, and look at the switch's port and at the card's \"Speed & Duplex\""
                        .to_owned(),
                ),
            ),
        ),
        _ => None,
    }
}

fn check_unnamed(facts: &Facts) -> Vec<Finding> {
    let usable: Vec<&Card> = facts.listening().collect();
    let candidates: Vec<&&Card> = usable.iter().filter(|card| card.may_be_dante()).collect();
    let mut found = Vec::new();
    match candidates.as_slice() {
        [] => {
            // The likeliest one that is not usable tells what is missing.
            let nearest = facts.cards.iter().find(|card| card.may_be_dante());
            let nearest = nearest.and_then(|card| check_card(card, facts.os));
            let all: Vec<String> = facts.cards.iter().map(Card::describe).collect();
            found.push(nearest.unwrap_or_else(|| {
                let there = if all.is_empty() { "none at all".to_owned() } else { all.join(", ") };
                Problem::NoInterface.seen(
                    format!("no network interface that could hear Dante is up with an IPv4 address: {there}"),
                    "connect one to the Dante network",
                )
            }));
        }
        [only] => found.extend(check_card(only, facts.os)),
        several => {
            let unlinked = several.iter().all(|card| card.carrier == Some(false));
            let wireless = several.iter().all(|card| card.kind == Kind::Wireless);
            if unlinked || wireless {
                found.extend(several.iter().filter_map(|card| check_card(card, facts.os)));
            }
        }
    }
    if usable.len() > LISTENED_MAX {
        found.push(Problem::ManyInterfaces.seen(
            format!(
                "{} interfaces are up with an address; the service listens on {LISTENED_MAX}",
                usable.len()
            ),
            format!(
                "name the right one: --interface {}",
                candidates.first().map_or("NAME", |card| &card.name)
            ),
        ));
    }
    found
}

/// Two interfaces in one subnet: the kernel answers for both on either, and the switch sees one computer twice.
fn check_subnets(facts: &Facts) -> Option<Finding> {
    let usable: Vec<(&Card, &Subnet)> = facts
        .cards
        .iter()
        .filter(|card| card.is_usable() && matches!(card.kind, Kind::Card | Kind::Other | Kind::Wireless))
        .flat_map(|card| card.subnets.iter().map(move |subnet| (card, subnet)))
        .collect();
    let pair = usable.iter().enumerate().find_map(|(at, (one, subnet))| {
        let others = usable.iter().skip(at.saturating_add(1));
        let same = |other: &Subnet| subnet.holds(other.address) || other.holds(subnet.address);
        others
            .filter(|(card, other)| card.name != one.name && same(other))
            .map(|(card, _)| *card)
            .next()
            .map(|other| (*one, other, *subnet))
    });
    let (one, other, subnet) = pair?;
    let keep = facts.named.as_deref().unwrap_or(&one.name);
    let drop = if keep == one.name { &other.name } else { &one.name };
    Some(Problem::SameSubnet.seen(
        format!(
            "{} and {} are both in the subnet of {subnet}: packets may come in by one and be answered by the other",
            one.name, other.name
        ),
        facts.os.either(
            format!("sudo ip link set {drop} down, or give it an address of another subnet"),
            format!("netsh interface set interface \"{drop}\" admin=disabled, or give it an address of another subnet"),
        ),
    ))
}
