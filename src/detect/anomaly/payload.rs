//! What single packets say that detectors listen to: names of DNS, refused logins, remote calls, heartbeats.
//!
//! Each is told by a few fixed bytes at a fixed place, so that ordinary payload costs little more than a look at its ports.

use super::credentials::{self, TriedSeen};
use super::dns::is_odd;
use super::feed::fnv;
use super::sighting::{CallSeen, DeniedSeen, DnsSeen, PairSeen, Seen};
use super::{ssh, web};
use crate::model::{PacketView, TcpHeader, Transport};

/// What a segment of TCP says.
pub(super) fn of_tcp(p: &PacketView<'_>, t: &TcpHeader) -> Option<Seen> {
    let bytes = p.payload();
    if let Some(service) = refusal(t.src_port, bytes) {
        return Some(Seen::Denied(denied(p, (t.src_port, t.dst_port), service)));
    }
    if let Some(service) = grant(t.src_port, bytes) {
        return Some(Seen::Granted(denied(p, (t.src_port, t.dst_port), service)));
    }
    if let Some((user, words)) = credentials::of(t.dst_port, bytes) {
        return Some(Seen::Tried(TriedSeen {
            client: p.src,
            server: p.dst,
            port: t.dst_port,
            user,
            words,
        }));
    }
    if let Some(seen) = ssh::keys(p, t).or_else(|| web::login(p, t)) {
        return Some(seen);
    }
    if t.src_port == 53 || t.dst_port == 53 {
        return dns_of_tcp(p, bytes).map(Seen::Dns);
    }
    if bytes.starts_with(&[HEARTBEAT, 3]) && is_heartbleed(bytes) {
        return Some(Seen::Heartbleed(PairSeen {
            src: p.src,
            dst: p.dst,
            port: t.dst_port,
            time_ms: ms(p),
        }));
    }
    let rpc = match t.dst_port {
        139 | 445 => bytes.get(..1024).unwrap_or(bytes),
        _ if bytes.starts_with(&[5, 0]) => bytes,
        _ => return None,
    };
    call(rpc).map(|(interface, operation)| {
        Seen::Call(CallSeen {
            client: p.src,
            server: p.dst,
            port: t.dst_port,
            interface,
            operation,
            client_port: t.src_port,
            bytes: p.ip_len,
            time_ms: ms(p),
        })
    })
}

/// What a datagram of UDP says.
pub(super) fn of_udp(p: &PacketView<'_>, src: u16, dst: u16) -> Option<Seen> {
    match (src, dst) {
        (53, _) | (_, 53) => dns(p, p.payload(), p.payload_len).map(Seen::Dns),
        (88, _) => krb_error(p.payload()).then(|| Seen::Denied(denied(p, (88, dst), KERBEROS))),
        _ => None,
    }
}

fn denied(
    p: &PacketView<'_>,
    (port, client_port): (u16, u16),
    service: &'static str,
) -> DeniedSeen {
    DeniedSeen {
        client: p.dst,
        server: p.src,
        port,
        service,
        client_port,
        bytes: p.ip_len,
        time_ms: ms(p),
    }
}

/// Which service refuses a login with these first bytes of what its server sends.
fn refusal(port: u16, b: &[u8]) -> Option<&'static str> {
    let has = |part: &[u8]| b.windows(part.len()).take(SEARCHED).any(|w| w == part);
    let (refused, service) = match port {
        // RFC 959: 530 not logged in
        21 => (b.starts_with(b"530 "), "ftp"),
        // RFC 4954: 535 credentials invalid
        25 | 465 | 587 => (b.starts_with(b"535 ") || b.starts_with(b"535-"), "smtp"),
        // RFC 1939: a command failed; only that of a password says so in words
        110 => (
            b.starts_with(b"-ERR") && (has(b"AUTH") || has(b"assword") || has(b"ogin")),
            "pop3",
        ),
        143 => (
            has(b" NO ") && (has(b"AUTHENTICATIONFAILED") || has(b"ogin") || has(b"uthentic")),
            "imap",
        ),
        23 => (has(b"ogin incorrect") || has(b"ogin failed"), "telnet"),
        // MS-SMB2 2.2.1: status of a session setup; STATUS_LOGON_FAILURE and its kin
        139 | 445 => (smb_refusal(b), "smb"),
        // a Kerberos message over TCP has its length before it (RFC 4120 section 7.2.2)
        88 => (krb_error(b.get(4..).unwrap_or_default()), KERBEROS),
        // RFC 4511 section 4.2.2: a bind response with invalidCredentials
        389 => (ldap_refusal(b), "ldap"),
        // an error packet of MySQL: 1045 access denied
        3306 => (b.get(4..7) == Some(&[0xff, 0x15, 0x04]), "mysql"),
        // an error message of PostgreSQL with SQLSTATE 28P01 or 28000
        5432 => (
            b.first() == Some(&b'E') && (has(b"C28P01") || has(b"C28000")),
            "postgresql",
        ),
        // MS-TDS 2.2.7.10: ERROR token with number 18456
        1433 => (has(&[0xaa]) && has(&18_456u32.to_le_bytes()), "mssql"),
        // RFC 6143 section 7.1.3: security result 1
        5900..=5903 => (
            b.starts_with(&[0, 0, 0, 1]) && b.len() > 8 || b == [0, 0, 0, 1],
            "vnc",
        ),
        6379 => (
            b.starts_with(b"-WRONGPASS") || b.starts_with(b"-ERR invalid password"),
            "redis",
        ),
        _ => return None,
    };
    refused.then_some(service)
}

