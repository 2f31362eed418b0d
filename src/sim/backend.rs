//! The three backends of a follower in a simulated world.

#![allow(clippy::as_conversions, reason = "a multiple of a quantum that was validated as positive")]

use std::net::{Ipv4Addr, SocketAddrV4};

use super::world::{NtpArrival, NtpWhat, Received, SharedWorld, World};
use crate::clock::rate::{FINE, Neighbours};
use crate::clock::{ClockError, KernelStatus, Reading, StampFault, SystemClock, Timeline};
use crate::net::{
    Datagram, Interface, NetworkCounters, NetworkError, NetworkEvent, Pollable, PtpNetwork, Stamp,
    StampSource,
};
use crate::ntp::{NtpError, NtpEvent, NtpSource, ServerIndex};
use crate::time::{Rate, Raw, Span, System, Timestamp};

/// No computer's clock goes further from its oscillator: the range of Linux's tick and frequency together.
const RATE_MAX_PPM: f64 = 100_000.0;

/// How far a kernel stamp can be off after its conversion, besides the reading it was converted with.
const STAMP_UNCERTAINTY: Span = Span::from_ns(100);

/// The network of a simulated world.
#[derive(Debug)]
pub struct SimNetwork {
    world: SharedWorld,
    received: u64,
}

impl SimNetwork {
    pub(super) fn new(world: SharedWorld) -> Self {
        Self { world, received: 0 }
    }
}

impl PtpNetwork for SimNetwork {
    fn wait(&mut self, timeout: Span, _others: &mut [Pollable]) -> Result<(), NetworkError> {
        self.world.borrow_mut().wait(timeout.as_ns());
        Ok(())
    }

    fn next_event(&mut self, timeline: &Timeline) -> Result<Option<NetworkEvent>, NetworkError> {
        let mut world = self.world.borrow_mut();
        if world.take_link_change() {
            return Ok(Some(NetworkEvent::LinkChanged { listening: interfaces(&world) }));
        }
        let read = world.event.read().or_else(|| world.general.read());
        let Some(Received { port, source, stamp, payload }) = read else { return Ok(None) };
        self.received += 1;
        let stamp = converted(timeline, stamp, world.raw());
        Ok(Some(NetworkEvent::Datagram(Datagram { interface: INTERFACE, port, source, stamp, payload })))
    }

    fn interfaces(&self) -> Vec<Interface> {
        interfaces(&self.world.borrow())
    }

    fn rejoin(&mut self) -> Result<(), NetworkError> {
        if self.world.borrow().host().is_some() { Ok(()) } else { Err(NetworkError::NoInterface) }
    }

    fn counters(&self) -> NetworkCounters {
        NetworkCounters { received: self.received, ..NetworkCounters::default() }
    }
}

const INTERFACE: u32 = 2;

fn interfaces(world: &World) -> Vec<Interface> {
    let interface = |host| Interface {
        index: INTERFACE,
        name: "sim0".to_owned(),
        address: Ipv4Addr::new(10, 77, 0, host),
        wired: true,
    };
    world.host().map(interface).into_iter().collect()
}

/// The system clock of a simulated world.
#[derive(Debug)]
pub struct SimClock {
    world: SharedWorld,
}

impl SimClock {
    pub(super) fn new(world: SharedWorld) -> Self {
        Self { world }
    }
}

impl SystemClock for SimClock {
    fn raw_now(&mut self) -> Timestamp<Raw> {
        Timestamp::from_ns(self.world.borrow().raw())
    }

    fn read(&mut self) -> Result<Reading, ClockError> {
        let mut world = self.world.borrow_mut();
        let noise = world.read_noise();
        Ok(Reading {
            raw: Timestamp::from_ns(world.raw()),
            system: Timestamp::from_ns(world.system() + noise),
            uncertainty: Span::from_ns_f64(3.0 * world.scenario().clock.read_noise_ns),
        })
    }

