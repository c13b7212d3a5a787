//! Messages of things and programs: MQTT (3.1.1 section 3.1, 5.0), CoAP (RFC 7252 section 3), AMQP in the middle (0-9-1 section 4.2.3), SMPP (3.4
//! section 3.2), OpenFlow (1.3 section 7.1).

use super::octets::{begins, either, one_of, u8_at, u16_at, u32_at};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A connect with the name of the protocol; on the usual port its acknowledgement.
pub(super) fn mqtt(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(1883);
    if let [Some(one), Some(other)] = peek.first.map(packets)
        && peek.first.iter().all(|half| half.len() >= 2)
    {
        return match one || other {
            true => Verdict::Is(AppProto::Mqtt, Confidence::LIKELY),
            false => Verdict::More,
        };
    }
    either(peek, AppProto::Mqtt, Confidence::SURE, |b| {
        let kind = u8_at(b, 0)?;
        // at most four octets of seven bits
        let more = b[1..]
            .iter()
            .take(4)
            .take_while(|c| **c & 0x80 != 0)
            .count();
        let name = b.get(2 + more..).unwrap_or_default();
        match kind {
            0x10 if more <= 3 => {
                one_of([begins(name, b"\0\x04MQTT"), begins(name, b"\0\x06MQIsdp")])
            }
            0x20 => Some(usual && u8_at(b, 1)? == 2 && u8_at(b, 2)? <= 1 && u8_at(b, 3)? <= 5),
            _ => Some(false),
        }
    })
}

/// Whole packets one behind the other in the middle of a session: whether one has a topic, or acknowledges it. `None` where they
/// cannot be packets.
fn packets(mut b: &[u8]) -> Option<bool> {
    let mut told = false;
    for _ in 0..16 {
        let (Some(first), Some(length)) = (b.first(), b.get(1)) else {
            break;
        };
        let length = usize::from(*length);
        if length > 127 {
            return None;
        }
        let Some(content) = b.get(2..2 + length) else {
            break;
        };
        match (first >> 4, first & 0x0f) {
            (3, flags) if flags & 6 != 6 => {
                let size = usize::from(u16_at(content, 0)?);
                let topic = content.get(2..2 + size)?;
                if size < 2 || !topic.iter().all(|c| (b' '..=b'~').contains(c)) {
                    return None;
                }
                told = true;
            }
            (4 | 5 | 7, 0) | (6, 2) if length == 2 => told = true,
            (12 | 13, 0) if length == 0 => {}
            _ => return None,
        }
        b = &b[2 + length..];
    }
    Some(told)
}

/// Version 1, a token of at most eight octets, a known code, and options up to the payload or the end; away from the usual ports a path.
pub(super) fn coap(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(5683);
    let sure = match usual {
        true => Confidence::LIKELY,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Coap, sure, |b| {
        let (first, code) = (u8_at(b, 0)?, u8_at(b, 1)?);
        let token = usize::from(first & 0x0f);
        let known = matches!(code, 0..=7 | 0x41..=0x45 | 0x5f | 0x80..=0x89 | 0x8c..=0x8f | 0x95 | 0x9d | 0xa0..=0xa8);
        if first >> 6 != 1 || token > 8 || !known || b.len() < 4 + token {
            return Some(false);
        }
        // an empty message has nothing else
        if code == 0 {
            return Some(usual && token == 0 && b.len() == 4);
        }
        let path = options(b.get(4 + token..)?)?;
        Some(usual || path && code <= 4)
    })
}

/// Whether there is a path among the options; `None` where they cannot be options.
fn options(mut b: &[u8]) -> Option<bool> {
    let (mut number, mut path) = (0u32, false);
    while let Some((first, rest)) = b.split_first() {
        if *first == 0xff {
            return (!rest.is_empty()).then_some(path);
        }
        let (delta, rest) = extended(first >> 4, rest)?;
        let (length, rest) = extended(first & 0x0f, rest)?;
        number += delta;
        let value = rest.get(..length as usize)?;
        path |=
            number == 11 && !value.is_empty() && value.iter().all(|c| (b' '..=b'~').contains(c));
        if number > 2100 && number < 65_000 {
            return None;
        }
        b = &rest[length as usize..];
    }
    Some(path)
}

fn extended(nibble: u8, rest: &[u8]) -> Option<(u32, &[u8])> {
    match nibble {
        13 => Some((u32::from(u8_at(rest, 0)?) + 13, &rest[1..])),
        14 => Some((u32::from(u16_at(rest, 0)?) + 269, &rest[2..])),
        15 => None,
        n => Some((u32::from(n), rest)),
    }
}

/// Frames that end where their length says: the first is a method that is known.
pub(super) fn amqp(peek: &Peek<'_>) -> Verdict {
    let sure = match peek.has_port(5672) {
        true => Confidence::LIKELY,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Amqp, sure, |b| {
        let (kind, length, class) = (u8_at(b, 0)?, u32_at(b, 3)?, u16_at(b, 7)?);
        let (method, end) = (u16_at(b, 9)?, 7 + length as usize);
        let known =
            matches!(class, 10 | 20 | 30 | 40 | 50 | 60 | 85 | 90) && (10..=121).contains(&method);
        if kind != 1 || !known || !(4..=4096).contains(&length) {
            return Some(false);
        }
        match b.get(end) {
            Some(last) => Some(*last == 0xce),
            None if b.len() > 256 => Some(false),
            None => None,
        }
    })
}

