//! Protocols in ASN.1's basic encoding (X.690): Kerberos (RFC 4120) and SNMP (RFC 1157, 3416, 3412).

use super::super::super::buffer::Buffer;
use super::Said;
use crate::detect::eve;

/// What is kept of a connection: Kerberos over TCP, whose messages have their length before them.
#[derive(Debug, Default)]
pub(super) struct Kerberos {
    waiting: [Vec<u8>; 2],
}

impl Kerberos {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.waiting.iter().map(Vec::capacity).sum()
    }
}

/// Tag, value, and what follows.
type Tlv<'a> = (u8, &'a [u8], &'a [u8]);

impl Said {
    /// Bytes of a connection of Kerberos (RFC 4120 section 7.2.2).
    pub(super) fn kerberos_stream(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().kerberos.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while let Some((len, tail)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes(*len) as usize;
            if len > self.limits.message_max {
                self.lose();
                rest = &[];
                break;
            }
            let Some((message, tail)) = tail.split_at_checked(len) else {
                break;
            };
            self.kerberos(half, message);
            rest = tail;
        }
        let left = rest.len();
        self.more().kerberos.waiting[half] = self.wait(waiting, left);
    }

    /// A message of Kerberos; of a request its kind alone is told, as with Suricata.
    pub(super) fn kerberos(&mut self, half: usize, message: &[u8]) {
        let Some((tag @ (AS_REQ | AS_REP | TGS_REQ | TGS_REP | ERROR), body, _)) = tlv(message)
        else {
            return;
        };
        let Some((SEQUENCE, fields, _)) = tlv(body) else {
            return;
        };
        let unit = self.begin(half);
        unit.is_whole = true;
        let kind = u64::from(tag & 0x1f);
        unit.number("krb5_msg_type", kind);
        unit.number("krb5.msg_type", kind);
        for (tag, value) in fields_of(fields) {
            match (kind, tag) {
                (30, 6) => {
                    if let Some(code) = integer(value) {
                        unit.word("krb5_err_code", code.to_string());
                    }
                }
                (30, 8) | (11 | 13, 4) => names(value, |n| unit.add(CNAME, n)),
                (30, 10) => names(value, |n| unit.add(SNAME, n)),
                // the ticket: APPLICATION 1, with the name of the service in its third field
                (11 | 13, 5) => {
                    let ticket = tlv(value).and_then(|t| tlv(t.1)).map_or(&[][..], |t| t.1);
                    for (tag, value) in fields_of(ticket) {
                        match tag {
                            2 => names(value, |n| unit.add(SNAME, n)),
                            3 => encryption(value, "krb5.ticket_encryption", unit),
                            _ => {}
                        }
                    }
                }
                (11 | 13, 6) => {
                    let kind = fields_of(tlv(value).map_or(&[][..], |t| t.1)).next();
                    let kind = kind.and_then(|(_, v)| integer(v));
                    if kind.is_some_and(is_weak) {
                        unit.word("krb5.weak_encryption", "weak");
                    }
                }
                _ => {}
            }
        }
    }

    /// A message of SNMP.
    pub(super) fn snmp(&mut self, half: usize, message: &[u8]) {
        let Some((SEQUENCE, body, _)) = tlv(message) else {
            return;
        };
        let Some((INTEGER, version, rest)) = tlv(body) else {
            return;
        };
        let Some(version) = number(version) else {
            return;
        };
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.add(MESSAGE, message);
        unit.number("snmp.version", snmp_version(version));
        let Some((tag, value, rest)) = tlv(rest) else {
            return;
        };
        if tag == OCTETS {
            unit.add(COMMUNITY, value);
            let kind = tlv(rest).map(|(tag, _, _)| tag & 0x1f);
            // rules of Suricata 7 have the number
            kind.into_iter()
                .for_each(|n| unit.word("snmp.pdu_type", n.to_string()));
            if let Some(kind) = kind.and_then(|n| PDUS.get(usize::from(n))) {
                unit.word("snmp.pdu_type", *kind);
            }
            return;
        }
        // version 3: what the security model says, with the user in its fourth field
        let parameters = tlv(rest).filter(|t| t.0 == OCTETS).and_then(|t| tlv(t.1));
        let mut fields = parameters.map_or(&[][..], |p| p.1);
        for _ in 0..3 {
            fields = tlv(fields).map_or(&[][..], |f| f.2);
        }
        if let Some((OCTETS, user, _)) = tlv(fields) {
            unit.add(USM, user);
        }
    }
}

/// 0 is version 1, 1 is 2c.
fn snmp_version(number: u64) -> u64 {
    if number < 2 { number + 1 } else { number }
}

