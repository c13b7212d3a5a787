//! What is kept of a conversation: little, in as few cache lines as there is room for.

use super::key::FlowKey;
use super::wheel::{Link, Linked};
use crate::model::{MplsStack, PacketView, Transport, Tunnel};
use crate::reassemble::app::{Ends, Talk};

/// A conversation. Half 0 is the side that began. The fields lie so that a packet touches few cache lines: what finds it and
/// where it stands, the halves, the rest.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Flow {
    pub key: FlowKey,
    pub hash: u32,
    /// Place of its TCP state, or [`NO_PLACE`].
    pub tcp: u32,
    /// Place of what is measured of its media, or [`NO_PLACE`].
    pub media: u32,
    pub stage: Stage,
    /// Whether half 0 is `low` of the key.
    pub low_began: bool,
    /// Whether the direction from `low`, or that from `high`, comes in `tied_scope` while the other one comes in that of the key.
    pub tied: Option<bool>,
    pub tied_scope: u32,
    pub halves: [Half; 2],
    link: Link,
    /// What it says.
    pub talk: Talk,
    /// Time of its first packet, nanoseconds.
    pub began_ns: i64,
}

const _: () = assert!(size_of::<Flow>() == 256);

/// How far a conversation came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// One side alone, or a handshake that is not through: it may be a flood.
    #[default]
    Doubtful,
    /// Both sides took part.
    Established,
    /// TCP closed or reset.
    Closed,
}

/// One direction since it was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Half {
    pub bytes: u64,
    pub packets: u64,
    pub first_ns: i64,
    pub last_ns: i64,
    /// Packets marked congestion experienced.
    pub ce_marks: u32,
    pub interface: u32,
    pub flow_label: u32,
    /// By how many bytes its DSCP leads.
    lead: u32,
    pub tcp_flags: u16,
    /// ICMP type x 256 + code.
    pub icmp: u16,
    /// Traffic class octet of the leading DSCP.
    tos: u8,
    /// A bit for each ECN codepoint that was seen.
    ecn: u8,
    pub ttl: u8,
    /// Whether any packet was ever seen.
    pub seen: bool,
}

/// What rows have of the frames that carried a direction: of its first packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub src_mac: Option<u64>,
    pub dst_mac: Option<u64>,
    pub vlan: Option<u16>,
    pub inner_vlan: Option<u16>,
    /// Rare, so it lies elsewhere.
    pub wrap: Option<Box<Wrap>>,
}

/// Labels and tunnels.
#[derive(Clone, Debug, Default)]
pub(super) struct Wrap {
    /// Longer than a tunnel, which seldom comes with labels.
    pub mpls: Option<Box<MplsStack>>,
    pub tunnel: Option<Tunnel>,
}

impl Flow {
    /// A conversation that begins with a packet.
    pub fn new(key: FlowKey, hash: u32, low_began: bool, began_ns: i64) -> Self {
        Flow {
            key,
            hash,
            low_began,
            began_ns,
            tcp: NO_PLACE,
            media: NO_PLACE,
            ..Default::default()
        }
    }

    /// Whether packets of this key are its own, of either direction.
    #[inline]
    pub fn has(&self, key: &FlowKey) -> bool {
        self.key == *key
            || self.tied.is_some()
                && self.tied_scope == key.scope
                && self.key.within(key.scope) == *key
    }

    /// Which half sends what comes from the lower endpoint, or from the higher one.
    #[inline]
    pub fn half(&self, from_low: bool) -> usize {
        usize::from(self.low_began != from_low)
    }

    /// Who speaks.
    pub fn ends(&self) -> Ends {
        let key = &self.key;
        let (ports, addrs) = match self.low_began {
            true => ([key.low_port, key.high_port], [key.low, key.high]),
            false => ([key.high_port, key.low_port], [key.high, key.low]),
        };
        Ends {
            proto: key.proto,
            addrs,
            ports,
        }
    }

    /// Time of the last packet.
    pub fn last_ns(&self) -> i64 {
        let [a, b] = &self.halves;
        match (a.seen, b.seen) {
            (true, true) => a.last_ns.max(b.last_ns),
            (true, false) => a.last_ns,
            _ => b.last_ns,
        }
    }

    /// Time of the first packet that was not told yet.
    pub fn pending_ns(&self) -> Option<i64> {
        let untold = self.halves.iter().filter(|h| h.packets > 0);
        untold.map(|h| h.first_ns).min()
    }
}

