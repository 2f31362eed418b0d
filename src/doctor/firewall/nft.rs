//! What `nft -j list ruleset` says.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::rules::{Action, ChainName, Condition, Culprit, Hook, Rule, Ruleset, network};

/// Names of the tables that iptables keeps in nftables; it prints them better itself.
const OLD_TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// Adds the chains of a listing. With `without_old`, those of iptables are left out.
pub fn read(text: &str, without_old: bool, rules: &mut Ruleset) {
    let Ok(listing) = serde_json::from_str::<Value>(text) else { return };
    let entries = listing.get("nftables").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_old = |entry: &Value, chain: &str| {
        let table = entry.get("table").and_then(Value::as_str).unwrap_or_default();
        let family = entry.get("family").and_then(Value::as_str);
        without_old
            && family == Some("ip")
            && OLD_TABLES.contains(&table)
            && !chain.chars().any(char::is_lowercase)
    };
    let old: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.get("chain"))
        .filter(|chain| chain.get("hook").is_some())
        .filter(|chain| is_old(chain, text_of(chain, "name")))
        .map(table_of)
        .collect();
    for entry in &entries {
        if let Some(chain) = entry.get("chain").filter(|chain| !old.contains(&table_of(chain))) {
            read_chain(chain, rules);
        }
        if let Some(rule) = entry.get("rule").filter(|rule| !old.contains(&table_of(rule))) {
            read_rule(rule, rules);
        }
    }
}

fn text_of<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn table_of(value: &Value) -> String {
    format!("{} {}", text_of(value, "family"), text_of(value, "table"))
}

fn read_chain(value: &Value, rules: &mut Ruleset) {
    // Other families never see IPv4.
    if !matches!(text_of(value, "family"), "ip" | "inet" | "netdev") {
        return;
    }
    let (table, name) = (table_of(value), text_of(value, "name"));
    let Some(chain) = rules.chain(&table, name) else { return };
    let translates = text_of(value, "type") == "nat";
    chain.hook = match text_of(value, "hook") {
        _ if translates => None,
        "input" | "prerouting" | "ingress" => Some(Hook::Input),
        "output" | "postrouting" => Some(Hook::Output),
        _ => None,
    };
    let drops = text_of(value, "policy") == "drop";
    chain.policy = drops.then(|| Culprit { rule: None, chain: ChainName::Nft(format!("{table} {name}")) });
}

fn read_rule(value: &Value, rules: &mut Ruleset) {
    let (table, name) = (table_of(value), text_of(value, "chain"));
    let handle = value.get("handle").and_then(Value::as_u64).unwrap_or_default();
    let chain = ChainName::Nft(format!("{table} {name}"));
    let culprit = Culprit { rule: Some(format!("rule {handle}")), chain };
    let mut conditions = Vec::new();
    let mut made = Vec::new();
    for statement in value.get("expr").and_then(Value::as_array).into_iter().flatten() {
        let Some((kind, content)) = statement.as_object().and_then(|object| object.iter().next()) else {
            continue;
        };
        let with = |conditions: &[Condition], action| Rule {
            conditions: conditions.to_vec(),
            action,
            culprit: culprit.clone(),
        };
        match kind.as_str() {
            "match" => conditions.push(condition(content)),
            "vmap" => {
                for (key, action) in choices(content) {
                    let more: Vec<Condition> = conditions.iter().cloned().chain([key]).collect();
                    made.push(with(&more, action));
                }
            }
            // They do something beside the packet's way, or narrow it down in ways that are not followed.
            "counter" | "log" | "comment" | "mangle" | "notrack" | "queue" => {}
            "limit" | "quota" | "xt" | "ct count" | "connlimit" => conditions.push(Condition::Unknown),
            _ => {
                if let Some(action) = action(kind, content) {
                    made.push(with(&conditions, action));
                }
            }
        }
    }
    if let Some(chain) = rules.chain(&table, name) {
        chain.rules.extend(made);
    }
}

fn action(kind: &str, content: &Value) -> Option<Action> {
    let target = || content.get("target").and_then(Value::as_str).map(str::to_owned);
    match kind {
        "accept" => Some(Action::Accept),
        "drop" | "reject" => Some(Action::Drop),
        "return" => Some(Action::Return),
        "jump" => target().map(Action::Jump),
        "goto" => target().map(Action::Goto),
        _ => None,
    }
}

/// A map of verdicts: `ct state vmap { established : accept, invalid : drop }`.
fn choices(content: &Value) -> Vec<(Condition, Action)> {
    let key = content.get("key").unwrap_or(&Value::Null);
    let pairs = content.get("data").and_then(|data| data.get("set")).and_then(Value::as_array);
    let read = |pair: &Value| {
        let [value, verdict] = pair.as_array()?.as_slice() else { return None };
        let (kind, content) = verdict.as_object()?.iter().next()?;
        Some((field(key, value), action(kind, content)?))
    };
    pairs.into_iter().flatten().filter_map(read).collect()
}