/// What a message of SNMP says, for a line; none where it is cut.
pub(in super::super) fn snmp_message(message: &[u8]) -> Option<eve::Snmp<'_>> {
    let (_, body, _) = tlv(message)?;
    let (_, version, rest) = tlv(body)?;
    let mut told = eve::Snmp {
        version: snmp_version(number(version)?),
        ..eve::Snmp::default()
    };
    let (tag, value, rest) = tlv(rest)?;
    let mut unit = rest;
    if tag == OCTETS {
        told.community = value;
    } else {
        let (_, parameters, scoped) = tlv(rest)?;
        let mut fields = tlv(parameters)?.1;
        for _ in 0..3 {
            fields = tlv(fields)?.2;
        }
        told.user = tlv(fields)?.1;
        // an engine and a name are before the unit, where it is in the clear
        let (SEQUENCE, inner, _) = tlv(scoped)? else {
            return Some(told);
        };
        unit = tlv(tlv(inner)?.2)?.2;
    }
    let (kind, mut fields, _) = tlv(unit)?;
    told.kind = PDUS
        .get(usize::from(kind & 0x1f))
        .copied()
        .unwrap_or_default();
    if told.kind != "trap_v1" {
        for _ in 0..3 {
            fields = tlv(fields)?.2;
        }
        let mut bindings = tlv(fields)?.1;
        while let Some((_, binding, rest)) =
            tlv(bindings).filter(|_| told.variables.len() < NAMES_MAX)
        {
            told.variables.extend(tlv(binding).map(|t| object(t.1)));
            bindings = rest;
        }
    }
    Some(told)
}

/// An object identifier with dots (X.690 section 8.19).
fn object(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut value, mut is_first) = (0u64, true);
    for byte in bytes {
        value = value << 7 & u64::MAX >> 1 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if std::mem::take(&mut is_first) {
            let root = (value / 40).min(2);
            text.push_str(&root.to_string());
            value -= 40 * root;
        }
        text.push('.');
        text.push_str(&value.to_string());
        value = 0;
    }
    text
}

/// Whether a type of encryption is weak: DES, RC4 and their kin (RFC 3961, RFC 8429).
fn is_weak(kind: u64) -> bool {
    matches!(kind, 1..=7 | 23..=24)
}

fn encryption(value: &[u8], name: &'static str, unit: &mut super::super::unit::Unit) {
    let kind = fields_of(tlv(value).map_or(&[][..], |t| t.1)).next();
    if let Some(kind) = kind.and_then(|(_, v)| integer(v)) {
        unit.word(name, kind.to_string());
        unit.word(name, if is_weak(kind) { "weak" } else { "strong" });
    }
}

/// The texts of a name: its second field.
fn names(value: &[u8], mut each: impl FnMut(&[u8])) {
    let Some((SEQUENCE, fields, _)) = tlv(value) else {
        return;
    };
    let texts = fields_of(fields).find(|f| f.0 == 1);
    let Some((SEQUENCE, mut rest, _)) = texts.and_then(|t| tlv(t.1)) else {
        return;
    };
    for _ in 0..NAMES_MAX {
        let Some((_, text, tail)) = tlv(rest) else {
            return;
        };
        each(text);
        rest = tail;
    }
}

/// Fields with numbers of their own: the number and what is in it.
fn fields_of(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (tag, value, rest) = tlv(bytes)?;
        bytes = rest;
        Some((tag & 0x1f, value))
    })
    .take(FIELDS_MAX)
}

fn integer(value: &[u8]) -> Option<u64> {
    tlv(value)
        .filter(|t| t.0 == INTEGER)
        .and_then(|t| number(t.1))
}

/// A number that is not negative.
fn number(bytes: &[u8]) -> Option<u64> {
    let good = !bytes.is_empty() && bytes.len() <= 8 && bytes[0] < 0x80;
    good.then(|| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

fn tlv(bytes: &[u8]) -> Option<Tlv<'_>> {
    let (&[tag, first], mut rest) = bytes.split_first_chunk::<2>()?;
    let mut len = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        let (digits, tail) = rest
            .split_at_checked(count)
            .filter(|_| (1..=4).contains(&count))?;
        len = digits.iter().fold(0, |n, b| n << 8 | usize::from(*b));
        rest = tail;
    }
    let (value, rest) = rest.split_at_checked(len)?;
    Some((tag, value, rest))
}

const CNAME: Buffer = Buffer::named("krb5.cname");
const SNAME: Buffer = Buffer::named("krb5.sname");
const MESSAGE: Buffer = Buffer::named("snmp.message");
const COMMUNITY: Buffer = Buffer::named("snmp.community");
const USM: Buffer = Buffer::named("snmp.usm");
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const SEQUENCE: u8 = 0x30;
/// Tags of the answers (RFC 4120 section 5.10).
const AS_REQ: u8 = 0x6a;
const AS_REP: u8 = 0x6b;
const TGS_REQ: u8 = 0x6c;
const TGS_REP: u8 = 0x6d;
const ERROR: u8 = 0x7e;
/// Names of the units by their tags (RFC 3416 section 3), as rules have them.
const PDUS: [&str; 9] = [
    "get_request",
    "get_next_request",
    "response",
    "set_request",
    "trap_v1",
    "get_bulk_request",
    "inform_request",
    "trap_v2",
    "report",
];
const FIELDS_MAX: usize = 32;
const NAMES_MAX: usize = 16;
