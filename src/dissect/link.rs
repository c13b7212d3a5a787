//! Link layers: from the first byte of a frame to what it carries.

use super::walk::{Next, Notes};
use super::wire::{array_at, mac_at, u8_at, u16_at, u32_le_at};
use super::{medium, radio, tags};

/// Starts a frame of a LINKTYPE number; `None` where it is not known, or never carries IP.
#[inline]
pub(super) fn start<N: Notes>(link_type: u16, bytes: &[u8], notes: &mut N) -> Option<Next> {
    match link_type {
        LINKTYPE_ETHERNET => Some(Next::Frame(0)),
        _ => other(link_type, bytes, notes),
    }
}

fn other<N: Notes>(link_type: u16, bytes: &[u8], notes: &mut N) -> Option<Next> {
    notes.layer(match link_type {
        LINKTYPE_NULL | LINKTYPE_LOOP => "null",
        LINKTYPE_LINUX_SLL | LINKTYPE_LINUX_SLL2 => "sll",
        12 | 14 | LINKTYPE_RAW => "raw",
        LINKTYPE_RADIOTAP => "radiotap:wlan_radio",
        LINKTYPE_PPI => "ppi:wlan_radio",
        LINKTYPE_FRELAY => "fr",
        LINKTYPE_C_HDLC => "chdlc",
        LINKTYPE_SLIP => "slip",
        LINKTYPE_PKTAP => "pktap:pcap_pktdata",
        LINKTYPE_USER2 => "user_dlt:pktap:pcap_pktdata",
        _ => "",
    });
    Some(match link_type {
        LINKTYPE_NULL | LINKTYPE_LOOP => loopback(bytes),
        // Cisco HDLC is met here, too
        LINKTYPE_PPP | LINKTYPE_PPP_HDLC | LINKTYPE_C_HDLC => hdlc(bytes, 0),
        // a direction octet in front
        LINKTYPE_PPP_PPPD | LINKTYPE_PPP_WITH_DIR => ppp_with_direction(bytes),
        LINKTYPE_C_HDLC_WITH_DIR => hdlc(bytes, 1),
        LINKTYPE_FRELAY => medium::frame_relay(bytes, 0),
        LINKTYPE_FRELAY_WITH_DIR => medium::frame_relay(bytes, 1),
        LINKTYPE_PPP_ETHER => tags::pppoe(bytes, 0, notes),
        LINKTYPE_LINUX_SLL => cooked(bytes, 14, 16, notes),
        LINKTYPE_LINUX_SLL2 => cooked(bytes, 0, 20, notes),
        LINKTYPE_MPLS => Next::Mpls(0),
        12 | 14 | LINKTYPE_RAW => Next::Ip(0),
        LINKTYPE_IPV4 => version(bytes, 4),
        LINKTYPE_IPV6 => version(bytes, 6),
        LINKTYPE_SLIP => Next::Ip(16),
        LINKTYPE_IEEE802_11 => Next::Radio(0),
        LINKTYPE_PRISM => radio::prism(bytes),
        LINKTYPE_RADIOTAP => radio::radiotap(bytes, notes),
        LINKTYPE_AVS => radio::avs(bytes),
        LINKTYPE_PPI => return wrapped(bytes, u16_le(bytes, 2)?, u32_le_at(bytes, 4)?, notes),
        LINKTYPE_PKTAP | LINKTYPE_USER2 => {
            // header length, record type, link type of what follows
            let size = u32_le_at(bytes, 0)? as usize;
            return wrapped(bytes, size, u32_le_at(bytes, 8)?, notes);
        }
        LINKTYPE_ETHERNET_MPACKET => Next::Frame(8),
        // a tag of the switch between the addresses and the Ethertype
        LINKTYPE_DSA => switch(bytes, 16, notes),
        LINKTYPE_EDSA => switch(bytes, 20, notes),
        LINKTYPE_BRCM => switch(bytes, 16, notes),
        LINKTYPE_BRCM_PREPEND => Next::Frame(4),
        _ => return medium::start(link_type, bytes, notes),
    })
}

/// Ethernet II, or 802.3 with LLC and SNAP.
#[inline]
pub(super) fn ethernet<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    notes.layer("eth");
    if let Some([d, s, e]) = split(bytes, at) {
        notes.addresses(Some(d), Some(s));
        if e >= 0x0600 {
            notes.layer("ethertype");
        }
        return Next::Ethertype(e as u16, at + 14);
    }
    notes.addresses(mac_at(bytes, at), mac_at(bytes, at + 6));
    Next::Cut
}

/// Destination, source and Ethertype of a frame of which the header is there.
#[inline(always)]
pub(super) fn split(bytes: &[u8], at: usize) -> Option<[u64; 3]> {
    let b: [u8; 14] = array_at(bytes, at)?;
    let word = |i: usize| {
        u64::from_be_bytes([0, 0, b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5]])
    };
    let ethertype = u16::from_be_bytes([b[12], b[13]]);
    Some([word(0), word(6), ethertype.into()])
}

/// PPP in HDLC-like framing (RFC 1662), or Cisco HDLC with its Ethertype.
pub(super) fn hdlc(bytes: &[u8], at: usize) -> Next {
    match bytes.get(at..) {
        Some([0x0f | 0x8f, _, ..]) => match u16_at(bytes, at + 2) {
            Some(ethertype) => Next::Ethertype(ethertype, at + 4),
            None => Next::Cut,
        },
        _ => Next::Ppp(at),
    }
}

