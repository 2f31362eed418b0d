//! The service: what is checked before the clock is touched, and the loop until the end.

mod lock;
mod rivals;

use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{info, level_filters::LevelFilter, warn};

use crate::cli::Service;
use crate::clock::SystemClock;
use crate::clock::linux::LinuxClock;
use crate::config::Config;
use crate::controller::PtpController;
use crate::dry_run::{OnOsTimeline, virtual_clock};
use crate::exit::{Failure, TEMPORARY, UNAVAILABLE};
use crate::net::linux::{NetworkOptions, RealPtpNetwork};
use crate::net::{EVENT_PORT, GENERAL_PORT, NetworkError, PtpNetwork, StampSource};
use crate::ntp::NtpSource;
use crate::ntp::source::RealNtpSource;
use crate::ptp;

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// With the exit code that tells why it could not start.
pub fn run(options: &Service) -> Result<ExitCode, Failure> {
    start_log(options);
    let config = options.config();
    if options.dry_run {
        info!("dry run: the system clock is only watched; what is steered is a clock made of numbers");
        let network = OnOsTimeline::new(open_network(options)?)?;
        let ntp = OnOsTimeline::new(RealNtpSource::open(&config.ntp_servers))?;
        return Ok(serve(config, network, virtual_clock()?, ntp));
    }
    refuse_rivals(options.force_steer)?;
    let _lock = lock::take().map_err(|error| Failure::new(TEMPORARY, error))?;
    // Whatever can fail comes before the clock is touched.
    let mut clock = LinuxClock::observe()?;
    clock.check_permission()?;
    let network = open_network(options)?;
    clock.cancel_leftovers()?;
    for leftover in clock.leftovers() {
        warn!("an earlier program left {leftover} on the clock: cancelled");
    }
    let ntp = RealNtpSource::open(&config.ntp_servers);
    Ok(serve(config, network, clock, ntp))
}

fn serve(config: Config, network: impl PtpNetwork, clock: impl SystemClock, ntp: impl NtpSource) -> ExitCode {
    let stop = stop_flag();
    let mut controller = PtpController::new(config, network, clock, ntp, unpredictable());
    while !stop.load(Ordering::Relaxed) {
        controller.turn();
    }
    controller.shut_down();
    ExitCode::SUCCESS
}

fn open_network(options: &Service) -> Result<RealPtpNetwork, Failure> {
    let mut network = open_when_up(NetworkOptions {
        interface: options.interface.clone(),
        event_port: EVENT_PORT,
        general_port: GENERAL_PORT,
        loopback: false,
        group: ptp::group(&options.subdomain.0),
        subdomain: options.subdomain.0,
    })?;
    for warning in network.take_warnings() {
        warn!("{warning}");
    }
    let stamps = if network.stamps() == StampSource::User { "this program" } else { "the kernel" };
    for interface in network.interfaces() {
        info!(interface = interface.name, address = %interface.address, "listening; {stamps} stamps arrivals");
    }
    Ok(network)
}

/// At boot the service may come before the network does: it waits. A named interface that is not there is more
/// likely a slip of the hand, and an error.
fn open_when_up(options: NetworkOptions) -> Result<RealPtpNetwork, NetworkError> {
    let stop = stop_flag();
    let mut told = false;
    loop {
        match RealPtpNetwork::open(options.clone()) {
            Err(error @ NetworkError::NoInterface) if !stop.load(Ordering::Relaxed) => {
                if !std::mem::replace(&mut told, true) {
                    warn!("{error}; waiting for one");
                }
                #[allow(
                    clippy::disallowed_methods,
                    reason = "before the loop, there is nothing to poll yet"
                )]
                std::thread::sleep(std::time::Duration::from_secs(2));
            }
            opened => return opened,
        }
    }
}

fn refuse_rivals(force: bool) -> Result<(), Failure> {
    let rivals = rivals::steering_now();
    if rivals.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = rivals.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    if force {
        warn!("{names} steers the clock too, and --force-steer was given: expect them to fight");
        return Ok(());
    }
    let stop = rivals.iter().map(|rival| rival.service()).collect::<Vec<_>>().join(" ");
    Err(Failure::new(
        UNAVAILABLE,
        anyhow::anyhow!(
            "{names} is steering the system clock already: stop it (systemctl disable --now {stop}), or look \
             without touching (--dry-run), or insist (--force-steer)"
        ),
    ))
}

/// Set by SIGINT and SIGTERM; the signal also ends the wait in `poll`.
pub(crate) fn stop_flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            warn!(%error, signal, "cannot catch the signal: it will end the program the hard way");
        }
    }
    stop
}

/// A number nobody outside can know: the hasher's keys come from the operating system.
pub(crate) fn unpredictable() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

fn start_log(options: &Service) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    // The service manager's journal stamps the lines itself; a stamp of the clock being set would only confuse.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .try_init();
}
