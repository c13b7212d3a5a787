//! DNS: names, types and codes of queries and answers (RFC 1035 section 4.1).

use super::super::super::buffer::Buffer;
use super::Said;
use crate::detect::eve;

impl Said {
    /// A message.
    pub(super) fn dns(&mut self, half: usize, bytes: &[u8]) {
        let Some(header) = bytes.first_chunk::<12>() else {
            return;
        };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let is_answer = header[2] & 0x80 != 0;
        let is_first = self.begun == [0; 2] && !self.is_stream;
        let fault = match (half, is_answer) {
            (0, true) if !is_first => Some("dns.not_request"),
            (1, false) if !is_first => Some("dns.not_response"),
            _ => (!is_readable(bytes, [word(4), word(6), word(8)])).then_some("dns.malformed_data"),
        };
        if let Some(fault) = fault {
            return self.dns_fault(half, fault);
        }
        self.dns_last = Some(half);
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.add(MESSAGE, bytes);
        if header[3] & 0x40 != 0 {
            unit.word("dns.z_flag_set", "");
        }
        if header[2] >> 3 & 15 > OPCODE_MAX {
            unit.word("dns.invalid_opcode", "");
        }
        unit.number("dns.opcode", u64::from(header[2] >> 3 & 15));
        if is_answer {
            unit.number("dns.rcode", u64::from(header[3] & 15));
        }
        let (mut at, mut name) = (12, Vec::with_capacity(NAME_FEW));
        for _ in 0..word(4).min(RECORDS_MAX) {
            name.clear();
            let Some(end) = read_name(bytes, at, &mut name) else {
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
            name.clear();
            let Some(end) = read_name(bytes, at, &mut name) else {
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

    /// A message that is no transaction. Suricata says so of the transaction before it, as long as it has that: of a stream the last one of the other
    /// side, of datagrams none.
    fn dns_fault(&mut self, half: usize, fault: &'static str) {
        let last = self.dns_last.take();
        let other = 1 - half.min(1);
        let begun = self.begun[other].checked_sub(1);
        if let Some(transaction) = begun.filter(|_| self.is_stream && last == Some(other)) {
            self.raise_apart(other, transaction, &[fault]);
        }
    }
}

/// Whether questions, and the records of two sections, can be read to their end.
fn is_readable(bytes: &[u8], [questions, answers, authorities]: [u16; 3]) -> bool {
    let mut name = Vec::with_capacity(NAME_FEW);
    let mut at = 12;
    let mut pass = |at: usize, is_record: bool| {
        name.clear();
        let end = read_name(bytes, at, &mut name)?;
        if !is_record {
            return bytes.get(end..end + 4).map(|_| end + 4);
        }
        let fixed = bytes.get(end..end + 10)?;
        let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        bytes.get(end + 10..end + 10 + len).map(|_| end + 10 + len)
    };
    let questions = std::iter::repeat_n(false, questions.min(RECORDS_MAX).into());
    let records = [answers, authorities].map(|n| usize::from(n.min(RECORDS_MAX)));
    let records = std::iter::repeat_n(true, records.iter().sum());
    for is_record in questions.chain(records) {
        match pass(at, is_record) {
            Some(end) => at = end,
            None => return false,
        }
    }
    true
}

/// What a message says, for a line; none where there is none.
pub(in super::super) fn records(bytes: &[u8]) -> Option<eve::DnsMessage> {
    let header = bytes.first_chunk::<12>()?;
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let mut told = eve::DnsMessage {
        id: word(0),
        flags: word(2),
        ..eve::DnsMessage::default()
    };
    let short = |at: usize| {
        let b = bytes.get(at..at + 2)?;
        Some(u16::from_be_bytes([b[0], b[1]]))
    };
    let mut at = 12;
    for _ in 0..word(4).min(TOLD_MAX) {
        let mut name = vec![];
        let Some(end) = read_name(bytes, at, &mut name) else {
            return Some(told);
        };
        let Some(kind) = short(end) else {
            return Some(told);
        };
        told.questions.push((name, kind));
        at = end + 4;
    }
    for _ in 0..word(6).min(TOLD_MAX) {
        let mut name = vec![];
        let Some(end) = read_name(bytes, at, &mut name) else {
            return Some(told);
        };
        let Some(fixed) = bytes.get(end..end + 10) else {
            return Some(told);
        };
        let kind = u16::from_be_bytes([fixed[0], fixed[1]]);
        let ttl = u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        let from = end + 10;
        let Some(data) = bytes.get(from..from + len) else {
            return Some(told);
        };
        told.answers.push(eve::DnsAnswer {
            name,
            kind,
            ttl,
            data: data_text(bytes, from, data, kind),
        });
        at = from + len;
    }
    Some(told)
}

/// The data of a record as text: addresses, names, texts; none where Suricata writes none.
fn data_text(bytes: &[u8], from: usize, data: &[u8], kind: u16) -> Option<Vec<u8>> {
    let name = |at: usize| {
        let mut name = vec![];
        read_name(bytes, at, &mut name).map(|_| name)
    };
    match (kind, data) {
        (1, [a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}").into_bytes()),
        (28, six) if six.len() == 16 => {
            let words = six.chunks(2).map(|w| format!("{:02x}{:02x}", w[0], w[1]));
            Some(words.collect::<Vec<_>>().join(":").into_bytes())
        }
        (2 | 5 | 12, _) => name(from),
        (15, [_, _, _, ..]) => name(from + 2),
        (16, [len, text @ ..]) => Some(text[..text.len().min((*len).into())].to_vec()),
        _ => None,
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

const MESSAGE: Buffer = Buffer::named("dns.message");
const QUERY: Buffer = Buffer::named("dns.query");
const QUERY_NAME: Buffer = Buffer::named("dns.query.name");
const QUERIES: Buffer = Buffer::named("dns.queries.rrname");
const ANSWER_NAME: Buffer = Buffer::named("dns.answer.name");
const ANSWERS: Buffer = Buffer::named("dns.answers.rrname");
/// Records of one section that are read.
const RECORDS_MAX: u16 = 256;
/// The highest number of an operation that is assigned (IANA, "DNS OpCodes").
const OPCODE_MAX: u8 = 6;
/// Records of one section that a line tells.
const TOLD_MAX: u16 = 64;
const LABELS_MAX: usize = 255;
const NAME_MAX: usize = 1025;
/// Bytes that most names have at most.
const NAME_FEW: usize = 64;
