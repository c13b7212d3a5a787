//! Rarer media: token ring, FDDI, ARCNET, frame relay, ATM, FireWire, firewall logs, vendors' captures.

use super::walk::{Next, Notes};
use super::wire::{mac_at, u8_at, u16_at, u32_at};
use super::{link, tags};

/// Starts a frame of one of these media; `None` where the link type is not known, or never carries IP.
pub(super) fn start<N: Notes>(link_type: u16, bytes: &[u8], notes: &mut N) -> Option<Next> {
    notes.layer(match link_type {
        TOKEN_RING => "tr",
        FDDI => "fddi",
        ARCNET_BSD | ARCNET_LINUX => "arcnet",
        ATM_RFC1483 | SUNATM => "atm",
        NFLOG => "nflog",
        _ => "",
    });
    Some(match link_type {
        TOKEN_RING => token_ring(bytes, notes),
        FDDI => {
            notes.addresses(mac_at(bytes, 1), mac_at(bytes, 7));
            Next::Llc(13)
        }
        ARCNET_BSD => arcnet(bytes, 2, 3, 6),
        // here two octets of offset stand before the type
        ARCNET_LINUX => arcnet(bytes, 4, 5, 8),
        ATM_RFC1483 => Next::Llc(0),
        SUNATM => sun_atm(bytes),
        // RFC 2625: eight octets for each address
        IP_OVER_FC => Next::Llc(16),
        FIREWIRE => tags::named(bytes, 16, 18, notes),
        INFINIBAND => tags::named(bytes, 40, 44, notes),
        PFLOG => match u8_at(bytes, 0) {
            Some(size) => Next::Ip(usize::from(size).next_multiple_of(4)),
            None => Next::Cut,
        },
        ENC => Next::Ip(12),
        IPNET => Next::Ip(24),
        NFLOG => nflog(bytes),
        DOCSIS => docsis(bytes),
        JUNIPER_ETHER..=JUNIPER_CHDLC => juniper(link_type, bytes),
        _ => return None,
    })
}

/// Frame relay (Q.922): an address whose last octet has its lowest bit set, then an NLPID behind a control octet (RFC
/// 2427), or Cisco's Ethertype.
pub(super) fn frame_relay(bytes: &[u8], at: usize) -> Next {
    let address = bytes.get(at..).unwrap_or_default();
    let Some(last) = address.iter().take(4).position(|b| b & 1 == 1) else {
        return Next::Stop;
    };
    let at = at + last + 1;
    match u16_at(bytes, at) {
        // unnumbered information; a padding octet may follow it
        Some(0x0300) => Next::Nlpid(at + 2),
        Some(word) if word >> 8 == 0x03 => Next::Nlpid(at + 1),
        Some(ethertype) => Next::Ethertype(ethertype, at + 2),
        None => Next::Cut,
    }
}

/// A network layer protocol id (ISO/IEC TR 9577).
pub(super) fn nlpid(bytes: &[u8], at: usize) -> Next {
    match bytes.get(at..) {
        Some([0xcc | 0x8e, ..]) => Next::Ip(at + 1),
        Some([0xcf, ..]) => Next::Ppp(at + 1),
        // SNAP without its LLC octets
        Some([0x80, 0, 0, 0, a, b, ..]) => Next::Ethertype(u16::from_be_bytes([*a, *b]), at + 6),
        Some([0x80, 0, 0x80, 0xc2, 0, 1 | 7, ..]) => Next::Frame(at + 6),
        Some([_, ..]) => Next::Stop,
        _ => Next::Cut,
    }
}

/// 802.5: access and frame control, addresses, and a route where the source address says so.
fn token_ring<N: Notes>(bytes: &[u8], notes: &mut N) -> Next {
    let (dst, src) = (mac_at(bytes, 2), mac_at(bytes, 8));
    notes.addresses(dst, src.map(|m| m & !ROUTED));
    let (Some(control), Some(src)) = (u8_at(bytes, 1), src) else {
        return Next::Cut;
    };
    if control & 0xc0 != 0x40 {
        return Next::Stop;
    }
    let route = match u8_at(bytes, 14) {
        Some(b) if src & ROUTED != 0 => usize::from(b & 0x1f),
        _ => 0,
    };
    Next::Llc(14 + route)
}

