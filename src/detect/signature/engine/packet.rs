//! Conditions on the headers of one packet.

use super::super::rule::{FlagMode, FlagTest};
use crate::model::{PacketView, TcpHeader, Transport};

/// What rules ask of a packet's headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Headers<'a> {
    pub p: &'a PacketView<'a>,
}

impl<'a> Headers<'a> {
    /// The number that a keyword asks for; none where the packet has no such thing.
    pub fn number(&self, keyword: &str) -> Option<u64> {
        let p = self.p;
        Some(match keyword {
            // of other protocols, and of fragments, rules see headers alone
            "dsize" if p.fragment.is_none() && matches!(p.proto, 1 | 6 | 17 | 58 | 132) => {
                p.payload_len.into()
            }
            "dsize" => 0,
            "ttl" => p.ttl.into(),
            "id" if p.version == 4 => u64::from(p.ip_id),
            "tos" if p.version == 4 => p.tos.into(),
            "fragoffset" => p.fragment.map_or(0, |f| f.offset / 8).into(),
            "ip_proto" => p.proto.into(),
            "ipv4.ihl" if p.version == 4 => (self.network(1)?[0] & 15).into(),
            "itype" => self.icmp()?.0.into(),
            "icode" => self.icmp()?.1.into(),
            "icmp_id" => self.icmp_word(4)?,
            "icmp_seq" => self.icmp_word(6)?,
            "icmpv6.mtu" => match (p.proto, self.icmp()?) {
                (58, (2, _)) => {
                    let b = self.transport(8)?;
                    u32::from_be_bytes([b[4], b[5], b[6], b[7]]).into()
                }
                _ => return None,
            },
            "seq" | "tcp.seq" => self.tcp()?.seq.into(),
            "ack" | "tcp.ack" => self.tcp()?.ack.into(),
            "window" | "tcp.window" => self.tcp()?.window.into(),
            "tcp.mss" => match self.tcp_option(2)? {
                [a, b] => u16::from_be_bytes([*a, *b]).into(),
                _ => return None,
            },
            "tcp.wscale" => (*self.tcp_option(3)?.first()?).into(),
            _ => return None,
        })
    }

    /// Whether the flags of TCP are as asked.
    pub fn tcp_flags(&self, test: &FlagTest) -> bool {
        let Some(tcp) = self.tcp() else {
            return false;
        };
        let flags = (tcp.flags & 0xff) as u8;
        // Suricata leaves such a rule out of packets without any flag of the kind that it names, even where it must not be set
        let kinds = [FLAGS_OF_ENDS, FLAGS_UNUSUAL].into_iter();
        let mut lacks = kinds.filter(|kind| test.flags & kind != 0 && flags & kind == 0);
        // one that names SYN is tried with segments that have it, whatever else it names
        let is_of_syn = test.flags & SYN != 0 && test.mode != FlagMode::None;
        lacks.next().is_none() && (!is_of_syn || flags & SYN != 0) && holds(test, flags)
    }

    /// Whether the flags of an IPv4 header are as asked: more 1, do not 2, reserved 4.
    pub fn fragment_bits(&self, test: &FlagTest) -> bool {
        if self.p.version != 4 {
            return false;
        }
        self.network(8).is_some_and(|b| {
            let bits = b[6] >> 5;
            // as the letters of the rule are numbered: D 2, M 1, R 4
            holds(test, bits)
        })
    }

    /// Whether the IPv4 header has an option of this name.
    pub fn has_ip_option(&self, name: &str) -> bool {
        let Some(first) = self.network(1).filter(|_| self.p.version == 4) else {
            return false;
        };
        let len = usize::from(first[0] & 15) * 4;
        let Some(mut rest) = self.network(len).and_then(|b| b.get(20..)) else {
            return false;
        };
        if name == "any" {
            return !rest.is_empty();
        }
        let Some(wanted) = option_number(name) else {
            return false;
        };
        while let Some((&kind, tail)) = rest.split_first() {
            if kind == wanted {
                return true;
            }
            match kind {
                0 => return false,
                1 => rest = tail,
                _ => {
                    let len = tail.first().copied().map_or(0, usize::from);
                    match rest.get(len.max(2)..) {
                        Some(after) => rest = after,
                        None => return false,
                    }
                }
            }
        }
        false
    }

