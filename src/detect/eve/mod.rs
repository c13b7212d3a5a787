//! Alerts as lines of EVE, Suricata's JSON (its user guide, "Eve JSON Format"), so that tools made for those read them.
//!
//! What Suricata 7 does not have: `alert.rule` is always there; `alert.intended_action` where the rule does not say `alert` (a sensor lets everything pass, so `action`
//! is `allowed`); `matches` says where the rule found what it looked for.

mod app;
mod dns;
mod rare;
mod text;

pub use app::{
    App, Dns, DnsAnswer, DnsMessage, Email, File, Http, Http2, Ike, Rfb, Smb, Smtp, SshSide, Tls,
};
pub use rare::{FtpData, Sip, Snmp};
pub(super) use text::seconds;

use super::community_id::community_id;
use super::signature::{Action, End, Rule};
use crate::model::Addr;
use app::Ssh;
use dns::Transaction;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use text::{address, base64_text, optional, printable, printable_text, proto_name, timestamp};

/// An alert. What is not known is `None` or empty, and then not in the line.
#[derive(Debug, Clone)]
pub struct Alert<'a> {
    /// When the packet was captured, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Id of the flow.
    pub flow_id: Option<u64>,
    /// Name of the capture interface.
    pub interface: Option<&'a str>,
    /// Number of the frame in its file, from 1.
    pub frame: Option<u64>,
    /// VLAN ids, outermost first.
    pub vlans: &'a [u16],
    /// Source of the packet.
    pub src: Addr,
    /// Destination of the packet.
    pub dst: Addr,
    /// Source and destination port; of ICMP type and code.
    pub ports: (u16, u16),
    /// IP protocol.
    pub proto: u8,
    /// Names of the bits that the flow has, and its counters.
    pub flowbits: Vec<&'a str>,
    /// As above.
    pub flowints: Vec<(&'a str, u32)>,
    /// Number of the transaction in its flow, from 0.
    pub tx_id: Option<u64>,
    /// It is that which went on when a stream was looked at.
    pub tx_guessed: bool,
    /// What matched.
    pub rule: &'a Rule,
    /// Where the packet is from, in Suricata's words for it.
    pub source: &'a str,
    /// The packet that carried it.
    pub outer: Option<Outer>,
    /// What the rule, or a rate filter, wants to be done.
    pub action: Action,
    /// Which load of the rules it is from.
    pub generation: Option<u64>,
    /// What the application layer says.
    pub app: App<'a>,
    /// Files of the transaction, as far as anybody asks for them.
    pub files: Vec<File<'a>>,
    /// The protocol of the application layer.
    pub app_proto: Option<&'a str>,
    /// What a direction is taken for, to the server and to the client, where that is something else.
    pub app_proto_sides: [Option<&'a str>; 2],
    /// That which it was before it changed to another one.
    pub app_proto_orig: Option<&'a str>,
    /// Whether the packet goes to the server.
    pub to_server: Option<bool>,
    /// Counters of the flow.
    pub flow: Option<FlowCounters>,
    /// What was looked at: the payload of the packet, or the part of the stream.
    pub payload: &'a [u8],
    /// Whether that is of the stream.
    pub stream: bool,
    /// The frame.
    pub packet: &'a [u8],
    /// Link type of the frame (LINKTYPE number).
    pub link_type: u16,
    /// Where the rule found what it looked for.
    pub matches: Vec<Found<'a>>,
}

/// A place in a buffer where a condition held.
#[derive(Debug, Clone, Serialize)]
pub struct Found<'a> {
    /// Name of the buffer.
    pub buffer: &'a str,
    /// First byte; of a stream, from its start.
    pub offset: u64,
    /// How many bytes.
    pub length: u32,
    /// The first bytes there, printable ones as they are, others as dots.
    #[serde(serialize_with = "printable")]
    pub bytes: &'a [u8],
}

/// Counters of a flow up to the packet, and who opened it.
#[derive(Debug, Clone, Copy)]
pub struct FlowCounters {
    /// Packets to the server, to the client.
    pub packets: (u64, u64),
    /// Bytes of frames to the server, to the client.
    pub bytes: (u64, u64),
    /// First packet, nanoseconds since 1970 UTC.
    pub start_ns: i64,
    /// Who opened it.
    pub client: (Addr, u16),
    /// To whom.
    pub server: (Addr, u16),
}

