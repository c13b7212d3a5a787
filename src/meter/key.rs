//! Whose packet it is: the key that both directions of a conversation share.

use crate::model::{Addr, Glance, PacketView, Transport, Tunnel, TunnelKind};
use std::hash::{BuildHasher, Hasher};

/// Two endpoints in order, the protocol, and what keeps equal addresses of different networks apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FlowKey {
    pub low: Addr,
    pub high: Addr,
    /// Port of `low`; of ICMP what both directions share: the type of the request, or type and code.
    pub low_port: u16,
    /// Port of `high`; of ICMP the identifier.
    pub high_port: u16,
    /// VLANs and virtual networks; 0 where there are none.
    pub scope: u32,
    pub proto: u8,
}

impl FlowKey {
    /// The key of a packet, and whether its source is the lower endpoint.
    #[inline]
    pub fn of(p: &PacketView<'_>) -> (Self, bool) {
        let (src_port, dst_port) = p.ports();
        let e = p.envelope;
        let scope = scope(e.vlans.as_slice(), e.tunnels.as_slice());
        let (mut key, is_low) = Self::between((p.src, src_port), (p.dst, dst_port), p.proto, scope);
        if let Transport::Icmp { kind, code } = p.transport {
            (key.low_port, key.high_port) = icmp(p, kind, code);
        }
        (key, is_low)
    }

    /// The key that a packet probably has.
    #[inline]
    pub fn probably(g: &Glance) -> Self {
        let (src, dst) = ((g.src, g.src_port), (g.dst, g.dst_port));
        Self::between(src, dst, g.proto, scope(g.vlans(), &[])).0
    }

    /// The key between two endpoints, and whether the first is the lower one.
    #[inline]
    fn between(src: (Addr, u16), dst: (Addr, u16), proto: u8, scope: u32) -> (Self, bool) {
        // numbers are compared in fewer steps than octets
        let number = |end: (Addr, u16)| (u128::from_be_bytes(end.0.0), end.1);
        let is_low = number(src) <= number(dst);
        let ((low, low_port), (high, high_port)) = if is_low { (src, dst) } else { (dst, src) };
        let key = FlowKey {
            low,
            high,
            low_port,
            high_port,
            scope,
            proto,
        };
        (key, is_low)
    }

    /// Its hash by `state`.
    #[inline]
    pub fn hash(&self, state: &impl BuildHasher) -> u64 {
        let mut hasher = state.build_hasher();
        hasher.write_u128(u128::from_ne_bytes(self.low.0));
        hasher.write_u128(u128::from_ne_bytes(self.high.0));
        hasher.write_u64(self.ports_and_proto());
        hasher.write_u32(self.scope);
        hasher.finish()
    }

    /// An id of the conversation that began then: the same wherever and whenever it is computed, and not 0.
    pub fn conversation(&self, began_ns: i64) -> u64 {
        let [low, high] = [self.low, self.high].map(|a| u128::from_be_bytes(a.0));
        let words = [
            (low >> 64) as u64,
            low as u64,
            (high >> 64) as u64,
            high as u64,
            self.ports_and_proto(),
            u64::from(self.scope),
            began_ns as u64,
        ];
        words.into_iter().fold(0, |id, word| mix(id ^ word)).max(1)
    }

    /// Its bytes, in the order of its comparison.
    pub fn bytes(&self) -> [u8; 41] {
        let mut bytes = [0; 41];
        bytes[..16].copy_from_slice(&self.low.0);
        bytes[16..32].copy_from_slice(&self.high.0);
        bytes[32..34].copy_from_slice(&self.low_port.to_be_bytes());
        bytes[34..36].copy_from_slice(&self.high_port.to_be_bytes());
        bytes[36..40].copy_from_slice(&self.scope.to_be_bytes());
        bytes[40] = self.proto;
        bytes
    }

    fn ports_and_proto(&self) -> u64 {
        u64::from(self.low_port) << 32 | u64::from(self.high_port) << 8 | u64::from(self.proto)
    }
}

