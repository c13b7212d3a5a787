//! A conversation to rows: one a direction that had packets.

use super::Measured;
use super::flow::{Facts, Flow, Half};
use crate::model::{
    Addr, AppProto, ConversationSide, Field, FlowBatch, Handshake, Measure, Provenance, RowFlags,
    SamplingSource, Tunnel,
};

/// Why a row was told (IPFIX element 136).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    Idle = 1,
    Active = 2,
    End = 3,
    Forced = 4,
    Pressure = 5,
}

/// Writes rows into a batch under one provenance a frame.
#[derive(Debug)]
pub(super) struct Rows {
    sensor: Addr,
    /// Provenance of the last row and the batch it lies in, by its number of provenances.
    last: Option<(Provenance, u16)>,
}

/// A direction that is told.
pub(super) struct Told<'a> {
    pub flow: &'a Flow,
    pub half: usize,
    pub facts: &'a Facts,
    pub measured: Measured,
    pub reason: Reason,
}

impl Rows {
    pub fn new(sensor: Addr) -> Self {
        Rows { sensor, last: None }
    }

    /// The exporter of the rows.
    pub fn sensor(&self) -> Addr {
        self.sensor
    }

    /// Where rows come from that a frame, or the time, causes now.
    fn provenance(&mut self, out: &mut FlowBatch, frame: u64, now_ns: i64) -> u16 {
        let p = Provenance {
            exporter: self.sensor,
            exporter_source: self.sensor,
            exporter_port: 0,
            domain: 0,
            origin: crate::model::Origin::Packets,
            received_at_ns: now_ns,
            exported_at_ms: now_ns.div_euclid(1_000_000),
            datagram: 0,
            frame,
        };
        match self.last {
            Some((last, at)) if last == p && out.provenances().get(usize::from(at)) == Some(&p) => {
                at
            }
            _ => {
                let at = out.push_provenance(p);
                self.last = Some((p, at));
                at
            }
        }
    }

    /// Appends a row.
    pub fn push(&mut self, told: &Told<'_>, frame: u64, now_ns: i64, out: &mut FlowBatch) {
        let provenance = self.provenance(out, frame, now_ns);
        let (flow, half) = (told.flow, &told.flow.halves[told.half]);
        let from_low = flow.low_began == (told.half == 0);
        let key = &flow.key;
        let c = &mut out.core;
        let ((src, src_port), (dst, dst_port)) = match from_low {
            true => ((key.low, key.low_port), (key.high, key.high_port)),
            false => ((key.high, key.high_port), (key.low, key.low_port)),
        };
        let mut present = ALWAYS;
        c.src_addr.push(src);
        c.dst_addr.push(dst);
        if !is_icmp(key.proto) {
            c.src_port.push(src_port);
            c.dst_port.push(dst_port);
            present |= Field::SrcPort.bit() | Field::DstPort.bit();
        }
        if key.proto == TCP {
            c.tcp_flags.push(half.tcp_flags);
            present |= Field::TcpFlags.bit();
        }
        c.proto.push(key.proto);
        c.bytes.push(half.bytes);
        c.packets.push(half.packets);
        c.start_ms.push(half.first_ns.div_euclid(1_000_000));
        c.end_ms.push(half.last_ns.div_euclid(1_000_000));
        c.tos.push(half.tos());
        c.in_if.push(half.interface);
        let version = if src.is_v4() { 4 } else { 6 };
        c.ip_version.push(version);
        c.flow_end_reason.push(told.reason as u8);
        c.sampling_interval.push(1);
        c.sampling_source.push(SamplingSource::Config as u8);
        c.provenance.push(provenance);
        if let Some(vlan) = told.facts.vlan {
            c.vlan.push(vlan);
            present |= Field::Vlan.bit();
        }
        present |= link(out, half, version, key.proto);
        present |= layer2(out, told.facts);
        wrapped(out, told.facts, &mut present);
        quality(out, told);
        spoken(out, told);
        present |= names(out, told);
        out.core.present.push(present);
        out.commit(1);
    }
}

/// Rarer attributes of the IP header.
fn link(out: &mut FlowBatch, half: &Half, version: u8, proto: u8) -> u64 {
    let link = out.link_mut();
    let mut present = Field::Ttl.bit();
    link.ttl.push(half.ttl);
    if version == 6 {
        link.ipv6_flow_label.push(half.flow_label);
        present |= Field::Ipv6FlowLabel.bit();
    }
    if is_icmp(proto) {
        link.icmp_type_code.push(half.icmp);
        present |= Field::IcmpTypeCode.bit();
    }
    present
}

