//! What `iptables-save` says.

use super::rules::{Action, ChainName, Condition, Culprit, Hook, Rule, Ruleset, network};

/// Adds the chains of a listing.
pub fn read(text: &str, rules: &mut Ruleset) {
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("iptables {name}");
        } else if let Some(head) = line.strip_prefix(':') {
            read_chain(head, &table, rules);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            read_rule(rule, &table, rules);
        }
    }
}

/// `INPUT DROP [0:0]`; a chain of the user's own has `-` for its policy.
fn read_chain(head: &str, table: &str, rules: &mut Ruleset) {
    let mut words = head.split_whitespace();
    let (Some(name), Some(policy)) = (words.next(), words.next()) else { return };
    let Some(chain) = rules.chain(table, name) else { return };
    let translates = table.ends_with(" nat");
    chain.hook = match name {
        _ if translates => None,
        "INPUT" | "PREROUTING" => Some(Hook::Input),
        "OUTPUT" | "POSTROUTING" => Some(Hook::Output),
        _ => None,
    };
    chain.policy = (policy == "DROP").then(|| Culprit { rule: None, chain: named(table, name) });
}

/// `INPUT -i eth0 -p udp -m udp --dport 319 -j DROP`.
fn read_rule(text: &str, table: &str, rules: &mut Ruleset) {
    let mut words = text.split_whitespace();
    let Some(name) = words.next() else { return };
    let mut conditions = Vec::new();
    let mut action = None;
    let mut negated = false;
    while let Some(word) = words.next() {
        let mut push = |condition: Option<Condition>| {
            let condition = condition.unwrap_or(Condition::Unknown);
            conditions.push(if negated { Condition::Not(Box::new(condition)) } else { condition });
        };
        let list = |word: Option<&str>| -> Option<Vec<String>> {
            Some(word?.split(',').map(str::to_owned).collect())
        };
        match word {
            "!" => {
                negated = true;
                continue;
            }
            "-p" => push(list(words.next()).map(Condition::Protocol)),
            "-i" => push(list(words.next()).map(Condition::Interface)),
            "-d" => push(words.next().and_then(network).map(|range| Condition::Destination(vec![range]))),
            "--dport" | "--dports" => push(words.next().and_then(ports).map(Condition::To)),
            "--sport" | "--sports" => push(words.next().and_then(ports).map(Condition::From)),
            "--ctstate" | "--state" => push(list(words.next()).map(Condition::State)),
            "--pkt-type" | "--dst-type" => push(list(words.next()).map(Condition::Kind)),
            "-m" | "--comment" => drop(words.next()),
            "-j" | "-g" => {
                let target = words.next().unwrap_or_default();
                action = to_action(target, word == "-g");
                break;
            }
            other if other.starts_with('-') => push(None),
            _ => {}
        }
        negated = false;
    }
    let (Some(action), Some(chain)) = (action, rules.chain(table, name)) else { return };
    let culprit = Culprit { rule: Some(format!("the rule {text}")), chain: named(table, name) };
    chain.rules.push(Rule { conditions, action, culprit });
}

fn named(table: &str, chain: &str) -> ChainName {
    let table = table.trim_start_matches("iptables ").to_owned();
    ChainName::Iptables { table, chain: chain.to_owned() }
}

/// Targets in capitals that are none of these do something beside the packet's way.
fn to_action(target: &str, goto: bool) -> Option<Action> {
    const BESIDE: [&str; 14] = [
        "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "TOS", "DSCP", "TTL", "CT", "NOTRACK", "TRACE", "AUDIT",
        "SET", "CHECKSUM",
    ];
    match target {
        "ACCEPT" => Some(Action::Accept),
        "DROP" | "REJECT" => Some(Action::Drop),
        "RETURN" => Some(Action::Return),
        beside if BESIDE.contains(&beside) => None,
        chain if goto => Some(Action::Goto(chain.to_owned())),
        chain => Some(Action::Jump(chain.to_owned())),
    }
}

/// `319`, `319:320`, `123,319:320`.
fn ports(text: &str) -> Option<Vec<(u16, u16)>> {
    let range = |part: &str| {
        let (low, high) = part.split_once(':').unwrap_or((part, part));
        let low = if low.is_empty() { 0 } else { low.parse().ok()? };
        let high = if high.is_empty() { u16::MAX } else { high.parse().ok()? };
        Some((low, high))
    };
    text.split(',').map(range).collect()
}