    fn set_rate(&mut self, rate: Rate) -> Result<Rate, ClockError> {
        let ppm = rate.ppm();
        if !ppm.is_finite() || ppm.abs() > RATE_MAX_PPM {
            return Err(ClockError::RateOutOfRange { ppm, min_ppm: -RATE_MAX_PPM, max_ppm: RATE_MAX_PPM });
        }
        let mut world = self.world.borrow_mut();
        let quantum = world.scenario().clock.rate_quantum_ppm;
        let set = Rate::from_ppm((ppm / quantum).round() * quantum);
        world.set_system_rate(set.ratio());
        Ok(set)
    }

    fn rates_around(&self, wanted: Rate) -> Option<Neighbours> {
        let quantum = Rate::from_ppm(self.world.borrow().scenario().clock.rate_quantum_ppm);
        (quantum > FINE).then(|| Neighbours::of(wanted, quantum)).flatten()
    }

    fn step(&mut self, by: Span) -> Result<Span, ClockError> {
        let mut world = self.world.borrow_mut();
        let quantum = world.scenario().clock.step_quantum_ns;
        let moved = (by.as_ns() as f64 / quantum as f64).round() as i64;
        // Not through the float when there is nothing to round: it would lose ns of a step of years.
        let moved = if quantum == 1 { by.as_ns() } else { moved.saturating_mul(quantum) };
        world.step_system(moved);
        let noise = world.read_noise() - world.read_noise();
        Ok(Span::from_ns(moved + noise))
    }

    fn set_status(&mut self, _status: KernelStatus) -> Result<(), ClockError> {
        Ok(())
    }

    fn rate(&mut self) -> Result<Rate, ClockError> {
        Ok(Rate::from_ratio(self.world.borrow().system_rate()))
    }

    fn slept(&mut self) -> Option<Span> {
        Some(Span::from_ns(self.world.borrow().slept()))
    }

    fn boot_id(&mut self) -> Option<String> {
        Some(format!("boot {}", self.world.borrow().boots()))
    }

    fn counter(&mut self) -> Option<String> {
        Some(format!("counter {}", self.world.borrow().counters()))
    }
}

/// The NTP servers of a simulated world.
#[derive(Debug)]
pub struct SimNtp {
    world: SharedWorld,
}

impl SimNtp {
    pub(super) fn new(world: SharedWorld) -> Self {
        Self { world }
    }
}

impl NtpSource for SimNtp {
    fn pollables(&self, _wanted: &mut Vec<Pollable>) {}

    fn mark_ready(&mut self, _ready: &[Pollable]) {}

    fn send(&mut self, server: ServerIndex, request: &[u8], _timeline: &Timeline) -> Result<Stamp, NtpError> {
        let mut world = self.world.borrow_mut();
        let ServerIndex(index) = server;
        if index >= world.scenario().ntp.len() {
            let name = format!("server {index}");
            return Err(NtpError::Unresolved { name, reason: "not in this scenario".to_owned() });
        }
        world.ask_server(index, request);
        // Taken before the call, and the kernel's own stamp follows.
        let at = Timestamp::from_ns(world.raw());
        Ok(Stamp { at, uncertainty: Span::from_us(20), source: StampSource::User })
    }

    fn next_event(&mut self, timeline: &Timeline) -> Option<NtpEvent> {
        let mut world = self.world.borrow_mut();
        loop {
            let NtpArrival { server, stamp, what } = world.ntp.read()?;
            let source = SocketAddrV4::new(Ipv4Addr::new(10, 77, 8, u8::try_from(server + 2).ok()?), 123);
            let server = ServerIndex(server);
            let stamp = converted(timeline, stamp, world.raw());
            match (what, stamp) {
                (NtpWhat::Answer(payload), stamp) => {
                    return Some(NtpEvent::Response { server, source, stamp, payload });
                }
                (NtpWhat::Refused, _) => {
                    let reason = "connection refused".to_owned();
                    return Some(NtpEvent::Failed { server, address: Some(source), reason });
                }
                (NtpWhat::Sent, Ok(stamp)) => return Some(NtpEvent::Transmitted { server, stamp }),
                (NtpWhat::Sent, Err(_)) => {}
            }
        }
    }
}

