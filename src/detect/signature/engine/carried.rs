//! What the packet of an alert was carried in, and what it counts, as Suricata has it.

use super::flow::Flow;
use crate::detect::eve;
use crate::model::{Addr, PacketView, Tunnel, TunnelKind, Vlans};

/// What the packet of an alert was carried in.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    /// VLAN ids, outermost first.
    pub vlans: Vlans,
    /// Where the packet is from, in the words of EVE's `pkt_src`.
    pub source: &'static str,
    /// The packet that was captured, where another one was in it.
    pub outer: Option<eve::Outer>,
}

impl Default for Carried {
    fn default() -> Self {
        Carried {
            vlans: Vlans::default(),
            source: WIRE,
            outer: None,
        }
    }
}

impl Carried {
    /// That of a packet.
    pub fn of(p: &PacketView<'_>) -> Self {
        let tunnels = p.envelope.tunnels.as_slice();
        let entered: Vec<&Tunnel> = tunnels.iter().filter(|t| is_entered(t)).collect();
        let (Some(first), Some(last)) = (entered.first(), entered.last()) else {
            let is_rebuilt = p.frames > 1;
            return Carried {
                vlans: p.envelope.vlans,
                source: if is_rebuilt { "defrag" } else { WIRE },
                outer: is_rebuilt.then_some(eve::Outer {
                    src: p.src,
                    dst: p.dst,
                    ports: (0, 0),
                    proto: p.proto,
                    depth: 0,
                    frame: p.frame,
                }),
            };
        };
        let inner = entered.get(1).map_or(p.version, |t| version(t.src));
        let proto = match first.kind {
            TunnelKind::Gre | TunnelKind::Erspan => 47,
            TunnelKind::IpIp if inner == 6 => 41,
            TunnelKind::IpIp => 4,
            _ => 17,
        };
        let ports = match proto {
            17 => outer_ports(p, first).unwrap_or_default(),
            _ => [0; 2],
        };
        Carried {
            vlans: Vlans::default(),
            source: source(last),
            outer: Some(eve::Outer {
                src: first.src,
                dst: first.dst,
                ports: (ports[0], ports[1]),
                proto,
                depth: entered.len(),
                frame: p.frame,
            }),
        }
    }

    /// Where a conversation ends without a packet.
    pub fn of_end(flow: &Flow) -> Self {
        Carried {
            vlans: flow.vlans(),
            source: "stream (flow timeout)",
            outer: None,
        }
    }
}

/// What a packet counts: its frame, and of what came through a tunnel what was in it.
pub(super) fn bytes_of(p: &PacketView<'_>) -> u64 {
    let e = p.envelope;
    match e.tunnels.as_slice().last().map(|t| t.kind) {
        // not taken for tunnels: a session of the link, and labels
        None | Some(TunnelKind::Pppoe | TunnelKind::EoMpls) => match p.frames > 1 {
            true => {
                let tags = 4 * e.vlans.as_slice().len();
                let link = if e.link_type == ETHERNET {
                    14 + tags
                } else {
                    0
                };
                (p.bytes.len() + link) as u64
            }
            false => p.wire_len.into(),
        },
        Some(TunnelKind::Geneve) => u64::from(p.ip_len) + 14,
        Some(_) => p.ip_len.into(),
    }
}

/// Whether Suricata makes a packet of its own of what is in it.
fn is_entered(t: &Tunnel) -> bool {
    use TunnelKind::*;
    matches!(t.kind, IpIp | Gre | Vxlan | Geneve | Erspan | Teredo)
}

fn source(t: &Tunnel) -> &'static str {
    match t.kind {
        TunnelKind::Gre | TunnelKind::Erspan => "gre tunnel",
        TunnelKind::Vxlan => "vxlan encapsulation",
        TunnelKind::Geneve => "geneve encapsulation",
        TunnelKind::Teredo => "teredo tunnel",
        _ if version(t.src) == 6 => "ipv6 tunnel",
        _ => "ipv4 tunnel",
    }
}

fn version(addr: Addr) -> u8 {
    if addr.is_v4() { 4 } else { 6 }
}

/// The ports of the datagram that carried it. Its header is found by the addresses.
fn outer_ports(p: &PacketView<'_>, t: &Tunnel) -> Option<[u16; 2]> {
    let (skipped, before) = match version(t.src) {
        4 => (12, 12),
        _ => (0, 8),
    };
    let ends = [&t.src.0[skipped..], &t.dst.0[skipped..]].concat();
    let outside = p.bytes.get(..p.network_at as usize)?;
    let mut places = outside.windows(ends.len());
    let at = places.position(|w| w == ends)?.checked_sub(before)?;
    let header = match version(t.src) {
        4 => usize::from(outside.get(at)? & 15) * 4,
        _ => 40,
    };
    let b = outside.get(at + header..at + header + 4)?;
    Some([
        u16::from_be_bytes([b[0], b[1]]),
        u16::from_be_bytes([b[2], b[3]]),
    ])
}

const WIRE: &str = "wire/pcap";
/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;
