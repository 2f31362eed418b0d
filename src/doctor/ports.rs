//! Who holds the PTP ports, and does it share them?

use std::io;

use super::finding::{Check, Finding, Problem};
use super::host::Host;
use crate::net::holder;
use crate::net::socket::UdpSocket;
use crate::net::{EVENT_PORT, GENERAL_PORT};

/// What came of trying to open a port as the service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It can be opened.
    Yes,
    /// Somebody holds it and does not share.
    Taken,
    /// This process has no right to.
    Forbidden,
    /// Another refusal, in the system's words.
    Refused(String),
}

/// One port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortFacts {
    /// Its number.
    pub port: u16,
    /// Whether it can be opened.
    pub opened: Opened,
    /// Who else has it open, where that can be found out.
    pub holder: Option<String>,
}

/// Both ports.
pub fn look(host: &Host) -> Vec<PortFacts> {
    [EVENT_PORT, GENERAL_PORT].map(|port| look_at(host, port)).into()
}

fn look_at(host: &Host, port: u16) -> PortFacts {
    // First, so that the holder is not this process.
    let holder = holder::of_port(&host.path("/proc"), port);
    PortFacts { port, opened: open(port), holder }
}

/// Opens the port as the service does and closes it again. Nothing is joined, so nothing is taken from others.
fn open(port: u16) -> Opened {
    let opened = UdpSocket::new().and_then(|socket| socket.share_port().and_then(|()| socket.bind(port)));
    match opened {
        Ok(()) => Opened::Yes,
        Err(error) => match error.kind() {
            io::ErrorKind::AddrInUse => Opened::Taken,
            io::ErrorKind::PermissionDenied => Opened::Forbidden,
            _ => Opened::Refused(error.to_string()),
        },
    }
}

/// Judges them.
pub fn check(ports: &[PortFacts]) -> Vec<Finding> {
    let mut found = Vec::new();
    // Both ports mostly share their lot, which is then told once.
    for alike in ports.chunk_by(|one, other| (&one.opened, &one.holder) == (&other.opened, &other.holder)) {
        let Some(PortFacts { opened, holder, .. }) = alike.first() else { continue };
        let numbers: Vec<String> = alike.iter().map(|facts| facts.port.to_string()).collect();
        let plural = if numbers.len() == 1 { ("", "is") } else { ("s", "are") };
        let port = format!("UDP port{} {} {}", plural.0, numbers.join(" and "), plural.1);
        let name = holder.as_deref().unwrap_or("a program that cannot be found out");
        match opened {
            Opened::Yes => {}
            Opened::Taken => found.push(Problem::PortTaken.seen(
                format!("{port} held by {name}, which does not share"),
                format!("{}, or make it share its ports (SO_REUSEADDR)", end(name)),
            )),
            Opened::Forbidden => found.push(
                Problem::PortUntried.seen(format!("{port} closed to this user"), "sudo dantetimesync doctor"),
            ),
            Opened::Refused(reason) => found.push(Problem::PortUntried.seen(
                format!("{port} not to be opened: {reason}"),
                "look at the system's limits: ulimit -n, and the log of the kernel (dmesg)",
            )),
        }
    }
    Check::Ports.found(found, || {
        let mut holders: Vec<&str> = ports.iter().filter_map(|facts| facts.holder.as_deref()).collect();
        holders.dedup();
        match holders.as_slice() {
            [] => "319 and 320 are free".to_owned(),
            names => format!("319 and 320 can be shared with {}", names.join(" and ")),
        }
    })
}

/// What ends the holder, where its number is known.
fn end(holder: &str) -> String {
    let number = holder.rsplit_once("(pid ").and_then(|(_, rest)| rest.split_once(')'));
    match number.and_then(|(pid, _)| pid.parse::<u32>().ok()) {
        // The first process holds ports for others, which it starts when somebody comes.
        Some(pid) if pid != 1 => format!("sudo kill {pid}"),
        _ => format!("stop {holder}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    #[test]
    fn a_port_that_is_not_shared_is_taken_and_its_holder_named() {
        let squatter = UdpSocket::new().unwrap();
        squatter.bind(0).unwrap();
        let port = squatter.port().unwrap();
        let facts = look_at(&Host::this(), port);
        assert_eq!(facts.opened, Opened::Taken);
        let own = format!("(pid {})", std::process::id());
        assert!(facts.holder.as_deref().unwrap().ends_with(&own), "{facts:?}");
        let found = check(&[facts]);
        assert_eq!(found[0].problem, Some(Problem::PortTaken));
        let mend = format!("sudo kill {}, or make it share its ports (SO_REUSEADDR)", std::process::id());
        assert_eq!(found[0].mend.as_deref(), Some(mend.as_str()));
        assert_eq!(end("systemd (pid 1)"), "stop systemd (pid 1)");
    }

    #[test]
    fn a_shared_port_is_fine() {
        let sharer = UdpSocket::new().unwrap();
        sharer.share_port().unwrap();
        sharer.bind(0).unwrap();
        let facts = look_at(&Host::this(), sharer.port().unwrap());
        assert_eq!(facts.opened, Opened::Yes);
        let found = check(&[facts]);
        assert!(found[0].problem.is_none() && found[0].seen.contains("shared with"), "{found:?}");
    }

    #[test]
    fn what_may_not_be_tried_is_skipped() {
        let facts = [319, 320].map(|port| PortFacts { port, opened: Opened::Forbidden, holder: None });
        let found = check(&facts);
        assert_eq!((found.len(), found[0].problem), (1, Some(Problem::PortUntried)));
        assert_eq!(found[0].seen, "UDP ports 319 and 320 are closed to this user");
        let facts = PortFacts { port: 319, opened: Opened::Refused("no memory".into()), holder: None };
        assert_eq!(check(&[facts])[0].problem, Some(Problem::PortUntried));
        let world = World::new();
        assert_eq!(look_at(&world.host(), 0).holder, None);
    }
}
