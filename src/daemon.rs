//! The service: what is checked before the clock is touched, and the loop until the end.

mod audience;
#[cfg(windows)]
mod found;
mod lock;
mod notify;
mod reload;
pub(crate) mod rivals;
mod stop;

use std::fs::File;
use std::hash::{BuildHasher, Hasher};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use crate::cli::Service;
use crate::clock::SystemClock;
use crate::clock::platform::{OsClock, raw_clock};
use crate::config::{Choices, Config, Settings};
use crate::controller::PtpController;
use crate::dry_run::{OnOsTimeline, virtual_clock};
use crate::exit::{Failure, TEMPORARY, UNAVAILABLE};
use crate::log::{Log, LogFormat};
use crate::net::platform::RealPtpNetwork;
use crate::net::{NetworkError, NetworkOptions, PtpNetwork, StampSource, interface};
use crate::ntp::NtpSource;
use crate::ntp::source::RealNtpSource;
use crate::state::file::StateFile;
use crate::test_clock::pass;
use crate::time::{Raw, Span, Timestamp};
pub(crate) use audience::Audience;
#[cfg(windows)]
pub(crate) use found::{FILE as FOUND_FILE, put_back as put_back_found};
use notify::Notifier;
use reload::Reload;
#[cfg(windows)]
pub(crate) use stop::end;
pub(crate) use stop::stop_flag;

/// How long other services wait for the first answer of NTP at most (3 s, with the last turn of the loop): a boot
/// without a network must go on.
const READY_AFTER: Span = Span::from_ms(2_200);

/// While there is no network, it is looked for this often.
const LOOK_EVERY: Span = Span::from_ms(500);

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// With the exit code that tells why it could not start.
pub fn run(options: &Service) -> Result<ExitCode, Failure> {
    let (choices, settings) = settings(options)?;
    let mut outside = Outside {
        began: raw_clock(),
        stop: stop_flag(),
        log: Log::start(settings.log_level, settings.log_format),
        reload: Reload::new(options.clone(), choices),
        notifier: Notifier::from_environment(),
        file: settings.state_file.as_deref().map(StateFile::new),
        audience: Audience::default(),
    };
    stop::hangup(&outside.stop, outside.reload.asked());
    let config = settings.config.clone();
    if settings.dry_run {
        info!("dry run: the system clock is only watched; what is steered is a clock made of numbers");
        outside.audience = open_audience(&settings);
        let Some(network) = open_network(&settings, &mut outside)? else { return Ok(ExitCode::SUCCESS) };
        rise(&settings);
        let network = OnOsTimeline::new(network)?;
        let ntp = OnOsTimeline::new(RealNtpSource::open(&config.ntp_servers))?;
        return Ok(serve(config, network, virtual_clock()?, ntp, outside));
    }
    let _lock = claim(settings.force_steer)?;
    // Whatever can fail comes before the clock is touched.
    let mut clock = OsClock::observe()?;
    clock.check_permission()?;
    outside.audience = open_audience(&settings);
    let Some(network) = open_network(&settings, &mut outside)? else { return Ok(ExitCode::SUCCESS) };
    clock.cancel_leftovers()?;
    for leftover in clock.leftovers() {
        warn!("an earlier program left {leftover} on the clock: cancelled");
    }
    if !prove(&mut clock, &outside.stop)? {
        return Ok(ExitCode::SUCCESS);
    }
    rise(&settings);
    let ntp = RealNtpSource::open(&config.ntp_servers);
    Ok(serve(config, network, clock, ntp, outside))
}

/// What was chosen, and what comes of it. What is wrong with it is told in the form that an option gives the log: that
/// of a file with faults is not believed.
fn settings(options: &Service) -> Result<(Choices, Settings), Failure> {
    let settings = options.choices().and_then(|choices| {
        let settings = Settings::from_choices(&choices)?;
        Ok((choices, settings))
    });
    let json = options.options.of("log-format").last().is_some_and(|choice| choice.value == "json");
    if json && settings.is_err() {
        Log::start(LevelFilter::INFO, LogFormat::Json);
    }
    Ok(settings?)
}

/// Threads that are started later do not rise with this one.
#[cfg(target_os = "linux")]
fn rise(settings: &Settings) {
    if settings.real_time {
        for refused in crate::clock::priority::rise() {
            tracing::debug!("{refused}");
        }
    }
}

/// The threads that stamp run before others anyway, and the rest has time; but none is to be slowed down.
#[cfg(windows)]
fn rise(_: &Settings) {
    crate::clock::windows::priority::run_at_full_speed();
}

/// The clock is this program's alone, until the locks are dropped.
pub(crate) fn claim(force: bool) -> Result<Vec<File>, Failure> {
    refuse_rivals(force)?;
    lock::take().map_err(|error| Failure::new(TEMPORARY, error))
}

