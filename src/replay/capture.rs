//! Reader of classic pcap and pcapng files.
//!
//! Both formats are small, and only the handful of blocks that carry packets matters here, so the reader is
//! our own: every length is checked against the file before it is used, and an error names the place.
//! Sources: the IETF drafts `draft-ietf-opsawg-pcap` and `draft-ietf-opsawg-pcapng`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::time::Span;

/// A larger file is refused: it is read into memory as a whole, and an hour of PTP is 5 MB.
const FILE_MAX: u64 = 1 << 30;

/// The longest packet that libpcap writes; a larger length is damage.
const PACKET_MAX: u32 = 262_144;

/// No tool writes pcapng blocks near this; a larger length is damage.
const BLOCK_MAX: u32 = 16 << 20;

/// A capture file in memory.
#[derive(Debug, Clone)]
pub struct Capture {
    bytes: Vec<u8>,
    format: Format,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Classic { order: Order, ns_per_tick: u32, link: LinkType },
    Next,
}

impl Capture {
    /// Reads a capture file.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than 1 GiB, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let failed = |error: std::io::Error| CaptureError::Read {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let mut bytes = Vec::new();
        File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes)).map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_MAX) {
            return Err(CaptureError::TooLarge { path: path.display().to_string(), limit: FILE_MAX });
        }
        Self::from_bytes(bytes)
    }

    /// Takes the bytes of a capture file.
    ///
    /// # Errors
    /// When they do not start like a capture. Damage further on is reported by [`Capture::frames`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CaptureError> {
        let format = format_of(Reader { bytes: &bytes, at: 0 })?;
        Ok(Self { bytes, format })
    }

    /// The packets, in the order of the file. The first error ends the iteration.
    pub fn frames(&self) -> Frames<'_> {
        let at = match self.format {
            Format::Classic { .. } => CLASSIC_HEADER,
            Format::Next => 0,
        };
        Frames {
            reader: Reader { bytes: &self.bytes, at },
            format: self.format,
            order: Order::Little,
            interfaces: Vec::new(),
            ended: false,
        }
    }
}

/// What the link layer of a packet looks like, by the registry of tcpdump.org.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkType {
    /// 1: Ethernet.
    Ethernet,
    /// 113: what Linux gives when capturing on the device "any".
    LinuxCooked,
    /// 276: the second version of it.
    LinuxCooked2,
    /// 101 (and 228, and 12 and 14 as some BSD write it): the IP header comes first.
    RawIp,
    /// Another one, which is not decoded.
    Other(u32),
}

impl LinkType {
    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Ethernet,
            12 | 14 | 101 | 228 => Self::RawIp,
            113 => Self::LinuxCooked,
            276 => Self::LinuxCooked2,
            other => Self::Other(other),
        }
    }
}

/// One captured packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When it was captured, in ns since 1970; `None` where the file does not say (simple packet blocks).
    pub time_ns: Option<i64>,
    /// The resolution of that time, at least 1 ns.
    pub resolution: Span,
    /// Number of the interface within the file, from 0.
    pub interface: u32,
    /// What `data` starts with.
    pub link: LinkType,
    /// The bytes that were kept.
    pub data: &'a [u8],
}

/// The packets of a [`Capture`].
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    format: Format,
    /// Byte order of the running pcapng section.
    order: Order,
    /// Interfaces of the running pcapng section.
    interfaces: Vec<Interface>,
    ended: bool,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let frame = match self.format {
            Format::Classic { order, ns_per_tick, link } => self.next_record(order, ns_per_tick, link),
            Format::Next => self.next_packet_block(),
        };
        let frame = frame.transpose();
        self.ended = !matches!(frame, Some(Ok(_)));
        frame
    }
}

