//! DNS over UDP and TCP (RFC 1035, RFC 7766), multicast DNS (RFC 6762), LLMNR (RFC 4795).

use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// A header that can be one, and a name behind it.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let bytes = match peek.transport {
        Wire::Tcp => match peek.bytes() {
            // two octets of length (RFC 1035 section 4.2.2)
            [a, b, rest @ ..] => {
                let len = usize::from(u16::from_be_bytes([*a, *b]));
                match rest.len() {
                    _ if len < HEADER => return Verdict::No,
                    n if n < HEADER => return Verdict::More,
                    n => &rest[..len.min(n)],
                }
            }
            _ => return Verdict::More,
        },
        _ => peek.bytes(),
    };
    // the name service of NetBIOS has the same form (RFC 1002 section 4.2)
    if peek.has_port(137) || !is_message(bytes) {
        return Verdict::No;
    }
    let known = [
        (5353, AppProto::Mdns),
        (5355, AppProto::Llmnr),
        (53, AppProto::Dns),
    ];
    match known.iter().find(|(port, _)| peek.has_port(*port)) {
        Some((_, proto)) => Verdict::Is(*proto, Confidence::SURE),
        None => Verdict::Is(AppProto::Dns, Confidence::LIKELY),
    }
}

/// Whether a message may start so.
fn is_message(b: &[u8]) -> bool {
    let Some(header) = b.first_chunk::<HEADER>() else {
        return false;
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, [questions, answers, authorities, additional]) = (word(2), [4, 6, 8, 10].map(word));
    let (is_answer, opcode, rcode) = (flags >> 15 == 1, flags >> 11 & 15, flags & 15);
    let known = matches!(opcode, 0..=2 | 4..=6) && rcode <= 11 && flags & 0x40 == 0;
    let few = questions <= 32 && answers <= 512 && authorities <= 512 && additional <= 512;
    let asks = is_answer || rcode == 0 && questions > 0;
    if !known || !few || !asks || questions == 0 && answers == 0 && authorities == 0 {
        return is_answer && known && rcode != 0 && b.len() == HEADER;
    }
    let Some(at) = behind_name(b, HEADER) else {
        return false;
    };
    match b.get(at..at + 4) {
        Some(rest) => {
            let (kind, class) = (u16::from_be_bytes([rest[0], rest[1]]), rest[3]);
            kind != 0 && matches!(rest[2] & 0x7f, 0) && matches!(class, 1 | 3 | 4 | 254 | 255)
        }
        None => false,
    }
}

/// Where a name ends that starts at `at`.
fn behind_name(b: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    while at - start < NAME {
        match *b.get(at)? {
            0 => return Some(at + 1),
            n if n >= 0xc0 => return Some(at + 2),
            n if n < 64 => at += 1 + usize::from(n),
            _ => return None,
        }
    }
    None
}

const HEADER: usize = 12;
/// Longest name (RFC 1035 section 3.1).
const NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn peek(bytes: &[u8], transport: Wire, port: u16) -> Verdict {
        recognise(&Peek {
            transport,
            src_port: 40_000,
            dst_port: port,
            first: [bytes, b""],
            half: 0,
            before: b"",
        })
    }

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_query_is_told_by_its_form_and_named_by_its_port() {
        use AppProto::{Dns, Llmnr, Mdns};
        for (port, proto) in [(53, Dns), (5353, Mdns), (5355, Llmnr)] {
            assert_eq!(
                peek(QUERY, Wire::Udp, port),
                Verdict::Is(proto, Confidence::SURE)
            );
        }
        assert_eq!(
            peek(QUERY, Wire::Udp, 99),
            Verdict::Is(Dns, Confidence::LIKELY)
        );
        for n in 0..QUERY.len() {
            assert_eq!(peek(&QUERY[..n], Wire::Udp, 53), Verdict::No, "{n}");
        }
        let framed = [&[0, QUERY.len() as u8], QUERY].concat();
        assert_eq!(
            peek(&framed, Wire::Tcp, 53),
            Verdict::Is(Dns, Confidence::SURE)
        );
        assert_eq!(peek(&framed[..9], Wire::Tcp, 53), Verdict::More);
    }

    #[test]
    fn others_are_not_taken_for_it() {
        for b in [
            &[0; 40][..],
            &[0xff; 40],
            b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        ] {
            assert_eq!(peek(b, Wire::Udp, 53), Verdict::No);
        }
    }
}
