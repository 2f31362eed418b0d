//! The world: true time, a queue of what is to happen, and the clocks that follow from both.

#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a simulator's own small numbers: indices of its own lists, noise of some nanoseconds"
)]

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddrV4;
use std::rc::Rc;

use super::absence::{RestartKind, RestartPlan, SuspendKind, SuspendPlan, usual_host};
use super::load::Load;
use super::oscillator::{Oscillator, Steered};
use super::plan::{ReaderPlan, ns_of_s};
use super::random::Random;
use super::scenario::Scenario;
use super::sender::{Leader, LeaderClock, Outgoing, Stranger};
use super::server::{Fate, Server};
use super::tap::Tap;
use crate::net::{Payload, Port};
use crate::time::LeaderId;

/// The raw clock at the start: the computer has run for a while.
const RAW_START_NS: i64 = 5_000_000_000_000;

/// The raw clock when a program starts after a boot.
const RAW_BOOT_NS: i64 = 20_000_000_000;

/// A wait takes this long at least: two system calls. It also keeps a follower that never waits from standing
/// still in time.
const WAIT_COST_NS: i64 = 5_000;

/// A world that its backends share.
pub(super) type SharedWorld = Rc<RefCell<World>>;

/// Everything outside the follower.
#[derive(Debug)]
pub(super) struct World {
    scenario: Scenario,
    /// True time at the start.
    start: i64,
    now: i64,
    oscillator: Oscillator,
    system: Steered,
    queue: BinaryHeap<Reverse<Queued>>,
    /// Numbers the queued events, so that those of one moment keep their order.
    queued: u64,
    leaders: Vec<Leader>,
    strangers: Vec<Stranger>,
    servers: Vec<Server>,
    /// The noise of the path, for each leader and each stranger on its own.
    path_random: [Vec<Random>; 2],
    /// The other traffic on it, the same for all.
    path_load: Load,
    read_random: Random,
    wake_random: Random,
    send_random: Random,
    /// The two sockets of PTP, and one of NTP.
    pub(super) event: Socket<Received>,
    pub(super) general: Socket<Received>,
    pub(super) ntp: Socket<NtpArrival>,
    wake_due: bool,
    woken: bool,
    /// True time at which a Follow_Up of each leader last arrived.
    heard: Vec<Option<i64>>,
    marks: Vec<Mark>,
    /// The program does not run, or its computer sleeps: nothing is received, and nobody is judged.
    away: bool,
    /// How long the computer has slept, as it knows it itself, in ns.
    slept: i64,
    boots: u32,
    /// Restarts that were made.
    restarts: usize,
    /// The last octet of the computer's address; `None` while its cable is pulled.
    host: Option<u8>,
    link_changed: bool,
    pub(super) record: Record,
    /// Records what comes by.
    pub(super) tap: Option<Tap>,
}

/// What was done to the world.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Commands that changed the clock.
    pub(super) commands: u64,
    /// Steps that were commanded: true time and size, in ns.
    pub(super) steps: Vec<(i64, i64)>,
    /// Requests to NTP servers.
    pub(super) ntp_requests: u64,
    /// Datagrams for which a socket had no room.
    pub(super) overflowed: u64,
    /// Datagrams that came to the two PTP sockets.
    pub(super) arrived: u64,
}

/// The clocks at a whole second of true time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// True time, in ns.
    pub(super) at: i64,
    /// The system clock, in ns.
    pub(super) system: i64,
    /// The system clock's rate against true time, as a plain ratio.
    pub(super) rate: f64,
}

/// A socket's buffer; a wake-up lets one datagram of each be read, as the real backend does.
#[derive(Debug)]
pub(super) struct Socket<T> {
    waiting: VecDeque<T>,
    capacity: usize,
    readable: bool,
}

impl<T> Socket<T> {
    fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::new(), capacity, readable: false }
    }

    /// Takes the next one, if this wake-up's turn is not used up.
    pub(super) fn read(&mut self) -> Option<T> {
        if std::mem::take(&mut self.readable) { self.waiting.pop_front() } else { None }
    }

    fn offer(&mut self, item: T) -> bool {
        let room = self.waiting.len() < self.capacity;
        if room {
            self.waiting.push_back(item);
        }
        room
    }

    fn mark_readable(&mut self) {
        self.readable = !self.waiting.is_empty();
    }
}