/// A kernel stamp on the raw timeline, as the real backends convert it.
fn converted(timeline: &Timeline, stamp: i64, raw: i64) -> Result<Stamp, StampFault> {
    let stamp = Timestamp::<System>::from_ns(stamp);
    let at = timeline.raw_of(stamp, Timestamp::from_ns(raw))?;
    Ok(Stamp { at, uncertainty: STAMP_UNCERTAINTY, source: StampSource::Kernel })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::super::scenario::Scenario;
    use super::*;

    fn world(text: &str) -> SharedWorld {
        Rc::new(RefCell::new(World::new(&Scenario::from_toml(text).unwrap(), 1)))
    }

    #[test]
    fn a_rate_is_set_to_its_quantum_and_told_so() {
        let mut clock = SimClock::new(world("[clock]\nrate_quantum_ppm = 0.1"));
        assert!((clock.set_rate(Rate::from_ppm(12.345)).unwrap().ppm() - 12.3).abs() < 1e-9);
        assert!((clock.rate().unwrap().ppm() - 12.3).abs() < 1e-9);
        let error = clock.set_rate(Rate::from_ppm(f64::NAN)).unwrap_err();
        assert!(matches!(error, ClockError::RateOutOfRange { .. }));
    }

    #[test]
    fn a_step_moves_the_clock_by_its_quantum() {
        let mut clock = SimClock::new(world("[clock]\nstep_quantum_ns = 1000000\nread_noise_ns = 0.0"));
        let before = clock.read().unwrap();
        assert_eq!(clock.step(Span::from_us(-19_700)).unwrap(), Span::from_ms(-20));
        let after = clock.read().unwrap();
        assert_eq!(after.system - before.system, Span::from_ms(-20));
        assert_eq!(after.raw, before.raw);
    }

    #[test]
    fn readings_are_noisy_within_their_uncertainty() {
        let world = world("");
        let mut clock = SimClock::new(world.clone());
        let truth = world.borrow().system();
        let errors: Vec<i64> = (0..2_000).map(|_| clock.read().unwrap().system.as_ns() - truth).collect();
        assert!(errors.iter().all(|error| error.abs() <= 150));
        let sd = (errors.iter().map(|error| (error * error) as f64).sum::<f64>() / 2_000.0).sqrt();
        assert!((sd - 50.0).abs() < 4.0, "{sd}");
    }

    #[test]
    fn an_exchange_with_a_server_takes_its_way_there_and_back() {
        let world = world("leader = []");
        let (mut network, mut ntp) = (SimNetwork::new(world.clone()), SimNtp::new(world.clone()));
        let mut clock = SimClock::new(world);
        let mut timeline = Timeline::new();
        timeline.restart(clock.read().unwrap(), Rate::ZERO);
        let mut request = [0; 48];
        request[0] = 0x23;
        let sent = ntp.send(ServerIndex(0), &request, &timeline).unwrap();
        let mut events = Vec::new();
        for _ in 0..5 {
            network.wait(Span::from_ms(10), &mut []).unwrap();
            events.extend(ntp.next_event(&timeline));
        }
        let [NtpEvent::Transmitted { stamp, .. }, NtpEvent::Response { stamp: Ok(back), .. }] = &events[..]
        else {
            panic!("{events:?}")
        };
        let late = stamp.at - sent.at;
        assert!(late > Span::from_us(2) && late < Span::from_us(50), "{late}");
        let round = back.at - stamp.at;
        assert!(round > Span::from_ms(10) && round < Span::from_ms(12), "{round}");
    }
}
