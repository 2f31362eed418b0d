//! Which leader is followed, and its samples.
//!
//! The follower gives every datagram an [`Outcome`]. A leader counts only by its complete pairs of Sync and
//! Follow_Up: what sends Syncs alone is never qualified, elected, or kept in favour of one that is. The elected
//! leader, the *parent*, is left only when it falls silent, or when another one has won the election for ten
//! seconds without a break.

use std::net::Ipv4Addr;

use super::election::{self, Candidate, DataSet};
use super::pairing::{Half, Pair, Pairing, Sync};
use super::wire::{Body, Flags, Header, Message, SyncBody};
use super::{DropCounts, DropReason, Outcome, SyncSample};
use crate::net::{Datagram, Interface, Port};
use crate::time::{Leader, LeaderId, Raw, Span, Timestamp};

/// Leaders that are known at one time. A Dante subnet has one; more come from forgers.
const TABLE: usize = 32;

/// A leader that has not been heard for so long is forgotten, unless it is the parent.
const FORGOTTEN: Span = Span::from_secs(60);

/// A newcomer must win for this long before it replaces a parent that is still heard.
const PROBATION: Span = Span::from_secs(10);

/// How long the first choice of an interface waits for leaders on the other ones.
const FIRST_CHOICE: Span = Span::from_secs(1);

/// How long one version-2 message, or one version-1 message, tells what is spoken on the network. The filter lets
/// through 1 in 64 of them: of a lone PTPv2 leader that is one in some 25 s.
const VERSION_MEMORY: Span = Span::from_secs(60);

/// Follows the leader of one subdomain. Values in, values out: it has no clock and no socket.
#[derive(Debug)]
pub struct Follower {
    subdomain: [u8; 16],
    interfaces: Vec<Interface>,
    table: Vec<Entry>,
    parent: Option<Key>,
    probation: Option<(Key, Timestamp<Raw>)>,
    selected: Option<u32>,
    /// Since when a leader is qualified while no interface is selected.
    choosing_since: Option<Timestamp<Raw>>,
    version_one_heard: Option<Timestamp<Raw>>,
    version_two_heard: Option<Timestamp<Raw>>,
    foreign_subdomain: Option<([u8; 16], Timestamp<Raw>)>,
    follow_up_heard: Option<Timestamp<Raw>>,
    heard: Option<Timestamp<Raw>>,
    no_stamp_heard: Option<Timestamp<Raw>>,
    never_leads_heard: Option<Timestamp<Raw>>,
    drops: DropCounts,
    now: Timestamp<Raw>,
}

/// A leader on one interface; heard on two, it is two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    id: LeaderId,
    interface: u32,
}

#[derive(Debug)]
struct Entry {
    record: LeaderRecord,
    pairing: Pairing,
}

/// What is known of a leader.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaderRecord {
    /// Its identity.
    pub id: LeaderId,
    /// The interface it is heard on, by the operating system's number.
    pub interface: u32,
    /// The address it sends from.
    pub address: Ipv4Addr,
    /// What it said of itself in its last complete pair.
    pub data: DataSet,
    /// Two pairs came in close succession, and it has not fallen silent since.
    pub qualified: bool,
    /// Its Syncs are completed by Follow_Ups.
    pub two_step: bool,
    /// When its first Sync was handled.
    pub first_heard: Timestamp<Raw>,
    /// When its last Sync was handled, paired or not.
    pub last_heard: Timestamp<Raw>,
    /// When the Sync of its last complete pair arrived; `first_heard` as long as `pairs` is 0.
    pub last_sample: Timestamp<Raw>,
    /// Syncs that were not duplicates.
    pub syncs: u64,
    /// Complete pairs.
    pub pairs: u64,
    /// Its Sync interval: announced at first, then measured. Between 1/32 s and 32 s.
    pub interval: Span,
}

impl Follower {
    /// Knows of no leader yet. All 16 octets of `subdomain` must be equal in a message.
    pub fn new(subdomain: [u8; 16]) -> Self {
        Self {
            subdomain,
            interfaces: Vec::new(),
            table: Vec::with_capacity(TABLE),
            parent: None,
            probation: None,
            selected: None,
            choosing_since: None,
            version_one_heard: None,
            version_two_heard: None,
            foreign_subdomain: None,
            follow_up_heard: None,
            heard: None,
            no_stamp_heard: None,
            never_leads_heard: None,
            drops: DropCounts::default(),
            now: Timestamp::EPOCH,
        }
    }

    /// Tells which interfaces are listened on, at start and whenever they change.
    pub fn set_interfaces(&mut self, interfaces: &[Interface]) {
        self.interfaces = interfaces.to_vec();
    }

    /// Takes a datagram. A drop is counted already.
    ///
    /// The first pair of a leader, and all pairs before the first election, are `Pending`: they qualify their
    /// leader, and no sample is made of them later.
    pub fn handle_datagram(&mut self, datagram: &Datagram, now: Timestamp<Raw>) -> Outcome {
        self.now = now;
        self.heard = Some(now);
        self.accept(datagram).unwrap_or_else(|reason| {
            self.drops.add(reason);
            match reason {
                DropReason::NoStamp => self.no_stamp_heard = Some(now),
                DropReason::NeverLeads => self.never_leads_heard = Some(now),
                _ => {}
            }
            Outcome::Dropped(reason)
        })
    }

    /// Lets time pass: gives up what has waited too long for its other half, notices silence, elects.
    /// To be called at least every 100 ms or so, whether datagrams come or not.
    pub fn handle_time(&mut self, now: Timestamp<Raw>) {
        self.now = now;
        for entry in &mut self.table {
            entry.pairing.expire(now, &mut self.drops);
        }
        let parent = self.parent;
        let drops = &mut self.drops;
        self.table.retain_mut(|entry| {
            let is_parent = parent.is_some_and(|parent| entry.is(&parent));
            let keep = is_parent || now - entry.record.last_heard <= FORGOTTEN;
            if !keep {
                entry.pairing.abandon(drops);
            }
            keep
        });
        self.elect();
    }

    /// The leader that is followed; it stays when it falls silent, until another one is elected. Its
    /// `qualified` tells which.
    pub fn parent(&self) -> Option<&LeaderRecord> {
        self.find(self.parent?).map(|entry| &entry.record)
    }

    /// All leaders that are known, qualified or not, in no order.
    pub fn leaders(&self) -> impl Iterator<Item = &LeaderRecord> {
        self.table.iter().map(|entry| &entry.record)
    }

    /// The newcomer that will replace the parent if it goes on winning.
    pub fn probation(&self) -> Option<&LeaderRecord> {
        self.find(self.probation?.0).map(|entry| &entry.record)
    }

