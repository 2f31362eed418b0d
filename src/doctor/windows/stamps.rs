//! Who can stamp what arrives, and do card and link sleep or gather packets? By the driver's settings in the registry,
//! whose names Microsoft has laid down, and by the stamps that were seen.

use super::host::Host;
use crate::doctor::finding::{Check, Finding, Problem};
use crate::doctor::machine::JITTER_GOOD_NS;
use crate::net::StampSource;

/// The class of network cards, where each driver's settings stand below a number.
const CLASS: &str = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e972-e325-11ce-bfc1-08002be10318}";
/// Names for energy-efficient Ethernet: Microsoft's, and those of drivers that are older.
const SLEEPS: [&str; 3] = ["*EEE", "EEELinkAdvertisement", "AdvancedEEE"];

/// A card's settings; nothing where its driver has no such setting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CardFacts {
    /// The interface's name.
    pub name: String,
    /// `*SoftwareTimestamp`: whether the driver stamps by the computer's counter.
    pub software: Option<u32>,
    /// `*PtpHardwareTimestamp`: whether the card stamps by a clock of its own.
    pub hardware: Option<u32>,
    /// The setting that lets the link sleep between packets, where it is on.
    pub sleeps: Option<&'static str>,
    /// `*InterruptModeration`: whether the card gathers packets before it tells of them.
    pub moderation: Option<u32>,
    /// Who stamped the leader's Syncs there.
    pub stamped_by: Option<StampSource>,
}

/// The cards that are listened on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The cards.
    pub cards: Vec<CardFacts>,
    /// How the leader's packets scatter, where one was heard: standard deviation.
    pub jitter_ns: Option<f64>,
}

/// Looks up the settings of the interfaces that are listened on.
pub fn look(host: &impl Host, listening: &[String]) -> Facts {
    let drivers: Vec<(String, String)> = host
        .keys(CLASS)
        .into_iter()
        .map(|number| format!(r"{CLASS}\{number}"))
        .filter_map(|key| Some((host.value(&key, "NetCfgInstanceId")?.text()?.to_lowercase(), key)))
        .collect();
    let adapters = host.adapters();
    let wanted = adapters.iter().filter(|adapter| listening.contains(&adapter.name));
    let cards = wanted.map(|adapter| {
        let guid = adapter.guid.to_lowercase();
        let key = drivers.iter().find(|(known, _)| *known == guid).map(|(_, key)| key.as_str());
        let setting = |name: &str| host.value(key?, name)?.number();
        CardFacts {
            name: adapter.name.clone(),
            software: setting("*SoftwareTimestamp"),
            hardware: setting("*PtpHardwareTimestamp"),
            sleeps: SLEEPS.into_iter().find(|name| setting(name).is_some_and(|value| value != 0)),
            moderation: setting("*InterruptModeration"),
            stamped_by: None,
        }
    });
    Facts { cards: cards.collect(), jitter_ns: None }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let found = facts.cards.iter().flat_map(|card| check_card(card, facts.jitter_ns)).collect();
    Check::Stamps.found(found, || {
        let told: Vec<String> = facts.cards.iter().map(describe).collect();
        if told.is_empty() { "no interface to look at".to_owned() } else { told.join("; ") }
    })
}

fn check_card(card: &CardFacts, jitter_ns: Option<f64>) -> Vec<Finding> {
    let name = &card.name;
    let mut found = Vec::new();
    if card.software == Some(0) && card.stamped_by != Some(StampSource::Kernel) {
        found.push(Problem::StampsOff.seen(
            format!(
                "the driver of {name} could stamp what arrives, and is told not to (*SoftwareTimestamp 0)"
            ),
            set(name, "*SoftwareTimestamp", 1),
        ));
    }
    if card.hardware.is_some_and(|value| value != 0) {
        found.push(Problem::HardwareStamps.seen(
            format!("{name} stamps by a clock of its own (*PtpHardwareTimestamp), of which this program makes no use, and then stamps by the computer's counter do not come"),
            set(name, "*PtpHardwareTimestamp", 0),
        ));
    }
    if let Some(setting) = card.sleeps {
        found.push(Problem::EnergyEfficientEthernet.seen(
            format!(
                "{name} may sleep between packets (energy-efficient Ethernet, {setting}) and stamp them late"
            ),
            set(name, setting, 0),
        ));
    }
    let uneven = jitter_ns.filter(|jitter| *jitter > JITTER_GOOD_NS);
    if let Some(jitter) = uneven.filter(|_| card.moderation.is_some_and(|value| value != 0)) {
        found.push(Problem::InterruptModeration.seen(
            format!(
                "{name} gathers packets before it tells of them (*InterruptModeration), and they arrive unevenly, by \
                 {:.0} µs",
                jitter / 1e3
            ),
            set(name, "*InterruptModeration", 0),
        ));
    }
    found
}

