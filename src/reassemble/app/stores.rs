//! Databases: MySQL (client/server protocol, handshake v10), PostgreSQL (protocol 3 section 55.7), MongoDB (wire protocol), Cassandra (native protocol
//! v3 to v5 section 2), Oracle (TNS, as it is seen), MS SQL (MS-TDS 2.2.3.1).

use super::octets::{array_at, begins, contains, either, u8_at, u16_at, u24_at, u32_at, u32_le};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// The greeting: a packet numbered 0 with protocol 10 and a version in text; or an error in its place.
pub(super) fn mysql(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Mysql, Confidence::SURE, |b| {
        let [low, middle, high, number] = array_at(b, 0)?;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        match (number, u8_at(b, 4)?) {
            (0, 10) if (30..1024).contains(&length) => {
                let text = &b[5..b.len().min(4 + length)];
                let Some(end) = text.iter().position(|c| *c == 0) else {
                    return (text.len() > 64).then_some(false);
                };
                let version = &text[..end];
                let known = version.first().is_some_and(u8::is_ascii_digit)
                    && version.iter().all(u8::is_ascii_graphic);
                // thread, eight octets, a zero
                Some(known && version.contains(&b'.') && *text.get(end + 13)? == 0)
            }
            (0, 0xff) if (10..512).contains(&length) => {
                let code = u16::from_le_bytes(array_at(b, 5)?);
                let text = b.get(7..12)?;
                Some((1000..4000).contains(&code) && text.iter().all(|c| (b' '..=b'~').contains(c)))
            }
            _ => Some(false),
        }
    })
}

/// The first message of a client has a length and a code but no type; the server then asks for a login.
pub(super) fn pgsql(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Pgsql, Confidence::SURE, |b| {
        let (length, code) = (u32_at(b, 0)?, u32_at(b, 4)?);
        match (length, code) {
            // TLS, GSSAPI; to cancel
            (8, 80_877_103 | 80_877_104) | (16, 80_877_102) => Some(true),
            (9..=10_000, 0x0003_0000..=0x0003_0010) => {
                let name = b.get(8..)?;
                let letters = name
                    .iter()
                    .take_while(|c| c.is_ascii_lowercase() || **c == b'_')
                    .count();
                match name.get(letters) {
                    Some(0) => Some(letters > 2),
                    Some(_) => Some(false),
                    None => None,
                }
            }
            _ => Some(is_login(b)),
        }
    })
}

/// Authentication request: `R`, length, and a kind that has that length.
fn is_login(b: &[u8]) -> bool {
    let (Some(b'R'), Some(length), Some(kind)) = (u8_at(b, 0), u32_at(b, 1), u32_at(b, 5)) else {
        return false;
    };
    let parameters = u8_at(b, 9) == Some(b'S') && u16_at(b, 10) == Some(0);
    matches!((length, kind), (12, 5))
        || (length, kind) == (8, 0) && parameters
        || kind == 10 && contains(b, b"SCRAM-SHA-")
}

/// Little-endian header of sixteen octets and an operation; the message must begin as its operation says.
pub(super) fn mongodb(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Mongodb, Confidence::SURE, |b| {
        let (length, operation) = (u32_le(b, 0)?, u32_le(b, 12)?);
        if !(17..48 << 20).contains(&length) {
            return Some(false);
        }
        match operation {
            // reply: flags, cursor, place, number of documents
            1 => Some(u32_le(b, 16)? <= 0x0f && u32_le(b, 32)? <= 1 << 20 && length >= 36),
            // update, insert, query, get more, delete: a number, then the name of a collection
            2001 | 2002 | 2004 | 2005 | 2006 => {
                let name = b.get(20..)?;
                let dot = name.iter().position(|c| *c == b'.');
                let end = name.iter().position(|c| *c == 0)?;
                Some(
                    dot.is_some_and(|dot| dot < end)
                        && name[..end].iter().all(|c| (b' '..=b'~').contains(c)),
                )
            }
            2012 => Some(matches!(u32_le(b, 16)?, 1 | 2004 | 2013)),
            // message: flags, then a section whose document fits
            2013 => {
                let (flags, kind, document) = (u32_le(b, 16)?, u8_at(b, 20)?, u32_le(b, 21)?);
                Some(flags & !0x0001_0003 == 0 && kind <= 1 && document >= 5 && document < length)
            }
            _ => Some(false),
        }
    })
}

