//! The bytes of PTPv1 (IEEE 1588-2002), as Dante sends them over UDP/IPv4.
//!
//! The format rests on independent implementations that agree and on captured frames; the golden bytes are in
//! `tests/data/vectors.json`. What a message *means* is decided in [`super::follower`].

use super::DropReason;
use crate::time::{Leader, LeaderId, Timestamp};

/// Where each field stands, in octets from the start of the UDP payload; everything is big-endian. The body
/// fields stand at the *end* of groups of four octets, reserved octets before them are sent as 0 and ignored.
mod at {
    // Header, all messages.
    pub(super) const VERSION_PTP: usize = 0; // u16
    pub(super) const VERSION_NETWORK: usize = 2; // u16
    pub(super) const SUBDOMAIN: usize = 4; // 16 octets
    pub(super) const MESSAGE_TYPE: usize = 20; // u8
    pub(super) const SOURCE: usize = 21; // technology u8, uuid 6 octets, port u16
    pub(super) const SEQUENCE_ID: usize = 30; // u16
    pub(super) const CONTROL: usize = 32; // u8
    pub(super) const FLAGS: usize = 34; // u16
    // Sync and Delay_Req.
    pub(super) const ORIGIN_TIMESTAMP: usize = 40; // time
    pub(super) const EPOCH_NUMBER: usize = 48; // u16
    pub(super) const CURRENT_UTC_OFFSET: usize = 50; // i16
    pub(super) const GRANDMASTER: usize = 53; // technology u8, uuid 6 octets, port u16
    pub(super) const GRANDMASTER_SEQUENCE_ID: usize = 62; // u16
    pub(super) const GRANDMASTER_CLOCK_STRATUM: usize = 67; // u8
    pub(super) const GRANDMASTER_CLOCK_IDENTIFIER: usize = 68; // 4 octets
    pub(super) const GRANDMASTER_CLOCK_VARIANCE: usize = 74; // i16
    pub(super) const GRANDMASTER_PREFERRED: usize = 77; // u8
    pub(super) const GRANDMASTER_IS_BOUNDARY_CLOCK: usize = 79; // u8
    pub(super) const SYNC_INTERVAL_EXTENSION: usize = 82; // u8, the sign of the next octet
    pub(super) const SYNC_INTERVAL: usize = 83; // i8
    pub(super) const LOCAL_CLOCK_VARIANCE: usize = 86; // i16
    pub(super) const LOCAL_STEPS_REMOVED: usize = 90; // u16
    pub(super) const LOCAL_CLOCK_STRATUM: usize = 95; // u8
    pub(super) const LOCAL_CLOCK_IDENTIFIER: usize = 96; // 4 octets
    pub(super) const PARENT_COMMUNICATION_TECHNOLOGY: usize = 101; // u8
    pub(super) const PARENT_UUID: usize = 102; // 6 octets
    pub(super) const PARENT_PORT_FIELD: usize = 110; // u16
    pub(super) const ESTIMATED_MASTER_VARIANCE: usize = 114; // i16
    pub(super) const ESTIMATED_MASTER_DRIFT: usize = 116; // i32
    pub(super) const UTC_REASONABLE: usize = 123; // u8
    pub(super) const SYNC_END: usize = 124;
    // Follow_Up.
    pub(super) const ASSOCIATED_SEQUENCE_ID: usize = 42; // u16
    pub(super) const PRECISE_ORIGIN_TIMESTAMP: usize = 44; // time
    pub(super) const FOLLOW_UP_END: usize = 52;
    // Delay_Resp.
    pub(super) const DELAY_RECEIPT_TIMESTAMP: usize = 40; // time
    pub(super) const REQUESTING_SOURCE: usize = 49; // technology u8, uuid 6 octets, port u16
    pub(super) const REQUESTING_SOURCE_SEQUENCE_ID: usize = 58; // u16
    pub(super) const DELAY_RESP_END: usize = 60;
    // Management.
    pub(super) const TARGET: usize = 41; // technology u8, uuid 6 octets, port u16
    pub(super) const STARTING_BOUNDARY_HOPS: usize = 50; // i16
    pub(super) const BOUNDARY_HOPS: usize = 52; // i16
    pub(super) const MANAGEMENT_MESSAGE_KEY: usize = 55; // u8
    pub(super) const PARAMETER_LENGTH: usize = 58; // u16
    pub(super) const PARAMETERS: usize = 60; // parameterLength octets
}