/// A datagram in a PTP socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) port: Port,
    pub(super) source: SocketAddrV4,
    /// The kernel's stamp: the system clock at the arrival.
    pub(super) stamp: i64,
    pub(super) payload: Payload,
}

/// Something that comes to the socket of an NTP server.
#[derive(Debug, Clone, Copy)]
pub(super) struct NtpArrival {
    pub(super) server: usize,
    /// The kernel's stamp: the system clock at that moment.
    pub(super) stamp: i64,
    pub(super) what: NtpWhat,
}

#[derive(Debug, Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "a queue holds few of them, and copying is simple")]
pub(super) enum NtpWhat {
    Sent,
    Refused,
    Answer(Payload),
}

#[derive(Debug)]
struct Queued {
    at: i64,
    number: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    LeaderTick(usize),
    StrangerTick(usize),
    /// A message arrives; the number is its leader's, if it has one. Boxed, as the queue moves its elements often.
    Arrival(Box<Outgoing>, Option<usize>),
    Ntp(usize, Box<NtpWhat>),
    Wake,
    Foreign(usize),
    Suspend(usize),
    /// The cable is pulled, or put back with this address.
    Link(Option<u8>),
    Mark,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Queued {}
impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl World {
    /// The world of a scenario, at its start.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let leaders = scenario.leader.iter().enumerate();
        let strangers = scenario.stranger.iter().enumerate();
        let servers = scenario.ntp.iter().enumerate();
        let capacity = scenario.reader.socket_datagrams;
        let start = scenario.start_ns();
        let mut world = Self {
            scenario: scenario.clone(),
            start,
            now: start,
            oscillator: Oscillator::new(scenario.oscillator.clone(), seed, start, RAW_START_NS),
            system: Steered::new(RAW_START_NS, start + ns_of_s(scenario.clock.start_offset_ms / 1e3)),
            queue: BinaryHeap::new(),
            queued: 0,
            leaders: leaders.map(|(index, plan)| Leader::new(plan.clone(), seed, index, start)).collect(),
            strangers: strangers.map(|(index, plan)| Stranger::new(*plan, seed, index, start)).collect(),
            servers: servers
                .map(|(index, plan)| Server::new(plan.clone(), scenario.leap_second, seed, index, start))
                .collect(),
            path_random: [("leader", scenario.leader.len()), ("stranger", scenario.stranger.len())]
                .map(|(kind, count)| path_streams(seed, kind, count)),
            path_load: Load::new(seed, "path"),
            read_random: Random::stream(seed, "clock reading"),
            wake_random: Random::stream(seed, "wake-up"),
            send_random: Random::stream(seed, "ntp sending"),
            event: Socket::new(capacity),
            general: Socket::new(capacity),
            ntp: Socket::new(capacity),
            wake_due: false,
            woken: false,
            heard: vec![None; scenario.leader.len()],
            marks: Vec::new(),
            away: false,
            slept: 0,
            boots: 0,
            restarts: 0,
            host: Some(usual_host()),
            link_changed: false,
            record: Record::default(),
            tap: None,
        };
        world.queue_the_first_events();
        world
    }

    fn queue_the_first_events(&mut self) {
        for index in 0..self.leaders.len() {
            self.put(self.leaders[index].next_tick(), What::LeaderTick(index));
        }
        for index in 0..self.strangers.len() {
            self.put_stranger(index);
        }
        for index in 0..self.scenario.foreign.len() {
            self.put(self.start + ns_of_s(self.scenario.foreign[index].at_s), What::Foreign(index));
        }
        for index in 0..self.scenario.suspend.len() {
            self.put(self.start + ns_of_s(self.scenario.suspend[index].at_s), What::Suspend(index));
        }
        for plan in self.scenario.unplug.clone() {
            self.put(self.start + ns_of_s(plan.at_s), What::Link(None));
            self.put(self.start + ns_of_s(plan.at_s + plan.length_s), What::Link(Some(plan.host)));
        }
        self.put(self.start + 1_000_000_000, What::Mark);
    }

    /// True time, in ns since 1970.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// True time since the start, in ns.
    pub(super) fn elapsed(&self, at: i64) -> i64 {
        at - self.start
    }

    /// Whether the scenario is over.
    pub(super) fn is_over(&self) -> bool {
        self.now >= self.start + ns_of_s(self.scenario.duration_s)
    }

