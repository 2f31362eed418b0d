//! Rules as both kinds of firewall have them, and what becomes of a packet. What is not understood counts as "may
//! be": nothing is claimed of it.

use std::fmt;
use std::net::Ipv4Addr;

/// How deep chains may call each other; the kernel allows 16.
const DEPTH_MAX: u8 = 16;

/// A packet that does not exist.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Where it comes in; nobody knows for a time server.
    pub interface: Option<&'a str>,
    /// Where it goes.
    pub destination: Ipv4Addr,
    /// To this UDP port.
    pub to: u16,
    /// From this UDP port.
    pub from: u16,
    /// It answers one that went out.
    pub answer: bool,
}

/// Where a chain is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// For what comes in for this computer.
    Input,
    /// For what leaves it.
    Output,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It gets through.
    Passed,
    /// It does not.
    Dropped(Culprit),
    /// That hangs on what is not understood.
    MayBeDropped(Culprit),
}

/// Who drops it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// What the rule is called; nothing for what happens at the end of the chain.
    pub rule: Option<String>,
    /// The chain: what is accepted at its beginning is not dropped by this.
    pub chain: ChainName,
}

/// A chain, as its tool names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainName {
    /// Family, table and chain.
    Nft(String),
    /// Of iptables.
    Iptables {
        /// Its table.
        table: String,
        /// The chain.
        chain: String,
    },
}

impl ChainName {
    /// What accepts packets before any rule of the chain, by these conditions in the words of nft or of iptables. No rule
    /// is taken away: it may have been there for something else.
    pub fn accept(&self, nft: &str, iptables: &str) -> String {
        match self {
            Self::Nft(chain) => format!("sudo nft insert rule {chain} {nft} accept"),
            Self::Iptables { table, chain } => {
                format!("sudo iptables -t {table} -I {chain} {iptables} -j ACCEPT")
            }
        }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nft(chain) => f.write_str(chain),
            Self::Iptables { table, chain } => write!(f, "{chain} of iptables' table {table}"),
        }
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(name) => write!(f, "{name} of chain {}", self.chain),
            None => write!(f, "the policy of chain {}, which drops what no rule accepts", self.chain),
        }
    }
}

/// Something a packet must have for a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A protocol: `udp`.
    Protocol(Vec<String>),
    /// A destination port, as ranges.
    To(Vec<(u16, u16)>),
    /// A source port, as ranges.
    From(Vec<(u16, u16)>),
    /// The name of the interface it came by; with `*` or `+` at the end, the beginning of one.
    Interface(Vec<String>),
    /// The destination, as first and last address.
    Destination(Vec<(Ipv4Addr, Ipv4Addr)>),
    /// What the kernel remembers of it: `new`, `established` …
    State(Vec<String>),
    /// Whom it is sent to: `multicast`, `unicast` …
    Kind(Vec<String>),
    /// Not one of the rest.
    Not(Box<Condition>),
    /// Not understood.
    Unknown,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Lets it through.
    Accept,
    /// Does not.
    Drop,
    /// Asks another chain.
    Jump(String),
    /// Asks another chain, and never comes back.
    Goto(String),
    /// Back to where it was called from.
    Return,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// All of these must hold.
    pub conditions: Vec<Condition>,
    /// What is done then.
    pub action: Action,
    /// Who it is, if it drops something.
    pub culprit: Culprit,
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The table that it belongs to; chains call others of the same table.
    pub table: String,
    /// Its name there.
    pub name: String,
    /// Where it is called by the kernel, if it is.
    pub hook: Option<Hook>,
    /// What the kernel does at its end, if that is to drop.
    pub policy: Option<Culprit>,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// All chains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset(pub Vec<Chain>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Maybe,
}

/// What a chain says of a packet.
#[derive(Debug)]
struct Verdict {
    decided: Option<Action>,
    culprit: Option<Culprit>,
    /// A rule that may apply would have accepted it.
    may_accept: bool,
    /// A rule that may apply would have dropped it.
    may_drop: Option<Culprit>,
}