/// Which service lets somebody in with these first bytes of what its server sends.
fn grant(port: u16, b: &[u8]) -> Option<&'static str> {
    let has = |part: &[u8]| b.windows(part.len()).take(SEARCHED).any(|w| w == part);
    let (granted, service) = match port {
        // RFC 959: 230 user logged in
        21 => (b.starts_with(b"230 ") || b.starts_with(b"230-"), "ftp"),
        // RFC 4954: 235 authentication successful
        25 | 465 | 587 => (b.starts_with(b"235 "), "smtp"),
        // RFC 1939: every command may go well; only that of a password says so in words
        110 => (
            b.starts_with(b"+OK") && (has(b"ogged in") || has(b"maildrop")),
            "pop3",
        ),
        // RFC 3501 section 6.2.3: what has a tag answers the login, what has none greets
        143 => (
            !b.starts_with(b"* OK")
                && has(b" OK ")
                && (has(b"ogged in") || has(b"LOGIN ") || has(b"uthenticat")),
            "imap",
        ),
        // an OK packet of MySQL that follows what was said of the password
        3306 => (mysql_ok(b), "mysql"),
        // AuthenticationOk of PostgreSQL, alone or behind what SASL says last
        5432 => (
            b.first() == Some(&b'R') && has(&[b'R', 0, 0, 0, 8, 0, 0, 0, 0]),
            "postgresql",
        ),
        139 | 445 => (smb_status(b) == Some(0) && !smb_is_nobody(b), "smb"),
        _ => return None,
    };
    granted.then_some(service)
}

/// An OK packet alone, the third or a later one of a conversation: what answers a command is the second.
fn mysql_ok(b: &[u8]) -> bool {
    match b {
        [low, 0, 0, 2..=8, 0, rest @ ..] => rest.len() >= 6 && rest.len() + 1 == usize::from(*low),
        _ => false,
    }
}

fn smb_refusal(b: &[u8]) -> bool {
    // wrong password, no such user, restricted, expired, disabled, locked
    let refused = [
        0xc000_006d,
        0xc000_0064,
        0xc000_006a,
        0xc000_006e,
        0xc000_0071,
        0xc000_0072,
        0xc000_0234,
    ];
    smb_status(b).is_some_and(|status| refused.contains(&status))
}

/// The status of a session setup.
fn smb_status(b: &[u8]) -> Option<u32> {
    // behind the length of NetBIOS
    let status = match b.get(4..)? {
        [0xfe, b'S', b'M', b'B', _, _, _, _, a, b, c, d, 1, 0, ..] => [*a, *b, *c, *d],
        // MS-CIFS 2.2.3.1: session setup
        [0xff, b'S', b'M', b'B', 0x73, a, b, c, d, ..] => [*a, *b, *c, *d],
        _ => return None,
    };
    Some(u32::from_le_bytes(status))
}

/// Whether who is let in is a guest or nobody at all, for which no password is right: MS-SMB2 2.2.6 has flags of the session at 66, MS-CIFS 2.2.4.53.2 the
/// action behind the header of an answer. What is cut short says nothing.
fn smb_is_nobody(b: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = b.get(at..at + 2);
        bytes.map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    match b.get(4) {
        Some(0xfe) => number(4 + 66).is_none_or(|flags| flags & 3 != 0),
        // number of words, command and offset of what comes with it
        Some(0xff) => number(4 + 32 + 5).is_none_or(|action| action & 1 != 0),
        _ => true,
    }
}

