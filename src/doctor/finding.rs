//! What the doctor can find: the checks in their order, the problems by their stable names, and a finding.

use std::fmt;

/// How bad a finding is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// It works, but worse than it could, or not for ever.
    Warning,
    /// It cannot work like this.
    Failure,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "WARNING",
            Self::Failure => "FAILURE",
        })
    }
}

/// Names values of an enum, in the order in which they are written down.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $value:ident = $text:literal $(if $where:meta)?,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$about])* $(#[$where])? $value,)+ }

        impl $name {
            /// The stable name.
            pub const fn id(self) -> &'static str {
                match self { $($(#[$where])? Self::$value => $text,)+ }
            }
        }
    };
}

named! {
    /// What is looked at, in this order.
    Check {
        /// What this process may do.
        Rights = "rights",
        /// Programs that steer the clock.
        Rivals = "rivals",
        /// The clock itself, watched.
        Clock = "clock",
        /// Whether the clock does as it is told.
        Trial = "trial" if cfg(any(windows, test)),
        /// The ports 319 and 320.
        Ports = "ports",
        /// The network interfaces.
        Interfaces = "interfaces",
        /// What the cards can stamp.
        Stamps = "stamps",
        /// Multicast: membership and the kernel's settings.
        Multicast = "multicast",
        /// What was heard.
        Packets = "packets",
        /// Rules that drop packets.
        Firewall = "firewall",
        /// How good the leader is.
        Leader = "leader",
        /// The time servers.
        Ntp = "ntp",
        /// The counter behind all clocks.
        ClockSource = "clock-source",
        /// Power saving of the processors.
        Power = "power",
        /// Virtual machines and containers.
        Machine = "machine",
        /// The service.
        Service = "service",
        /// The configuration file.
        Config = "config",
        /// The folder of the state file.
        State = "state",
    }
}