/// ARCNET: the old encapsulation (RFC 1051) has no header behind the type, the other (RFC 1201) a flag and a sequence
/// number; a flag of 255 marks four more octets.
fn arcnet(bytes: &[u8], type_at: usize, old_at: usize, new_at: usize) -> Next {
    let new_at = match u8_at(bytes, type_at + 1) {
        Some(0xff) => new_at + 4,
        _ => new_at,
    };
    match u8_at(bytes, type_at) {
        Some(0xf0) => Next::Ip(old_at),
        Some(0xf1) => Next::Arp(old_at),
        Some(0xd4 | 0xc4) => Next::Ip(new_at),
        Some(0xd5) => Next::Arp(new_at),
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// SunATM: traffic type, VPI, VCI, then LLC (RFC 2684) where the type says so.
fn sun_atm(bytes: &[u8]) -> Next {
    match u8_at(bytes, 0) {
        Some(kind) if kind & 0x0f == 2 => Next::Llc(4),
        // LAN emulation: a two-octet id before the frame
        Some(kind) if kind & 0x0f == 1 => Next::Frame(6),
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// Netfilter's log: family, version, resource, then attributes of length, type and content, in the byte order of the
/// machine that captured. The packet is one of them.
fn nflog(bytes: &[u8]) -> Next {
    const PAYLOAD: u16 = 9;
    let mut at = 4;
    for _ in 0..ATTRIBUTES_MAX {
        let (Some(length), Some(kind)) = (u16_at(bytes, at), u16_at(bytes, at + 2)) else {
            return Next::Cut;
        };
        // lengths are below a page, so the order shows by the type, which is small
        let (length, kind) = if kind.swap_bytes() < kind {
            (length.swap_bytes(), kind.swap_bytes())
        } else {
            (length, kind)
        };
        if kind == PAYLOAD {
            return Next::Ip(at + 4);
        }
        if length < 4 {
            return Next::Stop;
        }
        at += usize::from(length).next_multiple_of(4);
    }
    Next::Stop
}

/// DOCSIS: frame control, parameter, length, check sequence; a packet frame with an extended header has its length in
/// the parameter.
fn docsis(bytes: &[u8]) -> Next {
    match (u8_at(bytes, 0), u8_at(bytes, 1)) {
        (Some(control), Some(extended)) if control >> 6 == 0 => {
            let extended = if control & 1 != 0 { extended.into() } else { 0 };
            Next::Frame(6 + extended)
        }
        (Some(_), Some(_)) => Next::Stop,
        _ => Next::Cut,
    }
}

/// Juniper's captures: a magic number, flags, perhaps extensions with their length, then the frame of the interface
/// unless a flag says that the link layer is gone; then four octets of address family stand there.
fn juniper(link_type: u16, bytes: &[u8]) -> Next {
    const EXTENDED: u8 = 0x80;
    const NO_LINK: u8 = 0x02;
    let Some(word) = u32_at(bytes, 0) else {
        return Next::Cut;
    };
    if word >> 8 != 0x4d_4743 {
        return Next::Stop;
    }
    let flags = word as u8;
    let at = match u16_at(bytes, 4) {
        Some(size) if flags & EXTENDED != 0 => 6 + usize::from(size),
        _ => 4,
    };
    if flags & NO_LINK != 0 {
        return Next::Ip(at + 4);
    }
    match link_type {
        JUNIPER_ETHER => Next::Frame(at),
        JUNIPER_PPP => Next::Ppp(at),
        JUNIPER_FRELAY => frame_relay(bytes, at),
        _ => link::hdlc(bytes, at),
    }
}

/// Most attributes of a log entry that are followed.
const ATTRIBUTES_MAX: usize = 32;
/// The group bit of a source address: a route follows.
const ROUTED: u64 = 1 << 47;
const TOKEN_RING: u16 = 6;
const ARCNET_BSD: u16 = 7;
const FDDI: u16 = 10;
const ATM_RFC1483: u16 = 100;
const ENC: u16 = 109;
const PFLOG: u16 = 117;
const IP_OVER_FC: u16 = 122;
const SUNATM: u16 = 123;
const ARCNET_LINUX: u16 = 129;
const FIREWIRE: u16 = 138;
const DOCSIS: u16 = 143;
const JUNIPER_ETHER: u16 = 178;
const JUNIPER_PPP: u16 = 179;
const JUNIPER_FRELAY: u16 = 180;
const JUNIPER_CHDLC: u16 = 181;
const IPNET: u16 = 226;
const NFLOG: u16 = 239;
const INFINIBAND: u16 = 242;
