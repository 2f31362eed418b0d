//! `dantetimesync demo`: the real program against a real leader on loopback, steering a clock made of numbers.

mod screen;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use anyhow::Context;

use crate::cli::Demo;
use crate::clock::platform::raw_clock;
use crate::config::Config;
use crate::controller::PtpController;
use crate::daemon::{Audience, stop_flag, unpredictable};
use crate::dry_run::{OnOsTimeline, virtual_clock};
use crate::exit::{FAILED, Failure};
use crate::leader::{Leader, LeaderControl, LeaderOptions, NtpServer, NtpServerOptions};
use crate::net::platform::RealPtpNetwork;
use crate::net::{Capture, NetworkOptions};
use crate::ntp::source::RealNtpSource;
use crate::snapshot::{Snapshot, State};
use crate::time::{Rate, Raw, Span, Timestamp};
use screen::Screen;

/// The leader's uptime when the demo starts: as any device that has run for two weeks.
const LEADER_EPOCH: Span = Span::from_secs(1_209_600);

/// A line is shown this often.
const SHOW_EVERY: Span = Span::from_secs(1);

/// Runs the demo.
///
/// # Errors
/// When the sockets on loopback cannot be opened.
pub fn run(options: &Demo) -> Result<ExitCode, Failure> {
    say_line!(
        "demo: the system clock steered here is a virtual one, made of numbers: nothing on this computer changes.\n\
         demo: a PTPv1 leader ({:+.1} ppm) and an NTP server run on loopback; controller, sockets and \
         stamps are the real ones.\n",
        options.leader_ppm
    );
    let (event_port, general_port) = free_ports().context("no free UDP ports on loopback")?;
    let control = Arc::new(LeaderControl::default());
    let ntp_server = start_servers(options, event_port, general_port, &control)?;

    let network = OnOsTimeline::new(RealPtpNetwork::open(NetworkOptions {
        event_port,
        general_port,
        loopback: true,
        capture: Capture::Udp,
        ..NetworkOptions::default()
    })?)?;
    let config = Config { ntp_servers: vec![ntp_server.to_string()], ..Config::default() };
    let ntp = OnOsTimeline::new(RealNtpSource::open(&config.ntp_servers))?;
    let mut controller = PtpController::new(config, network, virtual_clock()?, ntp, unpredictable());

    let audience = Audience::open(options.status_socket.as_deref(), options.event_file.as_deref(), true);
    audience.hear_start(&mut controller);
    let mut course = Course::new(options);
    let stop = stop_flag();
    while !stop.load(Ordering::Relaxed) && !course.over() {
        controller.turn();
        course.follow(&controller.snapshot(), &control);
        audience.hear(&mut controller);
    }
    audience.hear_end(&mut controller);
    control.stop();
    Ok(course.verdict())
}

/// The leader and the NTP server, each in a thread of its own until `control` says stop.
fn start_servers(
    options: &Demo,
    event_port: u16,
    general_port: u16,
    control: &Arc<LeaderControl>,
) -> Result<SocketAddrV4, Failure> {
    let leader = Leader::open(LeaderOptions {
        event_port,
        general_port,
        rate: Rate::from_ppm(options.leader_ppm),
        epoch: LEADER_EPOCH,
        ..LeaderOptions::on(Ipv4Addr::LOCALHOST)
    })
    .context("cannot start the leader on loopback")?;
    let server = NtpServer::bind(NtpServerOptions {
        address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        offset: Span::ZERO,
        rate: Rate::ZERO,
    })
    .context("cannot start the NTP server on loopback")?;
    let address = server.address().context("the NTP server has no address")?;
    let for_leader = Arc::clone(control);
    thread::spawn(move || leader.run(&for_leader, |_| {}));
    let for_server = Arc::clone(control);
    thread::spawn(move || server.run(&for_server));
    Ok(address)
}

/// Two ports that are free now. Both sockets live until both ports are known, so the ports differ.
fn free_ports() -> std::io::Result<(u16, u16)> {
    let event = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let general = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok((event.local_addr()?.port(), general.local_addr()?.port()))
}

