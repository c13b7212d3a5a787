//! Access control: RADIUS (RFC 2865 section 3), Diameter (RFC 6733 section 3).

use super::octets::{either, u8_at, u16_at, u24_at, u32_at};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// A known code, the length of the datagram, and attributes that end with it.
pub(super) fn radius(peek: &Peek<'_>) -> Verdict {
    let usual = [1812, 1813, 1645, 1646, 3799]
        .iter()
        .any(|&port| peek.has_port(port));
    let sure = match usual {
        true => Confidence::SURE,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Radius, sure, |b| {
        let (code, length) = (u8_at(b, 0)?, usize::from(u16_at(b, 2)?));
        if !matches!(code, 1..=5 | 11..=13 | 40..=45) || length < 20 || length != b.len() {
            return Some(false);
        }
        let (mut at, mut count) = (20, 0);
        while at < b.len() {
            let (kind, size) = (u8_at(b, at)?, usize::from(u8_at(b, at + 1)?));
            if kind == 0 || size < 2 {
                return Some(false);
            }
            (at, count) = (at + size, count + 1);
        }
        Some(at == b.len() && (usual || count >= 3))
    })
}

/// Version 1, a length in words, known flags and command, and an attribute that is shorter than the message.
pub(super) fn diameter(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Diameter, Confidence::SURE, |b| {
        let (version, length) = (u8_at(b, 0)?, u24_at(b, 1)?);
        let (flags, command, application) = (u8_at(b, 4)?, u24_at(b, 5)?, u32_at(b, 8)?);
        if version != 1 || length % 4 != 0 || length < 28 || flags & 0x0f != 0 {
            return Some(false);
        }
        let known = matches!(command, 257..=300 | 301..=350 | 8_388_600..=8_388_750);
        let known_application =
            application <= 20 || application >> 16 == 0x0100 || application == u32::MAX;
        let (code, first) = (u32_at(b, 20)?, u24_at(b, 25)?);
        Some(
            known
                && known_application
                && (1..=4096).contains(&code)
                && first >= 8
                && first < length,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, is_udp, not_on, not_tcp, not_udp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn radius_attributes_end_with_the_datagram() {
        let head = hex("0100 0026 0f403f9473978057bd83d5cb98f4227a");
        let mut asks = [
            &head[..],
            b"\x01\x06nemo",
            b"\x04\x06\xc0\xa8\x01\x10",
            b"\x05\x06\0\0\0\x03",
        ]
        .concat();
        is_udp(radius, &asks, AppProto::Radius);
        asks[21] = 7;
        not_udp(radius, &asks);
        let empty = hex("0500 0014 0f403f9473978057bd83d5cb98f4227a");
        is_on(
            radius,
            (Wire::Udp, 1813, 40_000),
            [&empty, b""],
            AppProto::Radius,
        );
        not_udp(radius, &empty);
        not_on(
            radius,
            (Wire::Udp, 1812, 1),
            [&hex("0600 0014 0f403f9473978057bd83d5cb98f4227a"), b""],
        );
    }

    #[test]
    fn diameter_has_an_attribute() {
        let asks = hex("010000a4 80000101 00000000 204f9a1b e0000001 00000108 40000018 61616161");
        is_tcp(diameter, [&asks, b""], AppProto::Diameter);
        not_tcp(
            diameter,
            &hex("010000a5 80000101 00000000 204f9a1b e0000001 00000108 40000018"),
        );
        not_tcp(
            diameter,
            &hex("010000a4 80000101 00000000 204f9a1b e0000001 00000108 400000a8"),
        );
    }
}
