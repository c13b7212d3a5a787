//! Control of machines: Modbus/TCP (Messaging Implementation Guide 1.0b section 3.1), DNP3 (IEEE 1815 section 9.2), IEC 60870-5-104 (section 5),
//! EtherNet/IP (CIP volume 2 section 2-3), OPC UA (OPC 10000-6 section 7.1), BACnet/IP (ANSI/ASHRAE 135 annex J), KNXnet/IP (ISO 22510), HART-IP, SOME/IP.

use super::octets::{begins, either, one_of, u8_at, u16_at, u16_le, u32_at, u32_le};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A request and its answer with the same transaction, or on the usual port one message.
pub(super) fn modbus(peek: &Peek<'_>) -> Verdict {
    let head = |b: &[u8]| -> Option<Option<(u16, u8, u8)>> {
        let (transaction, protocol, length) = (u16_at(b, 0)?, u16_at(b, 2)?, u16_at(b, 4)?);
        let (unit, function) = (u8_at(b, 6)?, u8_at(b, 7)?);
        let known = matches!(function & 0x7f, 1..=8 | 11..=17 | 20..=24 | 43 | 90);
        let fits = protocol == 0 && (2..=254).contains(&length) && known;
        let ends = b.len() <= 6 + usize::from(length) || b.len() >= 12 + usize::from(length);
        Some((fits && ends).then_some((transaction, unit, function & 0x7f)))
    };
    match (head(peek.first[0]), head(peek.first[1])) {
        (Some(Some(asks)), Some(Some(answers))) if asks == answers => {
            Is(AppProto::Modbus, Confidence::SURE)
        }
        (Some(Some(_)), None) | (None, Some(Some(_))) | (Some(Some(_)), Some(Some(_)))
            if peek.has_port(502) =>
        {
            Is(AppProto::Modbus, Confidence::LIKELY)
        }
        (Some(Some(_)), None) | (None, Some(Some(_))) | (None, None) => More,
        (Some(None), None) | (None, Some(None)) => No,
        _ => No,
    }
}

/// Two octets and the check sum over the header.
pub(super) fn dnp3(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Dnp3, Confidence::SURE, |b| {
        if !begins(b, &[0x05, 0x64])? {
            return Some(false);
        }
        let (length, sum) = (u8_at(b, 2)?, u16_le(b, 8)?);
        Some(length >= 5 && crc(&b[..8]) == sum)
    })
}

/// The check sum of DNP3's link layer (polynomial 0x3d65, reflected).
fn crc(bytes: &[u8]) -> u16 {
    let step = |sum: u16| {
        if sum & 1 == 1 {
            sum >> 1 ^ 0xa6bc
        } else {
            sum >> 1
        }
    };
    !bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |s, _| step(s))
    })
}

/// Frames that follow each other, of which one starts, tests, acknowledges or has a type with a cause.
pub(super) fn iec104(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(2404);
    either(peek, AppProto::Iec104, Confidence::LIKELY, |b| {
        let (start, length) = (u8_at(b, 0)?, u8_at(b, 1)?);
        if start != 0x68 || !(4..=253).contains(&length) {
            return Some(false);
        }
        let control = [u8_at(b, 2)?, u8_at(b, 3)?, u8_at(b, 4)?, u8_at(b, 5)?];
        match (length, control) {
            (4, [0x07 | 0x0b | 0x13 | 0x23 | 0x43 | 0x83, 0, 0, 0]) => Some(true),
            (4, [1, 0, received, _]) => match (usual && received & 1 == 0, u8_at(b, 6)) {
                (false, None) => None,
                (true, None) => Some(true),
                (_, Some(next)) => Some(next == 0x68 && received & 1 == 0),
            },
            (10.., [sent, _, received, _]) if sent & 1 == 0 && received & 1 == 0 => {
                let (kind, cause) = (u8_at(b, 6)?, u8_at(b, 8)? & 0x3f);
                let known = matches!(kind, 1..=40 | 45..=51 | 58..=64 | 70 | 100..=107 | 110..=113 | 120..=127);
                Some(known && (1..=47).contains(&cause) && usual)
            }
            _ => Some(false),
        }
    })
}

