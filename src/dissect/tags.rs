//! Tags between link and network: VLAN, MPLS, PPP, LLC and SNAP, and the rarer ones of switches.

use super::walk::{Next, Notes};
use super::wire::{array_at, u8_at, u16_at, u32_at};
use crate::model::TunnelKind;
use etherparse::ether_type as number;

/// Follows an Ethertype.
#[inline]
pub(super) fn ethertype<N: Notes>(ethertype: u16, bytes: &[u8], at: usize, notes: &mut N) -> Next {
    if is_ip(ethertype) {
        notes.ethertype(ethertype);
        return Next::Ip(at);
    }
    tagged(ethertype, bytes, at, notes)
}

/// Whether an Ethertype is that of IP.
#[inline(always)]
pub(super) fn is_ip(ethertype: u16) -> bool {
    ethertype == IPV4 || ethertype == IPV6
}

/// Whether an Ethertype is that of a VLAN tag.
#[inline(always)]
pub(super) fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | VLAN_PROVIDER | 0x9100 | 0x9200 | 0x9300)
}

fn tagged<N: Notes>(ethertype: u16, bytes: &[u8], at: usize, notes: &mut N) -> Next {
    // each of these tags ends with the Ethertype of what follows
    let tag = match ethertype {
        _ if is_vlan(ethertype) => {
            let Some(tag) = u16_at(bytes, at) else {
                return Next::Cut;
            };
            notes.layer(if ethertype == VLAN_PROVIDER {
                "ieee8021ad"
            } else {
                "vlan"
            });
            notes.vlan(tag & 0x0fff);
            4
        }
        VNTAG => 6,
        ETAG => 8,
        _ => 0,
    };
    if tag > 0 {
        return named(bytes, at + tag - 2, at + tag, notes);
    }
    notes.ethertype(ethertype);
    match ethertype {
        ARP => Next::Arp(at),
        MPLS | MPLS_MULTICAST => Next::Mpls(at),
        PPPOE_SESSION | PPPOE_DISCOVERY => pppoe(bytes, at, notes),
        PPP => Next::Ppp(at),
        NSH => Next::Service(at),
        TRANSPARENT_BRIDGING => Next::Frame(at),
        // 802.1ah: a four-octet service tag before the customer's frame
        BACKBONE => {
            notes.layer("ieee8021ah");
            Next::Frame(at + 4)
        }
        MACSEC => macsec(bytes, at, notes),
        ARISTA => arista(bytes, at, notes),
        // a tag and a time to live before the frame
        FABRIC_PATH => Next::Frame(at + 2),
        TRILL => trill(bytes, at),
        length if length < ETHERTYPE_MIN => Next::Llc(at),
        _ => Next::Stop,
    }
}

/// The payload at `payload_at`, named by the Ethertype at `at`.
#[inline]
pub(super) fn named<N: Notes>(bytes: &[u8], at: usize, payload_at: usize, notes: &mut N) -> Next {
    match u16_at(bytes, at) {
        Some(ethertype) => {
            if ethertype >= ETHERTYPE_MIN {
                notes.layer("ethertype");
            }
            Next::Ethertype(ethertype, payload_at)
        }
        None => Next::Cut,
    }
}

/// A PPPoE session header (RFC 2516 section 4): version, type, code, session and length, then PPP.
pub(super) fn pppoe<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    match (u8_at(bytes, at + 1), u16_at(bytes, at + 2)) {
        (Some(0), Some(session)) => {
            notes.layer("pppoes");
            notes.tunnel(TunnelKind::Pppoe, Some(session.into()));
            Next::Ppp(at + 6)
        }
        (Some(_), Some(session)) => {
            notes.tunnel(TunnelKind::Pppoe, Some(session.into()));
            Next::Stop
        }
        _ => Next::Cut,
    }
}

/// Follows a label stack (RFC 3032 section 2.1) to its bottom.
pub(super) fn mpls<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    notes.layer("mpls");
    for (position, at) in (at..).step_by(4).take(LABELS_MAX).enumerate() {
        let Some(entry) = u32_at(bytes, at) else {
            return Next::Cut;
        };
        notes.label(position, entry);
        if entry & 0x100 != 0 {
            return bottom(bytes, at + 4, entry >> 12, notes);
        }
    }
    Next::Stop
}

/// What a label stack carries is not said: IP shows by its version, a pseudowire with a control word by a zero (RFC 4385
/// section 3), one without (RFC 4448) by an Ethertype in the right place.
fn bottom<N: Notes>(bytes: &[u8], at: usize, label: u32, notes: &mut N) -> Next {
    let Some(first) = u8_at(bytes, at) else {
        return Next::Cut;
    };
    let frame_at = match first >> 4 {
        4 if first & 0x0f >= 5 => return Next::Ip(at),
        6 if !is_frame(bytes, at) => return Next::Ip(at),
        0 if is_frame(bytes, at + 4) => at + 4,
        _ if is_frame(bytes, at) => at,
        _ => return Next::Stop,
    };
    notes.tunnel(TunnelKind::EoMpls, Some(label));
    Next::Frame(frame_at)
}

