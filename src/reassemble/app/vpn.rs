//! Tunnels that hide what they carry: WireGuard (protocol section "Messages"), OpenVPN (protocol documentation of its source), IKE (RFC 7296 section
//! 3.1, RFC 2408 section 3.1), ESP in UDP (RFC 3948 section 2), SOCKS (RFC 1928 section 3, SOCKS4), L2TP control (RFC 2661 section 3.1).

use super::octets::{array_at, either, u8_at, u16_at, u32_at, u32_le};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// Types and three zero octets, of exactly the sizes that the messages have; data with a counter that is not large.
pub(super) fn wireguard(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Wireguard, Confidence::LIKELY, |b| {
        let (kind, size) = (u32_le(b, 0)?, b.len());
        Some(match kind {
            1 => size == 148,
            2 => size == 92,
            3 => size == 64 && u32_le(b, 4)? != 0,
            4 => size >= 32 && size % 16 == 0 && u32_le(b, 4)? != 0 && u32_le(b, 12)? == 0,
            _ => false,
        })
    })
}

/// A hard reset: without authentication all its fields are known, with it the packet number behind the digest; the answer names
/// the session that was asked for.
pub(super) fn openvpn(peek: &Peek<'_>) -> Verdict {
    let stream = peek.transport == Wire::Tcp;
    let message = |half: usize| -> Option<&[u8]> {
        let b = peek.first[half];
        match stream {
            true => {
                let length = usize::from(u16_at(b, 0)?);
                b.get(2..2 + length)
            }
            false => Some(b),
        }
    };
    let opened = (0..2).find(|&h| message(h).is_some_and(opens));
    if opened.is_some() {
        return Is(AppProto::Openvpn, Confidence::LIKELY);
    }
    let answered = (0..2).any(|h| {
        let asked = message(1 - h).filter(|b| matches!(b.first(), Some(0x38 | 0x50)));
        let session = asked.and_then(|b| array_at::<8>(b, 1));
        let answer = message(h).filter(|b| b.first() == Some(&0x40) && b.len() >= 26);
        answer
            .zip(session)
            .is_some_and(|(b, s)| super::octets::contains(&b[9..], &s))
    });
    if answered {
        return Is(AppProto::Openvpn, Confidence::SURE);
    }
    let short = |b: &[u8]| -> Option<bool> {
        let length = u16_at(b, 0)?;
        let kind = u8_at(b, 2)?;
        let may = (14..=200).contains(&length) && matches!(kind, 0x38 | 0x40 | 0x50);
        if !may {
            return Some(false);
        }
        (b.len() > usize::from(length) + 1).then_some(false)
    };
    match stream {
        true => either(peek, AppProto::Openvpn, Confidence::LIKELY, short),
        false => No,
    }
}

/// A reset of a client or of a server, with a digest of 0 to 64 octets before its number.
fn opens(b: &[u8]) -> bool {
    if !matches!(b.first(), Some(0x38 | 0x40 | 0x50)) || u32_at(b, 1) == Some(0) {
        return false;
    }
    let server = b[0] == 0x40;
    // acknowledgements with their session, then the number of the message
    let plain = |at: usize| match (server, u8_at(b, at)) {
        (false, Some(0)) => u32_at(b, at + 1) == Some(0) && b.len() == at + 5,
        (true, Some(1)) => u32_at(b, at + 13) == Some(0) && b.len() == at + 17,
        _ => false,
    };
    let digests = [16, 20, 28, 32, 48, 64];
    let first = |at: usize| u32_at(b, at) == Some(1);
    // authenticated: digest, number, time; encrypted: number, time, digest
    let authenticated = digests.iter().any(|d| first(9 + d) && plain(17 + d));
    let encrypted = first(9)
        && b.len() >= 54
        && b.len() <= 1100
        && u32_at(b, 13).is_some_and(|t| t > 0x4000_0000);
    plain(9) || authenticated || encrypted
}