/// The encapsulation header: a known command, status, no options, and a length that the datagram has.
pub(super) fn enip(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Enip, Confidence::LIKELY, |b| {
        let (command, length) = (u16_le(b, 0)?, u16_le(b, 2)?);
        let (status, options) = (u32_le(b, 8)?, u32_le(b, 20)?);
        let known = matches!(command, 0x04 | 0x63 | 0x64 | 0x65 | 0x66 | 0x6f | 0x70);
        let (registers, usual) = (command == 0x65 && length == 4, peek.has_port(44818));
        let fits = status <= 0x69 && options == 0 && length <= 4096;
        let whole = peek.transport == Wire::Tcp || b.len() == 24 + usize::from(length);
        Some(known && fits && whole && (usual || registers && u32_le(b, 24)? & 0xffff == 1))
    })
}

/// Three letters, how it goes on, and a length.
pub(super) fn opcua(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Opcua, Confidence::SURE, |b| {
        let known = [
            b"HELF", b"ACKF", b"ERRF", b"OPNF", b"RHEF", b"CLOF", b"MSGF", b"MSGC",
        ];
        if !one_of(known.map(|k| begins(b, k)))? {
            return Some(false);
        }
        let length = u32_le(b, 4)?;
        Some((8..1 << 24).contains(&length))
    })
}

/// A BVLC message with the length of the datagram, and a network header of version 1 where it carries one.
pub(super) fn bacnet(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Bacnet, Confidence::LIKELY, |b| {
        let (kind, function, length) = (u8_at(b, 0)?, u8_at(b, 1)?, u16_at(b, 2)?);
        let at = match function {
            4 => 10,
            9..=11 => 4,
            0..=12 => b.len(),
            _ => return Some(false),
        };
        let version = at >= b.len() || b[at] == 1;
        Some(
            matches!(kind, 0x81 | 0x82) && usize::from(length) == b.len() && length >= 4 && version,
        )
    })
}

/// Size of the header, version 1.0, a known service, and the length of the datagram.
pub(super) fn knx(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Knxnet, Confidence::LIKELY, |b| {
        let service = u16_at(b, 2)?;
        let known = matches!(service, 0x0201..=0x020c | 0x0310 | 0x0311 | 0x0420..=0x0425 | 0x0530..=0x0533 | 0x0740..=0x0743 | 0x0950..=0x0955);
        let length = usize::from(u16_at(b, 4)?);
        let whole = length == b.len() || peek.transport == Wire::Tcp && length < b.len();
        Some(u16_at(b, 0)? == 0x0610 && known && whole)
    })
}

/// Version 1, a known message of requests and answers, and the length of the message; commands of HART begin with a delimiter.
pub(super) fn hart(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(5094) && !peek.has_port(5095) {
        return No;
    }
    either(peek, AppProto::HartIp, Confidence::LIKELY, |b| {
        let (version, kind, id) = (u8_at(b, 0)?, u8_at(b, 1)?, u8_at(b, 2)?);
        let length = usize::from(u16_at(b, 6)?);
        let known = kind & 0x0f <= 2 || kind & 0x0f == 15;
        Some((1..=2).contains(&version) && known && id <= 5 && length >= 8 && b.len() >= length)
    })
}

