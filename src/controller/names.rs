//! The names of interfaces, also of those that are gone: what was heard on one is told after it went down, too.

use crate::net::Interface;

/// Names that are kept at most: a card that is plugged in anew has another number each time.
const KEPT: usize = 32;

/// Numbers and names, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<(u32, String)>);

impl Names {
    /// These are listened on now.
    pub(super) fn learn(&mut self, interfaces: &[Interface]) {
        for interface in interfaces {
            self.0.retain(|(index, _)| *index != interface.index);
            self.0.push((interface.index, interface.name.clone()));
        }
        let surplus = self.0.len().saturating_sub(KEPT);
        self.0.drain(..surplus);
    }

    /// The name that the interface of this number has, or had last.
    pub(super) fn of(&self, index: u32) -> String {
        let found = self.0.iter().find(|(known, _)| *known == index);
        found.map_or_else(|| format!("interface {index}"), |(_, name)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn interface(index: u32, name: &str) -> Interface {
        Interface { index, name: name.to_owned(), address: Ipv4Addr::LOCALHOST, wired: true }
    }

    #[test]
    fn a_name_is_kept_until_another_takes_its_number() {
        let mut names = Names::default();
        names.learn(&[interface(2, "eth0"), interface(3, "wlan0")]);
        names.learn(&[interface(3, "wlan0")]);
        assert_eq!([names.of(2), names.of(3), names.of(7)], ["eth0", "wlan0", "interface 7"]);
        names.learn(&[interface(2, "lan1")]);
        assert_eq!(names.of(2), "lan1");
    }

    #[test]
    fn a_card_that_is_replugged_for_ever_takes_no_memory() {
        let mut names = Names::default();
        (0..1_000).for_each(|index| names.learn(&[interface(index, "usb0")]));
        assert_eq!(names.0.len(), KEPT);
        assert_eq!(names.of(999), "usb0");
    }
}
