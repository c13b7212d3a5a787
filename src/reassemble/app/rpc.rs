//! Remote calls: ONC RPC with port mapper and NFS (RFC 5531 sections 9 to 11), DCE RPC (C706 section 12.6, 12.5).

use super::octets::{either, u8_at, u16_at, u16_le, u32_at, u32_le};
use super::peek::Verdict::{Is, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A call of a known program, or a reply to a call that was seen.
pub(super) fn onc(peek: &Peek<'_>) -> Verdict {
    let stream = peek.transport == Wire::Tcp;
    let message = |half: usize| {
        let b = peek.first[half];
        match stream {
            true => b.get(4..).unwrap_or_default(),
            false => b,
        }
    };
    // the last fragment of a record, and its length
    let mark = |half: usize| {
        !stream || u32_at(peek.first[half], 0).is_none_or(|m| m >> 31 == 1 && m & 0x7fff_ffff >= 24)
    };
    for half in 0..2 {
        if !mark(half) {
            return No;
        }
        if let Some(Some(program)) = call(message(half)) {
            return Is(program, Confidence::SURE);
        }
    }
    // without its call a reply on the usual ports
    let usual = peek.has_port(111).then_some(AppProto::Sunrpc);
    let usual = usual.or(peek.has_port(2049).then_some(AppProto::Nfs));
    let said = message(peek.half);
    if let Some(proto) = usual {
        return either(peek, proto, Confidence::FAIR, |_| reply(said));
    }
    let short =
        stream && (0..2).any(|half| !peek.first[half].is_empty() && peek.first[half].len() < 28);
    match short {
        true => Verdict::More,
        false => No,
    }
}

/// Number, call, version 2, program, version, procedure, and credentials that are small.
fn call(b: &[u8]) -> Option<Option<AppProto>> {
    let (kind, version, program) = (u32_at(b, 4)?, u32_at(b, 8)?, u32_at(b, 12)?);
    let (program_version, procedure, flavor) = (u32_at(b, 16)?, u32_at(b, 20)?, u32_at(b, 24)?);
    let proto = match program {
        100_003 | 100_005 | 100_021 | 100_024 | 100_227 | 0x4000_0000..=0x4000_ffff => {
            AppProto::Nfs
        }
        100_000..=100_300 => AppProto::Sunrpc,
        _ => return Some(None),
    };
    let fits = kind == 0 && version == 2 && program_version <= 5 && procedure <= 64;
    Some((fits && matches!(flavor, 0..=3 | 6 | 390_003..=390_005)).then_some(proto))
}

/// Number, reply, accepted with a verifier that is small, a state that is known.
fn reply(b: &[u8]) -> Option<bool> {
    let (kind, state) = (u32_at(b, 4)?, u32_at(b, 8)?);
    let (flavor, length, accepted) = (u32_at(b, 12)?, u32_at(b, 16)?, u32_at(b, 20)?);
    Some(kind == 1 && state == 0 && flavor <= 6 && length == 0 && accepted <= 5)
}

/// A PDU of connections or of datagrams whose lengths fit.
pub(super) fn dce(peek: &Peek<'_>) -> Verdict {
    match peek.transport {
        Wire::Tcp => either(peek, AppProto::Dcerpc, Confidence::SURE, connected),
        _ => either(peek, AppProto::Dcerpc, Confidence::LIKELY, datagram),
    }
}

fn connected(b: &[u8]) -> Option<bool> {
    let (version, minor, kind) = (u8_at(b, 0)?, u8_at(b, 1)?, u8_at(b, 2)?);
    let (order, float) = (u8_at(b, 4)?, u8_at(b, 5)?);
    let half = |at: usize| match order {
        0x10 => u16_le(b, at),
        _ => u16_at(b, at),
    };
    let known = matches!(kind, 0 | 2 | 3 | 11..=19);
    let form = matches!(order, 0 | 0x10) && float <= 3 && u16_at(b, 6)? == 0;
    if version != 5 || minor > 1 || !known || !form {
        return Some(false);
    }
    let (length, auth) = (half(8)?, half(10)?);
    // sizes of fragments both ways where a binding is asked for or given
    let sizes = match kind {
        11 | 12 | 14 | 15 => half(16)? >= 1024 && half(18)? >= 1024,
        _ => true,
    };
    Some(length >= 16 && auth < length && sizes)
}

fn datagram(b: &[u8]) -> Option<bool> {
    let (version, kind, flags) = (u8_at(b, 0)?, u8_at(b, 1)?, u8_at(b, 2)?);
    let (order, float, reserved) = (u8_at(b, 4)?, u8_at(b, 5)?, u8_at(b, 6)?);
    let body = match order {
        0x10 => u16_le(b, 74)?,
        _ => u16_at(b, 74)?,
    };
    let boot = match order {
        0x10 => u32_le(b, 60)?,
        _ => u32_at(b, 60)?,
    };
    let form = matches!(order, 0 | 0x10) && float <= 3 && reserved == 0;
    Some(
        version == 4
            && kind <= 10
            && flags & 0x81 == 0
            && form
            && (1..=3).contains(&boot)
            && usize::from(body) + 80 <= b.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, is_udp, more_tcp, not_tcp, not_udp};
    use super::*;

    #[test]
    fn calls_name_their_program() {
        let map = hex(
            "3841169f 00000000 00000002 000186a0 00000003 00000003 00000000 00000000 00000000 00000000",
        );
        is_udp(onc, &map, AppProto::Sunrpc);
        let mut nfs = map.clone();
        nfs[15] = 0xa3;
        is_udp(onc, &nfs, AppProto::Nfs);
        is_tcp(
            onc,
            [&[&hex("80000028")[..], &nfs].concat(), b""],
            AppProto::Nfs,
        );
        more_tcp(onc, [&hex("80000028 3841169f"), b""]);
        not_tcp(onc, &[&hex("00000028")[..], &nfs].concat());
        nfs[11] = 3;
        not_udp(onc, &nfs);
    }

    #[test]
    fn replies_on_the_usual_ports() {
        let reply = hex("3841aadf 00000001 00000000 00000000 00000000 00000000");
        is_on(onc, (Wire::Udp, 2049, 40_000), [&reply, b""], AppProto::Nfs);
        not_udp(onc, &reply);
    }

    #[test]
    fn bindings_and_datagrams() {
        let bind = hex("05000b03100000004800000001000000 d016d016 00000000 01000000");
        is_tcp(dce, [&bind, b""], AppProto::Dcerpc);
        not_tcp(dce, &hex("05000b03100000000f00000001000000 d016d016"));
        not_tcp(dce, &hex("05000b03100000014800000001000000 d016d016"));
        let mut call = vec![0; 90];
        call[..8].copy_from_slice(&hex("04002000 10000000"));
        call[60] = 1;
        call[74] = 10;
        is_udp(dce, &call, AppProto::Dcerpc);
        not_udp(dce, &call[..89]);
    }
}
