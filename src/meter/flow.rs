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
    pub tcp_flags: u16,
    /// ICMP type x 256 + code.
    pub icmp: u16,
    pub tos: u8,
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
    pub mpls: MplsStack,
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
        match p.transport {
            Transport::Tcp(t) => self.tcp_flags |= t.flags,
            Transport::Icmp { kind, code } => {
                self.icmp = u16::from(kind) << 8 | u16::from(code);
            }
            _ => {}
        }
    }

    /// The first packet since it was told.
    fn start(&mut self, p: &PacketView<'_>) {
        self.first_ns = p.time_ns;
        if !self.seen {
            self.last_ns = p.time_ns;
        }
        self.last_ns = self.last_ns.max(p.time_ns);
        (self.tos, self.ttl) = (p.tos, p.ttl);
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
    /// What the frame of a packet says.
    pub fn of(p: &PacketView<'_>) -> Self {
        let e = p.envelope;
        let vlans = e.vlans.as_slice();
        let tunnel = e.tunnels.as_slice().last().copied();
        let wrapped = tunnel.is_some() || e.mpls.positions != 0;
        Facts {
            src_mac: e.src_mac,
            dst_mac: e.dst_mac,
            vlan: vlans.first().copied(),
            inner_vlan: vlans.get(1).copied(),
            wrap: wrapped.then(|| {
                Box::new(Wrap {
                    mpls: e.mpls,
                    tunnel,
                })
            }),
        }
    }
}

/// Nowhere.
pub(super) const NO_PLACE: u32 = u32::MAX;
