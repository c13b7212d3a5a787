//! Where each target lives in a batch: one table, for the moves and for values that are set row by row.

use super::element::Target;
use super::moves::{Column, Cut, Place, Step, addresses, numbers, numbers_of, times};
use crate::model::{Addr, Field, FlowBatch, MplsStack};

macro_rules! item {
    (Addr) => {
        Addr
    };
    (U8) => {
        u8
    };
    (U16) => {
        u16
    };
    (U32) => {
        u32
    };
    (U64) => {
        u64
    };
    (Time) => {
        i64
    };
    (Mpls) => {
        MplsStack
    };
}

macro_rules! octets {
    (U8) => {
        Some(1)
    };
    (U16) => {
        Some(2)
    };
    (U32) => {
        Some(4)
    };
    ($other:ident) => {
        None
    };
}

macro_rules! step {
    (Addr, $place:ident, $width:expr) => {
        Some(addresses::<$place>)
    };
    (Time, $place:ident, $width:expr) => {
        Some(times::<$place>)
    };
    (Mpls, $place:ident, $width:expr) => {
        None
    };
    ($number:ident, $place:ident, $width:expr) => {
        Some(by_width::<$place>($width))
    };
}

macro_rules! places {
    ($($first:ident $(| $more:ident)* = $kind:ident $group:ident $(($($call:tt)*))? . $column:ident;)*) => {
        /// The column of a target.
        pub(super) fn column(out: &mut FlowBatch, target: Target) -> Option<Column<'_>> {
            Some(match target {
                $(Target::$first $(| Target::$more)* => Column::$kind(&mut out.$group$(($($call)*))?.$column),)*
                _ => return None,
            })
        }

        /// Octets of the numbers that the column of a target holds, where it is narrower than any number that is sent.
        pub(super) fn octets(target: Target) -> Option<u8> {
            match target {
                $(Target::$first $(| Target::$more)* => octets!($kind),)*
                _ => None,
            }
        }

        /// The loop that moves a field of this width to its column.
        pub(super) fn step(target: Target, width: u16, shift: u8) -> Option<Step> {
            match target {
                $(Target::$first $(| Target::$more)* => {
                    #[allow(dead_code, reason = "label stacks have no loop of their own")]
                    enum Here {}
                    impl Place for Here {
                        type Item = item!($kind);
                        #[inline(always)]
                        fn of(out: &mut FlowBatch) -> &mut Vec<Self::Item> {
                            &mut out.$group$(($($call)*))?.$column
                        }
                    }
                    step!($kind, Here, (width, shift))
                })*
                _ => None,
            }
        }
    };
}

fn by_width<P>((width, shift): (u16, u8)) -> Step
where
    P: Place,
    P::Item: Cut,
{
    match width {
        _ if shift > 0 => numbers_of::<P>,
        1 => numbers::<P, 1>,
        2 => numbers::<P, 2>,
        4 => numbers::<P, 4>,
        6 => numbers::<P, 6>,
        8 => numbers::<P, 8>,
        _ => numbers_of::<P>,
    }
}

places! {
    SrcAddr = Addr core.src_addr;
    DstAddr = Addr core.dst_addr;
    NextHop = Addr core.next_hop;
    Bytes = U64 core.bytes;
    Packets = U64 core.packets;
    AppId = U64 core.app_id;
    StartMs = Time core.start_ms;
    EndMs = Time core.end_ms;
    SrcPort = U16 core.src_port;
    DstPort = U16 core.dst_port;
    TcpFlags = U16 core.tcp_flags;
    Vlan = U16 core.vlan;
    InIf = U32 core.in_if;
    OutIf = U32 core.out_if;
    SrcAs = U32 core.src_as;
    DstAs = U32 core.dst_as;
    Proto = U8 core.proto;
    Tos | Dscp = U8 core.tos;
    SrcMask = U8 core.src_mask;
    DstMask = U8 core.dst_mask;
    Direction = U8 core.direction;
    FlowEndReason = U8 core.flow_end_reason;
    ForwardingStatus = U8 core.forwarding_status;
    IpVersion = U8 core.ip_version;
    NatSrcAddr = Addr nat_mut().nat_src_addr;
    NatDstAddr = Addr nat_mut().nat_dst_addr;
    NatSrcPort = U16 nat_mut().nat_src_port;
    NatDstPort = U16 nat_mut().nat_dst_port;
    NatEvent = U8 nat_mut().nat_event;
    FirewallEvent = U8 firewall_mut().firewall_event;
    FwExtEvent = U16 firewall_mut().fw_ext_event;
    FwRule = U64 firewall_mut().rule;
    FlowId = U64 firewall_mut().flow_id;
    EventMs = Time firewall_mut().event_ms;
    SrcMac = U64 layer2_mut().src_mac;
    DstMac = U64 layer2_mut().dst_mac;
    PostSrcMac = U64 layer2_mut().post_src_mac;
    PostDstMac = U64 layer2_mut().post_dst_mac;
    Ethertype = U16 layer2_mut().ethertype;
    PostVlan = U16 layer2_mut().post_vlan;
    Dot1qVlan = U16 layer2_mut().dot1q_vlan;
    PostDot1qVlan = U16 layer2_mut().post_dot1q_vlan;
    Dot1qCustomerVlan = U16 layer2_mut().dot1q_customer_vlan;
    L2Bytes = U64 layer2_mut().l2_bytes;
    Layer2SegmentId = U64 layer2_mut().layer2_segment_id;
    InPhysIf = U32 link_mut().in_phys_if;
    OutPhysIf = U32 link_mut().out_phys_if;
    IngressVrf = U32 link_mut().ingress_vrf;
    EgressVrf = U32 link_mut().egress_vrf;
    Ttl = U8 link_mut().ttl;
    Ipv6FlowLabel = U32 link_mut().ipv6_flow_label;
    IcmpTypeCode | IcmpType | IcmpCode = U16 link_mut().icmp_type_code;
    PostTos | PostDscp = U8 link_mut().post_tos;
    OutBytes = U64 counters_mut().out_bytes;
    OutPackets = U64 counters_mut().out_packets;
    BytesTotal = U64 counters_mut().bytes_total;
    PacketsTotal = U64 counters_mut().packets_total;
    BgpNextHop = Addr bgp_mut().bgp_next_hop;
    SrcPeerAs = U32 bgp_mut().src_peer_as;
    DstPeerAs = U32 bgp_mut().dst_peer_as;
    Mpls = Mpls mpls_mut().mpls;
}