impl Linked for Flow {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Half {
    /// Counts a packet.
    #[inline]
    pub fn add(&mut self, p: &PacketView<'_>) {
        if self.packets == 0 {
            self.start(p);
        }
        self.bytes += u64::from(p.ip_len);
        self.packets += u64::from(p.frames.max(1));
        self.first_ns = self.first_ns.min(p.time_ns);
        self.last_ns = self.last_ns.max(p.time_ns);
        self.ce_marks += u32::from(p.tos & 3 == 3);
        self.mark(p.tos, p.ip_len);
        match p.transport {
            Transport::Tcp(t) => self.tcp_flags |= t.flags,
            Transport::Icmp { kind, code } => {
                self.icmp = u16::from(kind) << 8 | u16::from(code);
            }
            _ => {}
        }
    }

    /// Takes in the marks of a packet: the DSCP that has more than half of the bytes, if any has, leads in the end (the
    /// majority vote of Boyer and Moore), so two fields are enough whatever the marks.
    #[inline]
    fn mark(&mut self, tos: u8, len: u32) {
        self.ecn |= 1 << (tos & 3);
        if (tos ^ self.tos) & DSCP == 0 {
            self.lead = self.lead.saturating_add(len);
        } else if let Some(left) = self.lead.checked_sub(len) {
            self.lead = left;
        } else {
            (self.tos, self.lead) = (tos, len - self.lead);
        }
    }

    /// The traffic class octet that stands for a direction: the leading DSCP, and as ECN what its transport is capable of.
    /// Handshakes, bare acknowledgements and what is sent again carry none (RFC 3168 section 6.1), so one packet with ECT is
    /// enough; CE stands where all that was marked came as CE.
    pub fn tos(&self) -> u8 {
        let ecn = [2, 1, 3].into_iter().find(|ecn| self.ecn >> ecn & 1 != 0);
        self.tos & DSCP | ecn.unwrap_or(0)
    }

    /// The first packet since it was told.
    fn start(&mut self, p: &PacketView<'_>) {
        self.first_ns = p.time_ns;
        if !self.seen {
            self.last_ns = p.time_ns;
        }
        self.last_ns = self.last_ns.max(p.time_ns);
        self.ttl = p.ttl;
        (self.interface, self.flow_label) = (p.interface, p.flow_label);
        self.seen = true;
    }

    /// It was told: counters start from nothing.
    pub fn told(&mut self) {
        *self = Half {
            last_ns: self.last_ns,
            seen: self.seen,
            ..Default::default()
        };
    }
}

impl Facts {
    /// Bytes that it takes at most elsewhere, with what an allocator adds.
    pub const ELSEWHERE_MAX: usize = size_of::<Wrap>() + size_of::<MplsStack>() + 2 * 16;

    /// What the frame of a packet says.
    pub fn of(p: &PacketView<'_>) -> Self {
        let e = p.envelope;
        // a tag of 0 says a priority and no VLAN
        let mut vlans = e.vlans.as_slice().iter().filter(|v| **v != 0).copied();
        let tunnel = e.tunnels.as_slice().last().copied();
        let labelled = e.mpls.positions != 0;
        let wrapped = tunnel.is_some() || labelled;
        Facts {
            src_mac: e.src_mac,
            dst_mac: e.dst_mac,
            vlan: vlans.next(),
            inner_vlan: vlans.next(),
            wrap: wrapped.then(|| {
                Box::new(Wrap {
                    mpls: labelled.then(|| Box::new(e.mpls)),
                    tunnel,
                })
            }),
        }
    }
}

/// The bits of a traffic class octet that are its DSCP (RFC 2474 section 3).
const DSCP: u8 = 0xfc;
/// Nowhere.
pub(super) const NO_PLACE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    fn tos_of(packets: &[(u8, usize)]) -> u8 {
        let mut half = Half::default();
        for (tos, payload) in packets {
            let mut s = Sample::udp(&vec![0; *payload]);
            s.tos = *tos;
            half.add(&s.view(false));
        }
        half.tos()
    }

    #[test]
    fn the_marks_of_a_row_are_those_of_most_of_its_bytes() {
        const EF: u8 = 0xb8;
        assert_eq!(tos_of(&[(0, 10)]), 0);
        // a handshake without marks, then data with them
        assert_eq!(
            tos_of(&[(0, 10), (0, 10), (EF | 2, 900), (EF | 2, 900)]),
            EF | 2
        );
        assert_eq!(tos_of(&[(EF, 900), (0, 10), (0, 10), (0, 10)]), EF);
        assert_eq!(tos_of(&[(EF, 40), (8, 10), (0, 300), (EF, 40), (0, 90)]), 0);
    }

    #[test]
    fn the_congestion_bits_of_a_row_are_what_its_transport_is_capable_of() {
        assert_eq!(tos_of(&[(0, 0), (1, 1), (0, 900)]), 1);
        assert_eq!(tos_of(&[(2, 1), (3, 900), (3, 900)]), 2);
        assert_eq!(tos_of(&[(3, 1), (0, 900)]), 3);
    }
}
