//! The vocabulary of time: timestamps that know their timescale, spans, offsets, rates and lines.
//!
//! Two timescales never subtract. This does not compile:
//!
//! ```compile_fail
//! use dantetimesync::time::{Leader, System, Timestamp};
//! let leader = Timestamp::<Leader>::from_ns(1);
//! let system = Timestamp::<System>::from_ns(2);
//! let nonsense = system - leader;
//! ```
//!
//! What does: an [`Offset`] says *which* clock is compared with which.
//!
//! ```
//! use dantetimesync::time::{Leader, Offset, Span, System, Timestamp};
//! let leader = Timestamp::<Leader>::from_ns(1_000);
//! let system = Timestamp::<System>::from_ns(1_500);
//! assert_eq!(Offset::between(system, leader).span(), Span::from_ns(500));
//! ```

mod date;

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Neg, Sub};

pub use date::{Date, DateError};

/// Leader time: the uptime of the Dante leader; its epoch means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leader;
/// The clock of the operating system, counted from 1970: what programs on this computer see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct System;
/// Universal time, as the NTP servers tell it, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc;
/// The raw timeline: a counter of this computer that nobody steps or slews.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Raw;

/// An instant on timescale `T`, in ns since that timescale's epoch.
pub struct Timestamp<T> {
    ns: i64,
    scale: PhantomData<T>,
}

impl<T> Timestamp<T> {
    /// The epoch of the timescale.
    pub const EPOCH: Self = Self::from_ns(0);

    /// From ns since the epoch.
    pub const fn from_ns(ns: i64) -> Self {
        Self { ns, scale: PhantomData }
    }

    /// As ns since the epoch.
    pub const fn as_ns(self) -> i64 {
        self.ns
    }
}

impl<T> Clone for Timestamp<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Timestamp<T> {}
impl<T> PartialEq for Timestamp<T> {
    fn eq(&self, other: &Self) -> bool {
        self.ns == other.ns
    }
}
impl<T> Eq for Timestamp<T> {}
impl<T> PartialOrd for Timestamp<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Timestamp<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ns.cmp(&other.ns)
    }
}
impl<T> fmt::Debug for Timestamp<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.ns)
    }
}
impl<T> Sub for Timestamp<T> {
    type Output = Span;
    fn sub(self, other: Self) -> Span {
        Span(self.ns.saturating_sub(other.ns))
    }
}
impl<T> Add<Span> for Timestamp<T> {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_ns(self.ns.saturating_add(span.0))
    }
}
impl<T> Sub<Span> for Timestamp<T> {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self::from_ns(self.ns.saturating_sub(span.0))
    }
}

/// A signed length of time in ns; arithmetic saturates instead of wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest span, 292 years.
    pub const MAX: Self = Self(i64::MAX);

    /// From ns.
    pub const fn from_ns(ns: i64) -> Self {
        Self(ns)
    }
    /// From µs.
    pub const fn from_us(us: i64) -> Self {
        Self(us.saturating_mul(1_000))
    }
    /// From ms.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }
    /// From s.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }
    /// From s with a fraction, rounded to the nearest ns; NaN becomes zero.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self::from_ns_f64(secs * 1e9)
    }
    /// From ns with a fraction, rounded to the nearest ns; NaN becomes zero.
    #[allow(
        clippy::as_conversions,
        reason = "float to integer `as` saturates and maps NaN to 0, as documented"
    )]
    pub fn from_ns_f64(ns: f64) -> Self {
        Self(ns.round() as i64)
    }
    /// As ns.
    pub const fn as_ns(self) -> i64 {
        self.0
    }
    /// As ns in floating point; exact up to 2^53 ns (104 days).
    #[allow(clippy::as_conversions, reason = "the documented loss of precision is intended")]
    pub const fn as_ns_f64(self) -> f64 {
        self.0 as f64
    }
    /// As s in floating point.
    pub const fn as_secs_f64(self) -> f64 {
        self.as_ns_f64() / 1e9
    }
    /// The length without its sign.
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
    /// The root of both squares: how uncertain the sum of two independent spans is.
    pub fn hypot(self, other: Self) -> Self {
        Self::from_ns_f64(self.as_ns_f64().hypot(other.as_ns_f64()))
    }
    /// Half of the span, rounded towards zero.
    pub const fn half(self) -> Self {
        self.part(2)
    }
    /// One `parts`th of the span, rounded towards zero; the whole for 0 parts.
    pub const fn part(self, parts: i64) -> Self {
        Self(self.0.saturating_div(if parts == 0 { 1 } else { parts }))
    }
    /// `count` times the span.
    pub const fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count))
    }
}
impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl Neg for Span {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}
impl fmt::Display for Span {
    /// In the unit that reads best: `+12.4 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.as_ns_f64();
        match self.0.unsigned_abs() {
            0..=999 => write!(f, "{ns:+.0} ns"),
            1_000..=999_999 => write!(f, "{:+.1} µs", ns / 1e3),
            1_000_000..=999_999_999 => write!(f, "{:+.1} ms", ns / 1e6),
            _ => write!(f, "{:+.3} s", ns / 1e9),
        }
    }
}

