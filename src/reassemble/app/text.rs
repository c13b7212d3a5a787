//! Protocols in text: SSDP (UPnP Device Architecture 2.0 section 1), syslog (RFC 5424 section 6, RFC 3164 section 4, RFC 6587), IRC
//! (RFC 2812 section 3), XMPP (RFC 6120 section 4), Telnet (RFC 854), Redis (RESP), Memcached, Stratum, git (gitprotocol-pack).

use super::octets::{begins, begins_one, contains, either, is_text, line, one_of, who};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// HTTP over UDP.
pub(super) fn ssdp(peek: &Peek<'_>) -> Verdict {
    let said = peek.bytes();
    let asks = begins_one(said, &[b"M-SEARCH * HTTP/1.", b"NOTIFY * HTTP/1."]);
    let answers = begins(said, b"HTTP/1.1 200") == Some(true)
        && [&b"\r\nST:"[..], b"\r\nUSN:", b"\r\nst:", b"\r\nusn:"]
            .iter()
            .any(|field| contains(said, field));
    match asks == Some(true) || answers {
        true => Is(AppProto::Ssdp, Confidence::SURE),
        false => No,
    }
}

/// A priority below 192 between angle brackets, then text.
pub(super) fn syslog(peek: &Peek<'_>) -> Verdict {
    let sure = match peek.has_port(514) || peek.has_port(601) {
        true => Confidence::SURE,
        false => Confidence::FAIR,
    };
    either(peek, AppProto::Syslog, sure, |b| {
        // octet counting, of TCP
        let digits = b.iter().take(6).take_while(|d| d.is_ascii_digit()).count();
        match (digits, b.get(digits)) {
            (0, _) => priority(b),
            (1..=5, Some(b' ')) if peek.transport == Wire::Tcp => priority(&b[digits + 1..]),
            (1..=5, None) => None,
            _ => Some(false),
        }
    })
}

fn priority(bytes: &[u8]) -> Option<bool> {
    if !begins(bytes, b"<")? {
        return Some(false);
    }
    let digits = bytes[1..]
        .iter()
        .take(4)
        .take_while(|d| d.is_ascii_digit())
        .count();
    let (number, rest) = bytes[1..].split_at(digits);
    let Some((close, text)) = rest.split_first() else {
        return (digits > 3).then_some(false);
    };
    let value = number
        .iter()
        .fold(0u32, |n, d| n * 10 + u32::from(d - b'0'));
    if *close != b'>' || digits == 0 || digits > 3 || value > 191 {
        return Some(false);
    }
    if text.len() < 4 {
        return None;
    }
    Some(is_text(&text[..text.len().min(64)]))
}

/// A client that registers, and a server that begins with its name.
pub(super) fn irc(peek: &Peek<'_>) -> Verdict {
    let server = |b: &[u8]| {
        if !one_of([begins(b, b":"), begins(b, b"NOTICE AUTH :")])? {
            return Some(false);
        }
        let first = line(b)?;
        let mut words = first.split(|c| *c == b' ');
        let prefixed = words.next().is_some_and(|w| w.len() > 1 && w[0] == b':');
        let word = words.next().unwrap_or_default();
        let code = word.len() == 3 && word.iter().all(u8::is_ascii_digit);
        Some(
            prefixed && (code || word == b"NOTICE" || word == b"CAP")
                || first.starts_with(b"NOTICE AUTH :"),
        )
    };
    let client = |b: &[u8]| {
        let registers = begins_one(b, &[b"NICK ", b"CAP LS", b"CAP REQ "]);
        one_of([registers, user(b)])
    };
    if let Some(half) = who(peek, |b| server(b) == Some(true)) {
        // numeric replies are only spoken to those who registered
        let sure = match client(peek.first[1 - half]) {
            Some(true) => Confidence::SURE,
            _ => Confidence::FAIR,
        };
        return Is(AppProto::Irc, sure);
    }
    match who(peek, |b| client(b) == Some(true)) {
        Some(half) if both(peek.first[half]) => Is(AppProto::Irc, Confidence::LIKELY),
        Some(half) if peek.first[1 - half].is_empty() => More,
        Some(_) => No,
        None => either(peek, AppProto::Irc, Confidence::FAIR, |b| {
            one_of([client(b), server(b)])
        }),
    }
}

/// `USER name mode unused :real name`: that of FTP has one word.
fn user(bytes: &[u8]) -> Option<bool> {
    match begins(bytes, b"USER ")? {
        true => Some(line(bytes)?.windows(2).any(|w| w == b" :")),
        false => Some(false),
    }
}

