//! UDP sockets of Linux: the plain libc calls behind a safe face.
//!
//! The calls are kept to what clock-and-network simulators that replace libc's symbols know: no flags in the
//! type of a socket, one buffer per message, a roomy control buffer, and nothing is read that `poll` did not
//! announce.
#![allow(unsafe_code, reason = "sockets are reached by libc calls only")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::control::controls;
use super::{Interface, PAYLOAD_MAX, Payload};
use crate::time::{Span, System, Timestamp};

/// Bytes of control messages that are taken per datagram: a stamp needs 64.
const CONTROL_SIZE: usize = 256;
/// An interface's name, with its NUL.
pub const NAME_SIZE: usize = libc::IFNAMSIZ;

/// Receive stamps by the kernel, in `CLOCK_REALTIME`.
pub const STAMP_RECEIVE: u32 = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
/// Transmit stamps by the kernel as well: they come back with a copy of the datagram, by which it is known.
pub const STAMP_BOTH: u32 = STAMP_RECEIVE | libc::SOF_TIMESTAMPING_TX_SOFTWARE;

/// What [`poll`] waits for, and what it found.
pub type PollFd = libc::pollfd;

/// A UDP socket that never blocks.
#[derive(Debug)]
pub struct UdpSocket(OwnedFd);

/// A datagram, or the copy of one that was sent.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Its bytes.
    pub payload: Payload,
    /// Where it came from; unspecified for copies of what was sent.
    pub source: SocketAddrV4,
    /// The kernel's stamp.
    pub stamp: Option<Timestamp<System>>,
}

impl UdpSocket {
    /// A new socket, bound to nothing.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain integers.
        let fd = checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) })?;
        // SAFETY: the descriptor was just made, and nobody else owns it.
        let socket = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        // Both fail soft: every read asks not to block, and this program starts no others.
        // SAFETY: plain integers, for a descriptor that is ours.
        let _ = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        // SAFETY: as above.
        let _ = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
        Ok(socket)
    }

    /// The descriptor, for `poll`.
    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Shares the port with others that do the same.
    pub fn share_port(&self) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32)
    }

    /// Hears only groups that were joined on this socket, instead of all that anybody on the computer joined.
    pub fn only_own_groups(&self) -> io::Result<()> {
        self.set(libc::IPPROTO_IP, libc::IP_MULTICAST_ALL, &0_i32)
    }

    /// Asks the kernel for stamps.
    pub fn stamp(&self, flags: u32) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags)
    }

    /// Hears one interface only.
    pub fn bind_to_device(&self, name: &str) -> io::Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &name_bytes(name))
    }

    /// Joins a multicast group on an interface.
    pub fn join(&self, group: Ipv4Addr, interface: &Interface) -> io::Result<()> {
        self.set(libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &membership(group, interface.index))
    }

    /// Leaves a multicast group on an interface.
    pub fn leave(&self, group: Ipv4Addr, interface: &Interface) -> io::Result<()> {
        self.set(libc::IPPROTO_IP, libc::IP_DROP_MEMBERSHIP, &membership(group, interface.index))
    }

    /// Lets the kernel drop what `program` does not accept.
    pub fn attach_filter(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let len = program.len().try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // The kernel copies the program and writes nothing, whatever the pointer's type says.
        let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Takes `port` on all addresses.
    pub fn bind(&self, port: u16) -> io::Result<()> {
        self.bind_at(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
    }

    /// Takes a port on one address; port 0 lets the system choose.
    pub fn bind_at(&self, address: SocketAddrV4) -> io::Result<()> {
        let address = to_sockaddr(address);
        // SAFETY: the address outlives the call, and its size is the one given.
        checked(unsafe { libc::bind(self.fd(), (&raw const address).cast(), size_of_val_u32(&address)) })
            .map(drop)
    }

    /// Where the socket is bound.
    pub fn address(&self) -> io::Result<SocketAddrV4> {
        let mut address = to_sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut size = size_of_val_u32(&address);
        // SAFETY: the places for the result and its size outlive the call.
        checked(unsafe { libc::getsockname(self.fd(), (&raw mut address).cast(), &raw mut size) })?;
        Ok(from_sockaddr(&address))
    }

    /// Sends multicast by this interface.
    pub fn multicast_by(&self, interface: &Interface) -> io::Result<()> {
        let by = membership(Ipv4Addr::UNSPECIFIED, interface.index);
        self.set(libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &by)
    }

    /// Talks to one peer only, and hears of its refusals.
    pub fn connect(&self, peer: SocketAddrV4) -> io::Result<()> {
        let address = to_sockaddr(peer);
        // SAFETY: the address outlives the call, and its size is the one given.
        checked(unsafe { libc::connect(self.fd(), (&raw const address).cast(), size_of_val_u32(&address)) })
            .map(drop)
    }

    /// Sends to the connected peer.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes, None)
    }

    /// Sends to anybody.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
        self.send_with(bytes, Some(&to_sockaddr(to)))
    }

    fn send_with(&self, bytes: &[u8], to: Option<&libc::sockaddr_in>) -> io::Result<()> {
        let (to, size) =
            to.map_or((std::ptr::null(), 0), |to| (std::ptr::from_ref(to).cast(), size_of_val_u32(to)));
        // SAFETY: buffer and address outlive the call, and their sizes are the ones given.
        let sent = unsafe {
            libc::sendto(self.fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT, to, size)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Reads one datagram. Only after `poll` said that there is one.
    pub fn receive(&self) -> io::Result<Received> {
        self.receive_with(libc::MSG_DONTWAIT)
    }

    /// Reads the copy of a sent datagram with its transmit stamp. Only after `poll` reported an error.
    pub fn receive_sent(&self) -> io::Result<Received> {
        self.receive_with(libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE)
    }

    fn receive_with(&self, flags: libc::c_int) -> io::Result<Received> {
        let mut bytes = [0_u8; PAYLOAD_MAX];
        let mut control = Control([0; CONTROL_SIZE]);
        let mut source = to_sockaddr(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        let mut buffer = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: a message header of zeros is valid: no buffers at all.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut source).cast();
        header.msg_namelen = size_of_val_u32(&source);
        header.msg_iov = &raw mut buffer;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control.0.len();
        // SAFETY: all buffers named in the header outlive the call, and their sizes are the ones given.
        let length = unsafe { libc::recvmsg(self.fd(), &raw mut header, flags) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let controls = control.0.get(..header.msg_controllen).unwrap_or_default();
        Ok(Received {
            payload: Payload::new(bytes.get(..length).unwrap_or(&bytes)),
            source: from_sockaddr(&source),
            stamp: stamp_in(controls),
        })
    }

    /// Takes the error that waits at the socket, if any.
    pub fn take_error(&self) -> Option<io::Error> {
        let mut error: libc::c_int = 0;
        let mut size = size_of_val_u32(&error);
        // SAFETY: the places for the result and its size outlive the call.
        let result = unsafe {
            libc::getsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ERROR,
                (&raw mut error).cast(),
                &raw mut size,
            )
        };
        match (result, error) {
            (0, 0) => None,
            (0, error) => Some(io::Error::from_raw_os_error(error)),
            _ => Some(io::Error::last_os_error()),
        }
    }

    fn set<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: the value outlives the call, and its size is the one given; the kernel only reads it.
        let result = unsafe {
            libc::setsockopt(
                self.fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                size_of_val_u32(value),
            )
        };
        checked(result).map(drop)
    }
}