const VERSION_PTP: u16 = 1;
const VERSION_NETWORK: u16 = 1;

/// `messageType` of what goes to the event port.
const EVENT: u8 = 1;
/// `messageType` of what goes to the general port.
const GENERAL: u8 = 2;

/// `control`: it alone decides what a message is.
mod control {
    pub(super) const SYNC: u8 = 0;
    pub(super) const DELAY_REQ: u8 = 1;
    pub(super) const FOLLOW_UP: u8 = 2;
    pub(super) const DELAY_RESP: u8 = 3;
    pub(super) const MANAGEMENT: u8 = 4;
}

/// Length of a Sync or Delay_Req: a buffer of this size holds every message but a long Management.
pub const SYNC_LENGTH: usize = at::SYNC_END;

/// A PTPv1 message. Its version, message type and control octet follow from its [`Body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What all messages have.
    pub header: Header,
    /// What it says.
    pub body: Body<'a>,
}

/// What all messages have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// ASCII, NUL padded; two are equal only if all 16 octets are.
    pub subdomain: [u8; 16],
    /// The port that sent it.
    pub source: PortIdentity,
    /// Counts up by one per message of the port, and wraps. Dante gives a Follow_Up the number of its Sync.
    pub sequence_id: u16,
    /// The flags.
    pub flags: Flags,
}

/// Names a port of a clock; port 0 names the clock itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortIdentity {
    /// `communicationTechnology`; 1 is Ethernet.
    pub technology: u8,
    /// The MAC address.
    pub uuid: [u8; 6],
    /// The number of the port.
    pub port: u16,
}

/// The flags of the header, kept as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u16);

/// The kinds of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// The leader's beat.
    Sync(SyncBody),
    /// A follower asks for its path delay; laid out as a Sync.
    DelayReq(SyncBody),
    /// When a Sync really left.
    FollowUp {
        /// `sequenceId` of that Sync.
        associated_sequence_id: u16,
        /// When it left.
        precise_origin: WireTime,
    },
    /// The leader's answer to a Delay_Req.
    DelayResp {
        /// When the request arrived.
        receipt: WireTime,
        /// Who had asked.
        requesting: PortIdentity,
        /// `sequenceId` of the request.
        requesting_sequence_id: u16,
    },
    /// Reads or sets something in a clock. Never obeyed.
    Management(Management<'a>),
}

/// The body of a Sync or Delay_Req.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncBody {
    /// When it left; an early guess (58 to 347 µs seen) where a Follow_Up is announced.
    pub origin: WireTime,
    /// Counts 2³² s; anything but 0 is beyond what a timestamp holds.
    pub epoch_number: u16,
    /// TAI − UTC in s; 0 with Dante.
    pub current_utc_offset: i16,
    /// The clock at the root of the time; port 0.
    pub grandmaster: PortIdentity,
    /// The root's own counter.
    pub grandmaster_sequence_id: u16,
    /// Lower leads; 255 never leads.
    pub grandmaster_clock_stratum: u8,
    /// Where the root has its time from: `ATOM`, `GPS\0`, `NTP\0`, `HAND`, `INIT`, `DFLT`.
    pub grandmaster_clock_identifier: [u8; 4],
    /// log2 of the Allan variance in s², times 256; lower is better.
    pub grandmaster_clock_variance: i16,
    /// Configured as Preferred Leader.
    pub grandmaster_preferred: bool,
    /// A boundary clock; set by every Dante device.
    pub grandmaster_is_boundary_clock: bool,
    /// log2 of the Sync interval in s, as it came; see [`SyncBody::sync_interval_log2`].
    pub sync_interval: i8,
    /// The sender's own variance, as `grandmaster_clock_variance`.
    pub local_clock_variance: i16,
    /// Boundary clocks between the root and the sender.
    pub local_steps_removed: u16,
    /// The sender's own stratum.
    pub local_clock_stratum: u8,
    /// The sender's own identifier.
    pub local_clock_identifier: [u8; 4],
    /// Technology of the port that the sender follows.
    pub parent_communication_technology: u8,
    /// MAC address of the port that the sender follows; its own when it leads.
    pub parent_uuid: [u8; 6],
    /// Number of the port that the sender follows.
    pub parent_port_field: u16,
    /// The sender's estimate of its parent's variance.
    pub estimated_master_variance: i16,
    /// The sender's estimate of its parent's drift.
    pub estimated_master_drift: i32,
    /// Whether `current_utc_offset` can be relied on.
    pub utc_reasonable: bool,
}

