//! Protocols of one maker, by the fixed fields that their messages were seen to have: collectd (binary protocol), Dropbox LAN sync, Mumble (voice ping), Roughtime
//! (draft-ietf-ntp-roughtime, first form), service location (RFC 2608 section 8), AJP13 (Tomcat connectors), rsh (rshd), Radmin, MPEG-TS (ISO 13818-1 section
//! 2.4.3), RTMP (section 5.2), Zoom, World of Warcraft, NoMachine, Tailscale (disco), Monero (Levin), Spotify.

use super::octets::{
    array_at, begins, contains, either, one_of, u8_at, u16_at, u24_at, u32_at, u32_le,
};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// Parts of type, length and value to the end: first a host in text; or a signed or encrypted part first.
pub(super) fn collectd(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(25_826);
    either(peek, AppProto::Collectd, Confidence::SURE, |b| {
        let (first, length) = (u16_at(b, 0)?, usize::from(u16_at(b, 2)?));
        let opens = match first {
            0 => b
                .get(4..b.len().min(68))?
                .iter()
                .position(|c| *c == 0)
                .is_some_and(|n| n > 0),
            0x0200 | 0x0210 => length >= 32 && usual && b.len() > 64,
            _ => false,
        };
        if !opens {
            return Some(false);
        }
        if first != 0 {
            return Some(true);
        }
        let known = |kind: u16| matches!(kind, 0..=9 | 0x0100 | 0x0101);
        let (mut at, mut parts) = (0, 0);
        while at + 4 <= b.len() && parts < 4 {
            let (kind, size) = (u16_at(b, at)?, usize::from(u16_at(b, at + 2)?));
            if !known(kind) || size < 5 {
                return Some(usual && parts >= 3);
            }
            (at, parts) = (at + size, parts + 1);
        }
        Some(parts == 4 || usual)
    })
}

/// Text with an identity and its version.
pub(super) fn dropbox(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(17_500) {
        return No;
    }
    either(peek, AppProto::Dropbox, Confidence::SURE, |b| {
        let named =
            contains(b, b"\"host_int\"") || contains(b, b"\"version\"") && contains(b, b"\"port\"");
        let bus = contains(&b[..b.len().min(64)], b"Bus17Cmd");
        Some(begins(b, b"{\"")? && named || bus)
    })
}

/// A ping of twelve octets, or its answer with version, ping and three numbers.
pub(super) fn mumble(peek: &Peek<'_>) -> Verdict {
    let answer = peek.bytes();
    let asked = peek.first[1 - peek.half];
    if answer.len() == 24
        && asked.len() >= 12
        && asked[..4] == [0; 4]
        && asked[4..12] == answer[4..12]
    {
        return Is(AppProto::Mumble, Confidence::LIKELY);
    }
    match answer.len() == 12 && u32_at(answer, 0) == Some(0) {
        true if peek.has_port(64_738) => Is(AppProto::Mumble, Confidence::FAIR),
        true => More,
        false => No,
    }
}

/// Counted tags: a nonce and its padding, or the parts of an answer.
pub(super) fn roughtime(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Roughtime, Confidence::SURE, |b| {
        let count = u32_le(b, 0)? as usize;
        let tags = b.get((count.min(16) * 4)..)?;
        let known = begins(tags, b"NONC") == Some(true) || begins(tags, b"SIG\0") == Some(true);
        Some((2..=16).contains(&count) && known)
    })
}

/// A request and its answer with the same number (Data Stream Interface); on the usual port one of them.
pub(super) fn afp(peek: &Peek<'_>) -> Verdict {
    let head = |b: &[u8]| {
        let (flags, command, length) = (u8_at(b, 0)?, u8_at(b, 1)?, u32_at(b, 8)?);
        let known = flags <= 1 && matches!(command, 1..=6 | 8) && u32_at(b, 12)? == 0;
        Some((known && length < 1 << 20).then_some((flags, command, u16_at(b, 2)?)))
    };
    match (head(peek.first[0]), head(peek.first[1])) {
        (Some(Some(one)), Some(Some(other)))
            if one.0 != other.0 && one.2 == other.2 && one.1 == other.1 =>
        {
            Is(AppProto::Afp, Confidence::LIKELY)
        }
        (Some(Some(_)), None) | (None, Some(Some(_))) if peek.has_port(548) => {
            Is(AppProto::Afp, Confidence::FAIR)
        }
        (Some(Some(_)) | None, None) | (None, Some(Some(_))) => More,
        _ => No,
    }
}

