//! Records of flow and counters samples (sFlow Version 5, section 5.3; sFlow.org's list of structures).

use super::wire::{Item, Reader};
use crate::model::{Addr, InterfaceCounters};

/// A record of a flow sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the sFlow structures")]
pub enum FlowRecord<'a> {
    /// 1: the first bytes of the packet.
    Header {
        protocol: u32,
        frame_length: u32,
        stripped: u32,
        header: &'a [u8],
    },
    /// 2: Ethernet fields.
    Ethernet {
        length: u32,
        src_mac: u64,
        dst_mac: u64,
        ethertype: u32,
    },
    /// 3 and 4: IP fields.
    Ip(IpRecord),
    /// 1001: VLANs and priorities, all ones where not known.
    Switch {
        src_vlan: u32,
        src_priority: u32,
        dst_vlan: u32,
        dst_priority: u32,
    },
    /// 1002: forwarding.
    Router {
        next_hop: Addr,
        src_mask: u32,
        dst_mask: u32,
    },
    /// 1003: BGP.
    Gateway(Gateway<'a>),
    /// 1004: who sent and who received.
    User { src: &'a [u8], dst: &'a [u8] },
    /// 1005: what was asked for.
    Url { url: &'a [u8], host: &'a [u8] },
    /// 1006: label stacks; each a run of words.
    Mpls { next_hop: Addr, in_stack: &'a [u8] },
    /// 1007: translated addresses.
    Nat { src: Addr, dst: Addr },
    /// 1020: translated ports.
    NatPort { src: u32, dst: u32 },
    /// Any other record.
    Other,
}

/// The IP fields of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the sFlow structures")]
pub struct IpRecord {
    pub version: u8,
    /// Bytes of the IP packet.
    pub length: u32,
    pub proto: u32,
    pub src: Addr,
    pub dst: Addr,
    pub src_port: u32,
    pub dst_port: u32,
    pub tcp_flags: u32,
    /// Type of service, or priority (traffic class) of IPv6.
    pub tos: u32,
}

/// BGP facts of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway<'a> {
    /// BGP next hop.
    pub next_hop: Addr,
    /// The router's own AS.
    pub router_as: u32,
    /// AS of the source.
    pub src_as: u32,
    /// AS of the peer towards the source.
    pub src_peer_as: u32,
    /// Segments of the AS path to the destination: each a kind, a count and the numbers.
    segments: &'a [u8],
}

impl Gateway<'_> {
    /// Appends the AS numbers of all segments, in order.
    pub fn path(&self, out: &mut Vec<u32>) {
        let mut r = Reader::new(self.segments);
        while let (Some(_kind), Some(count)) = (r.word(), r.word()) {
            out.extend((0..count).map_while(|_| r.word()));
        }
    }
}

impl<'a> FlowRecord<'a> {
    /// Reads a record; `None` where its content ends too soon.
    pub fn read(item: &Item<'a>) -> Option<Self> {
        if item.format.enterprise != 0 {
            return Some(FlowRecord::Other);
        }
        let mut r = Reader::new(item.body);
        let r = &mut r;
        Some(match item.format.number {
            1 => FlowRecord::Header {
                protocol: r.word()?,
                frame_length: r.word()?,
                stripped: r.word()?,
                header: r.opaque()?,
            },
            2 => FlowRecord::Ethernet {
                length: r.word()?,
                src_mac: mac(r)?,
                dst_mac: mac(r)?,
                ethertype: r.word()?,
            },
            3 => FlowRecord::Ip(ip(r, 4)?),
            4 => FlowRecord::Ip(ip(r, 6)?),
            1001 => FlowRecord::Switch {
                src_vlan: r.word()?,
                src_priority: r.word()?,
                dst_vlan: r.word()?,
                dst_priority: r.word()?,
            },
            1002 => FlowRecord::Router {
                next_hop: r.address()?,
                src_mask: r.word()?,
                dst_mask: r.word()?,
            },
            1003 => FlowRecord::Gateway(gateway(r)?),
            1004 => user(r)?,
            1005 => {
                let _direction = r.word()?;
                FlowRecord::Url {
                    url: r.opaque()?,
                    host: r.opaque()?,
                }
            }
            1006 => FlowRecord::Mpls {
                next_hop: r.address()?,
                in_stack: words(r)?,
            },
            1007 => FlowRecord::Nat {
                src: r.address()?,
                dst: r.address()?,
            },
            1020 => FlowRecord::NatPort {
                src: r.word()?,
                dst: r.word()?,
            },
            _ => FlowRecord::Other,
        })
    }
}

/// Reads generic interface counters (counters record 1). `None` for any other record and where the content ends too
/// soon. Exporter and time are the caller's to fill.
pub fn interface_counters(item: &Item<'_>) -> Option<InterfaceCounters> {
    if (item.format.enterprise, item.format.number) != (0, 1) {
        return None;
    }
    let mut r = Reader::new(item.body);
    Some(InterfaceCounters {
        if_index: r.word()?,
        if_type: r.word()?,
        if_speed: r.double()?,
        if_direction: r.word()?,
        if_status: r.word()?,
        in_octets: r.double()?,
        in_unicast_packets: r.word()?,
        in_multicast_packets: r.word()?,
        in_broadcast_packets: r.word()?,
        in_discards: r.word()?,
        in_errors: r.word()?,
        in_unknown_protocols: r.word()?,
        out_octets: r.double()?,
        out_unicast_packets: r.word()?,
        out_multicast_packets: r.word()?,
        out_broadcast_packets: r.word()?,
        out_discards: r.word()?,
        out_errors: r.word()?,
        promiscuous: r.word()?,
        ..InterfaceCounters::default()
    })
}

/// Six bytes of address, padded to eight.
fn mac(r: &mut Reader<'_>) -> Option<u64> {
    r.double().map(|padded| padded >> 16)
}

fn ip(r: &mut Reader<'_>, version: u8) -> Option<IpRecord> {
    let (length, proto) = (r.word()?, r.word()?);
    let mut address = || match version {
        4 => r.array().map(Addr::from_v4),
        _ => r.array().map(Addr::from_v6),
    };
    let (src, dst) = (address()?, address()?);
    Some(IpRecord {
        version,
        length,
        proto,
        src,
        dst,
        src_port: r.word()?,
        dst_port: r.word()?,
        tcp_flags: r.word()?,
        tos: r.word()?,
    })
}

fn gateway<'a>(r: &mut Reader<'a>) -> Option<Gateway<'a>> {
    let (next_hop, router_as) = (r.address()?, r.word()?);
    let (src_as, src_peer_as, count) = (r.word()?, r.word()?, r.word()?);
    let all = r.rest();
    for _ in 0..count {
        let _kind = r.word()?;
        words(r)?;
    }
    Some(Gateway {
        next_hop,
        router_as,
        src_as,
        src_peer_as,
        segments: &all[..all.len() - r.rest().len()],
    })
}

fn user<'a>(r: &mut Reader<'a>) -> Option<FlowRecord<'a>> {
    let _charset = r.word()?;
    let src = r.opaque()?;
    let _charset = r.word()?;
    let dst = r.opaque()?;
    Some(FlowRecord::User { src, dst })
}

/// A count and as many words.
fn words<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let count = r.word()? as usize;
    r.bytes(count.checked_mul(4)?)
}
