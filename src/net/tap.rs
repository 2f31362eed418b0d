//! What reaches this computer before its firewall: PTP and IGMP, by a packet socket that changes nothing.
//!
//! No interface is made promiscuous. The kernel's filter keeps everything else out, so that a network full of
//! audio costs nothing.
#![allow(unsafe_code, reason = "sockets are reached by libc calls only")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::sock_filter;

use super::{EVENT_PORT, GENERAL_PORT, PAYLOAD_MAX, Payload};

/// The protocol number of IPv4 in an Ethernet frame.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// Protocol numbers in an IPv4 header.
const IGMP: u32 = 2;
const UDP: u32 = 17;

// Instructions as in linux/filter.h: class, size or operation, mode.
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_BEHIND_HEADER: u16 = 0x48;
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// IGMP, and UDP to the ports 319 and 320. The packet begins with its IPv4 header: byte 9 is the protocol, the
/// destination port stands at 2 behind the header.
fn program() -> [sock_filter; 9] {
    let jump = |k, jt, jf| sock_filter { code: JUMP_EQUAL, jt, jf, k };
    let statement = |code, k| sock_filter { code, jt: 0, jf: 0, k };
    [
        statement(LOAD_BYTE, 9),
        jump(IGMP, 6, 0),
        jump(UDP, 0, 4),
        statement(LOAD_HEADER_LENGTH, 0),
        statement(LOAD_HALF_BEHIND_HEADER, 2),
        jump(EVENT_PORT.into(), 2, 0),
        jump(GENERAL_PORT.into(), 1, 0),
        statement(RETURN, 0),
        statement(RETURN, u32::MAX),
    ]
}

/// A socket that hears what arrives at all interfaces.
#[derive(Debug)]
pub struct Tap(OwnedFd);

/// An IPv4 packet from its header on.
#[derive(Debug, Clone, Copy)]
pub struct Tapped {
    /// The operating system's number of the interface.
    pub interface: u32,
    /// It was sent by this computer.
    pub outgoing: bool,
    /// Its bytes, cut.
    pub packet: Payload,
}

impl Tap {
    /// Opens it.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn open() -> io::Result<Self> {
        // Protocol 0: nothing is heard before the filter is in place.
        // SAFETY: plain integers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let tap = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        tap.attach(&program())?;
        tap.bind()?;
        Ok(tap)
    }

    /// The descriptor, for `poll`.
    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// The next packet; never waits.
    pub fn receive(&self) -> io::Result<Tapped> {
        let mut bytes = [0_u8; PAYLOAD_MAX];
        let mut from = address(0);
        let mut size = size_of_u32::<libc::sockaddr_ll>();
        // SAFETY: buffer and address outlive the call, and their sizes are the ones given.
        let length = unsafe {
            libc::recvfrom(
                self.fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
                libc::MSG_DONTWAIT,
                (&raw mut from).cast(),
                &raw mut size,
            )
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        Ok(Tapped {
            interface: u32::try_from(from.sll_ifindex).unwrap_or_default(),
            outgoing: from.sll_pkttype == libc::PACKET_OUTGOING,
            packet: Payload::new(bytes.get(..length).unwrap_or(&bytes)),
        })
    }

    fn attach(&self, program: &[sock_filter]) -> io::Result<()> {
        let len = program.len().try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the program, which outlives the call, and its size is the one given.
        let result = unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of_u32::<libc::sock_fprog>(),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn bind(&self) -> io::Result<()> {
        let all = address(ETHERTYPE_IPV4);
        // SAFETY: the address outlives the call, and its size is the one given.
        let result =
            unsafe { libc::bind(self.fd(), (&raw const all).cast(), size_of_u32::<libc::sockaddr_ll>()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// All interfaces, with this protocol.
fn address(protocol: u16) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: protocol.to_be(),
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn size_of_u32<T>() -> libc::socklen_t {
    size_of::<T>().try_into().expect("socket options and addresses are small")
}
