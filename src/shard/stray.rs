//! Packets whose conversations may be another shard's.

use super::capture::head_of;
use crate::dissect::{Dissected, Dissector, FrameHead};
use crate::model::{Addr, Envelope, PacketView};
use crate::reassemble::fragment::Gathered;

/// A packet whose conversation may be another shard's: one that fragments gave and that turned out to be a tunnel, one that
/// came behind another one in a frame, or one that is a tunnel itself, for rules alone.
#[derive(Debug)]
pub struct Stray {
    pub(super) head: FrameHead,
    /// What fragments were wrapped in, and how many there were with how many bytes; of a frame in an aggregate nothing.
    pub(super) joined: Option<(Envelope, (u32, u32))>,
    /// Of a tunnel, by how many others it is wrapped.
    pub(super) around: Option<usize>,
    pub(super) bytes: Vec<u8>,
    pub(super) ends: (Addr, Addr),
}

impl Stray {
    /// The addresses of the packet inside, in order.
    pub fn ends(&self) -> (Addr, Addr) {
        self.ends
    }
}

/// The packets that carry one: rules see them, too. Their conversations go by their own addresses.
#[inline]
pub(super) fn tunnels(
    again: &mut Dissector,
    strays: &mut Vec<Stray>,
    head: FrameHead,
    bytes: &[u8],
    inner: &PacketView<'_>,
) {
    if inner.envelope.tunnels.as_slice().is_empty() {
        return;
    }
    let mut at = inner.network_at;
    for around in (0..inner.envelope.tunnels.as_slice().len()).rev() {
        let Dissected::Ip(packet) = again.around(around, head, bytes) else {
            continue;
        };
        if packet.network_at >= at {
            continue;
        }
        at = packet.network_at;
        strays.push(Stray {
            head,
            joined: None,
            around: Some(around),
            bytes: bytes.to_vec(),
            ends: (packet.src.min(packet.dst), packet.src.max(packet.dst)),
        });
    }
}

/// Whether Suricata looks into a packet that carries another one: of those over UDP into VXLAN, Geneve and Teredo, on their ports.
pub(super) fn is_tunnel(packet: &PacketView<'_>) -> bool {
    let (src, dst) = packet.ports();
    packet.proto != 17 || matches!(dst, 4789 | 6081) || src == 3544 || dst == 3544
}

/// The packet that fragments gave; what is a tunnel goes to the strays.
pub(super) fn take_whole<'a>(
    g: &Gathered<'_>,
    whole: Dissected<'a>,
    strays: &mut Vec<Stray>,
) -> Option<PacketView<'a>> {
    let Dissected::Ip(packet) = whole else {
        return None;
    };
    let tunnels = |e: &Envelope| e.tunnels.as_slice().len();
    if tunnels(packet.envelope) == tunnels(g.envelope) {
        return Some(packet);
    }
    strays.push(Stray {
        head: head_of(g, g.envelope.link_type),
        joined: Some((g.envelope.clone(), (g.frames, g.ip_len))),
        around: None,
        bytes: g.bytes.to_vec(),
        ends: (packet.src.min(packet.dst), packet.src.max(packet.dst)),
    });
    None
}