/// The header without DTLS, or the one before a record of it (RFC 5415 sections 4.2, 4.3).
pub(super) fn capwap(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(5246) && !peek.has_port(5247) {
        return No;
    }
    either(peek, AppProto::Capwap, Confidence::LIKELY, |b| {
        let (preamble, size) = (u8_at(b, 0)?, usize::from(u8_at(b, 1)? >> 3) * 4);
        Some(match preamble {
            // DTLS
            1 => u24_at(b, 1)? == 0 && matches!(u16_at(b, 5)?, 0xfeff | 0xfefd | 0x0100),
            0 => size >= 8 && size <= b.len(),
            _ => false,
        })
    })
}

/// Version, function, and the length of the datagram.
pub(super) fn svrloc(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(427) {
        return No;
    }
    either(peek, AppProto::Svrloc, Confidence::SURE, |b| {
        let (version, function) = (u8_at(b, 0)?, u8_at(b, 1)?);
        let length = match version {
            1 => usize::from(u16_at(b, 2)?),
            2 => u32_at(b, 1)? as usize & 0x00ff_ffff,
            _ => return Some(false),
        };
        let fits = match version {
            2 => u32_at(b, 2).map(|l| (l >> 8) as usize) == Some(b.len()),
            _ => length == b.len() || length + 2 >= b.len() && length <= b.len(),
        };
        Some((1..=11).contains(&function) && fits)
    })
}

/// A packet to the container or from it whose code fits its direction.
pub(super) fn ajp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Ajp, Confidence::LIKELY, |b| {
        let (magic, length, code) = (u16_at(b, 0)?, u16_at(b, 2)?, u8_at(b, 4)?);
        Some(match (magic, code) {
            (0x1234, 10) | (0x4142, 9) => length == 1,
            (0x1234, 2) => length >= 8 && (1..=28).contains(&u8_at(b, 5)?),
            (0x4142, 4) => length >= 6 && (100..600).contains(&u16_at(b, 5)?),
            _ => false,
        })
    })
}

/// A port in digits, then two names and a command, all ended by zeros; on the usual port.
pub(super) fn rsh(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(514) {
        return No;
    }
    either(peek, AppProto::Rsh, Confidence::LIKELY, |b| {
        let digits = b.iter().take(6).take_while(|c| c.is_ascii_digit()).count();
        if *b.get(digits)? != 0 || digits > 5 {
            return Some(false);
        }
        let mut texts = b[digits + 1..].split(|c| *c == 0);
        let mut text = || {
            texts
                .next()
                .filter(|t| !t.is_empty() && t.iter().all(|c| (b' '..=b'~').contains(c)))
        };
        match (text(), text(), text()) {
            (Some(_), Some(_), Some(_)) => Some(true),
            _ if b.len() < digits + 8 => None,
            _ => Some(false),
        }
    })
}

/// Version 1, a length that is small, and a check sum of the hellos of version 3.
pub(super) fn radmin(peek: &Peek<'_>) -> Verdict {
    let hello = |b: &[u8]| {
        let (one, length) = (u8_at(b, 0)?, u32_at(b, 1)?);
        Some(one == 1 && (1..=64).contains(&length) && b.len() == 9 + length as usize)
    };
    if !peek.has_port(4899) {
        return No;
    }
    match (hello(peek.first[0]), hello(peek.first[1])) {
        (Some(true), Some(true)) => Is(AppProto::Radmin, Confidence::LIKELY),
        (Some(true), None) | (None, Some(true)) => More,
        _ => No,
    }
}

/// Packets of 188 octets with their sync octet, at least two.
pub(super) fn mpeg_ts(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::MpegTs, Confidence::SURE, |b| {
        let whole = b.len() >= 376 && b.len() % 188 == 0;
        Some(whole && b.chunks(188).all(|packet| packet[0] == 0x47))
    })
}