/// A KRB-ERROR (RFC 4120 section 5.9.1) that says that a name or a password is wrong: error-code is element 6.
fn krb_error(b: &[u8]) -> bool {
    if b.first() != Some(&0x7e) {
        return false;
    }
    let codes = b.windows(5).take(SEARCHED);
    // no such client, revoked, pre-authentication failed
    codes
        .filter(|w| w[..4] == [0xa6, 3, 2, 1])
        .any(|w| matches!(w[4], 6 | 18 | 24))
}

fn ldap_refusal(b: &[u8]) -> bool {
    // bind response, result code 49
    let wanted = |w: &[u8]| w[0] == 0x61 && (w[2..5] == [0x0a, 1, 49] || w[3..6] == [0x0a, 1, 49]);
    b.first() == Some(&0x30) && b.windows(6).take(32).any(wanted)
}

/// A heartbeat request that promises more than its record holds (CVE-2014-0160, RFC 6520 section 4).
fn is_heartbleed(b: &[u8]) -> bool {
    let [_, _, _, a, c, 1, e, f, ..] = *b else {
        return false;
    };
    let record = u16::from_be_bytes([a, c]);
    let promised = u16::from_be_bytes([e, f]);
    if b[2] > 4 || usize::from(record) > b.len() {
        return false;
    }
    // 3 bytes of header and 16 of padding belong to it
    u32::from(promised) + 19 > u32::from(record)
}

/// What DCE/RPC asks for (C706 section 12.6.4): the interface of a bind or an altered context, where it is one that runs programs or
/// reads secrets; of a request the number of its operation.
fn call(b: &[u8]) -> Option<(&'static str, Option<u16>)> {
    // version 5.0, type, flags, little-endian ASCII and IEEE
    let head = |w: &[u8]| {
        w[..2] == [5, 0] && matches!(w[2], REQUEST | BIND | ALTER) && w[4..8] == [16, 0, 0, 0]
    };
    let at = b.windows(8).position(head)?;
    let pdu = &b[at..];
    if pdu[2] == REQUEST {
        let operation = pdu.get(22..24)?;
        return Some(("", Some(u16::from_le_bytes([operation[0], operation[1]]))));
    }
    INTERFACES
        .iter()
        .find(|(uuid, _)| pdu.windows(16).take(400).any(|w| w == uuid))
        .map(|(_, name)| (*name, None))
}

/// A message of DNS that begins a segment, behind its length (RFC 7766 section 8).
fn dns_of_tcp(p: &PacketView<'_>, segment: &[u8]) -> Option<DnsSeen> {
    let (length, message) = segment.split_first_chunk::<2>()?;
    let length = u16::from_be_bytes(*length);
    // data of HTTP and the like are longer than they say, or shorter than a header
    (length >= 12 && u32::from(length) + 2 <= p.payload_len.saturating_add(MORE_MAX))
        .then(|| dns(p, message, length.into()))
        .flatten()
}

/// Header and first question of a message of DNS.
fn dns(p: &PacketView<'_>, b: &[u8], len: u32) -> Option<DnsSeen> {
    let header = b.first_chunk::<12>()?;
    let is_answer = header[2] & 0x80 != 0;
    let questions = u16::from_be_bytes([header[4], header[5]]);
    // only queries have names to look at
    if questions != 1 || header[2] & 0x78 != 0 {
        return None;
    }
    let mut name = Vec::with_capacity(64);
    let mut at = 12;
    loop {
        let n = usize::from(*b.get(at)?);
        if n == 0 {
            break;
        }
        let label = b.get(at + 1..at + 1 + n).filter(|_| n < 64)?;
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend(label.iter().map(u8::to_ascii_lowercase));
        at += 1 + n;
        if name.len() > 255 {
            return None;
        }
    }
    let kind = b.get(at + 1..at + 3)?;
    let (client, server) = match is_answer {
        true => (p.dst, p.src),
        false => (p.src, p.dst),
    };
    let (src_port, dst_port, over_tcp) = match p.transport {
        Transport::Tcp(t) => (t.src_port, t.dst_port, true),
        Transport::Ports { src, dst } => (src, dst, false),
        _ => (0, 0, false),
    };
    let client_port = if is_answer { dst_port } else { src_port };
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    let answers = u16::from_be_bytes([header[6], header[7]]);
    let (carried, content, is_encoded) = match is_answer && is_odd(kind) {
        true => content(b, at + 5, answers),
        false => (0, 0, false),
    };
    Some(DnsSeen {
        client,
        server,
        time_ms: ms(p),
        is_answer,
        rcode: header[3] & 15,
        kind,
        carried,
        content,
        is_encoded,
        client_port,
        over_tcp,
        is_verdict: is_answer && kind == A && is_verdict(b, at + 5, answers),
        bytes: len.min(65_535) as u16,
        name: name.into(),
    })
}

