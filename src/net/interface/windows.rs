//! The interfaces of this computer, by `GetAdaptersAddresses`.
#![allow(unsafe_code, reason = "GetAdaptersAddresses is a list of C pointers")]

use std::io;
use std::net::Ipv4Addr;

use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER, GAA_FLAG_SKIP_MULTICAST, GetAdaptersAddresses,
    GetIfEntry2, IF_TYPE_IEEE80211, IF_TYPE_SOFTWARE_LOOPBACK, IP_ADAPTER_ADDRESSES_LH,
    IP_ADAPTER_NO_MULTICAST, MIB_IF_ROW2,
};
use windows_sys::Win32::NetworkManagement::Ndis::IfOperStatusUp;
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, IpDadStateDeprecated, IpDadStatePreferred, NL_DAD_STATE, SOCKET_ADDRESS,
};

use super::Interface;

/// As Microsoft advises: enough for most computers, so that one call will do.
const BUFFER_START: u32 = 16 * 1024;
/// The list may grow between two calls, but not for ever.
const TRIES: u32 = 5;

/// The interfaces that are up, have an IPv4 address and can hear multicast, by number; with
/// `include_loopback` also the loopback.
///
/// # Errors
/// When the operating system does not list them.
pub fn list(include_loopback: bool) -> io::Result<Vec<Interface>> {
    let mut interfaces: Vec<Interface> = adapters()?
        .into_iter()
        .filter(|adapter| adapter.up && adapter.multicast && (include_loopback || !adapter.is_loopback()))
        .filter_map(Adapter::into_interface)
        .collect();
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Whether there is an interface of this name, usable or not.
pub fn exists(name: &str) -> bool {
    adapters().is_ok_and(|adapters| adapters.iter().any(|adapter| adapter.name == name))
}

/// All that Windows tells of an interface that is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// The operating system's number.
    pub index: u32,
    /// The name that Windows shows.
    pub name: String,
    /// What its driver calls it.
    pub description: String,
    /// Its name in the registry, `{8A…}`.
    pub guid: String,
    /// `ifType` of IANA.
    pub kind: u32,
    /// Its IPv4 addresses, the primary one first, with the length of their prefixes in bits.
    pub addresses: Vec<(Ipv4Addr, u8)>,
    /// It has a link.
    pub up: bool,
    /// It can hear multicast.
    pub multicast: bool,
    /// In bit/s, as the driver says; 0 where it does not.
    pub speed_bps: u64,
}

impl Adapter {
    /// This computer itself.
    pub fn is_loopback(&self) -> bool {
        self.kind == IF_TYPE_SOFTWARE_LOOPBACK
    }

    /// Packets that have come in since it was switched on; nothing where the system does not count.
    pub fn received(&self) -> Option<u64> {
        let mut row = MIB_IF_ROW2 { InterfaceIndex: self.index, ..MIB_IF_ROW2::default() };
        // SAFETY: a valid row, with the number of the interface that it is to be about.
        let result = unsafe { GetIfEntry2(&raw mut row) };
        (result == NO_ERROR).then(|| row.InUcastPkts.saturating_add(row.InNUcastPkts))
    }

    fn into_interface(self) -> Option<Interface> {
        let (address, _) = *self.addresses.first()?;
        let wired = self.kind != IF_TYPE_IEEE80211;
        Some(Interface { index: self.index, name: self.name, address, wired })
    }
}

/// All interfaces that are switched on, whether they can be used or not.
///
/// # Errors
/// When the operating system does not list them.
pub fn adapters() -> io::Result<Vec<Adapter>> {
    let mut size = BUFFER_START;
    for _ in 0..TRIES {
        // Words, because the list's entries want their alignment.
        let words = usize::try_from(size).map_err(io::Error::other)?.div_ceil(size_of::<u64>());
        let mut buffer = vec![0_u64; words];
        let flags = GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
        // SAFETY: the buffer has at least `size` bytes and outlives the call.
        let result = unsafe {
            GetAdaptersAddresses(
                AF_INET.into(),
                flags,
                std::ptr::null(),
                buffer.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        match result {
            NO_ERROR => return Ok(listed(buffer.as_ptr().cast())),
            ERROR_NO_DATA => return Ok(Vec::new()),
            ERROR_BUFFER_OVERFLOW => {}
            code => return Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX))),
        }
    }
    Err(io::Error::other("the list of network interfaces does not stop growing"))
}

