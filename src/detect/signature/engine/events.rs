//! What decoders raise of one packet, by Suricata's names (its `decoder-events.rules`): looked at only where rules name such events.

use crate::model::PacketView;

/// What is raised of packets and streams, by the names that rules have for it.
pub(in super::super) fn packet_events() -> impl Iterator<Item = &'static str> {
    let all = RAISED.iter().chain(super::session::RAISED);
    all.chain(std::iter::once(&ONE_SIDED)).copied()
}

/// Says what is odd about the headers of a packet.
pub(super) fn of_packet(p: &PacketView<'_>, say: &mut impl FnMut(&'static str)) {
    let packet = p.bytes.get(p.network_at as usize..).unwrap_or_default();
    let is_whole = match p.version {
        4 => ipv4(p, packet, say),
        6 => ipv6(p, packet, say),
        _ => false,
    };
    let end = p.fragment.map_or(0, |f| f.offset + p.payload_len);
    if is_whole && end > PACKET_MAX {
        say(match p.version {
            4 => "decoder.ipv4.frag_pkt_too_large",
            _ => "decoder.ipv6.frag_pkt_too_large",
        });
    }
    if !is_whole || p.fragment.is_some_and(|f| f.offset > 0) {
        return;
    }
    let segment = p.segment();
    match (p.proto, p.version) {
        (1, 4) => icmpv4(segment, say),
        (58, 6) => icmpv6(segment, p.ttl, say),
        (6, _) => tcp(segment, say),
        (17, _) if p.fragment.is_none() => {
            let headers = p.transport_at.saturating_sub(p.network_at);
            let carried = packet.len().min(p.ip_len as usize);
            let at = p.transport_at as usize;
            let rest = p.bytes.get(at..).unwrap_or_default();
            let len = carried.saturating_sub(headers as usize).min(rest.len());
            // what fragments gave is as long as they were
            udp(&rest[..len], p.frames == 1, say);
        }
        _ => {}
    }
}