/// Message, length to the end, protocol version 1, and a known type with a return code that fits it.
pub(super) fn someip(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Someip, Confidence::LIKELY, |b| {
        let (length, protocol, kind, code) = (
            u32_at(b, 4)? as usize,
            u8_at(b, 12)?,
            u8_at(b, 14)?,
            u8_at(b, 15)?,
        );
        // segmented messages have the bit 0x20
        let known = matches!(
            kind & !0x20,
            0 | 1 | 2 | 0x40..=0x42 | 0x80 | 0x81 | 0xc0 | 0xc1
        );
        let asks = kind & !0x20 <= 2;
        let service = u16_at(b, 0)? != 0;
        let whole = length >= 8 && length + 8 <= b.len();
        Some(protocol == 1 && known && whole && service && (code == 0 || !asks && code <= 0x5e))
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::*;

    #[test]
    fn modbus_answers_what_was_asked() {
        let (asks, answers) = (
            hex("0001 0000 0006 01 03 0000 000a"),
            hex("0001 0000 0005 01 03 02 0001"),
        );
        is_tcp(modbus, [&asks, &answers], AppProto::Modbus);
        is_on(
            modbus,
            (Wire::Tcp, 40_000, 502),
            [&asks, b""],
            AppProto::Modbus,
        );
        more_tcp(modbus, [&asks, b""]);
        not_on(
            modbus,
            (Wire::Tcp, 1, 2),
            [&asks, &hex("0002 0000 0005 01 03 02 0001")],
        );
        not_tcp(modbus, &hex("0001 0001 0006 01 03 0000 000a"));
    }

    #[test]
    fn dnp3_has_a_check_sum() {
        is_tcp(
            dnp3,
            [&hex("05640a44030004007caee6f78210004fbd"), b""],
            AppProto::Dnp3,
        );
        is_udp(dnp3, &hex("056408c404000300b4b8c0d7007ace"), AppProto::Dnp3);
        not_tcp(dnp3, &hex("05640a44030004007caf"));
        not_tcp(dnp3, &hex("05650a44030004007cae"));
    }

    #[test]
    fn iec_104_frames() {
        is_tcp(iec104, [&hex("680407000000"), b""], AppProto::Iec104);
        let on = (Wire::Tcp, 40_000, 2404);
        is_on(iec104, on, [&hex("6804010042b9"), b""], AppProto::Iec104);
        is_on(
            iec104,
            on,
            [&hex("68192c7e42b9240103001429cbb202"), b""],
            AppProto::Iec104,
        );
        not_tcp(iec104, &hex("680408000000"));
        not_tcp(iec104, &hex("6803070000"));
    }

    #[test]
    fn ethernet_ip_and_opc() {
        let register = hex("6500 0400 00000000 00000000 0000000000000000 00000000 0100 0000");
        is_tcp(enip, [&register, b""], AppProto::Enip);
        let list = hex("6300 0000 00000000 00000000 0000c1debed10000 00000000");
        is_on(
            enip,
            (Wire::Udp, 40_000, 44818),
            [&list, b""],
            AppProto::Enip,
        );
        not_udp(enip, &list);
        not_tcp(
            enip,
            &hex("6500 0400 00000000 00000000 0000000000000000 00000001 0100 0000"),
        );
        is_tcp(
            opcua,
            [b"HELF\x38\0\0\0", b"ACKF\x1c\0\0\0"],
            AppProto::Opcua,
        );
        not_tcp(opcua, b"HELP\x38\0\0\0");
        not_tcp(opcua, b"HELF\x07\0\0\0");
    }

    #[test]
    fn buildings() {
        is_udp(
            bacnet,
            &hex("810a001101040005a90c0c023fffff194b"),
            AppProto::Bacnet,
        );
        not_udp(bacnet, &hex("810a001201040005a90c0c023fffff194b"));
        not_udp(bacnet, &hex("810a001102040005a90c0c023fffff194b"));
        is_udp(
            knx,
            &hex("0610020b00140801c0a858e7a17f060401020607"),
            AppProto::Knxnet,
        );
        not_udp(knx, &hex("0610020b00150801c0a858e7a17f060401020607"));
    }

    #[test]
    fn cars_and_instruments() {
        let find = hex(
            "ffff8100 00000030 00000003 01010200 c00000000000001001000010 00eb00000100001e00000000 0000000000000000 0000000000000000",
        );
        is_udp(someip, &find, AppProto::Someip);
        not_udp(someip, &find[..50]);
        let on = (Wire::Udp, 40_000, 5094);
        is_on(
            hart,
            on,
            [&hex("0100 0000 0002 000d 01 00007530"), b""],
            AppProto::HartIp,
        );
        not_on(hart, on, [&hex("0100 0600 0002 000d 01 00007530"), b""]);
    }
}