/// A header with the length of the datagram; on port 4500 behind four zero octets.
pub(super) fn ike(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(500) || peek.has_port(4500);
    let sure = match usual {
        true => Confidence::SURE,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Ike, sure, |b| {
        let b = match u32_at(b, 0)? {
            0 => &b[4..],
            _ => b,
        };
        let (initiator, next, version) = (array_at::<8>(b, 0)?, u8_at(b, 16)?, u8_at(b, 17)?);
        let (exchange, flags, length) = (u8_at(b, 18)?, u8_at(b, 19)?, u32_at(b, 24)?);
        let known = match version {
            0x10 => {
                (exchange <= 6 || (32..=35).contains(&exchange))
                    && exchange != 0
                    && flags <= 7
                    && next <= 21
            }
            0x20 => {
                (34..=44).contains(&exchange)
                    && flags & 0xc7 == 0
                    && (next == 0 || (33..=56).contains(&next))
            }
            _ => false,
        };
        Some(known && initiator != [0; 8] && length as usize == b.len() && length >= 28)
    })
}

/// Two packets of one association in a row, on the port of IKE behind address translation.
pub(super) fn esp(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(4500) {
        return No;
    }
    let head = |b: &[u8]| {
        Some((u32_at(b, 0)?, u32_at(b, 4)?)).filter(|(spi, number)| *spi > 255 && *number != 0)
    };
    let (Some(now), Some(last)) = (head(peek.bytes()), head(peek.before)) else {
        return More;
    };
    match now.0 == last.0 && (1..=64).contains(&now.1.wrapping_sub(last.1)) {
        true => Is(AppProto::Esp, Confidence::LIKELY),
        false => More,
    }
}

/// What a client offers and what the server takes of it; version 4 with its reply.
pub(super) fn socks(peek: &Peek<'_>) -> Verdict {
    let asks = |b: &[u8]| -> Option<bool> {
        match (u8_at(b, 0)?, u8_at(b, 1)?) {
            (5, n @ 1..=16) => {
                let methods = b.get(2..2 + usize::from(n))?;
                Some(methods.iter().all(|m| *m <= 9 || *m >= 0x80))
            }
            (4, 1 | 2) => Some(u16_at(b, 2)? != 0 && u8_at(b, 8).is_some() && b.contains(&0)),
            _ => Some(false),
        }
    };
    let answers = |b: &[u8], version: u8| match version {
        5 => {
            b[0] == 5
                && b.get(1).is_some_and(|m| *m <= 9 || *m >= 0x80)
                && (b.len() == 2 || b.len() > 4)
        }
        _ => b[0] == 0 && b.get(1).is_some_and(|r| (0x5a..=0x5d).contains(r)) && b.len() >= 8,
    };
    for half in 0..2 {
        let (client, server) = (peek.first[half], peek.first[1 - half]);
        match asks(client) {
            Some(true) if server.is_empty() => return More,
            Some(true) if answers(server, client[0]) => {
                return Is(AppProto::Socks, Confidence::LIKELY);
            }
            None if !client.is_empty() && server.is_empty() => return More,
            _ => {}
        }
    }
    No
}