fn listed(first: *const IP_ADAPTER_ADDRESSES_LH) -> Vec<Adapter> {
    let mut found = Vec::new();
    let mut next = first;
    // SAFETY: an entry is null at the end of the list, or valid as long as the buffer, which outlives this function.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.Next;
        // SAFETY: both members of the union are the same integers.
        let header = unsafe { entry.Anonymous1.Anonymous };
        // SAFETY: as above.
        let flags = unsafe { entry.Anonymous2.Flags };
        found.push(Adapter {
            index: header.IfIndex,
            name: text(entry.FriendlyName),
            description: text(entry.Description),
            guid: bytes(entry.AdapterName),
            kind: entry.IfType,
            addresses: addresses(entry),
            up: entry.OperStatus == IfOperStatusUp,
            multicast: flags & IP_ADAPTER_NO_MULTICAST == 0,
            // All ones stand for "not known".
            speed_bps: Some(entry.ReceiveLinkSpeed).filter(|speed| *speed != u64::MAX).unwrap_or_default(),
        });
    }
    found
}

/// One that is still being looked for elsewhere in the network, or was found there, cannot be used.
const fn is_usable(state: NL_DAD_STATE) -> bool {
    state == IpDadStatePreferred || state == IpDadStateDeprecated
}

/// The first IPv4 address of an interface is its primary one.
fn addresses(entry: &IP_ADAPTER_ADDRESSES_LH) -> Vec<(Ipv4Addr, u8)> {
    let mut found = Vec::new();
    let mut next = entry.FirstUnicastAddress;
    // SAFETY: as in `listed`.
    while let Some(address) = unsafe { next.as_ref() } {
        let ipv4 = ipv4_of(&address.Address).filter(|_| is_usable(address.DadState));
        found.extend(ipv4.map(|ipv4| (ipv4, address.OnLinkPrefixLength)));
        next = address.Next;
    }
    found
}

fn ipv4_of(address: &SOCKET_ADDRESS) -> Option<Ipv4Addr> {
    if address.lpSockaddr.is_null() || address.iSockaddrLength < 8 {
        return None;
    }
    // SAFETY: the address has 8 bytes at least: family, port and the IPv4 address.
    let bytes = unsafe { address.lpSockaddr.cast::<[u8; 8]>().read_unaligned() };
    let [f, g, _, _, a, b, c, d] = bytes;
    (u16::from_ne_bytes([f, g]) == AF_INET).then(|| Ipv4Addr::new(a, b, c, d))
}

/// A name is no longer than this (MAX_ADAPTER_FRIENDLY_NAME_LENGTH is 256 characters).
const NAME_MAX: usize = 1024;

/// A string that ends in NUL.
fn text(start: *const u16) -> String {
    String::from_utf16_lossy(&until_nul(start))
}

/// The same of single bytes, as names in the registry are.
fn bytes(start: *const u8) -> String {
    String::from_utf8_lossy(&until_nul(start)).into_owned()
}

/// The characters before the NUL; none where there is no string.
fn until_nul<T: Copy + Default + PartialEq>(start: *const T) -> Vec<T> {
    let mut characters = Vec::new();
    if start.is_null() {
        return characters;
    }
    for offset in 0..NAME_MAX {
        // SAFETY: all characters up to the NUL belong to the string, and behind it none is read.
        let character = unsafe { start.wrapping_add(offset).read() };
        if character == T::default() {
            break;
        }
        characters.push(character);
    }
    characters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_listed_only_on_request() {
        let is_loopback = |interface: &Interface| interface.address.is_loopback();
        let all = list(true).unwrap();
        assert!(all.iter().any(is_loopback), "{all:?}");
        assert!(!list(false).unwrap().iter().any(is_loopback));
    }

    #[test]
    fn all_that_is_listed_can_be_used_for_a_diagnosis() {
        let adapters = adapters().unwrap();
        let loopback = adapters.iter().find(|adapter| adapter.is_loopback()).unwrap();
        assert!(loopback.addresses.contains(&(Ipv4Addr::LOCALHOST, 8)), "{loopback:?}");
        assert!(adapters.iter().all(|adapter| adapter.guid.starts_with('{')), "{adapters:?}");
        assert!(loopback.received().is_some());
    }

    #[test]
    fn an_address_that_somebody_else_has_is_none() {
        use windows_sys::Win32::Networking::WinSock::{
            IpDadStateDuplicate, IpDadStateInvalid, IpDadStateTentative,
        };
        assert!([IpDadStatePreferred, IpDadStateDeprecated].into_iter().all(is_usable));
        assert!(![IpDadStateInvalid, IpDadStateTentative, IpDadStateDuplicate].into_iter().any(is_usable));
    }

    #[test]
    fn an_interface_is_listed_once_by_number() {
        let interfaces = list(true).unwrap();
        assert!(interfaces.is_sorted_by(|a, b| a.index < b.index), "{interfaces:?}");
        assert!(interfaces.iter().all(|interface| !interface.name.is_empty() && exists(&interface.name)));
        assert!(!exists("absent0"));
    }
}
