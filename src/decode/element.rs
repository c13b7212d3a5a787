//! The information elements that we understand: one table, for plans and for `inspect`.
//!
//! Numbers are IANA's (RFC 7012); those up to 127 are also NetFlow 9's field types (RFC 3954 section 8). Private
//! numbers above 32767 without enterprise are those of NetFlow 9 exporters (Cisco NSEL, PAN-OS).

/// Private enterprise number of reverse elements (RFC 5103 section 6.1).
pub const REVERSE_PEN: u32 = 29305;

/// How the bytes of an element are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Big-endian unsigned, any width from 1 to 8 (RFC 7011 section 6.2).
    Unsigned,
    /// 4 or 16 bytes of address.
    Address,
    /// 6 bytes.
    Mac,
    /// Text, padded with NUL where the field is of fixed length.
    Text,
    /// RFC 6759 application id: an engine octet and a selector of any length.
    AppId,
    /// A label stack entry without TTL, 3 bytes; the number is the position in the stack, from 1.
    Mpls(u8),
    /// A point in time.
    Time(Clock),
    /// A frame from its link-layer header on (element 315).
    Frame,
    /// IEEE 754, 4 or 8 bytes (RFC 7011 section 6.2).
    Float,
    /// 12 bytes: an access list, an entry of it and an extended entry, each a hash (Cisco NSEL); the last two are the number.
    Rule,
}

/// How a time is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Milliseconds of the exporter's uptime (elements 21, 22).
    Uptime,
    /// Seconds since 1970 UTC.
    Seconds,
    /// Milliseconds since 1970 UTC.
    Millis,
    /// 64-bit NTP timestamp, microseconds of precision (RFC 7011 section 6.1.9).
    NtpMicros,
    /// 64-bit NTP timestamp, nanoseconds of precision (RFC 7011 section 6.1.10).
    NtpNanos,
    /// Microseconds before the export time of the header.
    BeforeExport,
}

/// Where a value goes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is the column of its name")]
pub enum Target {
    SrcAddr,
    DstAddr,
    NextHop,
    NatSrcAddr,
    NatDstAddr,
    BgpNextHop,
    Bytes,
    Packets,
    StartMs,
    EndMs,
    EventMs,
    SrcPort,
    DstPort,
    Proto,
    Tos,
    Dscp,
    TcpFlags,
    InIf,
    OutIf,
    SrcAs,
    DstAs,
    SrcMask,
    DstMask,
    Vlan,
    Direction,
    FlowEndReason,
    ForwardingStatus,
    IpVersion,
    AppId,
    NatSrcPort,
    NatDstPort,
    NatEvent,
    FirewallEvent,
    FwExtEvent,
    FwRule,
    FlowId,
    SrcMac,
    DstMac,
    PostSrcMac,
    PostDstMac,
    Ethertype,
    PostVlan,
    Dot1qVlan,
    PostDot1qVlan,
    Dot1qCustomerVlan,
    L2Bytes,
    Layer2SegmentId,
    InPhysIf,
    OutPhysIf,
    IngressVrf,
    EgressVrf,
    Ttl,
    Ipv6FlowLabel,
    IcmpTypeCode,
    IcmpType,
    IcmpCode,
    PostTos,
    PostDscp,
    OutBytes,
    OutPackets,
    BytesTotal,
    PacketsTotal,
    SrcPeerAs,
    DstPeerAs,
    Mpls,
    UserName,
    ServerName,
    AppName,
    IfName,
    /// Kept beside the row until the pass that needs it.
    Side(Side),
    /// Element 315.
    Frame,
    /// Understood by `inspect` and by options data only.
    Named,
}

/// Values that are no column: they steer a pass over the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the canonical name it carries")]
pub enum Side {
    SamplingInterval,
    RandomInterval,
    SamplerId,
    PacketInterval,
    PacketSpace,
    SamplingSize,
    SamplingPopulation,
    InitBytes,
    RespBytes,
    InitPackets,
    RespPackets,
    RevBytes,
    RevPackets,
    RevBytesTotal,
    RevPacketsTotal,
    RevTcpFlags,
    FrameLength,
    /// 1 in N, from a probability.
    OneIn,
    DurationMs,
    DurationUs,
    SystemInit,
    /// The uptime at the start of a flow that has running totals, as sent.
    StartUptime,
}

impl Side {
    /// How many there are.
    pub const COUNT: usize = Side::StartUptime as usize + 1;
}

