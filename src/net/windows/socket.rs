//! UDP sockets of Windows, with the face of those of Linux: a thread reads and stamps (`arrivals`), the caller
//! takes what waits.

use std::cell::{Cell, OnceCell};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use windows_sys::Win32::Networking::WinSock::{
    IP_PKTINFO, IPPROTO_IP, LPFN_WSARECVMSG, SIO_GET_EXTENSION_FUNCTION_POINTER, SIO_TIMESTAMPING,
    SOCKET_ERROR, TIMESTAMPING_CONFIG, TIMESTAMPING_FLAG_RX, WSABUF, WSAID_WSARECVMSG, WSAIoctl, WSAMSG,
    setsockopt,
};

use super::arrivals::{Arrivals, Waiting, raw_socket};
use super::event;
use crate::clock::platform::raw_clock;
use crate::clock::ticks::ticks_to_ns;
use crate::clock::windows::frequency;
use crate::clock::{StampFault, Timeline};
use crate::net::control::windows::told;
use crate::net::filter::Sieve;
use crate::net::stamping::Stamping;
use crate::net::{Interface, Payload, Stamp};
use crate::time::{Raw, Span, Timestamp};

/// No IP packet is longer: nothing is ever cut, which Windows would call an error.
const BUFFER_SIZE: usize = 65_536;
/// Stamp and interface need 48.
const CONTROL_SIZE: usize = 256;

/// Receive stamps by the system.
pub const STAMP_RECEIVE: u32 = TIMESTAMPING_FLAG_RX;
/// Windows has transmit stamps only where the driver has; they are not asked for.
pub const STAMP_BOTH: u32 = TIMESTAMPING_FLAG_RX;

/// A UDP socket that never blocks.
#[derive(Debug)]
pub struct UdpSocket {
    socket: Arc<Socket>,
    waiting: Arc<Waiting>,
    sieve: Cell<Option<Sieve>>,
    /// Started with the first address: a socket without one hears nothing.
    arrivals: OnceCell<Arrivals<Received>>,
}

/// A datagram.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// Its bytes.
    pub payload: Payload,
    /// Where it came from.
    pub source: SocketAddrV4,
    /// The number of the interface it came by, where that was asked for.
    pub interface: Option<u32>,
    /// When it arrived.
    pub stamp: Result<Stamp, StampFault>,
}

