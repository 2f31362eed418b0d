//! What is known of a network interface.

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