impl Ruleset {
    /// Nothing that could drop anything.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|chain| chain.rules.is_empty() && chain.policy.is_none())
    }

    /// The chain, made if it is not there.
    pub fn chain(&mut self, table: &str, name: &str) -> Option<&mut Chain> {
        let known = self.0.iter().position(|chain| chain.table == table && chain.name == name);
        let at = known.unwrap_or_else(|| {
            let (table, name) = (table.to_owned(), name.to_owned());
            self.0.push(Chain { table, name, hook: None, policy: None, rules: Vec::new() });
            self.0.len().saturating_sub(1)
        });
        self.0.get_mut(at)
    }

    /// What becomes of a packet: it must pass all chains of the hook.
    pub fn fate(&self, hook: Hook, packet: &Packet) -> Fate {
        let mut may_drop = None;
        for chain in self.0.iter().filter(|chain| chain.hook == Some(hook)) {
            let verdict = self.run(chain, packet, 0);
            let (dropped, culprit) = match verdict.decided {
                Some(Action::Drop) => (true, verdict.culprit),
                Some(Action::Accept) => (false, None),
                _ => (chain.policy.is_some(), chain.policy.clone()),
            };
            match culprit.filter(|_| dropped) {
                Some(culprit) if !verdict.may_accept => return Fate::Dropped(culprit),
                Some(culprit) => may_drop = may_drop.or(Some(culprit)),
                None => may_drop = may_drop.or(verdict.may_drop),
            }
        }
        may_drop.map_or(Fate::Passed, Fate::MayBeDropped)
    }

    fn run(&self, chain: &Chain, packet: &Packet, depth: u8) -> Verdict {
        let mut verdict = Verdict { decided: None, culprit: None, may_accept: false, may_drop: None };
        for rule in &chain.rules {
            let truth = all(rule.conditions.iter().map(|condition| condition.holds(packet)));
            if truth == Truth::No {
                continue;
            }
            let (action, culprit) = match &rule.action {
                Action::Jump(name) | Action::Goto(name) if depth < DEPTH_MAX => {
                    let called =
                        self.0.iter().find(|other| other.table == chain.table && other.name == *name);
                    let Some(called) = called else { continue };
                    let inner = self.run(called, packet, depth.saturating_add(1));
                    verdict.may_accept |= inner.may_accept;
                    verdict.may_drop = verdict.may_drop.or(inner.may_drop);
                    match (inner.decided, &rule.action) {
                        (Some(action), _) => (action, inner.culprit),
                        (None, Action::Goto(_)) => (Action::Return, None),
                        (None, _) => continue,
                    }
                }
                Action::Jump(_) | Action::Goto(_) => continue,
                action => (action.clone(), Some(rule.culprit.clone())),
            };
            match (truth, action) {
                (Truth::Yes, Action::Return) => return verdict,
                (Truth::Yes, action) => return Verdict { decided: Some(action), culprit, ..verdict },
                (_, Action::Accept) => verdict.may_accept = true,
                (_, Action::Drop) => verdict.may_drop = verdict.may_drop.or(culprit),
                // What would have come behind it may be left out.
                (_, _) => verdict.may_accept = true,
            }
        }
        verdict
    }
}

fn all(truths: impl Iterator<Item = Truth>) -> Truth {
    truths.fold(Truth::Yes, |so_far, truth| match (so_far, truth) {
        (Truth::No, _) | (_, Truth::No) => Truth::No,
        (Truth::Maybe, _) | (_, Truth::Maybe) => Truth::Maybe,
        _ => Truth::Yes,
    })
}

impl Condition {
    fn holds(&self, packet: &Packet) -> Truth {
        let yes = |holds: bool| if holds { Truth::Yes } else { Truth::No };
        let port = |ranges: &[(u16, u16)], port| {
            yes(ranges.iter().any(|(low, high)| (*low..=*high).contains(&port)))
        };
        let is = |words: &[String], word: &str| words.iter().any(|one| one.eq_ignore_ascii_case(word));
        match self {
            Self::Protocol(names) => yes(is(names, "udp") || is(names, "17") || is(names, "all")),
            Self::To(ranges) => port(ranges, packet.to),
            Self::From(ranges) => port(ranges, packet.from),
            Self::Interface(names) => match packet.interface {
                Some(own) => yes(names.iter().any(|name| fits(name, own))),
                // No time server is reached by the loopback.
                None if names.iter().all(|name| name == "lo") => Truth::No,
                None => Truth::Maybe,
            },
            Self::Destination(ranges) => {
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&packet.destination));
                match (inside, packet.destination.is_multicast()) {
                    (true, _) => Truth::Yes,
                    (false, true) => Truth::No,
                    // An address that stands for any.
                    (false, false) => Truth::Maybe,
                }
            }
            Self::State(states) => yes(is(states, if packet.answer { "established" } else { "new" })),
            Self::Kind(kinds) if packet.destination.is_multicast() => yes(is(kinds, "multicast")),
            Self::Kind(kinds) => yes(is(kinds, "unicast") || is(kinds, "local") || is(kinds, "host")),
            Self::Not(other) => match other.holds(packet) {
                Truth::Yes => Truth::No,
                Truth::No => Truth::Yes,
                Truth::Maybe => Truth::Maybe,
            },
            Self::Unknown => Truth::Maybe,
        }
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix(['*', '+']) {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

/// The first and the last address of `10.0.0.0/8`, with a length or a mask, or of a single one.
pub fn network(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
    let length = match length.parse::<Ipv4Addr>() {
        Ok(mask) => u32::from(mask).leading_ones(),
        Err(_) => length.parse().ok().filter(|length| *length <= 32)?,
    };
    let host = u32::MAX.checked_shr(length).unwrap_or(0);
    Some((Ipv4Addr::from(address & !host), Ipv4Addr::from(address | host)))
}
