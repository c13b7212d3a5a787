//! Tags between link and network: VLAN, MPLS, PPPoE, SNAP.

use super::wire::{u8_at, u16_at, u32_at};
use super::{HeaderView, Next};
use etherparse::ether_type as number;

/// Ethertype of PPPoE sessions (RFC 2516 section 4).
pub(super) const PPPOE_SESSION: u16 = 0x8864;

/// Follows an Ethertype.
pub(super) fn ethertype(ethertype: u16, bytes: &[u8], at: usize, view: &mut HeaderView) -> Next {
    if is_vlan(ethertype) {
        let Some(tag) = u16_at(bytes, at) else {
            return Next::Cut;
        };
        view.vlans.push(tag & 0x0fff);
        return match u16_at(bytes, at + 2) {
            Some(inner) => Next::Ethertype(inner, at + 4),
            None => Next::Cut,
        };
    }
    view.ethertype.get_or_insert(ethertype);
    match ethertype {
        IPV4 | IPV6 => Next::Ip(at),
        MPLS | MPLS_MULTICAST => Next::Mpls(at),
        // version, type, code, session and length stand before the protocol
        PPPOE_SESSION => Next::Ppp(at + 6),
        length if length < ETHERTYPE_MIN => snap(bytes, at),
        _ => Next::Stop,
    }
}

/// Follows a label stack (RFC 3032 section 2.1) to its bottom.
pub(super) fn mpls(bytes: &[u8], at: usize, view: &mut HeaderView) -> Next {
    for (position, at) in (at..).step_by(4).enumerate() {
        let Some(entry) = u32_at(bytes, at) else {
            return Next::Cut;
        };
        if let Some(slot) = view.mpls.entries.get_mut(position) {
            *slot = entry >> 8;
            view.mpls.positions |= 1 << position;
        }
        if entry & 0x100 != 0 {
            return match u8_at(bytes, at + 4).map(|b| b >> 4) {
                Some(4 | 6) => Next::Ip(at + 4),
                // a pseudowire: its payload is another frame, with or without a control word (RFC 4385)
                Some(_) => Next::Stop,
                None => Next::Cut,
            };
        }
    }
    Next::Stop
}

/// Follows a PPP protocol number.
pub(super) fn ppp(bytes: &[u8], at: usize) -> Next {
    match (u8_at(bytes, at), u16_at(bytes, at)) {
        (_, Some(0x0021 | 0x0057)) => Next::Ip(at + 2),
        (_, Some(0x0281 | 0x0283)) => Next::Mpls(at + 2),
        // compressed to one octet (RFC 1661 section 6.5)
        (Some(0x21 | 0x57), _) => Next::Ip(at + 1),
        (_, None) => Next::Cut,
        _ => Next::Stop,
    }
}

/// LLC with a SNAP header of organisation 0 carries an Ethertype.
fn snap(bytes: &[u8], at: usize) -> Next {
    match bytes.get(at..) {
        Some([0xaa, 0xaa, 0x03, 0, 0, 0, a, b, ..]) => {
            Next::Ethertype(u16::from_be_bytes([*a, *b]), at + 8)
        }
        _ => Next::Stop,
    }
}

fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, VLAN | VLAN_PROVIDER | 0x9100 | 0x9200 | 0x9300)
}

const ETHERTYPE_MIN: u16 = 0x0600;
const IPV4: u16 = number::IPV4.0;
const IPV6: u16 = number::IPV6.0;
const VLAN: u16 = number::VLAN_TAGGED_FRAME.0;
const VLAN_PROVIDER: u16 = number::PROVIDER_BRIDGING.0;
const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