/// The body of a Management message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Management<'a> {
    /// The clock that is meant; an uuid of zeros means all.
    pub target: PortIdentity,
    /// Boundary clocks it may cross, at its start.
    pub starting_boundary_hops: i16,
    /// Boundary clocks it may still cross.
    pub boundary_hops: i16,
    /// `managementMessageKey`: what is read or set.
    pub key: u8,
    /// The parameters; at most 65 535 octets.
    pub payload: &'a [u8],
}

/// A time as PTPv1 writes it: seconds and nanoseconds, and one sign for both (not two's complement).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WireTime {
    seconds: u32,
    nanoseconds: u32,
    negative: bool,
}

impl<'a> Message<'a> {
    /// Reads a message. Octets behind its end are ignored.
    ///
    /// # Errors
    /// `Short`, `VersionTwo`, `UnknownVersion`, `NetworkVersion`, `Control` or `BadTime`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        check_version(bytes)?;
        let header = Header {
            subdomain: field(bytes, at::SUBDOMAIN)?,
            source: PortIdentity::read(bytes, at::SOURCE)?,
            sequence_id: u16_at(bytes, at::SEQUENCE_ID)?,
            flags: Flags(u16_at(bytes, at::FLAGS)?),
        };
        let [message_type] = field(bytes, at::MESSAGE_TYPE)?;
        let [control] = field(bytes, at::CONTROL)?;
        Ok(Self { header, body: Body::read(bytes, message_type, control)? })
    }

    /// How many octets [`Message::to_bytes`] writes.
    pub const fn encoded_len(&self) -> usize {
        match self.body {
            Body::Sync(_) | Body::DelayReq(_) => at::SYNC_END,
            Body::FollowUp { .. } => at::FOLLOW_UP_END,
            Body::DelayResp { .. } => at::DELAY_RESP_END,
            Body::Management(management) => at::PARAMETERS.saturating_add(management.payload.len()),
        }
    }

    /// Writes the message at the start of `buffer` and returns what was written; `None` if `buffer` is shorter
    /// than [`Message::encoded_len`] (then its contents are unspecified) or the parameters of a Management are
    /// longer than 65 535 octets.
    pub fn to_bytes<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let out = buffer.get_mut(..self.encoded_len())?;
        out.fill(0);
        put(out, at::VERSION_PTP, VERSION_PTP.to_be_bytes())?;
        put(out, at::VERSION_NETWORK, VERSION_NETWORK.to_be_bytes())?;
        put(out, at::SUBDOMAIN, self.header.subdomain)?;
        put(out, at::MESSAGE_TYPE, [self.body.message_type()])?;
        self.header.source.write(out, at::SOURCE)?;
        put(out, at::SEQUENCE_ID, self.header.sequence_id.to_be_bytes())?;
        put(out, at::CONTROL, [self.body.control()])?;
        put(out, at::FLAGS, self.header.flags.0.to_be_bytes())?;
        self.body.write(out)?;
        Some(out)
    }
}

impl Header {
    /// The sender as a leader.
    pub const fn leader_id(&self) -> LeaderId {
        let PortIdentity { technology, uuid, port } = self.source;
        LeaderId::V1 { technology, uuid, port, subdomain: self.subdomain }
    }
}

impl PortIdentity {
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Result<Self, DropReason> {
        let [technology, a, b, c, d, e, f, high, low] = field(bytes, at)?;
        Ok(Self { technology, uuid: [a, b, c, d, e, f], port: u16::from_be_bytes([high, low]) })
    }

    #[inline]
    fn write(self, out: &mut [u8], at: usize) -> Option<()> {
        let Self { technology, uuid: [a, b, c, d, e, f], port } = self;
        let [high, low] = port.to_be_bytes();
        put(out, at, [technology, a, b, c, d, e, f, high, low])
    }
}

