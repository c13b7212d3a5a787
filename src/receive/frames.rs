//! Frames of the capture formats: pcap and pcapng in both byte orders and every time resolution.
//!
//! `pcap-parser` reads the headers and the content of blocks; where a block ends is decided here, so that one bad
//! block costs itself only, and times are integers: its own conversions lose nanoseconds, know no binary
//! resolution and read the time offset of big-endian files the wrong way round.

use crate::model::prefetch;
use pcap_parser::pcapng::{Block, InterfaceDescriptionBlock, parse_block_be, parse_block_le};
use pcap_parser::{
    LegacyPcapBlock, OptionCode, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Place in the file, from 1.
    pub number: u64,
    /// When it was captured, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Capture interface, from 1.
    pub interface: u32,
    /// LINKTYPE number.
    pub link_type: u16,
    /// The bytes that were captured.
    pub captured: &'a [u8],
    /// How many bytes the frame had.
    pub original: u32,
}

/// Why the frames of a file ended before the file did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file ends within a frame or block that starts at this byte.
    CutShort(usize),
    /// What starts at this byte is no frame or block.
    Broken(usize),
}

/// The frames of one file, in order. After the last one, [`Frames::fault`] says whether the file was whole.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    number: u64,
    form: Form,
    fault: Option<Fault>,
    blocks_rejected: u64,
}

#[derive(Debug)]
enum Form {
    Pcap {
        read: PcapReader,
        link_type: u16,
        nanoseconds: bool,
    },
    PcapNg {
        big_endian: bool,
        interfaces: Vec<Interface>,
    },
}

type PcapReader = for<'a> fn(
    &'a [u8],
) -> pcap_parser::nom::IResult<
    &'a [u8],
    LegacyPcapBlock<'a>,
    pcap_parser::PcapError<&'a [u8]>,
>;

/// An interface of a pcapng section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    snap: u32,
    /// Units in a second.
    resolution: u64,
    offset_seconds: i64,
}

