//! Voice and its helpers: STUN and TURN (RFC 8489 section 5, RFC 3489 section 11), RTP and RTCP (RFC 3550 sections 5.1, 6.4), DTLS (RFC 6347
//! section 4.1, RFC 9147 section 4), Skinny.

use super::octets::{either, u8_at, u16_at, u16_le, u24_at, u32_at, u32_le};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// The cookie and a length that fits, or attributes of the older kind to the end.
pub(super) fn stun(peek: &Peek<'_>) -> Verdict {
    let stream = peek.transport == Wire::Tcp;
    either(peek, AppProto::Stun, Confidence::SURE, |b| {
        // over TCP a length may stand before it (RFC 4571)
        let b = match stream && u16_at(b, 0)? >= 20 && u32_at(b, 6)? == COOKIE {
            true => &b[2..],
            false => b,
        };
        let (kind, length) = (u16_at(b, 0)?, usize::from(u16_at(b, 2)?));
        if kind >= 0x4000 || length % 4 != 0 {
            return Some(false);
        }
        let cookie = u32_at(b, 4)? == COOKIE;
        match stream {
            true => Some(cookie && b.len() >= 20),
            false => Some(
                b.len() >= 20 + length && cookie || b.len() == 20 + length && is_classic(kind, b),
            ),
        }
    })
}

/// Binding and shared secret, with attributes that the first STUN had, to the end; at least one.
fn is_classic(kind: u16, b: &[u8]) -> bool {
    if !matches!(
        kind,
        0x0001 | 0x0101 | 0x0111 | 0x0002 | 0x0102 | 0x0112 | 0x0003 | 0x0103 | 0x0113
    ) {
        return false;
    }
    let mut at = 20;
    while at < b.len() {
        let (Some(attribute), Some(length)) = (u16_at(b, at), u16_at(b, at + 2)) else {
            return false;
        };
        let known =
            matches!(attribute, 0x0001..=0x0027 | 0x8000..=0x80ff | 0x0101 | 0xc000..=0xc0ff);
        if !known {
            return false;
        }
        at += 4 + usize::from(length).next_multiple_of(4);
    }
    at == b.len() && b.len() > 20
}

/// The sizes that a message of TURN's channel has are not enough: RTP is what two packets of one source with rising numbers are.
pub(super) fn rtp(peek: &Peek<'_>) -> Verdict {
    let (now, before) = (peek.bytes(), peek.before);
    let (Some(this), Some(last)) = (head(now), head(before)) else {
        return match head(now) {
            Some(_) => More,
            None => No,
        };
    };
    let step = this.number.wrapping_sub(last.number);
    let one = this.source == last.source && this.kind == last.kind && this.source != 0;
    let later = this.time.wrapping_sub(last.time) < 1 << 24;
    match one && (1..=16).contains(&step) && later {
        true => Is(AppProto::Rtp, Confidence::LIKELY),
        false => More,
    }
}

struct Head {
    kind: u8,
    number: u16,
    time: u32,
    source: u32,
}

/// The fixed header, version 2, of a payload type that is assigned or dynamic (RFC 3551 section 6) and none of RTCP's.
fn head(b: &[u8]) -> Option<Head> {
    let (first, second) = (u8_at(b, 0)?, u8_at(b, 1)?);
    let kind = second & 0x7f;
    let assigned = matches!(kind, 0..=34 | 96..=127);
    let source = u32_at(b, 8)?;
    (first >> 6 == 2 && assigned).then_some(Head {
        kind,
        number: u16_at(b, 2)?,
        time: u32_at(b, 4)?,
        source,
    })
}

/// A compound packet: reports first, all parts of version 2, to the end.
pub(super) fn rtcp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Rtcp, Confidence::LIKELY, |b| {
        let (mut at, mut parts) = (0, 0);
        while at < b.len() {
            let (first, kind, words) = (u8_at(b, at)?, u8_at(b, at + 1)?, u16_at(b, at + 2)?);
            if first >> 6 != 2 || !(200..=207).contains(&kind) || parts == 0 && kind > 201 {
                return Some(false);
            }
            at += (usize::from(words) + 1) * 4;
            parts += 1;
        }
        Some(at == b.len() && (parts > 1 || b.len() >= 8 && b.len() % 24 == 8 || b.len() == 28))
    })
}

/// A record that ends within the datagram; a handshake says most.
pub(super) fn dtls(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let Some(found) = record(b) else { return No };
    match found {
        HANDSHAKE => {
            let (kind, epoch) = (u8_at(b, 13), u16_at(b, 3));
            // encrypted ones are of a later epoch
            match matches!(kind, Some(0..=4 | 8 | 11..=16 | 20..=24)) || epoch != Some(0) {
                true => Is(AppProto::Dtls, Confidence::SURE),
                false => No,
            }
        }
        _ => Is(AppProto::Dtls, Confidence::LIKELY),
    }
}

/// The content type of a record of DTLS 1.0 or 1.2, or of OpenSSL's before them.
fn record(b: &[u8]) -> Option<u8> {
    let (kind, version) = (u8_at(b, 0)?, u16_at(b, 1)?);
    let (epoch, length) = (u16_at(b, 3)?, usize::from(u16_at(b, 11)?));
    let known = matches!(kind, 20..=25) && matches!(version, 0xfeff | 0xfefd | 0xfefc | 0x0100);
    (known && epoch <= 16 && length != 0 && b.len() >= 13 + length).then_some(kind)
}