/// Version 3 in both directions, with a time and zero, or the number of a version, behind it.
pub(super) fn rtmp(peek: &Peek<'_>) -> Verdict {
    let check = |b: &[u8]| {
        let (version, zero) = (u8_at(b, 0)?, u32_at(b, 5)?);
        // TPKT is as long as it says
        let packet = u16_at(b, 1)? == 0 && u16_at(b, 2).map(usize::from) == Some(b.len());
        Some(
            version == 3
                && !packet
                && (zero == 0 || zero >> 24 <= 128 && u8_at(b, 8)? <= 128 && b.len() >= 64),
        )
    };
    match (check(peek.first[0]), check(peek.first[1])) {
        (Some(true), Some(true)) => Is(AppProto::Rtmp, Confidence::LIKELY),
        (Some(true), None) | (None, Some(true)) if peek.has_port(1935) => {
            Is(AppProto::Rtmp, Confidence::FAIR)
        }
        (None | Some(true), None) | (None, Some(true)) => More,
        _ => No,
    }
}

/// Peers that look for each other, and media between them.
pub(super) fn zoom(peek: &Peek<'_>) -> Verdict {
    let knock =
        |b: &[u8]| begins(b, &[0x1f, 0x02, 0x01, 0x00]).is_some_and(|is| is && b.len() >= 64);
    let server = |b: &[u8]| matches!(b, [1 | 2, 0, 2 | 3, ..]) && b.len() >= 40;
    let usual = [8801, 8802, 8803, 8810]
        .iter()
        .any(|&port| peek.has_port(port));
    match knock(peek.bytes()) {
        true => Is(AppProto::Zoom, Confidence::LIKELY),
        false if usual && server(peek.bytes()) => Is(AppProto::Zoom, Confidence::FAIR),
        false => No,
    }
}

type Check = fn(&[u8]) -> Option<bool>;

/// What one maker's programs begin a stream with, behind a length or with an open end.
pub(super) fn greeting(peek: &Peek<'_>) -> Verdict {
    let checks: [(AppProto, Check); 5] = [
        (AppProto::Wow, |b| {
            begins(b.get(2..)?, b"WORLD OF WARCRAFT CONNECTION")
        }),
        (AppProto::Nomachine, |b| {
            one_of([begins(b, b"NXSH-"), begins(b, b"NXD-")])
        }),
        // a header of 33 octets that begins with its signature
        (AppProto::Monero, |b| {
            begins(b, &[0x01, 0x21, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01])
        }),
        (AppProto::Spotify, |b| {
            Some(
                begins(b, &[0, 4, 0, 0])?
                    && u16_at(b, 4)? as usize == b.len()
                    && array_at(b, 6)? == [0x52, 0x0f, 0x50],
            )
        }),
        (AppProto::Raft, |b| {
            let (kind, length) = (u32_le(b, 0)?, u32_le(b, 16)?);
            let text = b.get(24..)?;
            let named = text
                .iter()
                .take_while(|c| matches!(c, b'0'..=b'9' | b'.' | b':'))
                .count();
            Some(
                kind == 1
                    && u32_at(b, 4)? == 0
                    && length == 16
                    && named >= 9
                    && text.contains(&b':'),
            )
        }),
    ];
    let mut waits = false;
    for (proto, check) in checks {
        match either(peek, proto, Confidence::LIKELY, check) {
            No => {}
            More => waits = true,
            is => return is,
        }
    }
    match waits {
        true => More,
        false => No,
    }
}

