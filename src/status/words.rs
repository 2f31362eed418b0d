//! The status in words: what it is, and if that is not what it should be, why, and what to do.

use std::fmt::Write;

use super::Status;
use super::client::STALE;
use crate::estimator::utc::Role;
use crate::net::StampSource;
use crate::snapshot::{Activity, LeaderRow, Snapshot, Standing, State, UtcView};
use crate::time::Span;

/// Rows of tables that are shown; more are counted.
const ROWS: usize = 4;
/// Events that are shown.
const EVENTS: usize = 3;

/// The answer in one line.
pub fn headline(status: &Status, age: Span) -> String {
    let snapshot = &status.snapshot;
    let dry = if status.dry_run { " (dry run: a clock made of numbers)" } else { "" };
    if age > STALE {
        let age = duration(age.as_ns());
        return format!("Not known{dry}: the program has said nothing new for {age} and seems to hang");
    }
    let since = duration(snapshot.state_age_ns);
    if snapshot.state != State::Locked {
        return format!("Not locked{dry}, {} for {since}: {}", snapshot.state, snapshot.reason);
    }
    let leader = snapshot.leader.as_ref().map_or_else(String::new, |leader| {
        let preferred = if leader.preferred { " (Preferred Leader)" } else { "" };
        format!(" to {}{preferred}", leader.id)
    });
    let offset =
        snapshot.offset.map_or_else(String::new, |it| format!("offset {}", time(it.value_ns, it.bound_ns)));
    let rate = snapshot
        .leader_rate
        .map_or_else(String::new, |it| format!(", rate {}", rate(it.value_ppb, it.bound_ppb)));
    format!("Locked{dry}{leader} for {since}: {offset}{rate}; {}", utc(snapshot))
}

/// A rate that is known to this (ppb) is told without its bound …
const RATE_SURE: f64 = 500.0;
/// … and one that is not even known to this, not at all: leaders are rarely further off.
const RATE_KNOWN: f64 = 20e3;

/// UTC in a few words.
fn utc(snapshot: &Snapshot) -> String {
    let Some(utc) = &snapshot.utc else {
        let none = snapshot.ntp_servers.is_empty();
        return if none {
            "date left alone (no NTP server)"
        } else {
            "UTC unknown (no NTP server has answered)"
        }
        .into();
    };
    let error = time(utc.offset.value_ns, ns(utc.max_error_ns));
    let runs = match utc.leader_rate {
        Some(rate) if rate.bound_ppb <= RATE_SURE => {
            format!("leader runs {:+.1} ppm against UTC", rate.value_ppb / 1e3)
        }
        Some(rate) if rate.bound_ppb <= RATE_KNOWN => {
            format!("leader runs {:+.0} ± {:.0} ppm against UTC", rate.value_ppb / 1e3, rate.bound_ppb / 1e3)
        }
        _ => "leader's rate against UTC not known yet".to_owned(),
    };
    format!("UTC {error} ({runs}, {})", prospect(snapshot, utc))
}

/// What will come of the error against UTC.
fn prospect(snapshot: &Snapshot, utc: &UtcView) -> String {
    let Some(limit) = snapshot.utc_limit_ns else { return "no limit set".to_owned() };
    let Some(slew) = &utc.slew else { return format!("limit {}", plain(ns(limit))) };
    let until = |ns: Option<i64>| ns.map_or_else(String::new, |ns| format!(" in {}", duration(ns)));
    match slew.activity {
        Activity::Leader => {
            format!("limit {} reached{}", plain(ns(limit)), until(slew.limit_in_ns.or(slew.slew_in_ns)))
        }
        Activity::Following => "UTC is followed".to_owned(),
        Activity::Returning => {
            let left = slew.slew_for_ns.map_or_else(String::new, |ns| format!(", {} left", duration(ns)));
            format!("slewing back at {:+.1} ppm{left}", slew.rate_ppb / 1e3)
        }
        Activity::Waiting => format!("beyond the limit, will be slewed back{}", until(slew.slew_in_ns)),
        Activity::Holding => "the leader leaves UTC faster than utc-slew allows".to_owned(),
        Activity::Refused => "beyond panic-threshold: not believed".to_owned(),
    }
}

/// What to do about a clock that is not locked, in whole sentences; None where it is.
pub fn advice(status: &Status, age: Span) -> Option<String> {
    advice_at(status, age).map(|advice| sentence(&advice))
}

/// With one end.
fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{text}{end}")
}

fn advice_at(status: &Status, age: Span) -> Option<String> {
    let snapshot = &status.snapshot;
    if age > STALE {
        return Some(format!(
            "look at its log, and start it again (systemctl restart dantetimesync; pid {})",
            status.pid
        ));
    }
    match (snapshot.state, &snapshot.fault) {
        (State::Starting | State::Acquiring, Some(fault)) => Some(format!("mend this: {fault}")),
        (state, _) => advice_in(state, snapshot),
    }
}

