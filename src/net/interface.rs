//! What is known of a network interface.

#[cfg(unix)]
mod ioctl;
#[cfg(unix)]
mod linux;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use linux::{exists, list, subnets};
#[cfg(windows)]
pub use windows::{adapters, exists, list};

use std::fmt;
use std::net::Ipv4Addr;

use super::NetworkError;

/// A network interface that can hear multicast.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Interface {
    /// The operating system's number.
    pub index: u32,
    /// Its name: `eth0`.
    pub name: String,
    /// Its first IPv4 address.
    pub address: Ipv4Addr,
    /// Not a wireless one.
    pub wired: bool,
}

/// An IPv4 address of an interface, with the length of its subnet's prefix in bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// The interface's name.
    pub interface: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix: u8,
}

impl Subnet {
    /// Whether an address lies in it.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0);
        (u32::from(address) ^ u32::from(self.address)) & mask == 0
    }
}

impl fmt::Display for Subnet {
    /// `10.0.0.5/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Interface {
    /// `eth0 (10.0.0.5)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.address)
    }
}

impl Interface {
    /// Whether the user means this one: by its name or its address, which on Windows is the easier to type.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || name.parse() == Ok(self.address)
    }
}

/// The interfaces to listen on, the likeliest first: the one that is `named`, or all that are usable.
///
/// # Errors
/// When there is none, or the operating system does not list them.
pub fn usable(named: Option<&str>, include_loopback: bool) -> Result<Vec<Interface>, NetworkError> {
    let interfaces = list(include_loopback || named.is_some())
        .map_err(|error| NetworkError::os("list the network interfaces", &error))?;
    select(interfaces, named, exists)
}

fn select(
    mut interfaces: Vec<Interface>,
    named: Option<&str>,
    exists: impl FnOnce(&str) -> bool,
) -> Result<Vec<Interface>, NetworkError> {
    match named {
        Some(name) if !interfaces.iter().any(|interface| interface.is_called(name)) => {
            Err(NetworkError::Interface {
                name: name.to_owned(),
                fault: if exists(name) { "is down or has no IPv4 address" } else { "does not exist" },
                available: interfaces.iter().map(ToString::to_string).collect(),
            })
        }
        Some(name) => {
            interfaces.retain(|interface| interface.is_called(name));
            Ok(interfaces)
        }
        None if interfaces.is_empty() => Err(NetworkError::NoInterface),
        None => {
            interfaces.sort_by_key(|interface| (!interface.wired, interface.index));
            Ok(interfaces)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, name: &str, wired: bool) -> Interface {
        let last = u8::try_from(index).unwrap();
        Interface { index, name: name.to_owned(), address: Ipv4Addr::new(10, 0, 0, last), wired }
    }

    fn selected(named: Option<&str>) -> Result<Vec<String>, NetworkError> {
        let all =
            vec![interface(3, "WLAN", false), interface(7, "Ethernet", true), interface(9, "Dante", true)];
        let found = select(all, named, |name| name == "Old")?;
        Ok(found.into_iter().map(|interface| interface.name).collect())
    }

    #[test]
    fn cables_come_first() {
        assert_eq!(selected(None).unwrap(), ["Ethernet", "Dante", "WLAN"]);
    }

    #[test]
    fn an_interface_is_named_by_name_or_address() {
        assert_eq!(selected(Some("Dante")).unwrap(), ["Dante"]);
        assert_eq!(selected(Some("10.0.0.3")).unwrap(), ["WLAN"]);
    }

    #[test]
    fn what_cannot_be_used_is_told_from_what_does_not_exist() {
        let told = |name| selected(Some(name)).unwrap_err().to_string();
        assert!(told("Old").contains("is down"), "{}", told("Old"));
        let absent = told("10.0.0.1");
        assert!(absent.contains("does not exist") && absent.contains("Ethernet (10.0.0.7)"), "{absent}");
        assert_eq!(select(Vec::new(), None, |_| true), Err(NetworkError::NoInterface));
    }

    #[test]
    fn a_subnet_holds_what_shares_its_prefix() {
        let subnet = |prefix| Subnet { interface: String::new(), address: [10, 1, 2, 3].into(), prefix };
        assert!(subnet(24).holds([10, 1, 2, 250].into()) && !subnet(24).holds([10, 1, 3, 3].into()));
        assert!(subnet(0).holds([192, 168, 0, 1].into()));
        assert!(subnet(32).holds([10, 1, 2, 3].into()) && !subnet(32).holds([10, 1, 2, 2].into()));
    }
}