    /// How long that newcomer must still go on winning.
    pub fn probation_left(&self) -> Option<Span> {
        let (_, since) = self.probation?;
        Some((PROBATION - (self.now - since)).max(Span::ZERO))
    }

    /// Whether this record is the one that is followed.
    pub fn is_followed(&self, record: &LeaderRecord) -> bool {
        self.parent.is_some_and(|parent| parent.id == record.id && parent.interface == record.interface)
    }

    /// What was not used, by reason; Syncs and Follow_Ups that waited in vain included.
    pub fn drops(&self) -> &DropCounts {
        &self.drops
    }

    /// The interface whose leaders are followed, by the operating system's number.
    pub fn selected_interface(&self) -> Option<u32> {
        self.selected
    }

    /// PTPv2 was heard in the last minute, and no PTPv1 of any subdomain.
    pub fn only_version_two(&self) -> bool {
        let lately = |heard: Option<Timestamp<Raw>>| heard.is_some_and(|at| self.now - at <= VERSION_MEMORY);
        lately(self.version_two_heard) && !lately(self.version_one_heard)
    }

    /// The last other subdomain that was heard.
    pub fn foreign_subdomain(&self) -> Option<[u8; 16]> {
        self.foreign_subdomain.map(|(name, _)| name)
    }

    /// When that was.
    pub fn foreign_subdomain_heard(&self) -> Option<Timestamp<Raw>> {
        self.foreign_subdomain.map(|(_, at)| at)
    }

    /// When a Follow_Up of our subdomain was heard last, of whichever leader and with or without its Sync.
    pub fn follow_up_heard(&self) -> Option<Timestamp<Raw>> {
        self.follow_up_heard
    }

    /// When a datagram was taken last, whatever was in it.
    pub fn heard(&self) -> Option<Timestamp<Raw>> {
        self.heard
    }

    /// When a Sync came last that had no stamp.
    pub fn no_stamp_heard(&self) -> Option<Timestamp<Raw>> {
        self.no_stamp_heard
    }

    /// When a leader was heard last that says that it must not lead.
    pub fn never_leads_heard(&self) -> Option<Timestamp<Raw>> {
        self.never_leads_heard
    }

    fn accept(&mut self, datagram: &Datagram) -> Result<Outcome, DropReason> {
        let message = Message::parse(datagram.payload.as_slice());
        match message {
            Ok(_) => self.version_one_heard = Some(self.now),
            Err(DropReason::VersionTwo) => self.version_two_heard = Some(self.now),
            Err(_) => {}
        }
        let Message { header, body } = message?;
        if header.subdomain != self.subdomain {
            // Followers speak there too; only a leader is worth a word.
            if matches!(body, Body::Sync(_) | Body::FollowUp { .. }) {
                self.foreign_subdomain = Some((header.subdomain, self.now));
            }
            return Err(DropReason::Subdomain);
        }
        match (body, datagram.port) {
            (Body::Sync(sync), Port::Event) => self.handle_sync(&header, &sync, datagram),
            (Body::FollowUp { associated_sequence_id, precise_origin }, Port::General) => {
                self.follow_up_heard = Some(self.now);
                let key = Key { id: header.leader_id(), interface: datagram.interface };
                let sent = precise_origin.to_timestamp()?;
                self.handle_follow_up(key, associated_sequence_id, sent)
            }
            (Body::DelayReq(_), Port::Event) => Err(DropReason::DelayRequest),
            (Body::DelayResp { .. }, Port::General) => Err(DropReason::DelayResponse),
            (Body::Management(_), Port::General) => Err(DropReason::Management),
            _ => Err(DropReason::WrongPort),
        }
    }

    fn handle_sync(
        &mut self,
        header: &Header,
        body: &SyncBody,
        datagram: &Datagram,
    ) -> Result<Outcome, DropReason> {
        let now = self.now;
        if body.epoch_number != 0 {
            return Err(DropReason::Epoch);
        }
        let data = DataSet::from(body);
        if data.never_leads() {
            return Err(DropReason::NeverLeads);
        }
        let two_step = header.flags.contains(Flags::ASSIST);
        let whole = if two_step { None } else { Some(body.origin.to_timestamp()?) };
        let sync = Sync { stamp: datagram.stamp?, data };

        let key = Key { id: header.leader_id(), interface: datagram.interface };
        let index = self.place(key, |key| LeaderRecord {
            id: key.id,
            interface: key.interface,
            address: *datagram.source.ip(),
            data,
            qualified: false,
            two_step: false,
            first_heard: now,
            last_heard: now,
            last_sample: now,
            syncs: 0,
            pairs: 0,
            interval: announced_interval(body),
        })?;
        let Entry { record, pairing } =
            self.table.get_mut(index).expect("place returns an index of the table");
        let jump_allowed = record.may_jump(now);
        let pair = match whole {
            Some(sent) => Some(pairing.offer_whole(header.sequence_id, sent, sync, jump_allowed)?),
            None => {
                pairing.offer(header.sequence_id, Half::Sync(sync), jump_allowed, now, &mut self.drops)?
            }
        };
        record.syncs = record.syncs.saturating_add(1);
        record.last_heard = now;
        record.address = *datagram.source.ip();
        self.handle_pair(key, pair, two_step)
    }

    fn handle_follow_up(
        &mut self,
        key: Key,
        sequence: u16,
        sent: Timestamp<Leader>,
    ) -> Result<Outcome, DropReason> {
        let now = self.now;
        // A Follow_Up of which no Sync was ever heard makes no record.
        let entry = self.table.iter_mut().find(|entry| entry.is(&key)).ok_or(DropReason::NoSync)?;
        let jump_allowed = entry.record.may_jump(now);
        let half = Half::FollowUp(sent);
        let pair = entry.pairing.offer(sequence, half, jump_allowed, now, &mut self.drops)?;
        self.handle_pair(key, pair, true)
    }

    fn handle_pair(&mut self, key: Key, pair: Option<Pair>, two_step: bool) -> Result<Outcome, DropReason> {
        let Some(pair) = pair else { return Ok(Outcome::Pending) };
        let now = self.now;
        if let Some(entry) = self.table.iter_mut().find(|entry| entry.is(&key)) {
            entry.record.take(&pair, two_step, now);
        }
        self.elect();
        match self.parent {
            Some(parent) if parent == key => {}
            Some(_) if self.selected == Some(key.interface) => return Err(DropReason::NotElected),
            Some(_) => return Err(DropReason::OtherInterface),
            None => return Ok(Outcome::Pending),
        }
        if !self.is_heard(key) {
            return Ok(Outcome::Pending);
        }
        Ok(Outcome::Sample(SyncSample {
            leader: key.id,
            sequence: pair.sequence,
            sent: pair.sent,
            received: pair.sync.stamp,
        }))
    }