/// What has happened so far.
struct Course {
    started: Timestamp<Raw>,
    now: Timestamp<Raw>,
    end: Timestamp<Raw>,
    until_locked: bool,
    turn_at: Option<(Timestamp<Raw>, Rate)>,
    locks_needed: usize,
    show_at: Timestamp<Raw>,
    states: Vec<State>,
    locked_after: Option<Span>,
    leader_rate: Rate,
    last: Option<Snapshot>,
    screen: Screen,
}

impl Course {
    fn new(options: &Demo) -> Self {
        let now = raw_clock();
        let length = Span::from_secs(i64::from(options.seconds));
        let rate = Rate::from_ppm(options.leader_ppm);
        let turned = options.leader_ppm_step.map(|ppm| (now + length.half(), rate + Rate::from_ppm(ppm)));
        Self {
            started: now,
            now,
            end: now + length,
            until_locked: options.until_locked,
            turn_at: turned,
            locks_needed: if options.leader_ppm_step.is_some() { 2 } else { 1 },
            show_at: now,
            states: Vec::new(),
            locked_after: None,
            leader_rate: rate,
            last: None,
            screen: Screen::new(),
        }
    }

    fn over(&self) -> bool {
        self.now >= self.end || (self.until_locked && self.succeeded())
    }

    fn locks(&self) -> usize {
        self.states.iter().filter(|state| **state == State::Locked).count()
    }

    fn succeeded(&self) -> bool {
        self.locks() >= self.locks_needed && self.states.last() == Some(&State::Locked)
    }

    fn follow(&mut self, snapshot: &Snapshot, control: &LeaderControl) {
        self.now = raw_clock();
        let elapsed = self.now - self.started;
        if let Some((at, rate)) = self.turn_at.filter(|(at, _)| self.now >= *at) {
            control.set_rate(rate);
            self.screen.note(
                elapsed,
                &format!("the leader now turns by {} (at {})", rate - self.leader_rate, at - self.started),
            );
            (self.leader_rate, self.turn_at) = (rate, None);
        }
        if self.states.last() != Some(&snapshot.state) {
            self.states.push(snapshot.state);
            if snapshot.state == State::Locked {
                self.locked_after.get_or_insert(elapsed);
            }
            let reason =
                if snapshot.reason.is_empty() { String::new() } else { format!(": {}", snapshot.reason) };
            self.screen.note(elapsed, &format!("{}{reason}", snapshot.state));
        }
        if self.now >= self.show_at {
            self.show_at = self.show_at + SHOW_EVERY;
            self.screen.show(elapsed, snapshot);
        }
        self.last = Some(snapshot.clone());
    }

    /// Succeeds if it locked and stayed so; where the leader turned, if the lock was left and found again.
    fn verdict(mut self) -> ExitCode {
        self.screen.end();
        let course: Vec<String> = self.states.iter().map(ToString::to_string).collect();
        say_line!("\ncourse: {}", course.join(" → "));
        if let Some(after) = self.locked_after {
            say_line!("locked after {:.1} s", after.as_secs_f64());
        }
        if let Some(rate) = self.last.as_ref().and_then(|snapshot| snapshot.leader_rate) {
            let (really, found, bound) = (self.leader_rate.ppm(), rate.value_ppb / 1e3, rate.bound_ppb / 1e3);
            say_line!("leader's rate: {really:+.3} ppm really, {found:+.3} ± {bound:.3} ppm found");
        }
        if let Some(rms) = self.screen.offset_rms_ns() {
            say_line!("offset while locked: {rms:.0} ns rms");
        }
        if self.succeeded() {
            say_line!("demo: success");
            ExitCode::SUCCESS
        } else {
            say_line!(
                "demo: FAILED; locked {} of {} times, and Locked at the end was expected",
                self.locks(),
                self.locks_needed
            );
            ExitCode::from(FAILED)
        }
    }
}
