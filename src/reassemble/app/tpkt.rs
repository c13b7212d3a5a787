//! What TPKT carries (RFC 1006 section 6, ISO 8073 section 13): RDP (MS-RDPBCGR 2.2.1.1), S7 communication, MMS (ISO 9506), H.323 signalling; and RDP
//! over UDP (MS-RDPEUDP 2.2.2, MS-RDPEUDP2 2.2.1).

use super::octets::{contains, either, u8_at, u16_at, u32_at};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// What a TPDU says of what it carries.
enum Said {
    Is(AppProto),
    /// A connection of the transport that anything may use.
    Opens,
    No,
}

/// Follows the packets of both halves as far as they came.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let mut opened = false;
    for half in peek.first {
        let mut b = half;
        loop {
            let Some((said, length)) = packet(b) else {
                // too short for the next one
                opened |= !b.is_empty() && b.len() < 4 && b[0] == 3;
                break;
            };
            match said {
                Said::Is(proto) => return Is(proto, Confidence::SURE),
                Said::No => return No,
                Said::Opens => opened = true,
            }
            match b.get(length..) {
                Some(rest) if !rest.is_empty() => b = rest,
                _ => break,
            }
        }
    }
    let both = peek.first.iter().all(|half| !half.is_empty());
    match opened {
        // who has kept the port of the transport and says nothing that is known
        true if both && peek.has_port(102) && peek.first.iter().any(|half| half.len() > 200) => {
            Is(AppProto::Tpkt, Confidence::LIKELY)
        }
        true => More,
        false => No,
    }
}

/// The first packet, and its length.
fn packet(b: &[u8]) -> Option<(Said, usize)> {
    if b.first() != Some(&3) || u8_at(b, 1).is_some_and(|reserved| reserved != 0) {
        return (!b.is_empty()).then_some((Said::No, b.len()));
    }
    let length = usize::from(u16_at(b, 2)?);
    if length < 5 {
        return Some((Said::No, length));
    }
    let tpdu = &b[4..b.len().min(length)];
    // Q.931: discriminator, call reference of two octets
    if tpdu.starts_with(&[0x08, 0x02]) && length > 9 {
        return Some((Said::Is(AppProto::H323), length));
    }
    let (header, kind) = (usize::from(u8_at(tpdu, 0)?), u8_at(tpdu, 1)?);
    if header + 5 > length {
        return Some((Said::No, length));
    }
    let said = match kind & 0xf0 {
        0xe0 | 0xd0 => connects(tpdu, header, kind),
        0xf0 if header == 2 => data(tpdu.get(3..).unwrap_or_default()),
        0x80 => Said::Opens,
        _ => Said::No,
    };
    Some((said, length))
}

/// A connection request or its confirmation: RDP has a cookie or a negotiation behind it.
fn connects(tpdu: &[u8], header: usize, kind: u8) -> Said {
    let rest = tpdu.get(7..).unwrap_or_default();
    let negotiates = match kind & 0xf0 {
        0xe0 => rest.starts_with(&[1]) && u16_at(rest, 2) == Some(0x0800),
        _ => matches!(rest.first(), Some(2 | 3)) && u16_at(rest, 2) == Some(0x0800),
    };
    let cookie = rest.starts_with(b"Cookie: mstshash=") || rest.starts_with(b"Cookie: msts=");
    match negotiates
        || cookie
        || contains(rest, b"\r\n\x01\x00\x08\x00")
        || contains(rest, b"\r\n\x01\x08\x08\x00")
    {
        true => Said::Is(AppProto::Rdp),
        false if header >= 6 => Said::Opens,
        false => Said::No,
    }
}