    /// A call of ONC RPC to this program, version and procedure.
    pub fn is_rpc(&self, words: &[String]) -> bool {
        let payload = self.p.payload();
        let call = match self.p.proto {
            // record mark
            6 => payload.get(4..),
            _ => Some(payload),
        };
        let word = |at: usize| {
            let b = call?.get(at..at + 4)?;
            Some(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        if word(4) != Some(0) || word(8) != Some(2) {
            return false;
        }
        let is = |at: usize, text: Option<&String>| match text {
            None => true,
            Some(text) if text == "*" => true,
            Some(text) => word(at).is_some_and(|n| text.parse() == Ok(n)),
        };
        (0..3).all(|n| is(12 + 4 * n, words.get(n)))
    }

    /// The header that a buffer is: with its options.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let p = self.p;
        let transport = || {
            let range = p.transport_at as usize..p.payload_at as usize;
            p.bytes.get(range).filter(|b| !b.is_empty())
        };
        let network = || p.bytes.get(p.network_at as usize..p.transport_at as usize);
        match (name, p.transport) {
            ("tcp.hdr" | "udp.hdr", _) if self.is_fragment() => None,
            ("tcp.hdr", Transport::Tcp(_)) => transport(),
            ("udp.hdr", Transport::Ports { .. }) if p.proto == 17 => transport(),
            ("icmpv4.hdr", Transport::Icmp { .. }) if p.proto == 1 => self.icmp_header(),
            ("icmpv6.hdr", Transport::Icmp { .. }) if p.proto == 58 => self.icmp_header(),
            ("ipv4.hdr", _) if p.version == 4 => network(),
            ("ipv6.hdr", _) if p.version == 6 => network(),
            ("ip.src", _) => self.address(0),
            ("ip.dst", _) => self.address(1),
            _ => None,
        }
    }

    /// Source (0) or destination (1) address as it was sent.
    fn address(&self, end: usize) -> Option<&'a [u8]> {
        let (first, size) = if self.p.version == 4 {
            (12, 4)
        } else {
            (8, 16)
        };
        let at = self.p.network_at as usize + first + end * size;
        self.p.bytes.get(at..at + size)
    }

    /// Whether it is a fragment as it came: what stands behind the header of IP is looked at when all of it is there.
    fn is_fragment(&self) -> bool {
        self.p.fragment.is_some() && self.p.frames == 1
    }

    fn tcp(&self) -> Option<TcpHeader> {
        self.p.tcp().filter(|_| !self.is_fragment())
    }

    /// Kind and code; of a fragment nothing is known of them.
    fn icmp(&self) -> Option<(u8, u8)> {
        match self.p.transport {
            _ if self.is_fragment() => None,
            Transport::Icmp { kind, code } => Some((kind, code)),
            _ => None,
        }
    }

    /// Its eight octets; of a time stamp and an address mask what follows, too.
    fn icmp_header(&self) -> Option<&'a [u8]> {
        let segment = self.p.segment();
        match self.icmp()? {
            (13..=18, _) if self.p.proto == 1 => Some(segment),
            _ => Some(&segment[..segment.len().min(8)]),
        }
    }

    /// A word of the header of an echo, a time stamp, an address mask or an information message.
    fn icmp_word(&self, at: usize) -> Option<u64> {
        let (kind, _) = self.icmp()?;
        let has = match self.p.proto {
            1 => matches!(kind, 0 | 8 | 13..=18),
            _ => matches!(kind, 128 | 129),
        };
        let b = self.transport(8).filter(|_| has)?;
        Some(u16::from_be_bytes([b[at], b[at + 1]]).into())
    }

    /// What a TCP option holds.
    pub fn tcp_option(&self, wanted: u8) -> Option<&'a [u8]> {
        self.tcp()?;
        let range = self.p.transport_at as usize + 20..self.p.payload_at as usize;
        let mut rest = self.p.bytes.get(range)?;
        while let Some((&kind, tail)) = rest.split_first() {
            match kind {
                0 => return None,
                1 => rest = tail,
                _ => {
                    let len = usize::from(*tail.first()?);
                    let body = rest.get(2..len)?;
                    if kind == wanted {
                        return Some(body);
                    }
                    rest = &rest[len..];
                }
            }
        }
        None
    }

    fn network(&self, len: usize) -> Option<&'a [u8]> {
        let at = self.p.network_at as usize;
        self.p.bytes.get(at..at + len)
    }

    fn transport(&self, len: usize) -> Option<&'a [u8]> {
        self.p.segment().get(..len)
    }
}

