//! Routers and what they tell: BGP (RFC 4271 section 4.1), BFD (RFC 5880 section 4.1), HSRP (RFC 2281 section 5), RIP (RFC 2453 section 4), LISP control
//! (RFC 9301 section 5), NAT-PMP and PCP (RFC 6886 section 3, RFC 6887 section 7), GTP control (3GPP TS 29.060, 29.274), NetFlow, IPFIX (RFC 7011 section 3), sFlow
//! (version 5), and everything that is its IP protocol.

use super::octets::{either, u8_at, u16_at, u32_at};
use super::peek::Verdict::{Is, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A marker of ones, a length and a type.
pub(super) fn bgp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Bgp, Confidence::SURE, |b| {
        let marker = &b[..b.len().min(16)];
        if marker.iter().any(|c| *c != 0xff) {
            return Some(false);
        }
        let (length, kind) = (u16_at(b, 16)?, u8_at(b, 18)?);
        Some((19..=4096).contains(&length) && (1..=5).contains(&kind))
    })
}

/// Version 1, the length of the datagram, and a multiplier; echoes have no form.
pub(super) fn bfd(peek: &Peek<'_>) -> Verdict {
    if ![3784, 3785, 4784].iter().any(|&port| peek.has_port(port)) {
        return No;
    }
    either(peek, AppProto::Bfd, Confidence::SURE, |b| {
        let (first, multiplier, length) = (u8_at(b, 0)?, u8_at(b, 2)?, u8_at(b, 3)?);
        let control =
            first >> 5 == 1 && multiplier != 0 && usize::from(length) == b.len() && length >= 24;
        Some(control && u32_at(b, 4)? != 0)
    })
}

/// Version 0 with a state, or the first element of version 2.
pub(super) fn hsrp(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(1985) && !peek.has_port(2029) {
        return No;
    }
    either(peek, AppProto::Hsrp, Confidence::SURE, |b| {
        let (version, operation, state) = (u8_at(b, 0)?, u8_at(b, 1)?, u8_at(b, 2)?);
        let first = version == 0 && operation <= 3 && state <= 16 && b.len() >= 16;
        let second = matches!((version, operation), (1, 40) | (2, 4) | (3, 8) | (4, 28))
            && b.len() >= 2 + usize::from(operation);
        Some(first || second)
    })
}

/// A command, version 1 or 2, and entries that fill the datagram.
pub(super) fn rip(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(520) && !peek.has_port(521) {
        return No;
    }
    either(peek, AppProto::Rip, Confidence::SURE, |b| {
        let (command, version, zero) = (u8_at(b, 0)?, u8_at(b, 1)?, u16_at(b, 2)?);
        let entries = b.len() > 4 && (b.len() - 4) % 20 == 0;
        Some(matches!(command, 1 | 2) && matches!(version, 1 | 2) && zero == 0 && entries)
    })
}

/// The types of control messages, each with the bits it leaves zero.
pub(super) fn lisp(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(4342) {
        return No;
    }
    let stream = peek.transport == Wire::Tcp;
    either(peek, AppProto::Lisp, Confidence::LIKELY, |b| {
        if stream {
            // reliable transport: type, length, number, and an end marker
            let (kind, length) = (u16_at(b, 0)?, usize::from(u16_at(b, 2)?));
            return Some(
                (16..=24).contains(&kind)
                    && length >= 12
                    && u32_at(b, length.checked_sub(4)?)? == 0x9fac_ade9,
            );
        }
        let (kind, second, records) = (u8_at(b, 0)? >> 4, u8_at(b, 1)?, u8_at(b, 3)?);
        Some(match kind {
            1 | 2 => (1..=32).contains(&records),
            3 | 4 => second & 0xf8 == 0 && (1..=64).contains(&records),
            8 => u8_at(b, 4).is_some_and(|inner| matches!(inner >> 4, 4 | 6)),
            _ => false,
        })
    })
}