/// Everything that can be wrong: its name, where it is found, and how bad it is.
macro_rules! problems {
    ($($(#[$where:meta])* $value:ident = $text:literal, $check:ident, $level:ident;)+) => {
        /// Everything that can be wrong. `docs/guide/troubleshooting.md` has a heading for each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Problem { $(#[doc = $text] $(#[$where])* $value,)+ }

        impl Problem {
            /// All of them; only in tests, so that the compiler names those that nothing finds.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$value,)+];

            /// The stable name, which is also its heading in the guide.
            pub const fn id(self) -> &'static str {
                match self { $($(#[$where])* Self::$value => $text,)+ }
            }

            /// Where it is found.
            pub const fn check(self) -> Check {
                match self { $($(#[$where])* Self::$value => Check::$check,)+ }
            }

            /// How bad it is.
            pub const fn level(self) -> Level {
                match self { $($(#[$where])* Self::$value => Level::$level,)+ }
            }
        }
    };
}

problems! {
    NoClockRight = "no-clock-right", Rights, Failure;
    #[cfg(any(target_os = "linux", test))]
    NoPortRight = "no-port-right", Rights, Failure;
    #[cfg(any(target_os = "linux", test))]
    NoRawRight = "no-raw-right", Rights, Skipped;
    #[cfg(any(target_os = "linux", test))]
    UserNamespace = "user-namespace", Rights, Failure;
    #[cfg(any(windows, test))]
    NotAdministrator = "not-administrator", Rights, Skipped;

    RivalRunning = "rival-running", Rivals, Failure;
    #[cfg(any(windows, test))]
    RivalReturns = "rival-returns", Rivals, Warning;
    GuestTools = "guest-tools", Rivals, Warning;

    ClockStepped = "clock-stepped", Clock, Failure;
    ClockSteered = "clock-steered", Clock, Failure;
    ClockLeftover = "clock-leftover", Clock, Warning;
    ClockUnread = "clock-unread", Clock, Skipped;

    #[cfg(any(windows, test))]
    ClockDisobeys = "clock-disobeys", Trial, Failure;
    #[cfg(any(windows, test))]
    ClockUntried = "clock-untried", Trial, Skipped;

    PortTaken = "port-taken", Ports, Failure;
    PortUntried = "port-untried", Ports, Skipped;
    #[cfg(any(windows, test))]
    PortKeptFromDante = "port-kept-from-dante", Ports, Warning;

    InterfaceMissing = "interface-missing", Interfaces, Failure;
    InterfaceDown = "interface-down", Interfaces, Failure;
    NoCarrier = "no-carrier", Interfaces, Failure;
    NoAddress = "no-address", Interfaces, Failure;
    NoInterface = "no-interface", Interfaces, Failure;
    SameSubnet = "same-subnet", Interfaces, Warning;
    Wireless = "wireless", Interfaces, Warning;
    VirtualInterface = "virtual-interface", Interfaces, Warning;
    SlowLink = "slow-link", Interfaces, Warning;
    ManyInterfaces = "many-interfaces", Interfaces, Warning;

    #[cfg(any(target_os = "linux", test))]
    NoKernelStamps = "no-kernel-stamps", Stamps, Warning;
    EnergyEfficientEthernet = "energy-efficient-ethernet", Stamps, Warning;
    #[cfg(any(windows, test))]
    StampsOff = "stamps-off", Stamps, Warning;
    #[cfg(any(windows, test))]
    HardwareStamps = "hardware-stamps", Stamps, Warning;
    #[cfg(any(windows, test))]
    InterruptModeration = "interrupt-moderation", Stamps, Warning;

    #[cfg(any(target_os = "linux", test))]
    GroupNotJoined = "group-not-joined", Multicast, Failure;
    #[cfg(any(target_os = "linux", test))]
    GroupUntried = "group-untried", Multicast, Skipped;
    #[cfg(any(windows, test))]
    MulticastOff = "multicast-off", Multicast, Failure;
    IgmpVersionForced = "igmp-version-forced", Multicast, Warning;
    #[cfg(any(target_os = "linux", test))]
    ReversePathFilter = "reverse-path-filter", Multicast, Warning;
    #[cfg(any(target_os = "linux", test))]
    NoQuerier = "no-querier", Multicast, Warning;

    NotListened = "not-listened", Packets, Skipped;
    NoPtp = "no-ptp", Packets, Failure;
    OtherInterface = "other-interface", Packets, Failure;
    BlockedHere = "blocked-here", Packets, Failure;
    OnlyVersionTwo = "only-ptp-v2", Packets, Failure;
    PullUp = "pull-up", Packets, Failure;
    OtherSubdomain = "other-subdomain", Packets, Failure;
    NoLeader = "no-leader", Packets, Failure;
    NoFollowUp = "no-follow-up", Packets, Failure;
    NoSync = "no-sync", Packets, Failure;
    SyncsStopped = "syncs-stopped", Packets, Failure;
    SyncsLost = "syncs-lost", Packets, Warning;
    SyncInterval = "sync-interval", Packets, Warning;
    SeveralLeaders = "several-leaders", Packets, Warning;
    SameIdentity = "same-identity", Packets, Warning;

    FirewallDropsPtp = "firewall-drops-ptp", Firewall, Failure;
    FirewallDropsNtp = "firewall-drops-ntp", Firewall, Failure;
    FirewallMayDrop = "firewall-may-drop", Firewall, Warning;
    FirewallUnread = "firewall-unread", Firewall, Skipped;

    LeaderUnjudged = "leader-unjudged", Leader, Skipped;
    LeaderRate = "leader-rate", Leader, Warning;
    LeaderJitter = "leader-jitter", Leader, Warning;
    LeaderSteps = "leader-steps", Leader, Warning;

    NtpUnasked = "ntp-unasked", Ntp, Skipped;
    NtpDead = "ntp-dead", Ntp, Failure;
    NtpSilent = "ntp-silent", Ntp, Warning;
    NtpName = "ntp-name", Ntp, Warning;
    NtpUseless = "ntp-useless", Ntp, Warning;
    NtpFar = "ntp-far", Ntp, Failure;
    NtpDisagree = "ntp-disagree", Ntp, Failure;
    NtpOutvoted = "ntp-outvoted", Ntp, Warning;

    SlowClockSource = "slow-clock-source", ClockSource, Warning;
    #[cfg(any(target_os = "linux", test))]
    ClockSourceUnknown = "clock-source-unknown", ClockSource, Skipped;

    #[cfg(any(target_os = "linux", test))]
    SlowGovernor = "slow-governor", Power, Warning;
    #[cfg(any(target_os = "linux", test))]
    DeepSleep = "deep-sleep", Power, Warning;
    #[cfg(any(windows, test))]
    PowerPlan = "power-plan", Power, Warning;

    VirtualMachine = "virtual-machine", Machine, Warning;
    StolenTime = "stolen-time", Machine, Warning;
    Container = "container", Machine, Warning;

    ServiceUnknown = "service-unknown", Service, Skipped;
    ServiceFailed = "service-failed", Service, Failure;
    ServiceStopped = "service-stopped", Service, Warning;
    ServiceDisabled = "service-disabled", Service, Warning;
    ServiceSilent = "service-silent", Service, Warning;
    ServiceNotLocked = "service-not-locked", Service, Warning;
    ServiceVersion = "service-version", Service, Warning;
    ServiceErrors = "service-errors", Service, Warning;

    ConfigFault = "config-fault", Config, Failure;
    ConfigUnreadable = "config-unreadable", Config, Failure;
    DryRun = "dry-run", Config, Warning;

    StateMissing = "state-missing", State, Warning;
    StateReadOnly = "state-read-only", State, Failure;
    StateFull = "state-full", State, Failure;
    StateUnread = "state-unread", State, Skipped;
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it was found.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// What is wrong; nothing, if nothing is.
    pub problem: Option<Problem>,
    /// What was seen.
    pub seen: String,
    /// The one command or setting that mends it; always there with a problem.
    pub mend: Option<String>,
}

impl Check {
    /// Nothing is wrong, and this is what was seen.
    pub fn ok(self, seen: impl Into<String>) -> Finding {
        Finding { check: self, level: Level::Ok, problem: None, seen: seen.into(), mend: None }
    }

    /// The problems that were found, or that all is well, if none were.
    pub fn found(self, problems: Vec<Finding>, otherwise: impl FnOnce() -> String) -> Vec<Finding> {
        if problems.is_empty() { vec![self.ok(otherwise())] } else { problems }
    }
}

/// What mends this problem, where it was found.
pub fn mend_of(findings: &[Finding], problem: Problem) -> Option<String> {
    findings.iter().find(|finding| finding.problem == Some(problem))?.mend.clone()
}

impl Problem {
    /// It is there: what was seen, and what mends it.
    pub fn seen(self, seen: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            check: self.check(),
            level: self.level(),
            problem: Some(self),
            seen: seen.into(),
            mend: Some(mend.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const GUIDE: &str = include_str!("../../docs/guide/troubleshooting.md");

    #[test]
    fn every_problem_has_its_heading_in_the_guide_and_every_heading_its_problem() {
        let headings = GUIDE.lines().filter_map(|line| line.strip_prefix("### "));
        let headings: Vec<&str> = headings.map(|heading| heading.trim_matches('`')).collect();
        let unique: BTreeSet<&str> = headings.iter().copied().collect();
        assert_eq!(unique.len(), headings.len(), "a heading stands twice");
        let ids: BTreeSet<&str> = Problem::ALL.iter().map(|problem| problem.id()).collect();
        assert_eq!(ids.len(), Problem::ALL.len(), "a name is given twice");
        let missing: Vec<_> = ids.difference(&unique).collect();
        let unknown: Vec<_> = unique.difference(&ids).collect();
        assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
    }

    #[test]
    fn every_heading_stands_under_its_check_and_says_something() {
        let sections = GUIDE.split("\n## ").skip(1);
        let mut checks = 0;
        for section in sections {
            let (title, body) = section.split_once('\n').unwrap();
            let Some(first) = body.split("### ").nth(1) else { continue };
            let name = |entry: &str| entry.lines().next().unwrap().trim_matches('`').to_owned();
            let check = Problem::ALL.iter().find(|problem| problem.id() == name(first)).unwrap().check();
            checks += 1;
            for entry in body.split("### ").skip(1) {
                let problem = Problem::ALL.iter().find(|problem| problem.id() == name(entry)).unwrap();
                assert_eq!(problem.check(), check, "{} stands under {title}", problem.id());
                assert!(entry.len() > 100, "{} is not explained", problem.id());
            }
        }
        let all: BTreeSet<Check> = Problem::ALL.iter().map(|problem| problem.check()).collect();
        assert_eq!(checks, all.len());
    }

    #[test]
    fn levels_are_ordered_by_their_weight() {
        assert!(
            Level::Failure > Level::Warning && Level::Warning > Level::Skipped && Level::Skipped > Level::Ok
        );
    }
}
