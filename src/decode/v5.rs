//! NetFlow 5 and 7: fixed records behind a header of 24 bytes.

use super::error::Reason;
use super::exporter::Compiled;
use super::sets::{Header, Job};
use super::settings::Settings;
use super::template::{FieldSpec, TemplateHeader, u16_at, u32_at};
use crate::ledger::Outcome;
use crate::model::Origin;

/// The records of version 5 or 7 as a template (element 0: reserved bytes).
pub(super) fn template(version: u8, settings: &Settings) -> Compiled {
    let mut fields: Vec<FieldSpec> = FIELDS
        .iter()
        .map(|&(element, length)| FieldSpec {
            pen: 0,
            element,
            length,
            scope: false,
        })
        .collect();
    if version == 7 {
        fields.push(FieldSpec {
            pen: 0,
            element: 0,
            length: 4,
            scope: false,
        });
    }
    let header = TemplateHeader {
        id: 0,
        version,
        options: false,
    };
    let mut compiled = Compiled::new(&header, &fields, settings);
    if let Some(plan) = &mut compiled.plan {
        // reserved bytes are no unknown elements
        plan.unknown = 0;
    }
    compiled
}

/// Reads the header; the flow sequence counts flows of one engine.
pub(super) fn header(payload: &[u8]) -> Result<Header, Reason> {
    if payload.len() < HEADER_LEN {
        return Err(Reason::Short);
    }
    let word = |at| u32_at(payload, at).unwrap_or(0);
    let half = |at| u16_at(payload, at).unwrap_or(0);
    let version = half(0) as u8;
    let nanos = i64::from(word(12));
    // version 7 has four reserved bytes where version 5 has engine and sampling
    let (engine, sampling) = if version == 5 {
        (half(20), half(22))
    } else {
        (0, 0)
    };
    Ok(Header {
        version,
        origin: if version == 5 {
            Origin::Netflow5
        } else {
            Origin::Netflow7
        },
        domain: u32::from(engine),
        export_ms: i64::from(word(8)) * 1000 + nanos / 1_000_000,
        uptime_ms: Some(word(4)),
        sequence: word(16),
        window: REORDER_WINDOW,
        sampling,
        len: HEADER_LEN,
    })
}

/// Decodes the records. The count field may lie: no more records are read than there are whole ones, and no more
/// than it says.
pub(super) fn records(job: &mut Job<'_>, version: u8) -> Option<u32> {
    let payload = job.datagram.payload;
    let count = usize::from(u16_at(payload, 2).unwrap_or(0));
    let compiled = job.shared.fixed(version);
    let len = compiled.template.record_len?;
    let body = &payload[HEADER_LEN..];
    let whole = body.len() / len;
    let n = count.min(whole);
    job.tally.one(Outcome::Sets);
    if count != whole {
        job.tally.one(Outcome::CountsWrong);
        job.fault(2, Reason::Count);
    }
    let beyond = body.len() - n * len;
    if beyond > 0 {
        job.tally.add(Outcome::BytesTrailing, beyond as u64);
    }
    job.flows(&compiled, &body[..n * len]);
    job.tally.one(Outcome::SetsDecoded);
    // a count that cannot be says nothing about the sequence
    Some(if count <= COUNT_MAX { count } else { n } as u32)
}

const HEADER_LEN: usize = 24;

/// Flows of 64 datagrams.
const REORDER_WINDOW: u32 = 64 * 30;

/// More records do not fit a datagram of 64 KiB.
const COUNT_MAX: usize = 1365;

const FIELDS: &[(u16, u16)] = &[
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 2),
    (14, 2),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (0, 1),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 2),
    (17, 2),
    (9, 1),
    (13, 1),
    (0, 2),
];
