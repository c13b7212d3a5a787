//! sFlow samples.

use super::value::{header, mac};
use super::{Record, count};
use crate::decode::Reason;
use crate::decode::sflow::{
    CountersSample, FlowRecord, FlowSample, Format, Header, IpRecord, Item, Items, Sample, Source,
    count_rest, interface_counters,
};
use crate::dissect;
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Datagram, InterfaceCounters};
use serde_json::{Value, json};

/// Hands out the samples of a datagram.
pub(super) fn datagram(
    d: &Datagram<'_>,
    tally: &mut Tally,
    each: &mut dyn FnMut(Record),
) -> Result<(), Reason> {
    let (head, reader) = Header::read(d.payload).map_err(|(_, reason)| reason)?;
    let mut samples = Items::new(reader, head.samples);
    let mut place = 0;
    for item in samples.by_ref() {
        place += 1;
        tally.one(Outcome::Sets);
        let mut record = preamble(d, &head, place, &item);
        let outcome = match Sample::read(&item) {
            Sample::Flow(sample) => {
                flow(&sample, &mut record);
                Outcome::RecordsFlow
            }
            Sample::Counters(sample) => {
                counters(&sample, &mut record);
                Outcome::RecordsCounters
            }
            Sample::Other => {
                tally.one(Outcome::SetsRejectedFormat);
                record.insert("kind".into(), json!("other"));
                each(record);
                continue;
            }
            Sample::Broken => {
                tally.one(Outcome::SetsRejectedRecord);
                continue;
            }
        };
        tally.one(Outcome::SetsDecoded);
        count(tally, outcome);
        each(record);
    }
    count_rest(&samples, d.cut, tally);
    Ok(())
}

fn preamble(d: &Datagram<'_>, head: &Header, place: u64, item: &Item<'_>) -> Record {
    let mut record = Record::new();
    let mut put = |name: &str, value: Value| record.insert(name.into(), value);
    put("datagram", json!(d.number));
    put("version", json!(5));
    put("agent", address(head.agent));
    put("sub_agent", json!(head.sub_agent));
    put("sequence", json!(head.sequence));
    put("uptime_ms", json!(head.uptime_ms));
    put("samples", json!(head.samples));
    put("sample", json!(place));
    let kind = match item.format {
        Format {
            enterprise: 0,
            number: n @ 1..=4,
        } => json!(n),
        other => json!(format_text(other)),
    };
    put("sample_type", kind);
    record
}

fn flow(sample: &FlowSample<'_>, record: &mut Record) {
    record.insert("kind".into(), json!("flow"));
    numbers(sample.sequence, sample.source, record);
    for (name, value) in [
        ("sampling_rate", sample.rate),
        ("sample_pool", sample.pool),
        ("drops", sample.drops),
        ("input_format", sample.input.format),
        ("input", sample.input.value),
        ("output_format", sample.output.format),
        ("output", sample.output.value),
    ] {
        record.insert(name.into(), json!(value));
    }
    for item in sample.records.clone() {
        if let Some(read) = FlowRecord::read(&item) {
            flow_record(&read, record);
        }
    }
    records(sample.records.clone(), record);
}

/// What a record says about the packet itself.
fn flow_record(read: &FlowRecord<'_>, record: &mut Record) {
    let mut put = |name: &str, value: Value| {
        record.insert(name.into(), value);
    };
    match *read {
        FlowRecord::Header {
            protocol,
            frame_length,
            stripped,
            header: bytes,
        } => {
            put("header_protocol", json!(protocol));
            put("frame_length", json!(frame_length));
            put("stripped", json!(stripped));
            put("header_length", json!(bytes.len()));
            header("inner_", &dissect::sampled_header(protocol, bytes), record);
        }
        FlowRecord::Ethernet {
            length,
            src_mac,
            dst_mac,
            ethertype,
        } => {
            put("frame_length", json!(length));
            put("inner_src_mac", json!(mac(src_mac)));
            put("inner_dst_mac", json!(mac(dst_mac)));
            put("inner_ethertype", json!(ethertype));
        }
        FlowRecord::Ip(ip) => ip_record(&ip, &mut put),
        _ => {
            for (name, value) in extended(read) {
                put(name, value);
            }
        }
    }
}