/// A packet that was captured and carried the one that is told of.
#[derive(Debug, Clone, Copy)]
pub struct Outer {
    /// Its source.
    pub src: Addr,
    /// Its destination.
    pub dst: Addr,
    /// Source and destination port; 0 where there are none.
    pub ports: (u16, u16),
    /// IP protocol.
    pub proto: u8,
    /// Tunnels between it and the packet that is told of.
    pub depth: usize,
    /// Number of its frame.
    pub frame: u64,
}

impl Alert<'_> {
    /// Appends the line, with its end.
    pub fn write(&self, out: &mut Vec<u8>) {
        // a vector takes everything, and every key is a text
        if serde_json::to_writer(&mut *out, self).is_ok() {
            out.push(b'\n');
        }
    }

    fn community_id(&self) -> String {
        let (src, dst) = self.ports;
        community_id(0, self.proto, (self.src, src), (self.dst, dst))
    }

    /// Who it was, where it was seen.
    fn place<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("timestamp", &timestamp(self.time_ns))?;
        optional(map, "flow_id", self.flow_id)?;
        optional(map, "in_iface", self.interface)?;
        optional(map, "pcap_cnt", self.frame)?;
        map.serialize_entry("event_type", "alert")?;
        if !self.vlans.is_empty() {
            map.serialize_entry("vlan", self.vlans)?;
        }
        let is_icmp = matches!(self.proto, 1 | 58);
        let has_ports = matches!(self.proto, 6 | 17 | 132);
        // a frame without a packet has none
        if !(self.src.is_unspecified() && self.dst.is_unspecified()) {
            map.serialize_entry("src_ip", &address(self.src))?;
            optional(map, "src_port", has_ports.then_some(self.ports.0))?;
            map.serialize_entry("dest_ip", &address(self.dst))?;
            optional(map, "dest_port", has_ports.then_some(self.ports.1))?;
            map.serialize_entry("proto", &proto_name(self.proto))?;
        }
        optional(map, "icmp_type", is_icmp.then_some(self.ports.0))?;
        optional(map, "icmp_code", is_icmp.then_some(self.ports.1))?;
        map.serialize_entry("pkt_src", self.source)?;
        if !self.flowbits.is_empty() || !self.flowints.is_empty() {
            map.serialize_entry("metadata", &Remembered(self))?;
        }
        map.serialize_entry("community_id", &self.community_id())
    }
}

impl Serialize for Alert<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.place(&mut map)?;
        optional(&mut map, "tx_id", self.tx_id)?;
        optional(&mut map, "tx_guessed", self.tx_guessed.then_some(true))?;
        map.serialize_entry("alert", &Object(self))?;
        optional(&mut map, "tunnel", self.outer.as_ref())?;
        match &self.app {
            App::None => {}
            App::Http(http) => map.serialize_entry("http", http)?,
            App::Http2(http) => map.serialize_entry("http", http)?,
            App::Dns(dns) => map.serialize_entry("dns", &Transaction(dns, self.tx_id))?,
            App::Tls(tls) => map.serialize_entry("tls", tls)?,
            App::Ssh(sides) => map.serialize_entry("ssh", &Ssh(sides))?,
            App::Smtp(smtp) => {
                map.serialize_entry("smtp", smtp)?;
                optional(&mut map, "email", smtp.email.as_ref())?;
            }
            App::Smb(smb) => map.serialize_entry("smb", smb)?,
            App::Rfb(rfb) => map.serialize_entry("rfb", rfb)?,
            App::Ike(ike) => map.serialize_entry("ike", ike)?,
            App::Sip(sip) => map.serialize_entry("sip", sip)?,
            App::Snmp(snmp) => map.serialize_entry("snmp", snmp)?,
            App::FtpData(file) => map.serialize_entry("ftp_data", file)?,
        }
        if !self.files.is_empty() {
            map.serialize_entry("files", &self.files)?;
        }
        optional(&mut map, "app_proto", self.app_proto)?;
        let [to_server, to_client] = self.app_proto_sides;
        optional(&mut map, "app_proto_ts", to_server)?;
        optional(&mut map, "app_proto_tc", to_client)?;
        optional(&mut map, "app_proto_orig", self.app_proto_orig)?;
        let direction = |to_server| if to_server { "to_server" } else { "to_client" };
        optional(&mut map, "direction", self.to_server.map(direction))?;
        optional(&mut map, "flow", self.flow.as_ref())?;
        if !self.payload.is_empty() {
            map.serialize_entry("payload", &base64_text(self.payload))?;
        }
        map.serialize_entry("payload_printable", &printable_text(self.payload))?;
        map.serialize_entry("stream", &u8::from(self.stream))?;
        map.serialize_entry("packet", &base64_text(self.packet))?;
        map.serialize_entry("packet_info", &PacketInfo(self.link_type))?;
        if !self.matches.is_empty() {
            map.serialize_entry("matches", &self.matches)?;
        }
        map.end()
    }
}

