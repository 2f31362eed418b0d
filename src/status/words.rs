//! The status in words: what it is, and if that is not what it should be, why, and what to do.

use std::fmt::Write;

use super::Status;
use super::client::STALE;
use crate::estimator::utc::Role;
use crate::net::StampSource;
use crate::snapshot::obstacle::{Obstacle, no_follow_ups};
use crate::snapshot::{Activity, LeaderRow, NtpServerView, Snapshot, Standing, State, UtcView};
use crate::time::{Span, duration};

/// Rows of tables that are shown; more are counted.
const ROWS: usize = 4;
/// Whoever has not locked by then will not without help.
const LONG: Span = Span::from_secs(60);
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
    if snapshot.state == State::Unknown {
        let because =
            if snapshot.reason.is_empty() { String::new() } else { format!(": {}", snapshot.reason) };
        return format!("Not known{dry}: in a state that this release has no word for, for {since}{because}");
    }
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
        return match snapshot.ntp_servers.as_slice() {
            [] => "date left alone (no NTP server)".to_owned(),
            servers => format!("UTC unknown ({})", without_utc(servers)),
        };
    };
    let error = time(utc.offset.value_ns, ns(utc.max_error_ns));
    let known = utc.leader_rate.is_some_and(|rate| rate.bound_ppb <= RATE_KNOWN);
    let runs = match utc.leader_rate {
        Some(rate) if rate.bound_ppb <= RATE_SURE => {
            format!("leader runs {:+.1} ppm against UTC", rate.value_ppb / 1e3)
        }
        Some(rate) if rate.bound_ppb <= RATE_KNOWN => {
            format!("leader runs {:+.0} ± {:.0} ppm against UTC", rate.value_ppb / 1e3, rate.bound_ppb / 1e3)
        }
        _ => "leader's rate against UTC not known yet".to_owned(),
    };
    format!("UTC {error} ({runs}, {})", prospect(snapshot, utc, known))
}

/// Why UTC is not known, in one line.
fn without_utc(servers: &[NtpServerView]) -> String {
    let names = |of: &dyn Fn(&NtpServerView) -> bool| -> Vec<&str> {
        servers.iter().filter(|server| of(server)).map(|server| server.name.as_str()).collect()
    };
    let undecided = names(&|server| server.role == Some(Role::Undecided));
    let answered = names(&|server| server.age_ns.is_some());
    let refused = servers.iter().find_map(|server| Some((&server.name, server.refusal.as_ref()?)));
    match (undecided.as_slice(), answered.as_slice(), refused) {
        ([_, _, ..], ..) => format!(
            "{} contradict each other, and none has a majority: a third server, or one more, would decide",
            undecided.join(" and ")
        ),
        (_, [], Some((name, refusal))) => format!("the NTP server {name} {refusal}"),
        (_, [], None) => format!("no NTP server has answered: {}", names(&|_| true).join(", ")),
        // It may have answered before.
        (_, [one], Some((name, refusal))) if one == name => format!("the NTP server {name} {refusal}"),
        (_, [one], _) => format!("the NTP server {one} has answered, not often enough yet"),
        (_, several, _) => format!("{} have answered, not often enough yet", several.join(" and ")),
    }
}

/// What will come of the error against UTC, which can be told where the leader's rate is `known`.
fn prospect(snapshot: &Snapshot, utc: &UtcView, known: bool) -> String {
    let Some(limit) = snapshot.utc_limit_ns else { return "no limit set".to_owned() };
    let Some(slew) = &utc.slew else { return format!("limit {}", plain(ns(limit))) };
    let until = |ns: Option<i64>| ns.map_or_else(String::new, |ns| format!(" in {}", duration(ns)));
    match slew.activity {
        Some(Activity::Leader) => match slew.limit_in_ns.or(slew.slew_in_ns).filter(|_| known) {
            Some(left) => format!("limit {} reached in {}", plain(ns(limit)), duration(left)),
            None => format!("limit {}", plain(ns(limit))),
        },
        Some(Activity::Following) => "UTC is followed".to_owned(),
        Some(Activity::Returning) => {
            let left = slew.slew_for_ns.map_or_else(String::new, |ns| format!(", {} left", duration(ns)));
            format!("slewing back at {:+.1} ppm{left}", slew.rate_ppb / 1e3)
        }
        Some(Activity::Waiting) => format!("beyond the limit, will be slewed back{}", until(slew.slew_in_ns)),
        Some(Activity::Holding) => "the leader leaves UTC faster than utc-slew allows".to_owned(),
        Some(Activity::Refused) => "beyond panic-threshold: not believed".to_owned(),
        None => format!("limit {}", plain(ns(limit))),
    }
}

