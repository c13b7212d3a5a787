//! Protocols in BER (X.690 section 8): Kerberos (RFC 4120 section 5), LDAP and CLDAP (RFC 4511 section 4), SNMP (RFC 1157 section 4, RFC 3416 section 3,
//! RFC 3412 section 6).

use super::octets::either;
use super::octets::{u8_at, u16_at, u24_at, u32_at};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A tag with the length of what follows it.
struct Tagged<'a> {
    tag: u8,
    /// Where the content starts.
    at: usize,
    length: usize,
    /// The content as far as it came.
    content: &'a [u8],
}

/// `None` where the bytes end first.
fn tagged(b: &[u8]) -> Option<Tagged<'_>> {
    let (tag, first) = (u8_at(b, 0)?, u8_at(b, 1)?);
    let (length, at): (usize, usize) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81 => (usize::from(u8_at(b, 2)?), 3),
        0x82 => (usize::from(u16_at(b, 2)?), 4),
        0x83 => (u24_at(b, 2)? as usize, 5),
        0x84 => (u32_at(b, 2)? as usize, 6),
        // nothing that is sent has such a length; no content fits it
        _ => (usize::MAX >> 1, 2),
    };
    let content = &b[at..b.len().min(at.saturating_add(length))];
    Some(Tagged {
        tag,
        at,
        length,
        content,
    })
}

impl Tagged<'_> {
    /// Octets with tag and length.
    fn size(&self) -> usize {
        self.at.saturating_add(self.length)
    }
}

/// An application tag, a sequence of nearly its length, then version 5 and the type that the tag says.
pub(super) fn krb5(peek: &Peek<'_>) -> Verdict {
    let stream = peek.transport == Wire::Tcp;
    either(peek, AppProto::Krb5, Confidence::SURE, |b| {
        let change = peek.has_port(464).then(|| is_change(b, stream)).flatten();
        if change == Some(true) {
            return change;
        }
        if !stream {
            return is_kerberos(b, b.len());
        }
        let length = u32_at(b, 0)? as usize;
        is_kerberos(&b[4..], length)
    })
}

fn is_kerberos(b: &[u8], whole: usize) -> Option<bool> {
    let outer = tagged(b)?;
    if !matches!(outer.tag, 0x6a..=0x6f | 0x74..=0x76 | 0x7e) || outer.size() != whole {
        return Some(false);
    }
    let inner = tagged(outer.content)?;
    if inner.tag != 0x30 || inner.size() != outer.length {
        return Some(false);
    }
    let c = inner.content;
    // the first field is [1] in requests to the centre, [0] elsewhere
    let first = if matches!(outer.tag, 0x6a | 0x6c) {
        0xa1
    } else {
        0xa0
    };
    let version = [first, 3, 2, 1, 5];
    let kind = [first + 1, 3, 2, 1, outer.tag & 0x1f];
    let found = c.get(..5)? == version && c.get(5..10)? == kind;
    Some(found)
}

/// Changing a password (RFC 3244 section 2): length, version, length of a ticket that follows.
fn is_change(b: &[u8], stream: bool) -> Option<bool> {
    let b = if stream { b.get(4..)? } else { b };
    let (length, version, ticket) = (u16_at(b, 0)?, u16_at(b, 2)?, u16_at(b, 4)?);
    let fits = ticket < length && matches!(version, 1 | 0xff80);
    Some(fits && matches!(u8_at(b, 6)?, 0x6e | 0x6f | 0x7e))
}

/// A sequence of a message number and an operation with content that it must begin with.
pub(super) fn ldap(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Ldap, Confidence::SURE, |b| {
        let outer = tagged(b)?;
        if outer.tag != 0x30 {
            return Some(false);
        }
        let number = tagged(outer.content)?;
        if number.tag != 2 || !(1..=4).contains(&number.length) || outer.length < 5 {
            return Some(false);
        }
        let operation = tagged(outer.content.get(number.size()..)?)?;
        // controls may follow
        if number.size() + operation.size() > outer.length {
            return Some(false);
        }
        let c = operation.content;
        let begins = |magic: &[u8]| super::octets::begins(c, magic);
        match operation.tag {
            // bind: version 2 or 3, a name
            0x60 => Some(begins(&[2, 1])? && matches!(u8_at(c, 2)?, 2 | 3) && u8_at(c, 3)? == 4),
            // results: enumerated code, matched name
            0x61 | 0x65 | 0x67 | 0x69 | 0x6b | 0x6d | 0x6f | 0x78 => {
                Some(begins(&[10, 1])? && u8_at(c, 3)? == 4)
            }
            // unbind
            0x42 => Some(operation.length == 0),
            // search: base object, scope, aliases
            0x63 => {
                let base = tagged(c)?;
                let rest = c.get(base.size()..)?;
                Some(base.tag == 4 && super::octets::begins(rest, &[10, 1])?)
            }
            // entries, changes: a name, then a sequence
            0x64 | 0x66 | 0x68 => {
                let name = tagged(c)?;
                Some(name.tag == 4 && u8_at(c, name.size())? == 0x30)
            }
            // extended request: an object identifier in text
            0x77 => Some(begins(&[0x80])? && u8_at(c, 2)?.is_ascii_digit()),
            _ => Some(false),
        }
    })
}