impl<'a> Frames<'a> {
    /// The frames of a pcap or pcapng file; `None` where the bytes are neither.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let (at, form) = if bytes.starts_with(&SECTION_HEADER) {
            let big_endian = section_order(bytes)?;
            let interfaces = Vec::new();
            (
                0,
                Form::PcapNg {
                    big_endian,
                    interfaces,
                },
            )
        } else if bytes.starts_with(&MODIFIED_BIG_ENDIAN) {
            let form = Form::Pcap {
                read: modified_big_endian,
                link_type: number(bytes.get(20..PCAP_HEADER)?, true) as u16,
                nanoseconds: false,
            };
            (PCAP_HEADER, form)
        } else {
            let (_, header) = parse_pcap_header(bytes).ok()?;
            let read: PcapReader = if header.is_modified_format() {
                parse_pcap_frame_modified
            } else if header.is_bigendian() {
                parse_pcap_frame_be
            } else {
                parse_pcap_frame
            };
            let form = Form::Pcap {
                read,
                // the upper half holds the length of a frame check sequence
                link_type: header.network.0 as u16,
                nanoseconds: header.is_nanosecond_precision(),
            };
            (header.size(), form)
        };
        Some(Frames {
            bytes,
            at,
            number: 0,
            form,
            fault: None,
            blocks_rejected: 0,
        })
    }

    /// The byte at which the next frame is looked for.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Why the frames ended, if not with the file.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Blocks of a pcapng file that were left out because their content made no sense.
    pub fn blocks_rejected(&self) -> u64 {
        self.blocks_rejected
    }

    fn next_pcap(&mut self) -> Option<Frame<'a>> {
        let Form::Pcap {
            read,
            link_type,
            nanoseconds,
        } = &self.form
        else {
            return None;
        };
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        let Ok((after, block)) = read(rest) else {
            self.fault = Some(Fault::CutShort(self.at));
            self.at = self.bytes.len();
            return None;
        };
        let fraction = i64::from(block.ts_usec) * if *nanoseconds { 1 } else { 1000 };
        self.at = self.bytes.len() - after.len();
        // the headers of the next one, which is read after this one was worked on
        if let Some(head) = after.first_chunk::<HEADS>() {
            prefetch(head);
        }
        self.number += 1;
        Some(Frame {
            number: self.number,
            // a field of a second or more (seen in real captures) is simply added
            time_ns: i64::from(block.ts_sec) * NS + fraction,
            interface: 1,
            link_type: *link_type,
            captured: block.data,
            original: block.origlen,
        })
    }

    fn next_pcapng(&mut self) -> Option<Frame<'a>> {
        while self.at < self.bytes.len() {
            let block = match self.block() {
                Ok(block) => block,
                Err(fault) => {
                    self.fault = Some(fault);
                    self.at = self.bytes.len();
                    return None;
                }
            };
            self.at += block.len();
            if let Some(head) = self.bytes[self.at..].first_chunk::<HEADS>() {
                prefetch(head);
            }
            if let Some(frame) = self.take_block(block) {
                return Some(frame);
            }
        }
        None
    }

    /// The block at the current place, by its own length. A section header may change the byte order.
    fn block(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        if rest.len() < BLOCK_MIN {
            return Err(Fault::CutShort(self.at));
        }
        let section = rest.starts_with(&SECTION_HEADER);
        let Form::PcapNg {
            big_endian,
            interfaces,
        } = &mut self.form
        else {
            return Err(Fault::Broken(self.at));
        };
        if section {
            *big_endian = section_order(rest).ok_or(Fault::Broken(self.at))?;
            interfaces.clear();
        }
        let length = number(&rest[4..8], *big_endian) as usize;
        if length < BLOCK_MIN || !length.is_multiple_of(4) {
            return Err(Fault::Broken(self.at));
        }
        rest.get(..length).ok_or(Fault::CutShort(self.at))
    }

    /// Learns from a block, or makes a frame of it.
    fn take_block(&mut self, block: &'a [u8]) -> Option<Frame<'a>> {
        let Form::PcapNg {
            big_endian,
            interfaces,
        } = &mut self.form
        else {
            return None;
        };
        if number(&block[..4], *big_endian) == OLD_PACKET_BLOCK {
            return self.old_packet(block);
        }
        let parsed = if *big_endian {
            parse_block_be(block)
        } else {
            parse_block_le(block)
        };
        match parsed {
            Ok((_, Block::InterfaceDescription(b))) => {
                if interfaces.len() < INTERFACES_MAX {
                    interfaces.push(Interface::of(&b, *big_endian));
                }
                None
            }
            Ok((_, Block::EnhancedPacket(b))) => {
                let units = u64::from(b.ts_high) << 32 | u64::from(b.ts_low);
                let data = b.data;
                let captured = &data[..data.len().min(b.caplen as usize)];
                self.frame(b.if_id, Some(units), captured, b.origlen)
            }
            Ok((_, Block::SimplePacket(b))) => {
                let data = b.data;
                let snap = interfaces.first().map_or(0, |i| i.snap);
                let snap = if snap == 0 { u32::MAX } else { snap };
                let captured = &data[..data.len().min(b.origlen.min(snap) as usize)];
                self.frame(0, None, captured, b.origlen)
            }
            Ok(_) => None,
            Err(_) => {
                self.blocks_rejected += 1;
                None
            }
        }
    }

    /// The obsolete packet block, which the parser does not know: interface, drops, time, lengths, data.
    fn old_packet(&mut self, block: &'a [u8]) -> Option<Frame<'a>> {
        let Form::PcapNg { big_endian, .. } = self.form else {
            return None;
        };
        let word = |at: usize| Some(number(block.get(at..at + 4)?, big_endian));
        let frame = (|| {
            let interface = block.get(8..10)?;
            let interface = match big_endian {
                true => u16::from_be_bytes([interface[0], interface[1]]),
                false => u16::from_le_bytes([interface[0], interface[1]]),
            };
            let units = u64::from(word(12)?) << 32 | u64::from(word(16)?);
            let captured = block.get(28..block.len() - 4)?.get(..word(20)? as usize)?;
            Some((u32::from(interface), units, captured, word(24)?))
        })();
        match frame {
            Some((interface, units, captured, original)) => {
                self.frame(interface, Some(units), captured, original)
            }
            None => {
                self.blocks_rejected += 1;
                None
            }
        }
    }

    fn frame(
        &mut self,
        interface: u32,
        units: Option<u64>,
        captured: &'a [u8],
        original: u32,
    ) -> Option<Frame<'a>> {
        let Form::PcapNg { interfaces, .. } = &self.form else {
            return None;
        };
        let Some(described) = interfaces.get(interface as usize) else {
            self.blocks_rejected += 1;
            return None;
        };
        self.number += 1;
        Some(Frame {
            number: self.number,
            time_ns: units.map_or(0, |u| described.time_ns(u)),
            interface: interface + 1,
            link_type: described.link_type,
            captured,
            original,
        })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        match self.form {
            Form::Pcap { .. } => self.next_pcap(),
            Form::PcapNg { .. } => self.next_pcapng(),
        }
    }
}

