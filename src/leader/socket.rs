//! A UDP socket whose datagrams carry kernel stamps, both ways.

#![allow(unsafe_code, reason = "socket calls that std does not have; the leader is an edge of its own")]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use super::KernelStamp;
use super::clocks::timespec_ns;
use crate::time::Timestamp;

/// A UDP socket with kernel stamps (`SO_TIMESTAMPING`, software), which are readings of the system clock.
#[derive(Debug)]
pub struct StampedSocket {
    socket: UdpSocket,
    /// The number that the kernel gives to the next send.
    next_id: u32,
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the buffer it fills.
    pub length: usize,
    /// Who sent it.
    pub source: SocketAddrV4,
    /// When the kernel saw it, by the system clock.
    pub stamp: Option<KernelStamp>,
}

/// What `OPT_ID` calls a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendId(u32);

impl StampedSocket {
    /// Opens a socket at `address` (port 0: the system chooses), sharing the port as PTP programs do.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn bind(address: SocketAddrV4) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let stamped = Self { socket, next_id: 0 };
        let stamping = libc::SOF_TIMESTAMPING_SOFTWARE
            | libc::SOF_TIMESTAMPING_RX_SOFTWARE
            | libc::SOF_TIMESTAMPING_TX_SOFTWARE
            | libc::SOF_TIMESTAMPING_OPT_ID
            | libc::SOF_TIMESTAMPING_OPT_TSONLY;
        stamped.set_option(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &stamping)?;
        Ok(stamped)
    }

    /// Where the socket is bound.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn address(&self) -> io::Result<SocketAddrV4> {
        v4(self.socket.local_addr()?)
    }

    /// Multicast leaves by the interface with this address, one hop far, and is heard on this computer too.
    ///
    /// # Errors
    /// When no interface has the address.
    pub fn send_multicast_by(&self, interface: Ipv4Addr) -> io::Result<()> {
        let address = libc::in_addr { s_addr: u32::from(interface).to_be() };
        self.set_option(libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &address)?;
        self.socket.set_multicast_ttl_v4(1)?;
        self.socket.set_multicast_loop_v4(true)
    }

    /// Hears a multicast group on the interface with this address.
    ///
    /// # Errors
    /// When no interface has the address.
    pub fn join(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.socket.join_multicast_v4(&group, &interface)
    }

    /// Sends a datagram; the receipt is for [`Self::transmit_stamp`].
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn send_to(&mut self, bytes: &[u8], to: SocketAddrV4) -> io::Result<SendId> {
        self.socket.send_to(bytes, to)?;
        let id = SendId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        Ok(id)
    }

    /// The kernel's stamp of an earlier send, if it comes within `patience`. Stamps of other sends are dropped.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn transmit_stamp(&self, of: SendId, patience: Duration) -> io::Result<Option<KernelStamp>> {
        // No event is asked for: the error queue always wakes.
        while self.wait(0, patience)? != 0 {
            let Some(message) = self.receive_message(&mut [], libc::MSG_ERRQUEUE)? else { break };
            if message.send_id == Some(of) {
                return Ok(message.stamp);
            }
        }
        Ok(None)
    }

    /// The next datagram, if one comes within `patience`; what does not fit into `buffer` is cut.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn receive(&self, buffer: &mut [u8], patience: Duration) -> io::Result<Option<Received>> {
        loop {
            let events = self.wait(libc::POLLIN, patience)?;
            if events & libc::POLLIN != 0 {
                let message = self.receive_message(buffer, 0)?;
                return Ok(message.map(|message| Received {
                    length: message.length,
                    source: message.source,
                    stamp: message.stamp,
                }));
            }
            if events == 0 {
                return Ok(None);
            }
            // Stamps of sends that nobody asked for would wake every wait. Their number is bounded by what was
            // sent, so this loop ends.
            while self.receive_message(&mut [], libc::MSG_ERRQUEUE)?.is_some() {}
        }
    }

    fn set_option<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        let length = libc::socklen_t::try_from(mem::size_of::<T>()).map_err(io::Error::other)?;
        // SAFETY: the pointer and length describe `value`, which lives through the call.
        let result = unsafe {
            libc::setsockopt(self.socket.as_raw_fd(), level, name, ptr::from_ref(value).cast(), length)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What can be read: one of `events`, or `POLLERR` for the error queue; 0 when time has run out.
    fn wait(&self, events: libc::c_short, patience: Duration) -> io::Result<libc::c_short> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events, revents: 0 };
        let timeout = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the pointer is to one pollfd of our own.
        let result = unsafe { libc::poll(&raw mut poll, 1, timeout) };
        match result {
            0.. => Ok(poll.revents & (events | libc::POLLERR)),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }

    /// `None` when there is nothing to read after all.
    fn receive_message(&self, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Option<Message>> {
        let mut control = Control([0; CONTROL_LENGTH]);
        let mut name = libc::sockaddr_in {
            sin_family: 0,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: 0 },
            sin_zero: [0; 8],
        };
        let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: msghdr is plain integers and pointers, for which zero is valid.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = ptr::from_mut(&mut name).cast();
        header.msg_namelen = libc::socklen_t::try_from(mem::size_of_val(&name)).map_err(io::Error::other)?;
        header.msg_iov = &raw mut vector;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_LENGTH;
        // SAFETY: every pointer in the header is to memory above, with its true length.
        let result =
            unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut header, flags | libc::MSG_DONTWAIT) };
        let Ok(length) = usize::try_from(result) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                // An ICMP answer to an earlier send; not what is waited for here.
                io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(error),
            };
        };
        let source =
            SocketAddrV4::new(u32::from_be(name.sin_addr.s_addr).into(), u16::from_be(name.sin_port));
        let mut message = Message { length, source, stamp: None, send_id: None };
        message.take_control(&header);
        Ok(Some(message))
    }
}

