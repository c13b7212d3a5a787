//! What a packet carries when it is itself an envelope: IP in IP, GRE and its kin, MPLS, Ethernet, quoted packets.

use super::ip::IpHeader;
use super::transport::{ICMP, ICMPV6, Segment, UDP};
use super::udp;
use super::walk::{Next, Notes};
use super::wire::{u8_at, u16_at, u32_at};
use crate::model::{Transport, TunnelKind};

/// Where the payload of a packet goes on, if it is a tunnel.
#[inline]
pub(super) fn inside<N: Notes>(
    bytes: &[u8],
    header: &IpHeader,
    segment: &Segment,
    notes: &mut N,
) -> Next {
    match header.proto {
        super::transport::TCP => Next::Stop,
        UDP => match segment.transport {
            Transport::Ports { src, dst } => {
                udp::inside(bytes, segment.payload_at, (src, dst), notes)
            }
            _ => Next::Stop,
        },
        ICMP | ICMPV6 if N::QUOTED => quoted(bytes, header.proto, segment),
        _ => other(bytes, header, notes),
    }
}

fn other<N: Notes>(bytes: &[u8], header: &IpHeader, notes: &mut N) -> Next {
    let at = header.transport_at;
    let version = u8_at(bytes, at).map(|b| b >> 4);
    match (header.proto, version) {
        (IPIP, Some(4)) | (IPV6_IN_IP, Some(6)) => {
            notes.tunnel(TunnelKind::IpIp, None);
            Next::Ip(at)
        }
        (GRE, _) => Next::Gre(at),
        (MPLS_IN_IP, _) => {
            notes.tunnel(TunnelKind::Other, None);
            Next::Mpls(at)
        }
        (ETHERNET, _) => {
            notes.tunnel(TunnelKind::Other, None);
            Next::Frame(at)
        }
        // RFC 3378: a two-octet header with version 3
        (ETHER_IP, Some(3)) => {
            notes.tunnel(TunnelKind::Other, None);
            Next::Frame(at + 2)
        }
        _ => Next::Stop,
    }
}

/// The packet that an ICMP error (RFC 792, RFC 4443 section 3) or a redirect (RFC 4861 section 4.6.3) quotes.
fn quoted(bytes: &[u8], proto: u8, segment: &Segment) -> Next {
    const REDIRECT: u8 = 137;
    const REDIRECTED_HEADER: u8 = 4;
    let Transport::Icmp { kind, .. } = segment.transport else {
        return Next::Stop;
    };
    match (proto, kind) {
        (ICMP, 3 | 4 | 5 | 11 | 12) | (ICMPV6, 1..=4) => Next::Ip(segment.payload_at),
        (ICMPV6, REDIRECT) => {
            // two addresses, then options counted in eight octets
            let mut at = segment.payload_at + 32;
            for _ in 0..OPTIONS_MAX {
                match (u8_at(bytes, at), u8_at(bytes, at + 1)) {
                    (Some(REDIRECTED_HEADER), Some(_)) => return Next::Ip(at + 8),
                    (Some(_), Some(size)) if size > 0 => at += usize::from(size) * 8,
                    _ => break,
                }
            }
            Next::Stop
        }
        _ => Next::Stop,
    }
}

/// GRE (RFC 2784, RFC 2890; with routing as in RFC 1701), its version 1 for PPTP (RFC 2637), ERSPAN.
pub(super) fn gre<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGEMENT: u16 = 0x0080;
    let (Some(flags), Some(protocol)) = (u16_at(bytes, at), u16_at(bytes, at + 2)) else {
        return Next::Cut;
    };
    notes.gre(protocol);
    let mut inside = at + 4;
    if flags & (CHECKSUM | ROUTING) != 0 {
        inside += 4;
    }
    let mut key = 0;
    if flags & KEY != 0 {
        key = u32_at(bytes, inside).unwrap_or_default();
        inside += 4;
    }
    if flags & SEQUENCE != 0 {
        inside += 4;
    }
    if flags & 7 == 1 {
        inside += if flags & ACKNOWLEDGEMENT != 0 { 4 } else { 0 };
        if protocol != PPP {
            return Next::Stop;
        }
        // the lower half of the key is the call
        notes.tunnel(TunnelKind::Gre, Some(key & 0xffff));
        return Next::Ppp(inside);
    }
    if flags & ROUTING != 0 {
        match routes(bytes, inside) {
            Some(at) => inside = at,
            None => return Next::Cut,
        }
    }
    match protocol {
        // without a sequence number it is type I, which has no header of its own
        ERSPAN_II if flags & SEQUENCE == 0 => {
            notes.layer("erspan");
            notes.tunnel(TunnelKind::Erspan, None);
            Next::Frame(inside)
        }
        ERSPAN_II => erspan(bytes, inside, 8, notes),
        ERSPAN_III => erspan(bytes, inside, 12, notes),
        _ => {
            notes.tunnel(TunnelKind::Gre, Some(key));
            payload(protocol, bytes, inside)
        }
    }
}

/// Source route entries: family, offset, length, address; one of length 0 ends them.
fn routes(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..ROUTES_MAX {
        let length = u8_at(bytes, at + 3)?;
        at += 4 + usize::from(length);
        if length == 0 {
            return Some(at);
        }
    }
    None
}

/// The header of ERSPAN type II or III (draft-foschiano-erspan): session in ten bits; type III may have eight more octets.
fn erspan<N: Notes>(bytes: &[u8], at: usize, size: usize, notes: &mut N) -> Next {
    let Some(word) = u32_at(bytes, at) else {
        return Next::Cut;
    };
    notes.layer("erspan");
    notes.tunnel(TunnelKind::Erspan, Some(word & 0x03ff));
    let tail = match u16_at(bytes, at + 10) {
        Some(tail) if size == 12 => tail,
        _ => 0,
    };
    let inside = at + size + if tail & 1 == 1 { 8 } else { 0 };
    // the frame type says whether a frame or an IP packet is inside
    if tail >> 10 & 0x1f == 2 {
        return Next::Ip(inside);
    }
    Next::Frame(inside)
}

/// What GRE carries, by its protocol.
fn payload(protocol: u16, bytes: &[u8], at: usize) -> Next {
    match protocol {
        // WCCP: a redirect header of four octets in its second version, which no IPv4 header looks like
        WCCP => match u8_at(bytes, at) {
            Some(first) if first >> 4 == 4 => Next::Ip(at),
            Some(_) => Next::Ip(at + 4),
            None => Next::Cut,
        },
        // access points of Aruba: an 802.11 frame
        ARUBA_FIRST..=ARUBA_LAST | 0x9000 => Next::Radio(at),
        0x0000..=0x05ff => Next::Stop,
        _ => Next::Ethertype(protocol, at),
    }
}

/// Most options of a redirect that are followed.
const OPTIONS_MAX: usize = 8;
/// Most source routes of a GRE header.
const ROUTES_MAX: usize = 16;
const IPIP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
/// RFC 3378.
const ETHER_IP: u8 = 97;
/// RFC 4023.
const MPLS_IN_IP: u8 = 137;
/// RFC 8986 section 4.9.
const ETHERNET: u8 = 143;
const PPP: u16 = 0x880b;
const WCCP: u16 = 0x883e;
const ERSPAN_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
const ARUBA_FIRST: u16 = 0x8200;
const ARUBA_LAST: u16 = 0x8210;