/// Discovery of peers beside WireGuard.
pub(super) fn tailscale(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Tailscale, Confidence::SURE, |b| {
        begins(b, "TS\u{1f4ac}".as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::super::peek::Wire;
    use super::*;

    fn udp(port: u16) -> (Wire, u16, u16) {
        (Wire::Udp, 40_000, port)
    }

    #[test]
    fn collectd_parts() {
        let head = hex(
            "00000015 6465766c61702e667269747a2e626f7800 0008000c18aa874808818df4 0009000c0000000280000000 00020009 6370752d00 ",
        );
        is_udp(collectd, &head, AppProto::Collectd);
        not_udp(
            collectd,
            &hex("00000015 6465766c61702e667269747a2e626f7800 0048000c18aa8748"),
        );
        not_udp(collectd, &hex("00000015 00"));
    }

    #[test]
    fn neighbours() {
        is_on(
            dropbox,
            udp(17_500),
            [
                b"{\"version\": [2, 0], \"port\": 17500, \"host_int\": 1}",
                b"",
            ],
            AppProto::Dropbox,
        );
        not_on(dropbox, udp(17_500), [b"{\"a\": 1}", b""]);
        is_on(
            svrloc,
            udp(427),
            [&hex("0106000c0000656e00031ef7"), b""],
            AppProto::Svrloc,
        );
        not_on(svrloc, udp(427), [&hex("0306000c0000656e00031ef7"), b""]);
        let (asks, answers) = (
            hex("0000000003d72000fa76287e"),
            hex("0001030403d72000fa76287e000000000000006400011940"),
        );
        is_on(mumble, udp(64_738), [&answers, &asks], AppProto::Mumble);
        not_on(mumble, udp(64_738), [&hex("0000000103d72000fa76287e"), b""]);
    }

    #[test]
    fn times_and_streams() {
        let asks = hex("02000000 40000000 4e4f4e43 504144ff 459cab6f");
        is_udp(roughtime, &asks, AppProto::Roughtime);
        not_udp(roughtime, &hex("03000000 40000000 4e4f4e43 504144ff"));
        let mut packets = vec![0xff; 376];
        (packets[0], packets[188]) = (0x47, 0x47);
        is_udp(mpeg_ts, &packets, AppProto::MpegTs);
        packets[188] = 0x48;
        not_udp(mpeg_ts, &packets);
        not_udp(mpeg_ts, &packets[..188]);
    }

    #[test]
    fn afp_and_capwap() {
        let (asks, answers) = (
            hex("000222c6000000000000000600000000110000020e1c"),
            hex("010222c6000000000000002200000000000e"),
        );
        is_tcp(afp, [&asks, &answers], AppProto::Afp);
        more_tcp(afp, [&asks, b""]);
        not_tcp(afp, &hex("000722c6000000000000000600000000110000020e1c"));
        is_on(
            capwap,
            udp(5246),
            [&hex("0010020000000000 0000000200"), b""],
            AppProto::Capwap,
        );
        is_on(
            capwap,
            udp(5246),
            [&hex("0100000016feff0000"), b""],
            AppProto::Capwap,
        );
        not_on(capwap, udp(5246), [&hex("0100000117feff0000"), b""]);
        not_on(capwap, udp(5246), [&hex("0000020000000000"), b""]);
    }

    #[test]
    fn streams_of_programs() {
        is_tcp(ajp, [&hex("123400010a"), &hex("4142000109")], AppProto::Ajp);
        not_tcp(ajp, &hex("123400020a"));
        is_tcp(
            rtmp,
            [
                &hex("03 0007aa57 00000000 c4"),
                &hex("03 3dd5b700 00000000 01"),
            ],
            AppProto::Rtmp,
        );
        more_tcp(rtmp, [&hex("03 0007aa57 00000000 c4"), b""]);
        let on = (Wire::Tcp, 40_000, 514);
        is_on(
            rsh,
            on,
            [b"1022\0lns\0root\0mkdir testdir\0", b""],
            AppProto::Rsh,
        );
        not_on(rsh, on, [b"<26>Jan 01 00:01:47", b""]);
        let on = (Wire::Tcp, 40_000, 4899);
        is_on(
            radmin,
            on,
            [&hex("01000000010000000808"), &hex("01000000010000000808")],
            AppProto::Radmin,
        );
        not_on(radmin, on, [&hex("010000000100000008"), &hex("ff")]);
    }

    #[test]
    fn greetings() {
        is_tcp(
            greeting,
            [b"", b"0\0WORLD OF WARCRAFT CONNECTION - SERVER "],
            AppProto::Wow,
        );
        is_tcp(
            greeting,
            [b"NXSH-8.10.1\n", b"NXD-8.10.1\n"],
            AppProto::Nomachine,
        );
        is_tcp(
            greeting,
            [&hex("0121010101010101060100000000000001e903"), b""],
            AppProto::Monero,
        );
        let vote =
            hex("0100000000000000010000000000000010000000000000003132372e302e302e313a393030310000");
        is_tcp(greeting, [&vote, b""], AppProto::Raft);
        not_tcp(greeting, b"WORLD OF WARCRAFT CONNECTION - SERVER ");
        not_tcp(greeting, &[b'x'; 40]);
    }

    #[test]
    fn peers() {
        is_udp(
            tailscale,
            &hex("5453f09f92acb6847dd212ae"),
            AppProto::Tailscale,
        );
        not_udp(tailscale, b"TS\xf0\x9f\x92\xad");
        let mut knock = hex("1f0201000800010004005c9b637b");
        knock.resize(85, 0);
        is_udp(zoom, &knock, AppProto::Zoom);
        not_udp(zoom, &knock[..40]);
    }
}
