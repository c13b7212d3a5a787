//! One flow row as a line of JSON: canonical names, always in the same order, what is not known left out.

use crate::model::{
    Addr, AppSource, Codec, ConversationSide, Field, FieldValue, FlowBatch, FlowRow, Half,
    Handshake, Measure, Names, Origin, RowFlags, SamplingSource, TunnelKind, app_id_len, country,
};
use std::fmt::Write;

/// A JSON object under construction, without its closing brace.
pub(super) struct Object {
    text: String,
}

impl Object {
    pub(super) fn new() -> Self {
        Object { text: "{".into() }
    }

    pub(super) fn end(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }

    fn key(&mut self, key: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        // writing to a String cannot fail
        let _ = write!(self.text, "{comma}\"{key}\":");
    }

    pub(super) fn number(&mut self, key: &str, value: impl Into<i128>) {
        self.key(key);
        let _ = write!(self.text, "{}", value.into());
    }

    /// A value that needs no escapes.
    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        let _ = write!(self.text, "\"{value}\"");
    }

    pub(super) fn addr(&mut self, key: &str, value: Addr) {
        self.plain(key, value);
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.text
            .push_str(&serde_json::Value::from(value).to_string());
    }

    fn list<T>(
        &mut self,
        key: &str,
        items: impl Iterator<Item = T>,
        each: impl Fn(&mut String, T),
    ) {
        self.key(key);
        self.text.push('[');
        for (i, item) in items.enumerate() {
            if i > 0 {
                self.text.push(',');
            }
            each(&mut self.text, item);
        }
        self.text.push(']');
    }

    fn field(&mut self, key: &str, value: FieldValue<'_>) {
        match value {
            FieldValue::Number(n) => self.number(key, n),
            FieldValue::Time(ms) => self.number(key, ms),
            FieldValue::Addr(a) => self.addr(key, a),
            FieldValue::Mac(m) => {
                let [_, _, a, b, c, d, e, f] = m.to_be_bytes();
                let octets =
                    format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}").to_string();
                self.plain(key, octets);
            }
            FieldValue::AppId(id) => self.plain(key, app_id(id, &[])),
            FieldValue::Text(bytes) => self.text(key, &String::from_utf8_lossy(bytes)),
            FieldValue::Path(numbers) => self.list(key, numbers.iter(), |out, n| {
                let _ = write!(out, "{n}");
            }),
            FieldValue::Mpls(stack) => {
                self.list(key, stack.iter(), |out, (pos, label, exp, bos)| {
                    let bos = u8::from(bos);
                    let _ = write!(
                        out,
                        r#"{{"pos":{pos},"label":{label},"exp":{exp},"bos":{bos}}}"#
                    );
                })
            }
        }
    }
}

/// The line of a row.
pub(super) fn line(batch: &FlowBatch, row: FlowRow<'_>, names: &Names) -> String {
    let (c, i) = (&batch.core, row.index());
    let mut o = Object::new();
    let p = row.provenance();
    if p.origin != Origin::Packets {
        o.number("datagram", p.datagram);
        o.number("record", c.record[i]);
    }
    if row.half() != Half::Whole {
        o.plain("half", row.half().name());
    }
    o.addr("exporter", p.exporter);
    if p.exporter_source != p.exporter {
        o.addr("exporter_source", p.exporter_source);
    }
    o.number("observation_domain", p.domain);
    o.plain("origin", p.origin.name());
    o.number("received_at_ms", p.received_at_ns.div_euclid(1_000_000));
    // of an octet of which only the DSCP is known, the octet is not
    let whole = c.flags[i] & RowFlags::DSCP_ONLY == 0;
    for &f in Field::ALL {
        match row.value(f).filter(|_| whole || f != Field::Tos) {
            Some(FieldValue::Addr(a)) if mapped_hop(f, a, c.src_addr[i]) => {
                o.plain(f.name(), Ipv6Hex(a));
            }
            Some(FieldValue::AppId(id)) => o.plain(f.name(), app_id(id, sent_app_id(batch, i))),
            Some(value) => o.field(f.name(), value),
            None => {}
        }
    }
    if let Some(texts) = &batch.texts {
        let app_name = batch.text(texts.app_name[i]);
        if !app_name.is_empty() {
            o.field("app_name", FieldValue::Text(app_name));
        }
    }
    metered(&mut o, batch, row);
    derived(&mut o, batch, row, names);
    o.end()
}

