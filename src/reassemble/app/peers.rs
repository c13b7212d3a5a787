//! Sharing of files: BitTorrent over uTP and its DHT (BEP 29, BEP 5), eDonkey, TFTP (RFC 1350 section 5, RFC 2347).

use super::expect::{Endpoint, Expected};
use super::octets::{contains, either, u8_at, u16_at, u32_at, u32_le};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::{Addr, AppProto, PayloadMap};

/// A bencoded dictionary with a kind of message, whatever its first key.
pub(super) fn dht(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let opens = matches!(b, [b'd', b'1'..=b'9', b':' | b'0'..=b'9', ..]) && b.last() == Some(&b'e');
    let kinds = [&b"1:y1:q"[..], b"1:y1:r", b"1:y1:e"];
    match opens && kinds.iter().any(|kind| contains(b, kind)) {
        true => Is(AppProto::Bittorrent, Confidence::SURE),
        false => No,
    }
}

/// A connection that is opened and answered with its number.
pub(super) fn utp(peek: &Peek<'_>) -> Verdict {
    let now = peek.bytes();
    let Some(this) = header(now) else { return No };
    let other = header(peek.first[1 - peek.half]);
    let connected = other.is_some_and(|other| {
        // who opened is answered with its number, and goes on with the one above
        let near = this.connection.wrapping_sub(other.connection);
        let echoes = this.acknowledged == other.number || other.acknowledged == this.number;
        matches!(near, 0 | 1 | 0xffff) && echoes
    });
    match (connected, this.kind) {
        (true, _) => Is(AppProto::Bittorrent, Confidence::LIKELY),
        // one that opens has nothing else and starts to count
        (false, SYN) if now.len() == 20 && this.number == 1 => {
            Is(AppProto::Bittorrent, Confidence::FAIR)
        }
        _ => More,
    }
}

struct Header {
    kind: u8,
    connection: u16,
    number: u16,
    acknowledged: u16,
}

/// Version 1, a type, extensions that end.
fn header(b: &[u8]) -> Option<Header> {
    let (first, mut extension) = (u8_at(b, 0)?, u8_at(b, 1)?);
    let mut at = 20;
    for _ in 0..4 {
        if extension == 0 {
            break;
        }
        (extension, at) = (u8_at(b, at)?, at + 2 + usize::from(u8_at(b, at + 1)?));
    }
    let fits = first & 0x0f == 1 && first >> 4 <= 4 && extension == 0 && at <= b.len();
    fits.then_some(Header {
        kind: first >> 4,
        connection: u16_at(b, 2)?,
        number: u16_at(b, 16)?,
        acknowledged: u16_at(b, 18)?,
    })
}

/// A protocol, a length and an operation; a hello has the size of its hash.
pub(super) fn edonkey(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Edonkey, Confidence::LIKELY, |b| {
        let (protocol, length, operation) = (u8_at(b, 0)?, u32_le(b, 1)?, u8_at(b, 5)?);
        if !matches!(protocol, 0xe3 | 0xc5) || !(2..=4096).contains(&length) {
            return Some(false);
        }
        Some(match operation {
            0x01 if protocol == 0xe3 => {
                u8_at(b, 6)? == 0x10 || length as usize + 5 == b.len() && u32_at(b, 22).is_some()
            }
            0x4c if protocol == 0xe3 => length >= 22 && length as usize + 5 == b.len(),
            _ => false,
        })
    })
}

/// A request with a name and a mode.
pub(super) fn tftp(peek: &Peek<'_>) -> Verdict {
    if is_request(peek.bytes()) {
        return Is(AppProto::Tftp, Confidence::SURE);
    }
    if is_accepted(peek.bytes()) {
        return Is(AppProto::Tftp, Confidence::LIKELY);
    }
    // without its request: blocks and their acknowledgements
    let block = |b: &[u8]| match (u16_at(b, 0), u16_at(b, 2)) {
        (Some(3), Some(n)) if b.len() >= 64 => Some((true, n)),
        (Some(4), Some(n)) if b.len() == 4 => Some((false, n)),
        _ => None,
    };
    match (block(peek.bytes()), block(peek.first[1 - peek.half])) {
        (Some((data, n)), Some((other, m))) if data != other && n.abs_diff(m) <= 1 => {
            Is(AppProto::Tftp, Confidence::LIKELY)
        }
        (Some(_), _) => More,
        (None, _) if peek.has_port(69) => either(peek, AppProto::Tftp, Confidence::FAIR, |b| {
            Some(is_short(b))
        }),
        _ => No,
    }
}