#[cfg(test)]
impl UdpSocket {
    /// The port that the socket got.
    pub fn port(&self) -> io::Result<u16> {
        self.address().map(|address| address.port())
    }
}

/// Waits until one of `fds` is ready or the timeout has passed. An interrupting signal ends it as well.
///
/// `timeout` is rounded up to ms and is at least 1 ms: there is no such thing here as looking without waiting.
pub fn poll(fds: &mut [PollFd], timeout: Span) -> io::Result<()> {
    let ms = timeout.as_ns().saturating_add(999_999).div_euclid(1_000_000).max(1);
    let ms = libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX);
    let count = fds.len().try_into().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the slice is exclusively borrowed, and its length is the one given.
    match checked(unsafe { libc::poll(fds.as_mut_ptr(), count, ms) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        // What an interrupted call leaves in the results is not to be trusted.
        Err(_) => {
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// One entry for [`poll`]: datagrams, and what comes by the error queue. The kernel reports the latter unasked
/// (POLLERR); POLLPRI is for simulators, which want to be asked.
pub const fn pollfd(fd: i32) -> PollFd {
    libc::pollfd { fd, events: libc::POLLIN | libc::POLLPRI, revents: 0 }
}

/// Whether a datagram can be read.
pub const fn is_readable(fd: &PollFd) -> bool {
    fd.revents & libc::POLLIN != 0
}

/// Whether there is an error or something in the error queue.
pub const fn has_error(fd: &PollFd) -> bool {
    fd.revents & (libc::POLLERR | libc::POLLPRI | libc::POLLHUP | libc::POLLNVAL) != 0
}

/// Control messages must be aligned like their header.
#[repr(C, align(8))]
struct Control([u8; CONTROL_SIZE]);

/// Finds the kernel's software stamp among control messages.
fn stamp_in(bytes: &[u8]) -> Option<Timestamp<System>> {
    controls(bytes)
        .find(|it| (it.level, it.kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING))
        .and_then(|it| software_stamp(it.data))
}

/// The first of the three `timespec`s; the others are for hardware. Zero means: none.
fn software_stamp(data: &[u8]) -> Option<Timestamp<System>> {
    const WORD: usize = size_of::<i64>();
    let secs = i64::from_ne_bytes(*data.first_chunk::<WORD>()?);
    let ns = i64::from_ne_bytes(*data.get(WORD..)?.first_chunk::<WORD>()?);
    let stamp = secs.checked_mul(1_000_000_000)?.checked_add(ns)?;
    (stamp != 0).then_some(Timestamp::from_ns(stamp))
}

fn membership(group: Ipv4Addr, interface: u32) -> libc::ip_mreqn {
    libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: u32::from(group).to_be() },
        imr_address: libc::in_addr { s_addr: 0 },
        imr_ifindex: i32::try_from(interface).unwrap_or(0),
    }
}

fn to_sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn from_sockaddr(address: &libc::sockaddr_in) -> SocketAddrV4 {
    SocketAddrV4::new(u32::from_be(address.sin_addr.s_addr).into(), u16::from_be(address.sin_port))
}

/// An interface's name as the kernel takes it: cut, and with a NUL behind.
pub fn name_bytes(name: &str) -> [u8; NAME_SIZE] {
    let mut bytes = [0; NAME_SIZE];
    for (to, from) in bytes.iter_mut().take(NAME_SIZE.saturating_sub(1)).zip(name.as_bytes()) {
        *to = *from;
    }
    bytes
}

fn size_of_val_u32<T>(value: &T) -> libc::socklen_t {
    size_of_val(value).try_into().expect("socket options and addresses are small")
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::super::control::tests::control;
    use super::*;

    fn stamping(secs: i64, ns: i64) -> Vec<u8> {
        let words = [secs, ns, 0, 0, 0, 0];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        control(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &data)
    }

    #[test]
    fn the_stamp_is_found_behind_other_control_messages() {
        let stamp = stamping(1_700_000_000, 123_456_789);
        assert_eq!(stamp_in(&stamp), Some(Timestamp::from_ns(1_700_000_000_123_456_789)));
        let mut both = control(libc::IPPROTO_IP, libc::IP_PKTINFO, &[7; 12]);
        both.extend(&stamp);
        assert_eq!(stamp_in(&both), stamp_in(&stamp));
    }

    #[test]
    fn no_stamp_is_found_where_there_is_none() {
        assert_eq!(stamp_in(&[]), None);
        assert_eq!(stamp_in(&stamping(0, 0)), None);
        assert_eq!(stamp_in(&control(libc::IPPROTO_IP, libc::IP_PKTINFO, &[7; 12])), None);
        assert_eq!(stamp_in(&control(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &[1; 8])), None);
        assert_eq!(stamp_in(&stamping(i64::MAX, 0)), None);
    }

    #[test]
    fn names_are_cut_and_end_in_nul() {
        assert_eq!(&name_bytes("eth0")[..5], b"eth0\0");
        assert_eq!(name_bytes("an-interface-with-a-long-name")[NAME_SIZE - 1], 0);
    }

    #[test]
    fn addresses_come_back_as_they_went() {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 1, 2, 3), 319);
        assert_eq!(from_sockaddr(&to_sockaddr(address)), address);
    }

    #[test]
    fn a_datagram_arrives_with_the_kernels_stamp() {
        let receiver = UdpSocket::new().unwrap();
        receiver.stamp(STAMP_RECEIVE).unwrap();
        receiver.bind(0).unwrap();
        let sender = UdpSocket::new().unwrap();
        sender.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, receiver.port().unwrap())).unwrap();
        // The kernel turns stamping on a moment after it was asked for: the first ones may come without.
        let stamped = (0..1000).any(|_| {
            sender.send(b"hello").unwrap();
            let mut fds = [pollfd(receiver.fd())];
            poll(&mut fds, Span::from_secs(5)).unwrap();
            assert!(is_readable(&fds[0]) && !has_error(&fds[0]));
            let received = receiver.receive().unwrap();
            assert_eq!(received.payload.as_slice(), b"hello");
            assert_eq!(received.source.port(), sender.port().unwrap());
            received.stamp.is_some() || poll(&mut [], Span::from_ms(5)).is_err()
        });
        assert!(stamped);
        assert_eq!(receiver.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_wait_ends_without_a_datagram() {
        let socket = UdpSocket::new().unwrap();
        socket.bind(0).unwrap();
        let mut fds = [pollfd(socket.fd())];
        poll(&mut fds, Span::ZERO).unwrap();
        assert!(!is_readable(&fds[0]) && !has_error(&fds[0]));
    }
}
