//! `flowhouse inspect --packets`: one JSON line a frame.

use crate::dissect::{self, IpHeader, Notes, Segment, link_name};
use crate::model::{Transport, TunnelKind};
use crate::receive::Frame;
use serde_json::{Map, Value, json};

/// What is told of a frame: the outermost IP header, ports and types of every header that has them, and lists of what it
/// was wrapped in, outer first; and whether its link type is one that is looked into. Nothing is reassembled.
pub fn line(frame: &Frame<'_>) -> (Map<String, Value>, bool) {
    let mut seen = Seen {
        bytes: frame.captured,
        ..Seen::default()
    };
    let known = dissect::walk(
        frame.link_type,
        frame.captured,
        frame.original as usize,
        &mut seen,
    );
    let mut part = seen.aggregate;
    while let Some(at) = part.and_then(|at| dissect::behind(frame.captured, at)) {
        dissect::walk_subframe(frame.captured, at, frame.original as usize, &mut seen);
        part = Some(at);
    }
    let mut line = Map::new();
    line.insert("n".into(), json!(frame.number));
    line.insert("ts".into(), json!(seconds(frame.time_ns)));
    line.insert("len".into(), json!(frame.original));
    line.insert("cap".into(), json!(frame.captured.len()));
    line.insert("interface".into(), json!(frame.interface));
    line.insert("link_type".into(), json!(frame.link_type));
    line.insert("link".into(), json!(link_name(frame.link_type)));
    line.insert("stack".into(), json!(seen.stack.join(":")));
    seen.tags(&mut line);
    seen.outermost(frame, &mut line);
    seen.transports(frame, &mut line);
    if seen.broken {
        line.insert("malformed".into(), json!(true));
    }
    (line, known)
}

/// Seconds since 1970 UTC with nine decimals.
fn seconds(time_ns: i64) -> String {
    let (s, ns) = (time_ns.div_euclid(NS), time_ns.rem_euclid(NS));
    format!("{s}.{ns:09}")
}

/// Keeps everything that a walk tells.
#[derive(Default)]
struct Seen<'a> {
    bytes: &'a [u8],
    stack: Vec<&'static str>,
    vlans: Vec<u16>,
    labels: Vec<u32>,
    gre: Vec<u16>,
    tunnels: Vec<(TunnelKind, Option<u32>)>,
    packets: Vec<(IpHeader, Segment)>,
    addresses: Vec<IpHeader>,
    aggregate: Option<usize>,
    broken: bool,
}

impl Notes for Seen<'_> {
    const QUOTED: bool = true;

    fn layer(&mut self, name: &'static str) {
        if !name.is_empty() {
            self.stack.push(name);
        }
    }

    fn aggregate(&mut self, at: usize) {
        self.stack.push("wlan_aggregate");
        self.aggregate = Some(at);
    }

    fn vlan(&mut self, id: u16) {
        self.vlans.push(id);
    }

    fn label(&mut self, _position: usize, entry: u32) {
        self.labels.push(entry >> 12);
    }

    fn gre(&mut self, protocol: u16) {
        self.gre.push(protocol);
    }

    fn tunnel(&mut self, kind: TunnelKind, id: Option<u32>) {
        self.tunnels.push((kind, id));
    }

    fn packet(&mut self, header: &IpHeader, segment: &Segment) -> bool {
        self.packets.push((*header, *segment));
        self.addresses.push(*header);
        self.broken |= segment.cut;
        true
    }

    fn torn(&mut self, header: &IpHeader) {
        self.broken = true;
        // one inside another packet was at least seen
        if !self.packets.is_empty() && header.is_usable() {
            self.addresses.push(*header);
        }
    }
}