/// What both directions of an ICMP exchange share: the type of the request and the identifier; of all else type and code.
fn icmp(p: &PacketView<'_>, kind: u8, code: u8) -> (u16, u16) {
    let request = match (p.version, kind) {
        // echo, timestamp, information and address mask (RFC 792, RFC 950)
        (4, 8 | 0) => Some(8),
        (4, 13 | 14) => Some(13),
        (4, 15 | 16) => Some(15),
        (4, 17 | 18) => Some(17),
        // echo (RFC 4443)
        (6, 128 | 129) => Some(128),
        _ => None,
    };
    match (request, p.segment().get(4..6)) {
        (Some(request), Some(id)) => (request, u16::from_be_bytes([id[0], id[1]])),
        (Some(request), None) => (request, 0),
        (None, _) => (u16::from(kind) << 8 | u16::from(code), 0),
    }
}

/// The networks that a packet was seen in, as a number. Only ids that both directions share count: the TEID of GTP is
/// another one each way.
#[inline]
fn scope(vlans: &[u16], tunnels: &[Tunnel]) -> u32 {
    if vlans.is_empty() && tunnels.is_empty() {
        return 0;
    }
    let shared = |k: TunnelKind| matches!(k, TunnelKind::Vxlan | TunnelKind::Geneve);
    let tunnels = tunnels
        .iter()
        .filter(|t| shared(t.kind))
        .map(|t| u64::from(t.kind as u8) << 32 | u64::from(t.id));
    let vlans = vlans.iter().map(|v| u64::from(*v) << 48 | 1);
    let mixed = vlans.chain(tunnels).fold(0, |all, one| mix(all ^ one));
    (mixed >> 32) as u32
}

/// A finisher of 64 bits that loses nothing (splitmix64, Steele et al. 2014).
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    #[test]
    fn both_directions_share_a_key() {
        let s = Sample::tcp();
        let (there, back) = (s.view(false), s.view(true));
        let ((a, a_low), (b, b_low)) = (FlowKey::of(&there), FlowKey::of(&back));
        assert_eq!(a, b);
        assert!(a_low != b_low);
        assert_eq!(a.conversation(5), b.conversation(5));
        assert_ne!(a.conversation(5), a.conversation(6));
    }

    #[test]
    fn echo_and_its_reply_are_one_and_an_error_is_another() {
        let ping = |kind: u8, id: u8, back: bool| {
            let mut s = Sample::icmp(kind, 0);
            s.bytes = vec![kind, 0, 0, 0, 0, id, 0, 1];
            FlowKey::of(&s.view(back)).0
        };
        assert_eq!(ping(8, 7, false), ping(0, 7, true));
        assert_ne!(ping(8, 7, false), ping(8, 9, false));
        assert_ne!(ping(8, 7, false), ping(3, 7, false));
    }

    #[test]
    fn networks_keep_equal_addresses_apart() {
        let mut s = Sample::tcp();
        let plain = FlowKey::of(&s.view(false)).0;
        s.envelope.vlans.push(7);
        let seven = FlowKey::of(&s.view(false)).0;
        s.envelope.vlans.clear();
        s.envelope.tunnels.push(crate::model::Tunnel {
            kind: TunnelKind::Gtp,
            id: 9,
            ..Default::default()
        });
        let gtp = FlowKey::of(&s.view(false)).0;
        s.envelope.tunnels.clear();
        s.envelope.tunnels.push(crate::model::Tunnel {
            kind: TunnelKind::Vxlan,
            id: 9,
            ..Default::default()
        });
        let vxlan = FlowKey::of(&s.view(false)).0;
        assert!(plain != seven && plain != vxlan && seven != vxlan);
        assert_eq!(gtp, plain, "the TEID of GTP is another one each way");
    }

    #[test]
    fn bytes_are_ordered_as_keys_are() {
        let key = |low: u8, port: u16, proto: u8| FlowKey {
            low: Addr::from_v4([10, 0, 0, low]),
            low_port: port,
            proto,
            ..Default::default()
        };
        let mut keys = [key(2, 1, 6), key(1, 300, 6), key(1, 4, 17), key(1, 4, 6)];
        keys.sort_unstable();
        assert!(keys.windows(2).all(|k| k[0].bytes() < k[1].bytes()));
    }
}
