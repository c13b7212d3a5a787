//! Addresses and time of hosts: DHCP (RFC 2131 section 2), DHCPv6 (RFC 8415 sections 7 to 9), NTP (RFC 5905 section 7.3).

use super::octets::{array_at, either, u8_at, u16_at, u32_at};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// A BOOTP message with the cookie of options.
pub(super) fn dhcp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Dhcp, Confidence::SURE, |b| {
        let [op, _, hardware, hops] = array_at(b, 0)?;
        let cookie = u32_at(b, 236)?;
        Some(matches!(op, 1 | 2) && hardware <= 16 && hops <= 16 && cookie == 0x6382_5363)
    })
}

/// Options to the end of the message, on its ports.
pub(super) fn dhcpv6(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(546) && !peek.has_port(547) {
        return Verdict::No;
    }
    either(peek, AppProto::Dhcpv6, Confidence::SURE, |b| {
        let mut at = match u8_at(b, 0)? {
            1..=11 => 4,
            12 | 13 => 34,
            _ => return Some(false),
        };
        while at < b.len() {
            let (code, length) = (u16_at(b, at)?, u16_at(b, at + 2)?);
            if code == 0 || code > 200 {
                return Some(false);
            }
            at += 4 + usize::from(length);
        }
        Some(at == b.len())
    })
}

/// Versions 1 to 4 with fields in their ranges; away from its port only with a length and a transmit time that are likely.
pub(super) fn ntp(peek: &Peek<'_>) -> Verdict {
    let usual = peek.has_port(123);
    let sure = match usual {
        true => Confidence::SURE,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Ntp, sure, |b| {
        let (version, mode) = (b.first()? >> 3 & 7, b.first()? & 7);
        if !(1..=4).contains(&version) {
            return Some(false);
        }
        // control and private messages
        if mode >= 6 {
            return Some(usual && version >= 2 && b.len() >= 8);
        }
        let (stratum, poll) = (u8_at(b, 1)?, u8_at(b, 2)?);
        let transmit = u32_at(b, 40)?;
        let ranges = stratum <= 16 && (poll <= 17 || poll == 0xfa) && b.len() >= 48;
        // seconds from 1900: 2005 to 2036
        let modern = version >= 3 && mode >= 3 && b.len() == 48 && transmit >= 0xc580_0000;
        Some(ranges && mode != 0 && (usual || modern && poll >= 3 && stratum != 0))
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_udp, not_on, not_udp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn dhcp_has_its_cookie() {
        let mut discover = vec![0u8; 240];
        discover[..4].copy_from_slice(&[1, 1, 6, 0]);
        discover[236..].copy_from_slice(&hex("63825363"));
        is_udp(dhcp, &discover, AppProto::Dhcp);
        discover[0] = 3;
        not_udp(dhcp, &discover);
        discover[0] = 1;
        discover[239] = 0;
        not_udp(dhcp, &discover);
    }

    #[test]
    fn dhcpv6_ends_where_its_options_do() {
        let on = (Wire::Udp, 546, 547);
        let solicit = hex("01 102030 0001 0004 00010001 0008 0002 0000");
        is_on(dhcpv6, on, [&solicit, b""], AppProto::Dhcpv6);
        not_udp(dhcpv6, &solicit);
        not_on(dhcpv6, on, [&solicit[..solicit.len() - 1], b""]);
        not_on(dhcpv6, on, [&hex("0e 102030 0001 0004 00010001"), b""]);
    }

    #[test]
    fn ntp_has_ranges() {
        let client = hex(
            "e3000afa 00010000 00010000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 c50204ec ec42ee92",
        );
        is_on(ntp, (Wire::Udp, 123, 123), [&client, b""], AppProto::Ntp);
        not_udp(ntp, &client);
        let server = hex(
            "240306e8 00000022 00000033 ac1000e1 e0123456 00000000 e0123456 00000000 e0123456 00000000 e0123456 00000000",
        );
        is_udp(ntp, &server, AppProto::Ntp);
        let mut odd = server.clone();
        odd[1] = 17;
        not_on(ntp, (Wire::Udp, 123, 123), [&odd, b""]);
        not_on(ntp, (Wire::Udp, 123, 123), [&server[..47], b""]);
    }
}