/// One information element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// Private enterprise number, 0 for IANA's.
    pub pen: u32,
    /// Number without the enterprise bit; NetFlow 9: the field type.
    pub number: u16,
    /// Canonical name of data and columns; empty where `inspect` has none.
    pub name: &'static str,
    /// How to read it.
    pub kind: Kind,
    /// Where it goes.
    pub target: Target,
}

impl Element {
    /// Whether a field of this length can be this element (RFC 7011 section 6.2 allows shorter numbers; a length of
    /// zero is a field that is not there).
    pub fn accepts(&self, length: usize) -> bool {
        match self.kind {
            Kind::Unsigned => matches!(length, 1..=8),
            Kind::Address => {
                length
                    == if ADDRESS16.contains(&self.number) {
                        16
                    } else {
                        4
                    }
            }
            Kind::Mac => length == 6,
            // RFC 6759 section 4: the selector of some engines may be of any length
            Kind::AppId => length > 0,
            Kind::Mpls(_) => length == 3,
            Kind::Time(Clock::Uptime | Clock::Seconds | Clock::BeforeExport) => {
                matches!(length, 1..=4)
            }
            Kind::Time(_) => length == 8,
            Kind::Text | Kind::Frame => length > 0,
            Kind::Float => matches!(length, 4 | 8),
            Kind::Rule => length == 12,
        }
    }
}

/// The element of an enterprise (0: IANA) and number, if we understand it.
pub fn find(pen: u32, number: u16) -> Option<&'static Element> {
    ELEMENTS
        .binary_search_by_key(&(pen, number), |e| (e.pen, e.number))
        .ok()
        .map(|i| &ELEMENTS[i])
}

/// The element whose value `29305/number` is for the reverse direction, where that is a column of the reverse row (RFC 5103
/// section 6.1). The counters that decide whether there is such a row stand in the table with names of their own.
pub fn reverse_of(pen: u32, number: u16) -> Option<&'static Element> {
    if pen != REVERSE_PEN {
        return None;
    }
    let beside = |e: &&Element| {
        matches!(e.target, Target::Side(_) | Target::Named | Target::Frame)
            || matches!(e.kind, Kind::Text)
    };
    find(0, number).filter(|e| !beside(e))
}

/// Elements whose address has 16 bytes.
const ADDRESS16: &[u16] = &[27, 28, 62, 63, 131, 281, 282];

macro_rules! elements {
    ($($pen:literal / $number:literal $name:literal $kind:expr, $target:expr;)*) => {
        &[$(Element { pen: $pen, number: $number, name: $name, kind: $kind, target: $target }),*]
    };
}

use Clock::{BeforeExport, Millis, NtpMicros, NtpNanos, Seconds, Uptime};
use Kind::{Address as A, Frame, Mac as M, Text as X, Time as C, Unsigned as U};
use Target as T;

