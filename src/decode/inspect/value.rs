//! From the bytes of a field to its canonical name and value.

use super::Record;
use crate::decode::element::{Clock, Element, Kind};
use crate::dissect::{self, HeaderView};
use crate::model::Addr;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// What the header of a message says about time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// Export time, ms since 1970 UTC.
    pub export_ms: i64,
    /// Uptime at that time, where it is known.
    pub uptime_ms: Option<u32>,
}

impl Clocks {
    /// A point in time as ms since 1970 UTC, cut; `None` where it needs an uptime that is not known.
    pub(super) fn time(&self, clock: Clock, value: u64) -> Option<i64> {
        Some(match clock {
            Clock::Uptime => {
                // modulo 2^32, which undoes the wrap after 49.7 days; a little ahead of the header is ahead, all
                // else is past
                let ahead = (value as u32).wrapping_sub(self.uptime_ms?);
                match ahead {
                    0..UPTIME_AHEAD_MAX_MS => self.export_ms + i64::from(ahead),
                    _ => self.export_ms - i64::from(ahead.wrapping_neg()),
                }
            }
            Clock::Seconds => (value as i64).saturating_mul(1000),
            Clock::Millis => value as i64,
            Clock::NtpMicros | Clock::NtpNanos => {
                let (seconds, fraction) = ((value >> 32) as i64, value & 0xffff_ffff);
                // seconds below 2^31 are of the era that begins in 2036 (RFC 5905 section 6)
                let era = if seconds < 1 << 31 { 1i64 << 32 } else { 0 };
                (seconds + era - NTP_TO_UNIX_S) * 1000 + (fraction * 1000 >> 32) as i64
            }
            Clock::BeforeExport => {
                let micros = i128::from(self.export_ms) * 1000 - i128::from(value);
                micros.div_euclid(1000) as i64
            }
        })
    }
}

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
    pub(super) fn take(&mut self, element: &Element, bytes: &[u8], clocks: &Clocks) {
        let fits = element.accepts(bytes.len()) || element.kind == Kind::Text;
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
                    self.put(name, json!(address(bytes).to_string()));
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
            Kind::Time(clock) => self.time(name, clock, number(bytes), clocks),
            Kind::Frame => {}
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

    fn time(&mut self, name: &'static str, clock: Clock, value: u64, clocks: &Clocks) {
        let rank = match clock {
            Clock::Millis => 0,
            Clock::Seconds => 1,
            Clock::NtpMicros => 2,
            Clock::NtpNanos => 3,
            Clock::BeforeExport => 4,
            Clock::Uptime => 5,
        };
        let known = self.ranks.iter().any(|(n, r)| *n == name && *r <= rank);
        if let (false, Some(ms)) = (known, clocks.time(clock, value)) {
            self.ranks.push((name, rank));
            self.put(name, json!(ms));
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
    let vlans = view.vlans.ids();
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

/// A big-endian number of up to eight bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
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

fn address(bytes: &[u8]) -> Addr {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Addr::from_v4(v4),
        (_, Ok(v6)) => Addr::from_v6(v6),
        _ => Addr::UNSPECIFIED,
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

const NTP_TO_UNIX_S: i64 = 2_208_988_800;
/// An uptime this much above the header's is of packets that came while the message was made.
const UPTIME_AHEAD_MAX_MS: u32 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_wrap() {
        let clocks = Clocks {
            export_ms: 10_000_000,
            uptime_ms: Some(1000),
        };
        let time = |v: u32| clocks.time(Clock::Uptime, v.into());
        assert_eq!(time(1000), Some(10_000_000));
        assert_eq!(time(400), Some(9_999_400));
        assert_eq!(time(u32::MAX), Some(9_998_999));
        assert_eq!(time(1005), Some(10_000_005));
        let late = Clocks {
            uptime_ms: Some(u32::MAX),
            ..clocks
        };
        assert_eq!(late.time(Clock::Uptime, 4), Some(10_000_005));
        assert_eq!(
            late.time(Clock::Uptime, 1 << 31),
            Some(10_000_000 - (i64::from(u32::MAX) >> 1))
        );
    }

    #[test]
    fn ntp_and_relative_times_are_cut() {
        let clocks = Clocks {
            export_ms: 10_000,
            uptime_ms: None,
        };
        let ntp = (NTP_TO_UNIX_S as u64 + 5) << 32 | 0xffff_ffff;
        assert_eq!(clocks.time(Clock::NtpMicros, ntp), Some(5999));
        assert_eq!(clocks.time(Clock::BeforeExport, 1), Some(9999));
        assert_eq!(clocks.time(Clock::Uptime, 1), None);
    }
}