/// Columns that a second element may fill where the first gave zero.
pub(super) fn merges(target: Target) -> bool {
    use Target as T;
    matches!(
        target,
        T::SrcAddr
            | T::DstAddr
            | T::NextHop
            | T::BgpNextHop
            | T::NatSrcAddr
            | T::NatDstAddr
            | T::SrcPort
            | T::DstPort
            | T::SrcMask
            | T::DstMask
            | T::NatSrcPort
            | T::NatDstPort
            | T::IcmpTypeCode
            | T::IcmpType
            | T::IcmpCode
            | T::FirewallEvent
            | T::Mpls
            | T::UserName
    )
}

/// The presence bit of a column.
pub(super) fn field(target: Target) -> Option<Field> {
    use Target as T;
    Some(match target {
        T::SrcAddr => Field::SrcAddr,
        T::DstAddr => Field::DstAddr,
        T::NextHop => Field::NextHop,
        T::NatSrcAddr => Field::NatSrcAddr,
        T::NatDstAddr => Field::NatDstAddr,
        T::BgpNextHop => Field::BgpNextHop,
        T::Bytes => Field::Bytes,
        T::Packets => Field::Packets,
        T::StartMs => Field::StartMs,
        T::EndMs => Field::EndMs,
        T::EventMs => Field::EventMs,
        T::SrcPort => Field::SrcPort,
        T::DstPort => Field::DstPort,
        T::Proto => Field::Proto,
        T::Tos | T::Dscp => Field::Tos,
        T::TcpFlags => Field::TcpFlags,
        T::InIf => Field::InIf,
        T::OutIf => Field::OutIf,
        T::SrcAs => Field::SrcAs,
        T::DstAs => Field::DstAs,
        T::SrcMask => Field::SrcMask,
        T::DstMask => Field::DstMask,
        T::Vlan => Field::Vlan,
        T::Direction => Field::Direction,
        T::FlowEndReason => Field::FlowEndReason,
        T::ForwardingStatus => Field::ForwardingStatus,
        T::IpVersion => Field::IpVersion,
        T::AppId => Field::AppId,
        T::NatSrcPort => Field::NatSrcPort,
        T::NatDstPort => Field::NatDstPort,
        T::NatEvent => Field::NatEvent,
        T::FirewallEvent => Field::FirewallEvent,
        T::FwExtEvent => Field::FwExtEvent,
        T::FlowId => Field::FlowId,
        _ => return group_field(target),
    })
}

fn group_field(target: Target) -> Option<Field> {
    use Target as T;
    Some(match target {
        T::SrcMac => Field::SrcMac,
        T::DstMac => Field::DstMac,
        T::PostSrcMac => Field::PostSrcMac,
        T::PostDstMac => Field::PostDstMac,
        T::Ethertype => Field::Ethertype,
        T::PostVlan => Field::PostVlan,
        T::Dot1qVlan => Field::Dot1qVlan,
        T::PostDot1qVlan => Field::PostDot1qVlan,
        T::Dot1qCustomerVlan => Field::Dot1qCustomerVlan,
        T::L2Bytes => Field::L2Bytes,
        T::Layer2SegmentId => Field::Layer2SegmentId,
        T::InPhysIf => Field::InPhysIf,
        T::OutPhysIf => Field::OutPhysIf,
        T::IngressVrf => Field::IngressVrf,
        T::EgressVrf => Field::EgressVrf,
        T::Ttl => Field::Ttl,
        T::Ipv6FlowLabel => Field::Ipv6FlowLabel,
        T::IcmpTypeCode | T::IcmpType | T::IcmpCode => Field::IcmpTypeCode,
        T::PostTos | T::PostDscp => Field::PostTos,
        T::OutBytes => Field::OutBytes,
        T::OutPackets => Field::OutPackets,
        T::BytesTotal => Field::BytesTotal,
        T::PacketsTotal => Field::PacketsTotal,
        T::SrcPeerAs => Field::SrcPeerAs,
        T::DstPeerAs => Field::DstPeerAs,
        T::Mpls => Field::Mpls,
        T::UserName => Field::UserName,
        T::ServerName => Field::ServerName,
        T::IfName => Field::IfName,
        _ => return None,
    })
}
