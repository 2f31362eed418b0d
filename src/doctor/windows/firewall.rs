//! Does the firewall of Windows let PTP in, and time servers' answers?
//!
//! Its settings and rules stand in the registry, as MS-GPFAS describes them. A rule that blocks wins over one that
//! allows; where none fits, the profile of the network has a default, which is to block what comes unasked.

mod rule;

use super::host::{Host, Running};
use crate::doctor::finding::{Check, Finding, Problem};
use crate::doctor::os::Os;
use crate::net::{EVENT_PORT, GENERAL_PORT};
use rule::{Direction, Fit, Packet, Rule};

/// Where this computer's own settings stand, and those that come by group policy.
const OWN: &str = r"SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy";
const POLICY: &str = r"SOFTWARE\Policies\Microsoft\WindowsFirewall";
/// Both have these keys below them.
const RULES: &str = "FirewallRules";
/// The firewall's service.
const SERVICE: &str = "MpsSvc";
/// Where it stands which program our service is.
const IMAGE: &str = r"SYSTEM\CurrentControlSet\Services\dantetimesync";
/// Time servers answer from this port, and are asked there.
const NTP_PORT: u16 = 123;

/// The kinds of networks: what Windows calls them, the keys of their settings, and the word for them in rules.
const PROFILES: [(&str, [&str; 2], &str); 3] = [
    ("domain", ["DomainProfile", "DomainProfile"], "Domain"),
    ("private", ["StandardProfile", "PrivateProfile"], "Private"),
    ("public", ["PublicProfile", "PublicProfile"], "Public"),
];

/// How a kind of network is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// What Windows calls it.
    name: &'static str,
    /// The word in rules.
    word: &'static str,
    on: bool,
    /// Also what rules allow is blocked.
    block_all: bool,
    block_in: bool,
    block_out: bool,
    /// This computer's own rules count.
    own_rules: bool,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The service that makes the rules work is there, and runs.
    running: Option<bool>,
    profiles: Vec<Profile>,
    rules: Vec<Rule>,
    /// The program that the rules must let in.
    program: String,
    /// A leader is heard: what matters gets in.
    pub heard: bool,
    /// A time server has answered, or none is asked.
    pub ntp_answered: bool,
}

/// Reads settings and rules.
pub fn look(host: &impl Host, heard: bool, ntp_answered: bool) -> Facts {
    let image = host.value(IMAGE, "ImagePath");
    let installed = image.as_ref().and_then(|value| value.text()).and_then(program_of).map(str::to_owned);
    let read = |key: &str, own| {
        let rules = host.values(&format!(r"{key}\{RULES}")).into_iter();
        rules.filter_map(move |(id, value)| Rule::parse(&id, value.text()?, own)).collect::<Vec<_>>()
    };
    Facts {
        running: host.service(SERVICE).map(|service| service.running != Running::Stopped),
        profiles: PROFILES.iter().map(|(name, keys, word)| profile(host, name, keys, word)).collect(),
        rules: [read(OWN, true), read(POLICY, false)].concat(),
        program: installed.unwrap_or_else(|| host.program()),
        heard,
        ntp_answered,
    }
}

/// The program of a command line, which stands in quotes where its path has spaces.
fn program_of(command: &str) -> Option<&str> {
    match command.strip_prefix('"') {
        Some(rest) => rest.split('"').next(),
        None => command.split_whitespace().next(),
    }
}

fn profile(host: &impl Host, name: &'static str, keys: &[&str; 2], word: &'static str) -> Profile {
    let [own, policy] = keys;
    // A policy wins over the computer's own setting.
    let setting = |value: &str| {
        let number = |key: String| host.value(&key, value)?.number();
        number(format!(r"{POLICY}\{policy}"))
            .or_else(|| number(format!(r"{POLICY}\{own}")))
            .or_else(|| number(format!(r"{OWN}\{own}")))
    };
    Profile {
        name,
        word,
        on: setting("EnableFirewall") != Some(0),
        block_all: setting("DoNotAllowExceptions").is_some_and(|value| value != 0),
        block_in: setting("DefaultInboundAction") != Some(0),
        block_out: setting("DefaultOutboundAction") == Some(1),
        own_rules: setting("AllowLocalPolicyMerge") != Some(0),
    }
}

/// What becomes of a packet in a kind of network.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Passed,
    /// A rule blocks it: its name for people, and for commands.
    Blocked(String, String),
    /// Nothing lets it in.
    NotAllowed,
    /// Everything is blocked, whatever is allowed.
    AllBlocked,
    /// A rule with conditions that are not understood here decides.
    Uncertain(String),
}

impl Facts {
    fn fate(&self, profile: &Profile, packet: &Packet) -> Fate {
        let inbound = packet.direction == Direction::In;
        if profile.block_all && inbound {
            return Fate::AllBlocked;
        }
        let counts = |rule: &&Rule| rule.is_of(profile.word) && (profile.own_rules || !rule.own);
        let fits = |allow: bool, fit: Fit| {
            let mut rules = self.rules.iter().filter(counts);
            rules.find(|rule| rule.allows == allow && rule.fit(packet) == fit)
        };
        let blocks = if inbound { profile.block_in } else { profile.block_out };
        if let Some(rule) = fits(false, Fit::Surely) {
            return Fate::Blocked(rule.name.clone(), rule.id.clone());
        }
        if let Some(rule) = fits(false, Fit::Perhaps) {
            return Fate::Uncertain(rule.name.clone());
        }
        match (blocks, fits(true, Fit::Surely), fits(true, Fit::Perhaps)) {
            (false, ..) | (true, Some(_), _) => Fate::Passed,
            (true, None, Some(rule)) => Fate::Uncertain(rule.name.clone()),
            (true, None, None) => Fate::NotAllowed,
        }
    }