impl<'a> Frames<'a> {
    /// Classic: 16 bytes of header, then the packet.
    fn next_record(
        &mut self,
        order: Order,
        ns_per_tick: u32,
        link: LinkType,
    ) -> Result<Option<Frame<'a>>, CaptureError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let seconds = self.reader.u32(order)?;
        let ticks = self.reader.u32(order)?;
        let length = self.reader.bounded(order, "packet length", 0, PACKET_MAX)?;
        let _original_length = self.reader.u32(order)?;
        let data = self.reader.take(length)?;
        // Below 2^32 s + 2^32 µs: 4.3e18 ns, inside i64.
        let time_ns = i64::from(seconds) * 1_000_000_000 + i64::from(ticks) * i64::from(ns_per_tick);
        let resolution = Span::from_ns(i64::from(ns_per_tick));
        Ok(Some(Frame { time_ns: Some(time_ns), resolution, interface: 0, link, data }))
    }

    /// pcapng: blocks until one carries a packet.
    fn next_packet_block(&mut self) -> Result<Option<Frame<'a>>, CaptureError> {
        while !self.reader.is_empty() {
            let (kind, body) = self.next_block()?;
            let frame = match kind {
                INTERFACE_DESCRIPTION => {
                    self.interfaces.push(Interface::parse(body, self.order)?);
                    None
                }
                ENHANCED_PACKET => Some(self.enhanced_packet(body)?),
                OBSOLETE_PACKET => Some(self.obsolete_packet(body)?),
                SIMPLE_PACKET => Some(self.simple_packet(body)?),
                _ => None,
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
        Ok(None)
    }

    /// Type and body of the next block; a section header sets the byte order and forgets the interfaces.
    fn next_block(&mut self) -> Result<(u32, Reader<'a>), CaptureError> {
        let start = self.reader.at;
        // The type of a section header reads the same in both byte orders.
        let kind = self.reader.u32(self.order)?;
        if kind == SECTION_HEADER {
            self.order = section_order(self.reader)?;
            self.interfaces.clear();
        }
        let offset = self.reader.at;
        let length = self.reader.bounded(self.order, "block length", BLOCK_OVERHEAD, BLOCK_MAX)?;
        if length % 4 != 0 {
            return Err(CaptureError::Value { what: "block length", offset, value: length.into() });
        }
        let body_at = self.reader.at;
        let body = self.reader.take(length - BLOCK_OVERHEAD)?;
        let offset = self.reader.at;
        let repeated = self.reader.u32(self.order)?;
        if repeated != length {
            return Err(CaptureError::Value {
                what: "block length at its end",
                offset,
                value: repeated.into(),
            });
        }
        debug_assert!(self.reader.at > start, "every block moves the reader on");
        // The reader of the body counts from the start of the file, for its errors.
        let end = body_at + body.len();
        let bytes = self.reader.bytes.get(..end).unwrap_or_default();
        Ok((kind, Reader { bytes, at: body_at }))
    }

    fn enhanced_packet(&self, mut body: Reader<'a>) -> Result<Frame<'a>, CaptureError> {
        let offset = body.at;
        let number = body.u32(self.order)?;
        self.timed_packet(number, offset, body)
    }

    fn obsolete_packet(&self, mut body: Reader<'a>) -> Result<Frame<'a>, CaptureError> {
        let offset = body.at;
        let number = body.u16(self.order)?;
        let _drops = body.u16(self.order)?;
        self.timed_packet(number.into(), offset, body)
    }

    /// What enhanced and obsolete packet blocks have in common, from the time on.
    fn timed_packet(
        &self,
        number: u32,
        offset: usize,
        mut body: Reader<'a>,
    ) -> Result<Frame<'a>, CaptureError> {
        let interface = self.interface(number, offset)?;
        let offset = body.at;
        let high = body.u32(self.order)?;
        let low = body.u32(self.order)?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        let time_ns =
            interface.time_ns(ticks).ok_or(CaptureError::Value { what: "time", offset, value: ticks })?;
        let length = body.bounded(self.order, "packet length", 0, PACKET_MAX)?;
        let _original_length = body.u32(self.order)?;
        let data = body.take(length)?;
        Ok(Frame {
            time_ns: Some(time_ns),
            resolution: interface.resolution(),
            interface: number,
            link: interface.link,
            data,
        })
    }

    fn simple_packet(&self, mut body: Reader<'a>) -> Result<Frame<'a>, CaptureError> {
        let interface = self.interface(0, body.at)?;
        let original_length = body.u32(self.order)?;
        // The length that was kept is not written down: the packet's own, cut to the interface's limit and to
        // what the block holds.
        let limit = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
        let held = u32::try_from(body.left()).unwrap_or(u32::MAX);
        let data = body.take(original_length.min(limit).min(held))?;
        Ok(Frame {
            time_ns: None,
            resolution: interface.resolution(),
            interface: 0,
            link: interface.link,
            data,
        })
    }

    fn interface(&self, number: u32, offset: usize) -> Result<&Interface, CaptureError> {
        usize::try_from(number).ok().and_then(|index| self.interfaces.get(index)).ok_or(CaptureError::Value {
            what: "interface number",
            offset,
            value: number.into(),
        })
    }
}

/// Why a capture cannot be read. Offsets count bytes from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// The operating system refused.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// The operating system's words.
        reason: String,
    },
    /// The file would fill the memory.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// The largest size that is read.
        limit: u64,
    },
    /// The first bytes are not those of a capture.
    #[error("this is neither a pcap nor a pcapng file: it starts with {magic:#010x}")]
    NoCapture {
        /// The first four bytes, big-endian.
        magic: u32,
    },
    /// The file ends inside a packet or block.
    #[error("the capture is cut off: {needed} bytes were expected at offset {offset}, {left} are left")]
    Truncated {
        /// Where the bytes were expected.
        offset: usize,
        /// How many were expected.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A length outside its limits.
    #[error("{what} {value} at offset {offset} is out of range: {min} to {max}")]
    OutOfRange {
        /// The name of the field.
        what: &'static str,
        /// Where it is.
        offset: usize,
        /// What it says.
        value: u32,
        /// The least that makes sense.
        min: u32,
        /// The most that makes sense.
        max: u32,
    },
    /// A value that makes no sense.
    #[error("{what} {value} at offset {offset} makes no sense")]
    Value {
        /// The name of the field.
        what: &'static str,
        /// Where it is.
        offset: usize,
        /// What it says.
        value: u64,
    },
}