/// The command of PowerShell that sets it.
fn set(name: &str, setting: &str, value: u32) -> String {
    format!(
        "in PowerShell: Set-NetAdapterAdvancedProperty -Name \"{name}\" -RegistryKeyword \"{setting}\" -RegistryValue \
         {value}"
    )
}

fn describe(card: &CardFacts) -> String {
    let name = &card.name;
    match (card.stamped_by, card.software) {
        (Some(StampSource::Kernel | StampSource::Hardware), _) => {
            format!("{name}: the system stamps what arrives")
        }
        (_, Some(_)) => format!("{name}: its driver is told to stamp; until it does, this program does"),
        (_, None) => format!("{name}: its driver does not stamp, a thread of this program does"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::made_up::{World, card};
    use super::*;

    fn world(setting: &str, value: &str) -> World {
        let key = format!(r"{CLASS}\0003");
        // The GUID in another case: they are compared without it.
        let guid = card("Ethernet", 10).guid.to_uppercase();
        World::new()
            .adapter(card("Ethernet", 10))
            .adapter(card("WLAN", 11))
            .text(&format!(r"{CLASS}\0001"), "DriverDesc", "something else")
            .text(&key, "NetCfgInstanceId", &guid)
            .text(&key, setting, value)
    }

    fn facts(world: &World) -> Facts {
        look(world, &["Ethernet".to_owned()])
    }

    fn problems(facts: &Facts) -> Vec<Problem> {
        check(facts).iter().filter_map(|finding| finding.problem).collect()
    }

    #[test]
    fn a_driver_without_the_settings_is_fine_and_told() {
        let found = check(&facts(&world("*SpeedDuplex", "0")));
        assert_eq!(found[0].problem, None);
        assert_eq!(found[0].seen, "Ethernet: its driver does not stamp, a thread of this program does");
    }

    #[test]
    fn stamps_that_are_off_are_told_with_the_command_that_switches_them_on() {
        let mut off = facts(&world("*SoftwareTimestamp", "0"));
        let found = check(&off);
        assert_eq!(found[0].problem, Some(Problem::StampsOff));
        assert!(
            found[0]
                .mend
                .as_deref()
                .unwrap()
                .ends_with("-Name \"Ethernet\" -RegistryKeyword \"*SoftwareTimestamp\" -RegistryValue 1")
        );
        off.cards[0].stamped_by = Some(StampSource::Kernel);
        assert_eq!(problems(&off), []);
        assert!(check(&off)[0].seen.contains("the system stamps"));
        assert_eq!(problems(&facts(&world("*SoftwareTimestamp", "3"))), []);
    }

    #[test]
    fn a_clock_of_the_card_and_links_that_sleep_are_told() {
        assert_eq!(problems(&facts(&world("*PtpHardwareTimestamp", "1"))), [Problem::HardwareStamps]);
        assert_eq!(problems(&facts(&world("*PtpHardwareTimestamp", "0"))), []);
        for setting in SLEEPS {
            let found = check(&facts(&world(setting, "1")));
            assert_eq!(found[0].problem, Some(Problem::EnergyEfficientEthernet));
            assert!(found[0].mend.as_deref().unwrap().contains(setting));
            assert_eq!(problems(&facts(&world(setting, "0"))), []);
        }
    }

    #[test]
    fn gathered_packets_count_only_where_it_shows() {
        let mut gathers = facts(&world("*InterruptModeration", "1"));
        assert_eq!(problems(&gathers), []);
        gathers.jitter_ns = Some(60e3);
        assert_eq!(problems(&gathers), [Problem::InterruptModeration]);
    }

    #[test]
    fn only_cards_that_are_listened_on_are_looked_at() {
        let found = check(&look(&world("*EEE", "1"), &["WLAN".to_owned()]));
        assert_eq!(found[0].problem, None);
        assert_eq!(check(&look(&World::new(), &[]))[0].seen, "no interface to look at");
    }
}
