//! Tunnels that are known by a UDP port. A port proves little, so headers must make sense here and what is inside must
//! be a packet that fits; otherwise the outer packet stands.

use super::radio;
use super::walk::{Next, Notes};
use super::wire::{array_at, u8_at, u16_at, u32_at};
use crate::model::TunnelKind;

/// Where the payload of a UDP datagram goes on, if it is a tunnel.
#[inline]
pub(super) fn inside<N: Notes>(
    bytes: &[u8],
    at: usize,
    (src, dst): (u16, u16),
    notes: &mut N,
) -> Next {
    // most datagrams have neither
    for port in [dst, src] {
        let next = match port {
            VXLAN | VXLAN_LINUX if port == dst => vxlan(bytes, at, notes),
            VXLAN_GPE => vxlan(bytes, at, notes),
            GENEVE if port == dst => geneve(bytes, at, notes),
            GTP_U | GTP_C | GTP_PRIME => gtp(bytes, at, notes),
            TEREDO => teredo(bytes, at, notes),
            L2TP => l2tp(bytes, at, notes),
            AYIYA => ayiya(bytes, at, notes),
            CAPWAP => capwap(bytes, at, notes),
            LWAPP => lwapp(bytes, at, notes),
            LISP => lisp(bytes, at, notes),
            TZSP if port == dst => tzsp(bytes, at, notes),
            GRE_IN_UDP if port == dst => Next::Gre(at),
            MPLS_IN_UDP if port == dst => {
                notes.tunnel(TunnelKind::Other, None);
                Next::Mpls(at)
            }
            _ => continue,
        };
        return next;
    }
    Next::Stop
}

/// Whether [`inside`] may find a tunnel behind these ports.
#[inline]
pub(super) fn is_tunnel(src: u16, dst: u16) -> bool {
    [src, dst].iter().any(|port| PORTS.contains(port))
}

/// VXLAN (RFC 7348 section 5) and its extension by a next protocol (draft-ietf-nvo3-vxlan-gpe section 3).
fn vxlan<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const ID_VALID: u8 = 0x08;
    const NEXT_PROTOCOL: u8 = 0x04;
    let Some([flags, _, _, protocol, a, b, c, _]) = array_at(bytes, at) else {
        return Next::Cut;
    };
    if flags & ID_VALID == 0 {
        return Next::Stop;
    }
    notes.layer("vxlan");
    notes.tunnel(TunnelKind::Vxlan, Some(u32::from_be_bytes([0, a, b, c])));
    if flags & NEXT_PROTOCOL == 0 {
        return Next::Frame(at + 8);
    }
    match protocol {
        1 | 2 => Next::Ip(at + 8),
        0 | 3 => Next::Frame(at + 8),
        4 => Next::Service(at + 8),
        5 => Next::Mpls(at + 8),
        _ => Next::Stop,
    }
}

/// Geneve (RFC 8926 section 3.4): options counted in words, then what an Ethertype names.
fn geneve<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    let (Some([first, _, high, low]), Some(word)) = (array_at(bytes, at), u32_at(bytes, at + 4))
    else {
        return Next::Cut;
    };
    if first >> 6 != 0 {
        return Next::Stop;
    }
    notes.layer("geneve");
    notes.tunnel(TunnelKind::Geneve, Some(word >> 8));
    let inside = at + 8 + usize::from(first & 0x3f) * 4;
    Next::Ethertype(u16::from_be_bytes([high, low]), inside)
}

