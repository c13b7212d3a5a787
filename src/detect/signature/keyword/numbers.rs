//! Keywords that compare one number of a header or a transaction: a table.

use super::super::buffer::FILES;
use super::super::draft::Draft;
use super::super::number::Number;
use super::super::rule::Test;
use super::super::syntax::OptionText;

/// Keyword, highest number, the application protocols it is of.
pub(super) type Row = (&'static str, u64, &'static [&'static str]);

/// The row of a keyword.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.0 == name)
}

/// Every name of the table.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|r| r.0)
}

/// Adds the condition.
pub(super) fn apply(draft: &mut Draft<'_>, row: &Row, option: &OptionText) -> Result<(), String> {
    let (name, max, protocols) = *row;
    draft.need(protocols, name)?;
    let text = option.text();
    let text = match name {
        "dns.opcode" | "dns.rcode" | "dns.rrtype" => text.to_ascii_lowercase(),
        "tos" if text.contains("0x") => {
            return Err("hexadecimal is written without the nought: x10".to_owned());
        }
        "tos" => text.replacen('x', "0x", 1),
        "filesize" => without_unit(&text),
        _ => text.into_owned(),
    };
    let number = Number::parse(&text, max)?;
    takes(name, number)?;
    let twice = |t: &Test| matches!(t, Test::Number("dsize", _));
    if name == "dsize" && draft.rule.tests.iter().any(twice) {
        return Err("stands twice".to_owned());
    }
    let name = ROWS.iter().find(|r| r.0 == name).map_or("", |r| r.0);
    draft.rule.tests.push(Test::Number(name, number));
    Ok(())
}

/// A size that stands alone may have a unit.
fn without_unit(text: &str) -> String {
    let units = [("kb", 1u64 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let lower = text.trim().to_ascii_lowercase();
    let sizes = units.iter().filter_map(|(name, unit)| {
        let number = lower.strip_suffix(name)?.parse::<u64>().ok()?;
        number.checked_mul(*unit)
    });
    let mut sizes = sizes.map(|n| n.to_string());
    sizes.next().unwrap_or_else(|| text.to_owned())
}

/// Some take a number alone, or lack an operator.
fn takes(name: &str, number: Number) -> Result<(), String> {
    let is_one = matches!(number, Number::Equal(_));
    let is_not = matches!(number, Number::Not(_));
    match name {
        "id" if !is_one => Err("is a number alone".to_owned()),
        "window" if !is_one && !is_not => Err("is a number, with ! or without".to_owned()),
        "fragoffset" if is_not => Err("is not negated".to_owned()),
        _ => Ok(()),
    }
}

const U8: u64 = u8::MAX as u64;
const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
const DNS: &[&str] = &["dns", "mdns"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("dsize", U16, &[]), ("ttl", U8, &[]), ("id", U16, &[]), ("tos", U8, &[]), ("fragoffset", U16, &[]),
    ("itype", U8, &[]), ("icode", U8, &[]), ("icmp_id", U16, &[]), ("icmp_seq", U16, &[]), ("icmpv6.mtu", U32, &[]),
    ("seq", U32, &[]), ("ack", U32, &[]), ("window", U16, &[]),
    ("tcp.seq", U32, &[]), ("tcp.ack", U32, &[]), ("tcp.window", U16, &[]), ("tcp.mss", U16, &[]), ("tcp.wscale", U8, &[]),
    ("ipv4.ihl", 15, &[]), ("flow.age", U32, &[]), ("flow.pkts_toclient", U32, &[]), ("flow.pkts_toserver", U32, &[]),
    ("flow.bytes_toclient", u64::MAX, &[]), ("flow.bytes_toserver", u64::MAX, &[]), ("filesize", u64::MAX, FILES),
    ("dns.opcode", 15, DNS), ("dns.rcode", U16, DNS), ("dns.rrtype", U16, DNS),
    ("tls.cert_chain_len", U32, &["tls"]), ("tls_cert_chain_len", U32, &["tls"]),
    ("krb5_msg_type", U8, &["krb5"]), ("krb5.msg_type", U8, &["krb5"]),
    ("snmp.version", U8, &["snmp"]), ("rfb.sectype", U32, &["rfb"]), 
    ("mqtt.protocol_version", U8, &["mqtt"]),
    ("ike.exchtype", U8, &["ike"]), ("ike.key_exchange_payload_length", U32, &["ike"]),
    ("ike.nonce_payload_length", U32, &["ike"]), ("dhcp.leasetime", u64::MAX, &["dhcp"]),
    ("dhcp.rebinding_time", u64::MAX, &["dhcp"]), ("dhcp.renewal_time", u64::MAX, &["dhcp"]),
    ("http2.priority", U8, &["http2", "http"]), ("http2.window", U32, &["http2", "http"]),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn numbers_and_their_near_misses() {
        takes(
            "ip",
            &[
                "dsize:<30;",
                "ttl:64;",
                "window:!1024;",
                "tcp.mss:<536;",
                "dns.opcode:!0;",
                "dsize:5<>9;",
                "tos:x0;",
                "tos:!x10;",
            ],
        );
        refuses(
            "ip",
            &[
                "dsize:-1;",
                "ttl:256;",
                "window:many;",
                "dsize:9<>5;",
                "tos:xx;",
                "tos:0x10;",
                "tos:x100;",
                "ttl;",
                "id:!1;",
                "id:>1;",
                "window:>1;",
                "fragoffset:!1;",
                "dsize:1; dsize:2;",
                "dsize:3; content:\"abcd\";",
                "content:\"abcd\"; dsize:<1;",
            ],
        );
        refuses("tls", &["dns.opcode:0;"]);
    }
}
