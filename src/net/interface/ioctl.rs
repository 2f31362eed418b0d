//! The interfaces by ioctl, for where `getifaddrs` is not let through to netlink: the service's sandbox closes that.
#![allow(unsafe_code, reason = "the standard library lists no interfaces")]

use std::io;
use std::net::Ipv4Addr;

use crate::net::socket::UdpSocket;

/// More addresses than any computer of an audio network has.
const ENTRIES_MAX: usize = 128;

/// An IPv4 address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The interface.
    pub name: String,
    /// The address.
    pub address: Ipv4Addr,
    /// IFF_UP and the like.
    pub flags: libc::c_int,
}

/// All IPv4 addresses, in the operating system's order.
///
/// # Errors
/// When the operating system does not list them.
pub fn entries() -> io::Result<Vec<Entry>> {
    let socket = UdpSocket::new()?;
    // SAFETY: a request of zeros is valid: integers and null pointers.
    let mut requests: Vec<libc::ifreq> = vec![unsafe { std::mem::zeroed() }; ENTRIES_MAX];
    let size = size_of::<libc::ifreq>();
    let mut list = libc::ifconf {
        ifc_len: libc::c_int::try_from(size * ENTRIES_MAX).map_err(io::Error::other)?,
        ifc_ifcu: libc::__c_anonymous_ifc_ifcu { ifcu_req: requests.as_mut_ptr() },
    };
    // SAFETY: the kernel writes at most `ifc_len` bytes, which is what the requests have.
    if unsafe { libc::ioctl(socket.fd(), libc::SIOCGIFCONF, &raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let filled = usize::try_from(list.ifc_len).unwrap_or_default() / size;
    Ok(requests.into_iter().take(filled).filter_map(|request| entry(&socket, request)).collect())
}

fn entry(socket: &UdpSocket, mut request: libc::ifreq) -> Option<Entry> {
    let name = request.ifr_name.iter().map(|octet| octet.to_ne_bytes()[0]).take_while(|octet| *octet != 0);
    let name = String::from_utf8_lossy(&name.collect::<Vec<_>>()).into_owned();
    // SAFETY: SIOCGIFCONF has written an address here.
    let address = unsafe { request.ifr_ifru.ifru_addr };
    if i32::from(address.sa_family) != libc::AF_INET {
        return None;
    }
    // SAFETY: an address of the family AF_INET is a `sockaddr_in`; read without asking for its alignment.
    let address = unsafe { (&raw const address).cast::<libc::sockaddr_in>().read_unaligned() };
    // SAFETY: SIOCGIFFLAGS reads the name and writes the flags, both inside the request.
    if unsafe { libc::ioctl(socket.fd(), libc::SIOCGIFFLAGS, &raw mut request) } != 0 {
        return None;
    }
    // SAFETY: after a success this is the field that was written; any bytes make an integer.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Some(Entry { name, address: Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)), flags: flags.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_them_and_up() {
        let entries = entries().unwrap();
        let loopback = entries.iter().find(|entry| entry.address == Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(loopback.name, "lo");
        assert!(loopback.flags & libc::IFF_UP != 0 && loopback.flags & libc::IFF_LOOPBACK != 0);
    }
}