/// Whether an Ethernet frame of a protocol that is often inside pseudowires may start here.
fn is_frame(bytes: &[u8], at: usize) -> bool {
    match u16_at(bytes, at + 12) {
        Some(IPV4) => u8_at(bytes, at + 14).is_some_and(|b| b >> 4 == 4),
        Some(IPV6) => u8_at(bytes, at + 14).is_some_and(|b| b >> 4 == 6),
        Some(tag) if is_vlan(tag) => true,
        Some(ARP | MPLS | PPPOE_SESSION | PPPOE_DISCOVERY | NSH | BACKBONE | 0x9000 | 0x88cc) => {
            true
        }
        // 802.3: the length fits and is followed by a service access point of the usual kind
        Some(length @ 3..ETHERTYPE_MIN) => {
            let lsap = u8_at(bytes, at + 14);
            bytes.len() >= at + 14 + usize::from(length)
                && matches!(lsap, Some(0x42 | 0xaa | 0xfe | 0xe0))
        }
        _ => false,
    }
}

/// Follows a PPP protocol number; address and control octets (RFC 1662) may stand before it.
pub(super) fn ppp(bytes: &[u8], at: usize) -> Next {
    let at = match array_at(bytes, at) {
        Some([0xff, 0x03]) => at + 2,
        _ => at,
    };
    match (u8_at(bytes, at), u16_at(bytes, at)) {
        (_, Some(0x0021 | 0x0057)) => Next::Ip(at + 2),
        (_, Some(0x0281 | 0x0283)) => Next::Mpls(at + 2),
        // compressed to one octet (RFC 1661 section 6.5)
        (Some(0x21 | 0x57), _) => Next::Ip(at + 1),
        (_, None) => Next::Cut,
        _ => Next::Stop,
    }
}

/// Follows LLC: SNAP with an Ethertype, the access point of IP, or an OSI network layer id.
pub(super) fn llc(bytes: &[u8], at: usize) -> Next {
    match bytes.get(at..) {
        // organisation 0, or that of tunnelled Ethernet (802.1H)
        Some([0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, a, b, ..]) => {
            Next::Ethertype(u16::from_be_bytes([*a, *b]), at + 8)
        }
        // bridged frames (RFC 2684 section 5.2), with and without a check sequence at the end
        Some([0xaa, 0xaa, 0x03, 0, 0x80, 0xc2, 0, 1 | 7, ..]) => Next::Frame(at + 10),
        Some([0x06, 0x06, 0x03, ..]) => Next::Ip(at + 3),
        Some([0xfe, 0xfe, 0x03, ..]) => Next::Nlpid(at + 3),
        Some([0xaa, 0xaa, 0x03, rest @ ..]) if rest.len() < 5 => Next::Cut,
        Some([_, _, _, ..]) => Next::Stop,
        _ => Next::Cut,
    }
}

/// A network service header (RFC 8300 section 2.2): its length in words, then the next protocol.
pub(super) fn service(bytes: &[u8], at: usize) -> Next {
    let (Some(word), Some(protocol)) = (u16_at(bytes, at), u8_at(bytes, at + 3)) else {
        return Next::Cut;
    };
    let inside = at + usize::from(word & 0x3f) * 4;
    match protocol {
        _ if inside < at + 8 => Next::Stop,
        1 | 2 => Next::Ip(inside),
        3 => Next::Frame(inside),
        4 => Next::Service(inside),
        5 => Next::Mpls(inside),
        _ => Next::Stop,
    }
}

/// MACsec (802.1AE): only what is not encrypted can be read. The channel id is there if its flag says so.
fn macsec<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;
    notes.layer("macsec");
    match u8_at(bytes, at) {
        Some(flags) if flags & (ENCRYPTED | CHANGED) != 0 => Next::Stop,
        Some(flags) => {
            let size = if flags & CHANNEL != 0 { 14 } else { 6 };
            named(bytes, at + size, at + size + 2, notes)
        }
        None => Next::Cut,
    }
}

/// Arista's time stamps: a subtype, a version, and the time in six or eight octets.
fn arista<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    match (u16_at(bytes, at), u16_at(bytes, at + 2)) {
        (Some(1), Some(version)) => {
            notes.layer("avsp");
            let size = if version & 0xf0 == 0x20 { 10 } else { 12 };
            named(bytes, at + size, at + size + 2, notes)
        }
        (Some(_), Some(_)) => Next::Stop,
        _ => Next::Cut,
    }
}

/// TRILL (RFC 6325 section 3.1): six octets and options counted in words.
fn trill(bytes: &[u8], at: usize) -> Next {
    match u16_at(bytes, at) {
        Some(word) => Next::Frame(at + 6 + usize::from(word >> 6 & 0x1f) * 4),
        None => Next::Cut,
    }
}

/// Most labels of a stack that are followed.
const LABELS_MAX: usize = 32;
const ETHERTYPE_MIN: u16 = 0x0600;
const IPV4: u16 = number::IPV4.0;
const IPV6: u16 = number::IPV6.0;
const ARP: u16 = number::ARP.0;
const VLAN: u16 = number::VLAN_TAGGED_FRAME.0;
const VLAN_PROVIDER: u16 = number::PROVIDER_BRIDGING.0;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
/// Ethertype of PPPoE sessions (RFC 2516 section 4).
const PPPOE_SESSION: u16 = 0x8864;
const PPPOE_DISCOVERY: u16 = 0x8863;
const ARISTA: u16 = 0xd28b;
/// PPP in GRE (RFC 2637 section 4).
const PPP: u16 = 0x880b;
/// RFC 8300 section 11.
const NSH: u16 = 0x894f;
/// Ethernet in GRE (RFC 1701).
const TRANSPARENT_BRIDGING: u16 = 0x6558;
const BACKBONE: u16 = 0x88e7;
const MACSEC: u16 = 0x88e5;
const FABRIC_PATH: u16 = 0x8903;
const TRILL: u16 = 0x22f3;
const VNTAG: u16 = 0x8926;
const ETAG: u16 = 0x893f;