/// Classic file header: magic, version (2 × u16), zone, accuracy, snap length, link type.
const CLASSIC_HEADER: usize = 24;
const CLASSIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const CLASSIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Upper bits of the link type field tell about frame check sequences.
const CLASSIC_LINK_MASK: u32 = 0x0fff_ffff;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and both lengths.
const BLOCK_OVERHEAD: u32 = 12;

fn format_of(mut reader: Reader<'_>) -> Result<Format, CaptureError> {
    let magic = reader.u32(Order::Big)?;
    let (order, ns_per_tick) = match (magic, magic.swap_bytes()) {
        (SECTION_HEADER, _) => return Ok(Format::Next),
        (CLASSIC_MICROSECONDS, _) => (Order::Big, 1_000),
        (CLASSIC_NANOSECONDS, _) => (Order::Big, 1),
        (_, CLASSIC_MICROSECONDS) => (Order::Little, 1_000),
        (_, CLASSIC_NANOSECONDS) => (Order::Little, 1),
        _ => return Err(CaptureError::NoCapture { magic }),
    };
    let _version_zone_accuracy_snap_length = reader.take(16)?;
    let link = LinkType::from_number(reader.u32(order)? & CLASSIC_LINK_MASK);
    Ok(Format::Classic { order, ns_per_tick, link })
}

/// The byte order of a section whose block length is next.
fn section_order(mut reader: Reader<'_>) -> Result<Order, CaptureError> {
    reader.take(4)?;
    let offset = reader.at;
    let magic = reader.u32(Order::Big)?;
    match (magic, magic.swap_bytes()) {
        (BYTE_ORDER_MAGIC, _) => Ok(Order::Big),
        (_, BYTE_ORDER_MAGIC) => Ok(Order::Little),
        _ => Err(CaptureError::Value { what: "byte order magic", offset, value: magic.into() }),
    }
}

/// An interface of a pcapng section.
#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    /// 0: no limit.
    snap_length: u32,
    /// `if_tsresol`: units of 10^-n s, or of 2^-n s with the highest bit set.
    resolution: u8,
    /// `if_tsoffset`, in s.
    offset_s: i64,
}

impl Interface {
    const END_OF_OPTIONS: u16 = 0;
    const TIME_RESOLUTION: u16 = 9;
    const TIME_OFFSET: u16 = 14;
    const BINARY: u8 = 0x80;

    fn parse(mut body: Reader<'_>, order: Order) -> Result<Self, CaptureError> {
        let link = LinkType::from_number(body.u16(order)?.into());
        let _reserved = body.u16(order)?;
        let snap_length = body.u32(order)?;
        // µs is the default of the format.
        let mut interface = Self { link, snap_length, resolution: 6, offset_s: 0 };
        while !body.is_empty() {
            let code = body.u16(order)?;
            let length = body.u16(order)?;
            let value = body.take(length.into())?;
            // Options are padded to 4 bytes; a file may end without the padding of its last one.
            let padding = usize::from(length.wrapping_neg() % 4).min(body.left());
            body.skip(padding);
            match (code, value) {
                (Self::END_OF_OPTIONS, _) => break,
                (Self::TIME_RESOLUTION, &[resolution]) => interface.resolution = resolution,
                (Self::TIME_OFFSET, value) => interface.offset_s = order.i64(value).unwrap_or_default(),
                _ => {}
            }
        }
        Ok(interface)
    }

