//! One row of a batch, for tests, NDJSON and everything cold.

use super::{Addr, Field, FlowBatch, Half, Measure, MplsStack, Provenance, SamplingSource};

/// The value of a field, borrowed from its batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// A number.
    Number(u64),
    /// Milliseconds since 1970 UTC.
    Time(i64),
    /// An address.
    Addr(Addr),
    /// 48 bits.
    Mac(u64),
    /// RFC 6759 application id.
    AppId(u64),
    /// Bytes of a text.
    Text(&'a [u8]),
    /// AS numbers.
    Path(&'a [u32]),
    /// A label stack.
    Mpls(MplsStack),
}

/// Bytes in which an application id (engine in the top byte, selector below) is usually sent: 4 where the selector
/// fits into three, else 8 (RFC 6759 section 4).
pub fn app_id_len(id: u64) -> usize {
    if id & 0xff_ffff_ffff_ffff < 1 << 24 {
        4
    } else {
        8
    }
}

/// A borrowed row.
#[derive(Clone, Copy, Debug)]
pub struct FlowRow<'a> {
    batch: &'a FlowBatch,
    i: usize,
}

impl<'a> FlowRow<'a> {
    pub(super) fn new(batch: &'a FlowBatch, i: usize) -> Self {
        FlowRow { batch, i }
    }

    /// Position in the batch.
    pub fn index(&self) -> usize {
        self.i
    }

    /// Whether the record carried the field.
    pub fn has(&self, f: Field) -> bool {
        self.batch.core.present[self.i] & f.bit() != 0
    }

