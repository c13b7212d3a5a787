//! `netflow_parser` as a second opinion: every field of every record must be the same bytes, and every column must
//! hold what those bytes mean when read the slow way.
//!
//! Cold: for the property test below and for the fuzz targets, never on the path.

use super::Decoder;
use super::raw::Records;
use super::settings::Settings;
use super::template::{Template, u16_at};
use crate::ledger::Book;
use crate::model::{Addr, Datagram, Field, FieldValue as Column, FlowBatch, FlowRow, Half};
use netflow_parser::variable_versions::field_value::FieldValue;
use netflow_parser::variable_versions::{ipfix, v9};
use netflow_parser::{AutoScopedParser, NetflowPacket};
use std::net::SocketAddr;

/// The bytes of every field of a record, in the order of the template.
type Fields = Vec<Vec<u8>>;

/// Decodes datagrams both ways.
#[derive(Default)]
pub struct Oracle {
    parser: AutoScopedParser,
}

impl Oracle {
    /// The records of each data set that the library decodes.
    fn sets(&mut self, source: SocketAddr, payload: &[u8]) -> Vec<Vec<Fields>> {
        let result = self.parser.parse_from_source(source, payload);
        let mut sets = Vec::new();
        for packet in &result.packets {
            match packet {
                NetflowPacket::V9(p) => {
                    for set in &p.flowsets {
                        if let v9::FlowSetBody::Data(data) = &set.body {
                            let bytes =
                                |r: &v9::V9FlowRecord| r.iter().map(|f| wire(&f.1)).collect();
                            sets.push(data.fields.iter().map(bytes).collect());
                        }
                    }
                }
                NetflowPacket::IPFix(p) => {
                    for set in &p.flowsets {
                        if let ipfix::FlowSetBody::Data(data) = &set.body {
                            let bytes =
                                |r: &ipfix::IPFixFlowRecord| r.iter().map(|f| wire(&f.1)).collect();
                            sets.push(data.fields.iter().map(bytes).collect());
                        }
                    }
                }
                _ => {}
            }
        }
        sets
    }
}

fn wire(value: &FieldValue) -> Vec<u8> {
    let mut bytes = Vec::new();
    // text comes back as it was sent only from its raw form, which the same call writes
    match value.write_be_bytes(&mut bytes) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Decodes datagrams of one source (NetFlow 9 or IPFIX) both ways and compares; returns the records compared, or what
/// differs first.
pub fn compare(datagrams: &[Vec<u8>]) -> Result<usize, String> {
    let (mut oracle, mut decoder) = (Oracle::default(), Decoder::new(Settings::default()));
    let source = SocketAddr::from(([192, 0, 2, 1], 2055));
    let mut compared = 0;
    for (i, payload) in datagrams.iter().enumerate() {
        let mut out = FlowBatch::new();
        let d = Datagram {
            source: Addr::from(source.ip()),
            port: source.port(),
            received_at_ns: 0,
            number: i as u64 + 1,
            frame: 0,
            cut: false,
            payload,
        };
        decoder.decode(&d, &mut out, &mut Vec::new(), &mut Book::new(10));
        let theirs = oracle.sets(source, payload);
        compared +=
            check(&decoder, &d, &out, &theirs).map_err(|e| format!("datagram {}: {e}", i + 1))?;
    }
    Ok(compared)
}

fn check(
    decoder: &Decoder,
    d: &Datagram<'_>,
    out: &FlowBatch,
    theirs: &[Vec<Fields>],
) -> Result<usize, String> {
    let mut rows = out.rows().filter(|r| r.half() != Half::Reverse);
    let (mut theirs, mut compared) = (theirs.iter(), 0);
    for (template, body) in data_sets(decoder, d) {
        let (mut records, mut spans, mut ours) =
            (Records::new(template, body), Vec::new(), Vec::new());
        while records.next(&mut spans).is_some() {
            let fields = spans.iter().map(|&(at, len)| body[at..at + len].to_vec());
            ours.push(fields.collect::<Fields>());
        }
        let Some(set) = theirs.next() else {
            return Err(format!(
                "the library skips set {} of {}",
                template.id,
                template.layout()
            ));
        };
        if set.len() != ours.len() {
            return Err(format!(
                "{} records, the library finds {}",
                ours.len(),
                set.len()
            ));
        }
        for (ours, theirs) in ours.iter().zip(set) {
            for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
                let spec = &template.fields[i];
                // the library knows nine TCP flags and drops the reserved bits above them (RFC 9293)
                let same = match (spec.element, a.as_slice(), b.as_slice()) {
                    (6, [hi, lo], [hi2, lo2]) => (hi & 1, lo) == (hi2 & 1, lo2),
                    _ => a == b,
                };
                if !same {
                    return Err(format!(
                        "element {}.{}: {a:02x?} or {b:02x?}",
                        spec.pen, spec.element
                    ));
                }
            }
            let row = rows.next().ok_or("a record without a row")?;
            meaning(&row, template, ours)?;
            compared += 1;
        }
    }
    Ok(compared)
}