    fn find(&self, key: Key) -> Option<&Entry> {
        self.table.iter().find(|entry| entry.is(&key))
    }

    fn is_heard(&self, key: Key) -> bool {
        self.find(key).is_some_and(|entry| entry.record.qualified)
    }

    /// The index of the leader's entry. A new one takes the place of the oldest unqualified one, of those
    /// that never sent a Follow_Up first: in a flood of forged Syncs a true newcomer keeps its place with its
    /// first Follow_Up.
    fn place(&mut self, key: Key, new: impl FnOnce(Key) -> LeaderRecord) -> Result<usize, DropReason> {
        let mut oldest = None;
        // One way through the table for both: a flood goes it with every Sync.
        for (index, entry) in self.table.iter().enumerate() {
            let LeaderRecord { qualified, two_step, first_heard, .. } = entry.record;
            if entry.is(&key) {
                return Ok(index);
            }
            let age = (two_step, first_heard);
            if !qualified && oldest.is_none_or(|(_, oldest)| age < oldest) && !self.is_parent(entry) {
                oldest = Some((index, age));
            }
        }
        let fresh = Entry { record: new(key), pairing: Pairing::default() };
        if self.table.len() < TABLE {
            self.table.push(fresh);
            return Ok(self.table.len().saturating_sub(1));
        }
        let (index, _) = oldest.ok_or(DropReason::TableFull)?;
        let entry = self.table.get_mut(index).expect("it was found there");
        entry.pairing.abandon(&mut self.drops);
        *entry = fresh;
        Ok(index)
    }

    fn is_parent(&self, entry: &Entry) -> bool {
        self.parent.is_some_and(|parent| entry.is(&parent))
    }

    fn elect(&mut self) {
        for entry in &mut self.table {
            entry.record.notice_silence(self.now);
        }
        self.select_interface();
        let Some(interface) = self.selected else { return };
        let candidates = self.qualified().filter(|record| record.interface == interface);
        let Some(best) = election::best(candidates.map(LeaderRecord::candidate)) else {
            self.probation = None;
            return;
        };
        let best = Key { id: best.id, interface };
        let parent_heard =
            self.parent.is_some_and(|parent| parent.interface == interface && self.is_heard(parent));
        let probation_since = match self.probation {
            Some((key, since)) if key == best => since,
            _ => self.now,
        };
        if !parent_heard || self.now - probation_since >= PROBATION {
            self.parent = Some(best);
        }
        self.probation = (self.parent != Some(best)).then_some((best, probation_since));
    }

    fn qualified(&self) -> impl Iterator<Item = &LeaderRecord> + Clone {
        self.table.iter().map(|entry| &entry.record).filter(|record| record.qualified)
    }

    /// Stays with an interface as long as any leader is heard on it.
    fn select_interface(&mut self) {
        let selected_is_heard =
            self.qualified().any(|record| self.selected.is_some_and(|selected| record.interface == selected));
        if selected_is_heard {
            return;
        }
        let Some(choice) = self.best_interface() else {
            self.choosing_since = None;
            return;
        };
        if self.selected.is_none() && self.interfaces.len() > 1 {
            let since = *self.choosing_since.get_or_insert(self.now);
            if self.now - since < FIRST_CHOICE {
                return;
            }
        }
        self.selected = Some(choice);
    }

    /// Among the interfaces with leaders: a wired one before a wireless one, one with a device that is surely a
    /// Dante one before others, then the one with the best leader.
    fn best_interface(&self) -> Option<u32> {
        let class = |record: &LeaderRecord| (!self.is_wired(record.interface), !record.id.is_audinate());
        let best = self.qualified().min_by(|a, b| {
            let by_class = class(a).cmp(&class(b));
            let by_election = || election::compare(&a.candidate(), &b.candidate());
            by_class.then_with(by_election).then(a.interface.cmp(&b.interface))
        });
        best.map(|record| record.interface)
    }

    fn is_wired(&self, index: u32) -> bool {
        self.interfaces.iter().find(|interface| interface.index == index).is_none_or(|found| found.wired)
    }
}

impl Entry {
    fn is(&self, key: &Key) -> bool {
        self.record.id == key.id && self.record.interface == key.interface
    }
}

/// Two pairs qualify a leader when they are no further apart than this many Sync intervals: four by the
/// standard, one more for jitter.
const QUALIFYING_INTERVALS: i64 = 5;
/// Fast Syncs are read in bursts: pairs that are nearer than this always qualify.
const QUALIFYING_MIN: Span = Span::from_secs(1);

/// A leader is silent when its last pair is older than this many Sync intervals, within the limits below: ten
/// intervals are the receipt timeout of the standard, 2.5 s at Dante's 4 Sync/s.
const SILENT_INTERVALS: i64 = 10;
const SILENT_MIN: Span = Span::from_ms(2_500);
const SILENT_MAX: Span = Span::from_ms(4_500);

/// A jump of the sequence ids is followed when the old run has stood still for this many Sync intervals, within
/// the limits below: a leader that reboots is back in the lock's time, a replay beside a living leader is not.
const JUMP_INTERVALS: i64 = 4;
const JUMP_MIN: Span = Span::from_secs(1);
const JUMP_MAX: Span = SILENT_MIN;

/// The measured interval moves by this part of a deviation, and a deviation counts up to half the interval: a
/// late packet moves it by a few per cent and back, a wrong announcement is corrected in some 20 Syncs.
const INTERVAL_GAIN: i64 = 8;
const INTERVAL_MIN: Span = Span::from_ns(1_000_000_000 / 32);
const INTERVAL_MAX: Span = Span::from_secs(32);

/// What every Dante device announces; assumed of a leader that does not know its interval.
const USUAL_SYNC_INTERVAL_LOG2: i8 = -2;

impl LeaderRecord {
    /// As it stands in an election.
    pub const fn candidate(&self) -> Candidate {
        Candidate { id: self.id, data: self.data }
    }

    fn take(&mut self, pair: &Pair, two_step: bool, now: Timestamp<Raw>) {
        self.notice_silence(now);
        // A stamp from the future must not make the leader live longer.
        let arrived = pair.sync.stamp.at.min(now);
        if self.pairs == 0 {
            self.last_sample = arrived;
        } else {
            let apart = arrived - self.last_sample;
            self.measure_interval(apart, pair.advance);
            let near = self.interval.times(QUALIFYING_INTERVALS).clamp(QUALIFYING_MIN, SILENT_MAX);
            self.qualified |= apart <= near;
            self.last_sample = self.last_sample.max(arrived);
        }
        self.pairs = self.pairs.saturating_add(1);
        self.two_step |= two_step;
        self.data = pair.sync.data;
    }

