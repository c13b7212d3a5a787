//! A flow sample as a row.

use super::record::{FlowRecord, Gateway, IpRecord};
use super::wire::{FlowSample, Interface};
use crate::decode::overrides::{OfExporter, Overrides};
use crate::decode::{Settings, sampling};
use crate::dissect::{self, HeaderView};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Field, FlowBatch, RowFlags, SamplingSource};

/// Writes rows; keeps buffers between them.
#[derive(Debug)]
pub(super) struct RowWriter {
    sampling_max: u32,
    overrides: Overrides,
    /// Those of the exporter whose samples come.
    overridden: Option<OfExporter>,
    path: Vec<u32>,
}

/// What a sample says about its packet, gathered from all records. What the sampled header says comes before what
/// an IP record says, that before an Ethernet record.
#[derive(Default)]
struct Packet<'a> {
    header: HeaderView,
    /// Frame length and bytes stripped.
    frame: Option<(u32, u32)>,
    ip: Option<IpRecord>,
    /// Length, source and destination MAC, Ethertype.
    ethernet: Option<(u32, u64, u64, u32)>,
    /// VLANs of the switch, source and destination.
    switch: Option<(u32, u32)>,
    router: Option<(Addr, u32, u32)>,
    gateway: Option<Gateway<'a>>,
    nat: Option<(Addr, Addr)>,
    nat_ports: Option<(u32, u32)>,
    user: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    labels: Option<&'a [u8]>,
}

impl RowWriter {
    /// Sampling intervals above `sampling_max` are flagged, not applied.
    pub(super) fn new(settings: &Settings) -> Self {
        RowWriter {
            sampling_max: settings.sampling_max,
            overrides: settings.sampling_overrides.clone(),
            overridden: None,
            path: Vec::new(),
        }
    }

    /// Samples of this exporter come now.
    pub(super) fn begin(&mut self, exporter: Addr) {
        self.overridden = self.overrides.of(exporter);
    }