/// The data sets of a datagram whose template is known, flow records only.
fn data_sets<'a>(decoder: &'a Decoder, d: &Datagram<'a>) -> Vec<(&'a Template, &'a [u8])> {
    let mut sets = Vec::new();
    let version = u16_at(d.payload, 0).unwrap_or(0) as u8;
    let mut at = if version == 9 { 20 } else { 16 };
    let Some(exporter) = decoder.exporters.get(&d.source) else {
        return sets;
    };
    while let (Some(id), Some(length)) = (u16_at(d.payload, at), u16_at(d.payload, at + 2)) {
        let length = usize::from(length);
        let Some(body) = d.payload.get(at + 4..at + length.max(4)) else {
            break;
        };
        let known = exporter
            .sessions
            .iter()
            .filter(|s| s.version == version)
            .find_map(|s| {
                s.templates
                    .iter()
                    .find(|slot| slot.compiled.template.id == id)
            });
        if let Some(slot) = known.filter(|slot| !slot.compiled.template.options) {
            sets.push((&slot.compiled.template, body));
        }
        at += length.max(4);
    }
    sets
}

/// Holds the columns of a row to the bytes of its record, element by element, the slow way.
fn meaning(row: &FlowRow<'_>, template: &Template, record: &Fields) -> Result<(), String> {
    for (field, elements) in NUMBERS {
        let values = values(template, record, elements, 1..=8);
        let number = |b: &&Vec<u8>| b.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let width = WIDTHS.iter().find(|w| w.0 == *field).map_or(64, |w| w.1);
        let fits = |n: &u64| width == 64 || n >> width == 0;
        let mut fitting = values.iter().map(number).filter(fits);
        let want = match (elements.len(), field) {
            (1, Field::SrcPort | Field::DstPort) | (2.., _) => {
                let first = fitting.next();
                first
                    .filter(|n| *n != 0)
                    .or(fitting.find(|n| *n != 0))
                    .or(first)
            }
            _ => values.first().map(number).filter(fits),
        };
        let got = match row.value(*field) {
            Some(Column::Number(n) | Column::Mac(n)) => Some(n),
            None => None,
            other => return Err(format!("{}: {other:?}", field.name())),
        };
        if got != want {
            return Err(format!(
                "{}: {got:?}, not {want:?} ({})",
                field.name(),
                template.layout()
            ));
        }
    }
    for (field, v4, v6) in ADDRESSES {
        let addrs = in_order(template, record, v4, v6);
        let there = !addrs.is_empty();
        let want = addrs
            .iter()
            .find(|a| !a.is_unspecified())
            .or(addrs.first())
            .copied();
        let got = match row.value(*field) {
            Some(Column::Addr(a)) => Some(a),
            _ => None,
        };
        if got.is_some() != there || got.is_some_and(|g| !g.is_unspecified()) && got != want {
            return Err(format!(
                "{}: {got:?}, not {want:?} ({})",
                field.name(),
                template.layout()
            ));
        }
    }
    Ok(())
}

fn values<'r>(
    template: &Template,
    record: &'r Fields,
    elements: &[u16],
    lengths: std::ops::RangeInclusive<usize>,
) -> Vec<&'r Vec<u8>> {
    let fields = template.fields.iter().zip(record);
    fields
        .filter(|(f, b)| f.pen == 0 && elements.contains(&f.element) && lengths.contains(&b.len()))
        .map(|(_, b)| b)
        .collect()
}