/// The object `alert`.
struct Object<'a>(&'a Alert<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Alert { rule, action, .. } = self.0;
        let about = &rule.about;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("action", "allowed")?;
        if *action != Action::Alert {
            map.serialize_entry("intended_action", action)?;
        }
        map.serialize_entry("gid", &rule.gid)?;
        map.serialize_entry("signature_id", &rule.sid)?;
        map.serialize_entry("rev", &rule.rev)?;
        map.serialize_entry("signature", &about.message)?;
        map.serialize_entry("category", about.category.as_deref().unwrap_or_default())?;
        map.serialize_entry("severity", &about.priority.unwrap_or(PRIORITY_DEFAULT))?;
        if let Some(target) = about.target {
            let ends = (
                PlaceOf(self.0.src, self.0.ports.0),
                PlaceOf(self.0.dst, self.0.ports.1),
            );
            let (source, target) = match target {
                End::Destination => ends,
                End::Source => (ends.1, ends.0),
            };
            map.serialize_entry("source", &source)?;
            map.serialize_entry("target", &target)?;
        }
        if !about.metadata.is_empty() {
            map.serialize_entry("metadata", &Metadata(&about.metadata))?;
        }
        optional(&mut map, "generation", self.0.generation)?;
        map.serialize_entry("rule", &rule.raw)?;
        map.end()
    }
}

/// An address and a port.
struct PlaceOf(Addr, u16);

impl Serialize for PlaceOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ip", &address(self.0))?;
        map.serialize_entry("port", &self.1)?;
        map.end()
    }
}

/// Metadata of a rule: each key once, with all its values.
struct Metadata<'a>(&'a [(String, String)]);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (at, (key, _)) in self.0.iter().enumerate() {
            if self.0[..at].iter().any(|(k, _)| k == key) {
                continue;
            }
            let same = self.0.iter().filter(|(k, _)| k == key);
            let values: Vec<&str> = same.map(|(_, v)| v.as_str()).collect();
            map.serialize_entry(key, &values)?;
        }
        map.end()
    }
}

/// What the flow remembers.
struct Remembered<'a>(&'a Alert<'a>);

impl Serialize for Remembered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.0.flowbits.is_empty() {
            map.serialize_entry("flowbits", &self.0.flowbits)?;
        }
        if !self.0.flowints.is_empty() {
            let ints: std::collections::BTreeMap<_, _> = self.0.flowints.iter().copied().collect();
            map.serialize_entry("flowints", &ints)?;
        }
        map.end()
    }
}

impl Serialize for FlowCounters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pkts_toserver", &self.packets.0)?;
        map.serialize_entry("pkts_toclient", &self.packets.1)?;
        map.serialize_entry("bytes_toserver", &self.bytes.0)?;
        map.serialize_entry("bytes_toclient", &self.bytes.1)?;
        map.serialize_entry("start", &timestamp(self.start_ns))?;
        map.serialize_entry("src_ip", &address(self.client.0))?;
        map.serialize_entry("dest_ip", &address(self.server.0))?;
        // conversations of ICMP and the like have none
        if (self.client.1, self.server.1) != (0, 0) {
            map.serialize_entry("src_port", &self.client.1)?;
            map.serialize_entry("dest_port", &self.server.1)?;
        }
        map.end()
    }
}

impl Serialize for Outer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("src_ip", &address(self.src))?;
        map.serialize_entry("src_port", &self.ports.0)?;
        map.serialize_entry("dest_ip", &address(self.dst))?;
        map.serialize_entry("dest_port", &self.ports.1)?;
        map.serialize_entry("proto", &proto_name(self.proto))?;
        map.serialize_entry("depth", &self.depth)?;
        map.serialize_entry("pcap_cnt", &self.frame)?;
        map.serialize_entry("pkt_src", "wire/pcap")?;
        map.end()
    }
}

