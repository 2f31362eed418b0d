//! What a network card can do: the `ethtool` ioctls that ask and change nothing.
#![allow(unsafe_code, reason = "ioctl")]

use std::io;

use super::socket::{UdpSocket, name_bytes};

/// `SIOCETHTOOL` of linux/sockios.h.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// Commands of linux/ethtool.h.
const ETHTOOL_GET_TS_INFO: u32 = 0x41;
const ETHTOOL_GEEE: u32 = 0x44;

/// Which stamps a card and its driver can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamping {
    /// The kernel stamps what arrives.
    pub receive_software: bool,
    /// The card stamps what arrives.
    pub receive_hardware: bool,
    /// Number of the card's own clock: `/dev/ptpN`.
    pub hardware_clock: Option<u32>,
}

/// Energy-efficient Ethernet (IEEE 802.3az): the link sleeps between packets and needs time to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnergyEfficiency {
    /// It is switched on here.
    pub enabled: bool,
    /// Both ends have agreed on it.
    pub active: bool,
}

/// The first fields of `struct ethtool_ts_info`, 44 bytes: command, abilities, clock, the rest.
#[repr(C)]
#[derive(Default)]
struct TsInfo {
    command: u32,
    so_timestamping: u32,
    phc_index: i32,
    rest: [u32; 8],
}

/// `struct ethtool_eee`, 40 bytes.
#[repr(C)]
#[derive(Default)]
struct Eee {
    command: u32,
    modes: [u32; 3],
    active: u32,
    enabled: u32,
    rest: [u32; 4],
}

/// Asks what an interface can stamp.
///
/// # Errors
/// When there is no such interface, or its driver does not tell.
pub fn stamping(interface: &str) -> io::Result<Stamping> {
    let mut info = TsInfo { command: ETHTOOL_GET_TS_INFO, ..TsInfo::default() };
    ask(interface, &mut info)?;
    let can = |flag| info.so_timestamping & flag != 0;
    Ok(Stamping {
        receive_software: can(libc::SOF_TIMESTAMPING_RX_SOFTWARE),
        receive_hardware: can(libc::SOF_TIMESTAMPING_RX_HARDWARE),
        hardware_clock: u32::try_from(info.phc_index).ok(),
    })
}

/// Asks whether an interface saves energy between packets.
///
/// # Errors
/// When there is no such interface, or its driver does not tell.
pub fn energy_efficiency(interface: &str) -> io::Result<EnergyEfficiency> {
    let mut eee = Eee { command: ETHTOOL_GEEE, ..Eee::default() };
    ask(interface, &mut eee)?;
    Ok(EnergyEfficiency { enabled: eee.enabled != 0, active: eee.active != 0 })
}

/// One request; `T` must be the structure that the command in its first field stands for.
fn ask<T>(interface: &str, question: &mut T) -> io::Result<()> {
    let socket = UdpSocket::new()?;
    // SAFETY: a request of zeros is valid: integers and null pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name_bytes(interface)) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = std::ptr::from_mut(question).cast();
    // SAFETY: the kernel reads the name, and reads and writes the structure behind the pointer, which has the
    // size that its command stands for and outlives the call.
    let result = unsafe { libc::ioctl(socket.fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_size() {
        assert_eq!((size_of::<TsInfo>(), size_of::<Eee>()), (44, 40));
    }

    #[test]
    fn the_kernel_stamps_on_the_loopback_and_an_interface_that_is_none_is_an_error() {
        let stamping = stamping("lo").unwrap();
        assert!(stamping.receive_software && !stamping.receive_hardware);
        assert_eq!(stamping.hardware_clock, None);
        assert!(super::stamping("no-such-card").is_err());
        // The loopback has no link that could sleep.
        assert!(energy_efficiency("lo").is_err());
    }
}