/// Length, a known command, a state that is small; a login has text.
pub(super) fn smpp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Smpp, Confidence::LIKELY, |b| {
        let (length, command) = (u32_at(b, 0)?, u32_at(b, 4)?);
        let (state, number) = (u32_at(b, 8)?, u32_at(b, 12)?);
        let binds = matches!(command & 0x7fff_ffff, 1 | 2 | 9);
        let fits = (16..=1024).contains(&length) && number != 0 && number < 1 << 24;
        if !binds || !fits || state > 0xff || command >> 31 == 0 && state != 0 {
            return Some(false);
        }
        let text = b.get(16..(length as usize).min(b.len()))?;
        let name = text
            .iter()
            .take(16)
            .take_while(|c| c.is_ascii_graphic())
            .count();
        Some(length == 16 || text.get(name) == Some(&0) && name > 0)
    })
}

/// A hello of a known version with the length of what came.
pub(super) fn openflow(peek: &Peek<'_>) -> Verdict {
    let sure = match peek.has_port(6653) || peek.has_port(6633) {
        true => Confidence::LIKELY,
        false => return Verdict::No,
    };
    if peek.transport != Wire::Tcp {
        return Verdict::No;
    }
    either(peek, AppProto::Openflow, sure, |b| {
        let (version, kind, length) = (u8_at(b, 0)?, u8_at(b, 1)?, u16_at(b, 2)?);
        Some(
            (1..=6).contains(&version)
                && kind <= 35
                && (8..=8192).contains(&length)
                && u32_at(b, 4).is_some(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::*;

    #[test]
    fn mqtt_names_itself() {
        is_tcp(
            mqtt,
            [&hex("102500064d51497364700302000500177061"), b""],
            AppProto::Mqtt,
        );
        is_tcp(
            mqtt,
            [&hex("109a0200044d51545404c00258"), b""],
            AppProto::Mqtt,
        );
        is_on(
            mqtt,
            (Wire::Tcp, 1883, 40_000),
            [&hex("20020000"), b""],
            AppProto::Mqtt,
        );
        let publishes = [
            &hex("c000 3210 0008")[..],
            b"Bus17Cmd",
            &hex("0001 7b7d 7d7d"),
        ]
        .concat();
        is_tcp(mqtt, [&publishes, &hex("d000 40020001")], AppProto::Mqtt);
        is_tcp(mqtt, [&hex("c000"), &publishes[2..]], AppProto::Mqtt);
        more_tcp(mqtt, [&hex("c000"), &hex("d000")]);
        not_tcp(mqtt, &publishes);
        more_tcp(mqtt, [&hex("1025"), b""]);
        not_tcp(mqtt, &hex("20020000"));
        not_tcp(mqtt, &hex("102500064d5149736471"));
        not_tcp(mqtt, &hex("10ffffffffff"));
    }

    #[test]
    fn coap_options_add_up() {
        let asks = [&hex("430105ca721633 2b")[..], b".well-known"].concat();
        let asks = [
            &[0x43, 0x01, 0x05, 0xca, 0x72, 0x16, 0x33, 0xbb][..],
            &asks[8..],
            b"\x04core",
        ]
        .concat();
        is_udp(coap, &asks, AppProto::Coap);
        let on = (Wire::Udp, 5683, 40_000);
        is_on(coap, on, [&hex("60000001"), b""], AppProto::Coap);
        not_udp(coap, &hex("60000001"));
        not_on(coap, on, [&hex("6000000101"), b""]);
        not_on(coap, on, [&hex("4901 0001"), b""]);
        not_on(coap, on, [&hex("4001 0001 f0"), b""]);
    }

    #[test]
    fn amqp_frames_end() {
        let bind = [
            &hex("01000100000017003c002800000764656661756c74077461736b732e2300ce")[..],
            b"",
        ]
        .concat();
        is_tcp(amqp, [&bind, b""], AppProto::Amqp);
        let mut near = bind.clone();
        *near.last_mut().expect("one") = 0;
        not_tcp(amqp, &near);
        more_tcp(amqp, [&bind[..20], b""]);
    }

    #[test]
    fn smpp_and_openflow() {
        let bind = hex("00000028000000020000000000000001616268696b0070617373776f726400");
        is_tcp(smpp, [&bind, b""], AppProto::Smpp);
        not_tcp(smpp, &hex("00000028000000020000000100000001616268696b00"));
        is_on(
            openflow,
            (Wire::Tcp, 40_000, 6653),
            [&hex("06000010000000010001000800000040"), b""],
            AppProto::Openflow,
        );
        not_tcp(openflow, &hex("06000010000000010001000800000040"));
    }
}