/// User data of a class 0 connection.
fn data(b: &[u8]) -> Said {
    match b {
        // protocol, kind of job
        [0x32, 1..=3 | 7, ..] | [0x72, 1..=3, ..] => Said::Is(AppProto::S7),
        // T.125 connect-initial and connect-response
        [0x7f, 0x65 | 0x66, ..] => Said::Is(AppProto::Rdp),
        // session connect and accept; MMS is named in its presentation layer
        [0x0d | 0x0e, ..] => {
            match contains(b, &[0x28, 0xca, 0x22, 0x02]) || contains(b, &[0x52, 0x01]) {
                true => Said::Is(AppProto::Mms),
                false => Said::Opens,
            }
        }
        // give tokens, data: then a presentation data value
        [1, 0, 1, 0, 0x61, ..] => Said::Is(AppProto::Mms),
        _ => Said::Opens,
    }
}

/// A synchronisation of 1,232 octets or less with sizes that are likely; acknowledged data on the usual port.
pub(super) fn over_udp(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(3389) {
        return No;
    }
    either(peek, AppProto::Rdp, Confidence::LIKELY, |b| {
        let (acknowledged, flags) = (u32_at(b, 0)?, u16_at(b, 6)?);
        // SYN, with sizes of packets both ways
        let sizes = || Some([u16_at(b, 12)?, u16_at(b, 14)?]);
        if flags & 1 != 0 {
            let answers = flags & 4 != 0 || acknowledged == u32::MAX;
            return Some(answers && sizes()?.iter().all(|size| (1000..=1500).contains(size)));
        }
        // ACK and data: window, then the coded acknowledgements
        let record = |at: usize| {
            u8_at(b, at).is_some_and(|kind| (20..=23).contains(&kind))
                && matches!(u8_at(b, at + 1), Some(3 | 0xfe))
        };
        let carries = (12..b.len().min(32)).step_by(4).any(record);
        Some(flags & 0x0c != 0 && flags & 0xf000 == 0 && carries)
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, more_tcp, not_on, not_tcp, not_udp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn rdp_connects_with_a_cookie_or_a_negotiation() {
        let cookie = [
            &hex("0300002a25e00000000000")[..],
            b"Cookie: mstshash=eltons\r\n",
        ]
        .concat();
        is_tcp(recognise, [&cookie, b""], AppProto::Rdp);
        is_tcp(
            recognise,
            [&hex("030000130ee000000000000100080003000000"), b""],
            AppProto::Rdp,
        );
        is_tcp(
            recognise,
            [b"", &hex("030000130ed000001234000200080002000000")],
            AppProto::Rdp,
        );
    }

    #[test]
    fn others_on_the_same_transport() {
        let opens = hex("0300001611e00000000700c1020100c2020102c0010a");
        let confirms = hex("0300001611d00007000300c0010ac1020100c2020102");
        let setup = hex("0300001902f08032010000020000080000f0000001000101e0");
        more_tcp(recognise, [&opens, &confirms]);
        is_tcp(
            recognise,
            [&[&opens[..], &setup].concat(), &confirms],
            AppProto::S7,
        );
        let session = hex(
            "030000a702f0800d9e05061301001601021402000233020001340200 01c188318185a003800101a27e8104000000018204000000 01a423300f02010106045201",
        );
        is_tcp(
            recognise,
            [&[&opens[..], &session].concat(), &confirms],
            AppProto::Mms,
        );
        let call = hex("0300 0020 0802 0001 05 04 0388c0a5 28 05 61626364 00");
        is_tcp(recognise, [&call, b""], AppProto::H323);
    }

    #[test]
    fn what_begins_alike_is_not() {
        not_tcp(recognise, &hex("0301001611e000000007"));
        not_tcp(recognise, &hex("03000004"));
        not_tcp(recognise, &hex("0300000f02c0803201"));
        not_tcp(recognise, b"GET / HTTP/1.1");
        more_tcp(recognise, [&hex("0300"), b""]);
    }

    #[test]
    fn rdp_over_udp() {
        let on = (Wire::Udp, 40_000, 3389);
        let syn = hex("ffffffff 0040 1801 bbff5687 04d0 04d0 a690");
        is_on(over_udp, on, [&syn, b""], AppProto::Rdp);
        not_udp(over_udp, &syn);
        not_on(
            over_udp,
            on,
            [&hex("fffffffe 0040 1801 bbff5687 04d0 04d0 a690"), b""],
        );
    }
}
