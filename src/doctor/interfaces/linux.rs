//! The interfaces as `/sys/class/net` shows them.

use super::{Card, Facts, Kind};
use crate::doctor::host::Host;
use crate::doctor::os::Os;
use crate::net::interface::Subnet;

/// Flags of linux/if.h, as `/sys` shows them.
const IFF_UP: u32 = 0x1;
const IFF_BROADCAST: u32 = 0x2;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_MULTICAST: u32 = 0x1000;

/// Looks at `/sys/class/net`; addresses do not stand there and are given. `named` may be a name or an address.
pub fn look(host: &Host, named: Option<&str>, subnets: &[Subnet]) -> Facts {
    let named = named.map(|named| name_of(subnets, named));
    let names = host.names("/sys/class/net");
    let cards = names.iter().filter_map(|name| look_at(host, name, named == Some(name.as_str()), subnets));
    Facts { named: named.map(str::to_owned), cards: cards.collect(), os: Os::Linux }
}

/// The interface that has this name, or this as its first address.
fn name_of<'a>(subnets: &'a [Subnet], named: &'a str) -> &'a str {
    let has = |subnet: &&Subnet| named.parse() == Ok(subnet.address);
    let first =
        |subnet: &&Subnet| subnets.iter().find(|other| other.interface == subnet.interface) == Some(*subnet);
    subnets.iter().filter(first).find(has).map_or(named, |subnet| subnet.interface.as_str())
}

fn look_at(host: &Host, name: &str, named: bool, subnets: &[Subnet]) -> Option<Card> {
    let folder = format!("/sys/class/net/{name}");
    let at = |file: &str| format!("{folder}/{file}");
    let flags = host.word(at("flags"))?;
    let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
    if flags & IFF_LOOPBACK != 0 && !named {
        return None;
    }
    let up = flags & IFF_UP != 0;
    Some(Card {
        name: name.to_owned(),
        kind: kind(host, &folder, name),
        up,
        multicast: flags & (IFF_MULTICAST | IFF_BROADCAST | IFF_LOOPBACK) != 0,
        carrier: host.word(at("carrier")).filter(|_| up).map(|carrier| carrier == "1"),
        speed: host.number(at("speed")).filter(|speed| *speed > 0),
        half_duplex: host.word(at("duplex")).as_deref() == Some("half"),
        subnets: subnets.iter().filter(|subnet| subnet.interface == name).cloned().collect(),
    })
}

