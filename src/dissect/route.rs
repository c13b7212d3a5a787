//! Which shard a frame belongs to.

use super::ip::IpHeader;
use super::link;
use super::transport::Segment;
use super::walk::{Notes, walk};
use crate::model::Addr;

/// The unordered address pair that a frame is routed by: both directions of a conversation, and all fragments of a
/// packet, have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// The lower of the two.
    pub low: Addr,
    /// The higher.
    pub high: Addr,
}

impl RouteKey {
    /// The key of two addresses in any order.
    #[inline]
    pub fn of(a: Addr, b: Addr) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        RouteKey { low, high }
    }
}

/// The addresses of the outermost IP header; where that is a tunnel and no fragment, those of the innermost header that the
/// first 256 bytes reach. `None` where there is no IP, or not as much of it: there is no packet for the dissector, either.
#[inline]
pub fn route(link_type: u16, bytes: &[u8]) -> Option<RouteKey> {
    let mut pair = Pair::default();
    let next = link::start(link_type, bytes, &mut pair)?;
    walk(next, bytes, bytes.len(), &mut pair);
    pair.key
}

#[derive(Default)]
struct Pair {
    key: Option<RouteKey>,
}

impl Notes for Pair {
    #[inline]
    fn packet(&mut self, header: &IpHeader, _: &Segment) -> bool {
        // the outermost one may lie behind a long header of the link
        let reached = self.key.is_none() || header.at + header.size <= REACH;
        if reached {
            self.key = Some(RouteKey::of(header.src, header.dst));
        }
        reached && !header.is_fragment()
    }
}

/// How far into a frame tunnels are entered, bytes.
const REACH: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::{Dissected, Dissector, FrameHead, Settings};
    use super::*;
    use etherparse::PacketBuilder;

    fn packet(src: u8, dst: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        let done = PacketBuilder::ipv4([10, 0, 0, src], [10, 0, 0, dst], 9)
            .udp(40_000, 4789)
            .write(&mut bytes, payload);
        assert!(done.is_ok());
        bytes
    }

    fn key(a: u8, b: u8) -> Option<RouteKey> {
        let of = |n| Addr::from_v4([10, 0, 0, n]);
        Some(RouteKey::of(of(a), of(b)))
    }

    /// LINKTYPE_PFLOG: the first octet says how long the header is (found by fuzzing).
    #[test]
    fn a_packet_behind_a_long_header_of_the_link_has_a_key() {
        let mut frame = vec![0; 256];
        (frame[0], frame[1]) = (0xfd, 2);
        frame.extend(packet(2, 1, b"x"));
        let head = FrameHead {
            link_type: 117,
            wire_len: frame.len() as u32,
            ..Default::default()
        };
        let mut dissector = Dissector::new(&Settings::default());
        assert!(matches!(dissector.frame(head, &frame), Dissected::Ip(_)));
        assert_eq!(route(117, &frame), key(1, 2));
    }

    #[test]
    fn tunnels_are_entered_as_far_as_they_reach() {
        let vxlan = |inner: &[u8]| {
            let head = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &[0; 12], &[8, 0]].concat();
            packet(1, 2, &[&head, inner].concat())
        };
        assert_eq!(route(101, &vxlan(&packet(3, 4, b"x"))), key(3, 4));
        let mut frame = vec![0; 256];
        (frame[0], frame[1]) = (0xfd, 2);
        frame.extend(vxlan(&packet(3, 4, b"x")));
        assert_eq!(route(117, &frame), key(1, 2));
    }
}