fn layer2(out: &mut FlowBatch, facts: &Facts) -> u64 {
    let mut present = 0;
    if let Some(mac) = facts.src_mac {
        out.layer2_mut().src_mac.push(mac);
        present |= Field::SrcMac.bit();
    }
    if let Some(mac) = facts.dst_mac {
        out.layer2_mut().dst_mac.push(mac);
        present |= Field::DstMac.bit();
    }
    if let Some(vlan) = facts.inner_vlan {
        out.layer2_mut().dot1q_customer_vlan.push(vlan);
        present |= Field::Dot1qCustomerVlan.bit();
    }
    present
}

fn wrapped(out: &mut FlowBatch, facts: &Facts, present: &mut u64) {
    let Some(wrap) = &facts.wrap else { return };
    if let Some(mpls) = &wrap.mpls {
        out.mpls_mut().mpls.push(**mpls);
        *present |= Field::Mpls.bit();
    }
    if let Some(Tunnel { kind, id, src, dst }) = wrap.tunnel {
        let tunnel = out.tunnel_mut();
        tunnel.tunnel_kind.push(kind as u8);
        tunnel.tunnel_id.push(id);
        tunnel.tunnel_src.push(src);
        tunnel.tunnel_dst.push(dst);
    }
}

fn quality(out: &mut FlowBatch, told: &Told<'_>) {
    let (flow, m) = (told.flow, &told.measured);
    let q = out.quality_mut();
    q.conversation.push(flow.key.conversation(flow.began_ns));
    q.measured.push(m.taken | Measure::CeMarks.bit());
    q.ce_marks.push(flow.halves[told.half].ce_marks);
    q.conversation_side.push(match told.half {
        0 => ConversationSide::Initiator as u8,
        _ => ConversationSide::Responder as u8,
    });
    q.rtt_us.push(m.rtt_us);
    q.data_rtt_us.push(m.data_rtt_us);
    q.ttfb_us.push(m.ttfb_us);
    q.retransmits.push(m.retransmits);
    q.out_of_order.push(m.out_of_order);
    q.dup_acks.push(m.dup_acks);
    q.dns_rtt_us.push(m.dns_rtt_us);
    q.dns_rcode.push(m.dns_rcode);
    q.tls_version.push(m.tls_version);
    q.cert_expires_s.push(m.cert_expires_s);
    if m.taken & Measure::RtpPayload.bit() != 0 {
        q.rtp_payload.push(m.rtp_payload);
        q.codec.push(m.codec as u8);
        q.lost.push(m.lost);
        q.jitter_us.push(m.jitter_us);
        q.mos_x100.push(m.mos_x100);
    }
    q.zero_windows.push(m.zero_windows);
    q.resets.push(m.resets);
    if m.handshake != Handshake::None {
        q.handshake.push(m.handshake as u8);
    }
}

fn spoken(out: &mut FlowBatch, told: &Told<'_>) {
    let (proto, confidence) = told.flow.talk.proto();
    if proto != AppProto::Unknown {
        let spoken = out.spoken_mut();
        spoken.spoken.push(proto as u8);
        spoken.spoken_confidence.push(confidence);
    }
}

/// The names that the conversation gave itself.
fn names(out: &mut FlowBatch, told: &Told<'_>) -> u64 {
    let (mut present, mut flags) = (0, 0);
    if told.flow.talk.conflicts() {
        flags |= RowFlags::SEGMENTS_CONFLICT;
    }
    let Some(known) = told.flow.talk.known() else {
        if flags != 0 {
            out.core.flags.push(flags);
        }
        return 0;
    };
    if !known.server_name.is_empty() {
        let (text, cut) = out.push_text(&known.server_name);
        out.texts_mut().server_name.push(text);
        present |= Field::ServerName.bit();
        flags |= cut;
    }
    if !known.ja4.is_empty() {
        let (text, cut) = out.push_text(&known.ja4);
        out.texts_mut().ja4.push(text);
        flags |= cut;
    }
    if flags != 0 {
        out.core.flags.push(flags);
    }
    present
}

fn is_icmp(proto: u8) -> bool {
    matches!(proto, 1 | 58)
}

const TCP: u8 = 6;

/// What every row has.
const ALWAYS: u64 = Field::SrcAddr.bit()
    | Field::DstAddr.bit()
    | Field::Proto.bit()
    | Field::Bytes.bit()
    | Field::Packets.bit()
    | Field::StartMs.bit()
    | Field::EndMs.bit()
    | Field::Tos.bit()
    | Field::InIf.bit()
    | Field::IpVersion.bit()
    | Field::FlowEndReason.bit();
