//! NetFlow versions 5 and 7: records of one layout, described by the elements they became in version 9.

use super::Record;
use super::value::{Fields, Named};
use crate::decode::Reason;
use crate::decode::element::find;
use crate::decode::moves::Moment;
use crate::ledger::{Outcome, Tally};
use crate::model::Datagram;
use serde_json::{Value, json};

/// Hands out the records of a datagram. The count of the header holds if the bytes are there; else as many as are.
pub(super) fn datagram(
    version: u8,
    d: &Datagram<'_>,
    raw: bool,
    tally: &mut Tally,
    each: &mut dyn FnMut(Record),
) -> Result<(), Reason> {
    let Some((head, body)) = d.payload.split_first_chunk::<HEADER>() else {
        return Err(Reason::Short);
    };
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (fields, size) = match version {
        5 => (V5, V5_SIZE),
        _ => (V7, V7_SIZE),
    };
    let moment = Moment {
        export_ms: i64::from(word(8)) * 1000 + i64::from(word(12)) / 1_000_000,
        uptime_ms: Some(word(4)),
    };
    let (count, whole) = (usize::from(half(2)), body.len() / size);
    let n = count.min(whole);
    tally.one(Outcome::Sets);
    tally.one(Outcome::SetsDecoded);
    tally.add(Outcome::CountsWrong, u64::from(count != whole));
    tally.add(Outcome::BytesTrailing, (body.len() - n * size) as u64);
    for bytes in body.chunks_exact(size).take(n) {
        let mut record = Record::new();
        record.insert("kind".into(), json!("flow"));
        record.insert("version".into(), json!(version));
        // engine type and id
        let domain = if version == 5 { half(20) } else { 0 };
        record.insert("odid".into(), json!(domain));
        record.insert("set_id".into(), Value::Null);
        record.insert("datagram".into(), json!(d.number));
        let mut sent = Fields::default();
        for &(number, at, length) in fields {
            if let Some(element) = find(0, number) {
                sent.take(element, &bytes[at..at + length], &moment);
            }
        }
        if version == 5 {
            sent.put("sampling_mode", json!(half(22) >> 14));
            sent.put("sampling_interval", json!(half(22) & 0x3fff));
        }
        sent.finish(&mut record);
        if raw {
            let named = fields
                .iter()
                .map(|&(number, at, length)| Named(number.to_string(), &bytes[at..at + length]));
            record.insert("raw".into(), super::value::raw(named));
        }
        super::count(tally, Outcome::RecordsFlow);
        each(record);
    }
    Ok(())
}

const HEADER: usize = 24;
const V5_SIZE: usize = 48;
const V7_SIZE: usize = 52;

/// Element, offset and length of each field.
type Layout = &'static [(u16, usize, usize)];

const V5: Layout = &[
    (8, 0, 4),
    (12, 4, 4),
    (15, 8, 4),
    (10, 12, 2),
    (14, 14, 2),
    (2, 16, 4),
    (1, 20, 4),
    (22, 24, 4),
    (21, 28, 4),
    (7, 32, 2),
    (11, 34, 2),
    (6, 37, 1),
    (4, 38, 1),
    (5, 39, 1),
    (16, 40, 2),
    (17, 42, 2),
    (9, 44, 1),
    (13, 45, 1),
];

/// As version 5, with flags where that has padding, and the address of the bypassed router at the end.
const V7: Layout = V5;