impl Interface {
    fn of(b: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let offset = b
            .options
            .iter()
            .find(|o| o.code == OptionCode::IfTsoffset)
            .and_then(|o| o.value.get(..8)?.try_into().ok());
        Interface {
            link_type: b.linktype.0 as u16,
            snap: b.snaplen,
            resolution: resolution(b.if_tsresol),
            offset_seconds: match (offset, big_endian) {
                (Some(o), true) => i64::from_be_bytes(o),
                (Some(o), false) => i64::from_le_bytes(o),
                (None, _) => 0,
            },
        }
    }

    /// A time in units of the interface's resolution, in nanoseconds since 1970 UTC.
    fn time_ns(&self, units: u64) -> i64 {
        let (seconds, rest) = (units / self.resolution, units % self.resolution);
        let fraction = u128::from(rest) * NS as u128 / u128::from(self.resolution);
        i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_add(self.offset_seconds)
            .saturating_mul(NS)
            .saturating_add(fraction as i64)
    }
}

/// Units in a second: a negative power of ten, or of two where the top bit is set. What does not fit is taken as
/// the finest that does.
fn resolution(code: u8) -> u64 {
    let power = u32::from(code & 0x7f);
    if code & 0x80 != 0 {
        1 << power.min(63)
    } else {
        10u64.pow(power.min(19))
    }
}

/// A record of the modified format in big-endian order, which the parser does not know: interface, protocol and kind of
/// packet in eight octets behind the usual head.
fn modified_big_endian(
    bytes: &[u8],
) -> pcap_parser::nom::IResult<&[u8], LegacyPcapBlock<'_>, pcap_parser::PcapError<&[u8]>> {
    let short = || pcap_parser::nom::Err::Incomplete(pcap_parser::nom::Needed::Unknown);
    let (head, rest) = bytes.split_at_checked(MODIFIED_HEAD).ok_or_else(short)?;
    let word = |at: usize| number(&head[at..at + 4], true);
    let (data, after) = rest.split_at_checked(word(8) as usize).ok_or_else(short)?;
    let block = LegacyPcapBlock {
        ts_sec: word(0),
        ts_usec: word(4),
        caplen: word(8),
        origlen: word(12),
        data,
    };
    Ok((after, block))
}

/// Whether a section is big-endian, by its byte-order magic.
fn section_order(block: &[u8]) -> Option<bool> {
    match block.get(8..12)? {
        [0x1a, 0x2b, 0x3c, 0x4d] => Some(true),
        [0x4d, 0x3c, 0x2b, 0x1a] => Some(false),
        _ => None,
    }
}

/// Four bytes in the order of the section.
fn number(four: &[u8], big_endian: bool) -> u32 {
    let four = [four[0], four[1], four[2], four[3]];
    if big_endian {
        u32::from_be_bytes(four)
    } else {
        u32::from_le_bytes(four)
    }
}

