//! What Suricata 7 takes a conversation for by its first bytes: rules ask for the protocol by its reading, not by ours. Patterns at the start of a direction hold on
//! every port, other protocols are looked for on their ports alone. Facts: seen with made conversations (`tests/differential/taken.py`).

use crate::model::{Addr, AppProto};
use crate::reassemble::app::{Ends, Found, recognised};

/// What the first bytes of a direction say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Is(AppProto),
    /// So far it may be something.
    More,
    Nobody,
}

/// What a stream is taken for by one who just spoke; `first` are the first bytes of both halves.
pub(super) fn stream(ends: &Ends, half: usize, first: [&[u8]; 2]) -> Taken {
    let b = first[half];
    let pattern = STREAMS.iter().find(|p| p.begins(half, b));
    if let Some(pattern) = pattern {
        return Taken::Is(pattern.proto);
    }
    if half == 0 && is_request(b) {
        return Taken::Is(AppProto::Http);
    }
    let mut taken = is_dce_stream(b);
    if taken == Taken::Nobody {
        taken = on_port(ends, half, first);
    }
    match taken {
        Taken::Nobody if b.len() < LONGEST[half] => Taken::More,
        taken => taken,
    }
}

/// Whether bytes that a source sends to a destination are what a server says, and not what a client does.
pub(in super::super) fn answers(ports: (u16, u16), addrs: [Addr; 2], b: &[u8]) -> bool {
    let [from, to] = addrs;
    let ends = |addrs, ports| Ends {
        proto: 6,
        addrs,
        ports,
    };
    let asks = stream(&ends([from, to], [ports.0, ports.1]), 0, [b, b""]);
    let back = ends([to, from], [ports.1, ports.0]);
    !matches!(asks, Taken::Is(_)) && matches!(stream(&back, 1, [b"", b]), Taken::Is(_))
}

/// What a conversation of datagrams is taken for by the first one of a direction.
pub(super) fn datagram(ends: &Ends, half: usize, b: &[u8]) -> Taken {
    let is = |proto: AppProto, yes: bool| match yes {
        true => Taken::Is(proto),
        false => Taken::Nobody,
    };
    if b.starts_with(b"d1:ad2:id20:") {
        return Taken::Is(AppProto::Bittorrent);
    }
    if is_dce(b) {
        return Taken::Is(AppProto::Dcerpc);
    }
    let mut first: [&[u8]; 2] = [b""; 2];
    first[half] = b;
    let read = |proto: AppProto| is(proto, recognised(ends, half, first) == Found::Is(proto));
    match (ends.ports[1], half) {
        (53, _) => is(AppProto::Dns, is_dns(b)),
        (67 | 68, _) => is(AppProto::Dhcp, b.len() >= DHCP_MIN),
        (69, _) => is(AppProto::Tftp, matches!(b, [0, 1..=5, ..])),
        (80 | 443, _) => match b {
            [0x80..=0xff, ..] => read(AppProto::Quic),
            _ => is(AppProto::Quic, b.len() >= QUIC_MIN),
        },
        (88, _) => is(AppProto::Krb5, is_kerberos(b)),
        (123, _) if b.len() > NTP_MIN && b[0] & 7 > 5 => Taken::Nobody,
        (123, _) if b.len() > NTP_MIN => read(AppProto::Ntp),
        (123, _) => is(
            AppProto::Ntp,
            b.len() >= NTP_MIN && matches!(b[0] >> 3 & 7, 3 | 4),
        ),
        (161 | 162, _) => read(AppProto::Snmp),
        (500, _) => match b.get(17) {
            Some(version) if version >> 4 == 1 => is(AppProto::Ike, b.len() >= IKE_MIN),
            _ => read(AppProto::Ike),
        },
        (2049, _) => read(AppProto::Nfs),
        _ if ends.ports[0] == 2049 => read(AppProto::Nfs),
        (5060 | 5061, 0) => is(AppProto::Sip, is_sip(b)),
        (5060 | 5061, _) => is(AppProto::Sip, b.starts_with(b"SIP/")),
        (44_818, _) => read(AppProto::Enip),
        _ if ends.ports[0] == 44_818 => read(AppProto::Enip),
        _ => Taken::Nobody,
    }
}

/// What a server says first in HTTP/2: its settings (RFC 9113 section 3.4).
pub(super) fn settings(b: &[u8]) -> Taken {
    match b {
        [0, _, _, 4, 0 | 1, 0..=0x7f, ..] => Taken::Is(AppProto::Http2),
        [_, _, _, _, _, _, ..] => Taken::Nobody,
        _ => Taken::More,
    }
}

