//! Who holds a UDP port: looked up in `/proc`, for an error message that helps. Best effort.

use std::fs;
use std::path::Path;

/// Name and pid of the program that has `port` open: `ptp4l (pid 1234)`. Other users' programs are not to be looked
/// into without privileges, and then it is whose program it is, and how its name is found out. `None` where no socket
/// has the port.
pub fn of_port(proc: &Path, port: u16) -> Option<String> {
    // A socket for IPv6 mostly has the port of IPv4 too.
    let tables = ["net/udp", "net/udp6"].map(|name| fs::read_to_string(proc.join(name)).unwrap_or_default());
    let sockets: Vec<Socket> = tables.iter().flat_map(|table| sockets_on(table, port)).collect();
    name_of_any(proc, &sockets).or_else(|| sockets.first().map(Socket::owner))
}

fn name_of_any(proc: &Path, sockets: &[Socket]) -> Option<String> {
    if sockets.is_empty() {
        return None;
    }
    let mut pids: Vec<u32> = fs::read_dir(proc)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| holds_any(&proc.join(pid.to_string()), sockets))?;
    let name = fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
    let name = name.as_deref().map_or("a program", str::trim);
    Some(format!("{name} (pid {pid})"))
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    inode: u64,
    uid: u32,
}

impl Socket {
    fn owner(&self) -> String {
        let user = if self.uid == 0 { "root".to_owned() } else { format!("the user {}", self.uid) };
        format!("a program of {user} (see `sudo ss -lunp`)")
    }
}

/// The sockets on `port`. A row of the table is: number, local address and port in hexadecimal
/// (`0100007F:013F`), peer, state, queues, timer, retransmissions, uid, timeout, inode…
fn sockets_on(table: &str, port: u16) -> Vec<Socket> {
    let socket = |row: &str| {
        let mut fields = row.split_whitespace();
        let (_, local) = fields.nth(1)?.split_once(':')?;
        if u16::from_str_radix(local, 16).ok()? != port {
            return None;
        }
        // The address was field 1; the uid is field 7, and the inode field 9.
        Some(Socket { uid: fields.nth(5)?.parse().ok()?, inode: fields.nth(1)?.parse().ok()? })
    };
    table.lines().skip(1).filter_map(socket).collect()
}

fn holds_any(process: &Path, sockets: &[Socket]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| socket_inode(target.to_str()?))
        .any(|inode| sockets.iter().any(|socket| socket.inode == inode))
}

/// From the target of a link in `/proc/PID/fd`: `socket:[12345]`.
fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  119: 00000000:013F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  120: 0100007F:0140 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
  121: 0100007F:013F 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 0
  nonsense
";

    #[test]
    fn one_that_holds_the_port_for_ipv6_too_is_found() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("net")).unwrap();
        fs::write(proc.path().join("net/udp"), "  sl  local_address\n").unwrap();
        let row = "  119: 00000000000000000000000000000000:013F 00000000000000000000000000000000:0000 07 \
                   00000000:00000000 00:00000000 00000000   0        0 4715 2 0000000000000000 0\n";
        fs::write(proc.path().join("net/udp6"), format!("  sl  local_address\n{row}")).unwrap();
        let process = proc.path().join("77");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), "ptpd\n").unwrap();
        symlink("socket:[4715]", process.join("fd/3")).unwrap();
        assert_eq!(of_port(proc.path(), 319).as_deref(), Some("ptpd (pid 77)"));
    }

    #[test]
    fn of_one_that_may_not_be_looked_into_the_user_is_told() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("net")).unwrap();
        fs::write(proc.path().join("net/udp"), TABLE).unwrap();
        let told = of_port(proc.path(), 319).unwrap();
        assert_eq!(told, "a program of root (see `sudo ss -lunp`)");
        fs::write(proc.path().join("net/udp"), TABLE.replace("     0        0 4712", "  1000        0 4712"))
            .unwrap();
        let told = of_port(proc.path(), 320).unwrap();
        assert_eq!(told, "a program of the user 1000 (see `sudo ss -lunp`)");
        assert_eq!(of_port(proc.path(), 123), None);
    }

    #[test]
    fn the_table_is_searched_by_port() {
        let inodes_on =
            |table, port| sockets_on(table, port).iter().map(|socket| socket.inode).collect::<Vec<_>>();
        assert_eq!(inodes_on(TABLE, 319), [4711, 4713]);
        assert_eq!(inodes_on(TABLE, 320), [4712]);
        assert!(inodes_on(TABLE, 123).is_empty());
        assert!(inodes_on("", 319).is_empty());
    }

    #[test]
    fn the_owner_is_found_by_its_open_socket() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("net")).unwrap();
        fs::write(proc.path().join("net/udp"), TABLE).unwrap();
        for (pid, name, target) in [(12, "other", "socket:[99]"), (3456, "ptp4l", "socket:[4712]")] {
            let process = proc.path().join(pid.to_string());
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{name}\n")).unwrap();
            symlink("/dev/null", process.join("fd/0")).unwrap();
            symlink(target, process.join("fd/3")).unwrap();
        }
        assert_eq!(of_port(proc.path(), 320).as_deref(), Some("ptp4l (pid 3456)"));
        assert_eq!(of_port(proc.path(), 123), None);
        assert_eq!(of_port(&proc.path().join("absent"), 320), None);
    }
}