/// Skinny: length, a version that is small, and a message number that is known.
pub(super) fn skinny(peek: &Peek<'_>) -> Verdict {
    let sure = match peek.has_port(2000) {
        true => Confidence::LIKELY,
        false => return No,
    };
    either(peek, AppProto::CiscoSccp, sure, |b| {
        let (length, version) = (u32_le(b, 0)?, u32_le(b, 4)?);
        let message = u32_le(b, 8)?;
        let known = message <= 0x60 || (0x81..=0x160).contains(&message);
        Some((4..=2048).contains(&length) && version <= 0x20 && known && u16_le(b, 2)? == 0)
    })
}

/// What Discord's voice servers are asked before a call: the own address, and whether they are there.
pub(super) fn discord(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Discord, Confidence::LIKELY, |b| {
        let asks = b.len() == 74
            && matches!(b[..4], [0, 1 | 2, 0, 70])
            && (b[8..].iter().all(|c| *c == 0) || b[1] == 2);
        let knocks = b.len() == 8 && u32_at(b, 0)? == 0x1337_cafe && u24_at(b, 5)? == 0;
        Some(asks || knocks)
    })
}

/// "Magic cookie" of STUN.
const COOKIE: u32 = 0x2112_a442;
/// Content type of handshakes.
const HANDSHAKE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, is_udp, not_on, not_udp};
    use super::*;

    #[test]
    fn stun_has_its_cookie_or_its_attributes() {
        let new = hex("000100002112a4420000d160e0ec785eac996a6c");
        is_udp(stun, &new, AppProto::Stun);
        is_tcp(stun, [&new, b""], AppProto::Stun);
        is_tcp(
            stun,
            [&[&hex("0014")[..], &new].concat(), b""],
            AppProto::Stun,
        );
        let classic = hex(
            "00010018fca5c232b3da5b2065219f418e9b3e1a 01010014 00112233445566778899aabbccddeeff00112233",
        );
        is_udp(stun, &classic, AppProto::Stun);
        not_udp(stun, &classic[..classic.len() - 1]);
        not_udp(stun, &hex("000100002112a4410000d160e0ec785eac996a6c"));
        not_udp(stun, &hex("400100002112a4420000d160e0ec785eac996a6c"));
    }

    fn packet(number: u16, time: u32) -> Vec<u8> {
        let mut b = hex("8000 0000 00000000 12345678 d5d5d5d5");
        b[2..4].copy_from_slice(&number.to_be_bytes());
        b[4..8].copy_from_slice(&time.to_be_bytes());
        b
    }

    #[test]
    fn rtp_is_two_packets_in_a_row() {
        let ask = |now: &[u8], before: &[u8]| {
            rtp(&Peek {
                transport: Wire::Udp,
                src_port: 8000,
                dst_port: 9000,
                first: [now, b""],
                half: 0,
                before,
            })
        };
        assert!(matches!(
            ask(&packet(6, 160), &packet(5, 0)),
            Is(AppProto::Rtp, _)
        ));
        assert!(matches!(
            ask(&packet(0, 160), &packet(65_535, 0)),
            Is(AppProto::Rtp, _)
        ));
        assert_eq!(ask(&packet(6, 160), b""), More);
        assert_eq!(ask(&packet(5, 0), &packet(6, 160)), More);
        assert_eq!(ask(&packet(40, 160), &packet(5, 0)), More);
        assert_eq!(ask(&hex("c000000100000000123456 78"), b""), No);
        assert_eq!(ask(&packet(6, 160)[..11], b""), No);
        // RTCP's types are none of RTP's
        assert_eq!(ask(&hex("80c8000100000000123456 78"), b""), No);
    }

    #[test]
    fn rtcp_adds_up() {
        let report = hex("80c90001 12345678 81ca0003 12345678 01046162 63640000");
        is_udp(rtcp, &report, AppProto::Rtcp);
        not_udp(rtcp, &report[..20]);
        not_udp(rtcp, &hex("81ca0003 12345678 01046162 63640000"));
    }

    #[test]
    fn dtls_records_end_in_the_datagram() {
        let hello = hex("16feff0000000000000000 0010 01000004 0000 000000 000004 fefd0000");
        is_udp(dtls, &hello, AppProto::Dtls);
        not_udp(dtls, &hello[..20]);
        let mut near = hello.clone();
        near[1] = 3;
        not_udp(dtls, &near);
        near = hello.clone();
        near[13] = 99;
        not_udp(dtls, &near);
    }

    #[test]
    fn skinny_on_its_port() {
        let on = (Wire::Tcp, 40_000, 2000);
        let alive = hex("04000000 00000000 00000000");
        is_on(skinny, on, [&alive, b""], AppProto::CiscoSccp);
        not_on(skinny, on, [&hex("04000000 00000000 ff0f0000"), b""]);
        not_on(skinny, (Wire::Tcp, 1, 2), [&alive, b""]);
    }

    #[test]
    fn discord_is_asked_for_the_address() {
        let mut asks = hex("00010046 0000ace3");
        asks.resize(74, 0);
        is_udp(discord, &asks, AppProto::Discord);
        is_udp(discord, &hex("1337cafe0e000000"), AppProto::Discord);
        asks[20] = 1;
        not_udp(discord, &asks);
        not_udp(discord, &hex("1337caff0e000000"));
    }
}
