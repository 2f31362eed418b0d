use super::*;
use crate::doctor::host::made_up::World;

fn facts(world: &World) -> Facts {
    look(&world.host(), Scope { interfaces: vec!["eth0".to_owned()], ..Scope::default() })
}

fn found(world: &World) -> Vec<Finding> {
    check(&facts(world))
}

fn problem(world: &World) -> Option<Problem> {
    found(world)[0].problem
}

/// A table with an input chain of this policy, and these rules in it.
fn nft(policy: &str, rules: &[&str]) -> World {
    let rules: Vec<String> = rules
        .iter()
        .enumerate()
        .map(|(at, expr)| {
            let handle = at + 4;
            format!(r#",{{"rule":{{"family":"inet","table":"filter","chain":"input","handle":{handle},"expr":[{expr}]}}}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"nftables":[{{"metainfo":{{"version":"1.0.6"}}}},{{"table":{{"family":"inet","name":"filter"}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"input","type":"filter","hook":"input","prio":0,"policy":"{policy}"}}}},
        {{"chain":{{"family":"inet","table":"filter","name":"dante"}}}},
        {{"rule":{{"family":"inet","table":"filter","chain":"dante","handle":99,"expr":[
            {{"match":{{"op":"==","left":{{"payload":{{"protocol":"udp","field":"dport"}}}},"right":{{"range":[319,320]}}}}}},{{"accept":null}}]}}}}
        {}]}}"#,
        rules.concat()
    );
    World::new().program("nft -j list ruleset", Ok(text))
}

fn iptables(rules: &str) -> World {
    let text = format!("*filter\n:INPUT {rules}\nCOMMIT\n");
    World::new().program("iptables-save", Ok(text))
}

const DROP_319: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":319}},{"drop":null}"#;
const ESTABLISHED: &str = r#"{"vmap":{"key":{"ct":{"key":"state"}},"data":{"set":[["established",{"accept":null}],["invalid",{"drop":null}]]}}}"#;
const MULTICAST: &str = r#"{"match":{"op":"==","left":{"fib":{"result":"type","flags":["daddr"]}},"right":"multicast"}},{"accept":null}"#;
const LOOPBACK: &str =
    r#"{"match":{"op":"==","left":{"meta":{"key":"iifname"}},"right":"lo"}},{"accept":null}"#;
const BY_SOURCE: &str = r#"{"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"saddr"}},"right":"@friends"}},{"accept":null}"#;

