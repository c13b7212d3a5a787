//! The reverse row of a record of both directions: a copy of the forward row turned round, then what the record said of
//! the reverse direction itself.
//!
//! What no element of the reverse direction tells is the forward direction's alone and absent here, but for what holds for
//! the whole record: its times (RFC 5103 section 5), its keys with their ends exchanged, its application and events.

use super::element::{Clock, Kind, Side};
use super::moves::{Fixed, Moment, Sides};
use super::plan::{Loose, Plan};
use super::rows::{Frame, application, mark, moment_from_init, own_init};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Field, FlowBatch, Half, RowFlags, TextRef};
use std::mem::{swap, take};

/// Turns a copy of a forward row round: endpoints, interfaces and translations change sides; what was said of the
/// forward direction only is absent. `i` is the row's record in `sides`.
pub(super) fn turn(
    out: &mut FlowBatch,
    row: usize,
    (bytes, packets): (u64, u64),
    (sides, i): (&Sides, usize),
) {
    let flags = sides.get(Side::RevTcpFlags).get(i);
    let flags = flags.and_then(|flags| u16::try_from(*flags).ok());
    let before = out.core.present[row];
    turn_core(out, row, flags);
    turn_links(out, row, before);
    turn_rest(out, row);
    let c = &mut out.core;
    (c.bytes[row], c.packets[row]) = (bytes, packets);
    let mut present = turned(before);
    let mut total = |side, field: Field| {
        let value = sides.get(side).get(i).copied();
        if value.is_some() {
            present |= field.bit();
        }
        value
    };
    let totals = (
        total(Side::RevBytesTotal, Field::BytesTotal),
        total(Side::RevPacketsTotal, Field::PacketsTotal),
    );
    if totals.0.or(totals.1).is_some() {
        let group = out.counters_mut();
        group.bytes_total[row] = totals.0.unwrap_or(0);
        group.packets_total[row] = totals.1.unwrap_or(0);
    }
    if flags.is_some() {
        present |= Field::TcpFlags.bit();
    }
    out.core.present[row] = present;
}

fn turn_core(out: &mut FlowBatch, row: usize, tcp_flags: Option<u16>) {
    let c = &mut out.core;
    c.half[row] = Half::Reverse as u8;
    swap(&mut c.src_addr[row], &mut c.dst_addr[row]);
    swap(&mut c.src_port[row], &mut c.dst_port[row]);
    swap(&mut c.in_if[row], &mut c.out_if[row]);
    swap(&mut c.src_as[row], &mut c.dst_as[row]);
    swap(&mut c.src_mask[row], &mut c.dst_mask[row]);
    c.next_hop[row] = Addr::UNSPECIFIED;
    (c.tos[row], c.forwarding_status[row]) = (0, 0);
    // metered where the forward direction came in is metered where the reverse one goes out
    if c.present[row] & Field::Direction.bit() != 0 {
        c.direction[row] ^= 1;
    }
    c.tcp_flags[row] = tcp_flags.unwrap_or(0);
    c.flags[row] &= !RowFlags::DSCP_ONLY;
}

fn turn_links(out: &mut FlowBatch, row: usize, present: u64) {
    if present & Field::Vlan.bit() != 0 {
        // where it goes lies in that group
        out.layer2_mut();
    }
    let vlan = &mut out.core.vlan[row];
    let Some(g) = &mut out.layer2 else { return };
    swap(vlan, &mut g.post_vlan[row]);
    swap(&mut g.dot1q_vlan[row], &mut g.post_dot1q_vlan[row]);
    if present & VLANS == Field::PostDot1qVlan.bit() {
        *vlan = g.dot1q_vlan[row];
    }
    if present & POST_MACS != 0 {
        swap(&mut g.src_mac[row], &mut g.post_dst_mac[row]);
        swap(&mut g.dst_mac[row], &mut g.post_src_mac[row]);
    } else {
        swap(&mut g.src_mac[row], &mut g.dst_mac[row]);
    }
    (g.l2_bytes[row], g.dot1q_customer_vlan[row]) = (0, 0);
}

fn turn_rest(out: &mut FlowBatch, row: usize) {
    if let Some(g) = &mut out.nat {
        swap(&mut g.nat_src_addr[row], &mut g.nat_dst_addr[row]);
        swap(&mut g.nat_src_port[row], &mut g.nat_dst_port[row]);
    }
    if let Some(g) = &mut out.link {
        swap(&mut g.in_phys_if[row], &mut g.out_phys_if[row]);
        swap(&mut g.ingress_vrf[row], &mut g.egress_vrf[row]);
        (g.ttl[row], g.post_tos[row]) = (0, 0);
        (g.ipv6_flow_label[row], g.icmp_type_code[row]) = (0, 0);
    }
    if let Some(g) = &mut out.bgp {
        swap(&mut g.src_peer_as[row], &mut g.dst_peer_as[row]);
        g.bgp_next_hop[row] = Addr::UNSPECIFIED;
        take(&mut g.dst_as_path[row]);
    }
    if let Some(g) = &mut out.mpls {
        take(&mut g.mpls[row]);
    }
    if let Some(g) = &mut out.counters {
        (g.out_bytes[row], g.out_packets[row]) = (0, 0);
        (g.bytes_total[row], g.packets_total[row]) = (0, 0);
    }
}