fn condition(content: &Value) -> Condition {
    let null = &Value::Null;
    let (left, right) = (content.get("left").unwrap_or(null), content.get("right").unwrap_or(null));
    let holds = field(left, right);
    match text_of(content, "op") {
        "==" | "in" => holds,
        "!=" => Condition::Not(Box::new(holds)),
        _ => Condition::Unknown,
    }
}

/// What a field must be.
fn field(left: &Value, right: &Value) -> Condition {
    let payload = left.get("payload");
    let place = payload.map(|payload| (text_of(payload, "protocol"), text_of(payload, "field")));
    let key = |name: &str| left.get(name).map_or("", |value| text_of(value, "key"));
    let read = match (place, key("meta"), key("ct")) {
        (Some(("udp" | "th", "dport")), ..) => ports(right).map(Condition::To),
        (Some(("udp" | "th", "sport")), ..) => ports(right).map(Condition::From),
        (Some(("ip", "daddr")), ..) => networks(right).map(Condition::Destination),
        (Some(("ip", "protocol")), ..) | (None, "l4proto", _) => words(right).map(Condition::Protocol),
        (Some(("ip", _)), ..) => None,
        // Another protocol than ours.
        (Some(("tcp" | "icmp" | "icmpv6" | "igmp" | "ip6" | "sctp" | "dccp" | "arp" | "ether", _)), ..) => {
            Some(Condition::Protocol(vec!["another".to_owned()]))
        }
        (None, "iifname" | "iif", _) => words(right).map(Condition::Interface),
        (None, "pkttype", _) => words(right).map(Condition::Kind),
        (None, "nfproto", _) => words(right).map(|words| {
            let ours = words.iter().any(|word| word == "ipv4");
            Condition::Protocol(vec![if ours { "all" } else { "another" }.to_owned()])
        }),
        (None, _, "state") => words(right).map(Condition::State),
        _ if is_destination_type(left) => words(right).map(Condition::Kind),
        _ => None,
    };
    read.unwrap_or(Condition::Unknown)
}

/// `fib daddr type multicast`.
fn is_destination_type(left: &Value) -> bool {
    let Some(fib) = left.get("fib") else { return false };
    let flags = fib.get("flags");
    let daddr = |flags: &Value| {
        flags.as_str() == Some("daddr")
            || flags.as_array().is_some_and(|all| all.len() == 1 && all.iter().any(|flag| flag == "daddr"))
    };
    text_of(fib, "result") == "type" && flags.is_some_and(daddr)
}

/// A value, or the values of a set; nothing for a set that stands elsewhere.
fn values(right: &Value) -> Option<Vec<&Value>> {
    match right {
        Value::Array(all) => Some(all.iter().collect()),
        Value::Object(object) => match object.get("set") {
            Some(Value::Array(all)) => Some(all.iter().collect()),
            Some(one) => Some(vec![one]),
            None => Some(vec![right]),
        },
        Value::String(name) if name.starts_with('@') => None,
        other => Some(vec![other]),
    }
}

fn words(right: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    values(right)?.into_iter().map(word).collect()
}

fn ports(right: &Value) -> Option<Vec<(u16, u16)>> {
    let port = |value: &Value| match value {
        Value::Number(number) => number.as_u64().and_then(|number| u16::try_from(number).ok()),
        Value::String(name) => named_port(name),
        _ => None,
    };
    let range = |value: &Value| match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        Some([low, high]) => Some((port(low)?, port(high)?)),
        _ => port(value).map(|port| (port, port)),
    };
    values(right)?.into_iter().map(range).collect()
}

/// The names that `/etc/services` has for our ports.
fn named_port(name: &str) -> Option<u16> {
    match name {
        "ptp-event" => Some(319),
        "ptp-general" => Some(320),
        "ntp" => Some(123),
        _ => name.parse().ok(),
    }
}

fn networks(right: &Value) -> Option<Vec<(Ipv4Addr, Ipv4Addr)>> {
    let one = |value: &Value| {
        if let Some(prefix) = value.get("prefix") {
            let length = prefix.get("len").and_then(Value::as_u64)?;
            return network(&format!("{}/{length}", text_of(prefix, "addr")));
        }
        match value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
            Some([low, high]) => Some((low.as_str()?.parse().ok()?, high.as_str()?.parse().ok()?)),
            _ => network(value.as_str()?),
        }
    };
    values(right)?.into_iter().map(one).collect()
}
