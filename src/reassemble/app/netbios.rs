//! NetBIOS over TCP and UDP (RFC 1002 sections 4.2 to 4.4), and SMB in its sessions or alone (MS-CIFS 2.2.3.1, MS-SMB2 2.2.1).

use super::octets::{begins, either, one_of, u8_at, u16_at, u24_at};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// A question or record with a first-level encoded name.
pub(super) fn names(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(137) {
        return Verdict::No;
    }
    either(peek, AppProto::NetbiosNs, Confidence::SURE, |b| {
        let (questions, answers) = (u16_at(b, 4)?, u16_at(b, 6)?);
        Some(questions <= 256 && answers <= 256 && is_name(b.get(12..)?))
    })
}

/// The header of a datagram, with names where the type has them.
pub(super) fn datagrams(peek: &Peek<'_>) -> Verdict {
    if !peek.has_port(138) {
        return Verdict::No;
    }
    either(peek, AppProto::NetbiosDgm, Confidence::SURE, |b| {
        let (kind, flags, port) = (u8_at(b, 0)?, u8_at(b, 1)?, u16_at(b, 8)?);
        let name = match kind {
            0x10..=0x12 => is_name(b.get(14..)?),
            0x13 => true,
            0x14..=0x16 => is_name(b.get(10..)?),
            _ => false,
        };
        Some(flags <= 0x0f && port != 0 && name)
    })
}

/// 32 letters from A to P behind their count; on these ports a few others are faults of the sender.
fn is_name(bytes: &[u8]) -> bool {
    let letters = bytes.get(1..33).unwrap_or_default();
    let right = letters.iter().filter(|c| (b'A'..=b'P').contains(*c));
    bytes.first() == Some(&32) && right.count() >= 28
}

/// A session request with two names; its answers and keep-alives on the usual port.
pub(super) fn sessions(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::NetbiosSsn, Confidence::SURE, |b| {
        let (kind, length) = (u8_at(b, 0)?, u24_at(b, 1)?);
        match (kind, length) {
            (0x81, 68) => {
                let names = (b.get(4..38)?, b.get(38..72)?);
                Some(is_name(names.0) && is_name(names.1))
            }
            (0x82, 0) | (0x83, 1) => Some(peek.has_port(139)),
            _ => Some(false),
        }
    })
}

/// SMB of any version, compressed or encrypted, behind the length of its message.
pub(super) fn smb(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Smb, Confidence::SURE, |b| {
        // behind the establishment of a session
        let b = match (u8_at(b, 0)?, b.get(1..4)) {
            (0x81, Some([0, 0, 68])) => b.get(72..)?,
            (0x82, Some([0, 0, 0])) => b.get(4..)?,
            _ => b,
        };
        if u8_at(b, 0)? != 0 {
            return Some(false);
        }
        let magics = [b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\xfcSMB"];
        one_of(magics.map(|m| begins(b.get(4..)?, m)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, not_on, not_tcp, not_udp};
    use super::super::peek::Wire;
    use super::*;

    const QUERY: &str = "a749 0110 0001 0000 0000 0000 20 4649464446454643454642454e4650 4549464a43414341434143414341434141410000200001";

    #[test]
    fn names_are_encoded() {
        let on = (Wire::Udp, 137, 137);
        is_on(names, on, [&hex(QUERY), b""], AppProto::NetbiosNs);
        not_udp(names, &hex(QUERY));
        let mut near = hex(QUERY);
        near[12] = 31;
        not_on(names, on, [&near, b""]);
        near[12] = 32;
        near[20..25].fill(b'Q');
        not_on(names, on, [&near, b""]);
        not_on(names, on, [&hex(QUERY)[..40], b""]);
    }

    #[test]
    fn datagrams_have_names_too() {
        let on = (Wire::Udp, 138, 138);
        let head = hex("110ec2f40a000509008a00bb0000");
        let said = [&head[..], &hex(QUERY)[12..]].concat();
        is_on(datagrams, on, [&said, b""], AppProto::NetbiosDgm);
        let mut near = said.clone();
        near[0] = 0x1f;
        not_on(datagrams, on, [&near, b""]);
    }

    #[test]
    fn sessions_carry_smb() {
        let name = &hex(QUERY)[12..46];
        let request = [&hex("81000044")[..], name, name].concat();
        is_tcp(sessions, [&request, b""], AppProto::NetbiosSsn);
        let hello = hex("00000085ff534d4272000000001853c0");
        is_tcp(smb, [&hello, b""], AppProto::Smb);
        is_tcp(smb, [b"", &hex("00000100fe534d42400001")], AppProto::Smb);
        is_tcp(smb, [&[&request[..], &hello].concat(), b""], AppProto::Smb);
        not_tcp(smb, &hex("00000085fb534d42"));
        not_tcp(smb, b"GET / HTTP");
        not_tcp(sessions, &hex("8200000000"));
        is_on(
            sessions,
            (Wire::Tcp, 40_000, 139),
            [b"", &hex("82000000")],
            AppProto::NetbiosSsn,
        );
    }
}