fn advice_in(state: State, snapshot: &Snapshot) -> Option<String> {
    match state {
        State::Locked => None,
        State::Starting => Some("wait a few seconds: dantetimesync status --wait-locked 60".to_owned()),
        State::NoLeader => Some(missing_leader(snapshot)),
        State::Acquiring if snapshot.leader.is_some() => Some(
            "wait: this takes up to half a minute. If it stays so, dantetimesync monitor says how good the leader is heard"
                .to_owned(),
        ),
        State::Acquiring => Some(missing_leader(snapshot)),
        State::Holdover | State::Lost => Some(format!(
            "is the leader switched on, and connected to {}? Silence after some minutes is usually a switch with IGMP \
             snooping and no querier",
            interfaces(snapshot)
        )),
        State::Conflict => Some(match snapshot.rivals.as_slice() {
            [] => "find the program that sets the clock, and stop it".to_owned(),
            rivals => format!("stop {}", rivals.join(", ")),
        }),
    }
}

fn missing_leader(snapshot: &Snapshot) -> String {
    if snapshot.only_ptp_v2 {
        return "only PTPv2 is heard: give the device Dante's own clocking (PTPv1), not AES67 or ST 2110 alone".into();
    }
    if let Some(other) = &snapshot.other_subdomain {
        let pulled =
            if other.starts_with("_ALT") { ", which is pulled up and cannot be followed" } else { "" };
        return format!("PTP subdomain {other} is heard{pulled}: is that yours? --subdomain chooses one");
    }
    if snapshot.interfaces.is_empty() {
        return "connect a network interface to the Dante network, and give it an IPv4 address".to_owned();
    }
    let (on, heard) = (interfaces(snapshot), snapshot.network.received);
    match snapshot.leaders.first() {
        Some(leader) => {
            format!(
                "{} sends Syncs without Follow_Ups: is UDP port 320 let through by the firewall?",
                leader.id
            )
        }
        None if heard == 0 => format!(
            "no PTP arrives on {on}: is that the Dante network (--interface), does the firewall let UDP 319 and 320 in, \
             does a switch with IGMP snooping have a querier?"
        ),
        None => format!(
            "{heard} PTP packets arrived on {on}, but none of a leader: dantetimesync monitor shows which"
        ),
    }
}

fn interfaces(snapshot: &Snapshot) -> String {
    match snapshot.interfaces.as_slice() {
        [] => "this computer".to_owned(),
        all => all.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// One screen: the answer, what to do, and what it rests on.
pub fn screen(status: &Status, age: Span) -> String {
    let snapshot = &status.snapshot;
    let mut out = headline(status, age);
    out.push('\n');
    if let Some(advice) = advice(status, age) {
        let _ = writeln!(out, "To do: {advice}");
    }
    out.push('\n');
    for (name, text) in facts(status) {
        let _ = writeln!(out, "{name:<9} {text}");
    }
    let others: Vec<&LeaderRow> =
        snapshot.leaders.iter().filter(|leader| leader.standing != Standing::Followed).collect();
    for (leader, name) in others.iter().zip(std::iter::once("others").chain(std::iter::repeat(""))).take(ROWS)
    {
        let _ = writeln!(
            out,
            "{name:<9} {} on {}, stratum {}{}: {}",
            leader.id,
            leader.interface,
            leader.stratum,
            if leader.preferred { ", preferred" } else { "" },
            standing(leader)
        );
    }
    if others.len() > ROWS {
        let _ = writeln!(out, "{:<9} … and {} more leaders", "", others.len().saturating_sub(ROWS));
    }
    for (event, name) in snapshot
        .events
        .iter()
        .rev()
        .take(EVENTS)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .zip(std::iter::once("events").chain(std::iter::repeat("")))
    {
        let _ = writeln!(out, "{name:<9} {event}");
    }
    out
}

/// Name and text of each line of facts.
pub fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let snapshot = &status.snapshot;
    let mut facts = Vec::new();
    if let Some(leader) = &snapshot.leader {
        facts.push((
            "leader",
            format!(
                "{} on {}, stratum {}{}, a Sync every {:.1} ms, the last {} ago",
                leader.id,
                leader.interface,
                leader.stratum,
                if leader.preferred { ", Preferred Leader" } else { "" },
                ns(leader.interval_ns) / 1e6,
                duration(leader.age_ns),
            ),
        ));
    }
    if let Some(fault) = &snapshot.fault {
        facts.push(("fault", fault.clone()));
    }
    let jitter = snapshot
        .jitter_ns
        .map_or_else(String::new, |jitter| format!("; arrivals scatter by {}", plain(jitter)));
    if let Some(source) = snapshot.stamp_source {
        facts.push(("stamps", format!("by {}{jitter}", stamps(source))));
    }
    facts.push(("clock", clock(snapshot)));
    facts.push(("utc", utc(snapshot)));
    for server in snapshot.ntp_servers.iter().take(ROWS) {
        facts.push(("ntp", ntp_server(server)));
    }
    facts.push((
        "counts",
        format!(
            "samples {}, not fitting {}; steps {}, changes by others {}, locks {}",
            snapshot.samples, snapshot.outliers, snapshot.steps, snapshot.foreign_changes, snapshot.locks
        ),
    ));
    facts.push(("packets", format!("{} received; not used: {}", snapshot.network.received, drops(snapshot))));
    let (age, dry) = (duration(snapshot.uptime_ns), if status.dry_run { ", dry run" } else { "" });
    facts.push(("program", format!("dantetimesync {}, pid {}, up {age}{dry}", status.version, status.pid)));
    facts
}

/// How it stands to what it shall be.
fn clock(snapshot: &Snapshot) -> String {
    let against = |name, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let clock: Vec<String> = [
        against("offset", snapshot.offset.map(|it| time(it.value_ns, it.bound_ns))),
        against("rate error", snapshot.rate.map(|it| rate(it.value_ppb, it.bound_ppb))),
        Some(format!("set to {:+.2} ppm", snapshot.commanded_ppb / 1e3)),
    ]
    .into_iter()
    .flatten()
    .collect();
    clock.join(", ")
}

/// One server in a line.
pub fn ntp_server(server: &crate::snapshot::NtpServerView) -> String {
    let role = role(server.role);
    match (server.offset_ns, server.age_ns) {
        (Some(offset), Some(age)) => format!(
            "{}: {role}, off by {}, round trip {}, {} ago",
            server.name,
            Span::from_ns(offset),
            plain(ns(server.delay_ns)),
            duration(age)
        ),
        (_, Some(age)) => format!("{}: {role}, {} ago", server.name, duration(age)),
        _ => format!("{}: has never answered", server.name),
    }
}

/// What a server counts for.
pub fn role(role: Role) -> &'static str {
    match role {
        Role::Silent => "silent",
        Role::Used => "used",
        Role::Spare => "spare",
        Role::Outvoted => "outvoted",
        Role::Undecided => "undecided",
    }
}