/// Clock `A` minus clock `B` at one instant; positive: `A` is ahead.
pub struct Offset<A, B> {
    span: Span,
    scales: PhantomData<(A, B)>,
}

impl<A, B> Offset<A, B> {
    /// From readings of both clocks at the same instant. The epochs may be anything; the difference of two
    /// i64 ns stamps saturates.
    pub const fn between(a: Timestamp<A>, b: Timestamp<B>) -> Self {
        Self::from_span(Span(a.ns.saturating_sub(b.ns)))
    }
    /// From a difference that is already known.
    pub const fn from_span(span: Span) -> Self {
        Self { span, scales: PhantomData }
    }
    /// The difference as a span.
    pub const fn span(self) -> Span {
        self.span
    }
}
impl<A, B> Clone for Offset<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, B> Copy for Offset<A, B> {}
impl<A, B> fmt::Debug for Offset<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.span.0)
    }
}

/// How much faster one clock runs than another, without dimension; positive: the clock gains.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Rate(f64);

impl Rate {
    /// Both clocks run alike.
    pub const ZERO: Self = Self(0.0);

    /// From a plain ratio: 1e-6 is one part per million.
    pub const fn from_ratio(ratio: f64) -> Self {
        Self(ratio)
    }
    /// From parts per million.
    pub const fn from_ppm(ppm: f64) -> Self {
        Self(ppm * 1e-6)
    }
    /// As a plain ratio.
    pub const fn ratio(self) -> f64 {
        self.0
    }
    /// As parts per million.
    pub const fn ppm(self) -> f64 {
        self.0 * 1e6
    }
    /// As parts per (US) billion.
    pub const fn ppb(self) -> f64 {
        self.0 * 1e9
    }
    /// The size without its sign.
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }
    /// Limited to `±limit`.
    pub const fn clamp(self, limit: Self) -> Self {
        Self(self.0.clamp(-limit.0.abs(), limit.0.abs()))
    }
    /// What a clock with this rate gains over `span`.
    pub fn gain_over(self, span: Span) -> Span {
        Span::from_ns_f64(self.0 * span.as_ns_f64())
    }
    /// The rate of the composition of both: `(1 + a)(1 + b) − 1`.
    pub const fn then(self, other: Self) -> Self {
        Self(self.0 + other.0 + self.0 * other.0)
    }
    /// The same relation read the other way round: `1 / (1 + a) − 1`.
    pub const fn inverse(self) -> Self {
        Self(-self.0 / (1.0 + self.0))
    }
    /// Neither NaN nor infinite.
    pub const fn is_finite(self) -> bool {
        self.0.is_finite()
    }
}
impl Add for Rate {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}
impl Sub for Rate {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}
impl Neg for Rate {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3} ppm", self.ppm())
    }
}

/// Clock `A` as a linear function of clock `B`, with the standard uncertainty of both its parts.
#[derive(Debug)]
pub struct Line<A, B> {
    /// Reading of `A` at the anchor.
    pub a: Timestamp<A>,
    /// Reading of `B` at the anchor.
    pub b: Timestamp<B>,
    /// Rate of `A` against `B`.
    pub rate: Rate,
    /// Standard deviation of `a` at the anchor.
    pub sigma: Span,
    /// Standard deviation of the rate.
    pub rate_sigma: Rate,
}

impl<A, B> Clone for Line<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<A, B> Copy for Line<A, B> {}