/// Bytes and a hash of what records carry of types that tunnels like, and whether it is no words. Their order does not count, nor how long they hold.
fn content(b: &[u8], at: usize, n: u16) -> (u16, u64, bool) {
    let (mut carried, mut content, mut spaces) = (0u16, 0u64, 0);
    records(b, at, n, |kind, data| {
        if is_odd(kind) {
            carried = carried.saturating_add(u16::try_from(data.len()).unwrap_or(u16::MAX));
            content = content.wrapping_add(fnv(data));
            spaces += data.iter().filter(|b| **b == b' ').count();
        }
    });
    (carried, content, spaces * WORD_MAX < carried.into())
}

/// Whether addresses answer that lead nowhere: lists say so what they know of a name (RFC 5782 section 2.1).
fn is_verdict(b: &[u8], at: usize, n: u16) -> bool {
    let (mut here, mut elsewhere) = (0, 0);
    records(b, at, n, |kind, data| match (kind, data) {
        (A, [127, _, _, _]) => here += 1,
        (A, _) => elsewhere += 1,
        _ => {}
    });
    here > 0 && elsewhere == 0
}

/// Hands out type and data of records (RFC 1035 section 4.1.3).
fn records(b: &[u8], mut at: usize, n: u16, mut each: impl FnMut(u16, &[u8])) {
    for _ in 0..n.min(RECORDS_MAX) {
        // a name ends with a pointer, or with nothing
        while let Some(&label) = b.get(at) {
            at += match label {
                0 => 1,
                1..64 => usize::from(label) + 1,
                _ => 2,
            };
            if label == 0 || label >= 64 {
                break;
            }
        }
        let Some(head) = b.get(at..).and_then(|r| r.first_chunk::<10>()) else {
            break;
        };
        let length = u16::from_be_bytes([head[8], head[9]]);
        at += 10;
        let Some(data) = b.get(at..at + usize::from(length)) else {
            break;
        };
        at += data.len();
        each(u16::from_be_bytes([head[0], head[1]]), data);
    }
}

fn ms(p: &PacketView<'_>) -> i64 {
    p.time_ns.div_euclid(1_000_000)
}

/// How many bytes of a message may come in later segments.
const MORE_MAX: u32 = 4_096;
/// Type of addresses of IPv4 (RFC 1035 section 3.2.2).
const A: u16 = 1;
/// Bytes to a space, on the whole, at most in words, and in lists of hosts and addresses (SPF); of bytes by lot every 256th is one.
const WORD_MAX: usize = 64;
/// Records of an answer that are looked at.
const RECORDS_MAX: u16 = 16;
/// How far into a segment words are looked for.
const SEARCHED: usize = 512;
/// One client may be a proxy of many users.
pub(super) const HTTP: &str = "http";
pub(super) const KERBEROS: &str = "kerberos";
/// Content type of TLS heartbeats.
const HEARTBEAT: u8 = 24;
/// Types of messages of DCE/RPC.
const REQUEST: u8 = 0;
const BIND: u8 = 11;
const ALTER: u8 = 14;