/// What only a meter of packets tells.
fn metered(o: &mut Object, batch: &FlowBatch, row: FlowRow<'_>) {
    let i = row.index();
    if let Some(texts) = &batch.texts {
        let ja4 = batch.text(texts.ja4[i]);
        if !ja4.is_empty() {
            o.field("ja4", FieldValue::Text(ja4));
        }
    }
    if let Some(found) = &batch.found {
        let ids = found.detections[i].iter().filter(|id| **id != 0);
        if ids.clone().next().is_some() {
            o.list("detections", ids, |out, id| {
                let _ = write!(out, "{id}");
            });
        }
    }
    if let Some(tunnel) = &batch.tunnel
        && tunnel.tunnel_kind[i] != 0
    {
        o.plain("tunnel_kind", TunnelKind::name_of(tunnel.tunnel_kind[i]));
        o.number("tunnel_id", tunnel.tunnel_id[i]);
        let ends = [
            ("tunnel_src", tunnel.tunnel_src[i]),
            ("tunnel_dst", tunnel.tunnel_dst[i]),
        ];
        for (key, end) in ends.into_iter().filter(|(_, end)| *end != Addr::default()) {
            o.addr(key, end);
        }
    }
    let Some(quality) = &batch.quality else {
        return;
    };
    if quality.conversation[i] != 0 {
        // a number of 64 bits is more than many readers of JSON keep
        o.plain(
            "conversation",
            format_args!("{:016x}", quality.conversation[i]),
        );
    }
    let side = ConversationSide::from_number(quality.conversation_side[i]);
    if side != ConversationSide::None {
        o.plain("conversation_side", side.name());
    }
    for &m in Measure::ALL {
        if let Some(value) = row.measure(m) {
            o.number(m.name(), value);
        }
    }
    let codec = Codec::from_number(quality.codec[i]);
    if codec != Codec::None {
        o.plain("codec", codec.name());
    }
    let handshake = Handshake::from_number(quality.handshake[i]);
    if handshake != Handshake::None {
        o.plain("handshake", handshake.name());
    }
}

/// Whether an address is the mapped IPv4 next hop of an IPv6 flow: routers send it in 16 bytes (RFC 4798), and so it reads.
fn mapped_hop(f: Field, hop: Addr, source: Addr) -> bool {
    let is_hop = matches!(f, Field::NextHop | Field::BgpNextHop);
    is_hop && hop.is_v4() && !hop.is_unspecified() && !source.is_v4() && !source.is_unspecified()
}

/// A mapped IPv4 address in hexadecimal groups, as `inspect` prints what was sent in 16 bytes.
struct Ipv6Hex(Addr);

impl std::fmt::Display for Ipv6Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d] = [12, 13, 14, 15].map(|n| u16::from(self.0.0[n]));
        write!(f, "::ffff:{:x}:{:x}", a << 8 | b, c << 8 | d)
    }
}

/// What later stages made of the record.
fn derived(o: &mut Object, batch: &FlowBatch, row: FlowRow<'_>, names: &Names) {
    let (c, i) = (&batch.core, row.index());
    if row.sampling_source() != SamplingSource::Unknown {
        o.number("sampling_interval", c.sampling_interval[i]);
    }
    o.plain("sampling_source", row.sampling_source().name());
    if row.has(Field::Tos) {
        o.number("dscp", c.tos[i] >> 2);
        if c.flags[i] & RowFlags::DSCP_ONLY == 0 {
            o.number("ecn", c.tos[i] & 3);
        }
    }
    if c.qos_class[i] != 0 {
        o.text("qos_class", names.classes.name(c.qos_class[i].into()));
    }
    let left = batch.egress.as_ref().map_or(0, |e| e.egress_class[i]);
    if left != 0 {
        o.text("egress_class", names.classes.name(left.into()));
    }
    if c.app[i] != 0 {
        o.text("app", names.apps.name(c.app[i]));
    }
    if c.app_proto[i] != 0 {
        o.text("app_proto", names.apps.name(c.app_proto[i]));
    }
    let source = AppSource::from_number(c.app_source[i]);
    if source != AppSource::None {
        o.plain("app_source", source.name());
        o.number("app_confidence", c.app_confidence[i]);
    }
    located(o, batch, i, names);
    let flags = c.flags[i];
    if flags != 0 {
        let set = RowFlags::NAMES.iter().filter(|(bit, _)| flags & bit != 0);
        o.list("flags", set, |out, (_, name)| {
            let _ = write!(out, "\"{name}\"");
        });
    }
}

/// Networks, countries, and the AS numbers that the exporter did not send.
fn located(o: &mut Object, batch: &FlowBatch, i: usize, names: &Names) {
    if let Some(n) = &batch.nets {
        for (key, id) in [("src_net", n.src_net[i]), ("dst_net", n.dst_net[i])] {
            if id != 0 {
                o.text(key, names.networks.name(id));
            }
        }
        let countries = [
            ("src_country", n.src_country[i]),
            ("dst_country", n.dst_country[i]),
        ];
        for (key, id) in countries {
            if id != 0 {
                o.plain(key, country(id));
            }
        }
    }
    let c = &batch.core;
    if c.flags[i] & RowFlags::AS_LOOKED_UP != 0 {
        let numbers = [(Field::SrcAs, c.src_as[i]), (Field::DstAs, c.dst_as[i])];
        for (field, number) in numbers {
            if number != 0 && c.present[i] & field.bit() == 0 {
                o.number(field.name(), number);
            }
        }
    }
}