/// A request to start or for options, an answer to one of them.
pub(super) fn cassandra(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Cassandra, Confidence::LIKELY, |b| {
        let (version, flags, operation, length) =
            (u8_at(b, 0)?, u8_at(b, 1)?, u8_at(b, 4)?, u32_at(b, 5)?);
        if !matches!(version & 0x7f, 3..=5) || flags > 0x1f {
            return Some(false);
        }
        Some(match (version >> 7, operation) {
            (0, 5) => length == 0 && b.len() == 9,
            (0, 1) => contains(b, b"CQL_VERSION"),
            (1, 6) => {
                contains(b, b"CQL_VERSION")
                    || contains(b, b"COMPRESSION")
                    || contains(b, b"PROTOCOL_VERSION")
            }
            _ => false,
        })
    })
}

/// A connect packet with the length of all, its description in text.
pub(super) fn oracle(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::OracleTns, Confidence::LIKELY, |b| {
        let (length, sum, kind) = (u16_at(b, 0)?, u16_at(b, 2)?, u8_at(b, 4)?);
        let (reserved, check) = (u8_at(b, 5)?, u16_at(b, 6)?);
        if sum != 0 || reserved & !0x20 != 0 || check != 0 {
            return Some(false);
        }
        match kind {
            1 => {
                let (version, lowest) = (u16_at(b, 8)?, u16_at(b, 10)?);
                Some(
                    length >= 58
                        && (300..=330).contains(&version)
                        && (300..=version).contains(&lowest),
                )
            }
            // accept, and resend beside a connect
            2 => Some(length >= 24 && (300..=330).contains(&u16_at(b, 8)?) && peek.has_port(1521)),
            4 => Some(contains(b, b"(DESCRIPTION=") || contains(b, b"(ERR=")),
            _ => Some(false),
        }
    })
}

