//! Who holds a UDP port: looked up in `/proc`, for an error message that helps. Best effort.

use std::fs;
use std::path::Path;

/// Name and pid of the program that has `port` open: `ptp4l (pid 1234)`. `None` where it cannot be found out,
/// as for other users' programs without privileges.
pub fn of_port(proc: &Path, port: u16) -> Option<String> {
    let table = fs::read_to_string(proc.join("net/udp")).ok()?;
    let inodes = inodes_of(&table, port);
    let mut pids: Vec<u32> = fs::read_dir(proc)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| holds_any(&proc.join(pid.to_string()), &inodes))?;
    let name = fs::read_to_string(proc.join(pid.to_string()).join("comm")).ok();
    let name = name.as_deref().map_or("a program", str::trim);
    Some(format!("{name} (pid {pid})"))
}

/// The inodes of the sockets on `port`. A row of the table is: number, local address and port in hexadecimal
/// (`0100007F:013F`), peer, state, queues, timer, retransmissions, uid, timeout, inode…
fn inodes_of(table: &str, port: u16) -> Vec<u64> {
    let inode = |row: &str| {
        let mut fields = row.split_whitespace();
        let (_, local) = fields.nth(1)?.split_once(':')?;
        if u16::from_str_radix(local, 16).ok()? != port {
            return None;
        }
        // The address was field 1; the inode is field 9.
        fields.nth(7)?.parse().ok()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn holds_any(process: &Path, inodes: &[u64]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| socket_inode(target.to_str()?))
        .any(|inode| inodes.contains(&inode))
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
    fn the_table_is_searched_by_port() {
        assert_eq!(inodes_of(TABLE, 319), [4711, 4713]);
        assert_eq!(inodes_of(TABLE, 320), [4712]);
        assert!(inodes_of(TABLE, 123).is_empty());
        assert!(inodes_of("", 319).is_empty());
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
        assert_eq!(of_port(proc.path(), 319), None);
        assert_eq!(of_port(&proc.path().join("absent"), 320), None);
    }
}