const NS: i64 = 1_000_000_000;
/// Type of a section header block, a palindrome.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const OLD_PACKET_BLOCK: u32 = 2;
/// Type, length, length again.
const BLOCK_MIN: usize = 12;
/// Most interfaces of a section that are kept; frames of others are left out and counted.
const INTERFACES_MAX: usize = 65_536;
/// Magic number of the modified format (Alexey Kuznetzov's) where the file is big-endian.
const MODIFIED_BIG_ENDIAN: [u8; 4] = [0xa1, 0xb2, 0xcd, 0x34];
/// Bytes of the header of a pcap file.
const PCAP_HEADER: usize = 24;
/// Bytes before the data of a record of the modified format.
const MODIFIED_HEAD: usize = 24;
/// Bytes of a record's head and of the headers of its frame.
const HEADS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn put(out: &mut Vec<u8>, big: bool, n: u32) {
        out.extend(if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        });
    }

    fn put16(out: &mut Vec<u8>, big: bool, n: u16) {
        out.extend(if big {
            n.to_be_bytes()
        } else {
            n.to_le_bytes()
        });
    }

    #[test]
    fn the_modified_format_is_read_in_both_orders() {
        for big in [false, true] {
            let mut file = pcap(0xa1b2_cd34, big, &[]);
            for n in 0..3 {
                for word in [n, 7, 4, 90, 3] {
                    put(&mut file, big, word);
                }
                file.extend([0; 4]);
                file.extend([n as u8; 4]);
            }
            let mut frames = Frames::of(&file).expect("pcap");
            let all: Vec<_> = frames
                .by_ref()
                .map(|f| (f.time_ns, f.captured[0], f.original))
                .collect();
            let at = |n: i64| (n * NS + 7_000, n as u8, 90);
            assert_eq!(all, [at(0), at(1), at(2)], "{big}");
            assert_eq!(frames.fault(), None);
            let torn = Frames::of(&file[..file.len() - 1]).expect("pcap");
            assert_eq!(torn.count(), 2);
        }
    }

    fn pcap(magic: u32, big: bool, records: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, big, magic);
        put16(&mut out, big, 2);
        put16(&mut out, big, 4);
        for n in [0, 0, 65_535, 1] {
            put(&mut out, big, n);
        }
        for (s, f, data) in records {
            for n in [*s, *f, data.len() as u32, data.len() as u32 + 1] {
                put(&mut out, big, n);
            }
            out.extend(*data);
        }
        out
    }

    fn block(out: &mut Vec<u8>, big: bool, kind: u32, body: &[u8]) {
        let length = 12 + body.len() as u32;
        put(out, big, kind);
        put(out, big, length);
        out.extend(body);
        put(out, big, length);
    }

    fn section(out: &mut Vec<u8>, big: bool) {
        let mut body = Vec::new();
        put(&mut body, big, 0x1a2b_3c4d);
        put16(&mut body, big, 1);
        put16(&mut body, big, 0);
        body.extend([0xff; 8]);
        block(out, big, 0x0a0d_0d0a, &body);
    }

    fn interface(out: &mut Vec<u8>, big: bool, link: u16, resolution: u8, offset: i64) {
        let mut body = Vec::new();
        put16(&mut body, big, link);
        put16(&mut body, big, 0);
        put(&mut body, big, 0);
        put16(&mut body, big, 9);
        put16(&mut body, big, 1);
        body.extend([resolution, 0, 0, 0]);
        put16(&mut body, big, 14);
        put16(&mut body, big, 8);
        body.extend(if big {
            offset.to_be_bytes()
        } else {
            offset.to_le_bytes()
        });
        put(&mut body, big, 0);
        block(out, big, 1, &body);
    }

    fn packet(out: &mut Vec<u8>, big: bool, interface: u32, units: u64, data: &[u8]) {
        let mut body = Vec::new();
        put(&mut body, big, interface);
        put(&mut body, big, (units >> 32) as u32);
        put(&mut body, big, units as u32);
        put(&mut body, big, data.len() as u32);
        put(&mut body, big, 1500);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        block(out, big, 6, &body);
    }

    #[test]
    fn pcap_in_every_order_and_resolution() {
        for (magic, big, unit) in [
            (0xa1b2_c3d4, false, 1000),
            (0xa1b2_c3d4, true, 1000),
            (0xa1b2_3c4d, false, 1),
            (0xa1b2_3c4d, true, 1),
        ] {
            let file = pcap(magic, big, &[(7, 5, b"abc"), (8, 1_000_000_000, b"d")]);
            let frames: Vec<_> = Frames::of(&file).expect("is one").collect();
            assert_eq!(frames.len(), 2);
            assert_eq!(frames[0].time_ns, 7_000_000_000 + 5 * unit);
            assert_eq!((frames[0].captured, frames[0].original), (&b"abc"[..], 4));
            assert_eq!(frames[1].time_ns, 8 * NS + NS * unit);
        }
    }

    #[test]
    fn pcapng_keeps_each_interface_apart() {
        for big in [false, true] {
            let mut file = Vec::new();
            section(&mut file, big);
            interface(&mut file, big, 1, 9, 0);
            interface(&mut file, big, 101, 6, 100);
            interface(&mut file, big, 113, 0x80 | 32, -1);
            packet(&mut file, big, 0, 1_700_000_000_123_456_789, b"nanoseconds");
            packet(&mut file, big, 1, 5_000_001, b"offset");
            packet(&mut file, big, 2, (9 << 32) | (1 << 31), b"binary");
            packet(&mut file, big, 7, 0, b"no such interface");
            block(&mut file, big, 0x0bad, b"what");
            section(&mut file, !big);
            interface(&mut file, !big, 228, 0, 0);
            packet(&mut file, !big, 0, 3, b"second section");
            let mut reader = Frames::of(&file).expect("is one");
            let frames: Vec<_> = reader.by_ref().collect();
            let seen: Vec<_> = frames
                .iter()
                .map(|f| (f.number, f.time_ns, f.interface, f.link_type))
                .collect();
            assert_eq!(
                seen,
                [
                    (1, 1_700_000_000_123_456_789, 1, 1),
                    (2, 105_000_001_000, 2, 101),
                    (3, 8_500_000_000, 3, 113),
                    (4, 3_000_000_000, 1, 228),
                ]
            );
            assert_eq!(frames[0].captured, b"nanoseconds");
            assert_eq!(frames[0].original, 1500);
            assert_eq!((reader.fault(), reader.blocks_rejected()), (None, 1));
        }
    }

    #[test]
    fn old_and_simple_packets() {
        let mut file = Vec::new();
        section(&mut file, false);
        interface(&mut file, false, 1, 6, 0);
        let mut old = vec![0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0];
        old.extend(b"old\0");
        block(&mut file, false, 2, &old);
        block(&mut file, false, 3, b"\x05\0\0\0plain\0\0\0");
        let frames: Vec<_> = Frames::of(&file).expect("is one").collect();
        assert_eq!(
            (frames[0].captured, frames[0].original, frames[0].time_ns),
            (&b"old"[..], 60, 9000)
        );
        assert_eq!(frames[1].captured, b"plain");
    }

    #[test]
    fn a_cut_file_gives_its_whole_frames_and_says_where_it_was_cut() {
        let file = pcap(0xa1b2_c3d4, false, &[(1, 0, b"abc"), (2, 0, b"defg")]);
        for n in 24..file.len() {
            let mut frames = Frames::of(&file[..n]).expect("is one");
            let count = frames.by_ref().count();
            assert_eq!(count, usize::from(n >= 43));
            let whole = n == 24 || n == 43;
            assert_eq!(frames.fault().is_none(), whole, "at {n}");
        }
        let mut ng = Vec::new();
        section(&mut ng, false);
        interface(&mut ng, false, 1, 6, 0);
        let start = ng.len();
        packet(&mut ng, false, 0, 1, b"abcd");
        for n in start + 1..ng.len() {
            let mut frames = Frames::of(&ng[..n]).expect("is one");
            assert_eq!(frames.by_ref().count(), 0);
            assert_eq!(frames.fault(), Some(Fault::CutShort(start)));
        }
    }

    #[test]
    fn other_bytes_are_no_capture() {
        assert!(Frames::of(b"").is_none());
        assert!(Frames::of(b"\0\x05\0\x01").is_none());
        assert!(Frames::of(b"\x0a\x0d\x0d\x0a\0\0\0\0abcd").is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end(mut bytes: Vec<u8>, ng: bool) {
            let mut file = if ng { Vec::new() } else { pcap(0xa1b2_c3d4, true, &[]) };
            if ng {
                section(&mut file, false);
                interface(&mut file, false, 1, 6, 0);
            }
            file.append(&mut bytes);
            let n = Frames::of(&file).expect("is one").count();
            proptest::prop_assert!(n <= file.len());
        }
    }
}
