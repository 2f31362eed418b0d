//! What is known of a network interface.

#[cfg(unix)]
mod linux;

#[cfg(unix)]
pub use linux::{exists, list};

use std::fmt;
use std::net::Ipv4Addr;

/// A network interface that can hear multicast.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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

impl fmt::Display for Interface {
    /// `eth0 (10.0.0.5)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.address)
    }
}
