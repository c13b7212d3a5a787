//! sFlow version 5: samples of packet headers, and interface counters.

use super::exporter::put;
use super::{Export, Exporter, Flow, Stamp};

/// What an sFlow agent counts.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    samples: u32,
    /// Bytes and packets of the uplink, in and out, as the samples make them.
    uplink: [(u64, u64); 2],
    counted: u32,
    /// The flow whose packets are sampled, and the lengths and TCP flags of those that are to come, where it really samples.
    pub flow: Option<Flow>,
    pub seen: Vec<(u64, u8)>,
}

pub(super) fn write(e: &mut Exporter, now_ms: i64, out: &mut Export) {
    let p = &mut out.payload;
    put(p, 5, 4);
    if e.habits.agent.is_v4() {
        put(p, 1, 4);
        p.extend_from_slice(&e.habits.agent.0[12..]);
    } else {
        put(p, 2, 4);
        p.extend_from_slice(&e.habits.agent.0);
    }
    put(p, 0, 4);
    put(p, u64::from(e.sequence), 4);
    out.stamps.push(Stamp::Clock32(p.len() as u16));
    put(p, u64::from(e.uptime(now_ms)), 4);
    let count_at = p.len();
    put(p, 0, 4);
    let mut samples = 0u32;
    if e.datagrams.is_multiple_of(COUNTERS_EVERY) {
        counter_sample(e, out);
        samples += 1;
    }
    while out.payload.len() + SAMPLE_BYTES_MAX <= e.habits.datagram_max {
        let flow = packet(e, now_ms);
        flow_sample(e, &flow, out);
        out.flows.push(flow);
        samples += 1;
    }
    out.payload[count_at..count_at + 4].copy_from_slice(&samples.to_be_bytes());
    out.units = 1;
}

/// A flow of one packet.
fn packet(e: &mut Exporter, now_ms: i64) -> Flow {
    if e.samples() {
        let flow = match e.sflow.flow.take() {
            Some(flow) if !e.sflow.seen.is_empty() => flow,
            _ => e.flow(now_ms),
        };
        let (bytes, tcp_flags) = e.sflow.seen.pop().unwrap_or_default();
        e.sflow.flow = Some(flow.clone());
        return Flow {
            bytes,
            packets: 1,
            tcp_flags,
            ..flow
        };
    }
    let mut flow = e.flow(now_ms);
    flow.bytes /= flow.packets;
    flow.packets = 1;
    (flow.start_ms, flow.end_ms) = (now_ms, now_ms);
    flow
}

fn flow_sample(e: &mut Exporter, f: &Flow, out: &mut Export) {
    let rate = e.habits.sampling.max(1);
    e.sflow.samples += 1;
    let uplink = e.site().uplinks.0;
    let side = &mut e.sflow.uplink[usize::from(f.out_if == uplink)];
    side.0 += f.bytes * u64::from(rate);
    side.1 += u64::from(rate);
    let header = header(f);
    let p = &mut out.payload;
    put(p, 1, 4);
    put(
        p,
        (8 * 4 + 8 + 16 + header.len().next_multiple_of(4)) as u64,
        4,
    );
    out.stamps.push(Stamp::SampleSequence(p.len() as u16));
    put(p, u64::from(e.sflow.samples), 4);
    put(p, u64::from(uplink), 4);
    put(p, u64::from(rate), 4);
    out.stamps.push(Stamp::SamplePool(p.len() as u16));
    put(p, u64::from(e.sflow.samples.wrapping_mul(rate)), 4);
    put(p, 0, 4);
    put(p, u64::from(f.in_if), 4);
    put(p, u64::from(f.out_if), 4);
    put(p, 1, 4);
    // one record: the sampled header (enterprise 0, format 1) of an Ethernet frame whose checksum was stripped
    put(p, 1, 4);
    put(p, (16 + header.len().next_multiple_of(4)) as u64, 4);
    put(p, 1, 4);
    put(p, f.bytes + ETHERNET_BYTES + CHECKSUM_BYTES, 4);
    put(p, CHECKSUM_BYTES, 4);
    put(p, header.len() as u64, 4);
    p.extend_from_slice(&header);
    p.resize(p.len().next_multiple_of(4), 0);
}

