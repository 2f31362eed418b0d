//! `dantetimesync monitor`: listens to the network, touches no clock, and judges the leader that is heard.

use std::process::ExitCode;
use std::sync::atomic::Ordering;

use crate::cli::Monitor;
use crate::clock::platform::raw_clock;
use crate::daemon::stop_flag;
use crate::dry_run::OnOsTimeline;
use crate::exit::{FAILED, Failure, NO_PERMISSION, print};
use crate::net::platform::RealPtpNetwork;
use crate::net::{NetworkError, NetworkEvent, NetworkOptions, PtpNetwork};
use crate::replay::judge::{Judge, Source, Verdict};
use crate::terminal::{self, CLEAR_LINE};
use crate::time::Span;

/// A line is shown this often …
const SHOW_EVERY: Span = Span::from_secs(1);
/// … and without a terminal this often.
const SHOW_EVERY_PLAIN: Span = Span::from_secs(10);

/// The longest wait; with it, time passes for the follower.
const WAIT: Span = Span::from_ms(100);

/// Listens, and prints the verdict.
///
/// # Errors
/// When the network cannot be listened to.
pub fn run(options: &Monitor) -> Result<ExitCode, Failure> {
    let network = RealPtpNetwork::open(NetworkOptions {
        interface: options.interface.clone(),
        subdomain: options.subdomain.0,
        everything: true,
        ..NetworkOptions::default()
    });
    let mut network = network.map_err(refused)?;
    if !options.json {
        for warning in network.take_warnings() {
            complain_line!("{warning}");
        }
        let names: Vec<String> = network.interfaces().iter().map(ToString::to_string).collect();
        complain_line!("listening on {} for {} s; no clock is touched", names.join(", "), options.seconds);
    }
    let verdict = listen(OnOsTimeline::new(network)?, options);
    if options.json {
        let mut text = serde_json::to_string_pretty(&verdict).map_err(anyhow::Error::from)?;
        text.push('\n');
        print(&text)?;
    } else {
        print(&verdict.table())?;
    }
    Ok(if verdict.samples > 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn listen(mut network: impl PtpNetwork, options: &Monitor) -> Verdict {
    let mut judge = Judge::new(options.subdomain.0);
    judge.set_interfaces(network.interfaces());
    let terminal = terminal::draws_on(&std::io::stderr());
    let show_every = if terminal { SHOW_EVERY } else { SHOW_EVERY_PLAIN };
    let (stop, start) = (stop_flag(), raw_clock());
    let end = start + Span::from_secs(i64::from(options.seconds));
    let (mut show_at, mut fault) = (start + show_every, None);
    // The operating system's own timeline is used inside the network.
    let timeline = crate::clock::Timeline::new();
    while raw_clock() < end && !stop.load(Ordering::Relaxed) {
        let mut faults = network.wait(WAIT, &mut []).err();
        loop {
            match network.next_event(&timeline) {
                Ok(Some(NetworkEvent::Datagram(datagram))) => judge.take(&datagram, raw_clock()),
                Ok(Some(NetworkEvent::LinkChanged { listening })) => judge.set_interfaces(listening),
                Ok(Some(NetworkEvent::Transmitted { .. })) => {}
                Ok(None) => break,
                Err(error) => {
                    faults = Some(error);
                    break;
                }
            }
        }
        let now = raw_clock();
        judge.pass(now);
        if let Some(error) = faults.filter(|error| fault.as_ref() != Some(error)) {
            complain_line!("{error}");
            fault = Some(error);
        }
        if !options.json && now >= show_at {
            show_at = now + show_every;
            show(&judge.verdict(Source::Network), now - start, terminal);
        }
    }
    if terminal && !options.json {
        complain!("{CLEAR_LINE}");
    }
    judge.verdict(Source::Network)
}

/// The course of things, in one line that is written over on a terminal.
fn show(verdict: &Verdict, elapsed: Span, terminal: bool) {
    let leader = verdict.leaders.iter().find(|leader| leader.followed);
    let leader = leader.map_or_else(|| "no leader yet".to_owned(), |leader| leader.id.to_string());
    let rate = verdict.rate.map_or_else(String::new, |rate| {
        format!(", {:+.2} ± {:.2} ppm", rate.value_ppb / 1e3, (rate.bound_ppb / 1e3).min(999.0))
    });
    let jitter =
        verdict.jitter.map_or_else(String::new, |jitter| format!(", scatter {:.1} µs", jitter.sd_ns / 1e3));
    let line = format!(
        "{:>4.0} s  {} packets, {leader}, {} samples{rate}{jitter}",
        elapsed.as_secs_f64(),
        verdict.datagrams,
        verdict.samples
    );
    if terminal {
        complain!("{CLEAR_LINE}{line}");
    } else {
        complain_line!("{line}");
    }
}

/// Binding the two ports takes a right that can be given in several ways, and there is something to do without.
fn refused(error: NetworkError) -> Failure {
    match error {
        NetworkError::NotPermitted { .. } => Failure::new(
            NO_PERMISSION,
            anyhow::anyhow!(
                "{error}. {WAYS}\n\
                 Without it: `dantetimesync status` and `dantetimesync watch` show what a running service hears, and \
                 `dantetimesync replay FILE` judges a capture that somebody else recorded"
            ),
        ),
        _ => error.into(),
    }
}

#[cfg(unix)]
const WAYS: &str = "PTP is heard on UDP ports 319 and 320, and ports below 1024 need a right. One of these gives it:\n  \
     sudo sysctl net.ipv4.ip_unprivileged_port_start=319     to every user, until the next boot\n  \
     sudo setcap cap_net_bind_service+ep $(command -v dantetimesync)     to this program\n  \
     sudo dantetimesync monitor     this once";
/// On Windows the ports need no right; only capturing beside another program that holds them does.
#[cfg(windows)]
const WAYS: &str =
    "Run it in a console opened as administrator, or end the program that holds UDP ports 319 and 320";

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::sync::Arc;
    use std::thread;

    use super::*;
    use crate::cli::Subdomain;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::leader::{Leader, LeaderControl, LeaderOptions};
    use crate::net::Capture;
    use crate::time::Rate;

    /// In real time: three seconds on loopback.
    #[test]
    fn a_leader_on_loopback_is_judged_by_name() {
        let ports = [0, 0].map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap());
        let [event_port, general_port] = ports.map(|socket| socket.local_addr().unwrap().port());
        let options = NetworkOptions {
            event_port,
            general_port,
            loopback: true,
            capture: Capture::Udp,
            everything: true,
            ..NetworkOptions::default()
        };
        let network = RealPtpNetwork::open(options).unwrap();
        let leader = LeaderOptions {
            event_port,
            general_port,
            interval: Span::from_ms(125),
            rate: Rate::from_ppm(20.0),
            preferred: true,
            ..LeaderOptions::on(Ipv4Addr::LOCALHOST)
        };
        let (leader, control) = (Leader::open(leader).unwrap(), Arc::new(LeaderControl::default()));
        let for_leader = Arc::clone(&control);
        let sending = thread::spawn(move || leader.run(&for_leader, |_| {}));
        let options =
            Monitor { interface: None, seconds: 3, json: true, subdomain: Subdomain(DEFAULT_SUBDOMAIN) };
        let verdict = listen(OnOsTimeline::new(network).unwrap(), &options);
        control.stop();
        sending.join().unwrap().unwrap();
        assert!(verdict.samples > 5, "{verdict:#?}");
        let heard = verdict.leaders.first().unwrap();
        assert!(heard.followed && heard.preferred && heard.interface.as_deref() == Some("lo"), "{heard:?}");
        assert!(verdict.kinds.sync > 5 && verdict.kinds.version_two == 0, "{:?}", verdict.kinds);
        assert!(verdict.verdict.starts_with("The computer runs"), "{}", verdict.verdict);
    }

    #[test]
    fn a_missing_right_is_named_with_every_way_to_get_it() {
        let right =
            if cfg!(windows) { "that of an administrator" } else { "the capability CAP_NET_BIND_SERVICE" };
        let error = NetworkError::NotPermitted { action: "listen", right };
        let failure = refused(error);
        let told = failure.error.to_string();
        assert_eq!(failure.code, NO_PERMISSION);
        let ways: &[&str] = if cfg!(windows) {
            &["administrator", "holds UDP ports 319 and 320"]
        } else {
            &["CAP_NET_BIND_SERVICE", "ip_unprivileged_port_start=319", "setcap", "sudo"]
        };
        for way in ways.iter().chain(&["status", "replay"]) {
            assert!(told.contains(way), "{way}: {told}");
        }
    }
}
