//! The interfaces of this computer, by `getifaddrs` and one ioctl: no netlink, and `/sys` only as an extra.
#![allow(unsafe_code, reason = "getifaddrs is a list of C pointers")]

use std::ffi::CStr;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use super::{Interface, Subnet, ioctl};
use crate::net::socket::{UdpSocket, name_bytes};

/// The interfaces that are up, have an IPv4 address and can hear multicast, by number; with
/// `include_loopback` also the loopback.
///
/// Virtual ones (bridges, containers) are listed too: where the leader is heard decides, not a name.
///
/// # Errors
/// When the operating system does not list them.
pub fn list(include_loopback: bool) -> io::Result<Vec<Interface>> {
    // For the ioctl only; without it the numbers come from the library.
    let socket = UdpSocket::new().ok();
    let mut interfaces: Vec<Interface> = Vec::new();
    for (name, address) in addresses(include_loopback)? {
        // The first address of an interface is its primary one.
        if interfaces.iter().any(|known| known.name == name) {
            continue;
        }
        if let Some(index) =
            socket.as_ref().and_then(|socket| index_of(socket, &name)).or_else(|| library_index(&name))
        {
            let wired = is_wired(Path::new("/sys/class/net"), &name);
            interfaces.push(Interface { index, name, address, wired });
        }
    }
    interfaces.sort_by_key(|interface| interface.index);
    Ok(interfaces)
}

/// Whether there is an interface of this name, usable or not.
pub fn exists(name: &str) -> bool {
    UdpSocket::new().is_ok_and(|socket| index_of(&socket, name).is_some()) || library_index(name).is_some()
}

/// Some drivers do not claim IFF_MULTICAST but can broadcast, which carries multicast as well.
fn is_usable(flags: libc::c_int, include_loopback: bool) -> bool {
    let has = |flag| flags & flag != 0;
    let loopback = has(libc::IFF_LOOPBACK);
    has(libc::IFF_UP)
        && (!loopback || include_loopback)
        && (loopback || has(libc::IFF_MULTICAST) || has(libc::IFF_BROADCAST))
}

/// Names and IPv4 addresses of usable interfaces, in the operating system's order.
fn addresses(include_loopback: bool) -> io::Result<Vec<(String, Ipv4Addr)>> {
    let listed = each_entry(|name, entry| {
        let flags = libc::c_int::from_ne_bytes(entry.ifa_flags.to_ne_bytes());
        let address = is_usable(flags, include_loopback).then(|| ipv4_at(entry.ifa_addr))??;
        Some((name.to_string_lossy().into_owned(), address))
    });
    listed.or_else(|_| {
        // It asks by netlink, which the service's sandbox does not let through.
        let usable = ioctl::entries()?.into_iter().filter(|entry| is_usable(entry.flags, include_loopback));
        Ok(usable.map(|entry| (entry.name, entry.address)).collect())
    })
}

/// All IPv4 addresses of all interfaces with their subnets, usable ones or not, in the operating system's order.
///
/// # Errors
/// When the operating system does not list them.
pub fn subnets() -> io::Result<Vec<Subnet>> {
    each_entry(|name, entry| {
        let address = ipv4_at(entry.ifa_addr)?;
        let mask = ipv4_at(entry.ifa_netmask).map_or(u32::MAX, u32::from);
        let prefix = u8::try_from(mask.leading_ones()).unwrap_or(32);
        Some(Subnet { interface: name.to_string_lossy().into_owned(), address, prefix })
    })
}

/// What `wanted` makes of each named entry of the operating system's list.
fn each_entry<T>(mut wanted: impl FnMut(&CStr, &libc::ifaddrs) -> Option<T>) -> io::Result<Vec<T>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the result.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next = list;
    // SAFETY: an entry is null at the end of the list, or valid until `freeifaddrs`.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        if !entry.ifa_name.is_null() {
            // SAFETY: the name is a C string that lives as long as its entry.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            found.extend(wanted(name, entry));
        }
    }
    // SAFETY: the list came from `getifaddrs`, and nothing borrowed from it is left.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// The IPv4 address that a field of a listed entry points to.