/// The first bytes of the packet: Ethernet with a VLAN tag, IP, transport, then zeros.
fn header(f: &Flow) -> Vec<u8> {
    let mut h = Vec::with_capacity(HEADER_BYTES_MAX);
    h.extend_from_slice(&[0x02, 0, 0x5e, 0, 0, 1, 0x02, 0, 0x5e, 0, 0, 2, 0x81, 0]);
    put(&mut h, u64::from(f.vlan), 2);
    if f.is_v6() {
        put(&mut h, 0x86dd, 2);
        put(&mut h, 6 << 28 | u64::from(f.tos) << 20, 4);
        put(&mut h, f.bytes - 40, 2);
        h.extend_from_slice(&[f.protocol, 64]);
        h.extend_from_slice(&f.source.0);
        h.extend_from_slice(&f.destination.0);
    } else {
        put(&mut h, 0x0800, 2);
        let at = h.len();
        h.extend_from_slice(&[0x45, f.tos]);
        put(&mut h, f.bytes, 2);
        h.extend_from_slice(&[0, 0, 0x40, 0, 64, f.protocol, 0, 0]);
        h.extend_from_slice(&f.source.0[12..]);
        h.extend_from_slice(&f.destination.0[12..]);
        let sum = checksum(&h[at..]).to_be_bytes();
        h[at + 10..at + 12].copy_from_slice(&sum);
    }
    match f.protocol {
        6 => {
            put(&mut h, u64::from(f.source_port), 2);
            put(&mut h, u64::from(f.destination_port), 2);
            h.extend_from_slice(&[
                0,
                0,
                0,
                1,
                0,
                0,
                0,
                1,
                0x50,
                f.tcp_flags,
                0x20,
                0,
                0,
                0,
                0,
                0,
            ]);
        }
        17 => {
            put(&mut h, u64::from(f.source_port), 2);
            put(&mut h, u64::from(f.destination_port), 2);
            put(&mut h, f.bytes - if f.is_v6() { 40 } else { 20 }, 2);
            put(&mut h, 0, 2);
        }
        _ => {
            put(&mut h, u64::from(f.destination_port), 2);
            put(&mut h, 0, 6);
        }
    }
    h.resize(HEADER_BYTES_MAX.min((f.bytes + ETHERNET_BYTES) as usize), 0);
    h
}

/// Generic interface counters of the uplink.
fn counter_sample(e: &mut Exporter, out: &mut Export) {
    e.sflow.counted += 1;
    let uplink = e.site().uplinks.0;
    let p = &mut out.payload;
    put(p, 2, 4);
    put(p, 12 + 8 + 88, 4);
    out.stamps.push(Stamp::CounterSequence(p.len() as u16));
    put(p, u64::from(e.sflow.counted), 4);
    put(p, u64::from(uplink), 4);
    put(p, 1, 4);
    put(p, 1, 4);
    put(p, 88, 4);
    put(p, u64::from(uplink), 4);
    put(p, 6, 4);
    put(p, 10_000_000_000, 8);
    put(p, 1, 4);
    put(p, 3, 4);
    for (side, (bytes, packets)) in e.sflow.uplink.into_iter().enumerate() {
        // sent again, the counter must not fall: it grows with the clock instead
        out.stamps.push(Stamp::Clock64(p.len() as u16));
        put(p, bytes, 8);
        put(p, packets & 0xffff_ffff, 4);
        // multicast, broadcast, discards, errors; inbound also unknown protocols
        let zeros = if side == 0 { 5 } else { 4 };
        p.resize(p.len() + 4 * zeros, 0);
    }
    put(p, 0, 4);
    out.others += 1;
}

/// The checksum of RFC 1071 over an even number of bytes.
pub(super) fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks_exact(2)
        .map(|b| u32::from(u16::from_be_bytes([b[0], b[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !(((folded & 0xffff) + (folded >> 16)) as u16)
}

const HEADER_BYTES_MAX: usize = 128;
/// Ethernet header with one VLAN tag.
const ETHERNET_BYTES: u64 = 18;
const CHECKSUM_BYTES: u64 = 4;
const SAMPLE_BYTES_MAX: usize = 8 + 32 + 8 + 16 + HEADER_BYTES_MAX;
const COUNTERS_EVERY: u64 = 20;
