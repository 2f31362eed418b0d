//! Network namespaces joined by virtual cables.

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
    /// Here a relay can run, between `ra` on the leader's side and `rb` on the follower's.
    pub relay: Option<String>,
}

/// Made so far by this process.
static MADE: AtomicU32 = AtomicU32::new(0);

impl Namespaces {
    pub const LEADER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    pub const FOLLOWER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    /// Leader and follower, joined by one cable.
    pub fn create() -> Self {
        Self::make(false)
    }

    /// Leader and follower with a relay between them, through which nothing goes until one is started.
    pub fn with_relay() -> Self {
        Self::make(true)
    }

    fn make(relayed: bool) -> Self {
        remove_orphans();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("{PREFIX}-{}-{number}-{side}", process::id());
        let relay = relayed.then(|| name("relay"));
        let all = Self { leader: name("leader"), follower: name("follower"), relay };
        let (leader, follower) = (all.leader.as_str(), all.follower.as_str());
        for namespace in all.names() {
            ip(&["netns", "add", namespace]);
            // Router solicitations and the like would only be noise; a kernel without IPv6 has no such file.
            let _ = Self::command_in(namespace, "sh")
                .args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"])
                .output();
        }
        match &all.relay {
            None => cable((leader, "gm0"), (follower, "sl0")),
            Some(relay) => {
                cable((leader, "gm0"), (relay, "ra"));
                cable((relay, "rb"), (follower, "sl0"));
                // Checksums left to a card that does not exist would be sent on unfinished.
                run(Self::command_in(leader, "ethtool").args(["-K", "gm0", "tx", "off"]));
                run(Self::command_in(follower, "ethtool").args(["-K", "sl0", "tx", "off"]));
            }
        }
        let sides = [(leader, "gm0", Self::LEADER_ADDRESS), (follower, "sl0", Self::FOLLOWER_ADDRESS)];
        for (namespace, interface, address) in sides {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", interface]);
            ip(&["-n", namespace, "link", "set", "lo", "up"]);
            ip(&["-n", namespace, "route", "add", "224.0.0.0/4", "dev", interface]);
        }
        all
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        [Some(&self.leader), Some(&self.follower), self.relay.as_ref()]
            .into_iter()
            .flatten()
            .map(String::as_str)
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
        for namespace in self.names() {
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

/// A virtual cable between two interfaces, both up.
fn cable(one: (&str, &str), other: (&str, &str)) {
    ip(&["link", "add", one.1, "netns", one.0, "type", "veth", "peer", "name", other.1, "netns", other.0]);
    for (namespace, interface) in [one, other] {
        ip(&["-n", namespace, "link", "set", interface, "up"]);
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