/// GTP version 1 (3GPP TS 29.281 section 5.1), and version 0 (GSM 09.60) with its twenty octets: only a message of type 255
/// carries a packet.
fn gtp<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const PACKET: u8 = 255;
    let (Some([flags, kind]), Some(id)) = (array_at(bytes, at), u32_at(bytes, at + 4)) else {
        return Next::Cut;
    };
    match (flags >> 4, kind) {
        (1, PACKET) => {
            notes.layer("gtpprime");
            notes.tunnel(TunnelKind::Gtp, None);
            return ip(bytes, at + 20);
        }
        (3, PACKET) => {
            notes.layer("gtp");
            notes.tunnel(TunnelKind::Gtp, Some(id));
        }
        (3, _) => {
            notes.layer("gtp");
            notes.tunnel(TunnelKind::Gtp, Some(id));
            return Next::Stop;
        }
        _ => return Next::Stop,
    }
    let mut inside = at + 8;
    if flags & 7 != 0 {
        inside += 4;
        let mut next = u8_at(bytes, at + 11).unwrap_or_default();
        // without the flag the octet means nothing
        if flags & 4 == 0 {
            next = 0;
        }
        for _ in 0..EXTENSIONS_MAX {
            if next == 0 {
                break;
            }
            let size = usize::from(u8_at(bytes, inside).unwrap_or_default()) * 4;
            if size == 0 {
                return Next::Stop;
            }
            next = u8_at(bytes, inside + size - 1).unwrap_or_default();
            inside += size;
        }
    }
    ip(bytes, inside)
}

/// Teredo (RFC 4380 section 5.1.1): an authentication and an origin indication may stand before IPv6.
fn teredo<N: Notes>(bytes: &[u8], mut at: usize, notes: &mut N) -> Next {
    if let Some([0, 1, id, auth]) = array_at(bytes, at) {
        at += 13 + usize::from(id) + usize::from(auth);
    }
    if let Some([0, 0]) = array_at(bytes, at) {
        at += 8;
    }
    match u8_at(bytes, at).map(|b| b >> 4) {
        Some(6) => {
            notes.layer("teredo");
            notes.tunnel(TunnelKind::Teredo, None);
            Next::Ip(at)
        }
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// L2TP version 2 (RFC 2661 section 3.1): data messages carry PPP.
fn l2tp<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    let Some(flags) = u16_at(bytes, at) else {
        return Next::Cut;
    };
    if flags & CONTROL != 0 || flags & 0x000f != 2 {
        return Next::Stop;
    }
    let mut at = at + if flags & LENGTH != 0 { 4 } else { 2 };
    let Some(ids) = u32_at(bytes, at) else {
        return Next::Cut;
    };
    at += if flags & SEQUENCE != 0 { 8 } else { 4 };
    if flags & OFFSET != 0 {
        at += 2 + usize::from(u16_at(bytes, at).unwrap_or_default());
    }
    notes.layer("l2tp");
    notes.tunnel(TunnelKind::Other, Some(ids));
    Next::Ppp(at)
}

/// AYIYA (draft-massar-v6ops-ayiya): an identity whose size is a power of two, a signature in words; operation 1 carries a packet.
fn ayiya<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    let Some([identity, signature, operation, next]) = array_at(bytes, at) else {
        return Next::Cut;
    };
    if operation & 0x0f != 1 || !matches!(next, 4 | 41) {
        return Next::Stop;
    }
    let identity = 1usize << (identity >> 4);
    let inside = at + 8 + identity + usize::from(signature >> 4) * 4;
    notes.layer("ayiya");
    notes.tunnel(TunnelKind::Other, None);
    ip(bytes, inside)
}

/// CAPWAP data (RFC 5415 section 4.3): a header in words, then an 802.3 or a native frame. DTLS has another preamble.
fn capwap<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const NATIVE: u32 = 0x100;
    const FRAGMENT: u32 = 0x80;
    const KEEP_ALIVE: u32 = 0x08;
    let Some(word) = u32_at(bytes, at) else {
        return Next::Cut;
    };
    let size = (word >> 19 & 0x1f) as usize * 4;
    if word >> 24 != 0 || size < 8 || word & (FRAGMENT | KEEP_ALIVE) != 0 {
        return Next::Stop;
    }
    notes.layer("capwap.data");
    notes.tunnel(TunnelKind::Other, None);
    match word & NATIVE {
        0 => Next::Frame(at + size),
        _ if word >> 9 & 0x1f == 1 => radio::swapped(bytes, at + size, notes),
        _ => Next::Stop,
    }
}