impl Flags {
    /// The last minute of the day has 61 s.
    pub const LI_61: Self = Self(0x0001);
    /// The last minute of the day has 59 s.
    pub const LI_59: Self = Self(0x0002);
    /// From a boundary clock; set by every Dante device.
    pub const BOUNDARY_CLOCK: Self = Self(0x0004);
    /// Two steps: a Follow_Up says when the Sync left.
    pub const ASSIST: Self = Self(0x0008);
    /// Synchronised to an external source.
    pub const EXT_SYNC: Self = Self(0x0010);
    /// The parent's statistics are valid.
    pub const PARENT_STATS: Self = Self(0x0020);
    /// Part of a burst of Syncs.
    pub const SYNC_BURST: Self = Self(0x0040);
    /// What Dante devices set on every Sync and Follow_Up.
    pub const DANTE: Self = Self(Self::BOUNDARY_CLOCK.0 | Self::ASSIST.0);

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl<'a> Body<'a> {
    /// `messageType`: 1 goes to the event port, 2 to the general port.
    pub const fn message_type(&self) -> u8 {
        match self {
            Self::Sync(_) | Self::DelayReq(_) => EVENT,
            Self::FollowUp { .. } | Self::DelayResp { .. } | Self::Management(_) => GENERAL,
        }
    }

    /// `control`: 0 to 4, in the order of the enum of the standard.
    pub const fn control(&self) -> u8 {
        match self {
            Self::Sync(_) => control::SYNC,
            Self::DelayReq(_) => control::DELAY_REQ,
            Self::FollowUp { .. } => control::FOLLOW_UP,
            Self::DelayResp { .. } => control::DELAY_RESP,
            Self::Management(_) => control::MANAGEMENT,
        }
    }

    fn read(bytes: &'a [u8], message_type: u8, control: u8) -> Result<Self, DropReason> {
        Ok(match (control, message_type) {
            (control::SYNC, EVENT) => Self::Sync(SyncBody::read(bytes)?),
            (control::DELAY_REQ, EVENT) => Self::DelayReq(SyncBody::read(bytes)?),
            (control::FOLLOW_UP, GENERAL) => Self::FollowUp {
                associated_sequence_id: u16_at(bytes, at::ASSOCIATED_SEQUENCE_ID)?,
                precise_origin: WireTime::read(bytes, at::PRECISE_ORIGIN_TIMESTAMP)?,
            },
            (control::DELAY_RESP, GENERAL) => Self::DelayResp {
                // Last field first: what is too short is called short, not of a bad time.
                requesting_sequence_id: u16_at(bytes, at::REQUESTING_SOURCE_SEQUENCE_ID)?,
                requesting: PortIdentity::read(bytes, at::REQUESTING_SOURCE)?,
                receipt: WireTime::read(bytes, at::DELAY_RECEIPT_TIMESTAMP)?,
            },
            (control::MANAGEMENT, GENERAL) => Self::Management(Management::read(bytes)?),
            _ => return Err(DropReason::Control),
        })
    }

    fn write(&self, out: &mut [u8]) -> Option<()> {
        match self {
            Self::Sync(body) | Self::DelayReq(body) => body.write(out),
            Self::FollowUp { associated_sequence_id, precise_origin } => {
                put(out, at::ASSOCIATED_SEQUENCE_ID, associated_sequence_id.to_be_bytes())?;
                precise_origin.write(out, at::PRECISE_ORIGIN_TIMESTAMP)
            }
            Self::DelayResp { receipt, requesting, requesting_sequence_id } => {
                receipt.write(out, at::DELAY_RECEIPT_TIMESTAMP)?;
                requesting.write(out, at::REQUESTING_SOURCE)?;
                put(out, at::REQUESTING_SOURCE_SEQUENCE_ID, requesting_sequence_id.to_be_bytes())
            }
            Self::Management(body) => body.write(out),
        }
    }
}

impl SyncBody {
    /// log2 of the announced Sync interval in s, limited to −4..=4 (1/16 to 16 s); `None` when the sender
    /// does not know it (0x7f).
    pub fn sync_interval_log2(&self) -> Option<i8> {
        (self.sync_interval != SYNC_INTERVAL_UNKNOWN).then(|| self.sync_interval.clamp(-4, 4))
    }