/// Both commands of a registration.
fn both(bytes: &[u8]) -> bool {
    let has = |word: &[u8]| {
        bytes.starts_with(word)
            || bytes
                .windows(word.len() + 1)
                .any(|w| w[0] == b'\n' && &w[1..] == word)
    };
    has(b"NICK ") && has(b"USER ")
}

/// The stream element, or a stanza of a stream that began before.
pub(super) fn xmpp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Xmpp, Confidence::SURE, |b| {
        let open = begins_one(
            b,
            &[
                b"<stream:stream ",
                b"</stream:stream>",
                b"<stream:features",
                b"<open xmlns='urn:ietf:params:xml:ns:xmpp",
            ],
        );
        let prolog = begins(b, b"<?xml ").and_then(|is| {
            let stream = contains(b, b"<stream:stream") || contains(b, b"jabber:");
            match is && !stream {
                true if b.len() < 256 => None,
                true => Some(false),
                false => Some(is),
            }
        });
        let stanza = begins_one(b, &[b"<iq ", b"<presence", b"<message "]).and_then(|is| {
            let named = [
                &b" to='"[..],
                b" from='",
                b" type='",
                b" to=\"",
                b" from=\"",
                b" type=\"",
            ];
            match is && !named.iter().any(|n| contains(b, n)) {
                true if b.len() < 64 => None,
                true => Some(false),
                false => Some(is),
            }
        });
        one_of([open, prolog, stanza])
    })
}

/// Two commands of option negotiation in a row; on the usual port one.
pub(super) fn telnet(peek: &Peek<'_>) -> Verdict {
    const IAC: u8 = 0xff;
    let command = |b: &[u8]| match b {
        [IAC, 0xfb..=0xfe, option, ..] => Some(*option <= 50 || *option == 255),
        [IAC, 0xfa, option, ..] => Some(*option <= 50),
        [IAC, 0xfa..=0xfe] | [IAC] | [] => None,
        _ => Some(false),
    };
    if peek.has_port(23) {
        return either(peek, AppProto::Telnet, Confidence::LIKELY, command);
    }
    either(
        peek,
        AppProto::Telnet,
        Confidence::LIKELY,
        |b| match command(b)? {
            true => command(b.get(3..)?),
            false => Some(false),
        },
    )
}

/// A request is an array of strings with lengths (RESP specification); answers alone are of no one.
pub(super) fn redis(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Redis, Confidence::LIKELY, |b| {
        let counted = |b: &[u8], sign: u8| -> Option<bool> {
            let (first, rest) = b.split_first()?;
            let digits = rest
                .iter()
                .take(10)
                .take_while(|d| d.is_ascii_digit())
                .count();
            if *first != sign || digits == 0 && !rest.is_empty() {
                return Some(false);
            }
            begins(&rest[digits..], b"\r\n")
        };
        if !counted(b, b'*')? {
            return Some(false);
        }
        let next = b.iter().position(|c| *c == b'\n')? + 1;
        counted(&b[next..], b'$')
    })
}

/// A command of the text protocol and what only its server answers (memcached: doc/protocol.txt); the binary header (BinaryProtocolRevamped);
/// over UDP behind a header of eight octets.
pub(super) fn memcache(peek: &Peek<'_>) -> Verdict {
    let udp = peek.transport == Wire::Udp;
    let said = |half: usize| {
        peek.first[half]
            .get(if udp { 8 } else { 0 }..)
            .unwrap_or_default()
    };
    if udp && !matches!(peek.bytes(), [_, _, 0, _, 0, 1, 0, 0, ..]) {
        return No;
    }
    if (0..2).any(|half| is_binary(said(half)) == Some(true)) {
        return Is(AppProto::Memcache, Confidence::LIKELY);
    }
    let asks = |b: &[u8]| {
        begins_one(
            b,
            &[
                b"get ",
                b"gets ",
                b"set ",
                b"add ",
                b"incr ",
                b"decr ",
                b"delete ",
                b"touch ",
                b"stats",
                b"version\r\n",
                b"mg ",
                b"ms ",
            ],
        )
    };
    let answers = |b: &[u8]| {
        begins_one(
            b,
            &[
                b"VALUE ",
                b"STAT ",
                b"STORED\r\n",
                b"NOT_STORED\r\n",
                b"NOT_FOUND\r\n",
                b"DELETED\r\n",
                b"END\r\n",
                b"VERSION ",
                b"EXISTS\r\n",
                b"CLIENT_ERROR ",
            ],
        )
    };
    for half in 0..2 {
        let pair = (asks(said(half)), answers(said(1 - half)));
        if pair == (Some(true), Some(true)) {
            return Is(AppProto::Memcache, Confidence::LIKELY);
        }
        if udp && (asks(said(half)) == Some(true) || answers(said(half)) == Some(true)) {
            return Is(AppProto::Memcache, Confidence::FAIR);
        }
    }
    let waits = |half: usize| asks(said(half)) != Some(false) || answers(said(half)) != Some(false);
    match !udp && waits(0) && waits(1) {
        true => More,
        false => No,
    }
}