    /// The scenario this world was made from.
    pub(super) fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// How far the raw clock has come since the start, in ns.
    fn raw_elapsed(&self) -> i64 {
        self.raw() - RAW_START_NS
    }

    /// The raw clock, now.
    pub(super) fn raw(&self) -> i64 {
        self.oscillator.raw_at(self.now)
    }

    /// The system clock, now.
    pub(super) fn system(&self) -> i64 {
        self.system.at(self.raw())
    }

    /// The noise of one reading of the clocks, in ns, within three standard deviations.
    pub(super) fn read_noise(&mut self) -> i64 {
        let sd = self.scenario.clock.read_noise_ns;
        self.read_random.gaussian(sd).clamp(-3.0 * sd, 3.0 * sd) as i64
    }

    /// The system clock's rate against the raw clock, as a plain ratio.
    pub(super) fn system_rate(&self) -> f64 {
        self.system.rate()
    }

    /// A command: the system clock runs at this rate against the raw clock from now on.
    pub(super) fn set_system_rate(&mut self, rate: f64) {
        self.record.commands += 1;
        self.system.set_rate(self.oscillator.raw_at(self.now), rate);
    }

    /// A command: the system clock jumps by `by` ns.
    pub(super) fn step_system(&mut self, by: i64) {
        self.record.commands += 1;
        self.record.steps.push((self.now, by));
        self.system.step(self.oscillator.raw_at(self.now), by);
    }

    /// A request leaves for an NTP server, a few µs from now.
    pub(super) fn ask_server(&mut self, server: usize, request: &[u8]) {
        self.record.ntp_requests += 1;
        let left = self.now + 3_000 + self.send_random.exponential(3_000.0) as i64;
        self.put(left, What::Ntp(server, Box::new(NtpWhat::Sent)));
        match self.servers[server].ask(left, request) {
            Fate::Lost => {}
            Fate::Refused(at) => self.put(at, What::Ntp(server, Box::new(NtpWhat::Refused))),
            Fate::Answered(at, payload) => {
                self.put(at, What::Ntp(server, Box::new(NtpWhat::Answer(payload))))
            }
        }
    }

    /// Number and clock of the leader with this identity.
    pub(super) fn leader(&self, id: LeaderId) -> Option<(usize, &LeaderClock)> {
        let index = self.leaders.iter().position(|leader| leader.id() == id)?;
        Some((index, &self.leaders[index].clock))
    }

    /// The Sync interval of a leader, in ns.
    pub(super) fn leader_interval(&self, index: usize) -> i64 {
        self.leaders[index].interval()
    }

    /// True time since a Follow_Up of this leader last arrived, in ns, as of `at`.
    pub(super) fn leader_age(&self, index: usize, at: i64) -> Option<i64> {
        self.heard[index].map(|heard| at - heard)
    }

    /// The seconds that have passed since the last call.
    pub(super) fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Lets time pass until a datagram can be read, or the raw clock has gone on by `timeout` ns, or the
    /// scenario is over; and a little further, as no program wakes up at once.
    pub(super) fn wait(&mut self, timeout: i64) {
        self.woken = false;
        // Longer than any scenario, and far from overflowing.
        let deadline = self.raw() + timeout.clamp(0, i64::MAX / 4);
        self.pass_until(self.now + WAIT_COST_NS);
        if !self.has_something_to_read() && self.sleep_until(deadline) {
            let lateness = wake_up(&self.scenario.reader, &mut self.wake_random);
            self.pass_until(self.now + lateness);
        }
        self.event.mark_readable();
        self.general.mark_readable();
        self.ntp.mark_readable();
    }

    /// Lets `span` ns pass, awake.
    pub(super) fn idle(&mut self, span: i64) {
        self.pass_until(self.now + span);
    }

    /// Lets time pass until the raw clock reads `deadline` (then the answer is true) or a datagram wakes us.
    fn sleep_until(&mut self, deadline: i64) -> bool {
        while !self.woken && !self.is_over() {
            let next = self.next_change();
            if self.oscillator.raw_at(next) >= deadline {
                let at = self.oscillator.time_of(deadline).unwrap_or(next);
                self.now = at.max(self.now);
                return true;
            }
            self.pass_until(next);
        }
        false
    }