/// A version and an operation with exactly the size that they have.
pub(super) fn nat_pmp(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(5351) && !peek.has_port(5350) {
        return No;
    }
    either(peek, AppProto::NatPmp, Confidence::LIKELY, |b| {
        let (version, operation) = (u8_at(b, 0)?, u8_at(b, 1)?);
        Some(match (version, operation) {
            (0, 0) => b.len() == 2,
            (0, 1 | 2) => b.len() == 12,
            (0, 128) => b.len() == 12 && u16_at(b, 2)? <= 5,
            (0, 129 | 130) => matches!(b.len(), 8 | 16) && u16_at(b, 2)? <= 5,
            // PCP: words, at least its header
            (2, 0..=3 | 128..=131) => b.len() >= 24 && b.len() % 4 == 0,
            _ => false,
        })
    })
}

/// Version 1 or 2 with the length of the datagram.
pub(super) fn gtp(peek: &Peek<'_>) -> Verdict {
    let (user, prime) = (peek.has_port(2152), peek.has_port(3386));
    if !user && !prime && !peek.has_port(2123) {
        return No;
    }
    let proto = if user {
        AppProto::GtpUser
    } else {
        AppProto::GtpControl
    };
    either(peek, proto, Confidence::SURE, |b| {
        let (flags, kind, length) = (u8_at(b, 0)?, u8_at(b, 1)?, usize::from(u16_at(b, 2)?));
        let header = match flags >> 4 {
            // version 1, of GTP or of GTP'
            3 => 8,
            1 | 0 if prime => 6,
            1 => 20,
            // version 2, with or without an identifier
            4..=5 if !user => 4,
            _ => return Some(false),
        };
        Some(length + header == b.len() && kind != 0)
    })
}

/// Exports of flows: versions whose counts or lengths fit the datagram.
pub(super) fn export(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let found = match (u16_at(b, 0), u16_at(b, 2)) {
        (Some(5), Some(count @ 1..=30)) if b.len() == 24 + usize::from(count) * 48 => {
            Some(AppProto::Netflow)
        }
        (Some(7), Some(count @ 1..=30)) if b.len() == 24 + usize::from(count) * 52 => {
            Some(AppProto::Netflow)
        }
        (Some(9), Some(1..=1000)) if is_sets(b.get(20..).unwrap_or_default(), 0) => {
            Some(AppProto::Netflow)
        }
        (Some(10), Some(length))
            if usize::from(length) == b.len() && is_sets(b.get(16..).unwrap_or_default(), 2) =>
        {
            Some(AppProto::Ipfix)
        }
        (Some(0), Some(5)) => is_sflow(b).then_some(AppProto::Sflow),
        _ => None,
    };
    match found {
        Some(proto) => Is(proto, Confidence::SURE),
        None => No,
    }
}

/// Sets to the end, at least one.
fn is_sets(mut b: &[u8], templates: u16) -> bool {
    let mut any = false;
    while let (Some(id), Some(length)) = (u16_at(b, 0), u16_at(b, 2)) {
        let known = id >= 256 || (templates..=templates + 1).contains(&id);
        match b.get(usize::from(length)..) {
            Some(rest) if known && length >= 4 => b = rest,
            _ => return false,
        }
        any = true;
    }
    any && b.len() < 4
}

/// Version 5, kind of the agent's address, and samples of known formats.
fn is_sflow(b: &[u8]) -> bool {
    let agent = match u32_at(b, 4) {
        Some(1) => 4,
        Some(2) => 16,
        _ => return false,
    };
    let (samples, format) = (u32_at(b, 8 + agent + 12), u32_at(b, 8 + agent + 16));
    samples.is_some_and(|n| (1..=256).contains(&n))
        && format.is_some_and(|f| f >> 12 != 0 || (1..=5).contains(&f))
}