/// Magic, operation, and lengths that fit each other.
fn is_binary(b: &[u8]) -> Option<bool> {
    use super::octets::{u8_at, u16_at, u32_at};
    if !matches!(b.first()?, 0x80 | 0x81) {
        return Some(false);
    }
    let (operation, key, extras) = (
        u8_at(b, 1)?,
        u32::from(u16_at(b, 2)?),
        u32::from(u8_at(b, 4)?),
    );
    let (kind, body) = (u8_at(b, 5)?, u32_at(b, 8)?);
    let whole = b.len() as u64 == 24 + u64::from(body);
    Some(
        operation <= 0x48
            && kind == 0
            && extras <= 20
            && key <= 250
            && key + extras <= body
            && whole,
    )
}

/// JSON with a method that only miners and their pools know (Stratum, its forms for Ethereum and Monero).
pub(super) fn stratum(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Stratum, Confidence::SURE, |b| {
        if !begins(b, b"{\"")? {
            return Some(false);
        }
        let has = |part: &[u8]| contains(b, part);
        let known = [
            &b"\"mining."[..],
            b"\"eth_submitLogin\"",
            b"\"eth_getWork\"",
            b"\"eth_submitHashrate\"",
        ];
        let login = has(b"\"login\"") && has(b"\"pass\"") || has(b"\"job\":{") && has(b"\"blob\"");
        match known.iter().any(|k| has(k)) || login {
            true => Some(true),
            false if b.len() < 200 => None,
            false => Some(false),
        }
    })
}