fn stamps(source: StampSource) -> &'static str {
    match source {
        StampSource::Hardware => "the network card",
        StampSource::Kernel => "the kernel",
        StampSource::User => "this program (1000 times worse than the kernel's)",
    }
}

/// What a leader counts for, and why it is not followed.
pub fn standing(leader: &LeaderRow) -> String {
    match leader.standing {
        Standing::Followed => "followed".to_owned(),
        Standing::Silent => format!("silent for {}", duration(leader.heard_age_ns)),
        Standing::Probation => {
            format!("probation, {} left", duration(leader.probation_left_ns.unwrap_or_default()))
        }
        Standing::Unqualified if leader.pairs == 0 => "no Follow_Up yet".to_owned(),
        Standing::Unqualified => "too few pairs".to_owned(),
        Standing::Outranked => "outranked".to_owned(),
        Standing::OtherInterface => "other interface".to_owned(),
    }
}

/// Why packets were not used, the commonest reasons first.
pub fn drops(snapshot: &Snapshot) -> String {
    let mut drops: Vec<_> = snapshot.drops.iter().filter(|(_, count)| *count > 0).collect();
    drops.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let name =
        |reason| serde_json::to_value(reason).ok().and_then(|it| it.as_str().map(|it| it.replace('_', " ")));
    let named: Vec<String> = drops
        .iter()
        .take(ROWS)
        .map(|(reason, count)| format!("{count} {}", name(*reason).unwrap_or_default()))
        .collect();
    let more = if drops.len() > ROWS { ", …" } else { "" };
    if named.is_empty() { "none".to_owned() } else { format!("{}{more}", named.join(", ")) }
}

/// A time and its bound, in the unit that both read well in: `+0.4 µs ± 3.1`.
pub fn time(value_ns: f64, bound_ns: f64) -> String {
    let (unit, name, digits) = unit(value_ns.abs().max(bound_ns));
    let value = format!("{:+.digits$}", value_ns / unit);
    // Nothing is neither ahead nor behind.
    let value = if value.bytes().any(|octet| (b'1'..=b'9').contains(&octet)) {
        value
    } else {
        value.replace('-', "+")
    };
    format!("{value} {name} ± {:.digits$}", bound_ns / unit)
}

/// A time without a sign.
pub fn plain(value_ns: f64) -> String {
    let (unit, name, digits) = unit(value_ns.abs());
    format!("{:.digits$} {name}", value_ns / unit)
}

/// A rate and its bound: `-33.71 ppm ± 0.02`.
pub fn rate(value_ppb: f64, bound_ppb: f64) -> String {
    format!("{:+.2} ppm ± {:.2}", value_ppb / 1e3, (bound_ppb / 1e3).min(999.0))
}

fn unit(ns: f64) -> (f64, &'static str, usize) {
    match ns {
        ns if ns < 1e3 => (1.0, "ns", 0),
        ns if ns < 1e6 => (1e3, "µs", 1),
        ns if ns < 1e9 => (1e6, "ms", 1),
        _ => (1e9, "s", 3),
    }
}

/// A length of time as people say it: `2 h 13 min`.
pub fn duration(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    match seconds {
        0..10 => format!("{:.1} s", Span::from_ns(ns.max(0)).as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

fn ns(ns: i64) -> f64 {
    Span::from_ns(ns).as_ns_f64()
}