    fn read(bytes: &[u8]) -> Result<Self, DropReason> {
        // Cut first: what is too short is called short, not of a bad time, and the length is looked at only once.
        let bytes = bytes.get(..at::SYNC_END).ok_or(DropReason::Short)?;
        let [utc_reasonable] = field(bytes, at::UTC_REASONABLE)?;
        let [grandmaster_clock_stratum] = field(bytes, at::GRANDMASTER_CLOCK_STRATUM)?;
        let [grandmaster_preferred] = field(bytes, at::GRANDMASTER_PREFERRED)?;
        let [grandmaster_is_boundary_clock] = field(bytes, at::GRANDMASTER_IS_BOUNDARY_CLOCK)?;
        let [local_clock_stratum] = field(bytes, at::LOCAL_CLOCK_STRATUM)?;
        let [parent_communication_technology] = field(bytes, at::PARENT_COMMUNICATION_TECHNOLOGY)?;
        Ok(Self {
            origin: WireTime::read(bytes, at::ORIGIN_TIMESTAMP)?,
            epoch_number: u16_at(bytes, at::EPOCH_NUMBER)?,
            current_utc_offset: i16_at(bytes, at::CURRENT_UTC_OFFSET)?,
            grandmaster: PortIdentity::read(bytes, at::GRANDMASTER)?,
            grandmaster_sequence_id: u16_at(bytes, at::GRANDMASTER_SEQUENCE_ID)?,
            grandmaster_clock_stratum,
            grandmaster_clock_identifier: field(bytes, at::GRANDMASTER_CLOCK_IDENTIFIER)?,
            grandmaster_clock_variance: i16_at(bytes, at::GRANDMASTER_CLOCK_VARIANCE)?,
            grandmaster_preferred: grandmaster_preferred != 0,
            grandmaster_is_boundary_clock: grandmaster_is_boundary_clock != 0,
            // Octet 82 is not read: some senders extend the sign into it, some send 0.
            sync_interval: i8::from_be_bytes(field(bytes, at::SYNC_INTERVAL)?),
            local_clock_variance: i16_at(bytes, at::LOCAL_CLOCK_VARIANCE)?,
            local_steps_removed: u16_at(bytes, at::LOCAL_STEPS_REMOVED)?,
            local_clock_stratum,
            local_clock_identifier: field(bytes, at::LOCAL_CLOCK_IDENTIFIER)?,
            parent_communication_technology,
            parent_uuid: field(bytes, at::PARENT_UUID)?,
            parent_port_field: u16_at(bytes, at::PARENT_PORT_FIELD)?,
            estimated_master_variance: i16_at(bytes, at::ESTIMATED_MASTER_VARIANCE)?,
            estimated_master_drift: i32::from_be_bytes(field(bytes, at::ESTIMATED_MASTER_DRIFT)?),
            utc_reasonable: utc_reasonable != 0,
        })
    }