/// The header of eight octets; what a client sends must begin as its type says, what a server says as tokens do.
pub(super) fn tds(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(1433);
    let check = |b: &[u8]| -> Option<bool> {
        let (kind, status, length) = (u8_at(b, 0)?, u8_at(b, 1)?, u16_at(b, 2)?);
        let (number, window) = (u8_at(b, 6)?, u8_at(b, 7)?);
        if status & !0x1f != 0 || length < 9 || window != 0 {
            return Some(false);
        }
        let c = &b[8..];
        match kind {
            // options: the first is the version, of six octets
            0x12 => Some(begins(c, &[0, 0])? && u16_at(c, 3)? == 6 && u24_at(b, 4)? >> 8 == 0),
            // a login repeats its length
            0x10 => Some(u32_le(c, 0)? as usize + 8 == usize::from(length) && u8_at(c, 7)? >= 0x70),
            // batches and calls: headers of all, the first of transactions
            0x01 | 0x03 => {
                let all = begins(c, &[0x16, 0, 0, 0, 0x12, 0, 0, 0, 2, 0]) == Some(true);
                Some(all || usual && number >= 1)
            }
            0x04 => Some(
                usual
                    && matches!(
                        u8_at(c, 0)?,
                        0x79 | 0x81 | 0xaa | 0xab | 0xad | 0xd1 | 0xe3 | 0xfd | 0xff | 0x00
                    ),
            ),
            0x0e => Some(usual),
            _ => Some(false),
        }
    };
    match either(peek, AppProto::MsSql, Confidence::LIKELY, check) {
        More if usual && peek.first.iter().any(|b| b.len() > 64) => No,
        Is(proto, _) if !usual => Is(proto, Confidence::FAIR),
        said => said,
    }
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, more_tcp, not_on, not_tcp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn mysql_greets() {
        let greeting = [
            &hex("4a0000000a")[..],
            b"5.7.20-log\0",
            &hex("0b000000 4142434445464748 00 fff7"),
        ]
        .concat();
        is_tcp(mysql, [b"", &greeting], AppProto::Mysql);
        let error = [
            &hex("450000 00 ff 6a04")[..],
            b"Host '10.0.0.1' is not allowed",
        ]
        .concat();
        is_tcp(mysql, [b"", &error], AppProto::Mysql);
        let mut near = greeting.clone();
        near[3] = 1;
        not_tcp(mysql, &near);
        near = greeting.clone();
        near[5] = b'x';
        not_tcp(mysql, &near);
        more_tcp(mysql, [b"", &greeting[..9]]);
    }

    #[test]
    fn pgsql_starts() {
        is_tcp(pgsql, [&hex("0000000804d2162f"), b"S"], AppProto::Pgsql);
        is_tcp(
            pgsql,
            [b"\0\0\0\x29\0\x03\0\0user\0oryx\0", b""],
            AppProto::Pgsql,
        );
        is_tcp(pgsql, [b"", b"R\0\0\0\x0c\0\0\0\x05abcd"], AppProto::Pgsql);
        not_tcp(pgsql, &hex("0000000904d2162f"));
        not_tcp(pgsql, b"\0\0\0\x29\0\x03\0\0Host: ");
        not_tcp(pgsql, b"R\0\0\0\x08\0\0\0\0XXXX");
    }

    #[test]
    fn mongodb_messages() {
        let query = [
            &hex("3a000000 01000000 00000000 d4070000 00000000")[..],
            b"admin.$cmd\0",
            &hex("00000000ffffffff"),
        ]
        .concat();
        is_tcp(mongodb, [&query, b""], AppProto::Mongodb);
        is_tcp(
            mongodb,
            [
                &hex("5d000000 02000000 00000000 dd070000 00000000 00 48000000"),
                b"",
            ],
            AppProto::Mongodb,
        );
        not_tcp(
            mongodb,
            &hex("5d000000 02000000 00000000 dd070000 00000001 00 48000000"),
        );
        not_tcp(mongodb, &hex("10000000 02000000 00000000 dd070000"));
    }

    #[test]
    fn cassandra_starts() {
        is_tcp(
            cassandra,
            [&hex("040000000500000000"), b""],
            AppProto::Cassandra,
        );
        is_tcp(
            cassandra,
            [
                &[&hex("0400000101000000160001000b")[..], b"CQL_VERSION"].concat(),
                b"",
            ],
            AppProto::Cassandra,
        );
        not_tcp(cassandra, &hex("040000000500000001"));
        not_tcp(cassandra, &hex("060000000500000000"));
    }

    #[test]
    fn oracle_connects() {
        let connect = hex("00d4000001000000013b012c0c412000ffff7f08");
        is_tcp(oracle, [&connect, b""], AppProto::OracleTns);
        not_tcp(oracle, &hex("00d4000001000000013b014c0c412000"));
        not_tcp(oracle, &hex("00d4000101000000013b012c0c412000"));
    }

    #[test]
    fn tds_types() {
        let before = hex("1201002f00000100 00001a0006 010020 0001");
        is_tcp(tds, [&before, b""], AppProto::MsSql);
        is_tcp(
            tds,
            [&hex("010100be00000100 16000000 12000000 0200 0000"), b""],
            AppProto::MsSql,
        );
        let on = (Wire::Tcp, 40_000, 1433);
        is_on(
            tds,
            on,
            [&hex("0101002c0000010043004f004d004d00"), b""],
            AppProto::MsSql,
        );
        is_on(
            tds,
            on,
            [b"", &hex("0401002200350100fd0100f9")],
            AppProto::MsSql,
        );
        not_tcp(tds, &hex("0101002c0000010043004f004d004d00"));
        not_on(tds, on, [&hex("1601002c0000010043004f004d004d00"), b""]);
    }
}