/// An error with its text, or a request without a name; only of the usual port.
fn is_short(b: &[u8]) -> bool {
    match b {
        [0, 1 | 2, mode @ ..] => MODES.iter().any(|m| mode.eq_ignore_ascii_case(&m[1..])),
        [0, 5, 0, 0..=8, text @ .., 0] => text.iter().all(|c| (b' '..=b'~').contains(c)),
        _ => false,
    }
}

/// Options with their values, of which one is known.
fn is_accepted(b: &[u8]) -> bool {
    let [0, 6, options @ .., 0] = b else {
        return false;
    };
    let mut pairs = options.split(|c| *c == 0);
    let known: [&[u8]; 4] = [b"blksize", b"tsize", b"timeout", b"windowsize"];
    let name = pairs.next().unwrap_or_default();
    let value = pairs.next().unwrap_or_default();
    known.iter().any(|k| name.eq_ignore_ascii_case(k))
        && !value.is_empty()
        && value.iter().all(u8::is_ascii_digit)
}

/// Reading or writing, a name, a mode.
fn is_request(b: &[u8]) -> bool {
    let [0, 1 | 2, rest @ ..] = b else {
        return false;
    };
    let name = rest
        .iter()
        .take(256)
        .take_while(|c| (b' '..=b'~').contains(*c) || **c >= 0x80)
        .count();
    let mode = &rest[name..];
    name > 0
        && MODES
            .iter()
            .any(|m| mode.len() >= m.len() && mode[..m.len()].eq_ignore_ascii_case(m))
}

/// The transfer that a request asks for comes from another port to the one that asked.
pub(super) fn expected(request: &[u8], own: Addr, port: u16) -> Option<Expected> {
    let at = Endpoint { addr: own, port };
    is_request(request).then_some(Expected {
        at,
        proto: AppProto::Tftp,
        payloads: PayloadMap::default(),
    })
}

/// With the zeros around them.
const MODES: &[&[u8]] = &[b"\0octet\0", b"\0netascii\0", b"\0mail\0"];
/// Type of a packet that opens a connection of uTP.
const SYN: u8 = 4;

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, is_udp, not_tcp, not_udp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn dht_messages() {
        is_udp(
            dht,
            b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe",
            AppProto::Bittorrent,
        );
        not_udp(
            dht,
            b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:z",
        );
        not_udp(dht, b"date 1:y1:q");
    }

    #[test]
    fn utp_is_answered() {
        let on = (Wire::Udp, 33_333, 49_861);
        let opens = hex("41004567ed639296000000000010000023c60000");
        let answers = hex("21004567ed6393410000000000100000456723c6");
        is_on(utp, on, [&answers, &opens], AppProto::Bittorrent);
        is_udp(
            utp,
            &hex("4100530210eeb2f0000000000000000000010000"),
            AppProto::Bittorrent,
        );
        not_udp(utp, &hex("51004567ed639296000000000010000023c60000"));
        not_udp(utp, &hex("41014567ed639296000000000010000023c60000"));
    }

    #[test]
    fn donkeys() {
        let mut hello = hex("e37700000001101b42cd5b940ed779c20ab755fe256f97");
        hello.resize(124, 0);
        is_tcp(edonkey, [&hello, b""], AppProto::Edonkey);
        not_tcp(edonkey, &hex("e30000770001101b42cd"));
        not_tcp(edonkey, &hex("e37700000002101b42cd"));
    }

    #[test]
    fn transfers_are_asked_for() {
        let asks = b"\0\x01rfc1350.txt\0octet\0";
        is_udp(tftp, asks, AppProto::Tftp);
        is_udp(tftp, b"\0\x02a\0NetASCII\0tsize\x000\0", AppProto::Tftp);
        not_udp(tftp, b"\0\x01rfc1350.txt\0octot\0");
        not_udp(tftp, b"\0\x01\0octet\0");
        let data = [&hex("00030002")[..], &[b'x'; 512]].concat();
        is_on(
            tftp,
            (Wire::Udp, 1, 2),
            [&data, &hex("00040001")],
            AppProto::Tftp,
        );
        is_on(
            tftp,
            (Wire::Udp, 1, 69),
            [b"\0\x01octet\0", b""],
            AppProto::Tftp,
        );
        is_udp(
            tftp,
            b"\0\x06blksize\x001468\0tsize\x00100000\0",
            AppProto::Tftp,
        );
        not_udp(tftp, b"\0\x06blksize\0\0");
        let own = Addr::from_v4([10, 0, 0, 1]);
        assert_eq!(expected(asks, own, 50_618).map(|e| e.at.port), Some(50_618));
        assert_eq!(expected(b"\0\x03", own, 50_618), None);
    }
}