    /// Lets true time pass until `until`; everything due by then happens.
    fn pass_until(&mut self, until: i64) {
        loop {
            let next = self.next_change();
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            if next == self.oscillator.until() {
                self.oscillator.next_segment();
            } else if let Some(Reverse(event)) = self.queue.pop() {
                self.happen(event.what);
            }
        }
        self.now = self.now.max(until);
    }

    /// True time of whatever happens next; never beyond the oscillator's segment.
    fn next_change(&self) -> i64 {
        let segment = self.oscillator.until();
        self.queue.peek().map_or(segment, |Reverse(event)| event.at.min(segment))
    }

    fn put(&mut self, at: i64, what: What) {
        self.queued += 1;
        self.queue.push(Reverse(Queued { at: at.max(self.now), number: self.queued, what }));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::LeaderTick(index) => self.leader_tick(index),
            What::StrangerTick(index) => {
                if let Some(message) = self.strangers[index].tick() {
                    self.deliver(message, STRANGER, index);
                }
                self.put_stranger(index);
            }
            What::Arrival(message, leader) => self.arrive(*message, leader),
            What::Ntp(..) if !self.can_receive() => {}
            What::Ntp(server, what) => {
                let stamp = self.system();
                self.ntp.offer(NtpArrival { server, stamp, what: *what });
                self.schedule_wake();
            }
            What::Wake => {
                self.wake_due = false;
                self.woken = self.has_something_to_read();
            }
            What::Foreign(index) => self.foreign_hand(index),
            What::Suspend(index) => self.sleep(self.scenario.suspend[index]),
            What::Link(host) => (self.host, self.link_changed) = (host, true),
            What::Mark => {
                let rate = (1.0 + self.oscillator.rate()) * (1.0 + self.system.rate()) - 1.0;
                if !self.away {
                    self.marks.push(Mark { at: self.now, system: self.system(), rate });
                }
                self.put(self.now + 1_000_000_000, What::Mark);
            }
        }
    }

    fn leader_tick(&mut self, index: usize) {
        if let Some(messages) = self.leaders[index].tick() {
            messages.into_iter().for_each(|message| self.deliver(message, LEADER, index));
            // Impostors speak for the first leader.
            for stranger in 0..self.strangers.len() * usize::from(index == 0) {
                let forged = self.strangers[stranger].follow(&self.leaders[0], messages[0].at);
                for message in forged.into_iter().flatten() {
                    self.deliver(message, STRANGER, stranger);
                }
            }
        }
        self.put(self.leaders[index].next_tick(), What::LeaderTick(index));
    }

    fn put_stranger(&mut self, index: usize) {
        if let Some(at) = self.strangers[index].next_tick() {
            self.put(at, What::StrangerTick(index));
        }
    }

    fn deliver(&mut self, message: Outgoing, kind: usize, index: usize) {
        let elapsed = self.elapsed(message.at);
        let random = &mut self.path_random[kind][index];
        let leader = (kind == LEADER).then_some(index);
        let delays = self.scenario.path.deliver(elapsed, &mut self.path_load, random);
        for delay in delays.into_iter().flatten() {
            self.put(message.at + delay, What::Arrival(Box::new(message), leader));
        }
    }

    fn can_receive(&self) -> bool {
        !self.away && self.host.is_some()
    }

    fn arrive(&mut self, message: Outgoing, leader: Option<usize>) {
        if !self.can_receive() {
            return;
        }
        let (stamp, raw_elapsed) = (self.system(), self.raw_elapsed());
        if let Some(tap) = &mut self.tap {
            tap.take(raw_elapsed, &message);
        }
        let Outgoing { port, source, payload, .. } = message;
        let received = Received { port, source, stamp, payload };
        let taken = match port {
            Port::Event => self.event.offer(received),
            Port::General => self.general.offer(received),
        };
        self.record.arrived += 1;
        self.record.overflowed += u64::from(!taken);
        if let (Port::General, Some(index)) = (port, leader) {
            self.heard[index] = Some(self.now);
        }
        self.schedule_wake();
    }

    fn schedule_wake(&mut self) {
        if !std::mem::replace(&mut self.wake_due, true) {
            let lateness = wake_up(&self.scenario.reader, &mut self.wake_random);
            self.put(self.now + lateness, What::Wake);
        }
    }

    fn has_something_to_read(&self) -> bool {
        let ptp = !self.event.waiting.is_empty() || !self.general.waiting.is_empty();
        ptp || !self.ntp.waiting.is_empty()
    }

    /// The computer sleeps, and wakes up: all of it happens at once for whoever waits.
    fn sleep(&mut self, plan: SuspendPlan) {
        let (raw, system, length) = (self.raw(), self.system(), ns_of_s(plan.length_s));
        self.be_away_until(self.now + length);
        let set = system + length + ns_of_s(plan.rtc_ms / 1e3);
        match plan.kind {
            SuspendKind::Linux => {
                self.oscillator.set(self.now, raw, 0.0);
                self.system.set(raw, set);
                self.slept += length;
            }
            SuspendKind::Windows => {
                self.system.set(self.raw(), set);
                self.slept += length;
            }
            SuspendKind::Pause => {
                self.oscillator.set(self.now, raw, 0.0);
                self.system.set(raw, system);
            }
        }
    }

    fn be_away_until(&mut self, until: i64) {
        self.away = true;
        self.pass_until(until);
        self.away = false;
    }

    /// The restart that is due, if one is.
    pub(super) fn restart_due(&self) -> Option<RestartPlan> {
        let plan = self.scenario.restart.get(self.restarts)?;
        (self.elapsed(self.now) >= ns_of_s(plan.at_s)).then_some(*plan)
    }

    /// The program ends here, and what follows is until the next one starts.
    pub(super) fn restart(&mut self, plan: RestartPlan) {
        self.restarts += 1;
        let (before, system) = (self.now, self.system());
        self.be_away_until(self.start + ns_of_s(plan.at_s + plan.down_s));
        for socket in [&mut self.event, &mut self.general] {
            socket.waiting.clear();
        }
        self.ntp.waiting.clear();
        if plan.kind == RestartKind::Reboot {
            self.boots += 1;
            self.slept = 0;
            self.oscillator.set(self.now, RAW_BOOT_NS, plan.calibration_ppm);
            let set = system + (self.now - before) + ns_of_s(plan.rtc_ms / 1e3);
            self.system = Steered::new(RAW_BOOT_NS, set);
        }
        let raw = self.raw();
        self.system.step(raw, ns_of_s(plan.moved_ms / 1e3));
    }

    /// How long the computer has slept since its boot, in ns.
    pub(super) fn slept(&self) -> i64 {
        self.slept
    }

    /// How often the computer was started anew.
    pub(super) fn boots(&self) -> u32 {
        self.boots
    }

    /// How often the computer's raw timeline has gone over to another counter.
    pub(super) fn counters(&self) -> usize {
        self.oscillator.counters_until(self.now)
    }

    /// The last octet of the computer's address, if it is on the network.
    pub(super) fn host(&self) -> Option<u8> {
        self.host
    }

    /// Whether the cable was pulled or put back since the last call.
    pub(super) fn take_link_change(&mut self) -> bool {
        std::mem::take(&mut self.link_changed)
    }

    /// Somebody else's hand: no command of ours.
    fn foreign_hand(&mut self, index: usize) {
        let plan = self.scenario.foreign[index];
        let raw = self.raw();
        self.system.step(raw, ns_of_s(plan.step_ms / 1e3));
        self.system.set_rate(raw, self.system.rate() + plan.slew_ppm * 1e-6);
    }
}