    /// `None` when the time does not fit into i64 ns.
    fn time_ns(&self, ticks: u64) -> Option<i64> {
        let exponent = u32::from(self.resolution & !Self::BINARY);
        let ticks = u128::from(ticks);
        let ns = if self.resolution & Self::BINARY != 0 {
            // 2^64 × 10^9 is below 2^94, and the shift is at most 127.
            (ticks * 1_000_000_000) >> exponent
        } else if exponent <= 9 {
            ticks * 10_u128.pow(9 - exponent)
        } else {
            // Beyond 10^38 every u64 of ticks is 0 ns.
            10_u128.checked_pow(exponent - 9).map_or(0, |unit| ticks / unit)
        };
        let offset_ns = i128::from(self.offset_s) * 1_000_000_000;
        i64::try_from(i128::try_from(ns).ok()?.checked_add(offset_ns)?).ok()
    }

    /// One tick, rounded up to a whole ns.
    fn resolution(&self) -> Span {
        let exponent = u32::from(self.resolution & !Self::BINARY);
        let base: i64 = if self.resolution & Self::BINARY != 0 { 2 } else { 10 };
        let per_second = base.checked_pow(exponent).unwrap_or(i64::MAX);
        Span::from_ns((1_000_000_000 / per_second).max(1))
    }
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Order {
    fn i64(self, bytes: &[u8]) -> Option<i64> {
        let bytes = bytes.try_into().ok()?;
        Some(match self {
            Self::Big => i64::from_be_bytes(bytes),
            Self::Little => i64::from_le_bytes(bytes),
        })
    }
}

/// A place in the file; every read is checked.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn is_empty(&self) -> bool {
        self.left() == 0
    }

    fn skip(&mut self, length: usize) {
        self.at = self.at.saturating_add(length);
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], CaptureError> {
        let needed = usize::try_from(length).unwrap_or(usize::MAX);
        let truncated = CaptureError::Truncated { offset: self.at, needed, left: self.left() };
        let end = self.at.checked_add(needed);
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or(truncated)?;
        self.skip(needed);
        Ok(taken)
    }

    fn u32(&mut self, order: Order) -> Result<u32, CaptureError> {
        let bytes = self.take(4)?.try_into().expect("take gives the length it was asked for");
        Ok(match order {
            Order::Big => u32::from_be_bytes(bytes),
            Order::Little => u32::from_le_bytes(bytes),
        })
    }

    fn u16(&mut self, order: Order) -> Result<u16, CaptureError> {
        let bytes = self.take(2)?.try_into().expect("take gives the length it was asked for");
        Ok(match order {
            Order::Big => u16::from_be_bytes(bytes),
            Order::Little => u16::from_le_bytes(bytes),
        })
    }

    fn bounded(&mut self, order: Order, what: &'static str, min: u32, max: u32) -> Result<u32, CaptureError> {
        let offset = self.at;
        let value = self.u32(order)?;
        if (min..=max).contains(&value) {
            Ok(value)
        } else {
            Err(CaptureError::OutOfRange { what, offset, value, min, max })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Put32 = fn(u32) -> [u8; 4];
    type Put16 = fn(u16) -> [u8; 2];
    const ORDERS: [(Put32, Put16); 2] =
        [(u32::to_le_bytes, u16::to_le_bytes), (u32::to_be_bytes, u16::to_be_bytes)];

    fn classic(put: Put32, magic: u32, link: u32, packets: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut file: Vec<u8> = [magic, 0, 0, 0, 65_535, link].into_iter().flat_map(put).collect();
        for (seconds, ticks, data) in packets {
            let length = u32::try_from(data.len()).unwrap();
            file.extend([*seconds, *ticks, length, length].into_iter().flat_map(put));
            file.extend_from_slice(data);
        }
        file
    }

    fn block(put: Put32, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = u32::try_from(padded + 12).unwrap();
        let mut block: Vec<u8> = [kind, length].into_iter().flat_map(put).collect();
        block.extend_from_slice(body);
        block.resize(8 + padded, 0);
        block.extend(put(length));
        block
    }

    fn section(put: Put32, put16: Put16) -> Vec<u8> {
        let body: Vec<u8> = [&put(BYTE_ORDER_MAGIC)[..], &put16(1), &put16(0), &[0xff; 8]].concat();
        block(put, SECTION_HEADER, &body)
    }

    fn interface(put: Put32, put16: Put16, link: u16, snap_length: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [&put16(link)[..], &put16(0), &put(snap_length)].concat();
        for (code, value) in options {
            body.extend(put16(*code));
            body.extend(put16(u16::try_from(value.len()).unwrap()));
            body.extend_from_slice(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        block(put, INTERFACE_DESCRIPTION, &body)
    }

    fn enhanced(put: Put32, number: u32, ticks: u64, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        let (high, low) = (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xffff_ffff).unwrap());
        let mut body: Vec<u8> = [number, high, low, length, length].into_iter().flat_map(put).collect();
        body.extend_from_slice(data);
        block(put, ENHANCED_PACKET, &body)
    }

    /// Time, resolution in ns, interface, link type, bytes.
    type Packet = (Option<i64>, i64, u32, LinkType, Vec<u8>);

    fn all(bytes: Vec<u8>) -> Vec<Packet> {
        let capture = Capture::from_bytes(bytes).unwrap();
        capture
            .frames()
            .map(|frame| {
                let frame = frame.unwrap();
                (frame.time_ns, frame.resolution.as_ns(), frame.interface, frame.link, frame.data.to_vec())
            })
            .collect()
    }

    #[test]
    fn classic_files_are_read_in_both_byte_orders_and_resolutions() {
        for (put, _) in ORDERS {
            for (magic, ns_per_tick) in [(CLASSIC_MICROSECONDS, 1_000), (CLASSIC_NANOSECONDS, 1)] {
                let file = classic(put, magic, 1, &[(7, 250, b"first"), (u32::MAX, 999_999, b"")]);
                assert_eq!(
                    all(file),
                    [
                        (
                            Some(7_000_000_000 + 250 * ns_per_tick),
                            ns_per_tick,
                            0,
                            LinkType::Ethernet,
                            b"first".to_vec()
                        ),
                        (
                            Some(4_294_967_295_000_000_000 + 999_999 * ns_per_tick),
                            ns_per_tick,
                            0,
                            LinkType::Ethernet,
                            vec![]
                        ),
                    ]
                );
            }
        }
    }

    #[test]
    fn pcapng_files_are_read_with_several_interfaces_and_resolutions() {
        for (put, put16) in ORDERS {
            let file = [
                section(put, put16),
                interface(put, put16, 1, 0, &[]),
                interface(put, put16, 113, 0, &[(2, b"eth1"), (9, &[9]), (0, b"")]),
                interface(put, put16, 276, 0, &[(9, &[0x80 | 10])]),
                block(put, 5, b"statistics, not for us.."),
                enhanced(put, 0, 1_500_000, b"odd"),
                enhanced(put, 1, 1_500_000_001, b"four"),
                enhanced(put, 2, 1_536, b"x"),
            ]
            .concat();
            assert_eq!(
                all(file),
                [
                    (Some(1_500_000_000), 1_000, 0, LinkType::Ethernet, b"odd".to_vec()),
                    (Some(1_500_000_001), 1, 1, LinkType::LinuxCooked, b"four".to_vec()),
                    (Some(1_500_000_000), 976_562, 2, LinkType::LinuxCooked2, b"x".to_vec()),
                ]
            );
        }
    }

    #[test]
    fn a_time_offset_of_an_interface_is_added() {
        let (put, put16) = ORDERS[0];
        let offset = (-2_i64).to_le_bytes();
        let file = [
            section(put, put16),
            interface(put, put16, 101, 0, &[(14, &offset)]),
            enhanced(put, 0, 5_000_000, b"ip"),
        ];
        assert_eq!(all(file.concat()), [(Some(3_000_000_000), 1_000, 0, LinkType::RawIp, b"ip".to_vec())]);
    }

    #[test]
    fn a_simple_packet_has_no_time_and_is_cut_to_the_snap_length() {
        let (put, put16) = ORDERS[1];
        let packet = [&put(100)[..], b"12345678"].concat();
        let file =
            [section(put, put16), interface(put, put16, 1, 6, &[]), block(put, SIMPLE_PACKET, &packet)]
                .concat();
        assert_eq!(all(file), [(None, 1_000, 0, LinkType::Ethernet, b"123456".to_vec())]);
    }

    #[test]
    fn a_second_section_may_change_the_byte_order_and_forgets_the_interfaces() {
        let mut file = Vec::new();
        for (put, put16) in ORDERS {
            file.extend(section(put, put16));
            file.extend(interface(put, put16, 1, 0, &[]));
            file.extend(enhanced(put, 0, 7, b"data"));
        }
        assert_eq!(all(file.clone()).len(), 2);
        let (put, put16) = ORDERS[0];
        file.extend(section(put, put16));
        file.extend(enhanced(put, 0, 7, b"data"));
        let capture = Capture::from_bytes(file).unwrap();
        let last = capture.frames().last().unwrap();
        assert!(
            matches!(last, Err(CaptureError::Value { what: "interface number", value: 0, .. })),
            "{last:?}"
        );
    }

    #[test]
    fn a_file_cut_anywhere_gives_its_whole_packets_and_then_says_where_it_ends() {
        let (put, put16) = ORDERS[0];
        let packets: &[(u32, u32, &[u8])] = &[(1, 0, b"one"), (2, 0, b"two")];
        let next = [
            section(put, put16),
            interface(put, put16, 1, 0, &[(9, &[9])]),
            enhanced(put, 0, 1, b"one"),
            enhanced(put, 0, 2, b"two"),
        ];
        let ends_of_next = next.iter().scan(0, |at, block| {
            *at += block.len();
            Some(*at)
        });
        let cases = [
            (classic(put, CLASSIC_MICROSECONDS, 1, packets), vec![24, 43, 62]),
            (next.concat(), ends_of_next.collect()),
        ];
        for (file, whole) in cases {
            for length in 4..file.len() {
                let Ok(capture) = Capture::from_bytes(file[..length].to_vec()) else {
                    assert!(length < 24, "only the file header is checked at once");
                    continue;
                };
                let (good, bad): (Vec<_>, Vec<_>) = capture.frames().partition(Result::is_ok);
                assert_eq!(bad.is_empty(), whole.contains(&length), "cut to {length}");
                assert!(good.len() < 2 || length == file.len());
                for error in bad {
                    assert!(matches!(error, Err(CaptureError::Truncated { .. })), "{error:?}");
                }
            }
        }
    }

    #[test]
    fn damage_is_named_with_its_place_and_value() {
        let (put, put16) = ORDERS[0];
        let error_of = |bytes: Vec<u8>| match Capture::from_bytes(bytes) {
            Ok(capture) => capture.frames().find_map(Result::err).unwrap().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            error_of(b"#!/bin/sh".to_vec()),
            "this is neither a pcap nor a pcapng file: it starts with 0x23212f62"
        );
        let mut long = classic(put, CLASSIC_MICROSECONDS, 1, &[(1, 0, b"x")]);
        long[32..36].copy_from_slice(&put(300_000));
        assert_eq!(error_of(long), "packet length 300000 at offset 32 is out of range: 0 to 262144");
        let mut block_length = section(put, put16);
        block_length[4..8].copy_from_slice(&put(8));
        assert_eq!(error_of(block_length), "block length 8 at offset 4 is out of range: 12 to 16777216");
        let mut repeated = section(put, put16);
        repeated[24..28].copy_from_slice(&put(32));
        assert_eq!(error_of(repeated), "block length at its end 32 at offset 24 makes no sense");
        assert_eq!(
            error_of(b"\x0a\x0d\x0d\x0a\x1c\0\0\0abcdefghijkl".to_vec()),
            "byte order magic 1633837924 at offset 8 makes no sense"
        );
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic_and_always_end(
            start in prop::sample::select(vec![0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0x0a0d_0d0a]),
            little: bool,
            rest in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            let start = if little { start.to_le_bytes() } else { start.to_be_bytes() };
            let bytes = [&start[..], &rest].concat();
            let length = bytes.len();
            if let Ok(capture) = Capture::from_bytes(bytes) {
                prop_assert!(capture.frames().count() <= length);
            }
        }

        #[test]
        fn a_good_file_with_damaged_bytes_never_panics(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let (put, put16) = ORDERS[0];
            let mut file = [
                section(put, put16),
                interface(put, put16, 1, 0, &[(9, &[9]), (14, &[0; 8])]),
                enhanced(put, 0, 1, b"first"),
                block(put, SIMPLE_PACKET, b"\x04\0\0\0data"),
                enhanced(put, 0, 2, b"second"),
            ].concat();
            for (index, value) in damage {
                let at = index.index(file.len());
                file[at] = value;
            }
            if let Ok(capture) = Capture::from_bytes(file) {
                for frame in capture.frames().flatten() {
                    let _ = crate::replay::udp(&frame);
                }
            }
        }
    }
}
