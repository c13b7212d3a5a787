//! Which protocol a payload speaks, and whether it is export at all.

use super::sflow;
use super::template::{u16_at, u32_at};

/// The protocol of a payload: 5, 7, 9, 10 (IPFIX), or 0 for sFlow 5, whose version takes four bytes.
pub(super) fn version(payload: &[u8]) -> Option<u8> {
    match u16_at(payload, 0)? {
        v @ (5 | 7 | 9 | 10) => Some(v as u8),
        0 if u32_at(payload, 0) == Some(5) => Some(0),
        _ => None,
    }
}

/// The length in an IPFIX header.
pub(super) fn ipfix_length(payload: &[u8]) -> usize {
    u16_at(payload, 2).map_or(0, usize::from)
}

/// Whether a whole UDP payload is consistent with an export protocol: v5 and v7 count x record size fits; v9 and
/// IPFIX sets walk exactly to the end (IPFIX length equal to the payload) with at least one valid set id; sFlow
/// version 5 and its samples walk to the end.
pub fn looks_like_export(payload: &[u8]) -> bool {
    let fits = |record: usize| {
        let count = u16_at(payload, 2).map_or(0, usize::from);
        count > 0 && payload.len() >= 24 && payload.len() - 24 == count * record
    };
    match version(payload) {
        Some(5) => fits(48),
        Some(7) => fits(52),
        Some(9) => {
            payload.len() > 20 && sets_walk(&payload[20..], |id| matches!(id, 0 | 1 | 256..))
        }
        Some(10) => {
            payload.len() > 16
                && ipfix_length(payload) == payload.len()
                && sets_walk(&payload[16..], |id| matches!(id, 2 | 3 | 256..))
        }
        Some(0) => sflow::walks_to_end(payload),
        _ => false,
    }
}

fn sets_walk(mut rest: &[u8], valid: impl Fn(u16) -> bool) -> bool {
    let mut seen = false;
    while !rest.is_empty() {
        let (Some(id), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            return false;
        };
        let length = usize::from(length);
        if length < 4 || length > rest.len() {
            return false;
        }
        seen |= valid(id);
        rest = &rest[length..];
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_consistent_payloads_are_export() {
        let mut v5 = vec![0, 5, 0, 1];
        v5.resize(24 + 48, 0);
        assert!(looks_like_export(&v5));
        v5.push(0);
        assert!(!looks_like_export(&v5));
        let mut v9 = vec![0, 9, 0, 1];
        v9.resize(20, 0);
        v9.extend([1, 0, 0, 8, 1, 2, 3, 4]);
        assert!(looks_like_export(&v9));
        v9[21] = 255;
        v9[20] = 0;
        assert!(!looks_like_export(&v9), "no valid set id");
        let mut ipfix = vec![0, 10, 0, 24];
        ipfix.resize(16, 0);
        ipfix.extend([0, 2, 0, 8, 0, 0, 0, 0]);
        assert!(looks_like_export(&ipfix));
        ipfix[3] = 23;
        assert!(!looks_like_export(&ipfix));
        let mut sflow = vec![0, 0, 0, 5, 0, 0, 0, 1, 192, 0, 2, 1];
        sflow.extend([0; 12]);
        sflow.extend([0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 4, 9, 9, 9, 9]);
        assert!(looks_like_export(&sflow));
        sflow.pop();
        assert!(!looks_like_export(&sflow));
        assert!(!looks_like_export(b"\x00"));
    }
}