    /// Who said it and when.
    pub fn provenance(&self) -> &'a Provenance {
        self.batch.provenance_of(self.i)
    }

    /// Which half of a two-way record.
    pub fn half(&self) -> Half {
        Half::from_number(self.batch.core.half[self.i])
    }

    /// Where the sampling interval came from.
    pub fn sampling_source(&self) -> SamplingSource {
        SamplingSource::from_number(self.batch.core.sampling_source[self.i])
    }

    /// Bytes and packets times the sampling interval; [`scale`] is the one place that scales.
    pub fn estimate(&self) -> (u64, u64) {
        let c = &self.batch.core;
        scale(
            c.bytes[self.i],
            c.packets[self.i],
            c.sampling_interval[self.i],
        )
    }

    /// The field's value; `None` where the record did not carry it.
    pub fn value(&self, f: Field) -> Option<FieldValue<'a>> {
        if !self.has(f) {
            return None;
        }
        self.core_value(f).or_else(|| self.group_value(f))
    }

    /// What was measured; `None` where it was not.
    pub fn measure(&self, m: Measure) -> Option<u64> {
        let quality = self.batch.quality.as_ref()?;
        let taken = quality.measured[self.i] & m.bit() != 0;
        taken.then(|| m.cell(quality, self.i))
    }

    fn core_value(&self, f: Field) -> Option<FieldValue<'a>> {
        use FieldValue::{Addr as A, AppId, Number as N, Time as T};
        let (c, i) = (&self.batch.core, self.i);
        Some(match f {
            Field::SrcAddr => A(c.src_addr[i]),
            Field::DstAddr => A(c.dst_addr[i]),
            Field::NextHop => A(c.next_hop[i]),
            Field::SrcPort => N(c.src_port[i].into()),
            Field::DstPort => N(c.dst_port[i].into()),
            Field::Proto => N(c.proto[i].into()),
            Field::Bytes => N(c.bytes[i]),
            Field::Packets => N(c.packets[i]),
            Field::StartMs => T(c.start_ms[i]),
            Field::EndMs => T(c.end_ms[i]),
            Field::Tos => N(c.tos[i].into()),
            Field::TcpFlags => N(c.tcp_flags[i].into()),
            Field::InIf => N(c.in_if[i].into()),
            Field::OutIf => N(c.out_if[i].into()),
            Field::SrcAs => N(c.src_as[i].into()),
            Field::DstAs => N(c.dst_as[i].into()),
            Field::SrcMask => N(c.src_mask[i].into()),
            Field::DstMask => N(c.dst_mask[i].into()),
            Field::Vlan => N(c.vlan[i].into()),
            Field::Direction => N(c.direction[i].into()),
            Field::FlowEndReason => N(c.flow_end_reason[i].into()),
            Field::ForwardingStatus => N(c.forwarding_status[i].into()),
            Field::IpVersion => N(c.ip_version[i].into()),
            Field::AppId => AppId(c.app_id[i]),
            _ => return None,
        })
    }

    fn group_value(&self, f: Field) -> Option<FieldValue<'a>> {
        use FieldValue::{Addr as A, Mac as M, Mpls, Number as N, Path, Text, Time as T};
        let (b, i) = (self.batch, self.i);
        Some(match f {
            Field::NatSrcAddr => A(b.nat.as_ref()?.nat_src_addr[i]),
            Field::NatDstAddr => A(b.nat.as_ref()?.nat_dst_addr[i]),
            Field::NatSrcPort => N(b.nat.as_ref()?.nat_src_port[i].into()),
            Field::NatDstPort => N(b.nat.as_ref()?.nat_dst_port[i].into()),
            Field::NatEvent => N(b.nat.as_ref()?.nat_event[i].into()),
            Field::FirewallEvent => N(b.firewall.as_ref()?.firewall_event[i].into()),
            Field::FwExtEvent => N(b.firewall.as_ref()?.fw_ext_event[i].into()),
            Field::FlowId => N(b.firewall.as_ref()?.flow_id[i]),
            Field::EventMs => T(b.firewall.as_ref()?.event_ms[i]),
            Field::SrcMac => M(b.layer2.as_ref()?.src_mac[i]),
            Field::DstMac => M(b.layer2.as_ref()?.dst_mac[i]),
            Field::PostSrcMac => M(b.layer2.as_ref()?.post_src_mac[i]),
            Field::PostDstMac => M(b.layer2.as_ref()?.post_dst_mac[i]),
            Field::Ethertype => N(b.layer2.as_ref()?.ethertype[i].into()),
            Field::PostVlan => N(b.layer2.as_ref()?.post_vlan[i].into()),
            Field::Dot1qVlan => N(b.layer2.as_ref()?.dot1q_vlan[i].into()),
            Field::PostDot1qVlan => N(b.layer2.as_ref()?.post_dot1q_vlan[i].into()),
            Field::Dot1qCustomerVlan => N(b.layer2.as_ref()?.dot1q_customer_vlan[i].into()),
            Field::L2Bytes => N(b.layer2.as_ref()?.l2_bytes[i]),
            Field::Layer2SegmentId => N(b.layer2.as_ref()?.layer2_segment_id[i]),
            Field::InPhysIf => N(b.link.as_ref()?.in_phys_if[i].into()),
            Field::OutPhysIf => N(b.link.as_ref()?.out_phys_if[i].into()),
            Field::IngressVrf => N(b.link.as_ref()?.ingress_vrf[i].into()),
            Field::EgressVrf => N(b.link.as_ref()?.egress_vrf[i].into()),
            Field::Ttl => N(b.link.as_ref()?.ttl[i].into()),
            Field::Ipv6FlowLabel => N(b.link.as_ref()?.ipv6_flow_label[i].into()),
            Field::IcmpTypeCode => N(b.link.as_ref()?.icmp_type_code[i].into()),
            Field::PostTos => N(b.link.as_ref()?.post_tos[i].into()),
            Field::OutBytes => N(b.counters.as_ref()?.out_bytes[i]),
            Field::OutPackets => N(b.counters.as_ref()?.out_packets[i]),
            Field::BytesTotal => N(b.counters.as_ref()?.bytes_total[i]),
            Field::PacketsTotal => N(b.counters.as_ref()?.packets_total[i]),
            Field::BgpNextHop => A(b.bgp.as_ref()?.bgp_next_hop[i]),
            Field::SrcPeerAs => N(b.bgp.as_ref()?.src_peer_as[i].into()),
            Field::DstPeerAs => N(b.bgp.as_ref()?.dst_peer_as[i].into()),
            Field::DstAsPath => Path(b.path(b.bgp.as_ref()?.dst_as_path[i])),
            Field::Mpls => Mpls(b.mpls.as_ref()?.mpls[i]),
            Field::UserName => Text(b.text(b.texts.as_ref()?.user_name[i])),
            Field::ServerName => Text(b.text(b.texts.as_ref()?.server_name[i])),
            Field::IfName => Text(b.text(b.texts.as_ref()?.if_name[i])),
            _ => return None,
        })
    }
}