fn holds(test: &FlagTest, flags: u8) -> bool {
    let flags = flags & !test.ignored;
    match test.mode {
        FlagMode::Exactly => flags == test.flags,
        FlagMode::All => flags & test.flags == test.flags,
        FlagMode::Any => flags & test.flags != 0,
        FlagMode::None => flags & test.flags != test.flags,
    }
}

/// FIN, SYN, RST.
const FLAGS_OF_ENDS: u8 = 0x07;
const SYN: u8 = 0x02;
/// URG, ECE, CWR.
const FLAGS_UNUSUAL: u8 = 0xe0;

/// Numbers of IPv4 options (IANA, "Internet Protocol Version 4 Parameters").
fn option_number(name: &str) -> Option<u8> {
    Some(match name {
        "eol" => 0,
        "nop" => 1,
        "rr" => 7,
        "ts" => 68,
        "sec" => 130,
        "lsrr" => 131,
        "esec" => 133,
        "cipso" => 134,
        "satid" => 136,
        "ssrr" => 137,
        "rtralt" => 148,
        _ => return None,
    })
}

/// Whether the checksum that a keyword names is right; none where the packet has no such header.
pub(super) fn checksum(p: &PacketView<'_>, keyword: &str) -> Option<bool> {
    let (version, proto) = match keyword {
        "ipv4-csum" => (4, None),
        "tcpv4-csum" => (4, Some(6)),
        "tcpv6-csum" => (6, Some(6)),
        "udpv4-csum" => (4, Some(17)),
        "udpv6-csum" => (6, Some(17)),
        "icmpv4-csum" => (4, Some(1)),
        _ => (6, Some(58)),
    };
    if p.version != version || proto.is_some_and(|n| n != p.proto) || p.fragment.is_some() {
        return None;
    }
    match proto {
        None => {
            let header = p
                .bytes
                .get(p.network_at as usize..p.transport_at as usize)?;
            Some(folded(sum_of(header)) == 0xffff)
        }
        // there is no whole header
        Some(_) if p.segment().len() < 8 => None,
        // none was made
        Some(17) if p.segment().get(6..8) == Some(&[0, 0]) => None,
        // its sum knows no addresses
        Some(1) => Some(folded(sum_of(p.segment())) == 0xffff),
        Some(_) => Some(has_right_checksum(p)),
    }
}

fn sum_of(bytes: &[u8]) -> u64 {
    let mut pairs = bytes.chunks_exact(2);
    let sum: u64 = pairs
        .by_ref()
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    match pairs.remainder() {
        [last] => sum + (u64::from(*last) << 8),
        _ => sum,
    }
}

fn folded(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// By how much a SYN says that windows are shifted; none where that was not captured.
pub(super) fn shift(p: &PacketView<'_>, t: &TcpHeader) -> Option<Option<u8>> {
    if !t.has(TcpHeader::SYN) || p.bytes.len() < p.payload_at as usize {
        return None;
    }
    let option = Headers { p }.tcp_option(3);
    Some(option.and_then(|o| o.first().copied()))
}

/// Whether the checksum of the transport is right, or cannot be told because bytes are missing.
pub(super) fn has_right_checksum(p: &PacketView<'_>) -> bool {
    let segment = p.segment();
    let header = p.payload_at.saturating_sub(p.transport_at);
    if p.cut || p.frames > 1 || segment.len() as u64 != u64::from(header) + u64::from(p.payload_len)
    {
        return true;
    }
    if p.proto == 17 && segment.get(6..8) == Some(&[0, 0]) {
        return true;
    }
    let skipped = if p.version == 4 { 12 } else { 0 };
    let addresses = sum_of(&p.src.0[skipped..]) + sum_of(&p.dst.0[skipped..]);
    let sum = u64::from(p.proto) + segment.len() as u64 + addresses + sum_of(segment);
    folded(sum) == 0xffff
}
