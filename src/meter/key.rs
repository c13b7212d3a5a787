//! Whose packet it is: the key that both directions of a conversation share.

use crate::model::{Addr, Glance, PacketView, Transport, mix64, vlan_scope};
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
    /// What the side that was seen first is wrapped in ([`crate::model::Envelope::scope`]); 0 for nothing.
    pub scope: u32,
    pub proto: u8,
}

/// A packet on its way: whose it is, whether its source is the lower endpoint, and the hash of its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub key: FlowKey,
    pub is_low: bool,
    pub hash: u64,
}

impl FlowKey {
    /// The key of a packet, and whether its source is the lower endpoint.
    #[inline]
    pub fn of(p: &PacketView<'_>) -> (Self, bool) {
        let (src_port, dst_port) = p.ports();
        let scope = p.envelope.scope();
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
        Self::between(src, dst, g.proto, vlan_scope(g.vlans())).0
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

    /// Its hash where what the packets are wrapped in does not matter.
    pub fn bare_hash(&self, state: &impl BuildHasher) -> u64 {
        self.within(0).hash(state)
    }

    /// The same, wrapped in something else.
    #[inline]
    pub fn within(&self, scope: u32) -> Self {
        FlowKey { scope, ..*self }
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
        words
            .into_iter()
            .fold(0, |id, word| mix64(id ^ word))
            .max(1)
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

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use crate::model::{Tunnel, TunnelKind};

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
        let mut keys = vec![FlowKey::of(&s.view(false)).0];
        // a priority tag and a reserved label name no network
        s.envelope.vlans.push(0);
        (s.envelope.mpls.entries[0], s.envelope.mpls.positions) = (1, 1);
        assert_eq!(FlowKey::of(&s.view(false)).0, keys[0]);
        for (vlan, label, tunnel) in [
            (7, 0, None),
            (0, 100, None),
            (0, 0, Some((TunnelKind::Gtp, 9, 1))),
            (0, 0, Some((TunnelKind::Gtp, 8, 1))),
            (0, 0, Some((TunnelKind::Vxlan, 9, 1))),
            (0, 0, Some((TunnelKind::IpIp, 0, 1))),
            (0, 0, Some((TunnelKind::IpIp, 0, 2))),
        ] {
            s.envelope = Default::default();
            s.envelope.vlans.push(vlan);
            (s.envelope.mpls.entries[0], s.envelope.mpls.positions) = (label << 4, 1);
            if let Some((kind, id, end)) = tunnel {
                let [src, dst] = [Addr::from_v4([1, 1, 1, end]), Addr::from_v4([9; 4])];
                s.envelope.tunnels.push(Tunnel { kind, id, src, dst });
                let there = FlowKey::of(&s.view(false)).0;
                s.envelope.tunnels.clear();
                let (src, dst) = (dst, src);
                s.envelope.tunnels.push(Tunnel { kind, id, src, dst });
                assert_eq!(FlowKey::of(&s.view(true)).0, there, "both ways");
            }
            keys.push(FlowKey::of(&s.view(false)).0);
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 8);
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