impl UdpSocket {
    /// A new socket, bound to nothing.
    pub fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Arc::new(socket),
            waiting: Arc::new(Waiting::new()?),
            sieve: Cell::new(None),
            arrivals: OnceCell::new(),
        })
    }

    /// The number of the event that tells that something waits, for [`poll`].
    pub fn fd(&self) -> i32 {
        self.waiting.number()
    }

    /// Datagrams that were lost because nobody took them.
    pub fn overrun(&self) -> u64 {
        self.waiting.overrun()
    }

    /// Shares the port with others that do the same.
    pub fn share_port(&self) -> io::Result<()> {
        self.socket.set_reuse_address(true)
    }

    /// Asks for stamps.
    ///
    /// # Errors
    /// When the system has none. Where it has, the card's driver may still give none.
    pub fn stamp(&self, flags: u32) -> io::Result<()> {
        let config = TIMESTAMPING_CONFIG { Flags: flags, TxTimestampsBuffered: 0 };
        control(&self.socket, SIO_TIMESTAMPING, &config)
    }

    /// Asks by which interface datagrams come.
    pub fn tell_interface(&self) -> io::Result<()> {
        let on = 1_u32.to_ne_bytes();
        // SAFETY: the value outlives the call, and its size is the one given.
        let result = unsafe { setsockopt(raw_socket(&self.socket), IPPROTO_IP, IP_PKTINFO, on.as_ptr(), 4) };
        checked(result)
    }

    /// Drops at once what `sieve` does not let through; before an address is taken.
    pub fn sift(&self, sieve: Sieve) {
        self.sieve.set(Some(sieve));
    }

    /// Joins a multicast group on an interface.
    pub fn join(&self, group: Ipv4Addr, interface: &Interface) -> io::Result<()> {
        self.socket.join_multicast_v4(&group, &interface.address)
    }

    /// Leaves a multicast group on an interface.
    pub fn leave(&self, group: Ipv4Addr, interface: &Interface) -> io::Result<()> {
        self.socket.leave_multicast_v4(&group, &interface.address)
    }

    /// Takes `port` on all addresses.
    pub fn bind(&self, port: u16) -> io::Result<()> {
        self.bind_at(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))
    }

    /// Takes a port on one address; port 0 lets the system choose.
    pub fn bind_at(&self, address: SocketAddrV4) -> io::Result<()> {
        self.socket.bind(&address.into())?;
        self.listen()
    }

    /// Where the socket is bound.
    pub fn address(&self) -> io::Result<SocketAddrV4> {
        self.socket.local_addr()?.as_socket_ipv4().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Sends multicast by this interface.
    pub fn multicast_by(&self, interface: &Interface) -> io::Result<()> {
        self.socket.set_multicast_if_v4(&interface.address)
    }

    /// Talks to one peer only, and hears of its refusals.
    pub fn connect(&self, peer: SocketAddrV4) -> io::Result<()> {
        self.socket.connect(&peer.into())?;
        self.listen()
    }

    /// Sends to the connected peer.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.socket.send(bytes).map(drop)
    }

    /// Sends to anybody.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
        self.socket.send_to(bytes, &to.into()).map(drop)
    }

    /// Takes one datagram that waits, or what went wrong.
    pub fn receive(&self) -> io::Result<Received> {
        self.arrivals.get().ok_or(io::ErrorKind::WouldBlock)?.next()
    }

    /// The copy of a sent datagram with its transmit stamp: there is none.
    pub fn receive_sent(&self) -> io::Result<Received> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// The error that waits at the socket: it comes with [`Self::receive`] instead.
    pub const fn take_error(&self) -> Option<io::Error> {
        None
    }

    fn listen(&self) -> io::Result<()> {
        if self.arrivals.get().is_none() {
            let mut reader = Reader::new(Arc::clone(&self.socket), self.sieve.take())?;
            let arrivals =
                Arrivals::start(Arc::clone(&self.socket), Arc::clone(&self.waiting), move |woken| {
                    reader.read(woken)
                })?;
            let _ = self.arrivals.set(arrivals);
        }
        Ok(())
    }
}

#[cfg(test)]
impl UdpSocket {
    /// The port that the socket got.
    pub fn port(&self) -> io::Result<u16> {
        self.address().map(|address| address.port())
    }
}

/// The stamp that the reading thread chose; the other arguments are for systems that stamp by the steered clock.
pub fn convert(
    received: &Received,
    _stamped: bool,
    _read_at: Timestamp<Raw>,
    _timeline: &Timeline,
) -> Result<Stamp, StampFault> {
    received.stamp
}

/// What [`poll`] waits for, and what it found.
#[derive(Debug, Clone, Copy)]
pub struct PollFd {
    number: i32,
    readable: bool,
}

/// Waits until something can be taken from one of `fds` or the timeout has passed, which is rounded up to ms and is
/// at least 1 ms.
pub fn poll(fds: &mut [PollFd], timeout: Span) -> io::Result<()> {
    let waited = event::wait(fds.iter().map(|fd| fd.number), timeout);
    for fd in fds {
        fd.readable = waited.is_ok() && event::is_set(fd.number);
    }
    waited
}

/// One entry for [`poll`].
pub const fn pollfd(fd: i32) -> PollFd {
    PollFd { number: fd, readable: false }
}

/// Whether something can be taken, be it an error.
pub const fn is_readable(fd: &PollFd) -> bool {
    fd.readable
}

/// Errors come by the same way as datagrams.
pub const fn has_error(_fd: &PollFd) -> bool {
    false
}

/// Reads datagrams with all that the system tells of them.
struct Reader {
    socket: Arc<Socket>,
    receive: LPFN_WSARECVMSG,
    buffer: Vec<u8>,
    sieve: Option<Sieve>,
    stamping: Stamping,
}

/// Control messages must be aligned like their header.
#[repr(C, align(8))]
struct Control([u8; CONTROL_SIZE]);