/// All elements, in order of enterprise and number.
pub const ELEMENTS: &[Element] = elements! {
    0/1 "bytes" U, T::Bytes;
    0/2 "packets" U, T::Packets;
    0/4 "proto" U, T::Proto;
    0/5 "tos" U, T::Tos;
    0/6 "tcp_flags" U, T::TcpFlags;
    0/7 "src_port" U, T::SrcPort;
    0/8 "src_addr" A, T::SrcAddr;
    0/9 "src_mask" U, T::SrcMask;
    0/10 "in_if" U, T::InIf;
    0/11 "dst_port" U, T::DstPort;
    0/12 "dst_addr" A, T::DstAddr;
    0/13 "dst_mask" U, T::DstMask;
    0/14 "out_if" U, T::OutIf;
    0/15 "next_hop" A, T::NextHop;
    0/16 "src_as" U, T::SrcAs;
    0/17 "dst_as" U, T::DstAs;
    0/18 "bgp_next_hop" A, T::BgpNextHop;
    0/21 "end_ms" C(Uptime), T::EndMs;
    0/22 "start_ms" C(Uptime), T::StartMs;
    0/23 "out_bytes" U, T::OutBytes;
    0/24 "out_packets" U, T::OutPackets;
    0/27 "src_addr" A, T::SrcAddr;
    0/28 "dst_addr" A, T::DstAddr;
    0/29 "src_mask" U, T::SrcMask;
    0/30 "dst_mask" U, T::DstMask;
    0/31 "ipv6_flow_label" U, T::Ipv6FlowLabel;
    0/32 "icmp_type_code" U, T::IcmpTypeCode;
    0/34 "sampling_interval" U, T::Side(Side::SamplingInterval);
    0/35 "sampling_algorithm" U, T::Named;
    0/48 "sampler_id" U, T::Side(Side::SamplerId);
    0/49 "sampler_mode" U, T::Named;
    0/50 "sampler_random_interval" U, T::Side(Side::RandomInterval);
    0/55 "post_tos" U, T::PostTos;
    0/56 "src_mac" M, T::SrcMac;
    0/57 "post_dst_mac" M, T::PostDstMac;
    0/58 "vlan" U, T::Vlan;
    0/59 "post_vlan" U, T::PostVlan;
    0/60 "ip_version" U, T::IpVersion;
    0/61 "direction" U, T::Direction;
    0/62 "next_hop" A, T::NextHop;
    0/63 "bgp_next_hop" A, T::BgpNextHop;
    0/70 "mpls" Kind::Mpls(1), T::Mpls;
    0/71 "mpls" Kind::Mpls(2), T::Mpls;
    0/72 "mpls" Kind::Mpls(3), T::Mpls;
    0/73 "mpls" Kind::Mpls(4), T::Mpls;
    0/74 "mpls" Kind::Mpls(5), T::Mpls;
    0/75 "mpls" Kind::Mpls(6), T::Mpls;
    0/76 "mpls" Kind::Mpls(7), T::Mpls;
    0/77 "mpls" Kind::Mpls(8), T::Mpls;
    0/78 "mpls" Kind::Mpls(9), T::Mpls;
    0/79 "mpls" Kind::Mpls(10), T::Mpls;
    0/80 "dst_mac" M, T::DstMac;
    0/81 "post_src_mac" M, T::PostSrcMac;
    0/82 "if_name" X, T::IfName;
    0/83 "if_desc" X, T::Named;
    0/85 "bytes_total" U, T::BytesTotal;
    0/86 "packets_total" U, T::PacketsTotal;
    0/89 "forwarding_status" U, T::ForwardingStatus;
    0/94 "app_desc" X, T::Named;
    0/95 "app_id" Kind::AppId, T::AppId;
    0/96 "app_name" X, T::AppName;
    0/98 "" U, T::PostDscp;
    0/128 "" U, T::DstPeerAs;
    0/129 "" U, T::SrcPeerAs;
    0/130 "exporter_addr" A, T::Named;
    0/131 "exporter_addr" A, T::Named;
    0/136 "flow_end_reason" U, T::FlowEndReason;
    0/139 "icmp_type_code" U, T::IcmpTypeCode;
    0/148 "flow_id" U, T::FlowId;
    0/150 "start_ms" C(Seconds), T::StartMs;
    0/151 "end_ms" C(Seconds), T::EndMs;
    0/152 "start_ms" C(Millis), T::StartMs;
    0/153 "end_ms" C(Millis), T::EndMs;
    0/154 "start_ms" C(NtpMicros), T::StartMs;
    0/155 "end_ms" C(NtpMicros), T::EndMs;
    0/156 "start_ms" C(NtpNanos), T::StartMs;
    0/157 "end_ms" C(NtpNanos), T::EndMs;
    0/158 "start_ms" C(BeforeExport), T::StartMs;
    0/159 "end_ms" C(BeforeExport), T::EndMs;
    0/160 "" U, T::Side(Side::SystemInit);
    0/161 "" U, T::Side(Side::DurationMs);
    0/162 "" U, T::Side(Side::DurationUs);
    0/176 "icmp_type" U, T::IcmpType;
    0/177 "icmp_code" U, T::IcmpCode;
    0/178 "icmp_type" U, T::IcmpType;
    0/179 "icmp_code" U, T::IcmpCode;
    0/180 "src_port" U, T::SrcPort;
    0/181 "dst_port" U, T::DstPort;
    0/182 "src_port" U, T::SrcPort;
    0/183 "dst_port" U, T::DstPort;
    0/192 "ttl" U, T::Ttl;
    0/195 "dscp" U, T::Dscp;
    0/225 "nat_src_addr" A, T::NatSrcAddr;
    0/226 "nat_dst_addr" A, T::NatDstAddr;
    0/227 "nat_src_port" U, T::NatSrcPort;
    0/228 "nat_dst_port" U, T::NatDstPort;
    0/230 "nat_event" U, T::NatEvent;
    0/231 "init_bytes" U, T::Side(Side::InitBytes);
    0/232 "resp_bytes" U, T::Side(Side::RespBytes);
    0/233 "firewall_event" U, T::FirewallEvent;
    0/234 "ingress_vrf" U, T::IngressVrf;
    0/235 "egress_vrf" U, T::EgressVrf;
    0/236 "" X, T::Named;
    0/239 "biflow_direction" U, T::Named;
    0/243 "dot1q_vlan" U, T::Dot1qVlan;
    0/245 "dot1q_customer_vlan" U, T::Dot1qCustomerVlan;
    0/252 "in_phys_if" U, T::InPhysIf;
    0/253 "out_phys_if" U, T::OutPhysIf;
    0/254 "post_dot1q_vlan" U, T::PostDot1qVlan;
    0/256 "ethertype" U, T::Ethertype;
    0/281 "nat_src_addr" A, T::NatSrcAddr;
    0/282 "nat_dst_addr" A, T::NatDstAddr;
    0/298 "init_packets" U, T::Side(Side::InitPackets);
    0/299 "resp_packets" U, T::Side(Side::RespPackets);
    0/302 "selector_id" U, T::Side(Side::SamplerId);
    0/304 "" U, T::Named;
    0/305 "sampling_packet_interval" U, T::Side(Side::PacketInterval);
    0/306 "sampling_packet_space" U, T::Side(Side::PacketSpace);
    0/309 "sampling_size" U, T::Side(Side::SamplingSize);
    0/310 "sampling_population" U, T::Side(Side::SamplingPopulation);
    0/311 "" Kind::Float, T::Side(Side::OneIn);
    0/312 "" U, T::Side(Side::FrameLength);
    0/315 "" Frame, T::Frame;
    0/322 "event_ms" C(Seconds), T::EventMs;
    0/323 "event_ms" C(Millis), T::EventMs;
    0/324 "event_ms" C(NtpMicros), T::EventMs;
    0/325 "event_ms" C(NtpNanos), T::EventMs;
    0/351 "layer2_segment_id" U, T::Layer2SegmentId;
    0/352 "" U, T::L2Bytes;
    0/371 "user_name" X, T::UserName;
    0/460 "" X, T::ServerName;
    0/33000 "" Kind::Rule, T::FwRule;
    0/33002 "fw_ext_event" U, T::FwExtEvent;
    0/40000 "user_name" X, T::UserName;
    0/40001 "nat_src_addr" A, T::NatSrcAddr;
    0/40002 "nat_dst_addr" A, T::NatDstAddr;
    0/40003 "nat_src_port" U, T::NatSrcPort;
    0/40004 "nat_dst_port" U, T::NatDstPort;
    0/40005 "firewall_event" U, T::FirewallEvent;
    0/56701 "" X, T::AppName;
    0/56702 "" X, T::UserName;
    29305/1 "rev_bytes" U, T::Side(Side::RevBytes);
    29305/2 "rev_packets" U, T::Side(Side::RevPackets);
    29305/6 "rev_tcp_flags" U, T::Side(Side::RevTcpFlags);
    29305/85 "rev_bytes_total" U, T::Side(Side::RevBytesTotal);
    29305/86 "rev_packets_total" U, T::Side(Side::RevPacketsTotal);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_searchable() {
        for pair in ELEMENTS.windows(2) {
            let key = |e: &Element| (e.pen, e.number);
            assert!(key(&pair[0]) < key(&pair[1]), "{:?}", pair[1]);
        }
        assert_eq!(find(0, 8).map(|e| e.name), Some("src_addr"));
        assert_eq!(find(REVERSE_PEN, 1).map(|e| e.name), Some("rev_bytes"));
        assert_eq!(find(9, 8), None);
        let tos = reverse_of(REVERSE_PEN, 5).map(|e| e.target);
        assert_eq!(tos, Some(Target::Tos));
        assert_eq!(
            (reverse_of(0, 5), reverse_of(REVERSE_PEN, 34)),
            (None, None)
        );
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let accepts = |number, length| find(0, number).expect("known").accepts(length);
        assert!(accepts(8, 4) && !accepts(8, 16) && !accepts(15, 2));
        assert!(accepts(27, 16) && !accepts(27, 4));
        assert!(accepts(1, 3) && !accepts(1, 9) && !accepts(1, 0));
        assert!(accepts(152, 8) && !accepts(152, 4));
        assert!(accepts(95, 10) && !accepts(95, 0));
    }
}