fn kind(host: &Host, folder: &str, name: &str) -> Kind {
    let has = |file: &str| host.exists(format!("{folder}/{file}"));
    let events = host.read(format!("{folder}/uevent")).unwrap_or_default();
    let device = events.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if has("wireless") || has("phy80211") || device == Some("wlan") {
        Kind::Wireless
    } else if has("tun_flags")
        || device == Some("wireguard")
        || begins(&["wg", "tun", "tailscale", "ppp", "zt"])
    {
        Kind::Vpn
    } else if begins(&["docker", "virbr", "cni", "podman", "lxcbr", "lxdbr", "br-", "vboxnet", "vmnet"]) {
        Kind::Inside
    } else if has("device") {
        Kind::Card
    } else {
        Kind::Other
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::check;
    use super::*;
    use crate::doctor::finding::{Finding, Problem};
    use crate::doctor::host::made_up::World;

    /// A card that is up with a cable, at this address.
    fn with_card(world: World, name: &str) -> World {
        let at = |file: &str| format!("/sys/class/net/{name}/{file}");
        world
            .file(&at("flags"), "0x1003\n")
            .file(&at("carrier"), "1\n")
            .file(&at("speed"), "1000\n")
            .file(&at("duplex"), "full\n")
            .folder(&at("device"))
    }

    pub fn subnet(interface: &str, address: [u8; 4]) -> Subnet {
        Subnet { interface: interface.to_owned(), address: address.into(), prefix: 24 }
    }

    fn found(world: &World, named: Option<&str>, subnets: &[Subnet]) -> Vec<Finding> {
        check(&look(&world.host(), named, subnets))
    }

    fn problems(world: &World, named: Option<&str>, subnets: &[Subnet]) -> Vec<Problem> {
        found(world, named, subnets).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn one_wired_card_is_fine_and_described() {
        let world = with_card(World::new(), "eth0").file("/sys/class/net/lo/flags", "0x9\n");
        let found = found(&world, None, &[subnet("eth0", [10, 0, 0, 5])]);
        assert_eq!(found[0].problem, None);
        assert_eq!(found[0].seen, "eth0 (10.0.0.5/24, 1 Gbit/s)");
    }

    #[test]
    fn the_named_one_is_missing_down_unplugged_or_without_an_address() {
        let world = with_card(World::new(), "eth0");
        let here = [subnet("eth0", [10, 0, 0, 5])];
        let missing = found(&world, Some("eth7"), &here);
        assert_eq!(missing[0].problem, Some(Problem::InterfaceMissing));
        assert_eq!(missing[0].mend.as_deref(), Some(Os::Linux.setting("interface", "eth0").as_str()));
        assert_eq!(problems(&world, Some("eth0"), &[]), [Problem::NoAddress]);
        let world = world.file("/sys/class/net/eth0/carrier", "0\n");
        assert_eq!(problems(&world, Some("eth0"), &here), [Problem::NoCarrier]);
        let world = world.file("/sys/class/net/eth0/flags", "0x1002\n");
        assert_eq!(problems(&world, Some("eth0"), &here), [Problem::InterfaceDown]);
        // Without a name the same is told of the only card.
        assert_eq!(problems(&world, None, &here), [Problem::InterfaceDown]);
    }

    #[test]
    fn two_in_one_subnet_are_named() {
        let world = with_card(with_card(World::new(), "eth0"), "eth1");
        let same = [subnet("eth0", [10, 0, 0, 5]), subnet("eth1", [10, 0, 0, 6])];
        let told = found(&world, None, &same);
        assert_eq!(told[0].problem, Some(Problem::SameSubnet));
        assert!(told[0].seen.contains("eth0 and eth1"));
        let named = found(&world, Some("eth1"), &same);
        assert!(named[0].mend.as_deref().unwrap().starts_with("sudo ip link set eth0 down"));
        let apart = [subnet("eth0", [10, 0, 0, 5]), subnet("eth1", [10, 0, 1, 6])];
        assert_eq!(problems(&world, None, &apart), []);
    }

    #[test]
    fn radios_tunnels_and_containers_are_no_way_to_dante() {
        let world = with_card(World::new(), "wlan0").folder("/sys/class/net/wlan0/wireless");
        assert_eq!(problems(&world, None, &[subnet("wlan0", [10, 0, 0, 5])]), [Problem::Wireless]);
        let world = with_card(World::new(), "tun0").file("/sys/class/net/tun0/tun_flags", "1");
        let here = [subnet("tun0", [10, 0, 0, 5])];
        assert_eq!(problems(&world, Some("tun0"), &here), [Problem::VirtualInterface]);
        assert_eq!(problems(&world, None, &here), [Problem::NoInterface]);
        let world = with_card(World::new(), "docker0");
        let here = [subnet("docker0", [172, 17, 0, 1])];
        assert_eq!(problems(&world, Some("docker0"), &here), [Problem::VirtualInterface]);
        assert_eq!(problems(&World::new(), None, &[]), [Problem::NoInterface]);
    }

    #[test]
    fn slow_links_and_too_many_are_told() {
        let world = with_card(World::new(), "eth0").file("/sys/class/net/eth0/speed", "10\n");
        let here = [subnet("eth0", [10, 0, 0, 5])];
        assert_eq!(problems(&world, None, &here), [Problem::SlowLink]);
        let world =
            world.file("/sys/class/net/eth0/speed", "100\n").file("/sys/class/net/eth0/duplex", "half\n");
        assert_eq!(problems(&world, None, &here), [Problem::SlowLink]);
        let world =
            world.file("/sys/class/net/eth0/duplex", "unknown\n").file("/sys/class/net/eth0/speed", "-1\n");
        assert_eq!(problems(&world, None, &here), []);

        let names: Vec<String> = (0..9).map(|number| format!("eth{number}")).collect();
        let world = names.iter().fold(World::new(), |world, name| with_card(world, name));
        let subnets: Vec<Subnet> =
            (0_u8..).zip(&names).map(|(net, name)| subnet(name, [10, 0, net, 5])).collect();
        assert_eq!(problems(&world, None, &subnets), [Problem::ManyInterfaces]);
    }
}
