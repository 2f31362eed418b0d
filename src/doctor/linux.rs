//! What is examined on Linux, in this order.

use std::io;

use super::account::{Account, Want};
use super::command::{Examination, Request};
use super::finding::{Finding, Problem, mend_of};
use super::host::Host;
use super::listen::{Plan, Session};
use super::measured::{arrived_since, best_link, clock_now, measured};
use super::os::Os;
use super::traffic::{Link, Tally};
use super::{
    clock, config, firewall, interfaces, leader, machine, multicast, ntp, packets, ports, processor, rights,
    rivals, service, stamps, state,
};
use crate::net::interface::subnets;
use crate::time::Span;

/// Examines a computer; `progress` hears how listening goes on.
///
/// # Errors
/// When neither clock nor interfaces can be read.
pub fn examine(host: &Host, request: &Request, progress: impl FnMut(i64, u64)) -> io::Result<Examination> {
    let rights = rights::look(host, request.dry_run);
    let rivals = rivals::look(host);
    // Before sockets of our own hold them too.
    let ports = ports::look(host);
    let subnets = subnets()?;
    let cards = interfaces::linux::look(host, request.interface.as_deref(), &subnets);
    // It may have been given by its address.
    let named = cards.named.as_deref();
    let stamps = stamps::look(cards.listening().map(|card| card.name.as_str()));
    let (ticks, arrived) = (machine::linux::ticks(host), arrived(host, &cards));

    let session = Session::open(&Plan {
        length: Span::from_secs(request.seconds.into()),
        interface: request.interface.clone(),
        subdomain: request.subdomain,
        servers: request.servers.clone(),
        capture: request.capture,
    })?;
    let memberships = multicast::memberships(host);
    let heard = session.listen(progress)?;

    let best = best_link(&heard, named);
    let judged = best.and_then(|link| link.judged(heard.ended));
    let clock = clock::Facts {
        looks: heard.looks.clone(),
        leftovers: heard.leftovers.clone(),
        // One that only watches steers nothing.
        service: rights.service.filter(|_| !request.dry_run),
        rivals: rivals.steering.iter().map(ToString::to_string).collect(),
        os: Os::Linux,
    };
    let multicast = multicast::look(host, &memberships, &heard, &subnets, named);
    let qualified = || heard.links.iter().filter(|link| !link.qualified().is_empty());
    let losing = qualified().filter(|link| link.tallies.iter().any(Tally::loses));
    let name = |link: &Link| link.interface.name.clone();
    let scope = firewall::Scope {
        interfaces: cards.listening().map(|card| card.name.clone()).collect(),
        heard: qualified().map(name).collect(),
        losing: losing.map(name).collect(),
        ntp_answered: ntp::gets_through(&heard.servers),
    };
    let firewall = firewall::check(&firewall::look(host, scope));
    let packets = packets::Facts {
        heard: &heard,
        named,
        filtered: multicast.filtered(),
        firewall: mend_of(&firewall, Problem::FirewallDropsPtp),
        arrived: arrived_since(&arrived, self::arrived(host, &cards)),
        os: Os::Linux,
    };
    let leader = leader::Facts { leader: judged.clone(), utc: ntp::utc_rate(&heard.servers) };
    let jitter_ns = judged.as_ref().and_then(|judged| judged.jitter).map(|jitter| jitter.sd_ns);
    let packets = packets::check(&packets);
    let unheard = packets.iter().any(|finding| finding.problem == Some(Problem::NoPtp));
    let machine = machine::linux::look(host, ticks, jitter_ns, unheard);
    let processor = processor::look(host, jitter_ns);
    let unit = service::linux::unit(host);
    let account = unit.as_ref().and_then(|unit| Account::named(host, unit.user.as_deref()?));
    let rival = !rivals.steering.is_empty();
    let service = service::linux::look(host, unit, request.status_socket.as_deref(), rival);
    let config = config(host, request, account.as_ref());
    let state = state::linux::look(host, request.state_file.as_deref(), &rights, account.as_ref());

    let opening = mend_of(&firewall, Problem::FirewallDropsNtp);
    let ntp = ntp::Facts {
        servers: &heard.servers,
        unknown: !request.config_faults.is_empty(),
        now: clock_now(&clock),
        opening: opening.as_deref(),
        os: Os::Linux,
    };
    let findings: Vec<Vec<Finding>> = vec![
        rights::check(&rights),
        rivals::check(&rivals),
        clock::check(&clock),
        ports::check(&ports),
        interfaces::check(&cards),
        stamps::check(&stamps),
        multicast::check(&multicast),
        packets,
        firewall,
        leader::check(&leader),
        ntp::check(&ntp),
        processor::check_clock_source(&processor),
        processor::check_power(&processor),
        machine::check(&machine),
        service::check(&service),
        config::check(&config),
        state::check(&state),
    ];
    let measured = measured(&heard, best, judged.as_ref(), leader.utc, &clock);
    Ok(Examination { findings: findings.concat(), measured })
}

/// The configuration file, as the service's user finds it.
fn config(host: &Host, request: &Request, account: Option<&Account>) -> config::Facts {
    let mut facts = config::look(&host.path(&request.config_file), request, Os::Linux);
    let unreadable = account.filter(|account| facts.exists && !account.may(Want::Read, &facts.file));
    facts.unreadable_for = unreadable.map(|account| account.name.clone());
    facts
}

/// How many packets have come in by each interface since it was switched on.
fn arrived(host: &Host, cards: &interfaces::Facts) -> Vec<(String, u64)> {
    let count = |name: &str| host.number(format!("/sys/class/net/{name}/statistics/rx_packets"));
    cards.cards.iter().filter_map(|card| Some((card.name.clone(), count(&card.name)?))).collect()
}