    /// Writes the row of a sample and counts it; false where no record of it can be read. `place` is the sample's place in its
    /// datagram, `flags` what is special about that.
    pub(super) fn write(
        &mut self,
        sample: &FlowSample<'_>,
        (place, provenance, flags): (u64, u16, u32),
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> bool {
        let Some(packet) = Packet::gather(sample, tally) else {
            return false;
        };
        out.commit(1);
        let i = out.len() - 1;
        let mut present = self.core(i, &packet, sample, out, tally);
        present |= layer2(i, &packet, out) | link(i, &packet.header, out);
        present |= self.routing(i, &packet, out, tally) | nat(i, &packet, out);
        present |= labels(i, &packet, out) | texts(i, &packet, out, tally);
        out.core.present[i] = present;
        out.core.flags[i] |= flags;
        out.core.record[i] = place.min(u64::from(u16::MAX)) as u16;
        out.core.provenance[i] = provenance;
        for outcome in [
            Outcome::SetsDecoded,
            Outcome::RecordsDecoded,
            Outcome::RecordsFlow,
            Outcome::Rows,
        ] {
            tally.one(outcome);
        }
        true
    }

    fn core(
        &self,
        i: usize,
        packet: &Packet<'_>,
        sample: &FlowSample<'_>,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> u64 {
        let (c, h) = (&mut out.core, &packet.header);
        let mut present = Field::Packets.bit();
        c.packets[i] = 1;
        macro_rules! set {
            ($($field:ident $column:ident = $value:expr;)*) => {
                $(if let Some(v) = $value { c.$column[i] = v; present |= Field::$field.bit(); })*
            };
        }
        let ip = packet.ip.as_ref();
        let ports = ip.filter(|r| matches!(r.proto, 6 | 17 | 33 | 132 | 136));
        set! {
            SrcAddr src_addr = h.src_addr.or(ip.map(|r| r.src));
            DstAddr dst_addr = h.dst_addr.or(ip.map(|r| r.dst));
            Proto proto = h.proto.or(ip.map(|r| r.proto as u8));
            Tos tos = h.tos.or(ip.map(|r| r.tos as u8));
            IpVersion ip_version = h.ip_version.or(ip.map(|r| r.version));
            SrcPort src_port = h.src_port.or(ports.map(|r| r.src_port as u16));
            DstPort dst_port = h.dst_port.or(ports.map(|r| r.dst_port as u16));
            TcpFlags tcp_flags = h.tcp_flags.or(ports.filter(|r| r.proto == 6).map(|r| r.tcp_flags as u16));
            Bytes bytes = packet.bytes();
            InIf in_if = index(sample.input);
            OutIf out_if = index(sample.output);
            NextHop next_hop = packet.router.map(|r| r.0);
            SrcMask src_mask = packet.router.and_then(|r| u8::try_from(r.1).ok());
            DstMask dst_mask = packet.router.and_then(|r| u8::try_from(r.2).ok());
            SrcAs src_as = packet.gateway.map(|g| g.src_as);
            Vlan vlan = vlan(packet.switch.map(|s| s.0)).or(h.vlans.as_slice().first().copied());
            Direction direction = direction(sample);
            ForwardingStatus forwarding_status = (sample.output.format == 1).then_some(DROPPED);
        }
        if packet.frame.is_some() {
            c.flags[i] |= RowFlags::FROM_HEADER;
        }
        if h.cut {
            c.flags[i] |= RowFlags::HEADER_CUT;
        }
        // without any packet in the sample nothing says that it was none of IP
        let seen = packet.frame.is_some() || packet.ethernet.is_some();
        if seen && h.network_at.is_none() && ip.is_none() && !packet.is_ethernet_ip() {
            c.flags[i] |= RowFlags::NOT_IP;
        }
        let (interval, source, flags) = self.sampling(sample);
        c.sampling_interval[i] = interval;
        c.sampling_source[i] = source as u8;
        c.flags[i] |= flags;
        sampling::count(flags, 1, tally);
        present
    }

    /// Interval, where it came from and flags of a sample's rate.
    fn sampling(&self, sample: &FlowSample<'_>) -> (u32, SamplingSource, u32) {
        let overrides = self.overridden.as_ref();
        // an agent has no names of samplers
        let told = overrides.and_then(|o| o.interval(metered_at(sample), None));
        if let Some(n) = told {
            return (n, SamplingSource::Override, 0);
        }
        match sample.rate {
            0 => (1, SamplingSource::Unknown, RowFlags::SAMPLING_UNKNOWN),
            n if n > self.sampling_max => (1, SamplingSource::Unknown, sampling::REFUSED),
            n => (n, SamplingSource::Header, 0),
        }
    }

    fn routing(
        &mut self,
        i: usize,
        packet: &Packet<'_>,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> u64 {
        let Some(gateway) = &packet.gateway else {
            return 0;
        };
        self.path.clear();
        gateway.path(&mut self.path);
        let mut present = Field::BgpNextHop.bit() | Field::SrcPeerAs.bit() | Field::DstAsPath.bit();
        let (path, cut) = out.push_path(&self.path);
        if cut != 0 {
            out.core.flags[i] |= cut;
            tally.one(Outcome::TextsCut);
        }
        let bgp = out.bgp_mut();
        bgp.bgp_next_hop[i] = gateway.next_hop;
        bgp.src_peer_as[i] = gateway.src_peer_as;
        bgp.dst_as_path[i] = path;
        if let (Some(&peer), Some(&last)) = (self.path.first(), self.path.last()) {
            bgp.dst_peer_as[i] = peer;
            out.core.dst_as[i] = last;
            present |= Field::DstPeerAs.bit() | Field::DstAs.bit();
        }
        present
    }
}

impl<'a> Packet<'a> {
    /// `None` where something is broken and nothing else is there.
    fn gather(sample: &FlowSample<'a>, tally: &mut Tally) -> Option<Self> {
        let mut p = Packet::default();
        let (mut read, mut broken) = (false, false);
        let mut records = sample.records.clone();
        for item in records.by_ref() {
            let Some(record) = FlowRecord::read(&item) else {
                tally.one(Outcome::FieldsMalformed);
                broken = true;
                continue;
            };
            read |= record != FlowRecord::Other;
            match record {
                FlowRecord::Header {
                    protocol,
                    frame_length,
                    stripped,
                    header,
                } => {
                    p.header = dissect::sampled_header(protocol, header);
                    p.frame = Some((frame_length, stripped));
                }
                FlowRecord::Ethernet {
                    length,
                    src_mac,
                    dst_mac,
                    ethertype,
                } => p.ethernet = Some((length, src_mac, dst_mac, ethertype)),
                FlowRecord::Ip(ip) => p.ip = Some(ip),
                FlowRecord::Switch {
                    src_vlan, dst_vlan, ..
                } => p.switch = Some((src_vlan, dst_vlan)),
                FlowRecord::Router {
                    next_hop,
                    src_mask,
                    dst_mask,
                } => p.router = Some((next_hop, src_mask, dst_mask)),
                FlowRecord::Gateway(gateway) => p.gateway = Some(gateway),
                FlowRecord::User { src, .. } => p.user = Some(src),
                FlowRecord::Url { host, .. } => p.host = Some(host),
                FlowRecord::Mpls { in_stack, .. } => p.labels = Some(in_stack),
                FlowRecord::Nat { src, dst } => p.nat = Some((src, dst)),
                FlowRecord::NatPort { src, dst } => p.nat_ports = Some((src, dst)),
                FlowRecord::Other => tally.one(Outcome::FieldsUnknown),
            }
        }
        if records.left() > 0 {
            tally.one(Outcome::FieldsMalformed);
            broken = true;
        }
        (read || !broken).then_some(p)
    }