/// One stamp (64 bytes with its header) and one extended error (48 bytes) need less.
const CONTROL_LENGTH: usize = 256;

/// Aligned as the kernel wants its control messages.
#[repr(align(8))]
struct Control([u8; CONTROL_LENGTH]);

struct Message {
    length: usize,
    source: SocketAddrV4,
    stamp: Option<KernelStamp>,
    send_id: Option<SendId>,
}

impl Message {
    /// Reads the stamp and, from the error queue, the number of the send out of the control messages.
    fn take_control(&mut self, header: &libc::msghdr) {
        // SAFETY: the header was filled in by recvmsg and its control buffer is alive.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !next.is_null() {
            // SAFETY: not null, so it points to a whole cmsghdr inside the control buffer.
            let control = unsafe { ptr::read_unaligned(next) };
            // SAFETY: as above; the data follow the header.
            let data = unsafe { libc::CMSG_DATA(next) };
            match (control.cmsg_level, control.cmsg_type) {
                (libc::SOL_SOCKET, libc::SO_TIMESTAMPING) => {
                    // SAFETY: this kind of message holds three timespec; the first is the software stamp.
                    let time = unsafe { ptr::read_unaligned(data.cast::<libc::timespec>()) };
                    self.stamp = Some(Timestamp::from_ns(timespec_ns(time)));
                }
                (libc::IPPROTO_IP, libc::IP_RECVERR) => {
                    // SAFETY: this kind of message starts with a sock_extended_err.
                    let error = unsafe { ptr::read_unaligned(data.cast::<libc::sock_extended_err>()) };
                    if error.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING {
                        self.send_id = Some(SendId(error.ee_data));
                    }
                }
                _ => {}
            }
            // SAFETY: header and message belong together.
            next = unsafe { libc::CMSG_NXTHDR(header, next) };
        }
    }
}

fn v4(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => Err(io::Error::other(format!("{address} is no IPv4 address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::clocks;

    #[test]
    fn both_ways_are_stamped_by_the_kernel_in_order() {
        let receiver = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut sender = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = receiver.address().unwrap();
        let patience = Duration::from_secs(10);
        let mut buffer = [0; 16];
        for _ in 0..3 {
            let before = clocks::read(3).unwrap();
            let unstamped = sender.send_to(b"first", to).unwrap();
            let id = sender.send_to(b"second", to).unwrap();
            assert_ne!(unstamped, id);
            let sent = sender.transmit_stamp(id, patience).unwrap().expect("a transmit stamp");
            receiver.receive(&mut buffer, patience).unwrap().unwrap();
            let received = receiver.receive(&mut buffer, patience).unwrap().unwrap();
            let after = clocks::read(3).unwrap();
            assert_eq!(&buffer[..received.length], b"second");
            assert_eq!(received.source, sender.address().unwrap());
            let received = received.stamp.expect("a receive stamp");
            assert!(before.system <= sent && sent <= received && received <= after.system);
        }
    }

    #[test]
    fn stamps_that_nobody_asked_for_do_not_hide_a_datagram() {
        let mut socket = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = socket.address().unwrap();
        let mut buffer = [0; 8];
        for _ in 0..3 {
            socket.send_to(b"self", own).unwrap();
        }
        for _ in 0..3 {
            assert!(socket.receive(&mut buffer, Duration::from_secs(10)).unwrap().is_some());
        }
        assert_eq!(socket.receive(&mut buffer, Duration::ZERO).unwrap(), None);
        assert_eq!(socket.wait(0, Duration::ZERO).unwrap(), 0, "the error queue is drained");
    }

    #[test]
    fn silence_is_no_error() {
        let socket = StampedSocket::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(socket.receive(&mut [0; 8], Duration::ZERO).unwrap(), None);
        assert_eq!(socket.transmit_stamp(SendId(0), Duration::ZERO).unwrap(), None);
    }
}