/// An IP protocol that is what it carries.
pub(super) fn carried(peek: &Peek<'_>) -> Verdict {
    let proto = match peek.transport {
        Wire::Ip(1) => AppProto::Icmp,
        Wire::Ip(2) => AppProto::Igmp,
        Wire::Ip(47) => AppProto::Gre,
        Wire::Ip(50) => AppProto::Esp,
        Wire::Ip(51) => AppProto::Ah,
        Wire::Ip(58) => AppProto::Icmpv6,
        Wire::Ip(88) => AppProto::Eigrp,
        Wire::Ip(89) => AppProto::Ospf,
        Wire::Ip(103) => AppProto::Pim,
        Wire::Ip(112) => AppProto::Vrrp,
        Wire::Ip(115) => AppProto::L2tp,
        Wire::Ip(46) => AppProto::Rsvp,
        Wire::Sctp => AppProto::Sctp,
        _ => return No,
    };
    Is(proto, Confidence::FAIR)
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::*;

    #[test]
    fn bgp_has_a_marker() {
        let open = hex("ffffffffffffffffffffffffffffffff 001d 01 04 fe09 00b4 c0a8000f 00");
        is_tcp(bgp, [&open, b""], AppProto::Bgp);
        more_tcp(bgp, [&open[..16], b""]);
        not_tcp(bgp, &hex("ffffffffffffffffffffffffffffffff 0012 01"));
        not_tcp(bgp, &hex("fffffffffffffffffffffffffffffffe 001d 01"));
    }

    #[test]
    fn small_protocols_on_their_ports() {
        let udp = |port: u16| (Wire::Udp, 40_000, port);
        is_on(
            bfd,
            udp(3784),
            [
                &hex("20400318 00000001 00000000 000f4240 000f4240 0007a120"),
                b"",
            ],
            AppProto::Bfd,
        );
        not_on(
            bfd,
            udp(3784),
            [
                &hex("20400018 00000001 00000000 000f4240 000f4240 0007a1"),
                b"",
            ],
        );
        is_on(
            hsrp,
            udp(1985),
            [&hex("000010030a5a0a00636973636f0000000a1ca8fe"), b""],
            AppProto::Hsrp,
        );
        not_on(
            hsrp,
            udp(1985),
            [&hex("090010030a5a0a00636973636f0000000a1ca8fe"), b""],
        );
        is_on(
            rip,
            udp(520),
            [
                &hex("01010000 0000000000000000000000000000000000000010"),
                b"",
            ],
            AppProto::Rip,
        );
        not_on(
            rip,
            udp(520),
            [&hex("01010000 00000000000000000000000000000000000000"), b""],
        );
        is_on(nat_pmp, udp(5351), [&hex("0000"), b""], AppProto::NatPmp);
        is_on(
            nat_pmp,
            udp(5351),
            [&hex("00800000002b3add0ac9d5ae"), b""],
            AppProto::NatPmp,
        );
        not_on(nat_pmp, udp(5351), [&hex("000000"), b""]);
        is_on(
            lisp,
            udp(4342),
            [&hex("3200010167ab931f9e8b974a"), b""],
            AppProto::Lisp,
        );
        not_on(lisp, udp(4342), [&hex("5000010167ab931f9e8b974a"), b""]);
        is_on(
            gtp,
            udp(2123),
            [&hex("32 01 0004 00000000 00000000"), b""],
            AppProto::GtpControl,
        );
        is_on(
            gtp,
            udp(2123),
            [&hex("40 01 0008 00000100 03000100"), b""],
            AppProto::GtpControl,
        );
        not_on(gtp, udp(2123), [&hex("32 01 0005 00000000 00000000"), b""]);
    }

    #[test]
    fn exports_fit_their_datagrams() {
        let mut v5 = vec![0; 72];
        v5[..4].copy_from_slice(&[0, 5, 0, 1]);
        is_udp(export, &v5, AppProto::Netflow);
        not_udp(export, &v5[..71]);
        let ipfix = hex("000a 0018 00000000 00000000 00000000 0100 0008 00000000");
        is_udp(export, &ipfix, AppProto::Ipfix);
        not_udp(
            export,
            &hex("000a 0018 00000000 00000000 00000000 0080 0008 00000000"),
        );
        let v9 = hex("0009 0001 00000000 00000000 00000000 00000000 0100 0008 00000000");
        is_udp(export, &v9, AppProto::Netflow);
        let sflow =
            hex("00000005 00000001 0a000001 00000000 00000001 00000001 00000001 00000001 00000000");
        is_udp(export, &sflow, AppProto::Sflow);
        not_udp(
            export,
            &hex("00000005 00000003 0a000001 00000000 00000001 00000001 00000001 00000001"),
        );
    }

    #[test]
    fn ip_protocols() {
        is_on(carried, (Wire::Ip(1), 0, 0), [b"\x08", b""], AppProto::Icmp);
        is_on(carried, (Wire::Sctp, 1, 2), [b"\x08", b""], AppProto::Sctp);
        not_on(carried, (Wire::Ip(253), 0, 0), [b"\x08", b""]);
    }
}