impl<A, B> Line<A, B> {
    /// A line without uncertainty: a definition, not a measurement.
    pub const fn exact(a: Timestamp<A>, b: Timestamp<B>, rate: Rate) -> Self {
        Self { a, b, rate, sigma: Span::ZERO, rate_sigma: Rate::ZERO }
    }
    /// Reading of `A` when `B` reads `b`.
    pub fn at(&self, b: Timestamp<B>) -> Timestamp<A> {
        let elapsed = b - self.b;
        self.a + elapsed + self.rate.gain_over(elapsed)
    }
    /// Reading of `B` when `A` reads `a`.
    pub fn inverse_at(&self, a: Timestamp<A>) -> Timestamp<B> {
        let elapsed = a - self.a;
        self.b + elapsed + self.rate.inverse().gain_over(elapsed)
    }
    /// The same line anchored at `b`, without the change of uncertainty in between.
    pub fn moved_to(&self, b: Timestamp<B>) -> Self {
        Self { a: self.at(b), b, ..*self }
    }
}

/// Which leader timescale a sample or line belongs to: changes when a leader reboots or an unrelated one
/// takes over.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct TimescaleId(pub u32);

impl TimescaleId {
    /// The next one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// The identity of a leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LeaderId {
    /// A PTPv1 port: what a Dante device is.
    V1 {
        /// `sourceCommunicationTechnology`; 1 is Ethernet.
        technology: u8,
        /// `sourceUuid`, the MAC address of the port.
        uuid: [u8; 6],
        /// `sourcePortId`.
        port: u16,
        /// All 16 octets of the subdomain.
        subdomain: [u8; 16],
    },
}

impl LeaderId {
    /// The MAC address of the leader's port.
    pub const fn uuid(&self) -> [u8; 6] {
        match self {
            Self::V1 { uuid, .. } => *uuid,
        }
    }
    /// Whether the MAC address is one of Audinate's (00:1d:c1), so that the device is surely a Dante one.
    pub const fn is_audinate(&self) -> bool {
        matches!(self.uuid(), [0x00, 0x1d, 0xc1, ..])
    }
}

impl fmt::Display for LeaderId {
    /// `00:1d:c1:a1:72:3c/1`, with the technology in front where it is not Ethernet and the subdomain behind
    /// where it is not `_DFLT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::V1 { technology, uuid: [a, b, c, d, e, g], port, subdomain } = self;
        if *technology != 1 {
            write!(f, "tech{technology}.")?;
        }
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}/{port}")?;
        if !subdomain.starts_with(b"_DFLT\0") {
            write!(f, "@{}", subdomain.trim_ascii_end_nul().escape_ascii())?;
        }
        Ok(())
    }
}
impl fmt::Debug for LeaderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl serde::Serialize for LeaderId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that names no leader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no leader's identity: six octets and a port are needed, like 00:1d:c1:a1:72:3c/1")]
pub struct LeaderIdError(String);

impl std::str::FromStr for LeaderId {
    type Err = LeaderIdError;
    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, LeaderIdError> {
        parse_leader(text).ok_or_else(|| LeaderIdError(text.chars().take(80).collect()))
    }
}
impl<'de> serde::Deserialize<'de> for LeaderId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn parse_leader(text: &str) -> Option<LeaderId> {
    let (technology, rest) = match text.strip_prefix("tech") {
        Some(named) => named.split_once('.').map(|(number, rest)| (number.parse().ok(), rest))?,
        None => (Some(1), text),
    };
    let (device, subdomain) = rest.split_once('@').unwrap_or((rest, "_DFLT"));
    let (uuid, port) = device.split_once('/')?;
    let octet = |part: &str| u8::from_str_radix(part, 16).ok().filter(|_| part.len() == 2);
    let uuid = uuid.split(':').map(octet).collect::<Option<Vec<u8>>>()?.try_into().ok()?;
    let name = unescaped(subdomain.as_bytes())?;
    let mut subdomain = [0; 16];
    subdomain.get_mut(..name.len())?.copy_from_slice(&name);
    Some(LeaderId::V1 { technology: technology?, uuid, port: port.parse().ok()?, subdomain })
}

