//! The processes that run, and who of them holds a UDP port.

use std::io;
use std::net::Ipv6Addr;

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, INVALID_HANDLE_VALUE, NO_ERROR};
use windows_sys::Win32::NetworkManagement::IpHelper::{GetExtendedUdpTable, UDP_TABLE_OWNER_PID};
use windows_sys::Win32::Networking::WinSock::{AF_INET, AF_INET6};
use windows_sys::Win32::System::Diagnostics::ToolHelp::{
    CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW, TH32CS_SNAPPROCESS,
};

use crate::net::capture::Owner;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its program's file name: `ptp.exe`.
    pub name: String,
}

/// No computer runs more.
const PROCESSES_MAX: usize = 100_000;

/// All that run; none where the system does not tell.
pub fn running() -> Vec<Process> {
    // SAFETY: plain integers.
    let snapshot = unsafe { CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0) };
    if snapshot == INVALID_HANDLE_VALUE {
        return Vec::new();
    }
    // SAFETY: the handle was just made, and nobody else owns it.
    let snapshot = unsafe { OwnedHandle::from_raw_handle(snapshot) };
    let mut entry = PROCESSENTRY32W {
        dwSize: u32::try_from(size_of::<PROCESSENTRY32W>()).unwrap_or(0),
        ..PROCESSENTRY32W::default()
    };
    let mut found = Vec::new();
    // SAFETY: the handle is open, and the entry is a valid place that tells its size.
    let mut more = unsafe { Process32FirstW(snapshot.as_raw_handle(), &raw mut entry) };
    while more != 0 && found.len() < PROCESSES_MAX {
        let name: Vec<u16> =
            entry.szExeFile.iter().copied().take_while(|character| *character != 0).collect();
        found.push(Process { pid: entry.th32ProcessID, name: String::from_utf16_lossy(&name) });
        // SAFETY: as above.
        more = unsafe { Process32NextW(snapshot.as_raw_handle(), &raw mut entry) };
    }
    found
}

/// The other processes that hold one of `ports`, the first port first; none where the system does not tell.
pub fn owners(ports: [u16; 2]) -> Vec<Owner> {
    let four = udp_table(AF_INET).unwrap_or_default();
    // A socket of IPv6 may hold the port of IPv4 with its own.
    let six = udp_table(AF_INET6).unwrap_or_default();
    let four = rows::<ROW>(&four);
    let six = rows::<ROW_6>(&six).filter(|row| may_hold_ipv4(row.address));
    let own = std::process::id();
    let mut found: Vec<(u16, u32)> = four
        .chain(six)
        .map(|row| (row.port, row.pid))
        .filter(|(port, pid)| ports.contains(port) && *pid != own)
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Vec::new();
    }
    let running = running();
    let name_of = |pid| running.iter().find(|process| process.pid == pid).map(|process| process.name.clone());
    found.into_iter().map(|(port, pid)| Owner { port, pid, name: name_of(pid) }).collect()
}

/// The table may grow between two calls, but not for ever.
const TRIES: u32 = 5;

/// The bytes of a `MIB_UDPROW_OWNER_PID`, and of a `MIB_UDP6ROW_OWNER_PID`.
const ROW: usize = 12;
const ROW_6: usize = 28;

/// The bytes of a `MIB_UDPTABLE_OWNER_PID`, or of the table of IPv6.
fn udp_table(family: u16) -> io::Result<Vec<u8>> {
    let mut size = 4096;
    for _ in 0..TRIES {
        let mut buffer = vec![0_u8; usize::try_from(size).map_err(io::Error::other)?];
        // SAFETY: the buffer has `size` bytes and outlives the call.
        let result = unsafe {
            GetExtendedUdpTable(
                buffer.as_mut_ptr().cast(),
                &raw mut size,
                0,
                family.into(),
                UDP_TABLE_OWNER_PID,
                0,
            )
        };
        match result {
            NO_ERROR => return Ok(buffer),
            ERROR_INSUFFICIENT_BUFFER => size = size.saturating_add(4096),
            code => return Err(io::Error::from_raw_os_error(i32::try_from(code).unwrap_or(i32::MAX))),
        }
    }
    Err(io::Error::other("the table of UDP ports does not stop growing"))
}