/// Presence of the reverse direction, but for what elements of its own tell.
fn turned(present: u64) -> u64 {
    let absent = ONE_WAY.iter().fold(0, |bits, f| bits | f.bit());
    let macs = match present & POST_MACS {
        0 => ONE_LINK,
        _ => TWO_LINKS,
    };
    let mut turned = present & !absent;
    for (a, b) in PAIRS.iter().chain(macs) {
        turned &= !(a.bit() | b.bit());
        if present & a.bit() != 0 {
            turned |= b.bit();
        }
        if present & b.bit() != 0 {
            turned |= a.bit();
        }
    }
    if present & VLANS == Field::PostDot1qVlan.bit() {
        turned |= Field::Vlan.bit();
    }
    turned
}

/// Sets what the records said of their reverse direction (29305/N has the meaning of N there). `turned` says which of the
/// records from row `first` on have a reverse row.
pub(super) fn fill(
    plan: &Plan,
    (src, body, variable): (Fixed<'_>, &[u8], &[(u32, u32)]),
    frame: &Frame,
    (turned, sides): (&[bool], &Sides),
    (first, out): (usize, &mut FlowBatch),
    tally: &mut Tally,
) {
    let mut row = first;
    for (i, turned) in turned.iter().enumerate() {
        row += 1;
        if !turned {
            continue;
        }
        let init = own_init(sides, i).filter(|_| plan.special.own_init);
        let moment = init.map_or(frame.moment, |init| {
            moment_from_init(frame.moment.export_ms, init)
        });
        let record = &src.body[i * src.stride..][..src.stride];
        for l in &plan.back.fixed {
            let at = usize::from(l.step.at);
            let bytes = &record[at..at + usize::from(l.step.width)];
            value(l, bytes, row, &moment, out, tally);
        }
        let spans = variable.get(i * plan.noted_len() + plan.variable.len()..);
        for (l, (at, len)) in plan.back.variable.iter().zip(spans.unwrap_or_default()) {
            let bytes = &body[*at as usize..][..*len as usize];
            if l.element.accepts(bytes.len()) {
                value(l, bytes, row, &moment, out, tally);
            }
        }
        row += 1;
    }
}

fn value(
    l: &Loose,
    bytes: &[u8],
    row: usize,
    moment: &Moment,
    out: &mut FlowBatch,
    tally: &mut Tally,
) {
    match l.element.kind {
        Kind::AppId => {
            if let Some(texts) = &mut out.texts {
                texts.app_id_sent[row] = TextRef::default();
            }
            application(bytes, row, out, tally);
        }
        Kind::Time(Clock::Uptime) if moment.uptime_ms.is_none() => {}
        _ if !l.step.fits(bytes) => tally.one(Outcome::FieldsMalformed),
        _ => {
            // a column is no side: nothing grows there
            l.step
                .set(bytes, (row, 0), moment, out, &mut Sides::default());
            mark(out, row, l.step.target);
        }
    }
}

const POST_MACS: u64 = Field::PostSrcMac.bit() | Field::PostDstMac.bit();

/// The VLAN of a row is that of element 58, or 243 where that is missing: so it is on the way back.
const VLANS: u64 = Field::PostVlan.bit() | Field::PostDot1qVlan.bit();

/// Fields that change sides.
const PAIRS: &[(Field, Field)] = &[
    (Field::SrcAddr, Field::DstAddr),
    (Field::SrcPort, Field::DstPort),
    (Field::InIf, Field::OutIf),
    (Field::SrcAs, Field::DstAs),
    (Field::SrcMask, Field::DstMask),
    (Field::NatSrcAddr, Field::NatDstAddr),
    (Field::NatSrcPort, Field::NatDstPort),
    (Field::Vlan, Field::PostVlan),
    (Field::Dot1qVlan, Field::PostDot1qVlan),
    (Field::InPhysIf, Field::OutPhysIf),
    (Field::IngressVrf, Field::EgressVrf),
    (Field::SrcPeerAs, Field::DstPeerAs),
];

/// MAC addresses where both directions were seen on one link.
const ONE_LINK: &[(Field, Field)] = &[(Field::SrcMac, Field::DstMac)];

/// MAC addresses where the record has those of the link behind the exporter: what leaves there comes back there.
const TWO_LINKS: &[(Field, Field)] = &[
    (Field::SrcMac, Field::PostDstMac),
    (Field::DstMac, Field::PostSrcMac),
];

/// Fields that hold for the forward direction only.
const ONE_WAY: &[Field] = &[
    Field::Bytes,
    Field::Packets,
    Field::Tos,
    Field::PostTos,
    Field::TcpFlags,
    Field::NextHop,
    Field::BgpNextHop,
    Field::DstAsPath,
    Field::Ttl,
    Field::Ipv6FlowLabel,
    Field::IcmpTypeCode,
    Field::ForwardingStatus,
    Field::Mpls,
    Field::Dot1qCustomerVlan,
    Field::L2Bytes,
    Field::OutBytes,
    Field::OutPackets,
    Field::BytesTotal,
    Field::PacketsTotal,
];