/// Tries the clock where what it does when it is told something is not beyond doubt; false when the program was told
/// to end meanwhile.
fn prove(clock: &mut OsClock, stop: &AtomicBool) -> Result<bool, Failure> {
    #[cfg(windows)]
    found::keep(&clock.found());
    let proven = clock.prove(|span| {
        pass(span);
        !stop.load(Ordering::Relaxed)
    });
    Ok(proven?)
}

/// What the loop has to do with besides network and clock.
#[derive(Debug)]
struct Outside {
    /// When the program began: others wait for it from then on.
    began: Timestamp<Raw>,
    stop: Arc<AtomicBool>,
    log: Log,
    reload: Reload,
    notifier: Notifier,
    file: Option<StateFile>,
    audience: Audience,
}

impl Outside {
    /// Others have waited for the date as long as they shall.
    fn has_kept_waiting(&self) -> bool {
        raw_clock() - self.began >= READY_AFTER
    }
}

fn serve(
    config: Config,
    network: impl PtpNetwork,
    clock: impl SystemClock,
    ntp: impl NtpSource,
    mut outside: Outside,
) -> ExitCode {
    let controller = PtpController::new(config, network, clock, ntp, unpredictable());
    let mut controller = controller.naming_rivals_with(rivals::names);
    if let Some(saved) = outside.file.as_ref().and_then(StateFile::read) {
        controller.resume(&saved);
    }
    outside.audience.hear_start(&mut controller);
    while !outside.stop.load(Ordering::Relaxed) {
        controller.turn();
        outside.audience.hear(&mut controller);
        if let Some(file) = &mut outside.file
            && let Some(state) = controller.state_due()
        {
            file.write(&state);
        }
        if let Some(settings) = outside.reload.poll() {
            outside.log.set_level(settings.log_level);
            controller.reconfigure(settings.config);
        }
        let now = controller.now();
        let tried = controller.is_dated() || outside.has_kept_waiting();
        if tried && !outside.notifier.is_ready() {
            outside.notifier.ready(&controller.snapshot().summary());
        }
        outside.notifier.beat(now, || controller.snapshot().summary());
    }
    outside.notifier.stopping();
    outside.audience.hear_end(&mut controller);
    controller.shut_down();
    if let (Some(file), Some(state)) = (&mut outside.file, controller.state()) {
        file.write_last(&state);
    }
    ExitCode::SUCCESS
}

fn open_audience(settings: &Settings) -> Audience {
    Audience::open(settings.status_socket.as_deref(), settings.event_file.as_deref(), settings.dry_run)
}

/// None when the program was told to end before there was a network.
fn open_network(settings: &Settings, outside: &mut Outside) -> Result<Option<RealPtpNetwork>, Failure> {
    let options = NetworkOptions {
        interface: settings.interface.clone(),
        subdomain: settings.config.subdomain,
        capture: settings.capture,
        ..NetworkOptions::default()
    };
    let Some(mut network) = open_when_up(&options, outside)? else { return Ok(None) };
    for warning in network.take_warnings() {
        warn!("{warning}");
    }
    let stamps = if network.stamps() == StampSource::User { "this program" } else { "the kernel" };
    for interface in network.interfaces() {
        info!(interface = interface.name, address = %interface.address, "listening; {stamps} stamps arrivals");
    }
    Ok(Some(network))
}

/// At boot the service may come before the network does, and a cable may be plugged in later: it waits, and lets
/// others start meanwhile. A named interface that does not exist is more likely a slip of the hand, and an error.
fn open_when_up(
    options: &NetworkOptions,
    outside: &mut Outside,
) -> Result<Option<RealPtpNetwork>, NetworkError> {
    let mut told = false;
    while !outside.stop.load(Ordering::Relaxed) {
        let error = match RealPtpNetwork::open(options.clone()) {
            Err(error @ NetworkError::NoInterface) => error,
            Err(error @ NetworkError::Interface { .. }) if names_an_interface(options) => error,
            opened => return opened.map(Some),
        };
        if !std::mem::replace(&mut told, true) {
            warn!("{error}; waiting for it");
        }
        if outside.has_kept_waiting() {
            outside.notifier.ready("waiting for a network interface");
        }
        outside.audience.hear_waiting(outside.began, &error.to_string());
        outside.notifier.beat(raw_clock(), || "waiting for a network interface".to_owned());
        // Before the loop there is nothing to poll yet.
        pass(LOOK_EVERY);
    }
    Ok(None)
}

/// Whether the interface that was named exists, and only is down or without an address.
fn names_an_interface(options: &NetworkOptions) -> bool {
    options.interface.as_deref().is_some_and(interface::exists)
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
    let stop = rivals::how_to_stop(&rivals);
    Err(Failure::new(
        UNAVAILABLE,
        anyhow::anyhow!(
            "{names} is steering the system clock already: stop it ({stop}), or look without touching (--dry-run), \
             or insist (--force-steer)"
        ),
    ))
}

/// A number nobody outside can know: the hasher's keys come from the operating system.
pub(crate) fn unpredictable() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
