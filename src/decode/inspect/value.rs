//! From the bytes of a field to its canonical name and value.

use super::Record;
use crate::decode::element::{Clock, Element, Kind};
use crate::decode::moves::{self, Moment, number};
use crate::dissect::{self, HeaderView};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The canonical fields of one record, gathered field by field.
#[derive(Debug, Default)]
pub(super) struct Fields {
    map: Map<String, Value>,
    mpls: Vec<Value>,
    /// Rank of the clock behind `start_ms`, `end_ms`, `event_ms`: the better one stays.
    ranks: Vec<(&'static str, u8)>,
}

impl Fields {
    /// Takes a field as sent. A length that the element cannot have leaves it out.
    ///
    /// Where several elements have one name (both address families, ports of TCP and UDP), the first that is not
    /// zero counts; of one element sent twice, the first.
    pub(super) fn take(&mut self, element: &Element, bytes: &[u8], moment: &Moment) {
        let fits = match element.kind {
            Kind::Text => true,
            _ => element.accepts(bytes.len()),
        };
        if element.kind == Kind::Frame && fits {
            header("frame_", &dissect::ethernet(bytes), &mut self.map);
        }
        if !fits || element.name.is_empty() {
            return;
        }
        let name = element.name;
        match element.kind {
            Kind::Unsigned => {
                let n = number(bytes);
                match self.map.get(name) {
                    Some(known) if !(known == &json!(0) && has_twins(name)) => {}
                    _ => self.put(name, json!(n)),
                }
            }
            Kind::Address => {
                let unset = |v: &Value| v == "0.0.0.0" || v == "::";
                if self.map.get(name).is_none_or(unset) {
                    self.put(name, json!(address(bytes)));
                }
            }
            Kind::Mac => self.first(name, json!(mac(number(bytes)))),
            Kind::Text => {
                let end = bytes
                    .iter()
                    .rposition(|b| *b != 0)
                    .map_or(0, |last| last + 1);
                self.first(name, json!(String::from_utf8_lossy(&bytes[..end])));
            }
            Kind::AppId => self.first(name, json!(hex(bytes))),
            Kind::Mpls(position) => {
                let entry = number(bytes);
                self.mpls.push(json!({
                    "pos": position,
                    "label": entry >> 4,
                    "exp": entry >> 1 & 7,
                    "bos": entry & 1,
                }));
            }
            Kind::Time(clock) => self.time(name, clock, number(bytes), moment),
            Kind::Frame | Kind::Float | Kind::Rule => {}
        }
    }

    /// Puts a value of which the caller knows that it counts.
    pub(super) fn put(&mut self, name: &str, value: Value) {
        self.map.insert(name.to_owned(), value);
    }

    /// Moves everything into the record.
    pub(super) fn finish(mut self, record: &mut Record) {
        if !self.mpls.is_empty() {
            self.map.insert("mpls".into(), Value::Array(self.mpls));
        }
        record.append(&mut self.map);
    }

    fn first(&mut self, name: &str, value: Value) {
        if !self.map.contains_key(name) {
            self.put(name, value);
        }
    }

    fn time(&mut self, name: &'static str, clock: Clock, value: u64, moment: &Moment) {
        let rank = match clock {
            Clock::Millis => 0,
            Clock::Seconds => 1,
            Clock::NtpMicros => 2,
            Clock::NtpNanos => 3,
            Clock::BeforeExport => 4,
            Clock::Uptime => 5,
        };
        let known = self.ranks.iter().any(|(n, r)| *n == name && *r <= rank);
        if let (false, Some(ms)) = (known, moves::time(clock, value, moment)) {
            self.ranks.push((name, rank));
            // what columns do not hold is shown as sent
            self.put(
                name,
                match clock {
                    Clock::Millis => json!(value),
                    _ => json!(ms),
                },
            );
        }
    }
}

/// A field with its raw key.
pub(super) struct Named<'a>(pub String, pub &'a [u8]);

/// The raw form of a record: key to hex.
pub(super) fn raw<'a>(fields: impl Iterator<Item = Named<'a>>) -> Value {
    Value::Object(
        fields
            .map(|Named(key, bytes)| (key, json!(hex(bytes))))
            .collect(),
    )
}