    /// Layer-3 bytes: the IP length; where it says nothing, the frame without what stands before IP; of a frame that
    /// is no IP packet, its length less what was stripped. Of an Ethernet record about an IP packet, its length without
    /// header and check sequence; what tags there were it does not tell.
    fn bytes(&self) -> Option<u64> {
        let h = &self.header;
        let frame = self
            .frame
            .map(|(length, stripped)| length.saturating_sub(stripped));
        let ethernet = self.ethernet.map(|e| match self.is_ethernet_ip() {
            true => e.0.saturating_sub(ETHERNET_AROUND),
            false => e.0,
        });
        let length = h.layer3_len(frame).or(frame);
        length
            .or(self.ip.map(|r| r.length))
            .or(ethernet)
            .map(u64::from)
    }

    /// Whether an Ethernet record says that the packet is one of IP.
    fn is_ethernet_ip(&self) -> bool {
        self.ethernet
            .is_some_and(|e| matches!(e.3, 0x0800 | 0x86dd))
    }
}

fn layer2(i: usize, packet: &Packet<'_>, out: &mut FlowBatch) -> u64 {
    let h = &packet.header;
    let e = packet.ethernet;
    let mut present = 0;
    macro_rules! set {
        ($($field:ident $column:ident = $value:expr;)*) => {
            $(if let Some(v) = $value { out.layer2_mut().$column[i] = v; present |= Field::$field.bit(); })*
        };
    }
    let ethertype = h.ethertype.or(e.map(|e| e.3 as u16));
    set! {
        SrcMac src_mac = h.src_mac.or(e.map(|e| e.1));
        DstMac dst_mac = h.dst_mac.or(e.map(|e| e.2));
        Ethertype ethertype = ethertype.filter(|t| *t >= ETHERTYPE_MIN);
        L2Bytes l2_bytes = packet.frame.map(|f| f.0).or(e.map(|e| e.0)).map(u64::from);
        PostVlan post_vlan = vlan(packet.switch.map(|s| s.1));
        Dot1qVlan dot1q_vlan = h.vlans.as_slice().first().copied();
        Dot1qCustomerVlan dot1q_customer_vlan = h.vlans.as_slice().get(1).copied();
    }
    present
}

fn link(i: usize, h: &HeaderView, out: &mut FlowBatch) -> u64 {
    let mut present = 0;
    macro_rules! set {
        ($($field:ident $column:ident = $value:expr;)*) => {
            $(if let Some(v) = $value { out.link_mut().$column[i] = v; present |= Field::$field.bit(); })*
        };
    }
    let icmp = h.icmp_type.zip(h.icmp_code);
    set! {
        Ttl ttl = h.ttl;
        Ipv6FlowLabel ipv6_flow_label = h.flow_label;
        IcmpTypeCode icmp_type_code = icmp.map(|(t, c)| u16::from_be_bytes([t, c]));
    }
    present
}

fn nat(i: usize, packet: &Packet<'_>, out: &mut FlowBatch) -> u64 {
    let mut present = 0;
    if let Some((src, dst)) = packet.nat {
        let nat = out.nat_mut();
        (nat.nat_src_addr[i], nat.nat_dst_addr[i]) = (src, dst);
        present |= Field::NatSrcAddr.bit() | Field::NatDstAddr.bit();
    }
    if let Some((src, dst)) = packet.nat_ports {
        let nat = out.nat_mut();
        (nat.nat_src_port[i], nat.nat_dst_port[i]) = (src as u16, dst as u16);
        present |= Field::NatSrcPort.bit() | Field::NatDstPort.bit();
    }
    present
}

/// The label stack of the sampled header, else that of the extended MPLS record.
fn labels(i: usize, packet: &Packet<'_>, out: &mut FlowBatch) -> u64 {
    let mut stack = packet.header.mpls;
    if stack.positions == 0 {
        let words = packet.labels.unwrap_or_default().chunks_exact(4);
        for (p, (slot, w)) in stack.entries.iter_mut().zip(words).enumerate() {
            *slot = u32::from_be_bytes([w[0], w[1], w[2], w[3]]) >> 8;
            stack.positions |= 1 << p;
        }
    }
    if stack.positions == 0 {
        return 0;
    }
    out.mpls_mut().mpls[i] = stack;
    Field::Mpls.bit()
}

fn texts(i: usize, packet: &Packet<'_>, out: &mut FlowBatch, tally: &mut Tally) -> u64 {
    let mut present = 0;
    let mut cut = 0;
    if let Some(user) = packet.user {
        let (text, flag) = out.push_text(user);
        out.texts_mut().user_name[i] = text;
        (present, cut) = (present | Field::UserName.bit(), cut | flag);
    }
    if let Some(host) = packet.host {
        let (text, flag) = out.push_text(host);
        out.texts_mut().server_name[i] = text;
        (present, cut) = (present | Field::ServerName.bit(), cut | flag);
    }
    if cut != 0 {
        out.core.flags[i] |= cut;
        tally.one(Outcome::TextsCut);
    }
    present
}

/// The ifIndex of an interface; none where the packet was discarded or left through several. 0x3fffffff stays: the
/// specification (section 5.3) has it for "no input or output interface", for traffic that begins or ends in the exporter.
/// The interface at which a packet was sampled.
fn metered_at(sample: &FlowSample<'_>) -> Option<u32> {
    match direction(sample) {
        Some(1) => index(sample.output),
        _ => index(sample.input),
    }
}

fn index(interface: Interface) -> Option<u32> {
    (interface.format == 0).then_some(interface.value)
}

/// A VLAN of the extended switch record; all ones and other impossible ids mean that it is not known.
fn vlan(id: Option<u32>) -> Option<u16> {
    u16::try_from(id?).ok().filter(|v| (1..=4095).contains(v))
}

/// Where the packet was sampled: the source of the sample is the ingress or the egress interface.
fn direction(sample: &FlowSample<'_>) -> Option<u8> {
    let is_source = |side: Interface| {
        sample.source.class == 0 && side.format == 0 && side.value == sample.source.index
    };
    match (is_source(sample.input), is_source(sample.output)) {
        (true, _) => Some(0),
        (false, true) => Some(1),
        _ => None,
    }
}

/// Forwarding status of a dropped packet, reason unknown (RFC 7270 section 4.12).
const DROPPED: u8 = 0x80;
const ETHERTYPE_MIN: u16 = 0x0600;
/// Bytes of an Ethernet frame around a packet: addresses, Ethertype and check sequence.
const ETHERNET_AROUND: u32 = 18;
