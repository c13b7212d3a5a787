//! Which columns a record really carried: one bit a field.

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $bit:literal, $name:literal;)*) => {
        /// A field whose presence is recorded: sent as zero is 0, not sent is absent.
        ///
        /// The discriminant is the bit number in [`crate::model::CoreColumns::present`] and in ClickHouse's
        /// `flows.present`; it never changes once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the canonical name it carries")]
        pub enum Field { $($(#[$doc])* $variant = $bit,)* }

        impl Field {
            /// Every field, in bit order.
            pub const ALL: &'static [Field] = &[$(Field::$variant),*];

            /// The canonical name, as in `flows.ndjson`, `inspect` and ClickHouse.
            pub const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }
        }
    };
}

fields! {
    SrcAddr = 0, "src_addr";
    DstAddr = 1, "dst_addr";
    SrcPort = 2, "src_port";
    DstPort = 3, "dst_port";
    Proto = 4, "proto";
    Bytes = 5, "bytes";
    Packets = 6, "packets";
    StartMs = 7, "start_ms";
    EndMs = 8, "end_ms";
    Tos = 9, "tos";
    TcpFlags = 10, "tcp_flags";
    InIf = 11, "in_if";
    OutIf = 12, "out_if";
    SrcAs = 13, "src_as";
    DstAs = 14, "dst_as";
    SrcMask = 15, "src_mask";
    DstMask = 16, "dst_mask";
    NextHop = 17, "next_hop";
    Vlan = 18, "vlan";
    Direction = 19, "direction";
    FlowEndReason = 20, "flow_end_reason";
    ForwardingStatus = 21, "forwarding_status";
    IpVersion = 22, "ip_version";
    AppId = 23, "app_id";
    NatSrcAddr = 24, "nat_src_addr";
    NatDstAddr = 25, "nat_dst_addr";
    NatSrcPort = 26, "nat_src_port";
    NatDstPort = 27, "nat_dst_port";
    NatEvent = 28, "nat_event";
    FirewallEvent = 29, "firewall_event";
    FwExtEvent = 30, "fw_ext_event";
    FlowId = 31, "flow_id";
    SrcMac = 32, "src_mac";
    DstMac = 33, "dst_mac";
    PostSrcMac = 34, "post_src_mac";
    PostDstMac = 35, "post_dst_mac";
    Ethertype = 36, "ethertype";
    PostVlan = 37, "post_vlan";
    Dot1qVlan = 38, "dot1q_vlan";
    PostDot1qVlan = 39, "post_dot1q_vlan";
    Dot1qCustomerVlan = 40, "dot1q_customer_vlan";
    L2Bytes = 41, "l2_bytes";
    InPhysIf = 42, "in_phys_if";
    OutPhysIf = 43, "out_phys_if";
    Layer2SegmentId = 44, "layer2_segment_id";
    OutBytes = 45, "out_bytes";
    OutPackets = 46, "out_packets";
    BytesTotal = 47, "bytes_total";
    PacketsTotal = 48, "packets_total";
    Ttl = 49, "ttl";
    Ipv6FlowLabel = 50, "ipv6_flow_label";
    IcmpTypeCode = 51, "icmp_type_code";
    EventMs = 52, "event_ms";
    IngressVrf = 53, "ingress_vrf";
    EgressVrf = 54, "egress_vrf";
    PostTos = 55, "post_tos";
    BgpNextHop = 56, "bgp_next_hop";
    SrcPeerAs = 57, "src_peer_as";
    DstPeerAs = 58, "dst_peer_as";
    DstAsPath = 59, "dst_as_path";
    Mpls = 60, "mpls";
    UserName = 61, "user_name";
    ServerName = 62, "server_name";
    IfName = 63, "if_name";
}

impl Field {
    /// The field's mask in a `present` word.
    #[inline(always)]
    pub const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_the_position_in_the_list() {
        for (i, f) in Field::ALL.iter().enumerate() {
            assert_eq!(*f as usize, i, "{}", f.name());
        }
        assert!(Field::ALL.len() <= 64);
    }
}