/// A `SOCKADDR_IN`: family, port and address; the last two as on the wire.
#[repr(C, align(8))]
struct Address([u8; 16]);

impl Reader {
    fn new(socket: Arc<Socket>, sieve: Option<Sieve>) -> io::Result<Self> {
        let receive = receive_function(&socket)?;
        Ok(Self { socket, receive, buffer: vec![0; BUFFER_SIZE], sieve, stamping: Stamping::default() })
    }

    fn read(&mut self, woken: Option<Timestamp<Raw>>) -> io::Result<Option<Received>> {
        let receive = self.receive.ok_or(io::ErrorKind::Unsupported)?;
        let mut control = Control([0; CONTROL_SIZE]);
        let mut address = Address([0; 16]);
        let mut data = buffer(&mut self.buffer);
        let mut message = WSAMSG {
            name: address.0.as_mut_ptr().cast(),
            namelen: 16,
            lpBuffers: &raw mut data,
            dwBufferCount: 1,
            Control: buffer(&mut control.0),
            dwFlags: 0,
        };
        let mut length = 0;
        // SAFETY: all buffers named in the message outlive the call, and their sizes are the ones given.
        let result = unsafe {
            receive(raw_socket(&self.socket), &raw mut message, &raw mut length, std::ptr::null_mut(), None)
        };
        if result == SOCKET_ERROR {
            return Err(io::Error::last_os_error());
        }
        let read_at = woken.unwrap_or_else(raw_clock);
        let controls = usize::try_from(message.Control.len).ok().and_then(|length| control.0.get(..length));
        let told = told(controls.unwrap_or_default());
        let system = told.ticks.map(|ticks| Timestamp::from_ns(ticks_to_ns(ticks, frequency())));
        let stamp = self.stamping.choose(system, read_at);
        let bytes =
            usize::try_from(length).ok().and_then(|length| self.buffer.get(..length)).unwrap_or_default();
        if self.sieve.as_mut().is_some_and(|sieve| !sieve.passes(bytes)) {
            return Ok(None);
        }
        Ok(Some(Received {
            payload: Payload::new(bytes),
            source: address.read(),
            interface: told.interface,
            stamp,
        }))
    }
}

impl Address {
    fn read(&self) -> SocketAddrV4 {
        let [_, _, p, q, a, b, c, d, ..] = self.0;
        SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p, q]))
    }
}

fn buffer(bytes: &mut [u8]) -> WSABUF {
    WSABUF { len: u32::try_from(bytes.len()).unwrap_or(u32::MAX), buf: bytes.as_mut_ptr() }
}

/// `WSARecvMsg` has no name in the library: the socket's provider tells where it is.
fn receive_function(socket: &Socket) -> io::Result<LPFN_WSARECVMSG> {
    let name = WSAID_WSARECVMSG;
    let mut function: LPFN_WSARECVMSG = None;
    let mut length = 0;
    // SAFETY: the places for name and result outlive the call, and their sizes are the ones given; the provider writes
    // a function of this type, or nothing.
    let result = unsafe {
        WSAIoctl(
            raw_socket(socket),
            SIO_GET_EXTENSION_FUNCTION_POINTER,
            (&raw const name).cast(),
            size_u32(&name),
            (&raw mut function).cast(),
            size_u32(&function),
            &raw mut length,
            std::ptr::null_mut(),
            None,
        )
    };
    checked(result).map(|()| function)
}

/// Hands the provider a value.
pub fn control<T>(socket: &Socket, code: u32, value: &T) -> io::Result<()> {
    let mut length = 0;
    // SAFETY: the value outlives the call, and its size is the one given; nothing is written but the length.
    let result = unsafe {
        WSAIoctl(
            raw_socket(socket),
            code,
            std::ptr::from_ref(value).cast(),
            size_u32(value),
            std::ptr::null_mut(),
            0,
            &raw mut length,
            std::ptr::null_mut(),
            None,
        )
    };
    checked(result)
}

fn size_u32<T>(value: &T) -> u32 {
    size_of_val(value).try_into().expect("control values are small")
}

fn checked(result: i32) -> io::Result<()> {
    if result == SOCKET_ERROR { Err(io::Error::last_os_error()) } else { Ok(()) }
}
