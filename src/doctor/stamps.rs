//! Who can stamp what arrives, and does the link sleep between packets?

use super::finding::{Check, Finding, Problem};
#[cfg(target_os = "linux")]
use crate::net::ethtool;
use crate::net::ethtool::{EnergyEfficiency, Stamping};

/// An interface's abilities; nothing where its driver does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFacts {
    /// Its name.
    pub name: String,
    /// What it stamps.
    pub stamping: Option<Stamping>,
    /// Energy-efficient Ethernet.
    pub energy: Option<EnergyEfficiency>,
}

/// Asks the drivers.
pub fn look<'a>(names: impl Iterator<Item = &'a str>) -> Vec<CardFacts> {
    names
        .map(|name| CardFacts {
            name: name.to_owned(),
            stamping: ethtool::stamping(name).ok(),
            energy: ethtool::energy_efficiency(name).ok(),
        })
        .collect()
}

/// Judges them.
pub fn check(cards: &[CardFacts]) -> Vec<Finding> {
    let mut found = Vec::new();
    for CardFacts { name, stamping, energy } in cards {
        if stamping.is_some_and(|stamping| !stamping.receive_software) {
            found.push(Problem::NoKernelStamps.seen(
                format!(
                    "the kernel does not stamp what arrives at {name}: the lock is about 1000 times worse"
                ),
                format!("a newer kernel or driver for {name}, or another card"),
            ));
        }
        if energy.is_some_and(|energy| energy.enabled && energy.active) {
            found.push(Problem::EnergyEfficientEthernet.seen(
                format!("{name} sleeps between packets (energy-efficient Ethernet) and stamps them late"),
                format!("sudo ethtool --set-eee {name} eee off"),
            ));
        }
    }
    Check::Stamps.found(found, || {
        let told: Vec<String> = cards.iter().map(describe).collect();
        if told.is_empty() { "no interface to ask".to_owned() } else { told.join("; ") }
    })
}

fn describe(card: &CardFacts) -> String {
    let name = &card.name;
    match card.stamping {
        None => format!("{name}: its driver does not tell"),
        Some(Stamping { receive_hardware: true, hardware_clock: Some(number), .. }) => {
            format!("{name}: the kernel stamps (the card could too, /dev/ptp{number}; that is not used)")
        }
        Some(_) => format!("{name}: the kernel stamps what arrives"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPS: Stamping =
        Stamping { receive_software: true, receive_hardware: false, hardware_clock: None };

    fn card(stamping: Stamping, energy: Option<EnergyEfficiency>) -> CardFacts {
        CardFacts { name: "eth0".to_owned(), stamping: Some(stamping), energy }
    }

    #[test]
    fn the_loopback_is_stamped_by_the_kernel() {
        let cards = look(["lo"].into_iter());
        assert_eq!(cards[0].stamping, Some(STAMPS));
        assert_eq!(check(&cards)[0].seen, "lo: the kernel stamps what arrives");
    }

    #[test]
    fn cards_without_stamps_and_links_that_sleep_are_told() {
        let none = Stamping { receive_software: false, ..STAMPS };
        assert_eq!(check(&[card(none, None)])[0].problem, Some(Problem::NoKernelStamps));
        let sleeps = EnergyEfficiency { enabled: true, active: true };
        let found = check(&[card(STAMPS, Some(sleeps))]);
        assert_eq!(found[0].problem, Some(Problem::EnergyEfficientEthernet));
        assert_eq!(found[0].mend.as_deref(), Some("sudo ethtool --set-eee eth0 eee off"));
        let idle = EnergyEfficiency { enabled: true, active: false };
        assert_eq!(check(&[card(STAMPS, Some(idle))])[0].problem, None);
    }

    #[test]
    fn a_card_with_a_clock_is_told_as_not_used() {
        let hardware = Stamping { receive_hardware: true, hardware_clock: Some(2), ..STAMPS };
        let found = check(&[card(hardware, None)]);
        assert!(found[0].problem.is_none() && found[0].seen.contains("/dev/ptp2"), "{found:?}");
        assert!(check(&look(["no-such-card"].into_iter()))[0].seen.contains("does not tell"));
    }
}