/// The bytes of an application id of unusual length; else none.
fn sent_app_id(batch: &FlowBatch, i: usize) -> &[u8] {
    let texts = batch.texts.as_ref();
    texts.map_or(&[], |t| batch.text(t.app_id_sent[i]))
}

/// An application id as its bytes were sent: those kept, else engine and selector in the usual length.
fn app_id(id: u64, sent: &[u8]) -> String {
    if !sent.is_empty() {
        return sent.iter().fold(String::new(), |mut hex, b| {
            // writing to a String cannot fail
            let _ = write!(hex, "{b:02x}");
            hex
        });
    }
    let (engine, selector) = (id >> 56, id & 0xff_ffff_ffff_ffff);
    match app_id_len(id) {
        4 => format!("{engine:02x}{selector:06x}"),
        _ => format!("{id:016x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MplsStack, Provenance};

    #[test]
    fn absent_is_left_out_and_zero_is_not() {
        let mut b = FlowBatch::new();
        b.push_provenance(Provenance {
            exporter: Addr::from_v4([192, 0, 2, 1]),
            exporter_source: Addr::from_v4([192, 0, 2, 1]),
            domain: 7,
            origin: Origin::Ipfix,
            received_at_ns: 1_500_000_000_123_999_999,
            datagram: 3,
            ..Default::default()
        });
        let c = &mut b.core;
        c.record.push(2);
        c.bytes.push(0);
        c.tos.push(0xb9);
        c.app_id.push(3 << 56 | 443);
        c.src_addr.push(Addr::from_v6([
            0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
        ]));
        c.flags
            .push(RowFlags::SAMPLING_UNKNOWN | RowFlags::L4_BYTES);
        c.present.push(
            Field::Bytes.bit()
                | Field::Tos.bit()
                | Field::AppId.bit()
                | Field::SrcAddr.bit()
                | Field::Mpls.bit()
                | Field::UserName.bit()
                | Field::SrcMac.bit(),
        );
        let mut stack = MplsStack::default();
        stack.entries[1] = 100 << 4 | 5 << 1 | 1;
        stack.positions = 2;
        b.mpls_mut().mpls.push(stack);
        b.layer2_mut().src_mac.push(0x0a_bbcc_ddee);
        let (user, _) = b.push_text(b"a\"\xff");
        b.texts_mut().user_name.push(user);
        b.commit(1);
        let want = concat!(
            r#"{"datagram":3,"record":2,"exporter":"192.0.2.1","observation_domain":7,"origin":"ipfix","#,
            r#""received_at_ms":1500000000123,"src_addr":"2001:db8::1","bytes":0,"tos":185,"app_id":"030001bb","#,
            r#""src_mac":"00:0a:bb:cc:dd:ee","mpls":[{"pos":2,"label":100,"exp":5,"bos":1}],"#,
            r#""user_name":"a\"�","sampling_source":"unknown","dscp":46,"ecn":1,"#,
            r#""flags":["sampling_unknown","l4_bytes"]}"#,
            "\n"
        );
        assert_eq!(line(&b, b.row(0), &Names::default()), want);
    }

    #[test]
    fn what_was_measured_is_told_and_the_rest_is_not() {
        let mut b = FlowBatch::new();
        b.push_provenance(Provenance {
            origin: Origin::Packets,
            ..Default::default()
        });
        let q = b.quality_mut();
        q.conversation.push(0xabc);
        q.measured
            .push(Measure::RttUs.bit() | Measure::Retransmits.bit());
        q.rtt_us.push(1500);
        q.lost.push(7);
        q.codec.push(Codec::Opus as u8);
        q.handshake.push(Handshake::Complete as u8);
        let t = b.tunnel_mut();
        t.tunnel_kind.push(TunnelKind::Vxlan as u8);
        t.tunnel_id.push(42);
        t.tunnel_src.push(Addr::from_v4([192, 0, 2, 1]));
        b.commit(1);
        let text = line(&b, b.row(0), &Names::default());
        let want = concat!(
            r#""received_at_ms":0,"tunnel_kind":"vxlan","tunnel_id":42,"tunnel_src":"192.0.2.1","#,
            r#""conversation":"0000000000000abc","rtt_us":1500,"retransmits":0,"codec":"opus","handshake":"complete","sampling_source""#,
        );
        assert!(text.contains(want), "{text}");
    }

    #[test]
    fn long_application_ids_keep_all_bytes() {
        assert_eq!(app_id(20 << 56 | 0x1_0000_0000, &[]), "1400000100000000");
        assert_eq!(app_id(13 << 56 | 258, &[13, 1, 2]), "0d0102");
    }
}
