//! IPFIX (RFC 7011): the header.

use super::error::Reason;
use super::sets::Header;
use super::template::u32_at;
use crate::model::Origin;

/// Reads the header; the sequence counts data records, options data included.
pub(super) fn header(payload: &[u8]) -> Result<Header, Reason> {
    if payload.len() < HEADER_LEN {
        return Err(Reason::Short);
    }
    let word = |at| u32_at(payload, at).unwrap_or(0);
    Ok(Header {
        version: 10,
        origin: Origin::Ipfix,
        domain: word(12),
        export_ms: i64::from(word(4)) * 1000,
        uptime_ms: None,
        sequence: word(8),
        window: REORDER_WINDOW,
        sampling: 0,
        len: HEADER_LEN,
    })
}

const HEADER_LEN: usize = 16;

/// Records of 64 datagrams.
const REORDER_WINDOW: u32 = 64 * 50;