/// A line with its length in four hex digits.
pub(super) fn git(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Git, Confidence::SURE, |b| {
        let digits = b
            .iter()
            .take(4)
            .take_while(|d| d.is_ascii_hexdigit())
            .count();
        match digits == b.len().min(4) {
            true => begins_one(
                b.get(4..)?,
                &[
                    b"git-upload-pack /",
                    b"git-receive-pack /",
                    b"git-upload-archive /",
                ],
            ),
            false => Some(false),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{
        hex, is_on, is_tcp, is_udp, more_tcp, not_on, not_tcp, not_udp,
    };
    use super::*;

    #[test]
    fn discovery_by_udp() {
        is_udp(
            ssdp,
            b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n",
            AppProto::Ssdp,
        );
        is_udp(
            ssdp,
            b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n",
            AppProto::Ssdp,
        );
        not_udp(ssdp, b"HTTP/1.1 200 OK\r\nServer: a\r\n");
        not_udp(ssdp, b"NOTIFY sip:a SIP/2.0\r\n");
    }

    #[test]
    fn syslog_has_a_priority_and_text() {
        is_udp(
            syslog,
            b"<26>Jan 01 00:01:47 nb6 nbd: 01=7;",
            AppProto::Syslog,
        );
        is_udp(
            syslog,
            b"<165>1 2003-10-11T22:14:15.003Z mymachine",
            AppProto::Syslog,
        );
        is_tcp(
            syslog,
            [b"83 <34>1 2003-10-11T22:14:15.003Z", b""],
            AppProto::Syslog,
        );
        for near in [
            &b"<192>Jan 01"[..],
            b"<>Jan 01 00",
            b"<1234>Jan",
            b"<26>\0\0\0\0\0",
            b"<a>text text",
            b"<26]text text",
        ] {
            not_udp(syslog, near);
        }
        not_udp(syslog, b"83 <34>1 2003-10-11T22:14:15.003Z");
        not_tcp(syslog, b"<html><head>");
    }

    #[test]
    fn irc_is_not_ftp() {
        let user = b"USER xxxxx +iw xxxxx :Xxxxxx Xxxx\r\nNICK molochtest\r\n";
        is_tcp(irc, [user, b""], AppProto::Irc);
        is_tcp(
            irc,
            [user, b":card.freenode.net NOTICE * :*** Looking up\r\n"],
            AppProto::Irc,
        );
        is_tcp(
            irc,
            [b"", b":irc.example 001 nick :Welcome\r\n"],
            AppProto::Irc,
        );
        more_tcp(irc, [b"NICK a\r\n", b""]);
        not_tcp(irc, b"USER anonymous\r\n");
        not_tcp(irc, b"GET / HTTP/1.1\r\n");
    }

    #[test]
    fn xmpp_streams_and_stanzas() {
        let open = b"<?xml version='1.0' ?><stream:stream to='cs-xmpp.lan' xmlns='jabber:client'";
        is_tcp(xmpp, [open, b""], AppProto::Xmpp);
        is_tcp(
            xmpp,
            [b"<iq type='set' id='purpledde80fda' to='c", b""],
            AppProto::Xmpp,
        );
        more_tcp(xmpp, [b"<?xml version='1.0' ?>", b""]);
        not_tcp(xmpp, b"<iqs type='set'");
        not_tcp(
            xmpp,
            &[
                b"<?xml version='1.0' ?><soap:Envelope>".to_vec(),
                vec![b' '; 256],
            ]
            .concat(),
        );
    }

    #[test]
    fn telnet_negotiates() {
        is_tcp(telnet, [b"", &hex("fffd03fffb18fffb1f")], AppProto::Telnet);
        is_tcp(
            telnet,
            [&hex("fffa1f00500020fff0"), &hex("fffd03fffb18")],
            AppProto::Telnet,
        );
        is_on(
            telnet,
            (Wire::Tcp, 40_000, 23),
            [b"", &hex("fffd25")],
            AppProto::Telnet,
        );
        more_tcp(telnet, [b"", &hex("fffd25")]);
        not_tcp(telnet, &hex("fffd63"));
        not_tcp(telnet, &hex("ffd8ffe000104a46"));
    }

    #[test]
    fn stores_of_keys() {
        is_tcp(
            redis,
            [b"*1\r\n$7\r\nCOMMAND\r\n", b"*240\r\n*10\r\n"],
            AppProto::Redis,
        );
        not_tcp(redis, b"*a\r\n");
        not_tcp(redis, b"+OK\r\n");
        not_tcp(redis, b"* OK IMAP4rev1\r\n");
        is_tcp(
            memcache,
            [b"stats\r\n", b"STAT pid 8837\r\n"],
            AppProto::Memcache,
        );
        is_tcp(
            memcache,
            [
                &hex("80000003000000000000000300000000000000000000000061 6263"),
                b"",
            ],
            AppProto::Memcache,
        );
        more_tcp(memcache, [b"get a\r\n", b""]);
        not_tcp(memcache, b"getaway");
        not_tcp(
            memcache,
            &hex("800000030000000000000004000000000000000000000000616263"),
        );
        let udp = (Wire::Udp, 11211, 40_000);
        is_on(
            memcache,
            udp,
            [b"\0\x01\0\0\0\x01\0\0STAT pid 1\r\n", b""],
            AppProto::Memcache,
        );
        not_on(memcache, udp, [b"\0\x01\0\0\0\x02\0\0STAT pid 1\r\n", b""]);
    }

    #[test]
    fn miners_and_pools() {
        let asks = b"{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": []}\n";
        is_tcp(stratum, [asks, b""], AppProto::Stratum);
        let login = b"{\"method\":\"login\",\"params\":{\"login\":\"4BCe\",\"pass\":\"x\",\"agent\":\"xmr\"}}\n";
        is_tcp(stratum, [login, b""], AppProto::Stratum);
        more_tcp(stratum, [b"{\"method\":\"log", b""]);
        not_tcp(
            stratum,
            &[&b"{\"method\":\"other\",\"params\":\""[..], &[b'a'; 200]].concat(),
        );
        not_tcp(stratum, b"{ \"method\":\"mining.subscribe\"}");
    }

    #[test]
    fn git_asks_for_a_pack() {
        is_tcp(
            git,
            [b"0045git-upload-pack /collab-maint/wotsap.git\0host=a", b""],
            AppProto::Git,
        );
        not_tcp(git, b"0045git-upload-pick /");
        not_tcp(git, b"0045got-upload-pack /");
        not_tcp(git, b"GET / HTTP/1.1\r\n");
    }
}
