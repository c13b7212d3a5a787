//! Link layers: from the first byte of a frame to what it carries.

use super::wire::{array_at, mac_at, u8_at, u16_at};
use super::{HeaderView, Next};

/// Starts a frame of a LINKTYPE number; `None` where it is not known.
pub(super) fn start(link_type: u16, bytes: &[u8], view: &mut HeaderView) -> Option<Next> {
    Some(match link_type {
        LINKTYPE_ETHERNET => ethernet(bytes, 0, view),
        LINKTYPE_NULL | LINKTYPE_LOOP => loopback(bytes),
        LINKTYPE_PPP | LINKTYPE_PPP_WITH_DIR => ppp_with_direction(link_type, bytes),
        LINKTYPE_PPP_HDLC | LINKTYPE_C_HDLC => hdlc(bytes),
        LINKTYPE_PPP_ETHER => Next::Ethertype(super::tags::PPPOE_SESSION, 0),
        LINKTYPE_LINUX_SLL => cooked(bytes, 14, 16),
        LINKTYPE_LINUX_SLL2 => cooked(bytes, 0, 20),
        LINKTYPE_MPLS => Next::Mpls(0),
        12 | 14 | LINKTYPE_RAW | LINKTYPE_IPV4 | LINKTYPE_IPV6 => Next::Ip(0),
        _ => return None,
    })
}

/// Ethernet II, or 802.3 with LLC and SNAP.
pub(super) fn ethernet(bytes: &[u8], at: usize, view: &mut HeaderView) -> Next {
    view.dst_mac = mac_at(bytes, at);
    view.src_mac = mac_at(bytes, at + 6);
    ethertype_at(bytes, at + 12)
}

/// PPP without framing, or with the address and control octets of RFC 1662.
pub(super) fn ppp(bytes: &[u8]) -> Next {
    match bytes {
        [0xff, 0x03, ..] => Next::Ppp(2),
        _ => Next::Ppp(0),
    }
}

/// PPP in HDLC-like framing (RFC 1662), or Cisco HDLC with its Ethertype.
pub(super) fn hdlc(bytes: &[u8]) -> Next {
    match bytes {
        [0x0f | 0x8f, _, ..] => ethertype_at(bytes, 2),
        _ => ppp(bytes),
    }
}

/// The Ethertype at `at`, with what follows it.
fn ethertype_at(bytes: &[u8], at: usize) -> Next {
    match u16_at(bytes, at) {
        Some(ethertype) => Next::Ethertype(ethertype, at + 2),
        None => Next::Cut,
    }
}

/// LINKTYPE_PPP_WITH_DIR has a direction octet in front.
fn ppp_with_direction(link_type: u16, bytes: &[u8]) -> Next {
    if link_type != LINKTYPE_PPP_WITH_DIR {
        return ppp(bytes);
    }
    match bytes {
        [_, 0xff, 0x03, ..] => Next::Ppp(3),
        _ => Next::Ppp(1),
    }
}

/// Four octets of address family, in the byte order of the machine that captured (NULL) or big-endian (LOOP). The
/// families have small numbers, so the order shows.
fn loopback(bytes: &[u8]) -> Next {
    let Some(family) = array_at(bytes, 0).map(u32::from_le_bytes) else {
        return Next::Cut;
    };
    let family = if family > 0xffff {
        family.swap_bytes()
    } else {
        family
    };
    match family {
        // AF_INET everywhere; AF_INET6 of Linux, NetBSD and OpenBSD, FreeBSD, macOS
        2 | 10 | 24 | 28 | 30 => Next::Ip(4),
        // some write an Ethertype in the last two octets instead
        _ => ethertype_at(bytes, 2),
    }
}

/// Linux cooked capture: the protocol at `protocol_at`, the payload at `payload_at`.
fn cooked(bytes: &[u8], protocol_at: usize, payload_at: usize) -> Next {
    if u8_at(bytes, payload_at - 1).is_none() {
        return Next::Cut;
    }
    match u16_at(bytes, protocol_at) {
        Some(protocol) => Next::Ethertype(protocol, payload_at),
        None => Next::Cut,
    }
}

const LINKTYPE_NULL: u16 = 0;
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_PPP: u16 = 9;
const LINKTYPE_PPP_HDLC: u16 = 50;
const LINKTYPE_PPP_ETHER: u16 = 51;
const LINKTYPE_RAW: u16 = 101;
const LINKTYPE_C_HDLC: u16 = 104;
const LINKTYPE_LOOP: u16 = 108;
const LINKTYPE_LINUX_SLL: u16 = 113;
const LINKTYPE_PPP_WITH_DIR: u16 = 204;
const LINKTYPE_MPLS: u16 = 219;
const LINKTYPE_IPV4: u16 = 228;
const LINKTYPE_IPV6: u16 = 229;
const LINKTYPE_LINUX_SLL2: u16 = 276;

#[cfg(test)]
mod tests {
    use super::super::frame;
    use etherparse::PacketBuilder;

    #[test]
    fn every_link_type_leads_to_the_same_packet() {
        let mut ip = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(2055, 9995)
            .write(&mut ip, b"payload")
            .expect("a vector takes it");
        let mut sll = vec![0; 14];
        sll.extend([8, 0]);
        let mut sll2 = vec![0; 20];
        sll2[0] = 8;
        let mut ethernet = vec![0; 12];
        ethernet.extend([0x81, 0, 0, 5, 8, 0]);
        let mut snap = vec![0; 12];
        snap.extend([0, 43, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        let mut pppoe = vec![0; 12];
        pppoe.extend([0x88, 0x64, 0x11, 0, 0, 1, 0, 37, 0, 0x21]);
        for (link_type, head) in [
            (0, vec![2, 0, 0, 0]),
            (0, vec![0, 0, 0, 2]),
            (0, vec![0x0f, 0, 8, 0]),
            (1, ethernet),
            (1, snap),
            (1, pppoe),
            (9, vec![0, 0x21]),
            (9, vec![0xff, 3, 0, 0x21]),
            (50, vec![0xff, 3, 0, 0x21]),
            (51, vec![0x11, 0, 0, 1, 0, 37, 0, 0x21]),
            (101, vec![]),
            (104, vec![0x0f, 0, 8, 0]),
            (108, vec![0, 0, 0, 2]),
            (113, sll),
            (204, vec![0, 0xff, 3, 0, 0x21]),
            (219, vec![0, 1, 1, 64]),
            (228, vec![]),
            (276, sll2),
        ] {
            let at = head.len();
            let bytes = [head, ip.clone()].concat();
            let v = frame(link_type, &bytes).expect("known");
            assert_eq!(v.network_at, Some(at), "link type {link_type}");
            assert_eq!((v.src_port, v.dst_port), (Some(2055), Some(9995)));
            assert_eq!(v.end, bytes.len());
        }
        assert!(frame(147, &ip).is_none());
    }
}