    fn measure_interval(&mut self, apart: Span, advance: Option<u16>) {
        let Some(one) = advance.and_then(|steps| apart.as_ns().checked_div(i64::from(steps))) else { return };
        let limit = self.interval.half();
        let deviation = (Span::from_ns(one) - self.interval).clamp(-limit, limit);
        let moved = self.interval + Span::from_ns(deviation.as_ns() / INTERVAL_GAIN);
        self.interval = moved.clamp(INTERVAL_MIN, INTERVAL_MAX);
    }

    fn notice_silence(&mut self, now: Timestamp<Raw>) {
        let limit = self.interval.times(SILENT_INTERVALS).clamp(SILENT_MIN, SILENT_MAX);
        if now - self.last_sample > limit {
            self.qualified = false;
        }
    }

    fn may_jump(&self, now: Timestamp<Raw>) -> bool {
        now - self.last_sample > self.interval.times(JUMP_INTERVALS).clamp(JUMP_MIN, JUMP_MAX)
    }
}

fn announced_interval(body: &SyncBody) -> Span {
    const SECOND: Span = Span::from_secs(1);
    let log2 = body.sync_interval_log2().unwrap_or(USUAL_SYNC_INTERVAL_LOG2);
    let factor = 1_i64 << log2.unsigned_abs().min(4);
    if log2 < 0 { Span::from_ns(SECOND.as_ns() / factor) } else { SECOND.times(factor) }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::StampFault;
    use crate::config::DEFAULT_SUBDOMAIN;
    use crate::net::{Payload, Stamp, StampSource};
    use crate::ptp::wire::{PortIdentity, WireTime};

    /// A leader of which every message can be made; one Sync per 250 ms, `sent` is sequence × 250 ms.
    #[derive(Debug, Clone, Copy)]
    struct Device {
        uuid: [u8; 6],
        stratum: u8,
        preferred: bool,
        interface: u32,
        flags: Flags,
        sync_interval: i8,
    }

    fn device(uuid: u8) -> Device {
        let uuid = [0x02, 0, 0x5e, 0x10, 0, uuid];
        Device { uuid, stratum: 121, preferred: false, interface: 2, flags: Flags::DANTE, sync_interval: -2 }
    }

    impl Device {
        fn id(&self) -> LeaderId {
            LeaderId::V1 { technology: 1, uuid: self.uuid, port: 1, subdomain: DEFAULT_SUBDOMAIN }
        }

        fn datagram(&self, port: Port, sequence_id: u16, body: Body, at: Timestamp<Raw>) -> Datagram {
            let source = PortIdentity { technology: 1, uuid: self.uuid, port: 1 };
            let header = Header { subdomain: DEFAULT_SUBDOMAIN, source, sequence_id, flags: self.flags };
            let mut buffer = [0; 124];
            Datagram {
                interface: self.interface,
                port,
                source: SocketAddrV4::new(Ipv4Addr::new(169, 254, 0, 1), 49155),
                stamp: Ok(Stamp { at, uncertainty: Span::from_ns(50), source: StampSource::Kernel }),
                payload: Payload::new(Message { header, body }.to_bytes(&mut buffer).unwrap()),
            }
        }

        fn body(&self, sequence: u16) -> SyncBody {
            SyncBody {
                // Early, as Dante's.
                origin: WireTime::from_timestamp(sent(sequence) - Span::from_us(60)).unwrap_or_default(),
                grandmaster: PortIdentity { technology: 1, uuid: self.uuid, port: 0 },
                grandmaster_clock_stratum: self.stratum,
                grandmaster_clock_identifier: *b"DFLT",
                grandmaster_clock_variance: -4000,
                grandmaster_preferred: self.preferred,
                grandmaster_is_boundary_clock: true,
                sync_interval: self.sync_interval,
                ..SyncBody::default()
            }
        }

        fn sync(&self, sequence: u16, at: Timestamp<Raw>) -> Datagram {
            self.datagram(Port::Event, sequence, Body::Sync(self.body(sequence)), at)
        }

        fn follow_up_at(&self, sequence: u16, sent: Timestamp<Leader>, at: Timestamp<Raw>) -> Datagram {
            let precise_origin = WireTime::from_timestamp(sent).unwrap();
            let body = Body::FollowUp { associated_sequence_id: sequence, precise_origin };
            self.datagram(Port::General, sequence, body, at)
        }

        fn follow_up(&self, sequence: u16, at: Timestamp<Raw>) -> Datagram {
            self.follow_up_at(sequence, sent(sequence), at)
        }
    }

    fn sent(sequence: u16) -> Timestamp<Leader> {
        Timestamp::from_ns(i64::from(sequence) * 250_000_000)
    }

    fn ms(ms: i64) -> Timestamp<Raw> {
        Timestamp::EPOCH + Span::from_ms(ms)
    }

    fn interface(index: u32, wired: bool) -> Interface {
        Interface { index, name: format!("eth{index}"), address: Ipv4Addr::LOCALHOST, wired }
    }

    fn follower() -> Follower {
        let mut follower = Follower::new(DEFAULT_SUBDOMAIN);
        follower.set_interfaces(&[interface(2, true)]);
        follower
    }

    /// Sync and Follow_Up at `at`; what became of the Follow_Up.
    fn pair(follower: &mut Follower, device: &Device, sequence: u16, at: Timestamp<Raw>) -> Outcome {
        follower.handle_time(at);
        let first = follower.handle_datagram(&device.sync(sequence, at), at);
        let second = follower.handle_datagram(&device.follow_up(sequence, at), at);
        if matches!(first, Outcome::Sample(_)) { first } else { second }
    }

    /// One pair of each device every 250 ms, from the sequence that fits `from_ms` on; the number of samples of
    /// each.
    fn run<const N: usize>(
        follower: &mut Follower,
        devices: [&Device; N],
        from_ms: i64,
        to_ms: i64,
    ) -> [usize; N] {
        let mut samples = [0; N];
        for tick in from_ms / 250..to_ms / 250 {
            for (device, count) in devices.iter().zip(&mut samples) {
                let outcome = pair(follower, device, u16::try_from(tick).unwrap(), ms(tick * 250));
                *count += usize::from(is_sample(outcome));
            }
        }
        samples
    }

    fn is_sample(outcome: Outcome) -> bool {
        matches!(outcome, Outcome::Sample(_))
    }

    fn parent(follower: &Follower) -> Option<LeaderId> {
        follower.parent().map(|record| record.id)
    }

    #[test]
    fn the_first_pair_qualifies_and_the_second_is_a_sample() {
        let (mut follower, leader) = (follower(), device(1));
        assert_eq!(pair(&mut follower, &leader, 0, ms(0)), Outcome::Pending);
        assert_eq!(follower.parent(), None);
        let Outcome::Sample(sample) = pair(&mut follower, &leader, 1, ms(250)) else { panic!() };
        assert_eq!((sample.leader, sample.sequence), (leader.id(), 1));
        assert_eq!((sample.sent, sample.received.at), (sent(1), ms(250)));
        let record = follower.parent().unwrap();
        assert!(record.qualified && record.two_step);
        assert_eq!((record.syncs, record.pairs, record.last_sample), (2, 2, ms(250)));
        assert_eq!(record.address, Ipv4Addr::new(169, 254, 0, 1));
        assert_eq!(follower.drops(), &DropCounts::default());
    }

    #[test]
    fn two_pairs_that_are_far_apart_do_not_qualify() {
        let (mut follower, leader) = (follower(), device(1));
        pair(&mut follower, &leader, 0, ms(0));
        assert_eq!(pair(&mut follower, &leader, 6, ms(1_500)), Outcome::Pending);
        assert!(is_sample(pair(&mut follower, &leader, 10, ms(2_500))));
    }

    #[test]
    fn a_follow_up_may_overtake_its_sync() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        assert_eq!(follower.handle_datagram(&leader.follow_up(4, ms(1_000)), ms(1_000)), Outcome::Pending);
        let outcome = follower.handle_datagram(&leader.sync(4, ms(1_001)), ms(1_001));
        let Outcome::Sample(sample) = outcome else { panic!("{outcome:?}") };
        assert_eq!((sample.sent, sample.received.at), (sent(4), ms(1_001)));
    }

    #[test]
    fn duplicates_make_no_second_sample() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        let (sync, follow_up) = (leader.sync(4, ms(1_000)), leader.follow_up(4, ms(1_000)));
        let duplicate = Outcome::Dropped(DropReason::Duplicate);
        assert_eq!(follower.handle_datagram(&sync, ms(1_000)), Outcome::Pending);
        assert_eq!(follower.handle_datagram(&sync, ms(1_000)), duplicate);
        assert!(is_sample(follower.handle_datagram(&follow_up, ms(1_000))));
        assert_eq!(follower.handle_datagram(&follow_up, ms(1_000)), duplicate);
        assert_eq!(follower.handle_datagram(&sync, ms(1_000)), duplicate);
        assert_eq!(follower.drops().of(DropReason::Duplicate), 3);
        assert_eq!(follower.parent().unwrap().syncs, 5);
    }

    #[test]
    fn a_half_waits_for_one_second() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        follower.handle_datagram(&leader.sync(4, ms(1_000)), ms(1_000));
        assert!(is_sample(follower.handle_datagram(&leader.follow_up(4, ms(2_000)), ms(2_000))));

        follower.handle_datagram(&leader.sync(5, ms(2_000)), ms(2_000));
        follower.handle_datagram(&leader.follow_up(6, ms(2_000)), ms(2_000));
        follower.handle_time(ms(3_000));
        assert_eq!(follower.drops(), &DropCounts::default());
        follower.handle_time(ms(3_001));
        assert_eq!(follower.drops().of(DropReason::NoFollowUp), 1);
        assert_eq!(follower.drops().of(DropReason::NoSync), 1);
        let late = follower.handle_datagram(&leader.follow_up(5, ms(3_001)), ms(3_001));
        assert_eq!(late, Outcome::Pending);
    }

    #[test]
    fn no_more_than_eight_halves_wait() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        for sequence in 4..13 {
            follower.handle_datagram(&leader.sync(sequence, ms(1_000)), ms(1_000 + i64::from(sequence)));
        }
        assert_eq!(follower.drops().of(DropReason::NoFollowUp), 1);
        let now = ms(1_020);
        assert!(!is_sample(follower.handle_datagram(&leader.follow_up(4, now), now)));
        assert!(is_sample(follower.handle_datagram(&leader.follow_up(12, now), now)));
    }

    #[test]
    fn a_follow_up_of_another_port_or_interface_does_not_pair() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        follower.handle_datagram(&leader.sync(4, ms(1_000)), ms(1_000));
        for stranger in [device(2), Device { interface: 3, ..leader }] {
            let outcome = follower.handle_datagram(&stranger.follow_up(4, ms(1_000)), ms(1_000));
            assert_eq!(outcome, Outcome::Dropped(DropReason::NoSync));
        }
    }

    #[test]
    fn sequence_ids_wrap() {
        let (mut follower, leader) = (follower(), device(1));
        let mut samples = 0;
        for tick in 0..20_u16 {
            let sequence = tick.wrapping_sub(10);
            samples +=
                usize::from(is_sample(pair(&mut follower, &leader, sequence, ms(i64::from(tick) * 250))));
        }
        assert_eq!(samples, 19);
        assert_eq!(follower.drops(), &DropCounts::default());
    }

    #[test]
    fn a_leader_that_reboots_is_back_within_two_seconds() {
        // Where the old run stood when the new one begins at 0 without a pause; 10 is inside the run's window.
        for stood in [10, 20, 3_000, 40_000] {
            let (mut follower, leader) = (follower(), device(1));
            for tick in 0..10_u16 {
                pair(&mut follower, &leader, stood - 9 + tick, ms(i64::from(tick) * 250));
            }
            // Rebooted devices tell other nanoseconds than before.
            let outcomes = (0..40_u16).map(|tick| {
                let now = ms(2_500 + i64::from(tick) * 250);
                let sent = sent(tick) + Span::from_ns(12_345);
                follower.handle_time(now);
                follower.handle_datagram(&leader.sync(tick, now), now);
                follower.handle_datagram(&leader.follow_up_at(tick, sent, now), now)
            });
            let samples = outcomes.skip(8).filter(|outcome| is_sample(*outcome)).count();
            assert_eq!(samples, 32, "{stood}");
        }
    }

    #[test]
    fn a_replay_beside_a_living_leader_refreshes_nothing() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 60_000);
        for tick in 240..400_u16 {
            let now = ms(i64::from(tick) * 250);
            assert!(is_sample(pair(&mut follower, &leader, tick, now)));
            let before = follower.parent().cloned();
            let old = tick - 200;
            assert_eq!(
                pair(&mut follower, &leader, old, now + Span::from_ms(100)),
                Outcome::Dropped(DropReason::Duplicate)
            );
            assert_eq!(follower.parent().cloned(), before);
        }
    }

    #[test]
    fn a_replay_of_the_last_pairs_does_not_keep_a_dead_leader_alive() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 20_000);
        let last = follower.parent().unwrap().last_sample;
        for (tick, old) in (48..80_u16).enumerate() {
            let now = ms(20_000 + i64::try_from(tick).unwrap() * 250);
            let outcome = pair(&mut follower, &leader, old, now);
            assert_eq!(outcome, Outcome::Dropped(DropReason::Duplicate));
        }
        assert_eq!(follower.parent().unwrap().last_sample, last);
        assert!(!follower.parent().unwrap().qualified);
    }

    #[test]
    fn a_one_step_sync_is_a_sample_at_once() {
        let leader = Device { flags: Flags::BOUNDARY_CLOCK, ..device(1) };
        let mut follower = follower();
        assert_eq!(follower.handle_datagram(&leader.sync(3, ms(0)), ms(0)), Outcome::Pending);
        let outcome = follower.handle_datagram(&leader.sync(4, ms(250)), ms(250));
        let Outcome::Sample(sample) = outcome else { panic!("{outcome:?}") };
        assert_eq!(sample.sent, sent(4) - Span::from_us(60));
        let again = follower.handle_datagram(&leader.sync(4, ms(251)), ms(251));
        assert_eq!(again, Outcome::Dropped(DropReason::Duplicate));
    }

    #[test]
    fn a_sync_without_a_good_stamp_is_counted_with_its_reason() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        let last = follower.parent().unwrap().last_sample;
        let faults = [
            (StampFault::Missing, DropReason::NoStamp),
            (StampFault::StraddlesStep, DropReason::StampStraddlesStep),
            (StampFault::OutOfHistory, DropReason::StampOutOfHistory),
        ];
        for (sequence, (fault, reason)) in (4..).zip(faults) {
            let sync = Datagram { stamp: Err(fault), ..leader.sync(sequence, ms(1_000)) };
            assert_eq!(follower.handle_datagram(&sync, ms(1_000)), Outcome::Dropped(reason));
            let follow_up = leader.follow_up(sequence, ms(1_000));
            assert_eq!(follower.handle_datagram(&follow_up, ms(1_000)), Outcome::Pending);
            assert_eq!(follower.drops().of(reason), 1);
        }
        assert_eq!(follower.parent().unwrap().last_sample, last);
        // A Follow_Up carries no time of arrival that matters.
        follower.handle_datagram(&leader.sync(7, ms(1_000)), ms(1_000));
        let follow_up = Datagram { stamp: Err(StampFault::Missing), ..leader.follow_up(7, ms(1_000)) };
        assert!(is_sample(follower.handle_datagram(&follow_up, ms(1_000))));
    }

    #[test]
    fn what_must_not_lead_makes_no_record() {
        let mut follower = follower();
        let never = Device { stratum: 255, ..device(1) };
        let outcome = follower.handle_datagram(&never.sync(0, ms(0)), ms(0));
        assert_eq!(outcome, Outcome::Dropped(DropReason::NeverLeads));
        let body = Body::Sync(SyncBody { epoch_number: 1, ..device(1).body(0) });
        let outcome = follower.handle_datagram(&device(1).datagram(Port::Event, 0, body, ms(0)), ms(0));
        assert_eq!(outcome, Outcome::Dropped(DropReason::Epoch));
        assert_eq!(follower.leaders().count(), 0);
    }

    #[test]
    fn messages_on_the_wrong_port_are_not_used() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        let wrong = Outcome::Dropped(DropReason::WrongPort);
        let sync = Datagram { port: Port::General, ..leader.sync(4, ms(1_000)) };
        assert_eq!(follower.handle_datagram(&sync, ms(1_000)), wrong);
        let follow_up = Datagram { port: Port::Event, ..leader.follow_up(4, ms(1_000)) };
        assert_eq!(follower.handle_datagram(&follow_up, ms(1_000)), wrong);
    }

    /// The n-th of many forgers.
    fn forger(n: u32) -> Device {
        let [a, b, c, d] = n.to_be_bytes();
        Device { uuid: [0x02, 0xff, a, b, c, d], stratum: 0, preferred: true, ..device(0) }
    }

    #[test]
    fn a_flood_of_forged_syncs_disturbs_nothing_even_from_the_start() {
        // Two-step ones, and ones that claim to need no Follow_Up.
        for flags in [Flags::DANTE, Flags(0)] {
            let (mut follower, leader) = (follower(), device(1));
            let mut samples = 0;
            for millisecond in 0..10_000_u32 {
                let now = ms(i64::from(millisecond));
                let sequence = u16::try_from(millisecond / 250).unwrap();
                let forged = Device { flags, ..forger(millisecond) };
                match millisecond % 250 {
                    100 => drop(follower.handle_datagram(&leader.sync(sequence, now), now)),
                    // Four forged Syncs later.
                    104 => {
                        let outcome = follower.handle_datagram(&leader.follow_up(sequence, now), now);
                        samples += usize::from(is_sample(outcome));
                    }
                    _ => assert!(!is_sample(follower.handle_datagram(&forged.sync(7, now), now))),
                }
                follower.handle_time(now);
                assert!(follower.leaders().count() <= TABLE);
            }
            assert_eq!(samples, 39);
            assert_eq!(parent(&follower), Some(leader.id()));
            assert_eq!(follower.probation(), None);
            assert_eq!(follower.drops().of(DropReason::Duplicate), 0);
            if flags == Flags::DANTE {
                let waiting = follower.leaders().filter(|record| !record.qualified).count();
                let given_up = follower.drops().of(DropReason::NoFollowUp);
                assert_eq!(given_up + u64::try_from(waiting).unwrap(), 10_000 - 80);
            }
        }
    }

    #[test]
    fn qualified_leaders_are_not_evicted() {
        let mut follower = follower();
        for tick in 0..2_u16 {
            for n in 0..32 {
                pair(&mut follower, &forger(n), tick, ms(i64::from(tick) * 250));
            }
        }
        let now = ms(260);
        let outcome = follower.handle_datagram(&device(1).sync(0, now), now);
        assert_eq!(outcome, Outcome::Dropped(DropReason::TableFull));
        assert_eq!(follower.leaders().filter(|record| record.qualified).count(), 32);
        // Silent ones make room, the parent excepted.
        follower.handle_time(ms(10_000));
        assert_eq!(follower.handle_datagram(&device(1).sync(0, ms(10_000)), ms(10_000)), Outcome::Pending);
        for n in 100..200 {
            follower.handle_datagram(&forger(n).sync(0, ms(10_000)), ms(10_000));
        }
        assert_eq!(parent(&follower), Some(forger(0).id()));
        assert!(follower.leaders().count() == TABLE);
    }

    #[test]
    fn leaders_are_forgotten_but_the_parent_is_not() {
        let (mut follower, leader, other) = (follower(), device(1), device(2));
        run(&mut follower, [&leader, &other], 0, 1_000);
        follower.handle_time(ms(60_750));
        assert_eq!(follower.leaders().count(), 2);
        follower.handle_time(ms(60_751));
        assert_eq!(follower.leaders().map(|record| record.id).collect::<Vec<_>>(), [leader.id()]);
        assert_eq!(parent(&follower), Some(leader.id()));
    }

    #[test]
    fn a_silent_parent_is_left_at_once_for_the_best_of_the_others() {
        let mut follower = follower();
        let (leader, second) = (device(1), device(2));
        let third = Device { stratum: 153, ..device(0) };
        run(&mut follower, [&leader, &third, &second], 0, 5_000);
        assert_eq!(parent(&follower), Some(leader.id()));
        // From the second pair of the parent on.
        assert_eq!(follower.drops().of(DropReason::NotElected), 38);
        run(&mut follower, [&third, &second], 5_000, 7_500);
        // The last pair came at 4750 ms.
        follower.handle_time(ms(7_250));
        assert_eq!(parent(&follower), Some(leader.id()));
        follower.handle_time(ms(7_251));
        assert_eq!(parent(&follower), Some(second.id()));
    }

    #[test]
    fn a_silent_parent_stays_where_there_is_no_other() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        follower.handle_time(ms(100_000));
        assert!(!follower.parent().unwrap().qualified);
        assert_eq!(run(&mut follower, [&leader], 100_000, 101_000), [3]);
    }

    #[test]
    fn syncs_without_follow_ups_do_not_keep_a_leader_alive() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        for tick in 4..20_u16 {
            let now = ms(i64::from(tick) * 250);
            follower.handle_datagram(&leader.sync(tick, now), now);
            follower.handle_time(now);
        }
        assert!(!follower.parent().unwrap().qualified);
        assert_eq!(follower.parent().unwrap().last_sample, ms(750));
    }

    #[test]
    fn a_better_newcomer_takes_over_after_ten_seconds() {
        let (mut follower, leader) = (follower(), device(1));
        let newcomer = Device { preferred: true, ..device(2) };
        run(&mut follower, [&leader], 0, 5_000);
        assert_eq!(run(&mut follower, [&leader, &newcomer], 5_000, 15_250), [41, 0]);
        assert_eq!(follower.probation().map(|record| record.id), Some(newcomer.id()));
        assert_eq!(parent(&follower), Some(leader.id()));
        // It was qualified at 5250 ms.
        follower.handle_time(ms(15_249));
        assert_eq!(parent(&follower), Some(leader.id()));
        follower.handle_time(ms(15_250));
        assert_eq!(parent(&follower), Some(newcomer.id()));
        assert_eq!(follower.probation(), None);
        assert_eq!(run(&mut follower, [&leader, &newcomer], 15_250, 16_250), [0, 4]);
    }

    #[test]
    fn a_worse_newcomer_never_takes_over() {
        let (mut follower, leader) = (follower(), device(1));
        let newcomer = Device { stratum: 123, ..device(0) };
        run(&mut follower, [&leader, &newcomer], 0, 30_000);
        assert_eq!(parent(&follower), Some(leader.id()));
        assert_eq!(follower.probation(), None);
    }

    #[test]
    fn a_newcomer_that_falls_silent_begins_its_probation_anew() {
        let (mut follower, leader) = (follower(), device(1));
        let newcomer = Device { preferred: true, ..device(2) };
        run(&mut follower, [&leader, &newcomer], 0, 8_000);
        assert!(follower.probation().is_some());
        run(&mut follower, [&leader], 8_000, 11_000);
        assert_eq!(follower.probation(), None);
        run(&mut follower, [&leader, &newcomer], 11_000, 21_000);
        assert_eq!(parent(&follower), Some(leader.id()));
        run(&mut follower, [&leader, &newcomer], 21_000, 22_000);
        assert_eq!(parent(&follower), Some(newcomer.id()));
    }

    #[test]
    fn a_still_better_newcomer_begins_its_own_probation() {
        let (mut follower, leader) = (follower(), device(1));
        let [better, best] = [3, 2].map(|uuid| Device { preferred: true, ..device(uuid) });
        run(&mut follower, [&leader, &better], 0, 8_000);
        run(&mut follower, [&leader, &better, &best], 8_000, 18_000);
        assert_eq!(parent(&follower), Some(leader.id()));
        run(&mut follower, [&leader, &better, &best], 18_000, 19_000);
        assert_eq!(parent(&follower), Some(best.id()));
    }

    #[test]
    fn nobody_is_on_probation_when_all_are_silent() {
        let (mut follower, leader) = (follower(), device(1));
        let newcomer = Device { preferred: true, ..device(2) };
        run(&mut follower, [&leader, &newcomer], 0, 5_000);
        assert!(follower.probation().is_some());
        follower.handle_time(ms(9_000));
        assert_eq!(follower.probation(), None);
    }

    #[test]
    fn a_stamp_from_the_future_does_not_keep_a_leader_alive() {
        let (mut follower, leader) = (follower(), device(1));
        run(&mut follower, [&leader], 0, 1_000);
        follower.handle_datagram(&leader.sync(4, ms(3_600_000)), ms(1_000));
        follower.handle_datagram(&leader.follow_up(4, ms(1_000)), ms(1_000));
        assert_eq!(follower.parent().unwrap().last_sample, ms(1_000));
    }

    #[test]
    fn the_first_choice_prefers_a_wired_interface() {
        let mut follower = follower();
        follower.set_interfaces(&[interface(2, false), interface(3, true)]);
        let wireless = Device { preferred: true, uuid: [0, 0x1d, 0xc1, 0, 0, 1], ..device(1) };
        let wired = Device { interface: 3, ..device(2) };
        assert_eq!(run(&mut follower, [&wireless], 0, 500), [0]);
        assert_eq!(run(&mut follower, [&wireless, &wired], 500, 1_250), [0, 0]);
        assert_eq!(follower.selected_interface(), None);
        assert_eq!(run(&mut follower, [&wireless, &wired], 1_250, 3_000), [0, 7]);
        assert_eq!(follower.selected_interface(), Some(3));
        // The choice is made at 1250 ms.
        assert_eq!(follower.drops().of(DropReason::OtherInterface), 7);
    }

    #[test]
    fn the_first_choice_prefers_audinate_devices_then_the_better_leader() {
        let audinate = Device { uuid: [0, 0x1d, 0xc1, 0, 0, 1], interface: 3, stratum: 153, ..device(1) };
        let other = Device { preferred: true, ..device(2) };
        for (first, second) in [(other, audinate), (device(2), Device { interface: 3, ..device(1) })] {
            let mut follower = follower();
            follower.set_interfaces(&[interface(2, true), interface(3, true)]);
            run(&mut follower, [&first, &second], 0, 3_000);
            assert_eq!(follower.selected_interface(), Some(3));
            assert_eq!(parent(&follower), Some(second.id()));
        }
    }

    #[test]
    fn another_interface_is_chosen_only_when_all_leaders_on_the_first_are_silent() {
        let mut follower = follower();
        follower.set_interfaces(&[interface(2, true), interface(3, true)]);
        let (leader, second) = (device(1), Device { stratum: 153, ..device(2) });
        let better = Device { interface: 3, preferred: true, ..device(3) };
        run(&mut follower, [&leader, &second], 0, 3_000);
        run(&mut follower, [&leader, &second, &better], 3_000, 20_000);
        assert_eq!((parent(&follower), follower.probation()), (Some(leader.id()), None));
        run(&mut follower, [&second, &better], 20_000, 25_000);
        assert_eq!(parent(&follower), Some(second.id()));
        assert!(run(&mut follower, [&better], 25_000, 30_000)[0] >= 9);
        assert_eq!(parent(&follower), Some(better.id()));
        // And back: not while the new one is heard.
        run(&mut follower, [&leader, &better], 30_000, 50_000);
        assert_eq!(parent(&follower), Some(better.id()));
    }

    #[test]
    fn the_interval_is_measured() {
        // It announces 16 s, or does not know.
        for sync_interval in [4, 0x7f, -2] {
            let (mut follower, leader) = (follower(), Device { sync_interval, ..device(1) });
            for tick in 0..120_u16 {
                // Every third one is lost, every tenth one 100 ms late.
                if tick % 3 != 0 {
                    let late = if tick % 10 == 0 { 100 } else { 0 };
                    pair(&mut follower, &leader, tick, ms(i64::from(tick) * 250 + late));
                }
            }
            let interval = follower.parent().unwrap().interval;
            assert!((interval - Span::from_ms(250)).abs() < Span::from_ms(20), "{sync_interval}: {interval}");
        }
    }

    #[test]
    fn slow_leaders_are_given_more_time_before_they_are_silent() {
        let mut follower = follower();
        let leader = Device { sync_interval: 0, ..device(1) };
        for second in 0..20_u16 {
            pair(&mut follower, &leader, second, ms(i64::from(second) * 1_000));
        }
        follower.handle_time(ms(19_000 + 4_500));
        assert!(follower.parent().unwrap().qualified);
        follower.handle_time(ms(19_000 + 4_501));
        assert!(!follower.parent().unwrap().qualified);
    }

    #[test]
    fn a_network_that_speaks_only_version_two_is_noticed() {
        let mut follower = follower();
        let mut version_two = device(1).sync(0, ms(0));
        version_two.payload = Payload::new(&[0x00, 0x02, 0x00, 0x2c, 0, 0, 2, 0]);
        assert!(!follower.only_version_two());
        let outcome = follower.handle_datagram(&version_two, ms(0));
        assert_eq!(outcome, Outcome::Dropped(DropReason::VersionTwo));
        assert!(follower.only_version_two());
        follower.handle_datagram(&device(1).sync(0, ms(1_000)), ms(1_000));
        assert!(!follower.only_version_two());
        follower.handle_datagram(&version_two, ms(61_001));
        assert!(follower.only_version_two());
        follower.handle_time(ms(121_002));
        assert!(!follower.only_version_two());
    }

    #[test]
    fn another_subdomain_is_reported_and_nothing_else() {
        let mut follower = Follower::new(*b"_ALT1\0\0\0\0\0\0\0\0\0\0\0");
        // A follower's request: there may be no leader where it comes from.
        let mut request = device(1).sync(0, ms(0));
        let mut bytes = request.payload.as_slice().to_vec();
        bytes[32] = 1;
        request.payload = Payload::new(&bytes);
        let outcome = follower.handle_datagram(&request, ms(0));
        assert_eq!(outcome, Outcome::Dropped(DropReason::Subdomain));
        assert_eq!(follower.foreign_subdomain(), None);
        run(&mut follower, [&device(1)], 0, 1_000);
        assert_eq!(follower.foreign_subdomain(), Some(DEFAULT_SUBDOMAIN));
        assert_eq!(follower.drops().of(DropReason::Subdomain), 9);
        assert_eq!(follower.leaders().count(), 0);
    }

    proptest! {
        /// Each message is delivered 0, 1 or 2 times, up to 1.5 s late.
        #[test]
        fn whatever_is_lost_doubled_or_reordered_no_sample_is_false_or_twice(
            deliveries in prop::collection::vec(
                (any::<bool>(), 0..200_u16, prop::bool::weighted(0.1), 0..1_500_i64), 1..600)
        ) {
            let leader = device(1);
            let mut events = deliveries.iter().map(|&(is_sync, tick, late, delay)| {
                let delay = if late { delay } else { delay % 3 };
                (i64::from(tick) * 250 + delay, is_sync, tick)
            }).collect::<Vec<_>>();
            events.sort_unstable();
            let (mut follower, mut seen) = (follower(), std::collections::BTreeSet::new());
            for (at, is_sync, tick) in events {
                let sequence = tick.wrapping_sub(100);
                // The time of arrival tells the sequence id, and so does the time sent.
                let arrival = ms(i64::from(tick) * 250);
                let datagram = if is_sync {
                    leader.sync(sequence, arrival)
                } else {
                    leader.follow_up(sequence, arrival)
                };
                follower.handle_time(ms(at));
                if let Outcome::Sample(sample) = follower.handle_datagram(&datagram, ms(at)) {
                    prop_assert_eq!(sample.sent, sent(sample.sequence));
                    let tick = sample.sequence.wrapping_add(100);
                    prop_assert_eq!(sample.received.at, ms(i64::from(tick) * 250));
                    prop_assert!(seen.insert(sample.sequence), "twice: {}", sample.sequence);
                }
            }
        }

        #[test]
        fn no_datagram_panics(
            datagrams in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..256), any::<bool>(), any::<i64>()), 0..50)
        ) {
            let mut follower = follower();
            for (mut bytes, event, now) in datagrams {
                let template = device(1).sync(0, ms(0));
                for (to, from) in bytes.iter_mut().zip(template.payload.as_slice().iter().take(34)) {
                    *to = *from;
                }
                let now = Timestamp::from_ns(now);
                let port = if event { Port::Event } else { Port::General };
                let stamp = template.stamp.map(|stamp| Stamp { at: now, ..stamp });
                follower.handle_time(now);
                follower.handle_datagram(&Datagram { payload: Payload::new(&bytes), port, stamp, ..template }, now);
            }
        }
    }
}
