//! Frames inside records (element 315): what dissection found, into the columns that the record itself left empty.

use crate::dissect::HeaderView;
use crate::model::{Field, FlowBatch, RowFlags};

macro_rules! blanks {
    ($group:expr, $present:expr, $row:expr, $($column:ident: $field:ident = $value:expr;)*) => {
        $(if let Some(value) = $value {
            if *$present & Field::$field.bit() == 0 {
                $group.$column[$row] = value;
                *$present |= Field::$field.bit();
            }
        })*
    };
}

/// Fills the blanks of row `row` from a dissected frame of which `there` bytes are there; `sent` is its length on the wire
/// (element 312), if the record tells. Bytes and packets count only where the record has no counters of its own.
pub(super) fn fill(
    out: &mut FlowBatch,
    row: usize,
    view: &HeaderView,
    (there, sent): (u64, Option<u64>),
) {
    fill_core(out, row, view);
    fill_groups(out, row, view);
    if let Some(length) = sent.filter(|n| *n > 0) {
        let mut present = out.core.present[row];
        let g = out.layer2_mut();
        blanks! { g, &mut present, row, l2_bytes: L2Bytes = Some(length); }
        out.core.present[row] = present;
    }
    let length = there.max(sent.unwrap_or(0));
    let c = &mut out.core;
    if c.present[row] & (Field::Bytes.bit() | Field::Packets.bit()) == 0 {
        let frame = u32::try_from(length).ok();
        c.bytes[row] = view.layer3_len(frame).map_or(length, u64::from);
        c.packets[row] = 1;
        c.present[row] |= Field::Bytes.bit() | Field::Packets.bit();
        c.flags[row] |= RowFlags::FROM_HEADER;
    }
    if view.cut {
        c.flags[row] |= RowFlags::HEADER_CUT;
    }
    if view.ip_version.is_none() {
        c.flags[row] |= RowFlags::NOT_IP;
    }
}

fn fill_core(out: &mut FlowBatch, row: usize, view: &HeaderView) {
    let c = &mut out.core;
    let mut present = c.present[row];
    blanks! { c, &mut present, row,
        src_addr: SrcAddr = view.src_addr;
        dst_addr: DstAddr = view.dst_addr;
        src_port: SrcPort = view.src_port;
        dst_port: DstPort = view.dst_port;
        proto: Proto = view.proto;
        tos: Tos = view.tos;
        tcp_flags: TcpFlags = view.tcp_flags;
        vlan: Vlan = view.vlans.as_slice().first().copied();
        ip_version: IpVersion = view.ip_version;
    }
    c.present[row] = present;
}

fn fill_groups(out: &mut FlowBatch, row: usize, view: &HeaderView) {
    let mut present = out.core.present[row];
    if view.src_mac.is_some() || view.ethertype.is_some() {
        let g = out.layer2_mut();
        blanks! { g, &mut present, row,
            src_mac: SrcMac = view.src_mac;
            dst_mac: DstMac = view.dst_mac;
            ethertype: Ethertype = view.ethertype;
            dot1q_vlan: Dot1qVlan = view.vlans.as_slice().first().copied();
            dot1q_customer_vlan: Dot1qCustomerVlan = view.vlans.as_slice().get(1).copied();
        }
    }
    let icmp = view
        .icmp_type
        .map(|t| u16::from(t) << 8 | u16::from(view.icmp_code.unwrap_or(0)));
    if view.ttl.is_some() || icmp.is_some() {
        let g = out.link_mut();
        blanks! { g, &mut present, row,
            ttl: Ttl = view.ttl;
            ipv6_flow_label: Ipv6FlowLabel = view.flow_label;
            icmp_type_code: IcmpTypeCode = icmp;
        }
    }
    if view.mpls.positions != 0 {
        let g = out.mpls_mut();
        blanks! { g, &mut present, row, mpls: Mpls = Some(view.mpls); }
    }
    out.core.present[row] = present;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    #[test]
    fn a_frame_fills_only_what_is_blank() {
        let mut out = FlowBatch::new();
        out.core.proto.push(47);
        out.core.present.push(Field::Proto.bit());
        out.commit(1);
        let view = HeaderView {
            src_addr: Some(Addr::from_v4([192, 0, 2, 1])),
            proto: Some(6),
            network_at: Some(14),
            ip_len: Some(1500),
            ip_version: Some(4),
            ..Default::default()
        };
        fill(&mut out, 0, &view, (128, Some(1518)));
        assert_eq!((out.core.proto[0], out.core.bytes[0]), (47, 1500));
        assert_eq!(out.core.packets[0], 1);
        assert_eq!(out.core.flags[0], RowFlags::FROM_HEADER);
        assert!(out.row(0).has(Field::SrcAddr) && out.row(0).has(Field::L2Bytes));
        assert_eq!(out.layer2.as_ref().map(|g| g.l2_bytes[0]), Some(1518));
    }
}
