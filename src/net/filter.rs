//! The sieve: what this program would drop anyway is dropped where it costs least.
//!
//! A network of 300 followers carries some 160 datagrams a second to every listener, of which 8 matter; a
//! broken or hostile sender can make it many thousands. What does not fit is still let through once in 64
//! times, whole: so that PTPv2 alone, another subdomain or nonsense is seen and named. What fits is never
//! dropped here. Every byte is checked again by the parser.
//!
//! The Linux kernel sifts by a program of its own (`bpf`), with chance; elsewhere the thread that reads the socket
//! does, by counting.

#[cfg(unix)]
pub mod bpf;

use super::Port;

/// `versionPTP` 1 and `versionNetwork` 1, the first four bytes.
const VERSION_ONE: [u8; 4] = [0, 1, 0, 1];
/// Where the 16 octets of the subdomain are.
const SUBDOMAIN: u32 = 4;
/// Where the byte is that says what a message is.
const CONTROL: u32 = 32;
/// Of what does not fit, one in so many is let through.
const SAMPLE_ONE_IN: u32 = 64;

/// The least length and the control byte of what is wanted: Sync and Follow_Up of IEEE 1588-2002.
const fn wanted(port: Port) -> (u32, u8) {
    match port {
        Port::Event => (124, 0),
        Port::General => (52, 2),
    }
}

/// The sieve of one socket.
#[derive(Debug, Clone, Copy)]
pub struct Sieve {
    port: Port,
    subdomain: [u8; 16],
    unfit: u32,
}

impl Sieve {
    /// Lets through Sync on the event port and Follow_Up on the general port, of version 1 and of this subdomain.
    pub const fn new(port: Port, subdomain: [u8; 16]) -> Self {
        Self { port, subdomain, unfit: 0 }
    }

    /// Whether this datagram is let through: what fits always, and the first and every 64th of the rest.
    pub fn passes(&mut self, payload: &[u8]) -> bool {
        if self.fits(payload) {
            return true;
        }
        let sampled = self.unfit == 0;
        self.unfit = self.unfit.wrapping_add(1) % SAMPLE_ONE_IN;
        sampled
    }

    fn fits(&self, payload: &[u8]) -> bool {
        let (length, control) = wanted(self.port);
        let at = |offset: u32| usize::try_from(offset).ok().and_then(|offset| payload.get(offset..));
        usize::try_from(length).is_ok_and(|length| payload.len() >= length)
            && payload.starts_with(&VERSION_ONE)
            && at(SUBDOMAIN).is_some_and(|rest| rest.starts_with(&self.subdomain))
            && at(CONTROL).is_some_and(|rest| rest.starts_with(&[control]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_SUBDOMAIN;

    fn message(length: usize, control: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&VERSION_ONE);
        bytes[4..20].copy_from_slice(&DEFAULT_SUBDOMAIN);
        if let Some(at) = bytes.get_mut(32) {
            *at = control;
        }
        bytes
    }

    fn passing(port: Port, message: &[u8]) -> usize {
        let mut sieve = Sieve::new(port, DEFAULT_SUBDOMAIN);
        (0..640).filter(|_| sieve.passes(message)).count()
    }

    #[test]
    fn what_is_wanted_always_passes() {
        assert_eq!(passing(Port::Event, &message(124, 0)), 640);
        assert_eq!(passing(Port::Event, &message(1400, 0)), 640);
        assert_eq!(passing(Port::General, &message(52, 2)), 640);
    }

    #[test]
    fn what_is_not_wanted_passes_once_in_64() {
        let mut version_two = message(124, 0);
        version_two[..2].copy_from_slice(&[0, 2]);
        let mut other = message(124, 0);
        other[19] ^= 0x40;
        for unwanted in [version_two, other, message(123, 0), message(124, 1), message(20, 0), Vec::new()] {
            assert_eq!(passing(Port::Event, &unwanted), 10, "{unwanted:?}");
        }
        assert_eq!(passing(Port::General, &message(60, 3)), 10);
        assert_eq!(passing(Port::General, &message(51, 2)), 10);
    }
}