/// Whether a protocol is none where the server speaks first.
pub(super) fn begins_with_client(proto: AppProto) -> bool {
    proto == AppProto::Tls
}

/// The name that rules have for it.
pub(super) fn name(proto: AppProto) -> &'static str {
    match proto {
        AppProto::NetbiosSsn => "smb",
        AppProto::Bittorrent => "bittorrent-dht",
        proto => proto.name(),
    }
}

fn on_port(ends: &Ends, half: usize, first: [&[u8]; 2]) -> Taken {
    let b = first[half];
    let wanted: &[AppProto] = match ends.ports[1] {
        23 => return Taken::Is(AppProto::Telnet),
        53 => &[AppProto::Dns],
        88 => return kerberos_stream(b),
        // Suricata takes the one for nothing and the other mostly; what goes on as TLS is followed here
        110 => &[AppProto::Pop3],
        143 => &[AppProto::Imap],
        139 | 445 => &[AppProto::Smb, AppProto::NetbiosSsn],
        443 if half == 0 => &[AppProto::Tls],
        502 => &[AppProto::Modbus],
        1883 => {
            return match b {
                [0x10..=0xff, _, ..] => Taken::Is(AppProto::Mqtt),
                [0x10..=0xff] => Taken::More,
                _ => Taken::Nobody,
            };
        }
        2049 => &[AppProto::Nfs],
        3389 => &[AppProto::Rdp],
        5432 => &[AppProto::Pgsql],
        20_000 => &[AppProto::Dnp3],
        44_818 => &[AppProto::Enip],
        _ if ends.ports[0] == 44_818 => &[AppProto::Enip],
        _ => return Taken::Nobody,
    };
    match recognised(ends, half, first) {
        Found::Is(proto) if wanted.contains(&proto) => Taken::Is(proto),
        // a length and a head are enough
        Found::More if wanted == [AppProto::Dns] && b.len() >= DNS_MIN => Taken::Is(AppProto::Dns),
        Found::More => Taken::More,
        _ => Taken::Nobody,
    }
}

/// A method of HTTP that is known and a blank, whatever follows.
pub(in super::super) fn is_request(b: &[u8]) -> bool {
    let letters = b
        .iter()
        .take(LONGEST[0])
        .take_while(|c| !b" \t".contains(c));
    let length = letters.count();
    let method = &b[..length];
    length < b.len() && METHODS.iter().any(|m| m.eq_ignore_ascii_case(method))
}

/// A method and a request target, and the protocol behind them.
fn is_sip(b: &[u8]) -> bool {
    let end = b.iter().position(|c| *c == b'\r').unwrap_or(b.len());
    let mut words = b[..end].split(|c| *c == b' ');
    let method = words.next().unwrap_or_default();
    let letters = !method.is_empty() && method.iter().all(u8::is_ascii_alphabetic);
    letters && words.nth(1).is_some_and(|w| w.starts_with(b"SIP/"))
}

/// A head of DNS behind which there is room for what it counts, and names as far as they came (RFC 1035 section 4.1).
fn is_dns(b: &[u8]) -> bool {
    let Some(head) = b.first_chunk::<DNS_HEAD>() else {
        return false;
    };
    let count = |at: usize| usize::from(u16::from_be_bytes([head[at], head[at + 1]]));
    if DNS_HEAD + 2 * [4, 6, 8, 10].map(count).iter().sum::<usize>() > b.len() {
        return false;
    }
    let mut at = DNS_HEAD;
    for _ in 0..count(4) {
        loop {
            at += match b.get(at) {
                None => return true,
                Some(0) => 5,
                Some(n @ 1..=0x3f) => {
                    at += 1 + usize::from(*n);
                    continue;
                }
                Some(0xc0..) => 6,
                Some(_) => return false,
            };
            break;
        }
    }
    true
}

/// DCE/RPC without a connection (C706 section 12.6.3.1): version, kind, order of bytes.
fn is_dce(b: &[u8]) -> bool {
    let flags =
        |flags: u8, order: u8, float: u8| flags & 0xfc == 0 && order & 0xee == 0 && float <= 3;
    b.len() >= DCE_MIN && matches!(b, [4, 0, _, f, o, n, ..] if flags(*f, *o, *n))
}

/// The header of a connection (C706 section 12.6.3.1): version, kind, order of bytes.
fn is_dce_stream(b: &[u8]) -> Taken {
    match b {
        [5, 0, kind, _, order, float, ..] => {
            match *kind <= 19 && order & 0xee == 0 && *float <= 3 {
                true => Taken::Is(AppProto::Dcerpc),
                false => Taken::Nobody,
            }
        }
        [5] | [5, 0, ..] => Taken::More,
        _ => Taken::Nobody,
    }
}