fn ipv4_at(address: *const libc::sockaddr) -> Option<Ipv4Addr> {
    // SAFETY: an address is null, or valid as long as its entry, which the caller still has.
    let address = unsafe { address.as_ref() }?;
    if i32::from(address.sa_family) != libc::AF_INET {
        return None;
    }
    // SAFETY: an address of the family AF_INET is a `sockaddr_in`; read without asking for its alignment.
    let address = unsafe { std::ptr::from_ref(address).cast::<libc::sockaddr_in>().read_unaligned() };
    Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)))
}

fn index_of(socket: &UdpSocket, name: &str) -> Option<u32> {
    // SAFETY: a request of zeros is valid: integers and null pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name_bytes(name)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    // SAFETY: SIOCGIFINDEX reads the name and writes the number, both inside the request.
    let result = unsafe { libc::ioctl(socket.fd(), libc::SIOCGIFINDEX, &raw mut request) };
    if result != 0 {
        return None;
    }
    // SAFETY: after a success this is the field that was written; any bytes make an integer.
    let index = unsafe { request.ifr_ifru.ifru_ifindex };
    u32::try_from(index).ok()
}

fn library_index(name: &str) -> Option<u32> {
    let name = name_bytes(name);
    // SAFETY: the name ends in NUL and outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr().cast()) };
    (index != 0).then_some(index)
}

/// A computer without these files has no wireless cards either.
fn is_wired(class: &Path, name: &str) -> bool {
    let device = class.join(name);
    !device.join("wireless").exists() && !device.join("phy80211").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_listed_only_on_request() {
        let is_loopback = |interface: &Interface| interface.address.is_loopback();
        assert!(list(true).unwrap().iter().any(is_loopback));
        assert!(!list(false).unwrap().iter().any(is_loopback));
    }

    #[test]
    fn both_ways_list_the_same() {
        let listed = addresses(true).unwrap();
        let others = ioctl::entries().unwrap().into_iter().filter(|entry| is_usable(entry.flags, true));
        let mut others: Vec<_> = others.map(|entry| (entry.name, entry.address)).collect();
        others.retain(|other| !listed.contains(other));
        assert_eq!(others, []);
    }

    #[test]
    fn an_interface_is_listed_once_by_number() {
        let interfaces = list(true).unwrap();
        assert!(interfaces.is_sorted_by(|a, b| a.index < b.index), "{interfaces:?}");
        assert!(interfaces.iter().all(|interface| library_index(&interface.name) == Some(interface.index)));
    }

    #[test]
    fn the_loopback_has_its_subnet() {
        let all = subnets().unwrap();
        let loopback = all.iter().find(|subnet| subnet.address == Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!((loopback.interface.as_str(), loopback.prefix), ("lo", 8));
    }

    #[test]
    fn broadcast_stands_in_for_multicast() {
        assert!(is_usable(libc::IFF_UP | libc::IFF_BROADCAST, false));
        assert!(is_usable(libc::IFF_UP | libc::IFF_MULTICAST, false));
        assert!(!is_usable(libc::IFF_UP | libc::IFF_POINTOPOINT, false));
        assert!(!is_usable(libc::IFF_BROADCAST, false));
        assert!(!is_usable(libc::IFF_UP | libc::IFF_LOOPBACK, false));
        assert!(is_usable(libc::IFF_UP | libc::IFF_LOOPBACK, true));
    }

    #[test]
    fn a_card_with_a_radio_is_not_wired() {
        let class = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(class.path().join("wlan0/phy80211")).unwrap();
        std::fs::create_dir_all(class.path().join("wlan1/wireless")).unwrap();
        std::fs::create_dir_all(class.path().join("eth0")).unwrap();
        assert!(!is_wired(class.path(), "wlan0") && !is_wired(class.path(), "wlan1"));
        assert!(is_wired(class.path(), "eth0") && is_wired(class.path(), "absent"));
    }
}