/// Undoes `escape_ascii`.
fn unescaped(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    while let [first, rest @ ..] = text {
        let (octet, rest) = match (first, rest) {
            (b'\\', [b'x', high, low, rest @ ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, rest)
            }
            (b'\\', [b'n', rest @ ..]) => (b'\n', rest),
            (b'\\', [b'r', rest @ ..]) => (b'\r', rest),
            (b'\\', [b't', rest @ ..]) => (b'\t', rest),
            (b'\\', [other, rest @ ..]) => (*other, rest),
            (b'\\', []) => return None,
            (other, rest) => (*other, rest),
        };
        plain.push(octet);
        text = rest;
    }
    Some(plain)
}

trait TrimNul {
    fn trim_ascii_end_nul(&self) -> &[u8];
}
impl TrimNul for [u8; 16] {
    fn trim_ascii_end_nul(&self) -> &[u8] {
        let end = self.iter().rposition(|&octet| octet != 0).map_or(0, |last| last + 1);
        self.get(..end).unwrap_or_default()
    }
}

/// A length of time, in ns, as people say it: `2 h 13 min`.
pub fn duration(ns: i64) -> String {
    let seconds = ns.max(0) / 1_000_000_000;
    match seconds {
        0..10 => format!("{:.1} s", Span::from_ns(ns.max(0)).as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate() {
        assert_eq!(Span::MAX + Span::from_ns(1), Span::MAX);
        assert_eq!(Timestamp::<Raw>::from_ns(i64::MIN) - Timestamp::from_ns(1), Span::from_ns(i64::MIN));
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs_f64(1e300), Span::MAX);
    }

    #[test]
    fn a_gaining_clock_moves_ahead() {
        let line = Line::<System, Raw>::exact(
            Timestamp::from_ns(1_000),
            Timestamp::from_ns(500),
            Rate::from_ppm(100.0),
        );
        let a = line.at(Timestamp::from_ns(500 + 1_000_000));
        assert_eq!(a.as_ns(), 1_000 + 1_000_000 + 100);
        assert_eq!(line.inverse_at(a).as_ns(), 500 + 1_000_000);
    }

    #[test]
    fn rates_compose_and_invert() {
        let rate = Rate::from_ppm(400.0);
        assert!(rate.then(rate.inverse()).ratio().abs() < 1e-18);
    }

    #[test]
    fn identities_name_what_is_unusual() {
        let mut subdomain = *b"_DFLT\0\0\0\0\0\0\0\0\0\0\0";
        let id = |subdomain, technology| LeaderId::V1 {
            technology,
            uuid: [0, 0x1d, 0xc1, 1, 2, 3],
            port: 2,
            subdomain,
        };
        assert_eq!(id(subdomain, 1).to_string(), "00:1d:c1:01:02:03/2");
        subdomain[..5].copy_from_slice(b"_ALT1");
        assert_eq!(id(subdomain, 7).to_string(), "tech7.00:1d:c1:01:02:03/2@_ALT1");
    }

    #[test]
    fn spans_print_in_a_unit_that_reads_well() {
        assert_eq!(Span::from_ns(-12).to_string(), "-12 ns");
        assert_eq!(Span::from_ns(12_400_000).to_string(), "+12.4 ms");
        assert_eq!(Span::from_ns(-1_500).to_string(), "-1.5 µs");
        assert_eq!(Span::from_secs(3).to_string(), "+3.000 s");
    }

    proptest::proptest! {
        #[test]
        fn a_leader_is_read_as_it_is_written(technology: u8, uuid: [u8; 6], port: u16, subdomain: [u8; 16]) {
            let id = LeaderId::V1 { technology, uuid, port, subdomain };
            proptest::prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn no_text_makes_the_reader_of_leaders_panic(text: String) {
            let _ = text.parse::<LeaderId>();
        }
    }

    #[test]
    fn what_names_no_leader_is_refused() {
        for text in [
            "",
            "00:1d:c1:a1:72:3c",
            "00:1d:c1:a1:72/1",
            "0:1d:c1:a1:72:3c/1",
            "tech300.0/1",
            "00:1d:c1:a1:72:3c/70000",
            "00:1d:c1:a1:72:3c/1@seventeen octets!",
        ] {
            let error = text.parse::<LeaderId>().unwrap_err().to_string();
            assert!(error.contains("no leader's identity"), "{error}");
        }
    }
}
