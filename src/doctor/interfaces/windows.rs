//! The interfaces as Windows lists them.

use super::{Card, Facts, Kind};
use crate::doctor::os::Os;
use crate::doctor::windows::host::{Adapter, Host};
use crate::net::interface::Subnet;

/// Where all connections are named, also those that are switched off, which are not listed.
const CONNECTIONS: &str = r"SYSTEM\CurrentControlSet\Control\Network\{4D36E972-E325-11CE-BFC1-08002BE10318}";

/// Kinds of interfaces by the numbers of IANA (ifType-MIB).
const WIRELESS: u32 = 71;
const PPP: u32 = 23;
const TUNNEL: u32 = 131;
/// Drivers of tunnels without a kind of their own, such as Wintun.
const VIRTUAL: u32 = 53;

/// In names of drivers, in lower case: tunnels, and networks that end inside this computer.
const TUNNELS: [&str; 9] = [
    "tap-windows",
    "wireguard",
    "wintun",
    "openvpn",
    "tailscale",
    "zerotier",
    "anyconnect",
    "fortinet",
    "vpn",
];
const INSIDE: [&str; 6] = [
    "vmware virtual ethernet",
    "virtualbox host-only",
    "hyper-v virtual switch extension",
    "npcap loopback",
    "km-test loopback",
    "bluetooth",
];
/// Networks of Hyper-V that end inside this computer, by the name of the connection: its other ones may be bridged.
const INSIDE_SWITCHES: [&str; 2] = ["default switch", "wsl"];

/// Looks at the adapters; `named` may be a name or an address.
pub fn look(host: &impl Host, named: Option<&str>) -> Facts {
    let adapters = host.adapters();
    let mut cards: Vec<Card> = adapters.iter().map(card).collect();
    let named = named.map(|named| name_of(&adapters, named));
    if let Some(name) = named.as_ref().filter(|name| !cards.iter().any(|card| card.name == **name)) {
        cards.extend(switched_off(host, name));
    }
    Facts { named, cards, os: Os::Windows }
}

/// The name of the interface that a name or an address stands for.
fn name_of(adapters: &[Adapter], named: &str) -> String {
    let address = named.parse().ok();
    let has = |adapter: &&Adapter| adapter.addresses.iter().any(|(own, _)| Some(*own) == address);
    adapters.iter().find(has).map_or_else(|| named.to_owned(), |adapter| adapter.name.clone())
}

fn card(adapter: &Adapter) -> Card {
    let subnet = |(address, prefix): &(std::net::Ipv4Addr, u8)| Subnet {
        interface: adapter.name.clone(),
        address: *address,
        prefix: *prefix,
    };
    let speed = u32::try_from(adapter.speed_bps / 1_000_000).ok();
    Card {
        name: adapter.name.clone(),
        kind: kind(adapter),
        // What is switched off is not listed.
        up: true,
        multicast: adapter.multicast,
        carrier: Some(adapter.linked),
        // Without a link Windows tells all sorts of numbers.
        speed: speed.filter(|speed| adapter.linked && *speed > 0),
        half_duplex: false,
        subnets: adapter.addresses.iter().map(subnet).collect(),
    }
}

fn kind(adapter: &Adapter) -> Kind {
    let (name, driver) = (adapter.name.to_lowercase(), adapter.description.to_lowercase());
    let is_one_of = |words: &[&str]| words.iter().any(|word| driver.contains(word));
    let inside_switch =
        name.starts_with("vethernet") && INSIDE_SWITCHES.iter().any(|word| name.contains(word));
    if [PPP, TUNNEL, VIRTUAL].contains(&adapter.kind) || is_one_of(&TUNNELS) {
        Kind::Vpn
    } else if inside_switch || is_one_of(&INSIDE) {
        Kind::Inside
    } else if adapter.kind == WIRELESS {
        Kind::Wireless
    } else if name.starts_with("vethernet") {
        Kind::Other
    } else {
        Kind::Card
    }
}

