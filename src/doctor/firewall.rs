//! Does this computer's own firewall drop what comes from a leader, or the words of a time server?

mod iptables;
mod nft;
mod rules;

use std::net::Ipv4Addr;

use super::finding::{Check, Finding, Problem};
use super::host::{Host, Unanswered};
use crate::net::{EVENT_PORT, GENERAL_PORT};
use rules::{Culprit, Fate, Hook, Packet, Ruleset};

/// The port of time servers.
const NTP_PORT: u16 = 123;
/// A port as the system gives them to a program that asks a time server.
const OWN_PORT: u16 = 40_123;
/// The leader's group.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 129);

/// The rules that could be read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    rules: Ruleset,
    /// Programs that know the rules, and refused.
    unread: Vec<(&'static str, String)>,
    /// A program answered.
    read: bool,
    /// What the rules are judged for.
    pub scope: Scope,
}

/// What the rules are judged for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// The interfaces that are listened on.
    pub interfaces: Vec<String>,
    /// Of them, those on which a leader is heard: no rule drops all that comes from it.
    pub heard: Vec<String>,
    /// Of these, those on which Syncs are missing: a rule may limit them.
    pub losing: Vec<String>,
    /// A time server has answered, or none is asked.
    pub ntp_answered: bool,
}

/// Asks `nft` and `iptables`.
pub fn look(host: &Host, scope: Scope) -> Facts {
    let mut facts = Facts { scope, ..Facts::default() };
    let tables = host.run("iptables-save", &[]);
    let old = matches!(&tables, Ok(text) if !text.trim().is_empty());
    if let Some(text) = facts.take("iptables", tables) {
        iptables::read(&text, &mut facts.rules);
    }
    if let Some(text) = facts.take("nft", host.run("nft", &["-j", "list", "ruleset"])) {
        nft::read(&text, old, &mut facts.rules);
    }
    facts
}

impl Facts {
    fn take(&mut self, program: &'static str, answer: super::host::Answer) -> Option<String> {
        match answer {
            Ok(text) => {
                self.read = true;
                Some(text)
            }
            Err(Unanswered::Missing) => None,
            Err(Unanswered::Refused(reason)) => {
                self.unread.push((program, reason.lines().next().unwrap_or_default().to_owned()));
                None
            }
            Err(Unanswered::Late) => {
                self.unread.push((program, "it does not answer".to_owned()));
                None
            }
        }
    }
}

/// Judges them.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let found: Vec<Finding> = ptp(facts).into_iter().chain(ntp(facts)).collect();
    if found.is_empty() && !facts.read && !facts.unread.is_empty() {
        let told: Vec<String> =
            facts.unread.iter().map(|(program, reason)| format!("{program}: {reason}")).collect();
        return vec![Problem::FirewallUnread.seen(
            format!("the firewall's rules cannot be read without root ({})", told.join("; ")),
            "sudo dantetimesync doctor",
        )];
    }
    Check::Firewall.found(found, || match (facts.read, facts.rules.is_empty()) {
        (false, _) => "neither nft nor iptables is installed: there are no rules to read".to_owned(),
        (true, true) => "there are no rules".to_owned(),
        (true, false) => "UDP 319 and 320 get in, and so do answers of time servers".to_owned(),
    })
}

/// One finding for both ports of all interfaces: the first that is dropped for sure, else the first that may be.
fn ptp(facts: &Facts) -> Option<Finding> {
    let Scope { interfaces, heard, losing, .. } = &facts.scope;
    let doubtful = interfaces.iter().filter(|name| !heard.contains(name) || losing.contains(name));
    let fates = doubtful.flat_map(|name| {
        [EVENT_PORT, GENERAL_PORT].map(|port| {
            let packet =
                Packet { interface: Some(name), destination: GROUP, to: port, from: 50_000, answer: false };
            (name, port, facts.rules.fate(Hook::Input, &packet))
        })
    });
    let mut may = None;
    for (name, port, fate) in fates {
        match fate {
            // What is heard is not dropped, whatever the rules seem to say.
            Fate::Dropped(_) if heard.contains(name) => {}
            Fate::Dropped(culprit) => {
                return Some(Problem::FirewallDropsPtp.seen(
                    format!("UDP {port} on {name} is dropped by {culprit}"),
                    mend_ptp(&culprit, name),
                ));
            }
            Fate::MayBeDropped(culprit) => may = may.or(Some((name, port, culprit))),
            Fate::Passed => {}
        }
    }
    may.map(|(name, port, culprit)| {
        let why = if losing.contains(name) {
            "Syncs are missing there, and it may be that the rules limit them"
        } else {
            "not all conditions of the rules are understood here"
        };
        Problem::FirewallMayDrop.seen(
            format!("UDP {port} on {name} may be dropped by {culprit}: {why}"),
            mend_ptp(&culprit, name),
        )
    })
}

/// Requests must get out, and answers in.
fn ntp(facts: &Facts) -> Option<Finding> {
    if facts.scope.ntp_answered {
        return None;
    }
    let server = Ipv4Addr::new(192, 0, 2, 1);
    let request =
        Packet { interface: None, destination: server, to: NTP_PORT, from: OWN_PORT, answer: false };
    let answer = Packet { to: OWN_PORT, from: NTP_PORT, answer: true, ..request };
    if let Fate::Dropped(culprit) = facts.rules.fate(Hook::Output, &request) {
        return Some(Problem::FirewallDropsNtp.seen(
            format!("requests to time servers (UDP 123) are dropped by {culprit}"),
            culprit.chain.accept("udp dport 123", "-p udp --dport 123"),
        ));
    }
    let Fate::Dropped(culprit) = facts.rules.fate(Hook::Input, &answer) else { return None };
    Some(Problem::FirewallDropsNtp.seen(
        format!("answers of time servers (UDP 123) are dropped by {culprit}"),
        if culprit.rule.is_some() {
            // It may stand where nobody knows yet what is an answer.
            culprit.chain.accept("udp sport 123", "-p udp --sport 123")
        } else {
            culprit.chain.accept("ct state established,related", "-m conntrack --ctstate ESTABLISHED,RELATED")
        },
    ))
}

/// What lets both PTP ports in on an interface.
fn mend_ptp(culprit: &Culprit, name: &str) -> String {
    culprit.chain.accept(
        &format!("iifname {name} udp dport {{ 319, 320 }}"),
        &format!("-i {name} -p udp --dport 319:320"),
    )
}

#[cfg(test)]
mod tests;