/// The facts of a sampled header, under names that begin with `prefix`.
pub(super) fn header(prefix: &str, view: &HeaderView, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(format!("{prefix}{name}"), value);
        }
    };
    put("dst_mac", view.dst_mac.map(|m| json!(mac(m))));
    put("src_mac", view.src_mac.map(|m| json!(mac(m))));
    let vlans = view.vlans.as_slice();
    put("vlans", (!vlans.is_empty()).then(|| json!(vlans)));
    put("ethertype", view.ethertype.map(Value::from));
    let labels: Vec<Value> = view
        .mpls
        .iter()
        .map(|(pos, label, exp, bos)| {
            json!({"pos": pos, "label": label, "exp": exp, "bos": u8::from(bos)})
        })
        .collect();
    put("mpls", (!labels.is_empty()).then(|| json!(labels)));
    put("ip_version", view.ip_version.map(Value::from));
    put("tos", view.tos.map(Value::from));
    put("ip_len", view.ip_len.map(Value::from));
    put("ttl", view.ttl.map(Value::from));
    put("flow_label", view.flow_label.map(Value::from));
    put("src_addr", view.src_addr.map(|a| json!(a.to_string())));
    put("dst_addr", view.dst_addr.map(|a| json!(a.to_string())));
    put("proto", view.proto.map(Value::from));
    let fragment = view.fragment.map(|_| json!(view.is_fragment()));
    put("fragment", fragment);
    put("src_port", view.src_port.map(Value::from));
    put("dst_port", view.dst_port.map(Value::from));
    put("tcp_flags", view.tcp_flags.map(Value::from));
    put("icmp_type", view.icmp_type.map(Value::from));
    put("icmp_code", view.icmp_code.map(Value::from));
}

/// A MAC address as text.
pub(super) fn mac(mac: u64) -> String {
    let [_, _, a, b, c, d, e, f] = mac.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// Whether several elements have this name, of which an exporter fills the one that fits.
fn has_twins(name: &str) -> bool {
    matches!(
        name,
        "src_port"
            | "dst_port"
            | "src_mask"
            | "dst_mask"
            | "icmp_type_code"
            | "icmp_type"
            | "icmp_code"
            | "firewall_event"
            | "nat_src_port"
            | "nat_dst_port"
    )
}

/// An address as text, in the family it was sent in: a mapped IPv4 address in 16 bytes stays an IPv6 address.
fn address(bytes: &[u8]) -> String {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Ipv4Addr::from(v4).to_string(),
        (_, Ok([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])) => {
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            format!("::ffff:{high:x}:{low:x}")
        }
        (_, Ok(v6)) => Ipv6Addr::from(v6).to_string(),
        _ => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        // a String takes everything
        let _ = write!(text, "{b:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::element::find;

    fn record(fields: &[(u16, &[u8])]) -> Record {
        let moment = Moment {
            export_ms: 1_000_000,
            uptime_ms: Some(5000),
        };
        let mut taken = Fields::default();
        for (number, bytes) in fields {
            taken.take(find(0, *number).expect("known"), bytes, &moment);
        }
        let mut record = Record::new();
        taken.finish(&mut record);
        record
    }

    #[test]
    fn of_two_families_the_one_that_is_used_counts() {
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let zero = [0; 16];
        for fields in [
            [(8, &[0; 4][..]), (27, &v6[..])],
            [(27, &v6[..]), (8, &[0; 4][..])],
            [(27, &v6[..]), (8, &[192, 0, 2, 1][..])],
        ] {
            assert_eq!(record(&fields)["src_addr"], "2001:db8::1");
        }
        let v4 = record(&[(27, &zero), (8, &[192, 0, 2, 1])]);
        assert_eq!(v4["src_addr"], "192.0.2.1");
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 203, 0, 113, 24]);
        assert_eq!(record(&[(63, &mapped)])["bgp_next_hop"], "::ffff:cb00:7118");
    }

    #[test]
    fn repeated_elements() {
        let r = record(&[
            (7, &[0, 0]),
            (7, &[4, 0]),
            (182, &[9, 9]),
            (5, &[0]),
            (5, &[8]),
        ]);
        assert_eq!((&r["src_port"], &r["tos"]), (&json!(1024), &json!(0)));
        let times = record(&[(22, &[0, 0, 0, 0]), (152, &[0, 0, 0, 0, 0, 0, 0, 7])]);
        assert_eq!(times["start_ms"], 7);
        let times = record(&[(152, &[0, 0, 0, 0, 0, 0, 0, 7]), (22, &[0, 0, 0, 0])]);
        assert_eq!(times["start_ms"], 7);
    }

    #[test]
    fn values_by_their_kind() {
        let r = record(&[
            (56, &[0, 1, 2, 3, 4, 0xff]),
            (82, b"eth0\0\0"),
            (95, &[13, 0, 5, 30]),
            (1, &[1, 0, 0]),
            (70, &[5, 0xdc, 0x1d]),
            (21, &[0, 0, 0, 8]),
            (15, &[1, 2]),
        ]);
        assert_eq!(r["src_mac"], "00:01:02:03:04:ff");
        assert_eq!(r["if_name"], "eth0");
        assert_eq!(r["app_id"], "0d00051e");
        assert_eq!(r["bytes"], 65536);
        assert_eq!(
            r["mpls"],
            json!([{"pos": 1, "label": 24001, "exp": 6, "bos": 1}])
        );
        assert_eq!(r["end_ms"], 995_008);
        assert!(!r.contains_key("next_hop"), "two bytes are no address");
    }
}
