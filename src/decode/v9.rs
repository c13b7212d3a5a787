//! NetFlow 9 (RFC 3954): the header.

use super::error::Reason;
use super::sets::Header;
use super::template::u32_at;
use crate::model::Origin;

/// Reads the header; the sequence counts export packets. The count field counts records of all kinds, is often
/// wrong, and is not needed.
pub(super) fn header(payload: &[u8]) -> Result<Header, Reason> {
    if payload.len() < HEADER_LEN {
        return Err(Reason::Short);
    }
    let word = |at| u32_at(payload, at).unwrap_or(0);
    Ok(Header {
        version: 9,
        origin: Origin::Netflow9,
        domain: word(16),
        export_ms: i64::from(word(8)) * 1000,
        uptime_ms: Some(word(4)),
        sequence: word(12),
        window: REORDER_WINDOW,
        sampling: 0,
        len: HEADER_LEN,
    })
}

const HEADER_LEN: usize = 20;

/// Datagrams.
const REORDER_WINDOW: u32 = 64;