/// A control message of version 2: its bits, the length of the datagram, and a message type first.
pub(super) fn l2tp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::L2tp, Confidence::SURE, |b| {
        let (flags, length) = (u16_at(b, 0)?, usize::from(u16_at(b, 2)?));
        let fits = flags == 0xc802 && length >= 12 && length <= b.len();
        // an acknowledgement has no more
        Some(fits && (length == 12 || u16_at(b, 12)? & 0x83ff == 0x8008 && u32_at(b, 14)? == 0))
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::*;

    #[test]
    fn wireguard_sizes() {
        let message = |kind: u8, size: usize| {
            let mut b = vec![0x55; size];
            b[..4].copy_from_slice(&[kind, 0, 0, 0]);
            b
        };
        is_udp(wireguard, &message(1, 148), AppProto::Wireguard);
        is_udp(wireguard, &message(2, 92), AppProto::Wireguard);
        is_udp(wireguard, &message(3, 64), AppProto::Wireguard);
        let mut data = message(4, 128);
        data[8..16].copy_from_slice(&[9, 0, 0, 0, 0, 0, 0, 0]);
        is_udp(wireguard, &data, AppProto::Wireguard);
        data[15] = 1;
        not_udp(wireguard, &data);
        not_udp(wireguard, &message(1, 147));
        not_udp(wireguard, &message(5, 148));
    }

    #[test]
    fn openvpn_resets() {
        is_udp(
            openvpn,
            &hex("38 507a28a78275788d 00 00000000"),
            AppProto::Openvpn,
        );
        let signed = "38 92b8af4a777fc742 781024c276d9a1a8c2321879a02264b3ccbc8077 00000001 577e73b3 00 00000000";
        is_udp(openvpn, &hex(signed), AppProto::Openvpn);
        is_tcp(
            openvpn,
            [&[&hex("002a")[..], &hex(signed)].concat(), b""],
            AppProto::Openvpn,
        );
        let reset = hex("000e 38 507a28a78275788d 00 00000000");
        let answer = hex("001a 40 9ad747beb24d8a1b 01 00000000 507a28a78275788d 00000000");
        is_tcp(openvpn, [&reset, &answer], AppProto::Openvpn);
        is_tcp(openvpn, [b"", &answer], AppProto::Openvpn);
        not_udp(openvpn, &hex("38 507a28a78275788d 00 00000001"));
        not_udp(openvpn, &hex("38 507a28a78275788d 00 00000000 00"));
        not_tcp(openvpn, b"GET / HTTP");
        more_tcp(openvpn, [&hex("000e 38 507a"), b""]);
    }

    #[test]
    fn ike_has_the_length_of_its_datagram() {
        let first = "9b40a7f05a1b9a4c 0000000000000000 2120 2208 00000000 0000001c";
        is_udp(ike, &hex(first), AppProto::Ike);
        is_on(
            ike,
            (Wire::Udp, 4500, 4500),
            [&[&[0; 4][..], &hex(first)].concat(), b""],
            AppProto::Ike,
        );
        not_udp(ike, &[&hex(first)[..], b"x"].concat());
        not_udp(
            ike,
            &hex("9b40a7f05a1b9a4c 0000000000000000 2130 2208 00000000 0000001c"),
        );
    }

    #[test]
    fn socks_needs_both_sides() {
        is_tcp(socks, [&hex("050100"), &hex("0500")], AppProto::Socks);
        is_tcp(
            socks,
            [&hex("0401 0050 42660763 00"), &hex("005a 0000 00000000")],
            AppProto::Socks,
        );
        more_tcp(socks, [&hex("050100"), b""]);
        let on = (Wire::Tcp, 40_000, 1080);
        not_on(socks, on, [&hex("050100"), &hex("0600")]);
        not_on(socks, on, [&hex("050120"), &hex("0500")]);
        not_tcp(socks, b"GET / HTTP/1.1");
    }

    #[test]
    fn l2tp_control() {
        is_udp(
            l2tp,
            &hex("c802 0014 0000 0000 0000 0000 8008 0000 0000 0001"),
            AppProto::L2tp,
        );
        is_udp(l2tp, &hex("c802 000c 0001 0000 0001 0001"), AppProto::L2tp);
        not_udp(
            l2tp,
            &hex("c802 0014 0000 0000 0000 0000 8008 0009 0000 0001"),
        );
        not_udp(l2tp, &hex("0002 0001 0000 ff03 0021 4500"));
    }

    #[test]
    fn esp_counts() {
        let ask = |now: &[u8], before: &[u8]| {
            esp(&Peek {
                transport: Wire::Udp,
                src_port: 4500,
                dst_port: 4500,
                first: [now, b""],
                half: 0,
                before,
            })
        };
        let packet = |n: u8| [hex("12345678 000000"), vec![n], vec![0xaa; 16]].concat();
        assert!(matches!(ask(&packet(2), &packet(1)), Is(AppProto::Esp, _)));
        assert_eq!(ask(&packet(1), &packet(2)), More);
        assert_eq!(ask(&packet(1), b"\xff"), More);
    }
}