impl Seen<'_> {
    /// Lists of tags and tunnel ids.
    fn tags(&self, line: &mut Map<String, Value>) {
        let mut list = |name: &str, values: Vec<u32>| {
            if !values.is_empty() {
                line.insert(name.into(), json!(values));
            }
        };
        list("vlan", self.vlans.iter().map(|v| u32::from(*v)).collect());
        list("mpls", self.labels.clone());
        list(
            "gre_proto",
            self.gre.iter().map(|v| u32::from(*v)).collect(),
        );
        for (name, kind) in [
            ("vxlan_vni", TunnelKind::Vxlan),
            ("geneve_vni", TunnelKind::Geneve),
            ("gtp_teid", TunnelKind::Gtp),
            ("pppoe_session", TunnelKind::Pppoe),
            ("erspan_id", TunnelKind::Erspan),
        ] {
            let ids = self.tunnels.iter().filter(|t| t.0 == kind);
            list(name, ids.filter_map(|t| t.1).collect());
        }
    }

    /// The outermost IP header, and the addresses of all of them where there are several.
    fn outermost(&self, frame: &Frame<'_>, line: &mut Map<String, Value>) {
        let Some((h, _)) = self.packets.first() else {
            return;
        };
        let mut put = |name: &str, value: Value| line.insert(name.into(), value);
        put("src", json!(h.src.to_string()));
        put("dst", json!(h.dst.to_string()));
        put("ip_len", json!(h.layer3_len(frame.original as usize)));
        put("tos", json!(h.tos));
        if h.version == 4 {
            put("proto", json!(h.next_header));
            put("ttl", json!(h.ttl));
        } else {
            put("next_header", json!(h.next_header));
            put("hop_limit", json!(h.ttl));
            put("transport", json!(h.proto));
        }
        if let Some(f) = h.fragment.filter(|f| f.more || f.offset != 0) {
            let place = json!({"offset": f.offset / 8, "more": f.more, "id": f.id});
            put("fragment", place);
        }
        if self.addresses.len() > 1 {
            let of = |version| self.addresses.iter().filter(move |h| h.version == version);
            let pairs = of(4).chain(of(6));
            let pairs = pairs.map(|h| json!([h.src.to_string(), h.dst.to_string()]));
            line.insert("all_ip_headers".into(), pairs.collect());
        }
    }

    /// Ports and types of every header that has them; flags and payload of the first TCP header.
    fn transports(&self, frame: &Frame<'_>, line: &mut Map<String, Value>) {
        for (h, segment) in &self.packets {
            match (h.proto, segment.transport) {
                (_, Transport::Tcp(t)) => {
                    if !line.contains_key("tcp_flags") {
                        self.tcp(frame, h, segment, line);
                    }
                    several(line, "tcp_sport", t.src_port);
                    several(line, "tcp_dport", t.dst_port);
                }
                (17, Transport::Ports { src, dst }) => {
                    several(line, "udp_sport", src);
                    several(line, "udp_dport", dst);
                }
                (132, Transport::Ports { src, dst }) => {
                    several(line, "sctp_sport", src);
                    several(line, "sctp_dport", dst);
                }
                (58, Transport::Icmp { kind, .. }) => several(line, "icmpv6_type", kind.into()),
                (_, Transport::Icmp { kind, .. }) => several(line, "icmp_type", kind.into()),
                _ => {}
            }
        }
    }

    /// Twelve bits of flags, and the length of the payload by the headers; of a fragment that is not known.
    fn tcp(&self, frame: &Frame<'_>, h: &IpHeader, s: &Segment, line: &mut Map<String, Value>) {
        let flags = self.bytes.get(h.transport_at + 12..h.transport_at + 14);
        let Some([high, low]) = flags.filter(|_| h.end >= h.transport_at + 14) else {
            return;
        };
        // less than a header cannot be meant
        if high >> 4 < 5 {
            return;
        }
        let flags = u16::from_be_bytes([*high, *low]) & 0x0fff;
        line.insert("tcp_flags".into(), json!(flags));
        // a packet in a first fragment reaches no further than that does
        let around = self.packets.iter().take_while(|p| p.0.at < h.at);
        let around = around.filter(|p| p.0.is_fragment());
        let ends = around.map(|p| p.1.promised_end);
        let own = match h.len {
            0 => frame.original as usize,
            _ => s.promised_end,
        };
        let end = ends.fold(own, usize::min);
        if let Some(payload) = end.checked_sub(h.transport_at + s.header)
            && !h.is_fragment()
        {
            line.insert("tcp_payload".into(), json!(payload));
        }
    }
}

/// A number, or a list of them where there are several.
fn several(line: &mut Map<String, Value>, name: &str, value: u16) {
    match line.get_mut(name) {
        None => {
            line.insert(name.into(), json!(value));
        }
        Some(Value::Array(list)) => list.push(json!(value)),
        Some(one) => *one = json!([one.clone(), value]),
    }
}

const NS: i64 = 1_000_000_000;