/// What starts the service anew.
const RESTART: &str =
    if cfg!(windows) { "dantetimesync service stop, then start" } else { "systemctl restart dantetimesync" };

/// What to do about a clock that is not locked, in whole sentences; None where it is.
pub fn advice(status: &Status, age: Span) -> Option<String> {
    let snapshot = &status.snapshot;
    if age > STALE {
        let pid = status.pid;
        return Some(sentence(&format!("look at its log, and start it again ({RESTART}; pid {pid})")));
    }
    let fault = snapshot.fault.as_ref().filter(|fault| **fault == snapshot.reason);
    let advice = match (snapshot.state, fault) {
        (State::Locked, _) => return None,
        (State::Conflict, _) => conflict(snapshot),
        (State::Unknown, _) => format!(
            "ask with the release that runs, {}: this one is {}",
            status.version,
            env!("CARGO_PKG_VERSION")
        ),
        (_, Some(fault)) => format!(
            "{} dantetimesync doctor says what is behind it",
            sentence(&format!("mend this: {fault}"))
        ),
        (state, None) => Obstacle::of(snapshot).map_or_else(|| in_time(state, snapshot), |it| it.cure()),
    };
    Some(sentence(&advice))
}

/// With one end.
fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{text}{end}")
}

fn conflict(snapshot: &Snapshot) -> String {
    match snapshot.rivals.as_slice() {
        [] => "find the program that sets the clock, and stop it. This one goes on after a minute of peace"
            .to_owned(),
        rivals => format!("stop {}. This program goes on after a minute of peace", rivals.join(", ")),
    }
}

/// What to do where nothing but the time that it takes stands in the way, or a leader that has just gone.
fn in_time(state: State, snapshot: &Snapshot) -> String {
    match state {
        State::Holdover | State::Lost => format!(
            "is the leader switched on, and connected to {}? Silence after some minutes is usually a switch with IGMP \
             snooping and no querier",
            interfaces(snapshot)
        ),
        State::Acquiring if snapshot.state_age_ns > LONG.as_ns() => {
            let scatter = snapshot.jitter_ns.map_or_else(String::new, |jitter| {
                format!("packets of the leader arrive with a scatter of {}; ", plain(jitter))
            });
            format!(
                "{scatter}dantetimesync monitor judges the way to the leader. Use a cable, no wireless link, and few \
                 switches, without energy-saving Ethernet"
            )
        }
        State::Acquiring => {
            "wait: this takes up to half a minute. If it stays so, dantetimesync monitor says how well the leader is heard"
                .to_owned()
        }
        _ => "wait a few seconds: dantetimesync status --wait-locked 60".to_owned(),
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
                "{} on {}, stratum {}{}, a Sync every {:.1} ms, the last that was used {} ago",
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
pub fn ntp_server(server: &NtpServerView) -> String {
    let role = server.role.map_or("not known to this release", role);
    let refusal = server.refusal.as_ref().map_or_else(String::new, |refusal| format!("; now it {refusal}"));
    let told = match (server.offset_ns, server.age_ns) {
        (Some(offset), Some(age)) => format!(
            "{}: {role}, off by {}, round trip {}, {} ago",
            server.name,
            Span::from_ns(offset),
            plain(ns(server.delay_ns)),
            duration(age)
        ),
        (_, Some(age)) if server.role == Some(Role::Silent) => {
            format!("{}: answered {} ago, not often enough yet", server.name, duration(age))
        }
        (_, Some(age)) => format!("{}: {role}, {} ago", server.name, duration(age)),
        _ => match &server.refusal {
            Some(refusal) => return format!("{}: {refusal}", server.name),
            None => format!("{}: has never answered", server.name),
        },
    };
    told + &refusal
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
        Standing::Silent => match leader.pair_age_ns {
            Some(pair) if no_follow_ups(leader) => format!("no Follow_Up for {}", duration(pair)),
            _ => format!("silent for {}", duration(leader.heard_age_ns)),
        },
        Standing::Probation => {
            format!("probation, {} left", duration(leader.probation_left_ns.unwrap_or_default()))
        }
        Standing::Unqualified if leader.pairs == 0 => "no Follow_Up yet".to_owned(),
        Standing::Unqualified => "too few pairs".to_owned(),
        Standing::Outranked => "outranked".to_owned(),
        Standing::OtherInterface => "other interface".to_owned(),
        Standing::Unknown => "not known to this release".to_owned(),
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

fn ns(ns: i64) -> f64 {
    Span::from_ns(ns).as_ns_f64()
}