    fn write(&self, out: &mut [u8]) -> Option<()> {
        let out = out.get_mut(..at::SYNC_END)?;
        self.origin.write(out, at::ORIGIN_TIMESTAMP)?;
        put(out, at::EPOCH_NUMBER, self.epoch_number.to_be_bytes())?;
        put(out, at::CURRENT_UTC_OFFSET, self.current_utc_offset.to_be_bytes())?;
        self.grandmaster.write(out, at::GRANDMASTER)?;
        put(out, at::GRANDMASTER_SEQUENCE_ID, self.grandmaster_sequence_id.to_be_bytes())?;
        put(out, at::GRANDMASTER_CLOCK_STRATUM, [self.grandmaster_clock_stratum])?;
        put(out, at::GRANDMASTER_CLOCK_IDENTIFIER, self.grandmaster_clock_identifier)?;
        put(out, at::GRANDMASTER_CLOCK_VARIANCE, self.grandmaster_clock_variance.to_be_bytes())?;
        put(out, at::GRANDMASTER_PREFERRED, [u8::from(self.grandmaster_preferred)])?;
        put(out, at::GRANDMASTER_IS_BOUNDARY_CLOCK, [u8::from(self.grandmaster_is_boundary_clock)])?;
        // As Dante does: the i8 as an i16.
        put(out, at::SYNC_INTERVAL_EXTENSION, i16::from(self.sync_interval).to_be_bytes())?;
        put(out, at::LOCAL_CLOCK_VARIANCE, self.local_clock_variance.to_be_bytes())?;
        put(out, at::LOCAL_STEPS_REMOVED, self.local_steps_removed.to_be_bytes())?;
        put(out, at::LOCAL_CLOCK_STRATUM, [self.local_clock_stratum])?;
        put(out, at::LOCAL_CLOCK_IDENTIFIER, self.local_clock_identifier)?;
        put(out, at::PARENT_COMMUNICATION_TECHNOLOGY, [self.parent_communication_technology])?;
        put(out, at::PARENT_UUID, self.parent_uuid)?;
        put(out, at::PARENT_PORT_FIELD, self.parent_port_field.to_be_bytes())?;
        put(out, at::ESTIMATED_MASTER_VARIANCE, self.estimated_master_variance.to_be_bytes())?;
        put(out, at::ESTIMATED_MASTER_DRIFT, self.estimated_master_drift.to_be_bytes())?;
        put(out, at::UTC_REASONABLE, [u8::from(self.utc_reasonable)])
    }
}

/// `syncInterval` of a sender that does not know it.
const SYNC_INTERVAL_UNKNOWN: i8 = 0x7f;

impl<'a> Management<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let length = usize::from(u16_at(bytes, at::PARAMETER_LENGTH)?);
        let rest = bytes.get(at::PARAMETERS..).ok_or(DropReason::Short)?;
        let [key] = field(bytes, at::MANAGEMENT_MESSAGE_KEY)?;
        Ok(Self {
            target: PortIdentity::read(bytes, at::TARGET)?,
            starting_boundary_hops: i16_at(bytes, at::STARTING_BOUNDARY_HOPS)?,
            boundary_hops: i16_at(bytes, at::BOUNDARY_HOPS)?,
            key,
            payload: rest.get(..length).ok_or(DropReason::Short)?,
        })
    }

    fn write(&self, out: &mut [u8]) -> Option<()> {
        let length = u16::try_from(self.payload.len()).ok()?;
        self.target.write(out, at::TARGET)?;
        put(out, at::STARTING_BOUNDARY_HOPS, self.starting_boundary_hops.to_be_bytes())?;
        put(out, at::BOUNDARY_HOPS, self.boundary_hops.to_be_bytes())?;
        put(out, at::MANAGEMENT_MESSAGE_KEY, [self.key])?;
        put(out, at::PARAMETER_LENGTH, length.to_be_bytes())?;
        out.get_mut(at::PARAMETERS..)?.copy_from_slice(self.payload);
        Some(())
    }
}

/// The first value that does not count as nanoseconds.
const NS_PER_S: u32 = 1_000_000_000;
/// The bit of the nanoseconds word that negates the whole time.
const SIGN: u32 = 1 << 31;

impl WireTime {
    /// `±(seconds + nanoseconds)`; `None` if `nanoseconds` is above 999 999 999.
    pub const fn new(negative: bool, seconds: u32, nanoseconds: u32) -> Option<Self> {
        if nanoseconds < NS_PER_S { Some(Self { seconds, nanoseconds, negative }) } else { None }
    }

    /// From a leader's time; `None` before its epoch or from 2³² s on.
    pub fn from_timestamp(time: Timestamp<Leader>) -> Option<Self> {
        let ns = u64::try_from(time.as_ns()).ok()?;
        let seconds = u32::try_from(ns / u64::from(NS_PER_S)).ok()?;
        Self::new(false, seconds, u32::try_from(ns % u64::from(NS_PER_S)).ok()?)
    }

    /// As a leader's time.
    ///
    /// # Errors
    /// `NegativeTime` before the epoch: no leader's uptime is negative.
    pub fn to_timestamp(self) -> Result<Timestamp<Leader>, DropReason> {
        // At most 2³² s, 4.3e18 ns: less than half of what an i64 holds.
        let ns = i64::from(self.seconds)
            .saturating_mul(i64::from(NS_PER_S))
            .saturating_add(i64::from(self.nanoseconds));
        if self.negative && ns != 0 { Err(DropReason::NegativeTime) } else { Ok(Timestamp::from_ns(ns)) }
    }

    /// Whole seconds, without the sign.
    pub const fn seconds(self) -> u32 {
        self.seconds
    }

    /// Nanoseconds within the second, without the sign.
    pub const fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }

    /// Whether the time is before the epoch.
    pub const fn is_negative(self) -> bool {
        self.negative
    }

    #[inline]
    fn read(bytes: &[u8], at: usize) -> Result<Self, DropReason> {
        let [s0, s1, s2, s3, n0, n1, n2, n3] = field(bytes, at)?;
        let word = u32::from_be_bytes([n0, n1, n2, n3]);
        Self::new(word & SIGN != 0, u32::from_be_bytes([s0, s1, s2, s3]), word & !SIGN)
            .ok_or(DropReason::BadTime)
    }

    #[inline]
    fn write(self, out: &mut [u8], at: usize) -> Option<()> {
        let word = if self.negative { self.nanoseconds | SIGN } else { self.nanoseconds };
        let ([s0, s1, s2, s3], [n0, n1, n2, n3]) = (self.seconds.to_be_bytes(), word.to_be_bytes());
        put(out, at, [s0, s1, s2, s3, n0, n1, n2, n3])
    }
}

