//! What is examined on Linux, in this order.

use std::io;

use super::command::{Examination, Request};
use super::finding::{Finding, Problem};
use super::host::Host;
use super::listen::{Plan, Session};
use super::measured::{arrived_since, best_link, clock_now, measured};
use super::os::Os;
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
    let named = request.interface.as_deref();
    let rights = rights::look(host);
    let rivals = rivals::look(host);
    // Before sockets of our own hold them too.
    let ports = ports::look(host);
    let subnets = subnets()?;
    let cards = interfaces::linux::look(host, named, &subnets);
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
        service: rights.service,
        rivals: rivals.steering.iter().map(ToString::to_string).collect(),
        os: Os::Linux,
    };
    let multicast = multicast::look(host, &memberships, &heard, &subnets, named);
    let qualified = heard.links.iter().filter(|link| !link.qualified().is_empty());
    let scope = firewall::Scope {
        interfaces: cards.listening().map(|card| card.name.clone()).collect(),
        heard: qualified.map(|link| link.interface.name.clone()).collect(),
        ntp_answered: heard.servers.is_empty()
            || heard.servers.iter().any(|server| !server.answers.is_empty()),
    };
    let firewall = firewall::check(&firewall::look(host, scope));
    let packets = packets::Facts {
        heard: &heard,
        named,
        filtered: multicast.filtered(),
        firewall: opening(&firewall),
        arrived: arrived_since(&arrived, self::arrived(host, &cards)),
        os: Os::Linux,
    };
    let leader = leader::Facts { leader: judged.clone(), utc: ntp::utc_rate(&heard.servers) };
    let jitter_ns = judged.as_ref().and_then(|judged| judged.jitter).map(|jitter| jitter.sd_ns);
    let machine = machine::linux::look(host, ticks, jitter_ns);
    let processor = processor::look(host, jitter_ns);
    let service = service::linux::look(host, request.status_socket.as_deref());
    let config = config::look(&host.path(&request.config_file), &request.config_faults);
    let state_folder = request.state_file.as_deref().map(|file| host.path(file));
    let state = state::look(state_folder.as_deref(), rights.root, Os::Linux);

    let findings: Vec<Vec<Finding>> = vec![
        rights::check(&rights),
        rivals::check(&rivals),
        clock::check(&clock),
        ports::check(&ports),
        interfaces::check(&cards),
        stamps::check(&stamps),
        multicast::check(&multicast),
        packets::check(&packets),
        firewall,
        leader::check(&leader),
        ntp::check(&heard.servers, clock_now(&clock), Os::Linux),
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

/// What lets PTP in, where the firewall keeps it out.
fn opening(firewall: &[Finding]) -> Option<String> {
    firewall.iter().find(|finding| finding.problem == Some(Problem::FirewallDropsPtp))?.mend.clone()
}

/// How many packets have come in by each interface since it was switched on.
fn arrived(host: &Host, cards: &interfaces::Facts) -> Vec<(String, u64)> {
    let count = |name: &str| host.number(format!("/sys/class/net/{name}/statistics/rx_packets"));
    cards.cards.iter().filter_map(|card| Some((card.name.clone(), count(&card.name)?))).collect()
}
