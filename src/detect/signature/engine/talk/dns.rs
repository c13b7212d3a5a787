//! DNS: names, types and codes of queries and answers (RFC 1035 section 4.1).

use super::super::super::buffer::Buffer;
use super::Said;

impl Said {
    /// A message.
    pub(super) fn dns(&mut self, half: usize, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<12>() else {
            return;
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let is_answer = header[2] & 0x80 != 0;
        let unit = self.begin(half);
        unit.is_whole = true;
        if header[3] & 0x40 != 0 {
            unit.word("dns.z_flag_set", "");
        }
        if header[2] >> 3 & 15 > OPCODE_MAX {
            unit.word("dns.invalid_opcode", "");
        }
        match (half, is_answer) {
            (0, true) => unit.word("dns.not_request", ""),
            (1, false) => unit.word("dns.not_response", ""),
            _ => {}
        }
        unit.number("dns.opcode", u64::from(header[2] >> 3 & 15));
        if is_answer {
            unit.number("dns.rcode", u64::from(header[3] & 15));
        }
        let mut at = 12;
        for _ in 0..word(4).min(RECORDS_MAX) {
            let mut name = vec![];
            let Some(end) = read_name(bytes, at, &mut name) else {
                unit.word("dns.malformed_data", "");
                return;
            };
            let Some(kind) = bytes.get(end..end + 4) else {
                return;
            };
            unit.number("dns.rrtype", u16::from_be_bytes([kind[0], kind[1]]).into());
            if !is_answer {
                unit.add(QUERY, &name);
            }
            unit.add(QUERY_NAME, &name);
            unit.add(QUERIES, &name);
            at = end + 4;
        }
        for _ in 0..word(6).min(RECORDS_MAX) {
            let mut name = vec![];
            let Some(end) = read_name(bytes, at, &mut name) else {
                unit.word("dns.malformed_data", "");
                return;
            };
            let Some(fixed) = bytes.get(end..end + 10) else {
                return;
            };
            unit.number(
                "dns.rrtype",
                u16::from_be_bytes([fixed[0], fixed[1]]).into(),
            );
            unit.add(ANSWER_NAME, &name);
            unit.add(ANSWERS, &name);
            at = end + 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        }
    }
}

/// Reads a name with dots and gives the place behind it; references are followed as often as a name may have labels.
fn read_name(bytes: &[u8], start: usize, name: &mut Vec<u8>) -> Option<usize> {
    let (mut at, mut end) = (start, None);
    for _ in 0..LABELS_MAX {
        let n = usize::from(*bytes.get(at)?);
        match n {
            0 => return Some(end.unwrap_or(at + 1)),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + n)?;
                if !name.is_empty() {
                    name.push(b'.');
                }
                if name.len() + n > NAME_MAX {
                    return None;
                }
                name.extend_from_slice(label);
                at += 1 + n;
            }
            192.. => {
                let low = usize::from(*bytes.get(at + 1)?);
                end.get_or_insert(at + 2);
                at = (n & 0x3f) << 8 | low;
            }
            _ => return None,
        }
    }
    None
}

const QUERY: Buffer = Buffer::named("dns.query");
const QUERY_NAME: Buffer = Buffer::named("dns.query.name");
const QUERIES: Buffer = Buffer::named("dns.queries.rrname");
const ANSWER_NAME: Buffer = Buffer::named("dns.answer.name");
const ANSWERS: Buffer = Buffer::named("dns.answers.rrname");
/// Records of one section that are read.
const RECORDS_MAX: u16 = 256;
/// The highest number of an operation that is assigned (IANA, "DNS OpCodes").
const OPCODE_MAX: u8 = 6;
const LABELS_MAX: usize = 255;
const NAME_MAX: usize = 1025;