/// A connection of this name that Windows knows and does not list.
fn switched_off(host: &impl Host, name: &str) -> Option<Card> {
    let known = host.keys(CONNECTIONS).into_iter().any(|guid| {
        let value = host.value(&format!(r"{CONNECTIONS}\{guid}\Connection"), "Name");
        value.and_then(|value| value.text().map(|text| text == name)).unwrap_or(false)
    });
    known.then(|| Card {
        name: name.to_owned(),
        kind: Kind::Card,
        up: false,
        multicast: true,
        carrier: None,
        speed: None,
        half_duplex: false,
        subnets: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::doctor::finding::{Finding, Problem};
    use crate::doctor::windows::host::made_up::{World, card as adapter};

    fn found(world: &World, named: Option<&str>) -> Vec<Finding> {
        check(&look(world, named))
    }

    fn problems(world: &World, named: Option<&str>) -> Vec<Problem> {
        found(world, named).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn one_wired_card_is_fine_and_described() {
        let found = found(&World::new().adapter(adapter("Ethernet 2", 1)), None);
        assert_eq!(found[0].problem, None);
        assert_eq!(found[0].seen, "Ethernet 2 (10.0.1.5/24, 1 Gbit/s)");
    }

    #[test]
    fn an_address_stands_for_its_interface() {
        let world = World::new().adapter(adapter("Ethernet", 1)).adapter(adapter("Dante", 2));
        assert_eq!(look(&world, Some("10.0.2.5")).named.as_deref(), Some("Dante"));
        assert!(found(&world, Some("10.0.2.5"))[0].seen.starts_with("Dante ("));
    }

    #[test]
    fn the_named_one_is_missing_switched_off_unplugged_or_without_an_address() {
        let world = World::new().adapter(adapter("Ethernet", 1));
        let missing = found(&world, Some("LAN"));
        assert_eq!(missing[0].problem, Some(Problem::InterfaceMissing));
        assert_eq!(missing[0].mend.as_deref(), Some(Os::Windows.setting("interface", "Ethernet").as_str()));
        let off = world.text(&format!(r"{CONNECTIONS}\{{8A}}\Connection"), "Name", "LAN");
        let told = found(&off, Some("LAN"));
        assert_eq!(told[0].problem, Some(Problem::InterfaceDown));
        assert_eq!(told[0].mend.as_deref(), Some("netsh interface set interface \"LAN\" admin=enabled"));
        let unplugged = World::new().adapter(Adapter { linked: false, ..adapter("LAN", 1) });
        assert_eq!(problems(&unplugged, Some("LAN")), [Problem::NoCarrier]);
        assert_eq!(problems(&unplugged, None), [Problem::NoCarrier]);
        let mute = World::new().adapter(Adapter { addresses: Vec::new(), ..adapter("LAN", 1) });
        let told = found(&mute, Some("LAN"));
        assert_eq!(told[0].problem, Some(Problem::NoAddress));
        assert!(told[0].mend.as_deref().unwrap().starts_with("netsh"));
    }

    #[test]
    fn radios_tunnels_and_networks_inside_are_no_way_to_dante() {
        let of = |name: &str, kind, description: &str| {
            let description = description.to_owned();
            super::kind(&Adapter { kind, description, ..adapter(name, 1) })
        };
        assert_eq!(of("Wi-Fi", 71, "Intel(R) Wi-Fi 6 AX201 160MHz"), Kind::Wireless);
        assert_eq!(of("Ethernet 5", 6, "TAP-Windows Adapter V9"), Kind::Vpn);
        assert_eq!(of("wg0", 53, "WireGuard Tunnel"), Kind::Vpn);
        assert_eq!(of("vEthernet (Default Switch)", 6, "Hyper-V Virtual Ethernet Adapter"), Kind::Inside);
        assert_eq!(of("vEthernet (WSL)", 6, "Hyper-V Virtual Ethernet Adapter #2"), Kind::Inside);
        // A bridge to a real card.
        assert_eq!(of("vEthernet (Dante)", 6, "Hyper-V Virtual Ethernet Adapter #3"), Kind::Other);
        assert_eq!(
            of("VMware Network Adapter VMnet8", 6, "VMware Virtual Ethernet Adapter for VMnet8"),
            Kind::Inside
        );
        // In a virtual machine this is the card.
        assert_eq!(of("Ethernet", 6, "Microsoft Hyper-V Network Adapter"), Kind::Card);
        assert_eq!(of("Ethernet0", 6, "vmxnet3 Ethernet Adapter"), Kind::Card);
        let radio = Adapter { kind: WIRELESS, ..adapter("Wi-Fi", 1) };
        assert_eq!(problems(&World::new().adapter(radio), None), [Problem::Wireless]);
    }

    #[test]
    fn two_in_one_subnet_and_slow_links_are_told() {
        let world = World::new().adapter(adapter("Ethernet", 1)).adapter(adapter("Dante", 1));
        let told = found(&world, None);
        assert_eq!(told[0].problem, Some(Problem::SameSubnet));
        assert!(told[0].mend.as_deref().unwrap().contains("admin=disabled"));
        let slow = World::new().adapter(Adapter { speed_bps: 10_000_000, ..adapter("LAN", 1) });
        assert_eq!(problems(&slow, None), [Problem::SlowLink]);
    }
}