/// What an extended record says about the packet's way.
fn extended(read: &FlowRecord<'_>) -> Vec<(&'static str, Value)> {
    match *read {
        FlowRecord::Switch {
            src_vlan,
            src_priority,
            dst_vlan,
            dst_priority,
        } => vec![
            ("src_vlan", json!(src_vlan)),
            ("src_priority", json!(src_priority)),
            ("dst_vlan", json!(dst_vlan)),
            ("dst_priority", json!(dst_priority)),
        ],
        FlowRecord::Router {
            next_hop,
            src_mask,
            dst_mask,
        } => vec![
            ("next_hop", address(next_hop)),
            ("src_mask", json!(src_mask)),
            ("dst_mask", json!(dst_mask)),
        ],
        FlowRecord::Gateway(gateway) => {
            let mut path = Vec::new();
            gateway.path(&mut path);
            vec![
                ("bgp_next_hop", address(gateway.next_hop)),
                ("router_as", json!(gateway.router_as)),
                ("src_as", json!(gateway.src_as)),
                ("src_peer_as", json!(gateway.src_peer_as)),
                ("dst_as_path", json!(path)),
            ]
        }
        FlowRecord::User { src, dst } => vec![("src_user", text(src)), ("dst_user", text(dst))],
        FlowRecord::Url { url, host } => vec![("url", text(url)), ("host", text(host))],
        FlowRecord::Mpls { next_hop, .. } => vec![("mpls_next_hop", address(next_hop))],
        FlowRecord::Nat { src, dst } => {
            vec![
                ("nat_src_addr", address(src)),
                ("nat_dst_addr", address(dst)),
            ]
        }
        FlowRecord::NatPort { src, dst } => {
            vec![("nat_src_port", json!(src)), ("nat_dst_port", json!(dst))]
        }
        _ => Vec::new(),
    }
}

fn ip_record(ip: &IpRecord, put: &mut impl FnMut(&str, Value)) {
    put("inner_ip_version", json!(ip.version));
    put("inner_ip_len", json!(ip.length));
    put("inner_proto", json!(ip.proto));
    put("inner_src_addr", address(ip.src));
    put("inner_dst_addr", address(ip.dst));
    put("inner_src_port", json!(ip.src_port));
    put("inner_dst_port", json!(ip.dst_port));
    put("inner_tcp_flags", json!(ip.tcp_flags));
    put("inner_tos", json!(ip.tos));
}

fn counters(sample: &CountersSample<'_>, record: &mut Record) {
    record.insert("kind".into(), json!("counters"));
    numbers(sample.sequence, sample.source, record);
    if let Some(c) = sample.records.clone().find_map(|i| interface_counters(&i)) {
        interface(&c, record);
    }
    records(sample.records.clone(), record);
}

fn interface(c: &InterfaceCounters, record: &mut Record) {
    for (name, value) in [
        ("if_index", u64::from(c.if_index)),
        ("if_type", c.if_type.into()),
        ("if_speed", c.if_speed),
        ("if_direction", c.if_direction.into()),
        ("if_status", c.if_status.into()),
        ("if_in_octets", c.in_octets),
        ("if_in_ucast", c.in_unicast_packets.into()),
        ("if_in_mcast", c.in_multicast_packets.into()),
        ("if_in_bcast", c.in_broadcast_packets.into()),
        ("if_in_discards", c.in_discards.into()),
        ("if_in_errors", c.in_errors.into()),
        ("if_in_unknown", c.in_unknown_protocols.into()),
        ("if_out_octets", c.out_octets),
        ("if_out_ucast", c.out_unicast_packets.into()),
        ("if_out_mcast", c.out_multicast_packets.into()),
        ("if_out_bcast", c.out_broadcast_packets.into()),
        ("if_out_discards", c.out_discards.into()),
        ("if_out_errors", c.out_errors.into()),
        ("if_promiscuous", c.promiscuous.into()),
    ] {
        record.insert(name.into(), json!(value));
    }
}

fn numbers(sequence: u32, source: Source, record: &mut Record) {
    record.insert("sample_seq".into(), json!(sequence));
    record.insert("source_id_type".into(), json!(source.class));
    record.insert("source_id".into(), json!(source.index));
}

fn records(items: Items<'_>, record: &mut Record) {
    let formats: Vec<_> = items.map(|i| format_text(i.format)).collect();
    record.insert("records".into(), json!(formats));
}

fn format_text(format: Format) -> String {
    format!("{}:{}", format.enterprise, format.number)
}

fn address(a: Addr) -> Value {
    json!(a.to_string())
}

fn text(bytes: &[u8]) -> Value {
    json!(String::from_utf8_lossy(bytes))
}