/// An application tag, a sequence in it, and the version 5 as its first field (RFC 4120 section 5.4).
fn is_kerberos(b: &[u8]) -> bool {
    let content = |b: &[u8]| match b {
        [_, n, ..] if *n < 0x80 => Some(2),
        [_, n, ..] => Some(2 + usize::from(n & 0x7f)),
        _ => None,
    };
    let inner = content(b).and_then(|at| b.get(at..));
    let fields = inner.and_then(|i| content(i).and_then(|at| i.get(at..)));
    let begins = matches!(b, [tag, ..] if tag >> 6 == 1 && tag & 31 <= 30);
    let is_sequence = matches!(inner, Some([0x30, ..]));
    begins && is_sequence && matches!(fields, Some([_, _, 2, 1, 5, _, ..]))
}

/// The same behind its length (RFC 4120 section 7.2.2).
fn kerberos_stream(b: &[u8]) -> Taken {
    match b.get(4..) {
        Some(message) if is_kerberos(message) => Taken::Is(AppProto::Krb5),
        Some(message) if message.len() > KERBEROS_HEAD => Taken::Nobody,
        _ => Taken::More,
    }
}

/// Bytes that a direction begins with.
struct Pattern {
    proto: AppProto,
    /// Of the client (0), the server (1), or both (2).
    half: usize,
    at: usize,
    bytes: &'static [u8],
}

impl Pattern {
    fn begins(&self, half: usize, b: &[u8]) -> bool {
        let there = b.get(self.at..self.at + self.bytes.len());
        let same = there.is_some_and(|t| match self.is_binary() {
            true => t == self.bytes,
            false => t.eq_ignore_ascii_case(self.bytes),
        });
        same && (self.half == 2 || self.half == half)
    }

    fn is_binary(&self) -> bool {
        matches!(self.proto, AppProto::Imap | AppProto::Tls | AppProto::Smb)
    }
}

const fn of(proto: AppProto, half: usize, at: usize, bytes: &'static [u8]) -> Pattern {
    Pattern {
        proto,
        half,
        at,
        bytes,
    }
}

