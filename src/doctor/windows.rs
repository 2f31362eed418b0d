//! What is examined on Windows, in this order.

mod firewall;
pub mod host;
mod multicast;
mod ports;
mod processor;
mod rights;
mod rivals;
mod stamps;
#[cfg(windows)]
pub mod this;
mod trial;

use super::command::{Examination, Request};
use super::finding::{Finding, Problem, mend_of};
use super::measured::{arrived_since, best_link, clock_now, measured};
use super::os::Os;
use super::traffic::Heard;
use super::{clock, config, interfaces, leader, machine, ntp, packets, service, state};
use host::{Adapter, Host};

/// Where the firmware's words about the computer stand.
const FIRMWARE: &str = r"HARDWARE\DESCRIPTION\System\BIOS";

/// Examines this computer; `progress` hears how listening goes on.
///
/// # Errors
/// When neither clock nor interfaces can be read.
#[cfg(windows)]
pub fn examine(
    host: &impl Host,
    request: &Request,
    progress: impl FnMut(i64, u64),
) -> std::io::Result<Examination> {
    use super::listen::{Plan, Session};
    let before = Before::look(host, request);
    let session = Session::open(&Plan {
        length: crate::time::Span::from_secs(request.seconds.into()),
        interface: request.interface.clone(),
        subdomain: request.subdomain,
        servers: request.servers.clone(),
        capture: request.capture,
    })?;
    let heard = session.listen(progress)?;
    Ok(judge(host, request, before, &heard))
}

/// What must be looked at before sockets of our own are open.
struct Before {
    rights: rights::Facts,
    ports: ports::Facts,
    arrived: Vec<(String, u64)>,
}

impl Before {
    fn look(host: &impl Host, request: &Request) -> Self {
        let service = service::windows::look(host, None, false).process;
        let rights = rights::look(host, service);
        Self {
            rights,
            ports: ports::look(host, request.capture, rights.own.administrator, service),
            arrived: arrived(&host.adapters()),
        }
    }
}

/// Looks at the rest, tries the clock where nobody steers it, and judges everything.
fn judge(host: &impl Host, request: &Request, before: Before, heard: &Heard) -> Examination {
    let Before { rights, mut ports, arrived: arrived_before } = before;
    let rivals = rivals::look(host);
    let cards = interfaces::windows::look(host, request.interface.as_deref());
    // It may have been given by its address.
    let named = cards.named.as_deref();
    let best = best_link(heard, named);
    let judged = best.and_then(|link| link.judged(heard.ended));
    let jitter_ns = judged.as_ref().and_then(|judged| judged.jitter).map(|jitter| jitter.sd_ns);
    ports.listened = !heard.links.is_empty();
    let clock = clock::Facts {
        looks: heard.looks.clone(),
        leftovers: heard.leftovers.clone(),
        service: rights.service,
        rivals: rivals.steering(),
        os: Os::Windows,
    };
    let trial = match rights.service {
        Some(pid) => trial::Facts::ByService(pid),
        None => trial::Facts::of(may_try(&rights, &rivals).and_then(|()| host.try_clock())),
    };
    let listening: Vec<String> = cards.listening().map(|card| card.name.clone()).collect();
    let mut stamps = stamps::Facts { jitter_ns, ..stamps::look(host, &listening) };
    for card in &mut stamps.cards {
        let link = heard.links.iter().find(|link| link.interface.name == card.name);
        card.stamped_by = link.and_then(|link| link.stamped_by);
    }
    let someone = heard.links.iter().any(|link| !link.qualified().is_empty());
    let firewall = firewall::check(&firewall::look(host, someone, ntp::gets_through(&heard.servers)));
    let opening = mend_of(&firewall, Problem::FirewallDropsNtp);
    let packets = packets::Facts {
        heard,
        named,
        filtered: None,
        firewall: None,
        arrived: arrived_since(&arrived_before, arrived(&host.adapters())),
        os: Os::Windows,
    };
    let leader = leader::Facts { leader: judged.clone(), utc: ntp::utc_rate(&heard.servers) };
    let machine = machine::Facts {
        virtual_machine: machine::maker(&firmware(host)),
        jitter_ns,
        os: Os::Windows,
        ..machine::Facts::default()
    };
    let processor = processor::look(host, jitter_ns);
    let rival = !rivals.steering().is_empty();
    let service = service::windows::look(host, request.status_socket.as_deref(), rival);
    let config = config::look(&request.config_file, request, Os::Windows);
    let state = state::look(request.state_file.as_deref(), rights.own.administrator, Os::Windows);

    let ntp = ntp::Facts {
        servers: &heard.servers,
        unknown: !request.config_faults.is_empty(),
        now: clock_now(&clock),
        opening: opening.as_deref(),
        os: Os::Windows,
    };
    let findings: Vec<Vec<Finding>> = vec![
        rights::check(&rights),
        rivals::check(&rivals),
        clock::check(&clock),
        trial::check(&trial),
        ports::check(&ports),
        interfaces::check(&cards),
        stamps::check(&stamps),
        multicast::check(&multicast::look(host, heard.links.iter().any(|link| link.version_one > 0))),
        packets::check(&packets),
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
    let mut measured = measured(heard, best, judged.as_ref(), leader.utc, &clock);
    if let Some(judged) = trial.judged() {
        measured.clock_gain = Some(judged.gain);
        measured.clock_gain_sigma = Some(judged.gain_sigma);
        measured.clock_base_ppb = Some(judged.base_ppm * 1e3);
        measured.clock_noise_ns = Some(judged.noise_ns);
    }
    Examination { findings: findings.concat(), measured }
}

/// The clock is tried only by who may, and while nobody else has a hand on it.
fn may_try(rights: &rights::Facts, rivals: &rivals::Facts) -> Result<(), String> {
    if let Some(rival) = rivals.steering().first() {
        return Err(format!("{rival} steers it"));
    }
    if rights.own.clock { Ok(()) } else { Err("this user has no right to".to_owned()) }
}

fn firmware(host: &impl Host) -> Vec<String> {
    let words = ["SystemManufacturer", "SystemProductName"];
    let read = words.iter().filter_map(|name| host.value(FIRMWARE, name));
    read.filter_map(|value| value.text().map(str::to_owned)).collect()
}

/// How many packets have come in by each interface since it was switched on.
fn arrived(adapters: &[Adapter]) -> Vec<(String, u64)> {
    adapters.iter().map(|adapter| (adapter.name.clone(), adapter.received)).collect()
}

#[cfg(test)]
mod tests;
