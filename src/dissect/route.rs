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
/// first 256 bytes reach. `None` where there is no IP, or not as much of it.
#[inline]
pub fn route(link_type: u16, bytes: &[u8]) -> Option<RouteKey> {
    let wire = bytes.len();
    let bytes = &bytes[..wire.min(REACH)];
    let mut pair = Pair::default();
    let next = link::start(link_type, bytes, &mut pair)?;
    walk(next, bytes, wire, &mut pair);
    pair.key
}

#[derive(Default)]
struct Pair {
    key: Option<RouteKey>,
}

impl Notes for Pair {
    #[inline]
    fn packet(&mut self, header: &IpHeader, _: &Segment) -> bool {
        self.key = Some(RouteKey::of(header.src, header.dst));
        !header.is_fragment()
    }
}

/// How far into a frame is looked, bytes.
const REACH: usize = 256;
