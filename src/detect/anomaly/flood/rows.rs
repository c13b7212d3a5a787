//! Rows of exporters, and metered ones, as what they add to a destination.
//!
//! Of TCP the flags of a row say what it is of a connection. Rows without a SYN are in the midst of one, or belong to none: what
//! floods of ACK, RST and FIN are made of. The one from the other is told by what the destination does: who takes part in connections
//! sends, opens or completes some. Where only sampled packets are seen, segments that carry data are none of a flood's.

use super::super::keyed::both;
use super::super::sighting::{Burst, BurstKind, FlowSeen, Side};
use super::super::{Ctx, Hashes, reflectors};
use super::victim::{LONE, SMALL};
use super::{Ask, Flood, From, Row};

const FIN: u16 = 0x01;
const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
const ACK: u16 = 0x10;
const SYN_ACK: u16 = SYN | ACK;

/// What a row adds to where it goes and to where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It counts for both.
    Both,
    /// It is of a size or number that no flood of segments has: it shows that its source takes part in connections.
    Sent,
    /// An answer to what belongs to no connection shows nothing of its source.
    Came,
}

impl Row {
    fn of(f: &FlowSeen) -> Self {
        Row {
            proto: f.proto,
            src_port: f.src_port,
            packets: f.packets,
        }
    }
}

impl Flood {
    /// Remembers who opened a connection and reset it at once, as checks of health do; whether a row is the answer to that.
    fn is_answer_to_reset(&mut self, f: &FlowSeen, h: Hashes) -> bool {
        let flags = f.tcp_flags.unwrap_or(0) & (FIN | SYN | RST | ACK);
        const SYN_RST: u16 = SYN | RST;
        const ALL: u16 = SYN | RST | ACK;
        if f.packets > FEW_PACKETS || !matches!(flags, SYN_RST | SYN_ACK | ALL) {
            return false;
        }
        if flags == SYN_ACK {
            return self.reset.has(both(h.dst, h.src, 0));
        }
        self.reset.add(both(h.src, h.dst, 0));
        self.flows.ask(Ask {
            who: (f.src, h.src),
            what: h.dst,
            opens: true,
        });
        false
    }

    /// Counts a row of an exporter; `answered` where a row that it answers was seen.
    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes, answered: bool) {
        if f.proto == 6 && self.is_answer_to_reset(f, h) {
            return;
        }
        let Some((kind, src_port)) = h.burst else {
            return;
        };
        let is_one = kind == BurstKind::Syn || kind == BurstKind::Completed && f.interval <= 1;
        let burst = Burst {
            src: f.src,
            dst: f.dst,
            kind,
            src_port,
            dst_port: f.dst_port,
            bytes: f.est_bytes(),
            packets: match is_one {
                true => f.interval.max(1),
                false => u32::try_from(f.est_packets()).unwrap_or(u32::MAX),
            },
            first_ms: f.start_ms,
            last_ms: f.end_ms,
        };
        let from = From {
            interval: f.interval,
            shown: Some(Row::of(f)),
        };
        if kind == BurstKind::Segment {
            let part = part(f, src_port);
            // one row for each row that began a connection
            if src_port & (FIN | SYN | RST | PSH | ACK) == RST | ACK && part == Part::Came {
                let packets = f.interval.max(1);
                self.flows.refuses(ctx, &Burst { packets, ..burst }, h);
            }
            if part != Part::Sent {
                self.flows.comes(ctx, &burst, from, h);
            }
            if part != Part::Came {
                self.flows.leaves(ctx, &burst, h);
            }
            return;
        }
        self.flows.count(ctx, &burst, from, h);
        // the question may be older than what is known of who asks
        if answered
            && src_port != 0
            && let Some(v) = self.flows.hosts.find_at(h.dst, &f.dst)
        {
            v.asks(both(h.src, 0, f.src_port.into()), false);
        }
    }

    /// Counts a metered row of TCP that begins in the middle and ends there: of a connection that never was.
    pub fn stray(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes) {
        let flags = f.tcp_flags.unwrap_or(0);
        if f.side != Side::Initiator || flags & SYN != 0 || f.packets > 2 || f.back_packets > 1 {
            return;
        }
        let burst = Burst {
            src: f.src,
            dst: f.dst,
            kind: BurstKind::Other,
            src_port: 0,
            dst_port: f.dst_port,
            bytes: f.bytes,
            packets: u32::try_from(f.packets).unwrap_or(u32::MAX),
            first_ms: f.start_ms,
            last_ms: f.end_ms,
        };
        let from = From {
            interval: 1,
            shown: Some(Row::of(f)),
        };
        self.flows.count(ctx, &burst, from, h);
    }
}

/// What a row of an exporter is made of, with its source port where that is of a service that reflects, of sampled or lone segments with their flags, of SYN
/// whether it was sent again; `None` where it says nothing.
#[inline]
pub(in super::super) fn burst(f: &FlowSeen) -> Option<(BurstKind, u16)> {
    let service = |port: u16| match reflectors::is_reflector(port) {
        true => port,
        false => 0,
    };
    Some(match (f.proto, f.tcp_flags) {
        (6, Some(flags)) => match flags & (FIN | SYN | RST | ACK) {
            SYN => (BurstKind::Syn, u16::from(f.packets > 1)),
            // a SYN-ACK that nobody went on with; of one packet it is no connection that was opened
            SYN_ACK if f.packets == 1 || f.packets <= 3 && f.src_port < f.dst_port => {
                (BurstKind::SynAck, f.src_port)
            }
            flags if flags & SYN_ACK == SYN_ACK && f.dst_port < f.src_port => {
                (BurstKind::Completed, 0)
            }
            // of a sampled connection any segment may be what was seen: who acknowledges was answered
            flags if flags & (RST | ACK) == ACK && f.interval > 1 && f.dst_port < f.src_port => {
                (BurstKind::Completed, f.tcp_flags.unwrap_or(0) & 0x3f)
            }
            rest if rest & SYN == 0 => (BurstKind::Segment, flags & 0x3f),
            _ => return None,
        },
        (17, _) => (BurstKind::Udp, service(f.src_port)),
        (1 | 58, _) => (BurstKind::Icmp, 0),
        (6, None) => return None,
        _ => (BurstKind::Other, 0),
    })
}

/// What a row without a SYN counts for.
fn part(f: &FlowSeen, flags: u16) -> Part {
    let is_small = f.bytes <= f.packets.saturating_mul(SMALL);
    let is_lone = f.packets <= LONE && f.interval <= 1;
    match flags {
        _ if !is_lone && (!is_small || flags & PSH != 0) => Part::Sent,
        flags if flags & RST != 0 => Part::Came,
        _ => Part::Both,
    }
}

const FEW_PACKETS: u64 = 4;