fn in_order(template: &Template, record: &Fields, v4: &[u16], v6: &[u16]) -> Vec<Addr> {
    let fields = template
        .fields
        .iter()
        .zip(record)
        .filter(|(f, _)| f.pen == 0);
    fields
        .filter_map(|(f, b)| match b.len() {
            4 if v4.contains(&f.element) => Some(Addr::from_v4([b[0], b[1], b[2], b[3]])),
            16 if v6.contains(&f.element) => <[u8; 16]>::try_from(b.as_slice()).ok().map(Addr),
            _ => None,
        })
        .collect()
}

/// Columns that are plain numbers, and the elements that feed them.
const NUMBERS: &[(Field, &[u16])] = &[
    (Field::SrcPort, &[7, 180, 182]),
    (Field::DstPort, &[11, 181, 183]),
    (Field::Proto, &[4]),
    (Field::TcpFlags, &[6]),
    (Field::InIf, &[10]),
    (Field::OutIf, &[14]),
    (Field::SrcAs, &[16]),
    (Field::DstAs, &[17]),
    (Field::SrcMask, &[9, 29]),
    (Field::DstMask, &[13, 30]),
    (Field::Direction, &[61]),
    (Field::FlowEndReason, &[136]),
    (Field::ForwardingStatus, &[89]),
    (Field::IpVersion, &[60]),
    (Field::PostVlan, &[59]),
    (Field::InPhysIf, &[252]),
    (Field::OutPhysIf, &[253]),
    (Field::IngressVrf, &[234]),
    (Field::EgressVrf, &[235]),
    (Field::Ipv6FlowLabel, &[31]),
    (Field::OutBytes, &[23]),
    (Field::OutPackets, &[24]),
    (Field::BytesTotal, &[85]),
    (Field::PacketsTotal, &[86]),
    (Field::FlowId, &[148]),
    (Field::NatEvent, &[230]),
];

/// Columns of addresses: the IPv4 elements and the IPv6 ones.
const ADDRESSES: &[(Field, &[u16], &[u16])] = &[
    (Field::SrcAddr, &[8], &[27]),
    (Field::DstAddr, &[12], &[28]),
    (Field::NextHop, &[15], &[62]),
    (Field::BgpNextHop, &[18], &[63]),
    (Field::NatSrcAddr, &[225, 40001], &[281]),
    (Field::NatDstAddr, &[226, 40002], &[282]),
];

