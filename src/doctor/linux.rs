//! What is examined on Linux, in this order.

use std::io;
use std::path::Path;

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
    let state = state(host, request.state_file.as_deref(), &rights, account.as_ref());

    let opening = mend_of(&firewall, Problem::FirewallDropsNtp);
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
        ntp::check(&heard.servers, clock_now(&clock), opening.as_deref(), Os::Linux),
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

/// The state's folder, as the service finds it: what its unit hides or protects is so for it alone.
fn state(
    host: &Host,
    file: Option<&Path>,
    rights: &rights::Facts,
    account: Option<&Account>,
) -> state::Facts {
    let seen_from = rights.service.filter(|_| rights.root).map(|pid| host.path(format!("/proc/{pid}/root")));
    let seen_from = seen_from.filter(|root| root.is_dir()).unwrap_or_else(|| host.path("/"));
    let lies = |file: &Path| seen_from.join(file.strip_prefix("/").unwrap_or(file));
    let mut facts = state::look(file.map(lies).as_deref(), rights.root, Os::Linux);
    let called = file.and_then(Path::parent).map(Path::to_owned);
    let runs = rights.service.is_some();
    let own = Path::new(state::OWN_FOLDER);
    let (is_own, is_inside) =
        called.as_deref().map_or((false, false), |it| (it == own, it != own && it.starts_with(own)));
    let may_write = |account: &Account, folder: &Path| {
        let there = folder.ancestors().find(|folder| folder.exists());
        there.is_none_or(|folder| account.may(Want::Write, folder))
    };
    let refused = account.zip(facts.folder.as_deref()).filter(|(account, folder)| match facts.written {
        // systemd gives the service's own folder its owner at each start, and what it lacks there the service makes.
        _ if is_own && !runs => false,
        state::Written::ToBeMade if is_inside && !runs => false,
        // The unit lets it make nothing elsewhere.
        state::Written::ToBeMade if !runs => true,
        state::Written::Yes | state::Written::ToBeMade => !may_write(account, folder),
        _ => false,
    });
    let refused = refused.map(|(account, folder)| {
        // What is there is refused, and not what is to be made in it.
        (account.name.clone(), folder.ancestors().take_while(|folder| !folder.exists()).count())
    });
    // As it is called.
    facts.folder = called;
    if let Some((user, missing)) = refused {
        facts.written = state::Written::ForbiddenFor(user);
        if is_inside {
            facts.folder = facts.folder.and_then(|folder| Some(folder.ancestors().nth(missing)?.to_owned()));
        }
    }
    facts
}

/// How many packets have come in by each interface since it was switched on.
fn arrived(host: &Host, cards: &interfaces::Facts) -> Vec<(String, u64)> {
    let count = |name: &str| host.number(format!("/sys/class/net/{name}/statistics/rx_packets"));
    cards.cards.iter().filter_map(|card| Some((card.name.clone(), count(&card.name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::host::made_up::World;

    #[test]
    fn where_a_stopped_service_may_write_is_asked_of_its_user_and_not_of_root() {
        let world = World::new()
            .file("/etc/passwd", "dts:x:64999:64999::/:/bin/false\n")
            .file("/srv/a/there", "")
            .file("/var/lib/dantetimesync/state.json", "")
            .file("/var/lib/dantetimesync/roots/state.json", "");
        let host = world.host();
        let account = Account::named(&host, "dts");
        assert!(account.is_some());
        let rights = rights::Facts { root: true, service: None, ..rights::look(&host, false) };
        let seen = |file: &str| {
            let facts = state(&host, Some(Path::new(file)), &rights, account.as_ref());
            state::check(&facts).remove(0)
        };
        for elsewhere in ["/srv/a/state.json", "/srv/a/b/state.json"] {
            let found = seen(elsewhere);
            assert_eq!(found.problem, Some(Problem::StateReadOnly), "{found:?}");
            assert!(found.seen.contains("cannot be written by dts"), "{}", found.seen);
            let mend = found.mend.unwrap();
            assert!(mend.starts_with("state-file = \"/var/lib/dantetimesync/state.json\""), "{mend}");
        }
        let own = "/var/lib/dantetimesync";
        assert_eq!(seen(&format!("{own}/state.json")).problem, None, "systemd gives it to the service");
        assert_eq!(seen(&format!("{own}/new/state.json")).problem, None, "the service makes it there");
        let found = seen(&format!("{own}/roots/state.json"));
        assert_eq!(found.mend, Some(format!("sudo chown dts: {own}/roots")), "{found:?}");
        // A service that runs could not make it there: what refuses is what is there.
        let running = rights::Facts { service: Some(77), ..rights };
        let file = format!("{own}/roots/new/state.json");
        let facts = state(&host, Some(Path::new(&file)), &running, account.as_ref());
        let found = state::check(&facts).remove(0);
        assert_eq!(found.mend, Some(format!("sudo chown dts: {own}/roots")), "{found:?}");
    }
}