/// Scales counters by the sampling interval (1 in N): what [`FlowRow::estimate`] does to a whole row, for a share of one.
#[inline(always)]
pub fn scale(bytes: u64, packets: u64, interval: u32) -> (u64, u64) {
    let n = u64::from(interval.max(1));
    (bytes.saturating_mul(n), packets.saturating_mul(n))
}

/// Variance of the estimated bytes of a flow (bytes squared), of whose packets 1 in `interval` was sampled by chance: each sampled packet of `b`
/// bytes gives `interval * (interval - 1) * b^2` (Horvitz and Thompson 1952, for independent packets). The sum of the squares is not reported; it
/// is estimated from bytes and packets for lengths whose variance is 1.6 squares of their mean, which says nothing of a single packet, and is never more than
/// that of full packets. `flows.variance` in `schemas/` is its twin. Variances add up; [`error_of`] tells what that means.
#[inline(always)]
pub fn variance(bytes: u64, packets: u64, interval: u32) -> f64 {
    if interval <= 1 {
        return 0.0;
    }
    let (bytes, packets) = (bytes as f64, packets.max(1) as f64);
    let interval = f64::from(interval);
    let by_cv = bytes * (1.0 + LENGTHS_CV2) / (packets + LENGTHS_CV2);
    let squares = bytes * by_cv.min(FULL_PACKET_BYTES.max(bytes / packets));
    interval * (interval - 1.0) * squares
}

/// The relative error of estimated bytes that is not exceeded in 95 % of cases: with the relative deviation s, 1.96 s of a normal distribution,
/// and 1.92 s^2 (half the square of 1.96, as in the score interval of a Poisson count), because what few packets say is skewed.
pub fn error_of(variance: f64, bytes: f64) -> f64 {
    let deviation = variance.sqrt() / bytes;
    1.96 * deviation + 1.92 * deviation * deviation
}

/// Variance of the lengths of a flow's packets, in squares of their mean: that of 40, 576 and 1500 bytes in 7, 4 and 1 of 12 packets.
const LENGTHS_CV2: f64 = 1.6;
/// Packets are not longer, but where their mean is.
const FULL_PACKET_BYTES: f64 = 1_500.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_is_that_of_sampled_packets() {
        assert_eq!(variance(5_000, 10, 1), 0.0);
        assert_eq!(variance(576, 1, 1_000), 999_000.0 * 576.0 * 576.0);
        // one length: at most that of full packets, and never less than the truth
        let full = variance(1_500_000, 1_000, 100) / 9_900.0;
        assert_eq!(full, 1_000.0 * 1_500.0 * 1_500.0);
        assert_eq!(
            variance(90_000, 10, 100) / 9_900.0,
            10.0 * 9_000.0 * 9_000.0
        );
        // lengths as on the internet
        let lengths = [(7_000.0, 40.0f64), (4_000.0, 576.0), (1_000.0, 1_500.0)];
        let sum = |power: i32| lengths.iter().map(|(n, b)| n * b.powi(power)).sum::<f64>();
        let estimate = variance(sum(1) as u64, 12_000, 100) / 9_900.0;
        assert!(
            (estimate / sum(2) - 1.0).abs() < 0.01,
            "{estimate} {}",
            sum(2)
        );
        assert_eq!(variance(0, 0, 100), 0.0);
        // 25 full packets at 1 in 1,000 beside 40 MB that were not sampled
        let mixed = error_of(variance(37_500, 25, 1_000), 77.5e6);
        assert!((mixed - 0.208).abs() < 0.001, "{mixed}");
        assert!(variance(u64::MAX, 0, u32::MAX).is_finite());
    }
}