/// Bits of the columns narrower than 64.
const WIDTHS: &[(Field, u32)] = &[
    (Field::SrcPort, 16),
    (Field::DstPort, 16),
    (Field::Proto, 8),
    (Field::TcpFlags, 16),
    (Field::InIf, 32),
    (Field::OutIf, 32),
    (Field::SrcAs, 32),
    (Field::DstAs, 32),
    (Field::SrcMask, 8),
    (Field::DstMask, 8),
    (Field::Direction, 8),
    (Field::FlowEndReason, 8),
    (Field::ForwardingStatus, 8),
    (Field::IpVersion, 8),
    (Field::PostVlan, 16),
    (Field::InPhysIf, 32),
    (Field::OutPhysIf, 32),
    (Field::IngressVrf, 32),
    (Field::EgressVrf, 32),
    (Field::Ipv6FlowLabel, 32),
    (Field::NatEvent, 8),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::element::{ELEMENTS, Kind, REVERSE_PEN, Target};
    use crate::decode::template::VARIABLE;
    use proptest::prelude::*;

    /// A field of a template: (enterprise, element, length).
    fn field(version: u8) -> impl Strategy<Value = (u32, u16, u16)> {
        let known = (0..ELEMENTS.len(), 0u16..9, proptest::bool::weighted(0.2)).prop_map(
            move |(i, pick, back)| {
                let e = &ELEMENTS[i];
                let length = match e.kind {
                    Kind::Address if e.accepts(4) => 4,
                    Kind::Address => 16,
                    Kind::Mac => 6,
                    Kind::Rule => 12,
                    Kind::Mpls(_) => 3,
                    Kind::Text => 1 + pick * 4,
                    Kind::AppId => 1 + pick,
                    Kind::Frame => 60,
                    Kind::Float => [4, 8][usize::from(pick) % 2],
                    Kind::Time(_) if e.accepts(8) => 8,
                    Kind::Time(_) => 4,
                    Kind::Unsigned => [1, 2, 4, 8][usize::from(pick) % 4],
                };
                // one in five as an element of the reverse direction
                let reverse = e.pen == 0 && e.number < 0x8000 && version == 10 && back;
                (if reverse { REVERSE_PEN } else { e.pen }, e.number, length)
            },
        );
        let unknown = (500u16..600, 1u16..20).prop_map(|(element, length)| (0, element, length));
        let enterprise = (1u32..9, 1u16..100, 1u16..9);
        let variable = prop_oneof![
            Just((0u32, 82u16)),
            Just((0, 371)),
            Just((0, 460)),
            Just((0, 7))
        ];
        let variable = variable.prop_map(|(pen, element)| (pen, element, VARIABLE));
        if version == 9 {
            let plain = known.prop_filter("no enterprises in NetFlow 9", |f| f.0 == 0);
            prop_oneof![8 => plain, 1 => unknown].boxed()
        } else {
            let plain = known.prop_filter("fifteen bits", |f| f.1 < 0x8000);
            prop_oneof![8 => plain, 1 => unknown, 1 => enterprise, 1 => variable].boxed()
        }
    }

    fn datagrams(version: u8, fields: &[(u32, u16, u16)], bytes: &[u8], n: usize) -> [Vec<u8>; 2] {
        let mut template = vec![];
        for (pen, element, length) in fields {
            let bit = if *pen > 0 { 0x8000 } else { 0 };
            template.extend((element | bit).to_be_bytes());
            template.extend(length.to_be_bytes());
            if *pen > 0 {
                template.extend(pen.to_be_bytes());
            }
        }
        let (mut data, mut source) = (vec![], bytes.iter().cycle().copied());
        for _ in 0..n {
            for (_, _, length) in fields {
                let mut length = usize::from(*length);
                if length == usize::from(VARIABLE) && version == 10 {
                    // the library ends a set at an empty text
                    length = 1 + usize::from(source.next().unwrap_or(0) % 8);
                    data.push(length as u8);
                }
                data.extend(source.by_ref().take(length));
            }
        }
        let count = (fields.len() as u16).to_be_bytes();
        let template = [&300u16.to_be_bytes()[..], &count, &template].concat();
        let id = if version == 9 { 0 } else { 2 };
        [(id, template), (300, data)].map(|(id, body)| datagram(version, id, &body))
    }

    fn datagram(version: u8, id: u16, body: &[u8]) -> Vec<u8> {
        let mut set = id.to_be_bytes().to_vec();
        set.extend((body.len() as u16 + 4).to_be_bytes());
        set.extend(body);
        let mut d = vec![0, version];
        if version == 9 {
            d.extend([0, 1, 0, 0, 39, 16, 0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 7]);
        } else {
            d.extend((set.len() as u16 + 16).to_be_bytes());
            d.extend([0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 7]);
        }
        d.extend(set);
        d
    }

    fn run(
        version: u8,
        fields: &[(u32, u16, u16)],
        bytes: &[u8],
        n: usize,
    ) -> Result<(), TestCaseError> {
        // padding cannot be told from records of one or two bytes
        let shortest: usize = fields
            .iter()
            .map(|f| if f.2 == VARIABLE { 1 } else { usize::from(f.2) })
            .sum();
        prop_assume!(shortest > 3 && fields.len() > 1);
        prop_assume!(fields.iter().all(frame_free));
        let sent = datagrams(version, fields, bytes, n);
        // the library takes a record of zeros for padding
        let body = &sent[1][if version == 9 { 24 } else { 20 }..];
        prop_assume!(body.windows(4).all(|w| w.iter().any(|b| *b != 0)));
        let result = compare(&sent);
        prop_assert_eq!(result, Ok(n));
        Ok(())
    }

    /// A frame fills columns from inside itself, and two-way counters are no plain columns.
    fn frame_free(f: &(u32, u16, u16)) -> bool {
        crate::decode::element::find(f.0, f.1).is_none_or(|e| e.target != Target::Frame)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

        #[test]
        fn plans_and_the_library_agree_on_netflow_9(
            fields in prop::collection::vec(field(9), 1..24),
            bytes in prop::collection::vec(any::<u8>(), 40..400),
            n in 1usize..6,
        ) {
            run(9, &fields, &bytes, n)?;
        }

        #[test]
        fn plans_and_the_library_agree_on_ipfix(
            fields in prop::collection::vec(field(10), 1..24),
            bytes in prop::collection::vec(any::<u8>(), 40..400),
            n in 1usize..6,
        ) {
            run(10, &fields, &bytes, n)?;
        }
    }
}
