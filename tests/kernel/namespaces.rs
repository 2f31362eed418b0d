//! Two network namespaces joined by a virtual cable.

#![allow(unsafe_code, reason = "setns")]

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names start with this and the number of the process that made them.
const PREFIX: &str = "dtskernel";

/// The leader's side and the follower's side; removed when dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// Here the leader runs, on interface `gm0`.
    pub leader: String,
    /// Here the daemon runs, on interface `sl0`.
    pub follower: String,
}

/// Made so far by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Namespaces {
    pub const LEADER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    pub const FOLLOWER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    pub fn create() -> Self {
        remove_orphans();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("{PREFIX}-{}-{number}-{side}", process::id());
        let pair = Self { leader: name("leader"), follower: name("follower") };
        let (leader, follower) = (pair.leader.as_str(), pair.follower.as_str());
        ip(&["netns", "add", leader]);
        ip(&["netns", "add", follower]);
        ip(&[
            "link", "add", "gm0", "netns", leader, "type", "veth", "peer", "name", "sl0", "netns", follower,
        ]);
        let sides = [(leader, "gm0", Self::LEADER_ADDRESS), (follower, "sl0", Self::FOLLOWER_ADDRESS)];
        for (namespace, interface, address) in sides {
            // Router solicitations and the like would only be noise; a kernel without IPv6 has no such file.
            let _ = Self::command_in(namespace, "sh")
                .args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"])
                .output();
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", interface]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "link", "set", interface, "up"]);
        }
        for (namespace, interface, _) in sides {
            ip(&["-n", namespace, "route", "add", "224.0.0.0/4", "dev", interface]);
        }
        pair
    }

    /// A command that runs inside `namespace`; `ip` becomes the command, so its process number is the right one.
    pub fn command_in(namespace: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, program]);
        command
    }

    /// Moves the calling thread into `namespace`, for good.
    pub fn enter(namespace: &str) -> io::Result<()> {
        let file = File::open(format!("/run/netns/{namespace}"))?;
        // SAFETY: the descriptor is open through the call, which has no memory effects.
        let result = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for namespace in [&self.leader, &self.follower] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

/// Removes what tests left that were killed: our names whose process is gone.
fn remove_orphans() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| {
            let (pid, _) = rest.split_once('-')?;
            pid.parse::<u32>().ok()
        });
        if maker.is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {errors}", arguments.join(" "));
}