#[rustfmt::skip]
const STREAMS: &[Pattern] = &[
    of(AppProto::Http, 1, 0, b"HTTP/0.9"), of(AppProto::Http, 1, 0, b"HTTP/1.0"), of(AppProto::Http, 1, 0, b"HTTP/1.1"),
    of(AppProto::Http2, 0, 0, b"PRI * HTTP/2.0\r\n"),
    of(AppProto::Tls, 0, 0, &[22, 3, 0]), of(AppProto::Tls, 0, 0, &[22, 3, 1]), of(AppProto::Tls, 0, 0, &[22, 3, 2]),
    of(AppProto::Tls, 0, 0, &[22, 3, 3]), of(AppProto::Tls, 0, 2, &[1, 0, 2]),
    of(AppProto::Tls, 1, 0, &[21, 3, 0]), of(AppProto::Tls, 1, 0, &[21, 3, 1]), of(AppProto::Tls, 1, 0, &[21, 3, 2]),
    of(AppProto::Tls, 1, 0, &[21, 3, 3]), of(AppProto::Tls, 1, 0, &[22, 3, 0]), of(AppProto::Tls, 1, 0, &[22, 3, 1]),
    of(AppProto::Tls, 1, 0, &[22, 3, 2]), of(AppProto::Tls, 1, 0, &[22, 3, 3]), of(AppProto::Tls, 1, 0, &[23, 3, 0]),
    of(AppProto::Tls, 1, 0, &[23, 3, 1]), of(AppProto::Tls, 1, 0, &[23, 3, 2]), of(AppProto::Tls, 1, 0, &[23, 3, 3]),
    of(AppProto::Ftp, 0, 0, b"USER "), of(AppProto::Ftp, 0, 0, b"PASS "), of(AppProto::Ftp, 0, 0, b"PORT "),
    of(AppProto::Ftp, 0, 0, b"FEAT"), of(AppProto::Ftp, 1, 0, b"220 ("),
    of(AppProto::Smtp, 0, 0, b"EHLO"), of(AppProto::Smtp, 0, 0, b"HELO"), of(AppProto::Smtp, 0, 0, b"QUIT"),
    of(AppProto::Imap, 0, 0, b"1 capability"),
    of(AppProto::Ssh, 2, 0, b"SSH-"), of(AppProto::Rfb, 2, 0, b"RFB "),
    of(AppProto::Smb, 2, 4, b"\xffSMB"), of(AppProto::Smb, 2, 4, b"\xfeSMB"), of(AppProto::Smb, 2, 4, b"\xfdSMB"),
];
/// Methods that Suricata knows.
#[rustfmt::skip]
const METHODS: &[&[u8]] = &[
    b"GET", b"PUT", b"POST", b"HEAD", b"TRACE", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH", b"PROPFIND", b"PROPPATCH", b"MKCOL", b"COPY", b"MOVE",
    b"LOCK", b"UNLOCK", b"CHECKOUT", b"UNCHECKOUT", b"CHECKIN", b"UPDATE", b"LABEL", b"REPORT", b"MKWORKSPACE", b"MKACTIVITY", b"MERGE",
    b"INVALID", b"VERSION-CONTROL", b"BASELINE-CONTROL",
];
/// The length of a message of DNS over TCP, and its head.
const DNS_MIN: usize = 14;
const DNS_HEAD: usize = 12;
/// Bytes of each direction in which a pattern may be: of a method and its blank, of `HTTP/1.1`.
const LONGEST: [usize; 2] = [17, 8];
/// Shortest messages.
const DHCP_MIN: usize = 232;
const NTP_MIN: usize = 48;
const IKE_MIN: usize = 28;
const DCE_MIN: usize = 80;
/// A short header with a connection id as long as Suricata supposes.
const QUIC_MIN: usize = 17;
const KERBEROS_HEAD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(proto: u8, port: u16) -> Ends {
        Ends {
            proto,
            addrs: [Addr::default(); 2],
            ports: [40_000, port],
        }
    }

    fn says(half: usize, port: u16, b: &[u8]) -> Taken {
        let mut first: [&[u8]; 2] = [b""; 2];
        first[half] = b;
        stream(&ends(6, port), half, first)
    }

    #[test]
    fn a_word_of_the_client_tells() {
        for (text, proto) in [
            (&b"USER a 0 * :x\r\n"[..], AppProto::Ftp),
            (b"pass x", AppProto::Ftp),
            (b"quit\r\n", AppProto::Smtp),
            (b"GET / nothing", AppProto::Http),
            (b"get\t/", AppProto::Http),
            (b"OPTIONS rtsp://a RTSP/1.0\r\n", AppProto::Http),
        ] {
            assert_eq!(says(0, 9876, text), Taken::Is(proto));
            assert!(!matches!(says(1, 9876, text), Taken::Is(_)));
        }
        for text in [&b"NOTIFY / HTTP/1.1\r\n"[..], b"EPRT |1|1.1.1.1|44|\r\n"] {
            assert_eq!(says(0, 9876, text), Taken::Nobody);
        }
        assert_eq!(says(0, 9876, b"RETR a"), Taken::More);
        assert_eq!(says(1, 25, b"220 x ESMTP ready"), Taken::Nobody);
        assert_eq!(says(1, 21, b"220 (x)"), Taken::Is(AppProto::Ftp));
        assert_eq!(says(1, 80, b"http/1.1 200"), Taken::Is(AppProto::Http));
        assert_eq!(says(1, 80, b"HTTP/1.2 200"), Taken::Nobody);
    }

    #[test]
    fn ports_decide_about_the_others() {
        let modbus = b"\0\x01\0\0\0\x06\x01\x03\0\0\0\x01";
        assert_eq!(says(0, 502, modbus), Taken::Is(AppProto::Modbus));
        assert_eq!(says(0, 9876, modbus), Taken::More);
        assert_eq!(says(1, 23, b"x"), Taken::Is(AppProto::Telnet));
        let dhcp = [1u8; 240];
        assert_eq!(datagram(&ends(17, 67), 0, &dhcp), Taken::Is(AppProto::Dhcp));
        assert_eq!(datagram(&ends(17, 9876), 0, &dhcp), Taken::Nobody);
        assert_eq!(
            datagram(&ends(17, 5060), 0, b"FOO sip:a SIP/2.0\r\n"),
            Taken::Is(AppProto::Sip)
        );
        assert_eq!(
            datagram(&ends(17, 5060), 1, b"SIP/2.0 200 OK\r\n"),
            Taken::Is(AppProto::Sip)
        );
        let error = b"\x7e\x0c\x30\x0a\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e";
        assert_eq!(datagram(&ends(17, 88), 0, error), Taken::Is(AppProto::Krb5));
        for n in 0..error.len() {
            let _ = datagram(&ends(17, 88), 0, &error[..n]);
        }
    }
}