    /// What becomes of both ports of PTP in each kind of network whose firewall is on: the worse one of each.
    fn ptp(&self) -> Vec<(&Profile, Fate)> {
        let on = self.profiles.iter().filter(|profile| profile.on);
        on.map(|profile| {
            let fates = [EVENT_PORT, GENERAL_PORT].map(|port| {
                let packet = Packet {
                    direction: Direction::In,
                    local: Some(port),
                    remote: None,
                    program: &self.program,
                };
                self.fate(profile, &packet)
            });
            let [event, general] = fates;
            (profile, if event == Fate::Passed { general } else { event })
        })
        .collect()
    }
}

/// Judges it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    if facts.profiles.iter().all(|profile| !profile.on) || facts.running == Some(false) {
        return vec![Check::Firewall.ok("Windows' firewall is off: it lets everything in")];
    }
    if facts.running.is_none() && facts.rules.is_empty() {
        return vec![Check::Firewall.ok("there is no Windows firewall here")];
    }
    // Windows comes with some hundred.
    if facts.rules.is_empty() {
        return vec![
            Problem::FirewallUnread
                .seen("the firewall is on, and its rules cannot be read", Os::Windows.doctor_with_rights()),
        ];
    }
    let found = ptp(facts).into_iter().chain(ntp(facts)).collect();
    Check::Firewall.found(found, || {
        let on = facts.profiles.iter().filter(|profile| profile.on).map(|profile| profile.name);
        let on = on.collect::<Vec<_>>().join(", ");
        if facts.heard {
            format!("on for networks of the kinds {on}; PTP gets in, since a leader is heard")
        } else {
            format!("on for networks of the kinds {on}; UDP 319 and 320 get in to this program")
        }
    })
}

fn ptp(facts: &Facts) -> Option<Finding> {
    if facts.heard {
        return None;
    }
    let fates = facts.ptp();
    let program = &facts.program;
    let bad: Vec<&(&Profile, Fate)> = fates.iter().filter(|(_, fate)| *fate != Fate::Passed).collect();
    let (_, first) = bad.first()?;
    let kinds: Vec<&str> = bad.iter().map(|(profile, _)| profile.name).collect();
    let kinds = kinds.join(", ");
    let everywhere = bad.len() == fates.len() && !matches!(first, Fate::Uncertain(_));
    let (seen, mend) = match first {
        Fate::Passed => return None,
        Fate::Blocked(name, id) => (
            format!(
                "the rule \"{name}\" blocks UDP 319 and 320 for this program, in networks of the kinds {kinds}"
            ),
            format!("in PowerShell: Remove-NetFirewallRule -Name '{id}'"),
        ),
        Fate::AllBlocked => (
            format!(
                "the firewall blocks all that comes in, also what rules allow, in networks of the kinds {kinds}"
            ),
            "Windows Security, Firewall, the network: clear \"Blocks all incoming connections\"".to_owned(),
        ),
        Fate::Uncertain(name) => (
            format!(
                "the rule \"{name}\" decides about UDP 319 and 320 in networks of the kinds {kinds}, by conditions \
                 that are not understood here"
            ),
            allow(program),
        ),
        Fate::NotAllowed => (
            format!("no rule lets UDP 319 and 320 in to {program}, in networks of the kinds {kinds}"),
            allow(program),
        ),
    };
    // Which kind the network at hand is, is not looked at: where one kind lets it in, it may be that one.
    let problem = if everywhere { Problem::FirewallDropsPtp } else { Problem::FirewallMayDrop };
    Some(problem.seen(seen, mend))
}

/// The rule that the installation makes.
fn allow(program: &str) -> String {
    format!(
        "dantetimesync service install, which makes the rule; or netsh advfirewall firewall add rule \
         name=\"dantetimesync (PTP)\" dir=in action=allow protocol=UDP localport=319,320 profile=any \
         program=\"{program}\""
    )
}

/// Requests go out unless somebody has forbidden that; answers come in behind them.
fn ntp(facts: &Facts) -> Option<Finding> {
    if facts.ntp_answered {
        return None;
    }
    let packet =
        Packet { direction: Direction::Out, local: None, remote: Some(NTP_PORT), program: &facts.program };
    let on = facts.profiles.iter().filter(|profile| profile.on);
    let fates: Vec<Fate> = on.map(|profile| facts.fate(profile, &packet)).collect();
    if !fates.iter().all(|fate| matches!(fate, Fate::Blocked(..) | Fate::NotAllowed)) {
        return None;
    }
    let (seen, mend) = match fates.first()? {
        Fate::Blocked(name, id) => (
            format!("the rule \"{name}\" blocks requests to time servers (UDP 123)"),
            format!("in PowerShell: Remove-NetFirewallRule -Name '{id}'"),
        ),
        _ => (
            "no rule lets requests to time servers (UDP 123) out".to_owned(),
            format!(
                "netsh advfirewall firewall add rule name=\"dantetimesync (NTP)\" dir=out action=allow protocol=UDP \
                 remoteport=123 program=\"{}\"",
                facts.program
            ),
        ),
    };
    Some(Problem::FirewallDropsNtp.seen(seen, mend))
}

#[cfg(test)]
mod tests;