struct PacketInfo(u16);

impl Serialize for PacketInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("linktype", &self.0)?;
        map.end()
    }
}

const PRIORITY_DEFAULT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::super::signature::{Context, RuleSet, Source};
    use super::*;
    use serde_json::{Value, json};

    fn rule(text: &str) -> Rule {
        let bytes = text.as_bytes();
        let mut set = RuleSet::load(&[Source { file: "t", bytes }], &Context::default());
        set.rules.remove(0)
    }

    fn alert(rule: &Rule) -> Alert<'_> {
        let addr = |host| Addr::from_v4([10, 0, 0, host]);
        Alert {
            time_ns: 1_700_000_000_060_000_999,
            flow_id: Some(7),
            interface: None,
            frame: Some(7),
            vlans: &[],
            src: addr(1),
            dst: addr(2),
            ports: (1111, 80),
            proto: 6,
            flowbits: vec!["foo"],
            flowints: vec![],
            tx_id: Some(0),
            tx_guessed: false,
            rule,
            action: rule.header.action,
            source: "wire/pcap",
            outer: None,
            generation: None,
            app: App::None,
            files: vec![],
            app_proto: Some("http"),
            app_proto_sides: [None; 2],
            app_proto_orig: None,
            to_server: Some(true),
            flow: Some(FlowCounters {
                packets: (4, 3),
                bytes: (291, 242),
                start_ns: 1_700_000_000_000_000_000,
                client: (addr(1), 1111),
                server: (addr(2), 80),
            }),
            payload: b"AA\x00\xffBB\r\n\\\"\t",
            stream: true,
            packet: b"foob",
            link_type: 1,
            matches: vec![],
        }
    }

    fn line(alert: &Alert<'_>) -> Value {
        let mut out = vec![];
        alert.write(&mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).unwrap()
    }

    /// Keys and values as Suricata 7.0.10 wrote them for the same packets.
    #[test]
    fn a_line_says_what_suricata_says() {
        let text = r#"drop http any any -> any any (msg:"h"; http.uri; content:"evil"; target:src_ip; metadata:a b, c d, a e; priority:1; sid:1; rev:3;)"#;
        let rule = rule(text);
        let got = line(&Alert {
            app: App::Http(Http {
                hostname: b"ex.com",
                url: b"/evil?\xe9",
                method: b"GET",
                protocol: b"HTTP/1.1",
                status: Some(404),
                length: 5,
                ..Http::default()
            }),
            ..alert(&rule)
        });
        let expected = json!({
            "timestamp": "2023-11-14T22:13:20.060000+0000", "flow_id": 7, "pcap_cnt": 7, "event_type": "alert",
            "src_ip": "10.0.0.1", "src_port": 1111, "dest_ip": "10.0.0.2", "dest_port": 80, "proto": "TCP", "pkt_src": "wire/pcap",
            "metadata": {"flowbits": ["foo"]}, "community_id": "1:O66jebaKYx/KRIqoORaXNoppi+Q=", "tx_id": 0,
            "alert": {
                "action": "allowed", "intended_action": "drop", "gid": 1, "signature_id": 1, "rev": 3, "signature": "h", "category": "", "severity": 1,
                "source": {"ip": "10.0.0.2", "port": 80}, "target": {"ip": "10.0.0.1", "port": 1111},
                "metadata": {"a": ["b", "e"], "c": ["d"]}, "rule": text,
            },
            "http": {"hostname": "ex.com", "url": "/evil?\\xE9", "http_method": "GET", "protocol": "HTTP/1.1", "status": 404, "length": 5},
            "app_proto": "http", "direction": "to_server",
            "flow": {
                "pkts_toserver": 4, "pkts_toclient": 3, "bytes_toserver": 291, "bytes_toclient": 242, "start": "2023-11-14T22:13:20.000000+0000",
                "src_ip": "10.0.0.1", "dest_ip": "10.0.0.2", "src_port": 1111, "dest_port": 80,
            },
            "payload": "QUEA/0JCDQpcIgk=", "payload_printable": "AA..BB\r\n\\\".", "stream": 1,
            "packet": "Zm9vYg==", "packet_info": {"linktype": 1},
        });
        assert_eq!(got, expected);
        let order = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(order(&got), order(&expected));
    }

    #[test]
    fn other_layers_and_what_is_not_known() {
        let rule = rule("alert ip any any -> any any (sid:1;)");
        let base = Alert {
            proto: 1,
            ports: (8, 0),
            app: App::Dns(Dns {
                query: Some(DnsMessage {
                    id: 4660,
                    flags: 0x0100,
                    questions: vec![(b"evil.com".to_vec(), 1)],
                    answers: vec![],
                }),
                answer: None,
            }),
            flow: None,
            app_proto: None,
            ..alert(&rule)
        };
        let got = line(&base);
        assert_eq!(got["alert"]["severity"], 3);
        assert_eq!(
            (&got["icmp_type"], &got["icmp_code"]),
            (&json!(8), &json!(0))
        );
        for absent in [
            "src_port",
            "dest_port",
            "flow",
            "app_proto",
            "vlan",
            "in_iface",
        ] {
            assert!(got.get(absent).is_none(), "{absent}");
        }
        let query = json!([{"type": "query", "id": 4660, "rrname": "evil.com", "rrtype": "A", "tx_id": 0, "opcode": 0}]);
        assert_eq!(got["dns"], json!({"version": 2, "query": query}));
        let answer = DnsMessage {
            id: 4660,
            flags: 0x8180,
            questions: vec![(b"evil.com".to_vec(), 1)],
            answers: vec![DnsAnswer {
                name: b"evil.com".to_vec(),
                kind: 1,
                ttl: 60,
                data: Some(b"192.0.2.1".to_vec()),
            }],
        };
        let got = line(&Alert {
            app: App::Dns(Dns {
                query: None,
                answer: Some(answer),
            }),
            ..base.clone()
        });
        let answer = json!({
            "version": 2, "type": "answer", "id": 4660, "flags": "8180", "qr": true, "rd": true, "ra": true, "opcode": 0,
            "rrname": "evil.com", "rrtype": "A", "rcode": "NOERROR",
            "answers": [{"rrname": "evil.com", "rrtype": "A", "ttl": 60, "rdata": "192.0.2.1"}], "grouped": {"A": ["192.0.2.1"]},
        });
        assert_eq!(got["dns"], json!({"version": 2, "answer": answer}));
        let file = File {
            name: b"a.exe",
            is_closed: true,
            size: 3,
            tx_id: Some(0),
            ..File::default()
        };
        let got = line(&Alert {
            files: vec![file],
            ..base.clone()
        });
        assert_eq!(
            got["files"],
            json!([{"filename": "a.exe", "gaps": false, "state": "CLOSED", "stored": false, "size": 3, "tx_id": 0}])
        );
        let six = Addr::from("2001:db8::1".parse::<std::net::IpAddr>().unwrap());
        let got = line(&Alert {
            src: six,
            ..base.clone()
        });
        assert_eq!(got["src_ip"], "2001:0db8:0000:0000:0000:0000:0000:0001");
        let tls = Tls {
            sni: b"a.example",
            version: "1.0",
            ja3: ("769,1", "ab"),
            ..Tls::default()
        };
        let got = line(&Alert {
            app: App::Tls(tls),
            vlans: &[7, 8],
            source: "gre tunnel",
            outer: Some(Outer {
                src: six,
                dst: six,
                ports: (0, 0),
                proto: 47,
                depth: 1,
                frame: 3,
            }),
            interface: Some("eth0"),
            matches: vec![Found {
                buffer: "tls.sni",
                offset: 2,
                length: 2,
                bytes: b"ex",
            }],
            ..base
        });
        assert_eq!(
            got["tls"],
            json!({"sni": "a.example", "version": "TLSv1", "ja3": {"hash": "ab", "string": "769,1"}})
        );
        assert_eq!(
            got["matches"],
            json!([{"buffer": "tls.sni", "offset": 2, "length": 2, "bytes": "ex"}])
        );
        assert_eq!(
            (&got["vlan"], &got["in_iface"]),
            (&json!([7, 8]), &json!("eth0"))
        );
        assert_eq!(got["pkt_src"], "gre tunnel");
        let six = "2001:0db8:0000:0000:0000:0000:0000:0001";
        assert_eq!(
            got["tunnel"],
            json!({"src_ip": six, "src_port": 0, "dest_ip": six, "dest_port": 0, "proto": "GRE", "depth": 1, "pcap_cnt": 3, "pkt_src": "wire/pcap"})
        );
    }
}