/// A frame of another link type behind a header of `size` octets.
fn wrapped<N: Notes>(bytes: &[u8], size: usize, link_type: u32, notes: &mut N) -> Option<Next> {
    let link_type = u16::try_from(link_type).ok()?;
    match link_type {
        LINKTYPE_ETHERNET => Some(Next::Frame(size)),
        LINKTYPE_IEEE802_11 => Some(Next::Radio(size)),
        LINKTYPE_PPP => Some(Next::Ppp(size)),
        12 | 14 | LINKTYPE_RAW | LINKTYPE_IPV4 | LINKTYPE_IPV6 => Some(Next::Ip(size)),
        LINKTYPE_NULL | LINKTYPE_LOOP => Some(match loopback(bytes.get(size..)?) {
            Next::Ip(at) => Next::Ip(size + at),
            other => other,
        }),
        LINKTYPE_C_HDLC | LINKTYPE_PPP_HDLC => Some(hdlc(bytes, size)),
        LINKTYPE_RADIOTAP => radio::radiotap_at(bytes, size, notes),
        _ => None,
    }
}

/// IP of this version only.
fn version(bytes: &[u8], version: u8) -> Next {
    match u8_at(bytes, 0) {
        Some(first) if first >> 4 == version => Next::Ip(0),
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

fn switch<N: Notes>(bytes: &[u8], ethertype_at: usize, notes: &mut N) -> Next {
    notes.addresses(mac_at(bytes, 0), mac_at(bytes, 6));
    tags::named(bytes, ethertype_at, ethertype_at + 2, notes)
}

fn ppp_with_direction(bytes: &[u8]) -> Next {
    if bytes.is_empty() {
        return Next::Cut;
    }
    Next::Ppp(1)
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
        _ => match u16_at(bytes, 2) {
            Some(ethertype) => Next::Ethertype(ethertype, 4),
            None => Next::Cut,
        },
    }
}

/// Linux cooked capture: the protocol at `protocol_at`, the payload at `payload_at`.
fn cooked<N: Notes>(bytes: &[u8], protocol_at: usize, payload_at: usize, notes: &mut N) -> Next {
    if u8_at(bytes, payload_at - 1).is_none() {
        return Next::Cut;
    }
    match u16_at(bytes, protocol_at) {
        // LINUX_SLL_P_802_3: IPX without LLC
        Some(1) => Next::Stop,
        Some(_) => tags::named(bytes, protocol_at, payload_at, notes),
        None => Next::Cut,
    }
}

fn u16_le(bytes: &[u8], at: usize) -> Option<usize> {
    u16_at(bytes, at).map(|n| n.swap_bytes().into())
}

pub(super) const LINKTYPE_NULL: u16 = 0;
pub(super) const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_SLIP: u16 = 8;
const LINKTYPE_PPP: u16 = 9;
const LINKTYPE_PPP_HDLC: u16 = 50;
const LINKTYPE_PPP_ETHER: u16 = 51;
const LINKTYPE_RAW: u16 = 101;
const LINKTYPE_C_HDLC: u16 = 104;
const LINKTYPE_IEEE802_11: u16 = 105;
const LINKTYPE_FRELAY: u16 = 107;
const LINKTYPE_LOOP: u16 = 108;
const LINKTYPE_LINUX_SLL: u16 = 113;
const LINKTYPE_PRISM: u16 = 119;
const LINKTYPE_RADIOTAP: u16 = 127;
const LINKTYPE_USER2: u16 = 149;
const LINKTYPE_AVS: u16 = 163;
const LINKTYPE_PPP_PPPD: u16 = 166;
const LINKTYPE_PPI: u16 = 192;
const LINKTYPE_PPP_WITH_DIR: u16 = 204;
const LINKTYPE_C_HDLC_WITH_DIR: u16 = 205;
const LINKTYPE_FRELAY_WITH_DIR: u16 = 206;
const LINKTYPE_MPLS: u16 = 219;
const LINKTYPE_IPV4: u16 = 228;
const LINKTYPE_IPV6: u16 = 229;
const LINKTYPE_PKTAP: u16 = 258;
const LINKTYPE_ETHERNET_MPACKET: u16 = 274;
const LINKTYPE_LINUX_SLL2: u16 = 276;
const LINKTYPE_BRCM: u16 = 281;
const LINKTYPE_BRCM_PREPEND: u16 = 282;
const LINKTYPE_DSA: u16 = 284;
const LINKTYPE_EDSA: u16 = 285;

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
        let mut radio = vec![0x08, 0x01];
        radio.extend([0; 22]);
        radio.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        let mut radiotap = vec![0, 0, 8, 0, 0, 0, 0, 0];
        radiotap.extend(&radio);
        let mut dsa = vec![0; 16];
        dsa.extend([8, 0]);
        for (link_type, head) in [
            (0, vec![2, 0, 0, 0]),
            (0, vec![0, 0, 0, 2]),
            (0, vec![0x0f, 0, 8, 0]),
            (1, ethernet),
            (1, snap.clone()),
            (1, pppoe),
            (9, vec![0, 0x21]),
            (9, vec![0xff, 3, 0, 0x21]),
            (50, vec![0xff, 3, 0, 0x21]),
            (51, vec![0x11, 0, 0, 1, 0, 37, 0, 0x21]),
            (101, vec![]),
            (104, vec![0x0f, 0, 8, 0]),
            (105, radio),
            (107, vec![0x18, 0x41, 3, 0xcc]),
            (107, vec![0x18, 0x41, 8, 0]),
            (108, vec![0, 0, 0, 2]),
            (113, sll),
            (127, radiotap),
            (204, vec![0, 0xff, 3, 0, 0x21]),
            (219, vec![0, 1, 1, 64]),
            (228, vec![]),
            (276, sll2),
            (284, dsa),
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