#[test]
fn no_rules_and_no_tools_are_fine() {
    assert_eq!(problem(&World::new()), None);
    let empty = World::new().program("nft", Ok(r#"{"nftables":[{"metainfo":{}}]}"#.to_owned()));
    assert_eq!(found(&empty)[0].seen, "there are no rules");
}

#[test]
fn a_rule_that_drops_a_port_is_named_with_one_that_lets_it_in_before() {
    let found = found(&nft("accept", &[LOOPBACK, DROP_319]));
    assert_eq!(found[0].problem, Some(Problem::FirewallDropsPtp));
    assert_eq!(found[0].seen, "UDP 319 on eth0 is dropped by rule 5 of chain inet filter input");
    let before = "sudo nft insert rule inet filter input iifname eth0 udp dport { 319, 320 } accept";
    assert_eq!(found[0].mend.as_deref(), Some(before));
}

#[test]
fn a_policy_that_drops_is_told_unless_a_rule_lets_ptp_in() {
    let shut = found(&nft("drop", &[LOOPBACK, ESTABLISHED]));
    assert_eq!(shut[0].problem, Some(Problem::FirewallDropsPtp));
    assert!(
        shut[0]
            .mend
            .as_deref()
            .unwrap()
            .starts_with("sudo nft insert rule inet filter input iifname eth0 udp dport { 319, 320 }")
    );
    assert_eq!(problem(&nft("drop", &[ESTABLISHED, MULTICAST])), None);
    assert_eq!(problem(&nft("drop", &[ESTABLISHED, r#"{"jump":{"target":"dante"}}"#])), None);
    let set = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"dport"}},"right":{"set":[53,{"range":[319,320]}]}}},{"accept":null}"#;
    assert_eq!(problem(&nft("drop", &[ESTABLISHED, set])), None);
}

#[test]
fn what_is_not_understood_may_be() {
    assert_eq!(problem(&nft("drop", &[ESTABLISHED, BY_SOURCE])), Some(Problem::FirewallMayDrop));
    let limited = r#"{"limit":{"rate":1,"per":"second"}},{"drop":null}"#;
    assert_eq!(problem(&nft("accept", &[limited])), Some(Problem::FirewallMayDrop));
    // What is heard is not dropped.
    let world = nft("drop", &[ESTABLISHED, BY_SOURCE]);
    let mut heard = facts(&world);
    heard.scope.heard = vec!["eth0".to_owned()];
    assert_eq!(check(&heard)[0].problem, None);
}

#[test]
fn where_syncs_are_missing_a_rule_may_limit_them() {
    let among = |rules: &[&str]| {
        let mut losing = facts(&nft("accept", rules));
        losing.scope.heard = vec!["eth0".to_owned()];
        assert_eq!(check(&losing)[0].problem, None);
        losing.scope.losing = vec!["eth0".to_owned()];
        check(&losing).remove(0)
    };
    let found = among(&[r#"{"limit":{"rate":3,"per":"second","inv":true}},{"drop":null}"#]);
    assert_eq!(found.problem, Some(Problem::FirewallMayDrop));
    assert!(
        found.seen.contains("rule 4 of chain inet filter input: Syncs are missing there"),
        "{}",
        found.seen
    );
    // A rule that would drop all of them is misread: some come.
    assert_eq!(among(&[DROP_319]).problem, None);
}

#[test]
fn answers_of_time_servers_need_a_way_in() {
    let shut = nft("drop", &[LOOPBACK, MULTICAST]);
    assert_eq!(problem(&shut), Some(Problem::FirewallDropsNtp));
    let mend = |world: &World| found(world)[0].mend.clone().unwrap();
    assert_eq!(mend(&shut), "sudo nft insert rule inet filter input ct state established,related accept");
    let rule = r#"{"match":{"op":"==","left":{"payload":{"protocol":"udp","field":"sport"}},"right":123}},{"drop":null}"#;
    let rule = nft("accept", &[rule]);
    assert_eq!(problem(&rule), Some(Problem::FirewallDropsNtp));
    assert_eq!(mend(&rule), "sudo nft insert rule inet filter input udp sport 123 accept");
    let mut answered = facts(&shut);
    answered.scope.ntp_answered = true;
    assert_eq!(check(&answered)[0].problem, None);
    assert_eq!(problem(&nft("drop", &[ESTABLISHED, MULTICAST])), None);
}

#[test]
fn iptables_is_understood_too() {
    let dropped = found(&iptables("ACCEPT [0:0]\n-A INPUT -i eth0 -p udp -m udp --dport 319:320 -j DROP"));
    assert_eq!(dropped[0].problem, Some(Problem::FirewallDropsPtp));
    assert_eq!(
        dropped[0].seen,
        "UDP 319 on eth0 is dropped by the rule INPUT -i eth0 -p udp -m udp --dport 319:320 -j DROP of chain INPUT of \
         iptables' table filter"
    );
    let before = "sudo iptables -t filter -I INPUT -i eth0 -p udp --dport 319:320 -j ACCEPT";
    assert_eq!(dropped[0].mend.as_deref(), Some(before));
    let other = iptables("ACCEPT [0:0]\n-A INPUT -i eth1 -p udp -m udp --dport 319:320 -j DROP");
    assert_eq!(problem(&other), None);
    let shut = iptables("DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
    assert!(
        found(&shut)[0]
            .mend
            .as_deref()
            .unwrap()
            .starts_with("sudo iptables -t filter -I INPUT -i eth0 -p udp --dport 319:320")
    );
    let opened = iptables(
        "DROP [0:0]\n:dante - [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         -A INPUT ! -i lo -p udp -j dante\n-A dante -d 224.0.0.0/4 -p udp -m multiport --dports 319,320 -j ACCEPT",
    );
    assert_eq!(problem(&opened), None);
    let recent = iptables("ACCEPT [0:0]\n-A INPUT -p udp -m recent --rcheck --seconds 60 -j DROP");
    assert_eq!(problem(&recent), Some(Problem::FirewallMayDrop));
}

#[test]
fn tables_that_iptables_keeps_in_nftables_are_read_once() {
    let old = r#"{"nftables":[{"chain":{"family":"ip","table":"filter","name":"INPUT","type":"filter","hook":"input","policy":"drop"}},
        {"rule":{"family":"ip","table":"filter","chain":"INPUT","handle":3,"expr":[{"xt":null},{"accept":null}]}}]}"#;
    let world = iptables("ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT").program("nft", Ok(old.to_owned()));
    assert_eq!(problem(&world), None);
    let alone = World::new().program("nft", Ok(old.to_owned()));
    assert_eq!(problem(&alone), Some(Problem::FirewallMayDrop));
}

#[test]
fn what_only_root_may_read_is_skipped() {
    let refused = "Operation not permitted (you must be root)\nmore".to_owned();
    let world = World::new().program("nft", Err(Unanswered::Refused(refused)));
    let found = found(&world);
    assert_eq!(found[0].problem, Some(Problem::FirewallUnread));
    assert!(found[0].seen.contains("you must be root") && !found[0].seen.contains("more"));
}

#[test]
fn networks_are_ranges() {
    let range = |text| rules::network(text).unwrap();
    assert_eq!(range("224.0.0.0/4"), (Ipv4Addr::new(224, 0, 0, 0), Ipv4Addr::new(239, 255, 255, 255)));
    assert_eq!(range("10.0.0.7/255.255.255.0"), (Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 0, 0, 255)));
    assert_eq!(range("0.0.0.0/0"), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    assert_eq!(range("10.0.0.7").0, range("10.0.0.7").1);
    assert!(rules::network("10.0.0.0/40").is_none() && rules::network("fe80::/10").is_none());
}

proptest::proptest! {
    #[test]
    fn any_listing_is_survived(text in ".{0,200}", words in proptest::collection::vec("[!a-zA-Z0-9:,/.-]{1,12}", 0..12)) {
        let line = format!("*filter\n:INPUT DROP\n-A INPUT {}\n-A INPUT -j INPUT\n{text}", words.join(" "));
        let world = World::new().program("nft", Ok(text)).program("iptables-save", Ok(line));
        let _ = found(&world);
    }

    #[test]
    fn any_expression_is_survived(
        left in "[a-z]{2,8}", field in "(dport|sport|daddr|saddr|protocol)", right in "[0-9a-z@./]{0,12}",
        op in "(==|!=|<|in)", end in "(accept|drop|jump|vmap|limit)",
    ) {
        let rule = format!(r#"{{"match":{{"op":"{op}","left":{{"payload":{{"protocol":"{left}","field":"{field}"}}}},"right":"{right}"}}}},{{"{end}":{{"target":"dante","key":"{right}"}}}}"#);
        let _ = found(&nft("drop", &[&rule]));
    }
}
