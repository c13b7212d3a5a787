//! The columns of a [`crate::model::FlowBatch`]: one core group that is always there and optional groups that
//! exist only where something wrote them.

use super::Addr;

macro_rules! columns {
    ($(#[$meta:meta])* $group:ident { $($(#[$doc:meta])* $col:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Clone)]
        pub struct $group { $($(#[$doc])* pub $col: Vec<$ty>,)* }

        impl $group {
            /// The names of the columns, in order.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($col)),*];

            /// Bytes a row takes in this group.
            pub const ROW_BYTES: usize = 0 $(+ size_of::<$ty>())*;

            /// Columns with room for `rows` rows.
            pub fn with_capacity(rows: usize) -> Self {
                $group { $($col: Vec::with_capacity(rows),)* }
            }

            /// Forgets all rows, keeps the memory.
            pub fn clear(&mut self) {
                $(self.$col.clear();)*
            }

            /// Gives every column exactly `rows` rows: what is missing is filled with the default value, which is
            /// also what absence looks like.
            #[inline]
            pub fn align(&mut self, rows: usize) {
                $(if self.$col.len() != rows { self.$col.resize(rows, Default::default()); })*
            }

            /// Writes a second copy behind each row from `first` on whose `twice` is set.
            pub fn spread(&mut self, first: usize, twice: &[bool]) {
                $(spread(&mut self.$col, first, twice);)*
            }

            /// Gives back memory above `rows` rows.
            pub fn shrink(&mut self, rows: usize) {
                $(self.$col.shrink_to(rows);)*
            }
        }
    };
}

columns! {
    /// Always there. Times are milliseconds since 1970 UTC; counters are as reported, never scaled.
    CoreColumns {
        /// Source address.
        src_addr: Addr,
        /// Destination address.
        dst_addr: Addr,
        /// Next hop (elements 15, 62).
        next_hop: Addr,
        /// Layer-3 bytes as reported (contracts: element 1, else the delta of 85, else 23).
        bytes: u64,
        /// Packets as reported.
        packets: u64,
        /// First packet, ms since 1970 UTC.
        start_ms: i64,
        /// Last packet, ms since 1970 UTC.
        end_ms: i64,
        /// Which fields the record carried: [`crate::model::Field`] bits.
        present: u64,
        /// Ingress ifIndex.
        in_if: u32,
        /// Egress ifIndex.
        out_if: u32,
        /// Source AS number.
        src_as: u32,
        /// Destination AS number.
        dst_as: u32,
        /// 1 in N; 1 where unknown (then `sampling_source` says so).
        sampling_interval: u32,
        /// Application on top, id in the batch's name tables (0: not set).
        app: u32,
        /// Protocol spoken, id in the batch's name tables (0: not set).
        app_proto: u32,
        /// What was corrected or guessed: [`crate::model::RowFlags`] bits.
        flags: u32,
        /// Exporter's application id (RFC 6759): engine in the top byte, selector in the low 56 bits.
        app_id: u64,
        /// Source port.
        src_port: u16,
        /// Destination port.
        dst_port: u16,
        /// VLAN (elements 58, 243 where 58 is missing).
        vlan: u16,
        /// TCP flags (9 bits may be set).
        tcp_flags: u16,
        /// Place of the record in its datagram, from 1.
        record: u16,
        /// Index into the batch's provenances.
        provenance: u16,
        /// QoS class, id in the batch's name tables.
        qos_class: u16,
        /// IP protocol number.
        proto: u8,
        /// Traffic class octet: DSCP in the upper six bits, ECN in the lower two.
        tos: u8,
        /// Prefix length of the source.
        src_mask: u8,
        /// Prefix length of the destination.
        dst_mask: u8,
        /// Element 61: 0 ingress, 1 egress.
        direction: u8,
        /// Element 136.
        flow_end_reason: u8,
        /// Element 89, the low octet.
        forwarding_status: u8,
        /// 4 or 6; 0 where neither was sent nor could be told.
        ip_version: u8,
        /// [`crate::model::SamplingSource`] as number.
        sampling_source: u8,
        /// [`crate::model::AppSource`] as number.
        app_source: u8,
        /// 0 to 100.
        app_confidence: u8,
        /// [`crate::model::Half`] as number.
        half: u8,
    }
}

columns! {
    /// Address translation (elements 225-230, 281, 282, 40001-40004).
    NatColumns {
        /// Post-NAT source address.
        nat_src_addr: Addr,
        /// Post-NAT destination address.
        nat_dst_addr: Addr,
        /// Post-NAPT source port.
        nat_src_port: u16,
        /// Post-NAPT destination port.
        nat_dst_port: u16,
        /// Element 230.
        nat_event: u8,
    }
}

columns! {
    /// Firewall events (NSEL, elements 233, 33000, 33002, 148, 323).
    FirewallColumns {
        /// Element 33000: the rule, by the two hashes that the firewall prints beside it; 0: none. Not stored.
        rule: u64,
        /// Element 148.
        flow_id: u64,
        /// Elements 323, 322: ms since 1970 UTC.
        event_ms: i64,
        /// Element 33002.
        fw_ext_event: u16,
        /// Elements 233, 40005.
        firewall_event: u8,
    }
}

columns! {
    /// Layer 2 (elements 56-59, 80, 81, 243, 245, 254, 256, 351, 352). MAC addresses are 48 bits in a u64.
    Layer2Columns {
        /// Element 56.
        src_mac: u64,
        /// Element 80.
        dst_mac: u64,
        /// Element 81.
        post_src_mac: u64,
        /// Element 57.
        post_dst_mac: u64,
        /// Element 352.
        l2_bytes: u64,
        /// Element 351.
        layer2_segment_id: u64,
        /// Element 256.
        ethertype: u16,
        /// Element 59.
        post_vlan: u16,
        /// Element 243.
        dot1q_vlan: u16,
        /// Element 254.
        post_dot1q_vlan: u16,
        /// Element 245.
        dot1q_customer_vlan: u16,
    }
}

columns! {
    /// Rarer attributes of the link and of the IP header.
    LinkColumns {
        /// Element 252.
        in_phys_if: u32,
        /// Element 253.
        out_phys_if: u32,
        /// Element 234.
        ingress_vrf: u32,
        /// Element 235.
        egress_vrf: u32,
        /// Element 31.
        ipv6_flow_label: u32,
        /// Elements 32/139, or type x 256 + code of 176-179.
        icmp_type_code: u16,
        /// Element 192.
        ttl: u8,
        /// Traffic class after the device (elements 55, 98 shifted).
        post_tos: u8,
    }
}

columns! {
    /// Counters beside `bytes` and `packets`.
    CounterColumns {
        /// Element 23.
        out_bytes: u64,
        /// Element 24.
        out_packets: u64,
        /// Element 85.
        bytes_total: u64,
        /// Element 86.
        packets_total: u64,
        /// When what the row counts began, ms since 1970, where that is not the flow's own start: growth of running totals,
        /// firewall events. Not stored; counts only where `booked_to_ms` is not 0.
        booked_from_ms: i64,
        /// When it was counted; 0 where the flow's own times hold.
        booked_to_ms: i64,
    }
}

impl CounterColumns {
    /// Says when what row `i` counts came.
    pub fn book(&mut self, i: usize, from_ms: i64, to_ms: i64) {
        (self.booked_from_ms[i], self.booked_to_ms[i]) = (from_ms, to_ms);
    }

    /// When what row `i` counts came, where the flow's own times do not tell.
    #[inline]
    pub fn booked(&self, i: usize) -> Option<(i64, i64)> {
        let to = self.booked_to_ms[i];
        (to != 0).then_some((self.booked_from_ms[i], to))
    }

    /// Moves that by some milliseconds.
    pub fn shift_booked(&mut self, i: usize, ms: i64) {
        if let Some((from, to)) = self.booked(i) {
            self.book(i, from.saturating_add(ms), to.saturating_add(ms));
        }
    }
}

columns! {
    /// Routing (elements 18, 63, 128, 129; sFlow extended gateway).
    BgpColumns {
        /// BGP next hop.
        bgp_next_hop: Addr,
        /// Peer AS towards the source.
        src_peer_as: u32,
        /// Peer AS towards the destination.
        dst_peer_as: u32,
        /// AS path to the destination, in the batch's path arena.
        dst_as_path: AsPath,
    }
}

columns! {
    /// What was found of a flow.
    FoundColumns {
        /// Ids of detections that it belongs to, the first ones; 0: none.
        detections: [u64; DETECTIONS_MAX],
    }
}

/// Detections that a row of a flow names.
pub const DETECTIONS_MAX: usize = 4;

columns! {
    /// MPLS label stack (elements 70-79, sFlow sampled headers).
    MplsColumns {
        /// The stack, top first.
        mpls: MplsStack,
    }
}

columns! {
    /// Where the two ends are: named networks and countries, from tables.
    NetColumns {
        /// Named network of the source, id in the batch's name tables (0: none).
        src_net: u32,
        /// Named network of the destination.
        dst_net: u32,
        /// Country of the source: [`crate::model::country`] tells the two letters (0: not known).
        src_country: u16,
        /// Country of the destination.
        dst_country: u16,
    }
}

columns! {
    /// What a flow left with.
    EgressColumns {
        /// QoS class by the egress interface's policy and the DSCP that left, id in the batch's name tables; 0 where it is
        /// the one of `qos_class`.
        egress_class: u16,
    }
}

columns! {
    /// What a meter of packets tells of a flow and its conversation. Which of the measures were taken is in `measured`.
    QualityColumns {
        /// Id of the conversation, the same in both directions, from its content; 0: none.
        conversation: u64,
        /// Which measures were taken: [`crate::model::Measure`] bits.
        measured: u32,
        /// From the sensor to the destination and back, by the handshake of TCP, microseconds.
        rtt_us: u32,
        /// From data to its acknowledgement, mean, microseconds.
        data_rtt_us: u32,
        /// From the first byte of the other direction to the first byte of this one, microseconds.
        ttfb_us: u32,
        /// TCP segments sent again.
        retransmits: u32,
        /// TCP segments that came late, behind later ones.
        out_of_order: u32,
        /// TCP acknowledgements sent again.
        dup_acks: u32,
        /// TCP segments that closed the window.
        zero_windows: u32,
        /// TCP segments with RST.
        resets: u32,
        /// Packets marked ECN congestion experienced (RFC 3168).
        ce_marks: u32,
        /// RTP interarrival jitter (RFC 3550 section 6.4.1), microseconds.
        jitter_us: u32,
        /// RTP packets missing by their sequence numbers.
        lost: u32,
        /// From the DNS query to its answer, microseconds.
        dns_rtt_us: u32,
        /// End of the validity of the server's certificate, seconds since 1970 UTC.
        cert_expires_s: u32,
        /// Mean opinion score times 100, an estimate (ITU-T G.107, the E-model).
        mos_x100: u16,
        /// TLS version as in its records (RFC 8446 section 4.2.1: 0x0304 is TLS 1.3).
        tls_version: u16,
        /// Response code of DNS.
        dns_rcode: u8,
        /// RTP payload type (RFC 3551).
        rtp_payload: u8,
        /// [`crate::model::Codec`] as number.
        codec: u8,
        /// [`crate::model::Handshake`] as number.
        handshake: u8,
        /// [`crate::model::ConversationSide`] as number.
        conversation_side: u8,
    }
}

columns! {
    /// What the packets of a flow said, before `enrich` turns it into names. Not stored.
    SpokenColumns {
        /// [`crate::model::AppProto`] as number; 0: not told.
        spoken: u8,
        /// How sure that is, 0 to 100.
        spoken_confidence: u8,
    }
}

columns! {
    /// The tunnel that carried a packet, the innermost where there are several.
    TunnelColumns {
        /// Source address of the IP header that carried it.
        tunnel_src: Addr,
        /// Destination address of that header.
        tunnel_dst: Addr,
        /// VNI, TEID, GRE key, session or label.
        tunnel_id: u32,
        /// [`crate::model::TunnelKind`] as number; 0: no tunnel.
        tunnel_kind: u8,
    }
}

columns! {
    /// Texts in the batch's own arena.
    TextColumns {
        /// Elements 371, 40000.
        user_name: TextRef,
        /// Server name (host, SNI, query name) where the exporter tells.
        server_name: TextRef,
        /// Application name inside the record (element 96).
        app_name: TextRef,
        /// Interface name inside the record (element 82).
        if_name: TextRef,
        /// Element 95 as sent, where [`crate::model::app_id_len`] does not tell its length; not stored.
        app_id_sent: TextRef,
        /// JA4 fingerprint of the client's hello.
        ja4: TextRef,
    }
}

/// Opens gaps from the back, so that every value moves once.
fn spread<T: Copy + Default>(column: &mut Vec<T>, first: usize, twice: &[bool]) {
    let mut to = column.len() + twice.iter().filter(|t| **t).count();
    column.resize(to, T::default());
    for (i, &twice) in twice.iter().enumerate().rev() {
        let value = column[first + i];
        for _ in 0..1 + usize::from(twice) {
            to -= 1;
            column[to] = value;
        }
    }
}

/// A text in [`crate::model::FlowBatch::texts_arena`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextRef {
    /// First byte in the arena.
    pub at: u32,
    /// Bytes.
    pub len: u16,
}

/// An AS path in [`crate::model::FlowBatch::path_arena`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsPath {
    /// First element in the arena.
    pub at: u32,
    /// AS numbers.
    pub len: u16,
}

/// Up to ten label stack entries (RFC 3032 section 2.1 without TTL).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MplsStack {
    /// Each entry: label in bits 23-4, traffic class in bits 3-1, bottom of stack in bit 0.
    pub entries: [u32; 10],
    /// Bit p-1 is set when the entry of position p (1 is the top) was sent.
    pub positions: u16,
}

impl MplsStack {
    /// The entries that were sent, as (position from 1, label, traffic class, bottom of stack).
    pub fn iter(&self) -> impl Iterator<Item = (u8, u32, u8, bool)> + '_ {
        (0..10u8).filter(|p| self.positions >> p & 1 == 1).map(|p| {
            let e = self.entries[p as usize];
            (p + 1, e >> 4, (e >> 1 & 7) as u8, e & 1 == 1)
        })
    }
}

const _: () = assert!(
    CoreColumns::ROW_BYTES <= 160,
    "the core group has outgrown its budget"
);
