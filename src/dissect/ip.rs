//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use super::wire::{array_at, u8_at, u16_at, u32_at};
use super::{Fragment, HeaderView, transport};
use crate::model::Addr;
use etherparse::ip_number as number;

/// Reads the IP header at `at` and what it carries.
pub(super) fn ip(bytes: &[u8], at: usize, view: &mut HeaderView) {
    let Some(first) = u8_at(bytes, at) else {
        view.cut = true;
        return;
    };
    match first >> 4 {
        4 => v4(bytes, at, usize::from(first & 0x0f) * 4, view),
        6 => v6(bytes, at, view),
        _ => {}
    }
}

fn v4(bytes: &[u8], at: usize, header: usize, view: &mut HeaderView) {
    if header < 20 {
        return;
    }
    view.network_at = Some(at);
    view.ip_version = Some(4);
    view.tos = u8_at(bytes, at + 1);
    view.ip_len = u16_at(bytes, at + 2).map(u32::from);
    view.ttl = u8_at(bytes, at + 8);
    view.proto = u8_at(bytes, at + 9);
    view.src_addr = array_at(bytes, at + 12).map(Addr::from_v4);
    view.dst_addr = array_at(bytes, at + 16).map(Addr::from_v4);
    view.fragment = u16_at(bytes, at + 4)
        .zip(u16_at(bytes, at + 6))
        .map(|(id, word)| Fragment {
            id: id.into(),
            offset: u32::from(word & 0x1fff) * 8,
            more: word & 0x2000 != 0,
        });
    // a length of 0 is what segmentation offload leaves: the packet reaches as far as the bytes do
    view.end = match view.ip_len {
        Some(len) if len as usize >= header => bytes.len().min(at + len as usize),
        _ => bytes.len(),
    };
    let Some(proto) = view.proto.filter(|_| view.dst_addr.is_some()) else {
        view.cut = true;
        return;
    };
    payload(bytes, at + header, proto, view);
}

fn v6(bytes: &[u8], at: usize, view: &mut HeaderView) {
    view.network_at = Some(at);
    view.ip_version = Some(6);
    if let Some(word) = u32_at(bytes, at) {
        view.tos = Some((word >> 20) as u8);
        view.flow_label = Some(word & 0x000f_ffff);
    }
    view.ip_len = u16_at(bytes, at + 4).map(|n| u32::from(n) + 40);
    view.ttl = u8_at(bytes, at + 7);
    view.src_addr = array_at(bytes, at + 8).map(Addr::from_v6);
    view.dst_addr = array_at(bytes, at + 24).map(Addr::from_v6);
    view.end = match view.ip_len {
        // a payload of 0 is a jumbogram (RFC 2675) or segmentation offload
        Some(len) if len > 40 => bytes.len().min(at + len as usize),
        _ => bytes.len(),
    };
    let Some(next) = u8_at(bytes, at + 6).filter(|_| view.dst_addr.is_some()) else {
        view.cut = true;
        return;
    };
    extensions(bytes, at + 40, next, view);
}

/// Walks the chain of extension headers; each is at least eight bytes long, so the walk ends.
fn extensions(bytes: &[u8], mut at: usize, mut next: u8, view: &mut HeaderView) {
    while is_extension(next) {
        let header = bytes.get(at..view.end).unwrap_or_default();
        let (Some(following), Some(length)) = (u8_at(header, 0), u8_at(header, 1)) else {
            view.cut = true;
            return;
        };
        let size = match next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        if next == FRAGMENT {
            let (Some(word), Some(id)) = (u16_at(header, 2), u32_at(header, 4)) else {
                view.cut = true;
                return;
            };
            view.fragment = Some(Fragment {
                id,
                offset: u32::from(word & 0xfff8),
                more: word & 1 != 0,
            });
        }
        at += size;
        next = following;
        if view.fragment.is_some_and(|f| f.offset != 0) {
            break;
        }
    }
    view.proto = Some(next);
    payload(bytes, at, next, view);
}

fn payload(bytes: &[u8], at: usize, proto: u8, view: &mut HeaderView) {
    view.transport_at = Some(at.min(view.end));
    if view.fragment.is_some_and(|f| f.offset != 0) {
        return;
    }
    transport::ports(bytes.get(..view.end).unwrap_or(bytes), at, proto, view);
}

fn is_extension(proto: u8) -> bool {
    matches!(
        proto,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
    )
}

const HOP_BY_HOP: u8 = number::IPV6_HEADER_HOP_BY_HOP.0;
const ROUTING: u8 = number::IPV6_ROUTE_HEADER.0;
const FRAGMENT: u8 = number::IPV6_FRAGMENTATION_HEADER.0;
const AUTHENTICATION: u8 = number::AUTHENTICATION_HEADER.0;
const DESTINATION: u8 = number::IPV6_DESTINATION_OPTIONS.0;

#[cfg(test)]
mod tests {
    use super::super::sampled_header;

    /// A hop-by-hop header, a routing header and a fragment header before UDP.
    fn chain(offset: u16) -> Vec<u8> {
        let mut b = vec![0x6a, 0xb1, 0x23, 0x45, 0, 32, 0, 3];
        b.extend([1; 16]);
        b.extend([2; 16]);
        b.extend([43, 0, 1, 4, 0, 0, 0, 0]);
        b.extend([44, 0, 0, 0, 0, 0, 0, 0]);
        b.extend([17, 0]);
        b.extend((offset | 1).to_be_bytes());
        b.extend([0, 0, 0, 7]);
        b.extend([0, 53, 0, 54, 0, 8, 0, 0]);
        b
    }

    #[test]
    fn extension_headers_are_walked() {
        let v = sampled_header(12, &chain(0));
        assert_eq!(v.proto, Some(17));
        assert_eq!((v.src_port, v.dst_port), (Some(53), Some(54)));
        assert_eq!((v.tos, v.flow_label), (Some(0xab), Some(0x12345)));
        assert!(v.is_fragment());
        let later = sampled_header(12, &chain(64));
        assert_eq!((later.proto, later.src_port), (Some(17), None));
        assert_eq!(later.fragment.map(|f| f.offset), Some(64));
        for n in 0..chain(0).len() {
            let v = sampled_header(12, &chain(0)[..n]);
            assert_eq!(v.cut, n < 68, "at {n}");
            assert!(v.proto.is_none() || n >= 64);
        }
    }

    #[test]
    fn a_header_length_below_five_words_is_no_header() {
        let v = sampled_header(11, &[0x44; 40]);
        assert_eq!((v.ip_version, v.src_addr), (None, None));
    }
}