/// LWAPP data (RFC 5412 section 4.2): six octets, two of status, then an 802.11 frame.
fn lwapp<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    const CONTROL: u8 = 0x04;
    match u8_at(bytes, at) {
        Some(flags) if flags & CONTROL == 0 && flags >> 6 == 0 => {
            notes.layer("lwapp");
            notes.tunnel(TunnelKind::Other, None);
            radio::swapped(bytes, at + 8, notes)
        }
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// TZSP, in which sniffers of access points and of RouterOS send frames: version 1, a type (0 and 1 carry a frame), what the
/// frame is, and fields of a kind, a length and a value, of which padding (0) and the end (1) have neither.
fn tzsp<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    let Some([version, kind, high, low]) = array_at(bytes, at) else {
        return Next::Cut;
    };
    let inside = match u16::from_be_bytes([high, low]) {
        1 => Next::Frame,
        18 => Next::Radio,
        _ => return Next::Stop,
    };
    if version != 1 || kind > 1 {
        return Next::Stop;
    }
    let mut field = at + 4;
    for _ in 0..FIELDS_MAX {
        match (u8_at(bytes, field), u8_at(bytes, field + 1)) {
            (Some(0), _) => field += 1,
            (Some(1), _) => {
                notes.layer("tzsp");
                notes.tunnel(TunnelKind::Other, None);
                return inside(field + 1);
            }
            (Some(_), Some(size)) => field += 2 + usize::from(size),
            _ => return Next::Cut,
        }
    }
    Next::Stop
}

/// LISP data (RFC 9300 section 5.1): eight octets, then IP.
fn lisp<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    notes.layer("lisp-data");
    notes.tunnel(TunnelKind::Other, None);
    ip(bytes, at + 8)
}

/// IP of either version, or nothing.
fn ip(bytes: &[u8], at: usize) -> Next {
    match u8_at(bytes, at).map(|b| b >> 4) {
        Some(4 | 6) => Next::Ip(at),
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// Every port that [`inside`] knows.
const PORTS: [u16; 16] = [
    L2TP,
    GTP_C,
    GTP_U,
    GTP_PRIME,
    TEREDO,
    LISP,
    GRE_IN_UDP,
    VXLAN,
    VXLAN_GPE,
    AYIYA,
    CAPWAP,
    GENEVE,
    MPLS_IN_UDP,
    VXLAN_LINUX,
    LWAPP,
    TZSP,
];
/// Most fields of TZSP that are followed.
const FIELDS_MAX: usize = 32;
/// Most extension headers of GTP that are followed.
const EXTENSIONS_MAX: usize = 8;
const L2TP: u16 = 1701;
const GTP_C: u16 = 2123;
const GTP_U: u16 = 2152;
const GTP_PRIME: u16 = 3386;
const TEREDO: u16 = 3544;
const LISP: u16 = 4341;
const GRE_IN_UDP: u16 = 4754;
const VXLAN: u16 = 4789;
const VXLAN_GPE: u16 = 4790;
const AYIYA: u16 = 5072;
const CAPWAP: u16 = 5247;
const GENEVE: u16 = 6081;
const MPLS_IN_UDP: u16 = 6635;
const VXLAN_LINUX: u16 = 8472;
const LWAPP: u16 = 12222;
const TZSP: u16 = 37008;

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Notes for Nothing {
        fn packet(&mut self, _: &super::super::IpHeader, _: &super::super::Segment) -> bool {
            false
        }
    }

    #[test]
    fn every_port_of_a_tunnel_is_in_the_list() {
        // with nothing behind the header every tunnel says that the bytes ended
        for port in 0..=u16::MAX {
            let next = inside(&[], 0, (port, port), &mut Nothing);
            assert_eq!(next != Next::Stop, PORTS.contains(&port), "{port}");
        }
    }
}