/// The two kinds of senders, as places in [`World::path_random`].
const LEADER: usize = 0;
const STRANGER: usize = 1;

fn path_streams(seed: u64, kind: &str, count: usize) -> Vec<Random> {
    (0..count).map(|index| Random::stream(seed, &format!("path of {kind} {index}"))).collect()
}

/// How late the program runs after it could, in ns.
fn wake_up(plan: &ReaderPlan, random: &mut Random) -> i64 {
    let usual = plan.wake_us * 1e3 + random.exponential(plan.wake_noise_us * 1e3);
    let stalled = random.chance(plan.stall_probability);
    let stall = random.exponential(plan.stall_ms * 1e6);
    (usual + if stalled { stall } else { 0.0 }) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads everything that comes in `seconds`, as (true time, message).
    fn listen(world: &mut World, seconds: i64) -> Vec<(i64, Received)> {
        let until = world.now() + seconds * 1_000_000_000;
        let mut heard = Vec::new();
        while world.now() < until {
            world.wait(1_000_000_000);
            let (event, general) = (world.event.read(), world.general.read());
            let now = world.now();
            heard.extend(event.into_iter().chain(general).map(|message| (now, message)));
        }
        heard
    }

    fn transcript(seed: u64) -> String {
        let mut world = World::new(&Scenario::default(), seed);
        let heard = listen(&mut world, 60);
        heard.iter().map(|(at, m)| format!("{at} {} {:x?}\n", m.stamp, m.payload.as_slice())).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(transcript(5), transcript(5));
        assert_ne!(transcript(5), transcript(6));
    }

    #[test]
    fn a_stranger_does_not_shift_the_noise_of_the_leader() {
        let stamps = |text| {
            let mut world = World::new(&Scenario::from_toml(text).unwrap(), 1);
            let mut heard = listen(&mut world, 20);
            heard.retain(|(_, message)| message.payload.as_slice()[1] == 1);
            heard.iter().take(150).map(|(_, message)| message.stamp).collect::<Vec<_>>()
        };
        assert_eq!(stamps(""), stamps("[[stranger]]\nkind = 'ptp_v2'\nper_s = 8.0"));
    }

    #[test]
    fn a_leader_is_heard_at_its_rhythm_and_stamped_at_the_arrival() {
        let mut world = World::new(&Scenario::default(), 1);
        let heard = listen(&mut world, 100);
        assert!((798..=802).contains(&heard.len()), "{}", heard.len());
        // The clock is 20 ms ahead and gains 23 ppm: stamped before it is read, and not long before.
        for (at, message) in heard {
            let late = at - (message.stamp - 20_000_000);
            assert!((-3_000_000..100_000_000).contains(&late), "{late}");
        }
    }

    #[test]
    fn the_system_clock_moves_only_by_commands() {
        let mut world = World::new(&Scenario::default(), 1);
        listen(&mut world, 1);
        let ahead = |world: &World| world.system() - world.raw();
        let before = ahead(&world);
        listen(&mut world, 50);
        assert_eq!(ahead(&world), before);
        world.set_system_rate(-10e-6);
        world.step_system(-7_000);
        let raw = world.raw();
        listen(&mut world, 50);
        let expected = before - 7_000 - (world.raw() - raw) / 100_000;
        assert!((ahead(&world) - expected).abs() <= 1);
        assert_eq!((world.record.commands, world.record.steps.len()), (2, 1));
    }

    #[test]
    fn a_foreign_hand_moves_the_clock_without_a_command() {
        let text = "[[foreign]]\nat_s = 10.0\nstep_ms = 1000.0\n[[foreign]]\nat_s = 20.0\nslew_ppm = 50.0";
        let mut world = World::new(&Scenario::from_toml(text).unwrap(), 1);
        let start = world.system() - world.raw();
        listen(&mut world, 15);
        assert_eq!(world.system() - world.raw() - start, 1_000_000_000);
        listen(&mut world, 15);
        let slewed = world.system() - world.raw() - start - 1_000_000_000;
        assert!((490_000..520_000).contains(&slewed), "{slewed}");
        assert_eq!(world.record.commands, 0);
    }

    #[test]
    fn a_socket_that_is_not_read_overflows() {
        let mut world = World::new(&Scenario::default(), 1);
        while world.elapsed(world.now()) < 100_000_000_000 {
            world.wait(1_000_000_000);
            world.pass_until(world.now() + 1_000_000_000);
        }
        assert_eq!(world.event.waiting.len(), 277);
        let waiting = world.event.waiting.len() + world.general.waiting.len();
        assert_eq!(world.record.overflowed, world.record.arrived - waiting as u64);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_of_raw_time() {
        let mut world = World::new(&Scenario::from_toml("leader = []\nntp = []").unwrap(), 1);
        for timeout in [0, 1_000, 700_000_000, 3_000_000_000] {
            let before = world.raw();
            world.wait(timeout);
            let late = world.raw() - before - timeout;
            assert!((0..100_000_000).contains(&late), "{timeout}: {late}");
        }
    }

    #[test]
    fn a_wait_without_end_ends_with_the_world() {
        let mut world = World::new(
            &Scenario::from_toml("leader = []\nduration_s = 30.0\nsteady_from_s = 0.0").unwrap(),
            1,
        );
        world.wait(i64::MAX);
        assert!(world.is_over());
        assert_eq!(world.take_marks().len(), 30);
    }
}
