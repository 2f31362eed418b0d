//! Raw sockets: they see the IP packets of an interface, below the ports, so that the ports are left to others.
//!
//! `SIO_RCVALL` is asked for at the IP level, never for the promiscuous mode of the card: that disturbs Dante's own
//! software. What the card lets through is then what some socket on this computer joined; ours does.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Once};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;
use windows_sys::Win32::Networking::WinSock::{RCVALL_IPLEVEL, SIO_RCVALL};

use super::arrivals::{Arrivals, Waiting};
use super::socket::{Received, control};
use crate::clock::platform::raw_clock;
use crate::net::filter::Sieve;
use crate::net::packet::udp;
use crate::net::stamping::Stamping;
use crate::net::{Interface, NetworkOptions, Payload, Port};
use crate::time::{Raw, Timestamp};

/// No IP packet is longer.
const BUFFER_SIZE: usize = 65_536;
/// What the system may keep for this socket: it sees the audio too, some 100 packets a ms.
const SYSTEM_BUFFER: usize = 1024 * 1024;

/// A datagram, and the port that it was sent to.
#[derive(Debug, Clone, Copy)]
pub struct Captured {
    /// The port.
    pub port: Port,
    /// The datagram.
    pub received: Received,
}

/// A raw socket on one interface.
#[derive(Debug)]
pub struct RawSocket {
    interface: Interface,
    waiting: Arc<Waiting>,
    arrivals: Arrivals<Captured>,
}

impl RawSocket {
    /// Listens on an interface to what `options` ask for, and `searching`, to other subdomains' groups too.
    ///
    /// # Errors
    /// When it is not permitted, or the system has no raw sockets.
    pub fn open(interface: &Interface, options: &NetworkOptions, searching: bool) -> io::Result<Self> {
        let socket = Arc::new(open_all(interface).or_else(|refusal| {
            // Without the capture a raw socket still hears the UDP of groups it has joined, on systems that have that.
            let opened = open_udp(interface, options.group());
            if opened.is_ok() {
                tell(&refusal);
            }
            opened.map_err(|_| refusal)
        })?);
        let _ = socket.set_recv_buffer_size(SYSTEM_BUFFER);
        let waiting = Arc::new(Waiting::new()?);
        let groups = options.groups(searching).collect();
        let mut reader = Reader::new(Arc::clone(&socket), interface.index, options, groups);
        let arrivals = Arrivals::start(socket, Arc::clone(&waiting), move |woken| reader.read(woken))?;
        Ok(Self { interface: interface.clone(), waiting, arrivals })
    }

    /// The interface it listens on.
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The number of the event that tells that something waits.
    pub fn fd(&self) -> i32 {
        self.waiting.number()
    }

    /// Datagrams that were lost because nobody took them.
    pub fn overrun(&self) -> u64 {
        self.waiting.overrun()
    }

    /// Takes one datagram that waits, or what went wrong.
    pub fn receive(&self) -> io::Result<Captured> {
        self.arrivals.next()
    }
}

/// A socket that is shown every IP packet of the interface.
fn open_all(interface: &Interface) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, None)?;
    bind(&socket, interface.address)?;
    control(&socket, SIO_RCVALL, &RCVALL_IPLEVEL)?;
    Ok(socket)
}

/// Once for all interfaces: they are tried again and again.
fn tell(refusal: &io::Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        warn!(
            "the system refuses to show all packets ({refusal}): a raw socket of UDP listens instead, which on some \
             systems hears nothing"
        );
    });
}

fn open_udp(interface: &Interface, group: Ipv4Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
    bind(&socket, Ipv4Addr::UNSPECIFIED)?;
    socket.join_multicast_v4(&group, &interface.address)?;
    Ok(socket)
}

fn bind(socket: &Socket, address: Ipv4Addr) -> io::Result<()> {
    socket.bind(&SocketAddrV4::new(address, 0).into())
}

struct Reader {
    socket: Arc<Socket>,
    interface: u32,
    groups: Vec<Ipv4Addr>,
    ports: [(u16, Port, Option<Sieve>); 2],
    buffer: Vec<u8>,
    stamping: Stamping,
}

impl Reader {
    fn new(socket: Arc<Socket>, interface: u32, options: &NetworkOptions, groups: Vec<Ipv4Addr>) -> Self {
        let sieve = |port| (!options.everything).then(|| Sieve::new(port, options.subdomain));
        let port = |number, port| (number, port, sieve(port));
        Self {
            socket,
            interface,
            groups,
            ports: [port(options.event_port, Port::Event), port(options.general_port, Port::General)],
            buffer: vec![0; BUFFER_SIZE],
            stamping: Stamping::default(),
        }
    }

    fn read(&mut self, woken: Option<Timestamp<Raw>>) -> io::Result<Option<Captured>> {
        let length = (&*self.socket).read(&mut self.buffer)?;
        let read_at = woken.unwrap_or_else(raw_clock);
        let Some(datagram) = self.buffer.get(..length).and_then(udp) else { return Ok(None) };
        let destination = datagram.destination;
        let port = self.ports.iter_mut().find(|(number, ..)| *number == destination.port());
        let Some((_, port, sieve)) = port.filter(|_| self.groups.contains(destination.ip())) else {
            return Ok(None);
        };
        if sieve.as_mut().is_some_and(|sieve| !sieve.passes(datagram.payload)) {
            return Ok(None);
        }
        let received = Received {
            payload: Payload::new(datagram.payload),
            source: datagram.source,
            interface: Some(self.interface),
            // The system stamps UDP sockets only.
            stamp: self.stamping.choose(None, read_at),
        };
        Ok(Some(Captured { port: *port, received }))
    }
}