/// Says why a frame of Ethernet holds no packet, or one that cannot be read.
pub(super) fn of_frame(frame: &[u8], say: &mut impl FnMut(&'static str)) {
    let word = |at: usize| {
        let b = frame.get(at..at + 2)?;
        Some(u16::from_be_bytes([b[0], b[1]]))
    };
    let Some(mut kind) = word(12) else {
        return say("decoder.ethernet.pkt_too_small");
    };
    let mut at = 14;
    for _ in 0..VLANS_MAX {
        if !matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        let Some(next) = word(at + 2) else {
            return say("decoder.vlan.header_too_small");
        };
        (kind, at) = (next, at + 4);
    }
    let packet = frame.get(at..).unwrap_or_default();
    match kind {
        0x8100 | 0x88a8 | 0x9100 => say("decoder.vlan.too_many_layers"),
        0x0800 => broken_ipv4(packet, say),
        0x86dd => broken_ipv6(packet, say),
        _ => {}
    }
}

fn broken_ipv4(packet: &[u8], say: &mut impl FnMut(&'static str)) {
    let Some(head) = packet.first_chunk::<20>() else {
        return say("decoder.ipv4.pkt_too_small");
    };
    let size = usize::from(head[0] & 15) * 4;
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    say(match head[0] >> 4 {
        4 if size < 20 => "decoder.ipv4.hlen_too_small",
        4 if len < size => "decoder.ipv4.iplen_smaller_than_hlen",
        4 if packet.len() < len => "decoder.ipv4.trunc_pkt",
        4 => return,
        _ => "decoder.ipv4.wrong_ip_version",
    });
}

fn broken_ipv6(packet: &[u8], say: &mut impl FnMut(&'static str)) {
    let Some(head) = packet.first_chunk::<40>() else {
        return;
    };
    let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
    match head[0] >> 4 {
        6 if packet.len() < 40 + len => say("decoder.ipv6.trunc_pkt"),
        6 => {}
        _ => say("decoder.ipv6.wrong_ip_version"),
    }
}

/// Returns whether all of the packet is there.
fn ipv4(p: &PacketView<'_>, packet: &[u8], say: &mut impl FnMut(&'static str)) -> bool {
    let Some(head) = packet.first_chunk::<20>() else {
        return false;
    };
    // what fragments gave has no length of its own to be held against
    if p.frames == 1 && packet.len() < usize::from(u16::from_be_bytes([head[2], head[3]])) {
        say("decoder.ipv4.trunc_pkt");
        return false;
    }
    if p.proto == 58 {
        say("decoder.ipv4.icmpv6");
    }
    let size = usize::from(head[0] & 15) * 4;
    if let Some(options) = packet.get(20..size).filter(|o| !o.is_empty()) {
        ipv4_options(options, say);
    }
    true
}

/// Options (RFC 791 section 3.1): their lengths, and each at most once.
fn ipv4_options(options: &[u8], say: &mut impl FnMut(&'static str)) {
    if !options.len().is_multiple_of(8) {
        say("decoder.ipv4.opt_pad_required");
    }
    let mut seen = 0u32;
    let mut rest = options;
    while let Some((&kind, tail)) = rest.split_first() {
        match kind {
            0 => return,
            1 => {
                rest = tail;
                continue;
            }
            _ => {}
        }
        // nothing is said of a kind without a length
        let Some(&len) = tail.first() else {
            return;
        };
        let len = usize::from(len);
        let Some(option) = rest.get(..len).filter(|_| len >= 2) else {
            return say("decoder.ipv4.opt_invalid_len");
        };
        let place = KNOWN_OPTIONS.iter().position(|k| *k == kind);
        match place {
            None => say("decoder.ipv4.opt_invalid"),
            Some(n) if seen >> n & 1 != 0 => say("decoder.ipv4.opt_duplicate"),
            Some(n) => {
                seen |= 1 << n;
                if let Some(fault) = option_fault(kind, option) {
                    say(fault);
                }
            }
        }
        rest = &rest[len..];
    }
}

fn option_fault(kind: u8, option: &[u8]) -> Option<&'static str> {
    let is_sound = match kind {
        // routes: a pointer of at least 4, whole addresses
        7 | 131 | 137 => {
            return match option.get(2) {
                Some(pointer) => {
                    let fits = *pointer >= 4 && pointer.is_multiple_of(4) && option.len() >= 3;
                    (!fits || usize::from(*pointer) > option.len() + 1)
                        .then_some("decoder.ipv4.opt_malformed")
                }
                None => Some("decoder.ipv4.opt_invalid_len"),
            };
        }
        // time stamps: a pointer of at least 5, behind whole ones, which have addresses with them by their flag
        68 => {
            let (Some(pointer), Some(flag), true) =
                (option.get(2), option.get(3), option.len() > 4)
            else {
                return Some("decoder.ipv4.opt_invalid_len");
            };
            let each = if flag & 3 == 0 { 4 } else { 8 };
            let fits = *pointer >= 5 && usize::from(*pointer) <= option.len() + 1;
            let is_whole = fits && (*pointer - 5).is_multiple_of(each);
            return (!is_whole).then_some("decoder.ipv4.opt_malformed");
        }
        25 => option.len() == 8,
        136 | 148 => option.len() == 4,
        130 => option.len() >= 3,
        _ => true,
    };
    (!is_sound).then_some("decoder.ipv4.opt_invalid_len")
}

fn icmpv4(segment: &[u8], say: &mut impl FnMut(&'static str)) {
    let Some(head) = segment.first_chunk::<8>() else {
        return say("decoder.icmpv4.pkt_too_small");
    };
    let (kind, code) = (head[0], head[1]);
    // times are behind the number of the message (RFC 792)
    if matches!(kind, 13 | 14) && segment.len() < 20 {
        say("decoder.icmpv4.ipv4_trunc_pkt");
    }
    let known = match kind {
        0 | 4 | 8 | 12..=18 => code == 0,
        3 => code <= 15,
        5 => code <= 3,
        9 => true,
        11 => code <= 1,
        _ => return say("decoder.icmpv4.unknown_type"),
    };
    if !known {
        return say("decoder.icmpv4.unknown_code");
    }
    if matches!(kind, 3 | 4 | 5 | 11 | 12) {
        // the start of the packet that it is about
        match segment.get(8..) {
            Some([]) | None if kind != 4 => {}
            None => {}
            Some(inner) if inner.len() < 20 => say("decoder.icmpv4.ipv4_trunc_pkt"),
            Some(inner) if inner[0] >> 4 != 4 => say("decoder.icmpv4.ipv4_unknown_ver"),
            Some(_) => {}
        }
    }
}

fn icmpv6(segment: &[u8], hops: u8, say: &mut impl FnMut(&'static str)) {
    let Some(head) = segment.first_chunk::<8>() else {
        return say("decoder.icmpv6.pkt_too_small");
    };
    let (kind, code) = (head[0], head[1]);
    let known = match kind {
        1 => code <= 7,
        2 | 128 | 129 | 133..=137 | 141 | 142 | 143 => code == 0,
        130..=132 => {
            if hops != 1 {
                say("decoder.icmpv6.mld_message_with_invalid_hl");
            }
            code == 0
        }
        3 => code <= 1,
        4 => code <= 2,
        138 => matches!(code, 0 | 1 | 255),
        139 | 140 => code <= 2,
        100 | 101 | 200 | 201 => return say("decoder.icmpv6.experimentation_type"),
        5..=99 | 102..=126 | 160..=199 | 202.. => return say("decoder.icmpv6.unassigned_type"),
        _ => true,
    };
    if !known {
        say("decoder.icmpv6.unknown_code");
    }
    if matches!(kind, 1..=4) && known {
        match segment.get(8..) {
            Some([]) | None => {}
            Some(inner) if inner.len() < 40 => say("decoder.icmpv6.ipv6_trunc_pkt"),
            Some(inner) if inner[0] >> 4 != 6 => say("decoder.icmpv6.ipv6_unknown_version"),
            Some(_) => {}
        }
    }
}

fn tcp(segment: &[u8], say: &mut impl FnMut(&'static str)) {
    let Some(head) = segment.first_chunk::<20>() else {
        return say("decoder.tcp.pkt_too_small");
    };
    let size = usize::from(head[12] >> 4) * 4;
    if size < 20 {
        return say("decoder.tcp.hlen_too_small");
    }
    let Some(mut rest) = segment.get(20..size) else {
        return say("decoder.tcp.invalid_optlen");
    };
    let mut seen = [false; 256];
    while let Some((&kind, tail)) = rest.split_first() {
        match kind {
            0 => return,
            1 => {
                rest = tail;
                continue;
            }
            _ => {}
        }
        let Some(&len) = tail.first() else { return };
        let len = usize::from(len);
        if len < 2 || len > rest.len() {
            return say("decoder.tcp.opt_invalid_len");
        }
        let wanted = match kind {
            2 => Some(4),
            3 => Some(3),
            4 => Some(2),
            8 => Some(10),
            _ => None,
        };
        let is_sack = kind == 5 && (!(10..=34).contains(&len) || len % 8 != 2);
        if wanted.is_some_and(|n| n != len) || is_sack {
            say("decoder.tcp.opt_invalid_len");
        } else if matches!(kind, 2..=5 | 8) && std::mem::replace(&mut seen[usize::from(kind)], true)
        {
            say("decoder.tcp.opt_duplicate");
        }
        rest = &rest[len..];
    }
}

/// `segment` is as long as the IP header says, whatever the header of UDP does.
fn udp(segment: &[u8], is_one: bool, say: &mut impl FnMut(&'static str)) {
    let Some(head) = segment.first_chunk::<8>() else {
        return say("decoder.udp.hlen_too_small");
    };
    let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if segment.len() < len && is_one {
        say("decoder.udp.pkt_too_small");
    } else if len < 8 && is_one {
        say("decoder.udp.len_invalid");
    }
}

/// The chain of extension headers (RFC 8200 section 4).
///
/// Returns whether all of the packet is there.
fn ipv6(p: &PacketView<'_>, packet: &[u8], say: &mut impl FnMut(&'static str)) -> bool {
    let Some(head) = packet.first_chunk::<40>() else {
        return false;
    };
    let len = usize::from(u16::from_be_bytes([head[4], head[5]]));
    if p.frames == 1 && packet.len() < 40 + len {
        say("decoder.ipv6.trunc_pkt");
        return false;
    }
    let end = (p.end as usize).saturating_sub(p.network_at as usize);
    let mut chain = Chain {
        rest: packet.get(40..end.max(40)).unwrap_or_default(),
        seen: 0,
        is_cut: false,
    };
    let mut next = head[6];
    for _ in 0..HEADERS_MAX {
        match chain.header(next, p, say) {
            Some(following) => next = following,
            None => break,
        }
    }
    !chain.is_cut
}

/// What follows of a chain of extension headers.
struct Chain<'a> {
    rest: &'a [u8],
    /// Headers that were there, a bit each; those of options for the destination may be there twice.
    seen: u8,
    /// It ends within a header: what should be behind it is not looked at.
    is_cut: bool,
}

impl Chain<'_> {
    /// Looks at the next header; none where the chain ends.
    fn header(
        &mut self,
        kind: u8,
        p: &PacketView<'_>,
        say: &mut impl FnMut(&'static str),
    ) -> Option<u8> {
        let rest = self.rest;
        if kind == 59 {
            if !rest.is_empty() {
                say("decoder.ipv6.data_after_none_header");
            }
            return None;
        }
        if rest.len() < 2 {
            if matches!(kind, 0 | 43 | 44 | 51 | 60) {
                self.is_cut = true;
                say("decoder.ipv6.trunc_exthdr");
            }
            return None;
        }
        let size = match kind {
            0 | 43 | 60 => 8 + usize::from(rest[1]) * 8,
            44 | 50 => 8,
            51 => (usize::from(rest[1]) + 2) * 4,
            _ => {
                of_payload(kind, say);
                return None;
            }
        };
        let Some((header, tail)) = rest.split_at_checked(size) else {
            self.is_cut = true;
            say("decoder.ipv6.trunc_exthdr");
            return None;
        };
        self.rest = tail;
        match kind {
            0 => {
                self.once(1, "decoder.ipv6.exthdr_dupl_hh", say);
                options(&header[2..], HOP_BY_HOP, say);
            }
            60 => {
                let (first, second) = (self.seen & 2 != 0, self.seen & 4 != 0);
                self.seen |= if first { 4 } else { 2 };
                if first && second {
                    say("decoder.ipv6.exthdr_dupl_dh");
                }
                options(&header[2..], DESTINATION, say);
            }
            43 => {
                self.once(8, "decoder.ipv6.exthdr_dupl_rh", say);
                if header[2] == 0 {
                    say("decoder.ipv6.rh_type_0");
                }
            }
            44 => {
                self.once(16, "decoder.ipv6.exthdr_dupl_fh", say);
                return self.fragment(header, p, say);
            }
            51 => {
                self.once(32, "decoder.ipv6.exthdr_dupl_ah", say);
                if header[2] != 0 || header[3] != 0 {
                    say("decoder.ipv6.exthdr_ah_res_not_null");
                }
            }
            _ => return None,
        }
        Some(header[0])
    }

    fn fragment(
        &self,
        header: &[u8],
        p: &PacketView<'_>,
        say: &mut impl FnMut(&'static str),
    ) -> Option<u8> {
        if header[1] != 0 {
            say("decoder.ipv6.fh_non_zero_reserved_field");
        }
        let word = u16::from_be_bytes([header[2], header[3]]);
        let (offset, more) = (word & 0xfff8, word & 1 != 0);
        if offset == 0 && !more {
            say("decoder.ipv6.exthdr_useless_fh");
            return Some(header[0]);
        }
        if more && p.frames == 1 && !self.rest.len().is_multiple_of(8) {
            say("decoder.ipv6.frag_invalid_length");
        }
        None
    }

    fn once(&mut self, bit: u8, event: &'static str, say: &mut impl FnMut(&'static str)) {
        if self.seen & bit != 0 {
            say(event);
        }
        self.seen |= bit;
    }
}

/// What stands behind the extension headers and should not.
fn of_payload(kind: u8, say: &mut impl FnMut(&'static str)) {
    match kind {
        1 => say("decoder.ipv6.icmpv4"),
        // what carries data, and headers of mobility, HIP and SHIM6
        4 | 6 | 17 | 41 | 47 | 58 | 132 | 135 | 139 | 140 => {}
        _ => say("decoder.ipv6.unknown_next_header"),
    }
}

/// Options of a hop-by-hop or destination header (RFC 8200 section 4.2); `names`: of what is unknown, and of nothing but padding.
fn options(bytes: &[u8], names: [&'static str; 2], say: &mut impl FnMut(&'static str)) {
    let (mut rest, mut others) = (bytes, 0);
    while let Some((&kind, tail)) = rest.split_first() {
        if kind == 0 {
            rest = tail;
            continue;
        }
        let Some((&len, tail)) = tail.split_first() else {
            return say("decoder.ipv6.exthdr_invalid_optlen");
        };
        let len = usize::from(len);
        if len > tail.len() {
            return say("decoder.ipv6.exthdr_invalid_optlen");
        }
        match (kind, len) {
            (1, 0) => say("decoder.ipv6.zero_len_padn"),
            (1, _) => {}
            // router alert, jumbo payload, home address
            (5, 2) | (0xc2, 4) | (0xc9, 16) => others += 1,
            (5 | 0xc2 | 0xc9, _) => return say("decoder.ipv6.exthdr_invalid_optlen"),
            _ => {
                others += 1;
                say(names[0]);
            }
        }
        rest = &tail[len..];
    }
    if others == 0 {
        say(names[1]);
    }
}

const HOP_BY_HOP: [&str; 2] = [
    "decoder.ipv6.hopopts_unknown_opt",
    "decoder.ipv6.hopopts_only_padding",
];
const DESTINATION: [&str; 2] = [
    "decoder.ipv6.dstopts_unknown_opt",
    "decoder.ipv6.dstopts_only_padding",
];
/// Options of IPv4 that are known: record route, quick start, time stamp, security, loose route, commercial security, stream, strict route, router alert.
const KNOWN_OPTIONS: &[u8] = &[7, 25, 68, 130, 131, 134, 136, 137, 148];
/// Octets that a packet may have.
const PACKET_MAX: u32 = 65_535;
const HEADERS_MAX: usize = 32;
/// Tags of VLANs before a packet.
pub(super) const VLANS_MAX: usize = 3;

/// What is raised of the packet that acknowledges what shows it: one side alone tells which application protocol a conversation is.
pub(in super::super) const ONE_SIDED: &str = "applayer_detect_protocol_only_one_direction";

/// What this file raises.
#[rustfmt::skip]
pub(in super::super) const RAISED: &[&str] = &[
    "decoder.ethernet.pkt_too_small", "decoder.vlan.header_too_small", "decoder.vlan.too_many_layers",
    "decoder.ipv4.pkt_too_small", "decoder.ipv4.hlen_too_small", "decoder.ipv4.iplen_smaller_than_hlen", "decoder.ipv4.trunc_pkt",
    "decoder.ipv4.wrong_ip_version", "decoder.ipv4.icmpv6", "decoder.ipv4.opt_pad_required", "decoder.ipv4.opt_invalid",
    "decoder.ipv4.opt_invalid_len", "decoder.ipv4.opt_duplicate", "decoder.ipv4.opt_malformed", "decoder.icmpv4.pkt_too_small",
    "decoder.icmpv4.unknown_type", "decoder.icmpv4.unknown_code", "decoder.icmpv4.ipv4_trunc_pkt", "decoder.icmpv4.ipv4_unknown_ver",
    "decoder.icmpv6.pkt_too_small", "decoder.icmpv6.mld_message_with_invalid_hl", "decoder.icmpv6.experimentation_type",
    "decoder.icmpv6.unassigned_type", "decoder.icmpv6.unknown_code", "decoder.icmpv6.ipv6_trunc_pkt",
    "decoder.icmpv6.ipv6_unknown_version", "decoder.tcp.pkt_too_small", "decoder.tcp.hlen_too_small", "decoder.tcp.invalid_optlen",
    "decoder.tcp.opt_invalid_len", "decoder.tcp.opt_duplicate", "decoder.udp.hlen_too_small", "decoder.udp.pkt_too_small", "decoder.udp.len_invalid",
    "decoder.ipv6.trunc_pkt", "decoder.ipv6.wrong_ip_version", "decoder.ipv6.data_after_none_header",
    "decoder.ipv6.trunc_exthdr", "decoder.ipv6.icmpv4", "decoder.ipv6.unknown_next_header", "decoder.ipv6.exthdr_dupl_hh",
    "decoder.ipv6.exthdr_dupl_dh", "decoder.ipv6.exthdr_dupl_rh", "decoder.ipv6.rh_type_0", "decoder.ipv6.exthdr_dupl_fh",
    "decoder.ipv6.exthdr_dupl_ah", "decoder.ipv6.exthdr_ah_res_not_null",
    "decoder.ipv6.fh_non_zero_reserved_field", "decoder.ipv6.exthdr_useless_fh", "decoder.ipv6.frag_invalid_length",
    "decoder.ipv4.frag_pkt_too_large", "decoder.ipv6.frag_pkt_too_large", "decoder.ipv4.frag_overlap", "decoder.ipv6.frag_overlap",
    "decoder.ipv6.exthdr_invalid_optlen", "decoder.ipv6.zero_len_padn", "decoder.ipv6.hopopts_unknown_opt",
    "decoder.ipv6.hopopts_only_padding", "decoder.ipv6.dstopts_unknown_opt", "decoder.ipv6.dstopts_only_padding",
];