/// Interfaces as they stand in a bind, little-endian, and what they are.
const INTERFACES: [([u8; 16], &str); 9] = [
    (
        [
            0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0x00,
            0x10, 0x03,
        ],
        "svcctl",
    ),
    (
        [
            0x82, 0x06, 0xf7, 0x1f, 0x51, 0x0a, 0xe8, 0x30, 0x07, 0x6d, 0x74, 0x0b, 0xe8, 0xce,
            0xe9, 0x8b,
        ],
        "atsvc",
    ),
    (
        [
            0x49, 0x59, 0xd3, 0x86, 0xc9, 0x83, 0x44, 0x40, 0xb4, 0x24, 0xdb, 0x36, 0x32, 0x31,
            0xfd, 0x0c,
        ],
        "ITaskSchedulerService",
    ),
    (
        [
            0x99, 0xdc, 0x56, 0x95, 0x8c, 0x82, 0xcf, 0x11, 0xa3, 0x7e, 0x00, 0xaa, 0x00, 0x32,
            0x40, 0xc7,
        ],
        "IWbemServices",
    ),
    (
        [
            0x35, 0x42, 0x51, 0xe3, 0x06, 0x4b, 0xd1, 0x11, 0xab, 0x04, 0x00, 0xc0, 0x4f, 0xc2,
            0xdc, 0xd2,
        ],
        "drsuapi",
    ),
    (
        [
            0x01, 0xd0, 0x8c, 0x33, 0x44, 0x22, 0xf1, 0x31, 0xaa, 0xaa, 0x90, 0x00, 0x38, 0x00,
            0x10, 0x03,
        ],
        "winreg",
    ),
    (
        [
            0xa0, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x00, 0x46,
        ],
        "IRemoteSCMActivator",
    ),
    (
        [
            0xb8, 0x4a, 0x9f, 0x4d, 0x1c, 0x7d, 0xcf, 0x11, 0x86, 0x1e, 0x00, 0x20, 0xaf, 0x6e,
            0x7c, 0x57,
        ],
        "IRemoteActivation",
    ),
    (
        [
            0x78, 0x56, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67,
            0xcf, 0xfb,
        ],
        "netlogon",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn smb2(status: u32, flags: u16) -> Vec<u8> {
        let mut b = vec![0; 4 + 64 + 8];
        b[4..8].copy_from_slice(&[0xfe, b'S', b'M', b'B']);
        b[12..16].copy_from_slice(&status.to_le_bytes());
        b[16] = 1;
        b[68] = 9;
        b[70..72].copy_from_slice(&flags.to_le_bytes());
        b
    }

    fn smb1(action: u16) -> Vec<u8> {
        let mut b = vec![0; 4 + 32 + 9];
        b[4..9].copy_from_slice(&[0xff, b'S', b'M', b'B', 0x73]);
        b[36] = 3;
        b[41..43].copy_from_slice(&action.to_le_bytes());
        b
    }

    #[test]
    fn guests_and_nobody_need_no_password() {
        assert_eq!(grant(445, &smb2(0, 0)), Some("smb"));
        // the session is encrypted
        assert_eq!(grant(445, &smb2(0, 4)), Some("smb"));
        assert_eq!(grant(445, &smb2(0, 1)), None);
        assert_eq!(grant(445, &smb2(0, 2)), None);
        assert_eq!(grant(445, &smb2(0xc000_006d, 0)), None);
        assert_eq!(refusal(445, &smb2(0xc000_006d, 0)), Some("smb"));
        assert_eq!(grant(139, &smb1(0)), Some("smb"));
        assert_eq!(grant(139, &smb1(1)), None);
        assert_eq!(grant(445, &smb2(0, 0)[..40]), None);
    }

    #[test]
    fn lists_of_hosts_are_words_and_what_is_encoded_is_none() {
        let text = |b: &[u8]| {
            // a root name, TXT, IN, an hour, and its length
            let mut record = vec![0, 0, 16, 0, 1, 0, 0, 14, 16, 0, b.len() as u8 + 1];
            record.push(b.len() as u8);
            record.extend(b);
            content(&record, 0, 1).2
        };
        let spf = b"v=spf1 include:spf.protection.outlook.example include:_spf.mail.example \
            ip4:192.0.2.0/24 ip4:198.51.100.0/24 include:servers.mcsv.example ~all";
        assert!(!text(spf) && !text(b"blocked because of what it sent"));
        let drawn: Vec<u8> = (0..250u32).map(|n| (n * 167 % 251) as u8).collect();
        assert!(text(&drawn) && text(&[b'q'; 200]));
    }

    #[test]
    fn servers_say_in_their_words_that_somebody_is_in() {
        let ok = [7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(grant(3306, &ok), Some("mysql"));
        // what answers a command, and a row of a result
        assert_eq!(grant(3306, &[7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]), None);
        assert_eq!(grant(3306, &[&ok[..], &ok[..]].concat()), None);
        let sasl = [
            &b"R\0\0\0\x0e\0\0\0\x0cv=abcd"[..],
            &b"R\0\0\0\x08\0\0\0\0"[..],
        ]
        .concat();
        assert_eq!(grant(5432, &sasl), Some("postgresql"));
        assert_eq!(grant(5432, &sasl[..15]), None);
        assert_eq!(
            grant(143, b"a1 OK [CAPABILITY IMAP4rev1] Logged in\r\n"),
            Some("imap")
        );
        assert_eq!(
            grant(143, b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready.\r\n"),
            None
        );
        assert_eq!(grant(143, b"a2 OK NOOP completed\r\n"), None);
        assert_eq!(grant(110, b"+OK Logged in.\r\n"), Some("pop3"));
        assert_eq!(grant(110, b"+OK\r\n"), None);
        assert_eq!(
            grant(587, b"235 2.7.0 Authentication successful\r\n"),
            Some("smtp")
        );
    }
}