/// A row of a table of UDP sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row<'a> {
    /// The address that it is bound to, and for IPv6 its scope.
    address: &'a [u8],
    port: u16,
    pid: u32,
}

/// A socket of IPv6 that is bound to any address, or to one of IPv4 in the clothes of IPv6.
fn may_hold_ipv4(address: &[u8]) -> bool {
    let address = address.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets));
    address.is_some_and(|address| address.is_unspecified() || address.to_ipv4_mapped().is_some())
}

/// Each row of `N` bytes: the number of rows, then in each the address, and at its end port (as on the wire, in the
/// lower half) and pid, 32 bits each.
fn rows<const N: usize>(table: &[u8]) -> impl Iterator<Item = Row<'_>> {
    let (count, rest) = table.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    let count = usize::try_from(u32::from_ne_bytes(*count)).unwrap_or(0);
    let (rows, _) = rest.as_chunks::<N>();
    rows.iter().take(count).filter_map(|row| {
        let (address, [p, q, _, _, pid @ ..]) = row.split_last_chunk::<8>()?;
        Some(Row { address, port: u16::from_be_bytes([*p, *q]), pid: u32::from_ne_bytes(*pid) })
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use windows_sys::Win32::NetworkManagement::IpHelper::{MIB_UDP6ROW_OWNER_PID, MIB_UDPROW_OWNER_PID};

    use super::*;

    #[test]
    fn the_rows_of_a_table_are_read_as_far_as_there_are_any() {
        let mut table = table(4);
        assert_eq!(ports::<ROW>(&table), [(319, 77), (53, 4)]);
        assert_eq!(rows::<ROW>(&table[..20]).count(), 1);
        assert_eq!(rows::<ROW>(&[]).count(), 0);
        table[..4].copy_from_slice(&[0xff; 4]);
        assert_eq!(rows::<ROW>(&table).count(), 3);
    }

    fn ports<const N: usize>(table: &[u8]) -> Vec<(u16, u32)> {
        rows::<N>(table).map(|row| (row.port, row.pid)).collect()
    }

    /// A table that says it has two rows and has three, with addresses of so many bytes.
    fn table(address: usize) -> Vec<u8> {
        let mut table = 2_u32.to_ne_bytes().to_vec();
        for (port, pid) in [(319_u16, 77_u32), (53, 4), (320, 99)] {
            table.extend(vec![0xfe; address]);
            table.extend(port.to_be_bytes());
            table.extend([0, 0]);
            table.extend(pid.to_ne_bytes());
        }
        table
    }

    #[test]
    fn rows_of_ipv6_have_an_address_and_a_scope_before_the_port() {
        assert_eq!(size_of::<MIB_UDPROW_OWNER_PID>(), ROW);
        assert_eq!(size_of::<MIB_UDP6ROW_OWNER_PID>(), ROW_6);
        assert_eq!(ports::<ROW_6>(&table(20)), [(319, 77), (53, 4)]);
        assert_eq!(rows::<ROW_6>(&table(20)[..31]).count(), 0);
        assert!(udp_table(AF_INET6).is_ok());
        assert!(may_hold_ipv4(&[0; 20]), "any address");
        let row = |address: &str| [&address.parse::<Ipv6Addr>().unwrap().octets()[..], &[0; 4]].concat();
        assert!(may_hold_ipv4(&row("::ffff:192.0.2.7")) && !may_hold_ipv4(&row("fe80::1")));
        assert!(!may_hold_ipv4(&row("::1")));
    }

    #[test]
    fn this_process_runs_and_is_no_other_owner() {
        let own = std::process::id();
        let running = running();
        let found = running.iter().find(|process| process.pid == own).unwrap();
        assert!(found.name.ends_with(".exe"), "{found:?}");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Wine knows a socket's owner only once it has used it.
        socket.set_nonblocking(true).unwrap();
        let _ = socket.recv(&mut [0]);
        let port = socket.local_addr().unwrap().port();
        let table = udp_table(AF_INET).unwrap();
        let held = ports::<ROW>(&table);
        assert!(held.contains(&(port, own)), "{own}: {held:?}");
        assert_eq!(owners([port, port]), []);
    }
}