/// Version 1 has 00 01 in front; version 2 has its number in the low half of the second octet.
fn check_version(bytes: &[u8]) -> Result<(), DropReason> {
    match field(bytes, at::VERSION_PTP)? {
        [0, 1] => {}
        [_, minor_major] if minor_major & 0x0f == 2 => return Err(DropReason::VersionTwo),
        _ => return Err(DropReason::UnknownVersion),
    }
    let network = u16_at(bytes, at::VERSION_NETWORK)?;
    if network == VERSION_NETWORK { Ok(()) } else { Err(DropReason::NetworkVersion) }
}

#[inline]
fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], DropReason> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(DropReason::Short)
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Result<u16, DropReason> {
    field(bytes, at).map(u16::from_be_bytes)
}

#[inline]
fn i16_at(bytes: &[u8], at: usize) -> Result<i16, DropReason> {
    field(bytes, at).map(i16::from_be_bytes)
}

#[inline]
fn put<const N: usize>(out: &mut [u8], at: usize, value: [u8; N]) -> Option<()> {
    *out.get_mut(at..)?.first_chunk_mut()? = value;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time() -> impl Strategy<Value = WireTime> {
        (any::<bool>(), any::<u32>(), 0..NS_PER_S)
            .prop_map(|(negative, seconds, ns)| WireTime::new(negative, seconds, ns).unwrap())
    }

    fn identity() -> impl Strategy<Value = PortIdentity> {
        (any::<u8>(), any::<[u8; 6]>(), any::<u16>()).prop_map(|(technology, uuid, port)| PortIdentity {
            technology,
            uuid,
            port,
        })
    }

    fn sync_body() -> impl Strategy<Value = SyncBody> {
        let grandmaster = (identity(), any::<(u16, u8, [u8; 4], i16, bool, bool)>());
        let local = any::<(i8, i16, u16, u8, [u8; 4])>();
        let parent = any::<(u8, [u8; 6], u16, i16, i32, bool)>();
        (time(), any::<(u16, i16)>(), grandmaster, local, parent).prop_map(|(origin, utc, g, l, p)| {
            SyncBody {
                origin,
                epoch_number: utc.0,
                current_utc_offset: utc.1,
                grandmaster: g.0,
                grandmaster_sequence_id: g.1.0,
                grandmaster_clock_stratum: g.1.1,
                grandmaster_clock_identifier: g.1.2,
                grandmaster_clock_variance: g.1.3,
                grandmaster_preferred: g.1.4,
                grandmaster_is_boundary_clock: g.1.5,
                sync_interval: l.0,
                local_clock_variance: l.1,
                local_steps_removed: l.2,
                local_clock_stratum: l.3,
                local_clock_identifier: l.4,
                parent_communication_technology: p.0,
                parent_uuid: p.1,
                parent_port_field: p.2,
                estimated_master_variance: p.3,
                estimated_master_drift: p.4,
                utc_reasonable: p.5,
            }
        })
    }

    fn body() -> impl Strategy<Value = Body<'static>> {
        prop_oneof![
            sync_body().prop_map(Body::Sync),
            sync_body().prop_map(Body::DelayReq),
            (any::<u16>(), time()).prop_map(|(associated_sequence_id, precise_origin)| Body::FollowUp {
                associated_sequence_id,
                precise_origin
            }),
            (time(), identity(), any::<u16>()).prop_map(|(receipt, requesting, requesting_sequence_id)| {
                Body::DelayResp { receipt, requesting, requesting_sequence_id }
            }),
            (identity(), any::<(i16, i16, u8)>(), 0..=90_usize).prop_map(
                |(target, (start, hops, key), length)| {
                    const PAYLOAD: &[u8] = &[0xa5; 90];
                    Body::Management(Management {
                        target,
                        starting_boundary_hops: start,
                        boundary_hops: hops,
                        key,
                        payload: &PAYLOAD[..length],
                    })
                }
            ),
        ]
    }

    fn message() -> impl Strategy<Value = Message<'static>> {
        (any::<[u8; 16]>(), identity(), any::<(u16, u16)>(), body()).prop_map(
            |(subdomain, source, (sequence_id, flags), body)| Message {
                header: Header { subdomain, source, sequence_id, flags: Flags(flags) },
                body,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(message in message(), tail in 0..23_usize) {
            let mut buffer = [0xee; 256];
            let length = message.to_bytes(&mut buffer).unwrap().len();
            prop_assert_eq!(length, message.encoded_len());
            prop_assert_eq!(Message::parse(&buffer[..length + tail]), Ok(message));
        }

        #[test]
        fn what_is_cut_is_short(message in message(), cut in any::<prop::sample::Index>()) {
            let mut buffer = [0; 256];
            let length = message.to_bytes(&mut buffer).unwrap().len();
            prop_assert_eq!(Message::parse(&buffer[..cut.index(length)]), Err(DropReason::Short));
            prop_assert_eq!(message.to_bytes(&mut buffer[..cut.index(length)]), None);
        }

        #[test]
        fn what_is_accepted_survives_being_written(
            mut bytes in prop::collection::vec(any::<u8>(), 0..256),
            kind in 0..6_u8,
        ) {
            let _never_panics = Message::parse(&bytes);
            // Most random bytes end at the version; these get past it.
            for (to, from) in bytes.iter_mut().zip([0, 1, 0, 1]) {
                *to = from;
            }
            if bytes.len() > at::CONTROL {
                bytes[at::MESSAGE_TYPE] = if kind < 2 { EVENT } else { GENERAL };
                bytes[at::CONTROL] = kind;
            }
            if let Ok(message) = Message::parse(&bytes) {
                let mut buffer = [0; 256];
                prop_assert_eq!(Message::parse(message.to_bytes(&mut buffer).unwrap()), Ok(message));
            }
        }
    }

    #[test]
    fn the_sign_of_the_nanoseconds_is_the_sign_of_the_time() {
        let time = |words: [u8; 8]| WireTime::read(&words, 0);
        let positive = time([0, 0, 0, 1, 0x1d, 0xcd, 0x65, 0]).unwrap();
        assert_eq!(positive.to_timestamp(), Ok(Timestamp::from_ns(1_500_000_000)));
        let negative = time([0, 0, 0, 1, 0x9d, 0xcd, 0x65, 0]).unwrap();
        assert_eq!(Some(negative), WireTime::new(true, 1, 500_000_000));
        assert_eq!(negative.to_timestamp(), Err(DropReason::NegativeTime));
        let zero = time([0, 0, 0, 0, 0x80, 0, 0, 0]).unwrap();
        assert_eq!(zero.to_timestamp(), Ok(Timestamp::EPOCH));
        // −1234 ns in two's complement, and 10⁹ ns.
        assert_eq!(time([0, 0, 0, 0, 0xff, 0xff, 0xfb, 0x2e]), Err(DropReason::BadTime));
        assert_eq!(time([0, 0, 0, 1, 0x3b, 0x9a, 0xca, 0x00]), Err(DropReason::BadTime));
        let last = time([0xff, 0xff, 0xff, 0xff, 0x3b, 0x9a, 0xc9, 0xff]).unwrap();
        assert_eq!(last.to_timestamp(), Ok(Timestamp::from_ns(4_294_967_295_999_999_999)));
    }

    #[test]
    fn only_times_that_fit_the_wire_are_written() {
        let wire = |ns| WireTime::from_timestamp(Timestamp::from_ns(ns));
        assert_eq!(wire(699_212_426_642), WireTime::new(false, 699, 212_426_642));
        assert_eq!(wire(4_294_967_295_999_999_999), WireTime::new(false, u32::MAX, 999_999_999));
        assert_eq!(wire(4_294_967_296_000_000_000), None);
        assert_eq!(wire(-1), None);
    }

    #[test]
    fn announced_intervals_are_limited_and_may_be_unknown() {
        let interval = |sync_interval| SyncBody { sync_interval, ..SyncBody::default() }.sync_interval_log2();
        assert_eq!(interval(-2), Some(-2));
        assert_eq!(interval(-128), Some(-4));
        assert_eq!(interval(0x7e), Some(4));
        assert_eq!(interval(0x7f), None);
    }
}