/// A sequence that is the datagram: version, then community and a PDU, or the header of version 3.
pub(super) fn snmp(peek: &Peek<'_>) -> Verdict {
    let stream = peek.transport == Wire::Tcp;
    either(peek, AppProto::Snmp, Confidence::SURE, |b| {
        let outer = tagged(b)?;
        let c = outer.content;
        if outer.tag != 0x30 || !stream && outer.size() > b.len() {
            return Some(false);
        }
        let (integer, version) = (u16_at(c, 0)?, u8_at(c, 2)?);
        if integer != 0x0201 {
            return Some(false);
        }
        let next = tagged(&c[3..])?;
        match version {
            0 | 1 => {
                let pdu = tagged(c.get(3 + next.size()..)?)?;
                Some(
                    next.tag == 4
                        && (0xa0..=0xa8).contains(&pdu.tag)
                        && pdu.size() + next.size() + 3 <= outer.length,
                )
            }
            3 => {
                let number = tagged(next.content)?;
                let size = tagged(next.content.get(number.size()..)?)?;
                Some(next.tag == 0x30 && number.tag == 2 && size.tag == 2)
            }
            _ => Some(false),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{hex, is_on, is_tcp, is_udp, more_tcp, not_tcp, not_udp};
    use super::*;

    #[test]
    fn kerberos_errors_and_requests() {
        let error = hex("7e1a 3018 a003020105 a10302011e a5050203 01e240 a603020134 0000");
        assert_eq!(error.len(), 28);
        is_udp(krb5, &error, AppProto::Krb5);
        is_tcp(
            krb5,
            [b"", &[&hex("0000001c")[..], &error].concat()],
            AppProto::Krb5,
        );
        let asks = "000000eb6a81e83081e5a103020105a20302010aa31530133011";
        is_tcp(krb5, [&hex(asks), b""], AppProto::Krb5);
        not_tcp(krb5, &hex("000000ec6a81e83081e5a103020105a20302010a"));
        not_udp(krb5, &error[..27]);
        let mut near = error.clone();
        near[8] = 4;
        not_udp(krb5, &near);
        more_tcp(krb5, [&hex("000000eb6a"), b""]);
        let on = (Wire::Udp, 40_000, 464);
        is_on(
            krb5,
            on,
            [&hex("0268 0001 01d9 6e8201d5"), b""],
            AppProto::Krb5,
        );
    }

    #[test]
    fn ldap_operations() {
        is_tcp(
            ldap,
            [&hex("300c 020101 6007 020103 0400 8000"), b""],
            AppProto::Ldap,
        );
        is_tcp(
            ldap,
            [
                b"",
                &hex("3084000000cc 020103 6184000000c3 0a0100 0400 0400 8782"),
            ],
            AppProto::Ldap,
        );
        is_udp(
            ldap,
            &hex(
                "3025 020101 6320 0400 0a0100 0a0100 020100 020100 010100 870b6f626a656374436c617373 3000",
            ),
            AppProto::Ldap,
        );
        not_tcp(ldap, &hex("300c 020101 6007 020104 0400 8000"));
        not_tcp(ldap, &hex("3006 020101 6007 020103 0400 8000"));
        not_tcp(ldap, &hex("3082025b 0201 04 a003 020101"));
    }

    #[test]
    fn snmp_versions() {
        let v2 = hex(
            "3026 020101 0406 7075626c6963 a019 020101 020100 020100 300e 300c 0608 2b06010201010200 0500",
        );
        is_udp(snmp, &v2, AppProto::Snmp);
        not_udp(snmp, &v2[..30]);
        let v3 = hex(
            "303e 020103 3011 0204 30f6f3d5 0203 00ffe3 0401 04 020103 0410 300e 0400 020100 020100 0400 0400 0400 3014 0400 0400 a00e 020400000000 020100 020100 3000",
        );
        is_udp(snmp, &v3, AppProto::Snmp);
        let mut near = v2.clone();
        near[4] = 7;
        not_udp(snmp, &near);
        near = v2.clone();
        near[13] = 0xb0;
        not_udp(snmp, &near);
    }
}
